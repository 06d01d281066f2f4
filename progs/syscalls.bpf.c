// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls: duration and errors, by call and cgroup.
 *
 *   sys_enter       filter → note the start in the task's storage
 *   sys_exit        start? → duration into the histogram, failure into errors
 *   signal_deliver  an interrupted call that will not be restarted ends as EINTR
 *   process_exit    a call that never returned (exit_group, killed) is counted as such
 *
 * With events on, a call that took long is a span besides, below the span that its thread
 * worked for when it began.
 *
 * Both system call tracepoints run in the calling task, never in an interrupt, and
 * OTEL_PROG() sees to it that no other task comes in between: a program is never
 * interrupted by another instance of itself on its CPU, so per-CPU values need no
 * atomics. A task may migrate between entry and exit: the start time is the task's,
 * not the CPU's.
 */
#include "vmlinux.h"

#include <otelbpf/event.bpf.h>
#include <otelbpf/otel.bpf.h>
#include <otelbpf/turn.bpf.h>

#include "syscall_abi.h"
#include "syscall_waits.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 per_cgroup OTEL_OPTION("0..1", "", "Keep one series for each cgroup") = 1;

const volatile __u32 slow_us OTEL_OPTION("0..3600000000", "us",
					 "A system call that takes so long is slow") = 100000;
const volatile __u32 slow_waits
	OTEL_OPTION("0..1", "", "Of calls that wait by nature, as poll and nanosleep, too") = 0;

/* 2 x 1024 numbers: native calls, then those of 32-bit callers. */
__u64 syscall_set[SYSCALL_SET_WORDS] SEC(".data.filter") OTEL_FILTER_SET(syscall);

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(task_storage)	  /* no memory for a task's start time */
	OTEL_LOSS(entry_unseen)	  /* under way when tracing began; ended unmeasured */
	OTEL_LOSS(exit_unseen)	  /* another call began before its end was seen */
	OTEL_LOSS(nested_restart) /* interrupted calls, more than STOPPED_MAX deep */
	OTEL_LOSS(out_of_range)	  /* longer than 2^20 s */
	OTEL_EVENT_LOSSES
);
/* clang-format on */

struct call_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
	__u32 nr OTEL_ATTR("syscall.name", syscall);
	__u32 pad;
};
_Static_assert(sizeof(struct call_key) == 16, "call_key has a hole");

struct call_value {
	struct exphist_s duration OTEL_EXPHIST("system.syscall.duration", "s",
					       "Time that system calls took");
};

/* Written at every exit, by the CPU it happens on. Read and evicted by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct call_key);
	__type(value, struct call_value);
} calls SEC(".maps") OTEL_METRICS;

struct error_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
	__u32 nr OTEL_ATTR("syscall.name", syscall);
	__u32 error OTEL_ATTR("error.type", errno);
};
_Static_assert(sizeof(struct error_key) == 16, "error_key has a hole");

struct error_value {
	__u64 count OTEL_SUM("system.syscall.errors", "{call}", "System calls that failed");
};

/* Written at every exit with an error. Read and evicted by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 4096);
	__type(key, struct error_key);
	__type(value, struct error_value);
} errors SEC(".maps") OTEL_METRICS;

struct totals {
	__u64 returned OTEL_SUM("system.syscall.returned", "{call}",
				"System calls that returned, over all names and cgroups");
	__u64 failed OTEL_SUM("system.syscall.failed", "{call}",
			      "System calls that failed, over all names and cgroups");
	__u64 unreturned OTEL_SUM("system.syscall.unreturned", "{call}",
				  "System calls that never returned, as exit_group or a call whose "
				  "process was killed in it");
	__u64 rejected OTEL_SUM("system.syscall.rejected", "{call}",
				"System calls that seccomp or a tracer refused before they began");
	__u64 distinct OTEL_SUM("system.syscall.distinct", "{syscall}",
				"Different system calls seen");
};

/* One entry. Written at every exit, by the CPU it happens on. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct totals);
} totals SEC(".maps") OTEL_METRICS;

struct slow_call {
	struct otel_event event OTEL_EVENT;
	__u32 nr OTEL_ATTR("syscall.name", syscall) OTEL_NAME;
	__u32 error OTEL_ATTR("error.type", errno) OTEL_UNSET OTEL_ERROR;
	__u32 result OTEL_ATTR("syscall.result", number) OTEL_UNSET;
	__u32 pad;
};
_Static_assert(sizeof(struct slow_call) == 112, "slow_call has a hole");

/* Written at the exit of a slow call. Read by the exporter, when it has sent it. */
OTEL_EVENTS(slow_calls, slow_call, 256 * 1024, OTEL_SPAN("syscall", internal));

/* A bit for each call that has been seen. */
static __u64 seen[SYSCALL_SET_WORDS];

static const struct call_value no_calls;
static const struct error_value no_errors;

static __noinline void first_of_series(struct totals *sums, __u64 cgroup, __u32 nr)
{
	__u32 bit = syscall_set__bit(nr);
	__u64 mask = 1ULL << (bit % 64);

	if (per_cgroup)
		otel_cgroup__remember(cgroup, otel_cgroup__of(bpf_get_current_task_btf()));
	if (!(__sync_fetch_and_or(&seen[syscall_set__word(bit)], mask) & mask))
		sums->distinct++;
}

static __always_inline void record(__u32 nr, __u64 ns, __s64 ret)
{
	struct call_key key = {.nr = nr};
	struct call_value *value;
	struct totals *sums;
	__u32 zero = 0;
	_Bool added = 0;

	sums = bpf_map_lookup_elem(&totals, &zero);
	if (!sums)
		return;
	if (per_cgroup)
		key.cgroup = bpf_get_current_cgroup_id();
	value = otel_table__get(&calls, &key, &no_calls, &added);
	if (added)
		first_of_series(sums, key.cgroup, nr);
	if (value && !exphist_s__record(&value->duration, ns))
		otel_lose(out_of_range);
	sums->returned++;

	if (ret < 0 && ret >= -MAX_ERRNO) {
		struct error_key failure = {.cgroup = key.cgroup, .nr = nr, .error = -ret};
		struct error_value *count;

		count = otel_table__get(&errors, &failure, &no_errors, &added);
		if (count)
			count->count++;
		sums->failed++;
	}
}

#define count_total(member, n)                                                 \
	({                                                                     \
		__u32 __zero = 0;                                              \
		struct totals *__sums = bpf_map_lookup_elem(&totals, &__zero); \
                                                                               \
		if (__sums)                                                    \
			__sums->member += (n);                                 \
	})

struct call;
static int slow_call(const struct call *call, __u32 nr, __u64 ns, __s64 ret);

#include "syscall_interrupted.h"

static __noinline int slow_call(const struct call *call, __u32 nr, __u64 ns, __s64 ret)
{
	struct slow_call *slow;

	if (!slow_waits && syscall__waits(nr))
		return 0;
	slow = otel_event__begin(slow_calls, slow_call, &call->trace, ns);
	if (!slow)
		return 0;
	slow->nr = nr;
	slow->error = ret < 0 && ret >= -MAX_ERRNO ? -ret : 0;
	/* Bytes or a count; what is larger may be an address, which is nobody's business. */
	slow->result = ret > 0 && ret <= SYSCALL_RESULT_MAX ? ret : 0;
	slow->pad = 0;
	otel_cgroup__remember(slow->event.cgroup, otel_cgroup__of(bpf_get_current_task_btf()));
	otel_event__end(slow);
	return 0;
}

/*
 * An exit without its entry: the call was under way when tracing began, or seccomp
 * or a tracer refused it, which the entry's tracepoint is not told. In a task that
 * has been seen before it is the latter. Returning from fork in the child is no call.
 */
static __noinline int entry_unseen(struct call *call, struct pt_regs *regs, __s64 ret)
{
	__u32 nr = syscall__of_regs(regs, bpf_get_current_task_btf());

	if (!otel_filter__sees_all() || (ret == 0 && syscall__is_fork(nr)))
		return 0;
	if (call && call->epoch == otel_filter.epoch)
		count_total(rejected, 1);
	else
		otel_lose(entry_unseen);
	return 0;
}

/* Since 6.13 a task may be preempted between two programs of these tracepoints. */
static __noinline _Bool take_turn(void)
{
	struct call *call = bpf_task_storage_get(&open_calls, bpf_get_current_task_btf(), NULL,
						 BPF_LOCAL_STORAGE_GET_F_CREATE);

	return otel_turn__take(call ? &call->turn : NULL, OTEL_OLDER_FIRST);
}

static __always_inline _Bool is_my_turn(void)
{
	return !otel_turn__is_on() || take_turn();
}

SEC("tp_btf/sys_enter")
int OTEL_PROG(sys_enter, struct pt_regs *regs, long id)
{
	struct task_struct *task;
	_Bool selected = 1;
	struct call *call;
	__u32 nr, bit;

	if (!is_my_turn() || !otel_filter__pass())
		return 0;
	task = bpf_get_current_task_btf();
	nr = syscall__number(id, task);
	if (otel_filter.flags & OTEL_FILTER_F(OTEL_FILTER_SET)) {
		bit = syscall_set__bit(nr);
		selected = (syscall_set[syscall_set__word(bit)] >> (bit % 64)) & 1;
		if (!selected && !syscall__is_restart(nr))
			return 0;
	}
	call = bpf_task_storage_get(&open_calls, task, NULL,
				    selected ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!call) {
		if (selected)
			otel_lose(task_storage);
		return 0;
	}
	if (call->epoch != otel_filter.epoch) {
		call->epoch = otel_filter.epoch;
		call->start = 0;
		call->n_stopped = 0;
	}
	/* The handlers of an interrupted call had others in between. */
	if (events)
		otel_trace__current(&call->trace);
	if (call->n_stopped && call__resume(call, nr, PT_REGS_SP(regs)))
		return 0;
	if (call->start)
		otel_lose(exit_unseen);
	call->start = 0;
	if (!selected)
		return 0;
	call->nr = nr;
	if (events)
		call->boot = bpf_ktime_get_boot_ns();
	call->start = bpf_ktime_get_ns(); /* last: our own work is not the call's */
	return 0;
}

SEC("tp_btf/sys_exit")
int OTEL_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	struct call *call;
	__u64 start, now;

	if (!is_my_turn())
		return 0;
	call = bpf_task_storage_get(&open_calls, bpf_get_current_task_btf(), NULL, 0);
	if (call && call->n_stopped)
		call__see_return(call, regs);
	if (!call || !call->start || call->epoch != otel_filter.epoch) {
		entry_unseen(call, regs, ret);
		return 0;
	}
	now = bpf_ktime_get_ns(); /* not before: what is filtered out pays for no clock */
	start = call->start;
	if (ret < 0) {
		if (syscall__gives_back(call->nr)) {
			ret = 0;
		} else if (syscall__restarts(ret)) {
			call__stop(call, regs, ret);
			return 0;
		}
	}
	call->start = 0;
	/* The clock may be a few ns behind another CPU's. */
	now = now > start ? now - start : 0;
	record(call->nr, now, ret);
	if (events && now >= slow_us * 1000ULL)
		slow_call(call, call->nr, otel_event__took(now, call->boot), ret);
	return 0;
}

SEC("tp_btf/signal_deliver")
int OTEL_PROG(signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *ka)
{
	if (is_my_turn())
		on_signal(ka);
	return 0;
}

SEC("tp_btf/sched_process_exit")
int OTEL_PROG(process_exit, struct task_struct *task)
{
	struct call *call;

	if (!is_my_turn())
		return 0;
	call = bpf_task_storage_get(&open_calls, task, NULL, 0);
	if (call && call->epoch == otel_filter.epoch)
		count_total(unreturned, !!call->start + call->n_stopped);
	return 0;
}
