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

/* enum otel_usdt_kind - where an argument of a USDT probe is */
enum otel_usdt_kind {
	OTEL_USDT_NONE,
	OTEL_USDT_CONSTANT,
	OTEL_USDT_REGISTER,
	OTEL_USDT_MEMORY,  /* at base + value */
	OTEL_USDT_INDEXED, /* at base + index * scale + value */
};

/**
 * struct otel_usdt_arg - an argument of a USDT probe, at one of its places
 * @value:     the constant, or what is added to an address
 * @kind:      an enum otel_usdt_kind
 * @size:      of it in bytes: 1, 2, 4, 8
 * @is_signed: to be extended by its sign
 * @scale:     of the index
 * @base:      register, as an offset in struct pt_regs
 * @index:     another
 */
struct otel_usdt_arg {
	__s64 value;
	__u8 kind;
	__u8 size;
	__u8 is_signed;
	__u8 scale;
	__u16 base;
	__u16 index;
};
_Static_assert(sizeof(struct otel_usdt_arg) == 16, "otel_usdt_arg has a hole");

/** struct otel_usdt_site - a place of a USDT probe; in the map "usdt_sites", by its hash */
#define OTEL_USDT_ARGS 6
struct otel_usdt_site {
	struct otel_usdt_arg arg[OTEL_USDT_ARGS];
};

/**
 * struct otel_usdt_carrier - a program that has USDT probes, as its processes know it: in the map
 * "usdt_carriers"
 * @inode: its number
 * @size:  in bytes; instead of the device, as not every file system tells the same to both sides
 */
struct otel_usdt_carrier {
	__u64 inode;
	__u64 size;
};

/**
 * struct otel_guard - the only entry of the map "guard", of a probe that watches its own cost
 * @spent_ns:     CPU time that tracing has taken
 * @ran_ns:       CPU time of the threads that were traced
 * @sample_bytes: as the guard has set it; 0: as it was asked for
 * @stopped:      1: the programs return at once: the probe is to be detached
 * @trap_ns:      what one trap costs
 * @own:          the programs' own
 *
 * When the loader attaches it clears @sample_bytes and @stopped, and measures @trap_ns; also when a
 * watch attaches to what came later.
 */
struct otel_guard {
	__u64 spent_ns;
	__u64 ran_ns;
	__u64 sample_bytes;
	__u64 stopped;
	__u64 trap_ns;
	__u64 own[4];
};

#endif
