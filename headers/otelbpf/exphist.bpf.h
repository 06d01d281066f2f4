/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Exact OTLP exponential histograms, computed where the measurement is made.
 *
 * Scale 2: four buckets an octave, bucket i = (2^(i/4), 2^((i+1)/4)], upper
 * bound included (opentelemetry-specification, metrics data model, "Exponential
 * Buckets"). A duration is measured in integer nanoseconds but its instrument
 * is in seconds, so the bounds are 2^(k/4) seconds expressed in nanoseconds and
 * rounded down: an integer is above the bound if and only if it is above the
 * rounded bound. The table is exact, so the index is: no logarithm, no float.
 *
 * Plain C without helpers: selftests compile it natively and compare it with
 * exact arithmetic at every bound.
 */
#ifndef OTELBPF_EXPHIST_BPF_H
#define OTELBPF_EXPHIST_BPF_H

#include "tags.h"

#define EXPHIST_SLOTS 192

/**
 * struct exphist_s - a histogram of durations: fed nanoseconds, exported in seconds
 * @count:      measurements
 * @sum:        their sum, ns
 * @min:        the smallest, ns; valid when @count is not 0
 * @max:        the largest, ns
 * @zero_count: measurements of at most 2^-28 s (3 ns)
 * @buckets:    slot n is OTLP index n - 112: (2^-28 s, 2^20 s], 3.7 ns to 12 days
 *
 * A value struct of a per-CPU map: there is no atomic in the update. All zero
 * is the empty histogram.
 */
struct exphist_s {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
	__u64 zero_count;
	__u64 buckets[EXPHIST_SLOTS] OTEL_BUCKETS("2", "-112", "1e-9", "-28");
};

/**
 * struct exphist - a histogram of bytes, packets, or any other count
 * @count:      measurements
 * @sum:        their sum
 * @min:        the smallest; valid when @count is not 0
 * @max:        the largest
 * @zero_count: measurements of exactly 0
 * @buckets:    slot n is OTLP index n - 1: up to 2^47.75
 */
struct exphist {
	__u64 count;
	__u64 sum;
	__u64 min;
	__u64 max;
	__u64 zero_count;
	__u64 buckets[EXPHIST_SLOTS] OTEL_BUCKETS("2", "-1", "1", "none");
};

/* floor(2^(j/4) * 2^62), j = 0..3: the digits are those of the roots of two. */
#define EXPHIST_M0 0x4000000000000000ULL
#define EXPHIST_M1 0x4c1bf828c6dc54b7ULL
#define EXPHIST_M2 0x5a827999fcef3242ULL
#define EXPHIST_M3 0x6ba27e656b4eb57aULL

/* floor(UNIT * 2^(j/4 + e)), -28 <= e <= 48; 128-bit constants, folded by the compiler. */
#define EXPHIST_BOUND(unit, m, e) ((__u64)(((unsigned __int128)(m) * (unit)) >> (62 - (e))))
#define EXPHIST_OCTAVE(u, e)                                              \
	EXPHIST_BOUND(u, EXPHIST_M1, e), EXPHIST_BOUND(u, EXPHIST_M2, e), \
		EXPHIST_BOUND(u, EXPHIST_M3, e), EXPHIST_BOUND(u, EXPHIST_M0, (e) + 1)
#define EXPHIST_OCTAVES8(u, e)                                                        \
	EXPHIST_OCTAVE(u, e), EXPHIST_OCTAVE(u, (e) + 1), EXPHIST_OCTAVE(u, (e) + 2), \
		EXPHIST_OCTAVE(u, (e) + 3), EXPHIST_OCTAVE(u, (e) + 4),               \
		EXPHIST_OCTAVE(u, (e) + 5), EXPHIST_OCTAVE(u, (e) + 6), EXPHIST_OCTAVE(u, (e) + 7)

/*
 * Upper bounds by slot. Four more at the end, above every index that
 * exphist__slot() accepts, so that its four compares need no bounds check.
 */
static const __u64 exphist_bounds_s[EXPHIST_SLOTS + 4] = {
	EXPHIST_OCTAVES8(1000000000ULL, -28), EXPHIST_OCTAVES8(1000000000ULL, -20),
	EXPHIST_OCTAVES8(1000000000ULL, -12), EXPHIST_OCTAVES8(1000000000ULL, -4),
	EXPHIST_OCTAVES8(1000000000ULL, 4),   EXPHIST_OCTAVES8(1000000000ULL, 12),
	EXPHIST_OCTAVE(1000000000ULL, 20),
};

static const __u64 exphist_bounds_1[EXPHIST_SLOTS + 4] = {
	1,
	EXPHIST_OCTAVES8(1ULL, 0),
	EXPHIST_OCTAVES8(1ULL, 8),
	EXPHIST_OCTAVES8(1ULL, 16),
	EXPHIST_OCTAVES8(1ULL, 24),
	EXPHIST_OCTAVES8(1ULL, 32),
	EXPHIST_OCTAVE(1ULL, 40),
	EXPHIST_OCTAVE(1ULL, 41),
	EXPHIST_OCTAVE(1ULL, 42),
	EXPHIST_OCTAVE(1ULL, 43),
	EXPHIST_OCTAVE(1ULL, 44),
	EXPHIST_OCTAVE(1ULL, 45),
	EXPHIST_OCTAVE(1ULL, 46),
	EXPHIST_OCTAVE(1ULL, 47),
	EXPHIST_BOUND(1ULL, EXPHIST_M1, 48),
	EXPHIST_BOUND(1ULL, EXPHIST_M2, 48),
	EXPHIST_BOUND(1ULL, EXPHIST_M3, 48),
};

/* floor(log2(v)), v > 0. BPF has no count-leading-zeros instruction. */
static __attribute__((always_inline)) inline __u32 exphist__log2(__u64 v)
{
	__u32 r = 0;

	if (v >= 1ULL << 32) {
		v >>= 32;
		r += 32;
	}
	if (v >= 1 << 16) {
		v >>= 16;
		r += 16;
	}
	if (v >= 1 << 8) {
		v >>= 8;
		r += 8;
	}
	if (v >= 1 << 4) {
		v >>= 4;
		r += 4;
	}
	if (v >= 1 << 2) {
		v >>= 2;
		r += 2;
	}
	return r + (__u32)(v >> 1);
}

/*
 * An octave of the integers [2^e, 2^(e+1)) holds exactly four bounds, since
 * bounds are a quarter octave apart; @base is the slot that 2^e falls in, and
 * the four compares count the bounds below @v. The subtraction's sign bit is
 * the compare: both sides are far below 2^63.
 */
static __attribute__((always_inline)) inline __u32 exphist__slot(const __u64 *bounds, __u32 base,
								 __u64 v)
{
	return base + (__u32)((bounds[base] - v) >> 63) + (__u32)((bounds[base + 1] - v) >> 63) +
	       (__u32)((bounds[base + 2] - v) >> 63) + (__u32)((bounds[base + 3] - v) >> 63);
}

/**
 * exphist_s__slot - the slot of struct exphist_s.buckets that a duration falls in
 * @ns: nanoseconds, more than 3
 *
 * 2^e ns falls in slot 4e - 8: (4e - 8 - 111)/4 >= e - log2(1e9) = e - 29.897 is
 * first true there.
 *
 * Return: 0 to EXPHIST_SLOTS - 1, or at least EXPHIST_SLOTS when @ns is above 2^20 s.
 */
static __attribute__((always_inline)) inline __u32 exphist_s__slot(__u64 ns)
{
	__u32 base = 4 * exphist__log2(ns) - 8;

	if (base >= EXPHIST_SLOTS)
		return EXPHIST_SLOTS;
	return exphist__slot(exphist_bounds_s, base, ns);
}

/**
 * exphist__slot_of - the slot of struct exphist.buckets that a value falls in
 * @v: at least 1
 *
 * Return: 0 to EXPHIST_SLOTS - 1, or at least EXPHIST_SLOTS when @v is above 2^47.75.
 */
static __attribute__((always_inline)) inline __u32 exphist__slot_of(__u64 v)
{
	__u32 base = 4 * exphist__log2(v);

	if (base >= EXPHIST_SLOTS)
		return EXPHIST_SLOTS;
	return exphist__slot(exphist_bounds_1, base, v);
}

/*
 * Both structs have the same members. A value above the last bound (12 days)
 * is not recorded and the caller counts it: a bucket never lies.
 */
#define EXPHIST_RECORD(h, v, is_zero, slot_of)             \
	({                                                 \
		__u32 __slot = (is_zero) ? 0 : slot_of(v); \
		_Bool __ok = __slot < EXPHIST_SLOTS;       \
                                                           \
		if (__ok) {                                \
			if (is_zero)                       \
				(h)->zero_count++;         \
			else                               \
				(h)->buckets[__slot]++;    \
			if (!(h)->count || (v) < (h)->min) \
				(h)->min = (v);            \
			if ((v) > (h)->max)                \
				(h)->max = (v);            \
			(h)->sum += (v);                   \
			(h)->count++;                      \
		}                                          \
		__ok;                                      \
	})

/*
 * The same where an interrupt's program may come in the middle and update the same
 * value: each step is atomic. min is not set while both it and count are 0.
 */
#define EXPHIST_RECORD_ATOMIC(h, v, is_zero, slot_of)                                          \
	({                                                                                     \
		__u32 __slot = (is_zero) ? 0 : slot_of(v);                                     \
		_Bool __ok = __slot < EXPHIST_SLOTS;                                           \
                                                                                               \
		if (__ok) {                                                                    \
			if (is_zero)                                                           \
				__sync_fetch_and_add(&(h)->zero_count, 1);                     \
			else                                                                   \
				__sync_fetch_and_add(&(h)->buckets[__slot], 1);                \
			for (int __i = 0; __i < 4; __i++) {                                    \
				__u64 __old = (h)->min;                                        \
                                                                                               \
				if (((h)->count || __old) && __old <= (v))                     \
					break;                                                 \
				if (__sync_val_compare_and_swap(&(h)->min, __old, v) == __old) \
					break;                                                 \
			}                                                                      \
			for (int __i = 0; __i < 4; __i++) {                                    \
				__u64 __old = (h)->max;                                        \
                                                                                               \
				if (__old >= (v) ||                                            \
				    __sync_val_compare_and_swap(&(h)->max, __old, v) == __old) \
					break;                                                 \
			}                                                                      \
			__sync_fetch_and_add(&(h)->sum, v);                                    \
			__sync_fetch_and_add(&(h)->count, 1);                                  \
		}                                                                              \
		__ok;                                                                          \
	})

/**
 * exphist_s__record_atomic - add one duration where interrupts add to the same histogram
 * @h:  histogram in a map value
 * @ns: the duration in nanoseconds
 *
 * For values that both a task and a softirq on its CPU write.
 *
 * Return: false when @ns is above 2^20 s and nothing was recorded.
 */
static __attribute__((always_inline)) inline _Bool exphist_s__record_atomic(struct exphist_s *h,
									    __u64 ns)
{
	return EXPHIST_RECORD_ATOMIC(h, ns, ns <= 3, exphist_s__slot);
}

/**
 * exphist_s__record - add one duration
 * @h:  histogram in a per-CPU map value
 * @ns: the duration in nanoseconds
 *
 * Return: false when @ns is above 2^20 s and nothing was recorded.
 */
static __attribute__((always_inline)) inline _Bool exphist_s__record(struct exphist_s *h, __u64 ns)
{
	return EXPHIST_RECORD(h, ns, ns <= 3, exphist_s__slot);
}

/**
 * exphist__record - add one value
 * @h: histogram in a per-CPU map value
 * @v: the value, in the instrument's own unit
 *
 * Return: false when @v is above 2^47.75 and nothing was recorded.
 */
static __attribute__((always_inline)) inline _Bool exphist__record(struct exphist *h, __u64 v)
{
	return EXPHIST_RECORD(h, v, v == 0, exphist__slot_of);
}

#endif
