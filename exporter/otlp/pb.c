// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "pb.h"

bool pb__grow(struct pb *pb, size_t more)
{
	size_t room = pb->room ? pb->room : 4096;
	__u8 *data;

	while (room - pb->len < more && room < (size_t)1 << 40)
		room += room / 2;
	data = pb->failed ? NULL : realloc(pb->data, room);
	if (!data) {
		pb->failed = true;
		return false;
	}
	pb->data = data;
	pb->room = room;
	return true;
}

bool pb__read_varint(const __u8 **at, const __u8 *end, __u64 *v)
{
	*v = 0;
	for (int shift = 0; shift < 64 && *at < end; shift += 7) {
		__u8 byte = *(*at)++;

		*v |= (__u64)(byte & 0x7f) << shift;
		if (!(byte & 0x80))
			return true;
	}
	return false;
}

int pb__next(const __u8 **at, const __u8 *end, struct pb_field *field)
{
	__u64 tag;

	if (*at == end)
		return 0;
	if (!pb__read_varint(at, end, &tag) || tag >> 3 == 0 || tag >> 32)
		return -EBADMSG;
	*field = (struct pb_field){.number = tag >> 3, .wire = tag & 7};
	switch (field->wire) {
	case PB_VARINT:
		return pb__read_varint(at, end, &field->value) ? 1 : -EBADMSG;
	case PB_FIXED64:
	case PB_FIXED32:
		field->len = field->wire == PB_FIXED64 ? 8 : 4;
		if ((size_t)(end - *at) < field->len)
			return -EBADMSG;
		memcpy(&field->value, *at, field->len);
		field->value = le64toh(field->value);
		*at += field->len;
		return 1;
	case PB_LEN:
		if (!pb__read_varint(at, end, &field->value) || field->value > (size_t)(end - *at))
			return -EBADMSG;
		field->data = *at;
		field->len = field->value;
		*at += field->len;
		return 1;
	}
	return -EBADMSG;
}
