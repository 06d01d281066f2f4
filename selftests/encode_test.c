// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Values made by hand, through a plan and the encoder, read back from the request as JSON. */
#include <errno.h>
#include <json-c/json.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <linux/types.h>
/* The compiler of the tests need not know declaration tags. */
#pragma GCC diagnostic ignored "-Wattributes"
#include <otelbpf/exphist.bpf.h>

#include "btf_map.h"
#include "ktap.h"
#include "otlp/json.h"
#include "otlp/metrics.h"

#define START 1000000000ULL
#define NOW 61000000000ULL
#define NO_LIMIT ((size_t)1 << 30)

/* --- reading back --------------------------------------------------------- */

/* One export: what was sent, and its points as text, a line each. */
struct sent {
	struct metrics *metrics;
	struct resources *resources;
	char *text;
	size_t text_len;
	FILE *out;
	size_t requests, points, largest;
};

static struct json_object *get(struct json_object *from, const char *key)
{
	struct json_object *to = NULL;

	json_object_object_get_ex(from, key, &to);
	return to;
}

static const char *text_of(struct json_object *from, const char *key)
{
	struct json_object *to = get(from, key);

	return to ? json_object_get_string(to) : "";
}

static void put_attributes(FILE *out, struct json_object *list)
{
	fputc('{', out);
	for (size_t i = 0; list && i < json_object_array_length(list); i++) {
		struct json_object *attr = json_object_array_get_idx(list, i);

		fprintf(out, "%s%s", i ? "," : "", text_of(attr, "key"));
		json_object_object_foreach (get(attr, "value"), kind, value)
			fprintf(out, "%s%s", !strcmp(kind, "stringValue") ? "=" : ":=",
				json_object_get_string(value));
	}
	fputc('}', out);
}

static void put_list(FILE *out, const char *name, struct json_object *list)
{
	if (!list)
		return;
	fprintf(out, " %s=", name);
	for (size_t i = 0; i < json_object_array_length(list); i++)
		fprintf(out, "%s%s", i ? "," : "",
			json_object_get_string(json_object_array_get_idx(list, i)));
}

static void put_double(FILE *out, const char *name, struct json_object *v)
{
	if (v)
		fprintf(out, " %s=%.15g", name, json_object_get_double(v));
}

static void put_point(FILE *out, struct json_object *point)
{
	static const char *const plain[] = {"asInt", "count", "zeroCount", "scale"};
	static const char *const doubles[] = {"asDouble", "sum", "min", "max", "zeroThreshold"};
	struct json_object *positive = get(point, "positive");

	EXPECT_STREQ(text_of(point, "startTimeUnixNano"), "1000000000");
	EXPECT_STREQ(text_of(point, "timeUnixNano"), "61000000000");
	put_attributes(out, get(point, "attributes"));
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
		if (get(point, plain[i]))
			fprintf(out, " %s=%s", plain[i], text_of(point, plain[i]));
	for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++)
		put_double(out, doubles[i], get(point, doubles[i]));
	put_list(out, "bounds", get(point, "explicitBounds"));
	put_list(out, "counts", get(point, "bucketCounts"));
	if (positive) {
		fprintf(out, " offset=%s", text_of(positive, "offset"));
		put_list(out, "counts", get(positive, "bucketCounts"));
	}
	fputc('\n', out);
}

static size_t put_metric(FILE *out, const char *before, struct json_object *metric)
{
	static const char *const kinds[] = {"sum", "gauge", "histogram", "exponentialHistogram"};
	size_t points = 0;

	for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
		struct json_object *data = get(metric, kinds[k]), *list;

		if (!data)
			continue;
		if (strcmp(kinds[k], "gauge"))
			EXPECT_STREQ(text_of(data, "aggregationTemporality"), "2");
		list = get(data, "dataPoints");
		ASSERT_TRUE(list);
		for (size_t i = 0; i < json_object_array_length(list); i++, points++) {
			fprintf(out, "%s %s[%s] %s%s", before, text_of(metric, "name"),
				text_of(metric, "unit"), kinds[k],
				get(data, "isMonotonic") ? "+" : "");
			put_point(out, json_object_array_get_idx(list, i));
		}
	}
	EXPECT_GT(points, 0);
	return points;
}

/* The attributes that tell Resources apart here. */
static void put_resource(char *text, size_t room, struct json_object *resource)
{
	struct json_object *list = get(resource, "attributes");
	bool host = false;

	snprintf(text, room, "host");
	ASSERT_TRUE(list);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *attr = json_object_array_get_idx(list, i);
		const char *key = text_of(attr, "key");

		host |= !strcmp(key, "os.type");
		if (!strcmp(key, "otelbpf.cgroup.id"))
			snprintf(text, room, "cgroup %s", text_of(get(attr, "value"), "intValue"));
	}
	EXPECT_TRUE(host);
}

static size_t put_request(FILE *out, struct json_object *request)
{
	struct json_object *resources = get(request, "resourceMetrics");
	size_t points = 0;

	ASSERT_TRUE(resources);
	for (size_t r = 0; r < json_object_array_length(resources); r++) {
		struct json_object *group = json_object_array_get_idx(resources, r);
		struct json_object *scopes = get(group, "scopeMetrics");
		char resource[64], before[256];

		ASSERT_TRUE(get(group, "resource"));
		ASSERT_TRUE(scopes);
		put_resource(resource, sizeof(resource), get(group, "resource"));
		for (size_t s = 0; s < json_object_array_length(scopes); s++) {
			struct json_object *scope = json_object_array_get_idx(scopes, s);
			struct json_object *metrics = get(scope, "metrics");

			ASSERT_TRUE(get(scope, "scope"));
			ASSERT_TRUE(metrics);
			EXPECT_STREQ(text_of(get(scope, "scope"), "version"), OTELBPF_VERSION);
			snprintf(before, sizeof(before), "%s/%s", resource,
				 text_of(get(scope, "scope"), "name"));
			for (size_t m = 0; m < json_object_array_length(metrics); m++)
				points += put_metric(out, before,
						     json_object_array_get_idx(metrics, m));
		}
	}
	return points;
}

static int take(const struct pb *request, size_t points, void *ctx)
{
	struct sent *sent = ctx;
	struct json_object *json = otlp__to_json(SIGNAL_METRICS, request->data, request->len);

	ASSERT_TRUE(json); /* else it is malformed */
	EXPECT_EQ(put_request(sent->out, json), points);
	json_object_put(json);
	sent->requests++;
	sent->points += points;
	if (request->len > sent->largest)
		sent->largest = request->len;
	return 0;
}

static void sent__init(struct sent *sent)
{
	*sent = (struct sent){.metrics = metrics__new(), .resources = resources__new("", "")};
	ASSERT_TRUE(sent->metrics && sent->resources);
	metrics__begin(sent->metrics, NOW);
	ASSERT_EQ(metrics__scope(sent->metrics, "probe", START), 0);
}

/* What was encoded since the last call, as text until the next. */
static const char *sent__text(struct sent *sent, size_t limit)
{
	size_t expected = metrics__points(sent->metrics);

	free(sent->text);
	sent->requests = sent->points = sent->largest = 0;
	sent->out = open_memstream(&sent->text, &sent->text_len);
	ASSERT_TRUE(sent->out);
	ASSERT_EQ(metrics__emit(sent->metrics, sent->resources, limit, take, sent), 0);
	fclose(sent->out);
	EXPECT_EQ(sent->points, expected);
	metrics__begin(sent->metrics, NOW);
	ASSERT_EQ(metrics__scope(sent->metrics, "probe", START), 0);
	return sent->text;
}

static void sent__free(struct sent *sent)
{
	free(sent->text);
	metrics__free(sent->metrics);
	resources__free(sent->resources);
}

/* A plan that is a map of @cpus CPUs whatever this machine has; 0: not per CPU. */
static struct plan *plan_for(struct btf_map *map, int cpus)
{
	struct plan *plan;

	if (cpus)
		map->info.type = BPF_MAP_TYPE_PERCPU_HASH;
	plan = btf_map__compile(map);
	if (!plan)
		printf("%s\n", map->why);
	ASSERT_TRUE(plan);
	if (cpus)
		plan->values = cpus;
	return plan;
}

/* A map, its plan and an empty export that begins with it. */
static struct plan *begin(struct sent *sent, struct btf_map *map, const struct btf_field *key,
			  const struct btf_field *value, int cpus)
{
	struct plan *plan;

	btf_map__init(map, key, value, NULL);
	plan = plan_for(map, cpus);
	sent__init(sent);
	ASSERT_EQ(metrics__plan(sent->metrics, plan), 0);
	return plan;
}

static void end(struct sent *sent, struct btf_map *map, struct plan *plan)
{
	plan__free(plan);
	sent__free(sent);
	btf_map__free(map);
}

static void entry(struct sent *sent, const struct plan *plan, const void *key, const void *values)
{
	ASSERT_EQ(metrics__entry(sent->metrics, plan, key, values, RESOURCE_HOST, false), 0);
}

/* --- numbers -------------------------------------------------------------- */

static const struct btf_field nr_key[] = {{"nr", "u32", {"otel:attr|nr|number"}}, {}};

TEST(numbers)
{
	static const struct btf_field fields[] = {
		{"a", "u64", {"otel:sum|m.a|By|A"}},
		{"b", "s64", {"otel:updown|m.b|1|B"}},
		{"c", "u32", {"otel:gauge|m.c||C"}},
		{"d", "s32", {"otel:gauge|m.d|1|D"}},
		{"e", "u64", {"otel:sum|m.e|s|E", "otel:scale|1e-9"}},
		{"f", "s32", {"otel:updown|m.f|1|F", "otel:scale|0.5"}},
		{"g", "u32", {"otel:sum|m.g|1|G", "otel:with|kind|g", "otel:with|of|it"}},
		{},
	};
	struct value {
		__u64 a;
		__s64 b;
		__u32 c;
		__s32 d;
		__u64 e;
		__s32 f;
		__u32 g;
	} value = {1ULL << 40, -5, ~0U, -7, 1500000000, -3, 9};
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u32 key = 42;

	plan = begin(&sent, &map, nr_key, fields, 0);
	ASSERT_EQ(map.info.value_size, sizeof(value));
	entry(&sent, plan, &key, &value);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.a[By] sum+{nr:=42} asInt=1099511627776\n"
		     "host/probe m.b[1] sum{nr:=42} asInt=-5\n"
		     "host/probe m.c[] gauge{nr:=42} asInt=4294967295\n"
		     "host/probe m.d[1] gauge{nr:=42} asInt=-7\n"
		     "host/probe m.e[s] sum+{nr:=42} asDouble=1.5\n"
		     "host/probe m.f[1] sum{nr:=42} asDouble=-1.5\n"
		     "host/probe m.g[1] sum+{kind=g,of=it,nr:=42} asInt=9\n");
	EXPECT_EQ(sent.requests, 1);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT), "");
	EXPECT_EQ(sent.requests, 0); /* no request for no points */
	end(&sent, &map, plan);
}

/* A number may be negative on one CPU and right in total; 4 bytes do not wrap in the sum. */
TEST(sums_over_cpus)
{
	static const struct btf_field fields[] = {
		{"a", "u64", {"otel:sum|m.a|1|A"}},   {"b", "s64", {"otel:updown|m.b|1|B"}},
		{"c", "u32", {"otel:sum|m.c|1|C"}},   {"d", "s32", {"otel:updown|m.d|1|D"}},
		{"e", "u32", {"otel:gauge|m.e|1|E"}}, {}};
	struct value {
		__u64 a;
		__s64 b;
		__u32 c;
		__s32 d;
		__u32 e;
		__u32 end;
	} values[3] = {{1, -10, ~0U, -10, 1, 0}, {2, 4, ~0U, 3, 2, 0}, {1ULL << 33, 1, 2, 1, 4, 0}};
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u32 key = 0;

	plan = begin(&sent, &map, nr_key, fields, 3);
	ASSERT_EQ(plan->value_size, sizeof(values[0]));
	entry(&sent, plan, &key, values);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT), "host/probe m.a[1] sum+{nr:=0} asInt=8589934595\n"
						  "host/probe m.b[1] sum{nr:=0} asInt=-5\n"
						  "host/probe m.c[1] sum+{nr:=0} asInt=8589934592\n"
						  "host/probe m.d[1] sum{nr:=0} asInt=-6\n"
						  "host/probe m.e[1] gauge{nr:=0} asInt=7\n");
	end(&sent, &map, plan);
}

/* A value of 4 bytes takes 8 in a per-CPU map. */
TEST(stride_of_narrow_values)
{
	static const struct btf_field fields[] = {{"a", "u32", {"otel:sum|m.a|1|A"}}, {}};
	__u32 values[] = {1, 0xffff, 20, 0xffff, 300, 0xffff}, key = 0;
	struct sent sent;
	struct btf_map map;
	struct plan *plan;

	plan = begin(&sent, &map, nr_key, fields, 3);
	entry(&sent, plan, &key, values);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT), "host/probe m.a[1] sum+{nr:=0} asInt=321\n");
	end(&sent, &map, plan);
}

/* --- attributes ----------------------------------------------------------- */

TEST(attributes)
{
	static const struct btf_field key_fields[] = {
		{"nr", "u32", {"otel:attr|syscall.name|syscall"}},
		{"error", "u32", {"otel:attr|error.type|errno"}},
		{"comm", "char[8]", {"otel:attr|comm|comm"}},
		{"untold", "u32", {}},
		{"colour", "enum", {"otel:attr|colour|enum"}},
		{"address", "u8[4]", {"otel:attr|address|ipaddr"}},
		{"small", "s8", {"otel:attr|small|number"}},
		{"yes", "bool", {"otel:attr|yes|bool"}},
		{"port", "u16", {"otel:attr|port|port"}},
		{},
	};
	static const struct btf_field fields[] = {{"a", "u64", {"otel:sum|m.a|1|A"}}, {}};
	struct key {
		__u32 nr, error;
		char comm[8];
		__u32 untold;
		__s32 colour;
		__u8 address[4];
		__s8 small;
		bool yes;
		__u16 port;
	} key = {0, 2, "bash", 99, 7, {10, 0, 0, 1}, -3, true, 443};
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u64 value = 1;

#ifndef __x86_64__
	key.nr = 63; /* read */
#endif
	plan = begin(&sent, &map, key_fields, fields, 0);
	ASSERT_EQ(map.info.key_size, sizeof(key));
	entry(&sent, plan, &key, &value);
	key.nr = 1023 | 1U << 31;
	key.error = 4095;
	memcpy(key.comm, "\xff\xc3(\xe2\x82\x41\x80\xc3", 8); /* no zero, no UTF-8 */
	key.colour = 5;
	entry(&sent, plan, &key, &value);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.a[1] sum+{syscall.name=read,error.type=ENOENT,comm=bash,"
		     "colour=GREEN,address=10.0.0.1,small:=-3,yes:=true,port:=443} asInt=1\n"
		     "host/probe m.a[1] sum+{syscall.name=_OTHER,"
#ifdef __x86_64__
		     "syscall.abi=i386,"
#else
		     "syscall.abi=arm,"
#endif
		     "error.type=4095,comm=?\?(?\?A?\?,colour=5,address=10.0.0.1,small:=-3,"
		     "yes:=true,port:=443} asInt=1\n");
	end(&sent, &map, plan);
}

TEST(overflow_entry)
{
	static const struct btf_field fields[] = {
		{"a", "u64", {"otel:sum|m.a|1|A"}},
		{"b", "u64", {"otel:sum|m.b|1|B", "otel:with|kind|b"}},
		{}};
	__u64 value[2] = {11, 12};
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u32 key = ~0U;

	plan = begin(&sent, &map, nr_key, fields, 0);
	ASSERT_EQ(metrics__entry(sent.metrics, plan, &key, value, RESOURCE_HOST, true), 0);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.a[1] sum+{otel.metric.overflow:=true} asInt=11\n"
		     "host/probe m.b[1] sum+{kind=b,otel.metric.overflow:=true} asInt=12\n");
	/* It is made when the map is: nothing to say until it counts. */
	ASSERT_EQ(metrics__plan(sent.metrics, plan), 0);
	value[0] = value[1] = 0;
	ASSERT_EQ(metrics__entry(sent.metrics, plan, &key, value, RESOURCE_HOST, true), 0);
	EXPECT_EQ(metrics__points(sent.metrics), 0);
	/* Zero in an entry of its own is a value. */
	ASSERT_EQ(metrics__entry(sent.metrics, plan, &key, value, RESOURCE_HOST, false), 0);
	EXPECT_EQ(metrics__points(sent.metrics), 2);
	end(&sent, &map, plan);
}

/* --- histograms ----------------------------------------------------------- */

TEST(explicit_histogram)
{
	static const struct btf_field fields[] = {
		{"h", "u64[3]", {"otel:histogram|m.h|ms|H|0.5,20"}},
		{"one", "u64[1]", {"otel:histogram|m.one|1|One|"}},
		{}};
	struct value {
		__u64 h[3];
		__u64 one[1];
	} values[2] = {{{1, 0, 3}, {0}}, {{10, 0, 30}, {0}}};
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u32 key = 1;

	plan = begin(&sent, &map, nr_key, fields, 2);
	entry(&sent, plan, &key, values);
	values[1].one[0] = 5;
	memset(values[0].h, 0, sizeof(values[0].h));
	memset(values[1].h, 0, sizeof(values[1].h));
	entry(&sent, plan, &key, values);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.h[ms] histogram{nr:=1} count=44 bounds=0.5,20 counts=11,0,33\n"
		     "host/probe m.one[1] histogram{nr:=1} count=5 bounds= counts=5\n");
	end(&sent, &map, plan);
}

struct hist_value {
	struct exphist_s s;
	struct exphist u;
};

static const struct btf_field hist_fields[] = {{"s", "exphist_s", {"otel:exphist|m.s|s|S"}},
					       {"u", "exphist", {"otel:exphist|m.u|By|U"}},
					       {}};

TEST(exponential_histogram)
{
	struct hist_value *values = calloc(3, sizeof(*values));
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u32 key = 1;

	ASSERT_TRUE(values);
	plan = begin(&sent, &map, nr_key, hist_fields, 3);
	ASSERT_EQ(map.info.value_size, sizeof(*values));

	/* Nothing anywhere: no point. */
	entry(&sent, plan, &key, values);
	EXPECT_EQ(metrics__points(sent.metrics), 0);

	/* CPU 0 stays empty: its min of 0 is none. */
	exphist_s__record(&values[1].s, 1000000000); /* 1 s: index -1 */
	exphist_s__record(&values[1].s, 500000000);  /* 0.5 s: index -5 */
	exphist_s__record(&values[2].s, 1000000000);
	exphist_s__record(&values[2].s, 2);
	exphist__record(&values[0].u, 1);
	exphist__record(&values[2].u, 2);
	exphist__record(&values[2].u, 16);
	entry(&sent, plan, &key, values);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.s[s] exponentialHistogram{nr:=1} count=4 zeroCount=1 scale=2 "
		     "sum=2.500000002 min=2e-09 max=1 zeroThreshold=3.72529029846191e-09 "
		     "offset=-5 counts=1,0,0,0,2\n"
		     "host/probe m.u[By] exponentialHistogram{nr:=1} count=3 scale=2 sum=19 min=1 "
		     "max=16 offset=-1 counts=1,0,0,0,1,0,0,0,0,0,0,0,0,0,0,0,1\n");

	/* Without the zero: the min is that of the CPUs that have something. */
	memset(values, 0, 3 * sizeof(*values));
	exphist_s__record(&values[1].s, 4000000000);
	exphist_s__record(&values[2].s, 8000000000);
	exphist__record(&values[1].u, 0);
	ASSERT_EQ(metrics__plan(sent.metrics, plan), 0);
	entry(&sent, plan, &key, values);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.s[s] exponentialHistogram{nr:=1} count=2 scale=2 sum=12 min=4 "
		     "max=8 zeroThreshold=3.72529029846191e-09 offset=7 counts=1,0,0,0,1\n"
		     "host/probe m.u[By] exponentialHistogram{nr:=1} count=1 zeroCount=1 scale=2 "
		     "sum=0 min=0 max=0\n");
	end(&sent, &map, plan);
	free(values);
}

/* The first and the last bucket, alone. */
TEST(bucket_ends)
{
	struct hist_value *value = calloc(1, sizeof(*value));
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u32 key = 1;

	ASSERT_TRUE(value);
	plan = begin(&sent, &map, nr_key, hist_fields, 0);
	exphist_s__record(&value->s, 4);
	exphist__record(&value->u, 1ULL << 47);
	entry(&sent, plan, &key, value);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.s[s] exponentialHistogram{nr:=1} count=1 scale=2 sum=4e-09 "
		     "min=4e-09 max=4e-09 zeroThreshold=3.72529029846191e-09 offset=-112 "
		     "counts=1\n"
		     "host/probe m.u[By] exponentialHistogram{nr:=1} count=1 scale=2 "
		     "sum=140737488355328 min=140737488355328 max=140737488355328 offset=187 "
		     "counts=1\n");
	end(&sent, &map, plan);
	free(value);
}

/* As it looks when it is read in the middle of an update, or when someone else filled it. */
TEST(count_is_that_of_the_buckets)
{
	struct hist_value *value = calloc(1, sizeof(*value));
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	__u32 key = 1;

	ASSERT_TRUE(value);
	plan = begin(&sent, &map, nr_key, hist_fields, 0);
	/* The bucket is counted first: nothing is known of sum, min and max yet. */
	value->s.buckets[111] = 1;
	value->u.buckets[0] = 1ULL << 40;
	value->u.buckets[1] = 300;
	value->u.count = 7;
	value->u.sum = 8;
	value->u.min = 1;
	value->u.max = 1;
	entry(&sent, plan, &key, value);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.s[s] exponentialHistogram{nr:=1} count=1 scale=2 sum=0 "
		     "zeroThreshold=3.72529029846191e-09 offset=-1 counts=1\n"
		     "host/probe m.u[By] exponentialHistogram{nr:=1} count=1099511628076 scale=2 "
		     "sum=8 min=1 max=1 offset=-1 counts=1099511627776,300\n");
	/* A count without buckets is none. */
	memset(value, 0, sizeof(*value));
	value->s.count = value->s.sum = 5;
	ASSERT_EQ(metrics__plan(sent.metrics, plan), 0);
	entry(&sent, plan, &key, value);
	EXPECT_EQ(metrics__points(sent.metrics), 0);
	end(&sent, &map, plan);
	free(value);
}

/* A struct of one's own, with nothing but buckets. */
TEST(histogram_of_buckets_only)
{
	static const struct btf_field mine[] = {{"slots", "u64[4]", {"otel:buckets|-1|3|1|none"}},
						{}};
	static const struct btf_field fields[] = {
		{"pad", "u64", {}}, {"h", "mine", {"otel:exphist|m.h|1|H"}}, {}};
	__u64 value[] = {9, 0, 5, 6, 0};
	__u32 key_size, value_size, key = 1;
	int key_type, value_type;
	struct sent sent;
	struct btf_map map;
	struct plan *plan;

	btf_map__begin(&map);
	btf_map__struct(&map, "mine", mine, NULL);
	key_type = btf_map__struct(&map, "key", nr_key, &key_size);
	value_type = btf_map__struct(&map, "value", fields, &value_size);
	btf_map__end(&map, key_type, key_size, value_type, value_size, NULL);
	plan = plan_for(&map, 0);
	sent__init(&sent);
	ASSERT_EQ(metrics__plan(sent.metrics, plan), 0);
	entry(&sent, plan, &key, value);
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
		     "host/probe m.h[1] exponentialHistogram{nr:=1} count=11 scale=-1 offset=4 "
		     "counts=5,6\n");
	end(&sent, &map, plan);
}

/* --- grouping ------------------------------------------------------------- */

#define CGROUP_A 0x7000000000000001ULL /* no cgroup of this machine */
#define CGROUP_B 0x7000000000000002ULL

static int send_nothing(const struct pb *request, size_t points, void *ctx)
{
	(void)request;
	(void)points;
	(*(int *)ctx)++;
	return -EPIPE;
}

TEST(grouped_by_resource_scope_and_metric)
{
	static const struct btf_field fields[] = {
		{"a", "u64", {"otel:sum|m.a|1|A"}}, {"b", "u64", {"otel:sum|m.b|1|B"}}, {}};
	struct sent sent;
	struct btf_map map;
	struct plan *plan;
	int a, b, calls = 0;

	btf_map__init(&map, nr_key, fields, NULL);
	plan = plan_for(&map, 0);
	sent__init(&sent);
	a = resources__cgroup(sent.resources, CGROUP_A, -1);
	b = resources__cgroup(sent.resources, CGROUP_B, -1);
	ASSERT_GT(a, 0);
	ASSERT_GT(b, a);
	EXPECT_EQ(resources__cgroup(sent.resources, CGROUP_A, -1), a);
	EXPECT_EQ(resources__cgroup(sent.resources, 0, -1), RESOURCE_HOST);
	EXPECT_EQ(resources__count(sent.resources), 3);
	for (int scope = 0; scope < 2; scope++) {
		if (scope)
			ASSERT_EQ(metrics__scope(sent.metrics, "other", START), 0);
		ASSERT_EQ(metrics__plan(sent.metrics, plan), 0);
		for (__u32 key = 1; key <= 2; key++) {
			__u64 value[2] = {10 * key + scope, 100 * key + scope};

			/* In an order as a hash table might have it. */
			ASSERT_EQ(metrics__entry(sent.metrics, plan, &key, value, b, false), 0);
			ASSERT_EQ(metrics__entry(sent.metrics, plan, &key, value, RESOURCE_HOST,
						 false),
				  0);
			ASSERT_EQ(metrics__entry(sent.metrics, plan, &key, value, a, false), 0);
		}
	}
	/* What send returns ends it, and nothing is lost by that. */
	EXPECT_EQ(metrics__emit(sent.metrics, sent.resources, NO_LIMIT, send_nothing, &calls),
		  -EPIPE);
	EXPECT_EQ(calls, 1);
#define ONE(resource, scope, n)                                                    \
	resource "/" scope " m.a[1] sum+{nr:=1} asInt=1" n "\n" resource "/" scope \
		 " m.a[1] sum+{nr:=2} asInt=2" n "\n" resource "/" scope           \
		 " m.b[1] sum+{nr:=1} asInt=10" n "\n" resource "/" scope          \
		 " m.b[1] sum+{nr:=2} asInt=20" n "\n"
#define BOTH(resource) ONE(resource, "probe", "0") ONE(resource, "other", "1")
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT), BOTH("host") BOTH("cgroup 8070450532247928833")
							  BOTH("cgroup 8070450532247928834"));
	EXPECT_EQ(sent.requests, 1);
	end(&sent, &map, plan);
}

static int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* @text's lines in order; the array is to be freed, @text is cut up. */
static char **sorted_lines(char *text, size_t *n)
{
	char **lines = calloc(strlen(text) / 2 + 1, sizeof(*lines)), *save;

	ASSERT_TRUE(lines);
	*n = 0;
	for (char *line = strtok_r(text, "\n", &save); line; line = strtok_r(NULL, "\n", &save))
		lines[(*n)++] = line;
	qsort(lines, *n, sizeof(*lines), compare_lines);
	return lines;
}

#define LONG_100                                                                                   \
	"0123456789012345678901234567890123456789012345678901234567890123456789012345678901234567" \
	"890123456789"
#define LONG_1000 \
	LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100 LONG_100

TEST_TIMEOUT(split_by_limit, 60)
{
	/* With the longest description: it counts, too, where a request is cut. */
	static const struct btf_field fields[] = {
		{"a", "u64", {"otel:sum|m.a|1|" LONG_1000}},
		{"h", "exphist", {"otel:exphist|m.h|1|" LONG_1000}},
		{}};
	static const size_t limits[] = {1, 5000, 8192, 20000, 65536, NO_LIMIT};
	struct value {
		__u64 a;
		struct exphist h;
	} *value = calloc(1, sizeof(*value));
	char *whole = NULL, **want = NULL;
	size_t n_want = 0;
	struct sent sent;
	struct btf_map map;
	struct plan *plan;

	ASSERT_TRUE(value);
	btf_map__init(&map, nr_key, fields, NULL);
	plan = plan_for(&map, 0);
	sent__init(&sent);
	for (size_t l = sizeof(limits) / sizeof(limits[0]); l-- > 0;) {
		char *copy, **lines;
		size_t n;

		for (int scope = 0; scope < 2; scope++) {
			if (scope)
				ASSERT_EQ(metrics__scope(sent.metrics, "other", START), 0);
			ASSERT_EQ(metrics__plan(sent.metrics, plan), 0);
			for (__u32 key = 0; key < 600; key++) {
				int r = resources__cgroup(sent.resources, CGROUP_A + key % 7, -1);

				value->a = key;
				exphist__record(&value->h, key * key * key);
				ASSERT_EQ(metrics__entry(sent.metrics, plan, &key, value, r, false),
					  0);
			}
			memset(value, 0, sizeof(*value));
		}
		copy = strdup(sent__text(&sent, limits[l]));
		ASSERT_TRUE(copy);
		EXPECT_EQ(sent.points, 2400);
		lines = sorted_lines(copy, &n);
		if (!want) {
			want = lines;
			whole = copy;
			n_want = n;
			EXPECT_EQ(sent.requests, 1);
			EXPECT_EQ(n, 2400);
			continue;
		}
		if (limits[l] == 1)
			EXPECT_EQ(sent.requests, 2400); /* a point that is too long goes alone */
		else
			EXPECT_LE(sent.largest, limits[l]);
		EXPECT_GT(sent.requests, 1);
		ASSERT_EQ(n, n_want);
		for (size_t i = 0; i < n; i++)
			ASSERT_STREQ(lines[i], want[i]);
		free(lines);
		free(copy);
	}
	free(want);
	free(whole);
	free(value);
	end(&sent, &map, plan);
}

TEST(same_metric_in_two_maps)
{
	static const struct btf_field one[] = {
		{"a", "u64", {"otel:sum|m.a|1|A"}}, {"b", "u64", {"otel:sum|m.b|1|B"}}, {}};
	static const struct btf_field two[] = {{"x", "u64", {"otel:sum|m.x|1|X"}},
					       {"b", "u32", {"otel:sum|m.b|1|B", "otel:with|k|v"}},
					       {}};
	__u64 values[] = {1, 2};
	struct btf_map maps[2];
	struct plan *plans[2];
	struct sent sent;
	__u32 key = 5;

	btf_map__init(&maps[0], nr_key, one, NULL);
	btf_map__init(&maps[1], nr_key, two, NULL);
	sent__init(&sent);
	for (int i = 0; i < 2; i++) {
		plans[i] = plan_for(&maps[i], 0);
		ASSERT_EQ(metrics__plan(sent.metrics, plans[i]), 0);
		entry(&sent, plans[i], &key, values);
	}
	EXPECT_STREQ(sent__text(&sent, NO_LIMIT), "host/probe m.a[1] sum+{nr:=5} asInt=1\n"
						  "host/probe m.b[1] sum+{nr:=5} asInt=2\n"
						  "host/probe m.b[1] sum+{k=v,nr:=5} asInt=2\n"
						  "host/probe m.x[1] sum+{nr:=5} asInt=1\n");
	for (int i = 0; i < 2; i++) {
		plan__free(plans[i]);
		btf_map__free(&maps[i]);
	}
	sent__free(&sent);
}

TEST(contradicting_metrics)
{
	static const char *const tags[] = {"otel:updown|m.a|1|A", "otel:gauge|m.a|1|A",
					   "otel:sum|m.a|2|A"};
	static const struct btf_field first[] = {{"a", "u64", {"otel:sum|m.a|1|A"}}, {}};
	struct btf_map maps[2];
	struct plan *plans[2];
	struct sent sent;
	__u64 value = 1;
	__u32 key = 5;

	for (size_t i = 0; i < sizeof(tags) / sizeof(tags[0]); i++) {
		struct btf_field second[] = {
			{"z", "u64", {"otel:sum|m.z|1|Z"}}, {"a", "u64", {tags[i]}}, {}};

		btf_map__init(&maps[0], nr_key, first, NULL);
		btf_map__init(&maps[1], nr_key, second, NULL);
		sent__init(&sent);
		for (int m = 0; m < 2; m++)
			plans[m] = plan_for(&maps[m], 0);
		ASSERT_EQ(metrics__plan(sent.metrics, plans[0]), 0);
		entry(&sent, plans[0], &key, &value);
		EXPECT_EQ(metrics__plan(sent.metrics, plans[1]), -EEXIST);
		/* In another scope it is another metric. */
		ASSERT_EQ(metrics__scope(sent.metrics, "other", START), 0);
		EXPECT_EQ(metrics__plan(sent.metrics, plans[1]), 0);
		EXPECT_STREQ(sent__text(&sent, NO_LIMIT),
			     "host/probe m.a[1] sum+{nr:=5} asInt=1\n");
		for (int m = 0; m < 2; m++) {
			plan__free(plans[m]);
			btf_map__free(&maps[m]);
		}
		sent__free(&sent);
	}
}

TEST_MAIN()
