/* SPDX-License-Identifier: GPL-2.0-only */
/* System call numbers of the architecture and of its 32-bit callers. */
#ifndef OTELBPF_SYSCALL_ABI_H
#define OTELBPF_SYSCALL_ABI_H

#include "syscall_nr.h" /* made by scripts/gen-syscalls */

/* A number in a key: the call's own, with this bit when the caller is a 32-bit one. */
#define SYSCALL_COMPAT (1U << 31)

/* Filter bits: 1024 native numbers, 1024 of 32-bit callers. */
#define SYSCALL_SET_NATIVE 1024
#define SYSCALL_SET_WORDS (2 * SYSCALL_SET_NATIVE / 64)

/*
 * A program may ask for any number. What no kernel of the near future has is one
 * number to us, or anybody could fill the tables (and hide from a filter: 1083 is
 * 59 in ten bits).
 */
#define SYSCALL_OTHER (SYSCALL_SET_NATIVE - 1)
#define SYSCALL_FUTURE 64 /* calls that a newer kernel may have, beyond the headers' last */

/* What include/linux/errno.h and include/linux/err.h keep from user space. */
#define ERESTARTSYS 512
#define ERESTARTNOINTR 513
#define ERESTARTNOHAND 514
#define ERESTART_RESTARTBLOCK 516
#define MAX_ERRNO 4095
#define EINTR 4
#define SA_RESTART 0x10000000UL

#if defined(__TARGET_ARCH_x86)
#define TS_COMPAT 0x0002 /* arch/x86/include/asm/thread_info.h: a 32-bit call is under way */
#define NATIVE(call) NR_x86_64_##call
#define NATIVE_END (NR_MAX_x86_64 + SYSCALL_FUTURE)
#define COMPAT_END (NR_MAX_i386 + SYSCALL_FUTURE)
/* 6.11; not in older headers. Gives the probed function's own register back. */
#define NR_x86_64_uretprobe 335
#define COMPAT(call) (NR_i386_##call | SYSCALL_COMPAT)
#elif defined(__TARGET_ARCH_arm64)
#define TIF_32BIT 22 /* arch/arm64/include/asm/thread_info.h */
#define NATIVE(call) NR_arm64_##call
#define NATIVE_END (NR_MAX_arm64 + SYSCALL_FUTURE)
#define COMPAT_END NATIVE_END /* the newer calls have the same numbers */
/* arm's EABI numbers are stable; no arm64 header lists them (arch/arm/tools/syscall.tbl) */
#define NR_arm_restart_syscall 0
#define NR_arm_fork 2
#define NR_arm_sigreturn 119
#define NR_arm_clone 120
#define NR_arm_rt_sigreturn 173
#define NR_arm_vfork 190
#define NR_arm_clone3 435
#define COMPAT(call) (NR_arm_##call | SYSCALL_COMPAT)
#else
#error "no system call numbers for this architecture"
#endif

static __always_inline _Bool syscall__is_compat(struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return task->thread_info.status & TS_COMPAT;
#else
	return task->thread_info.flags & (1UL << TIF_32BIT);
#endif
}

static __always_inline __u32 syscall__number(long id, struct task_struct *task)
{
	_Bool compat = syscall__is_compat(task);
	__u32 nr = id;

	if (nr >= (compat ? COMPAT_END : NATIVE_END))
		nr = SYSCALL_OTHER;
	return nr | (compat ? SYSCALL_COMPAT : 0);
}

static __always_inline __u32 syscall__of_regs(struct pt_regs *regs, struct task_struct *task)
{
#if defined(__TARGET_ARCH_x86)
	return syscall__number((int)regs->orig_ax, task);
#else
	return syscall__number(regs->syscallno, task);
#endif
}

static __always_inline __u32 syscall_set__bit(__u32 nr)
{
	return (nr & (SYSCALL_SET_NATIVE - 1)) | (nr & SYSCALL_COMPAT ? SYSCALL_SET_NATIVE : 0);
}

/*
 * The word of a set that holds a bit. The mask says nothing new, but 6.1's verifier
 * loses the bound in the OR above and wants to see it right before the access.
 */
static __always_inline __u32 syscall_set__word(__u32 bit)
{
	__u32 word = bit / 64;

	barrier_var(word);
	return word & (SYSCALL_SET_WORDS - 1);
}

static __always_inline _Bool syscall__restarts(__s64 ret)
{
	return ret == -ERESTARTSYS || ret == -ERESTARTNOINTR || ret == -ERESTARTNOHAND ||
	       ret == -ERESTART_RESTARTBLOCK;
}

/*
 * To restart a call the kernel moves the instruction pointer back by the length of
 * the instruction that made it.
 */
static __always_inline _Bool syscall__rewound(__u64 distance)
{
#if defined(__TARGET_ARCH_x86)
	return distance == 2; /* syscall, int 0x80 */
#else
	return distance == 4 || distance == 2; /* svc; Thumb's */
#endif
}

/* Whether that has happened in a task that is about to get a signal. */
static __always_inline _Bool syscall__is_rewound(struct task_struct *task, __u64 ip)
{
#if defined(__TARGET_ARCH_x86)
	struct pt_regs *regs = (struct pt_regs *)bpf_task_pt_regs(task);

	return regs->ip != ip;
#else
	return 0;			       /* it has in any case: the registers do not tell */
#endif
}

static __always_inline _Bool syscall__is_restart(__u32 nr)
{
	return nr == NATIVE(restart_syscall) || nr == COMPAT(restart_syscall);
}

/* Calls that give back a register of the interrupted code, no result of their own. */
static __always_inline _Bool syscall__gives_back(__u32 nr)
{
	return nr == NATIVE(rt_sigreturn) || nr == COMPAT(rt_sigreturn) || nr == COMPAT(sigreturn)
#if defined(__TARGET_ARCH_x86)
	       || nr == NATIVE(uretprobe)
#endif
		;
}

static __always_inline _Bool syscall__is_fork(__u32 nr)
{
	return nr == NATIVE(clone) || nr == NATIVE(clone3) || nr == COMPAT(clone) ||
	       nr == COMPAT(clone3) || nr == COMPAT(fork) || nr == COMPAT(vfork)
#if defined(__TARGET_ARCH_x86)
	       || nr == NATIVE(fork) || nr == NATIVE(vfork)
#endif
		;
}

#endif
