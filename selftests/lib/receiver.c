// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "receiver.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "ktap.h"

#define REQUESTS_MAX 256
#define CONNECTIONS_MAX 64
#define BODY_MAX ((size_t)80 << 20)

struct connection {
	struct receiver *receiver;
	pthread_t thread;
	int fd;
	unsigned int number;
};

struct receiver {
	const struct reply *replies;
	size_t n_replies;
	char url[64];
	int listener;
	int stop[2]; /* a pipe: readable when it is time to end */
	pthread_t thread;
	bool listening;
	pthread_mutex_t lock; /* protects what follows */
	struct request requests[REQUESTS_MAX];
	size_t n_requests;
	struct connection connections[CONNECTIONS_MAX];
	unsigned int n_connections;
};

static __u64 monotonic(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec;
}

/* Return: false when the receiver stops or the time is over. */
static bool wait_readable(struct receiver *receiver, int fd, int timeout_ms)
{
	struct pollfd fds[] = {{fd, POLLIN, 0}, {receiver->stop[0], POLLIN, 0}};

	return poll(fds, 2, timeout_ms) > 0 && !fds[1].revents;
}

static void send_all(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return;
		at += n;
		len -= n;
	}
}

static void inflate_body(struct request *request)
{
	size_t room = BODY_MAX;
	__u8 *plain = malloc(room);
	z_stream z = {.next_in = request->body, .avail_in = request->len};

	z.next_out = plain;
	z.avail_out = room;
	ASSERT_TRUE(plain);
	ASSERT_EQ(inflateInit2(&z, MAX_WBITS + 16), Z_OK);
	ASSERT_EQ(inflate(&z, Z_FINISH), Z_STREAM_END);
	ASSERT_EQ(z.avail_in, 0);
	free(request->body);
	request->len = z.total_out;
	request->body = realloc(plain, request->len + 1);
	inflateEnd(&z);
}

/* One byte at a time: slow, and never a byte of the next request. */
static bool read_line(struct connection *connection, char *line, size_t room)
{
	size_t len = 0;

	while (len < room - 1) {
		if (!wait_readable(connection->receiver, connection->fd, -1) ||
		    read(connection->fd, line + len, 1) != 1)
			return false;
		if (line[len++] == '\n') {
			line[len] = 0;
			return true;
		}
	}
	return false;
}

static bool read_request(struct connection *connection, struct request *request)
{
	const char *length, *encoding;
	char line[1024];

	memset(request, 0, sizeof(*request));
	if (!read_line(connection, request->line, sizeof(request->line)))
		return false;
	request->line[strcspn(request->line, "\r\n")] = 0;
	while (read_line(connection, line, sizeof(line)) && strcmp(line, "\r\n"))
		strncat(request->headers, line,
			sizeof(request->headers) - strlen(request->headers) - 1);
	length = request__header(request, "Content-Length");
	request->wire_len = length ? strtoul(length, NULL, 10) : 0;
	request->body = malloc(request->wire_len + 1);
	while (request->body && request->len < request->wire_len) {
		ssize_t n;

		if (!wait_readable(connection->receiver, connection->fd, -1))
			return false;
		n = read(connection->fd, request->body + request->len,
			 request->wire_len - request->len);
		if (n <= 0)
			return false;
		request->len += n;
	}
	request->arrived = monotonic();
	request->connection = connection->number;
	encoding = request__header(request, "Content-Encoding");
	request->gzip = encoding && !strcmp(encoding, "gzip");
	if (request->gzip)
		inflate_body(request);
	return request->body;
}

/* %DATE+n% becomes a date. */
static void print_headers(char *to, size_t room, const char *headers)
{
	const char *mark = strstr(headers, "%DATE+");
	char date[64], *end;
	struct tm tm;
	time_t when;

	if (!mark) {
		snprintf(to, room, "%s", headers);
		return;
	}
	when = time(NULL) + strtol(mark + 6, &end, 10);
	strftime(date, sizeof(date), "%a, %d %b %Y %H:%M:%S GMT", gmtime_r(&when, &tm));
	snprintf(to, room, "%.*s%s", (int)(mark - headers), headers, date);
	print_headers(to + strlen(to), room - strlen(to), end + 1);
}

/* Return: whether the connection stays open. */
static bool send_reply(struct connection *connection, const struct reply *reply)
{
	size_t body = reply->len || !reply->body ? reply->len : strlen(reply->body), head, all;
	char headers[1024];
	char *text;

	if (reply->hang) {
		wait_readable(connection->receiver, connection->receiver->stop[0], -1);
		return false;
	}
	if (reply->delay_ms)
		wait_readable(connection->receiver, connection->receiver->stop[0], reply->delay_ms);
	if (reply->close)
		return false;
	if (reply->raw) {
		send_all(connection->fd, reply->raw, strlen(reply->raw));
		return false;
	}
	print_headers(headers, sizeof(headers), reply->headers ?: "");
	text = calloc(1, 2048 + body + reply->padding);
	ASSERT_TRUE(text);
	head = snprintf(text, 2048, "HTTP/1.1 %d Scripted\r\nContent-Length: %zu\r\n%s\r\n",
			reply->status, body + reply->padding, headers);
	if (body)
		memcpy(text + head, reply->body, body);
	all = head + body + reply->padding;
	send_all(connection->fd, text, reply->cut && reply->cut < all ? reply->cut : all);
	free(text);
	return !reply->cut;
}

static void *serve_connection(void *context)
{
	struct connection *connection = context;
	struct receiver *receiver = connection->receiver;
	struct request request;
	bool open = true;

	while (open && read_request(connection, &request)) {
		size_t number;

		pthread_mutex_lock(&receiver->lock);
		number = receiver->n_requests++;
		ASSERT_LT(number, REQUESTS_MAX);
		receiver->requests[number] = request;
		pthread_mutex_unlock(&receiver->lock);
		open = send_reply(
			connection,
			&receiver->replies[number < receiver->n_replies ? number
									: receiver->n_replies - 1]);
		request.body = NULL;
	}
	if (open)
		free(request.body);
	shutdown(connection->fd, SHUT_RDWR);
	close(connection->fd);
	return NULL;
}

static void *accept_connections(void *context)
{
	struct receiver *receiver = context;

	while (wait_readable(receiver, receiver->listener, -1)) {
		struct connection *connection;
		int fd = accept(receiver->listener, NULL, NULL);

		if (fd < 0)
			continue;
		pthread_mutex_lock(&receiver->lock);
		ASSERT_LT(receiver->n_connections, CONNECTIONS_MAX);
		connection = &receiver->connections[receiver->n_connections];
		*connection = (struct connection){receiver, 0, fd, receiver->n_connections++};
		ASSERT_EQ(pthread_create(&connection->thread, NULL, serve_connection, connection),
			  0);
		pthread_mutex_unlock(&receiver->lock);
	}
	return NULL;
}

struct receiver *receiver__new(const struct reply *replies, size_t n_replies)
{
	struct receiver *receiver = calloc(1, sizeof(*receiver));
	struct sockaddr_in address = {.sin_family = AF_INET};
	socklen_t len = sizeof(address);

	ASSERT_TRUE(receiver);
	receiver->replies = replies;
	receiver->n_replies = n_replies;
	pthread_mutex_init(&receiver->lock, NULL);
	ASSERT_EQ(pipe(receiver->stop), 0);
	receiver->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	ASSERT_GE(receiver->listener, 0);
	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT_EQ(bind(receiver->listener, (struct sockaddr *)&address, sizeof(address)), 0);
	ASSERT_EQ(getsockname(receiver->listener, (struct sockaddr *)&address, &len), 0);
	snprintf(receiver->url, sizeof(receiver->url), "http://127.0.0.1:%u",
		 ntohs(address.sin_port));
	return receiver;
}

void receiver__listen(struct receiver *receiver)
{
	ASSERT_EQ(listen(receiver->listener, 16), 0);
	ASSERT_EQ(pthread_create(&receiver->thread, NULL, accept_connections, receiver), 0);
	receiver->listening = true;
}

struct receiver *receiver__start(const struct reply *replies, size_t n_replies)
{
	struct receiver *receiver = receiver__new(replies, n_replies);

	receiver__listen(receiver);
	return receiver;
}

const char *receiver__url(const struct receiver *receiver)
{
	return receiver->url;
}

size_t receiver__count(struct receiver *receiver)
{
	size_t count;

	pthread_mutex_lock(&receiver->lock);
	count = receiver->n_requests;
	pthread_mutex_unlock(&receiver->lock);
	return count;
}

const struct request *receiver__request(struct receiver *receiver, size_t number)
{
	ASSERT_LT(number, receiver__count(receiver));
	return &receiver->requests[number];
}

const char *request__header(const struct request *request, const char *name)
{
	static __thread char value[1024];
	size_t len = strlen(name);

	for (const char *line = request->headers; *line; line = strchr(line, '\n') + 1) {
		if (strncasecmp(line, name, len) || line[len] != ':')
			continue;
		line += len + 1;
		line += strspn(line, " ");
		snprintf(value, sizeof(value), "%.*s", (int)strcspn(line, "\r\n"), line);
		return value;
	}
	return NULL;
}

void receiver__stop(struct receiver *receiver)
{
	ASSERT_EQ(write(receiver->stop[1], "", 1), 1);
	if (receiver->listening)
		pthread_join(receiver->thread, NULL);
	for (unsigned int i = 0; i < receiver->n_connections; i++)
		pthread_join(receiver->connections[i].thread, NULL);
	for (size_t i = 0; i < receiver->n_requests; i++)
		free(receiver->requests[i].body);
	close(receiver->listener);
	close(receiver->stop[0]);
	close(receiver->stop[1]);
	free(receiver);
}
