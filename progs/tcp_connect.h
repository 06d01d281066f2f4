/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * Connections that fail before anything is sent: there is no route. The socket's state does not
 * change then, so no tracepoint tells; fexit does, or else a kretprobe.
 *
 * These run in the task that calls connect(). Without fentry and kprobes the measurement is lost.
 */
#ifndef OTELBPF_TCP_CONNECT_H
#define OTELBPF_TCP_CONNECT_H

#include <otelbpf/turn.bpf.h>

#include "tcp_event.h"

static __noinline int unroutable(enum tcp_type type, int error, const struct sockaddr *address)
{
	struct conn_error_key key = {.role = client, .type = type};
	struct tcp_failures *value;
	_Bool added = 0;

	/* What fails later than the search for a route has gone through SYN_SENT. */
	if (error == -EHOSTUNREACH)
		key.error = host_unreachable;
	else if (error == -ENETUNREACH)
		key.error = net_unreachable;
	if (!key.error || !otel_filter__pass())
		return 0;
	if (per_cgroup)
		key.cgroup = bpf_get_current_cgroup_id();
	value = otel_table__get(&failures, &key, &no_failures, &added);
	if (added && per_cgroup)
		otel_cgroup__remember(key.cgroup, otel_cgroup__of(bpf_get_current_task_btf()));
	if (value)
		otel_add(value->count, 1);
	if (events)
		tcp_event__unroutable(type, key.error, address);
	return 0;
}

OTEL_HOOK("connect without a route", 1)
SEC("?fexit/tcp_v4_connect")
int BPF_PROG(connect4, struct sock *sk, struct sockaddr *address, int len, int ret)
{
	if (otel_turn__is_mine(OTEL_NEWER_FIRST))
		unroutable(ipv4, ret, address);
	return 0;
}

OTEL_HOOK("connect without a route", 1)
SEC("?fexit/tcp_v6_connect")
int BPF_PROG(connect6, struct sock *sk, struct sockaddr *address, int len, int ret)
{
	/* IPv4 over an IPv6 socket has just been through tcp_v4_connect(). */
	if (otel_turn__is_mine(OTEL_NEWER_FIRST) && socket__type(sk) != ipv4)
		unroutable(ipv6, ret, address);
	return 0;
}

/* Threads in tcp_v6_connect(); 1: it has called tcp_v4_connect(). The oldest make room. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u32);
} connecting SEC(".maps");

OTEL_HOOK("connect without a route", 2)
SEC("?kprobe/tcp_v6_connect")
int BPF_KPROBE(connect6_enter)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 zero = 0;

	bpf_map_update_elem(&connecting, &thread, &zero, BPF_ANY);
	return 0;
}

OTEL_HOOK("connect without a route", 2)
SEC("?kretprobe/tcp_v4_connect")
int BPF_KRETPROBE(connect4_return, int ret)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 *is_mapped = bpf_map_lookup_elem(&connecting, &thread);

	if (is_mapped)
		*is_mapped = 1;
	if (otel_turn__is_mine(OTEL_OLDER_FIRST))
		unroutable(ipv4, ret, NULL);
	return 0;
}

OTEL_HOOK("connect without a route", 2)
SEC("?kretprobe/tcp_v6_connect")
int BPF_KRETPROBE(connect6_return, int ret)
{
	__u64 thread = bpf_get_current_pid_tgid();
	__u32 *is_mapped;

	if (!otel_turn__is_mine(OTEL_OLDER_FIRST))
		return 0;
	is_mapped = bpf_map_lookup_elem(&connecting, &thread);
	if (!is_mapped || !*is_mapped)
		unroutable(ipv6, ret, NULL);
	bpf_map_delete_elem(&connecting, &thread);
	return 0;
}

#endif
