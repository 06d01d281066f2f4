// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Where probes are put: over prologues as compilers make them. */
#include <stdio.h>
#include <string.h>

#include "ktap.h"
#include "loader/uprobe_place.h"

#define FUNCTION 512

/* A segment with one function in it, and @other somewhere else. */
static size_t place(const void *code, size_t len, const void *other, size_t other_len, size_t at)
{
	unsigned char segment[1024];

	memset(segment, 0xcc, sizeof(segment));
	memcpy(segment + FUNCTION, code, len);
	memcpy(segment + at, other, other_len);
	return uprobe_place__find(segment, sizeof(segment), FUNCTION, len);
}

#define PLACE(code) place(code, sizeof(code) - 1, "", 0, 0)

TEST(emulated)
{
	static const struct {
		const char *insn;
		size_t len;
		bool emulated;
	} cases[] = {
		{"\x55", 1, true},		/* push %rbp */
		{"\x41\x57", 2, true},		/* push %r15 */
		{"\x66\x50", 2, false},		/* push %ax */
		{"\x90", 1, true},		/* nop */
		{"\x66\x90", 2, false},		/* nop of two bytes */
		{"\x74\x10", 2, true},		/* je */
		{"\xeb\x10", 2, true},		/* jmp */
		{"\xe3\x10", 2, false},		/* jrcxz */
		{"\xe9\0\0\0\0", 5, true},	/* jmp */
		{"\xe8\0\0\0\0", 5, true},	/* call */
		{"\x0f\x84\0\0\0\0", 6, true},	/* je */
		{"\x48\x85\xff", 3, false},	/* test %rdi,%rdi */
		{"\xc3", 1, false},		/* ret */
		{"\xf3\x0f\x1e\xfa", 4, false}, /* endbr64 */
		{"\x48\x83\xec\x08", 4, false}, /* sub $8,%rsp */
		{"\xff\x25\0\0\0\0", 6, false}, /* jmp *(%rip) */
		{"\x0f\x05", 2, false},		/* syscall */
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		if (!EXPECT_EQ(uprobe_place__is_emulated((const unsigned char *)cases[i].insn,
							 cases[i].len),
			       cases[i].emulated))
			printf("case %zu\n", i);
}

/* Debian's free(): test %rdi,%rdi; je */
#define FREE "\x48\x85\xff\x0f\x84\xbf\0\0\0\x55\xc3"

TEST(free_of_glibc)
{
	EXPECT_EQ(PLACE(FREE), 3);
	/* With indirect branch tracking: endbr64 before it. */
	EXPECT_EQ(PLACE("\xf3\x0f\x1e\xfa" FREE), 7);
}

TEST(entry_is_best)
{
	EXPECT_EQ(PLACE("\x41\x54\x55\xc3"), 0); /* push %r12 */
	EXPECT_EQ(PLACE("\xe9\x10\0\0\0"), 0);	 /* a trampoline */
	EXPECT_EQ(place("\x55\xc3", 2, "", 0, 0), 0);
}

TEST(arguments_must_stay)
{
	EXPECT_EQ(PLACE("\x48\x89\xf7\x55\xc3"), 0); /* mov %rsi,%rdi */
	EXPECT_EQ(PLACE("\x89\xff\x55\xc3"), 0);     /* mov %edi,%edi cuts it */
	EXPECT_EQ(PLACE("\x40\xb7\x01\x55\xc3"), 0); /* mov $1,%dil */
	EXPECT_EQ(PLACE("\x48\xff\xc7\x55\xc3"), 0); /* inc %rdi */
	EXPECT_EQ(PLACE("\x48\x87\xfe\x55\xc3"), 0); /* xchg %rdi,%rsi */
	EXPECT_EQ(PLACE("\x48\x99\x55\xc3"), 0);     /* cqto writes %rdx */
	EXPECT_EQ(PLACE("\x48\xa5\x55\xc3"), 0);     /* movsq moves %rdi and %rsi */
	EXPECT_EQ(PLACE("\x48\xf7\xe6\x55\xc3"), 0); /* mul %rsi writes %rdx */
	EXPECT_EQ(PLACE("\x48\x89\xf8\x55\xc3"), 3); /* mov %rdi,%rax reads it */
}

TEST(stack_must_stay)
{
	EXPECT_EQ(PLACE("\x48\x83\xec\x08\x55\xc3"), 0); /* sub $8,%rsp */
	EXPECT_EQ(PLACE("\x58\x55\xc3"), 0);		 /* pop %rax */
	EXPECT_EQ(PLACE("\xc9\x55\xc3"), 0);		 /* leave */
}

TEST(control_must_stay)
{
	EXPECT_EQ(PLACE("\xe3\x01\x55\xc3"), 0); /* jrcxz over it */
	EXPECT_EQ(PLACE("\xc3\x55"), 0);	 /* ret */
	EXPECT_EQ(PLACE("\x0f\x05\x55\xc3"), 0); /* syscall writes %rcx, and leaves */
	EXPECT_EQ(PLACE("\xff\xe0\x55\xc3"), 0); /* jmp *%rax */
	EXPECT_EQ(PLACE("\x0f\x0b\x55\xc3"), 0); /* ud2 */
}

/* free() with something that goes to its je, or between. */
TEST(nothing_jumps_there)
{
	EXPECT_EQ(place(FREE, 11, "\xeb\x01", 2, FUNCTION - 0), 0); /* not free() any more */
	EXPECT_EQ(place(FREE, 11, "\xeb\x01", 2, FUNCTION + 20), 3);
	EXPECT_EQ(place(FREE, 11, "\xeb\xed", 2, FUNCTION + 20), 0); /* jmp to je */
	EXPECT_EQ(place(FREE, 11, "\x75\xed", 2, FUNCTION + 20), 0); /* jne */
	EXPECT_EQ(place(FREE, 11, "\xe2\xed", 2, FUNCTION + 20), 0); /* loop */
	EXPECT_EQ(place(FREE, 11, "\x75\xea", 2, FUNCTION + 20), 3); /* to the entry */
	EXPECT_EQ(place(FREE, 11, "\xe9\xfe\x01\0\0", 5, 0), 0);     /* from afar */
	EXPECT_EQ(place(FREE, 11, "\xe9\xfb\x01\0\0", 5, 0), 3);     /* to the entry */
	EXPECT_EQ(place(FREE, 11, "\x0f\x85\xfd\x01\0\0", 6, 0), 0); /* jne */
	EXPECT_EQ(place(FREE, 11, "\xe8\xfe\x01\0\0", 5, 0), 0);     /* call */
}

TEST(nonsense)
{
	unsigned char segment[64];

	memset(segment, 0xff, sizeof(segment));
	EXPECT_EQ(uprobe_place__find(segment, sizeof(segment), 0, 64), 0);
	EXPECT_EQ(uprobe_place__find(segment, sizeof(segment), 64, 1), 0);
	EXPECT_EQ(uprobe_place__find(segment, sizeof(segment), 4096, 1), 0);
	memcpy(segment, FREE, 11);
	EXPECT_EQ(uprobe_place__find(segment, sizeof(segment), 0, 0), 0); /* no known length */
	EXPECT_EQ(uprobe_place__find(segment, sizeof(segment), 0, 4), 0); /* je is not in it */
	EXPECT_EQ(uprobe_place__find(segment, 5, 0, 11), 0);		  /* nor in the file */
}

TEST_MAIN()
