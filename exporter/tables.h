/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Find pinned maps, keep their plans, read them. */
#ifndef OTELBPF_TABLES_H
#define OTELBPF_TABLES_H

#include <stdbool.h>

#include "otlp/metrics.h"
#include "resource.h"

/** struct tables - what is known of the maps below a pin directory. Opaque. */
struct tables;

/**
 * tables__new - nothing is known yet
 * @pin_dir: kept, not copied
 * @there:   filled by each read with the maps and programs that it met
 *
 * Return: NULL when there is no memory.
 */
struct tables *tables__new(const char *pin_dir, struct sources *there);
void tables__free(struct tables *tables);

struct overhead;

/** tables__overhead - what encodes the probes' own metrics, from overhead__new(); NULL: none */
void tables__overhead(struct tables *tables, struct overhead *overhead);

/**
 * tables__read - encode every metric table below the pin directory
 * @tables: from tables__new()
 * @resources: Resources of the entries
 * @metrics:   begun by the caller
 *
 * A map that cannot be described or read is warned of once and left out; the
 * others go on. Entries come and go while a table is read: a hash table is read
 * by whole buckets, so an entry that is there all the time is read exactly once.
 *
 * Return: the number of maps read, or -ENOMEM; -errno if the pin directory cannot be read.
 */
int tables__read(struct tables *tables, struct resources *resources, struct metrics *metrics);

/** tables__is_pressed - final entries of the last read fill more than half of a table */
bool tables__is_pressed(const struct tables *tables);

/** tables__final_points - points of the final entries of the last read */
__u64 tables__final_points(const struct tables *tables);

/**
 * tables__evict - delete the entries that were final in the last read
 *
 * Those of cgroups that were gone before it. To be called only when their
 * receiver has acknowledged them, and only by the owner of the pin directory.
 *
 * @baselines, @n: of the receivers, each may be NULL: an entry that comes again counts anew
 *
 * Return: how many.
 */
int tables__evict(struct tables *tables, struct baseline *const *baselines, int n);

#endif
