/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * TCP's spans and log records, with events on.
 *
 *   connections that failed, and, on request, each one that ended: spans. A client's begins with
 *   connect(2), a server's when its handshake is at its end
 *   resets, and segments that a listening socket dropped: log records
 *
 * What ends a connection is mostly a packet or a timer, so whose it is and what trace it belongs to
 * is noted when its owner calls connect(2) or listen(2). A server's connection is that of whoever
 * called listen(2), and in no trace.
 *
 * Part of the probe tcp: its steps call tcp_event__…() where it measures.
 */
#ifndef OTELBPF_TCP_EVENT_H
#define OTELBPF_TCP_EVENT_H

#include "tcp_connection.h"

#define SPAN_KIND_SERVER 2
#define SPAN_KIND_CLIENT 3

const volatile __u32 connection_spans
	OTEL_OPTION("0..1", "", "With events: each connection that ends is a span, too");

enum tcp_transport {
	tcp = 1,
};

enum tcp_direction {
	transmit = 1,
	receive = 2,
};

/* Where the point is the one connection: addresses are always told. */
#define TCP_EVENT                                                                    \
	struct otel_event event OTEL_EVENT;                                          \
	__u8 peer[16] OTEL_ATTR("network.peer.address", ipaddr) OTEL_UNSET;          \
	__u8 local[16] OTEL_ATTR("network.local.address", ipaddr) OTEL_UNSET;        \
	__u16 peer_port OTEL_ATTR("network.peer.port", port) OTEL_UNSET;             \
	__u16 local_port OTEL_ATTR("network.local.port", port) OTEL_UNSET;           \
	enum tcp_type type OTEL_ATTR("network.type", enum) OTEL_UNSET;               \
	enum tcp_role role OTEL_ATTR("network.tcp.handshake.role", enum) OTEL_UNSET; \
	enum tcp_transport transport OTEL_ATTR("network.transport", enum);

struct tcp_event {
	TCP_EVENT
};
_Static_assert(sizeof(struct tcp_event) == 144, "tcp_event has a hole");

struct tcp_failure_event {
	TCP_EVENT
	__u32 kind OTEL_KIND;
	enum tcp_error error OTEL_ATTR("error.type", enum) OTEL_ERROR;
	__u32 retransmits OTEL_ATTR("network.tcp.retransmits", number);
	__u32 pad;
};
_Static_assert(sizeof(struct tcp_failure_event) == 160, "tcp_failure_event has a hole");

struct tcp_end_event {
	TCP_EVENT
	__u32 kind OTEL_KIND;
	enum tcp_error error OTEL_ATTR("error.type", enum) OTEL_UNSET OTEL_ERROR;
	__u32 retransmits OTEL_ATTR("network.tcp.retransmits", number);
	__u32 pad;
	__u64 sent OTEL_ATTR("network.tcp.io.transmit", number);
	__u64 received OTEL_ATTR("network.tcp.io.receive", number);
	__u64 rtt_ns OTEL_ATTR("network.tcp.rtt", number) OTEL_UNSET;
};
_Static_assert(sizeof(struct tcp_end_event) == 184, "tcp_end_event has a hole");

struct tcp_reset_event {
	TCP_EVENT
	enum tcp_direction direction OTEL_ATTR("network.io.direction", enum);
	__u32 pad;
	__u64 sent OTEL_ATTR("network.tcp.io.transmit", number);
	__u64 received OTEL_ATTR("network.tcp.io.receive", number);
};
_Static_assert(sizeof(struct tcp_reset_event) == 168, "tcp_reset_event has a hole");

struct tcp_overflow_event {
	TCP_EVENT
	__u32 queued OTEL_ATTR("network.tcp.listen.queue.length", number);
	__u32 room OTEL_ATTR("network.tcp.listen.queue.limit", number);
	__u64 drops OTEL_ATTR("network.tcp.listen.drops", number);
};
_Static_assert(sizeof(struct tcp_overflow_event) == 160, "tcp_overflow_event has a hole");

/* Each written where its name says. Read by the exporter, when it has sent it. */
OTEL_EVENTS(failed_connections, tcp_failure_event, 64 * 1024, OTEL_SPAN("tcp connect", client));
OTEL_EVENTS_WHEN(connection_spans, ended_connections, tcp_end_event, 256 * 1024,
		 OTEL_SPAN("tcp connection", client));
OTEL_EVENTS(reset_events, tcp_reset_event, 64 * 1024,
	    OTEL_LOG("system.network.tcp.reset", 13, "A TCP connection was reset"));
OTEL_EVENTS(overflow_events, tcp_overflow_event, 16 * 1024,
	    OTEL_LOG("system.network.tcp.listen.overflow", 13,
		     "A listening socket dropped segments of new connections"));

/**
 * struct tcp_noted - what the owner's calls leave for later
 * @whose: who called connect(2) or listen(2); of process 0 if that was not seen
 * @trace: what that thread worked for in connect(2)
 * @boot:  when it began, CLOCK_BOOTTIME; 0: not seen
 */
struct tcp_noted {
	struct otel_event_owner whose;
	struct otel_trace trace;
	__u64 boot;
};

/* By socket. A new connection's gets a copy of its listening socket's. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC | BPF_F_CLONE);
	__type(key, int);
	__type(value, struct tcp_noted);
} noted SEC(".maps") OTEL_EVENT_WHEN;

static const struct otel_trace no_trace;

/* @task has the socket: it calls connect(2) or listen(2) now, or was found with it (not @calls). */
static __noinline int tcp_event__note(struct sock *sk, struct task_struct *task, _Bool calls)
{
	struct tcp_noted *note = bpf_sk_storage_get(&noted, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!note)
		return 0;
	otel_event_owner__of(&note->whose, task);
	note->trace = no_trace;
	note->boot = 0;
	if (calls) {
		otel_trace__current(&note->trace);
		note->boot = bpf_ktime_get_boot_ns();
	}
	return 0;
}

/* Somebody has it who has not called anything since programs are attached. */
static __always_inline void tcp_event__find(struct sock *sk, struct task_struct *task)
{
	if (!bpf_sk_storage_get(&noted, sk, 0, 0))
		tcp_event__note(sk, task, 0);
}

/* A connection has come to a listening socket, whose note was copied. */
static __noinline int tcp_event__come(struct sock *sk)
{
	struct tcp_noted *note = bpf_sk_storage_get(&noted, sk, 0, BPF_SK_STORAGE_GET_F_CREATE);

	if (!note)
		return 0;
	note->trace = no_trace;
	note->boot = bpf_ktime_get_boot_ns();
	return 0;
}

static __noinline int tcp_event__fill(struct tcp_event *event, struct sock *sk, __u32 role)
{
	__u32 *words = (void *)event->local;
	struct inet_sock *inet = (struct inet_sock *)sk;

	if (!event || !sk)
		return 0;
	__builtin_memset(event->peer, 0, 16);
	__builtin_memset(event->local, 0, 16);
	event->type = socket__type(sk);
	event->role = role;
	event->transport = tcp;
	event->peer_port = 0;
	/* Not skc_num: a closed socket has given that back. */
	event->local_port = bpf_ntohs(BPF_CORE_READ(inet, inet_sport));
	if (sk->__sk_common.skc_state != TCP_LISTEN) {
		event->peer_port = bpf_ntohs(sk->__sk_common.skc_dport);
		socket__peer(sk, event->peer);
	}
	if (sk->__sk_common.skc_family == AF_INET) {
		words[2] = bpf_htonl(0xffff);
		words[3] = BPF_CORE_READ(inet, inet_saddr);
		return 0;
	}
	for (int i = 0; i < 4; i++)
		words[i] = sk->__sk_common.skc_v6_rcv_saddr.in6_u.u6_addr32[i];
	return 0;
}

/* What is known of a socket's owner; its trace. Returns when it began, 0: not known. */
static __noinline __u64 tcp_event__origin(const struct conn *conn, struct sock *sk,
					  struct otel_event_owner *whose, struct otel_trace *trace)
{
	struct tcp_noted *note = bpf_sk_storage_get(&noted, sk, 0, 0);

	if (!conn || !whose || !trace)
		return 0;
	__builtin_memset(whose, 0, sizeof(*whose));
	*trace = no_trace;
	if (note) {
		*whose = note->whose;
		*trace = note->trace;
	}
	whose->cgroup = conn->owner.cgroup; /* the socket's, as in the metrics */
	otel_cgroup__remember(whose->cgroup, BPF_CORE_READ(sk, sk_cgrp_data.cgroup, kn));
	/* A note of before a pause is of another connection, or of one that was not watched. */
	return note && (conn->start || conn->role == server) ? note->boot : 0;
}

static __always_inline __u32 tcp_event__kind(const struct conn *conn)
{
	return conn->role == server ? SPAN_KIND_SERVER : SPAN_KIND_CLIENT;
}

static __noinline int tcp_event__failed(const struct conn *conn, struct sock *sk,
					enum tcp_error error)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct tcp_failure_event *failure;
	struct otel_event_owner whose;
	struct otel_trace trace;
	__u64 boot;

	if (!tp)
		return 0;
	boot = tcp_event__origin(conn, sk, &whose, &trace);
	failure = otel_event__begin_of(failed_connections, tcp_failure_event, &trace,
				       boot ? bpf_ktime_get_boot_ns() - boot : 0, &whose);
	if (!failure)
		return 0;
	tcp_event__fill((void *)failure, sk, conn->role);
	failure->kind = tcp_event__kind(conn);
	failure->error = error;
	failure->retransmits = tp->total_retrans;
	failure->pad = 0;
	otel_event__end(failure);
	return 0;
}

/* One whose beginning was seen: a span has to have one. */
static __noinline int tcp_event__ended(const struct conn *conn, struct sock *sk,
				       enum tcp_error error)
{
	struct tcp_sock *tp = bpf_skc_to_tcp_sock(sk);
	struct otel_event_owner whose;
	struct otel_trace trace;
	struct tcp_end_event *end;
	__u64 boot;

	if (!tp || !conn->established)
		return 0;
	boot = tcp_event__origin(conn, sk, &whose, &trace);
	if (!boot)
		return 0;
	end = otel_event__begin_of(ended_connections, tcp_end_event, &trace,
				   bpf_ktime_get_boot_ns() - boot, &whose);
	if (!end)
		return 0;
	tcp_event__fill((void *)end, sk, conn->role);
	end->kind = tcp_event__kind(conn);
	end->error = error;
	end->retransmits = tp->total_retrans;
	end->pad = 0;
	end->sent = conn->sent;
	end->received = conn->received;
	end->rtt_ns = (__u64)(tp->srtt_us >> 3) * 1000;
	otel_event__end(end);
	return 0;
}

/* Of a connection. What refuses one is told by its span, so it does not come here. */
static __noinline int tcp_event__reset(struct conn *conn, struct sock *sk,
				       enum tcp_direction direction)
{
	struct tcp_reset_event *reset;
	struct otel_event_owner whose;
	struct otel_trace trace;

	if (!conn || !conn->selected)
		return 0;
	/* Up to now. What has ended already has been counted to its end. */
	if (sk->__sk_common.skc_state != TCP_CLOSE)
		conn__count_traffic(conn, sk, 0);
	tcp_event__origin(conn, sk, &whose, &trace);
	reset = otel_event__begin_log_of(reset_events, tcp_reset_event, &trace, &whose);
	if (!reset)
		return 0;
	tcp_event__fill((void *)reset, sk, conn->role);
	reset->direction = direction;
	reset->pad = 0;
	reset->sent = conn->sent;
	reset->received = conn->received;
	otel_event__end(reset);
	return 0;
}

/* Of a segment that was nobody's: the host's, and whose the other end is nobody says. */
static __noinline int tcp_event__reset_unowned(void)
{
	struct otel_event_owner whose = {};
	struct tcp_reset_event *reset;

	reset = otel_event__begin_log_of(reset_events, tcp_reset_event, &no_trace, &whose);
	if (!reset)
		return 0;
	__builtin_memset(reset->peer, 0, sizeof(*reset) - offsetof(struct tcp_reset_event, peer));
	reset->transport = tcp;
	reset->direction = transmit;
	otel_event__end(reset);
	return 0;
}

static __noinline int tcp_event__overflow(const struct conn *conn, struct sock *sk, __u64 drops)
{
	struct tcp_overflow_event *overflow;
	struct otel_event_owner whose;
	struct otel_trace trace;

	tcp_event__origin(conn, sk, &whose, &trace);
	overflow = otel_event__begin_log_of(overflow_events, tcp_overflow_event, &no_trace, &whose);
	if (!overflow)
		return 0;
	tcp_event__fill((void *)overflow, sk, conn->role);
	overflow->queued = sk->sk_ack_backlog;
	overflow->room = sk->sk_max_ack_backlog;
	overflow->drops = drops;
	otel_event__end(overflow);
	return 0;
}

/* In connect(2), which found no route. @address: the kernel's, NULL: not known. */
static __noinline int tcp_event__unroutable(enum tcp_type type, enum tcp_error error,
					    const struct sockaddr *address)
{
	struct tcp_failure_event *failure;
	struct sockaddr_in6 to = {};
	struct otel_trace trace;
	__u32 mapped[4];

	otel_trace__current(&trace);
	failure = otel_event__begin(failed_connections, tcp_failure_event, &trace, 0);
	if (!failure)
		return 0;
	__builtin_memset(failure->peer, 0,
			 sizeof(*failure) - offsetof(struct tcp_failure_event, peer));
	if (address && !bpf_probe_read_kernel(&to, sizeof(struct sockaddr_in), address)) {
		failure->peer_port = bpf_ntohs(to.sin6_port);
		if (to.sin6_family == AF_INET) {
			mapped[0] = mapped[1] = 0;
			mapped[2] = bpf_htonl(0xffff);
			mapped[3] = ((struct sockaddr_in *)&to)->sin_addr.s_addr;
			__builtin_memcpy(failure->peer, mapped, 16);
		} else if (!bpf_probe_read_kernel(&to, sizeof(to), address)) {
			__builtin_memcpy(failure->peer, &to.sin6_addr, 16);
		}
	}
	failure->type = type;
	failure->role = client;
	failure->transport = tcp;
	failure->kind = SPAN_KIND_CLIENT;
	failure->error = error;
	otel_cgroup__remember(failure->event.cgroup, otel_cgroup__of(bpf_get_current_task_btf()));
	otel_event__end(failure);
	return 0;
}

#endif
