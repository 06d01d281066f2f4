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

/* Since 6.2, as bpf_rdonly_cast(), which libbpf 1.1 cannot ask for. */
enum bpf_map_type___cgrp_storage {
	BPF_MAP_TYPE_CGRP_STORAGE___cgrp_storage,
};

/* The task came with mark_victim, and more about it into the record, in 6.9. Before: its number. */
struct trace_event_raw_mark_victim___task {
	__u32 __data_loc_comm;
} __attribute__((preserve_access_index));

/* Counters of resident pages became per-CPU counters, in an array of their own, in 6.2. */
struct mm_rss_stat___one {
	atomic_long_t count[4];
} __attribute__((preserve_access_index));

struct mm_struct___rss_one {
	struct mm_rss_stat___one rss_stat;
} __attribute__((preserve_access_index));

struct mm_struct___rss_percpu {
	struct percpu_counter rss_stat[4];
} __attribute__((preserve_access_index));

/*
 * Pages of one kind (MM_FILEPAGES, ...). Since 6.2 without what a CPU has not added yet, as the
 * kernel itself reads it where it is in a hurry.
 */
static __always_inline __s64 mm_struct__pages(struct mm_struct *mm, int kind)
{
	struct mm_struct___rss_one *before = (void *)mm;
	struct mm_struct___rss_percpu *now = (void *)mm;
	__s64 pages;

	if (bpf_core_field_exists(before->rss_stat.count))
		pages = BPF_CORE_READ(before, rss_stat.count[kind].counter);
	else
		pages = BPF_CORE_READ(now, rss_stat[kind].count);
	return pages > 0 ? pages : 0;
}

/* kernel/events/uprobes.c, as it is known to BTF: all of it is missing without CONFIG_UPROBES. */
struct xol_area___vaddr {
	unsigned long vaddr;
} __attribute__((preserve_access_index));

struct uprobes_state___xol {
	struct xol_area___vaddr *xol_area;
} __attribute__((preserve_access_index));

struct mm_struct___uprobes {
	struct uprobes_state___xol uprobes_state;
} __attribute__((preserve_access_index));

/* Where functions return to whose return is probed: uprobe_get_trampoline_vaddr(). 0: none is. */
static __always_inline unsigned long uprobe__trampoline(struct task_struct *task)
{
	struct mm_struct___uprobes *mm = (void *)task->mm;

	if (!mm || !bpf_core_field_exists(mm->uprobes_state.xol_area))
		return 0;
	return BPF_CORE_READ(mm, uprobes_state.xol_area, vaddr);
}

#endif
