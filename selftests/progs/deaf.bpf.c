// SPDX-License-Identifier: GPL-2.0-only
/* Bad networks. */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

/* What comes to a cgroup's sockets never arrives. */
SEC("cgroup_skb/ingress")
int deaf(struct __sk_buff *skb)
{
	return 0;
}

/* Of the packets with payload that come through an interface, one of so many is lost. */
#define EVERY 9

static __u32 seen;

SEC("tc")
int lossy(struct __sk_buff *skb)
{
	const __u32 at = sizeof(struct ethhdr);
	struct iphdr ip;
	struct tcphdr tcp;

	if (bpf_skb_load_bytes(skb, at, &ip, sizeof(ip)) || ip.version != 4 ||
	    ip.protocol != IPPROTO_TCP ||
	    bpf_skb_load_bytes(skb, at + ip.ihl * 4, &tcp, sizeof(tcp)))
		return 0; /* TC_ACT_OK */
	if (bpf_ntohs(ip.tot_len) <= ip.ihl * 4 + tcp.doff * 4)
		return 0;
	return __sync_fetch_and_add(&seen, 1) % EVERY == EVERY - 1 ? 2 /* TC_ACT_SHOT */ : 0;
}
