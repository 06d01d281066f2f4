// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Waiting for programs that run, also where membarrier(2) is refused. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "grace.h"
#include "ktap.h"

static void refuse(int a, int b)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, a, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, b, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(code) / sizeof(code[0]), code};

	ASSERT_EQ(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
	if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program))
		SKIP("no seccomp filters here");
	errno = 0;
	EXPECT_EQ(syscall(a, 0, 0, 0), -1);
	EXPECT_EQ(errno, EPERM);
}

TEST(membarrier_waits)
{
	EXPECT_EQ(grace__period(), 0);
}

TEST(map_of_maps_waits)
{
	if (geteuid())
		SKIP("not root");
	refuse(SYS_membarrier, SYS_membarrier);
	for (int i = 0; i < 3; i++)
		EXPECT_EQ(grace__period(), 0);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Then it is said, once, and time passes. */
TEST(nothing_waits)
{
	char said[512] = "";
	int fd[2], old;
	double start;
	ssize_t n;

	refuse(SYS_membarrier, SYS_bpf);
	ASSERT_EQ(pipe(fd), 0);
	fflush(stderr);
	old = dup(STDERR_FILENO);
	dup2(fd[1], STDERR_FILENO);
	start = seconds();
	EXPECT_EQ(grace__period(), -EPERM);
	EXPECT_EQ(grace__period(), -EPERM);
	dup2(old, STDERR_FILENO);
	EXPECT_GE(seconds() - start, 0.2);
	close(fd[1]);
	n = read(fd[0], said, sizeof(said) - 1);
	ASSERT_GT(n, 0);
	printf("%s", said);
	EXPECT_EQ(said[n - 1], '\n');
	for (ssize_t i = 0; i < n - 1; i++)
		EXPECT_NE(said[i], '\n');
}

TEST_MAIN()
