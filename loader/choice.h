/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs that are alternatives for one measurement (OTEL_HOOK): which ones this kernel gets;
 * and those that an option switches on (OTEL_WHEN).
 */
#ifndef OTELBPF_LOADER_CHOICE_H
#define OTELBPF_LOADER_CHOICE_H

#include "object.h"

/**
 * choice__of - what a program is an alternative for
 * @rank: set to its rank
 *
 * Return: name of the measurement; NULL for a program that has to have its hook.
 */
const char *choice__of(const struct object *object, const struct bpf_program *prog, int *rank);

/** choice__option - the option that a program waits for; NULL for none */
const char *choice__option(const struct object *object, const struct bpf_program *prog);

/**
 * choice__make - have the best available alternative of each measurement loaded
 * @object: open, with its options set; programs that have alternatives, or wait for an option,
 *          are switched on and off
 * @lost:   called with the name of each measurement that has none; or NULL
 * @arg:    for @lost
 */
void choice__make(struct object *object, void (*lost)(const char *measurement, void *arg),
		  void *arg);

#endif
