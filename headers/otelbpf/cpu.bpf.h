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
#include <bpf/bpf_tracing.h>

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

/*
 * From here to otel_cpu_end() this CPU runs no other task. Costs nothing where the
 * kernel does it by itself.
 */
static __always_inline void otel_cpu_begin(void)
{
	if (otel_cpu__is_shared())
		bpf_preempt_disable();
}

/*
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

/**
 * OTEL_PROG() - BPF_PROG() for a program on a tracepoint that no other task interrupts
 * @name: the program's
 * @...:  its arguments
 *
 *	SEC("tp_btf/sys_enter")
 *	int OTEL_PROG(sys_enter, struct pt_regs *regs, long id)
 *	{
 *		return 0;
 *	}
 *
 * As with BPF_PROG(), the body also has ctx. It may return wherever it likes.
 *
 * Where the kernel keeps other tasks off by itself, as up to 6.18, and in any case for
 * kprobes, perf events and XDP, this is the same as BPF_PROG(). It never did so for
 * fentry and fexit: per-CPU values there want atomics, since 6.1 has no such call.
 * Interrupts and NMIs still come in between.
 *
 * It cannot cover the kernel's own few instructions around a program. A task that is
 * preempted there still keeps the others from running it; the kernel counts that and
 * otelbpf status tells it.
 */
#define OTEL_PROG(name, ...)                                              \
	name(unsigned long long *ctx);                                    \
	static __always_inline int name##__body(unsigned long long *ctx); \
	int name(unsigned long long *ctx)                                 \
	{                                                                 \
		int ret;                                                  \
                                                                          \
		otel_cpu_begin();                                         \
		ret = name##__body(ctx);                                  \
		otel_cpu_end();                                           \
		return ret;                                               \
	}                                                                 \
	static __always_inline int BPF_PROG(name##__body, ##__VA_ARGS__)

#endif
