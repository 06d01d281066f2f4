/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How metrics are told, as the environment asks (opentelemetry-specification,
 * metrics/sdk_exporters/otlp.md, v1.60).
 */
#ifndef OTELBPF_OTLP_PREFERENCE_H
#define OTELBPF_OTLP_PREFERENCE_H

#include <stdbool.h>

/**
 * struct metrics_preference - what a receiver wants; all false: cumulative and exponential
 * @delta_sums:       monotonic sums tell what came since the last export
 * @delta_histograms: histograms do
 * @explicit_buckets: histograms have explicit bounds
 *
 * A sum that falls, and a gauge, tell what is there now, whatever is asked for.
 */
struct metrics_preference {
	bool delta_sums, delta_histograms, explicit_buckets;
};

/**
 * metrics_preference__read - read the environment
 *
 * OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE: "delta" is both; with "lowmemory"
 * sums stay cumulative, as those of asynchronous instruments do, for the kernel counts
 * them and the exporter only looks. OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION.
 * Case does not matter. A value that makes no sense gets a warning and counts as not set.
 */
struct metrics_preference metrics_preference__read(void);

#endif
