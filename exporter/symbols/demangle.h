/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef OTELBPF_SYMBOLS_DEMANGLE_H
#define OTELBPF_SYMBOLS_DEMANGLE_H

#include <stddef.h>

#define DEMANGLE_IN_MAX 8192
#define DEMANGLE_OUT_MAX 4096 /* what is longer is cut, and ends in "…" */

/**
 * demangle - C++ and Rust names as a person writes them
 * @raw: the linker's name
 * @out: room for DEMANGLE_OUT_MAX bytes
 *
 * Return: length of what is in @out, without its terminating zero; 0 when @raw is not
 * mangled, badly so, or longer than DEMANGLE_IN_MAX.
 */
size_t demangle(const char *raw, char out[DEMANGLE_OUT_MAX]);

#endif
