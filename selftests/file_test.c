// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Output to files and to stdout: whole records or none. */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "deliver/output.h"
#include "fail.h"
#include "ktap.h"

#define LINE "{\"resourceMetrics\":[{}]}\n"
#define REQUEST "\x0a\x00"

static char folder[] = "/tmp/otelbpf_file_test.XXXXXX";
static char path[128], spec[136];
static struct output *output;
static struct delivery_report report;
static volatile bool stop;

static void remove_folder(void)
{
	char other[144];

	snprintf(other, sizeof(other), "%s.1", path);
	unlink(other);
	unlink(path);
	rmdir(folder);
}

static void make_folder(void)
{
	ASSERT_TRUE(mkdtemp(folder));
	snprintf(path, sizeof(path), "%s/out.jsonl", folder);
	snprintf(spec, sizeof(spec), "file:%s", path);
}

static void open_output(const char *where, const char *format)
{
	int code = 0;

	output = output__open(where, format, &code);
	ASSERT_TRUE(output);
}

static enum delivery send_bytes(const void *request, size_t len)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return output__send(output, SIGNAL_METRICS, request, len, (ts.tv_sec + 5) * 1000000000ULL,
			    &stop, &report);
}

static enum delivery send_one(void)
{
	return send_bytes(REQUEST, 2);
}

static void expect_content_of(const char *file, const char *want, size_t len)
{
	char have[4096];
	int fd = open(file, O_RDONLY);
	ssize_t n = fd < 0 ? -1 : read(fd, have, sizeof(have));

	close(fd);
	if (EXPECT_EQ(n, (ssize_t)len))
		EXPECT_EQ(memcmp(have, want, len), 0);
}

static void expect_content(const char *want)
{
	expect_content_of(path, want, strlen(want));
}

TEST(appends_lines)
{
	struct stat st;

	umask(0);
	make_folder();
	open_output(spec, NULL);
	EXPECT_EQ(send_one(), DELIVERED);
	EXPECT_STREQ(report.message, "");
	EXPECT_EQ(report.attempts, 1);
	EXPECT_EQ(report.sent, strlen(LINE));
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content(LINE LINE);
	ASSERT_EQ(stat(path, &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0640);
	EXPECT_LE(output__limit(output), (size_t)1 << 20); /* the JSON tree is large */
	EXPECT_TRUE(strstr(output__name(output, SIGNAL_METRICS), path));
	output__close(output);

	open_output(spec, "json");
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content(LINE LINE LINE);
	output__close(output);
	remove_folder();
}

TEST(protobuf_has_lengths)
{
	static char request[200] = "\x0a\xc5\x01"; /* 197 bytes of field 1 */
	char want[205];

	make_folder();
	open_output(spec, "protobuf");
	EXPECT_EQ(send_one(), DELIVERED);
	EXPECT_EQ(send_bytes(request, sizeof(request)), DELIVERED);
	memcpy(want, "\x02" REQUEST "\xc8\x01", 5);
	memcpy(want + 5, request, sizeof(request));
	expect_content_of(path, want, sizeof(want));
	output__close(output);
	remove_folder();
}

TEST(malformed_is_refused)
{
	make_folder();
	open_output(spec, NULL);
	EXPECT_EQ(send_bytes("\x0a\x07", 2), REFUSED);
	EXPECT_TRUE(strstr(report.message, "malformed"));
	expect_content("");
	output__close(output);
	remove_folder();
}

TEST(follows_rotation)
{
	char rotated[144];

	make_folder();
	snprintf(rotated, sizeof(rotated), "%s.1", path);
	open_output(spec, NULL);
	EXPECT_EQ(send_one(), DELIVERED);
	ASSERT_EQ(rename(path, rotated), 0);
	EXPECT_EQ(send_one(), DELIVERED);
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content_of(rotated, LINE, strlen(LINE));
	expect_content(LINE LINE);
	/* Removed. */
	ASSERT_EQ(unlink(path), 0);
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content(LINE);
	/* Truncated in place (copytruncate). */
	ASSERT_EQ(truncate(path, 0), 0);
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content(LINE);
	/* Replaced by another that exists already. */
	ASSERT_EQ(rename(rotated, path), 0);
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content(LINE LINE);
	/* The folder went away, and comes back. */
	unlink(path);
	rmdir(folder);
	EXPECT_EQ(send_one(), UNDELIVERED);
	EXPECT_TRUE(strstr(report.message, "No such file"));
	ASSERT_EQ(mkdir(folder, 0700), 0);
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content(LINE);
	output__close(output);
	remove_folder();
}

TEST(half_line_of_a_crash_is_closed)
{
	int fd;

	make_folder();
	fd = open(path, O_WRONLY | O_CREAT, 0600);
	ASSERT_EQ(write(fd, "{\"reso", 6), 6);
	close(fd);
	open_output(spec, NULL);
	EXPECT_EQ(send_one(), DELIVERED);
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content("{\"reso\n" LINE LINE);
	output__close(output);
	remove_folder();
}

TEST(full_disk)
{
	open_output("file:/dev/full", NULL);
	EXPECT_EQ(send_one(), UNDELIVERED);
	EXPECT_STREQ(report.message, "cannot write: No space left on device");
	output__close(output);
}

/* A file size limit cuts the write in its middle as a disk does that becomes full. */
TEST(no_half_line_stays)
{
	struct rlimit limit = {strlen(LINE) + 10, RLIM_INFINITY};

	signal(SIGXFSZ, SIG_IGN);
	make_folder();
	open_output(spec, NULL);
	EXPECT_EQ(send_one(), DELIVERED);
	ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	EXPECT_EQ(send_one(), UNDELIVERED);
	EXPECT_STREQ(report.message, "cannot write: File too large");
	expect_content(LINE);
	limit.rlim_cur = RLIM_INFINITY;
	ASSERT_EQ(setrlimit(RLIMIT_FSIZE, &limit), 0);
	EXPECT_EQ(send_one(), DELIVERED);
	expect_content(LINE LINE);
	output__close(output);
	remove_folder();
}

TEST(standard_output)
{
	int pipe_fds[2], saved = dup(1);
	char have[256];
	ssize_t n;

	signal(SIGPIPE, SIG_IGN);
	ASSERT_EQ(pipe(pipe_fds), 0);
	fflush(stdout);
	dup2(pipe_fds[1], 1);
	close(pipe_fds[1]);
	open_output("stdout", NULL);
	EXPECT_EQ(send_one(), DELIVERED);
	n = read(pipe_fds[0], have, sizeof(have));
	close(pipe_fds[0]);
	EXPECT_EQ(send_one(), REFUSED);
	EXPECT_STREQ(report.message, "cannot write: Broken pipe");
	output__close(output);
	dup2(saved, 1);
	close(saved);
	ASSERT_EQ(n, (ssize_t)strlen(LINE));
	EXPECT_EQ(memcmp(have, LINE, n), 0);
}

static void *read_slowly(void *context)
{
	size_t *total = context;
	int fd = open(path, O_RDONLY);
	char data[4096];
	ssize_t n;

	while ((n = read(fd, data, sizeof(data))) > 0) {
		*total += n;
		usleep(1000);
	}
	close(fd);
	return NULL;
}

/* More than a pipe holds: several writes, one record. */
TEST(fifo)
{
	static char request[300000] = "\x0a\xdc\xa7\x12"; /* one field of 299,996 bytes */
	size_t total = 0;
	pthread_t thread;
	int code = 0;

	make_folder();
	ASSERT_EQ(mkfifo(path, 0600), 0);
	EXPECT_EQ(output__open(spec, "protobuf", &code), NULL);
	EXPECT_EQ(code, EXIT_USAGE);
	pthread_create(&thread, NULL, read_slowly, &total);
	for (int i = 0; i < 100 && !output; i++) {
		output = output__open(spec, "protobuf", &code);
		usleep(10000);
	}
	ASSERT_TRUE(output);
	EXPECT_EQ(send_bytes(request, sizeof(request)), DELIVERED);
	output__close(output);
	pthread_join(thread, NULL);
	EXPECT_EQ(total, sizeof(request) + 3);
	remove_folder();
}

TEST(cannot_open)
{
	int code = 0;

	EXPECT_EQ(output__open("file:/nonexistent/x", NULL, &code), NULL);
	EXPECT_EQ(code, EXIT_USAGE);
	EXPECT_EQ(output__open("file:/tmp", NULL, &code), NULL);
	EXPECT_EQ(code, EXIT_USAGE);
	if (geteuid() == 0)
		SKIP("root may write everywhere");
	EXPECT_EQ(output__open("file:/etc/passwd", NULL, &code), NULL);
	EXPECT_EQ(code, EXIT_PERMISSION);
}

TEST_MAIN()
