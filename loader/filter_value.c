// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "filter_value.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <pwd.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cgroup.h"
#include "decoder.h"
#include "path.h"

static int parse_u32(const char *text, __u32 *number)
{
	unsigned long long value;
	char *rest;

	if (!isdigit((unsigned char)text[0]))
		return -EINVAL;
	errno = 0;
	value = strtoull(text, &rest, 10);
	if (*rest || errno || value > 0xffffffffULL)
		return -EINVAL;
	*number = value;
	return 0;
}

/* --- cgroup, pid, comm, uid ----------------------------------------------------- */

static int parse_cgroup(const char *text, struct otel_filter_key *key, struct failure *failure)
{
	return cgroup__id(text, &key->id, failure);
}

static void print_cgroup(const struct otel_filter_key *key, char *text)
{
	char path[PATH_MAX];

	if (cgroup__path(key->id, path))
		snprintf(text, FILTER_TEXT, "%llu", key->id);
	else
		snprintf(text, FILTER_TEXT, "%s", path);
}

/* A number of "NAME:\tNUMBER" in /proc/PID/status */
static int status_number(__u32 pid, const char *name, __u32 *number)
{
	char path[64], line[256];
	size_t len = strlen(name);
	int err = -ENOENT;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	file = fopen(path, "re");
	if (!file)
		return -errno;
	while (err && fgets(line, sizeof(line), file))
		if (!strncmp(line, name, len) && line[len] == ':')
			err = sscanf(line + len + 1, "%u", number) == 1 ? 0 : -EINVAL;
	fclose(file);
	return err;
}

static int parse_pid(const char *text, struct otel_filter_key *key, struct failure *failure)
{
	__u32 pid, tgid;

	if (parse_u32(text, &pid) || !pid)
		return failed(failure, EXIT_USAGE, "'%s' is not a process id", text);
	/* A thread's id means its process. One that has exited can still be taken out. */
	key->id = status_number(pid, "Tgid", &tgid) ? pid : tgid;
	return 0;
}

static void print_number(const struct otel_filter_key *key, char *text)
{
	snprintf(text, FILTER_TEXT, "%llu", key->id);
}

static int parse_comm(const char *text, struct otel_filter_key *key, struct failure *failure)
{
	if (!text[0])
		return failed(failure, EXIT_USAGE, "a comm is not empty");
	/* The kernel cuts the names of programs, too. */
	if (strlen(text) >= sizeof(key->comm))
		inform("comm '%s' is '%.*s' to the kernel", text, (int)sizeof(key->comm) - 1, text);
	memcpy(key->comm, text, strnlen(text, sizeof(key->comm) - 1));
	return 0;
}

static void print_comm(const struct otel_filter_key *key, char *text)
{
	snprintf(text, FILTER_TEXT, "%.*s", (int)sizeof(key->comm), key->comm);
}

static int parse_uid(const char *text, struct otel_filter_key *key, struct failure *failure)
{
	const struct passwd *user;
	__u32 uid;

	if (parse_u32(text, &uid)) {
		user = getpwnam(text);
		if (!user)
			return failed(failure, EXIT_USAGE, "there is no user '%s'", text);
		uid = user->pw_uid;
	}
	key->id = uid;
	return 0;
}

static const struct filter_kind kinds[] = {
	{"cgroup", OTEL_FILTER_CGROUP, parse_cgroup, print_cgroup},
	{"pid", OTEL_FILTER_PID, parse_pid, print_number},
	{"comm", OTEL_FILTER_COMM, parse_comm, print_comm},
	{"uid", OTEL_FILTER_UID, parse_uid, print_number},
};

const struct filter_kind *filter_kind__nth(int n)
{
	return n >= 0 && (size_t)n < sizeof(kinds) / sizeof(kinds[0]) ? &kinds[n] : NULL;
}

const struct filter_kind *filter_kind__find(const char *name)
{
	const struct filter_kind *kind;

	for (int i = 0; (kind = filter_kind__nth(i)); i++)
		if (!strcmp(kind->name, name))
			return kind;
	return NULL;
}

/* --- sets ------------------------------------------------------------------------ */

static __u64 bit_of(const struct filter_set *set, __u64 number)
{
	return set->decoder->bit ? set->decoder->bit(number) : number;
}

int filter_value__bits(const struct filter_set *set, const char *text, __u32 *bits, int max,
		       struct failure *failure)
{
	__u64 numbers[8];
	__u32 number;
	int n = 0, found = 0;

	if (set->decoder->encode)
		n = set->decoder->encode(text, numbers, 8);
	if (!n && !parse_u32(text, &number))
		numbers[n++] = number;
	for (int i = 0; i < n && found < max; i++)
		if (bit_of(set, numbers[i]) < set->bits)
			bits[found++] = bit_of(set, numbers[i]);
	if (!found)
		failed(failure, EXIT_USAGE, "there is no %s '%s'", set->kind, text);
	return found;
}

bool filter_value__number(const struct filter_set *set, __u32 bit, __u64 *number)
{
	for (int high = 0; high <= 32; high++)
		for (__u64 low = 0; low < set->bits; low++) {
			*number = low | (high ? 1ULL << (32 - high) : 0);
			if (bit_of(set, *number) == bit)
				return true;
			/* Most bits are their own number, or close. */
			if (high == 0 && low == 0 && bit_of(set, bit) == bit) {
				*number = bit;
				return true;
			}
		}
	return false;
}

/* --- descendants ------------------------------------------------------------------ */

static bool is_among(const struct otel_filter_key *keys, int n, __u32 pid)
{
	for (int i = 0; i < n; i++)
		if (keys[i].id == pid)
			return true;
	return false;
}

static int add_pid(struct otel_filter_key **keys, int *n, __u32 pid)
{
	struct otel_filter_key *more = reallocarray(*keys, *n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	more[*n] = (struct otel_filter_key){.kind = OTEL_FILTER_PID, .id = pid};
	*keys = more;
	(*n)++;
	return 0;
}

int filter_value__descendants(struct otel_filter_key **keys, int *n)
{
	int before, err = 0;

	/* A child may have a lower number than its parent: again until nothing is new. */
	do {
		DIR *proc = opendir("/proc");
		struct dirent *entry;

		before = *n;
		while (!err && proc && (entry = readdir(proc))) {
			__u32 pid, parent;

			if (parse_u32(entry->d_name, &pid) || is_among(*keys, *n, pid) ||
			    status_number(pid, "PPid", &parent) || !is_among(*keys, *n, parent))
				continue;
			err = add_pid(keys, n, pid);
		}
		if (proc)
			closedir(proc);
	} while (!err && *n > before);
	return err;
}

int filter_value__add(struct filter *filter, const char *probe, const char *text,
		      struct failure *failure)
{
	const struct filter_kind *common;
	struct otel_filter_key key = {};
	struct filter_set *set;
	__u32 bits[64];
	char kind[64];
	const char *value = strchr(text, '=');
	int n, err = -ENOENT;

	if (!value || (size_t)(value - text) >= sizeof(kind))
		return failed(failure, EXIT_USAGE, "--filter wants KIND=VALUE, not '%s'", text);
	snprintf(kind, sizeof(kind), "%.*s", (int)(value - text), text);
	value++;
	common = filter_kind__find(kind);
	set = filter__find_set(filter, kind);
	if (common && filter->entries >= 0) {
		key.kind = common->kind;
		if (common->parse(value, &key, failure))
			return failure->code;
		err = filter__add(filter, &key, 1, OTEL_FILTER_PASS);
	} else if (set) {
		n = filter_value__bits(set, value, bits, 64, failure);
		if (!n)
			return failure->code;
		err = filter__set_add(filter, set, bits, n, false);
	}
	if (err)
		return failed(failure, EXIT_USAGE, "--filter %s: probe '%s' %s", text, probe,
			      err == -ENOENT ? "has no filter of that kind" : strerror(-err));
	return 0;
}
