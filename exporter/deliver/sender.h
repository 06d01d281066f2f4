/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An output with a thread of its own, so that one that is slow or dead delays nobody: requests
 * go in, and come back with what became of them. All of this is called by one thread, but for
 * what the sender's own does.
 */
#ifndef OTELBPF_DELIVER_SENDER_H
#define OTELBPF_DELIVER_SENDER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "otlp/pb.h"
#include "output.h"

/**
 * struct payload - an encoded request, shared by the senders that it was given to
 * @refs:  holders; the thread that calls counts them, senders only read
 * @bytes: a copy of the request
 * @items: what is in it
 */
struct payload {
	unsigned int refs;
	enum signal_kind kind;
	struct pb bytes;
	size_t items;
};

/** payload__new - copy a request; one reference is the caller's. NULL: no memory */
struct payload *payload__new(enum signal_kind kind, const struct pb *request, size_t items);
struct payload *payload__get(struct payload *payload);
void payload__put(struct payload *payload);

/**
 * struct job - one request for one sender, and what became of it
 * @ctx:    the submitter's
 * @result: set when it has ended
 * @report: likewise
 * @untried: it was given up because what came before it in the same export was not taken
 */
struct job {
	struct job *next;
	struct payload *payload;
	__u64 deadline_ns;
	void *ctx;
	enum delivery result;
	struct delivery_report report;
	bool untried;
};

/** struct sender - opaque */
struct sender;

/**
 * sender__new - start a thread for an output
 * @output: stays the caller's, who leaves it alone until sender__free()
 * @wake:   an eventfd that becomes readable when a job has ended
 * @stop:   see output__send()
 *
 * Return: NULL when there is no memory or no thread.
 */
struct sender *sender__new(struct output *output, int wake, const volatile bool *stop);

/** sender__submit - @job, with its payload's reference, is the sender's until it has ended */
void sender__submit(struct sender *sender, struct job *job);

/** sender__ended - the first of the jobs that have ended, now the caller's; NULL: there is none */
struct job *sender__ended(struct sender *sender);

/** sender__pending - jobs that sender__ended() has not returned yet */
size_t sender__pending(const struct sender *sender);

/** sender__free - an attempt under way ends in its own time; what waits behind it is dropped */
void sender__free(struct sender *sender);

#endif
