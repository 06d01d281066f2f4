/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs on functions of user space, "uprobe/NAMES", "uretprobe/NAMES", and
 * "uprobe.session/NAMES" for both, or on the probes that a program has itself, "usdt/NAME": in
 * which files, and where in them.
 *
 * Whose files is in the probe's map "targets". They are looked through whenever programs are
 * attached, so a resume finds the files that a process has mapped then. A program has a link for
 * each file, where the kernel knows no such links for each place:
 * PROBE/link/PROGRAM_uDEVICE-INODE[-N].
 */
#ifndef OTELBPF_LOADER_UPROBE_H
#define OTELBPF_LOADER_UPROBE_H

#include <otelbpf/uprobe.h>
#include <stdbool.h>

#include "failure.h"
#include "links.h"

struct bpf_program;
struct object;

/** uprobe__functions - what OTEL_FUNCTIONS() says of a program; "" for nothing */
const char *uprobe__functions(const struct object *object, const struct bpf_program *prog);

/** uprobe__prepare - before an object is loaded: declare how its programs will be attached */
void uprobe__prepare(const struct object *object);

/** uprobe__has_programs - whether an object has programs on functions of user space */
bool uprobe__has_programs(const struct object *object);

/** uprobe__has_target - whether the options say whose functions */
bool uprobe__has_target(const struct object *object);

/**
 * uprobe__write_targets - fill the map "targets" of a loaded object from the options
 *
 * Return: 0 or -errno.
 */
int uprobe__write_targets(const struct object *object);

/**
 * uprobe__attach - attach those programs whose sections are for functions
 * @dir:     the probe's directory
 * @list:    programs, also others
 * @n:       how many
 * @failure: filled on failure: there is no such process, file or function
 *
 * What is attached when it fails is found by links__release().
 *
 * Return: 0 or an exit code.
 */
int uprobe__attach(const char *dir, const struct attachable *list, int n, struct failure *failure);

/**
 * uprobe__follow - attach to what the targets have mapped since, and say so
 * @probe: its name
 * @dir:   its directory
 * @list:  its programs
 * @n:     how many
 */
void uprobe__follow(const char *probe, const char *dir, const struct attachable *list, int n);

/**
 * uprobe__missing - the files of the targets that are not covered
 * @dir:     the probe's directory
 * @missing: called with the path of each
 * @unknown: called with the program of each process that has nothing to attach to; or NULL
 * @ctx:     handed to them
 */
void uprobe__missing(const char *dir, void (*missing)(const char *path, void *ctx),
		     void (*unknown)(const char *path, void *ctx), void *ctx);

/** uprobe__guard - what a probe's own guard says; false: it has none */
bool uprobe__guard(const char *dir, struct otel_guard *guard);

/** uprobe__files - in how many files a program is attached */
int uprobe__files(const char *dir, const char *prog);

#endif
