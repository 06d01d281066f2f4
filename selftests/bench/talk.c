// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Two ends of a TCP conversation, for measuring what tracing adds to it.
 *
 *	talk serve ADDRESS PORT CPU            until it is killed; "ready" when it listens
 *	talk connect ADDRESS PORT CPU BLOCKS   connect, 1 byte, 1 byte back, close: ns each
 *	talk pingpong ADDRESS PORT CPU BLOCKS  1 byte, 1 byte back, over one connection: ns each
 *	talk datagram ADDRESS PORT CPU BLOCKS  the same over UDP
 *
 * Both ends on one CPU: what is measured is the work of both, not who waits for whom. It prints
 * the lower quartile of so many blocks: what disturbs one on a shared machine makes it longer.
 */
#include <arpa/inet.h>
#include <err.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define BLOCK 100
#define BLOCKS_MAX 10000

static struct sockaddr_in address = {.sin_family = AF_INET};

static double now_ns(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e9 + t.tv_nsec;
}

static int make(int type)
{
	int fd = socket(AF_INET, type | SOCK_CLOEXEC, 0), one = 1;

	if (fd < 0)
		err(1, "socket");
	if (type == SOCK_STREAM)
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	return fd;
}

static int reach(int type)
{
	int fd = make(type);

	if (connect(fd, (struct sockaddr *)&address, sizeof(address)))
		err(1, "connect");
	return fd;
}

/* One conversation: what comes goes back. 'c' asks to close after it. */
static void answer(int fd)
{
	char byte;

	while (read(fd, &byte, 1) == 1 && write(fd, &byte, 1) == 1 && byte != 'c')
		;
	close(fd);
}

static void echo_datagram(int fd)
{
	struct sockaddr_in from;
	socklen_t len = sizeof(from);
	char byte;

	if (recvfrom(fd, &byte, 1, 0, (struct sockaddr *)&from, &len) == 1)
		sendto(fd, &byte, 1, 0, (struct sockaddr *)&from, len);
}

static _Noreturn void serve(void)
{
	struct pollfd fds[2] = {{.events = POLLIN}, {.events = POLLIN}};
	int one = 1;

	fds[0].fd = make(SOCK_STREAM);
	fds[1].fd = make(SOCK_DGRAM);
	setsockopt(fds[0].fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	if (bind(fds[0].fd, (struct sockaddr *)&address, sizeof(address)) ||
	    bind(fds[1].fd, (struct sockaddr *)&address, sizeof(address)) || listen(fds[0].fd, 128))
		err(1, "bind");
	puts("ready");
	fflush(stdout);
	for (;;) {
		if (poll(fds, 2, -1) < 0)
			err(1, "poll");
		if (fds[0].revents)
			answer(accept(fds[0].fd, NULL, NULL));
		if (fds[1].revents)
			echo_datagram(fds[1].fd);
	}
}

static void turn(int fd, char byte)
{
	if (write(fd, &byte, 1) != 1 || read(fd, &byte, 1) != 1)
		err(1, "turn");
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	static double took[BLOCKS_MAX];
	int blocks, fd = -1;
	cpu_set_t cpus;
	char byte;

	if (argc < 5)
		errx(2, "see the head of talk.c");
	if (inet_pton(AF_INET, argv[2], &address.sin_addr) != 1)
		errx(2, "not an address: %s", argv[2]);
	address.sin_port = htons(atoi(argv[3]));
	CPU_ZERO(&cpus);
	CPU_SET(atoi(argv[4]), &cpus);
	if (sched_setaffinity(0, sizeof(cpus), &cpus))
		err(1, "CPU %s", argv[4]);
	if (!strcmp(argv[1], "serve"))
		serve();
	blocks = argc > 5 ? atoi(argv[5]) : 0;
	if (blocks < 1 || blocks > BLOCKS_MAX)
		errx(2, "1 to %d blocks", BLOCKS_MAX);
	if (strcmp(argv[1], "connect"))
		fd = reach(strcmp(argv[1], "datagram") ? SOCK_STREAM : SOCK_DGRAM);
	for (int i = 0; i < blocks; i++) {
		double from = now_ns();

		for (int n = 0; n < BLOCK; n++) {
			if (fd >= 0) {
				turn(fd, 'p');
				continue;
			}
			fd = reach(SOCK_STREAM);
			turn(fd, 'c');
			if (read(fd, &byte, 1))
				err(1, "no end");
			close(fd);
			fd = -1;
		}
		took[i] = (now_ns() - from) / BLOCK;
	}
	qsort(took, blocks, sizeof(took[0]), compare);
	printf("%.1f\n", took[blocks / 4]);
	return 0;
}
