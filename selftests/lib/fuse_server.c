// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "fuse_server.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/fuse.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <unistd.h>

#define READ_MAX (1 << 17)

static void wait_gate(volatile struct fuse_gate *gate)
{
	unsigned int n = ++gate->asked;

	usleep(gate->delay_us);
	while (gate->allowed < n)
		usleep(200);
}

static void __attribute__((noreturn))
serve(int fd, const char *bytes, size_t size, enum fuse_silence silence, struct fuse_gate *gate)
{
	static char in[READ_MAX + 8192];
	static struct {
		struct fuse_out_header head;
		union {
			struct fuse_init_out init;
			struct fuse_attr_out attr;
			struct fuse_open_out open;
			char data[READ_MAX];
		};
	} out;

	for (;;) {
		const struct fuse_in_header *head = (void *)in;
		const struct fuse_read_in *wanted = (void *)(in + sizeof(*head));
		ssize_t n = read(fd, in, sizeof(in));
		size_t len = 0;

		if (n < (ssize_t)sizeof(*head))
			_exit(0);
		memset(&out.head, 0, sizeof(out.head) + sizeof(out.attr));
		if (head->opcode == FUSE_FORGET || head->opcode == FUSE_INTERRUPT ||
		    head->opcode == FUSE_BATCH_FORGET)
			continue;
		if (head->opcode != FUSE_INIT && silence == FUSE_NEVER_ANSWERS)
			continue;
		if (head->opcode == FUSE_READ && silence == FUSE_NEVER_READS)
			continue;
		if (head->opcode == FUSE_READ && gate)
			wait_gate(gate);
		switch (head->opcode) {
		case FUSE_INIT:
			out.init.major = FUSE_KERNEL_VERSION;
			out.init.minor = FUSE_KERNEL_MINOR_VERSION;
			out.init.max_write = 4096;
			len = sizeof(out.init);
			break;
		case FUSE_GETATTR:
			out.attr.attr.ino = 1;
			out.attr.attr.mode = bytes ? S_IFREG | 0755 : S_IFDIR | 0755;
			out.attr.attr.size = size;
			out.attr.attr.nlink = 1;
			out.attr.attr_valid = 3600;
			len = sizeof(out.attr);
			break;
		case FUSE_OPEN:
			len = sizeof(out.open);
			break;
		case FUSE_READ:
			len = wanted->offset >= size ? 0 : size - wanted->offset;
			len = len < wanted->size ? len : wanted->size;
			if (len)
				memcpy(out.data, bytes + wanted->offset, len);
			break;
		case FUSE_FLUSH:
		case FUSE_RELEASE:
			break;
		default:
			out.head.error = head->opcode == FUSE_LOOKUP ? -ENOENT : -ENOSYS;
		}
		out.head.unique = head->unique;
		out.head.len = sizeof(out.head) + len;
		if (write(fd, &out, out.head.len) < 0 && errno == ENODEV)
			_exit(0);
	}
}

static int start(const char *at, const void *bytes, size_t size, enum fuse_silence silence,
		 struct fuse_gate *gate)
{
	char options[128];
	int fd = open("/dev/fuse", O_RDWR | O_CLOEXEC);

	if (fd < 0 || unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		return -errno;
	snprintf(options, sizeof(options), "fd=%d,rootmode=%o,user_id=0,group_id=0,allow_other", fd,
		 bytes ? S_IFREG : S_IFDIR);
	if (mount("fuse", at, "fuse", 0, options))
		return -errno;
	if (!fork()) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Of what the caller has open others may wait for the end. */
		if (dup2(fd, STDERR_FILENO + 1) < 0)
			_exit(1);
		close_range(STDERR_FILENO + 2, ~0U, 0);
		serve(STDERR_FILENO + 1, bytes, size, silence, gate);
	}
	close(fd);
	return 0;
}

int fuse_server__start(const char *at, const void *bytes, size_t size, enum fuse_silence silence)
{
	return start(at, bytes, size, silence, NULL);
}

int fuse_server__start_gated(const char *at, const void *bytes, size_t size, struct fuse_gate *gate)
{
	return start(at, bytes, size, FUSE_ANSWERS, gate);
}
