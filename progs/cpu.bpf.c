// SPDX-License-Identifier: GPL-2.0-only
/*
 * On-CPU profile: what runs, sampled at a fixed frequency on each CPU.
 *
 *   perf_event   periods since the last time → idle? → filter → kernel stack, user stack → count
 *
 * A timer that fires late fires once, however many periods have passed: interrupts were off, or
 * a hypervisor had taken the CPU away. The event's own count knows, so a sample counts for
 * the periods that ended since the one before it on this CPU; mostly that is one. Not every machine
 * wakes an idle CPU in time for its timer, either: what was before the task came to the CPU is
 * nobody's.
 *
 * Runs in the timer's interrupt (or an NMI, for a hardware event), never nested in
 * itself, so the per-CPU work space is its own. Another CPU may count the same key.
 */
#include "vmlinux.h"

#define OTEL_NO_CGROUP_NAMES
#include <otelbpf/otel.bpf.h>
#include <otelbpf/profile.bpf.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 frequency OTEL_OPTION("1..999", "Hz",
					   "Samples a second on each CPU") OTEL_FREQUENCY = 99;
const volatile __u32 idle OTEL_OPTION("0..1", "", "Sample the idle task, too") = 0;
const volatile __u32
	hardware OTEL_OPTION("0..1", "",
			     "Sample by the CPU's cycle counter, if it has one") OTEL_HARDWARE = 0;

OTEL_LOSSES();

struct sample_value {
	__u64 count OTEL_SAMPLES("samples", "count", "cpu", "nanoseconds");
};

/* Written at every sample. */
OTEL_PROFILE_TABLES(struct sample_value, 10240);

/*
 * Up to where this CPU's time has been counted, and by how much that was not a number of whole
 * periods. One entry, per CPU.
 */
struct counted {
	__u64 ns;
	__s64 rest;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct counted);
} counted SEC(".maps");

/*
 * Periods that have ended, rounded: the timer's clock is not quite the event's, and a tick that
 * comes a little early would count for nothing, the next one for two. The event is another
 * one, which begins at 0, after a pause. A cycle counter's periods are the kernel's choice.
 *
 * The kernel reads a cpu-clock event before it calls the event's program (perf_swevent_hrtimer()).
 * bpf_perf_prog_read_value() would read it once more, and costs a tenth of a sample; so what has
 * been read is taken, which is also the scheduler's clock at this instant (prev_count).
 */
static __always_inline __u64 periods(struct bpf_perf_event_data *ctx, struct task_struct *task)
{
	__u64 period = 1000000000 / (frequency ? frequency : 1), n, now;
	struct perf_event *event = BPF_CORE_READ((struct bpf_perf_event_data_kern *)ctx, event);
	struct counted *c;
	__u32 zero = 0;
	__s64 ns;

	c = bpf_map_lookup_elem(&counted, &zero);
	if (hardware || !c)
		return 1;
	now = BPF_CORE_READ(event, count.a.a.counter);
	if (now < c->ns)
		c->ns = 0;
	ns = now - c->ns + c->rest;
	n = ns > 0 ? (ns + period / 2) / period : 0;
	c->ns = now;
	c->rest = ns - n * period;
	/* Without CONFIG_SCHED_INFO nobody knows when the task came. */
	if (n > 1 && task->pid && bpf_core_field_exists(task->sched_info.last_arrival)) {
		ns -= BPF_CORE_READ(event, hw.prev_count.a.a.counter) -
		      task->sched_info.last_arrival;
		if (ns > 0)
			n -= ns / period; /* those that ended before the task came */
	}
	return n;
}

/*
 * Whether the timer interrupted user space, where there is no kernel stack to walk. The verifier
 * wants a register of the context read as a whole.
 */
static __always_inline _Bool in_user(struct bpf_perf_event_data *ctx)
{
	const volatile __u64 *regs = (void *)ctx; /* in ptrace's order */

#if defined(__TARGET_ARCH_x86)
	return (regs[17] & 3) == 3; /* cs: the privilege level */
#elif defined(__TARGET_ARCH_arm64)
	return !(regs[33] & 0xf); /* pstate: the exception level */
#else
	return !regs; /* not known: no, which costs a walk of nothing */
#endif
}

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	static const struct sample_value none;
	struct sample_value *value;
	struct otel_scratch *s;
	struct otel_sample_key key = {};
	__u64 n = periods(ctx, task);
	__u32 zero = 0;
	_Bool added = 0;

	if (!n || (!idle && !(__u32)bpf_get_current_pid_tgid()))
		return 0;
	if (!otel_filter__pass())
		return 0;
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return 0;
	key.window = otel_window.current;
	otel_process__identify(&key.process, task);
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	if (trace_context)
		otel_trace__current(&key.trace);
	if (!in_user(ctx))
		key.kernel_stack = otel_stack__kernel(ctx, s, &s->kernel);
	if (!(task->flags & 0x00200000)) /* PF_KTHREAD */
		key.user_stack = otel_stack__user(ctx, s, &s->user);
	value = otel_sample__get(&key, s, &none, &added);
	if (added)
		otel_process__remember(&key.process, s, task);
	if (value)
		__sync_fetch_and_add(&value->count, n);
	return 0;
}
