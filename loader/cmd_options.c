// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf options: what --set can change, as the objects say it. */
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "cleanup.h"
#include "fail.h"
#include "guard.h"
#include "mapview.h"
#include "object.h"
#include "options.h"
#include "report.h"
#include "table.h"

static void add_number(struct json_object *to, const char *key, option_number number)
{
	if (number < 0)
		json_object_object_add(to, key, json_object_new_int64(number));
	else
		report__number(to, key, number);
}

static int describe(void *arg, struct json_object *result)
{
	const struct target *target = arg;
	struct json_object *list, *item;
	struct option_vars options = {};
	const struct bpf_map *map;
	struct failure failure;
	struct object object;
	char key[128];
	int code;

	code = object__open(&object, target, &failure);
	if (!code)
		code = options__of(&object, &options, &failure);
	if (code) {
		fail(code, "%s", failure.line);
		goto cleanup;
	}
	report__text(result, "probe", target->probe);
	report__text(result, "object", target->path);
	list = report__list(result, "options");
	for (int i = 0; i < options.n; i++) {
		const struct option_var *option = &options.var[i];

		item = report__item(list);
		report__text(item, "key", option->name);
		add_number(item, "min", option->min);
		add_number(item, "max", option->max);
		report__text(item, "unit", option->unit);
		if (option->is_text)
			report__text(item, "default", option->at);
		else
			add_number(item, "default", option__value(option));
		report__text(item, "help", option->help);
	}
	list = report__list(result, "sizes");
	bpf_object__for_each_map (map, object.obj) {
		if (!options__sizable(map))
			continue;
		item = report__item(list);
		snprintf(key, sizeof(key), "%s.max_entries", bpf_map__name(map));
		report__text(item, "key", key);
		report__number(item, "default", bpf_map__max_entries(map));
		report__text(item, "type", mapview__type_name(bpf_map__type(map)));
	}
cleanup:
	free(options.var);
	object__close(&object);
	return code;
}

static void print_one(struct json_object *report)
{
	const char *probe = report__get_text(report, "probe");
	struct table *table = table__new("OPTION|RANGE|UNIT|>DEFAULT|HELP");
	struct json_object *item;

	printf("%s  %s\n", probe, report__get_text(report, "object"));
	for (size_t i = 0; (item = report__nth(report, "options", i)); i++)
		table__add(table,
			   "%s.%s" TABLE_CELL "%s..%s" TABLE_CELL "%s" TABLE_CELL "%s" TABLE_CELL
			   "%s",
			   probe, report__get_text(item, "key"), report__get_text(item, "min"),
			   report__get_text(item, "max"), report__get_text(item, "unit"),
			   report__get_text(item, "default"), report__get_text(item, "help"));
	table__print(table);
	table = table__new("SIZE|>DEFAULT|KIND OF MAP");
	for (size_t i = 0; (item = report__nth(report, "sizes", i)); i++)
		table__add(table, "%s.%s" TABLE_CELL "%s" TABLE_CELL "%s", probe,
			   report__get_text(item, "key"), report__get_text(item, "default"),
			   report__get_text(item, "type"));
	table__print(table);
}

int cmd_options(const struct args *args)
{
	_cleanup_json_ struct json_object *report = json_object_new_object();
	struct json_object *probes = report__list(report, "probes");
	_cleanup_free_ struct target *targets = NULL;
	int n, first = 0, code = targets__find(args->name, args->names, &targets, &n);

	if (code)
		return code;
	for (int i = 0; i < n && !guard__signal(); i++) {
		struct json_object *one;

		code = guard__run(describe, &targets[i], &one);
		if (code < 0)
			code = guard__explain(code, targets[i].path);
		first = first ? first : code;
		if (code) {
			json_object_put(one);
			continue;
		}
		json_object_array_add(probes, one);
		if (!args->json)
			print_one(one);
	}
	if (args->json)
		report__print(report);
	return first;
}
