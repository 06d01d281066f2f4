// SPDX-License-Identifier: GPL-2.0-only
/* Maps with tags that are wrong, each in another way, and one that is right. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <otelbpf/tags.h>

char LICENSE[] SEC("license") = "GPL";

struct good_key {
	__u32 id OTEL_ATTR("id", number);
};
struct good_value {
	__u64 count OTEL_SUM("test.good", "{thing}", "Things");
};

#define TABLE(name, key_type, value_type)        \
	struct {                                 \
		__uint(type, BPF_MAP_TYPE_HASH); \
		__uint(max_entries, 16);         \
		__type(key, key_type);           \
		__type(value, value_type);       \
	} name SEC(".maps") OTEL_METRICS

TABLE(good, struct good_key, struct good_value);

/* Keys. */
struct no_decoder_key {
	__u32 id OTEL_ATTR("id", colour);
};
TABLE(no_decoder, struct no_decoder_key, struct good_value);

struct no_name_key {
	__u32 id OTEL_ATTR("", number);
};
TABLE(no_name, struct no_name_key, struct good_value);

struct few_args_key {
	__u32 id OTEL_TAG("attr|id");
};
TABLE(few_args, struct few_args_key, struct good_value);

struct wide_errno_key {
	__u8 bytes[3] OTEL_ATTR("id", number);
};
TABLE(odd_size, struct wide_errno_key, struct good_value);

struct twice_key {
	__u32 id OTEL_ATTR("id", number);
	__u32 other OTEL_ATTR("id", number);
};
TABLE(twice, struct twice_key, struct good_value);

struct untagged_key {
	__u32 id;
};
TABLE(untagged, struct untagged_key, struct good_value);

struct resource_key {
	__u32 id OTEL_RESOURCE(number);
};
TABLE(bad_resource, struct resource_key, struct good_value);

/* Values. */
struct unknown_value {
	__u64 count OTEL_TAG("summary|test.bad|1|Things");
};
TABLE(unknown_word, struct good_key, struct unknown_value);

struct narrow_value {
	__u16 count OTEL_SUM("test.bad", "1", "Things");
};
TABLE(narrow, struct good_key, struct narrow_value);

struct two_value {
	__u64 count OTEL_SUM("test.bad", "1", "Things") OTEL_GAUGE("test.worse", "1", "Things");
};
TABLE(two_kinds, struct good_key, struct two_value);

struct bounds_value {
	__u64 counts[3] OTEL_HISTOGRAM("test.bad", "1", "Things", "2,1");
};
TABLE(descending, struct good_key, struct bounds_value);

struct few_bounds_value {
	__u64 counts[4] OTEL_HISTOGRAM("test.bad", "1", "Things", "1,2");
};
TABLE(few_bounds, struct good_key, struct few_bounds_value);

struct no_buckets {
	__u64 count;
	__u64 buckets[4];
};
struct no_buckets_value {
	struct no_buckets h OTEL_EXPHIST("test.bad", "1", "Things");
};
TABLE(no_buckets_tag, struct good_key, struct no_buckets_value);

struct bad_scale {
	__u64 count;
	__u64 buckets[4] OTEL_BUCKETS("21", "0", "1", "none");
};
struct bad_scale_value {
	struct bad_scale h OTEL_EXPHIST("test.bad", "1", "Things");
};
TABLE(bad_scale_tag, struct good_key, struct bad_scale_value);

struct bad_factor_value {
	__u64 count OTEL_SUM("test.bad", "1", "Things") OTEL_SCALE("nan");
};
TABLE(bad_factor, struct good_key, struct bad_factor_value);

struct bit_value {
	__u64 count : 12 OTEL_SUM("test.bad", "1", "Things");
};
TABLE(bit_field, struct good_key, struct bit_value);

TABLE(no_struct, struct good_key, __u64);

struct empty_value {
	__u64 count;
};
TABLE(nothing, struct good_key, struct empty_value);

/* A kind of map that is no table. */
struct prefix_key {
	__u32 prefix_length;
	__u32 id OTEL_ATTR("id", number);
};
struct {
	__uint(type, BPF_MAP_TYPE_LPM_TRIE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16);
	__type(key, struct prefix_key);
	__type(value, struct good_value);
} a_trie SEC(".maps") OTEL_METRICS;

/* For one of this kind libbpf gives the kernel no BTF, so the exporter cannot see the tag. */
struct {
	__uint(type, BPF_MAP_TYPE_RINGBUF);
	__uint(max_entries, 4096);
} a_ring SEC(".maps") OTEL_METRICS;
