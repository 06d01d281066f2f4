// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "map_types.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Return: NULL if it is no copy of types. */
static struct btf *read_copy(int fd)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info), zero = 0;
	struct btf *btf = NULL;
	void *data;

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || info.type != BPF_MAP_TYPE_ARRAY ||
	    info.max_entries != 1)
		return NULL;
	data = malloc(info.value_size);
	if (data && !bpf_map_lookup_elem(fd, &zero, data))
		btf = btf__new(data, info.value_size);
	free(data);
	return btf;
}

struct btf *map_types__load(const char *pin, __u32 id)
{
	LIBBPF_OPTS(bpf_obj_get_opts, read_only, .file_flags = BPF_F_RDONLY);
	const char *slash = strrchr(pin, '/');
	struct btf *btf = NULL;
	char path[PATH_MAX];
	int fd = -1;

	if (slash && snprintf(path, sizeof(path), "%.*s/" MAP_TYPES_PIN, (int)(slash - pin), pin,
			      id) < (int)sizeof(path))
		fd = bpf_obj_get_opts(path, &read_only);
	if (fd >= 0) {
		btf = read_copy(fd);
		close(fd);
	}
	return btf ? btf : btf__load_from_kernel_by_id(id);
}
