/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * A connection's way through the probe, kept in its socket's own storage.
 *
 * The state changes of a socket come one after another, under its lock. The iterator comes
 * at any time and on another CPU: what both write is changed by one atomic step each.
 */
#ifndef OTELBPF_TCP_CONNECTION_H
#define OTELBPF_TCP_CONNECTION_H

#include "tcp_socket.h"

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(socket_storage)   /* no memory for a socket's entry */
	OTEL_LOSS(handshake_unseen) /* established, but when its SYN came is not known */
	OTEL_LOSS(out_of_range)	    /* longer than 2^20 s */
	OTEL_LOSS(socket_busy)	    /* of one that was being taken in on another CPU */
	OTEL_EVENT_LOSSES
);
/* clang-format on */

const volatile __u32 per_cgroup OTEL_OPTION("0..1", "", "Keep one series for each cgroup") = 1;
const volatile __u32 peer_address OTEL_OPTION("0..1", "",
					      "Keep one series for each peer's address");
const volatile __u32 peer_port OTEL_OPTION("0..1", "", "Keep one series for each peer's port");
const volatile __u32 local_port OTEL_OPTION("0..1", "", "Keep one series for each local port");
const volatile __u32 per_netns OTEL_OPTION("0..1", "",
					   "Keep one series for each network namespace");
const volatile __u32 zero_window OTEL_OPTION("0..1", "",
					     "Count how often peers close their window, which "
					     "takes a program for each segment");

/**
 * struct conn - a socket as we know it
 * @owner:       who made it, or its listening socket
 * @start:       when the SYN was sent, 0: not seen
 * @established: when the handshake ended, 0: not seen
 * @sent, @received, @segments_out, @segments_in, @retransmits, @drops: counted so far
 * @epoch:       of otel_filter, and one more: what is of another time starts anew; with
 *               CONN_CLAIMED, and then CONN_ENDED, while the rest is being written
 * @generation:  of the filter that said @selected, and one more
 * @counted:     is in the table of open connections
 * @state:       the last that was seen
 * @error:       what a reset said, for a connection that ends by it
 */
struct conn {
	struct otel_owner owner;
	__u64 start;
	__u64 established;
	__u64 sent;
	__u64 received;
	__u32 segments_out;
	__u32 segments_in;
	__u32 retransmits;
	__u32 drops;
	__u32 epoch;
	__u32 generation;
	__u32 counted;
	__u32 selected;
	__u32 state;
	enum tcp_role role;
	enum tcp_error error;
	__u32 pad;
};

/* By socket; goes with it. A new connection's gets a copy of its listening socket's. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct conn);
} conns SEC(".maps");

#define CONN_CLAIMED (1U << 31)
#define CONN_ENDED (1U << 30)

/* What an entry of the present says that is complete. */
static __always_inline __u32 conn__epoch(void)
{
	return (otel_filter.epoch + 1) & (CONN_ENDED - 1);
}

/* What the table's key says of a socket. */
static __noinline int conn__key(const struct conn *conn, struct sock *sk, struct conn_key *key)
{
	__builtin_memset(key, 0, sizeof(*key));
	if (per_cgroup)
		key->cgroup = conn->owner.cgroup;
	key->role = conn->role;
	key->type = socket__type(sk);
	if (conn->state != TCP_LISTEN) {
		if (peer_address)
			socket__peer(sk, key->peer);
		if (peer_port)
			key->peer_port = bpf_ntohs(sk->__sk_common.skc_dport);
	}
	/* Not skc_num: a closed socket has given that back. */
	if (local_port)
		key->local_port = bpf_ntohs(BPF_CORE_READ((struct inet_sock *)sk, inet_sport));
	if (per_netns)
		key->netns = sk->__sk_common.skc_net.net->ns.inum;
	return 0;
}

static __noinline int conn__remember(const struct conn *conn, struct sock *sk)
{
	if (per_cgroup)
		otel_cgroup__remember(conn->owner.cgroup,
				      BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn));
	return 0;
}

/* The value of a connection's series in a table, or NULL. */
#define conn__series(conn, sk, map, key, zero)                             \
	({                                                                 \
		_Bool __added = 0;                                         \
		void *__value = otel_table__get(map, key, zero, &__added); \
                                                                           \
		if (__added)                                               \
			conn__remember(conn, sk);                          \
		__value;                                                   \
	})

static __noinline int conn__count_open(const struct conn *conn, struct sock *sk, __s64 n)
{
	struct tcp_open *value;
	struct conn_key key;

	conn__key(conn, sk, &key);
	value = conn__series(conn, sk, &open, &key, &no_open);
	if (value)
		otel_add(value->count, n);
	return 0;
}

/*
 * Judge a socket again if the filter has changed, and see that it is among the open
 * connections exactly while it is one and is selected.
 */
static __noinline int conn__settle(struct conn *conn, struct sock *sk, _Bool is_open)
{
	__u32 generation = otel_filter.generation + 1;

	/* Nothing is selected any more; whoever resumes has it judged again. */
	if ((otel_filter.flags & OTEL_FILTER_F_DEADLINE) && otel_deadline__passed()) {
		conn->selected = 0;
		conn->generation = 0;
		return 0;
	}
	if (conn->generation != generation) {
		struct kernfs_node *kn = otel_owner__of_socket(&conn->owner, sk);

		conn->selected = otel_filter__pass_owner(&conn->owner, kn);
		conn->generation = generation;
	}
	is_open = is_open && conn->selected;
	if (is_open != !!conn->counted &&
	    __sync_lock_test_and_set(&conn->counted, is_open) != is_open)
		conn__count_open(conn, sk, is_open ? 1 : -1);
	return conn->selected;
}

/* Raise a count to what it is now. Returns by how much. */
static __always_inline __u64 raise(__u64 *count, __u64 now)
{
	for (int i = 0; i < 4; i++) {
		__u64 old = *(volatile __u64 *)count;

		if ((__s64)(now - old) <= 0)
			return 0;
		if (__sync_val_compare_and_swap(count, old, now) == old)
			return now - old;
	}
	return 0; /* the next one will */
}

static __always_inline __u32 raise32(__u32 *count, __u32 now)
{
	for (int i = 0; i < 4; i++) {
		__u32 old = *(volatile __u32 *)count;

		if ((__s32)(now - old) <= 0)
			return 0;
		if (__sync_val_compare_and_swap(count, old, now) == old)
			return now - old;
	}
	return 0;
}

/*
 * Bytes and segments since the last time. At the end the socket is held still, and what the
 * iterator may have taken for a byte, a FIN half processed, is taken back.
 */
static __noinline int conn__count_traffic(struct conn *conn, struct sock *sk, _Bool is_end)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	__u64 sent, received, segments_out, segments_in;
	struct tcp_traffic *value;
	struct conn_key key;

	if (!tp)
		return 0;
	sent = tcp__sent(tp, conn->role == client);
	received = tcp__received(tp);
	if (is_end) {
		sent -= __sync_lock_test_and_set(&conn->sent, sent);
		received -= __sync_lock_test_and_set(&conn->received, received);
	} else {
		sent = raise(&conn->sent, sent);
		received = raise(&conn->received, received);
	}
	segments_out = raise32(&conn->segments_out, tp->segs_out);
	segments_in = raise32(&conn->segments_in, tp->segs_in);
	if (!conn->selected || !(sent | received | segments_out | segments_in))
		return 0;
	conn__key(conn, sk, &key);
	value = conn__series(conn, sk, &traffic, &key, &no_traffic);
	if (!value)
		return 0;
	otel_add(value->bytes_transmit, sent);
	otel_add(value->bytes_receive, received);
	otel_add(value->segments_transmit, segments_out);
	otel_add(value->segments_receive, segments_in);
	return 0;
}

/* What came before we looked is not ours to count. */
static __noinline int conn__set_baseline(struct conn *conn, struct sock *sk)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);

	if (!tp)
		return 0;
	conn->role = tcp__guess_role(tp);
	conn->sent = tcp__sent(tp, conn->role == client);
	conn->received = tcp__received(tp);
	conn->segments_out = tp->segs_out;
	conn->segments_in = tp->segs_in;
	conn->retransmits = tp->total_retrans;
	return 0;
}

/* Nothing is counted yet. The owner stays, and so does what the filter said of it. */
static __noinline int conn__reset(struct conn *conn, enum tcp_role role, __u8 state)
{
	conn->start = 0;
	conn->established = 0;
	conn->sent = 0;
	conn->received = 0;
	conn->segments_out = 0;
	conn->segments_in = 0;
	conn->retransmits = 0;
	conn->drops = 0;
	conn->epoch = conn__epoch();
	conn->counted = 0;
	conn->error = 0;
	conn->state = state;
	conn->role = role;
	return 0;
}

/**
 * conn__make - an entry for a socket, if it is selected
 * @sk:   the socket
 * @task: who has it, NULL: not known
 *
 * What is not selected gets no entry. Should a filter select it later it is taken in then.
 */
static __noinline struct conn *conn__make(struct sock *sk, struct task_struct *task)
{
	struct otel_owner owner = {};
	struct kernfs_node *kn = otel_owner__of_socket(&owner, sk);
	__u32 generation = otel_filter.generation + 1; /* before the filter is asked */
	struct conn *conn;

	if (task)
		otel_owner__of_task(&owner, task);
	if (!otel_filter__pass_owner(&owner, kn))
		return NULL;
	conn = bpf_sk_storage_get(&conns, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);
	if (!conn) {
		otel_lose(socket_storage);
		return NULL;
	}
	conn->owner = owner;
	conn->generation = generation;
	conn->selected = 1;
	return conn;
}

/*
 * A socket ends that another CPU is taking in, or a program that we interrupt on this one: that one
 * is told, as it would count an open connection. Returns false if it is done already.
 */
static __always_inline _Bool conn__end_claimed(struct conn *conn)
{
	__u32 was = *(volatile __u32 *)&conn->epoch;

	if (!(was & CONN_CLAIMED))
		return 0;
	if (was & CONN_ENDED)
		return 1; /* the other one of the two programs was here */
	if (__sync_val_compare_and_swap(&conn->epoch, was, was | CONN_ENDED) != was)
		return 0;
	otel_lose(socket_busy);
	return 1;
}

/**
 * conn__meet - what we know of a socket; take it in if that is nothing
 * @sk:   a TCP socket
 * @task: who has it, NULL: not known
 *
 * A socket that was there before the programs were attached, or whose entry is of before a
 * pause, is taken in as it is and is no new connection.
 *
 * Return: its entry; NULL if it is not selected, or is being taken in on another CPU.
 */
static __noinline struct conn *conn__meet(struct sock *sk, struct task_struct *task)
{
	__u8 state = sk->__sk_common.skc_state;
	__u32 epoch = conn__epoch(), was;
	struct conn *conn;

	conn = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (!conn)
		conn = conn__make(sk, task);
	if (!conn)
		return NULL;
	was = conn->epoch;
	if (was == epoch)
		return conn;
	/*
	 * One of those that meet it at once does this, and the others pass it by: they must not
	 * take what is not written yet for a baseline of 0.
	 */
	if (was & CONN_CLAIMED ||
	    __sync_val_compare_and_swap(&conn->epoch, was, epoch | CONN_CLAIMED) != was) {
		otel_lose(socket_busy);
		return NULL;
	}
	conn->start = 0;
	conn->established = 0;
	conn->counted = 0;
	if (was)
		conn->generation = 0;
	conn->state = state;
	conn->role = 0;
	if (state == TCP_LISTEN) {
		conn->role = server;
		conn->drops = sk->sk_drops.counter;
	} else if (state__is_open(state)) {
		conn__set_baseline(conn, sk);
	}
	/* It has ended meanwhile, and nobody else will come. */
	if (__sync_val_compare_and_swap(&conn->epoch, epoch | CONN_CLAIMED, epoch) !=
	    (epoch | CONN_CLAIMED)) {
		conn->state = TCP_CLOSE;
		__sync_lock_test_and_set(&conn->epoch, epoch);
		return NULL;
	}
	conn__settle(conn, sk, state__is_open(state));
	return conn;
}

#endif
