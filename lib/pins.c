// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pins.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <otelbpf/meta.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <unistd.h>

#include "config_safe.h"
#include "fail.h"

int pins__check(const char *dir)
{
	char parent[PATH_MAX];
	struct statfs fs;
	struct stat st;
	char *slash;

	if (dir[0] != '/' || strlen(dir) >= sizeof(parent))
		return fail(EXIT_USAGE, "--pin-dir must be an absolute path, not '%s'", dir);
	if (!lstat(dir, &st)) {
		if (!S_ISDIR(st.st_mode))
			return fail(EXIT_PERMISSION, "%s is not a directory%s", dir,
				    S_ISLNK(st.st_mode) ? " but a symbolic link" : "");
		if (st.st_uid != 0 && st.st_uid != geteuid())
			return fail(EXIT_PERMISSION,
				    "%s belongs to user %u: remove it or choose another --pin-dir",
				    dir, st.st_uid);
		if (st.st_mode & S_IWOTH)
			return fail(EXIT_PERMISSION, "%s can be written by anyone: chmod o-w %s",
				    dir, dir);
	} else if (errno != ENOENT) {
		return fail(errno == EACCES || errno == EPERM ? EXIT_PERMISSION : EXIT_USAGE,
			    "cannot look at %s: %s%s", dir, strerror(errno),
			    errno == EPERM && strchr(dir, '.') ? " (bpffs takes no dots in names)"
							       : "");
	}
	strcpy(parent, dir);
	while (statfs(parent, &fs)) {
		if (errno != ENOENT || !(slash = strrchr(parent, '/')))
			return fail(errno == EACCES ? EXIT_PERMISSION : EXIT_USAGE,
				    "cannot look at %s: %s", parent, strerror(errno));
		slash[slash == parent] = '\0';
	}
	if (fs.f_type != BPF_FS_MAGIC)
		return fail(EXIT_KERNEL, "%s is not on bpffs: mount -t bpf bpf /sys/fs/bpf",
			    parent);
	/* Once the whole way is root's nobody can exchange anything on it. */
	return config_safe__check_way(parent);
}

bool pins__is_probe(const char *name)
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				      "0123456789_-";
	size_t len = strspn(name, allowed);

	return len && !name[len] && len < OTEL_PROBE_NAME_MAX;
}

static int wanted_dir(const struct dirent *entry)
{
	return pins__is_probe(entry->d_name);
}

static int wanted_file(const struct dirent *entry)
{
	return entry->d_name[0] != '.';
}

static int list(const char *dir, char ***names, bool dirs)
{
	struct dirent **entries;
	char **list;
	int n, kept = 0;

	*names = NULL;
	n = scandir(dir, &entries, dirs ? wanted_dir : wanted_file, alphasort);
	if (n < 0)
		return errno == ENOENT ? 0 : -errno;
	list = calloc(n + 1, sizeof(*list));
	for (int i = 0; i < n; i++) {
		bool is_dir = entries[i]->d_type == DT_DIR;

		if (list && is_dir == dirs)
			list[kept++] = strdup(entries[i]->d_name);
		if (list && kept && !list[kept - 1])
			n = -ENOMEM;
		free(entries[i]);
	}
	free(entries);
	if (!list)
		return -ENOMEM;
	*names = list;
	return kept;
}

int pins__probes(const char *dir, char ***names)
{
	return list(dir, names, true);
}

int pins__list(const char *dir, char ***names)
{
	return list(dir, names, false);
}

void pins__free_names(char **names)
{
	for (char **name = names; name && *name; name++)
		free(*name);
	free(names);
}

int pins__run_iterators(const char *dir)
{
	char path[PATH_MAX], **names = NULL, buffer[4096];
	int n, first = 0;

	n = snprintf(path, sizeof(path), "%s/link", dir) < (int)sizeof(path)
		    ? pins__list(path, &names)
		    : -ENAMETOOLONG;
	for (int i = 0; i < n; i++) {
		ssize_t len = -1;
		int fd = -1;

		if (snprintf(path, sizeof(path), "%s/link/%s", dir, names[i]) < (int)sizeof(path))
			fd = open(path, O_RDONLY | O_CLOEXEC);
		/* EIO: a link of another kind. */
		if (fd < 0 && errno != EIO && errno != ENOENT && !first)
			first = -errno;
		while (fd >= 0 && ((len = read(fd, buffer, sizeof(buffer))) > 0 ||
				   (len < 0 && (errno == EAGAIN || errno == EINTR))))
			;
		if (fd >= 0 && len < 0 && !first)
			first = -errno;
		if (fd >= 0)
			close(fd);
	}
	pins__free_names(names);
	return n < 0 ? n : first;
}
