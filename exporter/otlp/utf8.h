/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
#ifndef OTELBPF_OTLP_UTF8_H
#define OTELBPF_OTLP_UTF8_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

/**
 * utf8__sequence - length of the UTF-8 sequence that text begins with
 * @text: bytes
 * @len:  how many, at least 1
 *
 * Strict as the Unicode standard (table 3-7) has it: no overlong form, no surrogate,
 * nothing above U+10FFFF.
 *
 * Return: 1 to 4, or 0 when the bytes begin no such sequence.
 */
static inline size_t utf8__sequence(const void *text, size_t len)
{
	const __u8 *byte = text;
	__u8 low = 0x80, high = 0xbf;
	size_t need;

	if (byte[0] < 0x80)
		return 1;
	if (byte[0] < 0xc2 || byte[0] > 0xf4)
		return 0;
	need = byte[0] < 0xe0 ? 2 : byte[0] < 0xf0 ? 3 : 4;
	if (need > len)
		return 0;
	/* Only the second byte's range depends on the first. */
	if (byte[0] == 0xe0)
		low = 0xa0;
	else if (byte[0] == 0xed)
		high = 0x9f;
	else if (byte[0] == 0xf0)
		low = 0x90;
	else if (byte[0] == 0xf4)
		high = 0x8f;
	if (byte[1] < low || byte[1] > high)
		return 0;
	for (size_t i = 2; i < need; i++)
		if ((byte[i] & 0xc0) != 0x80)
			return 0;
	return need;
}

/** utf8__is_text - whether a string is UTF-8 without control characters */
static inline bool utf8__is_text(const char *text)
{
	size_t len = strlen(text), step;

	for (size_t i = 0; i < len; i += step) {
		step = utf8__sequence(text + i, len - i);
		if (!step || (unsigned char)text[i] < ' ' || text[i] == 0x7f)
			return false;
	}
	return true;
}

#endif
