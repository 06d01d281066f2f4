// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A receiver of OTLP/HTTP that throws away what it gets, so that the exporter's
 * own cost is all there is to measure.
 *
 *   sink     prints the port it listens on at 127.0.0.1, then serves each connection in a
 *            process of its own until it is killed: an exporter has one for each signal
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#define HEADERS_MAX 16384

static const char answer[] = "HTTP/1.1 200 OK\r\n"
			     "Content-Type: application/x-protobuf\r\n"
			     "Content-Length: 0\r\n\r\n";

static int listen_anywhere(void)
{
	struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	socklen_t len = sizeof(at);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (struct sockaddr *)&at, sizeof(at)) || listen(fd, 4) ||
	    getsockname(fd, (struct sockaddr *)&at, &len)) {
		perror("sink");
		exit(1);
	}
	printf("%d\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

/* Returns the body's length, -1 at the connection's end; what came of the body is in *early. */
static long read_headers(int fd, long *early)
{
	static char text[HEADERS_MAX + 1];
	size_t len = 0;
	char *end = NULL, *at;
	ssize_t n;

	while (!end && len < HEADERS_MAX) {
		n = read(fd, text + len, HEADERS_MAX - len);
		if (n <= 0)
			return -1;
		len += n;
		text[len] = 0;
		end = strstr(text, "\r\n\r\n");
	}
	if (!end)
		return -1;
	*early = text + len - (end + 4);
	*end = 0;
	if (strcasestr(text, "\r\nexpect: 100-continue"))
		dprintf(fd, "HTTP/1.1 100 Continue\r\n\r\n");
	at = strcasestr(text, "\r\ncontent-length:");
	return at ? atol(at + strlen("\r\ncontent-length:")) : -1;
}

static void serve(int fd)
{
	static char body[1 << 20];
	long left, early;
	ssize_t n;

	while ((left = read_headers(fd, &early)) >= 0) {
		for (left -= early; left > 0; left -= n) {
			n = read(fd, body, sizeof(body));
			if (n <= 0)
				return;
		}
		if (write(fd, answer, sizeof(answer) - 1) < 0)
			return;
	}
}

int main(void)
{
	int listening = listen_anywhere(), fd;

	signal(SIGCHLD, SIG_IGN);
	while ((fd = accept(listening, NULL, NULL)) >= 0) {
		if (!fork()) {
			prctl(PR_SET_PDEATHSIG, SIGTERM);
			serve(fd);
			return 0;
		}
		close(fd);
	}
	return 1;
}
