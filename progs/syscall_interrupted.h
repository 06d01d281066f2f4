/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * System calls that a signal interrupts: which of them go on, and which have ended.
 *
 * Part of syscalls.bpf.c, which includes it behind its losses, totals, record() and slow_call().
 */
#ifndef OTELBPF_SYSCALL_INTERRUPTED_H
#define OTELBPF_SYSCALL_INTERRUPTED_H

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
	__u64 boot;
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
	__u64 boot; /* the same on CLOCK_BOOTTIME; with events only */
	__u32 nr;
	__u32 epoch;
	__u32 n_stopped;
	__u32 turn;		 /* the slot for upgrades */
	struct otel_trace trace; /* the thread's when it entered; with events only */
	struct stopped stopped[STOPPED_MAX];
};

struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct call);
} open_calls SEC(".maps");

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
	call->boot = stopped->boot;
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
		stopped->boot = call->boot;
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
	if (call->epoch == otel_filter.epoch) {
		__u64 ns = bpf_ktime_get_ns() - stopped->start;

		record(stopped->nr, ns, -EINTR);
		if (events && ns >= slow_us * 1000ULL)
			slow_call(call, stopped->nr, otel_event__took(ns, stopped->boot), -EINTR);
	}
}

#endif
