// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The packet probe, in a network namespace of each test's own: what is on its interfaces is
 * what the test has sent, to the packet and to the byte.
 */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/if_link.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

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

/* Run one frame; the verdict is always to go on, and the frame stays what it was. */
static void trial__run(int prog, const __u8 *bytes, size_t len, __u32 verdict)
{
	__u8 out[2048];
	LIBBPF_OPTS(bpf_test_run_opts, opts, .data_in = bytes, .data_size_in = len, .data_out = out,
		    .data_size_out = sizeof(out));

	ASSERT_EQ(bpf_prog_test_run_opts(prog, &opts), 0);
	ASSERT_EQ(opts.retval, verdict);
	ASSERT_EQ(opts.data_size_out, len);
	ASSERT_EQ(memcmp(out, bytes, len), 0);
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

			trial__run(trial__program(&trial, programs[p].name), frame->bytes,
				   frame->len, programs[p].verdict);
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
	for (int i = 0; i < 20000; i++) {
		size_t len = mutate(&corpus[random_below(&seed, n)], bytes, &seed);
		struct key keys[PROGRAMS];

		for (size_t p = 0; p < PROGRAMS; p++) {
			struct value value;

			trial__run(trial__program(&trial, programs[p].name), bytes, len,
				   programs[p].verdict);
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

/* Each frame of the corpus a known number of times through the pair, from b to a and back. */
static void send_corpus(int *sent, __u64 *bytes)
{
	const struct frame *corpus;
	size_t n;

	corpus = frames__corpus(&n);
	*sent = 0;
	*bytes = 0;
	for (size_t i = 0; i < n; i++) {
		net__send("pkb", corpus[i].bytes, corpus[i].len, i + 1);
		net__send("pka", corpus[i].bytes, corpus[i].len, 2 * (i + 1));
		*sent += i + 1;
		*bytes += (i + 1) * corpus[i].len;
	}
}

static __u64 in_corpus(const char *type, const char *transport)
{
	const struct frame *corpus;
	__u64 count = 0;
	size_t n;

	corpus = frames__corpus(&n);
	for (size_t i = 0; i < n; i++)
		if (!strcmp(corpus[i].type, type) && !strcmp(corpus[i].transport, transport))
			count += i + 1;
	return count;
}

static void expect_corpus(struct live *live, bool generic)
{
	_cleanup_json_ struct json_object *root = NULL;
	struct net_statistic before = net__statistic("pka"), after;
	int sent;
	__u64 bytes;

	send_corpus(&sent, &bytes);
	after = net__statistic("pka");
	root = live__export_file(live);
	/* The interface itself, then the probe. */
	EXPECT_EQ(after.rx_packets - before.rx_packets, sent);
	EXPECT_EQ(after.tx_packets - before.tx_packets, 2 * sent);
	EXPECT_EQ(otlp_json__total(root, PACKETS, "network.interface.name", "pka",
				   "network.io.direction", "receive"),
		  sent);
	EXPECT_EQ(otlp_json__total(root, BYTES, "network.interface.name", "pka",
				   "network.io.direction", "transmit"),
		  2 * bytes);
	/* An outer tag has been taken out of the frame before generic XDP and tc. */
	if (!generic)
		EXPECT_EQ(otlp_json__total(root, BYTES, "network.interface.name", "pka",
					   "network.io.direction", "receive"),
			  bytes);
	EXPECT_EQ(otlp_json__total(root, PACKETS, "network.interface.name", "pkb"), 0);
	EXPECT_EQ(otlp_json__total(root, PACKETS, "network.interface.name", "pka",
				   "network.io.direction", "transmit"),
		  2 * sent);
	for (size_t t = 0; t < sizeof(types) / sizeof(types[0]); t++)
		for (size_t k = 0; k < sizeof(transports) / sizeof(transports[0]); k++) {
			__u64 expected = in_corpus(types[t], transports[k]);
			bool good;

			good = EXPECT_EQ(otlp_json__total(root, PACKETS, "network.io.direction",
							  "transmit", "network.type", types[t],
							  "network.transport", transports[k]),
					 2 * expected);
			/* What is cut off within a tag, an interface without one drops at once. */
			if (!generic || t == 0 || t == 1)
				good &= EXPECT_EQ(
					otlp_json__total(root, PACKETS, "network.io.direction",
							 "receive", "network.type", types[t],
							 "network.transport", transports[k]),
					expected);
			if (!good)
				printf("%s %s\n", types[t], transports[k]);
		}
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
}

static struct live *begin(void)
{
	net__isolate();
	return live__begin();
}

static void each_frame_once(const char *mode, bool generic)
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
	expect_corpus(live, generic);
	live__must("unload", "-q");
}

TEST_TIMEOUT(exact_native, 60)
{
	each_frame_once("native", false);
}

TEST_TIMEOUT(exact_generic, 60)
{
	each_frame_once("generic", true);
}

TEST_TIMEOUT(exact_tc, 60)
{
	each_frame_once("none", true);
}

TEST_MAIN()
