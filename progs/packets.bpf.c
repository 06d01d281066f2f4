// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets and bytes of each network interface, by direction, network protocol and transport.
 *
 *   ingress           XDP: each frame as the driver (or, in generic mode, the stack) gets it
 *   ingress_otherwise tc ingress, where an interface cannot get the XDP program
 *   egress            tc egress: each packet on its way to the interface's queue
 *
 * None of them changes a packet or its fate: the verdict is always "the next one decides",
 * which is XDP_PASS (libxdp's dispatcher goes on after it) and TC_ACT_UNSPEC, alias TCX_NEXT.
 *
 * XDP runs in the driver's softirq; tc on both sides with softirqs disabled. So on one CPU
 * no two of these runs overlap, also not with each other, and per-CPU values need no atomic.
 *
 * There is no filter: who sends or gets a packet is not known where it is counted.
 */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <otelbpf/deadline.bpf.h>
#include <otelbpf/probe.bpf.h>
#include <otelbpf/turn.bpf.h>

#include "frame.h"

char LICENSE[] SEC("license") = "GPL";

#define TC_ACT_UNSPEC (-1)

const volatile char interfaces[64] OTEL_OPTION("1..63", "characters",
					       "Interfaces to count on: names with * and ?, "
					       "separated by commas, !NAME for all but that one")
	OTEL_INTERFACES = "!lo";

const volatile char mode[8] OTEL_OPTION("4..7", "characters",
					"XDP: auto, native, generic, or none to take tc "
					"for what is received, too") OTEL_XDP_MODE = "auto";

OTEL_LOSSES();

/* Eight bytes: what the hash is computed over for each packet. */
struct packet_key {
	__u32 ifindex OTEL_ATTR("network.interface.name", ifindex);
	enum io_direction direction OTEL_ATTR("network.io.direction", enum);
	enum network_type type OTEL_ATTR("network.type", enum);
	enum network_transport transport OTEL_ATTR("network.transport", enum);
	__u8 pad;
};
_Static_assert(sizeof(struct packet_key) == 8, "packet_key has a hole");

struct packet_value {
	__u64 packets OTEL_SUM("system.network.packet.count", "{packet}",
			       "Packets received or sent by an interface, as on the wire");
	__u64 bytes OTEL_SUM("system.network.io", "By",
			     "Bytes received or sent by an interface, with link layer headers");
};

/*
 * Written for each packet, by the CPU it is on; read by the exporter. Bounded by interfaces
 * times some twenty kinds of packets, however hostile these are.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct packet_key);
	__type(value, struct packet_value);
} packets SEC(".maps") OTEL_METRICS;

static const struct packet_value no_packets;

static __always_inline void count(const struct verdict *verdict, __u32 ifindex,
				  enum io_direction direction, __u64 n, __u64 bytes)
{
	struct packet_key key = {
		.ifindex = ifindex,
		.direction = direction,
		.type = verdict->type,
		.transport = verdict->transport,
	};
	struct packet_value *value;
	_Bool added = 0;

	value = otel_table__get(&packets, &key, &no_packets, &added);
	if (!value)
		return;
	value->packets += n;
	value->bytes += bytes;
}

/*
 * In libxdp's dispatcher: early, before programs that drop, and after this one the next.
 * libxdp reads it from the program's BTF.
 */
struct {
	__uint(priority, 5);
	__uint(XDP_PASS, 1);
} _ingress SEC(".xdp_run_config");

/* --- XDP --------------------------------------------------------------------- */

static __always_inline long load_xdp(void *ctx, __u32 offset, void *to, __u32 size)
{
	return bpf_xdp_load_bytes(ctx, offset, to, size);
}

static __noinline __u32 extensions_xdp(struct xdp_md *ctx, __u32 offset, __u32 next)
{
	return skip_extensions(ctx, load_xdp, offset, next);
}

static __noinline __u32 tags_xdp(struct xdp_md *ctx, __u32 protocol)
{
	return skip_tags(ctx, load_xdp, protocol);
}

SEC("xdp.frags")
int ingress(struct xdp_md *ctx)
{
	const struct frame frame = {
		.ctx = ctx,
		.data = (void *)(long)ctx->data,
		.data_end = (void *)(long)ctx->data_end,
		.load = load_xdp,
		.tags = (void *)tags_xdp,
		.extensions = (void *)extensions_xdp,
	};
	struct verdict verdict;

	if (!otel_turn__is_mine(OTEL_EITHER_FIRST) || otel_deadline__is_over())
		return XDP_PASS;
	parse(&frame, &verdict);
	count(&verdict, ctx->ingress_ifindex, receive, 1, bpf_xdp_get_buff_len(ctx));
	return XDP_PASS;
}

/* --- tc ---------------------------------------------------------------------- */

static __always_inline long load_skb(void *ctx, __u32 offset, void *to, __u32 size)
{
	return bpf_skb_load_bytes(ctx, offset, to, size);
}

static __noinline __u32 extensions_skb(struct __sk_buff *skb, __u32 offset, __u32 next)
{
	return skip_extensions(skb, load_skb, offset, next);
}

static __noinline __u32 tags_skb(struct __sk_buff *skb, __u32 protocol)
{
	return skip_tags(skb, load_skb, protocol);
}

/*
 * Headers that each packet of a merged or unsegmented skb has on the wire, as the kernel
 * reckons it in qdisc_pkt_len_init() (net/core/dev.c); 0 if that cannot be told.
 */
static __noinline __u32 header_bytes(struct __sk_buff *skb, __u32 at, __u32 transport)
{
	__u8 words;

	if (!at || at > OFFSET_MAX)
		return 0;
	if (transport == udp)
		return at + sizeof(struct udphdr);
	if (transport != tcp || bpf_skb_load_bytes(skb, at + 12, &words, sizeof(words)))
		return 0;
	return at + (words >> 4) * 4;
}

/*
 * The kernel handles many packets of a stream as one skb: merged on the way in (GRO) and
 * cut into packets on the way out, by the interface (TSO) or just before it (GSO). Counted
 * is what is on the wire: gso_segs packets, and as many headers.
 */
static __noinline int count_merged(struct __sk_buff *skb, const struct verdict *verdict,
				   enum io_direction direction)
{
	__u32 segments = skb->gso_segs, length = skb->len, size = skb->gso_size;
	__u32 headers = header_bytes(skb, verdict->transport_at, verdict->transport);

	/* A guest's or a tunnel's: the number has not been reckoned yet. */
	if (!segments && size && length > headers)
		segments = (length - headers + size - 1) / size;
	if (!segments)
		segments = 1;
	count(verdict, skb->ifindex, direction, segments, length + (__u64)(segments - 1) * headers);
	return 0;
}

static __always_inline void count_skb(struct __sk_buff *skb, enum io_direction direction)
{
	const struct frame frame = {
		.ctx = skb,
		.data = (void *)(long)skb->data,
		.data_end = (void *)(long)skb->data_end,
		.load = load_skb,
		.tags = (void *)tags_skb,
		.extensions = (void *)extensions_skb,
	};
	struct verdict verdict;

	if (otel_deadline__is_over())
		return;
	parse(&frame, &verdict);
	if (skb->gso_size)
		count_merged(skb, &verdict, direction);
	else
		count(&verdict, skb->ifindex, direction, 1, skb->len);
}

OTEL_TC(ingress_without_xdp)
SEC("tc")
int ingress_otherwise(struct __sk_buff *skb)
{
	count_skb(skb, receive);
	return TC_ACT_UNSPEC;
}

OTEL_TC(egress)
SEC("tc")
int egress(struct __sk_buff *skb)
{
	count_skb(skb, transmit);
	return TC_ACT_UNSPEC;
}
