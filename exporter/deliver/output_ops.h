/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a kind of output provides. Only the files in this folder include it. */
#ifndef OTELBPF_DELIVER_OUTPUT_OPS_H
#define OTELBPF_DELIVER_OUTPUT_OPS_H

#include "output.h"

/** struct output_ops - the functions of output.h, for one kind of output */
struct output_ops {
	enum delivery (*send)(struct output *output, enum signal_kind kind, const void *request,
			      size_t len, __u64 deadline_ns, const volatile bool *stop,
			      struct delivery_report *report);
	size_t (*limit)(const struct output *output);
	const char *(*name)(const struct output *output, enum signal_kind kind);
	void (*close)(struct output *output);
};

/*
 * The largest request that is turned into JSON at once. The library's tree takes about
 * 70 times the memory of the protobuf, and the exporter is to stay below 20 MiB.
 */
#define JSON_REQUEST_MAX ((size_t)64 << 10)

/** struct output - first member of every kind's own struct */
struct output {
	const struct output_ops *ops;
};

/** enum format - how requests are encoded */
enum format { FORMAT_DEFAULT, FORMAT_PROTOBUF, FORMAT_JSON };

/*
 * Each returns NULL with *code set after fail() has spoken. @path is what follows the
 * colon of the output's specification.
 */
struct output *http__open(const char *path, enum format format, int *code);
struct output *file__open(const char *path, enum format format, int *code);
struct output *stdout__open(const char *path, enum format format, int *code);

/** report__say - set a report's message, made fit for a terminal: one line, valid UTF-8 */
void report__say(struct delivery_report *report, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

/** report__add - add to the message */
void report__add(struct delivery_report *report, const char *fmt, ...)
	__attribute__((format(printf, 2, 3)));

#endif
