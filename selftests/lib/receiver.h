/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An HTTP/1.1 server on 127.0.0.1 that answers from a script and remembers what it was
 * asked, run by threads of the test itself. It knows no more of HTTP than the tests need.
 */
#ifndef SELFTESTS_RECEIVER_H
#define SELFTESTS_RECEIVER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/**
 * struct reply - what to answer to one request
 * @status:  status code
 * @headers: further header lines, each with its "\r\n", or NULL. "%DATE+n%" in them
 *           becomes the HTTP-date n seconds from now
 * @body:    body, or NULL
 * @len:     its bytes; 0 with a body: strlen()
 * @raw:     sent instead of all above
 * @cut:     close after this many bytes of the response; 0: do not
 * @padding: zero bytes after the body
 * @delay_ms: wait before answering
 * @hang:    never answer
 * @close:   close without an answer
 */
struct reply {
	int status;
	const char *headers;
	const void *body;
	size_t len;
	const char *raw;
	size_t cut;
	size_t padding;
	unsigned int delay_ms;
	bool hang;
	bool close;
};

/**
 * struct request - what was asked
 * @line:       request line
 * @headers:    header lines as they came
 * @body:       body, decompressed when Content-Encoding says gzip
 * @len:        its bytes
 * @wire_len:   its bytes before that
 * @gzip:       it was compressed
 * @arrived:    CLOCK_MONOTONIC in ns, when all of it was there
 * @connection: number of the connection, from 0
 */
struct request {
	char line[512];
	char headers[4096];
	__u8 *body;
	size_t len;
	size_t wire_len;
	bool gzip;
	__u64 arrived;
	unsigned int connection;
};

struct receiver;

/**
 * receiver__new - take a port; connections to it are refused until receiver__listen()
 * @replies:   the script; the last reply goes on for ever
 * @n_replies: its length
 */
struct receiver *receiver__new(const struct reply *replies, size_t n_replies);
void receiver__listen(struct receiver *receiver);

/** receiver__start - both at once */
struct receiver *receiver__start(const struct reply *replies, size_t n_replies);

/** receiver__url - http://127.0.0.1:PORT */
const char *receiver__url(const struct receiver *receiver);

/** receiver__count - requests that have arrived */
size_t receiver__count(struct receiver *receiver);

/** receiver__request - one of them, or the test fails; valid until receiver__stop() */
const struct request *receiver__request(struct receiver *receiver, size_t number);

/** request__header - a header's value, or NULL; valid until the next call */
const char *request__header(const struct request *request, const char *name);

/** receiver__stop - close everything */
void receiver__stop(struct receiver *receiver);

#endif
