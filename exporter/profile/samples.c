// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "samples.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/attr.h"
#include "otlp/fields.h"

#define TRACE_ID_SIZE 16
#define ATTR_TEXT_MAX 64

int samples__add(struct samples *samples, const char *key, __u64 value)
{
	if (samples->n == samples->room) {
		size_t room = samples->room ? samples->room + samples->room / 2 : 256;
		struct sample *more = reallocarray(samples->all, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		samples->all = more;
		samples->room = room;
	}
	samples->all[samples->n++] = (struct sample){.key = key, .value = value};
	return 0;
}

void samples__clear(struct samples *samples)
{
	free(samples->all);
	*samples = (struct samples){0};
}

/* --- profiles ----------------------------------------------------------------- */

static void read_process(const struct profile_probe *probe, const struct otel_process_id *id,
			 struct otel_process *info, char path[PATH_TEXT])
{
	memset(info, 0, sizeof(*info));
	if (probe->processes >= 0)
		bpf_map_lookup_elem(probe->processes, id, info);
	profile__join_path(&info->path, path);
}

static void mix_id(__u8 id[16], const __u64 *words, int n)
{
	__u64 hash[2] = {0x9e3779b97f4a7c15ULL, 0xbf58476d1ce4e5b9ULL};

	for (int i = 0; i < n; i++)
		for (int k = 0; k < 2; k++) {
			hash[k] = (hash[k] ^ words[i]) * (0x94d049bb133111ebULL + 2 * k);
			hash[k] ^= hash[k] >> (29 + k);
		}
	memcpy(id, hash, 16);
}

/*
 * The profile id says which window of which process this is, so that sent again it is the same.
 * A state is read again instead: another profile.
 */
static int open_profile(const struct building *building, const struct otel_process_id *id)
{
	const struct profile_probe *probe = building->probe;
	__u64 words[] = {probe->meta.load_boottime_ns,
			 probe->meta.load_realtime_ns,
			 building->state ? building->end_ns : probe->closed,
			 (__u64)id->exec << 32 | id->pid,
			 id->start_ns,
			 building->state << 8 | building->value};
	__u64 start = probe->state.start_ns[probe->closed & 1];
	const char *period_type = building->layout->values[building->value].period_type;
	struct otel_process info;
	struct pb resource = {0};
	struct profile_desc desc;
	char scope[64], path[PATH_TEXT];
	const char *name;
	int index;

	read_process(probe, id, &info, path);
	index = resources__cgroup(building->resources, info.cgroup, -1);
	if (index < 0)
		return index;
	pb__raw(&resource, resources__encoded(building->resources, index)->data,
		resources__encoded(building->resources, index)->len);
	attr__int(&resource, RESOURCE_ATTRIBUTES, "process.pid", id->pid);
	name = strrchr(path, '/');
	name = name ? name + 1 : info.comm;
	attr__string(&resource, RESOURCE_ATTRIBUTES, "process.executable.name", name,
		     strnlen(name, OTEL_PATH_NAME));
	if (path[0])
		attr__string(&resource, RESOURCE_ATTRIBUTES, "process.executable.path", path,
			     strlen(path));
	process_resources__add(building->processes, id, path, &resource);
	snprintf(scope, sizeof(scope), "otelbpf/%s", probe->name);
	desc = (struct profile_desc){
		.resource = &resource,
		.scope_name = scope,
		.scope_version = OTELBPF_VERSION,
		.sample_type = building->layout->values[building->value].type,
		.sample_unit = building->layout->values[building->value].unit,
		.period_type = period_type[0] ? period_type : NULL,
		.period_unit = period_type[0]
				       ? building->layout->values[building->value].period_unit
				       : NULL,
		.period = period_type[0] ? probe->period : 0,
		.time_unix_nano = start,
		.duration_nano = building->end_ns > start ? building->end_ns - start : 1,
	};
	/* Without the last one where there is but one profile, as ids have always been. */
	mix_id(desc.profile_id, words, sizeof(words) / sizeof(words[0]) - !words[5]);
	index = resource.failed ? -ENOMEM : profile_set__profile(building->naming.set, &desc);
	pb__free(&resource);
	return index;
}

/* --- samples ------------------------------------------------------------------ */

/* The process whose samples are being put in; texts repeat from sample to sample. */
struct present {
	__u32 number; /* from 1 */
	__u32 pid;
	int profile;
	struct {
		char text[ATTR_TEXT_MAX];
		int index; /* 0: none yet */
	} attrs[PROFILE_KEY_ATTRS_MAX];
};

/* Kernel frames, then the user's: leaf first. */
static int add_stack(const struct building *building, const struct present *present, __u64 user,
		     __u64 kernel, bool tracer)
{
	const struct stack *sides[] = {stacks__find(building->stacks, kernel),
				       stacks__find(building->stacks, user)};
	int locations[2 * OTEL_STACK_DEPTH];
	size_t n = 0;

	for (int side = 0; side < 2; side++) {
		const __u8 *at = sides[side] ? sides[side]->frames : NULL;
		const __u8 *end = sides[side] ? at + sides[side]->size : NULL;
		__u64 index;

		while (at != end && pb__read_varint(&at, end, &index)) {
			struct frame *frame = &building->stacks->frames[index];
			/* The innermost user frame below a kernel stack made the call, too. */
			bool leaf = !n;
			int location;

			if (!side && leaf && tracer && naming__is_tracer(&building->naming, frame))
				continue;
			location = naming__location(&building->naming, frame, present->number,
						    present->pid, leaf);
			if (location < 0)
				return location;
			locations[n++] = location;
		}
	}
	return profile_set__stack(building->naming.set, locations, n);
}

static int add_link(const struct profile_layout *layout, struct profile_set *set, const char *key)
{
	const __u8 *trace = (const __u8 *)key + layout->trace;

	return layout->trace < 0 ? 0 : profile_set__link(set, trace, trace + TRACE_ID_SIZE);
}

static int add_attr(const struct profile_layout *layout, struct profile_set *set,
		    struct present *present, int which, const char *key)
{
	const char *at = key + layout->attrs[which].offset;
	size_t size = layout->attrs[which].size;
	char text[ATTR_TEXT_MAX + 1];
	int index;

	if (present->attrs[which].index && !memcmp(present->attrs[which].text, at, size))
		return present->attrs[which].index;
	memcpy(text, at, size);
	text[size] = '\0';
	index = profile_set__attr_string(set, layout->attrs[which].name, text);
	if (index >= 0) {
		memcpy(present->attrs[which].text, at, size);
		present->attrs[which].index = index;
	}
	return index;
}

static int add_sample(const struct building *building, struct present *present,
		      const struct sample *sample)
{
	const struct profile_layout *layout = building->layout;
	struct profile_set *set = building->naming.set;
	int attrs[PROFILE_KEY_ATTRS_MAX], stack, link;
	__u64 user = 0, kernel = 0;

	if (layout->user >= 0)
		memcpy(&user, sample->key + layout->user, sizeof(user));
	if (layout->kernel >= 0)
		memcpy(&kernel, sample->key + layout->kernel, sizeof(kernel));
	for (int i = 0; i < layout->n_attrs; i++) {
		attrs[i] = add_attr(layout, set, present, i, sample->key);
		if (attrs[i] < 0)
			return attrs[i];
	}
	/* A stack that a timer took has no tracer in it: what it shows of BPF did run. */
	stack = add_stack(building, present, user, kernel,
			  !layout->values[building->value].period_type[0]);
	if (stack < 0)
		return stack;
	link = add_link(layout, set, sample->key);
	if (link < 0)
		return link;
	return profile_set__sample(set, present->profile, stack, attrs, layout->n_attrs, link,
				   sample->value);
}

/* --- process after process ---------------------------------------------------- */

/* Numbers the processes in the order they come in; @index says which sample is whose. */
static int number_processes(struct samples *samples, const struct building *building,
			    struct table *processes, struct arena *arena)
{
	const __u64 seed[2] = {building->stacks->seed >> 1, building->stacks->seed};
	const char *last = NULL;

	for (size_t i = 0; i < samples->n; i++) {
		const char *id = samples->all[i].key + building->layout->process;
		int number;

		if (last && !memcmp(last, id, sizeof(struct otel_process_id))) {
			samples->all[i].process = samples->all[i - 1].process;
			continue;
		}
		number = table__intern(processes, arena, seed, id, sizeof(struct otel_process_id));
		if (number < 0)
			return number;
		samples->all[i].process = number;
		last = id;
	}
	return 0;
}

/* By process, so that each of them is looked at once. */
static __u32 *order_samples(const struct samples *samples, __u32 n_processes)
{
	__u32 *order = malloc(samples->n * sizeof(*order));
	__u32 *next = calloc(n_processes + 1, sizeof(*next));

	for (size_t i = 0; order && next && i < samples->n; i++)
		next[samples->all[i].process + 1]++;
	for (__u32 i = 1; order && next && i < n_processes; i++)
		next[i] += next[i - 1];
	for (size_t i = 0; order && next && i < samples->n; i++)
		order[next[samples->all[i].process]++] = i;
	if (!next) {
		free(order);
		order = NULL;
	}
	free(next);
	return order;
}

static int add_samples(const struct samples *samples, const struct building *building,
		       const __u32 *order)
{
	struct present present = {.number = 0};
	int err = 0;

	for (size_t i = 0; i < samples->n && !err; i++) {
		const struct sample *sample = &samples->all[order[i]];

		/* Its stack is another of these profiles'. */
		if (!sample->value)
			continue;
		if (present.number != sample->process + 1) {
			struct otel_process_id id;

			memcpy(&id, sample->key + building->layout->process, sizeof(id));
			present.number = sample->process + 1;
			present.pid = id.pid;
			present.profile = open_profile(building, &id);
			if (present.profile < 0)
				return present.profile;
		}
		err = add_sample(building, &present, sample);
	}
	return err;
}

int samples__build(struct samples *samples, const struct building *building)
{
	struct table processes = {0};
	struct arena arena = {0};
	__u32 *order = NULL;
	int err;

	if (!samples->n)
		return 0;
	err = number_processes(samples, building, &processes, &arena);
	if (!err) {
		order = order_samples(samples, processes.n);
		err = order ? add_samples(samples, building, order) : -ENOMEM;
	}
	free(order);
	table__free(&processes);
	arena__free(&arena);
	return err;
}
