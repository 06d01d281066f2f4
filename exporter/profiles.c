// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "profiles.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

#include <bpf/bpf.h>

#include "fail.h"
#include "pins.h"
#include "process_resource.h"
#include "profile/entries.h"
#include "profile/held.h"
#include "profile/probe.h"
#include "profile/samples.h"
#include "profile/stacks.h"

/* Keys to delete once they are delivered, and the window that they were all of. */
struct done {
	int fd;
	int window; /* the map with the window's state, -1: noted with another table */
	struct otel_window state;
	struct keys keys;
};

struct profiles {
	const char *pin_dir;
	struct symbols *symbols;
	struct process_resources *processes;
	__u64 older_ns; /* only what is held for longer; 0: everything */
	bool left_open; /* an older window came first */
	struct done *done;
	int n_done;
	/* of one probe's window */
	struct keys keys[PROFILE_TABLES_MAX];	    /* of samples */
	struct samples samples[PROFILE_VALUES_MAX]; /* of each value, with the same keys */
	struct held held;
	struct keys stack_keys[PROFILE_TABLES_MAX];
	struct stacks stacks;
	struct profile_files files;
};

struct profiles *profiles__new(const char *pin_dir, struct symbols *symbols)
{
	struct profiles *profiles = calloc(1, sizeof(*profiles));
	__u64 seed = (__u64)(size_t)profiles * 0x9e3779b97f4a7c15;

	if (!profiles)
		return NULL;
	profiles->pin_dir = pin_dir;
	profiles->symbols = symbols;
	/* Without the kernel's random numbers: an address of ours is better than a constant. */
	if (getrandom(&profiles->stacks.seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed))
		profiles->stacks.seed = seed;
	profiles->stacks.seed |= 1;
	profiles->processes = process_resources__new();
	if (!profiles->processes) {
		free(profiles);
		return NULL;
	}
	return profiles;
}

static void forget_done(struct profiles *profiles)
{
	for (int i = 0; i < profiles->n_done; i++) {
		close(profiles->done[i].fd);
		if (profiles->done[i].window >= 0)
			close(profiles->done[i].window);
		keys__free(&profiles->done[i].keys);
	}
	free(profiles->done);
	profiles->done = NULL;
	profiles->n_done = 0;
}

static void forget_window(struct profiles *profiles)
{
	for (int i = 0; i < PROFILE_TABLES_MAX; i++) {
		keys__free(&profiles->keys[i]);
		keys__free(&profiles->stack_keys[i]);
	}
	for (int i = 0; i < PROFILE_VALUES_MAX; i++)
		samples__clear(&profiles->samples[i]);
	held__clear(&profiles->held);
	stacks__clear(&profiles->stacks);
	profile_files__clear(&profiles->files);
}

void profiles__free(struct profiles *profiles)
{
	if (!profiles)
		return;
	forget_done(profiles);
	forget_window(profiles);
	process_resources__free(profiles->processes);
	free(profiles);
}

/* --- reading --------------------------------------------------------------- */

struct reading {
	struct profiles *profiles;
	struct profile_probe *probe;
	bool owner;
	int table; /* of samples or stacks, the one that is read */
};

static int take_sample(void *ctx, const char *key, const char *value)
{
	struct reading *reading = ctx;
	const struct profile_layout *layout = &reading->probe->layout;
	const char *kept = keys__add(&reading->profiles->keys[reading->table], key);
	__u64 count;
	int err = 0;

	if (!kept)
		return -ENOMEM;
	for (int i = 0; i < layout->n_values && !err; i++) {
		memcpy(&count, value + layout->values[i].offset, sizeof(count));
		err = samples__add(&reading->profiles->samples[i], kept, count);
	}
	return err;
}

static int take_stack(void *ctx, const char *key, const char *value)
{
	struct reading *reading = ctx;
	__u64 hash;

	/* Whether a sample refers to it or not: it is to be deleted with its window. */
	if (reading->owner && !keys__add(&reading->profiles->stack_keys[reading->table], key))
		return -ENOMEM;
	memcpy(&hash, key + offsetof(struct otel_stack_key, hash), sizeof(hash));
	return stacks__add(&reading->profiles->stacks, hash, (const struct otel_stack *)value,
			   reading->probe->stacks[reading->table].depth);
}

/*
 * Where there is a state, a stack that it refers to outlives its window, one copy of it. The state
 * has been read after the window was closed: an entry that was added since, and is not
 * in what was read, has its stack in the open window, which is left alone. The one exception is a
 * realloc() that fails and puts back what it had taken out before that: if nothing else has
 * that stack, the entry has none then.
 */
static int take_any_stack(void *ctx, const char *key, const char *value)
{
	struct reading *reading = ctx;
	struct profiles *profiles = reading->profiles;
	struct otel_stack_key id;
	bool held, found, closed;

	memcpy(&id, key, sizeof(id));
	held = held__refers(&profiles->held, id.hash);
	found = stacks__find(&profiles->stacks, id.hash);
	closed = (__s32)(id.window - reading->probe->closed) <= 0;
	if (reading->owner && closed && (!held || found) &&
	    !keys__add(&profiles->stack_keys[reading->table], key))
		return -ENOMEM;
	if (!held && id.window != reading->probe->closed)
		return 0;
	return stacks__add(&profiles->stacks, id.hash, (const struct otel_stack *)value,
			   reading->probe->stacks[reading->table].depth);
}

/*
 * What is left of windows before the first that is wanted is deleted, by an owner: an exporter
 * was killed before it could, or the entry could not be deleted then.
 */
static int read_entries(const struct reading *reading, const struct entries *wanted)
{
	struct keys older = {.size = wanted->key_size};
	struct entries entries = *wanted;
	int err;

	entries.older = reading->owner ? &older : NULL;
	err = entries__read(&entries);
	keys__delete(&older, entries.fd);
	keys__free(&older);
	return err;
}

static int read_samples(struct reading *reading, __u32 from, __u32 to)
{
	const struct profile_layout *layout = &reading->probe->layout;
	struct entries entries = {
		.key_size = layout->key_size,
		.value_size = layout->value_size,
		.window_at = layout->window,
		.from = from,
		.to = to,
		.take = take_sample,
		.ctx = reading,
	};

	int err = 0;

	for (int i = 0; i < reading->probe->n_samples && !err; i++) {
		reading->table = i;
		reading->profiles->keys[i].size = layout->key_size;
		entries.fd = reading->probe->samples[i];
		err = read_entries(reading, &entries);
	}
	return err;
}

static int read_stacks(struct reading *reading)
{
	struct entries entries = {
		.key_size = sizeof(struct otel_stack_key),
		.window_at = offsetof(struct otel_stack_key, window),
		.from = reading->probe->closed,
		.to = reading->probe->closed + 1,
		.every = reading->probe->held >= 0,
		.take = reading->probe->held >= 0 ? take_any_stack : take_stack,
		.ctx = reading,
	};

	int err = 0;

	for (int i = 0; i < reading->probe->n_stacks && !err; i++) {
		reading->table = i;
		reading->profiles->stack_keys[i].size = sizeof(struct otel_stack_key);
		entries.fd = reading->probe->stacks[i].fd;
		entries.value_size =
			offsetof(struct otel_stack, frames[reading->probe->stacks[i].depth]);
		err = read_entries(reading, &entries);
	}
	return err;
}

/*
 * The window that was not acknowledged, if there is one: its samples are read, and @end_ns is
 * when it ended. There is only one, as no other is closed before it is.
 */
static int read_left_open(struct reading *reading, __u64 *end_ns)
{
	struct profiles *profiles = reading->profiles;
	struct profile_probe *probe = reading->probe;
	int err;

	if (!reading->owner || probe->state.done == probe->state.current)
		return 0;
	err = read_samples(reading, probe->state.done, probe->state.current);
	if (err || !profiles->samples[0].n)
		return err;
	memcpy(&probe->closed, profiles->samples[0].all[0].key + probe->layout.window,
	       sizeof(probe->closed));
	*end_ns = probe->state.start_ns[probe->state.current & 1];
	profiles->left_open = true;
	return 0;
}

/* Takes @keys. */
static int note_done(struct profiles *profiles, int fd, struct keys *keys)
{
	struct done *more = reallocarray(profiles->done, profiles->n_done + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	profiles->done = more;
	more[profiles->n_done++] = (struct done){.fd = dup(fd), .window = -1, .keys = *keys};
	*keys = (struct keys){0};
	return 0;
}

static int note_window(struct profiles *profiles, const struct profile_probe *probe)
{
	struct done *done;
	int err = 0;

	for (int i = 0; i < probe->n_samples && !err; i++)
		err = note_done(profiles, probe->samples[i], &profiles->keys[i]);
	if (err)
		return err;
	done = &profiles->done[profiles->n_done - 1];
	done->window = dup(probe->window);
	done->state = probe->state;
	done->state.done = probe->closed + 1;
	for (int i = 0; i < probe->n_stacks && !err; i++)
		err = note_done(profiles, probe->stacks[i].fd, &profiles->stack_keys[i]);
	if (!err && probe->held >= 0)
		err = note_done(profiles, probe->held, &profiles->held.ended);
	return err;
}

static int read_held(struct profiles *profiles, struct profile_probe *probe)
{
	const __u64 seed[2] = {profiles->stacks.seed >> 1, profiles->stacks.seed};

	return probe->held < 0 ? 0 : held__read(&profiles->held, probe, seed, profiles->older_ns);
}

static int build(struct profiles *profiles, const struct profile_probe *probe,
		 struct building *building, __u64 now_ns)
{
	int err = 0;

	building->layout = &probe->layout;
	for (int i = 0; i < probe->layout.n_values && !err && !profiles->older_ns; i++) {
		building->value = i;
		err = samples__build(&profiles->samples[i], building);
	}
	building->layout = &probe->held_values;
	building->state = true;
	building->end_ns = now_ns;
	for (int i = 0; i < probe->held_values.n_values && !err; i++) {
		building->value = i;
		err = samples__build(&profiles->held.samples[i], building);
	}
	return err;
}

static int read_window(struct reading *reading, struct resources *resources,
		       struct profile_set *set, __u64 now_ns)
{
	struct profiles *profiles = reading->profiles;
	struct profile_probe *probe = reading->probe;
	struct building building = {
		.probe = probe,
		.resources = resources,
		.processes = profiles->processes,
		.naming = {set, profiles->symbols, &profiles->files},
		.stacks = &profiles->stacks,
		.end_ns = now_ns,
	};
	int err = profile_probe__read_state(probe);

	probe->closed = probe->state.current;
	if (!err)
		err = read_left_open(reading, &building.end_ns);
	if (!err && !profiles->samples[0].n) {
		err = reading->owner ? profile_probe__close_window(probe, now_ns) : 0;
		if (!err)
			err = read_samples(reading, probe->closed, probe->closed + 1);
	}
	if (!err)
		err = read_held(profiles, probe);
	if (!err)
		err = read_stacks(reading);
	if (!err)
		err = profile_files__read(&profiles->files, probe);
	/* What the samples point to moves with the list, not away. */
	if (!err && reading->owner)
		err = note_window(profiles, probe);
	return err ? err : build(profiles, probe, &building, now_ns);
}

int profiles__read(struct profiles *profiles, struct resources *resources, struct profile_set *set,
		   bool owner, __u64 now_ns)
{
	char **names = NULL;
	int n, count = 0, err = 0;

	forget_done(profiles);
	profiles->left_open = false;
	n = pins__probes(profiles->pin_dir, &names);
	for (int i = 0; i < n && err != -ENOMEM; i++) {
		struct profile_probe probe;

		if (profile_probe__open(&probe, profiles->pin_dir, names[i])) {
			err = read_window(&(struct reading){profiles, &probe, owner, 0}, resources,
					  set, now_ns);
			if (err)
				warn("probe %s: its profile cannot be read: %s", names[i],
				     strerror(-err));
			forget_window(profiles);
			/* In small pieces, which no large buffer finds a place in. */
			malloc_trim(0);
			count++;
		}
		profile_probe__close(&probe);
	}
	pins__free_names(names);
	if (profiles->symbols && count)
		symbols__trim(profiles->symbols);
	process_resources__next_export(profiles->processes);
	return n < 0 ? n : err == -ENOMEM ? err : count;
}

void profiles__only_held(struct profiles *profiles, __u64 older_ns)
{
	profiles->older_ns = older_ns;
}

struct process_resources *profiles__processes(struct profiles *profiles)
{
	return profiles->processes;
}

bool profiles__left_open(const struct profiles *profiles)
{
	return profiles->left_open;
}

int profiles__acknowledge(struct profiles *profiles)
{
	int deleted = 0;
	__u32 zero = 0;

	/* That it is done is noted first: killed in the middle, the rest is not sent again. */
	for (int i = 0; i < profiles->n_done; i++)
		if (profiles->done[i].window >= 0)
			bpf_map_update_elem(profiles->done[i].window, &zero,
					    &profiles->done[i].state, BPF_EXIST);
	for (int i = 0; i < profiles->n_done; i++)
		deleted += keys__delete(&profiles->done[i].keys, profiles->done[i].fd);
	forget_done(profiles);
	return deleted;
}
