/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Profiles: stacks that stay readable when their process has gone, in windows that
 * are handed over without a loss.
 *
 * A sample's key has two stack hashes. The stacks table has the frames; a user frame
 * is the number of a mapping, by build id, and an offset in its file. Samples and
 * stacks carry the number of the window they belong to: the exporter closes a window
 * by counting up otel_window.current, waits until no program can still write into
 * the old one, sends it, and deletes its entries when they are acknowledged.
 */
#ifndef OTELBPF_PROFILE_BPF_H
#define OTELBPF_PROFILE_BPF_H

#include "pages.bpf.h"
#include "profile.h"
#include "table.bpf.h"
#include "tags.h"
#include "trace.bpf.h"

const volatile __u32 trace_context
	OTEL_OPTION("0..1", "", "Tell samples apart by their threads' trace context") = 1;

/**
 * struct otel_sample_key - what samples have in common that are added up
 *
 * The key of OTEL_PROFILE_TABLES(); zero it before it is filled.
 */
struct otel_sample_key {
	struct otel_process_id process OTEL_RESOURCE(process);
	char comm[16] OTEL_ATTR("thread.name", comm);
	__u64 user_stack OTEL_STACK(user);
	__u64 kernel_stack OTEL_STACK(kernel);
	struct otel_trace trace OTEL_TRACE;
	__u32 window OTEL_WINDOW;
	__u32 pad;
};
_Static_assert(sizeof(struct otel_sample_key) == 80, "otel_sample_key has a hole");

/* Written by the exporter, read by every program. */
struct otel_window otel_window SEC(".data.window") OTEL_TAG("window-state");

/*
 * Between two samples a large table goes cold, and then it is what a sample costs most for. So
 * what comes first in a window goes to a small one, of this many entries, and to a large one only
 * when that is full.
 */
#define OTEL_FIRST_MAX 2048

/**
 * OTEL_PROFILE_TABLES - declare a probe's profile tables, "samples" and "first_samples"
 * @type:    of a value, with members tagged OTEL_SAMPLES()
 * @entries: that samples has room for
 *
 * Hash maps. Written by otel_sample__get(); read and deleted by the exporter, a window at a time.
 */
#define OTEL_PROFILE_TABLES(type, entries)                       \
	OTEL_PROFILE_TABLE(type, first_samples, OTEL_FIRST_MAX); \
	OTEL_PROFILE_TABLE(type, samples, entries)
#define OTEL_PROFILE_TABLE(t, name, entries)         \
	struct {                                     \
		__uint(type, BPF_MAP_TYPE_HASH);     \
		__uint(max_entries, entries);        \
		__type(key, struct otel_sample_key); \
		__type(value, t);                    \
	} name SEC(".maps") OTEL_PROFILE

/* The windows with even and odd numbers that have samples in the large table, plus 1. */
static __u32 otel_overflowing_windows[2];
#define otel_overflowing(window) otel_overflowing_windows[(window)&1]

/* By hash and window. Written by the programs; read and deleted by the exporter. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OTEL_FIRST_MAX);
	__type(key, struct otel_stack_key);
	__type(value, struct otel_stack_short);
} first_stacks SEC(".maps") OTEL_TAG("stacks");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 8192);
	__type(key, struct otel_stack_key);
	__type(value, struct otel_stack_usual);
} stacks SEC(".maps") OTEL_TAG("stacks");

/* Those of more frames. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 3072);
	__type(key, struct otel_stack_key);
	__type(value, struct otel_stack);
} deep_stacks SEC(".maps") OTEL_TAG("stacks");

#define OTEL_FILES_MAX 1536 /* with code that was sampled; a system has some hundreds */

/* Build ids and the numbers that frames have for them. Written by the programs. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, OTEL_FILES_MAX);
	__type(key, struct otel_build_id);
	__type(value, __u32);
} mappings SEC(".maps") OTEL_TAG("mappings");

/*
 * Paths of the files that have these numbers. An element is written once, in place, by the
 * program run that made the number: no lock, so an NMI may.
 */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, OTEL_FILES_MAX);
	__type(key, __u32);
	__type(value, struct otel_path);
} files SEC(".maps") OTEL_TAG("files");

/* Processes by id: what their resource is made of when they are gone. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, 1536);
	__type(key, struct otel_process_id);
	__type(value, struct otel_process);
} processes SEC(".maps") OTEL_TAG("processes");

/* clang-format off */
struct otel_stack_losses {
	OTEL_LOSS(stacks_full)	   /* the sample keeps its other stack and its count */
	OTEL_LOSS(mappings_full)   /* the frame keeps its address */
	OTEL_LOSS(stack_truncated) /* deeper than OTEL_STACK_DEPTH: the outermost frames are missing */
	OTEL_LOSS(unwind_failed)   /* code without frame pointers: the outer frames are missing */
	OTEL_LOSS(stack_failed)	   /* bpf_get_stack() gave nothing where there should be something */
};
/* clang-format on */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct otel_stack_losses);
} stack_losses SEC(".maps") OTEL_METRICS;
#define otel_stack_lose(reason) otel_lose_in(&stack_losses, struct otel_stack_losses, reason)

#define OTEL_FRESH_MAX 16 /* files of one stack that were never seen before; a power of 2 */

/*
 * A program's work space: too large for its stack. One entry, per CPU. Between two samples it goes
 * cold, so what each of them needs stands together.
 */
struct otel_scratch {
	__u64 space;	/* of otel_space__current() */
	__u64 known_in; /* the window that had @known last, plus 1 */
	struct otel_process_id known;
	__u64 hash;
	__u64 last_page, last_frame;
	__u32 walk;
	__u32 unknown; /* a page that has to be looked up */
	__u64 addresses[OTEL_STACK_DEPTH];
	struct otel_stack user, kernel;
	/* From here on only for what is seen for the first time. */
	struct otel_build_id last_id; /* frames of one file come in a row */
	__u32 fresh; /* new numbers in this stack, and the frames they were met in */
	__u64 last_number;
	__u32 fresh_number[OTEL_FRESH_MAX], fresh_frame[OTEL_FRESH_MAX];
	struct bpf_stack_build_id raw[OTEL_STACK_DEPTH];
	struct otel_process process;
};
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct otel_scratch);
} scratch SEC(".maps");

static __u32 otel_mappings;

/* The number of a build id, 0 when the table is full. */
static __noinline __u64 otel_mapping__number(struct otel_scratch *s, __u32 frame)
{
	struct otel_build_id *id = &s->last_id;
	__u32 *number = bpf_map_lookup_elem(&mappings, id), fresh, n;

	if (number)
		return *number;
	fresh = __sync_fetch_and_add(&otel_mappings, 1) + 1;
	/* Another CPU may have been first: its number is the one. */
	if (!bpf_map_update_elem(&mappings, id, &fresh, BPF_NOEXIST)) {
		n = s->fresh;
		if (n < OTEL_FRESH_MAX) {
			s->fresh_number[n & (OTEL_FRESH_MAX - 1)] = fresh;
			s->fresh_frame[n & (OTEL_FRESH_MAX - 1)] = frame;
			s->fresh = n + 1;
		}
		return fresh;
	}
	number = bpf_map_lookup_elem(&mappings, id);
	return number ? *number : 0;
}

/* --- names of files ---------------------------------------------------------- */

/*
 * The path of a file, from the leaf up and across mount points, as far as there is room.
 * Nothing is locked, so a rename or an unmount in these microseconds may give a path that
 * never was. It is a hint where to look: a reader checks the build id of what is there.
 */
static __noinline int otel_path__read(struct otel_path *path, struct file *file)
{
	struct vfsmount *mnt = BPF_CORE_READ(file, f_path.mnt);
	struct dentry *dentry = BPF_CORE_READ(file, f_path.dentry);
	struct mount *mount, *up;

	if (!path || !mnt)
		return 0;
	mount = (void *)mnt - bpf_core_field_offset(struct mount, mnt);
	for (int i = 0; i < OTEL_PATH_LEVELS; i++) {
		struct dentry *parent;

		/* A mount may be on the root of another. */
		for (int k = 0; k < 2 && dentry == BPF_CORE_READ(mount, mnt.mnt_root); k++) {
			up = BPF_CORE_READ(mount, mnt_parent);
			if (!up || up == mount)
				return 0;
			dentry = BPF_CORE_READ(mount, mnt_mountpoint);
			mount = up;
		}
		parent = BPF_CORE_READ(dentry, d_parent);
		if (!dentry || parent == dentry)
			return 0;
		bpf_probe_read_kernel_str(path->name[i], OTEL_PATH_NAME,
					  BPF_CORE_READ(dentry, d_name.name));
		dentry = parent;
	}
	return 0;
}

/* On the way through a process's mappings. */
struct otel_maple_walk {
	__u64 address;
	__u64 entry;	     /* a node, or what was found */
	__u64 pivots, slots; /* of the node */
	__u32 n;	     /* pivots there are */
	__u32 slot;	     /* that has the address */
};

#define OTEL_MAPLE_LEVELS 8

/*
 * The file that is mapped at an address of the current task, NULL if none is.
 *
 * bpf_find_vma() would be the way, but it shares one work item per CPU with
 * bpf_get_stack(BPF_F_USER_BUILD_ID), which uses it for the mmap lock whenever interrupts are
 * off, as here they always are: it returns EBUSY (kernel/bpf/mmap_unlock_work.h). So the
 * tree is walked without its lock: reads of freed memory give an error or nonsense, no
 * fault, and what comes out is looked at once more; see also otel_path__read().
 *
 * lib/maple_tree.c: a root whose low bits are 10 is a node. A node's type is in bits 3 to 6, its
 * address begins at bit 8. Slot i covers what is above pivot i - 1, up to pivot i; a pivot of 0
 * ends them. What the slots of a leaf have are the mappings.
 */
static long otel_maple__pivot(__u32 i, struct otel_maple_walk *walk)
{
	__u64 pivot;

	walk->slot = i;
	if (i >= walk->n ||
	    bpf_probe_read_kernel(&pivot, sizeof(pivot), (void *)(walk->pivots + 8ULL * i)))
		return 1;
	return pivot >= walk->address || (i && !pivot);
}

static long otel_maple__level(__u32 i, struct otel_maple_walk *walk)
{
	struct maple_range_64 *range = (void *)(walk->entry & ~0xffULL);
	struct maple_arange_64 *arange = (void *)range;
	__u32 type = walk->entry >> 3 & 0xf;

	if (type == maple_arange_64) {
		walk->pivots = (__u64)__builtin_preserve_access_index(&arange->pivot);
		walk->slots = (__u64)__builtin_preserve_access_index(&arange->slot);
		walk->n = sizeof(arange->pivot) / sizeof(__u64);
	} else {
		walk->pivots = (__u64)__builtin_preserve_access_index(&range->pivot);
		walk->slots = (__u64)__builtin_preserve_access_index(&range->slot);
		walk->n = sizeof(range->pivot) / sizeof(__u64);
	}
	/* Once more than there are pivots: the last slot has none. */
	bpf_loop(walk->n + 1, otel_maple__pivot, walk, 0);
	if (bpf_probe_read_kernel(&walk->entry, sizeof(walk->entry),
				  (void *)(walk->slots + 8ULL * walk->slot)))
		walk->entry = 0;
	return type == maple_leaf_64 || !walk->entry;
}

static __noinline struct file *otel_mapping__file(__u64 address)
{
	struct task_struct *task = (void *)bpf_get_current_task();
	struct otel_maple_walk walk = {.address = address};
	struct mm_struct *mm = BPF_CORE_READ(task, mm);
	struct vm_area_struct *vma;

	walk.entry = (__u64)BPF_CORE_READ(mm, mm_mt.ma_root);
	if ((walk.entry & 3) != 2 || walk.entry < 4096)
		return NULL; /* a single mapping, or none */
	bpf_loop(OTEL_MAPLE_LEVELS, otel_maple__level, &walk, 0);
	vma = (void *)walk.entry;
	if (!vma || (walk.entry & 3) || BPF_CORE_READ(vma, vm_mm) != mm ||
	    BPF_CORE_READ(vma, vm_start) > address || BPF_CORE_READ(vma, vm_end) <= address)
		return NULL;
	return BPF_CORE_READ(vma, vm_file);
}

static long otel_files__name(__u32 i, struct otel_scratch **at)
{
	struct otel_scratch *s = *at;
	struct file *file;
	__u32 number, frame;

	if (i >= OTEL_FRESH_MAX)
		return 1;
	number = s->fresh_number[i];
	frame = s->fresh_frame[i];
	if (frame >= OTEL_STACK_DEPTH)
		return 0;
	file = otel_mapping__file(s->addresses[frame]);
	if (file)
		otel_path__read(bpf_map_lookup_elem(&files, &number), file);
	return 0;
}

/*
 * Names the files that a stack was the first to show. With a build id a frame has no
 * address: where the stack has not been walked without, it is walked once more.
 */
static __noinline int otel_files__remember(void *ctx, struct otel_scratch *s)
{
	if (s->space ||
	    bpf_get_stack(ctx, s->addresses, sizeof(s->addresses), BPF_F_USER_STACK) > 0)
		bpf_loop(s->fresh, otel_files__name, &s, 0);
	return 0;
}

/* --- stacks ------------------------------------------------------------------- */

/* The walk went astray: an address where nothing is mapped is no code. */
static __always_inline long otel_stack__end(struct otel_stack *stack, __u32 i)
{
	stack->n = i;
	otel_stack_lose(unwind_failed);
	return 1;
}

/* bpf_loop() takes a context on the stack. */
struct otel_walk {
	struct otel_scratch *s;
	struct otel_stack *stack;
};

/* A frame on a page that is known. */
static long otel_stack__take(__u32 i, struct otel_walk *walk)
{
	struct otel_scratch *s = walk->s;
	struct otel_page *known;
	__u64 address, page, frame;

	if (i >= OTEL_STACK_DEPTH)
		return 1;
	address = s->addresses[i];
	page = address >> OTEL_PAGE_SHIFT;
	if (page != s->last_page) {
		known = otel_page__find(s->space, page);
		if (!known) {
			s->unknown = 1;
			return 1;
		}
		s->last_page = page;
		s->last_frame = known->frame;
	}
	if (!s->last_frame)
		return otel_stack__end(walk->stack, i);
	frame = s->last_frame + (address & OTEL_PAGE_MASK);
	walk->stack->frames[i] = frame;
	s->hash = otel_mix(s->hash, frame);
	return 0;
}

/* A frame that the kernel has looked up. */
static long otel_stack__pack(__u32 i, struct otel_walk *walk)
{
	struct otel_scratch *s = walk->s;
	struct bpf_stack_build_id *raw;
	__u64 frame, address, page;

	if (i >= OTEL_STACK_DEPTH)
		return 1;
	raw = &s->raw[i];
	address = s->addresses[i];
	page = address >> OTEL_PAGE_SHIFT;
	frame = raw->ip;
	if (raw->status == BPF_STACK_BUILD_ID_VALID && raw->offset >> OTEL_FRAME_OFFSET_BITS) {
		/*
		 * Below the mapping: the kernel takes the next one for an address that is
		 * in none (find_vma()).
		 */
		otel_page__learn(s->space, page, 0, s->walk);
		return otel_stack__end(walk->stack, i);
	}
	if (raw->status == BPF_STACK_BUILD_ID_VALID) {
		__u64 *id = (void *)raw->build_id, *last = (void *)s->last_id.bytes;

		if (id[0] != last[0] || id[1] != last[1] ||
		    *(__u32 *)&raw->build_id[16] != *(__u32 *)&s->last_id.bytes[16]) {
			__builtin_memcpy(s->last_id.bytes, raw->build_id, sizeof(raw->build_id));
			s->last_number = otel_mapping__number(s, i);
			if (!s->last_number)
				otel_stack_lose(mappings_full);
		}
		frame = otel_frame__make(s->last_number, raw->offset);
		/* The same byte of a page: another thread has not changed the stack meanwhile. */
		if (s->last_number && !((raw->offset ^ address) & OTEL_PAGE_MASK))
			otel_page__learn(s->space, page, frame - (address & OTEL_PAGE_MASK),
					 s->walk);
	} else {
		if (frame == address)
			otel_page__learn(s->space, page,
					 page << OTEL_PAGE_SHIFT | OTEL_FRAME_ADDRESS, s->walk);
		frame |= OTEL_FRAME_ADDRESS;
	}
	walk->stack->frames[i] = frame;
	s->hash = otel_mix(s->hash, frame);
	return 0;
}

static long otel_stack__mix_kernel(__u32 i, struct otel_walk *walk)
{
	struct otel_scratch *s = walk->s;

	if (i >= OTEL_STACK_DEPTH)
		return 1;
	s->hash = otel_mix(s->hash, walk->stack->frames[i]);
	return 0;
}

static __always_inline __u64 otel_stack__put_in(void *map, const struct otel_stack_key *key,
						const void *stack)
{
	/*
	 * At once, as it is mostly new: what is there already stays. An int, as it was for the
	 * kernel until 6.4, whose upper half is nothing.
	 */
	int err = bpf_map_update_elem(map, key, stack, BPF_NOEXIST);

	return !err || err == -17 /* EEXIST */ ? key->hash : 0;
}

/* Puts a stack into its table. Return: its hash, 0 when there is no room. */
static __noinline __u64 otel_stack__put(__u64 hash, __u32 window, struct otel_stack *stack)
{
	struct otel_stack_key key = {.hash = hash, .window = window};
	__u64 put = 0;

	if (!stack || !hash)
		return 0;
	if (stack->n <= OTEL_STACK_SHORT)
		put = otel_stack__put_in(&first_stacks, &key, stack);
	if (!put)
		put = stack->n <= OTEL_STACK_USUAL ? otel_stack__put_in(&stacks, &key, stack)
						   : otel_stack__put_in(&deep_stacks, &key, stack);
	if (!put)
		otel_stack_lose(stacks_full);
	return put;
}

/*
 * The kernel zeroes what is left of the buffer, a dozen cache lines that are cold by then. So
 * usual stacks get a buffer of their size, and the few that fill it a second walk.
 */
static __always_inline long otel_stack__addresses(void *ctx, __u64 *addresses, __u64 flags)
{
	long bytes = bpf_get_stack(ctx, addresses, OTEL_STACK_USUAL * sizeof(__u64), flags);

	if (bytes == OTEL_STACK_USUAL * sizeof(__u64))
		bytes = bpf_get_stack(ctx, addresses, OTEL_STACK_DEPTH * sizeof(__u64), flags);
	return bytes;
}

/**
 * otel_stack__user - take the current task's user stack
 * @ctx:   the program's context
 * @s:     work space
 * @stack: filled, but in no table yet: otel_sample__get() sees to that
 *
 * The only place that walks user stacks: by frame pointers, as the kernel does.
 *
 * Return: the stack's hash, 0 when there is none.
 */
static __always_inline __u64 otel_stack__user(void *ctx, struct otel_scratch *s,
					      struct otel_stack *stack)
{
	struct otel_walk walk = {.s = s, .stack = stack};
	long bytes = 0;
	__u32 n;

	stack->kind = OTEL_STACK_USER;
	s->hash = OTEL_STACK_USER;
	s->space = otel_space__current();
	s->unknown = 1;
	if (s->space) {
		bytes = otel_stack__addresses(ctx, s->addresses, BPF_F_USER_STACK);
		n = bytes / sizeof(s->addresses[0]);
		if (bytes > 0) {
			stack->n = n;
			s->last_page = ~0ULL;
			s->unknown = 0;
			bpf_loop(n, otel_stack__take, &walk, 0);
		}
	}
	if (s->unknown) {
		s->walk++;
		bytes = bpf_get_stack(ctx, s->raw, sizeof(s->raw),
				      BPF_F_USER_STACK | BPF_F_USER_BUILD_ID);
		if (bytes <= 0) {
			if (bytes < 0)
				otel_stack_lose(stack_failed);
			return 0;
		}
		n = bytes / sizeof(s->raw[0]);
		stack->n = n;
		s->hash = OTEL_STACK_USER;
		s->fresh = 0;
		bpf_loop(n, otel_stack__pack, &walk, 0);
		if (s->fresh)
			otel_files__remember(ctx, s);
	}
	if (n >= OTEL_STACK_DEPTH)
		otel_stack_lose(stack_truncated);
	return s->hash ? s->hash : 1;
}

/** otel_stack__kernel - the same for the kernel's stack; none is no loss: user mode */
static __always_inline __u64 otel_stack__kernel(void *ctx, struct otel_scratch *s,
						struct otel_stack *stack)
{
	struct otel_walk walk = {.s = s, .stack = stack};
	long bytes = otel_stack__addresses(ctx, stack->frames, 0);
	__u32 n;

	if (bytes <= 0)
		return 0;
	n = bytes / sizeof(__u64);
	stack->n = n;
	stack->kind = OTEL_STACK_KERNEL;
	s->hash = OTEL_STACK_KERNEL;
	bpf_loop(n, otel_stack__mix_kernel, &walk, 0);
	if (n >= OTEL_STACK_DEPTH)
		otel_stack_lose(stack_truncated);
	return s->hash ? s->hash : 1;
}

/**
 * otel_sample__get - the value of a sample in OTEL_PROFILE_TABLES(), added with its stacks if
 * absent
 * @sample: a zeroed and filled struct otel_sample_key, with the hashes of its stacks; a stack for
 *          which there is no room is taken out of it
 * @stacks: what has members user and kernel: these stacks
 * @zero:   a value of all zeros that outlives the call: a static const variable
 * @added:  set to true when the entry was not there before
 *
 * A sample that is there has put its stacks into the same window before it came: they are not
 * looked up again. Two CPUs that add the same one just when the small table gets full, or room
 * again, may have an entry each, in one table and the other; their sum is right.
 *
 * There is no overflow entry: a sum of samples without a stack tells nothing.
 *
 * Return: the value, or NULL when the tables are full, which losses.table_full counts.
 */
#define otel_sample__get(sample, stacks, zero, added)                                              \
	({                                                                                         \
		void *__v = bpf_map_lookup_elem(&first_samples, sample);                           \
                                                                                                   \
		if (!__v && otel_overflowing((sample)->window) == (sample)->window + 1)            \
			__v = bpf_map_lookup_elem(&samples, sample);                               \
		if (!__v) {                                                                        \
			(sample)->user_stack = otel_stack__put((sample)->user_stack,               \
							       (sample)->window, &(stacks)->user); \
			(sample)->kernel_stack = otel_stack__put(                                  \
				(sample)->kernel_stack, (sample)->window, &(stacks)->kernel);      \
			*(added) = 1;                                                              \
			__v = otel_table__add(&first_samples, sample, zero);                       \
			if (!__v) {                                                                \
				otel_overflowing((sample)->window) = (sample)->window + 1;         \
				__v = otel_table__add(&samples, sample, zero);                     \
			}                                                                          \
			if (!__v)                                                                  \
				otel_lose(table_full);                                             \
		}                                                                                  \
		__v;                                                                               \
	})

/**
 * otel_process__identify - fill in a task's process
 * @id:   filled in
 * @task: with a type that the verifier knows: read directly, which costs no calls
 */
static __always_inline void otel_process__identify(struct otel_process_id *id,
						   struct task_struct *task)
{
	struct task_struct *leader = task->group_leader;

	id->pid = task->tgid;
	id->exec = leader->self_exec_id;
	id->start_ns = leader->start_boottime;
}

static __noinline int otel_process__remember(struct otel_process_id *id, struct otel_scratch *s,
					     struct task_struct *task)
{
	struct otel_process *process = &s->process;
	struct file *file;

	/* Once a window it is looked up: the table forgets last what is looked up. */
	if (s->known_in == otel_window.current + 1ULL && s->known.pid == id->pid &&
	    s->known.exec == id->exec && s->known.start_ns == id->start_ns)
		return 0;
	if (bpf_map_lookup_elem(&processes, id))
		goto known;
	__builtin_memset(process, 0, sizeof(*process));
	bpf_probe_read_kernel_str(process->comm, sizeof(process->comm),
				  BPF_CORE_READ(task, group_leader, comm));
	process->cgroup = BPF_CORE_READ(task, cgroups, dfl_cgrp, kn, id);
	file = BPF_CORE_READ(task, mm, exe_file);
	if (file)
		otel_path__read(&process->path, file);
	/* Without memory at this instant: the next time. */
	if (bpf_map_update_elem(&processes, id, process, BPF_NOEXIST))
		return 0;
known:
	s->known_in = otel_window.current + 1ULL;
	s->known = *id;
	return 0;
}

#endif
