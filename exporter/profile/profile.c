// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <limits.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "model.h"
#include "otlp/utf8.h"

#define LINES_MAX 1024 /* functions inlined at one address */
#define FRAMES_MAX 65536

_Static_assert(sizeof(struct attribute_value) == 24, "no padding: it is compared as bytes");
_Static_assert(sizeof(struct mapping_value) == 40, "no padding: it is compared as bytes");
_Static_assert(sizeof(struct function_value) == 24, "no padding: it is compared as bytes");
_Static_assert(sizeof(struct line_value) == 24, "no padding: it is compared as bytes");
_Static_assert(sizeof(struct location_value) == 24, "no padding: it is compared as bytes");
_Static_assert(sizeof(struct link_value) == 24, "no padding: it is compared as bytes");
_Static_assert(sizeof(struct profile_value) == 72, "no padding: it is compared as bytes");
_Static_assert(sizeof(struct sample_value) == 16, "no padding: it is compared as bytes");

/* Size of each table's zero value. */
static const size_t zero_sizes[TABLES] = {
	[TABLE_TEXTS] = 1,
	[TABLE_ATTRIBUTES] = sizeof(struct attribute_value),
	[TABLE_MAPPINGS] = sizeof(struct mapping_value),
	[TABLE_FUNCTIONS] = sizeof(struct function_value),
	[TABLE_LOCATIONS] = sizeof(struct location_value),
	[TABLE_LINKS] = sizeof(struct link_value),
	[TABLE_PROFILES] = sizeof(struct profile_value),
	[TABLE_SAMPLES] = sizeof(struct sample_value),
};

static int intern(struct profile_set *set, enum profile_table table, const void *data, size_t len)
{
	return table__intern(&set->tables[table], &set->arena, set->seed, data, len);
}

static int put_zeros(struct profile_set *set)
{
	static const __u64 zero[16];

	for (int i = 0; i < TABLES; i++)
		if (intern(set, i, zero, zero_sizes[i]))
			return -ENOMEM;
	return 0;
}

/* Where a table lost its zero value to a lack of memory, nothing can be put in. */
static bool is_usable(const struct profile_set *set)
{
	return set->tables[TABLES - 1].n > 0;
}

static bool has(const struct profile_set *set, enum profile_table table, int index)
{
	return index >= 0 && (__u32)index < set->tables[table].n;
}

struct profile_set *profile_set__new(void)
{
	struct profile_set *set = calloc(1, sizeof(*set));

	if (!set)
		return NULL;
	/* Without the kernel's random numbers: an address of ours is better than a constant. */
	if (getrandom(set->seed, sizeof(set->seed), GRND_NONBLOCK) != sizeof(set->seed))
		set->seed[0] = set->seed[1] = (uintptr_t)set * 0x9e3779b97f4a7c15;
	set->seed[1] |= 1;
	if (put_zeros(set)) {
		profile_set__free(set);
		return NULL;
	}
	return set;
}

static void drop_sorted(struct profile_set *set)
{
	free(set->profiles);
	free(set->samples);
	free(set->first_sample);
	free(set->kind_of);
	free(set->kinds);
	set->profiles = set->samples = set->first_sample = set->kind_of = set->kinds = NULL;
	set->n_profiles = set->n_kinds = 0;
	set->sorted = false;
}

void profile_set__free(struct profile_set *set)
{
	if (!set)
		return;
	drop_sorted(set);
	for (int i = 0; i < TABLES; i++)
		table__free(&set->tables[i]);
	arena__free(&set->arena);
	free(set->values);
	free(set->scratch);
	free(set);
}

void profile_set__clear(struct profile_set *set)
{
	drop_sorted(set);
	for (int i = 0; i < TABLES; i++)
		table__clear(&set->tables[i]);
	arena__reset(&set->arena);
	set->n_values = 0;
	put_zeros(set);
}

static void *scratch(struct profile_set *set, size_t size)
{
	void *more;

	if (set->scratch_room >= size)
		return set->scratch;
	more = realloc(set->scratch, size);
	if (!more)
		return NULL;
	set->scratch = more;
	set->scratch_room = size;
	return more;
}

/* --- texts and attributes ----------------------------------------------------- */

/* Into PROFILE_TEXT_MAX + 1 bytes, with a NUL; returns the length without it. */
static size_t make_fit(char *fit, const char *text, size_t len)
{
	static const char ellipsis[] = "…";
	size_t used = 0, step;

	for (size_t i = 0; i < len; i += step ?: 1) {
		step = utf8__sequence(text + i, len - i);
		if (used + (step ?: 1) > PROFILE_TEXT_MAX)
			break;
		if (step)
			memcpy(fit + used, text + i, step);
		else
			fit[used] = '?';
		used += step ?: 1;
	}
	if (len > PROFILE_TEXT_MAX) {
		used = PROFILE_TEXT_MAX - strlen(ellipsis);
		while ((fit[used] & 0xc0) == 0x80)
			used--;
		memcpy(fit + used, ellipsis, strlen(ellipsis));
		used += strlen(ellipsis);
	}
	fit[used] = '\0';
	return used;
}

int profile_set__text_index(struct profile_set *set, const char *text)
{
	char fit[PROFILE_TEXT_MAX + 1];
	size_t len;

	if (!is_usable(set))
		return -ENOMEM;
	/* Nearly all texts are ASCII, and most are known. */
	for (len = 0; text && len <= PROFILE_TEXT_MAX && (signed char)text[len] > 0;)
		len++;
	if (!text || !text[0])
		return 0;
	if (len <= PROFILE_TEXT_MAX && !text[len])
		return intern(set, TABLE_TEXTS, text, len + 1);
	len = make_fit(fit, text, strnlen(text, PROFILE_TEXT_MAX + 1));
	return intern(set, TABLE_TEXTS, fit, len + 1);
}

int profile_set__attr_string(struct profile_set *set, const char *key, const char *value)
{
	struct attribute_value attr = {.kind = ATTRIBUTE_STRING};

	attr.key = profile_set__text_index(set, key);
	attr.text = profile_set__text_index(set, value);
	if (attr.key < 0 || attr.text < 0)
		return -ENOMEM;
	return attr.key ? intern(set, TABLE_ATTRIBUTES, &attr, sizeof(attr)) : -EINVAL;
}

int profile_set__attr_int(struct profile_set *set, const char *key, __s64 value)
{
	struct attribute_value attr = {.kind = ATTRIBUTE_INT, .number = value};

	attr.key = profile_set__text_index(set, key);
	if (attr.key < 0)
		return attr.key;
	return attr.key ? intern(set, TABLE_ATTRIBUTES, &attr, sizeof(attr)) : -EINVAL;
}

/* --- the rest of the dictionary ----------------------------------------------- */

static int attr_hex(struct profile_set *set, const char *key, const __u8 *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * PROFILE_BUILD_ID_MAX + 1];

	if (!data || !len)
		return 0;
	if (len > PROFILE_BUILD_ID_MAX)
		return -EINVAL;
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[data[i] >> 4];
		text[2 * i + 1] = digits[data[i] & 15];
	}
	text[2 * len] = '\0';
	return profile_set__attr_string(set, key, text);
}

int profile_set__mapping(struct profile_set *set, const struct profile_mapping *mapping)
{
	struct mapping_value value = {
		.start = mapping->memory_start,
		.limit = mapping->memory_limit,
		.offset = mapping->file_offset,
	};

	if (value.start >= value.limit && (value.start || value.limit))
		return -EINVAL;
	value.path = profile_set__text_index(set, mapping->path);
	if (value.path < 0)
		return value.path;
	value.gnu = attr_hex(set, "process.executable.build_id.gnu", mapping->build_id,
			     mapping->build_id_len);
	if (value.gnu < 0)
		return value.gnu;
	value.htlhash = attr_hex(set, "process.executable.build_id.htlhash", mapping->htlhash, 16);
	if (value.htlhash < 0)
		return value.htlhash;
	if (mapping->go_build_id && mapping->go_build_id[0]) {
		value.go = profile_set__attr_string(set, "process.executable.build_id.go",
						    mapping->go_build_id);
		if (value.go < 0)
			return value.go;
	}
	return intern(set, TABLE_MAPPINGS, &value, sizeof(value));
}

static __s64 not_negative(__s64 v)
{
	return v > 0 ? v : 0;
}

/* 0 for a line that says nothing. */
static int function_index(struct profile_set *set, const struct profile_line *line)
{
	struct function_value value = {.start_line = not_negative(line->start_line)};

	value.name = profile_set__text_index(set, line->name);
	value.system_name = profile_set__text_index(set, line->system_name);
	value.file = profile_set__text_index(set, line->file);
	if (value.name < 0 || value.system_name < 0 || value.file < 0)
		return -ENOMEM;
	if (!value.name && !value.system_name && !value.file)
		return 0;
	return intern(set, TABLE_FUNCTIONS, &value, sizeof(value));
}

int profile_set__location(struct profile_set *set, int mapping, __u64 address,
			  const char *frame_type, const struct profile_line *lines, size_t n_lines)
{
	struct location_value *value;

	if (!has(set, TABLE_MAPPINGS, mapping) || n_lines > LINES_MAX)
		return -EINVAL;
	value = scratch(set, sizeof(*value) + n_lines * sizeof(value->lines[0]));
	if (!value)
		return -ENOMEM;
	*value = (struct location_value){.address = address, .mapping = mapping};
	if (frame_type && *frame_type)
		value->frame_type = profile_set__attr_string(set, "profile.frame.type", frame_type);
	if (value->frame_type < 0)
		return value->frame_type;
	for (size_t i = 0; i < n_lines; i++) {
		int function = function_index(set, &lines[i]);

		if (function < 0)
			return function;
		if (!function)
			continue;
		value->lines[value->n_lines++] = (struct line_value){
			.line = not_negative(lines[i].line),
			.column = not_negative(lines[i].column),
			.function = function,
		};
	}
	return intern(set, TABLE_LOCATIONS, value,
		      sizeof(*value) + value->n_lines * sizeof(value->lines[0]));
}

int profile_set__stack(struct profile_set *set, const int *locations, size_t n)
{
	if (!is_usable(set))
		return -ENOMEM;
	if (n > FRAMES_MAX)
		return -EINVAL;
	for (size_t i = 0; i < n; i++)
		if (!has(set, TABLE_LOCATIONS, locations[i]))
			return -EINVAL;
	return n ? intern(set, TABLE_STACKS, locations, n * sizeof(*locations)) : 0;
}

int profile_set__link(struct profile_set *set, const __u8 trace_id[16], const __u8 span_id[8])
{
	static const struct link_value none;
	struct link_value value;

	if (!is_usable(set))
		return -ENOMEM;
	memcpy(value.trace_id, trace_id, sizeof(value.trace_id));
	memcpy(value.span_id, span_id, sizeof(value.span_id));
	if (!memcmp(value.trace_id, none.trace_id, sizeof(none.trace_id)))
		return 0;
	return intern(set, TABLE_LINKS, &value, sizeof(value));
}

/* --- profiles and samples ----------------------------------------------------- */

int profile_set__profile(struct profile_set *set, const struct profile_desc *desc)
{
	const struct {
		const char *text;
		size_t offset;
	} texts[] = {
		{desc->scope_name, offsetof(struct profile_value, scope_name)},
		{desc->scope_version, offsetof(struct profile_value, scope_version)},
		{desc->sample_type, offsetof(struct profile_value, sample_type)},
		{desc->sample_unit, offsetof(struct profile_value, sample_unit)},
		{desc->period_type, offsetof(struct profile_value, period_type)},
		{desc->period_unit, offsetof(struct profile_value, period_unit)},
	};
	struct profile_value value = {
		.time = desc->time_unix_nano,
		.duration = desc->duration_nano,
		.period = desc->period,
	};
	int index;

	if (!desc->sample_type || !*desc->sample_type)
		return -EINVAL;
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		index = profile_set__text_index(set, texts[i].text);
		if (index < 0)
			return index;
		memcpy((char *)&value + texts[i].offset, &index, sizeof(index));
	}
	if (desc->resource && desc->resource->failed)
		return -ENOMEM;
	if (desc->resource && desc->resource->len)
		value.resource =
			intern(set, TABLE_RESOURCES, desc->resource->data, desc->resource->len);
	if (value.resource < 0)
		return value.resource;
	memcpy(value.id, desc->profile_id, sizeof(value.id));
	set->sorted = false;
	index = intern(set, TABLE_PROFILES, &value, sizeof(value));
	return index < 0 ? index : index - 1;
}

/* A set: in ascending order, nothing twice, and no key twice. Returns how many, or -EINVAL. */
static int sort_attrs(const struct profile_set *set, int *sorted, const int *attrs, size_t n)
{
	int used = 0, at;

	for (size_t i = 0; i < n; i++) {
		if (!has(set, TABLE_ATTRIBUTES, attrs[i]))
			return -EINVAL;
		for (at = used; at > 0 && sorted[at - 1] > attrs[i]; at--)
			;
		if (!attrs[i] || (at > 0 && sorted[at - 1] == attrs[i]))
			continue;
		for (int k = 0; k < used; k++)
			if (ATTRIBUTE_AT(set, sorted[k])->key == ATTRIBUTE_AT(set, attrs[i])->key)
				return -EINVAL;
		memmove(&sorted[at + 1], &sorted[at], (used - at) * sizeof(*sorted));
		sorted[at] = attrs[i];
		used++;
	}
	return used;
}

static int make_room_for_value(struct profile_set *set, size_t index)
{
	size_t room = set->n_values ? set->n_values : 256;
	__s64 *more;

	if (index < set->n_values)
		return 0;
	while (room <= index)
		room += room / 2;
	more = reallocarray(set->values, room, sizeof(*more));
	if (!more)
		return -ENOMEM;
	set->values = more;
	set->n_values = room;
	return 0;
}

int profile_set__sample(struct profile_set *set, int profile, int stack, const int *attrs,
			size_t n_attrs, int link, __s64 value)
{
	struct {
		struct sample_value value;
		int attrs[PROFILE_ATTRS_MAX];
	} key;
	__u32 n_before = set->tables[TABLE_SAMPLES].n;
	int n, index;

	if (profile < 0 || profile == INT_MAX || !has(set, TABLE_PROFILES, profile + 1) ||
	    !has(set, TABLE_STACKS, stack) || !has(set, TABLE_LINKS, link) ||
	    n_attrs > PROFILE_ATTRS_MAX)
		return -EINVAL;
	key.value = (struct sample_value){.profile = profile + 1, .stack = stack, .link = link};
	n = sort_attrs(set, key.attrs, attrs, n_attrs);
	if (n < 0)
		return n;
	key.value.n_attrs = n;
	if (!value)
		return 0;
	/* Before the sample: one without a value must not be found later. */
	if (make_room_for_value(set, n_before))
		return -ENOMEM;
	index = intern(set, TABLE_SAMPLES, &key, sizeof(key.value) + n * sizeof(key.attrs[0]));
	if (index < 0)
		return index;
	if ((__u32)index == n_before) {
		set->values[index] = 0;
		set->sorted = false;
	}
	if (__builtin_add_overflow(set->values[index], value, &set->values[index]))
		set->values[index] = value < 0 ? INT64_MIN : INT64_MAX;
	return 0;
}

struct profile_set_counts profile_set__counts(const struct profile_set *set)
{
	return (struct profile_set_counts){
		.profiles = set->tables[TABLE_PROFILES].n - 1,
		.samples = set->tables[TABLE_SAMPLES].n - 1,
		.stacks = set->tables[TABLE_STACKS].n,
		.locations = set->tables[TABLE_LOCATIONS].n,
		.functions = set->tables[TABLE_FUNCTIONS].n,
		.mappings = set->tables[TABLE_MAPPINGS].n,
		.texts = set->tables[TABLE_TEXTS].n,
	};
}

/* --- in order, for the encoders ------------------------------------------------ */

static int by_origin(const void *a, const void *b, void *ctx)
{
	const struct profile_value *x = PROFILE_AT(ctx, *(const int *)a);
	const struct profile_value *y = PROFILE_AT(ctx, *(const int *)b);

	if (x->resource != y->resource)
		return x->resource < y->resource ? -1 : 1;
	if (x->scope_name != y->scope_name)
		return x->scope_name < y->scope_name ? -1 : 1;
	if (x->scope_version != y->scope_version)
		return x->scope_version < y->scope_version ? -1 : 1;
	return *(const int *)a < *(const int *)b ? -1 : 1;
}

static int kind_index(struct profile_set *set, int profile)
{
	const struct profile_value *value = PROFILE_AT(set, profile), *other;

	for (int i = 0; i < set->n_kinds; i++) {
		other = PROFILE_AT(set, set->kinds[i]);
		if (value->sample_type == other->sample_type &&
		    value->sample_unit == other->sample_unit &&
		    value->period_type == other->period_type &&
		    value->period_unit == other->period_unit)
			return i;
	}
	set->kinds[set->n_kinds] = profile;
	return set->n_kinds++;
}

int profile_set__sort(struct profile_set *set)
{
	int n_profiles = set->tables[TABLE_PROFILES].n, n_samples = set->tables[TABLE_SAMPLES].n;

	if (set->sorted)
		return 0;
	if (!is_usable(set))
		return -ENOMEM;
	drop_sorted(set);
	set->profiles = calloc(n_profiles, sizeof(int));
	set->kinds = calloc(n_profiles, sizeof(int));
	set->kind_of = calloc(n_profiles, sizeof(int));
	set->first_sample = calloc(n_profiles + 2, sizeof(int));
	set->samples = calloc(n_samples, sizeof(int));
	if (!set->profiles || !set->kinds || !set->kind_of || !set->first_sample || !set->samples) {
		drop_sorted(set);
		return -ENOMEM;
	}
	/* Counted two places up, so that filling in leaves each start where it belongs. */
	for (int i = 1; i < n_samples; i++)
		set->first_sample[SAMPLE_AT(set, i)->profile + 2]++;
	for (int i = 1; i < n_profiles + 2; i++)
		set->first_sample[i] += set->first_sample[i - 1];
	for (int i = 1; i < n_samples; i++)
		set->samples[set->first_sample[SAMPLE_AT(set, i)->profile + 1]++] = i;
	for (int i = 1; i < n_profiles; i++) {
		if (set->first_sample[i] == set->first_sample[i + 1])
			continue;
		set->profiles[set->n_profiles++] = i;
		set->kind_of[i] = kind_index(set, i);
	}
	qsort_r(set->profiles, set->n_profiles, sizeof(int), by_origin, set);
	set->sorted = true;
	return 0;
}

int profile_set__kinds(struct profile_set *set)
{
	int err = profile_set__sort(set);

	return err ?: set->n_kinds;
}

int profile_set__check_kind(struct profile_set *set, int kind)
{
	int n = profile_set__kinds(set);

	if (n < 0)
		return n;
	return kind >= 0 && kind < n ? 0 : -EINVAL;
}

const char *profile_set__kind_name(struct profile_set *set, int kind)
{
	const struct profile_value *value;

	if (profile_set__check_kind(set, kind))
		return NULL;
	value = PROFILE_AT(set, set->kinds[kind]);
	if (value->period_type && !strcmp(profile_set__text(set, value->sample_type), "samples"))
		return profile_set__text(set, value->period_type);
	return profile_set__text(set, value->sample_type);
}
