/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that see the packets of a cgroup's sockets (cgroup_skb/): whose packet it is.
 * Besides otel.bpf.h, for those that need it: it brings a map.
 */
#ifndef OTELBPF_SKB_BPF_H
#define OTELBPF_SKB_BPF_H

#include "otel.bpf.h"

/* From the root down: helpers of packet programs give ids, not nodes. */
static __noinline _Bool otel_filter__skb_cgroup(struct __sk_buff *skb, __u64 cgroup, __u32 flags)
{
	struct otel_filter_key key = {.kind = OTEL_FILTER_CGROUP};
	struct otel_filter_verdict fresh, *cached;
	__u32 *verdict;

	fresh.generation = otel_filter.generation;
	fresh.pass = !!(flags & OTEL_FILTER_F_ELSE(OTEL_FILTER_CGROUP));
	cached = bpf_map_lookup_elem(&filter_cgroups, &cgroup);
	if (cached && cached->generation == fresh.generation)
		return cached->pass;
	for (int level = 0; level < OTEL_CGROUP_DEPTH; level++) {
		key.id = bpf_skb_ancestor_cgroup_id(skb, level);
		if (!key.id)
			break;
		verdict = bpf_map_lookup_elem(&filters, &key);
		if (verdict)
			fresh.pass = *verdict & OTEL_FILTER_PASS;
	}
	bpf_map_update_elem(&filter_cgroups, &cgroup, &fresh, BPF_ANY);
	return fresh.pass;
}

static __noinline _Bool otel_filter__skb_slow(struct __sk_buff *skb, __u32 flags)
{
	struct otel_filter_key key = {};

	if ((flags & OTEL_FILTER_F_DEADLINE) && otel_deadline__passed())
		return 0;
	/* Which process has the socket a packet does not tell: as one that has no entry. */
	if (flags & OTEL_FILTER_F(OTEL_FILTER_PID) &&
	    !(flags & OTEL_FILTER_F_ELSE(OTEL_FILTER_PID)))
		return 0;
	if (flags & OTEL_FILTER_F(OTEL_FILTER_COMM) &&
	    !(flags & OTEL_FILTER_F_ELSE(OTEL_FILTER_COMM)))
		return 0;
	if (flags & OTEL_FILTER_F(OTEL_FILTER_UID)) {
		key.id = bpf_get_socket_uid(skb);
		if (!otel_filter__look(&key, flags, OTEL_FILTER_UID))
			return 0;
	}
	return !(flags & OTEL_FILTER_F(OTEL_FILTER_CGROUP)) ||
	       otel_filter__skb_cgroup(skb, bpf_skb_cgroup_id(skb), flags);
}

/**
 * otel_filter__pass_skb - whether a packet's socket is measured
 * @skb: in a program of a cgroup's sockets (cgroup_skb/)
 *
 * By cgroup and user. Filters by process or comm select no packet, unless all of their entries
 * reject, for then they reject none.
 *
 * Return: true if every configured kind of filter lets it pass.
 */
static __always_inline _Bool otel_filter__pass_skb(struct __sk_buff *skb)
{
	__u32 flags = otel_filter.flags & OTEL_FILTER_F_EACH;

	return !flags || otel_filter__skb_slow(skb, otel_filter.flags);
}

/*
 * Packet programs know their socket under another type, which allows no walk from it. Its
 * number is the same: through memory it becomes one.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} cgroup_socket SEC(".maps");

/** otel_cgroup__remember_skb - otel_cgroup__remember() for the cgroup of a packet's socket */
static __noinline int otel_cgroup__remember_skb(__u64 id, struct __sk_buff *skb)
{
	struct bpf_sock *socket = skb->sk;
	__u32 zero = 0;
	__u64 *number = bpf_map_lookup_elem(&cgroup_socket, &zero);
	struct kernfs_node *kn;
	struct sock *sk;

	if (!socket || !number)
		return 0;
	*(volatile __u64 *)number = (__u64)socket;
	barrier();
	sk = (void *)*(volatile __u64 *)number;
	kn = BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn);
	/* Another program may have come in between and left its own socket there. */
	return kn && BPF_CORE_READ(kn, id) == id ? otel_cgroup__remember(id, kn) : 0;
}

#endif
