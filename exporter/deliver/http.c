// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* OTLP over HTTP/1.1 (protobuf, JSON) and HTTP/2 (gRPC): which endpoint, and how often. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include "answer.h"
#include "exchange.h"
#include "fail.h"

#define BACKOFF_MIN (SECOND / 10)
#define BACKOFF_START SECOND
#define BACKOFF_MAX (30 * SECOND)
#define SLICE (SECOND / 20) /* how soon the stop flag is seen */

/* gRPC servers take 4 MiB unless told otherwise (grpc-go's and grpc-java's default). */
#define GRPC_REQUEST_MAX ((size_t)4 << 20)

struct http {
	struct output output;
	struct otlp_endpoint endpoints[SIGNAL_KINDS];
	struct channel channels[SIGNAL_KINDS];
	enum compression compressions[SIGNAL_KINDS]; /* what receivers understand */
};

/* Return: false when the stop flag ended the wait. */
static bool wait_until(__u64 end, const volatile bool *stop)
{
	for (;;) {
		__u64 here = instant(CLOCK_MONOTONIC), left = end - here;
		struct timespec ts = {.tv_nsec = left < SLICE ? left : SLICE};

		if (here >= end)
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
		random = instant(CLOCK_MONOTONIC) * 0x9e3779b97f4a7c15ULL;
	return BACKOFF_MIN + random % (ceiling - BACKOFF_MIN);
}

/* One way of sending a request, with its retries. @refused: it may be for its compression. */
static enum delivery http__try(struct http *http, enum signal_kind kind,
			       enum compression compression, const void *request, size_t len,
			       __u64 deadline_ns, const volatile bool *stop,
			       struct delivery_report *report, bool *refused)
{
	const struct otlp_endpoint *endpoint = &http->endpoints[kind];
	struct channel *channel = &http->channels[kind];
	struct body body __attribute__((cleanup(body__free))) = {0};
	enum delivery outcome;
	__u64 resume = 0; /* of the next attempt */

	outcome = body__make(endpoint, kind, compression, request, len, &body, report);
	if (outcome != DELIVERED)
		return outcome;
	if (!channel__open(channel, endpoint, compression)) {
		report__say(report, "not sent: no memory");
		return UNDELIVERED;
	}
	report__say(report, "not sent");

	for (;;) {
		struct answer answer = {.stop = stop, .grace = endpoint->timeout_ms * 1000000ULL};
		__u64 here = instant(CLOCK_MONOTONIC);
		struct ruling ruling;

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
		here = instant(CLOCK_MONOTONIC);
		/* "No limit" ends with the deadline, or a dead peer would hold us for ever. */
		channel__post(channel, &body,
			      endpoint->timeout_ms ? endpoint->timeout_ms * 1000000ULL
			      : deadline_ns > here ? deadline_ns - here
						   : 1,
			      &answer);
		report->attempts++;
		report->sent = answer.sent;
		report->message[0] = 0;
		ruling = endpoint->grpc ? answer__judge_grpc(&answer, endpoint, kind, report)
					: answer__judge_http(&answer, endpoint, kind, report);
		answer__classify(&answer, endpoint, ruling.outcome, report);
		free(answer.data);
		here = instant(CLOCK_MONOTONIC);
		if (ruling.wait_ns)
			channel->not_before = here + ruling.wait_ns;
		if (!ruling.retry) {
			*refused = ruling.encoding;
			return ruling.outcome;
		}
		resume = ruling.wait_ns ? 0 : here + backoff(report->attempts - 1);
	}
}

/*
 * A receiver has to take gzip, and may take zstd. One that refuses a request in zstd gets the same
 * in gzip; if it takes that, gzip it is from then on.
 */
static enum delivery http__send(struct output *output, enum signal_kind kind, const void *request,
				size_t len, __u64 deadline_ns, const volatile bool *stop,
				struct delivery_report *report)
{
	struct http *http = (struct http *)output;
	enum compression *compression = &http->compressions[kind];
	enum delivery outcome;
	bool refused = false;

	outcome = http__try(http, kind, *compression, request, len, deadline_ns, stop, report,
			    &refused);
	if (!refused || *compression != COMPRESSION_ZSTD)
		return outcome;
	outcome = http__try(http, kind, COMPRESSION_GZIP, request, len, deadline_ns, stop, report,
			    &refused);
	if (outcome == DELIVERED) {
		*compression = COMPRESSION_GZIP;
		if (!*report->message)
			report__say(report, "zstd is refused: gzip is used from now on");
	}
	return outcome;
}

static size_t http__limit(const struct output *output)
{
	const struct http *http = (const struct http *)output;
	size_t limit = REQUEST_MAX;

	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		if (http->endpoints[kind].json)
			return JSON_REQUEST_MAX;
		if (http->endpoints[kind].grpc)
			limit = GRPC_REQUEST_MAX;
	}
	return limit;
}

static const char *http__name(const struct output *output, enum signal_kind kind)
{
	return ((const struct http *)output)->endpoints[kind].label;
}

static void http__close(struct output *output)
{
	struct http *http = (struct http *)output;

	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		channel__close(&http->channels[kind]);
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

	if (!http || curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK) {
		free(http);
		*code = fail(EXIT_INTERNAL, "no memory");
		return NULL;
	}
	http->output.ops = &http_ops;
	*code = otlp_endpoints__read(path, http->endpoints);
	if (*code) {
		http__close(&http->output);
		return NULL;
	}
	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		http->compressions[kind] = http->endpoints[kind].compression;
	for (int kind = 0; format != FORMAT_DEFAULT && kind < SIGNAL_KINDS; kind++) {
		if (http->endpoints[kind].grpc && format == FORMAT_JSON) {
			*code = fail(EXIT_USAGE, "OTLP/gRPC is protobuf: --format json goes with "
						 "http/json only");
			http__close(&http->output);
			return NULL;
		}
		http->endpoints[kind].json = format == FORMAT_JSON;
	}
	return &http->output;
}
