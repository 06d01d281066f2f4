/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Spans and log records that a receiver got, one by one. */
#ifndef SELFTESTS_RECEIVED_H
#define SELFTESTS_RECEIVED_H

#include <json-c/json.h>
#include <linux/types.h>
#include <stdbool.h>

#define RECEIVED_MAX 512

/**
 * struct received - items in the order that they came in
 * @item:     Span or LogRecord
 * @resource: its Resource
 */
struct received {
	struct received_item {
		struct json_object *item, *resource;
	} at[RECEIVED_MAX];
	int n;
};

/**
 * received__spans() - the spans of requests; received__logs(): their log records
 * @requests: array of OTLP/JSON requests
 * @probe:    of this probe's scope
 * @name:     of this name; EventName of a log record
 * @cgroup:   whose Resource has this process.linux.cgroup; NULL: whatever it has
 */
void received__spans(struct received *received, struct json_object *requests, const char *probe,
		     const char *name, const char *cgroup);
void received__logs(struct received *received, struct json_object *requests, const char *probe,
		    const char *name, const char *cgroup);

/** received__count() - how many have an attribute of that value; NULL: have none */
int received__count(const struct received *received, const char *key, const char *value);

/** span__ns() - how long a span took; span__failed() - whether its status is an error */
__u64 span__ns(struct json_object *span);
bool span__failed(struct json_object *span);

/**
 * context__publish() - a tracer's part, for the calling thread
 * @map: path of the pinned otel_traces_ctx_v1
 * @n:   value of each byte of trace id and span id; 0: no context any more
 */
void context__publish(const char *map, unsigned char n);

/** context__is_parent() - whether a span is a child of that context */
bool context__is_parent(struct json_object *span, unsigned char n);

#endif
