// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/names.h"

#include <stdlib.h>
#include <string.h>

#define CHUNK_SIZE (64 * 1024)

struct names_chunk {
	struct names_chunk *next;
	size_t used, size;
	char data[];
};

__u64 names__hash(const void *bytes, size_t len)
{
	const unsigned char *at = bytes;
	__u64 hash = 0xcbf29ce484222325ULL;

	while (len--)
		hash = (hash ^ *at++) * 0x100000001b3ULL;
	return hash ^ hash >> 32;
}

void *names__alloc(struct names *names, size_t size)
{
	struct names_chunk *chunk = names->chunk;
	size_t at = chunk ? (chunk->used + 7) & ~(size_t)7 : 0;

	if (!chunk || size > chunk->size - (at < chunk->size ? at : chunk->size)) {
		size_t room = size > CHUNK_SIZE ? size : CHUNK_SIZE;

		chunk = malloc(sizeof(*chunk) + room);
		if (!chunk)
			return NULL;
		*chunk = (struct names_chunk){.next = names->chunk, .size = room};
		names->chunk = chunk;
		names->bytes += sizeof(*chunk) + room;
		at = 0;
	}
	chunk->used = at + size;
	return chunk->data + at;
}

static const char **names__slot(const char **slots, size_t n_slots, const char *text, size_t len)
{
	size_t at = names__hash(text, len) & (n_slots - 1);

	while (slots[at] && (strncmp(slots[at], text, len) || slots[at][len]))
		at = (at + 1) & (n_slots - 1);
	return &slots[at];
}

static int names__grow(struct names *names)
{
	size_t n_slots = names->n_slots ? names->n_slots * 2 : 1024;
	const char **slots = calloc(n_slots, sizeof(*slots));

	if (!slots)
		return -1;
	for (size_t i = 0; i < names->n_slots; i++) {
		const char *text = names->slots[i];

		if (text)
			*names__slot(slots, n_slots, text, strlen(text)) = text;
	}
	free(names->slots);
	names->bytes += (n_slots - names->n_slots) * sizeof(*slots);
	names->slots = slots;
	names->n_slots = n_slots;
	return 0;
}

const char *names__put(struct names *names, const char *text, size_t len)
{
	const char **slot;
	char *copy;

	len = strnlen(text, len);
	if (names->n * 4 >= names->n_slots * 3 && names__grow(names))
		return NULL;
	slot = names__slot(names->slots, names->n_slots, text, len);
	if (*slot)
		/* cppcheck-suppress identicalInnerCondition */
		return *slot;
	copy = names__alloc(names, len + 1);
	if (!copy)
		return NULL;
	memcpy(copy, text, len);
	copy[len] = '\0';
	*slot = copy;
	names->n++;
	return copy;
}

void names__clear(struct names *names)
{
	while (names->chunk) {
		struct names_chunk *next = names->chunk->next;

		free(names->chunk);
		names->chunk = next;
	}
	free(names->slots);
	*names = (struct names){0};
}
