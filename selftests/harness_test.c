// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Does the harness fail when it should? The tests whose names start with an underscore go wrong,
 * each in its own way; the others run those in a copy of this program and read what it says.
 */
#include <errno.h>
#include <limits.h>
#include <math.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"

/* --- what goes wrong ------------------------------------------------------------------------- */

TEST(_pass)
{
	printf("said on passing\n");
	EXPECT_EQ(1, 1);
}

TEST(_mismatch)
{
	uint64_t big = UINT64_MAX;
	char name[] = "tab\there";
	bool go_on;

	printf("out %d\n", 1);
	fprintf(stderr, "err 2\n");
	printf("no end of line");
	go_on = EXPECT_EQ(3, 4);
	EXPECT_FALSE(go_on);
	EXPECT_EQ(big, -1);
	EXPECT_GT(-1, 1u);
	EXPECT_LT(2.5, 2);
	EXPECT_LE(NAN, 1.0);
	EXPECT_STREQ(name, "other");
	EXPECT_STREQ(name, NULL);
	EXPECT_STRNE("same", "same");
	EXPECT_EQ((void *)0x10, NULL);
	EXPECT_TRUE(1 == 2);
	EXPECT_FALSE(7);
	ASSERT_GE(1, 2);
	printf("not reached\n");
}

TEST(_crash)
{
	printf("before the crash\n");
	signal(SIGSEGV, SIG_DFL); /* ASan would make an exit of it */
	raise(SIGSEGV);
}

TEST_TIMEOUT(_hang, 1)
{
	printf("before the hang\n");
	for (;;)
		pause();
}

TEST(_skip)
{
	printf("said before skipping\n");
	SKIP("needs %s,\n%d of them", "hands", 2);
}

TEST(_skip_after_failure)
{
	EXPECT_EQ(1, 2);
	SKIP("too late");
}

TEST(_exit_early)
{
	exit(0);
}

static void exit_with_3(void)
{
	_exit(3);
}

TEST(_exit_code_at_end)
{
	atexit(exit_with_3);
}

TEST(_fail_in_child)
{
	if (!fork()) {
		EXPECT_EQ(5, 6);
		_exit(0);
	}
	wait(NULL);
}

TEST(_leave_behind)
{
	int ready[2];
	pid_t pid;
	char c;

	ASSERT_EQ(pipe(ready), 0);
	pid = fork();
	if (!pid) {
		signal(SIGTERM, SIG_IGN);
		c = 'r';
		if (write(ready[1], &c, 1) == 1)
			for (;;)
				pause();
		_exit(1);
	}
	ASSERT_EQ(read(ready[0], &c, 1), 1);
	printf("left %d\n", (int)pid);
}

TEST(_flood)
{
	static char line[1024];

	memset(line, 'x', sizeof(line) - 1);
	for (int i = 0; i < 4096; i++)
		puts(line);
	EXPECT_TRUE(false);
}

/* --- who looks at it ------------------------------------------------------------------------- */

struct result {
	int code;
	char *text;
};

/* Run this program with arguments; its standard output, standard error and exit code. */
static struct result self(char *const *args)
{
	char path[PATH_MAX] = "";
	struct result r = {.code = -1};
	size_t len, room = 0;
	int status, fd[2];
	ssize_t n;
	pid_t pid;

	ASSERT_GT(readlink("/proc/self/exe", path, sizeof(path) - 1), 0);
	ASSERT_EQ(pipe(fd), 0);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		dup2(fd[1], STDOUT_FILENO);
		dup2(fd[1], STDERR_FILENO);
		close(fd[0]);
		close(fd[1]);
		execv(path, args);
		_exit(127);
	}
	close(fd[1]);
	for (len = 0;; len += n) {
		if (room - len < 2) {
			room = 2 * room + 4096;
			r.text = realloc(r.text, room);
			ASSERT_NE(r.text, NULL);
		}
		n = read(fd[0], r.text + len, room - len - 1);
		if (n <= 0)
			break;
	}
	r.text[len] = '\0';
	close(fd[0]);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status))
		r.code = WEXITSTATUS(status);
	return r;
}

#define SELF(...) self((char *[]){"harness_test", __VA_ARGS__, NULL})

static bool has(const struct result *r, const char *text)
{
	if (strstr(r->text, text))
		return true;
	fprintf(stderr, "no \"%s\" in:\n%s", text, r->text);
	return false;
}

static bool lacks(const struct result *r, const char *text)
{
	if (!strstr(r->text, text))
		return true;
	fprintf(stderr, "\"%s\" in:\n%s", text, r->text);
	return false;
}

TEST(values_compare_whatever_their_types)
{
	const char *null = NULL;
	int array[2] = {0};
	uint8_t u8 = 200;
	int8_t i8 = -56;
	int calls = 0;

	EXPECT_EQ(u8, 200L);
	EXPECT_NE(u8, i8);
	EXPECT_LT(-1, 0u);
	EXPECT_LT(INT64_MIN, UINT64_MAX);
	EXPECT_GT(UINT64_MAX, INT64_MAX);
	EXPECT_LE((short)-3, -3LL);
	EXPECT_GE(0.5f, 0);
	EXPECT_EQ(9007199254740993LL, 9007199254740993ULL);
	EXPECT_NE(9007199254740993ULL, 9007199254740992.0);
	EXPECT_NE(NAN, NAN);
	EXPECT_EQ(true, 1);
	EXPECT_EQ('a', 97);
	EXPECT_EQ(array, &array[0]);
	EXPECT_LT(&array[0], &array[1]);
	EXPECT_EQ(null, NULL);
	EXPECT_TRUE(array);
	EXPECT_FALSE(null);
	EXPECT_STREQ("a", "a");
	EXPECT_STREQ(null, NULL);
	EXPECT_STRNE("a", NULL);
	EXPECT_EQ(++calls, 1);
	EXPECT_TRUE(++calls);
	ASSERT_EQ(calls, 2);
	ASSERT_STRNE("a", "b");
}

TEST(a_pass_is_quiet_unless_verbose)
{
	struct result r = SELF("_pass");

	EXPECT_EQ(r.code, 0);
	EXPECT_STREQ(r.text, "KTAP version 1\n1..1\nok 1 _pass\n");
	free(r.text);

	r = SELF("-v", "_pass");
	EXPECT_EQ(r.code, 0);
	EXPECT_STREQ(r.text, "KTAP version 1\n1..1\n# said on passing\nok 1 _pass\n");
	free(r.text);
}

TEST(a_mismatch_prints_place_and_values)
{
	struct result r = SELF("_mismatch");

	EXPECT_EQ(r.code, 1);
	EXPECT_TRUE(has(&r, "\n# out 1\n# err 2\n# no end of line"));
	EXPECT_TRUE(has(&r, "harness_test.c:"));
	EXPECT_TRUE(has(&r, ": EXPECT_EQ(3, 4): 3 == 4 is false\n"));
	EXPECT_TRUE(has(&r, ": EXPECT_EQ(big, -1): 18446744073709551615 == -1 is false\n"));
	EXPECT_TRUE(has(&r, ": EXPECT_GT(-1, 1u): -1 > 1 is false\n"));
	EXPECT_TRUE(has(&r, ": EXPECT_LT(2.5, 2): 2.5 < 2 is false\n"));
	EXPECT_TRUE(has(&r, ": EXPECT_LE(NAN, 1.0): nan <= 1 is false\n"));
	EXPECT_TRUE(has(&r, ": \"tab\\there\" == \"other\" is false\n"));
	EXPECT_TRUE(has(&r, ": \"tab\\there\" == NULL is false\n"));
	EXPECT_TRUE(has(&r, ": \"same\" != \"same\" is false\n"));
	EXPECT_TRUE(has(&r, ": 0x10 == NULL is false\n"));
	EXPECT_TRUE(has(&r, ": EXPECT_TRUE(1 == 2): it is 0\n"));
	EXPECT_TRUE(has(&r, ": EXPECT_FALSE(7): it is 7\n"));
	EXPECT_TRUE(has(&r, ": ASSERT_GE(1, 2): 1 >= 2 is false\n"));
	EXPECT_TRUE(has(&r, "\n# _mismatch: 12 failed\nnot ok 1 _mismatch\n"));
	EXPECT_TRUE(lacks(&r, "EXPECT_FALSE(go_on)"));
	EXPECT_TRUE(lacks(&r, "not reached"));
	free(r.text);
}

TEST(a_crash_is_a_failure_that_names_the_signal)
{
	struct result r = SELF("_crash");

	EXPECT_EQ(r.code, 1);
	EXPECT_TRUE(has(&r, "\n# before the crash\n"));
	EXPECT_TRUE(has(&r, "killed by SIGSEGV (Segmentation fault)\nnot ok 1 _crash\n"));
	free(r.text);
}

TEST(a_hang_is_killed_in_time)
{
	struct timespec a, b;
	struct result r;

	setenv("KTAP_TIMEOUT_FACTOR", "2", 1);
	clock_gettime(CLOCK_MONOTONIC, &a);
	r = SELF("_hang");
	clock_gettime(CLOCK_MONOTONIC, &b);
	EXPECT_EQ(r.code, 1);
	EXPECT_TRUE(has(&r, "\n# before the hang\n"));
	EXPECT_TRUE(has(&r, "timed out after 2 s and was killed\nnot ok 1 _hang\n"));
	EXPECT_GE((b.tv_sec - a.tv_sec) * 1e9 + (b.tv_nsec - a.tv_nsec), 2e9);
	EXPECT_LT(b.tv_sec - a.tv_sec, 20);
	free(r.text);
}

TEST(a_skip_gives_its_reason)
{
	struct result r = SELF("_skip");

	EXPECT_EQ(r.code, 0);
	EXPECT_STREQ(r.text, "KTAP version 1\n1..1\n# said before skipping\n"
			     "ok 1 _skip # SKIP needs hands, 2 of them\n");
	free(r.text);

	r = SELF("_skip_after_failure");
	EXPECT_EQ(r.code, 1);
	EXPECT_TRUE(has(&r, "\nnot ok 1 _skip_after_failure\n"));
	free(r.text);
}

TEST(an_exit_is_no_success)
{
	struct result r = SELF("_exit_early", "_exit_code_at_end");

	EXPECT_EQ(r.code, 1);
	EXPECT_TRUE(has(&r, "exited with code 0 before its end\nnot ok 1 _exit_early\n"));
	EXPECT_TRUE(has(&r, "exited with code 3 at its end\nnot ok 2 _exit_code_at_end\n"));
	free(r.text);
}

TEST(a_failure_in_a_child_counts)
{
	struct result r = SELF("_fail_in_child");

	EXPECT_EQ(r.code, 1);
	EXPECT_TRUE(has(&r, "5 == 6 is false\n# _fail_in_child: 1 failed\n"));
	free(r.text);
}

TEST(what_is_left_behind_is_killed)
{
	struct result r = SELF("-v", "_leave_behind");
	const char *left;

	EXPECT_EQ(r.code, 0);
	EXPECT_TRUE(has(&r, "\n# processes left behind were killed\nok 1 _leave_behind\n"));
	left = strstr(r.text, "left ");
	ASSERT_NE(left, NULL);
	EXPECT_EQ(kill(atoi(left + 5), 0), -1);
	EXPECT_EQ(errno, ESRCH);
	free(r.text);
}

TEST(output_is_bounded)
{
	struct result r = SELF("_flood");

	EXPECT_EQ(r.code, 1);
	EXPECT_LT(strlen(r.text), 1200000);
	EXPECT_TRUE(strstr(r.text, "\n# (more than 1048576 bytes of output: "));
	free(r.text);
}

TEST(names_select_tests)
{
	struct result r = SELF("_p*s", "_skip*", "nothing");

	EXPECT_EQ(r.code, 1);
	EXPECT_TRUE(has(&r, "KTAP version 1\n1..3\nok 1 _pass\n"));
	EXPECT_TRUE(has(&r, "\nok 2 _skip # SKIP"));
	EXPECT_TRUE(has(&r, "\nnot ok 3 _skip_after_failure\n"));
	free(r.text);

	r = SELF("nothing");
	EXPECT_EQ(r.code, 2);
	free(r.text);

	r = SELF("-l");
	EXPECT_EQ(r.code, 0);
	EXPECT_TRUE(has(&r, "\nnames_select_tests\n"));
	EXPECT_TRUE(lacks(&r, "\n_pass\n"));
	free(r.text);

	r = SELF("-a");
	EXPECT_EQ(r.code, 1);
	EXPECT_STREQ(r.text, "");
	free(r.text);

	r = SELF("-x");
	EXPECT_EQ(r.code, 2);
	free(r.text);
}

TEST_MAIN()
