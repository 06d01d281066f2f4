/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which files of user space are meant: those that a process has mapped, or that have a name. */
#ifndef OTELBPF_LOADER_UPROBE_TARGETS_H
#define OTELBPF_LOADER_UPROBE_TARGETS_H

#include <stdbool.h>
#include <sys/types.h>

struct uprobe_target {
	dev_t device;
	ino_t inode;
	int kind;
	bool taken;
};

/**
 * struct uprobe_targets - files that have been found so far
 * @kind:  what a file is, an enum uprobe_kind or -errno; called once, whatever names it has
 * @found: called with the path of each file, once; returns 0 or -errno
 * @none:  called with the program of a process that has nothing of what is wanted; or NULL
 * @ctx:   handed to them
 *
 * Zeroed but for these; uprobe_targets__free() in the end.
 */
struct uprobe_targets {
	int (*kind)(const char *path, void *ctx);
	int (*found)(const char *path, void *ctx);
	void (*none)(const char *path, void *ctx);
	void *ctx;
	struct uprobe_target *seen;
	int n, room;
};

/**
 * uprobe_targets__of_process - every file that a process has mapped to execute, deleted ones, too
 *
 * Of a process that has files with USDT probes only these: what it calls in others is told there.
 *
 * @error: set to the last error of what is a program; left alone when there was none
 *
 * Return: 0 or -errno: there is no such process.
 */
int uprobe_targets__of_process(struct uprobe_targets *targets, unsigned int pid, int *error);

/**
 * uprobe_targets__of_cgroup - the same of all processes in a cgroup and below it
 * @cgroup: as a filter takes it: a path in the hierarchy, or below its root, or an id
 *
 * Return: 0 or -errno: there is no such cgroup.
 */
int uprobe_targets__of_cgroup(struct uprobe_targets *targets, const char *cgroup, int *error);

/**
 * uprobe_targets__of_pattern - every file with a name
 * @pattern: a path; several with '*', '[...]' and '{...,...}' as in a shell
 *
 * Return: 0 or the last -errno: among several files those that are no programs do not count.
 */
int uprobe_targets__of_pattern(struct uprobe_targets *targets, const char *pattern);

void uprobe_targets__free(struct uprobe_targets *targets);

#endif
