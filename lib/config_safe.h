/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Files that root acts upon: nobody else may have a hand in them. */
#ifndef OTELBPF_CONFIG_SAFE_H
#define OTELBPF_CONFIG_SAFE_H

#include <stddef.h>

/**
 * config_safe__read - read a file that nobody but root and we can have written
 * @path: the file
 * @text: set to its bytes and a zero behind them, to be freed
 * @size: set to its length
 *
 * Return: 0, or EXIT_CONFIG or EXIT_PERMISSION once that has been said.
 */
int config_safe__read(const char *path, char **text, size_t *size);

/** config_safe__check_dir - the same for a directory whose names are about to be read */
int config_safe__check_dir(const char *path);

#endif
