/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * The two maps that make an object a probe. otel.bpf.h brings them with everything else;
 * a probe whose programs have no current task, as those on a network interface, includes
 * this one and so declares no filter, which could not mean anything there.
 */
#ifndef OTELBPF_PROBE_BPF_H
#define OTELBPF_PROBE_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

#include "meta.h"
#include "table.bpf.h"
#include "tags.h"

/* One entry. Written by the loader, read by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct otel_meta);
} meta SEC(".maps") OTEL_TAG("meta");

/* As many entries as the object has programs. Written and read by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OTEL_PROGRAMS_MAX);
	__type(key, __u32);
	__type(value, struct otel_program);
} programs SEC(".maps") OTEL_TAG("programs");

#endif
