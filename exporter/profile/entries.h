/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Read: the entries of a hash table that carry the number of a window; and delete them. */
#ifndef OTELBPF_PROFILE_ENTRIES_H
#define OTELBPF_PROFILE_ENTRIES_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

struct keys_chunk;

/**
 * struct keys - a list of keys of one map, which never move
 * @size: of a key
 *
 * In chunks: growing it never copies it, and a chunk is deleted with one system call.
 */
struct keys {
	__u32 size;
	struct keys_chunk *first, *last;
};

/** keys__add - a copy of a key, aligned to 8 bytes if its size is; NULL: no memory */
const char *keys__add(struct keys *keys, const void *key);

/**
 * keys__delete - delete these keys from a map
 *
 * Those that are not there any more are none of our business. Return: how many were.
 */
size_t keys__delete(const struct keys *keys, int fd);

void keys__free(struct keys *keys);

/**
 * struct entries - what is wanted of a table
 * @fd:         the map
 * @key_size:   of it
 * @value_size: of it
 * @window_at:  offset in the key of the window's number
 * @from:       first window that is wanted
 * @to:         first one behind
 * @every:      there are no windows, or @take looks at them itself: every entry is wanted
 * @older:      gets the keys of windows before @from; NULL: they are of no interest
 * @take:       called for each entry that is wanted: 0, or -errno to end it. What it is given
 *              is gone when it returns.
 * @ctx:        for @take
 */
struct entries {
	int fd;
	__u32 key_size, value_size;
	__u32 window_at;
	__u32 from, to;
	bool every;
	struct keys *older;
	int (*take)(void *ctx, const char *key, const char *value);
	void *ctx;
};

/** entries__read - a pass over the table: 0 or -errno */
int entries__read(const struct entries *entries);

#endif
