// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The layout is the kernel's promise to user space (include/uapi/linux/bpf.h, the flags
 * BPF_RINGBUF_BUSY_BIT and BPF_RINGBUF_DISCARD_BIT; Documentation/bpf/ringbuf.rst): a page with
 * the consumer's position, one with the producer's, the data twice in a row. Each record has
 * a header of 8 bytes, whose first 4 are its length with the two flags, and begins at a
 * multiple of 8.
 */
#include "ring.h"

#include <errno.h>
#include <linux/bpf.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int ring__open(struct ring *ring, int fd, size_t size, bool owner)
{
	size_t page = sysconf(_SC_PAGESIZE);
	void *consumer, *producer;
	int err;

	*ring = (struct ring){.size = size, .page = page};
	if (!size || size & (size - 1) || size % page)
		return -EINVAL;
	consumer = mmap(NULL, page, owner ? PROT_READ | PROT_WRITE : PROT_READ, MAP_SHARED, fd, 0);
	if (consumer == MAP_FAILED)
		return -errno;
	producer = mmap(NULL, page + 2 * size, PROT_READ, MAP_SHARED, fd, page);
	if (producer == MAP_FAILED) {
		err = -errno;
		munmap(consumer, page);
		return err;
	}
	ring->consumer = consumer;
	ring->producer = producer;
	ring->data = (const __u8 *)producer + page;
	return 0;
}

void ring__close(struct ring *ring)
{
	if (ring->consumer) {
		munmap(ring->consumer, ring->page);
		munmap((void *)ring->producer, ring->page + 2 * ring->size);
	}
	*ring = (struct ring){0};
}

__u64 ring__position(const struct ring *ring)
{
	return __atomic_load_n(ring->consumer, __ATOMIC_ACQUIRE);
}

__u64 ring__used(const struct ring *ring, __u64 position)
{
	return __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE) - position;
}

bool ring__next(const struct ring *ring, __u64 *position, const void **record, size_t *len)
{
	__u64 end = __atomic_load_n(ring->producer, __ATOMIC_ACQUIRE);
	const __u8 *at = ring->data + (*position & (ring->size - 1));
	__u32 header;

	if (end - *position < BPF_RINGBUF_HDR_SZ || end - *position > ring->size)
		return false;
	header = __atomic_load_n((const __u32 *)at, __ATOMIC_ACQUIRE);
	if (header & BPF_RINGBUF_BUSY_BIT)
		return false;
	*len = header & ~(BPF_RINGBUF_BUSY_BIT | BPF_RINGBUF_DISCARD_BIT);
	if (*len > end - *position - BPF_RINGBUF_HDR_SZ)
		return false;
	*record = header & BPF_RINGBUF_DISCARD_BIT ? NULL : at + BPF_RINGBUF_HDR_SZ;
	*position += (BPF_RINGBUF_HDR_SZ + *len + 7) / 8 * 8;
	return true;
}

void ring__consume(struct ring *ring, __u64 position)
{
	__atomic_store_n(ring->consumer, position, __ATOMIC_RELEASE);
}
