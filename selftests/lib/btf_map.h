/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Maps that exist only as BTF, for tests of what reads BTF: no kernel is asked. */
#ifndef SELFTESTS_BTF_MAP_H
#define SELFTESTS_BTF_MAP_H

#include <linux/bpf.h>
#include <linux/types.h>
#include <stddef.h>

struct btf;
struct plan;
struct tagged;

#define BTF_FIELD_TAGS 8

/**
 * struct btf_field - one member of a struct under construction
 * @name: of the member; NULL ends a list
 * @type: u8 … u64, s8 … s64, char, bool, float, enum, enum64, exphist or exphist_s, or a
 *        struct added before; behind it "[N]" for an array or ":N" for a bit field. A
 *        leading "const " or "typedef " is one more type around it.
 * @tags: declaration tags, whole: "otel:sum|…"
 */
struct btf_field {
	const char *name;
	const char *type;
	const char *tags[BTF_FIELD_TAGS];
};

/**
 * struct btf_map - a map's description, as the kernel would give it
 * @btf:    types
 * @tagged: index of its tags, made by btf_map__compile()
 * @info:   type is BPF_MAP_TYPE_HASH and max_entries 1024 unless changed
 * @var:    BTF id of the map's variable
 * @why:    what plan__compile() had to say
 */
struct btf_map {
	struct btf *btf;
	struct tagged *tagged;
	struct bpf_map_info info;
	__u32 var;
	char why[512];
};

/**
 * btf_map__init - a map with BTF of its own
 * @map:   filled in
 * @key:   members of struct key, laid out as a C compiler would; NULL for a __u32
 * @value: members of struct value; NULL for a __u64
 * @tags:  of the variable; ends with NULL; or NULL
 *
 * Ends the test when libbpf refuses something.
 */
void btf_map__init(struct btf_map *map, const struct btf_field *key, const struct btf_field *value,
		   const char *const *tags);

/** btf_map__begin - the empty start of btf_map__init(), for tests that add types themselves */
void btf_map__begin(struct btf_map *map);

/** btf_map__struct - add a struct; returns its BTF id, its size in @size unless NULL */
int btf_map__struct(struct btf_map *map, const char *name, const struct btf_field *fields,
		    __u32 *size);

/** btf_map__end - add the variable; see btf_map__init() */
void btf_map__end(struct btf_map *map, int key, __u32 key_size, int value, __u32 value_size,
		  const char *const *tags);

/** btf_map__compile - plan__compile() of the map; errno as it left it */
struct plan *btf_map__compile(struct btf_map *map);
void btf_map__free(struct btf_map *map);

#endif
