// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* OTLP/HTTP against receivers that behave, misbehave and do not answer. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "deliver/output.h"
#include "fail.h"
#include "ktap.h"
#include "otlp/fields.h"
#include "otlp/pb.h"
#include "receiver.h"

#define P "OTEL_EXPORTER_OTLP_"
#define MS 1000000ULL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

/* google.rpc.Status{code: 3, message: "bad \x1b[31m data"} */
#define STATUS             \
	"\x08\x03\x12\x0e" \
	"bad \x1b[31m data"
/* ExportMetricsServiceResponse{partial_success{rejected 5, message "too old"}} */
#define PARTIAL "\x0a\x0b\x08\x05\x12\x07too old"

static struct receiver *receiver;
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

static void make_request(size_t name_len)
{
	size_t opened[3];
	char *name = calloc(1, name_len + 1);

	memset(name, 'x', name_len);
	pb__free(&request);
	opened[0] = pb__open(&request, REQUEST_RESOURCES);
	opened[1] = pb__open(&request, RESOURCE_GROUP_SCOPES);
	opened[2] = pb__open(&request, SCOPE_GROUP_ITEMS);
	pb__string(&request, METRIC_NAME, name);
	for (int i = 2; i >= 0; i--)
		pb__close(&request, opened[i]);
	free(name);
}

static void open_output(const char *format)
{
	int code = 0;

	setenv("no_proxy", "*", 1);
	setenv(P "ENDPOINT", receiver__url(receiver), 1);
	output = output__open("otlp", format, &code);
	ASSERT_TRUE(output);
	make_request(10);
}

static void start(const struct reply *replies, size_t n_replies, const char *format)
{
	signal(SIGPIPE, SIG_IGN);
	receiver = receiver__start(replies, n_replies);
	open_output(format);
}

#define START(replies) start(replies, ARRAY_SIZE(replies), NULL)

static enum delivery send_within(__u64 ms)
{
	return output__send(output, SIGNAL_METRICS, request.data, request.len, now_ns() + ms * MS,
			    &stop, &report);
}

static void finish(void)
{
	output__close(output);
	receiver__stop(receiver);
	pb__free(&request);
}

/* Milliseconds between two arrivals. */
static double gap(size_t first)
{
	return (double)(receiver__request(receiver, first + 1)->arrived -
			receiver__request(receiver, first)->arrived) /
	       MS;
}

TEST(request_is_as_specified)
{
	static const struct reply replies[] = {{.status = 200}};
	const struct request *got;

	setenv(P "HEADERS", "X-Key=a%20b%2C%C3%A9,X-Empty=,User-Agentx=1", 1);
	START(replies);
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_EQ(report.attempts, 1);
	EXPECT_EQ(report.rejected, 0);
	EXPECT_EQ(report.sent, request.len);
	EXPECT_STREQ(report.message, "");
	got = receiver__request(receiver, 0);
	EXPECT_STREQ(got->line, "POST /v1/metrics HTTP/1.1");
	EXPECT_STREQ(request__header(got, "Content-Type"), "application/x-protobuf");
	EXPECT_STREQ(request__header(got, "User-Agent"),
		     "OTel-OTLP-Exporter-otelbpf/" OTELBPF_VERSION);
	EXPECT_STREQ(request__header(got, "X-Key"), "a b,\xc3\xa9");
	EXPECT_STREQ(request__header(got, "X-Empty"), "");
	EXPECT_STREQ(request__header(got, "Content-Encoding"), NULL);
	EXPECT_STREQ(request__header(got, "Expect"), NULL);
	ASSERT_EQ(got->len, request.len);
	EXPECT_EQ(memcmp(got->body, request.data, request.len), 0);
	finish();
}

TEST(paths_of_all_signals)
{
	static const struct reply replies[] = {{.status = 200}};
	static const struct {
		enum signal_kind kind;
		const char *path;
	} table[] = {
		{SIGNAL_METRICS, "/v1/metrics"},
		{SIGNAL_TRACES, "/v1/traces"},
		{SIGNAL_LOGS, "/v1/logs"},
		{SIGNAL_PROFILES, "/v1development/profiles"},
	};

	START(replies);
	for (size_t i = 0; i < ARRAY_SIZE(table); i++) {
		char line[128], name[256];

		EXPECT_EQ(output__send(output, table[i].kind, "", 0, now_ns() + 5000 * MS, &stop,
				       &report),
			  DELIVERED);
		snprintf(line, sizeof(line), "POST %s HTTP/1.1", table[i].path);
		EXPECT_STREQ(receiver__request(receiver, i)->line, line);
		snprintf(name, sizeof(name), "%s%s", receiver__url(receiver), table[i].path);
		EXPECT_STREQ(output__name(output, table[i].kind), name);
	}
	EXPECT_EQ(output__limit(output), (size_t)64 << 20);
	finish();
}

TEST(verbatim_endpoint_and_base_path)
{
	static const struct reply replies[] = {{.status = 200}};
	char url[128];

	receiver = receiver__start(replies, 1);
	snprintf(url, sizeof(url), "%s", receiver__url(receiver));
	setenv(P "METRICS_ENDPOINT", url, 1);
	open_output(NULL);
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_STREQ(receiver__request(receiver, 0)->line, "POST / HTTP/1.1");
	output__close(output);
	snprintf(url, sizeof(url), "%s/in/?a=b", receiver__url(receiver));
	setenv(P "METRICS_ENDPOINT", url, 1);
	open_output(NULL);
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_STREQ(receiver__request(receiver, 1)->line, "POST /in/?a=b HTTP/1.1");
	EXPECT_FALSE(strstr(output__name(output, SIGNAL_METRICS), "a=b"));
	finish();
}

TEST(keep_alive)
{
	static const struct reply replies[] = {
		{.status = 200},
		{.status = 400, .body = "x"},
		{.status = 200, .body = PARTIAL},
		{.status = 200},
	};

	START(replies);
	for (int i = 0; i < 20; i++) {
		send_within(5000);
		EXPECT_EQ(receiver__request(receiver, i)->connection, 0);
	}
	EXPECT_EQ(receiver__count(receiver), 20);
	finish();
}

TEST(gzip)
{
	static const struct reply replies[] = {{.status = 200}};
	const struct request *got;

	setenv(P "COMPRESSION", "gzip", 1);
	START(replies);
	make_request(1 << 20);
	EXPECT_EQ(send_within(5000), DELIVERED);
	got = receiver__request(receiver, 0);
	EXPECT_TRUE(got->gzip);
	EXPECT_LT(got->wire_len, 10000);
	EXPECT_EQ(report.sent, got->wire_len);
	ASSERT_EQ(got->len, request.len);
	EXPECT_EQ(memcmp(got->body, request.data, request.len), 0);
	finish();
}

TEST(json)
{
	static const struct reply replies[] = {
		{.status = 200,
		 .headers = "Content-Type: application/json\r\n",
		 .body = "{\"partialSuccess\":{\"rejectedDataPoints\":\"7\",\"errorMessage\":"
			 "\"old\"}}"},
		{.status = 200, .body = "{\"partialSuccess\":{\"rejectedDataPoints\":8}}"},
		{.status = 200,
		 .body = "{\"partialSuccess\":{\"errorMessage\":\"use v2\"},\"unknown\":[1]}"},
		{.status = 200, .body = "{}"},
		{.status = 200, .body = "{\"partialSuccess\":null}"},
		{.status = 200, .body = "{\"partialSuccess\":3}"},
		{.status = 200, .body = "[[[["},
		{.status = 400, .body = "{\"code\":3,\"message\":\"b\\u0007d\"}"},
	};
	const struct request *got;

	setenv(P "PROTOCOL", "http/json", 1);
	START(replies);
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_EQ(report.rejected, 7);
	EXPECT_STREQ(report.message, "7 rejected: old");
	got = receiver__request(receiver, 0);
	EXPECT_STREQ(request__header(got, "Content-Type"), "application/json");
	got->body[got->len] = 0;
	EXPECT_STREQ((char *)got->body, "{\"resourceMetrics\":[{\"scopeMetrics\":[{\"metrics\":["
					"{\"name\":\"xxxxxxxxxx\"}]}]}]}");
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_EQ(report.rejected, 8);
	EXPECT_STREQ(report.message, "8 rejected");
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_EQ(report.rejected, 0);
	EXPECT_STREQ(report.message, "taken, with a warning: use v2");
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_STREQ(report.message, "");
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_STREQ(report.message, "");
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(send_within(5000), DELIVERED);
		EXPECT_TRUE(strstr(report.message, "no OTLP response"));
	}
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_STREQ(report.message, "400 Bad Request: b?d");
	EXPECT_EQ(receiver__count(receiver), ARRAY_SIZE(replies));
	EXPECT_LT(output__limit(output), (size_t)64 << 20);
	finish();
}

TEST(format_of_the_command_line_wins)
{
	static const struct reply replies[] = {{.status = 200}};

	setenv(P "PROTOCOL", "http/json", 1);
	start(replies, 1, "protobuf");
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_STREQ(request__header(receiver__request(receiver, 0), "Content-Type"),
		     "application/x-protobuf");
	finish();
}

TEST(partial_success)
{
	static const struct reply replies[] = {
		{.status = 200, .body = PARTIAL},
		/* rejected 0 with a message: a warning */
		{.status = 200, .body = "\x0a\x06\x12\x04slow", .len = 8},
		/* rejected 0, no message; an empty partial success; a field of the future */
		{.status = 200, .body = "\x0a\x02\x08\x00", .len = 4},
		{.status = 200, .body = "\x0a\x00", .len = 2},
		{.status = 200, .body = "\x78\x01", .len = 2},
	};

	START(replies);
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_EQ(report.rejected, 5);
	EXPECT_STREQ(report.message, "5 rejected: too old");
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_EQ(report.rejected, 0);
	EXPECT_STREQ(report.message, "taken, with a warning: slow");
	for (int i = 0; i < 3; i++) {
		EXPECT_EQ(send_within(5000), DELIVERED);
		EXPECT_EQ(report.rejected, 0);
		EXPECT_STREQ(report.message, "");
	}
	EXPECT_EQ(receiver__count(receiver), ARRAY_SIZE(replies));
	finish();
}

TEST(garbage_after_200)
{
	static const struct reply replies[] = {
		{.status = 200, .body = "\xff\xff\xff\xff"},
		{.status = 200, .body = "\x0a\x7f"},
		{.status = 200, .body = "\x08\x01\x0a\x02\x0a\x00", .len = 6},
		{.status = 200, .headers = "Content-Type: text/html\r\n", .body = "<html>"},
		/* rejected -1 */
		{.status = 200, .body = "\x0a\x0b\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"},
	};

	START(replies);
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		EXPECT_EQ(send_within(5000), DELIVERED);
		EXPECT_EQ(report.rejected, 0);
		EXPECT_TRUE(strstr(report.message, "no OTLP response"));
	}
	EXPECT_EQ(receiver__count(receiver), ARRAY_SIZE(replies));
	finish();
}

TEST(success_other_than_200)
{
	static const struct reply replies[] = {
		{.status = 202, .body = PARTIAL},
		{.status = 204},
		{.status = 299},
	};

	START(replies);
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_EQ(report.rejected, 5);
	EXPECT_EQ(send_within(5000), DELIVERED);
	EXPECT_STREQ(report.message, "");
	EXPECT_EQ(send_within(5000), DELIVERED);
	finish();
}

TEST(never_retried)
{
	static const struct reply replies[] = {
		{.status = 400, .body = STATUS},
		{.status = 400, .headers = "Retry-After: 1\r\n", .body = "\xff"},
		{.status = 401},
		{.status = 403},
		{.status = 404,
		 .headers = "Content-Type: text/plain; charset=utf-8\r\n",
		 .body = "404 page not found\n"},
		{.status = 405},
		{.status = 408},
		{.status = 413},
		{.status = 415},
		{.status = 500},
		{.status = 501, .headers = "Retry-After: 1\r\n"},
		{.status = 505, .body = "\x08\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x12\x01x"},
		{.status = 599, .headers = "Content-Type: text/html\r\n", .body = "<h1>no</h1>"},
	};
	static const char *const messages[ARRAY_SIZE(replies)] = {
		[0] = "400 Bad Request: bad ?[31m data",
		[1] = "400 Bad Request",
		[4] = "404 Not Found: 404 page not found",
		[7] = "413 Content Too Large",
		[11] = "505: x",
		[12] = "599",
	};

	START(replies);
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		EXPECT_EQ(send_within(5000), REFUSED);
		EXPECT_EQ(report.attempts, 1);
		if (messages[i])
			EXPECT_STREQ(report.message, messages[i]);
		EXPECT_EQ(receiver__count(receiver), i + 1);
	}
	finish();
}

TEST(redirect_is_not_followed)
{
	static const struct reply replies[] = {
		{.status = 301, .headers = "Location: /elsewhere\r\n"},
		{.status = 307, .headers = "Location: /elsewhere\r\n"},
		{.status = 308, .headers = "Location: /elsewhere\r\n"},
	};

	START(replies);
	for (size_t i = 0; i < ARRAY_SIZE(replies); i++) {
		EXPECT_EQ(send_within(5000), REFUSED);
		EXPECT_TRUE(strstr(report.message, "redirection"));
		EXPECT_EQ(receiver__count(receiver), i + 1);
	}
	finish();
}

TEST(server_text_is_bounded_and_clean)
{
	static char text[2000];
	static struct reply replies[] = {
		{.status = 400, .headers = "Content-Type: text/plain\r\n", .body = text},
		{.status = 400,
		 .headers = "Content-Type: text/plain\r\n",
		 .body = "a\xc2\x9b"
			 "31m\xff\nb\x7f\xc3\xa9"}};

	/* Two bytes each, so that the bound falls inside one or another. */
	for (size_t i = 0; i + 2 < sizeof(text); i += 2)
		memcpy(text + i, "\xc3\xa9", 2);
	START(replies);
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_LT(strlen(report.message), 400);
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_STREQ(report.message, "400 Bad Request: a??31m??b?\xc3\xa9");
	finish();
}

TEST(retry_after_seconds)
{
	static const struct reply replies[] = {
		{.status = 503, .headers = "Retry-After: 2\r\n"},
		{.status = 429, .headers = "retry-after:  1 \r\n"},
		{.status = 200},
	};

	START(replies);
	EXPECT_EQ(send_within(10000), DELIVERED);
	EXPECT_EQ(report.attempts, 3);
	EXPECT_STREQ(report.message, "");
	EXPECT_GE(gap(0), 2000);
	EXPECT_LT(gap(0), 3500);
	EXPECT_GE(gap(1), 1000);
	EXPECT_LT(gap(1), 2500);
	finish();
}

TEST(retry_after_date)
{
	static const struct reply replies[] = {
		/* Without Date by the local clock; with it relative to that, a day off here. */
		{.status = 503, .headers = "Retry-After: %DATE+2%\r\n"},
		{.status = 502, .headers = "Date: %DATE+86400%\r\nRetry-After: %DATE+86402%\r\n"},
		{.status = 200},
	};
	__u64 begin;
	time_t asked;

	START(replies);
	begin = time(NULL);
	EXPECT_EQ(send_within(10000), DELIVERED);
	asked = begin + 2;
	EXPECT_EQ(report.attempts, 3);
	/* Two seconds, less what had passed of the present one. */
	EXPECT_GE(gap(0), 900);
	EXPECT_LT(gap(0), 3500);
	EXPECT_GE(time(NULL), asked);
	EXPECT_GE(gap(1), 2000);
	EXPECT_LT(gap(1), 3500);
	finish();
}

TEST(retry_after_beyond_the_deadline)
{
	static const struct reply replies[] = {
		{.status = 429, .headers = "Retry-After: 3\r\n", .body = STATUS},
		{.status = 200},
	};
	__u64 begin;

	START(replies);
	begin = now_ns();
	EXPECT_EQ(send_within(1000), UNDELIVERED);
	EXPECT_LT(now_ns() - begin, 900 * MS);
	EXPECT_EQ(report.attempts, 1);
	EXPECT_TRUE(strstr(report.message, "429 Too Many Requests: bad ?[31m data; "));
	EXPECT_TRUE(strstr(report.message, "too late"));
	/* The next request comes no earlier either. */
	EXPECT_EQ(send_within(1000), UNDELIVERED);
	EXPECT_EQ(report.attempts, 0);
	EXPECT_EQ(send_within(10000), DELIVERED);
	EXPECT_EQ(report.attempts, 1);
	EXPECT_GE(gap(0), 3000);
	EXPECT_LT(gap(0), 4500);
	finish();
}

TEST(retry_after_that_makes_no_sense)
{
	static const struct reply replies[] = {
		{.status = 503, .headers = "Retry-After: soon\r\n"},
		{.status = 503, .headers = "Retry-After: -5\r\n"},
		{.status = 503, .headers = "Retry-After: 0\r\n"},
		{.status = 200},
	};
	static const char *const endless[] = {
		"Retry-After: 99999999999999999999999999\r\n",
		"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT\r\n",
	};

	START(replies);
	EXPECT_EQ(send_within(20000), DELIVERED);
	EXPECT_EQ(report.attempts, 4);
	for (int i = 0; i < 3; i++)
		EXPECT_GE(gap(i), 100); /* backoff */
	finish();
	for (size_t i = 0; i < ARRAY_SIZE(endless); i++) {
		struct reply reply = {.status = 503, .headers = endless[i]};

		start(&reply, 1, NULL);
		EXPECT_EQ(send_within(2000), UNDELIVERED);
		EXPECT_EQ(send_within(2000), UNDELIVERED);
		EXPECT_EQ(receiver__count(receiver), 1);
		finish();
	}
}

TEST(backoff)
{
	static const struct reply replies[] = {
		{.status = 502},
		{.status = 504},
		{.status = 503},
		{.status = 200},
	};

	START(replies);
	EXPECT_EQ(send_within(20000), DELIVERED);
	EXPECT_EQ(report.attempts, 4);
	for (int i = 0; i < 3; i++) {
		EXPECT_GE(gap(i), 100);
		EXPECT_LT(gap(i), 1000 * (1 << i) + 1500);
	}
	finish();
}

TEST(backoff_ends_at_the_deadline)
{
	static const struct reply replies[] = {{.status = 503}};
	__u64 begin, took;

	START(replies);
	begin = now_ns();
	EXPECT_EQ(send_within(2000), UNDELIVERED);
	took = now_ns() - begin;
	EXPECT_LT(took, 3000 * MS);
	EXPECT_EQ(report.attempts, receiver__count(receiver));
	EXPECT_TRUE(strstr(report.message, "503 Service Unavailable; the next attempt would be"));
	/* After the deadline nothing is sent. */
	begin = receiver__count(receiver);
	EXPECT_EQ(output__send(output, SIGNAL_METRICS, "", 0, now_ns() - 1, &stop, &report),
		  UNDELIVERED);
	EXPECT_STREQ(report.message, "not sent; the deadline has passed");
	EXPECT_EQ(receiver__count(receiver), begin);
	finish();
}

TEST(no_answer)
{
	static const struct reply replies[] = {
		{.hang = true},
		{.status = 200, .delay_ms = 5000},
		{.status = 200},
	};

	setenv(P "TIMEOUT", "300", 1);
	START(replies);
	EXPECT_EQ(send_within(20000), DELIVERED);
	EXPECT_EQ(report.attempts, 3);
	EXPECT_GE(gap(0), 300 + 100);
	EXPECT_GE(gap(1), 300 + 100);
	output__close(output);
	receiver__stop(receiver);

	START(replies);
	EXPECT_EQ(send_within(250), UNDELIVERED);
	EXPECT_EQ(report.attempts, 1);
	EXPECT_TRUE(strstr(report.message, "timed out"));
	finish();
}

TEST(no_limit_ends_with_the_deadline)
{
	static const struct reply replies[] = {{.hang = true}};
	__u64 begin;

	setenv(P "TIMEOUT", "0", 1);
	START(replies);
	begin = now_ns();
	EXPECT_EQ(send_within(1000), UNDELIVERED);
	EXPECT_GE(now_ns() - begin, 990 * MS);
	EXPECT_LT(now_ns() - begin, 3000 * MS);
	finish();
}

TEST(half_a_response)
{
	static const struct reply replies[] = {
		{.close = true},			     /* nothing of it */
		{.status = 200, .body = PARTIAL, .cut = 9},  /* inside the status line */
		{.status = 200, .body = PARTIAL, .cut = 25}, /* inside the headers */
		{.status = 200, .body = PARTIAL, .cut = 50}, /* inside the body */
		{.status = 200},
	};

	START(replies);
	EXPECT_EQ(send_within(28000), DELIVERED);
	EXPECT_EQ(report.attempts, 5);
	EXPECT_EQ(report.rejected, 0);
	finish();
}

TEST(chunked)
{
	static const struct reply replies[] = {
		{.raw = "HTTP/1.1 100 Continue\r\nRetry-After: 9\r\n\r\nHTTP/1.1 503 X\r\n"
			"Transfer-Encoding: chunked\r\n\r\n4\r\n\x08\x03\x12\x01\r\n1\r\n"
			"a\r\n0\r\n\r\n"},
		{.raw = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n\x0a\x03"}, /* cut
											       */
		{.raw = "HTTP/1.1 200 X\r\nTransfer-Encoding: chunked\r\n\r\n4\r\n\x0a\x02\x08\x05"
			"\r\n0\r\nX-Trailer: 1\r\n\r\n"},
	};

	START(replies);
	EXPECT_EQ(send_within(90), UNDELIVERED);
	EXPECT_TRUE(strstr(report.message, "503 Service Unavailable: a; "));
	EXPECT_EQ(send_within(20000), DELIVERED);
	EXPECT_EQ(report.attempts, 2);
	EXPECT_EQ(report.rejected, 5);
	finish();
}

TEST(half_a_refusal_is_one)
{
	static const struct reply replies[] = {{.status = 400, .body = STATUS, .cut = 50}};

	START(replies);
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_TRUE(!strncmp(report.message, "400 Bad Request", 15));
	finish();
}

TEST(not_http)
{
	static const struct reply replies[] = {
		{.raw = "220 smtp.example.com ESMTP\r\n"},
		{.raw = "HTTP/1.1 banana\r\n\r\n"},
	};

	START(replies);
	EXPECT_EQ(send_within(90), UNDELIVERED);
	EXPECT_TRUE(strstr(report.message, "not HTTP"));
	EXPECT_EQ(send_within(90), UNDELIVERED);
	EXPECT_STRNE(report.message, "");
	finish();
}

TEST(too_large_an_answer)
{
	static const struct reply replies[] = {
		{.status = 200, .padding = ((size_t)4 << 20) + 1},
		{.status = 503, .padding = (size_t)16 << 20},
		{.status = 404,
		 .headers = "Content-Type: text/plain\r\n",
		 .padding = (size_t)4 << 20},
	};

	START(replies);
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_TRUE(strstr(report.message, "over the limit"));
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_EQ(report.attempts, 1);
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_STREQ(report.message, "404 Not Found");
	finish();
}

TEST(too_large_a_request)
{
	static const struct reply replies[] = {{.status = 200}};

	setenv(P "COMPRESSION", "gzip", 1);
	START(replies);
	make_request(output__limit(output));
	EXPECT_EQ(send_within(5000), REFUSED);
	EXPECT_EQ(report.attempts, 0);
	EXPECT_TRUE(strstr(report.message, "more than the limit"));
	EXPECT_EQ(receiver__count(receiver), 0);
	finish();
}

TEST(malformed_request_is_not_sent_as_json)
{
	static const struct reply replies[] = {{.status = 200}};

	start(replies, 1, "json");
	EXPECT_EQ(output__send(output, SIGNAL_METRICS, "\x0a\x05", 2, now_ns() + 1000 * MS, &stop,
			       &report),
		  REFUSED);
	EXPECT_EQ(receiver__count(receiver), 0);
	finish();
}

static void *listen_later(void *context)
{
	usleep(700000);
	receiver__listen(context);
	return NULL;
}

TEST(refused_then_up)
{
	static const struct reply replies[] = {{.status = 200}};
	pthread_t thread;

	receiver = receiver__new(replies, 1);
	open_output(NULL);
	EXPECT_EQ(send_within(90), UNDELIVERED);
	EXPECT_TRUE(strstr(report.message, "onnect"));
	EXPECT_EQ(report.sent, 0);
	pthread_create(&thread, NULL, listen_later, receiver);
	EXPECT_EQ(send_within(20000), DELIVERED);
	EXPECT_GE(report.attempts, 2);
	EXPECT_EQ(receiver__count(receiver), 1);
	pthread_join(thread, NULL);
	finish();
}

static void *stop_later(void *context)
{
	(void)context;
	usleep(300000);
	stop = true;
	return NULL;
}

static __u64 send_and_stop(void)
{
	__u64 begin = now_ns();
	pthread_t thread;

	stop = false;
	pthread_create(&thread, NULL, stop_later, NULL);
	EXPECT_EQ(send_within(20000), UNDELIVERED);
	pthread_join(thread, NULL);
	return (now_ns() - begin) / MS;
}

TEST(stop_ends_a_wait)
{
	static const struct reply replies[] = {
		{.status = 503, .headers = "Retry-After: 15\r\n"},
	};
	__u64 took;

	START(replies);
	took = send_and_stop();
	EXPECT_GE(took, 250);
	EXPECT_LT(took, 3000);
	EXPECT_TRUE(strstr(report.message, "stopped"));
	EXPECT_EQ(receiver__count(receiver), 1);
	finish();
}

TEST(stop_lets_an_attempt_end)
{
	static const struct reply replies[] = {{.status = 200, .delay_ms = 800}};
	pthread_t thread;

	START(replies);
	pthread_create(&thread, NULL, stop_later, NULL);
	EXPECT_EQ(send_within(20000), DELIVERED);
	pthread_join(thread, NULL);
	EXPECT_TRUE(stop);
	/* And the last flush, which begins with the flag set, is still made. */
	EXPECT_EQ(send_within(20000), DELIVERED);
	EXPECT_EQ(receiver__count(receiver), 2);
	finish();
}

TEST(stop_while_nothing_comes)
{
	static const struct reply replies[] = {{.hang = true}};

	setenv(P "TIMEOUT", "1000", 1);
	START(replies);
	EXPECT_LT(send_and_stop(), 3000);
	EXPECT_EQ(receiver__count(receiver), 1);
	finish();
}

TEST(no_such_output)
{
	static const char *const bad[] = {
		"", "otl", "otlpx", "file:", "file", "stdout:", "http://x"};
	int code;

	for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
		code = 0;
		EXPECT_EQ(output__open(bad[i], NULL, &code), NULL);
		EXPECT_EQ(code, EXIT_USAGE);
	}
	EXPECT_EQ(output__open("stdout", "xml", &code), NULL);
	EXPECT_EQ(code, EXIT_USAGE);
}

TEST_MAIN()
