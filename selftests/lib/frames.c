// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "frames.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

/* --- frames --------------------------------------------------------------------------------- */

static struct frame frames[128];
static size_t n_frames;

static struct frame *begin(const char *name, const char *type, const char *transport)
{
	struct frame *frame = &frames[n_frames++];

	ASSERT_LT(n_frames, sizeof(frames) / sizeof(frames[0]));
	*frame = (struct frame){.name = name, .type = type, .transport = transport};
	/* A locally administered address, unicast. */
	memset(frame->bytes, 2, 12);
	frame->len = 12;
	return frame;
}

static void add(struct frame *frame, const void *bytes, size_t len)
{
	ASSERT_LE(frame->len + len, sizeof(frame->bytes));
	memcpy(frame->bytes + frame->len, bytes, len);
	frame->len += len;
}

static void add16(struct frame *frame, __u16 word)
{
	word = htons(word);
	add(frame, &word, sizeof(word));
}

static void ether(struct frame *frame, int tags, __u16 protocol)
{
	for (int i = 0; i < tags; i++) {
		add16(frame, i + 1 < tags ? 0x88a8 : 0x8100);
		add16(frame, 100 + i);
	}
	add16(frame, protocol);
}

static void ipv4(struct frame *frame, int words, __u8 protocol, __u16 fragment)
{
	__u8 header[60] = {0x40 | words,
			   0,
			   0,
			   0,
			   0,
			   1,
			   fragment >> 8,
			   fragment & 0xff,
			   64,
			   protocol,
			   0,
			   0,
			   10,
			   9,
			   8,
			   7,
			   10,
			   9,
			   8,
			   6};

	header[3] = words * 4 + 40;
	add(frame, header, words * 4);
}

static void ipv6(struct frame *frame, __u8 next)
{
	__u8 header[40] = {0x60, 0, 0, 0, 0, 40, next, 64, 0xfd, [23] = 1, 0xfd, [39] = 2};

	add(frame, header, sizeof(header));
}

/* Extension of @units times eight bytes more than eight; AH counts otherwise. */
static void extension(struct frame *frame, __u8 next, __u8 units, __u16 word)
{
	__u8 header[8 + 255 * 8] = {next, units, word >> 8, word & 0xff};

	add(frame, header, 8 + units * 8);
}

static void payload(struct frame *frame, size_t len)
{
	static const __u8 zeros[256] = {[12] = 0x50};

	add(frame, zeros, len);
}

static void plain(void)
{
	static const struct {
		__u8 protocol;
		const char *transport;
	} transports[] = {{6, "tcp"},  {17, "udp"}, {1, "icmp"},  {132, "sctp"}, {2, "igmp"},
			  {47, "gre"}, {50, "esp"}, {33, "dccp"}, {253, "other"}};
	struct frame *frame;

	for (size_t i = 0; i < sizeof(transports) / sizeof(transports[0]); i++) {
		frame = begin("IPv4", "ipv4", transports[i].transport);
		ether(frame, 0, 0x0800);
		ipv4(frame, 5, transports[i].protocol, 0);
		payload(frame, 40);
		frame = begin("IPv6", "ipv6", transports[i].transport);
		ether(frame, 0, 0x86dd);
		ipv6(frame, transports[i].protocol == 1 ? 58 : transports[i].protocol);
		payload(frame, 40);
	}
	frame = begin("ARP", "arp", "none");
	ether(frame, 0, 0x0806);
	payload(frame, 46);
	frame = begin("MPLS", "mpls", "none");
	ether(frame, 0, 0x8847);
	payload(frame, 46);
	frame = begin("LLDP", "non_ip", "none");
	ether(frame, 0, 0x88cc);
	payload(frame, 46);
	frame = begin("802.3", "non_ip", "none");
	ether(frame, 0, 46);
	payload(frame, 46);
}

static void tagged(void)
{
	struct frame *frame;

	for (int tags = 1; tags <= 4; tags++) {
		frame = begin("tags, IPv4", "ipv4", "udp");
		ether(frame, tags, 0x0800);
		ipv4(frame, 5, 17, 0);
		payload(frame, 40);
		frame = begin("tags, IPv6", "ipv6", "tcp");
		ether(frame, tags, 0x86dd);
		ipv6(frame, 6);
		payload(frame, 40);
	}
	frame = begin("five tags", "non_ip", "none");
	frame->outer_tag = true;
	ether(frame, 5, 0x0800);
	ipv4(frame, 5, 17, 0);
	payload(frame, 40);
	frame = begin("a tag cut off", "truncated_frame", "truncated");
	frame->outer_tag = true;
	add16(frame, 0x8100);
	payload(frame, 2);
	frame = begin("the second tag cut off", "truncated_frame", "truncated");
	ether(frame, 1, 0x88a8);
	payload(frame, 3);
}

static void options_and_fragments(void)
{
	struct frame *frame;

	for (int words = 5; words <= 15; words += 5) {
		frame = begin("IPv4 options", "ipv4", "tcp");
		ether(frame, 0, 0x0800);
		ipv4(frame, words, 6, 0);
		payload(frame, 40);
	}
	frame = begin("first fragment", "ipv4", "udp");
	ether(frame, 0, 0x0800);
	ipv4(frame, 5, 17, 0x2000);
	payload(frame, 40);
	frame = begin("later fragment", "ipv4", "udp");
	ether(frame, 0, 0x0800);
	ipv4(frame, 5, 17, 0x2003);
	payload(frame, 40);
	frame = begin("first IPv6 fragment", "ipv6", "udp");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 44);
	extension(frame, 17, 0, 1);
	payload(frame, 40);
	frame = begin("later IPv6 fragment", "ipv6", "udp");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 44);
	extension(frame, 17, 0, 0x18);
	payload(frame, 40);
	frame = begin("later fragment of an extension", "ipv6", "other");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 44);
	extension(frame, 60, 0, 0x18);
	payload(frame, 40);
}

static void extensions(void)
{
	static const __u8 chain[] = {0, 43, 60, 135, 139, 140, 60};
	struct frame *frame;

	frame = begin("every extension", "ipv6", "tcp");
	ether(frame, 0, 0x86dd);
	ipv6(frame, chain[0]);
	for (size_t i = 0; i < sizeof(chain); i++)
		extension(frame, i + 1 < sizeof(chain) ? chain[i + 1] : 6, i, 0);
	payload(frame, 40);
	frame = begin("authentication header", "ipv6", "udp");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 51);
	add(frame, (__u8[]){17, 4, 0, 0}, 4);
	payload(frame, 20 + 40);
	frame = begin("no next header", "ipv6", "none");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 59);
	payload(frame, 10);
	frame = begin("an extension cut off", "ipv6", "truncated");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 0);
	extension(frame, 43, 0, 0);
	payload(frame, 3);
	frame = begin("an extension that points outside", "ipv6", "truncated");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 0);
	add(frame, (__u8[]){43, 255, 0, 0}, 4);
	payload(frame, 60);
	frame = begin("extensions without end", "ipv6", "malformed");
	ether(frame, 0, 0x86dd);
	ipv6(frame, 60);
	for (int i = 0; i < 30; i++)
		extension(frame, 60, 0, 0);
}

static void malformed(void)
{
	struct frame *frame;

	frame = begin("Ethernet alone", "ipv4", "truncated");
	ether(frame, 0, 0x0800);
	frame = begin("IPv4 cut off", "ipv4", "truncated");
	ether(frame, 0, 0x0800);
	add(frame, "\x45", 1);
	payload(frame, 18);
	frame = begin("IPv6 cut off", "ipv6", "truncated");
	ether(frame, 0, 0x86dd);
	add(frame, "\x60", 1);
	payload(frame, 38);
	frame = begin("IPv4 of version 6", "ipv4", "malformed");
	ether(frame, 0, 0x0800);
	add(frame, "\x65", 1);
	payload(frame, 60);
	frame = begin("IPv4 of four words", "ipv4", "malformed");
	ether(frame, 0, 0x0800);
	add(frame, "\x44", 1);
	payload(frame, 60);
	frame = begin("IPv6 of version 4", "ipv6", "malformed");
	ether(frame, 0, 0x86dd);
	add(frame, "\x45", 1);
	payload(frame, 60);
}

const struct frame *frames__corpus(size_t *n)
{
	n_frames = 0;
	plain();
	tagged();
	options_and_fragments();
	extensions();
	malformed();
	*n = n_frames;
	return frames;
}

/* --- interfaces ------------------------------------------------------------------------------ */

static void write_file(const char *path, const char *text)
{
	FILE *file = fopen(path, "we");

	/* A kernel without IPv6 has nothing to say there. */
	if (!file)
		return;
	fputs(text, file);
	fclose(file);
}

/* Without IPv6 no interface says hello to its neighbours: what is sent is the test's own. */
static void silence(void)
{
	write_file("/proc/sys/net/ipv6/conf/all/disable_ipv6", "1");
	write_file("/proc/sys/net/ipv6/conf/default/disable_ipv6", "1");
}

void net__isolate(void)
{
	if (geteuid())
		SKIP("not root");
	if (unshare(CLONE_NEWNET))
		SKIP("no network namespace: %s", strerror(errno));
	if (system("ip link >/dev/null 2>&1"))
		SKIP("no ip(8): apt-get install iproute2");
	silence();
	if (system("ip link add ktapa type veth peer name ktapb && ip link del ktapa"))
		SKIP("no veth");
}

void net__ip(const char *format, ...)
{
	char command[512] = "ip ";
	va_list args;

	va_start(args, format);
	vsnprintf(command + 3, sizeof(command) - 3, format, args);
	va_end(args);
	if (!EXPECT_EQ(system(command), 0))
		printf("%s\n", command);
}

void net__pair(const char *a, const char *b)
{
	net__ip("link add %s type veth peer name %s", a, b);
	net__ip("link set %s up", a);
	net__ip("link set %s up", b);
}

void net__child(struct net_child *child, void (*fn)(struct net_child *child))
{
	int go[2], ready[2];
	char byte = 0;

	ASSERT_EQ(pipe(go), 0);
	ASSERT_EQ(pipe(ready), 0);
	child->pid = fork();
	ASSERT_GE(child->pid, 0);
	child->go = child->pid ? go[1] : go[0];
	child->ready = child->pid ? ready[0] : ready[1];
	close(child->pid ? go[0] : go[1]);
	close(child->pid ? ready[1] : ready[0]);
	if (child->pid) {
		net__wait_ready(child);
		return;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	ASSERT_EQ(unshare(CLONE_NEWNET), 0);
	silence();
	net__ready(child);
	if (read(child->go, &byte, 1) == 1)
		fn(child);
	_exit(0);
}

void net__go(struct net_child *child)
{
	ASSERT_EQ(write(child->go, "g", 1), 1);
}

void net__stay(struct net_child *child)
{
	char byte;

	ASSERT_EQ(read(child->go, &byte, 1), 1);
}

void net__ready(struct net_child *child)
{
	ASSERT_EQ(write(child->ready, "r", 1), 1);
}

void net__wait_ready(struct net_child *child)
{
	char byte;

	ASSERT_EQ(read(child->ready, &byte, 1), 1);
}

void net__end(struct net_child *child)
{
	int status = -1;

	ASSERT_EQ(waitpid(child->pid, &status, 0), child->pid);
	EXPECT_EQ(status, 0);
	close(child->go);
	close(child->ready);
}

void net__send(const char *interface, const void *bytes, size_t len, int times)
{
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(interface)};
	int fd = socket(AF_PACKET, SOCK_RAW | SOCK_CLOEXEC, 0);

	ASSERT_GE(fd, 0);
	for (int i = 0; i < times; i++)
		ASSERT_EQ(sendto(fd, bytes, len, 0, (struct sockaddr *)&to, sizeof(to)),
			  (ssize_t)len);
	close(fd);
}

struct net_statistic net__statistic(const char *interface)
{
	struct net_statistic found = {};
	FILE *file = fopen("/proc/self/net/dev", "re");
	char line[512], name[64];

	ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file)) {
		unsigned long long rb, rp, tb, tp;

		if (sscanf(line, " %63[^:]: %llu %llu %*u %*u %*u %*u %*u %*u %llu %llu", name, &rb,
			   &rp, &tb, &tp) == 5 &&
		    !strcmp(name, interface))
			found = (struct net_statistic){rb, rp, tb, tp};
	}
	fclose(file);
	return found;
}
