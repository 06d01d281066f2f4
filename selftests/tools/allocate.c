// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Known allocations.
 *
 *	allocate [mix|leak|many|…]...
 *
 * Says "r" when it is ready, and does the next of its arguments for each byte on its standard
 * input, answering with a byte. At the end of its input it ends. Nothing of it allocates but what
 *is asked for.
 */
#include <errno.h>
#include <malloc.h>
#include <pthread.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT 100000
#define BURN_MS 600 /* of the process, from its beginning */

static void *volatile kept[KEPT];
static int n_kept;

/* What the compiler cannot see through. */
static void *(*volatile do_malloc)(size_t) = malloc;
static void (*volatile do_free)(void *) = free;

__attribute__((noinline)) static void leak_here(size_t size, int n)
{
	while (n--)
		kept[n_kept++] = do_malloc(size);
	__asm__ volatile("");
}

/* By this name: no copy of it that knows its arguments. */
static void (*volatile do_leak)(size_t, int) = leak_here;

/* 500 mallocs of 100 bytes, of which 300 are freed, and one of each other kind. */
static void mix(void)
{
	void *volatile p[500], *volatile other;
	void *aligned = NULL;

	for (int i = 0; i < 500; i++)
		p[i] = do_malloc(100);
	for (int i = 0; i < 300; i++)
		do_free(p[i]);
	other = calloc(7, 11);
	do_free(other);
	do_free(NULL);
	other = realloc(NULL, 1000);  /* +1000 */
	other = realloc(other, 5000); /* frees 1000 */
	other = realloc(other, 20);   /* frees 5000 */
	do_free(other);
	other = reallocarray(NULL, 3, 50);
	do_free(other);
	other = aligned_alloc(64, 640);
	do_free(other);
	other = memalign(128, 333);
	do_free(other);
	if (posix_memalign(&aligned, 256, 444))
		abort();
	do_free(aligned);
	other = valloc(222);
	do_free(other);
	other = do_malloc(SIZE_MAX / 2); /* fails */
	if (other)
		abort();
}

static void *free_all(void *pointers)
{
	for (int i = 0; i < 50; i++)
		do_free(((void **)pointers)[i]);
	return NULL;
}

/* Freed on another thread. The thread's own stack and table are allocated in ways of their own. */
static void threads(void)
{
	static pthread_t thread;
	void *p[50];

	for (int i = 0; i < 50; i++)
		p[i] = do_malloc(64);
	if (pthread_create(&thread, NULL, free_all, p) || pthread_join(thread, NULL))
		abort();
}

/* A child frees what its parent has, which is not its parent's any less, and allocates a little. */
static void forks(void)
{
	void *p = do_malloc(4096);
	pid_t child = fork();

	if (!child) {
		do_free(p);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

static void many(void)
{
	for (int i = 0; i < 20000; i++)
		do_free(do_malloc(32 + i % 2048));
}

/* For so long that a share of the CPU time can be told. */
static void burn(void)
{
	struct timespec now;

	do {
		for (int i = 0; i < 100; i++)
			do_free(do_malloc(100));
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < BURN_MS);
}

int main(int argc, char **argv)
{
	char byte = 'r';

	if (write(1, &byte, 1) != 1)
		return 1;
	for (int i = 1; read(0, &byte, 1) == 1; i++) {
		const char *what = i < argc ? argv[i] : "";

		if (!strcmp(what, "mix"))
			mix();
		else if (!strcmp(what, "leak"))
			do_leak(1234, 100);
		else if (!strcmp(what, "threads"))
			threads();
		else if (!strcmp(what, "forks"))
			forks();
		else if (!strcmp(what, "many"))
			many();
		else if (!strcmp(what, "burn"))
			burn();
		if (write(1, &byte, 1) != 1)
			return 1;
	}
	return 0;
}
