// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "log.h"

#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A verifier log may have megabytes; its reason stands at the end. */
#define KEPT_MAX (32 << 20)

static struct {
	char *text;
	size_t len;
	char failed[512]; /* the last failure that libbpf thought worth a debug message only */
	bool verbose;
} kept;

static int print(enum libbpf_print_level level, const char *fmt, va_list args)
{
	va_list again;
	char *text, *more;
	int len;

	if (kept.verbose) {
		va_copy(again, args);
		vfprintf(stderr, fmt, again);
		va_end(again);
	}
	if (level != LIBBPF_WARN) {
		if (strstr(fmt, "fail"))
			vsnprintf(kept.failed, sizeof(kept.failed), fmt, args);
		return 0;
	}
	len = vasprintf(&text, fmt, args);
	if (len < 0)
		return 0;
	if (kept.len + len < KEPT_MAX && (more = realloc(kept.text, kept.len + len + 1))) {
		kept.text = more;
		memcpy(kept.text + kept.len, text, len + 1);
		kept.len += len;
	}
	free(text);
	return len;
}

void log__init(bool verbose)
{
	kept.verbose = verbose;
	libbpf_set_print(print);
}

void log__reset(void)
{
	free(kept.text);
	kept.text = NULL;
	kept.len = 0;
	kept.failed[0] = '\0';
}

/* Steps that libbpf retries or does without, and the statistics under a verifier log. */
static bool is_noise(const char *line)
{
	static const char *const noise[] = {
		"processed ",
		"verification time",
		"stack depth",
		"libbpf: Error in bpf_create_map",
		"libbpf: Error in bpf_map_create",
		"libbpf: Error loading .BTF",
		"peak_states",
		"libbpf: elf: skipping",
		"libbpf: Error loading ELF section .BTF.ext",
		"mark_precise",
	};

	for (size_t i = 0; i < sizeof(noise) / sizeof(noise[0]); i++)
		if (!strncmp(line, noise[i], strlen(noise[i])))
			return true;
	/* register states, source lines, instructions: "12: (bf)", "; int x", "R0=inv" */
	return !line[0] || line[0] == ';' || line[strspn(line, "0123456789")] == ':';
}

static void copy_line(char *out, size_t size, const char *line)
{
	int len = strcspn(line, "\n");

	snprintf(out, size, "%.*s", len, line);
}

/* "…prog 'NAME': -- BEGIN PROG LOAD LOG --" up to "-- END PROG LOAD LOG --" */
static bool verifier_line(const char *begin, char *out, size_t size)
{
	const char *end = strstr(begin, "-- END PROG LOAD LOG --");
	const char *line = begin, *next;
	char name[64] = "", best[512] = "", now[512];

	while (line > kept.text && line[-1] != '\n')
		line--;
	if (sscanf(line, "libbpf: prog '%63[^']'", name) != 1)
		name[0] = '\0';
	for (line = strchr(begin, '\n'); line && (!end || line < end); line = next) {
		line++;
		next = strchr(line, '\n');
		if (end && line >= end)
			break;
		copy_line(now, sizeof(now), line);
		if (!is_noise(now) && strncmp(now, "libbpf:", 7))
			memcpy(best, now, sizeof(best));
	}
	if (!best[0])
		return false;
	snprintf(out, size, "program %s: %s", name, best);
	return true;
}

static void first_warning(char *out, size_t size)
{
	for (const char *line = kept.text; line && *line; line = strchr(line, '\n')) {
		line += *line == '\n';
		copy_line(out, size, line);
		if (out[0] && !is_noise(out))
			return;
	}
	out[0] = '\0';
}

void log__cause(char *out, size_t size)
{
	const char *begin = kept.text ? strstr(kept.text, "-- BEGIN PROG LOAD LOG --") : NULL;

	out[0] = '\0';
	if (begin && verifier_line(begin, out, size))
		return;
	first_warning(out, size);
	if (!out[0])
		copy_line(out, size, kept.failed);
	if (!strncmp(out, "libbpf: ", 8))
		memmove(out, out + 8, strlen(out + 8) + 1);
}
