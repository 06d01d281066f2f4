// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What answers over HTTP and over gRPC have in common. */
#include "answer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/fields.h"
#include "otlp/pb.h"

#define SERVER_TEXT 300 /* bytes of a server's message that we repeat */

/* Reads a PartialSuccess or a Status: a number that may count and a message. */
static bool read_pb_leaf(const __u8 *data, size_t len, __u32 number, __u32 text,
			 struct verdict *verdict)
{
	const __u8 *at = data, *end = data + len;
	struct pb_field field;
	int err;

	while ((err = pb__next(&at, end, &field)) > 0) {
		if (field.number == number) {
			if (field.wire != PB_VARINT)
				return false;
			verdict->rejected = field.value;
		} else if (field.number == text) {
			if (field.wire != PB_LEN)
				return false;
			verdict->text = (const char *)field.data;
			verdict->len = field.len;
		}
	}
	return !err;
}

bool verdict__read_pb(const __u8 *data, size_t len, struct verdict *verdict)
{
	const __u8 *at = data, *end = data + len;
	struct pb_field field;
	int err;

	while ((err = pb__next(&at, end, &field)) > 0) {
		if (field.number != RESPONSE_PARTIAL_SUCCESS)
			continue;
		if (field.wire != PB_LEN ||
		    !read_pb_leaf(field.data, field.len, PARTIAL_SUCCESS_REJECTED,
				  PARTIAL_SUCCESS_ERROR_MESSAGE, verdict))
			return false;
	}
	return !err;
}

bool verdict__read_status(const __u8 *data, size_t len, struct verdict *verdict)
{
	bool ok = read_pb_leaf(data, len, RPC_STATUS_CODE, RPC_STATUS_MESSAGE, verdict);

	verdict->rejected = 0; /* was the code, which counts for nothing */
	return ok;
}

int verdict__text_len(const struct verdict *verdict)
{
	size_t len = strnlen(verdict->text ?: "", verdict->len);

	while (len && strchr("\r\n\t ", verdict->text[len - 1]))
		len--;
	return len < SERVER_TEXT ? len : SERVER_TEXT;
}

void verdict__success(const struct verdict *verdict, long status, const char *protocol,
		      struct delivery_report *report)
{
	int len = verdict__text_len(verdict);

	if (verdict->garbage)
		report__say(report,
			    "taken (%ld), but the answer is no OTLP response: is this an %s "
			    "receiver?",
			    status, protocol);
	else if (verdict->rejected)
		report__say(report, "%lld rejected%s%.*s", (long long)verdict->rejected,
			    len ? ": " : "", len, verdict->text ?: "");
	else if (len)
		report__say(report, "taken, with a warning: %.*s", len, verdict->text);
	report->rejected = verdict->rejected;
}

bool answer__broken(const struct answer *answer, struct delivery_report *report,
		    struct ruling *ruling)
{
	if (answer->too_large) {
		report__say(report, "%ld, and an answer over the limit of %zu bytes",
			    answer->status, RESPONSE_MAX);
		ruling->outcome = REFUSED;
		return true;
	}
	if (answer->no_memory) {
		report__say(report, "no memory for the answer");
		ruling->outcome = UNDELIVERED;
		return true;
	}
	return false;
}

bool answer__is_local(const struct answer *answer)
{
	switch (answer->result) {
	case CURLE_OUT_OF_MEMORY:
	case CURLE_FAILED_INIT:
	case CURLE_URL_MALFORMAT:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_ENGINE_INITFAILED:
	case CURLE_SSL_CIPHER:
	case CURLE_ABORTED_BY_CALLBACK:
		return true;
	default:
		return false;
	}
}

static const char *kind_of_failure(CURLcode result)
{
	switch (result) {
	case CURLE_OPERATION_TIMEDOUT:
		return "timeout";
	case CURLE_COULDNT_RESOLVE_HOST:
	case CURLE_COULDNT_RESOLVE_PROXY:
		return "name_resolution";
	case CURLE_COULDNT_CONNECT:
		return "connect";
	case CURLE_SSL_CONNECT_ERROR:
	case CURLE_PEER_FAILED_VERIFICATION:
	case CURLE_SSL_CERTPROBLEM:
	case CURLE_SSL_CACERT_BADFILE:
	case CURLE_SSL_CIPHER:
	case CURLE_SSL_ISSUER_ERROR:
		return "tls";
	case CURLE_ABORTED_BY_CALLBACK:
		return "stopped";
	default:
		return "connection";
	}
}

void answer__classify(const struct answer *answer, const struct otlp_endpoint *endpoint,
		      enum delivery outcome, struct delivery_report *report)
{
	report->error[0] = '\0';
	if (outcome == DELIVERED)
		return;
	if (answer->too_large || answer->no_memory)
		snprintf(report->error, sizeof(report->error), "%s",
			 answer->too_large ? "response_too_large" : "no_memory");
	else if (answer->result != CURLE_OK)
		snprintf(report->error, sizeof(report->error), "%s",
			 kind_of_failure(answer->result));
	else if (endpoint->grpc && strspn(answer->grpc_status, "0123456789") &&
		 strlen(answer->grpc_status) <= 2)
		snprintf(report->error, sizeof(report->error), "grpc_%.2s", answer->grpc_status);
	else
		snprintf(report->error, sizeof(report->error), "%ld", answer->status);
}

struct ruling answer__failed(const struct answer *answer, const struct otlp_endpoint *endpoint,
			     struct delivery_report *report)
{
	const char *why = *answer->error ? answer->error : curl_easy_strerror(answer->result);
	const char *hint = "";

	if (tls__explain(answer, endpoint, report))
		return (struct ruling){.outcome = UNDELIVERED};
	if (answer->proxy_status / 100 > 2) {
		report__say(report, "the proxy says %ld%s: check http_proxy, https_proxy, no_proxy",
			    answer->proxy_status,
			    answer->proxy_status == 407 ? " (it wants a user and a password)" : "");
		/* 5xx: it could not reach the receiver. Another status is about us. */
		return (struct ruling){.outcome = UNDELIVERED,
				       .retry = answer->proxy_status / 100 == 5};
	}
	switch (answer->result) {
	case CURLE_OK:
		report__say(report, "the connection was closed inside the answer's headers");
		break;
	case CURLE_UNSUPPORTED_PROTOCOL: /* curl's word for an HTTP/0.9 response */
	case CURLE_WEIRD_SERVER_REPLY:
		report__say(report,
			    "the answer is not HTTP%s (4317 is OTLP/gRPC's port, 4318 OTLP/HTTP's)",
			    endpoint->grpc ? "/2" : "");
		break;
	case CURLE_ABORTED_BY_CALLBACK:
		report__say(report, "stopped while no answer came");
		break;
	default:
		/* What a server of HTTP/1 does with HTTP/2's first bytes: close, or answer. */
		if (endpoint->grpc &&
		    (answer->result == CURLE_HTTP2 || answer->result == CURLE_GOT_NOTHING))
			hint = " (is this an OTLP/gRPC receiver? 4317 is its port, 4318 "
			       "OTLP/HTTP's)";
		report__say(report, "%s%s", why, hint);
		tls__guess(answer, endpoint, report);
	}
	return (struct ruling){.outcome = UNDELIVERED, .retry = !answer__is_local(answer)};
}
