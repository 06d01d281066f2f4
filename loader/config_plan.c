// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_plan.h"

#include <otelbpf/meta.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "config_outputs.h"
#include "guard.h"
#include "nearest.h"
#include "options.h"
#include "preset.h"
#include "report.h"
#include "table.h"

static const char *const probe_keys[] = {"enabled", "options",	"filters",
					 "preset",  "duration", NULL};
static const char *const preset_names[] = {"production", "staging", "development", "debug", NULL};

/* --- one probe ---------------------------------------------------------------- */

static int append(char ***list, const struct config_node ***nodes, int *n, char *text,
		  const struct config_node *node)
{
	char **more = reallocarray(*list, *n + 1, sizeof(*more));
	const struct config_node **more_nodes;

	if (more)
		*list = more;
	more_nodes = more ? reallocarray(*nodes, *n + 1, sizeof(*more_nodes)) : NULL;
	if (more_nodes)
		*nodes = more_nodes;
	if (!text || !more || !more_nodes) {
		free(text);
		return fail(EXIT_INTERNAL, "no memory");
	}
	(*list)[*n] = text;
	(*nodes)[(*n)++] = node;
	return 0;
}

static char *join(const char *probe, const char *key, const char *value)
{
	char *text;

	if (asprintf(&text, "%s%s%s=%s", probe, probe[0] ? "." : "", key, value) < 0)
		return NULL;
	return text;
}

/* What is on or off is a number to the program; a quoted word stays a word. */
static const char *number_of(const struct config_node *node)
{
	if (node->plain && !strcmp(node->text, "true"))
		return "1";
	if (node->plain && !strcmp(node->text, "false"))
		return "0";
	return node->text;
}

static int take_options(struct config_probe *probe, const struct config_node *options)
{
	int code = config__expect(options, CONFIG_MAP, "a mapping of options");

	for (const struct config_node *option = config__first(options); option && !code;
	     option = option->next) {
		code = config__expect(option, CONFIG_SCALAR, "a number or a text");
		if (!code && strchr(option->key, '='))
			code = config__wrong(option, "an option has no '=' in its name");
		if (!code)
			code = append(&probe->set, &probe->set_node, &probe->args.sets,
				      join(probe->target.probe, option->key, number_of(option)),
				      option);
	}
	return code;
}

static int take_filters(struct config_probe *probe, const struct config_node *filters)
{
	static const char what[] = "a value, or a list of them";
	int code = config__expect(filters, CONFIG_MAP, "a mapping of kinds, 'comm: nginx'");

	for (const struct config_node *kind = config__first(filters); kind && !code;
	     kind = kind->next) {
		const struct config_node *value = kind;

		if (kind->kind == CONFIG_MAP || kind->null || strchr(kind->key, '='))
			return config__wrong(kind, "%s is expected", what);
		if (kind->kind == CONFIG_LIST) {
			value = kind->child;
			if (!value)
				return config__wrong(kind, "%s is expected, and it is empty", what);
		}
		for (; value && !code; value = kind->kind == CONFIG_LIST ? value->next : NULL) {
			code = config__expect(value, CONFIG_SCALAR, what);
			if (!code)
				code = append(&probe->filter, &probe->filter_node,
					      &probe->args.filters,
					      join("", kind->key, value->text), value);
		}
	}
	return code;
}

static int take_preset(struct args *args, const struct config_node *section)
{
	const struct config_node *preset = config__find(section, "preset");
	const struct config_node *duration = config__find(section, "duration");
	unsigned long long ns;
	int code = preset ? config__expect_word(preset, preset_names) : 0;

	if (preset && !code)
		args->preset = preset__find(preset->text);
	if (!code && duration) {
		code = config__duration(duration, &ns);
		args->duration = true;
		args->duration_ns = ns;
	}
	return code;
}

/* The command line comes last and wins. */
static int take_command_line(struct config_probe *probe, const struct args *args)
{
	size_t len = strlen(probe->target.probe);
	int code = 0;

	for (int i = 0; i < args->sets && !code; i++)
		if (!strncmp(args->set[i], probe->target.probe, len) && args->set[i][len] == '.')
			code = append(&probe->set, &probe->set_node, &probe->args.sets,
				      strdup(args->set[i]), NULL);
	if (args->filters) {
		for (int i = 0; i < probe->args.filters; i++)
			free(probe->filter[i]);
		probe->args.filters = 0;
	}
	for (int i = 0; i < args->filters && !code; i++)
		code = append(&probe->filter, &probe->filter_node, &probe->args.filters,
			      strdup(args->filter[i]), NULL);
	if (args->preset)
		probe->args.preset = args->preset;
	if (args->duration) {
		probe->args.duration = true;
		probe->args.duration_ns = args->duration_ns;
	}
	return code;
}

static int take_probe(struct config_probe *probe, const struct config *config,
		      const struct args *args)
{
	int code;

	probe->args = *args;
	probe->args.set = probe->args.filter = NULL;
	probe->args.sets = probe->args.filters = 0;
	probe->args.preset = NULL;
	probe->args.duration = false;
	code = take_preset(&probe->args, config->root);
	if (!code)
		code = config__expect(probe->node, CONFIG_MAP, "a mapping of settings");
	if (!code)
		code = config__expect_keys(probe->node, probe_keys);
	if (!code)
		code = take_preset(&probe->args, probe->node);
	if (!code)
		code = take_options(probe, config__find(probe->node, "options"));
	if (!code)
		code = take_filters(probe, config__find(probe->node, "filters"));
	if (!code)
		code = take_command_line(probe, args);
	probe->args.set = (const char **)probe->set;
	probe->args.filter = (const char **)probe->filter;
	return code;
}

/* --- which probes -------------------------------------------------------------- */

static const struct target *find_target(const struct target *targets, int n,
					const struct config_node *node, struct nearest *nearest)
{
	nearest__begin(nearest, node->key);
	for (int i = 0; i < n; i++) {
		if (!strcmp(targets[i].probe, node->key))
			return &targets[i];
		nearest__consider(nearest, targets[i].probe);
	}
	return NULL;
}

static int unknown_probe(const struct config_node *node, const struct nearest *nearest,
			 const struct target *targets, int n)
{
	char names[400] = "";
	size_t len = 0;

	if (nearest->best[0])
		return config__wrong(node, "no probe of this name is installed: did you mean '%s'?",
				     nearest->best);
	for (int i = 0; i < n && len < sizeof(names); i++)
		len += snprintf(names + len, sizeof(names) - len, "%s%s", i ? ", " : "",
				targets[i].probe);
	return config__wrong(node, "no probe of this name is installed: there is %s", names);
}

static int is_enabled(const struct config_node *node, bool *enabled)
{
	const struct config_node *value = config__find(node, "enabled");

	*enabled = true;
	return value ? config__bool(value, enabled) : 0;
}

static bool is_wanted(const struct args *args, const char *probe)
{
	for (int i = 0; i < args->names; i++)
		if (!strcmp(args->name[i], probe))
			return true;
	return !args->names;
}

static int check_names(const struct config_plan *plan, const struct args *args)
{
	for (int i = 0; i < args->names; i++) {
		int j = 0;

		while (j < plan->probes && strcmp(plan->probe[j].target.probe, args->name[i]))
			j++;
		if (j == plan->probes)
			return fail(EXIT_USAGE, "probe '%s' is not one of the configuration in %s",
				    args->name[i], plan->config.where);
	}
	for (int i = 0; i < args->sets; i++) {
		const char *set = args->set[i];
		int j = 0;

		if (!strchr(set, '=') || !memchr(set, '.', strcspn(set, "=")))
			return fail(EXIT_USAGE, "--set wants PROBE.KEY=VALUE, not '%s'", set);
		while (j < plan->probes &&
		       (strlen(plan->probe[j].target.probe) != strcspn(set, ".") ||
			strncmp(plan->probe[j].target.probe, set, strcspn(set, "."))))
			j++;
		if (j == plan->probes)
			return fail(EXIT_USAGE, "--set %s: probe '%.*s' is not among those to load",
				    set, (int)strcspn(set, "."), set);
	}
	return 0;
}

static int take_probes(struct config_plan *plan, const struct args *args)
{
	const struct config_node *section = config__find(plan->config.root, "probes");
	_cleanup_free_ struct target *targets = NULL;
	int n = 0, code = targets__find(NULL, 0, &targets, &n);
	struct nearest nearest;
	bool enabled;

	if (!code)
		code = config__expect(section, CONFIG_MAP, "a mapping of probes");
	for (const struct config_node *node = config__first(section); node && !code;
	     node = node->next)
		if (!find_target(targets, n, node, &nearest))
			code = unknown_probe(node, &nearest, targets, n);
	if (code)
		return code;
	plan->probe = calloc(n + 1, sizeof(*plan->probe));
	if (!plan->probe)
		return fail(EXIT_INTERNAL, "no memory");
	/* Without the section it is what there is. */
	for (int i = 0; i < n && !code; i++) {
		struct config_probe *probe = &plan->probe[plan->probes];

		probe->target = targets[i];
		probe->node = config__find(section, targets[i].probe);
		if (section && !probe->node)
			continue;
		plan->probes++;
		code = take_probe(probe, &plan->config, args);
		if (!code)
			code = is_enabled(probe->node, &enabled);
		/* It is checked all the same, and only then left out. */
		if (!code && (!enabled || !is_wanted(args, targets[i].probe))) {
			code = enabled ? 0 : guard__run(config_check__probe, probe, NULL);
			if (code < 0)
				code = guard__explain(code, probe->target.path);
			config_probe__free(probe);
			plan->probes--;
		}
	}
	return code ? code : check_names(plan, args);
}

/* --- memory -------------------------------------------------------------------- */

/* A map that several probes share is there once. */
static bool was_counted(struct json_object *reports, struct json_object *report, const char *map)
{
	for (size_t i = 0; i < json_object_array_length(reports); i++) {
		struct json_object *other = json_object_array_get_idx(reports, i), *item;

		if (other == report)
			return false;
		for (size_t j = 0; (item = report__nth(other, "maps", j)); j++)
			if (report__get_bool(item, "shared") &&
			    !strcmp(report__get_text(item, "map"), map))
				return true;
	}
	return false;
}

static int check_budget(struct config_plan *plan)
{
	const struct config_node *node = config__find(plan->config.root, "memory_budget");
	char sum[512] = "", bytes[BYTES_TEXT], total[BYTES_TEXT], largest_bytes[BYTES_TEXT];
	char largest[PIN_NAME_MAX + OTEL_PROBE_NAME_MAX + 2] = "";
	struct json_object *report, *item;
	__u64 most = 0;
	size_t len = 0;

	for (int i = 0; i < plan->probes; i++) {
		struct config_probe *probe = &plan->probe[i];

		report = json_object_array_get_idx(plan->report, i);
		for (size_t j = 0; (item = report__nth(report, "maps", j)); j++) {
			const char *map = report__get_text(item, "map");
			__u64 size = report__get_number(item, "bytes");

			if (report__get_bool(item, "shared") &&
			    was_counted(plan->report, report, map))
				continue;
			probe->bytes += size;
			if (size <= most || !report__get_bool(item, "sizable"))
				continue;
			most = size;
			snprintf(largest, sizeof(largest), "%s.%s", probe->target.probe, map);
		}
		plan->bytes += probe->bytes;
		if (len < sizeof(sum))
			len += snprintf(sum + len, sizeof(sum) - len, "%s%s %s", i ? " + " : "",
					probe->target.probe, table__bytes(probe->bytes, bytes));
	}
	if (!node || plan->bytes <= plan->budget)
		return 0;
	return config__wrong(node,
			     "the maps take about %s, more than the budget of %s: %s; the largest "
			     "is %s with %s, '%s.max_entries' makes it smaller",
			     table__bytes(plan->bytes, total), table__bytes(plan->budget, bytes),
			     sum, largest, table__bytes(most, largest_bytes),
			     strchr(largest, '.') ? strchr(largest, '.') + 1 : largest);
}

/* --- all of it ----------------------------------------------------------------- */

int config_plan__read(struct config_plan *plan, const struct args *args)
{
	const struct config_node *node;
	int code;

	*plan = (struct config_plan){.report = json_object_new_array()};
	code = config__read(&plan->config, args->config);
	if (code || !plan->config.root)
		return code;
	node = config__find(plan->config.root, "memory_budget");
	if (node)
		code = config__bytes(node, &plan->budget);
	if (!code)
		code = config_outputs__each(&plan->config, NULL, NULL);
	if (!code)
		code = take_probes(plan, args);
	for (int i = 0; i < plan->probes && !code; i++) {
		struct json_object *report;

		code = guard__run(config_check__probe, &plan->probe[i], &report);
		if (code < 0)
			code = guard__explain(code, plan->probe[i].target.path);
		json_object_array_add(plan->report, report);
	}
	return code ? code : check_budget(plan);
}

void config_probe__free(struct config_probe *probe)
{
	for (int i = 0; i < probe->args.sets && probe->set; i++)
		free(probe->set[i]);
	for (int i = 0; i < probe->args.filters && probe->filter; i++)
		free(probe->filter[i]);
	free(probe->set);
	free(probe->filter);
	free(probe->set_node);
	free(probe->filter_node);
	*probe = (struct config_probe){};
}

void config_plan__free(struct config_plan *plan)
{
	for (int i = 0; i < plan->probes; i++)
		config_probe__free(&plan->probe[i]);
	free(plan->probe);
	json_object_put(plan->report);
	config__free(&plan->config);
}
