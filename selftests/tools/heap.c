// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Every function of an allocator, counted by itself.
 *
 *	heap [-d LIBRARY] [STEP]...
 *
 * Built with each allocator in each way. -d: the functions are those of a library that is opened
 * when the step "open" comes. Does the next step for each byte on its standard input, the last one
 * again when there is none left. When it is
 * ready, and after each step, it says what it has allocated and freed so far, a line of five
 * numbers: allocations, frees, bytes allocated, bytes freed, failures. Ends with its input.
 *
 * Nothing of it allocates but what is counted; threads and the functions' addresses it has
 * before it is ready.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>
#ifdef DYNAMIC
#include <dlfcn.h>
#endif

#include "heap.h"

/*
 * -DPROBED: it tells what it allocates itself, as a program does that samples its allocations:
 * these are its own, whatever other functions it calls for them. Where an argument is differs.
 */
#ifdef PROBED
#include "usdt.h"
USDT_COUNTER(alloc);
USDT_COUNTER(free);
#define TELL_MADE(p, size, weight)                                                       \
	do {                                                                             \
		if (USDT_IS_TRACED(alloc))                                               \
			USDT("otel_memory", alloc, "8@%0 8@%1 -8@%2", "r"(p), "m"(size), \
			     "nor"(weight));                                             \
	} while (0)
#define TELL_UNMADE(p)                                               \
	do {                                                         \
		if (USDT_IS_TRACED(free))                            \
			USDT("otel_memory", free, "8@%0", "nor"(p)); \
	} while (0)
#else
#define TELL_MADE(p, size, weight) ((void)(weight))
#define TELL_UNMADE(p) ((void)(p))
#endif

#define ALIGNED "St11align_val_t"
#define NOTHROW "RKSt9nothrow_t"
#define TOO_MUCH (SIZE_MAX / 2)

/* --- the functions ------------------------------------------------------------------ */

#define FUNCTIONS(X, prefix)                                      \
	X(prefix, malloc, void *, (size_t))                       \
	X(prefix, calloc, void *, (size_t, size_t))               \
	X(prefix, realloc, void *, (void *, size_t))              \
	X(prefix, free, void, (void *))                           \
	X(prefix, posix_memalign, int, (void **, size_t, size_t)) \
	X(prefix, aligned_alloc, void *, (size_t, size_t))        \
	X(prefix, memalign, void *, (size_t, size_t))             \
	X(prefix, valloc, void *, (size_t))
#define MORE(X, prefix)                                           \
	X(prefix, reallocarray, void *, (void *, size_t, size_t)) \
	X(prefix, pvalloc, void *, (size_t))                      \
	X(prefix, mallocx, void *, (size_t, int))                 \
	X(prefix, rallocx, void *, (void *, size_t, int))         \
	X(prefix, dallocx, void, (void *, int))                   \
	X(prefix, sdallocx, void, (void *, size_t, int))

#define POINTER(prefix, name, type, args) type(*name) args;
static struct {
	FUNCTIONS(POINTER, )
	MORE(POINTER, )
	/* operator new and new[]: plain, nothrow, aligned, both */
	void *(*new[8])(size_t, size_t, const void *);
	/* operator delete and delete[]: plain, with size, nothrow, aligned, all */
	void (*delete[10])(void *, size_t, size_t);
	void (*set_new_handler)(void (*)(void));
	int has_reallocarray; /* of its own */
} of;

#ifdef DYNAMIC

/* Its functions call each other, and not the program's that have their names. musl has no way to
 * say so. */
#ifdef RTLD_DEEPBIND
#define OWN_SCOPE RTLD_DEEPBIND
#else
#define OWN_SCOPE 0
#endif

/* Only what is in the same file as malloc(): memory of one allocator is nothing to another. */
static void *find(void *library, const char *name)
{
	void *found = dlsym(library, name);
	Dl_info own, malloc_s;

	if (!found || !of.malloc || !dladdr(found, &own) ||
	    !dladdr(*(void **)&of.malloc, &malloc_s) || own.dli_fbase != malloc_s.dli_fbase)
		return NULL;
	return found;
}

static void find_functions(void *library)
{
	static const char *const new[] = {"", NOTHROW, ALIGNED, ALIGNED NOTHROW};
	static const char *const delete[] = {"", "m", NOTHROW, ALIGNED, "m" ALIGNED};
	char name[64];

	*(void **)&of.malloc = dlsym(library, "malloc");
#define FIND(prefix, name, type, args) *(void **)&of.name = find(library, #name);
	FUNCTIONS(FIND, )
	MORE(FIND, )
	/* The C library's is good for all: it ends in realloc(), if it does not fail before. */
	of.has_reallocarray = !!of.reallocarray;
	if (!of.reallocarray && library == RTLD_DEFAULT)
		*(void **)&of.reallocarray = dlsym(library, "reallocarray");
	for (int i = 0; i < 8; i++) {
		snprintf(name, sizeof(name), "_Zn%cm%s", "wa"[i / 4], new[i % 4]);
		*(void **)&of.new[i] = find(library, name);
	}
	for (int i = 0; i < 10; i++) {
		snprintf(name, sizeof(name), "_Zd%cPv%s", "la"[i / 5], delete[i % 5]);
		*(void **)&of.delete[i] = find(library, name);
	}
	*(void **)&of.set_new_handler = dlsym(RTLD_DEFAULT, "_ZSt15set_new_handlerPFvvE");
}

#else

#ifndef PREFIX
#define PREFIX
#endif
#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define DECLARE(prefix, name, type, args) extern type JOIN(prefix, name) args;
#define TAKE(prefix, name, type, args) of.name = JOIN(prefix, name);
FUNCTIONS(DECLARE, PREFIX)
#ifdef WITH_REALLOCARRAY
extern void *JOIN(PREFIX, reallocarray)(void *, size_t, size_t);
#endif
#ifdef WITH_PVALLOC
extern void *JOIN(PREFIX, pvalloc)(size_t);
#endif
#ifdef WITH_OPERATORS
extern void *_Znwm(size_t, size_t, const void *);
extern void _ZdlPv(void *, size_t, size_t);
#endif

static void find_functions(void)
{
	FUNCTIONS(TAKE, PREFIX)
#ifdef WITH_REALLOCARRAY
	of.reallocarray = JOIN(PREFIX, reallocarray);
	of.has_reallocarray = 1;
#endif
#ifdef WITH_PVALLOC
	of.pvalloc = JOIN(PREFIX, pvalloc);
#endif
#ifdef WITH_OPERATORS
	of.new[0] = _Znwm;
	of.delete[0] = _ZdlPv;
#endif
}

#endif

/* --- counted ------------------------------------------------------------------------- */

/* Shared with children. */
static struct counts {
	unsigned long allocations, frees, allocated, freed, failures;
} * counts;

static void count(unsigned long *counter, unsigned long n)
{
	__atomic_add_fetch(counter, n, __ATOMIC_RELAXED);
}

static void *made(void *p, size_t size)
{
	if (p) {
		count(&counts->allocations, 1);
		count(&counts->allocated, size);
		memset(p, 0x5a, size);
		TELL_MADE(p, size, size);
#ifndef PROBED
	} else if (size) {
		count(&counts->failures, 1);
#endif
	}
	return p;
}

static void unmade(void *p, size_t size)
{
	if (!p)
		return;
	TELL_UNMADE(p);
	count(&counts->frees, 1);
	count(&counts->freed, size);
}

static void *resized(void *old, size_t old_size, void *p, size_t size)
{
	if (p || !size)
		unmade(old, old_size);
	return made(p, size);
}

static void release(void *p, size_t size)
{
	unmade(p, size);
	of.free(p);
}

/* --- steps --------------------------------------------------------------------------- */

static void *kept[64];

__attribute__((noinline)) static void plain(void)
{
	void *p[64];

	for (size_t i = 0; i < 64; i++)
		p[i] = made(of.malloc(i * i), i * i);
	for (size_t i = 0; i < 48; i++)
		release(p[i], i * i);
	for (size_t i = 48; i < 64; i++)
		kept[i] = p[i];
	of.free(NULL);
	made(of.malloc(TOO_MUCH), TOO_MUCH);
	release(made(of.malloc(3 << 20), 3 << 20), 3 << 20);
	release(made(of.calloc(7, 11), 77), 77);
	made(of.calloc(1ul << 32, 1ul << 32), 1); /* too many: their product is 0 */
	made(of.calloc(TOO_MUCH, 3), 1);
}

static void resizing(void)
{
	void *p = resized(NULL, 0, of.realloc(NULL, 1000), 1000);

	p = resized(p, 1000, of.realloc(p, 100000), 100000);
	resized(p, 100000, of.realloc(p, TOO_MUCH), TOO_MUCH); /* fails: p is still there */
	p = resized(p, 100000, of.realloc(p, 20), 20);
	p = resized(p, 20, of.realloc(p, 21), 21);
	p = resized(p, 21, of.realloc(p, 0), 0);
	if (p)
		release(p, 0);
	if (of.reallocarray) {
		p = resized(NULL, 0, of.reallocarray(NULL, 3, 50), 150);
		p = resized(p, 150, of.reallocarray(p, 30, 500), 15000);
		if (of.has_reallocarray)
			resized(p, 15000, of.reallocarray(p, TOO_MUCH, 3), TOO_MUCH);
		p = resized(p, 15000, of.reallocarray(p, 2, 8), 16);
		release(p, 16);
	}
	if (of.mallocx) {
		p = made(of.mallocx(500, 0), 500);
		p = resized(p, 500, of.rallocx(p, 5000, 0), 5000);
		unmade(p, 5000);
		of.dallocx(p, 0);
		p = made(of.mallocx(700, 0), 700);
		unmade(p, 700);
		of.sdallocx(p, 700, 0);
	}
}

static void aligning(void)
{
	void *p = NULL;

	if (!of.posix_memalign(&p, 256, 444))
		release(made(p, 444), 444);
	made(of.posix_memalign(&p, 3, 44) ? NULL : p, 44); /* no alignment */
	release(made(of.aligned_alloc(64, 640), 640), 640);
	release(made(of.memalign(4096, 333), 333), 333);
	release(made(of.valloc(222), 222), 222);
	if (of.pvalloc)
		release(made(of.pvalloc(111), 111), 111);
}

static jmp_buf out;

static void leave_allocator(void)
{
	longjmp(out, 1);
}

static const char nothrow;

/* What operator delete takes behind the pointer depends on its kind. */
static void delete (int kind, void *p, size_t size)
{
	const size_t args[5][2] = {{0}, {size}, {(size_t)&nothrow}, {64}, {size, 64}};

	unmade(p, size);
	of.delete[kind](p, args[kind % 5][0], args[kind % 5][1]);
}

static void operators(void)
{
	for (int kind = 0; kind < 10; kind++) {
		int by = kind / 5 * 4 + (kind % 5 > 2 ? 2 : 0);

		if (of.new[by] && of.delete[kind])
			delete (kind, made(of.new[by](100 + kind, 64, NULL), 100 + kind),
				100 + kind);
	}
	for (int by = 0; by < 8; by += 4) {
		if (!of.new[by + 1] || !of.new[by + 3])
			continue;
		release(made(of.new[by + 1](50, (size_t)&nothrow, NULL), 50), 50);
		release(made(of.new[by + 3](60, 128, &nothrow), 60), 60);
		made(of.new[by + 1](TOO_MUCH, (size_t)&nothrow, NULL), TOO_MUCH);
	}
	/* Out of the allocator without a return: neither an allocation nor a failure. */
	if (of.set_new_handler && of.new[0]) {
		of.set_new_handler(leave_allocator);
		if (!setjmp(out))
			of.new[0](TOO_MUCH, 0, NULL);
		of.set_new_handler(NULL);
	}
}

static void all(void)
{
	plain();
	resizing();
	aligning();
	operators();
}

static void drop(void)
{
	for (size_t i = 48; i < 64; i++)
		release(kept[i], i * i);
}

/* --- threads ---------------------------------------------------------------------------- */

#define THREADS 8
#define SLOTS 128

static pthread_barrier_t barrier;
static void *slots[SLOTS]; /* each begins with its size */
static int rounds;

static void put(size_t slot, size_t *p)
{
	size_t *old = __atomic_exchange_n(&slots[slot], p, __ATOMIC_ACQ_REL);

	if (old)
		release(old, *old);
}

/* What one thread allocates another one frees. */
static void *work(void *arg)
{
	unsigned int random = (uintptr_t)arg + 1;

	for (;;) {
		pthread_barrier_wait(&barrier);
		for (int i = 0; i < __atomic_load_n(&rounds, __ATOMIC_RELAXED); i++) {
			size_t size, *p;

			random = random * 1103515245 + 12345;
			size = sizeof(size) + (random >> 8) % 5000;
			p = made(of.malloc(size), size);
			if (!p)
				abort();
			*p = size;
			put((random >> 4) % SLOTS, p);
		}
		pthread_barrier_wait(&barrier);
	}
	return NULL;
}

static void start_threads(void)
{
	pthread_t thread;

	pthread_barrier_init(&barrier, NULL, THREADS + 1);
	for (uintptr_t i = 0; i < THREADS; i++)
		if (pthread_create(&thread, NULL, work, (void *)i))
			abort();
}

static void finish(void)
{
	pthread_barrier_wait(&barrier);
	for (size_t i = 0; i < SLOTS; i++)
		put(i, NULL);
}

static void stress(void)
{
	rounds = 500;
	pthread_barrier_wait(&barrier);
	finish();
}

/* In the background, from one step to another. */
static void spin(void)
{
	rounds = 1000000000;
	pthread_barrier_wait(&barrier);
}

static void stop(void)
{
	__atomic_store_n(&rounds, 0, __ATOMIC_RELAXED);
	finish();
}

/* --- processes -------------------------------------------------------------------------- */

/* A child frees what is its parent's, which is not its parent's any less, and what is its own. */
static void forks(void)
{
	void *p = made(of.malloc(4096), 4096);
	int status;
	pid_t child = fork();

	if (!child) {
		of.free(p);
		release(made(of.calloc(5, 10), 50), 50);
		_exit(0);
	}
	if (waitpid(child, &status, 0) != child || status)
		abort();
	release(p, 4096);
}

static void sampled(void)
{
	for (unsigned int i = 0; i < SAMPLED; i++) {
		size_t size = SAMPLED_SIZE(i);
		void *p = of.malloc(size);

		if (!p)
			abort();
		count(&counts->allocations, 1);
		count(&counts->allocated, size);
		release(p, size);
	}
}

/* Each stands for more than it is, and most are nobody's business. */
static void weighed(void)
{
	for (int i = 0; i < WEIGHED; i++) {
		size_t size = WEIGHED_SIZE;
		void *told = of.malloc(size), *untold = of.malloc(size);

		if (!told || !untold)
			abort();
		TELL_MADE(told, size, WEIGHT);
		count(&counts->allocated, WEIGHT);
		unmade(told, WEIGHT);
		of.free(told);
		of.free(untold);
	}
}

/* As a runtime does that makes code: to execute, but no program. */
static void map_code(void)
{
	int fd = memfd_create("code", MFD_CLOEXEC);

	if (fd < 0 || ftruncate(fd, 4096) ||
	    mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_SHARED, fd, 0) == MAP_FAILED)
		abort();
	close(fd);
}

static void execute_again(char **argv, int step)
{
	argv[step] = argv[0];
	execv(argv[0], argv + step);
	abort();
}

static void answer(void)
{
	char line[128];
	int len = snprintf(line, sizeof(line), "%lu %lu %lu %lu %lu\n", counts->allocations,
			   counts->frees, counts->allocated, counts->freed, counts->failures);

	if (write(1, line, len) != len)
		abort();
}

int main(int argc, char **argv)
{
	int step = 1;
	char byte;

	counts = mmap(NULL, sizeof(*counts), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	if (counts == MAP_FAILED)
		abort();
#ifdef DYNAMIC
	const char *library = argc > 2 && !strcmp(argv[1], "-d") ? argv[2] : NULL;

	if (library)
		step = 3;
	else
		find_functions(RTLD_DEFAULT);
#else
	find_functions();
#endif
	map_code();
	start_threads();
	answer();
	for (; read(0, &byte, 1) == 1; step++) {
		const char *what = argv[step < argc ? step : argc - 1];

		if (!strcmp(what, "all"))
			all();
		else if (!strcmp(what, "drop"))
			drop();
		else if (!strcmp(what, "stress"))
			stress();
		else if (!strcmp(what, "spin"))
			spin();
		else if (!strcmp(what, "stop"))
			stop();
		else if (!strcmp(what, "fork"))
			forks();
		else if (!strcmp(what, "sampled"))
			sampled();
		else if (!strcmp(what, "weighed"))
			weighed();
		else if (!strcmp(what, "exec"))
			execute_again(argv, step);
#ifdef DYNAMIC
		else if (!strcmp(what, "open") && library) {
			void *opened = dlopen(library, RTLD_NOW | OWN_SCOPE);

			if (!opened) {
				fprintf(stderr, "%s\n", dlerror());
				return 1;
			}
			find_functions(opened);
		}
#endif
		else
			return 2;
		answer();
	}
	return 0;
}
