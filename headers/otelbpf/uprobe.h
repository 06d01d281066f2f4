/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Functions of user space: what BPF programs and the loader share. See uprobe.bpf.h. */
#ifndef OTELBPF_UPROBE_ABI_H
#define OTELBPF_UPROBE_ABI_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/**
 * struct otel_targets - whose functions; the only entry of the map "targets"
 * @pid:    a process: the files that it has mapped; 0: none
 * @pad:    zero
 * @binary: a file, or a pattern of files, for every process that maps it; "": none
 * @prefixes: comma separated; functions have these before their names in some files
 *
 * What to look for and not where it is, so that attaching again finds what is there then.
 */
struct otel_targets {
	__u32 pid;
	__u32 pad;
	char binary[256];
	char prefixes[64];
};

#endif
