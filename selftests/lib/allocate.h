/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tests of the malloc probe share: tools/allocate, step by step, and what the probe says of
 * it. */
#ifndef SELFTESTS_ALLOCATE_H
#define SELFTESTS_ALLOCATE_H

#include <json-c/json.h>
#include <linux/types.h>
#include <sys/types.h>

#include "live.h"

#define MALLOC_OBJECT OBJECT_DIR "/progs/malloc.bpf.o"
#define ALLOCATE BUILD_DIR "/selftests/tools/allocate"
#define MIX_ALLOCATIONS 509 /* what tools/allocate's mix() makes */

/**
 * struct tool - a tools/allocate, or a copy of it, that is waiting for its next step
 * @pid:     its process
 * @in:      a byte for each step
 * @out:     a byte for each that is done
 * @set_pid: the option that has it traced
 */
struct tool {
	pid_t pid;
	int in, out;
	char set_pid[64];
};

/**
 * tool__start() - start it in a cgroup, which is made if need be
 * @program: %ALLOCATE, or a copy
 * @cgroup:  name, see live__make_cgroup()
 * @steps:   names of its steps, then NULL
 *
 * It ends when we do: that is the end of its input.
 */
void tool__start(struct tool *tool, struct live *live, const char *program, const char *cgroup,
		 const char *const *steps);

#define TOOL_IN(tool, live, program, cgroup, ...) \
	tool__start(tool, live, program, cgroup, (const char *const[]){__VA_ARGS__, NULL})

/** tool__step() - let it take its next step, to the end */
void tool__step(struct tool *tool);

/** tool__wait() - the end of one, where it was let take several */
void tool__wait(struct tool *tool);

/** tool__end() - and expect that it ends well */
void tool__end(struct tool *tool);

/** struct heap - what the probe says of a cgroup, totals but for @live and @objects */
struct heap {
	__u64 allocations, frees, allocated, freed, failures;
	__s64 live, objects;
};

/** heap__in() - of what was exported */
struct heap heap__in(struct json_object *root, struct live *live, const char *cgroup);

#endif
