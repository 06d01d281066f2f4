/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names of cgroups, kept where they were seen, so that a container's outlive it. */
#ifndef OTELBPF_CGROUP_BPF_H
#define OTELBPF_CGROUP_BPF_H

#include "flavors.h"
#include "meta.h"
#include "tags.h"

/*
 * By cgroup v2 id. Written when a cgroup first gets an entry in a table; read, and
 * evicted with the cgroup's entries, by the exporter. What finds no room is a name
 * that the exporter has to find in the file system while the cgroup is there. (No
 * LRU map: 6.1's gives each CPU 128 entries of its own, and evicts names in use.)
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2048);
	__type(key, __u64);
	__type(value, struct otel_cgroup);
} cgroups SEC(".maps") OTEL_TAG("cgroups");

static const struct otel_cgroup otel_cgroup_zero;

/**
 * otel_cgroup__remember - keep the names of a cgroup and its nearest ancestors
 * @id: cgroup v2 id
 * @kn: the cgroup's kernfs node, of a task that is in it now
 *
 * For the path that adds an entry, not for every event.
 */
static __noinline int otel_cgroup__remember(__u64 id, struct kernfs_node *kn)
{
	struct otel_cgroup *names;

	if (bpf_map_lookup_elem(&cgroups, &id))
		return 0;
	bpf_map_update_elem(&cgroups, &id, &otel_cgroup_zero, BPF_NOEXIST);
	names = bpf_map_lookup_elem(&cgroups, &id);
	if (!names)
		return 0;
	for (int i = 0; i < OTEL_CGROUP_LEVELS && kn; i++) {
		bpf_probe_read_kernel_str(names->name[i], OTEL_CGROUP_NAME_LEN,
					  BPF_CORE_READ(kn, name));
		kn = kernfs_node__parent(kn);
	}
	return 0;
}

/** otel_cgroup__of - the kernfs node of a task's cgroup v2 */
static __always_inline struct kernfs_node *otel_cgroup__of(struct task_struct *task)
{
	return BPF_CORE_READ(task, cgroups, dfl_cgrp, kn);
}

#endif
