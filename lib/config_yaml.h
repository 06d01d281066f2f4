/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* One file of YAML as a tree; lib/config.c puts files together. */
#ifndef OTELBPF_CONFIG_YAML_H
#define OTELBPF_CONFIG_YAML_H

#include <stddef.h>

struct config_node;

/**
 * config_yaml__read - text to a tree
 * @file: for messages; kept by the nodes
 * @text: @size bytes
 * @root: set to a mapping, to be freed also after a failure
 *
 * Return: 0, EXIT_CONFIG or EXIT_INTERNAL.
 */
int config_yaml__read(const char *file, const char *text, size_t size, struct config_node **root);
void config_yaml__free(struct config_node *node);

/** config_yaml__merge - mappings are merged, all else is replaced; @from is empty then */
void config_yaml__merge(struct config_node *to, struct config_node *from);

#endif
