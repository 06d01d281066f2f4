// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "value.h"

#include "fields.h"

static __u64 load64(const void *at)
{
	__u64 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static bool is_histogram(const struct instrument *instrument)
{
	return instrument->kind == INSTRUMENT_HISTOGRAM || instrument->kind == INSTRUMENT_EXPHIST;
}

/* --- reading -------------------------------------------------------------- */

/* Sum over CPUs. A signed sum may be negative on one CPU and right in total. */
static __u64 total(const struct plan *plan, const struct instrument *instrument, const char *values)
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

#define BLOCK 8

static bool is_empty(const char *block)
{
	return !(load64(block) | load64(block + 8) | load64(block + 16) | load64(block + 24) |
		 load64(block + 32) | load64(block + 40) | load64(block + 48) | load64(block + 56));
}

/*
 * Sum over CPUs, a block at a time: of most blocks nothing more is to be known than that
 * they are empty. @first and @end are multiples of BLOCK but for the last end.
 */
static void sum_buckets(struct value *value, const struct plan *plan, __u32 n, int offset,
			const char *values)
{
	__u64 *out = value->buckets;
	__u32 first = 0, end = 0;

	for (__u32 cpu = 0; cpu < plan->values; cpu++) {
		const char *at = values + (size_t)cpu * plan->value_size + offset;

		for (__u32 i = 0; i < n; i += BLOCK) {
			__u32 some = n - i < BLOCK ? n - i : BLOCK;

			if (some == BLOCK && is_empty(at + 8 * i))
				continue;
			if (first == end)
				first = end = i;
			for (; end < i + some; end++)
				out[end] = 0;
			while (first > i)
				out[--first] = 0;
			for (__u32 j = i; j < i + some; j++)
				out[j] += load64(at + 8 * j);
		}
	}
	value->first = first;
	value->end = end;
}

static void trim(struct value *value)
{
	while (value->first < value->end && !value->buckets[value->end - 1])
		value->end--;
	while (value->first < value->end && !value->buckets[value->first])
		value->first++;
}

/* A CPU without measurements has no min and no max. */
static void find_extremes(struct value *value, const struct plan *plan,
			  const struct instrument *instrument, const char *values)
{
	bool any = false; /* a CPU had measurements: else read in the middle of the first one */

	value->min = ~0ULL;
	for (__u32 cpu = 0; cpu < plan->values; cpu++, values += plan->value_size) {
		if (instrument->zero_count >= 0)
			value->zeros += load64(values + instrument->zero_count);
		if (instrument->count >= 0 && !load64(values + instrument->count))
			continue;
		any = true;
		if (instrument->sum >= 0)
			value->sum += load64(values + instrument->sum);
		if (instrument->min >= 0 && load64(values + instrument->min) < value->min)
			value->min = load64(values + instrument->min);
		if (instrument->max >= 0 && load64(values + instrument->max) > value->max)
			value->max = load64(values + instrument->max);
	}
	value->has_min = any && instrument->min >= 0 && instrument->count >= 0;
	value->has_max = any && instrument->max >= 0;
}

/*
 * The count is that of the buckets as they were read: a program may be in the middle of
 * an update, and a receiver checks that they add up.
 */
static __u64 add_up(const struct value *value)
{
	__u64 count = value->zeros;

	for (__u32 i = value->first; i < value->end; i++)
		count += value->buckets[i];
	return count;
}

void value__read(struct value *value, const struct plan *plan, const struct instrument *instrument,
		 const char *values)
{
	*value = (struct value){.buckets = value->buckets};
	switch (instrument->kind) {
	case INSTRUMENT_HISTOGRAM:
		sum_buckets(value, plan, instrument->n_buckets, instrument->offset, values);
		value->count = add_up(value);
		break;
	case INSTRUMENT_EXPHIST:
		sum_buckets(value, plan, instrument->n_buckets, instrument->buckets, values);
		find_extremes(value, plan, instrument, values);
		trim(value);
		value->count = add_up(value);
		break;
	default:
		value->number = total(plan, instrument, values);
	}
}

bool value__is_nothing(const struct value *value, const struct instrument *instrument)
{
	return is_histogram(instrument) && !value->count;
}

/* --- encoding ------------------------------------------------------------- */

static void encode_number(const struct value *value, const struct instrument *instrument,
			  __u64 start_ns, __u64 now_ns, struct pb *pb)
{
	pb__fixed64(pb, NUMBER_POINT_START_TIME, start_ns);
	pb__fixed64(pb, NUMBER_POINT_TIME, now_ns);
	if (instrument->factor != 1)
		pb__double(pb, NUMBER_POINT_AS_DOUBLE,
			   instrument->is_signed ? (double)(__s64)value->number * instrument->factor
						 : (double)value->number * instrument->factor);
	else
		pb__fixed64(pb, NUMBER_POINT_AS_INT, value->number);
}

static void put_doubles(struct pb *pb, __u32 field, const double *values, __u32 n)
{
	__u8 *at;

	if (!pb__reserve(pb, 2 * PB_VARINT_MAX + (size_t)8 * n))
		return;
	at = pb_put__varint(pb->data + pb->len, PB_TAG(field, PB_LEN));
	at = pb_put__varint(at, (size_t)8 * n);
	for (__u32 i = 0; i < n; i++, at += 8) {
		__u64 bits;

		memcpy(&bits, &values[i], 8);
		bits = htole64(bits);
		memcpy(at, &bits, 8);
	}
	pb->len = at - pb->data;
}

static void begin_histogram(const struct value *value, __u64 start_ns, __u64 now_ns, struct pb *pb)
{
	pb__fixed64(pb, HISTOGRAM_POINT_START_TIME, start_ns);
	pb__fixed64(pb, HISTOGRAM_POINT_TIME, now_ns);
	pb__fixed64(pb, HISTOGRAM_POINT_COUNT, value->count);
}

static void encode_histogram(struct value *value, const struct instrument *instrument,
			     __u64 start_ns, __u64 now_ns, struct pb *pb)
{
	__u32 n = instrument->n_buckets;

	begin_histogram(value, start_ns, now_ns, pb);
	memset(value->buckets, 0, value->first * sizeof(*value->buckets));
	memset(&value->buckets[value->end], 0, (n - value->end) * sizeof(*value->buckets));
	for (__u32 i = value->first; i < value->end; i++)
		value->buckets[i] = htole64(value->buckets[i]);
	pb__bytes(pb, HISTOGRAM_POINT_BUCKET_COUNTS, value->buckets, (size_t)8 * n);
	put_doubles(pb, HISTOGRAM_POINT_EXPLICIT_BOUNDS, instrument->bounds, n - 1);
}

/*
 * An exponential histogram's buckets put together: every bound is the upper bound of one of
 * them, both kinds include it, and so each of them is in one explicit bucket as a whole.
 */
static void encode_explicit(const struct value *value, const struct instrument *instrument,
			    __u64 start_ns, __u64 now_ns, struct pb *pb)
{
	__u64 counts[PLAN_BOUNDS_MAX + 1] = {value->zeros};
	__u32 at = 0;

	for (__u32 i = value->first; i < value->end; i++) {
		while (at < instrument->n_bounds && (__s32)i > instrument->bound_buckets[at])
			at++;
		counts[at] += value->buckets[i];
	}
	begin_histogram(value, start_ns, now_ns, pb);
	if (instrument->sum >= 0)
		pb__double(pb, HISTOGRAM_POINT_SUM, (double)value->sum * instrument->factor);
	for (__u32 i = 0; i <= instrument->n_bounds; i++)
		counts[i] = htole64(counts[i]);
	pb__bytes(pb, HISTOGRAM_POINT_BUCKET_COUNTS, counts,
		  (size_t)8 * (instrument->n_bounds + 1));
	put_doubles(pb, HISTOGRAM_POINT_EXPLICIT_BOUNDS, instrument->bounds, instrument->n_bounds);
	if (value->has_min)
		pb__double(pb, HISTOGRAM_POINT_MIN, (double)value->min * instrument->factor);
	if (value->has_max)
		pb__double(pb, HISTOGRAM_POINT_MAX, (double)value->max * instrument->factor);
}

static void encode_exponential(struct value *value, const struct instrument *instrument,
			       __u64 start_ns, __u64 now_ns, struct pb *pb)
{
	size_t buckets, counts;

	pb__fixed64(pb, EXPHIST_POINT_START_TIME, start_ns);
	pb__fixed64(pb, EXPHIST_POINT_TIME, now_ns);
	pb__fixed64(pb, EXPHIST_POINT_COUNT, value->count);
	if (instrument->sum >= 0)
		pb__double(pb, EXPHIST_POINT_SUM, (double)value->sum * instrument->factor);
	pb__varint(pb, EXPHIST_POINT_SCALE, (__u32)pb__zigzag(instrument->scale));
	if (value->zeros)
		pb__fixed64(pb, EXPHIST_POINT_ZERO_COUNT, value->zeros);
	trim(value); /* a difference may have lost its first and last ones */
	if (value->first < value->end) {
		buckets = pb__open(pb, EXPHIST_POINT_POSITIVE);
		pb__varint(pb, EXPHIST_BUCKETS_OFFSET,
			   (__u32)pb__zigzag(instrument->index + (__s32)value->first));
		counts = pb__open(pb, EXPHIST_BUCKETS_BUCKET_COUNTS);
		if (pb__reserve(pb, (size_t)(value->end - value->first) * PB_VARINT_MAX)) {
			__u8 *at = pb->data + pb->len;

			for (__u32 i = value->first; i < value->end; i++)
				at = pb_put__varint(at, value->buckets[i]);
			pb->len = at - pb->data;
		}
		pb__close(pb, counts);
		pb__close(pb, buckets);
	}
	if (value->has_min)
		pb__double(pb, EXPHIST_POINT_MIN, (double)value->min * instrument->factor);
	if (value->has_max)
		pb__double(pb, EXPHIST_POINT_MAX, (double)value->max * instrument->factor);
	if (instrument->zero_threshold != 0)
		pb__double(pb, EXPHIST_POINT_ZERO_THRESHOLD, instrument->zero_threshold);
}

void value__encode(struct value *value, const struct instrument *instrument, bool explicit_buckets,
		   __u64 start_ns, __u64 now_ns, struct pb *pb)
{
	if (instrument->kind == INSTRUMENT_HISTOGRAM)
		encode_histogram(value, instrument, start_ns, now_ns, pb);
	else if (instrument->kind != INSTRUMENT_EXPHIST)
		encode_number(value, instrument, start_ns, now_ns, pb);
	else if (explicit_buckets)
		encode_explicit(value, instrument, start_ns, now_ns, pb);
	else
		encode_exponential(value, instrument, start_ns, now_ns, pb);
}

/* --- what was before ------------------------------------------------------ */

static void put_varint(struct pb *pb, __u64 v)
{
	if (pb__reserve(pb, PB_VARINT_MAX))
		pb->len = pb_put__varint(pb->data + pb->len, v) - pb->data;
}

void value__pack(const struct value *value, const struct instrument *instrument, struct pb *pb)
{
	if (!is_histogram(instrument)) {
		put_varint(pb, value->number);
		return;
	}
	if (instrument->kind == INSTRUMENT_EXPHIST) {
		put_varint(pb, value->zeros);
		put_varint(pb, value->sum);
		put_varint(pb, value->has_min | value->has_max << 1);
		if (value->has_min)
			put_varint(pb, value->min);
		if (value->has_max)
			put_varint(pb, value->max);
	}
	put_varint(pb, value->first);
	for (__u32 i = value->first; i < value->end; i++)
		put_varint(pb, value->buckets[i]);
}

static __u64 get_varint(const __u8 **at, const __u8 *end)
{
	__u64 v = 0;

	pb__read_varint(at, end, &v);
	return v;
}

void value__unpack(struct value *value, const struct instrument *instrument, const __u8 *data,
		   size_t len)
{
	const __u8 *at = data, *end = data + len;
	__u64 has;

	*value = (struct value){.buckets = value->buckets};
	if (!is_histogram(instrument)) {
		value->number = get_varint(&at, end);
		return;
	}
	if (instrument->kind == INSTRUMENT_EXPHIST) {
		value->zeros = get_varint(&at, end);
		value->sum = get_varint(&at, end);
		has = get_varint(&at, end);
		value->has_min = has & 1;
		value->has_max = has >> 1 & 1;
		if (value->has_min)
			value->min = get_varint(&at, end);
		if (value->has_max)
			value->max = get_varint(&at, end);
	}
	value->first = value->end = get_varint(&at, end);
	while (at < end && value->end < PLAN_BUCKETS_MAX)
		value->buckets[value->end++] = get_varint(&at, end);
	value->count = add_up(value);
}

static bool is_less(const struct value *value, const struct value *before,
		    const struct instrument *instrument)
{
	if (!is_histogram(instrument))
		return instrument->is_signed ? (__s64)value->number < (__s64)before->number
					     : value->number < before->number;
	if (value->zeros < before->zeros || value->sum < before->sum)
		return true;
	for (__u32 i = before->first; i < before->end; i++) {
		__u64 now = i >= value->first && i < value->end ? value->buckets[i] : 0;

		if (now < before->buckets[i])
			return true;
	}
	return false;
}

bool value__subtract(struct value *value, const struct value *before,
		     const struct instrument *instrument)
{
	if (is_less(value, before, instrument))
		return false;
	if (!is_histogram(instrument)) {
		value->number -= before->number;
		return true;
	}
	value->zeros -= before->zeros;
	value->sum -= before->sum;
	for (__u32 i = before->first; i < before->end; i++)
		if (i >= value->first && i < value->end) /* else both are 0 */
			value->buckets[i] -= before->buckets[i];
	value->count = add_up(value);
	value->has_min = value->has_min && (!before->has_min || value->min < before->min);
	value->has_max = value->has_max && (!before->has_max || value->max > before->max);
	return true;
}
