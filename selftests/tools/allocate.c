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
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define KEPT 100000
#define PAGE 4096UL
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

/* --- from the kernel ------------------------------------------------------------------ */

#define MAP_FLAGS (MAP_PRIVATE | MAP_ANONYMOUS)

static char *map(size_t pages, int protection, int flags)
{
	char *at = mmap(NULL, pages * PAGE, protection, flags, -1, 0);

	if (at == MAP_FAILED)
		abort();
	return at;
}

/*
 * Pages: what counts as asked for, given back, and there now.
 *
 *	mmap() and the like: 64 + 8 + 6 asked for in 3 calls, 3 give back, 1 fails; 30 are there
 *	brk(): 3 asked for in one call, one gives back; 2 are there
 */
__attribute__((noinline)) static void maps(void)
{
	char *volatile at = map(64, PROT_READ | PROT_WRITE, MAP_FLAGS); /* +64 */
	char *volatile end = map(100, PROT_NONE, MAP_FLAGS);

	if (mprotect(end + 20 * PAGE, 10 * PAGE, PROT_READ | PROT_WRITE)) /* +10 */
		abort();
	if (munmap(at + 16 * PAGE, 16 * PAGE)) /* -16, of the middle */
		abort();
	if (mmap(at, 8 * PAGE, PROT_READ | PROT_WRITE, MAP_FLAGS | MAP_FIXED, -1, 0) != at)
		abort(); /* takes the place of as much */
	end = mremap(at + 40 * PAGE, 24 * PAGE, 30 * PAGE, MREMAP_MAYMOVE); /* +6 */
	if (end == MAP_FAILED || mremap(end, 30 * PAGE, 20 * PAGE, 0) != end)
		abort();	   /* -10 */
	if (munmap(at, 40 * PAGE)) /* -24: all of two, and of what is between them nothing */
		abort();
	if (mmap(NULL, SIZE_MAX / 2, PROT_READ | PROT_WRITE, MAP_FLAGS, -1, 0) != MAP_FAILED)
		abort();
	map(5, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS);
	map(7, PROT_READ, MAP_FLAGS);
	if (sbrk(3 * PAGE) == (void *)-1 || sbrk(-(intptr_t)PAGE) == (void *)-1)
		abort();
}

#define MAPPERS 4

/* 100 times up to 8 pages: 442, in as many calls as give back. */
static void *map_much(void *unused)
{
	for (int i = 0; i < 100; i++) {
		size_t pages = 1 + i % 8;
		char *at = map(pages, PROT_READ | PROT_WRITE, MAP_FLAGS);

		if (munmap(at, pages * PAGE))
			abort();
	}
	map(50, PROT_READ | PROT_WRITE, MAP_FLAGS);
	return unused;
}

/* All at once. Their stacks are reserved first and then made usable. */
static void map_in_threads(void)
{
	pthread_t thread[MAPPERS];

	for (int i = 0; i < MAPPERS; i++)
		if (pthread_create(&thread[i], NULL, map_much, NULL))
			abort();
	for (int i = 0; i < MAPPERS; i++)
		if (pthread_join(thread[i], NULL))
			abort();
}

/* A child has what its parent has, and a little more, until it ends. */
static void map_in_child(void)
{
	pid_t child = fork();

	if (!child) {
		map(10, PROT_READ | PROT_WRITE, MAP_FLAGS);
		_exit(0);
	}
	waitpid(child, NULL, 0);
}

/* --- at length -------------------------------------------------------------------------- */

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
		else if (!strcmp(what, "maps"))
			maps();
		else if (!strcmp(what, "map_in_threads"))
			map_in_threads();
		else if (!strcmp(what, "map_in_child"))
			map_in_child();
		else if (!strcmp(what, "many"))
			many();
		else if (!strcmp(what, "burn"))
			burn();
		if (write(1, &byte, 1) != 1)
			return 1;
	}
	return 0;
}
