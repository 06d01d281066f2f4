// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Whose functions are probed: the processes of a cgroup, programs that come later, and nobody any
 * more when it takes too much. Programs are copies of tools/allocate, which nobody else runs and
 * which is linked statically.
 */
#include <bpf/bpf.h>
#include <otelbpf/uprobe.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "allocate.h"
#include "ktap.h"
#include "samples.h"

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
	TOOL_IN(&inside, live, first, "in", "mix", "mix");
	TOOL_IN(&outside, live, first, "out", "mix");
	snprintf(set, sizeof(set), "malloc.cgroup=%s", live__cgroup(live, "in"));
	live__must("load", "-q", MALLOC_OBJECT, "--set", set, "--set", "malloc.sample_bytes=1",
		   "--set", "malloc.guard_percent=0");
	/* A process of a file that is covered, in a cgroup below, needs nobody. */
	TOOL_IN(&below, live, first, "in/below", "mix");
	tool__step(&inside);
	tool__step(&outside);
	tool__step(&below);
	EXPECT_EQ(allocations(live, "in"), MIX_ALLOCATIONS);
	EXPECT_GE(allocations(live, "in/below"), MIX_ALLOCATIONS);
	EXPECT_EQ(allocations(live, "out"), 0);
	/* One of another file is seen by status, and covered by a watch. */
	live__otelbpf(&output, "status", "malloc");
	EXPECT_TRUE(!strstr(output.out, "not covered"));
	TOOL_IN(&later, live, second, "in/later", "mix");
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
	live__must("load", "-q", MALLOC_OBJECT, "--set", tool->set_pid, "--set",
		   "malloc.sample_bytes=1", "--set", limit, "--set", trap);
}

static struct otel_guard guard_now(struct live *live)
{
	int fd = live__map_of(live, "malloc", "guard");
	struct otel_guard guard = {};
	__u32 zero = 0;

	ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &guard), 0);
	close(fd);
	return guard;
}

/* Nanoseconds, as they were measured when the probe was attached to a file. */
static double trap_in(struct live *live, const char *file)
{
	char set[PATH_MAX + 32];
	double ns;

	snprintf(set, sizeof(set), "malloc.binary=%s", file);
	live__must("load", "-q", MALLOC_OBJECT, "--set", set);
	ns = guard_now(live).trap_ns;
	live__must("unload", "-q", "malloc");
	printf("%s: a trap takes %.0f ns\n", file, ns);
	return ns;
}

/* One trap, or two: the guard counts what they are found to cost on this machine. */
TEST_TIMEOUT(guard_measures_traps, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	double emulated, stepped;
	char set[PATH_MAX + 32];
	struct otel_guard guard;
	struct tool tool;
	pid_t watch;

	emulated = trap_in(live, ALLOCATE);
	stepped = trap_in(live, BUILD_DIR "/selftests/tools/libstepped.so");
	EXPECT_GT(emulated, 50);
	/* arm64's kernel steps nearly all that a function begins with. */
#ifdef __x86_64__
	EXPECT_GT(stepped, 1.2 * emulated);
#else
	EXPECT_GT(stepped, 50);
#endif
	/* What a watch attaches later is measured, too. */
	live__make_cgroup(live, "later");
	snprintf(set, sizeof(set), "malloc.cgroup=%s", live__cgroup(live, "later"));
	live__must("load", "-q", MALLOC_OBJECT, "--set", set);
	EXPECT_EQ(guard_now(live).trap_ns, 0);
	TOOL_IN(&tool, live, ALLOCATE, "later", "mix");
	watch = live__start_otelbpf("watch", "-q");
	EXPECT_TRUE(wait_for_status("in 1 file", true));
	EXPECT_GT(guard_now(live).trap_ns, 0);
	EXPECT_EQ(live__stop(watch), 0);
	tool__end(&tool);
	live__must("unload", "-q", "malloc");
	/* With next to nothing sampled traps are all that there is. */
	TOOL_IN(&tool, live, ALLOCATE, "heap", "burn");
	live__must("load", "-q", MALLOC_OBJECT, "--set", tool.set_pid, "--set",
		   "malloc.sample_bytes=1000000000", "--set", "malloc.guard_percent=100");
	tool__step(&tool);
	guard = guard_now(live);
	printf("%llu of %llu ns\n", guard.spent_ns, guard.ran_ns);
	EXPECT_GT(guard.spent_ns, guard.ran_ns / 50);
	tool__end(&tool);
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

	TOOL_IN(&tool, live, ALLOCATE, "heap", "burn", "mix");
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

/* Traps that are said to take next to nothing: it is the sampling that is too much. */
TEST_TIMEOUT(guard_thins, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct output output;
	struct tool tool;

	TOOL_IN(&tool, live, ALLOCATE, "heap", "burn");
	load_guarded(&tool, "malloc.guard_percent=1", "malloc.trap_ns=1");
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
