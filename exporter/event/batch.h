/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Encode: records of one ring, as many as fit into a request, by Resource. */
#ifndef OTELBPF_EVENT_BATCH_H
#define OTELBPF_EVENT_BATCH_H

#include "layout.h"
#include "process_resource.h"
#include "resource.h"

/** struct event_clock - @boot_ns on CLOCK_BOOTTIME was @utc_ns since 1970 */
struct event_clock {
	__u64 boot_ns, utc_ns;
};

/**
 * struct batch - one request under construction; zeroed before its first use
 * @items:     encoded Span or LogRecord fields, one after another
 * @resources: encoded Resources of processes, one after another
 */
struct batch {
	struct pb items, resources, attributes, request;
	struct batch_item {
		__u32 process;
		size_t offset, len;
	} * item;
	size_t n_items, room_items;
	struct batch_process {
		struct otel_process_id id;
		__u64 cgroup;
		size_t offset, len;
	} * process;
	size_t n_processes, room_processes;
	bool sorted;
};

/**
 * struct batch_source - what records need beside their bytes
 * @names_fd: map of cgroups' names, or -1
 */
struct batch_source {
	const struct event_layout *layout;
	struct resources *resources;
	struct process_resources *processes;
	int names_fd;
	struct event_clock clock;
};

/** event_clock__now - both clocks at the same instant */
struct event_clock event_clock__now(void);

/** event_clock__utc - what CLOCK_BOOTTIME's @boot_ns is on the clock as it is set now */
__u64 event_clock__utc(const struct event_clock *clock, __u64 boot_ns);

/** batch__begin - forget what is in it */
void batch__begin(struct batch *batch);

/**
 * batch__add - encode a record
 * @record: of source->layout->size bytes
 *
 * Return: 0 or -ENOMEM.
 */
int batch__add(struct batch *batch, const struct batch_source *source, const void *record);

/** batch__size - bytes that the request will have at most */
size_t batch__size(const struct batch *batch);

/**
 * batch__finish - put the request together
 * @scope: name of the InstrumentationScope
 *
 * Return: the request, which is the batch's; NULL when there is no memory.
 */
const struct pb *batch__finish(struct batch *batch, const char *scope);
void batch__free(struct batch *batch);

#endif
