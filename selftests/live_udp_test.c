// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * UDP and DNS over it, from the receiver's side: known datagrams in a network namespace and a
 * cgroup of their own.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/udp.h>
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
#include "sockets.h"

#define UDP_OBJECT OBJECT_DIR "/progs/udp.bpf.o"
#define UDP "system.network.udp."
#define DIRECTION "network.io.direction"

static void load_udp(struct live *live, const char *set)
{
	char filter[PATH_MAX + 16];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", UDP_OBJECT, "--filter", filter, set ? "--set" : NULL, set);
}

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(memory != MAP_FAILED);
	return memory;
}

/* A socket that is bound to a port, 0: any, which is put into the address. */
static int bound(union address *address, __u16 port)
{
	int fd = socket(address->any.sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	socklen_t len = address__len(address);

	ASSERT_GE(fd, 0);
	address->v4.sin_port = htons(port); /* at the same place in both families */
	ASSERT_EQ(bind(fd, &address->any, len), 0);
	ASSERT_EQ(getsockname(fd, &address->any, &len), 0);
	return fd;
}

static void send_to(int fd, const union address *address, const void *bytes, size_t n)
{
	ASSERT_EQ(sendto(fd, bytes, n, 0, &address->any, address__len(address)), n);
}

#define OF(metric, cgroup, ...)                                                          \
	otlp_json__total(root, metric, "process.linux.cgroup", live__path(live, cgroup), \
			 ##__VA_ARGS__)

/* --- datagrams, sessions -----------------------------------------------------------------------
 */

#define DATAGRAMS 50
#define SEGMENTS 10
#define SEGMENT 1000

/* Sizes 0, 100, 200, … */
static size_t size_of(int i)
{
	return i * 100;
}

static void datagrams(void *ctx, int gate)
{
	static char bytes[65536];

	(void)ctx;
	(void)gate;
	for (int i = 0; i < 3; i++) {
		union address server = address__loopback(i ? AF_INET6 : AF_INET, i == 2);
		union address client = server;
		int to = bound(&server, 0), from = bound(&client, 0);

		for (int n = 0; n < DATAGRAMS; n++) {
			send_to(from, &server, bytes, size_of(n));
			ASSERT_EQ(recv(to, bytes, sizeof(bytes), 0), size_of(n));
		}
		send_to(to, &client, bytes, 7);
		ASSERT_EQ(recv(from, bytes, sizeof(bytes), 0), 7);
		close(to);
		close(from);
	}
}

static void segmented(void *ctx, int gate)
{
	union address server = address__loopback(AF_INET, false), client = server;
	int to = bound(&server, 0), from = bound(&client, 0), size = SEGMENT;
	char bytes[SEGMENTS * SEGMENT] = {};

	(void)ctx;
	(void)gate;
	ASSERT_EQ(setsockopt(from, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	send_to(from, &server, bytes, sizeof(bytes));
	for (int i = 0; i < SEGMENTS; i++)
		ASSERT_EQ(recv(to, bytes, sizeof(bytes), 0), SEGMENT);
}

static void expect_datagrams(struct live *live, struct json_object *root, const char *type, int n)
{
	static const char *const directions[] = {"transmit", "receive"};

	/* Both ends are in the cgroup. */
	for (int i = 0; i < 2; i++) {
		EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, directions[i], "network.type", type),
			  n * (DATAGRAMS + 1));
		EXPECT_EQ(OF(UDP "io", "a", DIRECTION, directions[i], "network.type", type),
			  n * (DATAGRAMS * (DATAGRAMS - 1) / 2 * 100 + 7));
	}
	EXPECT_EQ(OF(UDP "sessions", "a", "network.type", type), n * 2);
}

TEST_TIMEOUT(datagrams_are_counted_to_the_byte, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;

	load_udp(live, NULL);
	place__run(live, "a", datagrams, NULL);
	place__run(live, "segmented", segmented, NULL);
	root = live__export_file(live);
	/* IPv4 and IPv4 over IPv6 sockets are the same. */
	expect_datagrams(live, root, "ipv4", 2);
	expect_datagrams(live, root, "ipv6", 1);
	for (int i = 0; i < 2; i++) {
		const char *direction = i ? "receive" : "transmit";

		EXPECT_EQ(OF(UDP "datagrams", "segmented", DIRECTION, direction), SEGMENTS);
		EXPECT_EQ(OF(UDP "io", "segmented", DIRECTION, direction), SEGMENTS * SEGMENT);
	}
	EXPECT_EQ(OF(UDP "queue.drops", "a"), 0);
	EXPECT_EQ(otlp_json__total(root, UDP "datagrams", "network.peer.address", NULL,
				   "network.peer.port", NULL, "network.local.port", NULL),
		  otlp_json__total(root, UDP "datagrams"));
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

struct stream {
	bool is_over;
	__u64 datagrams;
};

static void until_over(void *ctx, int gate)
{
	union address server = address__loopback(AF_INET, false), client = server;
	int to = bound(&server, 0), from = bound(&client, 0);
	struct stream *stream = ctx;
	char byte = 1;

	(void)gate;
	do {
		send_to(from, &server, &byte, 1);
		ASSERT_EQ(recv(to, &byte, 1, 0), 1);
		stream->datagrams++;
	} while (!*(volatile bool *)&stream->is_over);
}

TEST_TIMEOUT(upgrades_under_load_count_each_datagram_once, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct stream *stream = shared(sizeof(*stream));
	pid_t upgrades;

	load_udp(live, NULL);
	upgrades = live__start_upgrades(&stream->is_over, UDP_OBJECT);
	place__run(live, "a", until_over, stream);
	EXPECT_EQ(live__wait(upgrades), 0);
	root = live__export_file(live);
	EXPECT_GT(stream->datagrams, 1000);
	EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, "transmit"), stream->datagrams);
	EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, "receive"), stream->datagrams);
	EXPECT_EQ(OF(UDP "sessions", "a"), 2); /* one of each end */
	munmap(stream, sizeof(*stream));
}

static void pauses(void *ctx, int gate)
{
	union address server = address__loopback(AF_INET, false), client = server;
	int to = bound(&server, 0), from = bound(&client, 0);
	__u16 *port = ctx;

	(void)gate;
	*port = ntohs(server.v4.sin_port);
	for (int i = 0; i < 4; i++) {
		send_to(from, &server, "", 1);
		if (i == 1)
			usleep(1300000);
	}
	close(to);
	close(from);
}

TEST_TIMEOUT(a_session_ends_in_silence_and_peers_on_request, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	__u16 *port = shared(sizeof(*port));
	char filter[PATH_MAX + 16], text[16];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", UDP_OBJECT, "--filter", filter, "--set", "udp.session_timeout=1",
		   "--set", "udp.peer_address=1", "--set", "udp.peer_port=1", "--set",
		   "udp.local_port=1");
	place__run(live, "a", pauses, port);
	root = live__export_file(live);
	snprintf(text, sizeof(text), "%u", *port);
	EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, "transmit", "network.peer.address",
		     "127.0.0.1", "network.peer.port", text),
		  4);
	EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, "receive", "network.peer.address",
		     "127.0.0.1", "network.local.port", text),
		  4);
	EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, "transmit"), 4);
	/* Two ends, two times each. */
	EXPECT_EQ(OF(UDP "sessions", "a"), 4);
	live__must("unload");
}

/* --- drops -------------------------------------------------------------------------------------
 */

#define FLOOD 2000

struct flood {
	unsigned long long dropped;
	unsigned long long delivered;
};

static void flood(void *ctx, int gate)
{
	union address server = address__loopback(AF_INET, false), client = server;
	int to = bound(&server, 0), from = bound(&client, 0), room = 8192;
	struct flood *numbers = ctx;
	char bytes[500] = {};

	(void)gate;
	ASSERT_EQ(setsockopt(to, SOL_SOCKET, SO_RCVBUF, &room, sizeof(room)), 0);
	for (int i = 0; i < FLOOD; i++)
		send_to(from, &server, bytes, sizeof(bytes));
	while (recv(to, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
		numbers->delivered++;
	numbers->dropped = mib("Udp", "RcvbufErrors");
}

TEST_TIMEOUT(drops_are_those_of_the_kernel, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct flood *numbers = shared(sizeof(*numbers));

	load_udp(live, NULL);
	place__run(live, "a", flood, numbers);
	root = live__export_file(live);
	EXPECT_GT(numbers->dropped, 0);
	EXPECT_EQ(OF(UDP "queue.drops", "a"), numbers->dropped);
	EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, "transmit"), FLOOD);
	EXPECT_EQ(OF(UDP "datagrams", "a", DIRECTION, "receive"), FLOOD);
	EXPECT_EQ(numbers->delivered + numbers->dropped, FLOOD);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

/* --- DNS ---------------------------------------------------------------------------------------
 */

#define LOOKUPS 11
#define MISSING 3
#define LATE_MS 60

/* A query for an A record: header, name, type, class. */
static size_t make_query(char *bytes, __u16 id, const char *name)
{
	size_t at = 12;

	memset(bytes, 0, 12);
	bytes[0] = id >> 8;
	bytes[1] = id;
	bytes[2] = 1; /* recursion desired */
	bytes[5] = 1; /* one question */
	while (*name) {
		size_t len = strcspn(name, ".");

		bytes[at++] = len;
		memcpy(bytes + at, name, len);
		at += len;
		name += len + (name[len] == '.');
	}
	memcpy(bytes + at, "\0\0\1\0\1", 5);
	return at + 5;
}

/* Answers everything but what begins with 's'; what begins with 'n' does not exist. */
static void answer(int server)
{
	union address client;
	socklen_t len = sizeof(client);
	char bytes[512];
	ssize_t n = recvfrom(server, bytes, sizeof(bytes), 0, &client.any, &len);

	ASSERT_GT(n, 12);
	if (bytes[13] == 's')
		return;
	bytes[2] |= 0x80;
	if (bytes[13] == 'n')
		bytes[3] |= 3;
	usleep(LATE_MS * 1000);
	ASSERT_EQ(sendto(server, bytes, n, 0, &client.any, len), n);
}

static void look_up(int client, int server, __u16 id, const char *name, bool again)
{
	char bytes[512], back[512];
	size_t n = make_query(bytes, id, name);

	for (int i = 0; i <= again; i++)
		ASSERT_EQ(send(client, bytes, n, 0), n);
	for (int i = 0; i <= again; i++)
		answer(server);
	if (name[0] == 's')
		return;
	for (int i = 0; i <= again; i++) {
		ASSERT_EQ(recv(client, back, sizeof(back), 0), n);
		ASSERT_EQ(back[0] << 8 | (back[1] & 0xff), id);
	}
}

static void lookups(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int server = bound(&address, 53), client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)ctx;
	(void)gate;
	ASSERT_EQ(connect(client, &address.any, address__len(&address)), 0);
	for (int i = 0; i < LOOKUPS; i++)
		look_up(client, server, i, "Www.Example.org", i == 0);
	for (int i = 0; i < MISSING; i++)
		look_up(client, server, 100 + i, "nothing.example.org", false);
	look_up(client, server, 200, "silent.example.org", false);
	usleep(1200000);
}

/* Nobody has exported meanwhile. */
static void same_number_later(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int server = bound(&address, 53), client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	(void)ctx;
	(void)gate;
	ASSERT_EQ(connect(client, &address.any, address__len(&address)), 0);
	look_up(client, server, 200, "silent.example.org", false);
	usleep(1200000);
	look_up(client, server, 200, "www.example.org", false);
}

/* What was asked before a pause is neither a lookup nor a time-out, whatever becomes of it. */
static void asked_before_a_pause(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int server = bound(&address, 53), client = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	char bytes[512];
	size_t n;

	(void)ctx;
	ASSERT_EQ(connect(client, &address.any, address__len(&address)), 0);
	n = make_query(bytes, 300, "www.example.org");
	ASSERT_EQ(send(client, bytes, n, 0), n);
	n = make_query(bytes, 301, "silent.example.org");
	ASSERT_EQ(send(client, bytes, n, 0), n);
	gate__pass(gate);
	gate__await(gate);
	answer(server);
	answer(server);
	ASSERT_GT(recv(client, bytes, sizeof(bytes), 0), 0);
	look_up(client, server, 302, "www.example.org", false);
	usleep(1200000);
}

TEST_TIMEOUT(dns_lookups, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct place place;
	struct json_object *root _cleanup_json_ = NULL;
	char filter[PATH_MAX + 16];
	struct otlp_point point;
	time_t asked, paused;

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", UDP_OBJECT, "--filter", filter, "--set", "udp.dns_timeout=1", "--set",
		   "udp.dns_name=1");
	place__run(live, "a", lookups, NULL);
	place__run(live, "b", same_number_later, NULL);
	asked = time(NULL);
	place__start(&place, live, "c", asked_before_a_pause, NULL);
	gate__await(place.gate);
	live__must("pause");
	paused = time(NULL);
	live__must("resume");
	gate__pass(place.gate);
	place__wait(&place);
	root = live__export_file(live);
#define CODE "dns.response.code"
#define NAME "dns.question.name"
	EXPECT_EQ(OF("dns.lookup.duration", "a", CODE, "NOERROR", NAME, "www.example.org"),
		  LOOKUPS);
	EXPECT_EQ(OF("dns.lookup.duration", "a", CODE, "NXDOMAIN", NAME, "nothing.example.org"),
		  MISSING);
	EXPECT_EQ(OF("dns.lookup.duration", "a"), LOOKUPS + MISSING);
	EXPECT_EQ(OF("dns.lookup.timeouts", "a", NAME, "silent.example.org"), 1);
	EXPECT_EQ(OF("dns.lookup.timeouts", "a"), 1);
	EXPECT_EQ(OF("dns.lookup.timeouts", "b", NAME, "silent.example.org"), 1);
	EXPECT_EQ(OF("dns.lookup.timeouts", "b"), 1);
	EXPECT_EQ(OF("dns.lookup.duration", "b", CODE, "NOERROR", NAME, "www.example.org"), 1);
	EXPECT_EQ(OF("dns.lookup.duration", "c"), 1);
	/* On a machine that takes its time for a pause they have timed out before it. */
	if (paused == asked)
		EXPECT_EQ(OF("dns.lookup.timeouts", "c"), 0);
	ASSERT_EQ(otlp_json__find(root, "dns.lookup.duration", &point, CODE, "NXDOMAIN"), 1);
	EXPECT_GE(otlp_json__f64(point.point, "min"), LATE_MS / 1e3);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

TEST_TIMEOUT(names_only_on_request, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;

	load_udp(live, NULL);
	place__run(live, "a", lookups, NULL);
	root = live__export_file(live);
	EXPECT_EQ(OF("dns.lookup.duration", "a", CODE, "NOERROR", NAME, NULL), LOOKUPS);
	EXPECT_EQ(OF("dns.lookup.duration", "a"), LOOKUPS + MISSING);
	/* Five seconds have not passed. */
	EXPECT_EQ(OF("dns.lookup.timeouts", "a"), 0);
	live__must("unload");
}

TEST_MAIN()
