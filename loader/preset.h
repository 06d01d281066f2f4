/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How often and how long to sample, by the kind of machine. */
#ifndef OTELBPF_LOADER_PRESET_H
#define OTELBPF_LOADER_PRESET_H

#include <linux/types.h>

#include "options.h"

#define PRESETS_LIST "production, staging, development, debug"
#define PRESETS_HELP                                                    \
	"production 19 Hz for 5 minutes, staging 49 Hz for 2 minutes, " \
	"development 99 Hz for\n1 minute, debug 199 Hz for 30 s.\n"

/**
 * struct preset - one of them
 * @name:        on the command line
 * @frequency:   Hz; not a divisor of a timer's usual frequency, so that samples do not
 *               always fall on what timers start
 * @duration_ns: from the load on
 */
struct preset {
	const char *name, *frequency;
	__u64 duration_ns;
};

/** preset__find - by name; NULL if there is none */
const struct preset *preset__find(const char *name);

/**
 * preset__apply - set the options that are tagged as a frequency
 * @preset:  which
 * @object:  open; .preset_set and .duration_ns are set if it has such an option
 * @options: its options
 * @failure: filled on failure: EXIT_USAGE if the option does not take this frequency
 *
 * To be called before what --set says, which wins.
 */
int preset__apply(const struct preset *preset, struct object *object, struct option_vars *options,
		  struct failure *failure);

#endif
