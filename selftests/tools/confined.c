// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Stands in for the exporter under its unit, and tries what the exporter should not be able to do.
 * It says what it could, a line each; nothing of that, and it ends with 0.
 */
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "confine.h"

static int could;

static void expect(int refused, const char *what)
{
	if (refused)
		return;
	printf("it could: %s\n", what);
	could++;
}

static void try_to_write(const char *path)
{
	char what[256];
	int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);

	snprintf(what, sizeof(what), "write %s", path);
	expect(fd < 0, what);
}

static int executes(const char *path)
{
	int status;
	pid_t pid = fork();

	if (!pid) {
		execl(path, path, NULL);
		_exit(77);
	}
	return pid > 0 && waitpid(pid, &status, 0) == pid && WEXITSTATUS(status) != 77;
}

int main(void)
{
	static const char *const files[] = {
		"/etc/otelbpf/written",
		"/etc/written",
		"/usr/lib/written",
		"/var/lib/written",
		"/var/log/written",
		"/root/written",
		"/home/written",
		"/sys/fs/bpf/written",
		"/proc/sys/kernel/hostname",
		"/sys/fs/cgroup/cgroup.procs",
		"/dev/kmsg",
	};
	struct stat st;
	char byte;
	int fd;

	if (confine__self())
		return EXIT_FAILURE;
	for (size_t i = 0; i < sizeof(files) / sizeof(files[0]); i++)
		try_to_write(files[i]);
	expect(mkdir("/sys/fs/bpf/otelbpf/made", 0700), "mkdir in the pin directory");
	expect(!executes("/bin/true"), "execute /bin/true");
	expect(!executes("/usr/bin/env"), "execute /usr/bin/env");
	expect(mount("none", "/tmp", "tmpfs", 0, NULL), "mount");
	expect(unshare(CLONE_NEWNS), "unshare a mount namespace");
	expect(unshare(CLONE_NEWUSER), "unshare a user namespace");
	expect(ptrace(PTRACE_ATTACH, 1, 0, 0), "trace process 1");
	expect(socket(AF_PACKET, SOCK_RAW, 0) < 0, "a packet socket");
	expect(mmap(NULL, 4096, PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
		       MAP_FAILED,
	       "memory that is written and executed");
	expect(setuid(0), "become root");
	expect(syscall(SYS_init_module, NULL, 0, "") && errno == EPERM, "load a module");
	expect(syscall(SYS_perf_event_open, NULL, 0, -1, -1, 0) && errno == EPERM,
	       "open a perf event");
	/* An empty file stands in its place. */
	fd = open("/etc/shadow", O_RDONLY | O_CLOEXEC);
	expect(fd < 0 || read(fd, &byte, 1) <= 0, "read /etc/shadow");
	expect(stat("/dev/vda", &st) && stat("/dev/mem", &st), "see devices");
	expect(prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1, "get new privileges");
	return could ? EXIT_FAILURE : EXIT_SUCCESS;
}
