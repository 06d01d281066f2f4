// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is shipped beside the programs: the Grafana dashboard asks for metrics that there are, by
 * the names that Prometheus gives them; examples are what they look like; the shell's completion
 * knows what the programs do.
 */
#include <ctype.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"

#define NAMES_MAX 256
#define NAME_MAX_LEN 128

/* What Prometheus makes of a unit: the words that the page's units need. */
static const struct {
	const char *unit, *suffix;
} units[] = {{"s", "_seconds"}, {"By", "_bytes"}, {"1", "_ratio"}};

static char names[NAMES_MAX][NAME_MAX_LEN];
static int n_names;

static void cell(const char *row, int column, char *text, size_t size)
{
	size_t len;

	for (; column && row; column--) {
		row = strchr(row, '|');
		row = row ? row + 1 : NULL;
	}
	row = row ? row + strspn(row, " `") : "";
	len = strcspn(row, "`|\n");
	snprintf(text, size, "%.*s", (int)(len < size ? len : size - 1), row);
}

/* A row of docs/telemetry.md: | `name` | type | `unit` | … */
static void add_metric(const char *row)
{
	char name[100], type[100], unit[100], *to;

	cell(row, 1, name, sizeof(name));
	cell(row, 2, type, sizeof(type));
	cell(row, 3, unit, sizeof(unit));
	if (strncmp(type, "sum", 3) && strncmp(type, "gauge", 5) && !strstr(type, "histogram"))
		return;
	ASSERT_LT(n_names, NAMES_MAX);
	to = names[n_names++];
	for (const char *at = name; *at; at++)
		*to++ = isalnum((unsigned char)*at) ? *at : '_';
	*to = '\0';
	/* {call} is an annotation, no unit. */
	for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(unit, units[i].unit))
			strcat(names[n_names - 1], units[i].suffix);
	if (!strncmp(type, "sum, monotonic", 14))
		strcat(names[n_names - 1], "_total");
}

static void read_metrics(void)
{
	FILE *file = fopen(SELFTESTS_DIR "/../docs/telemetry.md", "re");
	char line[4096];

	ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file))
		if (!strncmp(line, "| `", 3))
			add_metric(line);
	fclose(file);
	EXPECT_GT(n_names, 30);
}

static bool is_metric(const char *name, size_t len)
{
	for (int i = 0; i < n_names; i++)
		if (strlen(names[i]) == len && !strncmp(names[i], name, len))
			return true;
	return false;
}

/* Each name before a '{' is a metric's. Returns how many there were. */
static int check_query(const char *query)
{
	int n = 0;

	for (const char *brace = query; (brace = strchr(brace, '{')); brace++) {
		const char *from = brace;

		if (brace[1] == '{' || (brace > query && brace[-1] == '{'))
			continue;
		while (from > query && (isalnum((unsigned char)from[-1]) || from[-1] == '_'))
			from--;
		n++;
		if (!EXPECT_TRUE(is_metric(from, brace - from)))
			printf("%.*s in %s\n", (int)(brace - from), from, query);
	}
	if (!EXPECT_GT(n, 0))
		printf("%s\n", query);
	return n;
}

static const char *text(struct json_object *object, const char *key)
{
	const char *found = json_object_get_string(json_object_object_get(object, key));

	return found ? found : "";
}

TEST(each_query_has_a_metric)
{
	struct json_object *root =
		json_object_from_file(SELFTESTS_DIR "/../docs/grafana/otelbpf.json");
	struct json_object *panels, *targets, *list;
	int queries = 0, rows = 0;

	ASSERT_TRUE(root);
	read_metrics();
	panels = json_object_object_get(root, "panels");
	for (size_t i = 0; i < json_object_array_length(panels); i++) {
		struct json_object *panel = json_object_array_get_idx(panels, i);

		for (size_t j = 0; j < i; j++)
			EXPECT_NE(json_object_get_int(json_object_object_get(panel, "id")),
				  json_object_get_int(json_object_object_get(
					  json_object_array_get_idx(panels, j), "id")));
		EXPECT_TRUE(text(panel, "title")[0]);
		rows += !strcmp(text(panel, "type"), "row");
		targets = json_object_object_get(panel, "targets");
		for (size_t j = 0; targets && j < json_object_array_length(targets); j++)
			queries += check_query(text(json_object_array_get_idx(targets, j), "expr"));
	}
	list = json_object_object_get(json_object_object_get(root, "templating"), "list");
	check_query(
		text(json_object_object_get(json_object_array_get_idx(list, 1), "query"), "query"));
	EXPECT_EQ(rows, 4);
	EXPECT_GT(queries, 20);
	json_object_put(root);
}

/* As much as can be had of the examples without their service managers: a shell takes them. */
TEST(examples_are_shell)
{
	static const char *const examples[] = {"openrc-otelbpf", "openrc-otelbpf-exporter",
					       "runit-run", "rc.local", "otelbpf.default"};

	for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
		char command[256];

		snprintf(command, sizeof(command), "sh -n '%s/../packaging/examples/%s'",
			 SELFTESTS_DIR, examples[i]);
		EXPECT_EQ(system(command), 0);
	}
}

TEST(versions_have_the_commit)
{
	EXPECT_EQ(system(BUILD_DIR "/otelbpf --version | grep -qE '^otelbpf [0-9.]+ [0-9a-f]{7,}, "
				   "libbpf [0-9.]+$'"),
		  0);
	EXPECT_EQ(system(BUILD_DIR "/otelbpf-exporter --version | grep -qE '^otelbpf-exporter "
				   "[0-9.]+ [0-9a-f]{7,}$'"),
		  0);
}

/* What bash offers for a word that begins with nothing is what --help lists. */
TEST(completion_has_every_command)
{
	static const char script[] =
		"PATH=%s:$PATH; . %s/../packaging/bash-completion && COMP_WORDS=(otelbpf '') "
		"COMP_CWORD=1 && "
		"_otelbpf otelbpf && [ ${#COMPREPLY[@]} -ge 11 ] && "
		"diff <(printf '%%s\\n' \"${COMPREPLY[@]}\" | sort) "
		"<(otelbpf --help | sed -nE '/^  [a-z]/s/^  ([a-z]+).*/\\1/p' | sort) && "
		"COMP_WORDS=(otelbpf watch --) COMP_CWORD=2 && _otelbpf otelbpf && "
		"[[ \" ${COMPREPLY[*]} \" = *' --pin-dir '* ]]";
	char command[2048];

	if (system("command -v bash >/dev/null"))
		SKIP("no bash");
	snprintf(command, sizeof(command), script, BUILD_DIR, SELFTESTS_DIR);
	setenv("SCRIPT", command, 1);
	EXPECT_EQ(system("bash -c \"$SCRIPT\""), 0);
}

TEST_MAIN()
