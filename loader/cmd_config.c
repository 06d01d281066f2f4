// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf config: is it right, and what is in force and where from. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "args.h"
#include "cleanup.h"
#include "config_outputs.h"
#include "config_plan.h"
#include "duration.h"
#include "preset.h"
#include "report.h"
#include "table.h"

static int check(const struct args *args)
{
	struct config_plan plan;
	char bytes[BYTES_TEXT];
	int code = 0, n = 0;

	for (int i = 1; (i < args->names || i == 1) && !code; i++) {
		struct args one = *args;

		if (i < args->names)
			one.config = args->name[i];
		one.names = 0;
		code = config_plan__read(&plan, &one);
		n = plan.config.files;
		if (!code && !plan.config.root)
			inform("there is no configuration in %s", plan.config.where);
		else if (!code)
			inform("%s: %d file%s, %d probe%s, about %s of maps", plan.config.where, n,
			       n == 1 ? "" : "s", plan.probes, plan.probes == 1 ? "" : "s",
			       table__bytes(plan.bytes, bytes));
		config_plan__free(&plan);
	}
	return code;
}

/* --- show -------------------------------------------------------------------- */

static void add(struct json_object *list, const char *key, const char *value, const char *from)
{
	struct json_object *item = report__item(list);

	report__text(item, "key", key);
	report__text(item, "value", value);
	report__text(item, "from", from);
}

static void add_node(struct json_object *list, const char *key, const char *value,
		     const struct config_node *node)
{
	char from[4200];

	snprintf(from, sizeof(from), "%s:%d", node ? node->file : "command line",
		 node ? node->line : 0);
	if (!node)
		from[strlen("command line")] = '\0';
	add(list, key, value, from);
}

/* The last one wins, as when it is loaded. */
static int find_set(const struct config_probe *probe, const char *key)
{
	size_t prefix = strlen(probe->target.probe) + 1, len = strlen(key);

	for (int i = probe->args.sets; i--;)
		if (!strncmp(probe->set[i] + prefix, key, len) &&
		    probe->set[i][prefix + len] == '=')
			return i;
	return -1;
}

static const struct config_node *of_probe(const struct config_plan *plan,
					  const struct config_probe *probe, const char *key)
{
	const struct config_node *own = config__find(probe->node, key);

	return own ? own : config__find(plan->config.root, key);
}

static void add_probe(const struct config_plan *plan, int index, const struct args *args,
		      struct json_object *list)
{
	const struct config_probe *probe = &plan->probe[index];
	struct json_object *report = json_object_array_get_idx(plan->report, index), *item;
	const char *name = probe->target.probe;
	char key[512], text[DURATION_TEXT];

	snprintf(key, sizeof(key), "probes.%s", name);
	add_node(list, key, probe->target.path, probe->node ? probe->node : plan->config.root);
	snprintf(key, sizeof(key), "probes.%s.preset", name);
	if (probe->args.preset)
		add_node(list, key, probe->args.preset->name,
			 args->preset ? NULL : of_probe(plan, probe, "preset"));
	snprintf(key, sizeof(key), "probes.%s.duration", name);
	if (probe->args.duration)
		add_node(list, key, duration__print(probe->args.duration_ns, text),
			 args->duration ? NULL : of_probe(plan, probe, "duration"));
	for (size_t i = 0; (item = report__nth(report, "options", i)); i++) {
		const char *option = report__get_text(item, "key");
		int set = find_set(probe, option);

		snprintf(key, sizeof(key), "probes.%s.options.%s", name, option);
		if (set >= 0)
			add_node(list, key, report__get_text(item, "value"), probe->set_node[set]);
		else
			add(list, key, report__get_text(item, "value"),
			    probe->args.preset && report__get_bool(item, "frequency") ? "preset"
										      : "default");
	}
	for (int i = 0; i < probe->args.sets; i++) {
		const char *set = strchr(probe->set[i], '.') + 1, *value = strchr(set, '=');
		char option[256];

		snprintf(option, sizeof(option), "%.*s", (int)(value - set), set);
		if (!strchr(option, '.') || find_set(probe, option) != i)
			continue;
		snprintf(key, sizeof(key), "probes.%s.options.%s", name, option);
		add_node(list, key, value + 1, probe->set_node[i]);
	}
	for (int i = 0; i < probe->args.filters; i++) {
		const char *value = strchr(probe->filter[i], '=');

		snprintf(key, sizeof(key), "probes.%s.filters.%.*s", name,
			 (int)(value - probe->filter[i]), probe->filter[i]);
		add_node(list, key, value + 1, probe->filter_node[i]);
	}
}

static int add_output(const struct config_node *node, const char *variable, const char *value,
		      void *arg)
{
	const char *there = variable ? getenv(variable) : NULL;
	char key[CONFIG_KEY], from[128];
	struct json_object *list = arg;

	config__key(node, key);
	if (there && there[0]) {
		snprintf(from, sizeof(from), "environment: %s", variable);
		add(list, key, config_outputs__is_secret(node) || strchr(there, '@') ? "…" : there,
		    from);
		return 0;
	}
	add_node(list, key,
		 config_outputs__is_secret(node) ? "…"
		 : node->kind == CONFIG_SCALAR	 ? node->text
						 : value,
		 node);
	return 0;
}

static void print(struct json_object *report)
{
	struct table *table = table__new("KEY|VALUE|FROM");
	struct json_object *item;

	for (size_t i = 0; (item = report__nth(report, "settings", i)); i++)
		table__add(table, "%s" TABLE_CELL "%s" TABLE_CELL "%s",
			   report__get_text(item, "key"), report__get_text(item, "value"),
			   report__get_text(item, "from"));
	table__print(table);
}

static int show(const struct args *args)
{
	_cleanup_json_ struct json_object *report = json_object_new_object();
	struct json_object *files = report__list(report, "files");
	struct json_object *list = report__list(report, "settings");
	char bytes[BYTES_TEXT];
	struct args all = *args;
	struct config_plan plan;
	int code;

	all.names = 0;
	code = config_plan__read(&plan, &all);
	for (int i = 0; i < plan.config.files && !code; i++)
		json_object_array_add(files, json_object_new_string(plan.config.file[i]));
	if (!code && plan.budget)
		add_node(list, "memory_budget", table__bytes(plan.budget, bytes),
			 config__find(plan.config.root, "memory_budget"));
	for (int i = 0; i < plan.probes && !code; i++)
		add_probe(&plan, i, args, list);
	if (!code)
		code = config_outputs__each(&plan.config, add_output, list);
	report__number(report, "map_bytes", plan.bytes);
	if (!code && args->json)
		code = report__print(report);
	else if (!code && !plan.config.root)
		inform("there is no configuration in %s: load takes every installed probe",
		       plan.config.where);
	else if (!code)
		print(report);
	config_plan__free(&plan);
	return code;
}

int cmd_config(const struct args *args)
{
	const char *what = args->names ? args->name[0] : "";

	if (!strcmp(what, "check"))
		return check(args);
	if (!strcmp(what, "show") && args->names == 1)
		return show(args);
	return fail(EXIT_USAGE, "config wants check or show: otelbpf config --help");
}
