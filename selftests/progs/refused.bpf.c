// SPDX-License-Identifier: GPL-2.0-only
/* The verifier does not take this: a value is used without having been found. */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct refused_value {
	__u64 count OTEL_SUM("test.refused", "{fork}", "Forks");
};

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct refused_value);
} forks SEC(".maps") OTEL_METRICS;

SEC("tp_btf/sched_process_fork")
int BPF_PROG(refused_fork)
{
	struct refused_value *value;
	__u32 zero = 0;

	value = bpf_map_lookup_elem(&forks, &zero);
	value->count++;
	return 0;
}
