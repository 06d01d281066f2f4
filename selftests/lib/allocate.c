// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "allocate.h"

#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"
#include "samples.h"

#define ANSWER_MS 60000
#define STEPS_MAX 14

void tool__wait(struct tool *tool)
{
	struct pollfd answer = {.fd = tool->out, .events = POLLIN};
	char byte;

	ASSERT_EQ(poll(&answer, 1, ANSWER_MS), 1);
	ASSERT_EQ(read(tool->out, &byte, 1), 1);
}

void tool__start(struct tool *tool, struct live *live, const char *program, const char *cgroup,
		 const char *const *steps)
{
	const char *argv[STEPS_MAX + 2] = {program};
	int in[2], out[2], fd;
	char path[PATH_MAX];

	for (int i = 0; steps[i]; i++) {
		ASSERT_LT(i, STEPS_MAX);
		argv[i + 1] = steps[i];
	}
	ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
	live__make_cgroup(live, cgroup);
	snprintf(path, sizeof(path), "%.4000s/cgroup.procs", live__cgroup(live, cgroup));
	fflush(NULL);
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
	snprintf(tool->set_pid, sizeof(tool->set_pid), "malloc.pid=%d", tool->pid);
	tool__wait(tool);
}

void tool__step(struct tool *tool)
{
	ASSERT_EQ(write(tool->in, "x", 1), 1);
	tool__wait(tool);
}

void tool__end(struct tool *tool)
{
	int status;

	close(tool->in);
	ASSERT_EQ(waitpid(tool->pid, &status, 0), tool->pid);
	EXPECT_EQ(status, 0);
	close(tool->out);
}

struct heap heap__in(struct json_object *root, struct live *live, const char *cgroup)
{
	static const char *const names[] = {"allocations", "frees", "allocated", "freed",
					    "failures",	   "live",  "objects"};
	const char *path = live__path(live, cgroup);
	__u64 values[7];
	char name[64];

	for (int i = 0; i < 7; i++) {
		snprintf(name, sizeof(name), "system.heap.%s", names[i]);
		values[i] = otlp_json__total(root, name, "process.linux.cgroup", path);
	}
	return (struct heap){values[0], values[1], values[2], values[3],
			     values[4], values[5], values[6]};
}
