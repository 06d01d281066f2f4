// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The drop probe: known numbers of packets that the kernel has to drop for known reasons. It
 * sees every packet of the machine, so only on a kernel that is the test's own.
 */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "collector.h"
#include "frames.h"
#include "ktap.h"
#include "live.h"

#define DROPS_OBJECT OBJECT_DIR "/progs/drops.bpf.o"
#define DROPPED "system.network.packet.dropped"

#define HERE "10.77.0.1"
#define THERE "10.77.0.2"
#define CLOSED_PORT 4321
#define OPEN_PORT 4322

#define NO_SOCKET 25
#define GOOD 40
#define BAD_CHECKSUM 11
#define NOT_FOR_US 9
#define UNKNOWN_TYPE 13
#define NO_IPV6 7
#define ELSEWHERE 6

static void send_datagrams(int port, int n)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(port)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(inet_pton(AF_INET, HERE, &to.sin_addr), 1);
	while (n--)
		ASSERT_EQ(sendto(fd, "hello", 5, 0, (struct sockaddr *)&to, sizeof(to)), 5);
	close(fd);
}

static const struct frame *named(const char *name)
{
	const struct frame *corpus;
	size_t n;

	corpus = frames__corpus(&n);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(corpus[i].name, name))
			return &corpus[i];
	ASSERT_TRUE(false);
	return NULL;
}

/* Of the corpus, to the address of the interface here. */
static void send_frames(const char *name, bool for_us, int n)
{
	struct frame frame = *named(name);

	memcpy(frame.bytes, for_us ? "\x02\0\0\0\0\x0a" : "\x02\0\0\0\0\x0b", 6);
	net__send("pkb", frame.bytes, frame.len, n);
}

static void be_there(struct net_child *child)
{
	net__ip("addr add " THERE "/24 dev pkb");
	net__ip("link set pkb up");
	net__ready(child);
	net__stay(child);
	send_datagrams(CLOSED_PORT, NO_SOCKET);
	send_datagrams(OPEN_PORT, GOOD);
	send_frames("IPv4", true, BAD_CHECKSUM);
	send_frames("IPv4", false, NOT_FOR_US);
	send_frames("LLDP", true, UNKNOWN_TYPE);
	send_frames("IPv6", true, NO_IPV6);
	net__ready(child);
	net__stay(child);
}

static __u64 dropped(struct json_object *root, const char *interface, const char *reason,
		     const char *type, const char *transport)
{
	return otlp_json__total(root, DROPPED, "network.interface.name", interface,
				"network.drop.reason", reason, "network.type", type,
				"network.transport", transport);
}

TEST_TIMEOUT(known_drops, 60)
{
	struct sockaddr_in open = {.sin_family = AF_INET, .sin_port = htons(OPEN_PORT)};
	struct timeval limit = {.tv_sec = 30};
	_cleanup_json_ struct json_object *root = NULL;
	struct live *live;
	struct net_child there;
	char buffer[64];
	int fd;

	if (!getenv("OTELBPF_OWN_KERNEL"))
		SKIP("others use this kernel");
	net__isolate();
	live = live__begin();
	net__pair("pka", "pkb");
	net__ip("link set pka address 02:00:00:00:00:0a");
	net__child(&there, be_there);
	net__ip("link set pkb netns %d", there.pid);
	net__ip("addr add " HERE "/24 dev pka");
	net__go(&there);
	net__wait_ready(&there);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(bind(fd, (struct sockaddr *)&open, sizeof(open)), 0);
	ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	live__must("load", "-q", DROPS_OBJECT);
	net__go(&there);
	net__wait_ready(&there);
	for (int i = 0; i < GOOD; i++)
		ASSERT_EQ(recv(fd, buffer, sizeof(buffer), 0), 5);
	net__send("pka", named("LLDP")->bytes, named("LLDP")->len, ELSEWHERE);
	/* What was sent may wait for a softirq. */
	for (int i = 0; i < 100; i++) {
		live__put_json(&root);
		root = live__export_file(live);
		if (dropped(root, "pka", "SKB_DROP_REASON_IPV6DISABLED", "ipv6", "tcp") >=
			    NO_IPV6 &&
		    dropped(root, "_OTHER", "SKB_DROP_REASON_UNHANDLED_PROTO", "non_ip", "none") >=
			    ELSEWHERE)
			break;
		usleep(50000);
	}
	EXPECT_EQ(dropped(root, "pka", "SKB_DROP_REASON_NO_SOCKET", "ipv4", "udp"), NO_SOCKET);
	EXPECT_EQ(dropped(root, "pka", "SKB_DROP_REASON_IP_CSUM", "ipv4", "tcp"), BAD_CHECKSUM);
	EXPECT_EQ(dropped(root, "pka", "SKB_DROP_REASON_OTHERHOST", "ipv4", "tcp"), NOT_FOR_US);
	EXPECT_EQ(dropped(root, "pka", "SKB_DROP_REASON_UNHANDLED_PROTO", "non_ip", "none"),
		  UNKNOWN_TYPE);
	EXPECT_EQ(dropped(root, "pka", "SKB_DROP_REASON_IPV6DISABLED", "ipv6", "tcp"), NO_IPV6);
	EXPECT_EQ(dropped(root, "_OTHER", "SKB_DROP_REASON_UNHANDLED_PROTO", "non_ip", "none"),
		  ELSEWHERE);
	/* And nothing else: what arrived is no drop. */
	EXPECT_EQ(otlp_json__total(root, DROPPED, "network.interface.name", "pka"),
		  NO_SOCKET + BAD_CHECKSUM + NOT_FOR_US + UNKNOWN_TYPE + NO_IPV6);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	printf("%s\n", json_object_to_json_string(root));
	net__go(&there);
	net__end(&there);
	close(fd);
	live__must("unload", "-q");
	live__endp(&live);
}

TEST_MAIN()
