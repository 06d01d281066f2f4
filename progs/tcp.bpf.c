// SPDX-License-Identifier: GPL-2.0-only
/*
 * TCP connections, by cgroup of the socket, role and IP version.
 *
 *   inet_sock_set_state    handshake begins, succeeds or fails; connection ends: all of its numbers
 *   tcp_retransmit_skb     a segment is sent again: why
 *   tcp_retransmit_synack  likewise, a listening socket's SYN-ACK
 *   tcp_receive_reset      RST came
 *   tcp_send_reset         RST is sent
 *   tcp_probe              a segment came in: does it close the peer's window? On request: it is
 *                          the only one that runs for each segment
 *   connect4, connect6     (tcp_connect.h) it failed for want of a route
 *   task_file              the iterator: takes in the sockets that were there before, and
 *                          counts what open connections have moved since
 *
 * These run in system calls, in softirqs and in timers: the task that runs is the socket's
 * owner in connect() and listen() only, where it is noted. Filters judge what was noted. A
 * softirq may interrupt any of them, so all adds to the per-CPU values are atomic. What matters one
 * by one is a span or a log record besides (tcp_event.h).
 */
#include "vmlinux.h"

#include <bpf/bpf_endian.h>
#include <otelbpf/event.bpf.h>
#include <otelbpf/otel.bpf.h>

#include "tcp_connect.h"
#include "tcp_outcome.h"

char LICENSE[] SEC("license") = "GPL";

#define ICSK_TIME_LOSS_PROBE 5

/* connect() and listen(), in the task that calls them. */
static __noinline int begin(struct sock *sk, enum tcp_role role, __u8 state)
{
	struct conn *conn = conn__make(sk, bpf_get_current_task_btf());

	if (!conn)
		return 0;
	conn__reset(conn, role, state);
	conn->start = bpf_ktime_get_ns();
	if (state == TCP_LISTEN)
		conn->drops = sk->sk_drops.counter;
	conn__settle(conn, sk, 0);
	if (events)
		tcp_event__note(sk, bpf_get_current_task_btf(), 1);
	return 0;
}

/*
 * The socket of a connection that has come. What we know of its listening socket was copied;
 * the owner is what matters of it.
 */
static __noinline int begin_child(struct sock *sk)
{
	struct conn *conn = bpf_sk_storage_get(&conns, sk, 0, 0);

	if (!conn)
		conn = conn__make(sk, NULL);
	if (!conn)
		return 0;
	/* The listening socket's verdict holds for it, unless that is of before a pause. */
	if (conn->epoch != conn__epoch())
		conn->generation = 0;
	conn__reset(conn, server, TCP_SYN_RECV);
	conn__settle(conn, sk, 0);
	if (events)
		tcp_event__come(sk);
	return 0;
}

static __always_inline void on_state(struct sock *sk, __u32 old, __u32 new, _Bool nested)
{
	struct conn *conn;
	_Bool is_known;

	/* On its way from established to closed nothing is to be done. */
	if (new != TCP_CLOSE &&new != TCP_ESTABLISHED && !state__is_handshake(new) &&
	    new != TCP_LISTEN)
		return;
	if (!socket__is_tcp(sk))
		return;
	conn = bpf_sk_storage_get(&conns, sk, 0, 0);
	if (conn && new == TCP_CLOSE && conn__end_claimed(conn))
		return;
	is_known = conn && conn->epoch == conn__epoch();
	if (is_known && conn->state == new)
		return; /* the other one of the two programs was here */
	if (new == TCP_SYN_SENT || new == TCP_LISTEN) {
		begin(sk, new == TCP_LISTEN ? server : client, new);
		return;
	}
	if (old == TCP_LISTEN && new == TCP_SYN_RECV) {
		begin_child(sk);
		return;
	}
	/* What the other one did not take in is not selected; it need not be judged twice. */
	if (!conn && nested)
		return;
	if (!is_known)
		conn = conn__meet(sk, NULL);
	if (!conn)
		return;
	/* A handshake that began before we looked. */
	if (!conn->role)
		conn->role = old == TCP_SYN_SENT ? client : server;
	if (new == TCP_ESTABLISHED && state__is_handshake(old))
		established(conn, sk);
	else if (new == TCP_CLOSE && state__is_handshake(old))
		failed(conn, sk);
	else if (new == TCP_CLOSE && old == TCP_LISTEN)
		count_drops(conn, sk);
	else if (new == TCP_CLOSE) {
		/* Before, in one step with a barrier: see visit_sockets. */
		__sync_lock_test_and_set(&conn->state, new);
		closed(conn, sk);
	}
	conn->state = new;
}

/*
 * Twice the same: the kernel does not run a program on a CPU where it is running already, as
 * when a packet's interrupt comes in the middle of it. Then the other one sees the packet's
 * event. Where both run the second finds nothing left to do.
 */
SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(set_state, struct sock *sk, int old, int new)
{
	otel_cpu_begin();
	on_state(sk, old, new, 0);
	otel_cpu_end();
	return 0;
}

SEC("tp_btf/inet_sock_set_state")
int BPF_PROG(set_state_nested, struct sock *sk, int old, int new)
{
	otel_cpu_begin();
	on_state(sk, old, new, 1);
	otel_cpu_end();
	return 0;
}

static __always_inline void on_retransmit(struct sock *sk)
{
	struct conn *conn = conn__meet(sk, NULL);
	struct tcp_traffic *value;
	struct tcp_sock *tp;
	struct conn_key key;
	__u32 n, state;

	tp = conn ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tp)
		return;
	/* More than one if an earlier attempt failed for lack of memory, say. */
	n = raise32(&conn->retransmits, tp->total_retrans);
	if (!n || !conn__settle(conn, sk, conn->counted))
		return;
	conn__key(conn, sk, &key);
	value = conn__series(conn, sk, &traffic, &key, &no_traffic);
	if (!value)
		return;
	state = BPF_CORE_READ_BITFIELD(&tp->inet_conn, icsk_ca_state);
	if (sk->__sk_common.skc_state == TCP_SYN_SENT)
		otel_add(value->retransmits_syn, n);
	else if (state == TCP_CA_Loss)
		otel_add(value->retransmits_timeout, n);
	else if (state == TCP_CA_Recovery)
		otel_add(value->retransmits_fast, n);
	else if (tp->inet_conn.icsk_pending == ICSK_TIME_LOSS_PROBE)
		otel_add(value->retransmits_tail_loss_probe, n);
	else
		otel_add(value->retransmits__OTHER, n);
}

SEC("tp_btf/tcp_retransmit_skb")
int BPF_PROG(retransmit, struct sock *sk)
{
	otel_cpu_begin();
	on_retransmit(sk);
	otel_cpu_end();
	return 0;
}

/* One more of a member of struct tcp_traffic, by its offset. */
static __noinline struct conn *count_one(struct sock *sk, __u32 offset)
{
	struct conn *conn = conn__meet(sk, NULL);
	struct tcp_traffic *value;
	struct conn_key key;

	if (!conn || !conn__settle(conn, sk, conn->counted))
		return conn;
	conn__key(conn, sk, &key);
	value = conn__series(conn, sk, &traffic, &key, &no_traffic);
	if (value)
		otel_add(*(__u64 *)((void *)value + offset), 1);
	return conn;
}

#define count_traffic(sk, member) count_one(sk, offsetof(struct tcp_traffic, member))

SEC("tp_btf/tcp_retransmit_synack")
int BPF_PROG(retransmit_synack, struct sock *sk)
{
	otel_cpu_begin();
	if (otel_turn__is_mine(OTEL_OLDER_FIRST))
		count_traffic(sk, retransmits_syn_ack);
	otel_cpu_end();
	return 0;
}

static __always_inline void on_receive_reset(struct sock *sk)
{
	struct conn *conn = count_traffic(sk, resets_receive);

	if (!conn)
		return;
	conn->error = sk->__sk_common.skc_state == TCP_SYN_SENT ? refused : reset;
	if (events && conn->error == reset)
		tcp_event__reset(conn, sk, receive);
}

SEC("tp_btf/tcp_receive_reset")
int BPF_PROG(receive_reset, struct sock *sk)
{
	otel_cpu_begin();
	if (otel_turn__is_mine(OTEL_OLDER_FIRST))
		on_receive_reset(sk);
	otel_cpu_end();
	return 0;
}

/*
 * A segment for which there is no socket, or only what is left of one (TIME_WAIT), is nobody's:
 * it counts for the host, unless a filter wants something in particular. Up to 6.9 the kernel
 * does not tell of the former.
 */
static __noinline int send_reset_unowned(void)
{
	struct tcp_traffic *value;
	struct conn_key key = {};
	_Bool added = 0;

	if (!otel_filter__sees_all())
		return 0;
	value = otel_table__get(&traffic, &key, &no_traffic, &added);
	if (value)
		otel_add(value->resets_transmit, 1);
	if (events)
		tcp_event__reset_unowned();
	return 0;
}

static __always_inline void send_reset_owned(struct sock *sk)
{
	struct conn *conn = count_traffic(sk, resets_transmit);

	if (events)
		tcp_event__reset(conn, sk, transmit);
}

static __always_inline void on_send_reset(struct sock *sk)
{
	__u8 state = sk ? sk->__sk_common.skc_state : 0;

	if (!state || state == TCP_TIME_WAIT || state == TCP_NEW_SYN_RECV)
		send_reset_unowned();
	else if (sk)
		send_reset_owned(sk);
}

SEC("tp_btf/tcp_send_reset")
int BPF_PROG(send_reset, struct sock *sk)
{
	otel_cpu_begin();
	if (otel_turn__is_mine(OTEL_OLDER_FIRST))
		on_send_reset(sk);
	otel_cpu_end();
	return 0;
}

/* Since 6.2: what it returns is read by loads, which the kernel guards, and not by calls. */
extern void *bpf_rdonly_cast(const void *obj, __u32 btf_id) __ksym __weak;

static __always_inline __u16 segment__window(struct sk_buff *skb)
{
	const struct tcphdr *header = (const struct tcphdr *)skb->data;
	__u16 window;

	/* Of the same release as the function. */
	if (bpf_core_enum_value_exists(enum bpf_map_type___cgrp_storage,
				       BPF_MAP_TYPE_CGRP_STORAGE___cgrp_storage)) {
		header = bpf_rdonly_cast(header, bpf_core_type_id_kernel(struct tcphdr));
		return header->window;
	}
	return bpf_probe_read_kernel(&window, sizeof(window), &header->window) ? 1 : window;
}

/*
 * Before the segment is looked at: the window it brings is zero, the one before was not. For
 * every segment of an established connection, so the first two loads decide.
 */
static __always_inline void on_segment(struct sock *sk, struct sk_buff *skb)
{
	struct tcp_sock *tp;

	if (segment__window(skb))
		return;
	tp = bpf_skc_to_tcp_sock(sk);
	if (tp && tp->snd_wnd)
		count_traffic(sk, zero_windows);
}

OTEL_WHEN(zero_window)
SEC("tp_btf/tcp_probe")
int BPF_PROG(segment, struct sock *sk, struct sk_buff *skb)
{
	otel_cpu_begin();
	if (otel_turn__is_mine(OTEL_OLDER_FIRST))
		on_segment(sk, skb);
	otel_cpu_end();
	return 0;
}

/*
 * Every open file of every process, of all network namespaces. Idempotent: a socket that two
 * processes have is visited twice. Run by the loader when it has attached the programs above,
 * and by the exporter before it reads.
 */
SEC("iter/task_file")
int visit_sockets(struct bpf_iter__task_file *ctx)
{
	struct task_struct *task = ctx->task;
	struct file *file = ctx->file;
	struct socket *socket;
	struct conn *conn;
	struct sock *sk;
	__u8 state;

	if (!task || !file)
		return 0;
	socket = bpf_sock_from_file(file);
	sk = socket ? socket->sk : NULL;
	if (!sk || !socket__is_tcp(sk))
		return 0;
	state = sk->__sk_common.skc_state;
	if (state != TCP_LISTEN && !state__is_open(state))
		return 0;
	conn = conn__meet(sk, task);
	if (!conn)
		return 0;
	if (events)
		tcp_event__find(sk, task);
	if (state == TCP_LISTEN) {
		conn__settle(conn, sk, 0);
		count_drops(conn, sk);
		return 0;
	}
	conn__settle(conn, sk, 1);
	conn__count_traffic(conn, sk, 0);
	/*
	 * It may have been closed meanwhile, before it was among the open ones. The kernel writes
	 * its state after set_state has run, which is too late: set_state writes ours first, and
	 * then looks whether the socket is counted; here it is the other way round.
	 */
	if (sk->__sk_common.skc_state == TCP_CLOSE || *(volatile __u32 *)&conn->state == TCP_CLOSE)
		conn__settle(conn, sk, 0);
	return 0;
}
