// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "percent.h"

#include <ctype.h>
#include <stdlib.h>

static int hex_digit(char c)
{
	return isdigit((unsigned char)c)    ? c - '0'
	       : isxdigit((unsigned char)c) ? tolower((unsigned char)c) - 'a' + 10
					    : -1;
}

char *percent__decode(const char *text, size_t len)
{
	char *out = malloc(len + 1), *at = out;

	for (size_t i = 0; out && i < len; i++, at++) {
		*at = text[i];
		if (text[i] == '%') {
			int high = i + 2 < len ? hex_digit(text[i + 1]) : -1;
			int low = high < 0 ? -1 : hex_digit(text[i + 2]);

			if (low < 0)
				goto bad;
			*at = high << 4 | low;
			i += 2;
		}
		/* A line break would smuggle in a header of its own. */
		if ((unsigned char)*at < ' ' && *at != '\t')
			goto bad;
		if (*at == 0x7f)
			goto bad;
	}
	if (out)
		*at = 0;
	return out;
bad:
	free(out);
	return NULL;
}
