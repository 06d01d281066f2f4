// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * libyaml's events to a tree. Events, because each has its line, and because aliases, which
 * can make a small file a huge tree, are refused before anything is made of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "config.h"
#include "config_yaml.h"

#define DEPTH_MAX 8

struct reader {
	yaml_parser_t parser;
	yaml_event_t event;
	const char *file, *text;
	size_t size;
};

static int wrong(const struct reader *reader, size_t line, const char *what)
{
	return fail(EXIT_CONFIG, "%s:%zu: %s", reader->file, line + 1, what);
}

/* libyaml knows a byte's offset when it is no character, and a line in all other cases. */
static int parser_failed(const struct reader *reader)
{
	const yaml_parser_t *parser = &reader->parser;
	size_t line = parser->problem_mark.line;
	char what[256];

	if (parser->error == YAML_MEMORY_ERROR)
		return fail(EXIT_INTERNAL, "no memory");
	if (parser->error == YAML_READER_ERROR) {
		line = 0;
		for (size_t i = 0; i < parser->problem_offset && i < reader->size; i++)
			line += reader->text[i] == '\n';
	}
	snprintf(what, sizeof(what), "this is not YAML: %s",
		 parser->problem ? parser->problem : "it cannot be read");
	return wrong(reader, line, what);
}

static int next(struct reader *reader)
{
	yaml_event_delete(&reader->event);
	if (!yaml_parser_parse(&reader->parser, &reader->event)) {
		memset(&reader->event, 0, sizeof(reader->event));
		return parser_failed(reader);
	}
	return 0;
}

static size_t line_of(const struct reader *reader)
{
	return reader->event.start_mark.line;
}

/* What YAML has and a configuration does not need. */
static int check_event(const struct reader *reader)
{
	const yaml_event_t *event = &reader->event;
	const void *anchor = NULL, *tag = NULL;

	switch (event->type) {
	case YAML_ALIAS_EVENT:
		anchor = event;
		break;
	case YAML_SCALAR_EVENT:
		anchor = event->data.scalar.anchor;
		tag = event->data.scalar.tag;
		if (strlen((char *)event->data.scalar.value) != event->data.scalar.length)
			return wrong(reader, line_of(reader), "a text with a zero byte in it");
		break;
	case YAML_MAPPING_START_EVENT:
		anchor = event->data.mapping_start.anchor;
		tag = event->data.mapping_start.tag;
		break;
	case YAML_SEQUENCE_START_EVENT:
		anchor = event->data.sequence_start.anchor;
		tag = event->data.sequence_start.tag;
		break;
	default:
		break;
	}
	if (anchor)
		return wrong(reader, line_of(reader),
			     "anchors and aliases are not taken: quote a value that begins with "
			     "'&' or '*'");
	if (tag)
		return wrong(reader, line_of(reader),
			     "tags are not taken: quote a value that begins with '!'");
	return 0;
}

static struct config_node *new_node(const struct reader *reader, struct config_node *parent,
				    char *key, size_t line)
{
	struct config_node *node = calloc(1, sizeof(*node));

	if (!node)
		return NULL;
	node->parent = parent;
	node->key = key;
	node->file = reader->file;
	node->line = line + 1;
	return node;
}

static int read_value(struct reader *reader, struct config_node *node, int depth);

static int read_key(struct reader *reader, const struct config_node *map, char **key)
{
	const struct config_node *before;
	char what[256];

	if (reader->event.type != YAML_SCALAR_EVENT)
		return wrong(reader, line_of(reader), "a key has to be a word");
	before = config__find(map, (char *)reader->event.data.scalar.value);
	if (before) {
		snprintf(what, sizeof(what), "%.128s: it stands in line %d already", before->key,
			 before->line);
		return wrong(reader, line_of(reader), what);
	}
	*key = strdup((char *)reader->event.data.scalar.value);
	return *key ? 0 : fail(EXIT_INTERNAL, "no memory");
}

/* From behind the start event to the end event. */
static int read_children(struct reader *reader, struct config_node *node, int depth)
{
	bool map = node->kind == CONFIG_MAP;
	yaml_event_type_t end = map ? YAML_MAPPING_END_EVENT : YAML_SEQUENCE_END_EVENT;
	struct config_node **last = &node->child;
	int code;

	for (;;) {
		char *key = NULL;
		size_t line;

		code = next(reader);
		if (!code && reader->event.type == end)
			return 0;
		if (!code)
			code = check_event(reader);
		if (code)
			return code;
		line = line_of(reader);
		if (map) {
			code = read_key(reader, node, &key);
			if (code)
				return code;
			code = next(reader);
		}
		*last = new_node(reader, node, key, line);
		if (!*last) {
			free(key);
			return fail(EXIT_INTERNAL, "no memory");
		}
		if (!code)
			code = read_value(reader, *last, depth + 1);
		if (code)
			return code;
		last = &(*last)->next;
	}
}

static int read_value(struct reader *reader, struct config_node *node, int depth)
{
	const yaml_event_t *event = &reader->event;
	int code = check_event(reader);

	if (code)
		return code;
	if (depth > DEPTH_MAX)
		return wrong(reader, line_of(reader), "too many levels");
	if (event->type == YAML_MAPPING_START_EVENT || event->type == YAML_SEQUENCE_START_EVENT) {
		node->kind = event->type == YAML_MAPPING_START_EVENT ? CONFIG_MAP : CONFIG_LIST;
		return read_children(reader, node, depth);
	}
	if (event->type != YAML_SCALAR_EVENT)
		return wrong(reader, line_of(reader), "a value is expected");
	node->kind = CONFIG_SCALAR;
	node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
	node->text = strdup((char *)event->data.scalar.value);
	if (!node->text)
		return fail(EXIT_INTERNAL, "no memory");
	node->null = node->plain &&
		     (!node->text[0] || !strcmp(node->text, "~") || !strcmp(node->text, "null"));
	return 0;
}

static int read_stream(struct reader *reader, struct config_node *root)
{
	int code = next(reader); /* of the stream */

	if (!code)
		code = next(reader);
	if (code || reader->event.type == YAML_STREAM_END_EVENT)
		return code;
	code = next(reader); /* behind the start of the document */
	root->line = line_of(reader) + 1;
	if (!code)
		code = read_value(reader, root, 0);
	if (!code)
		code = next(reader); /* its end */
	if (!code)
		code = next(reader);
	if (!code && reader->event.type != YAML_STREAM_END_EVENT)
		return wrong(reader, line_of(reader), "a second document: only one is taken");
	return code;
}

int config_yaml__read(const char *file, const char *text, size_t size, struct config_node **root)
{
	struct reader reader = {.file = file, .text = text, .size = size};
	int code;

	*root = new_node(&reader, NULL, NULL, 0);
	if (!*root || !yaml_parser_initialize(&reader.parser))
		return fail(EXIT_INTERNAL, "no memory");
	(*root)->kind = CONFIG_MAP;
	yaml_parser_set_encoding(&reader.parser, YAML_UTF8_ENCODING);
	yaml_parser_set_input_string(&reader.parser, (const unsigned char *)text, size);
	code = read_stream(&reader, *root);
	if (!code && (*root)->null)
		(*root)->kind = CONFIG_MAP;
	if (!code && (*root)->kind != CONFIG_MAP)
		code = fail(EXIT_CONFIG, "%s:%d: 'key: value' lines are expected", file,
			    (*root)->line);
	yaml_event_delete(&reader.event);
	yaml_parser_delete(&reader.parser);
	return code;
}

void config_yaml__free(struct config_node *node)
{
	if (!node)
		return;
	for (struct config_node *child = node->child, *behind; child; child = behind) {
		behind = child->next;
		config_yaml__free(child);
	}
	free(node->key);
	free(node->text);
	free(node);
}

static void set_parent(struct config_node *node)
{
	for (struct config_node *child = node->child; child; child = child->next)
		child->parent = node;
}

/* Takes over what @from has; @from keeps what it replaced, to be freed. */
static void swap_value(struct config_node *to, struct config_node *from)
{
	struct config_node before = *to;

	*to = *from;
	to->parent = before.parent;
	to->next = before.next;
	*from = before;
	from->next = NULL;
	set_parent(to);
	set_parent(from);
}

void config_yaml__merge(struct config_node *to, struct config_node *from)
{
	struct config_node *child = from->child, *behind;

	from->child = NULL;
	for (; child; child = behind) {
		struct config_node *there = (struct config_node *)config__find(to, child->key);
		struct config_node **last = &to->child;

		behind = child->next;
		child->next = NULL;
		if (!there) {
			while (*last)
				last = &(*last)->next;
			*last = child;
			child->parent = to;
			continue;
		}
		if (there->kind == CONFIG_MAP && child->kind == CONFIG_MAP)
			config_yaml__merge(there, child);
		else if (there->kind != CONFIG_MAP || !child->null)
			swap_value(there, child);
		config_yaml__free(child);
	}
}
