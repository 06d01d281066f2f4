// SPDX-License-Identifier: GPL-2.0-only
/*
 * Processes that the kernel killed for want of memory, and how much each had resident, by cgroup.
 *
 *   signal_generate  SIGKILL by the kernel → filter → note the victim
 *   mark_victim      the one just noted? → count
 *
 * It takes both. mark_victim alone also tells of processes that were dying anyway and only get
 * what memory is left, and before 6.9 it has a number, no task. The signal alone may come from
 * anything in the kernel. Where the killer kills it does one right after the other, with the
 * victim's lock held: on the same CPU with no other task in between, so one slot per CPU holds the
 * victim, and per-CPU values need no atomics.
 *
 * With events on each is a log record besides, in the span that the victim's thread worked for.
 *
 * Both run in the task that wanted memory. The victim is mostly another one, and its cgroup and the
 * filter's business are the victim's.
 */
#include "vmlinux.h"

#include <otelbpf/event.bpf.h>
#include <otelbpf/otel.bpf.h>
#include <otelbpf/turn.bpf.h>

char LICENSE[] SEC("license") = "GPL";

#define SIGKILL 9
#define SEND_SIG_PRIV 1 /* include/linux/sched/signal.h: from the kernel */

const volatile __u32 page_size OTEL_PAGE_SIZE = 4096;
const volatile __u32 memory_pages OTEL_MEMORY_PAGES = 0;

OTEL_LOSSES(OTEL_EVENT_LOSSES);

struct kill_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
};

struct kill_value {
	__u64 count OTEL_SUM("system.memory.oom.kills", "{process}",
			     "Processes that the kernel killed for want of memory");
	struct exphist rss OTEL_EXPHIST("system.memory.oom.rss", "By",
					"Memory that processes so killed had resident");
};

/* Written at each kill, by the CPU it happens on. Read and evicted by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct kill_key);
	__type(value, struct kill_value);
} kills SEC(".maps") OTEL_METRICS;

struct kill {
	struct otel_event event OTEL_EVENT;
	__u64 rss OTEL_ATTR("system.memory.oom.rss", number);
	__s64 score_adj OTEL_ATTR("system.memory.oom.score_adj", number);
	__u64 score OTEL_ATTR("system.memory.oom.score", number);
};
_Static_assert(sizeof(struct kill) == 120, "kill has a hole");

/* Written at each kill. Read by the exporter, when it has sent it. */
OTEL_EVENTS(kill_events, kill, 16 * 1024,
	    OTEL_LOG("system.memory.oom.kill", 17, "A process was killed for want of memory"));

/* A victim as it was when it was killed. */
struct victim {
	struct otel_owner owner;
	struct kernfs_node *kn; /* of its cgroup; 0: nothing is noted */
	__u64 rss;		/* bytes */
	__u64 score;
	__u32 pid; /* of the thread that was marked */
	__s32 score_adj;
	struct otel_event_owner whose; /* with events only, as the next */
	struct otel_trace trace;
};

/* One entry, per CPU. From a SIGKILL to mark_victim right behind it. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct victim);
} killing SEC(".maps");

static const struct kill_value no_kills;

static __always_inline __u64 resident_pages(struct mm_struct *mm)
{
	return mm_struct__pages(mm, MM_FILEPAGES) + mm_struct__pages(mm, MM_ANONPAGES) +
	       mm_struct__pages(mm, MM_SHMEMPAGES);
}

/*
 * What /proc/PID/oom_score said: oom_badness() of mm/oom_kill.c, as proc_oom_score() of
 * fs/proc/base.c scales it since 5.9, to the memory of the machine, be it a cgroup's that ran out:
 * those points are in no tracepoint, and compared by the kernel with nothing but the others' of
 * that cgroup. Where it divides, it cuts off toward 0.
 */
static __always_inline __u64 score_of(struct mm_struct *mm, __s32 score_adj)
{
	__u64 used = resident_pages(mm) + mm_struct__pages(mm, MM_SWAPENTS) +
		     (__u64)BPF_CORE_READ(mm, pgtables_bytes.counter) / page_size;
	__s64 points = used + (__s64)score_adj * (memory_pages / 1000);
	__u64 share = points < 0 ? -points : points;

	if (!memory_pages)
		return 0;
	share = share * 1000 / memory_pages;
	if (points < 0)
		share = share < 1000 ? -share : -1000;
	return (1000 + share) * 2 / 3;
}

static __always_inline void note(struct victim *victim, struct task_struct *task)
{
	struct mm_struct *mm = BPF_CORE_READ(task, mm);

	victim->kn = NULL;
	otel_owner__of_task(&victim->owner, task);
	victim->owner.uid = BPF_CORE_READ(task, cred, uid.val);
	victim->owner.cgroup = BPF_CORE_READ(otel_cgroup__of(task), id);
	victim->pid = task->pid;
	victim->rss = mm ? resident_pages(mm) * page_size : 0;
	victim->score_adj = BPF_CORE_READ(task, signal, oom_score_adj);
	if (events) {
		victim->score = mm ? score_of(mm, victim->score_adj) : 0;
		otel_event_owner__of(&victim->whose, task);
		otel_trace__of(&victim->trace, (__u64)task->tgid << 32 | task->pid);
	}
	victim->kn = otel_cgroup__of(task);
}

SEC("tp_btf/signal_generate")
int OTEL_PROG(signal_generate, int sig, struct kernel_siginfo *info, struct task_struct *task)
{
	struct victim *victim;
	__u32 zero = 0;

	if (sig != SIGKILL || (__u64)info != SEND_SIG_PRIV)
		return 0;
	victim = bpf_map_lookup_elem(&killing, &zero);
	if (victim)
		note(victim, task);
	return 0;
}

static __always_inline void record(struct victim *victim)
{
	struct kill_key key = {.cgroup = victim->owner.cgroup};
	struct kill_value *value;
	_Bool added = 0;

	value = otel_table__get(&kills, &key, &no_kills, &added);
	if (added)
		otel_cgroup__remember(key.cgroup, victim->kn);
	if (!value)
		return;
	value->count++;
	exphist__record(&value->rss, victim->rss); /* memory ends below 2^47 bytes */
}

static __noinline int tell(struct victim *victim)
{
	struct kill *kill;

	if (!victim)
		return 0;
	kill = otel_event__begin_log_of(kill_events, kill, &victim->trace, &victim->whose);
	if (!kill)
		return 0;
	kill->rss = victim->rss;
	kill->score_adj = victim->score_adj;
	kill->score = victim->score;
	otel_cgroup__remember(victim->owner.cgroup, victim->kn);
	otel_event__end(kill);
	return 0;
}

/* The first argument is a number before 6.9, then the task. */
SEC("tp_btf/mark_victim")
int mark_victim(unsigned long long *ctx)
{
	struct victim *victim;
	__u32 zero = 0, pid;

	if (bpf_core_field_exists(struct trace_event_raw_mark_victim___task, __data_loc_comm))
		pid = ((struct task_struct *)ctx[0])->pid;
	else
		pid = ctx[0];
	otel_cpu_begin();
	victim = bpf_map_lookup_elem(&killing, &zero);
	if (victim && victim->kn && victim->pid == pid &&
	    otel_filter__pass_owner(&victim->owner, victim->kn)) {
		record(victim);
		if (events)
			tell(victim);
	}
	if (victim)
		victim->kn = NULL;
	otel_cpu_end();
	return 0;
}
