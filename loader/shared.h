/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps tagged OTEL_SHARED(): one for all tools of this machine, at the root of bpffs. */
#ifndef OTELBPF_LOADER_SHARED_H
#define OTELBPF_LOADER_SHARED_H

#include <stdbool.h>

#include "args.h"
#include "object.h"

#define SHARED_MAX 8

/**
 * struct shared - the shared maps of one load
 * @dir:  where they are pinned
 * @lock: of @dir while one is still to be pinned, -1: none
 * @map:  the maps, @n of them, with their names in @dir
 */
struct shared {
	char dir[PATH_MAX];
	int lock;
	int n;
	struct {
		const struct bpf_map *map;
		const char *name;
		bool exists, pinned;
	} map[SHARED_MAX];
};

/**
 * shared__take - find the shared maps of an object, and those that are there already
 * @shared:  filled; to be ended also after a failure
 * @args:    .shared_dir, or .pin_dir whose mount it is
 * @object:  open, not yet loaded; it lends the names. Maps that are there are given to libbpf
 * @failure: filled on failure: EXIT_MAP for a map of another shape
 */
int shared__take(struct shared *shared, const struct args *args, const struct object *object,
		 struct failure *failure);

/** shared__has - whether a map is one of them: it has no pin of the probe's own */
bool shared__has(const struct shared *shared, const struct bpf_map *map);

/** shared__pin - once the object is loaded, pin those that were not there */
int shared__pin(struct shared *shared, struct failure *failure);

/** shared__end - let go; unless the load succeeded, what shared__pin() made goes again */
void shared__end(struct shared *shared, bool success);

#endif
