// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netns.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "path.h"

#define OURS "/proc/self/ns/net"

unsigned long netns__inode(void)
{
	struct stat st;

	return stat(OURS, &st) ? 0 : st.st_ino;
}

/* A descriptor of the file if that is it. */
static int open_if(const char *path, unsigned long inode)
{
	struct stat st;
	int fd, err;

	if (stat(path, &st))
		return -errno;
	if (st.st_ino != inode)
		return -ENOENT;
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	/* The process may have gone, and its number to another one. */
	err = fstat(fd, &st) ? errno : st.st_ino != inode ? ENOENT : 0;
	if (!err)
		return fd;
	close(fd);
	return -err;
}

/* Who has gone, is no process, or is not to be looked at keeps no namespace for us. */
static bool is_other(int err)
{
	return err == -ENOENT || err == -ESRCH || err == -ENOTDIR || err == -EACCES ||
	       err == -EPERM;
}

/* -ENOENT: it is none of them. With another error that remains unknown. */
static int find(const char *where, const char *below, unsigned long inode)
{
	DIR *dir = opendir(where);
	struct dirent *entry;
	char path[PATH_MAX];
	int fd = -ENOENT, unknown = 0;

	if (!dir)
		return -errno;
	while (fd < 0 && (errno = 0, entry = readdir(dir))) {
		fd = path__format(path, "%s/%s%s", where, entry->d_name, below);
		fd = fd ? fd : open_if(path, inode);
		if (fd < 0 && !is_other(fd))
			unknown = fd;
	}
	if (fd < 0)
		fd = errno ? -errno : unknown ? unknown : -ENOENT;
	closedir(dir);
	return fd;
}

int netns__enter(unsigned long inode)
{
	int home = open(OURS, O_RDONLY | O_CLOEXEC), err = 0;
	_cleanup_fd_ int there = -1;

	if (home < 0)
		return -errno;
	if (inode == netns__inode())
		return home;
	there = find("/run/netns", "", inode);
	if (there == -ENOENT)
		there = find("/proc", "/ns/net", inode);
	err = there < 0 ? there : setns(there, CLONE_NEWNET) ? -errno : 0;
	if (!err)
		return home;
	close(home);
	return err;
}

void netns__leave(int home)
{
	setns(home, CLONE_NEWNET);
	close(home);
}
