// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "flame.h"

#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "resource_attr.h"

/* What a build needs to know beside the tree. */
struct build {
	struct flame *flame;
	struct profile_set *set;
	int command_type, unknown; /* texts */
	int comm_key;		   /* text */
	int *by_location;	   /* 1 + place in frames_of; 0: not made yet */
	int *frames_of;		   /* frames of a location outermost first, ended by 0 */
	size_t n_frames_of, room_frames_of;
};

static int frame_index(struct build *build, const struct flame_frame *frame)
{
	return table__intern(&build->flame->frames, &build->flame->arena, build->set->seed, frame,
			     sizeof(*frame));
}

static const char *base_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash && slash[1] ? slash + 1 : path;
}

static int append_frame(struct build *build, int frame)
{
	if (frame < 0)
		return frame;
	if (build->n_frames_of == build->room_frames_of) {
		size_t room = build->room_frames_of ? 2 * build->room_frames_of : 256;
		int *more = reallocarray(build->frames_of, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		build->frames_of = more;
		build->room_frames_of = room;
	}
	build->frames_of[build->n_frames_of++] = frame;
	return 0;
}

static int address_name(struct build *build, const struct location_value *location)
{
	const char *module =
		profile_set__text(build->set, MAPPING_AT(build->set, location->mapping)->path);
	char name[300];

	if (!location->mapping && !location->address)
		return build->unknown;
	snprintf(name, sizeof(name), "%.255s%s0x%llx", base_name(module), *module ? "+" : "",
		 (unsigned long long)location->address);
	return profile_set__text_index(build->set, name);
}

/* Place of a location's frames, made when it is first met; or -ENOMEM. */
static int location_frames(struct build *build, int index)
{
	struct profile_set *set = build->set;
	const struct location_value *location = LOCATION_AT(set, index);
	struct flame_frame frame = {0};
	size_t start = build->n_frames_of;
	int err = 0;

	if (build->by_location[index])
		return build->by_location[index] - 1;
	if (location->mapping)
		frame.module = profile_set__text_index(
			set, base_name(profile_set__text(
				     set, MAPPING_AT(set, location->mapping)->path)));
	if (frame.module < 0)
		return frame.module;
	frame.type = ATTRIBUTE_AT(set, location->frame_type)->text;
	for (__u64 i = location->n_lines; !err && i-- > 0;) {
		const struct function_value *function =
			FUNCTION_AT(set, location->lines[i].function);

		frame.name = function->name ?: function->system_name;
		frame.inlined = i + 1 < location->n_lines;
		if (!frame.name)
			frame.name = address_name(build, location);
		err = frame.name < 0 ? frame.name : append_frame(build, frame_index(build, &frame));
	}
	if (!err && !location->n_lines) {
		frame.name = address_name(build, location);
		err = frame.name < 0 ? frame.name : append_frame(build, frame_index(build, &frame));
	}
	err = err ?: append_frame(build, 0);
	if (err)
		return err;
	build->by_location[index] = start + 1;
	return start;
}

/* A string attribute of an encoded Resource as a text, or 0. */
static int resource_text(struct profile_set *set, int resource, const char *key)
{
	struct resource_attr attr;
	struct resource_walk walk = resource__walk(set, resource);

	while (resource__next(&walk, &attr))
		if (!strcmp(attr.key, key) && attr.kind == ATTRIBUTE_STRING)
			return profile_set__text_index(set, attr.text);
	return 0;
}

/* The text that names a sample's command, or 0. */
static int command_of(const struct build *build, const struct sample_value *sample, int fallback)
{
	for (__u32 i = 0; i < sample->n_attrs; i++) {
		const struct attribute_value *attr = ATTRIBUTE_AT(build->set, sample->attrs[i]);

		if (attr->key == build->comm_key && attr->text)
			return attr->text;
	}
	return fallback;
}

static int child_of(struct build *build, int parent, int frame)
{
	struct flame *flame = build->flame;
	struct flame_node node = {.parent = parent, .frame = frame};
	int index =
		table__intern(&flame->nodes, &flame->arena, build->set->seed, &node, sizeof(node));

	if (index >= 0 && (size_t)index >= flame->room) {
		size_t room = flame->room ? 2 * flame->room : 1024;
		__s64 *more = reallocarray(flame->self, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		memset(more + flame->room, 0, (room - flame->room) * sizeof(*more));
		flame->self = more;
		flame->room = room;
	}
	return index;
}

static int add_sample(struct build *build, int index, int fallback)
{
	const struct sample_value *sample = SAMPLE_AT(build->set, index);
	size_t n;
	const int *stack = profile_set__stack_at(build->set, sample->stack, &n);
	struct flame_frame command = {.name = command_of(build, sample, fallback),
				      .type = build->command_type};
	int node = 0, frame, at;

	if (command.name) {
		frame = frame_index(build, &command);
		node = frame < 0 ? frame : child_of(build, node, frame);
	}
	for (size_t i = n; node >= 0 && i-- > 0;) {
		at = location_frames(build, stack[i]);
		if (at < 0)
			return at;
		for (; node >= 0 && build->frames_of[at]; at++)
			node = child_of(build, node, build->frames_of[at]);
	}
	/* A sample without anything is one of an unknown frame, not of the root. */
	if (node == 0) {
		frame = frame_index(build, &(struct flame_frame){.name = build->unknown});
		node = frame < 0 ? frame : child_of(build, 0, frame);
	}
	if (node < 0)
		return node;
	if (__builtin_add_overflow(build->flame->self[node], build->set->values[index],
				   &build->flame->self[node]))
		build->flame->self[node] = INT64_MAX;
	return 0;
}

static int by_name(const void *a, const void *b, void *ctx)
{
	const struct build *build = ctx;
	const struct flame *flame = build->flame;
	const struct flame_frame *x =
		flame__frame(flame, flame__node(flame, *(const int *)a)->frame);
	const struct flame_frame *y =
		flame__frame(flame, flame__node(flame, *(const int *)b)->frame);
	int order = strcmp(profile_set__text(build->set, x->name),
			   profile_set__text(build->set, y->name));

	return order ?: strcmp(profile_set__text(build->set, x->module),
			       profile_set__text(build->set, y->module))
		     ?: *(const int *)a - *(const int *)b;
}

static int link_children(struct build *build)
{
	struct flame *flame = build->flame;
	__u32 n = flame->nodes.n;

	free(flame->first_child);
	free(flame->children);
	flame->first_child = calloc(n + 2, sizeof(int));
	flame->children = calloc(n, sizeof(int));
	if (!flame->first_child || !flame->children)
		return -ENOMEM;
	for (__u32 i = 1; i < n; i++)
		flame->first_child[flame__node(flame, i)->parent + 2]++;
	for (__u32 i = 1; i < n + 2; i++)
		flame->first_child[i] += flame->first_child[i - 1];
	for (__u32 i = 1; i < n; i++)
		flame->children[flame->first_child[flame__node(flame, i)->parent + 1]++] = i;
	for (__u32 i = 0; i < n; i++)
		qsort_r(flame->children + flame->first_child[i],
			flame->first_child[i + 1] - flame->first_child[i], sizeof(int), by_name,
			build);
	return 0;
}

static int build_tree(struct build *build, int kind)
{
	static const struct flame_frame no_frame;
	struct profile_set *set = build->set;
	struct flame *flame = build->flame;
	int err = 0;

	table__clear(&flame->nodes);
	if (flame->self)
		memset(flame->self, 0, flame->room * sizeof(*flame->self));
	if (frame_index(build, &no_frame) < 0 || child_of(build, 0, 0) < 0)
		return -ENOMEM;
	for (int i = 0; !err && i < set->n_profiles; i++) {
		int profile = set->profiles[i], fallback;

		if (set->kind_of[profile] != kind)
			continue;
		fallback = resource_text(set, PROFILE_AT(set, profile)->resource,
					 "process.executable.name");
		if (fallback < 0)
			return fallback;
		for (int k = set->first_sample[profile]; !err && k < set->first_sample[profile + 1];
		     k++)
			err = add_sample(build, set->samples[k], fallback);
	}
	return err ?: link_children(build);
}

int flame__build(struct flame *flame, struct profile_set *set, int kind)
{
	struct build build = {.flame = flame, .set = set};
	int err = profile_set__check_kind(set, kind);

	if (err)
		return err;
	build.command_type = profile_set__text_index(set, FLAME_COMMAND);
	build.unknown = profile_set__text_index(set, "[unknown]");
	build.comm_key = profile_set__text_index(set, "thread.name");
	build.by_location = calloc(set->tables[TABLE_LOCATIONS].n, sizeof(int));
	if (build.command_type < 0 || build.unknown < 0 || build.comm_key < 0 || !build.by_location)
		err = -ENOMEM;
	else
		err = build_tree(&build, kind);
	free(build.by_location);
	free(build.frames_of);
	return err;
}

int flame__walk(const struct flame *flame,
		int (*visit)(const struct flame *flame, struct flame_step step, void *ctx),
		void *ctx)
{
	struct flame_step *todo = calloc(flame->nodes.n, sizeof(*todo));
	size_t n = 0;
	int err = 0;

	if (!todo)
		return -ENOMEM;
	todo[n++] = (struct flame_step){0, 0};
	while (n && !err) {
		struct flame_step step = todo[--n];

		if (step.node)
			err = visit(flame, step, ctx);
		/* The first child is to be taken first. */
		for (int i = flame->first_child[step.node + 1];
		     i-- > flame->first_child[step.node];)
			todo[n++] = (struct flame_step){flame->children[i], step.depth + 1};
	}
	free(todo);
	return err;
}

void flame__free(struct flame *flame)
{
	table__free(&flame->frames);
	table__free(&flame->nodes);
	arena__free(&flame->arena);
	free(flame->self);
	free(flame->first_child);
	free(flame->children);
	*flame = (struct flame){0};
}
