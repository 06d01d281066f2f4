// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cgroup.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "path.h"

#define FILEID_KERNFS 0xfe /* include/linux/exportfs.h: the handle is the kernfs id */

static int id_of(const char *path, __u64 *id)
{
	struct statfs fs;
	struct stat st;

	if (statfs(path, &fs) || stat(path, &st))
		return -errno;
	if (fs.f_type != CGROUP2_SUPER_MAGIC)
		return -EXDEV;
	if (!S_ISDIR(st.st_mode))
		return -ENOTDIR;
	*id = st.st_ino; /* on 64-bit machines a kernfs inode's number is its whole id */
	return 0;
}

int cgroup__id(const char *text, __u64 *id, struct failure *failure)
{
	char root[PATH_MAX], path[PATH_MAX], *rest;
	int err;

	if (text[0] && !text[strspn(text, "0123456789")]) {
		errno = 0;
		*id = strtoull(text, &rest, 10);
		if (*id && !errno)
			return 0;
		return failed(failure, EXIT_USAGE, "cgroup '%s': no such id", text);
	}
	err = path__mounted("cgroup2", root);
	if (err)
		return failed(failure, EXIT_KERNEL,
			      "cgroup v2 is not mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
	/* The absolute path first: a cgroup of that very name below the root is unlikely. */
	if (text[0] == '/' && !id_of(text, id))
		return 0;
	err = path__format(path, "%s/%s", root, text);
	if (!err)
		err = id_of(path, id);
	if (!err)
		return 0;
	if (err == -ENOENT && !access(text, F_OK))
		return failed(failure, EXIT_USAGE, "cgroup '%s' is not in the cgroup2 mount %s",
			      text, root);
	return failed(failure, EXIT_USAGE, "cgroup '%s': %s in %s", text, failure__reason(err),
		      root);
}

int cgroup__path(__u64 id, char *path)
{
	struct {
		struct file_handle head;
		__u64 id;
	} handle = {.head = {.handle_bytes = sizeof(id), .handle_type = FILEID_KERNFS}};
	_cleanup_fd_ int root_fd = -1, fd = -1;
	char root[PATH_MAX], link[64];
	size_t len;
	ssize_t n;
	int err = path__mounted("cgroup2", root);

	if (err)
		return err;
	root_fd = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root_fd < 0)
		return -errno;
	memcpy(handle.head.f_handle, &id, sizeof(id));
	fd = open_by_handle_at(root_fd, &handle.head, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	n = readlink(link, path, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	len = strlen(root);
	if (!strcmp(path, root))
		strcpy(path, "/");
	else if (!strncmp(path, root, len) && path[len] == '/')
		memmove(path, path + len, strlen(path + len) + 1);
	return 0;
}
