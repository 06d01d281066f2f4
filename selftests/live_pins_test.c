// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Whose the pins are: what the exporter's user, its group and anybody else may do to them. */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "hot.h"
#include "identity.h"
#include "inject.h"
#include "ktap.h"
#include "live.h"
#include "map_types.h"
#include "samples.h"

/* Newer architectures have only the other one. */
#ifndef SYS_mkdir
#define SYS_mkdir SYS_mkdirat
#endif

#define USER_ID 4710
#define GROUP_ID 4711

static struct output output;

/* --- the exporter's --------------------------------------------------------------------------- */

static void put_over(struct live *live, const char *name, const char *text)
{
	char path[PATH_MAX], etc[64];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", live->tmp, name);
	snprintf(etc, sizeof(etc), "/etc/%s", name);
	file = fopen(path, "we");
	ASSERT_TRUE(file);
	fputs(text, file);
	ASSERT_EQ(fclose(file), 0);
	chmod(path, 0644);
	if (mount(path, etc, NULL, MS_BIND, NULL))
		SKIP("cannot put a file over %s: %s", etc, strerror(errno));
}

/* A user and a group otelbpf on this machine, for this test and its children only. */
static void have_exporter(struct live *live)
{
	char text[128];

	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL))
		SKIP("no mount namespace: %s", strerror(errno));
	snprintf(text, sizeof(text), "root:x:0:\notelbpf:x:%d:\n", GROUP_ID);
	put_over(live, "group", text);
	snprintf(text, sizeof(text), "root:x:0:0::/:/bin/sh\notelbpf:x:%d:%d::/:/bin/false\n",
		 USER_ID, GROUP_ID);
	put_over(live, "passwd", text);
}

static void expect_pin(const char *dir, const char *name, mode_t mode, uid_t user)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", dir, name);
	ASSERT_EQ(lstat(path, &st), 0);
	if (!EXPECT_EQ(st.st_mode & 07777, mode) || !EXPECT_EQ(st.st_gid, GROUP_ID) ||
	    !EXPECT_EQ(st.st_uid, user))
		printf("%s: mode %o, user %u, group %u\n", path, st.st_mode, st.st_uid, st.st_gid);
}

/**
 * struct visit - what a visitor tries in the pin directory
 * @dir:   the probe's directory
 * @group: whose member it is
 * @looks: it may list what is there
 */
struct visit {
	const char *dir;
	gid_t group;
	bool looks;
};

/* Ends with the number of what it should not have been able to do. */
static int try_all(const struct visit *visit)
{
	char pin[PATH_MAX], other[PATH_MAX];
	int wrong = 0;

	snprintf(pin, sizeof(pin), "%s/map/calls", visit->dir);
	snprintf(other, sizeof(other), "%s/map/other", visit->dir);
	if (!access(visit->dir, R_OK | X_OK) != visit->looks)
		wrong = 1;
	else if (bpf_obj_get(pin) >= 0)
		wrong = 2;
	else if (!unlink(pin))
		wrong = 3;
	else if (!rename(pin, other))
		wrong = 4;
	else if (!symlink("/etc", other) || !mkdir(other, 0700))
		wrong = 5;
	else if (!chmod(pin, 0666) || !chown(pin, NOBODY, -1) || !chmod(visit->dir, 0777))
		wrong = 6;
	else if (!rename(visit->dir, "/sys/fs/bpf/otelbpf-taken") || !rmdir(visit->dir))
		wrong = 7;
	return wrong;
}

static int visit(const struct visit *visit)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		identity__nobody((void *)&visit->group);
		_exit(try_all(visit));
	}
	return live__wait(pid);
}

TEST(pins_are_the_groups_to_look_at_and_nobodys_to_change)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char dir[128];

	have_exporter(live);
	live__load(live);
	snprintf(dir, sizeof(dir), "%s/syscalls", live->pin_dir);
	expect_pin(live->pin_dir, "", 0750, 0);
	expect_pin(dir, "", 0750, 0);
	expect_pin(dir, "/map", 0750, 0);
	expect_pin(dir, "/link", 0750, 0);
	expect_pin(dir, "/prog", 0750, 0);
	expect_pin(dir, "/map/calls", 0640, USER_ID);
	expect_pin(dir, "/map/meta", 0640, USER_ID);
	expect_pin(dir, "/prog/sys_enter", 0640, 0);
	EXPECT_EQ(visit(&(struct visit){dir, NOBODY, false}), 0);
	EXPECT_EQ(visit(&(struct visit){dir, GROUP_ID, true}), 0);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 1000);
}

/* What the loader leaves for the exporter is what the kernel has, and nobody can change it. */
TEST(types_are_copied)
{
	_cleanup_live_ struct live *live = live__begin();
	char pattern[PATH_MAX], data[8] = "";
	const void *types, *copied;
	struct btf *copy, *kernels;
	__u32 size, copied_size, zero = 0, id;
	glob_t found;
	int fd;

	live__load(live);
	snprintf(pattern, sizeof(pattern), "%s/syscalls/map/btf_*", live->pin_dir);
	ASSERT_EQ(glob(pattern, 0, NULL, &found), 0);
	ASSERT_EQ(found.gl_pathc, 1);
	id = strtoul(strstr(found.gl_pathv[0], "btf_") + strlen("btf_"), NULL, 10);
	fd = bpf_obj_get(found.gl_pathv[0]);
	ASSERT_GE(fd, 0);
	EXPECT_EQ(bpf_map_update_elem(fd, &zero, data, BPF_ANY), -1);
	EXPECT_EQ(errno, EPERM);
	close(fd);
	copy = map_types__load(found.gl_pathv[0], id);
	kernels = btf__load_from_kernel_by_id(id);
	ASSERT_TRUE(copy && kernels);
	types = btf__raw_data(kernels, &size);
	copied = btf__raw_data(copy, &copied_size);
	ASSERT_EQ(copied_size, size);
	EXPECT_EQ(memcmp(copied, types, size), 0);
	btf__free(copy);
	btf__free(kernels);
	globfree(&found);
}

/* For 1.2 seconds, three exports. @file: gets where it tells; 160 bytes. */
static void run_exporter(struct live *live, struct identity *identity, const char *symbols,
			 char *file)
{
	char program[PATH_MAX], dir[128], spec[192];

	/* Who may not enter the directory of the build runs a copy. */
	snprintf(program, sizeof(program), "%s/otelbpf-exporter", live->tmp);
	live__copy_file(BUILD_DIR "/otelbpf-exporter", program, 0755);
	snprintf(dir, sizeof(dir), "%s/told", live->tmp);
	snprintf(file, 160, "%s/requests", dir);
	snprintf(spec, sizeof(spec), "file:%s", file);
	ASSERT_EQ(mkdir(dir, 0700), 0);
	ASSERT_EQ(chown(dir, identity->user, identity->group), 0);
	live__run(&output, identity__take, identity,
		  (const char *const[]){program, "--interval", "500ms", "--duration", "1200ms",
					"--symbols", symbols, "--output", spec, NULL});
	EXPECT_EQ(output.code, 0);
	EXPECT_STREQ(output.err, "");
}

/*
 * It reads, takes out the entries of a cgroup that is gone, and closes windows; with the one
 * capability without which the kernel lets nobody touch a map.
 */
TEST_TIMEOUT(an_exporter_needs_but_one_capability, 60)
{
	struct identity identity = {USER_ID, GROUP_ID, CAPABILITY(CAP_BPF)};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	char file[160];
	struct received received = {};
	__u64 samples, cgroup, told;
	struct hot hot = {};
	int cut = 0;

	have_exporter(live);
	live__load(live);
	hot__load(live);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	hot__run(&hot, live, "300");
	samples = received__samples_now(live);
	EXPECT_GT(samples, 0);
	cgroup = live__cgroup_id(live, "a");
	EXPECT_GT(live__entries(live, "calls", cgroup), 0);
	live__remove_cgroup(live, "a");

	run_exporter(live, &identity, "none", file);
	requests = live__read_lines(file, &cut);
	/* Once in each export until the receiver has it. */
	told = otlp_json__total(requests, "system.syscall.duration", "syscall.name", "getppid");
	EXPECT_GT(told, 0);
	EXPECT_EQ(told % 1000, 0);
	EXPECT_GT(otlp_json__total(requests, "otelbpf.probe.memory.usage", "otelbpf.memory.type",
				   "program"),
		  0);
	profiles__for_each(requests, received__add, &received);
	free(received.seen);
	EXPECT_EQ(received.total, samples);
	EXPECT_EQ(received__samples_now(live), 0);
	EXPECT_EQ(live__entries(live, "calls", cgroup), 0);
}

/* Of processes of others, and of the kernel. */
TEST_TIMEOUT(and_two_more_for_names, 60)
{
	struct identity identity = {USER_ID, GROUP_ID,
				    CAPABILITY(CAP_BPF) | CAPABILITY(CAP_SYS_PTRACE) |
					    CAPABILITY(CAP_SYSLOG)};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	struct weight weights[] = {{.name = "hot_a"}};
	struct hot hot = {};
	char file[160];
	int cut = 0;

	have_exporter(live);
	hot__load(live);
	hot__start(&hot, live, "60000", NULL);
	run_exporter(live, &identity, "names", file);
	kill(hot.pid, SIGKILL);
	EXPECT_EQ(live__wait(hot.pid), -SIGKILL);
	requests = live__read_lines(file, &cut);
	EXPECT_GT(profiles__weigh(requests, "hot", "samples", weights, 1), 0);
	EXPECT_GT(weights[0].value, 0);
}

/* --- somebody else ---------------------------------------------------------------------------- */

static void load_into(const char *dir)
{
	live__run_otelbpf(&output, NULL, NULL,
			  (const char *const[]){"load", SYSCALLS_OBJECT, "--pin-dir", dir, NULL});
}

/* Whoever can rename the directory above, or a link on the way, decides what the pins are. */
TEST(pin_dir_below_somebody_elses)
{
	_cleanup_live_ struct live *live = live__begin();
	char theirs[128], pins[160], link[128];

	snprintf(theirs, sizeof(theirs), "%s/theirs", live->shared_dir);
	snprintf(pins, sizeof(pins), "%s/pins", theirs);
	ASSERT_EQ(mkdir(theirs, 0755), 0);
	ASSERT_EQ(chown(theirs, NOBODY, NOBODY), 0);
	load_into(pins);
	live__expect_failure(live, &output, EXIT_PERMISSION, "65534");
	ASSERT_EQ(mkdir(pins, 0700), 0);
	load_into(pins);
	live__expect_failure(live, &output, EXIT_PERMISSION, "65534");
	EXPECT_EQ(live__exporter(&output, "--once", "--output", "stdout", "--pin-dir", pins),
		  EXIT_PERMISSION);
	EXPECT_EQ(live__lines(output.err), 1);
	ASSERT_EQ(chown(theirs, 0, 0), 0);
	ASSERT_EQ(chmod(theirs, 0777), 0);
	load_into(pins);
	live__expect_failure(live, &output, EXIT_PERMISSION, "chmod go-w");
	ASSERT_EQ(chmod(theirs, 0755), 0);

	snprintf(link, sizeof(link), "%s/link", live->tmp);
	ASSERT_EQ(symlink(theirs, link), 0);
	ASSERT_EQ(lchown(link, NOBODY, NOBODY), 0);
	snprintf(pins, sizeof(pins), "%s/pins", link);
	load_into(pins);
	live__expect_failure(live, &output, EXIT_PERMISSION, "65534");
	snprintf(pins, sizeof(pins), "%s/pins", theirs);
	ASSERT_EQ(rmdir(pins), 0);
	ASSERT_EQ(rmdir(theirs), 0);
}

/**
 * struct rival - somebody else who makes the pin directory while a load is about to
 * @dir:  in which everybody may, as in bpffs by default
 * @link: a symbolic link there, to this directory; NULL: a directory
 * @came: it has been made
 */
struct rival {
	int dir;
	const char *link;
	bool came;
};

static void come_first(void *ctx, int pid, long call)
{
	struct rival *rival = ctx;

	(void)pid;
	if (rival->came || (call != SYS_mkdir && call != SYS_mkdirat))
		return;
	ASSERT_EQ(seteuid(NOBODY), 0);
	if (rival->link)
		ASSERT_EQ(symlinkat(rival->link, rival->dir, "pins"), 0);
	else
		ASSERT_EQ(mkdirat(rival->dir, "pins", 0700), 0);
	ASSERT_EQ(seteuid(0), 0);
	rival->came = true;
}

/* Between the look at a directory that is not there and making it, somebody else makes it. */
TEST_TIMEOUT(somebody_else_makes_the_pin_dir_first, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char everybodys[128], theirs[160], pins[160], filter[PATH_MAX + 16], err[PATH_MAX];
	const char *const argv[] = {BUILD_DIR "/otelbpf",
				    "load",
				    SYSCALLS_OBJECT,
				    "--filter",
				    filter,
				    "--pin-dir",
				    pins,
				    NULL};
	struct rival rivals[] = {{.link = NULL}, {.link = theirs}};
	struct stat st;

	snprintf(err, sizeof(err), "%s/err", live->tmp);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	snprintf(everybodys, sizeof(everybodys), "%s/everybodys", live->shared_dir);
	snprintf(pins, sizeof(pins), "%s/pins", everybodys);
	snprintf(theirs, sizeof(theirs), "%s/theirs", everybodys);
	ASSERT_EQ(mkdir(everybodys, 0700), 0);
	ASSERT_EQ(chmod(everybodys, 01777), 0);
	ASSERT_EQ(mkdir(theirs, 0700), 0);
	ASSERT_EQ(chown(theirs, NOBODY, NOBODY), 0);
	for (size_t i = 0; i < sizeof(rivals) / sizeof(rivals[0]); i++) {
		struct inject inject = {.error = EIO, .each = come_first, .ctx = &rivals[i]};

		rivals[i].dir = open(everybodys, O_PATH | O_DIRECTORY | O_CLOEXEC);
		ASSERT_GE(rivals[i].dir, 0);
		if (!inject__run(&inject, err, argv))
			SKIP("cannot trace processes here");
		close(rivals[i].dir);
		EXPECT_TRUE(rivals[i].came);
		EXPECT_EQ(inject.code, EXIT_PERMISSION);
		if (rivals[i].link)
			EXPECT_EQ(unlink(pins), 0);
		else /* empty, or removed as such */
			EXPECT_TRUE(!rmdir(pins) || errno == ENOENT);
	}
	ASSERT_EQ(stat(theirs, &st), 0);
	EXPECT_EQ(st.st_mode & 07777, 0700);
	EXPECT_EQ(st.st_gid, NOBODY);
	EXPECT_EQ(rmdir(theirs), 0); /* so it is empty */
	ASSERT_EQ(rmdir(everybodys), 0);
}

TEST_MAIN()
