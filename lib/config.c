// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config.h"

#include <errno.h>
#include <glob.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "config_safe.h"
#include "config_yaml.h"
#include "duration.h"
#include "nearest.h"

#define FILES_MAX 256

const char *const config_sections[] = {"preset", "duration", "memory_budget",
				       "probes", "outputs",  NULL};

/* --- files ------------------------------------------------------------------ */

int config__add(struct config *config, const char *name, const char *text, size_t size)
{
	char **more = reallocarray(config->file, config->files + 1, sizeof(*more));
	struct config_node *root;
	int code;

	if (!more)
		return fail(EXIT_INTERNAL, "no memory");
	config->file = more;
	more[config->files] = strdup(name);
	if (!more[config->files])
		return fail(EXIT_INTERNAL, "no memory");
	code = config_yaml__read(more[config->files++], text, size, &root);
	if (!code && config->root) {
		config_yaml__merge(config->root, root);
	} else if (!code) {
		config->root = root;
		root = NULL;
	}
	config_yaml__free(root);
	return code;
}

static int read_file(struct config *config, const char *path)
{
	size_t size;
	char *text;
	int code = config_safe__read(path, &text, &size);

	if (!code)
		code = config__add(config, path, text, size);
	free(text);
	return code;
}

static int read_dropins(struct config *config, const char *dir)
{
	char path[PATH_MAX];
	glob_t files = {};
	struct stat st;
	int code, n;

	n = snprintf(path, sizeof(path), "%s/" CONFIG_DROPINS, dir);
	if (n >= (int)sizeof(path) || lstat(path, &st))
		return 0;
	code = config_safe__check_way(path);
	if (code)
		return code;
	n = snprintf(path, sizeof(path), "%s/" CONFIG_DROPINS "/*.yaml", dir);
	n = n < (int)sizeof(path) ? glob(path, 0, NULL, &files) : GLOB_NOSPACE;
	if (n && n != GLOB_NOMATCH)
		code = fail(EXIT_CONFIG, "cannot read %s/" CONFIG_DROPINS, dir);
	if (!code && files.gl_pathc > FILES_MAX)
		code = fail(EXIT_CONFIG, "%s/" CONFIG_DROPINS " has more than %d files", dir,
			    FILES_MAX);
	for (size_t i = 0; !code && i < files.gl_pathc; i++)
		code = read_file(config, files.gl_pathv[i]);
	globfree(&files);
	return code;
}

static int read_dir(struct config *config, const char *dir)
{
	char path[PATH_MAX];
	struct stat st;
	int code = config_safe__check_way(dir);

	if (!code && snprintf(path, sizeof(path), "%s/" CONFIG_FILE, dir) >= (int)sizeof(path))
		code = fail(EXIT_CONFIG, "%s: the path is too long", dir);
	if (!code && !lstat(path, &st))
		code = read_file(config, path);
	return code ? code : read_dropins(config, dir);
}

int config__read(struct config *config, const char *path)
{
	const char *environment = getenv(CONFIG_ENVIRONMENT);
	bool given = true;
	struct stat st;
	int code;

	*config = (struct config){};
	if (!path && environment && environment[0]) {
		path = environment;
	} else if (!path) {
		path = OTELBPF_CONFIG_DIR;
		given = false;
	}
	config->where = strdup(path);
	if (!config->where)
		return fail(EXIT_INTERNAL, "no memory");
	if (stat(path, &st)) {
		if (!given && errno == ENOENT)
			return 0;
		return fail(errno == EACCES ? EXIT_PERMISSION : EXIT_CONFIG,
			    "cannot open the configuration %s: %s", path, strerror(errno));
	}
	code = S_ISDIR(st.st_mode) ? read_dir(config, path) : read_file(config, path);
	return code ? code : config__expect_keys(config->root, config_sections);
}

void config__free(struct config *config)
{
	config_yaml__free(config->root);
	for (int i = 0; i < config->files; i++)
		free(config->file[i]);
	free(config->file);
	free(config->where);
	*config = (struct config){};
}

/* --- values ----------------------------------------------------------------- */

const struct config_node *config__first(const struct config_node *node)
{
	return node ? node->child : NULL;
}

const struct config_node *config__find(const struct config_node *map, const char *key)
{
	if (!map || map->kind != CONFIG_MAP)
		return NULL;
	for (const struct config_node *child = map->child; child; child = child->next)
		if (!strcmp(child->key, key))
			return child;
	return NULL;
}

const char *config__key(const struct config_node *node, char text[CONFIG_KEY])
{
	char before[CONFIG_KEY];
	int index = 1;

	text[0] = '\0';
	if (!node || !node->parent)
		return text;
	config__key(node->parent, before);
	if (node->key) {
		snprintf(text, CONFIG_KEY, "%.120s%s%.120s", before, before[0] ? "." : "",
			 node->key);
		return text;
	}
	for (const struct config_node *child = node->parent->child; child != node;
	     child = child->next)
		index++;
	snprintf(text, CONFIG_KEY, "%.200s[%d]", before, index);
	return text;
}

int config__wrong(const struct config_node *node, const char *fmt, ...)
{
	char key[CONFIG_KEY], line[800];
	va_list args;

	va_start(args, fmt);
	vsnprintf(line, sizeof(line), fmt, args);
	va_end(args);
	config__key(node, key);
	return fail(EXIT_CONFIG, "%s:%d: %s%s%s", node->file, node->line, key, key[0] ? ": " : "",
		    line);
}

int config__expect(const struct config_node *node, enum config_kind kind, const char *what)
{
	if (!node || node->kind == kind || (node->null && kind != CONFIG_SCALAR))
		if (!node || kind != CONFIG_SCALAR || !node->null)
			return 0;
	return config__wrong(node, "%s is expected%s", what,
			     node->null			 ? ", and there is nothing"
			     : node->kind == CONFIG_MAP	 ? ", not a mapping"
			     : node->kind == CONFIG_LIST ? ", not a list"
							 : ", not one value");
}

const char *config__words(const char *const *words, char text[CONFIG_WORDS])
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = 0; words[i] && len < CONFIG_WORDS; i++)
		len += snprintf(text + len, CONFIG_WORDS - len, "%s%s",
				!i	       ? ""
				: words[i + 1] ? ", "
					       : " or ",
				words[i]);
	return text;
}

static const char *nearest_of(struct nearest *nearest, const char *word, const char *const *words)
{
	nearest__begin(nearest, word);
	for (int i = 0; words[i]; i++)
		nearest__consider(nearest, words[i]);
	return nearest->best;
}

int config__expect_keys(const struct config_node *map, const char *const *keys)
{
	char words[CONFIG_WORDS];
	struct nearest nearest;

	for (const struct config_node *child = config__first(map); child; child = child->next) {
		int i = 0;

		while (keys[i] && strcmp(keys[i], child->key))
			i++;
		if (keys[i])
			continue;
		if (nearest_of(&nearest, child->key, keys)[0])
			return config__wrong(child, "there is no such key: did you mean '%s'?",
					     nearest.best);
		return config__wrong(child, "there is no such key: %s is expected",
				     config__words(keys, words));
	}
	return 0;
}

int config__expect_word(const struct config_node *node, const char *const *words)
{
	char text[CONFIG_WORDS];
	struct nearest nearest;
	int code;

	config__words(words, text);
	code = config__expect(node, CONFIG_SCALAR, text);
	if (code)
		return code;
	for (int i = 0; words[i]; i++)
		if (!strcmp(words[i], node->text))
			return 0;
	nearest_of(&nearest, node->text, words);
	return config__wrong(node, "%s is expected, not '%.100s'%s%s%s", text, node->text,
			     nearest.best[0] ? ": did you mean '" : "", nearest.best,
			     nearest.best[0] ? "'?" : "");
}

int config__bool(const struct config_node *node, bool *value)
{
	static const char *const words[] = {"true", "false", NULL};
	int code = config__expect_word(node, words);

	*value = !code && node->text[0] == 't';
	return code;
}

int config__duration(const struct config_node *node, unsigned long long *ns)
{
	static const char what[] = "a time such as 500ms, 60s, 5m or 1h";
	int code = config__expect(node, CONFIG_SCALAR, what);
	__u64 value = 0;

	if (!code && !duration__parse(node->text, &value))
		code = config__wrong(node, "%s is expected, not '%.100s'", what, node->text);
	*ns = value;
	return code;
}

int config__bytes(const struct config_node *node, unsigned long long *bytes)
{
	static const char what[] = "a size such as 512KiB, 64MiB or 1GiB";
	static const char *const units[] = {"", "KiB", "MiB", "GiB", NULL};
	int code = config__expect(node, CONFIG_SCALAR, what), unit = 0;
	char *end;

	if (code)
		return code;
	errno = 0;
	*bytes = strtoull(node->text, &end, 10);
	if (node->text[0] < '0' || node->text[0] > '9' || errno)
		return config__wrong(node, "%s is expected, not '%.100s'", what, node->text);
	end += strspn(end, " ");
	while (units[unit] && strcmp(units[unit], end))
		unit++;
	if (!units[unit] || *bytes > 1ULL << (60 - 10 * unit))
		return config__wrong(node, "%s is expected, not '%.100s'", what, node->text);
	*bytes <<= 10 * unit;
	return 0;
}
