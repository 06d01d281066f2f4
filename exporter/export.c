// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "export.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fail.h"
#include "pins.h"
#include "state.h"

#define NS 1000000000ULL

static __u64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS + now.tv_nsec;
}

/* Cumulative points may not end before they start, whatever the clock was set to. */
static __u64 export_time(struct exporter *exporter)
{
	__u64 now = clock_ns(CLOCK_REALTIME);

	if (now <= exporter->last_ns)
		now = exporter->last_ns + 1;
	exporter->last_ns = now;
	return now;
}

static size_t request_limit(const struct exporter *exporter)
{
	size_t limit = outputs__limit(&exporter->outputs), set = exporter->settings->limit;

	return set && set < limit ? set : limit;
}

static void count_request(struct exporter *exporter, enum signal_kind kind,
			  const struct pb *request, size_t items)
{
	exporter->points += items;
	exporter->bytes += request->len;
	exporter->requests++;
	stats__converted(exporter->counts, kind, items);
}

/* --- metrics ---------------------------------------------------------------------- */

static int deliver_metrics(const struct pb *request, size_t points, void *ctx)
{
	struct exporter *exporter = ctx;

	count_request(exporter, SIGNAL_METRICS, request, points);
	if (exporter->view)
		return table_view__add(exporter->view, request->data, request->len);
	return outputs__offer(&exporter->outputs, SIGNAL_METRICS, request, points, exporter->taken);
}

/* One output's own requests: what is new to it. */
struct delta_delivery {
	struct exporter *exporter;
	int output;
};

static int deliver_deltas(const struct pb *request, size_t points, void *ctx)
{
	const struct delta_delivery *to = ctx;
	struct tally *tallies[OUTPUTS_MAX] = {NULL};

	tallies[to->output] = &to->exporter->taken[to->output];
	count_request(to->exporter, SIGNAL_METRICS, request, points);
	return outputs__offer_some(&to->exporter->outputs, SIGNAL_METRICS, request, points,
				   tallies);
}

/* Once it is known what became of an output's metrics. */
static int settle_metrics(struct exporter *exporter, int i)
{
	struct delta *delta = &exporter->deltas[i];
	int err;

	if (exporter->taken[i].pending)
		return 0;
	if (!tally__complete(&exporter->taken[i]))
		outputs__lost(&exporter->outputs, i, SIGNAL_METRICS, delta->finals, NULL);
	delta->finals = 0;
	if (!delta->in_flight)
		return 0;
	err = baseline__settle(exporter->outputs.one[i].baseline, delta->each.data,
			       delta->each.len);
	if (err)
		return err;
	exporter->is_settled = true;
	delta->in_flight = false;
	delta->each.len = 0;
	return 0;
}

/*
 * What is new to an output depends on what it has taken. So one that is still at work on an
 * earlier export gets this one when that is known; nobody else waits for that.
 *
 * Return: to how many outputs something was sent, or -errno.
 */
static int advance_metrics(struct exporter *exporter)
{
	struct outputs *outputs = &exporter->outputs;
	int sent = 0, err = 0;

	for (int i = 0; i < outputs->n && !err; i++) {
		struct delta *delta = &exporter->deltas[i];

		err = settle_metrics(exporter, i);
		if (err || !delta->is_due || exporter->taken[i].pending)
			continue;
		exporter->taken[i] = (struct tally){.each = &delta->each};
		delta->is_due = false;
		delta->in_flight = true;
		sent++;
		err = metrics__emit_to(exporter->metrics, outputs->one[i].baseline,
				       exporter->resources, request_limit(exporter), deliver_deltas,
				       &(struct delta_delivery){exporter, i});
		if (!err)
			err = settle_metrics(exporter, i);
	}
	return err ?: sent;
}

/* Return: 0 or -errno. */
static int export_metrics(struct exporter *exporter)
{
	struct outputs *outputs = &exporter->outputs;
	bool deltas = metrics__has_deltas(exporter->metrics);
	int err = advance_metrics(exporter);

	for (int i = 0; i < outputs->n && err >= 0; i++) {
		if (!outputs->one[i].takes_part)
			continue;
		exporter->deltas[i].is_due = deltas;
		if (!exporter->taken[i].pending)
			exporter->taken[i] = (struct tally){0};
	}
	if (err >= 0)
		err = deltas ? advance_metrics(exporter)
			     : metrics__emit(exporter->metrics, exporter->resources,
					     request_limit(exporter), deliver_metrics, exporter);
	return err < 0 ? err : 0;
}

/*
 * Entries of cgroups that are gone are deleted when all outputs have had them. While one is
 * missing they stay, as long as they fill no more than half of their table.
 */
static int evict(struct exporter *exporter)
{
	struct outputs *outputs = &exporter->outputs;
	bool all = true, any = false, has[OUTPUTS_MAX];
	struct baseline *baselines[OUTPUTS_MAX];
	__u64 points;

	for (int i = 0; i < outputs->n; i++) {
		has[i] = outputs->one[i].takes_part && !exporter->deltas[i].is_due &&
			 tally__complete(&exporter->taken[i]);
		all &= has[i];
		any |= has[i];
		baselines[i] = outputs->one[i].baseline;
	}
	if (!all && (!any || !tables__is_pressed(exporter->tables)))
		return 0;
	points = tables__final_points(exporter->tables);
	for (int i = 0; i < outputs->n; i++) {
		if (outputs->one[i].takes_part && exporter->taken[i].pending)
			exporter->deltas[i].finals += points;
		else if (!has[i])
			outputs__lost(outputs, i, SIGNAL_METRICS, points, NULL);
	}
	return tables__evict(exporter->tables, baselines, outputs->n);
}

/* --- profiles --------------------------------------------------------------------- */

static struct tally *window_of(struct exporter *exporter, int i)
{
	struct window *window = &exporter->window[i];

	return &window->tallies[window->current];
}

static int deliver_profiles(const struct pb *request, int profiles, void *ctx)
{
	struct exporter *exporter = ctx;
	struct tally *tallies[OUTPUTS_MAX] = {NULL};

	count_request(exporter, SIGNAL_PROFILES, request, profiles);
	exporter->window_profiles += profiles;
	for (int i = 0; i < exporter->outputs.n; i++)
		if (exporter->window[i].is_given)
			tallies[i] = window_of(exporter, i);
	return outputs__offer_some(&exporter->outputs, SIGNAL_PROFILES, request, profiles, tallies);
}

/* Who gets the window: not those that have it already, or may still come to take it. */
static void begin_window(struct exporter *exporter)
{
	exporter->window_profiles = 0;
	for (int i = 0; i < exporter->outputs.n; i++) {
		struct window *window = &exporter->window[i];
		struct tally *tally = window_of(exporter, i);
		bool has =
			exporter->is_open && window->was_given && (tally->pending || !tally->again);

		window->is_given = exporter->outputs.one[i].takes_part && !has;
		window->was_given = has || window->is_given;
		if (has)
			continue;
		/* What is still pending of an older one keeps its tally. */
		if (tally->pending)
			window->current = !window->current;
		*window_of(exporter, i) = (struct tally){0};
	}
}

/*
 * A window that all outputs have, or have refused, is done with. One that not all have waits for
 * them, but only as long as that holds nobody up: when the next one is due (@force) it is given
 * up for them, unless nobody has taken it. What a receiver refuses for good must not be sent again.
 */
static void settle_window(struct exporter *exporter, bool force)
{
	struct outputs *outputs = &exporter->outputs;
	bool all = true, any = false;

	if (!exporter->is_open)
		return;
	outputs__collect(outputs);
	for (int i = 0; i < outputs->n; i++) {
		const struct tally *tally = window_of(exporter, i);
		bool done = exporter->window[i].was_given && !tally->pending && !tally->again;

		all &= done;
		any |= done && tally->taken;
	}
	if (exporter->window_profiles && !all && !(force && any))
		return;
	for (int i = 0; i < outputs->n; i++) {
		struct tally *tally = window_of(exporter, i);

		outputs__give_up(outputs, i, SIGNAL_PROFILES, tally);
		if (tally->items < exporter->window_profiles)
			outputs__lost(outputs, i, SIGNAL_PROFILES,
				      exporter->window_profiles - tally->items, NULL);
	}
	profiles__acknowledge(exporter->profiles);
	exporter->is_open = false;
}

/* Return: an exit code. */
static int send_window(struct exporter *exporter, bool owner, int *maps)
{
	int err;

	settle_window(exporter, true);
	profile_set__clear(exporter->set);
	begin_window(exporter);
	err = profiles__read(exporter->profiles, exporter->resources, exporter->set, owner,
			     exporter->last_ns);
	*maps += err > 0 ? err : 0;
	if (err >= 0)
		err = profile_set__emit_otlp(exporter->set, request_limit(exporter),
					     deliver_profiles, exporter);
	if (err)
		return fail(EXIT_INTERNAL, "cannot encode profiles: %s", strerror(-err));
	exporter->is_open = owner;
	return EXIT_OK;
}

/*
 * The last export has nobody to come after it: what was still to be acknowledged, then what came
 * since.
 */
static int send_last_window(struct exporter *exporter)
{
	int maps = 0, code;

	if (exporter->is_open || !profiles__left_open(exporter->profiles))
		return EXIT_OK;
	export_time(exporter);
	code = send_window(exporter, true, &maps);
	while (outputs__wait(&exporter->outputs))
		;
	settle_window(exporter, false);
	return code;
}

/* --- events ----------------------------------------------------------------------- */

static int export_events(struct exporter *exporter, bool owner, int *maps)
{
	struct events_counts counts;
	int n = events__export(exporter->events, exporter->resources, &exporter->outputs,
			       request_limit(exporter), owner, &counts);

	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		stats__converted(exporter->counts, kind, counts.items[kind]);
		exporter->points += counts.items[kind];
	}
	exporter->bytes += counts.bytes;
	exporter->requests += counts.requests;
	if (n < 0)
		return fail(EXIT_INTERNAL, "cannot export events: %s", strerror(-n));
	*maps += n;
	return EXIT_OK;
}

/* --- for a person ----------------------------------------------------------------- */

static int write_view(const struct settings *settings, const struct pb *out)
{
	const char *path = settings->n_specs && !strncmp(settings->specs[0], "file:", 5)
				   ? settings->specs[0] + 5
				   : NULL;
	FILE *file = path ? fopen(path, "we") : stdout;
	bool ok;

	if (!file)
		return fail(EXIT_EXPORT, "cannot write %s: %s", path, strerror(errno));
	ok = fwrite(out->data, 1, out->len, file) == out->len && !fflush(file);
	if (path && fclose(file))
		ok = false;
	return ok ? EXIT_OK
		  : fail(EXIT_EXPORT, "cannot write %s: %s", path ? path : "stdout",
			 strerror(errno));
}

/* The kind that is asked for, the first without asking. Return: -1 when there is none. */
static int find_kind(const struct exporter *exporter, int n)
{
	const char *type = exporter->settings->type;

	for (int kind = 0; kind < n; kind++)
		if (!type || !strcmp(profile_set__kind_name(exporter->set, kind), type))
			return kind;
	return -1;
}

int export__view(struct exporter *exporter)
{
	const struct settings *settings = exporter->settings;
	struct pb out = {0};
	int n, kind, err, code;

	profiles__only_held(exporter->profiles, settings->older_ns);
	resources__refresh(exporter->resources);
	n = profiles__read(exporter->profiles, exporter->resources, exporter->set, false,
			   export_time(exporter));
	if (n <= 0)
		return n < 0 ? fail(EXIT_MAP, "cannot read the maps below %s: %s",
				    settings->pin_dir, strerror(-n))
			     : fail(EXIT_MAP, "no profile is pinned in %s: otelbpf load",
				    settings->pin_dir);
	n = profile_set__kinds(exporter->set);
	/* That nothing leaks is an answer. */
	if (!n && settings->older_ns) {
		inform("nothing is held for so long");
		return EXIT_OK;
	}
	if (n <= 0)
		return fail(EXIT_MAP, "nothing has been sampled yet in %s", settings->pin_dir);
	kind = find_kind(exporter, n);
	if (kind < 0)
		return fail(EXIT_MAP, "there is no profile '%s' in %s", settings->type,
			    settings->pin_dir);
	if (!strcmp(settings->view, "html"))
		err = profile_set__encode_html(exporter->set, "otelbpf", &out);
	else if (!strcmp(settings->view, "folded"))
		err = profile_set__encode_folded(exporter->set, kind, &out);
	else
		err = profile_set__encode_pprof(exporter->set, kind, &out);
	code = err ? fail(EXIT_INTERNAL, "cannot encode: %s", strerror(-err))
		   : write_view(settings, &out);
	pb__free(&out);
	return code;
}

void export__tell(const struct exporter *exporter)
{
	size_t bytes = 0;

	for (int i = 0; i < exporter->outputs.n; i++)
		if (exporter->outputs.one[i].baseline)
			bytes += baseline__bytes(exporter->outputs.one[i].baseline);
	stats__print(exporter->counts, stderr, exporter->settings->json, bytes);
}

/* --- what outlives an exporter ----------------------------------------------------- */

static bool keeps_state(const struct exporter *exporter)
{
	return exporter->settings->state && metrics__has_deltas(exporter->metrics);
}

static int state_mode(const struct exporter *exporter)
{
	const struct metrics_preference *preference = &exporter->settings->preference;

	return preference->delta_sums | preference->delta_histograms << 1;
}

static int list_state(const struct exporter *exporter, struct state_part *parts)
{
	for (int i = 0; i < exporter->outputs.n; i++)
		parts[i] = (struct state_part){stats__name(exporter->counts, i),
					       exporter->outputs.one[i].baseline};
	return exporter->outputs.n;
}

/* What an exporter before this one left. Without it deltas begin with the probe's load. */
static void read_state(struct exporter *exporter)
{
	struct state_part parts[OUTPUTS_MAX];
	int err = state__read(exporter->settings->state, state_mode(exporter), parts,
			      list_state(exporter, parts));

	if (err < 0)
		warn("%s is ignored, deltas begin with the probe's load: %s",
		     exporter->settings->state, strerror(-err));
}

static void write_state(struct exporter *exporter)
{
	struct state_part parts[OUTPUTS_MAX];
	int err;

	exporter->is_settled = false;
	if (!keeps_state(exporter) || !exporter->outputs.owner)
		return;
	err = state__write(exporter->settings->state, state_mode(exporter), parts,
			   list_state(exporter, parts));
	if (err)
		warn("%s cannot be written, the next exporter will tell again what this one has: "
		     "%s",
		     exporter->settings->state, strerror(-err));
}

/* --- an export --------------------------------------------------------------------- */

/* Return: 0 or -errno. */
static int wait_for_all(struct exporter *exporter)
{
	bool waits;
	int sent;

	do {
		waits = outputs__wait(&exporter->outputs);
		sent = advance_metrics(exporter);
	} while (sent > 0 || (waits && !sent));
	return sent;
}

/* All that is sent, and the waiting for it. Return: an exit code. */
static int send_all(struct exporter *exporter, bool owner, bool last, int *maps)
{
	int err = owner && *maps ? stats__read(exporter->counts, exporter->metrics) : 0, code;

	if (!err)
		err = export_metrics(exporter);
	if (err)
		return fail(EXIT_INTERNAL, "cannot encode: %s", strerror(-err));
	if (exporter->is_settled)
		write_state(exporter);
	if (exporter->view)
		return EXIT_OK;
	code = send_window(exporter, owner, maps);
	if (!code)
		code = export_events(exporter, owner, maps);
	if (!code && wait_for_all(exporter))
		code = fail(EXIT_INTERNAL, "cannot encode: no memory");
	if (!code && owner)
		settle_window(exporter, false);
	return !code && owner && last ? send_last_window(exporter) : code;
}

int export__all(struct exporter *exporter, bool owner, bool last, __u64 next_ns)
{
	__u64 start = clock_ns(CLOCK_MONOTONIC), read;
	int maps, code, evicted = 0;

	exporter->points = exporter->bytes = exporter->requests = 0;
	outputs__begin(&exporter->outputs, start + exporter->settings->timeout_ns,
		       last ? ~0ULL : next_ns, last, owner);
	resources__refresh(exporter->resources);
	metrics__begin(exporter->metrics, export_time(exporter));
	maps = tables__read(exporter->tables, exporter->resources, exporter->metrics);
	if (maps < 0)
		return fail(maps == -ENOMEM			? EXIT_INTERNAL
			    : maps == -EACCES || maps == -EPERM ? EXIT_PERMISSION
								: EXIT_MAP,
			    "cannot read the maps below %s: %s", exporter->settings->pin_dir,
			    strerror(-maps));
	read = clock_ns(CLOCK_MONOTONIC);
	code = send_all(exporter, owner, last, &maps);
	if (code)
		return code;
	if (owner)
		evicted = evict(exporter);
	if (evicted || exporter->is_settled)
		write_state(exporter);
	exporter->undelivered = outputs__undelivered(&exporter->outputs);
	if (exporter->settings->verbose)
		warn("%d maps, %zu points, %zu bytes in %zu requests; read %.1f ms, sent %.1f ms, "
		     "%d "
		     "entries evicted",
		     maps, exporter->points, exporter->bytes, exporter->requests,
		     (read - start) / 1e6, (clock_ns(CLOCK_MONOTONIC) - read) / 1e6, evicted);
	if (exporter->view && table_view__print(exporter->view, stdout, 0))
		return fail(EXIT_INTERNAL, "no memory");
	if (!maps && (exporter->settings->once || exporter->settings->table))
		return fail(EXIT_MAP, "nothing to export is pinned in %s: otelbpf load",
			    exporter->settings->pin_dir);
	return exporter->undelivered ? EXIT_EXPORT : EXIT_OK;
}

void export__collect(struct exporter *exporter)
{
	outputs__collect(&exporter->outputs);
	/* What it cannot settle for want of memory it says when the next export wants it. */
	if (advance_metrics(exporter) >= 0 && exporter->is_settled)
		write_state(exporter);
	settle_window(exporter, false);
}

/* --- beginning and end ------------------------------------------------------------- */

static int enable_stats(struct exporter *exporter)
{
	int err = overhead__enable(exporter->overhead);

	if (err == -EPERM)
		return fail(EXIT_PERMISSION, "--stats needs CAP_SYS_ADMIN");
	if (err)
		return fail(EXIT_KERNEL, "--stats: the kernel refuses: %s", strerror(-err));
	return EXIT_OK;
}

int exporter__start(struct exporter *exporter, const struct settings *settings,
		    const volatile bool *stop)
{
	const struct metrics_preference *preference = &settings->preference;
	int code;

	exporter->settings = settings;
	exporter->counts = stats__new(clock_ns(CLOCK_REALTIME));
	if (!exporter->counts)
		return fail(EXIT_INTERNAL, "no memory");
	code = outputs__open(
		&exporter->outputs, settings->specs, settings->view ? 0 : settings->n_specs,
		settings->format, exporter->counts,
		preference->delta_sums || preference->delta_histograms ? &exporter->there : NULL,
		stop);
	if (code)
		return code;
	code = pins__check(settings->pin_dir);
	if (code)
		return code;
	exporter->tables = tables__new(settings->pin_dir, &exporter->there);
	exporter->overhead = overhead__new();
	exporter->resources =
		resources__new(getenv("OTEL_RESOURCE_ATTRIBUTES"), getenv("OTEL_SERVICE_NAME"));
	exporter->metrics = metrics__new();
	if (settings->table)
		exporter->view = table_view__new();
	if (!settings->no_symbols)
		exporter->symbols =
			symbols__new(&(struct symbols_options){.want_lines = settings->want_lines});
	exporter->profiles = profiles__new(settings->pin_dir, exporter->symbols);
	exporter->set = profile_set__new();
	if (exporter->profiles)
		exporter->events =
			events__new(settings->pin_dir, profiles__processes(exporter->profiles));
	if (!exporter->tables || !exporter->overhead || !exporter->resources ||
	    !exporter->metrics || !exporter->profiles || !exporter->set || !exporter->events ||
	    (!settings->no_symbols && !exporter->symbols) || (settings->table && !exporter->view))
		return fail(EXIT_INTERNAL, "no memory");
	tables__overhead(exporter->tables, exporter->overhead);
	metrics__prefer(exporter->metrics, &settings->preference);
	if (keeps_state(exporter) && !settings->once)
		read_state(exporter);
	return settings->stats ? enable_stats(exporter) : EXIT_OK;
}

void exporter__end(struct exporter *exporter)
{
	outputs__close(&exporter->outputs);
	for (int i = 0; i < OUTPUTS_MAX; i++)
		pb__free(&exporter->deltas[i].each);
	stats__free(exporter->counts);
	table_view__free(exporter->view);
	profile_set__free(exporter->set);
	events__free(exporter->events);
	profiles__free(exporter->profiles);
	symbols__free(exporter->symbols);
	metrics__free(exporter->metrics);
	resources__free(exporter->resources);
	tables__free(exporter->tables);
	sources__free(&exporter->there);
	overhead__free(exporter->overhead);
}
