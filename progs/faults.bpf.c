// SPDX-License-Identifier: GPL-2.0-only
/*
 * Page faults: how many, of which kind, and how long the major ones took, by cgroup.
 *
 *   minor, major       filter → count; major: time since the fault began into the histogram
 *   fault_user/kernel  filter → note the start in the task's storage
 *   fault_handled      the same where there are no such tracepoints
 *
 * What is counted are the kernel's own software events, which say what a fault was once it has
 * been handled: it is the only hook that every kernel has and that tells major from minor. The
 * tracepoints know when a fault begins, nothing of how it ends.
 *
 * A fault sleeps, and its task may wake up on another CPU: so the start is the task's. The
 * software event runs with preemption disabled and never in itself, so that per-CPU values
 * need no atomics.
 */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>
#include <otelbpf/turn.bpf.h>

char LICENSE[] SEC("license") = "GPL";

const volatile __u32 latency OTEL_OPTION("0..1", "", "Measure how long major faults take") = 1;

/* clang-format off */
OTEL_LOSSES(
	OTEL_LOSS(task_storage) /* no memory for a task's start time */
	OTEL_LOSS(start_unseen) /* a major fault that had begun before it could be measured */
	OTEL_LOSS(out_of_range) /* longer than 2^20 s */
);
/* clang-format on */

struct fault_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
};

#define FAULTS(type, mode)                                                                  \
	OTEL_SUM("process.paging.faults", "{fault}", "Page faults that the kernel handled") \
	OTEL_WITH("system.paging.fault.type", type) OTEL_WITH("cpu.mode", mode)

/* One entry for all four: a fault pays for one look-up of eight bytes. */
struct fault_value {
	/* clang-format off */
	__u64 minor_user FAULTS("minor", "user");
	__u64 minor_kernel FAULTS("minor", "kernel");
	__u64 major_user FAULTS("major", "user");
	__u64 major_kernel FAULTS("major", "kernel");
	/* clang-format on */
};

/* Written at each fault, by the CPU it happens on. Read and evicted by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 2048);
	__type(key, struct fault_key);
	__type(value, struct fault_value);
} faults SEC(".maps") OTEL_METRICS;

enum cpu_mode {
	user,
	kernel,
};

struct duration_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
	enum cpu_mode mode OTEL_ATTR("cpu.mode", enum);
	__u32 pad;
};
_Static_assert(sizeof(struct duration_key) == 16, "duration_key has a hole");

struct duration_value {
	struct exphist_s major OTEL_EXPHIST("process.paging.fault.duration", "s",
					    "Time that page faults took")
		OTEL_WITH("system.paging.fault.type", "major");
};

/* Written at each major fault, by the CPU it ends on. Read and evicted by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 256);
	__type(key, struct duration_key);
	__type(value, struct duration_value);
} durations SEC(".maps") OTEL_METRICS;

/*
 * The fault that a task is in, or was in last: minor ones do not clear it. It is the present one's
 * if the task has had no other since. Its start may have gone unseen: while paused, say, or left
 * out by a filter. Written and read by that task only; freed with it.
 */
struct fault {
	__u64 start;
	__u64 handled; /* faults before, as the kernel counts them */
};
struct {
	__uint(type, BPF_MAP_TYPE_TASK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct fault);
} open_faults SEC(".maps");

static const struct fault_value no_faults;
static const struct duration_value no_durations;

static __noinline void first_of_cgroup(__u64 cgroup)
{
	otel_cgroup__remember(cgroup, otel_cgroup__of(bpf_get_current_task_btf()));
}

static __always_inline struct fault_value *fault_value__get(void)
{
	struct fault_key key = {.cgroup = bpf_get_current_cgroup_id()};
	struct fault_value *value;
	_Bool added = 0;

	value = otel_table__get(&faults, &key, &no_faults, &added);
	if (added)
		first_of_cgroup(key.cgroup);
	return value;
}

/*
 * Whose access it was: the program's own, or the kernel's on its behalf, as in read(2). A context
 * is read by whole words at fixed offsets, those of user space's headers (asm/ptrace.h); the
 * kernel's own type has named but a part of cs since 6.9.
 */
struct perf_registers {
#if defined(__TARGET_ARCH_x86)
	__u64 others[17];
	__u64 cs;
#elif defined(__TARGET_ARCH_arm64)
	__u64 others[33];
	__u64 pstate;
#else
#error "where do this architecture's registers say who was interrupted?"
#endif
};

static __always_inline enum cpu_mode mode_of(struct bpf_perf_event_data *ctx)
{
	volatile struct perf_registers *regs = (void *)ctx;

#if defined(__TARGET_ARCH_x86)
	return regs->cs & 3 ? user : kernel;
#else
	return regs->pstate & 0xf ? kernel : user;
#endif
}

SEC("perf_event")
OTEL_SOFTWARE("page-faults-min")
int minor(struct bpf_perf_event_data *ctx)
{
	struct fault_value *value;

	if (!otel_turn__is_mine(OTEL_NEWER_FIRST) || !otel_filter__pass())
		return 0;
	value = fault_value__get();
	if (!value)
		return 0;
	if (mode_of(ctx) == user)
		value->minor_user++;
	else
		value->minor_kernel++;
	return 0;
}

static __always_inline __u64 handled(struct task_struct *task)
{
	return task->min_flt + task->maj_flt;
}

static __always_inline void record_duration(enum cpu_mode mode)
{
	struct duration_key key = {.cgroup = bpf_get_current_cgroup_id(), .mode = mode};
	struct task_struct *task = bpf_get_current_task_btf();
	__u64 now = bpf_ktime_get_ns();
	struct duration_value *value;
	struct fault *fault;
	_Bool added = 0;

	fault = bpf_task_storage_get(&open_faults, task, NULL, 0);
	/* The kernel has counted this one by now. */
	if (!fault || fault->handled + 1 != handled(task)) {
		otel_lose(start_unseen);
		return;
	}
	value = otel_table__get(&durations, &key, &no_durations, &added);
	/* The clock may be a few ns behind another CPU's. */
	if (value && !exphist_s__record(&value->major, now > fault->start ? now - fault->start : 0))
		otel_lose(out_of_range);
}

SEC("perf_event")
OTEL_SOFTWARE("page-faults-maj")
int major(struct bpf_perf_event_data *ctx)
{
	struct fault_value *value;
	enum cpu_mode mode;

	if (!otel_turn__is_mine(OTEL_NEWER_FIRST) || !otel_filter__pass())
		return 0;
	value = fault_value__get();
	if (!value)
		return 0;
	mode = mode_of(ctx);
	if (mode == user)
		value->major_user++;
	else
		value->major_kernel++;
	if (latency)
		record_duration(mode);
	return 0;
}

static __always_inline void begin(void)
{
	struct task_struct *task;
	struct fault *fault;

	if (!otel_filter__pass())
		return;
	task = bpf_get_current_task_btf();
	fault = bpf_task_storage_get(&open_faults, task, NULL, BPF_LOCAL_STORAGE_GET_F_CREATE);
	if (!fault) {
		otel_lose(task_storage);
		return;
	}
	fault->handled = handled(task);
	fault->start = bpf_ktime_get_ns();
}

OTEL_WHEN(latency)
SEC("tp_btf/page_fault_user")
OTEL_HOOK("duration of major faults", 1)
int OTEL_PROG(fault_user, unsigned long address)
{
	begin();
	return 0;
}

/*
 * Also told of every access that does not wait: by an interrupt that looks at the stack of the
 * very task whose fault is being handled, for one. Those find page faults disabled, and must
 * not take the place of the start. Nor does a kernel address that is not mapped.
 */
OTEL_WHEN(latency)
SEC("tp_btf/page_fault_kernel")
OTEL_HOOK("duration of major faults", 1)
int OTEL_PROG(fault_kernel, unsigned long address)
{
	if ((__s64)address >= 0 && !bpf_get_current_task_btf()->pagefault_disabled)
		begin();
	return 0;
}

/*
 * arm64 has neither of the two. @regs are NULL where nobody faulted: the kernel wants pages, and no
 * software event follows. What is tried again has begun before.
 */
OTEL_WHEN(latency)
SEC("?kprobe/handle_mm_fault")
OTEL_HOOK("duration of major faults", 2)
int BPF_KPROBE(fault_handled, struct vm_area_struct *vma, unsigned long address, unsigned int flags,
	       struct pt_regs *regs)
{
	if (regs && !(flags & bpf_core_enum_value(enum fault_flag, FAULT_FLAG_TRIED)))
		begin();
	return 0;
}
