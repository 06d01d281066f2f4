// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The benchmark's page faults: fresh pages written to for the first time, on one CPU.
 *
 *   touch PAGES CPU LOOPS     prints nanoseconds a page
 *
 * Of LOOPS loops of PAGES each the lower quartile counts, as in getppid_loop.
 */
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define LOOPS_MAX 10000

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1e9 + time.tv_nsec;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	long pages = argc == 4 ? atol(argv[1]) : 0, loops = argc == 4 ? atol(argv[3]) : 0;
	size_t size = sysconf(_SC_PAGESIZE);
	static double took[LOOPS_MAX];
	cpu_set_t cpus;

	if (pages <= 0 || loops <= 0 || loops > LOOPS_MAX) {
		fprintf(stderr, "usage: touch PAGES CPU LOOPS\n");
		return 2;
	}
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[2]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus)) {
		perror("sched_setaffinity");
		return 1;
	}
	for (long loop = 0; loop < loops; loop++) {
		volatile char *at = mmap(NULL, pages * size, PROT_READ | PROT_WRITE,
					 MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
		double start;

		if (at == MAP_FAILED || madvise((void *)at, pages * size, MADV_NOHUGEPAGE)) {
			perror("mmap");
			return 1;
		}
		start = now();
		for (long i = 0; i < pages; i++)
			at[i * size] = 1;
		took[loop] = (now() - start) / pages;
		munmap((void *)at, pages * size);
	}
	qsort(took, loops, sizeof(took[0]), by_value);
	printf("%.2f\n", took[loops / 4]);
	return 0;
}
