// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The loader: bad input of every kind has its exit code, one line, and nothing left behind. */
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector.h"
#include "fail.h"
#include "ktap.h"
#include "live.h"

static struct output output;

#define LOAD_SYSCALLS ((const char *const[]){"load", SYSCALLS_OBJECT, NULL})

/* --- where it runs ---------------------------------------------------------------------------- */

static void hide(const char *dir)
{
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount("none", dir, "tmpfs", 0, NULL))
		_exit(99);
}

static void without_bpffs(void *ctx)
{
	(void)ctx;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(99);
	while (!umount2("/sys/fs/bpf", MNT_DETACH))
		;
}

static void without_tracefs(void *ctx)
{
	(void)ctx;
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		_exit(99);
	umount2("/sys/kernel/debug/tracing", MNT_DETACH);
	umount2("/sys/kernel/debug", MNT_DETACH);
	while (!umount2("/sys/kernel/tracing", MNT_DETACH))
		;
}

static void without_btf(void *ctx)
{
	(void)ctx;
	hide("/sys/kernel/btf");
}

static void as_nobody(void *ctx)
{
	(void)ctx;
	if (setgroups(0, NULL) || setgid(65534) || setuid(65534))
		_exit(99);
}

static void on_an_old_kernel(void *ctx)
{
	(void)ctx;
	personality(PER_LINUX | UNAME26); /* uname(2) says 2.6 */
}

static void without_locked_memory(void *ctx)
{
	struct rlimit none = {0, 0};

	(void)ctx;
	if (setrlimit(RLIMIT_MEMLOCK, &none) || prctl(PR_CAPBSET_DROP, 24 /* CAP_SYS_RESOURCE */))
		_exit(99);
}

TEST(bpffs_is_not_mounted)
{
	_cleanup_live_ struct live *live = live__begin();

	live__run_otelbpf(&output, without_bpffs, NULL, LOAD_SYSCALLS);
	live__expect_failure(live, &output, EXIT_KERNEL, "mount -t bpf bpf /sys/fs/bpf");
}

TEST(kernel_has_no_btf)
{
	_cleanup_live_ struct live *live = live__begin();

	live__run_otelbpf(&output, without_btf, NULL, LOAD_SYSCALLS);
	live__expect_failure(live, &output, EXIT_KERNEL, "CONFIG_DEBUG_INFO_BTF");
}

TEST(kernel_is_too_old)
{
	_cleanup_live_ struct live *live = live__begin();

	live__run_otelbpf(&output, on_an_old_kernel, NULL, LOAD_SYSCALLS);
	live__expect_failure(live, &output, EXIT_KERNEL, "6.1");
}

TEST(no_privilege)
{
	_cleanup_live_ struct live *live = live__begin();

	live__run_otelbpf(&output, as_nobody, NULL, LOAD_SYSCALLS);
	live__expect_failure(live, &output, EXIT_PERMISSION, "CAP_BPF");
}

/* Programs that are there are not for others to touch. */
TEST(no_privilege_for_what_is_loaded)
{
	static const char *const commands[][5] = {
		{"pause"},
		{"resume"},
		{"unload"},
		{"filter", "add", "pid", "1"},
		{"load", SYSCALLS_OBJECT},
	};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	live__load(live);
	for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
		live__run_otelbpf(&output, as_nobody, NULL, commands[i]);
		if (!EXPECT_EQ(output.code, EXIT_PERMISSION) ||
		    !EXPECT_EQ(live__lines(output.err), 1))
			printf("%s: %s", commands[i][0], output.err);
	}
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 1000);
}

TEST(tracefs_is_not_needed)
{
	_cleanup_live_ struct live *live = live__begin();

	live__run_otelbpf(&output, without_tracefs, NULL, LOAD_SYSCALLS);
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	live__must("unload", "-q");
	EXPECT_LE(live__left_behind(live), 0);
}

/* Harmless since 5.11: memory is charged to the cgroup. */
TEST(memlock_limit_of_zero)
{
	_cleanup_live_ struct live *live = live__begin();

	live__run_otelbpf(&output, without_locked_memory, NULL, LOAD_SYSCALLS);
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	live__must("unload", "-q");
	EXPECT_LE(live__left_behind(live), 0);
}

/* --- the pin directory ------------------------------------------------------------------------ */

TEST(pin_dir_is_not_bpffs)
{
	_cleanup_live_ struct live *live = live__begin();
	char dir[PATH_MAX];

	snprintf(dir, sizeof(dir), "%s/pins", live->tmp);
	live__run_otelbpf(&output, NULL, NULL,
			  (const char *const[]){"load", SYSCALLS_OBJECT, "--pin-dir", dir, NULL});
	live__expect_failure(live, &output, EXIT_KERNEL, "not on bpffs");
	EXPECT_NE(access(dir, F_OK), 0);
	ASSERT_EQ(mkdir(dir, 0700), 0);
	live__run_otelbpf(&output, NULL, NULL,
			  (const char *const[]){"load", SYSCALLS_OBJECT, "--pin-dir", dir, NULL});
	live__expect_failure(live, &output, EXIT_KERNEL, "not on bpffs");
	EXPECT_EQ(rmdir(dir), 0);
}

TEST(pin_dir_is_relative)
{
	_cleanup_live_ struct live *live = live__begin();

	live__run_otelbpf(&output, NULL, NULL,
			  (const char *const[]){"load", SYSCALLS_OBJECT, "--pin-dir", "here",
						NULL});
	live__expect_failure(live, &output, EXIT_USAGE, "absolute");
}

TEST(pin_dir_is_too_long)
{
	_cleanup_live_ struct live *live = live__begin();
	char dir[3000] = "/sys/fs/bpf/";

	memset(dir + strlen(dir), 'x', sizeof(dir) - strlen(dir) - 1);
	dir[sizeof(dir) - 1] = '\0';
	live__run_otelbpf(&output, NULL, NULL,
			  (const char *const[]){"load", SYSCALLS_OBJECT, "--pin-dir", dir, NULL});
	live__expect_failure(live, &output, EXIT_USAGE, NULL);
}

TEST(pin_dir_of_somebody_else)
{
	_cleanup_live_ struct live *live = live__begin();

	ASSERT_EQ(mkdir(live->pin_dir, 0700), 0);
	ASSERT_EQ(chown(live->pin_dir, 4711, 4711), 0);
	live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
	live__expect_failure(live, &output, EXIT_PERMISSION, "4711");
	/* The exporter does not read it either. */
	EXPECT_EQ(live__exporter(&output, "--once", "--output", "stdout"), EXIT_PERMISSION);
	EXPECT_EQ(live__lines(output.err), 1);
}

TEST(pin_dir_that_all_can_write)
{
	_cleanup_live_ struct live *live = live__begin();

	ASSERT_EQ(mkdir(live->pin_dir, 0700), 0);
	ASSERT_EQ(chmod(live->pin_dir, 0777), 0);
	live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
	live__expect_failure(live, &output, EXIT_PERMISSION, "chmod");
}

TEST(pin_dir_is_a_symlink)
{
	_cleanup_live_ struct live *live = live__begin();
	char elsewhere[128];

	snprintf(elsewhere, sizeof(elsewhere), "%s-2", live->pin_dir);
	ASSERT_EQ(mkdir(elsewhere, 0700), 0);
	ASSERT_EQ(symlink(elsewhere, live->pin_dir), 0);
	live__run_otelbpf(&output, NULL, NULL, LOAD_SYSCALLS);
	unlink(live->pin_dir);
	rmdir(elsewhere);
	live__expect_failure(live, &output, EXIT_PERMISSION, "symbolic link");
}

/* --- objects ---------------------------------------------------------------------------------- */

static void *read_object(size_t *size)
{
	int fd = open(SYSCALLS_OBJECT, O_RDONLY);
	struct stat st;
	char *data;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(fstat(fd, &st), 0);
	data = malloc(st.st_size);
	ASSERT_TRUE(data);
	ASSERT_EQ(read(fd, data, st.st_size), st.st_size);
	close(fd);
	*size = st.st_size;
	return data;
}

static void write_object(struct live *live, char path[PATH_MAX], const void *data, size_t size)
{
	int fd;

	snprintf(path, PATH_MAX, "%s/broken.bpf.o", live->tmp);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, data, size), size);
	close(fd);
}

static void load_file(const char *path)
{
	live__run_otelbpf(&output, NULL, NULL, (const char *const[]){"load", path, NULL});
}

TEST(object_is_no_object)
{
	_cleanup_live_ struct live *live = live__begin();
	char path[PATH_MAX];

	load_file("/there/is/no/such/file.bpf.o");
	live__expect_failure(live, &output, EXIT_USAGE, "No such file");
	load_file("no_such_probe");
	live__expect_failure(live, &output, EXIT_USAGE, "no_such_probe");
	load_file("/bad name.bpf.o");
	live__expect_failure(live, &output, EXIT_USAGE, NULL);
	snprintf(path, sizeof(path), "%s/directory.bpf.o", live->tmp);
	ASSERT_EQ(mkdir(path, 0700), 0);
	load_file(path);
	live__expect_failure(live, &output, EXIT_USAGE, "not a file");
	write_object(live, path, "", 0);
	load_file(path);
	live__expect_failure(live, &output, EXIT_LOAD, "empty");
	write_object(live, path, "int main(void) { return 0; }", 28);
	load_file(path);
	live__expect_failure(live, &output, EXIT_LOAD, "not an ELF file");
	load_file("/proc/self/exe");
	live__expect_failure(live, &output, EXIT_LOAD, "not of BPF");
	load_file(OBJECT_DIR "/selftests/progs/churn.bpf.o"); /* maps only */
	live__expect_failure(live, &output, EXIT_LOAD, "no programs");
	load_file(OBJECT_DIR "/selftests/progs/bare.bpf.o");
	live__expect_failure(live, &output, EXIT_LOAD, "otel.bpf.h");
}

TEST_TIMEOUT(object_is_cut, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char path[PATH_MAX];
	size_t size;
	char *data = read_object(&size);

	for (int i = 1; i <= 24; i++) {
		write_object(live, path, data, size * i / 25);
		load_file(path);
		live__expect_failure(live, &output, EXIT_LOAD, "broken.bpf.o");
	}
	write_object(live, path, data, size - 1);
	load_file(path);
	live__expect_failure(live, &output, EXIT_LOAD, "broken.bpf.o");
	free(data);
}

static void environ__append(const char *name, const char *more)
{
	const char *now = getenv(name);
	char value[512];

	snprintf(value, sizeof(value), "%s%s%s", now ? now : "", now ? ":" : "", more);
	setenv(name, value, 1);
}

/* Whatever the library and the kernel make of it: loaded, or refused in one line, never more. */
TEST_TIMEOUT(object_is_garbled, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	char path[PATH_MAX];
	size_t size;
	char *data = read_object(&size);
	int refused = 0;

	/* Where libbpf crashes the loader's guard says so in a line: no report of the sanitizer's.
	 */
	environ__append("ASAN_OPTIONS", "handle_segv=0:handle_sigbus=0:handle_sigfpe=0");
	srand(2);
	for (int i = 0; i < 40; i++) {
		char *copy = malloc(size);

		ASSERT_TRUE(copy);
		memcpy(copy, data, size);
		for (int n = 0; n < 1 << i % 8; n++)
			copy[64 + rand() % (size - 64)] = rand();
		write_object(live, path, copy, size);
		free(copy);
		/* Loaded it would count what everybody does. */
		live__run_otelbpf(&output, NULL, NULL, (const char *const[]){"check", path, NULL});
		EXPECT_GE(output.code, 0);
		EXPECT_LE(live__left_behind(live), 0);
		if (output.code != EXIT_LOAD)
			continue;
		load_file(path);
		if (!output.code) {
			live__must("unload", "-q");
			EXPECT_LE(live__left_behind(live), 0);
			continue;
		}
		refused++;
		EXPECT_TRUE(output.code == EXIT_LOAD || output.code == EXIT_KERNEL ||
			    output.code == EXIT_ATTACH);
		live__expect_failure(live, &output, output.code, "broken");
	}
	printf("%d of 40 refused\n", refused);
	EXPECT_GT(refused, 5);
	free(data);
}

TEST(verifier_refuses)
{
	_cleanup_live_ struct live *live = live__begin();

	load_file(OBJECT_DIR "/selftests/progs/refused.bpf.o");
	live__expect_failure(live, &output, EXIT_LOAD, "refused_fork");
	/* The verifier's own words. */
	EXPECT_TRUE(strstr(output.err, "map_value_or_null"));
}

/* One bad probe does not keep the others from being loaded, and is told. */
TEST(one_of_two_is_refused)
{
	_cleanup_live_ struct live *live = live__begin();
	char path[PATH_MAX];

	live__run_otelbpf(&output, NULL, NULL,
			  (const char *const[]){"load", "-q",
						OBJECT_DIR "/selftests/progs/refused.bpf.o",
						SYSCALLS_OBJECT, NULL});
	EXPECT_EQ(output.code, EXIT_LOAD);
	EXPECT_EQ(live__lines(output.err), 1);
	snprintf(path, sizeof(path), "%s/syscalls/map/meta", live->pin_dir);
	EXPECT_EQ(access(path, F_OK), 0);
	EXPECT_EQ(live__left_behind(live), 1);
	live__must("unload", "-q");
	EXPECT_LE(live__left_behind(live), 0);
}

/* --- the command line ------------------------------------------------------------------------- */

TEST(bad_command_lines)
{
	static const struct {
		const char *args[6];
		int code;
	} bad[] = {
		{{NULL}, EXIT_USAGE},
		{{"lode"}, EXIT_USAGE},
		{{"load", "--sett", "x"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "x"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.per_cgroup"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.per_cgroup=2"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.per_cgroup=-1"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.per_cgroup=yes"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.per_cgroup="}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.per_group=1"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "others.per_cgroup=1"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.calls.max_entries=0"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.calls.max_entries=x"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.meta.max_entries=2"}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--set", "syscalls.calls.max_entries=1000000000"},
		 EXIT_LOAD},
		{{"load", SYSCALLS_OBJECT, SYSCALLS_OBJECT}, EXIT_USAGE},
		{{"load", SYSCALLS_OBJECT, "--json"}, EXIT_USAGE},
		{{"pause", "absent"}, EXIT_MAP},
		{{"resume", "absent"}, EXIT_MAP},
		{{"unload", "absent"}, EXIT_MAP},
		{{"unload", "../absent"}, EXIT_USAGE},
		{{"status", "absent"}, EXIT_MAP},
		{{"filter", "add", "pid", "1"}, EXIT_MAP},
	};
	_cleanup_live_ struct live *live = live__begin();

	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		live__run_otelbpf(&output, NULL, NULL, bad[i].args);
		live__expect_failure(live, &output, bad[i].code, NULL);
		if (output.code != bad[i].code)
			printf("case %zu\n", i);
	}
}

TEST(reports_are_json)
{
	static const char *const commands[][4] = {
		{"status", "-j"},
		{"filter", "list", "-j"},
		{"options", "-j", SYSCALLS_OBJECT},
		{"check", "-j", SYSCALLS_OBJECT},
	};
	_cleanup_live_ struct live *live = live__begin();

	for (int loaded = 0; loaded < 2; loaded++) {
		for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
			_cleanup_json_ struct json_object *json = NULL;

			live__run_otelbpf(&output, NULL, NULL, commands[i]);
			EXPECT_EQ(output.code, 0);
			json = json_tokener_parse(output.out);
			if (!EXPECT_TRUE(json_object_is_type(json, json_type_object)))
				printf("%s: %s%s", commands[i][0], output.out, output.err);
		}
		if (!loaded)
			live__load(live);
	}
}

TEST_MAIN()
