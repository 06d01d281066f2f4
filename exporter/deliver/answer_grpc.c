// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * OTLP/gRPC. Sources: of what is retried and when, github.com/open-telemetry/opentelemetry-proto
 * v1.11, docs/specification.md ("OTLP/gRPC Response"); of frames, trailers and codes,
 * github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md, doc/statuscodes.md and
 * doc/http-grpc-status-mapping.md; of the details, github.com/googleapis/googleapis,
 * google/rpc/error_details.proto.
 */
#include <endian.h>
#include <nettle/base64.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "otlp/fields.h"
#include "otlp/pb.h"

#define PREFIX 5
#define RETRY_INFO "google.rpc.RetryInfo"

enum code {
	OK = 0,
	UNKNOWN = 2,
	PERMISSION_DENIED = 7,
	RESOURCE_EXHAUSTED = 8,
	UNIMPLEMENTED = 12,
	INTERNAL = 13,
	UNAVAILABLE = 14,
	UNAUTHENTICATED = 16,
};

static const struct {
	const char *name;
	bool retry;
} codes[] = {
	[OK] = {"OK", false},
	[1] = {"CANCELLED", true},
	[UNKNOWN] = {"UNKNOWN", false},
	[3] = {"INVALID_ARGUMENT", false},
	[4] = {"DEADLINE_EXCEEDED", true},
	[5] = {"NOT_FOUND", false},
	[6] = {"ALREADY_EXISTS", false},
	[PERMISSION_DENIED] = {"PERMISSION_DENIED", false},
	[RESOURCE_EXHAUSTED] = {"RESOURCE_EXHAUSTED", false}, /* with RetryInfo it is */
	[9] = {"FAILED_PRECONDITION", false},
	[10] = {"ABORTED", true},
	[11] = {"OUT_OF_RANGE", true},
	[UNIMPLEMENTED] = {"UNIMPLEMENTED", false},
	[INTERNAL] = {"INTERNAL", false},
	[UNAVAILABLE] = {"UNAVAILABLE", true},
	[15] = {"DATA_LOSS", true},
	[UNAUTHENTICATED] = {"UNAUTHENTICATED", false},
};

#define CODES (sizeof(codes) / sizeof(*codes))

/* A number that gRPC does not know is UNKNOWN. */
static enum code code_of(const char *text)
{
	unsigned long number = strtoul(text, NULL, 10);

	return *text && !text[strspn(text, "0123456789")] && number < CODES ? number : UNKNOWN;
}

/* A response without gRPC's trailers: a proxy's, say. */
static enum code code_of_status(long status)
{
	switch (status) {
	case 400:
		return INTERNAL;
	case 401:
		return UNAUTHENTICATED;
	case 403:
		return PERMISSION_DENIED;
	case 404:
		return UNIMPLEMENTED;
	case 429:
	case 502:
	case 503:
	case 504:
		return UNAVAILABLE;
	default:
		return UNKNOWN;
	}
}

/* grpc-message is percent-encoded; a broken code stands for itself. */
static void decode_message(const char *from, char *to)
{
	while (*from) {
		char digits[3] = {0}, *end;
		long byte;

		if (*from == '%' && from[1] && from[2]) {
			digits[0] = from[1];
			digits[1] = from[2];
			byte = strtol(digits, &end, 16);
			if (!*end && byte > 0) {
				*to++ = byte;
				from += 3;
				continue;
			}
		}
		*to++ = *from++;
	}
	*to = 0;
}

/* Duration{seconds = 1, nanos = 2}, at least one ns, since it was asked for. */
static __u64 read_duration(const struct pb_field *duration)
{
	const __u8 *at = duration->data, *end = at + duration->len;
	struct pb_field field;
	__u64 ns = 0;

	while (pb__next(&at, end, &field) > 0) {
		if (field.wire != PB_VARINT || (__s64)field.value < 0)
			continue;
		if (field.number == 1)
			ns += in_ns(field.value);
		else if (field.number == 2 && field.value < SECOND)
			ns += field.value;
	}
	return ns ?: 1;
}

/* Any{type_url = 1, value = 2} of RetryInfo{retry_delay = 1}. Return: ns, 0 when it is another. */
static __u64 read_detail(const struct pb_field *detail)
{
	const __u8 *at = detail->data, *end = at + detail->len;
	struct pb_field field, info = {0};
	size_t len = strlen(RETRY_INFO);
	bool is_info = false;

	while (pb__next(&at, end, &field) > 0) {
		if (field.wire != PB_LEN)
			continue;
		if (field.number == 1)
			is_info = field.len > len && field.data[field.len - len - 1] == '/' &&
				  !memcmp(field.data + field.len - len, RETRY_INFO, len);
		else if (field.number == 2)
			info = field;
	}
	if (!is_info)
		return 0;
	at = info.data;
	end = at + info.len;
	while (at && pb__next(&at, end, &field) > 0)
		if (field.number == 1 && field.wire == PB_LEN)
			return read_duration(&field);
	return 1;
}

/* Return: the time that a RetryInfo asks for in ns, 0 when there is none. */
static __u64 retry_info(const char *details)
{
	__u8 status[BASE64_DECODE_LENGTH(sizeof(((struct answer *)0)->grpc_details))];
	struct base64_decode_ctx context;
	const __u8 *at = status, *end;
	struct pb_field field;
	size_t len = sizeof(status), padding = -strlen(details) & 3;

	base64_decode_init(&context);
	if (!base64_decode_update(&context, &len, status, strlen(details), details))
		return 0;
	/* The padding may be left out. */
	if (!base64_decode_final(&context)) {
		size_t none = sizeof(status) - len;

		if (!base64_decode_update(&context, &none, status + len, padding, "==="))
			return 0;
	}
	for (end = status + len; pb__next(&at, end, &field) > 0;) {
		__u64 ns = field.number == RPC_STATUS_DETAILS && field.wire == PB_LEN
				   ? read_detail(&field)
				   : 0;

		if (ns)
			return ns;
	}
	return 0;
}

static void judge_success(const struct answer *answer, struct delivery_report *report)
{
	struct verdict verdict = {.garbage = true};
	const void *message = answer->data + PREFIX;
	void *plain = NULL;
	__be32 length = 0;
	size_t len;

	/* One message. Servers compress it as we do our requests. */
	if (answer->len >= PREFIX)
		memcpy(&length, answer->data + 1, sizeof(length));
	len = be32toh(length);
	if (answer->len >= PREFIX && len == answer->len - PREFIX && answer->data[0] <= 1) {
		if (answer->data[0])
			message = plain = body__unpack(answer->grpc_encoding, message, &len);
		verdict.garbage = !message || !verdict__read_pb(message, len, &verdict) ||
				  verdict.rejected < 0;
	}
	if (verdict.garbage) {
		verdict.rejected = 0;
		verdict.len = 0;
	}
	verdict__success(&verdict, answer->status, "OTLP/gRPC", report);
	free(plain);
}

struct ruling answer__judge_grpc(const struct answer *answer, const struct otlp_endpoint *endpoint,
				 enum signal_kind kind, struct delivery_report *report)
{
	char message[sizeof(answer->grpc_message)];
	struct ruling ruling = {0};
	enum code code;

	(void)kind;
	if (answer__broken(answer, report, &ruling))
		return ruling;
	if (answer__is_local(answer))
		return answer__failed(answer, endpoint, report);
	/* The trailers end the stream: what became of it after them does not matter. */
	if (!*answer->grpc_status && (answer->result != CURLE_OK || !answer->headers_end))
		return answer__failed(answer, endpoint, report);
	/* A complete answer has a status: what came with the connection's end may be missing. */
	if (!*answer->grpc_status && answer->status == 200 &&
	    !strncasecmp(answer->type, "application/grpc", strlen("application/grpc"))) {
		report__say(report, "the answer ended before its gRPC status");
		return (struct ruling){.outcome = UNDELIVERED, .retry = true};
	}
	code = *answer->grpc_status ? code_of(answer->grpc_status) : code_of_status(answer->status);
	if (code == OK) {
		judge_success(answer, report);
		return ruling;
	}
	decode_message(answer->grpc_message, message);
	if (*answer->grpc_status)
		report__say(report, "%s%s%s", codes[code].name, *message ? ": " : "", message);
	else
		report__say(report,
			    "HTTP status %ld and no gRPC status: is this an OTLP/gRPC receiver?",
			    answer->status);
	ruling.wait_ns = retry_info(answer->grpc_details);
	if (ruling.wait_ns > WAIT_MAX)
		ruling.wait_ns = WAIT_MAX;
	ruling.encoding = code == UNIMPLEMENTED;
	ruling.retry = codes[code].retry || (code == RESOURCE_EXHAUSTED && ruling.wait_ns);
	if (!ruling.retry)
		ruling.wait_ns = 0;
	ruling.outcome = ruling.retry ? UNDELIVERED : REFUSED;
	return ruling;
}
