// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Spans and log records without a kernel: what an object's BTF says of its records, and
 * records made by hand, read back from the request as JSON. What a Collector makes of them is
 * in live_events_test.
 */
#include <bpf/btf.h>
#include <errno.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "event/batch.h"
#include "event/ring.h"
#include "ktap.h"
#include "otlp/json.h"
#include "tagged.h"

#define SPANS_OBJECT OBJECT_DIR "/progs/syscalls.bpf.o"
#define TCP_OBJECT OBJECT_DIR "/progs/tcp.bpf.o"
#define LOGS_OBJECT OBJECT_DIR "/selftests/progs/notes.bpf.o"
#define SECOND 1000000000ULL
#define NOW (1800000000 * SECOND)
#define BOOT (5000 * SECOND)

struct described {
	struct btf *btf;
	struct tagged *tagged;
	struct bpf_map_info info;
	struct event_layout *layout;
	char why[256];
};

static void describe(struct described *d, const char *object, const char *variable)
{
	const struct btf_type *value;
	char name[64];
	__u32 var;
	int id;

	*d = (struct described){.btf = btf__parse(object, NULL)};
	ASSERT_TRUE(d->btf);
	d->tagged = tagged__new(d->btf);
	ASSERT_TRUE(d->tagged);
	/* As OTEL_EVENTS() names the struct and its variable. */
	snprintf(name, sizeof(name), "%s_state", variable);
	id = btf__find_by_name_kind(d->btf, name, BTF_KIND_STRUCT);
	ASSERT_GT(id, 0);
	value = btf__type_by_id(d->btf, id);
	d->info = (struct bpf_map_info){
		.btf_value_type_id = id, .value_size = value->size, .max_entries = 1};
	var = tagged__variable(d->btf, name);
	ASSERT_GT(var, 0);
	d->layout = event_layout__compile(&d->info, d->btf, d->tagged, var, d->why, sizeof(d->why));
}

static void forget(struct described *d)
{
	event_layout__free(d->layout);
	tagged__free(d->tagged);
	btf__free(d->btf);
}

TEST(object_says_what_its_records_are)
{
	struct described d;

	describe(&d, SPANS_OBJECT, "slow_calls");
	ASSERT_TRUE(d.layout);
	EXPECT_STREQ(d.layout->ring, "slow_calls");
	EXPECT_FALSE(d.layout->is_log);
	EXPECT_STREQ(d.layout->name, "syscall");
	EXPECT_EQ(d.layout->kind, SPAN_KIND_INTERNAL);
	EXPECT_EQ(d.layout->n_attrs, 5);
	forget(&d);
	describe(&d, LOGS_OBJECT, "notes");
	ASSERT_TRUE(d.layout);
	EXPECT_TRUE(d.layout->is_log);
	EXPECT_EQ(d.layout->severity, 13);
	forget(&d);
}

/* A map that is smaller than its type says must not make us read behind it. */
TEST(record_that_does_not_fit_is_refused)
{
	struct described d;
	__u32 var;

	describe(&d, SPANS_OBJECT, "slow_calls");
	event_layout__free(d.layout);
	d.info.value_size = 8;
	var = tagged__variable(d.btf, "slow_calls_state");
	d.layout = event_layout__compile(&d.info, d.btf, d.tagged, var, d.why, sizeof(d.why));
	EXPECT_FALSE(d.layout);
	EXPECT_EQ(errno, EINVAL);
	EXPECT_STRNE(d.why, "");
	forget(&d);
}

/* --- records made by hand ------------------------------------------------------------------- */

struct made {
	struct described d;
	struct resources *resources;
	struct batch batch;
	struct batch_source source;
	__u8 record[512];
};

static void made__begin(struct made *made, const char *object, const char *variable)
{
	memset(made, 0, sizeof(*made));
	describe(&made->d, object, variable);
	ASSERT_TRUE(made->d.layout);
	ASSERT_LE(made->d.layout->size, sizeof(made->record));
	made->resources = resources__new(NULL, NULL);
	ASSERT_TRUE(made->resources);
	made->source = (struct batch_source){
		.layout = made->d.layout,
		.resources = made->resources,
		.names_fd = -1,
		.clock = {.boot_ns = BOOT, .utc_ns = NOW},
	};
	batch__begin(&made->batch);
}

static void made__end(struct made *made)
{
	batch__free(&made->batch);
	resources__free(made->resources);
	forget(&made->d);
}

static void put(struct made *made, int offset, const void *bytes, size_t size)
{
	memcpy(made->record + offset, bytes, size);
}

static void put64(struct made *made, int offset, __u64 v)
{
	put(made, offset, &v, sizeof(v));
}

static void put_attr(struct made *made, const char *name, const void *bytes, size_t size)
{
	for (int i = 0; i < made->d.layout->n_attrs; i++)
		if (!strcmp(made->d.layout->attrs[i].attr.name, name)) {
			ASSERT_LE(size, made->d.layout->attrs[i].attr.size);
			put(made, made->d.layout->attrs[i].attr.offset, bytes, size);
			return;
		}
	ASSERT_TRUE(!"there is no such attribute");
}

static void put_ids(struct made *made, int trace, int span, int parent)
{
	__u8 ids[TRACE_ID_LEN + SPAN_ID_LEN];

	memset(ids, trace, TRACE_ID_LEN);
	memset(ids + TRACE_ID_LEN, span, SPAN_ID_LEN);
	put(made, made->d.layout->trace, ids, sizeof(ids));
	memset(ids, parent, SPAN_ID_LEN);
	put(made, made->d.layout->parent, ids, SPAN_ID_LEN);
}

static void put_process(struct made *made, __u32 pid)
{
	struct otel_process_id id = {.pid = pid, .start_ns = 1};

	put(made, made->d.layout->process, &id, sizeof(id));
}

static struct json_object *made__json(struct made *made, enum signal_kind kind, const char *groups)
{
	const struct pb *request = batch__finish(&made->batch, "otelbpf/test");
	struct json_object *json, *list;

	ASSERT_TRUE(request);
	EXPECT_LE(request->len, batch__size(&made->batch));
	json = otlp__to_json(kind, request->data, request->len);
	ASSERT_TRUE(json);
	ASSERT_TRUE(json_object_object_get_ex(json, groups, &list));
	return json;
}

static struct json_object *walk(struct json_object *at, const char *path)
{
	char name[64];

	while (at && *path) {
		size_t len = strcspn(path, "/");

		snprintf(name, sizeof(name), "%.*s", (int)len, path);
		at = name[0] >= '0' && name[0] <= '9' ? json_object_array_get_idx(at, atoi(name))
						      : json_object_object_get(at, name);
		path += len + !!path[len];
	}
	return at;
}

static const char *text(struct json_object *json, const char *path)
{
	struct json_object *at = walk(json, path);

	return at ? json_object_to_json_string_ext(at, JSON_C_TO_STRING_PLAIN |
							       JSON_C_TO_STRING_NOSLASHESCAPE)
		  : "";
}

#define SPAN "resourceSpans/0/scopeSpans/0/spans/0/"

TEST(span_of_a_failed_call)
{
	struct json_object *json;
	struct made made;
	__u32 nr = 3, error = ENOENT, thread = 12;

	made__begin(&made, SPANS_OBJECT, "slow_calls");
	put64(&made, made.d.layout->end, BOOT - SECOND);
	put64(&made, made.d.layout->duration, SECOND / 2);
	put_ids(&made, 0xab, 0xcd, 0xef);
	put_process(&made, 11);
	put_attr(&made, "thread.id", &thread, sizeof(thread));
	put_attr(&made, "thread.name", "worker", 7);
	put_attr(&made, "syscall.name", &nr, sizeof(nr));
	put_attr(&made, "error.type", &error, sizeof(error));
	ASSERT_EQ(batch__add(&made.batch, &made.source, made.record), 0);
	json = made__json(&made, SIGNAL_TRACES, "resourceSpans");
	EXPECT_STREQ(text(json, SPAN "traceId"), "\"abababababababababababababababab\"");
	EXPECT_STREQ(text(json, SPAN "spanId"), "\"cdcdcdcdcdcdcdcd\"");
	EXPECT_STREQ(text(json, SPAN "parentSpanId"), "\"efefefefefefefef\"");
	EXPECT_STREQ(text(json, SPAN "startTimeUnixNano"), "\"1799999998500000000\"");
	EXPECT_STREQ(text(json, SPAN "endTimeUnixNano"), "\"1799999999000000000\"");
	EXPECT_STREQ(text(json, SPAN "kind"), "1");
	EXPECT_STREQ(text(json, SPAN "status"), "{\"code\":2}");
	EXPECT_STREQ(text(json, "resourceSpans/0/scopeSpans/0/scope/name"), "\"otelbpf/test\"");
	EXPECT_STREQ(text(json, SPAN "attributes"),
		     "[{\"key\":\"thread.id\",\"value\":{\"intValue\":\"12\"}},"
		     "{\"key\":\"thread.name\",\"value\":{\"stringValue\":\"worker\"}},"
		     "{\"key\":\"syscall.name\",\"value\":{\"stringValue\":\"close\"}},"
		     "{\"key\":\"error.type\",\"value\":{\"stringValue\":\"ENOENT\"}}]");
	EXPECT_STREQ(text(json, SPAN "name"), "\"syscall close\"");
	json_object_put(json);
	made__end(&made);
}

/* Neither a parent nor a status: the fields are not there. */
TEST(span_of_its_own)
{
	struct json_object *json;
	struct made made;

	made__begin(&made, SPANS_OBJECT, "slow_calls");
	put64(&made, made.d.layout->end, BOOT);
	put_ids(&made, 1, 2, 0);
	ASSERT_EQ(batch__add(&made.batch, &made.source, made.record), 0);
	json = made__json(&made, SIGNAL_TRACES, "resourceSpans");
	EXPECT_FALSE(walk(json, SPAN "parentSpanId"));
	EXPECT_FALSE(walk(json, SPAN "status"));
	json_object_put(json);
	made__end(&made);
}

TEST(log_record)
{
	static const char path[] = "resourceLogs/0/scopeLogs/0/logRecords/0/";
	struct json_object *json;
	struct made made;
	__s64 number = -5;
	char want[512];

	made__begin(&made, LOGS_OBJECT, "notes");
	put64(&made, made.d.layout->end, BOOT + SECOND);
	put_ids(&made, 0x11, 0x22, 0x33);
	put_attr(&made, "test.number", &number, sizeof(number));
	ASSERT_EQ(batch__add(&made.batch, &made.source, made.record), 0);
	json = made__json(&made, SIGNAL_LOGS, "resourceLogs");
	snprintf(want, sizeof(want), "%s", text(json, path));
	EXPECT_STREQ(text(walk(json, path), "timeUnixNano"), "\"1800000001000000000\"");
	EXPECT_STREQ(text(walk(json, path), "observedTimeUnixNano"), "\"1800000000000000000\"");
	EXPECT_STREQ(text(walk(json, path), "severityNumber"), "13");
	EXPECT_STREQ(text(walk(json, path), "severityText"), "\"WARN\"");
	EXPECT_STREQ(text(walk(json, path), "eventName"), "\"test.getppid\"");
	EXPECT_STREQ(text(walk(json, path), "traceId"), "\"11111111111111111111111111111111\"");
	EXPECT_STREQ(text(walk(json, path), "spanId"), "\"2222222222222222\"");
	EXPECT_TRUE(strstr(want,
			   "\"log.record.uid\",\"value\":{\"stringValue\":\"3333333333333333\"}"));
	EXPECT_TRUE(strstr(want, "\"test.number\",\"value\":{\"intValue\":\"-5\"}"));
	json_object_put(json);
	made__end(&made);
}

/* Whatever order they come in, each process has one Resource, and its records keep theirs. */
TEST(records_by_process)
{
	struct json_object *json, *groups;
	struct made made;
	int seen = 0;

	made__begin(&made, SPANS_OBJECT, "slow_calls");
	for (int i = 0; i < 300; i++) {
		__u32 thread = 1 + i;

		put_process(&made, 100 + i % 3);
		put_ids(&made, 1, 1 + i % 200, 0);
		put_attr(&made, "thread.id", &thread, sizeof(thread));
		ASSERT_EQ(batch__add(&made.batch, &made.source, made.record), 0);
	}
	json = made__json(&made, SIGNAL_TRACES, "resourceSpans");
	groups = walk(json, "resourceSpans");
	ASSERT_EQ(json_object_array_length(groups), 3);
	for (int g = 0; g < 3; g++) {
		struct json_object *group = json_object_array_get_idx(groups, g);
		struct json_object *spans = walk(group, "scopeSpans/0/spans");
		char want[80];

		snprintf(want, sizeof(want),
			 "{\"key\":\"process.pid\",\"value\":{\"intValue\":\"%d\"}}", 100 + g);
		EXPECT_TRUE(strstr(text(group, "resource/attributes"), want));
		ASSERT_EQ(json_object_array_length(spans), 100);
		for (int i = 0; i < 100; i++, seen++) {
			snprintf(want, sizeof(want), "\"%d\"", 1 + 3 * i + g);
			EXPECT_STREQ(text(json_object_array_get_idx(spans, i),
					  "attributes/0/value/intValue"),
				     want);
		}
	}
	EXPECT_EQ(seen, 300);
	json_object_put(json);
	made__end(&made);
}

/* Whose it is nobody knows: there is no process, and no thread, of number 0. */
TEST(record_of_nobody)
{
	struct json_object *json;
	struct made made;
	const char *attributes;

	made__begin(&made, TCP_OBJECT, "reset_events");
	put_ids(&made, 0, 0, 1);
	ASSERT_EQ(batch__add(&made.batch, &made.source, made.record), 0);
	json = made__json(&made, SIGNAL_LOGS, "resourceLogs");
	EXPECT_FALSE(strstr(text(json, "resourceLogs/0/resource"), "process.pid"));
	attributes = text(json, "resourceLogs/0/scopeLogs/0/logRecords/0/attributes");
	EXPECT_FALSE(strstr(attributes, "thread."));
	EXPECT_FALSE(strstr(attributes, "network.peer."));
	EXPECT_TRUE(strstr(attributes, "network.transport"));
	json_object_put(json);
	made__end(&made);
}

/* A record may say its kind, if it is one. */
TEST(kind_of_a_record)
{
	static const struct {
		__u32 says;
		const char *is;
	} kinds[] = {{0, "3"}, {1, "1"}, {2, "2"}, {3, "3"}, {5, "5"}, {6, "3"}, {~0U, "3"}};
	struct made made;

	made__begin(&made, TCP_OBJECT, "failed_connections");
	ASSERT_GE(made.d.layout->kind_at, 0);
	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		struct json_object *json;

		batch__begin(&made.batch);
		put_process(&made, 1);
		put_ids(&made, 1, 1, 0);
		put(&made, made.d.layout->kind_at, &kinds[i].says, sizeof(kinds[i].says));
		ASSERT_EQ(batch__add(&made.batch, &made.source, made.record), 0);
		json = made__json(&made, SIGNAL_TRACES, "resourceSpans");
		EXPECT_STREQ(text(json, SPAN "kind"), kinds[i].is);
		json_object_put(json);
	}
	made__end(&made);
}

/* --- clocks ----------------------------------------------------------------------------------- */

TEST(clock_of_a_record)
{
	struct event_clock clock = {.boot_ns = BOOT, .utc_ns = NOW}, early = {BOOT, 1000};
	struct event_clock now = event_clock__now(), later = event_clock__now();

	EXPECT_EQ(event_clock__utc(&clock, BOOT), NOW);
	EXPECT_EQ(event_clock__utc(&clock, BOOT - 7), NOW - 7);
	EXPECT_EQ(event_clock__utc(&clock, BOOT + 7), NOW + 7);
	/* A clock that says 1970: no time wraps around. */
	EXPECT_EQ(event_clock__utc(&early, 0), 1);
	EXPECT_GE(later.boot_ns, now.boot_ns);
	EXPECT_LE(event_clock__utc(&now, later.boot_ns) - later.utc_ns + SECOND / 10, SECOND / 5);
}

/* --- the ring's memory ------------------------------------------------------------------------ */

static __u8 memory[2 * 4096] __attribute__((aligned(8)));
static __u64 producer;

static void ring_put(__u64 at, __u32 header)
{
	for (int copy = 0; copy < 2; copy++)
		memcpy(memory + (at & 4095) + copy * 4096, &header, sizeof(header));
}

TEST(ring_is_walked_record_by_record)
{
	struct ring ring = {.size = 4096, .producer = &producer, .data = memory};
	__u64 position = 4096 * 7 + 4000;
	const void *record;
	size_t len;

	producer = position;
	EXPECT_FALSE(ring__next(&ring, &position, &record, &len));
	/* 96 bytes to the end: the second record begins there and goes on at the beginning. */
	ring_put(position, 20);
	ring_put(position + 32, 100);
	ring_put(position + 32 + 112, 8 | BPF_RINGBUF_DISCARD_BIT);
	ring_put(position + 32 + 112 + 16, 8 | BPF_RINGBUF_BUSY_BIT);
	producer = position + 32 + 112 + 16 + 16;
	ASSERT_TRUE(ring__next(&ring, &position, &record, &len));
	EXPECT_EQ(len, 20);
	EXPECT_TRUE(record == memory + 4000 + 8);
	ASSERT_TRUE(ring__next(&ring, &position, &record, &len));
	EXPECT_EQ(len, 100);
	EXPECT_TRUE(record == memory + 4032 + 8);
	ASSERT_TRUE(ring__next(&ring, &position, &record, &len));
	EXPECT_FALSE(record);
	/* Its writer has not finished. */
	EXPECT_FALSE(ring__next(&ring, &position, &record, &len));
	EXPECT_EQ(position, producer - 16);
	/* What cannot be is not believed: a record that ends behind what was written. */
	ring_put(position, 9);
	EXPECT_FALSE(ring__next(&ring, &position, &record, &len));
	ring_put(position, 8);
	EXPECT_TRUE(ring__next(&ring, &position, &record, &len));
	EXPECT_FALSE(ring__next(&ring, &position, &record, &len));
	position = producer + 8;
	EXPECT_FALSE(ring__next(&ring, &position, &record, &len));
}

TEST_MAIN()
