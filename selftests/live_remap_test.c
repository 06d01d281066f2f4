// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a program knows about a page of code must not outlive the mapping: the same function runs
 * at the same address out of one file, and then out of another.
 */
#include <bpf/bpf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <otelbpf/profile.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "live.h"

#define CPU_OBJECT OBJECT_DIR "/progs/cpu.bpf.o"
#define FILES 2
#define TURNS 3
#define AT ((char *)0x200000000000)
#define TURN_MS 200

/* Needs nothing but its own code, so it runs from wherever it is mapped. */
__attribute__((noinline, aligned(64), no_sanitize("address", "undefined"))) static void
spin_here(unsigned long turns)
{
	while (turns--)
		__asm__ volatile("");
}

/* This program in memory: where the code's file offset and the build id are. */
struct self {
	unsigned long offset; /* of the page that spin_here() begins in, in the file */
	unsigned long id_at;  /* likewise, of the build id */
};

static int find_self(struct dl_phdr_info *info, size_t size, void *ctx)
{
	unsigned long code = (unsigned long)spin_here & ~4095UL;
	struct self *self = ctx;

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *ph = &info->dlpi_phdr[i];
		unsigned long start = info->dlpi_addr + ph->p_vaddr, at = 0;

		if (ph->p_type == PT_LOAD && code >= (start & ~4095UL) &&
		    code < start + ph->p_filesz)
			self->offset = code - start + ph->p_offset;
		while (ph->p_type == PT_NOTE && at + sizeof(ElfW(Nhdr)) <= ph->p_filesz) {
			const ElfW(Nhdr) *note = (const void *)(start + at);

			at += sizeof(*note) + (note->n_namesz + 3) / 4 * 4;
			if (note->n_type == NT_GNU_BUILD_ID && note->n_descsz == 20)
				self->id_at = ph->p_offset + at;
			at += (note->n_descsz + 3) / 4 * 4;
		}
	}
	return 1; /* the program itself is the first */
}

/* A copy of this program with a build id of its own. */
static void write_copy(const struct self *self, const char *path, int which)
{
	int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int to = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	char block[65536], id[20];
	ssize_t n;

	ASSERT_GE(from, 0);
	ASSERT_GE(to, 0);
	while ((n = read(from, block, sizeof(block))) > 0)
		ASSERT_EQ(write(to, block, n), n);
	ASSERT_EQ(n, 0);
	memset(id, 0xa0 + which, sizeof(id));
	ASSERT_EQ(pwrite(to, id, sizeof(id), self->id_at), (ssize_t)sizeof(id));
	close(from);
	close(to);
}

static long long cpu_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	return time.tv_sec * 1000LL + time.tv_nsec / 1000000;
}

/* In the child: out of one file after the other, at one address. */
static int run_copies(const struct self *self, char paths[FILES][128])
{
	void (*code)(unsigned long) = (void *)(AT + ((unsigned long)spin_here & 4095));
	long long until = 0;

	for (int i = 0; i < FILES * TURNS; i++) {
		int fd = open(paths[i % FILES], O_RDONLY | O_CLOEXEC);

		if (fd < 0 || mmap(AT, 8192, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_FIXED, fd,
				   (off_t)self->offset) != AT)
			return 97;
		close(fd);
		for (until += TURN_MS; cpu_ms() < until;)
			code(100000);
	}
	return 0;
}

/* Different stacks whose first frame is in the function, by the file that it is said to be in. */
static void count_leaves(struct live *live, unsigned long offset, int leaves[FILES])
{
	__u32 numbers[FILES] = {};
	struct otel_stack_key key, *last = NULL;
	int ids = live__map_of(live, "cpu", "mappings"),
	    stacks = live__map_of(live, "cpu", "first_stacks");
	static struct otel_stack stack;

	for (int i = 0; i < FILES; i++) {
		struct otel_build_id id;

		memset(&id, 0xa0 + i, sizeof(id));
		EXPECT_EQ(bpf_map_lookup_elem(ids, &id, &numbers[i]), 0);
	}
	for (; !bpf_map_get_next_key(stacks, last, &key); last = &key) {
		ASSERT_EQ(bpf_map_lookup_elem(stacks, &key, &stack), 0);
		for (int i = 0; i < FILES; i++)
			leaves[i] +=
				stack.kind == OTEL_STACK_USER && numbers[i] &&
				stack.frames[0] >> 12 == otel_frame__make(numbers[i], offset) >> 12;
	}
	close(ids);
	close(stacks);
}

TEST_TIMEOUT(another_file_at_the_same_address, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char paths[FILES][128], filter[PATH_MAX + 16], procs[PATH_MAX + 16];
	int leaves[FILES] = {};
	struct self self = {};
	FILE *file;
	pid_t pid;

	dl_iterate_phdr(find_self, &self);
	ASSERT_GE(self.offset, 4096);
	ASSERT_GE(self.id_at, 64);
	for (int i = 0; i < FILES; i++) {
		snprintf(paths[i], sizeof(paths[i]), "%s/copy%d", live->tmp, i);
		write_copy(&self, paths[i], i);
	}
	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", live->cgroup);
	live__must("load", "-q", CPU_OBJECT, "--set", "cpu.frequency=499", "--filter", filter);
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		file = fopen(procs, "we");
		if (!file || fputs("0", file) < 0 || fclose(file))
			_exit(98);
		_exit(run_copies(&self, paths));
	}
	ASSERT_EQ(live__wait(pid), 0);
	count_leaves(live, self.offset, leaves);
	for (int i = 0; i < FILES; i++)
		EXPECT_GE(leaves[i], 1);
}

TEST_MAIN()
