// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf load: open, set options, load, attach, pin; once for each probe, each in a child. */
#include <bpf/bpf.h>
#include <errno.h>
#include <string.h>

#include "args.h"
#include "choice.h"
#include "cleanup.h"
#include "config_apply.h"
#include "duration.h"
#include "guard.h"
#include "hook.h"
#include "kernel.h"
#include "mapview.h"
#include "netdev.h"
#include "object.h"
#include "options.h"
#include "path.h"
#include "preset.h"
#include "privileges.h"
#include "stage.h"
#include "tree.h"
#include "uprobe.h"

struct job {
	const struct args *args;
	const struct target *target;
};

static const char *key_of(const char *set, const char *probe)
{
	size_t len = strlen(probe);

	return !strncmp(set, probe, len) && set[len] == '.' ? set + len + 1 : NULL;
}

/* Cycles are asked for: the clock will do where there is no counter, but not in silence. */
static const char *choose_event(const struct object *object)
{
	int err = hook__try_cycles();

	if (err != -ENOENT && err != -EOPNOTSUPP && err != -ENODEV)
		return "cycles"; /* what else is wrong is said where hooks are checked */
	inform("%s: this machine has no cycle counter (%s): sampling by the kernel's clock",
	       object->target->probe, failure__reason(err));
	return NULL;
}

static int apply_sets(const struct args *args, struct object *object, struct failure *failure)
{
	struct option_vars options;
	int code = options__of(object, &options, failure);

	if (!code && args->preset)
		code = preset__apply(args->preset, object, &options, failure);
	if (args->duration)
		object->duration_ns = args->duration_ns;
	for (int i = 0; i < args->sets && !code; i++) {
		const char *key = key_of(args->set[i], object->target->probe);
		char name[128];
		size_t len = key ? strcspn(key, "=") : 0;

		if (!key)
			continue;
		if (len >= sizeof(name)) {
			code = failed(failure, EXIT_USAGE, "--set %s: no such option",
				      args->set[i]);
			break;
		}
		memcpy(name, key, len);
		name[len] = '\0';
		code = options__set(object, &options, name, key + len + 1, failure);
		/* What is given wins over the preset. */
		if (!strncmp(object->preset_set, name, len) && object->preset_set[len] == '=')
			object->preset_set[0] = '\0';
	}
	for (int i = 0; i < options.n; i++)
		if (options.var[i].is_frequency)
			object->frequency = option__value(&options.var[i]);
	for (int i = 0; i < options.n; i++)
		if (options.var[i].is_hardware && option__value(&options.var[i]))
			object->event = choose_event(object);
	if (!code)
		code = options__leave_out(object, &options, failure);
	free(options.var);
	return code;
}

static void say_lost(const char *measurement, void *arg)
{
	const struct object *object = arg;

	inform("%s: this kernel has no hook for '%s', which is not measured: see otelbpf check %s",
	       object->target->probe, measurement, object->target->probe);
}

static int check_hooks(struct object *object, struct failure *failure)
{
	struct bpf_program *prog;

	choice__make(object, say_lost, object);
	bpf_object__for_each_program (prog, object->obj) {
		const char *name = bpf_program__section_name(prog);
		char section[OTEL_SECTION_MAX];
		struct failure why;

		object__hook(object, prog, section);
		if (strlen(name) >= OTEL_SECTION_MAX ||
		    strlen(bpf_program__name(prog)) >= OTEL_PROGRAM_NAME_MAX)
			return failed(failure, EXIT_LOAD,
				      "%s: the name or section of program %s is too long",
				      object->target->path, bpf_program__name(prog));
		if (bpf_program__autoload(prog) && hook__available(section, &why))
			return failed(failure, why.code, "%s: program %s: %s", object->target->path,
				      bpf_program__name(prog), why.line);
	}
	return 0;
}

static void report(const struct stage *stage)
{
	const struct object *object = stage->object;
	struct bpf_program *prog;
	struct bpf_map *map;
	int progs = 0, maps = 0;
	bool paused = stage->keeps && stage->old.meta.state == OTEL_STATE_PAUSED;
	const char *before = stage->has_old ? stage->old.meta.version : "";
	char text[DURATION_TEXT];
	__u64 bytes = 0;

	/* Two versions have met here: that is said, and which. */
	if (!strncmp(before, OTELBPF_VERSION, sizeof(stage->old.meta.version)))
		before = "";
	bpf_object__for_each_program (prog, object->obj)
		if (bpf_program__fd(prog) >= 0) {
			progs++;
			bytes += mapview__memory(bpf_program__fd(prog));
		}
	bpf_object__for_each_map (map, object->obj)
		if (object__map_fd(map) >= 0) {
			maps++;
			bytes += mapview__memory(object__map_fd(map));
		}
	if (stage->dropped[0])
		inform("replaced %s: dropped %s", object->target->probe, stage->dropped);
	inform("%s %s%s%.32s%s: %d programs, %d maps, %llu KiB, pinned in %s/%s%s%s%s",
	       stage->keeps ? "upgraded" : "loaded", object->target->probe,
	       before[0] ? " (version " : "", before, before[0] ? " before)" : "", progs, maps,
	       (unsigned long long)bytes / 1024, stage->args->pin_dir, object->target->probe,
	       paused ? " (still paused: otelbpf resume)" : "",
	       object->duration_ns && !paused ? ", stops in " : "",
	       object->duration_ns && !paused ? duration__print(object->duration_ns, text) : "");
	if (stage->args->preset && !object->frequency)
		inform("preset %s changes nothing of %s, which samples at no frequency",
		       stage->args->preset->name, object->target->probe);
}

/* Which interfaces, and how: what the command line alone does not say. */
static void report_interfaces(const struct stage *stage)
{
	char dir[PATH_MAX], section[OTEL_SECTION_MAX], text[1024];
	const struct object *object = stage->object;
	struct bpf_program *prog;

	if (path__format(dir, "%s/%s", stage->args->pin_dir, object->target->probe))
		return;
	bpf_object__for_each_program (prog, object->obj) {
		const char *name = bpf_program__name(prog);

		object__hook(object, prog, section);
		if (!hook__on_interfaces(section) || bpf_program__fd(prog) < 0)
			continue;
		netdev__describe(dir, name, section, text, sizeof(text));
		inform("  %s on %s", name, text);
	}
}

static int load_one(void *arg, struct json_object *result)
{
	const struct job *job = arg;
	struct stage stage = {.lock = -1, .old.lock = -1, .shared.lock = -1};
	struct failure failure = {};
	struct bpf_map *programs;
	struct object object;
	int code;

	(void)result;
	code = object__open(&object, job->target, &failure);
	if (!code)
		code = apply_sets(job->args, &object, &failure);
	if (!code && uprobe__has_programs(&object) && !uprobe__has_target(&object)) {
		/* Without names all probes are meant that need not be told whom to trace. */
		if (!job->args->names) {
			inform("left out %s: it wants --set %s.pid=, %s.cgroup= or %s.binary=",
			       job->target->probe, job->target->probe, job->target->probe,
			       job->target->probe);
			object__close(&object);
			return 0;
		}
		code = failed(&failure, EXIT_USAGE,
			      "%s wants a process, a cgroup or a file: --set %s.pid=, --set "
			      "%s.cgroup= or --set %s.binary=",
			      job->target->probe, job->target->probe, job->target->probe,
			      job->target->probe);
	}
	if (!code)
		code = check_hooks(&object, &failure);
	if (!code) {
		programs = bpf_object__find_map_by_name(object.obj, "programs");
		bpf_map__set_max_entries(programs, object__programs(&object));
		code = stage__begin(&stage, job->args, &object, &failure);
	}
	if (!code)
		code = stage__fill(&stage, &failure);
	privileges__keep(PRIVILEGES_ATTACH);
	if (!code)
		code = stage__commit(&stage, &failure);
	privileges__keep(PRIVILEGES_LOOK);
	if (code)
		fail(code, "%s", failure.line);
	else {
		report(&stage);
		report_interfaces(&stage);
	}
	stage__end(&stage);
	object__close(&object);
	return code;
}

static int check_sets(const struct args *args, const struct target *targets, int n)
{
	for (int i = 0; i < args->sets; i++) {
		const char *set = args->set[i];
		bool found = false;

		if (!strchr(set, '=') || !memchr(set, '.', strcspn(set, "=")))
			return fail(EXIT_USAGE, "--set wants PROBE.KEY=VALUE, not '%s'", set);
		for (int j = 0; j < n && !found; j++)
			found = key_of(set, targets[j].probe);
		if (!found)
			return fail(EXIT_USAGE, "--set %s: probe '%.*s' is not among those to load",
				    set, (int)strcspn(set, "."), set);
	}
	return 0;
}

int load__one(const struct args *args, const struct target *target)
{
	struct job job = {args, target};
	int code = guard__run(load_one, &job, NULL);

	/* Also what it could not remove itself when it was done. */
	tree__clean(args->pin_dir, target->probe);
	if (guard__signal() && code)
		return fail(EXIT_INTERNAL, "interrupted: %s is as it was", target->probe);
	return code < 0 ? guard__explain(code, target->path) : code;
}

static int load_named(const struct args *args)
{
	_cleanup_free_ struct target *targets = NULL;
	struct failure failure;
	int n, code, first = 0;

	code = targets__find(args->name, args->names, &targets, &n);
	if (!code)
		code = check_sets(args, targets, n);
	if (code)
		return code;
	if (kernel__check(&failure))
		return fail(failure.code, "%s", failure.line);
	code = pins__check(args->pin_dir);
	/* One bad probe does not keep the others from being loaded. */
	for (int i = 0; i < n && !code && !guard__signal(); i++) {
		int one = load__one(args, &targets[i]);

		first = first ? first : one;
	}
	return code ? code : first;
}

int cmd_load(const struct args *args)
{
	struct config_plan plan;
	struct failure failure;
	int code;

	/* Who names probes wants these, as they are named. */
	if (args->names && !args->config)
		return load_named(args);
	code = config_plan__read(&plan, args);
	if (!code && !plan.config.root) {
		config_plan__free(&plan);
		return load_named(args);
	}
	if (!code && kernel__check(&failure))
		code = fail(failure.code, "%s", failure.line);
	if (!code)
		code = pins__check(args->pin_dir);
	if (!code)
		code = config_apply(&plan, args, false);
	config_plan__free(&plan);
	return code;
}
