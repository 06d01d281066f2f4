// SPDX-License-Identifier: GPL-2.0-only
/*
 * A small probe with one of each way of being attached, for loaders that are stopped at every step:
 * a link, one on each CPU, one on an interface, an iterator. The test writes a number of its own
 * over "0000000", so that it knows its programs among all in the kernel.
 */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>

char LICENSE[] SEC("license") = "GPL";

struct exec_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
};
struct exec_value {
	__u64 count OTEL_SUM("test.executions", "{execution}", "Programs executed");
};
struct { /* written by the first program, read by the test */
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 64);
	__type(key, struct exec_key);
	__type(value, struct exec_value);
} execs SEC(".maps") OTEL_METRICS;

OTEL_LOSSES();
static const struct exec_value none;

/* What the reload of a configuration changes. */
const volatile __u32 step OTEL_OPTION("1..9", "1", "What each execution counts") = 1;

const volatile char interfaces[64] OTEL_OPTION("1..63", "characters",
					       "Network interfaces") OTEL_INTERFACES = "lo";

SEC("tp_btf/sched_process_exec")
int OTEL_PROG(f0000000exec, struct task_struct *task)
{
	struct exec_key key = {.cgroup = bpf_get_current_cgroup_id()};
	struct exec_value *value;
	_Bool added = 0;

	if (!otel_filter__pass())
		return 0;
	value = otel_table__get(&execs, &key, &none, &added);
	if (value)
		value->count += step;
	return 0;
}

SEC("perf_event")
OTEL_SOFTWARE("page-faults-maj")
int f0000000each(struct bpf_perf_event_data *ctx)
{
	return 0;
}

OTEL_TC(egress)
SEC("tc")
int f0000000tc(struct __sk_buff *skb)
{
	return -1; /* TC_ACT_UNSPEC: the next one decides */
}

SEC("iter/task")
int f0000000iter(struct bpf_iter__task *ctx)
{
	return 0;
}
