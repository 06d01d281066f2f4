// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Pairs of malloc() and free().
 *
 *	pairs PAIRS CPU LOOPS
 *
 * For each line on its standard input it makes LOOPS loops of PAIRS pairs, and prints the
 * nanoseconds of a pair in the lower quartile of the loops. It ends with its input. -DPROBED: it
 * tells each pair by USDT probes of its own, as far as somebody listens.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#ifdef PROBED
#include "../tools/usdt.h"
USDT_COUNTER(alloc);
USDT_COUNTER(free);
#endif

#define LOOPS_MAX 1000
#define SIZE 512 /* neither the smallest nor one that goes to the kernel */

/* What the compiler cannot see through. */
static void *(*volatile do_malloc)(size_t) = malloc;
static void (*volatile do_free)(void *) = free;

static void pair(void)
{
	void *p = do_malloc(SIZE);

#ifdef PROBED
	if (USDT_IS_TRACED(alloc))
		USDT("otel_memory", alloc, "8@%0 8@%1 8@%2", "r"(p), "nor"(SIZE + 0ul),
		     "nor"(SIZE + 0ul));
	if (USDT_IS_TRACED(free))
		USDT("otel_memory", free, "8@%0", "r"(p));
#endif
	do_free(p);
}

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1e9 + now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double loop[LOOPS_MAX];
	int pairs, loops;
	cpu_set_t cpu;
	char line[64];

	if (argc != 4)
		return 2;
	pairs = atoi(argv[1]);
	loops = atoi(argv[3]);
	if (pairs < 1 || loops < 1 || loops > LOOPS_MAX)
		return 2;
	CPU_ZERO(&cpu);
	CPU_SET(atoi(argv[2]), &cpu);
	if (sched_setaffinity(0, sizeof(cpu), &cpu))
		return 1;
	while (fgets(line, sizeof(line), stdin)) {
		for (int i = 0; i < loops; i++) {
			double start = now_ns();

			for (int k = 0; k < pairs; k++)
				pair();
			loop[i] = (now_ns() - start) / pairs;
		}
		qsort(loop, loops, sizeof(loop[0]), compare);
		printf("%.1f\n", loop[loops / 4]);
		fflush(stdout);
	}
	return 0;
}
