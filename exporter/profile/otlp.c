// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stdlib.h>

#include "model.h"
#include "otlp/fields.h"

/*
 * What some profiles refer to, and its index in their request. First marks (1: wanted), made
 * from the samples down; then indexes, in the set's order.
 */
struct live {
	int *index[TABLE_DICTIONARY];
	int *memory;
};

static int live__init(struct live *live, const struct profile_set *set)
{
	size_t total = 0;

	for (int i = 0; i < TABLE_DICTIONARY; i++)
		total += set->tables[i].n;
	live->memory = calloc(total, sizeof(*live->memory));
	if (!live->memory)
		return -ENOMEM;
	for (int i = 0; i < TABLE_DICTIONARY; i++) {
		live->index[i] = i ? live->index[i - 1] + set->tables[i - 1].n : live->memory;
		live->index[i][0] = 1;
	}
	return 0;
}

static void mark_attribute(struct live *live, const struct profile_set *set, int index)
{
	live->index[TABLE_ATTRIBUTES][index] = 1;
	live->index[TABLE_TEXTS][ATTRIBUTE_AT(set, index)->key] = 1;
}

static void mark_profile(struct live *live, const struct profile_set *set, int index)
{
	const struct profile_value *profile = PROFILE_AT(set, index);

	live->index[TABLE_TEXTS][profile->sample_type] = 1;
	live->index[TABLE_TEXTS][profile->sample_unit] = 1;
	live->index[TABLE_TEXTS][profile->period_type] = 1;
	live->index[TABLE_TEXTS][profile->period_unit] = 1;
	for (int i = set->first_sample[index]; i < set->first_sample[index + 1]; i++) {
		const struct sample_value *sample = SAMPLE_AT(set, set->samples[i]);

		live->index[TABLE_STACKS][sample->stack] = 1;
		live->index[TABLE_LINKS][sample->link] = 1;
		for (__u32 k = 0; k < sample->n_attrs; k++)
			mark_attribute(live, set, sample->attrs[k]);
	}
}

/* From stacks to what they refer to, table by table; then marks become indexes. */
static void live__settle(struct live *live, const struct profile_set *set)
{
	size_t n;

	for (__u32 i = 1; i < set->tables[TABLE_STACKS].n; i++) {
		const int *stack = profile_set__stack_at(set, i, &n);

		if (!live->index[TABLE_STACKS][i])
			continue;
		for (size_t k = 0; k < n; k++)
			live->index[TABLE_LOCATIONS][stack[k]] = 1;
	}
	for (__u32 i = 1; i < set->tables[TABLE_LOCATIONS].n; i++) {
		const struct location_value *location = LOCATION_AT(set, i);

		if (!live->index[TABLE_LOCATIONS][i])
			continue;
		live->index[TABLE_MAPPINGS][location->mapping] = 1;
		mark_attribute(live, set, location->frame_type);
		for (__u64 k = 0; k < location->n_lines; k++)
			live->index[TABLE_FUNCTIONS][location->lines[k].function] = 1;
	}
	for (__u32 i = 1; i < set->tables[TABLE_MAPPINGS].n; i++) {
		const struct mapping_value *mapping = MAPPING_AT(set, i);

		if (!live->index[TABLE_MAPPINGS][i])
			continue;
		live->index[TABLE_TEXTS][mapping->path] = 1;
		mark_attribute(live, set, mapping->gnu);
		mark_attribute(live, set, mapping->htlhash);
		mark_attribute(live, set, mapping->go);
	}
	for (__u32 i = 1; i < set->tables[TABLE_FUNCTIONS].n; i++) {
		const struct function_value *function = FUNCTION_AT(set, i);

		if (!live->index[TABLE_FUNCTIONS][i])
			continue;
		live->index[TABLE_TEXTS][function->name] = 1;
		live->index[TABLE_TEXTS][function->system_name] = 1;
		live->index[TABLE_TEXTS][function->file] = 1;
	}
	for (int t = 0; t < TABLE_DICTIONARY; t++) {
		int next = 0;

		for (__u32 i = 0; i < set->tables[t].n; i++)
			live->index[t][i] = live->index[t][i] ? next++ : -1;
	}
}

/* --- messages -------------------------------------------------------------------- */

/* proto3 leaves out what is 0. */
static void put_int(struct pb *pb, __u32 field, __u64 v)
{
	if (v)
		pb__varint(pb, field, v);
}

static void put_packed(struct pb *pb, __u32 field, const int *map, const int *values, size_t n)
{
	size_t list;
	__u8 *at;

	if (!n)
		return;
	list = pb__open(pb, field);
	if (pb__reserve(pb, n * PB_VARINT_MAX)) {
		at = pb->data + pb->len;
		for (size_t i = 0; i < n; i++)
			at = pb_put__varint(at, map[values[i]]);
		pb->len = at - pb->data;
	}
	pb__close(pb, list);
}

static void put_value_type(struct pb *pb, __u32 field, const struct live *live, int type, int unit)
{
	size_t message;

	if (!type && !unit)
		return;
	message = pb__open(pb, field);
	put_int(pb, VALUE_TYPE_TYPE_STRINDEX, live->index[TABLE_TEXTS][type]);
	put_int(pb, VALUE_TYPE_UNIT_STRINDEX, live->index[TABLE_TEXTS][unit]);
	pb__close(pb, message);
}

static void put_sample(struct pb *pb, const struct profile_set *set, const struct live *live,
		       int index)
{
	const struct sample_value *sample = SAMPLE_AT(set, index);
	size_t message = pb__open(pb, PROFILE_SAMPLES), values;

	put_int(pb, SAMPLE_STACK_INDEX, live->index[TABLE_STACKS][sample->stack]);
	put_packed(pb, SAMPLE_ATTRIBUTE_INDICES, live->index[TABLE_ATTRIBUTES], sample->attrs,
		   sample->n_attrs);
	put_int(pb, SAMPLE_LINK_INDEX, live->index[TABLE_LINKS][sample->link]);
	values = pb__open(pb, SAMPLE_VALUES);
	if (pb__reserve(pb, PB_VARINT_MAX))
		pb->len = pb_put__varint(pb->data + pb->len, set->values[index]) - pb->data;
	pb__close(pb, values);
	pb__close(pb, message);
}

static void put_profile(struct pb *pb, const struct profile_set *set, const struct live *live,
			int index)
{
	static const __u8 no_id[16];
	const struct profile_value *profile = PROFILE_AT(set, index);
	size_t message = pb__open(pb, SCOPE_GROUP_ITEMS);

	put_value_type(pb, PROFILE_SAMPLE_TYPE, live, profile->sample_type, profile->sample_unit);
	for (int i = set->first_sample[index]; i < set->first_sample[index + 1]; i++)
		put_sample(pb, set, live, set->samples[i]);
	pb__fixed64(pb, PROFILE_TIME, profile->time);
	put_int(pb, PROFILE_DURATION, profile->duration);
	put_value_type(pb, PROFILE_PERIOD_TYPE, live, profile->period_type, profile->period_unit);
	put_int(pb, PROFILE_PERIOD, profile->period);
	if (memcmp(profile->id, no_id, sizeof(no_id)))
		pb__bytes(pb, PROFILE_PROFILE_ID, profile->id, sizeof(profile->id));
	pb__close(pb, message);
}

static void put_mapping(struct pb *pb, const struct profile_set *set, const struct live *live,
			int index)
{
	const struct mapping_value *mapping = MAPPING_AT(set, index);
	int attrs[3], n = 0;

	put_int(pb, MAPPING_MEMORY_START, mapping->start);
	put_int(pb, MAPPING_MEMORY_LIMIT, mapping->limit);
	put_int(pb, MAPPING_FILE_OFFSET, mapping->offset);
	put_int(pb, MAPPING_FILENAME_STRINDEX, live->index[TABLE_TEXTS][mapping->path]);
	if (mapping->gnu)
		attrs[n++] = mapping->gnu;
	if (mapping->htlhash)
		attrs[n++] = mapping->htlhash;
	if (mapping->go)
		attrs[n++] = mapping->go;
	put_packed(pb, MAPPING_ATTRIBUTE_INDICES, live->index[TABLE_ATTRIBUTES], attrs, n);
}

static void put_location(struct pb *pb, const struct profile_set *set, const struct live *live,
			 int index)
{
	const struct location_value *location = LOCATION_AT(set, index);

	put_int(pb, LOCATION_MAPPING_INDEX, live->index[TABLE_MAPPINGS][location->mapping]);
	put_int(pb, LOCATION_ADDRESS, location->address);
	for (__u64 i = 0; i < location->n_lines; i++) {
		const struct line_value *line = &location->lines[i];
		size_t message = pb__open(pb, LOCATION_LINES);

		put_int(pb, LINE_FUNCTION_INDEX, live->index[TABLE_FUNCTIONS][line->function]);
		put_int(pb, LINE_LINE, line->line);
		put_int(pb, LINE_COLUMN, line->column);
		pb__close(pb, message);
	}
	if (location->frame_type)
		put_packed(pb, LOCATION_ATTRIBUTE_INDICES, live->index[TABLE_ATTRIBUTES],
			   &location->frame_type, 1);
}

static void put_function(struct pb *pb, const struct profile_set *set, const struct live *live,
			 int index)
{
	const struct function_value *function = FUNCTION_AT(set, index);
	const int *texts = live->index[TABLE_TEXTS];

	put_int(pb, FUNCTION_NAME_STRINDEX, texts[function->name]);
	put_int(pb, FUNCTION_SYSTEM_NAME_STRINDEX, texts[function->system_name]);
	put_int(pb, FUNCTION_FILENAME_STRINDEX, texts[function->file]);
	put_int(pb, FUNCTION_START_LINE, function->start_line);
}

/* Entry 0 is empty, although v1.10's comment on Link wants ids of zeros: the Collector's own
 * writer and the profile checker have it empty, and both tools take it. */
static void put_link(struct pb *pb, const struct profile_set *set, const struct live *live,
		     int index)
{
	const struct link_value *link = LINK_AT(set, index);

	(void)live;
	if (!index)
		return;
	pb__bytes(pb, LINK_TRACE_ID, link->trace_id, sizeof(link->trace_id));
	pb__bytes(pb, LINK_SPAN_ID, link->span_id, sizeof(link->span_id));
}

/* A string value is written out: AnyValue's index into the strings is newer than its readers. */
static void put_attribute(struct pb *pb, const struct profile_set *set, const struct live *live,
			  int index)
{
	const struct attribute_value *attr = ATTRIBUTE_AT(set, index);
	size_t value;

	if (!index)
		return;
	put_int(pb, KEY_VALUE_AND_UNIT_KEY_STRINDEX, live->index[TABLE_TEXTS][attr->key]);
	value = pb__open(pb, KEY_VALUE_AND_UNIT_VALUE);
	if (attr->kind == ATTRIBUTE_INT)
		pb__varint(pb, ANY_VALUE_INT, attr->number);
	else
		pb__bytes(pb, ANY_VALUE_STRING, profile_set__text(set, attr->text),
			  profile_set__text_len(set, attr->text));
	pb__close(pb, value);
}

static void put_stack(struct pb *pb, const struct profile_set *set, const struct live *live,
		      int index)
{
	size_t n;
	const int *locations = profile_set__stack_at(set, index, &n);

	put_packed(pb, STACK_LOCATION_INDICES, live->index[TABLE_LOCATIONS], locations, n);
}

static void put_text(struct pb *pb, const struct profile_set *set, const struct live *live,
		     int index)
{
	(void)live;
	pb__raw(pb, profile_set__text(set, index), profile_set__text_len(set, index));
}

static const struct {
	__u32 field;
	void (*put)(struct pb *pb, const struct profile_set *set, const struct live *live,
		    int index);
} dictionary[TABLE_DICTIONARY] = {
	[TABLE_TEXTS] = {DICTIONARY_STRINGS, put_text},
	[TABLE_ATTRIBUTES] = {DICTIONARY_ATTRIBUTES, put_attribute},
	[TABLE_MAPPINGS] = {DICTIONARY_MAPPINGS, put_mapping},
	[TABLE_FUNCTIONS] = {DICTIONARY_FUNCTIONS, put_function},
	[TABLE_LOCATIONS] = {DICTIONARY_LOCATIONS, put_location},
	[TABLE_STACKS] = {DICTIONARY_STACKS, put_stack},
	[TABLE_LINKS] = {DICTIONARY_LINKS, put_link},
};

static void put_dictionary(struct pb *pb, const struct profile_set *set, const struct live *live)
{
	size_t message = pb__open(pb, REQUEST_DICTIONARY), entry;

	for (int t = 0; t < TABLE_DICTIONARY; t++) {
		for (__u32 i = 0; i < set->tables[t].n; i++) {
			if (live->index[t][i] < 0)
				continue;
			entry = pb__open(pb, dictionary[t].field);
			dictionary[t].put(pb, set, live, i);
			pb__close(pb, entry);
		}
	}
	pb__close(pb, message);
}

static void put_scope(struct pb *pb, const struct profile_set *set,
		      const struct profile_value *profile)
{
	size_t scope;

	if (!profile->scope_name && !profile->scope_version)
		return;
	scope = pb__open(pb, SCOPE_GROUP_SCOPE);
	if (profile->scope_name)
		pb__string(pb, SCOPE_NAME, profile_set__text(set, profile->scope_name));
	if (profile->scope_version)
		pb__string(pb, SCOPE_VERSION, profile_set__text(set, profile->scope_version));
	pb__close(pb, scope);
}

/* set->profiles, @n of them from @first on: those of one Resource and scope stand together. */
static int encode_some(const struct profile_set *set, int first, int n, struct pb *out)
{
	size_t at_resource = 0, at_scope = 0;
	struct live live;

	if (live__init(&live, set))
		return -ENOMEM;
	for (int i = first; i < first + n; i++)
		mark_profile(&live, set, set->profiles[i]);
	live__settle(&live, set);
	for (int i = first; i < first + n; i++) {
		const struct profile_value *profile = PROFILE_AT(set, set->profiles[i]);
		const struct profile_value *before =
			i > first ? PROFILE_AT(set, set->profiles[i - 1]) : NULL;
		bool new_resource = !before || before->resource != profile->resource;
		bool new_scope = new_resource || before->scope_name != profile->scope_name ||
				 before->scope_version != profile->scope_version;

		if (before && new_scope)
			pb__close(out, at_scope);
		if (before && new_resource)
			pb__close(out, at_resource);
		if (new_resource) {
			at_resource = pb__open(out, REQUEST_RESOURCES);
			if (profile->resource)
				pb__bytes(out, RESOURCE_GROUP_RESOURCE,
					  profile_set__at(set, TABLE_RESOURCES, profile->resource),
					  set->tables[TABLE_RESOURCES]
						  .entries[profile->resource]
						  .len);
		}
		if (new_scope) {
			at_scope = pb__open(out, RESOURCE_GROUP_SCOPES);
			put_scope(out, set, profile);
		}
		put_profile(out, set, &live, set->profiles[i]);
	}
	pb__close(out, at_scope);
	pb__close(out, at_resource);
	put_dictionary(out, set, &live);
	free(live.memory);
	return out->failed ? -ENOMEM : 0;
}

int profile_set__encode_otlp(struct profile_set *set, struct pb *out)
{
	int err = profile_set__sort(set);

	if (!err && set->n_profiles)
		err = encode_some(set, 0, set->n_profiles, out);
	return err ?: set->n_profiles;
}

int profile_set__emit_otlp(struct profile_set *set, size_t limit,
			   int (*send)(const struct pb *request, int profiles, void *ctx),
			   void *ctx)
{
	int err = profile_set__sort(set), n = set->n_profiles;
	struct pb request = {0};

	for (int first = 0; !err && first < set->n_profiles; first += n) {
		for (n = n < set->n_profiles - first ? n : set->n_profiles - first;;
		     n = (n + 1) / 2) {
			request.len = 0;
			err = encode_some(set, first, n, &request);
			if (err || n == 1 || request.len <= limit)
				break;
		}
		err = err ?: send(&request, n, ctx);
	}
	pb__free(&request);
	return err;
}
