// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Deltas and explicit buckets as a Collector receives them: their sums are what the workload
 * did, whatever happens to the Collector and the probe meanwhile. And what the exporter says of
 * itself.
 */
#include <arpa/inet.h>
#include <math.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))
#define EXPORTED "otel.sdk.exporter.metric_data_point.exported"

/* --- deltas ----------------------------------------------------------------------------------- */

/* Where the last interval of each series ended. */
struct intervals {
	struct json_object *ends;
	int gapless;
};

static bool check_interval(const struct otlp_point *p, void *ctx)
{
	__u64 start = otlp_json__u64(p->point, "startTimeUnixNano");
	__u64 time = otlp_json__u64(p->point, "timeUnixNano"), end;
	bool falls = !strcmp(p->kind, "sum") &&
		     !json_object_get_boolean(json_object_object_get(p->data, "isMonotonic"));
	struct intervals *intervals = ctx;
	struct json_object *last;
	char series[4096];

	if (!strcmp(p->kind, "gauge"))
		return true;
	EXPECT_EQ(otlp_json__u64(p->data, "aggregationTemporality"), falls ? 2 : 1);
	if (falls)
		return true;
	EXPECT_LT(start, time);
	snprintf(series, sizeof(series), "%s %s %s", otlp_json__text(p->metric, "name"),
		 otlp_json__attr(p->resource, "otelbpf.cgroup.id") ?: "",
		 json_object_to_json_string(json_object_object_get(p->point, "attributes")));
	last = json_object_object_get(intervals->ends, series);
	end = last ? json_object_get_uint64(last) : 0;
	EXPECT_GE(start, end);
	intervals->gapless += start == end;
	json_object_object_add(intervals->ends, series, json_object_new_uint64(time));
	return true;
}

/* Until all of so many workloads has arrived: what the kernel still counts is on its way. */
static struct json_object *wait_for_mixes(struct collector *collector, __u64 mixes)
{
	for (;;) {
		struct json_object *list = collector__metrics(collector);

		ASSERT_TRUE(list);
		if (otlp_json__total(list, "system.syscall.returned") >= mixes * MIX_CALLS &&
		    otlp_json__total(list, "system.syscall.unreturned") >= mixes)
			return list;
		json_object_put(list);
		usleep(50000);
	}
}

static void expect_mixes(struct live *live, struct json_object *list, __u64 n)
{
	static const struct calls mix[] = {MIX(1)};

	for (size_t i = 0; i < sizeof(mix) / sizeof(mix[0]); i++)
		if (mix[i].calls)
			EXPECT_EQ(live__count(live, list, "a", mix[i].name), n * mix[i].calls);
	live__expect_totals(list, n * MIX_CALLS, n * MIX_FAILS, n);
}

static int deadline_ms(void)
{
	return 300 * ktap__factor();
}

/*
 * In the Collector's place: take connections and close them without an answer, until an export
 * that began before has been given up.
 */
static void be_a_broken_receiver(const struct collector *collector)
{
	struct timespec from, now;
	struct sockaddr_in address = {.sin_family = AF_INET};
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), fd, one = 1, taken = 0;

	address.sin_port = htons(atoi(strrchr(collector__http_url(collector), ':') + 1));
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT_GE(listener, 0);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	ASSERT_EQ(bind(listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ASSERT_EQ(listen(listener, 8), 0);
	clock_gettime(CLOCK_MONOTONIC, &from);
	do {
		if (poll(&(struct pollfd){.fd = listener, .events = POLLIN}, 1, 20) > 0) {
			fd = accept(listener, NULL, NULL);
			ASSERT_GE(fd, 0);
			close(fd);
			if (!taken++)
				clock_gettime(CLOCK_MONOTONIC, &from);
		}
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (!taken ||
		 (now.tv_sec - from.tv_sec) * 1000 + (now.tv_nsec - from.tv_nsec) / 1000000 <
			 2 * deadline_ms());
	close(listener);
}

TEST_TIMEOUT(deltas_add_up_in_a_collector, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_json_ struct json_object *list = NULL;
	struct intervals intervals = {json_object_new_object(), 0};
	struct sink sink;
	char deadline[16], state[128];
	__u64 sent;
	int points;
	pid_t pid;

	setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", 1);
	snprintf(deadline, sizeof(deadline), "%d", deadline_ms());
	setenv("OTEL_METRIC_EXPORT_TIMEOUT", deadline, 1);
	sink__open(&sink, live, collector);
	live__load(live);
	snprintf(state, sizeof(state), "%s/state", live->tmp);
	pid = live__start_exporter("-q", "--interval", "200ms", "--output", sink.spec, "--state",
				   state);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	json_object_put(wait_for_mixes(collector, 1));

	/* A receiver that is away: what could not be delivered comes later. */
	EXPECT_EQ(collector__stop(collector), 0);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	be_a_broken_receiver(collector);
	ASSERT_EQ(collector__restart(collector), 0);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	json_object_put(wait_for_mixes(collector, 3));

	/* Another exporter goes on where this one ends. */
	EXPECT_EQ(live__stop(pid), 0);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	pid = live__start_exporter("-q", "--interval", "200ms", "--output", sink.spec, "--state",
				   state);
	json_object_put(wait_for_mixes(collector, 4));

	/* Another life of the probe counts from 0. */
	live__must("unload", "-q");
	live__load(live);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	json_object_put(wait_for_mixes(collector, 5));
	EXPECT_EQ(live__stop(pid), 0);

	list = collector__metrics(collector);
	expect_mixes(live, list, 5);
	points = otlp_json__for_each_point(list, NULL, check_interval, &intervals);
	EXPECT_GT(intervals.gapless, 0);
	json_object_put(intervals.ends);

	/* What the exporter says of itself ends before the last export. */
	sent = otlp_json__total(list, EXPORTED, "otel.component.name", "otlp/0", "error.type",
				NULL);
	printf("%d points, %llu of them told of\n", points, (unsigned long long)sent);
	EXPECT_GT(sent, 0);
	EXPECT_LT(sent, points);
	EXPECT_GT(otlp_json__total(list, EXPORTED, "otel.component.name", "otlp/0") - sent, 0);
}

/*
 * One of two stands still, and its answer is waited for without a limit: the other gets what there
 * is. Afterwards both have all, each once.
 */
TEST_TIMEOUT(a_slow_output_delays_no_deltas, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_collector_ struct collector *good = live__collector(), *slow = live__collector();
	_cleanup_json_ struct json_object *of_good = NULL, *of_slow = NULL;
	__u64 mixes = 1;
	pid_t pid;

	setenv("no_proxy", "*", 1);
	setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", 1);
	/* No limit. */
	setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "0", 1);
	setenv("OTEL_METRIC_EXPORT_TIMEOUT", "0", 1);
	setenv("GOOD_OTEL_EXPORTER_OTLP_ENDPOINT", collector__http_url(good), 1);
	setenv("SLOW_OTEL_EXPORTER_OTLP_ENDPOINT", collector__http_url(slow), 1);
	live__load(live);
	pid = live__start_exporter("-q", "--interval", "50ms", "--output", "otlp:SLOW", "--output",
				   "otlp:GOOD");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	json_object_put(wait_for_mixes(slow, mixes));
	collector__signal(slow, SIGSTOP);
	while (mixes < 4) {
		EXPECT_EQ(live__workload(live, "a", "mix"), 0);
		json_object_put(wait_for_mixes(good, ++mixes));
	}
	collector__signal(slow, SIGCONT);
	EXPECT_EQ(live__stop(pid), 0);
	of_good = collector__metrics(good);
	of_slow = collector__metrics(slow);
	expect_mixes(live, of_good, mixes);
	expect_mixes(live, of_slow, mixes);
}

/* --- explicit buckets ---------------------------------------------------------------------------
 */

struct comparison {
	struct json_object *exponential;
	int points;
};

static bool compare(const struct otlp_point *p, void *ctx)
{
	struct json_object *bounds = json_object_object_get(p->point, "explicitBounds");
	struct json_object *counts = json_object_object_get(p->point, "bucketCounts");
	const char *name = otlp_json__attr(p->point, "syscall.name");
	struct comparison *c = ctx;
	struct otlp_point other;
	__u64 before = 0;

	ASSERT_TRUE(bounds && counts);
	ASSERT_EQ(json_object_array_length(bounds), 27);
	ASSERT_EQ(json_object_array_length(counts), 28);
	ASSERT_EQ(otlp_json__find(c->exponential, "system.syscall.duration", &other, "syscall.name",
				  name, "otelbpf.cgroup.id",
				  otlp_json__attr(p->resource, "otelbpf.cgroup.id")),
		  1);
	EXPECT_EQ(otlp_json__count(p->point), otlp_json__count(other.point));
	EXPECT_TRUE(otlp_json__sum(p->point) == otlp_json__sum(other.point));
	EXPECT_EQ(otlp_json__bucket_total(p->point), otlp_json__count(p->point));
	/* What is at most 2^k s is in the zero bucket, or in one of index 4k - 1 at most. */
	for (int k = -20; k <= 6; k++) {
		__u64 below = otlp_json__u64(other.point, "zeroCount");

		for (int i = -112; i < 4 * k; i++)
			below += otlp_json__bucket(other.point, i);
		EXPECT_TRUE(json_object_get_double(json_object_array_get_idx(bounds, k + 20)) ==
			    ldexp(1, k));
		before += json_object_get_uint64(json_object_array_get_idx(counts, k + 20));
		EXPECT_EQ(before, below);
	}
	c->points++;
	return true;
}

TEST_TIMEOUT(explicit_buckets_in_a_collector, 90)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_json_ struct json_object *exponential = NULL, *list = NULL;
	struct comparison comparison = {0};

	live__load(live);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	exponential = live__export_file(live);
	live__expect_mixes(live, otlp_json__last(exponential), "a", 1);
	setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION",
	       "explicit_bucket_histogram", 1);
	list = live__export_collector(live, collector, "http/protobuf", "none");
	comparison.exponential = otlp_json__last(exponential);
	otlp_json__for_each_point(list, "system.syscall.duration", compare, &comparison);
	EXPECT_EQ(comparison.points, 10);
}

/* --- statistics ------------------------------------------------------------------------------- */

static pid_t start_with_stderr(const char *path, const char *spec)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	if (!freopen(path, "w", stderr))
		_exit(99);
	execl(BUILD_DIR "/otelbpf-exporter", "otelbpf-exporter", "-q", "-j", "--interval", "100ms",
	      "--output", spec, (char *)NULL);
	_exit(127);
}

TEST_TIMEOUT(statistics_on_a_signal, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *lines = NULL, *list = NULL;
	struct json_object *at;
	char path[128];
	struct sink sink;
	__u64 sent;
	int cut;
	pid_t pid;

	sink__open(&sink, live, NULL);
	live__load(live);
	snprintf(path, sizeof(path), "%s/stderr", live->tmp);
	pid = start_with_stderr(path, sink.spec);
	sink__wait(&sink, 2);
	EXPECT_EQ(kill(pid, SIGUSR1), 0);
	for (;;) {
		lines = live__read_lines(path, &cut);
		if (lines && json_object_array_length(lines))
			break;
		live__put_json(&lines);
		lines = NULL;
		usleep(10000);
	}
	/* It goes on, and ends as ever. */
	sink__wait(&sink, 2);
	EXPECT_EQ(live__stop(pid), 0);

	at = json_object_array_get_idx(lines, 0);
	at = json_object_object_get(json_object_object_get(at, "outputs"), "file/0");
	at = json_object_object_get(at, "metrics");
	ASSERT_TRUE(at);
	sent = otlp_json__u64(at, "sent");
	EXPECT_EQ(otlp_json__u64(at, "failed"), 0);
	EXPECT_EQ(otlp_json__u64(at, "rejected"), 0);
	EXPECT_GE(otlp_json__u64(at, "requests"), 2);

	/* Just the points of so many requests. */
	list = sink__requests(&sink, &cut);
	for (size_t i = 0; i < otlp_json__u64(at, "requests"); i++)
		sent -= otlp_json__total(json_object_array_get_idx(list, i + 1), EXPORTED,
					 "otel.component.name", "file/0", "error.type", NULL) -
			otlp_json__total(json_object_array_get_idx(list, i), EXPORTED,
					 "otel.component.name", "file/0", "error.type", NULL);
	EXPECT_EQ(sent, 0);
}

TEST_MAIN()
