// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What receivers, the ways to them and the exporter itself may do while events flow: what arrived
 * and what is counted as lost is together what the workload did, to the unit. And an output that
 * is dead, beside one that is not.
 *
 * $OTELBPF_EVENTS, $OTELBPF_PAUSE and $OTELBPF_KILLS make it longer: events of each run,
 * seconds that a receiver stands still, and how often the exporter is killed. `make long` sets
 * them.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "proxy.h"
#include "receiver.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))
#define P "OTEL_EXPORTER_OTLP_"
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

/* Every call is an event, as many as there are. */
#define EVERY_CALL                                                            \
	"--set", "syscalls.events=1", "--set", "syscalls.slow_us=0", "--set", \
		"syscalls.slow_waits=1", "--set", "syscalls.events_per_second=0"
#define LARGE_RING "--set", "syscalls.slow_calls.max_entries=4194304"

static int number_of(const char *variable, int otherwise)
{
	return getenv(variable) ? atoi(getenv(variable)) : otherwise;
}

/* A time limit of the exporter's: the slower the machine, the longer. */
static void set_limit(const char *variable, unsigned int ms)
{
	char text[16];

	snprintf(text, sizeof(text), "%u", ms * ktap__factor());
	setenv(variable, text, 1);
}

#define EXPORT_TIMEOUT "OTEL_METRIC_EXPORT_TIMEOUT"

/* --- events that flow to a Collector ---------------------------------------------------------- */

/**
 * struct flow - an exporter, a Collector, and events between them
 * @calls: made so far
 * @lost:  counted as lost by the exporter
 */
struct flow {
	struct live *live;
	struct collector *collector;
	pid_t exporter;
	__u64 calls, lost;
};

static void flow__begin(struct flow *flow, struct live *live, struct collector *collector)
{
	*flow = (struct flow){.live = live, .collector = collector};
	setenv("no_proxy", "*", 1);
	set_limit(P "TIMEOUT", 1000);
	live__load(live, EVERY_CALL, LARGE_RING);
}

/* At least so many events, while the exporter does what it does. */
static void flow__some(struct flow *flow, int events)
{
	for (__u64 end = flow->calls + events; flow->calls < end; flow->calls += MIX_CALLS)
		EXPECT_EQ(live__workload(flow->live, "a", "mix"), 0);
}

static void flow__start_exporter(struct flow *flow, const char *endpoint)
{
	setenv(P "ENDPOINT", endpoint, 1);
	flow->exporter = live__start_exporter("--interval", "50ms", "-q");
}

/* Until something new has arrived. */
static void flow__wait(struct flow *flow, size_t from)
{
	while (collector__spans(flow->collector, NULL) <= from)
		usleep(20000);
}

static __u64 exporter_lost(struct collector *collector)
{
	_cleanup_json_ struct json_object *metrics =
		collector__newest(collector, "resourceMetrics", NULL);

	return otlp_json__total(metrics, "otelbpf.exporter.span.lost");
}

/* The last export, with nothing in its way, and the sum. */
static void flow__end(struct flow *flow)
{
	static struct output output;

	_cleanup_json_ struct json_object *metrics = NULL;
	size_t arrived, twice;
	__u64 full;

	if (flow->exporter)
		EXPECT_EQ(live__stop(flow->exporter), 0);
	/* What is still there, in its own time. */
	setenv(P "TIMEOUT", "0", 1);
	setenv(EXPORT_TIMEOUT, "0", 1);
	setenv(P "ENDPOINT", collector__http_url(flow->collector), 1);
	EXPECT_EQ(live__exporter(&output, "-q", "--interval", "1h", "--duration", "1ms"), 0);
	EXPECT_STREQ(output.err, "");
	metrics = collector__newest(flow->collector, "resourceMetrics", NULL);
	arrived = collector__spans(flow->collector, &twice);
	full = otlp_json__total(metrics, "otelbpf.losses", "otelbpf.loss.reason",
				"event_ring_full");
	EXPECT_EQ(arrived + full + flow->lost, flow->calls);
	EXPECT_EQ(otlp_json__total(metrics, "otelbpf.losses") - full, 0);
	printf("%llu calls: %zu spans, %zu of them again, %llu found no room, %llu were refused\n",
	       (unsigned long long)flow->calls, arrived, twice, (unsigned long long)full,
	       (unsigned long long)flow->lost);
}

TEST_TIMEOUT(receiver_is_killed_and_stands_still, 600)
{
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	int events = number_of("OTELBPF_EVENTS", 20000);
	struct flow flow;

	flow__begin(&flow, live, collector);
	flow__start_exporter(&flow, collector__http_url(collector));
	flow__some(&flow, events / 4);
	flow__wait(&flow, 0);
	flow__some(&flow, events / 8);
	collector__signal(collector, SIGKILL);
	flow__some(&flow, events / 8);
	ASSERT_EQ(collector__restart(collector), 0);
	flow__some(&flow, events / 4);
	/* What is under way may be written before it is answered, and then it comes again. */
	collector__signal(collector, SIGSTOP);
	flow__some(&flow, events / 8);
	sleep(number_of("OTELBPF_PAUSE", 2));
	collector__signal(collector, SIGCONT);
	flow__some(&flow, events / 8);
	flow__end(&flow);
}

TEST_TIMEOUT(exporter_is_killed_while_events_flow, 600)
{
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	struct flow flow;

	flow__begin(&flow, live, collector);
	srand(1);
	for (int i = 0; i < number_of("OTELBPF_KILLS", 10); i++) {
		flow__start_exporter(&flow, collector__http_url(collector));
		flow__some(&flow, 1);
		usleep(rand() % 100000);
		kill(flow.exporter, SIGKILL);
		EXPECT_EQ(live__wait(flow.exporter), -SIGKILL);
	}
	flow.exporter = 0;
	flow__end(&flow);
}

/* gzip has a checksum: what is corrupted is refused, and that is counted as lost. */
TEST_TIMEOUT(what_is_between_cuts_delays_and_corrupts, 120)
{
	/*
	 * Each ends with the connection, so that the next one has its turn. A request whose answer
	 * was cut may have been taken; were its repetition refused, it would be counted as lost as
	 * well. So one that comes to its end stands between.
	 */
	static const struct fault faults[] = {
		{.cut_up = 300},
		{.corrupt_up = 2000, .cut_up = 150000},
		{.cut_answer = 1},
		{.delay_ms = 300, .cut_answer = 10000},
		{.cut_down = 20},
		{.cut_up = 150000},
		{.corrupt_up = 10000, .cut_up = 150000},
	};
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	struct proxy *proxy = proxy__start("127.0.0.1", collector__http_url(collector), faults,
					   ARRAY_SIZE(faults));
	size_t before, now;
	struct flow flow;
	char url[128];

	ASSERT_TRUE(proxy);
	flow__begin(&flow, live, collector);
	setenv(P "COMPRESSION", "gzip", 1);
	/* The wait between attempts doubles within an export. */
	set_limit(EXPORT_TIMEOUT, 500);
	snprintf(url, sizeof(url), "%s/v1/traces", proxy__url(proxy));
	setenv(P "TRACES_ENDPOINT", url, 1);
	flow__start_exporter(&flow, collector__http_url(collector));
	while (proxy__count(proxy) <= ARRAY_SIZE(faults)) {
		flow__some(&flow, 1);
		usleep(100000);
	}
	/* What is behind the last fault is in order: a few exports tell all that was lost. */
	json_object_put(collector__newest(collector, "resourceMetrics", &before));
	do {
		usleep(20000);
		json_object_put(collector__newest(collector, "resourceMetrics", &now));
	} while (now < before + 5);
	flow.lost = exporter_lost(collector);
	EXPECT_GT(flow.lost, 0);
	EXPECT_GE(proxy__harmed(proxy), ARRAY_SIZE(faults));
	unsetenv(P "TRACES_ENDPOINT");
	flow__end(&flow);
	proxy__stop(proxy);
}

/* --- a dead output beside one that is not ------------------------------------------------------
 */

/* "otlp:GOOD" and "otlp:DEAD". */
static void send_to(const char *good, const char *dead, const char *timeout_ms)
{
	setenv("no_proxy", "*", 1);
	setenv("GOOD_" P "ENDPOINT", good, 1);
	setenv("DEAD_" P "ENDPOINT", dead, 1);
	setenv("DEAD_" P "TIMEOUT", timeout_ms, 1);
}

static const char *const both[] = {"--output", "otlp:DEAD", "--output", "otlp:GOOD"};

/* It takes connections and never answers; to wait for it once would take an hour. */
TEST_TIMEOUT(a_dead_output_delays_nobody, 120)
{
	static const struct reply never = {.hang = true};
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	struct receiver *dead = receiver__start(&never, 1);
	size_t exports, arrived;
	pid_t pid;

	live__load(live, EVERY_CALL, LARGE_RING);
	send_to(collector__http_url(collector), receiver__url(dead), "3600000");
	pid = live__start_exporter("--interval", "50ms", "-q", both[0], both[1], both[2], both[3]);
	while (!receiver__count(dead))
		usleep(10000);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	do {
		usleep(10000);
		json_object_put(collector__newest(collector, "resourceMetrics", &exports));
		arrived = collector__spans(collector, NULL);
	} while (exports < 30 || arrived < MIX_CALLS);
	EXPECT_EQ(arrived, MIX_CALLS);
	/* All that in the time of its first request. */
	EXPECT_EQ(receiver__count(dead), 1);
	kill(pid, SIGKILL);
	EXPECT_EQ(live__wait(pid), -SIGKILL);
	receiver__stop(dead);
}

/*
 * One that takes nothing holds back half of the ring. What it loses beyond that is counted, and
 * what is still there a third receiver gets.
 */
TEST_TIMEOUT(what_a_dead_output_loses_is_counted, 120)
{
	static const struct reply never = {.hang = true};
	_cleanup_collector_ struct collector *collector = live__collector(),
					     *third = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *metrics = NULL;
	/* Its port is closed. */
	struct receiver *dead = receiver__new(&never, 1);
	__u64 calls = 0, full, lost, seen;
	static struct output output;
	pid_t pid;

	live__load(live, EVERY_CALL);
	set_limit(EXPORT_TIMEOUT, 300);
	send_to(collector__http_url(collector), receiver__url(dead), "1000");
	pid = live__start_exporter("--interval", "50ms", "-q", both[0], both[1], both[2], both[3]);
	for (lost = 0; lost < 2 * MIX_CALLS;) {
		if (calls < 40 * MIX_CALLS) {
			EXPECT_EQ(live__workload(live, "a", "mix"), 0);
			calls += MIX_CALLS;
		}
		usleep(50000);
		lost = exporter_lost(collector);
	}
	/* All has been settled when nothing changes any more. */
	for (int same = 0; same < 5;) {
		_cleanup_json_ struct json_object *now =
			collector__newest(collector, "resourceMetrics", NULL);

		seen = collector__spans(collector, NULL);
		full = otlp_json__total(now, "otelbpf.losses", "otelbpf.loss.reason",
					"event_ring_full");
		same = seen + full == calls && lost == exporter_lost(collector) ? same + 1 : 0;
		lost = exporter_lost(collector);
		usleep(200000);
	}
	kill(pid, SIGKILL);
	EXPECT_EQ(live__wait(pid), -SIGKILL);
	metrics = collector__newest(collector, "resourceMetrics", NULL);
	/* Of the good one nothing was lost. */
	EXPECT_EQ(otlp_json__total(metrics, "otelbpf.exporter.span.lost", "otel.component.name",
				   "otlp/0"),
		  lost);
	unsetenv(EXPORT_TIMEOUT);
	setenv(P "ENDPOINT", collector__http_url(third), 1);
	EXPECT_EQ(live__exporter(&output, "-q", "--interval", "1h", "--duration", "1ms"), 0);
	EXPECT_STREQ(output.err, "");
	EXPECT_EQ(collector__spans(third, NULL) + lost + full, calls);
	printf("%llu calls: %llu spans to the good one; of the dead one's %llu were given up, %zu "
	       "were still there\n",
	       (unsigned long long)calls, (unsigned long long)seen, (unsigned long long)lost,
	       collector__spans(third, NULL));
	receiver__stop(dead);
}

TEST_MAIN()
