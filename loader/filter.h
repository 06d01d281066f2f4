/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The filter of a loaded probe, and the order in which it is written.
 *
 * Programs read it while we write. Every function here keeps to this: at no
 * instant does it let pass what neither the filter before nor the one after does.
 * Callers hold the probe's lock, so that there is one writer; only the programs
 * themselves add and remove processes as these fork and exit.
 */
#ifndef OTELBPF_LOADER_FILTER_H
#define OTELBPF_LOADER_FILTER_H

#include <otelbpf/meta.h>
#include <stdbool.h>
#include <stddef.h>

#include "mapview.h"

struct decoder;

#define FILTER_SETS_MAX 8

/**
 * struct filter_set - a set of numbers, one bit each
 * @kind:    the decoder's name
 * @decoder: what turns names into numbers and numbers into bits
 * @words:   mapped: bit set means passes
 * @bits:    how many
 */
struct filter_set {
	const char *kind;
	const struct decoder *decoder;
	__u64 *words;
	__u32 bits;
};

/**
 * struct filter - an open filter
 * @view:    the map of its variables
 * @vars:    mapped
 * @deadline: mapped; NULL if the object knows of none
 * @turn:    likewise
 * @entries: descriptor of the map "filters", -1 if there is none
 * @max:     its max_entries
 * @set:     sets of small numbers, @sets of them
 */
struct filter {
	struct mapview view;
	void *image;
	size_t image_size;
	struct otel_filter *vars;
	struct otel_deadline *deadline;
	struct otel_turn *turn;
	int entries;
	__u32 max;
	struct filter_set set[FILTER_SETS_MAX];
	int sets;
};

/**
 * filter__open - find and map a probe's filter
 * @filter: filled; to be closed also after a failure
 * @dir:    the probe's directory
 *
 * It is found by its tags: the variable tagged "filter" and what is tagged "set".
 *
 * Return: 0, -ENOENT if the probe has no filter, -EPERM without CAP_SYS_ADMIN (the
 * kernel's condition for reading BTF), or -errno.
 */
int filter__open(struct filter *filter, const char *dir);
void filter__close(struct filter *filter);

/** filter__find_set - the set of a kind, or NULL */
struct filter_set *filter__find_set(struct filter *filter, const char *kind);

/**
 * filter__add - add entries or change their verdicts
 * @filter:  open
 * @keys:    of one kind
 * @n:       how many, at least 1
 * @verdict: OTEL_FILTER_PASS or 0, with OTEL_FILTER_CHILDREN
 *
 * Return: 0, or -errno with the filter as it was: -E2BIG when the map is full.
 */
int filter__add(struct filter *filter, const struct otel_filter_key *keys, int n, __u32 verdict);

/**
 * filter__del - remove entries; the last one of a kind takes the kind along
 *
 * Return: 0, or -ENOENT with nothing changed if one is not there (its index in @absent).
 */
int filter__del(struct filter *filter, const struct otel_filter_key *keys, int n, int *absent);

/**
 * filter__set_add - add to a set of what passes, or with @deny of what does not
 * @bits: which
 * @n:    how many
 *
 * Return: 0, or -EINVAL if the set is of the other sort.
 */
int filter__set_add(struct filter *filter, struct filter_set *set, const __u32 *bits, int n,
		    bool deny);

/** filter__set_del - take out again; -ENOENT with nothing changed if one of @bits is not in it */
int filter__set_del(struct filter *filter, struct filter_set *set, const __u32 *bits, int n);

/** filter__set_used - whether a set holds anything back */
bool filter__set_used(const struct filter *filter, const struct filter_set *set);

/** filter__set_denies - whether it lists what does not pass */
bool filter__set_denies(const struct filter *filter);

/** filter__set_lists - whether a bit is in the list that the user made */
bool filter__set_lists(const struct filter *filter, const struct filter_set *set, __u32 bit);

/**
 * filter__clear - remove everything of one kind
 * @kind: enum otel_filter_kind; OTEL_FILTER_SET clears all sets
 */
int filter__clear(struct filter *filter, __u32 kind);

/** filter__lookup - an entry's verdict; 0 or -ENOENT */
int filter__lookup(const struct filter *filter, const struct otel_filter_key *key, __u32 *verdict);

/**
 * filter__each - walk the entries of one kind
 *
 * Return: how many, or -errno.
 */
typedef int (*filter_fn)(const struct otel_filter_key *key, __u32 verdict, void *arg);
int filter__each(const struct filter *filter, __u32 kind, filter_fn fn, void *arg);

#endif
