/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A pinned map with what the kernel knows about it. */
#ifndef OTELBPF_LOADER_MAPVIEW_H
#define OTELBPF_LOADER_MAPVIEW_H

#include <bpf/bpf.h>
#include <linux/types.h>
#include <stdbool.h>

struct btf;
struct tagged;

/**
 * struct mapview - an open map
 * @fd:     its descriptor
 * @info:   from the kernel
 * @btf:    the types it was made with; NULL if it has none
 * @tagged: index of their tags; NULL if it has none
 * @var:    BTF id of the map's variable, 0 if there is none
 * @denied: it has BTF, but the kernel shows that only to CAP_SYS_ADMIN
 */
struct mapview {
	int fd;
	struct bpf_map_info info;
	struct btf *btf;
	struct tagged *tagged;
	__u32 var;
	bool denied;
};

/**
 * mapview__open - open a pinned map and read its BTF
 * @view: filled; to be closed also after a failure
 * @path: the pin
 *
 * Return: 0, also when only the BTF is denied, or -errno.
 */
int mapview__open(struct mapview *view, const char *path);
void mapview__close(struct mapview *view);

/** mapview__is_percpu - whether a value is one for each CPU */
bool mapview__is_percpu(const struct mapview *view);

/** mapview__value_bytes - what a lookup writes: all CPUs' values of a per-CPU map */
size_t mapview__value_bytes(const struct mapview *view);

/** mapview__has_keys - whether entries can be walked (hash and array maps of every kind) */
bool mapview__has_keys(const struct mapview *view);

/**
 * mapview__each - walk the entries
 * @view: the map
 * @fn:   called with key and value; not 0 ends the walk
 * @arg:  for @fn
 *
 * While others add and remove entries one may be seen twice or not at all.
 *
 * Return: how many entries were seen, or -errno.
 */
typedef int (*mapview_fn)(const void *key, const void *value, void *arg);
long mapview__each(const struct mapview *view, mapview_fn fn, void *arg);

/** mapview__memory - bytes the kernel has charged for a map or program, 0 if unknown */
__u64 mapview__memory(int fd);

/** mapview__type_name - "percpu_hash" */
const char *mapview__type_name(__u32 type);

#define _cleanup_view_ __attribute__((cleanup(mapview__close)))

#endif
