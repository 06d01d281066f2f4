/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A loaded probe's filter, made to be what the configuration says. */
#ifndef OTELBPF_LOADER_CONFIG_FILTER_H
#define OTELBPF_LOADER_CONFIG_FILTER_H

#include "args.h"
#include "failure.h"

/**
 * config_filter__replace - add what is missing, then remove what is too much
 * @args:    .pin_dir; .filter: "KIND=VALUE", all that shall pass
 * @name:    of the loaded probe
 * @removed: set to how many entries were removed
 * @failure: filled on failure
 *
 * In this order, so that meanwhile nothing is let pass but what the old or the new
 * filter does.
 *
 * Return: 0 or an exit code.
 */
int config_filter__replace(const struct args *args, const char *name, int *removed,
			   struct failure *failure);

#endif
