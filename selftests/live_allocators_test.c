// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The malloc probe with each allocator that Debian packages: tools/heap.c counts what it does, and
 * the receiver has to have the same numbers. Libraries are copies of the test's own.
 */
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "samples.h"

#define MALLOC_OBJECT OBJECT_DIR "/progs/malloc.bpf.o"
#define HEAP BUILD_DIR "/selftests/tools/heap/"
#define LIBRARY HEAP "lib/"
#define ANSWER_MS 60000

/* --- the workload -------------------------------------------------------------------- */

struct heap {
	unsigned long allocations, frees, allocated, freed, failures;
	long live, objects;
};

/* A process: which program, how it comes by its allocator, and what it has said. */
struct subject {
	const char *name;    /* of its cgroup */
	const char *program; /* below HEAP */
	const char *loader;  /* that is told to run it; or NULL */
	const char *preload; /* or NULL */
	const char *opened;  /* the library for -d; or NULL */
	const char *root;    /* of its file system; or NULL */
	pid_t pid;
	int in, out;
	struct heap said, before;
};

static void subject__listen(struct subject *s)
{
	struct pollfd answer = {.fd = s->out, .events = POLLIN};
	char line[128];
	size_t len = 0;

	do {
		ASSERT_LT(len, sizeof(line) - 1);
		ASSERT_EQ(poll(&answer, 1, ANSWER_MS), 1);
		ASSERT_EQ(read(s->out, line + len, 1), 1);
	} while (line[len++] != '\n');
	line[len] = '\0';
	ASSERT_EQ(sscanf(line, "%lu %lu %lu %lu %lu", &s->said.allocations, &s->said.frees,
			 &s->said.allocated, &s->said.freed, &s->said.failures),
		  5);
}

static const char *subject__cgroup(struct live *live, const struct subject *s)
{
	return live__cgroup(live, s->name);
}

/* It ends when we do: that is the end of its input. */
static void subject__start(struct subject *s, struct live *live, const char *const *steps)
{
	char program[PATH_MAX], procs[PATH_MAX];
	const char *argv[16];
	int in[2], out[2], n = 0;

	snprintf(program, sizeof(program), HEAP "%s", s->program);
	if (s->loader)
		argv[n++] = s->loader;
	argv[n++] = program;
	if (s->opened) {
		argv[n++] = "-d";
		argv[n++] = s->opened;
	}
	while (*steps)
		argv[n++] = *steps++;
	argv[n] = NULL;
	live__make_cgroup(live, s->name);
	snprintf(procs, sizeof(procs), "%.4000s/cgroup.procs", subject__cgroup(live, s));
	ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
	fflush(NULL);
	s->pid = fork();
	ASSERT_GE(s->pid, 0);
	if (!s->pid) {
		int fd = open(procs, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1 || dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
			_exit(126);
		setenv("LD_LIBRARY_PATH", HEAP "lib", 1);
		/* jemalloc's thread-local data is more than there is room for when it comes late.
		 */
		setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
		if (s->preload)
			setenv("LD_PRELOAD", s->preload, 1);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	s->in = in[1];
	s->out = out[0];
	subject__listen(s);
}
#define START(s, live, ...) subject__start(s, live, (const char *const[]){__VA_ARGS__, NULL})

static void subject__step(struct subject *s)
{
	ASSERT_EQ(write(s->in, "x", 1), 1);
	subject__listen(s);
}

static void subject__end(struct subject *s)
{
	close(s->in);
	EXPECT_EQ(live__wait(s->pid), 0);
	close(s->out);
}

/* --- the probe ------------------------------------------------------------------------ */

static void need(const char *file, const char *package)
{
	if (access(file, F_OK))
		SKIP("%s was not there when this was built", package);
}

static void load_binary(const char *file)
{
	char set[PATH_MAX];

	snprintf(set, sizeof(set), "malloc.binary=%s", file);
	live__must("load", "-q", MALLOC_OBJECT, "--set", set, "--set", "malloc.sample_bytes=1");
}

static void load_process(const struct subject *s)
{
	char set[64];

	snprintf(set, sizeof(set), "malloc.pid=%d", s->pid);
	live__must("load", "-q", MALLOC_OBJECT, "--set", set, "--set", "malloc.sample_bytes=1");
}

/* What has been lost of the totals: a profile or a frame less is no matter here. */
static struct json_object *export_now(struct live *live)
{
	static const char *const lost[] = {"live_full", "free_unseen", "thread_full"};
	struct json_object *root = live__export_file(live);

	for (size_t i = 0; i < sizeof(lost) / sizeof(lost[0]); i++) {
		EXPECT_EQ(otlp_json__find(root, "otelbpf.losses", NULL, "otelbpf.loss.reason",
					  lost[i]),
			  1);
		EXPECT_EQ(otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason", lost[i]),
			  0);
	}
	return root;
}

static struct heap heap_in(struct json_object *root, struct live *live, const struct subject *s)
{
	static const char *const names[] = {"allocations", "frees", "allocated", "freed",
					    "failures",	   "live",  "objects"};
	const char *path = live__path(live, s->name);
	__u64 values[7];
	char name[64];

	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "system.heap.%s", names[i]);
		values[i] = otlp_json__total(root, name, "process.linux.cgroup", path);
	}
	return (struct heap){values[0], values[1], values[2], values[3],
			     values[4], values[5], values[6]};
}

static void note_before(struct live *live, struct subject *s, int n)
{
	_cleanup_json_ struct json_object *root = export_now(live);

	for (int i = 0; i < n; i++)
		s[i].before = heap_in(root, live, &s[i]);
}

/* What has been counted since note_before() is what the processes say; @gone went with children. */
static void expect_said(struct live *live, const struct subject *s, int n, unsigned long gone)
{
	_cleanup_json_ struct json_object *root = export_now(live);

	for (int i = 0; i < n; i++) {
		struct heap now = heap_in(root, live, &s[i]);
		const struct heap *before = &s[i].before, *said = &s[i].said;
		bool ok = EXPECT_EQ(now.allocations - before->allocations, said->allocations);

		ok &= EXPECT_EQ(now.frees - before->frees, said->frees);
		ok &= EXPECT_EQ(now.allocated - before->allocated, said->allocated);
		ok &= EXPECT_EQ(now.freed - before->freed, said->freed);
		ok &= EXPECT_EQ(now.failures - before->failures, said->failures);
		ok &= EXPECT_EQ(now.live - before->live,
				(long)(said->allocated - said->freed - gone));
		ok &= EXPECT_EQ(now.objects - before->objects,
				(long)(said->allocations - said->frees - !!gone));
		if (!ok)
			printf("in %s\n", s[i].name);
	}
}

/* Every function, 8 threads that free what others have allocated, and the rest is freed. */
#define STEPS "all", "stress", "drop"

static void expect_steps(struct live *live, struct subject *s, int n)
{
	note_before(live, s, n);
	for (int step = 0; step < 3; step++)
		for (int i = 0; i < n; i++)
			subject__step(&s[i]);
	expect_said(live, s, n, 0);
	for (int i = 0; i < n; i++)
		EXPECT_EQ(s[i].said.allocated, s[i].said.freed);
}

/* --- by file: new processes are covered, however they come by it ---------------------- */

static void linked_preloaded_opened(const char *program, const char *library, const char *package)
{
	_cleanup_live_ struct live *live = NULL;
	struct subject s[] = {{.name = "linked", .program = program},
			      {.name = "preloaded", .program = "glibc", .preload = library},
			      {.name = "opened", .program = "glibc", .opened = library}};

	need(library, package);
	live = live__begin();
	load_binary(library);
	START(&s[0], live, STEPS);
	START(&s[1], live, STEPS);
	START(&s[2], live, "open", STEPS);
	subject__step(&s[2]);
	expect_steps(live, s, 3);
	for (int i = 0; i < 3; i++)
		subject__end(&s[i]);
}

TEST(jemalloc)
{
	linked_preloaded_opened("jemalloc", LIBRARY "libjemalloc.so.2", "libjemalloc-dev");
}

TEST(tcmalloc)
{
	linked_preloaded_opened("tcmalloc", LIBRARY "libtcmalloc_minimal.so.4",
				"libgoogle-perftools-dev");
}

TEST(mimalloc)
{
	linked_preloaded_opened("mimalloc", LIBRARY "libmimalloc.so.2", "libmimalloc-dev");
}

TEST(musl)
{
	_cleanup_live_ struct live *live = NULL;
	struct subject s = {.name = "musl", .program = "musl", .loader = LIBRARY "ld-musl.so"};

	need(s.loader, "musl-tools");
	live = live__begin();
	load_binary(s.loader);
	START(&s, live, STEPS);
	expect_steps(live, &s, 1);
	subject__end(&s);
}

/* --- by process: what it is linked with statically, or has mapped ---------------------- */

static void of_process(const char *program, const char *package)
{
	_cleanup_live_ struct live *live = NULL;
	struct subject s[] = {{.name = "traced", .program = program},
			      {.name = "other", .program = program}};
	struct heap none = {};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), HEAP "%s", program);
	need(path, package);
	live = live__begin();
	START(&s[0], live, STEPS);
	START(&s[1], live, STEPS);
	load_process(&s[0]);
	expect_steps(live, &s[0], 1);
	/* The same file, but not that process. */
	subject__step(&s[1]);
	s[1].said = none;
	expect_said(live, s, 2, 0);
	subject__end(&s[0]);
	subject__end(&s[1]);
}

TEST(glibc_static)
{
	of_process("static", "libc6-dev");
}

TEST(musl_static)
{
	of_process("musl_static", "musl-tools");
}

TEST(jemalloc_static)
{
	of_process("jemalloc_static", "libjemalloc-dev");
}

TEST(jemalloc_prefixed)
{
	of_process("jemalloc_prefixed", "libjemalloc-dev");
}

TEST(tcmalloc_static)
{
	of_process("tcmalloc_static", "libgoogle-perftools-dev");
}

/* Both its C library and its allocator. */
TEST(mimalloc_of_process)
{
	of_process("mimalloc", "libmimalloc-dev");
}

TEST_MAIN()
