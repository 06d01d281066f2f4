/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Stacks that this CPU has recorded before. Most samples show one of them, and what it is can be
 * told by its addresses alone: neither its pages nor the stacks table have to be looked at.
 *
 * A user stack's addresses mean the same files as long as its process has the same mappings,
 * which otel_space__current() tells exactly: see pages.bpf.h. Only stacks are kept that would give
 * the same again, counted losses included, which those with an address or a missing frame would
 * not. And a stack that has been put into the table for a window stays there as long as a program
 * may write into that window: the exporter deletes nothing before.
 */
#ifndef OTELBPF_KNOWN_BPF_H
#define OTELBPF_KNOWN_BPF_H

#include "profile.bpf.h"

#define OTEL_KNOWN 1024 /* a power of 2; 16 KiB a CPU */

/**
 * struct otel_known - a stack that is in the table
 * @addresses: hash of its addresses, of the space that they are in and of the window
 * @hash:      its key's
 */
struct otel_known {
	__u64 addresses;
	__u64 hash;
};

/* Direct mapped. Written and read by the programs on the same CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OTEL_KNOWN);
	__type(key, __u32);
	__type(value, struct otel_known);
} known_stacks SEC(".maps");

static __always_inline struct otel_known *otel_known__at(__u64 addresses)
{
	__u32 i = addresses >> 32 & (OTEL_KNOWN - 1);

	return bpf_map_lookup_elem(&known_stacks, &i);
}

/* Return: 0 when it is not known. */
static __always_inline __u64 otel_known__find(__u64 addresses)
{
	struct otel_known *known = otel_known__at(addresses);

	return known && known->addresses == addresses ? known->hash : 0;
}

static __always_inline void otel_known__learn(__u64 addresses, __u64 hash)
{
	struct otel_known *known = otel_known__at(addresses);

	if (known) {
		known->addresses = addresses;
		known->hash = hash;
	}
}

static __noinline __u64 otel_known__user(void *ctx, struct otel_scratch *s, __u64 addresses,
					 __u32 window, __u32 n)
{
	__u64 hash;

	if (!otel_stack__resolve(ctx, s, n))
		return 0;
	hash = otel_stack__keep(s, window);
	if (hash && addresses && !s->unknown && !s->unsure)
		otel_known__learn(addresses, hash);
	return hash;
}

/**
 * otel_stack__user - record the user stack of the current task
 * @ctx:    the program's context
 * @s:      work space
 * @window: of the sample
 *
 * Return: the stack's hash, 0 when there is none.
 */
static __always_inline __u64 otel_stack__user(void *ctx, struct otel_scratch *s, __u32 window)
{
	__u32 n = otel_stack__unwind(ctx, s);
	__u64 addresses = 0, hash;

	if (n && n < OTEL_STACK_USUAL) {
		addresses = otel_addresses__mix(s->addresses, n, otel_mix(s->space, window));
		hash = otel_known__find(addresses);
		if (hash)
			return hash;
	}
	return otel_known__user(ctx, s, addresses, window, n);
}

/** otel_stack__kernel - the same for the kernel's stack; see otel_stack__user() */
static __always_inline __u64 otel_stack__kernel(void *ctx, struct otel_scratch *s, __u32 window)
{
	__u64 addresses, hash;

	if (!otel_stack__walk_kernel(ctx, s))
		return 0;
	addresses = otel_mix(s->key.hash, window);
	hash = otel_known__find(addresses);
	if (hash)
		return hash;
	hash = otel_stack__keep(s, window);
	if (hash)
		otel_known__learn(addresses, hash);
	return hash;
}

#endif
