// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Loading over what is there, and a load that ends at any step: no count lost, nothing left. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <otelbpf/meta.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "fail.h"
#include "ktap.h"
#include "live.h"

#define LOAD_SYSCALLS ((const char *const[]){"load", SYSCALLS_OBJECT, NULL})

static struct output output;

/* --- over what is there ----------------------------------------------------------------------- */

TEST(load_over_a_loaded_probe_keeps_its_counts)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char path[PATH_MAX];
	struct steps *steps = live__steps(live, path);
	const struct calls expected[] = {
		CALLS(getppid, 500),
		FAILED(close, 50, EBADF, 50),
		{},
	};
	__u64 start;
	pid_t pid;

	live__load(live);
	start = live__start_ns(live);
	pid = live__start_workload(live, "a", "-s", path, "steps", "100", "10");
	steps__wait_ready(steps);
	for (int i = 0; i < 5; i++) {
		steps__do(steps);
		live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
		EXPECT_EQ(output.code, 0);
		EXPECT_TRUE(strstr(output.err, "upgraded syscalls"));
		EXPECT_EQ(live__left_behind(live), 1);
	}
	steps__end(steps);
	EXPECT_EQ(live__wait(pid), 0);
	EXPECT_EQ(live__start_ns(live), start);
	root = live__export_file(live);
	/* The filter was kept, too: nobody else is in it. */
	live__expect_calls(live, root, "a", expected);
	live__expect_totals(root, 550, 50, 1);
}

#define CALLERS 4 /* more than there are CPUs: some are preempted wherever they are */

/* What each has called, and the word to end. Shared. */
struct callers {
	bool is_over;
	__u64 calls[CALLERS];
};

static void call_until_over(struct live *live, struct callers *callers, int me)
{
	live__join(live);
	while (!__atomic_load_n(&callers->is_over, __ATOMIC_RELAXED)) {
		syscall(SYS_getppid);
		__atomic_store_n(&callers->calls[me], callers->calls[me] + 1, __ATOMIC_RELAXED);
	}
	_exit(0);
}

/* Upgrades while programs call as fast as they can, at least a thousand times between two. */
TEST_TIMEOUT(upgrades_under_load_count_each_call_once, 60)
{
	struct callers *callers = mmap(NULL, sizeof(*callers), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int upgrades = getenv("KTAP_TIMEOUT_FACTOR") ? 5 : 10;
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	pid_t pids[CALLERS];
	__u64 calls = 0;

	ASSERT_NE(callers, MAP_FAILED);
	live__load(live);
	fflush(NULL);
	for (int i = 0; i < CALLERS; i++) {
		pids[i] = fork();
		ASSERT_GE(pids[i], 0);
		if (!pids[i])
			call_until_over(live, callers, i);
	}
	for (int i = 0; i < upgrades; i++) {
		for (int k = 0; k < CALLERS; k++) {
			__u64 since = __atomic_load_n(&callers->calls[k], __ATOMIC_RELAXED);

			while (__atomic_load_n(&callers->calls[k], __ATOMIC_RELAXED) < since + 1000)
				usleep(100);
		}
		live__must_run(LOAD_SYSCALLS);
	}
	__atomic_store_n(&callers->is_over, true, __ATOMIC_RELAXED);
	for (int i = 0; i < CALLERS; i++) {
		EXPECT_EQ(live__wait(pids[i]), 0);
		calls += callers->calls[i];
	}
	root = live__export_file(live);
	printf("%llu calls\n", (unsigned long long)calls);
	EXPECT_EQ(live__count(live, root, "", "getppid"), calls);
	live__expect_no_losses(root);
	munmap(callers, sizeof(*callers));
}

TEST(load_over_a_paused_probe_leaves_it_paused)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	live__load(live);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	live__must("pause", "-q");
	live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
	EXPECT_EQ(output.code, 0);
	EXPECT_TRUE(strstr(output.err, "paused"));
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	live__must("resume", "-q");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 2000);
}

TEST(other_layout_is_refused)
{
	static const char *const other[] = {"load", SYSCALLS_OBJECT, "--set",
					    "syscalls.calls.max_entries=64", NULL};
	static const char *const replace[] = {"load",	   SYSCALLS_OBJECT,
					      "--set",	   "syscalls.calls.max_entries=64",
					      "--replace", NULL};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	live__load(live);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	live__run_otelbpf(&output, NULL, NULL, other);
	EXPECT_EQ(output.code, EXIT_MAP);
	EXPECT_EQ(live__lines(output.err), 1);
	EXPECT_TRUE(strstr(output.err, "calls"));
	EXPECT_TRUE(strstr(output.err, "--replace"));
	EXPECT_EQ(live__left_behind(live), 1);
	/* What was there goes on. */
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 2000);
	live__put_json(&root);

	/* Nobody else is to be measured when the filter goes with the rest. */
	live__run_otelbpf(&output, NULL, NULL, replace);
	EXPECT_EQ(output.code, 0);
	EXPECT_TRUE(strstr(output.err, "dropped"));
	EXPECT_TRUE(strstr(output.err, "calls"));
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 0);
	EXPECT_EQ(live__left_behind(live), 1);
}

/* The way of docs/operations.md: what another layout drops has been exported, all of it. */
TEST_TIMEOUT(last_export_then_replacement, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL, *root = NULL;
	char filter[PATH_MAX + 8];
	struct sink sink;
	__u64 start;
	pid_t pid;
	int cut;

	sink__open(&sink, live, NULL);
	live__load(live);
	start = live__start_ns(live);
	pid = live__start_exporter("--interval", "1h", "--output", sink.spec);
	sink__wait(&sink, 1);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	live__must("pause", "-q", "syscalls");
	/* It has counted all that it will. */
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	EXPECT_EQ(live__stop(pid), 0);
	list = sink__requests(&sink, &cut);
	live__expect_mixes(live, otlp_json__last(list), "a", 1);
	live__expect_totals(otlp_json__last(list), MIX_CALLS, MIX_FAILS, 1);

	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", "-q", SYSCALLS_OBJECT, "--set", "syscalls.calls.max_entries=64",
		   "--replace", "--filter", filter);
	EXPECT_GT(live__start_ns(live), start);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	live__expect_mixes(live, root, "a", 1);
	live__expect_totals(root, MIX_CALLS, MIX_FAILS, 1);
}

static void write_meta(struct live *live, const char *version, __u32 abi)
{
	struct otel_meta meta;
	int fd = live__map(live, "meta");
	__u32 zero = 0;

	ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &meta), 0);
	snprintf(meta.version, sizeof(meta.version), "%s", version);
	meta.abi = abi;
	ASSERT_EQ(bpf_map_update_elem(fd, &zero, &meta, BPF_ANY), 0);
	close(fd);
}

TEST(versions_that_meet_say_so)
{
	static const char *const replace[] = {"load", SYSCALLS_OBJECT, "--replace", NULL};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	live__load(live);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	write_meta(live, "0.0.9", OTEL_ABI_VERSION);
	live__otelbpf(&output, "status", "--measure", "0");
	EXPECT_TRUE(strstr(output.out, "version 0.0.9 (this is "));
	live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
	EXPECT_EQ(output.code, 0);
	EXPECT_TRUE(strstr(output.err, "upgraded syscalls (version 0.0.9 before)"));
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 1000);
	live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
	EXPECT_FALSE(strstr(output.err, "version"));

	/* One whose pins mean something else. */
	write_meta(live, "9.0.0", OTEL_ABI_VERSION + 1);
	live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
	EXPECT_EQ(output.code, EXIT_MAP);
	EXPECT_EQ(live__lines(output.err), 1);
	EXPECT_TRUE(strstr(output.err, "another ABI"));
	EXPECT_EQ(live__left_behind(live), 1);
	live__run_otelbpf(&output, NULL, NULL, replace);
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	live__must("unload", "-q");
	EXPECT_LE(live__left_behind(live), 0);
}

/* --- failure at any step ---------------------------------------------------------------------- */

static void with_few_files(void *ctx)
{
	struct rlimit limit = {*(rlim_t *)ctx, *(rlim_t *)ctx};

	/* What the test was started with would shift each step. */
	close_range(STDERR_FILENO + 1, ~0U, 0);
	if (setrlimit(RLIMIT_NOFILE, &limit))
		_exit(99);
}

/* Descriptors run out a step later each time. */
TEST_TIMEOUT(out_of_descriptors, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	int failures = 0;

	for (rlim_t files = 6; files < 64; files++) {
		live__run_otelbpf(&output, with_few_files, &files, LOAD_SYSCALLS);
		if (!output.code) {
			printf("%d failures, then loaded with %d descriptors\n", failures,
			       (int)files);
			live__must("unload", "-q");
			EXPECT_LE(live__left_behind(live), 0);
			break;
		}
		failures++;
		/* Which step it was decides about the code. */
		live__expect_failure(live, &output, output.code, NULL);
		EXPECT_GT(output.code, 0);
		EXPECT_LE(output.code, 7);
	}
	EXPECT_GT(failures, 5);
	EXPECT_EQ(output.code, 0);
}

/* The same over a probe that counts: it goes on, or the new one does. */
TEST_TIMEOUT(out_of_descriptors_over_a_loaded_probe, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	int runs = 0;

	live__load(live);
	for (rlim_t files = 8; files < 96; files++) {
		live__run_otelbpf(&output, with_few_files, &files, LOAD_SYSCALLS);
		if (output.code && !EXPECT_EQ(live__lines(output.err), 1))
			printf("%s", output.err);
		EXPECT_EQ(live__left_behind(live), 1);
		printf("%d: %s", (int)files, output.err);
		/* What it needs is counted before the old programs are detached. */
		EXPECT_FALSE(strstr(output.err, "otelbpf resume"));
		EXPECT_EQ(live__workload(live, "a", "mix"), 0);
		runs++;
		if (!output.code)
			break;
	}
	EXPECT_EQ(output.code, 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 1000 * runs);
	live__expect_totals(root, MIX_CALLS * runs, MIX_FAILS * runs, runs);
}

/* What it says goes into a file, if there is one. */
static pid_t start_load(const char *err)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC, 0600), STDERR_FILENO);
		execl(BUILD_DIR "/otelbpf", "otelbpf", "load", SYSCALLS_OBJECT, NULL);
		_exit(127);
	}
	return pid;
}

static long load_us(void)
{
	struct timespec from, to;

	clock_gettime(CLOCK_MONOTONIC, &from);
	EXPECT_EQ(live__wait(start_load("/dev/null")), 0);
	clock_gettime(CLOCK_MONOTONIC, &to);
	return (to.tv_sec - from.tv_sec) * 1000000 + (to.tv_nsec - from.tv_nsec) / 1000;
}

static bool has_word(const char *path, const char *word)
{
	char text[1024] = "";
	int fd = open(path, O_RDONLY);

	ASSERT_GE(fd, 0);
	ASSERT_GE(read(fd, text, sizeof(text) - 1), 0);
	close(fd);
	return strstr(text, word);
}

static void ended_by(int sig)
{
	_cleanup_live_ struct live *live = live__begin();
	/* Fewer in virtual machines, which are slow: live_fault_test goes through the steps. */
	int finished = 0, times = getenv("KTAP_TIMEOUT_FACTOR") ? 10 : 30;
	long time = load_us();
	char err[PATH_MAX];

	live__must("unload", "-q");
	snprintf(err, sizeof(err), "%s/err", live->tmp);
	srand(3);
	for (int i = 0; i < times; i++) {
		pid_t pid;
		int code;

		/* A child that ends before it has opened it leaves what was there. */
		close(open(err, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600));
		pid = start_load(err);
		usleep(rand() % (time * 5 / 4));
		kill(pid, sig);
		code = live__wait(pid);
		EXPECT_TRUE(!code || code == -sig);
		finished += !code;
		/*
		 * Interrupted, it leaves nothing, or it was done already and says so. What kill -9
		 * left, the next one removes.
		 */
		if (sig != SIGKILL && code)
			EXPECT_EQ(live__left_behind(live) == 1,
				  has_word(err, "otelbpf: loaded syscalls"));
		live__must("load", "-q", SYSCALLS_OBJECT);
		EXPECT_EQ(live__left_behind(live), 1);
		live__must("unload", "-q");
		EXPECT_LE(live__left_behind(live), 0);
	}
	printf("%d of %d had finished\n", finished, times);
}

TEST_TIMEOUT(load_is_killed, 90)
{
	ended_by(SIGKILL);
}

TEST_TIMEOUT(load_is_interrupted, 90)
{
	ended_by(SIGINT);
}

TEST(two_loads_at_once)
{
	_cleanup_live_ struct live *live = live__begin();

	for (int i = 0; i < 5; i++) {
		pid_t pids[4];

		for (int k = 0; k < 4; k++)
			pids[k] = start_load("/dev/null");
		for (int k = 0; k < 4; k++)
			EXPECT_EQ(live__wait(pids[k]), 0);
		EXPECT_EQ(live__left_behind(live), 1);
		live__must("unload", "-q");
		EXPECT_LE(live__left_behind(live), 0);
	}
}

/* Ids of the pinned programs: with bpffs empty, do they live on? */
static int programs_of(struct live *live, __u32 *ids, int max)
{
	char path[PATH_MAX], *name = path;
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	name += snprintf(path, sizeof(path), "%s/syscalls/prog", live->pin_dir);
	dir = opendir(path);
	ASSERT_TRUE(dir);
	while ((entry = readdir(dir)) && n < max) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(name, 256, "/%.200s", entry->d_name);
		fd = bpf_obj_get(path);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
		ids[n++] = info.id;
		close(fd);
	}
	closedir(dir);
	return n;
}

static bool is_alive(__u32 id)
{
	int fd = bpf_prog_get_fd_by_id(id);

	close(fd);
	return fd >= 0;
}

TEST(unload_leaves_nothing)
{
	_cleanup_live_ struct live *live = live__begin();
	__u32 ids[16];
	int n;

	live__load(live);
	n = programs_of(live, ids, 16);
	EXPECT_EQ(n, 6);
	live__must("unload", "-q");
	EXPECT_EQ(live__left_behind(live), -1);
	for (int i = 0; i < n; i++) {
		/* The kernel frees them behind a grace period. */
		for (int tries = 0; tries < 500 && is_alive(ids[i]); tries++)
			usleep(10000);
		EXPECT_FALSE(is_alive(ids[i]));
	}
	live__must("unload", "-q"); /* nothing is there to unload */
}

TEST_MAIN()
