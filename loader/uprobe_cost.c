// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_cost.h"

#include <errno.h>
#include <link.h>
#include <stddef.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "uprobe_link.h"

/* The least of so many loops of so many calls each: what disturbs them only makes them longer. */
#define LOOPS 5
#define CALLS 100
#define STEPPED_CALLS 20

void uprobe_cost_emulated(void);
void uprobe_cost_stepped(void);

/* Functions whose first instruction is known. */
#if defined(__x86_64__)
__asm__(".pushsection .text\n"
	".type uprobe_cost_emulated, @function\n"
	"uprobe_cost_emulated: push %rbp\n pop %rbp\n ret\n"
	".type uprobe_cost_stepped, @function\n"
	"uprobe_cost_stepped: test %rdi, %rdi\n ret\n"
	".popsection");
#elif defined(__aarch64__)
__asm__(".pushsection .text\n"
	".type uprobe_cost_emulated, %function\n"
	"uprobe_cost_emulated: nop\n ret\n"
	".type uprobe_cost_stepped, %function\n"
	"uprobe_cost_stepped: cmp x0, x0\n ret\n"
	".popsection");
#else
#error "functions to measure a trap on"
#endif

struct place {
	__u64 address, offset; /* in memory, in the file */
};

static int find_place(struct dl_phdr_info *info, size_t size, void *ctx)
{
	struct place *place = ctx;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		__u64 start = info->dlpi_addr + segment->p_vaddr;

		if (segment->p_type == PT_LOAD && place->address >= start &&
		    place->address - start < segment->p_filesz)
			place->offset = place->address - start + segment->p_offset;
	}
	return 1; /* the program itself comes first */
}

static __u64 least_ns(void (*function)(void), int calls)
{
	__u64 least = ~0ULL, ns;
	struct timespec from, to;

	for (int i = 0; i < LOOPS; i++) {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &from);
		for (int k = 0; k < calls; k++)
			function();
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &to);
		ns = (to.tv_sec - from.tv_sec) * 1000000000ULL + to.tv_nsec - from.tv_nsec;
		if (ns < least)
			least = ns;
	}
	return least / calls;
}

__u64 uprobe_cost__measure(const char *section, bool stepped)
{
	void (*function)(void) = stepped ? uprobe_cost_stepped : uprobe_cost_emulated;
	int calls = stepped ? STEPPED_CALLS : CALLS;
	struct place place = {.address = (unsigned long)function};
	struct uprobe_places places = {1, &place.offset, NULL, NULL};
	_cleanup_fd_ int prog = uprobe_link__nothing(section), link = -1;
	__u64 without, with;

	dl_iterate_phdr(find_place, &place);
	if (prog < 0 || !place.offset)
		return 0;
	without = least_ns(function, calls);
	link = uprobe_link__create_many(prog, section, "/proc/self/exe", &places, getpid());
	if (link == -EOPNOTSUPP)
		link = uprobe_link__create(prog, section, "/proc/self/exe", &places, 0, getpid());
	if (link < 0)
		return 0;
	with = least_ns(function, calls);
	return with > without ? with - without : 0;
}
