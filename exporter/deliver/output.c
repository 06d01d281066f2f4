// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "output.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "fail.h"
#include "otlp/utf8.h"
#include "output_ops.h"

static const struct {
	const char *spec; /* one that ends with a colon has a path behind it */
	struct output *(*open)(const char *path, enum format format, int *code);
} outputs[] = {
	{"otlp", http__open},
	{"file:", file__open},
	{"stdout", stdout__open},
};

static const char *const formats[] = {
	[FORMAT_PROTOBUF] = "protobuf",
	[FORMAT_JSON] = "json",
};

#define ONE_ATTEMPT 500000000ULL /* to encode a large request, too; hardly to try twice */

static unsigned int n_open; /* outputs */

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
			struct output *output = outputs[i].open(spec + len, number, code);

			n_open += output != NULL;
			return output;
		}
	}
	*code = fail(EXIT_USAGE, "no such output: %s: it must be otlp, file:PATH or stdout", spec);
	return NULL;
}

static __u64 monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

enum delivery output__send(struct output *output, enum signal_kind kind, const void *request,
			   size_t len, __u64 deadline_ns, const volatile bool *stop,
			   struct delivery_report *report)
{
	__u64 start = monotonic(), end = deadline_ns, took;
	enum delivery outcome;

	memset(report, 0, sizeof(*report));
	if (n_open < 2)
		return output->ops->send(output, kind, request, len, deadline_ns, stop, report);
	if (output->deadline != deadline_ns) {
		output->deadline = deadline_ns;
		output->share = deadline_ns > start ? (deadline_ns - start) / n_open : 0;
		memset(output->given_up, 0, sizeof(output->given_up));
	}
	if (output->given_up[kind]) {
		report__say(report, "not sent: it did not take what came before in this export");
		return UNDELIVERED;
	}
	/* An attempt that has begun by then ends in its own time-out. */
	if (output->failing[kind])
		end = start + ONE_ATTEMPT;
	else if (end > start + output->share)
		end = start + output->share;
	if (end > deadline_ns)
		end = deadline_ns;
	outcome = output->ops->send(output, kind, request, len, end, stop, report);
	took = monotonic() - start;
	output->share -= took < output->share ? took : output->share;
	output->failing[kind] = output->given_up[kind] = outcome == UNDELIVERED;
	return outcome;
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
	n_open--;
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
