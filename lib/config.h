/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Configuration files: YAML in, a tree out in which every value knows its file and line.
 *
 * What may stand in it is not known here, so that messages of whoever knows can point
 * at the place. Of YAML: mappings, lists and scalars; no anchors, no tags, one document.
 */
#ifndef OTELBPF_CONFIG_H
#define OTELBPF_CONFIG_H

#include <stdbool.h>
#include <stddef.h>

#include "fail.h"

/* otelbpf.yaml, then otelbpf.d/ in the order of names: the later wins. */
#define CONFIG_FILE "otelbpf.yaml"
#define CONFIG_DROPINS "otelbpf.d"
#define CONFIG_ENVIRONMENT "OTELBPF_CONFIG"

enum config_kind { CONFIG_SCALAR, CONFIG_MAP, CONFIG_LIST };

/**
 * struct config_node - a value
 * @kind:   what it is; nothing ("key:") is a scalar with @null
 * @key:    in its mapping, or NULL in a list
 * @text:   of a scalar
 * @plain:  it is not quoted
 * @null:   nothing
 * @file:   where it is from
 * @line:   of the key, or of the value in a list; from 1
 * @parent: NULL for the root
 * @child:  first of a mapping or list
 * @next:   of the same parent
 */
struct config_node {
	enum config_kind kind;
	char *key, *text;
	bool plain, null;
	const char *file;
	int line;
	struct config_node *parent, *child, *next;
};

/**
 * struct config - all files, merged
 * @root:  a mapping; NULL if there is no file
 * @file:  paths, @files of them
 * @where: what was looked for
 */
struct config {
	struct config_node *root;
	char **file;
	int files;
	char *where;
};

/**
 * config__read - find and read the configuration
 * @config: filled; to be freed also after a failure
 * @path:   a file, or a directory with CONFIG_FILE and CONFIG_DROPINS; NULL: what
 *          $OTELBPF_CONFIG says, else the installed directory, which need not exist
 *
 * A later file's scalars and lists replace an earlier one's, mappings are merged.
 * Refused is what an unprivileged user could write: files, links and directories on the
 * way to them that belong to another than root and us, or that others may write.
 *
 * Return: 0; EXIT_CONFIG, EXIT_USAGE or EXIT_PERMISSION once that has been said.
 */
int config__read(struct config *config, const char *path);
void config__free(struct config *config);

/**
 * config__add - read text into a configuration, as one more file of it
 * @config: zeroed, or read before
 * @name:   for messages
 * @text:   @size bytes
 *
 * Return: an exit code.
 */
int config__add(struct config *config, const char *name, const char *text, size_t size);

/** config__find - a mapping's value, or NULL; of NULL and of what is no mapping, too */
const struct config_node *config__find(const struct config_node *map, const char *key);

/** config__first - first value of a mapping or list, NULL of anything else */
const struct config_node *config__first(const struct config_node *node);

/** config__key - "probes.syscalls.options", for messages */
#define CONFIG_KEY 256
const char *config__key(const struct config_node *node, char text[CONFIG_KEY]);

/**
 * config__wrong - say what is wrong with a value: FILE:LINE: KEY: …
 *
 * Return: EXIT_CONFIG.
 */
int config__wrong(const struct config_node *node, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/**
 * config__expect - see that a value is of a kind; nothing is an empty mapping or list
 * @what: in words, for the message: "a list of files"
 *
 * Return: an exit code.
 */
int config__expect(const struct config_node *node, enum config_kind kind, const char *what);

/**
 * config__expect_keys - see that a mapping has no key but these
 * @keys: ends with NULL
 */
int config__expect_keys(const struct config_node *map, const char *const *keys);

/** config__words - "a, b or c" of a list that ends with NULL; in @text of CONFIG_WORDS bytes */
#define CONFIG_WORDS 512
const char *config__words(const char *const *words, char text[CONFIG_WORDS]);

/** config__expect_word - see that a value is one of these words */
int config__expect_word(const struct config_node *node, const char *const *words);

/** config__bool - true or false */
int config__bool(const struct config_node *node, bool *value);

/** config__duration - a time such as 60s */
int config__duration(const struct config_node *node, unsigned long long *ns);

/** config__bytes - a size such as 64MiB, 512 KiB, 1GiB; a number alone is bytes */
int config__bytes(const struct config_node *node, unsigned long long *bytes);

/* The sections, which both programs know. */
extern const char *const config_sections[];

#endif
