// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "process_context.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "otlp/attr.h"
#include "otlp/fields.h"
#include "otlp/utf8.h"
#include "resource.h"
#include "symbols/find.h"

#define KEY_MAX 255
#define DEPTH_MAX 3
#define ENVIRONMENT_MAX (1 << 20) /* bytes read of it */
#define ENVIRONMENT_ATTRIBUTES_MAX 128
#define PLACES_MAX 4
#define READS_MAX 3 /* of one that is being updated */

/* processcontext/v1development/process_context.proto; the SDK's Resource is all we take. */
#define CONTEXT_RESOURCE 1

/* --- attributes ----------------------------------------------------------------- */

static bool is_utf8(const __u8 *text, size_t len)
{
	size_t step;

	for (size_t i = 0; i < len; i += step) {
		step = utf8__sequence(text + i, len - i);
		if (!step)
			return false;
	}
	return true;
}

static bool valid_any(const __u8 *data, size_t len, int depth);

static bool valid_key_value(const __u8 *at, size_t len, int depth)
{
	const __u8 *end = at + len;
	struct pb_field field;
	bool key = false, value = false;
	int more;

	while ((more = pb__next(&at, end, &field)) > 0) {
		if (field.wire != PB_LEN)
			return false;
		if (field.number == KEY_VALUE_KEY && !key)
			key = field.len && is_utf8(field.data, field.len);
		else if (field.number == KEY_VALUE_VALUE && !value)
			value = valid_any(field.data, field.len, depth);
		else
			return false;
	}
	return !more && key && value;
}

/* ArrayValue and KeyValueList have the same shape: field 1, repeated. */
static bool valid_list(const __u8 *at, size_t len, int depth, bool pairs)
{
	const __u8 *end = at + len;
	struct pb_field field;
	int more;

	while ((more = pb__next(&at, end, &field)) > 0)
		if (field.number != 1 || field.wire != PB_LEN ||
		    !(pairs ? valid_key_value : valid_any)(field.data, field.len, depth))
			return false;
	return !more;
}

static bool valid_any(const __u8 *data, size_t len, int depth)
{
	const __u8 *at = data, *end = data + len;
	struct pb_field field;

	/* One field: what comes twice, or is for dictionaries that we lack, is no value. */
	if (pb__next(&at, end, &field) <= 0 || at != end)
		return false;
	switch (field.number) {
	case ANY_VALUE_STRING:
		return field.wire == PB_LEN && is_utf8(field.data, field.len);
	case ANY_VALUE_BOOL:
	case ANY_VALUE_INT:
		return field.wire == PB_VARINT;
	case ANY_VALUE_DOUBLE:
		return field.wire == PB_FIXED64;
	case ANY_VALUE_BYTES:
		return field.wire == PB_LEN;
	case ANY_VALUE_ARRAY:
	case ANY_VALUE_KVLIST:
		return field.wire == PB_LEN && depth &&
		       valid_list(field.data, field.len, depth - 1,
				  field.number == ANY_VALUE_KVLIST);
	}
	return false;
}

size_t attrs__key(const __u8 *data, size_t len, const char **key)
{
	const __u8 *at = data;
	struct pb_field field;

	*key = "";
	while (pb__next(&at, data + len, &field) > 0)
		if (field.number == KEY_VALUE_KEY && field.wire == PB_LEN) {
			*key = (const char *)field.data;
			return field.len;
		}
	return 0;
}

bool attrs__has(const struct pb *bytes, const char *key, size_t len)
{
	const __u8 *at = bytes->data, *end = at + bytes->len;
	struct pb_field field;
	const char *other;

	while (bytes->len && pb__next(&at, end, &field) > 0)
		if (field.number == RESOURCE_ATTRIBUTES && field.wire == PB_LEN &&
		    attrs__key(field.data, field.len, &other) == len && !memcmp(other, key, len))
			return true;
	return false;
}

static bool has_room(struct process_attrs *attrs, size_t len)
{
	if (attrs->n < CONTEXT_ATTRIBUTES_MAX && len <= CONTEXT_ATTRIBUTE_MAX &&
	    attrs->bytes.len + len <= CONTEXT_BYTES_MAX)
		return true;
	attrs->dropped++;
	return false;
}

static int add_resource(struct process_attrs *attrs, const __u8 *at, size_t len)
{
	const __u8 *end = at + len;
	struct pb_field field;
	int more;

	while ((more = pb__next(&at, end, &field)) > 0) {
		const char *key;
		size_t key_len;

		if (field.number != RESOURCE_ATTRIBUTES || field.wire != PB_LEN)
			continue;
		key_len = attrs__key(field.data, field.len, &key);
		if (key_len > KEY_MAX || !valid_key_value(field.data, field.len, DEPTH_MAX)) {
			attrs->dropped++;
			continue;
		}
		if (attrs__has(&attrs->bytes, key, key_len) || !has_room(attrs, field.len))
			continue;
		pb__bytes(&attrs->bytes, RESOURCE_ATTRIBUTES, field.data, field.len);
		attrs->n++;
	}
	return more;
}

int attrs__add_context(struct process_attrs *attrs, const __u8 *data, size_t len)
{
	const __u8 *at = data, *end = data + len;
	struct pb_field field;
	size_t before = attrs->bytes.len;
	unsigned int n = attrs->n, dropped = attrs->dropped;
	int err;

	while ((err = pb__next(&at, end, &field)) > 0) {
		if (field.number != CONTEXT_RESOURCE)
			continue;
		err = field.wire == PB_LEN ? add_resource(attrs, field.data, field.len) : -EBADMSG;
		if (err < 0)
			break;
	}
	if (err < 0) {
		attrs->bytes.len = before;
		attrs->n = n;
		attrs->dropped = dropped;
	}
	return err;
}

static void add_text(struct process_attrs *attrs, const char *key, const char *value)
{
	size_t key_len = strlen(key), len = strlen(value);

	if (attrs__has(&attrs->bytes, key, key_len))
		return;
	if (key_len > KEY_MAX) {
		attrs->dropped++;
		return;
	}
	if (!has_room(attrs, key_len + len + 16))
		return;
	attr__string(&attrs->bytes, RESOURCE_ATTRIBUTES, key, value, len);
	attrs->n++;
}

/* The first of two that are the same, as getenv(3) has it. */
static char *find_variable(const char *environment, size_t len, const char *name)
{
	size_t name_len = strlen(name);

	for (size_t at = 0; at < len;) {
		size_t n = strnlen(environment + at, len - at);

		if (n > name_len && !strncmp(environment + at, name, name_len) &&
		    environment[at + name_len] == '=')
			return strndup(environment + at + name_len + 1, n - name_len - 1);
		at += n + 1;
	}
	return NULL;
}

void attrs__add_environment(struct process_attrs *attrs, const char *environment, size_t len)
{
	struct resource_setting settings[ENVIRONMENT_ATTRIBUTES_MAX] = {0};
	char *name = find_variable(environment, len, "OTEL_SERVICE_NAME");
	char *text = find_variable(environment, len, "OTEL_RESOURCE_ATTRIBUTES");
	int n;

	if (name && name[0])
		add_text(attrs, "service.name", name);
	n = text ? resource__parse_attributes(text, settings, ENVIRONMENT_ATTRIBUTES_MAX) : 0;
	/* Of two for the same key the later holds. One error, and none of it counts. */
	for (int i = n - 1; i >= 0; i--)
		add_text(attrs, settings[i].key, settings[i].value);
	resource__free_attributes(settings, ENVIRONMENT_ATTRIBUTES_MAX);
	free(name);
	free(text);
}

/* --- the mapping ----------------------------------------------------------------- */

/* As a process of the same word size has it. */
struct header {
	char signature[8];
	__u32 version;
	__u32 payload_size;
	__u64 published; /* 0: it is being updated */
	__u64 payload;
};
_Static_assert(sizeof(struct header) == 32, "as OTEP 4719 has it");

struct request {
	__u32 pid;
	__u32 environment; /* is wanted, not the context */
	struct context_place place;
};

struct reply {
	__u64 published;
	__u8 payload[CONTEXT_PAYLOAD_MAX];
};
_Static_assert(sizeof(struct reply) <= ASIDE_REPLY_MAX, "a reply fits");

static int read_memory(int fd, __u64 address, void *to, size_t len)
{
	for (size_t have = 0; have < len;) {
		ssize_t n = pread(fd, (char *)to + have, len - have, address + have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -EIO;
		have += n;
	}
	return 0;
}

/* Return: bytes, 0 when it is not new; -EAGAIN when it changed meanwhile. */
static ssize_t read_once(int fd, const struct context_place *place, struct reply *reply)
{
	struct header header, again;
	int err;

	err = read_memory(fd, place->start, &header, sizeof(header));
	if (err)
		return err;
	if (memcmp(header.signature, "OTEL_CTX", 8) || header.version != 2)
		return -ENOENT;
	reply->published = header.published;
	if (!header.published)
		return -EAGAIN;
	if (header.published == place->published)
		return 0;
	if (!header.payload_size || header.payload_size > CONTEXT_PAYLOAD_MAX)
		return -EMSGSIZE;
	err = read_memory(fd, header.payload, reply->payload, header.payload_size);
	/* A pointer of before an update may lead nowhere: the time stamp says which it was. */
	if (read_memory(fd, place->start, &again, sizeof(again)))
		return -EIO;
	if (memcmp(&header, &again, sizeof(header)))
		return -EAGAIN;
	return err ? err : (ssize_t)header.payload_size;
}

static bool begins(const char *text, size_t len, const char *start)
{
	return len >= strlen(start) && !memcmp(text, start, strlen(start));
}

/*
 * The two variables, the first of each. The kernel reads only anonymous pages here (7f7ccc2ccc2e,
 * Linux 4.17), but it takes mmap_lock first, which a page that never comes may keep from
 * everybody: whoever reads it through /proc/PID/mem holds the lock, and a thread of the process
 * that maps something waits in front of us.
 */
static ssize_t read_environment(__u32 pid, char *to)
{
	static char bytes[4096]; /* the child's own, as in aside.c */
	bool has_name = false, has_attributes = false, fits = true;
	size_t start = 0, len = 0, all = 0;
	char path[32];
	ssize_t n;
	int fd;

	snprintf(path, sizeof(path), "/proc/%u/environ", pid);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return -errno;
	while ((n = read(fd, bytes, sizeof(bytes))) > 0 && all < ENVIRONMENT_MAX) {
		all += n;
		for (ssize_t i = 0; i < n; i++) {
			bool *has;

			if (len == ASIDE_REPLY_MAX)
				fits = false;
			else
				to[len++] = bytes[i];
			if (bytes[i])
				continue;
			has = begins(to + start, len - start, "OTEL_SERVICE_NAME=") ? &has_name
			      : begins(to + start, len - start, "OTEL_RESOURCE_ATTRIBUTES=")
				      ? &has_attributes
				      : NULL;
			if (!fits || !has || *has)
				len = start;
			else
				*has = true;
			start = len;
			fits = true;
		}
	}
	n = n < 0 ? -errno : 0;
	close(fd);
	/* What no zero ended is a variable, too. */
	return n ? n : (ssize_t)(fits ? len : start);
}

ssize_t context__work(const void *bytes, size_t len, void *to, int *fd)
{
	const struct request *request = bytes;
	ssize_t n = -EAGAIN;
	char path[32];
	int mem;

	(void)fd;
	if (len != sizeof(*request))
		return -EINVAL;
	if (request->environment)
		return read_environment(request->pid, to);
	snprintf(path, sizeof(path), "/proc/%u/mem", request->pid);
	mem = open(path, O_RDONLY | O_CLOEXEC);
	if (mem < 0)
		return -errno;
	for (int i = 0; i < READS_MAX && n == -EAGAIN; i++) {
		if (i)
			usleep(1000);
		n = read_once(mem, &request->place, to);
	}
	close(mem);
	return n < 0 ? n : n + (ssize_t)offsetof(struct reply, payload);
}

struct places {
	__u64 start[PLACES_MAX];
	int n;
};

static bool add_place(const struct find_mapping *mapping, void *arg)
{
	static const char *const names[] = {"[anon_shmem:OTEL_CTX]", "[anon:OTEL_CTX]",
					    "/memfd:OTEL_CTX", "/memfd:OTEL_CTX (deleted)"};
	struct places *places = arg;

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]) && !mapping->exec; i++)
		if (!strcmp(mapping->path, names[i])) {
			places->start[places->n++] = mapping->start;
			break;
		}
	return places->n < PLACES_MAX;
}

static ssize_t ask(struct aside *aside, __u32 pid, struct context_place *place, __u8 *bytes)
{
	struct request request = {.pid = pid, .place = *place};
	const size_t head = offsetof(struct reply, payload);
	ssize_t n = aside__ask(aside, &request, sizeof(request), bytes, NULL, CONTEXT_WAIT_MS);

	if (n < 0)
		return n;
	if ((size_t)n < head)
		return -EPROTO;
	memcpy(&place->published, bytes, sizeof(place->published));
	memmove(bytes, bytes + head, n - head);
	return n - head;
}

ssize_t context__read(struct aside *aside, __u32 pid, struct context_place *place, __u8 *reply)
{
	struct places places = {0};
	ssize_t n = -ENOENT;

	if (place->start) {
		n = ask(aside, pid, place, reply);
		if (n != -ENOENT && n != -EIO)
			return n;
	}
	*place = (struct context_place){0};
	find__walk(pid, add_place, &places);
	for (int i = 0; i < places.n; i++) {
		place->start = places.start[i];
		n = ask(aside, pid, place, reply);
		if (n >= 0 || n == -ETIMEDOUT || n == -EBUSY)
			break;
	}
	if (n < 0)
		*place = (struct context_place){0};
	return n;
}

int attrs__read_environment(struct process_attrs *attrs, struct aside *aside, __u32 pid,
			    __u8 *reply)
{
	struct request request = {.pid = pid, .environment = 1};
	ssize_t n = aside__ask(aside, &request, sizeof(request), reply, NULL, CONTEXT_WAIT_MS);

	if (n > 0)
		attrs__add_environment(attrs, (const char *)reply, n);
	return n < 0 ? n : 0;
}
