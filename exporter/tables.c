// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tables.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <limits.h>
#include <otelbpf/meta.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "fdinfo.h"
#include "map_types.h"
#include "overhead.h"
#include "pins.h"
#include "tagged.h"

/* One batch takes about this much memory, unless one hash bucket is larger. */
#define BATCH_BYTES (512 * 1024)
#define BATCH_MIN 16

/* BTF of a probe's object, shared by the plans of its maps. */
struct types {
	__u32 id;
	int users;
	struct btf *btf;
	struct tagged *tagged;
	struct types *next;
};

/* A map that was found, described or not: what is no table is remembered as such. */
struct table {
	__u32 id;
	bool seen;
	struct types *types;
	struct plan *plan; /* NULL: nothing to export, or described badly */
	char role;	   /* 'm'etric table, 'c'group names, meta 'i'nformation, 0 */
	struct table *next;
};

/* Entries to delete once they are delivered. */
struct final {
	int fd;
	const struct plan *plan; /* of a metric table, else NULL */
	__u32 key_size;
	char *keys;
	size_t n, room;
};

struct tables {
	const char *pin_dir;
	struct sources *there;
	struct table *known;
	struct types *types;
	char *keys, *values;
	__u32 batch;
	size_t key_room, value_room;
	struct final *finals;
	int n_finals;
	struct overhead *overhead;
};

struct tables *tables__new(const char *pin_dir, struct sources *there)
{
	struct tables *tables = calloc(1, sizeof(*tables));

	if (tables) {
		tables->pin_dir = pin_dir;
		tables->there = there;
	}
	return tables;
}

void tables__overhead(struct tables *tables, struct overhead *overhead)
{
	tables->overhead = overhead;
}

/* --- describing ----------------------------------------------------------- */

static void types__put(struct tables *tables, struct types *types)
{
	if (!types || --types->users)
		return;
	for (struct types **at = &tables->types; *at; at = &(*at)->next)
		if (*at == types) {
			*at = types->next;
			break;
		}
	tagged__free(types->tagged);
	btf__free(types->btf);
	free(types);
}

static struct types *types__get(struct tables *tables, const char *pin, __u32 id)
{
	struct types *types;

	for (types = tables->types; types; types = types->next)
		if (types->id == id) {
			types->users++;
			return types;
		}
	types = calloc(1, sizeof(*types));
	if (!types)
		return NULL;
	types->id = id;
	types->users = 1;
	types->next = tables->types;
	tables->types = types;
	types->btf = map_types__load(pin, id);
	types->tagged = types->btf ? tagged__new(types->btf) : NULL;
	if (!types->tagged) {
		int err = errno;

		types__put(tables, types);
		errno = err;
		return NULL;
	}
	return types;
}

static const struct {
	const char *word;
	char role;
} roles[] = {{"metrics", 'm'}, {"cgroups", 'c'}, {"meta", 'i'}};

/* The variable is named as the pin, or else as the kernel calls the map. */
static void describe(struct tables *tables, struct table *table, const char *path, const char *name,
		     const struct bpf_map_info *info)
{
	char why[512] = "";
	__u32 var;

	if (!info->btf_id)
		return; /* nothing to learn from */
	table->types = types__get(tables, path, info->btf_id);
	if (!table->types) {
		warn("%s: cannot read its BTF: %s%s", path, strerror(errno),
		     errno == EPERM ? " (CAP_SYS_ADMIN is needed for what was not loaded by "
				      "otelbpf, or by one without that)"
				    : "");
		return;
	}
	var = tagged__variable(table->types->btf, name);
	if (!var)
		var = tagged__variable(table->types->btf, info->name);
	if (!var)
		return;
	for (size_t i = 0; i < sizeof(roles) / sizeof(roles[0]); i++)
		if (tagged__find(table->types->tagged, var, -1, roles[i].word))
			table->role = roles[i].role;
	if (table->role != 'm')
		return;
	table->plan =
		plan__compile(info, table->types->btf, table->types->tagged, var, why, sizeof(why));
	if (!table->plan) {
		warn("%s: not exported: %s", path, why[0] ? why : strerror(errno));
		table->role = 0;
	}
}

static struct table *find_table(struct tables *tables, int fd, const char *path, const char *name)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	struct table *table;

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return NULL; /* a pinned program or link */
	sources__add(tables->there, (struct series_source){info.id, false});
	for (table = tables->known; table; table = table->next)
		if (table->id == info.id)
			break;
	if (!table) {
		table = calloc(1, sizeof(*table));
		if (!table)
			return NULL;
		table->id = info.id;
		table->next = tables->known;
		tables->known = table;
		describe(tables, table, path, name, &info);
	}
	table->seen = true;
	return table;
}

/* Plans of maps that are gone: unloaded, or replaced. */
static void forget_tables(struct tables *tables, bool all)
{
	struct table **at = &tables->known;

	while (*at) {
		struct table *table = *at;

		if (table->seen && !all) {
			table->seen = false;
			at = &table->next;
			continue;
		}
		*at = table->next;
		plan__free(table->plan);
		types__put(tables, table->types);
		free(table);
	}
}

static void forget_finals(struct tables *tables)
{
	for (int i = 0; i < tables->n_finals; i++) {
		close(tables->finals[i].fd);
		free(tables->finals[i].keys);
	}
	free(tables->finals);
	tables->finals = NULL;
	tables->n_finals = 0;
}

void tables__free(struct tables *tables)
{
	if (!tables)
		return;
	forget_tables(tables, true);
	forget_finals(tables);
	free(tables->keys);
	free(tables->values);
	free(tables);
}

/* --- reading -------------------------------------------------------------- */

/* What reading one map needs. */
struct reading {
	struct tables *tables;
	struct resources *resources;
	struct metrics *metrics;
	struct plan *plan;
	int fd;
	int names_fd;
	int final; /* index of this map's in tables->finals, -1: none yet */
	int final_names;
};

static bool is_overflow_key(const char *key, __u32 size)
{
	for (__u32 i = 0; i < size; i++)
		if ((unsigned char)key[i] != 0xff)
			return false;
	return true;
}

/* Note a key of a map for deletion. @which: the map's place among the finals. */
static int note_final(struct tables *tables, int *which, int fd, const struct plan *plan,
		      const void *key, __u32 size)
{
	struct final *final;

	if (*which < 0) {
		struct final *more =
			reallocarray(tables->finals, tables->n_finals + 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		tables->finals = more;
		*which = tables->n_finals++;
		more[*which] = (struct final){.fd = dup(fd), .plan = plan, .key_size = size};
	}
	final = &tables->finals[*which];
	if (final->n == final->room) {
		size_t room = final->room ? 2 * final->room : 64;
		char *more = reallocarray(final->keys, room, size);

		if (!more)
			return -ENOMEM;
		final->keys = more;
		final->room = room;
	}
	memcpy(final->keys + final->n++ * size, key, size);
	return 0;
}

static int take_entry(struct reading *r, const char *key, const char *values)
{
	const struct plan *plan = r->plan;
	bool overflow = !plan__is_array(plan->type) && is_overflow_key(key, plan->key_size);
	int resource = RESOURCE_HOST;
	__u64 cgroup;

	if (plan->resource.decoder && !overflow) {
		memcpy(&cgroup, key + plan->resource.offset, sizeof(cgroup));
		resource = resources__cgroup(r->resources, cgroup, r->names_fd);
		if (resource < 0)
			return resource;
		if (resources__gone(r->resources, resource) &&
		    (note_final(r->tables, &r->final, r->fd, plan, key, plan->key_size) ||
		     (r->names_fd >= 0 && note_final(r->tables, &r->final_names, r->names_fd, NULL,
						     &cgroup, sizeof(cgroup)))))
			return -ENOMEM;
	}
	return metrics__entry(r->metrics, plan, key, values, resource, overflow);
}

static int make_room(struct tables *tables, const struct plan *plan, __u32 batch)
{
	size_t keys = (size_t)batch * plan->key_size;
	size_t values = (size_t)batch * plan->value_size * plan->values;

	if (keys > tables->key_room) {
		char *more = realloc(tables->keys, keys);

		if (!more)
			return -ENOMEM;
		tables->keys = more;
		tables->key_room = keys;
	}
	if (values > tables->value_room) {
		char *more = realloc(tables->values, values);

		if (!more)
			return -ENOMEM;
		tables->values = more;
		tables->value_room = values;
	}
	return 0;
}

static int read_array(struct reading *r)
{
	const struct plan *plan = r->plan;
	int err = make_room(r->tables, plan, 1);

	for (__u32 i = 0; !err && i < plan->max_entries; i++) {
		if (bpf_map_lookup_elem(r->fd, &i, r->tables->values))
			return -errno;
		err = take_entry(r, (char *)&i, r->tables->values);
	}
	return err;
}

/*
 * A batch holds whole buckets of the hash table, so a position between two batches
 * stays right whatever is added and deleted meanwhile. ENOSPC: the next bucket does
 * not fit; nothing of it was read.
 */
static int read_hash(struct reading *r)
{
	struct tables *tables = r->tables;
	const struct plan *plan = r->plan;
	size_t stride = (size_t)plan->value_size * plan->values;
	__u32 batch = BATCH_BYTES / stride, position, *in = NULL;
	bool last = false;
	int err;

	if (batch < BATCH_MIN)
		batch = BATCH_MIN;
	while (!last) {
		__u32 count = batch, next;

		err = make_room(tables, plan, batch);
		if (err)
			return err;
		if (bpf_map_lookup_batch(r->fd, in, &next, tables->keys, tables->values, &count,
					 NULL)) {
			if (errno == ENOSPC && batch < plan->max_entries + BATCH_MIN) {
				batch *= 2;
				continue;
			}
			if (errno != ENOENT)
				return -errno;
			last = true;
		}
		for (__u32 i = 0; i < count; i++) {
			err = take_entry(r, tables->keys + (size_t)i * plan->key_size,
					 tables->values + i * stride);
			if (err)
				return err;
		}
		position = next;
		in = &position;
	}
	return 0;
}

/* --- probes --------------------------------------------------------------- */

struct pinned {
	int fd;
	char *path;
	struct table *table;
};

static int read_tables(struct reading *r, struct pinned *maps, int n)
{
	int count = 0, err;

	for (int i = 0; i < n; i++) {
		struct table *table = maps[i].table;

		if (!table || table->role != 'm')
			continue;
		err = metrics__plan(r->metrics, table->plan);
		if (err == -EEXIST) {
			warn("%s: not exported: another map of this probe has a metric of the same "
			     "name "
			     "but another kind or unit",
			     maps[i].path);
			table->role = 0;
			continue;
		}
		if (err)
			return err;
		r->plan = table->plan;
		r->fd = maps[i].fd;
		r->final = -1;
		err = plan__is_array(table->plan->type) ? read_array(r) : read_hash(r);
		if (!err)
			err = metrics__complete(r->metrics, table->plan);
		if (err == -ENOMEM)
			return err;
		if (err)
			warn("%s: cannot be read: %s", maps[i].path, strerror(-err));
		count++;
	}
	return count;
}

/*
 * When counting began: the loader wrote it beside the maps. For a map pinned by
 * somebody else it is the time of the pin.
 */
static __u64 start_of(const char *dir, int meta_fd, struct otel_meta *meta)
{
	struct stat st;
	__u32 zero = 0;

	if (meta_fd >= 0 && !bpf_map_lookup_elem(meta_fd, &zero, meta))
		return meta->load_realtime_ns;
	*meta = (struct otel_meta){};
	if (stat(dir, &st))
		return 0;
	return st.st_mtim.tv_sec * 1000000000ULL + st.st_mtim.tv_nsec;
}

/* A directory may hold pinned programs and links too, which would answer for themselves. */
static bool is_map(int fd)
{
	char link[64], target[32] = "";

	snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	return readlink(link, target, sizeof(target) - 1) > 0 && strstr(target, "bpf-map");
}

static void open_map(struct tables *tables, struct pinned *map, const char *name)
{
	map->fd = bpf_obj_get(map->path);
	if (map->fd < 0) {
		tables->there->unsure = true;
		if (errno != ENOENT)
			warn("%s: cannot be opened: %s%s", map->path, strerror(errno),
			     errno == EPERM    ? " (CAP_BPF is needed)"
			     : errno == EACCES ? " (it is another user's: load it again, or "
						 "CAP_DAC_OVERRIDE is needed)"
					       : "");
		return;
	}
	if (is_map(map->fd))
		map->table = find_table(tables, map->fd, map->path, name);
}

static int read_overhead(struct tables *tables, struct metrics *metrics, const char *probe,
			 const char *scope, const struct otel_meta *meta, const struct pinned *maps,
			 int n)
{
	char dir[PATH_MAX];
	struct overhead_probe own = {
		.name = probe, .dir = dir, .scope = scope, .meta = meta, .there = tables->there};

	/* What somebody else pinned is no probe. */
	if (!tables->overhead || !meta->abi ||
	    snprintf(dir, sizeof(dir), "%s/%s", tables->pin_dir, probe) >= (int)sizeof(dir))
		return 0;
	for (int i = 0; i < n; i++)
		if (maps[i].fd >= 0)
			own.map_bytes += fdinfo__memory(maps[i].fd);
	return overhead__read(tables->overhead, metrics, &own);
}

static void close_maps(struct pinned *maps, int n)
{
	for (int i = 0; i < n; i++) {
		if (maps[i].fd >= 0)
			close(maps[i].fd);
		free(maps[i].path);
	}
	free(maps);
}

/* PROBE/map/ as our loader makes it; PROBE/ itself for others. */
static int list_maps(const char *pin_dir, const char *probe, char **dir, char ***names)
{
	int n = 0;

	*dir = NULL;
	*names = NULL;
	for (int i = 0; i < 2 && n == 0; i++) {
		free(*dir);
		pins__free_names(*names);
		*names = NULL;
		if (asprintf(dir, i ? "%s/%s" : "%s/%s/map", pin_dir, probe) < 0) {
			*dir = NULL;
			return -ENOMEM;
		}
		n = pins__list(*dir, names);
	}
	return n;
}

/* What a probe counts only when it is asked to. */
static void run_iterators(struct tables *tables, const char *probe)
{
	char dir[PATH_MAX];
	int err;

	if (snprintf(dir, sizeof(dir), "%s/%s", tables->pin_dir, probe) >= (int)sizeof(dir))
		return;
	err = pins__run_iterators(dir);
	if (err)
		warn("probe %s: an iterator cannot be run, so what it counts is late: %s", probe,
		     strerror(-err));
}

static int read_probe(struct tables *tables, struct resources *resources, struct metrics *metrics,
		      const char *probe)
{
	struct reading r = {tables, resources, metrics, NULL, -1, -1, -1, -1};
	int n, meta_fd = -1, result = 0;
	struct pinned *maps = NULL;
	char *dir, **names, scope[OTEL_PROBE_NAME_MAX + 16];
	struct otel_meta meta;
	__u64 start;
	int err;

	n = list_maps(tables->pin_dir, probe, &dir, &names);
	if (n <= 0) {
		tables->there->unsure |= n < 0;
		if (n < 0)
			warn("probe %s cannot be read: %s", probe, strerror(-n));
		goto out;
	}
	maps = calloc(n, sizeof(*maps));
	for (int i = 0; maps && i < n; i++) {
		if (asprintf(&maps[i].path, "%s/%s", dir, names[i]) < 0)
			maps[i].path = NULL;
		maps[i].fd = -1;
		if (maps[i].path)
			open_map(tables, &maps[i], names[i]);
		if (maps[i].table && maps[i].table->role == 'c')
			r.names_fd = maps[i].fd;
		if (maps[i].table && maps[i].table->role == 'i')
			meta_fd = maps[i].fd;
	}
	result = maps ? 0 : -ENOMEM;
	if (result)
		goto out;
	run_iterators(tables, probe);
	start = start_of(dir, meta_fd, &meta);
	if (meta.abi && meta.abi != OTEL_ABI_VERSION) {
		warn("probe %s was loaded by another version of otelbpf: load it again with this "
		     "one, or "
		     "use the exporter that came with it",
		     probe);
		goto out;
	}
	snprintf(scope, sizeof(scope), "otelbpf/%s", probe);
	result = metrics__scope(metrics, scope, start);
	if (!result)
		result = read_tables(&r, maps, n);
	err = result < 0 ? 0 : read_overhead(tables, metrics, probe, scope, &meta, maps, n);
	if (err)
		result = err;
out:
	if (maps)
		close_maps(maps, n);
	free(dir);
	pins__free_names(names);
	return result;
}

int tables__read(struct tables *tables, struct resources *resources, struct metrics *metrics)
{
	int n, count = 0, result = 0;
	char **probes = NULL;

	forget_finals(tables);
	sources__begin(tables->there);
	if (tables->overhead)
		overhead__refresh(tables->overhead);
	n = pins__probes(tables->pin_dir, &probes);
	tables->there->unsure |= n < 0;
	if (n < 0)
		return n;
	for (int i = 0; i < n && result >= 0; i++) {
		result = read_probe(tables, resources, metrics, probes[i]);
		count += result;
	}
	pins__free_names(probes);
	forget_tables(tables, false);
	return result < 0 ? result : count;
}

bool tables__is_pressed(const struct tables *tables)
{
	for (int i = 0; i < tables->n_finals; i++)
		if (tables->finals[i].plan &&
		    tables->finals[i].n > tables->finals[i].plan->max_entries / 2)
			return true;
	return false;
}

__u64 tables__final_points(const struct tables *tables)
{
	__u64 points = 0;

	for (int i = 0; i < tables->n_finals; i++)
		if (tables->finals[i].plan)
			points += tables->finals[i].n * tables->finals[i].plan->n_instruments;
	return points;
}

int tables__evict(struct tables *tables, struct baseline *const *baselines, int n)
{
	int evicted = 0;

	for (int i = 0; i < tables->n_finals; i++) {
		const struct final *final = &tables->finals[i];

		for (size_t k = 0; k < final->n; k++) {
			const char *key = final->keys + k * final->key_size;

			evicted += !bpf_map_delete_elem(final->fd, key);
			for (int b = 0; b < n && final->plan; b++)
				if (baselines[b])
					baseline__forget(baselines[b],
							 (struct series_source){final->plan->id,
										false},
							 key, final->key_size);
		}
	}
	forget_finals(tables);
	return evicted;
}
