// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "resource_attr.h"

#include "otlp/fields.h"

static void copy_text(char *to, size_t room, const struct pb_field *from)
{
	size_t len = from->len < room ? from->len : room - 1;

	if (len)
		memcpy(to, from->data, len);
	to[len] = '\0';
}

static void read_value(struct resource_attr *attr, const struct pb_field *message)
{
	const __u8 *at = message->data;
	struct pb_field value;

	if (pb__next(&at, at + message->len, &value) <= 0)
		return;
	if (value.number == ANY_VALUE_STRING && value.wire == PB_LEN) {
		attr->kind = ATTRIBUTE_STRING;
		copy_text(attr->text, sizeof(attr->text), &value);
	} else if (value.number == ANY_VALUE_INT && value.wire == PB_VARINT) {
		attr->kind = ATTRIBUTE_INT;
		attr->number = value.value;
	}
}

struct resource_walk resource__walk(const struct profile_set *set, int resource)
{
	const __u8 *at = profile_set__at(set, TABLE_RESOURCES, resource);

	return (struct resource_walk){at, at + set->tables[TABLE_RESOURCES].entries[resource].len};
}

bool resource__next(struct resource_walk *walk, struct resource_attr *attr)
{
	struct pb_field field, part;

	while (pb__next(&walk->at, walk->end, &field) > 0) {
		const __u8 *at = field.data;

		if (field.number != RESOURCE_ATTRIBUTES || field.wire != PB_LEN)
			continue;
		attr->key[0] = attr->text[0] = '\0';
		attr->kind = ATTRIBUTE_NONE;
		while (pb__next(&at, field.data + field.len, &part) > 0) {
			if (part.number == KEY_VALUE_KEY && part.wire == PB_LEN)
				copy_text(attr->key, sizeof(attr->key), &part);
			if (part.number == KEY_VALUE_VALUE && part.wire == PB_LEN)
				read_value(attr, &part);
		}
		if (attr->kind != ATTRIBUTE_NONE && attr->key[0])
			return true;
	}
	return false;
}
