/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Making what is loaded be what the configuration says. */
#ifndef OTELBPF_LOADER_CONFIG_APPLY_H
#define OTELBPF_LOADER_CONFIG_APPLY_H

#include <stdbool.h>

#include "config_plan.h"

/*
 * A directory of this name in PINDIR/NAME says that the configuration loaded the probe,
 * and by two hashes with what: CONFIG_MARK + the object and options + "_" + the filter.
 */
#define CONFIG_MARK "config_"

/**
 * config_apply - load what is missing, upgrade what is to change
 * @plan:   read
 * @args:   the command line
 * @reload: leave alone what is as it should be, and unload what the configuration
 *          loaded and does not have any more; say what changed and what did not
 *
 * One bad probe does not keep the others from being loaded.
 *
 * Return: the first exit code that is not 0.
 */
int config_apply(const struct config_plan *plan, const struct args *args, bool reload);

#endif
