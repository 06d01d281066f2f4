/* SPDX-License-Identifier: GPL-2.0-only */
/* What the probe udp counts, by what. A softirq may interrupt any program: all adds are atomic. */
#ifndef OTELBPF_UDP_TABLES_H
#define OTELBPF_UDP_TABLES_H

#define DNS_NAME_LEN 48

enum udp_type {
	ipv4 = 4,
	ipv6 = 6,
};

/* RCODE and one more, so that 0 is none. */
enum dns_code {
	NOERROR = 1,
	FORMERR,
	SERVFAIL,
	NXDOMAIN,
	NOTIMP,
	REFUSED,
	_OTHER,
	timed_out, /* of a span: no answer */
};

struct udp_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
	__u8 peer[16] OTEL_ATTR("network.peer.address", ipaddr) OTEL_UNSET;
	__u16 peer_port OTEL_ATTR("network.peer.port", port) OTEL_UNSET;
	__u16 local_port OTEL_ATTR("network.local.port", port) OTEL_UNSET;
	enum udp_type type OTEL_ATTR("network.type", enum);
};
_Static_assert(sizeof(struct udp_key) == 32, "udp_key has a hole");

#define UDP_DIRECTION(member, name, unit, text)                \
	__u64 member##_transmit OTEL_SUM(name, unit, text)     \
		OTEL_WITH("network.io.direction", "transmit"); \
	__u64 member##_receive OTEL_SUM(name, unit, text)      \
		OTEL_WITH("network.io.direction", "receive");

/* clang-format off */
struct udp_traffic {
	UDP_DIRECTION(datagrams, "system.network.udp.datagrams", "{datagram}", "UDP datagrams")
	UDP_DIRECTION(bytes, "system.network.udp.io", "By", "Payload of UDP datagrams")
	__u64 sessions OTEL_SUM("system.network.udp.sessions", "{session}",
				"Pairs of addresses and ports that began to exchange datagrams");
};
/* clang-format on */

/* Written for every datagram. Read and evicted by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct udp_key);
	__type(value, struct udp_traffic);
} traffic SEC(".maps") OTEL_METRICS;

struct udp_socket_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
	__u32 local_port OTEL_ATTR("network.local.port", port) OTEL_UNSET;
	__u32 pad;
};
_Static_assert(sizeof(struct udp_socket_key) == 16, "udp_socket_key has a hole");

struct udp_drops {
	__u64 full OTEL_SUM("system.network.udp.queue.drops", "{datagram}",
			    "Datagrams that came and found the socket's receive queue full");
};

/* Written for every datagram that is dropped. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 1024);
	__type(key, struct udp_socket_key);
	__type(value, struct udp_drops);
} drops SEC(".maps") OTEL_METRICS;

struct dns_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
	enum dns_code code OTEL_ATTR("dns.response.code", enum) OTEL_UNSET;
	__u32 pad;
	char name[DNS_NAME_LEN] OTEL_ATTR("dns.question.name", string) OTEL_UNSET;
};
_Static_assert(sizeof(struct dns_key) == 64, "dns_key has a hole");

struct dns_lookups {
	struct exphist_s duration OTEL_EXPHIST("dns.lookup.duration", "s",
					       "Time from a DNS query over UDP to its answer");
};

/*
 * Written for every answer. One value for all CPUs: lookups are few, values large, and so made
 * when they are needed.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 1024);
	__type(key, struct dns_key);
	__type(value, struct dns_lookups);
} lookups SEC(".maps") OTEL_METRICS;

struct dns_timeouts {
	__u64 count OTEL_SUM("dns.lookup.timeouts", "{lookup}",
			     "DNS queries over UDP that had no answer in time");
};

/* Written by the iterator. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct dns_key);
	__type(value, struct dns_timeouts);
} timeouts SEC(".maps") OTEL_METRICS;

static const struct udp_traffic no_traffic;
static const struct udp_drops no_drops;
static const struct dns_lookups no_lookups;
static const struct dns_timeouts no_timeouts;

#endif
