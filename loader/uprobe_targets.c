// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_targets.h"

#include <dirent.h>
#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cgroup.h"
#include "path.h"
#include "uprobe_kind.h"

/* By what it is: a library has several names, and a container's has the same as the host's. */
static struct uprobe_target *meet(struct uprobe_targets *targets, const char *path)
{
	struct uprobe_target *one;
	struct stat st;

	if (stat(path, &st))
		return NULL;
	for (int i = 0; i < targets->n; i++) {
		one = &targets->seen[i];
		if (one->inode == st.st_ino && one->device == st.st_dev)
			return one;
	}
	if (targets->n == targets->room) {
		int room = targets->room * 2 + 64;

		one = reallocarray(targets->seen, room, sizeof(*one));
		if (!one)
			return NULL;
		targets->seen = one;
		targets->room = room;
	}
	one = &targets->seen[targets->n++];
	*one = (struct uprobe_target){.device = st.st_dev, .inode = st.st_ino};
	one->kind = targets->kind(path, targets->ctx);
	return one;
}

static int take(struct uprobe_targets *targets, struct uprobe_target *one, const char *path)
{
	if (one->taken)
		return 0;
	one->taken = true;
	return targets->found(path, targets->ctx);
}

/*
 * What a process has mapped to execute: the best kind among it is put into @best, and what is of
 * that kind or @wanted is taken, if there is such.
 */
static int look_through(struct uprobe_targets *targets, unsigned int pid, int wanted, int *best,
			int *error)
{
	char path[PATH_MAX], line[PATH_MAX + 256];
	int err = path__format(path, "/proc/%u/maps", pid);
	FILE *maps = err ? NULL : fopen(path, "re");

	if (!maps)
		return err ? err : -errno;
	while (fgets(line, sizeof(line), maps)) {
		unsigned long start, end, inode;
		struct uprobe_target *one;
		char rights[8];

		if (sscanf(line, "%lx-%lx %7s %*s %*s %lu", &start, &end, rights, &inode) != 4 ||
		    !inode || !strchr(rights, 'x'))
			continue;
		/* What is mapped, though another file may have its name by now, or none. */
		err = path__format(path, "/proc/%u/map_files/%lx-%lx", pid, start, end);
		one = err ? NULL : meet(targets, path);
		if (!err && !one)
			err = -errno;
		if (one && one->kind > *best)
			*best = one->kind;
		if (one && (one->kind < 0 || (wanted && one->kind >= wanted)))
			err = take(targets, one, path);
		/* Code that was made at run time, or that is not mapped any more. */
		if (err && err != -ENOEXEC && err != -ENOENT)
			*error = err;
	}
	fclose(maps);
	return 0;
}

int uprobe_targets__of_process(struct uprobe_targets *targets, unsigned int pid, int *error)
{
	int best = INT_MIN, again = INT_MIN, err = look_through(targets, pid, 0, &best, error);
	struct uprobe_target *program;
	char path[PATH_MAX];

	if (!err && best > UPROBE_NOTHING)
		err = look_through(targets, pid, best, &again, error);
	/* It may be another file than the one that is mapped, as with overlayfs. */
	if (err || best == INT_MIN || path__format(path, "/proc/%u/exe", pid))
		return err;
	program = meet(targets, path);
	if (program && best <= UPROBE_NOTHING && targets->none && !program->taken) {
		program->taken = true;
		targets->none(path, targets->ctx);
	}
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
	struct uprobe_target *one;
	int err = 0, error;
	glob_t files;

	if (glob(pattern, GLOB_BRACE | GLOB_NOCHECK, NULL, &files))
		return -ENOMEM;
	for (size_t i = 0; i < files.gl_pathc; i++) {
		one = meet(targets, files.gl_pathv[i]);
		error = one ? take(targets, one, files.gl_pathv[i]) : -errno;
		if (error && (files.gl_pathc == 1 || error != -ENOEXEC))
			err = error;
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
