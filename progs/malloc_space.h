/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * How much memory from the kernel a process has, by cgroup: of the probe malloc, on request.
 *
 * That is not added up from calls: an unmapping may take parts of several mappings, or none, a
 * fixed mapping replaces others, and some calls go unseen. It is what the kernel itself counts of
 * private, writable memory, looked at when a call returns. Two threads may read that at once,
 * and the one with the older number be the last to note it: so who has noted one looks again.
 * Whoever changes it last thus has the last word.
 */
#ifndef OTELBPF_MALLOC_SPACE_H
#define OTELBPF_MALLOC_SPACE_H

#define LOOKS_MAX 16 /* who is overtaken more often leaves it to those who overtake */

const volatile __u32 page_size OTEL_PAGE_SIZE = 4096;

enum mapping_kind {
	mmap,
	brk,
};

struct mapped_key {
	__u64 cgroup OTEL_RESOURCE(cgroup);
	enum mapping_kind kind OTEL_ATTR("system.mapping.kind", enum);
	__u32 pad;
};
_Static_assert(sizeof(struct mapped_key) == 16, "mapped_key has a hole");

struct mapped_live {
	__s64 bytes OTEL_UPDOWN("system.mapping.live", "By",
				"Private, writable memory that processes have");
};

/* Written when a call returns, and at the end of a process. Emptied before programs are attached.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_HASH);
	__uint(max_entries, 512);
	__type(key, struct mapped_key);
	__type(value, struct mapped_live);
} mapped_now SEC(".maps") OTEL_METRICS OTEL_CURRENT OTEL_WHEN(mapped);

/* What a process is counted with, and where. */
struct space {
	__u64 cgroup; /* 0: not yet */
	__u64 bytes[2];
};

/* By process, deleted at its end. Emptied with mapped_now: so nobody is counted with anything. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct otel_process_id);
	__type(value, struct space);
} spaces SEC(".maps") OTEL_CURRENT OTEL_WHEN(mapped);

static const struct mapped_live no_live;

static __always_inline __u64 to_pages(__u64 bytes)
{
	return (bytes + page_size - 1) & -(__u64)page_size;
}

/* As the kernel counts it, of the two kinds. */
static __always_inline __u64 space__bytes(struct mm_struct *mm, enum mapping_kind kind)
{
	__u64 end = mm->brk, start = mm->start_brk;

	if (kind == brk)
		return end - start;
	return mm->data_vm * page_size - (to_pages(end) - to_pages(start));
}

static __always_inline void space__add(__u64 cgroup, enum mapping_kind kind, __s64 bytes,
				       struct task_struct *task)
{
	struct mapped_key key = {.cgroup = cgroup, .kind = kind};
	struct mapped_live *value;
	_Bool added = 0;

	if (!bytes)
		return;
	value = otel_table__get(&mapped_now, &key, &no_live, &added);
	if (added && task)
		otel_cgroup__remember(cgroup, otel_cgroup__of(task));
	if (value)
		otel_add(value->bytes, bytes);
}

static __always_inline void space__look(struct space *space, struct mm_struct *mm,
					enum mapping_kind kind, struct task_struct *task)
{
	__u64 more = 0, now;

	for (int i = 0; i < LOOKS_MAX; i++) {
		now = space__bytes(mm, kind);
		more += now - __sync_lock_test_and_set(&space->bytes[kind], now);
		barrier();
		if (space__bytes(mm, kind) == now)
			break;
	}
	space__add(space->cgroup, kind, more, task);
}

static __noinline int space__update(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct mm_struct *mm = task->mm;
	static const struct space none;
	struct otel_process_id id = {};
	struct space *space;

	if (!mm)
		return 0;
	otel_process__identify(&id, task);
	space = bpf_map_lookup_elem(&spaces, &id);
	if (!space) {
		bpf_map_update_elem(&spaces, &id, &none, BPF_NOEXIST);
		space = bpf_map_lookup_elem(&spaces, &id);
	}
	if (!space) {
		otel_lose(spaces_full);
		return 0;
	}
	if (!space->cgroup)
		space->cgroup = bpf_get_current_cgroup_id();
	space__look(space, mm, mmap, task);
	space__look(space, mm, brk, task);
	return 0;
}

static __noinline int space__end(struct otel_process_id *gone)
{
	struct space *space = gone ? bpf_map_lookup_elem(&spaces, gone) : NULL;

	if (!space)
		return 0;
	for (int kind = mmap; kind <= brk; kind++)
		space__add(space->cgroup, kind, -__sync_lock_test_and_set(&space->bytes[kind], 0),
			   NULL);
	bpf_map_delete_elem(&spaces, gone);
	return 0;
}

#endif
