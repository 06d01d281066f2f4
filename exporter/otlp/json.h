/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* OTLP/JSON, made from the protobuf that is sent: one encoder, two forms. */
#ifndef OTELBPF_OTLP_JSON_H
#define OTELBPF_OTLP_JSON_H

#include <stddef.h>

#include "signal_kind.h"

struct json_object;

/**
 * otlp__to_json - turn an Export*ServiceRequest into its OTLP/JSON form
 * @kind:    which signal
 * @request: protobuf
 * @len:     bytes
 *
 * lowerCamelCase keys, 64-bit integers as strings, enums as numbers, trace, span
 * and profile ids in hex, other bytes in base64; fields not in the schema table are
 * left out.
 *
 * Return: a json-c object (json_object_put() it), or NULL with errno EBADMSG for
 * malformed protobuf, ENOMEM.
 */
struct json_object *otlp__to_json(enum signal_kind kind, const void *request, size_t len);

#endif
