/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Resources of processes: what they say of themselves, beside what was measured. */
#ifndef OTELBPF_PROCESS_RESOURCE_H
#define OTELBPF_PROCESS_RESOURCE_H

#include <linux/types.h>
#include <otelbpf/profile.h>

#include "otlp/pb.h"

#define PROCESSES_KEPT_MAX 4096
#define PROCESSES_KEPT_BYTES (4 << 20)

/**
 * struct process_resources - what processes said, remembered so that one that was seen
 * alive keeps it when it has exited by the next export. Opaque.
 */
struct process_resources;

/** process_resources__new - NULL when there is no memory */
struct process_resources *process_resources__new(void);
void process_resources__free(struct process_resources *resources);

/**
 * process_resources__add - add what a process says of itself to its Resource
 * @resources: remembered
 * @id:        the process; its number may be another's by now
 * @path:      of its program as far as known, only the last component counts; may be ""
 * @resource:  encoded Resource with what was measured; keys that are in it stay as they
 *             are, but for "service." of the process, which wins: there it is the
 *             exporter's environment that speaks
 *
 * In order: the context that its SDK published, OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES.
 * Which process, program, container or unit it is, is never its own to say.
 */
void process_resources__add(struct process_resources *resources, const struct otel_process_id *id,
			    const char *path, struct pb *resource);

/** process_resources__next_export - processes may be looked at again */
void process_resources__next_export(struct process_resources *resources);

/** struct process_resources_stats - @bytes: of all encoded attributes; @asked: contexts, in all */
struct process_resources_stats {
	unsigned int processes;
	size_t bytes;
	unsigned long asked;
};
void process_resources__stats(const struct process_resources *resources,
			      struct process_resources_stats *stats);

#endif
