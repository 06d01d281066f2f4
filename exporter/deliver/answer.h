/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an answer means: delivered, refused, or to be tried again, and when. */
#ifndef OTELBPF_DELIVER_ANSWER_H
#define OTELBPF_DELIVER_ANSWER_H

#include "exchange.h"

#define WAIT_MAX (300 * SECOND) /* that a receiver can make us wait: it may be mistaken */

/**
 * struct ruling - what to do after an answer
 * @outcome: what became of the request
 * @retry:   the same request may be sent again
 * @wait_ns: the receiver asked for this time without requests, WAIT_MAX at most; 0: it did not
 * @encoding: it may be the body's compression that was refused
 */
struct ruling {
	enum delivery outcome;
	bool retry;
	__u64 wait_ns;
	bool encoding;
};

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

/**
 * answer__judge_http, answer__judge_grpc - judge an answer
 * @answer: a complete exchange, or a failed one
 * @kind:   the request's signal
 * @report: message and rejected are set
 */
struct ruling answer__judge_http(const struct answer *answer, const struct otlp_endpoint *endpoint,
				 enum signal_kind kind, struct delivery_report *report);
struct ruling answer__judge_grpc(const struct answer *answer, const struct otlp_endpoint *endpoint,
				 enum signal_kind kind, struct delivery_report *report);

/** answer__classify - set a report's error to the kind of failure, if there was one */
void answer__classify(const struct answer *answer, const struct otlp_endpoint *endpoint,
		      enum delivery outcome, struct delivery_report *report);

/* --- shared by the two ---------------------------------------------------------- */

/** answer__broken - the ruling on an answer that is too large, or found no memory */
bool answer__broken(const struct answer *answer, struct delivery_report *report,
		    struct ruling *ruling);

/** answer__failed - the ruling on an exchange that failed before there was an answer */
struct ruling answer__failed(const struct answer *answer, const struct otlp_endpoint *endpoint,
			     struct delivery_report *report);

/**
 * tls__explain - say why there is no TLS between us
 *
 * Return: false when that is not what failed. Otherwise only people can change it.
 */
bool tls__explain(const struct answer *answer, const struct otlp_endpoint *endpoint,
		  struct delivery_report *report);

/** tls__guess - add what may be behind a connection that was reset, which TLS did not say */
void tls__guess(const struct answer *answer, const struct otlp_endpoint *endpoint,
		struct delivery_report *report);

/** answer__is_local - nothing changes by waiting: what is wrong is here, not there */
bool answer__is_local(const struct answer *answer);

/** verdict__read_pb - read an Export*ServiceResponse; false when it is none */
bool verdict__read_pb(const __u8 *data, size_t len, struct verdict *verdict);

/** verdict__read_status - read a google.rpc.Status; false when it is none */
bool verdict__read_status(const __u8 *data, size_t len, struct verdict *verdict);

/** verdict__success - report what a successful answer says */
void verdict__success(const struct verdict *verdict, long status, const char *protocol,
		      struct delivery_report *report);

/** verdict__text_len - the bytes of the message that are worth repeating */
int verdict__text_len(const struct verdict *verdict);

#endif
