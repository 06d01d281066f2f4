/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* cgroup v2 ids, paths, and what container managers and systemd write into names. */
#ifndef OTELBPF_CGROUP_H
#define OTELBPF_CGROUP_H

#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>

/**
 * struct cgroup_identity - what a cgroup's names say about it
 * @container_id: 64 hexadecimal digits, or ""
 * @pod_uid:      Kubernetes pod UID with dashes, or ""
 * @unit:         innermost systemd unit, or ""; only where there is no container
 */
struct cgroup_identity {
	char container_id[65];
	char pod_uid[37];
	char unit[256];
};

/**
 * cgroup__identify - read a cgroup's path
 * @path:     absolute within the cgroup2 mount, "/a/b"; leaf last
 * @identity: filled in
 *
 * Knows the paths of Docker, containerd, CRI-O and Podman, under systemd's and
 * under the cgroupfs driver, with and without Kubernetes: they all end a component
 * with the 64-digit id, alone or behind a prefix, with or without ".scope".
 */
void cgroup__identify(const char *path, struct cgroup_identity *identity);

/**
 * cgroup__mount - where cgroup v2 is mounted
 * @mounts: "/proc/self/mounts", another file in tests
 * @path:   set to the mount point (not always /sys/fs/cgroup: hybrid layouts)
 *
 * Return: 0, or -ENOENT.
 */
int cgroup__mount(const char *mounts, char path[PATH_MAX]);

/**
 * cgroup__walk - visit every cgroup
 * @mount: mount point
 * @visit: called with the id and the path within the mount ("/" for the root);
 *         a value other than 0 ends the walk
 * @ctx:   passed on
 *
 * Return: 0, what @visit returned, or -errno if the root cannot be read.
 */
int cgroup__walk(const char *mount, int (*visit)(__u64 id, const char *path, void *ctx), void *ctx);

#endif
