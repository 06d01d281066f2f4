/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Network workloads for live tests: a process in a cgroup and a network namespace of its own,
 * and the few socket calls that all of them make.
 */
#ifndef SELFTESTS_SOCKETS_H
#define SELFTESTS_SOCKETS_H

#include <linux/tcp.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <sys/types.h>

#include "live.h"

/**
 * struct place - a process of its own for a part of a test
 * @pid:    the process
 * @gate:   the test's end: it and the process take turns
 */
struct place {
	pid_t pid;
	int gate;
};

/**
 * place__start() - run a function in a cgroup and in a network namespace of its own
 * @place: filled
 * @name:  of the cgroup below the test's; made if need be
 * @fn:    gets @ctx, and its end of the gate; ASSERT_*() in it ends the process with 1
 *
 * The loopback interface is up there. The process ends when the TCP sockets that the function
 * closed are gone.
 */
void place__start(struct place *place, struct live *live, const char *name,
		  void (*fn)(void *ctx, int gate), void *ctx);

/** place__wait() - demand that it ends well */
void place__wait(struct place *place);

/** place__run() - place__start() and place__wait() */
void place__run(struct live *live, const char *name, void (*fn)(void *ctx, int gate), void *ctx);

/** gate__pass() - let the other side go on; gate__await() - wait for it, 60 s at most */
void gate__pass(int gate);
void gate__await(int gate);

/** cgroup__join() - move this thread's process to a cgroup by its directory */
void cgroup__join(const char *directory);

/**
 * struct address - of either family
 */
union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
};

/**
 * address__loopback() - 127.0.0.1, ::1, or (with @mapped) ::ffff:127.0.0.1
 */
union address address__loopback(int family, bool mapped);
socklen_t address__len(const union address *address);

/** socket__listen() - a TCP socket that listens at a free port, which is put into @address */
int socket__listen(union address *address, int backlog);

/** socket__connect() - a TCP socket that is connected, or -errno */
int socket__connect(const union address *address);

/**
 * socket__reset() - so many connections to a listener, each of which its end resets
 * @request:  bytes that have come to it before, and are acknowledged
 * @response: likewise what it has sent
 */
void socket__reset(int listener, const union address *address, int n, size_t request,
		   size_t response);

/** socket__send_all(), socket__receive_all() - exactly so many bytes; until the end of it: all */
void socket__send_all(int fd, size_t n);
size_t socket__receive_all(int fd, size_t n);

/** socket__info() - TCP_INFO */
struct tcp_info socket__info(int fd);

/** mib() - a counter of /proc/net/snmp or /proc/net/netstat of this namespace: "Tcp", "RetransSegs"
 */
unsigned long long mib(const char *group, const char *name);

#endif
