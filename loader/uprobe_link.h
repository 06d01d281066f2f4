/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* How a program is tied to functions of user space: what the kernel has for it. */
#ifndef OTELBPF_LOADER_UPROBE_LINK_H
#define OTELBPF_LOADER_UPROBE_LINK_H

#include <linux/types.h>
#include <stdbool.h>

struct bpf_program;

/**
 * uprobe_link__prepare - before its object is loaded: declare what the program will be attached as
 * @prog:    program
 * @section: "uprobe/...", "uretprobe/...", "usdt/...", or "uprobe.session/..."; others are left
 *           alone
 */
void uprobe_link__prepare(struct bpf_program *prog, const char *section);

/** uprobe_link__has_sessions - whether there are programs for entry and return (6.13): 0 or -errno
 */
int uprobe_link__has_sessions(void);

/** uprobe_link__nothing - load a program that does nothing, to be attached like one of @section
 *
 * Return: a descriptor, or -errno.
 */
int uprobe_link__nothing(const char *section);

/**
 * struct uprobe_places - places in a file
 * @n:        how many
 * @offsets:  of the instructions
 * @counters: of what the kernel counts up there as long as a link exists, 0: of nothing; or NULL
 * @cookies:  what the program is told of the place; or NULL
 */
struct uprobe_places {
	int n;
	const __u64 *offsets, *counters, *cookies;
};

/** uprobe_link__type - number of the kernel's uprobe events, or -errno */
int uprobe_link__type(void);

/**
 * uprobe_link__create_many - one link for many places of a file (6.6)
 * @prog:    descriptor of a loaded program
 * @section: as above
 * @path:    file
 * @places:  in it
 * @pid:     the only process that traps; 0: all
 *
 * Return: a descriptor; -EOPNOTSUPP if the kernel or the program is not for that, or -errno.
 */
int uprobe_link__create_many(int prog, const char *section, const char *path,
			     const struct uprobe_places *places, __u32 pid);

/** uprobe_link__create - the same for the @nth of them, on every kernel; not for sessions */
int uprobe_link__create(int prog, const char *section, const char *path,
			const struct uprobe_places *places, int nth, __u32 pid);

#endif
