/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* OTLP Resources: the host, and each cgroup on it. */
#ifndef OTELBPF_RESOURCE_H
#define OTELBPF_RESOURCE_H

#include <linux/types.h>
#include <stdbool.h>

#include "otlp/pb.h"

#define RESOURCE_HOST 0 /* index of the Resource that names only the host */

/** struct resource_setting - an attribute of OTEL_RESOURCE_ATTRIBUTES; both to be freed */
struct resource_setting {
	char *key;
	char *value;
};

/**
 * resource__parse_attributes - parse what OTEL_RESOURCE_ATTRIBUTES holds
 * @text: "key=value,key=value", with %XX for what is not plain text; written to
 * @out:  zeroed room for @max; to be freed, whatever is returned
 *
 * Return: how many; -1 if any of it is malformed: then none of it counts.
 */
int resource__parse_attributes(char *text, struct resource_setting *out, int max);
void resource__free_attributes(struct resource_setting *settings, int n);

/** struct resources - the Resources known so far, by index. Opaque. */
struct resources;

/**
 * resources__new - start with the host's Resource
 * @attributes:   OTEL_RESOURCE_ATTRIBUTES, or NULL
 * @service_name: OTEL_SERVICE_NAME, or NULL
 *
 * Return: NULL when there is no memory. Bad @attributes are warned of and ignored.
 */
struct resources *resources__new(const char *attributes, const char *service_name);
void resources__free(struct resources *resources);

/**
 * resources__refresh - find out which cgroups are gone; before the maps are read
 *
 * What is gone here makes no system call any more: an entry of such a cgroup that is
 * read after this is final.
 */
void resources__refresh(struct resources *resources);

/**
 * resources__cgroup - the Resource of a cgroup
 * @resources: known so far
 * @id:        cgroup v2 id; 0 gives RESOURCE_HOST
 * @names_fd:  a map of names as headers/otelbpf/cgroup.bpf.h has it, or -1
 *
 * Return: its index, or -ENOMEM.
 */
int resources__cgroup(struct resources *resources, __u64 id, int names_fd);

/** resources__encoded - a Resource as an encoded OTLP message */
const struct pb *resources__encoded(const struct resources *resources, int index);

/** resources__count - indexes are below this */
int resources__count(const struct resources *resources);

/** resources__gone - whether the cgroup was already gone at the last refresh */
bool resources__gone(const struct resources *resources, int index);

#endif
