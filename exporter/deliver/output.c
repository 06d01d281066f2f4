// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "fail.h"
#include "otlp/utf8.h"
#include "output_ops.h"

static const struct {
	const char *spec; /* one that ends with a colon has a path behind it */
	struct output *(*open)(const char *path, enum format format, int *code);
} outputs[] = {
	{"otlp", http__open},
	{"otlp:", http__open},
	{"file:", file__open},
	{"stdout", stdout__open},
};

static const char *const formats[] = {
	[FORMAT_PROTOBUF] = "protobuf",
	[FORMAT_JSON] = "json",
};

struct output *output__open(const char *spec, const char *format, int *code)
{
	enum format number = FORMAT_DEFAULT;

	for (size_t i = FORMAT_PROTOBUF; format && i < sizeof(formats) / sizeof(*formats); i++)
		if (!strcmp(format, formats[i]))
			number = i;
	if (format && number == FORMAT_DEFAULT) {
		*code = fail(EXIT_USAGE, "no such format: %s: it must be protobuf or json", format);
		return NULL;
	}
	for (size_t i = 0; i < sizeof(outputs) / sizeof(*outputs); i++) {
		size_t len = strlen(outputs[i].spec);
		bool path = outputs[i].spec[len - 1] == ':';

		if (path ? !strncmp(spec, outputs[i].spec, len) && spec[len]
			 : !strcmp(spec, outputs[i].spec)) {
			return outputs[i].open(spec + len, number, code);
		}
	}
	*code = fail(EXIT_USAGE,
		     "no such output: %s: it must be otlp, otlp:NAME, file:PATH or stdout", spec);
	return NULL;
}

enum delivery output__send(struct output *output, enum signal_kind kind, const void *request,
			   size_t len, __u64 deadline_ns, const volatile bool *stop,
			   struct delivery_report *report)
{
	memset(report, 0, sizeof(*report));
	return output->ops->send(output, kind, request, len, deadline_ns, stop, report);
}

size_t output__limit(const struct output *output)
{
	return output->ops->limit(output);
}

const char *output__name(const struct output *output, enum signal_kind kind)
{
	return output->ops->name(output, kind);
}

void output__close(struct output *output)
{
	if (!output)
		return;
	output->ops->close(output);
}

/*
 * What a server says must not steer a terminal: C0 and C1 controls and what is no
 * UTF-8 become '?'. A sequence that the buffer's end cut goes away.
 */
static void clean(char *text)
{
	size_t len = strlen(text), step;

	for (size_t i = 0; i < len; i += step) {
		unsigned char c = text[i];

		step = utf8__sequence(text + i, len - i);
		if (!step || c < ' ' || c == 0x7f) {
			text[i] = '?';
			step = 1;
		} else if (step == 2 && c == 0xc2 && (unsigned char)text[i + 1] < 0xa0) {
			memset(text + i, '?', 2);
		}
	}
}

static void say(char *at, size_t room, const char *fmt, va_list args)
{
	int len = vsnprintf(at, room, fmt, args);
	size_t end = room - 1;

	if (len >= (int)room) {
		while (end && (at[end - 1] & 0xc0) == 0x80)
			end--;
		/* at[end - 1] leads what was cut, unless it was whole. */
		if (end && utf8__sequence(at + end - 1, room - end) != room - end)
			at[end - 1] = 0;
	}
	clean(at);
}

void report__say(struct delivery_report *report, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(report->message, sizeof(report->message), fmt, args);
	va_end(args);
}

void report__add(struct delivery_report *report, const char *fmt, ...)
{
	size_t len = strlen(report->message);
	va_list args;

	va_start(args, fmt);
	say(report->message + len, sizeof(report->message) - len, fmt, args);
	va_end(args);
}
