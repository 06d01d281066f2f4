/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Types for who may not ask the kernel for them: see map_types.h. */
#ifndef OTELBPF_LOADER_TYPES_H
#define OTELBPF_LOADER_TYPES_H

/**
 * types__pin - leave a copy of a map's types beside its pin
 * @map: the map
 * @dir: the directory of the pins
 *
 * Maps of one object have theirs in common. Without CAP_SYS_ADMIN there is none: then the exporter
 * needs that.
 *
 * Return: 0 or -errno.
 */
int types__pin(int map, const char *dir);

#endif
