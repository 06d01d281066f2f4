/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * OTEL_EXPORTER_OTLP_* as the OpenTelemetry specification has them (protocol/exporter.md,
 * configuration/common.md, configuration/sdk-environment-variables.md; v1.60).
 */
#ifndef OTELBPF_DELIVER_ENV_H
#define OTELBPF_DELIVER_ENV_H

#include <stdbool.h>
#include <stddef.h>

#include "signal_kind.h"

/**
 * struct otlp_header - one header of every request
 * @name:  a token
 * @value: percent-decoded; may be a secret: not for messages
 */
struct otlp_header {
	char *name;
	char *value;
};

/** enum compression - of request bodies */
enum compression { COMPRESSION_NONE, COMPRESSION_GZIP, COMPRESSION_ZSTD };

/**
 * struct otlp_endpoint - where and how one signal is sent
 * @url:                as it is given to the HTTP client
 * @label:              @url without user, password, query: for messages
 * @socket:             path or name of a unix socket to connect to in place of @url's host, or NULL
 * @is_abstract:        @socket is a name without a file
 * @grpc:               OTLP/gRPC is asked for: @url ends with the method's path
 * @json:               OTLP/JSON is asked for, else protobuf
 * @compression:        of request bodies
 * @timeout_ms:         of one request; 0: no limit
 * @certificate:        file of CA certificates to trust, PEM, or NULL
 * @client_key:         file of our private key, PEM, or NULL
 * @client_certificate: file of our certificates, PEM, or NULL
 * @headers:            sent with every request
 * @n_headers:          how many
 */
struct otlp_endpoint {
	char *url;
	char *label;
	char *socket;
	bool is_abstract;
	bool grpc;
	bool json;
	enum compression compression;
	long timeout_ms;
	char *certificate;
	char *client_key;
	char *client_certificate;
	struct otlp_header *headers;
	size_t n_headers;
};

/**
 * otlp_endpoints__read - read the environment
 * @name:      of the output: its variables are NAME_OTEL_EXPORTER_OTLP_X, and it has none in
 *             common with others, so that no header or key of one gets to another; "": those
 *             of the specification
 * @endpoints: one for each signal, filled in
 *
 * OTEL_EXPORTER_OTLP_X is for all signals, OTEL_EXPORTER_OTLP_METRICS_X (TRACES_,
 * LOGS_) for one and wins. PROFILES_ is ours by analogy: the specification has no
 * variables for that signal yet. X is ENDPOINT, PROTOCOL, HEADERS, COMPRESSION,
 * TIMEOUT, CERTIFICATE, CLIENT_KEY, CLIENT_CERTIFICATE or INSECURE (gRPC's endpoints
 * without a scheme).
 *
 * An ENDPOINT of unix:///PATH or unix-abstract:NAME is a unix socket, without TLS; paths and
 * methods are those of the protocol.
 *
 * An empty value is as good as none. A value that makes no sense gets a warning and
 * counts as not set. A certificate or key that cannot be read is an error instead
 * when it would be used: to go on without would be to trust someone else.
 *
 * Return: 0, or an exit code (lib/fail.h) after fail() has spoken.
 */
int otlp_endpoints__read(const char *name, struct otlp_endpoint endpoints[SIGNAL_KINDS]);

/** otlp_endpoints__free - give back what otlp_endpoints__read() filled in */
void otlp_endpoints__free(struct otlp_endpoint endpoints[SIGNAL_KINDS]);

#endif
