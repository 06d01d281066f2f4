/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What OTLP's messages look like, as data: for OTLP/JSON, and to name a field. */
#ifndef OTELBPF_OTLP_SCHEMA_H
#define OTELBPF_OTLP_SCHEMA_H

#include <linux/types.h>
#include <stdbool.h>

#include "signal_kind.h"

/**
 * enum schema_kind - type of a field, in protobuf and in OTLP/JSON
 * @SCHEMA_MESSAGE:  submessage; object
 * @SCHEMA_STRING:   string
 * @SCHEMA_ID:       bytes; hex (trace, span and profile ids)
 * @SCHEMA_BYTES:    bytes; base64
 * @SCHEMA_DOUBLE:   double; number, or "NaN", "Infinity", "-Infinity"
 * @SCHEMA_FIXED64:  fixed64; decimal string
 * @SCHEMA_SFIXED64: sfixed64; decimal string
 * @SCHEMA_UINT64:   varint; decimal string
 * @SCHEMA_INT64:    varint; decimal string
 * @SCHEMA_FIXED32:  fixed32; number
 * @SCHEMA_UINT32:   varint; number
 * @SCHEMA_INT32:    varint; number
 * @SCHEMA_SINT32:   zigzag varint; number
 * @SCHEMA_ENUM:     varint; number
 * @SCHEMA_BOOL:     varint; true or false
 */
enum schema_kind {
	SCHEMA_MESSAGE,
	SCHEMA_STRING,
	SCHEMA_ID,
	SCHEMA_BYTES,
	SCHEMA_DOUBLE,
	SCHEMA_FIXED64,
	SCHEMA_SFIXED64,
	SCHEMA_UINT64,
	SCHEMA_INT64,
	SCHEMA_FIXED32,
	SCHEMA_UINT32,
	SCHEMA_INT32,
	SCHEMA_SINT32,
	SCHEMA_ENUM,
	SCHEMA_BOOL,
	SCHEMA_KINDS,
};

/**
 * struct schema_field - one field of a message
 * @number:   field number (fields.h)
 * @name:     its name in OTLP/JSON
 * @kind:     its type
 * @repeated: an array; scalars may be packed or not
 * @oneof:    setting it clears the message's other fields that have @oneof set
 * @message:  for SCHEMA_MESSAGE
 */
struct schema_field {
	__u32 number;
	const char *name;
	enum schema_kind kind;
	bool repeated;
	bool oneof;
	const struct schema_message *message;
};

/**
 * struct schema_message - a message
 * @name:   as the .proto file has it
 * @fields: the last one has number 0
 */
struct schema_message {
	const char *name;
	const struct schema_field *fields;
};

/** schema__request - Export*ServiceRequest of a signal */
const struct schema_message *schema__request(enum signal_kind kind);

/** schema__response - Export*ServiceResponse of a signal */
const struct schema_message *schema__response(enum signal_kind kind);

/** schema__field - a message's field by its number, or NULL */
const struct schema_field *schema__field(const struct schema_message *message, __u32 number);

#endif
