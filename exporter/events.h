/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Spans and log records: what the pinned rings hold, request by request. */
#ifndef OTELBPF_EVENTS_H
#define OTELBPF_EVENTS_H

#include <stdbool.h>
#include <stddef.h>

#include "otlp/pb.h"
#include "process_resource.h"
#include "resource.h"
#include "signal_kind.h"

/** struct events - what is known of the rings below a pin directory. Opaque. */
struct events;

/** events__new - @pin_dir and @processes are kept, not owned; NULL when there is no memory */
struct events *events__new(const char *pin_dir, struct process_resources *processes);
void events__free(struct events *events);

/**
 * typedef events_send - deliver a request
 *
 * Return: 1 when it need not be sent again; 0 when its receiver may take it later; -errno.
 */
typedef int events_send(const struct pb *request, enum signal_kind kind, size_t items, void *ctx);

/**
 * events__export - send what is in the rings
 * @events:    from events__new()
 * @resources: of cgroups
 * @limit:     most bytes in one request
 * @owner:     the records of a request that need not be sent again are given back to the
 *             kernel; else they stay
 * @send:      called for each request, in the order of the records; a ring is left as it is when
 *             its request was not delivered
 * @ctx:       passed on
 *
 * Killed between a delivery and what follows it, the next export sends that request's records
 * again, under the same ids.
 *
 * Return: the number of rings, or -errno.
 */
int events__export(struct events *events, struct resources *resources, size_t limit, bool owner,
		   events_send *send, void *ctx);

#endif
