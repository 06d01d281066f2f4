// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/mounts.h"

#include <fcntl.h>
#include <linux/nsfs.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KNOWN_MAX 32
#define LINES_MAX 20000 /* fs.mount-max lets a namespace have 100,000 */

/* Open descriptors keep mounts from going away, and their numbers from being another's. */
static __thread struct known {
	int mount, fd;
	bool local;
} known[KNOWN_MAX];
static __thread int n_known;

/*
 * virtiofs and 9p are not here: virtual machines have their root on them, and the program
 * that would wait is there, too.
 */
static bool is_remote(const char *type)
{
	static const char *const starts[] = {"fuse", "nfs",    "cifs",	 "smb",	 "ceph",
					     "afs",  "coda",   "lustre", "gpfs", "beegfs",
					     "pvfs", "autofs", "ocfs",	 "gfs"};

	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++)
		if (!strncmp(type, starts[i], strlen(starts[i])))
			return true;
	return false;
}

static int mount_of(int fd)
{
	char path[64], line[128];
	int mount = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file) && sscanf(line, "mnt_id: %d", &mount) != 1)
		;
	fclose(file);
	return mount;
}

/* Whether a process's mounts are those of our user namespace. */
static bool is_our_namespace(__u32 pid)
{
	struct stat theirs, ours;
	char path[64];
	bool same = false;
	int mnt, user;

	if (!pid)
		return true;
	snprintf(path, sizeof(path), "/proc/%u/ns/mnt", pid);
	mnt = open(path, O_RDONLY | O_CLOEXEC);
	if (mnt < 0)
		return false;
	user = ioctl(mnt, NS_GET_USERNS);
	if (user >= 0) {
		same = !fstat(user, &theirs) && !stat("/proc/self/ns/user", &ours) &&
		       theirs.st_ino == ours.st_ino && theirs.st_dev == ours.st_dev;
		close(user);
	}
	close(mnt);
	return same;
}

/* "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw": proc_pid_mountinfo(5) */
static bool find_type(__u32 pid, int mount, char type[64])
{
	char path[64], *line = NULL;
	bool found = false;
	size_t room = 0;
	FILE *file;

	if (pid)
		snprintf(path, sizeof(path), "/proc/%u/mountinfo", pid);
	else
		snprintf(path, sizeof(path), "/proc/self/mountinfo");
	file = fopen(path, "re");
	for (int i = 0; file && !found && i < LINES_MAX && getline(&line, &room, file) > 0; i++) {
		const char *dash = strstr(line, " - ");

		/* Blanks in paths are written as \040: this is the separator. */
		found = atoi(line) == mount && dash && sscanf(dash, " - %63s", type) == 1;
	}
	free(line);
	if (file)
		fclose(file);
	return found;
}

/* memfd_create(2) and its like are on a mount that nobody sees. */
static bool is_memory(int fd)
{
	int memory = memfd_create("mounts", MFD_CLOEXEC);
	struct statx theirs, ours;
	bool same = false;

	if (memory < 0)
		return false;
	same = !statx(fd, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &theirs) &&
	       !statx(memory, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_INO, &ours) &&
	       theirs.stx_dev_major == ours.stx_dev_major &&
	       theirs.stx_dev_minor == ours.stx_dev_minor;
	close(memory);
	return same;
}

static bool look(__u32 pid, int mount, int fd)
{
	char type[64];

	if (!pid || !find_type(pid, mount, type)) {
		pid = 0;
		if (!find_type(0, mount, type))
			return is_memory(fd);
	}
	return !is_remote(type) && (strcmp(type, "overlay") || is_our_namespace(pid));
}

bool mounts__is_local(__u32 pid, int fd)
{
	int mount = mount_of(fd);
	bool local;

	if (mount < 0)
		return false;
	for (int i = 0; i < n_known; i++)
		if (known[i].mount == mount)
			return known[i].local;
	local = look(pid, mount, fd);
	if (n_known < KNOWN_MAX) {
		int held = fcntl(fd, F_DUPFD_CLOEXEC, 3);

		if (held >= 0)
			known[n_known++] = (struct known){mount, held, local};
	}
	return local;
}

void mounts__forget(void)
{
	while (n_known)
		close(known[--n_known].fd);
}
