// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whose functions are probed: the processes of a cgroup, programs that come later, and nobody any
 * more when it takes too much. Programs are copies of tools/allocate, which nobody else runs and
 * which is linked statically.
 */
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "samples.h"

#define MALLOC_OBJECT OBJECT_DIR "/progs/malloc.bpf.o"
#define ALLOCATE BUILD_DIR "/selftests/tools/allocate"
#define ANSWER_MS 60000
#define MIX_ALLOCATIONS 509 /* what tools/allocate's mix() makes */

struct tool {
	pid_t pid;
	int in, out;
};

static void tool__wait(struct tool *tool)
{
	struct pollfd answer = {.fd = tool->out, .events = POLLIN};
	char byte;

	ASSERT_EQ(poll(&answer, 1, ANSWER_MS), 1);
	ASSERT_EQ(read(tool->out, &byte, 1), 1);
}

static void tool__step(struct tool *tool)
{
	ASSERT_EQ(write(tool->in, "x", 1), 1);
	tool__wait(tool);
}

/* It ends when we do: that is the end of its input. */
static void tool__start(struct tool *tool, struct live *live, const char *program,
			const char *cgroup, const char *first, const char *second)
{
	const char *argv[] = {program, first, second, NULL};
	int in[2], out[2], fd;
	char path[PATH_MAX];

	ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
	live__make_cgroup(live, cgroup);
	snprintf(path, sizeof(path), "%.4000s/cgroup.procs", live__cgroup(live, cgroup));
	tool->pid = fork();
	ASSERT_GE(tool->pid, 0);
	if (!tool->pid) {
		fd = open(path, O_WRONLY | O_CLOEXEC);
		if (fd < 0 || write(fd, "0", 1) != 1 || dup2(in[0], 0) < 0 || dup2(out[1], 1) < 0)
			_exit(126);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	close(in[0]);
	close(out[1]);
	tool->in = in[1];
	tool->out = out[0];
	tool__wait(tool);
}

static void tool__end(struct tool *tool)
{
	int status;

	close(tool->in);
	ASSERT_EQ(waitpid(tool->pid, &status, 0), tool->pid);
	EXPECT_EQ(status, 0);
	close(tool->out);
}

/* A file of its own, with a name of its own. */
static const char *copy_tool(struct live *live, const char *name, char path[PATH_MAX])
{
	struct output output;

	snprintf(path, PATH_MAX, "%s/%s", live->tmp, name);
	live__run(&output, NULL, NULL,
		  (const char *const[]){"/bin/cp", "--", ALLOCATE, path, NULL});
	ASSERT_EQ(output.code, 0);
	return path;
}

static __u64 allocations(struct live *live, const char *cgroup)
{
	_cleanup_json_ struct json_object *root = live__export_file(live);

	return otlp_json__total(root, "system.heap.allocations", "process.linux.cgroup",
				live__path(live, cgroup));
}

/* Until status says a word, or does not. */
static bool wait_for_status(const char *word, bool said)
{
	struct output output;

	for (int i = 0; i < 600; i++) {
		live__otelbpf(&output, "status", "malloc");
		ASSERT_EQ(output.code, 0);
		if (!!strstr(output.out, word) == said)
			return true;
		usleep(50000);
	}
	printf("status: %s\n", output.out);
	return false;
}

TEST_TIMEOUT(processes_of_a_cgroup, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	char first[PATH_MAX], second[PATH_MAX], set[PATH_MAX + 32];
	struct tool inside, below, outside, later;
	struct output output;
	pid_t watch;

	copy_tool(live, "first", first);
	copy_tool(live, "second", second);
	tool__start(&inside, live, first, "in", "mix", "mix");
	tool__start(&outside, live, first, "out", "mix", NULL);
	snprintf(set, sizeof(set), "malloc.cgroup=%s", live__cgroup(live, "in"));
	live__must("load", "-q", MALLOC_OBJECT, "--set", set, "--set", "malloc.sample_bytes=1",
		   "--set", "malloc.guard_percent=0");
	/* A process of a file that is covered, in a cgroup below, needs nobody. */
	tool__start(&below, live, first, "in/below", "mix", NULL);
	tool__step(&inside);
	tool__step(&outside);
	tool__step(&below);
	EXPECT_EQ(allocations(live, "in"), MIX_ALLOCATIONS);
	EXPECT_GE(allocations(live, "in/below"), MIX_ALLOCATIONS);
	EXPECT_EQ(allocations(live, "out"), 0);
	/* One of another file is seen by status, and covered by a watch. */
	live__otelbpf(&output, "status", "malloc");
	EXPECT_TRUE(!strstr(output.out, "not covered"));
	tool__start(&later, live, second, "in/later", "mix", NULL);
	live__otelbpf(&output, "status", "malloc");
	EXPECT_TRUE(strstr(output.out, "not covered") && strstr(output.out, second));
	watch = live__start_otelbpf("watch", "-q");
	EXPECT_TRUE(wait_for_status("not covered", false));
	tool__step(&later);
	EXPECT_EQ(allocations(live, "in/later"), MIX_ALLOCATIONS);
	EXPECT_EQ(live__stop(watch), 0);
	/* And nothing of the first file is counted twice. */
	tool__step(&inside);
	EXPECT_EQ(allocations(live, "in"), 2 * MIX_ALLOCATIONS);
	tool__end(&inside);
	tool__end(&outside);
	tool__end(&below);
	tool__end(&later);
	live__must("unload", "-q", "malloc");
	live__otelbpf(&output, "load", MALLOC_OBJECT, "--set", "malloc.cgroup=/no/such/cgroup");
	live__expect_failure(live, &output, 2, "/no/such/cgroup");
}

static void load_guarded(const struct tool *tool, const char *limit, const char *trap)
{
	char set[64];

	snprintf(set, sizeof(set), "malloc.pid=%d", tool->pid);
	live__must("load", "-q", MALLOC_OBJECT, "--set", set, "--set", "malloc.sample_bytes=1",
		   "--set", limit, "--set", trap);
}

/* Traps that are said to take a tenth of a millisecond are more than any program bears. */
TEST_TIMEOUT(guard_stops, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct output output;
	struct tool tool;
	__u64 counted;
	pid_t watch;

	tool__start(&tool, live, ALLOCATE, "heap", "burn", "mix");
	load_guarded(&tool, "malloc.guard_percent=5", "malloc.trap_ns=100000");
	live__otelbpf(&output, "status", "malloc");
	EXPECT_TRUE(strstr(output.out, "running"));
	tool__step(&tool);
	live__otelbpf(&output, "status", "malloc");
	EXPECT_TRUE(strstr(output.out, "stopped by its guard"));
	counted = allocations(live, "heap");
	EXPECT_GE(counted, 1);
	tool__step(&tool);
	EXPECT_EQ(allocations(live, "heap"), counted);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.guard.stopped"), 1);
	EXPECT_GE(otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason", "guard_stopped"),
		  MIX_ALLOCATIONS);
	/* Who watches takes the traps away, too. */
	watch = live__start_otelbpf("watch", "-q");
	EXPECT_TRUE(wait_for_status("paused", true));
	EXPECT_EQ(live__stop(watch), 0);
	/* Another chance. */
	live__must("resume", "-q", "malloc");
	live__otelbpf(&output, "status", "malloc");
	EXPECT_TRUE(strstr(output.out, "running"));
	tool__end(&tool);
}

/* Traps that are said to take nothing: it is the sampling that is too much. */
TEST_TIMEOUT(guard_thins, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct output output;
	struct tool tool;

	tool__start(&tool, live, ALLOCATE, "heap", "burn", NULL);
	load_guarded(&tool, "malloc.guard_percent=1", "malloc.trap_ns=0");
	tool__step(&tool);
	live__otelbpf(&output, "status", "malloc");
	EXPECT_TRUE(strstr(output.out, "samples one in"));
	root = live__export_file(live);
	EXPECT_GE(otlp_json__total(root, "otelbpf.guard.sample_bytes"), 4096);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.guard.stopped"), 0);
	/* Each counts for as much when it is freed. */
	EXPECT_EQ(otlp_json__total(root, "system.heap.allocated"),
		  otlp_json__total(root, "system.heap.freed"));
	EXPECT_EQ(otlp_json__total(root, "system.heap.live"), 0);
	tool__end(&tool);
}

TEST_MAIN()
