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

/* Of one struct record behind the other, and where they are. */
struct records {
	struct pb bytes;
	size_t n;
	__u32 *index; /* hash -> place in bytes / 8 + 1, open addressing; 0: free */
	__u32 mask;
};

struct knowns {
	struct known *at;
	int n;
};

/*
 * What is acknowledged, and from baseline__begin() to baseline__settle() what will be if all
 * requests are taken; @requests: where in @next.bytes each of them ends.
 */
struct baseline {
	const struct sources *there;
	struct records now, next;
	struct knowns known, next_known;
	struct pb requests;
};

struct baseline *baseline__new(const struct sources *there)
{
	struct baseline *baseline = calloc(1, sizeof(*baseline));

	if (baseline)
		baseline->there = there;
	return baseline;
}

static void records__free(struct records *records)
{
	pb__free(&records->bytes);
	free(records->index);
	*records = (struct records){0};
}

static void drop_next(struct baseline *baseline)
{
	records__free(&baseline->next);
	free(baseline->next_known.at);
	baseline->next_known = (struct knowns){0};
	baseline->requests.len = 0;
}

void baseline__free(struct baseline *baseline)
{
	if (!baseline)
		return;
	records__free(&baseline->now);
	drop_next(baseline);
	pb__free(&baseline->requests);
	free(baseline->known.at);
	free(baseline);
}

static size_t records__size(const struct records *records)
{
	return records->bytes.room +
	       (records->index ? ((size_t)records->mask + 1) * sizeof(*records->index) : 0);
}

size_t baseline__bytes(const struct baseline *baseline)
{
	return records__size(&baseline->now) + records__size(&baseline->next) +
	       (baseline->known.n + baseline->next_known.n) * sizeof(struct known) +
	       baseline->requests.room;
}

static size_t record_size(__u32 name_len, __u32 len)
{
	return (sizeof(struct record) + (size_t)name_len + len + 7) / 8 * 8;
}

static struct record *record_at(const struct records *records, size_t at)
{
	return (struct record *)(void *)(records->bytes.data + at);
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

static struct record *find(const struct records *records, const struct series *series)
{
	__u32 slot;

	if (!records->index)
		return NULL;
	slot = hash_of(series->source, series->name, series->name_len) & records->mask;
	for (; records->index[slot]; slot = (slot + 1) & records->mask) {
		struct record *record = record_at(records, ((size_t)records->index[slot] - 1) * 8);

		if (sources__is_same(source_of(record), series->source) &&
		    record->name_len == series->name_len &&
		    !memcmp(record + 1, series->name, series->name_len))
			return record;
	}
	return NULL;
}

static int make_index(struct records *records)
{
	__u32 room = 64;

	while (room < 2 * records->n)
		room *= 2;
	records->index = calloc(room, sizeof(*records->index));
	if (!records->index)
		return -ENOMEM;
	records->mask = room - 1;
	for (size_t at = 0; at < records->bytes.len;) {
		const struct record *record = record_at(records, at);
		__u32 slot = hash_of(source_of(record), record + 1, record->name_len);

		for (slot &= records->mask; records->index[slot];)
			slot = (slot + 1) & records->mask;
		records->index[slot] = at / 8 + 1;
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
	struct saved saved = {.records = baseline->now.bytes.len, .known = baseline->known.n};

	pb__raw(pb, &saved, sizeof(saved));
	pb__raw(pb, baseline->known.at, saved.known * sizeof(struct known));
	pb__raw(pb, baseline->now.bytes.data, saved.records);
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
	known = (size_t)saved.known * sizeof(struct known);
	if (known > len - sizeof(saved) || saved.records != len - sizeof(saved) - known)
		return -EBADMSG;
	at += sizeof(saved);
	n = count_records(at + known, saved.records);
	if (!n && saved.records)
		return -EBADMSG;
	baseline->known.at = malloc(known + 1);
	pb__raw(&baseline->now.bytes, at + known, saved.records);
	baseline->now.n = n;
	if (!baseline->known.at || baseline->now.bytes.failed || make_index(&baseline->now)) {
		records__free(&baseline->now);
		return -ENOMEM;
	}
	memcpy(baseline->known.at, at, known);
	baseline->known.n = saved.known;
	return 0;
}

void baseline__begin(struct baseline *baseline)
{
	drop_next(baseline);
	for (size_t at = 0; at < baseline->now.bytes.len;) {
		struct record *record = record_at(&baseline->now, at);

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
	for (int i = 0; i < baseline->known.n; i++)
		if (sources__is_same(baseline->known.at[i].source, series->source) &&
		    baseline->known.at[i].read_ns > series->start_ns)
			return baseline->known.at[i].read_ns;
	return series->start_ns;
}

struct acknowledged baseline__find(const struct baseline *baseline, const struct series *series)
{
	const struct record *record = find(&baseline->now, series);

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
		record = find(&baseline->now, &series);
		if (record)
			record->forgot = true;
		record = find(&baseline->next, &series);
		if (record)
			record->forgot = true;
	}
}

static void put(struct records *records, const struct record *record, const void *name,
		const void *data)
{
	size_t size = record_size(record->name_len, record->len);
	__u8 *at;

	if (!pb__reserve(&records->bytes, size))
		return;
	at = records->bytes.data + records->bytes.len;
	memset(at + size - 8, 0, 8);
	memcpy(at, record, sizeof(*record));
	memcpy(at + sizeof(*record), name, record->name_len);
	if (record->len)
		memcpy(at + sizeof(*record) + record->name_len, data, record->len);
	records->bytes.len += size;
	records->n++;
}

static void put_series(struct records *records, const struct series *series, __u64 until_ns,
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

	put(records, &record, series->name, data);
}

void baseline__put(struct baseline *baseline, const struct series *series, __u64 until_ns,
		   const void *data, size_t len)
{
	struct record *before = find(&baseline->now, series);

	if (before)
		before->found = true;
	put_series(&baseline->next, series, until_ns, data, len);
}

void baseline__request(struct baseline *baseline)
{
	__u64 end = baseline->next.bytes.len;

	pb__raw(&baseline->requests, &end, sizeof(end));
}

static bool is_complete(struct series_source source, const struct series_source *complete, int n)
{
	for (int i = 0; i < n; i++)
		if (sources__is_same(source, complete[i]))
			return true;
	return false;
}

/* A map that could not be read this time may be read the next time, with all it had. */
static void keep_unread(struct baseline *baseline, const struct series_source *complete, int n)
{
	struct series_source last = {0};
	bool keep = false, asked = false;

	for (size_t at = 0; at < baseline->now.bytes.len;) {
		struct record *record = record_at(&baseline->now, at);
		struct series_source source = source_of(record);

		at += record_size(record->name_len, record->len);
		if (record->found)
			continue;
		if (!asked || !sources__is_same(source, last)) {
			keep = !is_complete(source, complete, n) &&
			       sources__has(baseline->there, source);
			last = source;
			asked = true;
		}
		if (keep)
			put(&baseline->next, record, record + 1,
			    (const __u8 *)(record + 1) + record->name_len);
	}
}

static int note_known(struct baseline *baseline, const struct series_source *complete, int n,
		      __u64 now_ns)
{
	struct known *known = calloc(n + baseline->known.n + 1, sizeof(*known));
	int n_known = 0;

	if (!known)
		return -ENOMEM;
	for (int i = 0; i < n; i++)
		known[n_known++] = (struct known){complete[i], now_ns};
	for (int i = 0; i < baseline->known.n; i++)
		if (!is_complete(baseline->known.at[i].source, complete, n) &&
		    sources__has(baseline->there, baseline->known.at[i].source))
			known[n_known++] = baseline->known.at[i];
	baseline->next_known = (struct knowns){known, n_known};
	return 0;
}

int baseline__end(struct baseline *baseline, const struct series_source *complete, int n,
		  __u64 now_ns)
{
	keep_unread(baseline, complete, n);
	if (baseline->next.bytes.failed || baseline->requests.failed ||
	    note_known(baseline, complete, n, now_ns))
		return -ENOMEM;
	return make_index(&baseline->next);
}

/* --- what became of the requests ----------------------------------------------------------- */

/* What comes behind the last request was in none: it is as it was acknowledged. */
static int take_back(struct baseline *baseline, const __u8 *taken, size_t n)
{
	struct records both = {0};
	size_t request = 0;

	for (size_t at = 0; at < baseline->next.bytes.len;) {
		const struct record *record = record_at(&baseline->next, at);
		struct series series = {.source = source_of(record),
					.name = record + 1,
					.name_len = record->name_len,
					.start_ns = record->start_ns};
		struct acknowledged before;
		__u64 end;

		for (; request < n; request++) {
			memcpy(&end, baseline->requests.data + request * sizeof(end), sizeof(end));
			if (at < end)
				break;
		}
		at += record_size(record->name_len, record->len);
		if (request == n || taken[request]) {
			put(&both, record, record + 1,
			    (const __u8 *)(record + 1) + record->name_len);
			continue;
		}
		before = baseline__find(baseline, &series);
		put_series(&both, &series, before.until_ns, before.data, before.len);
	}
	if (both.bytes.failed || make_index(&both)) {
		records__free(&both);
		return -ENOMEM;
	}
	records__free(&baseline->next);
	baseline->next = both;
	return 0;
}

int baseline__settle(struct baseline *baseline, const void *taken, size_t n)
{
	if (n != baseline->requests.len / sizeof(__u64))
		return -EINVAL;
	if (n && memchr(taken, 0, n) && take_back(baseline, taken, n))
		return -ENOMEM;
	records__free(&baseline->now);
	free(baseline->known.at);
	baseline->now = baseline->next;
	baseline->known = baseline->next_known;
	baseline->next = (struct records){0};
	baseline->next_known = (struct knowns){0};
	baseline->requests.len = 0;
	return 0;
}
