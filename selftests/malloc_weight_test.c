// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The malloc probe's sampling, compiled natively: against libm, and whether it has a bias. */
#include <linux/types.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "ktap.h"
#include "progs/malloc_weight.h"

static const __u32 rates[] = {2, 100, 4096, 524288, 1 << 20, RATE_MAX};

TEST(weights)
{
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++) {
		double rate = rates[r];

		for (double s = 1; s < 30 * rate; s = ceil(s * 1.01)) {
			double exact = s / -expm1(-s / rate);
			__u64 bytes = weight__bytes(s, rates[r]);

			if (!EXPECT_TRUE(fabs(bytes - exact) <= 1 + exact * 1e-6)) {
				printf("size %.0f rate %.0f: %llu, not %f\n", s, rate, bytes,
				       exact);
				return;
			}
		}
	}
	EXPECT_EQ(weight__bytes(1ULL << 50, 524288), 1ULL << 50);
}

TEST(distances)
{
	for (size_t r = 0; r < sizeof(rates) / sizeof(rates[0]); r++)
		for (__u64 random = 1; random < 1ULL << 32; random = random + random / 7 + 1) {
			double exact = -log(random / 4294967296.0) * rates[r];
			__u64 distance = weight__distance(rates[r], random);

			if (!EXPECT_TRUE(fabs(distance - exact) <= 1 + rates[r] * 5e-5)) {
				printf("random %llu rate %u: %llu, not %f\n", random, rates[r],
				       distance, exact);
				return;
			}
		}
}

static __u32 random32(void)
{
	return (__u32)mrand48();
}

/*
 * A million allocations of mixed sizes, a hundred times, as the probe samples them. The mean of the
 * totals is wrong by chance by one part in a few thousand; three times its own deviation, as
 * measured, and a bias is found.
 */
TEST_TIMEOUT(no_bias, 60)
{
	static const __u32 sizes[] = {1, 16, 24, 100, 512, 4096, 70000, 1 << 20};
	const __u32 rate = 524288;
	const int runs = 100, n = 100000;
	double sum = 0, squares = 0, objects_sum = 0, objects_squares = 0, bytes = 0;

	srand48(5);
	for (int run = 0; run < runs; run++) {
		__u64 distance = weight__distance(rate, random32());
		double total = 0, objects = 0;

		bytes = 0;
		for (int i = 0; i < n; i++) {
			/* Mostly small ones. */
			__u32 size = sizes[i % 97 == 0 ? 7 : i % 31 == 0 ? 6 : i % 6];
			__u64 weight;

			bytes += size;
			if (size <= distance) {
				distance -= size;
				continue;
			}
			distance = weight__distance(rate, random32());
			weight = weight__bytes(size, rate);
			total += weight;
			objects += weight__objects(size, weight, random32());
		}
		sum += total;
		squares += total * total;
		objects_sum += objects;
		objects_squares += objects * objects;
	}
	sum /= runs;
	objects_sum /= runs;
	squares = sqrt((squares / runs - sum * sum) / runs);
	objects_squares = sqrt((objects_squares / runs - objects_sum * objects_sum) / runs);
	printf("bytes %.0f, estimated %.0f, deviation %.0f\n", bytes, sum, squares);
	printf("objects %d, estimated %.0f, deviation %.0f\n", n, objects_sum, objects_squares);
	EXPECT_TRUE(fabs(sum - bytes) < 3 * squares);
	EXPECT_TRUE(squares < bytes * 0.003);
	EXPECT_TRUE(fabs(objects_sum - n) < 3 * objects_squares);
}

TEST_MAIN()
