// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "layout.h"

#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <otelbpf/profile.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/fields.h"
#include "otlp/utf8.h"
#include "tagged.h"

struct compiler {
	const struct btf *btf;
	const struct tagged *tagged;
	struct event_layout *layout;
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

/* Names that a receiver takes: text, and of attributes without spaces. */
static bool is_name(const char *text, bool spaces)
{
	for (const char *c = text; *c; c++)
		if (*c < ' ' || *c > '~' || (*c == ' ' && !spaces))
			return false;
	return text[0] && strlen(text) <= 255;
}

static int compile_attr(struct compiler *c, const char *member, __u32 type, int id, int i,
			__u32 offset, __u32 size, const struct tag *tag)
{
	struct event_layout *layout = c->layout;
	struct event_attr *attr = &layout->attrs[layout->n_attrs];
	struct plan_attr *plan = &attr->attr;
	const char *why = "a number of 1, 2, 4 or 8 bytes is expected";
	int err;

	if (tag->args != 2 || !is_name(tag->arg[0], false))
		return bad(c, "member %s, tag \"%s\": a name and a decoder are expected", member,
			   tag->text);
	if (layout->n_attrs == EVENT_ATTRS_MAX)
		return bad(c, "member %s: more than %d attributes", member, EVENT_ATTRS_MAX);
	for (int k = 0; k < layout->n_attrs; k++)
		if (!strcmp(layout->attrs[k].attr.name, tag->arg[0]))
			return bad(c, "member %s, tag \"%s\": attribute %s is there twice", member,
				   tag->text, tag->arg[0]);
	layout->n_attrs++;
	*attr = (struct event_attr){
		.attr = {.name = tag->arg[0],
			 .offset = offset,
			 .size = size,
			 .ctx = {.btf = c->btf, .type = type},
			 .unset = tagged__find(c->tagged, id, i, "unset")},
		.is_name = tagged__find(c->tagged, id, i, "name"),
		.is_error = tagged__find(c->tagged, id, i, "error"),
	};
	plan->decoder = decoder__find(tag->arg[1], &plan->ctx.arg);
	if (!plan->decoder)
		return bad(c, "member %s, tag \"%s\": there is no decoder '%s'", member, tag->text,
			   tag->arg[1]);
	err = plan->decoder->check
		      ? plan->decoder->check(&plan->ctx, size, &why)
		      : (size == 1 || size == 2 || size == 4 || size == 8 ? 0 : -EINVAL);
	if (err)
		return bad(c, "member %s, tag \"%s\": %s", member, tag->text, why);
	pb__string(&plan->key, KEY_VALUE_KEY, plan->name);
	return plan->key.failed ? -ENOMEM : 0;
}

/* What struct otel_event has, by its tags. */
static int *place_of(struct event_layout *layout, const struct tag *tag, __u32 *size)
{
	const struct {
		const char *word, *arg;
		int *at;
		__u32 size;
	} places[] = {
		{"end", NULL, &layout->end, 8},
		{"duration", NULL, &layout->duration, 8},
		{"trace", NULL, &layout->trace, TRACE_ID_LEN + SPAN_ID_LEN},
		{"parent", NULL, &layout->parent, SPAN_ID_LEN},
		{"resource", "process", &layout->process, sizeof(struct otel_process_id)},
		{"resource", "cgroup", &layout->cgroup, 8},
		{"kind", NULL, &layout->kind_at, 4},
	};

	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++)
		if (!strcmp(tag->word, places[i].word) &&
		    (places[i].arg ? tag->args == 1 && !strcmp(tag->arg[0], places[i].arg)
				   : !tag->args)) {
			*size = places[i].size;
			return places[i].at;
		}
	return NULL;
}

static bool stands_beside_attr(const char *word)
{
	return !strcmp(word, "unset") || !strcmp(word, "name") || !strcmp(word, "error");
}

static int compile_record(struct compiler *c, __u32 type_id, __u32 base, bool inner);

static int compile_member(struct compiler *c, const struct btf_type *type, int id, int i,
			  __u32 base, bool inner)
{
	const struct btf_member *member = &btf_members(type)[i];
	const char *name = btf__name_by_offset(c->btf, member->name_off);
	__u32 bits = btf_member_bit_offset(type, i), offset = base + bits / 8, expected;
	__s64 size = btf__resolve_size(c->btf, member->type);
	const struct tag *tag = NULL;

	if (!tagged__next(c->tagged, id, i, NULL))
		return 0;
	if (size <= 0 || bits % 8 || btf_member_bitfield_size(type, i) ||
	    offset + (__u64)size > c->layout->size)
		return bad(c, "member %s cannot be exported", name);
	while ((tag = tagged__next(c->tagged, id, i, tag))) {
		int *at = place_of(c->layout, tag, &expected), err = 0;

		if (at && (__u32)size == expected)
			*at = offset;
		else if (at)
			err = bad(c, "member %s, tag \"%s\": %u bytes are expected", name,
				  tag->text, expected);
		else if (!strcmp(tag->word, "attr"))
			err = compile_attr(c, name, member->type, id, i, offset, size, tag);
		else if (!strcmp(tag->word, "event") && !inner)
			err = compile_record(c, member->type, offset, true);
		else if (!stands_beside_attr(tag->word) || !tagged__find(c->tagged, id, i, "attr"))
			err = bad(c, "member %s, tag \"%s\": not known in an event", name,
				  tag->text);
		if (err)
			return err;
	}
	return 0;
}

static int compile_record(struct compiler *c, __u32 type_id, __u32 base, bool inner)
{
	int id, err = 0;
	const struct btf_type *type = tagged__struct(c->btf, type_id, &id);

	if (!type)
		return bad(c, "the record is no struct");
	for (int i = 0; i < btf_vlen(type) && !err; i++)
		err = compile_member(c, type, id, i, base, inner);
	return err;
}

static int compile_meaning(struct compiler *c, const struct tag *tag)
{
	static const char *const kinds[] = {
		[SPAN_KIND_INTERNAL] = "internal", [SPAN_KIND_SERVER] = "server",
		[SPAN_KIND_CLIENT] = "client",	   [SPAN_KIND_PRODUCER] = "producer",
		[SPAN_KIND_CONSUMER] = "consumer",
	};
	struct event_layout *layout = c->layout;
	char *end;

	layout->is_log = !strcmp(tag->word, "log");
	if (tag->args != (layout->is_log ? 3 : 2) || !is_name(tag->arg[0], !layout->is_log))
		return bad(c, "tag \"%s\": %s expected", tag->text,
			   layout->is_log ? "a name, a severity and a body are"
					  : "a name and a kind are");
	layout->name = tag->arg[0];
	if (layout->is_log) {
		layout->body = tag->arg[2];
		layout->severity = strtoul(tag->arg[1], &end, 10);
		if (*end || layout->severity < 1 || layout->severity > 24 ||
		    !utf8__is_text(layout->body))
			return bad(c, "tag \"%s\": a severity is 1 to 24, a body UTF-8", tag->text);
		return 0;
	}
	for (int i = SPAN_KIND_INTERNAL; i <= SPAN_KIND_CONSUMER; i++)
		if (!strcmp(tag->arg[1], kinds[i]))
			layout->kind = i;
	return layout->kind ? 0 : bad(c, "tag \"%s\": there is no such kind", tag->text);
}

static int compile_state(struct compiler *c, const struct bpf_map_info *info)
{
	int id;
	const struct btf_type *state = tagged__struct(c->btf, info->btf_value_type_id, &id);
	const struct event_layout *layout = c->layout;

	for (int i = 0; state && i < btf_vlen(state); i++) {
		const struct tag *tag = tagged__find(c->tagged, id, i, "span");
		__s64 size = btf__resolve_size(c->btf, btf_members(state)[i].type);
		int err;

		if (!tag)
			tag = tagged__find(c->tagged, id, i, "log");
		if (!tag)
			continue;
		if (size <= 0 || size > info->value_size)
			return bad(c, "the record has no size");
		c->layout->size = size;
		err = compile_meaning(c, tag);
		if (!err)
			err = compile_record(c, btf_members(state)[i].type, 0, false);
		if (err)
			return err;
		if (layout->end < 0 || layout->duration < 0 || layout->trace < 0 ||
		    layout->parent < 0 || layout->process < 0 || layout->cgroup < 0)
			return bad(c, "the record has no struct otel_event tagged OTEL_EVENT");
		return 0;
	}
	return bad(c, "no member of the value is tagged OTEL_SPAN() or OTEL_LOG()");
}

struct event_layout *event_layout__compile(const struct bpf_map_info *info, const struct btf *btf,
					   const struct tagged *tagged, __u32 var, char *why,
					   size_t len)
{
	struct event_layout *layout = calloc(1, sizeof(*layout));
	struct compiler c = {btf, tagged, layout, why, len};
	const struct tag *tag = tagged__find(tagged, var, -1, "events");
	int err = -ENOMEM;

	if (layout) {
		layout->end = layout->duration = layout->trace = layout->parent = layout->process =
			layout->cgroup = layout->kind_at = -1;
		if (tag && tag->args == 1 && is_name(tag->arg[0], false) &&
		    !strchr(tag->arg[0], '/')) {
			layout->ring = tag->arg[0];
			err = compile_state(&c, info);
		} else {
			err = bad(&c, "the name of a ring is expected");
		}
	}
	if (err) {
		event_layout__free(layout);
		errno = -err;
		return NULL;
	}
	return layout;
}

void event_layout__free(struct event_layout *layout)
{
	for (int i = 0; layout && i < layout->n_attrs; i++)
		pb__free(&layout->attrs[i].attr.key);
	free(layout);
}
