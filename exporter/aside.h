/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Asking in a child process what may never be answered: memory and paths of other
 * processes can lie on a file system (FUSE) whose server is hostile, and then a read is
 * a wait that no signal ends. The child waits; the exporter goes on without it.
 */
#ifndef OTELBPF_ASIDE_H
#define OTELBPF_ASIDE_H

#include <stddef.h>
#include <sys/types.h>

#define ASIDE_REQUEST_MAX 8192
#define ASIDE_REPLY_MAX (72 << 10)
#define ASIDE_STUCK_MAX 4

/**
 * typedef aside_work - what the child does; only what is async-signal-safe
 * @request: of @len bytes
 * @reply:   to be filled, room for ASIDE_REPLY_MAX bytes
 * @fd:      the descriptor that came with the request, or -1; it is closed afterwards. May be
 *           set to another, which is handed over with the reply and closed
 *
 * Return: length of the reply, or -errno.
 */
typedef ssize_t aside_work(const void *request, size_t len, void *reply, int *fd);

/**
 * struct aside - a child, started when it is asked first
 * @work:    to be set, the rest 0
 * @pid:     0: not running
 * @fd:      socket to it
 * @stuck:   children that were killed but wait on: no more are started when all are
 */
struct aside {
	aside_work *work;
	pid_t pid;
	int fd;
	pid_t stuck[ASIDE_STUCK_MAX];
};

/**
 * aside__ask - let the child do it
 * @aside:   where
 * @request: at most ASIDE_REQUEST_MAX bytes
 * @len:     its length
 * @reply:   at least ASIDE_REPLY_MAX bytes
 * @fd:      a descriptor to go with the request, or -1; it stays the caller's. Set to what
 *           came with the reply, or -1. NULL: neither
 * @ms:      how long to wait
 *
 * Return: what @aside->work returned; -ETIMEDOUT; -EBUSY when ASIDE_STUCK_MAX children are
 * stuck; another -errno when there can be no child.
 */
ssize_t aside__ask(struct aside *aside, const void *request, size_t len, void *reply, int *fd,
		   int ms);

/** aside__stop - end the child, which may be started again */
void aside__stop(struct aside *aside);

#endif
