// SPDX-License-Identifier: GPL-2.0-only
/* Tables that a test fills itself: entries come and go while the exporter reads. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <otelbpf/tags.h>

char LICENSE[] SEC("license") = "GPL";

struct churn_key {
	__u32 id OTEL_ATTR("id", number);
};

struct churn_value {
	__u64 count OTEL_SUM("test.churn", "{entry}", "What the test put in");
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct churn_key);
	__type(value, struct churn_value);
} preallocated SEC(".maps") OTEL_METRICS;

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 16384);
	__type(key, struct churn_key);
	__type(value, struct churn_value);
} allocated SEC(".maps") OTEL_METRICS;

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 16384);
	__type(key, struct churn_key);
	__type(value, struct churn_value);
} per_cpu SEC(".maps") OTEL_METRICS;
