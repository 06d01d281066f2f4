/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Opening files that others chose, without ever waiting for them. For one thread. */
#ifndef OTELBPF_SYMBOLS_OPEN_H
#define OTELBPF_SYMBOLS_OPEN_H

#include <linux/types.h>
#include <stdbool.h>
#include <sys/stat.h>

#define OPEN_WAIT_MS 1000
#define OPEN_TIMEOUTS_MAX 2	   /* in one export; then nothing is waited for any more */
#define OPEN_COPY_MAX (16 << 20)   /* bytes of a file that is not on a local mount */
#define OPEN_COPIES_MAX (32 << 20) /* of all of them in an export */

/**
 * open_regular - open a file for reading, if it is a regular one
 * @pid:    the process whose "/" @path and symbolic links in it begin at, 0: ours
 * @path:   absolute
 * @follow: whether @path itself may be a symbolic link
 * @st:     set to the file's attributes; NULL: not wanted
 *
 * Never blocks on a FIFO, never so much as touches a device. A child walks the path unless
 * the kernel has all of it at hand, and copies the file, in that time, when it is not on a
 * local mount (mounts.h): what is given out then is a copy in memory.
 *
 * Return: descriptor or -errno.
 */
int open_regular(__u32 pid, const char *path, bool follow, struct stat *st);

/** open_link - the same for a link in /proc that leads to a file itself: exe, map_files */
int open_link(__u32 pid, const char *path, struct stat *st);

/**
 * open_proc - open what the kernel says about a process
 * @pid:  the process
 * @name: "maps"
 *
 * It reads under a lock of the process's memory, which a thread of it can hold for as long as a
 * file system in user space likes: read by the child, and given out is a copy.
 *
 * Return: descriptor or -errno.
 */
int open_proc(__u32 pid, const char *name);

/** open_directory - open a directory of ours, if its mount is local. Return: descriptor or -errno.
 */
int open_directory(const char *path);

/** open_beneath - open a regular file in such a directory, no link. Return: descriptor or -errno.
 */
int open_beneath(int directory, const char *name);

/** open_root - "/" as a process sees it. Return: descriptor, or -errno when it is gone. */
int open_root(__u32 pid);

/** open__timeouts - how often the child did not answer in time in this export */
unsigned int open__timeouts(void);

/** open__next_export - give back what was held, end the child */
void open__next_export(void);

#endif
