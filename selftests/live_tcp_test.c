// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * TCP, from the receiver's side: known connections, in a network namespace and a cgroup of their
 * own, and exactly those numbers have to come out.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <net/route.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "sockets.h"

#define TCP_OBJECT OBJECT_DIR "/progs/tcp.bpf.o"
#define DEAF_OBJECT OBJECT_DIR "/selftests/progs/deaf.bpf.o"
#define TCP "system.network.tcp."
#define ROLE "network.tcp.handshake.role"

#define OF(metric, cgroup, ...)                                                              \
	otlp_json__total(root, TCP metric, "process.linux.cgroup", live__path(live, cgroup), \
			 ##__VA_ARGS__)

static void load_tcp(struct live *live, const char *set)
{
	char filter[PATH_MAX + 16];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", TCP_OBJECT, "--filter", filter, set ? "--set" : NULL, set);
}

/* What a test's two processes tell each other. */
static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(memory != MAP_FAILED);
	return memory;
}

static struct bpf_object *open_deaf(const char *name, int *prog)
{
	struct bpf_object *object = bpf_object__open(DEAF_OBJECT);

	ASSERT_TRUE(object != NULL);
	ASSERT_EQ(bpf_object__load(object), 0);
	*prog = bpf_program__fd(bpf_object__find_program_by_name(object, name));
	ASSERT_GE(*prog, 0);
	return object;
}

/* Drops packets on their way into the sockets of a cgroup, as long as the answer is open. */
static int make_deaf(struct live *live, const char *name)
{
	struct bpf_object *object;
	int cgroup, link, prog;

	object = open_deaf("deaf", &prog);
	live__make_cgroup(live, name);
	cgroup = open(live__cgroup(live, name), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	ASSERT_GE(cgroup, 0);
	link = bpf_link_create(prog, cgroup, BPF_CGROUP_INET_INGRESS, NULL);
	ASSERT_GE(link, 0);
	close(cgroup);
	bpf_object__close(object);
	return link;
}

/* Loses packets with payload in this network namespace, until it is gone. */
static void make_lossy(void)
{
	DECLARE_LIBBPF_OPTS(bpf_tc_hook, hook, .ifindex = 1, .attach_point = BPF_TC_INGRESS);
	DECLARE_LIBBPF_OPTS(bpf_tc_opts, options);
	struct bpf_object *object = open_deaf("lossy", &options.prog_fd);

	ASSERT_EQ(if_nametoindex("lo"), hook.ifindex);
	ASSERT_EQ(bpf_tc_hook_create(&hook), 0);
	ASSERT_EQ(bpf_tc_attach(&hook, &options), 0);
	bpf_object__close(object);
}

/* --- connections, bytes ------------------------------------------------------------------------
 */

#define CONNECTIONS 20
#define REQUEST 123457
#define RESPONSE 7001

/* One after another; a server in the same process, since what is sent fits into the buffers. */
static void exchange(const union address *address, int listener, size_t request, size_t response)
{
	int client = socket__connect(address), server;

	ASSERT_GE(client, 0);
	server = accept(listener, NULL, NULL);
	ASSERT_GE(server, 0);
	for (size_t left = request; left;) {
		size_t n = left < 10000 ? left : 10000;

		socket__send_all(client, n);
		ASSERT_EQ(socket__receive_all(server, n), n);
		left -= n;
	}
	socket__send_all(server, response);
	ASSERT_EQ(socket__receive_all(client, response), response);
	shutdown(client, SHUT_WR);
	ASSERT_EQ(socket__receive_all(server, 1), 0);
	close(server);
	ASSERT_EQ(socket__receive_all(client, 1), 0);
	close(client);
}

static void all_families(void *ctx, int gate)
{
	(void)ctx;
	(void)gate;
	for (int i = 0; i < 3; i++) {
		union address address = address__loopback(i ? AF_INET6 : AF_INET, i == 2);
		int listener = socket__listen(&address, 10);

		for (int n = 0; n < CONNECTIONS; n++)
			exchange(&address, listener, REQUEST, RESPONSE);
		close(listener);
	}
}

static void expect_type(struct json_object *root, const char *type, const char *path, int n)
{
	for (int i = 0; i < 2; i++) {
		const char *role = i ? "server" : "client";
#define COUNT(metric, ...)                                                   \
	otlp_json__total(root, TCP metric, ROLE, role, "network.type", type, \
			 "process.linux.cgroup", path, ##__VA_ARGS__)
		EXPECT_EQ(COUNT("connection.successes"), n);
		EXPECT_EQ(COUNT("handshake.duration"), n);
		EXPECT_EQ(COUNT("connection.duration"), n);
		EXPECT_EQ(COUNT("rtt.duration"), n);
		EXPECT_EQ(COUNT("rtt.minimum"), n);
		EXPECT_EQ(COUNT("connection.closed", "error.type", NULL), n);
		EXPECT_EQ(COUNT("connection.closed"), n);
		EXPECT_EQ(COUNT("connection.open"), 0);
		EXPECT_EQ(COUNT("connection.failures"), 0);
		EXPECT_EQ(COUNT("io", "network.io.direction", i ? "receive" : "transmit"),
			  n * REQUEST);
		EXPECT_EQ(COUNT("io", "network.io.direction", i ? "transmit" : "receive"),
			  n * RESPONSE);
		/* 13 writes, one answer, a SYN and a FIN at least. */
		EXPECT_GE(COUNT("segments", "network.io.direction", "transmit"), n * 4);
		EXPECT_EQ(COUNT("resets"), 0);
#undef COUNT
	}
}

static void connections_are_counted_to_the_byte(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;

	place__run(live, "families", all_families, NULL);
	root = live__export_file(live);
	/* IPv4 and IPv4 over IPv6 sockets are the same. */
	expect_type(root, "ipv4", live__path(live, "families"), 2 * CONNECTIONS);
	expect_type(root, "ipv6", live__path(live, "families"), CONNECTIONS);
	EXPECT_EQ(OF("connection.successes", "families", "network.peer.address", NULL,
		     "network.peer.port", NULL, "network.local.port", NULL, "network.namespace.id",
		     NULL),
		  6 * CONNECTIONS);
}

/* --- failures ----------------------------------------------------------------------------------
 */

#define FAILURES 7

static void refused(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1);

	(void)ctx;
	(void)gate;
	close(listener);
	for (int i = 0; i < FAILURES; i++)
		ASSERT_EQ(socket__connect(&address), -ECONNREFUSED);
}

static void reset(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1);

	(void)ctx;
	(void)gate;
	socket__reset(listener, &address, FAILURES, 0, 0);
}

/* The same cgroup: what is sent comes to nobody. */
static void unanswered(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1), fd[FAILURES];
	__u32 *retransmits = ctx, ms = 900;

	(void)gate;
	for (int i = 0; i < FAILURES; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		ASSERT_EQ(setsockopt(fd[i], IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms)), 0);
		ASSERT_EQ(connect(fd[i], &address.any, address__len(&address)), -1);
		ASSERT_EQ(errno, EINPROGRESS);
	}
	close(fd[0]);
	for (int i = 1; i < FAILURES; i++) {
		struct pollfd poll_fd = {.fd = fd[i], .events = POLLOUT};
		socklen_t len = sizeof(int);
		int err = 0;

		ASSERT_EQ(poll(&poll_fd, 1, 60000), 1);
		*retransmits += socket__info(fd[i]).tcpi_total_retrans;
		ASSERT_EQ(getsockopt(fd[i], SOL_SOCKET, SO_ERROR, &err, &len), 0);
		ASSERT_EQ(err, ETIMEDOUT);
		close(fd[i]);
	}
	close(listener);
}

static void failures_say_why(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;
	__u32 *syns = shared(sizeof(*syns));
	int deaf;

	place__run(live, "refused", refused, NULL);
	place__run(live, "reset", reset, NULL);
	deaf = make_deaf(live, "deaf");
	place__run(live, "deaf", unanswered, syns);
	close(deaf);
	root = live__export_file(live);

	EXPECT_EQ(OF("connection.failures", "refused", "error.type", "refused", ROLE, "client"),
		  FAILURES);
	EXPECT_EQ(OF("connection.failures", "refused"), FAILURES);
	EXPECT_EQ(OF("connection.successes", "refused"), 0);
	EXPECT_EQ(OF("resets", "refused", "network.io.direction", "receive"), FAILURES);
	EXPECT_EQ(OF("io", "refused"), 0);

	EXPECT_EQ(OF("connection.failures", "reset"), 0);
	EXPECT_EQ(OF("connection.successes", "reset", ROLE, "client"), FAILURES);
	EXPECT_EQ(OF("connection.closed", "reset", "error.type", "reset", ROLE, "client"),
		  FAILURES);
	EXPECT_EQ(OF("connection.closed", "reset", "error.type", NULL, ROLE, "server"), FAILURES);
	EXPECT_EQ(OF("connection.closed", "reset"), 2 * FAILURES);
	EXPECT_EQ(OF("connection.open", "reset"), 0);
	EXPECT_EQ(OF("resets", "reset", ROLE, "server", "network.io.direction", "transmit"),
		  FAILURES);
	EXPECT_EQ(OF("resets", "reset", ROLE, "client", "network.io.direction", "receive"),
		  FAILURES);

	EXPECT_EQ(OF("connection.failures", "deaf", "error.type", "timed_out"), FAILURES - 1);
	EXPECT_EQ(OF("connection.failures", "deaf", "error.type", "aborted"), 1);
	EXPECT_EQ(OF("connection.failures", "deaf"), FAILURES);
	EXPECT_EQ(OF("retransmits", "deaf", "network.tcp.retransmit.type", "syn"), *syns);
	EXPECT_EQ(OF("retransmits", "deaf"), *syns);
	EXPECT_EQ(OF("io", "deaf"), 0);
}

/* The same port to the same peer once more: connect(2) fails before there is a SYN. */
#define LITTLE 10000

static void unsent(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false), local = address;
	int listener = socket__listen(&address, 3), first, fd, on = 1;
	socklen_t len = sizeof(local);

	(void)ctx;
	(void)gate;
	first = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(setsockopt(first, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	ASSERT_EQ(bind(first, &local.any, address__len(&local)), 0);
	ASSERT_EQ(getsockname(first, &local.any, &len), 0);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)), 0);
	ASSERT_EQ(bind(fd, &local.any, len), 0);
	ASSERT_EQ(connect(first, &address.any, address__len(&address)), 0);
	/* Less than the first window: nobody accepts it, so nobody reads. */
	socket__send_all(first, LITTLE);
	for (int i = 0; i < FAILURES; i++) {
		ASSERT_EQ(connect(fd, &address.any, address__len(&address)), -1);
		ASSERT_EQ(errno, EADDRNOTAVAIL);
	}
	close(fd);
	close(first);
	close(listener);
}

static void failures_before_the_syn(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;

	place__run(live, "unsent", unsent, NULL);
	root = live__export_file(live);
	EXPECT_EQ(OF("connection.failures", "unsent"), FAILURES);
	EXPECT_EQ(OF("connection.failures", "unsent", "error.type", "_OTHER"), FAILURES);
	/* A SYN that was not sent is not taken off what the others sent. */
	EXPECT_EQ(OF("io", "unsent", "network.io.direction", "transmit"), LITTLE);
}

/* There is the loopback interface and no other. */
/* In this network namespace: what is sent there is answered with "host unreachable". */
static void make_unreachable(const union address *address)
{
	struct rtentry route = {.rt_flags = RTF_UP | RTF_HOST | RTF_REJECT};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in all_ones = {.sin_family = AF_INET, .sin_addr.s_addr = ~0U};

	memcpy(&route.rt_dst, &address->any, sizeof(route.rt_dst));
	memcpy(&route.rt_genmask, &all_ones, sizeof(route.rt_genmask));
	ASSERT_EQ(ioctl(fd, SIOCADDRT, &route), 0);
	close(fd);
}

static void unroutable(void *ctx, int gate)
{
	union address v4 = {.v4 = {.sin_family = AF_INET, .sin_port = htons(1)}};
	union address v6 = {.v6 = {.sin6_family = AF_INET6, .sin6_port = htons(1)}};
	union address mapped = v6;

	(void)ctx;
	(void)gate;
	v4.v4.sin_addr.s_addr = htonl(0xc0000201); /* 192.0.2.1 */
	v6.v6.sin6_addr.s6_addr[0] = 0x20;	   /* 2001:db8:: */
	v6.v6.sin6_addr.s6_addr[1] = 0x01;
	v6.v6.sin6_addr.s6_addr[2] = 0x0d;
	v6.v6.sin6_addr.s6_addr[3] = 0xb8;
	memset(&mapped.v6.sin6_addr.s6_addr[10], 0xff, 2);
	memcpy(&mapped.v6.sin6_addr.s6_addr[12], &v4.v4.sin_addr, 4);
	for (int i = 0; i < FAILURES; i++) {
		ASSERT_EQ(socket__connect(&v4), -ENETUNREACH);
		ASSERT_EQ(socket__connect(&v6), -ENETUNREACH);
		ASSERT_EQ(socket__connect(&mapped), -ENETUNREACH);
	}
	make_unreachable(&v4);
	for (int i = 0; i < FAILURES + 1; i++)
		ASSERT_EQ(socket__connect(&v4), -EHOSTUNREACH);
}

/* A kernel that has a hook for it counts it, and otherwise it is told. */
TEST_TIMEOUT(want_of_a_route_is_counted_or_told, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	static struct output check, load;
	char filter[PATH_MAX + 16];
	bool lost;

	EXPECT_EQ(live__otelbpf(&check, "check", TCP_OBJECT), 0);
	lost = strstr(check.out, "not measured");
	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	ASSERT_EQ(live__otelbpf(&load, "load", TCP_OBJECT, "--filter", filter), 0);
	EXPECT_EQ(strstr(load.err, "connect without a route") ||
			  strstr(load.out, "connect without a route"),
		  lost);
	place__run(live, "a", unroutable, NULL);
	root = live__export_file(live);
	EXPECT_EQ(OF("connection.failures", "a", "error.type", "net_unreachable", "network.type",
		     "ipv4"),
		  lost ? 0 : 2 * FAILURES);
	EXPECT_EQ(OF("connection.failures", "a", "error.type", "net_unreachable", "network.type",
		     "ipv6"),
		  lost ? 0 : FAILURES);
	EXPECT_EQ(OF("connection.failures", "a", "error.type", "host_unreachable", "network.type",
		     "ipv4"),
		  lost ? 0 : FAILURES + 1);
	EXPECT_EQ(OF("connection.failures", "a"), lost ? 0 : 4 * FAILURES + 1);
	live__must("unload");
}

/* --- sent again --------------------------------------------------------------------------------
 */

#define LOSSY_BYTES (4 << 20)

struct lossy {
	unsigned long long segments;
	__u32 retransmits;
	char server_cgroup[PATH_MAX];
	char client_cgroup[PATH_MAX];
};

static void lossy(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	struct lossy *lossy = ctx;
	int listener, client, server;
	pid_t child;

	(void)gate;
	make_lossy();
	/* A socket is of the cgroup in which it is made. Only the client sends, and loses, payload.
	 */
	cgroup__join(lossy->server_cgroup);
	listener = socket__listen(&address, 1);
	cgroup__join(lossy->client_cgroup);
	child = fork();
	if (!child) {
		client = socket__connect(&address);
		ASSERT_GE(client, 0);
		socket__send_all(client, LOSSY_BYTES);
		shutdown(client, SHUT_WR);
		/* The other side closes when it has everything. */
		ASSERT_EQ(socket__receive_all(client, 1), 0);
		lossy->retransmits = socket__info(client).tcpi_total_retrans;
		_exit(0);
	}
	server = accept(listener, NULL, NULL);
	ASSERT_GE(server, 0);
	ASSERT_EQ(socket__receive_all(server, 2 * LOSSY_BYTES), LOSSY_BYTES);
	close(server);
	ASSERT_EQ(waitpid(child, NULL, 0), child);
	lossy->segments = mib("Tcp", "RetransSegs");
}

static void what_is_sent_again_is_counted_by_kind(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;
	struct lossy *numbers = shared(sizeof(*numbers));

	live__make_cgroup(live, "server");
	live__make_cgroup(live, "client");
	strcpy(numbers->server_cgroup, live__cgroup(live, "server"));
	strcpy(numbers->client_cgroup, live__cgroup(live, "client"));
	place__run(live, "lossy", lossy, numbers);
	root = live__export_file(live);
	EXPECT_GT(numbers->retransmits, 2);
	EXPECT_EQ(numbers->segments, numbers->retransmits);
	EXPECT_EQ(OF("retransmits", "client", ROLE, "client"), numbers->retransmits);
	EXPECT_EQ(OF("retransmits", "client", "network.tcp.retransmit.type", "_OTHER"), 0);
	EXPECT_GT(OF("retransmits", "client", "network.tcp.retransmit.type", "fast"), 0);
	EXPECT_EQ(OF("retransmits", "server"), 0);
	EXPECT_EQ(OF("io", "client", "network.io.direction", "transmit"), LOSSY_BYTES);
	EXPECT_EQ(OF("io", "server", "network.io.direction", "receive"), LOSSY_BYTES);
}

/* --- what was there before ---------------------------------------------------------------------
 */

#define BEFORE 100001
#define AFTER 54321

struct existing {
	struct tcp_info before[2];
	struct tcp_info after[2];
};

static void existing(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 3), fd[2];
	struct existing *infos = ctx;

	fd[0] = socket__connect(&address);
	fd[1] = accept(listener, NULL, NULL);
	socket__send_all(fd[0], BEFORE);
	socket__receive_all(fd[1], BEFORE);
	/* Nothing under way, or the counts before would not be those that the probe finds. */
	while (socket__info(fd[0]).tcpi_unacked)
		usleep(1000);
	infos->before[0] = socket__info(fd[0]);
	infos->before[1] = socket__info(fd[1]);
	gate__pass(gate); /* the probe is loaded */
	gate__await(gate);
	socket__send_all(fd[0], AFTER);
	socket__receive_all(fd[1], AFTER);
	while (socket__info(fd[0]).tcpi_unacked)
		usleep(1000);
	infos->after[0] = socket__info(fd[0]);
	infos->after[1] = socket__info(fd[1]);
	gate__pass(gate); /* an export, with the connection open */
	gate__await(gate);
	gate__pass(gate); /* pause, resume, export */
	gate__await(gate);
	close(fd[0]);
	socket__receive_all(fd[1], 1);
	close(fd[1]);
	/* A new connection at the old listening socket */
	exchange(&address, listener, 10, 10);
}

static void expect_open(struct live *live, __u64 n)
{
	struct json_object *root _cleanup_json_ = live__export_file(live);

	EXPECT_EQ(OF("connection.open", "a", ROLE, "client"), n);
	EXPECT_EQ(OF("connection.open", "a", ROLE, "server"), n);
	EXPECT_EQ(OF("connection.successes", "a"), 0);
	EXPECT_EQ(OF("io", "a", ROLE, "client", "network.io.direction", "transmit"), AFTER);
	EXPECT_EQ(OF("io", "a", ROLE, "server", "network.io.direction", "receive"), AFTER);
	EXPECT_EQ(OF("connection.closed", "a"), 0);
}

/* --- the end of the duration -------------------------------------------------------------------
 */

static void past_the_end(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 3), fd[2];

	(void)ctx;
	gate__await(gate);
	fd[0] = socket__connect(&address);
	fd[1] = accept(listener, NULL, NULL);
	socket__send_all(fd[0], BEFORE);
	socket__receive_all(fd[1], BEFORE);
	gate__pass(gate);
	gate__await(gate); /* it has passed */
	socket__send_all(fd[0], AFTER);
	socket__receive_all(fd[1], AFTER);
	gate__pass(gate);
	gate__await(gate); /* an export */
	socket__send_all(fd[0], AFTER);
	socket__receive_all(fd[1], AFTER);
	close(fd[0]);
	socket__receive_all(fd[1], 1);
	close(fd[1]);
	ASSERT_LT(socket__connect(
			  &(union address){.v4 = {.sin_family = AF_INET, .sin_port = htons(1)}}),
		  0);
}

static void expect_ended(struct live *live)
{
	struct json_object *root _cleanup_json_ = live__export_file(live);

	EXPECT_EQ(OF("io", "late", ROLE, "client", "network.io.direction", "transmit"), BEFORE);
	EXPECT_EQ(OF("io", "late", ROLE, "server", "network.io.direction", "receive"), BEFORE);
	EXPECT_EQ(OF("connection.successes", "late"), 2);
	EXPECT_EQ(OF("connection.closed", "late"), 0);
	EXPECT_EQ(OF("connection.failures", "late"), 0);
}

/* What runs for each segment is there only if it was asked for. */
static bool sees_each_segment(const struct live *live)
{
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/tcp/prog/segment", live->pin_dir);
	return !access(path, F_OK);
}

/* What was selected before is not measured on, also not by the iterator. */
TEST_TIMEOUT(nothing_is_measured_after_the_duration, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	static struct output output;
	const char *factor = getenv("KTAP_TIMEOUT_FACTOR");
	char filter[PATH_MAX + 16], duration[16];
	struct place place;

	/* An export has to come in between. */
	snprintf(duration, sizeof(duration), "%ds", 6 * (factor ? atoi(factor) : 1));
	place__start(&place, live, "late", past_the_end, NULL);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", TCP_OBJECT, "--filter", filter, "--duration", duration);
	EXPECT_FALSE(sees_each_segment(live));
	gate__pass(place.gate);
	gate__await(place.gate);
	expect_ended(live);
	do {
		usleep(100000);
		ASSERT_EQ(live__otelbpf(&output, "status", "-j", "--measure", "0", "tcp"), 0);
	} while (!strstr(output.out, "\"stopped\""));
	gate__pass(place.gate);
	gate__await(place.gate);
	expect_ended(live);
	gate__pass(place.gate);
	place__wait(&place);
	expect_ended(live);
}

TEST_TIMEOUT(connections_that_were_there_are_not_new, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct existing *infos = shared(sizeof(*infos));
	struct place place;

	place__start(&place, live, "a", existing, infos);
	gate__await(place.gate);
	load_tcp(live, NULL);
	gate__pass(place.gate);
	gate__await(place.gate);
	expect_open(live, 1);
	root = live__export_file(live);
	for (int i = 0; i < 2; i++) {
		const char *role = i ? "server" : "client";

		EXPECT_EQ(OF("segments", "a", ROLE, role, "network.io.direction", "transmit"),
			  infos->after[i].tcpi_segs_out - infos->before[i].tcpi_segs_out);
		EXPECT_EQ(OF("segments", "a", ROLE, role, "network.io.direction", "receive"),
			  infos->after[i].tcpi_segs_in - infos->before[i].tcpi_segs_in);
	}
	gate__pass(place.gate);
	gate__await(place.gate);
	live__must("pause", "tcp");
	live__must("resume", "tcp");
	expect_open(live, 1);
	gate__pass(place.gate);
	place__wait(&place);
	live__put_json(&root);
	root = live__export_file(live);
	EXPECT_EQ(OF("connection.open", "a"), 0);
	EXPECT_EQ(OF("connection.closed", "a"), 4);
	EXPECT_EQ(OF("connection.successes", "a"), 2);
	EXPECT_EQ(OF("connection.duration", "a"), 2);
	EXPECT_EQ(OF("io", "a", "network.io.direction", "transmit"), AFTER + 20);
	EXPECT_EQ(OF("io", "a", "network.io.direction", "receive"), AFTER + 20);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

/* --- queues and windows ------------------------------------------------------------------------
 */

struct full {
	unsigned long long drops, overflows, zero_windows;
};

static void full(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1), fd[8], client, server;
	struct full *numbers = ctx;
	char bytes[65536] = {};

	(void)gate;
	for (int i = 0; i < 8; i++) {
		fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
		if (connect(fd[i], &address.any, address__len(&address)))
			ASSERT_EQ(errno, EINPROGRESS);
	}
	for (int i = 0; i < 8; i++)
		close(fd[i]);
	numbers->drops = mib("TcpExt", "ListenDrops");
	numbers->overflows = mib("TcpExt", "ListenOverflows");
	close(listener);

	listener = socket__listen(&address, 1);
	client = socket__connect(&address);
	server = accept(listener, NULL, NULL);
	ASSERT_EQ(fcntl(client, F_SETFL, O_NONBLOCK), 0);
	for (int i = 0; i < 3; i++) {
		unsigned long long before = mib("TcpExt", "TCPToZeroWindowAdv");

		/* Until the window is shut, which takes a moment after the last write. */
		for (int tries = 0; mib("TcpExt", "TCPToZeroWindowAdv") == before; tries++) {
			ASSERT_LT(tries, 10000);
			while (send(client, bytes, sizeof(bytes), MSG_NOSIGNAL) > 0)
				;
			usleep(1000);
		}
		while (recv(server, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
			;
	}
	while (recv(server, bytes, sizeof(bytes), MSG_DONTWAIT) > 0 ||
	       socket__info(client).tcpi_notsent_bytes || socket__info(client).tcpi_unacked)
		usleep(1000);
	numbers->zero_windows = mib("TcpExt", "TCPToZeroWindowAdv");
	close(client);
	close(server);
}

static void full_queues_and_shut_windows(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;
	struct full *numbers = shared(sizeof(*numbers));

	place__run(live, "full", full, numbers);
	root = live__export_file(live);
	EXPECT_GT(numbers->overflows, 0);
	EXPECT_EQ(OF("listen.drops", "full"), numbers->drops);
	EXPECT_GE(numbers->zero_windows, 3);
	EXPECT_EQ(OF("flow_control.events", "full", ROLE, "client"), numbers->zero_windows);
	EXPECT_EQ(OF("flow_control.events", "full", ROLE, "server"), 0);
	EXPECT_EQ(OF("connection.open", "full"), 0);
}

/* --- round-trip times ---------------------------------------------------------------------------
 */

#define ROUNDS 10

/*
 * A receiver that has nothing to say acknowledges late, after 40 ms, and that is a round trip as
 * any other to the sender. The handshake's was quick.
 */
static void late(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1), off = 0, client, server;

	(void)gate;
	client = socket__connect(&address);
	server = accept(listener, NULL, NULL);
	ASSERT_GE(server, 0);
	for (int i = 0; i < ROUNDS; i++) {
		ASSERT_EQ(setsockopt(server, IPPROTO_TCP, TCP_QUICKACK, &off, sizeof(off)), 0);
		socket__send_all(client, 1);
		while (socket__info(client).tcpi_unacked)
			usleep(1000);
	}
	*(struct tcp_info *)ctx = socket__info(client);
	close(client);
	ASSERT_EQ(socket__receive_all(server, ROUNDS + 1), ROUNDS);
	close(server);
}

static void round_trip_times_are_those_of_the_socket(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;
	struct tcp_info *info = shared(sizeof(*info));
	struct otlp_point point;
	double rtt;

	place__run(live, "late", late, info);
	root = live__export_file(live);
	rtt = info->tcpi_rtt * 1e-6;
	EXPECT_GT(rtt, 0.015);
	/* The FIN's acknowledgement is one more sample, of one eighth. */
	ASSERT_EQ(otlp_json__find(root, TCP "rtt.duration", &point, ROLE, "client",
				  "process.linux.cgroup", live__path(live, "late")),
		  1);
	EXPECT_EQ(otlp_json__u64(point.point, "count"), 1);
	EXPECT_GE(otlp_json__f64(point.point, "sum"), rtt * 7 / 8 - 1e-6);
	EXPECT_LE(otlp_json__f64(point.point, "sum"), rtt * 7 / 8 + 0.05 / 8);
	ASSERT_EQ(otlp_json__find(root, TCP "rtt.minimum", &point, ROLE, "client",
				  "process.linux.cgroup", live__path(live, "late")),
		  1);
	EXPECT_LE(otlp_json__f64(point.point, "sum"), info->tcpi_min_rtt * 1e-6 + 1e-9);
	EXPECT_GT(otlp_json__f64(point.point, "sum"), 0);
	ASSERT_EQ(otlp_json__find(root, TCP "connection.duration", &point, ROLE, "client",
				  "process.linux.cgroup", live__path(live, "late")),
		  1);
	EXPECT_GE(otlp_json__f64(point.point, "sum"), ROUNDS * 0.03);
}

/* --- whose connections -------------------------------------------------------------------------
 */

#define OWN 5

/* The listening socket is there before the probe: the iterator finds out whose it is. */
static void owner(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 10);

	(void)ctx;
	gate__pass(gate);
	gate__await(gate);
	for (int i = 0; i < OWN; i++)
		exchange(&address, listener, 1000, 1);
	/* What connects from elsewhere is another's; that it comes to us is ours. */
	if (!fork()) {
		int fd = socket__connect(&address);

		ASSERT_GE(fd, 0);
		close(fd);
		_exit(0);
	}
	close(accept(listener, NULL, NULL));
	ASSERT_GT(wait(NULL), 0);
}

TEST_TIMEOUT(filters_judge_the_owner_not_who_runs, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	char cgroup[PATH_MAX + 16], pid[32];
	struct place place, other;

	live__make_cgroup(live, "");
	place__start(&place, live, "a", owner, NULL);
	place__start(&other, live, "a", owner, NULL);
	gate__await(place.gate);
	gate__await(other.gate);
	snprintf(cgroup, sizeof(cgroup), "cgroup=%s", live->cgroup);
	snprintf(pid, sizeof(pid), "pid=%d", place.pid);
	live__must("load", TCP_OBJECT, "--filter", cgroup, "--filter", pid);
	gate__pass(place.gate);
	gate__pass(other.gate);
	place__wait(&place);
	place__wait(&other);
	root = live__export_file(live);
	EXPECT_EQ(OF("connection.successes", "a", ROLE, "client"), OWN);
	EXPECT_EQ(OF("connection.successes", "a", ROLE, "server"), OWN + 1);
	EXPECT_EQ(OF("connection.closed", "a"), 2 * OWN + 1);
	EXPECT_EQ(OF("io", "a", ROLE, "server", "network.io.direction", "receive"), OWN * 1000);
	live__must("unload");
}

/* --- attributes on request ---------------------------------------------------------------------
 */

struct where {
	__u16 port;
	__u64 netns;
};

static void one(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1);
	struct where *where = ctx;
	struct stat netns;

	(void)gate;
	exchange(&address, listener, 1, 1);
	where->port = ntohs(address.v4.sin_port);
	ASSERT_EQ(stat("/proc/self/ns/net", &netns), 0);
	where->netns = netns.st_ino;
}

TEST_TIMEOUT(peers_on_request, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct where *where = shared(sizeof(*where));
	char filter[PATH_MAX + 16], port[16], netns[24];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", TCP_OBJECT, "--filter", filter, "--set", "tcp.peer_address=1", "--set",
		   "tcp.peer_port=1", "--set", "tcp.local_port=1", "--set", "tcp.per_netns=1");
	place__run(live, "a", one, where);
	root = live__export_file(live);
	snprintf(port, sizeof(port), "%u", where->port);
	snprintf(netns, sizeof(netns), "%llu", (unsigned long long)where->netns);
	EXPECT_EQ(OF("connection.successes", "a", ROLE, "client", "network.peer.address",
		     "127.0.0.1", "network.peer.port", port, "network.namespace.id", netns),
		  1);
	EXPECT_EQ(OF("connection.closed", "a", ROLE, "server", "network.peer.address", "127.0.0.1",
		     "network.local.port", port, "network.namespace.id", netns),
		  1);
	EXPECT_EQ(OF("connection.successes", "a"), 2);
	live__must("unload");
}

/* --- Multipath TCP -----------------------------------------------------------------------------
 */

#ifndef IPPROTO_MPTCP
#define IPPROTO_MPTCP 262
#endif

static void multipath(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	socklen_t len = address__len(&address);
	int listener, client, server;

	(void)gate;
	listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, IPPROTO_MPTCP);
	if (listener < 0 || client < 0)
		return;
	ASSERT_EQ(bind(listener, &address.any, len), 0);
	ASSERT_EQ(listen(listener, 1), 0);
	ASSERT_EQ(getsockname(listener, &address.any, &len), 0);
	ASSERT_EQ(connect(client, &address.any, len), 0);
	server = accept(listener, NULL, NULL);
	ASSERT_GE(server, 0);
	socket__send_all(client, REQUEST);
	ASSERT_EQ(socket__receive_all(server, REQUEST), REQUEST);
	close(client);
	ASSERT_EQ(socket__receive_all(server, 1), 0);
	close(server);
	close(listener);
	*(bool *)ctx = true;
}

static void multipath_counts_as_its_subflows(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;
	bool *done = shared(sizeof(*done));

	place__run(live, "multipath", multipath, done);
	if (!*done)
		return; /* this kernel has none */
	root = live__export_file(live);
	for (int i = 0; i < 2; i++) {
		const char *role = i ? "server" : "client";

		EXPECT_EQ(OF("connection.successes", "multipath", ROLE, role), 1);
		EXPECT_EQ(OF("io", "multipath", ROLE, role, "network.io.direction",
			     i ? "receive" : "transmit"),
			  REQUEST);
	}
}

/* --- load --------------------------------------------------------------------------------------
 */

#define WORKERS 4
#define EACH 500

static void many(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, 1000), status;
	pid_t child[WORKERS];

	(void)ctx;
	(void)gate;
	for (int i = 0; i < WORKERS; i++) {
		child[i] = fork();
		if (child[i])
			continue;
		for (int n = 0; n < EACH; n++) {
			int fd = socket__connect(&address);

			ASSERT_GE(fd, 0);
			socket__send_all(fd, 100);
			ASSERT_EQ(socket__receive_all(fd, 1), 0);
			close(fd);
		}
		_exit(0);
	}
	for (int n = 0; n < WORKERS * EACH; n++) {
		int fd = accept(listener, NULL, NULL);

		ASSERT_GE(fd, 0);
		ASSERT_EQ(socket__receive_all(fd, 100), 100);
		close(fd);
	}
	for (int i = 0; i < WORKERS; i++) {
		ASSERT_EQ(waitpid(child[i], &status, 0), child[i]);
		ASSERT_EQ(status, 0);
	}
}

static void none_of_many_is_lost(struct live *live)
{
	struct json_object *root _cleanup_json_ = NULL;
	const int n = WORKERS * EACH;

	place__run(live, "many", many, NULL);
	root = live__export_file(live);
	for (int i = 0; i < 2; i++) {
		const char *role = i ? "server" : "client";

		EXPECT_EQ(OF("connection.successes", "many", ROLE, role), n);
		EXPECT_EQ(OF("connection.closed", "many", ROLE, role), n);
		EXPECT_EQ(OF("connection.duration", "many", ROLE, role), n);
		EXPECT_EQ(OF("io", "many", ROLE, role, "network.io.direction",
			     i ? "receive" : "transmit"),
			  n * 100);
	}
	EXPECT_EQ(OF("connection.open", "many"), 0);
}

/* Loading takes long where a kernel is emulated: once for all of these. */
TEST_TIMEOUT(known_connections_give_known_numbers, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;

	load_tcp(live, "tcp.zero_window=1");
	EXPECT_TRUE(sees_each_segment(live));
	connections_are_counted_to_the_byte(live);
	failures_say_why(live);
	failures_before_the_syn(live);
	what_is_sent_again_is_counted_by_kind(live);
	full_queues_and_shut_windows(live);
	round_trip_times_are_those_of_the_socket(live);
	multipath_counts_as_its_subflows(live);
	none_of_many_is_lost(live);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

TEST_MAIN()
