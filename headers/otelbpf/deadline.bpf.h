/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Measuring that ends by itself: otelbpf load --duration. filter.bpf.h brings it; a probe whose
 * events are nobody's, so that no filter could mean anything, includes this one alone.
 */
#ifndef OTELBPF_DEADLINE_BPF_H
#define OTELBPF_DEADLINE_BPF_H

#include <bpf/bpf_helpers.h>

#include "meta.h"
#include "tags.h"

/* Written by the loader, read by every program first of all. */
struct otel_filter otel_filter SEC(".data.filter") OTEL_TAG("filter");

/* Beside it, for a load that ends by itself. Only looked at when a flag says so. */
struct otel_deadline otel_deadline SEC(".data.filter") OTEL_TAG("deadline");

/**
 * otel_deadline__passed - whether the time to measure is over
 *
 * To be asked only when OTEL_FILTER_F_DEADLINE is set. Whoever is first to see it counts
 * the epoch up: what began before is not measured as it ends. The loader may set
 * another deadline meanwhile, so it is noted which one has passed. There is no need
 * for an atomic on epoch and deadline together: one epoch too many only forgets what
 * is under way.
 */
static __noinline _Bool otel_deadline__passed(void)
{
	__u64 at = otel_deadline.at_ns;

	if (otel_deadline.passed_ns == at)
		return 1;
	if (bpf_ktime_get_boot_ns() < at)
		return 0;
	if (__sync_lock_test_and_set(&otel_deadline.passed_ns, at) != at)
		__sync_fetch_and_add(&otel_filter.epoch, 1);
	return 1;
}

/**
 * otel_deadline__is_over - whether nothing is to be measured any more, for a probe without filters
 *
 * One load while there is no deadline.
 */
static __always_inline _Bool otel_deadline__is_over(void)
{
	return (otel_filter.flags & OTEL_FILTER_F_DEADLINE) && otel_deadline__passed();
}

#endif
