// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Page faults: known numbers of them, compared with what the kernel itself counts for the process
 * (getrusage(2)), and with the time that it waited.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "fuse_server.h"
#include "ktap.h"
#include "live.h"

#define FAULTS_OBJECT OBJECT_DIR "/progs/faults.bpf.o"
#define FAULTS "process.paging.faults"
#define DURATION "process.paging.fault.duration"

static size_t page;

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

static void *shared_memory(size_t size)
{
	void *at = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_NE(at, MAP_FAILED);
	return at;
}

/* A process in cgroup "in" is measured, one in "out" is not. */
static void load(struct live *live, const char *object, const char *set)
{
	char filter[PATH_MAX + 16];

	live__make_cgroup(live, "in");
	live__make_cgroup(live, "out");
	snprintf(filter, sizeof(filter), "cgroup=%s", live__cgroup(live, "in"));
	if (set)
		live__must("load", "-q", object, "--filter", filter, "--set", set);
	else
		live__must("load", "-q", object, "--filter", filter);
}

static int open_procs(struct live *live, const char *name)
{
	char path[PATH_MAX + 16];
	int fd;

	live__make_cgroup(live, name);
	snprintf(path, sizeof(path), "%s/cgroup.procs", live__cgroup(live, name));
	fd = open(path, O_WRONLY | O_CLOEXEC);
	ASSERT_GE(fd, 0);
	return fd;
}

/* --- faults --------------------------------------------------------------------------------------
 *
 * What touches pages must not touch others as well: an address sanitizer's shadow, for one.
 */
#define PLAIN __attribute__((noinline, no_sanitize("address", "undefined")))

typedef void (*touch_fn)(char *at, size_t pages);

static int zero_fd, pipe_fds[2];

static PLAIN void by_writing(char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(at + i * page) = 1;
}

static PLAIN void by_reading(char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		*(volatile char *)(at + i * page);
}

/*
 * The kernel touches them: it writes what is read from a device, it reads what goes into a pipe.
 * Not by read(3), where a sanitizer looks first.
 */
static PLAIN void by_read(char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		if (syscall(SYS_read, zero_fd, at + i * page, 1) != 1)
			_exit(1);
}

static PLAIN void by_write(char *at, size_t pages)
{
	for (size_t i = 0; i < pages; i++)
		if (syscall(SYS_write, pipe_fds[1], at + i * page, 1) != 1)
			_exit(1);
}

/* What a process was told of the time between joining a cgroup and leaving it. */
struct window {
	__u64 minor, major;
	double seconds;
};

static PLAIN void pass(struct window *window, int procs, int home, touch_fn touch, char *at,
		       size_t pages)
{
	struct rusage before, after;
	double start;

	if (getrusage(RUSAGE_SELF, &before) || write(procs, "0", 1) != 1)
		_exit(1);
	start = now();
	touch(at, pages);
	window->seconds = now() - start;
	if (write(home, "0", 1) != 1 || getrusage(RUSAGE_SELF, &after))
		_exit(1);
	window->minor = after.ru_minflt - before.ru_minflt;
	window->major = after.ru_majflt - before.ru_majflt;
}

static char *fresh(size_t pages)
{
	char *at = mmap(NULL, pages * page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			0);

	if (at == MAP_FAILED || madvise(at, pages * page, MADV_NOHUGEPAGE))
		_exit(1);
	return at;
}

/*
 * Touch pages in a cgroup, those of a file or fresh ones. Everything else is touched before,
 * outside of it: code, stack, what the kernel copies from and to.
 */
static struct window faults_in(struct live *live, const char *cgroup, touch_fn touch,
			       const char *file, size_t first, size_t pages)
{
	struct window *shared = shared_memory(sizeof(*shared)), window;
	int procs = open_procs(live, cgroup), home = open_procs(live, "out"), fd = -1;
	char *at;
	pid_t pid;

	fflush(NULL);
	pid = fork();
	if (!pid) {
		struct window warm = {};

		if (file)
			fd = open(file, O_RDONLY | O_CLOEXEC);
		at = file ? mmap(NULL, (first + pages) * page, PROT_READ, MAP_SHARED, fd, 0)
			  : fresh(pages);
		if (at == MAP_FAILED || (file && madvise(at, (first + pages) * page, MADV_RANDOM)))
			_exit(1);
		pass(&warm, home, home, touch, fresh(2), 2);
		*shared = warm;
		pass(&warm, procs, home, touch, at + first * page, pages);
		*shared = warm;
		_exit(0);
	}
	ASSERT_GT(pid, 0);
	ASSERT_EQ(live__wait(pid), 0);
	close(procs);
	close(home);
	window = *shared;
	munmap(shared, sizeof(*shared));
	return window;
}

static void prepare(void)
{
	page = sysconf(_SC_PAGESIZE);
	zero_fd = open("/dev/zero", O_RDONLY | O_CLOEXEC);
	ASSERT_GE(zero_fd, 0);
	ASSERT_EQ(pipe(pipe_fds), 0);
}

static __u64 faults(struct live *live, struct json_object *root, const char *cgroup,
		    const char *type, const char *mode)
{
	return otlp_json__total(root, FAULTS, "process.linux.cgroup", live__path(live, cgroup),
				"system.paging.fault.type", type, "cpu.mode", mode);
}

/* The histogram of a cgroup has so many, none faster than @least, all within @seconds. */
static void expect_durations(struct live *live, struct json_object *root, const char *cgroup,
			     const char *mode, __u64 count, double least, double seconds)
{
	struct otlp_point p = {};
	int n = otlp_json__find(root, DURATION, &p, "process.linux.cgroup",
				live__path(live, cgroup), "cpu.mode", mode,
				"system.paging.fault.type", "major");

	if (!EXPECT_EQ(n, count ? 1 : 0) || !n)
		return;
	EXPECT_EQ(otlp_json__count(p.point), count);
	EXPECT_EQ(otlp_json__bucket_total(p.point), count);
	EXPECT_GT(otlp_json__f64(p.point, "min"), least);
	EXPECT_LE(otlp_json__sum(p.point), seconds);
}

TEST(minor_faults_are_those_of_the_process)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct window user, kernel;

	prepare();
	load(live, FAULTS_OBJECT, NULL);
	user = faults_in(live, "in/user", by_writing, NULL, 0, 5000);
	kernel = faults_in(live, "in/kernel", by_read, NULL, 0, 3000);
	faults_in(live, "out/other", by_writing, NULL, 0, 100);
	EXPECT_EQ(user.minor, 5000);
	EXPECT_EQ(kernel.minor, 3000);
	EXPECT_EQ(user.major + kernel.major, 0);
	root = live__export_file(live);
	EXPECT_EQ(faults(live, root, "in/user", "minor", "user"), user.minor);
	EXPECT_EQ(faults(live, root, "in/kernel", "minor", "kernel"), kernel.minor);
	/* And nothing else: neither of the other kinds, nor of whom the filter leaves out. */
	EXPECT_EQ(otlp_json__total(root, FAULTS), user.minor + kernel.minor);
	EXPECT_EQ(otlp_json__find(root, DURATION, NULL), 0);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
}

static bool *is_over;

static PLAIN void until_over(char *at, size_t pages)
{
	do {
		by_writing(at, pages);
		if (madvise(at, pages * page, MADV_DONTNEED))
			_exit(1);
	} while (pages >= 1000 && !*(volatile bool *)is_over);
}

TEST_TIMEOUT(upgrades_under_load_count_each_fault_once, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct window window;
	pid_t upgrades;

	prepare();
	is_over = shared_memory(sizeof(*is_over));
	load(live, FAULTS_OBJECT, NULL);
	upgrades = live__start_upgrades(is_over, FAULTS_OBJECT);
	window = faults_in(live, "in/a", until_over, NULL, 0, 1000);
	EXPECT_EQ(live__wait(upgrades), 0);
	root = live__export_file(live);
	EXPECT_GT(window.minor, 2000);
	EXPECT_EQ(otlp_json__total(root, FAULTS), window.minor + window.major);
	munmap(is_over, sizeof(*is_over));
}

static void *touch_some(void *arg)
{
	by_writing(arg, 2000);
	return NULL;
}

static void by_threads(char *at, size_t pages)
{
	pthread_t threads[4];

	if (pages < 8000)
		return;
	for (int i = 0; i < 4; i++)
		if (pthread_create(&threads[i], NULL, touch_some, at + 2000 * i * page))
			_exit(1);
	for (int i = 0; i < 4; i++)
		pthread_join(threads[i], NULL);
}

/* On all CPUs at once; beside the pages there are stacks and more, which the kernel counts, too. */
TEST(threads_fault_at_the_same_time)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct window window;

	prepare();
	load(live, FAULTS_OBJECT, NULL);
	window = faults_in(live, "in/a", by_threads, NULL, 0, 8000);
	EXPECT_GE(window.minor, 8000);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, FAULTS, "system.paging.fault.type", "minor"),
		  window.minor);
	EXPECT_EQ(otlp_json__total(root, FAULTS), window.minor + window.major);
}

/* Pages of a file that are in memory; the file's own are dropped first. -1: they cannot be. */
static int resident_pages(const char *path, size_t pages)
{
	int fd = open(path, O_RDONLY | O_CLOEXEC), n = 0;
	unsigned char *in = calloc(pages, 1);
	void *at;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED), 0);
	at = mmap(NULL, pages * page, PROT_READ, MAP_SHARED, fd, 0);
	ASSERT_NE(at, MAP_FAILED);
	ASSERT_EQ(mincore(at, pages * page, in), 0);
	for (size_t i = 0; i < pages; i++)
		n += in[i] & 1;
	munmap(at, pages * page);
	free(in);
	close(fd);
	return n;
}

TEST(major_faults_of_a_file_that_is_not_cached)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct window user, kernel;
	char path[128], *bytes;
	int fd;

	prepare();
	snprintf(path, sizeof(path), "%s/cold", live->tmp);
	bytes = calloc(96, page);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, bytes, 96 * page), 96 * page);
	ASSERT_EQ(fsync(fd), 0);
	close(fd);
	free(bytes);
	if (resident_pages(path, 96))
		SKIP("the file system of %s does not let go of a file's pages", live->tmp);
	load(live, FAULTS_OBJECT, NULL);
	user = faults_in(live, "in/a", by_reading, path, 0, 64);
	kernel = faults_in(live, "in/a", by_write, path, 64, 32);
	EXPECT_EQ(user.major, 64);
	EXPECT_EQ(kernel.major, 32);
	root = live__export_file(live);
	EXPECT_EQ(faults(live, root, "in/a", "major", "user"), user.major);
	EXPECT_EQ(faults(live, root, "in/a", "major", "kernel"), kernel.major);
	EXPECT_EQ(otlp_json__total(root, FAULTS),
		  user.minor + kernel.minor + user.major + kernel.major);
	expect_durations(live, root, "in/a", "user", 64, 0, user.seconds);
	expect_durations(live, root, "in/a", "kernel", 32, 0, kernel.seconds);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
}

/* A file whose pages come when the test says so. */
static struct fuse_gate *slow_file(struct live *live, char path[128], size_t pages)
{
	struct fuse_gate *gate = shared_memory(sizeof(*gate));
	char *bytes = calloc(pages, page);
	struct stat stats;
	int fd, err;

	snprintf(path, 128, "%s/slow", live->tmp);
	fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
	ASSERT_GE(fd, 0);
	close(fd);
	err = fuse_server__start_gated(path, bytes, pages * page, gate);
	if (err)
		SKIP("no file system in user space here: %s", strerror(-err));
	free(bytes);
	/* Its size is not known before somebody has asked for it. */
	ASSERT_EQ(stat(path, &stats), 0);
	return gate;
}

TEST_TIMEOUT(major_faults_take_as_long_as_they_do, 60)
{
	static const char *const starts[] = {"fault_user", "fault_kernel", "fault_handled"};
	char link[PATH_MAX + 64];
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct fuse_gate *gate;
	struct window user, kernel;
	char path[128];

	prepare();
	gate = slow_file(live, path, 70);
	gate->allowed = UINT_MAX;
	gate->delay_us = 5000;
	load(live, FAULTS_OBJECT, NULL);
	user = faults_in(live, "in/a", by_reading, path, 0, 40);
	kernel = faults_in(live, "in/a", by_write, path, 40, 20);
	EXPECT_EQ(user.major, 40);
	EXPECT_EQ(kernel.major, 20);
	EXPECT_EQ(gate->asked, 60);
	root = live__export_file(live);
	EXPECT_EQ(faults(live, root, "in/a", "major", "user"), 40);
	EXPECT_EQ(faults(live, root, "in/a", "major", "kernel"), 20);
	expect_durations(live, root, "in/a", "user", 40, 0.005, user.seconds);
	expect_durations(live, root, "in/a", "kernel", 20, 0.005, kernel.seconds);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	/* Where nobody asks for times none is missing. */
	live__must("unload", "-q");
	load(live, FAULTS_OBJECT, "faults.latency=0");
	for (size_t i = 0; i < sizeof(starts) / sizeof(starts[0]); i++) {
		snprintf(link, sizeof(link), "%s/faults/link/%s", live->pin_dir, starts[i]);
		EXPECT_NE(access(link, F_OK), 0);
	}
	faults_in(live, "in/b", by_reading, path, 60, 10);
	live__put_json(&root);
	root = live__export_file(live);
	EXPECT_EQ(faults(live, root, "in/b", "major", "user"), 10);
	EXPECT_EQ(otlp_json__find(root, DURATION, NULL), 0);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
}

static void wait_asked(struct fuse_gate *gate, unsigned int reads)
{
	while (*(volatile unsigned int *)&gate->asked < reads)
		usleep(1000);
}

/*
 * Of four faults the first begins before the load; the second ends, and the third begins, while the
 * probe is paused; and another filter comes in the middle of the fourth.
 */
TEST_TIMEOUT(faults_whose_start_is_unseen, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct fuse_gate *gate;
	char path[128];
	int procs, fd;
	pid_t pid;

	prepare();
	gate = slow_file(live, path, 4);
	procs = open_procs(live, "in");
	pid = fork();
	if (!pid) {
		fd = open(path, O_RDONLY | O_CLOEXEC);
		by_reading(mmap(NULL, 4 * page, PROT_READ, MAP_SHARED, fd, 0),
			   write(procs, "0", 1) == 1 ? 4 : 0);
		_exit(0);
	}
	ASSERT_GT(pid, 0);
	wait_asked(gate, 1);
	load(live, FAULTS_OBJECT, NULL);
	gate->allowed = 1;
	wait_asked(gate, 2);
	live__must("pause", "-q");
	gate->allowed = 2;
	wait_asked(gate, 3);
	live__must("resume", "-q");
	gate->allowed = 3;
	wait_asked(gate, 4);
	live__must("filter", "add", "-q", "comm", "live_faults_tes");
	gate->allowed = 4;
	EXPECT_EQ(live__wait(pid), 0);
	close(procs);
	root = live__export_file(live);
	EXPECT_EQ(faults(live, root, "in", "major", "user"), 3);
	expect_durations(live, root, "in", "user", 1, 0, 60);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason", "start_unseen"),
		  2);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 2);
}

TEST_MAIN()
