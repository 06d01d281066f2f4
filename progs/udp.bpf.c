// SPDX-License-Identifier: GPL-2.0-only
/*
 * UDP datagrams and DNS lookups, by cgroup of the socket and IP version.
 *
 *   sent, received         every packet between a socket and the network: datagrams, bytes,
 *                          sessions; port 53: queries and answers
 *   udp_fail_queue_rcv_skb a datagram came and the socket's queue was full
 *   expire                 the iterator: queries that nobody has answered
 *
 * With events on, each DNS lookup is a span besides (udp_event.h).
 *
 * The first two are attached to the root of the cgroups and see what passes between any socket
 * and the network, before it is cut into fragments and after it is put together. They are there
 * on every kernel, need neither kprobes nor fentry, and have both the packet and its socket's
 * cgroup; there is no tracepoint that does. The packet always goes on.
 *
 * Received is what came to a socket: what its queue then refuses is in it, and in the drops.
 */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <otelbpf/event.bpf.h>
#include <otelbpf/otel.bpf.h>
#include <otelbpf/skb.bpf.h>
#include <otelbpf/turn.bpf.h>

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(queries_full) /* too many DNS queries without an answer: this one is not measured */
	OTEL_LOSS(out_of_range) /* longer than 2^20 s */
	OTEL_EVENT_LOSSES
);
/* clang-format on */

#include "udp_dns.h"

char LICENSE[] SEC("license") = "GPL";

#define PASS 1
#define ENOMEM 12

const volatile __u32 per_cgroup OTEL_OPTION("0..1", "", "Keep one series for each cgroup") = 1;
const volatile __u32 peer_address OTEL_OPTION("0..1", "",
					      "Keep one series for each peer's address");
const volatile __u32 peer_port OTEL_OPTION("0..1", "", "Keep one series for each peer's port");
const volatile __u32 local_port OTEL_OPTION("0..1", "", "Keep one series for each local port");
const volatile __u32 session_timeout
	OTEL_OPTION("1..3600", "s", "A session ends when nothing came or went for so long") = 30;

struct session {
	__u8 local[16];
	__u8 peer[16];
	__u16 local_port;
	__u16 peer_port;
	__u32 pad;
	__u64 cgroup; /* two network namespaces may have the same addresses */
};
_Static_assert(sizeof(struct session) == 48, "session has a hole");

/* When a session's last datagram passed, ns. Written for every datagram; the oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct session);
	__type(value, __u64);
} sessions SEC(".maps");

/* Whether this datagram begins one. */
static __noinline int session__begins(const struct datagram *d, __u64 cgroup)
{
	struct session key = {
		.local_port = d->local_port, .peer_port = d->peer_port, .cgroup = cgroup};
	__u64 now = bpf_ktime_get_ns(), *last, was;

	__builtin_memcpy(key.local, d->local, 16);
	__builtin_memcpy(key.peer, d->peer, 16);
	last = bpf_map_lookup_elem(&sessions, &key);
	if (!last) /* of two that add it at once one begins it */
		return !bpf_map_update_elem(&sessions, &key, &now, BPF_NOEXIST);
	was = __sync_lock_test_and_set(last, now);
	return now > was && now - was > session_timeout * 1000000000ULL;
}

static __noinline struct udp_traffic *series_of(const struct datagram *d, struct __sk_buff *skb,
						__u64 cgroup)
{
	struct udp_key key = {.type = d->type};
	struct udp_traffic *value;
	_Bool added = 0;

	if (per_cgroup)
		key.cgroup = cgroup;
	if (peer_address)
		__builtin_memcpy(key.peer, d->peer, 16);
	if (peer_port)
		key.peer_port = d->peer_port;
	if (local_port)
		key.local_port = d->local_port;
	value = otel_table__get(&traffic, &key, &no_traffic, &added);
	if (added && per_cgroup)
		otel_cgroup__remember_skb(cgroup, skb);
	return value;
}

static __always_inline void on_packet(struct __sk_buff *skb, _Bool sends)
{
	struct udp_traffic *value;
	struct datagram d = {};
	__u64 cgroup;

	if (!datagram__parse(skb, &d, sends) || !otel_filter__pass_skb(skb))
		return;
	cgroup = bpf_skb_cgroup_id(skb);
	value = series_of(&d, skb, cgroup);
	if (value) {
		if (sends) {
			otel_add(value->datagrams_transmit, d.count);
			otel_add(value->bytes_transmit, d.bytes);
		} else {
			otel_add(value->datagrams_receive, d.count);
			otel_add(value->bytes_receive, d.bytes);
		}
		if (session__begins(&d, cgroup))
			otel_add(value->sessions, 1);
	}
	if (d.peer_port != DNS_PORT)
		return;
	if (sends)
		dns__asked(skb, &d, per_cgroup ? cgroup : 0);
	else
		dns__answered(skb, &d);
}

/* Most of what passes here is none of ours, and should not pay for it. */
static __always_inline _Bool is_tcp(struct __sk_buff *skb)
{
	__u8 *ip = (void *)(long)skb->data;

	if (ip + sizeof(struct iphdr) > (__u8 *)(long)skb->data_end)
		return 0;
	return ip[0] >> 4 == 4 ? ip[offsetof(struct iphdr, protocol)] == IPPROTO_TCP
			       : ip[offsetof(struct ipv6hdr, nexthdr)] == IPPROTO_TCP;
}

SEC("cgroup_skb/egress")
int sent(struct __sk_buff *skb)
{
	if (!is_tcp(skb) && otel_turn__is_mine(OTEL_OLDER_FIRST))
		on_packet(skb, 1);
	return PASS;
}

SEC("cgroup_skb/ingress")
int received(struct __sk_buff *skb)
{
	if (!is_tcp(skb) && otel_turn__is_mine(OTEL_OLDER_FIRST))
		on_packet(skb, 0);
	return PASS;
}

/* The kernel counts the same as RcvbufErrors. Other reasons are its memory's. */
static __always_inline void on_drop(int error, struct sock *sk)
{
	struct otel_owner owner = {};
	struct udp_socket_key key = {};
	struct kernfs_node *kn;
	struct udp_drops *value;
	_Bool added = 0;

	if (error != -ENOMEM)
		return;
	kn = otel_owner__of_socket(&owner, sk);
	if (!otel_filter__pass_owner(&owner, kn))
		return;
	if (per_cgroup)
		key.cgroup = owner.cgroup;
	if (local_port)
		key.local_port = sk->__sk_common.skc_num;
	value = otel_table__get(&drops, &key, &no_drops, &added);
	if (added && per_cgroup)
		otel_cgroup__remember(owner.cgroup, kn);
	if (value)
		otel_add(value->full, 1);
}

SEC("tp_btf/udp_fail_queue_rcv_skb")
int BPF_PROG(queue_full, int error, struct sock *sk)
{
	otel_cpu_begin();
	if (otel_turn__is_mine(OTEL_OLDER_FIRST))
		on_drop(error, sk);
	otel_cpu_end();
	return 0;
}

/* Any iterator would do: this one is short. Its last call has no map. */
SEC("iter/bpf_map")
int expire(struct bpf_iter__bpf_map *ctx)
{
	if (ctx->map)
		return 0;
	/* Queries that the end of the load overtook are no time-outs: it counts the epoch up. */
	otel_deadline__is_over();
	bpf_for_each_map_elem(&queries, dns__expire, NULL, 0);
	return 0;
}
