// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The workload of the part "events": getppid(2) at a rate, as even as a millisecond allows.
 *
 *   burst RATE SECONDS     prints the calls made and those made a second
 *
 * A rate that the machine does not reach shows in the second number.
 */
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	struct timespec pause = {0, 1000000};
	double rate, seconds, start, gone;
	long made = 0, due;

	if (argc != 3) {
		fprintf(stderr, "usage: burst RATE SECONDS\n");
		return 2;
	}
	rate = atof(argv[1]);
	seconds = atof(argv[2]);
	start = now();
	while ((gone = now() - start) < seconds) {
		for (due = gone * rate; made < due; made++)
			syscall(SYS_getppid);
		nanosleep(&pause, NULL);
	}
	printf("%ld %.0f\n", made, made / (now() - start));
	return 0;
}
