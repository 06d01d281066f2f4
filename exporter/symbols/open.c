// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/open.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "aside.h"
#include "symbols/mounts.h"

/* A request without a path is to copy the file that came with it. */
struct request {
	__u32 pid;
	bool follow;
	char path[PATH_MAX];
};
_Static_assert(sizeof(struct request) <= ASIDE_REQUEST_MAX, "a request fits");

static aside_work work;
static __thread struct {
	struct aside aside;
	unsigned int timeouts;
	size_t copied;
} opener = {.aside.work = work};

int open_root(__u32 pid)
{
	char path[32];
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/root", pid);
	fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int open_path(int root, const char *path, __u64 flags, __u64 resolve)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | flags,
		.resolve = resolve | (root >= 0 ? RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS : 0),
	};
	int fd = syscall(SYS_openat2, root >= 0 ? root : AT_FDCWD, path, &how, sizeof(how));

	return fd < 0 ? -errno : fd;
}

static int reopen(int at, struct stat *st)
{
	char self[32];
	int fd;

	if (fstat(at, st))
		return -errno;
	if (!S_ISREG(st->st_mode))
		return -EINVAL;
	snprintf(self, sizeof(self), "/proc/self/fd/%d", at);
	fd = open(self, O_RDONLY | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

/* --- in the child ------------------------------------------------------------------ */

static int walk_here(const struct request *request)
{
	int root = request->pid ? open_root(request->pid) : -1, fd;

	if (request->pid && root < 0)
		return root;
	fd = open_path(root, request->path, request->follow ? 0 : O_NOFOLLOW, 0);
	if (root >= 0)
		close(root);
	return fd;
}

static int copy_here(int at, struct stat *st)
{
	static char bytes[1 << 16];
	int from = reopen(at, st), to;
	ssize_t n = -EFBIG;

	if (from < 0)
		return from;
	to = st->st_size > OPEN_COPY_MAX ? -1 : memfd_create("copy", MFD_CLOEXEC);
	for (off_t have = 0; to >= 0; have += n) {
		n = have > OPEN_COPY_MAX ? 0 : read(from, bytes, sizeof(bytes));
		if (n <= 0 || write(to, bytes, n) != n)
			break;
	}
	close(from);
	/* The position goes along with the descriptor. */
	if (to >= 0 && (n || lseek(to, 0, SEEK_SET))) {
		close(to);
		to = -1;
	}
	return to < 0 ? -EIO : to;
}

static ssize_t work(const void *bytes, size_t len, void *reply, int *fd)
{
	const struct request *request = bytes;
	int got;

	if (len < offsetof(struct request, path) + 1)
		return -EINVAL;
	got = request->path[0] ? walk_here(request) : copy_here(*fd, reply);
	if (got < 0)
		return got;
	*fd = got;
	return request->path[0] ? 0 : sizeof(struct stat);
}

/* --- in the parent ----------------------------------------------------------------- */

static ssize_t ask(const struct request *request, void *reply, int *fd)
{
	size_t len = offsetof(struct request, path) + strlen(request->path) + 1;
	ssize_t n;

	if (opener.timeouts >= OPEN_TIMEOUTS_MAX)
		return -ETIMEDOUT;
	n = aside__ask(&opener.aside, request, len, reply, fd, OPEN_WAIT_MS);
	if (n == -ETIMEDOUT)
		opener.timeouts++;
	if (n >= 0 && *fd < 0)
		return -EPROTO;
	return n;
}

static int walk(__u32 pid, const char *path, bool follow)
{
	static __thread char reply[ASIDE_REPLY_MAX];
	struct request request = {.pid = pid, .follow = follow};
	int root = pid ? open_root(pid) : -1, fd;
	ssize_t n;

	if (pid && root < 0)
		return root;
	/* What the kernel has in its caches it gives without asking a file system. */
	fd = open_path(root, path, follow ? 0 : O_NOFOLLOW, RESOLVE_CACHED);
	if (root >= 0)
		close(root);
	if (fd != -EAGAIN)
		return fd;
	if (!path[0] ||
	    snprintf(request.path, sizeof(request.path), "%s", path) >= (int)sizeof(request.path))
		return -ENAMETOOLONG;
	fd = -1;
	n = ask(&request, reply, &fd);
	return n < 0 ? (int)n : fd;
}

static int copy(int at, struct stat *st)
{
	static __thread char reply[ASIDE_REPLY_MAX];
	struct request request = {0};
	ssize_t n;
	int fd = at;

	if (opener.copied >= OPEN_COPIES_MAX)
		return -EFBIG;
	n = ask(&request, reply, &fd);
	if (n < 0)
		return n;
	if (n != sizeof(*st)) {
		close(fd);
		return -EPROTO;
	}
	memcpy(st, reply, sizeof(*st));
	opener.copied += st->st_size;
	return fd;
}

/* @at is closed. */
static int finish(__u32 pid, int at, struct stat *st)
{
	struct stat unwanted;
	int fd;

	if (!st)
		st = &unwanted;
	if (at < 0)
		return at;
	fd = mounts__is_local(pid, at) ? reopen(at, st) : copy(at, st);
	close(at);
	return fd;
}

int open_regular(__u32 pid, const char *path, bool follow, struct stat *st)
{
	return finish(pid, walk(pid, path, follow), st);
}

/* The way there is in /proc, and the leap from there asks nobody. */
int open_link(__u32 pid, const char *path, struct stat *st)
{
	return finish(pid, open_path(-1, path, 0, 0), st);
}

int open_proc(__u32 pid, const char *name)
{
	struct stat st;
	char path[64];
	int at, fd;

	snprintf(path, sizeof(path), "/proc/%u/%s", pid, name);
	at = open_path(-1, path, 0, 0);
	if (at < 0)
		return at;
	/* Nobody else keeps us from reading our own, and no child is needed then. */
	fd = pid == (__u32)getpid() ? reopen(at, &st) : copy(at, &st);
	close(at);
	return fd;
}

int open_directory(const char *path)
{
	int at = walk(0, path, true), fd = -EREMOTE;

	if (at < 0)
		return at;
	if (mounts__is_local(0, at)) {
		fd = openat(at, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
		fd = fd < 0 ? -errno : fd;
	}
	close(at);
	return fd;
}

int open_beneath(int directory, const char *name)
{
	struct open_how how = {
		.flags = O_PATH | O_CLOEXEC | O_NOFOLLOW,
		.resolve = RESOLVE_BENEATH | RESOLVE_NO_XDEV,
	};
	int at = syscall(SYS_openat2, directory, name, &how, sizeof(how)), fd;
	struct stat st;

	if (at < 0)
		return -errno;
	fd = reopen(at, &st);
	close(at);
	return fd;
}

unsigned int open__timeouts(void)
{
	return opener.timeouts;
}

void open__next_export(void)
{
	mounts__forget();
	aside__stop(&opener.aside);
	opener.timeouts = 0;
	opener.copied = 0;
}
