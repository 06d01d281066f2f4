// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "status_view.h"

#include <inttypes.h>
#include <otelbpf/meta.h>
#include <stdio.h>
#include <string.h>

#include "duration.h"
#include "report.h"
#include "table.h"

static void print_programs(struct json_object *report)
{
	bool measured = report__has(json_object_object_get(report, "overhead"), "cpu_percent");
	struct table *table =
		table__new(measured ? "PROGRAM|HOOK|>RUNS/S|>MEAN|>CPU" : "PROGRAM|HOOK");
	struct json_object *item;

	for (size_t i = 0; (item = report__nth(report, "programs", i)); i++) {
		struct json_object *cost = json_object_object_get(item, "measured");
		const char *name = report__get_text(item, "hook");
		const char *cpus = report__get_text(item, "cpus");
		const char *interfaces = report__get_text(item, "interfaces");
		int files = report__get_number(item, "files");
		char hook[OTEL_SECTION_MAX + 2200], in[32] = "";

		if (files)
			snprintf(in, sizeof(in), " in %d file%s", files, files == 1 ? "" : "s");
		else if (report__has(item, "files"))
			snprintf(in, sizeof(in), " in no file");
		snprintf(hook, sizeof(hook), "%s%s%s%s%s%s", name[0] ? name : "(not loaded)",
			 cpus[0] ? " on CPU " : "", cpus, interfaces[0] ? " on " : "", interfaces,
			 in);
		if (cost)
			table__add(table,
				   "%s" TABLE_CELL "%s" TABLE_CELL "%.0f" TABLE_CELL
				   "%.2f µs" TABLE_CELL "%.3f %%",
				   report__get_text(item, "program"), hook,
				   report__get_number(cost, "runs") * 1e9 /
					   report__get_number(cost, "measured_ns"),
				   report__get_real(cost, "mean_us"),
				   report__get_real(cost, "cpu_percent"));
		else
			table__add(table, "%s" TABLE_CELL "%s", report__get_text(item, "program"),
				   hook);
	}
	table__print(table);
}

static void print_overhead(struct json_object *report)
{
	struct json_object *overhead = json_object_object_get(report, "overhead");
	uint64_t ns = report__get_number(overhead, "measured_ns"), runs;
	struct json_object *item;
	char text[DURATION_TEXT];

	if (!report__has(overhead, "cpu_percent")) {
		printf("  overhead: %s\n", report__get_text(overhead, "not_measured"));
		return;
	}
	runs = report__get_number(overhead, "runs");
	printf("  overhead: %.3f %% of one CPU, %.0f runs a second of %.2f µs, measured for %s\n",
	       report__get_real(overhead, "cpu_percent"), runs * 1e9 / ns,
	       report__get_real(overhead, "mean_us"), duration__print(ns, text));
	if (!report__get_bool(report, "statistics"))
		return;
	printf("  since statistics are on:");
	for (size_t i = 0, n = 0; (item = report__nth(report, "programs", i)); i++)
		if (report__get_number(item, "runs"))
			printf("%s %s %" PRIu64 " runs of %" PRIu64 " ns", n++ ? "," : "",
			       report__get_text(item, "program"),
			       (uint64_t)report__get_number(item, "runs"),
			       (uint64_t)report__get_number(item, "mean_ns"));
	printf("\n");
}

/* The kernel counts them whether statistics are enabled or not. */
static void print_misses(struct json_object *report)
{
	struct json_object *item;
	__u64 misses;

	for (size_t i = 0; (item = report__nth(report, "programs", i)); i++) {
		misses = report__get_number(item, "recursion_misses");
		if (misses)
			printf("  not run by the kernel: %s %s%" PRIu64 "%s times\n",
			       report__get_text(item, "program"), table__mood(MOOD_CARE),
			       (uint64_t)misses, table__plain());
	}
}

static void print_maps(struct json_object *report)
{
	struct table *table = table__new("MAP|TYPE|>ENTRIES|>CAPACITY|>MEMORY");
	struct json_object *item;
	char bytes[BYTES_TEXT];

	for (size_t i = 0; (item = report__nth(report, "maps", i)); i++) {
		const char *type = report__get_text(item, "type");

		if (report__has(item, "error"))
			type = report__get_text(item, "error");
		table__add(table,
			   "%s" TABLE_CELL "%s" TABLE_CELL "%s" TABLE_CELL "%" PRIu64 TABLE_CELL
			   "%s",
			   report__get_text(item, "map"), type,
			   report__has(item, "entries") ? report__get_text(item, "entries") : "-",
			   report__get_number(item, "capacity"),
			   table__bytes(report__get_number(item, "memory"), bytes));
	}
	table__print(table);
}

static void print_losses(struct json_object *report)
{
	struct json_object *losses = json_object_object_get(report, "losses");
	int n = 0;

	if (!losses) {
		printf("  (losses: CAP_SYS_ADMIN is needed to find them)\n");
		return;
	}
	printf("  losses:");
	json_object_object_foreach (losses, reason, count) {
		__u64 lost = json_object_get_uint64(count);

		printf("%s %s %s%" PRIu64 "%s", n++ ? "," : "", reason,
		       lost ? table__mood(MOOD_CARE) : "", (uint64_t)lost,
		       lost ? table__plain() : "");
	}
	printf("%s\n", n ? "" : " none are counted");
}

static void print_guard(struct json_object *report)
{
	struct json_object *guard = json_object_object_get(report, "guard");
	double ran = report__get_number(guard, "ran_ns");

	if (ran > 0)
		printf("  guard: tracing took %.1f %% of the CPU time of traced threads",
		       100 * report__get_number(guard, "spent_ns") / ran);
	if (report__get_number(guard, "sample_bytes"))
		printf(", so it samples one in %.0f bytes",
		       (double)report__get_number(guard, "sample_bytes"));
	if (ran > 0)
		printf("%s\n", report__get_bool(guard, "stopped") ? ", so it has stopped" : "");
}

static void print_files(struct json_object *report, const char *name, const char *advice)
{
	struct json_object *list = json_object_object_get(report, name);

	for (size_t i = 0; list && i < json_object_array_length(list); i++)
		printf("  not covered: %s%s%s: %s\n", table__mood(MOOD_CARE),
		       json_object_get_string(json_object_array_get_idx(list, i)), table__plain(),
		       advice);
}

static void describe_end(struct json_object *report, const char *state, char *text, size_t size)
{
	char time[DURATION_TEXT];

	if (!strcmp(state, "stopped"))
		snprintf(text, size, " after %s",
			 duration__print(report__get_number(report, "duration_ns"), time));
	else if (!strcmp(state, "running") && report__has(report, "stops_in_ns"))
		snprintf(text, size, ", stops in %s",
			 duration__print(report__get_number(report, "stops_in_ns"), time));
}

void status__print(struct json_object *report, bool first)
{
	const char *state = report__get_text(report, "state");
	const char *options = report__get_text(report, "options");
	const char *version = report__get_text(report, "version");
	const char *own = strcmp(version, OTELBPF_VERSION) ? " (this is " OTELBPF_VERSION ")" : "";
	char up[DURATION_TEXT], bytes[BYTES_TEXT], end[DURATION_TEXT + 32] = "";
	enum mood mood = MOOD_BAD;

	if (!strcmp(state, "running"))
		mood = MOOD_GOOD;
	else if (!strcmp(state, "paused") || !strcmp(state, "stopped") ||
		 !strcmp(state, "stopped by its guard"))
		mood = MOOD_CARE;
	describe_end(report, state, end, sizeof(end));
	printf("%s%s  %s%s%s%s  up %s since %s  version %s%s  memory %s%s%s\n", first ? "" : "\n",
	       report__get_text(report, "probe"), table__mood(mood), state, table__plain(), end,
	       duration__print(report__get_number(report, "uptime_ns"), up),
	       report__get_text(report, "loaded_at"), version, own,
	       table__bytes(report__get_number(report, "memory"), bytes),
	       options[0] ? "  options " : "", options);
	print_overhead(report);
	print_programs(report);
	print_misses(report);
	print_maps(report);
	print_losses(report);
	print_files(report, "uncovered", "otelbpf watch, or load it again");
	print_files(report, "unknown",
		    "none of the functions has its name in it, nor in what it has mapped");
	print_guard(report);
}
