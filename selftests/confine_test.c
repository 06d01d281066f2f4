// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the exporter gives up: loading and attaching programs, executing; and what it keeps. */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"
#include "ktap.h"

static long call_bpf(int command)
{
	union bpf_attr attr = {};

	errno = 0;
	return syscall(SYS_bpf, command, &attr, sizeof(attr));
}

/* Without a privilege the kernel refuses some of these itself, but not all, and not otherwise. */
TEST(no_command_but_those_that_read)
{
	static const int refused[] = {
		BPF_PROG_LOAD,
		BPF_OBJ_PIN,
		BPF_PROG_ATTACH,
		BPF_PROG_DETACH,
		BPF_PROG_TEST_RUN,
		BPF_RAW_TRACEPOINT_OPEN,
		BPF_BTF_LOAD,
		BPF_LINK_CREATE,
		BPF_LINK_UPDATE,
		BPF_ITER_CREATE,
		BPF_LINK_DETACH,
		BPF_PROG_BIND_MAP,
		BPF_MAP_FREEZE,
		BPF_TASK_FD_QUERY,
		BPF_PROG_GET_FD_BY_ID,
		BPF_MAP_GET_FD_BY_ID,
		BPF_LINK_GET_FD_BY_ID,
		BPF_MAP_GET_NEXT_ID,
		64,
		1 << 30,
	};

	ASSERT_EQ(confine__self(), 0);
	for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
		EXPECT_EQ(call_bpf(refused[i]), -1);
		if (!EXPECT_EQ(errno, EPERM))
			printf("command %d: %s\n", refused[i], strerror(errno));
	}
}

TEST(maps_are_read_as_before)
{
	__u32 key = 0;
	__u64 value = 7, read = 0;
	int fd;

	if (geteuid())
		SKIP("not root");
	ASSERT_EQ(confine__self(), 0);
	fd = bpf_map_create(BPF_MAP_TYPE_ARRAY, "confined", sizeof(key), sizeof(value), 1, NULL);
	if (fd < 0)
		SKIP("this kernel makes no map: %s", strerror(errno));
	EXPECT_EQ(bpf_map_update_elem(fd, &key, &value, BPF_ANY), 0);
	EXPECT_EQ(bpf_map_lookup_elem(fd, &key, &read), 0);
	EXPECT_EQ(read, 7);
	close(fd);
	/* Known, and refused for what it was given, not by the filter. */
	EXPECT_EQ(call_bpf(BPF_ENABLE_STATS) >= 0 || errno != EPERM, true);
	EXPECT_EQ(call_bpf(BPF_OBJ_GET), -1);
	EXPECT_NE(errno, EPERM);
}

TEST(nothing_is_executed_nor_sampled)
{
	struct perf_event_attr attr = {.size = sizeof(attr),
				       .type = PERF_TYPE_SOFTWARE,
				       .config = PERF_COUNT_SW_CPU_CLOCK};
	char *const argv[] = {"true", NULL};

	ASSERT_EQ(confine__self(), 0);
	EXPECT_EQ(execv("/bin/true", argv), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(syscall(SYS_execveat, -1, "/bin/true", argv, NULL, 0), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(syscall(SYS_perf_event_open, &attr, 0, -1, -1, 0), -1);
	EXPECT_EQ(errno, EPERM);
	EXPECT_EQ(syscall(SYS_init_module, NULL, 0, ""), -1);
	EXPECT_EQ(errno, EPERM);
	/* What is neither goes on. */
	EXPECT_GT(syscall(SYS_getppid), 0);
}

/* A child is no way out. */
TEST(children_neither)
{
	int status;
	pid_t pid;

	ASSERT_EQ(confine__self(), 0);
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		_exit(call_bpf(BPF_PROG_LOAD) == -1 && errno == EPERM ? 0 : 1);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	EXPECT_EQ(status, 0);
}

TEST_MAIN()
