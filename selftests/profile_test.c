// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Profiles: is the dictionary as OTLP wants it, is every format read by its own tools? */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "collector.h"
#include "ktap.h"
#include "otlp/attr.h"
#include "otlp/fields.h"
#include "otlp/json.h"
#include "profile/profile.h"

#define START 1700000000000000000ULL
#define SECOND 1000000000ULL

#ifdef __SANITIZE_ADDRESS__
#define SLOW 5
#else
#define SLOW 1
#endif

/* --- building ----------------------------------------------------------------- */

static struct pb resource_of(const char *name, int pid)
{
	struct pb pb = {0};

	attr__string(&pb, RESOURCE_ATTRIBUTES, "process.executable.name", name, strlen(name));
	attr__int(&pb, RESOURCE_ATTRIBUTES, "process.pid", pid);
	attr__string(&pb, RESOURCE_ATTRIBUTES, "host.name", "here", 4);
	return pb;
}

static struct profile_desc on_cpu(const struct pb *resource)
{
	return (struct profile_desc){
		.resource = resource,
		.scope_name = "cpu",
		.scope_version = "1",
		.sample_type = "samples",
		.sample_unit = "count",
		.period_type = "cpu",
		.period_unit = "nanoseconds",
		.period = 10000000,
		.time_unix_nano = START,
		.duration_nano = 10 * SECOND,
		.profile_id = "0123456789abcde",
	};
}

static struct profile_desc off_cpu(const struct pb *resource)
{
	struct profile_desc desc = on_cpu(resource);

	desc.scope_name = "offcpu";
	desc.sample_type = "off_cpu";
	desc.sample_unit = "nanoseconds";
	desc.period_type = desc.period_unit = NULL;
	desc.period = 0;
	desc.profile_id[0] = 'x';
	return desc;
}

static int mapping(struct profile_set *set, const char *path, __u8 id)
{
	const __u8 build_id[20] = {id, 0xab}, htlhash[16] = {id, 0xcd};
	struct profile_mapping m = {.path = path,
				    .build_id = build_id,
				    .build_id_len = 20,
				    .htlhash = htlhash,
				    .go_build_id = "go/build/id/x"};

	return profile_set__mapping(set, &m);
}

static int location(struct profile_set *set, int map, __u64 address, const char *type,
		    const char *name)
{
	struct profile_line line = {.name = name, .system_name = name};

	return profile_set__location(set, map, address, type, &line, name ? 1 : 0);
}

static const __u8 trace_id[16] = {1, 2, 3}, span_id[8] = {4, 5, 6};

/* Two processes, on and off the CPU; inlined, unsymbolized and unknown frames; a link. */
static struct profile_set *example(void)
{
	struct profile_set *set = profile_set__new();
	struct pb shell = resource_of("sh", 1), server = resource_of("server", 2);
	struct profile_desc descs[] = {on_cpu(&shell), on_cpu(&server), off_cpu(&server)};
	struct profile_line inlined[] = {
		{"hot()", "_Z3hotv", "/src/a.cc", 10, 3, 9},
		{"work(int)", "_Z4worki", "/src/a.cc", 42, 0, 40},
	};
	int bin, kernel, lib, main_, work, read_, raw, deep, shallow, unknown, comm, worker, tid,
		link;
	int profiles[3];

	ASSERT_TRUE(set);
	for (int i = 0; i < 3; i++)
		profiles[i] = profile_set__profile(set, &descs[i]);
	bin = mapping(set, "/usr/bin/server", 1);
	lib = mapping(set, "/usr/lib/libc.so.6", 2);
	kernel = mapping(set, "[kernel]", 3);
	main_ = location(set, bin, 0x1000, "native", "main");
	work = profile_set__location(set, bin, 0x1234, "native", inlined, 2);
	raw = profile_set__location(set, lib, 0x9999, "native", NULL, 0);
	read_ = location(set, kernel, 0xffffffff81000000, "kernel", "__x64_sys_read");
	deep = profile_set__stack(set, (int[]){read_, raw, work, main_}, 4);
	shallow = profile_set__stack(set, (int[]){work, main_}, 2);
	unknown = profile_set__stack(set, (int[]){0, main_}, 2);
	comm = profile_set__attr_string(set, "thread.name", "ser;ver");
	worker = profile_set__attr_string(set, "thread.name", "worker\n1");
	tid = profile_set__attr_int(set, "thread.id", 77);
	link = profile_set__link(set, trace_id, span_id);
	ASSERT_GT(link, 0);
	ASSERT_EQ(profile_set__sample(set, profiles[1], shallow, &comm, 1, 0, 30), 0);
	ASSERT_EQ(profile_set__sample(set, profiles[1], deep, (int[]){comm, tid}, 2, link, 10), 0);
	ASSERT_EQ(profile_set__sample(set, profiles[1], deep, (int[]){tid, comm}, 2, link, 5), 0);
	ASSERT_EQ(profile_set__sample(set, profiles[0], unknown, NULL, 0, 0, 2), 0);
	ASSERT_EQ(profile_set__sample(set, profiles[2], deep, &worker, 1, 0, 3 * SECOND), 0);
	ASSERT_EQ(profile_set__sample(set, profiles[0], 0, NULL, 0, 0, 1), 0);
	/* Nobody refers to these. */
	ASSERT_GT(location(set, mapping(set, "/orphan", 9), 1, "jit", "orphan()"), 0);
	ASSERT_GT(profile_set__attr_string(set, "orphan", "x"), 0);
	pb__free(&shell);
	pb__free(&server);
	return set;
}

/* --- the dictionary's rules, checked on the JSON form of the protobuf ----------- */

static struct json_object *get(struct json_object *obj, const char *key)
{
	struct json_object *value = NULL;

	return json_object_object_get_ex(obj, key, &value) ? value : NULL;
}

static int number(struct json_object *obj, const char *key)
{
	return json_object_get_int(get(obj, key));
}

static size_t length(struct json_object *array)
{
	return array ? json_object_array_length(array) : 0;
}

static struct json_object *at(struct json_object *array, size_t i)
{
	return json_object_array_get_idx(array, i);
}

enum { MAPPINGS, LOCATIONS, FUNCTIONS, LINKS, STRINGS, ATTRIBUTES, STACKS, DICTIONARY };
static const char *const table_names[DICTIONARY] = {"mappingTable",  "locationTable",
						    "functionTable", "linkTable",
						    "stringTable",   "attributeTable",
						    "stackTable"};

struct rules {
	struct json_object *tables[DICTIONARY];
	bool *used[DICTIONARY];
	int profiles, samples;
	__u64 total; /* modulo 2^64 */
};

static void use(struct rules *r, int table, int index)
{
	ASSERT_GE(index, 0);
	ASSERT_LT(index, length(r->tables[table]));
	r->used[table][index] = true;
}

static void use_attributes(struct rules *r, struct json_object *obj)
{
	struct json_object *list = get(obj, "attributeIndices");
	int keys[PROFILE_ATTRS_MAX];

	for (size_t i = 0; i < length(list); i++) {
		int index = json_object_get_int(at(list, i));

		ASSERT_GT(index, 0);
		use(r, ATTRIBUTES, index);
		keys[i] = number(at(r->tables[ATTRIBUTES], index), "keyStrindex");
		for (size_t k = 0; k < i; k++)
			ASSERT_NE(keys[k], keys[i]);
	}
}

static void use_value_type(struct rules *r, struct json_object *type)
{
	use(r, STRINGS, number(type, "typeStrindex"));
	use(r, STRINGS, number(type, "unitStrindex"));
}

static int by_text(const void *a, const void *b)
{
	return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static void no_duplicates(struct json_object *array)
{
	size_t n = length(array);
	const char **texts = calloc(n + 1, sizeof(*texts));

	ASSERT_TRUE(texts);
	for (size_t i = 0; i < n; i++)
		texts[i] = json_object_to_json_string(at(array, i));
	qsort(texts, n, sizeof(*texts), by_text);
	for (size_t i = 1; i < n; i++)
		ASSERT_STRNE(texts[i - 1], texts[i]);
	free(texts);
}

static void check_profile(struct rules *r, struct json_object *profile)
{
	struct json_object *samples = get(profile, "samples");
	const char **keys = calloc(length(samples), sizeof(*keys));

	r->profiles++;
	use_value_type(r, get(profile, "sampleType"));
	use_value_type(r, get(profile, "periodType"));
	ASSERT_GT(length(samples), 0);
	for (size_t i = 0; i < length(samples); i++) {
		struct json_object *sample = at(samples, i), *values = get(sample, "values");

		ASSERT_EQ(length(values), 1);
		ASSERT_EQ(length(get(sample, "timestampsUnixNano")), 0);
		r->total += json_object_get_int64(at(values, 0));
		r->samples++;
		use(r, STACKS, number(sample, "stackIndex"));
		use(r, LINKS, number(sample, "linkIndex"));
		use_attributes(r, sample);
	}
	/* What is left of a sample without its value is its identity. */
	for (size_t i = 0; i < length(samples); i++) {
		json_object_object_del(at(samples, i), "values");
		keys[i] = json_object_to_json_string(at(samples, i));
	}
	qsort(keys, length(samples), sizeof(*keys), by_text);
	for (size_t i = 1; i < length(samples); i++)
		ASSERT_STRNE(keys[i - 1], keys[i]);
	free(keys);
}

static void check_tables(struct rules *r)
{
	/* In an order in which what refers comes before what it refers to. */
	for (size_t i = 0; i < length(r->tables[STACKS]); i++) {
		struct json_object *list = get(at(r->tables[STACKS], i), "locationIndices");

		for (size_t k = 0; k < length(list); k++)
			use(r, LOCATIONS, json_object_get_int(at(list, k)));
	}
	for (size_t i = 0; i < length(r->tables[LOCATIONS]); i++) {
		struct json_object *one = at(r->tables[LOCATIONS], i), *lines = get(one, "lines");

		use(r, MAPPINGS, number(one, "mappingIndex"));
		use_attributes(r, one);
		for (size_t k = 0; k < length(lines); k++) {
			ASSERT_GT(number(at(lines, k), "functionIndex"), 0);
			use(r, FUNCTIONS, number(at(lines, k), "functionIndex"));
		}
	}
	for (size_t i = 0; i < length(r->tables[MAPPINGS]); i++) {
		use(r, STRINGS, number(at(r->tables[MAPPINGS], i), "filenameStrindex"));
		use_attributes(r, at(r->tables[MAPPINGS], i));
	}
	for (size_t i = 0; i < length(r->tables[FUNCTIONS]); i++) {
		struct json_object *one = at(r->tables[FUNCTIONS], i);

		use(r, STRINGS, number(one, "nameStrindex"));
		use(r, STRINGS, number(one, "systemNameStrindex"));
		use(r, STRINGS, number(one, "filenameStrindex"));
	}
	for (size_t i = 0; i < length(r->tables[ATTRIBUTES]); i++)
		use(r, STRINGS, number(at(r->tables[ATTRIBUTES], i), "keyStrindex"));
}

/* All rules; the JSON object is left without its samples' values. */
static struct rules check_rules(struct json_object *root)
{
	struct json_object *resources = get(root, "resourceProfiles"),
			   *dict = get(root, "dictionary");
	struct rules r = {0};

	for (int t = 0; t < DICTIONARY; t++) {
		r.tables[t] = get(dict, table_names[t]);
		ASSERT_GE(length(r.tables[t]), 1);
		EXPECT_STREQ(json_object_to_json_string_ext(at(r.tables[t], 0), 0),
			     t == STRINGS ? "\"\"" : "{}");
		r.used[t] = calloc(length(r.tables[t]), sizeof(bool));
		ASSERT_TRUE(r.used[t]);
		r.used[t][0] = true;
		no_duplicates(r.tables[t]);
	}
	for (size_t i = 0; i < length(resources); i++) {
		struct json_object *scopes = get(at(resources, i), "scopeProfiles");

		ASSERT_GT(length(scopes), 0);
		for (size_t k = 0; k < length(scopes); k++) {
			struct json_object *profiles = get(at(scopes, k), "profiles");

			ASSERT_GT(length(profiles), 0);
			for (size_t p = 0; p < length(profiles); p++)
				check_profile(&r, at(profiles, p));
		}
	}
	check_tables(&r);
	for (int t = 0; t < DICTIONARY; t++) {
		for (size_t i = 0; i < length(r.tables[t]); i++)
			if (!r.used[t][i]) {
				printf("%s[%zu]: nobody refers to it\n", table_names[t], i);
				EXPECT_TRUE(r.used[t][i]);
			}
		free(r.used[t]);
	}
	return r;
}

static struct json_object *to_json(struct profile_set *set, int profiles)
{
	struct pb pb = {0};
	struct json_object *root;

	ASSERT_EQ(profile_set__encode_otlp(set, &pb), profiles);
	root = otlp__to_json(SIGNAL_PROFILES, pb.data, pb.len);
	ASSERT_TRUE(root);
	pb__free(&pb);
	return root;
}

static const char *string(struct json_object *root, int index)
{
	return json_object_get_string(at(get(get(root, "dictionary"), "stringTable"), index));
}

TEST(otlp_rules)
{
	struct profile_set *set = example();
	struct json_object *root = to_json(set, 3);
	struct rules r = check_rules(root);

	EXPECT_EQ(r.profiles, 3);
	EXPECT_EQ(r.samples, 5);
	EXPECT_EQ(r.total, 30 + 15 + 2 + 1 + 3 * SECOND);
	EXPECT_EQ(length(get(root, "resourceProfiles")), 2);
	EXPECT_EQ(length(r.tables[LINKS]), 2);
	EXPECT_STREQ(json_object_get_string(get(at(r.tables[LINKS], 1), "traceId")),
		     "01020300000000000000000000000000");
	json_object_put(root);
	profile_set__free(set);
}

/* Names of the frames of a stack, as they stand in the dictionary. */
TEST(otlp_content)
{
	struct profile_set *set = example();
	struct json_object *root = to_json(set, 3), *dict = get(root, "dictionary");
	struct json_object *server = at(get(root, "resourceProfiles"), 1);
	struct json_object *scope = at(get(server, "scopeProfiles"), 0);
	struct json_object *profile = at(get(scope, "profiles"), 0);
	struct json_object *sample = at(get(profile, "samples"), 1);
	struct json_object *stack =
		get(at(get(dict, "stackTable"), number(sample, "stackIndex")), "locationIndices");
	static const char *const want[] = {"__x64_sys_read", NULL, "hot()", "main"};

	EXPECT_STREQ(json_object_get_string(get(get(scope, "scope"), "name")), "cpu");
	EXPECT_STREQ(otlp_json__attr(get(server, "resource"), "process.pid"), "2");
	EXPECT_STREQ(json_object_get_string(get(profile, "profileId")),
		     "30313233343536373839616263646500");
	EXPECT_STREQ(json_object_get_string(get(profile, "timeUnixNano")), "1700000000000000000");
	EXPECT_STREQ(json_object_get_string(get(profile, "period")), "10000000");
	EXPECT_STREQ(string(root, number(get(profile, "sampleType"), "typeStrindex")), "samples");
	EXPECT_STREQ(string(root, number(get(profile, "periodType"), "unitStrindex")),
		     "nanoseconds");
	ASSERT_EQ(length(stack), 4);
	for (int i = 0; i < 4; i++) {
		struct json_object *loc =
			at(get(dict, "locationTable"), json_object_get_int(at(stack, i)));
		struct json_object *lines = get(loc, "lines"), *function, *map, *attrs;

		EXPECT_EQ(length(lines), want[i] ? i == 2 ? 2 : 1 : 0);
		if (want[i]) {
			function = at(get(dict, "functionTable"),
				      number(at(lines, 0), "functionIndex"));
			EXPECT_STREQ(string(root, number(function, "nameStrindex")), want[i]);
		}
		map = at(get(dict, "mappingTable"), number(loc, "mappingIndex"));
		attrs = get(map, "attributeIndices");
		ASSERT_EQ(length(attrs), 3);
		for (int k = 0; k < 3; k++) {
			struct json_object *attr =
				at(get(dict, "attributeTable"), json_object_get_int(at(attrs, k)));

			EXPECT_STREQ(string(root, number(attr, "keyStrindex")),
				     k == 2 ? "process.executable.build_id.go"
				     : k    ? "process.executable.build_id.htlhash"
					    : "process.executable.build_id.gnu");
			EXPECT_EQ(strlen(json_object_get_string(
					  get(get(attr, "value"), "stringValue"))),
				  k == 2 ? 13
				  : k	 ? 32
					 : 40);
		}
	}
	EXPECT_EQ(length(get(sample, "attributeIndices")), 2);
	EXPECT_EQ(number(sample, "linkIndex"), 1);
	EXPECT_STREQ(json_object_get_string(at(get(sample, "values"), 0)), "15");
	json_object_put(root);
	profile_set__free(set);
}

TEST(equal_is_one)
{
	struct profile_set *set = profile_set__new();
	struct profile_desc desc = on_cpu(NULL);
	struct profile_mapping m = {0};
	__u8 zero[16] = {0};
	int map, loc, attr, p;

	ASSERT_TRUE(set);
	for (int round = 0; round < 2; round++) {
		EXPECT_EQ(profile_set__mapping(set, &m), 0);
		EXPECT_EQ(profile_set__location(set, 0, 0, NULL, NULL, 0), 0);
		EXPECT_EQ(profile_set__location(set, 0, 0, "", &(struct profile_line){0}, 1), 0);
		EXPECT_EQ(profile_set__stack(set, NULL, 0), 0);
		EXPECT_EQ(profile_set__link(set, zero, span_id), 0);
		map = mapping(set, "/a", 1);
		EXPECT_EQ(map, 1);
		EXPECT_EQ(mapping(set, "/a", 1), map);
		EXPECT_EQ(mapping(set, "/a", 2), map + 1);
		loc = location(set, map, 5, "native", "f");
		EXPECT_EQ(location(set, map, 5, "native", "f"), loc);
		EXPECT_NE(location(set, map, 5, "kernel", "f"), loc);
		EXPECT_NE(location(set, map, 6, "native", "f"), loc);
		EXPECT_EQ(profile_set__stack(set, &loc, 1), profile_set__stack(set, &loc, 1));
		attr = profile_set__attr_string(set, "k", "1");
		EXPECT_EQ(profile_set__attr_string(set, "k", "1"), attr);
		EXPECT_NE(profile_set__attr_int(set, "k", 1), attr);
		EXPECT_EQ(profile_set__link(set, trace_id, span_id), 1);
		p = profile_set__profile(set, &desc);
		EXPECT_EQ(p, 0);
		EXPECT_EQ(profile_set__profile(set, &desc), p);
		desc.profile_id[0] ^= 1;
		EXPECT_EQ(profile_set__profile(set, &desc), p + 1);
		desc.profile_id[0] ^= 1;
		profile_set__clear(set);
	}
	profile_set__free(set);
}

TEST(bad_arguments)
{
	struct profile_set *set = profile_set__new();
	struct profile_desc desc = on_cpu(NULL);
	struct profile_mapping m = {.path = "x", .memory_start = 5, .memory_limit = 5};
	int a, b, many[PROFILE_ATTRS_MAX + 1] = {0};
	struct pb pb = {0};

	EXPECT_EQ(profile_set__mapping(set, &m), -EINVAL);
	EXPECT_EQ(profile_set__location(set, 1, 0, NULL, NULL, 0), -EINVAL);
	EXPECT_EQ(profile_set__location(set, -1, 0, NULL, NULL, 0), -EINVAL);
	EXPECT_EQ(profile_set__stack(set, (int[]){0, 1}, 2), -EINVAL);
	EXPECT_EQ(profile_set__attr_string(set, "", "x"), -EINVAL);
	EXPECT_EQ(profile_set__attr_int(set, NULL, 1), -EINVAL);
	EXPECT_EQ(profile_set__sample(set, 0, 0, NULL, 0, 0, 1), -EINVAL);
	EXPECT_EQ(profile_set__profile(set, &(struct profile_desc){0}), -EINVAL);
	EXPECT_EQ(profile_set__profile(set, &desc), 0);
	EXPECT_EQ(profile_set__sample(set, -1, 0, NULL, 0, 0, 1), -EINVAL);
	EXPECT_EQ(profile_set__sample(set, INT32_MAX, 0, NULL, 0, 0, 1), -EINVAL);
	EXPECT_EQ(profile_set__sample(set, 0, 1, NULL, 0, 0, 1), -EINVAL);
	EXPECT_EQ(profile_set__sample(set, 0, 0, NULL, 0, 1, 1), -EINVAL);
	EXPECT_EQ(profile_set__sample(set, 0, 0, many, PROFILE_ATTRS_MAX + 1, 0, 1), -EINVAL);
	a = profile_set__attr_string(set, "k", "a");
	b = profile_set__attr_string(set, "k", "b");
	EXPECT_EQ(profile_set__sample(set, 0, 0, (int[]){a, b}, 2, 0, 1), -EINVAL);
	EXPECT_EQ(profile_set__sample(set, 0, 0, (int[]){a, 0, a}, 3, 0, 0), 0);
	/* Nothing has a value yet: nothing to send. */
	EXPECT_EQ(profile_set__encode_otlp(set, &pb), 0);
	EXPECT_EQ(pb.len, 0);
	EXPECT_EQ(profile_set__kinds(set), 0);
	EXPECT_EQ(profile_set__encode_pprof(set, 0, &pb), -EINVAL);
	EXPECT_EQ(profile_set__encode_folded(set, 0, &pb), -EINVAL);
	EXPECT_EQ(profile_set__kind_name(set, 0), NULL);
	EXPECT_EQ(pb.len, 0);
	EXPECT_EQ(profile_set__sample(set, 0, 0, &a, 1, 0, INT64_MAX), 0);
	EXPECT_EQ(profile_set__sample(set, 0, 0, &a, 1, 0, INT64_MAX), 0);
	EXPECT_EQ(profile_set__encode_folded(set, 0, &pb), 0);
	pb__raw(&pb, "", 1);
	EXPECT_STREQ((char *)pb.data, "[unknown] 9223372036854775807\n");
	pb__free(&pb);
	profile_set__free(set);
}

/* --- requests under a limit ---------------------------------------------------- */

struct sent {
	int requests, profiles, samples;
	size_t largest;
	__u64 total;
};

static int receive(const struct pb *request, int profiles, void *ctx)
{
	struct json_object *root = otlp__to_json(SIGNAL_PROFILES, request->data, request->len);
	struct sent *sent = ctx;
	struct rules r;

	ASSERT_TRUE(root);
	r = check_rules(root);
	EXPECT_EQ(r.profiles, profiles);
	sent->requests++;
	sent->profiles += r.profiles;
	sent->samples += r.samples;
	sent->total += r.total;
	sent->largest = request->len > sent->largest ? request->len : sent->largest;
	json_object_put(root);
	return 0;
}

static int refuse(const struct pb *request, int profiles, void *ctx)
{
	(void)request;
	(void)profiles;
	++*(int *)ctx;
	return -EPIPE;
}

TEST(split_by_limit)
{
	static const size_t limits[] = {1, 2000, 10000, SIZE_MAX};
	struct profile_set *set = profile_set__new();
	char name[64];
	int calls = 0;

	for (int p = 0; p < 100; p++) {
		struct pb resource = resource_of("p", p);
		struct profile_desc desc = on_cpu(&resource);
		int profile = profile_set__profile(set, &desc);

		for (int i = 0; i < 10; i++) {
			int loc;

			snprintf(name, sizeof(name), "function_%d_%d", p % 7, i);
			loc = location(set, 0, 0x1000 + i, "native", name);
			ASSERT_EQ(profile_set__sample(set, profile,
						      profile_set__stack(set, &loc, 1), NULL, 0, 0,
						      1 + i),
				  0);
		}
		pb__free(&resource);
	}
	for (size_t l = 0; l < sizeof(limits) / sizeof(limits[0]); l++) {
		struct sent sent = {0};

		EXPECT_EQ(profile_set__emit_otlp(set, limits[l], receive, &sent), 0);
		EXPECT_EQ(sent.profiles, 100);
		EXPECT_EQ(sent.samples, 1000);
		EXPECT_EQ(sent.total, 5500);
		if (limits[l] > 1)
			EXPECT_LE(sent.largest, limits[l]);
		EXPECT_EQ(sent.requests == 1, limits[l] == SIZE_MAX);
		EXPECT_EQ(sent.requests == 100, limits[l] == 1);
	}
	EXPECT_EQ(profile_set__emit_otlp(set, SIZE_MAX, refuse, &calls), -EPIPE);
	EXPECT_EQ(calls, 1);
	profile_set__free(set);
}

/* --- other formats --------------------------------------------------------------- */

static char *folded(struct profile_set *set, int kind)
{
	struct pb pb = {0};

	ASSERT_EQ(profile_set__encode_folded(set, kind, &pb), 0);
	pb__raw(&pb, "", 1);
	return (char *)pb.data;
}

TEST(folded_text)
{
	struct profile_set *set = example();
	char *text;

	ASSERT_EQ(profile_set__kinds(set), 2);
	EXPECT_STREQ(profile_set__kind_name(set, 0), "cpu");
	EXPECT_STREQ(profile_set__kind_name(set, 1), "off_cpu");
	text = folded(set, 0);
	EXPECT_STREQ(text, "ser:ver;main;work(int);hot() 30\n"
			   "ser:ver;main;work(int);hot();libc.so.6+0x9999;__x64_sys_read 15\n"
			   "sh 1\n"
			   "sh;main;[unknown] 2\n");
	free(text);
	text = folded(set, 1);
	EXPECT_STREQ(text, "worker?1;main;work(int);hot();libc.so.6+0x9999;__x64_sys_read "
			   "3000000000\n");
	free(text);
	profile_set__free(set);
}

static struct pb gunzip(const struct pb *pb)
{
	struct pb out = {0};
	z_stream z = {.next_in = pb->data, .avail_in = pb->len};
	int err;

	ASSERT_EQ(inflateInit2(&z, 15 + 16), Z_OK);
	do {
		ASSERT_TRUE(pb__reserve(&out, 65536));
		z.next_out = out.data + out.len;
		z.avail_out = 65536;
		err = inflate(&z, Z_NO_FLUSH);
		out.len = z.total_out;
	} while (err == Z_OK);
	ASSERT_EQ(err, Z_STREAM_END);
	inflateEnd(&z);
	return out;
}

/* Into a file without a name; its path. */
static void keep(const struct pb *pb, char *path, size_t size)
{
	int fd = memfd_create("profile", 0);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, pb->data, pb->len), pb->len);
	snprintf(path, size, "/proc/%d/fd/%d", getpid(), fd);
}

/* What a program prints to stdout and stderr; its exit status. */
static char *output_of(const char *command, int *status)
{
	FILE *pipe = popen(command, "r");
	char *text = calloc(1, 65536);

	ASSERT_TRUE(pipe);
	ASSERT_TRUE(text);
	text[fread(text, 1, 65535, pipe)] = '\0';
	while (fgetc(pipe) != EOF)
		;
	*status = pclose(pipe);
	return text;
}

TEST(pprof_is_protobuf)
{
	struct profile_set *set = example();
	struct pb zipped = {0}, plain;
	struct pb_field field;
	const __u8 *p;
	int counts[16] = {0}, err;

	ASSERT_EQ(profile_set__encode_pprof(set, 0, &zipped), 0);
	plain = gunzip(&zipped);
	for (p = plain.data; (err = pb__next(&p, plain.data + plain.len, &field)) > 0;) {
		if (field.number == 6 && !counts[6])
			EXPECT_EQ(field.len, 0);
		counts[field.number & 15]++;
	}
	EXPECT_EQ(err, 0);
	EXPECT_EQ(counts[1], 2); /* sample types: samples, cpu */
	EXPECT_EQ(counts[2], 4); /* samples */
	EXPECT_EQ(counts[3], 3); /* mappings: no orphan */
	EXPECT_EQ(counts[4], 4); /* locations */
	EXPECT_EQ(counts[5], 4); /* functions */
	pb__free(&plain);
	pb__free(&zipped);
	profile_set__free(set);
}

TEST_TIMEOUT(pprof_tool, 120)
{
	struct profile_set *set = example();
	char path[64], command[512], *text;
	struct pb zipped = {0};
	int status;

	free(output_of("go version 2>&1", &status));
	if (status)
		SKIP("no Go here");
	ASSERT_EQ(profile_set__encode_pprof(set, 0, &zipped), 0);
	keep(&zipped, path, sizeof(path));
	snprintf(command, sizeof(command), "go tool pprof -symbolize=none -top %s 2>&1", path);
	text = output_of(command, &status);
	if (status && strstr(text, "no such tool"))
		SKIP("no go tool pprof here");
	printf("%s", text);
	EXPECT_EQ(status, 0);
	EXPECT_TRUE(strstr(text, "Type: cpu"));
	EXPECT_TRUE(strstr(text, "300ms 62.50% 62.50%      450ms 93.75%  hot()"));
	EXPECT_TRUE(strstr(text, "(inline)"));
	EXPECT_TRUE(strstr(text, "__x64_sys_read"));
	free(text);
	snprintf(command, sizeof(command),
		 "go tool pprof -symbolize=none -sample_index=samples -tags %s 2>&1", path);
	text = output_of(command, &status);
	printf("%s", text);
	EXPECT_EQ(status, 0);
	EXPECT_TRUE(strstr(text, "thread.name"));
	EXPECT_TRUE(strstr(text, "01020300000000000000000000000000"));
	EXPECT_TRUE(strstr(text, "process.executable.name"));
	EXPECT_FALSE(strstr(text, "host.name"));
	free(text);
	zipped.len = 0;
	ASSERT_EQ(profile_set__encode_pprof(set, 1, &zipped), 0);
	keep(&zipped, path, sizeof(path));
	snprintf(command, sizeof(command), "go tool pprof -symbolize=none -top %s 2>&1", path);
	text = output_of(command, &status);
	printf("%s", text);
	EXPECT_EQ(status, 0);
	EXPECT_TRUE(strstr(text, "Type: off_cpu"));
	EXPECT_TRUE(strstr(text, "3s   100%   100%         3s   100%  __x64_sys_read"));
	free(text);
	pb__free(&zipped);
	profile_set__free(set);
}

static struct json_object *page_data(const struct pb *page)
{
	static const char open[] = "<script type=\"application/json\" id=\"data\">";
	char *text = strndup((char *)page->data, page->len), *start = strstr(text, open), *end;
	struct json_object *data;

	ASSERT_TRUE(start);
	start += strlen(open);
	end = strstr(start, "</script>");
	ASSERT_TRUE(end);
	*end = '\0';
	data = json_tokener_parse(start);
	EXPECT_EQ(strchr(start, '<'), NULL);
	free(text);
	return data;
}

TEST(html_page)
{
	struct profile_set *set = example();
	struct pb page = {0};
	struct json_object *data, *cpu, *nodes;
	__s64 total = 0;

	ASSERT_EQ(profile_set__encode_html(set, "a </script><b>\"title\"\\", &page), 0);
	data = page_data(&page);
	ASSERT_TRUE(data);
	EXPECT_STREQ(json_object_get_string(get(data, "title")), "a </script><b>\"title\"\\");
	EXPECT_EQ(length(get(data, "kinds")), 2);
	cpu = at(get(data, "kinds"), 0);
	nodes = get(cpu, "nodes");
	for (size_t i = 0; i < length(nodes); i += 3)
		total += json_object_get_int64(at(nodes, i + 2));
	EXPECT_EQ(total, 48);
	EXPECT_EQ(json_object_get_int64(get(cpu, "startMs")), START / 1000000);
	EXPECT_EQ(number(cpu, "durationMs"), 10000);
	EXPECT_TRUE(memmem(page.data, page.len, "\"hot()\"", 7));
	EXPECT_TRUE(memmem(page.data, page.len, "\"libc.so.6+0x9999\"", 18));
	/* Nothing is loaded from anywhere. */
	EXPECT_FALSE(memmem(page.data, page.len, "http://", 7));
	EXPECT_FALSE(memmem(page.data, page.len, "https://", 8));
	json_object_put(data);
	pb__free(&page);
	profile_set__clear(set);
	ASSERT_EQ(profile_set__encode_html(set, "empty", &page), 0);
	data = page_data(&page);
	EXPECT_EQ(length(get(data, "kinds")), 0);
	json_object_put(data);
	pb__free(&page);
	profile_set__free(set);
}

/* --- hostile and many -------------------------------------------------------------- */

TEST(hostile_names)
{
	static const char start[] =
		"\?\?:?;\xe2\x80\xa8<!--;a:b?c?d\?\?\"\\ e;\?\?\?\?\?\?x?;</script>";
	struct profile_set *set = profile_set__new();
	struct profile_desc desc = on_cpu(NULL);
	int profile = profile_set__profile(set, &desc), loc[5], comm;
	char *huge = malloc(1 << 20);
	struct json_object *root, *data, *strings;
	struct pb page = {0}, zipped = {0};
	bool cut = false, broken = false;
	char *text;

	ASSERT_TRUE(huge);
	/* Three-byte characters, so that the cut falls inside one. */
	for (int i = 0; i + 3 < 1 << 20; i += 3)
		memcpy(huge + i, "\xe2\x82\xac", 4);
	loc[0] = location(set, 0, 1, "native", huge);
	loc[1] = location(set, 0, 2, "native", "</script><script>alert(1)</script>");
	loc[2] = location(set, 0, 3, "native", "\xff\xc0\x80\xed\xa0\x80x\xf4");
	loc[3] = location(set, 0, 4, "native", "a;b\nc\td\x01\x7f\"\\ e");
	loc[4] = location(set, 0, 5, "<b>", "\xe2\x80\xa8<!--");
	comm = profile_set__attr_string(set, "thread.name", "\x80\x80;\n");
	ASSERT_EQ(profile_set__sample(set, profile, profile_set__stack(set, loc, 5), &comm, 1, 0,
				      7),
		  0);
	root = to_json(set, 1);
	strings = get(get(root, "dictionary"), "stringTable");
	for (size_t i = 0; i < length(strings); i++) {
		const char *one = json_object_get_string(at(strings, i));

		ASSERT_LE(strlen(one), PROFILE_TEXT_MAX);
		EXPECT_FALSE(strstr(one, "\xef\xbf\xbd")); /* the JSON form found all in order */
		cut |= strlen(one) > PROFILE_TEXT_MAX - 4 && strstr(one, "€…");
		broken |= !strcmp(one, "??????x?");
	}
	EXPECT_TRUE(cut);
	EXPECT_TRUE(broken);
	check_rules(root);
	json_object_put(root);
	text = folded(set, 0);
	EXPECT_EQ(strncmp(text, start, strlen(start)), 0);
	EXPECT_EQ(strchr(text, '\n'), text + strlen(text) - 1);
	free(text);
	ASSERT_EQ(profile_set__encode_html(set, "x", &page), 0);
	data = page_data(&page);
	ASSERT_TRUE(data);
	json_object_put(data);
	ASSERT_EQ(profile_set__encode_pprof(set, 0, &zipped), 0);
	pb__free(&page);
	pb__free(&zipped);
	free(huge);
	profile_set__free(set);
}

static double seconds(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return ts.tv_sec + ts.tv_nsec / 1e9;
}

static long resident_kib(void)
{
	long pages = 0, ignored;
	FILE *f = fopen("/proc/self/statm", "r");

	ASSERT_TRUE(f);
	ASSERT_EQ(fscanf(f, "%ld %ld", &ignored, &pages), 2);
	fclose(f);
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

static void fill(struct profile_set *set, int stacks, int depth)
{
	struct pb resource = resource_of("many", 7);
	struct profile_desc desc = on_cpu(&resource);
	int profile = profile_set__profile(set, &desc), map = mapping(set, "/usr/bin/many", 7);
	int comm = profile_set__attr_string(set, "thread.name", "many"), locs[128];
	__u32 random = 1;
	char name[64];

	for (int s = 0; s < stacks; s++) {
		/* Near the root few functions, many at the leaf: as programs are. */
		for (int d = 0; d < depth; d++) {
			int f;

			random = random * 1664525 + 1013904223;
			f = (random >> 8) % (1 + (depth - d) * (depth - d) / 4);
			snprintf(name, sizeof(name), "some_function_of_depth_%d_number_%d", d, f);
			locs[d] = location(set, map, 0x400000 + 4096 * d + 16 * f, "native", name);
		}
		locs[0] = location(set, map, 0x100000 + s, "native", "leaf");
		ASSERT_EQ(profile_set__sample(set, profile, profile_set__stack(set, locs, depth),
					      &comm, 1, 0, 1 + s % 9),
			  0);
	}
	pb__free(&resource);
}

TEST_TIMEOUT(many_stacks, 120)
{
	enum { STACKS_ = 20000, DEPTH = 32 };
	long before = resident_kib(), model, encoded;
	struct profile_set *set = profile_set__new();
	struct pb otlp = {0}, other = {0};
	double start = seconds(), built, sent, again;
	struct json_object *root;
	struct rules r;

	fill(set, STACKS_, DEPTH);
	built = seconds() - start;
	model = resident_kib() - before;
	start = seconds();
	ASSERT_EQ(profile_set__encode_otlp(set, &otlp), 1);
	sent = seconds() - start;
	encoded = resident_kib() - before;
	printf("%d stacks: built in %.1f ms, OTLP in %.1f ms, %zu KiB; resident %ld KiB, with OTLP "
	       "%ld KiB\n",
	       STACKS_, built * 1e3, sent * 1e3, otlp.len / 1024, model, encoded);
	EXPECT_LT(built, SLOW * 1.0);
	EXPECT_LT(sent, SLOW * 0.2);
	if (SLOW == 1)
		EXPECT_LT(encoded, 20 * 1024);
	root = otlp__to_json(SIGNAL_PROFILES, otlp.data, otlp.len);
	ASSERT_TRUE(root);
	r = check_rules(root);
	EXPECT_EQ(r.samples, STACKS_);
	json_object_put(root);
	start = seconds();
	ASSERT_EQ(profile_set__encode_pprof(set, 0, &other), 0);
	printf("pprof in %.1f ms, %zu KiB\n", (seconds() - start) * 1e3, other.len / 1024);
	other.len = 0;
	start = seconds();
	ASSERT_EQ(profile_set__encode_folded(set, 0, &other), 0);
	printf("folded in %.1f ms, %zu KiB\n", (seconds() - start) * 1e3, other.len / 1024);
	other.len = 0;
	start = seconds();
	ASSERT_EQ(profile_set__encode_html(set, "many", &other), 0);
	printf("html in %.1f ms, %zu KiB\n", (seconds() - start) * 1e3, other.len / 1024);
	EXPECT_LT(seconds() - start, SLOW * 3.0);
	/* The same again after a clear: the same bytes, and no memory lost. */
	profile_set__clear(set);
	start = seconds();
	fill(set, STACKS_, DEPTH);
	other.len = 0;
	ASSERT_EQ(profile_set__encode_otlp(set, &other), 1);
	again = seconds() - start;
	printf("again in %.1f ms\n", again * 1e3);
	ASSERT_EQ(other.len, otlp.len);
	EXPECT_EQ(memcmp(other.data, otlp.data, otlp.len), 0);
	pb__free(&otlp);
	pb__free(&other);
	profile_set__free(set);
}

/* For html_test: pages to open, as $PAGE and $PAGE_MANY. Not a test. */
TEST_TIMEOUT(_print_pages, 60)
{
	const char *paths[] = {getenv("PAGE"), getenv("PAGE_MANY")};

	for (int i = 0; i < 2; i++) {
		struct profile_set *set = i ? profile_set__new() : example();
		struct pb page = {0};
		FILE *out;

		if (!paths[i])
			SKIP("PAGE and PAGE_MANY are not both set");
		if (i)
			fill(set, 20000, 32);
		ASSERT_EQ(profile_set__encode_html(set, "<example>", &page), 0);
		out = fopen(paths[i], "w");
		ASSERT_TRUE(out);
		ASSERT_EQ(fwrite(page.data, 1, page.len, out), page.len);
		ASSERT_EQ(fclose(out), 0);
		pb__free(&page);
		profile_set__free(set);
	}
}

static __u64 rng_state;

static __u32 rng(__u32 below)
{
	rng_state = rng_state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (rng_state >> 33) % below;
}

static const char *random_text(char *buf)
{
	__u32 len = rng(8) ? rng(6) : rng(300);

	if (!rng(10))
		return NULL;
	for (__u32 i = 0; i < len; i++)
		buf[i] = rng(4) ? 'a' + rng(3) : 1 + rng(255);
	buf[len] = '\0';
	return buf;
}

TEST_TIMEOUT(random_input, 120)
{
	struct profile_set *set = profile_set__new();
	char texts[8][304];
	__u8 bytes[64];

	for (int seed = 1; seed <= 300; seed++) {
		struct pb resource = {0}, otlp = {0}, other = {0};
		struct json_object *root;
		int n;

		rng_state = seed;
		for (int op = rng(300); op >= 0; op--) {
			struct profile_line lines[4] = {0};
			int list[40];

			for (size_t i = 0; i < sizeof(bytes); i++)
				bytes[i] = rng(3);
			for (int i = 0; i < 40; i++)
				list[i] = (int)rng(12) - !rng(30);
			for (int i = 0; i < 4; i++)
				lines[i] = (struct profile_line){random_text(texts[2 * i]),
								 random_text(texts[2 * i + 1]),
								 rng(2) ? "f" : NULL,
								 (__s64)rng(5) - 2,
								 rng(3),
								 (__s64)rng(5) - 2};
			switch (rng(8)) {
			case 0:
				profile_set__mapping(set,
						     &(struct profile_mapping){
							     random_text(texts[0]), bytes, rng(70),
							     rng(2) ? bytes : NULL,
							     rng(2) ? random_text(texts[1]) : NULL,
							     rng(3), rng(4), rng(2)});
				break;
			case 1:
				profile_set__location(set, list[0], rng(20), random_text(texts[7]),
						      lines, rng(5));
				break;
			case 2:
				profile_set__stack(set, list, rng(20));
				break;
			case 3:
				profile_set__link(set, bytes, bytes + 16);
				break;
			case 4:
				profile_set__attr_string(set, random_text(texts[0]),
							 random_text(texts[1]));
				break;
			case 5:
				profile_set__attr_int(set, random_text(texts[0]), rng(3));
				break;
			case 6: {
				struct profile_desc desc = {
					.resource = rng(3) ? &resource : NULL,
					.scope_name = random_text(texts[0]),
					.sample_type = rng(2) ? "samples" : random_text(texts[1]),
					.sample_unit = rng(2) ? "count" : random_text(texts[2]),
					.period_type = rng(2) ? "cpu" : random_text(texts[3]),
					.period_unit = "nanoseconds",
					.period = (__s64)rng(100) - 3,
					.time_unix_nano = (__u64)rng(5) << (rng(2) ? 62 : 0),
				};

				/* Also Resources that are no protobuf. */
				resource.len = 0;
				if (rng(2))
					attr__string(&resource, 1, "process.x", texts[0], rng(9));
				else
					pb__raw(&resource, bytes, rng(5));
				profile_set__profile(set, &desc);
				break;
			}
			case 7:
				profile_set__sample(
					set, list[0], list[1], list + 2, rng(5), list[8],
					rng(20) ? (__s64)rng(9) - 2 : INT64_MAX - rng(2));
				break;
			}
		}
		n = profile_set__encode_otlp(set, &otlp);
		ASSERT_GE(n, 0);
		if (n) {
			const __u8 *p = otlp.data;
			struct pb_field field;

			while (pb__next(&p, otlp.data + otlp.len, &field) > 0)
				;
			ASSERT_EQ(p, otlp.data + otlp.len);
			root = otlp__to_json(SIGNAL_PROFILES, otlp.data, otlp.len);
			if (root)
				check_rules(root);
			json_object_put(root);
		}
		n = profile_set__kinds(set);
		for (int k = 0; k < n; k++) {
			other.len = 0;
			ASSERT_TRUE(profile_set__kind_name(set, k));
			ASSERT_EQ(profile_set__encode_pprof(set, k, &other), 0);
			ASSERT_EQ(profile_set__encode_folded(set, k, &other), 0);
		}
		other.len = 0;
		ASSERT_EQ(profile_set__encode_html(set, random_text(texts[0]) ?: "", &other), 0);
		pb__free(&otlp);
		pb__free(&other);
		pb__free(&resource);
		profile_set__clear(set);
	}
	profile_set__free(set);
}

/* --- build ids ----------------------------------------------------------------------- */

TEST(htlhash)
{
	/* The values are sha256sum's: (head -c4096 F; tail -c4096 F; big-endian length) */
	static const struct {
		size_t size;
		const char *want;
	} cases[] = {
		{0, "af5570f5a1810b7af78caf4bc70a660f"},
		{1, "52807a4607ea5debf0b7d4ccb452f4af"},
		{4095, "bb7fbcc95087daef3ab29bb3a93add0a"},
		{4096, "90bb800c5f450e89215cbcc78f924f68"},
		{5000, "0f1661d987841534a873eac923d4f0aa"},
		{8192, "9451ed8ae8e30ad6dd586918da276aac"},
		{10000, "309566d4ceda5b733cb8c9a37c93ab2b"},
	};
	char text[33];
	__u8 hash[16];
	int pipes[2];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int fd = memfd_create("file", MFD_CLOEXEC);

		for (size_t k = 0; k < cases[i].size; k++) {
			__u8 byte = k * 7 + k / 256;

			ASSERT_EQ(write(fd, &byte, 1), 1);
		}
		ASSERT_EQ(profile__htlhash(fd, hash), 0);
		for (int k = 0; k < 16; k++)
			snprintf(text + 2 * k, 3, "%02x", hash[k]);
		EXPECT_STREQ(text, cases[i].want);
		close(fd);
	}
	ASSERT_EQ(pipe(pipes), 0);
	EXPECT_EQ(profile__htlhash(pipes[0], hash), -EINVAL);
	EXPECT_EQ(profile__htlhash(-1, hash), -EBADF);
}

/* --- other people's readers ------------------------------------------------------------ */

/* profcheck of github.com/open-telemetry/sig-profiling, where $PROFCHECK names it. */
TEST_TIMEOUT(profcheck, 120)
{
	const char *program = getenv("PROFCHECK");
	char path[64], command[512], *text;

	if (!program || !*program)
		SKIP("PROFCHECK is not set");
	for (int i = 0; i < 2; i++) {
		struct profile_set *set = i ? profile_set__new() : example();
		struct pb pb = {0};
		int status;

		if (i)
			fill(set, 5000, 32);
		ASSERT_GT(profile_set__encode_otlp(set, &pb), 0);
		keep(&pb, path, sizeof(path));
		snprintf(command, sizeof(command), "%s -check-dupes -check-orphans %s 2>&1",
			 program, path);
		text = output_of(command, &status);
		printf("%s", text);
		EXPECT_EQ(status, 0);
		EXPECT_TRUE(strstr(text, "conformance checks passed"));
		free(text);
		pb__free(&pb);
		profile_set__free(set);
	}
}

static long post(const struct collector *c, const struct pb *pb)
{
	return collector__post(c, "/v1development/profiles", "application/x-protobuf", pb->data,
			       pb->len);
}

TEST_TIMEOUT(collector, 120)
{
	struct collector *c __attribute__((cleanup(collector__freep))) =
		collector__start_profiles();
	struct profile_set *set = example(), *many = profile_set__new();
	static const char *const same[] = {"stackTable", "functionTable", "locationTable"};
	struct json_object *lines, *mine, *first;
	struct pb pb = {0};
	struct rules r;

	if (!c && errno == ENOENT)
		SKIP("OTELCOL is not set");
	ASSERT_NE(c, NULL);
	ASSERT_EQ(profile_set__encode_otlp(set, &pb), 3);
	ASSERT_EQ(post(c, &pb), 200);
	pb.len = 0;
	fill(many, 5000, 32);
	ASSERT_EQ(profile_set__encode_otlp(many, &pb), 1);
	ASSERT_EQ(post(c, &pb), 200);
	ASSERT_EQ(collector__wait(c, "resourceProfiles", 2, 10000), 2);
	lines = collector__lines(c, "resourceProfiles");
	mine = to_json(set, 3);
	first = at(lines, 0);
	/* The Collector adds texts of the Resources to the strings: behind ours. */
	for (size_t i = 0; i < sizeof(same) / sizeof(same[0]); i++)
		EXPECT_STREQ(json_object_to_json_string(get(get(first, "dictionary"), same[i])),
			     json_object_to_json_string(get(get(mine, "dictionary"), same[i])));
	for (size_t i = 0; i < length(get(get(mine, "dictionary"), "stringTable")); i++)
		EXPECT_STREQ(string(first, i), string(mine, i));
	r = check_rules(mine);
	EXPECT_EQ(r.samples, 5);
	json_object_put(mine);
	json_object_put(lines);
	pb__free(&pb);
	profile_set__free(set);
	profile_set__free(many);
}

TEST_MAIN()
