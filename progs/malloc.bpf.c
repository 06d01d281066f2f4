// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory: what a program allocates, frees and holds, and where it allocates it.
 *
 *   enter_*    filter → nested? → take sizes off the countdown: sampled when it has passed 0
 *   leave      which pointer → count, remember it; the stack that allocated it → profile
 *   release    a pointer that is remembered → count it as freed
 *   exec, exit what the process held is gone
 *
 * Uprobes, in the context of the thread. The kernel lets these programs be preempted: counters are
 * added to atomically, and the work space for stacks has a flag, as preemption cannot be ruled
 * out before 6.10.
 *
 * A pointer is remembered from the return of the allocator, before anybody knows it, until the
 * entry of free() or realloc(), when nobody else can have it yet. So free() on another
 * thread finds it, and never one that came after. A child after fork(2) is another process: what
 * it frees of its parent's is not there. What is left out of a call by longjmp() or an
 * exception is a call that does not return: the next one on that part of the stack takes
 * its place.
 */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>
#include <otelbpf/profile.bpf.h>
#include <otelbpf/uprobe.bpf.h>

#include "malloc_weight.h"

char LICENSE[] SEC("license") = "GPL";

OTEL_TARGETS("malloc");

const volatile __u32 sample_bytes
	OTEL_OPTION("1..1073741824", "By",
		    "One sample in so many allocated bytes on average; 1: every call") = 524288;

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(live_full)	/* counted, but when it is freed is not seen */
	OTEL_LOSS(free_unseen)	/* an address came back that had not been freed */
	OTEL_LOSS(thread_full)	/* no memory for a thread's own state */
	OTEL_LOSS(stack_busy)	/* a task was preempted while it took its stack: counted, no profile */
);
/* clang-format on */

struct heap_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
};
_Static_assert(sizeof(struct heap_key) == 8, "heap_key has a hole");

struct heap_value {
	__u64 allocations OTEL_SUM("system.heap.allocations", "{allocation}",
				   "Allocations that succeeded");
	__u64 frees OTEL_SUM("system.heap.frees", "{allocation}", "Allocations that were freed");
	__u64 allocated OTEL_SUM("system.heap.allocated", "By", "Bytes asked for");
	__u64 freed OTEL_SUM("system.heap.freed", "By", "Bytes of allocations that were freed");
	__u64 failures OTEL_SUM("system.heap.failures", "{allocation}", "Allocations that failed");
	__s64 live_bytes OTEL_UPDOWN("system.heap.live", "By", "Bytes that are held");
	__s64 live_objects OTEL_UPDOWN("system.heap.objects", "{allocation}",
				       "Allocations that are held");
	struct exphist size OTEL_EXPHIST("system.heap.allocation.size", "By",
					 "Sizes of allocations that succeeded");
};

/* Written by all programs, read by the exporter. Bounded by its size, then by the overflow entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct heap_key);
	__type(value, struct heap_value);
} heap SEC(".maps") OTEL_METRICS;

struct sample_value {
	__u64 bytes OTEL_SAMPLES("alloc_space", "bytes", "", "");
};

/* Written when a sampled call returns; read and deleted by the exporter, a window at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct otel_sample_key);
	__type(value, struct sample_value);
} samples SEC(".maps") OTEL_PROFILE;

struct pointer {
	struct otel_process_id process;
	__u64 address;
};
_Static_assert(sizeof(struct pointer) == 24, "pointer has a hole");

/* What a sampled allocation stands for, and who it is counted for. */
struct allocation {
	__u64 bytes, objects;
	__u64 cgroup;
};

/* By pointer. Written by leave, deleted by release, exec and exit. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pointer);
	__type(value, struct allocation);
} live SEC(".maps");

/* How many pointers of a process are remembered: whether there is anything to do at its end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct otel_process_id);
	__type(value, __u64);
} holders SEC(".maps");

/* One thread's. Gone with it. */
struct thread {
	__u64 distance; /* bytes up to the next sample */
	__u64 sp;	/* of the call that is under way, at its entry; 0: none */
	__u64 size;
	__u64 result;		 /* where posix_memalign() puts the pointer, 0: it returns it */
	__u64 old;		 /* what realloc() is given */
	struct allocation freed; /* and what was remembered of that */
	__u32 epoch;
	__u8 seeded, sampled, resized, pad;
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

/* Whether the CPU's work space for stacks is in use. One entry, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} busy SEC(".maps");

static const struct heap_value no_heap;

static __always_inline struct heap_value *heap_of(__u64 cgroup, struct task_struct *task)
{
	struct heap_key key = {.cgroup = cgroup};
	struct heap_value *value;
	_Bool added = 0;

	value = otel_table__get(&heap, &key, &no_heap, &added);
	if (added && task)
		otel_cgroup__remember(cgroup, otel_cgroup__of(task));
	return value;
}

/* EXPHIST_RECORD_ATOMIC() for a value that stands for several. */
static __always_inline void record_size(struct exphist *h, __u64 size, __u64 objects, __u64 bytes)
{
	__u32 slot = size ? exphist__slot_of(size) : 0;

	if (slot >= EXPHIST_SLOTS || !objects)
		return;
	if (size)
		otel_add(h->buckets[slot], objects);
	else
		otel_add(h->zero_count, objects);
	for (int i = 0; i < 4; i++) {
		__u64 old = h->min;

		if (((h->count || old) && old <= size) ||
		    __sync_val_compare_and_swap(&h->min, old, size) == old)
			break;
	}
	for (int i = 0; i < 4; i++) {
		__u64 old = h->max;

		if (old >= size || __sync_val_compare_and_swap(&h->max, old, size) == old)
			break;
	}
	otel_add(h->sum, bytes);
	otel_add(h->count, objects);
}

/* --- held and freed -------------------------------------------------------------- */

static __noinline int hold(struct otel_process_id *process, __s64 n)
{
	__u64 *held, none = 0;

	if (!process)
		return 0;
	held = bpf_map_lookup_elem(&holders, process);
	if (!held) {
		bpf_map_update_elem(&holders, process, &none, BPF_NOEXIST);
		held = bpf_map_lookup_elem(&holders, process);
	}
	if (held)
		__sync_fetch_and_add(held, n);
	return 0;
}

static __always_inline void count_freed(const struct allocation *a, _Bool called)
{
	struct heap_value *value = heap_of(a->cgroup, NULL);

	if (!value)
		return;
	if (called) {
		otel_add(value->frees, a->objects);
		otel_add(value->freed, a->bytes);
	}
	otel_add(value->live_bytes, -(__s64)a->bytes);
	otel_add(value->live_objects, -(__s64)a->objects);
}

/* Forgets a pointer. Return: whether it was remembered; then @freed is what was. */
static __always_inline _Bool forget(__u64 address, struct allocation *freed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct allocation *known;
	struct pointer pointer = {.address = address};

	otel_process__identify(&pointer.process, task);
	known = bpf_map_lookup_elem(&live, &pointer);
	if (!known)
		return 0;
	*freed = *known;
	/* Freed twice at once, which is the program's bug: one of the two deletes it. */
	if (bpf_map_delete_elem(&live, &pointer))
		return 0;
	hold(&pointer.process, -1);
	return 1;
}

static __always_inline void remember(struct pointer *pointer, const struct allocation *a,
				     struct heap_value *value)
{
	struct allocation *known = bpf_map_lookup_elem(&live, pointer), before;

	if (known) {
		otel_lose(free_unseen);
		before = *known;
		count_freed(&before, 0);
	}
	if (bpf_map_update_elem(&live, pointer, a, BPF_ANY)) {
		otel_lose(live_full);
		return;
	}
	if (!known)
		hold(&pointer->process, 1);
	otel_add(value->live_bytes, a->bytes);
	otel_add(value->live_objects, a->objects);
}

/* --- calls ------------------------------------------------------------------------ */

/* A call that is made so far below another one is made by it: calloc() that calls malloc(). */
#define NESTED_MAX 16384

static __always_inline _Bool is_nested(const struct thread *t, __u64 sp)
{
	return t->sp && t->epoch == otel_filter.epoch && sp < t->sp && t->sp - sp < NESTED_MAX;
}

static __noinline __u64 next_sample(void)
{
	return weight__distance(sample_bytes, bpf_get_prandom_u32());
}

static __always_inline _Bool take(struct thread *t, __u64 size)
{
	if (sample_bytes == 1)
		return 1;
	if (!t->seeded) {
		t->seeded = 1;
		t->distance = next_sample();
	}
	size = size ? size : 1;
	if (size <= t->distance) {
		t->distance -= size;
		return 0;
	}
	t->distance = next_sample();
	return 1;
}

static __noinline int enter(struct pt_regs *ctx, __u64 size, __u64 old, __u64 result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 sp = PT_REGS_SP(ctx);
	struct thread *t;

	if (!otel_filter__pass())
		return 0;
	t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!t) {
		otel_lose(thread_full);
		return 0;
	}
	if (is_nested(t, sp))
		return 0;
	t->sp = sp;
	t->size = size;
	t->old = old;
	t->result = result;
	t->epoch = otel_filter.epoch;
	t->sampled = take(t, size);
	t->resized = old && forget(old, &t->freed);
	return 0;
}

SEC("uprobe")
OTEL_FUNCTIONS("malloc,valloc,pvalloc,_Znwm,_Znam")
int OTEL_UPROBE(enter_malloc, __u64 size)
{
	return enter(ctx, size, 0, 0);
}

/* A product that overflows fails: its size is nobody's. */
SEC("uprobe")
OTEL_FUNCTIONS("calloc")
int OTEL_UPROBE(enter_calloc, __u64 n, __u64 size)
{
	return enter(ctx, n * size, 0, 0);
}

SEC("uprobe")
OTEL_FUNCTIONS("realloc")
int OTEL_UPROBE(enter_realloc, __u64 old, __u64 size)
{
	return enter(ctx, size, old, 0);
}

SEC("uprobe")
OTEL_FUNCTIONS("reallocarray")
int OTEL_UPROBE(enter_reallocarray, __u64 old, __u64 n, __u64 size)
{
	return enter(ctx, n * size, old, 0);
}

SEC("uprobe")
OTEL_FUNCTIONS("memalign,aligned_alloc")
int OTEL_UPROBE(enter_memalign, __u64 alignment, __u64 size)
{
	return enter(ctx, size, 0, 0);
}

SEC("uprobe")
OTEL_FUNCTIONS("posix_memalign")
int OTEL_UPROBE(enter_posix_memalign, __u64 result, __u64 alignment, __u64 size)
{
	return enter(ctx, size, 0, result);
}

/*
 * The allocator has returned: the stack begins with its caller. The first frame is where that goes
 * on, which may be another line or function already; one byte less is in the call.
 */
static __noinline int profile(struct pt_regs *ctx, struct otel_process_id *process, __u64 bytes)
{
	struct task_struct *task = bpf_get_current_task_btf();
	static const struct sample_value none;
	struct sample_value *value;
	struct otel_sample_key key = {};
	struct otel_scratch *s;
	__u64 *used;
	__u32 zero = 0;
	_Bool added = 0;

	s = bpf_map_lookup_elem(&scratch, &zero);
	used = bpf_map_lookup_elem(&busy, &zero);
	if (!s || !used || !process)
		return 0;
	if (__sync_lock_test_and_set(used, 1)) {
		otel_lose(stack_busy);
		return 0;
	}
	key.window = otel_window.current;
	key.process = *process;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	if (trace_context)
		otel_trace__current(&key.trace);
	if (otel_stack__walk_user(ctx, s)) {
		s->stack.frames[0]--;
		key.user_stack = otel_stack__keep(s, key.window);
	}
	value = otel_sample__get(&samples, &key, &none, &added);
	if (added)
		otel_process__remember(process, s, task);
	__sync_lock_test_and_set(used, 0);
	if (value)
		__sync_fetch_and_add(&value->bytes, bytes);
	return 0;
}

static __always_inline int returned(struct pt_regs *ctx, struct thread *t, __u64 address)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pointer pointer = {.address = address};
	struct allocation a = {};
	struct heap_value *value;
	__u64 size = t->size;

	/* Whatever was there before is gone, but for a realloc() that fails. */
	if (t->resized && (address || !size))
		count_freed(&t->freed, 1);
	else if (t->resized) {
		pointer.address = t->old;
		otel_process__identify(&pointer.process, task);
		if (bpf_map_update_elem(&live, &pointer, &t->freed, BPF_ANY))
			count_freed(&t->freed, 0);
		else
			hold(&pointer.process, 1);
	}
	a.cgroup = bpf_get_current_cgroup_id();
	if (!address) {
		/* realloc() to nothing, and an allocator that has no pointer for no bytes. */
		if (!size)
			return 0;
		value = heap_of(a.cgroup, task);
		if (value)
			otel_add(value->failures, 1);
		return 0;
	}
	if (!t->sampled)
		return 0;
	a.bytes = size;
	a.objects = 1;
	if (sample_bytes != 1) {
		a.bytes = weight__bytes(size ? size : 1, sample_bytes);
		a.objects = weight__objects(size ? size : 1, a.bytes, bpf_get_prandom_u32());
		if (!size)
			a.bytes = 0;
	}
	value = heap_of(a.cgroup, task);
	if (!value)
		return 0;
	otel_add(value->allocations, a.objects);
	otel_add(value->allocated, a.bytes);
	record_size(&value->size, size, a.objects, a.bytes);
	otel_process__identify(&pointer.process, task);
	remember(&pointer, &a, value);
	return profile(ctx, &pointer.process, a.bytes);
}

SEC("uretprobe")
OTEL_FUNCTIONS(
	"malloc,valloc,pvalloc,_Znwm,_Znam,calloc,realloc,reallocarray,memalign,aligned_alloc,"
	"posix_memalign")
int OTEL_UPROBE(leave)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *t = bpf_task_storage_get(&threads, task, NULL, 0);
	__u64 address = PT_REGS_RC(ctx);

	/* The return address has been taken off. */
	if (!t || !t->sp || t->sp + sizeof(__u64) != PT_REGS_SP(ctx))
		return 0;
	t->sp = 0;
	if (t->epoch != otel_filter.epoch)
		return 0;
	if (t->result) {
		if (address)
			address = 0; /* an error number */
		else if (bpf_probe_read_user(&address, sizeof(address), (void *)t->result))
			return 0;
	}
	return returned(ctx, t, address);
}

SEC("uprobe")
OTEL_FUNCTIONS("free,cfree,_ZdlPv,_ZdaPv,_ZdlPvm,_ZdaPvm")
int OTEL_UPROBE(release, __u64 address)
{
	struct allocation freed;

	if (address && otel_filter__pass() && forget(address, &freed))
		count_freed(&freed, 1);
	return 0;
}

/* --- the end of a process ---------------------------------------------------------- */

static long drop_one(void *map, struct pointer *pointer, struct allocation *a,
		     struct otel_process_id *gone)
{
	struct allocation held;

	if (pointer->process.pid != gone->pid || pointer->process.exec != gone->exec ||
	    pointer->process.start_ns != gone->start_ns)
		return 0;
	held = *a;
	if (!bpf_map_delete_elem(map, pointer))
		count_freed(&held, 0);
	return 0;
}

static __noinline int drop_all(struct otel_process_id *gone)
{
	if (!gone || !bpf_map_lookup_elem(&holders, gone))
		return 0;
	bpf_for_each_map_elem(&live, drop_one, gone, 0);
	bpf_map_delete_elem(&holders, gone);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int OTEL_PROG(process_exit, struct task_struct *task)
{
	struct otel_process_id gone = {};

	if (task->signal->live.counter)
		return 0;
	otel_process__identify(&gone, task);
	return drop_all(&gone);
}

SEC("tp_btf/sched_process_exec")
int OTEL_PROG(process_exec, struct task_struct *task)
{
	struct otel_process_id gone = {};

	otel_process__identify(&gone, task);
	gone.exec--;
	return drop_all(&gone);
}
