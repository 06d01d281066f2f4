// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "attr.h"

#include "fields.h"
#include "utf8.h"

void attr__text(struct pb *pb, __u32 field, const char *text, size_t len)
{
	size_t start, step;
	__u8 *at;

	pb__bytes(pb, field, text, len);
	if (pb->failed)
		return;
	start = pb->len - len;
	at = pb->data + start;
	for (size_t i = 0; i < len; i += step) {
		step = utf8__sequence(at + i, len - i);
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

	attr__text(pb, ANY_VALUE_STRING, text, len);
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
		attr__text(pb, ANY_VALUE_STRING, value->text, value->len);
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
