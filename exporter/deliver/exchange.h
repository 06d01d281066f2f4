/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One request and its answer, over libcurl: what OTLP/HTTP and OTLP/gRPC have in common. */
#ifndef OTELBPF_DELIVER_EXCHANGE_H
#define OTELBPF_DELIVER_EXCHANGE_H

#include <curl/curl.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <time.h>

#include "env.h"
#include "output_ops.h"

#define REQUEST_MAX ((size_t)64 << 20)	/* recommended by the specification */
#define RESPONSE_MAX ((size_t)4 << 20)	/* likewise */
#define HEADERS_MAX ((size_t)256 << 10) /* of a response */

#define SECOND 1000000000ULL

/** instant - a clock's time in ns */
static inline __u64 instant(clockid_t clock)
{
	struct timespec ts;

	clock_gettime(clock, &ts);
	return ts.tv_sec * SECOND + ts.tv_nsec;
}

/** in_ns - seconds in ns; the largest is enough for 292 years, and may be added to a clock */
__u64 in_ns(__u64 seconds);

/**
 * struct body - a request as it goes out
 * @data:   what to send
 * @len:    its bytes
 * @json:   owned, or NULL; its text is @data unless that is compressed
 * @packed: owned, or NULL; is @data then: compressed, or with gRPC's prefix
 */
struct body {
	const void *data;
	size_t len;
	struct json_object *json;
	void *packed;
};

/** body__encoding - the name of a compression other than none in headers */
const char *body__encoding(enum compression compression);

/**
 * body__unpack - decompress an answer's message
 * @name: of the compression, as the answer has it
 * @len:  of @data, then of what is returned: RESPONSE_MAX at most
 *
 * Return: to be freed, or NULL when it is something else, damaged or too large.
 */
void *body__unpack(const char *name, const void *data, size_t *len);

/**
 * body__make - encode, compress and frame a request as an endpoint has it
 * @compression: not the endpoint's when the receiver did not understand that
 *
 * Return: DELIVERED when there is a body; else the outcome, with the report's message set.
 */
enum delivery body__make(const struct otlp_endpoint *endpoint, enum signal_kind kind,
			 enum compression compression, const void *request, size_t len,
			 struct body *body, struct delivery_report *report);
void body__free(struct body *body);

/**
 * struct answer - a response, while it comes in and after
 * @data:         body
 * @len:          its bytes
 * @status:       of HTTP
 * @proxy_status: of a proxy's answer to CONNECT; 0: there was none
 * @verify:       the TLS library's number for what is wrong with the receiver's certificate
 * @result:       what curl says of the exchange
 * @headers_end:  their empty line has come: curl does not insist on it
 * @too_large:    it was over a limit and is incomplete
 * @no_memory:    likewise
 * @sent:         bytes of the request that went out
 * @grpc_status:  and the others: values of headers or trailers; "" when absent
 * @error:        curl's words, or ""
 * @grace:        what an attempt under way has left once the stop flag is set; 0: a little
 */
struct answer {
	__u8 *data;
	size_t len;
	size_t room;
	size_t header_bytes;
	bool headers_end;
	bool too_large;
	bool no_memory;
	long status;
	long proxy_status;
	long verify;
	curl_off_t sent;
	CURLcode result;
	char type[64];
	char retry_after[64];
	char date[64];
	char grpc_encoding[16];
	char grpc_status[16];
	char grpc_message[1024];
	char grpc_details[4096];
	char error[CURL_ERROR_SIZE];
	__u64 timeout, grace;
	__u64 stopping; /* when the stop flag was seen first */
	const volatile bool *stop;
};

/**
 * struct channel - one signal's way to its receiver
 * @curl:       made by the first request, kept for its connection
 * @headers:    for @curl
 * @files:      when its certificates and key were last changed
 * @compression: what it was opened with
 * @not_before: CLOCK_MONOTONIC: the receiver asked for no request before (Retry-After,
 *              RetryInfo). It holds for later requests too, not only for retries of the same
 */
struct channel {
	CURL *curl;
	struct curl_slist *headers;
	__u64 files;
	enum compression compression;
	__u64 not_before;
};

/**
 * channel__open - make a channel ready for a request
 *
 * A channel whose certificates or key have been replaced since it was opened is opened again;
 * so is one with another compression.
 *
 * Return: false when there is no memory.
 */
bool channel__open(struct channel *channel, const struct otlp_endpoint *endpoint,
		   enum compression compression);

/**
 * channel__post - one exchange
 * @timeout: ns; 0 is no limit
 * @answer:  filled in; @answer->stop has been set
 */
void channel__post(struct channel *channel, const struct body *body, __u64 timeout,
		   struct answer *answer);
void channel__close(struct channel *channel);

#endif
