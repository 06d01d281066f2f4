/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Source lines and inlined functions, from DWARF.
 *
 * elfutils reads it, in a child process of its own for each file: that can do no more than
 * read the file it was given, answer, and be killed. So a file made to crash the reader or
 * to keep it busy costs its own lines and nothing else, and the memory that DWARF needs goes
 * back when the child does.
 */
#ifndef OTELBPF_SYMBOLS_LINES_H
#define OTELBPF_SYMBOLS_LINES_H

#include <sys/types.h>

#include "symbols/image.h"

/** struct lines - a reader. Zeroed: none. */
struct lines {
	pid_t pid;
	int fd;
	char *answer;
};

#define LINES_FRAMES_MAX 64

/** struct lines_frame - one function; strings live until the next question */
struct lines_frame {
	const char *name; /* linkage name if there is one */
	const char *file;
	__u32 line, start_line;
};

/**
 * lines__start - @alt: what .gnu_debugaltlink names, fd -1: none
 *
 * Return: 0 or -errno.
 */
int lines__start(struct lines *lines, const struct image *debug, const struct image *alt);

/**
 * lines__ask - functions around an address, innermost first
 *
 * Return: how many, 0 when there is no information; -errno: the reader is no more.
 */
int lines__ask(struct lines *lines, __u64 vaddr, struct lines_frame *out, int max);
void lines__stop(struct lines *lines);

#endif
