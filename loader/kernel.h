/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What every probe needs of the kernel and of us. */
#ifndef OTELBPF_LOADER_KERNEL_H
#define OTELBPF_LOADER_KERNEL_H

#include <stdbool.h>

#include "failure.h"

/**
 * struct need - one thing that is looked at
 * @name:     what a person calls it
 * @required: whether nothing works without it
 * @check:    0 if all is well, else the exit code; fills what was found (at most
 *            NEED_TEXT bytes) and, when it is not well, what to do about it
 */
#define NEED_TEXT 256
struct need {
	const char *name;
	bool required;
	int (*check)(char found[NEED_TEXT], char advice[NEED_TEXT]);
};

/** kernel__need - the n-th need, in the order to check them, or NULL behind the last */
const struct need *kernel__need(int n);

/**
 * kernel__check - see that everything required is there
 * @failure: the first thing that is not
 *
 * Return: 0 or EXIT_PERMISSION or EXIT_KERNEL.
 */
int kernel__check(struct failure *failure);

#endif
