// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "metrics.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "attr.h"
#include "fields.h"
#include "value.h"

/* Room for headers that follow a point in a request: enough for the longest names. */
#define HEADROOM 4096

/* A request's memory up to this is kept for the next one. */
#define REQUEST_KEPT ((size_t)3 << 20)

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
	__u32 len;
	bool is_held; /* a struct held, to become a delta; else encoded */
	bool is_sent; /* by the present call of metrics__emit() */
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
	__u64 buckets[PLAN_BUCKETS_MAX], before[PLAN_BUCKETS_MAX];
	struct metrics_preference preference;
	struct series_source *complete; /* read as a whole; room is a power of two */
	int n_complete;
	struct pb delta; /* one point */
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
	pb__free(&metrics->delta);
	pb__free(&metrics->request);
	free(metrics->complete);
	free(metrics);
}

void metrics__prefer(struct metrics *metrics, const struct metrics_preference *preference)
{
	metrics->preference = *preference;
}

bool metrics__has_deltas(const struct metrics *metrics)
{
	return metrics->preference.delta_sums || metrics->preference.delta_histograms;
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
	metrics->n_complete = 0;
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

/* What each kind of instrument is in a Metric message. */
static const struct kind {
	__u32 field;	   /* of Metric */
	__u32 attributes;  /* of a point */
	__u32 temporality; /* of that message, 0: it has none */
	__u32 monotonic;   /* of that message, 0: not set */
} kinds[] = {
	[INSTRUMENT_SUM] = {METRIC_SUM, NUMBER_POINT_ATTRIBUTES, SUM_AGGREGATION_TEMPORALITY,
			    SUM_IS_MONOTONIC},
	[INSTRUMENT_UPDOWN] = {METRIC_SUM, NUMBER_POINT_ATTRIBUTES, SUM_AGGREGATION_TEMPORALITY, 0},
	[INSTRUMENT_GAUGE] = {METRIC_GAUGE, NUMBER_POINT_ATTRIBUTES, 0, 0},
	[INSTRUMENT_HISTOGRAM] = {METRIC_HISTOGRAM, HISTOGRAM_POINT_ATTRIBUTES,
				  HISTOGRAM_AGGREGATION_TEMPORALITY, 0},
	[INSTRUMENT_EXPHIST] = {METRIC_EXPONENTIAL_HISTOGRAM, EXPHIST_POINT_ATTRIBUTES,
				HISTOGRAM_AGGREGATION_TEMPORALITY, 0},
};

/* data_points is field 1 of all of them. */
_Static_assert(SUM_DATA_POINTS == 1 && GAUGE_DATA_POINTS == 1 && HISTOGRAM_DATA_POINTS == 1,
	       "data_points is expected to be field 1");

static const struct kind *kind_of(const struct metrics *metrics,
				  const struct instrument *instrument)
{
	return &kinds[instrument->kind == INSTRUMENT_EXPHIST && metrics->preference.explicit_buckets
			      ? INSTRUMENT_HISTOGRAM
			      : instrument->kind];
}

static bool is_delta(const struct metrics *metrics, const struct instrument *instrument)
{
	switch (instrument->kind) {
	case INSTRUMENT_SUM:
		return metrics->preference.delta_sums;
	case INSTRUMENT_HISTOGRAM:
	case INSTRUMENT_EXPHIST:
		return metrics->preference.delta_histograms;
	default:
		return false;
	}
}

/*
 * A point that is to be a delta: from what, is known when it is sent. Followed by its
 * attributes, encoded; the series' name: which instrument, and the key; and its value, packed.
 */
struct held {
	const struct instrument *instrument;
	struct series series; /* its name is not set */
	__u32 attributes;
};

static void hold_point(struct metrics *metrics, const struct plan *plan, int i,
		       const struct value *value, const void *key, bool overflow)
{
	const struct instrument *instrument = &plan->instruments[i];
	struct held held = {
		.instrument = instrument,
		.series = {.source = {plan->id, plan->of_program},
			   .name_len = 1 + plan->key_size,
			   .start_ns = metrics->scopes[metrics->n_scopes - 1].start_ns},
	};
	struct pb *pb = &metrics->bytes;
	size_t start = pb->len;
	__u8 which = i;

	_Static_assert(PLAN_INSTRUMENTS_MAX <= 256, "an instrument's number is a byte");
	pb__raw(pb, &held, sizeof(held));
	put_attributes(pb, kind_of(metrics, instrument)->attributes, plan, instrument, key,
		       overflow);
	held.attributes = pb->len - start - sizeof(held);
	pb__raw(pb, &which, sizeof(which));
	pb__raw(pb, key, plan->key_size);
	value__pack(value, instrument, pb);
	if (!pb->failed)
		memcpy(pb->data + start, &held, sizeof(held));
}

static void put_point(struct metrics *metrics, const struct plan *plan, int i, struct value *value,
		      const void *key, bool overflow)
{
	const struct instrument *instrument = &plan->instruments[i];

	put_attributes(&metrics->bytes, kind_of(metrics, instrument)->attributes, plan, instrument,
		       key, overflow);
	value__encode(value, instrument, metrics->preference.explicit_buckets,
		      metrics->scopes[metrics->n_scopes - 1].start_ns, metrics->now_ns,
		      &metrics->bytes);
}

static int make_room(struct metrics *metrics)
{
	size_t room = metrics->room_points ? 2 * metrics->room_points : 1024;
	struct point *more;

	if (metrics->n_points < metrics->room_points)
		return 0;
	more = reallocarray(metrics->points, room, sizeof(*more));
	if (!more)
		return -ENOMEM;
	metrics->points = more;
	metrics->room_points = room;
	return 0;
}

int metrics__entry(struct metrics *metrics, const struct plan *plan, const void *key,
		   const void *values, int resource, bool overflow)
{
	struct value value = {.buckets = metrics->buckets};

	for (int i = 0; i < plan->n_instruments; i++) {
		const struct instrument *instrument = &plan->instruments[i];
		bool delta = is_delta(metrics, instrument);
		size_t start = metrics->bytes.len;
		__u64 order;

		if (make_room(metrics))
			return -ENOMEM;
		value__read(&value, plan, instrument, values);
		if (value__is_nothing(&value, instrument) ||
		    (overflow && !value.count && !value.number))
			continue;
		if (delta)
			hold_point(metrics, plan, i, &value, key, overflow);
		else
			put_point(metrics, plan, i, &value, key, overflow);
		order = (__u64)resource << 32 | metrics->of_plan[i];
		if (metrics->n_points && order < metrics->points[metrics->n_points - 1].key)
			metrics->in_order = false;
		metrics->points[metrics->n_points++] = (struct point){
			.key = order,
			.offset = start,
			.len = metrics->bytes.len - start,
			.is_held = delta,
		};
	}
	return metrics->bytes.failed ? -ENOMEM : 0;
}

int metrics__complete(struct metrics *metrics, const struct plan *plan)
{
	int n = metrics->n_complete;
	struct series_source *more;

	if (!(n & (n - 1))) {
		more = reallocarray(metrics->complete, n ? 2 * n : 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		metrics->complete = more;
	}
	metrics->complete[metrics->n_complete++] =
		(struct series_source){plan->id, plan->of_program};
	return 0;
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
	const struct kind *kind = kind_of(metrics, instrument);
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
	nest->at_data = pb__open(pb, kind->field);
	if (kind->temporality)
		pb__varint(pb, kind->temporality,
			   is_delta(metrics, instrument) ? TEMPORALITY_DELTA
							 : TEMPORALITY_CUMULATIVE);
	if (kind->monotonic)
		pb__varint(pb, kind->monotonic, true);
	nest->metric = metric;
}

/* --- what came since ------------------------------------------------------ */

/* What is acknowledged of a held point, and where its parts are. */
struct delta {
	struct held held;
	struct acknowledged before;
	const __u8 *attributes, *packed;
	size_t packed_len;
};

static void find_before(const struct metrics *metrics, const struct point *point,
			struct baseline *baseline, struct delta *delta)
{
	const __u8 *at = metrics->bytes.data + point->offset;
	struct held *held = &delta->held;

	memcpy(held, at, sizeof(*held));
	delta->attributes = at + sizeof(*held);
	held->series.name = delta->attributes + held->attributes;
	delta->packed = delta->attributes + held->attributes + held->series.name_len;
	delta->packed_len = at + point->len - delta->packed;
	delta->before = baseline ? baseline__find(baseline, &held->series)
				 : (struct acknowledged){.until_ns = held->series.start_ns};
}

/*
 * Into metrics->delta. Where less is there than before, the kernel's side began anew, some
 * time since what was acknowledged. Return: whether there is anything to send: a series that
 * the receiver does not know yet is, even if it counts nothing.
 */
static bool encode_delta(struct metrics *metrics, struct point *point, struct baseline *baseline)
{
	struct value now = {.buckets = metrics->buckets}, before = {.buckets = metrics->before};
	const struct instrument *instrument;
	struct delta delta;

	find_before(metrics, point, baseline, &delta);
	instrument = delta.held.instrument;
	if (delta.before.len == delta.packed_len &&
	    !memcmp(delta.before.data, delta.packed, delta.packed_len))
		return false;
	value__unpack(&now, instrument, delta.packed, delta.packed_len);
	value__unpack(&before, instrument, delta.before.data, delta.before.len);
	if (value__subtract(&now, &before, instrument) && delta.before.len &&
	    value__is_nothing(&now, instrument))
		return false;
	metrics->delta.len = 0;
	pb__raw(&metrics->delta, delta.attributes, delta.held.attributes);
	value__encode(&now, instrument, metrics->preference.explicit_buckets, delta.before.until_ns,
		      metrics->now_ns, &metrics->delta);
	return true;
}

/* What was sent is what the next delta is taken from, if it is taken; all else stays as it was. */
static void remember(struct metrics *metrics, size_t from, size_t to, struct baseline *baseline,
		     bool sent)
{
	for (size_t i = from; baseline && i < to; i++) {
		const struct point *point = &metrics->points[i];
		struct delta delta;

		if (!point->is_held)
			continue;
		find_before(metrics, point, baseline, &delta);
		if (sent && point->is_sent)
			baseline__put(baseline, &delta.held.series, metrics->now_ns, delta.packed,
				      delta.packed_len);
		else
			baseline__put(baseline, &delta.held.series, delta.before.until_ns,
				      delta.before.data, delta.before.len);
	}
}

/* --- sending -------------------------------------------------------------- */

/* A request under construction, with the points from first on. */
struct emission {
	struct metrics *metrics;
	struct baseline *baseline;
	int (*send)(const struct pb *request, size_t points, void *ctx);
	void *ctx;
	struct nest nest;
	size_t first, points;
};

/* Send what there is, of points up to @end. */
static int flush(struct emission *e, size_t end)
{
	struct pb *request = &e->metrics->request;
	int err = 0;

	close_resource(request, &e->nest);
	if (request->failed || e->metrics->delta.failed)
		err = -ENOMEM;
	else if (e->points)
		err = e->send(request, e->points, e->ctx);
	remember(e->metrics, e->first, end, e->baseline, !err);
	if (e->baseline && e->points && !err)
		baseline__request(e->baseline);
	request->len = 0;
	e->points = 0;
	e->first = end;
	return err;
}

static int emit_points(struct emission *e, const struct resources *resources, size_t limit)
{
	struct metrics *metrics = e->metrics;
	struct pb *request = &metrics->request;

	for (size_t i = 0; i < metrics->n_points; i++) {
		struct point *point = &metrics->points[i];
		__u64 resource = point->key >> 32, metric = (__u32)point->key;
		const __u8 *data = metrics->bytes.data + point->offset;
		size_t headers, len = point->len;
		int err;

		point->is_sent = !point->is_held || encode_delta(metrics, point, e->baseline);
		if (!point->is_sent)
			continue;
		if (point->is_held) {
			data = metrics->delta.data;
			len = metrics->delta.len;
		}
		headers = HEADROOM + resources__encoded(resources, resource)->len;
		if (e->points && request->len + len + headers > limit) {
			err = flush(e, i);
			if (err)
				return err;
		}
		if (e->nest.metric != metric || e->nest.resource != resource)
			open_metric(request, metrics, &e->nest, resources, resource, metric);
		pb__bytes(request, SUM_DATA_POINTS, data, len);
		e->points++;
	}
	return flush(e, metrics->n_points);
}

int metrics__emit_to(struct metrics *metrics, struct baseline *baseline,
		     const struct resources *resources, size_t limit,
		     int (*send)(const struct pb *request, size_t points, void *ctx), void *ctx)
{
	struct emission e = {metrics, baseline, send, ctx, NOTHING_OPEN, 0, 0};
	int err, ended = 0;

	if (!metrics->in_order)
		qsort(metrics->points, metrics->n_points, sizeof(*metrics->points), by_key);
	metrics->in_order = true;
	metrics->request.len = 0;
	metrics->request.failed = false;
	if (baseline)
		baseline__begin(baseline);
	err = emit_points(&e, resources, limit);
	remember(metrics, e.first, metrics->n_points, baseline, false);
	/* Explicit buckets take four times the bytes: not to be kept between exports. */
	if (metrics->request.room > REQUEST_KEPT)
		pb__free(&metrics->request);
	if (baseline)
		ended = baseline__end(baseline, metrics->complete, metrics->n_complete,
				      metrics->now_ns);
	return err ? err : ended;
}

int metrics__emit(struct metrics *metrics, const struct resources *resources, size_t limit,
		  int (*send)(const struct pb *request, size_t points, void *ctx), void *ctx)
{
	return metrics__emit_to(metrics, NULL, resources, limit, send, ctx);
}
