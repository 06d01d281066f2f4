// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the loader may do, and whom it does not work for. */
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"
#include "identity.h"
#include "inject.h"
#include "ktap.h"
#include "live.h"

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
	if (call == SYS_renameat2)
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

#define LOOK                                                                              \
	(CAPABILITY(CAP_BPF) | CAPABILITY(CAP_SYS_ADMIN) | CAPABILITY(CAP_DAC_OVERRIDE) | \
	 CAPABILITY(CAP_SYS_PTRACE))
#define ATTACH                                                                                \
	(LOOK | CAPABILITY(CAP_PERFMON) | CAPABILITY(CAP_NET_ADMIN) | CAPABILITY(CAP_CHOWN) | \
	 CAPABILITY(CAP_FOWNER))
#define LOAD (ATTACH | CAPABILITY(CAP_SYSLOG))

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
					set |= CAPABILITY(capabilities[i].number);
			if (!EXPECT_NE(set, before))
				printf("%s is not known here\n", word);
		}
	}
	fclose(file);
	return set;
}

TEST_TIMEOUT(the_units_capabilities_will_do, 60)
{
	struct identity set = {
		.kept = bounding_set(SELFTESTS_DIR "/../packaging/systemd/otelbpf.service.in")};
	struct identity less = {.kept = set.kept &
					~(CAPABILITY(CAP_BPF) | CAPABILITY(CAP_SYS_ADMIN))};
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	char filter[PATH_MAX + 16];

	EXPECT_EQ(set.kept, LOAD);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__run_otelbpf(&output, identity__take, &set,
			  (const char *const[]){"load", SYSCALLS_OBJECT, "--filter", filter, NULL});
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	for (int i = 0; i < 2; i++) {
		static const char *const commands[] = {"pause", "resume"};

		live__run_otelbpf(&output, identity__take, &set,
				  (const char *const[]){commands[i], "-q", NULL});
		EXPECT_EQ(output.code, 0);
	}
	/* Over what is there; its counts stay. */
	live__run_otelbpf(&output, identity__take, &set,
			  (const char *const[]){"load", SYSCALLS_OBJECT, NULL});
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 2000);
	live__run_otelbpf(&output, identity__take, &set,
			  (const char *const[]){"unload", "-q", NULL});
	EXPECT_EQ(output.code, 0);
	EXPECT_LE(live__left_behind(live), 0);

	/* And without these it says so in a line, and leaves nothing. */
	live__run_otelbpf(&output, identity__take, &less,
			  (const char *const[]){"load", SYSCALLS_OBJECT, NULL});
	live__expect_failure(live, &output, EXIT_PERMISSION, NULL);
}

/* --- somebody else ---------------------------------------------------------------------------- */

TEST(set_user_id_is_refused)
{
	_cleanup_live_ struct live *live = live__begin();
	char program[PATH_MAX];
	struct statvfs fs;

	ASSERT_EQ(statvfs(live->tmp, &fs), 0);
	if (fs.f_flag & ST_NOSUID)
		SKIP("%s is mounted nosuid", live->tmp);
	snprintf(program, sizeof(program), "%s/otelbpf", live->tmp);
	live__copy_file(BUILD_DIR "/otelbpf", program, 04755);
	live__run(&output, identity__nobody, NULL,
		  (const char *const[]){program, "load", SYSCALLS_OBJECT, NULL});
	live__expect_failure(live, &output, EXIT_PERMISSION, "set-user-id");
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
		identity__nobody(NULL);
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
	live__copy_file(SYSCALLS_OBJECT, object, 0666);
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
