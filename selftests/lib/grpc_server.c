// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "grpc_server.h"

#include <arpa/inet.h>
#include <nghttp2/nghttp2.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"

#define CALLS_MAX 64

struct stream;

struct grpc_server {
	const struct grpc_reply *replies;
	size_t n_replies;
	char url[64];
	int listener;
	int stop[2]; /* a pipe: readable when it is time to end */
	pthread_t thread;
	struct stream *open;  /* the thread's own */
	pthread_mutex_t lock; /* protects what follows */
	struct grpc_call calls[CALLS_MAX];
	size_t n_calls;
};

/* One stream, from its first header to its end; in the list of those that are open. */
struct stream {
	struct stream *next;
	struct grpc_server *server;
	const struct grpc_reply *reply;
	struct grpc_call call;
	size_t sent;
	bool trailers; /* are still to be sent */
};

static size_t put_trailers(const struct grpc_reply *reply, nghttp2_nv *nv)
{
	const char *const pairs[][2] = {{"grpc-status", reply->status},
					{"grpc-message", reply->message},
					{"grpc-status-details-bin", reply->details}};
	size_t n = 0;

	for (size_t i = 0; i < sizeof(pairs) / sizeof(*pairs); i++)
		if (pairs[i][1])
			nv[n++] = (nghttp2_nv){(uint8_t *)pairs[i][0], (uint8_t *)pairs[i][1],
					       strlen(pairs[i][0]), strlen(pairs[i][1]), 0};
	return n;
}

static ssize_t read_body(nghttp2_session *session, int32_t id, uint8_t *to, size_t room,
			 uint32_t *flags, nghttp2_data_source *source, void *user)
{
	struct stream *stream = source->ptr;
	const struct grpc_reply *reply = stream->reply;
	size_t all = reply->len + reply->flood, n = all - stream->sent;
	nghttp2_nv nv[4];
	size_t n_trailers;

	(void)user;
	if (n > room)
		n = room;
	for (size_t i = 0; i < n; i++, stream->sent++)
		to[i] = stream->sent < reply->len ? ((const uint8_t *)reply->frame)[stream->sent]
						  : 0;
	if (stream->sent < all)
		return n;
	*flags |= NGHTTP2_DATA_FLAG_EOF;
	n_trailers = put_trailers(reply, nv);
	if (n_trailers) {
		*flags |= NGHTTP2_DATA_FLAG_NO_END_STREAM;
		nghttp2_submit_trailer(session, id, nv, n_trailers);
	}
	return n;
}

static void answer(nghttp2_session *session, int32_t id, struct stream *stream)
{
	const struct grpc_reply *reply = stream->reply;
	nghttp2_data_provider body = {.source.ptr = stream, .read_callback = read_body};
	const char *type = reply->type ?: "application/grpc";
	char status[8];
	nghttp2_nv nv[8];
	size_t n = 0;

	if (reply->hang)
		return;
	if (reply->reset) {
		nghttp2_submit_rst_stream(session, 0, id, NGHTTP2_REFUSED_STREAM);
		return;
	}
	snprintf(status, sizeof(status), "%d", reply->http_status ?: 200);
	nv[n++] = (nghttp2_nv){(uint8_t *)":status", (uint8_t *)status, 7, strlen(status), 0};
	nv[n++] = (nghttp2_nv){(uint8_t *)"content-type", (uint8_t *)type, 12, strlen(type), 0};
	if (reply->trailers_only)
		n += put_trailers(reply, nv + n);
	nghttp2_submit_response(session, id, nv, n, reply->trailers_only ? NULL : &body);
}

static int on_begin(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct grpc_server *server = user;
	struct stream *stream;

	if (frame->hd.type != NGHTTP2_HEADERS || frame->headers.cat != NGHTTP2_HCAT_REQUEST)
		return 0;
	stream = calloc(1, sizeof(*stream));
	stream->server = server;
	stream->next = server->open;
	server->open = stream;
	nghttp2_session_set_stream_user_data(session, frame->hd.stream_id, stream);
	return 0;
}

static int on_header(nghttp2_session *session, const nghttp2_frame *frame, const uint8_t *name,
		     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
		     void *user)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	size_t len;

	(void)flags, (void)user;
	if (!stream)
		return 0;
	len = strlen(stream->call.headers);
	snprintf(stream->call.headers + len, sizeof(stream->call.headers) - len, "%.*s: %.*s\n",
		 (int)name_len, name, (int)value_len, value);
	return 0;
}

static int on_data(nghttp2_session *session, uint8_t flags, int32_t id, const uint8_t *data,
		   size_t len, void *user)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(session, id);
	struct grpc_call *call = &stream->call;

	(void)flags, (void)user;
	call->body = realloc(call->body, call->len + len + 1);
	memcpy(call->body + call->len, data, len);
	call->len += len;
	return 0;
}

static int on_frame(nghttp2_session *session, const nghttp2_frame *frame, void *user)
{
	struct grpc_server *server = user;
	struct stream *stream = nghttp2_session_get_stream_user_data(session, frame->hd.stream_id);
	struct timespec ts;
	size_t number;

	if (!stream || !(frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
		return 0;
	clock_gettime(CLOCK_MONOTONIC, &ts);
	stream->call.arrived = ts.tv_sec * 1000000000ULL + ts.tv_nsec;
	pthread_mutex_lock(&server->lock);
	number = server->n_calls;
	if (number < CALLS_MAX)
		server->calls[server->n_calls++] = stream->call;
	else
		free(stream->call.body);
	stream->call.body = NULL;
	pthread_mutex_unlock(&server->lock);
	if (number >= server->n_replies)
		number = server->n_replies - 1;
	stream->reply = &server->replies[number];
	answer(session, frame->hd.stream_id, stream);
	return 0;
}

static void stream__free(struct stream *stream)
{
	struct stream **at = &stream->server->open;

	while (*at != stream)
		at = &(*at)->next;
	*at = stream->next;
	free(stream->call.body);
	free(stream);
}

static int on_close(nghttp2_session *session, int32_t id, uint32_t code, void *user)
{
	struct stream *stream = nghttp2_session_get_stream_user_data(session, id);

	(void)code, (void)user;
	if (stream)
		stream__free(stream);
	return 0;
}

/* Return: false when the server is to end. */
static bool serve(struct grpc_server *server, int fd)
{
	nghttp2_session_callbacks *callbacks;
	nghttp2_session *session;
	bool go_on = true;

	nghttp2_session_callbacks_new(&callbacks);
	nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin);
	nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
	nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data);
	nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
	nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
	nghttp2_session_server_new(&session, callbacks, server);
	nghttp2_session_callbacks_del(callbacks);
	nghttp2_submit_settings(session, NGHTTP2_FLAG_NONE, NULL, 0);
	for (;;) {
		struct pollfd fds[] = {{fd, POLLIN, 0}, {server->stop[0], POLLIN, 0}};
		const uint8_t *out;
		uint8_t in[16384];
		ssize_t n;

		while ((n = nghttp2_session_mem_send(session, &out)) > 0)
			while (n > 0) {
				ssize_t sent = send(fd, out, n, MSG_NOSIGNAL);

				if (sent <= 0)
					goto out;
				out += sent;
				n -= sent;
			}
		if (!nghttp2_session_want_read(session) || poll(fds, 2, -1) < 0)
			break;
		if (fds[1].revents) {
			go_on = false;
			break;
		}
		n = read(fd, in, sizeof(in));
		if (n <= 0 || nghttp2_session_mem_recv(session, in, n) < 0)
			break;
	}
out:
	nghttp2_session_del(session);
	while (server->open)
		stream__free(server->open);
	return go_on;
}

static void *run(void *context)
{
	struct grpc_server *server = context;
	bool go_on = true;

	while (go_on) {
		struct pollfd fds[] = {{server->listener, POLLIN, 0}, {server->stop[0], POLLIN, 0}};
		int fd;

		if (poll(fds, 2, -1) < 0 || fds[1].revents)
			break;
		fd = accept(server->listener, NULL, NULL);
		if (fd < 0)
			continue;
		go_on = serve(server, fd);
		close(fd);
	}
	return NULL;
}

struct grpc_server *grpc_server__start(const struct grpc_reply *replies, size_t n_replies)
{
	struct sockaddr_in address = {.sin_family = AF_INET,
				      .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(address);
	struct grpc_server *server = calloc(1, sizeof(*server));

	server->replies = replies;
	server->n_replies = n_replies;
	pthread_mutex_init(&server->lock, NULL);
	ASSERT_EQ(pipe(server->stop), 0);
	server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(bind(server->listener, (struct sockaddr *)&address, len), 0);
	ASSERT_EQ(listen(server->listener, 16), 0);
	ASSERT_EQ(getsockname(server->listener, (struct sockaddr *)&address, &len), 0);
	snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%u", ntohs(address.sin_port));
	ASSERT_EQ(pthread_create(&server->thread, NULL, run, server), 0);
	return server;
}

const char *grpc_server__url(const struct grpc_server *server)
{
	return server->url;
}

size_t grpc_server__count(struct grpc_server *server)
{
	size_t count;

	pthread_mutex_lock(&server->lock);
	count = server->n_calls;
	pthread_mutex_unlock(&server->lock);
	return count;
}

const struct grpc_call *grpc_server__call(struct grpc_server *server, size_t number)
{
	ASSERT_LT(number, grpc_server__count(server));
	return &server->calls[number];
}

const char *grpc_call__header(const struct grpc_call *call, const char *name)
{
	static char value[512];
	size_t len = strlen(name);

	for (const char *line = call->headers; *line; line += strcspn(line, "\n") + 1)
		if (!strncmp(line, name, len) && line[len] == ':') {
			snprintf(value, sizeof(value), "%.*s", (int)strcspn(line + len + 2, "\n"),
				 line + len + 2);
			return value;
		}
	return NULL;
}

void grpc_server__stop(struct grpc_server *server)
{
	ASSERT_EQ(write(server->stop[1], "", 1), 1);
	pthread_join(server->thread, NULL);
	close(server->listener);
	close(server->stop[0]);
	close(server->stop[1]);
	for (size_t i = 0; i < server->n_calls; i++)
		free(server->calls[i].body);
	pthread_mutex_destroy(&server->lock);
	free(server);
}
