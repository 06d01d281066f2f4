/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A pinned BPF ring buffer, read where it is. libbpf's reader moves the position on as it
 * reads; this one leaves that to whoever knows that the records have arrived.
 */
#ifndef OTELBPF_EVENT_RING_H
#define OTELBPF_EVENT_RING_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct ring - an open ring
 * @size:     of its data, a power of two
 * @consumer: its position, in a page of its own; up to there the kernel may write again
 * @producer: the kernel's, with the data behind it, twice, so that no record is cut in two
 * @data:     of @producer
 * @page:     size of a page
 */
struct ring {
	size_t size, page;
	__u64 *consumer;
	const __u64 *producer;
	const __u8 *data;
};

/**
 * ring__open - map a ring
 * @ring:  filled in
 * @fd:    of the map; may be closed afterwards
 * @size:  its max_entries
 * @owner: ring__consume() will be called
 *
 * Return: 0 or -errno.
 */
int ring__open(struct ring *ring, int fd, size_t size, bool owner);
void ring__close(struct ring *ring);

/** ring__position - where its unread part begins */
__u64 ring__position(const struct ring *ring);

/** ring__used - bytes from a position to where the kernel writes */
__u64 ring__used(const struct ring *ring, __u64 position);

/**
 * ring__next - the record at a position
 * @ring:     open
 * @position: where to look; moved behind the record
 * @record:   set to the record, or to NULL for one that was given up by its writer
 * @len:      set to its bytes
 *
 * Return: false when there is none, or its writer has not finished it.
 */
bool ring__next(const struct ring *ring, __u64 *position, const void **record, size_t *len);

/** ring__consume - give what lies before a position back to the kernel */
void ring__consume(struct ring *ring, __u64 position);

#endif
