// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Deltas, explicit buckets and the exporter's own counts, read back by a decoder that shares
 * nothing with the encoder: field numbers are those of opentelemetry-proto's metrics.proto.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <linux/types.h>
/* The compiler of the tests need not know declaration tags. */
#pragma GCC diagnostic ignored "-Wattributes"
#include <otelbpf/exphist.bpf.h>

#include "btf_map.h"
#include "ktap.h"
#include "otlp/metrics.h"
#include "receiver.h"
#include "state.h"
#include "stats.h"

#define START 1000000000ULL
#define LIMIT 16384

/* --- a decoder ---------------------------------------------------------------------- */

struct wire {
	const unsigned char *at, *end;
};

struct field {
	unsigned int number;
	__u64 value;
	struct wire bytes;
};

static __u64 varint(struct wire *wire)
{
	__u64 v = 0;

	for (int shift = 0;; shift += 7) {
		unsigned char byte;

		ASSERT_TRUE(wire->at < wire->end && shift < 70);
		byte = *wire->at++;
		v |= (__u64)(byte & 127) << shift;
		if (byte < 128)
			return v;
	}
}

static __u64 little(struct wire *wire)
{
	__u64 v = 0;

	ASSERT_TRUE(wire->end - wire->at >= 8);
	for (int i = 0; i < 8; i++)
		v |= (__u64)*wire->at++ << 8 * i;
	return v;
}

static bool next(struct wire *wire, struct field *field)
{
	__u64 tag, len;

	if (wire->at == wire->end)
		return false;
	tag = varint(wire);
	*field = (struct field){.number = tag >> 3};
	switch (tag & 7) {
	case 0:
		field->value = varint(wire);
		return true;
	case 1:
		field->value = little(wire);
		return true;
	case 2:
		len = varint(wire);
		ASSERT_TRUE((__u64)(wire->end - wire->at) >= len);
		field->bytes = (struct wire){wire->at, wire->at + len};
		wire->at += len;
		return true;
	}
	ASSERT_TRUE(!"a known wire type");
	return false;
}

static double real(__u64 bits)
{
	double v;

	memcpy(&v, &bits, sizeof(v));
	return v;
}

static __s64 zigzag(__u64 v)
{
	return (__s64)(v >> 1) ^ -(__s64)(v & 1);
}

#define SLOTS 256

/* A data point of whatever kind; buckets by index + 128 or place. */
struct point {
	char metric[64], kind; /* 's'um, 'g'auge, 'h'istogram, 'e'xponential */
	char component[64], error[64];
	int temporality; /* 0: none */
	__u64 nr, start, time, as_int, count, zeros;
	double as_double, sum, min, max, bounds[SLOTS];
	bool has_min, has_max;
	int n_bounds, n_counts;
	__u64 counts[SLOTS];
};

static void read_attribute(struct wire wire, struct point *point)
{
	char key[64] = "", text[64] = "";
	struct field field, value;

	while (next(&wire, &field)) {
		int len = field.bytes.end - field.bytes.at;

		if (field.number == 1)
			snprintf(key, sizeof(key), "%.*s", len, field.bytes.at);
		while (field.number == 2 && next(&field.bytes, &value)) {
			if (value.number == 1)
				snprintf(text, sizeof(text), "%.*s",
					 (int)(value.bytes.end - value.bytes.at), value.bytes.at);
			if (value.number == 3)
				point->nr = value.value;
		}
	}
	if (!strcmp(key, "otel.component.name"))
		strcpy(point->component, text);
	if (!strcmp(key, "error.type"))
		strcpy(point->error, text);
}

static void read_number(struct field *field, struct point *point)
{
	switch (field->number) {
	case 2:
		point->start = field->value;
		break;
	case 3:
		point->time = field->value;
		break;
	case 4:
		point->as_double = real(field->value);
		break;
	case 6:
		point->as_int = field->value;
		break;
	case 7:
		read_attribute(field->bytes, point);
		break;
	}
}

static void read_histogram(struct field *field, struct point *point)
{
	switch (field->number) {
	case 2:
		point->start = field->value;
		break;
	case 3:
		point->time = field->value;
		break;
	case 4:
		point->count = field->value;
		break;
	case 5:
		point->sum = real(field->value);
		break;
	case 6:
		while (field->bytes.at < field->bytes.end)
			point->counts[point->n_counts++] = little(&field->bytes);
		break;
	case 7:
		while (field->bytes.at < field->bytes.end)
			point->bounds[point->n_bounds++] = real(little(&field->bytes));
		break;
	case 9:
		read_attribute(field->bytes, point);
		break;
	case 11:
		point->min = real(field->value);
		point->has_min = true;
		break;
	case 12:
		point->max = real(field->value);
		point->has_max = true;
		break;
	}
}

static void read_exponential(struct field *field, struct point *point)
{
	struct field bucket;
	__s64 index = 0;

	switch (field->number) {
	case 1:
		read_attribute(field->bytes, point);
		break;
	case 2:
		point->start = field->value;
		break;
	case 3:
		point->time = field->value;
		break;
	case 4:
		point->count = field->value;
		break;
	case 5:
		point->sum = real(field->value);
		break;
	case 6:
		EXPECT_EQ(zigzag(field->value), 2);
		break;
	case 7:
		point->zeros = field->value;
		break;
	case 8:
		while (next(&field->bytes, &bucket)) {
			if (bucket.number == 1)
				index = zigzag(bucket.value) + 128;
			while (bucket.number == 2 && bucket.bytes.at < bucket.bytes.end) {
				ASSERT_TRUE(index >= 0 && index < SLOTS);
				point->counts[index++] = varint(&bucket.bytes);
			}
		}
		break;
	case 12:
		point->min = real(field->value);
		point->has_min = true;
		break;
	case 13:
		point->max = real(field->value);
		point->has_max = true;
		break;
	}
}

typedef void (*take_point)(const struct point *point, void *ctx);

static void read_metric(struct wire wire, take_point take, void *ctx)
{
	static const struct {
		unsigned int number;
		char kind;
		void (*read)(struct field *field, struct point *point);
	} kinds[] = {{5, 'g', read_number},
		     {7, 's', read_number},
		     {9, 'h', read_histogram},
		     {10, 'e', read_exponential}};
	struct field field, data;
	char name[64] = "";

	while (next(&wire, &field)) {
		if (field.number == 1)
			snprintf(name, sizeof(name), "%.*s",
				 (int)(field.bytes.end - field.bytes.at), field.bytes.at);
		for (int k = 0; k < 4; k++) {
			struct wire pass = field.bytes;
			int temporality = 0;

			if (kinds[k].number != field.number)
				continue;
			while (next(&pass, &data))
				if (data.number == 2)
					temporality = data.value;
			while (next(&field.bytes, &data)) {
				struct point point = {.kind = kinds[k].kind,
						      .temporality = temporality};
				struct field part;

				if (data.number != 1)
					continue;
				strcpy(point.metric, name);
				while (next(&data.bytes, &part))
					kinds[k].read(&part, &point);
				take(&point, ctx);
			}
		}
	}
}

/* Request, ResourceMetrics, ScopeMetrics: what is to be read of them is field 1, 2, 2. */
static void read_request(const struct pb *request, take_point take, void *ctx)
{
	struct wire wire = {request->data, request->data + request->len};
	struct field resource, scope, metric;

	while (next(&wire, &resource))
		while (next(&resource.bytes, &scope))
			while (scope.number == 2 && next(&scope.bytes, &metric))
				if (metric.number == 2)
					read_metric(metric.bytes, take, ctx);
}

/* --- a receiver ----------------------------------------------------------------------- */

#define SERIES 40

/* What a receiver of deltas adds up. */
struct tally {
	__u64 count, scaled_count, zeros, buckets[SLOTS];
	double scaled, sum;
	__u64 until[3];
};

/* @taken: a byte for each request; while it @is_under_way, for @late exports, nobody knows */
struct receiver {
	struct baseline *baseline;
	struct tally tally[SERIES];
	int fail_percent, late_percent;
	int requests, failed, late;
	bool is_under_way;
	struct pb taken;
};

static void take_delta(const struct point *point, void *ctx)
{
	struct receiver *receiver = ctx;
	struct tally *tally = &receiver->tally[point->nr];
	int which = !strcmp(point->metric, "m.count")  ? 0
		    : !strcmp(point->metric, "m.time") ? 1
						       : 2;

	ASSERT_LT(point->nr, SERIES);
	EXPECT_EQ(point->temporality, 1);
	/* No instant is told twice, and none is left out in between. */
	if (tally->until[which])
		EXPECT_GE(point->start, tally->until[which]);
	EXPECT_LT(point->start, point->time);
	tally->until[which] = point->time;
	if (which == 0)
		tally->count += point->as_int;
	if (which == 1)
		tally->scaled += point->as_double;
	if (which == 2) {
		__u64 all = point->zeros;

		tally->zeros += point->zeros;
		tally->sum += point->sum;
		for (int i = 0; i < SLOTS; i++) {
			tally->buckets[i] += point->counts[i];
			all += point->counts[i];
		}
		EXPECT_EQ(point->count, all);
		EXPECT_GT(all, 0);
	}
}

static int take_request(const struct pb *request, size_t points, void *ctx)
{
	struct receiver *receiver = ctx;
	__u8 taken = rand() % 100 >= receiver->fail_percent;

	EXPECT_GT(points, 0);
	receiver->requests++;
	receiver->failed += !taken;
	pb__raw(&receiver->taken, &taken, 1);
	if (taken)
		read_request(request, take_delta, receiver);
	return 0;
}

/* --- what the kernel counts ------------------------------------------------------------- */

struct kernel_value {
	__u64 count;
	__u64 time;
	struct exphist_s h;
};

static const struct btf_field nr_key[] = {{"nr", "u32", {"otel:attr|nr|number"}}, {}};
static const struct btf_field fields[] = {
	{"count", "u64", {"otel:sum|m.count|1|C"}},
	{"time", "u64", {"otel:sum|m.time|s|T", "otel:scale|0.5"}},
	{"h", "exphist_s", {"otel:exphist|m.h|s|H"}},
	{}};

struct kernel {
	struct btf_map map;
	struct plan *plan;
	struct metrics *metrics;
	struct resources *resources;
	struct kernel_value value[SERIES], before[SERIES]; /* @before: of entries that are gone */
	bool there[SERIES];
	__u64 start, now;
	__u64 next_id;
};

static const struct sources there = {.at = (struct series_source[]){{.id = 7}}, .n = 1};

static void kernel__init(struct kernel *kernel, const struct metrics_preference *preference)
{
	btf_map__init(&kernel->map, nr_key, fields, NULL);
	kernel->plan = btf_map__compile(&kernel->map);
	ASSERT_TRUE(kernel->plan);
	ASSERT_EQ(kernel->map.info.value_size, sizeof(struct kernel_value));
	kernel->plan->id = 7;
	kernel->metrics = metrics__new();
	kernel->resources = resources__new("", "");
	ASSERT_TRUE(kernel->metrics && kernel->resources);
	metrics__prefer(kernel->metrics, preference);
	kernel->start = START;
	kernel->now = START + 5;
}

static void kernel__free(struct kernel *kernel)
{
	plan__free(kernel->plan);
	btf_map__free(&kernel->map);
	metrics__free(kernel->metrics);
	resources__free(kernel->resources);
}

static void kernel__count(struct kernel *kernel, int i)
{
	struct kernel_value *value = &kernel->value[i];

	kernel->there[i] = true;
	value->count += rand() % 1000;
	value->time += rand() % 3;
	for (int k = rand() % 4; k > 0; k--)
		exphist_s__record(&value->h, (__u64)rand() >> rand() % 32);
}

/* The entry goes; what it counted stays part of what a receiver should have. */
static void kernel__drop(struct kernel *kernel, int i)
{
	struct kernel_value *from = &kernel->value[i], *to = &kernel->before[i];

	to->count += from->count;
	to->time += from->time;
	to->h.sum += from->h.sum;
	to->h.zero_count += from->h.zero_count;
	for (int k = 0; k < EXPHIST_SLOTS; k++)
		to->h.buckets[k] += from->h.buckets[k];
	memset(from, 0, sizeof(*from));
	kernel->there[i] = false;
}

/* @readable: else the map could not be read this time */
static void kernel__read(struct kernel *kernel, bool readable)
{
	kernel->now += 1 + rand() % 1000;
	metrics__begin(kernel->metrics, kernel->now);
	ASSERT_EQ(metrics__scope(kernel->metrics, "probe", kernel->start), 0);
	ASSERT_EQ(metrics__plan(kernel->metrics, kernel->plan), 0);
	for (__u32 i = 0; readable && i < SERIES; i++)
		if (kernel->there[i])
			ASSERT_EQ(metrics__entry(kernel->metrics, kernel->plan, &i,
						 &kernel->value[i], RESOURCE_HOST, false),
				  0);
	if (readable)
		ASSERT_EQ(metrics__complete(kernel->metrics, kernel->plan), 0);
}

static void receiver__settle(struct receiver *receiver)
{
	struct pb *taken = &receiver->taken;

	ASSERT_EQ(baseline__settle(receiver->baseline, taken->data, taken->len), 0);
	taken->len = 0;
}

/* The answers may be known at once, or only exports later. Return: whether it has all. */
static bool kernel__send(struct kernel *kernel, struct receiver *receiver)
{
	int failed = receiver->failed;

	if (receiver->late && --receiver->late)
		return false;
	if (receiver->is_under_way)
		receiver__settle(receiver);
	ASSERT_EQ(metrics__emit_to(kernel->metrics, receiver->baseline, kernel->resources, LIMIT,
				   take_request, receiver),
		  0);
	receiver->is_under_way = rand() % 100 < receiver->late_percent;
	if (receiver->is_under_way)
		receiver->late = 1 + rand() % 3;
	else
		receiver__settle(receiver);
	return failed == receiver->failed;
}

static void expect_all(const struct kernel *kernel, const struct receiver *receiver)
{
	for (int i = 0; i < SERIES; i++) {
		const struct kernel_value *now = &kernel->value[i], *gone = &kernel->before[i];
		const struct tally *tally = &receiver->tally[i];
		double sum = (now->h.sum + gone->h.sum) * 1e-9;

		EXPECT_EQ(tally->count, now->count + gone->count);
		EXPECT_TRUE(tally->scaled == 0.5 * (now->time + gone->time));
		EXPECT_EQ(tally->zeros, now->h.zero_count + gone->h.zero_count);
		EXPECT_LT(fabs(tally->sum - sum), 1e-9 * (1 + sum));
		for (int k = 0; k < EXPHIST_SLOTS; k++)
			if (tally->buckets[k + 128 - 112] != now->h.buckets[k] + gone->h.buckets[k])
				EXPECT_EQ(tally->buckets[k + 128 - 112],
					  now->h.buckets[k] + gone->h.buckets[k]);
	}
}

/* Another exporter takes over. */
static void restart(struct receiver *receivers, const char *path)
{
	struct state_part parts[2];

	for (int r = 0; r < 2; r++)
		parts[r] = (struct state_part){r ? "otlp/1" : "otlp/0", receivers[r].baseline};
	ASSERT_EQ(state__write(path, 3, parts, 2), 0);
	for (int r = 0; r < 2; r++) {
		baseline__free(receivers[r].baseline);
		receivers[r].baseline = parts[r].baseline = baseline__new(&there);
	}
	ASSERT_EQ(state__read(path, 3, parts, 2), 2);
}

static const struct metrics_preference delta = {.delta_sums = true, .delta_histograms = true};

/*
 * Two receivers that fail independently, entries that go once both have them and come again,
 * maps that cannot be read now and then, one exporter after another: what each has taken adds
 * up to what was counted.
 */
TEST_TIMEOUT(add_up_over_failures, 60)
{
	struct receiver receivers[2] = {{.fail_percent = 30, .late_percent = 20},
					{.fail_percent = 60, .late_percent = 50}};
	char path[] = "/tmp/delta_test-XXXXXX";
	struct kernel kernel = {0};
	bool all;

	close(mkstemp(path));
	srand(6);
	kernel__init(&kernel, &delta);
	for (int r = 0; r < 2; r++)
		receivers[r].baseline = baseline__new(&there);
	for (int export = 0; export < 2000; export ++) {
		bool readable = rand() % 10;

		if (export % 7 == 0 && !receivers[0].is_under_way && !receivers[1].is_under_way)
			restart(receivers, path);
		for (int i = 0; i < SERIES; i++)
			if (rand() % 3 == 0)
				kernel__count(&kernel, i);
		/* At last all is well. */
		if (export > 1990) {
			receivers[0].fail_percent = receivers[1].fail_percent = 0;
			receivers[0].late_percent = receivers[1].late_percent = 0;
			readable = true;
		}
		kernel__read(&kernel, readable);
		all = kernel__send(&kernel, &receivers[0]);
		all &= kernel__send(&kernel, &receivers[1]);
		if (!all || !readable)
			continue;
		expect_all(&kernel, &receivers[0]);
		expect_all(&kernel, &receivers[1]);
		for (__u32 i = 0; i < SERIES; i++) {
			if (rand() % 4)
				continue;
			kernel__drop(&kernel, i);
			for (int r = 0; r < 2; r++)
				baseline__forget(receivers[r].baseline,
						 (struct series_source){.id = 7}, &i, sizeof(i));
		}
	}
	EXPECT_TRUE(all);
	unlink(path);
	for (int r = 0; r < 2; r++) {
		printf("%d requests, %d failed, %zu bytes\n", receivers[r].requests,
		       receivers[r].failed, baseline__bytes(receivers[r].baseline));
		pb__free(&receivers[r].taken);
		EXPECT_GT(receivers[r].failed, 100);
		EXPECT_LT(receivers[r].failed, receivers[r].requests - 100);
		baseline__free(receivers[r].baseline);
	}
	kernel__free(&kernel);
}

/* Whatever happened to the file: nothing of it is believed, or all. */
TEST_TIMEOUT(damaged_state, 60)
{
	struct receiver receiver = {.baseline = baseline__new(&there)};
	struct state_part part = {"otlp/0", receiver.baseline};
	char path[] = "/tmp/delta_test-XXXXXX", text[16384], changed[16384];
	struct kernel kernel = {0};
	int fd = mkstemp(path), len;
	struct stat st;

	ASSERT_GE(fd, 0);
	kernel__init(&kernel, &delta);
	for (int i = 0; i < 3; i++)
		kernel__count(&kernel, i);
	kernel__read(&kernel, true);
	ASSERT_TRUE(kernel__send(&kernel, &receiver));
	ASSERT_EQ(state__write(path, 3, &part, 1), 0);
	ASSERT_EQ(stat(path, &st), 0);
	EXPECT_EQ(st.st_mode & 0777, 0600);
	close(fd);
	fd = open(path, O_RDWR | O_CLOEXEC);
	len = read(fd, text, sizeof(text));
	ASSERT_GT(len, 0);
	ASSERT_LT(len, (int)sizeof(text));
	for (int i = 0; i < 2 * len; i++) {
		int n = i < len ? len : i - len, found;

		memcpy(changed, text, len);
		if (i < len)
			changed[i] ^= 1 << i % 8;
		ASSERT_EQ(pwrite(fd, changed, len, 0), len);
		ASSERT_EQ(ftruncate(fd, n), 0);
		part.baseline = baseline__new(&there);
		found = state__read(path, 3, &part, 1);
		if (found > 0)
			EXPECT_LE(found, 0);
		baseline__free(part.baseline);
	}
	close(fd);
	unlink(path);
	part.baseline = receiver.baseline;
	EXPECT_EQ(state__read(path, 3, &part, 1), 0);
	EXPECT_EQ(state__write("/nowhere/file", 3, &part, 1), -ENOENT);
	baseline__free(receiver.baseline);
	pb__free(&receiver.taken);
	kernel__free(&kernel);
}

/* --- single points --------------------------------------------------------------------------- */

#define POINTS_MAX 64

struct points {
	struct point point[POINTS_MAX];
	int n, requests;
};

static void take_one(const struct point *point, void *ctx)
{
	struct points *points = ctx;

	ASSERT_LT(points->n, POINTS_MAX);
	points->point[points->n++] = *point;
}

static int keep_request(const struct pb *request, size_t n, void *ctx)
{
	struct points *points = ctx;
	int before = points->n;

	read_request(request, take_one, points);
	EXPECT_EQ(points->n - before, n);
	points->requests++;
	return 0;
}

static const struct point *find(const struct points *points, const char *metric)
{
	for (int i = 0; i < points->n; i++)
		if (!strcmp(points->point[i].metric, metric))
			return &points->point[i];
	return NULL;
}

/* One export of what was read of @kernel. */
static void export_read(struct kernel *kernel, struct baseline *baseline, bool refused,
			struct points *points)
{
	__u8 taken[] = {!refused, !refused, !refused, !refused};

	points->n = points->requests = 0;
	ASSERT_EQ(metrics__emit_to(kernel->metrics, baseline, kernel->resources, LIMIT,
				   keep_request, points),
		  0);
	ASSERT_LE(points->requests, sizeof(taken));
	EXPECT_EQ(baseline__settle(baseline, taken, points->requests + 1), -EINVAL);
	ASSERT_EQ(baseline__settle(baseline, taken, points->requests), 0);
}

/* Of everything in @kernel. */
static void export_points(struct kernel *kernel, struct baseline *baseline, bool refused,
			  struct points *points)
{
	kernel__read(kernel, true);
	export_read(kernel, baseline, refused, points);
}

/* Bytes of what is remembered. */
static size_t remembered(const struct baseline *baseline)
{
	struct pb pb = {0};
	size_t len;

	baseline__save(baseline, &pb);
	len = pb.len;
	pb__free(&pb);
	return len;
}

/* A map that cannot be read is remembered while it is there, or may be; not after that. */
TEST(what_is_gone_is_forgotten)
{
	struct sources pinned = {};
	struct baseline *baseline = baseline__new(&pinned);
	struct points *points = calloc(1, sizeof(*points));
	struct kernel kernel = {0};
	size_t empty, full;

	ASSERT_TRUE(baseline && points);
	empty = remembered(baseline);
	kernel__init(&kernel, &delta);
	kernel.there[0] = true;
	kernel.value[0].count = 5;
	sources__add(&pinned, (struct series_source){.id = kernel.plan->id});
	export_points(&kernel, baseline, false, points);
	full = remembered(baseline);
	EXPECT_GT(full, empty);

	kernel__read(&kernel, false);
	export_read(&kernel, baseline, false, points);
	EXPECT_GT(remembered(baseline), empty);
	/* Another pin could not be looked at: it may be this map's. */
	sources__begin(&pinned);
	pinned.unsure = true;
	kernel__read(&kernel, false);
	export_read(&kernel, baseline, false, points);
	EXPECT_GT(remembered(baseline), empty);
	kernel.value[0].count = 7;
	export_points(&kernel, baseline, false, points);
	EXPECT_EQ(find(points, "m.count")->as_int, 2);

	/* A program of that number is not the map. */
	sources__begin(&pinned);
	sources__add(&pinned, (struct series_source){.id = kernel.plan->id, .of_program = true});
	kernel__read(&kernel, false);
	export_read(&kernel, baseline, false, points);
	EXPECT_EQ(remembered(baseline), empty);
	baseline__free(baseline);
	sources__free(&pinned);
	kernel__free(&kernel);
	free(points);
}

TEST(intervals_and_extremes)
{
	struct baseline *baseline = baseline__new(&there);
	struct points *points = calloc(1, sizeof(*points));
	struct kernel kernel = {0};
	const struct point *p;
	__u64 first, second;

	ASSERT_TRUE(baseline && points);
	kernel__init(&kernel, &delta);
	kernel.there[0] = true;
	kernel.value[0].count = 5;
	exphist_s__record(&kernel.value[0].h, 1000);
	exphist_s__record(&kernel.value[0].h, 3000);

	/* The first one, and again as it did not arrive: since the beginning. */
	for (int i = 0; i < 3; i++) {
		export_points(&kernel, baseline, i < 2, points);
		ASSERT_EQ(points->n, 3);
		EXPECT_EQ(find(points, "m.count")->as_int, 5);
		EXPECT_EQ(find(points, "m.count")->start, START);
		EXPECT_EQ(find(points, "m.count")->time, kernel.now);
		p = find(points, "m.h");
		EXPECT_EQ(p->count, 2);
		EXPECT_TRUE(p->has_min && p->min == 1000 * 1e-9);
		EXPECT_TRUE(p->has_max && p->max == 3000 * 1e-9);
	}
	first = kernel.now;

	/* Nothing came: nothing to tell, and the interval goes on. */
	export_points(&kernel, baseline, 0, points);
	EXPECT_EQ(points->n, 0);

	/* Neither the least nor the largest of this interval is known: another value between. */
	exphist_s__record(&kernel.value[0].h, 2000);
	export_points(&kernel, baseline, 0, points);
	ASSERT_EQ(points->n, 1);
	p = find(points, "m.h");
	EXPECT_EQ(p->start, first);
	EXPECT_EQ(p->count, 1);
	EXPECT_FALSE(p->has_min || p->has_max);
	second = kernel.now;

	/* A new largest one came since. */
	exphist_s__record(&kernel.value[0].h, 9000);
	kernel.value[0].count += 2;
	export_points(&kernel, baseline, 0, points);
	ASSERT_EQ(points->n, 2);
	p = find(points, "m.h");
	EXPECT_EQ(p->start, second);
	EXPECT_FALSE(p->has_min);
	EXPECT_TRUE(p->has_max && p->max == 9000 * 1e-9);
	EXPECT_EQ(find(points, "m.count")->as_int, 2);
	EXPECT_EQ(find(points, "m.count")->start, first);
	second = kernel.now;

	/* A series that is new was not there in the export before. */
	kernel.there[1] = true;
	kernel.value[1].count = 8;
	export_points(&kernel, baseline, 1, points);
	ASSERT_EQ(points->n, 2);
	EXPECT_EQ(find(points, "m.count")->start, second);
	export_points(&kernel, baseline, 0, points);
	ASSERT_EQ(points->n, 2);
	EXPECT_EQ(find(points, "m.count")->as_int, 8);
	EXPECT_EQ(find(points, "m.count")->start, second);

	/* Less than before: counted anew, all since what was told last. */
	kernel.value[0].count = 1;
	export_points(&kernel, baseline, 0, points);
	ASSERT_EQ(points->n, 1);
	EXPECT_EQ(find(points, "m.count")->as_int, 1);
	EXPECT_EQ(find(points, "m.count")->start, second);

	/* Unloaded and loaded: another map, another start, and no series of the old one is kept. */
	kernel.plan->id = 9;
	kernel.start = kernel.now + 10;
	kernel.now += 20;
	kernel.there[1] = false;
	kernel.value[0].count = 100;
	export_points(&kernel, baseline, 0, points);
	p = find(points, "m.count");
	EXPECT_EQ(p->as_int, 100);
	EXPECT_EQ(p->start, kernel.start);

	/* Another exporter knows nothing: since the beginning. */
	baseline__free(baseline);
	baseline = baseline__new(&there);
	export_points(&kernel, baseline, 0, points);
	EXPECT_EQ(find(points, "m.count")->as_int, 100);
	EXPECT_EQ(find(points, "m.count")->start, kernel.start);
	baseline__free(baseline);
	kernel__free(&kernel);
	free(points);
}

/* What the specification has for each kind of instrument. */
TEST(preference_by_kind)
{
	static const struct btf_field kinds[] = {
		{"sum", "u64", {"otel:sum|m.sum|1|S"}},
		{"updown", "s64", {"otel:updown|m.updown|1|U"}},
		{"gauge", "u64", {"otel:gauge|m.gauge|1|G"}},
		{"explicit", "u64[2]", {"otel:histogram|m.explicit|1|E|1"}},
		{"h", "exphist_s", {"otel:exphist|m.h|s|H"}},
		{}};
	static const struct {
		const char *asked;
		int sum, updown, gauge, histogram;
	} cases[] = {
		{"", 2, 2, 0, 2},	   {"cumulative", 2, 2, 0, 2}, {"DELTA", 1, 2, 0, 1},
		{"lowmemory", 2, 2, 0, 1}, {"sometimes", 2, 2, 0, 2},
	};
	struct {
		__u64 sum, updown, gauge, explicit[2];
		struct exphist_s h;
	} value = {1, 2, 3, {4, 5}, {}};

	exphist_s__record(&value.h, 1000);
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct points *points = calloc(1, sizeof(*points));
		struct resources *resources = resources__new("", "");
		struct metrics *metrics = metrics__new();
		struct metrics_preference preference;
		struct btf_map map;
		struct plan *plan;
		__u32 key = 1;

		setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", cases[i].asked, 1);
		preference = metrics_preference__read();
		btf_map__init(&map, nr_key, kinds, NULL);
		plan = btf_map__compile(&map);
		ASSERT_TRUE(plan && points && resources && metrics);
		metrics__prefer(metrics, &preference);
		metrics__begin(metrics, 2 * START);
		ASSERT_EQ(metrics__scope(metrics, "probe", START), 0);
		ASSERT_EQ(metrics__plan(metrics, plan), 0);
		ASSERT_EQ(metrics__entry(metrics, plan, &key, &value, RESOURCE_HOST, false), 0);
		ASSERT_EQ(metrics__emit_to(metrics, NULL, resources, LIMIT, keep_request, points),
			  0);
		ASSERT_EQ(points->n, 5);
		EXPECT_EQ(find(points, "m.sum")->temporality, cases[i].sum);
		EXPECT_EQ(find(points, "m.updown")->temporality, cases[i].updown);
		EXPECT_EQ(find(points, "m.gauge")->temporality, cases[i].gauge);
		EXPECT_EQ(find(points, "m.explicit")->temporality, cases[i].histogram);
		EXPECT_EQ(find(points, "m.h")->temporality, cases[i].histogram);
		EXPECT_EQ(find(points, "m.updown")->as_int, 2);
		EXPECT_EQ(find(points, "m.explicit")->counts[1], 5);
		plan__free(plan);
		btf_map__free(&map);
		metrics__free(metrics);
		resources__free(resources);
		free(points);
	}
}

/* --- explicit buckets ------------------------------------------------------------------------- */

TEST(aggregation_of_the_environment)
{
	static const struct {
		const char *asked;
		bool explicit_buckets;
	} cases[] = {{"", false},
		     {"explicit_bucket_histogram", true},
		     {"base2_exponential_bucket_histogram", false},
		     {"linear", false}};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		setenv("OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION", cases[i].asked,
		       1);
		EXPECT_EQ(metrics_preference__read().explicit_buckets, cases[i].explicit_buckets);
	}
}

#define UPTO 62

/* In which bucket @v / @unit falls, by comparing integers with the bounds, which are powers of 2.
 */
static int bucket_of(const struct point *p, __u64 v, __u64 unit)
{
	for (int i = 0; i < p->n_bounds; i++) {
		int exponent;
		unsigned __int128 left = v, right = unit;

		EXPECT_TRUE(frexp(p->bounds[i], &exponent) == 0.5);
		exponent--;
		if (exponent < 0)
			left <<= -exponent;
		else
			right <<= exponent;
		if (left <= right)
			return i;
	}
	return p->n_bounds;
}

struct both {
	struct exphist_s s;
	struct exphist u;
};

static void check_buckets(const struct point *p, const __u64 *values, int n, __u64 unit)
{
	__u64 counts[SLOTS] = {0}, total = 0;

	EXPECT_EQ(p->kind, 'h');
	EXPECT_EQ(p->n_counts, p->n_bounds + 1);
	for (int i = 1; i < p->n_bounds; i++)
		EXPECT_GT(p->bounds[i], p->bounds[i - 1]);
	for (int i = 0; i < n; i++)
		counts[bucket_of(p, values[i], unit)]++;
	for (int i = 0; i < p->n_counts; i++) {
		EXPECT_EQ(p->counts[i], counts[i]);
		total += p->counts[i];
	}
	EXPECT_EQ(total, n);
	EXPECT_EQ(p->count, n);
	EXPECT_TRUE(p->has_min && p->has_max);
}

TEST(explicit_buckets_are_exact)
{
	static const struct btf_field both[] = {{"s", "exphist_s", {"otel:exphist|m.s|s|S"}},
						{"u", "exphist", {"otel:exphist|m.u|By|U"}},
						{}};
	const struct metrics_preference preference = {.explicit_buckets = true};
	struct points *points = calloc(1, sizeof(*points));
	struct resources *resources = resources__new("", "");
	struct metrics *metrics = metrics__new();
	static __u64 values[100000];
	struct both value = {0};
	struct btf_map map;
	struct plan *plan;
	__u32 key = 1;
	int n = 0;

	/* Around each bound, as it is in nanoseconds or as a count, and anything else. */
	srand(1);
	for (int e = -20; e <= 6; e++)
		for (int d = -1; d <= 1; d++)
			values[n++] = (__u64)(ldexp(1, e) * 1e9) + d;
	for (int e = 0; e < 46; e++)
		for (int d = -1; d <= 1; d++)
			values[n++] = (1ULL << e) + d;
	while (n < 100000)
		values[n++] = ((__u64)rand() << 16 | (rand() & 0xffff)) >> rand() % 47;
	for (int i = 0; i < n; i++) {
		ASSERT_TRUE(exphist_s__record(&value.s, values[i]));
		ASSERT_TRUE(exphist__record(&value.u, values[i]));
	}
	btf_map__init(&map, nr_key, both, NULL);
	plan = btf_map__compile(&map);
	ASSERT_TRUE(plan && points && resources && metrics);
	metrics__prefer(metrics, &preference);
	metrics__begin(metrics, 2 * START);
	ASSERT_EQ(metrics__scope(metrics, "probe", START), 0);
	ASSERT_EQ(metrics__plan(metrics, plan), 0);
	ASSERT_EQ(metrics__entry(metrics, plan, &key, &value, RESOURCE_HOST, false), 0);
	ASSERT_EQ(metrics__emit(metrics, resources, LIMIT, keep_request, points), 0);
	ASSERT_EQ(points->n, 2);
	EXPECT_EQ(find(points, "m.s")->n_bounds, 27);
	EXPECT_TRUE(find(points, "m.s")->bounds[0] == ldexp(1, -20));
	EXPECT_TRUE(find(points, "m.s")->bounds[26] == 64);
	EXPECT_EQ(find(points, "m.u")->n_bounds, 16);
	EXPECT_TRUE(find(points, "m.u")->bounds[1] == 4);
	EXPECT_TRUE(find(points, "m.u")->bounds[15] == ldexp(1, 30));
	check_buckets(find(points, "m.s"), values, n, 1000000000);
	check_buckets(find(points, "m.u"), values, n, 1);
	plan__free(plan);
	btf_map__free(&map);
	metrics__free(metrics);
	resources__free(resources);
	free(points);
}

/* An entry is deleted while what it held is on its way: whatever becomes of that, it counts anew.
 */
TEST(forgotten_on_its_way)
{
	struct points *points = calloc(1, sizeof(*points));
	struct kernel kernel = {0};
	const __u32 key = 0;

	ASSERT_TRUE(points);
	kernel__init(&kernel, &delta);
	for (__u8 taken = 0; taken < 2; taken++) {
		struct baseline *baseline = baseline__new(&there);

		ASSERT_TRUE(baseline);
		kernel.there[0] = true;
		kernel.value[0].count = 5;
		export_points(&kernel, baseline, false, points);
		kernel.value[0].count = 6;
		kernel__read(&kernel, true);
		points->n = points->requests = 0;
		ASSERT_EQ(metrics__emit_to(kernel.metrics, baseline, kernel.resources, LIMIT,
					   keep_request, points),
			  0);
		ASSERT_EQ(points->requests, 1);
		EXPECT_EQ(find(points, "m.count")->as_int, 1);
		baseline__forget(baseline, (struct series_source){.id = 7}, &key, sizeof(key));
		ASSERT_EQ(baseline__settle(baseline, &taken, 1), 0);
		kernel.value[0].count = 9;
		export_points(&kernel, baseline, false, points);
		EXPECT_EQ(find(points, "m.count")->as_int, 9);
		baseline__free(baseline);
	}
	kernel__free(&kernel);
	free(points);
}

/* Deltas of both shapes: the same kernel values, told as explicit buckets. */
TEST(explicit_deltas)
{
	const struct metrics_preference preference = {
		.delta_sums = true, .delta_histograms = true, .explicit_buckets = true};
	struct baseline *baseline = baseline__new(&there);
	struct points *points = calloc(1, sizeof(*points));
	struct kernel kernel = {0};
	const struct point *p;

	ASSERT_TRUE(baseline && points);
	kernel__init(&kernel, &preference);
	kernel.there[0] = true;
	exphist_s__record(&kernel.value[0].h, 1000000000);
	export_points(&kernel, baseline, 0, points);
	exphist_s__record(&kernel.value[0].h, 1000000001);
	exphist_s__record(&kernel.value[0].h, 1);
	export_points(&kernel, baseline, 0, points);
	p = find(points, "m.h");
	ASSERT_TRUE(p);
	EXPECT_EQ(p->kind, 'h');
	EXPECT_EQ(p->temporality, 1);
	EXPECT_EQ(p->count, 2);
	EXPECT_EQ(p->counts[0], 1);  /* at most 2^-20 s */
	EXPECT_EQ(p->counts[20], 0); /* at most 1 s */
	EXPECT_EQ(p->counts[21], 1);
	baseline__free(baseline);
	kernel__free(&kernel);
	free(points);
}

/* --- the exporter's own counts ------------------------------------------------------------------
 */

static __u64 exported(const struct points *points, const char *metric, const char *component,
		      const char *error)
{
	for (int i = 0; i < points->n; i++) {
		const struct point *p = &points->point[i];

		if (!strcmp(p->metric, metric) && !strcmp(p->component, component) &&
		    !strcmp(p->error, error))
			return p->as_int;
	}
	return ~0ULL;
}

/* What a receiver answers, and the kind of error that it counts as. */
TEST(kinds_of_error)
{
	static const __u8 three_rejected[] = {0x0a, 0x02, 0x08, 0x03};
	static const struct reply replies[] = {
		{.status = 400},
		{.status = 503},
		{.close = true},
		{.hang = true},
		{.status = 200,
		 .headers = "Content-Type: application/x-protobuf\r\n",
		 .body = three_rejected,
		 .len = sizeof(three_rejected)},
	};
	static const char *const errors[] = {"400", "503", "connection", "timeout", ""};
	const volatile bool stop = false;
	struct delivery_report report;
	struct receiver *receiver;
	struct output *output;
	struct timespec now;
	int code;

	setenv("no_proxy", "*", 1);
	setenv("OTEL_EXPORTER_OTLP_TIMEOUT", "500", 1);
	for (int i = 0; i <= 6; i++) {
		receiver = receiver__start(&replies[i % 5], 1);
		setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver__url(receiver), 1);
		output = output__open("otlp", NULL, &code);
		ASSERT_TRUE(output);
		if (i > 5)
			receiver__stop(receiver); /* nobody is there */
		clock_gettime(CLOCK_MONOTONIC, &now);
		report = (struct delivery_report){};
		output__send(output, SIGNAL_METRICS, "", 0,
			     now.tv_sec * 1000000000ULL + now.tv_nsec + 600000000, &stop, &report);
		EXPECT_STREQ(report.error, i > 5 ? "connect" : errors[i % 5]);
		EXPECT_EQ(report.rejected, i == 4 ? 3 : 0);
		output__close(output);
		if (i <= 5)
			receiver__stop(receiver);
	}
}

#define DATA_POINTS "otel.sdk.exporter.metric_data_point.exported"

TEST(what_became_of_it)
{
	struct delivery_report fine = {.attempts = 1, .sent = 10};
	struct delivery_report partial = {.attempts = 2, .sent = 10, .rejected = 3};
	struct delivery_report late = {.attempts = 4, .error = "timeout"}, odd = {0};
	struct points *points = calloc(1, sizeof(*points));
	struct resources *resources = resources__new("", "");
	struct metrics *metrics = metrics__new();
	struct stats *stats = stats__new(START);
	char *text = NULL;
	size_t len;
	FILE *out;

	ASSERT_TRUE(points && resources && metrics && stats);
	EXPECT_EQ(stats__output(stats, "otlp"), 0);
	EXPECT_EQ(stats__output(stats, "file:/tmp/x"), 1);
	EXPECT_EQ(stats__output(stats, "otlp"), 2);
	stats__converted(stats, SIGNAL_METRICS, 100);
	stats__converted(stats, SIGNAL_PROFILES, 4);
	stats__delivered(stats, 0, SIGNAL_METRICS, 60, DELIVERED, &fine);
	stats__delivered(stats, 0, SIGNAL_METRICS, 40, DELIVERED, &partial);
	stats__delivered(stats, 1, SIGNAL_METRICS, 60, UNDELIVERED, &late);
	stats__delivered(stats, 1, SIGNAL_METRICS, 40, REFUSED, &odd);
	/* A receiver may claim anything. */
	partial.rejected = 1000;
	stats__delivered(stats, 2, SIGNAL_METRICS, 60, DELIVERED, &partial);
	partial.rejected = -5;
	stats__delivered(stats, 2, SIGNAL_METRICS, 40, DELIVERED, &partial);
	stats__delivered(stats, 0, SIGNAL_PROFILES, 4, DELIVERED, &fine);

	metrics__begin(metrics, 2 * START);
	ASSERT_EQ(stats__read(stats, metrics), 0);
	ASSERT_EQ(metrics__emit(metrics, resources, LIMIT, keep_request, points), 0);
	EXPECT_EQ(exported(points, "otelbpf.exporter.metric_data_point.converted", "", ""), 100);
	EXPECT_EQ(exported(points, "otelbpf.exporter.profile.converted", "", ""), 4);
	EXPECT_EQ(exported(points, "otelbpf.exporter.span.converted", "", ""), ~0ULL);
	EXPECT_EQ(exported(points, DATA_POINTS, "otlp/0", ""), 97);
	EXPECT_EQ(exported(points, DATA_POINTS, "otlp/0", "rejected"), 3);
	EXPECT_EQ(exported(points, DATA_POINTS, "otlp/0", "timeout"), ~0ULL);
	EXPECT_EQ(exported(points, DATA_POINTS, "file/0", ""), 0);
	EXPECT_EQ(exported(points, DATA_POINTS, "file/0", "timeout"), 60);
	EXPECT_EQ(exported(points, DATA_POINTS, "file/0", "_OTHER"), 40);
	EXPECT_EQ(exported(points, DATA_POINTS, "otlp/1", ""), 40);
	EXPECT_EQ(exported(points, DATA_POINTS, "otlp/1", "rejected"), 60);
	EXPECT_EQ(exported(points, "otelbpf.exporter.profile.exported", "otlp/0", ""), 4);
	EXPECT_EQ(points->point[0].start, START);

	/* However many kinds of error there are, every item is counted once. */
	points->n = 0;
	for (int i = 0; i < 100; i++) {
		snprintf(late.error, sizeof(late.error), "%d", 400 + i);
		stats__delivered(stats, 1, SIGNAL_LOGS, 2, REFUSED, &late);
	}
	stats__converted(stats, SIGNAL_LOGS, 200);
	metrics__begin(metrics, 2 * START);
	ASSERT_EQ(stats__read(stats, metrics), 0);
	ASSERT_EQ(metrics__emit(metrics, resources, LIMIT, keep_request, points), 0);
	EXPECT_EQ(exported(points, "otel.sdk.exporter.log.exported", "file/0", "400"), 2);
	EXPECT_EQ(exported(points, "otel.sdk.exporter.log.exported", "file/0", "_OTHER"), 170);

	out = open_memstream(&text, &len);
	stats__print(stats, out, true, 5);
	EXPECT_TRUE(
		strstr(text, "\"otlp/0\":{\"metrics\":{\"sent\":97,\"rejected\":3,\"failed\":0,"));
	EXPECT_TRUE(strstr(text, "\"errors\":{\"timeout\":60,\"_OTHER\":40}"));
	stats__print(stats, out, false, 5);
	fclose(out);
	EXPECT_TRUE(strstr(text, "failed with timeout: 60"));
	free(text);
	stats__free(stats);
	metrics__free(metrics);
	resources__free(resources);
	free(points);
}

TEST_MAIN()
