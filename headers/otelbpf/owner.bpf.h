/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filters for what does not happen in its owner's context.
 *
 * A packet arrives in an interrupt, a retransmission in a timer: the task that runs there has
 * nothing to do with it. So who owns a thing is noted when its owner makes it, in the thing's
 * own storage, and judged from there.
 */
#ifndef OTELBPF_OWNER_BPF_H
#define OTELBPF_OWNER_BPF_H

#include "cgroup.bpf.h"
#include "filter.bpf.h"

/**
 * struct otel_owner - to whom a thing belongs
 * @cgroup: cgroup v2 id
 * @tgid:   its process, 0 if that is not known
 * @uid:    its user
 * @comm:   name of the thread that made it; "" if that is not known
 */
struct otel_owner {
	__u64 cgroup;
	__u32 tgid;
	__u32 uid;
	char comm[OTEL_COMM_LEN];
};

/* From the inside out: the innermost entry decides. Kept for the cgroup as filter.bpf.h does. */
static __noinline _Bool otel_filter__kernfs(__u64 cgroup, struct kernfs_node *kn, __u32 flags)
{
	struct otel_filter_key key = {.kind = OTEL_FILTER_CGROUP};
	struct otel_filter_verdict fresh, *cached;
	__u32 *verdict;

	fresh.generation = otel_filter.generation;
	fresh.pass = !!(flags & OTEL_FILTER_F_ELSE(OTEL_FILTER_CGROUP));
	cached = bpf_map_lookup_elem(&filter_cgroups, &cgroup);
	if (cached && cached->generation == fresh.generation)
		return cached->pass;
	for (int level = 0; level < OTEL_CGROUP_DEPTH && kn; level++) {
		key.id = BPF_CORE_READ(kn, id);
		verdict = bpf_map_lookup_elem(&filters, &key);
		if (verdict) {
			fresh.pass = *verdict & OTEL_FILTER_PASS;
			break;
		}
		kn = kernfs_node__parent(kn);
	}
	bpf_map_update_elem(&filter_cgroups, &cgroup, &fresh, BPF_ANY);
	return fresh.pass;
}

static __noinline _Bool otel_filter__owner_slow(const struct otel_owner *owner,
						struct kernfs_node *kn, __u32 flags)
{
	struct otel_filter_key key = {};

	if ((flags & OTEL_FILTER_F_DEADLINE) && otel_deadline__passed())
		return 0;
	if (flags & OTEL_FILTER_F(OTEL_FILTER_PID)) {
		key.id = owner->tgid;
		if (!otel_filter__look(&key, flags, OTEL_FILTER_PID))
			return 0;
	}
	if (flags & OTEL_FILTER_F(OTEL_FILTER_UID)) {
		key.id = owner->uid;
		if (!otel_filter__look(&key, flags, OTEL_FILTER_UID))
			return 0;
	}
	if (flags & OTEL_FILTER_F(OTEL_FILTER_COMM)) {
		key.id = 0;
		__builtin_memcpy(key.comm, owner->comm, sizeof(key.comm));
		if (!otel_filter__look(&key, flags, OTEL_FILTER_COMM))
			return 0;
	}
	return !(flags & OTEL_FILTER_F(OTEL_FILTER_CGROUP)) ||
	       otel_filter__kernfs(owner->cgroup, kn, flags);
}

/**
 * otel_filter__pass_owner - whether what belongs to an owner is measured
 * @owner: what was noted of it
 * @kn:    the kernfs node of its cgroup, NULL for none
 *
 * What is not known of an owner has no entry: it passes where only rejecting entries are.
 * For what is asked often keep the answer, together with otel_filter.generation.
 *
 * Return: true if every configured kind of filter lets it pass.
 */
static __always_inline _Bool otel_filter__pass_owner(const struct otel_owner *owner,
						     struct kernfs_node *kn)
{
	__u32 flags = otel_filter.flags & OTEL_FILTER_F_EACH;

	return !flags || otel_filter__owner_slow(owner, kn, otel_filter.flags);
}

/*
 * Both take pointers as tracing programs get them from the kernel, typed: plain loads, which are
 * several times faster than bpf_probe_read_kernel().
 */

/** otel_owner__of_task - note a task as the owner; its cgroup is the caller's business */
static __always_inline void otel_owner__of_task(struct otel_owner *owner, struct task_struct *task)
{
	owner->tgid = task->tgid;
	__builtin_memcpy(owner->comm, task->comm, sizeof(owner->comm));
}

/** otel_owner__of_socket - note a socket's cgroup and user; returns the cgroup's kernfs node */
static __always_inline struct kernfs_node *otel_owner__of_socket(struct otel_owner *owner,
								 struct sock *sk)
{
	struct kernfs_node *kn = sk->sk_cgrp_data.cgroup->kn;

	owner->cgroup = kn->id;
	owner->uid = sk->sk_uid.val;
	return kn;
}

#endif
