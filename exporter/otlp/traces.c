// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "event.h"

#include "attr.h"
#include "fields.h"

static bool is_id(const void *id, size_t len)
{
	static const __u8 none[TRACE_ID_LEN];

	return memcmp(id, none, len);
}

void traces__span(struct pb *pb, __u32 field, const struct span_desc *span)
{
	size_t at = pb__open(pb, field), status;

	pb__bytes(pb, SPAN_TRACE_ID, span->trace_id, TRACE_ID_LEN);
	pb__bytes(pb, SPAN_SPAN_ID, span->span_id, SPAN_ID_LEN);
	if (is_id(span->parent, SPAN_ID_LEN))
		pb__bytes(pb, SPAN_PARENT_SPAN_ID, span->parent, SPAN_ID_LEN);
	attr__text(pb, SPAN_NAME, span->name, span->name_len);
	pb__varint(pb, SPAN_KIND, span->kind);
	pb__fixed64(pb, SPAN_START_TIME, span->start_ns);
	pb__fixed64(pb, SPAN_END_TIME, span->end_ns);
	pb__raw(pb, span->attributes->data, span->attributes->len);
	if (span->failed) {
		status = pb__open(pb, SPAN_STATUS);
		pb__varint(pb, SPAN_STATUS_CODE, STATUS_ERROR);
		pb__close(pb, status);
	}
	pb__close(pb, at);
}
