// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "report.h"

#include <stdio.h>

#include "fail.h"

void report__text(struct json_object *to, const char *key, const char *text)
{
	json_object_object_add(to, key, text ? json_object_new_string(text) : NULL);
}

void report__bool(struct json_object *to, const char *key, bool value)
{
	json_object_object_add(to, key, json_object_new_boolean(value));
}

void report__number(struct json_object *to, const char *key, uint64_t value)
{
	json_object_object_add(to, key, json_object_new_uint64(value));
}

void report__real(struct json_object *to, const char *key, double value)
{
	json_object_object_add(to, key, json_object_new_double(value));
}

struct json_object *report__list(struct json_object *to, const char *key)
{
	struct json_object *list = json_object_new_array();

	json_object_object_add(to, key, list);
	return list;
}

struct json_object *report__object(struct json_object *to, const char *key)
{
	struct json_object *object = json_object_new_object();

	json_object_object_add(to, key, object);
	return object;
}

struct json_object *report__item(struct json_object *list)
{
	struct json_object *item = json_object_new_object();

	json_object_array_add(list, item);
	return item;
}

const char *report__get_text(struct json_object *from, const char *key)
{
	const char *text = json_object_get_string(json_object_object_get(from, key));

	return text ? text : "";
}

bool report__get_bool(struct json_object *from, const char *key)
{
	return json_object_get_boolean(json_object_object_get(from, key));
}

uint64_t report__get_number(struct json_object *from, const char *key)
{
	return json_object_get_uint64(json_object_object_get(from, key));
}

double report__get_real(struct json_object *from, const char *key)
{
	return json_object_get_double(json_object_object_get(from, key));
}

bool report__has(struct json_object *from, const char *key)
{
	return json_object_object_get(from, key);
}

struct json_object *report__nth(struct json_object *from, const char *key, size_t i)
{
	struct json_object *list = json_object_object_get(from, key);

	if (!list || i >= json_object_array_length(list))
		return NULL;
	return json_object_array_get_idx(list, i);
}

int report__print(struct json_object *report)
{
	const char *text = json_object_to_json_string_ext(
		report, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_NOSLASHESCAPE);

	if (!text)
		return fail(EXIT_INTERNAL, "no memory");
	printf("%s\n", text);
	return 0;
}
