/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * One CPU to itself: why a per-CPU value needs no atomics.
 *
 * A tracepoint's program runs with preemption disabled, up to 6.18. Newer kernels
 * have sleepable RCU around tracepoints and only keep the task on its CPU. There a
 * task that is preempted in the middle of a program
 *
 * - loses what another task's program adds to the same per-CPU value meanwhile, and
 * - keeps this program from running at all on that CPU until it gets on: the kernel
 *   takes the second task's run for a recursion (recursion_misses).
 *
 * The second is by far the worse: with eight tasks on one CPU that do nothing but
 * system calls, nine calls of ten were not seen. So not only the update but the whole
 * program has to be one piece.
 */
#ifndef OTELBPF_CPU_BPF_H
#define OTELBPF_CPU_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

extern void bpf_preempt_disable(void) __ksym __weak;
extern void bpf_preempt_enable(void) __ksym __weak;
extern void bpf_local_irq_save(unsigned long *flags) __ksym __weak;
extern void bpf_local_irq_restore(unsigned long *flags) __ksym __weak;

/* The guard that tracepoints are under since they can be preempted. */
typedef struct {
} class_srcu_fast_notrace_t___otel;

/* Known when the program is loaded: the verifier removes what is not for this kernel. */
static __always_inline _Bool otel_cpu__is_shared(void)
{
	return bpf_core_type_exists(class_srcu_fast_notrace_t___otel);
}

/**
 * otel_cpu_begin - from here to otel_cpu_end() this CPU runs no other task
 *
 * First of all in every program on a tracepoint; the work itself goes into a
 * function, so that otel_cpu_end() is on each path:
 *
 *	SEC("tp_btf/sys_enter")
 *	int BPF_PROG(sys_enter, struct pt_regs *regs, long id)
 *	{
 *		otel_cpu_begin();
 *		enter(regs, id);
 *		otel_cpu_end();
 *		return 0;
 *	}
 *
 * Costs nothing where the kernel does it by itself, as it does for kprobes, perf
 * events and XDP. It never did for fentry and fexit: per-CPU values there want
 * atomics, since 6.1 has no such call. Interrupts and NMIs still come in between.
 *
 * It cannot cover the kernel's own few instructions around a program. A task that is
 * preempted there still keeps the others from running it; the kernel counts that and
 * otelbpf status tells it.
 */
static __always_inline void otel_cpu_begin(void)
{
	if (otel_cpu__is_shared())
		bpf_preempt_disable();
}

/**
 * otel_cpu_end - the end of what otel_cpu_begin() began
 *
 * Enabling preemption would at once switch to a task that has become due, while the
 * kernel still holds this program as running. With interrupts off it does not: the
 * switch is left to the next occasion, on the way back to user space at the latest.
 */
static __always_inline void otel_cpu_end(void)
{
	unsigned long flags;

	if (otel_cpu__is_shared()) {
		bpf_local_irq_save(&flags);
		bpf_preempt_enable();
		bpf_local_irq_restore(&flags);
	}
}

#endif
