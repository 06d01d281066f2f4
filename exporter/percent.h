/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef OTELBPF_PERCENT_H
#define OTELBPF_PERCENT_H

#include <stddef.h>

/**
 * percent__decode - decode %XX, as values in OTEL_ variables have it (W3C Baggage)
 * @text: not necessarily terminated
 * @len:  its bytes
 *
 * Return: a string to be freed; NULL for a broken code, a control character (which
 * would smuggle in a header of its own), or when there is no memory.
 */
char *percent__decode(const char *text, size_t len);

#endif
