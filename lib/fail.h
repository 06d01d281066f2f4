/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Exit codes, one for each class of failure, and the one line that goes with them. */
#ifndef OTELBPF_FAIL_H
#define OTELBPF_FAIL_H

#include <stdbool.h>

/** enum exit_code - exit codes of otelbpf and otelbpf-exporter */
enum exit_code {
	EXIT_OK = 0,
	EXIT_INTERNAL = 1,   /* no memory, a bug */
	EXIT_USAGE = 2,	     /* command line, environment */
	EXIT_PERMISSION = 3, /* privilege missing; something belongs to someone else */
	EXIT_KERNEL = 4,     /* this kernel, or how it is set up, cannot do it */
	EXIT_LOAD = 5,	     /* an object file is bad or the verifier refuses it */
	EXIT_ATTACH = 6,     /* a program cannot be attached */
	EXIT_MAP = 7,	     /* a map operation failed; a pin is missing or not ours */
	EXIT_EXPORT = 8,     /* telemetry could not be delivered */
	EXIT_CONFIG = 9,     /* a configuration file is wrong */
};

/**
 * fail - say in one line on stderr what went wrong and what to do
 * @code: what to return
 * @fmt:  printf format, no newline
 *
 * The line starts with the program's name. Control characters in it are replaced,
 * so that hostile names cannot play with the terminal. In a service manager's journal it has a
 * priority.
 *
 * Return: @code, so that a caller can write return fail(…).
 */
int fail(enum exit_code code, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** warn - the same without an exit code, for what does not end the program */
void warn(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/** inform - a line on stderr for a person: progress, what happened; not with --quiet */
void inform(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
extern bool quiet;

#endif
