// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "stage.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "current.h"
#include "deadline.h"
#include "filter.h"
#include "filter_processes.h"
#include "filter_value.h"
#include "guard.h"
#include "hook.h"
#include "keep.h"
#include "links.h"
#include "log.h"
#include "netdev.h"
#include "path.h"
#include "pins.h"
#include "sizes.h"
#include "tagged.h"
#include "tree.h"
#include "turn.h"
#include "types.h"
#include "uprobe.h"
#include "xdp.h"

/* --- what goes on ------------------------------------------------------------ */

static int meet_old(struct stage *stage, struct failure *failure)
{
	const char *name = stage->object->target->probe;
	_cleanup_names_ char **pins = NULL;
	char maps[PATH_MAX], what[400];
	int n, differs = 1;

	if (probe__open_locked(&stage->old, stage->args->pin_dir, name, failure)) {
		if (!stage->args->replace || failure->code != EXIT_MAP)
			return failure->code;
		snprintf(what, sizeof(what), "%.399s", failure->line);
	}
	n = path__format(maps, "%s/map", stage->old.dir);
	n = n ? n : pins__list(maps, &pins);
	if (n < 0 || !pins)
		return failed(failure, EXIT_MAP, "cannot read %s: %s", maps,
			      failure__reason(n ? n : ENOENT));
	if (stage->old.programs)
		differs = keep__compare(stage->object, maps, pins, what, sizeof(what));
	if (differs < 0)
		return failed(
			failure, EXIT_PERMISSION,
			"probe '%s' is loaded, and CAP_SYS_ADMIN is needed to compare its maps "
			"with the new ones: unload it first",
			name);
	if (!differs) {
		stage->keeps = true;
		return keep__reuse(stage->object, maps, pins, failure);
	}
	if (!stage->args->replace)
		return failed(failure, EXIT_MAP,
			      "probe '%s' is loaded with another layout (%s): export what it "
			      "counted, then load --replace drops it",
			      name, what);
	keep__describe_dropped(maps, pins, stage->dropped, sizeof(stage->dropped));
	return 0;
}

int stage__begin(struct stage *stage, const struct args *args, struct object *object,
		 struct failure *failure)
{
	const char *name = object->target->probe;
	char path[PATH_MAX];
	int err;

	*stage = (struct stage){
		.args = args, .object = object, .lock = -1, .old.lock = -1, .shared.lock = -1};
	err = path__format(stage->dir, "%s/%s" TREE_NEW, args->pin_dir, name);
	if (!err)
		err = path__format(path, "%s/%s", args->pin_dir, name);
	if (!err)
		stage->lock = err = tree__begin(args->pin_dir, name);
	if (err < 0)
		return failed(failure, err == -EACCES || err == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
			      "cannot make %s: %s", stage->dir, failure__reason(err));
	stage->has_old = !access(path, F_OK);
	err = stage->has_old ? meet_old(stage, failure) : 0;
	return err ? err : shared__take(&stage->shared, args, object, failure);
}

/* --- filling ------------------------------------------------------------------ */

static __u64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

/* "KEY=VALUE" of the preset and of each --set for this probe; what does not fit is left out with a
 * mark. */
static void list_options(const struct stage *stage, char *text, size_t size)
{
	const char *probe = stage->object->target->probe;
	size_t prefix = strlen(probe), len;

	len = snprintf(text, size, "%s", stage->object->preset_set);
	for (int i = 0; i < stage->args->sets; i++) {
		const char *set = stage->args->set[i];
		size_t room = size - len;

		if (strncmp(set, probe, prefix) || set[prefix] != '.')
			continue;
		if (strlen(set + prefix) + sizeof(" ...") > room) {
			snprintf(text + len, room, "%s...", len ? " " : "");
			return;
		}
		len += snprintf(text + len, room, "%s%s", len ? " " : "", set + prefix + 1);
	}
}

static int write_meta(struct stage *stage, enum otel_state state, struct otel_meta *meta)
{
	struct bpf_map *map = bpf_object__find_map_by_name(stage->object->obj, "meta");
	const struct target *target = stage->object->target;
	__u32 zero = 0;

	if (!meta->abi) {
		meta->abi = OTEL_ABI_VERSION;
		meta->load_realtime_ns = clock_ns(CLOCK_REALTIME);
		meta->load_boottime_ns = clock_ns(CLOCK_BOOTTIME);
		if (stage->keeps) {
			meta->load_realtime_ns = stage->old.meta.load_realtime_ns;
			meta->load_boottime_ns = stage->old.meta.load_boottime_ns;
		}
		snprintf(meta->probe, sizeof(meta->probe), "%s", target->probe);
		snprintf(meta->version, sizeof(meta->version), "%s", OTELBPF_VERSION);
		snprintf(meta->object, sizeof(meta->object), "%.255s", target->path);
		list_options(stage, meta->options, sizeof(meta->options));
	}
	meta->state = state;
	return bpf_map_update_elem(bpf_map__fd(map), &zero, meta, BPF_ANY) ? -errno : 0;
}

/* "" for a program that this kernel does not get. */
static void hook_of(const struct stage *stage, const struct bpf_program *prog,
		    char section[OTEL_SECTION_MAX])
{
	section[0] = '\0';
	if (bpf_program__autoload(prog))
		object__hook(stage->object, prog, section);
}

static int write_programs(struct stage *stage)
{
	struct bpf_map *map = bpf_object__find_map_by_name(stage->object->obj, "programs");
	struct bpf_program *prog;
	__u32 i = 0;

	bpf_object__for_each_program (prog, stage->object->obj) {
		struct otel_program program = {};

		snprintf(program.name, sizeof(program.name), "%s", bpf_program__name(prog));
		hook_of(stage, prog, program.section);
		if (bpf_map_update_elem(bpf_map__fd(map), &i, &program, BPF_ANY))
			return -errno;
		i++;
	}
	return 0;
}

static bool is_table(const struct stage *stage, const struct bpf_map *map)
{
	__u32 var = tagged__variable(bpf_object__btf(stage->object->obj), bpf_map__name(map));

	return var && tagged__find(stage->object->tagged, var, -1, "metrics");
}

/* The entry that takes what a full table cannot: see otel_table__get(). */
static int add_overflow(const struct bpf_map *map)
{
	/* Room for a value on each CPU, whether it has that or not. */
	_cleanup_free_ void *value =
		calloc(libbpf_num_possible_cpus(), (bpf_map__value_size(map) + 7) / 8 * 8);
	_cleanup_free_ void *key = malloc(bpf_map__key_size(map));

	if (!value || !key)
		return -ENOMEM;
	memset(key, 0xff, bpf_map__key_size(map));
	if (bpf_map_update_elem(bpf_map__fd(map), key, value, BPF_NOEXIST) && errno != EEXIST)
		return -errno;
	return 0;
}

/* libbpf goes on without BTF when the kernel refuses it. Then no map explains itself. */
static int check_btf(const struct bpf_map *map)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &len))
		return -errno;
	return info.btf_id ? 0 : -ENODATA;
}

/*
 * libbpf tries once whether the kernel takes names, and does without if that fails for whatever
 * reason, want of memory for one. A later load would find maps that it cannot tell apart.
 */
static int check_names(struct stage *stage, struct failure *failure)
{
	const struct bpf_map *map;

	bpf_object__for_each_map (map, stage->object->obj) {
		struct bpf_map_info info = {};
		__u32 len = sizeof(info);

		if (object__map_fd(map) < 0 || shared__has(&stage->shared, map) ||
		    bpf_obj_get_info_by_fd(bpf_map__fd(map), &info, &len) || info.name[0])
			continue;
		return failed(failure, EXIT_LOAD,
			      "%s: map '%s' was made without its name: load again",
			      stage->object->target->path, bpf_map__name(map));
	}
	return 0;
}

static int fill_maps(struct stage *stage, struct failure *failure)
{
	const struct bpf_map *map;

	bpf_object__for_each_map (map, stage->object->obj) {
		enum bpf_map_type type = bpf_map__type(map);
		char cause[512];
		int err;

		/* Without a number: nobody has asked for it. */
		if (bpf_map__fd(map) < 0 ||
		    (!is_table(stage, map) && strcmp(bpf_map__name(map), "meta")))
			continue;
		err = check_btf(map);
		if (err) {
			log__cause(cause, sizeof(cause));
			return failed(failure, EXIT_LOAD,
				      "%s: the kernel does not take the BTF of map '%s' (%s)",
				      stage->object->target->path, bpf_map__name(map),
				      cause[0] ? cause : failure__reason(err));
		}
		if (!is_table(stage, map) ||
		    (type != BPF_MAP_TYPE_HASH && type != BPF_MAP_TYPE_PERCPU_HASH))
			continue;
		err = add_overflow(map);
		if (err)
			return failed(failure, EXIT_MAP,
				      "cannot put the overflow entry into map '%s': %s",
				      bpf_map__name(map), failure__reason(err));
	}
	return 0;
}

static int pin_all(struct stage *stage, struct failure *failure)
{
	const char *what = "directories", *name = "";
	struct bpf_program *prog;
	char pin[PIN_NAME_MAX];
	struct bpf_map *map;
	int err = tree__make_probe(stage->dir);
	char mark[PATH_MAX], maps[PATH_MAX];

	if (!err)
		err = path__format(maps, "%s/map", stage->dir);
	if (!err && stage->args->mark)
		err = path__format(mark, "%s/%s", stage->dir, stage->args->mark);
	if (!err && stage->args->mark)
		err = tree__make_dir(mark);
	bpf_object__for_each_map (map, stage->object->obj) {
		if (err || object__map_fd(map) < 0 || shared__has(&stage->shared, map))
			continue;
		object__pin_name(map, pin);
		what = "map";
		name = pin;
		err = tree__pin(bpf_map__fd(map), TREE_EXPORTERS, "%s/%s", maps, pin);
		if (!err)
			err = types__pin(bpf_map__fd(map), maps);
	}
	if (!err)
		bpf_object__for_each_program (prog, stage->object->obj) {
			if (err || bpf_program__fd(prog) < 0)
				continue;
			what = "program";
			name = bpf_program__name(prog);
			err = tree__pin(bpf_program__fd(prog), TREE_ROOTS, "%s/prog/%s", stage->dir,
					name);
		}
	if (err)
		return failed(failure, err == -EACCES || err == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
			      "cannot pin %s %s below %s: %s", what, name, stage->dir,
			      failure__reason(err));
	return shared__pin(&stage->shared, failure);
}

int stage__fill(struct stage *stage, struct failure *failure)
{
	int err, code = sizes__check(stage->object, failure);

	if (code)
		return code;
	turn__prepare(stage->object, stage->keeps ? stage->old.dir : NULL);
	log__reset();
	err = bpf_object__load(stage->object->obj);
	if (err)
		return object__load_failed(stage->object, err, failure);
	code = check_names(stage, failure);
	if (!code)
		code = fill_maps(stage, failure);
	if (code)
		return code;
	err = write_programs(stage);
	if (err)
		return failed(failure, EXIT_MAP, "cannot fill the map 'programs': %s",
			      failure__reason(err));
	err = uprobe__write_targets(stage->object);
	if (err)
		return failed(failure, EXIT_MAP, "cannot fill the map 'targets': %s",
			      failure__reason(err));
	code = pin_all(stage, failure);
	/* Without these XDP programs still go, but each on an interface alone. */
	if (!code)
		xdp__load_extensions(stage->object, stage->dir);
	return code;
}

/* --- changing over ------------------------------------------------------------ */

static int list_programs(struct stage *stage, struct attachable list[OTEL_PROGRAMS_MAX])
{
	struct bpf_program *prog;
	int n = 0;

	bpf_object__for_each_program (prog, stage->object->obj) {
		if (bpf_program__fd(prog) < 0)
			continue;
		hook_of(stage, prog, stage->hooks[n]);
		list[n] = (struct attachable){bpf_program__name(prog), stage->hooks[n],
					      bpf_program__fd(prog)};
		n++;
	}
	return n;
}

static void restore_old(struct stage *stage, struct failure *failure)
{
	struct failure second;
	size_t len = strlen(failure->line);

	links__drop(links__release(stage->dir));
	if (probe__attach(&stage->old, &second))
		snprintf(failure->line + len, sizeof(failure->line) - len,
			 "; and what was loaded could not be attached again: otelbpf resume %s",
			 stage->old.name);
	else
		snprintf(failure->line + len, sizeof(failure->line) - len,
			 "; what was loaded goes on");
}

static int take_place(struct stage *stage, struct failure *failure)
{
	unsigned int how = stage->has_old ? RENAME_EXCHANGE : RENAME_NOREPLACE;
	char dir[PATH_MAX];

	if (!path__format(dir, "%s/%s", stage->args->pin_dir, stage->object->target->probe) &&
	    !renameat2(AT_FDCWD, stage->dir, AT_FDCWD, dir, how))
		return 0;
	return failed(failure, EXIT_MAP, "cannot rename %s to %s: %s", stage->dir, dir,
		      strerror(errno));
}

/* A probe on a file runs for everybody who maps that: who is meant is the filter's matter. */
static int add_target(const struct stage *stage, struct filter *filter, struct failure *failure)
{
	const char *cgroup = stage->object->target_cgroup;
	char text[OTEL_TARGET_MAX + sizeof("cgroup=")];

	if (!cgroup || !cgroup[0])
		return 0;
	snprintf(text, sizeof(text), "cgroup=%.*s", OTEL_TARGET_MAX - 1, cgroup);
	return filter_value__add(filter, stage->object->target->probe, text, failure);
}

/* Other interfaces, or in another way: what is there cannot be given other programs. */
static bool same_interfaces(const struct stage *stage, const struct attachable *list, int n)
{
	for (int i = 0; i < n; i++) {
		bool found = !hook__on_interfaces(list[i].section);

		for (int k = 0; k < stage->old.programs && !found; k++)
			found = !strcmp(stage->old.program[k].name, list[i].name) &&
				!strcmp(stage->old.program[k].section, list[i].section);
		if (!found)
			return false;
	}
	return true;
}

/* What is there is measured by the programs that it was loaded with, or in turn by both versions.
 */
static bool goes_in_turn(const struct stage *stage, const struct filter *filter,
			 const struct attachable *list, int n)
{
	return stage->keeps && same_interfaces(stage, list, n) && filter->turn &&
	       stage->object->turn_attempt && stage->old.meta.state == OTEL_STATE_RUNNING &&
	       links__count(stage->old.dir) > 0;
}

static int write_state(struct stage *stage, struct otel_meta *meta, enum otel_state state,
		       struct failure *failure)
{
	int err = write_meta(stage, state, meta);

	return err ? failed(failure, EXIT_MAP, "cannot write the map 'meta': %s",
			    failure__reason(err))
		   : 0;
}

static void give_back(struct stage *stage)
{
	struct attachable list[OTEL_PROGRAMS_MAX];
	struct failure ignored;
	int n;

	if (!probe__programs(&stage->old, list, &n, &ignored))
		netdev__take_over(stage->dir, stage->old.dir, list, n);
	probe__close_programs(list, n);
}

/* The old programs measure until the new ones do: no event is lost, none counted twice. */
static int hand_over(struct stage *stage, struct filter *filter, struct otel_meta *meta,
		     const struct attachable *list, int n, struct failure *failure)
{
	struct deadline old_deadline = deadline__get(filter);
	int code, err;

	turn__begin(filter, stage->object);
	err = netdev__take_over(stage->old.dir, stage->dir, list, n);
	code = err ? failed(failure, EXIT_ATTACH, "cannot exchange programs on interfaces: %s",
			    failure__reason(err))
		   : links__attach(stage->dir, list, n, failure);
	if (!code) {
		deadline__start(filter, stage->object->duration_ns);
		turn__hand_over(filter);
		code = write_state(stage, meta, OTEL_STATE_RUNNING, failure);
	}
	if (!code)
		code = take_place(stage, failure);
	if (code) {
		turn__hand_back(filter);
		give_back(stage);
		deadline__put(filter, &old_deadline);
	}
	/* Of those that do not measure: now it is the old ones that have this name. */
	links__drop(links__release(stage->dir));
	turn__end(filter);
	return code;
}

/* The old programs are detached, then the new ones attached: between the two nothing is seen. */
static int exchange(struct stage *stage, struct filter *filter, struct otel_meta *meta,
		    const struct attachable *list, int n, struct failure *failure)
{
	bool stays_paused = stage->keeps && stage->old.meta.state == OTEL_STATE_PAUSED;
	struct links *old_links = NULL;
	struct deadline old_deadline;
	struct current current = {};
	int code = 0;

	/* Everything slow comes before the old programs are detached. */
	if (stage->keeps)
		current__find(&current, stage->dir);
	if (stage->has_old) {
		old_links = links__release(stage->old.dir);
		if (!old_links && errno != ENOENT)
			code = failed(failure, EXIT_MAP, "cannot detach what is loaded: %s",
				      strerror(errno));
	}
	links__drop(old_links);
	current__clear(&current);
	current__close(&current);
	old_deadline = deadline__get(filter);
	turn__note(filter, stage->object);
	if (!code && filter->vars) {
		__atomic_add_fetch(&filter->vars->epoch, 1, __ATOMIC_SEQ_CST);
		deadline__start(filter, stage->object->duration_ns);
	}
	if (!code && !stays_paused)
		code = links__attach(stage->dir, list, n, failure);
	/* Attaching takes its time, which is not part of the duration. */
	if (!code && filter->vars)
		deadline__start(filter, stage->object->duration_ns);
	if (!code && !stays_paused && stage->keeps && filter->vars)
		filter_processes__catch_up(filter);
	if (!code)
		code = write_state(stage, meta,
				   stays_paused ? OTEL_STATE_PAUSED : OTEL_STATE_RUNNING, failure);
	if (!code)
		code = take_place(stage, failure);
	if (!code)
		return 0;
	deadline__put(filter, &old_deadline);
	if (stage->has_old && stage->old.meta.state == OTEL_STATE_RUNNING)
		restore_old(stage, failure);
	else
		links__drop(links__release(stage->dir));
	return code;
}

int stage__commit(struct stage *stage, struct failure *failure)
{
	struct attachable list[OTEL_PROGRAMS_MAX];
	int n = list_programs(stage, list);
	struct otel_meta meta = {};
	struct filter filter;
	int code, err;

	err = filter__open(&filter, stage->dir);
	/* What is new has no old start times either: its epoch may stay 0. */
	if (!err || err == -ENOENT || (err == -EPERM && !stage->keeps))
		err = write_meta(stage, OTEL_STATE_LOADING, &meta);
	if (err) {
		filter__close(&filter);
		return failed(failure, EXIT_MAP, "cannot write the maps of %s: %s", stage->dir,
			      failure__reason(err));
	}
	code = links__check_room(stage->has_old ? stage->old.dir : NULL, list, n, failure);
	if (!code && stage->object->duration_ns)
		code = deadline__check(&filter, stage->object->target->probe, failure);
	guard__hold();
	for (int i = 0; i < stage->args->filters && !code; i++)
		code = filter_value__add(&filter, stage->object->target->probe,
					 stage->args->filter[i], failure);
	if (!code)
		code = add_target(stage, &filter, failure);
	if (!code && goes_in_turn(stage, &filter, list, n))
		code = hand_over(stage, &filter, &meta, list, n, failure);
	else if (!code)
		code = exchange(stage, &filter, &meta, list, n, failure);
	filter__close(&filter);
	/* Now it is the old one that has this name. */
	if (!code && stage->has_old)
		tree__remove(stage->dir);
	stage->committed = !code;
	return code;
}

void stage__end(struct stage *stage)
{
	probe__close(&stage->old);
	shared__end(&stage->shared, stage->committed);
	if (stage->lock >= 0)
		close(stage->lock);
	stage->lock = -1;
}
