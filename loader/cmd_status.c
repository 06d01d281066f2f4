// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf status: what is loaded and how it does. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "args.h"
#include "cleanup.h"
#include "config.h"
#include "deadline.h"
#include "fail.h"
#include "hook.h"
#include "links.h"
#include "mapview.h"
#include "netdev.h"
#include "overhead.h"
#include "path.h"
#include "pins.h"
#include "probe.h"
#include "report.h"
#include "status_view.h"
#include "table.h"
#include "tagged.h"
#include "uprobe.h"

#define LOSS_ATTRIBUTE "otelbpf.loss.reason"
#define NS 1000000000ULL

/* --- finding out --------------------------------------------------------------- */

static const char *state_of(const struct probe *probe, const struct deadline *deadline)
{
	int links = links__count(probe->dir), wanted = 0;
	const struct hook *hook;
	struct otel_guard guard;
	const char *target;

	for (int i = 0; i < probe->programs; i++) {
		hook = hook__find(probe->program[i].section, &target);
		wanted += hook && hook__attaches(hook);
	}
	switch (probe->meta.state) {
	case OTEL_STATE_PAUSED:
		return "paused";
	case OTEL_STATE_RUNNING:
		if (links < wanted)
			return "not attached";
		if (uprobe__guard(probe->dir, &guard) && guard.stopped)
			return "stopped by its guard";
		return deadline->flag && !deadline__left(deadline) ? "stopped" : "running";
	default:
		return "not attached";
	}
}

/* Which CPUs a program samples, "0,1"; returns how many. */
static int list_cpus(const struct probe *probe, const char *program, char *text, size_t size)
{
	_cleanup_names_ char **names = NULL;
	size_t prefix = strlen(program), len = 0;
	char path[PATH_MAX];
	int n = 0;

	text[0] = '\0';
	if (path__format(path, "%s/link", probe->dir) || pins__list(path, &names) < 0)
		return 0;
	for (char **name = names; name && *name; name++) {
		if (strncmp(*name, program, prefix) || strncmp(*name + prefix, "_cpu", 4))
			continue;
		if (len < size)
			len += snprintf(text + len, size - len, "%s%s", n ? "," : "",
					*name + prefix + 4);
		n++;
	}
	return n;
}

static void add_cost(struct json_object *to, const struct cost *cost)
{
	report__number(to, "measured_ns", cost->wall_ns);
	report__number(to, "runs", cost->runs);
	report__number(to, "run_time_ns", cost->run_ns);
	report__real(to, "mean_us", cost__mean_us(cost));
	report__real(to, "cpu_percent", cost__percent(cost));
}

static void add_programs(const struct probe *probe, const struct overhead *overhead,
			 struct json_object *report, struct cost *sum, __u64 *memory)
{
	struct json_object *list = report__list(report, "programs");
	char path[PATH_MAX];

	for (int i = 0; i < probe->programs; i++) {
		const struct otel_program *program = &probe->program[i];
		struct json_object *item = report__item(list);
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		const struct cost *cost;
		_cleanup_fd_ int fd = -1, link = -1;
		char text[1024];
		int cpus;

		report__text(item, "program", program->name);
		report__text(item, "hook", program->section[0] ? program->section : NULL);
		if (!path__format(path, "%s/link/%s", probe->dir, program->name))
			link = bpf_obj_get(path);
		cpus = list_cpus(probe, program->name, text, sizeof(text));
		report__text(item, "cpus", cpus ? text : NULL);
		if (hook__on_interfaces(program->section)) {
			cpus = netdev__describe(probe->dir, program->name, program->section, text,
						sizeof(text));
			report__text(item, "interfaces", text);
		}
		if (hook__on_functions(program->section)) {
			cpus = uprobe__files(probe->dir, program->name);
			report__number(item, "files", cpus);
		}
		report__bool(item, "attached", link >= 0 || cpus);
		if (path__format(path, "%s/prog/%s", probe->dir, program->name))
			continue;
		fd = bpf_obj_get(path);
		if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
			continue;
		report__number(item, "id", info.id);
		report__number(item, "instructions", info.xlated_prog_len / 8);
		report__number(item, "memory", mapview__memory(fd));
		*memory += mapview__memory(fd);
		report__number(item, "recursion_misses", info.recursion_misses);
		cost = overhead__find(overhead, info.id);
		if (cost) {
			add_cost(report__object(item, "measured"), cost);
			/* Parts of one CPU add up; their times differ by microseconds. */
			sum->runs += cost->runs;
			sum->run_ns += cost->run_ns;
			sum->wall_ns = cost->wall_ns;
		}
		if (!overhead->total)
			continue;
		report__number(item, "runs", info.run_cnt);
		report__number(item, "mean_ns", info.run_cnt ? info.run_time_ns / info.run_cnt : 0);
	}
	report__bool(report, "statistics", overhead->total);
}

/* One member that counts losses: where it is, and its sum over entries and CPUs. */
struct loss {
	const struct mapview *view;
	__u32 offset, size;
	__u64 sum;
};

static int add_loss(const void *key, const void *value, void *arg)
{
	struct loss *loss = arg;
	const char *at = (const char *)value + loss->offset;
	size_t stride = (loss->view->info.value_size + 7) / 8 * 8;
	size_t copies = 1;

	(void)key;
	if (mapview__is_percpu(loss->view))
		copies = mapview__value_bytes(loss->view) / stride;
	for (; copies--; at += stride) {
		__u64 wide = 0;
		__u32 narrow = 0;

		if (loss->size == sizeof(wide))
			memcpy(&wide, at, sizeof(wide));
		else
			memcpy(&narrow, at, sizeof(narrow));
		loss->sum += wide + narrow;
	}
	return 0;
}

/* A member is a loss if its tags give it a constant attribute "otelbpf.loss.reason". */
static const char *loss_reason(const struct mapview *view, __u32 type, int member)
{
	const struct tag *tag = NULL;

	while ((tag = tagged__next(view->tagged, type, member, tag)))
		if (!strcmp(tag->word, "with") && tag->args == 2 &&
		    !strcmp(tag->arg[0], LOSS_ATTRIBUTE))
			return tag->arg[1];
	return NULL;
}

static void add_losses(const struct mapview *view, struct json_object *losses)
{
	int id = view->btf ? btf__resolve_type(view->btf, view->info.btf_value_type_id) : -1;
	const struct btf_type *type = id > 0 ? btf__type_by_id(view->btf, id) : NULL;

	if (!type || !btf_is_struct(type) || !view->var ||
	    !tagged__find(view->tagged, view->var, -1, "metrics"))
		return;
	for (__u32 i = 0; i < btf_vlen(type); i++) {
		const struct btf_member *member = &btf_members(type)[i];
		const char *reason = loss_reason(view, id, i);
		struct loss loss = {.view = view, .offset = member->offset / 8};

		if (!reason)
			continue;
		loss.size = btf__resolve_size(view->btf, member->type);
		if ((loss.size != 4 && loss.size != 8) ||
		    loss.offset + loss.size > view->info.value_size ||
		    mapview__each(view, add_loss, &loss) < 0)
			continue;
		report__number(losses, reason, report__get_number(losses, reason) + loss.sum);
	}
}

static void add_maps(const struct probe *probe, struct json_object *report, __u64 *memory)
{
	struct json_object *list = report__list(report, "maps");
	struct json_object *losses = report__object(report, "losses");
	_cleanup_names_ char **names = NULL;
	char maps[PATH_MAX], path[PATH_MAX];
	bool denied = false;

	if (path__format(maps, "%s/map", probe->dir) || pins__list(maps, &names) < 0)
		return;
	for (char **name = names; name && *name; name++) {
		struct json_object *item = report__item(list);
		_cleanup_view_ struct mapview view = {.fd = -1};
		__u64 bytes;
		long entries;

		report__text(item, "map", *name);
		if (path__format(path, "%s/%s", maps, *name) || mapview__open(&view, path)) {
			report__text(item, "error", strerror(errno));
			continue;
		}
		entries = mapview__each(&view, NULL, NULL);
		bytes = mapview__memory(view.fd);
		report__number(item, "id", view.info.id);
		report__text(item, "type", mapview__type_name(view.info.type));
		if (entries >= 0)
			report__number(item, "entries", entries);
		report__number(item, "capacity", view.info.max_entries);
		report__number(item, "memory", bytes);
		*memory += bytes;
		add_losses(&view, losses);
		denied |= view.denied;
	}
	if (denied)
		json_object_object_del(report, "losses");
}

static const char *utc(__u64 realtime_ns, char text[32])
{
	time_t seconds = realtime_ns / NS;
	struct tm tm;

	strftime(text, 32, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&seconds, &tm));
	return text;
}

static const char *why_not(const struct overhead *overhead)
{
	switch (-overhead->err) {
	case 0:
	case ENOENT:
		return "none: no program is attached";
	case ECANCELED:
		return "not measured: --measure 1s";
	case EPERM:
		return "not measured: statistics are off, and CAP_SYS_ADMIN is needed to enable "
		       "them";
	default:
		return "not measured";
	}
}

static void add_deadline(const struct deadline *deadline, struct json_object *report)
{
	if (!deadline->flag)
		return;
	report__number(report, "duration_ns", deadline->duration_ns);
	report__number(report, "stops_in_ns", deadline__left(deadline));
}

static void add_file(struct json_object *report, const char *list, const char *path)
{
	char name[PATH_MAX];
	ssize_t len = readlink(path, name, sizeof(name) - 1);

	if (len >= 0)
		name[len] = '\0';
	json_object_array_add(report__list(report, list),
			      json_object_new_string(len < 0 ? path : name));
}

static void add_missing(const char *path, void *ctx)
{
	add_file(ctx, "uncovered", path);
}

static void add_unknown(const char *path, void *ctx)
{
	add_file(ctx, "unknown", path);
}

static void add_guard(const struct probe *probe, struct json_object *report)
{
	struct json_object *item;
	struct otel_guard guard;

	if (!uprobe__guard(probe->dir, &guard))
		return;
	item = report__object(report, "guard");
	report__number(item, "spent_ns", guard.spent_ns);
	report__number(item, "ran_ns", guard.ran_ns);
	report__number(item, "sample_bytes", guard.sample_bytes);
	report__bool(item, "stopped", guard.stopped);
}

/* What the targets have mapped since it was attached. */
static void add_uncovered(const struct probe *probe, struct json_object *report)
{
	bool on_functions = false;

	for (int i = 0; i < probe->programs; i++)
		on_functions |= hook__on_functions(probe->program[i].section);
	if (on_functions && probe->meta.state == OTEL_STATE_RUNNING)
		uprobe__missing(probe->dir, add_missing, add_unknown, report);
}

static struct json_object *describe(const struct probe *probe, const struct overhead *overhead)
{
	struct json_object *report = json_object_new_object(), *own;
	struct deadline deadline;
	struct cost sum = {};
	struct timespec now;
	__u64 memory = 0;
	char text[32];

	clock_gettime(CLOCK_BOOTTIME, &now);
	deadline__read(probe->dir, &deadline);
	report__text(report, "probe", probe->name);
	report__text(report, "state", state_of(probe, &deadline));
	report__text(report, "loaded_at", utc(probe->meta.load_realtime_ns, text));
	report__number(report, "uptime_ns",
		       now.tv_sec * NS + now.tv_nsec - probe->meta.load_boottime_ns);
	add_deadline(&deadline, report);
	report__text(report, "version", probe->meta.version);
	report__text(report, "object", probe->meta.object);
	report__text(report, "options", probe->meta.options);
	add_programs(probe, overhead, report, &sum, &memory);
	add_maps(probe, report, &memory);
	add_uncovered(probe, report);
	add_guard(probe, report);
	report__number(report, "memory", memory);
	own = report__object(report, "overhead");
	if (sum.wall_ns)
		add_cost(own, &sum);
	else
		report__text(own, "not_measured", why_not(overhead));
	report__number(own, "memory", memory);
	report__number(own, "uptime_ns", report__get_number(report, "uptime_ns"));
	return report;
}

/* --- the command ---------------------------------------------------------------- */

/* What the configuration says, which may be wrong by now: then it is said so, and that is all. */
static __u64 read_budget(void)
{
	const struct config_node *node;
	unsigned long long budget = 0;
	struct config config = {};

	if (!config__read(&config, NULL) && config.root) {
		node = config__find(config.root, "memory_budget");
		if (node && config__bytes(node, &budget))
			budget = 0;
	}
	config__free(&config);
	return budget;
}

static void print_sum(int shown, __u64 memory, __u64 budget)
{
	char bytes[BYTES_TEXT], whole[BYTES_TEXT];

	if (budget)
		printf("\n%s%d probe%s: %s of a budget of %s\n", shown > 1 ? "all " : "", shown,
		       shown > 1 ? "s" : "", table__bytes(memory, bytes),
		       table__bytes(budget, whole));
	else if (shown > 1)
		printf("\nall %d probes: %s\n", shown, table__bytes(memory, bytes));
}

int cmd_status(const struct args *args)
{
	_cleanup_json_ struct json_object *report = json_object_new_object();
	struct json_object *probes = report__list(report, "probes");
	_cleanup_names_ char **names = NULL;
	int first = 0, shown = 0, code = pins__check(args->pin_dir);
	struct overhead overhead;
	__u64 memory = 0, budget;

	if (!code)
		code = probe__names(args, &names);
	if (code)
		return code;
	/* All at once: the time is waited for only once. */
	overhead__measure(&overhead, args->pin_dir, names, args->measure_ns);
	for (char **name = names; name && *name; name++) {
		struct json_object *one;
		struct failure failure;
		struct probe probe;

		code = probe__open(&probe, args->pin_dir, *name, &failure);
		if (code) {
			fail(code, "%s", failure.line);
			first = first ? first : code;
			continue;
		}
		one = describe(&probe, &overhead);
		probe__close(&probe);
		json_object_array_add(probes, one);
		memory += report__get_number(one, "memory");
		if (!args->json)
			status__print(one, !shown);
		shown++;
	}
	overhead__free(&overhead);
	report__text(report, "pin_dir", args->pin_dir);
	report__number(report, "memory", memory);
	budget = read_budget();
	if (budget)
		report__number(report, "memory_budget", budget);
	if (args->json)
		report__print(report);
	else if (shown)
		print_sum(shown, memory, budget);
	else if (!first)
		inform("no probe is loaded in %s: otelbpf load", args->pin_dir);
	return first;
}
