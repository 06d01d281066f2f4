/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Upgrades that count each event once. For a moment the programs of both versions are attached, and
 * exactly one of the two handles an event. A probe that includes this is upgraded so; its programs
 * ask otel_turn__is_mine(), or have to bear to run twice for one event.
 *
 * Of the two the kernel always runs the same one first. That one goes by the loader's word, which
 * may change at any time, and leaves a note if it has handled the event; the other one finds the
 * note and has nothing to do. So it is one decision, however long lies between the two. A note is
 * in the slot of the CPU, where nothing comes in between but interrupts, or of the task. Between
 * two steps the loader waits until the programs that are running have ended:
 *
 *   attach     the older ones handle all, and leave no notes yet: some run alone
 *   both       those that run first leave notes
 *   handed     the newer ones handle all
 *   detach     what the older ones have left undone the newer ones have done
 *
 * A note is the number of the attempt, so one that nobody took away means nothing later.
 *
 * Where links and filters of network interfaces are given another program in one step, the version
 * that is attached is the only one, and measures: its number is 0.
 */
#ifndef OTELBPF_TURN_BPF_H
#define OTELBPF_TURN_BPF_H

#include <bpf/bpf_helpers.h>

#include "deadline.bpf.h"
#include "meta.h"
#include "tags.h"

/* Written by the loader while it upgrades; looked at if OTEL_FILTER_F_TURN is set. */
struct otel_turn otel_turn SEC(".data.filter") OTEL_TAG("turn");

/* The attempt that brought these programs, 0: they take no turns. Set by the loader. */
const volatile __u32 otel_turn_attempt OTEL_TAG("turn_attempt");

/* One entry, per CPU: the slot. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u32);
} turns SEC(".maps");

/** enum otel_turn_order - which of two programs on one hook the kernel runs first */
enum otel_turn_order {
	OTEL_OLDER_FIRST,  /* tracepoints, cgroup_skb */
	OTEL_EITHER_FIRST, /* libxdp's dispatcher: no notes, so off by one for what the hand-over
			      meets */
	OTEL_NEWER_FIRST,  /* fentry, fexit, uprobes, perf events that count */
};

/** otel_turn__is_on - whether two versions are attached */
static __always_inline _Bool otel_turn__is_on(void)
{
	return otel_filter.flags & OTEL_FILTER_F_TURN;
}

/**
 * otel_turn__take - whether it is this version that handles the event
 * @slot:  where the first of the two leaves a note; NULL if there is no memory for one
 * @order: of this program's hook
 *
 * To be asked once for an event, while otel_turn__is_on().
 */
static __always_inline _Bool otel_turn__take(__u32 *slot, enum otel_turn_order order)
{
	_Bool newer = otel_turn_attempt == otel_turn.attempt;
	_Bool handed = otel_turn.step == OTEL_TURN_HANDED;
	_Bool first = newer == (order == OTEL_NEWER_FIRST);

	if (order == OTEL_EITHER_FIRST)
		return handed == newer;
	if (!slot)
		return !newer;
	if (first && handed == newer) {
		if (otel_turn.step != OTEL_TURN_ATTACH)
			*slot = otel_turn.attempt;
		return 1;
	}
	if (first)
		return 0;
	if (*slot == otel_turn.attempt) {
		*slot = 0;
		return 0;
	}
	return !newer || handed;
}

static __noinline _Bool otel_turn__take_on_cpu(enum otel_turn_order order)
{
	__u32 zero = 0;

	return otel_turn__take(bpf_map_lookup_elem(&turns, &zero), order);
}

/**
 * otel_turn__is_mine - whether it is this version's turn to handle an event
 * @order: of this program's hook
 *
 * To be asked first of all, once in a program, where the kernel runs all programs of the hook
 * without another task in between; otherwise see otel_turn__take(). One load but in an upgrade.
 */
static __always_inline _Bool otel_turn__is_mine(enum otel_turn_order order)
{
	return !otel_turn__is_on() || !otel_turn_attempt || otel_turn__take_on_cpu(order);
}

#endif
