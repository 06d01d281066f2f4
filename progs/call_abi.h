/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Where a call leaves the address that it returns to: on x86_64 on the stack, from which the
 * return takes it off; on arm64 in a register, and where its function keeps that is not known.
 */
#ifndef OTELBPF_CALL_ABI_H
#define OTELBPF_CALL_ABI_H

#if defined(__TARGET_ARCH_x86)
#define CALL_PUSHES sizeof(__u64)

/* @address: 0 before. At the function's entry. */
static __always_inline void call__return_address(struct pt_regs *ctx, __u64 *address)
{
	bpf_probe_read_user(address, sizeof(*address), (void *)PT_REGS_SP(ctx));
}

/* What is now where a call at @sp left @left; @left itself where that cannot be known. */
static __always_inline void call__left_address(__u64 sp, __u64 left, __u64 *address)
{
	bpf_probe_read_user(address, sizeof(*address), (void *)sp);
}
#elif defined(__TARGET_ARCH_arm64)
#define CALL_PUSHES 0

static __always_inline void call__return_address(struct pt_regs *ctx, __u64 *address)
{
	*address = PT_REGS_RET(ctx);
}

static __always_inline void call__left_address(__u64 sp, __u64 left, __u64 *address)
{
	*address = left;
}
#else
#error "where a call leaves its return address"
#endif

#endif
