// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The benchmark's workload: getppid() in a loop on one CPU.
 *
 *   getppid_loop CALLS [CPU [LOOPS]]     prints nanoseconds a call
 *
 * Of LOOPS loops of CALLS each (default: 1) the lower quartile counts: what
 * disturbs a loop only ever makes it longer, and the shorter a loop the more of
 * them nothing disturbs.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define LOOPS_MAX 10000

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static void call(long calls)
{
	for (long i = 0; i < calls; i++)
		syscall(SYS_getppid);
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	long calls = argc > 1 ? atol(argv[1]) : 0, loops = argc > 3 ? atol(argv[3]) : 1;
	static double took[LOOPS_MAX];
	cpu_set_t cpus;

	if (calls <= 0 || loops <= 0 || loops > LOOPS_MAX) {
		fprintf(stderr, "usage: getppid_loop CALLS [CPU [LOOPS]]\n");
		return 2;
	}
	if (argc > 2) {
		CPU_ZERO(&cpus);
		CPU_SET(atoi(argv[2]), &cpus);
		if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
			perror("sched_setaffinity");
			return 1;
		}
	}
	for (long loop = 0; loop < loops; loop++) {
		double start;

		call(calls / 10); /* what a preemption put out of the caches */
		start = now();
		call(calls);
		took[loop] = (now() - start) / calls;
	}
	qsort(took, loops, sizeof(took[0]), by_value);
	printf("%.2f\n", took[loops / 4]);
	return 0;
}
