// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * pprof's profile.proto, which has ids where OTLP has indexes: ours serve as they are, an id
 * of 0 being "not set" in both. Only texts are numbered anew, as they must be without a gap.
 */
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "model.h"
#include "resource_attr.h"

/* Field numbers: github.com/google/pprof, proto/profile.proto (package perftools.profiles). */
enum pprof_profile_field {
	PPROF_SAMPLE_TYPE = 1,
	PPROF_SAMPLE = 2,
	PPROF_MAPPING = 3,
	PPROF_LOCATION = 4,
	PPROF_FUNCTION = 5,
	PPROF_STRING_TABLE = 6,
	PPROF_TIME_NANOS = 9,
	PPROF_DURATION_NANOS = 10,
	PPROF_PERIOD_TYPE = 11,
	PPROF_PERIOD = 12,
};
enum pprof_value_type_field { PPROF_VALUE_TYPE_TYPE = 1, PPROF_VALUE_TYPE_UNIT = 2 };
enum pprof_sample_field {
	PPROF_SAMPLE_LOCATION_ID = 1,
	PPROF_SAMPLE_VALUE = 2,
	PPROF_SAMPLE_LABEL = 3
};
enum pprof_label_field { PPROF_LABEL_KEY = 1, PPROF_LABEL_STR = 2, PPROF_LABEL_NUM = 3 };
enum pprof_mapping_field {
	PPROF_MAPPING_ID = 1,
	PPROF_MAPPING_MEMORY_START = 2,
	PPROF_MAPPING_MEMORY_LIMIT = 3,
	PPROF_MAPPING_FILE_OFFSET = 4,
	PPROF_MAPPING_FILENAME = 5,
	PPROF_MAPPING_BUILD_ID = 6,
	PPROF_MAPPING_HAS_FUNCTIONS = 7,
	PPROF_MAPPING_HAS_FILENAMES = 8,
	PPROF_MAPPING_HAS_LINE_NUMBERS = 9,
	PPROF_MAPPING_HAS_INLINE_FRAMES = 10,
};
enum pprof_location_field {
	PPROF_LOCATION_ID = 1,
	PPROF_LOCATION_MAPPING_ID = 2,
	PPROF_LOCATION_ADDRESS = 3,
	PPROF_LOCATION_LINE = 4,
};
enum pprof_line_field { PPROF_LINE_FUNCTION_ID = 1, PPROF_LINE_LINE = 2, PPROF_LINE_COLUMN = 3 };
enum pprof_function_field {
	PPROF_FUNCTION_ID = 1,
	PPROF_FUNCTION_NAME = 2,
	PPROF_FUNCTION_SYSTEM_NAME = 3,
	PPROF_FUNCTION_FILENAME = 4,
	PPROF_FUNCTION_START_LINE = 5,
};

/* What of a mapping is known, once a location of it has been seen. */
enum { SEEN = 1, HAS_FUNCTIONS = 2, HAS_FILENAMES = 4, HAS_LINES = 8, HAS_INLINE = 16 };

struct pprof {
	struct profile_set *set;
	struct pb pb;
	int *strings; /* by text: its number here, 0: none yet */
	int *order;   /* by number: the text */
	int n_strings;
	bool *locations; /* used ones */
	bool *functions;
	__u8 *mappings; /* SEEN … */
	bool has_period;
	int trace_id, span_id; /* texts */
	int *link_texts;       /* by link: trace id, span id */
};

/* Parts of a Resource that tell samples apart. */
static const char *const label_prefixes[] = {"process.", "container.", "service.", "k8s."};

static __u64 string_of(struct pprof *pprof, int text)
{
	if (text && !pprof->strings[text]) {
		pprof->strings[text] = ++pprof->n_strings;
		pprof->order[pprof->n_strings] = text;
	}
	return pprof->strings[text];
}

static void put_int(struct pb *pb, __u32 field, __u64 v)
{
	if (v)
		pb__varint(pb, field, v);
}

static void put_value_type(struct pprof *pprof, __u32 field, int type, int unit)
{
	size_t message = pb__open(&pprof->pb, field);

	put_int(&pprof->pb, PPROF_VALUE_TYPE_TYPE, string_of(pprof, type));
	put_int(&pprof->pb, PPROF_VALUE_TYPE_UNIT, string_of(pprof, unit));
	pb__close(&pprof->pb, message);
}

static void put_string_label(struct pprof *pprof, int key, int text)
{
	size_t message = pb__open(&pprof->pb, PPROF_SAMPLE_LABEL);

	pb__varint(&pprof->pb, PPROF_LABEL_KEY, string_of(pprof, key));
	put_int(&pprof->pb, PPROF_LABEL_STR, string_of(pprof, text));
	pb__close(&pprof->pb, message);
}

static void put_number_label(struct pprof *pprof, int key, __s64 number)
{
	size_t message = pb__open(&pprof->pb, PPROF_SAMPLE_LABEL);

	pb__varint(&pprof->pb, PPROF_LABEL_KEY, string_of(pprof, key));
	put_int(&pprof->pb, PPROF_LABEL_NUM, number);
	pb__close(&pprof->pb, message);
}

/* --- texts that have to be there before texts are numbered ----------------------- */

static int hex_text(struct profile_set *set, const __u8 *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char text[2 * 16 + 1];

	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[data[i] >> 4];
		text[2 * i + 1] = digits[data[i] & 15];
	}
	text[2 * len] = '\0';
	return profile_set__text_index(set, text);
}

static bool is_label(const char *key)
{
	for (size_t i = 0; i < sizeof(label_prefixes) / sizeof(label_prefixes[0]); i++)
		if (!strncmp(key, label_prefixes[i], strlen(label_prefixes[i])))
			return true;
	return false;
}

static int make_texts(struct pprof *pprof)
{
	struct profile_set *set = pprof->set;
	__u32 n_links = set->tables[TABLE_LINKS].n;
	struct resource_attr attr;

	pprof->trace_id = profile_set__text_index(set, "trace_id");
	pprof->span_id = profile_set__text_index(set, "span_id");
	pprof->link_texts = calloc(n_links, 2 * sizeof(int));
	if (pprof->trace_id < 0 || pprof->span_id < 0 || !pprof->link_texts)
		return -ENOMEM;
	for (__u32 i = 1; i < n_links; i++) {
		int *texts = &pprof->link_texts[2 * i];

		texts[0] = hex_text(set, LINK_AT(set, i)->trace_id, 16);
		texts[1] = hex_text(set, LINK_AT(set, i)->span_id, 8);
		if (texts[0] < 0 || texts[1] < 0)
			return -ENOMEM;
	}
	for (__u32 i = 1; i < set->tables[TABLE_RESOURCES].n; i++) {
		struct resource_walk walk = resource__walk(set, i);

		while (resource__next(&walk, &attr))
			if (is_label(attr.key) && (profile_set__text_index(set, attr.key) < 0 ||
						   profile_set__text_index(set, attr.text) < 0))
				return -ENOMEM;
	}
	return 0;
}

static int pprof__init(struct pprof *pprof, struct profile_set *set)
{
	int err;

	pprof->set = set;
	err = make_texts(pprof);
	if (err)
		return err;
	pprof->strings = calloc(set->tables[TABLE_TEXTS].n, sizeof(int));
	pprof->order = calloc(set->tables[TABLE_TEXTS].n, sizeof(int));
	pprof->locations = calloc(set->tables[TABLE_LOCATIONS].n, sizeof(bool));
	pprof->functions = calloc(set->tables[TABLE_FUNCTIONS].n, sizeof(bool));
	pprof->mappings = calloc(set->tables[TABLE_MAPPINGS].n, 1);
	return pprof->strings && pprof->order && pprof->locations && pprof->functions &&
			       pprof->mappings
		       ? 0
		       : -ENOMEM;
}

static void pprof__free(struct pprof *pprof)
{
	pb__free(&pprof->pb);
	free(pprof->strings);
	free(pprof->order);
	free(pprof->locations);
	free(pprof->functions);
	free(pprof->mappings);
	free(pprof->link_texts);
}

/* --- messages -------------------------------------------------------------------- */

static void put_packed(struct pb *pb, __u32 field, const __u64 *values, size_t n)
{
	size_t list = pb__open(pb, field);

	if (pb__reserve(pb, n * PB_VARINT_MAX)) {
		__u8 *at = pb->data + pb->len;

		for (size_t i = 0; i < n; i++)
			at = pb_put__varint(at, values[i]);
		pb->len = at - pb->data;
	}
	pb__close(pb, list);
}

/* Location 0 is an id that pprof has not: a frame of which nothing is known is left out. */
static void put_stack(struct pprof *pprof, int index)
{
	size_t n, list;
	const int *stack = profile_set__stack_at(pprof->set, index, &n);
	struct pb *pb = &pprof->pb;

	list = pb__open(pb, PPROF_SAMPLE_LOCATION_ID);
	if (pb__reserve(pb, n * PB_VARINT_MAX)) {
		__u8 *at = pb->data + pb->len;

		for (size_t i = 0; i < n; i++) {
			pprof->locations[stack[i]] = true;
			if (stack[i])
				at = pb_put__varint(at, stack[i]);
		}
		pb->len = at - pb->data;
	}
	pb__close(pb, list);
}

static __s64 times(__s64 a, __s64 b)
{
	__s64 product;

	if (__builtin_mul_overflow(a, b, &product))
		return (a < 0) == (b < 0) ? LLONG_MAX : LLONG_MIN;
	return product;
}

static void put_sample(struct pprof *pprof, int index, __s64 period, const struct pb *labels)
{
	const struct profile_set *set = pprof->set;
	const struct sample_value *sample = SAMPLE_AT(set, index);
	size_t message = pb__open(&pprof->pb, PPROF_SAMPLE);
	__u64 values[2] = {set->values[index]};

	put_stack(pprof, sample->stack);
	values[1] = times(set->values[index], period);
	put_packed(&pprof->pb, PPROF_SAMPLE_VALUE, values, pprof->has_period ? 2 : 1);
	for (__u32 i = 0; i < sample->n_attrs; i++) {
		const struct attribute_value *attr = ATTRIBUTE_AT(set, sample->attrs[i]);

		if (attr->kind == ATTRIBUTE_INT)
			put_number_label(pprof, attr->key, attr->number);
		else
			put_string_label(pprof, attr->key, attr->text);
	}
	if (sample->link) {
		put_string_label(pprof, pprof->trace_id, pprof->link_texts[2 * sample->link]);
		put_string_label(pprof, pprof->span_id, pprof->link_texts[2 * sample->link + 1]);
	}
	pb__raw(&pprof->pb, labels->data, labels->len);
	pb__close(&pprof->pb, message);
}

/* A Resource's labels are the same in all samples of it: encoded once, where they go first. */
static void cut_labels(struct pprof *pprof, int resource, struct pb *labels)
{
	size_t start = pprof->pb.len;
	struct resource_walk walk = resource__walk(pprof->set, resource);
	struct resource_attr attr;

	while (resource__next(&walk, &attr)) {
		int key, text;

		if (!is_label(attr.key))
			continue;
		/* Known from make_texts(), so there is nothing new to be numbered. */
		key = profile_set__text_index(pprof->set, attr.key);
		text = profile_set__text_index(pprof->set, attr.text);
		if (key < 0 || text < 0)
			pprof->pb.failed = true;
		else if (attr.kind == ATTRIBUTE_INT)
			put_number_label(pprof, key, attr.number);
		else
			put_string_label(pprof, key, text);
	}
	labels->len = 0;
	if (pprof->pb.failed)
		return;
	pb__raw(labels, pprof->pb.data + start, pprof->pb.len - start);
	pprof->pb.failed = labels->failed;
	pprof->pb.len = start;
}

static void put_locations(struct pprof *pprof)
{
	const struct profile_set *set = pprof->set;
	struct pb *pb = &pprof->pb;

	for (__u32 i = 1; i < set->tables[TABLE_LOCATIONS].n; i++) {
		const struct location_value *location = LOCATION_AT(set, i);
		__u8 *known = &pprof->mappings[location->mapping];
		size_t message, sub;

		if (!pprof->locations[i])
			continue;
		*known |= SEEN | (location->n_lines > 1 ? HAS_INLINE : 0);
		message = pb__open(pb, PPROF_LOCATION);
		pb__varint(pb, PPROF_LOCATION_ID, i);
		put_int(pb, PPROF_LOCATION_MAPPING_ID, location->mapping);
		put_int(pb, PPROF_LOCATION_ADDRESS, location->address);
		for (__u64 k = 0; k < location->n_lines; k++) {
			const struct line_value *line = &location->lines[k];

			pprof->functions[line->function] = true;
			*known |= HAS_FUNCTIONS | (line->line ? HAS_LINES : 0);
			if (FUNCTION_AT(set, line->function)->file)
				*known |= HAS_FILENAMES;
			sub = pb__open(pb, PPROF_LOCATION_LINE);
			pb__varint(pb, PPROF_LINE_FUNCTION_ID, line->function);
			put_int(pb, PPROF_LINE_LINE, line->line);
			put_int(pb, PPROF_LINE_COLUMN, line->column);
			pb__close(pb, sub);
		}
		pb__close(pb, message);
	}
}

static void put_functions(struct pprof *pprof)
{
	const struct profile_set *set = pprof->set;
	struct pb *pb = &pprof->pb;

	for (__u32 i = 1; i < set->tables[TABLE_FUNCTIONS].n; i++) {
		const struct function_value *function = FUNCTION_AT(set, i);
		size_t message;

		if (!pprof->functions[i])
			continue;
		message = pb__open(pb, PPROF_FUNCTION);
		pb__varint(pb, PPROF_FUNCTION_ID, i);
		put_int(pb, PPROF_FUNCTION_NAME,
			string_of(pprof, function->name ?: function->system_name));
		put_int(pb, PPROF_FUNCTION_SYSTEM_NAME,
			string_of(pprof, function->system_name ?: function->name));
		put_int(pb, PPROF_FUNCTION_FILENAME, string_of(pprof, function->file));
		put_int(pb, PPROF_FUNCTION_START_LINE, function->start_line);
		pb__close(pb, message);
	}
}

static void put_mappings(struct pprof *pprof)
{
	static const struct {
		__u32 field;
		__u8 bit;
	} flags[] = {
		{PPROF_MAPPING_HAS_FUNCTIONS, HAS_FUNCTIONS},
		{PPROF_MAPPING_HAS_FILENAMES, HAS_FILENAMES},
		{PPROF_MAPPING_HAS_LINE_NUMBERS, HAS_LINES},
		{PPROF_MAPPING_HAS_INLINE_FRAMES, HAS_INLINE},
	};
	const struct profile_set *set = pprof->set;
	struct pb *pb = &pprof->pb;

	for (__u32 i = 1; i < set->tables[TABLE_MAPPINGS].n; i++) {
		const struct mapping_value *mapping = MAPPING_AT(set, i);
		size_t message;

		if (!pprof->mappings[i])
			continue;
		message = pb__open(pb, PPROF_MAPPING);
		pb__varint(pb, PPROF_MAPPING_ID, i);
		put_int(pb, PPROF_MAPPING_MEMORY_START, mapping->start);
		put_int(pb, PPROF_MAPPING_MEMORY_LIMIT, mapping->limit);
		put_int(pb, PPROF_MAPPING_FILE_OFFSET, mapping->offset);
		put_int(pb, PPROF_MAPPING_FILENAME, string_of(pprof, mapping->path));
		put_int(pb, PPROF_MAPPING_BUILD_ID,
			string_of(pprof,
				  ATTRIBUTE_AT(set, mapping->gnu ?: mapping->go ?: mapping->htlhash)->text));
		for (size_t k = 0; k < sizeof(flags) / sizeof(flags[0]); k++)
			put_int(pb, flags[k].field, !!(pprof->mappings[i] & flags[k].bit));
		pb__close(pb, message);
	}
}

static void put_profile(struct pprof *pprof, int kind)
{
	const struct profile_set *set = pprof->set;
	const struct profile_value *first = PROFILE_AT(set, set->kinds[kind]);
	__u64 start = ~0ULL, end = 0;
	struct pb labels = {0};

	pprof->has_period = first->period_type && first->period > 0 &&
			    !strcmp(profile_set__text(set, first->sample_type), "samples") &&
			    !strcmp(profile_set__text(set, first->sample_unit), "count");
	put_value_type(pprof, PPROF_SAMPLE_TYPE, first->sample_type, first->sample_unit);
	if (pprof->has_period)
		put_value_type(pprof, PPROF_SAMPLE_TYPE, first->period_type, first->period_unit);
	for (int i = 0; i < set->n_profiles; i++) {
		int index = set->profiles[i];
		const struct profile_value *profile = PROFILE_AT(set, index);

		if (set->kind_of[index] != kind)
			continue;
		start = profile->time < start ? profile->time : start;
		if (profile->time + profile->duration > end)
			end = profile->time + profile->duration;
		cut_labels(pprof, profile->resource, &labels);
		for (int k = set->first_sample[index]; k < set->first_sample[index + 1]; k++)
			put_sample(pprof, set->samples[k], profile->period, &labels);
	}
	pb__free(&labels);
	put_locations(pprof);
	put_functions(pprof);
	put_mappings(pprof);
	put_int(&pprof->pb, PPROF_TIME_NANOS, start);
	put_int(&pprof->pb, PPROF_DURATION_NANOS, end - start);
	if (first->period_type)
		put_value_type(pprof, PPROF_PERIOD_TYPE, first->period_type, first->period_unit);
	put_int(&pprof->pb, PPROF_PERIOD, first->period);
	for (int i = 0; i <= pprof->n_strings; i++)
		pb__bytes(&pprof->pb, PPROF_STRING_TABLE, profile_set__text(set, pprof->order[i]),
			  profile_set__text_len(set, pprof->order[i]));
}

static int compress_to(struct pb *out, const struct pb *in)
{
	z_stream stream = {0};
	int err;

	if (in->failed || in->len > UINT_MAX)
		return -ENOMEM;
	if (deflateInit2(&stream, Z_DEFAULT_COMPRESSION, Z_DEFLATED, 15 + 16 /* gzip */, 8,
			 Z_DEFAULT_STRATEGY) != Z_OK)
		return -ENOMEM;
	err = -ENOMEM;
	if (pb__reserve(out, deflateBound(&stream, in->len))) {
		stream.next_in = in->data;
		stream.avail_in = in->len;
		stream.next_out = out->data + out->len;
		stream.avail_out =
			out->room - out->len < UINT_MAX ? out->room - out->len : UINT_MAX;
		if (deflate(&stream, Z_FINISH) == Z_STREAM_END) {
			out->len += stream.total_out;
			err = 0;
		}
	}
	deflateEnd(&stream);
	return err;
}

int profile_set__encode_pprof(struct profile_set *set, int kind, struct pb *out)
{
	struct pprof pprof = {0};
	int err = profile_set__check_kind(set, kind);

	err = err ?: pprof__init(&pprof, set);
	if (!err) {
		put_profile(&pprof, kind);
		err = compress_to(out, &pprof.pb);
	}
	pprof__free(&pprof);
	return err;
}
