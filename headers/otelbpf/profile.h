/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Profiles: what BPF programs and the exporter share. See profile.bpf.h. */
#ifndef OTELBPF_PROFILE_ABI_H
#define OTELBPF_PROFILE_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define OTEL_STACK_DEPTH \
	127 /* kernel.perf_event_max_stack's default, and its limit for user stacks */
#define OTEL_STACK_USER 1
#define OTEL_STACK_KERNEL 2

/**
 * struct otel_window - windows of a profile
 * @current:  the open window's number
 * @done:     windows below this number have been acknowledged: what is left of them is
 *            deleted, never sent again
 * @start_ns: when the windows with even and odd numbers began, UTC since 1970
 */
struct otel_window {
	__u32 current;
	__u32 done;
	__u64 start_ns[2];
};

struct otel_stack_key {
	__u64 hash;
	__u32 window;
	__u32 pad;
};

#define OTEL_STACK_SHORT 32
#define OTEL_STACK_USUAL 48 /* most are shorter */

/**
 * struct otel_stack - frames, leaf first
 * @n:      how many
 * @kind:   OTEL_STACK_USER or OTEL_STACK_KERNEL
 * @frames: kernel: addresses. User: otel_frame__make(), or an address with
 *          OTEL_FRAME_ADDRESS where the file has no build id
 *
 * A table's value may have room for fewer frames; its size says for how many.
 */
struct otel_stack {
	__u32 n;
	__u32 kind;
	__u64 frames[OTEL_STACK_DEPTH];
};

/** struct otel_stack_short - the same with less room: what is not there need not be copied */
struct otel_stack_short {
	__u32 n;
	__u32 kind;
	__u64 frames[OTEL_STACK_SHORT];
};

struct otel_stack_usual {
	__u32 n;
	__u32 kind;
	__u64 frames[OTEL_STACK_USUAL];
};

#define OTEL_FRAME_ADDRESS (1ULL << 63)
#define OTEL_FRAME_OFFSET_BITS 40

/** otel_frame__make - mapping's number and file offset in one number */
static inline __u64 otel_frame__make(__u64 mapping, __u64 offset)
{
	return mapping << OTEL_FRAME_OFFSET_BITS |
	       (offset & ((1ULL << OTEL_FRAME_OFFSET_BITS) - 1));
}

/* A GNU build id, zero padded. */
struct otel_build_id {
	__u8 bytes[20];
};

/**
 * struct otel_process_id - a process, and not another that got its number later
 * @pid:      tgid
 * @exec:     how many times it has called execve(2): another program each time
 * @start_ns: its start on CLOCK_BOOTTIME
 */
struct otel_process_id {
	__u32 pid;
	__u32 exec;
	__u64 start_ns;
};

#define OTEL_PATH_LEVELS 10
#define OTEL_PATH_NAME 64

/**
 * struct otel_path - a file's path in the mount namespace that it was seen in
 * @name: components, the file's own name first; empty ones mean nothing
 */
struct otel_path {
	char name[OTEL_PATH_LEVELS][OTEL_PATH_NAME];
};

/**
 * struct otel_process - a process as it was when it was first sampled
 * @cgroup: cgroup v2 id
 * @comm:   of its first thread
 * @path:   of its program
 */
struct otel_process {
	__u64 cgroup;
	char comm[16];
	struct otel_path path;
};

#endif
