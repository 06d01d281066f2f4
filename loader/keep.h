/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which maps of a loaded probe go on under a new object. */
#ifndef OTELBPF_LOADER_KEEP_H
#define OTELBPF_LOADER_KEEP_H

#include <stddef.h>

#include "object.h"

/**
 * keep__compare - whether every map of a loaded probe can go on
 * @object: the new object, open, sizes set
 * @maps:   the old probe's directory of maps
 * @pins:   the names there, NULL-terminated
 * @what:   which map cannot, and why
 * @size:   of @what
 *
 * Constants and the loader's own maps are made anew by every load and do not count.
 *
 * Return: 0 if all can, 1 if not, -EPERM if we may not know.
 */
int keep__compare(const struct object *object, const char *maps, char **pins, char *what,
		  size_t size);

/**
 * keep__reuse - give the old maps to the new object
 *
 * Return: 0 or EXIT_MAP.
 */
int keep__reuse(const struct object *object, const char *maps, char **pins,
		struct failure *failure);

/** keep__describe_dropped - list maps and how many entries each has, for a person */
void keep__describe_dropped(const char *maps, char **pins, char *text, size_t size);

#endif
