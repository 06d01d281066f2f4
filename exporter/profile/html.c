// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The page is flamegraph.html as it stands, with the data in one place of it: JSON, in which no
 * '<' is left, so that no name can end the element that it stands in.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "flame.h"

#define PLACE "@DATA@"

/* The way of kernel/configs.c, with a NUL behind. The path is relative to where make runs. */
__asm__(".pushsection .rodata, \"a\"\n"
	".global profile_page\n"
	"profile_page: .incbin \"exporter/profile/flamegraph.html\"\n"
	".byte 0\n"
	".popsection\n");
extern const char profile_page[];

static void put(struct pb *pb, const char *text)
{
	pb__raw(pb, text, strlen(text));
}

static void put_number(struct pb *pb, long long v)
{
	char text[24];

	pb__raw(pb, text, snprintf(text, sizeof(text), "%lld", v));
}

static void put_string(struct pb *pb, const char *text)
{
	char escape[8];
	size_t plain;

	put(pb, "\"");
	while (*text) {
		for (plain = 0; (unsigned char)text[plain] >= ' ' && !strchr("\"\\<", text[plain]);)
			plain++;
		pb__raw(pb, text, plain);
		text += plain;
		if (!*text)
			break;
		snprintf(escape, sizeof(escape), "\\u%04x", (unsigned char)*text++);
		put(pb, escape);
	}
	put(pb, "\"");
}

struct page {
	struct profile_set *set;
	struct pb *out;
	bool first;
};

/* frame, depth, own value; in an order that has a parent before its children */
static int put_node(const struct flame *flame, struct flame_step step, void *ctx)
{
	struct page *page = ctx;

	if (!page->first)
		put(page->out, ",");
	page->first = false;
	put_number(page->out, flame__node(flame, step.node)->frame);
	put(page->out, ",");
	put_number(page->out, step.depth);
	put(page->out, ",");
	put_number(page->out, flame->self[step.node]);
	return page->out->failed ? -ENOMEM : 0;
}

static void put_kind_header(struct page *page, int kind)
{
	struct profile_set *set = page->set;
	const struct profile_value *first = PROFILE_AT(set, set->kinds[kind]);
	__u64 start = ~0ULL, end = 0;

	for (int i = 0; i < set->n_profiles; i++) {
		const struct profile_value *profile = PROFILE_AT(set, set->profiles[i]);

		if (set->kind_of[set->profiles[i]] != kind)
			continue;
		start = profile->time < start ? profile->time : start;
		if (profile->time + profile->duration > end)
			end = profile->time + profile->duration;
	}
	put(page->out, "{\"name\":");
	put_string(page->out, profile_set__kind_name(set, kind));
	put(page->out, ",\"type\":");
	put_string(page->out, profile_set__text(set, first->sample_type));
	put(page->out, ",\"unit\":");
	put_string(page->out, profile_set__text(set, first->sample_unit));
	put(page->out, ",\"periodUnit\":");
	put_string(page->out, profile_set__text(set, first->period_unit));
	put(page->out, ",\"period\":");
	put_number(page->out, first->period);
	put(page->out, ",\"startMs\":");
	put_number(page->out, start / 1000000);
	put(page->out, ",\"durationMs\":");
	put_number(page->out, (end - start) / 1000000);
	put(page->out, ",\"nodes\":[");
}

/* Each text once, in the order of its first use: "texts" of the page, by a number of its own. */
static int put_frames(struct page *page, const struct flame *flame)
{
	__u32 n_texts = page->set->tables[TABLE_TEXTS].n;
	int *number = calloc(n_texts, 2 * sizeof(int)), *order, used = 0;

	if (!number)
		return -ENOMEM;
	order = number + n_texts;
	put(page->out, "],\"frames\":[");
	for (__u32 i = 0; i < flame->frames.n; i++) {
		const struct flame_frame *frame = flame__frame(flame, i);
		const int texts[] = {frame->name, frame->module, frame->type};

		for (int k = 0; k < 3; k++) {
			if (!number[texts[k]]) {
				order[used++] = texts[k];
				number[texts[k]] = used;
			}
			if (i || k)
				put(page->out, ",");
			put_number(page->out, number[texts[k]] - 1);
		}
		put(page->out, frame->inlined ? ",1" : ",0");
	}
	put(page->out, "],\"texts\":[");
	for (int i = 0; i < used; i++) {
		if (i)
			put(page->out, ",");
		put_string(page->out, profile_set__text(page->set, order[i]));
	}
	free(number);
	return 0;
}

static int put_data(struct page *page, const char *title)
{
	int n_kinds = profile_set__kinds(page->set), err = n_kinds < 0 ? n_kinds : 0;
	struct flame flame = {0};

	put(page->out, "{\"title\":");
	put_string(page->out, title);
	put(page->out, ",\"kinds\":[");
	for (int i = 0; !err && i < n_kinds; i++) {
		if (i)
			put(page->out, ",");
		err = flame__build(&flame, page->set, i);
		if (err)
			break;
		put_kind_header(page, i);
		page->first = true;
		err = flame__walk(&flame, put_node, page);
		put(page->out, "]}");
	}
	err = err ?: put_frames(page, &flame);
	put(page->out, "]}");
	flame__free(&flame);
	return err;
}

int profile_set__encode_html(struct profile_set *set, const char *title, struct pb *out)
{
	struct page page = {.set = set, .out = out};
	const char *place = strstr(profile_page, PLACE);
	int err;

	if (!place)
		return -EINVAL;
	pb__raw(out, profile_page, place - profile_page);
	err = put_data(&page, title);
	place += strlen(PLACE);
	put(out, place);
	return err ?: out->failed ? -ENOMEM : 0;
}
