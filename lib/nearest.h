/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* "Did you mean": the word of a list that is nearest to what somebody typed. */
#ifndef OTELBPF_NEAREST_H
#define OTELBPF_NEAREST_H

#include <stddef.h>

/**
 * struct nearest - the best so far
 * @word:  what was typed
 * @best:  "" as long as nothing is near enough to be meant
 * @least: its distance
 */
struct nearest {
	const char *word;
	char best[128];
	size_t least;
};

/** nearest__begin - nothing is nearer than half of the word's length */
void nearest__begin(struct nearest *nearest, const char *word);
void nearest__consider(struct nearest *nearest, const char *candidate);

#endif
