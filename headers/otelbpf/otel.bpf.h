/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * otelbpf's vocabulary for BPF programs. After vmlinux.h, include only this.
 *
 *   tags.h        what a map, a member, a variable means
 *   exphist.bpf.h exact exponential histograms
 *   table.bpf.h   tables with an overflow entry; counted losses
 *   filter.bpf.h  filters that change at run time
 *   deadline.bpf.h  measuring that ends by itself
 *   cpu.bpf.h     programs that no other task interrupts
 *   owner.bpf.h   filters for what does not happen in its owner's context
 *   cgroup.bpf.h  names of cgroups
 *   probe.bpf.h   what makes an object a probe
 *   meta.h        what the loader writes about a probe
 *
 * Besides, for those that have a use for it:
 *   event.bpf.h   spans and log records
 *   turn.bpf.h    upgrades that count each event once
 *   profile.bpf.h stacks
 */
#ifndef OTELBPF_OTEL_BPF_H
#define OTELBPF_OTEL_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

/* For programs whose keys have no cgroup: the map takes more than 1 MiB. */
#ifndef OTEL_NO_CGROUP_NAMES
#include "cgroup.bpf.h"
#endif
#include "cpu.bpf.h"
#include "exphist.bpf.h"
#include "filter.bpf.h"
#include "meta.h"
#include "owner.bpf.h"
#include "probe.bpf.h"
#include "table.bpf.h"
#include "tags.h"

#endif
