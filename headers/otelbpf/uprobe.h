/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Functions of user space: what BPF programs and the loader share. See uprobe.bpf.h. */
#ifndef OTELBPF_UPROBE_ABI_H
#define OTELBPF_UPROBE_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

#define OTEL_TARGET_MAX 256

/**
 * struct otel_targets - whose functions; the only entry of the map "targets"
 * @pid:    a process: the files that it has mapped; 0: none
 * @pad:    zero
 * @binary: a file, or a pattern of files, for every process that maps it; "": none
 * @cgroup: the files that its processes have mapped, for every process that maps them: the filter
 *          is for who is measured; "": none
 * @prefixes: comma separated; functions have these before their names in some files
 *
 * What to look for and not where it is, so that attaching again finds what is there then.
 */
struct otel_targets {
	__u32 pid;
	__u32 pad;
	char binary[OTEL_TARGET_MAX];
	char cgroup[OTEL_TARGET_MAX];
	char prefixes[64];
};

/**
 * struct otel_guard - the only entry of the map "guard", of a probe that watches its own cost
 * @spent_ns:     CPU time that tracing has taken
 * @ran_ns:       CPU time of the threads that were traced
 * @sample_bytes: as the guard has set it; 0: as it was asked for
 * @stopped:      1: the programs return at once: the probe is to be detached
 * @own:          the programs' own
 *
 * The loader clears @sample_bytes and @stopped when it attaches.
 */
struct otel_guard {
	__u64 spent_ns;
	__u64 ran_ns;
	__u64 sample_bytes;
	__u64 stopped;
	__u64 own[4];
};

#endif
