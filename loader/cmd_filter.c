// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf filter: what loaded probes measure. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "cleanup.h"
#include "fail.h"
#include "filter.h"
#include "filter_list.h"
#include "filter_value.h"
#include "guard.h"
#include "pins.h"
#include "probe.h"
#include "report.h"

/* A name may be a native call, a 32-bit one, …; a command line has not that many names. */
#define BITS_MAX 2048

/**
 * struct request - what is to be done with each probe's filter
 * @kind:   word on the command line; NULL for all (clear)
 * @common: if it is a kind that every filter has
 * @keys:   its values then, @n of them
 * @texts:  the values as written, @n_texts of them
 */
struct request {
	const struct args *args;
	const char *kind;
	const struct filter_kind *common;
	struct otel_filter_key *keys;
	int n;
	char **texts;
	int n_texts;
};

typedef int (*request_fn)(const struct request *request, struct probe *probe, struct filter *filter,
			  struct failure *failure);

static int write_failed(const struct probe *probe, const struct filter *filter, int err,
			struct failure *failure)
{
	if (err == -E2BIG)
		return failed(failure, EXIT_MAP,
			      "the filter of probe '%s' is full: %u entries; nothing was added",
			      probe->name, filter->max);
	return failed(failure, err == -EPERM || err == -EACCES ? EXIT_PERMISSION : EXIT_MAP,
		      "cannot change the filter of probe '%s': %s%s", probe->name,
		      failure__reason(err),
		      err == -EPERM ? ": CAP_SYS_ADMIN is needed to find it by its BTF" : "");
}

/* --- add ------------------------------------------------------------------------- */

static int resolve_bits(const struct request *request, const struct filter_set *set, __u32 *bits,
			struct failure *failure)
{
	int n = 0;

	for (int i = 0; i < request->n_texts; i++) {
		int more;

		more = filter_value__bits(set, request->texts[i], bits + n, BITS_MAX - n, failure);
		if (!more)
			return 0;
		n += more;
	}
	return n;
}

static int add_to_set(const struct request *request, const struct probe *probe,
		      struct filter *filter, struct failure *failure)
{
	struct filter_set *set = filter__find_set(filter, request->kind);
	bool deny = request->args->deny;
	__u32 bits[BITS_MAX];
	int n = resolve_bits(request, set, bits, failure);

	if (!n)
		return failure->code;
	if (filter__set_add(filter, set, bits, n, deny))
		return failed(failure, EXIT_USAGE,
			      "the %s filter of probe '%s' lists what %s: either allow or deny, "
			      "otelbpf filter clear %s begins anew",
			      request->kind, probe->name, deny ? "passes" : "does not pass",
			      request->kind);
	return 0;
}

/*
 * Children that are there already. The parents' entries are in place, so from now
 * on a fork takes its entry along, and what is found here is all there was before.
 */
static int add_descendants(const struct request *request, struct filter *filter, __u32 verdict)
{
	_cleanup_free_ struct otel_filter_key *keys = malloc(request->n * sizeof(*keys));
	int n = request->n, err;

	if (!keys)
		return -ENOMEM;
	memcpy(keys, request->keys, n * sizeof(*keys));
	err = filter_value__descendants(&keys, &n);
	if (!err && n > request->n)
		err = filter__add(filter, keys + request->n, n - request->n, verdict);
	return err;
}

static int add(const struct request *request, struct probe *probe, struct filter *filter,
	       struct failure *failure)
{
	__u32 verdict = (request->args->deny ? 0 : OTEL_FILTER_PASS) |
			(request->args->children ? OTEL_FILTER_CHILDREN : 0);
	int err;

	if (!request->common)
		return add_to_set(request, probe, filter, failure);
	err = filter__add(filter, request->keys, request->n, verdict);
	if (!err && request->args->children)
		err = add_descendants(request, filter, verdict);
	return err ? write_failed(probe, filter, err, failure) : 0;
}

/* --- del, clear -------------------------------------------------------------------- */

static int absent_error(const struct request *request, const struct probe *probe, const char *text,
			struct failure *failure)
{
	return failed(failure, EXIT_MAP, "the filter of probe '%s' has no %s '%s'; nothing changed",
		      probe->name, request->kind, text);
}

static int del_from_set(const struct request *request, const struct probe *probe,
			struct filter *filter, struct failure *failure)
{
	struct filter_set *set = filter__find_set(filter, request->kind);
	__u32 bits[BITS_MAX];
	int n = 0;

	for (int i = 0; i < request->n_texts; i++) {
		int more;

		more = filter_value__bits(set, request->texts[i], bits + n, BITS_MAX - n, failure);
		if (!more)
			return failure->code;
		for (int j = 0; j < more; j++)
			if (!filter__set_lists(filter, set, bits[n + j]))
				return absent_error(request, probe, request->texts[i], failure);
		n += more;
	}
	filter__set_del(filter, set, bits, n);
	return 0;
}

/* Of the present descendants, those that have an entry. */
static int with_descendants(const struct request *request, const struct filter *filter,
			    struct otel_filter_key **keys, int *n)
{
	int err, kept = request->n;
	__u32 verdict;

	err = filter_value__descendants(keys, n);
	for (int i = request->n; i < *n && !err; i++)
		if (!filter__lookup(filter, &(*keys)[i], &verdict))
			(*keys)[kept++] = (*keys)[i];
	*n = kept;
	return err;
}

static int del(const struct request *request, struct probe *probe, struct filter *filter,
	       struct failure *failure)
{
	_cleanup_free_ struct otel_filter_key *keys = NULL;
	int n = request->n, absent = 0, err = 0;

	if (!request->common)
		return del_from_set(request, probe, filter, failure);
	keys = malloc(n * sizeof(*keys));
	if (!keys)
		return write_failed(probe, filter, -ENOMEM, failure);
	memcpy(keys, request->keys, n * sizeof(*keys));
	if (request->args->children)
		err = with_descendants(request, filter, &keys, &n);
	if (!err)
		err = filter__del(filter, keys, n, &absent);
	if (err == -ENOENT)
		return absent_error(request, probe, request->texts[absent], failure);
	return err ? write_failed(probe, filter, err, failure) : 0;
}

static int clear(const struct request *request, struct probe *probe, struct filter *filter,
		 struct failure *failure)
{
	int err = 0;

	for (__u32 kind = 0; kind < OTEL_FILTER_KINDS && !err; kind++) {
		__u32 wanted = request->common ? request->common->kind : OTEL_FILTER_SET;

		if (!request->kind || kind == wanted)
			err = filter__clear(filter, kind);
	}
	return err ? write_failed(probe, filter, err, failure) : 0;
}

/* --- each probe --------------------------------------------------------------------- */

static bool has_kind(struct filter *filter, const struct request *request)
{
	if (!request->kind)
		return true;
	return request->common ? filter->entries >= 0 : !!filter__find_set(filter, request->kind);
}

static void list_kinds(const struct filter *filter, char *text, size_t size)
{
	const struct filter_kind *kind;
	size_t len = strlen(text);

	for (int i = 0; filter->entries >= 0 && (kind = filter_kind__nth(i)) && len < size; i++)
		len += snprintf(text + len, size - len, " %s", kind->name);
	for (int i = 0; i < filter->sets && len < size; i++)
		len += snprintf(text + len, size - len, " %s", filter->set[i].kind);
}

/* Returns -1 if the probe has no such filter and was not asked for, else as @fn. */
static int with_probe(const struct request *request, const char *name, request_fn fn,
		      struct failure *failure)
{
	bool named = request->args->probes;
	char kinds[256] = "";
	struct filter filter = {.view.fd = -1, .entries = -1};
	struct probe probe;
	int code, err;

	code = probe__open_locked(&probe, request->args->pin_dir, name, failure);
	if (code)
		goto cleanup;
	err = filter__open(&filter, probe.dir);
	if (err && err != -ENOENT) {
		code = write_failed(&probe, &filter, err, failure);
	} else if (err || !has_kind(&filter, request)) {
		if (!err)
			list_kinds(&filter, kinds, sizeof(kinds));
		code = failed(failure, EXIT_USAGE, "probe '%s' has no filter%s%s%s%s", name,
			      request->kind ? " of kind " : "", request->kind ? request->kind : "",
			      kinds[0] ? "; it has:" : "", kinds);
		code = named ? code : -1;
	} else {
		/* Half a change would be a filter that nobody asked for. */
		guard__hold();
		code = fn(request, &probe, &filter, failure);
	}
	filter__close(&filter);
cleanup:
	probe__close(&probe);
	return code;
}

static int names_of(const struct args *args, char ***names)
{
	struct args these = *args;

	these.name = (char **)args->probe;
	these.names = args->probes;
	return probe__names(&these, names);
}

static int each_probe(const struct request *request, request_fn fn)
{
	_cleanup_names_ char **names = NULL;
	struct failure failure = {};
	int code = names_of(request->args, &names), first = 0, done = 0;

	if (code)
		return code;
	if (!names || !names[0])
		return fail(EXIT_MAP, "no probe is loaded in %s: otelbpf load",
			    request->args->pin_dir);
	for (char **name = names; *name; name++) {
		code = with_probe(request, *name, fn, &failure);
		if (code < 0)
			continue;
		done++;
		if (code)
			fail(code, "%s", failure.line);
		first = first ? first : code;
	}
	if (!done)
		return fail(EXIT_USAGE, "no loaded probe has such a filter: %s", failure.line);
	return first;
}

/* --- list ----------------------------------------------------------------------------- */

static int list(const struct args *args)
{
	_cleanup_json_ struct json_object *report = json_object_new_object();
	struct json_object *probes = report__list(report, "probes");
	_cleanup_names_ char **names = NULL;
	int code = names_of(args, &names), first = 0;

	if (code)
		return code;
	if (!args->json && (!names || !names[0]))
		inform("no probe is loaded in %s: otelbpf load", args->pin_dir);
	for (char **name = names; name && *name; name++) {
		struct failure failure;
		struct json_object *one;
		struct filter filter;
		struct probe probe;
		int err;

		code = probe__open(&probe, args->pin_dir, *name, &failure);
		if (code) {
			first = first ? first : fail(code, "%s", failure.line);
			continue;
		}
		err = filter__open(&filter, probe.dir);
		if (err && err != -ENOENT) {
			write_failed(&probe, &filter, err, &failure);
			first = first ? first : fail(failure.code, "%s", failure.line);
		} else if (!err) {
			one = report__item(probes);
			report__text(one, "probe", *name);
			filter_list__add(&filter, report__list(one, "filters"));
		}
		filter__close(&filter);
		probe__close(&probe);
	}
	if (args->json)
		report__print(report);
	else
		filter_list__print(report);
	return first;
}

/* --- the command line ------------------------------------------------------------------- */

static int parse(struct request *request, const struct args *args, bool adding)
{
	struct failure failure;
	char path[64];

	request->args = args;
	request->kind = args->names > 1 ? args->name[1] : NULL;
	request->common = request->kind ? filter_kind__find(request->kind) : NULL;
	request->texts = args->name + 2;
	request->n_texts = args->names > 2 ? args->names - 2 : 0;
	if (args->children && (!request->common || request->common->kind != OTEL_FILTER_PID))
		return fail(EXIT_USAGE, "--children goes with pid");
	if (!request->common)
		return 0;
	/* All values are understood before anything changes. */
	request->keys = calloc(request->n_texts + 1, sizeof(*request->keys));
	if (!request->keys)
		return fail(EXIT_INTERNAL, "no memory");
	for (; request->n < request->n_texts; request->n++) {
		struct otel_filter_key *key = &request->keys[request->n];

		key->kind = request->common->kind;
		if (request->common->parse(request->texts[request->n], key, &failure))
			return fail(failure.code, "%s", failure.line);
		snprintf(path, sizeof(path), "/proc/%llu", key->id);
		if (adding && key->kind == OTEL_FILTER_PID && access(path, F_OK))
			return fail(EXIT_USAGE, "there is no process %llu", key->id);
	}
	return 0;
}

static const struct action {
	const char *name;
	request_fn fn; /* NULL: list */
	int names_min, names_max;
	const char *usage;
} actions[] = {
	{"add", add, 3, BITS_MAX / 8, "add KIND VALUE..."},
	{"del", del, 3, BITS_MAX / 8, "del KIND VALUE..."},
	{"clear", clear, 1, 2, "clear [KIND]"},
	{"list", NULL, 1, 1, "list"},
};

int cmd_filter(const struct args *args)
{
	struct request request = {};
	int code = pins__check(args->pin_dir);

	if (code)
		return code;
	for (size_t i = 0; i < sizeof(actions) / sizeof(actions[0]); i++) {
		const struct action *action = &actions[i];

		if (!args->names || strcmp(action->name, args->name[0]))
			continue;
		if (args->names < action->names_min || args->names > action->names_max)
			return fail(EXIT_USAGE, "usage: otelbpf filter %s", action->usage);
		if (!action->fn)
			return list(args);
		code = parse(&request, args, action->fn == add);
		if (!code)
			code = each_probe(&request, action->fn);
		free(request.keys);
		return code;
	}
	return fail(EXIT_USAGE, "filter wants add, del, clear or list: otelbpf filter --help");
}
