/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Events: what matters one by one leaves the kernel through a ring buffer, as a span or a
 * log record.
 *
 *	struct slow_call {
 *		struct otel_event event OTEL_EVENT;
 *		__u32 nr OTEL_ATTR("syscall.name", syscall) OTEL_NAME;
 *		__u32 error OTEL_ATTR("error.type", errno) OTEL_UNSET OTEL_ERROR;
 *	};
 *	OTEL_EVENTS(slow_calls, slow_call, 256 * 1024, OTEL_SPAN("syscall", internal));
 *
 *	if (events && …)
 *		event = otel_event__begin(slow_calls, slow_call, &trace, ns);
 *	if (event) {
 *		event->nr = nr;
 *		event->error = error;
 *		otel_event__end(event);
 *	}
 *
 * The exporter moves the ring's consumer position on when its receiver has acknowledged what
 * lies before it. So everything that must be the same when it is sent again is in the record:
 * the ids above all.
 */
#ifndef OTELBPF_EVENT_BPF_H
#define OTELBPF_EVENT_BPF_H

#include <bpf/bpf_core_read.h>
#include <bpf/bpf_helpers.h>

#include "profile.h"
#include "table.bpf.h"
#include "tags.h"

/* The maps below are there if the probe's option "events" is not 0. */
#define OTEL_EVENT_WHEN OTEL_WHEN(events)
#ifndef OTEL_TRACE_WHEN /* else something else wants contexts, too */
#define OTEL_TRACE_WHEN OTEL_EVENT_WHEN
#endif
#include "trace.bpf.h"

#define OTEL_EVENT_SECOND 1000000000ULL
#define OTEL_EVENT_TRIES 4

const volatile __u32 events OTEL_OPTION("0..1", "", "Send spans and log records, too") = 0;
const volatile __u32 events_per_second
	OTEL_OPTION("0..1000000", "{event}/s",
		    "Most events a second, over all CPUs; 0: as many as there are") = 30;

/**
 * struct otel_event - what every event has; the first member of its record
 * @end_ns:      when it was over, or happened; CLOCK_BOOTTIME, which goes on in suspend
 * @duration_ns: how long it took; 0 for a log record
 * @trace:       of a span: its trace id and its own span id. Of a log record: the trace and
 *               the span that it happened in, all zero for none
 * @parent:      of a span: the span above it; all zero: it is the first of its trace. Of a log
 *               record: what tells it from every other, by which a receiver knows it again
 * @process:     whose it is
 * @cgroup:      cgroup v2 id of that process
 * @thread:      the kernel's thread id
 * @pad:         zero
 * @comm:        the thread's name
 */
struct otel_event {
	__u64 end_ns OTEL_TAG("end");
	__u64 duration_ns OTEL_TAG("duration");
	struct otel_trace trace OTEL_TRACE;
	__u8 parent[8] OTEL_TAG("parent");
	struct otel_process_id process OTEL_RESOURCE(process);
	__u64 cgroup OTEL_RESOURCE(cgroup);
	__u32 thread OTEL_ATTR("thread.id", pid) OTEL_UNSET;
	__u32 pad;
	char comm[16] OTEL_ATTR("thread.name", comm) OTEL_UNSET;
};
_Static_assert(sizeof(struct otel_event) == 96, "otel_event has a hole");

/**
 * struct otel_event_owner - whose an event is that does not end in its owner's context
 *
 * The members of struct otel_event from @process on. A process of number 0 is not known: the event
 * has its cgroup's Resource alone.
 */
struct otel_event_owner {
	struct otel_process_id process;
	__u64 cgroup;
	__u32 thread;
	__u32 pad;
	char comm[16];
};
_Static_assert(sizeof(struct otel_event_owner) == 48, "as many bytes as the end of otel_event");

/**
 * struct otel_event_state - what a ring's events share
 * @number: of the next event
 * @seed:   what ids are made of, drawn by the first event. Never 0 once drawn
 */
struct otel_event_state {
	__u64 number;
	__u64 seed[3];
};

/*
 * The token bucket, one for all rings of the probe: when it was, or will be, full, CLOCK_BOOTTIME.
 * Written for each event.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, __u64);
} event_bucket SEC(".maps") OTEL_EVENT_WHEN;

/* For OTEL_LOSSES() of a probe that has events. */
#define OTEL_EVENT_LOSSES                                             \
	OTEL_LOSS(event_suppressed) /* more than events_per_second */ \
	OTEL_LOSS(event_ring_full)  /* the exporter has not sent so many */

/**
 * OTEL_EVENTS - declare a ring of events, and the map NAME_state that says what they are
 * @name:    of the ring
 * @record:  struct with a first member of type struct otel_event, tagged OTEL_EVENT
 * @bytes:   size of the ring, a power of two of at least a page
 * @meaning: OTEL_SPAN() or OTEL_LOG()
 *
 * The state's member "record" is never written: it is there for its type, which a ring buffer
 * has no place for, so that a reader and an upgrade know what is in the ring.
 */
#define OTEL_EVENTS(name, record_type, bytes, meaning) \
	OTEL_EVENTS_WHEN(events, name, record_type, bytes, meaning)

/**
 * OTEL_EVENTS_WHEN - the same for a ring that there is only with another option of the probe
 * @option: which of its values other than 0 asks for the ring
 *
 * The program asks for both: if (events && OPTION).
 */
#define OTEL_EVENTS_WHEN(option, name, record_type, bytes, meaning) \
	struct {                                                    \
		__uint(type, BPF_MAP_TYPE_RINGBUF);                 \
		__uint(max_entries, bytes);                         \
	} name SEC(".maps") OTEL_WHEN(option);                      \
	struct name##_state {                                       \
		struct otel_event_state state;                      \
		struct record_type record meaning;                  \
	};                                                          \
	struct {                                                    \
		__uint(type, BPF_MAP_TYPE_ARRAY);                   \
		__uint(max_entries, 1);                             \
		__type(key, __u32);                                 \
		__type(value, struct name##_state);                 \
	} name##_state SEC(".maps") OTEL_TAG("events|" #name) OTEL_WHEN(option)

/**
 * otel_event__admit - take a token from the bucket
 * @full_ns: the bucket
 * @now_ns:  CLOCK_BOOTTIME
 *
 * The bucket holds one second's worth. It is kept as one number, the time at which it would be
 * full again if nobody took from it, so that one compare and swap takes a token, from
 * whatever CPU. Whoever loses that race OTEL_EVENT_TRIES times goes without.
 */
static __always_inline _Bool otel_event__admit(__u64 *full_ns, __u64 now_ns)
{
	__u64 each = events_per_second ? OTEL_EVENT_SECOND / events_per_second : 0;

	if (!events_per_second)
		return 1;
	for (int i = 0; i < OTEL_EVENT_TRIES; i++) {
		__u64 was = *(volatile __u64 *)full_ns, from = was > now_ns ? was : now_ns;

		if (from + each > now_ns + OTEL_EVENT_SECOND)
			return 0;
		if (__sync_val_compare_and_swap(full_ns, was, from + each) == was)
			return 1;
	}
	return 0;
}

/*
 * A permutation of the 64-bit numbers that looks random (the finalizer of splitmix64: Steele,
 * Lea, Flood, "Fast splittable pseudorandom number generators", 2014). A permutation, so that
 * different numbers give different ids.
 */
static __always_inline __u64 otel_event__mix(__u64 n)
{
	n = (n ^ (n >> 30)) * 0xbf58476d1ce4e5b9ULL;
	n = (n ^ (n >> 27)) * 0x94d049bb133111ebULL;
	return n ^ (n >> 31);
}

/* Whoever is first draws; the others take what is there. */
static __always_inline __u64 otel_event__seed(struct otel_event_state *state, int i)
{
	__u64 drawn, was;

	if (state->seed[i])
		return state->seed[i];
	drawn = (__u64)bpf_get_prandom_u32() << 32 | bpf_get_prandom_u32() | 1;
	was = __sync_val_compare_and_swap(&state->seed[i], 0, drawn);
	return was ? was : drawn;
}

/**
 * otel_event__identify - give an event its number and a span its ids
 *
 * Ids do not repeat as long as the ring's state lives, as each is a permutation of the event's
 * number; from one load to the next they are 63 random bits apart. None is zero: a number
 * that would give one is left out.
 */
static __always_inline void otel_event__identify(struct otel_event *event,
						 struct otel_event_state *state,
						 const struct otel_trace *context, _Bool is_span)
{
	__u64 span = 0, low = 0, number = 0;

	for (int i = 0; i < OTEL_EVENT_TRIES; i++) {
		number = __sync_fetch_and_add(&state->number, 1);
		span = otel_event__mix(otel_event__seed(state, 0) + number);
		low = otel_event__mix(otel_event__seed(state, 1) + number);
		if (span && low)
			break;
	}
	event->trace = *context;
	if (!is_span) {
		__builtin_memcpy(event->parent, &span, sizeof(event->parent));
		return;
	}
	__builtin_memset(event->parent, 0, sizeof(event->parent));
	/* A context without a span is a trace all the same; without a trace it is none. */
	if (((const __u64 *)context->trace_id)[0] || ((const __u64 *)context->trace_id)[1]) {
		__builtin_memcpy(event->parent, context->span_id, sizeof(event->parent));
	} else {
		__u64 high = otel_event__mix(otel_event__seed(state, 2) + number);

		__builtin_memcpy(event->trace.trace_id, &high, sizeof(high));
		__builtin_memcpy(event->trace.trace_id + 8, &low, sizeof(low));
	}
	__builtin_memcpy(event->trace.span_id, &span, sizeof(span));
}

/** otel_event_owner__of - note a task as the owner of an event to come */
static __always_inline void otel_event_owner__of(struct otel_event_owner *owner,
						 struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	owner->process.pid = task->tgid;
	owner->process.exec = leader->self_exec_id;
	owner->process.start_ns = leader->start_boottime;
	owner->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	owner->thread = task->pid;
	owner->pad = 0;
	__builtin_memcpy(owner->comm, task->comm, sizeof(owner->comm));
}

/** otel_event__own - say whose an event is */
static __always_inline void otel_event__own(struct otel_event *event,
					    const struct otel_event_owner *owner)
{
	__builtin_memcpy(&event->process, owner, sizeof(*owner));
}

#define OTEL_EVENT_SUSPENDED 10000000 /* ns: more than lies between two readings of clocks */

/**
 * otel_event__took - how long what was measured took, suspend included
 * @ns:       as measured on CLOCK_MONOTONIC, which stands still in suspend
 * @began_ns: when it began, CLOCK_BOOTTIME
 */
static __always_inline __u64 otel_event__took(__u64 ns, __u64 began_ns)
{
	__u64 all = bpf_ktime_get_boot_ns() - began_ns;

	return all > ns + OTEL_EVENT_SUSPENDED ? all : ns;
}

/* A place in a ring, with ids; or NULL, and that is counted. */
#define otel_event__reserve(ring, type, context, is_span)                                         \
	({                                                                                        \
		__u32 __only = 0;                                                                 \
		struct ring##_state *__s = bpf_map_lookup_elem(&ring##_state, &__only);           \
		__u64 *__bucket = bpf_map_lookup_elem(&event_bucket, &__only);                    \
		__u64 __now = bpf_ktime_get_boot_ns();                                            \
		struct type *__e = NULL;                                                          \
                                                                                                  \
		if (__s && __bucket && !otel_event__admit(__bucket, __now)) {                     \
			otel_lose(event_suppressed);                                              \
		} else if (__s && __bucket) {                                                     \
			__e = bpf_ringbuf_reserve(&ring, sizeof(*__e), 0);                        \
			if (__e) {                                                                \
				otel_event__identify(&__e->event, &__s->state, context, is_span); \
				__e->event.end_ns = __now;                                        \
				__e->event.duration_ns = 0;                                       \
			} else {                                                                  \
				otel_lose(event_ring_full);                                       \
			}                                                                         \
		}                                                                                 \
		__e;                                                                              \
	})

/**
 * otel_event__begin_of - an event that has just ended
 * @ring:    that OTEL_EVENTS() declared
 * @type:    its record's struct, without the word struct
 * @context: struct otel_trace, read when the event began
 * @ns:      how long it took
 * @whose:   struct otel_event_owner
 *
 * Return: the record with its otel_event filled in, the rest is to be written before
 * otel_event__end(); or NULL, and that is counted.
 */
#define otel_event__begin_of(ring, type, context, ns, whose)                    \
	({                                                                      \
		struct type *__b = otel_event__reserve(ring, type, context, 1); \
                                                                                \
		if (__b) {                                                      \
			__b->event.duration_ns = ns;                            \
			otel_event__own(&__b->event, whose);                    \
		}                                                               \
		__b;                                                            \
	})

/** otel_event__begin_log_of - the same for a log record */
#define otel_event__begin_log_of(ring, type, context, whose)                    \
	({                                                                      \
		struct type *__b = otel_event__reserve(ring, type, context, 0); \
                                                                                \
		if (__b)                                                        \
			otel_event__own(&__b->event, whose);                    \
		__b;                                                            \
	})

/** otel_event__begin - otel_event__begin_of() the current task */
#define otel_event__begin(ring, type, context, ns)                          \
	({                                                                  \
		struct otel_event_owner __whose;                            \
                                                                            \
		otel_event_owner__of(&__whose, bpf_get_current_task_btf()); \
		otel_event__begin_of(ring, type, context, ns, &__whose);    \
	})

/** otel_event__begin_log - the same for a log record */
#define otel_event__begin_log(ring, type, context)                          \
	({                                                                  \
		struct otel_event_owner __whose;                            \
                                                                            \
		otel_event_owner__of(&__whose, bpf_get_current_task_btf()); \
		otel_event__begin_log_of(ring, type, context, &__whose);    \
	})

/** otel_event__end - hand a record over; nobody is woken up, the exporter comes by itself */
#define otel_event__end(event) bpf_ringbuf_submit(event, BPF_RB_NO_WAKEUP)

#endif
