// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "outputs.h"

#include <errno.h>
#include <malloc.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"

#define NS 1000000000ULL
#define BEHIND "behind"

static __u64 monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS + now.tv_nsec;
}

int outputs__open(struct outputs *outputs, const char *const *specs, int n, const char *format,
		  struct stats *stats, const struct sources *deltas, const volatile bool *stop)
{
	int code;

	outputs->stats = stats;
	outputs->stop = stop;
	outputs->wake = n > 1 ? eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK) : -1;
	if (n > 1 && outputs->wake < 0)
		return fail(EXIT_INTERNAL, "no eventfd: %s", strerror(errno));
	/* One arena for all threads: what one of them frees is the others' to use. */
	if (n > 1)
		mallopt(M_ARENA_MAX, 1);
	for (; outputs->n < n; outputs->n++) {
		struct outputs_one *one = &outputs->one[outputs->n];

		one->output = output__open(specs[outputs->n], format, &code);
		if (!one->output)
			return code;
		one->baseline = deltas ? baseline__new(deltas) : NULL;
		if (n > 1)
			one->sender = sender__new(one->output, outputs->wake, stop);
		if (stats__output(stats, specs[outputs->n]) < 0 || (deltas && !one->baseline) ||
		    (n > 1 && !one->sender)) {
			outputs->n++;
			return fail(EXIT_INTERNAL, "no memory");
		}
	}
	return EXIT_OK;
}

void outputs__close(struct outputs *outputs)
{
	for (int i = 0; i < outputs->n; i++) {
		sender__free(outputs->one[i].sender);
		output__close(outputs->one[i].output);
		baseline__free(outputs->one[i].baseline);
	}
	if (outputs->n && outputs->wake >= 0)
		close(outputs->wake);
	outputs->n = 0;
}

size_t outputs__limit(const struct outputs *outputs)
{
	size_t limit = (size_t)-1 / 2;

	for (int i = 0; i < outputs->n; i++)
		if (output__limit(outputs->one[i].output) < limit)
			limit = output__limit(outputs->one[i].output);
	return limit;
}

/* --- what became of it ----------------------------------------------------------- */

static void say_refused(const struct outputs *outputs, int i, enum signal_kind kind,
			enum delivery result, const struct delivery_report *report)
{
	const struct outputs_one *one = &outputs->one[i];

	warn("%s: not delivered%s: %s%s", output__name(one->output, kind),
	     result == UNDELIVERED || kind == SIGNAL_METRICS ? " (the kernel's maps keep it)"
	     : !outputs->owner				     ? ""
	     : kind == SIGNAL_PROFILES			     ? " (these samples are given up)"
							     : " (these events are given up)",
	     report->message,
	     result == REFUSED && kind == SIGNAL_PROFILES && !one->failing[kind]
		     ? "; a Collector takes profiles with --feature-gates="
		       "service.profilesSupport and a pipeline for them"
		     : "");
}

static void ended(struct outputs *outputs, int i, const struct payload *payload,
		  enum delivery result, const struct delivery_report *report, bool untried,
		  struct tally *tally)
{
	struct outputs_one *one = &outputs->one[i];
	enum signal_kind kind = payload->kind;
	const char *name = output__name(one->output, kind);

	stats__delivered(outputs->stats, i, kind, payload->items, result, report);
	tally->pending--;
	if (tally->each)
		tally->each->data[tally->each->len++] = result == DELIVERED;
	if (result == DELIVERED) {
		tally->taken += payload->items;
		if (report->message[0])
			warn("%s: %s", name, report->message);
		if (one->failing[kind])
			inform("%s: delivered again%s", name,
			       kind == SIGNAL_METRICS ? ", nothing was lost" : "");
		one->failing[kind] = false;
		return;
	}
	if (!untried)
		say_refused(outputs, i, kind, result, report);
	outputs->failed = one->failing[kind] = true;
	tally->again |= result == UNDELIVERED;
	memcpy(tally->error, report->error, sizeof(tally->error));
	if (tally->given_up)
		outputs__lost(outputs, i, kind, payload->items, report->error);
}

void outputs__collect(struct outputs *outputs)
{
	struct job *job;
	__u64 woken;

	if (outputs->wake >= 0 && read(outputs->wake, &woken, sizeof(woken)) < 0)
		woken = 0;
	for (int i = 0; i < outputs->n; i++)
		while (outputs->one[i].sender && (job = sender__ended(outputs->one[i].sender))) {
			ended(outputs, i, job->payload, job->result, &job->report, job->untried,
			      job->ctx);
			payload__put(job->payload);
			free(job);
		}
}

void outputs__lost(struct outputs *outputs, int i, enum signal_kind kind, __u64 items,
		   const char *error)
{
	if (items && outputs->owner)
		stats__lost(outputs->stats, i, kind, items, error && error[0] ? error : BEHIND);
}

void outputs__give_up(struct outputs *outputs, int i, enum signal_kind kind, struct tally *tally)
{
	if (tally->given_up)
		return;
	tally->given_up = true;
	if (!tally->pending)
		outputs__lost(outputs, i, kind, tally->items - tally->taken, tally->error);
}

/* --- sending --------------------------------------------------------------------- */

static bool is_busy(const struct outputs_one *one)
{
	return one->sender && sender__pending(one->sender);
}

/* Until something has ended, an instant, or the stop flag's signal. */
static void sleep_for_one(const struct outputs *outputs, __u64 until_ns, bool or_stop)
{
	struct pollfd wake = {.fd = outputs->wake, .events = POLLIN};
	__u64 now = monotonic(), left = until_ns > now ? until_ns - now : 0;
	struct timespec time = {.tv_sec = left / NS, .tv_nsec = left % NS};
	sigset_t stopping, awake;

	sigemptyset(&stopping);
	sigaddset(&stopping, SIGTERM);
	sigaddset(&stopping, SIGINT);
	sigprocmask(SIG_BLOCK, &stopping, &awake);
	if (!or_stop || !*outputs->stop)
		ppoll(&wake, 1, until_ns == ~0ULL ? NULL : &time, &awake);
	sigprocmask(SIG_SETMASK, &awake, NULL);
}

void outputs__begin(struct outputs *outputs, __u64 deadline_ns, __u64 until_ns, bool all,
		    bool owner)
{
	bool any = false;

	outputs->deadline_ns = deadline_ns;
	outputs->until_ns = until_ns;
	outputs->owner = owner;
	outputs->failed = false;
	for (;;) {
		outputs__collect(outputs);
		for (int i = 0; i < outputs->n; i++) {
			struct outputs_one *one = &outputs->one[i];

			one->takes_part = all || !is_busy(one);
			any |= one->takes_part;
		}
		if (any || *outputs->stop || !outputs->n)
			return;
		sleep_for_one(outputs, ~0ULL, true);
	}
}

bool outputs__undelivered(const struct outputs *outputs)
{
	bool undelivered = outputs->failed;

	for (int i = 0; i < outputs->n; i++)
		undelivered |= is_busy(&outputs->one[i]);
	return undelivered;
}

static struct job *job__new(const struct outputs *outputs, struct payload *payload,
			    struct tally *tally)
{
	struct job *job = calloc(1, sizeof(*job));

	if (job) {
		job->payload = payload__get(payload);
		job->deadline_ns = outputs->deadline_ns;
		job->ctx = tally;
	}
	return job;
}

static void send_now(struct outputs *outputs, int i, const struct payload *payload,
		     struct tally *tally)
{
	struct delivery_report report = {0};
	enum delivery result =
		output__send(outputs->one[i].output, payload->kind, payload->bytes.data,
			     payload->bytes.len, outputs->deadline_ns, outputs->stop, &report);

	ended(outputs, i, payload, result, &report, false, tally);
}

int outputs__submit(struct outputs *outputs, int i, struct payload *payload, struct tally *tally)
{
	struct outputs_one *one = &outputs->one[i];
	struct job *job;

	/* It ends where there is nobody to tell of a want of memory. */
	if (tally->each && !pb__reserve(tally->each, tally->pending + 1))
		return -ENOMEM;
	job = one->sender ? job__new(outputs, payload, tally) : NULL;
	if (one->sender && !job)
		return -ENOMEM;
	tally->pending++;
	tally->items += payload->items;
	if (job)
		sender__submit(one->sender, job);
	else
		send_now(outputs, i, payload, tally);
	return 0;
}

int outputs__offer_some(struct outputs *outputs, enum signal_kind kind, const struct pb *request,
			size_t items, struct tally *const *tallies)
{
	struct payload whole = {.refs = 1, .kind = kind, .bytes = *request, .items = items};
	struct payload *payload = &whole;
	int err = 0;

	if (outputs->n > 1)
		payload = payload__new(kind, request, items);
	if (!payload)
		return -ENOMEM;
	for (int i = 0; i < outputs->n && !err; i++)
		if (tallies[i])
			err = outputs__submit(outputs, i, payload, tallies[i]);
	if (payload != &whole)
		payload__put(payload);
	return err;
}

int outputs__offer(struct outputs *outputs, enum signal_kind kind, const struct pb *request,
		   size_t items, struct tally *tallies)
{
	struct tally *to[OUTPUTS_MAX] = {NULL};

	for (int i = 0; i < outputs->n; i++)
		if (outputs->one[i].takes_part)
			to[i] = &tallies[i];
	return outputs__offer_some(outputs, kind, request, items, to);
}

bool outputs__wait(struct outputs *outputs)
{
	bool any = false;

	outputs__collect(outputs);
	for (int i = 0; i < outputs->n; i++)
		any |= outputs->one[i].takes_part && is_busy(&outputs->one[i]);
	if (!any)
		return false;
	/* The last export has nobody to come after it. */
	if (outputs->until_ns != ~0ULL && (monotonic() >= outputs->until_ns || *outputs->stop))
		return false;
	sleep_for_one(outputs, outputs->until_ns, outputs->until_ns != ~0ULL);
	outputs__collect(outputs);
	return true;
}
