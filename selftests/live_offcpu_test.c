// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Off-CPU profiles: programs tell how long they were blocked in which function, and the profile
 * says the same, within 2 %.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "samples.h"

#define TOLERANCE 0.02
#define BLOCK_MS 400 /* in each function */
#define TIMES 4
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

static void load(struct live *live)
{
	char filter[PATH_MAX + 16];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", "-q", OFFCPU_OBJECT, "--filter", filter);
}

static __u64 monotonic_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/*
 * A sleeper is blocked for at least the time that was asked for, and not longer than it took it
 * to come back and look at the clock. On an idle machine that is nearly the same; where others
 * share the CPU it may wait for its turn before it is blocked, when the timer runs already, and
 * after.
 */
static void expect_ns(const char *name, __u64 ns, double least, double most)
{
	printf("%s: %.3f ms, %.3f to %.3f expected\n", name, ns / 1e6, least / 1e6, most / 1e6);
	EXPECT_LE(least, most);
	EXPECT_GE(ns, least * (1 - TOLERANCE));
	EXPECT_LE(ns, most * (1 + TOLERANCE));
}

#define RAN "ran:"

static long long ran_ns(const struct truth *truth, const char *name)
{
	for (int i = 0; i < truth->n; i++)
		if (!strncmp(truth->names[i], RAN, strlen(RAN)) &&
		    !strcmp(truth->names[i] + strlen(RAN), name))
			return truth->values[i];
	return 0;
}

static void expect_blocked(struct live *live, const struct truth *truth)
{
	static const char *const full[] = {"table_full", "blocked_full", "stacks_full"};
	_cleanup_json_ struct json_object *requests = live__export_file(live);
	struct weight weights[TRUTHS_MAX];
	double least = BLOCK_MS * 1e6;

	for (int i = 0; i < truth->n; i++)
		weights[i] = (struct weight){.name = truth->names[i]};
	ASSERT_GT(profiles__weigh(requests, "blocker", "off_cpu", weights, truth->n), 0);
	/* What is counted as lost may be missing. */
	for (int i = 0; i < 2; i++)
		least -= otlp_json__total(requests, "otelbpf.losses", "otelbpf.loss.reason",
					  i ? "leave_unseen" : "return_unseen") *
			 1e6 * BLOCK_MS / TIMES;
	for (int i = 0; i < truth->n; i++) {
		if (!strncmp(truth->names[i], RAN, strlen(RAN)))
			continue;
		expect_ns(weights[i].name, weights[i].value, least - ran_ns(truth, truth->names[i]),
			  truth->values[i]);
	}
	/* A C library without frame pointers may cost outer frames, but never time. */
	for (size_t i = 0; i < sizeof(full) / sizeof(full[0]); i++)
		EXPECT_EQ(otlp_json__total(requests, "otelbpf.losses", "otelbpf.loss.reason",
					   full[i]),
			  0);
}

/* A thread that began to block at the time it told, and has only now ended with its process. */
static void expect_blocked_until_now(struct live *live, struct truth *truth)
{
	truth->values[0] = monotonic_ns() - truth->values[0];
	strcpy(truth->names[0], "block_for_good");
	expect_blocked(live, truth);
}

/* Threads of the workload that the probe holds for blocked. */
static int blocked_threads(struct live *live)
{
	return live__map_entries(live, "offcpu", "blocked");
}

/* nanosleep(2), ppoll(2), futex(2) that times out or is woken, read(2) of a pipe. */
TEST_TIMEOUT(ways_of_blocking, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct truth truth;

	load(live);
	truth__start(&truth, live, false, "blocker", "calls", "100", TEXT(TIMES));
	truth__wait(&truth);
	EXPECT_EQ(truth.n, 2 * 5);
	expect_blocked(live, &truth);
	EXPECT_EQ(blocked_threads(live), 0);
}

/* The start of the wait is the thread's, not the CPU's. */
TEST_TIMEOUT(comes_back_on_another_cpu, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct truth truth;

	if (sysconf(_SC_NPROCESSORS_ONLN) < 2)
		SKIP("one CPU");
	load(live);
	truth__start(&truth, live, false, "blocker", "migrate", TEXT(BLOCK_MS));
	truth__wait(&truth);
	expect_blocked(live, &truth);
}

TEST_TIMEOUT(process_exits_while_a_thread_is_blocked, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct truth truth;

	load(live);
	truth__start(&truth, live, false, "blocker", "exit", TEXT(BLOCK_MS));
	truth__wait(&truth);
	expect_blocked_until_now(live, &truth);
	EXPECT_EQ(blocked_threads(live), 0);
}

TEST_TIMEOUT(killed_while_blocked, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct truth truth;

	load(live);
	truth__start(&truth, live, false, "blocker", "killed");
	while (!truth__read(&truth, "before"))
		usleep(1000);
	live__wait_blocked(truth.pid, SYS_ppoll);
	usleep(BLOCK_MS * 1000);
	kill(truth.pid, SIGKILL);
	EXPECT_EQ(live__wait(truth.pid), -SIGKILL);
	expect_blocked_until_now(live, &truth);
	EXPECT_EQ(blocked_threads(live), 0);
}

/* --- a kernel thread -------------------------------------------------------------------------- */

/* It wakes by itself twice a second (mm/compaction.c), and there is one on every machine. */
#define KTHREAD "kcompactd0"

static pid_t find_process(const char *comm)
{
	char command[64];
	pid_t pid = 0;
	FILE *pipe;

	snprintf(command, sizeof(command), "pidof %s", comm);
	pipe = popen(command, "re");
	ASSERT_TRUE(pipe);
	if (fscanf(pipe, "%d", &pid) != 1)
		pid = 0;
	pclose(pipe);
	return pid;
}

/**
 * struct thread_state - of a thread that is blocked
 * @blocks: how often it had blocked by then
 * @ns:     when it was seen to have blocked again
 * @cpu_ns: CPU time
 */
struct thread_state {
	unsigned long long blocks, ns, cpu_ns;
};

static unsigned long long count_blocks(pid_t pid)
{
	unsigned long long blocks = 0;
	char path[64], line[256];
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file))
		sscanf(line, "voluntary_ctxt_switches: %llu", &blocks);
	fclose(file);
	return blocks;
}

/* Waits until it blocks the next time, and says when that was. */
static void next_block(pid_t pid, struct thread_state *state)
{
	unsigned long long before = count_blocks(pid);
	char path[64];
	FILE *file;

	while ((state->blocks = count_blocks(pid)) == before)
		usleep(500);
	state->ns = monotonic_ns();
	snprintf(path, sizeof(path), "/proc/%d/schedstat", pid);
	file = fopen(path, "re");
	ASSERT_TRUE(file);
	ASSERT_EQ(fscanf(file, "%llu", &state->cpu_ns), 1);
	fclose(file);
}

/*
 * Measures six of its blocks and says how long they were. The commands before and after have
 * to be over while it is blocked. Return: whether they were.
 */
static bool measure_blocks(pid_t pid, __u64 *real)
{
	struct thread_state first, last;

	live__must("load", "-q", OFFCPU_OBJECT, "--filter", "comm=nobody");
	next_block(pid, &first);
	live__must("filter", "add", "-q", "comm", KTHREAD);
	if (count_blocks(pid) != first.blocks)
		return false;
	next_block(pid, &first);
	for (int i = 0; i < 6; i++)
		next_block(pid, &last);
	live__must("pause", "-q");
	*real = last.ns - first.ns - (last.cpu_ns - first.cpu_ns);
	return count_blocks(pid) == last.blocks && last.blocks == first.blocks + 6;
}

TEST_TIMEOUT(kernel_thread, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	struct weight weight = {.name = "kcompactd"};
	__u64 total, real;
	pid_t pid;

	/* No cgroup of ours has a kernel thread, and other processes are none of our business. */
	if (!is_emulated())
		SKIP("not a kernel of our own");
	pid = find_process(KTHREAD);
	if (!pid)
		SKIP("no " KTHREAD " here");
	while (!measure_blocks(pid, &real))
		live__must("unload", "-q");
	requests = live__export_file(live);
	total = profiles__weigh(requests, KTHREAD, "off_cpu", &weight, 1);
	/* All of it below the thread's function. */
	EXPECT_EQ(weight.value, total);
	expect_ns(KTHREAD, total, real, real);
}

TEST_MAIN()
