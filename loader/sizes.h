/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether the machine has the memory that an object's maps will take. */
#ifndef OTELBPF_LOADER_SIZES_H
#define OTELBPF_LOADER_SIZES_H

#include "object.h"

/** sizes__of_map - estimate of the kernel memory of a map to be made, bytes */
__u64 sizes__of_map(const struct bpf_map *map);

/**
 * sizes__check - refuse before the kernel's last resort would be the OOM killer
 * @object:  sizes set, maps to be kept have their descriptor
 * @failure: names the largest map
 *
 * Return: 0 or EXIT_LOAD.
 */
int sizes__check(const struct object *object, struct failure *failure);

#endif
