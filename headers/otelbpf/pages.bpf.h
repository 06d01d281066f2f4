/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What user code pages have been found to be, so that a build id is not looked up for each frame.
 *
 * bpf_get_stack(BPF_F_USER_BUILD_ID) takes most of a sample's time: it finds the mapping of a
 * frame and reads the note out of the page cache, again and again for the same few pages.
 *
 * What a page is holds as long as its process has the same mappings. Whoever changes them has
 * to take mmap_lock for writing, and giving that up counts mm_lock_seq (mmap_write_unlock() and
 * mmap_write_downgrade(), include/linux/mmap_lock.h). So an entry holds for one process, one
 * program it executes and one value of that counter, and dlclose(3) with another file at the same
 * address is told apart. While a change is under way the entries before it hold still: a
 * thread that runs now got where it is through the mappings from before. The counter is read
 * before the page is looked up, which takes mmap_lock for reading: if a change came in
 * between, the entry is for a value that does not come again.
 *
 * Kernels without that counter (before 6.4, or without CONFIG_PER_VMA_LOCK) give nothing as
 * cheap and as exact, so there each frame is looked up.
 */
#ifndef OTELBPF_PAGES_BPF_H
#define OTELBPF_PAGES_BPF_H

#include "flavors.h"

#include "profile.h"

#define OTEL_PAGE_SHIFT 12 /* with larger pages these are parts of them */
#define OTEL_PAGE_MASK ((1ULL << OTEL_PAGE_SHIFT) - 1)
#define OTEL_PAGES 512	   /* in a block: a power of 2, and no more than 32 KiB */
#define OTEL_PAGE_BLOCKS 8 /* a power of 2; 128 KiB a CPU in all */
#define OTEL_PAGE_TRUST 64

/**
 * struct otel_page - a page of a process's code
 * @space: otel_space__current() when it was looked up
 * @page:  its number
 * @frame: of its first byte: otel_frame__make(); an address with OTEL_FRAME_ADDRESS where the
 *         file has no build id; 0 where nothing is mapped
 * @walk:  the stack walk that looked it up
 * @left:  addresses: how often the entry may be used before it is looked up again
 *
 * That there is no build id may also mean that nobody could look at this instant: mmap_lock or
 * the page was not to be had without waiting. So that has to be found twice in a row, by two
 * walks, and holds for the next OTEL_PAGE_TRUST frames.
 */
struct otel_page {
	__u64 space;
	__u64 page;
	__u64 frame;
	__u32 walk;
	__u32 left;
};

struct otel_pages {
	struct otel_page page[OTEL_PAGES];
};

/*
 * Direct mapped, in blocks: were each page an element of the map, the pointer to it would be one
 * more place in memory that is cold by the next sample. Written and read by the programs on the
 * same CPU.
 */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, OTEL_PAGE_BLOCKS);
	__type(key, __u32);
	__type(value, struct otel_pages);
} pages SEC(".maps");

static __always_inline __u64 otel_mix(__u64 hash, __u64 value)
{
	hash = (hash ^ value) * 0x9e3779b97f4a7c15ULL; /* Knuth's multiplicative hash */
	return hash ^ hash >> 29;
}

/**
 * otel_space__current - the current process and the state of its mappings in one number
 *
 * Return: 0 where the kernel does not tell that state, or there are no mappings.
 */
static __always_inline __u64 otel_space__current(void)
{
	struct task_struct *task = bpf_get_current_task_btf(), *leader = task->group_leader;
	struct mm_struct *mm = task->mm;
	__u32 seq;

	if (!mm || !mm_struct__lock_seq(mm, &seq))
		return 0;
	return otel_mix(otel_mix((__u64)leader->pid << 32 | leader->self_exec_id,
				 leader->start_boottime),
			seq) |
	       1;
}

static __always_inline struct otel_page *otel_page__at(__u64 space, __u64 page)
{
	__u64 hash = otel_mix(space, page);
	__u32 i = hash >> 32 & (OTEL_PAGE_BLOCKS - 1);
	struct otel_pages *block = bpf_map_lookup_elem(&pages, &i);

	return block ? &block->page[hash >> 40 & (OTEL_PAGES - 1)] : NULL;
}

/**
 * otel_page__find - what is known about a page
 * @space: of otel_space__current(), not 0
 * @page:  number of the page
 *
 * Return: NULL when it has to be looked up.
 */
static __always_inline struct otel_page *otel_page__find(__u64 space, __u64 page)
{
	struct otel_page *p = otel_page__at(space, page);

	if (!p || p->space != space || p->page != page)
		return NULL;
	if (p->frame & OTEL_FRAME_ADDRESS) {
		if (!p->left)
			return NULL;
		p->left--;
	}
	return p;
}

/**
 * otel_page__learn - keep what a page was found to be
 * @space: of otel_space__current(), taken before the look-up; 0: keep nothing
 * @page:  number of the page
 * @frame: see struct otel_page
 * @walk:  number of the walk that looked it up
 */
static __always_inline void otel_page__learn(__u64 space, __u64 page, __u64 frame, __u32 walk)
{
	struct otel_page *p;

	if (!space)
		return;
	p = otel_page__at(space, page);
	if (!p)
		return;
	if (p->space == space && p->page == page && p->frame == frame) {
		if (p->walk != walk)
			p->left = OTEL_PAGE_TRUST;
		return;
	}
	p->space = space;
	p->page = page;
	p->frame = frame;
	p->walk = walk;
	p->left = 0;
}

#endif
