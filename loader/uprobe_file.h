/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Functions in an ELF file, by name. */
#ifndef OTELBPF_LOADER_UPROBE_FILE_H
#define OTELBPF_LOADER_UPROBE_FILE_H

#include <linux/types.h>
#include <stdbool.h>

/** struct uprobe_file - an open file. Opaque. */
struct uprobe_file;

/** uprobe_file__open - NULL with errno set if it is no ELF file that can be read */
struct uprobe_file *uprobe_file__open(const char *path);
void uprobe_file__close(struct uprobe_file *file);

/**
 * struct uprobe_functions - places of functions, in the order of their offsets
 * @n:      how many
 * @offset: in the file; functions that are one under several names are there once
 */
#define UPROBE_FUNCTIONS_MAX 32
struct uprobe_functions {
	int n;
	__u64 offset[UPROBE_FUNCTIONS_MAX];
};

/**
 * uprobe_file__find - the functions that a file defines
 * @file:  the file
 * @names: comma separated
 * @found: filled
 *
 * Each offset is that of the instruction to probe: see uprobe_place__find().
 */
void uprobe_file__find(struct uprobe_file *file, const char *names, struct uprobe_functions *found);

#endif
