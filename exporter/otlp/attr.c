// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "attr.h"

#include "fields.h"

/* Bytes of the valid UTF-8 sequence at @s (RFC 3629), 0 if there is none. */
static size_t utf8_sequence(const __u8 *s, size_t len)
{
	__u32 v;
	size_t n;

	if (s[0] < 0x80)
		return 1;
	n = s[0] >= 0xf0 ? 4 : s[0] >= 0xe0 ? 3 : s[0] >= 0xc2 ? 2 : 0;
	if (!n || n > len)
		return 0;
	v = s[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		v = v << 6 | (s[i] & 0x3f);
	}
	/* Overlong forms, surrogates, beyond Unicode. */
	if ((n == 3 && v < 0x800) || (n == 4 && (v < 0x10000 || v > 0x10ffff)) ||
	    (v >= 0xd800 && v < 0xe000))
		return 0;
	return n;
}

static void put_utf8(struct pb *pb, __u32 field, const char *text, size_t len)
{
	size_t start, step;
	__u8 *at;

	pb__bytes(pb, field, text, len);
	if (pb->failed)
		return;
	start = pb->len - len;
	at = pb->data + start;
	for (size_t i = 0; i < len; i += step) {
		step = utf8_sequence(at + i, len - i);
		if (!step) {
			at[i] = '?';
			step = 1;
		}
	}
}

/* A KeyValue whose AnyValue is the @len bytes of fields that follow in the caller. */
static size_t open_value(struct pb *pb, __u32 field, const char *key, size_t *value)
{
	size_t attr = pb__open(pb, field);

	pb__string(pb, KEY_VALUE_KEY, key);
	*value = pb__open(pb, KEY_VALUE_VALUE);
	return attr;
}

void attr__string(struct pb *pb, __u32 field, const char *key, const char *text, size_t len)
{
	size_t value, attr = open_value(pb, field, key, &value);

	put_utf8(pb, ANY_VALUE_STRING, text, len);
	pb__close(pb, value);
	pb__close(pb, attr);
}

void attr__int(struct pb *pb, __u32 field, const char *key, __s64 v)
{
	size_t value, attr = open_value(pb, field, key, &value);

	pb__varint(pb, ANY_VALUE_INT, v);
	pb__close(pb, value);
	pb__close(pb, attr);
}

void attr__bool(struct pb *pb, __u32 field, const char *key, bool v)
{
	size_t value, attr = open_value(pb, field, key, &value);

	pb__varint(pb, ANY_VALUE_BOOL, v);
	pb__close(pb, value);
	pb__close(pb, attr);
}

void attr__decoded(struct pb *pb, __u32 field, const struct pb *key, const struct decoded *value)
{
	size_t attr, any;

	if (value->kind == DECODED_NONE)
		return;
	attr = pb__open(pb, field);
	pb__raw(pb, key->data, key->len);
	any = pb__open(pb, KEY_VALUE_VALUE);
	switch (value->kind) {
	case DECODED_STRING:
		put_utf8(pb, ANY_VALUE_STRING, value->text, value->len);
		break;
	case DECODED_NUMBER:
		pb__varint(pb, ANY_VALUE_INT, value->number);
		break;
	case DECODED_BOOL:
		pb__varint(pb, ANY_VALUE_BOOL, value->number);
		break;
	case DECODED_NONE:
		break;
	}
	pb__close(pb, any);
	pb__close(pb, attr);
}
