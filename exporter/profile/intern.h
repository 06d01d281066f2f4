/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Values that are kept once: bytes in an arena, found again by a hash table. */
#ifndef OTELBPF_PROFILE_INTERN_H
#define OTELBPF_PROFILE_INTERN_H

#include <linux/types.h>
#include <stddef.h>

struct arena_chunk;

/** struct arena - memory that is given back all at once */
struct arena {
	struct arena_chunk *chunks;
};

/**
 * arena__alloc - memory aligned to 8 bytes, which never moves
 *
 * Return: NULL when there is none.
 */
void *arena__alloc(struct arena *arena, size_t size);

/** arena__reset - give everything back but one chunk, for use again */
void arena__reset(struct arena *arena);
void arena__free(struct arena *arena);

/** struct table_entry - a value: its bytes, in the arena */
struct table_entry {
	const void *data;
	__u32 len;
	__u32 hash;
};

/**
 * struct table - values by index, each of them once
 * @entries: the values; entry 0 is the zero value
 * @n:       how many; indexes are below this
 */
struct table {
	struct table_entry *entries;
	__u32 n, room;
	__u32 *slots; /* index + 1; 0: free. Linear probing, at most half full */
	__u32 n_slots;
};

/**
 * table__intern - the index of a value
 * @table: where
 * @arena: gets a copy of a value that is new
 * @seed:  of the hash: two random numbers, so that whoever chooses the values cannot
 *         choose their places
 * @data:  the value's bytes; a struct has its padding zeroed
 * @len:   how many
 *
 * Return: index, or -ENOMEM.
 */
int table__intern(struct table *table, struct arena *arena, const __u64 seed[2], const void *data,
		  size_t len);

/** table__clear - forget all values, keep the memory of the table itself */
void table__clear(struct table *table);
void table__free(struct table *table);

#endif
