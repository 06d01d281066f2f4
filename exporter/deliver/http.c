// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * OTLP/HTTP. Source of what is retried and when: github.com/open-telemetry/opentelemetry-proto
 * v1.11, docs/specification.md ("OTLP/HTTP Response" and what follows it).
 */
#include <curl/curl.h>
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>
#include <time.h>
#include <zlib.h>

#include "env.h"
#include "fail.h"
#include "otlp/fields.h"
#include "otlp/json.h"
#include "otlp/pb.h"
#include "otlp/schema.h"
#include "output_ops.h"

#define REQUEST_MAX ((size_t)64 << 20)	/* recommended by the specification */
#define RESPONSE_MAX ((size_t)4 << 20)	/* likewise */
#define HEADERS_MAX ((size_t)256 << 10) /* of a response */
#define SERVER_TEXT 300			/* bytes of a server's message that we repeat */

#define SECOND 1000000000ULL
#define BACKOFF_MIN (SECOND / 10)
#define BACKOFF_START SECOND
#define BACKOFF_MAX (30 * SECOND)
#define SLICE (SECOND / 20) /* how soon the stop flag is seen */
#define GRACE (10 * SECOND) /* of an attempt without a time-out, when the flag comes */

/**
 * struct channel - one signal's way to its receiver
 * @curl:       made by the first request, kept for its connection
 * @headers:    for @curl
 * @not_before: CLOCK_MONOTONIC: the receiver asked for no request before (Retry-After).
 *              It holds for later requests too, not only for retries of the same
 */
struct channel {
	CURL *curl;
	struct curl_slist *headers;
	__u64 not_before;
};

struct http {
	struct output output;
	struct otlp_endpoint endpoints[SIGNAL_KINDS];
	struct channel channels[SIGNAL_KINDS];
};

/**
 * struct body - a request as it goes out
 * @data:  what to send
 * @len:   its bytes
 * @json:  owned, or NULL; its text is @data unless that is compressed
 * @gzip:  owned, or NULL; is @data then
 */
struct body {
	const void *data;
	size_t len;
	struct json_object *json;
	void *gzip;
};

/** struct answer - a response, while it comes in and after */
struct answer {
	__u8 *data;
	size_t len;
	size_t room;
	size_t header_bytes;
	bool headers_end; /* their empty line has come: curl does not insist on it */
	bool too_large;
	bool no_memory;
	long status;
	curl_off_t sent;
	CURLcode result;
	char type[64];
	char retry_after[64];
	char date[64];
	char error[CURL_ERROR_SIZE];
	__u64 timeout;
	__u64 stopping; /* when the stop flag was seen first */
	const volatile bool *stop;
};

static __u64 now(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/* Return: false when the stop flag ended the wait. */
static bool wait_until(__u64 instant, const volatile bool *stop)
{
	for (;;) {
		__u64 here = now(CLOCK_MONOTONIC), left = instant - here;
		struct timespec ts = {.tv_nsec = left < SLICE ? left : SLICE};

		if (here >= instant)
			return true;
		if (*stop)
			return false;
		nanosleep(&ts, NULL); /* a signal may end it early: the flag is looked at */
	}
}

/*
 * Full jitter (uniform from nothing to the ceiling, which doubles) keeps many exporters
 * apart after a receiver's restart; the floor keeps one from hammering it.
 */
static __u64 backoff(unsigned int retry)
{
	__u64 ceiling = retry < 5 ? BACKOFF_START << retry : BACKOFF_MAX, random = 0;

	if (getrandom(&random, sizeof(random), GRND_NONBLOCK) != sizeof(random))
		random = now(CLOCK_MONOTONIC) * 0x9e3779b97f4a7c15ULL;
	return BACKOFF_MIN + random % (ceiling - BACKOFF_MIN);
}

/* --- the request ---------------------------------------------------------------- */

static void body__free(struct body *body)
{
	json_object_put(body->json);
	free(body->gzip);
}

static bool compress_body(struct body *body)
{
	z_stream z = {0};
	uLong room;
	int err;

	/* 16 makes it gzip rather than zlib. */
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return false;
	room = deflateBound(&z, body->len);
	body->gzip = malloc(room);
	z.next_in = (Bytef *)body->data;
	z.avail_in = body->len;
	z.next_out = body->gzip;
	z.avail_out = room;
	err = body->gzip ? deflate(&z, Z_FINISH) : Z_MEM_ERROR;
	body->data = body->gzip;
	body->len = z.total_out;
	deflateEnd(&z);
	return err == Z_STREAM_END;
}

/* Return: DELIVERED when there is a body; else the outcome, with the report's message set. */
static enum delivery make_body(const struct otlp_endpoint *endpoint, enum signal_kind kind,
			       const void *request, size_t len, struct body *body,
			       struct delivery_report *report)
{
	*body = (struct body){.data = request, .len = len};
	if (endpoint->json && len <= REQUEST_MAX) {
		body->json = otlp__to_json(kind, request, len);
		if (!body->json && errno == EBADMSG) {
			report__say(report, "not sent: the request is malformed");
			return REFUSED;
		}
		body->data =
			body->json
				? json_object_to_json_string_length(
					  body->json,
					  JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
					  &body->len)
				: NULL;
		if (!body->data)
			goto no_memory;
	}
	if (body->len > REQUEST_MAX) {
		report__say(report, "not sent: %zu bytes are more than the limit of %zu", body->len,
			    REQUEST_MAX);
		return REFUSED;
	}
	if (endpoint->gzip && !compress_body(body))
		goto no_memory;
	return DELIVERED;
no_memory:
	report__say(report, "not sent: no memory");
	return UNDELIVERED;
}

static bool add_header(struct channel *channel, const char *fmt, const char *name,
		       const char *value)
{
	struct curl_slist *more = NULL;
	char *line;

	if (asprintf(&line, fmt, name, value) < 0)
		return false;
	more = curl_slist_append(channel->headers, line);
	free(line);
	if (more)
		channel->headers = more;
	return more;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct answer *answer = context;
	size_t len = size * count;

	if (len > RESPONSE_MAX - answer->len) {
		answer->too_large = true;
		return 0;
	}
	if (len > answer->room - answer->len) {
		size_t room = 2 * (answer->len + len);
		__u8 *more = realloc(answer->data, room);

		if (!more) {
			answer->no_memory = true;
			return 0;
		}
		answer->data = more;
		answer->room = room;
	}
	memcpy(answer->data + answer->len, data, len);
	answer->len += len;
	return len;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
	static const struct {
		const char *name;
		size_t offset;
	} wanted[] = {
		{"Content-Type:", offsetof(struct answer, type)},
		{"Retry-After:", offsetof(struct answer, retry_after)},
		{"Date:", offsetof(struct answer, date)},
	};
	struct answer *answer = context;
	size_t len = size * count;

	answer->header_bytes += len;
	if (answer->header_bytes > HEADERS_MAX) {
		answer->too_large = true;
		return 0;
	}
	/* A new status line: what came before belonged to a 1xx. Trailers come after the end. */
	if (len > 5 && !memcmp(line, "HTTP/", 5)) {
		answer->headers_end = false;
		answer->type[0] = answer->retry_after[0] = answer->date[0] = 0;
	} else if (len <= 2 && (line[0] == '\r' || line[0] == '\n')) {
		answer->headers_end = true;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		size_t skip = strlen(wanted[i].name), end = len;

		if (len < skip || strncasecmp(line, wanted[i].name, skip))
			continue;
		while (skip < end && strchr(" \t", line[skip]))
			skip++;
		while (end > skip && strchr(" \t\r\n", line[end - 1]))
			end--;
		snprintf((char *)answer + wanted[i].offset, sizeof(answer->type), "%.*s",
			 (int)(end - skip), line + skip);
	}
	return len;
}

/* An attempt may end in its own time once the stop flag is set, but not take for ever. */
static int on_progress(void *context, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
		       curl_off_t up)
{
	struct answer *answer = context;

	(void)down_all, (void)down, (void)up_all, (void)up;
	if (!*answer->stop)
		return 0;
	if (!answer->stopping)
		answer->stopping = now(CLOCK_MONOTONIC);
	return now(CLOCK_MONOTONIC) - answer->stopping > (answer->timeout ?: GRACE);
}

static bool channel__open(struct channel *channel, const struct otlp_endpoint *endpoint)
{
	static const char *const types[] = {"application/x-protobuf", "application/json"};
	bool ok = true;
	CURL *curl;

	if (channel->curl)
		return true;
	ok = add_header(channel, "%s: %s", "Content-Type", types[endpoint->json]) &&
	     /* Large requests would wait a second for a "100 Continue" that few servers send. */
	     add_header(channel, "%s:%s", "Expect", "");
	if (endpoint->gzip)
		ok = ok && add_header(channel, "%s: %s", "Content-Encoding", "gzip");
	for (size_t i = 0; i < endpoint->n_headers; i++) {
		const struct otlp_header *header = &endpoint->headers[i];

		/* "Name:" alone would take a header away; the semicolon sends an empty one. */
		ok = ok && add_header(channel, *header->value ? "%s: %s" : "%s;%s", header->name,
				      header->value);
	}
	curl = ok ? curl_easy_init() : NULL;
	if (!curl) {
		curl_slist_free_all(channel->headers);
		channel->headers = NULL;
		return false;
	}
	channel->curl = curl;
	curl_easy_setopt(curl, CURLOPT_URL, endpoint->url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, channel->headers);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "OTel-OTLP-Exporter-otelbpf/" OTELBPF_VERSION);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	if (endpoint->certificate)
		curl_easy_setopt(curl, CURLOPT_CAINFO, endpoint->certificate);
	if (endpoint->client_key)
		curl_easy_setopt(curl, CURLOPT_SSLKEY, endpoint->client_key);
	if (endpoint->client_certificate)
		curl_easy_setopt(curl, CURLOPT_SSLCERT, endpoint->client_certificate);
	return true;
}

static void channel__post(struct channel *channel, const struct body *body, __u64 timeout,
			  struct answer *answer)
{
	CURL *curl = channel->curl;
	long timeout_ms = timeout / 1000000;

	answer->timeout = timeout;
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
	/* To curl 0 is no limit. */
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout && !timeout_ms ? 1L : timeout_ms);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, answer->error);
	answer->result = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &answer->sent);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
}

/* --- the response --------------------------------------------------------------- */

/**
 * struct verdict - what a response's body says
 * @garbage:  it is not what the specification has there
 * @rejected: of a partial success
 * @text:     a server's message, inside the answer or @json
 * @len:      its bytes
 * @json:     owned, or NULL
 */
struct verdict {
	bool garbage;
	__s64 rejected;
	const char *text;
	size_t len;
	struct json_object *json;
};

static void verdict__free(struct verdict *verdict)
{
	json_object_put(verdict->json);
}

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

static bool read_pb_response(const __u8 *data, size_t len, struct verdict *verdict)
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
	else if (!success && has_type(answer, "text/plain")) {
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
			success ? !read_pb_response(answer->data, answer->len, verdict)
				: !read_pb_leaf(answer->data, answer->len, RPC_STATUS_CODE,
						RPC_STATUS_MESSAGE, verdict);
	}
	if (success && verdict->rejected < 0)
		verdict->garbage = true;
	if (verdict->garbage) {
		verdict->rejected = 0;
		verdict->len = 0;
	}
}

static int text_len(const struct verdict *verdict)
{
	size_t len = strnlen(verdict->text ?: "", verdict->len);

	while (len && strchr("\r\n\t ", verdict->text[len - 1]))
		len--;
	return len < SERVER_TEXT ? len : SERVER_TEXT;
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

static enum delivery judge_success(const struct answer *answer,
				   const struct otlp_endpoint *endpoint, enum signal_kind kind,
				   struct delivery_report *report)
{
	struct verdict verdict __attribute__((cleanup(verdict__free)));

	verdict__read(answer, endpoint->json, kind, true, &verdict);
	if (verdict.garbage)
		report__say(report,
			    "taken (%ld), but the answer is no OTLP response: is this an OTLP/HTTP "
			    "receiver?",
			    answer->status);
	else if (verdict.rejected)
		report__say(report, "%lld rejected%s%.*s", (long long)verdict.rejected,
			    text_len(&verdict) ? ": " : "", text_len(&verdict), verdict.text ?: "");
	else if (text_len(&verdict))
		report__say(report, "taken, with a warning: %.*s", text_len(&verdict),
			    verdict.text);
	report->rejected = verdict.rejected;
	return DELIVERED;
}

static void judge_status(const struct answer *answer, const struct otlp_endpoint *endpoint,
			 enum signal_kind kind, struct delivery_report *report)
{
	struct verdict verdict __attribute__((cleanup(verdict__free)));

	verdict__read(answer, endpoint->json, kind, false, &verdict);
	report__say(report, "%ld%s%s%.*s", answer->status, phrase(answer->status),
		    text_len(&verdict) ? ": " : "", text_len(&verdict), verdict.text ?: "");
}

static void judge_transport(const struct answer *answer, struct delivery_report *report)
{
	const char *why = *answer->error ? answer->error : curl_easy_strerror(answer->result);

	switch (answer->result) {
	case CURLE_OK:
		report__say(report, "the connection was closed inside the answer's headers");
		break;
	case CURLE_UNSUPPORTED_PROTOCOL: /* curl's word for an HTTP/0.9 response */
	case CURLE_WEIRD_SERVER_REPLY:
		report__say(report,
			    "the answer is not HTTP (4317 is OTLP/gRPC's port, 4318 OTLP/HTTP's)");
		break;
	case CURLE_ABORTED_BY_CALLBACK:
		report__say(report, "stopped while no answer came");
		break;
	default:
		report__say(report, "%s", why);
	}
}

/* Nothing changes by waiting: what is wrong is here, not there. */
static bool is_local(CURLcode result)
{
	switch (result) {
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

/* Sets the report's message; *retry when the same request may be sent again. */
static enum delivery judge(const struct answer *answer, const struct otlp_endpoint *endpoint,
			   enum signal_kind kind, struct delivery_report *report, bool *retry)
{
	*retry = false;
	if (answer->too_large) {
		report__say(report, "%ld, and an answer over the limit of %zu bytes",
			    answer->status, RESPONSE_MAX);
		return REFUSED;
	}
	if (answer->no_memory) {
		report__say(report, "no memory for the answer");
		return UNDELIVERED;
	}
	if (is_success(answer->status) && answer->result == CURLE_OK && answer->headers_end)
		return judge_success(answer, endpoint, kind, report);
	/* A status that says no is an answer, even if the rest of it got lost. */
	if (answer->status >= 300 && !is_local(answer->result)) {
		judge_status(answer, endpoint, kind, report);
		*retry = is_retryable(answer->status);
		return *retry ? UNDELIVERED : REFUSED;
	}
	judge_transport(answer, report);
	*retry = !is_local(answer->result);
	return UNDELIVERED;
}

/* The largest is enough for 292 years, and may be added to a clock. */
static __u64 in_ns(__u64 seconds)
{
	return (seconds < LLONG_MAX / SECOND ? seconds : LLONG_MAX / SECOND - 1) * SECOND;
}

/*
 * Return: nanoseconds that Retry-After asks for, 0 for none. A date is compared with the
 * response's own Date, so that a clock that is wrong here does no harm.
 */
static __u64 retry_after(const struct answer *answer)
{
	const char *text = answer->retry_after;
	time_t then, since;
	__u64 here, instant;

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
	here = now(CLOCK_REALTIME);
	instant = in_ns(then);
	return instant > here ? instant - here : 0;
}

static enum delivery http__send(struct output *output, enum signal_kind kind, const void *request,
				size_t len, __u64 deadline_ns, const volatile bool *stop,
				struct delivery_report *report)
{
	struct http *http = (struct http *)output;
	const struct otlp_endpoint *endpoint = &http->endpoints[kind];
	struct channel *channel = &http->channels[kind];
	struct body body __attribute__((cleanup(body__free))) = {0};
	enum delivery outcome;
	__u64 resume = 0; /* of the next attempt */
	bool retry;

	if (endpoint->grpc) {
		report__say(report, "not sent: OTLP/gRPC is not built in yet: use http/protobuf");
		return REFUSED;
	}
	outcome = make_body(endpoint, kind, request, len, &body, report);
	if (outcome != DELIVERED)
		return outcome;
	if (!channel__open(channel, endpoint)) {
		report__say(report, "not sent: no memory");
		return UNDELIVERED;
	}
	report__say(report, "not sent");

	for (;;) {
		struct answer answer = {.stop = stop};
		__u64 here = now(CLOCK_MONOTONIC), asked;

		if (resume < channel->not_before)
			resume = channel->not_before;
		if (resume < here)
			resume = here;
		if (resume >= deadline_ns) {
			if (resume > here)
				report__add(report,
					    "; the next attempt would be in %.1f s, too late",
					    (double)(resume - here) / SECOND);
			else
				report__add(report, "; the deadline has passed");
			return UNDELIVERED;
		}
		if (!wait_until(resume, stop)) {
			report__add(report, "; stopped before the next attempt");
			return UNDELIVERED;
		}
		here = now(CLOCK_MONOTONIC);
		/* "No limit" ends with the deadline, or a dead peer would hold us for ever. */
		channel__post(channel, &body,
			      endpoint->timeout_ms ? endpoint->timeout_ms * 1000000ULL
			      : deadline_ns > here ? deadline_ns - here
						   : 1,
			      &answer);
		report->attempts++;
		report->sent = answer.sent;
		report->message[0] = 0;
		outcome = judge(&answer, endpoint, kind, report, &retry);
		free(answer.data);
		asked = retry_after(&answer);
		here = now(CLOCK_MONOTONIC);
		if (asked)
			channel->not_before = here + asked;
		if (!retry)
			return outcome;
		resume = asked ? 0 : here + backoff(report->attempts - 1);
	}
}

static size_t http__limit(const struct output *output)
{
	const struct http *http = (const struct http *)output;

	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		if (http->endpoints[kind].json)
			return JSON_REQUEST_MAX;
	return REQUEST_MAX;
}

static const char *http__name(const struct output *output, enum signal_kind kind)
{
	return ((const struct http *)output)->endpoints[kind].label;
}

static void http__close(struct output *output)
{
	struct http *http = (struct http *)output;

	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		curl_easy_cleanup(http->channels[kind].curl);
		curl_slist_free_all(http->channels[kind].headers);
	}
	otlp_endpoints__free(http->endpoints);
	free(http);
	curl_global_cleanup(); /* libcurl counts the calls of its counterpart */
}

static const struct output_ops http_ops = {
	.send = http__send,
	.limit = http__limit,
	.name = http__name,
	.close = http__close,
};

struct output *http__open(const char *path, enum format format, int *code)
{
	struct http *http = calloc(1, sizeof(*http));

	(void)path;
	if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(http);
		*code = fail(EXIT_INTERNAL, "no memory");
		return NULL;
	}
	http->output.ops = &http_ops;
	*code = otlp_endpoints__read(http->endpoints);
	if (*code) {
		http__close(&http->output);
		return NULL;
	}
	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		if (format != FORMAT_DEFAULT)
			http->endpoints[kind].json = format == FORMAT_JSON;
	return &http->output;
}
