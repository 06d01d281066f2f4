// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The ways to a receiver: proxies, IPv6, unix sockets, compression, and what goes wrong on them. */
#include <errno.h>
#include <json-c/json.h>
#include <nettle/base64.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "certificates.h"
#include "collector.h"
#include "deliver/answer.h"
#include "deliver/sender.h"
#include "grpc_server.h"
#include "ktap.h"
#include "otlp/fields.h"
#include "otlp/pb.h"
#include "proxy.h"
#include "receiver.h"

#define P "OTEL_EXPORTER_OTLP_"
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

static struct delivery_report report;
static volatile bool stop;

/* What the machine that runs the tests has for itself must not matter. */
static void __attribute__((constructor)) forget_proxies(void)
{
	static const char *const names[] = {"http_proxy",  "https_proxy", "all_proxy", "no_proxy",
					    "HTTPS_PROXY", "ALL_PROXY",	  "NO_PROXY"};

	for (size_t i = 0; i < ARRAY_SIZE(names); i++)
		unsetenv(names[i]);
}

static void make_request(struct pb *request, int id)
{
	size_t opened[7];
	char text[16], words[1600] = {0};

	snprintf(text, sizeof(text), "%d", id);
	pb__free(request);
	opened[0] = pb__open(request, REQUEST_RESOURCES);
	opened[1] = pb__open(request, RESOURCE_GROUP_SCOPES);
	opened[2] = pb__open(request, SCOPE_GROUP_ITEMS);
	pb__string(request, METRIC_NAME, "test.count");
	/* Some bytes in which to be cut and corrupted. */
	memset(words, 'w', sizeof(words) - 1);
	pb__string(request, METRIC_DESCRIPTION, words);
	opened[3] = pb__open(request, METRIC_SUM);
	opened[4] = pb__open(request, SUM_DATA_POINTS);
	pb__fixed64(request, NUMBER_POINT_TIME, 1700000000000000000);
	pb__fixed64(request, NUMBER_POINT_AS_INT, 1);
	opened[5] = pb__open(request, NUMBER_POINT_ATTRIBUTES);
	pb__string(request, KEY_VALUE_KEY, "id");
	opened[6] = pb__open(request, KEY_VALUE_VALUE);
	pb__string(request, ANY_VALUE_STRING, text);
	for (int i = 6; i >= 4; i--)
		pb__close(request, opened[i]);
	pb__varint(request, SUM_AGGREGATION_TEMPORALITY, TEMPORALITY_CUMULATIVE);
	for (int i = 3; i >= 0; i--)
		pb__close(request, opened[i]);
	ASSERT_FALSE(request->failed);
}

static struct output *open_output(const char *protocol, const char *endpoint)
{
	struct output *output;
	int code = 0;

	signal(SIGPIPE, SIG_IGN);
	setenv(P "PROTOCOL", protocol, 1);
	setenv(P "ENDPOINT", endpoint, 1);
	output = output__open("otlp", NULL, &code);
	ASSERT_TRUE(output);
	return output;
}

static enum delivery send_id(struct output *output, int id, __u64 seconds)
{
	struct pb request = {0};
	enum delivery outcome;

	make_request(&request, id);
	outcome = output__send(output, SIGNAL_METRICS, request.data, request.len,
			       instant(CLOCK_MONOTONIC) + seconds * SECOND, &stop, &report);
	pb__free(&request);
	return outcome;
}

static void expect_delivered(const char *protocol, const char *endpoint)
{
	struct output *output = open_output(protocol, endpoint);

	if (!EXPECT_EQ(send_id(output, 1, 20), DELIVERED))
		printf("%s %s: %s\n", protocol, endpoint, report.message);
	EXPECT_STREQ(report.message, "");
	output__close(output);
}

static struct collector *need_collector(const char *certificates)
{
	struct collector *c =
		certificates ? collector__start_tls(certificates) : collector__start();

	if (!c && errno == ENOENT) {
		certificates__remove();
		SKIP("OTELCOL is not set");
	}
	ASSERT_NE(c, NULL);
	return c;
}

static const struct reply taken[] = {{.status = 200}};
static const struct grpc_reply success[] = {{.frame = "\0\0\0\0", .len = 5, .status = "0"}};

/* --- proxies -------------------------------------------------------------------- */

TEST(http_through_a_proxy)
{
	struct receiver *receiver = receiver__start(taken, 1);
	struct proxy *proxy = proxy__start("127.0.0.1", NULL, NULL, 0);
	const char *url = receiver__url(receiver);
	char line[256];

	ASSERT_TRUE(proxy);
	setenv("http_proxy", proxy__url(proxy), 1);
	setenv("https_proxy", "http://127.0.0.1:1", 1);
	expect_delivered("http/protobuf", url);
	EXPECT_EQ(proxy__count(proxy), 1);
	EXPECT_EQ(proxy__tunnels(proxy), 0);
	snprintf(line, sizeof(line), "POST %s/v1/metrics HTTP/1.1", url);
	EXPECT_STREQ(receiver__request(receiver, 0)->line, line);
	/* Not for this one. */
	setenv("no_proxy", "localhost,127.0.0.1", 1);
	expect_delivered("http/protobuf", url);
	EXPECT_EQ(proxy__count(proxy), 1);
	EXPECT_STREQ(receiver__request(receiver, 1)->line, "POST /v1/metrics HTTP/1.1");
	proxy__stop(proxy);
	receiver__stop(receiver);
}

TEST(grpc_through_a_proxy)
{
	struct grpc_server *server = grpc_server__start(success, 1);
	struct proxy *proxy = proxy__start("127.0.0.1", NULL, NULL, 0);

	ASSERT_TRUE(proxy);
	setenv("http_proxy", proxy__url(proxy), 1);
	expect_delivered("grpc", grpc_server__url(server));
	EXPECT_EQ(proxy__count(proxy), 1);
	EXPECT_EQ(proxy__tunnels(proxy), 1);
	setenv("no_proxy", "*", 1);
	expect_delivered("grpc", grpc_server__url(server));
	EXPECT_EQ(proxy__count(proxy), 1);
	EXPECT_EQ(grpc_server__count(server), 2);
	proxy__stop(proxy);
	grpc_server__stop(server);
}

TEST(proxies_that_say_no)
{
	static const struct {
		int status;
		const char *says;
		unsigned int attempts;
	} cases[] = {
		{403, "the proxy says 403: check http_proxy", 1},
		{407, "the proxy says 407 (it wants a user and a password)", 1},
		{502, "", 2}, /* it could not reach the receiver: another time it does */
	};
	static const char *const protocols[] = {"grpc", "http/protobuf"};

	for (size_t i = 0; i < 2 * ARRAY_SIZE(cases); i++) {
		const struct fault fault = {.refuse = cases[i / 2].status};
		struct grpc_server *server = grpc_server__start(success, 1);
		struct receiver *receiver = receiver__start(taken, 1);
		struct proxy *proxy = proxy__start("127.0.0.1", NULL, &fault, 1);
		bool grpc = i % 2 == 0;
		struct output *output;
		char url[64];

		ASSERT_TRUE(proxy);
		setenv("http_proxy", proxy__url(proxy), 1);
		setenv("https_proxy", proxy__url(proxy), 1);
		/* TLS needs CONNECT too, and does not get as far as TLS. */
		snprintf(url, sizeof(url), "https%s", strchr(receiver__url(receiver), ':'));
		if (!grpc && cases[i / 2].attempts > 1)
			strcpy(url, receiver__url(receiver));
		output = open_output(protocols[i % 2], grpc ? grpc_server__url(server) : url);
		EXPECT_EQ(send_id(output, 1, 20),
			  cases[i / 2].attempts > 1 ? DELIVERED : UNDELIVERED);
		EXPECT_EQ(report.attempts, cases[i / 2].attempts);
		if (!EXPECT_TRUE(strstr(report.message, cases[i / 2].says)))
			printf("%s\n", report.message);
		output__close(output);
		proxy__stop(proxy);
		receiver__stop(receiver);
		grpc_server__stop(server);
	}
}

TEST(no_proxy_there)
{
	struct receiver *receiver = receiver__start(taken, 1);
	struct output *output;

	setenv("http_proxy", "http://127.0.0.1:1", 1);
	output = open_output("http/protobuf", receiver__url(receiver));
	EXPECT_EQ(send_id(output, 1, 0), UNDELIVERED);
	EXPECT_EQ(report.attempts, 0);
	{
		struct pb request = {0};

		make_request(&request, 1);
		EXPECT_EQ(output__send(output, SIGNAL_METRICS, request.data, request.len,
				       instant(CLOCK_MONOTONIC) + SECOND / 12, &stop, &report),
			  UNDELIVERED);
		pb__free(&request);
	}
	EXPECT_TRUE(strstr(report.message, "127.0.0.1 port 1"));
	EXPECT_EQ(receiver__count(receiver), 0);
	output__close(output);
	receiver__stop(receiver);
}

/* --- addresses ------------------------------------------------------------------ */

TEST(ipv6)
{
	struct receiver *receiver = receiver__start(taken, 1);
	struct grpc_server *server = grpc_server__start(success, 1);
	struct proxy *http = proxy__start("::1", receiver__url(receiver), NULL, 0);
	struct proxy *grpc = proxy__start("::1", grpc_server__url(server), NULL, 0);

	if (!http || !grpc)
		SKIP("no IPv6 here");
	setenv("no_proxy", "*", 1);
	setenv(P "INSECURE", "true", 1);
	expect_delivered("http/protobuf", proxy__url(http));
	expect_delivered("grpc", proxy__url(grpc));
	expect_delivered("grpc", strstr(proxy__url(grpc), "["));
	EXPECT_EQ(receiver__count(receiver), 1);
	EXPECT_EQ(grpc_server__count(server), 2);
	proxy__stop(http);
	proxy__stop(grpc);
	receiver__stop(receiver);
	grpc_server__stop(server);
}

/* A name that no file stands for, of every protocol. */
TEST(abstract_sockets)
{
	struct receiver *receiver = receiver__start(taken, 1);
	struct grpc_server *server = grpc_server__start(success, 1);
	char name[2][64];
	struct proxy *http, *grpc;

	for (int i = 0; i < 2; i++)
		snprintf(name[i], sizeof(name[i]), "@otelbpf-deliver-%d-%d", getpid(), i);
	http = proxy__start(name[0], receiver__url(receiver), NULL, 0);
	grpc = proxy__start(name[1], grpc_server__url(server), NULL, 0);
	ASSERT_TRUE(http && grpc);
	expect_delivered("http/protobuf", proxy__url(http));
	expect_delivered("http/json", proxy__url(http));
	expect_delivered("grpc", proxy__url(grpc));
	EXPECT_EQ(receiver__count(receiver), 2);
	EXPECT_EQ(grpc_server__count(server), 1);
	EXPECT_EQ(access(name[0], F_OK), -1);
	proxy__stop(http);
	proxy__stop(grpc);
	receiver__stop(receiver);
	grpc_server__stop(server);
}

TEST(unix_sockets)
{
	struct receiver *receiver = receiver__start(taken, 1);
	struct grpc_server *server = grpc_server__start(success, 1);
	char path[2][64];
	struct proxy *http, *grpc;
	struct output *output;

	for (int i = 0; i < 2; i++)
		snprintf(path[i], sizeof(path[i]), "/tmp/otelbpf-deliver-%d-%d", getpid(), i);
	http = proxy__start(path[0], receiver__url(receiver), NULL, 0);
	grpc = proxy__start(path[1], grpc_server__url(server), NULL, 0);
	ASSERT_TRUE(http && grpc);
	/* Which a proxy could not reach. */
	setenv("http_proxy", "http://127.0.0.1:1", 1);
	expect_delivered("http/protobuf", proxy__url(http));
	expect_delivered("http/json", proxy__url(http));
	expect_delivered("grpc", proxy__url(grpc));
	setenv(P "METRICS_ENDPOINT", proxy__url(http), 1);
	expect_delivered("http/protobuf", "http://127.0.0.1:1");
	unsetenv(P "METRICS_ENDPOINT");
	EXPECT_EQ(receiver__count(receiver), 3);
	for (int i = 0; i < 3; i++)
		EXPECT_STREQ(receiver__request(receiver, i)->line, "POST /v1/metrics HTTP/1.1");
	EXPECT_EQ(grpc_server__count(server), 1);
	EXPECT_STREQ(grpc_call__header(grpc_server__call(server, 0), ":authority"), "localhost");
	output = open_output("http/protobuf", proxy__url(http));
	EXPECT_STREQ(output__name(output, SIGNAL_METRICS), proxy__url(http));
	proxy__stop(http);
	EXPECT_EQ(send_id(output, 1, 1), UNDELIVERED);
	EXPECT_TRUE(strstr(report.message, "onnect"));
	output__close(output);
	proxy__stop(grpc);
	receiver__stop(receiver);
	grpc_server__stop(server);
}

/* --- compression ---------------------------------------------------------------- */

static void compress_to(struct collector *c, const char *protocol, int *id)
{
	static const char *const names[] = {"none", "gzip", "zstd"};
	size_t sent[ARRAY_SIZE(names)];
	struct output *output;

	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		setenv(P "COMPRESSION", names[i], 1);
		output = open_output(protocol, !strcmp(protocol, "grpc")
						       ? collector__grpc_endpoint(c)
						       : collector__http_url(c));
		for (int k = 0; k < 3; k++) {
			if (!EXPECT_EQ(send_id(output, ++*id, 20), DELIVERED))
				printf("%s %s: %s\n", protocol, names[i], report.message);
			EXPECT_EQ(report.attempts, 1);
			EXPECT_STREQ(report.message, "");
		}
		sent[i] = report.sent;
		output__close(output);
	}
	EXPECT_LT(sent[1], sent[0] / 4);
	EXPECT_LT(sent[2], sent[0] / 4);
}

TEST_TIMEOUT(compression, 60)
{
	struct collector *c = need_collector(NULL);
	struct json_object *lines;
	int id = 0;

	setenv("no_proxy", "*", 1);
	compress_to(c, "http/protobuf", &id);
	compress_to(c, "http/json", &id);
	compress_to(c, "grpc", &id);
	lines = collector__metrics(c);
	EXPECT_EQ(otlp_json__total(lines, "test.count"), id);
	json_object_put(lines);
	collector__free(c);
}

TEST(zstd_that_is_refused)
{
	static const int statuses[] = {415, 400};

	setenv("no_proxy", "*", 1);
	setenv(P "COMPRESSION", "zstd", 1);
	for (size_t i = 0; i < ARRAY_SIZE(statuses); i++) {
		const struct reply replies[] = {{.status = statuses[i]}, {.status = 200}};
		struct receiver *receiver = receiver__start(replies, 2);
		struct output *output = open_output("http/protobuf", receiver__url(receiver));

		EXPECT_EQ(send_id(output, 1, 20), DELIVERED);
		EXPECT_TRUE(strstr(report.message, "gzip"));
		EXPECT_EQ(report.attempts, 2);
		EXPECT_EQ(send_id(output, 2, 20), DELIVERED);
		EXPECT_STREQ(report.message, "");
		ASSERT_EQ(receiver__count(receiver), 3);
		EXPECT_FALSE(receiver__request(receiver, 0)->gzip);
		EXPECT_TRUE(receiver__request(receiver, 1)->gzip);
		EXPECT_TRUE(receiver__request(receiver, 2)->gzip);
		output__close(output);
		receiver__stop(receiver);
	}
}

TEST(a_refusal_that_was_not_for_zstd)
{
	static const struct reply replies[] = {{.status = 400}, {.status = 400}, {.status = 200}};
	static const struct grpc_reply calls[] = {{.status = "12", .trailers_only = true},
						  {.frame = "\0\0\0\0", .len = 5, .status = "0"}};
	struct receiver *receiver = receiver__start(replies, 3);
	struct grpc_server *server = grpc_server__start(calls, 2);
	struct output *output;

	setenv("no_proxy", "*", 1);
	setenv(P "COMPRESSION", "zstd", 1);
	output = open_output("http/protobuf", receiver__url(receiver));
	EXPECT_EQ(send_id(output, 1, 20), REFUSED);
	EXPECT_STREQ(report.message, "400 Bad Request");
	EXPECT_EQ(send_id(output, 2, 20), DELIVERED);
	ASSERT_EQ(receiver__count(receiver), 3);
	EXPECT_STREQ(request__header(receiver__request(receiver, 2), "Content-Encoding"), "zstd");
	output__close(output);

	output = open_output("grpc", grpc_server__url(server));
	EXPECT_EQ(send_id(output, 1, 20), DELIVERED);
	EXPECT_EQ(send_id(output, 2, 20), DELIVERED);
	ASSERT_EQ(grpc_server__count(server), 3);
	EXPECT_STREQ(grpc_call__header(grpc_server__call(server, 0), "grpc-encoding"), "zstd");
	EXPECT_STREQ(grpc_call__header(grpc_server__call(server, 2), "grpc-encoding"), "gzip");
	output__close(output);
	receiver__stop(receiver);
	grpc_server__stop(server);
}

/* --- how long a receiver can make us wait ---------------------------------------- */

TEST(waits_have_a_limit)
{
	struct otlp_endpoint endpoint = {.url = "http://x"};
	struct answer answer = {.status = 503, .headers_end = true};
	struct pb status = {0};
	size_t detail, info, delay;

	strcpy(answer.retry_after, "299");
	EXPECT_EQ(answer__judge_http(&answer, &endpoint, SIGNAL_METRICS, &report).wait_ns,
		  299 * SECOND);
	strcpy(answer.retry_after, "301");
	EXPECT_EQ(answer__judge_http(&answer, &endpoint, SIGNAL_METRICS, &report).wait_ns,
		  300 * SECOND);
	strcpy(answer.retry_after, "Fri, 31 Dec 9999 23:59:59 GMT");
	EXPECT_EQ(answer__judge_http(&answer, &endpoint, SIGNAL_METRICS, &report).wait_ns,
		  300 * SECOND);

	endpoint.grpc = true;
	strcpy(answer.grpc_status, "14");
	detail = pb__open(&status, RPC_STATUS_DETAILS);
	pb__string(&status, 1, "type.googleapis.com/google.rpc.RetryInfo");
	info = pb__open(&status, 2);
	delay = pb__open(&status, 1);
	pb__varint(&status, 1, 86400);
	pb__close(&status, delay);
	pb__close(&status, info);
	pb__close(&status, detail);
	base64_encode_raw(answer.grpc_details, status.len, status.data);
	EXPECT_EQ(answer__judge_grpc(&answer, &endpoint, SIGNAL_METRICS, &report).wait_ns,
		  300 * SECOND);
	pb__free(&status);
}

/* --- several outputs -------------------------------------------------------------- */

static struct sender *senders[2];
static int wake;

static void submit(int i, struct payload *payload, __u64 deadline_ns)
{
	struct job *job = calloc(1, sizeof(*job));

	ASSERT_TRUE(job);
	job->payload = payload__get(payload);
	job->deadline_ns = deadline_ns;
	sender__submit(senders[i], job);
}

/* Until one has ended: what became of it. */
static enum delivery wait_for(int i, bool *untried)
{
	struct pollfd pollfd = {.fd = wake, .events = POLLIN};
	enum delivery result;
	struct job *job;
	__u64 n;

	while (!(job = sender__ended(senders[i]))) {
		ASSERT_EQ(poll(&pollfd, 1, -1), 1);
		ASSERT_EQ(read(wake, &n, sizeof(n)), sizeof(n));
	}
	result = job->result;
	*untried = job->untried;
	report = job->report;
	payload__put(job->payload);
	free(job);
	return result;
}

static struct payload *payload_of(int id)
{
	struct pb request = {0};
	struct payload *payload;

	make_request(&request, id);
	payload = payload__new(SIGNAL_METRICS, &request, 1);
	ASSERT_TRUE(payload);
	pb__free(&request);
	return payload;
}

static void start_senders(struct output *const outputs[2])
{
	wake = eventfd(0, EFD_CLOEXEC);
	ASSERT_GE(wake, 0);
	for (int i = 0; i < 2; i++) {
		senders[i] = sender__new(outputs[i], wake, &stop);
		ASSERT_TRUE(senders[i]);
	}
}

static void end_senders(struct output *const outputs[2])
{
	for (int i = 0; i < 2; i++) {
		sender__free(senders[i]);
		output__close(outputs[i]);
	}
	close(wake);
}

/* One waits for its first answer all the time in which the other takes a hundred requests. */
TEST_TIMEOUT(a_dead_output_delays_no_other, 60)
{
	static const struct reply dead[] = {{.hang = true}};
	struct receiver *bad = receiver__start(dead, ARRAY_SIZE(dead));
	struct receiver *good = receiver__start(taken, 1);
	struct output *outputs[2];
	bool untried;

	setenv("no_proxy", "*", 1);
	setenv(P "TIMEOUT", "3600000", 1);
	outputs[0] = open_output("http/protobuf", receiver__url(bad));
	outputs[1] = open_output("http/protobuf", receiver__url(good));
	start_senders(outputs);
	for (int id = 0; id < 100; id++) {
		struct payload *payload = payload_of(id);

		submit(1, payload, ~0ULL);
		if (!id)
			submit(0, payload, ~0ULL);
		EXPECT_EQ(wait_for(1, &untried), DELIVERED);
		EXPECT_FALSE(untried);
		/* The last holder gives it back. */
		EXPECT_EQ(payload->refs, id ? 1 : 2);
		payload__put(payload);
	}
	EXPECT_EQ(receiver__count(good), 100);
	EXPECT_LE(receiver__count(bad), 1);
	EXPECT_EQ(sender__pending(senders[0]), 1);
	EXPECT_EQ(sender__pending(senders[1]), 0);
	/* Its connection ends; there is no other attempt once the flag is set. */
	stop = true;
	receiver__stop(bad);
	EXPECT_EQ(wait_for(0, &untried), UNDELIVERED);
	end_senders(outputs);
	receiver__stop(good);
	stop = false;
}

/* What stands behind a request that was not taken, in the same export, is not tried. */
TEST(the_rest_of_an_export)
{
	static const struct reply never = {.hang = true};
	struct receiver *receiver = receiver__start(&never, 1);
	struct receiver *good = receiver__start(taken, 1);
	struct payload *payload = payload_of(1);
	struct output *outputs[2];
	bool untried;

	setenv("no_proxy", "*", 1);
	setenv(P "TIMEOUT", "3600000", 1);
	outputs[0] = open_output("http/protobuf", receiver__url(receiver));
	outputs[1] = open_output("http/protobuf", receiver__url(good));
	start_senders(outputs);
	submit(0, payload, ~0ULL - 1);
	while (!receiver__count(receiver))
		usleep(1000);
	for (int k = 0; k < 2; k++)
		submit(0, payload, ~0ULL - 1);
	submit(0, payload, ~0ULL);
	/* The first ends with its connection, and the flag ends the wait for another attempt. */
	stop = true;
	receiver__stop(receiver);
	for (int k = 0; k < 4; k++) {
		EXPECT_EQ(wait_for(0, &untried), UNDELIVERED);
		EXPECT_EQ(untried, k == 1 || k == 2);
		if (untried)
			EXPECT_STREQ(report.message,
				     "not sent: it did not take what came before in this export");
	}
	EXPECT_EQ(payload->refs, 1);
	payload__put(payload);
	end_senders(outputs);
	receiver__stop(good);
	stop = false;
}

/* --- a way that is no good ------------------------------------------------------ */

/*
 * Each request begins with a connection of its own, and at most one of its connections is harmed.
 * Nothing may get lost that is not said to be, and nothing may be said to be lost that arrived;
 * what arrives twice was sent twice.
 */
static void send_over(struct collector *c, const char *protocol, const char *endpoint, int first,
		      int last)
{
	struct json_object *lines;
	int arrived = 0, lost = 0, twice = 0, attempts[128] = {0};
	bool refused[128] = {0};

	for (int id = first; id < last; id++) {
		struct output *output = open_output(protocol, endpoint);
		enum delivery outcome = send_id(output, id, 25);

		if (outcome != DELIVERED)
			printf("%d: %s\n", id, report.message);
		ASSERT_NE(outcome, UNDELIVERED);
		refused[id - first] = outcome == REFUSED;
		lost += outcome == REFUSED;
		attempts[id - first] = report.attempts;
		output__close(output);
	}
	lines = collector__metrics(c);
	for (int id = first; id < last; id++) {
		char text[16];
		int found;

		snprintf(text, sizeof(text), "%d", id);
		found = otlp_json__find(lines, "test.count", NULL, "id", text);
		EXPECT_LE(found, attempts[id - first]);
		EXPECT_EQ(found > 0, !refused[id - first]);
		arrived += found > 0;
		twice += found > 1;
	}
	json_object_put(lines);
	printf("%s: %d of %d arrived, %d of them twice, %d are lost\n", protocol, arrived,
	       last - first, twice, lost);
	EXPECT_EQ(arrived + lost, last - first);
}

TEST_TIMEOUT(cut_delayed_and_corrupted, 120)
{
	/* What corrupts an answer goes unnoticed without TLS: "200" and "300" differ by a bit. */
	static const struct fault faults[] = {{.cut_up = 40},	   {0}, {.cut_up = 330},     {0},
					      {.cut_down = 5},	   {0}, {.cut_answer = 300}, {0},
					      {.corrupt_up = 300}, {0}, {.delay_ms = 2500}};
	struct collector *c = need_collector(NULL);
	struct proxy *proxy = proxy__start("127.0.0.1", NULL, faults, ARRAY_SIZE(faults));

	ASSERT_TRUE(proxy);
	setenv("http_proxy", proxy__url(proxy), 1);
	setenv(P "COMPRESSION", "gzip", 1); /* which has a check sum */
	setenv(P "TIMEOUT", "2000", 1);
	send_over(c, "http/protobuf", collector__http_url(c), 0, 7);
	EXPECT_EQ(proxy__harmed(proxy), 6);
	proxy__stop(proxy);
	collector__free(c);
}

TEST_TIMEOUT(cut_delayed_and_corrupted_tls, 120)
{
	/* Of the handshake in both directions, of the request, of its answer. */
	static const struct fault faults[] = {
		{.cut_up = 100},      {0}, {.corrupt_down = 300},    {0}, {.corrupt_up = 1400}, {0},
		{.cut_answer = 1700}, {0}, {.corrupt_answer = 1700}, {0}, {.delay_ms = 2500}};
	static const char *const protocols[] = {"http/protobuf", "grpc"};
	const char *directory = certificates__make();
	struct collector *c;
	char authority[128];

	certificates__copy("server", "in-use");
	c = need_collector(directory);
	snprintf(authority, sizeof(authority), "%s/ca.pem", directory);
	setenv(P "CERTIFICATE", authority, 1);
	setenv(P "TIMEOUT", "2000", 1);
	for (int i = 0; i < 2; i++) {
		struct proxy *proxy = proxy__start("127.0.0.1", NULL, faults, ARRAY_SIZE(faults));

		ASSERT_TRUE(proxy);
		setenv("https_proxy", proxy__url(proxy), 1);
		send_over(c, protocols[i], i ? collector__grpc_endpoint(c) : collector__http_url(c),
			  100 * i, 100 * i + 7);
		EXPECT_EQ(proxy__tunnels(proxy), proxy__count(proxy));
		EXPECT_EQ(proxy__harmed(proxy), 6);
		proxy__stop(proxy);
	}
	collector__free(c);
	certificates__remove();
}

TEST_MAIN()
