// SPDX-License-Identifier: GPL-2.0-only
/*
 * A table of many series for measuring the exporter. No program writes it:
 * selftests/bench/fill.c does, so that every run exports the same numbers.
 */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>

#include "../bench/series.h"

char LICENSE[] SEC("license") = "GPL";

struct series_key {
	__u32 nr OTEL_ATTR("syscall.name", syscall);
	__u32 shard OTEL_ATTR("shard", number);
};
_Static_assert(sizeof(struct series_key) == SERIES_KEY_SIZE, "series_key has a hole");

struct series_value {
	struct exphist_s duration OTEL_EXPHIST("bench.duration", "s", "Made up");
};

struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, SERIES_ROOM);
	__type(key, struct series_key);
	__type(value, struct series_value);
} series SEC(".maps") OTEL_METRICS;

/* A loader attaches something: once for each process that ends, and it does nothing. */
SEC("tp_btf/sched_process_exit")
int BPF_PROG(series_nothing, struct task_struct *task)
{
	return 0;
}
