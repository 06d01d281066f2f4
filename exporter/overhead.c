// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "overhead.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "fdinfo.h"
#include "otlp/fields.h"
#include "pins.h"
#include "resource.h"

/* Attributes: of every point the probe, then what tells its points apart. */
struct key {
	char probe[OTEL_PROBE_NAME_MAX];
	char part[OTEL_PROGRAM_NAME_MAX];
};

struct value {
	__u64 first, second;
};

/* As if they were maps: so metrics.c need not know of them. */
enum { PLAN_PROGRAM, PLAN_MEMORY, PLAN_UPTIME, PLANS };

static const struct {
	const char *part; /* attribute, NULL: none */
	struct instrument instruments[2];
} descriptions[PLANS] = {
	[PLAN_PROGRAM] = {"otelbpf.program",
			  {{.kind = INSTRUMENT_SUM,
			    .name = "otelbpf.probe.cpu.time",
			    .unit = "s",
			    .desc = "Time that the probe's programs ran",
			    .offset = offsetof(struct value, first),
			    .factor = 1e-9},
			   {.kind = INSTRUMENT_SUM,
			    .name = "otelbpf.probe.runs",
			    .unit = "{run}",
			    .desc = "How often the probe's programs ran",
			    .offset = offsetof(struct value, second),
			    .factor = 1}}},
	[PLAN_MEMORY] = {"otelbpf.memory.type",
			 {{.kind = INSTRUMENT_UPDOWN,
			   .name = "otelbpf.probe.memory.usage",
			   .unit = "By",
			   .desc = "Kernel memory of the probe's maps and programs",
			   .factor = 1}}},
	[PLAN_UPTIME] = {NULL,
			 {{.kind = INSTRUMENT_GAUGE,
			   .name = "otelbpf.probe.uptime",
			   .unit = "s",
			   .desc = "Time since the probe was loaded",
			   .factor = 1e-9}}},
};

struct overhead {
	struct plan plans[PLANS];
	int stats_fd;
	bool counting;
};

static void add_attr(struct plan *plan, const char *name, __u32 offset, __u32 size)
{
	struct plan_attr *attr = &plan->attrs[plan->n_attrs++];

	attr->name = name;
	attr->offset = offset;
	attr->size = size;
	attr->decoder = decoder__find("string", &attr->ctx.arg);
	pb__bytes(&attr->key, KEY_VALUE_KEY, name, strlen(name));
}

struct overhead *overhead__new(void)
{
	struct overhead *overhead = calloc(1, sizeof(*overhead));

	if (!overhead)
		return NULL;
	overhead->stats_fd = -1;
	for (int i = 0; i < PLANS; i++) {
		struct plan *plan = &overhead->plans[i];

		plan->type = BPF_MAP_TYPE_HASH;
		plan->key_size = sizeof(struct key);
		plan->value_size = sizeof(struct value);
		plan->values = 1;
		add_attr(plan, "otelbpf.probe", offsetof(struct key, probe), OTEL_PROBE_NAME_MAX);
		if (descriptions[i].part)
			add_attr(plan, descriptions[i].part, offsetof(struct key, part),
				 OTEL_PROGRAM_NAME_MAX);
		for (int k = 0; k < 2 && descriptions[i].instruments[k].name; k++) {
			struct instrument *instrument = &plan->instruments[plan->n_instruments++];

			*instrument = descriptions[i].instruments[k];
			instrument->size = sizeof(__u64);
		}
	}
	return overhead;
}

void overhead__free(struct overhead *overhead)
{
	if (!overhead)
		return;
	for (int i = 0; i < PLANS; i++)
		for (int k = 0; k < overhead->plans[i].n_attrs; k++)
			pb__free(&overhead->plans[i].attrs[k].key);
	if (overhead->stats_fd >= 0)
		close(overhead->stats_fd);
	free(overhead);
}

int overhead__enable(struct overhead *overhead)
{
	overhead->stats_fd = bpf_enable_stats(BPF_STATS_RUN_TIME);
	return overhead->stats_fd < 0 ? -errno : 0;
}

void overhead__refresh(struct overhead *overhead)
{
	FILE *file = fopen("/proc/sys/kernel/bpf_stats_enabled", "re");

	overhead->counting = overhead->stats_fd >= 0 || (file && fgetc(file) == '1');
	if (file)
		fclose(file);
}

static int put(struct metrics *metrics, const struct plan *plan, const char *probe,
	       const char *part, struct value value)
{
	struct key key = {};

	snprintf(key.probe, sizeof(key.probe), "%s", probe);
	snprintf(key.part, sizeof(key.part), "%s", part);
	return metrics__entry(metrics, plan, &key, &value, RESOURCE_HOST, false);
}

/* A map may have a metric of such a name, of another kind: then ours is left out. */
static int begin(struct metrics *metrics, const struct plan *plan)
{
	int err = metrics__plan(metrics, plan);

	return err == -EEXIST ? 1 : err;
}

struct program {
	const char *name;
	struct bpf_prog_info info;
};

static int read_programs(const struct overhead_probe *probe, char **names, int n,
			 struct program *programs, __u64 *bytes)
{
	LIBBPF_OPTS(bpf_obj_get_opts, read_only, .file_flags = BPF_F_RDONLY);
	char path[4096];
	int found = 0;

	for (int i = 0; i < n; i++) {
		struct program *program = &programs[found];
		__u32 len = sizeof(program->info);
		int fd = -1;

		if (snprintf(path, sizeof(path), "%s/prog/%s", probe->dir, names[i]) <
		    (int)sizeof(path))
			fd = bpf_obj_get_opts(path, &read_only);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &program->info, &len)) {
			probe->there->unsure = true;
		} else {
			program->name = names[i];
			*bytes += fdinfo__memory(fd);
			sources__add(probe->there, (struct series_source){program->info.id, true});
			found++;
		}
		if (fd >= 0)
			close(fd);
	}
	return found;
}

/*
 * When the kernel began to count: with the probe, or with its present programs if these
 * have been exchanged since. In terms of what the loader wrote, so that no two exports
 * differ by what was done to the clock meanwhile.
 */
static __u64 start_of(const struct otel_meta *meta, const struct program *programs, int n)
{
	__u64 loaded = n ? programs[0].info.load_time : 0;

	for (int i = 1; i < n; i++)
		if (programs[i].info.load_time < loaded)
			loaded = programs[i].info.load_time;
	return meta->load_realtime_ns +
	       (loaded > meta->load_boottime_ns ? loaded - meta->load_boottime_ns : 0);
}

static int put_runs(struct overhead *overhead, struct metrics *metrics,
		    const struct overhead_probe *probe, const struct program *programs, int n)
{
	struct plan *plan = &overhead->plans[PLAN_PROGRAM];
	__u64 start = start_of(probe->meta, programs, n);
	int err = 0;

	if (start != probe->meta->load_realtime_ns)
		err = metrics__scope(metrics, probe->scope, start);
	if (!err)
		err = begin(metrics, plan);
	for (int i = 0; i < n && !err; i++) {
		plan->id = programs[i].info.id;
		plan->of_program = true;
		err = put(metrics, plan, probe->name, programs[i].name,
			  (struct value){programs[i].info.run_time_ns, programs[i].info.run_cnt});
		if (!err)
			err = metrics__complete(metrics, plan);
	}
	return err < 0 ? err : 0;
}

static int put_sizes(struct overhead *overhead, struct metrics *metrics,
		     const struct overhead_probe *probe, __u64 program_bytes)
{
	const struct plan *memory = &overhead->plans[PLAN_MEMORY];
	const struct plan *uptime = &overhead->plans[PLAN_UPTIME];
	struct timespec now;
	int err = begin(metrics, memory);

	if (!err)
		err = put(metrics, memory, probe->name, "map", (struct value){probe->map_bytes, 0});
	if (!err)
		err = put(metrics, memory, probe->name, "program",
			  (struct value){program_bytes, 0});
	if (err < 0)
		return err;
	clock_gettime(CLOCK_BOOTTIME, &now);
	err = begin(metrics, uptime);
	if (!err)
		err = put(metrics, uptime, probe->name, "",
			  (struct value){now.tv_sec * 1000000000ULL + now.tv_nsec -
						 probe->meta->load_boottime_ns,
					 0});
	return err < 0 ? err : 0;
}

int overhead__read(struct overhead *overhead, struct metrics *metrics,
		   const struct overhead_probe *probe)
{
	struct program *programs = NULL;
	char path[4096], **names = NULL;
	int n = -ENAMETOOLONG, err = 0;
	__u64 bytes = 0;

	if (snprintf(path, sizeof(path), "%s/prog", probe->dir) < (int)sizeof(path))
		n = pins__list(path, &names);
	if (n > 0) {
		programs = calloc(n, sizeof(*programs));
		if (!programs)
			err = -ENOMEM;
		else
			n = read_programs(probe, names, n, programs, &bytes);
	}
	if (!err)
		err = put_sizes(overhead, metrics, probe, bytes);
	if (!err && programs && n && overhead->counting)
		err = put_runs(overhead, metrics, probe, programs, n);
	free(programs);
	pins__free_names(names);
	return err;
}
