// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "aside.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/types.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHILD_SOCKET 3

/* Both directions: a result, then what belongs to it. */
struct packet {
	__s64 result;
	char bytes[ASIDE_REPLY_MAX];
};

union control {
	struct cmsghdr header;
	char room[CMSG_SPACE(sizeof(int))];
};

static ssize_t send_packet(int sock, const struct packet *packet, size_t len, int fd)
{
	struct iovec bytes = {(void *)packet, sizeof(packet->result) + len};
	struct msghdr message = {.msg_iov = &bytes, .msg_iovlen = 1};
	union control control = {0};

	if (fd >= 0) {
		message.msg_control = &control;
		message.msg_controllen = sizeof(control);
		control.header.cmsg_level = SOL_SOCKET;
		control.header.cmsg_type = SCM_RIGHTS;
		control.header.cmsg_len = CMSG_LEN(sizeof(fd));
		memcpy(CMSG_DATA(&control.header), &fd, sizeof(fd));
	}
	return sendmsg(sock, &message, MSG_NOSIGNAL);
}

static ssize_t receive_packet(int sock, struct packet *packet, int *fd)
{
	struct iovec bytes = {packet, sizeof(*packet)};
	union control control = {0};
	struct msghdr message = {
		.msg_iov = &bytes,
		.msg_iovlen = 1,
		.msg_control = &control,
		.msg_controllen = sizeof(control),
	};
	ssize_t len = recvmsg(sock, &message, MSG_CMSG_CLOEXEC);
	const struct cmsghdr *header = len < 0 ? NULL : CMSG_FIRSTHDR(&message);

	*fd = -1;
	if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS &&
	    header->cmsg_len == CMSG_LEN(sizeof(*fd)))
		memcpy(fd, CMSG_DATA(header), sizeof(*fd));
	return len;
}

static void __attribute__((noreturn)) child(int sock, aside_work *work, pid_t parent)
{
	static struct packet in, out; /* the child's own: nothing of this runs in the parent */
	int fd, came;
	sigset_t none;

	/* Only what is async-signal-safe: other threads of the parent may have held locks. */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* the parent's affair */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(0);
	if (sock != CHILD_SOCKET)
		dup2(sock, CHILD_SOCKET);
	close_range(CHILD_SOCKET + 1, ~0U, 0);
	for (;;) {
		ssize_t len = receive_packet(CHILD_SOCKET, &in, &fd);

		if (len < (ssize_t)sizeof(in.result))
			_exit(0);
		came = fd;
		out.result = work(in.bytes, len - sizeof(in.result), out.bytes, &fd);
		if (send_packet(CHILD_SOCKET, &out, out.result > 0 ? out.result : 0,
				fd == came ? -1 : fd) < 0)
			_exit(1);
		if (fd >= 0)
			close(fd);
		if (came >= 0 && came != fd)
			close(came);
	}
}

/* Return: a free place, or -1 when all children are stuck. */
static int reap(struct aside *aside)
{
	int place = -1;

	for (int i = 0; i < ASIDE_STUCK_MAX; i++) {
		if (aside->stuck[i] && waitpid(aside->stuck[i], NULL, WNOHANG))
			aside->stuck[i] = 0;
		if (!aside->stuck[i])
			place = i;
	}
	return place;
}

static int start(struct aside *aside)
{
	pid_t parent = getpid();
	int sockets[2];

	if (reap(aside) < 0)
		return -EBUSY;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets))
		return -errno;
	aside->pid = fork();
	if (!aside->pid)
		child(sockets[1], aside->work, parent);
	close(sockets[1]);
	if (aside->pid < 0) {
		int err = -errno;

		close(sockets[0]);
		aside->pid = 0;
		return err;
	}
	aside->fd = sockets[0];
	return 0;
}

void aside__stop(struct aside *aside)
{
	int place = reap(aside);

	if (!aside->pid)
		return;
	close(aside->fd);
	kill(aside->pid, SIGKILL);
	/* It dies at once unless it waits for what may never come. */
	for (int i = 0; i < 50 && !waitpid(aside->pid, NULL, WNOHANG); i++) {
		if (i == 49 && place >= 0)
			aside->stuck[place] = aside->pid;
		usleep(1000);
	}
	aside->pid = 0;
}

static __s64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

static int wait_for(int sock, int ms)
{
	__s64 until = now_ms() + ms;

	for (;;) {
		struct pollfd wait = {.fd = sock, .events = POLLIN};
		__s64 left = until - now_ms();
		int n = poll(&wait, 1, left > 0 ? left : 0);

		if (n > 0)
			return 0;
		if (!n)
			return -ETIMEDOUT;
		if (errno != EINTR)
			return -errno;
	}
}

ssize_t aside__ask(struct aside *aside, const void *request, size_t len, void *reply, int *fd,
		   int ms)
{
	static __thread struct packet packet;
	int err, came, with = fd ? *fd : -1;
	ssize_t got;

	if (fd)
		*fd = -1;
	if (len > ASIDE_REQUEST_MAX)
		return -EINVAL;
	if (!aside->pid) {
		err = start(aside);
		if (err)
			return err;
	}
	packet.result = 0;
	memcpy(packet.bytes, request, len);
	if (send_packet(aside->fd, &packet, len, with) < 0)
		err = -errno;
	else
		err = wait_for(aside->fd, ms);
	if (err) {
		aside__stop(aside);
		return err;
	}
	got = receive_packet(aside->fd, &packet, &came);
	if (got < (ssize_t)sizeof(packet.result) || packet.result > ASIDE_REPLY_MAX ||
	    (packet.result > 0 && got != (ssize_t)sizeof(packet.result) + packet.result)) {
		if (came >= 0)
			close(came);
		aside__stop(aside);
		return -EPROTO;
	}
	if (packet.result > 0)
		memcpy(reply, packet.bytes, packet.result);
	if (fd)
		*fd = came;
	else if (came >= 0)
		close(came);
	return packet.result;
}
