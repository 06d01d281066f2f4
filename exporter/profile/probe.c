// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "grace.h"
#include "map_types.h"
#include "pins.h"
#include "tagged.h"

#define TRACE_SIZE (16 + 8)

static void describe_key(struct profile_probe *probe, const struct btf_type *type, int id)
{
	struct profile_layout *layout = &probe->layout;

	for (int i = 0; i < btf_vlen(type); i++) {
		__u32 offset = btf_member_bit_offset(type, i) / 8;
		__s64 size = btf__resolve_size(probe->btf, btf_members(type)[i].type);
		const struct tag *tag = NULL;

		if (size <= 0 || offset + (__u64)size > layout->key_size)
			continue;
		while ((tag = tagged__next(probe->tagged, id, i, tag))) {
			if (!strcmp(tag->word, "window") && size == 4)
				layout->window = offset;
			else if (!strcmp(tag->word, "resource") && tag->args == 1 &&
				 !strcmp(tag->arg[0], "process") &&
				 size == sizeof(struct otel_process_id))
				layout->process = offset;
			else if (!strcmp(tag->word, "trace") && size == TRACE_SIZE)
				layout->trace = offset;
			else if (!strcmp(tag->word, "stack") && tag->args == 1 && size == 8)
				*(strcmp(tag->arg[0], "kernel") ? &layout->user : &layout->kernel) =
					offset;
			else if (!strcmp(tag->word, "attr") && tag->args == 2 &&
				 layout->n_attrs < PROFILE_KEY_ATTRS_MAX && size <= 64) {
				layout->attrs[layout->n_attrs].name = tag->arg[0];
				layout->attrs[layout->n_attrs].offset = offset;
				layout->attrs[layout->n_attrs++].size = size;
			}
		}
	}
}

static void describe_values(const struct profile_probe *probe, struct profile_layout *layout,
			    __u32 type_id, __u32 value_size)
{
	const struct btf_type *value;
	int id;

	value = tagged__struct(probe->btf, type_id, &id);
	for (int i = 0; value && i < btf_vlen(value); i++) {
		const struct tag *tag = tagged__find(probe->tagged, id, i, "samples");
		__u32 offset = btf_member_bit_offset(value, i) / 8;

		if (!tag || tag->args != 4 || offset + 8 > value_size ||
		    layout->n_values == PROFILE_VALUES_MAX)
			continue;
		layout->values[layout->n_values].offset = offset;
		layout->values[layout->n_values].type = tag->arg[0];
		layout->values[layout->n_values].unit = tag->arg[1];
		layout->values[layout->n_values].period_type = tag->arg[2];
		layout->values[layout->n_values++].period_unit = tag->arg[3];
	}
}

/* Return: 0, or -EINVAL with what is missing said. */
static int describe(struct profile_probe *probe, const struct bpf_map_info *info)
{
	struct profile_layout *layout = &probe->layout;
	const struct btf_type *key;
	int key_id;

	*layout = (struct profile_layout){.key_size = info->key_size,
					  .value_size = info->value_size,
					  .process = -1,
					  .user = -1,
					  .kernel = -1,
					  .trace = -1,
					  .window = -1};
	key = tagged__struct(probe->btf, info->btf_key_type_id, &key_id);
	if (key)
		describe_key(probe, key, key_id);
	describe_values(probe, layout, info->btf_value_type_id, info->value_size);
	if (layout->n_values && layout->window >= 0 && layout->process >= 0 && probe->n_stacks &&
	    probe->window >= 0)
		return 0;
	warn("probe %s: its profile is not exported: %s is missing", probe->name,
	     !layout->n_values	   ? "a value tagged OTEL_SAMPLES()"
	     : layout->window < 0  ? "a key member tagged OTEL_WINDOW"
	     : layout->process < 0 ? "a key member tagged OTEL_RESOURCE(process)"
				   : "what profile.bpf.h declares");
	return -EINVAL;
}

/* Offset of the member with a tag and a size in a struct that is no longer than @limit, or -1. */
static int find_member(const struct profile_probe *probe, __u32 type_id, const char *word,
		       __u32 size, __u32 limit)
{
	const struct btf_type *type;
	int id;

	type = tagged__struct(probe->btf, type_id, &id);
	for (int i = 0; type && i < btf_vlen(type); i++) {
		__u32 offset = btf_member_bit_offset(type, i) / 8;

		if (tagged__find(probe->tagged, id, i, word) &&
		    btf__resolve_size(probe->btf, btf_members(type)[i].type) == size &&
		    offset + size <= limit)
			return offset;
	}
	return -1;
}

/* A state that cannot be read is left out; the profile is not. */
static void describe_held(struct profile_probe *probe, const struct bpf_map_info *info)
{
	const __u32 key = info->btf_key_type_id, value = info->btf_value_type_id;
	struct held_layout *layout = &probe->held_layout;

	*layout = (struct held_layout){
		.key_size = info->key_size,
		.value_size = info->value_size,
		.process = find_member(probe, key, "resource", sizeof(struct otel_process_id),
				       info->key_size),
		.user = find_member(probe, value, "stack", 8, info->value_size),
		.since = find_member(probe, value, "since", 8, info->value_size),
		.ended = find_member(probe, value, "ended", 8, info->value_size),
	};
	describe_values(probe, &probe->held_values, value, info->value_size);
	if (layout->process >= 0 && layout->user >= 0 && probe->held_values.n_values)
		return;
	warn("probe %s: its state is not exported: %s is missing", probe->name,
	     layout->process < 0 ? "a key member tagged OTEL_RESOURCE(process)"
	     : layout->user < 0	 ? "a value member tagged OTEL_STACK(user)"
				 : "a value tagged OTEL_SAMPLES()");
	close(probe->held);
	probe->held = -1;
}

/* Offset of the variable with a tag in the section that a map holds. */
static int find_variable(const struct profile_probe *probe, const struct bpf_map_info *info,
			 const char *word, __u32 *offset, __u32 *size)
{
	const struct btf_type *section = btf__type_by_id(probe->btf, info->btf_value_type_id);

	for (int i = 0; section && btf_is_datasec(section) && i < btf_vlen(section); i++) {
		const struct btf_var_secinfo *var = &btf_var_secinfos(section)[i];

		if (!tagged__find(probe->tagged, var->type, -1, word))
			continue;
		*offset = var->offset;
		*size = var->size;
		return *offset + *size <= info->value_size ? 0 : -EINVAL;
	}
	return -ENOENT;
}

static int use_btf(struct profile_probe *probe, const char *pin, __u32 id)
{
	if (!probe->btf)
		probe->btf = map_types__load(pin, id);
	if (probe->btf && !probe->tagged)
		probe->tagged = tagged__new(probe->btf);
	return probe->tagged ? 0 : -errno;
}

static void read_frequency(struct profile_probe *probe, int fd, const struct bpf_map_info *info)
{
	__u32 offset, size, frequency = 0, zero = 0;
	char *image;

	if (find_variable(probe, info, "frequency", &offset, &size) || size != 4)
		return;
	image = malloc(info->value_size);
	if (image && !bpf_map_lookup_elem(fd, &zero, image))
		memcpy(&frequency, image + offset, sizeof(frequency));
	free(image);
	if (frequency)
		probe->period = 1000000000ULL / frequency;
}

static bool take_stacks(struct profile_probe *probe, int fd, const struct bpf_map_info *info)
{
	__u32 frames = info->value_size - offsetof(struct otel_stack, frames);

	if (probe->n_stacks == PROFILE_TABLES_MAX ||
	    info->key_size != sizeof(struct otel_stack_key) ||
	    info->value_size > sizeof(struct otel_stack) ||
	    info->value_size <= offsetof(struct otel_stack, frames) || frames % sizeof(__u64))
		return false;
	probe->stacks[probe->n_stacks].fd = fd;
	probe->stacks[probe->n_stacks++].depth = frames / sizeof(__u64);
	return true;
}

/* All of them have one layout: a sample may be in any. */
static bool take_samples(struct profile_probe *probe, int fd, const char *name,
			 const struct bpf_map_info *info, struct bpf_map_info *samples)
{
	if (!probe->n_samples)
		*samples = *info;
	if (probe->n_samples == PROFILE_TABLES_MAX ||
	    info->btf_key_type_id != samples->btf_key_type_id ||
	    info->btf_value_type_id != samples->btf_value_type_id) {
		warn("probe %s: profile table %s is not exported: %s", probe->name, name,
		     probe->n_samples == PROFILE_TABLES_MAX
			     ? "there are too many"
			     : "its key or value is another type than in the table before it");
		return false;
	}
	probe->samples[probe->n_samples++] = fd;
	return true;
}

/* Takes @fd when the map has a part in the profile. */
static bool take_map(struct profile_probe *probe, int fd, const char *path, const char *name,
		     struct bpf_map_info *samples, struct bpf_map_info *held)
{
	static const struct {
		const char *word;
		size_t at;
	} roles[] = {
		{"state", offsetof(struct profile_probe, held)},
		{"mappings", offsetof(struct profile_probe, mappings)},
		{"files", offsetof(struct profile_probe, files)},
		{"processes", offsetof(struct profile_probe, processes)},
	};
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info), var, zero = 0;

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || !info.btf_id ||
	    use_btf(probe, path, info.btf_id))
		return false;
	if (info.type == BPF_MAP_TYPE_ARRAY &&
	    !find_variable(probe, &info, "window-state", &probe->window_offset,
			   &probe->window_size)) {
		if (probe->window_size != sizeof(struct otel_window) || probe->window_offset)
			return false;
		probe->window = fd;
		return true;
	}
	if (info.type == BPF_MAP_TYPE_ARRAY)
		read_frequency(probe, fd, &info);
	var = tagged__variable(probe->btf, name);
	if (!var)
		return false;
	if (tagged__find(probe->tagged, var, -1, "meta") && info.value_size == sizeof(probe->meta))
		bpf_map_lookup_elem(fd, &zero, &probe->meta);
	if (tagged__find(probe->tagged, var, -1, "stacks"))
		return take_stacks(probe, fd, &info);
	if (tagged__find(probe->tagged, var, -1, "profile"))
		return take_samples(probe, fd, name, &info, samples);
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (tagged__find(probe->tagged, var, -1, roles[i].word)) {
			*(int *)((char *)probe + roles[i].at) = fd;
			if (!i)
				*held = info;
			return true;
		}
	return false;
}

void profile_probe__close(struct profile_probe *probe)
{
	int fds[] = {probe->held, probe->mappings, probe->files, probe->processes, probe->window};

	for (int i = 0; i < probe->n_samples; i++)
		close(probe->samples[i]);
	for (int i = 0; i < probe->n_stacks; i++)
		close(probe->stacks[i].fd);
	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	tagged__free(probe->tagged);
	btf__free(probe->btf);
}

bool profile_probe__open(struct profile_probe *probe, const char *pin_dir, const char *name)
{
	struct bpf_map_info samples = {0}, held = {0};
	char *dir, *path, **names = NULL;
	int n = -ENOMEM;

	*probe = (struct profile_probe){.name = name,
					.held = -1,
					.mappings = -1,
					.files = -1,
					.processes = -1,
					.window = -1};
	/* profile.bpf.h's section .data.window: without it there is nothing to look for. */
	if (asprintf(&path, "%s/%s/map/data_window", pin_dir, name) < 0)
		return false;
	n = access(path, F_OK);
	free(path);
	if (n)
		return false;
	if (asprintf(&dir, "%s/%s/map", pin_dir, name) >= 0) {
		n = pins__list(dir, &names);
		for (int i = 0; i < n; i++) {
			int fd;

			if (asprintf(&path, "%s/%s", dir, names[i]) < 0)
				continue;
			fd = bpf_obj_get(path);
			if (fd >= 0 && !take_map(probe, fd, path, names[i], &samples, &held))
				close(fd);
			free(path);
		}
		free(dir);
	}
	pins__free_names(names);
	if (!probe->n_samples || describe(probe, &samples))
		return false;
	if (probe->held >= 0)
		describe_held(probe, &held);
	return true;
}

int profile_probe__read_state(struct profile_probe *probe)
{
	__u32 zero = 0;

	if (bpf_map_lookup_elem(probe->window, &zero, &probe->state))
		return -errno;
	if (!probe->state.start_ns[probe->state.current & 1])
		probe->state.start_ns[probe->state.current & 1] = probe->meta.load_realtime_ns;
	return 0;
}

int profile_probe__close_window(struct profile_probe *probe, __u64 now_ns)
{
	__u32 zero = 0;

	probe->closed = probe->state.current++;
	probe->state.start_ns[probe->state.current & 1] = now_ns;
	if (bpf_map_update_elem(probe->window, &zero, &probe->state, BPF_EXIST))
		return -errno;
	/* Every program that has read the old number ends before this does. */
	grace__period();
	return 0;
}
