/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What became of the data points, spans, log records and profiles of this exporter: as
 * metrics, and for a person. Names of OpenTelemetry's semantic conventions (otel/sdk-metrics)
 * where there is one.
 */
#ifndef OTELBPF_STATS_H
#define OTELBPF_STATS_H

#include <linux/types.h>
#include <stdio.h>

#include "deliver/output.h"
#include "otlp/metrics.h"

#define STATS_SCOPE "otelbpf/exporter"

/** struct stats - counters since the exporter's start. Opaque. */
struct stats;

/** stats__new - @start_ns: now, UTC since 1970. NULL when there is no memory. */
struct stats *stats__new(__u64 start_ns);
void stats__free(struct stats *stats);

/**
 * stats__output - the next output, in the order of their numbers
 * @spec: as it was given: what is before a colon becomes part of its name
 *
 * Return: its number, or -ENOMEM.
 */
int stats__output(struct stats *stats, const char *spec);

/** stats__name - an output's name, the same after a restart: "otlp/0" */
const char *stats__name(const struct stats *stats, int output);

/** stats__converted - so many items of a signal have been encoded, for all outputs */
void stats__converted(struct stats *stats, enum signal_kind kind, __u64 items);

/**
 * stats__delivered - one request has ended, with all its attempts
 * @output: number of the output
 * @kind:   signal
 * @items:  what was in it
 * @result: what became of it
 * @report: rejected, error and sent are counted
 */
void stats__delivered(struct stats *stats, int output, enum signal_kind kind, __u64 items,
		      enum delivery result, const struct delivery_report *report);

/**
 * stats__lost - items that an output never gets
 * @error: what became of them: a status, or "behind" when others have left it behind
 */
void stats__lost(struct stats *stats, int output, enum signal_kind kind, __u64 items,
		 const char *error);

/**
 * stats__read - encode what has been counted so far, in a scope of its own
 *
 * Return: 0 or -ENOMEM.
 */
int stats__read(struct stats *stats, struct metrics *metrics);

/**
 * stats__print - tell a person, or as one line of JSON
 * @bytes: memory kept for deltas
 */
void stats__print(const struct stats *stats, FILE *out, bool json, size_t bytes);

#endif
