// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "process_resource.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "otlp/fields.h"
#include "process_context.h"
#include "symbols/open.h"

#define BUCKETS 1024
#define LOOK_AFTER_MAX 32 /* exports until a context is looked for again */
#define TIMEOUTS_MAX 2	  /* in one export; then contexts wait for the next */

struct process {
	struct process *next;
	struct otel_process_id id;
	struct process_attrs attrs;
	struct context_place place;
	unsigned int checked; /* export */
	unsigned int look_at, look_after;
	bool read;    /* what was to be had, was */
	bool refused; /* its memory does not answer */
	bool locked;  /* nor does its environment */
};

struct process_resources {
	struct process *buckets[BUCKETS];
	unsigned int n;
	size_t bytes;
	unsigned int export, timeouts;
	unsigned long asked;
	struct aside aside;
	__u8 reply[ASIDE_REPLY_MAX];
};

struct process_resources *process_resources__new(void)
{
	struct process_resources *resources = calloc(1, sizeof(*resources));

	if (resources) {
		resources->aside.work = context__work;
		resources->export = 1;
	}
	return resources;
}

static void forget(struct process_resources *resources, struct process **at)
{
	struct process *process = *at;

	*at = process->next;
	resources->bytes -= process->attrs.bytes.room;
	resources->n--;
	pb__free(&process->attrs.bytes);
	free(process);
}

void process_resources__free(struct process_resources *resources)
{
	if (!resources)
		return;
	for (int i = 0; i < BUCKETS; i++)
		while (resources->buckets[i])
			forget(resources, &resources->buckets[i]);
	aside__stop(&resources->aside);
	open__next_export();
	free(resources);
}

void process_resources__stats(const struct process_resources *resources,
			      struct process_resources_stats *stats)
{
	*stats = (struct process_resources_stats){resources->n, resources->bytes, resources->asked};
}

static bool too_many(const struct process_resources *resources)
{
	return resources->n > PROCESSES_KEPT_MAX || resources->bytes > PROCESSES_KEPT_BYTES;
}

/* What was not asked for longest goes, a sixteenth and more at a time. */
static void make_room(struct process_resources *resources)
{
	for (unsigned int age = LOOK_AFTER_MAX * 4; too_many(resources); age /= 2) {
		unsigned int left = resources->n / 16 + 1;

		for (int i = 0; i < BUCKETS; i++)
			for (struct process **at = &resources->buckets[i]; *at;) {
				bool old = resources->export - (*at)->checked >= age;

				if (old && (age || (left && left--)))
					forget(resources, at);
				else
					at = &(*at)->next;
			}
	}
}

static struct process *get(struct process_resources *resources, const struct otel_process_id *id)
{
	struct process **bucket = &resources->buckets[id->pid % BUCKETS], *process;

	for (process = *bucket; process; process = process->next)
		if (!memcmp(&process->id, id, sizeof(*id)))
			return process;
	process = calloc(1, sizeof(*process));
	if (!process)
		return NULL;
	process->id = *id;
	process->next = *bucket;
	*bucket = process;
	resources->n++;
	return process;
}

/* Field 22 of /proc/PID/stat, in ticks since boot; the second may have any bytes in it. */
static bool started_at(__u32 pid, __u64 *ticks)
{
	char path[32], line[1024], *at;
	unsigned long long value;
	FILE *file;
	size_t len;

	snprintf(path, sizeof(path), "/proc/%u/stat", pid);
	file = fopen(path, "re");
	if (!file)
		return false;
	len = fread(line, 1, sizeof(line) - 1, file);
	fclose(file);
	line[len] = '\0';
	at = memrchr(line, ')', len);
	if (!at || sscanf(at + 1,
			  " %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			  "%*s %*s %llu",
			  &value) != 1)
		return false;
	*ticks = value;
	return true;
}

/*
 * The very process. In a time namespace the kernel shows another start, so that there
 * nothing is the same, and nothing is read.
 */
static bool is_alive(const struct otel_process_id *id)
{
	__u64 ticks, hz = sysconf(_SC_CLK_TCK);

	return started_at(id->pid, &ticks) && ticks == id->start_ns / (1000000000ULL / hz);
}

/*
 * The same program: what an earlier one said is gone with it. Two runs of one program in
 * one process are not told apart: they most likely say the same.
 */
static bool is_program(__u32 pid, const char *path)
{
	static const char deleted[] = " (deleted)";
	char link[32], exe[PATH_MAX];
	const char *want = strrchr(path, '/'), *have;
	ssize_t len;

	snprintf(link, sizeof(link), "/proc/%u/exe", pid);
	len = readlink(link, exe, sizeof(exe) - 1);
	if (len < 0)
		return errno == EACCES ||
		       errno == EPERM; /* then the rest tells us nothing either */
	if (!want)
		return true;
	exe[len] = '\0';
	if ((size_t)len > sizeof(deleted) - 1 &&
	    !strcmp(exe + len - (sizeof(deleted) - 1), deleted))
		exe[len - (sizeof(deleted) - 1)] = '\0';
	have = strrchr(exe, '/');
	if (!have)
		return false;
	/* The kernel side kept that much of the name. */
	return !strncmp(want, have, OTEL_PATH_NAME) &&
	       (strlen(want) >= OTEL_PATH_NAME || !have[strlen(want)]);
}

static bool is_same(const struct otel_process_id *id, const char *path)
{
	return is_alive(id) && is_program(id->pid, path);
}

/* -EAGAIN: not now; else as context__read(). */
static ssize_t ask(struct process_resources *resources, struct process *process,
		   struct context_place *place)
{
	bool known = process->place.start;
	ssize_t n;

	if (process->refused)
		return -ENOENT;
	if ((!known && (int)(resources->export - process->look_at) < 0) ||
	    resources->timeouts >= TIMEOUTS_MAX)
		return -EAGAIN;
	resources->asked++;
	n = context__read(&resources->aside, process->id.pid, place, resources->reply);
	if (n == -ETIMEDOUT) {
		process->refused = true;
		resources->timeouts++;
	}
	if (n < 0) {
		process->look_after = process->look_after ? 2 * process->look_after : 1;
		if (process->look_after > LOOK_AFTER_MAX)
			process->look_after = LOOK_AFTER_MAX;
		process->look_at = resources->export + process->look_after;
	}
	return n;
}

static int read_environment(struct process_resources *resources, struct process *process,
			    struct process_attrs *attrs)
{
	int err;

	if (process->locked)
		return -ENOENT;
	if (resources->timeouts >= TIMEOUTS_MAX)
		return -EAGAIN;
	err = attrs__read_environment(attrs, &resources->aside, process->id.pid, resources->reply);
	if (err == -ETIMEDOUT) {
		process->locked = process->refused = true;
		resources->timeouts++;
	}
	return err;
}

static void refresh(struct process_resources *resources, struct process *process, const char *path)
{
	struct context_place place = process->place;
	struct process_attrs attrs = {0};
	ssize_t n;

	if (!is_same(&process->id, path))
		return;
	n = ask(resources, process, &place);
	/* The same as before, or nothing: a context that was withdrawn holds on, too. */
	if (process->read && n <= 0) {
		if (n != -EAGAIN)
			process->place = place;
		return;
	}
	if (n > 0 && attrs__add_context(&attrs, resources->reply, n))
		n = -EBADMSG;
	if (read_environment(resources, process, &attrs) && n <= 0)
		goto out;
	/* Whoever has the number now must still be the one that was asked for. */
	if (attrs.bytes.failed || !is_same(&process->id, path))
		goto out;
	resources->bytes -= process->attrs.bytes.room;
	pb__free(&process->attrs.bytes);
	process->attrs = attrs;
	if (attrs.bytes.len) {
		/* Most have a few bytes, and the buffer grew in large steps. */
		__u8 *less = realloc(attrs.bytes.data, attrs.bytes.len);

		if (less) {
			process->attrs.bytes.data = less;
			process->attrs.bytes.room = attrs.bytes.len;
		}
	}
	resources->bytes += process->attrs.bytes.room;
	process->read = true;
	process->place = place;
	return;
out:
	pb__free(&attrs.bytes);
}

static bool starts_with(const char *text, size_t len, const char *start)
{
	return len >= strlen(start) && !memcmp(text, start, strlen(start));
}

static bool is_key(const char *text, size_t len, const char *key)
{
	return len == strlen(key) && !memcmp(text, key, len);
}

/* What the kernel knows better, whether or not it was told this time. */
static bool is_measured(const char *key, size_t len)
{
	return is_key(key, len, "process.pid") || starts_with(key, len, "process.executable.") ||
	       is_key(key, len, "process.linux.cgroup") || is_key(key, len, "container.id") ||
	       is_key(key, len, "systemd.unit") || starts_with(key, len, "otelbpf.");
}

static void merge(const struct process_attrs *attrs, struct pb *resource)
{
	const __u8 *at = resource->data, *end = at + resource->len;
	struct pb out = {0};
	struct pb_field field;
	const char *key;
	size_t len;

	while (resource->len && pb__next(&at, end, &field) > 0) {
		if (field.number != RESOURCE_ATTRIBUTES || field.wire != PB_LEN)
			continue;
		len = attrs__key(field.data, field.len, &key);
		if (!starts_with(key, len, "service.") || !attrs__has(&attrs->bytes, key, len))
			pb__bytes(&out, RESOURCE_ATTRIBUTES, field.data, field.len);
	}
	at = attrs->bytes.data;
	end = at + attrs->bytes.len;
	while (attrs->bytes.len && pb__next(&at, end, &field) > 0) {
		len = attrs__key(field.data, field.len, &key);
		if (!is_measured(key, len) && !attrs__has(&out, key, len))
			pb__bytes(&out, RESOURCE_ATTRIBUTES, field.data, field.len);
	}
	if (attrs->dropped)
		pb__varint(&out, RESOURCE_DROPPED_ATTRIBUTES_COUNT, attrs->dropped);
	if (out.failed) {
		resource->failed = true;
		pb__free(&out);
		return;
	}
	pb__free(resource);
	*resource = out;
}

void process_resources__add(struct process_resources *resources, const struct otel_process_id *id,
			    const char *path, struct pb *resource)
{
	struct process *process = resource->failed ? NULL : get(resources, id);

	if (!process)
		return;
	if (process->checked != resources->export) {
		process->checked = resources->export;
		refresh(resources, process, path);
	}
	if (process->attrs.n || process->attrs.dropped)
		merge(&process->attrs, resource);
	if (too_many(resources))
		make_room(resources);
}

void process_resources__next_export(struct process_resources *resources)
{
	resources->export ++;
	resources->timeouts = 0;
	/* What it has of our memory is a copy of what was: not to be kept for long. */
	aside__stop(&resources->aside);
	open__next_export();
}
