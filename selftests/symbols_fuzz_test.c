// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * ELF files, debug files, maps and names that somebody damaged, or made to do damage. Worth
 * most with SANITIZE=1. SYMBOLS_FUZZ_SEED and SYMBOLS_FUZZ_FACTOR in the environment vary it.
 */
#include <elf.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"
#include "symbols/demangle.h"
#include "random.h"
#include "symbols/image.h"
#include "symbols/jit.h"
#include "symbols/kernel.h"
#include "symbols/lines.h"
#include "symbols/symbols.h"

static __u64 state;

static __u64 next(void)
{
	return random__next(&state);
}

static size_t below(size_t n)
{
	return random__below(&state, n);
}

static int times(int n)
{
	const char *factor = getenv("SYMBOLS_FUZZ_FACTOR"), *seed = getenv("SYMBOLS_FUZZ_SEED");

	state = 0x9e3779b97f4a7c15ULL + (seed ? strtoull(seed, NULL, 0) : 0);
	return n * (factor ? atoi(factor) : 1);
}

/* A few changes: bytes, numbers that hurt, whole runs, the end cut off. */
static size_t mutate(unsigned char *bytes, size_t len, size_t front)
{
	static const __u64 hurting[] = {
		0,
		1,
		0x7f,
		0x80,
		0xff,
		0x7fff,
		0xffff,
		0x7fffffff,
		0x80000000,
		0xfffffff0,
		0xffffffff,
		0x100000000,
		0x7fffffffffffffff,
		0x8000000000000000,
		0xfffffffffffffff0,
		0xffffffffffffffff,
	};
	int n = 1 + below(6);

	while (n-- && len > 8) {
		/* Headers matter most. */
		size_t at = below(below(2) && front < len ? front : len);
		static const size_t widths[] = {1, 2, 4, 8};
		size_t width = widths[below(4)], other;
		__u64 value = hurting[below(sizeof(hurting) / sizeof(hurting[0]))];

		if (at + width > len)
			at = len - width;
		switch (below(6)) {
		case 0:
			bytes[at] ^= 1 << below(8);
			break;
		case 1:
			bytes[at] = next();
			break;
		case 2:
			memcpy(bytes + at, &value, width);
			break;
		case 3:
			value = below(len * 2);
			memcpy(bytes + at, &value, width);
			break;
		case 4:
			other = below(len);
			width = below(64);
			if (other + width <= len && at + width <= len)
				memmove(bytes + at, bytes + other, width);
			break;
		case 5:
			if (!below(8))
				len = below(len) + 1;
			break;
		}
	}
	return len;
}

/* --- seeds -------------------------------------------------------------------- */

#define SEEDS_MAX 8
static struct seed {
	unsigned char *bytes;
	size_t len;
} seeds[SEEDS_MAX];
static int n_seeds;
static char dir[PATH_MAX];

static void load(const char *name)
{
	char path[PATH_MAX + 64];
	struct stat st;
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = open(path, O_RDONLY);
	if (fd < 0 || fstat(fd, &st))
		return;
	seeds[n_seeds].bytes = malloc(st.st_size);
	seeds[n_seeds].len = st.st_size;
	ASSERT_EQ(read(fd, seeds[n_seeds].bytes, st.st_size), st.st_size);
	n_seeds++;
	close(fd);
}

static void make_seeds(void)
{
	char command[PATH_MAX + 2048];

	if (system("command -v objcopy >/dev/null && command -v cc >/dev/null"))
		SKIP("cc or objcopy is missing");
	strcpy(dir, "/tmp/symbols-fuzz-XXXXXX");
	ASSERT_TRUE(mkdtemp(dir));
	snprintf(command, sizeof(command),
		 "cd %s && exec 2>log && "
		 "echo 'static inline int in(int a) { return a * 3; } __attribute__((noinline)) "
		 "int f(int a) "
		 "{ return in(a) + 1; } int alias(int a) __attribute__((alias(\"f\"))); "
		 "int main(int argc, char **v) { (void)v; return f(argc); }' >a.c && "
		 "cc -O1 -g -Wl,--build-id a.c -o a && cc -O1 -g -gz -gdwarf-4 -no-pie "
		 "-Wl,--build-id a.c -o z && "
		 "objcopy --only-keep-debug a a.debug && cp a mini && "
		 "cp a.debug m && strip --strip-debug m && { xz m; strip mini; "
		 "objcopy --add-gnu-debuglink=a.debug mini; "
		 "[ ! -e m.xz ] || objcopy --add-section .gnu_debugdata=m.xz mini; "
		 "cc -O1 -m32 -Wl,--build-id a.c -o narrow; true; }",
		 dir);
	ASSERT_EQ(system(command), 0);
	load("a");
	load("z");
	load("a.debug");
	load("mini");
	load("narrow");
	ASSERT_GE(n_seeds, 4);
}

static void drop_seeds(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		perror(command);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

/* Everything that is done to a file in our own process. */
static size_t read_image(const unsigned char *bytes, size_t len)
{
	static const struct image_symtab none;
	struct image image = {.fd = -1, .mem = bytes, .size = len}, unpacked = IMAGE_NONE;
	struct image_info info, inner = {0};
	const struct image *images[IMAGE_SOURCES] = {&image, &image};
	const struct image_symtab *symtabs[IMAGE_SOURCES] = {&info.symtab, &none};
	char name[IMAGE_NAME_MAX], plain[DEMANGLE_OUT_MAX];
	struct image_table table;
	size_t named = 0;

	image__parse(&image, &info, true);
	if (image__parse(&image, &info, false))
		return 0;
	if (!info.symtab.symbols.size) {
		symtabs[0] = &info.dynsym;
		if (info.debugdata.size && !image__unpack(&image, &info.debugdata, &unpacked) &&
		    !image__parse(&unpacked, &inner, false)) {
			images[1] = &unpacked;
			symtabs[1] = &inner.symtab;
		}
	} else {
		symtabs[1] = &info.dynsym;
	}
	ASSERT_EQ(image__table(&info, images, symtabs, &table), 0);
	for (int i = 0; i < 16; i++) {
		const struct image_entry *entry;
		__u64 vaddr = next(), offset = below(len);

		image__vaddr(&info, offset, &vaddr);
		entry = image__lookup(&table, vaddr);
		if (!entry && table.n)
			entry = &table.entries[below(table.n)];
		if (entry &&
		    image__name(images[entry->name >> 31], &symtabs[entry->name >> 31]->strings,
				entry->name & INT32_MAX, name)) {
			named++;
			demangle(name, plain);
		}
	}
	free(table.entries);
	free((void *)unpacked.mem);
	return named;
}

TEST_TIMEOUT(elf, 240)
{
	int n = times(100000);
	double at = seconds(), most = 0;
	size_t named = 0;

	make_seeds();
	for (int i = 0; i < n; i++) {
		const struct seed *seed = &seeds[below(n_seeds)];
		unsigned char *bytes = malloc(seed->len), *exact;
		const Elf64_Ehdr *ehdr = (const void *)seed->bytes;
		double start = seconds();
		size_t len;

		memcpy(bytes, seed->bytes, seed->len);
		/* Section headers are at the end. */
		if (below(2) && ehdr->e_ident[EI_CLASS] == ELFCLASS64)
			mutate(bytes + ehdr->e_shoff, seed->len - ehdr->e_shoff, seed->len);
		len = mutate(bytes, seed->len, 1024);
		/* Exactly as large as it is, so that ASan sees a byte too many. */
		exact = malloc(len);
		memcpy(exact, bytes, len);
		named += read_image(exact, len);
		free(exact);
		free(bytes);
		if (seconds() - start > most)
			most = seconds() - start;
	}
	printf("# %d files in %.1f s, %.3f s at most; %zu names\n", n, seconds() - at, most, named);
	EXPECT_LT(most, 5);
	EXPECT_GT(named, 1000);
	drop_seeds();
}

/* The whole way, with files on disk that change while they are read. */
TEST_TIMEOUT(files_on_disk, 240)
{
	static char debug_dir[PATH_MAX + 8];
	static const char *debug_dirs[] = {debug_dir, NULL};
	int n = times(1500), found = 0;
	struct symbols *symbols;
	struct image_info info;
	struct symbols_file file = {0};
	char path[PATH_MAX + 64], debug[PATH_MAX + 128];
	struct symbol symbol[4];
	double at = seconds();

	make_seeds();
	unsetenv("DEBUGINFOD_URLS");
	strcpy(debug_dir, dir);
	symbols = symbols__new(&(struct symbols_options){.debug_dirs = debug_dirs});
	image__parse(&(struct image){.fd = -1, .mem = seeds[3].bytes, .size = seeds[3].len}, &info,
		     false);
	memcpy(file.build_id, info.build_id, sizeof(file.build_id));
	file.build_id_len = info.build_id_len;
	ASSERT_GT((int)file.build_id_len, 2);
	snprintf(path, sizeof(path), "%s/victim", dir);
	file.path = path;
	snprintf(debug, sizeof(debug), "%s/.build-id", dir);
	mkdir(debug, 0755);
	snprintf(debug, sizeof(debug), "%s/.build-id/%02x", dir, info.build_id[0]);
	mkdir(debug, 0755);
	for (int i = 1; i < info.build_id_len; i++)
		sprintf(debug + strlen(debug), i == 1 ? "/%02x" : "%02x", info.build_id[i]);
	strcat(debug, ".debug");
	for (int i = 0; i < n; i++) {
		for (int which = 0; which < 2; which++) {
			const struct seed *seed = &seeds[which ? 2 : 3];
			unsigned char *bytes = malloc(seed->len);
			size_t len;
			int fd = open(which ? debug : path, O_CREAT | O_TRUNC | O_WRONLY, 0644);

			memcpy(bytes, seed->bytes, seed->len);
			/* Keep the build id in most of them. */
			mutate(bytes + 1024, seed->len - 1024, seed->len);
			len = below(4) ? seed->len : mutate(bytes, seed->len, 1024);
			ASSERT_EQ(write(fd, bytes, len), (ssize_t)len);
			close(fd);
			free(bytes);
		}
		for (int k = 0; k < 8; k++) {
			found += symbols__file(symbols, &file, below(8192), symbol, 4) > 0;
			if (k == 4 && !below(4) && truncate(path, below(4096)))
				perror(path);
		}
		symbols__trim(symbols);
		if (!below(8)) {
			symbols__free(symbols);
			symbols = symbols__new(&(struct symbols_options){.debug_dirs = debug_dirs});
		}
	}
	printf("# %d pairs in %.1f s, %d names\n", n, seconds() - at, found);
	EXPECT_GT(found, n / 20);
	symbols__free(symbols);
	drop_seeds();
}

/* The reader may die of it; we may not, and not wait for ever. */
TEST_TIMEOUT(dwarf, 240)
{
	int n = times(600), answered = 0, dead = 0;
	double at = seconds(), most = 0;

	make_seeds();
	for (int i = 0; i < n; i++) {
		const struct seed *seed = &seeds[below(3)];
		struct lines_frame frames[LINES_FRAMES_MAX];
		struct image image, none = IMAGE_NONE;
		const struct image *images[IMAGE_SOURCES] = {&image, &image};
		struct lines lines = {0};
		struct image_info info;
		const struct image_symtab *symtabs[IMAGE_SOURCES] = {&info.symtab, &info.dynsym};
		struct image_table table;
		unsigned char *bytes = malloc(seed->len);
		double start = seconds();
		size_t len;
		int fd = memfd_create("dwarf", MFD_CLOEXEC);
		__u64 vaddr = 0;

		memcpy(bytes, seed->bytes, seed->len);
		len = below(3) ? mutate(bytes + 4096, seed->len - 4096, seed->len) + 4096
			       : mutate(bytes, seed->len, 1024);
		ASSERT_EQ(write(fd, bytes, len), (ssize_t)len);
		ASSERT_EQ(image__open(&image, fd), 0);
		image__parse(&image, &info, false);
		image__table(&info, images, symtabs, &table);
		ASSERT_EQ(lines__start(&lines, &image, &none), 0);
		for (int k = 0; k < 8; k++) {
			int got;

			vaddr = info.n_text ? info.text[below(info.n_text)].start + below(512)
					    : next();
			if (table.n && below(8))
				vaddr = table.base + table.entries[below(table.n)].start + below(8);
			got = lines__ask(&lines, vaddr, frames, LINES_FRAMES_MAX);
			answered += got > 0;
			for (int f = 0; f < got; f++)
				ASSERT_LT(strlen(frames[f].name), IMAGE_NAME_MAX);
			if (got < 0) {
				dead++;
				break;
			}
			if (k == 6 && !below(4) && ftruncate(fd, below(len)))
				perror("ftruncate");
		}
		lines__stop(&lines);
		free(table.entries);
		image__close(&image);
		free(bytes);
		if (seconds() - start > most)
			most = seconds() - start;
		if (dead) {
			printf("# a reader died of file %d\n", i);
			dead = 0;
		}
	}
	printf("# %d readers in %.1f s, %.3f s at most; %d answers\n", n, seconds() - at, most,
	       answered);
	EXPECT_GT(answered, n);
	drop_seeds();
}

TEST_TIMEOUT(perf_maps, 240)
{
	static const char seed[] = "7f0000001000 100 LazyCompile:~first one.js:1\n"
				   "0x7f0000002000 0x80 second\n7f0000001040 10 inside\n"
				   "7f0000002000 ffffffffffffffff all\nffffffffffffffff 1 last\n";
	int n = times(100000), fd = memfd_create("map", MFD_CLOEXEC);
	char name[IMAGE_NAME_MAX];
	size_t named = 0;

	for (int i = 0; i < n; i++) {
		struct jit jit = {.pid = 1, .image = IMAGE_NONE};
		unsigned char bytes[sizeof(seed) - 1];
		size_t len;

		memcpy(bytes, seed, sizeof(bytes));
		len = mutate(bytes, sizeof(bytes), sizeof(bytes));
		ASSERT_EQ(ftruncate(fd, 0), 0);
		ASSERT_EQ(pwrite(fd, bytes, len, 0), (ssize_t)len);
		ASSERT_EQ(image__open(&jit.image, dup(fd)), 0);
		jit__refresh(&jit, i + 1);
		for (int k = 0; k < 4; k++)
			named += jit__lookup(&jit, 0x7f0000001000 + below(0x2000), name) > 0;
		if (!below(4)) {
			ASSERT_EQ(ftruncate(fd, below(len)), 0);
			jit__refresh(&jit, i + 1);
			named += jit__lookup(&jit, 0x7f0000001000 + below(0x2000), name) > 0;
		}
		jit__clear(&jit);
	}
	printf("# %d maps, %zu names\n", n, named);
	EXPECT_GT(named, 1000);
}

TEST_TIMEOUT(names, 240)
{
	static const char *const raws[] = {
		"_ZNSt6vectorIiSaIiEE9push_backERKi",
		"_ZN5outer3boxIiLi7EE4openEi",
		"_ZZN1a1bIXadL_ZNS_1cEvEEEEvT_E1d",
		"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE",
		"_RNvXs_NtCs1234_7mycrate3modNtB4_3FooNtB4_3Bar3run",
		"_RINvNtC3std3mem8align_ofNtNtC3std3mem12DiscriminantE",
		"_RNqCs4fqI2P2rA04_11utf8_identsu30____7hkackfecea1cbdathfdh9hlq6y",
		"_Z1fSt4pairIiiES_IS0_S0_ES_IS1_S1_E",
	};
	int n = times(200000);
	char out[DEMANGLE_OUT_MAX];
	double at = seconds(), most = 0;
	size_t plain = 0;

	for (int i = 0; i < n; i++) {
		char raw[512];
		size_t len = 0;
		double start;

		for (int k = below(3); k >= 0; k--) {
			const char *from = raws[below(sizeof(raws) / sizeof(raws[0]))];
			size_t skip = len ? below(strlen(from)) : 0;

			len += snprintf(raw + len, sizeof(raw) - len, "%s", from + skip);
		}
		len = mutate((unsigned char *)raw, len, len);
		if (below(2))
			memcpy(raw, below(2) ? "_Z" : "_R", 2);
		raw[len] = '\0';
		start = seconds();
		len = demangle(raw, out);
		if (seconds() - start > most)
			most = seconds() - start;
		ASSERT_LT(len, sizeof(out));
		if (len)
			ASSERT_EQ(strlen(out), len);
		plain += len > 0;
	}
	printf("# %d names in %.1f s, %.3f s at most; %zu good\n", n, seconds() - at, most, plain);
	EXPECT_LT(most, 1);
	EXPECT_GT(plain, 1000);
}

TEST_TIMEOUT(kernel_tables, 240)
{
	static const char seed[] = "ffffffff81000000 T _stext\nffffffff81000100 t first\n"
				   "ffffffff81000200 W second\nffffffff82000000 T _etext\n"
				   "ffffffffc0000000 t in_module\t[module]\n"
				   "ffffffffc0100000 t bpf_prog_0123456789abcdef_name\t[bpf]\n";
	int n = times(3000);
	size_t named = 0;

	strcpy(dir, "/tmp/symbols-fuzz-XXXXXX");
	ASSERT_TRUE(mkdtemp(dir));
	for (int i = 0; i < n; i++) {
		struct kernel kernel = {0};
		unsigned char bytes[sizeof(seed) - 1];
		const char *name, *module;
		char path[PATH_MAX + 16];
		size_t len;
		FILE *file;

		memcpy(bytes, seed, sizeof(bytes));
		len = mutate(bytes, sizeof(bytes), sizeof(bytes));
		snprintf(path, sizeof(path), "%s/kallsyms", dir);
		file = fopen(path, "w");
		fwrite(bytes, 1, len, file);
		fclose(file);
		snprintf(path, sizeof(path), "%s/modules", dir);
		file = fopen(path, "w");
		fprintf(file, "module %u 0 - Live 0x%llx\n", (unsigned int)below(100000),
			below(2) ? 0xffffffffc0000000ULL : (unsigned long long)next());
		fclose(file);
		kernel.said = true;
		for (int k = 0; k < 4; k++)
			named += kernel__lookup(&kernel, dir, 0xffffffff81000000 + below(0x600),
						&name, &module);
		named += kernel__lookup(&kernel, dir, 0xffffffffc0100010, &name, &module);
		kernel__next_export(&kernel);
		kernel__lookup(&kernel, dir, next(), &name, &module);
		kernel__free(&kernel);
	}
	printf("# %zu names\n", named);
	EXPECT_GT(named, 1000);
	drop_seeds();
}

TEST_MAIN()
