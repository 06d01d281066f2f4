/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables whose totals stay exact when they are full, and counted losses. */
#ifndef OTELBPF_TABLE_BPF_H
#define OTELBPF_TABLE_BPF_H

#include "tags.h"

/* Large enough for any key; see OTEL_METRICS for what this key means. */
#define OTEL_KEY_MAX 64
#define OTEL_FF8 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff
static const __u8 otel_overflow_key[OTEL_KEY_MAX] = {
	OTEL_FF8, OTEL_FF8, OTEL_FF8, OTEL_FF8, OTEL_FF8, OTEL_FF8, OTEL_FF8, OTEL_FF8,
};

/**
 * OTEL_LOSS - one reason why a measurement is not where it should be
 * @reason: a bare word, as it appears in the attribute otelbpf.loss.reason
 */
#define OTEL_LOSS(reason)                                                           \
	__u64 reason OTEL_SUM("otelbpf.losses", "{measurement}",                    \
			      "Measurements dropped or put into an overflow entry") \
		OTEL_WITH("otelbpf.loss.reason", #reason);

/**
 * OTEL_LOSSES - declare the probe's loss counters, the map "losses"
 * @reasons: OTEL_LOSS(a) OTEL_LOSS(b) …; table_full is there already
 *
 * One entry, per CPU. Written by otel_lose(), read by the exporter.
 */
#define OTEL_LOSSES(reasons)                             \
	struct otel_losses {                             \
		OTEL_LOSS(table_full)                    \
		reasons                                  \
	};                                               \
	struct {                                         \
		__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY); \
		__uint(max_entries, 1);                  \
		__type(key, __u32);                      \
		__type(value, struct otel_losses);       \
	} losses SEC(".maps") OTEL_METRICS

/**
 * otel_add - add to a member that interrupts or other CPUs add to as well
 * @member: of a map's value
 * @n:      how much
 */
#define otel_add(member, n) __sync_fetch_and_add(&(member), n)

/**
 * otel_lose - count one lost measurement
 * @reason: a member that OTEL_LOSSES() declared
 *
 * Atomic although per CPU: a loss may happen in an NMI that came in the middle
 * of this very increment, and nobody minds the cost of the rare case.
 */
#define otel_lose(reason) otel_lose_some(reason, 1)

/* otel_lose_some - count several */
#define otel_lose_some(reason, n) otel_lose_some_in(&losses, struct otel_losses, reason, n)

/* The same for counters in another map of that shape. */
#define otel_lose_in(map, type, reason) otel_lose_some_in(map, type, reason, 1)
#define otel_lose_some_in(map, type, reason, n)                \
	({                                                     \
		__u32 __zero = 0;                              \
		type *__l = bpf_map_lookup_elem(map, &__zero); \
                                                               \
		if (__l)                                       \
			__sync_fetch_and_add(&__l->reason, n); \
	})

/*
 * The slow path of otel_table__get(). Two CPUs that add the same key at once:
 * one gets -EEXIST and finds the other's entry in the second look.
 */
static __attribute__((noinline)) void *otel_table__add(void *map, const void *key, const void *zero)
{
	bpf_map_update_elem(map, key, zero, BPF_NOEXIST);
	return bpf_map_lookup_elem(map, key);
}

/**
 * otel_table__get - the value of a key in a metric table, added if absent
 * @map:   a hash map tagged OTEL_METRICS; its key takes at most OTEL_KEY_MAX bytes
 * @key:   the key, padding zeroed
 * @zero:  a value of all zeros that outlives the call: a static const variable
 * @added: set to true when the entry was not there before (it may be the
 *         overflow entry all the same)
 *
 * When the table is full (or the kernel has no memory at this instant) the
 * overflow entry, which the loader put in, takes the measurement: totals stay
 * exact, only the attributes are lost, and losses.table_full counts that.
 *
 * Return: the value, or NULL if not even the overflow entry is there.
 */
#define otel_table__get(map, key, zero, added)                                     \
	({                                                                         \
		void *__v = bpf_map_lookup_elem(map, key);                         \
                                                                                   \
		if (!__v) {                                                        \
			*(added) = 1;                                              \
			__v = otel_table__add(map, key, zero);                     \
			if (!__v) {                                                \
				otel_lose(table_full);                             \
				__v = bpf_map_lookup_elem(map, otel_overflow_key); \
			}                                                          \
		}                                                                  \
		__v;                                                               \
	})

#endif
