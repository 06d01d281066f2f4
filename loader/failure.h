/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A failure on its way up, to be said once by the command. */
#ifndef OTELBPF_LOADER_FAILURE_H
#define OTELBPF_LOADER_FAILURE_H

#include "fail.h"

/**
 * struct failure - what went wrong, before it is said
 * @code: enum exit_code
 * @line: the one line, without the program's name
 *
 * For functions whose callers decide whether the line goes to stderr (load) or
 * into a table (check).
 */
struct failure {
	int code;
	char line[768];
};

/**
 * failed - fill in a failure
 * @failure: to be filled in
 * @code:    exit code
 * @fmt:     printf format
 *
 * Return: @code.
 */
int failed(struct failure *failure, enum exit_code code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/**
 * failure__reason - an errno as a person reads it
 * @err: positive or negative errno, libbpf's numbers and the kernel's ENOTSUPP included
 *
 * Return: a string that the next call overwrites.
 */
const char *failure__reason(int err);

#endif
