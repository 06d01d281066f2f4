// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_targets.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "path.h"

/* By what it is: a library has several names, and a container's has the same as the host's. */
static bool is_known(struct uprobe_targets *targets, const struct uprobe_target *one)
{
	for (int i = 0; i < targets->n; i++)
		if (targets->seen[i].inode == one->inode && targets->seen[i].device == one->device)
			return true;
	return false;
}

static int take(struct uprobe_targets *targets, const char *path)
{
	struct uprobe_target one;
	struct stat st;

	if (stat(path, &st))
		return -errno;
	one = (struct uprobe_target){st.st_dev, st.st_ino};
	if (is_known(targets, &one))
		return 0;
	if (targets->n == targets->room) {
		int room = targets->room * 2 + 64;
		void *seen = reallocarray(targets->seen, room, sizeof(one));

		if (!seen)
			return -ENOMEM;
		targets->seen = seen;
		targets->room = room;
	}
	targets->seen[targets->n++] = one;
	return targets->found(path, targets->ctx);
}

int uprobe_targets__of_process(struct uprobe_targets *targets, unsigned int pid, int *error)
{
	char path[PATH_MAX], line[PATH_MAX + 256];
	int err = path__format(path, "/proc/%u/maps", pid);
	FILE *maps = err ? NULL : fopen(path, "re");

	if (!maps)
		return err ? err : -errno;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end, inode;
		char rights[8];

		if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &start, &end, rights, &inode) != 4 ||
		    !inode || !strchr(rights, 'x'))
			continue;
		/* What is mapped, though another file may have its name by now, or none. */
		err = path__format(path, "/proc/%u/map_files/%lx-%lx", pid, start, end);
		if (!err)
			err = take(targets, path);
		/* Code that was made at run time, or that is not mapped any more. */
		if (err && err != -ENOEXEC && err != -ENOENT)
			*error = err;
	}
	fclose(maps);
	return 0;
}

static int of_members(struct uprobe_targets *targets, const char *dir, int *error)
{
	char path[PATH_MAX], line[32];
	struct dirent *entry;
	FILE *procs;
	DIR *below;
	int err = path__format(path, "%s/cgroup.procs", dir);

	procs = err ? NULL : fopen(path, "re");
	if (!procs)
		return err ? err : -errno;
	/* Who has gone meanwhile is no target any more. */
	while (fgets(line, sizeof(line), procs))
		uprobe_targets__of_process(targets, strtoul(line, NULL, 10), error);
	fclose(procs);
	below = opendir(dir);
	while (below && (entry = readdir(below)))
		if (entry->d_type == DT_DIR && strcmp(entry->d_name, ".") &&
		    strcmp(entry->d_name, "..") && !path__format(path, "%s/%s", dir, entry->d_name))
			of_members(targets, path, error);
	if (below)
		closedir(below);
	return 0;
}

int uprobe_targets__of_cgroup(struct uprobe_targets *targets, const char *cgroup, int *error)
{
	char root[PATH_MAX], path[PATH_MAX], dir[PATH_MAX];
	struct failure failure;
	__u64 id;
	int err = path__mounted("cgroup2", root);

	if (!err && cgroup__id(cgroup, &id, &failure))
		err = -ENOENT;
	/* By its id it takes a capability that a path does without. */
	if (!err && cgroup[0] == '/' && !strncmp(cgroup, root, strlen(root)))
		err = path__format(dir, "%s", cgroup);
	else if (!err && cgroup[strspn(cgroup, "0123456789")])
		err = path__format(dir, "%s/%s", root, cgroup);
	else if (!err)
		err = cgroup__path(id, path) ?: path__format(dir, "%s%s", root, path);
	return err ? err : of_members(targets, dir, error);
}

int uprobe_targets__of_pattern(struct uprobe_targets *targets, const char *pattern)
{
	int err = 0, one;
	glob_t files;

	if (glob(pattern, GLOB_BRACE | GLOB_NOCHECK, NULL, &files))
		return -ENOMEM;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		one = take(targets, files.gl_pathv[i]);
		if (one && (files.gl_pathc == 1 || one != -ENOEXEC))
			err = one;
	}
	globfree(&files);
	return err;
}

void uprobe_targets__free(struct uprobe_targets *targets)
{
	free(targets->seen);
	targets->seen = NULL;
	targets->n = targets->room = 0;
}
