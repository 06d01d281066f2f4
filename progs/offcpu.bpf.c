// SPDX-License-Identifier: GPL-2.0-only
/*
 * Off-CPU profile: how long tasks were blocked, with the stack that blocked.
 *
 *   sched_switch   prev blocks: filter → note time and stacks by thread
 *                  next was blocked: long enough? → add the time to its stack
 *   process_exit   forget a thread that is never woken again
 *
 * The stacks are taken when the thread leaves, since only then it is the current
 * one. They wait in the thread's own entry: not before it is back is it known
 * whether the time counts, and into which window. A thread that is preempted is
 * ready to run, not blocked. The start time is the thread's, so it may come back on
 * another CPU.
 *
 * With events on, a long time blocked is a span besides, below the span that the thread worked for
 * when it left.
 *
 * Runs with the run queue locked and interrupts off: preallocated maps only, never
 * nested in itself.
 */
#include "vmlinux.h"

#define OTEL_NO_CGROUP_NAMES
#define OTEL_TRACE_WHEN /* samples want contexts, too */
#include <otelbpf/event.bpf.h>
#include <otelbpf/otel.bpf.h>
#include <otelbpf/profile.bpf.h>
#include <otelbpf/turn.bpf.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u64 min_us OTEL_OPTION("0..60000000", "us",
					"Shortest time blocked that counts") = 100;
const volatile __u32
	long_us OTEL_OPTION("0..3600000000", "us",
			    "With events: a time blocked that is so long is a span") = 100000;
const volatile __u32 long_waits OTEL_OPTION(
	"0..1", "", "Of waits that a signal would end, as of poll and nanosleep, too") = 0;

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(blocked_full)	 /* more threads blocked at once than there are entries */
	OTEL_LOSS(leave_unseen)	 /* the kernel did not tell that the thread left */
	OTEL_LOSS(return_unseen) /* nor that it came back */
	OTEL_EVENT_LOSSES
);
/* clang-format on */

/* What could end a wait beside what it waits for: a signal, or nothing. */
enum wait {
	interruptible = 1,
	uninterruptible = 2,
};

struct blocked {
	__u64 start;
	__u64 boot;		      /* the same on CLOCK_BOOTTIME; with events only */
	__u64 user_hash, kernel_hash; /* 0: no such stack */
	struct otel_process_id process;
	char comm[16];
	struct otel_trace trace; /* as it was when the thread blocked */
	__u32 epoch;
	enum wait wait;
	struct otel_stack user, kernel;
};

/* include/linux/sched.h */
#define TASK_UNINTERRUPTIBLE 0x2
#define TASK_DEAD 0x80	  /* it never comes back */
#define TASK_NOLOAD 0x400 /* uninterruptible, but only idle */
#define PF_KTHREAD 0x00200000

/* By thread id. Written and read by the programs only. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, __u32);
	__type(value, struct blocked);
} blocked SEC(".maps");

struct leaves {
	__u32 seen; /* the kernel's count when the last one was */
	__u32 epoch;
};

/*
 * How often a thread has left by itself, by its id. Written when it does. Bounded: who has not for
 * long is forgotten, and what of that thread is missed before the next time is not counted.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 4096);
	__type(key, __u32);
	__type(value, struct leaves);
} leaves SEC(".maps");

/* Work space: one entry, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct blocked);
} blocking SEC(".maps");

struct sample_value {
	__u64 ns OTEL_SAMPLES("off_cpu", "nanoseconds", "", "");
};

/* Written when a thread comes back. */
OTEL_PROFILE_TABLES(struct sample_value, 10240);

struct long_wait {
	struct otel_event event OTEL_EVENT;
	enum wait wait OTEL_ATTR("system.thread.wait", enum);
	__u32 pad;
};
_Static_assert(sizeof(struct long_wait) == 104, "long_wait has a hole");

/* Written when a thread comes back that was away for long. Read by the exporter, when sent. */
OTEL_EVENTS(long_times, long_wait, 64 * 1024, OTEL_SPAN("off-cpu", internal));

/*
 * A thread that leaves or exits has come back before. Not always seen: a paravirtualized Linux 6.18
 * sometimes runs no program of any tracepoint on one CPU for 0.1 to 4 ms (neither of two at
 * sched_switch, nor one at sched_wakeup), while those on the other CPU run. No recursion miss is
 * counted in it, and every update and delete of the map had succeeded.
 */
static __always_inline void expect_none(__u32 tid)
{
	struct blocked *b = bpf_map_lookup_elem(&blocked, &tid);

	if (b && b->epoch == otel_filter.epoch)
		otel_lose(return_unseen);
}

/*
 * The same may hide that it left. The kernel counts that (nvcsw, one more by the time the
 * tracepoint runs), so that it shows the next time.
 *
 * @times: 1 for a thread that leaves, 0 for one that exits
 */
static __always_inline void expect_counted(struct leaves *before, const struct leaves *now,
					   __u32 times)
{
	__s32 missed = now->seen - before->seen - times;

	if (missed > 0 && before->epoch == now->epoch)
		otel_lose_some(leave_unseen, missed);
	*before = *now;
}

static __noinline int note_leave(struct task_struct *prev)
{
	struct leaves now = {.seen = prev->nvcsw, .epoch = otel_filter.epoch}, *before;
	__u32 tid = prev->pid;

	before = bpf_map_lookup_elem(&leaves, &tid);
	if (before)
		expect_counted(before, &now, 1);
	else
		bpf_map_update_elem(&leaves, &tid, &now, BPF_ANY);
	return 0;
}

/* It was about to block when a signal came: the kernel counts that, too. */
static __always_inline void stay(struct task_struct *prev)
{
	__u32 tid = prev->pid, count = prev->nvcsw;
	struct leaves *before = bpf_map_lookup_elem(&leaves, &tid);

	if (before && count == before->seen + 1)
		before->seen = count;
}

static __noinline int leave(void *ctx, struct task_struct *prev)
{
	struct otel_scratch *s;
	struct blocked *b;
	__u32 zero = 0, tid = prev->pid;

	s = bpf_map_lookup_elem(&scratch, &zero);
	b = bpf_map_lookup_elem(&blocking, &zero);
	if (!s || !b)
		return 0;
	/* Before the stacks: what it waits for has begun, and walking takes a while. */
	b->start = bpf_ktime_get_ns();
	if (events)
		b->boot = bpf_ktime_get_boot_ns();
	b->wait = (prev->__state & (TASK_UNINTERRUPTIBLE | TASK_NOLOAD)) == TASK_UNINTERRUPTIBLE
			  ? uninterruptible
			  : interruptible;
	otel_process__identify(&b->process, prev);
	bpf_get_current_comm(b->comm, sizeof(b->comm));
	if (trace_context || events)
		otel_trace__current(&b->trace);
	b->kernel_hash = otel_stack__kernel(ctx, s, &b->kernel);
	b->user_hash = prev->flags & PF_KTHREAD ? 0 : otel_stack__user(ctx, s, &b->user);
	otel_process__remember(&b->process, s, prev);
	b->epoch = otel_filter.epoch;
	expect_none(tid);
	note_leave(prev);
	if (bpf_map_update_elem(&blocked, &tid, b, BPF_ANY))
		otel_lose(blocked_full);
	return 0;
}

static __noinline int tell(const struct blocked *b, struct task_struct *next, __u64 ns)
{
	struct otel_event_owner whose;
	struct long_wait *wait;

	if (!b || (!long_waits && b->wait != uninterruptible))
		return 0;
	otel_event_owner__of(&whose, next);
	wait = otel_event__begin_of(long_times, long_wait, &b->trace, otel_event__took(ns, b->boot),
				    &whose);
	if (!wait)
		return 0;
	wait->wait = b->wait;
	wait->pad = 0;
	otel_event__end(wait);
	return 0;
}

static __noinline int come_back(struct task_struct *next)
{
	static const struct sample_value none;
	struct sample_value *value;
	struct otel_sample_key key = {};
	struct blocked *b;
	_Bool added = 0;
	__u32 tid = next->pid;
	__u64 ns;

	b = bpf_map_lookup_elem(&blocked, &tid);
	if (!b)
		return 0;
	ns = bpf_ktime_get_ns() - b->start;
	/* What left before a pause came back unseen, and this is another time. */
	if (ns >= min_us * 1000 && b->epoch == otel_filter.epoch) {
		key.window = otel_window.current;
		key.process = b->process;
		__builtin_memcpy(key.comm, b->comm, sizeof(key.comm));
		if (trace_context)
			key.trace = b->trace;
		key.user_stack = b->user_hash;
		key.kernel_stack = b->kernel_hash;
		value = otel_sample__get(&key, b, &none, &added);
		if (value)
			__sync_fetch_and_add(&value->ns, ns);
	}
	if (events && ns >= long_us * 1000ULL && b->epoch == otel_filter.epoch)
		tell(b, next, ns);
	bpf_map_delete_elem(&blocked, &tid);
	return 0;
}

SEC("tp_btf/sched_switch")
int BPF_PROG(sched_switch, bool preempt, struct task_struct *prev, struct task_struct *next)
{
	if (!otel_turn__is_mine(OTEL_OLDER_FIRST))
		return 0;
	/*
	 * TASK_RUNNING is 0. The run queue is locked, so whoever wakes @prev by now gets no further
	 * than TASK_WAKING. The tracepoint's own prev_state is worse: before 6.14 it says
	 * blocked for a thread that stays on the run queue because a signal is pending.
	 */
	if (!preempt && prev->pid && !prev->__state)
		stay(prev);
	else if (!preempt && prev->pid && !(prev->__state & TASK_DEAD) && otel_filter__pass())
		leave(ctx, prev);
	if (next->pid)
		come_back(next);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int OTEL_PROG(process_exit, struct task_struct *task)
{
	struct leaves now = {.seen = task->nvcsw, .epoch = otel_filter.epoch}, *before;
	__u32 tid = task->pid;

	expect_none(tid);
	before = bpf_map_lookup_elem(&leaves, &tid);
	if (before)
		expect_counted(before, &now, 0);
	bpf_map_delete_elem(&blocked, &tid);
	bpf_map_delete_elem(&leaves, &tid);
	return 0;
}
