/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The stacks of a window, as short as they can be kept: each frame once, and of a stack the
 * numbers of those it has. In the kernel's table a stack takes a kilobyte, however few its frames.
 */
#ifndef OTELBPF_PROFILE_STACKS_H
#define OTELBPF_PROFILE_STACKS_H

#include <linux/types.h>
#include <otelbpf/profile.h>

#include "entries.h"
#include "intern.h"

enum frame_tracer { TRACER_UNKNOWN, TRACER_YES, TRACER_NO };

/**
 * struct frame - a frame, and what is remembered of it from sample to sample
 * @address:  as in struct otel_stack
 * @kind:     OTEL_STACK_USER or OTEL_STACK_KERNEL
 * @tracer:   whether it is the tracer's
 * @location: in the set, as a caller and as a leaf; @owner says whether it is known
 * @owner:    0: not known. Else the process, from 1, that it is for, if it is different in each
 */
struct frame {
	__u64 address;
	__u16 kind;
	__u16 tracer; /* enum frame_tracer */
	int location[2];
	__u32 owner[2];
};

/** struct stack - @frames are indexes, leaf first, as varints: most take one or two bytes */
struct stack {
	__u64 hash;
	__u32 size; /* of @frames, bytes */
	__u8 frames[];
};

/** struct stacks - zero but for @seed: nothing read */
struct stacks {
	__u64 seed; /* random and odd */
	struct arena arena;
	struct stack **slots; /* by hash; at most half full */
	__u32 n, n_slots;
	struct frame *frames;
	__u32 n_frames, frame_room;
	__u32 *frame_slots; /* index + 1; 0: free; at most half full */
	__u32 n_frame_slots;
};

/** stacks__add - take a stack, with room for @depth frames: 0 or -ENOMEM */
int stacks__add(struct stacks *stacks, __u64 hash, const struct otel_stack *stack, __u32 depth);

/** stacks__find - NULL when it is not there; 0 is no stack's hash */
const struct stack *stacks__find(const struct stacks *stacks, __u64 hash);

/** stacks__clear - forget them all and give the memory back */
void stacks__clear(struct stacks *stacks);

#endif
