// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the loader may do, what others may do to what it loaded, and whom it does not work for. */
#include <bpf/bpf.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "inject.h"
#include "ktap.h"
#include "live.h"

#define BIT(capability) (1ULL << (capability))
#define NOBODY 65534
#define GROUP_ID 4711
#define REWRITTEN_LOADS 6

static struct output output;

/* --- capabilities ----------------------------------------------------------------------------- */

struct seen {
	pid_t first;
	bool given_up;		/* something was, by now */
	__u64 most;		/* that any process had after that */
	__u64 in_place, at_end; /* when the directory took its place; when the child ended */
	bool bounded, no_new;
};

static __u64 field(const char *text, const char *name, int base)
{
	const char *at = strstr(text, name);

	ASSERT_TRUE(at);
	return strtoull(at + strlen(name), NULL, base);
}

static void look(void *ctx, int pid, long call)
{
	struct seen *seen = ctx;
	char path[64], text[4096] = "";
	__u64 effective;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	ASSERT_GT(fread(text, 1, sizeof(text) - 1, file), 0);
	fclose(file);
	effective = field(text, "CapEff:", 16);
	seen->first = seen->first ? seen->first : pid;
	if (call == SYS_capset)
		seen->given_up = true;
	else if (seen->given_up && call != SYS_capget && call != SYS_prctl) {
		seen->most |= effective | field(text, "CapPrm:", 16) | field(text, "CapInh:", 16);
		seen->bounded &= !(field(text, "CapBnd:", 16) & ~seen->most);
		seen->no_new &= field(text, "NoNewPrivs:", 10);
	}
	if (call == SYS_renameat2 || call == SYS_rename)
		seen->in_place = effective;
	if (pid != seen->first)
		seen->at_end = effective;
}

static struct seen watch(struct live *live, const char *const *argv)
{
	struct seen seen = {.bounded = true, .no_new = true};
	/* Nothing fails: the error says that all calls are steps that could. */
	struct inject inject = {.error = EIO, .each = look, .ctx = &seen};
	char path[PATH_MAX];

	snprintf(path, sizeof(path), "%s/err", live->tmp);
	if (!inject__run(&inject, path, argv))
		SKIP("cannot trace processes here");
	EXPECT_EQ(inject.code, 0);
	EXPECT_TRUE(seen.given_up);
	EXPECT_TRUE(seen.bounded);
	EXPECT_TRUE(seen.no_new);
	return seen;
}

#define LOOK (BIT(CAP_BPF) | BIT(CAP_SYS_ADMIN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_SYS_PTRACE))
#define ATTACH (LOOK | BIT(CAP_PERFMON) | BIT(CAP_NET_ADMIN) | BIT(CAP_CHOWN) | BIT(CAP_FOWNER))
#define LOAD (ATTACH | BIT(CAP_SYSLOG))

/* At each of its system calls. */
TEST(the_loader_gives_up_what_it_does_not_need)
{
	_cleanup_live_ struct live *live = live__begin();
	char filter[PATH_MAX + 16];
	struct seen seen;

	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	seen = watch(live, (const char *const[]){BUILD_DIR "/otelbpf", "load", SYSCALLS_OBJECT,
						 "--filter", filter, NULL});
	EXPECT_EQ(seen.most, LOAD);
	EXPECT_EQ(seen.in_place, ATTACH);
	EXPECT_EQ(seen.at_end, LOOK);
	seen = watch(live,
		     (const char *const[]){BUILD_DIR "/otelbpf", "status", "--measure", "0", NULL});
	EXPECT_EQ(seen.most, LOOK);
	seen = watch(live, (const char *const[]){BUILD_DIR "/otelbpf", "unload", NULL});
	EXPECT_EQ(seen.most, ATTACH);
	EXPECT_LE(live__left_behind(live), 0);
}

static void keep_only(void *ctx)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[2] = {};
	__u64 kept = *(__u64 *)ctx;

	for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(kept & BIT(i)) && prctl(PR_CAPBSET_DROP, i))
			_exit(99);
	for (int i = 0; i < 2; i++) {
		data[i].permitted = data[i].effective = kept >> 32 * i;
		data[i].inheritable = 0;
	}
	if (syscall(SYS_capset, &header, data) || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(99);
}

static const struct {
	const char *name;
	int number;
} capabilities[] = {
	{"CAP_BPF", CAP_BPF},
	{"CAP_PERFMON", CAP_PERFMON},
	{"CAP_SYS_ADMIN", CAP_SYS_ADMIN},
	{"CAP_NET_ADMIN", CAP_NET_ADMIN},
	{"CAP_SYS_PTRACE", CAP_SYS_PTRACE},
	{"CAP_SYSLOG", CAP_SYSLOG},
	{"CAP_CHOWN", CAP_CHOWN},
	{"CAP_FOWNER", CAP_FOWNER},
	{"CAP_DAC_OVERRIDE", CAP_DAC_OVERRIDE},
};

/* The line of the unit that says what there is. */
static __u64 bounding_set(const char *unit)
{
	char line[1024], *word, *save;
	FILE *file = fopen(unit, "re");
	__u64 set = 0;

	/* A virtual machine has the tests only. */
	if (!file)
		return LOAD;
	while (fgets(line, sizeof(line), file)) {
		if (strncmp(line, "CapabilityBoundingSet=", 22))
			continue;
		for (word = strtok_r(line + 22, " \n", &save); word;
		     word = strtok_r(NULL, " \n", &save)) {
			__u64 before = set;

			for (size_t i = 0; i < sizeof(capabilities) / sizeof(capabilities[0]); i++)
				if (!strcmp(word, capabilities[i].name))
					set |= BIT(capabilities[i].number);
			if (!EXPECT_NE(set, before))
				printf("%s is not known here\n", word);
		}
	}
	fclose(file);
	return set;
}

TEST_TIMEOUT(the_units_capabilities_will_do, 60)
{
	__u64 set = bounding_set(SELFTESTS_DIR "/../packaging/systemd/otelbpf.service.in");
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char filter[PATH_MAX + 16];
	__u64 less;

	EXPECT_EQ(set, LOAD);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__run_otelbpf(&output, keep_only, &set,
			  (const char *const[]){"load", SYSCALLS_OBJECT, "--filter", filter, NULL});
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	for (int i = 0; i < 2; i++) {
		static const char *const commands[] = {"pause", "resume"};

		live__run_otelbpf(&output, keep_only, &set,
				  (const char *const[]){commands[i], "-q", NULL});
		EXPECT_EQ(output.code, 0);
	}
	/* Over what is there; its counts stay. */
	live__run_otelbpf(&output, keep_only, &set,
			  (const char *const[]){"load", SYSCALLS_OBJECT, NULL});
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 2000);
	live__run_otelbpf(&output, keep_only, &set, (const char *const[]){"unload", "-q", NULL});
	EXPECT_EQ(output.code, 0);
	EXPECT_LE(live__left_behind(live), 0);

	/* And without these it says so in a line, and leaves nothing. */
	less = set & ~(BIT(CAP_BPF) | BIT(CAP_SYS_ADMIN));
	live__run_otelbpf(&output, keep_only, &less,
			  (const char *const[]){"load", SYSCALLS_OBJECT, NULL});
	live__expect_failure(live, &output, EXIT_PERMISSION, NULL);
}

/* --- somebody else ---------------------------------------------------------------------------- */

static void as_nobody(void *ctx)
{
	gid_t group = ctx ? *(gid_t *)ctx : NOBODY;

	if (setgroups(0, NULL) || setgid(group) || setuid(NOBODY))
		_exit(99);
}

static void copy_file(const char *from, const char *to, mode_t mode)
{
	char data[16384];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	ssize_t n;

	ASSERT_TRUE(in >= 0 && out >= 0);
	while ((n = read(in, data, sizeof(data))) > 0)
		ASSERT_EQ(write(out, data, n), n);
	ASSERT_EQ(fchmod(out, mode), 0);
	close(in);
	close(out);
}

TEST(set_user_id_is_refused)
{
	_cleanup_live_ struct live *live = live__begin();
	char program[PATH_MAX];
	struct statvfs fs;

	ASSERT_EQ(statvfs(live->tmp, &fs), 0);
	if (fs.f_flag & ST_NOSUID)
		SKIP("%s is mounted nosuid", live->tmp);
	snprintf(program, sizeof(program), "%s/otelbpf", live->tmp);
	copy_file(BUILD_DIR "/otelbpf", program, 04755);
	live__run(&output, as_nobody, NULL,
		  (const char *const[]){program, "load", SYSCALLS_OBJECT, NULL});
	live__expect_failure(live, &output, EXIT_PERMISSION, "set-user-id");
}

/* A group otelbpf on this machine, for this test and its children only. */
static void have_group(struct live *live)
{
	char path[PATH_MAX];
	FILE *file;

	snprintf(path, sizeof(path), "%s/group", live->tmp);
	file = fopen(path, "we");
	ASSERT_TRUE(file);
	fprintf(file, "root:x:0:\notelbpf:x:%d:\n", GROUP_ID);
	ASSERT_EQ(fclose(file), 0);
	chmod(path, 0644);
	if (unshare(CLONE_NEWNS) || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) ||
	    mount(path, "/etc/group", NULL, MS_BIND, NULL))
		SKIP("cannot put a file over /etc/group: %s", strerror(errno));
}

static void expect_mode(const char *dir, const char *name, mode_t mode)
{
	char path[PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", dir, name);
	ASSERT_EQ(lstat(path, &st), 0);
	if (!EXPECT_EQ(st.st_mode & 07777, mode) || !EXPECT_EQ(st.st_gid, GROUP_ID) ||
	    !EXPECT_EQ(st.st_uid, 0))
		printf("%s: mode %o, group %u\n", path, st.st_mode, st.st_gid);
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
		as_nobody((void *)&visit->group);
		_exit(try_all(visit));
	}
	return live__wait(pid);
}

TEST(pins_are_the_groups_to_look_at_and_nobodys_to_change)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char dir[128];

	have_group(live);
	live__load(live);
	snprintf(dir, sizeof(dir), "%s/syscalls", live->pin_dir);
	expect_mode(live->pin_dir, "", 0750);
	expect_mode(dir, "", 0750);
	expect_mode(dir, "/map", 0750);
	expect_mode(dir, "/link", 0750);
	expect_mode(dir, "/prog", 0750);
	expect_mode(dir, "/map/calls", 0640);
	expect_mode(dir, "/map/meta", 0640);
	expect_mode(dir, "/prog/sys_enter", 0640);
	EXPECT_EQ(visit(&(struct visit){dir, NOBODY, false}), 0);
	EXPECT_EQ(visit(&(struct visit){dir, GROUP_ID, true}), 0);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 1000);
}

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

/* As nobody, until it is killed: an object is cut in half and whole again, under whoever reads it.
 */
static pid_t start_rewriting(const char *path)
{
	int fd = open(path, O_RDWR | O_CLOEXEC);
	struct stat st;
	char *whole;
	pid_t pid;

	ASSERT_TRUE(fd >= 0 && !fstat(fd, &st));
	whole = malloc(st.st_size);
	ASSERT_TRUE(whole && pread(fd, whole, st.st_size, 0) == st.st_size);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		as_nobody(NULL);
		while (!ftruncate(fd, st.st_size / 2) &&
		       pwrite(fd, whole, st.st_size, 0) == st.st_size)
			;
		_exit(1);
	}
	free(whole);
	close(fd);
	return pid;
}

/* Whose object it is, is for whoever names it; whatever it is, it is loaded whole or not at all. */
TEST_TIMEOUT(an_object_that_somebody_rewrites, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char object[128], filter[PATH_MAX + 16];
	pid_t pid;

	snprintf(object, sizeof(object), "%s/syscalls.bpf.o", live->tmp);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	copy_file(SYSCALLS_OBJECT, object, 0666);
	pid = start_rewriting(object);
	for (int i = 0; i < REWRITTEN_LOADS; i++) {
		live__otelbpf(&output, "load", "-q", object, "--filter", filter);
		if (output.code) {
			live__expect_failure(live, &output, EXIT_LOAD, NULL);
			continue;
		}
		EXPECT_EQ(live__left_behind(live), 1);
		live__must("unload", "-q");
	}
	ASSERT_EQ(kill(pid, SIGKILL), 0);
	EXPECT_EQ(live__wait(pid), -SIGKILL);
}

TEST_MAIN()
