// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A request as it goes out: encoded, compressed, framed; and what came back compressed. Source of
 * gRPC's framing: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md.
 */
#include <endian.h>
#include <errno.h>
#include <json-c/json.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>
#include <zstd.h>

#include "exchange.h"
#include "otlp/json.h"

#define GRPC_PREFIX 5 /* compressed or not, and the length as 32 bits, big endian */

void body__free(struct body *body)
{
	json_object_put(body->json);
	free(body->packed);
}

static size_t gzip(const struct body *body, __u8 *to, size_t room)
{
	z_stream z = {0};
	int err;

	/* 16 makes it gzip rather than zlib. */
	if (deflateInit2(&z, Z_BEST_SPEED, Z_DEFLATED, MAX_WBITS + 16, 8, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return 0;
	z.next_in = (Bytef *)body->data;
	z.avail_in = body->len;
	z.next_out = to;
	z.avail_out = room;
	err = deflate(&z, Z_FINISH);
	deflateEnd(&z);
	return err == Z_STREAM_END ? z.total_out : 0;
}

/* deflateBound() without a stream: the same bound for gzip's header and trailer. */
static size_t gzip_bound(size_t len)
{
	return compressBound(len) + 32;
}

/* Level 1 here too: smaller than gzip's, in less time. The window, and so the memory, is 512 KiB.
 */
static size_t zstd(const struct body *body, __u8 *to, size_t room)
{
	size_t len = ZSTD_compress(to, room, body->data, body->len, 1);

	return ZSTD_isError(len) ? 0 : len;
}

static ssize_t gunzip(const void *data, size_t len, __u8 *to, size_t room)
{
	z_stream z = {.next_in = (Bytef *)data, .avail_in = len};
	int err;

	if (inflateInit2(&z, MAX_WBITS + 16) != Z_OK)
		return -1;
	z.next_out = to;
	z.avail_out = room;
	err = inflate(&z, Z_FINISH);
	inflateEnd(&z);
	return err == Z_STREAM_END ? (ssize_t)z.total_out : -1;
}

static ssize_t unzstd(const void *data, size_t len, __u8 *to, size_t room)
{
	size_t got = ZSTD_decompress(to, room, data, len);

	return ZSTD_isError(got) ? -1 : (ssize_t)got;
}

static const struct {
	const char *name;
	size_t (*bound)(size_t len);
	/* Return: bytes in @to, 0 when there is no memory. */
	size_t (*pack)(const struct body *body, __u8 *to, size_t room);
	/* Return: likewise, -1 when there is no room, or it is no such data. */
	ssize_t (*unpack)(const void *data, size_t len, __u8 *to, size_t room);
} packers[] = {
	[COMPRESSION_GZIP] = {"gzip", gzip_bound, gzip, gunzip},
	[COMPRESSION_ZSTD] = {"zstd", ZSTD_compressBound, zstd, unzstd},
};

const char *body__encoding(enum compression compression)
{
	return packers[compression].name;
}

void *body__unpack(const char *name, const void *data, size_t *len)
{
	for (size_t i = COMPRESSION_GZIP; i < sizeof(packers) / sizeof(*packers); i++) {
		__u8 *to;
		ssize_t got;

		if (strcmp(name, packers[i].name))
			continue;
		to = malloc(RESPONSE_MAX); /* which costs only what is written */
		got = to ? packers[i].unpack(data, *len, to, RESPONSE_MAX) : -1;
		if (got < 0) {
			free(to);
			return NULL;
		}
		*len = got;
		return to;
	}
	return NULL;
}

static bool pack_body(const struct otlp_endpoint *endpoint, enum compression compression,
		      struct body *body)
{
	size_t prefix = endpoint->grpc ? GRPC_PREFIX : 0, room = body->len, len = body->len;
	__be32 length;
	__u8 *packed;

	if (!prefix && !compression)
		return true;
	if (compression)
		room = packers[compression].bound(body->len);
	packed = malloc(prefix + room);
	if (!packed)
		return false;
	if (compression)
		len = packers[compression].pack(body, packed + prefix, room);
	else if (len)
		memcpy(packed + prefix, body->data, len);
	if (compression && !len) {
		free(packed);
		return false;
	}
	if (prefix) {
		packed[0] = compression != COMPRESSION_NONE;
		length = htobe32(len);
		memcpy(packed + 1, &length, sizeof(length));
	}
	body->data = body->packed = packed;
	body->len = prefix + len;
	return true;
}

enum delivery body__make(const struct otlp_endpoint *endpoint, enum signal_kind kind,
			 enum compression compression, const void *request, size_t len,
			 struct body *body, struct delivery_report *report)
{
	*body = (struct body){.data = request, .len = len};
	if (endpoint->json && len <= REQUEST_MAX) {
		body->json = otlp__to_json(kind, request, len);
		if (!body->json && errno == EBADMSG) {
			report__say(report, "not sent: the request is malformed");
			return REFUSED;
		}
		body->data =
			body->json
				? json_object_to_json_string_length(
					  body->json,
					  JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE,
					  &body->len)
				: NULL;
		if (!body->data)
			goto no_memory;
	}
	if (body->len > REQUEST_MAX) {
		report__say(report, "not sent: %zu bytes are more than the limit of %zu", body->len,
			    REQUEST_MAX);
		return REFUSED;
	}
	if (pack_body(endpoint, compression, body))
		return DELIVERED;
no_memory:
	report__say(report, "not sent: no memory");
	return UNDELIVERED;
}
