// SPDX-License-Identifier: GPL-2.0-only
/*
 * Packets that the kernel dropped, by reason, interface and protocol.
 *
 *   kfree_skb  every packet that ends otherwise than by being used; consume_skb is another
 *              tracepoint, so what arrived where it should never comes here
 *
 * It runs wherever a packet is dropped: in softirqs, mostly, and in tasks. The kernel lets a
 * tracepoint's program not be interrupted by another run of itself on its CPU (it refuses
 * that run, and otelbpf status tells), so per-CPU values need no atomic.
 *
 * There is no filter: in a softirq the current task has nothing to do with the packet.
 */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <otelbpf/cpu.bpf.h>
#include <otelbpf/deadline.bpf.h>
#include <otelbpf/probe.bpf.h>
#include <otelbpf/turn.bpf.h>

#include "flavors.h"
#include "frame.h"

char LICENSE[] SEC("license") = "GPL";

/* Names of interfaces are those of this namespace. */
const volatile __u32 home_netns OTEL_HOME_NETNS = 0;

OTEL_LOSSES();

struct drop_key {
	/* clang-format off */
	__u32 reason OTEL_ATTR("network.drop.reason", kenum:skb_drop_reason);
	/* clang-format on */
	__u32 ifindex OTEL_ATTR("network.interface.name", ifindex);
	enum network_type type OTEL_ATTR("network.type", enum);
	enum network_transport transport OTEL_ATTR("network.transport", enum);
	__u8 pad[2];
};
_Static_assert(sizeof(struct drop_key) == 12, "drop_key has a hole");

struct drop_value {
	__u64 packets OTEL_SUM("system.network.packet.dropped", "{packet}",
			       "Packets that the kernel dropped");
};

/* Written at each drop, by the CPU it happens on; read by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct drop_key);
	__type(value, struct drop_value);
} drops SEC(".maps") OTEL_METRICS;

static const struct drop_value no_drops;

/* --- interface ---------------------------------------------------------------- */

static __always_inline __u32 netns_of_sock(struct sock *sk)
{
	return sk ? BPF_CORE_READ(sk, __sk_common.skc_net.net, ns.inum) : 0;
}

static __always_inline __u32 netns_of_dst(struct sk_buff *skb)
{
	struct dst_entry *dst = (void *)(BPF_CORE_READ(skb, _skb_refdst) & ~1UL);

	return dst ? BPF_CORE_READ(dst, dev, nd_net.net, ns.inum) : 0;
}

/*
 * The interface that a packet arrived at, which skb_iif keeps; or of a packet of this
 * host, the one it was on its way to. Queues of sockets put something else where dev is, so
 * dev is believed for the former only if it is the interface of skb_iif.
 *
 * A number means an interface of one network namespace only. 0 is returned for none, and
 * for those of other namespaces than the loader's.
 */
static __always_inline __u32 interface_of(struct sk_buff *skb, struct sock *rx_sk)
{
	__u32 arrived = BPF_CORE_READ(skb, skb_iif), ifindex = 0, netns;
	struct net_device *dev = BPF_CORE_READ(skb, dev);

	if (dev)
		ifindex = BPF_CORE_READ(dev, ifindex);
	if (dev && (!arrived || arrived == ifindex)) {
		netns = BPF_CORE_READ(dev, nd_net.net, ns.inum);
	} else {
		ifindex = arrived;
		netns = netns_of_sock(rx_sk ? rx_sk : BPF_CORE_READ(skb, sk));
		if (!netns)
			netns = netns_of_dst(skb);
	}
	return netns == home_netns ? ifindex : 0;
}

/* --- protocol ----------------------------------------------------------------- */

/* The linear part of an skb, from its network header on. */
struct linear {
	unsigned char *at;
	__u32 size;
};

static __always_inline long load_linear(void *ctx, __u32 offset, void *to, __u32 size)
{
	struct linear *linear = ctx;

	if (offset + size > linear->size)
		return -1;
	return bpf_probe_read_kernel(to, size, linear->at + offset);
}

static __noinline __u32 extensions_linear(struct linear *linear, __u32 next)
{
	if (!linear)
		return truncated;
	return skip_extensions(linear, load_linear, sizeof(struct ipv6hdr), next);
}

static __always_inline void parse_dropped(struct sk_buff *skb, struct drop_key *key)
{
	__u16 protocol = BPF_CORE_READ(skb, protocol), network = BPF_CORE_READ(skb, network_header);
	__u32 tail = BPF_CORE_READ(skb, tail);
	struct linear linear = {.at = BPF_CORE_READ(skb, head) + network};
	struct ipv6hdr ip6;
	struct iphdr ip4;

	if (network < tail)
		linear.size = tail - network;
	key->transport = none;
	if (protocol == bpf_htons(ETH_P_IP)) {
		key->type = ipv4;
		key->transport = truncated;
		if (!load_linear(&linear, 0, &ip4, sizeof(ip4)))
			key->transport = transport_of(ip4.protocol);
	} else if (protocol == bpf_htons(ETH_P_IPV6)) {
		key->type = ipv6;
		key->transport = truncated;
		if (!load_linear(&linear, 0, &ip6, sizeof(ip6)))
			key->transport = extensions_linear(&linear, ip6.nexthdr) & 0xff;
	} else if (protocol == bpf_htons(ETH_P_ARP)) {
		key->type = arp;
	} else if (protocol == bpf_htons(ETH_P_MPLS_UC) || protocol == bpf_htons(ETH_P_MPLS_MC)) {
		key->type = mpls;
	} else {
		key->type = non_ip;
	}
}

/* --- the program -------------------------------------------------------------- */

static __always_inline _Bool is_consumed(__u32 reason)
{
	return bpf_core_enum_value_exists(enum skb_drop_reason___consumed,
					  SKB_CONSUMED___consumed) &&
	       reason == bpf_core_enum_value(enum skb_drop_reason___consumed,
					     SKB_CONSUMED___consumed);
}

static __always_inline void on_drop(struct sk_buff *skb, __u32 reason, struct sock *rx_sk)
{
	struct drop_key key = {.reason = reason};
	struct drop_value *value;
	_Bool added = 0;

	if (is_consumed(reason) || otel_deadline__is_over())
		return;
	key.ifindex = interface_of(skb, rx_sk);
	parse_dropped(skb, &key);
	value = otel_table__get(&drops, &key, &no_drops, &added);
	if (value)
		value->packets++;
}

/* The third argument is the reason on every kernel; a fourth is there since 6.11 only. */
SEC("tp_btf/kfree_skb")
int kfree_skb(unsigned long long *ctx)
{
	struct sock *rx_sk = NULL;

	otel_cpu_begin();
	if (bpf_core_field_exists(struct trace_event_raw_kfree_skb___rx_sk, rx_sk))
		rx_sk = (void *)ctx[3];
	if (otel_turn__is_mine(OTEL_OLDER_FIRST))
		on_drop((void *)ctx[0], ctx[2], rx_sk);
	otel_cpu_end();
	return 0;
}
