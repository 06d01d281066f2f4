/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A loaded probe, as it stands in bpffs. */
#ifndef OTELBPF_LOADER_PROBE_H
#define OTELBPF_LOADER_PROBE_H

#include <limits.h>
#include <otelbpf/meta.h>

#include "args.h"
#include "failure.h"
#include "links.h"

/**
 * struct probe - a probe's directory and what the loader wrote about it
 * @name:     its name
 * @dir:      PINDIR/NAME
 * @meta:     of the map "meta"
 * @program:  of the map "programs", @programs of them
 * @lock:     descriptor while locked, else -1
 */
struct probe {
	char name[OTEL_PROBE_NAME_MAX];
	char dir[PATH_MAX];
	struct otel_meta meta;
	struct otel_program program[OTEL_PROGRAMS_MAX];
	int programs;
	int lock;
};

/**
 * probe__open - read what is known about a loaded probe
 * @probe:   filled; to be closed also after a failure
 * @pin_dir: where
 * @name:    which
 * @failure: filled on failure
 *
 * Return: 0, or EXIT_MAP: not loaded, or not by this ABI.
 */
int probe__open(struct probe *probe, const char *pin_dir, const char *name,
		struct failure *failure);

/** probe__open_locked - the same with the probe's own lock, for changes of its filter or links */
int probe__open_locked(struct probe *probe, const char *pin_dir, const char *name,
		       struct failure *failure);
void probe__close(struct probe *probe);

/** probe__set_state - write meta.state. Returns 0 or -errno. */
int probe__set_state(struct probe *probe, enum otel_state state);

/**
 * probe__attach - attach its pinned programs, as its section names say
 * @probe:   open
 * @failure: filled on failure; nothing is attached then
 *
 * The epoch goes up before, so that no start from before the gap is believed. The
 * filter's processes are caught up with after it.
 */
int probe__attach(struct probe *probe, struct failure *failure);

/**
 * probe__programs - open the pinned programs that attach somewhere
 * @probe:   open; lends the names
 * @list:    OTEL_PROGRAMS_MAX of them; for probe__close_programs(), also after a failure
 * @n:       how many
 * @failure: filled on failure
 *
 * Return: 0 or EXIT_MAP.
 */
int probe__programs(const struct probe *probe, struct attachable *list, int *n,
		    struct failure *failure);
void probe__close_programs(const struct attachable *list, int n);

/** probe__next_epoch - count otel_filter.epoch up; a probe without it is fine. 0 or -errno. */
int probe__next_epoch(const char *dir);

/**
 * probe__names - the probes that a command means
 * @args:  their .name, or if there is none all loaded ones
 * @names: set to a NULL-terminated array, to be freed with pins__free_names()
 *
 * Says what is wrong. Return: an exit code.
 */
int probe__names(const struct args *args, char ***names);

#endif
