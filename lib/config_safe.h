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

/**
 * config_safe__check_way - every directory on the way to a path, and each link, is root's or ours
 * @path: exists
 *
 * Who can rename one of them can put something else there, at any time after a look at it.
 *
 * Return: 0, or an exit code once that has been said.
 */
int config_safe__check_way(const char *path);

#endif
