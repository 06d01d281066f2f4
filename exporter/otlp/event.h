/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Spans and log records as OTLP messages. */
#ifndef OTELBPF_OTLP_EVENT_H
#define OTELBPF_OTLP_EVENT_H

#include <linux/types.h>
#include <stdbool.h>

#include "pb.h"

#define TRACE_ID_LEN 16
#define SPAN_ID_LEN 8

/** enum span_kind - Span.kind (opentelemetry/proto/trace/v1/trace.proto) */
enum span_kind {
	SPAN_KIND_INTERNAL = 1,
	SPAN_KIND_SERVER = 2,
	SPAN_KIND_CLIENT = 3,
	SPAN_KIND_PRODUCER = 4,
	SPAN_KIND_CONSUMER = 5,
};

/**
 * struct span_desc - a span
 * @trace_id:   16 bytes, not all zero
 * @span_id:    8 bytes, not all zero
 * @parent:     8 bytes; all zero: none
 * @name:       text of @name_len bytes
 * @start_ns:   UTC since 1970
 * @end_ns:     likewise, not before
 * @attributes: encoded KeyValue fields of number SPAN_ATTRIBUTES
 * @failed:     its status is an error; else it is left unset
 */
struct span_desc {
	const void *trace_id, *span_id, *parent;
	const char *name;
	size_t name_len;
	enum span_kind kind;
	__u64 start_ns, end_ns;
	const struct pb *attributes;
	bool failed;
};

/** traces__span - append a Span as field @field */
void traces__span(struct pb *pb, __u32 field, const struct span_desc *span);

/**
 * struct log_desc - a log record
 * @trace_id:    16 bytes; all zero: in no trace
 * @span_id:     8 bytes; all zero: in no span
 * @uid:         8 bytes that no other record has: attribute log.record.uid
 * @name:        EventName
 * @severity:    SeverityNumber
 * @body:        text
 * @time_ns:     when it happened, UTC since 1970
 * @observed_ns: when it was read
 * @attributes:  encoded KeyValue fields of number LOG_RECORD_ATTRIBUTES
 */
struct log_desc {
	const void *trace_id, *span_id, *uid;
	const char *name, *body;
	unsigned int severity;
	__u64 time_ns, observed_ns;
	const struct pb *attributes;
};

/** logs__record - append a LogRecord as field @field */
void logs__record(struct pb *pb, __u32 field, const struct log_desc *log);

#endif
