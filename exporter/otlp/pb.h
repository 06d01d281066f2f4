/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Writing and reading protobuf (protobuf.dev, "Encoding"), no more of it than
 * OTLP needs. The writer is the exporter's hot path: one growing buffer, values
 * stored where they belong, a submessage's length patched in when it is known.
 */
#ifndef OTELBPF_OTLP_PB_H
#define OTELBPF_OTLP_PB_H

#include <endian.h>
#include <errno.h>
#include <linux/types.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

enum pb_wire { PB_VARINT = 0, PB_FIXED64 = 1, PB_LEN = 2, PB_FIXED32 = 5 };

/**
 * struct pb - a growing buffer
 * @data:   bytes written so far, owned
 * @len:    how many
 * @room:   how many fit
 * @failed: memory ran out: what is in @data is incomplete, and writing on is harmless
 */
struct pb {
	__u8 *data;
	size_t len;
	size_t room;
	bool failed;
};

/** pb__free - give the memory back; the struct may be used again */
static inline void pb__free(struct pb *pb)
{
	free(pb->data);
	*pb = (struct pb){0};
}

/** pb__grow - the slow path of pb__reserve() */
bool pb__grow(struct pb *pb, size_t more);

/** pb__reserve - make room for @more bytes; false when there is no memory */
static inline bool pb__reserve(struct pb *pb, size_t more)
{
	return pb->room - pb->len >= more || pb__grow(pb, more);
}

#define PB_VARINT_MAX 10
#define PB_TAG(field, wire) ((__u32)(field) << 3 | (wire))

/* Room must have been reserved. */
static inline __u8 *pb_put__varint(__u8 *at, __u64 v)
{
	while (v >= 0x80) {
		*at++ = v | 0x80;
		v >>= 7;
	}
	*at++ = v;
	return at;
}

/** pb__varint_len - bytes that a varint takes */
static inline size_t pb__varint_len(__u64 v)
{
	return (64 - __builtin_clzll(v | 1) + 6) / 7;
}

/** pb__zigzag - sint32 and sint64 as a varint's value */
static inline __u64 pb__zigzag(__s64 v)
{
	return (__u64)v << 1 ^ (__u64)(v >> 63);
}

/** pb__varint - field of type int32, int64, uint64, bool or enum */
static inline void pb__varint(struct pb *pb, __u32 field, __u64 v)
{
	__u8 *at;

	if (!pb__reserve(pb, 2 * PB_VARINT_MAX))
		return;
	at = pb_put__varint(pb->data + pb->len, PB_TAG(field, PB_VARINT));
	pb->len = pb_put__varint(at, v) - pb->data;
}

/** pb__fixed64 - field of type fixed64 or sfixed64 */
static inline void pb__fixed64(struct pb *pb, __u32 field, __u64 v)
{
	__u8 *at;

	if (!pb__reserve(pb, PB_VARINT_MAX + 8))
		return;
	at = pb_put__varint(pb->data + pb->len, PB_TAG(field, PB_FIXED64));
	v = htole64(v);
	memcpy(at, &v, 8);
	pb->len = at + 8 - pb->data;
}

/** pb__double - field of type double */
static inline void pb__double(struct pb *pb, __u32 field, double v)
{
	__u64 bits;

	memcpy(&bits, &v, sizeof(bits));
	pb__fixed64(pb, field, bits);
}

/** pb__bytes - field of type bytes, string, or an encoded submessage */
static inline void pb__bytes(struct pb *pb, __u32 field, const void *data, size_t len)
{
	__u8 *at;

	if (!pb__reserve(pb, 2 * PB_VARINT_MAX + len))
		return;
	at = pb_put__varint(pb->data + pb->len, PB_TAG(field, PB_LEN));
	at = pb_put__varint(at, len);
	if (len)
		memcpy(at, data, len);
	pb->len = at + len - pb->data;
}

/** pb__string - field of type string */
static inline void pb__string(struct pb *pb, __u32 field, const char *text)
{
	pb__bytes(pb, field, text, strlen(text));
}

/** pb__raw - bytes that are fields already */
static inline void pb__raw(struct pb *pb, const void *data, size_t len)
{
	if (!pb__reserve(pb, len) || !len)
		return;
	memcpy(pb->data + pb->len, data, len);
	pb->len += len;
}

/**
 * pb__open - begin a submessage whose length is not known yet
 *
 * Return: to be given to pb__close(). One byte is left for the length: most
 * submessages are shorter than 128 bytes, and pb__close() moves the others.
 */
static inline size_t pb__open(struct pb *pb, __u32 field)
{
	if (!pb__reserve(pb, PB_VARINT_MAX + 1))
		return 0;
	pb->len = pb_put__varint(pb->data + pb->len, PB_TAG(field, PB_LEN)) + 1 - pb->data;
	return pb->len;
}

/** pb__close - end a submessage: its length goes where pb__open() left room */
static inline void pb__close(struct pb *pb, size_t opened)
{
	size_t len = pb->len - opened, extra = pb__varint_len(len) - 1;

	if (!pb__reserve(pb, extra) || pb->failed)
		return;
	if (extra)
		memmove(pb->data + opened + extra, pb->data + opened, len);
	pb_put__varint(pb->data + opened - 1, len);
	pb->len += extra;
}

/**
 * struct pb_field - one field as read
 * @number: field number
 * @wire:   enum pb_wire
 * @value:  varint or fixed value
 * @data:   bytes of a length-delimited field, inside the input
 * @len:    how many
 */
struct pb_field {
	__u32 number;
	enum pb_wire wire;
	__u64 value;
	const __u8 *data;
	size_t len;
};

/**
 * pb__next - read the next field of a message
 * @at:    where to read; moved on
 * @end:   end of the message
 * @field: filled in
 *
 * Return: 1 for a field, 0 at the end, -EBADMSG when the bytes are no protobuf.
 */
int pb__next(const __u8 **at, const __u8 *end, struct pb_field *field);

/** pb__read_varint - read one varint of a packed field; false when there is none */
bool pb__read_varint(const __u8 **at, const __u8 *end, __u64 *v);

#endif
