/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Read: profile tables, a window at a time, into a set that can be encoded. */
#ifndef OTELBPF_PROFILES_H
#define OTELBPF_PROFILES_H

#include <linux/types.h>
#include <stdbool.h>

#include "profile/profile.h"
#include "resource.h"
#include "symbols/symbols.h"

/** struct profiles - what reading the profile tables below a pin directory needs. Opaque. */
struct profiles;

/** profiles__new - @pin_dir and @symbols are kept, not owned; @symbols NULL: no names */
struct profiles *profiles__new(const char *pin_dir, struct symbols *symbols);
void profiles__free(struct profiles *profiles);

/**
 * profiles__only_held - have profiles__read() take nothing but states (OTEL_STATE), and of them
 * what is @older_ns old; 0: everything of everything
 */
void profiles__only_held(struct profiles *profiles, __u64 older_ns);

/**
 * profiles__read - put what was sampled into a set
 * @profiles:  from profiles__new()
 * @resources: of cgroups
 * @set:       cleared by the caller
 * @owner:     close the open windows and read those; else read what the open windows
 *             have so far, and change nothing
 * @now_ns:    UTC since 1970
 *
 * An owner that finds a closed window which was not acknowledged reads that one again,
 * under the same profile ids, and leaves the open one open.
 *
 * Return: the number of profile tables, or -errno.
 */
int profiles__read(struct profiles *profiles, struct resources *resources, struct profile_set *set,
		   bool owner, __u64 now_ns);

struct process_resources;

/** profiles__processes - what processes say of themselves, to be shared with other signals */
struct process_resources *profiles__processes(struct profiles *profiles);

/**
 * profiles__left_open - whether the last profiles__read() took an older window
 *
 * An owner that is about to end acknowledges that one and reads once more.
 */
bool profiles__left_open(const struct profiles *profiles);

/**
 * profiles__acknowledge - delete the closed windows that were read
 *
 * To be called by an owner, when their receiver has them.
 *
 * Return: how many entries.
 */
int profiles__acknowledge(struct profiles *profiles);

#endif
