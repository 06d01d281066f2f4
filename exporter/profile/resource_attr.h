/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Reading the attributes of a Resource back, for formats that have no Resource. */
#ifndef OTELBPF_PROFILE_RESOURCE_ATTR_H
#define OTELBPF_PROFILE_RESOURCE_ATTR_H

#include "model.h"

/**
 * struct resource_attr - an attribute whose value is a string or an integer
 * @key:    its name
 * @kind:   ATTRIBUTE_STRING or ATTRIBUTE_INT
 * @text:   the string, cut where it does not fit
 * @number: the integer
 */
struct resource_attr {
	char key[128];
	char text[512];
	__s64 number;
	enum attribute_kind kind;
};

struct resource_walk {
	const __u8 *at, *end;
};

/** resource__walk - begin with the first attribute */
struct resource_walk resource__walk(const struct profile_set *set, int resource);

/** resource__next - read the next one; false at the end, or where it is no protobuf */
bool resource__next(struct resource_walk *walk, struct resource_attr *attr);

#endif
