// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "event.h"

#include <stdio.h>

#include "attr.h"
#include "fields.h"

/* The short names of SeverityNumber's ranges of four (logs/data-model.md). */
static const char *const severities[] = {"TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"};

static bool is_id(const void *id, size_t len)
{
	static const __u8 none[TRACE_ID_LEN];

	return memcmp(id, none, len);
}

void logs__record(struct pb *pb, __u32 field, const struct log_desc *log)
{
	size_t at = pb__open(pb, field), body;
	char uid[2 * SPAN_ID_LEN + 1];

	pb__fixed64(pb, LOG_RECORD_TIME, log->time_ns);
	pb__fixed64(pb, LOG_RECORD_OBSERVED_TIME, log->observed_ns);
	pb__varint(pb, LOG_RECORD_SEVERITY_NUMBER, log->severity);
	if (log->severity >= 1 && log->severity <= 24)
		pb__string(pb, LOG_RECORD_SEVERITY_TEXT, severities[(log->severity - 1) / 4]);
	body = pb__open(pb, LOG_RECORD_BODY);
	pb__string(pb, ANY_VALUE_STRING, log->body);
	pb__close(pb, body);
	pb__raw(pb, log->attributes->data, log->attributes->len);
	for (int i = 0; i < SPAN_ID_LEN; i++)
		snprintf(uid + 2 * i, 3, "%02x", ((const __u8 *)log->uid)[i]);
	attr__string(pb, LOG_RECORD_ATTRIBUTES, "log.record.uid", uid, sizeof(uid) - 1);
	if (is_id(log->trace_id, TRACE_ID_LEN)) {
		pb__bytes(pb, LOG_RECORD_TRACE_ID, log->trace_id, TRACE_ID_LEN);
		if (is_id(log->span_id, SPAN_ID_LEN))
			pb__bytes(pb, LOG_RECORD_SPAN_ID, log->span_id, SPAN_ID_LEN);
	}
	pb__string(pb, LOG_RECORD_EVENT_NAME, log->name);
	pb__close(pb, at);
}
