// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The profilers' workload: CPU time at the end of call chains as deep as a service's.
 *
 *   deep MILLISECONDS DEPTH STACKS [once]
 *
 * Each turn takes another chain of DEPTH calls: of STACKS different ones, the first few far more
 * often than the last, as programs do; with "once", one after the other. At its end it works for
 * about 20 us, every fourth time in the kernel. It prints turns and CPU time in ns.
 */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* A function of its own with a frame pointer, whatever the options say. */
#if __has_attribute(optimize)
#define FRAME __attribute__((noinline, noclone, optimize("no-omit-frame-pointer")))
#else
#define FRAME __attribute__((noinline))
#endif
/* Behind a call: it is not the function's last instruction, so no jump takes its place. */
#define NOT_LAST() __asm__ volatile("" ::: "memory")

#define SPIN 40000
#define BLOCK 65536

static int zero_fd;

static long long cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

FRAME void in_kernel(void)
{
	static char block[BLOCK];

	for (int i = 0; i < 8; i++)
		if (read(zero_fd, block, sizeof(block)) < 0)
			exit(1);
	NOT_LAST();
}

FRAME void in_user(void)
{
	for (int i = 0; i < SPIN; i++)
		__asm__ volatile("" ::"r"(i));
	NOT_LAST();
}

FRAME void right(unsigned int way, int depth, unsigned int turn);

/* Two functions with two calls each: as many different chains as WAY has values. */
FRAME void left(unsigned int way, int depth, unsigned int turn)
{
	if (depth <= 1)
		turn % 4 ? in_user() : in_kernel();
	else if (way & 1)
		right(way >> 1, depth - 1, turn);
	else
		left(way >> 1, depth - 1, turn);
	NOT_LAST();
}

FRAME void right(unsigned int way, int depth, unsigned int turn)
{
	if (depth <= 1)
		turn % 4 ? in_user() : in_kernel();
	else if (way & 1)
		right(way >> 1, depth - 1, turn);
	else
		left(way >> 1, depth - 1, turn);
	NOT_LAST();
}

int main(int argc, char **argv)
{
	long long ms = argc > 3 ? atoll(argv[1]) : 0;
	int depth = argc > 3 ? atoi(argv[2]) : 0;
	unsigned int stacks = argc > 3 ? strtoul(argv[3], NULL, 10) : 0, turn = 0, way;
	int once = argc > 4 && !strcmp(argv[4], "once");
	/* Knuth's MMIX generator. */
	unsigned long long state = 1;

	zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	if (ms <= 0 || depth < 3 || !stacks || zero_fd < 0) {
		fprintf(stderr, "usage: deep MILLISECONDS DEPTH STACKS [once]\n");
		return 2;
	}
	/* main(), the end and its caller are frames, too. */
	for (depth -= 3; cpu_ns() < ms * 1000000; turn++) {
		state = state * 6364136223846793005ULL + 1442695040888963407ULL;
		way = state >> 40;
		/* The smallest of two is half as often in the upper half: a slope. */
		if (once)
			way = turn;
		else
			way = (unsigned long long)(way % 4096) * (state >> 52) * stacks >> 24;
		left(way % stacks, depth, turn);
	}
	printf("%u %lld\n", turn, cpu_ns());
	return 0;
}
