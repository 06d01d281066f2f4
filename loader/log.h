/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What libbpf says, kept until somebody wants the one line that matters. */
#ifndef OTELBPF_LOADER_LOG_H
#define OTELBPF_LOADER_LOG_H

#include <stdbool.h>
#include <stddef.h>

/**
 * log__init - take libbpf's messages over
 * @verbose: also print all of them to stderr
 */
void log__init(bool verbose);

/** log__reset - forget what was kept */
void log__reset(void);

/**
 * log__cause - the line that tells why
 * @line: filled; "" if libbpf has said nothing
 * @size: of @line
 *
 * A verifier log gives "program NAME: LAST LINE", anything else its first
 * warning: what comes later only repeats that something failed.
 */
void log__cause(char *line, size_t size);

#endif
