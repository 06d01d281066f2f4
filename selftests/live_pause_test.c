// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Pause and resume: a paused probe is detached, and no call gets a time that is not its own. */
#include <bpf/bpf.h>
#include <errno.h>
#include <otelbpf/meta.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec + time.tv_nsec / 1e9;
}

/* Links by id, of all kinds: what is attached. */
static int links_of(struct live *live)
{
	char path[PATH_MAX];
	int links = 0;
	__u32 id = 0;

	while (!bpf_link_get_next_id(id, &id)) {
		struct bpf_link_info info = {};
		__u32 len = sizeof(info);
		int fd = bpf_link_get_fd_by_id(id), prog;

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &len))
			info.prog_id = 0;
		close(fd);
		/* Whose program is it? */
		for (int i = 0; i < 6 && info.prog_id; i++) {
			static const char *const names[] = {"sys_enter",	"sys_exit",
							    "signal_deliver",	"process_exit",
							    "otel_filter_fork", "otel_filter_exit"};
			struct bpf_prog_info prog_info = {};

			snprintf(path, sizeof(path), "%s/syscalls/prog/%s", live->pin_dir,
				 names[i]);
			prog = bpf_obj_get(path);
			len = sizeof(prog_info);
			if (prog >= 0 && !bpf_obj_get_info_by_fd(prog, &prog_info, &len) &&
			    prog_info.id == info.prog_id)
				links++;
			close(prog);
		}
	}
	return links;
}

TEST(pause_detaches_and_resume_goes_on)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;
	struct led led;
	__u64 start;

	live__load(live);
	start = live__start_ns(live);
	led__start(&led, live);
	led__step(&led, true, true);
	EXPECT_EQ(links_of(live), 6);
	live__must("pause", "-q");
	/* A link's release may wait for a grace period. */
	for (int tries = 0; links_of(live) && tries < 200; tries++)
		usleep(10000);
	EXPECT_EQ(links_of(live), 0);
	led__step(&led, false, false);
	EXPECT_EQ(live__otelbpf(&output, "status"), 0);
	EXPECT_TRUE(strstr(output.out, "paused"));
	live__must("pause", "-q"); /* twice is once */
	led__step(&led, false, false);
	live__must("resume", "-q");
	EXPECT_EQ(links_of(live), 6);
	led__step(&led, true, true);
	live__must("resume", "-q");
	EXPECT_EQ(links_of(live), 6);
	led__step(&led, true, true);
	EXPECT_EQ(live__start_ns(live), start);
	led__end(&led);
}

/* Until all that was written has been read. */
static void wait_empty(int fd)
{
	int left = 1;

	while (left) {
		ASSERT_EQ(ioctl(fd, FIONREAD, &left), 0);
		usleep(500);
	}
}

/*
 * A call that is under way at the pause, at the resume, or over both has no known duration. It is
 * not measured, the calls before and after it are, each with its own duration.
 */
TEST(call_in_flight_over_a_pause)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	double first, fourth, at_most;
	struct otlp_point p = {};
	int fd[2];
	pid_t pid;

	live__load(live);
	ASSERT_EQ(pipe(fd), 0);
	first = now();
	pid = live__spawn_workload(live, "a", fd[0], (const char *const[]){"read", "5", NULL});
	/* 1: measured */
	live__wait_blocked(pid, SYS_read);
	usleep(10000);
	ASSERT_EQ(write(fd[1], "1", 1), 1);
	wait_empty(fd[0]);
	live__wait_blocked(pid, SYS_read);
	first = now() - first;
	/* 2: over the whole pause */
	live__must("pause", "-q");
	usleep(200000);
	live__must("resume", "-q");
	ASSERT_EQ(write(fd[1], "2", 1), 1);
	wait_empty(fd[0]);
	/* 3: begins before the pause and ends in it; 4 begins in it and ends after it */
	live__wait_blocked(pid, SYS_read);
	live__must("pause", "-q");
	usleep(100000);
	ASSERT_EQ(write(fd[1], "3", 1), 1);
	wait_empty(fd[0]);
	live__wait_blocked(pid, SYS_read);
	live__must("resume", "-q");
	usleep(100000);
	fourth = now();
	ASSERT_EQ(write(fd[1], "4", 1), 1);
	wait_empty(fd[0]);
	live__wait_blocked(pid, SYS_read);
	usleep(110000);
	/* 5: measured */
	ASSERT_EQ(write(fd[1], "5", 1), 1);
	EXPECT_EQ(live__wait(pid), 0);
	at_most = now() - fourth;
	if (first > at_most)
		at_most = first;

	root = live__export_file(live);
	ASSERT_EQ(otlp_json__find(root, "system.syscall.duration", &p, "syscall.name", "read"), 1);
	EXPECT_EQ(otlp_json__count(p.point), 2);
	EXPECT_EQ(otlp_json__bucket_total(p.point), 2);
	/* The fifth one waited from the fourth's end on. */
	EXPECT_GE(otlp_json__f64(p.point, "max"), 0.1);
	EXPECT_LE(otlp_json__f64(p.point, "max"), at_most);
	live__expect_sum(root, "system.syscall.returned", 2);
	live__expect_sum(root, "system.syscall.unreturned", 1);
}

/* A task stopped in a call over the pause: the restarted call is not the one of before. */
TEST(call_stopped_over_a_pause)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct otlp_point p = {};
	int fd[2], status;
	double resumed;
	pid_t pid;

	live__load(live);
	ASSERT_EQ(pipe(fd), 0);
	pid = live__spawn_workload(live, "a", fd[0], (const char *const[]){"read", "2", NULL});
	live__wait_blocked(pid, SYS_read);
	kill(pid, SIGSTOP);
	ASSERT_EQ(waitpid(pid, &status, WUNTRACED), pid);
	live__must("pause", "-q");
	usleep(300000);
	live__must("resume", "-q");
	resumed = now();
	kill(pid, SIGCONT);
	ASSERT_EQ(waitpid(pid, &status, WCONTINUED), pid);
	usleep(20000);
	live__wait_blocked(pid, SYS_read);
	ASSERT_EQ(write(fd[1], "12", 2), 2);
	EXPECT_EQ(live__wait(pid), 0);
	resumed = now() - resumed;
	root = live__export_file(live);
	/* Restarted after the resume, the first is seen from there on. */
	ASSERT_EQ(otlp_json__find(root, "system.syscall.duration", &p, "syscall.name", "read"), 1);
	EXPECT_EQ(otlp_json__count(p.point), 2);
	EXPECT_LE(otlp_json__f64(p.point, "max"), resumed);
	live__expect_sum(root, "system.syscall.unreturned", 1);
}

/* The processes that the filter has entries for, at most @max; returns how many. */
static int filtered(struct live *live, __u64 *pids, int max)
{
	struct otel_filter_key key, *prev = NULL;
	int fd = live__map(live, "filters"), n = 0;

	while (!bpf_map_get_next_key(fd, prev, &key)) {
		prev = &key;
		if (key.kind == OTEL_FILTER_PID && n < max)
			pids[n++] = key.id;
	}
	close(fd);
	return n;
}

static bool has(const __u64 *pids, int n, __u64 pid)
{
	while (n--)
		if (pids[n] == pid)
			return true;
	return false;
}

/* Forks and exits during the pause are caught up with. */
static void catch_up(bool reload)
{
	static const struct calls expected[] = {
		CALLS(getppid, 10 + 100 + 1000), CALLS(clone, 2), CALLS(wait4, 3), {}};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char path[PATH_MAX], pid_text[16];
	struct steps *steps = live__steps(live, path);
	__u64 before[8], after[8];
	pid_t pid;

	live__load(live);
	pid = live__start_workload(live, "a", "-s", path, "unseen");
	steps__wait_ready(steps);
	snprintf(pid_text, sizeof(pid_text), "%d", pid);
	live__must("filter", "add", "pid", pid_text, "--children", "-q");
	steps__do(steps);
	ASSERT_EQ(filtered(live, before, 8), 3);
	EXPECT_TRUE(has(before, 3, pid));

	live__must("pause", "-q");
	steps__do(steps);
	EXPECT_EQ(filtered(live, after, 8), 3);
	if (reload)
		live__must("load", "-q", SYSCALLS_OBJECT);
	live__must("resume", "-q");
	ASSERT_EQ(filtered(live, after, 8), 3);
	EXPECT_TRUE(has(after, 3, pid));
	for (int i = 0; i < 3; i++)
		if (before[i] != (__u64)pid)
			EXPECT_TRUE(!has(after, 3, before[i]));

	__atomic_store_n(&steps->go, 3, __ATOMIC_SEQ_CST);
	EXPECT_EQ(live__wait(pid), 0);
	root = live__export_file(live);
	live__expect_calls(live, root, "a", expected);
	live__expect_totals(root, 10 + 100 + 1000 + 2 + 3, 0, 3);
	live__expect_no_losses(root);
	/* All have exited, and still it is they alone that are asked for. */
	EXPECT_EQ(filtered(live, after, 8), 0);
	live__must("pause", "-q");
	live__must("resume", "-q");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	json_object_put(root);
	root = live__export_file(live);
	live__expect_sum(root, "system.syscall.returned", 10 + 100 + 1000 + 2 + 3);
}

TEST(forks_and_exits_over_a_pause)
{
	catch_up(false);
}

TEST(forks_and_exits_over_a_pause_with_a_load)
{
	catch_up(true);
}

TEST_MAIN()
