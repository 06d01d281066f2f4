// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "baseline.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "pb.h"
#include "plan.h"

/* Followed by the name and the packed value, and by zeros up to a multiple of 8. */
struct record {
	__u64 start_ns;
	__u64 until_ns;
	__u32 id;
	__u32 name_len;
	__u32 len;
	bool of_program;
	bool found;  /* put anew in this export */
	bool forgot; /* the value counts for nothing any more, the instant does */
};
_Static_assert(sizeof(struct record) % 8 == 0, "records would not be aligned");

/* A source that was read as a whole. */
struct known {
	struct series_source source;
	__u64 read_ns;
};

struct baseline {
	bool (*is_there)(struct series_source source);
	struct pb records, next; /* one struct record behind the other */
	__u32 *index;		 /* hash -> place in records / 8 + 1, open addressing; 0: free */
	__u32 mask;
	size_t n, n_next;
	struct known *known;
	int n_known;
};

struct baseline *baseline__new(bool (*is_there)(struct series_source source))
{
	struct baseline *baseline = calloc(1, sizeof(*baseline));

	if (baseline)
		baseline->is_there = is_there;
	return baseline;
}

void baseline__free(struct baseline *baseline)
{
	if (!baseline)
		return;
	pb__free(&baseline->records);
	pb__free(&baseline->next);
	free(baseline->index);
	free(baseline->known);
	free(baseline);
}

size_t baseline__bytes(const struct baseline *baseline)
{
	return baseline->records.room + baseline->next.room +
	       (baseline->index ? ((size_t)baseline->mask + 1) * sizeof(*baseline->index) : 0) +
	       baseline->n_known * sizeof(*baseline->known);
}

static bool is_same(struct series_source a, struct series_source b)
{
	return a.id == b.id && a.of_program == b.of_program;
}

static size_t record_size(__u32 name_len, __u32 len)
{
	return (sizeof(struct record) + (size_t)name_len + len + 7) / 8 * 8;
}

static struct record *record_at(const struct pb *records, size_t at)
{
	return (struct record *)(void *)(records->data + at);
}

static struct series_source source_of(const struct record *record)
{
	return (struct series_source){record->id, record->of_program};
}

/* FNV-1a (Fowler, Noll, Vo), with its bits mixed once more for the low ones to be of use. */
static __u32 hash_of(struct series_source source, const void *name, __u32 len)
{
	__u64 hash = 0xcbf29ce484222325ULL ^ source.id ^ (__u64)source.of_program << 32;
	const __u8 *at = name;

	for (__u32 i = 0; i < len; i++)
		hash = (hash ^ at[i]) * 0x100000001b3ULL;
	hash ^= hash >> 32;
	return (hash * 0x9e3779b97f4a7c15ULL) >> 32;
}

static struct record *find(const struct baseline *baseline, const struct series *series)
{
	__u32 slot;

	if (!baseline->index)
		return NULL;
	slot = hash_of(series->source, series->name, series->name_len) & baseline->mask;
	for (; baseline->index[slot]; slot = (slot + 1) & baseline->mask) {
		struct record *record =
			record_at(&baseline->records, ((size_t)baseline->index[slot] - 1) * 8);

		if (is_same(source_of(record), series->source) &&
		    record->name_len == series->name_len &&
		    !memcmp(record + 1, series->name, series->name_len))
			return record;
	}
	return NULL;
}

static int make_index(struct baseline *baseline)
{
	__u32 room = 64;

	free(baseline->index);
	baseline->index = NULL;
	while (room < 2 * baseline->n)
		room *= 2;
	baseline->index = calloc(room, sizeof(*baseline->index));
	if (!baseline->index)
		return -ENOMEM;
	baseline->mask = room - 1;
	for (size_t at = 0; at < baseline->records.len;) {
		const struct record *record = record_at(&baseline->records, at);
		__u32 slot = hash_of(source_of(record), record + 1, record->name_len);

		for (slot &= baseline->mask; baseline->index[slot];)
			slot = (slot + 1) & baseline->mask;
		baseline->index[slot] = at / 8 + 1;
		at += record_size(record->name_len, record->len);
	}
	return 0;
}

/* --- from one exporter to the next ---------------------------------------- */

/* Followed by so many known sources and bytes of records. */
struct saved {
	__u64 records;
	__u32 known;
	__u32 reserved;
};

void baseline__save(const struct baseline *baseline, struct pb *pb)
{
	struct saved saved = {.records = baseline->records.len, .known = baseline->n_known};

	pb__raw(pb, &saved, sizeof(saved));
	pb__raw(pb, baseline->known, saved.known * sizeof(*baseline->known));
	pb__raw(pb, baseline->records.data, saved.records);
}

/* How many records there are; 0 if they do not fill their bytes. */
static size_t count_records(const __u8 *data, size_t len)
{
	struct record record;
	size_t n = 0;

	for (size_t at = 0, size; at < len; at += size, n++) {
		if (len - at < sizeof(record))
			return 0;
		memcpy(&record, data + at, sizeof(record));
		size = record_size(record.name_len, record.len);
		if (size > len - at)
			return 0;
	}
	return n;
}

int baseline__restore(struct baseline *baseline, const void *data, size_t len)
{
	const __u8 *at = data;
	struct saved saved;
	size_t known, n;

	if (len < sizeof(saved))
		return -EBADMSG;
	memcpy(&saved, at, sizeof(saved));
	known = (size_t)saved.known * sizeof(*baseline->known);
	if (known > len - sizeof(saved) || saved.records != len - sizeof(saved) - known)
		return -EBADMSG;
	at += sizeof(saved);
	n = count_records(at + known, saved.records);
	if (!n && saved.records)
		return -EBADMSG;
	baseline->known = malloc(known + 1);
	pb__raw(&baseline->records, at + known, saved.records);
	baseline->n = n;
	if (!baseline->known || baseline->records.failed || make_index(baseline)) {
		pb__free(&baseline->records);
		baseline->n = 0;
		return -ENOMEM;
	}
	memcpy(baseline->known, at, known);
	baseline->n_known = saved.known;
	return 0;
}

void baseline__begin(struct baseline *baseline)
{
	pb__free(&baseline->next);
	baseline->n_next = 0;
	for (size_t at = 0; at < baseline->records.len;) {
		struct record *record = record_at(&baseline->records, at);

		record->found = false;
		at += record_size(record->name_len, record->len);
	}
}

/*
 * A series that nobody has seen before was not there when its source was read last, so
 * what it counts came since.
 */
static __u64 since(const struct baseline *baseline, const struct series *series)
{
	for (int i = 0; i < baseline->n_known; i++)
		if (is_same(baseline->known[i].source, series->source) &&
		    baseline->known[i].read_ns > series->start_ns)
			return baseline->known[i].read_ns;
	return series->start_ns;
}

struct acknowledged baseline__find(struct baseline *baseline, const struct series *series)
{
	struct record *record = find(baseline, series);

	if (!record)
		return (struct acknowledged){.until_ns = since(baseline, series)};
	if (record->start_ns != series->start_ns)
		return (struct acknowledged){.until_ns = record->until_ns > series->start_ns
								 ? record->until_ns
								 : series->start_ns};
	if (record->forgot)
		return (struct acknowledged){.until_ns = record->until_ns};
	return (struct acknowledged){
		.known = true,
		.data = record->len ? (const __u8 *)(record + 1) + record->name_len : NULL,
		.len = record->len,
		.until_ns = record->until_ns,
	};
}

void baseline__forget(struct baseline *baseline, struct series_source source, const void *key,
		      size_t key_size)
{
	__u8 name[1 + key_size];
	struct series series = {.source = source, .name = name, .name_len = sizeof(name)};
	struct record *record;

	memcpy(name + 1, key, key_size);
	for (int i = 0; i < PLAN_INSTRUMENTS_MAX; i++) {
		name[0] = i;
		record = find(baseline, &series);
		if (record)
			record->forgot = true;
	}
}

static void put(struct baseline *baseline, const struct record *record, const void *name,
		const void *data)
{
	size_t size = record_size(record->name_len, record->len);
	struct pb *next = &baseline->next;
	__u8 *at;

	if (!pb__reserve(next, size))
		return;
	at = next->data + next->len;
	memset(at + size - 8, 0, 8);
	memcpy(at, record, sizeof(*record));
	memcpy(at + sizeof(*record), name, record->name_len);
	if (record->len)
		memcpy(at + sizeof(*record) + record->name_len, data, record->len);
	next->len += size;
	baseline->n_next++;
}

void baseline__put(struct baseline *baseline, const struct series *series, __u64 until_ns,
		   const void *data, size_t len)
{
	struct record record = {
		.start_ns = series->start_ns,
		.until_ns = until_ns,
		.id = series->source.id,
		.name_len = series->name_len,
		.len = len,
		.of_program = series->source.of_program,
	};
	struct record *before = find(baseline, series);

	if (before)
		before->found = true;
	put(baseline, &record, series->name, data);
}

static bool is_complete(struct series_source source, const struct series_source *complete, int n)
{
	for (int i = 0; i < n; i++)
		if (is_same(source, complete[i]))
			return true;
	return false;
}

/* A map that could not be read this time may be read the next time, with all it had. */
static void keep_unread(struct baseline *baseline, const struct series_source *complete, int n)
{
	struct series_source last = {0};
	bool keep = false, asked = false;

	for (size_t at = 0; at < baseline->records.len;) {
		struct record *record = record_at(&baseline->records, at);
		struct series_source source = source_of(record);

		at += record_size(record->name_len, record->len);
		if (record->found)
			continue;
		if (!asked || !is_same(source, last)) {
			keep = !is_complete(source, complete, n) && baseline->is_there(source);
			last = source;
			asked = true;
		}
		if (keep)
			put(baseline, record, record + 1,
			    (const __u8 *)(record + 1) + record->name_len);
	}
}

static int note_known(struct baseline *baseline, const struct series_source *complete, int n,
		      __u64 now_ns)
{
	struct known *known = calloc(n + baseline->n_known + 1, sizeof(*known));
	int n_known = 0;

	if (!known)
		return -ENOMEM;
	for (int i = 0; i < n; i++)
		known[n_known++] = (struct known){complete[i], now_ns};
	for (int i = 0; i < baseline->n_known; i++)
		if (!is_complete(baseline->known[i].source, complete, n) &&
		    baseline->is_there(baseline->known[i].source))
			known[n_known++] = baseline->known[i];
	free(baseline->known);
	baseline->known = known;
	baseline->n_known = n_known;
	return 0;
}

int baseline__end(struct baseline *baseline, const struct series_source *complete, int n,
		  __u64 now_ns)
{
	keep_unread(baseline, complete, n);
	if (baseline->next.failed || note_known(baseline, complete, n, now_ns))
		return -ENOMEM;
	pb__free(&baseline->records);
	baseline->records = baseline->next;
	baseline->next = (struct pb){0};
	baseline->n = baseline->n_next;
	return make_index(baseline);
}
