// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The packet probe, in a network namespace of each test's own: what is on its interfaces is
 * what the test has sent, to the packet and to the byte.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <glob.h>
#include <linux/if_link.h>
#include <linux/tcp.h>
#include <net/if.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "collector.h"
#include "frames.h"
#include "ktap.h"
#include "live.h"

#define PACKETS_OBJECT OBJECT_DIR "/progs/packets.bpf.o"
#define OTHER_OBJECT OBJECT_DIR "/selftests/progs/xdp_other.bpf.o"
#define PACKETS "system.network.packet.count"
#define BYTES "system.network.io"

/* --- by BPF_PROG_TEST_RUN --------------------------------------------------------------------- */

/* As in progs/packets.bpf.c. */
struct key {
	__u32 ifindex;
	__u8 direction, type, transport, pad;
};

struct value {
	__u64 packets, bytes;
};

static const char *const types[] = {"ipv4", "ipv6", "arp", "mpls", "non_ip", "truncated_frame"};
static const char *const transports[] = {"other", "tcp", "udp",	 "icmp", "sctp",      "igmp",
					 "gre",	  "esp", "dccp", "none", "truncated", "malformed"};

struct trial {
	struct bpf_object *object;
	int packets;
};

static void trial__begin(struct trial *trial)
{
	if (geteuid())
		SKIP("not root");
	trial->object = bpf_object__open(PACKETS_OBJECT);
	ASSERT_TRUE(trial->object);
	ASSERT_EQ(bpf_object__load(trial->object), 0);
	trial->packets = bpf_object__find_map_fd_by_name(trial->object, "packets");
	ASSERT_GE(trial->packets, 0);
}

static int trial__program(struct trial *trial, const char *name)
{
	int fd = bpf_program__fd(bpf_object__find_program_by_name(trial->object, name));

	ASSERT_GE(fd, 0);
	return fd;
}

/*
 * Run one frame; the verdict is always to go on, and the frame stays what it was. False if the
 * kernel does not run tc programs by hand on a frame this short.
 */
#define SHORT (14 + 40)
static bool trial__run(int prog, const __u8 *bytes, size_t len, __u32 verdict)
{
	int err;

	__u8 out[2048];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = len, .data_out = out,
		    .data_size_out = sizeof(out));

	err = bpf_prog_test_run_opts(prog, &opts);
	if (err == -EINVAL && len < SHORT && verdict == (__u32)-1)
		return false;
	ASSERT_EQ(err, 0);
	ASSERT_EQ(opts.retval, verdict);
	ASSERT_EQ(opts.data_size_out, len);
	ASSERT_EQ(memcmp(out, bytes, len), 0);
	return true;
}

static struct value value_of(struct trial *trial, const struct key *key)
{
	int cpus = libbpf_num_possible_cpus();
	struct value *values = calloc(cpus, sizeof(*values)), sum = {};

	if (!bpf_map_lookup_elem(trial->packets, key, values))
		for (int i = 0; i < cpus; i++) {
			sum.packets += values[i].packets;
			sum.bytes += values[i].bytes;
		}
	free(values);
	return sum;
}

/* The only entry there is; the table is empty then. */
static struct value take_only(struct trial *trial, struct key *key)
{
	struct value value;
	struct key next;

	ASSERT_EQ(bpf_map_get_next_key(trial->packets, NULL, key), 0);
	value = value_of(trial, key);
	if (!EXPECT_NE(bpf_map_get_next_key(trial->packets, key, &next), 0))
		printf("two entries for one frame\n");
	ASSERT_EQ(bpf_map_delete_elem(trial->packets, key), 0);
	return value;
}

static const struct {
	const char *name;
	__u32 verdict;
	__u8 direction;
} programs[] = {
	{"ingress", 2, 0},		     /* XDP_PASS */
	{"ingress_otherwise", (__u32)-1, 0}, /* TC_ACT_UNSPEC */
	{"egress", (__u32)-1, 1},
};
#define PROGRAMS (sizeof(programs) / sizeof(programs[0]))

TEST_TIMEOUT(every_kind_of_frame, 60)
{
	const struct frame *corpus;
	struct trial trial;
	struct value value;
	struct key key;
	size_t n;

	corpus = frames__corpus(&n);
	ASSERT_GT(n, 40);
	trial__begin(&trial);
	for (size_t i = 0; i < n; i++)
		for (size_t p = 0; p < PROGRAMS; p++) {
			const struct frame *frame = &corpus[i];
			bool good;

			if (!trial__run(trial__program(&trial, programs[p].name), frame->bytes,
					frame->len, programs[p].verdict))
				continue;
			value = take_only(&trial, &key);
			good = EXPECT_EQ(value.packets, 1);
			good &= EXPECT_EQ(value.bytes, frame->len);
			good &= EXPECT_EQ(key.direction, programs[p].direction);
			ASSERT_LT(key.type, sizeof(types) / sizeof(types[0]));
			ASSERT_LT(key.transport, sizeof(transports) / sizeof(transports[0]));
			good &= EXPECT_STREQ(types[key.type], frame->type);
			good &= EXPECT_STREQ(transports[key.transport], frame->transport);
			if (!good)
				printf("frame %zu: %s, by %s\n", i, frame->name, programs[p].name);
		}
	bpf_object__close(trial.object);
}

static __u32 random_below(unsigned int *seed, __u32 n)
{
	return rand_r(seed) % n;
}

/* A frame of the corpus, damaged; cut or lengthened, too. */
static size_t mutate(const struct frame *frame, __u8 *bytes, unsigned int *seed)
{
	size_t len = frame->len;

	memcpy(bytes, frame->bytes, len);
	for (__u32 i = random_below(seed, 6); i; i--)
		bytes[12 + random_below(seed, len - 12)] = rand_r(seed);
	if (!random_below(seed, 3))
		len = 14 + random_below(seed, len - 13);
	else if (!random_below(seed, 3))
		for (__u32 i = random_below(seed, 100); i; i--)
			bytes[len++] = rand_r(seed);
	return len;
}

/*
 * Whatever comes is passed on as it was, is counted once, and XDP and tc make the same of it.
 */
TEST_TIMEOUT(fuzzed_frames, 60)
{
	unsigned int seed = time(NULL);
	const struct frame *corpus;
	struct trial trial;
	__u8 bytes[1024];
	size_t n;

	printf("seed %u\n", seed);
	corpus = frames__corpus(&n);
	trial__begin(&trial);
	for (int i = 0; i < 10000; i++) {
		size_t len = mutate(&corpus[random_below(&seed, n)], bytes, &seed);
		struct key keys[PROGRAMS];

		for (size_t p = 0; p < PROGRAMS; p++) {
			struct value value;

			if (!trial__run(trial__program(&trial, programs[p].name), bytes, len,
					programs[p].verdict)) {
				keys[p] = keys[0];
				continue;
			}
			value = take_only(&trial, &keys[p]);
			ASSERT_EQ(value.packets, 1);
			ASSERT_EQ(value.bytes, len);
		}
		ASSERT_EQ(keys[0].type, keys[1].type);
		ASSERT_EQ(keys[0].transport, keys[1].transport);
		ASSERT_EQ(keys[0].type, keys[2].type);
		ASSERT_EQ(keys[0].transport, keys[2].transport);
	}
	bpf_object__close(trial.object);
}

/* --- on interfaces -----------------------------------------------------------------------------
 */

static void expect_way(const char *program, const char *interfaces)
{
	struct output *output = calloc(1, sizeof(*output));
	char *line;

	ASSERT_TRUE(output);
	ASSERT_EQ(live__otelbpf(output, "status", "packets"), 0);
	line = strstr(output->out, program);
	ASSERT_TRUE(line);
	line[strcspn(line, "\n")] = '\0';
	if (!EXPECT_TRUE(strstr(line, interfaces)))
		printf("'%s' is not in: %s\n", interfaces, line);
	free(output);
}

static bool status_has(const char *text)
{
	struct output *output = calloc(1, sizeof(*output));
	bool found;

	ASSERT_TRUE(output);
	ASSERT_EQ(live__otelbpf(output, "status", "packets"), 0);
	found = strstr(output->out, text);
	free(output);
	return found;
}

static bool has_tcx(void)
{
	__u32 n = 0;

	return !bpf_prog_query(1, 47, 0, NULL, NULL, &n); /* BPF_TCX_EGRESS */
}

/*
 * Each frame of the corpus a known number of times through the pair, from b to a and twice back.
 * Before tc, the kernel takes the outer tag out of what was received.
 */
static void send_corpus(bool untags, int *sent, __u64 *bytes)
{
	const struct frame *corpus;
	size_t n;

	corpus = frames__corpus(&n);
	*sent = 0;
	*bytes = 0;
	for (size_t i = 0; i < n; i++) {
		if (untags && corpus[i].outer_tag)
			continue;
		net__send("pkb", corpus[i].bytes, corpus[i].len, i + 1);
		net__send("pka", corpus[i].bytes, corpus[i].len, 2 * (i + 1));
		*sent += i + 1;
		*bytes += (i + 1) * corpus[i].len;
	}
}

static __u64 in_corpus(bool untags, const char *type, const char *transport)
{
	const struct frame *corpus;
	__u64 count = 0;
	size_t n;

	corpus = frames__corpus(&n);
	for (size_t i = 0; i < n; i++)
		if (!(untags && corpus[i].outer_tag) && !strcmp(corpus[i].type, type) &&
		    !strcmp(corpus[i].transport, transport))
			count += i + 1;
	return count;
}

/* What was sent may wait for a softirq. */
static void wait_counted(struct live *live, __u64 packets)
{
	struct trial trial = {};
	char path[PATH_MAX];
	__u64 counted = 0;

	snprintf(path, sizeof(path), "%s/packets/map/packets", live->pin_dir);
	trial.packets = bpf_obj_get(path);
	ASSERT_GE(trial.packets, 0);
	for (int i = 0; i < 1000 && counted < packets; i++) {
		struct key key, *last = NULL;

		counted = 0;
		while (!bpf_map_get_next_key(trial.packets, last, &key)) {
			counted += value_of(&trial, &key).packets;
			last = &key;
		}
		if (counted < packets)
			usleep(10000);
	}
	EXPECT_EQ(counted, packets);
	close(trial.packets);
}

static void expect_corpus(struct live *live, bool untags)
{
	_cleanup_json_ struct json_object *root = NULL;
	struct net_statistic before = net__statistic("pka"), after;
	int sent;
	__u64 bytes;

	send_corpus(untags, &sent, &bytes);
	wait_counted(live, 3 * sent);
	after = net__statistic("pka");
	root = live__export_file(live);
	/* The interface itself, then the probe. */
	EXPECT_EQ(after.rx_packets - before.rx_packets, sent);
	/* In native mode veth does not count the link layer's header. */
	if (!status_has("native"))
		EXPECT_EQ(after.rx_bytes - before.rx_bytes, bytes);
	EXPECT_EQ(after.tx_packets - before.tx_packets, 2 * sent);
	EXPECT_EQ(after.tx_bytes - before.tx_bytes, 2 * bytes);
	for (int back = 0; back <= 1; back++) {
		const char *direction = back ? "transmit" : "receive";

		EXPECT_EQ(otlp_json__total(root, PACKETS, "network.interface.name", "pka",
					   "network.io.direction", direction),
			  (1 + back) * sent);
		if (!untags || back)
			EXPECT_EQ(otlp_json__total(root, BYTES, "network.interface.name", "pka",
						   "network.io.direction", direction),
				  (1 + back) * bytes);
		for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
			for (size_t k = 0; k < sizeof(transports) / sizeof(transports[0]); k++)
				if (!EXPECT_EQ(otlp_json__total(root, PACKETS,
								"network.io.direction", direction,
								"network.type", types[t],
								"network.transport", transports[k]),
					       (1 + back) *
						       in_corpus(untags, types[t], transports[k])))
					printf("%s %s %s\n", direction, types[t], transports[k]);
	}
	EXPECT_EQ(otlp_json__total(root, PACKETS, "network.interface.name", "pkb"), 0);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
}

static struct live *begin(void)
{
	net__isolate();
	return live__begin();
}

static void each_frame(const char *mode, bool untags)
{
	_cleanup_live_ struct live *live = begin();
	char set[64];

	net__pair("pka", "pkb");
	snprintf(set, sizeof(set), "packets.mode=%s", mode);
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pka", "--set", set);
	if (!strcmp(mode, "native"))
		EXPECT_TRUE(status_has("pka native") || status_has("pka dispatcher-native"));
	else if (!strcmp(mode, "generic"))
		EXPECT_TRUE(status_has("pka generic") || status_has("pka dispatcher-generic"));
	else
		expect_way("ingress_otherwise", has_tcx() ? "pka tcx" : "pka clsact-ingress");
	expect_way("egress", has_tcx() ? "1 of 1 interfaces: pka tcx"
				       : "1 of 1 interfaces: pka clsact-egress");
	expect_corpus(live, untags);
	live__must("unload", "-q");
}

TEST_TIMEOUT(exact_native, 60)
{
	each_frame("native", false);
}

TEST_TIMEOUT(exact_generic, 60)
{
	each_frame("generic", false);
}

TEST_TIMEOUT(exact_tc, 60)
{
	each_frame("none", true);
}

static void upgrade_under_load(const char *mode)
{
	_cleanup_live_ struct live *live = begin();
	unsigned char frame[60] = {[0] = 2, [6] = 2, [12] = 0x88, [13] = 0xcc};
	struct net_statistic before, after;
	bool *is_over = mmap(NULL, sizeof(*is_over), PROT_READ | PROT_WRITE,
			     MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	char set[64];
	pid_t upgrades;
	int sent = 0;

	ASSERT_NE(is_over, MAP_FAILED);
	net__pair("pka", "pkb");
	snprintf(set, sizeof(set), "packets.mode=%s", mode);
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pka", "--set", set);
	before = net__statistic("pka");
	upgrades = live__start_upgrades(is_over, PACKETS_OBJECT, "--set", "packets.interfaces=pka",
					"--set", set);
	while (!*(volatile bool *)is_over) {
		net__send("pkb", frame, sizeof(frame), 20);
		net__send("pka", frame, sizeof(frame), 20);
		sent += 20;
	}
	EXPECT_EQ(live__wait(upgrades), 0);
	EXPECT_GT(sent, 100);
	wait_counted(live, 2 * sent);
	after = net__statistic("pka");
	EXPECT_EQ(after.rx_packets - before.rx_packets, sent);
	EXPECT_EQ(after.tx_packets - before.tx_packets, sent);
	expect_way("egress", has_tcx() ? "1 of 1 interfaces: pka tcx"
				       : "1 of 1 interfaces: pka clsact-egress");
	live__must("unload", "-q");
	munmap(is_over, sizeof(*is_over));
}

TEST_TIMEOUT(upgrades_under_load_count_each_packet_once, 60)
{
	upgrade_under_load("native");
}

TEST_TIMEOUT(upgrades_under_load_count_each_packet_once_by_tc, 60)
{
	upgrade_under_load("none");
}

/* --- streams: one skb, many packets ----------------------------------------------------------- */

#define PORT 5353
#define HERE "10.77.0.1"
#define THERE "10.77.0.2"
#define STREAM_BYTES (3 << 20)
#define SEGMENT 1000
#define SEGMENTS 20
#define BURSTS 50

static struct sockaddr_in address(const char *text)
{
	struct sockaddr_in in = {.sin_family = AF_INET, .sin_port = htons(PORT)};

	ASSERT_EQ(inet_pton(AF_INET, text, &in.sin_addr), 1);
	return in;
}

static int socket_at(int type, const char *text)
{
	struct sockaddr_in in = address(text);
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), size = 16 << 20;
	struct timeval limit = {.tv_sec = 10};

	ASSERT_GE(fd, 0);
	ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)), 0);
	ASSERT_EQ(setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit)), 0);
	ASSERT_EQ(bind(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	return fd;
}

/* Bursts that the kernel gets as one datagram each, to be cut into segments. */
static void send_bursts(int fd, const char *to)
{
	static char burst[SEGMENT * SEGMENTS];
	struct sockaddr_in in = address(to);
	int size = SEGMENT;

	ASSERT_EQ(setsockopt(fd, SOL_UDP, UDP_SEGMENT, &size, sizeof(size)), 0);
	for (int i = 0; i < BURSTS; i++)
		ASSERT_EQ(sendto(fd, burst, sizeof(burst), 0, (struct sockaddr *)&in, sizeof(in)),
			  sizeof(burst));
}

static void receive_bursts(int fd)
{
	static char buffer[65536];

	for (int i = 0; i < BURSTS * SEGMENTS; i++)
		ASSERT_EQ(recv(fd, buffer, sizeof(buffer), 0), SEGMENT);
}

/* In the other namespace. */
static void be_there(struct net_child *child)
{
	static char buffer[65536];
	size_t got = 0;
	int listener, udp, fd;
	ssize_t n;

	net__ip("addr add " THERE "/24 dev pkb");
	net__ip("link set pkb up");
	listener = socket_at(SOCK_STREAM, THERE);
	ASSERT_EQ(listen(listener, 1), 0);
	udp = socket_at(SOCK_DGRAM, THERE);
	net__ready(child);
	fd = accept(listener, NULL, NULL);
	ASSERT_GE(fd, 0);
	while ((n = read(fd, buffer, sizeof(buffer))) > 0)
		got += n;
	ASSERT_EQ(got, STREAM_BYTES);
	close(fd);
	receive_bursts(udp);
	send_bursts(udp, HERE);
	close(udp);
	net__stay(child);
}

/* Returns how many bytes were sent once more: on a busy machine acknowledgments may come too late.
 */
static __u64 send_stream(void)
{
	static char buffer[65536];
	struct sockaddr_in in = address(THERE);
	struct tcp_info info = {};
	socklen_t len = sizeof(info);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(connect(fd, (struct sockaddr *)&in, sizeof(in)), 0);
	for (size_t sent = 0; sent < STREAM_BYTES;) {
		size_t left = STREAM_BYTES - sent;
		ssize_t n = write(fd, buffer, left < sizeof(buffer) ? left : sizeof(buffer));

		ASSERT_GT(n, 0);
		sent += n;
	}
	shutdown(fd, SHUT_WR);
	ASSERT_EQ(read(fd, buffer, sizeof(buffer)), 0);
	ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	close(fd);
	return info.tcpi_bytes_retrans;
}

static __u64 total(struct json_object *root, const char *metric, const char *direction,
		   const char *transport)
{
	return otlp_json__total(root, metric, "network.interface.name", "pka",
				"network.io.direction", direction, "network.type", "ipv4",
				"network.transport", transport);
}

/* Ethernet, IPv4, TCP with its timestamps; a SYN has eight bytes more. */
#define TCP_HEADERS (14 + 20 + 32)
#define SYN_MORE 8
/*
 * What came twice, or before something else, is told in the acknowledgment: three blocks at most
 * beside timestamps. On two CPUs that happens with nothing sent again.
 */
#define SACK_MOST 28

static void streams(const char *mode)
{
	_cleanup_live_ struct live *live = begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct net_statistic before, after;
	struct net_child there;
	__u64 again, received;
	char set[64];
	int udp;

	net__pair("pka", "pkb");
	net__child(&there, be_there);
	net__ip("link set pkb netns %d", there.pid);
	net__ip("addr add " HERE "/24 dev pka");
	snprintf(set, sizeof(set), "packets.mode=%s", mode);
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pka", "--set", set);
	net__go(&there);
	net__wait_ready(&there);
	before = net__statistic("pka");
	again = send_stream();
	after = net__statistic("pka");
	/* Now the neighbour is known: until it answers the kernel keeps ten bursts, no more. */
	udp = socket_at(SOCK_DGRAM, HERE);
	send_bursts(udp, THERE);
	receive_bursts(udp);
	close(udp);
	/* The pair is there as long as its other end. */
	root = live__export_file(live);
	net__go(&there);
	net__end(&there);
	EXPECT_EQ(total(root, PACKETS, "transmit", "udp"), BURSTS * SEGMENTS);
	EXPECT_EQ(total(root, BYTES, "transmit", "udp"), BURSTS * SEGMENTS * (SEGMENT + 42));
	EXPECT_EQ(total(root, PACKETS, "receive", "udp"), BURSTS * SEGMENTS);
	EXPECT_EQ(total(root, BYTES, "receive", "udp"), BURSTS * SEGMENTS * (SEGMENT + 42));
	EXPECT_EQ(total(root, BYTES, "transmit", "tcp"),
		  STREAM_BYTES + again + TCP_HEADERS * total(root, PACKETS, "transmit", "tcp") +
			  SYN_MORE);
	received = TCP_HEADERS * total(root, PACKETS, "receive", "tcp") + SYN_MORE;
	EXPECT_GE(total(root, BYTES, "receive", "tcp"), received);
	EXPECT_LE(total(root, BYTES, "receive", "tcp"),
		  received + SACK_MOST * total(root, PACKETS, "receive", "tcp"));
	EXPECT_GE(total(root, PACKETS, "transmit", "tcp"), STREAM_BYTES / 1448);
	printf("%llu skbs, %llu packets\n", after.tx_packets - before.tx_packets,
	       total(root, PACKETS, "transmit", "tcp"));
	live__must("unload", "-q");
}

TEST_TIMEOUT(streams_by_tc, 60)
{
	streams("none");
}

TEST_TIMEOUT(streams_by_native_xdp, 60)
{
	streams("native");
}

/* --- attaching -------------------------------------------------------------------------------- */

static __u32 id_of_pin(struct live *live, const char *name)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/packets/prog/%s", live->pin_dir, name);
	fd = bpf_obj_get(path);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info.id;
}

/* A program whose last user has gone is freed after a grace period. */
static void expect_gone(__u32 id)
{
	int fd = 0;

	for (int i = 0; i < 1000 && fd >= 0; i++) {
		fd = bpf_prog_get_fd_by_id(id);
		if (fd >= 0) {
			close(fd);
			usleep(10000);
		}
	}
	EXPECT_LT(fd, 0);
}

TEST_TIMEOUT(unload_detaches_everything, 60)
{
	_cleanup_live_ struct live *live = begin();
	static const char *const modes[] = {"native", "generic", "none"};

	net__pair("pka", "pkb");
	for (size_t i = 0; i < 3; i++) {
		__u32 egress, ingress, otherwise;
		char set[64];

		snprintf(set, sizeof(set), "packets.mode=%s", modes[i]);
		live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pk*", "--set",
			   set);
		expect_way("egress", "2 of 2 interfaces");
		egress = id_of_pin(live, "egress");
		ingress = id_of_pin(live, "ingress");
		otherwise = id_of_pin(live, "ingress_otherwise");
		live__must("unload", "-q");
		expect_gone(egress);
		expect_gone(ingress);
		expect_gone(otherwise);
	}
}

/* A load that was killed leaves its directory; whoever comes next removes what is attached. */
TEST_TIMEOUT(killed_load_is_cleaned_up, 60)
{
	_cleanup_live_ struct live *live = begin();
	char from[PATH_MAX], to[PATH_MAX];
	__u32 egress, ingress;

	net__pair("pka", "pkb");
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pka", "--set",
		   "packets.mode=native");
	egress = id_of_pin(live, "egress");
	ingress = id_of_pin(live, "ingress");
	snprintf(from, sizeof(from), "%s/packets", live->pin_dir);
	snprintf(to, sizeof(to), "%s/packets~new", live->pin_dir);
	ASSERT_EQ(rename(from, to), 0);
	live__must("unload", "-q");
	expect_gone(egress);
	expect_gone(ingress);
}

/* From another network namespace, where the interface's number means something else. */
static void unload_elsewhere(struct net_child *child)
{
	(void)child;
	live__must("unload", "-q");
}

TEST_TIMEOUT(unload_from_another_namespace, 60)
{
	_cleanup_live_ struct live *live = begin();
	struct net_child elsewhere;
	__u32 egress, ingress;

	net__pair("pka", "pkb");
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pka", "--set",
		   "packets.mode=native");
	egress = id_of_pin(live, "egress");
	ingress = id_of_pin(live, "ingress");
	net__child(&elsewhere, unload_elsewhere);
	net__go(&elsewhere);
	net__end(&elsewhere);
	expect_gone(egress);
	expect_gone(ingress);
}

/* What libxdp has pinned. */
static size_t dispatchers(void)
{
	glob_t found = {};
	size_t n;

	glob("/sys/fs/bpf/xdp/dispatch-*", 0, NULL, &found);
	n = found.gl_pathc;
	globfree(&found);
	return n;
}

static void load_there(struct net_child *child)
{
	net__pair("pka", "pkb");
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pk*", "--set",
		   "packets.mode=native");
	net__ready(child);
	net__stay(child);
}

/* The namespace is gone before the probe is unloaded. */
TEST_TIMEOUT(gone_namespace, 60)
{
	_cleanup_live_ struct live *live = begin();
	size_t before = dispatchers();
	struct net_child there;
	__u32 ingress;

	net__child(&there, load_there);
	net__go(&there);
	net__wait_ready(&there);
	ingress = id_of_pin(live, "ingress");
	net__go(&there);
	net__end(&there);
	live__must("unload", "-q");
	expect_gone(ingress);
	EXPECT_EQ(dispatchers(), before);
}

/* Until status says so, 30 s at most. */
static void await_status(const char *text)
{
	const char *factor = getenv("KTAP_TIMEOUT_FACTOR");
	int tries = 300 * (factor ? atoi(factor) : 1);

	while (!status_has(text) && tries--)
		usleep(100000);
	if (!EXPECT_GE(tries, 0))
		printf("status does not say '%s'\n", text);
}

TEST_TIMEOUT(watched_interfaces_come_and_go, 60)
{
	_cleanup_live_ struct live *live = begin();
	_cleanup_json_ struct json_object *root = NULL;
	char frame[60] = {[0] = 2, [6] = 2, [12] = 0x88, [13] = 0xcc};
	pid_t watch;

	net__pair("pka", "pkb");
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pk*,!pkb", "--set",
		   "packets.mode=none");
	watch = live__start_otelbpf("watch", "-q");
	net__pair("pkc", "pke");
	await_status("3 of 3 interfaces");
	net__send("pkc", frame, sizeof(frame), 5);
	net__ip("link del pka");
	await_status("2 of 2 interfaces");
	/* A paused probe is left alone. */
	live__must("pause", "-q", "packets");
	net__pair("pkf", "pkg");
	net__ip("link del pkf");
	net__pair("pka", "pkb");
	EXPECT_TRUE(status_has("0 of 3 interfaces"));
	live__must("resume", "-q", "packets");
	await_status("3 of 3 interfaces");
	net__ip("link del pka");
	await_status("2 of 2 interfaces");
	net__send("pkc", frame, sizeof(frame), 3);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, PACKETS, "network.interface.name", "pkc",
				   "network.io.direction", "transmit"),
		  8);
	EXPECT_EQ(live__stop(watch), 0);
	live__must("unload", "-q");
}

TEST_TIMEOUT(new_and_gone_interfaces, 60)
{
	_cleanup_live_ struct live *live = begin();
	size_t before = dispatchers();
	_cleanup_json_ struct json_object *root = NULL;
	char frame[60] = {[0] = 2, [6] = 2, [12] = 0x88, [13] = 0xcc};

	net__pair("pka", "pkb");
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pk*,!pkb", "--set",
		   "packets.mode=native");
	net__send("pka", frame, sizeof(frame), 7);
	net__pair("pkc", "pkd");
	expect_way("egress", "1 of 3 interfaces");
	net__send("pkc", frame, sizeof(frame), 100);
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pk*,!pkb", "--set",
		   "packets.mode=native");
	expect_way("egress", "3 of 3 interfaces");
	net__send("pkc", frame, sizeof(frame), 5);
	net__ip("link set pka down");
	net__ip("link del pka");
	live__must("pause", "-q", "packets");
	net__send("pkc", frame, sizeof(frame), 50);
	live__must("resume", "-q", "packets");
	expect_way("egress", "2 of 2 interfaces");
	net__send("pkc", frame, sizeof(frame), 3);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, PACKETS, "network.interface.name", "pkc",
				   "network.io.direction", "transmit"),
		  8);
	/* Counted before its interface went, whose name nobody can tell any more. */
	EXPECT_EQ(otlp_json__total(root, PACKETS, "network.io.direction", "transmit"), 15);
	live__must("unload", "-q");
	EXPECT_EQ(dispatchers(), before);
}

TEST_TIMEOUT(bad_options, 60)
{
	_cleanup_live_ struct live *live = begin();
	static const char *const bad[] = {"packets.mode=fast",	   "packets.mode=",
					  "packets.interfaces=",   "packets.interfaces=a,,b",
					  "packets.interfaces=/x", "packets.interfaces=,a"};
	struct output *output = calloc(1, sizeof(*output));

	ASSERT_TRUE(output);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		live__otelbpf(output, "load", PACKETS_OBJECT, "--set", bad[i]);
		live__expect_failure(live, output, 2, "packets.");
	}
	free(output);
}

/* --- beside another XDP program --------------------------------------------------------------- */

static __u64 seen_by(struct bpf_object *object)
{
	int fd = bpf_object__find_map_fd_by_name(object, "seen");
	__u32 zero = 0;
	__u64 count = 0;

	ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &count), 0);
	return count;
}

/* Somebody who knows no dispatcher has the interface to himself: tc is what is left. */
TEST_TIMEOUT(beside_a_program_alone, 60)
{
	_cleanup_live_ struct live *live = begin();
	struct bpf_object *object = bpf_object__open(OTHER_OBJECT);
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = XDP_FLAGS_DRV_MODE);
	int link;

	net__pair("pka", "pkb");
	ASSERT_TRUE(object);
	ASSERT_EQ(bpf_object__load(object), 0);
	link = bpf_link_create(bpf_program__fd(bpf_object__find_program_by_name(object, "other")),
			       if_nametoindex("pka"), BPF_XDP, &opts);
	ASSERT_GE(link, 0);
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pka", "--set",
		   "packets.mode=native");
	expect_way("ingress_otherwise", has_tcx() ? "pka tcx" : "pka clsact-ingress");
	expect_corpus(live, true);
	EXPECT_GT(seen_by(object), 1000);
	live__must("unload", "-q");
	close(link);
	bpf_object__close(object);
}

static bool is_dispatched(void)
{
	struct xdp_multiprog *all = xdp_multiprog__get_from_ifindex(if_nametoindex("pka"));
	bool yes = !libxdp_get_error(all) && !xdp_multiprog__is_legacy(all);

	if (!libxdp_get_error(all))
		xdp_multiprog__close(all);
	return yes;
}

static void load_native(void)
{
	live__must("load", "-q", PACKETS_OBJECT, "--set", "packets.interfaces=pka", "--set",
		   "packets.mode=native");
	expect_way("ingress", "1 of 1 interfaces: pka dispatcher-native");
}

/* Two programs under libxdp's dispatcher: each sees everything, in whatever order they go. */
TEST_TIMEOUT(beside_a_program_in_the_dispatcher, 60)
{
	_cleanup_live_ struct live *live = begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct xdp_program *other = xdp_program__open_file(OTHER_OBJECT, "xdp", NULL);
	unsigned char frame[60] = {[0] = 2, [6] = 2, [12] = 0x88, [13] = 0xcc};
	__u64 before;
	int ifindex;

	net__pair("pka", "pkb");
	ifindex = if_nametoindex("pka");
	ASSERT_EQ(libxdp_get_error(other), 0);
	ASSERT_EQ(xdp_program__attach(other, ifindex, XDP_MODE_NATIVE, 0), 0);
	if (!is_dispatched()) {
		xdp_program__detach(other, ifindex, XDP_MODE_NATIVE, 0);
		SKIP("this kernel refuses freplace: no dispatcher");
	}
	load_native();
	expect_corpus(live, false);
	EXPECT_GT(seen_by(xdp_program__bpf_obj(other)), 1000);

	live__must("unload", "-q");
	before = seen_by(xdp_program__bpf_obj(other));
	net__send("pkb", frame, sizeof(frame), 10);
	for (int i = 0; i < 1000 && seen_by(xdp_program__bpf_obj(other)) < before + 10; i++)
		usleep(10000);
	EXPECT_EQ(seen_by(xdp_program__bpf_obj(other)), before + 10);

	load_native();
	EXPECT_EQ(xdp_program__detach(other, ifindex, XDP_MODE_NATIVE, 0), 0);
	net__send("pkb", frame, sizeof(frame), 10);
	wait_counted(live, 10);
	EXPECT_TRUE(is_dispatched());
	live__must("unload", "-q");
	EXPECT_FALSE(is_dispatched());
	xdp_program__close(other);
}

TEST_MAIN()
