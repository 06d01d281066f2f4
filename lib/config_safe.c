// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_safe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"

#define FILE_SIZE_MAX (1 << 20)

static int trusted(const char *path, const struct stat *st, const char *what)
{
	if (st->st_uid != 0 && st->st_uid != geteuid())
		return fail(EXIT_PERMISSION,
			    "%s: the %s belongs to user %u, not to root: chown root %s", path, what,
			    st->st_uid, path);
	/* In a sticky directory nobody can rename or remove what is another's. */
	if (S_ISLNK(st->st_mode) || (S_ISDIR(st->st_mode) && (st->st_mode & S_ISVTX)))
		return 0;
	if (st->st_mode & (S_IWGRP | S_IWOTH))
		return fail(EXIT_PERMISSION, "%s: the %s can be written by others: chmod go-w %s",
			    path, what, path);
	return 0;
}

/* Every directory on the way: who can rename one of them can put another file there. */
static int check_way(const char *dir)
{
	char path[PATH_MAX], *slash;
	struct stat st;
	int code;

	if (!realpath(dir, path))
		return fail(errno == EACCES ? EXIT_PERMISSION : EXIT_CONFIG, "cannot open %s: %s",
			    dir, strerror(errno));
	for (;;) {
		if (lstat(path, &st))
			return fail(EXIT_PERMISSION, "cannot look at %s: %s", path,
				    strerror(errno));
		code = trusted(path, &st, "directory");
		if (code || !strcmp(path, "/"))
			return code;
		slash = strrchr(path, '/');
		slash[slash == path] = '\0';
	}
}

static int check_parent(const char *path)
{
	const char *slash = strrchr(path, '/');
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
		 slash ? path : ".");
	return check_way(dir);
}

int config_safe__check_dir(const char *path)
{
	struct stat st;
	int code = 0;

	if (!lstat(path, &st) && S_ISLNK(st.st_mode))
		code = trusted(path, &st, "link");
	if (!code)
		code = check_parent(path);
	return code ? code : check_way(path);
}

static int read_all(const char *path, int fd, char **text, size_t *size)
{
	ssize_t n = 1;

	*text = malloc(FILE_SIZE_MAX + 2);
	if (!*text)
		return fail(EXIT_INTERNAL, "no memory");
	for (*size = 0; n && *size <= FILE_SIZE_MAX; *size += n) {
		n = read(fd, *text + *size, FILE_SIZE_MAX + 1 - *size);
		if (n < 0)
			return fail(EXIT_CONFIG, "cannot read %s: %s", path, strerror(errno));
	}
	if (*size > FILE_SIZE_MAX)
		return fail(EXIT_CONFIG, "%s is larger than %d MiB", path, FILE_SIZE_MAX >> 20);
	(*text)[*size] = '\0';
	return 0;
}

/* What is open is looked at, so that nothing can be exchanged between the look and the read. */
static int read_checked(const char *path, int fd, char **text, size_t *size)
{
	char real[PATH_MAX], link[64];
	struct stat st, named;
	ssize_t len;
	int code;

	if (lstat(path, &named) || fstat(fd, &st))
		return fail(EXIT_CONFIG, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(EXIT_CONFIG, "%s is not a file", path);
	code = S_ISLNK(named.st_mode) ? trusted(path, &named, "link") : 0;
	if (!code)
		code = trusted(path, &st, "file");
	if (!code)
		code = check_parent(path);
	if (code)
		return code;
	/* Where a link, or a link to a link, led to. */
	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	len = readlink(link, real, sizeof(real) - 1);
	if (len > 0) {
		real[len] = '\0';
		code = check_parent(real);
	} else if (S_ISLNK(named.st_mode)) {
		code = fail(EXIT_PERMISSION, "%s: cannot tell where the link leads to", path);
	}
	return code ? code : read_all(path, fd, text, size);
}

int config_safe__read(const char *path, char **text, size_t *size)
{
	/* A pipe that nobody writes to is not waited for. */
	int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY), code;

	*text = NULL;
	*size = 0;
	if (fd < 0)
		return fail(errno == EACCES || errno == EPERM ? EXIT_PERMISSION : EXIT_CONFIG,
			    "cannot open %s: %s", path, strerror(errno));
	code = read_checked(path, fd, text, size);
	close(fd);
	if (code) {
		free(*text);
		*text = NULL;
	}
	return code;
}
