// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A file that grows by one record a request, and standard output as the same. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "otlp/json.h"
#include "otlp/pb.h"
#include "output_ops.h"

/**
 * struct file - a file or stdout
 * @fd:   where to write
 * @path: NULL for stdout
 * @name: for messages
 * @json: JSON lines, else protobuf with a length before each request
 */
struct file {
	struct output output;
	int fd;
	char *path;
	char *name;
	bool json;
};

static void free_json(struct json_object **json)
{
	json_object_put(*json);
}

static void free_record(struct pb *record)
{
	pb__free(record);
}

static int open_path(const char *path)
{
	/* A FIFO that nobody reads is an error here rather than a wait without end. */
	int fd =
		open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC | O_NOCTTY | O_NONBLOCK, 0640);
	int flags = fd < 0 ? -1 : fcntl(fd, F_GETFL);

	if (flags >= 0)
		fcntl(fd, F_SETFL, flags & ~O_NONBLOCK);
	return fd;
}

/* Log rotation moved or removed the file: go on in a new one. */
static int file__follow(struct file *file)
{
	struct stat ours, now;
	int fd;

	if (!file->path)
		return 0;
	if (!fstat(file->fd, &ours) && !stat(file->path, &now) && ours.st_dev == now.st_dev &&
	    ours.st_ino == now.st_ino)
		return 0;
	fd = open_path(file->path);
	if (fd < 0)
		return -errno;
	close(file->fd);
	file->fd = fd;
	return 0;
}

/* A line that a crash or a full disk cut before us must not swallow the next. */
static bool file__ends_in_half_line(const struct file *file)
{
	struct stat stat;
	bool half = false;
	char last;
	int fd;

	if (!file->path || !file->json || fstat(file->fd, &stat) || !S_ISREG(stat.st_mode) ||
	    !stat.st_size)
		return false;
	fd = open(file->path, O_RDONLY | O_CLOEXEC | O_NOCTTY);
	if (fd < 0)
		return false;
	half = pread(fd, &last, 1, stat.st_size - 1) == 1 && last != '\n';
	close(fd);
	return half;
}

/* Takes back the first @written bytes of a record unless someone wrote behind them. */
static bool file__take_back(const struct file *file, size_t written)
{
	off_t end = lseek(file->fd, 0, SEEK_CUR);
	struct stat stat;

	return !written ||
	       (end >= (off_t)written && !fstat(file->fd, &stat) && S_ISREG(stat.st_mode) &&
		stat.st_size == end && !ftruncate(file->fd, end - written));
}

static bool is_late(__u64 deadline_ns)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000ULL + ts.tv_nsec >= deadline_ns;
}

static enum delivery file__write(const struct file *file, const struct pb *record,
				 __u64 deadline_ns, const volatile bool *stop,
				 struct delivery_report *report)
{
	size_t written = 0;
	ssize_t n = 0;
	int err;

	while (written < record->len) {
		n = write(file->fd, record->data + written, record->len - written);
		if (n > 0)
			written += n;
		else if (n == 0 || errno != EINTR || (*stop && (!written || is_late(deadline_ns))))
			break;
	}
	report->sent = written;
	if (written == record->len)
		return DELIVERED;
	err = n ? errno : ENOSPC;
	report__say(report, "cannot write: %s", strerror(err));
	snprintf(report->error, sizeof(report->error), "%s", strerrorname_np(err) ?: "");
	if (!file__take_back(file, written))
		report__add(report, ", and half a record is left behind");
	return err == EPIPE ? REFUSED : UNDELIVERED;
}

/* Return: 0 or -errno */
static int file__record(const struct file *file, enum signal_kind kind, const void *request,
			size_t len, struct pb *record)
{
	struct json_object *json __attribute__((cleanup(free_json))) = NULL;
	const char *text;
	size_t text_len;

	if (!file->json) {
		__u8 prefix[PB_VARINT_MAX];
		size_t prefix_len = pb_put__varint(prefix, len) - prefix;

		pb__raw(record, prefix, prefix_len);
		pb__raw(record, request, len);
		return record->failed ? -ENOMEM : 0;
	}
	json = otlp__to_json(kind, request, len);
	if (!json)
		return -errno;
	text = json_object_to_json_string_length(
		json, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &text_len);
	if (!text)
		return -ENOMEM;
	if (file__ends_in_half_line(file))
		pb__raw(record, "\n", 1);
	pb__raw(record, text, text_len);
	pb__raw(record, "\n", 1);
	return record->failed ? -ENOMEM : 0;
}

static enum delivery file__send(struct output *output, enum signal_kind kind, const void *request,
				size_t len, __u64 deadline_ns, const volatile bool *stop,
				struct delivery_report *report)
{
	struct file *file = (struct file *)output;
	struct pb record __attribute__((cleanup(free_record))) = {0};
	int err = file__follow(file);

	if (err) {
		report__say(report, "cannot open it again: %s", strerror(-err));
		return UNDELIVERED;
	}
	err = file__record(file, kind, request, len, &record);
	if (err) {
		report__say(report, "not written: %s",
			    err == -EBADMSG ? "the request is malformed" : strerror(-err));
		return err == -EBADMSG ? REFUSED : UNDELIVERED;
	}
	report->attempts = 1;
	return file__write(file, &record, deadline_ns, stop, report);
}

static size_t file__limit(const struct output *output)
{
	return ((const struct file *)output)->json ? JSON_REQUEST_MAX : SIZE_MAX / 2;
}

static const char *file__name(const struct output *output, enum signal_kind kind)
{
	(void)kind;
	return ((const struct file *)output)->name;
}

static void file__close(struct output *output)
{
	struct file *file = (struct file *)output;

	if (file->path && file->fd >= 0)
		close(file->fd);
	free(file->path);
	free(file->name);
	free(file);
}

static const struct output_ops file_ops = {
	.send = file__send,
	.limit = file__limit,
	.name = file__name,
	.close = file__close,
};

static struct file *file__new(enum format format)
{
	struct file *file = calloc(1, sizeof(*file));

	if (file) {
		file->output.ops = &file_ops;
		file->fd = -1;
		file->json = format != FORMAT_PROTOBUF;
	}
	return file;
}

struct output *file__open(const char *path, enum format format, int *code)
{
	struct file *file = file__new(format);

	if (!file || !(file->path = strdup(path)) || asprintf(&file->name, "file %s", path) < 0) {
		*code = fail(EXIT_INTERNAL, "no memory");
		if (file)
			file->name = NULL; /* after a failed asprintf() it is undefined */
		goto cleanup;
	}
	file->fd = open_path(path);
	if (file->fd < 0) {
		*code = fail(errno == EACCES || errno == EPERM || errno == EROFS  ? EXIT_PERMISSION
			     : errno == ENOSPC || errno == EDQUOT || errno == EIO ? EXIT_EXPORT
										  : EXIT_USAGE,
			     "cannot write to %s: %s", path,
			     errno == ENXIO ? "nobody reads this FIFO" : strerror(errno));
		goto cleanup;
	}
	return &file->output;
cleanup:
	if (file)
		file__close(&file->output);
	return NULL;
}

struct output *stdout__open(const char *path, enum format format, int *code)
{
	struct file *file = file__new(format);

	(void)path;
	if (!file || !(file->name = strdup("stdout"))) {
		free(file);
		*code = fail(EXIT_INTERNAL, "no memory");
		return NULL;
	}
	file->fd = STDOUT_FILENO;
	return &file->output;
}
