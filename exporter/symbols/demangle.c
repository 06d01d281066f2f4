// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/demangle.h"

#include <libiberty/demangle.h>
#include <setjmp.h>
#include <stdbool.h>
#include <string.h>

#define CUT "…"

struct writer {
	char *out;
	size_t len;
	bool punycode; /* of Rust */
	jmp_buf full;
};

/*
 * A few hundred bytes of mangled name can expand to gigabytes. Printing allocates nothing
 * but stack, so that leaving it in the middle leaks nothing, and bounds the time too.
 */
static void write_some(const char *text, size_t len, void *arg)
{
	struct writer *writer = arg;
	size_t room = DEMANGLE_OUT_MAX - sizeof(CUT) - writer->len;

	if (!len)
		return; /* with NULL, sometimes */
	if (len > room) {
		memcpy(writer->out + writer->len, text, room);
		writer->len += room;
		longjmp(writer->full, 1);
	}
	memcpy(writer->out + writer->len, text, len);
	writer->len += len;
}

/*
 * Leaving Rust's printer while it holds a decoded punycode identifier loses that buffer, at
 * most 32 KiB. Only a name made to hurt is cut there: put up with a few, then no more.
 */
#define LOST_MAX 64

static bool has_punycode(const char *raw)
{
	for (; *raw; raw++)
		if (raw[0] == 'u' && raw[1] >= '0' && raw[1] <= '9')
			return true;
	return false;
}

static bool demangle_into(const char *raw, struct writer *writer)
{
	const int options = DMGL_PARAMS | DMGL_ANSI;

	/* Rust first: its older names look like C++, with a hash at the end. */
	if (rust_demangle_callback(raw, options, write_some, writer))
		return true;
	writer->len = 0;
	return cplus_demangle_v3_callback(raw, options, write_some, writer);
}

size_t demangle(const char *raw, char out[DEMANGLE_OUT_MAX])
{
	static unsigned int lost;
	struct writer writer = {.out = out};

	if (raw[0] != '_' || (raw[1] != 'Z' && raw[1] != 'R' && raw[1] != '_') ||
	    strnlen(raw, DEMANGLE_IN_MAX + 1) > DEMANGLE_IN_MAX)
		return 0;
	writer.punycode = raw[1] == 'R' && has_punycode(raw);
	if (writer.punycode && lost >= LOST_MAX)
		return 0;
	if (!setjmp(writer.full)) {
		if (!demangle_into(raw, &writer))
			return 0;
		writer.out[writer.len] = '\0';
		return writer.len;
	}
	lost += writer.punycode;
	/* Not in the middle of a character. */
	while (writer.len && ((unsigned char)writer.out[writer.len - 1] & 0xc0) == 0x80)
		writer.len--;
	if (writer.len && (unsigned char)writer.out[writer.len - 1] >= 0xc0)
		writer.len--;
	memcpy(writer.out + writer.len, CUT, sizeof(CUT));
	return writer.len + strlen(CUT);
}
