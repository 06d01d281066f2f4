/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Finding the file that has a build id, wherever it is by now. */
#ifndef OTELBPF_SYMBOLS_FIND_H
#define OTELBPF_SYMBOLS_FIND_H

#include <sys/stat.h>

#include "symbols/image.h"

/** struct find - where files may be. Opaque. */
struct find;

/**
 * find__new - @debug_dirs: NULL-terminated, kept; NULL: /usr/lib/debug
 */
struct find *find__new(const char *const *debug_dirs);
void find__free(struct find *find);
size_t find__bytes(const struct find *find);

/** find__next_export - processes may be looked at again */
void find__next_export(struct find *find);

/**
 * struct found - a file that was found
 * @pid:  @path is as this process sees it; 0: as we do
 * @path: to look for a .gnu_debuglink beside; "" when not known
 */
struct found {
	struct image image;
	struct image_info info;
	__u32 pid;
	char path[4096];
};

/** find__file - the file code was mapped from. Return: 0 or -ENOENT. */
int find__file(struct find *find, const struct symbols_file *file, struct found *out);

/** find__debug - the debug file that belongs to @of. Return: 0 or -ENOENT. */
int find__debug(struct find *find, const struct found *of, struct found *out);

/** find__alt - what .gnu_debugaltlink of @of names, as dwz makes. Return: 0 or -ENOENT. */
int find__alt(struct find *find, const struct found *of, struct image *out);

/**
 * struct find_mapping - one line of /proc/PID/maps
 * @path: as written there, "" when there is none
 */
struct find_mapping {
	__u64 start, end, offset, inode;
	unsigned int major, minor;
	bool exec;
	char path[4096];
};

/** find__walk - lines of /proc/PID/maps, until @each says false */
void find__walk(__u32 pid, bool (*each)(const struct find_mapping *mapping, void *arg), void *arg);

/** find__mapped - open what a process maps there. Return: descriptor or -errno. */
int find__mapped(__u32 pid, const struct find_mapping *mapping);

#endif
