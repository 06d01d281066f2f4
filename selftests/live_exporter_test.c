// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The exporter: whatever happens to it, the receiver ends up with the kernel's numbers. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "receiver.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))

static bool check_start(const struct otlp_point *p, void *ctx)
{
	__u64 *start = ctx;

	/* What the exporter counts began with the exporter. */
	if (!strcmp(p->scope_name, "otelbpf/exporter"))
		return true;
	if (otlp_json__u64(p->point, "startTimeUnixNano") != *start)
		EXPECT_EQ(otlp_json__u64(p->point, "startTimeUnixNano"), *start);
	if (otlp_json__u64(p->point, "timeUnixNano") <= *start)
		EXPECT_GT(otlp_json__u64(p->point, "timeUnixNano"), *start);
	return true;
}

/* Cumulative: over all requests a count never falls, and all began when the probe was loaded. */
static void expect_cumulative(struct live *live, struct json_object *list)
{
	__u64 start = live__start_ns(live), last = 0, last_ns = 0;

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *request = json_object_array_get_idx(list, i);
		__u64 returned = otlp_json__total(request, "system.syscall.returned");
		struct otlp_point p = {};

		otlp_json__for_each_point(request, NULL, check_start, &start);
		EXPECT_GE(returned, last);
		last = returned;
		ASSERT_EQ(otlp_json__find(request, "system.syscall.returned", &p), 1);
		EXPECT_GT(otlp_json__u64(p.point, "timeUnixNano"), last_ns);
		last_ns = otlp_json__u64(p.point, "timeUnixNano");
	}
}

/* --- one after the other ---------------------------------------------------------------------- */

static void one_after_the_other(struct collector *collector)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL;
	struct sink sink;
	int cut;

	sink__open(&sink, live, collector);
	live__load(live);
	for (int i = 1; i <= 3; i++) {
		pid_t pid = live__start_exporter("--interval", "50ms", "--output", sink.spec);

		sink__wait(&sink, 2);
		EXPECT_EQ(live__workload(live, "a", "mix"), 0);
		/* SIGTERM: a last export, and 0 */
		EXPECT_EQ(live__stop(pid), 0);
		list = sink__requests(&sink, &cut);
		EXPECT_EQ(cut, 0);
		live__expect_mixes(live, otlp_json__last(list), "a", i);
		live__expect_totals(otlp_json__last(list), i * MIX_CALLS, i * MIX_FAILS, i);
		expect_cumulative(live, list);
		live__put_json(&list);
		/* Between two exporters nothing is lost either. */
		list = NULL;
	}
}

TEST_TIMEOUT(one_exporter_after_another, 60)
{
	one_after_the_other(NULL);
}

TEST_TIMEOUT(one_exporter_after_another_to_a_collector, 90)
{
	_cleanup_collector_ struct collector *collector = live__collector();

	one_after_the_other(collector);
}

/* One that has exported once, and will again only at its end. Then there is something new. */
static pid_t start_with_one_export(struct live *live, struct sink *sink, const char *duration)
{
	pid_t pid;

	sink__open(sink, live, NULL);
	live__load(live);
	pid = live__start_exporter("--interval", "1h", "--output", sink->spec,
				   duration ? "--duration" : NULL, duration);
	while (!sink__count(sink))
		usleep(10000);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	return pid;
}

static void expect_another_export(struct live *live, struct sink *sink)
{
	_cleanup_json_ struct json_object *list = NULL;
	int cut;

	list = sink__requests(sink, &cut);
	EXPECT_EQ(json_object_array_length(list), 2);
	live__expect_mixes(live, otlp_json__last(list), "a", 1);
}

TEST(term_flushes)
{
	_cleanup_live_ struct live *live = live__begin();
	struct sink sink;
	pid_t pid = start_with_one_export(live, &sink, NULL);

	EXPECT_EQ(sink__count(&sink), 1);
	EXPECT_EQ(live__stop(pid), 0);
	expect_another_export(live, &sink);
}

TEST(duration_ends_with_an_export)
{
	_cleanup_live_ struct live *live = live__begin();
	struct sink sink;
	pid_t pid = start_with_one_export(live, &sink, "3s");

	EXPECT_EQ(live__wait(pid), 0);
	expect_another_export(live, &sink);
}

/* --- side by side ----------------------------------------------------------------------------- */

/* Of the specification's variables those that are not an endpoint's: see env_test. */
TEST(variables)
{
	static const struct {
		const char *name, *value;
		bool warned, exports;
	} cases[] = {
		{"OTEL_METRIC_EXPORT_TIMEOUT", "0", false, true},
		{"OTEL_METRIC_EXPORT_TIMEOUT", "2147483647", false, true},
		{"OTEL_METRIC_EXPORT_TIMEOUT", "2147483648", true, true},
		{"OTEL_METRIC_EXPORT_TIMEOUT", "-1", true, true},
		{"OTEL_METRIC_EXPORT_TIMEOUT", "30s", true, true},
		{"OTEL_METRIC_EXPORT_INTERVAL", "1", false, true},
		{"OTEL_METRIC_EXPORT_INTERVAL", "0", true, true},
		{"OTEL_METRIC_EXPORT_INTERVAL", "", false, true},
		{"OTEL_SDK_DISABLED", "TRUE", true, false}, /* says that it is */
		{"OTEL_SDK_DISABLED", "False", false, true},
		{"OTEL_SDK_DISABLED", "", false, true},
		{"OTEL_SDK_DISABLED", "1", true, true},
	};
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;

	live__load(live);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv(cases[i].name, cases[i].value, 1);
		EXPECT_EQ(live__exporter(&output, "--once", "--output", "stdout"), 0);
		if (!EXPECT_EQ(live__lines(output.err), cases[i].warned) ||
		    !EXPECT_EQ(output.out[0] == '{', cases[i].exports))
			printf("%s=%s: %s\n", cases[i].name, cases[i].value, output.err);
		EXPECT_EQ(strstr(output.err, cases[i].name) != NULL, cases[i].warned);
		unsetenv(cases[i].name);
	}
}

TEST(once_beside_a_daemon)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *once = NULL, *list = NULL;
	static struct output output;
	struct sink sink;
	__u64 id;
	pid_t pid;
	int cut;

	sink__open(&sink, live, NULL);
	live__load(live);
	pid = live__start_exporter("--interval", "50ms", "--output", sink.spec);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	sink__wait(&sink, 2);
	once = live__export_file(live);
	list = sink__requests(&sink, &cut);
	live__expect_mixes(live, once, "a", 1);
	live__expect_mixes(live, otlp_json__last(list), "a", 1);
	EXPECT_EQ(otlp_json__for_each_point(once, NULL, check_start,
					    &(__u64){live__start_ns(live)}) +
			  otlp_json__find(otlp_json__last(list),
					  "otelbpf.exporter."
					  "metric_data_point.converted",
					  NULL) +
			  otlp_json__find(otlp_json__last(list),
					  "otel.sdk.exporter.metric_data_point.exported", NULL),
		  otlp_json__for_each_point(otlp_json__last(list), NULL, check_start,
					    &(__u64){live__start_ns(live)}));

	/* A second one that goes on is refused, and the first does not notice. */
	EXPECT_EQ(live__exporter(&output, "--interval", "50ms", "--output", "stdout"), 7);
	EXPECT_EQ(live__lines(output.err), 1);
	EXPECT_TRUE(strstr(output.err, "another exporter"));
	sink__wait(&sink, 2);
	EXPECT_EQ(live__stop(pid), 0);

	/* --once evicts nothing, even of a cgroup that is gone. */
	id = live__cgroup_id(live, "a");
	live__remove_cgroup(live, "a");
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(live__exporter(&output, "--once", "--output", "stdout"), 0);
		EXPECT_EQ(live__entries(live, "calls", id), 10);
		EXPECT_EQ(live__entries(live, "errors", id), 8);
	}
}

/* --- killed ----------------------------------------------------------------------------------- */

/* How long an exporter takes from its start to a delivered export. */
static long once_us(const char *spec)
{
	static struct output output;
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	EXPECT_EQ(live__exporter(&output, "--once", "--output", spec), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
}

static bool take_time(const struct otlp_point *p, void *ctx)
{
	*(__u64 *)ctx = otlp_json__u64(p->point, "timeUnixNano");
	return false;
}

static int by_time(const void *a, const void *b)
{
	__u64 times[2] = {};

	otlp_json__for_each_point(*(struct json_object *const *)a, NULL, take_time, &times[0]);
	otlp_json__for_each_point(*(struct json_object *const *)b, NULL, take_time, &times[1]);
	return (times[0] > times[1]) - (times[0] < times[1]);
}

static void killed(struct collector *collector, int times)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL;
	static struct output output;
	char path[PATH_MAX];
	struct steps *steps = live__steps(live, path);
	const struct calls calls[] = {
		CALLS(getppid, 100 * times),
		FAILED(close, 10 * times, EBADF, 10 * times),
		{},
	};
	struct sink sink;
	pid_t pid, led;
	int cut, measured = 0;
	long time = 0;

	sink__open(&sink, live, collector);
	live__load(live);
	/* More to send, so that there is more of a middle. */
	for (int i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%d", i);
		EXPECT_EQ(live__workload(live, name, "mix"), 0);
	}
	srand(1);
	led = live__start_workload(live, "led", "-s", path, "steps", "100", "10");
	steps__wait_ready(steps);
	for (int i = 0; i < times; i++) {
		/* Now and then anew: the machine may be busier than it was. */
		if (i % 8 == 0) {
			time = once_us(sink.spec);
			measured++;
		}
		pid = live__start_exporter("--interval", "50ms", "--output", sink.spec, "-q");
		steps__do(steps);
		usleep(rand() % (2 * time + 50000));
		kill(pid, SIGKILL);
		EXPECT_EQ(live__wait(pid), -SIGKILL);
	}
	steps__end(steps);
	EXPECT_EQ(live__wait(led), 0);

	EXPECT_EQ(live__exporter(&output, "--once", "--output", sink.spec), 0);
	list = sink__requests(&sink, &cut);
	/* A receiver that is busy may come to the last request of the dead after the next one's. */
	json_object_array_sort(list, by_time);
	printf("%zu requests, %d lines cut\n", json_object_array_length(list), cut);
	EXPECT_GT(json_object_array_length(list), times / 4 + measured);
	for (int i = 0; i < 20; i++) {
		char name[8];

		snprintf(name, sizeof(name), "%d", i);
		live__expect_mixes(live, otlp_json__last(list), name, 1);
	}
	live__expect_calls(live, otlp_json__last(list), "led", calls);
	live__expect_totals(otlp_json__last(list), 20 * MIX_CALLS + 110 * times,
			    20 * MIX_FAILS + 10 * times, 21);
	live__expect_no_losses(otlp_json__last(list));
	expect_cumulative(live, list);
}

TEST_TIMEOUT(killed_in_mid_export, 60)
{
	killed(NULL, 40);
}

TEST_TIMEOUT(killed_in_mid_export_to_a_collector, 120)
{
	_cleanup_collector_ struct collector *collector = live__collector();

	killed(collector, 40);
}

/* An exporter that was there first sees a probe that comes, goes, and comes again. */
TEST(probe_comes_and_goes)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL;
	struct sink sink;
	__u64 first;
	pid_t pid;
	int cut;

	sink__open(&sink, live, NULL);
	pid = live__start_exporter("--interval", "50ms", "--output", sink.spec, "-q");
	usleep(200000);
	EXPECT_EQ(sink__count(&sink), 0);
	live__load(live);
	first = live__start_ns(live);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	sink__wait(&sink, 2);
	list = sink__requests(&sink, &cut);
	live__expect_mixes(live, otlp_json__last(list), "a", 1);
	live__put_json(&list);
	live__must("unload", "-q");
	live__load(live);
	EXPECT_GT(live__start_ns(live), first);
	EXPECT_EQ(live__workload(live, "a", "mix", "2"), 0);
	sink__wait(&sink, 2);
	list = sink__requests(&sink, &cut);
	live__expect_mixes(live, otlp_json__last(list), "a", 2);
	EXPECT_EQ(live__stop(pid), 0);
}

TEST_MAIN()
