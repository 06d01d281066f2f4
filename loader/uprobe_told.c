// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_told.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "path.h"

static int open_map(const char *dir, const char *name, size_t key, size_t value)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	int err = path__format(path, "%s/map/%s", dir, name);
	int fd = err ? err : bpf_obj_get(path);

	if (fd < 0)
		return err ? err : -errno;
	if (!bpf_obj_get_info_by_fd(fd, &info, &len) && info.type == BPF_MAP_TYPE_HASH &&
	    info.key_size == key && info.value_size == value)
		return fd;
	close(fd);
	return -EINVAL;
}

/* FNV-1a. By what they say, so that places that are alike share it, whoever attaches when. */
static __u64 hash_of(const struct otel_usdt_site *site)
{
	const unsigned char *bytes = (const void *)site;
	__u64 hash = 0xcbf29ce484222325;

	for (size_t i = 0; i < sizeof(*site); i++)
		hash = (hash ^ bytes[i]) * 0x100000001b3;
	return hash;
}

int uprobe_told__site(const char *dir, const struct otel_usdt_site *site, __u64 *cookie)
{
	_cleanup_fd_ int fd = open_map(dir, "usdt_sites", sizeof(*cookie), sizeof(*site));
	struct otel_usdt_site there;

	if (fd < 0)
		return fd;
	*cookie = hash_of(site);
	if (!bpf_map_update_elem(fd, cookie, site, BPF_NOEXIST))
		return 0;
	if (errno != EEXIST || bpf_map_lookup_elem(fd, cookie, &there))
		return -errno;
	/* Two that have one hash: somebody has made them so. */
	return memcmp(&there, site, sizeof(there)) ? -EEXIST : 0;
}

int uprobe_told__carrier(const char *dir, const struct stat *program)
{
	struct otel_usdt_carrier carrier = {program->st_ino, program->st_size};
	_cleanup_fd_ int fd = -1;
	__u64 one = 1;

	fd = open_map(dir, "usdt_carriers", sizeof(carrier), sizeof(one));
	if (fd < 0)
		return fd;
	return bpf_map_update_elem(fd, &carrier, &one, BPF_ANY) ? -errno : 0;
}
