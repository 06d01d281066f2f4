// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Events: each slow system call is one span at the receiver's side, below the span that its
 * thread worked for; what is suppressed or finds no room is counted; and what has not been
 * acknowledged comes again, as the same spans.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "receiver.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))

#define TOOL(name) BUILD_DIR "/selftests/tools/" name
#define MS 1000000ULL
#define SPANS_MAX 8192
#define STATUS_ERROR 2

/* Every call is slow, and none is left out. */
#define EVERY_CALL                                                            \
	"--set", "syscalls.events=1", "--set", "syscalls.slow_us=0", "--set", \
		"syscalls.slow_waits=1"
#define WITHOUT_LIMIT "--set", "syscalls.events_per_second=0"

#define for_each_of(item, list)                                                               \
	for (size_t item##_i = 0; (list) && item##_i < json_object_array_length(list) &&      \
				  ((item) = json_object_array_get_idx(list, item##_i), true); \
	     item##_i++)

static struct json_object *get(struct json_object *obj, const char *key)
{
	return json_object_object_get(obj, key);
}

/* --- what was received ------------------------------------------------------------------------ */

struct spans {
	struct json_object *span[SPANS_MAX], *resource[SPANS_MAX];
	int n;
};

/* Of an array of requests, each with its Resource. */
static void spans__of(struct spans *spans, struct json_object *requests)
{
	struct json_object *request, *resource, *scope, *span;

	spans->n = 0;
	for_each_of(request, requests) for_each_of(resource, get(request, "resourceSpans"))
		for_each_of(scope, get(resource, "scopeSpans"))
	{
		EXPECT_STREQ(otlp_json__text(get(scope, "scope"), "name"), "otelbpf/syscalls");
		for_each_of(span, get(scope, "spans"))
		{
			ASSERT_LT(spans->n, SPANS_MAX);
			spans->resource[spans->n] = get(resource, "resource");
			spans->span[spans->n++] = span;
		}
	}
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* No id is zero, or there twice. */
static void expect_ids(const struct spans *spans)
{
	static const char *ids[SPANS_MAX];

	for (int i = 0; i < spans->n; i++) {
		ids[i] = otlp_json__text(spans->span[i], "spanId");
		EXPECT_EQ(strlen(ids[i]), 16);
		EXPECT_NE(strspn(ids[i], "0"), 16);
		EXPECT_EQ(strlen(otlp_json__text(spans->span[i], "traceId")), 32);
		EXPECT_NE(strspn(otlp_json__text(spans->span[i], "traceId"), "0"), 32);
	}
	qsort(ids, spans->n, sizeof(*ids), by_text);
	for (int i = 1; i < spans->n; i++)
		EXPECT_STRNE(ids[i], ids[i - 1]);
}

static int count_name(const struct spans *spans, const char *call, const char *error)
{
	char name[64];
	int n = 0;

	snprintf(name, sizeof(name), "syscall %s", call);
	for (int i = 0; i < spans->n; i++) {
		const char *type = otlp_json__attr(spans->span[i], "error.type");

		n += !strcmp(otlp_json__text(spans->span[i], "name"), name) &&
		     (!error || (type && !strcmp(type, error)));
	}
	return n;
}

static int count_failed(const struct spans *spans)
{
	int n = 0;

	for (int i = 0; i < spans->n; i++) {
		struct json_object *status = get(spans->span[i], "status");
		bool failed = status && otlp_json__u64(status, "code") == STATUS_ERROR;

		EXPECT_EQ(failed, otlp_json__attr(spans->span[i], "error.type") != NULL);
		n += failed;
	}
	return n;
}

/* Of one export. */
static __u64 losses(struct json_object *requests, const char *reason)
{
	return otlp_json__total(requests, "otelbpf.losses", "otelbpf.loss.reason", reason);
}

static __u64 utc(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000 * MS + now.tv_nsec;
}

static void export_to(struct collector *collector, const char *protocol)
{
	static struct output output;

	setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, 1);
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT",
	       strcmp(protocol, "grpc") ? collector__http_url(collector)
					: collector__grpc_endpoint(collector),
	       1);
	ASSERT_EQ(live__exporter(&output, "-q", "--interval", "60s", "--duration", "1ms"), 0);
	EXPECT_STREQ(output.err, "");
}

/* --- as many spans as calls ------------------------------------------------------------------- */

TEST_TIMEOUT(each_slow_call_is_a_span, 90)
{
	static const char *const protocols[] = {"http/protobuf", "http/json", "grpc"};
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	static struct spans spans;

	live__load(live, EVERY_CALL, WITHOUT_LIMIT);
	for (int i = 0; i < 3; i++) {
		_cleanup_json_ struct json_object *requests = NULL, *metrics = NULL;
		__u64 before = utc(), after;
		const char *id;

		EXPECT_EQ(live__workload(live, "a", "mix"), 0);
		after = utc();
		export_to(collector, protocols[i]);
		requests = collector__lines(collector, "resourceSpans");
		metrics = collector__metrics(collector);
		spans__of(&spans, requests);
		/* What was delivered before has been given back, so nothing came twice. */
		EXPECT_EQ(spans.n, (i + 1) * MIX_CALLS);
		EXPECT_EQ(count_failed(&spans), (i + 1) * MIX_FAILS);
		EXPECT_EQ(otlp_json__total(otlp_json__last(metrics), "otelbpf.losses"), 0);
		EXPECT_EQ(count_name(&spans, "getppid", NULL),
			  otlp_json__total(otlp_json__last(metrics), "system.syscall.duration",
					   "syscall.name", "getppid"));
		EXPECT_EQ(count_name(&spans, "close", "EBADF"),
			  otlp_json__total(otlp_json__last(metrics), "system.syscall.errors",
					   "syscall.name", "close", "error.type", "EBADF"));
		expect_ids(&spans);
		for (int k = i * MIX_CALLS; k < spans.n; k++) {
			__u64 start = otlp_json__u64(spans.span[k], "startTimeUnixNano");
			__u64 end = otlp_json__u64(spans.span[k], "endTimeUnixNano");

			EXPECT_GE(start, before);
			EXPECT_GE(end, start);
			EXPECT_LE(end, after);
			EXPECT_STREQ(otlp_json__text(spans.span[k], "parentSpanId"), "");
			EXPECT_EQ(otlp_json__u64(spans.span[k], "kind"), 1);
			id = otlp_json__attr(spans.resource[k], "process.pid");
			ASSERT_TRUE(id);
			EXPECT_GT(atoi(id), 0);
			id = otlp_json__attr(spans.resource[k], "process.linux.cgroup");
			ASSERT_TRUE(id);
			EXPECT_TRUE(strstr(id, "/a"));
		}
	}
}

/* Ids are a permutation that leaves 0 where it is: seeds that bring some events there. */
TEST_TIMEOUT(no_id_is_zero, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct spans spans;
	struct {
		__u64 number, seed[3];
	} * state;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	int fd;

	live__load(live, EVERY_CALL, WITHOUT_LIMIT);
	fd = live__map(live, "slow_calls_state");
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	ASSERT_GE(info.value_size, sizeof(*state));
	state = calloc(1, info.value_size);
	ASSERT_TRUE(state);
	state->seed[0] = -10;
	state->seed[1] = -20;
	state->seed[2] = -20;
	ASSERT_EQ(bpf_map_update_elem(fd, &zero, state, BPF_ANY), 0);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	requests = live__export_file(live);
	spans__of(&spans, requests);
	EXPECT_EQ(spans.n, MIX_CALLS);
	expect_ids(&spans);
	/* The two that would have been zero are left out. */
	ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, state), 0);
	EXPECT_EQ(state->number, MIX_CALLS + 2);
	free(state);
	close(fd);
}

/* A call that waits by nature is left out, and so is what was fast. */
TEST_TIMEOUT(only_what_is_slow, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct spans spans;

	live__load(live, "--set", "syscalls.events=1");
	/* A read of 120 ms that five signals interrupt: one call. And one of nanosleep. */
	EXPECT_EQ(live__workload(live, "a", "restart"), 0);
	EXPECT_EQ(live__workload(live, "a", "stop"), 0);
	requests = live__export_file(live);
	spans__of(&spans, requests);
	ASSERT_EQ(spans.n, 1);
	EXPECT_STREQ(otlp_json__text(spans.span[0], "name"), "syscall read");
	EXPECT_GE(otlp_json__u64(spans.span[0], "endTimeUnixNano") -
			  otlp_json__u64(spans.span[0], "startTimeUnixNano"),
		  100 * MS);
	EXPECT_EQ(losses(requests, "event_suppressed"), 0);
}

TEST_TIMEOUT(nothing_unless_asked, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct spans spans;
	char path[160];

	live__load(live, "--set", "syscalls.slow_us=0");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	requests = live__export_file(live);
	spans__of(&spans, requests);
	EXPECT_EQ(spans.n, 0);
	/* Nor does it take memory. */
	snprintf(path, sizeof(path), "%s/syscalls/map/slow_calls", live->pin_dir);
	EXPECT_EQ(access(path, F_OK), -1);
	snprintf(path, sizeof(path), "%s/otel_traces_ctx_v1", live->shared_dir);
	EXPECT_EQ(access(path, F_OK), -1);
}

/* The clock is set an hour ahead after the calls, so what they are told by is that clock. */
TEST_TIMEOUT(clock_is_set_in_between, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct spans spans;
	__u64 hour = 3600 * 1000 * MS, before = utc() + hour, after;
	struct timespec now;

	if (!getenv("OTELBPF_OWN_KERNEL"))
		SKIP("the clock of this machine is not ours");
	live__load(live, EVERY_CALL, "--set", "syscalls.events_per_second=20");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	after = utc() + hour;
	clock_gettime(CLOCK_REALTIME, &now);
	now.tv_sec += 3600;
	ASSERT_EQ(clock_settime(CLOCK_REALTIME, &now), 0);
	requests = live__export_file(live);
	spans__of(&spans, requests);
	EXPECT_GE(spans.n, 20);
	/* Setting it takes a moment, in which it stands still. */
	for (int i = 0; i < spans.n; i++) {
		EXPECT_GE(otlp_json__u64(spans.span[i], "startTimeUnixNano") + 100 * MS, before);
		EXPECT_GE(otlp_json__u64(spans.span[i], "endTimeUnixNano"),
			  otlp_json__u64(spans.span[i], "startTimeUnixNano"));
		EXPECT_LE(otlp_json__u64(spans.span[i], "endTimeUnixNano"), after);
	}
}

/*
 * The machine sleeps while a thread waits: the span is as long as that was, and begins before it.
 * By request only (make long), as a machine that is late may be woken before it sleeps, and then
 * never.
 */
TEST_TIMEOUT(machine_sleeps_in_between, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct output output;
	static struct spans spans;
	struct timespec awake, all;
	__u64 before, after, slept;

	if (!getenv("OTELBPF_OWN_KERNEL") || !getenv("OTELBPF_SUSPEND"))
		SKIP("OTELBPF_SUSPEND=1 lets a virtual machine sleep and wake up");
	live__load(live, EVERY_CALL, WITHOUT_LIMIT);
	clock_gettime(CLOCK_MONOTONIC, &awake);
	clock_gettime(CLOCK_BOOTTIME, &all);
	slept = (all.tv_sec - awake.tv_sec) * 1000 * MS + all.tv_nsec - awake.tv_nsec;
	before = utc();
	live__run(&output, live__join, live,
		  (const char *const[]){"/bin/sh", "-c",
					"sleep 3 & echo 0 > /sys/class/rtc/rtc0/wakealarm; "
					"echo +8 > /sys/class/rtc/rtc0/wakealarm; echo mem > "
					"/sys/power/state; wait",
					NULL});
	after = utc();
	ASSERT_EQ(output.code, 0);
	clock_gettime(CLOCK_MONOTONIC, &awake);
	clock_gettime(CLOCK_BOOTTIME, &all);
	slept = (all.tv_sec - awake.tv_sec) * 1000 * MS + all.tv_nsec - awake.tv_nsec - slept;
	ASSERT_GE(slept, 1000 * MS);
	requests = live__export_file(live);
	spans__of(&spans, requests);
	/* The shell's own write, and the waits for it: of two processes at least. */
	for (int i = 0; i < spans.n; i++) {
		EXPECT_GE(otlp_json__u64(spans.span[i], "startTimeUnixNano") + 1000 * MS, before);
		EXPECT_LE(otlp_json__u64(spans.span[i], "endTimeUnixNano"), after + 1000 * MS);
	}
	for (int i = 0; i < 2; i++) {
		const char *name = i ? "syscall write" : "syscall clock_nanosleep";
		__u64 longest = 0;

		for (int k = 0; k < spans.n; k++) {
			__u64 ns = otlp_json__u64(spans.span[k], "endTimeUnixNano") -
				   otlp_json__u64(spans.span[k], "startTimeUnixNano");

			if ((!strcmp(otlp_json__text(spans.span[k], "name"), name) ||
			     (!i && !strcmp(otlp_json__text(spans.span[k], "name"),
					    "syscall nanosleep"))) &&
			    ns > longest)
				longest = ns;
		}
		EXPECT_GE(longest, slept);
		EXPECT_LE(longest, after - before + 1000 * MS);
	}
}

/* --- parents ---------------------------------------------------------------------------------- */

static const struct json_object *longest_of(const struct spans *spans, const char *thread)
{
	struct json_object *longest = NULL;
	__u64 most = 0;

	for (int i = 0; i < spans->n; i++) {
		const char *name = otlp_json__attr(spans->span[i], "thread.name");
		__u64 ns = otlp_json__u64(spans->span[i], "endTimeUnixNano") -
			   otlp_json__u64(spans->span[i], "startTimeUnixNano");

		if (!name || strcmp(name, thread) || ns < most)
			continue;
		longest = spans->span[i];
		most = ns;
	}
	return longest;
}

TEST_TIMEOUT(context_is_the_parent, 60)
{
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct output output;
	static struct spans spans;
	char map[160], thread[16], trace_id[33], span_id[17];

	live__load(live, EVERY_CALL, WITHOUT_LIMIT);
	snprintf(map, sizeof(map), "%s/otel_traces_ctx_v1", live->shared_dir);
	live__run(&output, live__join, live,
		  (const char *const[]){TOOL("traced"), map, "block", "100", NULL});
	ASSERT_EQ(output.code, 0);
	export_to(collector, "http/protobuf");
	requests = collector__lines(collector, "resourceSpans");
	spans__of(&spans, requests);
	expect_ids(&spans);
	/* Thread 3's context is another, 9, by the end of its call. */
	for (int n = 0; n < 4; n++) {
		struct json_object *span;

		snprintf(thread, sizeof(thread), "ctx%d", n);
		span = (struct json_object *)longest_of(&spans, thread);
		ASSERT_TRUE(span);
		for (int i = 0; i < 16; i++)
			snprintf(trace_id + 2 * i, 3, "%02x", n);
		for (int i = 0; i < 8; i++)
			snprintf(span_id + 2 * i, 3, "%02x", n);
		EXPECT_STREQ(otlp_json__text(span, "parentSpanId"), n ? span_id : "");
		if (n)
			EXPECT_STREQ(otlp_json__text(span, "traceId"), trace_id);
		else
			EXPECT_STRNE(otlp_json__text(span, "traceId"), trace_id);
		EXPECT_STREQ(otlp_json__text(span, "name"),
			     n == 3 ? "syscall read" : "syscall clock_nanosleep");
	}
}

/* --- log records ------------------------------------------------------------------------------ */

/* A probe that no line of loader or exporter knows. */
TEST_TIMEOUT(each_event_is_a_log_record, 60)
{
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	struct json_object *request, *resource, *scope, *record;
	__u64 before = utc(), time;
	char filter[PATH_MAX + 16], last[17] = "";
	int n = 0;

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", "-q", OBJECT_DIR "/selftests/progs/notes.bpf.o", "--set",
		   "notes.events=1", "--filter", filter);
	EXPECT_EQ(live__workload(live, "a", "restart"), 0);
	export_to(collector, "http/protobuf");
	requests = collector__lines(collector, "resourceLogs");
	for_each_of(request, requests) for_each_of(resource, get(request, "resourceLogs"))
		for_each_of(scope, get(resource, "scopeLogs"))
			for_each_of(record, get(scope, "logRecords"))
	{
		const char *uid = otlp_json__attr(record, "log.record.uid");

		n++;
		EXPECT_STREQ(otlp_json__text(record, "eventName"), "test.getppid");
		EXPECT_STREQ(otlp_json__text(get(record, "body"), "stringValue"),
			     "Somebody asked for the parent");
		EXPECT_EQ(otlp_json__u64(record, "severityNumber"), 13);
		EXPECT_STREQ(otlp_json__text(record, "severityText"), "WARN");
		EXPECT_STREQ(otlp_json__attr(record, "test.number"), "-7");
		EXPECT_TRUE(otlp_json__attr(get(resource, "resource"), "process.pid"));
		time = otlp_json__u64(record, "timeUnixNano");
		EXPECT_GE(time, before);
		EXPECT_LE(time, utc());
		EXPECT_LE(time, otlp_json__u64(record, "observedTimeUnixNano"));
		EXPECT_STREQ(otlp_json__text(record, "traceId"), "");
		ASSERT_TRUE(uid);
		EXPECT_EQ(strlen(uid), 16);
		EXPECT_STRNE(uid, last);
		snprintf(last, sizeof(last), "%s", uid);
	}
	EXPECT_EQ(n, 5);
}

/* --- losses ----------------------------------------------------------------------------------- */

/* Exported again and again, so that the ring's end comes in the middle of a record. */
TEST_TIMEOUT(what_finds_no_room_is_counted, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;
	static struct spans spans;
	char spec[128];
	int sent = 0, cut;

	live__load(live, EVERY_CALL, WITHOUT_LIMIT, "--set",
		   "syscalls.slow_calls.max_entries=4096");
	for (int i = 1; i <= 5; i++) {
		_cleanup_json_ struct json_object *requests = NULL;

		snprintf(spec, sizeof(spec), "file:%s/events%d.jsonl", live->tmp, i);
		EXPECT_EQ(live__workload(live, "a", "mix"), 0);
		ASSERT_EQ(live__exporter(&output, "-q", "--output", spec, "--interval", "60s",
					 "--duration", "1ms"),
			  0);
		requests = live__read_lines(spec + strlen("file:"), &cut);
		spans__of(&spans, requests);
		expect_ids(&spans);
		/* A page has room for some 30 of them. */
		EXPECT_GT(spans.n, 30);
		EXPECT_LT(spans.n, 40);
		sent += spans.n;
		EXPECT_EQ(sent + losses(json_object_array_get_idx(requests, 0), "event_ring_full"),
			  i * MIX_CALLS);
		EXPECT_EQ(losses(json_object_array_get_idx(requests, 0), "event_suppressed"), 0);
	}
}

TEST_TIMEOUT(what_is_too_often_is_counted, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct spans spans;
	__u64 start = utc(), ns;

	live__load(live, EVERY_CALL, "--set", "syscalls.events_per_second=20");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	ns = utc() - start;
	requests = live__export_file(live);
	spans__of(&spans, requests);
	/* A bucket of a second's worth, and what flowed in meanwhile. */
	EXPECT_GE(spans.n, 20);
	EXPECT_LE(spans.n, 21 + ns * 20 / (1000 * MS));
	EXPECT_EQ(spans.n + losses(requests, "event_suppressed"), MIX_CALLS);
	EXPECT_EQ(losses(requests, "event_ring_full"), 0);
}

/* --- once more -------------------------------------------------------------------------------- */

static struct json_object *request_of(struct receiver *receiver, size_t number)
{
	const struct request *request = receiver__request(receiver, number);
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *list = json_object_new_array(), *parsed;

	EXPECT_TRUE(strstr(request->line, "/v1/traces"));
	parsed = json_tokener_parse_ex(tokener, (const char *)request->body, request->len);
	json_tokener_free(tokener);
	ASSERT_TRUE(parsed);
	json_object_array_add(list, parsed);
	return list;
}

static void traces_to(const struct receiver *receiver, const struct receiver *others)
{
	char url[128];

	snprintf(url, sizeof(url), "%s/v1/traces", receiver__url(receiver));
	setenv("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", url, 1);
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver__url(others), 1);
	setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json", 1);
}

static void ids_of(const struct spans *spans, char *text, size_t size)
{
	static const char *ids[SPANS_MAX];
	size_t len = 0;

	for (int i = 0; i < spans->n; i++)
		ids[i] = otlp_json__text(spans->span[i], "spanId");
	qsort(ids, spans->n, sizeof(*ids), by_text);
	for (int i = 0; i < spans->n; i++)
		len += snprintf(text + len, size - len, "%s ", ids[i]);
}

/*
 * Killed after the request went out and before its answer came. Whether the receiver took it
 * nobody knows, so the next exporter sends it again; a third has nothing to send.
 */
TEST_TIMEOUT(killed_before_the_acknowledgment, 60)
{
	static const struct reply reply_of[] = {{.hang = true}, {.status = 200}};
	struct receiver *receiver = receiver__start(reply_of, 2);
	struct receiver *others = receiver__start(&reply_of[1], 1);
	_cleanup_json_ struct json_object *first = NULL, *second = NULL;
	_cleanup_live_ struct live *live = live__begin();
	static char ids[2][SPANS_MAX];
	static struct output output;
	static struct spans spans;
	pid_t pid;

	live__load(live, EVERY_CALL, "--set", "syscalls.events_per_second=20");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	traces_to(receiver, others);
	pid = live__start_exporter("--interval", "1h");
	while (!receiver__count(receiver))
		usleep(1000);
	kill(pid, SIGKILL);
	EXPECT_EQ(live__wait(pid), -SIGKILL);
	first = request_of(receiver, 0);
	spans__of(&spans, first);
	EXPECT_GE(spans.n, 20);
	ids_of(&spans, ids[0], sizeof(ids[0]));

	for (int i = 0; i < 2; i++)
		ASSERT_EQ(live__exporter(&output, "-q", "--interval", "1h", "--duration", "1ms"),
			  0);
	EXPECT_EQ(receiver__count(receiver), 2);
	second = request_of(receiver, 1);
	spans__of(&spans, second);
	ids_of(&spans, ids[1], sizeof(ids[1]));
	EXPECT_STREQ(ids[0], ids[1]);
	receiver__stop(receiver);
	receiver__stop(others);
}

/* What a receiver cannot take now stays; what it refuses for good is given up, and said. */
TEST_TIMEOUT(only_what_is_acknowledged_goes, 60)
{
	static const struct reply reply_of[] = {{.status = 200, .close = true}, {.status = 400}};
	struct receiver *away = receiver__start(reply_of, 1);
	struct receiver *refusing = receiver__start(&reply_of[1], 1);
	static const struct reply good = {.status = 200};
	struct receiver *others = receiver__start(&good, 1);
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct output output;
	static struct spans spans;

	live__load(live, EVERY_CALL, "--set", "syscalls.events_per_second=20");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	traces_to(away, others);
	setenv("OTEL_METRIC_EXPORT_TIMEOUT", "1", 1);
	live__exporter(&output, "-q", "--interval", "1h", "--duration", "1ms");
	EXPECT_TRUE(strstr(output.err, "not delivered (the kernel's maps keep it)"));
	unsetenv("OTEL_METRIC_EXPORT_TIMEOUT");
	/* One that owns nothing reads and leaves it. */
	requests = live__export_file(live);
	spans__of(&spans, requests);
	EXPECT_GE(spans.n, 20);
	live__put_json(&requests);
	traces_to(refusing, others);
	live__exporter(&output, "-q", "--interval", "1h", "--duration", "1ms");
	EXPECT_TRUE(strstr(output.err, "these events are given up"));
	requests = live__export_file(live);
	spans__of(&spans, requests);
	EXPECT_EQ(spans.n, 0);
	receiver__stop(away);
	receiver__stop(refusing);
	receiver__stop(others);
}

TEST_MAIN()
