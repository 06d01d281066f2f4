// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sender.h"

#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "output_ops.h"

/* Of jobs, the first one out first. */
struct queue {
	struct job *first, **end;
};

/**
 * struct sender - an output and its thread
 * @lock:    of the two queues and @closing
 * @work:    there is something in @waiting, or @closing
 * @waiting: still to be sent
 * @ended:   to be collected
 * @pending: the caller's count
 */
struct sender {
	struct output *output;
	int wake;
	const volatile bool *stop;
	pthread_t thread;
	pthread_mutex_t lock;
	pthread_cond_t work;
	struct queue waiting, ended;
	size_t pending;
	bool closing;
};

/* --- payloads -------------------------------------------------------------------- */

struct payload *payload__new(enum signal_kind kind, const struct pb *request, size_t items)
{
	struct payload *payload = calloc(1, sizeof(*payload));

	if (!payload)
		return NULL;
	payload->refs = 1;
	payload->kind = kind;
	payload->items = items;
	pb__raw(&payload->bytes, request->data, request->len);
	if (payload->bytes.failed) {
		payload__put(payload);
		return NULL;
	}
	return payload;
}

struct payload *payload__get(struct payload *payload)
{
	payload->refs++;
	return payload;
}

void payload__put(struct payload *payload)
{
	if (!payload || --payload->refs)
		return;
	pb__free(&payload->bytes);
	free(payload);
}

/* --- queues ---------------------------------------------------------------------- */

static void put(struct queue *queue, struct job *job)
{
	job->next = NULL;
	*queue->end = job;
	queue->end = &job->next;
}

static struct job *take(struct queue *queue)
{
	struct job *job = queue->first;

	if (job) {
		queue->first = job->next;
		if (!queue->first)
			queue->end = &queue->first;
	}
	return job;
}

static void drop(struct queue *queue)
{
	struct job *job;

	while ((job = take(queue))) {
		payload__put(job->payload);
		free(job);
	}
}

/* --- the thread ------------------------------------------------------------------ */

static void send_job(struct sender *sender, struct job *job)
{
	const struct payload *payload = job->payload;

	job->result =
		output__send(sender->output, payload->kind, payload->bytes.data, payload->bytes.len,
			     job->deadline_ns, sender->stop, &job->report);
}

/* What comes behind a request that was not taken, in the same export, would fare no better. */
static void give_up_rest(struct sender *sender, const struct job *failed)
{
	struct queue rest = {.end = &rest.first};
	struct job *job;

	while ((job = take(&sender->waiting))) {
		if (job->payload->kind != failed->payload->kind ||
		    job->deadline_ns != failed->deadline_ns) {
			put(&rest, job);
			continue;
		}
		job->result = UNDELIVERED;
		job->untried = true;
		memcpy(job->report.error, failed->report.error, sizeof(job->report.error));
		report__say(&job->report,
			    "not sent: it did not take what came before in this export");
		put(&sender->ended, job);
	}
	sender->waiting = rest;
	if (!rest.first)
		sender->waiting.end = &sender->waiting.first;
}

static void *run(void *arg)
{
	struct sender *sender = arg;

	pthread_mutex_lock(&sender->lock);
	for (;;) {
		struct job *job = sender->closing ? NULL : take(&sender->waiting);

		if (sender->closing)
			break;
		if (!job) {
			pthread_cond_wait(&sender->work, &sender->lock);
			continue;
		}
		pthread_mutex_unlock(&sender->lock);
		send_job(sender, job);
		pthread_mutex_lock(&sender->lock);
		put(&sender->ended, job);
		if (job->result == UNDELIVERED)
			give_up_rest(sender, job);
		/* It cannot be full: nobody writes but once for each job. */
		if (write(sender->wake, &(__u64){1}, sizeof(__u64)) < 0)
			continue;
	}
	pthread_mutex_unlock(&sender->lock);
	return NULL;
}

/* --- its owner's side ------------------------------------------------------------ */

struct sender *sender__new(struct output *output, int wake, const volatile bool *stop)
{
	struct sender *sender = calloc(1, sizeof(*sender));
	sigset_t all, before;
	int err;

	if (!sender)
		return NULL;
	sender->output = output;
	sender->wake = wake;
	sender->stop = stop;
	sender->waiting.end = &sender->waiting.first;
	sender->ended.end = &sender->ended.first;
	pthread_mutex_init(&sender->lock, NULL);
	pthread_cond_init(&sender->work, NULL);
	/* Signals are for the thread that waits for them. */
	sigfillset(&all);
	pthread_sigmask(SIG_SETMASK, &all, &before);
	err = pthread_create(&sender->thread, NULL, run, sender);
	pthread_sigmask(SIG_SETMASK, &before, NULL);
	if (err) {
		free(sender);
		return NULL;
	}
	return sender;
}

void sender__submit(struct sender *sender, struct job *job)
{
	sender->pending++;
	pthread_mutex_lock(&sender->lock);
	put(&sender->waiting, job);
	pthread_cond_signal(&sender->work);
	pthread_mutex_unlock(&sender->lock);
}

struct job *sender__ended(struct sender *sender)
{
	struct job *job;

	pthread_mutex_lock(&sender->lock);
	job = take(&sender->ended);
	pthread_mutex_unlock(&sender->lock);
	sender->pending -= job != NULL;
	return job;
}

size_t sender__pending(const struct sender *sender)
{
	return sender->pending;
}

void sender__free(struct sender *sender)
{
	if (!sender)
		return;
	pthread_mutex_lock(&sender->lock);
	sender->closing = true;
	pthread_cond_signal(&sender->work);
	pthread_mutex_unlock(&sender->lock);
	pthread_join(sender->thread, NULL);
	drop(&sender->waiting);
	drop(&sender->ended);
	pthread_mutex_destroy(&sender->lock);
	pthread_cond_destroy(&sender->work);
	free(sender);
}
