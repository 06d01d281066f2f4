// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * As many different stacks as are wanted, each of them blocked once or burning CPU time.
 *
 *   stacks block N      prints "N blocks": how often it was off the CPU of its own will
 *   stacks burn N       1 ms of CPU time in each; prints "NS total" and "NS wall"
 *
 * Stack I goes through left() or right() as I's bits say, and ends in leaf().
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#define FRAME __attribute__((noinline))
#define NOT_LAST() __asm__ volatile("" ::: "memory")
#define BITS 15

static int burns;

static long long clock_ns(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long blocks(void)
{
	struct rusage usage;

	getrusage(RUSAGE_SELF, &usage);
	return usage.ru_nvcsw;
}

FRAME static void burn(void)
{
	static long long until;

	if (!until)
		until = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	until += 1000000;
	while (clock_ns(CLOCK_PROCESS_CPUTIME_ID) < until)
		for (int i = 0; i < 20000; i++)
			__asm__ volatile("" ::"r"(i));
}

/* Once for certain: a timer that is faster than we are at falling asleep does not block. */
FRAME static void block(void)
{
	static const struct timespec time = {.tv_nsec = 50000};
	long before = blocks();

	while (blocks() == before)
		nanosleep(&time, NULL);
}

FRAME static void leaf(void)
{
	burns ? burn() : block();
	NOT_LAST();
}

static void step(unsigned int path, int bits);

FRAME static void left(unsigned int path, int bits)
{
	step(path, bits);
	NOT_LAST();
}

FRAME static void right(unsigned int path, int bits)
{
	step(path, bits);
	NOT_LAST();
}

FRAME static void step(unsigned int path, int bits)
{
	if (!bits)
		leaf();
	else if (path & 1)
		left(path >> 1, bits - 1);
	else
		right(path >> 1, bits - 1);
	NOT_LAST();
}

int main(int argc, char **argv)
{
	long long wall = clock_ns(CLOCK_MONOTONIC);
	int n = argc == 3 ? atoi(argv[2]) : 0;
	long before = blocks();

	if (n <= 0 || n > 1 << BITS || (strcmp(argv[1], "block") && strcmp(argv[1], "burn"))) {
		fprintf(stderr, "usage: stacks block|burn N\n");
		return 2;
	}
	burns = !strcmp(argv[1], "burn");
	for (int i = 0; i < n; i++)
		step(i, BITS);
	printf("%ld blocks\n", blocks() - before);
	printf("%lld total\n%lld wall\n", clock_ns(CLOCK_PROCESS_CPUTIME_ID),
	       clock_ns(CLOCK_MONOTONIC) - wall);
	return 0;
}
