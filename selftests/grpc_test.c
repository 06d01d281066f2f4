// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* OTLP/gRPC against a real Collector and against servers that misbehave. */
#include <endian.h>
#include <errno.h>
#include <json-c/json.h>
#include <nettle/base64.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <zlib.h>

#include "collector.h"
#include "deliver/output.h"
#include "fail.h"
#include "grpc_server.h"
#include "ktap.h"
#include "otlp/fields.h"
#include "otlp/pb.h"
#include "receiver.h"

#define P "OTEL_EXPORTER_OTLP_"
#define MS 1000000ULL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

static struct grpc_server *server;
static struct output *output;
static struct delivery_report report;
static volatile bool stop;
static struct pb request; /* ExportMetricsServiceRequest */

static __u64 now_ns(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 * MS + ts.tv_nsec;
}

/* A sum of one point for each of @points metrics. */
static void make_request(int points)
{
	size_t opened[6];

	pb__free(&request);
	opened[0] = pb__open(&request, REQUEST_RESOURCES);
	opened[1] = pb__open(&request, RESOURCE_GROUP_SCOPES);
	for (int i = 0; i < points; i++) {
		opened[2] = pb__open(&request, SCOPE_GROUP_ITEMS);
		pb__string(&request, METRIC_NAME, "test.count");
		opened[3] = pb__open(&request, METRIC_SUM);
		opened[4] = pb__open(&request, SUM_DATA_POINTS);
		pb__fixed64(&request, NUMBER_POINT_TIME, 1700000000000000000);
		pb__fixed64(&request, NUMBER_POINT_AS_INT, 1);
		pb__close(&request, opened[4]);
		pb__varint(&request, SUM_AGGREGATION_TEMPORALITY, TEMPORALITY_CUMULATIVE);
		pb__close(&request, opened[3]);
		pb__close(&request, opened[2]);
	}
	pb__close(&request, opened[1]);
	pb__close(&request, opened[0]);
	ASSERT_FALSE(request.failed);
}

static void open_output(const char *url)
{
	int code = 0;

	signal(SIGPIPE, SIG_IGN);
	setenv("no_proxy", "*", 1);
	setenv(P "PROTOCOL", "grpc", 1);
	setenv(P "ENDPOINT", url, 1);
	output = output__open("otlp", NULL, &code);
	ASSERT_TRUE(output);
	make_request(1);
}

static void start(const struct grpc_reply *replies, size_t n_replies)
{
	server = grpc_server__start(replies, n_replies);
	open_output(grpc_server__url(server));
}

#define START(replies) start(replies, ARRAY_SIZE(replies))

static enum delivery send_within(enum signal_kind kind, __u64 ms)
{
	return output__send(output, kind, request.data, request.len, now_ns() + ms * MS, &stop,
			    &report);
}

static void finish(void)
{
	output__close(output);
	grpc_server__stop(server);
	pb__free(&request);
}

static const struct grpc_reply success = {.frame = "\0\0\0\0", .len = 5, .status = "0"};

TEST(call_is_as_specified)
{
	static const char *const methods[SIGNAL_KINDS] = {
		[SIGNAL_METRICS] =
			"/opentelemetry.proto.collector.metrics.v1.MetricsService/Export",
		[SIGNAL_TRACES] = "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
		[SIGNAL_LOGS] = "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
		[SIGNAL_PROFILES] = "/opentelemetry.proto.collector.profiles.v1development."
				    "ProfilesService/Export",
	};
	const struct grpc_call *call;
	__be32 len;

	setenv(P "HEADERS", "X-Key=a%20b", 1);
	setenv(P "TIMEOUT", "4000", 1);
	start(&success, 1);
	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		EXPECT_EQ(send_within(kind, 5000), DELIVERED);
		EXPECT_STREQ(report.message, "");
		call = grpc_server__call(server, kind);
		EXPECT_STREQ(grpc_call__header(call, ":path"), methods[kind]);
	}
	EXPECT_EQ(report.attempts, 1);
	EXPECT_STREQ(grpc_call__header(call, ":method"), "POST");
	EXPECT_STREQ(grpc_call__header(call, "content-type"), "application/grpc+proto");
	EXPECT_STREQ(grpc_call__header(call, "te"), "trailers");
	EXPECT_STREQ(grpc_call__header(call, "grpc-timeout"), "4000m");
	EXPECT_STREQ(grpc_call__header(call, "grpc-encoding"), NULL);
	EXPECT_STREQ(grpc_call__header(call, "x-key"), "a b");
	EXPECT_STREQ(grpc_call__header(call, "user-agent"),
		     "OTel-OTLP-Exporter-otelbpf/" OTELBPF_VERSION);
	ASSERT_EQ(call->len, request.len + 5);
	EXPECT_EQ(call->body[0], 0);
	memcpy(&len, call->body + 1, sizeof(len));
	EXPECT_EQ(be32toh(len), request.len);
	EXPECT_EQ(memcmp(call->body + 5, request.data, request.len), 0);
	finish();
}

TEST(gzip)
{
	const struct grpc_call *call;
	__u8 plain[4096];
	__be32 len;
	z_stream z = {.next_out = plain, .avail_out = sizeof(plain)};

	setenv(P "COMPRESSION", "gzip", 1);
	start(&success, 1);
	make_request(40);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 5000), DELIVERED);
	call = grpc_server__call(server, 0);
	EXPECT_STREQ(grpc_call__header(call, "grpc-encoding"), "gzip");
	EXPECT_STREQ(grpc_call__header(call, "content-encoding"), NULL);
	ASSERT_GT(call->len, 5);
	EXPECT_LT(call->len, request.len);
	EXPECT_EQ(call->body[0], 1);
	memcpy(&len, call->body + 1, sizeof(len));
	EXPECT_EQ(be32toh(len), call->len - 5);
	z.next_in = call->body + 5;
	z.avail_in = call->len - 5;
	ASSERT_EQ(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	EXPECT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
	EXPECT_EQ(z.total_out, request.len);
	EXPECT_EQ(memcmp(plain, request.data, request.len), 0);
	inflateEnd(&z);
	finish();
}

TEST(partial_success)
{
	/* partial_success{rejected 5, message "too old"} */
	static const struct grpc_reply replies[] = {
		{.frame = "\0\0\0\0\x0d\x0a\x0b\x08\x05\x12\x07too old", .len = 18, .status = "0"}};

	START(replies);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 5000), DELIVERED);
	EXPECT_EQ(report.rejected, 5);
	EXPECT_STREQ(report.message, "5 rejected: too old");
	EXPECT_EQ(grpc_server__count(server), 1);
	finish();
}

TEST(codes_that_must_not_be_retried)
{
	static const struct {
		const char *status;
		const char *says;
	} cases[] = {
		{"2", "UNKNOWN"},
		{"3", "INVALID_ARGUMENT"},
		{"5", "NOT_FOUND"},
		{"6", "ALREADY_EXISTS"},
		{"7", "PERMISSION_DENIED"},
		{"8", "RESOURCE_EXHAUSTED"},
		{"9", "FAILED_PRECONDITION"},
		{"12", "UNIMPLEMENTED"},
		{"13", "INTERNAL"},
		{"16", "UNAUTHENTICATED"},
		{"17", "UNKNOWN"},
		{"x", "UNKNOWN"},
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct grpc_reply replies[] = {
			{.status = cases[i].status, .message = "why %e2%82%ac %1b%zz%"}};

		replies[0].trailers_only = i & 1;
		START(replies);
		EXPECT_EQ(send_within(SIGNAL_METRICS, 5000), REFUSED);
		EXPECT_TRUE(strstr(report.message, cases[i].says));
		/* Decoded, and nothing that steers a terminal. */
		EXPECT_TRUE(strstr(report.message, ": why \xe2\x82\xac ?%zz%"));
		EXPECT_EQ(grpc_server__count(server), 1);
		finish();
	}
}

TEST_TIMEOUT(codes_that_are_retried, 60)
{
	static const char *const codes[] = {"1", "4", "10", "11", "14", "15"};

	for (size_t i = 0; i < ARRAY_SIZE(codes); i++) {
		struct grpc_reply replies[] = {{.status = codes[i], .trailers_only = true},
					       success};

		START(replies);
		EXPECT_EQ(send_within(SIGNAL_METRICS, 20000), DELIVERED);
		EXPECT_EQ(report.attempts, 2);
		EXPECT_EQ(grpc_server__count(server), 2);
		finish();
	}
}

/* Status{code 8, details: Any{RetryInfo{retry_delay: @ms}}}, base64, padded or not. */
static const char *retry_info(unsigned int ms, bool padded)
{
	static char text[256];
	struct pb status = {0};
	size_t detail, info, delay;

	pb__varint(&status, RPC_STATUS_CODE, 8);
	detail = pb__open(&status, RPC_STATUS_DETAILS);
	pb__string(&status, 1, "type.googleapis.com/google.rpc.RetryInfo");
	info = pb__open(&status, 2);
	delay = pb__open(&status, 1);
	pb__varint(&status, 1, ms / 1000);
	pb__varint(&status, 2, ms % 1000 * MS);
	pb__close(&status, delay);
	pb__close(&status, info);
	pb__close(&status, detail);
	base64_encode_raw(text, status.len, status.data);
	text[BASE64_ENCODE_RAW_LENGTH(status.len)] = 0;
	if (!padded)
		text[strcspn(text, "=")] = 0;
	pb__free(&status);
	return text;
}

TEST(retry_info_is_waited_for)
{
	for (int padded = 0; padded < 2; padded++) {
		const char *details = retry_info(1200, padded);
		struct grpc_reply replies[] = {{.status = "8", .details = details}, success};
		double ms;

		START(replies);
		EXPECT_EQ(send_within(SIGNAL_METRICS, 10000), DELIVERED);
		ASSERT_EQ(grpc_server__count(server), 2);
		ms = (double)(grpc_server__call(server, 1)->arrived -
			      grpc_server__call(server, 0)->arrived) /
		     MS;
		EXPECT_GE(ms, 1195);
		EXPECT_LT(ms, 4000);
		finish();
	}
}

TEST(retry_info_beyond_the_deadline)
{
	struct grpc_reply replies[] = {{.status = "14"}};

	replies[0].details = retry_info(3600000, true);
	START(replies);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 2000), UNDELIVERED);
	EXPECT_EQ(grpc_server__count(server), 1);
	EXPECT_TRUE(strstr(report.message, "UNAVAILABLE"));
	EXPECT_TRUE(strstr(report.message, "too late"));
	finish();
}

TEST(details_that_are_garbage_ask_for_nothing)
{
	static const char *const garbage[] = {"!", "AAAA", "CAgaBAoAEgA", "====", "GP///////w8"};

	for (size_t i = 0; i < ARRAY_SIZE(garbage); i++) {
		struct grpc_reply replies[] = {{.status = "8", .details = garbage[i]}};

		START(replies);
		EXPECT_EQ(send_within(SIGNAL_METRICS, 5000), REFUSED);
		EXPECT_EQ(grpc_server__count(server), 1);
		finish();
	}
}

TEST(answers_that_are_no_otlp)
{
	static const struct grpc_reply bad[] = {
		{.status = "0"},					/* no message */
		{.frame = "\1\0\0\0", .len = 5, .status = "0"},		/* compressed */
		{.frame = "\0\0\0\0\x09x", .len = 6, .status = "0"},	/* cut */
		{.frame = "\0\0\0\0\x01\xff", .len = 6, .status = "0"}, /* no protobuf */
	};

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		start(&bad[i], 1);
		EXPECT_EQ(send_within(SIGNAL_METRICS, 5000), DELIVERED);
		EXPECT_TRUE(strstr(report.message, "no OTLP response"));
		EXPECT_EQ(report.rejected, 0);
		finish();
	}
}

TEST(statuses_of_http)
{
	static const struct {
		int status;
		enum delivery outcome;
	} cases[] = {{200, REFUSED}, {400, REFUSED},	 {401, REFUSED},     {403, REFUSED},
		     {404, REFUSED}, {429, UNDELIVERED}, {503, UNDELIVERED}, {500, REFUSED}};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct grpc_reply replies[] = {{.http_status = cases[i].status,
						.type = "text/html",
						.frame = "x",
						.len = 1}};

		START(replies);
		EXPECT_EQ(send_within(SIGNAL_METRICS, 50), cases[i].outcome);
		EXPECT_TRUE(strstr(report.message, "gRPC"));
		finish();
	}
}

TEST(a_stream_that_is_reset_is_retried)
{
	struct grpc_reply replies[] = {{.reset = true}, success};

	START(replies);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 10000), DELIVERED);
	EXPECT_GE(grpc_server__count(server), 2);
	finish();
}

TEST(an_answer_without_its_status_is_retried)
{
	struct grpc_reply replies[] = {{.frame = "\0\0\0\0", .len = 5}, success};

	START(replies);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 10000), DELIVERED);
	EXPECT_EQ(report.attempts, 2);
	EXPECT_EQ(grpc_server__count(server), 2);
	finish();
}

TEST(an_answer_over_the_limit)
{
	struct grpc_reply replies[] = {{.flood = 5 << 20, .status = "0"}};

	START(replies);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 10000), REFUSED);
	EXPECT_TRUE(strstr(report.message, "limit"));
	finish();
}

TEST(no_answer)
{
	struct grpc_reply replies[] = {{.hang = true}};

	setenv(P "TIMEOUT", "300", 1);
	START(replies);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 350), UNDELIVERED);
	EXPECT_TRUE(strstr(report.message, "imed out") || strstr(report.message, "imeout"));
	finish();
}

/* OTLP/HTTP's port by mistake. */
TEST(a_server_of_http_1)
{
	static const struct reply replies[] = {{.status = 400}};
	struct receiver *receiver = receiver__start(replies, 1);

	open_output(receiver__url(receiver));
	EXPECT_EQ(send_within(SIGNAL_METRICS, 100), UNDELIVERED);
	if (!EXPECT_TRUE(strstr(report.message, "4317")))
		printf("%s\n", report.message);
	output__close(output);
	receiver__stop(receiver);
}

TEST(json_and_grpc_exclude_each_other)
{
	int code = 0;

	setenv(P "PROTOCOL", "grpc", 1);
	EXPECT_EQ(output__open("otlp", "json", &code), NULL);
	EXPECT_EQ(code, EXIT_USAGE);
}

TEST(requests_stay_below_what_servers_take)
{
	open_output("http://127.0.0.1:1");
	EXPECT_EQ(output__limit(output), 4 << 20);
	output__close(output);
}

static void reach_collector(const char *compression)
{
	__attribute__((cleanup(collector__freep))) struct collector *c = collector__start();
	struct json_object *lines;
	int code = 0;

	if (!c && errno == ENOENT)
		SKIP("OTELCOL is not set");
	ASSERT_NE(c, NULL);
	setenv(P "COMPRESSION", compression, 1);
	setenv(P "INSECURE", "true", 1); /* the endpoint may have no scheme */
	setenv("no_proxy", "*", 1);
	setenv(P "PROTOCOL", "grpc", 1);
	setenv(P "ENDPOINT", collector__grpc_endpoint(c), 1);
	output = output__open("otlp", NULL, &code);
	ASSERT_TRUE(output);
	for (int i = 1; i <= 10; i++) {
		make_request(10000);
		if (!EXPECT_EQ(send_within(SIGNAL_METRICS, 20000), DELIVERED))
			printf("%s\n", report.message);
		lines = collector__metrics(c);
		EXPECT_EQ(otlp_json__total(lines, "test.count"), 10000 * i);
		json_object_put(lines);
	}
	/* The receiver refuses what is no request; that is final. */
	pb__free(&request);
	pb__raw(&request, "\xff\xff", 2);
	EXPECT_EQ(send_within(SIGNAL_METRICS, 20000), REFUSED);
	output__close(output);
}

TEST_TIMEOUT(collector, 60)
{
	reach_collector("none");
}

TEST_TIMEOUT(collector_gzip, 60)
{
	reach_collector("gzip");
}

TEST_MAIN()
