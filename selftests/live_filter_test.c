// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Filters: what is not to be measured is not, and the rest is, exactly. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"

static const struct calls nothing[] = {{}};
static const struct calls mix[] = {MIX(1), {}};

static void filter(const char *what, const char *kind, const char *value)
{
	live__must("filter", what, kind, value, "-q");
}

/* What was counted since the last call, per cgroup; then from nothing again. */
static void expect_and_reset(struct live *live, const char *const *names,
			     const struct calls *const *calls)
{
	_cleanup_json_ struct json_object *root = live__export_file(live);

	for (; *names; names++, calls++)
		live__expect_calls(live, root, *names, *calls);
	live__expect_no_losses(root);
	live__reset(live);
}

static void mix_in(struct live *live, const char *const *names)
{
	for (; *names; names++)
		EXPECT_EQ(live__workload(live, *names, "mix"), 0);
}

TEST(cgroup_with_descendants)
{
	static const char *const names[] = {"", "a", "a/x", "a/x/y", "b", "a2", NULL};
	static const struct calls *const all[] = {mix, mix, mix, mix, mix, mix};
	static const struct calls *const below_a[] = {nothing, mix, mix, mix, nothing, nothing};
	_cleanup_live_ struct live *live = live__begin();

	live__load(live);
	mix_in(live, names);
	expect_and_reset(live, names, all);

	filter("add", "cgroup", live__cgroup(live, "a"));
	filter("del", "cgroup", live->cgroup);
	mix_in(live, names);
	expect_and_reset(live, names, below_a);

	filter("add", "cgroup", live->cgroup);
	filter("del", "cgroup", live__cgroup(live, "a"));
	mix_in(live, names);
	expect_and_reset(live, names, all);
}

TEST(cgroup_made_later)
{
	static const char *const names[] = {"a/new", "b/new", NULL};
	static const struct calls *const expected[] = {mix, nothing};
	_cleanup_live_ struct live *live = live__begin();

	live__load(live);
	live__make_cgroup(live, "a");
	filter("add", "cgroup", live__cgroup(live, "a"));
	filter("del", "cgroup", live->cgroup);
	mix_in(live, names);
	expect_and_reset(live, names, expected);
}

TEST(innermost_cgroup_decides)
{
	static const char *const names[] = {"", "a", "a/x", "a/x/y", "b", NULL};
	static const struct calls *const denied[] = {mix, nothing, nothing, nothing, mix};
	static const struct calls *const but_x[] = {mix, nothing, mix, mix, mix};
	static const struct calls *const but_y[] = {mix, nothing, mix, nothing, mix};
	_cleanup_live_ struct live *live = live__begin();

	live__load(live);
	live__make_cgroup(live, "a/x/y");
	live__must("filter", "add", "cgroup", live__cgroup(live, "a"), "--deny", "-q");
	mix_in(live, names);
	expect_and_reset(live, names, denied);

	filter("add", "cgroup", live__cgroup(live, "a/x"));
	mix_in(live, names);
	expect_and_reset(live, names, but_x);

	live__must("filter", "add", "cgroup", live__cgroup(live, "a/x/y"), "--deny", "-q");
	mix_in(live, names);
	expect_and_reset(live, names, but_y);
}

/* A task that moves is measured where it is. */
TEST(process_moves_between_cgroups)
{
	static const struct calls inside[] = {CALLS(getppid, 20), {}};
	static const struct calls later[] = {CALLS(getppid, 10), {}};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char path[PATH_MAX], pid_text[16];
	struct steps *steps = live__steps(live, path);
	const char *stations[] = {"in", "out", "in/below"};
	pid_t pid;

	live__load(live);
	for (int i = 0; i < 3; i++)
		live__make_cgroup(live, stations[i]);
	filter("add", "cgroup", live__cgroup(live, "in"));
	filter("del", "cgroup", live->cgroup);
	pid = live__start_workload(live, "in", "-s", path, "steps", "10", "0");
	steps__wait_ready(steps);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	steps__do(steps);
	steps__do(steps);
	for (int i = 1; i < 3; i++) {
		char procs[PATH_MAX + 600];
		int fd;

		snprintf(procs, sizeof(procs), "%s/cgroup.procs", live__cgroup(live, stations[i]));
		fd = open(procs, O_WRONLY);
		ASSERT_GE(fd, 0);
		ASSERT_GT(write(fd, pid_text, strlen(pid_text)), 0);
		close(fd);
		steps__do(steps);
	}
	steps__end(steps);
	EXPECT_EQ(live__wait(pid), 0);
	root = live__export_file(live);
	live__expect_calls(live, root, "in", inside);
	live__expect_calls(live, root, "out", nothing);
	live__expect_calls(live, root, "in/below", later);
}

/* --- changes while it runs -------------------------------------------------------------------- */

TEST(pid)
{
	_cleanup_live_ struct live *live = live__begin();
	struct led led;

	live__load(live);
	led__start(&led, live);
	led__step(&led, true, true);
	filter("add", "pid", "1"); /* another one only */
	led__step(&led, false, false);
	filter("add", "pid", led.pid_text);
	led__step(&led, true, true);
	filter("del", "pid", led.pid_text);
	led__step(&led, false, false);
	filter("del", "pid", "1");
	led__step(&led, true, true);
	live__must("filter", "add", "pid", led.pid_text, "--deny", "-q");
	led__step(&led, false, false);
	live__must("filter", "clear", "pid", "-q");
	led__step(&led, true, true);
	led__end(&led);
}

TEST(comm)
{
	_cleanup_live_ struct live *live = live__begin();
	struct led led;

	live__load(live);
	led__start(&led, live, "-n", "a name");
	filter("add", "comm", "a nam");
	led__step(&led, false, false);
	filter("add", "comm", "a name");
	led__step(&led, true, true);
	live__must("filter", "clear", "comm", "-q");
	live__must("filter", "add", "comm", "a name", "--deny", "-q");
	led__step(&led, false, false);
	filter("del", "comm", "a name");
	led__step(&led, true, true);
	led__end(&led);
}

TEST(uid)
{
	_cleanup_live_ struct live *live = live__begin();
	struct led led;

	live__load(live);
	led__start(&led, live, "-u", "4711");
	filter("add", "uid", "0");
	led__step(&led, false, false);
	filter("add", "uid", "4711");
	led__step(&led, true, true);
	filter("del", "uid", "0");
	led__step(&led, true, true);
	live__must("filter", "clear", "uid", "-q");
	live__must("filter", "add", "uid", "4711", "--deny", "-q");
	led__step(&led, false, false);
	live__must("filter", "clear", "uid", "-q");
	led__step(&led, true, true);
	led__end(&led);
}

TEST(system_calls)
{
	_cleanup_live_ struct live *live = live__begin();
	struct led led;

	live__load(live);
	led__start(&led, live);
	filter("add", "syscall", "close");
	led__step(&led, false, true);
	filter("add", "syscall", "getppid");
	led__step(&led, true, true);
	filter("del", "syscall", "close");
	led__step(&led, true, false);
	filter("del", "syscall", "getppid"); /* none left: no filter */
	led__step(&led, true, true);
	live__must("filter", "add", "syscall", "getppid", "--deny", "-q");
	led__step(&led, false, true);
	live__must("filter", "add", "syscall", "close", "--deny", "-q");
	led__step(&led, false, false);
	filter("del", "syscall", "getppid");
	led__step(&led, true, false);
	live__must("filter", "clear", "syscall", "-q");
	led__step(&led, true, true);
	led__end(&led);
}

TEST(kinds_must_all_pass)
{
	_cleanup_live_ struct live *live = live__begin();
	struct led led;

	live__load(live);
	led__start(&led, live, "-n", "led", "-u", "4711");
	filter("add", "comm", "led");
	filter("add", "uid", "4711");
	filter("add", "pid", led.pid_text);
	filter("add", "syscall", "close");
	led__step(&led, false, true);
	live__must("filter", "add", "uid", "4711", "--deny", "-q");
	led__step(&led, false, false);
	filter("add", "uid", "4711");
	led__step(&led, false, true);
	filter("del", "pid", led.pid_text);
	filter("add", "pid", "1");
	led__step(&led, false, false);
	live__must("filter", "clear", "-q");
	/* Now of everybody: only ours is looked at. */
	{
		_cleanup_json_ struct json_object *root = NULL;

		steps__do(led.steps);
		root = live__export_file(live);
		EXPECT_EQ(live__count(live, root, "led", "getppid"), 100);
		EXPECT_EQ(live__count(live, root, "led", "close"), 30);
	}
	led__end(&led);
}

/* Both names mean one: the native call and that of 32-bit callers. */
TEST(system_call_of_32_bits)
{
	static const struct calls expected[] = {
		{"getpid", 20 | COMPAT_NR, 100, NULL, 0, 0},
		{},
	};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	int code;

	live__load(live);
	filter("add", "syscall", "getpid");
	code = live__workload(live, "a", "compat");
	if (code == 77)
		SKIP("this kernel does not run 32-bit programs");
	EXPECT_EQ(code, 0);
	root = live__export_file(live);
	live__expect_calls(live, root, "a", expected);
}

static void family(bool children, __u64 getppids, __u64 clones, __u64 waits, __u64 unreturned)
{
	const struct calls expected[] = {
		CALLS(getppid, getppids),
		CALLS(clone, clones),
		CALLS(wait4, waits),
		{},
	};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char path[PATH_MAX], pid_text[16];
	struct steps *steps = live__steps(live, path);
	pid_t pid;

	live__load(live);
	pid = live__start_workload(live, "a", "-s", path, "family");
	steps__wait_ready(steps);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	live__must("filter", "add", "pid", pid_text, "-q", children ? "--children" : "-q");
	__atomic_store_n(&steps->go, 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(live__wait(pid), 0);
	root = live__export_file(live);
	live__expect_calls(live, root, "a", expected);
	live__expect_totals(root, getppids + clones + waits, 0, unreturned);
	live__expect_no_losses(root);

	/* Those that exited took their entries along. */
	{
		static struct output output;

		EXPECT_EQ(live__otelbpf(&output, "filter", "list"), 0);
		EXPECT_TRUE(strstr(output.out, "all of them have exited"));
	}
}

/* One clone is from before the filter. */
TEST(pid_alone)
{
	family(false, 10, 1 + 1, 2, 1);
}

TEST(pid_with_children)
{
	family(true, 10 + 10 + 100 + 100, 1 + 2, 3, 4);
}

TEST(fork_chain_below_a_pid)
{
	static const struct calls expected[] = {
		CALLS(getppid, 80), CALLS(clone, 7), CALLS(wait4, 7), {}};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char path[PATH_MAX], pid_text[16];
	struct steps *steps = live__steps(live, path);
	pid_t pid;

	live__load(live);
	pid = live__start_workload(live, "a", "-s", path, "fork", "7");
	steps__wait_ready(steps);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	live__must("filter", "add", "pid", pid_text, "--children", "-q");
	__atomic_store_n(&steps->go, 1, __ATOMIC_SEQ_CST);
	EXPECT_EQ(live__wait(pid), 0);
	root = live__export_file(live);
	live__expect_calls(live, root, "a", expected);
	live__expect_totals(root, 94, 0, 8);
}

TEST(filter_errors)
{
	static const struct {
		const char *args[5];
		int code;
	} bad[] = {
		{{"filter", "add", "syscall", "no_such_call"}, 2},
		{{"filter", "add", "colour", "red"}, 2},
		{{"filter", "add", "pid", "x"}, 2},
		{{"filter", "add", "pid"}, 2},
		{{"filter", "add", "cgroup", "/there/is/no/such/cgroup"}, 2},
		{{"filter", "del", "pid", "1"}, 7},
		{{"filter", "del", "syscall", "read"}, 7},
		{{"filter", "turn", "pid", "1"}, 2},
		{{"filter", "list", "--probe", "absent"}, 7},
	};
	_cleanup_live_ struct live *live = live__begin();
	static struct output before, output;

	live__load(live);
	EXPECT_EQ(live__otelbpf(&before, "filter", "list"), 0);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		live__program(&output, BUILD_DIR "/otelbpf", bad[i].args);
		if (!EXPECT_EQ(output.code, bad[i].code) || !EXPECT_EQ(live__lines(output.err), 1))
			printf("%s %s %s: %s", bad[i].args[1], bad[i].args[2], bad[i].args[3] ?: "",
			       output.err);
	}
	EXPECT_EQ(live__otelbpf(&output, "filter", "list"), 0);
	EXPECT_STREQ(output.out, before.out);
}

TEST_MAIN()
