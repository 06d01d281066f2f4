/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Allocations that a program tells of itself, by the USDT probes otel_memory:alloc(pointer, size,
 * weight) and otel_memory:free(pointer): of the probe malloc. They are a contract among tools that
 * profile memory (opentelemetry-ebpf-profiler, design-docs/00003-memory-profiling).
 *
 * It has sampled them: the weight is how many bytes one stands for. What it has not sampled it does
 * not tell, neither when it is freed, so that a trap is rare, and each one counts.
 */
#ifndef OTELBPF_MALLOC_USDT_H
#define OTELBPF_MALLOC_USDT_H

SEC("usdt")
OTEL_USDT("otel_memory:free")
int OTEL_UPROBE(probe_free)
{
	__u64 address;

	if (otel_usdt__arg(ctx, otel_usdt__site(ctx), 0, &address)) {
		otel_lose(usdt_unread);
		return 0;
	}
	return released(address);
}

static __always_inline int tell_made(struct pt_regs *ctx, struct thread *t)
{
	struct otel_usdt_site *site = otel_usdt__site(ctx);
	struct allocation *made = &t->made;
	__u64 address, size, weight;

	if (otel_usdt__arg(ctx, site, 0, &address) || otel_usdt__arg(ctx, site, 1, &size) ||
	    otel_usdt__arg(ctx, site, 2, &weight)) {
		otel_lose(usdt_unread);
		return 0;
	}
	if (!address)
		return 0;
	made->cgroup = bpf_get_current_cgroup_id();
	/* Without a weight it stands for itself. */
	made->bytes = weight ? weight : size;
	made->objects = 1;
	if (weight)
		made->objects = weight__objects(size ? size : 1, weight, bpf_get_prandom_u32());
	return count_made(ctx, t, address, size, 0);
}

SEC("usdt")
OTEL_USDT("otel_memory:alloc")
int OTEL_UPROBE(probe_alloc)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct guard *g = guard__get();
	__u64 since_ns = 0;
	struct thread *t;

	t = begin(g, task);
	if (!t)
		return 0;
	if (guard_percent)
		since_ns = bpf_ktime_get_ns();
	t->usdt_exec = task->self_exec_id + 1;
	/* The call that it tells from within may be one whose return is waited for. */
	t->sampled = 0;
	tell_made(ctx, t);
	/* Not what sampling fewer would save: that is up to the program. */
	if (guard_percent)
		t->guarded.spent_ns += bpf_ktime_get_ns() - since_ns;
	return 0;
}

#endif
