/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The samples of a window, and the set of profiles made of them. */
#ifndef OTELBPF_PROFILE_SAMPLES_H
#define OTELBPF_PROFILE_SAMPLES_H

#include <linux/types.h>
#include <stdbool.h>

#include "naming.h"
#include "probe.h"
#include "process_resource.h"
#include "resource.h"
#include "stacks.h"

/** struct sample - @key is owned by whoever read it; @process is samples__build()'s */
struct sample {
	const char *key;
	__u64 value;
	__u32 process;
};

/** struct samples - zero: none */
struct samples {
	struct sample *all;
	size_t n, room;
};

/** samples__add - 0 or -ENOMEM; @key has to stay where it is */
int samples__add(struct samples *samples, const char *key, __u64 value);
void samples__clear(struct samples *samples);

/**
 * struct building - what a set is built with
 * @probe:     where the samples are from; @closed says which window
 * @layout:    of their keys and values
 * @value:     which of the layout's values they are
 * @state:     they are no window's, but what was there at @end_ns
 * @resources: of cgroups
 * @processes: what processes say of themselves
 * @naming:    with the set
 * @stacks:    of the window
 * @end_ns:    of the window, UTC since 1970
 */
struct building {
	struct profile_probe *probe;
	const struct profile_layout *layout;
	int value;
	bool state;
	struct resources *resources;
	struct process_resources *processes;
	struct naming naming;
	struct stacks *stacks;
	__u64 end_ns;
};

/** samples__build - put samples into the set, process after process: 0 or -errno */
int samples__build(struct samples *samples, const struct building *building);

#endif
