// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "path.h"

#include <errno.h>
#include <mntent.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

int path__format(char *path, const char *fmt, ...)
{
	va_list args;
	int len;

	va_start(args, fmt);
	len = vsnprintf(path, PATH_MAX, fmt, args);
	va_end(args);
	if (len >= 0 && len < PATH_MAX)
		return 0;
	path[0] = '\0';
	return -ENAMETOOLONG;
}

int path__read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "re");
	int err = 0;

	if (!file)
		return -errno;
	if (fgets(line, size, file))
		line[strcspn(line, "\n")] = '\0';
	else
		err = ferror(file) ? -EIO : -ENODATA;
	fclose(file);
	return err;
}

int path__mounted(const char *type, char *dir)
{
	FILE *mounts = setmntent("/proc/mounts", "re");
	struct mntent entry;
	char buffer[8192];
	int err = -ENOENT;

	if (!mounts)
		return -errno;
	while (err && getmntent_r(mounts, &entry, buffer, sizeof(buffer))) {
		if (strcmp(entry.mnt_type, type) || strlen(entry.mnt_dir) >= PATH_MAX)
			continue;
		if (access(entry.mnt_dir, R_OK | X_OK)) {
			err = -EACCES;
			continue;
		}
		strcpy(dir, entry.mnt_dir);
		err = 0;
	}
	endmntent(mounts);
	return err;
}
