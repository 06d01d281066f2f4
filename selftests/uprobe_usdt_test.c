// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * USDT probes in a file: where the notes say that they are, what they say of arguments, and notes
 * that somebody damaged. USDT_FUZZ_SEED and USDT_FUZZ_FACTOR in the environment vary these.
 */
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ktap.h"
#include "loader/uprobe_file.h"
#include "loader/uprobe_usdt.h"
#include "random.h"

#define PROBED BUILD_DIR "/selftests/tools/heap/probed"
#define PROBES "malloc,otel_memory:alloc,otel_memory:free"

/* --- arguments ------------------------------------------------------------------------- */

/* As in struct pt_regs. */
enum { R12 = 24, BP = 32, BX = 40, R8 = 72, AX = 80, CX = 88, SI = 104, DI = 112, SP = 152 };

static bool is_read_as(const char *text, struct otel_usdt_arg wanted)
{
	struct otel_usdt_site site;

	if (!EXPECT_EQ(uprobe_usdt__parse(text, &site), 0))
		return false;
	return !memcmp(&site.arg[0], &wanted, sizeof(wanted));
}
#define READ_AS(text, ...) EXPECT_TRUE(is_read_as(text, (struct otel_usdt_arg){__VA_ARGS__}))

TEST(arguments)
{
	struct otel_usdt_site site, none = {};

	READ_AS("8@%rdi", .kind = OTEL_USDT_REGISTER, .size = 8, .base = DI);
	READ_AS("-4@%esi", .kind = OTEL_USDT_REGISTER, .size = 4, .is_signed = 1, .base = SI);
	READ_AS("2@%ax", .kind = OTEL_USDT_REGISTER, .size = 2, .base = AX);
	READ_AS("1@%cl", .kind = OTEL_USDT_REGISTER, .size = 1, .base = CX);
	READ_AS("1@%sil", .kind = OTEL_USDT_REGISTER, .size = 1, .base = SI);
	READ_AS("8@%r8", .kind = OTEL_USDT_REGISTER, .size = 8, .base = R8);
	READ_AS("4@%r12d", .kind = OTEL_USDT_REGISTER, .size = 4, .base = R12);
	READ_AS("8@$524288", .value = 524288, .kind = OTEL_USDT_CONSTANT, .size = 8);
	READ_AS("-4@$-1", .value = -1, .kind = OTEL_USDT_CONSTANT, .size = 4, .is_signed = 1);
	READ_AS("8@$0xffffffffffffffff", .value = -1, .kind = OTEL_USDT_CONSTANT, .size = 8);
	READ_AS("8@(%rsp)", .kind = OTEL_USDT_MEMORY, .size = 8, .base = SP);
	READ_AS("8@-16(%rbp)", .value = -16, .kind = OTEL_USDT_MEMORY, .size = 8, .base = BP);
	READ_AS("4@8(%rax,%rbx,4)", .value = 8, .kind = OTEL_USDT_INDEXED, .size = 4, .scale = 4,
		.base = AX, .index = BX);
	READ_AS("1@(%rax,%r12)", .kind = OTEL_USDT_INDEXED, .size = 1, .scale = 1, .base = AX,
		.index = R12);
	ASSERT_EQ(uprobe_usdt__parse("8@%rdi  -4@$7 8@-16(%rbp) ", &site), 0);
	EXPECT_EQ(site.arg[0].base, DI);
	EXPECT_EQ(site.arg[1].value, 7);
	EXPECT_EQ(site.arg[2].kind, OTEL_USDT_MEMORY);
	EXPECT_EQ(site.arg[3].kind, OTEL_USDT_NONE);
	ASSERT_EQ(uprobe_usdt__parse("", &site), 0);
	EXPECT_FALSE(memcmp(&site, &none, sizeof(site)));
}

TEST(arguments_that_nobody_can_read)
{
	static const char *const text[] = {
		"%rdi",
		"8@",
		"@%rdi",
		"3@%rdi",
		"16@%xmm0",
		"8f@%xmm0",
		"8@%xmm0",
		"1@%ah",
		"8@%rip",
		"8@v(%rip)",
		"8@%",
		"8@$",
		"8@$x",
		"8@(%rax",
		"8@(rax)",
		"8@8()",
		"8@8",
		"8@%rdi,",
		"8@(%rax,%rbx,3)",
		"8@(,%rbx,8)",
		"8@%r16",
		"8@%r8x",
		"8@%rdix",
		"-",
		"8@%rdi8@%rsi",
		"8@$99999999999999999999",
		"8@-99999999999999999999(%rax)",
		"8@$1 8@$2 8@$3 8@$4 8@$5 8@$6 8@$7",
	};
	struct otel_usdt_site site;

	for (size_t i = 0; i < sizeof(text) / sizeof(text[0]); i++)
		if (!EXPECT_LT(uprobe_usdt__parse(text[i], &site), 0))
			printf("%s\n", text[i]);
}

/* --- notes ----------------------------------------------------------------------------- */

static unsigned char *contents(size_t *len)
{
	unsigned char *bytes;
	struct stat st;
	int fd = open(PROBED, O_RDONLY | O_CLOEXEC);

	ASSERT_TRUE(fd >= 0 && !fstat(fd, &st));
	bytes = malloc(st.st_size);
	ASSERT_EQ(read(fd, bytes, st.st_size), st.st_size);
	close(fd);
	*len = st.st_size;
	return bytes;
}

TEST(places)
{
	struct uprobe_file *file = uprobe_file__open(PROBED);
	struct uprobe_sites alloc = {}, freed = {}, none = {};
	unsigned char *bytes;
	size_t len;

	ASSERT_TRUE(file);
	ASSERT_EQ(uprobe_usdt__find(file, "otel_memory:alloc", &alloc), 0);
	ASSERT_EQ(uprobe_usdt__find(file, "otel_memory:free", &freed), 0);
	EXPECT_EQ(uprobe_usdt__find(file, "otel_memory:al", &none), 0);
	EXPECT_EQ(uprobe_usdt__find(file, "otel:alloc", &none), 0);
	EXPECT_EQ(none.n, 0);
	EXPECT_TRUE(uprobe_usdt__has_all(file, PROBES));
	EXPECT_FALSE(uprobe_usdt__has_all(file, PROBES ",otel_memory:resize"));
	EXPECT_FALSE(uprobe_usdt__has_all(file, "malloc"));
	bytes = contents(&len);
	ASSERT_GE(alloc.n, 2);
	ASSERT_GE(freed.n, 1);
	for (int i = 0; i < alloc.n; i++) {
		ASSERT_LT(alloc.offset[i], len);
		EXPECT_EQ(bytes[alloc.offset[i]], 0x90); /* nop */
		/* In the file it is zero, as long as nobody traces. */
		ASSERT_LT(alloc.counter[i] + 1, len);
		EXPECT_EQ(bytes[alloc.counter[i]], 0);
		EXPECT_EQ(alloc.counter[i], alloc.counter[0]);
		EXPECT_EQ(alloc.site[i].arg[0].kind, OTEL_USDT_REGISTER);
		EXPECT_EQ(alloc.site[i].arg[1].kind, OTEL_USDT_MEMORY);
	}
	EXPECT_NE(alloc.offset[0], alloc.offset[1]);
	EXPECT_NE(alloc.counter[0], freed.counter[0]);
	free(bytes);
	uprobe_usdt__free(&alloc);
	uprobe_usdt__free(&freed);
	uprobe_file__close(file);
}

/* Damage where it matters: headers of the file and its sections, and the notes. */
static void damage(unsigned char *bytes, size_t len, __u64 *state)
{
	static const __u64 hurting[] = {0, 1, 0xff, 0x7fffffff, 0xffffffff, 0xfffffffffffffff0};
	const Elf64_Ehdr *header = (const void *)bytes;
	const unsigned char *note = memmem(bytes, len, "stapsdt", sizeof("stapsdt"));
	const size_t begin[] = {0, header->e_phoff, header->e_shoff, note - 12 - bytes};
	const size_t size[] = {sizeof(*header), header->e_phnum * sizeof(Elf64_Phdr),
			       len - header->e_shoff, 400};

	for (int n = 1 + random__below(state, 4); n > 0; n--) {
		size_t where = random__below(state, 4), width = 1 << random__below(state, 4);
		size_t at = begin[where] + random__below(state, size[where]);
		__u64 value = hurting[random__below(state, sizeof(hurting) / sizeof(__u64))];

		if (random__below(state, 2))
			value = random__next(state);
		if (at + width <= len)
			memcpy(bytes + at, &value, width);
	}
}

TEST_TIMEOUT(damaged, 60)
{
	const char *factor = getenv("USDT_FUZZ_FACTOR"), *seed = getenv("USDT_FUZZ_SEED");
	__u64 state = 0x9e3779b97f4a7c15ULL + (seed ? strtoull(seed, NULL, 0) : 0);
	int n = 3000 * (factor ? atoi(factor) : 1), had = 0, opened = 0;
	size_t len;
	unsigned char *good = contents(&len), *bad = malloc(len);

	for (int i = 0; i < n; i++) {
		int fd = memfd_create("damaged", MFD_CLOEXEC);
		struct uprobe_sites sites = {};
		struct uprobe_file *file;
		char path[64];
		size_t left = random__below(&state, 8) ? len : random__below(&state, len);

		memcpy(bad, good, len);
		damage(bad, len, &state);
		ASSERT_GE(fd, 0);
		ASSERT_EQ(write(fd, bad, left), (ssize_t)left);
		snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
		file = uprobe_file__open(path);
		if (file) {
			opened++;
			had += uprobe_usdt__has_all(file, PROBES);
			uprobe_usdt__find(file, "otel_memory:alloc", &sites);
			EXPECT_LE(sites.n, UPROBE_SITES_MAX);
			uprobe_usdt__free(&sites);
			uprobe_file__close(file);
		}
		close(fd);
	}
	printf("%d files: %d opened, %d with probes\n", n, opened, had);
	/* Some go in far enough to matter, some are caught. */
	EXPECT_GT(had, n / 100);
	EXPECT_LT(had, opened);
	free(good);
	free(bad);
}

TEST_MAIN()
