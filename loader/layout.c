// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "layout.h"

#include <bpf/btf.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tagged.h"

/* Types of keys and values cannot contain themselves but through a pointer, which is not followed.
 */
#define DEPTH_MAX 24
#define WHERE_MAX 256

/* One comparison: two sides, and where in the type we are. */
struct walk {
	const struct btf *now, *was;
	const struct tagged *now_tags, *was_tags;
	char where[WHERE_MAX];
	int depth;
	char *what;
	size_t size;
};

__attribute__((format(printf, 2, 3))) static bool differs(struct walk *walk, const char *fmt, ...)
{
	va_list args;
	int len = snprintf(walk->what, walk->size, "%s: ", walk->where);

	va_start(args, fmt);
	if (len >= 0 && (size_t)len < walk->size)
		vsnprintf(walk->what + len, walk->size - len, fmt, args);
	va_end(args);
	return true;
}

static const struct btf_type *skip_modifiers(const struct btf *btf, __u32 *id)
{
	const struct btf_type *type = btf__type_by_id(btf, *id);

	for (int i = 0; type && i < DEPTH_MAX && (btf_is_mod(type) || btf_is_typedef(type)); i++) {
		*id = type->type;
		type = btf__type_by_id(btf, *id);
	}
	return type;
}

static const char *name_of(const struct btf *btf, __u32 offset)
{
	const char *name = btf__name_by_offset(btf, offset);

	return name ? name : "";
}

static bool tags_differ(struct walk *walk, __u32 now, __u32 was, int member)
{
	const struct tag *a = NULL, *b = NULL;

	do {
		a = tagged__next(walk->now_tags, now, member, a);
		b = tagged__next(walk->was_tags, was, member, b);
		if (a && b ? strcmp(a->text, b->text) : a != b)
			return differs(walk, "the tag is '%s', was '%s'", a ? a->text : "",
				       b ? b->text : "");
	} while (a);
	return false;
}

static bool types_differ(struct walk *walk, __u32 now, __u32 was);

static bool member_differs(struct walk *walk, __u32 now, __u32 was, const char *name)
{
	size_t len = strlen(walk->where);
	bool answer;

	snprintf(walk->where + len, sizeof(walk->where) - len, ".%s", name);
	answer = types_differ(walk, now, was);
	walk->where[len] = '\0';
	return answer;
}

static bool structs_differ(struct walk *walk, __u32 now_id, const struct btf_type *now,
			   __u32 was_id, const struct btf_type *was)
{
	__u32 n = btf_vlen(now) < btf_vlen(was) ? btf_vlen(now) : btf_vlen(was);

	if (tags_differ(walk, now_id, was_id, -1))
		return true;
	for (__u32 i = 0; i < n; i++) {
		const struct btf_member *a = &btf_members(now)[i], *b = &btf_members(was)[i];
		const char *name = name_of(walk->now, a->name_off);
		size_t len = strlen(walk->where);

		if (strcmp(name, name_of(walk->was, b->name_off)))
			return differs(walk, "member %u is '%s', was '%s'", i, name,
				       name_of(walk->was, b->name_off));
		if (a->offset != b->offset)
			return differs(walk, "'%s' is at bit %u, was at %u", name, a->offset,
				       b->offset);
		if (member_differs(walk, a->type, b->type, name))
			return true;
		snprintf(walk->where + len, sizeof(walk->where) - len, ".%s", name);
		if (tags_differ(walk, now_id, was_id, i))
			return true;
		walk->where[len] = '\0';
	}
	if (btf_vlen(now) > n)
		return differs(walk, "member '%s' is new",
			       name_of(walk->now, btf_members(now)[n].name_off));
	if (btf_vlen(was) > n)
		return differs(walk, "member '%s' is no longer there",
			       name_of(walk->was, btf_members(was)[n].name_off));
	if (now->size != was->size)
		return differs(walk, "%u bytes, was %u", now->size, was->size);
	return false;
}

static bool sections_differ(struct walk *walk, const struct btf_type *now,
			    const struct btf_type *was)
{
	const struct btf_var_secinfo *a = btf_var_secinfos(now), *b = btf_var_secinfos(was);
	__u32 n = btf_vlen(now) < btf_vlen(was) ? btf_vlen(now) : btf_vlen(was);

	for (__u32 i = 0; i < n; i++, a++, b++) {
		const struct btf_type *x = btf__type_by_id(walk->now, a->type);
		const struct btf_type *y = btf__type_by_id(walk->was, b->type);
		const char *name = x ? name_of(walk->now, x->name_off) : "";

		if (!x || !y || strcmp(name, name_of(walk->was, y->name_off)))
			return differs(walk, "variable %u is '%s', was '%s'", i, name,
				       y ? name_of(walk->was, y->name_off) : "");
		if (a->offset != b->offset || a->size != b->size)
			return differs(walk, "'%s' is %u bytes at %u, was %u bytes at %u", name,
				       a->size, a->offset, b->size, b->offset);
		if (member_differs(walk, x->type, y->type, name) ||
		    tags_differ(walk, a->type, b->type, -1))
			return true;
	}
	if (btf_vlen(now) != btf_vlen(was))
		return differs(walk, "%u variables, was %u", (__u32)btf_vlen(now),
			       (__u32)btf_vlen(was));
	return false;
}

static __u64 enum_value(const struct btf *btf, const struct btf_type *type, __u32 i,
			const char **name)
{
	if (btf_is_enum64(type)) {
		*name = name_of(btf, btf_enum64(type)[i].name_off);
		return btf_enum64_value(&btf_enum64(type)[i]);
	}
	*name = name_of(btf, btf_enum(type)[i].name_off);
	return (__u32)btf_enum(type)[i].val;
}

static bool enums_differ(struct walk *walk, const struct btf_type *now, const struct btf_type *was)
{
	if (btf_vlen(now) != btf_vlen(was))
		return differs(walk, "an enum of %u names, was %u", (__u32)btf_vlen(now),
			       (__u32)btf_vlen(was));
	for (__u32 i = 0; i < btf_vlen(now); i++) {
		const char *a, *b;
		__u64 x = enum_value(walk->now, now, i, &a), y = enum_value(walk->was, was, i, &b);

		if (x != y || strcmp(a, b))
			return differs(walk, "enum value %s = %llu, was %s = %llu", a,
				       (unsigned long long)x, b, (unsigned long long)y);
	}
	return false;
}

static bool resolved_differ(struct walk *walk, __u32 now_id, __u32 was_id)
{
	const struct btf_type *now = skip_modifiers(walk->now, &now_id);
	const struct btf_type *was = skip_modifiers(walk->was, &was_id);

	if (!now || !was)
		return now != was && differs(walk, "has a type, had none or the reverse");
	if (btf_kind(now) != btf_kind(was))
		return differs(walk, "another kind of type (%s, was %s)",
			       name_of(walk->now, now->name_off),
			       name_of(walk->was, was->name_off));
	switch (btf_kind(now)) {
	case BTF_KIND_INT:
		if (now->size != was->size)
			return differs(walk, "%u bytes, was %u", now->size, was->size);
		if (btf_int_encoding(now) != btf_int_encoding(was))
			return differs(walk, "another signedness");
		return false;
	case BTF_KIND_FLOAT:
		return now->size != was->size && differs(walk, "another size");
	case BTF_KIND_ARRAY:
		if (btf_array(now)->nelems != btf_array(was)->nelems)
			return differs(walk, "%u elements, was %u", btf_array(now)->nelems,
				       btf_array(was)->nelems);
		return types_differ(walk, btf_array(now)->type, btf_array(was)->type);
	case BTF_KIND_STRUCT:
	case BTF_KIND_UNION:
		return structs_differ(walk, now_id, now, was_id, was);
	case BTF_KIND_ENUM:
	case BTF_KIND_ENUM64:
		return enums_differ(walk, now, was);
	case BTF_KIND_DATASEC:
		return sections_differ(walk, now, was);
	default:
		return false;
	}
}

static bool types_differ(struct walk *walk, __u32 now, __u32 was)
{
	bool answer;

	if (walk->depth == DEPTH_MAX)
		return differs(walk, "nested too deep");
	walk->depth++;
	answer = resolved_differ(walk, now, was);
	walk->depth--;
	return answer;
}

/* libbpf rounds a ring buffer up when it makes it, and sizes a perf buffer by CPUs. */
static __u32 real_max_entries(const struct bpf_map *map)
{
	__u64 rounded = sysconf(_SC_PAGESIZE), max = bpf_map__max_entries(map);

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_PERF_EVENT_ARRAY:
		return max ? max : (__u64)libbpf_num_possible_cpus();
	case BPF_MAP_TYPE_RINGBUF:
		while (rounded < max)
			rounded *= 2;
		return rounded;
	default:
		return max;
	}
}

bool layout__differs(const struct object *object, const struct bpf_map *map,
		     const struct mapview *pinned, char *what, size_t size)
{
	struct walk walk = {
		.now = bpf_object__btf(object->obj),
		.was = pinned->btf,
		.now_tags = object->tagged,
		.was_tags = pinned->tagged,
		.what = what,
		.size = size,
	};
	const struct {
		const char *name;
		__u32 now, was;
	} numbers[] = {
		{"key_size", bpf_map__key_size(map), pinned->info.key_size},
		{"value_size", bpf_map__value_size(map), pinned->info.value_size},
		{"max_entries", real_max_entries(map), pinned->info.max_entries},
		{"map_flags", bpf_map__map_flags(map), pinned->info.map_flags},
	};
	const struct {
		const char *name;
		__u32 now, was;
	} types[] = {
		{"key", bpf_map__btf_key_type_id(map), pinned->info.btf_key_type_id},
		{"value", bpf_map__btf_value_type_id(map), pinned->info.btf_value_type_id},
	};
	__u32 var;

	/* Members tell more than sizes do: so the types first, if both have some. */
	for (size_t i = 0; i < 2 && pinned->btf; i++) {
		snprintf(walk.where, sizeof(walk.where), "%s", types[i].name);
		if (types[i].now && types[i].was && types_differ(&walk, types[i].now, types[i].was))
			return true;
	}
	if (bpf_map__type(map) != pinned->info.type) {
		snprintf(what, size, "type is %s, was %s", mapview__type_name(bpf_map__type(map)),
			 mapview__type_name(pinned->info.type));
		return true;
	}
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		if (numbers[i].now != numbers[i].was) {
			snprintf(what, size, "%s is %u, was %u", numbers[i].name, numbers[i].now,
				 numbers[i].was);
			return true;
		}
	if (!pinned->btf)
		return false;
	snprintf(walk.where, sizeof(walk.where), "map");
	var = tagged__variable(walk.now, bpf_map__name(map));
	return var && pinned->var && tags_differ(&walk, var, pinned->var, -1);
}
