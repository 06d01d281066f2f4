/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What an exporter is told to do: by its command line, its environment and its configuration. */
#ifndef OTELBPF_SETTINGS_H
#define OTELBPF_SETTINGS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "otlp/preference.h"
#include "outputs.h"

/**
 * struct settings - all of it
 * @state: file, or NULL
 * @view:  folded, pprof or html: profiles for a person, or NULL
 * @type:  the sample type of the profile that is shown, or NULL
 * @older_ns: of states, what is at least so old, and no other profile; 0: everything
 * @limit: most bytes in one request; 0: as the outputs have it
 * @owned: texts of the configuration
 */
struct settings {
	const char *pin_dir, *config;
	const char *state;
	const char *specs[OUTPUTS_MAX];
	int n_specs;
	const char *format;
	bool once, verbose, table;
	const char *view, *type;
	__u64 older_ns;
	bool no_symbols, want_lines, stats, json;
	bool given_symbols;
	struct metrics_preference preference;
	__u64 interval_ns, duration_ns, timeout_ns;
	size_t limit;
	char *owned[OUTPUTS_MAX + 1];
	int n_owned;
};

/**
 * settings__read - fill them in
 *
 * The command line wins over the environment, and that over the configuration.
 *
 * Return: -1 to go on, else an exit code: what is wrong, or asked for, has been said.
 */
int settings__read(struct settings *settings, int argc, char **argv);
void settings__free(struct settings *settings);

#endif
