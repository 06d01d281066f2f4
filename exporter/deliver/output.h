/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where encoded requests go: OTLP over HTTP or gRPC, a file, stdout. */
#ifndef OTELBPF_OUTPUT_H
#define OTELBPF_OUTPUT_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "signal_kind.h"

/**
 * enum delivery - what became of a request
 * @DELIVERED:   the receiver has acknowledged it (a partial success too: what it
 *               rejected is never sent again)
 * @REFUSED:     it will never be taken: a status that must not be retried
 * @UNDELIVERED: the receiver could not take it before the deadline; the same data
 *               may be sent later
 */
enum delivery { DELIVERED, REFUSED, UNDELIVERED };

/**
 * struct delivery_report - details of one delivery
 * @rejected:  items that a partial success rejected
 * @attempts:  requests made
 * @sent:      body bytes put on the wire (after compression) by the last attempt
 * @error:     error.type of what failed, few different ones: a status, "timeout", "ENOSPC";
 *             "" after success
 * @message:   one line for a person; "" when there is nothing to say. Set on
 *             every outcome but a plain success.
 */
struct delivery_report {
	__s64 rejected;
	unsigned int attempts;
	size_t sent;
	char error[24];
	char message[512];
};

/** struct output - one destination. Not for use by two threads at once. */
struct output;

/**
 * output__open - open a destination
 * @spec:   "otlp" (OTLP/HTTP or OTLP/gRPC as the OTEL_EXPORTER_OTLP_* variables say),
 *          "otlp:NAME" (likewise with variables of its own, NAME_OTEL_EXPORTER_OTLP_*),
 *          "file:PATH", "stdout"
 * @format: "protobuf", "json" or NULL: for otlp NULL is what the environment says;
 *          for file and stdout NULL is json (JSON lines, one request a line);
 *          protobuf in a file is a sequence of varint-length-prefixed requests
 * @code:   set to an exit code (lib/fail.h) on failure, after fail() has spoken
 *
 * Return: the output, or NULL.
 */
struct output *output__open(const char *spec, const char *format, int *code);

/**
 * output__send - deliver one request, retrying as the specification allows
 * @output:      destination
 * @kind:        which signal
 * @request:     Export*ServiceRequest in protobuf
 * @len:         its bytes
 * @deadline_ns: CLOCK_MONOTONIC instant after which no further attempt begins; the same for all
 *               requests of one export
 * @stop:        becomes true (from a signal handler) when the process should end:
 *               an attempt under way may finish within its time-out, waiting for a
 *               retry ends at once
 * @report:      filled in
 */
enum delivery output__send(struct output *output, enum signal_kind kind, const void *request,
			   size_t len, __u64 deadline_ns, const volatile bool *stop,
			   struct delivery_report *report);

/** output__limit - the largest request, in bytes, that this output takes for a signal */
size_t output__limit(const struct output *output);

/** output__name - for messages: "http://localhost:4318/v1/metrics", "file /x", without secrets */
const char *output__name(const struct output *output, enum signal_kind kind);

void output__close(struct output *output);

#endif
