// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * System calls, counted exactly: each workload makes a known number of calls in a cgroup of its
 * own, and that is what the receiver has to have. The receiver is a file, then a Collector.
 */
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"

#define I386(call, number, n) \
	((struct calls){.name = #call, .nr = (number) | COMPAT_NR, .calls = (n)})
#define I386_FAILED(call, number, n, errno_name, times) \
	((struct calls){.name = #call,                  \
			.nr = (number) | COMPAT_NR,     \
			.calls = (n),                   \
			.error = #errno_name,           \
			.failed = (times)})

/**
 * struct workload - what tools/workload.c does by that name
 * @argv:       its arguments
 * @unreturned: calls that never return; exit_group is one
 * @code:       how it ends
 * @calls:      all that it makes
 */
static const struct workload {
	const char *argv[3];
	__u64 unreturned;
	int code;
	struct calls calls[16];
} workloads[] = {
	{.argv = {"mix"}, .unreturned = 1, .calls = {MIX(1)}},
	{.argv = {"threads"},
	 .unreturned = 1,
	 .calls = {CALLS(getppid, 80000), FAILED(close, 4000, EBADF, 4000)}},
	{.argv = {"fork", "7"},
	 .unreturned = 8,
	 .calls = {CALLS(getppid, 80), CALLS(clone, 7), CALLS(wait4, 7)}},
	{.argv = {"vfork"},
	 .unreturned = 2,
	 .calls = {CALLS(getppid, 3), CALLS(clone, 1), CALLS(wait4, 1)}},
	{.argv = {"exit-group"}, .unreturned = 4},
	/* One call, whatever interrupts it; the handler's own calls are others. */
	{.argv = {"restart"},
	 .unreturned = 1,
	 .calls = {TOOK(read, 1, 120), CALLS(getppid, 5), CALLS(rt_sigreturn, 5)}},
	{.argv = {"eintr"},
	 .unreturned = 1,
	 .calls = {FAILED(read, 6, EINTR, 5), CALLS(getppid, 5), CALLS(rt_sigreturn, 5)}},
	{.argv = {"norestart"},
	 .unreturned = 1,
	 .calls = {FAILED(ppoll, 1, EINTR, 1), FAILED(nanosleep, 1, EINTR, 1), CALLS(getppid, 2),
		   CALLS(rt_sigreturn, 2)}},
	{.argv = {"handler-reads"},
	 .unreturned = 1,
	 .calls = {TOOK(read, 2, 100), CALLS(rt_sigreturn, 1)}},
	{.argv = {"nested"},
	 .unreturned = 1,
	 .calls = {CALLS(read, 1), TOOK(readv, 1, 50), CALLS(getppid, 1), CALLS(rt_sigreturn, 2)}},
	{.argv = {"longjmp"}, .unreturned = 2, .calls = {CALLS(read, 1)}},
	{.argv = {"longjmp-return"},
	 .unreturned = 2,
	 .calls = {CALLS(read, 1), CALLS(rt_sigreturn, 1)}},
	{.argv = {"stop"}, .unreturned = 1, .calls = {TOOK(nanosleep, 1, 1000)}},
	{.argv = {"stop-read"}, .unreturned = 1, .calls = {TOOK(read, 1, 130)}},
	/* However many numbers, one series. */
	{.argv = {"flood"},
	 .unreturned = 1,
	 .calls = {{.name = "_OTHER",
		    .nr = OTHER_NR,
		    .calls = FLOOD_CALLS,
		    .error = "ENOSYS",
		    .failed = FLOOD_CALLS}}},
	{.argv = {"kill"}, .unreturned = 1, .code = -SIGKILL, .calls = {CALLS(getppid, 2)}},
	{.argv = {"migrate"}, .unreturned = 1, .calls = {TOOK(read, 10, 200)}},
	{.argv = {"compat"},
	 .unreturned = 1,
	 .calls = {I386(getpid, 20, 100), I386_FAILED(close, 6, 10, EBADF, 10), CALLS(getppid, 5)}},
};
#define WORKLOADS (sizeof(workloads) / sizeof(workloads[0]))

struct sums {
	__u64 returned, failed, unreturned;
};

static void add_up(const struct workload *w, struct sums *sums)
{
	for (const struct calls *call = w->calls; call->name; call++) {
		sums->returned += call->calls;
		sums->failed += call->failed;
	}
	sums->unreturned += w->unreturned;
}

/* Return: false when the kernel lacks what the workload needs. */
static bool run(struct live *live, const struct workload *w)
{
	int code = live__wait(live__spawn_workload(live, w->argv[0], -1, w->argv));

	if (code == 77)
		return false;
	EXPECT_EQ(code, w->code);
	return true;
}

static void expect_sums(struct json_object *root, const struct sums *sums)
{
	live__expect_totals(root, sums->returned, sums->failed, sums->unreturned);
	live__expect_no_losses(root);
}

static void one(const char *name)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	const struct workload *w = workloads;
	struct sums sums = {};

	while (strcmp(w->argv[0], name))
		w++;
	live__load(live);
	if (!run(live, w))
		SKIP("this kernel does not run 32-bit programs");
	root = live__export_file(live);
	live__expect_calls(live, root, name, w->calls);
	add_up(w, &sums);
	expect_sums(root, &sums);
}

#define WORKLOAD(function, name) \
	TEST(function)           \
	{                        \
		one(name);       \
	}

WORKLOAD(successes_and_failures, "mix")
WORKLOAD(threads_on_all_cpus, "threads")
WORKLOAD(fork_chain, "fork")
WORKLOAD(vfork, "vfork")
WORKLOAD(exit_group_ends_blocked_threads, "exit-group")
WORKLOAD(restarted_call_is_one, "restart")
WORKLOAD(interrupted_call_fails, "eintr")
WORKLOAD(calls_that_never_restart, "norestart")
WORKLOAD(handler_makes_the_same_call, "handler-reads")
WORKLOAD(numbers_of_no_call, "flood")
WORKLOAD(handler_is_interrupted, "nested")
WORKLOAD(handler_leaves_by_longjmp, "longjmp")
WORKLOAD(handler_returns_after_longjmp, "longjmp-return")
WORKLOAD(stopped_sleep_is_one, "stop")
WORKLOAD(stopped_read_is_one, "stop-read")
WORKLOAD(killed_in_a_call, "kill")
WORKLOAD(migrated_in_a_call, "migrate")
WORKLOAD(caller_of_32_bits, "compat")

/* What a jump left behind is not continued by another call: no duration but its own. */
TEST(call_after_longjmp_has_its_own_duration)
{
	static const char *const names[] = {"longjmp", "longjmp-return"};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct otlp_point p = {};

	live__load(live);
	for (int i = 0; i < 2; i++)
		EXPECT_EQ(live__workload(live, names[i], names[i]), 0);
	root = live__export_file(live);
	for (int i = 0; i < 2; i++) {
		ASSERT_EQ(otlp_json__find(root, "system.syscall.duration", &p,
					  "process.linux.cgroup", live__path(live, names[i]),
					  "syscall.name", "read"),
			  1);
		/* The read that was left took 300 ms; this one had its byte waiting. */
		EXPECT_LT(otlp_json__sum(p.point), 0.3);
	}
}

/*
 * exec brings libc's start along. Its calls are always the same, so what a chain of N makes
 * more than one start's is N times the same.
 */
static __u64 calls_of(struct json_object *root, struct live *live, const char *name)
{
	return otlp_json__total(root, "system.syscall.duration", "process.linux.cgroup",
				live__path(live, name));
}

TEST(exec_chain)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	static const char *const names[] = {"1", "2", "8"};
	static const int depths[] = {1, 2, 8};
	__u64 start;

	live__load(live);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(live__workload(live, names[i], "exec", names[i]), 0);
	root = live__export_file(live);
	for (int i = 0; i < 3; i++) {
		__u64 n = depths[i];

		EXPECT_EQ(live__count(live, root, names[i], "getppid"), 3 * (n + 1));
		EXPECT_EQ(live__count(live, root, names[i], "execve"), 2 * n);
		EXPECT_EQ(otlp_json__total(root, "system.syscall.errors", "syscall.name", "execve",
					   "error.type", "ENOENT", "process.linux.cgroup",
					   live__path(live, names[i])),
			  n);
	}
	start = calls_of(root, live, "2") - calls_of(root, live, "1");
	EXPECT_GT(start, 5);
	EXPECT_EQ(calls_of(root, live, "8"), calls_of(root, live, "2") + 6 * start);
	live__expect_sum(root, "system.syscall.unreturned", 3);
	live__expect_no_losses(root);
}

TEST(exec_in_a_thread)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	live__load(live);
	EXPECT_EQ(live__workload(live, "thread", "exec-thread"), 0);
	EXPECT_EQ(live__workload(live, "chain", "exec", "1"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "thread", "getppid"), 5 + 3);
	EXPECT_EQ(live__count(live, root, "thread", "execve"), 1);
	EXPECT_EQ(live__count(live, root, "thread", "ppoll"), 0);
	/* The chain of one makes 3 getppid, a bad execve, one that works, then starts as here. */
	EXPECT_EQ(calls_of(root, live, "thread") - 6, calls_of(root, live, "chain") - 5);
	/* The first thread's ppoll, and two times exit_group. */
	live__expect_sum(root, "system.syscall.unreturned", 3);
	live__expect_no_losses(root);
}

TEST(distinct_calls)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	int compat;

	live__load(live);
	EXPECT_EQ(live__workload(live, "a", "spread", "3"), 0);
	EXPECT_EQ(live__workload(live, "b", "spread", "2"), 0);
	compat = live__workload(live, "c", "compat");
	EXPECT_TRUE(compat == 0 || compat == 77);
	root = live__export_file(live);
	/* i386's close is another call than ours. */
	live__expect_sum(root, "system.syscall.distinct", 16 + (compat ? 0 : 3));
	EXPECT_EQ(otlp_json__total(root, "system.syscall.errors", "error.type", "EBADF"),
		  16 * 5 + (compat ? 0 : 10));
}

/* All at once, one series for all cgroups. */
TEST(without_cgroups)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	live__load(live, "--set", "syscalls.per_cgroup=0");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	EXPECT_EQ(live__workload(live, "b", "mix", "2"), 0);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, "system.syscall.duration", "process.linux.cgroup", NULL,
				   "syscall.name", "getppid"),
		  3000);
	EXPECT_EQ(otlp_json__find(root, "system.syscall.duration", NULL), 10);
	EXPECT_EQ(otlp_json__total(root, "system.syscall.errors", "syscall.name", "openat",
				   "error.type", "ENOTDIR"),
		  60);
	live__expect_totals(root, 3 * MIX_CALLS, 3 * MIX_FAILS, 2);
	live__expect_no_losses(root);
}

/* --- the receiver's side --------------------------------------------------------------------- */

static void to_collector(const char *protocol, const char *compression)
{
	struct collector *collector __attribute__((cleanup(collector__freep))) = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	bool done[WORKLOADS];
	struct sums sums = {};

	live__load(live);
	for (size_t i = 0; i < WORKLOADS; i++) {
		done[i] = run(live, &workloads[i]);
		if (done[i])
			add_up(&workloads[i], &sums);
	}
	root = live__export_collector(live, collector, protocol, compression);
	for (size_t i = 0; i < WORKLOADS; i++)
		if (done[i])
			live__expect_calls(live, root, workloads[i].argv[0], workloads[i].calls);
	expect_sums(root, &sums);
}

TEST_TIMEOUT(collector_gets_protobuf, 90)
{
	to_collector("http/protobuf", "none");
}

TEST_TIMEOUT(collector_gets_json, 90)
{
	to_collector("http/json", "none");
}

TEST_TIMEOUT(collector_gets_gzip, 90)
{
	to_collector("http/protobuf", "gzip");
}

TEST_TIMEOUT(collector_gets_gzipped_json, 90)
{
	to_collector("http/json", "gzip");
}

TEST_MAIN()
