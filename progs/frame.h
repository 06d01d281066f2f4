/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What a frame is: its network protocol and its transport. Every length and every next
 * header in here comes from the network, so nothing is believed: what does not fit the
 * frame is truncated, what contradicts itself malformed, and each loop has an end.
 */
#ifndef OTELBPF_FRAME_H
#define OTELBPF_FRAME_H

/* The names are those of the attributes: network.io.direction, .type, .transport. */
enum io_direction { receive, transmit } __attribute__((packed));

enum network_type { ipv4, ipv6, arp, mpls, non_ip, truncated_frame } __attribute__((packed));

enum network_transport {
	other, /* IP, and none of these; 0 for the table below */
	tcp,
	udp,
	icmp,
	sctp,
	igmp,
	gre,
	esp,
	dccp,
	none,	   /* not IP, or IPv6 with no next header */
	truncated, /* the frame ends before its transport is known */
	malformed,
} __attribute__((packed));

#define ETH_P_IP 0x0800
#define ETH_P_ARP 0x0806
#define ETH_P_8021Q 0x8100
#define ETH_P_IPV6 0x86dd
#define ETH_P_MPLS_UC 0x8847
#define ETH_P_MPLS_MC 0x8848
#define ETH_P_8021AD 0x88a8
#define ETH_P_QINQ1 0x9100

#define VLAN_TAGS_MAX 4
#define EXTENSIONS_MAX 8

/* Above any header chain of EXTENSIONS_MAX; keeps offsets bounded for the verifier. */
#define OFFSET_MAX 0x3fff

struct vlan_tag {
	__be16 control;
	__be16 protocol;
};

struct extension {
	__u8 next;
	__u8 length;
	__be16 fragment; /* of a fragment header only */
};

/**
 * struct frame - a frame as its program sees it
 * @ctx:        of the program
 * @data:       the part that can be accessed directly
 * @data_end:   its end
 * @load:       copies from anywhere in the frame
 * @tags:       skip_tags() and
 * @extensions: skip_extensions() for this kind of @ctx: functions of their own, that copy
 *              what they look at, so that what is rare costs the usual packet nothing and
 *              the verifier looks at it once
 */
struct frame {
	void *ctx;
	void *data;
	void *data_end;
	long (*load)(void *ctx, __u32 offset, void *to, __u32 size);
	__u32 (*tags)(void *ctx, __u32 protocol);
	__u32 (*extensions)(void *ctx, __u32 offset, __u32 next);
};

/*
 * Headers are in the linear part, but for a driver that puts them into a fragment. Then
 * they are copied: never pulled, which would change the packet.
 */
static __always_inline void *frame__look(const struct frame *frame, __u32 offset, void *copy,
					 __u32 size)
{
	void *at = frame->data + offset;

	if (at + size <= frame->data_end)
		return at;
	return frame->load(frame->ctx, offset, copy, size) ? NULL : copy;
}

/*
 * By IANA's protocol numbers. A table, not a switch: one load on the hot path, and one path
 * for the verifier.
 */
#define EXTENSION 0x80		       /* an IPv6 extension header: to be skipped */
#define AUTHENTICATION (EXTENSION | 1) /* whose length counts four bytes */
#define FRAGMENT (EXTENSION | 2)       /* which has no length */
/* clang-format off */
static const __u8 transports[256] = {
	[6] = tcp, [17] = udp, [1] = icmp, [58] = icmp, [132] = sctp, [2] = igmp, [47] = gre,
	[50] = esp, [33] = dccp, [59] = none,
	/* hop by hop, routing, destination, mobility, HIP, shim6 */
	[0] = EXTENSION, [43] = EXTENSION, [60] = EXTENSION, [135] = EXTENSION,
	[139] = EXTENSION, [140] = EXTENSION,
	[44] = FRAGMENT, [51] = AUTHENTICATION,
};
/* clang-format on */

static __always_inline enum network_transport transport_of(__u8 protocol)
{
	__u8 transport = transports[protocol];

	return transport & EXTENSION ? other : transport;
}

/*
 * Along the chain of RFC 8200 to the transport, whose offset is returned above the low
 * byte, which names it. What follows the fragment header of any fragment but the first is
 * in the middle of something: its name is known, its header is elsewhere.
 */
static __always_inline __u32 skip_extensions(void *ctx, typeof(((struct frame *)0)->load) load,
					     __u32 offset, __u32 next)
{
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		__u32 kind = transports[next & 255], length;
		struct extension header;

		if (!(kind & EXTENSION))
			return offset << 8 | kind;
		if (offset > OFFSET_MAX)
			return malformed;
		if (load(ctx, offset, &header, sizeof(header)))
			return truncated;
		if (kind == FRAGMENT && (header.fragment & bpf_htons(0xfff8)))
			return transport_of(header.next);
		/* Without branches, each of which would double what the verifier looks at. */
		length = header.length & ((kind >> 1 & 1) - 1);
		offset += (length + 1 + (kind & 1)) << (3 - (kind & 1));
		next = header.next;
	}
	return malformed;
}

/* What a frame was found to be. @transport_at is 0 where there is no transport header. */
struct verdict {
	__u32 transport_at;
	enum network_type type;
	enum network_transport transport;
};

static __always_inline void parse_ipv4(const struct frame *frame, __u32 offset,
				       struct verdict *verdict)
{
	struct iphdr copy, *ip = frame__look(frame, offset, &copy, sizeof(copy));
	__u8 first;

	verdict->type = ipv4;
	verdict->transport = truncated;
	if (!ip)
		return;
	first = *(__u8 *)ip;
	verdict->transport = malformed;
	if (first >> 4 != 4 || (first & 15) < 5)
		return;
	verdict->transport = transport_of(ip->protocol);
	/* Of a fragment only the first has the transport's header. */
	if (!(ip->frag_off & bpf_htons(0x1fff)))
		verdict->transport_at = offset + (first & 15) * 4;
}

static __always_inline void parse_ipv6(const struct frame *frame, __u32 offset,
				       struct verdict *verdict)
{
	struct ipv6hdr copy, *ip = frame__look(frame, offset, &copy, sizeof(copy));
	__u32 found;

	verdict->type = ipv6;
	verdict->transport = truncated;
	if (!ip)
		return;
	verdict->transport = malformed;
	if (*(__u8 *)ip >> 4 != 6)
		return;
	offset += sizeof(*ip);
	if (transports[ip->nexthdr] & EXTENSION) {
		found = frame->extensions(frame->ctx, offset, ip->nexthdr);
		verdict->transport = found & 0xff;
		verdict->transport_at = found >> 8;
		return;
	}
	verdict->transport = transport_of(ip->nexthdr);
	verdict->transport_at = offset;
}

static __always_inline _Bool is_vlan(__u16 protocol)
{
	return protocol == bpf_htons(ETH_P_8021Q) || protocol == bpf_htons(ETH_P_8021AD) ||
	       protocol == bpf_htons(ETH_P_QINQ1);
}

/*
 * Over the tags that are still in the frame (most drivers take the outer one out of it).
 * Returned is the protocol behind them, and above 16 bits its header's offset: 0 if the
 * frame ends before.
 */
static __always_inline __u32 skip_tags(void *ctx, typeof(((struct frame *)0)->load) load,
				       __u32 protocol)
{
	__u32 offset = sizeof(struct ethhdr);

	for (int i = 0; i < VLAN_TAGS_MAX && is_vlan(protocol); i++) {
		struct vlan_tag tag;

		if (load(ctx, offset, &tag, sizeof(tag)))
			return 0;
		protocol = tag.protocol;
		offset += sizeof(tag);
	}
	return offset << 16 | protocol;
}

static __always_inline void parse(const struct frame *frame, struct verdict *verdict)
{
	struct ethhdr copy, *ethernet = frame__look(frame, 0, &copy, sizeof(copy));
	__u32 offset = sizeof(*ethernet), found;
	__u16 protocol;

	verdict->transport_at = 0;
	verdict->type = truncated_frame;
	verdict->transport = truncated;
	if (!ethernet)
		return;
	protocol = ethernet->h_proto;
	if (is_vlan(protocol)) {
		found = frame->tags(frame->ctx, protocol);
		/* For the verifier: there are at most VLAN_TAGS_MAX tags. */
		offset = (found >> 16) & 63;
		protocol = found;
		if (!offset)
			return;
	}
	verdict->transport = none;
	if (protocol == bpf_htons(ETH_P_IP))
		parse_ipv4(frame, offset, verdict);
	else if (protocol == bpf_htons(ETH_P_IPV6))
		parse_ipv6(frame, offset, verdict);
	else if (protocol == bpf_htons(ETH_P_ARP))
		verdict->type = arp;
	else if (protocol == bpf_htons(ETH_P_MPLS_UC) || protocol == bpf_htons(ETH_P_MPLS_MC))
		verdict->type = mpls;
	else
		verdict->type = non_ip;
}

#endif
