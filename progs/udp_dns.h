/* SPDX-License-Identifier: GPL-2.0-only */
/* DNS lookups over UDP, of the side that asks. */
#ifndef OTELBPF_UDP_DNS_H
#define OTELBPF_UDP_DNS_H

#include "udp_packet.h"

#define DNS_PORT 53
#define DNS_RESPONSE 0x8000

const volatile __u32 dns_name OTEL_OPTION("0..1", "",
					  "Keep one series for each name that is looked up");
const volatile __u32 dns_timeout
	OTEL_OPTION("1..60", "s", "A lookup without an answer for so long has failed") = 5;

struct dns_header {
	__be16 id;
	__be16 flags;
	__be16 questions;
	__be16 counts[3];
};

struct query_key {
	__u64 socket; /* cookie */
	__u32 id;
	__u32 pad;
};

#include "udp_event.h"

/* @epoch: of otel_filter; what was asked before a pause or after the end is nothing of ours */
struct query {
	__u64 start;
	__u64 cgroup;
	__u32 epoch;
	__u32 pad;
	char name[DNS_NAME_LEN];
};

/* Queries without an answer yet. Written when one is sent or answered; the iterator removes the
 * old. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct query_key);
	__type(value, struct query);
} queries SEC(".maps");

/*
 * The question's name, labels joined by dots, in lower case (some resolvers mix cases on
 * purpose). What is longer is cut.
 */
static __noinline int dns__name(struct __sk_buff *skb, __u32 at, char name[DNS_NAME_LEN])
{
	__u32 left = skb->len > at ? skb->len - at : 0, length_at = 0;
	char wire[DNS_NAME_LEN] = {};
	_Bool ended = 0;

	if (!name || !left)
		return 0;
	left--; /* at least 0, then at least 1 again: 6.1 knows no other way that it is not 0 */
	if (left >= DNS_NAME_LEN)
		left = DNS_NAME_LEN - 1;
	barrier_var(left);
	left &= 63;
	if (left >= DNS_NAME_LEN || bpf_skb_load_bytes(skb, at, wire, left + 1))
		return 0;
	for (__u32 i = 0; i < DNS_NAME_LEN; i++) {
		__u8 c = wire[i];

		if (i == length_at) {
			ended = ended || !c;
			length_at += c + 1;
			c = '.';
		} else if (c >= 'A' && c <= 'Z') {
			c |= 0x20;
		}
		if (ended)
			c = 0;
		if (i)
			name[i - 1] = c;
	}
	/* The last label's end became a dot only if it was cut there. */
	name[DNS_NAME_LEN - 1] = 0;
	return 0;
}

static __always_inline _Bool dns__header(struct __sk_buff *skb, const struct datagram *d,
					 struct dns_header *header, _Bool response)
{
	return d->count == 1 && !bpf_skb_load_bytes(skb, d->payload, header, sizeof(*header)) &&
	       !!(bpf_ntohs(header->flags) & DNS_RESPONSE) == response &&
	       bpf_ntohs(header->questions) >= 1;
}

static __noinline int dns__timed_out(const struct dns_key *key)
{
	struct dns_timeouts *value;
	_Bool added = 0;

	if (!key)
		return 0;
	value = otel_table__get(&timeouts, key, &no_timeouts, &added);
	if (value)
		otel_add(value->count, 1);
	return 0;
}

/* One CPU's clock may be a little behind another's. */
static __always_inline __u64 dns__since(__u64 start)
{
	__u64 now = bpf_ktime_get_ns();

	return now > start ? now - start : 0;
}

static __always_inline _Bool dns__is_stale(const struct query *query)
{
	return query->epoch != otel_filter.epoch;
}

/*
 * A query that has waited too long fails, and one of another epoch is forgotten: its answer may
 * have come when nobody looked. Returns whether it is no longer in the table.
 */
static __noinline int dns__give_up(const struct query_key *key, const struct query *query)
{
	struct dns_key series = {};
	struct query_key copy;
	_Bool stale;

	if (!key || !query)
		return 0;
	stale = dns__is_stale(query);
	if (!stale && dns__since(query->start) <= dns_timeout * 1000000000ULL)
		return 0;
	copy = *key;
	series.cgroup = query->cgroup;
	__builtin_memcpy(series.name, query->name, DNS_NAME_LEN);
	if (bpf_map_delete_elem(&queries, &copy))
		return 1;
	if (!stale)
		dns__timed_out(&series);
	if (events && stale)
		lookup_event__forget(&copy);
	else if (events)
		lookup_event__tell(&copy, &series, timed_out, dns_timeout * 1000000000ULL, 0);
	return 1;
}

/* For each query in the table. */
static long dns__expire(void *map, struct query_key *key, struct query *query, void *ctx)
{
	dns__give_up(key, query);
	return 0;
}

/*
 * Asked again, the same query goes on. But a socket that lives long comes to use a number again,
 * and the one before it may have got no answer since anybody read the numbers.
 */
static __noinline int dns__asked(struct __sk_buff *skb, const struct datagram *d, __u64 cgroup)
{
	struct query_key key = {.socket = bpf_get_socket_cookie(skb)};
	struct query query = {
		.start = bpf_ktime_get_ns(), .cgroup = cgroup, .epoch = otel_filter.epoch};
	struct dns_header header;
	struct query *before;

	if (!dns__header(skb, d, &header, 0))
		return 0;
	key.id = header.id;
	if (dns_name)
		dns__name(skb, d->payload + sizeof(header), query.name);
	before = bpf_map_lookup_elem(&queries, &key);
	if (before && !dns__give_up(&key, before))
		return 0;
	if (!bpf_map_update_elem(&queries, &key, &query, BPF_NOEXIST)) {
		if (events)
			lookup_event__note(&key, d, bpf_skb_cgroup_id(skb));
	} else if (!bpf_map_lookup_elem(&queries, &key)) {
		otel_lose(queries_full);
	}
	return 0;
}

static __noinline int dns__answered(struct __sk_buff *skb, const struct datagram *d)
{
	struct query_key key = {.socket = bpf_get_socket_cookie(skb)};
	__u64 took;
	struct dns_header header;
	struct dns_lookups *value;
	struct dns_key series = {};
	struct query *query;
	_Bool added = 0, stale;
	__u32 code;

	if (!dns__header(skb, d, &header, 1))
		return 0;
	key.id = header.id;
	query = bpf_map_lookup_elem(&queries, &key);
	if (!query)
		return 0;
	took = dns__since(query->start);
	stale = dns__is_stale(query);
	series.cgroup = query->cgroup;
	__builtin_memcpy(series.name, query->name, DNS_NAME_LEN);
	/* Of two answers at once one has it. */
	if (bpf_map_delete_elem(&queries, &key))
		return 0;
	if (stale) {
		if (events)
			lookup_event__forget(&key);
		return 0;
	}
	if (took > dns_timeout * 1000000000ULL) {
		dns__timed_out(&series);
		if (events)
			lookup_event__tell(&key, &series, timed_out, dns_timeout * 1000000000ULL,
					   0);
		return 0;
	}
	code = (bpf_ntohs(header.flags) & 0xf) + 1;
	series.code = code < _OTHER ? code : _OTHER;
	value = otel_table__get(&lookups, &series, &no_lookups, &added);
	if (value && !exphist_s__record_atomic(&value->duration, took))
		otel_lose(out_of_range);
	if (events)
		lookup_event__tell(&key, &series, series.code, took, d->bytes);
	return 0;
}

#endif
