// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "mapview.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "fdinfo.h"
#include "map_types.h"
#include "tagged.h"

int mapview__open(struct mapview *view, const char *path)
{
	__u32 len = sizeof(view->info);

	*view = (struct mapview){.fd = bpf_obj_get(path)};
	if (view->fd < 0)
		return -errno;
	if (bpf_obj_get_info_by_fd(view->fd, &view->info, &len))
		return -errno;
	if (!view->info.btf_id)
		return 0;
	view->btf = map_types__load(path, view->info.btf_id);
	if (!view->btf) {
		view->denied = errno == EPERM;
		return view->denied ? 0 : -errno;
	}
	view->tagged = tagged__new(view->btf);
	if (!view->tagged)
		return -ENOMEM;
	view->var = tagged__variable(view->btf, view->info.name);
	return 0;
}

void mapview__close(struct mapview *view)
{
	tagged__free(view->tagged);
	btf__free(view->btf);
	if (view->fd >= 0)
		close(view->fd);
	*view = (struct mapview){.fd = -1};
}

enum { PERCPU = 1, KEYS = 2 };

static unsigned int traits(__u32 type)
{
	static const unsigned char table[] = {
		[BPF_MAP_TYPE_HASH] = KEYS,
		[BPF_MAP_TYPE_ARRAY] = KEYS,
		[BPF_MAP_TYPE_PERCPU_HASH] = KEYS | PERCPU,
		[BPF_MAP_TYPE_PERCPU_ARRAY] = KEYS | PERCPU,
		[BPF_MAP_TYPE_LRU_HASH] = KEYS,
		[BPF_MAP_TYPE_LRU_PERCPU_HASH] = KEYS | PERCPU,
	};

	return type < sizeof(table) ? table[type] : 0;
}

bool mapview__is_percpu(const struct mapview *view)
{
	return traits(view->info.type) & PERCPU;
}

bool mapview__has_keys(const struct mapview *view)
{
	return traits(view->info.type) & KEYS;
}

size_t mapview__value_bytes(const struct mapview *view)
{
	if (!mapview__is_percpu(view))
		return view->info.value_size;
	return (size_t)(view->info.value_size + 7) / 8 * 8 * libbpf_num_possible_cpus();
}

static long each_entry(const struct mapview *view, mapview_fn fn, void *arg)
{
	_cleanup_free_ char *keys = calloc(2, view->info.key_size);
	_cleanup_free_ void *value = malloc(mapview__value_bytes(view));
	char *key = keys, *next, *swap;
	/* A key that is deleted under us makes the kernel begin anew: do not follow it forever. */
	unsigned long steps = 2UL * view->info.max_entries + 16;
	long seen = 0;

	if (!keys || !value)
		return -ENOMEM;
	next = keys + view->info.key_size;
	for (void *prev = NULL; steps--; prev = key) {
		if (bpf_map_get_next_key(view->fd, prev, next))
			return errno == ENOENT ? seen : -errno;
		swap = key;
		key = next;
		next = swap;
		if (fn && bpf_map_lookup_elem(view->fd, key, value))
			continue;
		seen++;
		if (fn && fn(key, value, arg))
			break;
	}
	return seen;
}

long mapview__each(const struct mapview *view, mapview_fn fn, void *arg)
{
	return mapview__has_keys(view) ? each_entry(view, fn, arg) : -EOPNOTSUPP;
}

__u64 mapview__memory(int fd)
{
	return fdinfo__memory(fd);
}

const char *mapview__type_name(__u32 type)
{
	const char *name = libbpf_bpf_map_type_str(type);

	return name ? name : "unknown";
}
