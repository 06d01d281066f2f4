/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What --set changes: variables tagged OTEL_OPTION(), and sizes of maps. */
#ifndef OTELBPF_LOADER_OPTIONS_H
#define OTELBPF_LOADER_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "failure.h"
#include "object.h"

/** option_number - holds both __s64 and __u64 */
typedef __int128 option_number;

/**
 * struct option_var - one option of an object
 * @name: the variable's
 * @unit: "" if none
 * @help: one sentence
 * @min:  smallest value allowed
 * @max:  largest
 * @at:   its bytes in libbpf's initial image of the section
 * @size: 1, 2, 4 or 8
 * @is_frequency: tagged OTEL_FREQUENCY
 * @is_hardware: tagged OTEL_HARDWARE
 * @is_text: a char array; @min and @max are of the text's length, @size is the array's
 * @check:   of a text: 0, or -EINVAL; NULL if every text will do
 */
struct option_var {
	const char *name, *unit, *help;
	option_number min, max;
	void *at;
	size_t size;
	bool is_signed;
	bool is_frequency;
	bool is_hardware;
	bool is_text;
	int (*check)(const char *text);
};

struct option_vars {
	struct option_var *var;
	int n;
};

/**
 * options__of - the options of an open object, not yet loaded
 * @object:  lends the strings; learns where it keeps .interfaces and .xdp_mode
 * @options: filled; .var to be freed, also after a failure
 * @failure: filled on failure
 *
 * Return: 0, or EXIT_LOAD for a tag that makes no sense.
 */
int options__of(struct object *object, struct option_vars *options, struct failure *failure);

/** option__value - its value now */
option_number option__value(const struct option_var *option);

/** option__print - a number in decimal; fits in OPTION_TEXT bytes */
#define OPTION_TEXT 24
const char *option__print(option_number number, char text[OPTION_TEXT]);

/**
 * options__set - set one option or one map's size
 * @object:  not yet loaded
 * @options: its options
 * @key:     a variable, or MAP.max_entries
 * @value:   decimal or 0x
 * @failure: filled on failure: EXIT_USAGE with the range, or the nearest key
 */
int options__set(struct object *object, struct option_vars *options, const char *key,
		 const char *value, struct failure *failure);

/**
 * options__leave_out - do without the maps whose option is 0, OTEL_WHEN()
 * @object:  not yet loaded
 * @options: its options, as they are to be
 * @failure: filled on failure
 *
 * A map of that kind that an upgrade takes over stays, unused.
 *
 * Return: 0, or EXIT_LOAD for a tag that names no option.
 */
int options__leave_out(struct object *object, const struct option_vars *options,
		       struct failure *failure);

/** options__sizable - whether MAP.max_entries can be set: maps that hold data of the probe's own */
bool options__sizable(const struct bpf_map *map);

#endif
