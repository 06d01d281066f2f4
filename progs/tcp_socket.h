/* SPDX-License-Identifier: GPL-2.0-only */
/* What the kernel's TCP socket says, in the words of the probe. */
#ifndef OTELBPF_TCP_SOCKET_H
#define OTELBPF_TCP_SOCKET_H

#include "tcp_tables.h"

#define AF_INET 2
#define AF_INET6 10
#define SHUTDOWN_BOTH 3

#define EPIPE 32
#define ENETUNREACH 101
#define ECONNRESET 104
#define ETIMEDOUT 110
#define ECONNREFUSED 111
#define EHOSTUNREACH 113

/* IPv4 over an IPv6 socket is IPv4: ::ffff:0:0/96. */
static __always_inline enum tcp_type socket__type(struct sock *sk)
{
	if (sk->__sk_common.skc_family == AF_INET)
		return ipv4;
	if (!sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[0] &&
	    !sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[1] &&
	    sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[2] == bpf_htonl(0xffff))
		return ipv4;
	return ipv6;
}

static __always_inline _Bool socket__is_tcp(struct sock *sk)
{
	__u16 family = sk->__sk_common.skc_family;

	/* A Multipath TCP socket has a protocol of its own; its subflows are TCP. */
	return sk->sk_protocol == IPPROTO_TCP && (family == AF_INET || family == AF_INET6);
}

static __always_inline void socket__peer(struct sock *sk, __u8 peer[16])
{
	__u32 *words = (void *)peer;

	if (sk->__sk_common.skc_family == AF_INET) {
		words[2] = bpf_htonl(0xffff);
		words[3] = sk->__sk_common.skc_daddr;
		return;
	}
	for (int i = 0; i < 4; i++)
		words[i] = sk->__sk_common.skc_v6_daddr.in6_u.u6_addr32[i];
}

/* From the handshake's end to the last FIN's. */
static __always_inline _Bool state__is_open(__u8 state)
{
	return state == TCP_ESTABLISHED || state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 ||
	       state == TCP_CLOSE_WAIT || state == TCP_LAST_ACK || state == TCP_CLOSING;
}

static __always_inline _Bool state__is_handshake(__u8 state)
{
	return state == TCP_SYN_SENT || state == TCP_SYN_RECV;
}

/* Where a FIN is written, if not sent. */
static __always_inline _Bool state__has_fin(__u8 state)
{
	return state == TCP_FIN_WAIT1 || state == TCP_FIN_WAIT2 || state == TCP_CLOSING ||
	       state == TCP_LAST_ACK;
}

/*
 * Payload that was sent at least once: sequence numbers acknowledged and under way, less the
 * SYN's (of the client; the server's is gone before its socket counts) and the FIN's.
 * bytes_sent will not do: it has what the host's own queue dropped twice.
 *
 * Nobody holds the socket still while the iterator reads. In this order the answer may miss
 * what was sent meanwhile, but never has too much: what is acknowledged after the first line
 * leaves the difference of the second.
 */
static __always_inline __u64 tcp__sent(struct tcp_sock *tp, _Bool counts_syn)
{
	__u64 acked = tp->bytes_acked;
	__u32 next, una, write;
	__u8 state;

	barrier();
	una = tp->snd_una;
	next = tp->snd_nxt;
	barrier();
	write = tp->write_seq;
	state = ((struct sock *)tp)->__sk_common.skc_state;
	acked += next - una;
	/* The FIN is the last that is written. */
	if (next == write && state__has_fin(state))
		acked -= 1;
	/* A SYN that connect(2) never came to send does not count as one. */
	return acked ? acked - counts_syn : 0;
}

/* Payload that came in order. The FIN takes a sequence number, and SOCK_DONE says that it came. */
static __always_inline __u64 tcp__received(struct tcp_sock *tp)
{
	__u64 received = tp->bytes_received;

	barrier();
	return received - ((((struct sock *)tp)->__sk_common.skc_flags >> SOCK_DONE) & 1);
}

/*
 * Of a connection whose handshake was not seen: only a client's own SYN was acknowledged
 * beyond what bytes_sent has. (A segment that the host's own queue dropped is in bytes_sent
 * twice, and makes such a client a server.)
 */
static __always_inline enum tcp_role tcp__guess_role(struct tcp_sock *tp)
{
	return tcp__sent(tp, 0) == tp->bytes_sent - tp->bytes_retrans + 1 ? client : server;
}

static __always_inline enum tcp_error error__of(int error)
{
	switch (error) {
	case 0:
		return 0;
	case ECONNREFUSED:
		return refused;
	case ECONNRESET:
	case EPIPE:
		return reset;
	case ETIMEDOUT:
		return timed_out;
	case EHOSTUNREACH:
		return host_unreachable;
	case ENETUNREACH:
		return net_unreachable;
	}
	return _OTHER;
}

#endif
