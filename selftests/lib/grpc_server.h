/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A gRPC server on 127.0.0.1 that answers from a script and remembers what it was asked,
 * run by a thread of the test. HTTP/2 is libnghttp2's.
 */
#ifndef SELFTESTS_GRPC_SERVER_H
#define SELFTESTS_GRPC_SERVER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct grpc_reply - what to answer to one call
 * @http_status:  0: 200
 * @type:         content-type; NULL: application/grpc
 * @frame:        bytes of the body, prefix and all
 * @len:          how many
 * @status:       grpc-status, or NULL: no trailers
 * @message:      grpc-message, or NULL
 * @details:      grpc-status-details-bin, or NULL
 * @trailers_only: status and the others are headers, there is no body
 * @reset:        the stream is reset in place of an answer
 * @hang:         never answer
 * @flood:        bytes of body that follow @frame
 */
struct grpc_reply {
	int http_status;
	const char *type;
	const void *frame;
	size_t len;
	const char *status;
	const char *message;
	const char *details;
	bool trailers_only;
	bool reset;
	bool hang;
	size_t flood;
};

/**
 * struct grpc_call - what was asked
 * @headers: "name: value\n" of each header, pseudo-headers too
 * @body:    as it came
 * @len:     its bytes
 * @arrived: CLOCK_MONOTONIC in ns, when all of it was there
 */
struct grpc_call {
	char headers[4096];
	__u8 *body;
	size_t len;
	__u64 arrived;
};

struct grpc_server;

/**
 * grpc_server__start - listen
 * @replies:   the script; the last reply goes on for ever
 * @n_replies: its length
 */
struct grpc_server *grpc_server__start(const struct grpc_reply *replies, size_t n_replies);

/** grpc_server__url - http://127.0.0.1:PORT */
const char *grpc_server__url(const struct grpc_server *server);

/** grpc_server__count - calls that have arrived */
size_t grpc_server__count(struct grpc_server *server);

/** grpc_server__call - one of them, or the test fails; valid until grpc_server__stop() */
const struct grpc_call *grpc_server__call(struct grpc_server *server, size_t number);

/** grpc_call__header - a header's value, or NULL; valid until the next call */
const char *grpc_call__header(const struct grpc_call *call, const char *name);

/** grpc_server__stop - close everything */
void grpc_server__stop(struct grpc_server *server);

#endif
