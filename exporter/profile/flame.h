/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Samples of a kind as a tree of calls, for a person to look at. */
#ifndef OTELBPF_PROFILE_FLAME_H
#define OTELBPF_PROFILE_FLAME_H

#include "model.h"

#define FLAME_COMMAND "command" /* type of the frame that a command is */

/**
 * struct flame_frame - what a frame is called
 * @name:    text
 * @module:  text: file name of the mapping, without its directory
 * @type:    text: profile.frame.type, or FLAME_COMMAND
 * @inlined: 1 for a function inlined into its caller
 */
struct flame_frame {
	int name, module, type, inlined;
};

/**
 * struct flame - trees over the same frames
 * @frames:      struct flame_frame, interned; 0 is not used
 * @arena:       memory of @frames and @nodes
 * @nodes:       struct flame_node, interned; node 0 is the root
 * @self:        by node: sum of the samples that end there
 * @room:        of @self
 * @first_child: by node: where in @children its own begin; they end where the next node's begin
 * @children:    nodes, those of one parent by name
 */
struct flame {
	struct arena arena;
	struct table frames;
	struct table nodes;
	__s64 *self;
	size_t room;
	int *first_child;
	int *children;
};

struct flame_node {
	__u32 parent;
	__u32 frame;
};

static inline const struct flame_frame *flame__frame(const struct flame *flame, __u32 frame)
{
	return flame->frames.entries[frame].data;
}

static inline const struct flame_node *flame__node(const struct flame *flame, __u32 node)
{
	return flame->nodes.entries[node].data;
}

/**
 * flame__build - the tree of a kind
 * @flame: zeroed, or used before: frames then keep their indexes
 * @set:   set; gets the texts that are made here
 * @kind:  see profile_set__kinds()
 *
 * Return: 0, -EINVAL for an unknown kind, -ENOMEM.
 */
int flame__build(struct flame *flame, struct profile_set *set, int kind);

/** struct flame_step - one node on the way through a tree. @depth: of the root's children 1 */
struct flame_step {
	__u32 node;
	__u32 depth;
};

/**
 * flame__walk - call a function for each node but the root, a parent before its children
 *
 * Return: 0, what @visit returned if that is not 0, -ENOMEM.
 */
int flame__walk(const struct flame *flame,
		int (*visit)(const struct flame *flame, struct flame_step step, void *ctx),
		void *ctx);

void flame__free(struct flame *flame);

#endif
