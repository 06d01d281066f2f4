/* SPDX-License-Identifier: GPL-2.0-only */
/* What the probe tcp counts, by what. Values are per CPU, but a softirq may interrupt: all adds are
 * atomic. */
#ifndef OTELBPF_TCP_TABLES_H
#define OTELBPF_TCP_TABLES_H

enum tcp_role {
	client = 1,
	server = 2,
};

enum tcp_type {
	ipv4 = 4,
	ipv6 = 6,
};

/* Why a connection did not come about, or did not end by itself; 0: it did. */
enum tcp_error {
	refused = 1,
	reset,
	timed_out,
	host_unreachable,
	net_unreachable,
	aborted, /* closed by the program before it was established */
	_OTHER,
};

/* The members that all keys have. */
#define TCP_KEY                                                                      \
	__u64 cgroup OTEL_RESOURCE(cgroup);                                          \
	__u8 peer[16] OTEL_ATTR("network.peer.address", ipaddr) OTEL_UNSET;          \
	__u16 peer_port OTEL_ATTR("network.peer.port", port) OTEL_UNSET;             \
	__u16 local_port OTEL_ATTR("network.local.port", port) OTEL_UNSET;           \
	__u32 netns OTEL_ATTR("network.namespace.id", number) OTEL_UNSET;            \
	enum tcp_role role OTEL_ATTR("network.tcp.handshake.role", enum) OTEL_UNSET; \
	enum tcp_type type OTEL_ATTR("network.type", enum) OTEL_UNSET;

struct conn_key {
	TCP_KEY
};
_Static_assert(sizeof(struct conn_key) == 40, "conn_key has a hole");

struct conn_error_key {
	TCP_KEY
	enum tcp_error error OTEL_ATTR("error.type", enum) OTEL_UNSET;
	__u32 pad;
};
_Static_assert(sizeof(struct conn_error_key) == 48, "conn_error_key has a hole");

struct tcp_connections {
	__u64 successes OTEL_SUM("system.network.tcp.connection.successes", "{connection}",
				 "TCP connections that were established");
	struct exphist_s handshake OTEL_EXPHIST("system.network.tcp.handshake.duration", "s",
						"Time from the SYN to the established connection");
	struct exphist_s duration OTEL_EXPHIST("system.network.tcp.connection.duration", "s",
					       "Time from established to closed");
	struct exphist_s
		rtt OTEL_EXPHIST("system.network.tcp.rtt.duration", "s",
				 "Smoothed round-trip time when the connection was closed");
	struct exphist_s rtt_min OTEL_EXPHIST(
		"system.network.tcp.rtt.minimum", "s",
		"Least round-trip time of the connection, of the kernel's last window");
};

/*
 * Written when a connection is established and when it is closed. Read and evicted by the
 * exporter. One value for all CPUs: it is 6 KiB, the adds are atomic anyway, and these events
 * are far fewer than packets. Made when it is needed: most hosts have a few dozen of them. Memory
 * that cannot be had at once is as a full table, and the entry for that is there from the start.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct conn_key);
	__type(value, struct tcp_connections);
} connections SEC(".maps") OTEL_METRICS;

#define TCP_RETRANSMITS(kind)                                                            \
	__u64 retransmits_##kind OTEL_SUM("system.network.tcp.retransmits", "{segment}", \
					  "Segments sent again")                         \
		OTEL_WITH("network.tcp.retransmit.type", #kind);
#define TCP_DIRECTION(member, name, unit, text)                \
	__u64 member##_transmit OTEL_SUM(name, unit, text)     \
		OTEL_WITH("network.io.direction", "transmit"); \
	__u64 member##_receive OTEL_SUM(name, unit, text)      \
		OTEL_WITH("network.io.direction", "receive");

/* clang-format off */
struct tcp_traffic {
	TCP_DIRECTION(bytes, "system.network.tcp.io", "By", "Payload, without what was sent again")
	TCP_DIRECTION(segments, "system.network.tcp.segments", "{segment}", "TCP segments, all kinds")
	TCP_DIRECTION(resets, "system.network.tcp.resets", "{reset}", "TCP segments with RST")
	TCP_RETRANSMITS(fast)
	TCP_RETRANSMITS(timeout)
	TCP_RETRANSMITS(tail_loss_probe)
	TCP_RETRANSMITS(syn)
	TCP_RETRANSMITS(syn_ack)
	TCP_RETRANSMITS(_OTHER)
	__u64 zero_windows OTEL_SUM("system.network.tcp.flow_control.events", "{event}",
				    "Times that the peer closed its window")
		OTEL_WITH("network.tcp.flow_control.event", "zero_window");
	__u64 listen_drops OTEL_SUM("system.network.tcp.listen.drops", "{segment}",
				    "Segments of new connections that a listening socket dropped, mostly for a full queue");
};
/* clang-format on */

/* Written at retransmissions and resets, when a connection is closed, and by the iterator. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct conn_key);
	__type(value, struct tcp_traffic);
} traffic SEC(".maps") OTEL_METRICS;

struct tcp_open {
	__s64 count OTEL_UPDOWN("system.network.tcp.connection.open", "{connection}",
				"TCP connections that are established or being closed");
};

/* Written when a connection is established or closed, and by the iterator. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct conn_key);
	__type(value, struct tcp_open);
} open SEC(".maps") OTEL_METRICS OTEL_CURRENT;

struct tcp_failures {
	__u64 count OTEL_SUM("system.network.tcp.connection.failures", "{connection}",
			     "TCP connections that were tried and not established");
};

/* Written when a handshake fails. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct conn_error_key);
	__type(value, struct tcp_failures);
} failures SEC(".maps") OTEL_METRICS;

struct tcp_closes {
	__u64 count OTEL_SUM("system.network.tcp.connection.closed", "{connection}",
			     "TCP connections that were established and ended");
};

/* Written when a connection is closed. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct conn_error_key);
	__type(value, struct tcp_closes);
} closes SEC(".maps") OTEL_METRICS;

static const struct tcp_connections no_connections;
static const struct tcp_traffic no_traffic;
static const struct tcp_open no_open;
static const struct tcp_failures no_failures;
static const struct tcp_closes no_closes;

#endif
