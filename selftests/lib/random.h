/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Random numbers that are the same again with the same seed, for what is fuzzed. */
#ifndef SELFTESTS_RANDOM_H
#define SELFTESTS_RANDOM_H

#include <linux/types.h>
#include <stddef.h>

/** random__next - xorshift64*, Vigna 2016; @state: not 0 */
static inline __u64 random__next(__u64 *state)
{
	*state ^= *state << 13;
	*state ^= *state >> 7;
	*state ^= *state << 17;
	return *state * 0x2545f4914f6cdd1dULL;
}

/** random__below - one of @n numbers from 0; 0 for none */
static inline size_t random__below(__u64 *state, size_t n)
{
	return n ? random__next(state) % n : 0;
}

#endif
