// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "stacks.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/pb.h"

#define FIRST_SLOTS 256

/* Multiplied by a number that is not known, since a process chooses its frames. */
static __u32 frame_slot(const struct stacks *stacks, __u64 address, __u32 kind)
{
	unsigned __int128 product = (unsigned __int128)(address ^ kind) * stacks->seed;

	return ((__u64)product ^ (__u64)(product >> 64)) & (stacks->n_frame_slots - 1);
}

static int grow_frames(struct stacks *stacks)
{
	__u32 n = stacks->n_frame_slots ? 2 * stacks->n_frame_slots : FIRST_SLOTS;
	struct frame *frames = reallocarray(stacks->frames, n / 2, sizeof(*frames));
	__u32 *slots;

	if (!frames)
		return -ENOMEM;
	stacks->frames = frames;
	slots = calloc(n, sizeof(*slots));
	if (!slots)
		return -ENOMEM;
	free(stacks->frame_slots);
	stacks->frame_slots = slots;
	stacks->n_frame_slots = n;
	stacks->frame_room = n / 2;
	for (__u32 i = 0; i < stacks->n_frames; i++) {
		__u32 slot = frame_slot(stacks, frames[i].address, frames[i].kind);

		while (slots[slot])
			slot = (slot + 1) & (n - 1);
		slots[slot] = i + 1;
	}
	return 0;
}

/* Return: index, or -ENOMEM. */
static int frame_index(struct stacks *stacks, __u64 address, __u32 kind)
{
	__u32 slot;

	if (stacks->n_frames == stacks->frame_room && grow_frames(stacks))
		return -ENOMEM;
	for (slot = frame_slot(stacks, address, kind); stacks->frame_slots[slot];
	     slot = (slot + 1) & (stacks->n_frame_slots - 1)) {
		const struct frame *frame = &stacks->frames[stacks->frame_slots[slot] - 1];

		if (frame->address == address && frame->kind == kind)
			return stacks->frame_slots[slot] - 1;
	}
	stacks->frames[stacks->n_frames] = (struct frame){.address = address, .kind = kind};
	stacks->frame_slots[slot] = stacks->n_frames + 1;
	return stacks->n_frames++;
}

/* The hash is one of many bits, made by the program that took the stack. */
static struct stack **find_slot(struct stack **slots, __u32 n_slots, __u64 hash)
{
	__u32 slot = (hash ^ hash >> 32) & (n_slots - 1);

	while (slots[slot] && slots[slot]->hash != hash)
		slot = (slot + 1) & (n_slots - 1);
	return &slots[slot];
}

static int grow_slots(struct stacks *stacks)
{
	__u32 n = stacks->n_slots ? 2 * stacks->n_slots : FIRST_SLOTS;
	struct stack **slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (__u32 i = 0; i < stacks->n_slots; i++)
		if (stacks->slots[i])
			*find_slot(slots, n, stacks->slots[i]->hash) = stacks->slots[i];
	free(stacks->slots);
	stacks->slots = slots;
	stacks->n_slots = n;
	return 0;
}

int stacks__add(struct stacks *stacks, __u64 hash, const struct otel_stack *stack, __u32 depth)
{
	__u32 n = stack->n < depth ? stack->n : depth;
	__u32 kind = stack->kind == OTEL_STACK_KERNEL ? OTEL_STACK_KERNEL : OTEL_STACK_USER;
	__u8 frames[OTEL_STACK_DEPTH * PB_VARINT_MAX], *end = frames;
	struct stack **slot, *copy;

	if (2 * (stacks->n + 1) > stacks->n_slots && grow_slots(stacks))
		return -ENOMEM;
	slot = find_slot(stacks->slots, stacks->n_slots, hash);
	if (*slot)
		return 0;
	for (__u32 i = 0; i < n; i++) {
		int index = frame_index(stacks, stack->frames[i], kind);

		if (index < 0)
			return index;
		end = pb_put__varint(end, index);
	}
	copy = arena__alloc(&stacks->arena, sizeof(*copy) + (end - frames));
	if (!copy)
		return -ENOMEM;
	*copy = (struct stack){.hash = hash, .size = end - frames};
	memcpy(copy->frames, frames, end - frames);
	*slot = copy;
	stacks->n++;
	return 0;
}

const struct stack *stacks__find(const struct stacks *stacks, __u64 hash)
{
	return hash && stacks->n ? *find_slot(stacks->slots, stacks->n_slots, hash) : NULL;
}

void stacks__clear(struct stacks *stacks)
{
	arena__free(&stacks->arena);
	free(stacks->slots);
	free(stacks->frames);
	free(stacks->frame_slots);
	*stacks = (struct stacks){.seed = stacks->seed};
}
