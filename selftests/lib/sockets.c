// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sockets.h"

#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "ktap.h"

void cgroup__join(const char *directory)
{
	char path[PATH_MAX + 16];
	FILE *file;

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	file = fopen(path, "we");
	ASSERT_TRUE(file != NULL);
	ASSERT_GT(fprintf(file, "0"), 0);
	ASSERT_EQ(fclose(file), 0);
}

static void loopback_up(void)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
}

/* How many of this namespace's TCP sockets are on their way to be closed. */
static int closing(const char *path)
{
	FILE *file = fopen(path, "re");
	char line[512];
	int n = 0;

	if (!file)
		return 0; /* no IPv6 */
	while (fgets(line, sizeof(line), file)) {
		unsigned int state;

		/* FIN_WAIT1, FIN_WAIT2, LAST_ACK, CLOSING. TIME_WAIT is no socket any more. */
		if (sscanf(line, " %*d: %*[^ ] %*[^ ] %x", &state) == 1)
			n += state == 4 || state == 5 || state == 9 || state == 11;
	}
	fclose(file);
	return n;
}

/* A socket goes on after close(), and would be cut off with its namespace. */
static void wait_closed(void)
{
	for (int tries = 0;
	     closing("/proc/thread-self/net/tcp") + closing("/proc/thread-self/net/tcp6");
	     tries++) {
		ASSERT_LT(tries, 10000);
		usleep(1000);
	}
}

void place__start(struct place *place, struct live *live, const char *name,
		  void (*fn)(void *ctx, int gate), void *ctx)
{
	int gates[2];

	live__make_cgroup(live, name);
	ASSERT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gates), 0);
	fflush(NULL);
	place->pid = fork();
	ASSERT_GE(place->pid, 0);
	if (!place->pid) {
		close(gates[0]);
		cgroup__join(live__cgroup(live, name));
		ASSERT_EQ(unshare(CLONE_NEWNET), 0);
		loopback_up();
		fn(ctx, gates[1]);
		wait_closed();
		fflush(NULL);
		_exit(0);
	}
	close(gates[1]);
	place->gate = gates[0];
}

void place__wait(struct place *place)
{
	int status;

	ASSERT_EQ(waitpid(place->pid, &status, 0), place->pid);
	close(place->gate);
	ASSERT_EQ(status, 0);
}

void place__run(struct live *live, const char *name, void (*fn)(void *ctx, int gate), void *ctx)
{
	struct place place;

	place__start(&place, live, name, fn, ctx);
	place__wait(&place);
}

void gate__pass(int gate)
{
	ASSERT_EQ(send(gate, "", 1, MSG_NOSIGNAL), 1);
}

void gate__await(int gate)
{
	struct pollfd poll_fd = {.fd = gate, .events = POLLIN};
	char byte;

	ASSERT_EQ(poll(&poll_fd, 1, 60000 * ktap__factor()), 1);
	ASSERT_EQ(recv(gate, &byte, 1, 0), 1);
}

union address address__loopback(int family, bool mapped)
{
	union address address = {};

	address.any.sa_family = family;
	if (family == AF_INET) {
		address.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	} else if (mapped) {
		address.v6.sin6_addr.s6_addr[10] = 0xff;
		address.v6.sin6_addr.s6_addr[11] = 0xff;
		address.v6.sin6_addr.s6_addr[12] = 127;
		address.v6.sin6_addr.s6_addr[15] = 1;
	} else {
		address.v6.sin6_addr = in6addr_loopback;
	}
	return address;
}

socklen_t address__len(const union address *address)
{
	return address->any.sa_family == AF_INET ? sizeof(address->v4) : sizeof(address->v6);
}

int socket__listen(union address *address, int backlog)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = address__len(address);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(bind(fd, &address->any, len), 0);
	ASSERT_EQ(listen(fd, backlog), 0);
	ASSERT_EQ(getsockname(fd, &address->any, &len), 0);
	return fd;
}

int socket__connect(const union address *address)
{
	int fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

	ASSERT_GE(fd, 0);
	if (connect(fd, &address->any, address__len(address))) {
		int err = -errno;

		close(fd);
		return err;
	}
	return fd;
}

void socket__reset(int listener, const union address *address, int n, size_t request,
		   size_t response)
{
	struct linger at_once = {.l_onoff = 1, .l_linger = 0};
	int client, server;
	char byte;

	for (int i = 0; i < n; i++) {
		client = socket__connect(address);
		server = accept(listener, NULL, NULL);
		ASSERT_GE(server, 0);
		socket__send_all(client, request);
		ASSERT_EQ(socket__receive_all(server, request), request);
		socket__send_all(server, response);
		ASSERT_EQ(socket__receive_all(client, response), response);
		while (socket__info(client).tcpi_unacked || socket__info(server).tcpi_unacked)
			usleep(1000);
		ASSERT_EQ(setsockopt(server, SOL_SOCKET, SO_LINGER, &at_once, sizeof(at_once)), 0);
		close(server);
		ASSERT_EQ(recv(client, &byte, 1, 0), -1);
		ASSERT_EQ(errno, ECONNRESET);
		close(client);
	}
}

void socket__send_all(int fd, size_t n)
{
	static char bytes[65536];

	while (n) {
		ssize_t sent = send(fd, bytes, n < sizeof(bytes) ? n : sizeof(bytes), MSG_NOSIGNAL);

		ASSERT_GT(sent, 0);
		n -= sent;
	}
}

size_t socket__receive_all(int fd, size_t n)
{
	static char bytes[65536];
	size_t total = 0;

	while (total < n) {
		size_t left = n - total;
		ssize_t got = recv(fd, bytes, left < sizeof(bytes) ? left : sizeof(bytes), 0);

		ASSERT_GE(got, 0);
		if (!got)
			break;
		total += got;
	}
	return total;
}

struct tcp_info socket__info(int fd)
{
	struct tcp_info info = {};
	socklen_t len = sizeof(info);

	ASSERT_EQ(getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len), 0);
	return info;
}

/* Both files have pairs of lines: names, then numbers. */
static bool find_mib(const char *path, const char *group, const char *name,
		     unsigned long long *value)
{
	char names[8192], numbers[8192], *n_at, *v_at, *n, *v;
	size_t len = strlen(group);
	bool found = false;
	FILE *file = fopen(path, "re");

	ASSERT_TRUE(file != NULL);
	while (!found && fgets(names, sizeof(names), file) &&
	       fgets(numbers, sizeof(numbers), file)) {
		if (strncmp(names, group, len) || names[len] != ':')
			continue;
		n = strtok_r(names, " \n", &n_at);
		v = strtok_r(numbers, " \n", &v_at);
		while (n && v && strcmp(n, name)) {
			n = strtok_r(NULL, " \n", &n_at);
			v = strtok_r(NULL, " \n", &v_at);
		}
		found = n && v;
		if (found)
			*value = strtoull(v, NULL, 10);
	}
	fclose(file);
	return found;
}

unsigned long long mib(const char *group, const char *name)
{
	unsigned long long value = 0;

	/* Of this thread: a process's own may be another's. */
	ASSERT_TRUE(find_mib("/proc/thread-self/net/snmp", group, name, &value) ||
		    find_mib("/proc/thread-self/net/netstat", group, name, &value));
	return value;
}
