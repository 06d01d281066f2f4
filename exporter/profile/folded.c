// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <errno.h>
#include <stdio.h>

#include "flame.h"

struct fold {
	const struct profile_set *set;
	struct pb *out;
	struct pb path;	   /* "root;…;leaf" of the node that was visited last */
	struct pb lengths; /* size_t by depth: of the path up to there */
};

/* A semicolon ends a frame, a newline a stack; the last blank stands before the value. */
static void put_name(struct pb *pb, const char *name)
{
	size_t len = strlen(name), start = pb->len;

	pb__raw(pb, name, len);
	if (pb->failed)
		return;
	for (__u8 *at = pb->data + start; at < pb->data + pb->len; at++) {
		if (*at == ';')
			*at = ':';
		else if (*at < ' ' || *at == 0x7f)
			*at = '?';
	}
}

static int fold_node(const struct flame *flame, struct flame_step step, void *ctx)
{
	const struct flame_frame *frame = flame__frame(flame, flame__node(flame, step.node)->frame);
	struct fold *fold = ctx;
	size_t *lengths;
	char value[24];
	int len;

	if (!pb__reserve(&fold->lengths, (step.depth + 1) * sizeof(size_t)))
		return -ENOMEM;
	lengths = (size_t *)fold->lengths.data;
	fold->path.len = step.depth > 1 ? lengths[step.depth - 1] : 0;
	if (step.depth > 1)
		pb__raw(&fold->path, ";", 1);
	put_name(&fold->path, profile_set__text(fold->set, frame->name));
	lengths[step.depth] = fold->path.len;
	if (flame->self[step.node]) {
		len = snprintf(value, sizeof(value), " %lld\n", (long long)flame->self[step.node]);
		pb__raw(fold->out, fold->path.data, fold->path.len);
		pb__raw(fold->out, value, len);
	}
	return fold->path.failed || fold->out->failed ? -ENOMEM : 0;
}

int profile_set__encode_folded(struct profile_set *set, int kind, struct pb *out)
{
	struct fold fold = {.set = set, .out = out};
	struct flame flame = {0};
	int err = flame__build(&flame, set, kind);

	err = err ?: flame__walk(&flame, fold_node, &fold);
	pb__free(&fold.path);
	pb__free(&fold.lengths);
	flame__free(&flame);
	return err;
}
