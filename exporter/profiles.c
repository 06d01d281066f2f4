// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "profiles.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <otelbpf/meta.h>
#include <otelbpf/profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fail.h"
#include "grace.h"
#include "otlp/attr.h"
#include "otlp/fields.h"
#include "pins.h"
#include "process_resource.h"
#include "tagged.h"

#define ATTRS_MAX 8
#define SYMBOLS_MAX 16
#define BATCH 256
#define TRACE_ID_SIZE 16
#define TRACE_SIZE (TRACE_ID_SIZE + 8)

/* Where things are in a sample's key and value. */
struct layout {
	__u32 key_size, value_size;
	int process, user, kernel, trace, window; /* offsets in the key, -1: not there */
	__u32 value;				  /* offset in the value */
	struct {
		const char *name;
		__u32 offset, size;
	} attrs[ATTRS_MAX];
	int n_attrs;
	const char *type, *unit, *period_type, *period_unit;
};

/* A probe that has a profile table. Descriptors are -1 when there is no such map. */
struct probe {
	const char *name;
	struct btf *btf;
	struct tagged *tagged;
	int samples, stacks, mappings, files, processes, window;
	__u32 window_offset, window_size;
	struct layout layout;
	struct otel_meta meta;
	struct otel_window state;
	__u64 period;
	__u32 closed;
};

/* Keys to delete once they are delivered, and the window that they were all of. */
struct done {
	int fd;
	int window; /* the map with the window's state, -1: noted with another table */
	struct otel_window state;
	__u32 size;
	char *keys;
	size_t n, room;
};

/* A location that has been made: naming a frame costs more than all the rest. */
struct named_frame {
	__u64 frame;
	__u32 process; /* + 1; 0: the same in all of them */
	__u8 kind;     /* 0: free; FRAME_… */
	int location;
};

/* As read_table() makes it of a stack table. */
struct stack_entry {
	struct otel_stack_key key;
	struct otel_stack stack;
};
_Static_assert(sizeof(struct stack_entry) ==
		       sizeof(struct otel_stack_key) + sizeof(struct otel_stack),
	       "stack_entry has a hole");

struct profiles {
	const char *pin_dir;
	struct symbols *symbols;
	struct process_resources *processes;
	bool left_open; /* an older window came first */
	bool cleaned;	/* what an exporter that was killed left of acknowledged windows */
	struct done *done;
	int n_done;
	/* of one probe's window */
	char *samples;
	size_t n_samples;
	struct stack_entry *stacks;
	size_t n_stacks;
	__u32 *stack_index, stack_mask;
	struct otel_build_id *build_ids;
	char **paths; /* by number, as build ids; NULL: not known */
	__u32 n_build_ids;
	struct named_frame *frames;
	__u32 n_frames, frame_room;
};

struct profiles *profiles__new(const char *pin_dir, struct symbols *symbols)
{
	struct profiles *profiles = calloc(1, sizeof(*profiles));

	if (profiles) {
		profiles->pin_dir = pin_dir;
		profiles->symbols = symbols;
		profiles->processes = process_resources__new();
		if (!profiles->processes) {
			free(profiles);
			return NULL;
		}
	}
	return profiles;
}

static void forget_done(struct profiles *profiles)
{
	for (int i = 0; i < profiles->n_done; i++) {
		close(profiles->done[i].fd);
		if (profiles->done[i].window >= 0)
			close(profiles->done[i].window);
		free(profiles->done[i].keys);
	}
	free(profiles->done);
	profiles->done = NULL;
	profiles->n_done = 0;
}

static void forget_window(struct profiles *profiles)
{
	free(profiles->samples);
	free(profiles->stacks);
	free(profiles->stack_index);
	free(profiles->build_ids);
	for (__u32 i = 0; profiles->paths && i < profiles->n_build_ids; i++)
		free(profiles->paths[i]);
	free(profiles->paths);
	free(profiles->frames);
	profiles->samples = NULL;
	profiles->stacks = NULL;
	profiles->stack_index = NULL;
	profiles->build_ids = NULL;
	profiles->paths = NULL;
	profiles->frames = NULL;
	profiles->n_samples = profiles->n_stacks = 0;
	profiles->n_build_ids = profiles->n_frames = profiles->frame_room = 0;
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

/* --- describing ------------------------------------------------------------ */

static const struct btf_type *struct_of(const struct btf *btf, __u32 id, int *resolved)
{
	const struct btf_type *type;

	*resolved = btf__resolve_type(btf, id);
	type = *resolved > 0 ? btf__type_by_id(btf, *resolved) : NULL;
	return type && btf_is_struct(type) ? type : NULL;
}

static void describe_key(struct probe *probe, const struct btf_type *type, int id)
{
	struct layout *layout = &probe->layout;

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
				 layout->n_attrs < ATTRS_MAX && size <= 64) {
				layout->attrs[layout->n_attrs].name = tag->arg[0];
				layout->attrs[layout->n_attrs].offset = offset;
				layout->attrs[layout->n_attrs++].size = size;
			}
		}
	}
}

/* Return: 0, or -EINVAL with what is missing said. */
static int describe(struct probe *probe, const struct bpf_map_info *info)
{
	struct layout *layout = &probe->layout;
	const struct btf_type *key, *value;
	int key_id, value_id;

	*layout = (struct layout){.key_size = info->key_size,
				  .value_size = info->value_size,
				  .process = -1,
				  .user = -1,
				  .kernel = -1,
				  .trace = -1,
				  .window = -1};
	key = struct_of(probe->btf, info->btf_key_type_id, &key_id);
	value = struct_of(probe->btf, info->btf_value_type_id, &value_id);
	if (key)
		describe_key(probe, key, key_id);
	for (int i = 0; value && i < btf_vlen(value); i++) {
		const struct tag *tag = tagged__find(probe->tagged, value_id, i, "samples");
		__u32 offset = btf_member_bit_offset(value, i) / 8;

		if (!tag || tag->args != 4 || offset + 8 > info->value_size)
			continue;
		layout->value = offset;
		layout->type = tag->arg[0];
		layout->unit = tag->arg[1];
		layout->period_type = tag->arg[2];
		layout->period_unit = tag->arg[3];
	}
	if (layout->type && layout->window >= 0 && layout->process >= 0 && probe->stacks >= 0 &&
	    probe->window >= 0)
		return 0;
	warn("probe %s: its profile is not exported: %s is missing", probe->name,
	     !layout->type	   ? "a value tagged OTEL_SAMPLES()"
	     : layout->window < 0  ? "a key member tagged OTEL_WINDOW"
	     : layout->process < 0 ? "a key member tagged OTEL_RESOURCE(process)"
				   : "what profile.bpf.h declares");
	return -EINVAL;
}

/* Offset of the variable with a tag in the section that a map holds. */
static int find_variable(const struct probe *probe, const struct bpf_map_info *info,
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

static int use_btf(struct probe *probe, __u32 id)
{
	if (!probe->btf)
		probe->btf = btf__load_from_kernel_by_id(id);
	if (probe->btf && !probe->tagged)
		probe->tagged = tagged__new(probe->btf);
	return probe->tagged ? 0 : -errno;
}

static void read_frequency(struct probe *probe, int fd, const struct bpf_map_info *info)
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

/* Takes @fd when the map has a part in the profile. */
static bool take_map(struct probe *probe, int fd, const char *name, struct bpf_map_info *samples)
{
	static const struct {
		const char *word;
		size_t at;
	} roles[] = {
		{"profile", offsetof(struct probe, samples)},
		{"stacks", offsetof(struct probe, stacks)},
		{"mappings", offsetof(struct probe, mappings)},
		{"files", offsetof(struct probe, files)},
		{"processes", offsetof(struct probe, processes)},
	};
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info), var, zero = 0;

	if (bpf_obj_get_info_by_fd(fd, &info, &len) || !info.btf_id || use_btf(probe, info.btf_id))
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
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (tagged__find(probe->tagged, var, -1, roles[i].word)) {
			*(int *)((char *)probe + roles[i].at) = fd;
			if (!i)
				*samples = info;
			return true;
		}
	return false;
}

static void close_probe(struct probe *probe)
{
	int fds[] = {probe->samples, probe->stacks,    probe->mappings,
		     probe->files,   probe->processes, probe->window};

	for (size_t i = 0; i < sizeof(fds) / sizeof(fds[0]); i++)
		if (fds[i] >= 0)
			close(fds[i]);
	tagged__free(probe->tagged);
	btf__free(probe->btf);
}

/* Return: 1 if the probe has a profile that can be read, 0 if not. */
static int open_probe(struct profiles *profiles, struct probe *probe, const char *name)
{
	struct bpf_map_info samples = {0};
	char *dir, *path, **names = NULL;
	int n = -ENOMEM;

	*probe = (struct probe){.name = name,
				.samples = -1,
				.stacks = -1,
				.mappings = -1,
				.files = -1,
				.processes = -1,
				.window = -1};
	/* profile.bpf.h's section .data.window: without it there is nothing to look for. */
	if (asprintf(&path, "%s/%s/map/data_window", profiles->pin_dir, name) < 0)
		return 0;
	n = access(path, F_OK);
	free(path);
	if (n)
		return 0;
	if (asprintf(&dir, "%s/%s/map", profiles->pin_dir, name) >= 0) {
		n = pins__list(dir, &names);
		for (int i = 0; i < n; i++) {
			int fd = -1;

			if (asprintf(&path, "%s/%s", dir, names[i]) >= 0) {
				fd = bpf_obj_get(path);
				free(path);
			}
			if (fd >= 0 && !take_map(probe, fd, names[i], &samples))
				close(fd);
		}
		free(dir);
	}
	pins__free_names(names);
	return probe->samples >= 0 && !describe(probe, &samples);
}

/* --- windows --------------------------------------------------------------- */

static int read_state(struct probe *probe)
{
	__u32 zero = 0;

	if (bpf_map_lookup_elem(probe->window, &zero, &probe->state))
		return -errno;
	if (!probe->state.start_ns[probe->state.current & 1])
		probe->state.start_ns[probe->state.current & 1] = probe->meta.load_realtime_ns;
	return 0;
}

/* Opens the next window; the one that was open is what will be read. */
static int close_window(struct probe *probe, __u64 now_ns)
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

/* --- reading --------------------------------------------------------------- */

/*
 * Entries of a hash table whose window is (or, to look for what is left, is not)
 * @window; by whole buckets, as tables.c has it. Keys and values one behind the other.
 */
static int read_table(int fd, __u32 key_size, __u32 value_size, __u32 window_at, __u32 window,
		      bool other, char **entries, size_t *count)
{
	size_t size = key_size + value_size, room = 0;
	__u32 batch = BATCH, next, *in = NULL, position;
	char *keys = NULL, *values = NULL;
	bool last = false;
	int err = 0;

	*entries = NULL;
	*count = 0;
	while (!last && !err) {
		__u32 n = batch, has;
		char *more = realloc(keys, (size_t)batch * key_size);

		keys = more ? more : keys;
		if (more && (more = realloc(values, (size_t)batch * value_size)))
			values = more;
		if (!more) {
			err = -ENOMEM;
			break;
		}
		if (bpf_map_lookup_batch(fd, in, &next, keys, values, &n, NULL)) {
			if (errno == ENOSPC && batch < 1 << 20) {
				batch *= 2;
				continue;
			}
			err = errno == ENOENT ? 0 : -errno;
			last = true;
		}
		for (__u32 i = 0; i < n && !err; i++) {
			memcpy(&has, keys + (size_t)i * key_size + window_at, sizeof(has));
			if ((has == window) == other)
				continue;
			if (*count == room) {
				room = room ? 2 * room : 1024;
				more = reallocarray(*entries, room, size);
				if (!more) {
					err = -ENOMEM;
					break;
				}
				*entries = more;
			}
			memcpy(*entries + *count * size, keys + (size_t)i * key_size, key_size);
			memcpy(*entries + (*count)++ * size + key_size,
			       values + (size_t)i * value_size, value_size);
		}
		position = next;
		in = &position;
	}
	free(keys);
	free(values);
	return err;
}

static int note_done(struct profiles *profiles, int fd, __u32 key_size, size_t stride,
		     const char *entries, size_t n)
{
	struct done *more = reallocarray(profiles->done, profiles->n_done + 1, sizeof(*more));
	struct done *done;

	if (!more)
		return -ENOMEM;
	profiles->done = more;
	done = &more[profiles->n_done];
	*done = (struct done){.fd = dup(fd), .window = -1, .size = key_size, .n = n};
	done->keys = malloc(n * key_size + 1);
	if (!done->keys)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		memcpy(done->keys + i * key_size, entries + i * stride, key_size);
	profiles->n_done++;
	return 0;
}

/* "/usr/bin/true" of its components; "" when there are none. */
#define PATH_TEXT (OTEL_PATH_LEVELS * (OTEL_PATH_NAME + 1) + 1)
static void join_path(const struct otel_path *path, char text[PATH_TEXT])
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = OTEL_PATH_LEVELS - 1; i >= 0; i--)
		if (path->name[i][0])
			len += snprintf(text + len, PATH_TEXT - len, "/%.*s", OTEL_PATH_NAME,
					path->name[i]);
}

static int grow_build_ids(struct profiles *profiles, __u32 n)
{
	__u32 has = profiles->n_build_ids;
	struct otel_build_id *ids = reallocarray(profiles->build_ids, n, sizeof(*ids));
	char **paths;

	if (!ids)
		return -ENOMEM;
	profiles->build_ids = ids;
	paths = reallocarray(profiles->paths, n, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	profiles->paths = paths;
	memset(ids + has, 0, (n - has) * sizeof(*ids));
	memset(paths + has, 0, (n - has) * sizeof(*paths));
	profiles->n_build_ids = n;
	return 0;
}

static int read_build_ids(struct profiles *profiles, const struct probe *probe)
{
	struct otel_build_id id, *last = NULL;
	struct otel_path path;
	char text[PATH_TEXT];
	__u32 number;

	while (probe->mappings >= 0 && !bpf_map_get_next_key(probe->mappings, last, &id)) {
		last = &id;
		if (bpf_map_lookup_elem(probe->mappings, &id, &number) || number > 1 << 20)
			continue;
		if (number >= profiles->n_build_ids && grow_build_ids(profiles, number + 64))
			return -ENOMEM;
		profiles->build_ids[number] = id;
		if (probe->files < 0 || bpf_map_lookup_elem(probe->files, &number, &path))
			continue;
		join_path(&path, text);
		free(profiles->paths[number]);
		profiles->paths[number] = text[0] ? strdup(text) : NULL;
		if (text[0] && !profiles->paths[number])
			return -ENOMEM;
	}
	return 0;
}

static __u32 slot_of(const struct profiles *profiles, __u64 hash)
{
	__u32 slot = (hash ^ hash >> 32) & profiles->stack_mask;

	while (profiles->stack_index[slot] &&
	       profiles->stacks[profiles->stack_index[slot] - 1].key.hash != hash)
		slot = (slot + 1) & profiles->stack_mask;
	return slot;
}

static int read_stacks(struct profiles *profiles, const struct probe *probe, __u32 window,
		       bool owner)
{
	size_t size = sizeof(struct stack_entry), n;
	__u32 room = 64;
	char *entries;
	int err;

	err = read_table(probe->stacks, sizeof(struct otel_stack_key), sizeof(struct otel_stack),
			 offsetof(struct otel_stack_key, window), window, false, &entries, &n);
	if (!err && owner)
		err = note_done(profiles, probe->stacks, sizeof(struct otel_stack_key), size,
				entries, n);
	while (room < 2 * n + 2)
		room *= 2;
	/* A kilobyte each: they stay where they were read to. */
	profiles->stacks = (struct stack_entry *)entries;
	profiles->stack_index = calloc(room, sizeof(*profiles->stack_index));
	profiles->stack_mask = room - 1;
	if (!err && !profiles->stack_index)
		err = -ENOMEM;
	for (size_t i = 0; i < n && !err; i++)
		profiles->stack_index[slot_of(profiles, profiles->stacks[i].key.hash)] = i + 1;
	profiles->n_stacks = n;
	return err;
}

/* Deletes what is left of windows that were acknowledged. */
static int clean_table(const struct probe *probe, int fd, __u32 key_size, __u32 value_size,
		       __u32 window_at)
{
	size_t stride = key_size + value_size, n;
	char *entries;
	__u32 window;
	int err;

	err = read_table(fd, key_size, value_size, window_at, probe->state.current, true, &entries,
			 &n);
	for (size_t i = 0; i < n && !err; i++) {
		memcpy(&window, entries + i * stride + window_at, sizeof(window));
		if ((__s32)(window - probe->state.done) < 0)
			bpf_map_delete_elem(fd, entries + i * stride);
	}
	free(entries);
	return err;
}

static int clean(const struct probe *probe)
{
	int err = clean_table(probe, probe->samples, probe->layout.key_size,
			      probe->layout.value_size, probe->layout.window);

	return err ? err
		   : clean_table(probe, probe->stacks, sizeof(struct otel_stack_key),
				 sizeof(struct otel_stack),
				 offsetof(struct otel_stack_key, window));
}

/* --- building the set ------------------------------------------------------- */

struct process {
	struct otel_process_id id;
	char path[PATH_TEXT];
	int profile;
};

static void read_process(const struct probe *probe, struct process *process,
			 struct otel_process *info)
{
	memset(info, 0, sizeof(*info));
	if (probe->processes >= 0)
		bpf_map_lookup_elem(probe->processes, &process->id, info);
	join_path(&info->path, process->path);
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

/* The profile id says which window of which process this is, so that sent again it is the same. */
static int open_profile(struct probe *probe, struct resources *resources,
			struct process_resources *processes, struct process *process,
			struct profile_set *set, __u64 end_ns)
{
	__u64 words[] = {probe->meta.load_boottime_ns, probe->meta.load_realtime_ns, probe->closed,
			 (__u64)process->id.exec << 32 | process->id.pid, process->id.start_ns};
	__u64 start = probe->state.start_ns[probe->closed & 1];
	const struct layout *layout = &probe->layout;
	struct otel_process info;
	struct pb resource = {0};
	struct profile_desc desc;
	char scope[64];
	const char *name;
	int index;

	read_process(probe, process, &info);
	index = resources__cgroup(resources, info.cgroup, -1);
	if (index < 0)
		return index;
	pb__raw(&resource, resources__encoded(resources, index)->data,
		resources__encoded(resources, index)->len);
	attr__int(&resource, RESOURCE_ATTRIBUTES, "process.pid", process->id.pid);
	name = strrchr(process->path, '/');
	name = name ? name + 1 : info.comm;
	attr__string(&resource, RESOURCE_ATTRIBUTES, "process.executable.name", name,
		     strnlen(name, OTEL_PATH_NAME));
	if (process->path[0])
		attr__string(&resource, RESOURCE_ATTRIBUTES, "process.executable.path",
			     process->path, strlen(process->path));
	process_resources__add(processes, &process->id, process->path, &resource);
	snprintf(scope, sizeof(scope), "otelbpf/%s", probe->name);
	desc = (struct profile_desc){
		.resource = &resource,
		.scope_name = scope,
		.scope_version = OTELBPF_VERSION,
		.sample_type = layout->type,
		.sample_unit = layout->unit,
		.period_type = layout->period_type[0] ? layout->period_type : NULL,
		.period_unit = layout->period_type[0] ? layout->period_unit : NULL,
		.period = layout->period_type[0] ? probe->period : 0,
		.time_unix_nano = start,
		.duration_nano = end_ns > start ? end_ns - start : 1,
	};
	mix_id(desc.profile_id, words, sizeof(words) / sizeof(words[0]));
	index = resource.failed ? -ENOMEM : profile_set__profile(set, &desc);
	pb__free(&resource);
	return index;
}

static int add_location(struct profile_set *set, const struct profile_mapping *mapping,
			__u64 address, const char *frame_type, const struct symbol *symbols, int n)
{
	struct profile_line lines[SYMBOLS_MAX];
	int index = mapping ? profile_set__mapping(set, mapping) : 0;

	for (int i = 0; i < n; i++)
		lines[i] = (struct profile_line){
			.name = symbols[i].name,
			.system_name = symbols[i].system_name,
			.file = symbols[i].file,
			.line = symbols[i].line,
			.start_line = symbols[i].start_line,
		};
	return index < 0 ? index : profile_set__location(set, index, address, frame_type, lines, n);
}

static int add_kernel_frame(struct profiles *profiles, struct profile_set *set, __u64 address,
			    bool leaf)
{
	struct symbol symbol = {0};
	int n = profiles->symbols ? symbols__kernel(profiles->symbols, address - !leaf, &symbol)
				  : 0;

	return add_location(set, NULL, address, "kernel", &symbol, n);
}

static int add_file_frame(struct profiles *profiles, struct profile_set *set,
			  const struct symbols_file *file, __u64 offset, bool leaf)
{
	struct symbol symbols[SYMBOLS_MAX];
	struct profile_mapping mapping = {
		.path = file->path,
		.build_id = file->build_id_len ? file->build_id : NULL,
		.build_id_len = file->build_id_len,
	};
	const struct symbols_ids *ids = NULL;
	int n = 0;

	if (profiles->symbols) {
		n = symbols__file(profiles->symbols, file, offset - !leaf, symbols, SYMBOLS_MAX);
		ids = symbols__ids(profiles->symbols, file);
	}
	if (ids && ids->has_htlhash)
		mapping.htlhash = ids->htlhash;
	if (ids)
		mapping.go_build_id = ids->go;
	/* Of a frame with a build id only the process's program is known, not its libraries. */
	if (ids && ids->path)
		mapping.path = ids->path;
	return add_location(set, file->build_id_len || file->path ? &mapping : NULL, offset,
			    "native", symbols, n);
}

static int add_user_frame(struct profiles *profiles, struct profile_set *set,
			  const struct process *process, __u64 frame, bool leaf)
{
	struct symbols_file file = {.pid = process->id.pid};
	__u64 number = frame >> OTEL_FRAME_OFFSET_BITS;
	__u64 offset = frame & ((1ULL << OTEL_FRAME_OFFSET_BITS) - 1);
	struct symbol symbol;
	int n = 0;

	if (!(frame & OTEL_FRAME_ADDRESS)) {
		if (number < profiles->n_build_ids) {
			memcpy(file.build_id, profiles->build_ids[number].bytes, BUILD_ID_SIZE);
			file.build_id_len = BUILD_ID_SIZE;
			file.path = profiles->paths[number];
		}
		return add_file_frame(profiles, set, &file, offset, leaf);
	}
	frame &= ~OTEL_FRAME_ADDRESS;
	if (profiles->symbols &&
	    symbols__mapping(profiles->symbols, process->id.pid, frame, &file, &offset))
		return add_file_frame(profiles, set, &file, offset, leaf);
	if (profiles->symbols)
		n = symbols__jit(profiles->symbols, process->id.pid, frame - !leaf, &symbol);
	return add_location(set, NULL, frame, n ? "jit" : "native", &symbol, n);
}

/*
 * What runs between a tracepoint and the program that took the stack: the tracer, not
 * what is measured.
 */
static bool is_tracer(struct profiles *profiles, __u64 address)
{
	static const char *const names[] = {"bpf_trace_run", "__traceiter_", "__bpf_trace_",
					    "bpf_prog_",     "__bpf_prog_",  "bpf_get_stack"};
	struct symbol symbol;

	if (!profiles->symbols || !symbols__kernel(profiles->symbols, address, &symbol))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(symbol.name, names[i], strlen(names[i])))
			return true;
	return false;
}

/* --- each frame is named once ------------------------------------------------ */

enum { FRAME_KERNEL = 1, FRAME_USER = 2, FRAME_LEAF = 4 };

static struct named_frame *find_frame(struct named_frame *frames, __u32 room,
				      const struct named_frame *like)
{
	__u64 hash =
		(like->frame ^ (__u64)like->process << 32 ^ like->kind) * 0x9e3779b97f4a7c15ULL;
	__u32 at = hash >> 32 & (room - 1);

	while (frames[at].kind &&
	       (frames[at].frame != like->frame || frames[at].process != like->process ||
		frames[at].kind != like->kind))
		at = (at + 1) & (room - 1);
	return &frames[at];
}

static int make_room(struct profiles *profiles)
{
	__u32 room = profiles->frame_room ? 2 * profiles->frame_room : 1024;
	struct named_frame *frames;

	if (2 * (profiles->n_frames + 1) <= profiles->frame_room)
		return 0;
	frames = calloc(room, sizeof(*frames));
	if (!frames)
		return -ENOMEM;
	for (__u32 i = 0; i < profiles->frame_room; i++)
		if (profiles->frames[i].kind)
			*find_frame(frames, room, &profiles->frames[i]) = profiles->frames[i];
	free(profiles->frames);
	profiles->frames = frames;
	profiles->frame_room = room;
	return 0;
}

static int add_frame(struct profiles *profiles, struct profile_set *set,
		     const struct process *process, __u64 address, int side, bool leaf)
{
	struct named_frame like =
				   {
					   .frame = address,
					   .kind = side | (leaf ? FRAME_LEAF : 0),
				   },
			   *frame;

	/* An address means something in one process only; a place in a file, in all. */
	if (side == FRAME_USER && (address & OTEL_FRAME_ADDRESS))
		like.process = process->profile + 1;
	if (make_room(profiles))
		return -ENOMEM;
	frame = find_frame(profiles->frames, profiles->frame_room, &like);
	if (frame->kind)
		return frame->location;
	like.location = side == FRAME_USER ? add_user_frame(profiles, set, process, address, leaf)
					   : add_kernel_frame(profiles, set, address, leaf);
	if (like.location >= 0) {
		*frame = like;
		profiles->n_frames++;
	}
	return like.location;
}

/* Kernel frames, then the user's: leaf first. */
static int add_stack(struct profiles *profiles, struct profile_set *set,
		     const struct process *process, __u64 user, __u64 kernel, bool tracer)
{
	__u64 hashes[] = {kernel, user};
	int locations[2 * OTEL_STACK_DEPTH];
	size_t n = 0;

	for (int side = 0; side < 2; side++) {
		__u32 index =
			hashes[side] ? profiles->stack_index[slot_of(profiles, hashes[side])] : 0;
		const struct otel_stack *stack = index ? &profiles->stacks[index - 1].stack : NULL;

		for (__u32 i = 0; stack && i < stack->n && i < OTEL_STACK_DEPTH; i++) {
			/* The innermost user frame below a kernel stack made the call, too. */
			bool leaf = !n;
			int location;

			if (!side && leaf && tracer && is_tracer(profiles, stack->frames[i]))
				continue;
			location = add_frame(profiles, set, process, stack->frames[i],
					     side ? FRAME_USER : FRAME_KERNEL, leaf);
			if (location < 0)
				return location;
			locations[n++] = location;
		}
	}
	return profile_set__stack(set, locations, n);
}

static int add_link(const struct layout *layout, struct profile_set *set, const char *key)
{
	const __u8 *trace = (const __u8 *)key + layout->trace;

	return layout->trace < 0 ? 0 : profile_set__link(set, trace, trace + TRACE_ID_SIZE);
}

static int add_sample(struct profiles *profiles, struct probe *probe, struct profile_set *set,
		      const struct process *process, const char *key, const char *value)
{
	const struct layout *layout = &probe->layout;
	__u64 user = 0, kernel = 0, count;
	int attrs[ATTRS_MAX], stack, link;
	char text[65];

	if (layout->user >= 0)
		memcpy(&user, key + layout->user, sizeof(user));
	if (layout->kernel >= 0)
		memcpy(&kernel, key + layout->kernel, sizeof(kernel));
	memcpy(&count, value + layout->value, sizeof(count));
	for (int i = 0; i < layout->n_attrs; i++) {
		snprintf(text, sizeof(text), "%.*s", (int)layout->attrs[i].size,
			 key + layout->attrs[i].offset);
		attrs[i] = profile_set__attr_string(set, layout->attrs[i].name, text);
		if (attrs[i] < 0)
			return attrs[i];
	}
	/* A stack that a timer took has no tracer in it: what it shows of BPF did run. */
	stack = add_stack(profiles, set, process, user, kernel, !layout->period_type[0]);
	if (stack < 0)
		return stack;
	link = add_link(layout, set, key);
	if (link < 0)
		return link;
	return profile_set__sample(set, process->profile, stack, attrs, layout->n_attrs, link,
				   count);
}

/* By process, so that a profile is opened once. */
static __thread __u32 process_at;

static int by_process(const void *a, const void *b)
{
	return memcmp((const char *)a + process_at, (const char *)b + process_at,
		      sizeof(struct otel_process_id));
}

static int build(struct profiles *profiles, struct probe *probe, struct resources *resources,
		 struct profile_set *set, __u64 end_ns)
{
	size_t stride = probe->layout.key_size + probe->layout.value_size;
	struct process process = {.profile = -1};
	int err = 0;

	process_at = probe->layout.process;
	if (profiles->n_samples)
		qsort(profiles->samples, profiles->n_samples, stride, by_process);
	for (size_t i = 0; i < profiles->n_samples && !err; i++) {
		const char *key = profiles->samples + i * stride;

		if (process.profile < 0 ||
		    memcmp(&process.id, key + process_at, sizeof(process.id))) {
			memcpy(&process.id, key + process_at, sizeof(process.id));
			process.profile = open_profile(probe, resources, profiles->processes,
						       &process, set, end_ns);
			if (process.profile < 0)
				return process.profile;
		}
		err = add_sample(profiles, probe, set, &process, key, key + probe->layout.key_size);
	}
	return err;
}

static int read_probe(struct profiles *profiles, struct probe *probe, struct resources *resources,
		      struct profile_set *set, bool owner, __u64 now_ns)
{
	const struct layout *layout = &probe->layout;
	size_t stride = layout->key_size + layout->value_size;
	__u64 end_ns = now_ns;
	int err;

	forget_window(profiles);
	err = read_state(probe);
	if (err)
		return err;
	probe->closed = probe->state.current;
	if (owner && !profiles->cleaned)
		err = clean(probe);
	if (err)
		return err;
	/* What a receiver has not acknowledged comes first. */
	if (owner)
		err = read_table(probe->samples, layout->key_size, layout->value_size,
				 layout->window, probe->state.current, true, &profiles->samples,
				 &profiles->n_samples);
	if (!err && owner && profiles->n_samples) {
		memcpy(&probe->closed, profiles->samples + layout->window, sizeof(probe->closed));
		end_ns = probe->state.start_ns[probe->state.current & 1];
		profiles->left_open = true;
	} else if (!err) {
		err = owner ? close_window(probe, now_ns) : 0;
		if (!err)
			err = read_table(probe->samples, layout->key_size, layout->value_size,
					 layout->window, probe->closed, false, &profiles->samples,
					 &profiles->n_samples);
	}
	if (!err && owner)
		err = note_done(profiles, probe->samples, layout->key_size, stride,
				profiles->samples, profiles->n_samples);
	if (!err && owner) {
		profiles->done[profiles->n_done - 1].window = dup(probe->window);
		profiles->done[profiles->n_done - 1].state = probe->state;
		profiles->done[profiles->n_done - 1].state.done = probe->closed + 1;
	}
	if (!err)
		err = read_build_ids(profiles, probe);
	if (!err)
		err = read_stacks(profiles, probe, probe->closed, owner);
	return err ? err : build(profiles, probe, resources, set, end_ns);
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
		struct probe probe;

		if (open_probe(profiles, &probe, names[i])) {
			err = read_probe(profiles, &probe, resources, set, owner, now_ns);
			if (err)
				warn("probe %s: its profile cannot be read: %s", names[i],
				     strerror(-err));
			count++;
		}
		close_probe(&probe);
	}
	pins__free_names(names);
	forget_window(profiles);
	if (profiles->symbols && count)
		symbols__trim(profiles->symbols);
	process_resources__next_export(profiles->processes);
	profiles->cleaned |= owner && !err;
	return n < 0 ? n : err == -ENOMEM ? err : count;
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
	for (int i = 0; i < profiles->n_done; i++) {
		const struct done *done = &profiles->done[i];

		for (size_t k = 0; k < done->n; k++)
			deleted += !bpf_map_delete_elem(done->fd, done->keys + k * done->size);
	}
	forget_done(profiles);
	return deleted;
}
