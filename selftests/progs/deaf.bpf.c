// SPDX-License-Identifier: GPL-2.0-only
/* A bad network: on the ingress of a cgroup's sockets, some packets never arrive. */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* Of the packets with payload one of so many is lost; 1: every packet, with payload or not. */
const volatile __u32 every = 1;

static __u32 seen;

SEC("cgroup_skb/ingress")
int deaf(struct __sk_buff *skb)
{
	struct iphdr ip;
	struct tcphdr tcp;

	if (every == 1)
		return 0;
	if (bpf_skb_load_bytes(skb, 0, &ip, sizeof(ip)) || ip.version != 4 ||
	    ip.protocol != IPPROTO_TCP || bpf_skb_load_bytes(skb, ip.ihl * 4, &tcp, sizeof(tcp)))
		return 1;
	if (bpf_ntohs(ip.tot_len) <= ip.ihl * 4 + tcp.doff * 4)
		return 1;
	return __sync_fetch_and_add(&seen, 1) % every != every - 1;
}
