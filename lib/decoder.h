/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Decoders: from a number in a map to what a person reads. */
#ifndef OTELBPF_DECODER_H
#define OTELBPF_DECODER_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/types.h>

struct btf;
struct btf_type;

/**
 * struct decoded - an attribute's value
 * @text:   the string, unless @number_only; not necessarily in @buf
 * @len:    its length in bytes; no terminating zero is promised
 * @number: the value, when @kind is DECODED_NUMBER or DECODED_BOOL
 * @buf:    room for a decoder that has to write its string
 */
enum decoded_kind { DECODED_STRING, DECODED_NUMBER, DECODED_BOOL, DECODED_NONE };
struct decoded {
	enum decoded_kind kind;
	const char *text;
	size_t len;
	__s64 number;
	char buf[128];
};

/**
 * struct decoder_ctx - what a decoder may need beside the bytes
 * @btf:  BTF of the map
 * @type: BTF id of the member's type (for enum)
 * @arg:  what stood behind the decoder's name and a colon, or ""
 */
struct decoder_ctx {
	const struct btf *btf;
	__u32 type;
	const char *arg;
};

/**
 * struct decoder - one kind of attribute value
 * @name:   as written in OTEL_ATTR()
 * @check:  whether a member of @size bytes can be decoded; returns 0, or -EINVAL and
 *          a reason in @why. May be NULL: 1, 2, 4 or 8 bytes then.
 * @decode: bytes to value. Never fails: what has no name becomes a number in text.
 * @encode: name to numbers (a call's native and its 32-bit number, say), for
 *          filters. Returns how many were written to @out, at most @max; 0 for an
 *          unknown name. NULL where a filter set makes no sense.
 * @bit:    a number's bit in a filter set; NULL: the number itself
 * @extra:  an attribute that some values bring along: name in @key; returns false
 *          when there is none for this value. NULL for most.
 */
struct decoder {
	const char *name;
	int (*check)(const struct decoder_ctx *ctx, size_t size, const char **why);
	void (*decode)(const struct decoder_ctx *ctx, const void *bytes, size_t size,
		       struct decoded *out);
	int (*encode)(const char *name, __u64 *out, int max);
	__u32 (*bit)(__u64 number);
	bool (*extra)(const void *bytes, size_t size, const char **key, struct decoded *out);
};

/**
 * decoder__find - the decoder of a tag's argument
 * @spec: "name" or "name:arg"
 * @arg:  set to what stands behind the colon, "" if nothing
 *
 * Return: the decoder or NULL.
 */
const struct decoder *decoder__find(const char *spec, const char **arg);

/** decoder__nth - for listing: the n-th decoder, or NULL behind the last */
const struct decoder *decoder__nth(int n);

#endif
