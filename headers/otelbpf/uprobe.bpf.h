/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs on functions of user space.
 *
 *	OTEL_TARGETS("malloc");
 *
 *	SEC("uprobe") OTEL_FUNCTIONS("malloc,valloc")
 *	int OTEL_UPROBE(enter, __u64 size) { ... }
 *
 * The loader looks the functions up by name in the files of the process or in the binary that
 * the options "pid", "cgroup" and "binary" name, as far as these files define one of
 *OTEL_TARGETS(). SEC("uretprobe") is for their return, SEC("?uprobe.session") for both: see
 *OTEL_HOOK() for an alternative, as only 6.13 has that.
 */
#ifndef OTELBPF_UPROBE_BPF_H
#define OTELBPF_UPROBE_BPF_H

#include "tags.h"
#include "uprobe.h"

/**
 * OTEL_FUNCTIONS - the functions that a uprobe or uretprobe program is for
 * @names: comma separated, a string literal; at most 117 characters. '*' and '[...]' as in a
 * shell's file names. Those that a file does not define are left out.
 *
 * The program may be put on an instruction behind the first one, which the kernel can emulate
 * instead of single-stepping it: registers for arguments and the stack pointer are then what they
 * were at the entry. Others may not be.
 */
#define OTEL_FUNCTIONS(names) OTEL_TAG("functions|" names)

/**
 * OTEL_TARGETS - declare the options "pid", "binary", "cgroup" and "prefixes" and the map that
 * keeps them
 * @names: functions, comma separated: files that define none of them are left alone
 * @known: what is known to stand before such names, comma separated, or ""
 */
#define OTEL_TARGETS(names, known)                                                                \
	struct {                                                                                  \
		__uint(type, BPF_MAP_TYPE_ARRAY);                                                 \
		__uint(max_entries, 1);                                                           \
		__type(key, __u32);                                                               \
		__type(value, struct otel_targets);                                               \
	} targets SEC(".maps") OTEL_TAG("targets|" names);                                        \
	const volatile __u32 pid OTEL_OPTION("0..4194304", "", "Process to trace; 0: see binary") \
		OTEL_TAG("target_pid") = 0;                                                       \
	const volatile char binary[256] OTEL_OPTION(                                              \
		"0..255", "", "File whose functions are traced, in every process; or a pattern")  \
		OTEL_TAG("target_binary") = "";                                                   \
	const volatile char cgroup[256] OTEL_OPTION(                                              \
		"0..255", "", "Cgroup whose processes are traced, in the files that they map")    \
		OTEL_TAG("target_cgroup") = "";                                                   \
	const volatile char prefixes[64] OTEL_OPTION(                                             \
		"0..63", "", "Functions are known by their names with one of these before, too")  \
		OTEL_TAG("target_prefixes") = known

/*
 * The kernel lets these programs be preempted, with the task kept on its CPU, so another task's
 * may run in the middle of one. From 6.10 on that can be ruled out.
 */
static __always_inline void otel_uprobe_begin(void)
{
	if (bpf_preempt_disable)
		bpf_preempt_disable();
}

static __always_inline void otel_uprobe_end(void)
{
	if (bpf_preempt_disable)
		bpf_preempt_enable();
}

/**
 * otel_uprobe__is_return - in a session's program: whether it runs at the function's return
 *
 * There it is on the return address, at the entry on the probed instruction. (The kernel's
 * bpf_session_is_return() says so, too, but its prototype is not the same in all releases.)
 */
static __always_inline _Bool otel_uprobe__is_return(struct pt_regs *ctx)
{
	return bpf_get_func_ip(ctx) != PT_REGS_IP(ctx);
}

/** OTEL_UPROBE() - BPF_KPROBE() for a program that is not preempted where the kernel allows it */
#define OTEL_UPROBE(name, ...)                                        \
	name(struct pt_regs *ctx);                                    \
	static __always_inline int name##__body(struct pt_regs *ctx); \
	int name(struct pt_regs *ctx)                                 \
	{                                                             \
		int ret;                                              \
                                                                      \
		otel_uprobe_begin();                                  \
		ret = name##__body(ctx);                              \
		otel_uprobe_end();                                    \
		return ret;                                           \
	}                                                             \
	static __always_inline int BPF_KPROBE(name##__body, ##__VA_ARGS__)

#endif
