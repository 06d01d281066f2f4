/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cgroup v2 paths and ids, wherever the hierarchy is mounted. */
#ifndef OTELBPF_LOADER_CGROUP_H
#define OTELBPF_LOADER_CGROUP_H

#include <linux/types.h>

#include "failure.h"

/**
 * cgroup__id - the id of a cgroup, as bpf_get_current_cgroup_id() gives it
 * @text:    a path in the mounted hierarchy, a path below its root ("/system.slice",
 *           as /proc/PID/cgroup has it behind "0::"), or the id itself
 * @id:      set
 * @failure: filled on failure
 *
 * Return: 0, EXIT_USAGE, or EXIT_KERNEL if cgroup v2 is not mounted.
 */
int cgroup__id(const char *text, __u64 *id, struct failure *failure);

/**
 * cgroup__path - the path of a cgroup below the root of its hierarchy
 * @id:   its id
 * @path: PATH_MAX bytes
 *
 * Return: 0, or -errno if it has gone, or cannot be looked up.
 */
int cgroup__path(__u64 id, char *path);

#endif
