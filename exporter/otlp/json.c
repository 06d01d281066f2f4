// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "json.h"

#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <math.h>
#include <stdio.h>

#include "pb.h"
#include "schema.h"
#include "utf8.h"

/*
 * Only AnyValue nests without end, and only through hostile or broken input. 100 is
 * what protobuf's own readers allow; the stack used stays under 32 KiB.
 */
#define DEPTH_MAX 100

/* How each kind stands on the wire. */
static const enum pb_wire wires[SCHEMA_KINDS] = {
	[SCHEMA_MESSAGE] = PB_LEN,	[SCHEMA_STRING] = PB_LEN,
	[SCHEMA_ID] = PB_LEN,		[SCHEMA_BYTES] = PB_LEN,
	[SCHEMA_DOUBLE] = PB_FIXED64,	[SCHEMA_FIXED64] = PB_FIXED64,
	[SCHEMA_SFIXED64] = PB_FIXED64, [SCHEMA_FIXED32] = PB_FIXED32,
	[SCHEMA_UINT64] = PB_VARINT,	[SCHEMA_INT64] = PB_VARINT,
	[SCHEMA_UINT32] = PB_VARINT,	[SCHEMA_INT32] = PB_VARINT,
	[SCHEMA_SINT32] = PB_VARINT,	[SCHEMA_ENUM] = PB_VARINT,
	[SCHEMA_BOOL] = PB_VARINT,
};

static void free_text(char **text)
{
	free(*text);
}

static struct json_object *new_decimal(bool is_signed, __u64 value)
{
	char text[24];
	int len = is_signed ? snprintf(text, sizeof(text), "%lld", (long long)value)
			    : snprintf(text, sizeof(text), "%llu", (unsigned long long)value);

	return json_object_new_string_len(text, len);
}

static struct json_object *new_double(__u64 bits)
{
	char text[32];
	double value;

	memcpy(&value, &bits, sizeof(value));
	if (isnan(value))
		return json_object_new_string("NaN");
	if (isinf(value))
		return json_object_new_string(value < 0 ? "-Infinity" : "Infinity");
	/* The shortest that reads back as the same double; 17 digits always do. */
	for (int digits = 15; digits <= 17; digits++) {
		snprintf(text, sizeof(text), "%.*g", digits, value);
		if (strtod(text, NULL) == value)
			break;
	}
	return json_object_new_double_s(value, text);
}

/*
 * A JSON text must be UTF-8 while names from the kernel (comm, paths) may be any
 * bytes: what is no UTF-8 becomes U+FFFD, one for each byte, and the rest is kept.
 */
static struct json_object *new_string(const __u8 *data, size_t len)
{
	static const char replacement[] = "\xef\xbf\xbd";
	char *clean __attribute__((cleanup(free_text))) = NULL;
	size_t good = 0, used, step;

	while (good < len && (step = utf8__sequence(data + good, len - good)))
		good += step;
	if (good == len)
		return json_object_new_string_len((const char *)data, len);
	clean = malloc(good + 3 * (len - good));
	if (!clean)
		return NULL;
	memcpy(clean, data, good);
	for (used = good; good < len; good += step ?: 1) {
		step = utf8__sequence(data + good, len - good);
		memcpy(clean + used, step ? (const void *)(data + good) : replacement, step ?: 3);
		used += step ?: 3;
	}
	return json_object_new_string_len(clean, used);
}

static struct json_object *new_hex(const __u8 *data, size_t len)
{
	static const char digits[] = "0123456789abcdef";
	char *text __attribute__((cleanup(free_text))) = malloc(2 * len + 1);

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i++) {
		text[2 * i] = digits[data[i] >> 4];
		text[2 * i + 1] = digits[data[i] & 15];
	}
	return json_object_new_string_len(text, 2 * len);
}

static struct json_object *new_base64(const __u8 *data, size_t len)
{
	static const char digits[] =
		"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
	char *text __attribute__((cleanup(free_text))) = malloc((len + 2) / 3 * 4 + 1);
	char *at = text;

	if (!text)
		return NULL;
	for (size_t i = 0; i < len; i += 3) {
		size_t have = len - i < 3 ? len - i : 3;
		__u32 group = data[i] << 16 | (have > 1 ? data[i + 1] << 8 : 0) |
			      (have > 2 ? data[i + 2] : 0);

		*at++ = digits[group >> 18];
		*at++ = digits[group >> 12 & 63];
		*at++ = have > 1 ? digits[group >> 6 & 63] : '=';
		*at++ = have > 2 ? digits[group & 63] : '=';
	}
	return json_object_new_string_len(text, at - text);
}

static struct json_object *new_value(enum schema_kind kind, const struct pb_field *read)
{
	switch (kind) {
	case SCHEMA_STRING:
		return new_string(read->data, read->len);
	case SCHEMA_ID:
		return new_hex(read->data, read->len);
	case SCHEMA_BYTES:
		return new_base64(read->data, read->len);
	case SCHEMA_DOUBLE:
		return new_double(read->value);
	case SCHEMA_FIXED64:
	case SCHEMA_UINT64:
		return new_decimal(false, read->value);
	case SCHEMA_SFIXED64:
	case SCHEMA_INT64:
		return new_decimal(true, read->value);
	case SCHEMA_FIXED32:
	case SCHEMA_UINT32:
		return json_object_new_int64((__u32)read->value);
	case SCHEMA_INT32:
	case SCHEMA_ENUM:
		return json_object_new_int((__s32)read->value);
	case SCHEMA_SINT32:
		return json_object_new_int(
			(__s32)((__u32)read->value >> 1 ^ -((__u32)read->value & 1)));
	case SCHEMA_BOOL:
		return json_object_new_boolean(read->value != 0);
	case SCHEMA_MESSAGE:
	case SCHEMA_KINDS:
		break;
	}
	return NULL;
}

static int message__walk(const struct schema_message *message, const __u8 *data, size_t len,
			 struct json_object *object, int depth);

/* The value goes to its parent, which owns it from then on; if it cannot, nobody does. */
static int give(struct json_object *parent, const char *name, struct json_object *value)
{
	int err = -ENOMEM;

	if (value)
		err = json_object_is_type(parent, json_type_array)
			      ? json_object_array_add(parent, value)
			      : json_object_object_add_ex(parent, name, value,
							  JSON_C_OBJECT_KEY_IS_CONSTANT);
	if (err)
		json_object_put(value);
	return err ? -ENOMEM : 0;
}

static int field__add_message(const struct schema_field *field, const struct pb_field *read,
			      struct json_object *parent, int depth)
{
	struct json_object *object = NULL;
	int err;

	/* Protobuf: a submessage that comes twice is merged with what came before. */
	if (!field->repeated)
		json_object_object_get_ex(parent, field->name, &object);
	if (!object) {
		object = json_object_new_object();
		err = give(parent, field->name, object);
		if (err)
			return err;
	}
	return message__walk(field->message, read->data, read->len, object, depth + 1);
}

static int field__add_packed(const struct schema_field *field, const struct pb_field *read,
			     struct json_object *array)
{
	const __u8 *at = read->data, *end = read->data + read->len;
	size_t size = wires[field->kind] == PB_FIXED64 ? 8 : 4;
	int err = 0;

	while (!err && at < end) {
		struct pb_field one = {0};

		if (wires[field->kind] == PB_VARINT) {
			if (!pb__read_varint(&at, end, &one.value))
				return -EBADMSG;
		} else {
			if ((size_t)(end - at) < size)
				return -EBADMSG;
			memcpy(&one.value, at, size);
			one.value = le64toh(one.value);
			at += size;
		}
		err = give(array, NULL, new_value(field->kind, &one));
	}
	return err;
}

static int field__add(const struct schema_message *message, const struct schema_field *field,
		      const struct pb_field *read, struct json_object *object, int depth)
{
	bool packed = field->repeated && wires[field->kind] != PB_LEN && read->wire == PB_LEN;
	struct json_object *parent = object;

	if (read->wire != wires[field->kind] && !packed)
		return -EBADMSG;
	if (field->oneof)
		for (const struct schema_field *other = message->fields; other->number; other++)
			if (other->oneof && other != field)
				json_object_object_del(object, other->name);
	if (field->repeated && !json_object_object_get_ex(object, field->name, &parent)) {
		int err;

		parent = json_object_new_array();
		err = give(object, field->name, parent);
		if (err)
			return err;
	}
	if (packed)
		return field__add_packed(field, read, parent);
	if (field->kind == SCHEMA_MESSAGE)
		return field__add_message(field, read, parent, depth);
	return give(parent, field->name, new_value(field->kind, read));
}

static int message__walk(const struct schema_message *message, const __u8 *data, size_t len,
			 struct json_object *object, int depth)
{
	const __u8 *at = data, *end = data + len;
	struct pb_field read;
	int err;

	if (depth > DEPTH_MAX)
		return -EBADMSG;
	while ((err = pb__next(&at, end, &read)) > 0) {
		const struct schema_field *field = schema__field(message, read.number);

		if (!field)
			continue;
		err = field__add(message, field, &read, object, depth);
		if (err)
			return err;
	}
	return err;
}

struct json_object *otlp__to_json(enum signal_kind kind, const void *request, size_t len)
{
	struct json_object *object;
	/* json-c counts in int, and base64 and hex make bytes longer. */
	int err = len > INT_MAX / 4 ? -EBADMSG : -ENOMEM;

	object = err == -ENOMEM ? json_object_new_object() : NULL;
	if (object)
		err = message__walk(schema__request(kind), request, len, object, 0);
	if (err) {
		json_object_put(object);
		object = NULL;
		errno = -err;
	}
	return object;
}
