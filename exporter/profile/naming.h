/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From a frame to a location of the set: with its mapping, and its names where there are any. */
#ifndef OTELBPF_PROFILE_NAMING_H
#define OTELBPF_PROFILE_NAMING_H

#include <linux/types.h>
#include <stdbool.h>

#include "files.h"
#include "profile.h"
#include "stacks.h"
#include "symbols/symbols.h"

/** struct naming - what it takes; @symbols NULL: no names */
struct naming {
	struct profile_set *set;
	struct symbols *symbols;
	const struct profile_files *files;
};

/**
 * naming__location - a frame's location
 * @naming:  what it takes
 * @frame:   remembers the answer: naming costs more than all the rest
 * @process: number of the process, from 1
 * @pid:     its pid
 * @leaf:    whether it ran; else it called, and its address is the one behind the call
 *
 * Return: index in the set, or -errno.
 */
int naming__location(const struct naming *naming, struct frame *frame, __u32 process, __u32 pid,
		     bool leaf);

/** naming__is_tracer - whether a kernel frame is the tracer's, and not of what is measured */
bool naming__is_tracer(const struct naming *naming, struct frame *frame);

#endif
