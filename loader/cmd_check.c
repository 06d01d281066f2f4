// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf check: what this kernel offers each probe. Nothing is attached or pinned. */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "choice.h"
#include "cleanup.h"
#include "fail.h"
#include "guard.h"
#include "hook.h"
#include "kernel.h"
#include "log.h"
#include "object.h"
#include "options.h"
#include "report.h"
#include "sizes.h"
#include "table.h"
#include "tc.h"
#include "xdp.h"

struct trial {
	const struct target *target;
	bool can_load;
	int extensions; /* what xdp__load_extensions() said */
};

static struct bpf_program *nth_program(const struct object *object, int n)
{
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, object->obj)
		if (!n--)
			return prog;
	return NULL;
}

/* Load an object with one program, or all if @only is negative. */
static int try_load(const struct target *target, int only, int *extensions, struct failure *failure)
{
	struct bpf_program *prog;
	struct object object;
	int code = object__open(&object, target, failure), i = 0, err;

	if (!code)
		code = sizes__check(&object, failure);
	if (!code) {
		bpf_object__for_each_program (prog, object.obj)
			if (only >= 0)
				bpf_program__set_autoload(prog, i++ == only);
		if (only < 0)
			choice__make(&object, NULL, NULL);
		log__reset();
		err = bpf_object__load(object.obj);
		if (err)
			code = object__load_failed(&object, err, failure);
		else if (extensions)
			*extensions = xdp__load_extensions(&object, NULL);
	}
	object__close(&object);
	return code;
}

/* By which of several ways it would be attached. */
static void add_way(const struct trial *trial, const char *section, struct json_object *item)
{
	char text[256] = "";

	if (!hook__on_interfaces(section))
		return;
	if (!strncmp(section, "tc/", 3))
		snprintf(text, sizeof(text), "by %s", tc__has_tcx() ? "tcx" : "a clsact filter");
	else if (trial->extensions > 0)
		snprintf(text, sizeof(text), "in libxdp's dispatcher");
	else
		snprintf(text, sizeof(text), "alone on its interface, without a dispatcher: %s",
			 failure__reason(trial->extensions));
	report__text(item, "way", text);
}

/* One program: its hook, and then whether the verifier takes it, all others left out. */
static int check_program(const struct trial *trial, const struct object *object, int n,
			 bool all_load, struct json_object *item)
{
	struct bpf_program *prog = nth_program(object, n);
	bool chosen = bpf_program__autoload(prog); /* or its section has a '?' */
	int rank;
	const char *measurement = choice__of(object, prog, &rank);
	const char *option = choice__option(object, prog);
	bool optional = !chosen;
	struct failure failure = {};
	char section[OTEL_SECTION_MAX];
	int code;

	object__hook(object, prog, section);
	code = hook__available(section, &failure);

	if (!code && !all_load && trial->can_load)
		code = try_load(trial->target, n, NULL, &failure);
	if (measurement)
		report__text(item, "measurement", measurement);
	if (option)
		report__text(item, "option", option);
	report__bool(item, "chosen", chosen);
	report__text(item, "program", bpf_program__name(prog));
	report__text(item, "hook", section);
	report__bool(item, "optional", optional);
	report__bool(item, "ok", !code);
	report__bool(item, "tried", trial->can_load);
	report__text(item, "why", code ? failure.line : NULL);
	if (!code && all_load)
		add_way(trial, section, item);
	return optional ? 0 : code;
}

static void note_lost(const char *measurement, void *arg)
{
	report__text(report__item(arg), "measurement", measurement);
}

static int check_one(void *arg, struct json_object *result)
{
	struct trial *trial = arg;
	struct failure failure = {};
	struct option_vars options = {};
	struct json_object *list;
	struct object object;
	int code, first = 0, n;
	bool all_load;

	report__text(result, "probe", trial->target->probe);
	report__text(result, "object", trial->target->path);
	code = object__open(&object, trial->target, &failure);
	if (!code)
		code = options__of(&object, &options, &failure);
	free(options.var);
	if (code) {
		report__text(result, "error", failure.line);
		object__close(&object);
		return code;
	}
	/* One trial of the whole is enough if it goes well. */
	all_load = trial->can_load && !try_load(trial->target, -1, &trial->extensions, &failure);
	list = report__list(result, "programs");
	n = object__programs(&object);
	choice__make(&object, note_lost, report__list(result, "lost"));
	for (int i = 0; i < n; i++) {
		code = check_program(trial, &object, i, all_load, report__item(list));
		first = first ? first : code;
	}
	/* Each by itself but not all together, as when memory is short. */
	if (!first && trial->can_load && !all_load) {
		report__text(result, "error", failure.line);
		first = failure.code;
	}
	object__close(&object);
	return first;
}

static int check_needs(struct json_object *list)
{
	const struct need *need;
	int first = 0;

	for (int i = 0; (need = kernel__need(i)); i++) {
		char found[NEED_TEXT] = "", advice[NEED_TEXT] = "";
		struct json_object *item = report__item(list);
		int code = need->check(found, advice);

		report__text(item, "need", need->name);
		report__bool(item, "required", need->required);
		report__bool(item, "ok", !code);
		report__text(item, "found", found);
		report__text(item, "advice", code ? advice : NULL);
		if (need->required && !first)
			first = code;
	}
	return first;
}

static void print_verdict(bool ok, bool matters)
{
	const char *word = ok ? "ok" : "no";
	enum mood mood = ok ? MOOD_GOOD : MOOD_BAD;

	if (!ok && !matters) {
		word = "-";
		mood = MOOD_CARE;
	}
	printf("  %s%-4s%s", table__mood(mood), word, table__plain());
}

static void print_needs(struct json_object *report)
{
	struct json_object *item;

	printf("this machine\n");
	for (size_t i = 0; (item = report__nth(report, "needs", i)); i++) {
		print_verdict(report__get_bool(item, "ok"), report__get_bool(item, "required"));
		printf(" %-11s %s%s%s\n", report__get_text(item, "need"),
		       report__get_text(item, "found"), report__get_bool(item, "ok") ? "" : ": ",
		       report__get_text(item, "advice"));
	}
}

static void print_one(struct json_object *probe)
{
	struct json_object *item;

	printf("\n%s  %s\n", report__get_text(probe, "probe"), report__get_text(probe, "object"));
	for (size_t i = 0; (item = report__nth(probe, "programs", i)); i++) {
		const char *why = report__get_text(item, "why");
		char waits[256];

		snprintf(waits, sizeof(waits), "on request: --set %s.%s=1",
			 report__get_text(probe, "probe"), report__get_text(item, "option"));
		if (report__has(item, "measurement") && report__get_bool(item, "ok"))
			why = report__get_bool(item, "chosen") ? "chosen"
							       : "not needed: another is chosen";
		else if (report__has(item, "option") && report__get_bool(item, "ok"))
			why = waits;
		else if (report__get_bool(item, "ok") && !report__get_bool(item, "tried"))
			why = "the hook is there; not tried to load";
		else if (report__has(item, "way"))
			why = report__get_text(item, "way");
		print_verdict(report__get_bool(item, "ok"), !report__get_bool(item, "optional"));
		printf(" %-20s %-30s%s%s\n", report__get_text(item, "program"),
		       report__get_text(item, "hook"), why[0] ? " " : "", why);
	}
	for (size_t i = 0; (item = report__nth(probe, "lost", i)); i++) {
		print_verdict(false, false);
		printf(" %-20s not measured: this kernel has no hook for it\n",
		       report__get_text(item, "measurement"));
	}
	if (report__has(probe, "error")) {
		print_verdict(false, true);
		printf(" %s\n", report__get_text(probe, "error"));
	}
}

int cmd_check(const struct args *args)
{
	_cleanup_json_ struct json_object *report = json_object_new_object();
	struct json_object *needs = report__list(report, "needs");
	struct json_object *probes = report__list(report, "probes");
	_cleanup_free_ struct target *targets = NULL;
	int n, first, code = targets__find(args->name, args->names, &targets, &n);

	if (code)
		return code;
	first = check_needs(needs);
	if (!args->json)
		print_needs(report);
	for (int i = 0; i < n && !guard__signal(); i++) {
		struct trial trial = {&targets[i], first != EXIT_PERMISSION, 0};
		struct json_object *one;

		code = guard__run(check_one, &trial, &one);
		if (code < 0 || !one) {
			json_object_put(one);
			one = json_object_new_object();
			report__text(one, "probe", targets[i].probe);
			report__text(one, "object", targets[i].path);
			report__text(one, "error", "corrupt: it crashes the BPF library");
			code = EXIT_LOAD;
		}
		report__bool(one, "ok", !code);
		json_object_array_add(probes, one);
		if (!args->json)
			print_one(one);
		/* A program that this kernel cannot have is a matter of the kernel. */
		if (code == EXIT_ATTACH)
			code = EXIT_KERNEL;
		first = first ? first : code;
	}
	report__bool(report, "ok", !first);
	if (args->json)
		report__print(report);
	return first;
}
