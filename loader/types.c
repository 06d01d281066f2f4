// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "types.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <unistd.h>

#include "cleanup.h"
#include "map_types.h"
#include "path.h"
#include "tree.h"

static int pin_copy(const struct btf *btf, const char *path)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts, .map_flags = BPF_F_RDONLY_PROG);
	_cleanup_fd_ int fd = -1;
	const void *data;
	__u32 size, zero = 0;

	data = btf__raw_data(btf, &size);
	if (!data)
		return -ENOMEM;
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "btf", sizeof(zero), size, 1, &opts);
	if (fd < 0 || bpf_map_update_elem(fd, &zero, data, BPF_ANY) || bpf_map_freeze(fd))
		return -errno;
	return tree__pin(fd, TREE_EXPORTERS, "%s", path);
}

int types__pin(int map, const char *dir)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	struct btf *btf;
	int err;

	if (bpf_obj_get_info_by_fd(map, &info, &len))
		return -errno;
	err = path__format(path, "%s/" MAP_TYPES_PIN, dir, info.btf_id);
	if (err || !info.btf_id || !access(path, F_OK))
		return err;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	if (!btf)
		return errno == EPERM ? 0 : -errno;
	err = pin_copy(btf, path);
	btf__free(btf);
	return err;
}
