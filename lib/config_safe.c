// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_safe.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"

#define FILE_SIZE_MAX (1 << 20)
#define LINKS_MAX 40 /* as the kernel has it */

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

/* The first component of @rest, taken off it. Returns false at the end. */
static bool take_component(char rest[PATH_MAX], char component[NAME_MAX + 1], bool *too_long)
{
	size_t skip = strspn(rest, "/"), len = strcspn(rest + skip, "/");

	*too_long = len > NAME_MAX;
	if (!len || *too_long)
		return false;
	memcpy(component, rest + skip, len);
	component[len] = '\0';
	memmove(rest, rest + skip + len, strlen(rest + skip + len) + 1);
	return true;
}

/* What a link leads to goes before what is left of the way. */
static int follow_link(char at[PATH_MAX], char rest[PATH_MAX])
{
	char target[PATH_MAX], after[PATH_MAX];
	ssize_t len = readlink(at, target, sizeof(target) - 1);

	if (len < 0)
		return fail(EXIT_PERMISSION, "cannot read the link %s: %s", at, strerror(errno));
	target[len] = '\0';
	strcpy(after, rest);
	if (snprintf(rest, PATH_MAX, "%s/%s", target, after) >= PATH_MAX)
		return fail(EXIT_CONFIG, "%s: the path behind the link is too long", at);
	*(target[0] == '/' ? at : strrchr(at, '/')) = '\0';
	return 0;
}

int config_safe__check_way(const char *path)
{
	char at[PATH_MAX] = "", rest[PATH_MAX], component[NAME_MAX + 1];
	bool too_long = false;
	struct stat st;
	int links = 0, code;

	if (path[0] == '/' ? snprintf(rest, sizeof(rest), "%s", path) >= PATH_MAX
			   : !getcwd(at, sizeof(at)) ||
				     snprintf(rest, sizeof(rest), "%s/%s", at, path) >= PATH_MAX)
		return fail(EXIT_CONFIG, "%s: the path is too long", path);
	at[0] = '\0';
	if (lstat("/", &st))
		return fail(EXIT_PERMISSION, "cannot look at /: %s", strerror(errno));
	code = trusted("/", &st, "directory");
	while (!code && take_component(rest, component, &too_long)) {
		size_t len = strlen(at);

		if (!strcmp(component, "."))
			continue;
		if (!strcmp(component, "..")) {
			if (len)
				*strrchr(at, '/') = '\0';
			continue;
		}
		if (len + 1 + strlen(component) >= sizeof(at))
			return fail(EXIT_CONFIG, "%s: the path is too long", path);
		sprintf(at + len, "/%s", component);
		if (lstat(at, &st))
			return fail(errno == EACCES ? EXIT_PERMISSION : EXIT_CONFIG,
				    "cannot open %s: %s", at, strerror(errno));
		code = trusted(at, &st,
			       S_ISLNK(st.st_mode)   ? "link"
			       : S_ISDIR(st.st_mode) ? "directory"
						     : "file");
		if (!code && S_ISLNK(st.st_mode))
			code = ++links > LINKS_MAX ? fail(EXIT_CONFIG, "%s: too many links", path)
						   : follow_link(at, rest);
	}
	return !code && too_long ? fail(EXIT_CONFIG, "%s: the path is too long", path) : code;
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
	struct stat st;
	int code;

	if (fstat(fd, &st))
		return fail(EXIT_CONFIG, "cannot look at %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return fail(EXIT_CONFIG, "%s is not a file", path);
	code = trusted(path, &st, "file");
	/* All that led to it, the links' own ways, too. */
	if (!code)
		code = config_safe__check_way(path);
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
