// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Source of gRPC's framing and headers: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md.
 */
#include "exchange.h"

#include <endian.h>
#include <errno.h>
#include <json-c/json.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <zlib.h>
#include <zstd.h>

#include "otlp/json.h"

#define GRACE (10 * SECOND) /* of an attempt without a time-out, when the stop flag comes */
#define GRPC_PREFIX 5	    /* compressed or not, and the length as 32 bits, big endian */

__u64 in_ns(__u64 seconds)
{
	return (seconds < LLONG_MAX / SECOND ? seconds : LLONG_MAX / SECOND - 1) * SECOND;
}

/* --- the request ---------------------------------------------------------------- */

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

static bool add_header(struct channel *channel, const char *fmt, const char *name,
		       const char *value)
{
	struct curl_slist *more = NULL;
	char *line;

	if (asprintf(&line, fmt, name, value) < 0)
		return false;
	more = curl_slist_append(channel->headers, line);
	free(line);
	if (more)
		channel->headers = more;
	return more;
}

static size_t on_body(char *data, size_t size, size_t count, void *context)
{
	struct answer *answer = context;
	size_t len = size * count;

	if (len > RESPONSE_MAX - answer->len) {
		answer->too_large = true;
		return 0;
	}
	if (len > answer->room - answer->len) {
		size_t room = 2 * (answer->len + len);
		__u8 *more = realloc(answer->data, room);

		if (!more) {
			answer->no_memory = true;
			return 0;
		}
		answer->data = more;
		answer->room = room;
	}
	memcpy(answer->data + answer->len, data, len);
	answer->len += len;
	return len;
}

static size_t on_header(char *line, size_t size, size_t count, void *context)
{
	static const struct {
		const char *name;
		size_t offset;
		size_t room;
	} wanted[] = {
#define WANTED(name, member) \
	{name ":", offsetof(struct answer, member), sizeof(((struct answer *)0)->member)}
		WANTED("Content-Type", type),
		WANTED("Retry-After", retry_after),
		WANTED("Date", date),
		WANTED("grpc-encoding", grpc_encoding),
		WANTED("grpc-status", grpc_status),
		WANTED("grpc-message", grpc_message),
		WANTED("grpc-status-details-bin", grpc_details),
	};
	struct answer *answer = context;
	size_t len = size * count;

	answer->header_bytes += len;
	if (answer->header_bytes > HEADERS_MAX) {
		answer->too_large = true;
		return 0;
	}
	/* A new status line: what came before belonged to a 1xx. Trailers come after the end. */
	if (len > 5 && !memcmp(line, "HTTP/", 5)) {
		answer->headers_end = false;
		answer->type[0] = answer->retry_after[0] = answer->date[0] = 0;
		answer->grpc_encoding[0] = answer->grpc_status[0] = answer->grpc_message[0] =
			answer->grpc_details[0] = 0;
	} else if (len <= 2 && (line[0] == '\r' || line[0] == '\n')) {
		answer->headers_end = true;
	}
	for (size_t i = 0; i < sizeof(wanted) / sizeof(*wanted); i++) {
		size_t skip = strlen(wanted[i].name), end = len;

		if (len < skip || strncasecmp(line, wanted[i].name, skip))
			continue;
		while (skip < end && strchr(" \t", line[skip]))
			skip++;
		while (end > skip && strchr(" \t\r\n", line[end - 1]))
			end--;
		snprintf((char *)answer + wanted[i].offset, wanted[i].room, "%.*s",
			 (int)(end - skip), line + skip);
	}
	return len;
}

/* An attempt may end in its own time once the stop flag is set, but not take for ever. */
static int on_progress(void *context, curl_off_t down_all, curl_off_t down, curl_off_t up_all,
		       curl_off_t up)
{
	struct answer *answer = context;

	(void)down_all, (void)down, (void)up_all, (void)up;
	if (!*answer->stop)
		return 0;
	if (!answer->stopping)
		answer->stopping = instant(CLOCK_MONOTONIC);
	return instant(CLOCK_MONOTONIC) - answer->stopping > (answer->timeout ?: GRACE);
}

/* What @file was when it was last changed, in a number that another file hardly has. */
static __u64 changed(const char *file)
{
	struct stat st;

	if (!file || stat(file, &st))
		return 0;
	return st.st_mtim.tv_sec * SECOND + st.st_mtim.tv_nsec + st.st_ino * 31 + st.st_size;
}

static bool add_headers(struct channel *channel, const struct otlp_endpoint *endpoint)
{
	const char *type = endpoint->grpc   ? "application/grpc+proto"
			   : endpoint->json ? "application/json"
					    : "application/x-protobuf";
	bool ok =
		add_header(channel, "%s: %s", "Content-Type", type) &&
		/* Large requests would wait a second for a "100 Continue" that few servers send. */
		add_header(channel, "%s:%s", "Expect", "");

	if (channel->compression)
		ok = ok && add_header(channel, "%s: %s",
				      endpoint->grpc ? "grpc-encoding" : "Content-Encoding",
				      packers[channel->compression].name);
	if (endpoint->grpc)
		ok = ok && add_header(channel, "%s: %s", "TE", "trailers");
	if (endpoint->grpc && endpoint->timeout_ms) {
		char timeout[24];

		/* At most eight digits. */
		if (endpoint->timeout_ms < 100000000)
			snprintf(timeout, sizeof(timeout), "%ldm", endpoint->timeout_ms);
		else
			snprintf(timeout, sizeof(timeout), "%ldS", endpoint->timeout_ms / 1000);
		ok = ok && add_header(channel, "%s: %s", "grpc-timeout", timeout);
	}
	for (size_t i = 0; i < endpoint->n_headers; i++) {
		const struct otlp_header *header = &endpoint->headers[i];

		/* "Name:" alone would take a header away; the semicolon sends an empty one. */
		ok = ok && add_header(channel, *header->value ? "%s: %s" : "%s;%s", header->name,
				      header->value);
	}
	return ok;
}

/* gRPC is HTTP/2 from the first byte; with TLS the two sides agree on it (ALPN). */
static void speak_http2(CURL *curl, bool tls)
{
	curl_easy_setopt(curl, CURLOPT_HTTP_VERSION,
			 tls ? CURL_HTTP_VERSION_2TLS : CURL_HTTP_VERSION_2_PRIOR_KNOWLEDGE);
	/* Until curl 8.0 the second request on such a connection fails (curl's issue 10634). */
	if (!tls && curl_version_info(CURLVERSION_NOW)->version_num < 0x080000)
		curl_easy_setopt(curl, CURLOPT_FORBID_REUSE, 1L);
}

bool channel__open(struct channel *channel, const struct otlp_endpoint *endpoint,
		   enum compression compression)
{
	__u64 files = changed(endpoint->certificate) + 3 * changed(endpoint->client_key) +
		      5 * changed(endpoint->client_certificate);
	CURL *curl;

	if (channel->curl && channel->files == files && channel->compression == compression)
		return true;
	channel__close(channel);
	channel->compression = compression;
	curl = add_headers(channel, endpoint) ? curl_easy_init() : NULL;
	if (!curl) {
		channel__close(channel);
		return false;
	}
	channel->curl = curl;
	channel->files = files;
	curl_easy_setopt(curl, CURLOPT_URL, endpoint->url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, channel->headers);
	curl_easy_setopt(curl, CURLOPT_USERAGENT, "OTel-OTLP-Exporter-otelbpf/" OTELBPF_VERSION);
	curl_easy_setopt(curl, CURLOPT_POST, 1L);
	curl_easy_setopt(curl, CURLOPT_FOLLOWLOCATION, 0L);
	curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
	curl_easy_setopt(curl, CURLOPT_TCP_KEEPALIVE, 1L);
	curl_easy_setopt(curl, CURLOPT_NOPROGRESS, 0L);
	curl_easy_setopt(curl, CURLOPT_XFERINFOFUNCTION, on_progress);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_HEADERFUNCTION, on_header);
	if (endpoint->socket)
		curl_easy_setopt(curl, CURLOPT_UNIX_SOCKET_PATH, endpoint->socket);
	/*
	 * A proxy of HTTP/1 cannot forward gRPC, but it can connect. What it says to that is no
	 * answer of the receiver's.
	 */
	if (endpoint->grpc)
		curl_easy_setopt(curl, CURLOPT_HTTPPROXYTUNNEL, 1L);
	curl_easy_setopt(curl, CURLOPT_SUPPRESS_CONNECT_HEADERS, 1L);
	if (endpoint->grpc)
		speak_http2(curl, !strncasecmp(endpoint->url, "https:", 6));
	/* A file that has been replaced counts from the next request on. */
	curl_easy_setopt(curl, CURLOPT_CA_CACHE_TIMEOUT, 0L);
	if (endpoint->certificate)
		curl_easy_setopt(curl, CURLOPT_CAINFO, endpoint->certificate);
	if (endpoint->client_key)
		curl_easy_setopt(curl, CURLOPT_SSLKEY, endpoint->client_key);
	if (endpoint->client_certificate)
		curl_easy_setopt(curl, CURLOPT_SSLCERT, endpoint->client_certificate);
	return true;
}

void channel__close(struct channel *channel)
{
	curl_easy_cleanup(channel->curl);
	curl_slist_free_all(channel->headers);
	channel->curl = NULL;
	channel->headers = NULL;
}

void channel__post(struct channel *channel, const struct body *body, __u64 timeout,
		   struct answer *answer)
{
	CURL *curl = channel->curl;
	long timeout_ms = timeout / 1000000;

	answer->timeout = timeout;
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->data);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->len);
	/* To curl 0 is no limit. */
	curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, timeout && !timeout_ms ? 1L : timeout_ms);
	curl_easy_setopt(curl, CURLOPT_XFERINFODATA, answer);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	curl_easy_setopt(curl, CURLOPT_HEADERDATA, answer);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, answer->error);
	answer->result = curl_easy_perform(curl);
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &answer->status);
	curl_easy_getinfo(curl, CURLINFO_HTTP_CONNECTCODE, &answer->proxy_status);
	curl_easy_getinfo(curl, CURLINFO_SSL_VERIFYRESULT, &answer->verify);
	curl_easy_getinfo(curl, CURLINFO_SIZE_UPLOAD_T, &answer->sent);
	curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, NULL);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, NULL);
}
