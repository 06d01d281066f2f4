/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Attributes: KeyValue messages (opentelemetry/proto/common/v1/common.proto). */
#ifndef OTELBPF_OTLP_ATTR_H
#define OTELBPF_OTLP_ATTR_H

#include "decoder.h"
#include "pb.h"

/** attr__text - append a string field; what is no UTF-8 becomes '?' as in attr__string() */
void attr__text(struct pb *pb, __u32 field, const char *text, size_t len);

/**
 * attr__string - append a KeyValue with a string
 * @pb:    buffer of the message that has the attributes
 * @field: number of its attributes field
 * @key:   attribute name
 * @text:  value; bytes that are no UTF-8 become '?', since a receiver refuses
 *         the whole request for one of them
 * @len:   its bytes
 */
void attr__string(struct pb *pb, __u32 field, const char *key, const char *text, size_t len);

/** attr__int - append a KeyValue with an integer. See attr__string(). */
void attr__int(struct pb *pb, __u32 field, const char *key, __s64 v);

/** attr__bool - append a KeyValue with a truth value. See attr__string(). */
void attr__bool(struct pb *pb, __u32 field, const char *key, bool v);

/**
 * attr__decoded - append a KeyValue with a decoder's result
 * @pb:    buffer
 * @field: number of the attributes field
 * @key:   the key as an encoded KeyValue.key field
 * @value: DECODED_NONE appends nothing
 */
void attr__decoded(struct pb *pb, __u32 field, const struct pb *key, const struct decoded *value);

#endif
