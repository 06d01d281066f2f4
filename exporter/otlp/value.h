/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What one instrument of one map entry says: read over all CPUs, subtracted, encoded. */
#ifndef OTELBPF_OTLP_VALUE_H
#define OTELBPF_OTLP_VALUE_H

#include <linux/types.h>
#include <stdbool.h>

#include "pb.h"
#include "plan.h"

/**
 * struct value - the total of an instrument
 * @number:  of a sum, an updown or a gauge
 * @count: measurements in a histogram: those in its buckets
 * @sum, @zeros: of an exponential histogram
 * @min, @max: likewise, where @has_min and @has_max
 * @first, @end: buckets outside of [first, end) are empty, and not written
 * @buckets: room for PLAN_BUCKETS_MAX, the caller's
 */
struct value {
	__u64 number;
	__u64 count, sum, zeros, min, max;
	bool has_min, has_max;
	__u32 first, end;
	__u64 *buckets;
};

/** value__read - add up a map entry's copies; @values as metrics__entry() has them */
void value__read(struct value *value, const struct plan *plan, const struct instrument *instrument,
		 const char *values);

/**
 * value__is_nothing - whether there is nothing to tell
 *
 * Of a histogram without measurements there never is; a sum that is 0 is worth a point.
 */
bool value__is_nothing(const struct value *value, const struct instrument *instrument);

/**
 * value__encode - append a data point's fields but for its attributes
 * @explicit_buckets: an exponential histogram becomes one with instrument->bounds
 */
void value__encode(struct value *value, const struct instrument *instrument, bool explicit_buckets,
		   __u64 start_ns, __u64 now_ns, struct pb *pb);

/** value__pack - append in few bytes, for value__unpack() in this process */
void value__pack(const struct value *value, const struct instrument *instrument, struct pb *pb);

/** value__unpack - the inverse; no bytes are 0 and an empty histogram */
void value__unpack(struct value *value, const struct instrument *instrument, const __u8 *data,
		   size_t len);

/**
 * value__subtract - leave what has come since @before
 * @value: becomes the difference. A histogram keeps min or max only if it is new: then it
 *         has come since, too
 *
 * Return: false, with @value as it was, when less is there than before: counting began anew.
 */
bool value__subtract(struct value *value, const struct value *before,
		     const struct instrument *instrument);

#endif
