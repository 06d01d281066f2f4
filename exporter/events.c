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
	struct batch batch;
};

/* One export. */
struct export
{
	struct events *events;
	struct resources *resources;
	size_t limit;
	bool owner, away;
	events_send *send;
	void *ctx;
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

void events__free(struct events *events)
{
	if (!events)
		return;
	forget_known(events, true);
	batch__free(&events->batch);
	free(events);
}

/* --- finding rings -------------------------------------------------------------- */

static void describe(struct known *known, const char *probe, const char *name,
		     const struct bpf_map_info *info)
{
	char why[256] = "";
	__u32 var;

	known->btf = btf__load_from_kernel_by_id(info->btf_id);
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

static const struct known *look_at(struct events *events, const char *probe, const char *name,
				   const struct bpf_map_info *info)
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
		describe(known, probe, name, info);
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
		    struct bpf_map_info *info)
{
	__u32 len = sizeof(*info);
	char path[PATH_MAX];
	int fd;

	memset(info, 0, sizeof(*info));
	if (snprintf(path, sizeof(path), "%s/%s/map/%s", events->pin_dir, probe, name) >=
	    (int)sizeof(path))
		return -1;
	fd = bpf_obj_get(path);
	if (fd >= 0 && bpf_obj_get_info_by_fd(fd, info, &len)) {
		close(fd);
		fd = -1;
	}
	return fd;
}

/* --- one ring ------------------------------------------------------------------- */

/* Return: 1 for a request, 0 for none, -errno. @position: behind what it holds. */
static int fill(const struct export *export, const struct batch_source *source,
		const struct ring *ring, __u64 *position)
{
	struct batch *batch = &export->events->batch;
	size_t limit = export->limit < REQUEST_BYTES ? export->limit : REQUEST_BYTES, len;
	__u64 next = *position;
	const void *record;
	int err;

	batch__begin(batch);
	/* A record and its Resource take a few hundred bytes, 16 KiB is the smallest limit. */
	while (batch->n_items < ITEMS_MAX && batch__size(batch) < limit / 2 &&
	       ring__next(ring, &next, &record, &len)) {
		if (record && len >= source->layout->size) {
			err = batch__add(batch, source, record);
			if (err)
				return err;
		}
		*position = next;
	}
	return batch->n_items > 0;
}

static int send_ring(struct export *export, const struct batch_source *source, struct ring *ring,
		     const char *scope)
{
	enum signal_kind kind = source->layout->is_log ? SIGNAL_LOGS : SIGNAL_TRACES;
	__u64 position = ring__position(ring), end = position + ring->size;
	const struct pb *request;
	int result = 1;

	/* At most what it held once, so that a ring that fills as fast does not keep us. */
	while (!export->away && position < end) {
		__u64 next = position;

		result = fill(export, source, ring, &next);
		if (result < 0)
			return result;
		if (result) {
			request = batch__finish(&export->events->batch, scope);
			if (!request)
				return -ENOMEM;
			result = export->send(request, kind, export->events->batch.n_items,
					      export->ctx);
			if (result < 0)
				return result;
			export->away = !result;
		}
		if (next == position)
			break;
		position = next;
		if (export->owner && !export->away)
			ring__consume(ring, position);
	}
	return 0;
}

static int export_ring(struct export *export, const char *probe, const struct event_layout *layout,
		       int names_fd)
{
	struct batch_source source = {
		.layout = layout,
		.resources = export->resources,
		.processes = export->events->processes,
		.names_fd = names_fd,
		.clock = event_clock__now(),
	};
	struct bpf_map_info info;
	int fd = open_pin(export->events, probe, layout->ring, &info), err = -ENOENT;
	char scope[64];
	struct ring ring;

	if (fd >= 0 && info.type != BPF_MAP_TYPE_RINGBUF)
		err = -EINVAL;
	else if (fd >= 0)
		err = ring__open(&ring, fd, info.max_entries, export->owner);
	if (fd >= 0)
		close(fd);
	if (err) {
		warn("probe %s: ring %s cannot be read: %s", probe, layout->ring, strerror(-err));
		return 0;
	}
	snprintf(scope, sizeof(scope), "otelbpf/%s", probe);
	err = send_ring(export, &source, &ring, scope);
	ring__close(&ring);
	return err;
}

/* --- a probe -------------------------------------------------------------------- */

static int export_probe(struct export *export, const char *probe)
{
	char dir[PATH_MAX], **names = NULL;
	int n, count = 0, names_fd = -1, err = 0;
	struct pin *pins;

	if (snprintf(dir, sizeof(dir), "%s/%s/map", export->events->pin_dir, probe) >=
	    (int)sizeof(dir))
		return 0;
	n = pins__list(dir, &names);
	pins = n > 0 ? calloc(n, sizeof(*pins)) : NULL;
	for (int i = 0; pins && i < n; i++) {
		pins[i].fd = open_pin(export->events, probe, names[i], &pins[i].info);
		if (pins[i].fd >= 0 && pins[i].info.btf_id)
			pins[i].known = look_at(export->events, probe, names[i], &pins[i].info);
		if (pins[i].known && pins[i].known->is_names)
			names_fd = pins[i].fd;
	}
	for (int i = 0; pins && i < n && !err; i++)
		if (pins[i].known && pins[i].known->layout) {
			err = export_ring(export, probe, pins[i].known->layout, names_fd);
			count++;
		}
	for (int i = 0; pins && i < n; i++)
		if (pins[i].fd >= 0)
			close(pins[i].fd);
	free(pins);
	pins__free_names(names);
	return err ? err : count;
}

int events__export(struct events *events, struct resources *resources, size_t limit, bool owner,
		   events_send *send, void *ctx)
{
	struct export export = {events, resources, limit, owner, false, send, ctx};
	int n, result = 0, count = 0;
	char **probes = NULL;

	n = pins__probes(events->pin_dir, &probes);
	if (n < 0)
		return n;
	for (int i = 0; i < n && result >= 0; i++) {
		result = export_probe(&export, probes[i]);
		count += result;
	}
	pins__free_names(probes);
	forget_known(events, false);
	batch__free(&events->batch);
	return result < 0 ? result : count;
}
