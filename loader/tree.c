// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tree.h"

#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "netdev.h"
#include "path.h"
#include "turn.h"

#define DIR_MODE 0750
#define PIN_MODE 0640
#define EXPORTER "otelbpf" /* user and group */
#define LOCK_TRIES 100

/* The exporter's; -1: this machine has not got it. */
static struct {
	uid_t user;
	gid_t group;
	bool asked;
} exporter;

static void find_exporter(void)
{
	const struct passwd *user;
	const struct group *group;

	if (exporter.asked)
		return;
	user = getpwnam(EXPORTER);
	group = getgrnam(EXPORTER);
	exporter.user = user ? user->pw_uid : (uid_t)-1;
	exporter.group = group ? group->gr_gid : (gid_t)-1;
	exporter.asked = true;
}

/*
 * The mode that mkdir and BPF_OBJ_PIN were given has gone through the umask. Failing to hand over
 * is no failure.
 */
static void hand_dir(int fd)
{
	find_exporter();
	if (!fchown(fd, -1, exporter.group))
		(void)!fchmod(fd, DIR_MODE);
}

int tree__make_dir(const char *path)
{
	bool made = !mkdir(path, DIR_MODE);
	_cleanup_fd_ int fd = -1;
	struct stat st;

	if (!made && errno != EEXIST)
		return -errno;
	fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return errno == ELOOP || errno == ENOTDIR ? -EPERM : -errno;
	if (fstat(fd, &st))
		return -errno;
	/* bpffs is everybody's to make directories in, unless it is mounted otherwise. */
	if ((st.st_uid && st.st_uid != geteuid()) || st.st_mode & S_IWOTH)
		return -EPERM;
	if (made)
		hand_dir(fd);
	return 0;
}

int tree__make_probe(const char *path)
{
	static const char *const below[] = {"prog", "link", "map"};
	char dir[PATH_MAX];
	int err = 0;

	for (size_t i = 0; !err && i < sizeof(below) / sizeof(below[0]); i++) {
		err = path__format(dir, "%s/%s", path, below[i]);
		if (!err)
			err = tree__make_dir(dir);
	}
	return err;
}

static int empty(int dir_fd)
{
	DIR *dir = fdopendir(dir_fd);
	struct dirent *entry;
	int err = 0;

	if (!dir) {
		err = -errno;
		close(dir_fd);
		return err;
	}
	while ((entry = readdir(dir))) {
		int sub;

		if (!strcmp(entry->d_name, ".") || !strcmp(entry->d_name, ".."))
			continue;
		if (!unlinkat(dirfd(dir), entry->d_name, 0))
			continue;
		sub = openat(dirfd(dir), entry->d_name,
			     O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (sub < 0 || (err = empty(sub)) ||
		    unlinkat(dirfd(dir), entry->d_name, AT_REMOVEDIR)) {
			err = err ? err : -errno;
			break;
		}
	}
	closedir(dir);
	return err;
}

static int remove_below(const char *path)
{
	int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC), err;

	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	/* A load that was killed may have left programs where no link holds them. */
	err = netdev__undo_all(path);
	if (!err)
		return empty(fd);
	close(fd);
	return err;
}

int tree__remove(const char *path)
{
	int err = remove_below(path);

	if (err)
		return err;
	return rmdir(path) && errno != ENOENT ? -errno : 0;
}

/* What a load left that was killed: it may have been in the middle of handing over. */
static int remove_load(const char *pin_dir, const char *name, const char *dir)
{
	char path[PATH_MAX];
	bool was_loading = !path__format(path, "%s/link", dir) && !access(path, F_OK);
	int err = remove_below(dir);

	if (was_loading && !path__format(path, "%s/%s", pin_dir, name))
		turn__settle(path);
	return err;
}

int tree__lock(const char *path, enum tree_lock how)
{
	for (;;) {
		_cleanup_fd_ int fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		struct stat locked, named;
		int taken = fd;

		if (fd < 0)
			return -errno;
		while (flock(fd, LOCK_EX | (how == TREE_TRY ? LOCK_NB : 0)))
			if (errno != EINTR)
				return -errno;
		if (fstat(fd, &locked) || stat(path, &named)) {
			if (errno != ENOENT)
				return -errno;
			continue; /* removed while we waited: open() tells */
		}
		if (locked.st_ino != named.st_ino || locked.st_dev != named.st_dev)
			continue; /* the one we waited for has exchanged it */
		fd = -1;
		return taken;
	}
}

int tree__begin(const char *pin_dir, const char *name)
{
	_cleanup_fd_ int lock = -1;
	char path[PATH_MAX];
	int err, taken;

	if (path__format(path, "%s/%s" TREE_NEW, pin_dir, name))
		return -ENAMETOOLONG;
	/* Others who finish remove what they no longer need, also PINDIR itself: try again. */
	for (int tries = 0; lock < 0 && tries < LOCK_TRIES; tries++) {
		err = tree__make_dir(pin_dir);
		if (!err)
			err = tree__make_dir(path);
		if (!err)
			lock = err = tree__lock(path, TREE_WAIT);
		if (err < 0 && err != -ENOENT)
			return err;
	}
	if (lock < 0)
		return -ENOENT;
	/* PINDIR has stayed as long as ours is in it; before that it may have become another's. */
	err = tree__make_dir(pin_dir);
	if (!err)
		err = remove_load(pin_dir, name, path);
	if (!err)
		err = path__format(path, "%s/%s" TREE_OLD, pin_dir, name);
	if (!err)
		err = tree__remove(path);
	if (err)
		return err;
	taken = lock;
	lock = -1;
	return taken;
}

void tree__clean(const char *pin_dir, const char *name)
{
	char path[PATH_MAX];

	if (!path__format(path, "%s/%s" TREE_NEW, pin_dir, name)) {
		_cleanup_fd_ int lock = tree__lock(path, TREE_TRY);

		/* Whoever holds it removes ~old, too. */
		if (lock >= 0 || lock == -ENOENT) {
			char old[PATH_MAX];

			if (!path__format(old, "%s/%s" TREE_OLD, pin_dir, name))
				tree__remove(old);
			if (!remove_load(pin_dir, name, path))
				rmdir(path);
		}
	}
	rmdir(pin_dir); /* refused unless empty */
}

void tree__clean_all(const char *pin_dir)
{
	DIR *dir = opendir(pin_dir);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *mark = strchr(entry->d_name, '~');

		if (!mark || (strcmp(mark, TREE_NEW) && strcmp(mark, TREE_OLD)))
			continue;
		*mark = '\0';
		tree__clean(pin_dir, entry->d_name);
	}
	if (dir)
		closedir(dir);
	rmdir(pin_dir);
}

int tree__pin(int fd, enum tree_owner owner, const char *fmt, ...)
{
	char path[PATH_MAX];
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(path, sizeof(path), fmt, args);
	va_end(args);
	if (len < 0 || (size_t)len >= sizeof(path))
		return -ENAMETOOLONG;
	if (bpf_obj_pin(fd, path))
		return -errno;
	find_exporter();
	if (!chown(path, owner == TREE_EXPORTERS ? exporter.user : (uid_t)-1, exporter.group))
		(void)!chmod(path, PIN_MODE);
	return 0;
}
