// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "plan.h"

#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/fields.h"
#include "otlp/utf8.h"
#include "tagged.h"

#define UNIT_MAX 63
#define DESCRIPTION_MAX 1023
#define EXPONENT_MAX 1022 /* of a normal double, up and down */

/* What one compilation carries around. */
struct compiler {
	const struct btf *btf;
	const struct tagged *tagged;
	struct plan *plan;
	char *why;
	size_t why_len;
};

__attribute__((format(printf, 2, 3))) static int bad(struct compiler *c, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(c->why, c->why_len, fmt, args);
	va_end(args);
	return -EINVAL;
}

bool plan__is_per_cpu(__u32 type)
{
	return type == BPF_MAP_TYPE_PERCPU_HASH || type == BPF_MAP_TYPE_PERCPU_ARRAY ||
	       type == BPF_MAP_TYPE_LRU_PERCPU_HASH;
}

bool plan__is_array(__u32 type)
{
	return type == BPF_MAP_TYPE_ARRAY || type == BPF_MAP_TYPE_PERCPU_ARRAY;
}

static bool is_table(__u32 type)
{
	return plan__is_array(type) || plan__is_per_cpu(type) || type == BPF_MAP_TYPE_HASH ||
	       type == BPF_MAP_TYPE_LRU_HASH;
}

static const struct btf_type *resolve(const struct btf *btf, __u32 id)
{
	int resolved = btf__resolve_type(btf, id);

	return resolved > 0 ? btf__type_by_id(btf, resolved) : NULL;
}

static const char *member_name(const struct btf *btf, const struct btf_member *member)
{
	const char *name = btf__name_by_offset(btf, member->name_off);

	return name ? name : "";
}

static bool parse_double(const char *text, double *out)
{
	char *end;

	*out = strtod(text, &end);
	return end != text && !*end && isfinite(*out);
}

static bool parse_int(const char *text, __s32 *out)
{
	char *end;
	long v;

	errno = 0;
	v = strtol(text, &end, 10);
	if (errno || end == text || *end || v < -100000 || v > 100000)
		return false;
	*out = v;
	return true;
}

/* Attribute and metric names: printable, not empty, of bounded length. */
static bool is_name(const char *text)
{
	size_t len = strlen(text);

	for (const char *c = text; *c; c++)
		if (*c <= ' ' || *c > '~')
			return false;
	return len >= 1 && len <= 255;
}

static int member_place(struct compiler *c, const struct btf_type *type, int i, __u32 limit,
			__u32 *offset, __u32 *size)
{
	const struct btf_member *member = &btf_members(type)[i];
	__u32 bits = btf_member_bit_offset(type, i);
	__s64 bytes = btf__resolve_size(c->btf, member->type);

	if (btf_member_bitfield_size(type, i) || bits % 8)
		return bad(c, "member %s: a bit field cannot be exported",
			   member_name(c->btf, member));
	if (bytes < 0 || bits / 8 + (__u64)bytes > limit)
		return bad(c, "member %s lies outside of the map's %u bytes",
			   member_name(c->btf, member), limit);
	*offset = bits / 8;
	*size = bytes;
	return 0;
}

static int compile_attr(struct compiler *c, struct plan_attr *attr, const char *member,
			const char *name, const char *decoder, __u32 type, const struct tag *tag)
{
	const char *why = "a number of 1, 2, 4 or 8 bytes is expected";
	__u32 size = attr->size;
	int err;

	if (!is_name(name))
		return bad(c, "member %s, tag \"%s\": '%s' is no attribute name", member, tag->text,
			   name);
	attr->name = name;
	attr->ctx.btf = c->btf;
	attr->ctx.type = type;
	attr->decoder = decoder__find(decoder, &attr->ctx.arg);
	if (!attr->decoder)
		return bad(c, "member %s, tag \"%s\": there is no decoder '%s'", member, tag->text,
			   decoder);
	err = attr->decoder->check
		      ? attr->decoder->check(&attr->ctx, size, &why)
		      : (size == 1 || size == 2 || size == 4 || size == 8 ? 0 : -EINVAL);
	if (err)
		return bad(c, "member %s, tag \"%s\": %s", member, tag->text, why);
	pb__string(&attr->key, KEY_VALUE_KEY, name);
	return attr->key.failed ? -ENOMEM : 0;
}

static int compile_key_member(struct compiler *c, const struct btf_type *type, __u32 id, int i)
{
	const struct btf_member *member = &btf_members(type)[i];
	const char *name = member_name(c->btf, member);
	struct plan *plan = c->plan;
	const struct tag *tag = NULL;

	while ((tag = tagged__next(c->tagged, id, i, tag))) {
		bool is_resource = !strcmp(tag->word, "resource");
		struct plan_attr *attr = &plan->attrs[plan->n_attrs];
		int err;

		if (!strcmp(tag->word, "unset")) {
			if (tag->args || !tagged__find(c->tagged, id, i, "attr"))
				return bad(
					c,
					"member %s, tag \"%s\": it stands beside attr, by itself",
					name, tag->text);
			continue;
		}
		if (!is_resource && strcmp(tag->word, "attr"))
			return bad(c, "member %s, tag \"%s\": a key takes attr and resource", name,
				   tag->text);
		if (tag->args != (is_resource ? 1 : 2))
			return bad(c, "member %s, tag \"%s\": %s", name, tag->text,
				   is_resource ? "a decoder is expected"
					       : "a name and a decoder are expected");
		if (is_resource) {
			if (plan->resource.decoder)
				return bad(c, "member %s, tag \"%s\": a key has one resource", name,
					   tag->text);
			attr = &plan->resource;
		} else if (plan->n_attrs == PLAN_ATTRS_MAX) {
			return bad(c, "member %s: more than %d attributes", name, PLAN_ATTRS_MAX);
		}
		err = member_place(c, type, i, plan->key_size, &attr->offset, &attr->size);
		if (!err)
			err = compile_attr(c, attr, name, is_resource ? "resource" : tag->arg[0],
					   tag->arg[is_resource ? 0 : 1], member->type, tag);
		if (err)
			return err;
		if (is_resource) {
			if (strcmp(attr->decoder->name, "cgroup"))
				return bad(c, "member %s, tag \"%s\": a resource is a cgroup", name,
					   tag->text);
			continue;
		}
		for (int j = 0; j < plan->n_attrs; j++)
			if (!strcmp(plan->attrs[j].name, attr->name))
				return bad(c, "member %s, tag \"%s\": attribute %s is there twice",
					   name, tag->text, attr->name);
		attr->unset = tagged__find(c->tagged, id, i, "unset");
		plan->n_attrs++;
	}
	return 0;
}

static int compile_key(struct compiler *c, __u32 key_type, __u32 var)
{
	const struct btf_type *type = resolve(c->btf, key_type);
	const struct tag *tag = tagged__find(c->tagged, var, -1, "key");
	struct plan *plan = c->plan;
	int err;

	if (tag) {
		struct plan_attr *attr = &plan->attrs[0];

		if (tag->args != 2)
			return bad(c, "tag \"%s\": a name and a decoder are expected", tag->text);
		attr->size = plan->key_size;
		err = compile_attr(c, attr, "(key)", tag->arg[0], tag->arg[1], key_type, tag);
		plan->n_attrs = 1;
		return err;
	}
	if (type && btf_is_struct(type)) {
		for (int i = 0; i < btf_vlen(type); i++) {
			err = compile_key_member(c, type, btf__resolve_type(c->btf, key_type), i);
			if (err)
				return err;
		}
	}
	if (!plan->n_attrs && !plan->resource.decoder && plan->max_entries > 1)
		return bad(
			c,
			"the key has no attribute, so the %u entries could not be told apart: tag "
			"members of the key with OTEL_ATTR(), or the map with OTEL_KEY()",
			plan->max_entries);
	return 0;
}

static int compile_number(struct compiler *c, struct instrument *ins, __u32 type_id,
			  const char *member, const struct tag *tag)
{
	const struct btf_type *type = resolve(c->btf, type_id);

	if (!type || !btf_is_int(type) || (ins->size != 4 && ins->size != 8))
		return bad(c, "member %s, tag \"%s\": an integer of 4 or 8 bytes is expected",
			   member, tag->text);
	ins->is_signed = btf_int_encoding(type) & BTF_INT_SIGNED;
	return 0;
}

static const struct btf_array *u64_array(const struct btf *btf, __u32 type_id)
{
	const struct btf_type *type = resolve(btf, type_id), *elem;

	if (!type || !btf_is_array(type))
		return NULL;
	elem = resolve(btf, btf_array(type)->type);
	if (!elem || !btf_is_int(elem) || elem->size != 8)
		return NULL;
	return btf_array(type);
}

static int compile_histogram(struct compiler *c, struct instrument *ins, __u32 type_id,
			     const char *member, const struct tag *tag)
{
	const struct btf_array *array = u64_array(c->btf, type_id);
	const char *at = tag->args == 4 ? tag->arg[3] : "";
	__u32 n = 1;

	if (!array || !array->nelems || array->nelems > PLAN_BUCKETS_MAX)
		return bad(c, "member %s, tag \"%s\": an array of 1 to %d __u64 is expected",
			   member, tag->text, PLAN_BUCKETS_MAX);
	ins->n_buckets = array->nelems;
	ins->bounds = calloc(array->nelems, sizeof(*ins->bounds));
	if (!ins->bounds)
		return -ENOMEM;
	while (*at && n < array->nelems) {
		char *end;

		ins->bounds[n - 1] = strtod(at, &end);
		if (end == at || (*end && *end != ',') || !isfinite(ins->bounds[n - 1]) ||
		    (n > 1 && ins->bounds[n - 1] <= ins->bounds[n - 2]))
			return bad(c,
				   "member %s, tag \"%s\": ascending bounds are expected at '%s'",
				   member, tag->text, at);
		at = end[0] && end[1] ? end + 1 : end; /* a comma at the end stays: refused */
		n++;
	}
	if (*at || n != array->nelems)
		return bad(c, "member %s, tag \"%s\": %u bounds are expected for %u counts", member,
			   tag->text, array->nelems - 1, array->nelems);
	return 0;
}

/* Which powers of two are bounds, by the instrument's unit; the last one is for any other. */
static const struct {
	const char *unit;
	int first, last, step;
} bounds_of_unit[] = {
	{"s", -20, 6, 1}, /* 0.95 us to 64 s */
	{NULL, 0, 30, 2},
};

/*
 * Bounds that are bucket edges, so that counts stay exact: bucket i ends at
 * 2^((index + i + 1) / 2^scale).
 */
static int choose_bounds(struct instrument *ins)
{
	int which = 0;

	while (bounds_of_unit[which].unit && strcmp(bounds_of_unit[which].unit, ins->unit))
		which++;
	ins->bounds = calloc(PLAN_BOUNDS_MAX, sizeof(*ins->bounds));
	if (!ins->bounds)
		return -ENOMEM;
	for (int e = bounds_of_unit[which].first; e <= bounds_of_unit[which].last;
	     e += bounds_of_unit[which].step) {
		__s64 edge =
			ins->scale >= 0 ? (__s64)e * (1 << ins->scale) : e / (1 << -ins->scale);
		__s64 bucket = edge - ins->index - 1;

		if ((ins->scale < 0 && e % (1 << -ins->scale)) || bucket < 0 ||
		    bucket >= ins->n_buckets || ldexp(1, e) < ins->zero_threshold)
			continue;
		ins->bounds[ins->n_bounds] = ldexp(1, e);
		ins->bound_buckets[ins->n_bounds++] = bucket;
	}
	return 0;
}

static int compile_exphist(struct compiler *c, struct instrument *ins, __u32 type_id,
			   const char *member, const struct tag *tag)
{
	const struct btf_type *type = resolve(c->btf, type_id);
	struct {
		const char *name;
		int *at;
	} members[] = {
		{"count", &ins->count},
		{"sum", &ins->sum},
		{"min", &ins->min},
		{"max", &ins->max},
		{"zero_count", &ins->zero_count},
	};
	int id = btf__resolve_type(c->btf, type_id);

	if (!type || !btf_is_struct(type))
		return bad(c, "member %s, tag \"%s\": a struct with tagged buckets is expected",
			   member, tag->text);
	for (int i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *m = &btf_members(type)[i];
		const char *name = member_name(c->btf, m);
		const struct tag *buckets = tagged__find(c->tagged, id, i, "buckets");
		const struct btf_array *array;
		__u32 offset, size;
		__s32 zero;
		int err = member_place(c, type, i, type->size, &offset, &size);

		if (err)
			return err;
		for (size_t j = 0; j < sizeof(members) / sizeof(members[0]); j++)
			if (!strcmp(name, members[j].name) && size == 8)
				*members[j].at = ins->offset + offset;
		if (!buckets)
			continue;
		if (ins->buckets >= 0)
			return bad(c, "member %s.%s, tag \"%s\": buckets are there twice", member,
				   name, buckets->text);
		array = u64_array(c->btf, m->type);
		if (!array || !array->nelems || array->nelems > PLAN_BUCKETS_MAX)
			return bad(c, "member %s.%s: buckets are an array of 1 to %d __u64", member,
				   name, PLAN_BUCKETS_MAX);
		if (buckets->args != 4 || !parse_int(buckets->arg[0], &ins->scale) ||
		    ins->scale < -10 || ins->scale > 20 ||
		    !parse_int(buckets->arg[1], &ins->index) ||
		    !parse_double(buckets->arg[2], &ins->factor) || ins->factor <= 0)
			return bad(c,
				   "member %s.%s, tag \"%s\": scale, index, factor and zero are "
				   "expected",
				   member, name, buckets->text);
		if (strcmp(buckets->arg[3], "none")) {
			if (!parse_int(buckets->arg[3], &zero) || abs(zero) > EXPONENT_MAX)
				return bad(c,
					   "member %s.%s, tag \"%s\": '%s' is neither an exponent "
					   "nor none",
					   member, name, buckets->text, buckets->arg[3]);
			ins->zero_threshold = ldexp(1, zero);
		}
		ins->buckets = ins->offset + offset;
		ins->n_buckets = array->nelems;
	}
	if (ins->buckets < 0)
		return bad(c,
			   "member %s, tag \"%s\": no member of its struct is tagged "
			   "OTEL_BUCKETS()",
			   member, tag->text);
	return choose_bounds(ins);
}

static const struct {
	const char *word;
	enum instrument_kind kind;
	int args;
	int (*compile)(struct compiler *c, struct instrument *ins, __u32 type_id,
		       const char *member, const struct tag *tag);
} instrument_words[] = {
	{"sum", INSTRUMENT_SUM, 3, compile_number},
	{"updown", INSTRUMENT_UPDOWN, 3, compile_number},
	{"gauge", INSTRUMENT_GAUGE, 3, compile_number},
	{"histogram", INSTRUMENT_HISTOGRAM, 4, compile_histogram},
	{"exphist", INSTRUMENT_EXPHIST, 3, compile_exphist},
};
#define INSTRUMENT_WORDS (int)(sizeof(instrument_words) / sizeof(instrument_words[0]))

/* Whether the key or another constant attribute has this name. */
static bool is_attr(const struct plan *plan, const struct instrument *ins, const char *name)
{
	struct pb key = {0};
	bool found = false;

	for (int i = 0; i < plan->n_attrs && !found; i++)
		found = !strcmp(plan->attrs[i].name, name);
	pb__string(&key, KEY_VALUE_KEY, name);
	for (int i = 0; i < ins->n_with && !found; i++)
		found = ins->with[i].len > key.len && !memcmp(ins->with[i].data, key.data, key.len);
	pb__free(&key);
	return found;
}

static int compile_with(struct compiler *c, struct instrument *ins, const char *member,
			const struct tag *tag)
{
	struct pb value = {0}, *with = &ins->with[ins->n_with];

	if (tag->args != 2 || !is_name(tag->arg[0]))
		return bad(c, "member %s, tag \"%s\": an attribute name and a value are expected",
			   member, tag->text);
	if (!utf8__is_text(tag->arg[1]))
		return bad(c, "member %s, tag \"%s\": the value is no printable UTF-8", member,
			   tag->text);
	if (is_attr(c->plan, ins, tag->arg[0]))
		return bad(c, "member %s, tag \"%s\": attribute %s is there twice", member,
			   tag->text, tag->arg[0]);
	if (ins->n_with == (int)(sizeof(ins->with) / sizeof(ins->with[0])))
		return bad(c, "member %s, tag \"%s\": too many constant attributes", member,
			   tag->text);
	ins->n_with++;
	pb__string(with, KEY_VALUE_KEY, tag->arg[0]);
	pb__string(&value, ANY_VALUE_STRING, tag->arg[1]);
	pb__bytes(with, KEY_VALUE_VALUE, value.data, value.len);
	if (value.failed)
		with->failed = true;
	pb__free(&value);
	return with->failed ? -ENOMEM : 0;
}

/* Buckets would stay as they are: OTEL_BUCKETS() and the bounds say what those are worth. */
static int compile_scale(struct compiler *c, struct instrument *ins, const char *member,
			 const struct tag *tag)
{
	if (ins->kind == INSTRUMENT_HISTOGRAM || ins->kind == INSTRUMENT_EXPHIST)
		return bad(c, "member %s, tag \"%s\": a histogram takes no scale", member,
			   tag->text);
	if (tag->args != 1 || !parse_double(tag->arg[0], &ins->factor) || ins->factor == 0)
		return bad(c, "member %s, tag \"%s\": a number is expected", member, tag->text);
	return 0;
}

static int compile_value_member(struct compiler *c, const struct btf_type *type, __u32 id, int i,
				__u32 value_size)
{
	const struct btf_member *member = &btf_members(type)[i];
	const char *name = member_name(c->btf, member);
	struct plan *plan = c->plan;
	struct instrument *ins = &plan->instruments[plan->n_instruments];
	const struct tag *tag = NULL, *other = NULL;
	int which = -1, err;

	while ((other = tagged__next(c->tagged, id, i, other))) {
		for (int w = 0; w < INSTRUMENT_WORDS; w++) {
			if (strcmp(other->word, instrument_words[w].word))
				continue;
			if (tag)
				return bad(c, "member %s, tag \"%s\": a member is one instrument",
					   name, other->text);
			tag = other;
			which = w;
		}
	}
	if (!tag) {
		other = tagged__next(c->tagged, id, i, NULL);
		return other ? bad(c,
				   "member %s, tag \"%s\": a value takes sum, updown, gauge, "
				   "histogram or exphist",
				   name, other->text)
			     : 0;
	}
	if (plan->n_instruments == PLAN_INSTRUMENTS_MAX)
		return bad(c, "member %s: more than %d instruments", name, PLAN_INSTRUMENTS_MAX);
	plan->n_instruments++;
	*ins = (struct instrument){
		.kind = instrument_words[which].kind,
		.factor = 1,
		.count = -1,
		.sum = -1,
		.min = -1,
		.max = -1,
		.zero_count = -1,
		.buckets = -1,
	};
	if (tag->args != instrument_words[which].args || !is_name(tag->arg[0]))
		return bad(c, "member %s, tag \"%s\": name, unit%s are expected", name, tag->text,
			   tag->args == 4 ? ", description and bounds" : " and description");
	if (strlen(tag->arg[1]) > UNIT_MAX || strlen(tag->arg[2]) > DESCRIPTION_MAX)
		return bad(c, "member %s: a unit takes %d bytes and a description %d", name,
			   UNIT_MAX, DESCRIPTION_MAX);
	/* A receiver refuses the whole request for one string that is no UTF-8. */
	if (!utf8__is_text(tag->arg[1]) || !utf8__is_text(tag->arg[2]))
		return bad(c, "member %s, tag \"%s\": unit and description are printable UTF-8",
			   name, tag->text);
	ins->name = tag->arg[0];
	ins->unit = tag->arg[1];
	ins->desc = tag->arg[2];
	err = member_place(c, type, i, value_size, &ins->offset, &ins->size);
	if (!err)
		err = instrument_words[which].compile(c, ins, member->type, name, tag);
	while (!err && (other = tagged__next(c->tagged, id, i, other))) {
		if (!strcmp(other->word, "with"))
			err = compile_with(c, ins, name, other);
		else if (!strcmp(other->word, "scale"))
			err = compile_scale(c, ins, name, other);
		else if (other != tag)
			err = bad(c, "member %s, tag \"%s\": not known", name, other->text);
	}
	return err;
}

static int compile_value(struct compiler *c, __u32 value_type, __u32 value_size)
{
	const struct btf_type *type = resolve(c->btf, value_type);

	if (!type || !btf_is_struct(type))
		return bad(c, "the value is not a struct: put the number in one and tag it");
	for (int i = 0; i < btf_vlen(type); i++) {
		int err = compile_value_member(c, type, btf__resolve_type(c->btf, value_type), i,
					       value_size);

		if (err)
			return err;
	}
	if (!c->plan->n_instruments)
		return bad(c, "no member of the value is tagged as an instrument");
	return 0;
}

struct plan *plan__compile(const struct bpf_map_info *info, const struct btf *btf,
			   const struct tagged *tagged, __u32 var, char *why, size_t len)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	struct compiler c = {
		.btf = btf,
		.tagged = tagged,
		.plan = plan,
		.why = why,
		.why_len = len,
	};
	int cpus = libbpf_num_possible_cpus();
	int err = -ENOMEM;

	if (!plan)
		goto out;
	plan->id = info->id;
	plan->type = info->type;
	plan->key_size = info->key_size;
	plan->value_size = info->value_size;
	plan->values = 1;
	plan->max_entries = info->max_entries;
	if (!is_table(info->type)) {
		err = bad(&c, "map type %u cannot be a metric table: hash and array types can",
			  info->type);
		goto out;
	}
	if (plan__is_per_cpu(info->type)) {
		if (cpus < 1) {
			err = bad(&c, "cannot tell the number of CPUs");
			goto out;
		}
		plan->value_size = (info->value_size + 7) / 8 * 8;
		plan->values = cpus;
	}
	err = compile_key(&c, info->btf_key_type_id, var);
	if (!err)
		err = compile_value(&c, info->btf_value_type_id, info->value_size);
out:
	if (err) {
		plan__free(plan);
		errno = -err;
		return NULL;
	}
	return plan;
}

void plan__free(struct plan *plan)
{
	if (!plan)
		return;
	for (int i = 0; i < PLAN_ATTRS_MAX; i++)
		pb__free(&plan->attrs[i].key);
	pb__free(&plan->resource.key);
	for (int i = 0; i < plan->n_instruments; i++) {
		free(plan->instruments[i].bounds);
		for (int j = 0; j < plan->instruments[i].n_with; j++)
			pb__free(&plan->instruments[i].with[j]);
	}
	free(plan);
}
