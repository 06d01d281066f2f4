// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "inject.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

#define PROCESSES_MAX 64

/*
 * What changes something outside of the process, and what asks for something that can be refused.
 * A kill between two changes is no other than one right before the second.
 */
enum { CHANGES = 1, FAILS = 2, BOTH = CHANGES | FAILS };
#ifdef __SANITIZE_ADDRESS__
#define MEMORY 0 /* the sanitizer's own: it ends the program */
#else
#define MEMORY FAILS
#endif
static const struct {
	long nr;
	const char *name;
	int what;
} calls[] = {
#define CALL(call, what)                \
	{                               \
		SYS_##call, #call, what \
	}
	CALL(bpf, BOTH),	CALL(perf_event_open, BOTH), CALL(ioctl, BOTH),
	CALL(mkdirat, BOTH),	CALL(renameat, BOTH),	     CALL(renameat2, BOTH),
	CALL(unlinkat, BOTH),	CALL(fchmodat, BOTH),	     CALL(fchownat, BOTH),
	CALL(fchmod, BOTH),	CALL(fchown, BOTH),	     CALL(flock, BOTH),
	CALL(sendto, BOTH),	CALL(clone, BOTH),	     CALL(close, CHANGES),
	CALL(write, CHANGES),	CALL(wait4, CHANGES),	     CALL(exit_group, CHANGES),
	CALL(openat, FAILS),	CALL(newfstatat, FAILS),     CALL(getdents64, FAILS),
	CALL(read, FAILS),	CALL(statfs, FAILS),	     CALL(fstatfs, FAILS),
	CALL(faccessat, FAILS), CALL(faccessat2, FAILS),     CALL(readlinkat, FAILS),
	CALL(pipe2, FAILS),	CALL(socket, FAILS),	     CALL(connect, FAILS),
	CALL(recvfrom, FAILS),	CALL(recvmsg, FAILS),	     CALL(sendmsg, FAILS),
	CALL(bind, FAILS),	CALL(mmap, MEMORY),	     CALL(membarrier, FAILS),
	CALL(prctl, FAILS),	CALL(prlimit64, FAILS),	     CALL(capget, FAILS),
	CALL(capset, FAILS),	CALL(fcntl, FAILS),	     CALL(setsockopt, FAILS),
	CALL(fstat, FAILS),	CALL(lseek, FAILS),	     CALL(setns, FAILS),
	CALL(statx, FAILS),	CALL(sysinfo, FAILS),
#ifdef __x86_64__
	CALL(mkdir, BOTH),	CALL(rename, BOTH),	     CALL(unlink, BOTH),
	CALL(rmdir, BOTH),	CALL(chmod, BOTH),	     CALL(chown, BOTH),
	CALL(access, FAILS),	CALL(readlink, FAILS),
#endif
#undef CALL
};

struct process {
	pid_t pid;
	long before;  /* the call before this one */
	int fails;    /* errno that the call under way is to end with */
	bool entered; /* it has begun */
};

struct run {
	struct inject *inject;
	struct process process[PROCESSES_MAX];
	int n;
	bool counts;
};

static int find_call(long nr)
{
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		if (calls[i].nr == nr)
			return i;
	return -1;
}

const char *inject__call_name(long call)
{
	int i = find_call(call);

	return i < 0 ? "?" : calls[i].name;
}

static struct process *find_process(struct run *run, pid_t pid)
{
	for (int i = 0; i < run->n; i++)
		if (run->process[i].pid == pid)
			return &run->process[i];
	ASSERT_LT(run->n, PROCESSES_MAX);
	run->process[run->n] = (struct process){.pid = pid, .before = -1};
	return &run->process[run->n++];
}

#ifdef __x86_64__
static void set_call(pid_t pid, long nr)
{
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, orig_rax), nr);
}

static void set_result(pid_t pid, long result)
{
	ptrace(PTRACE_POKEUSER, pid, offsetof(struct user_regs_struct, rax), result);
}
#else
static void set_call(pid_t pid, long nr)
{
	(void)pid, (void)nr;
}

static void set_result(pid_t pid, long result)
{
	(void)pid, (void)result;
}
#endif

static void at_step(struct run *run, struct process *process, long nr)
{
	struct inject *inject = run->inject;

	inject->call = nr;
	switch (inject->how) {
	case INJECT_NOTHING:
		break;
	case INJECT_KILL:
		kill(process->pid, SIGKILL);
		break;
	case INJECT_KILL_ALL:
		for (int i = 0; i < run->n; i++)
			kill(run->process[i].pid, SIGKILL);
		break;
	case INJECT_ERROR:
		process->fails = inject->error;
		set_call(process->pid, -1);
		break;
	}
}

static void enter(struct run *run, struct process *process,
		  const struct __ptrace_syscall_info *info)
{
	struct inject *inject = run->inject;
	long nr = info->entry.nr, before = process->before;
	int call = find_call(nr);

	if (nr == SYS_prlimit64 && info->entry.args[1] == RLIMIT_NOFILE)
		run->counts = true;
	process->before = nr;
	if (!run->counts || call < 0 || !(calls[call].what & (inject->error ? FAILS : CHANGES)) ||
	    (nr == SYS_read && before == SYS_read))
		return;
	inject->steps++;
	if (inject->each)
		inject->each(inject->ctx, process->pid, nr);
	if (inject->steps == inject->step)
		at_step(run, process, nr);
}

static void syscall_stop(struct run *run, struct process *process)
{
	struct __ptrace_syscall_info info = {};

	if (ptrace(PTRACE_GET_SYSCALL_INFO, process->pid, sizeof(info), &info) <= 0)
		return; /* killed meanwhile */
	if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
		enter(run, process, &info);
	} else if (process->fails) {
		set_result(process->pid, -process->fails);
		process->fails = 0;
	}
}

/* Until the last of its processes has ended. */
static void follow(struct run *run, pid_t first)
{
	int alive = 1, status;

	while (alive) {
		pid_t pid = waitpid(-1, &status, __WALL);
		struct process *process;
		int n = run->n, sig = 0;

		if (pid < 0 && errno == EINTR)
			continue;
		ASSERT_GT(pid, 0);
		process = find_process(run, pid);
		alive += run->n - n;
		if (WIFEXITED(status) || WIFSIGNALED(status)) {
			alive--;
			if (pid == first)
				run->inject->code =
					WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
			continue;
		}
		if (WSTOPSIG(status) == (SIGTRAP | 0x80))
			syscall_stop(run, process);
		else if (WSTOPSIG(status) != SIGTRAP && WSTOPSIG(status) != SIGSTOP)
			sig = WSTOPSIG(status);
		ptrace(PTRACE_SYSCALL, pid, 0, (void *)(uintptr_t)sig);
	}
}

static void run_program(const char *err, const char *const *argv)
{
	const char *now = getenv("ASAN_OPTIONS");
	char options[512];

	/* The sanitizer's own search for leaks is a ptrace, too. */
	snprintf(options, sizeof(options), "%s%sdetect_leaks=0", now ? now : "", now ? ":" : "");
	setenv("ASAN_OPTIONS", options, 1);
	dup2(open(err, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND, 0600), STDERR_FILENO);
	dup2(open("/dev/null", O_WRONLY), STDOUT_FILENO);
	close_range(STDERR_FILENO + 1, ~0U, 0);
	if (ptrace(PTRACE_TRACEME, 0, 0, 0))
		_exit(126);
	raise(SIGSTOP);
	execv(argv[0], (char *const *)argv);
	_exit(127);
}

bool inject__run(struct inject *inject, const char *err, const char *const *argv)
{
	const uintptr_t options = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
				  PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
	struct run run = {.inject = inject};
	int status;
	pid_t pid;

	inject->steps = 0;
	inject->call = -1;
#ifndef __x86_64__
	if (inject->how == INJECT_ERROR)
		return false;
#endif
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid)
		run_program(err, argv);
	ASSERT_EQ(waitpid(pid, &status, __WALL), pid);
	if (!WIFSTOPPED(status))
		return false;
	ASSERT_EQ(ptrace(PTRACE_SETOPTIONS, pid, 0, (void *)options), 0);
	find_process(&run, pid);
	ptrace(PTRACE_SYSCALL, pid, 0, 0);
	follow(&run, pid);
	return true;
}
