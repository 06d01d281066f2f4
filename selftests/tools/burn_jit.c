// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * CPU time in functions that are in no file, as a compiler at run time makes them; see burn.h.
 *
 *   burn_jit MILLISECONDS   Says in /tmp/perf-PID.map where which is. Waits for the end of its
 * input before it takes that back.
 */
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "burn.h"

#define FUNCTION_SIZE 256 /* and more than it takes */

static void (*made[BURN_FUNCTIONS])(int);
static const char *const names[BURN_FUNCTIONS] = {"made_first", "made second(int)", "made_third"};

/* What is copied: it refers to nothing by where it is. */
static BURN_FRAME void spin(int n)
{
	for (int i = 0; i < n; i++)
		__asm__ volatile("" ::"r"(i));
}

static inline __attribute__((always_inline)) void run(int which, long long *spent, long long until)
{
	long long start = burn__clock(CLOCK_THREAD_CPUTIME_ID), now = start;

	while (*spent + now - start < until) {
		made[which](BURN_SPIN);
		now = burn__clock(CLOCK_THREAD_CPUTIME_ID);
	}
	*spent += now - start;
}

static void first(long long *spent, long long until)
{
	run(0, spent, until);
}

static void second(long long *spent, long long until)
{
	run(1, spent, until);
}

static void third(long long *spent, long long until)
{
	run(2, spent, until);
}

int main(int argc, char **argv)
{
	static void (*const each[])(long long *, long long) = {first, second, third};
	void (*const what)(int) = spin;
	char path[64], byte, *code;
	const void *from;
	int status;
	FILE *map;

	code = mmap(NULL, BURN_FUNCTIONS * FUNCTION_SIZE, PROT_READ | PROT_WRITE,
		    MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", (int)getpid());
	map = fopen(path, "wx");
	if (code == MAP_FAILED || !map)
		return 1;
	memcpy(&from, &what, sizeof(from));
	for (int i = 0; i < BURN_FUNCTIONS; i++) {
		char *at = code + i * FUNCTION_SIZE;

		memcpy(at, from, FUNCTION_SIZE);
		memcpy(&made[i], &at, sizeof(at));
		fprintf(map, "%lx %x %s\n", (unsigned long)at, FUNCTION_SIZE, names[i]);
	}
	fclose(map);
	__builtin___clear_cache(code, code + BURN_FUNCTIONS * FUNCTION_SIZE);
	if (mprotect(code, BURN_FUNCTIONS * FUNCTION_SIZE, PROT_READ | PROT_EXEC))
		return 1;
	status = burn__main(argc, argv, each, names);
	fflush(stdout);
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	unlink(path);
	return status;
}
