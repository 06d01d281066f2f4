// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_kind.h"

#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uprobe_usdt.h"

#define NAMES_MAX 128
#define KNOWN_MAX 4096

/*
 * Who watches looks at the same files again and again. Of one probe after the other: what the last
 * one wanted is forgotten.
 */
static struct {
	char names[NAMES_MAX];
	struct known {
		dev_t device;
		ino_t inode;
		struct timespec changed;
		int kind;
	} * file;
	int n, room;
} known;

static const struct known *find(const struct stat *file, const char *names)
{
	for (int i = 0; i < known.n && !strcmp(known.names, names); i++)
		if (known.file[i].inode == file->st_ino && known.file[i].device == file->st_dev &&
		    known.file[i].changed.tv_sec == file->st_ctim.tv_sec &&
		    known.file[i].changed.tv_nsec == file->st_ctim.tv_nsec)
			return &known.file[i];
	return NULL;
}

static void note(const struct stat *file, const char *names, int kind)
{
	if (strcmp(known.names, names) || known.n == KNOWN_MAX)
		known.n = 0;
	snprintf(known.names, sizeof(known.names), "%s", names);
	if (known.n == known.room) {
		struct known *more =
			reallocarray(known.file, known.room * 2 + 64, sizeof(*known.file));

		if (!more)
			return;
		known.file = more;
		known.room = known.room * 2 + 64;
	}
	known.file[known.n++] = (struct known){file->st_dev, file->st_ino, file->st_ctim, kind};
}

static int look(struct uprobe_file *file, const struct uprobe_names *names)
{
	struct uprobe_functions found;

	if (uprobe_usdt__has_all(file, names->list))
		return UPROBE_USDT;
	uprobe_file__find(file, names, &found);
	return found.n ? UPROBE_FUNCTIONS : UPROBE_NOTHING;
}

int uprobe_kind__of(const char *path, const struct stat *file, const struct uprobe_names *names)
{
	const struct known *before = find(file, names->list);
	struct uprobe_file *opened;
	int kind;

	if (before)
		return before->kind;
	opened = uprobe_file__open(path);
	kind = opened ? look(opened, names) : errno ? -errno : -EIO;
	/* Other errors may be none the next time. */
	if (opened || kind == -ENOEXEC)
		note(file, names->list, kind);
	uprobe_file__close(opened);
	return kind;
}
