// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "nearest.h"

#include <stdio.h>
#include <string.h>

/* Levenshtein's distance. */
static size_t distance(const char *a, const char *b)
{
	size_t row[sizeof(((struct nearest *)0)->best)], len = strlen(b), diagonal, up;

	if (len >= sizeof(row) / sizeof(row[0]))
		return len;
	for (size_t j = 0; j <= len; j++)
		row[j] = j;
	for (size_t i = 1; a[i - 1]; i++) {
		diagonal = row[0];
		row[0] = i;
		for (size_t j = 1; j <= len; j++) {
			size_t best = diagonal + (a[i - 1] != b[j - 1]);

			up = row[j];
			if (up + 1 < best)
				best = up + 1;
			if (row[j - 1] + 1 < best)
				best = row[j - 1] + 1;
			row[j] = best;
			diagonal = up;
		}
	}
	return row[len];
}

void nearest__begin(struct nearest *nearest, const char *word)
{
	nearest->word = word;
	nearest->best[0] = '\0';
	nearest->least = strlen(word) / 2 + 1;
}

void nearest__consider(struct nearest *nearest, const char *candidate)
{
	size_t far = distance(nearest->word, candidate);

	if (far >= nearest->least)
		return;
	nearest->least = far;
	snprintf(nearest->best, sizeof(nearest->best), "%s", candidate);
}
