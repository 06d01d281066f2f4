/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * What tracing takes of those who are traced, and an end to it: of the probe malloc.
 *
 * A thread adds up what its calls have cost, and now and then, by its own CPU time, adds that to
 * everybody's. Above the limit fewer calls are sampled; where the traps alone are above it, that
 * does not help, and all programs return at once. The traps themselves end when somebody detaches:
 * otelbpf watch, pause, unload. The next attachment begins anew.
 */
#ifndef OTELBPF_MALLOC_GUARD_H
#define OTELBPF_MALLOC_GUARD_H

const volatile __u32 guard_percent
	OTEL_OPTION("0..100", "%",
		    "Of the traced threads' CPU time: above it fewer calls are sampled, or none; "
		    "0: no limit") = 5;
const volatile __u32 trap_ns OTEL_OPTION("0..1000000", "ns",
					 "What one trap costs, for guard_percent; 0: as measured "
					 "when the programs are attached") = 0;

struct guard {
	__u64 spent_ns OTEL_SUM("otelbpf.guard.spent", "s", "CPU time that tracing has taken")
		OTEL_SCALE("1e-9");
	__u64 ran_ns OTEL_SUM("otelbpf.guard.ran", "s", "CPU time of threads that were traced")
		OTEL_SCALE("1e-9");
	__u64 sample_bytes OTEL_GAUGE("otelbpf.guard.sample_bytes", "By",
				      "Bytes between samples as the guard has set them, 0: as "
				      "they were asked for");
	__u64 stopped OTEL_GAUGE("otelbpf.guard.stopped", "1", "1: the probe has stopped itself");
	__u64 trap_ns OTEL_GAUGE("otelbpf.guard.trap", "s",
				 "What one trap costs, as measured when the programs were attached")
		OTEL_SCALE("1e-9");
	__u64 work_ns; /* of spent_ns what sampling fewer would save */
	__u64 seen_spent_ns, seen_ran_ns, seen_work_ns;
};
_Static_assert(sizeof(struct guard) == sizeof(struct otel_guard), "otel_guard is another");

/* One entry. Written by all programs, and by the loader when it attaches them. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(map_flags, BPF_F_MMAPABLE);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct guard);
} guard SEC(".maps") OTEL_METRICS;

/* A thread's part. */
struct guarded {
	__u64 since_ns; /* its CPU time when it last added up */
	__u64 spent_ns, work_ns;
	__u64 calls;
};

#define GUARD_CALLS 64		    /* a look at the CPU time in so many calls */
#define GUARD_THREAD_NS 50000000ULL /* of a thread's CPU time until it adds up */
#define GUARD_JUDGE_NS 200000000ULL /* of everybody's until it is judged */
#define GUARD_SAMPLE_BYTES_MIN 4096 /* when every call was sampled */

static __always_inline struct guard *guard__get(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&guard, &zero);
}

static __always_inline __u64 guard__trap_ns(const struct guard *g)
{
	return trap_ns ? trap_ns : g->trap_ns;
}

static __always_inline __u32 guard__rate(const struct guard *g)
{
	__u64 rate = g->sample_bytes;

	return rate > sample_bytes && rate <= RATE_MAX ? rate : sample_bytes;
}

/* One of those who find that enough time has passed; counters only grow. */
static __noinline int guard__judge(void)
{
	struct guard *g = guard__get();
	__u64 ran, spent, work, seen, rate;

	if (!g)
		return 0;
	seen = g->seen_ran_ns;
	ran = g->ran_ns - seen;
	if (ran < GUARD_JUDGE_NS ||
	    __sync_val_compare_and_swap(&g->seen_ran_ns, seen, seen + ran) != seen)
		return 0;
	spent = g->spent_ns - g->seen_spent_ns;
	work = g->work_ns - g->seen_work_ns;
	g->seen_spent_ns += spent;
	g->seen_work_ns += work;
	if (spent * 100 <= ran * guard_percent)
		return 0;
	rate = guard__rate(g);
	if ((spent - work) * 100 > ran * guard_percent || rate > RATE_MAX / 2) {
		g->stopped = 1;
		return 0;
	}
	rate *= 2;
	g->sample_bytes = rate > GUARD_SAMPLE_BYTES_MIN ? rate : GUARD_SAMPLE_BYTES_MIN;
	return 0;
}

/* An allocation and what frees it: two traps. */
static __always_inline void guard__count(struct guard *g, struct guarded *t,
					 struct task_struct *task)
{
	__u64 now_ns, ran;

	if (!guard_percent)
		return;
	t->spent_ns += 2 * guard__trap_ns(g);
	if (++t->calls % GUARD_CALLS)
		return;
	now_ns = task->se.sum_exec_runtime;
	ran = now_ns - t->since_ns;
	if (t->since_ns && ran < GUARD_THREAD_NS)
		return;
	/* What it did before it was traced does not count. */
	if (t->since_ns) {
		__sync_fetch_and_add(&g->spent_ns, t->spent_ns);
		__sync_fetch_and_add(&g->work_ns, t->work_ns);
		__sync_fetch_and_add(&g->ran_ns, ran);
	}
	t->since_ns = now_ns;
	t->spent_ns = t->work_ns = 0;
	guard__judge();
}

/* A return, and what was done there. Not inlined: the caller's stack is full on 6.1. */
static __noinline int guard__worked(struct guarded *t, __u64 since_ns)
{
	struct guard *g = guard__get();
	__u64 took = bpf_ktime_get_ns() - since_ns + (g ? guard__trap_ns(g) : 0);

	if (!t)
		return 0;
	t->spent_ns += took;
	t->work_ns += took;
	return 0;
}

#endif
