// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "proxy.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "ktap.h"

#define CONNECTIONS_MAX 512
#define HEAD_MAX 8192

struct link {
	struct proxy *proxy;
	pthread_t thread;
	int client;
	struct fault fault;
};

struct proxy {
	const struct fault *faults;
	size_t n_faults;
	char url[160];
	char path[108]; /* of a unix socket, or "" */
	struct sockaddr_in target;
	bool relay;
	int listener;
	int stop[2]; /* a pipe: readable when it is time to end */
	pthread_t thread;
	pthread_mutex_t lock; /* protects what follows */
	struct link links[CONNECTIONS_MAX];
	size_t n_links;
	size_t n_tunnels;
	size_t n_harmed;
};

static bool put(int fd, const void *data, size_t len)
{
	const char *at = data;

	while (len) {
		ssize_t n = send(fd, at, len, MSG_NOSIGNAL);

		if (n <= 0)
			return false;
		at += n;
		len -= n;
	}
	return true;
}

/* Return: false when the proxy stops or the time is over. */
static bool wait_readable(struct proxy *proxy, int fd, int timeout_ms)
{
	struct pollfd fds[] = {{fd, POLLIN, 0}, {proxy->stop[0], POLLIN, 0}};

	return poll(fds, 2, timeout_ms) > 0 && !fds[1].revents;
}

/* A request's head, whatever follows it left in the socket. Return: its bytes, or 0. */
static size_t read_head(struct link *link, char *head)
{
	size_t len = 0;

	while (len < HEAD_MAX - 1) {
		if (!wait_readable(link->proxy, link->client, -1) ||
		    read(link->client, head + len, 1) != 1)
			return 0;
		head[++len] = 0;
		if (len >= 4 && !strcmp(head + len - 4, "\r\n\r\n"))
			return len;
	}
	return 0;
}

/* IPv4 is all that the receivers of the tests have. */
static bool parse_target(const char *text, struct sockaddr_in *target)
{
	char host[64];
	unsigned int port;

	*target = (struct sockaddr_in){.sin_family = AF_INET};
	if (sscanf(text, "%63[0-9.]:%u", host, &port) != 2 ||
	    inet_pton(AF_INET, host, &target->sin_addr) != 1)
		return false;
	target->sin_port = htons(port);
	return true;
}

static void count_harm(struct link *link)
{
	pthread_mutex_lock(&link->proxy->lock);
	link->proxy->n_harmed++;
	pthread_mutex_unlock(&link->proxy->lock);
}

/*
 * Bytes on their way, with the fault that is due in them. @passed: how many went this way before.
 * Return: whether the connection lives on.
 */
static bool pass_bytes(struct link *link, int to, char *bytes, size_t n, size_t *passed, size_t cut,
		       size_t corrupt)
{
	bool goes_on = true;

	if (corrupt > *passed && corrupt <= *passed + n) {
		bytes[corrupt - 1 - *passed] ^= 0x10;
		count_harm(link);
	}
	if (cut && *passed + n >= cut) {
		n = cut - *passed; /* which was less: it would have ended then */
		goes_on = false;
		count_harm(link);
	}
	*passed += n;
	return put(to, bytes, n) && goes_on;
}

static void relay(struct link *link, int server, char *head, size_t head_len)
{
	struct fault *fault = &link->fault;
	struct pollfd fds[] = {
		{link->client, POLLIN, 0}, {server, POLLIN, 0}, {link->proxy->stop[0], POLLIN, 0}};
	size_t up = 0, down = 0;
	char bytes[16384];
	ssize_t n;

	/* A head goes on as it is: a server has to take a whole URL too. */
	if (!pass_bytes(link, server, head, head_len, &up, fault->cut_up, fault->corrupt_up))
		return;
	while (poll(fds, 3, -1) > 0 && !fds[2].revents) {
		if (fds[0].revents) {
			n = read(link->client, bytes, sizeof(bytes));
			if (n <= 0 || !pass_bytes(link, server, bytes, n, &up, fault->cut_up,
						  fault->corrupt_up))
				break;
		}
		if (!fds[1].revents)
			continue;
		n = read(server, bytes, sizeof(bytes));
		if (n <= 0)
			break;
		if (fault->delay_ms) {
			count_harm(link);
			wait_readable(link->proxy, link->proxy->stop[0], fault->delay_ms);
			fault->delay_ms = 0;
		}
		if (fault->cut_answer && up >= fault->cut_answer) {
			count_harm(link);
			break;
		}
		if (fault->corrupt_answer && up >= fault->corrupt_answer) {
			bytes[n - 1] ^= 0x10;
			fault->corrupt_answer = 0;
			count_harm(link);
		}
		if (!pass_bytes(link, link->client, bytes, n, &down, fault->cut_down,
				fault->corrupt_down))
			break;
	}
}

/* Return: a socket, or -1 when this connection comes to nothing. */
static int reach(struct link *link, char *head, size_t *len)
{
	struct proxy *proxy = link->proxy;
	struct sockaddr_in target = proxy->target;
	bool tunnel = false;
	const char *host;
	char answer[64];
	int fd;

	*len = 0;
	if (!proxy->relay) {
		*len = read_head(link, head);
		if (!*len)
			return -1;
		tunnel = !strncmp(head, "CONNECT ", 8);
		host = tunnel ? head + 8 : strstr(head, "http://");
		if (host && !tunnel)
			host += strlen("http://");
		if (!host || !parse_target(host, &target))
			link->fault.refuse = 400;
	}
	pthread_mutex_lock(&proxy->lock);
	proxy->n_tunnels += tunnel;
	pthread_mutex_unlock(&proxy->lock);
	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (!link->fault.refuse && connect(fd, (struct sockaddr *)&target, sizeof(target)))
		link->fault.refuse = 502;
	if (link->fault.refuse) {
		snprintf(answer, sizeof(answer), "HTTP/1.1 %d No\r\nContent-Length: 0\r\n\r\n",
			 link->fault.refuse);
		put(link->client, answer, strlen(answer));
		close(fd);
		return -1;
	}
	if (tunnel) {
		put(link->client, "HTTP/1.1 200 OK\r\n\r\n", 19);
		*len = 0;
	}
	return fd;
}

static void *serve(void *context)
{
	struct link *link = context;
	char head[HEAD_MAX];
	size_t len;
	int server = reach(link, head, &len);

	if (server >= 0) {
		relay(link, server, head, len);
		close(server);
	}
	shutdown(link->client, SHUT_RDWR);
	close(link->client);
	return NULL;
}

static void *accept_links(void *context)
{
	struct proxy *proxy = context;

	while (wait_readable(proxy, proxy->listener, -1)) {
		struct link *link;
		int fd = accept(proxy->listener, NULL, NULL);

		if (fd < 0)
			continue;
		pthread_mutex_lock(&proxy->lock);
		ASSERT_LT(proxy->n_links, CONNECTIONS_MAX);
		link = &proxy->links[proxy->n_links];
		*link = (struct link){.proxy = proxy, .client = fd};
		if (proxy->n_links < proxy->n_faults)
			link->fault = proxy->faults[proxy->n_links];
		proxy->n_links++;
		ASSERT_EQ(pthread_create(&link->thread, NULL, serve, link), 0);
		pthread_mutex_unlock(&proxy->lock);
	}
	return NULL;
}

union any_address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un path;
};

static bool open_listener(struct proxy *proxy, const char *address)
{
	union any_address a = {.any = {0}};
	socklen_t len = sizeof(a);

	if (*address == '/') {
		a.path.sun_family = AF_UNIX;
		snprintf(a.path.sun_path, sizeof(a.path.sun_path), "%s", address);
		snprintf(proxy->path, sizeof(proxy->path), "%s", address);
		len = sizeof(a.path);
	} else if (*address == '@') {
		a.path.sun_family = AF_UNIX;
		len = offsetof(struct sockaddr_un, sun_path) + 1 +
		      snprintf(a.path.sun_path + 1, sizeof(a.path.sun_path) - 1, "%s", address + 1);
	} else if (strchr(address, ':')) {
		a.v6.sin6_family = AF_INET6;
		ASSERT_EQ(inet_pton(AF_INET6, address, &a.v6.sin6_addr), 1);
		len = sizeof(a.v6);
	} else {
		a.v4.sin_family = AF_INET;
		ASSERT_EQ(inet_pton(AF_INET, address, &a.v4.sin_addr), 1);
		len = sizeof(a.v4);
	}
	proxy->listener = socket(a.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (proxy->listener < 0 || bind(proxy->listener, &a.any, len) ||
	    getsockname(proxy->listener, &a.any, &len) || listen(proxy->listener, 64))
		return false;
	if (*address == '@')
		snprintf(proxy->url, sizeof(proxy->url), "unix-abstract:%s", address + 1);
	else if (a.any.sa_family == AF_UNIX)
		snprintf(proxy->url, sizeof(proxy->url), "unix://%s", address);
	else if (a.any.sa_family == AF_INET6)
		snprintf(proxy->url, sizeof(proxy->url), "http://[%s]:%u", address,
			 ntohs(a.v6.sin6_port));
	else
		snprintf(proxy->url, sizeof(proxy->url), "http://%s:%u", address,
			 ntohs(a.v4.sin_port));
	return true;
}

struct proxy *proxy__start(const char *address, const char *target, const struct fault *faults,
			   size_t n_faults)
{
	struct proxy *proxy = calloc(1, sizeof(*proxy));

	ASSERT_TRUE(proxy);
	proxy->faults = faults;
	proxy->n_faults = n_faults;
	proxy->relay = target;
	if (target)
		ASSERT_TRUE(parse_target(strstr(target, "//") + 2, &proxy->target));
	pthread_mutex_init(&proxy->lock, NULL);
	ASSERT_EQ(pipe(proxy->stop), 0);
	if (!open_listener(proxy, address)) {
		free(proxy);
		return NULL;
	}
	ASSERT_EQ(pthread_create(&proxy->thread, NULL, accept_links, proxy), 0);
	return proxy;
}

const char *proxy__url(const struct proxy *proxy)
{
	return proxy->url;
}

static size_t read_counter(struct proxy *proxy, const size_t *counter)
{
	size_t n;

	pthread_mutex_lock(&proxy->lock);
	n = *counter;
	pthread_mutex_unlock(&proxy->lock);
	return n;
}

size_t proxy__count(struct proxy *proxy)
{
	return read_counter(proxy, &proxy->n_links);
}

size_t proxy__tunnels(struct proxy *proxy)
{
	return read_counter(proxy, &proxy->n_tunnels);
}

size_t proxy__harmed(struct proxy *proxy)
{
	return read_counter(proxy, &proxy->n_harmed);
}

void proxy__stop(struct proxy *proxy)
{
	ASSERT_EQ(write(proxy->stop[1], "", 1), 1);
	pthread_join(proxy->thread, NULL);
	for (size_t i = 0; i < proxy->n_links; i++)
		pthread_join(proxy->links[i].thread, NULL);
	close(proxy->listener);
	if (*proxy->path)
		unlink(proxy->path);
	close(proxy->stop[0]);
	close(proxy->stop[1]);
	free(proxy);
}
