// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* One probe of the configuration against what its object declares, in a child. */
#include <bpf/btf.h>
#include <stdio.h>
#include <string.h>

#include "config_plan.h"
#include "decoder.h"
#include "filter_value.h"
#include "nearest.h"
#include "options.h"
#include "preset.h"
#include "report.h"
#include "sizes.h"
#include "tagged.h"

/* The line of an option names the probe and the key. */
static int wrong(const struct config_node *node, const struct failure *failure)
{
	if (!node)
		return fail(failure->code, "%s", failure->line);
	return fail(EXIT_CONFIG, "%s:%d: %s", node->file, node->line, failure->line);
}

static int check_options(const struct config_probe *probe, struct object *object,
			 struct option_vars *options)
{
	size_t prefix = strlen(probe->target.probe) + 1;
	struct failure failure;
	int code = 0;

	for (int i = 0; i < probe->args.sets && !code; i++) {
		const char *set = probe->set[i] + prefix;
		char key[128];

		snprintf(key, sizeof(key), "%.*s", (int)strcspn(set, "="), set);
		if (options__set(object, options, key, set + strcspn(set, "=") + 1, &failure))
			code = wrong(probe->set_node[i], &failure);
	}
	return code;
}

/* A filter's set as the object declares it, found by its tag as in a loaded probe. */
static bool find_set(const struct object *object, const char *kind, struct filter_set *set,
		     struct nearest *nearest)
{
	const struct btf *btf = bpf_object__btf(object->obj);
	const char *arg;

	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		const struct tag *tag =
			btf_is_var(type) ? tagged__find(object->tagged, id, -1, "set") : NULL;
		long long size = tag ? btf__resolve_size(btf, id) : 0;

		if (!tag || tag->args != 1 || size <= 0)
			continue;
		nearest__consider(nearest, tag->arg[0]);
		if (strcmp(tag->arg[0], kind))
			continue;
		*set = (struct filter_set){.kind = tag->arg[0], .bits = size * 8};
		set->decoder = decoder__find(tag->arg[0], &arg);
		return set->decoder;
	}
	return false;
}

static int check_filter(const struct config_probe *probe, const struct object *object,
			const char *text, const struct config_node *node)
{
	bool entries = bpf_object__find_map_by_name(object->obj, "filters");
	const char *value = text + strcspn(text, "=") + 1;
	const struct filter_kind *common;
	struct otel_filter_key key = {};
	struct nearest nearest;
	struct failure failure;
	struct filter_set set;
	char kind[64];
	__u32 bits[64];

	snprintf(kind, sizeof(kind), "%.*s", (int)strcspn(text, "="), text);
	nearest__begin(&nearest, kind);
	for (int i = 0; entries && (common = filter_kind__nth(i)); i++)
		nearest__consider(&nearest, common->name);
	common = filter_kind__find(kind);
	if (common && entries) {
		key.kind = common->kind;
		return common->parse(value, &key, &failure)
			       ? config__wrong(node, "%s", failure.line)
			       : 0;
	}
	if (find_set(object, kind, &set, &nearest))
		return filter_value__bits(&set, value, bits, 64, &failure)
			       ? 0
			       : config__wrong(node, "%s", failure.line);
	if (nearest.best[0])
		return config__wrong(node,
				     "probe '%s' has no filter of kind '%s': did you mean '%s'?",
				     probe->target.probe, kind, nearest.best);
	return config__wrong(node, "probe '%s' has no filter of kind '%s'%s", probe->target.probe,
			     kind, entries ? ": it has cgroup, pid, comm, uid" : "");
}

static void add_maps(const struct object *object, struct json_object *list)
{
	const struct btf *btf = bpf_object__btf(object->obj);
	const struct bpf_map *map;

	bpf_object__for_each_map (map, object->obj) {
		__u32 var = tagged__variable(btf, bpf_map__name(map));
		struct json_object *item = report__item(list);

		report__text(item, "map", bpf_map__name(map));
		/* What an option of 0 leaves out (OTEL_WHEN) takes nothing. */
		report__number(item, "bytes", bpf_map__autocreate(map) ? sizes__of_map(map) : 0);
		report__bool(item, "sizable", options__sizable(map));
		report__bool(item, "shared",
			     var && tagged__find(object->tagged, var, -1, "shared"));
	}
}

static void add_options(const struct config_probe *probe, const struct option_vars *options,
			struct json_object *list)
{
	(void)probe;
	for (int i = 0; i < options->n; i++) {
		const struct option_var *option = &options->var[i];
		struct json_object *item = report__item(list);
		char text[OPTION_TEXT];

		report__text(item, "key", option->name);
		report__bool(item, "frequency", option->is_frequency);
		report__text(item, "value",
			     option->is_text ? option->at
					     : option__print(option__value(option), text));
	}
}

int config_check__probe(void *arg, struct json_object *result)
{
	const struct config_probe *probe = arg;
	struct option_vars options = {};
	struct failure failure;
	struct object object;
	int code;

	code = object__open(&object, &probe->target, &failure);
	if (!code)
		code = options__of(&object, &options, &failure);
	if (!code && probe->args.preset)
		code = preset__apply(probe->args.preset, &object, &options, &failure);
	if (code)
		code = wrong(NULL, &failure);
	if (!code)
		code = check_options(probe, &object, &options);
	if (!code && options__leave_out(&object, &options, &failure))
		code = wrong(NULL, &failure);
	for (int i = 0; i < probe->args.filters && !code; i++)
		if (probe->filter_node[i])
			code = check_filter(probe, &object, probe->filter[i],
					    probe->filter_node[i]);
	if (!code) {
		report__text(result, "probe", probe->target.probe);
		add_maps(&object, report__list(result, "maps"));
		add_options(probe, &options, report__list(result, "options"));
	}
	free(options.var);
	object__close(&object);
	return code;
}
