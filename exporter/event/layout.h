/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Describe: what the records of a ring are, as the tags of its state's map say. */
#ifndef OTELBPF_EVENT_LAYOUT_H
#define OTELBPF_EVENT_LAYOUT_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "otlp/event.h"
#include "plan.h"

struct bpf_map_info;
struct btf;
struct tagged;

#define EVENT_ATTRS_MAX 24

/** struct event_attr - an attribute; @is_name: of the span's name, @is_error: of its status */
struct event_attr {
	struct plan_attr attr;
	bool is_name, is_error;
};

/**
 * struct event_layout - how to read one record
 * @ring:     name of the ring's pin
 * @is_log:   log records, else spans
 * @name:     of span or event
 * @body:     of a log record
 * @kind:     of a span
 * @severity: of a log record
 * @size:     bytes of a record
 * @kind_at:  offset of the member that says the kind, -1: none
 * @end, @duration, @trace, @parent, @process, @cgroup: offsets of what struct otel_event
 *            (headers/otelbpf/event.bpf.h) has
 */
struct event_layout {
	const char *ring;
	bool is_log;
	const char *name, *body;
	enum span_kind kind;
	unsigned int severity;
	__u32 size;
	int end, duration, trace, parent, process, cgroup, kind_at;
	struct event_attr attrs[EVENT_ATTRS_MAX];
	int n_attrs;
};

/**
 * event_layout__compile - describe the records that a state's map speaks of
 * @info:   the map
 * @btf:    its BTF; must outlive the layout, as must @tagged
 * @tagged: the tags of @btf
 * @var:    BTF id of the map's variable, which is tagged "events"
 * @why:    on -EINVAL, one line that names member and tag
 * @len:    room in @why
 *
 * Return: the layout, or NULL with errno EINVAL or ENOMEM.
 */
struct event_layout *event_layout__compile(const struct bpf_map_info *info, const struct btf *btf,
					   const struct tagged *tagged, __u32 var, char *why,
					   size_t len);
void event_layout__free(struct event_layout *layout);

#endif
