// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "received.h"

#include <bpf/bpf.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"

#define STATUS_ERROR 2

static struct json_object *get(struct json_object *obj, const char *key)
{
	return json_object_object_get(obj, key);
}

static size_t count_of(struct json_object *list)
{
	return list ? json_object_array_length(list) : 0;
}

struct words {
	const char *resources, *scopes, *items, *name;
};

static void add_resource(struct received *received, const struct words *words,
			 struct json_object *group, const char *scope_name, const char *name)
{
	struct json_object *scopes = get(group, words->scopes);

	for (size_t i = 0; i < count_of(scopes); i++) {
		struct json_object *scope = json_object_array_get_idx(scopes, i);
		struct json_object *items = get(scope, words->items);

		if (strcmp(otlp_json__text(get(scope, "scope"), "name"), scope_name))
			continue;
		for (size_t k = 0; k < count_of(items); k++) {
			struct json_object *item = json_object_array_get_idx(items, k);

			if (strcmp(otlp_json__text(item, words->name), name))
				continue;
			ASSERT_LT(received->n, RECEIVED_MAX);
			received->at[received->n++] =
				(struct received_item){item, get(group, "resource")};
		}
	}
}

static void receive(struct received *received, const struct words *words,
		    struct json_object *requests, const char *probe, const char *name,
		    const char *cgroup)
{
	char scope_name[64];

	snprintf(scope_name, sizeof(scope_name), "otelbpf/%s", probe);
	received->n = 0;
	for (size_t i = 0; i < count_of(requests); i++) {
		struct json_object *groups =
			get(json_object_array_get_idx(requests, i), words->resources);

		for (size_t k = 0; k < count_of(groups); k++) {
			struct json_object *group = json_object_array_get_idx(groups, k);
			const char *path =
				otlp_json__attr(get(group, "resource"), "process.linux.cgroup");

			if (!cgroup || (path && !strcmp(path, cgroup)))
				add_resource(received, words, group, scope_name, name);
		}
	}
}

void received__spans(struct received *received, struct json_object *requests, const char *probe,
		     const char *name, const char *cgroup)
{
	static const struct words words = {"resourceSpans", "scopeSpans", "spans", "name"};

	receive(received, &words, requests, probe, name, cgroup);
}

void received__logs(struct received *received, struct json_object *requests, const char *probe,
		    const char *name, const char *cgroup)
{
	static const struct words words = {"resourceLogs", "scopeLogs", "logRecords", "eventName"};

	receive(received, &words, requests, probe, name, cgroup);
}

int received__count(const struct received *received, const char *key, const char *value)
{
	int n = 0;

	for (int i = 0; i < received->n; i++) {
		const char *is = otlp_json__attr(received->at[i].item, key);

		n += value ? is && !strcmp(is, value) : !is;
	}
	return n;
}

__u64 span__ns(struct json_object *span)
{
	return otlp_json__u64(span, "endTimeUnixNano") - otlp_json__u64(span, "startTimeUnixNano");
}

bool span__failed(struct json_object *span)
{
	struct json_object *status = get(span, "status");

	return status && otlp_json__u64(status, "code") == STATUS_ERROR;
}

void context__publish(const char *map, unsigned char n)
{
	__u64 thread = (__u64)getpid() << 32 | gettid();
	unsigned char context[24];
	int fd = bpf_obj_get(map);

	ASSERT_GE(fd, 0);
	memset(context, n, sizeof(context));
	ASSERT_EQ(n ? bpf_map_update_elem(fd, &thread, context, BPF_ANY)
		    : bpf_map_delete_elem(fd, &thread),
		  0);
	close(fd);
}

bool context__is_parent(struct json_object *span, unsigned char n)
{
	char trace_id[33], span_id[17];

	for (int i = 0; i < 16; i++)
		snprintf(trace_id + 2 * i, 3, "%02x", n);
	for (int i = 0; i < 8; i++)
		snprintf(span_id + 2 * i, 3, "%02x", n);
	return !strcmp(otlp_json__text(span, "traceId"), trace_id) &&
	       !strcmp(otlp_json__text(span, "parentSpanId"), span_id);
}
