// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tagged.h"

#include <bpf/btf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#define PREFIX "otel:"

struct entry {
	__u32 type;
	int member;
	struct tag tag;
	char *copy;
};

struct tagged {
	size_t n;
	struct entry *entries; /* by type, then member, then order in BTF */
};

static int compare(const void *a, const void *b)
{
	const struct entry *x = a, *y = b;

	if (x->type != y->type)
		return x->type < y->type ? -1 : 1;
	if (x->member != y->member)
		return x->member < y->member ? -1 : 1;
	/* BTF strings are in one section, and the compiler emits them in source order. */
	return x->tag.text < y->tag.text ? -1 : x->tag.text > y->tag.text;
}

static int split(struct entry *entry, const char *text)
{
	char *at;

	entry->copy = strdup(text + strlen(PREFIX));
	if (!entry->copy)
		return -ENOMEM;
	entry->tag.text = text;
	entry->tag.word = entry->copy;
	for (at = strchr(entry->copy, '|'); at && entry->tag.args < TAG_ARGS_MAX;
	     at = strchr(at, '|')) {
		*at++ = '\0';
		entry->tag.arg[entry->tag.args++] = at;
		if (entry->tag.args == TAG_ARGS_MAX)
			break;
	}
	return 0;
}

struct tagged *tagged__new(const struct btf *btf)
{
	struct tagged *tagged = calloc(1, sizeof(*tagged));
	__u32 types = btf__type_cnt(btf);
	size_t room = 0;

	if (!tagged)
		return NULL;
	for (__u32 id = 1; id < types; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const char *text;

		if (!btf_is_decl_tag(type))
			continue;
		text = btf__name_by_offset(btf, type->name_off);
		if (!text || strncmp(text, PREFIX, strlen(PREFIX)))
			continue;
		if (tagged->n == room) {
			struct entry *more;

			room = room ? 2 * room : 64;
			more = reallocarray(tagged->entries, room, sizeof(*more));
			if (!more)
				goto no_memory;
			tagged->entries = more;
		}
		tagged->entries[tagged->n] = (struct entry){
			.type = type->type,
			.member = btf_decl_tag(type)->component_idx,
		};
		if (split(&tagged->entries[tagged->n], text))
			goto no_memory;
		tagged->n++;
	}
	if (tagged->n)
		qsort(tagged->entries, tagged->n, sizeof(*tagged->entries), compare);
	return tagged;

no_memory:
	tagged__free(tagged);
	errno = ENOMEM;
	return NULL;
}

void tagged__free(struct tagged *tagged)
{
	if (!tagged)
		return;
	for (size_t i = 0; i < tagged->n; i++)
		free(tagged->entries[i].copy);
	free(tagged->entries);
	free(tagged);
}

const struct tag *tagged__next(const struct tagged *tagged, __u32 type, int member,
			       const struct tag *prev)
{
	size_t i = 0;

	if (prev)
		i = (const struct entry *)((const char *)prev - offsetof(struct entry, tag)) -
		    tagged->entries + 1;
	for (; i < tagged->n; i++) {
		const struct entry *entry = &tagged->entries[i];

		if (entry->type == type && entry->member == member)
			return &entry->tag;
		if (entry->type > type)
			break;
	}
	return NULL;
}

const struct tag *tagged__find(const struct tagged *tagged, __u32 type, int member,
			       const char *word)
{
	const struct tag *tag = NULL;

	while ((tag = tagged__next(tagged, type, member, tag)))
		if (!strcmp(tag->word, word))
			return tag;
	return NULL;
}

__u32 tagged__variable(const struct btf *btf, const char *name)
{
	__u32 types = btf__type_cnt(btf), begins = 0;
	size_t len = strlen(name);

	for (__u32 id = 1; id < types; id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const char *has;

		if (!btf_is_var(type))
			continue;
		has = btf__name_by_offset(btf, type->name_off);
		if (!has)
			continue;
		if (!strcmp(has, name))
			return id;
		if (len == BPF_OBJ_NAME_LEN - 1 && !strncmp(has, name, len))
			begins = id;
	}
	return begins;
}

const struct btf_type *tagged__struct(const struct btf *btf, __u32 id, int *of)
{
	const struct btf_type *type;

	*of = btf__resolve_type(btf, id);
	type = *of > 0 ? btf__type_by_id(btf, *of) : NULL;
	return type && btf_is_struct(type) ? type : NULL;
}
