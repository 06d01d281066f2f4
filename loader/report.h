/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* JSON as the commands build it: what -j prints is what the tables are made from. */
#ifndef OTELBPF_LOADER_REPORT_H
#define OTELBPF_LOADER_REPORT_H

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/** report__… - add a member to an object; NULL as text adds null */
void report__text(struct json_object *to, const char *key, const char *text);
void report__bool(struct json_object *to, const char *key, bool value);
void report__real(struct json_object *to, const char *key, double value);
void report__number(struct json_object *to, const char *key, uint64_t value);

/** report__list, report__object - add an empty list or object, and return it */
struct json_object *report__list(struct json_object *to, const char *key);
struct json_object *report__object(struct json_object *to, const char *key);

/** report__item - append an empty object to a list, and return it */
struct json_object *report__item(struct json_object *list);

/** report__get_… - read it back; "", false, 0 if it is not there */
const char *report__get_text(struct json_object *from, const char *key);
bool report__get_bool(struct json_object *from, const char *key);
double report__get_real(struct json_object *from, const char *key);
uint64_t report__get_number(struct json_object *from, const char *key);
bool report__has(struct json_object *from, const char *key);

/** report__each - walk a list: for (i = 0; (item = report__nth(from, key, i)); i++) */
struct json_object *report__nth(struct json_object *from, const char *key, size_t i);

/** report__print - to stdout, for machines. Returns an exit code. */
int report__print(struct json_object *report);

#endif
