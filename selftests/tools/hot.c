// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The profiles' workload: CPU time spent in known functions.
 *
 *   hot MILLISECONDS [PROGRAM]   prints CPU time in ns: in all, below hot_a(), hot_b(),
 *                                hot_c(); and the time that passed
 *
 * PROGRAM is run in its place, with MILLISECONDS, instead of printing. With HOT_REST_MS in its
 * environment, it sleeps for as long after each round.
 *
 * Stacks are main → hot_outer → hot_a; main → hot_outer → hot_middle → hot_b; and
 * main → hot_outer → hot_middle → hot_c: 60, 30 and 10 % of the time.
 */
#include <stdio.h>
#include <stdlib.h>
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

#define ROUND_NS 17300000LL /* no multiple of a scheduler tick, see burn.h */
#define SPIN 200000	    /* makes the clock's own share small */

enum { A, B, C, FUNCTIONS };
static const int percent[FUNCTIONS] = {60, 30, 10};
static long long spent[FUNCTIONS];

static inline __attribute__((always_inline)) long long cpu_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

#define STARTED "HOT_STARTED"

static long long wall_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static inline __attribute__((always_inline)) void burn(int function, long long until)
{
	long long start = cpu_ns(), now = start;

	while (spent[function] + now - start < until) {
		for (int i = 0; i < SPIN; i++)
			__asm__ volatile("" ::"r"(i));
		now = cpu_ns();
	}
	spent[function] += now - start;
}

FRAME void hot_a(long long until)
{
	burn(A, until);
	NOT_LAST();
}

FRAME void hot_b(long long until)
{
	burn(B, until);
	NOT_LAST();
}

FRAME void hot_c(long long until)
{
	burn(C, until);
	NOT_LAST();
}

FRAME void hot_middle(long long total)
{
	hot_b(total * percent[B] / 100);
	hot_c(total * percent[C] / 100);
	NOT_LAST();
}

FRAME void hot_outer(long long total)
{
	hot_a(total * percent[A] / 100);
	hot_middle(total);
	NOT_LAST();
}

FRAME int main(int argc, char **argv)
{
	long long total = argc > 1 ? atoll(argv[1]) * 1000000 : 0;
	const char *rest_ms = getenv("HOT_REST_MS");
	char text[32];

	/* PROGRAM goes on with the same time. */
	if (!getenv(STARTED)) {
		snprintf(text, sizeof(text), "%lld", wall_ns());
		setenv(STARTED, text, 1);
	}
	if (total <= 0) {
		fprintf(stderr, "usage: hot MILLISECONDS [PROGRAM]\n");
		return 2;
	}
	for (long long until = 0; until < total;) {
		until += ROUND_NS;
		if (until > total)
			until = total;
		hot_outer(until);
		if (rest_ms)
			usleep(1000 * atoi(rest_ms));
	}
	if (argc > 2) {
		execl(argv[2], argv[2], argv[1], (char *)NULL);
		return 1;
	}
	printf("%lld %lld %lld %lld %lld\n", cpu_ns(), spent[A], spent[B], spent[C],
	       wall_ns() - atoll(getenv(STARTED)));
	return 0;
}
