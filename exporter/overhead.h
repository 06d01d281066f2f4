/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the probes themselves cost, as metrics: the kernel's own numbers of their programs
 * and maps. The same names for every probe.
 */
#ifndef OTELBPF_OVERHEAD_H
#define OTELBPF_OVERHEAD_H

#include <otelbpf/meta.h>
#include <stdbool.h>

#include "otlp/metrics.h"

/** struct overhead - the instruments. Opaque. */
struct overhead;

struct overhead *overhead__new(void);
void overhead__free(struct overhead *overhead);

/**
 * overhead__enable - have the kernel count runs from now on, while this process lives
 *
 * That costs two readings of the clock in every run of every BPF program of the host.
 * Without it, or the sysctl kernel.bpf_stats_enabled, counts would stand still, and so
 * are not exported.
 *
 * Return: 0 or -errno: -EPERM without CAP_SYS_ADMIN.
 */
int overhead__enable(struct overhead *overhead);

/** overhead__refresh - see whether runs are counted now; once before an export */
void overhead__refresh(struct overhead *overhead);

/**
 * struct overhead_probe - what is to be known of a probe
 * @name:    its name
 * @dir:     its directory, in which prog/ is
 * @scope:   InstrumentationScope.name, which has been begun
 * @meta:    as the loader wrote it
 * @map_bytes: kernel memory of its maps
 * @there:     its programs are added
 */
struct overhead_probe {
	const char *name, *dir, *scope;
	const struct otel_meta *meta;
	__u64 map_bytes;
	struct sources *there;
};

/**
 * overhead__read - encode one probe's own metrics
 * @overhead: from overhead__new()
 * @metrics:  in the probe's scope; counts of runs get another one of the same name, since
 *            they start when the programs were loaded: an upgrade begins them anew
 * @probe:    which
 *
 * Return: 0 or -ENOMEM. What cannot be read is left out.
 */
int overhead__read(struct overhead *overhead, struct metrics *metrics,
		   const struct overhead_probe *probe);

#endif
