// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "preset.h"

#include <stdio.h>
#include <string.h>

#define NS 1000000000ULL

static const struct preset presets[] = {
	{"production", "19", 300 * NS},
	{"staging", "49", 120 * NS},
	{"development", "99", 60 * NS},
	{"debug", "199", 30 * NS},
};

const struct preset *preset__find(const char *name)
{
	for (size_t i = 0; i < sizeof(presets) / sizeof(presets[0]); i++)
		if (!strcmp(presets[i].name, name))
			return &presets[i];
	return NULL;
}

int preset__apply(const struct preset *preset, struct object *object, struct option_vars *options,
		  struct failure *failure)
{
	size_t len = 0, room = sizeof(object->preset_set);
	int code = 0;

	for (int i = 0; i < options->n && !code; i++) {
		if (!options->var[i].is_frequency)
			continue;
		code = options__set(object, options, options->var[i].name, preset->frequency,
				    failure);
		object->duration_ns = preset->duration_ns;
		if (len < room)
			len += snprintf(object->preset_set + len, room - len, "%s%s=%s",
					len ? " " : "", options->var[i].name, preset->frequency);
	}
	return code;
}
