/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a process says of itself: the Resource that its SDK publishes in memory
 * (OpenTelemetry OTEP 4719, "Process Context"), and the OTEL_ variables it was started
 * with. All of it is a stranger's: bounded, checked, and read so that no stranger can
 * make the reader wait.
 */
#ifndef OTELBPF_PROCESS_CONTEXT_H
#define OTELBPF_PROCESS_CONTEXT_H

#include <linux/types.h>
#include <stdbool.h>

#include "aside.h"
#include "otlp/pb.h"

#define CONTEXT_PAYLOAD_MAX 65536  /* bytes; the reference reader's bound, too */
#define CONTEXT_ATTRIBUTES_MAX 64  /* of one process */
#define CONTEXT_ATTRIBUTE_MAX 4096 /* bytes of one, encoded */
#define CONTEXT_BYTES_MAX 16384	   /* of all attributes of a process */
#define CONTEXT_WAIT_MS 500

/**
 * struct process_attrs - attributes that are encoded, each key once
 * @bytes:   RESOURCE_ATTRIBUTES fields of a Resource
 * @n:       how many
 * @dropped: how many there was no room for, or that are no attributes
 */
struct process_attrs {
	struct pb bytes;
	unsigned int n, dropped;
};

/**
 * attrs__key - the key of an encoded KeyValue
 * @data: the message
 * @len:  its bytes
 * @key:  set; not terminated
 *
 * Return: its length, 0 when there is none.
 */
size_t attrs__key(const __u8 *data, size_t len, const char **key);

/** attrs__has - whether a key is among encoded RESOURCE_ATTRIBUTES fields */
bool attrs__has(const struct pb *bytes, const char *key, size_t len);

/**
 * attrs__add_context - add the attributes of a ProcessContext message
 *
 * Keys that are there already are left as they are. Values that are no valid AnyValue,
 * empty, or nested deeper than a list or map of lists, are dropped.
 *
 * Return: 0, or -EBADMSG when it is no such message: then nothing was added.
 */
int attrs__add_context(struct process_attrs *attrs, const __u8 *data, size_t len);

/**
 * attrs__add_environment - add what OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES say
 * @attrs:       added to; keys that are there already are left as they are
 * @environment: "NAME=value" strings one behind the other
 * @len:         bytes in all
 */
void attrs__add_environment(struct process_attrs *attrs, const char *environment, size_t len);

/**
 * struct context_place - where a process published its context
 * @start: address of the header, 0: not known
 * @published: its time stamp when it was read
 */
struct context_place {
	__u64 start;
	__u64 published;
};

/** context__work - reads other processes' memory; for struct aside */
aside_work context__work;

/**
 * context__read - read the context of a process
 * @aside: with context__work
 * @pid:   the process
 * @place: where it was last time; else looked for, and set
 * @reply: ASIDE_REPLY_MAX bytes for the payload
 *
 * Return: bytes of payload, 0 when it is the same as last time, -ENOENT when there is
 * none, -ETIMEDOUT when memory does not answer, another -errno.
 */
ssize_t context__read(struct aside *aside, __u32 pid, struct context_place *place, __u8 *reply);

/**
 * attrs__read_environment - attrs__add_environment() from /proc/PID/environ
 * @aside: with context__work
 * @reply: ASIDE_REPLY_MAX bytes of room
 *
 * Return: 0, -ETIMEDOUT when the process's memory does not answer, another -errno.
 */
int attrs__read_environment(struct process_attrs *attrs, struct aside *aside, __u32 pid,
			    __u8 *reply);

#endif
