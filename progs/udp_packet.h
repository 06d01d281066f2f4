/* SPDX-License-Identifier: GPL-2.0-only */
/* A datagram as a socket's cgroup sees it: the data begins with the IP header. */
#ifndef OTELBPF_UDP_PACKET_H
#define OTELBPF_UDP_PACKET_H

#include "udp_tables.h"

#define ETH_P_IP 0x0800
#define ETH_P_IPV6 0x86dd
/* Extension headers of IPv6 that may come before UDP's. */
#define IPPROTO_HOPOPTS 0
#define IPPROTO_ROUTING 43
#define IPPROTO_FRAGMENT 44
#define IPPROTO_DSTOPTS 60
#define IPV6_EXTENSIONS 4

/**
 * struct datagram - what was found
 * @local, @peer: addresses, IPv4 as ::ffff:a.b.c.d
 * @payload:      where it begins
 * @bytes:        how long it is: of all datagrams together if @count is more than one
 * @count:        datagrams in one packet (segmentation offload)
 */
struct datagram {
	__u8 local[16];
	__u8 peer[16];
	__u16 local_port;
	__u16 peer_port;
	enum udp_type type;
	__u32 payload;
	__u32 bytes;
	__u32 count;
};

static __always_inline void datagram__addresses(struct datagram *d, const void *source,
						const void *destination, __u32 size, _Bool sends)
{
	__u32 mapped = size == 4 ? bpf_htonl(0xffff) : 0;

	__builtin_memset(d->local, 0, 16);
	__builtin_memset(d->peer, 0, 16);
	if (size == 4) {
		__builtin_memcpy(d->local + 8, &mapped, 4);
		__builtin_memcpy(d->peer + 8, &mapped, 4);
		__builtin_memcpy(d->local + 12, sends ? source : destination, 4);
		__builtin_memcpy(d->peer + 12, sends ? destination : source, 4);
	} else {
		__builtin_memcpy(d->local, sends ? source : destination, 16);
		__builtin_memcpy(d->peer, sends ? destination : source, 16);
	}
}

/* Where the UDP header is, 0 if there is none. */
static __always_inline __u32 datagram__ipv4(struct __sk_buff *skb, struct datagram *d, _Bool sends)
{
	struct iphdr *ip = (void *)(long)skb->data;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->protocol != IPPROTO_UDP)
		return 0;
	d->type = ipv4;
	datagram__addresses(d, &ip->saddr, &ip->daddr, 4, sends);
	return ip->ihl * 4;
}

static __noinline __u32 datagram__skip_extensions(struct __sk_buff *skb, __u8 next)
{
	__u32 at = sizeof(struct ipv6hdr);
	__u8 header[2];

	for (int i = 0; i < IPV6_EXTENSIONS && next != IPPROTO_UDP; i++) {
		if (next != IPPROTO_HOPOPTS && next != IPPROTO_ROUTING && next != IPPROTO_DSTOPTS &&
		    next != IPPROTO_FRAGMENT)
			return 0;
		if (bpf_skb_load_bytes(skb, at, header, sizeof(header)))
			return 0;
		at += next == IPPROTO_FRAGMENT ? 8 : (header[1] + 1) * 8;
		next = header[0];
	}
	return next == IPPROTO_UDP ? at : 0;
}

static __always_inline __u32 datagram__ipv6(struct __sk_buff *skb, struct datagram *d, _Bool sends)
{
	struct ipv6hdr *ip = (void *)(long)skb->data;

	if ((void *)(ip + 1) > (void *)(long)skb->data_end || ip->nexthdr == IPPROTO_TCP)
		return 0;
	d->type = ipv6;
	datagram__addresses(d, &ip->saddr, &ip->daddr, 16, sends);
	return datagram__skip_extensions(skb, ip->nexthdr);
}

/* Returns whether it is one. */
static __always_inline _Bool datagram__parse(struct __sk_buff *skb, struct datagram *d, _Bool sends)
{
	struct udphdr udp;
	__u32 at = 0;

	if (skb->protocol == bpf_htons(ETH_P_IP))
		at = datagram__ipv4(skb, d, sends);
	else if (skb->protocol == bpf_htons(ETH_P_IPV6))
		at = datagram__ipv6(skb, d, sends);
	if (!at || bpf_skb_load_bytes(skb, at, &udp, sizeof(udp)))
		return 0;
	d->local_port = bpf_ntohs(sends ? udp.source : udp.dest);
	d->peer_port = bpf_ntohs(sends ? udp.dest : udp.source);
	d->payload = at + sizeof(udp);
	d->bytes = skb->len > d->payload ? skb->len - d->payload : 0;
	/* Ethernet pads short frames, and the kernel cuts that off only later. */
	if (skb->gso_segs <= 1 && bpf_ntohs(udp.len) >= sizeof(udp) &&
	    d->bytes > bpf_ntohs(udp.len) - sizeof(udp))
		d->bytes = bpf_ntohs(udp.len) - sizeof(udp);
	d->count = skb->gso_segs > 1 ? skb->gso_segs : 1;
	return 1;
}

#endif
