// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* OTLP/JSON from messages encoded here, against text written by hand. */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdio.h>
#include <time.h>

#include "ktap.h"
#include "otlp/fields.h"
#include "otlp/json.h"
#include "otlp/pb.h"
#include "otlp/schema.h"

static char *to_text(enum signal_kind kind, const void *data, size_t len)
{
	struct json_object *json = otlp__to_json(kind, data, len);
	char *text = json ? strdup(json_object_to_json_string_ext(
				    json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE))
			  : NULL;

	json_object_put(json);
	return text;
}

static void expect_json(enum signal_kind kind, struct pb *pb, const char *want)
{
	char *text = to_text(kind, pb->data, pb->len);

	EXPECT_STREQ(text, want);
	free(text);
	pb__free(pb);
}

/* Opens resource, scope and one item: close with close_item(). */
static void open_item(struct pb *pb, size_t opened[3])
{
	opened[0] = pb__open(pb, REQUEST_RESOURCES);
	opened[1] = pb__open(pb, RESOURCE_GROUP_SCOPES);
	opened[2] = pb__open(pb, SCOPE_GROUP_ITEMS);
}

static void close_item(struct pb *pb, const size_t opened[3])
{
	for (int i = 2; i >= 0; i--)
		pb__close(pb, opened[i]);
}

static void put_packed(struct pb *pb, __u32 field, const __u64 *values, size_t n)
{
	size_t opened = pb__open(pb, field);

	for (size_t i = 0; i < n; i++) {
		__u8 bytes[PB_VARINT_MAX];
		size_t len = pb_put__varint(bytes, values[i]) - bytes;

		pb__raw(pb, bytes, len);
	}
	pb__close(pb, opened);
}

/* An AnyValue alone, as the body of a log record. */
static void expect_value(const void *value, size_t len, const char *want)
{
	struct pb pb = {0};
	size_t opened[3];
	char all[1024];

	open_item(&pb, opened);
	pb__bytes(&pb, LOG_RECORD_BODY, value, len);
	close_item(&pb, opened);
	snprintf(all, sizeof(all),
		 "{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{\"body\":%s}]}]}]}", want);
	expect_json(SIGNAL_LOGS, &pb, all);
}

static void expect_double(double v, const char *want)
{
	struct pb pb = {0};
	char text[128];

	pb__double(&pb, ANY_VALUE_DOUBLE, v);
	snprintf(text, sizeof(text), "{\"doubleValue\":%s}", want);
	expect_value(pb.data, pb.len, text);
	pb__free(&pb);
}

TEST(empty_requests)
{
	static const enum signal_kind kinds[] = {SIGNAL_METRICS, SIGNAL_TRACES, SIGNAL_LOGS,
						 SIGNAL_PROFILES};

	for (size_t i = 0; i < SIGNAL_KINDS; i++) {
		struct pb pb = {0};

		expect_json(kinds[i], &pb, "{}");
	}
}

TEST(doubles_read_back)
{
	expect_double(0, "0");
	expect_double(-0.0, "-0");
	expect_double(1, "1");
	expect_double(0.1, "0.1");
	expect_double(1.0 / 3, "0.3333333333333333");
	expect_double(0.1 + 0.2, "0.30000000000000004");
	expect_double(1e300, "1e+300");
	expect_double(5e-324, "4.94065645841247e-324");
	expect_double(1.7976931348623157e308, "1.7976931348623157e+308");
	expect_double(9007199254740993.0, "9007199254740992");
	expect_double(NAN, "\"NaN\"");
	expect_double(INFINITY, "\"Infinity\"");
	expect_double(-INFINITY, "\"-Infinity\"");
}

TEST(any_values)
{
	static const struct {
		const char *bytes;
		size_t len;
		const char *json;
	} table[] = {
		{"", 0, "{}"},
		{"\x0a\x00", 2, "{\"stringValue\":\"\"}"},
		{"\x0a\x05ok/\"\\", 7, "{\"stringValue\":\"ok/\\\"\\\\\"}"},
		{"\x0a\x03\x01\n\x00", 5, "{\"stringValue\":\"\\u0001\\n\\u0000\"}"},
		{"\x0a\x02\xc3\xa9", 4, "{\"stringValue\":\"\xc3\xa9\"}"},
		{"\x0a\x04\xf0\x9f\x98\x80", 6, "{\"stringValue\":\"\xf0\x9f\x98\x80\"}"},
		/* No UTF-8: a lone byte, an overlong '/', a surrogate, a cut sequence. */
		{"\x0a\x03"
		 "a\xff"
		 "b",
		 5,
		 "{\"stringValue\":\"a\xef\xbf\xbd"
		 "b\"}"},
		{"\x0a\x02\xc0\xaf", 4, "{\"stringValue\":\"\xef\xbf\xbd\xef\xbf\xbd\"}"},
		{"\x0a\x03\xed\xa0\x80", 5,
		 "{\"stringValue\":\"\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\"}"},
		{"\x0a\x03"
		 "a\xe2\x82",
		 5, "{\"stringValue\":\"a\xef\xbf\xbd\xef\xbf\xbd\"}"},
		{"\x10\x00", 2, "{\"boolValue\":false}"},
		{"\x10\x01", 2, "{\"boolValue\":true}"},
		{"\x18\x7b", 2, "{\"intValue\":\"123\"}"},
		{"\x18\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11, "{\"intValue\":\"-1\"}"},
		{"\x18\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11,
		 "{\"intValue\":\"-9223372036854775808\"}"},
		{"\x18\xff\xff\xff\xff\xff\xff\xff\xff\x7f", 10,
		 "{\"intValue\":\"9223372036854775807\"}"},
		{"\x2a\x00", 2, "{\"arrayValue\":{}}"},
		{"\x2a\x08\x0a\x02\x18\x01\x0a\x02\x10\x01", 10,
		 "{\"arrayValue\":{\"values\":[{\"intValue\":\"1\"},{\"boolValue\":true}]}}"},
		{"\x32\x09\x0a\x07\x0a\x01k\x12\x02\x18\x02", 11,
		 "{\"kvlistValue\":{\"values\":[{\"key\":\"k\",\"value\":{\"intValue\":\"2\"}}]}}"},
		{"\x3a\x00", 2, "{\"bytesValue\":\"\"}"},
		{"\x3a\x01\x66", 3, "{\"bytesValue\":\"Zg==\"}"},
		{"\x3a\x02\x66\x6f", 4, "{\"bytesValue\":\"Zm8=\"}"},
		{"\x3a\x03\xfb\xff\xbf", 5, "{\"bytesValue\":\"+/+/\"}"},
		{"\x40\x07", 2, "{\"stringValueStrindex\":7}"},
		/* A oneof: the last member holds. */
		{"\x18\x01\x0a\x01x", 5, "{\"stringValue\":\"x\"}"},
		{"\x0a\x01x\x18\x01", 5, "{\"intValue\":\"1\"}"},
		/* Not in the schema: field 9, a varint, and field 15, fixed32. */
		{"\x48\x01\x7d"
		 "abcd\x18\x01",
		 9, "{\"intValue\":\"1\"}"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++)
		expect_value(table[i].bytes, table[i].len, table[i].json);
}

TEST(metric_number)
{
	struct pb pb = {0};
	size_t opened[3], sum, point, attribute, value;

	open_item(&pb, opened);
	pb__string(&pb, METRIC_NAME, "system.syscall.errors");
	pb__string(&pb, METRIC_UNIT, "{call}");
	sum = pb__open(&pb, METRIC_SUM);
	for (int i = 0; i < 2; i++) {
		point = pb__open(&pb, SUM_DATA_POINTS);
		attribute = pb__open(&pb, NUMBER_POINT_ATTRIBUTES);
		pb__string(&pb, KEY_VALUE_KEY, "error.type");
		value = pb__open(&pb, KEY_VALUE_VALUE);
		pb__string(&pb, ANY_VALUE_STRING, i ? "EPERM" : "ENOENT");
		pb__close(&pb, value);
		pb__close(&pb, attribute);
		pb__fixed64(&pb, NUMBER_POINT_START_TIME, 1700000000000000001ULL);
		pb__fixed64(&pb, NUMBER_POINT_TIME, ~0ULL);
		if (i)
			pb__double(&pb, NUMBER_POINT_AS_DOUBLE, 0.5);
		else
			pb__fixed64(&pb, NUMBER_POINT_AS_INT, -5LL);
		pb__varint(&pb, NUMBER_POINT_FLAGS, ~0U);
		pb__close(&pb, point);
	}
	pb__varint(&pb, SUM_AGGREGATION_TEMPORALITY, TEMPORALITY_CUMULATIVE);
	pb__varint(&pb, SUM_IS_MONOTONIC, 1);
	pb__close(&pb, sum);
	close_item(&pb, opened);
	expect_json(
		SIGNAL_METRICS, &pb,
		"{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{"
		"\"name\":\"system.syscall.errors\",\"unit\":\"{call}\",\"sum\":{\"dataPoints\":["
		"{\"attributes\":[{\"key\":\"error.type\",\"value\":{\"stringValue\":\"ENOENT\"}}],"
		"\"startTimeUnixNano\":\"1700000000000000001\","
		"\"timeUnixNano\":\"18446744073709551615\",\"asInt\":\"-5\",\"flags\":4294967295},"
		"{\"attributes\":[{\"key\":\"error.type\",\"value\":{\"stringValue\":\"EPERM\"}}],"
		"\"startTimeUnixNano\":\"1700000000000000001\","
		"\"timeUnixNano\":\"18446744073709551615\",\"asDouble\":0.5,\"flags\":4294967295}],"
		"\"aggregationTemporality\":2,\"isMonotonic\":true}}]}]}]}");
}

TEST(metric_histograms)
{
	static const __u64 counts[] = {0, 1, 300, ~0ULL};
	struct pb pb = {0};
	size_t opened[3], histogram, point, packed;
	double bound = 0.5;
	__u64 count = 7;

	open_item(&pb, opened);
	histogram = pb__open(&pb, METRIC_EXPONENTIAL_HISTOGRAM);
	point = pb__open(&pb, HISTOGRAM_DATA_POINTS);
	pb__fixed64(&pb, EXPHIST_POINT_COUNT, 3);
	pb__double(&pb, EXPHIST_POINT_SUM, 0);
	pb__varint(&pb, EXPHIST_POINT_SCALE, pb__zigzag(-3));
	pb__fixed64(&pb, EXPHIST_POINT_ZERO_COUNT, 1);
	packed = pb__open(&pb, EXPHIST_POINT_POSITIVE);
	pb__varint(&pb, EXPHIST_BUCKETS_OFFSET, pb__zigzag(-2147483647 - 1));
	put_packed(&pb, EXPHIST_BUCKETS_BUCKET_COUNTS, counts, 4);
	/* Not packed: a reader must take it too, and it goes on where the packed ended. */
	pb__varint(&pb, EXPHIST_BUCKETS_BUCKET_COUNTS, 9);
	pb__close(&pb, packed);
	pb__close(&pb, point);
	pb__close(&pb, histogram);
	close_item(&pb, opened);
	expect_json(
		SIGNAL_METRICS, &pb,
		"{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{"
		"\"exponentialHistogram\":{\"dataPoints\":[{\"count\":\"3\",\"sum\":0,"
		"\"scale\":-3,\"zeroCount\":\"1\",\"positive\":{\"offset\":-2147483648,"
		"\"bucketCounts\":[\"0\",\"1\",\"300\",\"18446744073709551615\",\"9\"]}}]}}]}]}]}");

	open_item(&pb, opened);
	histogram = pb__open(&pb, METRIC_HISTOGRAM);
	point = pb__open(&pb, HISTOGRAM_DATA_POINTS);
	pb__bytes(&pb, HISTOGRAM_POINT_BUCKET_COUNTS, &count, 8);
	pb__bytes(&pb, HISTOGRAM_POINT_EXPLICIT_BOUNDS, &bound, 8);
	pb__double(&pb, HISTOGRAM_POINT_MIN, NAN);
	pb__close(&pb, point);
	pb__varint(&pb, HISTOGRAM_AGGREGATION_TEMPORALITY, TEMPORALITY_DELTA);
	pb__close(&pb, histogram);
	close_item(&pb, opened);
	expect_json(SIGNAL_METRICS, &pb,
		    "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":[{\"histogram\":{"
		    "\"dataPoints\":[{\"bucketCounts\":[\"7\"],\"explicitBounds\":[0.5],"
		    "\"min\":\"NaN\"}],\"aggregationTemporality\":1}}]}]}]}");
}

TEST(span)
{
	struct pb pb = {0};
	size_t opened[3], link, status;
	__u32 flags = 0x101;
	__u8 tag = 0x85; /* field 16, fixed32: two bytes of tag, 85 01 */

	open_item(&pb, opened);
	pb__bytes(&pb, SPAN_TRACE_ID,
		  "\x5b\x8e\xff\xf7\x98\x03\x81\x03\xd2\x69\xb6\x33\x81\x3f\xc6\x0c", 16);
	pb__bytes(&pb, SPAN_SPAN_ID, "\xee\xe1\x9b\x7e\xc3\xc1\xb1\x74", 8);
	pb__bytes(&pb, SPAN_PARENT_SPAN_ID, "", 0);
	pb__varint(&pb, SPAN_KIND, 2);
	link = pb__open(&pb, SPAN_LINKS);
	pb__bytes(&pb, SPAN_LINK_SPAN_ID, "\x00\x0a", 2);
	pb__close(&pb, link);
	status = pb__open(&pb, SPAN_STATUS);
	pb__varint(&pb, SPAN_STATUS_CODE, 2);
	pb__close(&pb, status);
	/* A submessage that comes again is merged. */
	status = pb__open(&pb, SPAN_STATUS);
	pb__string(&pb, SPAN_STATUS_MESSAGE, "EIO");
	pb__close(&pb, status);
	pb__raw(&pb, &tag, 1);
	pb__raw(&pb, "\x01", 1);
	flags = htole32(flags);
	pb__raw(&pb, &flags, 4);
	close_item(&pb, opened);
	expect_json(SIGNAL_TRACES, &pb,
		    "{\"resourceSpans\":[{\"scopeSpans\":[{\"spans\":[{"
		    "\"traceId\":\"5b8efff798038103d269b633813fc60c\","
		    "\"spanId\":\"eee19b7ec3c1b174\",\"parentSpanId\":\"\",\"kind\":2,"
		    "\"links\":[{\"spanId\":\"000a\"}],\"status\":{\"code\":2,\"message\":\"EIO\"},"
		    "\"flags\":257}]}]}]}");
}

TEST(log_record)
{
	struct pb pb = {0};
	size_t opened[3];

	open_item(&pb, opened);
	pb__fixed64(&pb, LOG_RECORD_OBSERVED_TIME, 1);
	pb__varint(&pb, LOG_RECORD_SEVERITY_NUMBER, 9);
	pb__string(&pb, LOG_RECORD_EVENT_NAME, "oom");
	close_item(&pb, opened);
	expect_json(
		SIGNAL_LOGS, &pb,
		"{\"resourceLogs\":[{\"scopeLogs\":[{\"logRecords\":[{"
		"\"observedTimeUnixNano\":\"1\",\"severityNumber\":9,\"eventName\":\"oom\"}]}]}]}");
}

TEST(profile)
{
	static const __u64 indices[] = {0, 3, (__u64)-1LL}, values[] = {(__u64)-7LL, 8};
	__u64 time = htole64(1700000000000000000ULL);
	struct pb pb = {0};
	size_t opened[3], sample, dictionary, location, mapping;

	open_item(&pb, opened);
	sample = pb__open(&pb, PROFILE_SAMPLES);
	pb__varint(&pb, SAMPLE_STACK_INDEX, 1);
	put_packed(&pb, SAMPLE_ATTRIBUTE_INDICES, indices, 3);
	put_packed(&pb, SAMPLE_VALUES, values, 2);
	pb__bytes(&pb, SAMPLE_TIMESTAMPS, &time, 8);
	pb__close(&pb, sample);
	pb__varint(&pb, PROFILE_DURATION, 10000000000ULL);
	pb__varint(&pb, PROFILE_PERIOD, 52631578);
	pb__bytes(&pb, PROFILE_PROFILE_ID, "\xab\xcd", 2);
	pb__bytes(&pb, PROFILE_ORIGINAL_PAYLOAD, "\x66", 1);
	close_item(&pb, opened);
	dictionary = pb__open(&pb, REQUEST_DICTIONARY);
	pb__bytes(&pb, DICTIONARY_MAPPINGS, "", 0);
	mapping = pb__open(&pb, DICTIONARY_MAPPINGS);
	pb__varint(&pb, MAPPING_MEMORY_START, 0xffffffff81000000ULL);
	pb__close(&pb, mapping);
	pb__string(&pb, DICTIONARY_STRINGS, "");
	pb__string(&pb, DICTIONARY_STRINGS, "cpu");
	location = pb__open(&pb, DICTIONARY_LOCATIONS);
	pb__varint(&pb, LOCATION_ADDRESS, 4096);
	pb__close(&pb, location);
	pb__close(&pb, dictionary);
	expect_json(
		SIGNAL_PROFILES, &pb,
		"{\"resourceProfiles\":[{\"scopeProfiles\":[{\"profiles\":[{"
		"\"samples\":[{\"stackIndex\":1,\"attributeIndices\":[0,3,-1],"
		"\"values\":[\"-7\",\"8\"],\"timestampsUnixNano\":[\"1700000000000000000\"]}],"
		"\"durationNano\":\"10000000000\",\"period\":\"52631578\","
		"\"profileId\":\"abcd\",\"originalPayload\":\"Zg==\"}]}]}],"
		"\"dictionary\":{\"mappingTable\":[{},{\"memoryStart\":\"18446744071578845184\"}],"
		"\"stringTable\":[\"\",\"cpu\"],\"locationTable\":[{\"address\":\"4096\"}]}}");
}

static void expect_malformed(const char *bytes, size_t len)
{
	errno = 0;
	EXPECT_EQ(otlp__to_json(SIGNAL_METRICS, bytes, len), NULL);
	EXPECT_EQ(errno, EBADMSG);
}

TEST(malformed)
{
	expect_malformed("\x0a", 1);		 /* no length */
	expect_malformed("\x0a\x02\x00", 3);	 /* shorter than its length */
	expect_malformed("\x08\x01", 2);	 /* resource_metrics as a varint */
	expect_malformed("\x00\x01", 2);	 /* field 0 */
	expect_malformed("\x0b\x0c", 2);	 /* a group */
	expect_malformed("\x0a\x02\x12\x01", 4); /* cut inside */
	expect_malformed("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 11);
}

/* Nested arrays: @depth AnyValues inside each other. */
static int convert_nested(size_t depth)
{
	struct pb pb = {0};
	size_t opened[3], *nested = calloc(2 * depth, sizeof(*nested));
	struct json_object *json;
	int err = 0;

	open_item(&pb, opened);
	for (size_t i = 0; i < depth; i++) {
		nested[2 * i] = pb__open(&pb, i ? (__u32)ARRAY_VALUE_VALUES : LOG_RECORD_BODY);
		nested[2 * i + 1] = pb__open(&pb, ANY_VALUE_ARRAY);
	}
	for (size_t i = 2 * depth; i-- > 0;)
		pb__close(&pb, nested[i]);
	close_item(&pb, opened);
	json = otlp__to_json(SIGNAL_LOGS, pb.data, pb.len);
	err = json ? 0 : errno;
	json_object_put(json);
	free(nested);
	pb__free(&pb);
	return err;
}

TEST(depth_is_bounded)
{
	EXPECT_EQ(convert_nested(40), 0);
	EXPECT_EQ(convert_nested(60), EBADMSG);
	EXPECT_EQ(convert_nested(20000), EBADMSG);
}

/* Every table: numbers ascend, names are unique, types are complete. */
static void check_message(const struct schema_message *message, int depth)
{
	for (const struct schema_field *field = message->fields; field->number; field++) {
		EXPECT_TRUE(field->name && field->name[0]);
		EXPECT_LT(field->kind, SCHEMA_KINDS);
		EXPECT_EQ(field->kind == SCHEMA_MESSAGE, field->message != NULL);
		EXPECT_EQ(schema__field(message, field->number), field);
		EXPECT_FALSE(field->repeated && field->oneof);
		for (const struct schema_field *other = field + 1; other->number; other++) {
			EXPECT_LT(field->number, other->number);
			EXPECT_STRNE(field->name, other->name);
		}
		if (field->message && depth < 12)
			check_message(field->message, depth + 1);
	}
}

TEST(schema_is_consistent)
{
	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		check_message(schema__request(kind), 0);
		check_message(schema__response(kind), 0);
	}
}

static __u64 random_state;

static __u64 next_random(void)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return random_state;
}

/* A message with every field of the schema, as deep as @depth. */
static void put_all(struct pb *pb, const struct schema_message *message, int depth)
{
	for (const struct schema_field *field = message->fields; field->number; field++) {
		size_t opened;

		switch (field->kind) {
		case SCHEMA_MESSAGE:
			opened = pb__open(pb, field->number);
			if (depth)
				put_all(pb, field->message, depth - 1);
			pb__close(pb, opened);
			break;
		case SCHEMA_STRING:
		case SCHEMA_ID:
		case SCHEMA_BYTES:
			pb__bytes(pb, field->number, "12345678", next_random() % 9);
			break;
		case SCHEMA_DOUBLE:
		case SCHEMA_FIXED64:
		case SCHEMA_SFIXED64:
			pb__fixed64(pb, field->number, next_random());
			break;
		case SCHEMA_FIXED32: /* skipped: the writer has none */
			break;
		default:
			pb__varint(pb, field->number, next_random());
		}
	}
}

/* The reader of what we write: json-c again, at least. */
TEST(every_field_becomes_json)
{
	random_state = 1;
	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		struct pb pb = {0};
		char *text;
		struct json_object *json;

		put_all(&pb, schema__request(kind), 8);
		text = to_text(kind, pb.data, pb.len);
		ASSERT_TRUE(text);
		json = json_tokener_parse(text);
		EXPECT_TRUE(json);
		json_object_put(json);
		free(text);
		pb__free(&pb);
	}
}

TEST_TIMEOUT(fuzz, 120)
{
	__u64 seed = time(NULL), good = 0, bad = 0;
	struct pb valid[SIGNAL_KINDS] = {0};
	struct timespec begin, now;
	int rounds;

	random_state = seed | 1;
	printf("seed %llu\n", (unsigned long long)seed);
	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		put_all(&valid[kind], schema__request(kind), 5);
	clock_gettime(CLOCK_MONOTONIC, &begin);
	for (rounds = 0; rounds < 200000; rounds++) {
		enum signal_kind kind = next_random() % SIGNAL_KINDS;
		const struct pb *from = &valid[kind];
		size_t len;
		__u8 *data;
		char *text;

		/* Malloc'ed to size: ASan sees a read of one byte too many. */
		if (rounds % 4 == 0) {
			len = next_random() % 200;
			data = malloc(len);
			for (size_t i = 0; i < len; i++)
				data[i] = next_random();
			/* Mostly plausible tags. */
			if (len > 1)
				data[0] = 0x0a, data[1] = next_random() % len;
		} else {
			len = rounds % 4 == 1 ? next_random() % from->len : from->len;
			data = malloc(len);
			memcpy(data, from->data, len);
			for (size_t i = next_random() % 8; len && i > 0; i--)
				data[next_random() % len] = next_random();
		}
		text = to_text(kind, data, len);
		text ? good++ : bad++;
		free(text);
		free(data);
		clock_gettime(CLOCK_MONOTONIC, &now);
		if (now.tv_sec - begin.tv_sec > 20)
			break;
	}
	printf("%d rounds: %llu converted, %llu refused\n", rounds, (unsigned long long)good,
	       (unsigned long long)bad);
	EXPECT_GT(bad, 0);
	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		pb__free(&valid[kind]);
}

TEST_MAIN()
