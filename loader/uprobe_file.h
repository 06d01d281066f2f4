/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Functions in an ELF file, by name. */
#ifndef OTELBPF_LOADER_UPROBE_FILE_H
#define OTELBPF_LOADER_UPROBE_FILE_H

#include <libelf.h>
#include <linux/types.h>
#include <stdbool.h>

/** struct uprobe_file - an open file. Opaque. */
struct uprobe_file;

/** uprobe_file__open - NULL with errno set if it cannot be read; ENOEXEC: no 64-bit ELF file */
struct uprobe_file *uprobe_file__open(const char *path);
void uprobe_file__close(struct uprobe_file *file);

/** uprobe_file__elf - the file, as libelf knows it */
Elf *uprobe_file__elf(struct uprobe_file *file);

/**
 * struct uprobe_functions - places of functions, in the order of their offsets
 * @n:      how many
 * @offset: in the file; functions that are one under several names are there once
 */
#define UPROBE_FUNCTIONS_MAX 64
struct uprobe_functions {
	int n;
	__u64 offset[UPROBE_FUNCTIONS_MAX];
};

/**
 * struct uprobe_names - names of functions, as a linker knows them
 * @list:     comma separated; '*' and '[...]' as in a shell's file names
 * @prefixes: comma separated: names of the list with one of these before them count as well
 */
struct uprobe_names {
	const char *list, *prefixes;
};

/**
 * uprobe_file__find - the functions that a file defines
 * @file:  the file
 * @names: their names
 * @found: filled
 *
 * Each offset is that of the instruction to probe: see uprobe_place__find().
 */
void uprobe_file__find(struct uprobe_file *file, const struct uprobe_names *names,
		       struct uprobe_functions *found);

/** uprobe_file__is_stepped - whether the kernel single-steps what stands at an offset; x86-64 */
bool uprobe_file__is_stepped(struct uprobe_file *file, __u64 offset);

#endif
