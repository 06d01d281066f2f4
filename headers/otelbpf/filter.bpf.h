/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Filters that change while a probe runs: otelbpf filter add|del|list.
 *
 * A program asks otel_filter__pass() before it measures anything. With no
 * filter configured that is the load of one variable. A load with a duration sets a
 * deadline, which is one more flag there.
 *
 * Each kind (cgroup, pid, comm, uid) is judged by itself and all must pass.
 * Within a kind an entry says pass or reject; what has no entry passes if there
 * are only rejecting entries (OTEL_FILTER_F_ELSE). Of nested cgroups that have
 * entries the innermost decides.
 */
#ifndef OTELBPF_FILTER_BPF_H
#define OTELBPF_FILTER_BPF_H

#include "cpu.bpf.h"
#include "deadline.bpf.h"
#include "meta.h"
#include "table.bpf.h"
#include "tags.h"

#define OTEL_FILTER_ENTRIES 1024
#define OTEL_FILTER_CACHED 4096
#define OTEL_CGROUP_DEPTH 32

/* Written by the loader and by the fork and exit programs below. Bounded by its size. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OTEL_FILTER_ENTRIES);
	__type(key, struct otel_filter_key);
	__type(value, __u32);
} filters SEC(".maps");

/* A cgroup's verdict for one generation of the filter. Written and read by the programs. */
struct otel_filter_verdict {
	__u32 generation;
	__u32 pass;
};
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, OTEL_FILTER_CACHED);
	__type(key, __u64);
	__type(value, struct otel_filter_verdict);
} filter_cgroups SEC(".maps");

/* One entry, per CPU. Written by otel_filter_fork, read by the exporter. */
struct otel_filter_losses {
	OTEL_LOSS(filter_full) /* a child that a process filter could not take in */
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct otel_filter_losses);
} filter_losses SEC(".maps") OTEL_METRICS;

/*
 * The last verdict on this CPU: the next event is mostly of the same task. Read
 * and written so that a program which is interrupted by another one in between
 * finds a verdict of its own cgroup, or none: @cgroup is cleared first, set last.
 */
struct otel_filter_last {
	__u64 cgroup;
	__u32 generation;
	__u32 pass;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct otel_filter_last);
} filter_last SEC(".maps");

static __always_inline _Bool otel_filter__look(struct otel_filter_key *key, __u32 flags, __u32 kind)
{
	__u32 *verdict;

	key->kind = kind;
	verdict = bpf_map_lookup_elem(&filters, key);
	if (verdict)
		return *verdict & OTEL_FILTER_PASS;
	return flags & OTEL_FILTER_F_ELSE(kind);
}

/*
 * From the root down, so that the innermost entry has the last word. A cgroup
 * never changes its ancestors (cgroup v2 has no rename across parents), so a
 * verdict stays good until the filter itself changes.
 */
static __noinline _Bool otel_filter__cgroup(__u32 flags)
{
	struct otel_filter_key key = {};
	struct otel_filter_verdict fresh, *cached;
	__u32 generation = otel_filter.generation;
	__u64 cgroup = bpf_get_current_cgroup_id();
	_Bool pass = flags & OTEL_FILTER_F_ELSE(OTEL_FILTER_CGROUP);
	struct otel_filter_last *last;
	__u32 zero = 0, seen;

	last = bpf_map_lookup_elem(&filter_last, &zero);
	if (!last)
		return 0;
	seen = last->pass;
	barrier();
	if (last->cgroup == cgroup && last->generation == generation)
		return seen;

	cached = bpf_map_lookup_elem(&filter_cgroups, &cgroup);
	if (cached && cached->generation == generation) {
		pass = cached->pass;
		goto out;
	}

	key.kind = OTEL_FILTER_CGROUP;
	for (int level = 0; level < OTEL_CGROUP_DEPTH; level++) {
		__u32 *verdict;

		key.id = bpf_get_current_ancestor_cgroup_id(level);
		if (!key.id)
			break;
		verdict = bpf_map_lookup_elem(&filters, &key);
		if (verdict)
			pass = *verdict & OTEL_FILTER_PASS;
	}
	fresh.generation = generation;
	fresh.pass = pass;
	bpf_map_update_elem(&filter_cgroups, &cgroup, &fresh, BPF_ANY);
out:
	last->cgroup = 0;
	barrier();
	last->generation = generation;
	last->pass = pass;
	barrier();
	last->cgroup = cgroup;
	return pass;
}

/* What is looked at for each event. */
#define OTEL_FILTER_F_EACH ((OTEL_FILTER_F(OTEL_FILTER_SET) - 1) | OTEL_FILTER_F_DEADLINE)

static __noinline _Bool otel_filter__slow(__u32 flags)
{
	struct otel_filter_key key = {};

	/* Before the others, so that any task's event sees it pass. */
	if ((flags & OTEL_FILTER_F_DEADLINE) && otel_deadline__passed())
		return 0;
	if (flags & OTEL_FILTER_F(OTEL_FILTER_PID)) {
		key.id = bpf_get_current_pid_tgid() >> 32;
		if (!otel_filter__look(&key, flags, OTEL_FILTER_PID))
			return 0;
	}
	if (flags & OTEL_FILTER_F(OTEL_FILTER_UID)) {
		key.id = (__u32)bpf_get_current_uid_gid();
		if (!otel_filter__look(&key, flags, OTEL_FILTER_UID))
			return 0;
	}
	if (flags & OTEL_FILTER_F(OTEL_FILTER_COMM)) {
		key.id = 0;
		/* 6.1 does not pad the name: key is zero before. */
		bpf_get_current_comm(key.comm, sizeof(key.comm));
		if (!otel_filter__look(&key, flags, OTEL_FILTER_COMM))
			return 0;
	}
	return !(flags & OTEL_FILTER_F(OTEL_FILTER_CGROUP)) || otel_filter__cgroup(flags);
}

/**
 * otel_filter__pass - whether the current task is measured
 *
 * Return: true if every configured kind of filter lets it pass.
 */
static __always_inline _Bool otel_filter__pass(void)
{
	__u32 flags = otel_filter.flags & OTEL_FILTER_F_EACH;

	return !flags || otel_filter__slow(otel_filter.flags);
}

/**
 * otel_filter__sees_all - whether nothing at all is held back from the program
 *
 * Neither by a filter nor by a set nor by a deadline: then what is missing was not
 * left out on purpose.
 */
static __always_inline _Bool otel_filter__sees_all(void)
{
	__u32 flags = otel_filter.flags & ~OTEL_FILTER_F_TURN;

	return !flags || (flags == OTEL_FILTER_F_DEADLINE && !otel_deadline__passed());
}

/*
 * A process filter that includes children. On fork the child's entry is made
 * before the child runs, so none of its events is missed. Threads share the
 * tgid and need nothing.
 */
static __always_inline void otel_filter__forked(struct task_struct *parent,
						struct task_struct *child)
{
	struct otel_filter_key key = {};
	__u32 *verdict, copy;

	if (!(otel_filter.flags & OTEL_FILTER_F(OTEL_FILTER_PID)) || parent->tgid == child->tgid)
		return;
	key.kind = OTEL_FILTER_PID;
	key.id = (__u32)parent->tgid;
	verdict = bpf_map_lookup_elem(&filters, &key);
	if (!verdict || !(*verdict & OTEL_FILTER_CHILDREN))
		return;
	copy = *verdict;
	key.id = (__u32)child->tgid;
	if (bpf_map_update_elem(&filters, &key, &copy, BPF_ANY))
		otel_lose_in(&filter_losses, struct otel_filter_losses, filter_full);
}

SEC("tp_btf/sched_process_fork")
int OTEL_PROG(otel_filter_fork, struct task_struct *parent, struct task_struct *child)
{
	otel_filter__forked(parent, child);
	return 0;
}

/*
 * The last thread of a process takes its entry along, since the kernel will give
 * its number to another. signal->live has been lowered when this tracepoint runs.
 */
static __always_inline void otel_filter__exited(struct task_struct *task)
{
	struct otel_filter_key key = {};

	if (!(otel_filter.flags & OTEL_FILTER_F(OTEL_FILTER_PID)) || task->signal->live.counter)
		return;
	key.kind = OTEL_FILTER_PID;
	key.id = (__u32)task->tgid;
	bpf_map_delete_elem(&filters, &key);
}

SEC("tp_btf/sched_process_exit")
int OTEL_PROG(otel_filter_exit, struct task_struct *task)
{
	otel_filter__exited(task);
	return 0;
}

#endif
