// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Spans and log records of connections, lookups and waits, from the receiver's side: as many as
 * there were, with what is known of each, below the span that the thread worked for.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "received.h"
#include "sockets.h"

#define MS 1000000ULL
#define KIND_INTERNAL 1
#define KIND_SERVER 2
#define KIND_CLIENT 3
#define CONTEXT 7

/* What a workload tells its test, and what it needs to know. */
struct told {
	char map[160]; /* contexts */
	__u32 pid;
	__u32 port, client_port;
	__u64 number;
};

static struct told *tell(struct live *live)
{
	struct told *told = mmap(NULL, sizeof(*told), PROT_READ | PROT_WRITE,
				 MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(told != MAP_FAILED);
	snprintf(told->map, sizeof(told->map), "%s/otel_traces_ctx_v1", live->shared_dir);
	return told;
}

#define load(live, probe, ...)                                                                \
	({                                                                                    \
		char __filter[PATH_MAX + 16];                                                 \
                                                                                              \
		live__make_cgroup(live, "");                                                  \
		snprintf(__filter, sizeof(__filter), "cgroup=%s", (live)->cgroup);            \
		live__must("load", OBJECT_DIR "/progs/" probe ".bpf.o", "--filter", __filter, \
			   "--set", probe ".events=1", "--set", probe ".events_per_second=0", \
			   ##__VA_ARGS__);                                                    \
	})

static __u64 utc(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000 * MS + now.tv_nsec;
}

static void expect_number(struct json_object *obj, const char *key, long long value)
{
	const char *text = otlp_json__attr(obj, key);

	ASSERT_TRUE(text);
	EXPECT_EQ(atoll(text), value);
}

static void expect_text(struct json_object *obj, const char *key, const char *value)
{
	const char *text = otlp_json__attr(obj, key);

	ASSERT_TRUE(text);
	EXPECT_STREQ(text, value);
}

/* What each span of a workload's process has to have. */
static void expect_span(const struct received_item *at, const struct told *told, int kind,
			__u64 from, __u64 to)
{
	__u64 start = otlp_json__u64(at->item, "startTimeUnixNano");
	__u64 end = otlp_json__u64(at->item, "endTimeUnixNano");

	EXPECT_EQ(otlp_json__u64(at->item, "kind"), kind);
	/* The clock may be set a little at a time meanwhile. */
	EXPECT_GE(start + 100 * MS, from);
	EXPECT_GE(end, start);
	EXPECT_LE(end, to + 100 * MS);
	expect_number(at->resource, "process.pid", told->pid);
	expect_number(at->item, "thread.id", told->pid);
	EXPECT_TRUE(otlp_json__attr(at->item, "thread.name"));
	EXPECT_EQ(span__failed(at->item), otlp_json__attr(at->item, "error.type") != NULL);
}

/* --- connections ------------------------------------------------------------------------------ */

#define REFUSED 7
#define TRACED 3

static void refused(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1);
	struct told *told = ctx;

	(void)gate;
	close(listener);
	told->pid = getpid();
	told->port = ntohs(address.v4.sin_port);
	for (int i = 0; i < REFUSED; i++) {
		if (i == REFUSED - TRACED)
			context__publish(told->map, CONTEXT);
		ASSERT_EQ(socket__connect(&address), -ECONNREFUSED);
	}
	context__publish(told->map, 0);
}

/* Nothing but the loopback interface is there. Which hook tells of it depends on the kernel. */
static void unroutable(void *ctx, int gate)
{
	union address address = {.v4 = {.sin_family = AF_INET, .sin_port = htons(7)}};
	struct told *told = ctx;

	(void)gate;
	address.v4.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 */
	told->pid = getpid();
	ASSERT_EQ(socket__connect(&address), -ENETUNREACH);
}

TEST_TIMEOUT(each_failed_connection_is_a_span, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	static struct received spans;
	struct told *told, *other;
	__u64 from = utc(), to;
	int children = 0;

	load(live, "tcp");
	told = tell(live);
	other = tell(live);
	place__run(live, "refused", refused, told);
	place__run(live, "unroutable", unroutable, other);
	to = utc();
	root = live__export_file(live);

	received__spans(&spans, root, "tcp", "tcp connect", live__path(live, "refused"));
	EXPECT_EQ(spans.n, REFUSED);
	for (int i = 0; i < spans.n; i++) {
		struct json_object *span = spans.at[i].item;

		expect_span(&spans.at[i], told, KIND_CLIENT, from, to);
		expect_text(span, "error.type", "refused");
		expect_text(span, "network.peer.address", "127.0.0.1");
		expect_number(span, "network.peer.port", told->port);
		expect_text(span, "network.type", "ipv4");
		expect_text(span, "network.transport", "tcp");
		children += context__is_parent(span, CONTEXT);
	}
	EXPECT_EQ(children, TRACED);
	/* The reset that refuses is told by that. */
	received__logs(&spans, root, "tcp", "system.network.tcp.reset",
		       live__path(live, "refused"));
	EXPECT_EQ(received__count(&spans, "network.io.direction", "receive"), 0);

	received__spans(&spans, root, "tcp", "tcp connect", live__path(live, "unroutable"));
	EXPECT_EQ(spans.n,
		  otlp_json__total(root, "system.network.tcp.connection.failures",
				   "process.linux.cgroup", live__path(live, "unroutable")));
	for (int i = 0; i < spans.n; i++) {
		expect_span(&spans.at[i], other, KIND_CLIENT, from, to);
		expect_text(spans.at[i].item, "error.type", "net_unreachable");
	}
	/* Connections that come about are spans on request only. */
	received__spans(&spans, root, "tcp", "tcp connection", NULL);
	EXPECT_EQ(spans.n, 0);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

#define CONNECTIONS 6
#define REQUEST 12345
#define RESPONSE 678
#define LASTS_MS 20

static void connections(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET6, false);
	int listener = socket__listen(&address, 5), client, server;
	struct told *told = ctx;

	(void)gate;
	told->pid = getpid();
	told->port = ntohs(address.v6.sin6_port);
	for (int i = 0; i < CONNECTIONS; i++) {
		context__publish(told->map, CONTEXT);
		client = socket__connect(&address);
		ASSERT_GE(client, 0);
		context__publish(told->map, 0);
		server = accept(listener, NULL, NULL);
		ASSERT_GE(server, 0);
		socket__send_all(client, REQUEST);
		ASSERT_EQ(socket__receive_all(server, REQUEST), REQUEST);
		socket__send_all(server, RESPONSE);
		ASSERT_EQ(socket__receive_all(client, RESPONSE), RESPONSE);
		usleep(LASTS_MS * 1000);
		shutdown(client, SHUT_WR);
		ASSERT_EQ(socket__receive_all(server, 1), 0);
		close(server);
		ASSERT_EQ(socket__receive_all(client, 1), 0);
		close(client);
	}
	close(listener);
}

TEST_TIMEOUT(each_connection_is_a_span_on_request, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	int n[2] = {}, children = 0;
	static struct received spans;
	__u64 from = utc(), to;
	struct told *told;

	load(live, "tcp", "--set", "tcp.connection_spans=1");
	told = tell(live);
	place__run(live, "connections", connections, told);
	to = utc();
	root = live__export_file(live);
	received__spans(&spans, root, "tcp", "tcp connection", live__path(live, "connections"));
	EXPECT_EQ(spans.n, 2 * CONNECTIONS);
	for (int i = 0; i < spans.n; i++) {
		struct json_object *span = spans.at[i].item;
		bool server = otlp_json__u64(span, "kind") == KIND_SERVER;

		n[server]++;
		expect_span(&spans.at[i], told, server ? KIND_SERVER : KIND_CLIENT, from, to);
		EXPECT_FALSE(span__failed(span));
		EXPECT_GE(span__ns(span), LASTS_MS * MS);
		expect_text(span, "network.tcp.handshake.role", server ? "server" : "client");
		expect_text(span, "network.peer.address", "::1");
		expect_text(span, "network.local.address", "::1");
		expect_number(span, server ? "network.local.port" : "network.peer.port",
			      told->port);
		expect_number(span, "network.tcp.io.transmit", server ? RESPONSE : REQUEST);
		expect_number(span, "network.tcp.io.receive", server ? REQUEST : RESPONSE);
		expect_number(span, "network.tcp.retransmits", 0);
		children += context__is_parent(span, CONTEXT);
	}
	EXPECT_EQ(n[0], CONNECTIONS);
	EXPECT_EQ(n[1], CONNECTIONS);
	/* Clients'. Whom the connection of a server is for is not known when it comes. */
	EXPECT_EQ(children, CONNECTIONS);
	received__spans(&spans, root, "tcp", "tcp connect", NULL);
	EXPECT_EQ(spans.n, 0);
	received__logs(&spans, root, "tcp", "system.network.tcp.reset",
		       live__path(live, "connections"));
	EXPECT_EQ(spans.n, 0);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

#define RESETS 5 /* the first of them before anything was sent */
#define RESET_REQUEST 700
#define RESET_RESPONSE 12345

static void resets(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1);
	struct told *told = ctx;

	(void)gate;
	told->pid = getpid();
	told->port = ntohs(address.v4.sin_port);
	socket__reset(listener, &address, 1, 0, 0);
	socket__reset(listener, &address, RESETS - 1, RESET_REQUEST, RESET_RESPONSE);
	close(listener);
}

/* More than its queue has room for. */
static void full(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1), fd[8];
	struct told *told = ctx;

	(void)gate;
	told->pid = getpid();
	told->port = ntohs(address.v4.sin_port);
	for (int i = 0; i < 8; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fd[i], &address.any, address__len(&address)))
			ASSERT_EQ(errno, EINPROGRESS);
	}
	for (int i = 0; i < 8; i++)
		close(fd[i]);
	told->number = mib("TcpExt", "ListenDrops");
	close(listener);
}

TEST_TIMEOUT(resets_and_overflows_are_log_records, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct told *told, *of_full;
	static struct received logs;
	__u64 drops = 0;
	int n_empty = 0;

	load(live, "tcp");
	told = tell(live);
	of_full = tell(live);
	place__run(live, "resets", resets, told);
	place__run(live, "full", full, of_full);
	root = live__export_file(live);

	received__logs(&logs, root, "tcp", "system.network.tcp.reset", live__path(live, "resets"));
	EXPECT_EQ(logs.n, 2 * RESETS);
	EXPECT_EQ(received__count(&logs, "network.io.direction", "transmit"), RESETS);
	EXPECT_EQ(received__count(&logs, "network.io.direction", "receive"), RESETS);
	for (int i = 0; i < logs.n; i++) {
		struct json_object *record = logs.at[i].item;
		bool sent = !strcmp(otlp_json__attr(record, "network.io.direction"), "transmit");
		bool empty = !strcmp(otlp_json__attr(record, "network.tcp.io.transmit"), "0");

		expect_number(logs.at[i].resource, "process.pid", told->pid);
		expect_number(record, "thread.id", told->pid);
		expect_text(record, "network.tcp.handshake.role", sent ? "server" : "client");
		n_empty += empty;
		expect_number(record, "network.tcp.io.transmit",
			      empty  ? 0
			      : sent ? RESET_RESPONSE
				     : RESET_REQUEST);
		expect_number(record, "network.tcp.io.receive",
			      empty  ? 0
			      : sent ? RESET_REQUEST
				     : RESET_RESPONSE);
		expect_text(record, "network.peer.address", "127.0.0.1");
		expect_number(record, sent ? "network.local.port" : "network.peer.port",
			      told->port);
	}
	EXPECT_EQ(n_empty, 2);

	received__logs(&logs, root, "tcp", "system.network.tcp.listen.overflow",
		       live__path(live, "full"));
	EXPECT_GT(of_full->number, 0);
	for (int i = 0; i < logs.n; i++) {
		struct json_object *record = logs.at[i].item;

		drops += atoll(otlp_json__attr(record, "network.tcp.listen.drops") ?: "0");
		expect_number(logs.at[i].resource, "process.pid", of_full->pid);
		expect_number(record, "network.local.port", of_full->port);
		expect_number(record, "network.tcp.listen.queue.limit", 1);
	}
	EXPECT_EQ(drops, of_full->number);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

/* --- DNS -------------------------------------------------------------------------------------- */

#define LOOKUPS 5
#define LATE_MS 20
/* Header, one label with its length, the root's, type and class. */
#define QUERY_BYTES(label) (12 + 1 + strlen(label) + 1 + 4)

/* A query, and what a server says that does not know the name, or nothing. */
static void look_up(int client, int server, __u16 id, char first, const char *label)
{
	char query[64] = {id >> 8, id, 1, 0, 0, 1}, back[64];
	size_t at = 12, len = strlen(label);
	union address from;
	socklen_t from_len = sizeof(from);

	query[at++] = len;
	memcpy(query + at, label, len);
	query[at] = first;
	at += len;
	memcpy(query + at, "\0\0\1\0\1", 5);
	at += 5;
	ASSERT_EQ(send(client, query, at, 0), at);
	ASSERT_EQ(recvfrom(server, back, sizeof(back), 0, &from.any, &from_len), at);
	if (first == 's')
		return;
	back[2] |= 0x80;
	back[3] |= first == 'n' ? 3 : 0;
	usleep(LATE_MS * 1000);
	ASSERT_EQ(sendto(server, back, at, 0, &from.any, from_len), at);
	ASSERT_EQ(recv(client, back, sizeof(back), 0), at);
}

static void lookups(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int server = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	int client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct told *told = ctx;

	(void)gate;
	told->pid = getpid();
	address.v4.sin_port = htons(53);
	ASSERT_EQ(bind(server, &address.any, address__len(&address)), 0);
	ASSERT_EQ(connect(client, &address.any, address__len(&address)), 0);
	for (int i = 0; i < LOOKUPS; i++)
		look_up(client, server, i, 'w', "www");
	look_up(client, server, 100, 's', "silent");
	context__publish(told->map, CONTEXT);
	look_up(client, server, 101, 'n', "nowhere");
	context__publish(told->map, 0);
	/* The time of the one without an answer. */
	usleep(1100000);
}

TEST_TIMEOUT(each_lookup_is_a_span, 60)
{
	struct live *live _cleanup_live_ = live__begin();

	for (int named = 0; named < 2; named++) {
		struct json_object *root _cleanup_json_ = NULL;
		static struct received spans;
		__u64 from = utc(), to;
		struct told *told;

		load(live, "udp", "--set", "udp.dns_timeout=1", "--set",
		     named ? "udp.dns_name=1" : "udp.dns_name=0");
		told = tell(live);
		place__run(live, "lookups", lookups, told);
		to = utc();
		root = live__export_file(live);
		received__spans(&spans, root, "udp", "dns lookup", live__path(live, "lookups"));
		EXPECT_EQ(spans.n, LOOKUPS + 2);
		EXPECT_EQ(received__count(&spans, "dns.response.code", "NOERROR"), LOOKUPS);
		EXPECT_EQ(received__count(&spans, "error.type", NULL), LOOKUPS);
		EXPECT_EQ(received__count(&spans, "error.type", "NXDOMAIN"), 1);
		EXPECT_EQ(received__count(&spans, "error.type", "timed_out"), 1);
		EXPECT_EQ(received__count(&spans, "dns.question.name", NULL),
			  named ? 0 : LOOKUPS + 2);
		EXPECT_EQ(received__count(&spans, "dns.question.name", "nowhere"), named);
		for (int i = 0; i < spans.n; i++) {
			struct json_object *span = spans.at[i].item;
			const char *error = otlp_json__attr(span, "error.type");
			size_t bytes;

			expect_span(&spans.at[i], told, KIND_CLIENT, from, to);
			expect_text(span, "network.peer.address", "127.0.0.1");
			expect_number(span, "network.peer.port", 53);
			expect_text(span, "network.transport", "udp");
			bytes = QUERY_BYTES(error ? "nowhere" : "www");
			if (error && !strcmp(error, "timed_out")) {
				EXPECT_EQ(span__ns(span), 1000 * MS);
				expect_number(span, "dns.query.size", QUERY_BYTES("silent"));
				EXPECT_FALSE(otlp_json__attr(span, "dns.response.size"));
			} else {
				EXPECT_GE(span__ns(span), LATE_MS * MS);
				expect_number(span, "dns.query.size", bytes);
				/* What is asked stands in the answer, too. */
				expect_number(span, "dns.response.size", bytes);
			}
			EXPECT_EQ(context__is_parent(span, CONTEXT),
				  error && !strcmp(error, "NXDOMAIN"));
		}
		EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
		live__must("unload");
	}
}

/* --- long waits ------------------------------------------------------------------------------- */

#define WAITS 4
#define WAIT_MS 120

/* Each way to wait: what a signal ends, and what none does, for a child that shares our memory. */
static void waits(void *ctx, int gate)
{
	struct timespec time = {0, WAIT_MS * MS};
	struct told *told = ctx;
	int status;

	(void)gate;
	told->pid = getpid();
	/* From the first that is seen on none goes uncounted. */
	for (int i = 0; i < 20; i++)
		usleep(1000);
	for (int i = 0; i < WAITS; i++) {
		pid_t child;

		context__publish(told->map, CONTEXT);
		nanosleep(&time, NULL);
		context__publish(told->map, CONTEXT + 1);
		child = vfork();
		if (!child) {
			nanosleep(&time, NULL);
			_exit(0);
		}
		context__publish(told->map, 0);
		ASSERT_GT(child, 0);
		ASSERT_EQ(waitpid(child, &status, 0), child);
	}
}

/* Returns how many are missing. */
static int expect_waits(const struct received *spans, const struct told *told,
			unsigned char context, const char *kind, __u64 from, __u64 to)
{
	int n = 0;

	for (int i = 0; i < spans->n; i++) {
		struct json_object *span = spans->at[i].item;

		if (!context__is_parent(span, context))
			continue;
		n++;
		expect_span(&spans->at[i], told, KIND_INTERNAL, from, to);
		expect_text(span, "system.thread.wait", kind);
		/* The thread leaves the CPU a little after its clock has started, or is late. */
		EXPECT_GE(span__ns(span), (WAIT_MS - 20) * MS);
	}
	EXPECT_LE(n, WAITS);
	return WAITS - n;
}

TEST_TIMEOUT(each_long_wait_is_a_span, 60)
{
	struct live *live _cleanup_live_ = live__begin();

	for (int all = 0; all < 2; all++) {
		struct json_object *root _cleanup_json_ = NULL;
		static struct received spans;
		__u64 from = utc(), to;
		struct told *told;
		__u64 unseen;
		int missing;

		load(live, "offcpu", "--set", "offcpu.long_us=100000", "--set",
		     all ? "offcpu.long_waits=1" : "offcpu.long_waits=0");
		told = tell(live);
		place__run(live, "waits", waits, told);
		to = utc();
		root = live__export_file(live);
		received__spans(&spans, root, "offcpu", "off-cpu", live__path(live, "waits"));
		missing = expect_waits(&spans, told, CONTEXT + 1, "uninterruptible", from, to);
		if (all)
			missing += expect_waits(&spans, told, CONTEXT, "interruptible", from, to);
		/* 6.18 does not tell of every switch (see offcpu.bpf.c), but each is counted. */
		unseen = otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason",
					  "leave_unseen") +
			 otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason",
					  "return_unseen");
		EXPECT_GE(unseen, missing);
		if (unseen)
			printf("%d of %d missing, %llu switches unseen\n", missing,
			       all ? 2 * WAITS : WAITS, (unsigned long long)unseen);
		if (!all)
			EXPECT_EQ(received__count(&spans, "system.thread.wait", "interruptible"),
				  0);
		EXPECT_EQ(otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason",
					   "event_ring_full"),
			  0);
		live__must("unload");
	}
}

TEST_MAIN()
