/* SPDX-License-Identifier: GPL-2.0-only */
/* Where memory is allocated: what is sampled, by stack. */
#ifndef OTELBPF_MALLOC_PROFILE_H
#define OTELBPF_MALLOC_PROFILE_H

struct sample_value {
	__u64 bytes OTEL_SAMPLES("alloc_space", "bytes", "", "");
	__u64 objects OTEL_SAMPLES("alloc_objects", "count", "", "");
	__u64 mapped OTEL_SAMPLES("mapped_space", "bytes", "", "");
};

/* Written when a sampled call returns. */
OTEL_PROFILE_TABLES(struct sample_value, 6144);

/* Whether the CPU's work space for stacks is in use. One entry, per CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} busy SEC(".maps");

/*
 * Behind a call, as when the allocator has returned, the stack begins with its caller. The first
 * frame is where that goes on, which may be another line or function already; one byte less is in
 * the call.
 *
 * Return: the stack's hash, 0 when there is none.
 */
static __noinline __u64 profile(struct pt_regs *ctx, struct otel_process_id *process,
				const struct sample_value *add, _Bool behind_call)
{
	struct task_struct *task = bpf_get_current_task_btf();
	static const struct sample_value none;
	struct sample_value *value;
	struct otel_sample_key key = {};
	struct otel_scratch *s;
	__u64 *used;
	__u32 zero = 0;
	_Bool added = 0;

	s = bpf_map_lookup_elem(&scratch, &zero);
	used = bpf_map_lookup_elem(&busy, &zero);
	if (!s || !used || !process || !add)
		return 0;
	if (__sync_lock_test_and_set(used, 1)) {
		otel_lose(stack_busy);
		return 0;
	}
	key.window = otel_window.current;
	key.process = *process;
	bpf_get_current_comm(key.comm, sizeof(key.comm));
	if (trace_context)
		otel_trace__current(&key.trace);
	key.user_stack = otel_stack__user(ctx, s, &s->user);
	if (key.user_stack)
		s->user.frames[0] -= behind_call;
	value = otel_sample__get(&key, s, &none, &added);
	if (added)
		otel_process__remember(process, s, task);
	__sync_lock_test_and_set(used, 0);
	if (value) {
		__sync_fetch_and_add(&value->bytes, add->bytes);
		__sync_fetch_and_add(&value->objects, add->objects);
		__sync_fetch_and_add(&value->mapped, add->mapped);
	}
	return key.user_stack;
}

#endif
