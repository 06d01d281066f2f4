/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What may stand between an exporter and a receiver: a proxy of HTTP (CONNECT, and requests with
 * a whole URL), or a plain relay, either of which cuts, delays and corrupts what passes. Threads
 * of the test run it.
 */
#ifndef SELFTESTS_PROXY_H
#define SELFTESTS_PROXY_H

#include <stdbool.h>
#include <stddef.h>

/**
 * struct fault - what happens to one connection; all zero: nothing
 * @refuse:       answer with this status in place of connecting
 * @cut_up:       close both sides after so many bytes from the client
 * @cut_down:     likewise after so many bytes to the client
 * @corrupt_up:   invert a bit of the byte with this number, from 1, of those from the client
 * @corrupt_down: likewise of those to the client
 * @cut_answer:   close before what comes from the other side once so many bytes went up
 * @corrupt_answer: likewise invert a bit of its last byte
 * @delay_ms:     hold back what goes to the client for so long, once
 *
 * Neither CONNECT nor the answer to it counts as bytes.
 */
struct fault {
	int refuse;
	size_t cut_up;
	size_t cut_down;
	size_t corrupt_up;
	size_t corrupt_down;
	size_t cut_answer;
	size_t corrupt_answer;
	unsigned int delay_ms;
};

struct proxy;

/**
 * proxy__start - listen
 * @address: "127.0.0.1", "::1"; for a unix socket a path, which starts with a slash, or "@NAME" for
 * one without a file
 * @target:  "http://127.0.0.1:PORT" of a receiver to relay to; NULL: be a proxy of HTTP
 * @faults:  of the first connections; those after them have none; kept by the caller
 * @n_faults: how many
 *
 * Return: NULL when this machine has no such address.
 */
struct proxy *proxy__start(const char *address, const char *target, const struct fault *faults,
			   size_t n_faults);

/** proxy__url - http://ADDRESS:PORT, unix:///PATH or unix-abstract:NAME */
const char *proxy__url(const struct proxy *proxy);

/**
 * proxy__count - connections so far; proxy__tunnels - those that asked for CONNECT;
 * proxy__harmed - those whose fault has taken place
 */
size_t proxy__count(struct proxy *proxy);
size_t proxy__harmed(struct proxy *proxy);
size_t proxy__tunnels(struct proxy *proxy);

/** proxy__stop - close everything */
void proxy__stop(struct proxy *proxy);

#endif
