// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "fields.h"

/* Room for headers that follow a point in a request: enough for the longest names. */
#define HEADROOM 4096

struct scope {
	char *name;
	__u64 start_ns;
};

struct metric {
	int scope;
	const struct instrument *instrument;
};

struct point {
	__u64 key; /* resource, then metric: the order of a request */
	__u64 offset;
	__u64 len;
};

struct metrics {
	__u64 now_ns;
	struct pb bytes; /* points, encoded, one behind the other */
	struct point *points;
	size_t n_points, room_points;
	bool in_order; /* of a single table with a single Resource they come sorted */
	struct scope *scopes;
	int n_scopes;
	struct metric *metrics;
	int n_metrics, room_metrics;
	int of_plan[PLAN_INSTRUMENTS_MAX]; /* the plan's instruments as metrics */
	__u64 buckets[PLAN_BUCKETS_MAX];
	struct pb request;
};

struct metrics *metrics__new(void)
{
	return calloc(1, sizeof(struct metrics));
}

static void drop_scopes(struct metrics *metrics)
{
	for (int i = 0; i < metrics->n_scopes; i++)
		free(metrics->scopes[i].name);
	free(metrics->scopes);
	metrics->scopes = NULL;
	metrics->n_scopes = 0;
}

void metrics__free(struct metrics *metrics)
{
	if (!metrics)
		return;
	drop_scopes(metrics);
	free(metrics->metrics);
	free(metrics->points);
	pb__free(&metrics->bytes);
	pb__free(&metrics->request);
	free(metrics);
}

void metrics__begin(struct metrics *metrics, __u64 now_ns)
{
	drop_scopes(metrics);
	metrics->now_ns = now_ns;
	metrics->bytes.len = 0;
	metrics->bytes.failed = false;
	metrics->n_points = 0;
	metrics->in_order = true;
	metrics->n_metrics = 0;
}

int metrics__scope(struct metrics *metrics, const char *name, __u64 start_ns)
{
	struct scope *more =
		reallocarray(metrics->scopes, metrics->n_scopes + 1, sizeof(*metrics->scopes));

	if (!more)
		return -ENOMEM;
	metrics->scopes = more;
	more[metrics->n_scopes].name = strdup(name);
	more[metrics->n_scopes].start_ns = start_ns;
	if (!more[metrics->n_scopes].name)
		return -ENOMEM;
	metrics->n_scopes++;
	return 0;
}

static int find_metric(struct metrics *metrics, const struct instrument *instrument)
{
	int scope = metrics->n_scopes - 1;
	struct metric *more;

	for (int i = metrics->n_metrics - 1; i >= 0 && metrics->metrics[i].scope == scope; i--) {
		const struct instrument *has = metrics->metrics[i].instrument;

		if (strcmp(has->name, instrument->name))
			continue;
		return has->kind == instrument->kind && !strcmp(has->unit, instrument->unit)
			       ? i
			       : -EEXIST;
	}
	if (metrics->n_metrics == metrics->room_metrics) {
		int room = metrics->room_metrics ? 2 * metrics->room_metrics : 32;

		more = reallocarray(metrics->metrics, room, sizeof(*more));
		if (!more)
			return -ENOMEM;
		metrics->metrics = more;
		metrics->room_metrics = room;
	}
	metrics->metrics[metrics->n_metrics] = (struct metric){scope, instrument};
	return metrics->n_metrics++;
}

int metrics__plan(struct metrics *metrics, const struct plan *plan)
{
	for (int i = 0; i < plan->n_instruments; i++) {
		metrics->of_plan[i] = find_metric(metrics, &plan->instruments[i]);
		if (metrics->of_plan[i] < 0)
			return metrics->of_plan[i];
	}
	return 0;
}

/* --- one point ------------------------------------------------------------ */

static bool is_zero(const char *bytes, __u32 size)
{
	for (__u32 i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

static void put_attributes(struct pb *pb, __u32 field, const struct plan *plan,
			   const struct instrument *instrument, const void *key, bool overflow)
{
	for (int i = 0; i < instrument->n_with; i++)
		pb__bytes(pb, field, instrument->with[i].data, instrument->with[i].len);
	if (overflow) {
		attr__bool(pb, field, "otel.metric.overflow", true);
		return;
	}
	for (int i = 0; i < plan->n_attrs; i++) {
		const struct plan_attr *attr = &plan->attrs[i];
		const char *bytes = (const char *)key + attr->offset, *name;
		struct decoded value;

		if (attr->unset && is_zero(bytes, attr->size))
			continue;
		attr->decoder->decode(&attr->ctx, bytes, attr->size, &value);
		attr__decoded(pb, field, &attr->key, &value);
		if (attr->decoder->extra && attr->decoder->extra(bytes, attr->size, &name, &value))
			attr__string(pb, field, name, value.text, value.len);
	}
}

static __u64 load64(const void *at)
{
	__u64 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

/* Sum over CPUs. A signed sum may be negative on one CPU and right in total. */
static __s64 total(const struct plan *plan, const struct instrument *instrument, const char *values)
{
	__u64 sum = 0;

	for (__u32 cpu = 0; cpu < plan->values; cpu++) {
		const char *at = values + (size_t)cpu * plan->value_size + instrument->offset;
		__u32 narrow;

		if (instrument->size == 8) {
			sum += load64(at);
		} else {
			memcpy(&narrow, at, sizeof(narrow));
			sum += instrument->is_signed ? (__u64)(__s64)(__s32)narrow : narrow;
		}
	}
	return sum;
}

static bool put_number(struct metrics *metrics, const struct plan *plan,
		       const struct instrument *instrument, const void *key, const void *values,
		       bool overflow)
{
	struct pb *pb = &metrics->bytes;
	__s64 v = total(plan, instrument, values);

	if (overflow && !v)
		return false;
	put_attributes(pb, NUMBER_POINT_ATTRIBUTES, plan, instrument, key, overflow);
	pb__fixed64(pb, NUMBER_POINT_START_TIME, metrics->scopes[metrics->n_scopes - 1].start_ns);
	pb__fixed64(pb, NUMBER_POINT_TIME, metrics->now_ns);
	if (instrument->factor != 1)
		pb__double(pb, NUMBER_POINT_AS_DOUBLE,
			   instrument->is_signed ? (double)v * instrument->factor
						 : (double)(__u64)v * instrument->factor);
	else
		pb__fixed64(pb, NUMBER_POINT_AS_INT, v);
	return true;
}

/* Where anything was counted: first <= slot < end. Both multiples of BLOCK but for the last end. */
struct range {
	__u32 first, end;
};

#define BLOCK 8

static bool is_empty(const char *block)
{
	return !(load64(block) | load64(block + 8) | load64(block + 16) | load64(block + 24) |
		 load64(block + 32) | load64(block + 40) | load64(block + 48) | load64(block + 56));
}

/*
 * Sum over CPUs into metrics->buckets, a block at a time: of most blocks nothing
 * more is to be known than that they are empty. What is outside the range that is
 * returned has not been written.
 */
static struct range sum_buckets(struct metrics *metrics, const struct plan *plan, __u32 n,
				int offset, const char *values)
{
	struct range range = {0, 0};
	__u64 *out = metrics->buckets;

	for (__u32 cpu = 0; cpu < plan->values; cpu++) {
		const char *at = values + (size_t)cpu * plan->value_size + offset;

		for (__u32 i = 0; i < n; i += BLOCK) {
			__u32 some = n - i < BLOCK ? n - i : BLOCK;

			if (some == BLOCK && is_empty(at + 8 * i))
				continue;
			if (range.first == range.end)
				range = (struct range){i, i};
			for (; range.end < i + some; range.end++)
				out[range.end] = 0;
			while (range.first > i)
				out[--range.first] = 0;
			for (__u32 j = i; j < i + some; j++)
				out[j] += load64(at + 8 * j);
		}
	}
	return range;
}

static __u64 count_buckets(const struct metrics *metrics, struct range range)
{
	__u64 count = 0;

	for (__u32 i = range.first; i < range.end; i++)
		count += metrics->buckets[i];
	return count;
}

static bool put_histogram(struct metrics *metrics, const struct plan *plan,
			  const struct instrument *instrument, const void *key, const void *values,
			  bool overflow)
{
	struct pb *pb = &metrics->bytes;
	__u32 n = instrument->n_buckets;
	struct range range = sum_buckets(metrics, plan, n, instrument->offset, values);
	__u64 count = count_buckets(metrics, range);

	if (!count)
		return false;
	memset(metrics->buckets, 0, range.first * sizeof(*metrics->buckets));
	memset(&metrics->buckets[range.end], 0, (n - range.end) * sizeof(*metrics->buckets));
	put_attributes(pb, HISTOGRAM_POINT_ATTRIBUTES, plan, instrument, key, overflow);
	pb__fixed64(pb, HISTOGRAM_POINT_START_TIME,
		    metrics->scopes[metrics->n_scopes - 1].start_ns);
	pb__fixed64(pb, HISTOGRAM_POINT_TIME, metrics->now_ns);
	pb__fixed64(pb, HISTOGRAM_POINT_COUNT, count);
	for (__u32 i = 0; i < n; i++)
		metrics->buckets[i] = htole64(metrics->buckets[i]);
	pb__bytes(pb, HISTOGRAM_POINT_BUCKET_COUNTS, metrics->buckets, 8 * n);
	for (__u32 i = 0; i + 1 < n; i++) {
		memcpy(&metrics->buckets[i], &instrument->bounds[i], 8);
		metrics->buckets[i] = htole64(metrics->buckets[i]);
	}
	pb__bytes(pb, HISTOGRAM_POINT_EXPLICIT_BOUNDS, metrics->buckets, 8 * (n - 1));
	return true;
}

struct extremes {
	__u64 sum, min, max, zeros;
	bool any; /* a CPU had measurements: else read in the middle of the first one */
};

/* A CPU without measurements has no min and no max. */
static struct extremes find_extremes(const struct plan *plan, const struct instrument *instrument,
				     const char *values)
{
	struct extremes all = {.min = ~0ULL};

	for (__u32 cpu = 0; cpu < plan->values; cpu++, values += plan->value_size) {
		if (instrument->zero_count >= 0)
			all.zeros += load64(values + instrument->zero_count);
		if (instrument->count >= 0 && !load64(values + instrument->count))
			continue;
		all.any = true;
		if (instrument->sum >= 0)
			all.sum += load64(values + instrument->sum);
		if (instrument->min >= 0 && load64(values + instrument->min) < all.min)
			all.min = load64(values + instrument->min);
		if (instrument->max >= 0 && load64(values + instrument->max) > all.max)
			all.max = load64(values + instrument->max);
	}
	return all;
}

/*
 * The count is that of the buckets as they were read: a program may be in the
 * middle of an update, and a receiver checks that they add up.
 */
static bool put_exphist(struct metrics *metrics, const struct plan *plan,
			const struct instrument *instrument, const void *key, const void *values,
			bool overflow)
{
	struct pb *pb = &metrics->bytes;
	struct range range =
		sum_buckets(metrics, plan, instrument->n_buckets, instrument->buckets, values);
	__u64 count = count_buckets(metrics, range);
	struct extremes all = find_extremes(plan, instrument, values);
	size_t buckets, counts;

	count += all.zeros;
	if (!count)
		return false;
	put_attributes(pb, EXPHIST_POINT_ATTRIBUTES, plan, instrument, key, overflow);
	pb__fixed64(pb, EXPHIST_POINT_START_TIME, metrics->scopes[metrics->n_scopes - 1].start_ns);
	pb__fixed64(pb, EXPHIST_POINT_TIME, metrics->now_ns);
	pb__fixed64(pb, EXPHIST_POINT_COUNT, count);
	if (instrument->sum >= 0)
		pb__double(pb, EXPHIST_POINT_SUM, (double)all.sum * instrument->factor);
	pb__varint(pb, EXPHIST_POINT_SCALE, (__u32)pb__zigzag(instrument->scale));
	if (all.zeros)
		pb__fixed64(pb, EXPHIST_POINT_ZERO_COUNT, all.zeros);
	while (range.first < range.end && !metrics->buckets[range.end - 1])
		range.end--;
	while (range.first < range.end && !metrics->buckets[range.first])
		range.first++;
	if (range.first < range.end) {
		buckets = pb__open(pb, EXPHIST_POINT_POSITIVE);
		pb__varint(pb, EXPHIST_BUCKETS_OFFSET,
			   (__u32)pb__zigzag(instrument->index + (__s32)range.first));
		counts = pb__open(pb, EXPHIST_BUCKETS_BUCKET_COUNTS);
		if (pb__reserve(pb, (size_t)(range.end - range.first) * PB_VARINT_MAX)) {
			__u8 *at = pb->data + pb->len;

			for (__u32 i = range.first; i < range.end; i++)
				at = pb_put__varint(at, metrics->buckets[i]);
			pb->len = at - pb->data;
		}
		pb__close(pb, counts);
		pb__close(pb, buckets);
	}
	if (instrument->min >= 0 && instrument->count >= 0 && all.any)
		pb__double(pb, EXPHIST_POINT_MIN, (double)all.min * instrument->factor);
	if (instrument->max >= 0 && all.any)
		pb__double(pb, EXPHIST_POINT_MAX, (double)all.max * instrument->factor);
	if (instrument->zero_threshold != 0)
		pb__double(pb, EXPHIST_POINT_ZERO_THRESHOLD, instrument->zero_threshold);
	return true;
}

/* What each kind of instrument is in a Metric message. */
static const struct {
	bool (*put)(struct metrics *metrics, const struct plan *plan,
		    const struct instrument *instrument, const void *key, const void *values,
		    bool overflow);
	__u32 field;	   /* of Metric */
	__u32 temporality; /* of that message, 0: it has none */
	__u32 monotonic;   /* of that message, 0: not set */
} kinds[] = {
	[INSTRUMENT_SUM] = {put_number, METRIC_SUM, SUM_AGGREGATION_TEMPORALITY, SUM_IS_MONOTONIC},
	[INSTRUMENT_UPDOWN] = {put_number, METRIC_SUM, SUM_AGGREGATION_TEMPORALITY, 0},
	[INSTRUMENT_GAUGE] = {put_number, METRIC_GAUGE, 0, 0},
	[INSTRUMENT_HISTOGRAM] = {put_histogram, METRIC_HISTOGRAM,
				  HISTOGRAM_AGGREGATION_TEMPORALITY, 0},
	[INSTRUMENT_EXPHIST] = {put_exphist, METRIC_EXPONENTIAL_HISTOGRAM,
				HISTOGRAM_AGGREGATION_TEMPORALITY, 0},
};

/* data_points is field 1 of all of them. */
_Static_assert(SUM_DATA_POINTS == 1 && GAUGE_DATA_POINTS == 1 && HISTOGRAM_DATA_POINTS == 1,
	       "data_points is expected to be field 1");

int metrics__entry(struct metrics *metrics, const struct plan *plan, const void *key,
		   const void *values, int resource, bool overflow)
{
	for (int i = 0; i < plan->n_instruments; i++) {
		const struct instrument *instrument = &plan->instruments[i];
		size_t start = metrics->bytes.len;
		__u64 order;

		if (metrics->n_points == metrics->room_points) {
			size_t room = metrics->room_points ? 2 * metrics->room_points : 1024;
			struct point *more = reallocarray(metrics->points, room, sizeof(*more));

			if (!more)
				return -ENOMEM;
			metrics->points = more;
			metrics->room_points = room;
		}
		if (!kinds[instrument->kind].put(metrics, plan, instrument, key, values, overflow))
			continue;
		order = (__u64)resource << 32 | metrics->of_plan[i];
		if (metrics->n_points && order < metrics->points[metrics->n_points - 1].key)
			metrics->in_order = false;
		metrics->points[metrics->n_points++] = (struct point){
			.key = order,
			.offset = start,
			.len = metrics->bytes.len - start,
		};
	}
	return metrics->bytes.failed ? -ENOMEM : 0;
}

size_t metrics__points(const struct metrics *metrics)
{
	return metrics->n_points;
}

/* --- the request ---------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
	const struct point *x = a, *y = b;

	if (x->key != y->key)
		return x->key < y->key ? -1 : 1;
	return x->offset < y->offset ? -1 : 1;
}

/* Which messages of a request are open; ~0: none. */
struct nest {
	__u64 resource, scope, metric;
	size_t at_resource, at_scope, at_metric, at_data;
};
#define NOTHING_OPEN ((struct nest){~0ULL, ~0ULL, ~0ULL, 0, 0, 0, 0})

static void close_metric(struct pb *pb, struct nest *nest)
{
	if (nest->metric == ~0ULL)
		return;
	pb__close(pb, nest->at_data);
	pb__close(pb, nest->at_metric);
	nest->metric = ~0ULL;
}

static void close_scope(struct pb *pb, struct nest *nest)
{
	close_metric(pb, nest);
	if (nest->scope == ~0ULL)
		return;
	pb__close(pb, nest->at_scope);
	nest->scope = ~0ULL;
}

static void close_resource(struct pb *pb, struct nest *nest)
{
	close_scope(pb, nest);
	if (nest->resource == ~0ULL)
		return;
	pb__close(pb, nest->at_resource);
	nest->resource = ~0ULL;
}

static void open_metric(struct pb *pb, const struct metrics *metrics, struct nest *nest,
			const struct resources *resources, __u64 resource, __u64 metric)
{
	const struct instrument *instrument = metrics->metrics[metric].instrument;
	__u64 scope = metrics->metrics[metric].scope;
	size_t at;

	if (nest->resource != resource) {
		const struct pb *encoded = resources__encoded(resources, resource);

		close_resource(pb, nest);
		nest->at_resource = pb__open(pb, REQUEST_RESOURCES);
		pb__bytes(pb, RESOURCE_GROUP_RESOURCE, encoded->data, encoded->len);
		nest->resource = resource;
	}
	if (nest->scope != scope) {
		close_scope(pb, nest);
		nest->at_scope = pb__open(pb, RESOURCE_GROUP_SCOPES);
		at = pb__open(pb, SCOPE_GROUP_SCOPE);
		pb__string(pb, SCOPE_NAME, metrics->scopes[scope].name);
		pb__string(pb, SCOPE_VERSION, OTELBPF_VERSION);
		pb__close(pb, at);
		nest->scope = scope;
	}
	close_metric(pb, nest);
	nest->at_metric = pb__open(pb, SCOPE_GROUP_ITEMS);
	pb__string(pb, METRIC_NAME, instrument->name);
	pb__string(pb, METRIC_DESCRIPTION, instrument->desc);
	pb__string(pb, METRIC_UNIT, instrument->unit);
	nest->at_data = pb__open(pb, kinds[instrument->kind].field);
	if (kinds[instrument->kind].temporality)
		pb__varint(pb, kinds[instrument->kind].temporality, TEMPORALITY_CUMULATIVE);
	if (kinds[instrument->kind].monotonic)
		pb__varint(pb, kinds[instrument->kind].monotonic, true);
	nest->metric = metric;
}

int metrics__emit(struct metrics *metrics, const struct resources *resources, size_t limit,
		  int (*send)(const struct pb *request, size_t points, void *ctx), void *ctx)
{
	struct pb *request = &metrics->request;
	struct nest nest = NOTHING_OPEN;
	size_t in_request = 0;
	int err;

	if (!metrics->in_order)
		qsort(metrics->points, metrics->n_points, sizeof(*metrics->points), by_key);
	request->len = 0;
	request->failed = false;
	for (size_t i = 0; i < metrics->n_points; i++) {
		const struct point *point = &metrics->points[i];
		__u64 resource = point->key >> 32, metric = (__u32)point->key;
		size_t headers = HEADROOM + resources__encoded(resources, resource)->len;

		if (in_request && request->len + point->len + headers > limit) {
			close_resource(request, &nest);
			if (request->failed)
				return -ENOMEM;
			err = send(request, in_request, ctx);
			if (err)
				return err;
			request->len = 0;
			in_request = 0;
		}
		if (nest.metric != metric || nest.resource != resource)
			open_metric(request, metrics, &nest, resources, resource, metric);
		pb__bytes(request, SUM_DATA_POINTS, metrics->bytes.data + point->offset,
			  point->len);
		in_request++;
	}
	close_resource(request, &nest);
	if (request->failed)
		return -ENOMEM;
	return in_request ? send(request, in_request, ctx) : 0;
}
