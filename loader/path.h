/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Paths in buffers of PATH_MAX. */
#ifndef OTELBPF_LOADER_PATH_H
#define OTELBPF_LOADER_PATH_H

#include <limits.h>

/**
 * path__format - printf into a path
 * @path: PATH_MAX bytes
 * @fmt:  printf format
 *
 * Return: 0, or -ENAMETOOLONG with @path empty.
 */
int path__format(char *path, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/**
 * path__read_line - the first line of a small file
 * @path: the file
 * @line: filled without the newline
 * @size: of @line
 *
 * Return: 0 or -errno.
 */
int path__read_line(const char *path, char *line, int size);

/**
 * path__mounted - where a file system type is mounted
 * @type: as in /proc/mounts, for instance "tracefs"
 * @dir:  PATH_MAX bytes; the first mount that we can enter
 *
 * Return: 0, -ENOENT if it is nowhere, or -EACCES if it is but not for us.
 */
int path__mounted(const char *type, char *dir);

#endif
