// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "options.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

#include "nearest.h"
#include "netdev.h"
#include "netns.h"
#include "tagged.h"
#include "xdp.h"

#define SIZE_SUFFIX ".max_entries"
#define MAX_ENTRIES_MAX (1U << 30)

/* Digits of @text up to @end, all of them; decimal with a sign, or 0x. */
static int parse_number(const char *text, const char *end, option_number *number)
{
	char copy[OPTION_TEXT], *rest;
	size_t len = end - text;
	bool negative, hex;

	if (!len || len >= sizeof(copy))
		return -EINVAL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	negative = copy[0] == '-';
	hex = !strncmp(copy + negative, "0x", 2);
	/* strtoull takes white space and signs, too: those are no numbers here. */
	if (!strchr("0123456789", copy[negative]) || !copy[negative])
		return -EINVAL;
	errno = 0;
	*number = strtoull(copy + negative, &rest, hex ? 16 : 10);
	if (negative)
		*number = -*number;
	return *rest || errno ? -EINVAL : 0;
}

static int parse_range(const char *range, option_number *min, option_number *max)
{
	const char *dots = strstr(range, "..");

	if (!dots || parse_number(range, dots, min) ||
	    parse_number(dots + 2, range + strlen(range), max))
		return -EINVAL;
	return *min <= *max ? 0 : -EINVAL;
}

option_number option__value(const struct option_var *option)
{
	const void *at = option->at;

	switch (option->size) {
	case 1:
		return option->is_signed ? (option_number) * (__s8 *)at : *(__u8 *)at;
	case 2:
		return option->is_signed ? (option_number) * (__s16 *)at : *(__u16 *)at;
	case 4:
		return option->is_signed ? (option_number) * (__s32 *)at : *(__u32 *)at;
	default:
		return option->is_signed ? (option_number) * (__s64 *)at : *(__u64 *)at;
	}
}

static void store(const struct option_var *option, option_number number)
{
	switch (option->size) {
	case 1:
		*(__u8 *)option->at = number;
		break;
	case 2:
		*(__u16 *)option->at = number;
		break;
	case 4:
		*(__u32 *)option->at = number;
		break;
	default:
		*(__u64 *)option->at = number;
		break;
	}
}

const char *option__print(option_number number, char text[OPTION_TEXT])
{
	if (number < 0)
		snprintf(text, OPTION_TEXT, "%lld", (long long)number);
	else
		snprintf(text, OPTION_TEXT, "%llu", (unsigned long long)number);
	return text;
}

static int describe_text(const struct btf *btf, const struct btf_var_secinfo *info,
			 const struct tag *tag, char *image, size_t section_size,
			 struct option_var *option)
{
	int id = btf__resolve_type(btf, info->type);
	const struct btf_type *element;

	option->is_text = true;
	option->name = btf__name_by_offset(btf, btf__type_by_id(btf, info->type)->name_off);
	option->unit = tag->arg[1];
	option->help = tag->arg[2];
	option->size = info->size;
	id = btf__resolve_type(btf, btf_array(btf__type_by_id(btf, id))->type);
	element = id > 0 ? btf__type_by_id(btf, id) : NULL;
	if (!element || !btf_is_int(element) || element->size != 1 || !option->name || !image ||
	    !option->size || info->offset > section_size ||
	    option->size > section_size - info->offset)
		return -EINVAL;
	option->at = image + info->offset;
	if (parse_range(tag->arg[0], &option->min, &option->max) || option->min < 0 ||
	    option->max >= (option_number)option->size)
		return -EINVAL;
	return memchr(option->at, 0, option->size) ? 0 : -EINVAL;
}

static int describe(const struct btf *btf, const struct btf_var_secinfo *info,
		    const struct tag *tag, const struct bpf_map *map, struct option_var *option)
{
	const struct btf_type *var = btf__type_by_id(btf, info->type), *type;
	size_t section_size;
	char *image = (char *)bpf_map__initial_value((struct bpf_map *)map, &section_size);
	int id = btf__resolve_type(btf, info->type);

	type = id > 0 ? btf__type_by_id(btf, id) : NULL;
	if (!var || !btf_is_var(var) || !type || tag->args != 3)
		return -EINVAL;
	if (btf_is_array(type))
		return describe_text(btf, info, tag, image, section_size, option);
	if (!btf_is_int(type) && !btf_is_any_enum(type))
		return -EINVAL;
	if (type->size != 1 && type->size != 2 && type->size != 4 && type->size != 8)
		return -EINVAL;
	option->name = btf__name_by_offset(btf, var->name_off);
	option->unit = tag->arg[1];
	option->help = tag->arg[2];
	option->size = type->size;
	option->is_signed = btf_kflag(type); /* of an enum */
	if (btf_is_int(type))
		option->is_signed = btf_int_encoding(type) & BTF_INT_SIGNED;
	if (!option->name || !image || info->offset > section_size ||
	    option->size > section_size - info->offset || info->offset % option->size)
		return -EINVAL;
	option->at = image + info->offset;
	return parse_range(tag->arg[0], &option->min, &option->max);
}

static const struct btf_type *datasec(const struct btf *btf, const char *section)
{
	int id = btf__find_by_name_kind(btf, section, BTF_KIND_DATASEC);

	return id > 0 ? btf__type_by_id(btf, id) : NULL;
}

static int check_mode(const char *text)
{
	return xdp__is_mode(text) ? 0 : -EINVAL;
}

/* What the loader itself needs of an option is where it stands in the image: --set comes later. */
static void learn(struct object *object, __u32 var, struct option_var *option)
{
	if (option->is_text && tagged__find(object->tagged, var, -1, "interfaces")) {
		object->interfaces = option->at;
		option->check = netdev__check_patterns;
	}
	if (option->is_text && tagged__find(object->tagged, var, -1, "xdp_mode")) {
		object->xdp_mode = option->at;
		option->check = check_mode;
	}
	if (option->is_text && tagged__find(object->tagged, var, -1, "target_binary"))
		object->target_binary = option->at;
	if (option->is_text && tagged__find(object->tagged, var, -1, "target_cgroup"))
		object->target_cgroup = option->at;
	if (option->is_text && tagged__find(object->tagged, var, -1, "target_prefixes"))
		object->target_prefixes = option->at;
	if (!option->is_text && option->size == sizeof(*object->target_pid) &&
	    tagged__find(object->tagged, var, -1, "target_pid"))
		object->target_pid = option->at;
}

/* A constant that the loader itself sets; NULL for what is none. */
static __u32 *constant_at(const struct bpf_map *map, const struct btf_var_secinfo *info)
{
	size_t size;
	char *image = (char *)bpf_map__initial_value((struct bpf_map *)map, &size);

	if (!image || info->size != sizeof(__u32) || info->offset % sizeof(__u32) ||
	    info->offset + sizeof(__u32) > size)
		return NULL;
	return (__u32 *)(image + info->offset);
}

/* What only this machine knows. */
static void store_fact(const struct bpf_map *map, const struct btf_var_secinfo *info, __u32 value)
{
	__u32 *constant = constant_at(map, info);

	if (constant)
		*constant = value;
}

/* At the time of the load. 16 TiB or more are as good as that. */
static __u32 memory_pages(void)
{
	struct sysinfo info;
	__u64 pages;

	if (sysinfo(&info))
		return 0;
	pages = ((__u64)info.totalram + info.totalswap) * info.mem_unit / sysconf(_SC_PAGESIZE);
	return pages < UINT32_MAX ? pages : UINT32_MAX;
}

int options__of(struct object *object, struct option_vars *options, struct failure *failure)
{
	const struct btf *btf = bpf_object__btf(object->obj);
	struct bpf_map *map;

	*options = (struct option_vars){};
	bpf_object__for_each_map (map, object->obj) {
		const char *section = object__section(map);
		const struct btf_type *sec = section ? datasec(btf, section) : NULL;
		struct option_var *more;

		if (!sec || strncmp(section, ".rodata", 7))
			continue;
		more = reallocarray(options->var, options->n + btf_vlen(sec) + 1, sizeof(*more));
		if (!more)
			return failed(failure, EXIT_INTERNAL, "no memory");
		options->var = more;
		for (__u32 i = 0; i < btf_vlen(sec); i++) {
			const struct btf_var_secinfo *info = &btf_var_secinfos(sec)[i];
			const struct tag *tag =
				tagged__find(object->tagged, info->type, -1, "option");

			if (tagged__find(object->tagged, info->type, -1, "home_netns"))
				store_fact(map, info, netns__inode());
			if (tagged__find(object->tagged, info->type, -1, "page_size"))
				store_fact(map, info, sysconf(_SC_PAGESIZE));
			if (tagged__find(object->tagged, info->type, -1, "turn_attempt"))
				object->turn_attempt = constant_at(map, info);
			if (tagged__find(object->tagged, info->type, -1, "memory_pages"))
				store_fact(map, info, memory_pages());
			if (!tag)
				continue;
			more[options->n] = (struct option_var){};
			more[options->n].is_frequency =
				tagged__find(object->tagged, info->type, -1, "frequency");
			more[options->n].is_hardware =
				tagged__find(object->tagged, info->type, -1, "hardware");
			if (describe(btf, info, tag, map, &more[options->n]))
				return failed(failure, EXIT_LOAD,
					      "%s: the option tag '%s' is malformed or on "
					      "something that is neither an integer nor a text",
					      object->target->path, tag->text);
			learn(object, info->type, &more[options->n]);
			options->n++;
		}
	}
	return 0;
}

/* --- setting ---------------------------------------------------------------- */

static int unknown_key(const struct object *object, const struct option_vars *options,
		       const char *key, struct failure *failure)
{
	const struct bpf_map *map;
	struct nearest nearest;
	char candidate[128];

	nearest__begin(&nearest, key);
	for (int i = 0; i < options->n; i++)
		nearest__consider(&nearest, options->var[i].name);
	bpf_object__for_each_map (map, object->obj) {
		if (!options__sizable(map))
			continue;
		snprintf(candidate, sizeof(candidate), "%s" SIZE_SUFFIX, bpf_map__name(map));
		nearest__consider(&nearest, candidate);
	}
	return failed(failure, EXIT_USAGE, "probe '%s' has no option '%s'%s%s%s",
		      object->target->probe, key, nearest.best[0] ? ": did you mean '" : "",
		      nearest.best, nearest.best[0] ? "'?" : ": see otelbpf options");
}

int options__leave_out(struct object *object, const struct option_vars *options,
		       struct failure *failure)
{
	struct bpf_map *map;

	bpf_object__for_each_map (map, object->obj) {
		__u32 id = tagged__variable(bpf_object__btf(object->obj), bpf_map__name(map));
		const struct tag *tag = id ? tagged__find(object->tagged, id, -1, "when") : NULL;
		const struct option_var *option = NULL;

		if (!tag)
			continue;
		for (int i = 0; i < options->n; i++)
			if (tag->args == 1 && !strcmp(options->var[i].name, tag->arg[0]) &&
			    !options->var[i].is_text)
				option = &options->var[i];
		if (!option)
			return failed(failure, EXIT_LOAD,
				      "%s: map %s: the tag '%s' names no option",
				      object->target->path, bpf_map__name(map), tag->text);
		if (!option__value(option))
			bpf_map__set_autocreate(map, false);
	}
	return 0;
}

bool options__sizable(const struct bpf_map *map)
{
	__u32 max = bpf_map__max_entries(map);

	/* One entry is a struct, not a table; "programs" is sized by the loader. */
	return !bpf_map__is_internal(map) && max > 1 && strcmp(bpf_map__name(map), "programs");
}

static int set_size(struct object *object, struct bpf_map *map, option_number number,
		    struct failure *failure)
{
	int err;

	if (number < 1 || number > MAX_ENTRIES_MAX)
		return failed(failure, EXIT_USAGE, "%s.%s" SIZE_SUFFIX " must be within 1..%u",
			      object->target->probe, bpf_map__name(map), MAX_ENTRIES_MAX);
	err = bpf_map__set_max_entries(map, number);
	if (err)
		return failed(failure, EXIT_INTERNAL, "cannot set %s.%s" SIZE_SUFFIX ": %s",
			      object->target->probe, bpf_map__name(map), failure__reason(err));
	return 0;
}

static int set_text(const struct object *object, const struct option_var *option, const char *value,
		    struct failure *failure)
{
	char min[OPTION_TEXT], max[OPTION_TEXT];
	size_t len = strlen(value);

	if ((option_number)len < option->min || (option_number)len > option->max)
		return failed(failure, EXIT_USAGE, "%s.%s: '%s' has not %s..%s characters (%s)",
			      object->target->probe, option->name, value,
			      option__print(option->min, min), option__print(option->max, max),
			      option->help);
	if (option->check && option->check(value))
		return failed(failure, EXIT_USAGE, "%s.%s: '%s' will not do (%s)",
			      object->target->probe, option->name, value, option->help);
	memset(option->at, 0, option->size);
	memcpy(option->at, value, len);
	return 0;
}

int options__set(struct object *object, struct option_vars *options, const char *key,
		 const char *value, struct failure *failure)
{
	size_t len = strlen(key), suffix = strlen(SIZE_SUFFIX);
	char min[OPTION_TEXT], max[OPTION_TEXT], name[PIN_NAME_MAX];
	struct option_var *option = NULL;
	struct bpf_map *map = NULL;
	option_number number;

	for (int i = 0; i < options->n; i++)
		if (!strcmp(options->var[i].name, key))
			option = &options->var[i];
	if (len > suffix && len - suffix < sizeof(name) &&
	    !strcmp(key + len - suffix, SIZE_SUFFIX)) {
		snprintf(name, sizeof(name), "%.*s", (int)(len - suffix), key);
		map = bpf_object__find_map_by_name(object->obj, name);
		if (map && !options__sizable(map))
			map = NULL;
	}
	if (!option && !map)
		return unknown_key(object, options, key, failure);
	if (option && option->is_text)
		return set_text(object, option, value, failure);
	if (parse_number(value, value + strlen(value), &number))
		return failed(failure, EXIT_USAGE, "%s.%s: '%s' is not an integer",
			      object->target->probe, key, value);
	if (map)
		return set_size(object, map, number, failure);
	if (number < option->min || number > option->max)
		return failed(failure, EXIT_USAGE, "%s.%s: %s is not within %s..%s%s%s (%s)",
			      object->target->probe, key, value, option__print(option->min, min),
			      option__print(option->max, max), option->unit[0] ? " " : "",
			      option->unit, option->help);
	store(option, number);
	return 0;
}
