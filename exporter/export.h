/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One export: discover → describe → read → encode → deliver, and what is settled after it. */
#ifndef OTELBPF_EXPORT_H
#define OTELBPF_EXPORT_H

#include <linux/types.h>
#include <stdbool.h>

#include "events.h"
#include "format/table.h"
#include "otlp/metrics.h"
#include "outputs.h"
#include "overhead.h"
#include "profiles.h"
#include "resource.h"
#include "settings.h"
#include "stats.h"
#include "tables.h"

/**
 * struct window - one output and the window of profiles that is still to be acknowledged
 * @tallies:   of this one, and of one before it that was given up but has not ended
 * @current:   which of them is of this one
 * @is_given:  gets its requests in this export
 * @was_given: in this one or one before
 */
struct window {
	struct tally tallies[2];
	int current;
	bool is_given, was_given;
};

/**
 * struct delta - one output and the metrics that are on their way to it
 * @is_due:    those of this export wait until what was sent before has ended
 * @in_flight: its baseline is to be settled when that has ended
 * @each:      what became of each request
 * @finals:    points of entries that were evicted meanwhile
 */
struct delta {
	bool is_due, in_flight;
	struct pb each;
	__u64 finals;
};

/**
 * struct exporter - what exports need from one to the next
 * @taken:  of the last export's metrics, by output
 * @deltas: where there are any
 * @is_settled: an output's metrics, since the state was written
 * @is_open: a window of profiles is still to be acknowledged
 * @window_profiles: profiles in it
 */
struct exporter {
	const struct settings *settings;
	struct outputs outputs;
	struct stats *counts;
	struct tables *tables;
	struct sources there; /* of the last read */
	struct overhead *overhead;
	struct resources *resources;
	struct metrics *metrics;
	struct table_view *view;
	struct symbols *symbols;
	struct profiles *profiles;
	struct profile_set *set;
	struct events *events;
	struct tally taken[OUTPUTS_MAX];
	struct delta deltas[OUTPUTS_MAX];
	struct window window[OUTPUTS_MAX];
	bool is_open, is_settled;
	__u64 window_profiles;
	__u64 last_ns;
	/* of one export */
	size_t points, bytes, requests;
	bool undelivered;
};

/**
 * exporter__start - make all that is needed
 * @stop: see output__send()
 *
 * Return: an exit code.
 */
int exporter__start(struct exporter *exporter, const struct settings *settings,
		    const volatile bool *stop);
void exporter__end(struct exporter *exporter);

/**
 * export__all - one export
 * @owner: of the pin directory: what has been taken is deleted
 * @last:  no other comes after it: no output is left behind
 * @next_ns: CLOCK_MONOTONIC: when the next one is due
 *
 * Return: an exit code.
 */
int export__all(struct exporter *exporter, bool owner, bool last, __u64 next_ns);

/** export__collect - between exports: what outputs that were left behind have ended since */
void export__collect(struct exporter *exporter);

/** export__view - profiles for a person: what the open windows have so far. An exit code. */
int export__view(struct exporter *exporter);

/** export__tell - what became of everything, on stderr */
void export__tell(const struct exporter *exporter);

#endif
