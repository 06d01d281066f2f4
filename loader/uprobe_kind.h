/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* By what a file of user space can be traced: its functions, probes of its own, or nothing. */
#ifndef OTELBPF_LOADER_UPROBE_KIND_H
#define OTELBPF_LOADER_UPROBE_KIND_H

#include <sys/stat.h>

#include "uprobe_file.h"

/** enum uprobe_kind - what a file has of what is wanted */
enum uprobe_kind {
	UPROBE_NOTHING,
	UPROBE_FUNCTIONS,
	UPROBE_USDT, /* all the USDT probes: what they tell functions are not asked for */
};

/**
 * uprobe_kind__of - look into a file, once as long as it does not change
 * @path:  the file
 * @file:  what stat(2) says of it
 * @names: functions and USDT probes that are wanted
 *
 * Return: an enum uprobe_kind, or -errno; -ENOEXEC: no 64-bit ELF file.
 */
int uprobe_kind__of(const char *path, const struct stat *file, const struct uprobe_names *names);

#endif
