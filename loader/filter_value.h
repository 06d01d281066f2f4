/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Filters as a person writes them, and as maps hold them. */
#ifndef OTELBPF_LOADER_FILTER_VALUE_H
#define OTELBPF_LOADER_FILTER_VALUE_H

#include <otelbpf/meta.h>

#include "failure.h"
#include "filter.h"

#define FILTER_TEXT 4160

/**
 * struct filter_kind - a kind that every probe's filter has
 * @name:  on the command line
 * @kind:  enum otel_filter_kind
 * @parse: text to key
 * @print: key to text, FILTER_TEXT bytes
 */
struct filter_kind {
	const char *name;
	enum otel_filter_kind kind;
	int (*parse)(const char *text, struct otel_filter_key *key, struct failure *failure);
	void (*print)(const struct otel_filter_key *key, char *text);
};

/** filter_kind__find - by name, or NULL */
const struct filter_kind *filter_kind__find(const char *name);

/** filter_kind__nth - the n-th kind, or NULL behind the last */
const struct filter_kind *filter_kind__nth(int n);

/**
 * filter_value__bits - the bits of a name in a set
 * @set:     which set; its decoder knows the names
 * @text:    a name, or a number
 * @bits:    filled with at most @max; a name may stand for several numbers
 * @failure: filled on failure
 *
 * Return: how many, or 0.
 */
int filter_value__bits(const struct filter_set *set, const char *text, __u32 *bits, int max,
		       struct failure *failure);

/**
 * filter_value__number - the number that has a bit
 *
 * The decoder only says the way from number to bit. Its inverse is found by trying:
 * a number is small, but for one high bit at most, which marks a variant.
 *
 * Return: true if there is one.
 */
bool filter_value__number(const struct filter_set *set, __u32 bit, __u64 *number);

/**
 * filter_value__add - let a filter pass what a person named
 * @filter:  open
 * @probe:   whose it is, for messages
 * @text:    "KIND=VALUE", a kind of every filter or of one of its sets
 * @failure: filled on failure
 *
 * Return: 0 or an exit code.
 */
int filter_value__add(struct filter *filter, const char *probe, const char *text,
		      struct failure *failure);

/** filter_value__descendants - add the present descendants of processes
 * @keys: array of pids, grown; to be freed
 * @n:    its length, updated
 *
 * Return: 0 or -errno.
 */
int filter_value__descendants(struct otel_filter_key **keys, int *n);

#endif
