/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * All outputs of an exporter. Several are served at the same time, each in a thread of its own;
 * one that is not through with an export when the next one is due takes no part in that one, so
 * that it delays nobody. A single one, which nobody waits for, is served where it is called.
 */
#ifndef OTELBPF_OUTPUTS_H
#define OTELBPF_OUTPUTS_H

#include <linux/types.h>
#include <signal.h>
#include <stdbool.h>

#include "deliver/sender.h"
#include "otlp/baseline.h"
#include "stats.h"

#define OUTPUTS_MAX 8

/**
 * struct tally - what became of some requests to one output; zeroed before its first use
 * @pending:   have not ended
 * @items:     in all of them
 * @taken:     items of those that were delivered
 * @again:     at least one was not delivered, but may be later
 * @given_up:  what has not been taken will not be sent again: as it ends it is counted as lost
 * @each:      NULL, or a byte is appended for each, in their order, as it ends: 1 if delivered
 * @error:     of the last that was not delivered
 */
struct tally {
	unsigned int pending;
	__u64 items, taken;
	bool again, given_up;
	struct pb *each;
	char error[sizeof(((struct delivery_report *)0)->error)];
};

/** tally__complete - all has been taken */
static inline bool tally__complete(const struct tally *tally)
{
	return !tally->pending && tally->taken == tally->items;
}

/**
 * struct outputs - opened by outputs__open()
 * @takes_part: in the export under way
 * @baseline:   NULL where all is cumulative
 * @failed:     a request was not delivered, since outputs__begin()
 */
struct outputs {
	int n;
	struct outputs_one {
		struct output *output;
		struct sender *sender; /* NULL: a single output */
		struct baseline *baseline;
		bool takes_part;
		bool failing[SIGNAL_KINDS]; /* the last request of that kind failed */
	} one[OUTPUTS_MAX];
	struct stats *stats;
	const volatile bool *stop;
	bool owner, failed;
	int wake;
	__u64 deadline_ns, until_ns;
};

/**
 * outputs__open - open all of them
 * @outputs: zeroed; outputs__close() also after a failure
 * @stats:   kept, not owned
 * @deltas:  kept: what the last read met, of which each has a baseline; NULL: all is cumulative
 * @stop:    see output__send()
 *
 * Return: an exit code.
 */
int outputs__open(struct outputs *outputs, const char *const *specs, int n, const char *format,
		  struct stats *stats, const struct sources *deltas, const volatile bool *stop);
void outputs__close(struct outputs *outputs);

/** outputs__limit - the largest request that all of them take */
size_t outputs__limit(const struct outputs *outputs);

/**
 * outputs__begin - an export begins
 * @deadline_ns: CLOCK_MONOTONIC: see output__send()
 * @until_ns:    CLOCK_MONOTONIC: nobody waits longer for an output that others have left behind
 * @all:         those that are not through with an earlier one take part as well
 * @owner:       of the maps: what was not delivered is gone when it is given up
 *
 * If all are busy it waits for one of them.
 */
void outputs__begin(struct outputs *outputs, __u64 deadline_ns, __u64 until_ns, bool all,
		    bool owner);

/**
 * outputs__submit - send a request to one output
 * @tally:   counts it; stays where it is until it is no longer pending
 *
 * Return: 0 or -ENOMEM.
 */
int outputs__submit(struct outputs *outputs, int i, struct payload *payload, struct tally *tally);

/**
 * outputs__offer - send a request to all that take part
 * @tallies: one for each output
 *
 * The request is copied if there are several outputs.
 */
int outputs__offer(struct outputs *outputs, enum signal_kind kind, const struct pb *request,
		   size_t items, struct tally *tallies);

/** outputs__offer_some - the same to those with a tally */
int outputs__offer_some(struct outputs *outputs, enum signal_kind kind, const struct pb *request,
			size_t items, struct tally *const *tallies);

/** outputs__collect - count what has ended */
void outputs__collect(struct outputs *outputs);

/**
 * outputs__wait - wait until something has ended
 *
 * Return: false when nothing is to be waited for, or it is time for the next export, or to stop.
 */
bool outputs__wait(struct outputs *outputs);

/** outputs__undelivered - something has not arrived since outputs__begin(), or not yet */
bool outputs__undelivered(const struct outputs *outputs);

/**
 * outputs__give_up - what an output has not taken will not be sent to it again
 * @kind: what it is
 *
 * It is counted as lost, what is still pending when it has ended.
 */
void outputs__give_up(struct outputs *outputs, int i, enum signal_kind kind, struct tally *tally);

/** outputs__lost - count items that an output never gets, and say so */
void outputs__lost(struct outputs *outputs, int i, enum signal_kind kind, __u64 items,
		   const char *error);

#endif
