// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * headers/otelbpf/exphist.bpf.h against exact integer arithmetic that shares nothing with it:
 * v is in OTLP bucket i if and only if 2^(i/4) < v * unit <= 2^((i+1)/4), that is, with fourth
 * powers, 2^i < (v * unit)^4 <= 2^(i+1). Both sides are integers once multiplied by a power of
 * two and, for the table in seconds, by (10^9)^4.
 */
#include <linux/types.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* The compiler of the tests need not know declaration tags. */
#pragma GCC diagnostic ignored "-Wattributes"
#include <otelbpf/exphist.bpf.h>

#include "ktap.h"

#define RANDOM_VALUES 10000000
#define SMALL_VALUES (1 << 20)

/* --- 512-bit integers ----------------------------------------------------- */

#define LIMBS 8

struct big {
	__u64 limb[LIMBS]; /* least first */
};

static struct big big__of(__u64 v)
{
	return (struct big){{v}};
}

static struct big big__mul(struct big a, __u64 b)
{
	unsigned __int128 carry = 0;

	for (int i = 0; i < LIMBS; i++) {
		carry += (unsigned __int128)a.limb[i] * b;
		a.limb[i] = carry;
		carry >>= 64;
	}
	ASSERT_EQ((__u64)carry, 0);
	return a;
}

static struct big big__double(struct big a, int times)
{
	for (; times >= 63; times -= 63)
		a = big__mul(a, 1ULL << 63);
	return big__mul(a, 1ULL << times);
}

static struct big big__fourth_power(__u64 v)
{
	return big__mul(big__mul(big__mul(big__of(v), v), v), v);
}

static int big__compare(const struct big *a, const struct big *b)
{
	for (int i = LIMBS - 1; i >= 0; i--)
		if (a->limb[i] != b->limb[i])
			return a->limb[i] < b->limb[i] ? -1 : 1;
	return 0;
}

/* --- what is right -------------------------------------------------------- */

/*
 * bound[k], k = 0 to EXPHIST_SLOTS: the lower bound of slot k and the upper one of slot k - 1,
 * as a fourth power; @shift is the power of two that makes all of them integers.
 */
struct exact {
	struct big bound[EXPHIST_SLOTS + 1];
	int shift;
};

static void exact__init(struct exact *exact, int first_index, __u64 units)
{
	struct big at = big__mul(big__mul(big__mul(big__of(units), units), units), units);

	exact->shift = -first_index;
	for (int k = 0; k <= EXPHIST_SLOTS; k++) {
		exact->bound[k] = at;
		if (k < EXPHIST_SLOTS)
			at = big__double(at, 1);
	}
}

/* Whether @slot is right for @v; EXPHIST_SLOTS and above say: above the last bound. */
static bool exact__holds(const struct exact *exact, __u64 v, __u32 slot)
{
	struct big power = big__double(big__fourth_power(v), exact->shift);

	if (slot >= EXPHIST_SLOTS)
		return big__compare(&power, &exact->bound[EXPHIST_SLOTS]) > 0;
	return big__compare(&power, &exact->bound[slot]) > 0 &&
	       big__compare(&power, &exact->bound[slot + 1]) <= 0;
}

/* The largest integer that is not above bound @k. */
static __u64 exact__floor(const struct exact *exact, int k)
{
	__u64 low = 0, high = 1ULL << 63;

	while (low + 1 < high) {
		__u64 middle = low + (high - low) / 2;
		struct big power = big__double(big__fourth_power(middle), exact->shift);

		if (big__compare(&power, &exact->bound[k]) <= 0)
			low = middle;
		else
			high = middle;
	}
	return low;
}

static struct exact seconds, units;

static void __attribute__((constructor)) init(void)
{
	exact__init(&seconds, -112, 1000000000);
	exact__init(&units, -1, 1);
}

/* Every check of a table, with the function that looks into it. */
struct table {
	const struct exact *exact;
	const __u64 *bounds;
	__u32 (*slot)(__u64 v);
	__u64 least; /* what the function may be asked */
};

static __u32 slot_s(__u64 ns)
{
	return exphist_s__slot(ns);
}

static __u32 slot_1(__u64 v)
{
	return exphist__slot_of(v);
}

static const struct table table_s = {&seconds, exphist_bounds_s, slot_s, 4};
static const struct table table_1 = {&units, exphist_bounds_1, slot_1, 1};

static bool check(const struct table *table, __u64 v)
{
	__u32 slot = table->slot(v);

	if (exact__holds(table->exact, v, slot))
		return true;
	printf("slot %u is wrong for %llu\n", slot, (unsigned long long)v);
	return EXPECT_TRUE(!"the right slot");
}

/* --- slots ---------------------------------------------------------------- */

static void check_bounds(const struct table *table)
{
	for (int k = 0; k <= EXPHIST_SLOTS; k++) {
		__u64 bound = exact__floor(table->exact, k);

		if (k && !EXPECT_EQ(table->bounds[k - 1], bound))
			return;
		for (__u64 v = bound - 1; v != bound + 2; v++)
			if (v >= table->least && v <= ~1ULL && !check(table, v))
				return;
	}
	for (int k = EXPHIST_SLOTS; k < EXPHIST_SLOTS + 4; k++)
		EXPECT_GT(table->bounds[k], table->bounds[k - 1]);
}

TEST(bounds_in_seconds)
{
	check_bounds(&table_s);
}

TEST(bounds_in_units)
{
	check_bounds(&table_1);
}

TEST(powers_of_two)
{
	for (int e = 0; e < 64; e++)
		for (__u64 v = (1ULL << e) - 1; v != (1ULL << e) + 2; v++) {
			if (v >= table_s.least && !check(&table_s, v))
				return;
			if (v >= table_1.least && !check(&table_1, v))
				return;
		}
	EXPECT_GE(slot_s(~0ULL), EXPHIST_SLOTS);
	EXPECT_GE(slot_1(~0ULL), EXPHIST_SLOTS);
}

static void check_small(const struct table *table)
{
	for (__u64 v = table->least; v <= SMALL_VALUES; v++)
		if (!check(table, v))
			return;
}

TEST(small_values_in_seconds)
{
	check_small(&table_s);
}

TEST(small_values_in_units)
{
	check_small(&table_1);
}

/* splitmix64 (Steele, Lea, Flood: Fast splittable pseudorandom number generators, 2014) */
static __u64 random64(__u64 *state)
{
	__u64 z = *state += 0x9e3779b97f4a7c15ULL;

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* As many values in each octave, the octaves above the last bound among them. */
static void check_random(const struct table *table, __u64 seed)
{
	for (int i = 0; i < RANDOM_VALUES; i++) {
		int octave = random64(&seed) % 56;
		__u64 v = (random64(&seed) | 1ULL << 63) >> (63 - octave);

		if (v >= table->least && !check(table, v))
			return;
	}
}

TEST_TIMEOUT(random_values_in_seconds, 120)
{
	check_random(&table_s, 1);
}

TEST_TIMEOUT(random_values_in_units, 120)
{
	check_random(&table_1, 2);
}

/* --- recording ------------------------------------------------------------ */

static __u64 sum_of(const __u64 *buckets)
{
	__u64 sum = 0;

	for (int i = 0; i < EXPHIST_SLOTS; i++)
		sum += buckets[i];
	return sum;
}

TEST(first_value)
{
	struct exphist_s in_seconds = {0};
	struct exphist in_units = {0};

	EXPECT_TRUE(exphist_s__record(&in_seconds, 1000000000));
	EXPECT_EQ(in_seconds.count, 1);
	EXPECT_EQ(in_seconds.sum, 1000000000);
	EXPECT_EQ(in_seconds.min, 1000000000);
	EXPECT_EQ(in_seconds.max, 1000000000);
	EXPECT_EQ(in_seconds.zero_count, 0);
	EXPECT_EQ(in_seconds.buckets[111], 1); /* index -1: 2^-0.25 s < 1 s <= 2^0 s */

	EXPECT_TRUE(exphist__record(&in_units, 1));
	EXPECT_EQ(in_units.count, 1);
	EXPECT_EQ(in_units.sum, 1);
	EXPECT_EQ(in_units.min, 1);
	EXPECT_EQ(in_units.max, 1);
	EXPECT_EQ(in_units.buckets[0], 1);
}

TEST(zero_bucket)
{
	struct exphist_s in_seconds = {0};
	struct exphist in_units = {0};

	for (__u64 ns = 0; ns <= 4; ns++)
		EXPECT_TRUE(exphist_s__record(&in_seconds, ns));
	EXPECT_EQ(in_seconds.zero_count, 4); /* 0 to 3 ns: at most 2^-28 s */
	EXPECT_EQ(in_seconds.buckets[0], 1);
	EXPECT_EQ(in_seconds.count, 5);
	EXPECT_EQ(in_seconds.sum, 10);
	EXPECT_EQ(in_seconds.min, 0);
	EXPECT_EQ(in_seconds.max, 4);

	/* min stays 0 when a larger value follows, though 0 is also the empty min. */
	EXPECT_TRUE(exphist__record(&in_units, 0));
	EXPECT_TRUE(exphist__record(&in_units, 9));
	EXPECT_EQ(in_units.zero_count, 1);
	EXPECT_EQ(in_units.count, 2);
	EXPECT_EQ(in_units.min, 0);
	EXPECT_EQ(in_units.max, 9);
}

TEST(out_of_range)
{
	const __u64 last_s = exact__floor(&seconds, EXPHIST_SLOTS);
	const __u64 last_1 = exact__floor(&units, EXPHIST_SLOTS);
	struct exphist_s in_seconds = {0};
	struct exphist in_units = {0};
	static const struct exphist_s empty_s;
	static const struct exphist empty_1;

	EXPECT_EQ(last_s, (1ULL << 20) * 1000000000);
	EXPECT_FALSE(exphist_s__record(&in_seconds, last_s + 1));
	EXPECT_FALSE(exphist_s__record(&in_seconds, 1ULL << 50));
	EXPECT_FALSE(exphist_s__record(&in_seconds, 1ULL << 63));
	EXPECT_FALSE(exphist_s__record(&in_seconds, ~0ULL));
	EXPECT_EQ(memcmp(&in_seconds, &empty_s, sizeof(empty_s)), 0);
	EXPECT_TRUE(exphist_s__record(&in_seconds, last_s));
	EXPECT_EQ(in_seconds.buckets[EXPHIST_SLOTS - 1], 1);
	EXPECT_EQ(in_seconds.max, last_s);

	EXPECT_FALSE(exphist__record(&in_units, last_1 + 1));
	EXPECT_FALSE(exphist__record(&in_units, 1ULL << 48));
	EXPECT_FALSE(exphist__record(&in_units, ~0ULL));
	EXPECT_EQ(memcmp(&in_units, &empty_1, sizeof(empty_1)), 0);
	EXPECT_TRUE(exphist__record(&in_units, last_1));
	EXPECT_EQ(in_units.buckets[EXPHIST_SLOTS - 1], 1);
}

TEST(totals_add_up)
{
	struct exphist_s *h = calloc(1, sizeof(*h));
	__u64 seed = 3, count = 0, sum = 0, min = ~0ULL, max = 0, zeros = 0, refused = 0;

	ASSERT_TRUE(h);
	for (int i = 0; i < 1000000; i++) {
		__u64 v = random64(&seed) >> (random64(&seed) % 56 + 8);

		if (v > (1ULL << 20) * 1000000000) {
			EXPECT_FALSE(exphist_s__record(h, v));
			refused++;
			continue;
		}
		ASSERT_TRUE(exphist_s__record(h, v));
		count++;
		sum += v;
		min = v < min ? v : min;
		max = v > max ? v : max;
		zeros += v <= 3;
	}
	EXPECT_GT(refused, 0);
	EXPECT_EQ(h->count, count);
	EXPECT_EQ(h->sum, sum);
	EXPECT_EQ(h->min, min);
	EXPECT_EQ(h->max, max);
	EXPECT_EQ(h->zero_count, zeros);
	EXPECT_EQ(sum_of(h->buckets) + h->zero_count, h->count);
	free(h);
}

TEST_MAIN()
