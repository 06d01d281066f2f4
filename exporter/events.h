/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Spans and log records: what the pinned rings hold, request by request. */
#ifndef OTELBPF_EVENTS_H
#define OTELBPF_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "outputs.h"
#include "process_resource.h"
#include "resource.h"
#include "signal_kind.h"

/** struct events - what is known of the rings below a pin directory. Opaque. */
struct events;

/** events__new - @pin_dir and @processes are kept, not owned; NULL when there is no memory */
struct events *events__new(const char *pin_dir, struct process_resources *processes);
void events__free(struct events *events);

/**
 * struct events_counts - of one export
 * @items: converted
 */
struct events_counts {
	__u64 items[SIGNAL_KINDS];
	size_t bytes, requests;
};

/**
 * events__export - send what is in the rings
 * @events:    from events__new()
 * @resources: of cgroups
 * @outputs:   of an export that has begun; each goes through the rings at its own pace
 * @limit:     most bytes in one request
 * @owner:     the records that no output wants any more are given back to the kernel; else all
 *             stay
 * @counts:    set
 *
 * An output that did not take a request is left there until the next export. One that others
 * have left behind loses what it has not taken when that is more than half of the ring; this is
 * counted as lost. What none has taken stays.
 *
 * Killed between a delivery and what follows it, the next export sends that request's records
 * again, under the same ids.
 *
 * Return: the number of rings, or -errno.
 */
int events__export(struct events *events, struct resources *resources, struct outputs *outputs,
		   size_t limit, bool owner, struct events_counts *counts);

#endif
