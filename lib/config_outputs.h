/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The section "outputs": where the exporter sends to. The loader checks it, the exporter
 * follows it. Most keys stand for a variable of OpenTelemetry's specification, and are
 * read as if it were set; one that is set wins.
 */
#ifndef OTELBPF_CONFIG_OUTPUTS_H
#define OTELBPF_CONFIG_OUTPUTS_H

#include "config.h"

/**
 * config_outputs_fn - called for each setting
 * @node:     the value in the file
 * @variable: the environment variable that it stands for, or NULL
 * @value:    as the variable, or the command line, has it
 *
 * Return: an exit code; not 0 ends the walk.
 */
typedef int (*config_outputs_fn)(const struct config_node *node, const char *variable,
				 const char *value, void *arg);

/**
 * config_outputs__each - check the section and walk its settings
 * @config: read; without the section there is nothing to walk
 * @fn:     or NULL, to check only
 *
 * Return: an exit code.
 */
int config_outputs__each(const struct config *config, config_outputs_fn fn, void *arg);

/** config_outputs__apply - set the variables that are not set; arg: not used */
int config_outputs__apply(const struct config_node *node, const char *variable, const char *value,
			  void *arg);

/** config_outputs__is_secret - whether a value is not for messages */
bool config_outputs__is_secret(const struct config_node *node);

#endif
