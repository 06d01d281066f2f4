// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netns.h"

#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <sched.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

#define OURS "/proc/self/ns/net"

unsigned long netns__inode(void)
{
	struct stat st;

	return stat(OURS, &st) ? 0 : st.st_ino;
}

static int find(const char *pattern, unsigned long inode)
{
	glob_t files = {};
	int fd = -1;

	glob(pattern, GLOB_NOSORT, NULL, &files);
	for (size_t i = 0; i < files.gl_pathc && fd < 0; i++) {
		struct stat st;

		if (stat(files.gl_pathv[i], &st) || st.st_ino != inode)
			continue;
		fd = open(files.gl_pathv[i], O_RDONLY | O_CLOEXEC);
		/* The process may have gone, and its number to another one. */
		if (fd >= 0 && (fstat(fd, &st) || st.st_ino != inode)) {
			close(fd);
			fd = -1;
		}
	}
	globfree(&files);
	return fd;
}

int netns__enter(unsigned long inode)
{
	int home = open(OURS, O_RDONLY | O_CLOEXEC);
	_cleanup_fd_ int there = -1;

	if (home < 0)
		return -errno;
	if (inode == netns__inode())
		return home;
	there = find("/run/netns/*", inode);
	if (there < 0)
		there = find("/proc/[0-9]*/ns/net", inode);
	if (there >= 0 && !setns(there, CLONE_NEWNET))
		return home;
	close(home);
	return there < 0 ? -ENOENT : -EPERM;
}

void netns__leave(int home)
{
	setns(home, CLONE_NEWNET);
	close(home);
}
