// SPDX-License-Identifier: GPL-2.0-only
/*
 * What a plain memory leak detector does, for comparison: each allocation's size at the entry, its
 * pointer at the return, and away with it when it is freed.
 */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>

char LICENSE[] SEC("license") = "GPL";

/* By thread. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, __u64);
	__type(value, __u64);
} sizes SEC(".maps");

/* By pointer. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__type(key, __u64);
	__type(value, __u64);
} held SEC(".maps");

SEC("uprobe")
int BPF_KPROBE(memleak_enter, __u64 size)
{
	__u64 thread = bpf_get_current_pid_tgid();

	bpf_map_update_elem(&sizes, &thread, &size, BPF_ANY);
	return 0;
}

SEC("uretprobe")
int BPF_KRETPROBE(memleak_leave, __u64 address)
{
	__u64 thread = bpf_get_current_pid_tgid(), size;
	__u64 *known = bpf_map_lookup_elem(&sizes, &thread);

	if (!known)
		return 0;
	size = *known;
	bpf_map_delete_elem(&sizes, &thread);
	if (address)
		bpf_map_update_elem(&held, &address, &size, BPF_ANY);
	return 0;
}

SEC("uprobe")
int BPF_KPROBE(memleak_free, __u64 address)
{
	bpf_map_delete_elem(&held, &address);
	return 0;
}
