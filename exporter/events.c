// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "events.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <linux/limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "event/batch.h"
#include "event/layout.h"
#include "event/ring.h"
#include "fail.h"
#include "map_types.h"
#include "pins.h"
#include "tagged.h"

/* Of one request: a receiver that is away costs no more than this is encoded again. */
#define ITEMS_MAX 2048
#define REQUEST_BYTES (1 << 20)

/* A map that was looked at: what says nothing of events is remembered as such. */
struct known {
	__u32 id;
	bool seen, is_names;
	struct btf *btf;
	struct tagged *tagged;
	struct event_layout *layout; /* NULL: no state of a ring */
	struct known *next;
};

struct events {
	const char *pin_dir;
	struct process_resources *processes;
	struct known *known;
	struct feed *feeds;
	struct batch batch;
};

/* Where one output is in a ring. */
struct cursor {
	__u64 position; /* what lies before it has been taken, or given up */
	bool in_flight, skipped;
	struct tally tally;
	/* Of the last request: what it held, and the same for whoever comes there after. */
	__u64 start, next;
	struct payload *payload;
};

/* A ring's readers, from one export to the next. */
struct feed {
	__u32 map_id;
	bool seen;
	struct cursor cursors[OUTPUTS_MAX];
	struct feed *next;
};

/* A ring that this export reads. */
struct reading {
	struct ring ring;
	struct batch_source source;
	struct feed *feed;
	char scope[64];
	__u64 end; /* at most what it held once, so that one that fills as fast does not keep us */
};

/* One export. */
struct export
{
	struct events *events;
	struct resources *resources;
	struct outputs *outputs;
	size_t limit;
	bool owner;
	bool away[OUTPUTS_MAX]; /* did not take what came before */
	int at[OUTPUTS_MAX];	/* which ring an output is at */
	struct reading *readings;
	int n_readings;
	struct events_counts *counts;
};

struct events *events__new(const char *pin_dir, struct process_resources *processes)
{
	struct events *events = calloc(1, sizeof(*events));

	if (events) {
		events->pin_dir = pin_dir;
		events->processes = processes;
	}
	return events;
}

static void forget_known(struct events *events, bool all)
{
	struct known **at = &events->known;

	while (*at) {
		struct known *known = *at;

		if (known->seen && !all) {
			known->seen = false;
			at = &known->next;
			continue;
		}
		*at = known->next;
		event_layout__free(known->layout);
		tagged__free(known->tagged);
		btf__free(known->btf);
		free(known);
	}
}

/* What waits for an answer is left to its sender. */
static void forget_feeds(struct events *events, bool all)
{
	struct feed **at = &events->feeds;

	while (*at) {
		struct feed *feed = *at;
		bool pending = false;

		for (int i = 0; i < OUTPUTS_MAX; i++) {
			pending |= feed->cursors[i].tally.pending;
			payload__put(feed->cursors[i].payload);
			feed->cursors[i].payload = NULL;
		}
		if (!all && (feed->seen || pending)) {
			feed->seen = false;
			at = &feed->next;
			continue;
		}
		*at = feed->next;
		free(feed);
	}
}

void events__free(struct events *events)
{
	if (!events)
		return;
	forget_known(events, true);
	forget_feeds(events, true);
	batch__free(&events->batch);
	free(events);
}

/* --- finding rings -------------------------------------------------------------- */

static void describe(struct known *known, const char *pin, const char *probe, const char *name,
		     const struct bpf_map_info *info)
{
	char why[256] = "";
	__u32 var;

	known->btf = map_types__load(pin, info->btf_id);
	known->tagged = known->btf ? tagged__new(known->btf) : NULL;
	var = known->tagged ? tagged__variable(known->btf, name) : 0;
	if (var && tagged__find(known->tagged, var, -1, "events")) {
		known->layout = event_layout__compile(info, known->btf, known->tagged, var, why,
						      sizeof(why));
		if (!known->layout)
			warn("probe %s: events of %s are not exported: %s", probe, name,
			     why[0] ? why : strerror(errno));
	}
	known->is_names = var && tagged__find(known->tagged, var, -1, "cgroups");
	if (known->layout)
		return;
	tagged__free(known->tagged);
	btf__free(known->btf);
	known->tagged = NULL;
	known->btf = NULL;
}

static const struct known *look_at(struct events *events, const char *path, const char *probe,
				   const char *name, const struct bpf_map_info *info)
{
	struct known *known;

	for (known = events->known; known; known = known->next)
		if (known->id == info->id)
			break;
	if (!known) {
		known = calloc(1, sizeof(*known));
		if (!known)
			return NULL;
		known->id = info->id;
		known->next = events->known;
		events->known = known;
		describe(known, path, probe, name, info);
	}
	known->seen = true;
	return known;
}

struct pin {
	int fd;
	struct bpf_map_info info;
	const struct known *known;
};

static int open_pin(const struct events *events, const char *probe, const char *name,
		    char path[PATH_MAX], struct bpf_map_info *info)
{
	__u32 len = sizeof(*info);
	int fd;

	memset(info, 0, sizeof(*info));
	if (snprintf(path, PATH_MAX, "%s/%s/map/%s", events->pin_dir, probe, name) >= PATH_MAX)
		return -1;
	fd = bpf_obj_get(path);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, info, &len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* --- one output in one ring ------------------------------------------------------ */

/* Return: 1 for a request, 0 for none, -errno. @position: behind what it holds. */
static int fill(const struct export *export, const struct reading *reading, __u64 *position)
{
	struct batch *batch = &export->events->batch;
	size_t limit = export->limit < REQUEST_BYTES ? export->limit : REQUEST_BYTES, len;
	__u64 next = *position;
	const void *record;
	int err;

	batch__begin(batch);
	/* A record and its Resource take a few hundred bytes, 16 KiB is the smallest limit. */
	while (batch->n_items < ITEMS_MAX && batch__size(batch) < limit / 2 &&
	       ring__next(&reading->ring, &next, &record, &len)) {
		if (record && len >= reading->source.layout->size) {
			err = batch__add(batch, &reading->source, record);
			if (err)
				return err;
		}
		*position = next;
	}
	return batch->n_items > 0;
}

/* What has become of the last request, if that is known. Return: false: it may be taken later. */
static bool land(struct outputs *outputs, int i, enum signal_kind kind, struct cursor *cursor)
{
	bool again = cursor->tally.again;

	if (!cursor->in_flight || cursor->tally.pending)
		return true;
	/* What a receiver refuses for good must not be sent again: it is given up, and said. */
	if (!again)
		outputs__give_up(outputs, i, kind, &cursor->tally);
	if (!again && !cursor->skipped)
		cursor->position = cursor->next;
	cursor->in_flight = cursor->skipped = false;
	cursor->tally = (struct tally){0};
	return !again;
}

static enum signal_kind kind_of(const struct reading *reading)
{
	return reading->source.layout->is_log ? SIGNAL_LOGS : SIGNAL_TRACES;
}

/* Another output's request that begins where this one is. */
static const struct cursor *find_same(const struct feed *feed, int n, __u64 start)
{
	for (int i = 0; i < n; i++)
		if (feed->cursors[i].payload && feed->cursors[i].start == start)
			return &feed->cursors[i];
	return NULL;
}

static int submit(struct export *export, int i, struct cursor *cursor, struct payload *payload)
{
	int err;

	cursor->tally = (struct tally){0};
	err = outputs__submit(export->outputs, i, payload, &cursor->tally);
	cursor->in_flight = !err;
	return err;
}

/* Return: 1 for a request, 0 when there is nothing more, -errno. */
static int send_next(struct export *export, struct reading *reading, int i)
{
	struct cursor *cursor = &reading->feed->cursors[i];
	const struct cursor *same = find_same(reading->feed, export->outputs->n, cursor->position);
	struct payload once = {.refs = 1, .kind = kind_of(reading)}, *payload = &once;
	__u64 next = cursor->position;
	const struct pb *request;
	int result;

	if (cursor->position >= reading->end)
		return 0;
	if (same) {
		next = same->next;
		payload = payload__get(same->payload);
	} else {
		result = fill(export, reading, &next);
		if (result <= 0) {
			cursor->position = result ? cursor->position : next;
			return result;
		}
		request = batch__finish(&export->events->batch, reading->scope);
		if (!request)
			return -ENOMEM;
		once.items = export->events->batch.n_items;
		once.bytes = *request;
		export->counts->requests++;
		export->counts->bytes += request->len;
		export->counts->items[once.kind] += once.items;
		if (export->outputs->n > 1)
			payload = payload__new(once.kind, request, once.items);
		if (!payload)
			return -ENOMEM;
	}
	cursor->start = cursor->position;
	cursor->next = next;
	payload__put(cursor->payload);
	cursor->payload = payload == &once ? NULL : payload;
	return submit(export, i, cursor, payload) ?: 1;
}

/* --- all outputs in all rings ------------------------------------------------------ */

static __u64 count_records(const struct reading *reading, __u64 from, __u64 to)
{
	const void *record;
	__u64 n = 0;
	size_t len;

	while (from < to && ring__next(&reading->ring, &from, &record, &len))
		n += record && len >= reading->source.layout->size;
	return n;
}

/* An output that others have left behind goes where the first of them is. */
static void skip(struct export *export, struct reading *reading, int i, __u64 front)
{
	struct cursor *cursor = &reading->feed->cursors[i];
	enum signal_kind kind = kind_of(reading);
	bool waits = cursor->in_flight && !cursor->skipped;
	__u64 from = waits ? cursor->next : cursor->position, lost;

	lost = count_records(reading, from, front);
	warn("%s: %llu events are given up for it: half of the ring of %s is full of what others "
	     "have taken",
	     output__name(export->outputs->one[i].output, kind),
	     (unsigned long long)(lost + (waits ? cursor->tally.items : 0)), reading->scope);
	if (waits) {
		outputs__give_up(export->outputs, i, kind, &cursor->tally);
		cursor->skipped = true;
	}
	outputs__lost(export->outputs, i, kind, lost, NULL);
	/* What is under way may hold more than that: it is given up as a whole. */
	cursor->position = waits && cursor->next > front ? cursor->next : front;
}

/*
 * Give back to the kernel what all outputs have. One that others have left behind holds back no
 * more than half of the ring, unless it is at work.
 */
static void settle(struct export *export, struct reading *reading, bool over)
{
	struct cursor *cursors = reading->feed->cursors;
	__u64 front = 0, low = ~0ULL;

	for (int i = 0; i < export->outputs->n; i++)
		if (cursors[i].position > front)
			front = cursors[i].position;
	for (int i = 0; i < export->outputs->n; i++) {
		bool at_work = export->outputs->one[i].takes_part && !export->away[i] && !over;

		if (export->owner && !at_work && cursors[i].position < front &&
		    ring__used(&reading->ring, cursors[i].position) > reading->ring.size / 2)
			skip(export, reading, i, front);
		if (cursors[i].position < low)
			low = cursors[i].position;
	}
	if (export->owner)
		ring__consume(&reading->ring, low);
}

/* One output goes on as far as it can without waiting. */
static int advance(struct export *export, int i)
{
	int result;

	while (!export->away[i] && export->at[i] < export->n_readings) {
		struct reading *reading = &export->readings[export->at[i]];
		struct cursor *cursor = &reading->feed->cursors[i];

		if (cursor->tally.pending)
			return 0;
		if (!land(export->outputs, i, kind_of(reading), cursor)) {
			export->away[i] = true;
			return 0;
		}
		result = send_next(export, reading, i);
		if (result < 0)
			return result;
		if (!result)
			export->at[i]++;
		else if (export->outputs->n == 1)
			settle(export, reading, false);
	}
	return 0;
}

static int send_readings(struct export *export)
{
	int err = 0;

	do {
		for (int i = 0; i < export->outputs->n && !err; i++)
			if (export->outputs->one[i].takes_part)
				err = advance(export, i);
		for (int k = 0; k < export->n_readings; k++)
			settle(export, &export->readings[k], false);
	} while (!err && outputs__wait(export->outputs));
	for (int k = 0; k < export->n_readings; k++)
		settle(export, &export->readings[k], true);
	return err;
}

/* --- opening rings ---------------------------------------------------------------- */

static struct feed *find_feed(struct export *export, __u32 map_id, const struct ring *ring,
			      enum signal_kind kind)
{
	struct events *events = export->events;
	__u64 position = ring__position(ring);
	struct feed *feed;

	for (feed = events->feeds; feed; feed = feed->next)
		if (feed->map_id == map_id)
			break;
	if (!feed) {
		feed = calloc(1, sizeof(*feed));
		if (!feed)
			return NULL;
		feed->map_id = map_id;
		feed->next = events->feeds;
		events->feeds = feed;
	}
	feed->seen = true;
	/* Another exporter may have been here. What came late is known now, and may be tried again.
	 */
	for (int i = 0; i < export->outputs->n; i++) {
		land(export->outputs, i, kind, &feed->cursors[i]);
		if (feed->cursors[i].position < position)
			feed->cursors[i].position = position;
	}
	return feed;
}

static int open_ring(struct export *export, const char *probe, const struct event_layout *layout,
		     int names_fd)
{
	struct reading *more =
		reallocarray(export->readings, export->n_readings + 1, sizeof(*export->readings));
	struct bpf_map_info info;
	struct reading *reading;
	char path[PATH_MAX];
	int fd, err = -ENOENT;

	if (!more)
		return -ENOMEM;
	export->readings = more;
	reading = &more[export->n_readings];
	*reading = (struct reading){
		.source =
			{
				.layout = layout,
				.resources = export->resources,
				.processes = export->events->processes,
				.clock = event_clock__now(),
			},
	};
	fd = open_pin(export->events, probe, layout->ring, path, &info);
	if (fd >= 0 && info.type != BPF_MAP_TYPE_RINGBUF)
		err = -EINVAL;
	else if (fd >= 0)
		err = ring__open(&reading->ring, fd, info.max_entries, export->owner);
	if (fd >= 0)
		close(fd);
	if (err) {
		warn("probe %s: ring %s cannot be read: %s", probe, layout->ring, strerror(-err));
		return 0;
	}
	snprintf(reading->scope, sizeof(reading->scope), "otelbpf/%s", probe);
	reading->feed = find_feed(export, info.id, &reading->ring, kind_of(reading));
	if (!reading->feed) {
		ring__close(&reading->ring);
		return -ENOMEM;
	}
	reading->source.names_fd = names_fd < 0 ? -1 : dup(names_fd);
	reading->end = ring__position(&reading->ring) + reading->ring.size;
	export->n_readings++;
	return 0;
}

static void close_readings(struct export *export)
{
	for (int k = 0; k < export->n_readings; k++) {
		ring__close(&export->readings[k].ring);
		if (export->readings[k].source.names_fd >= 0)
			close(export->readings[k].source.names_fd);
	}
	free(export->readings);
}

/* --- a probe -------------------------------------------------------------------- */

static int open_probe(struct export *export, const char *probe)
{
	char dir[PATH_MAX], path[PATH_MAX], **names = NULL;
	int n, count = 0, names_fd = -1, err = 0;
	struct pin *pins;

	if (snprintf(dir, sizeof(dir), "%s/%s/map", export->events->pin_dir, probe) >=
	    (int)sizeof(dir))
		return 0;
	n = pins__list(dir, &names);
	pins = n > 0 ? calloc(n, sizeof(*pins)) : NULL;
	for (int i = 0; pins && i < n; i++) {
		pins[i].fd = open_pin(export->events, probe, names[i], path, &pins[i].info);
		if (pins[i].fd >= 0 && pins[i].info.btf_id)
			pins[i].known =
				look_at(export->events, path, probe, names[i], &pins[i].info);
		if (pins[i].known && pins[i].known->is_names)
			names_fd = pins[i].fd;
	}
	for (int i = 0; pins && i < n && !err; i++)
		if (pins[i].known && pins[i].known->layout) {
			err = open_ring(export, probe, pins[i].known->layout, names_fd);
			count++;
		}
	for (int i = 0; pins && i < n; i++)
		if (pins[i].fd >= 0)
			close(pins[i].fd);
	free(pins);
	pins__free_names(names);
	return err ? err : count;
}

int events__export(struct events *events, struct resources *resources, struct outputs *outputs,
		   size_t limit, bool owner, struct events_counts *counts)
{
	struct export export = {
		.events = events,
		.resources = resources,
		.outputs = outputs,
		.limit = limit,
		.owner = owner,
		.counts = counts,
	};
	int n, result = 0, count = 0;
	char **probes = NULL;

	*counts = (struct events_counts){0};
	n = pins__probes(events->pin_dir, &probes);
	if (n < 0)
		return n;
	for (int i = 0; i < n && result >= 0; i++) {
		result = open_probe(&export, probes[i]);
		count += result;
	}
	pins__free_names(probes);
	if (result >= 0 && export.n_readings)
		result = send_readings(&export);
	close_readings(&export);
	forget_known(events, false);
	forget_feeds(events, false);
	batch__free(&events->batch);
	return result < 0 ? result : count;
}
