// SPDX-License-Identifier: GPL-2.0-only
/*
 * On-CPU profile: what runs, sampled at a fixed frequency on each CPU.
 *
 *   perf_event   idle? → filter → kernel stack, user stack → count
 *
 * Runs in the timer's interrupt (or an NMI, for a hardware event), never nested in
 * itself, so the per-CPU work space is its own. Another CPU may count the same key.
 */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>
#include <otelbpf/profile.bpf.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 frequency OTEL_OPTION("1..999", "Hz",
					   "Samples a second on each CPU") OTEL_FREQUENCY = 99;
const volatile __u32 idle OTEL_OPTION("0..1", "", "Sample the idle task, too") = 0;
const volatile __u32
	hardware OTEL_OPTION("0..1", "",
			     "Sample by the CPU's cycle counter, if it has one") OTEL_HARDWARE = 0;

OTEL_LOSSES();

struct sample_value {
	__u64 count OTEL_SAMPLES("samples", "count", "cpu", "nanoseconds");
};

/* Written at every sample; read and deleted by the exporter, a window at a time. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 16384);
	__type(key, struct otel_sample_key);
	__type(value, struct sample_value);
} samples SEC(".maps") OTEL_PROFILE;

SEC("perf_event")
int sample(struct bpf_perf_event_data *ctx)
{
	struct task_struct *task = bpf_get_current_task_btf();
	static const struct sample_value none;
	struct sample_value *value;
	struct otel_scratch *s;
	struct otel_sample_key key = {};
	__u32 zero = 0;
	_Bool added = 0;

	if (!idle && !(__u32)bpf_get_current_pid_tgid())
		return 0;
	if (!otel_filter__pass())
		return 0;
	s = bpf_map_lookup_elem(&scratch, &zero);
	if (!s)
		return 0;
	key.window = otel_window.current;
	otel_process__identify(&key.process, task);
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	if (trace_context)
		otel_trace__current(&key.trace);
	key.kernel_stack = otel_stack__kernel(ctx, s, key.window);
	if (!(task->flags & 0x00200000)) /* PF_KTHREAD */
		key.user_stack = otel_stack__user(ctx, s, key.window);
	value = otel_sample__get(&samples, &key, &none, &added);
	if (added)
		otel_process__remember(&key.process, s, task);
	if (value)
		__sync_fetch_and_add(&value->count, 1);
	return 0;
}
