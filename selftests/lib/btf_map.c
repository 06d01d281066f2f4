// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "btf_map.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"
#include "plan.h"
#include "tagged.h"

static const struct {
	const char *name;
	__u32 size;
	int encoding;
} ints[] = {
	{"u8", 1, 0},
	{"u16", 2, 0},
	{"u32", 4, 0},
	{"u64", 8, 0},
	{"s8", 1, BTF_INT_SIGNED},
	{"s16", 2, BTF_INT_SIGNED},
	{"s32", 4, BTF_INT_SIGNED},
	{"s64", 8, BTF_INT_SIGNED},
	{"char", 1, BTF_INT_CHAR},
	{"bool", 1, BTF_INT_BOOL},
};
#define INTS (sizeof(ints) / sizeof(ints[0]))

/* As headers/otelbpf/exphist.bpf.h has them. */
static const struct btf_field exphist[] = {{"count", "u64", {}},
					   {"sum", "u64", {}},
					   {"min", "u64", {}},
					   {"max", "u64", {}},
					   {"zero_count", "u64", {}},
					   {"buckets", "u64[192]", {"otel:buckets|2|-1|1|none"}},
					   {}};
static const struct btf_field exphist_s[] = {
	{"count", "u64", {}},
	{"sum", "u64", {}},
	{"min", "u64", {}},
	{"max", "u64", {}},
	{"zero_count", "u64", {}},
	{"buckets", "u64[192]", {"otel:buckets|2|-112|1e-9|-28"}},
	{}};

static int checked(int id)
{
	ASSERT_GT(id, 0);
	return id;
}

static int base_type(struct btf_map *map, const char *name)
{
	int id = btf__find_by_name(map->btf, name);

	if (id > 0)
		return id;
	for (size_t i = 0; i < INTS; i++)
		if (!strcmp(ints[i].name, name))
			return checked(
				btf__add_int(map->btf, name, ints[i].size, ints[i].encoding));
	if (!strcmp(name, "float"))
		return checked(btf__add_float(map->btf, name, 8));
	if (!strcmp(name, "enum")) {
		id = checked(btf__add_enum(map->btf, name, 4));
		ASSERT_EQ(btf__add_enum_value(map->btf, "RED", 0), 0);
		ASSERT_EQ(btf__add_enum_value(map->btf, "GREEN", 7), 0);
		ASSERT_EQ(btf__add_enum_value(map->btf, "BLUE", -1), 0);
		return id;
	}
	if (!strcmp(name, "enum64")) {
		id = checked(btf__add_enum64(map->btf, name, 8, false));
		ASSERT_EQ(btf__add_enum64_value(map->btf, "NEAR", 1), 0);
		ASSERT_EQ(btf__add_enum64_value(map->btf, "FAR", 1ULL << 40), 0);
		return id;
	}
	if (!strcmp(name, "exphist"))
		return btf_map__struct(map, name, exphist, NULL);
	ASSERT_STREQ(name, "exphist_s");
	return btf_map__struct(map, name, exphist_s, NULL);
}

static int type_of(struct btf_map *map, const char *text, int *bits)
{
	char name[64];
	unsigned long n;
	size_t len;
	int id;

	*bits = 0;
	if (!strncmp(text, "const ", 6))
		return checked(btf__add_const(map->btf, type_of(map, text + 6, bits)));
	if (!strncmp(text, "typedef ", 8))
		return checked(btf__add_typedef(map->btf, "alias", type_of(map, text + 8, bits)));
	len = strcspn(text, "[:");
	ASSERT_LT(len, sizeof(name));
	memcpy(name, text, len);
	name[len] = '\0';
	id = base_type(map, name);
	n = text[len] ? strtoul(text + len + 1, NULL, 10) : 0;
	if (text[len] == ':')
		*bits = n;
	if (text[len] == '[')
		id = checked(btf__add_array(map->btf, checked(base_type(map, "u32")), id, n));
	return id;
}

#define FIELDS_MAX 128

int btf_map__struct(struct btf_map *map, const char *name, const struct btf_field *fields,
		    __u32 *size)
{
	int types[FIELDS_MAX], bits[FIELDS_MAX], id, err;
	__u32 at[FIELDS_MAX], end = 0, widest = 1; /* in bits */
	int n = 0;

	for (; fields[n].name; n++) {
		__u32 align, width;

		ASSERT_LT(n, FIELDS_MAX);
		types[n] = type_of(map, fields[n].type, &bits[n]);
		align = 8 * btf__align_of(map->btf, types[n]);
		width = bits[n] ? (__u32)bits[n] : 8 * (__u32)btf__resolve_size(map->btf, types[n]);
		if (!bits[n])
			end = (end + align - 1) / align * align;
		at[n] = end;
		end += width;
		if (align > widest)
			widest = align;
	}
	end = (end + widest - 1) / widest * widest / 8;
	id = checked(btf__add_struct(map->btf, name, end));
	for (int i = 0; i < n; i++) {
		err = btf__add_field(map->btf, fields[i].name, types[i], at[i], bits[i]);
		ASSERT_EQ(err, 0);
	}
	for (int i = 0; i < n; i++)
		for (int t = 0; t < BTF_FIELD_TAGS && fields[i].tags[t]; t++)
			checked(btf__add_decl_tag(map->btf, fields[i].tags[t], id, i));
	if (size)
		*size = end;
	return id;
}

void btf_map__begin(struct btf_map *map)
{
	*map = (struct btf_map){
		.btf = btf__new_empty(),
		.info = {.type = BPF_MAP_TYPE_HASH, .max_entries = 1024},
	};
	ASSERT_TRUE(map->btf);
}

void btf_map__end(struct btf_map *map, int key, __u32 key_size, int value, __u32 value_size,
		  const char *const *tags)
{
	int anonymous = checked(btf__add_struct(map->btf, NULL, 8));

	map->info.btf_key_type_id = key;
	map->info.key_size = key_size;
	map->info.btf_value_type_id = value;
	map->info.value_size = value_size;
	map->var = checked(btf__add_var(map->btf, "table", BTF_VAR_GLOBAL_ALLOCATED, anonymous));
	checked(btf__add_decl_tag(map->btf, "otel:metrics", map->var, -1));
	for (; tags && *tags; tags++)
		checked(btf__add_decl_tag(map->btf, *tags, map->var, -1));
}

void btf_map__init(struct btf_map *map, const struct btf_field *key, const struct btf_field *value,
		   const char *const *tags)
{
	__u32 key_size = 4, value_size = 8;
	int key_type, value_type;

	btf_map__begin(map);
	key_type = key ? btf_map__struct(map, "key", key, &key_size) : base_type(map, "u32");
	value_type =
		value ? btf_map__struct(map, "value", value, &value_size) : base_type(map, "u64");
	btf_map__end(map, key_type, key_size, value_type, value_size, tags);
}

struct plan *btf_map__compile(struct btf_map *map)
{
	struct plan *plan;

	tagged__free(map->tagged);
	map->tagged = tagged__new(map->btf);
	ASSERT_TRUE(map->tagged);
	map->why[0] = '\0';
	plan = plan__compile(&map->info, map->btf, map->tagged, map->var, map->why,
			     sizeof(map->why));
	return plan;
}

void btf_map__free(struct btf_map *map)
{
	tagged__free(map->tagged);
	btf__free(map->btf);
	*map = (struct btf_map){0};
}
