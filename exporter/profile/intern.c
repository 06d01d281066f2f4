// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "intern.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE (64 * 1024)
#define FIRST_SLOTS 64

struct arena_chunk {
	struct arena_chunk *next;
	size_t used, size;
	char data[] __attribute__((aligned(8)));
};

void *arena__alloc(struct arena *arena, size_t size)
{
	struct arena_chunk *chunk = arena->chunks;
	void *at;

	size = (size + 7) & ~(size_t)7;
	if (!chunk || chunk->size - chunk->used < size) {
		size_t room = size > CHUNK_SIZE / 4 ? size : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		chunk->used = 0;
		chunk->size = room;
		/* One of a single large value is full at once: the present one goes on. */
		if (room == size && arena->chunks) {
			chunk->next = arena->chunks->next;
			arena->chunks->next = chunk;
		} else {
			chunk->next = arena->chunks;
			arena->chunks = chunk;
		}
	}
	at = chunk->data + chunk->used;
	chunk->used += size;
	return at;
}

static void drop_chunks(struct arena_chunk *chunk)
{
	while (chunk) {
		struct arena_chunk *next = chunk->next;

		free(chunk);
		chunk = next;
	}
}

void arena__reset(struct arena *arena)
{
	struct arena_chunk *keep = arena->chunks;

	if (!keep)
		return;
	drop_chunks(keep->next);
	keep->next = NULL;
	keep->used = 0;
}

void arena__free(struct arena *arena)
{
	drop_chunks(arena->chunks);
	arena->chunks = NULL;
}

/* A product's two halves, folded: no bit of it is a plain copy of a few bits of the input. */
static __u64 mix(__u64 a, __u64 b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (__u64)product ^ (__u64)(product >> 64);
}

static __u32 hash_bytes(const __u64 seed[2], const void *data, size_t len)
{
	__u64 hash = seed[0] ^ len, word;
	const char *at = data;

	for (; len >= sizeof(word); at += sizeof(word), len -= sizeof(word)) {
		memcpy(&word, at, sizeof(word));
		hash = mix(hash ^ word, seed[1]);
	}
	word = 0;
	if (len)
		memcpy(&word, at, len);
	hash = mix(hash ^ word, seed[1]);
	return hash ^ hash >> 32;
}

static int grow_slots(struct table *table)
{
	__u32 n = table->n_slots ? 2 * table->n_slots : FIRST_SLOTS;
	__u32 *slots = calloc(n, sizeof(*slots));

	if (!slots)
		return -ENOMEM;
	for (__u32 i = 0; i < table->n; i++) {
		__u32 slot = table->entries[i].hash & (n - 1);

		while (slots[slot])
			slot = (slot + 1) & (n - 1);
		slots[slot] = i + 1;
	}
	free(table->slots);
	table->slots = slots;
	table->n_slots = n;
	return 0;
}

static int grow_entries(struct table *table)
{
	__u32 room = table->room ? table->room + table->room / 2 : FIRST_SLOTS / 2;
	struct table_entry *more = reallocarray(table->entries, room, sizeof(*more));

	if (!more)
		return -ENOMEM;
	table->entries = more;
	table->room = room;
	return 0;
}

int table__intern(struct table *table, struct arena *arena, const __u64 seed[2], const void *data,
		  size_t len)
{
	__u32 hash = hash_bytes(seed, data, len), slot;
	struct table_entry *entry;
	void *copy;

	if (table->n >= INT_MAX / 2 || len > UINT_MAX)
		return -ENOMEM;
	if (2 * (table->n + 1) > table->n_slots && grow_slots(table))
		return -ENOMEM;
	for (slot = hash & (table->n_slots - 1); table->slots[slot];
	     slot = (slot + 1) & (table->n_slots - 1)) {
		entry = &table->entries[table->slots[slot] - 1];
		if (entry->hash == hash && entry->len == len && !memcmp(entry->data, data, len))
			return table->slots[slot] - 1;
	}
	if (table->n == table->room && grow_entries(table))
		return -ENOMEM;
	copy = arena__alloc(arena, len);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, data, len);
	table->entries[table->n] = (struct table_entry){copy, len, hash};
	table->slots[slot] = table->n + 1;
	return table->n++;
}

void table__clear(struct table *table)
{
	if (table->n_slots)
		memset(table->slots, 0, table->n_slots * sizeof(*table->slots));
	table->n = 0;
}

void table__free(struct table *table)
{
	free(table->entries);
	free(table->slots);
	*table = (struct table){0};
}
