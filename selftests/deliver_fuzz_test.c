// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whatever a receiver may answer, over HTTP and gRPC: the answers themselves, and the bytes on the
 * wire. Worth most with SANITIZE=1. DELIVER_FUZZ_SEED and DELIVER_FUZZ_FACTOR in the environment
 * vary it.
 */
#include <arpa/inet.h>
#include <nettle/base64.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include "deliver/answer.h"
#include "ktap.h"
#include "otlp/utf8.h"
#include "random.h"

#define P "OTEL_EXPORTER_OTLP_"
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))
#define ROOM 4096

static __u64 state;

static __u64 next(void)
{
	return random__next(&state);
}

static size_t below(size_t n)
{
	return random__below(&state, n);
}

static int factor(void)
{
	const char *text = getenv("DELIVER_FUZZ_FACTOR"), *seed = getenv("DELIVER_FUZZ_SEED");

	state = 0x9e3779b97f4a7c15ULL + (seed ? strtoull(seed, NULL, 0) : 0);
	return text ? atoi(text) : 1;
}

/* A few changes to @len bytes in a buffer of @room. Return: how many there are then. */
static size_t mutate(__u8 *bytes, size_t len, size_t room)
{
	static const __u8 hurting[] = {0, 1, 0x7f, 0x80, 0xff, '\r', '\n', ':', ' ', '%', '9'};

	for (size_t n = 1 + below(4); n; n--) {
		size_t at = below(len), run = 1 + below(16);

		switch (below(6)) {
		case 0:
			if (len)
				bytes[at] ^= 1 << below(8);
			break;
		case 1:
			if (len)
				bytes[at] = hurting[below(sizeof(hurting))];
			break;
		case 2: /* cut off */
			len = at;
			break;
		case 3: /* left out */
			if (at + run <= len) {
				memmove(bytes + at, bytes + at + run, len - at - run);
				len -= run;
			}
			break;
		case 4: /* twice */
			if (at + run <= len && len + run <= room) {
				memmove(bytes + at + run, bytes + at, len - at);
				len += run;
			}
			break;
		case 5: /* noise */
			for (size_t i = at; i < len && i < at + run; i++)
				bytes[i] = next();
			break;
		}
	}
	return len;
}

/* What holds for every ruling, whatever the answer was. */
static void check(const struct delivery_report *report, enum delivery outcome)
{
	const char *text = report->message;
	size_t len = strnlen(text, sizeof(report->message));

	ASSERT_LT(len, sizeof(report->message));
	for (size_t i = 0, step; i < len; i += step) {
		step = utf8__sequence(text + i, len - i);
		ASSERT_GT(step, 0);
		ASSERT_GE((unsigned char)text[i], ' ');
		ASSERT_NE(text[i], 0x7f);
	}
	ASSERT_TRUE(outcome == DELIVERED || outcome == REFUSED || outcome == UNDELIVERED);
	ASSERT_GE(report->rejected, 0);
	if (outcome != DELIVERED) {
		ASSERT_GT(len, 0);
		ASSERT_EQ(report->rejected, 0);
	}
}

static const char *const bodies[] = {
	"",
	"\x0a\x0b\x08\x05\x12\x07too old",
	"\x08\x03\x12\x0e"
	"bad \x1b[31m data",
	"{\"partialSuccess\":{\"rejectedDataPoints\":\"7\",\"errorMessage\":\"old\"}}",
	"{\"code\":3,\"message\":\"b\\u0007d\",\"details\":[{\"a\":[1,2,{}]}]}",
	"<html>no</html>",
	"\xc3\xa9\xe2\x82\xac text",
};
static const char *const types[] = {"", "application/json", "application/x-protobuf", "text/plain",
				    "text/html; charset=utf-8"};
static const char *const waits[] = {"",
				    "3",
				    "99999999999999999999",
				    "-1",
				    "Fri, 31 Dec 9999 23:59:59 GMT",
				    "Thu, 01 Jan 1970 00:00:00 GMT"};

/* A seed with changes, as text that fits. */
static void put_text(char *to, size_t room, const char *seed, bool change)
{
	size_t len = strlen(seed);
	__u8 bytes[ROOM];

	memcpy(bytes, seed, len);
	if (change)
		len = mutate(bytes, len, sizeof(bytes));
	if (len > room - 1)
		len = room - 1;
	memcpy(to, bytes, len);
	to[len] = 0; /* a header's value ends at its first NUL, too */
}

/* The bytes exactly as long as they are, so that a sanitizer sees the one behind them. */
static void put_body(struct answer *answer, const void *bytes, size_t len)
{
	answer->data = len ? malloc(len) : NULL;
	answer->len = len;
	if (len)
		memcpy(answer->data, bytes, len);
}

TEST_TIMEOUT(answers_of_http, 120)
{
	static const long statuses[] = {0,   100, 200, 202, 301, 400, 404,
					415, 429, 500, 503, 999, -1};
	struct otlp_endpoint endpoint = {.url = "http://x"};
	int seen[3] = {0};

	for (int n = 60000 * factor(); n; n--) {
		struct answer answer = {.status = statuses[below(ARRAY_SIZE(statuses))],
					.headers_end = below(8)};
		const char *seed = bodies[below(ARRAY_SIZE(bodies))];
		struct delivery_report report = {0};
		__u8 bytes[ROOM];
		struct ruling ruling;
		size_t len = strlen(seed);

		memcpy(bytes, seed, len);
		if (below(8))
			len = mutate(bytes, len, sizeof(bytes));
		put_body(&answer, bytes, len);
		put_text(answer.type, sizeof(answer.type), types[below(ARRAY_SIZE(types))],
			 !below(4));
		put_text(answer.retry_after, sizeof(answer.retry_after),
			 waits[below(ARRAY_SIZE(waits))], below(2));
		put_text(answer.date, sizeof(answer.date), waits[below(ARRAY_SIZE(waits))],
			 below(2));
		answer.too_large = !below(64);
		answer.result = below(16) ? CURLE_OK : (CURLcode)below(CURL_LAST);
		answer.verify = below(70);
		endpoint.json = below(2);
		ruling = answer__judge_http(&answer, &endpoint, below(SIGNAL_KINDS), &report);
		free(answer.data);
		check(&report, ruling.outcome);
		ASSERT_LE(ruling.wait_ns, WAIT_MAX);
		ASSERT_TRUE(!ruling.retry || ruling.outcome == UNDELIVERED);
		/* No success without a status that says so. */
		ASSERT_TRUE(ruling.outcome != DELIVERED || answer.status / 100 == 2);
		seen[ruling.outcome]++;
	}
	for (int i = 0; i < 3; i++)
		EXPECT_GT(seen[i], 0);
}

/* A message with its prefix: in it, or compressed, a body of the list. */
static size_t make_frame(__u8 *to, size_t room)
{
	const char *seed = bodies[below(3)];
	size_t len = strlen(seed);
	z_stream z = {0};

	to[0] = below(2);
	if (!to[0]) {
		memcpy(to + 5, seed, len);
	} else {
		ASSERT_EQ(deflateInit2(&z, 1, Z_DEFLATED, MAX_WBITS + 16, 8, 0), Z_OK);
		z.next_in = (Bytef *)seed;
		z.avail_in = len;
		z.next_out = to + 5;
		z.avail_out = room - 5;
		deflate(&z, Z_FINISH);
		len = z.total_out;
		deflateEnd(&z);
	}
	to[1] = to[2] = to[3] = 0;
	to[4] = len;
	return 5 + len;
}

TEST_TIMEOUT(answers_of_grpc, 120)
{
	/* Status{code 8, details RetryInfo of 1.2 s} */
	static const char status[] =
		"\x08\x08\x1a\x35\x0a\x28type.googleapis.com/google.rpc.RetryInfo"
		"\x12\x09\x0a\x07\x08\x01\x10\x80\x84\xaf\x5f";
	static const char *const numbers[] = {"0", "1", "4", "8", "12", "14", "16", "17", "", "x"};
	struct otlp_endpoint endpoint = {.url = "http://x", .grpc = true};
	int seen[3] = {0}, rejected = 0, waited = 0;

	for (int n = 60000 * factor(); n; n--) {
		struct answer answer = {.status = below(4) ? 200 : 400 + below(200),
					.headers_end = below(8)};
		struct delivery_report report = {0};
		struct ruling ruling;
		__u8 bytes[ROOM];
		size_t len = make_frame(bytes, sizeof(bytes));

		if (below(4))
			len = mutate(bytes, len, sizeof(bytes));
		put_body(&answer, bytes, len);
		put_text(answer.grpc_status, sizeof(answer.grpc_status),
			 numbers[below(2) ? 0 : below(ARRAY_SIZE(numbers))], !below(4));
		put_text(answer.grpc_message, sizeof(answer.grpc_message),
			 "why %e2%82%ac %1b%zz%00%", below(2));
		put_text(answer.grpc_encoding, sizeof(answer.grpc_encoding),
			 below(4) ? "gzip" : "zstd", !below(4));
		len = sizeof(status) - 1;
		memcpy(bytes, status, len);
		if (below(4))
			len = mutate(bytes, len, sizeof(bytes));
		if (BASE64_ENCODE_RAW_LENGTH(len) < sizeof(answer.grpc_details))
			base64_encode_raw(answer.grpc_details, len, bytes);
		if (!below(4))
			put_text(answer.grpc_details, sizeof(answer.grpc_details),
				 answer.grpc_details, true);
		answer.result = below(16) ? CURLE_OK : (CURLcode)below(CURL_LAST);
		ruling = answer__judge_grpc(&answer, &endpoint, below(SIGNAL_KINDS), &report);
		free(answer.data);
		check(&report, ruling.outcome);
		ASSERT_LE(ruling.wait_ns, WAIT_MAX);
		ASSERT_TRUE(!ruling.retry || ruling.outcome == UNDELIVERED);
		seen[ruling.outcome]++;
		rejected += report.rejected > 0;
		waited += ruling.wait_ns > 0;
	}
	for (int i = 0; i < 3; i++)
		EXPECT_GT(seen[i], 0);
	EXPECT_GT(rejected, 0);
	EXPECT_GT(waited, 0);
}

/* A message that is small on the wire only. */
TEST(a_compressed_answer_has_a_limit)
{
	struct otlp_endpoint endpoint = {.url = "http://x", .grpc = true};
	struct answer answer = {.status = 200, .headers_end = true};
	struct delivery_report report = {0};
	size_t len = RESPONSE_MAX + 1;
	__u8 *plain = calloc(1, len), *packed = malloc(5 + (64 << 10));
	z_stream z = {.next_in = plain, .avail_in = len};

	ASSERT_TRUE(plain && packed);
	ASSERT_EQ(deflateInit2(&z, 9, Z_DEFLATED, MAX_WBITS + 16, 8, 0), Z_OK);
	z.next_out = packed + 5;
	z.avail_out = 64 << 10;
	ASSERT_EQ(deflate(&z, Z_FINISH), Z_STREAM_END);
	memcpy(packed, "\1\0\0\0\0", 5);
	packed[3] = z.total_out >> 8;
	packed[4] = z.total_out;
	answer.data = packed;
	answer.len = 5 + z.total_out;
	deflateEnd(&z);
	strcpy(answer.grpc_encoding, "gzip");
	strcpy(answer.grpc_status, "0");
	EXPECT_EQ(answer__judge_grpc(&answer, &endpoint, SIGNAL_METRICS, &report).outcome,
		  DELIVERED);
	EXPECT_TRUE(strstr(report.message, "no OTLP response"));
	free(plain);
	free(packed);
}

/* --- on the wire ---------------------------------------------------------------- */

struct wire {
	int listener;
	int stop[2];
	const __u8 *seed;
	size_t len;
};

/* Everything that comes is the question, and what is there after its first part is the answer. */
static void *answer_all(void *context)
{
	struct wire *wire = context;
	unsigned int number = 0; /* some go out as they are */
	struct pollfd fds[] = {{wire->listener, POLLIN, 0}, {wire->stop[0], POLLIN, 0}};

	while (poll(fds, 2, -1) > 0 && !fds[1].revents) {
		int fd = accept(wire->listener, NULL, NULL);
		struct pollfd come = {fd, POLLIN, 0};
		__u8 bytes[ROOM], drop[ROOM];
		size_t len = wire->len;
		bool whole = number++ % 8 == 0;

		if (fd < 0)
			continue;
		memcpy(bytes, wire->seed, len);
		if (!whole)
			len = mutate(bytes, len, sizeof(bytes));
		/* All of the question: of HTTP/2, an answer that comes before it is none. */
		for (int wait = 1000; poll(&come, 1, wait) > 0; wait = 2)
			if (read(fd, drop, sizeof(drop)) <= 0)
				break;
		/*
		 * The end may come with the answer or after it: libcurl 7.88 forgets trailers that
		 * the end comes with.
		 */
		if (send(fd, bytes, len, MSG_NOSIGNAL) == (ssize_t)len &&
		    (!whole || poll(&come, 1, 20) >= 0))
			shutdown(fd, SHUT_WR);
		/* A reset would take the answer away again: let it be read. */
		while (poll(&come, 1, 300) > 0 && read(fd, drop, sizeof(drop)) > 0)
			;
		close(fd);
	}
	return NULL;
}

static void fuzz_wire(const char *protocol, const void *seed, size_t len)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t size = sizeof(address);
	struct wire wire = {.seed = seed, .len = len};
	__u64 end = instant(CLOCK_MONOTONIC) + 2 * SECOND * factor();
	struct output *output;
	volatile bool stop = false;
	pthread_t thread;
	int code = 0, n = 0, read_whole = 0;
	char url[64];

	signal(SIGPIPE, SIG_IGN);
	ASSERT_EQ(pipe(wire.stop), 0);
	wire.listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT_EQ(bind(wire.listener, (struct sockaddr *)&address, size), 0);
	ASSERT_EQ(getsockname(wire.listener, (struct sockaddr *)&address, &size), 0);
	ASSERT_EQ(listen(wire.listener, 16), 0);
	ASSERT_EQ(pthread_create(&thread, NULL, answer_all, &wire), 0);
	snprintf(url, sizeof(url), "http://127.0.0.1:%u", ntohs(address.sin_port));
	setenv("no_proxy", "*", 1);
	setenv(P "PROTOCOL", protocol, 1);
	setenv(P "ENDPOINT", url, 1);
	setenv(P "TIMEOUT", "100", 1);
	/* On a busy machine no whole answer may have come in time so far. */
	for (; instant(CLOCK_MONOTONIC) < end + (read_whole ? 0 : 20 * SECOND); n++) {
		struct delivery_report report;
		enum delivery outcome;

		/* What one answer asked for must not keep the next from coming. */
		output = output__open("otlp", NULL, &code);
		ASSERT_TRUE(output);
		/* Long enough to begin once, too short for another time. */
		outcome = output__send(output, SIGNAL_METRICS, "\x0a", 0,
				       instant(CLOCK_MONOTONIC) + SECOND / 20, &stop, &report);
		check(&report, outcome);
		ASSERT_LE(report.attempts, 2);
		read_whole += report.rejected == 5;
		output__close(output);
	}
	printf("%d answers, of which %d were undamaged where it matters\n", n, read_whole);
	EXPECT_GT(n, 3);
	EXPECT_GT(read_whole, 0);
	ASSERT_EQ(write(wire.stop[1], "", 1), 1);
	pthread_join(thread, NULL);
	close(wire.listener);
}

TEST_TIMEOUT(bytes_of_http, 120)
{
	static const char seed[] =
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Type: "
		"application/x-protobuf\r\nRetry-After: 1\r\nDate: Thu, 01 Jan 1970 00:00:00 "
		"GMT\r\nContent-Length: 13\r\nTransfer-Encoding: chunked\r\n\r\nd\r\n"
		"\x0a\x0b\x08\x05\x12\x07too old\r\n0\r\n\r\n";

	fuzz_wire("http/protobuf", seed, sizeof(seed) - 1);
}

TEST_TIMEOUT(bytes_of_http_2, 120)
{
	/*
	 * Frames: length (24 bits), type, flags, stream. SETTINGS, their ACK, HEADERS with
	 * ":status: 200" (index 8 of HPACK's table) and content-type, DATA with a message,
	 * HEADERS with "grpc-status: 0" that end the stream.
	 */
	static const char seed[] = "\0\0\0\x04\0\0\0\0\0"
				   "\0\0\0\x04\1\0\0\0\0"
				   "\0\0\x14\x01\x04\0\0\0\x01"
				   "\x88\x0f\x10\x10"
				   "application/grpc"
				   "\0\0\x12\0\0\0\0\0\x01"
				   "\0\0\0\0\x0d\x0a\x0b\x08\x05\x12\x07too old"
				   "\0\0\x0f\x01\x05\0\0\0\x01"
				   "\0\x0bgrpc-status\x01"
				   "0";

	fuzz_wire("grpc", seed, sizeof(seed) - 1);
}

TEST_MAIN()
