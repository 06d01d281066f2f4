// SPDX-License-Identifier: GPL-2.0-only
/*
 * Memory: what a program allocates, frees and holds, and where it allocates it.
 *
 *   enter_*    filter → nested? → take sizes off the countdown: sampled when it has passed 0
 *   leave      which pointer → count, remember it; the stack that allocated it → profile
 *   call_*     both of them in one, where the kernel lets the entry say whether the return is
 *              wanted (uprobe.session, 6.13): it is not, mostly, and then does not trap
 *   release    a pointer that is remembered → count it as freed
 *   probe_*    the same told by the program itself, by USDT probes
 *   exec, exit what the process held is gone; where it was allocated is told once more
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
#include <otelbpf/turn.bpf.h>
#include <otelbpf/uprobe.bpf.h>
#include <otelbpf/usdt.bpf.h>

#include "call_abi.h"
#include "malloc_weight.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 sample_bytes
	OTEL_OPTION("1..1073741824", "By",
		    "One sample in so many allocated bytes on average; 1: every call") = 524288;
const volatile __u32 mapped OTEL_OPTION(
	"0..1", "", "Also measure what is taken from the kernel: mmap, mremap, munmap, brk") = 0;

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(live_full)	/* counted, but when it is freed is not seen */
	OTEL_LOSS(free_unseen)	/* an address came back that had not been freed */
	OTEL_LOSS(thread_full)	/* no memory for a thread's own state */
	OTEL_LOSS(guard_stopped) /* the probe took more CPU than guard_percent allows */
	OTEL_LOSS(spaces_full)	/* more processes at once than there is room for: not in what is mapped */
	OTEL_LOSS(usdt_unread)	/* an argument of a USDT probe could not be read */
	OTEL_LOSS(stack_busy)	/* a task was preempted while it took its stack: counted, no profile */
);
/* clang-format on */

#include "malloc_guard.h"
#include "malloc_held.h"
#include "malloc_profile.h"
#include "malloc_space.h"
#include "malloc_thread.h"

/* --- calls ------------------------------------------------------------------------ */

/* A call that is made so far below another one is made by it: calloc() that calls malloc(). */
#define NESTED_MAX 16384
/* Code of an allocator's function, from the probed instruction on, and before it. */
#define BODY_MAX 4096
#define BODY_BEFORE 32

/* Where the kernel has a function return to whose return is probed. */
static __noinline _Bool is_trampoline(__u64 address)
{
	return address && address == uprobe__trampoline(bpf_get_current_task_btf());
}

/*
 * Whether a call is made by the last one. Sampled, it would count twice: each of the two has had
 * its chance. While a return is waited for, whatever is called below is a part of the call. The end
 * of others is not seen. So the last one has to be still on the stack, its return address where it
 * was, and this one has to return into its code, or, jumped to at its end, to where it would.
 */
static __always_inline _Bool is_part(const struct thread *t, __u64 sp, __u64 ip, __u64 ret)
{
	__u64 below = t->at - sp, before = 0;

	if (!t->at || t->epoch != otel_filter.epoch)
		return 0;
	/* So is, where not every call is waited for, one place that calls two functions in turn. */
	if (!below)
		return ip != t->ip && ((!t->sp && ret == t->ret) || is_trampoline(ret));
	if (below >= NESTED_MAX)
		return 0;
	if (t->sp)
		return 1;
	if (ret - t->ip + BODY_BEFORE >= BODY_MAX)
		return 0;
	call__left_address(t->at, t->ret, &before);
	return before == t->ret || is_trampoline(before);
}

/*
 * Whether the process tells what it allocates by USDT probes of its own: what it calls for that is
 * no other allocation. The probes may be in a library of a program that others run without it:
 * that is known from the first time that they say something.
 */
static __always_inline _Bool is_told_otherwise(const struct thread *t, struct task_struct *task)
{
	return t->usdt_exec == task->self_exec_id + 1 || otel_usdt__carries();
}

/* Return: whether the call's own return is wanted. */
static __noinline int enter(struct pt_regs *ctx, __u64 size, __u64 old, __u64 result)
{
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 sp = PT_REGS_SP(ctx), ip = PT_REGS_IP(ctx), ret = 0;
	struct guard *g = guard__get();
	struct thread *t;

	t = begin(g, task);
	if (!t)
		return 0;
	call__return_address(ctx, &ret);
	if (is_part(t, sp, ip, ret))
		return 0;
	t->at = sp;
	t->ip = ip;
	t->ret = ret;
	t->epoch = otel_filter.epoch;
	t->sampled = take(&t->countdown, size, guard__rate(g)) && !is_told_otherwise(t, task);
	t->resized = old && forget(old, &t->freed);
	t->sp = 0;
	if (!t->sampled && !t->resized)
		return 0;
	t->sp = sp;
	t->size = size;
	t->old = old;
	t->result = result;
	return 1;
}

/* An allocation that is there: its bytes and objects are known. */
static __always_inline int count_made(struct pt_regs *ctx, struct thread *t, __u64 address,
				      __u64 size, _Bool behind_call)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pointer pointer = {.address = address};
	struct allocation *made = &t->made;
	struct heap_value *value;

	value = heap_of(made->cgroup, task);
	if (!value)
		return 0;
	otel_add(value->allocations, made->objects);
	otel_add(value->allocated, made->bytes);
	record_size(&value->size, size, made->objects, made->bytes);
	otel_process__identify(&pointer.process, task);
	t->sample.bytes = made->bytes;
	t->sample.objects = made->objects;
	t->sample.mapped = 0;
	/* First the stack, then who refers to it: see profiles.c on which stacks may go. */
	made->user_stack = profile(ctx, &pointer.process, &t->sample, behind_call);
	made->since_ns = bpf_ktime_get_boot_ns();
	remember(&pointer, made, value);
	return 0;
}

static __always_inline int returned(struct pt_regs *ctx, struct thread *t, __u64 address)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct pointer pointer = {.address = address};
	struct allocation *made = &t->made;
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
	made->cgroup = bpf_get_current_cgroup_id();
	/* realloc() to nothing, and an allocator that has no pointer for no bytes. */
	if (!t->sampled || (!address && !size))
		return 0;
	made->bytes = stands_for(size, t->countdown.rate);
	made->objects = 1;
	if (t->countdown.rate != 1) {
		made->objects =
			weight__objects(size ? size : 1, made->bytes, bpf_get_prandom_u32());
		if (!size)
			made->bytes = 0;
	}
	if (address)
		return count_made(ctx, t, address, size, 1);
	value = heap_of(made->cgroup, task);
	if (value)
		otel_add(value->failures, made->objects);
	return 0;
}

static __noinline int finish(struct pt_regs *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct thread *t = bpf_task_storage_get(&threads, task, NULL, 0);
	__u64 address = PT_REGS_RC(ctx), since_ns = 0;

	if (!t || !t->sp || t->sp + CALL_PUSHES != PT_REGS_SP(ctx))
		return 0;
	t->sp = t->at = 0;
	if (guard_percent)
		since_ns = bpf_ktime_get_ns();
	if (t->epoch != otel_filter.epoch)
		return 0;
	if (t->result) {
		if (address)
			address = 0; /* an error number */
		else if (bpf_probe_read_user(&address, sizeof(address), (void *)t->result))
			return 0;
	}
	returned(ctx, t, address);
	if (guard_percent)
		guard__worked(&t->guarded, since_ns);
	return 0;
}

/* Below everything that names a cgroup. */
OTEL_TARGETS("malloc,otel_memory:alloc,otel_memory:free", "je_,_rjem_,mi_,tc_");

/* --- hooks -------------------------------------------------------------------------- */

static __always_inline int released(__u64 address)
{
	struct guard *g = guard__get();
	struct allocation freed;

	if (!g || g->stopped)
		return 0;
	if (address && otel_filter__pass() && forget(address, &freed))
		count_freed(&freed, 1);
	return 0;
}

/*
 * What frees comes first here, and so is attached first to a program that runs: whatever is
 * remembered from then on is also seen when it is freed.
 */
SEC("uprobe")
OTEL_FUNCTIONS("free,cfree,free_sized,free_aligned_sized,dallocx,sdallocx,"
	       "_Zd[la]Pv,_Zd[la]Pv[Rm]*,_Zd[la]PvSt*")
int OTEL_UPROBE(release, __u64 address)
{
	return released(address);
}

/* A product that overflows fails: its size is nobody's, but not nothing. */
static __always_inline __u64 product(__u64 n, __u64 size)
{
	return n * size ? n * size : n && size;
}

/* A session's program has both ends of a call; 1 at the entry: the return need not trap. */
#define CALL(name, functions, size, old, result, ...)  \
	OTEL_HOOK("allocations", 0)                    \
	SEC("?uprobe.session")                         \
	OTEL_FUNCTIONS(functions)                      \
	int OTEL_UPROBE(call_##name, ##__VA_ARGS__)    \
	{                                              \
		if (otel_uprobe__is_return(ctx))       \
			return finish(ctx);            \
		return !enter(ctx, size, old, result); \
	}                                              \
                                                       \
	OTEL_HOOK("allocations", 1)                    \
	SEC("uprobe")                                  \
	OTEL_FUNCTIONS(functions)                      \
	int OTEL_UPROBE(enter_##name, ##__VA_ARGS__)   \
	{                                              \
		enter(ctx, size, old, result);         \
		return 0;                              \
	}

/* clang-format off */
CALL(realloc, "realloc,rallocx", size, old, 0, __u64 old, __u64 size)
CALL(reallocarray, "reallocarray", product(n, size), old, 0, __u64 old, __u64 n, __u64 size)
/* C++'s operators but for the one that is given a place: _ZnwmPv, and _ZdlPvS_ to delete it. */
CALL(malloc, "malloc,valloc,pvalloc,mallocx,_Zn[wa]m,_Zn[wa]m[RS]*", size, 0, 0, __u64 size)
CALL(calloc, "calloc", product(n, size), 0, 0, __u64 n, __u64 size)
CALL(memalign, "memalign,aligned_alloc", size, 0, 0, __u64 alignment, __u64 size)
CALL(posix_memalign, "posix_memalign", size, 0, result, __u64 result, __u64 alignment, __u64 size)
/* clang-format on */

OTEL_HOOK("allocations", 1)
SEC("uretprobe")
OTEL_FUNCTIONS(
	"malloc,[cv]alloc,pvalloc,realloc,reallocarray,memalign,aligned_alloc,posix_memalign,"
	"[mr]allocx,_Zn[wa]m,_Zn[wa]m[RS]*")
int OTEL_UPROBE(leave)
{
	return finish(ctx);
}

#include "malloc_mapped.h"
#include "malloc_usdt.h"

/* --- the end of a process ---------------------------------------------------------- */

static __always_inline int end(struct otel_process_id *gone)
{
	if (mapped)
		space__end(gone);
	return drop_all(gone);
}

SEC("tp_btf/sched_process_exit")
int OTEL_PROG(process_exit, struct task_struct *task)
{
	struct otel_process_id gone = {};

	if (task->signal->live.counter)
		return 0;
	otel_process__identify(&gone, task);
	return end(&gone);
}

SEC("tp_btf/sched_process_exec")
int OTEL_PROG(process_exec, struct task_struct *task)
{
	struct otel_process_id gone = {};

	otel_process__identify(&gone, task);
	gone.exec--;
	return end(&gone);
}
