// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The table for a person, made from requests as the encoder makes them, and from hostile ones. */
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <linux/types.h>
/* The compiler of the tests need not know declaration tags. */
#pragma GCC diagnostic ignored "-Wattributes"
#include <otelbpf/exphist.bpf.h>

#include "btf_map.h"
#include "format/table.h"
#include "ktap.h"
#include "otlp/attr.h"
#include "otlp/fields.h"
#include "otlp/metrics.h"

/* --- quantiles ------------------------------------------------------------ */

static bool close_to(double a, double b)
{
	return fabs(a - b) <= 1e-12 * fabs(b);
}

/* One in each bucket: quantile k/n is the upper bound of the k-th. */
TEST(quantile_at_bucket_edges)
{
	static const int scales[] = {-2, 0, 2, 5};
	unsigned long long counts[16];

	for (int i = 0; i < 16; i++)
		counts[i] = 3;
	for (size_t s = 0; s < sizeof(scales) / sizeof(scales[0]); s++)
		for (int offset = -20; offset <= 20; offset += 4)
			for (int k = 0; k <= 16; k++) {
				double want = exp2((offset + k) * exp2(-scales[s]));
				double has = exphist__quantile(counts, 16, offset, scales[s], 0,
							       k / 16.0);

				if (!EXPECT_TRUE(close_to(has, want)))
					printf("scale %d, offset %d, %d/16: %.17g not %.17g\n",
					       scales[s], offset, k, has, want);
			}
}

TEST(quantile_within_a_bucket)
{
	unsigned long long one[] = {1000}, gap[] = {1, 0, 0, 0, 0, 0, 0, 1};

	/* Evenly spread on a logarithmic scale: the middle is the geometric one. */
	EXPECT_TRUE(close_to(exphist__quantile(one, 1, 0, 0, 0, 0.5), sqrt(2)));
	EXPECT_TRUE(close_to(exphist__quantile(one, 1, 0, 0, 0, 0), 1));
	EXPECT_TRUE(close_to(exphist__quantile(one, 1, 0, 0, 0, 1), 2));
	EXPECT_TRUE(close_to(exphist__quantile(one, 1, 4, 2, 0, 0.25), exp2(4.25 / 4)));
	/* Nothing in between, however wide the gap. */
	EXPECT_TRUE(close_to(exphist__quantile(gap, 8, 0, 0, 0, 0.5), 2));
	EXPECT_TRUE(close_to(exphist__quantile(gap, 8, 0, 0, 0, 0.75), exp2(7.5)));
	EXPECT_TRUE(close_to(exphist__quantile(gap, 8, 0, 0, 0, 1), 256));
}

TEST(quantile_of_zeros)
{
	unsigned long long counts[] = {50}, none[] = {0, 0};

	EXPECT_EQ(exphist__quantile(counts, 1, 0, 0, 50, 0), 0);
	EXPECT_EQ(exphist__quantile(counts, 1, 0, 0, 50, 0.25), 0);
	EXPECT_EQ(exphist__quantile(counts, 1, 0, 0, 50, 0.5), 0);
	EXPECT_TRUE(close_to(exphist__quantile(counts, 1, 0, 0, 50, 0.75), sqrt(2)));
	EXPECT_EQ(exphist__quantile(NULL, 0, 0, 0, 50, 1), 0);
	EXPECT_EQ(exphist__quantile(NULL, 0, 0, 0, 0, 0.5), 0);
	EXPECT_EQ(exphist__quantile(none, 2, 0, 0, 0, 0.5), 0);
}

static int compare_u64(const void *a, const void *b)
{
	__u64 x = *(const __u64 *)a, y = *(const __u64 *)b;

	return x < y ? -1 : x > y;
}

static __u64 random64(__u64 *state)
{
	__u64 z = *state += 0x9e3779b97f4a7c15ULL; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

/* A quantile lies in the bucket of the value that has this rank: less than 19 % off. */
TEST(quantile_of_many_values)
{
	static const double quantiles[] = {0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 0.999, 1};
	const size_t n = 100000;
	__u64 *values = calloc(n, sizeof(*values)), seed = 6;
	struct exphist_s *h = calloc(1, sizeof(*h));
	unsigned long long counts[EXPHIST_SLOTS];

	ASSERT_TRUE(values && h);
	for (int distribution = 0; distribution < 3; distribution++) {
		memset(h, 0, sizeof(*h));
		for (size_t i = 0; i < n; i++) {
			double u = (random64(&seed) >> 11) * 0x1p-53;

			values[i] = distribution == 0	? 1000 + 1e6 * u	   /* uniform */
				    : distribution == 1 ? exp2(10 + 20 * u)	   /* log-uniform */
							: 1000 - 1e5 * log(1 - u); /* exponential */
			ASSERT_TRUE(exphist_s__record(h, values[i]));
		}
		qsort(values, n, sizeof(*values), compare_u64);
		for (int i = 0; i < EXPHIST_SLOTS; i++)
			counts[i] = h->buckets[i];
		for (size_t q = 0; q < sizeof(quantiles) / sizeof(quantiles[0]); q++) {
			double has = exphist__quantile(counts, EXPHIST_SLOTS, -112, 2,
						       h->zero_count, quantiles[q]);
			__u64 rank = ceil(quantiles[q] * n);
			double want = values[rank - 1] * 1e-9;

			EXPECT_LE(has, want * exp2(0.25) * (1 + 1e-12));
			EXPECT_GE(has, want * exp2(-0.25) * (1 - 1e-12));
		}
	}
	free(values);
	free(h);
}

/* What no encoder of ours writes: any number, but an answer. */
TEST(quantile_of_nonsense)
{
	unsigned long long counts[] = {~0ULL, ~0ULL, 1};
	static const int extremes[] = {-2147483647 - 1, -1000, 0, 1000, 2147483647};

	for (int s = 0; s < 5; s++)
		for (int o = 0; o < 5; o++)
			for (int q = -1; q <= 3; q++)
				exphist__quantile(counts, 3, extremes[o], extremes[s], ~0ULL,
						  q / 2.0);
}

/* --- tables --------------------------------------------------------------- */

static int add_request(const struct pb *request, size_t points, void *ctx)
{
	(void)points;
	return table_view__add(ctx, request->data, request->len);
}

/* The view as text; to be freed. */
static char *print(const struct table_view *view, int rows)
{
	char *text = NULL;
	size_t len;
	FILE *out = open_memstream(&text, &len);

	ASSERT_TRUE(out);
	EXPECT_EQ(table_view__print(view, out, rows), 0);
	fclose(out);
	return text;
}

/* A probe like that for system calls: durations by name, errors by name and error. */
struct probe {
	struct btf_map times, errors, other;
	struct plan *time_plan, *error_plan, *other_plan;
	struct metrics *metrics;
	struct resources *resources;
};

static void probe__init(struct probe *probe)
{
	static const struct btf_field time_key[] = {{"cgroup", "u64", {"otel:resource|cgroup"}},
						    {"name", "char[8]", {"otel:attr|name|string"}},
						    {}};
	static const struct btf_field error_key[] = {{"name", "char[8]", {"otel:attr|name|string"}},
						     {"error", "u32", {"otel:attr|error|errno"}},
						     {}};
	static const struct btf_field other_key[] = {
		{"reason", "char[8]", {"otel:attr|reason|string"}}, {}};
	static const struct btf_field times[] = {{"h", "exphist_s", {"otel:exphist|p.time|s|T"}},
						 {}};
	static const struct btf_field errors[] = {{"n", "u64", {"otel:sum|p.errors|1|E"}}, {}};
	static const struct btf_field other[] = {{"n", "u64", {"otel:sum|p.lost|1|L"}}, {}};

	btf_map__init(&probe->times, time_key, times, NULL);
	btf_map__init(&probe->errors, error_key, errors, NULL);
	btf_map__init(&probe->other, other_key, other, NULL);
	probe->time_plan = btf_map__compile(&probe->times);
	probe->error_plan = btf_map__compile(&probe->errors);
	probe->other_plan = btf_map__compile(&probe->other);
	probe->metrics = metrics__new();
	probe->resources = resources__new(NULL, NULL);
	ASSERT_TRUE(probe->time_plan && probe->error_plan && probe->other_plan);
	ASSERT_TRUE(probe->metrics && probe->resources);
	metrics__begin(probe->metrics, 2);
	ASSERT_EQ(metrics__scope(probe->metrics, "calls", 1), 0);
}

static void probe__free(struct probe *probe)
{
	plan__free(probe->time_plan);
	plan__free(probe->error_plan);
	plan__free(probe->other_plan);
	btf_map__free(&probe->times);
	btf_map__free(&probe->errors);
	btf_map__free(&probe->other);
	metrics__free(probe->metrics);
	resources__free(probe->resources);
}

/* @n durations of @ns each. */
static void probe__times(struct probe *probe, int resource, const char *name, int n, __u64 ns)
{
	struct exphist_s *h = calloc(1, sizeof(*h));
	char key[16] = {0};

	ASSERT_TRUE(h);
	if (name)
		memcpy(key + 8, name, strlen(name));
	for (int i = 0; i < n; i++)
		exphist_s__record(h, ns);
	ASSERT_EQ(metrics__entry(probe->metrics, probe->time_plan, key, h, resource, !name), 0);
	free(h);
}

static void probe__errors(struct probe *probe, const char *name, __u32 error, __u64 n)
{
	struct {
		char name[8];
		__u32 error;
	} key = {"", error};

	memcpy(key.name, name, strlen(name));
	ASSERT_EQ(metrics__entry(probe->metrics, probe->error_plan, &key, &n, RESOURCE_HOST, false),
		  0);
}

static void probe__fill(struct probe *probe)
{
	int other = resources__cgroup(probe->resources, 0x7000000000000001ULL, -1);
	char reason[8] = "full";
	__u64 lost = 3;

	ASSERT_EQ(metrics__plan(probe->metrics, probe->time_plan), 0);
	probe__times(probe, RESOURCE_HOST, "read", 10, 1000000);
	probe__times(probe, other, "read", 10, 1000000);
	probe__times(probe, RESOURCE_HOST, "poll", 2, 2000000000);
	probe__times(probe, RESOURCE_HOST, "close", 1, 250);
	probe__times(probe, RESOURCE_HOST, NULL, 7, 100);
	ASSERT_EQ(metrics__plan(probe->metrics, probe->error_plan), 0);
	probe__errors(probe, "read", 11, 4);
	probe__errors(probe, "read", 4, 1);
	probe__errors(probe, "close", 9, 1);
	probe__errors(probe, "gone", 9, 6);
	ASSERT_EQ(metrics__plan(probe->metrics, probe->other_plan), 0);
	ASSERT_EQ(metrics__entry(probe->metrics, probe->other_plan, reason, &lost, RESOURCE_HOST,
				 false),
		  0);
}

TEST(rows_and_columns)
{
	/* One request, and many. */
	static const size_t limits[] = {1 << 20, 1};

	for (int l = 0; l < 2; l++) {
		struct table_view *view = table_view__new();
		struct probe probe;
		char *text;

		ASSERT_TRUE(view);
		probe__init(&probe);
		probe__fill(&probe);
		ASSERT_EQ(metrics__emit(probe.metrics, probe.resources, limits[l], add_request,
					view),
			  0);
		text = print(view, 0);
		EXPECT_STREQ(text,
			     "calls\n"
			     "name        count     errors        p50        p99        max      "
			     "total\n"
			     "poll            2          0      2.0 s      2.0 s      2.0 s      "
			     "4.0 s\n"
			     "read           20          5     1.0 ms     1.0 ms     1.0 ms    "
			     "20.0 ms\n"
			     "close           1          1     250 ns     250 ns     250 ns     "
			     "250 ns\n"
			     "\n"
			     "p.time{otel.metric.overflow=true} 7\n"
			     "p.errors{error=EBADF, name=gone} 6\n"
			     "p.lost{reason=full} 3\n");
		free(text);
		text = print(view, 1);
		EXPECT_TRUE(strstr(text, "poll "));
		EXPECT_FALSE(strstr(text, "read "));
		EXPECT_TRUE(strstr(text, "… 2 more\n"));
		free(text);
		table_view__free(view);
		probe__free(&probe);
	}
}

/* A row's quantiles stay between its min and max, and are those of all its Resources. */
TEST(quantiles_of_a_row)
{
	struct table_view *view = table_view__new();
	struct probe probe;
	char *text;
	int other;

	ASSERT_TRUE(view);
	probe__init(&probe);
	other = resources__cgroup(probe.resources, 0x7000000000000001ULL, -1);
	ASSERT_EQ(metrics__plan(probe.metrics, probe.time_plan), 0);
	probe__times(&probe, RESOURCE_HOST, "a", 98, 1000000000);
	probe__times(&probe, other, "a", 2, 100000000000);
	probe__times(&probe, other, "zeros", 5, 0);
	ASSERT_EQ(metrics__emit(probe.metrics, probe.resources, 1 << 20, add_request, view), 0);
	text = print(view, 0);
	/* p50: 50/98 of the way through (2^-0.25, 1]; p99: half way through (2^6.5, 2^6.75]. */
	EXPECT_TRUE(
		strstr(text, "a             100      1.0 s     98.7 s      100 s      298 s\n"));
	EXPECT_TRUE(
		strstr(text, "zeros           5     0.0 ns     0.0 ns     0.0 ns     0.0 ns\n"));
	free(text);
	table_view__free(view);
	probe__free(&probe);
}

/* --- what the encoder does not make, but another may ----------------------- */

static void put_point(struct pb *pb, const char *const *attrs, __u64 value)
{
	size_t point = pb__open(pb, SUM_DATA_POINTS);

	for (; attrs[0]; attrs += 2)
		attr__string(pb, NUMBER_POINT_ATTRIBUTES, attrs[0], attrs[1], strlen(attrs[1]));
	pb__fixed64(pb, NUMBER_POINT_AS_INT, value);
	pb__close(pb, point);
}

static char *print_sum(const char *name, const char *const (*points)[7], int n)
{
	struct table_view *view = table_view__new();
	size_t resource, scope, metric, sum;
	struct pb pb = {0};
	char *text;

	ASSERT_TRUE(view);
	resource = pb__open(&pb, REQUEST_RESOURCES);
	scope = pb__open(&pb, RESOURCE_GROUP_SCOPES);
	metric = pb__open(&pb, SCOPE_GROUP_ITEMS);
	pb__string(&pb, METRIC_NAME, name);
	sum = pb__open(&pb, METRIC_SUM);
	for (int i = 0; i < n; i++)
		put_point(&pb, points[i], i + 1);
	pb__close(&pb, sum);
	pb__close(&pb, metric);
	pb__close(&pb, scope);
	pb__close(&pb, resource);
	EXPECT_EQ(table_view__add(view, pb.data, pb.len), 0);
	text = print(view, 0);
	table_view__free(view);
	pb__free(&pb);
	return text;
}

/* Rows that differ in an attribute which only some have look different. */
TEST(rows_with_more_attributes)
{
	static const char *const points[][7] = {
		{"name", "read", NULL},
		{"name", "read", "abi", "i386", NULL},
		{"name", "poll", NULL},
	};
	char *text = print_sum("m", points, 3);

	EXPECT_TRUE(strstr(text, "\nabi   name        value\n"));
	EXPECT_TRUE(strstr(text, "i386  read            2\n"));
	EXPECT_TRUE(strstr(text, "      read            1\n"));
	free(text);
}

/* No name moves the cursor: not by ASCII, not by C1 controls in UTF-8. */
TEST(hostile_names)
{
	static const char *const points[][7] = {
		{"name", "\x1b[2Jx", NULL},
		{"name",
		 "\xc2\x9b"
		 "2Jy\x7f\r\n",
		 NULL},
		{"name", "caf\xc3\xa9 \xc2\xa0", NULL},
		{"other\x1b", "z", NULL},
	};
	char *text = print_sum("m\x1b.\xc2\x9bn", points, 4);

	EXPECT_TRUE(strstr(text, "?[2Jx"));
	EXPECT_TRUE(strstr(text, "?2Jy???"));
	EXPECT_TRUE(strstr(text, "caf\xc3\xa9 \xc2\xa0"));
	EXPECT_TRUE(strstr(text, "other?=z"));
	EXPECT_FALSE(strchr(text, '\x1b'));
	EXPECT_FALSE(strstr(text, "\xc2\x9b"));
	EXPECT_FALSE(strchr(text, '\r'));
	free(text);
}

/* Buckets with explicit bounds give no quantiles here: none is better than a wrong one. */
TEST(explicit_histograms)
{
	static const struct btf_field key[] = {{"nr", "u32", {"otel:attr|nr|number"}}, {}};
	static const struct btf_field value[] = {{"h", "u64[3]", {"otel:histogram|m.h|s|H|1,2"}},
						 {}};
	struct resources *resources = resources__new(NULL, NULL);
	struct table_view *view = table_view__new();
	struct metrics *metrics = metrics__new();
	__u64 counts[] = {1, 2, 3};
	struct btf_map map;
	struct plan *plan;
	__u32 nr = 5;
	char *text;

	ASSERT_TRUE(resources && view && metrics);
	btf_map__init(&map, key, value, NULL);
	plan = btf_map__compile(&map);
	ASSERT_TRUE(plan);
	metrics__begin(metrics, 2);
	ASSERT_EQ(metrics__scope(metrics, "probe", 1), 0);
	ASSERT_EQ(metrics__plan(metrics, plan), 0);
	ASSERT_EQ(metrics__entry(metrics, plan, &nr, counts, RESOURCE_HOST, false), 0);
	ASSERT_EQ(metrics__emit(metrics, resources, 1 << 20, add_request, view), 0);
	text = print(view, 0);
	EXPECT_TRUE(strstr(text, "5            6          -          -          -          -\n"));
	free(text);
	plan__free(plan);
	btf_map__free(&map);
	table_view__free(view);
	metrics__free(metrics);
	resources__free(resources);
}

TEST(empty)
{
	struct table_view *view = table_view__new();
	char *text;

	ASSERT_TRUE(view);
	EXPECT_EQ(table_view__add(view, "", 0), 0);
	EXPECT_EQ(table_view__add(view, "\xff", 1), -EBADMSG);
	text = print(view, 0);
	EXPECT_STREQ(text, "");
	free(text);
	table_view__free(view);
}

/* --- hostile bytes -------------------------------------------------------- */

static int keep_request(const struct pb *request, size_t points, void *ctx)
{
	(void)points;
	pb__raw(ctx, request->data, request->len);
	return 0;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

TEST_TIMEOUT(mutated_requests, 60)
{
	unsigned long rounds = 0, parsed = 0;
	struct pb good = {0};
	struct probe probe;
	double end = now() + 4;
	__u64 seed = 7;
	FILE *out = fopen("/dev/null", "w");
	__u8 *bytes;

	ASSERT_TRUE(out);
	probe__init(&probe);
	probe__fill(&probe);
	ASSERT_EQ(metrics__emit(probe.metrics, probe.resources, 1 << 20, keep_request, &good), 0);
	for (; now() < end; rounds++) {
		struct table_view *view = table_view__new();
		size_t len = random64(&seed) % 8 ? good.len : random64(&seed) % good.len;

		bytes = malloc(len + 1); /* of this length, for ASan to see */
		ASSERT_TRUE(view && bytes);
		memcpy(bytes, good.data, len);
		for (int n = 1 + random64(&seed) % 6; n && len; n--) {
			size_t at = random64(&seed) % len;

			switch (random64(&seed) % 4) {
			case 0:
				bytes[at] = random64(&seed);
				break;
			case 1:
				bytes[at] ^= 1 << random64(&seed) % 8;
				break;
			case 2: /* a long varint */
				for (int i = 0; i < 4 && at + i < len; i++)
					bytes[at + i] = i < 3 ? 0xff : 0x7f;
				break;
			default:
				bytes[at] = bytes[random64(&seed) % len];
			}
		}
		/* Twice: what is added up may overflow only then. */
		if (!table_view__add(view, bytes, len))
			parsed++;
		table_view__add(view, bytes, len);
		table_view__print(view, out, random64(&seed) % 3);
		table_view__free(view);
		free(bytes);
	}
	printf("%lu rounds, %lu parsed\n", rounds, parsed);
	EXPECT_GT(rounds, 1000);
	EXPECT_GT(parsed, rounds / 100);
	EXPECT_LT(parsed, rounds);
	fclose(out);
	pb__free(&good);
	probe__free(&probe);
}

TEST_MAIN()
