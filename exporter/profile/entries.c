// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "entries.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

/*
 * Keys and values of a batch: little enough to be still in the CPU's cache when they are looked
 * at, as most of a stack's entry is never needed again.
 */
#define BATCH_BYTES (96 * 1024)
#define BATCH_MIN 16
#define BATCH_MAX (1 << 20)
#define CHUNK_BYTES (32 * 1024)

struct keys_chunk {
	struct keys_chunk *next;
	__u32 n, room;
	char data[] __attribute__((aligned(8)));
};

const char *keys__add(struct keys *keys, const void *key)
{
	struct keys_chunk *chunk = keys->last;
	char *at;

	if (!chunk || chunk->n == chunk->room) {
		__u32 room = CHUNK_BYTES / keys->size + 1;

		chunk = malloc(sizeof(*chunk) + (size_t)room * keys->size);
		if (!chunk)
			return NULL;
		chunk->next = NULL;
		chunk->n = 0;
		chunk->room = room;
		*(keys->last ? &keys->last->next : &keys->first) = chunk;
		keys->last = chunk;
	}
	at = chunk->data + (size_t)chunk->n++ * keys->size;
	memcpy(at, key, keys->size);
	return at;
}

static size_t delete_chunk(const struct keys_chunk *chunk, __u32 size, int fd)
{
	size_t deleted = 0;
	__u32 done = 0, n;

	while (done < chunk->n) {
		const char *at = chunk->data + (size_t)done * size;

		n = chunk->n - done;
		if (!bpf_map_delete_batch(fd, at, &n, NULL))
			return deleted + n;
		/* It ends at the first key that it cannot delete, and says how many it has. */
		if ((errno != ENOENT && errno != EBUSY) || n > chunk->n - done)
			n = 0;
		deleted += n;
		done += n;
		/* In the way, maybe, was only a program that had the bucket's lock. */
		if (done < chunk->n)
			deleted += !bpf_map_delete_elem(fd, chunk->data + (size_t)done++ * size);
	}
	return deleted;
}

size_t keys__delete(const struct keys *keys, int fd)
{
	size_t deleted = 0;

	for (const struct keys_chunk *chunk = keys->first; chunk; chunk = chunk->next)
		deleted += delete_chunk(chunk, keys->size, fd);
	return deleted;
}

void keys__free(struct keys *keys)
{
	struct keys_chunk *chunk = keys->first, *next;

	for (; chunk; chunk = next) {
		next = chunk->next;
		free(chunk);
	}
	keys->first = keys->last = NULL;
}

static int take_batch(const struct entries *entries, const char *keys, const char *values, __u32 n)
{
	__u32 window;
	int err = 0;

	for (__u32 i = 0; i < n && !err; i++) {
		const char *key = keys + (size_t)i * entries->key_size;

		if (entries->every) {
			err = entries->take(entries->ctx, key,
					    values + (size_t)i * entries->value_size);
			continue;
		}
		memcpy(&window, key + entries->window_at, sizeof(window));
		/* The numbers go round. */
		if ((__s32)(window - entries->from) < 0)
			err = entries->older && !keys__add(entries->older, key) ? -ENOMEM : 0;
		else if ((__s32)(window - entries->to) < 0)
			err = entries->take(entries->ctx, key,
					    values + (size_t)i * entries->value_size);
	}
	return err;
}

/*
 * A batch holds whole buckets of the hash table, so a position between two batches stays right
 * whatever is added and deleted meanwhile. ENOSPC: the next bucket does not fit; nothing of it
 * was read.
 */
int entries__read(const struct entries *entries)
{
	size_t stride = (size_t)entries->key_size + entries->value_size;
	__u32 batch = BATCH_BYTES / stride, next, position, *in = NULL;
	char *keys = NULL, *values;
	bool last = false;
	int err = 0;

	if (batch < BATCH_MIN)
		batch = BATCH_MIN;
	while (!last && !err) {
		__u32 n = batch;

		if (!keys)
			keys = malloc(batch * stride);
		if (!keys)
			return -ENOMEM;
		values = keys + (size_t)batch * entries->key_size;
		if (bpf_map_lookup_batch(entries->fd, in, &next, keys, values, &n, NULL)) {
			if (errno == ENOSPC && batch < BATCH_MAX) {
				batch *= 2;
				free(keys);
				keys = NULL;
				continue;
			}
			err = errno == ENOENT ? 0 : -errno;
			last = true;
		}
		if (!err)
			err = take_batch(entries, keys, values, n);
		position = next;
		in = &position;
	}
	free(keys);
	return err;
}
