/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What is counted of allocations, by cgroup, and which of them are held, by pointer: of the probe
 * malloc, whose losses it counts.
 */
#ifndef OTELBPF_MALLOC_HELD_H
#define OTELBPF_MALLOC_HELD_H

struct heap_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
};
_Static_assert(sizeof(struct heap_key) == 8, "heap_key has a hole");

struct heap_value {
	__u64 allocations OTEL_SUM("system.heap.allocations", "{allocation}",
				   "Allocations that succeeded");
	__u64 frees OTEL_SUM("system.heap.frees", "{allocation}", "Allocations that were freed");
	__u64 allocated OTEL_SUM("system.heap.allocated", "By", "Bytes asked for");
	__u64 freed OTEL_SUM("system.heap.freed", "By", "Bytes of allocations that were freed");
	__u64 failures OTEL_SUM("system.heap.failures", "{allocation}", "Allocations that failed");
	__s64 live_bytes OTEL_UPDOWN("system.heap.live", "By", "Bytes that are held");
	__s64 live_objects OTEL_UPDOWN("system.heap.objects", "{allocation}",
				       "Allocations that are held");
	struct exphist size OTEL_EXPHIST("system.heap.allocation.size", "By",
					 "Sizes of allocations that succeeded");
};

/* Written by all programs, read by the exporter. Bounded by its size, then by the overflow entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct heap_key);
	__type(value, struct heap_value);
} heap SEC(".maps") OTEL_METRICS;

struct pointer {
	struct otel_process_id process OTEL_RESOURCE(process);
	__u64 address;
};
_Static_assert(sizeof(struct pointer) == 24, "pointer has a hole");

/* What a sampled allocation stands for, who it is counted for, and where and when it was made. */
struct allocation {
	__u64 bytes OTEL_SAMPLES("inuse_space", "bytes", "", "");
	__u64 objects OTEL_SAMPLES("inuse_objects", "count", "", "");
	__u64 user_stack OTEL_STACK(user);
	__u64 since_ns OTEL_SINCE;
	__u64 ended OTEL_ENDED; /* 1: what its process held at its end; counted for nobody */
	__u64 cgroup;
};

/*
 * By pointer. Written by leave, deleted by release; exec and exit leave some of it to the exporter,
 * see drop_all(). The stack is one that the program run that adds an entry has found or put in the
 * open window.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 65536);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct pointer);
	__type(value, struct allocation);
} live SEC(".maps") OTEL_STATE;

/* How many pointers of a process are remembered: whether there is anything to do at its end. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__type(key, struct otel_process_id);
	__type(value, __u64);
} holders SEC(".maps");

static const struct heap_value no_heap;

static __always_inline struct heap_value *heap_of(__u64 cgroup, struct task_struct *task)
{
	struct heap_key key = {.cgroup = cgroup};
	struct heap_value *value;
	_Bool added = 0;

	value = otel_table__get(&heap, &key, &no_heap, &added);
	if (added && task)
		otel_cgroup__remember(cgroup, otel_cgroup__of(task));
	return value;
}

/* EXPHIST_RECORD_ATOMIC() for a value that stands for several. */
static __always_inline void record_size(struct exphist *h, __u64 size, __u64 objects, __u64 bytes)
{
	__u32 slot = size ? exphist__slot_of(size) : 0;

	if (slot >= EXPHIST_SLOTS || !objects)
		return;
	if (size)
		otel_add(h->buckets[slot], objects);
	else
		otel_add(h->zero_count, objects);
	for (int i = 0; i < 4; i++) {
		__u64 old = h->min;

		if (((h->count || old) && old <= size) ||
		    __sync_val_compare_and_swap(&h->min, old, size) == old)
			break;
	}
	for (int i = 0; i < 4; i++) {
		__u64 old = h->max;

		if (old >= size || __sync_val_compare_and_swap(&h->max, old, size) == old)
			break;
	}
	otel_add(h->sum, bytes);
	otel_add(h->count, objects);
}

/* --- held and freed -------------------------------------------------------------- */

static __noinline int hold(struct otel_process_id *process, __s64 n)
{
	__u64 *held, none = 0;

	if (!process)
		return 0;
	held = bpf_map_lookup_elem(&holders, process);
	if (!held) {
		bpf_map_update_elem(&holders, process, &none, BPF_NOEXIST);
		held = bpf_map_lookup_elem(&holders, process);
	}
	if (held)
		__sync_fetch_and_add(held, n);
	return 0;
}

static __always_inline void count_freed(const struct allocation *a, _Bool called)
{
	struct heap_value *value = heap_of(a->cgroup, NULL);

	if (!value)
		return;
	if (called) {
		otel_add(value->frees, a->objects);
		otel_add(value->freed, a->bytes);
	}
	otel_add(value->live_bytes, -(__s64)a->bytes);
	otel_add(value->live_objects, -(__s64)a->objects);
}

/* Forgets a pointer. Return: whether it was remembered; then @freed is what was. */
static __always_inline _Bool forget(__u64 address, struct allocation *freed)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct allocation *known;
	struct pointer pointer = {.address = address};

	otel_process__identify(&pointer.process, task);
	known = bpf_map_lookup_elem(&live, &pointer);
	if (!known)
		return 0;
	*freed = *known;
	/* Freed twice at once, which is the program's bug: one of the two deletes it. */
	if (bpf_map_delete_elem(&live, &pointer))
		return 0;
	hold(&pointer.process, -1);
	return 1;
}

static __always_inline void remember(struct pointer *pointer, const struct allocation *a,
				     struct heap_value *value)
{
	struct allocation *known = bpf_map_lookup_elem(&live, pointer), before;

	if (known) {
		otel_lose(free_unseen);
		before = *known;
		count_freed(&before, 0);
	}
	if (bpf_map_update_elem(&live, pointer, a, BPF_ANY)) {
		otel_lose(live_full);
		return;
	}
	if (!known)
		hold(&pointer->process, 1);
	otel_add(value->live_bytes, a->bytes);
	otel_add(value->live_objects, a->objects);
}

/* A process that ends, and how many entries of ended ones have been met. */
struct ending {
	struct otel_process_id gone;
	__u64 ended, ended_max;
};

static long drop_one(void *map, struct pointer *pointer, struct allocation *a,
		     struct ending *ending)
{
	struct allocation held;
	_Bool keep;

	if (!a->ended && (pointer->process.pid != ending->gone.pid ||
			  pointer->process.exec != ending->gone.exec ||
			  pointer->process.start_ns != ending->gone.start_ns))
		return 0;
	held = *a;
	keep = ending->ended < ending->ended_max;
	if (keep) {
		ending->ended++;
		if (!__sync_lock_test_and_set(&a->ended, 1))
			count_freed(&held, 0);
	} else if (!bpf_map_delete_elem(map, pointer) && !held.ended) {
		count_freed(&held, 0);
	}
	return 0;
}

/*
 * A process that has ended holds nothing, and is counted so. But what it had not freed is where it
 * leaks: those entries stay until an exporter has told of them, a quarter of the table at most,
 * as nobody knows that there is an exporter. Which of more than that go is chance.
 */
static __noinline int drop_all(struct otel_process_id *gone)
{
	struct ending ending = {};

	if (!gone || !bpf_map_lookup_elem(&holders, gone))
		return 0;
	ending.gone = *gone;
	ending.ended_max = ((struct bpf_map *)&live)->max_entries / 4;
	bpf_for_each_map_elem(&live, drop_one, &ending, 0);
	bpf_map_delete_elem(&holders, gone);
	return 0;
}

#endif
