/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the loader writes beside every probe, and what it shares with the
 * programs. Included by BPF programs (through otel.bpf.h) and by user space.
 */
#ifndef OTELBPF_META_H
#define OTELBPF_META_H

#ifndef __VMLINUX_H__
#include <linux/types.h>
#endif

/* Changes when a struct of this file changes its layout or its meaning. */
#define OTEL_ABI_VERSION 1

#define OTEL_PROBE_NAME_MAX 32
#define OTEL_PROGRAM_NAME_MAX 64
#define OTEL_SECTION_MAX 128
#define OTEL_PROGRAMS_MAX 64
#define OTEL_COMM_LEN 16

enum otel_state {
	OTEL_STATE_LOADING = 0,
	OTEL_STATE_RUNNING = 1,
	OTEL_STATE_PAUSED = 2,
};

/**
 * struct otel_meta - one probe, as loaded; the only entry of the map "meta"
 * @abi:              OTEL_ABI_VERSION
 * @state:            enum otel_state
 * @load_realtime_ns: when counting began, ns since 1970 UTC: the start time of
 *                    every cumulative metric of the probe. Kept over an upgrade.
 * @load_boottime_ns: the same instant on CLOCK_BOOTTIME
 * @probe:            name of the probe's directory
 * @version:          version of the loader that wrote this
 * @object:           absolute path of the object file
 * @options:          what --set changed, "key=value key=value"
 */
struct otel_meta {
	__u32 abi;
	__u32 state;
	__u64 load_realtime_ns;
	__u64 load_boottime_ns;
	char probe[OTEL_PROBE_NAME_MAX];
	char version[OTEL_PROBE_NAME_MAX];
	char object[256];
	char options[256];
};

/**
 * struct otel_program - one program of a probe; entry of the array map "programs"
 * @name:    as pinned under prog/
 * @section: the SEC() it attaches by; "" when this kernel has no such hook
 */
struct otel_program {
	char name[OTEL_PROGRAM_NAME_MAX];
	char section[OTEL_SECTION_MAX];
};

/* What a filter entry compares. Bit numbers of otel_filter.flags, too. */
enum otel_filter_kind {
	OTEL_FILTER_CGROUP = 0,
	OTEL_FILTER_PID = 1,
	OTEL_FILTER_COMM = 2,
	OTEL_FILTER_UID = 3,
	OTEL_FILTER_SET = 4,
	OTEL_FILTER_KINDS,
};

/* flags: this kind is looked at; this kind passes what has no entry */
#define OTEL_FILTER_F(kind) (1U << (kind))
#define OTEL_FILTER_F_ELSE(kind) (1U << ((kind) + 16))
/* flags: after otel_deadline.at_ns nothing passes */
#define OTEL_FILTER_F_DEADLINE (1U << 15)
/* flags: two versions are attached, and otel_turn says which one measures */
#define OTEL_FILTER_F_TURN (1U << 14)

/**
 * struct otel_filter - what the hot path loads, alone in one variable
 * @flags: OTEL_FILTER_F() and OTEL_FILTER_F_ELSE() bits; 0: everything passes
 * @epoch: counts up when entries, programs or links were absent for a while, so
 *         that a start time from before is not taken for one of now
 * @generation: counts up with every change of the filter, for cached verdicts
 * @pad:   zero
 */
struct otel_filter {
	__u32 flags;
	__u32 epoch;
	__u32 generation;
	__u32 pad;
};

/**
 * struct otel_deadline - when measuring ends by itself
 * @at_ns:       on CLOCK_BOOTTIME; looked at if OTEL_FILTER_F_DEADLINE is set
 * @passed_ns:   the deadline that a program has seen pass, so that no other one asks
 *               the clock again
 * @duration_ns: how long measuring goes on from a load or a resume; 0: until it is told
 *               otherwise
 *
 * Written by the loader; @passed_ns by the programs.
 */
struct otel_deadline {
	__u64 at_ns;
	__u64 passed_ns;
	__u64 duration_ns;
};

/** enum otel_turn_step - how far an upgrade is: see turn.bpf.h */
enum otel_turn_step {
	OTEL_TURN_ATTACH = 0,
	OTEL_TURN_BOTH = 1,
	OTEL_TURN_HANDED = 2,
};

/**
 * struct otel_turn - which of two versions measures; looked at if OTEL_FILTER_F_TURN is set
 * @attempt: of an upgrade: counts up with each, also one that fails
 * @step:    enum otel_turn_step
 *
 * Written by the loader.
 */
struct otel_turn {
	__u32 attempt;
	__u32 step;
};

/**
 * struct otel_filter_key - key of the map "filters"
 * @kind: enum otel_filter_kind
 * @pad:  zero
 * @id:   cgroup v2 id, tgid or uid; 0 for a comm
 * @comm: zero padded; all zero for the others
 */
struct otel_filter_key {
	__u32 kind;
	__u32 pad;
	__u64 id;
	char comm[OTEL_COMM_LEN];
};

/* Values of the map "filters". */
#define OTEL_FILTER_PASS 1U	/* else: reject */
#define OTEL_FILTER_CHILDREN 2U /* a process: its children get the same entry */

#define OTEL_CGROUP_LEVELS 6
#define OTEL_CGROUP_NAME_LEN 96

/**
 * struct otel_cgroup - a cgroup as it was when it first got an entry
 * @name: its own name, its parent's, …: "" above the root. Zero padded; a name of
 *        95 bytes may have been cut.
 */
struct otel_cgroup {
	char name[OTEL_CGROUP_LEVELS][OTEL_CGROUP_NAME_LEN];
};

#ifdef __cplusplus
#define OTEL_STATIC_ASSERT static_assert
#else
#define OTEL_STATIC_ASSERT _Static_assert
#endif
OTEL_STATIC_ASSERT(sizeof(struct otel_meta) == 24 + 64 + 512, "otel_meta has a hole");
OTEL_STATIC_ASSERT(sizeof(struct otel_program) == 192, "otel_program has a hole");
OTEL_STATIC_ASSERT(sizeof(struct otel_filter) == 16, "otel_filter has a hole");
OTEL_STATIC_ASSERT(sizeof(struct otel_deadline) == 24, "otel_deadline has a hole");
OTEL_STATIC_ASSERT(sizeof(struct otel_turn) == 8, "otel_turn has a hole");
OTEL_STATIC_ASSERT(sizeof(struct otel_filter_key) == 32, "otel_filter_key has a hole");

#endif
