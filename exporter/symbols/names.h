/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Strings, each kept once, all forgotten together. */
#ifndef OTELBPF_SYMBOLS_NAMES_H
#define OTELBPF_SYMBOLS_NAMES_H

#include <stddef.h>
#include <linux/types.h>

struct names_chunk;

/** struct names - an arena with an index of the strings in it. Starts zeroed. */
struct names {
	struct names_chunk *chunk;
	const char **slots;
	size_t n_slots, n, bytes;
};

/** names__put - the one copy of a string; NULL when there is no memory */
const char *names__put(struct names *names, const char *text, size_t len);

/** names__alloc - room that lives as long as the strings do; aligned for pointers */
void *names__alloc(struct names *names, size_t size);
void names__clear(struct names *names);

/** names__hash - FNV-1a */
__u64 names__hash(const void *bytes, size_t len);

#endif
