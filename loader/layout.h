/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Whether a pinned map can go on under a new object. */
#ifndef OTELBPF_LOADER_LAYOUT_H
#define OTELBPF_LOADER_LAYOUT_H

#include <stdbool.h>
#include <stddef.h>

#include "mapview.h"
#include "object.h"

/**
 * layout__differs - compare a map of an object with one that is pinned
 * @object: open, not yet loaded, sizes set
 * @map:    one of its maps
 * @pinned: the pinned one
 * @what:   filled with the first difference, in words: "value.count: 4 bytes, was 8"
 * @size:   of @what
 *
 * Type, sizes, flags, and the BTF of key and value down to the last member: names,
 * offsets, types, and the tags, since a kept map keeps the BTF it was made with.
 */
bool layout__differs(const struct object *object, const struct bpf_map *map,
		     const struct mapview *pinned, char *what, size_t size);

#endif
