/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The pin directory: names, and whether it is what it should be. */
#ifndef OTELBPF_PINS_H
#define OTELBPF_PINS_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#define PIN_DIR_DEFAULT "/sys/fs/bpf/otelbpf"

/**
 * pins__check - see that a directory can hold, or holds, our pins
 * @dir: absolute path; need not exist
 *
 * Says what is wrong through fail(): the nearest existing parent is not on bpffs
 * (EXIT_KERNEL), or the directory is a symlink, belongs to another user than
 * root and us, or can be written by others (EXIT_PERMISSION).
 *
 * Return: 0 or an exit code.
 */
int pins__check(const char *dir);

/**
 * pins__is_probe - whether a name can be a probe's: A-Z a-z 0-9 _ -, not too long
 *
 * The loader's own directories beside the probes have a '~' in their names.
 */
bool pins__is_probe(const char *name);

/**
 * pins__probes - names of the probes below a pin directory, sorted
 * @dir:   pin directory
 * @names: set to a NULL-terminated array to be freed with pins__free_names()
 *
 * Names that cannot be a probe's (NAME~new: a load under way) are left out.
 *
 * Return: how many, 0 if the directory does not exist, or -errno.
 */
int pins__probes(const char *dir, char ***names);

/** pins__list - the same for the files of a directory such as PROBE/map */
int pins__list(const char *dir, char ***names);
/**
 * pins__run_iterators - run the iterator programs among a probe's pinned links
 * @dir: the probe's directory
 *
 * Reading the pin of an iterator's link runs its program over all there is. What the program
 * prints is dropped; pins of other links cannot be read.
 *
 * Return: 0, or -errno of the first that failed.
 */
int pins__run_iterators(const char *dir);
void pins__free_names(char **names);

#endif
