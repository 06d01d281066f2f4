// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "notify.h"

#include <errno.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

int notify__send(const char *state)
{
	const char *path = getenv("NOTIFY_SOCKET");
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	size_t len = path ? strlen(path) : 0;
	ssize_t sent;
	int fd, err;

	if (!len)
		return 0;
	/* vsock:, too, is in newer managers' protocol; only to virtual machines. */
	if (path[0] != '/' && path[0] != '@')
		return -EAFNOSUPPORT;
	if (len >= sizeof(address.sun_path))
		return -ENAMETOOLONG;
	memcpy(address.sun_path, path, len);
	if (path[0] == '@')
		address.sun_path[0] = '\0'; /* the abstract namespace */
	fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -errno;
	/* Never wait for a manager whose queue is full: exports go on, the next one tells. */
	sent = sendto(fd, state, strlen(state), MSG_NOSIGNAL | MSG_DONTWAIT,
		      (struct sockaddr *)&address, offsetof(struct sockaddr_un, sun_path) + len);
	err = sent < 0 ? -errno : 1;
	close(fd);
	return err;
}

__u64 notify__watchdog_ns(void)
{
	const char *usec = getenv("WATCHDOG_USEC"), *pid = getenv("WATCHDOG_PID");
	unsigned long value;
	char *end;

	if (!usec || usec[0] < '0' || usec[0] > '9')
		return 0;
	if (pid && strtol(pid, NULL, 10) != getpid())
		return 0;
	errno = 0;
	value = strtoul(usec, &end, 10);
	if (errno || *end || value > 1UL << 50)
		return 0;
	return (__u64)value * 1000 / 2;
}
