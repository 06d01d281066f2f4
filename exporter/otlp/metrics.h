/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Encode: map entries to ExportMetricsServiceRequest.
 *
 * Map entries come in hash order, but OTLP wants points under their Resource,
 * scope and metric. So each point is encoded once, where it is read, into one
 * buffer; metrics__emit() sorts references to points and copies them together.
 */
#ifndef OTELBPF_OTLP_METRICS_H
#define OTELBPF_OTLP_METRICS_H

#include <linux/types.h>
#include <stddef.h>

#include "baseline.h"
#include "pb.h"
#include "plan.h"
#include "preference.h"
#include "resource.h"

/** struct metrics - one export under construction. Opaque. */
struct metrics;

struct metrics *metrics__new(void);
void metrics__free(struct metrics *metrics);

/** metrics__prefer - how points are to be told, from now on; at first all is cumulative */
void metrics__prefer(struct metrics *metrics, const struct metrics_preference *preference);

/** metrics__has_deltas - whether any point is to be one: then each receiver has a baseline */
bool metrics__has_deltas(const struct metrics *metrics);

/** metrics__begin - drop what was encoded, keep the memory; @now_ns is UTC since 1970 */
void metrics__begin(struct metrics *metrics, __u64 now_ns);

/**
 * metrics__scope - which probe the next entries belong to
 * @metrics:  under construction
 * @name:     InstrumentationScope.name
 * @start_ns: start time of its cumulative points, UTC since 1970
 *
 * Return: 0 or -ENOMEM.
 */
int metrics__scope(struct metrics *metrics, const char *name, __u64 start_ns);

/**
 * metrics__plan - name the instruments of the map whose entries follow
 *
 * Return: 0; -ENOMEM; -EEXIST when another map of the same scope has a metric of
 * the same name but another kind or unit (its points would contradict each other).
 */
int metrics__plan(struct metrics *metrics, const struct plan *plan);

/**
 * metrics__entry - encode the points of one map entry
 * @metrics:  under construction
 * @plan:     as given to metrics__plan()
 * @key:      the key's bytes
 * @values:   plan->values values of plan->value_size bytes each
 * @resource: index of the Resource
 * @overflow: this is the table's overflow entry
 *
 * Return: 0 or -ENOMEM.
 */
int metrics__entry(struct metrics *metrics, const struct plan *plan, const void *key,
		   const void *values, int resource, bool overflow);

/** metrics__points - how many points have been encoded since metrics__begin() */
size_t metrics__points(const struct metrics *metrics);

/**
 * metrics__complete - all entries of a plan have been given
 *
 * So a series that was not among them is gone. Without this call it is taken to be still
 * there as long as its map or program is.
 *
 * Return: 0 or -ENOMEM.
 */
int metrics__complete(struct metrics *metrics, const struct plan *plan);

/**
 * metrics__emit - put the points together and hand over the requests
 * @metrics:   under construction; may be emitted several times
 * @resources: the Resources that entries referred to
 * @limit:     most bytes in one request
 * @send:      called for each request, in order; a value other than 0 ends it
 * @ctx:       passed on
 *
 * Return: 0, what @send returned, or -ENOMEM. No request for no points.
 */
int metrics__emit(struct metrics *metrics, const struct resources *resources, size_t limit,
		  int (*send)(const struct pb *request, size_t points, void *ctx), void *ctx);

/**
 * metrics__emit_to - the same for one receiver, with deltas from what it has acknowledged
 * @baseline: of this receiver, settled; then to be settled with what became of the requests:
 *            what was in one that is not taken is in the next delta, too
 */
int metrics__emit_to(struct metrics *metrics, struct baseline *baseline,
		     const struct resources *resources, size_t limit,
		     int (*send)(const struct pb *request, size_t points, void *ctx), void *ctx);

#endif
