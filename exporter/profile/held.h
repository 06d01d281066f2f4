/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Read: a state (OTEL_STATE): what entries are there now, summed up by process and stack. */
#ifndef OTELBPF_PROFILE_HELD_H
#define OTELBPF_PROFILE_HELD_H

#include <linux/types.h>
#include <stdbool.h>

#include "entries.h"
#include "intern.h"
#include "probe.h"
#include "samples.h"

/**
 * struct held - zero: nothing read
 * @samples: one list for each of the probe's held_values
 * @ended:   keys of entries that are not to be told of again
 * @stacks:  hashes of all stacks that entries refer to, in order
 */
struct held {
	struct samples samples[PROFILE_VALUES_MAX];
	struct keys ended;
	__u64 *stacks;
	size_t n_stacks;
	struct table groups; /* by process and stack: keys of @samples */
	struct arena arena;
};

/**
 * held__read - a pass over the state
 * @held:     set; held__clear() is to be called in any case
 * @probe:    has a state
 * @seed:     of a hash, random
 * @older_ns: leave out of @samples what is not that old; 0: nothing
 *
 * Return: 0 or -errno.
 */
int held__read(struct held *held, struct profile_probe *probe, const __u64 seed[2], __u64 older_ns);

/** held__refers - whether an entry has that stack */
bool held__refers(const struct held *held, __u64 stack);

void held__clear(struct held *held);

#endif
