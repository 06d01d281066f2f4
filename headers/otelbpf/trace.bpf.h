/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Trace context of threads, from whoever publishes it (OpenTelemetry enhancement proposal
 * 4855): a map at the root of bpffs that tracers write and profilers read. Whoever comes
 * first makes it; it stays when a probe is unloaded.
 */
#ifndef OTELBPF_TRACE_BPF_H
#define OTELBPF_TRACE_BPF_H

#include <bpf/bpf_helpers.h>

#include "tags.h"

/**
 * struct otel_trace - a span that a thread works for
 * @trace_id: all zero: none
 * @span_id:  the span in it
 */
struct otel_trace {
	__u8 trace_id[16];
	__u8 span_id[8];
} __attribute__((aligned(8)));
_Static_assert(sizeof(struct otel_trace) == 24, "the layout is the proposal's");

/* A probe that does without contexts unless an option asks for them says so before. */
#ifndef OTEL_TRACE_WHEN
#define OTEL_TRACE_WHEN
#endif

/* By bpf_get_current_pid_tgid(). Written by others; read by programs at each measurement. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 16384);
	__type(key, __u64);
	__type(value, struct otel_trace);
} otel_traces_ctx_v1 SEC(".maps") OTEL_SHARED("otel_traces_ctx_v1") OTEL_TRACE_WHEN;

/**
 * otel_trace__of - a thread's trace context
 * @trace:  filled; all zero when the thread published none
 * @thread: as bpf_get_current_pid_tgid()
 *
 * One lookup. From any context, an NMI too: it takes no lock.
 */
static __always_inline void otel_trace__of(struct otel_trace *trace, __u64 thread)
{
	const struct otel_trace *found = bpf_map_lookup_elem(&otel_traces_ctx_v1, &thread);

	if (found)
		*trace = *found;
	else
		__builtin_memset(trace, 0, sizeof(*trace));
}

/** otel_trace__current - the current thread's trace context */
static __always_inline void otel_trace__current(struct otel_trace *trace)
{
	otel_trace__of(trace, bpf_get_current_pid_tgid());
}

#endif
