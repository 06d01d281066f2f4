/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The inside of a profile_set, for the encoders: values as the tables keep them. */
#ifndef OTELBPF_PROFILE_MODEL_H
#define OTELBPF_PROFILE_MODEL_H

#include "intern.h"
#include "profile.h"

/*
 * Names are indexes into the table of texts; 0 is "". A text is kept with the NUL that ends it.
 */

enum attribute_kind { ATTRIBUTE_NONE, ATTRIBUTE_STRING, ATTRIBUTE_INT };

struct attribute_value {
	__s64 number;
	int key;
	int text;
	__u32 kind; /* enum attribute_kind */
	__u32 zero;
};

struct mapping_value {
	__u64 start, limit, offset;
	int path;
	int gnu;     /* attribute */
	int htlhash; /* attribute */
	int go;	     /* attribute */
};

struct function_value {
	__s64 start_line;
	int name, system_name, file;
	__u32 zero;
};

struct line_value {
	__s64 line, column;
	int function;
	__u32 zero;
};

struct location_value {
	__u64 address;
	int mapping;
	int frame_type; /* attribute */
	__u64 n_lines;
	struct line_value lines[];
};

/* A stack is an array of int, a link these bytes. */
struct link_value {
	__u8 trace_id[16];
	__u8 span_id[8];
};

struct profile_value {
	__u64 time, duration;
	__s64 period;
	int resource; /* in set->resources */
	int scope_name, scope_version;
	int sample_type, sample_unit;
	int period_type, period_unit;
	__u32 zero;
	__u8 id[16];
};

struct sample_value {
	int profile, stack, link;
	__u32 n_attrs;
	int attrs[]; /* in ascending order */
};

enum profile_table {
	TABLE_TEXTS,
	TABLE_ATTRIBUTES,
	TABLE_MAPPINGS,
	TABLE_FUNCTIONS,
	TABLE_LOCATIONS,
	TABLE_STACKS,
	TABLE_LINKS,
	TABLE_DICTIONARY, /* those above make up the dictionary */
	TABLE_RESOURCES = TABLE_DICTIONARY,
	TABLE_PROFILES, /* with a zero entry as the others: a public index + 1 */
	TABLE_SAMPLES,	/* likewise */
	TABLES,
};

struct profile_set {
	struct arena arena;
	__u64 seed[2];
	struct table tables[TABLES];
	__s64 *values; /* by sample */
	size_t n_values;
	void *scratch;
	size_t scratch_room;
	/* made by profile_set__sort() */
	bool sorted;
	int *profiles; /* those with samples, by Resource and scope */
	int n_profiles;
	int *samples;	   /* by profile, in order of arrival */
	int *first_sample; /* by profile, one more than there are: where in @samples it begins */
	int *kind_of;	   /* by profile */
	int *kinds;	   /* by kind: its first profile */
	int n_kinds;
};

/* profile_set__text_index - index of a text, made fit as profile.h says; NULL: 0. Or -ENOMEM. */
int profile_set__text_index(struct profile_set *set, const char *text);

/* profile_set__check_kind - 0, -EINVAL when there is no such kind, -ENOMEM; sorts */
int profile_set__check_kind(struct profile_set *set, int kind);

/** profile_set__sort - put samples in order for an encoder: 0 or -ENOMEM */
int profile_set__sort(struct profile_set *set);

static inline const void *profile_set__at(const struct profile_set *set, enum profile_table table,
					  int index)
{
	return set->tables[table].entries[index].data;
}

static inline const char *profile_set__text(const struct profile_set *set, int index)
{
	return profile_set__at(set, TABLE_TEXTS, index);
}

static inline size_t profile_set__text_len(const struct profile_set *set, int index)
{
	return set->tables[TABLE_TEXTS].entries[index].len - 1;
}

static inline const int *profile_set__stack_at(const struct profile_set *set, int index, size_t *n)
{
	*n = set->tables[TABLE_STACKS].entries[index].len / sizeof(int);
	return profile_set__at(set, TABLE_STACKS, index);
}

#define PROFILE_AT(set, index) \
	((const struct profile_value *)profile_set__at(set, TABLE_PROFILES, index))
#define SAMPLE_AT(set, index) \
	((const struct sample_value *)profile_set__at(set, TABLE_SAMPLES, index))
#define LOCATION_AT(set, index) \
	((const struct location_value *)profile_set__at(set, TABLE_LOCATIONS, index))
#define MAPPING_AT(set, index) \
	((const struct mapping_value *)profile_set__at(set, TABLE_MAPPINGS, index))
#define FUNCTION_AT(set, index) \
	((const struct function_value *)profile_set__at(set, TABLE_FUNCTIONS, index))
#define ATTRIBUTE_AT(set, index) \
	((const struct attribute_value *)profile_set__at(set, TABLE_ATTRIBUTES, index))
#define LINK_AT(set, index) ((const struct link_value *)profile_set__at(set, TABLE_LINKS, index))

#endif
