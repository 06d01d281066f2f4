/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A table for a person, made from the request that a receiver would get. */
#ifndef OTELBPF_TABLE_H
#define OTELBPF_TABLE_H

#include <stddef.h>
#include <stdio.h>

/** struct table_view - requests being summed up. Opaque. */
struct table_view;

struct table_view *table_view__new(void);
void table_view__free(struct table_view *view);

/**
 * table_view__add - add one ExportMetricsServiceRequest
 *
 * Return: 0, -EBADMSG, -ENOMEM.
 */
int table_view__add(struct table_view *view, const void *request, size_t len);

/**
 * table_view__print - print it, one table a probe
 * @view: everything added
 * @out:  where
 * @rows: most rows a table, 0 for all
 *
 * A row is one set of the attributes of the probe's first histogram (or, without
 * one, of its first sum that has attributes), summed over Resources. Other metrics
 * that have these attributes and more become columns; the rest follows as a list.
 * Quantiles are interpolated within a bucket, and never beyond min and max.
 */
int table_view__print(const struct table_view *view, FILE *out, int rows);

/**
 * exphist__quantile - a quantile of an exponential histogram
 * @counts: of buckets
 * @n:      how many
 * @offset: OTLP index of the first
 * @scale:  OTLP scale
 * @zeros:  count of the zero bucket
 * @q:      0 to 1
 *
 * Return: geometric interpolation within the bucket that holds the quantile
 * (the same assumption as the bucket bounds: evenly spread on a logarithmic
 * scale); 0 when it falls in the zero bucket or there is nothing.
 */
double exphist__quantile(const unsigned long long *counts, size_t n, int offset, int scale,
			 unsigned long long zeros, double q);

#endif
