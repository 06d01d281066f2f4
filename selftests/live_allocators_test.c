// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The malloc probe with each allocator that Debian packages: tools/heap.c counts what it does, and
 * the receiver has to have the same numbers. Libraries are copies of the test's own.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "allocate.h"
#include "ktap.h"
#include "samples.h"
#include "tools/heap.h"

#define UNGUARDED "--set", "malloc.guard_percent=0" /* loops of nothing but allocations */
#define HEAP BUILD_DIR "/selftests/tools/heap/"
#define LIBRARY HEAP "lib/"
#define ANSWER_MS 60000

/* --- the workload -------------------------------------------------------------------- */

/* A process: which program, how it comes by its allocator, and what it has said. */
struct subject {
	const char *name;    /* of its cgroup */
	const char *program; /* below HEAP, or its path */
	const char *loader;  /* that is told to run it; or NULL */
	const char *preload; /* or NULL */
	const char *opened;  /* the library for -d; or NULL */
	bool is_contained;   /* in a root directory and namespaces of its own */
	pid_t child;	     /* of ours */
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
	ASSERT_EQ(sscanf(line, "%llu %llu %llu %llu %llu", &s->said.allocations, &s->said.frees,
			 &s->said.allocated, &s->said.freed, &s->said.failures),
		  5);
}

/*
 * As a container is made: files that nobody else sees, and process numbers that are others outside.
 * Goes on as its first process; who it was before waits for that one, after telling its number.
 */
static void enter_container(const char *program, const char *root, int tell)
{
	static const char fill[] =
		"cd $1 && mkdir -p proc lib lib64 && cp $2 service && cp " LIBRARY
		"libc.so.6 lib && "
		"for loader in /lib*/ld-linux-*; do cp -L $loader ./$loader || exit 1; done";
	int status;
	pid_t pid;

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", root, "tmpfs", 0, NULL))
		_exit(125);
	pid = fork();
	if (!pid) {
		execl("/bin/sh", "sh", "-c", fill, "sh", root, program, NULL);
		_exit(127);
	}
	if (waitpid(pid, &status, 0) != pid || status || unshare(CLONE_NEWPID))
		_exit(125);
	pid = fork();
	if (pid) {
		if (pid < 0 || write(tell, &pid, sizeof(pid)) != sizeof(pid))
			_exit(125);
		_exit(waitpid(pid, &status, 0) == pid && WIFEXITED(status) ? WEXITSTATUS(status)
									   : 125);
	}
	if (chroot(root) || chdir("/") || mount("proc", "/proc", "proc", 0, NULL))
		_exit(125);
}

/* It ends when we do: that is the end of its input. */
static void subject__start(struct subject *s, struct live *live, const char *const *steps)
{
	char program[PATH_MAX], procs[PATH_MAX];
	int in[2], out[2], told[2], n = 0;
	const char *argv[16];

	snprintf(program, sizeof(program), "%s%s", s->program[0] == '/' ? "" : HEAP, s->program);
	if (s->loader)
		argv[n++] = s->loader;
	argv[n++] = s->is_contained ? "/service" : program;
	if (s->opened) {
		argv[n++] = "-d";
		argv[n++] = s->opened;
	}
	while (*steps)
		argv[n++] = *steps++;
	argv[n] = NULL;
	live__make_cgroup(live, s->name);
	snprintf(procs, sizeof(procs), "%.4000s/cgroup.procs", live__cgroup(live, s->name));
	ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(told, O_CLOEXEC), 0);
	fflush(NULL);
	s->pid = s->child = fork();
	ASSERT_GE(s->child, 0);
	if (!s->child) {
		int fd = open(procs, O_WRONLY | O_CLOEXEC);

		if (fd < 0 || write(fd, "0", 1) != 1 || dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
			_exit(126);
		/* A container's first process stays what it is for a while. */
		close(in[1]);
		close(out[0]);
		close(told[0]);
		setenv("LD_LIBRARY_PATH", HEAP "lib", 1);
		/* jemalloc's thread-local data is more than there is room for when it comes late.
		 */
		setenv("GLIBC_TUNABLES", "glibc.rtld.optional_static_tls=16384", 1);
		if (s->preload)
			setenv("LD_PRELOAD", s->preload, 1);
		if (s->is_contained)
			enter_container(program, live->tmp, told[1]);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	close(told[1]);
	if (s->is_contained)
		ASSERT_EQ(read(told[0], &s->pid, sizeof(s->pid)), sizeof(s->pid));
	close(told[0]);
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
	EXPECT_EQ(live__wait(s->child), 0);
	close(s->out);
}

/* --- the probe ------------------------------------------------------------------------ */

#define EVERY_CALL "malloc.sample_bytes=1"

static void load_binary(const char *file)
{
	char set[PATH_MAX];

	snprintf(set, sizeof(set), "malloc.binary=%s", file);
	live__must("load", "-q", MALLOC_OBJECT, UNGUARDED, "--set", set, "--set", EVERY_CALL);
}

static void load_process(const struct subject *s, const char *sample_bytes)
{
	char set[64];

	snprintf(set, sizeof(set), "malloc.pid=%d", s->pid);
	live__must("load", "-q", MALLOC_OBJECT, UNGUARDED, "--set", set, "--set", sample_bytes);
}

/* The beginning of a value of the map "heap", as in progs/malloc_held.h. */
struct counted {
	__u64 allocations, frees, allocated, freed;
};

/* Straight from the map, of all cgroups: an export takes longer. */
static struct counted counted_now(struct live *live)
{
	int cpus = libbpf_num_possible_cpus(), fd;
	struct bpf_map_info info = {};
	struct counted sum = {};
	__u32 len = sizeof(info);
	__u64 key, *last = NULL;
	char *values;

	fd = live__map_of(live, "malloc", "heap");
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	ASSERT_EQ(info.key_size, sizeof(key));
	ASSERT_EQ(info.value_size % sizeof(__u64), 0);
	values = calloc(cpus, info.value_size);
	ASSERT_TRUE(values);
	for (; !bpf_map_get_next_key(fd, last, &key); last = &key) {
		ASSERT_EQ(bpf_map_lookup_elem(fd, &key, values), 0);
		for (int cpu = 0; cpu < cpus; cpu++) {
			const struct counted *one = (void *)(values + cpu * info.value_size);

			sum.allocations += one->allocations;
			sum.frees += one->frees;
			sum.allocated += one->allocated;
			sum.freed += one->freed;
		}
	}
	free(values);
	close(fd);
	return sum;
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

static void note_before(struct live *live, struct subject *s, int n)
{
	_cleanup_json_ struct json_object *root = export_now(live);

	for (int i = 0; i < n; i++)
		s[i].before = heap__in(root, live, s[i].name);
}

/* What has been counted since note_before() is what the processes say. */
static bool expect_sums(const struct heap *before, const struct heap *now, const struct heap *said)
{
	bool ok = EXPECT_EQ(now->allocations - before->allocations, said->allocations);

	ok &= EXPECT_EQ(now->frees - before->frees, said->frees);
	ok &= EXPECT_EQ(now->allocated - before->allocated, said->allocated);
	ok &= EXPECT_EQ(now->freed - before->freed, said->freed);
	ok &= EXPECT_EQ(now->failures - before->failures, said->failures);
	return ok;
}

static void expect_said(struct live *live, const struct subject *s, int n)
{
	_cleanup_json_ struct json_object *root = export_now(live);

	for (int i = 0; i < n; i++) {
		struct heap now = heap__in(root, live, s[i].name);
		const struct heap *before = &s[i].before, *said = &s[i].said;
		bool ok = expect_sums(before, &now, said);

		ok &= EXPECT_EQ(now.live - before->live, (long)(said->allocated - said->freed));
		ok &= EXPECT_EQ(now.objects - before->objects,
				(long)(said->allocations - said->frees));
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
	expect_said(live, s, n);
	for (int i = 0; i < n; i++)
		EXPECT_EQ(s[i].said.allocated, s[i].said.freed);
}

/* --- by file: every process, however it comes by its allocator ------------------------- */

static struct {
	struct subject subject;
	const char *package;
} allocators[] = {
	{{.name = "glibc", .program = "glibc"}, "libc6-dev"},
	{{.name = "glibc_static", .program = "static"}, "libc6-dev"},
	{{.name = "probed", .program = "probed"}, "libc6-dev"},
	{{.name = "musl", .program = "musl", .loader = LIBRARY "ld-musl.so"}, "musl-tools"},
	{{.name = "musl_static", .program = "musl_static"}, "musl-tools"},
#define JEMALLOC LIBRARY "libjemalloc.so.2"
	{{.name = "jemalloc", .program = "jemalloc"}, "libjemalloc-dev"},
	{{.name = "jemalloc_preloaded", .program = "glibc", .preload = JEMALLOC},
	 "libjemalloc-dev"},
	{{.name = "jemalloc_opened", .program = "glibc", .opened = JEMALLOC}, "libjemalloc-dev"},
	{{.name = "jemalloc_static", .program = "jemalloc_static"}, "libjemalloc-dev"},
	{{.name = "jemalloc_prefixed", .program = "jemalloc_prefixed"}, "libjemalloc-dev"},
#define TCMALLOC LIBRARY "libtcmalloc_minimal.so.4"
	{{.name = "tcmalloc", .program = "tcmalloc"}, "libgoogle-perftools-dev"},
	{{.name = "tcmalloc_preloaded", .program = "glibc", .preload = TCMALLOC},
	 "libgoogle-perftools-dev"},
	{{.name = "tcmalloc_opened", .program = "glibc", .opened = TCMALLOC},
	 "libgoogle-perftools-dev"},
	{{.name = "tcmalloc_static", .program = "tcmalloc_static"}, "libgoogle-perftools-dev"},
#define MIMALLOC LIBRARY "libmimalloc.so.2"
	{{.name = "mimalloc", .program = "mimalloc"}, "libmimalloc-dev"},
	{{.name = "mimalloc_preloaded", .program = "glibc", .preload = MIMALLOC},
	 "libmimalloc-dev"},
	{{.name = "mimalloc_opened", .program = "glibc", .opened = MIMALLOC}, "libmimalloc-dev"},
};
#define ALLOCATORS (sizeof(allocators) / sizeof(allocators[0]))

static bool is_built(const struct subject *s)
{
	const char *library = s->loader ? s->loader : s->preload ? s->preload : s->opened;
	char path[PATH_MAX];

	snprintf(path, sizeof(path), HEAP "%s", s->program);
	return !access(path, X_OK) && (!library || !access(library, R_OK));
}

/*
 * What a process had is gone when it executes another program, which is counted like the one
 * before. The kernel of some virtual machines runs no program of a tracepoint for a moment, see
 * docs/telemetry.md: of three times it may miss one.
 */
static void expect_exec(struct live *live)
{
	struct subject s = {.name = "exec", .program = "static"};
	int gone = 0;
	long held;

	START(&s, live, "all", "exec", "all", "exec", "all", "exec", "all", "drop");
	note_before(live, &s, 1);
	for (int i = 0; i < 3; i++) {
		subject__step(&s);
		expect_said(live, &s, 1);
		held = s.before.live;
		subject__step(&s);
		note_before(live, &s, 1);
		gone += s.before.live == held;
	}
	EXPECT_GE(gone, 2);
	subject__step(&s);
	subject__step(&s);
	expect_said(live, &s, 1);
	subject__end(&s);
}

/* One load for all: the probe is there before the programs are, and the libraries that they open.
 */
TEST_TIMEOUT(every_allocator, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	struct subject s[ALLOCATORS];
	const char *missing = NULL;
	int n = 0;

	load_binary(HEAP "{*,lib/*}");
	for (size_t i = 0; i < ALLOCATORS; i++) {
		s[n] = allocators[i].subject;
		if (!is_built(&s[n])) {
			missing = allocators[i].package;
			printf("%s: without %s\n", s[n].name, missing);
		} else if (s[n++].opened) {
			START(&s[n - 1], live, "open", STEPS, "fork");
			subject__step(&s[n - 1]);
		} else {
			START(&s[n - 1], live, STEPS, "fork");
		}
	}
	expect_steps(live, s, n);
	/* A child is counted where its parent is. */
	for (int i = 0; i < n; i++)
		subject__step(&s[i]);
	expect_said(live, s, n);
	for (int i = 0; i < n; i++)
		subject__end(&s[i]);
	expect_exec(live);
	if (missing)
		SKIP("not with all of them: %s was not there when this was built", missing);
}

/* --- by process: what it is linked with, or has mapped --------------------------------- */

/* Seen from outside: its number, and its files, which only it can reach. */
TEST_TIMEOUT(in_a_container, 60)
{
	struct weight weights[] = {{"plain", 0}, {"work", 0}};
	struct subject s = {.name = "container", .program = "glibc", .is_contained = true};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	START(&s, live, STEPS);
	load_process(&s, EVERY_CALL);
	expect_steps(live, &s, 1);
	root = live__export_file(live);
	EXPECT_EQ(profiles__weigh(root, "service", "alloc_space", weights, 2), s.said.allocated);
	EXPECT_EQ(weights[0].value, PLAIN_BYTES);
	EXPECT_GT(weights[1].value, 0);
	subject__end(&s);
}

/* Not its functions, at whatever rate: it says what it has sampled. */
TEST_TIMEOUT(by_probes_of_its_own, 60)
{
	struct weight weights[] = {{"plain", 0}, {"work", 0}};
	struct subject s = {.name = "probed", .program = "probed", .is_contained = true};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct counted before, now;
	struct output output;

	START(&s, live, STEPS, "weighed");
	load_process(&s, "malloc.sample_bytes=524288");
	live__otelbpf(&output, "status", "--measure", "0", "malloc");
	EXPECT_TRUE(strstr(output.out, "usdt/otel_memory:alloc in 1 file"));
	EXPECT_TRUE(strstr(output.out, "usdt/otel_memory:free in 1 file"));
	EXPECT_TRUE(strstr(output.out, "calloc in no file"));
	EXPECT_FALSE(strstr(output.out, "not covered"));
	expect_steps(live, &s, 1);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason", "usdt_unread"),
		  0);
	EXPECT_EQ(profiles__weigh(root, "service", "alloc_space", weights, 2), s.said.allocated);
	EXPECT_EQ(weights[0].value, PLAIN_BYTES);
	EXPECT_GT(weights[1].value, 0);
	/* Whole objects, at random. */
	before = counted_now(live);
	subject__step(&s);
	now = counted_now(live);
	EXPECT_EQ(now.allocated - before.allocated, WEIGHED * WEIGHT);
	EXPECT_EQ(now.freed - before.freed, WEIGHED * WEIGHT);
	EXPECT_GE(now.allocations - before.allocations, WEIGHED * (WEIGHT / WEIGHED_SIZE));
	EXPECT_LE(now.allocations - before.allocations, WEIGHED * (WEIGHT / WEIGHED_SIZE + 1));
	EXPECT_EQ(now.frees - before.frees, now.allocations - before.allocations);
	subject__end(&s);
}

/*
 * In one cgroup: who tells itself, who has only functions, in a library that both have mapped, and
 * who has neither names nor probes.
 */
TEST_TIMEOUT(each_by_what_it_has, 60)
{
	struct subject probed = {.name = "set/probed", .program = "probed"};
	struct subject stripped = {.name = "set/stripped", .program = "stripped"};
	struct subject plain = {.name = "set/plain", .program = "glibc"};
	_cleanup_live_ struct live *live = live__begin();
	struct output output;
	char set[PATH_MAX];

	live__make_cgroup(live, "set");
	START(&probed, live, STEPS, "all", "drop");
	START(&stripped, live, "all");
	snprintf(set, sizeof(set), "malloc.cgroup=%.4000s", live__cgroup(live, "set"));
	live__must("load", "-q", MALLOC_OBJECT, UNGUARDED, "--set", set, "--set", EVERY_CALL);
	live__otelbpf(&output, "status", "--measure", "0", "malloc");
	EXPECT_TRUE(strstr(output.out, "not covered: " HEAP "stripped: none of the functions"));
	EXPECT_FALSE(strstr(output.out, "watch"));
	EXPECT_TRUE(strstr(output.out, "usdt/otel_memory:alloc in 1 file"));
	EXPECT_TRUE(strstr(output.out, "calloc in no file"));
	expect_steps(live, &probed, 1);
	/* Its library is not traced yet. */
	START(&plain, live, STEPS);
	live__otelbpf(&output, "status", "--measure", "0", "malloc");
	EXPECT_TRUE(strstr(output.out, "not covered: " LIBRARY "libc.so.6: otelbpf watch"));
	live__must("load", "-q", MALLOC_OBJECT, UNGUARDED, "--set", set, "--set", EVERY_CALL);
	live__otelbpf(&output, "status", "--measure", "0", "malloc");
	EXPECT_TRUE(strstr(output.out, "calloc in 1 file"));
	EXPECT_FALSE(strstr(output.out, "watch"));
	expect_steps(live, &plain, 1);
	note_before(live, &probed, 1);
	probed.before.allocations -= probed.said.allocations;
	probed.before.frees -= probed.said.frees;
	probed.before.allocated -= probed.said.allocated;
	probed.before.freed -= probed.said.freed;
	subject__step(&probed);
	subject__step(&probed);
	expect_said(live, &probed, 1);
	subject__end(&probed);
	subject__end(&stripped);
	subject__end(&plain);
}

/*
 * A hundred times 1.7 GB, and no bias: a sampled allocation of s bytes has the probability
 * p = 1 - e^(-s/R) and counts for s/p bytes, so that the sum's variance is that of s^2 (1/p - 1),
 * added up. Each sum is then within 1 % in two of three cases, and their mean is ten times
 * better. Whole objects are made of fractions at random, which adds 1/4 at most.
 */
TEST_TIMEOUT(default_rate, 60)
{
	const int runs = getenv("OTELBPF_OWN_KERNEL") ? 12 : 100;
	double bytes = 0, variance = 0, variance_objects = 0, sum = 0, objects = 0;
	struct subject s = {.name = "sampled", .program = "static"};
	_cleanup_live_ struct live *live = live__begin();
	struct counted before, now;

	for (unsigned int i = 0; i < SAMPLED; i++) {
		double size = SAMPLED_SIZE(i), p = -expm1(-size / 524288);

		bytes += size;
		variance += size * size * (1 / p - 1);
		variance_objects += 1 / p - 1 + 0.25;
	}
	START(&s, live, "sampled");
	load_process(&s, "malloc.sample_bytes=524288");
	before = counted_now(live);
	for (int run = 0; run < runs; run++) {
		subject__step(&s);
		now = counted_now(live);
		EXPECT_LE(fabs(now.allocated - before.allocated - bytes), bytes * 0.05);
		sum += now.allocated - before.allocated;
		objects += now.allocations - before.allocations;
		before = now;
	}
	printf("%d runs: %.0f bytes, %.0f estimated, +-%.0f\n", runs, bytes, sum / runs,
	       sqrt(variance / runs));
	printf("%u objects, %.1f estimated, +-%.1f\n", SAMPLED, objects / runs,
	       sqrt(variance_objects / runs));
	EXPECT_LE(fabs(sum / runs - bytes), 4 * sqrt(variance / runs));
	EXPECT_LE(fabs(objects / runs - SAMPLED), 4 * sqrt(variance_objects / runs));
	/* Each that was counted was freed, and counts for as much. */
	EXPECT_EQ(now.frees, now.allocations);
	EXPECT_EQ(now.freed, now.allocated);
	subject__end(&s);
}

/* --- coming and going ------------------------------------------------------------------- */

struct attached {
	__u32 link[256];
	int n;
};

static void note_links(struct live *live, struct attached *attached)
{
	char path[PATH_MAX];
	DIR *dir;

	*attached = (struct attached){};
	snprintf(path, sizeof(path), "%s/malloc/link", live->pin_dir);
	dir = opendir(path);
	ASSERT_TRUE(dir);
	for (struct dirent *entry; (entry = readdir(dir));) {
		struct bpf_link_info info = {};
		__u32 len = sizeof(info);
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/malloc/link/%s", live->pin_dir, entry->d_name);
		fd = bpf_obj_get(path);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
		ASSERT_LT(attached->n, 256);
		attached->link[attached->n++] = info.id;
		close(fd);
	}
	closedir(dir);
	ASSERT_GT(attached->n, 0);
}

/* No link, and no probe of ours by name: links are let go of a moment after their last user. */
static void expect_detached(const struct attached *attached)
{
	char line[4096];
	FILE *events;

	for (int i = 0; i < attached->n; i++) {
		int fd = -1, waited = 0;

		do {
			if (fd >= 0) {
				close(fd);
				usleep(1000);
			}
			fd = bpf_link_get_fd_by_id(attached->link[i]);
		} while (fd >= 0 && waited++ < 20000);
		EXPECT_LT(fd, 0);
		if (fd >= 0)
			close(fd);
	}
	events = fopen("/sys/kernel/tracing/uprobe_events", "re");
	while (events && fgets(line, sizeof(line), events))
		EXPECT_FALSE(strstr(line, BUILD_DIR));
	if (events)
		fclose(events);
}

static void wait_counting(struct live *live)
{
	struct counted before = counted_now(live), now = before;

	for (int i = 0; i < ANSWER_MS && now.allocations < before.allocations + 100; i++) {
		usleep(1000);
		now = counted_now(live);
	}
	ASSERT_GE(now.allocations, before.allocations + 100);
}

/*
 * Once, or OTELBPF_ATTACHMENTS times: 100 take minutes where each function's probe waits for a
 * grace period to go, so a larger KTAP_TIMEOUT_FACTOR.
 */
TEST_TIMEOUT(attached_and_detached_under_load, 120)
{
	const char *wanted = getenv("OTELBPF_ATTACHMENTS");
	struct subject s = {.name = "busy", .program = "static"};
	_cleanup_live_ struct live *live = live__begin();
	int times = wanted ? atoi(wanted) : 1;
	struct counted before, now;
	struct attached attached;
	struct output output;
	struct heap said;

	START(&s, live, "spin", "stop", "all", "spin");
	subject__step(&s);
	load_process(&s, EVERY_CALL);
	for (int i = 0; i < times; i++) {
		if (i)
			live__must("resume", "-q", "malloc");
		wait_counting(live);
		note_links(live, &attached);
		/* The last time it goes on, to be killed. */
		if (i == times - 1)
			break;
		live__must("pause", "-q", "malloc");
		expect_detached(&attached);
	}
	/* It is well: what it does now is counted. */
	subject__step(&s);
	before = counted_now(live);
	said = s.said;
	subject__step(&s);
	now = counted_now(live);
	EXPECT_EQ(now.allocations - before.allocations, s.said.allocations - said.allocations);
	EXPECT_EQ(now.allocated - before.allocated, s.said.allocated - said.allocated);
	EXPECT_EQ(now.frees - before.frees, s.said.frees - said.frees);
	EXPECT_EQ(now.freed - before.freed, s.said.freed - said.freed);
	/* Without a pause everything that was freed since the load has been seen. */
	if (times == 1)
		json_object_put(export_now(live));
	/* Killed in the middle of calls, at which its threads are all the time. */
	subject__step(&s);
	wait_counting(live);
	kill(s.pid, SIGKILL);
	EXPECT_EQ(live__wait(s.child), -SIGKILL);
	live__must("pause", "-q", "malloc");
	expect_detached(&attached);
	live__otelbpf(&output, "resume", "malloc");
	EXPECT_EQ(output.code, 6);
	live__must("unload", "-q", "malloc");
	EXPECT_LE(live__left_behind(live), 0);
}

/* As a package is upgraded: what runs goes on with the old file, and is counted; see the second
 * load. */
TEST_TIMEOUT(replaced_while_traced, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char path[128], new[128];
	struct subject s[] = {{.name = "old"}, {.name = "new"}};
	struct output output;

	snprintf(path, sizeof(path), "%s/service", live->tmp);
	snprintf(new, sizeof(new), "%s/service.new", live->tmp);
	live__run(&output, NULL, NULL, (const char *const[]){"/bin/cp", HEAP "static", path, NULL});
	ASSERT_EQ(output.code, 0);
	live__run(&output, NULL, NULL, (const char *const[]){"/bin/cp", HEAP "static", new, NULL});
	ASSERT_EQ(output.code, 0);
	s[0].program = s[1].program = path;
	load_binary(path);
	START(&s[0], live, "all", "all");
	note_before(live, s, 1);
	ASSERT_EQ(rename(new, path), 0);
	START(&s[1], live, "all");
	subject__step(&s[0]);
	subject__step(&s[1]);
	s[1].said = (struct heap){};
	expect_said(live, s, 2);
	/* Counts stay, and the new file is covered. */
	load_binary(path);
	note_before(live, &s[1], 1);
	EXPECT_EQ(s[1].before.allocations, 0);
	subject__end(&s[0]);
	subject__end(&s[1]);
}

TEST_MAIN()
