// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Source of gRPC's framing and headers: github.com/grpc/grpc, doc/PROTOCOL-HTTP2.md.
 */
#include "exchange.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define GRACE (10 * SECOND) /* of an attempt without a time-out, when the stop flag comes */

__u64 in_ns(__u64 seconds)
{
	return (seconds < LLONG_MAX / SECOND ? seconds : LLONG_MAX / SECOND - 1) * SECOND;
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
	return instant(CLOCK_MONOTONIC) - answer->stopping > (answer->grace ?: GRACE);
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
				      body__encoding(channel->compression));
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
		curl_easy_setopt(curl,
				 endpoint->is_abstract ? CURLOPT_ABSTRACT_UNIX_SOCKET
						       : CURLOPT_UNIX_SOCKET_PATH,
				 endpoint->socket);
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
