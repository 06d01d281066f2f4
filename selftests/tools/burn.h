/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * CPU time in known functions, and the truth about it, for C and C++.
 *
 * A program prints lines "NS NAME", NAME as a person reads it in a profile: what its thread's
 * clock saw pass in that function. "NS total" and "NS wall" are the program's CPU time and the time
 * that passed. 60, 30 and 10 % of the CPU time are in the first, second and third function.
 */
#ifndef SELFTESTS_BURN_H
#define SELFTESTS_BURN_H

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/* A function of its own, and no clone of it. */
#if __has_attribute(noclone)
#define BURN_FRAME __attribute__((noinline, noclone))
#else
#define BURN_FRAME __attribute__((noinline))
#endif
/* Behind a call: it is not the function's last instruction, so no jump takes its place. */
#define BURN_NOT_LAST() __asm__ volatile("" ::: "memory")

/* No multiple of a scheduler tick: where timers are late to the next tick, samples would fall in
 * step. */
#define BURN_ROUND_NS 17300000LL
#define BURN_SPIN 200000 /* makes the clock's own share small */
#define BURN_FUNCTIONS 3

static const int burn_percent[BURN_FUNCTIONS] = {60, 30, 10};

static inline __attribute__((always_inline)) long long burn__clock(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

/* Until @spent, which this function adds to, is @until. */
static inline __attribute__((always_inline)) void burn__until(long long *spent, long long until)
{
	long long start = burn__clock(CLOCK_THREAD_CPUTIME_ID), now = start;

	while (*spent + now - start < until) {
		for (int i = 0; i < BURN_SPIN; i++)
			__asm__ volatile("" ::"r"(i));
		now = burn__clock(CLOCK_THREAD_CPUTIME_ID);
	}
	*spent += now - start;
}

/* burn__main - call functions in turn until argv[1] milliseconds are over, and tell */
static inline int burn__main(int argc, char **argv, void (*const run[])(long long *, long long),
			     const char *const *names)
{
	long long total = argc == 2 ? atoll(argv[1]) * 1000000 : 0, spent[BURN_FUNCTIONS] = {0};
	long long wall = burn__clock(CLOCK_MONOTONIC), start = burn__clock(CLOCK_THREAD_CPUTIME_ID);

	if (total <= 0) {
		fprintf(stderr, "usage: %s MILLISECONDS\n", argv[0]);
		return 2;
	}
	for (long long until = 0; until < total;) {
		until += BURN_ROUND_NS;
		if (until > total)
			until = total;
		for (int i = 0; i < BURN_FUNCTIONS; i++)
			run[i](&spent[i], until * burn_percent[i] / 100);
	}
	total = burn__clock(CLOCK_THREAD_CPUTIME_ID);
	printf("%lld total\n%lld wall\n%lld main\n", total, burn__clock(CLOCK_MONOTONIC) - wall,
	       total - start);
	for (int i = 0; i < BURN_FUNCTIONS; i++)
		printf("%lld %s\n", spent[i], names[i]);
	return 0;
}

#endif
