/* SPDX-License-Identifier: GPL-2.0-only */
/* What becomes of a connection: established, failed, closed; and what a listening socket drops. */
#ifndef OTELBPF_TCP_OUTCOME_H
#define OTELBPF_TCP_OUTCOME_H

#include "tcp_event.h"

static __always_inline void record(struct exphist_s *h, __u64 ns)
{
	if (!exphist_s__record_atomic(h, ns))
		otel_lose(out_of_range);
}

static __always_inline __u64 since(__u64 start)
{
	__u64 now = bpf_ktime_get_ns();

	/* The clock may be a few ns behind another CPU's. */
	return now > start ? now - start : 0;
}

static __noinline int established(struct conn *conn, struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct tcp_connections *value;
	struct conn_key key;

	if (!tp)
		return 0;
	conn->established = bpf_ktime_get_ns();
	/* SYN-ACKs sent again were the listening socket's, and are counted. */
	if (conn->role == server)
		conn->retransmits = tp->total_retrans;
	if (!conn__settle(conn, sk, 1))
		return 0;
	conn__key(conn, sk, &key);
	value = conn__series(conn, sk, &connections, &key, &no_connections);
	if (!value)
		return 0;
	otel_add(value->successes, 1);
	/*
	 * A server has its socket only when the handshake ends. The kernel has measured the
	 * time since it sent the SYN-ACK, unless that had to be sent again.
	 */
	if (conn->start)
		record(&value->handshake, since(conn->start));
	else if (conn->role == server && tp->srtt_us && !tp->total_retrans)
		record(&value->handshake, (__u64)(tp->srtt_us >> 3) * 1000);
	else
		otel_lose(handshake_unseen);
	return 0;
}

/* Before it was established. */
static __noinline int failed(struct conn *conn, struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct conn_error_key key = {};
	struct tcp_failures *value;

	conn__settle(conn, sk, 0);
	conn__count_traffic(conn, sk, 1);
	if (!conn->selected || !tp)
		return 0;
	conn__key(conn, sk, (struct conn_key *)&key);
	key.error = error__of(sk->sk_err);
	if (!key.error)
		key.error = conn->error;
	/* connect(2) itself said why: there is no free port, say. */
	if (!key.error && !tp->segs_out)
		key.error = _OTHER;
	/*
	 * A program that waits for it may have read, and thereby cleared, the error before
	 * the state changes. Only a program that closes the socket shuts it down first.
	 */
	if (!key.error)
		key.error = sk->sk_shutdown == SHUTDOWN_BOTH ? aborted : timed_out;
	value = conn__series(conn, sk, &failures, &key, &no_failures);
	if (value)
		otel_add(value->count, 1);
	if (events)
		tcp_event__failed(conn, sk, key.error);
	return 0;
}

static __noinline int closed(struct conn *conn, struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct conn_error_key key = {};
	struct tcp_connections *value;
	struct tcp_closes *count;

	conn__settle(conn, sk, 0);
	conn__count_traffic(conn, sk, 1);
	if (!conn->selected || !tp)
		return 0;
	conn__key(conn, sk, (struct conn_key *)&key);
	value = conn__series(conn, sk, &connections, (struct conn_key *)&key, &no_connections);
	if (value) {
		__u32 least = tp->rtt_min.s[0].v;

		if (conn->established)
			record(&value->duration, since(conn->established));
		if (tp->srtt_us)
			record(&value->rtt, (__u64)(tp->srtt_us >> 3) * 1000);
		if (least != ~0U)
			record(&value->rtt_min, (__u64)least * 1000);
	}
	key.error = error__of(sk->sk_err);
	if (!key.error)
		key.error = conn->error;
	count = conn__series(conn, sk, &closes, &key, &no_closes);
	if (count)
		otel_add(count->count, 1);
	if (events && connection_spans)
		tcp_event__ended(conn, sk, key.error);
	return 0;
}

/* A listening socket counts what it drops; there is no tracepoint for each. */
static __noinline int count_drops(struct conn *conn, struct sock *sk)
{
	__u64 drops = raise32(&conn->drops, sk->sk_drops.counter);
	struct tcp_traffic *value;
	struct conn_key key;

	if (!drops || !conn__settle(conn, sk, 0))
		return 0;
	conn__key(conn, sk, &key);
	value = conn__series(conn, sk, &traffic, &key, &no_traffic);
	if (value)
		otel_add(value->listen_drops, drops);
	if (events)
		tcp_event__overflow(conn, sk, drops);
	return 0;
}

#endif
