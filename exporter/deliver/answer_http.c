// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * OTLP/HTTP. Source of what is retried and when: github.com/open-telemetry/opentelemetry-proto
 * v1.11, docs/specification.md ("OTLP/HTTP Response" and what follows it).
 */
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "answer.h"
#include "otlp/fields.h"
#include "otlp/schema.h"
#include "otlp/utf8.h"

static void verdict__free(struct verdict *verdict)
{
	json_object_put(verdict->json);
}

static struct json_object *parse_json(const struct answer *answer)
{
	struct json_tokener *tokener = json_tokener_new();
	struct json_object *json;

	if (!tokener)
		return NULL;
	json = json_tokener_parse_ex(tokener, (const char *)answer->data, answer->len);
	if (json && (json_tokener_get_error(tokener) != json_tokener_success ||
		     !json_object_is_type(json, json_type_object))) {
		json_object_put(json);
		json = NULL;
	}
	json_tokener_free(tokener);
	return json;
}

static void read_json_text(struct json_object *object, const char *key, struct verdict *verdict)
{
	struct json_object *text;

	if (json_object_object_get_ex(object, key, &text) &&
	    json_object_is_type(text, json_type_string)) {
		verdict->text = json_object_get_string(text);
		verdict->len = json_object_get_string_len(text);
	}
}

static bool read_json_response(enum signal_kind kind, struct verdict *verdict)
{
	const struct schema_field *partial =
		schema__field(schema__response(kind), RESPONSE_PARTIAL_SUCCESS);
	const struct schema_field *rejected =
		schema__field(partial->message, PARTIAL_SUCCESS_REJECTED);
	const struct schema_field *message =
		schema__field(partial->message, PARTIAL_SUCCESS_ERROR_MESSAGE);
	struct json_object *object, *number;

	if (!json_object_object_get_ex(verdict->json, partial->name, &object) || !object)
		return true;
	if (!json_object_is_type(object, json_type_object))
		return false;
	if (json_object_object_get_ex(object, rejected->name, &number))
		verdict->rejected = json_object_get_int64(number); /* a string as well */
	read_json_text(object, message->name, verdict);
	return true;
}

static bool has_type(const struct answer *answer, const char *type)
{
	return !strncasecmp(answer->type, type, strlen(type));
}

/* Go's server says without a type that it wants TLS. */
static bool is_text(const struct answer *answer)
{
	for (size_t i = 0, step; i < answer->len; i += step) {
		step = utf8__sequence((const char *)answer->data + i, answer->len - i);
		if (!step || (answer->data[i] < ' ' && !strchr("\t\r\n", answer->data[i])))
			return false;
	}
	return true;
}

/* The encoding is the request's unless the response says another (a proxy's, say). */
static void verdict__read(const struct answer *answer, bool json, enum signal_kind kind,
			  bool success, struct verdict *verdict)
{
	*verdict = (struct verdict){0};
	if (!answer->len)
		return; /* all of a message's fields may be absent */
	if (has_type(answer, "application/json"))
		json = true;
	else if (has_type(answer, "application/x-protobuf"))
		json = false;
	else if (!success &&
		 (has_type(answer, "text/plain") || (!*answer->type && !json && is_text(answer)))) {
		verdict->text = (const char *)answer->data;
		verdict->len = answer->len;
		return;
	} else if (*answer->type) {
		verdict->garbage = true;
		return;
	}
	if (json) {
		verdict->json = parse_json(answer);
		verdict->garbage =
			!verdict->json || (success && !read_json_response(kind, verdict));
		if (verdict->json && !success)
			read_json_text(verdict->json, "message", verdict);
	} else {
		verdict->garbage =
			success ? !verdict__read_pb(answer->data, answer->len, verdict)
				: !verdict__read_status(answer->data, answer->len, verdict);
	}
	if (success && verdict->rejected < 0)
		verdict->garbage = true;
	if (verdict->garbage) {
		verdict->rejected = 0;
		verdict->len = 0;
	}
}

static const char *phrase(long status)
{
	static const struct {
		long status;
		const char *text;
	} phrases[] = {
		{400, " Bad Request"},	       {401, " Unauthorized"},
		{403, " Forbidden"},	       {404, " Not Found"},
		{405, " Method Not Allowed"},  {408, " Request Timeout"},
		{413, " Content Too Large"},   {415, " Unsupported Media Type"},
		{429, " Too Many Requests"},   {500, " Internal Server Error"},
		{501, " Not Implemented"},     {502, " Bad Gateway"},
		{503, " Service Unavailable"}, {504, " Gateway Timeout"},
	};

	for (size_t i = 0; i < sizeof(phrases) / sizeof(*phrases); i++)
		if (phrases[i].status == status)
			return phrases[i].text;
	return status / 100 == 3 ? " (a redirection, which is not followed)" : "";
}

static bool is_success(long status)
{
	/* The specification knows 200 only; to HTTP every other 2xx is a success too. */
	return status / 100 == 2;
}

static bool is_retryable(long status)
{
	return status == 429 || status == 502 || status == 503 || status == 504;
}

/*
 * Return: nanoseconds that Retry-After asks for, 0 for none. A date is compared with the
 * response's own Date, so that a clock that is wrong here does no harm.
 */
static __u64 retry_after(const struct answer *answer)
{
	const char *text = answer->retry_after;
	time_t then, since;
	__u64 here, asked;

	if (!is_retryable(answer->status) || !*text)
		return 0;
	if (!text[strspn(text, "0123456789")])
		return in_ns(strtoull(text, NULL, 10));
	then = curl_getdate(text, NULL);
	since = curl_getdate(answer->date, NULL);
	if (then < 0)
		return 0;
	if (since >= 0)
		return then > since ? in_ns(then - since) : 0;
	here = instant(CLOCK_REALTIME);
	asked = in_ns(then);
	return asked > here ? asked - here : 0;
}

struct ruling answer__judge_http(const struct answer *answer, const struct otlp_endpoint *endpoint,
				 enum signal_kind kind, struct delivery_report *report)
{
	struct verdict verdict __attribute__((cleanup(verdict__free))) = {0};
	struct ruling ruling = {0};

	if (answer__broken(answer, report, &ruling))
		return ruling;
	if (is_success(answer->status) && answer->result == CURLE_OK && answer->headers_end) {
		verdict__read(answer, endpoint->json, kind, true, &verdict);
		verdict__success(&verdict, answer->status, "OTLP/HTTP", report);
		return ruling;
	}
	/*
	 * A status that says no is an answer, even if the rest of it got lost. One that came from
	 * a proxy, in place of a connection to the receiver, is none.
	 */
	if (answer->status >= 300 && answer->proxy_status / 100 <= 2 && !answer__is_local(answer)) {
		verdict__read(answer, endpoint->json, kind, false, &verdict);
		report__say(report, "%ld%s%s%.*s", answer->status, phrase(answer->status),
			    verdict__text_len(&verdict) ? ": " : "", verdict__text_len(&verdict),
			    verdict.text ?: "");
		ruling.retry = is_retryable(answer->status);
		ruling.outcome = ruling.retry ? UNDELIVERED : REFUSED;
		ruling.wait_ns = retry_after(answer);
		if (ruling.wait_ns > WAIT_MAX)
			ruling.wait_ns = WAIT_MAX;
		/* 415 is meant for that; the Collector says 400. */
		ruling.encoding = answer->status == 415 || answer->status == 400;
		return ruling;
	}
	return answer__failed(answer, endpoint, report);
}
