/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Interfaces and frames for tests: a network namespace of the test's own, veth pairs in it,
 * and frames of every kind with what a program that counts packets has to make of them.
 */
#ifndef SELFTESTS_FRAMES_H
#define SELFTESTS_FRAMES_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

/**
 * struct frame - a frame and its attributes
 * @name:      for messages
 * @type:      network.type
 * @transport: network.transport
 * @len:       bytes
 * @outer_tag: becomes something else where the outer tag is taken out of the frame first
 * @bytes:     the frame
 */
struct frame {
	const char *name, *type, *transport;
	size_t len;
	bool outer_tag;
	__u8 bytes[512];
};

/** frames__corpus() - well formed, tagged, fragmented, truncated and hostile frames */
const struct frame *frames__corpus(size_t *n);

/** net__isolate() - a network namespace for this process, without a packet of its own; or SKIP */
void net__isolate(void);

/** net__ip() - run ip(8); it has to succeed */
void net__ip(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** net__pair() - a veth pair, both ends up, in this namespace */
void net__pair(const char *a, const char *b);

/**
 * struct net_child - a child in a network namespace of its own
 *
 * net__child() returns when it is there; net__go() lets it run @fn, net__wait_ready() waits
 * until that calls net__ready(), net__stay() waits for another net__go(), net__end() until it has
 * returned without a failure.
 */
struct net_child {
	pid_t pid;
	int go, ready;
};
void net__child(struct net_child *child, void (*fn)(struct net_child *child));
void net__go(struct net_child *child);
void net__stay(struct net_child *child);
void net__ready(struct net_child *child);
void net__wait_ready(struct net_child *child);
void net__end(struct net_child *child);

/** net__send() - send one frame @times through an interface, by AF_PACKET */
void net__send(const char *interface, const void *bytes, size_t len, int times);

/** net__statistic() - of /proc/net/dev: what an interface counted itself */
struct net_statistic {
	__u64 rx_bytes, rx_packets, tx_bytes, tx_packets;
};
struct net_statistic net__statistic(const char *interface);

#endif
