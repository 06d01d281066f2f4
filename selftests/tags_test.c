// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* plan__compile() on BTF made here: what it accepts, what it refuses and says, what cannot harm it.
 */
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "btf_map.h"
#include "ktap.h"
#include "otlp/metrics.h"
#include "plan.h"
#include "tagged.h"

static struct plan *compile_good(struct btf_map *map)
{
	struct plan *plan = btf_map__compile(map);

	if (!plan)
		printf("%s\n", map->why);
	ASSERT_TRUE(plan);
	EXPECT_STREQ(map->why, "");
	return plan;
}

/* --- what is right -------------------------------------------------------- */

TEST(every_instrument)
{
	static const struct btf_field key[] = {{"nr", "u32", {"otel:attr|nr|number"}}, {}};
	static const struct btf_field value[] = {
		{"a", "u64", {"otel:sum|m.a|By|Bytes"}},
		{"b", "u32", {"otel:sum|m.b||"}},
		{"c", "s64", {"otel:updown|m.c|{x}|Goes up and down"}},
		{"d", "s32", {"otel:gauge|m.d|s|Now", "otel:scale|1e-3"}},
		{"e", "u64[4]", {"otel:histogram|m.e|s|Times|0.5,1,2e3"}},
		{"f", "u64[1]", {"otel:histogram|m.f|s|Times|"}},
		{"untagged", "char[3]", {}},
		{"g", "exphist_s", {"otel:exphist|m.g|s|Durations"}},
		{"h", "const exphist", {"otel:exphist|m.h|By|Sizes"}},
		{"i", "typedef u64", {"otel:with|k|v", "otel:sum|m.i|1|One", "otel:with|l|w"}},
		{"j", "u64", {"otel:sum|m.i|1|One", "otel:with|k|other"}},
		{},
	};
	static const struct {
		const char *name;
		const char *unit;
		enum instrument_kind kind;
		__u32 size;
		bool is_signed;
	} want[] = {
		{"m.a", "By", INSTRUMENT_SUM, 8, false},
		{"m.b", "", INSTRUMENT_SUM, 4, false},
		{"m.c", "{x}", INSTRUMENT_UPDOWN, 8, true},
		{"m.d", "s", INSTRUMENT_GAUGE, 4, true},
		{"m.e", "s", INSTRUMENT_HISTOGRAM, 32, false},
		{"m.f", "s", INSTRUMENT_HISTOGRAM, 8, false},
		{"m.g", "s", INSTRUMENT_EXPHIST, 8 * 197, false},
		{"m.h", "By", INSTRUMENT_EXPHIST, 8 * 197, false},
		{"m.i", "1", INSTRUMENT_SUM, 8, false},
		{"m.i", "1", INSTRUMENT_SUM, 8, false},
	};
	const int n = sizeof(want) / sizeof(want[0]);
	const struct instrument *g, *e;
	struct btf_map map;
	struct plan *plan;

	btf_map__init(&map, key, value, NULL);
	plan = compile_good(&map);
	ASSERT_EQ(plan->n_instruments, n);
	for (int i = 0; i < n; i++) {
		EXPECT_STREQ(plan->instruments[i].name, want[i].name);
		EXPECT_STREQ(plan->instruments[i].unit, want[i].unit);
		EXPECT_EQ(plan->instruments[i].kind, want[i].kind);
		EXPECT_EQ(plan->instruments[i].size, want[i].size);
		EXPECT_EQ(plan->instruments[i].is_signed, want[i].is_signed);
	}
	EXPECT_EQ(plan->instruments[0].offset, 0);
	EXPECT_EQ(plan->instruments[1].offset, 8);
	EXPECT_EQ(plan->instruments[2].offset, 16);
	EXPECT_EQ(plan->instruments[0].factor, 1);
	EXPECT_EQ(plan->instruments[3].factor, 1e-3);
	e = &plan->instruments[4];
	EXPECT_EQ(e->n_buckets, 4);
	EXPECT_EQ(e->bounds[0], 0.5);
	EXPECT_EQ(e->bounds[1], 1);
	EXPECT_EQ(e->bounds[2], 2000);
	EXPECT_EQ(plan->instruments[5].n_buckets, 1);
	g = &plan->instruments[6];
	EXPECT_EQ(g->scale, 2);
	EXPECT_EQ(g->index, -112);
	EXPECT_EQ(g->factor, 1e-9);
	EXPECT_EQ(g->zero_threshold, 1.0 / (1 << 28));
	EXPECT_EQ(g->n_buckets, 192);
	EXPECT_EQ(g->offset % 8, 0);
	EXPECT_EQ(g->count, (int)g->offset);
	EXPECT_EQ(g->sum, (int)g->offset + 8);
	EXPECT_EQ(g->min, (int)g->offset + 16);
	EXPECT_EQ(g->max, (int)g->offset + 24);
	EXPECT_EQ(g->zero_count, (int)g->offset + 32);
	EXPECT_EQ(g->buckets, (int)g->offset + 40);
	EXPECT_EQ(plan->instruments[7].zero_threshold, 0);
	EXPECT_EQ(plan->instruments[7].index, -1);
	EXPECT_EQ(plan->instruments[8].n_with, 2);
	EXPECT_EQ(plan->instruments[9].n_with, 1);
	plan__free(plan);
	btf_map__free(&map);
}

TEST(every_decoder)
{
	static const struct btf_field key[] = {
		{"cgroup", "u64", {"otel:resource|cgroup"}},
		{"a", "bool", {"otel:attr|a|bool"}},
		{"b", "char[16]", {"otel:attr|b|comm"}},
		{"c", "enum", {"otel:attr|c|enum"}},
		{"d", "s32", {"otel:attr|d|errno"}},
		{"e", "u32", {"otel:attr|e|ifindex"}},
		{"f", "u8[16]", {"otel:attr|f|ipaddr"}},
		{"g", "u16", {"otel:attr|g|kenum:skb_drop_reason"}},
		{"h", "s64", {"otel:attr|h|number"}},
		{"i", "u32", {"otel:attr|i|pid"}},
		{"j", "u16", {"otel:attr|j|port"}},
		{"k", "char[5]", {"otel:attr|k|string"}},
		{"pad", "u8", {}},
		{"l", "u32", {"otel:attr|l|syscall", "otel:attr|l.number|number"}},
		{"m", "u32", {"otel:attr|m|uid"}},
		{"n", "u64", {"otel:attr|n|cgroup"}},
		{"o", "enum64", {"otel:attr|o|enum"}},
		{},
	};
	static const char *const names[] = {"bool",    "comm",	 "enum",   "errno",
					    "ifindex", "ipaddr", "kenum",  "number",
					    "pid",     "port",	 "string", "syscall",
					    "number",  "uid",	 "cgroup", "enum"};
	static const struct btf_field value[] = {{"n", "u64", {"otel:sum|n|1|N"}}, {}};
	const int n = sizeof(names) / sizeof(names[0]);
	const struct decoder *decoder;
	struct btf_map map;
	struct plan *plan;

	btf_map__init(&map, key, value, NULL);
	plan = compile_good(&map);
	ASSERT_EQ(plan->n_attrs, n);
	for (int i = 0; i < n; i++)
		EXPECT_STREQ(plan->attrs[i].decoder->name, names[i]);
	EXPECT_STREQ(plan->attrs[6].ctx.arg, "skb_drop_reason");
	EXPECT_STREQ(plan->attrs[12].name, "l.number");
	EXPECT_EQ(plan->attrs[11].offset, plan->attrs[12].offset);
	ASSERT_TRUE(plan->resource.decoder);
	EXPECT_EQ(plan->resource.offset, 0);
	/* A decoder that this list misses has come since: it belongs here. */
	for (int d = 0; (decoder = decoder__nth(d)); d++) {
		bool found = false;

		for (int i = 0; i < n; i++)
			found |= !strcmp(names[i], decoder->name);
		if (!found)
			printf("decoder %s is not tested\n", decoder->name);
		EXPECT_TRUE(found);
	}
	plan__free(plan);
	btf_map__free(&map);
}

TEST(attributes_that_may_be_unset)
{
	static const struct btf_field key[] = {
		{"a", "u32", {"otel:attr|a|number", "otel:unset"}},
		{"b", "u32", {"otel:attr|b|number"}},
		{"c", "u32", {"otel:unset", "otel:attr|c|number"}},
		{},
	};
	static const struct btf_field value[] = {{"n", "u64", {"otel:sum|n|1|N"}}, {}};
	struct btf_map map;
	struct plan *plan;

	btf_map__init(&map, key, value, NULL);
	plan = compile_good(&map);
	ASSERT_EQ(plan->n_attrs, 3);
	EXPECT_TRUE(plan->attrs[0].unset);
	EXPECT_FALSE(plan->attrs[1].unset);
	EXPECT_TRUE(plan->attrs[2].unset);
	plan__free(plan);
	btf_map__free(&map);
}

TEST(key_of_an_array)
{
	static const struct btf_field value[] = {{"n", "u64", {"otel:sum|n|1|N"}}, {}};
	static const char *const tags[] = {"otel:key|reason|number", NULL};
	struct btf_map map;
	struct plan *plan;

	btf_map__init(&map, NULL, value, tags);
	map.info.type = BPF_MAP_TYPE_PERCPU_ARRAY;
	plan = compile_good(&map);
	ASSERT_EQ(plan->n_attrs, 1);
	EXPECT_STREQ(plan->attrs[0].name, "reason");
	EXPECT_EQ(plan->attrs[0].size, 4);
	EXPECT_EQ(plan->values, libbpf_num_possible_cpus());
	plan__free(plan);
	/* One entry needs no attribute. */
	btf_map__free(&map);
	btf_map__init(&map, NULL, value, NULL);
	map.info.type = BPF_MAP_TYPE_ARRAY;
	map.info.max_entries = 1;
	plan = compile_good(&map);
	EXPECT_EQ(plan->n_attrs, 0);
	EXPECT_EQ(plan->values, 1);
	plan__free(plan);
	btf_map__free(&map);
}

TEST(map_types)
{
	static const struct btf_field key[] = {{"nr", "u32", {"otel:attr|nr|number"}}, {}};
	static const struct btf_field value[] = {{"n", "u32", {"otel:sum|n|1|N"}}, {}};
	static const struct {
		__u32 type;
		bool good, per_cpu;
	} types[] = {
		{BPF_MAP_TYPE_HASH, true, false},
		{BPF_MAP_TYPE_LRU_HASH, true, false},
		{BPF_MAP_TYPE_PERCPU_HASH, true, true},
		{BPF_MAP_TYPE_LRU_PERCPU_HASH, true, true},
		{BPF_MAP_TYPE_ARRAY, true, false},
		{BPF_MAP_TYPE_PERCPU_ARRAY, true, true},
		{BPF_MAP_TYPE_UNSPEC, false, false},
		{BPF_MAP_TYPE_STACK_TRACE, false, false},
		{BPF_MAP_TYPE_RINGBUF, false, false},
		{BPF_MAP_TYPE_LPM_TRIE, false, false},
		{BPF_MAP_TYPE_HASH_OF_MAPS, false, false},
		{BPF_MAP_TYPE_PROG_ARRAY, false, false},
		{BPF_MAP_TYPE_TASK_STORAGE, false, false},
		{~0U, false, false},
	};
	struct btf_map map;

	btf_map__init(&map, key, value, NULL);
	for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
		struct plan *plan;

		map.info.type = types[i].type;
		plan = btf_map__compile(&map);
		EXPECT_EQ(!!plan, types[i].good);
		if (plan) {
			EXPECT_EQ(plan__is_per_cpu(types[i].type), types[i].per_cpu);
			EXPECT_EQ(plan->value_size, types[i].per_cpu ? 8 : 4);
		} else {
			EXPECT_EQ(errno, EINVAL);
			EXPECT_TRUE(strstr(map.why, "map type"));
		}
		plan__free(plan);
	}
	btf_map__free(&map);
}

/* --- what is wrong -------------------------------------------------------- */

#define LONG_16 "0123456789abcdef"
#define LONG_64 LONG_16 LONG_16 LONG_16 LONG_16
#define LONG_256 LONG_64 LONG_64 LONG_64 LONG_64
#define LONG_1024 LONG_256 LONG_256 LONG_256 LONG_256

/*
 * One bad member in the key ("k") or in the value ("v"). The message has to name it and its tag
 * unless @says has something else, and it has to have @says.
 */
static const struct bad {
	bool key;
	const char *type;
	const char *tags[3];
	const char *says;
} bad_members[] = {
	/* Attributes */
	{true, "u32", {"otel:atr|a|number"}, "attr and resource"},
	{true, "u32", {"otel:"}, "attr and resource"},
	{true, "u32", {"otel:sum|m|1|D"}, "attr and resource"},
	{true, "u32", {"otel:attr"}, "a name and a decoder"},
	{true, "u32", {"otel:attr|a"}, "a name and a decoder"},
	{true, "u32", {"otel:attr|a|number|more"}, "a name and a decoder"},
	{true, "u32", {"otel:attr|a|number|"}, "a name and a decoder"},
	{true, "u32", {"otel:attr|a|b|c|d|e|f|g|h|i"}, "a name and a decoder"},
	{true, "u32", {"otel:attr||number"}, "no attribute name"},
	{true, "u32", {"otel:attr|a b|number"}, "no attribute name"},
	{true, "u32", {"otel:attr|a\tb|number"}, "no attribute name"},
	{true, "u32", {"otel:attr|a\x1b[2J|number"}, "no attribute name"},
	{true, "u32", {"otel:attr|caf\xc3\xa9|number"}, "no attribute name"},
	{true, "u32", {"otel:attr|\xff|number"}, "no attribute name"},
	{true, "u32", {"otel:attr|" LONG_256 "|number"}, "culprit"},
	{true, "u32", {"otel:attr|a|"}, "there is no decoder ''"},
	{true, "u32", {"otel:attr|a|numbers"}, "there is no decoder 'numbers'"},
	{true, "u32", {"otel:attr|a|Number"}, "there is no decoder 'Number'"},
	{true, "u32", {"otel:attr|a| number"}, "there is no decoder ' number'"},
	{true, "u32", {"otel:attr|a|:x"}, "there is no decoder ':x'"},
	{true, "u8[3]", {"otel:attr|a|number"}, "1, 2, 4 or 8 bytes"},
	{true, "u8[16]", {"otel:attr|a|pid"}, "1, 2, 4 or 8 bytes"},
	{true, "u8[3]", {"otel:attr|a|bool"}, "1, 2, 4 or 8 bytes"},
	{true, "u64", {"otel:attr|a|syscall"}, "4 bytes"},
	{true, "u16", {"otel:attr|a|ifindex"}, "4 bytes"},
	{true, "u64", {"otel:attr|a|ipaddr"}, "4 or 16 bytes"},
	{true, "u32", {"otel:attr|a|cgroup"}, "8 bytes"},
	{true, "char[4097]", {"otel:attr|a|string"}, "1 to 4096 bytes"},
	{true, "char[0]", {"otel:attr|a|comm"}, "1 to 4096 bytes"},
	{true, "u32", {"otel:attr|a|enum"}, "no enum"},
	{true, "enum[2]", {"otel:attr|a|enum"}, "no enum"},
	{true, "u32", {"otel:attr|a|kenum"}, "kenum:TYPE"},
	{true, "u32", {"otel:attr|a|kenum:"}, "kenum:TYPE"},
	{true, "exphist", {"otel:attr|a|kenum:skb_drop_reason"}, "1, 2, 4 or 8 bytes"},
	{true, "u32:5", {"otel:attr|a|number"}, "bit field"},
	{true, "u32", {"otel:attr|a|number", "otel:attr|a|pid"}, "twice"},
	{true, "u32", {"otel:attr|ok|number"}, "twice"},
	/* Resources */
	{true, "u64", {"otel:resource"}, "a decoder is expected"},
	{true, "u64", {"otel:resource|cgroup|x"}, "a decoder is expected"},
	{true, "u64", {"otel:resource|number"}, "a resource is a cgroup"},
	{true, "u64", {"otel:resource|nothing"}, "there is no decoder"},
	{true, "u32", {"otel:resource|cgroup"}, "8 bytes"},
	{true, "u64", {"otel:resource|cgroup", "otel:resource|cgroup "}, "one resource"},
	/* Instruments: words, arguments, names */
	{false, "u64", {"otel:counter|m|1|D"}, "sum, updown, gauge"},
	{false, "u64", {"otel:attr|a|number"}, "sum, updown, gauge"},
	{true, "u32", {"otel:unset"}, "beside attr"},
	{true, "u32", {"otel:attr|a|number", "otel:unset|x"}, "by itself"},
	{false, "u64", {"otel:with|a|b"}, "sum, updown, gauge"},
	{false, "u64", {"otel:scale|2"}, "sum, updown, gauge"},
	{false, "u64", {"otel:sum"}, "name, unit and description"},
	{false, "u64", {"otel:sum|m"}, "name, unit and description"},
	{false, "u64", {"otel:sum|m|1"}, "name, unit and description"},
	{false, "u64", {"otel:sum|m|1|D|more"}, "are expected"},
	{false, "u64", {"otel:sum||1|D"}, "name, unit and description"},
	{false, "u64", {"otel:sum|m n|1|D"}, "name, unit and description"},
	{false, "u64", {"otel:sum|m\n|1|D"}, "name, unit and description"},
	{false, "u64", {"otel:sum|\xc3\xa9|1|D"}, "name, unit and description"},
	{false, "u64", {"otel:sum|" LONG_256 "|1|D"}, "name, unit and description"},
	{false, "u64", {"otel:sum|m|" LONG_64 "|D"}, "a unit takes 63 bytes"},
	{false, "u64", {"otel:sum|m|1|" LONG_1024}, "a description 1023"},
	{false, "u64", {"otel:sum|m|\xff|D"}, "UTF-8"},
	{false, "u64", {"otel:sum|m|1|D\xc3"}, "UTF-8"},
	{false, "u64", {"otel:sum|m|1|D\x1b[2J"}, "UTF-8"},
	{false, "u64", {"otel:sum|m|1|D", "otel:sum|n|1|D"}, "one instrument"},
	{false, "u64", {"otel:sum|m|1|D", "otel:gauge|n|1|D"}, "one instrument"},
	{false, "u64", {"otel:sum|m|1|D", "otel:attr|a|number"}, "not known"},
	/* Numbers */
	{false, "u8", {"otel:sum|m|1|D"}, "4 or 8 bytes"},
	{false, "u16", {"otel:gauge|m|1|D"}, "4 or 8 bytes"},
	{false, "float", {"otel:gauge|m|1|D"}, "an integer"},
	{false, "enum", {"otel:gauge|m|1|D"}, "an integer"},
	{false, "u64[1]", {"otel:sum|m|1|D"}, "an integer"},
	{false, "exphist", {"otel:sum|m|1|D"}, "an integer"},
	{false, "u64:33", {"otel:sum|m|1|D"}, "bit field"},
	{false, "u64", {"otel:sum|m|1|D", "otel:scale"}, "a number is expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:scale|"}, "a number is expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:scale|1|2"}, "a number is expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:scale|1e-9s"}, "a number is expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:scale|nan"}, "a number is expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:scale|1e999"}, "a number is expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:scale|0"}, "a number is expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:with"}, "a value are expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:with|a"}, "a value are expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:with|a|b|c"}, "a value are expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:with||b"}, "a value are expected"},
	{false, "u64", {"otel:sum|m|1|D", "otel:with|a|\xff"}, "UTF-8"},
	{false, "u64", {"otel:sum|m|1|D", "otel:with|ok|b"}, "twice"},
	{false, "u64", {"otel:sum|m|1|D", "otel:with|a|b", "otel:with|a|c"}, "twice"},
	/* Histograms */
	{false, "u64[3]", {"otel:histogram|m|1|D"}, "are expected"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,2|3"}, "are expected"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1"}, "2 bounds are expected"},
	{false, "u64[3]", {"otel:histogram|m|1|D|"}, "2 bounds are expected"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,2,3"}, "2 bounds are expected"},
	{false, "u64[1]", {"otel:histogram|m|1|D|1"}, "0 bounds are expected"},
	{false, "u64[3]", {"otel:histogram|m|1|D|2,1"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,1"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,two"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1;2"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|,1"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,,2"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,2,"}, "expected"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,nan"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,inf"}, "ascending"},
	{false, "u64[3]", {"otel:histogram|m|1|D|1,2", "otel:scale|2"}, "scale"},
	{false, "u64", {"otel:histogram|m|1|D|"}, "an array"},
	{false, "u32[3]", {"otel:histogram|m|1|D|1,2"}, "an array"},
	{false, "float[3]", {"otel:histogram|m|1|D|1,2"}, "an array"},
	{false, "u64[0]", {"otel:histogram|m|1|D|"}, "an array"},
	{false, "u64[1025]", {"otel:histogram|m|1|D|"}, "an array"},
	{false, "exphist", {"otel:histogram|m|1|D|1"}, "an array"},
	/* Exponential histograms */
	{false, "u64", {"otel:exphist|m|1|D"}, "a struct with tagged buckets"},
	{false, "u64[192]", {"otel:exphist|m|1|D"}, "a struct with tagged buckets"},
	{false, "exphist[2]", {"otel:exphist|m|1|D"}, "a struct with tagged buckets"},
	{false, "exphist", {"otel:exphist|m|1|D|2"}, "are expected"},
	{false, "exphist_s", {"otel:exphist|m|s|D", "otel:scale|1e-9"}, "scale"},
};

static void expect_refused(struct btf_map *map, const char *member, const char *tag,
			   const char *says)
{
	struct plan *plan = btf_map__compile(map);
	int err = errno;

	if (EXPECT_FALSE(plan))
		EXPECT_EQ(err, EINVAL);
	plan__free(plan);
	if (!EXPECT_TRUE(strstr(map->why, says)) ||
	    (member && !EXPECT_TRUE(strstr(map->why, member))) ||
	    (tag && !EXPECT_TRUE(strstr(map->why, tag))))
		printf("wanted %s, %s and \"%s\" in: %s\n", member ? member : "", tag ? tag : "",
		       says, map->why);
}

TEST(bad_member)
{
	const size_t n = sizeof(bad_members) / sizeof(bad_members[0]);

	ASSERT_GE(n, 40);
	for (size_t i = 0; i < n; i++) {
		const struct bad *bad = &bad_members[i];
		struct btf_field key[] = {{"ok", "u32", {"otel:attr|ok|number"}}, {}, {}};
		struct btf_field value[] = {{"fine", "u64", {"otel:sum|fine|1|Fine"}}, {}, {}};
		struct btf_field *field = bad->key ? &key[1] : &value[1];
		struct btf_map map;
		const char *tag = NULL;
		int tags = 0;

		field->name = "culprit";
		field->type = bad->type;
		for (; tags < 3 && bad->tags[tags]; tags++)
			field->tags[tags] = bad->tags[tags];
		/* A bit field and a text too long are the member's fault, whatever the tag. */
		if (tags == 1 && !strstr(bad->says, "takes") && !strstr(bad->says, "bit field") &&
		    !strstr(bad->says, "description 1023"))
			tag = bad->tags[0];
		btf_map__init(&map, key, value, NULL);
		expect_refused(&map, "member culprit", tag, bad->says);
		btf_map__free(&map);
	}
}

/* What OTEL_BUCKETS() may say, and where. */
TEST(bad_buckets)
{
	static const struct {
		const char *type;
		const char *tag;
		const char *says;
	} table[] = {
		{"u64[8]", NULL, "OTEL_BUCKETS()"},
		{"u64[8]", "otel:bucket|2|0|1|none", "OTEL_BUCKETS()"},
		{"u64[8]", "otel:buckets", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0|1", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0|1|none|x", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets||0|1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|two|0|1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2.5|0|1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|21|0|1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|-11|0|1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|x|1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|99999999999999999999|1|none", "scale, index"},
		{"u64[8]", "otel:buckets|2|-100001|1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0||none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0|1ns|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0|inf|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0|0|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0|-1|none", "scale, index, factor and zero"},
		{"u64[8]", "otel:buckets|2|0|1|", "neither an exponent"},
		{"u64[8]", "otel:buckets|2|0|1|None", "neither an exponent"},
		{"u64[8]", "otel:buckets|2|0|1|1e-9", "neither an exponent"},
		{"u64[8]", "otel:buckets|2|0|1|2000", "neither an exponent"},
		{"u64", "otel:buckets|2|0|1|none", "buckets are an array"},
		{"u32[8]", "otel:buckets|2|0|1|none", "buckets are an array"},
		{"u64[0]", "otel:buckets|2|0|1|none", "buckets are an array"},
		{"u64[1025]", "otel:buckets|2|0|1|none", "buckets are an array"},
		{"exphist", "otel:buckets|2|0|1|none", "buckets are an array"},
	};
	static const struct btf_field key[] = {{"ok", "u32", {"otel:attr|ok|number"}}, {}};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const struct btf_field mine[] = {
			{"count", "u64", {}}, {"slots", table[i].type, {table[i].tag}}, {}};
		const struct btf_field value[] = {{"h", "mine", {"otel:exphist|m|1|D"}}, {}};
		__u32 key_size, value_size;
		struct btf_map map;
		int key_type, value_type;

		btf_map__begin(&map);
		btf_map__struct(&map, "mine", mine, NULL);
		key_type = btf_map__struct(&map, "key", key, &key_size);
		value_type = btf_map__struct(&map, "value", value, &value_size);
		btf_map__end(&map, key_type, key_size, value_type, value_size, NULL);
		expect_refused(&map,
			       strstr(table[i].says, "OTEL_B") ? "member h" : "member h.slots",
			       NULL, table[i].says);
		btf_map__free(&map);
	}
}

TEST(buckets_twice)
{
	static const struct btf_field key[] = {{"ok", "u32", {"otel:attr|ok|number"}}, {}};
	static const struct btf_field mine[] = {{"a", "u64[8]", {"otel:buckets|2|0|1|-5"}},
						{"b", "u64[8]", {"otel:buckets|2|0|1|none"}},
						{}};
	static const struct btf_field value[] = {{"h", "mine", {"otel:exphist|m|1|D"}}, {}};
	__u32 key_size, value_size;
	struct btf_map map;
	int key_type, value_type;

	btf_map__begin(&map);
	btf_map__struct(&map, "mine", mine, NULL);
	key_type = btf_map__struct(&map, "key", key, &key_size);
	value_type = btf_map__struct(&map, "value", value, &value_size);
	btf_map__end(&map, key_type, key_size, value_type, value_size, NULL);
	expect_refused(&map, "member h.b", NULL, "twice");
	btf_map__free(&map);
}

static const struct btf_field good_key[] = {
	{"nr", "u32", {"otel:attr|nr|number"}}, {"id", "u64", {"otel:resource|cgroup"}}, {}};
static const struct btf_field good_value[] = {
	{"n", "u64", {"otel:sum|n|1|N"}}, {"h", "exphist", {"otel:exphist|h|1|N"}}, {}};

TEST(outside_of_the_map)
{
	struct btf_map map;
	__u32 key_size, value_size;

	btf_map__init(&map, good_key, good_value, NULL);
	key_size = map.info.key_size;
	value_size = map.info.value_size;
	for (__u32 size = 0; size < key_size; size++) {
		map.info.key_size = size;
		expect_refused(&map, "member", NULL, "lies outside");
	}
	map.info.key_size = key_size;
	for (__u32 size = 0; size < value_size; size += size < 16 ? 1 : 100) {
		map.info.value_size = size;
		expect_refused(&map, "member", NULL, "lies outside");
	}
	btf_map__free(&map);
}

TEST(two_resources)
{
	static const struct btf_field key[] = {{"nr", "u32", {"otel:attr|nr|number"}},
					       {"a", "u64", {"otel:resource|cgroup"}},
					       {"b", "u64", {"otel:resource|cgroup"}},
					       {}};
	struct btf_map map;

	btf_map__init(&map, key, good_value, NULL);
	expect_refused(&map, "member b", "otel:resource|cgroup", "one resource");
	btf_map__free(&map);
}

/* @n members, each with a tag of its own made by @format from its number. */
static struct btf_field *many(int n, const char *type, const char *format)
{
	struct btf_field *fields = calloc(n + 1, sizeof(*fields));

	ASSERT_TRUE(fields);
	for (int i = 0; i < n; i++) {
		char *name, *tag;

		ASSERT_GT(asprintf(&name, "m%d", i), 0);
		ASSERT_GT(asprintf(&tag, format, i), 0);
		fields[i] = (struct btf_field){name, type, {tag}};
	}
	return fields;
}

static void free_many(struct btf_field *fields)
{
	for (int i = 0; fields[i].name; i++) {
		free((char *)fields[i].name);
		free((char *)fields[i].tags[0]);
	}
	free(fields);
}

TEST(too_many)
{
	struct btf_field *fields;
	struct btf_map map;
	struct plan *plan;

	fields = many(PLAN_ATTRS_MAX, "u32", "otel:attr|a%d|number");
	btf_map__init(&map, fields, good_value, NULL);
	plan = compile_good(&map);
	EXPECT_EQ(plan->n_attrs, PLAN_ATTRS_MAX);
	plan__free(plan);
	btf_map__free(&map);
	free_many(fields);

	fields = many(PLAN_ATTRS_MAX + 1, "u32", "otel:attr|a%d|number");
	btf_map__init(&map, fields, good_value, NULL);
	expect_refused(&map, "member m16", NULL, "more than 16 attributes");
	btf_map__free(&map);
	free_many(fields);

	fields = many(PLAN_INSTRUMENTS_MAX, "u64", "otel:sum|m%d|1|D");
	btf_map__init(&map, good_key, fields, NULL);
	plan = compile_good(&map);
	EXPECT_EQ(plan->n_instruments, PLAN_INSTRUMENTS_MAX);
	plan__free(plan);
	btf_map__free(&map);
	free_many(fields);

	fields = many(PLAN_INSTRUMENTS_MAX + 1, "u64", "otel:sum|m%d|1|D");
	btf_map__init(&map, good_key, fields, NULL);
	expect_refused(&map, "member m64", NULL, "more than 64 instruments");
	btf_map__free(&map);
	free_many(fields);
}

TEST(too_many_constant_attributes)
{
	struct btf_field value[] = {{"n",
				     "u64",
				     {"otel:sum|n|1|N", "otel:with|a|1", "otel:with|b|2",
				      "otel:with|c|3", "otel:with|d|4", NULL}},
				    {}};
	struct btf_map map;
	struct plan *plan;

	btf_map__init(&map, good_key, value, NULL);
	plan = compile_good(&map);
	EXPECT_EQ(plan->instruments[0].n_with, 4);
	plan__free(plan);
	btf_map__free(&map);
	value[0].tags[5] = "otel:with|e|5";
	btf_map__init(&map, good_key, value, NULL);
	expect_refused(&map, "member n", "otel:with|e|5", "too many");
	btf_map__free(&map);
}

TEST(bad_map)
{
	static const struct btf_field no_attribute[] = {{"nr", "u32", {}}, {}};
	static const struct btf_field no_instrument[] = {{"n", "u64", {}}, {}};
	static const struct {
		const struct btf_field *key, *value;
		const char *tags[2];
		const char *says;
	} table[] = {
		{no_attribute, good_value, {}, "could not be told apart"},
		{NULL, good_value, {}, "could not be told apart"},
		{good_key, no_instrument, {}, "no member of the value is tagged"},
		{good_key, NULL, {}, "not a struct"},
		{NULL, good_value, {"otel:key"}, "otel:key"},
		{NULL, good_value, {"otel:key|a"}, "a name and a decoder"},
		{NULL, good_value, {"otel:key|a|number|b"}, "a name and a decoder"},
		{NULL, good_value, {"otel:key||number"}, "no attribute name"},
		{NULL, good_value, {"otel:key|a|nothing"}, "there is no decoder"},
		{NULL, good_value, {"otel:key|a|cgroup"}, "8 bytes"},
		{NULL, good_value, {"otel:key|a|enum"}, "no enum"},
	};
	struct btf_map map;

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		btf_map__init(&map, table[i].key, table[i].value, table[i].tags);
		expect_refused(&map, NULL, NULL, table[i].says);
		btf_map__free(&map);
	}
	/* No types at all, and types that are not there. */
	btf_map__init(&map, good_key, good_value, NULL);
	map.info.btf_value_type_id = 0;
	expect_refused(&map, NULL, NULL, "not a struct");
	map.info.btf_value_type_id = 100000;
	expect_refused(&map, NULL, NULL, "not a struct");
	map.info.btf_key_type_id = 100000;
	expect_refused(&map, NULL, NULL, "could not be told apart");
	btf_map__free(&map);
}

/* Every message fits the caller's room, however small. */
TEST(message_room)
{
	static const struct btf_field value[] = {{"n", "u64", {"otel:sum|" LONG_1024}}, {}};
	struct btf_map map;
	char why[600];

	btf_map__init(&map, good_key, value, NULL);
	EXPECT_FALSE(btf_map__compile(&map));
	for (size_t len = 0; len < sizeof(why); len++) {
		memset(why, '#', sizeof(why));
		EXPECT_FALSE(plan__compile(&map.info, map.btf, map.tagged, map.var, why, len));
		EXPECT_EQ(why[len], '#');
		if (len)
			EXPECT_LT(strnlen(why, len), len);
	}
	btf_map__free(&map);
}

/* --- the index of tags ---------------------------------------------------- */

TEST(tags_taken_apart)
{
	static const struct btf_field fields[] = {
		{"a", "u32", {"otel:one|1|2||4|5|6|7|8", "other:tag|x", "otel:two", "otelx"}},
		{"b", "u32", {"otel:one|b|"}},
		{},
	};
	const struct tag *tag;
	struct btf_map map;
	__u32 id;

	btf_map__init(&map, fields, good_value, NULL);
	map.tagged = tagged__new(map.btf);
	ASSERT_TRUE(map.tagged);
	id = map.info.btf_key_type_id;
	tag = tagged__next(map.tagged, id, 0, NULL);
	ASSERT_TRUE(tag);
	EXPECT_STREQ(tag->word, "one");
	EXPECT_STREQ(tag->text, "otel:one|1|2||4|5|6|7|8");
	ASSERT_EQ(tag->args, TAG_ARGS_MAX);
	EXPECT_STREQ(tag->arg[0], "1");
	EXPECT_STREQ(tag->arg[2], "");
	EXPECT_STREQ(tag->arg[5], "6|7|8");
	tag = tagged__next(map.tagged, id, 0, tag);
	ASSERT_TRUE(tag);
	EXPECT_STREQ(tag->word, "two");
	EXPECT_EQ(tag->args, 0);
	EXPECT_FALSE(tagged__next(map.tagged, id, 0, tag));
	tag = tagged__find(map.tagged, id, 1, "one");
	ASSERT_TRUE(tag);
	EXPECT_EQ(tag->args, 2);
	EXPECT_STREQ(tag->arg[1], "");
	EXPECT_FALSE(tagged__find(map.tagged, id, -1, "one"));
	EXPECT_FALSE(tagged__find(map.tagged, id, 1, "on"));
	EXPECT_FALSE(tagged__find(map.tagged, id + 1000, 0, "one"));
	EXPECT_TRUE(tagged__find(map.tagged, map.var, -1, "metrics"));
	btf_map__free(&map);
}

TEST(variables_by_name)
{
	struct btf_map map;
	int type, longer;

	btf_map__begin(&map);
	type = btf__add_int(map.btf, "u32", 4, 0);
	longer = btf__add_var(map.btf, "a_map_with_a_long_name", BTF_VAR_GLOBAL_ALLOCATED, type);
	EXPECT_EQ(tagged__variable(map.btf, "a_map_with_a_long_name"), longer);
	EXPECT_EQ(tagged__variable(map.btf, "a_map_with_a_lo"), longer); /* cut by the kernel */
	EXPECT_EQ(tagged__variable(map.btf, "a_map_with"), 0);
	EXPECT_EQ(tagged__variable(map.btf, "u32"), 0);
	EXPECT_EQ(tagged__variable(map.btf, ""), 0);
	btf_map__free(&map);
}

/* --- hostile bytes -------------------------------------------------------- */

static __u64 random64(__u64 *state)
{
	__u64 z = *state += 0x9e3779b97f4a7c15ULL; /* splitmix64 */

	z = (z ^ z >> 30) * 0xbf58476d1ce4e5b9ULL;
	z = (z ^ z >> 27) * 0x94d049bb133111ebULL;
	return z ^ z >> 31;
}

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec * 1e-9;
}

/* What is likely to matter: type ids, counts, kinds, sizes, characters of tags. */
static void mutate(__u8 *data, __u32 size, __u64 *seed)
{
	static const __u32 numbers[] = {0,	    1,		2,	  3,	    7,
					8,	    64,		1024,	  1025,	    0x7fffffff,
					~0U,	    0x80000000, 1U << 31, 3U << 24, 0x11000000,
					0x0f000001, 0x04000002};
	static const char letters[] = "|:,.-e0129 \x7f\xff\xc3";
	const struct btf_header *header = (const struct btf_header *)data;
	__u32 types = header->hdr_len + header->type_off, types_len = header->type_len;
	__u32 strings = header->hdr_len + header->str_off, strings_len = header->str_len;

	for (int n = 1 + random64(seed) % 4; n; n--) {
		__u32 at;

		switch (random64(seed) % 8) {
		case 0: /* anything, the header too */
			data[random64(seed) % size] = random64(seed);
			break;
		case 1:
		case 2:
		case 3: /* a word of the types */
			at = types + random64(seed) % (types_len / 4) * 4;
			if (random64(seed) & 1)
				memcpy(data + at, &numbers[random64(seed) % (sizeof(numbers) / 4)],
				       4);
			else
				data[at] += random64(seed) % 7 - 3;
			break;
		case 4: /* a word of the types becomes another one */
			at = types + random64(seed) % (types_len / 4) * 4;
			memcpy(data + at, data + types + random64(seed) % (types_len / 4) * 4, 4);
			break;
		default:
			at = strings + 1 + random64(seed) % (strings_len - 2);
			data[at] = letters[random64(seed) % sizeof(letters)];
		}
	}
}

static int ignore(const struct pb *request, size_t points, void *ctx)
{
	size_t *total = ctx;

	(void)request;
	*total += points;
	return 0;
}

/* What compiles must also be harmless to read by. */
static void try_encoding(struct plan *plan, struct metrics *metrics,
			 const struct resources *resources, __u64 *seed)
{
	size_t value_len = (size_t)plan->value_size * plan->values, total = 0;
	__u8 *key = malloc(plan->key_size + 1), *values = malloc(value_len + 1);

	ASSERT_TRUE(key && values);
	/* All zero has names in the enums. */
	memset(key, 0, plan->key_size);
	for (size_t i = random64(seed) & 1 ? plan->key_size : 0; i < plan->key_size; i++)
		key[i] = random64(seed);
	for (size_t i = 0; i < value_len; i++)
		values[i] = random64(seed);
	metrics__begin(metrics, 2);
	ASSERT_EQ(metrics__scope(metrics, "probe", 1), 0);
	if (!metrics__plan(metrics, plan)) {
		ASSERT_EQ(metrics__entry(metrics, plan, key, values, RESOURCE_HOST, false), 0);
		ASSERT_EQ(metrics__entry(metrics, plan, key, values, RESOURCE_HOST, true), 0);
		ASSERT_EQ(metrics__emit(metrics, resources, 1 << 20, ignore, &total), 0);
		EXPECT_EQ(total, metrics__points(metrics));
	}
	free(key);
	free(values);
}

TEST_TIMEOUT(mutated_types, 60)
{
	static const struct btf_field key[] = {
		{"cgroup", "u64", {"otel:resource|cgroup"}},
		{"a", "u32", {"otel:attr|a|syscall"}},
		{"b", "enum", {"otel:attr|b|enum"}},
		{"c", "enum64", {"otel:attr|c|enum"}},
		{"d", "char[16]", {"otel:attr|d|comm"}},
		{"e", "u8[16]", {"otel:attr|e|ipaddr"}},
		{"f", "u32", {"otel:attr|f|kenum:no_such_enum"}},
		{},
	};
	static const struct btf_field value[] = {
		{"g", "u64", {"otel:sum|m.g|1|G", "otel:scale|1e-9", "otel:with|w|x"}},
		{"h", "s32", {"otel:updown|m.h|1|H"}},
		{"i", "u64[4]", {"otel:histogram|m.i|1|I|1,2,3"}},
		{"j", "exphist_s", {"otel:exphist|m.j|s|J"}},
		{},
	};
	unsigned long rounds = 0, parsed = 0, compiled = 0;
	struct resources *resources = resources__new(NULL, NULL);
	struct metrics *metrics = metrics__new();
	struct btf_map map;
	double end = now() + 5;
	const void *raw;
	__u64 seed = 4;
	__u32 size;
	__u8 *copy;

	libbpf_set_print(NULL);
	ASSERT_TRUE(resources && metrics);
	btf_map__init(&map, key, value, NULL);
	raw = btf__raw_data(map.btf, &size);
	copy = malloc(size);
	ASSERT_TRUE(raw && copy);
	for (; now() < end; rounds++) {
		struct tagged *tagged;
		struct plan *plan;
		struct btf *btf;
		char why[256];

		memcpy(copy, raw, size);
		mutate(copy, size, &seed);
		btf = btf__new(copy, size);
		if (!btf)
			continue;
		parsed++;
		tagged = tagged__new(btf);
		ASSERT_TRUE(tagged);
		why[0] = '\0';
		plan = plan__compile(&map.info, btf, tagged, tagged__variable(btf, "table"), why,
				     sizeof(why));
		if (plan) {
			compiled++;
			try_encoding(plan, metrics, resources, &seed);
		} else {
			ASSERT_EQ(errno, EINVAL);
			ASSERT_TRUE(why[0]);
		}
		plan__free(plan);
		tagged__free(tagged);
		btf__free(btf);
	}
	printf("%lu rounds, %lu parsed, %lu compiled\n", rounds, parsed, compiled);
	EXPECT_GT(rounds, 1000);
	EXPECT_GT(parsed, rounds / 20);
	EXPECT_GT(compiled, rounds / 200);
	EXPECT_LT(compiled, parsed);
	free(copy);
	metrics__free(metrics);
	resources__free(resources);
	btf_map__free(&map);
}

TEST_MAIN()
