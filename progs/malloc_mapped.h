/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Calls that take memory from the kernel or give it back: mmap(), mremap(), brk() and the like.
 * A kind of its own, as it is also what allocators divide up. Of the probe malloc, on request.
 *
 *   ask_*, take_*  filter → what is asked for
 *   given          whether it was given → count; who asked for it, sampled by bytes → profile;
 *                  what the process has now → malloc_space.h
 *
 * On the C library's functions, so that nobody else pays: a tracepoint of system calls makes
 * every one of them slower, everybody's. What is called without them goes unseen.
 */
#ifndef OTELBPF_MALLOC_MAPPED_H
#define OTELBPF_MALLOC_MAPPED_H

/* include/uapi/asm-generic/mman-common.h and linux/mman.h: the same on all machines we know */
#define PROT_WRITE 0x2
#define MAP_PRIVATE 0x02
#define MAP_ANONYMOUS 0x20

struct mapped_value {
	__u64 allocations OTEL_SUM("system.mapping.allocations", "{mapping}",
				   "Calls that took private, writable memory from the kernel");
	__u64 frees OTEL_SUM("system.mapping.frees", "{mapping}", "Calls that gave memory back");
	__u64 allocated OTEL_SUM("system.mapping.allocated", "By", "Bytes so taken");
	__u64 failures OTEL_SUM("system.mapping.failures", "{mapping}",
				"Calls that were given no memory");
};

/* Written at each call, read by the exporter. Bounded by its size, then by the overflow entry. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 512);
	__type(key, struct mapped_key);
	__type(value, struct mapped_value);
} mapped_calls SEC(".maps") OTEL_METRICS OTEL_WHEN(mapped);

static const struct mapped_value no_mapped;

/* @bytes: asked for, 0: something else; @freeing: 1: memory is given back */
static __noinline int ask(struct pt_regs *ctx, enum mapping_kind kind, __u64 bytes, __u32 freeing)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct guard *g = guard__get();
	struct thread *t;

	t = begin(g, task);
	if (!t)
		return 0;
	t->asked.sp = PT_REGS_SP(ctx);
	t->asked.epoch = otel_filter.epoch;
	t->asked.bytes = bytes;
	t->asked.kind = kind;
	t->asked.freeing = freeing;
	return 1;
}

static __always_inline void count_given(struct pt_regs *ctx, struct thread *t, _Bool failed)
{
	struct mapped_key key = {.cgroup = bpf_get_current_cgroup_id(), .kind = t->asked.kind};
	struct task_struct *task = bpf_get_current_task_btf();
	struct otel_process_id process = {};
	__u64 bytes = t->asked.bytes;
	struct guard *g = guard__get();
	struct mapped_value *value;
	_Bool added = 0;

	if (!g || (!bytes && (failed || !t->asked.freeing)))
		return;
	value = otel_table__get(&mapped_calls, &key, &no_mapped, &added);
	if (added)
		otel_cgroup__remember(key.cgroup, otel_cgroup__of(task));
	if (!value)
		return;
	if (failed) {
		otel_add(value->failures, 1);
	} else if (!bytes) {
		otel_add(value->frees, 1);
	} else {
		otel_add(value->allocations, 1);
		otel_add(value->allocated, bytes);
		if (!take(&t->asked.countdown, bytes, guard__rate(g)))
			return;
		otel_process__identify(&process, task);
		t->sample.bytes = t->sample.objects = 0;
		t->sample.mapped = stands_for(bytes, t->asked.countdown.rate);
		profile(ctx, &process, &t->sample, 1);
	}
}

static __noinline int given(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *t = bpf_task_storage_get(&threads, task, NULL, 0);
	__u64 since_ns;

	if (!t || !t->asked.sp || t->asked.sp + CALL_PUSHES != PT_REGS_SP(ctx))
		return 0;
	t->asked.sp = 0;
	if (t->asked.epoch != otel_filter.epoch)
		return 0;
	since_ns = guard_percent ? bpf_ktime_get_ns() : 0;
	space__update();
	/* An int or a pointer: no mapping begins at the last byte of a page. */
	count_given(ctx, t, (__s32)PT_REGS_RC(ctx) == -1);
	if (guard_percent)
		guard__worked(&t->guarded, since_ns);
	return 0;
}

/* --- what is asked for --------------------------------------------------------------- */

static __always_inline int ask_mmap(struct pt_regs *ctx, __u64 size, __u64 protection, __u64 flags)
{
	_Bool counts =
		(protection & PROT_WRITE) && (flags & MAP_PRIVATE) && (flags & MAP_ANONYMOUS);

	return ask(ctx, mmap, counts ? to_pages(size) : 0, 0);
}

static __always_inline int ask_mremap(struct pt_regs *ctx, __u64 old, __u64 size)
{
	old = to_pages(old);
	size = to_pages(size);
	return ask(ctx, mmap, size > old ? size - old : 0, size < old);
}

static __always_inline int ask_brk(struct pt_regs *ctx, __u64 address)
{
	struct mm_struct *mm = bpf_get_current_task_btf()->mm;
	__u64 now = mm ? mm->brk : 0;

	/* Before its beginning: a question. */
	return ask(ctx, brk, address > now ? address - now : 0,
		   mm && address < now && address >= mm->start_brk);
}

/* --- hooks ---------------------------------------------------------------------------- */

/* As CALL(), but that every return is wanted. */
#define MAPPING(name, function, asked, ...)            \
	OTEL_WHEN(mapped)                              \
	OTEL_HOOK("mappings", 0)                       \
	SEC("?uprobe.session")                         \
	OTEL_FUNCTIONS(function)                       \
	int OTEL_UPROBE(take_##name, ##__VA_ARGS__)    \
	{                                              \
		if (otel_uprobe__is_return(ctx))       \
			return given(ctx);             \
		return !(asked);                       \
	}                                              \
                                                       \
	OTEL_WHEN(mapped)                              \
	OTEL_HOOK("mappings", 1)                       \
	SEC("?uprobe")                                 \
	OTEL_FUNCTIONS(function)                       \
	int OTEL_UPROBE(ask_for_##name, ##__VA_ARGS__) \
	{                                              \
		asked;                                 \
		return 0;                              \
	}

/* clang-format off */
MAPPING(mmap, "mmap", ask_mmap(ctx, size, protection, flags),
	__u64 address, __u64 size, __u64 protection, __u64 flags)
MAPPING(mremap, "mremap", ask_mremap(ctx, old, size), __u64 address, __u64 old, __u64 size)
MAPPING(munmap, "munmap", ask(ctx, mmap, 0, 1))
MAPPING(brk, "brk", ask_brk(ctx, address), __u64 address)
/* Makes what was reserved usable, which is then counted, and back. */
MAPPING(mprotect, "mprotect", ask(ctx, mmap, 0, 0))
/* clang-format on */

OTEL_WHEN(mapped)
OTEL_HOOK("mappings", 1)
SEC("?uretprobe")
OTEL_FUNCTIONS("mmap,mremap,munmap,brk,mprotect")
int OTEL_UPROBE(leave_mapping)
{
	return given(ctx);
}

#endif
