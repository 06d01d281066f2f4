// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "held.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#define NS 1000000000ULL

/* What is summed up: a sample's key, for samples__build(). */
struct group {
	struct otel_process_id process;
	__u64 user;
};
_Static_assert(sizeof(struct group) == 24, "no padding: it is compared as bytes");

struct reading {
	struct held *held;
	struct profile_probe *probe;
	const __u64 *seed;
	__u64 made_before; /* CLOCK_BOOTTIME */
};

static int add(struct reading *reading, const struct group *group, const char *value)
{
	const struct profile_layout *values = &reading->probe->held_values;
	struct held *held = reading->held;
	int index =
		table__intern(&held->groups, &held->arena, reading->seed, group, sizeof(*group));
	int err = 0;

	if (index < 0)
		return index;
	for (int i = 0; i < values->n_values && !err; i++) {
		__u64 count;

		memcpy(&count, value + values->values[i].offset, sizeof(count));
		if ((size_t)index < held->samples[i].n)
			held->samples[i].all[index].value += count;
		else
			err = samples__add(&held->samples[i], held->groups.entries[index].data,
					   count);
	}
	return err;
}

static int note_stack(struct held *held, __u64 hash)
{
	/* At 1, 2, 4, ... there is no room left. */
	if (!(held->n_stacks & (held->n_stacks - 1))) {
		size_t room = held->n_stacks ? 2 * held->n_stacks : 1;
		__u64 *more = reallocarray(held->stacks, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		held->stacks = more;
	}
	held->stacks[held->n_stacks++] = hash;
	return 0;
}

static int take(void *ctx, const char *key, const char *value)
{
	struct reading *reading = ctx;
	const struct held_layout *layout = &reading->probe->held_layout;
	struct held *held = reading->held;
	__u64 since = 0, ended = 0;
	struct group group;
	int err;

	memcpy(&group.process, key + layout->process, sizeof(group.process));
	memcpy(&group.user, value + layout->user, sizeof(group.user));
	if (layout->since >= 0)
		memcpy(&since, value + layout->since, sizeof(since));
	if (layout->ended >= 0)
		memcpy(&ended, value + layout->ended, sizeof(ended));
	/* Also of what is too young to be shown. */
	err = note_stack(held, group.user);
	if (!err && ended && !keys__add(&held->ended, key))
		err = -ENOMEM;
	return err || since > reading->made_before ? err : add(reading, &group, value);
}

static int compare(const void *a, const void *b)
{
	const __u64 *left = a, *right = b;

	return (*left > *right) - (*left < *right);
}

/* In order, each of them once. */
static void sort_stacks(struct held *held)
{
	size_t n = 0;

	if (held->n_stacks)
		qsort(held->stacks, held->n_stacks, sizeof(*held->stacks), compare);
	for (size_t i = 0; i < held->n_stacks; i++)
		if (!i || held->stacks[i] != held->stacks[i - 1])
			held->stacks[n++] = held->stacks[i];
	held->n_stacks = n;
}

int held__read(struct held *held, struct profile_probe *probe, const __u64 seed[2], __u64 older_ns)
{
	struct reading reading = {.held = held, .probe = probe, .seed = seed};
	struct entries entries = {
		.fd = probe->held,
		.key_size = probe->held_layout.key_size,
		.value_size = probe->held_layout.value_size,
		.every = true,
		.take = take,
		.ctx = &reading,
	};
	struct timespec now;
	int err;

	clock_gettime(CLOCK_BOOTTIME, &now);
	reading.made_before = older_ns ? now.tv_sec * NS + now.tv_nsec - older_ns : ~0ULL;
	/* Not up for so long: nothing can be that old. */
	if (older_ns > now.tv_sec * NS + now.tv_nsec)
		reading.made_before = 0;
	held->ended.size = probe->held_layout.key_size;
	err = entries__read(&entries);
	sort_stacks(held);
	/* As samples__build() is to find them; the values have been taken. */
	probe->held_values.process = offsetof(struct group, process);
	probe->held_values.user = offsetof(struct group, user);
	probe->held_values.kernel = probe->held_values.trace = probe->held_values.window = -1;
	return err;
}

bool held__refers(const struct held *held, __u64 stack)
{
	return held->n_stacks &&
	       bsearch(&stack, held->stacks, held->n_stacks, sizeof(stack), compare);
}

void held__clear(struct held *held)
{
	for (int i = 0; i < PROFILE_VALUES_MAX; i++)
		samples__clear(&held->samples[i]);
	keys__free(&held->ended);
	free(held->stacks);
	table__free(&held->groups);
	arena__free(&held->arena);
	*held = (struct held){0};
}
