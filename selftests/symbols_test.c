// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Names for addresses. Programs are built here, in the ways that programs are built, print
 * where their functions are, and wait; the names must be theirs.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuse_server.h"
#include "ktap.h"
#include "symbols/demangle.h"
#include "symbols/open.h"
#include "symbols/symbols.h"

static const char c_source[] =
	"#include <stdio.h>\n"
	"#include <stdlib.h>\n"
	"#include <unistd.h>\n"
	"#ifdef LIBRARY\n"
	"#include <dlfcn.h>\n"
	"#endif\n"
	"#define NOINLINE __attribute__((noinline, noclone))\n"
	"volatile int sink;\n"
	"static NOINLINE int sample_local(int a)\n{\n\tsink += a;\n\treturn sink * 3;\n}\n"
	"NOINLINE int sample_global(int a)\n{\n\tsink ^= a;\n\treturn sink * 5;\n}\n"
	"int sample_alias(int a) __attribute__((alias(\"sample_global\")));\n"
	"int __sample_global_internal(int a) __attribute__((alias(\"sample_global\")));\n"
	"static inline __attribute__((always_inline)) void *sample_inlined(void)\n"
	"{\n"
	"\tsink++;\n"
	"\n"
	"\tvoid *at;\n"
	"#ifdef __x86_64__\n"
	"\t__asm__ volatile(\"lea 0(%%rip), %0\" : \"=r\"(at));\n"
	"#else\n"
	"\tat = __builtin_return_address(0);\n"
	"#endif\n"
	"\tsink++;\n"
	"\treturn at;\n"
	"}\n"
	"NOINLINE void *sample_caller(void)\n{\n\tvoid *at = "
	"sample_inlined();\n\tsink++;\n\treturn at;\n}\n"
	"int main(int argc, char **argv)\n{\n"
	"\tprintf(\"sample_local %p\\n\", (void *)sample_local);\n"
	"\tprintf(\"sample_global %p\\n\", (void *)sample_global);\n"
	"\tprintf(\"sample_inlined %p\\n\", sample_caller());\n"
	"#ifdef LIBRARY\n"
	"\tvoid *library = dlopen(argv[1], RTLD_NOW);\n"
	"\tif (!library) { puts(dlerror()); return 1; }\n"
	"\tprintf(\"in_library %p\\n\", dlsym(library, \"in_library\"));\n"
	"#endif\n"
	"\tputs(\"end\");\n\tfflush(stdout);\n"
	"\tsample_local(argc); sample_global(argc);\n"
	"\tif (argc > 2) return argv[0][0];\n"
	"\tfor (;;) pause();\n}\n";

static char dir[PATH_MAX];

static int sh(const char *format, ...)
{
	char command[8192];
	va_list args;
	int n;

	n = snprintf(command, sizeof(command), "cd %s && exec 2>>log && ", dir);
	va_start(args, format);
	vsnprintf(command + n, sizeof(command) - n, format, args);
	va_end(args);
	return system(command);
}

#define NEED(tool)                                                 \
	do {                                                       \
		if (system("command -v " tool " >/dev/null 2>&1")) \
			SKIP(tool " is missing");                  \
	} while (0)

static void put(const char *name, const char *text, size_t len)
{
	char path[PATH_MAX + 64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "w");
	ASSERT_TRUE(file);
	ASSERT_EQ(fwrite(text, 1, len, file), len);
	fclose(file);
}

static void remove_dir(void)
{
	char command[PATH_MAX + 16];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		perror(command);
}

static void setup(void)
{
	strcpy(dir, "/tmp/symbols-test-XXXXXX");
	ASSERT_TRUE(mkdtemp(dir));
	put("sample.c", c_source, sizeof(c_source) - 1);
}

#define MAX_PLACES 16
static struct {
	char name[256];
	__u64 addr;
} places[MAX_PLACES];
static int n_places;
static pid_t sample_pid;

static void start(const char *program, const char *arg)
{
	char path[PATH_MAX + 300], line[512];
	int fds[2];
	FILE *file;

	if (program[0] == '/')
		snprintf(path, sizeof(path), "%s", program);
	else
		snprintf(path, sizeof(path), "%s/%s", dir, program);
	ASSERT_EQ(pipe(fds), 0);
	sample_pid = fork();
	if (!sample_pid) {
		dup2(fds[1], 1);
		close(fds[0]);
		execl(path, path, arg, NULL);
		_exit(127);
	}
	close(fds[1]);
	file = fdopen(fds[0], "r");
	n_places = 0;
	while (fgets(line, sizeof(line), file) && strcmp(line, "end\n")) {
		char *space = strrchr(line, ' ');

		printf("# %s", line);
		if (!space || n_places == MAX_PLACES)
			continue;
		*space = '\0';
		snprintf(places[n_places].name, sizeof(places[0].name), "%.250s", line);
		places[n_places++].addr = strtoull(space + 1, NULL, 16);
	}
	fclose(file);
	ASSERT_GT(n_places, 0);
}

static void stop(void)
{
	kill(sample_pid, SIGKILL);
	waitpid(sample_pid, NULL, 0);
}

static __u64 place(const char *name)
{
	for (int i = 0; i < n_places; i++)
		if (!strcmp(places[i].name, name))
			return places[i].addr;
	return 0;
}

static char debug_dir[PATH_MAX + 16];
static const char *debug_dirs[] = {debug_dir, NULL};

static struct symbols *make(bool lines)
{
	struct symbols *symbols;

	unsetenv("DEBUGINFOD_URLS");
	snprintf(debug_dir, sizeof(debug_dir), "%s/debug", dir);
	symbols = symbols__new(
		&(struct symbols_options){.want_lines = lines, .debug_dirs = debug_dirs});
	ASSERT_TRUE(symbols);
	return symbols;
}

static const char *name_of(struct symbols *symbols, __u64 addr)
{
	struct symbols_file file;
	struct symbol symbol;
	__u64 offset;

	ASSERT_EQ(symbols__mapping(symbols, sample_pid, addr, &file, &offset), 1);
	return symbols__file(symbols, &file, offset, &symbol, 1) == 1 ? symbol.name : NULL;
}

static void check_names(bool stripped)
{
	struct symbols *symbols = make(false);

	EXPECT_STREQ(name_of(symbols, place("sample_local")), stripped ? NULL : "sample_local");
	EXPECT_STREQ(name_of(symbols, place("sample_local") + 1), stripped ? NULL : "sample_local");
	EXPECT_STREQ(name_of(symbols, place("sample_global") + 3),
		     stripped ? NULL : "sample_alias");
	if (place("in_library"))
		EXPECT_STREQ(name_of(symbols, place("in_library") + 1), "in_library");
	symbols__free(symbols);
}

static void build_and_check(const char *flags, bool must)
{
	NEED("cc");
	setup();
	if (sh("cc -O2 -g %s sample.c -o sample", flags)) {
		remove_dir();
		if (must)
			ASSERT_TRUE(!"cc failed");
		SKIP("cc cannot build with %s", flags);
	}
	start("sample", NULL);
	check_names(false);
	stop();
	remove_dir();
}

TEST(pie)
{
	build_and_check("-Wl,--build-id -pie -fPIE", true);
}

TEST(no_pie)
{
	build_and_check("-Wl,--build-id -no-pie", true);
}

TEST(static_program)
{
	build_and_check("-Wl,--build-id -static", false);
}

TEST(no_build_id)
{
	build_and_check("-Wl,--build-id=none", true);
}

/* There a file offset and an address are far apart. */
TEST(offset_is_not_address)
{
	build_and_check(
		"-Wl,--build-id -no-pie -Wl,-Ttext-segment=0x10000000 -Wl,-z,noseparate-code",
		false);
}

TEST(lld)
{
	NEED("ld.lld");
	build_and_check("-Wl,--build-id -fuse-ld=lld", false);
}

TEST(thirty_two_bits)
{
	build_and_check("-Wl,--build-id -m32", false);
}

TEST(own_sections)
{
	build_and_check("-Wl,--build-id -ffunction-sections -Wl,--gc-sections -gz", true);
}

TEST(stripped_without_debug_file)
{
	NEED("strip");
	setup();
	ASSERT_EQ(sh("cc -O2 -g -Wl,--build-id sample.c -o sample && strip sample"), 0);
	start("sample", NULL);
	check_names(true);
	stop();
	remove_dir();
}

/* Moves the debug information where its build id says. */
static const char split[] =
	"objcopy --only-keep-debug %1$s %1$s.dbg && strip %1$s && "
	"id=$(readelf -n %1$s | sed -n 's/.*Build ID: //p') && "
	"mkdir -p debug/.build-id/$(echo $id | cut -c1-2) && "
	"cp %1$s.dbg debug/.build-id/$(echo $id | cut -c1-2)/$(echo $id | cut -c3-).debug";

TEST(debug_file_by_build_id)
{
	NEED("objcopy");
	setup();
	ASSERT_EQ(sh("cc -O2 -g -Wl,--build-id sample.c -o sample"), 0);
	ASSERT_EQ(sh(split, "sample"), 0);
	start("sample", NULL);
	check_names(false);
	stop();
	remove_dir();
}

static void by_debuglink(const char *where, const char *build_id, bool spoil)
{
	NEED("objcopy");
	setup();
	ASSERT_EQ(sh("cc -O2 -g -Wl,--build-id%s sample.c -o sample && "
		     "objcopy --only-keep-debug sample sample.debug && strip sample && "
		     "objcopy --add-gnu-debuglink=sample.debug sample && d=%s && mkdir -p ./$d && "
		     "{ [ $d = . ] || mv sample.debug ./$d/; }",
		     build_id, where),
		  0);
	if (spoil)
		ASSERT_EQ(sh("echo >>./%s/sample.debug", where), 0);
	start("sample", NULL);
	check_names(spoil);
	stop();
	remove_dir();
}

TEST(debuglink_beside)
{
	by_debuglink(".", "", false);
}

TEST(debuglink_in_dot_debug)
{
	by_debuglink(".debug", "", false);
}

TEST(debuglink_in_debug_dir)
{
	by_debuglink("debug/$(pwd)", "", false);
}

/* No build id: the checksum decides. */
TEST(debuglink_checksum)
{
	by_debuglink(".debug", "=none", false);
}

TEST(debuglink_wrong_checksum)
{
	by_debuglink(".debug", "=none", true);
}

TEST(mini_debuginfo)
{
	NEED("objcopy");
	NEED("xz");
	setup();
	ASSERT_EQ(sh("cc -O2 -g -Wl,--build-id sample.c -o sample && "
		     "objcopy --only-keep-debug sample mini && strip --strip-debug mini && xz mini "
		     "&& "
		     "strip sample && objcopy --add-section .gnu_debugdata=mini.xz sample"),
		  0);
	start("sample", NULL);
	check_names(false);
	stop();
	remove_dir();
}

TEST(debuginfod_from_a_file)
{
	char url[PATH_MAX + 32], cache[PATH_MAX + 32];
	struct symbols *symbols;

	NEED("objcopy");
	if (system("ls /usr/lib/*/libdebuginfod.so.1 >/dev/null 2>&1"))
		SKIP("libdebuginfod is missing");
	setup();
	ASSERT_EQ(sh("cc -O2 -g -Wl,--build-id sample.c -o sample && "
		     "objcopy --only-keep-debug sample sample.dbg && strip sample && "
		     "id=$(readelf -n sample | sed -n 's/.*Build ID: //p') && "
		     "mkdir -p server/buildid/$id && cp sample.dbg server/buildid/$id/debuginfo"),
		  0);
	start("sample", NULL);
	symbols = make(false);
	EXPECT_STREQ(name_of(symbols, place("sample_local")), NULL);
	symbols__free(symbols);
	snprintf(url, sizeof(url), "file://%s/server", dir);
	snprintf(cache, sizeof(cache), "%s/cache", dir);
	symbols = make(false);
	setenv("DEBUGINFOD_URLS", url, 1);
	setenv("DEBUGINFOD_CACHE_PATH", cache, 1);
	EXPECT_STREQ(name_of(symbols, place("sample_local")), "sample_local");
	symbols__free(symbols);
	stop();
	remove_dir();
}

TEST(dlopened_library)
{
	char library[PATH_MAX + 32];

	NEED("cc");
	setup();
	ASSERT_EQ(sh("echo 'int in_library(int a) { return a * 3; }' >library.c && "
		     "cc -O2 -shared -fPIC -Wl,--build-id library.c -o library.so && strip "
		     "library.so && "
		     "cc -O2 -DLIBRARY -Wl,--build-id sample.c -o sample -ldl"),
		  0);
	snprintf(library, sizeof(library), "%s/library.so", dir);
	start("sample", library);
	check_names(false);
	stop();
	remove_dir();
}

TEST(cplusplus)
{
	static const char source[] =
		"#include <cstdio>\n#include <unistd.h>\n#include <vector>\nvolatile int sink;\n"
		"namespace outer { template <typename T, int N> struct box {\n"
		"__attribute__((noinline)) static int open(T a) { sink += a; return sink * N; } }; "
		"}\n"
		"int main() {\n"
		"int (*p)(int) = outer::box<int, 7>::open;\n"
		"printf(\"open %p\\n\", (void *)p); puts(\"end\"); fflush(stdout);\n"
		"p(3);\n for (;;) pause(); }\n";
	struct symbols_file file;
	struct symbol symbol;
	struct symbols *symbols;
	__u64 offset;

	NEED("g++");
	setup();
	put("sample.cc", source, sizeof(source) - 1);
	ASSERT_EQ(sh("g++ -O1 -Wl,--build-id sample.cc -o sample"), 0);
	start("sample", NULL);
	symbols = make(false);
	ASSERT_EQ(symbols__mapping(symbols, sample_pid, place("open"), &file, &offset), 1);
	ASSERT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 1);
	EXPECT_STREQ(symbol.name, "outer::box<int, 7>::open(int)");
	EXPECT_STREQ(symbol.system_name, "_ZN5outer3boxIiLi7EE4openEi");
	symbols__free(symbols);
	stop();
	remove_dir();
}

static void rust(const char *flags)
{
	static const char source[] =
		"mod deep { pub trait Run { fn run(&self, a: u64) -> u64; }\n"
		"impl Run for Vec<u8> { #[inline(never)] fn run(&self, a: u64) -> u64 { self.len() "
		"as u64 + a } } }\n"
		"use deep::Run;\n"
		"fn main() { let f: fn(&Vec<u8>, u64) -> u64 = <Vec<u8> as Run>::run;\n"
		"println!(\"run {:p}\\nend\", f as *const ());\n"
		"f(&vec![1], 2); loop { std::thread::park(); } }\n";
	struct symbols *symbols;
	const char *name;

	setup();
	put("sample.rs", source, sizeof(source) - 1);
	if (sh("rustc -C link-arg=-Wl,--build-id %s sample.rs -o sample", flags)) {
		remove_dir();
		SKIP("rustc is missing, or cannot %s", flags);
	}
	start("sample", NULL);
	symbols = make(false);
	name = name_of(symbols, place("run"));
	printf("# %s\n", name ? name : "none");
	EXPECT_TRUE(name && strstr(name, "as sample::deep::Run>::run") && name[0] == '<');
	symbols__free(symbols);
	stop();
	remove_dir();
}

TEST_TIMEOUT(rust_legacy, 60)
{
	rust("-C opt-level=1");
}

TEST_TIMEOUT(rust_v0, 60)
{
	rust("-C opt-level=1 -C symbol-mangling-version=v0");
}

static void lines(const char *flags, bool separate)
{
	struct symbol symbol[4] = {0};
	struct symbols_file file;
	struct symbols_stats stats;
	struct symbols *symbols;
	__u64 offset;

#ifndef __x86_64__
	SKIP("the sample knows its own addresses on x86-64 only");
#endif
	NEED("objcopy");
	setup();
	if (sh("%s -Wl,--build-id sample.c -o sample", flags)) {
		remove_dir();
		SKIP("cannot build with %s", flags);
	}
	if (separate)
		ASSERT_EQ(sh(split, "sample"), 0);
	start("sample", NULL);
	symbols = make(true);
	for (int round = 0; round < 2; round++) {
		ASSERT_EQ(symbols__mapping(symbols, sample_pid, place("sample_inlined") - 1, &file,
					   &offset),
			  1);
		ASSERT_EQ(symbols__file(symbols, &file, offset, symbol, 4), 2);
		EXPECT_STREQ(symbol[0].name, "sample_inlined");
		EXPECT_TRUE(symbol[0].file && strstr(symbol[0].file, "sample.c"));
		EXPECT_EQ(symbol[0].line, 27);
		EXPECT_EQ(symbol[0].start_line, 21);
		EXPECT_STREQ(symbol[1].name, "sample_caller");
		EXPECT_EQ(symbol[1].line, 36);
		EXPECT_EQ(symbol[1].start_line, 34);
		EXPECT_TRUE(symbol[1].file && strstr(symbol[1].file, "sample.c"));
		EXPECT_EQ(symbols__file(symbols, &file, offset, symbol, 1), 1);
		EXPECT_STREQ(symbol[0].name, "sample_inlined");
		if (!round)
			symbols__trim(symbols);
	}
	symbols__stats(symbols, &stats);
	EXPECT_EQ(stats.readers_failed, 0);
	EXPECT_EQ(stats.opened, 1);
	symbols__free(symbols);
	stop();
	remove_dir();
}

TEST(lines_gcc)
{
	lines("cc -O2 -g", false);
}

TEST(lines_separate_file)
{
	lines("cc -O2 -g", true);
}

TEST(lines_dwarf4_compressed)
{
	lines("cc -O2 -gdwarf-4 -gz", false);
}

TEST(lines_clang)
{
	lines("clang -O2 -g", false);
}

TEST(lines_dwz)
{
	NEED("dwz");
	lines("f() { cc -O2 -g \"$@\" && cp sample s2 && dwz -m alt.dwz sample s2; }; f", false);
}

TEST(vdso)
{
	struct symbols *symbols;
	struct symbols_file file;
	struct symbol symbol;
	__u64 base = getauxval(AT_SYSINFO_EHDR), offset;
	int seen = 0;

	if (!base)
		SKIP("no vDSO here");
	strcpy(dir, "/tmp");
	symbols = make(false);
	for (__u64 at = base; at < base + 8192; at += 8) {
		if (!symbols__mapping(symbols, getpid(), at, &file, &offset))
			break;
		if (symbols__file(symbols, &file, offset, &symbol, 1) == 1)
			seen += strstr(symbol.name, "clock_gettime") != NULL;
		if (at == base + 4096)
			symbols__trim(symbols);
	}
	EXPECT_GT(seen, 0);
	symbols__free(symbols);
}

TEST(kernel)
{
	struct symbols *symbols = symbols__new(NULL);
	FILE *file = fopen("/proc/kallsyms", "r");
	unsigned long long addr, found = 0, core = 0;
	char line[512], name[256], type;
	struct symbol symbol;
	struct symbols_stats stats;

	ASSERT_TRUE(file && symbols);
	while (!core && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%llx %c %255s", &addr, &type, name) != 3)
			continue;
		if (!strcmp(name, "schedule_timeout"))
			found = addr;
		if (!strcmp(name, "_etext"))
			core = addr;
	}
	fclose(file);
	if (!found) {
		EXPECT_EQ(symbols__kernel(symbols, 0xffffffff81000000, &symbol), 0);
		symbols__free(symbols);
		SKIP("addresses are hidden here");
	}
	ASSERT_EQ(symbols__kernel(symbols, found, &symbol), 1);
	EXPECT_STREQ(symbol.name, "schedule_timeout");
	EXPECT_STREQ(symbol.module, NULL);
	ASSERT_EQ(symbols__kernel(symbols, found + 5, &symbol), 1);
	EXPECT_STREQ(symbol.name, "schedule_timeout");
	EXPECT_EQ(symbols__kernel(symbols, 4096, &symbol), 0);
	if (core)
		EXPECT_EQ(symbols__kernel(symbols, core, &symbol), 0);
	symbols__stats(symbols, &stats);
	printf("# %zu bytes for the kernel\n", stats.kernel_bytes);
	symbols__free(symbols);
}

/* --- code made at run time ---------------------------------------------------- */

static void put_map(const char *path, const char *text, const char *mode)
{
	FILE *file = fopen(path, mode);

	ASSERT_TRUE(file);
	fputs(text, file);
	fclose(file);
}

TEST(perf_map)
{
	struct symbols *symbols = symbols__new(NULL);
	struct symbol symbol;
	char path[64];

	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	put_map(path,
		"7f0000001000 100 LazyCompile:~first one.js:1\n0x7f0000002000 0x80 second\n"
		"garbage\n7f0000003000 zz bad\n7f0000001040 10 inside\n7f0000009000 20 unfinis",
		"w");
	ASSERT_EQ(symbols__jit(symbols, getpid(), 0x7f0000001000, &symbol), 1);
	EXPECT_STREQ(symbol.name, "LazyCompile:~first one.js:1");
	ASSERT_EQ(symbols__jit(symbols, getpid(), 0x7f0000001045, &symbol), 1);
	EXPECT_STREQ(symbol.name, "inside");
	ASSERT_EQ(symbols__jit(symbols, getpid(), 0x7f0000001060, &symbol), 1);
	EXPECT_STREQ(symbol.name, "LazyCompile:~first one.js:1");
	EXPECT_EQ(symbols__jit(symbols, getpid(), 0x7f0000001100, &symbol), 0);
	EXPECT_EQ(symbols__jit(symbols, getpid(), 0x7f0000009001, &symbol), 0);
	/* Grows: a line is finished, code is replaced. */
	put_map(path, "hed\n7f0000002000 40 third\n", "a");
	ASSERT_EQ(symbols__jit(symbols, getpid(), 0x7f0000009002, &symbol), 1);
	EXPECT_STREQ(symbol.name, "unfinished");
	ASSERT_EQ(symbols__jit(symbols, getpid(), 0x7f0000002001, &symbol), 1);
	EXPECT_STREQ(symbol.name, "third");
	symbols__trim(symbols);
	ASSERT_EQ(symbols__jit(symbols, getpid(), 0x7f0000002001, &symbol), 1);
	EXPECT_STREQ(symbol.name, "third");
	symbols__trim(symbols);
	put_map(path, "7f0000002000 40 fourth\n", "w");
	ASSERT_EQ(symbols__jit(symbols, getpid(), 0x7f0000002001, &symbol), 1);
	EXPECT_STREQ(symbol.name, "fourth");
	unlink(path);
	symbols__free(symbols);
}

TEST(perf_map_of_others)
{
	struct symbols *symbols = symbols__new(NULL);
	struct symbol symbol;
	char path[64];

	if (geteuid())
		SKIP("not root");
	snprintf(path, sizeof(path), "/tmp/perf-%d.map", getpid());
	put_map(path, "7f0000001000 100 stranger\n", "w");
	ASSERT_EQ(chown(path, 65534, 65534), 0);
	EXPECT_EQ(symbols__jit(symbols, getpid(), 0x7f0000001000, &symbol), 0);
	unlink(path);
	symbols__trim(symbols);
	put_map("/tmp/symbols-test-target", "7f0000001000 100 linked\n", "w");
	ASSERT_EQ(symlink("/tmp/symbols-test-target", path), 0);
	EXPECT_EQ(symbols__jit(symbols, getpid(), 0x7f0000001000, &symbol), 0);
	unlink(path);
	unlink("/tmp/symbols-test-target");
	symbols__trim(symbols);
	ASSERT_EQ(mkfifo(path, 0666), 0);
	EXPECT_EQ(symbols__jit(symbols, getpid(), 0x7f0000001000, &symbol), 0);
	unlink(path);
	symbols__free(symbols);
}

TEST(perf_map_in_namespaces)
{
	struct symbols *symbols = symbols__new(NULL);
	struct symbol symbol = {0};
	char line[64] = "";
	int fds[2], pid = 0;
	FILE *file;
	DIR *proc;

	NEED("unshare");
	ASSERT_EQ(pipe(fds), 0);
	if (!fork()) {
		dup2(fds[1], 1);
		execlp("unshare", "unshare", "--mount", "--pid", "--fork", "sh", "-c",
		       "mount -t tmpfs tmpfs /tmp && echo '7f0000001000 100 contained' "
		       ">/tmp/perf-1.map "
		       "&& sed -n 's/^NSpid:\\t\\([0-9]*\\).*/\\1/p' /proc/self/status && exec "
		       "sleep 20",
		       NULL);
		_exit(127);
	}
	close(fds[1]);
	file = fdopen(fds[0], "r");
	/* /proc is still the outer one: sed says its own number there; its parent is the shell. */
	if (!fgets(line, sizeof(line), file))
		SKIP("no namespaces here");
	usleep(200000);
	proc = opendir("/proc");
	while (proc && !pid) {
		struct dirent *entry = readdir(proc);
		char path[300], text[4096];
		int fd;
		ssize_t n;

		if (!entry)
			break;
		snprintf(path, sizeof(path), "/proc/%s/root/tmp/perf-1.map", entry->d_name);
		if (access(path, R_OK))
			continue;
		snprintf(path, sizeof(path), "/proc/%s/status", entry->d_name);
		fd = open(path, O_RDONLY);
		n = fd < 0 ? 0 : read(fd, text, sizeof(text) - 1);
		text[n > 0 ? n : 0] = '\0';
		close(fd);
		if (strstr(text, "Name:\tsleep"))
			pid = atoi(entry->d_name);
	}
	if (proc)
		closedir(proc);
	ASSERT_GT(pid, 1);
	ASSERT_EQ(symbols__jit(symbols, pid, 0x7f0000001010, &symbol), 1);
	EXPECT_STREQ(symbol.name, "contained");
	kill(pid, SIGKILL);
	fclose(file);
	symbols__free(symbols);
}

/* --- which file --------------------------------------------------------------- */

static void remember(struct symbols *symbols, const char *name, struct symbols_file *file,
		     __u64 *offset, char path[PATH_MAX])
{
	ASSERT_EQ(symbols__mapping(symbols, sample_pid, place(name), file, offset), 1);
	ASSERT_GT((int)file->build_id_len, 0);
	snprintf(path, PATH_MAX, "%s", file->path);
	file->path = path;
}

TEST(exited_process)
{
	struct symbols *symbols;
	struct symbols_file file;
	struct symbol symbol;
	char path[PATH_MAX];
	__u64 offset;

	NEED("cc");
	setup();
	ASSERT_EQ(sh("cc -O2 -Wl,--build-id sample.c -o sample"), 0);
	start("sample", NULL);
	symbols = make(false);
	remember(symbols, "sample_local", &file, &offset, path);
	symbols__trim(symbols);
	stop();
	ASSERT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 1);
	EXPECT_STREQ(symbol.name, "sample_local");
	/* Its file may go as well: what was known stays known. */
	symbols__trim(symbols);
	ASSERT_EQ(sh("rm sample"), 0);
	ASSERT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 1);
	EXPECT_STREQ(symbol.name, "sample_local");
	symbols__free(symbols);
	remove_dir();
}

TEST(replaced_file_is_refused)
{
	struct symbols *symbols;
	struct symbols_file file;
	struct symbols_stats stats;
	struct symbol symbol;
	char path[PATH_MAX];
	__u64 offset;

	NEED("cc");
	setup();
	ASSERT_EQ(sh("cc -O2 -Wl,--build-id sample.c -o sample"), 0);
	start("sample", NULL);
	symbols = make(false);
	remember(symbols, "sample_local", &file, &offset, path);
	stop();
	ASSERT_EQ(sh("sed -i 's/volatile int sink/int pad(int a) { return a; } &/' sample.c && "
		     "cc -O1 -Wl,--build-id sample.c -o new && mv new sample"),
		  0);
	EXPECT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 0);
	symbols__stats(symbols, &stats);
	EXPECT_EQ(stats.missing, 1);
	EXPECT_EQ(stats.opened, 0);
	/* Another process in its place does not help either. */
	symbols__trim(symbols);
	symbols__trim(symbols);
	start("sample", NULL);
	file.pid = sample_pid;
	EXPECT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 0);
	stop();
	symbols__free(symbols);
	remove_dir();
}

TEST(deleted_and_mapped_by_another)
{
	struct symbols *symbols;
	struct symbols_file file;
	struct symbol symbol;
	char path[PATH_MAX];
	__u64 offset;

	NEED("cc");
	setup();
	ASSERT_EQ(sh("cc -O2 -Wl,--build-id sample.c -o sample"), 0);
	start("sample", NULL);
	ASSERT_EQ(sh("rm sample"), 0);
	symbols = make(false);
	remember(symbols, "sample_local", &file, &offset, path);
	file.path = NULL;
	file.pid = 0;
	ASSERT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 1);
	EXPECT_STREQ(symbol.name, "sample_local");
	stop();
	symbols__free(symbols);
	remove_dir();
}

/* Nothing but the build id of a program long gone: programs and libraries installed here. */
TEST(installed_library_by_build_id)
{
	struct symbols *symbols;
	struct symbols_file file;
	struct symbol symbol;
	char path[PATH_MAX];
	__u64 offset;

	strcpy(dir, "/tmp");
	symbols = make(false);
	sample_pid = getpid();
	n_places = 1;
	strcpy(places[0].name, "qsort");
	places[0].addr = (__u64)(uintptr_t)qsort;
	if (!symbols__mapping(symbols, sample_pid, places[0].addr, &file, &offset))
		SKIP("no libc");
	remember(symbols, "qsort", &file, &offset, path);
	file.path = NULL;
	file.pid = 0;
	if (symbols__file(symbols, &file, offset, &symbol, 1) != 1)
		SKIP("qsort() is not libc's here");
	EXPECT_TRUE(strstr(symbol.name, "qsort"));
	symbols__free(symbols);
}

TEST(fifo_in_place_of_file)
{
	struct symbols *symbols;
	struct symbols_file file = {.build_id_len = 20, .pid = getpid()};
	char path[PATH_MAX + 16];
	struct symbol symbol;

	setup();
	symbols = make(false);
	snprintf(path, sizeof(path), "%s/pipe", dir);
	ASSERT_EQ(mkfifo(path, 0666), 0);
	file.path = path;
	EXPECT_EQ(symbols__file(symbols, &file, 4096, &symbol, 1), 0);
	file.build_id[0] = 1;
	file.path = "/dev/zero";
	EXPECT_EQ(symbols__file(symbols, &file, 4096, &symbol, 1), 0);
	symbols__free(symbols);
	remove_dir();
}

/* A process's "/" is where its absolute links lead. */
TEST(links_stay_in_the_container)
{
	struct symbols *symbols;
	struct symbols_file file;
	struct symbol symbol;
	char path[PATH_MAX], root[PATH_MAX + 16];
	__u64 offset;
	int fds[2];
	pid_t pid;

	if (geteuid())
		SKIP("not root");
	setup();
	ASSERT_EQ(sh("cc -O2 -Wl,--build-id sample.c -o sample && mkdir -p root/bin && "
		     "ln -s /bin/real root/bin/program && cp sample root/bin/real"),
		  0);
	start("sample", NULL);
	symbols = make(false);
	remember(symbols, "sample_local", &file, &offset, path);
	stop();
	ASSERT_EQ(sh("rm sample"), 0);
	snprintf(root, sizeof(root), "%s/root", dir);
	ASSERT_EQ(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		if (chroot(root) || chdir("/"))
			_exit(1);
		close(fds[1]);
		if (read(fds[0], root, 1))
			_exit(1);
		_exit(0);
	}
	usleep(100000);
	file.pid = pid;
	file.path = "/bin/program";
	ASSERT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 1);
	EXPECT_STREQ(symbol.name, "sample_local");
	kill(pid, SIGKILL);
	symbols__free(symbols);
	remove_dir();
}

/* --- what a file is known by ----------------------------------------------------- */

TEST(identities)
{
	static const char note[] =
		"__asm__(\".pushsection .note.go.buildid,\\\"a\\\",@note\\n"
		".balign 4\\n.long 4, 19, 4\\n.asciz \\\"Go\\\\0\\\"\\n"
		".ascii \\\"abc_D/efg/hi-j/klmn\\\"\\n.balign 4\\n.popsection\");\n"
		"#include \"sample.c\"\n";
	const struct symbols_ids *ids;
	struct symbols *symbols;
	struct symbols_file file;
	char path[PATH_MAX], command[PATH_MAX + 512], want[64] = "", got[64];
	__u64 offset;
	FILE *pipe_file;

	NEED("cc");
	NEED("sha256sum");
	setup();
	put("go.c", note, sizeof(note) - 1);
	ASSERT_EQ(sh("cc -O2 -g -Wl,--build-id go.c -o sample"), 0);
	start("sample", NULL);
	symbols = make(false);
	remember(symbols, "sample_local", &file, &offset, path);
	ids = symbols__ids(symbols, &file);
	ASSERT_TRUE(ids && ids->has_htlhash);
	EXPECT_STREQ(ids->go, "abc_D/efg/hi-j/klmn");
	EXPECT_STREQ(ids->path, path);
	/* As anybody else would compute it. */
	snprintf(command, sizeof(command),
		 "cd %s && { head -c 4096 sample; tail -c 4096 sample; "
		 "printf %%016x $(stat -c %%s sample) | sed 's/../\\\\x&/g' | xargs -0 printf; } | "
		 "sha256sum | head -c 32",
		 dir);
	pipe_file = popen(command, "r");
	ASSERT_TRUE(pipe_file && fgets(want, sizeof(want), pipe_file));
	pclose(pipe_file);
	for (int i = 0; i < HTLHASH_SIZE; i++)
		snprintf(got + 2 * i, 3, "%02x", ids->htlhash[i]);
	EXPECT_STREQ(got, want);
	/* It is known as long as it was found once. */
	stop();
	symbols__trim(symbols);
	ASSERT_EQ(sh("rm sample"), 0);
	ids = symbols__ids(symbols, &file);
	ASSERT_TRUE(ids);
	EXPECT_TRUE(ids->has_htlhash);
	EXPECT_STREQ(ids->go, "abc_D/efg/hi-j/klmn");
	symbols__free(symbols);
	/* And not at all when it never was. */
	symbols = make(false);
	EXPECT_TRUE(!symbols__ids(symbols, &file));
	symbols__free(symbols);
	remove_dir();
}

/* --- file systems that do not answer ------------------------------------------------ */

static __s64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* A process that has @at, a file system in user space, among its mounts, and maps its file. */
static pid_t start_above_fuse(const char *at, const void *bytes, size_t size,
			      enum fuse_silence silence, __u64 *mapped)
{
	int fds[2];
	pid_t pid;

	*mapped = 0;
	ASSERT_EQ(pipe(fds), 0);
	pid = fork();
	if (!pid) {
		void *to = MAP_FAILED;
		struct stat st;
		int fd;

		close(fds[0]);
		if (fuse_server__start(at, bytes, size, silence))
			_exit(1);
		fd = bytes ? open(at, O_RDONLY) : -1;
		if (fd >= 0 && !fstat(fd, &st))
			to = mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE, fd, 0);
		*mapped = to == MAP_FAILED ? 0 : (uintptr_t)to;
		if (write(fds[1], mapped, sizeof(*mapped)) != sizeof(*mapped))
			_exit(1);
		for (;;)
			pause();
	}
	close(fds[1]);
	if (read(fds[0], mapped, sizeof(*mapped)) != sizeof(*mapped)) {
		remove_dir();
		SKIP("no file system in user space here");
	}
	close(fds[0]);
	return pid;
}

static char *read_all(const char *name, size_t *size)
{
	char path[PATH_MAX + 64], *bytes;
	struct stat st;
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	file = fopen(path, "r");
	ASSERT_TRUE(file && !fstat(fileno(file), &st));
	bytes = malloc(st.st_size);
	*size = fread(bytes, 1, st.st_size, file);
	ASSERT_EQ(*size, (size_t)st.st_size);
	fclose(file);
	return bytes;
}

/* The sample as a file that a server in user space has; sample_local is looked for in it. */
static int look_above_fuse(enum fuse_silence silence, __s64 *took, bool by_mapping)
{
	struct symbols *symbols;
	struct symbols_file file;
	struct symbol symbol = {0};
	char path[PATH_MAX], at[PATH_MAX + 16], *bytes;
	__u64 offset, mapped, ignored;
	size_t size;
	pid_t pid;
	int n = 0;

	if (geteuid())
		SKIP("not root");
	NEED("cc");
	setup();
	ASSERT_EQ(sh("cc -O2 -Wl,--build-id sample.c -o sample"), 0);
	start("sample", NULL);
	symbols = make(false);
	remember(symbols, "sample_local", &file, &offset, path);
	symbols__trim(symbols);
	stop();
	bytes = read_all("sample", &size);
	ASSERT_EQ(sh("rm sample; touch program"), 0);
	snprintf(at, sizeof(at), "%s/program", dir);
	pid = start_above_fuse(at, bytes, size, silence, &mapped);
	*took = now_ms();
	if (by_mapping) {
		struct symbols_file found;

		if (silence == FUSE_ANSWERS)
			ASSERT_NE(mapped, 0);
		/* Which build id it has cannot be said when it is not to be read. */
		if (mapped && symbols__mapping(symbols, pid, mapped, &found, &ignored)) {
			EXPECT_EQ(!!found.build_id_len, silence == FUSE_ANSWERS);
			n = symbols__file(symbols, &found, offset, &symbol, 1);
		}
	} else {
		file.pid = pid;
		file.path = at;
		n = symbols__file(symbols, &file, offset, &symbol, 1);
	}
	if (n)
		EXPECT_STREQ(symbol.name, "sample_local");
	*took = now_ms() - *took;
	EXPECT_LE(open__timeouts(), OPEN_TIMEOUTS_MAX);
	/* Nor does it hold up what is all right. */
	symbols__trim(symbols);
	sample_pid = getpid();
	EXPECT_EQ(symbols__mapping(symbols, getpid(), (__u64)(uintptr_t)printf, &file, &offset), 1);
	EXPECT_EQ(symbols__file(symbols, &file, offset, &symbol, 1), 1);
	symbols__free(symbols);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	free(bytes);
	remove_dir();
	printf("# %lld ms\n", (long long)*took);
	return n;
}

TEST(fuse_that_answers)
{
	__s64 took;

	EXPECT_EQ(look_above_fuse(FUSE_ANSWERS, &took, false), 1);
	EXPECT_EQ(look_above_fuse(FUSE_ANSWERS, &took, true), 1);
}

TEST(fuse_that_never_reads)
{
	__s64 took;

	EXPECT_EQ(look_above_fuse(FUSE_NEVER_READS, &took, false), 0);
	EXPECT_GE(took, OPEN_WAIT_MS - 1);
	EXPECT_EQ(look_above_fuse(FUSE_NEVER_READS, &took, true), 0);
}

/* The way to the file leads through a directory that does not answer; so does /tmp. */
TEST(fuse_on_the_way)
{
	struct symbols_file file = {.build_id = {1}, .build_id_len = 20};
	char at[PATH_MAX + 16], path[PATH_MAX + 64];
	struct symbols *symbols;
	struct symbol symbol;
	__u64 mapped;
	__s64 began;
	pid_t pid;

	if (geteuid())
		SKIP("not root");
	setup();
	ASSERT_EQ(sh("mkdir silent"), 0);
	snprintf(at, sizeof(at), "%s/silent", dir);
	snprintf(path, sizeof(path), "%s/silent/program", dir);
	pid = start_above_fuse(at, NULL, 0, FUSE_NEVER_ANSWERS, &mapped);
	symbols = make(false);
	file.pid = pid;
	file.path = path;
	began = now_ms();
	EXPECT_EQ(symbols__file(symbols, &file, 4096, &symbol, 1), 0);
	EXPECT_GE(now_ms() - began, OPEN_WAIT_MS - 1);
	EXPECT_LE(open__timeouts(), OPEN_TIMEOUTS_MAX);
	symbols__trim(symbols);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);

	pid = start_above_fuse("/tmp", NULL, 0, FUSE_NEVER_ANSWERS, &mapped);
	EXPECT_EQ(symbols__jit(symbols, pid, 0x7f0000001000, &symbol), 0);
	EXPECT_LE(open__timeouts(), OPEN_TIMEOUTS_MAX);
	symbols__free(symbols);
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	remove_dir();
}

/* As when a thread of the process waits for such a file system with its memory's lock. */
TEST(maps_that_are_never_read)
{
	struct symbols *symbols = make(false);
	struct symbols_file file;
	pid_t pids[2];
	__u64 offset;
	__s64 began;
	char at[64];

	if (geteuid())
		SKIP("not root");
	for (int i = 0; i < 2; i++) {
		pids[i] = fork();
		ASSERT_GE(pids[i], 0);
		while (!pids[i])
			pause();
	}
	snprintf(at, sizeof(at), "/proc/%d/maps", pids[0]);
	if (fuse_server__start(at, "x", 1, FUSE_NEVER_READS))
		SKIP("no file system in user space here");
	began = now_ms();
	EXPECT_EQ(symbols__mapping(symbols, pids[0], (__u64)(uintptr_t)printf, &file, &offset), 0);
	EXPECT_GE(now_ms() - began, OPEN_WAIT_MS - 1);
	EXPECT_EQ(open__timeouts(), 1);
	/* The next one is none the worse for it. */
	EXPECT_EQ(symbols__mapping(symbols, pids[1], (__u64)(uintptr_t)printf, &file, &offset), 1);
	EXPECT_EQ(file.pid, pids[1]);
	symbols__free(symbols);
	for (int i = 0; i < 2; i++) {
		kill(pids[i], SIGKILL);
		waitpid(pids[i], NULL, 0);
	}
}

/* --- the cache ---------------------------------------------------------------- */

static int open_files(void)
{
	DIR *fds = opendir("/proc/self/fd");
	int n = 0;

	while (readdir(fds))
		n++;
	closedir(fds);
	return n;
}

/* The directory of the C library has many more. */
static int libraries(struct symbols *symbols, char found[][PATH_MAX], int max)
{
	struct symbols_file file;
	struct dirent *entry;
	__u64 offset;
	int n = 0;
	DIR *lib;

	ASSERT_EQ(symbols__mapping(symbols, getpid(), (__u64)(uintptr_t)qsort, &file, &offset), 1);
	snprintf(found[0], PATH_MAX, "%s", file.path);
	*strrchr(found[0], '/') = '\0';
	strcpy(dir, found[0]);
	lib = opendir(dir);
	while (lib && n < max && (entry = readdir(lib)))
		if (entry->d_type == DT_REG && strstr(entry->d_name, ".so"))
			snprintf(found[n++], PATH_MAX, "%.2000s/%s", dir, entry->d_name);
	if (lib)
		closedir(lib);
	return n;
}

static int build_id_of(const char *path, struct symbols_file *file)
{
	char command[PATH_MAX + 100];
	unsigned int byte;
	FILE *out;

	*file = (struct symbols_file){.path = path, .pid = getpid()};
	snprintf(command, sizeof(command),
		 "readelf -n '%s' 2>/dev/null | sed -n 's/.*Build ID: //p'", path);
	out = popen(command, "r");
	while (file->build_id_len < BUILD_ID_SIZE && fscanf(out, "%2x", &byte) == 1)
		file->build_id[file->build_id_len++] = byte;
	pclose(out);
	return file->build_id_len;
}

TEST_TIMEOUT(cache_is_bounded, 60)
{
	static const size_t bound = 512 * 1024;
	static char paths[150][PATH_MAX];
	struct symbols *symbols;
	struct symbols_stats stats;
	struct symbols_file file;
	struct symbol symbol;
	size_t most = 0, most_held = 0, answered = 0;
	int before, after, n;

	NEED("readelf");
	symbols = symbols__new(&(struct symbols_options){.cache_bytes = bound});
	before = open_files();
	n = libraries(symbols, paths, 150);
	for (int i = 0; i < n; i++) {
		if (!build_id_of(paths[i], &file))
			continue;
		for (__u64 offset = 4096; offset < 800000; offset += 512)
			answered += symbols__file(symbols, &file, offset, &symbol, 1);
		symbols__stats(symbols, &stats);
		if (stats.bytes > most)
			most = stats.bytes;
		if (i % 5 != 4)
			continue;
		symbols__trim(symbols);
		symbols__stats(symbols, &stats);
		if (stats.bytes > most_held)
			most_held = stats.bytes;
		EXPECT_LE(open_files(), before);
	}
	symbols__trim(symbols);
	after = open_files();
	symbols__stats(symbols, &stats);
	printf("# %d files, %lu read, %u held, %zu answers; at most %zu bytes, %zu after an "
	       "export\n",
	       n, stats.opened, stats.files, answered, most, most_held);
	EXPECT_GT(answered, 1000);
	EXPECT_LE(most_held, bound);
	EXPECT_LE(after, before);
	symbols__free(symbols);
}

/* Many files within one export: none is read twice, as long as there is room. */
TEST(files_are_opened_once)
{
	static char paths[20][PATH_MAX];
	static struct symbols_file files[20];
	struct symbols *symbols = symbols__new(NULL);
	struct symbols_stats stats;
	struct symbol symbol;
	unsigned long opened = 0;
	int n;

	NEED("readelf");
	n = libraries(symbols, paths, 20);
	for (int i = 0; i < n; i++)
		build_id_of(paths[i], &files[i]);
	for (int round = 0; round < 100; round++) {
		for (int i = 0; i < n; i++)
			symbols__file(symbols, &files[i], 4096 + 512 * round, &symbol, 1);
		if (!round)
			symbols__stats(symbols, &stats);
		opened = round ? opened : stats.opened;
		if (round % 30 == 29)
			symbols__trim(symbols);
	}
	symbols__stats(symbols, &stats);
	EXPECT_GT(opened, 0);
	EXPECT_EQ(stats.opened, opened);
	symbols__free(symbols);
}

static double seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec + now.tv_nsec / 1e9;
}

static long resident(void)
{
	long total = 0, pages = 0;
	FILE *file = fopen("/proc/self/statm", "r");

	if (fscanf(file, "%ld %ld", &total, &pages) != 2)
		pages = 0;
	fclose(file);
	return pages * sysconf(_SC_PAGESIZE) / 1024;
}

/* Not a promise, but a number to look at: run with _speed. */
TEST_TIMEOUT(_speed, 120)
{
	struct symbols_file file;
	struct symbol symbol;
	struct symbols_stats stats;
	__u64 offset;

	strcpy(dir, "/tmp");
	for (int lines_too = 0; lines_too < 2; lines_too++) {
		long rss = resident();
		double at = seconds();
		struct symbols *symbols =
			symbols__new(&(struct symbols_options){.want_lines = lines_too});
		int n = lines_too ? 2000 : 20000, found = 0;

		ASSERT_EQ(symbols__mapping(symbols, getpid(), (__u64)(uintptr_t)qsort, &file,
					   &offset),
			  1);
		symbols__file(symbols, &file, offset, &symbol, 1);
		printf("# lines %d: first answer %.3f ms\n", lines_too, (seconds() - at) * 1e3);
		at = seconds();
		for (int i = 0; i < n; i++)
			found += symbols__file(symbols, &file, 0x28000 + i * (0x150000 / n),
					       &symbol, 1);
		printf("# cold: %.2f us, %d of %d\n", (seconds() - at) / n * 1e6, found, n);
		at = seconds();
		for (int round = 0; round < 10; round++)
			for (int i = 0; i < n; i++)
				symbols__file(symbols, &file, 0x28000 + i * (0x150000 / n), &symbol,
					      1);
		printf("# warm: %.3f us\n", (seconds() - at) / n / 10 * 1e6);
		at = seconds();
		if (!lines_too && symbols__kernel(symbols, 0xffffffff81000100, &symbol))
			printf("# kernel: first %.1f ms", (seconds() - at) * 1e3);
		at = seconds();
		for (int i = 0; i < 10000 && !lines_too; i++)
			symbols__kernel(symbols, 0xffffffff81000100 + i * 500, &symbol);
		printf("# kernel: then %.3f us\n", (seconds() - at) / 10000 * 1e6);
		symbols__stats(symbols, &stats);
		printf("# %zu bytes, kernel %zu, resident +%ld KiB of %ld\n", stats.bytes,
		       stats.kernel_bytes, resident() - rss, resident());
		symbols__free(symbols);
	}
}

/* --- names -------------------------------------------------------------------- */

TEST(demangled_names)
{
	static const struct {
		const char *raw, *plain;
	} table[] = {
		{"_Z3addii", "add(int, int)"},
		{"_ZNSt6vectorIiSaIiEE9push_backERKi",
		 "std::vector<int, std::allocator<int> >::push_back(int const&)"},
		{"_ZN4core3fmt5Write9write_fmt17h0123456789abcdefE", "core::fmt::Write::write_fmt"},
		{"_RNvC6_123foo3bar", "123foo::bar"},
		{"_RNvNtCs1234_7mycrate3mod3run", "mycrate::mod::run"},
		{"main", NULL},
		{"_Z", NULL},
		{"_Zzzzz", NULL},
		{"__cxa_throw", NULL},
		{"", NULL},
	};
	char out[DEMANGLE_OUT_MAX];

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		size_t len = demangle(table[i].raw, out);

		EXPECT_STREQ(len ? out : NULL, table[i].plain);
		if (len)
			EXPECT_EQ(len, strlen(out));
	}
}

/* Twice as much with each of its 34 parts: gigabytes, were it printed. */
TEST_TIMEOUT(demangling_is_bounded, 10)
{
	char raw[DEMANGLE_IN_MAX], out[DEMANGLE_OUT_MAX];
	int n = sprintf(raw, "_Z1fSt4pairIiiE");
	size_t len;

	/* Each parameter is a pair of two of the one before. */
	for (int i = 0; i < 34; i++) {
		char id = i < 10 ? '0' + i : 'A' + i - 10;

		n += sprintf(raw + n, "S_IS%c_S%c_E", id, id);
	}
	len = demangle(raw, out);
	EXPECT_LT(len, sizeof(out));
	EXPECT_GT(len, 1000);
	memset(raw, 'P', sizeof(raw));
	memcpy(raw, "_Z1f", 4);
	raw[sizeof(raw) - 1] = '\0';
	EXPECT_LT(demangle(raw, out), sizeof(out));
}

TEST_MAIN()
