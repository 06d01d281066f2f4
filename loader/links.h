/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The links of one probe: what makes its programs run. */
#ifndef OTELBPF_LOADER_LINKS_H
#define OTELBPF_LOADER_LINKS_H

#include "failure.h"

/**
 * struct attachable - a loaded program
 * @name:    its pin's name
 * @section: "" or of a kind that does not attach: left alone
 * @fd:      descriptor
 */
struct attachable {
	const char *name;
	const char *section;
	int fd;
};

/**
 * links__attach - attach programs and pin their links
 * @dir:     the probe's directory; links go to @dir/link/
 * @list:    the programs
 * @n:       how many
 * @failure: filled on failure; nothing is attached then
 *
 * Return: 0 or an exit code.
 */
int links__attach(const char *dir, const struct attachable *list, int n, struct failure *failure);

/**
 * links__follow_cpus - have the links of programs on each CPU on those that are online, and no
 * others
 * @probe:  its name, for what is said of each change
 * @dir:    the probe's directory
 * @list:   its programs
 * @n:      how many
 * @gone:   CPUs that were away meanwhile, also if they are back: their links are dead
 * @n_gone: how many
 */
void links__follow_cpus(const char *probe, const char *dir, const struct attachable *list, int n,
			const int *gone, int n_gone);

/**
 * links__check_room - see that there are descriptors enough for a changeover
 * @old_dir: the probe that is replaced, or NULL
 * @list:    the programs that will be attached
 * @n:       how many
 * @failure: filled if there are not
 *
 * All that is held at once is counted before anything is detached: what is loaded must
 * not be gone for want of something that can be counted.
 *
 * Return: 0 or EXIT_ATTACH.
 */
int links__check_room(const char *old_dir, const struct attachable *list, int n,
		      struct failure *failure);

/** struct links - links that are no longer pinned but still attached. Opaque. */
struct links;

/**
 * links__release - take a probe's links off bpffs and hold them
 * @dir: the probe's directory
 *
 * Afterwards the descriptors in the answer are the only references, so that
 * links__drop() detaches at once, not some time after a grace period.
 *
 * Return: the links; NULL with errno set.
 */
struct links *links__release(const char *dir);

/**
 * links__drop - detach; when it returns no program runs from these links
 * @links: freed; may be NULL
 */
void links__drop(struct links *links);

/** links__count - how many links are pinned; -errno if that cannot be seen */
int links__count(const char *dir);

#endif
