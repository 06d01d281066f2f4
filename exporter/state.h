/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What receivers have acknowledged, in a file: for the next exporter to go on from there. */
#ifndef OTELBPF_STATE_H
#define OTELBPF_STATE_H

#include "otlp/baseline.h"

/**
 * struct state_part - one receiver's
 * @name:     tells receivers apart
 * @baseline: of this one
 */
struct state_part {
	const char *name;
	struct baseline *baseline;
};

/**
 * state__write - replace the file, in one step
 * @mode: what is kept, as the caller numbers it
 *
 * Return: 0 or -errno: the file is then as it was.
 */
int state__write(const char *path, int mode, const struct state_part *parts, int n);

/**
 * state__read - take what the file has of these receivers
 *
 * A file of another boot, build or @mode tells nothing: maps have other numbers, the bytes
 * another meaning, or what is missing was not a delta then.
 *
 * Return: how many have been found; 0 if there is no file, or none of the same boot, build and
 * @mode; -EBADMSG for a broken one; or -errno.
 */
int state__read(const char *path, int mode, const struct state_part *parts, int n);

#endif
