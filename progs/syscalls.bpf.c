// SPDX-License-Identifier: GPL-2.0-only
/*
 * System calls: duration and errors, by call and cgroup.
 *
 *   sys_enter       filter → note the start in the task's storage
 *   sys_exit        start? → duration into the histogram, failure into errors
 *   signal_deliver  an interrupted call that will not be restarted ends as EINTR
 *   process_exit    a call that never returned (exit_group, killed) is counted as such
 *
 * Both system call tracepoints run in the calling task, never in an interrupt, and
 * otel_cpu_begin() sees to it that no other task comes in between: a program is never
 * interrupted by another instance of itself on its CPU, so per-CPU values need no
 * atomics. A task may migrate between entry and exit: the start time is the task's,
 * not the CPU's.
 */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>

#include "syscall_abi.h"

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 per_cgroup OTEL_OPTION("0..1", "", "Keep one series for each cgroup") = 1;

/* 2 x 1024 numbers: native calls, then those of 32-bit callers. */
__u64 syscall_set[SYSCALL_SET_WORDS] SEC(".data.filter") OTEL_FILTER_SET(syscall);

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(task_storage)	  /* no memory for a task's start time */
	OTEL_LOSS(entry_unseen)	  /* under way when tracing began; ended unmeasured */
	OTEL_LOSS(exit_unseen)	  /* another call began before its end was seen */
	OTEL_LOSS(nested_restart) /* interrupted calls, more than STOPPED_MAX deep */
	OTEL_LOSS(out_of_range)	  /* longer than 2^20 s */
);
/* clang-format on */

/*
 * A call that a signal interrupts leaves the kernel with one of the ERESTART codes,
 * which the caller never sees: either the kernel restarts it (the same call goes on,
 * seen as one), or a handler without SA_RESTART turns the code into EINTR. Until that
 * is known the call is kept here.
 */
enum stopped_state {
	STOPPED_UNDECIDED,  /* restarted by the very next entry, unless a handler runs */
	STOPPED_IN_HANDLER, /* restarted when the handler returns */
	STOPPED_RESTARTING, /* the handler has returned: restarted by the very next entry */
};

struct stopped {
	__u64 start;
	__u64 ip;
	__u64 sp;
	__s32 code;
	__u32 nr;
	__u32 state;
	__u32 pad;
};

/* A handler's own calls may be interrupted in turn. */
#define STOPPED_MAX 4

/*
 * A call's way through its task. Written by the task itself only.
 * @start is 0 while no measured call is open; of the stopped calls the last is the
 * innermost, and all but that are in their handlers.
 */
struct call {
	__u64 start;
	__u32 nr;
	__u32 epoch;
	__u32 n_stopped;
	__u32 pad;
	struct stopped stopped[STOPPED_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} open_calls SEC(".maps");

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

/* The innermost stopped call. Masked again right before the access, for the verifier. */
static __always_inline struct stopped *call__stopped(struct call *call)
{
	__u32 top = call->n_stopped - 1;

	if (top >= STOPPED_MAX)
		return NULL;
	barrier_var(top);
	return &call->stopped[top & (STOPPED_MAX - 1)];
}

/*
 * A task with a stopped call enters another one. Returns true when this is the
 * stopped call that goes on, whose start and number are then in place: the kernel
 * executes the call again, or restart_syscall(2) in its stead.
 */
static __noinline int call__resume(struct call *call, __u32 nr, __u64 sp)
{
	struct stopped *stopped = call__stopped(call);

	if (!stopped || stopped->state == STOPPED_IN_HANDLER)
		return 0; /* the handler's own call */
	call->n_stopped--;
	if (sp != stopped->sp || (nr != stopped->nr && !syscall__is_restart(nr))) {
		count_total(unreturned, 1); /* a tracer changed the registers */
		return 0;
	}
	call->start = stopped->start;
	call->nr = stopped->nr;
	return 1;
}

static __noinline int call__stop(struct call *call, struct pt_regs *regs, __s32 code)
{
	struct stopped *stopped;
	__u64 sp = PT_REGS_SP(regs);

	/* Stacks grow down: what is not above us was left by siglongjmp. */
	for (int i = 0; i < STOPPED_MAX; i++) {
		stopped = call__stopped(call);
		if (!stopped || stopped->sp > sp)
			break;
		count_total(unreturned, 1);
		call->n_stopped--;
	}
	call->n_stopped++;
	stopped = call__stopped(call);
	if (!stopped) {
		call->n_stopped = STOPPED_MAX;
		otel_lose(nested_restart);
	} else {
		stopped->start = call->start;
		stopped->ip = PT_REGS_IP(regs);
		stopped->sp = sp;
		stopped->code = code;
		stopped->nr = call->nr;
		stopped->state = STOPPED_UNDECIDED;
	}
	call->start = 0;
	return 0;
}

/*
 * sigreturn from the handler that interrupted the call: the registers are back at
 * the call's own instruction, where the kernel had put them. A handler that leaves
 * by siglongjmp never comes here, so the same call made again is not taken for it;
 * with it go the calls that were stopped inside of that handler.
 */
static __noinline int call__see_return(struct call *call, struct pt_regs *regs)
{
	__u64 ip = PT_REGS_IP(regs), sp = PT_REGS_SP(regs);
	struct stopped *top = call__stopped(call);

	/* The next entry was to be the restart, and a filter has kept it from us. */
	if (top && !call->start && top->state != STOPPED_IN_HANDLER) {
		count_total(unreturned, 1);
		call->n_stopped--;
		return 0;
	}

	for (__u32 i = STOPPED_MAX; i > 0; i--) {
		struct stopped *stopped = &call->stopped[i - 1];

		if (i > call->n_stopped || stopped->sp != sp || !syscall__rewound(stopped->ip - ip))
			continue;
		count_total(unreturned, call->n_stopped - i);
		call->n_stopped = i;
		stopped->state = STOPPED_RESTARTING;
		break;
	}
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

static __always_inline void on_enter(struct pt_regs *regs, long id)
{
	struct task_struct *task;
	_Bool selected = 1;
	struct call *call;
	__u32 nr, bit;

	if (!otel_filter__pass())
		return;
	task = bpf_get_current_task_btf();
	nr = syscall__number(id, task);
	if (otel_filter.flags & OTEL_FILTER_F(OTEL_FILTER_SET)) {
		bit = syscall_set__bit(nr);
		selected = (syscall_set[syscall_set__word(bit)] >> (bit % 64)) & 1;
		if (!selected && !syscall__is_restart(nr))
			return;
	}
	call = bpf_task_storage_get(&open_calls, task, NULL,
				    selected ? BPF_LOCAL_STORAGE_GET_F_CREATE : 0);
	if (!call) {
		if (selected)
			otel_lose(task_storage);
		return;
	}
	if (call->epoch != otel_filter.epoch) {
		call->epoch = otel_filter.epoch;
		call->start = 0;
		call->n_stopped = 0;
	}
	if (call->n_stopped && call__resume(call, nr, PT_REGS_SP(regs)))
		return;
	if (call->start)
		otel_lose(exit_unseen);
	call->start = 0;
	if (!selected)
		return;
	call->nr = nr;
	call->start = bpf_ktime_get_ns(); /* last: our own work is not the call's */
}

SEC("tp_btf/sys_enter")
int BPF_PROG(sys_enter, struct pt_regs *regs, long id)
{
	otel_cpu_begin();
	on_enter(regs, id);
	otel_cpu_end();
	return 0;
}

static __always_inline void on_exit(struct pt_regs *regs, long ret)
{
	struct call *call;
	__u64 start, now;

	call = bpf_task_storage_get(&open_calls, bpf_get_current_task_btf(), NULL, 0);
	if (call && call->n_stopped)
		call__see_return(call, regs);
	if (!call || !call->start || call->epoch != otel_filter.epoch) {
		entry_unseen(call, regs, ret);
		return;
	}
	now = bpf_ktime_get_ns(); /* not before: what is filtered out pays for no clock */
	start = call->start;
	if (ret < 0) {
		if (syscall__gives_back(call->nr)) {
			ret = 0;
		} else if (syscall__restarts(ret)) {
			call__stop(call, regs, ret);
			return;
		}
	}
	call->start = 0;
	/* The clock may be a few ns behind another CPU's. */
	record(call->nr, now > start ? now - start : 0, ret);
}

SEC("tp_btf/sys_exit")
int BPF_PROG(sys_exit, struct pt_regs *regs, long ret)
{
	otel_cpu_begin();
	on_exit(regs, ret);
	otel_cpu_end();
	return 0;
}

/*
 * The first handler after the interruption decides about the call; what comes
 * later interrupts that handler. The decision is the kernel's, in its
 * handle_signal(): ERESTARTNOHAND and ERESTART_RESTARTBLOCK become EINTR,
 * ERESTARTSYS does unless the handler has SA_RESTART, ERESTARTNOINTR never.
 *
 * A signal that comes when the kernel has already put the registers back at the call
 * decides nothing any more. (arm64 puts them back before it looks for signals, so
 * there this rare case still counts as EINTR and another call.)
 */
static __always_inline void on_signal(struct k_sigaction *ka)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct stopped *stopped;
	struct call *call;
	_Bool restarts;

	call = bpf_task_storage_get(&open_calls, task, NULL, 0);
	stopped = call ? call__stopped(call) : NULL;
	if (!stopped || stopped->state == STOPPED_IN_HANDLER)
		return;
	/* SIG_DFL, SIG_IGN: no handler runs. A fatal one is counted at the task's exit. */
	if ((unsigned long)ka->sa.sa_handler <= 1)
		return;
	restarts = stopped->state == STOPPED_RESTARTING || stopped->code == -ERESTARTNOINTR ||
		   (stopped->code == -ERESTARTSYS && (ka->sa.sa_flags & SA_RESTART)) ||
		   syscall__is_rewound(task, stopped->ip);
	if (restarts) {
		stopped->state = STOPPED_IN_HANDLER;
		return;
	}
	call->n_stopped--;
	if (call->epoch == otel_filter.epoch)
		record(stopped->nr, bpf_ktime_get_ns() - stopped->start, -EINTR);
}

SEC("tp_btf/signal_deliver")
int BPF_PROG(signal_deliver, int sig, struct kernel_siginfo *info, struct k_sigaction *ka)
{
	otel_cpu_begin();
	on_signal(ka);
	otel_cpu_end();
	return 0;
}

static __always_inline void on_process_exit(struct task_struct *task)
{
	struct call *call = bpf_task_storage_get(&open_calls, task, NULL, 0);

	if (call && call->epoch == otel_filter.epoch)
		count_total(unreturned, !!call->start + call->n_stopped);
}

SEC("tp_btf/sched_process_exit")
int BPF_PROG(process_exit, struct task_struct *task)
{
	otel_cpu_begin();
	on_process_exit(task);
	otel_cpu_end();
	return 0;
}
