/* SPDX-License-Identifier: GPL-2.0-only */
/* What is known of a thread, and whether its call is measured and sampled: of the probe malloc. */
#ifndef OTELBPF_MALLOC_THREAD_H
#define OTELBPF_MALLOC_THREAD_H

/* Up to the next sample. */
struct countdown {
	__u64 distance; /* bytes */
	__u32 rate;	/* bytes between samples when the distance was drawn; 0: it was not */
	__u32 pad;
};

/* One thread's. Gone with it. */
struct thread {
	struct countdown countdown;
	__u64 sp; /* of the call whose return is waited for, at its entry; 0: none */
	__u64 at; /* stack pointer, place and return address of the last call that */
	__u64 ip; /* was no part of another one */
	__u64 ret;
	__u64 size;
	__u64 result;		 /* where posix_memalign() puts the pointer, 0: it returns it */
	__u64 old;		 /* what realloc() is given */
	struct allocation freed; /* and what was remembered of that */
	struct allocation made;	 /* what the call has made: here, as the stack is full */
	struct sample_value sample;
	struct guarded guarded;
	struct {
		__u64 sp; /* of a call to the kernel, at its entry; 0: none */
		__u64 bytes;
		struct countdown countdown;
		__u32 epoch, kind, freeing, pad;
	} asked;
	__u32 epoch;
	__u32 turn;	 /* the slot for upgrades */
	__u32 usdt_exec; /* 1 + the program that it has told by USDT probes of its own */
	__u8 sampled, resized, pad[2];
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct thread);
} threads SEC(".maps");

static __noinline __u64 next_sample(__u32 rate)
{
	return weight__distance(rate, bpf_get_prandom_u32());
}

static __always_inline _Bool take(struct countdown *c, __u64 size, __u32 rate)
{
	/* Where the next point falls does not depend on where the last one was: draw it again. */
	if (c->rate != rate) {
		c->rate = rate;
		c->distance = next_sample(rate);
	}
	if (rate == 1)
		return 1;
	size = size ? size : 1;
	if (size <= c->distance) {
		c->distance -= size;
		return 0;
	}
	c->distance = next_sample(rate);
	return 1;
}

static __noinline __u64 stands_for(__u64 size, __u32 rate)
{
	return rate == 1 ? size : weight__bytes(size ? size : 1, rate);
}

/*
 * The other programs bear to run twice for one event: the second finds no call that is waited for,
 * no pointer that is remembered. A session's return goes to the version that had its entry.
 */
static __noinline _Bool take_turn(void)
{
	struct thread *t = bpf_task_storage_get(&threads, bpf_get_current_task_btf(), NULL,
						BPF_LOCAL_STORAGE_GET_F_CREATE);

	return otel_turn__take(t ? &t->turn : NULL, OTEL_NEWER_FIRST);
}

/* Return: the thread's, NULL: its call is not measured. */
static __always_inline struct thread *begin(struct guard *g, struct task_struct *task)
{
	struct thread *t;

	if (!g || (otel_turn__is_on() && !take_turn()) || !otel_filter__pass())
		return NULL;
	if (g->stopped) {
		otel_lose(guard_stopped);
		return NULL;
	}
	t = bpf_task_storage_get(&threads, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (t)
		guard__count(g, &t->guarded, task);
	else
		otel_lose(thread_full);
	return t;
}

#endif
