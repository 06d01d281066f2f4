/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * DNS lookups as spans, with events on. A query leaves in the task that sends it, so who asks and
 * for what trace is noted then; the answer comes in a softirq.
 */
#ifndef OTELBPF_UDP_EVENT_H
#define OTELBPF_UDP_EVENT_H

#include "udp_packet.h"

enum udp_transport {
	udp = 1,
};

struct lookup_event {
	struct otel_event event OTEL_EVENT;
	__u8 peer[16] OTEL_ATTR("network.peer.address", ipaddr) OTEL_UNSET;
	__u16 peer_port OTEL_ATTR("network.peer.port", port) OTEL_UNSET;
	__u16 pad;
	enum udp_transport transport OTEL_ATTR("network.transport", enum);
	enum dns_code code OTEL_ATTR("dns.response.code", enum) OTEL_UNSET;
	enum dns_code error OTEL_ATTR("error.type", enum) OTEL_UNSET OTEL_ERROR;
	__u32 query_bytes OTEL_ATTR("dns.query.size", number) OTEL_UNSET;
	__u32 response_bytes OTEL_ATTR("dns.response.size", number) OTEL_UNSET;
	char name[DNS_NAME_LEN] OTEL_ATTR("dns.question.name", string) OTEL_UNSET;
};
_Static_assert(sizeof(struct lookup_event) == 184, "lookup_event has a hole");

/* Written when an answer comes, or has not come in time. Read by the exporter, when it has sent it.
 */
OTEL_EVENTS(lookup_events, lookup_event, 64 * 1024, OTEL_SPAN("dns lookup", client));

/**
 * struct asker - who sent a query
 * @boot: when, CLOCK_BOOTTIME
 * @peer, @peer_port: to whom
 * @bytes: of the query
 */
struct asker {
	struct otel_event_owner whose;
	struct otel_trace trace;
	__u64 boot;
	__u8 peer[16];
	__u16 peer_port;
	__u16 pad;
	__u32 bytes;
};

/* By query, as long as that is in its own table. Written when one is sent. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__uint(max_entries, 8192);
	__type(key, struct query_key);
	__type(value, struct asker);
} askers SEC(".maps") OTEL_EVENT_WHEN;

static const struct asker no_asker;

static __noinline int lookup_event__note(struct query_key *key, const struct datagram *d,
					 __u64 cgroup)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct asker *asker;

	if (!key || !d)
		return 0;
	bpf_map_update_elem(&askers, key, &no_asker, BPF_ANY);
	asker = bpf_map_lookup_elem(&askers, key);
	if (!asker)
		return 0; /* no memory at this instant: the span has no process */
	otel_event_owner__of(&asker->whose, task);
	asker->whose.cgroup = cgroup;
	otel_trace__of(&asker->trace, (__u64)task->tgid << 32 | task->pid);
	asker->boot = bpf_ktime_get_boot_ns();
	__builtin_memcpy(asker->peer, d->peer, 16);
	asker->peer_port = d->peer_port;
	asker->bytes = d->bytes;
	return 0;
}

static __always_inline void lookup_event__forget(struct query_key *key)
{
	bpf_map_delete_elem(&askers, key);
}

/**
 * lookup_event__tell - a lookup is over
 * @key:    its query
 * @series: cgroup and name
 * @code:   of the answer; timed_out: there was none
 * @ns:     how long it took
 * @bytes:  of the answer
 */
static __noinline int lookup_event__tell(struct query_key *key, const struct dns_key *series,
					 enum dns_code code, __u64 ns, __u32 bytes)
{
	struct asker unknown = {}, *asker;
	struct lookup_event *lookup;

	if (!key || !series)
		return 0;
	asker = bpf_map_lookup_elem(&askers, key);
	if (!asker) {
		unknown.whose.cgroup = series->cgroup;
		asker = &unknown;
	}
	lookup =
		otel_event__begin_of(lookup_events, lookup_event, &asker->trace, ns, &asker->whose);
	if (lookup) {
		/* That there was no answer is noticed later than it is so. */
		if (asker->boot && code == timed_out)
			lookup->event.end_ns = asker->boot + ns;
		else if (asker->boot)
			lookup->event.duration_ns = otel_event__took(ns, asker->boot);
		__builtin_memcpy(lookup->peer, asker->peer, 16);
		lookup->peer_port = asker->peer_port;
		lookup->pad = 0;
		lookup->transport = udp;
		lookup->code = code == timed_out ? 0 : code;
		lookup->error = code == NOERROR ? 0 : code;
		lookup->query_bytes = asker->bytes;
		lookup->response_bytes = bytes;
		__builtin_memcpy(lookup->name, series->name, DNS_NAME_LEN);
		otel_event__end(lookup);
	}
	lookup_event__forget(key);
	return 0;
}

#endif
