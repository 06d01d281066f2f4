// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_filter.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "filter.h"
#include "filter_value.h"
#include "guard.h"
#include "probe.h"

struct excess {
	const struct args *args;
	const struct filter_kind *kind;
	struct otel_filter_key *key;
	int n;
	bool no_memory;
};

static bool is_wanted(const struct excess *excess, const struct otel_filter_key *key)
{
	size_t len = strlen(excess->kind->name);

	for (int i = 0; i < excess->args->filters; i++) {
		const char *text = excess->args->filter[i];
		struct otel_filter_key wanted = {.kind = key->kind};
		struct failure failure;

		if (strncmp(text, excess->kind->name, len) || text[len] != '=' ||
		    excess->kind->parse(text + len + 1, &wanted, &failure))
			continue;
		if (!memcmp(&wanted, key, sizeof(wanted)))
			return true;
	}
	return false;
}

/* Collected first: a map is not changed while it is walked. */
static int collect(const struct otel_filter_key *key, __u32 verdict, void *arg)
{
	struct excess *excess = arg;
	struct otel_filter_key *more;

	(void)verdict;
	if (is_wanted(excess, key))
		return 0;
	more = reallocarray(excess->key, excess->n + 1, sizeof(*more));
	if (!more) {
		excess->no_memory = true;
		return 0;
	}
	excess->key = more;
	more[excess->n++] = *key;
	return 0;
}

static int remove_entries(struct filter *filter, const struct args *args, int *removed)
{
	const struct filter_kind *kind;
	int err = 0, absent;

	for (int i = 0; filter->entries >= 0 && (kind = filter_kind__nth(i)) && err >= 0; i++) {
		struct excess excess = {.args = args, .kind = kind};

		err = filter__each(filter, kind->kind, collect, &excess);
		if (excess.no_memory)
			err = -ENOMEM;
		if (err >= 0 && excess.n) {
			err = filter__del(filter, excess.key, excess.n, &absent);
			/* A process that has exited took its entry along. */
			err = err == -ENOENT ? 0 : err;
			*removed += err ? 0 : excess.n;
		}
		free(excess.key);
	}
	return err < 0 ? err : 0;
}

static int remove_bits(struct filter *filter, const struct args *args, int *removed)
{
	int err = 0;

	for (int i = 0; i < filter->sets && !err; i++) {
		struct filter_set *set = &filter->set[i];
		_cleanup_free_ bool *wanted = calloc(set->bits, sizeof(*wanted));
		size_t len = strlen(set->kind);
		struct failure failure;
		__u32 bits[64];

		if (!wanted)
			return -ENOMEM;
		for (int j = 0; j < args->filters; j++) {
			const char *text = args->filter[j];
			int n = 0;

			if (!strncmp(text, set->kind, len) && text[len] == '=')
				n = filter_value__bits(set, text + len + 1, bits, 64, &failure);
			while (n--)
				wanted[bits[n]] = true;
		}
		for (__u32 bit = 0; bit < set->bits && !err && filter__set_used(filter, set);
		     bit++) {
			if (wanted[bit] || !filter__set_lists(filter, set, bit))
				continue;
			err = filter__set_del(filter, set, &bit, 1);
			*removed += !err;
		}
	}
	return err;
}

int config_filter__replace(const struct args *args, const char *name, int *removed,
			   struct failure *failure)
{
	struct filter filter = {.view.fd = -1, .entries = -1};
	struct probe probe;
	int code, err;

	*removed = 0;
	code = probe__open_locked(&probe, args->pin_dir, name, failure);
	err = code ? 0 : filter__open(&filter, probe.dir);
	/* Half a change would be a filter that nobody asked for. */
	guard__hold();
	for (int i = 0; i < args->filters && !code && !err; i++)
		code = filter_value__add(&filter, name, args->filter[i], failure);
	if (!code && !err)
		err = remove_entries(&filter, args, removed);
	if (!code && !err)
		err = remove_bits(&filter, args, removed);
	if (err == -ENOENT && !args->filters)
		err = 0;
	if (!code && err)
		code = failed(failure, err == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
			      "cannot change the filter of probe '%s': %s", name,
			      failure__reason(err));
	filter__close(&filter);
	probe__close(&probe);
	return code;
}
