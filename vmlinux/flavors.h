/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Types as other kernels have them, for CO-RE: what one kernel's vmlinux.h lacks
 * is spelled here with a ___suffix, which libbpf ignores when it matches types.
 */
#ifndef OTELBPF_FLAVORS_H
#define OTELBPF_FLAVORS_H

#include <bpf/bpf_core_read.h>

/* parent became __parent, under RCU, in 6.15. */
struct kernfs_node___parent {
	struct kernfs_node *parent;
} __attribute__((preserve_access_index));

struct kernfs_node___rcu_parent {
	struct kernfs_node *__parent;
} __attribute__((preserve_access_index));

static __always_inline struct kernfs_node *kernfs_node__parent(struct kernfs_node *kn)
{
	struct kernfs_node___rcu_parent *now = (void *)kn;
	struct kernfs_node___parent *before = (void *)kn;

	if (bpf_core_field_exists(now->__parent))
		return BPF_CORE_READ(now, __parent);
	return BPF_CORE_READ(before, parent);
}

/* mm_lock_seq came in 6.4 with CONFIG_PER_VMA_LOCK, and became a seqcount_t in 6.14. */
struct mm_struct___lock_int {
	int mm_lock_seq;
} __attribute__((preserve_access_index));

struct seqcount___lock {
	unsigned int sequence;
} __attribute__((preserve_access_index));

struct mm_struct___lock_seqcount {
	struct seqcount___lock mm_lock_seq;
} __attribute__((preserve_access_index));

/* Counts changes of the mappings; @mm is no plain number. Return: whether this kernel has it. */
static __always_inline _Bool mm_struct__lock_seq(struct mm_struct *mm, __u32 *seq)
{
	struct mm_struct___lock_seqcount *now = (void *)mm;
	struct mm_struct___lock_int *before = (void *)mm;

	if (bpf_core_field_exists(now->mm_lock_seq.sequence))
		*seq = now->mm_lock_seq.sequence;
	else if (bpf_core_field_exists(before->mm_lock_seq))
		*seq = before->mm_lock_seq;
	else
		return 0;
	return 1;
}

/* kfree_skb tells the socket that a received packet was for since 6.11. */
struct trace_event_raw_kfree_skb___rx_sk {
	void *rx_sk;
} __attribute__((preserve_access_index));

/* Not a drop, and no longer told by kfree_skb's tracepoint, since 6.3. */
enum skb_drop_reason___consumed {
	SKB_CONSUMED___consumed,
};

#endif
