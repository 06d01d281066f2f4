/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The types of a pinned map, also for who may not ask the kernel for them. */
#ifndef OTELBPF_MAP_TYPES_H
#define OTELBPF_MAP_TYPES_H

#include <linux/types.h>

struct btf;

/*
 * BPF_BTF_GET_FD_BY_ID wants CAP_SYS_ADMIN where all else is content with CAP_BPF. So the loader
 * pins a copy beside the maps: an array of one element, the BTF as the kernel has it, which nobody
 * can write.
 */
#define MAP_TYPES_PIN "btf_%u"

/**
 * map_types__load - the BTF that a map was made with
 * @pin: the map's path
 * @id:  bpf_map_info.btf_id
 *
 * From the copy beside @pin, or where there is none (another tool's pin) from the kernel.
 *
 * Return: to be freed with btf__free(), or NULL with errno, EPERM: CAP_SYS_ADMIN is needed.
 */
struct btf *map_types__load(const char *pin, __u32 id);

#endif
