// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A loader that is killed at any of its steps, and one whose system calls fail: the next command
 * goes on from there, what was counted stays, and after an unload nothing is left in the kernel.
 *
 * Every step of every command is some thousand runs: FAULT_EVERY=1, or in parts FAULT_EVERY=3 with
 * FAULT_FROM=0, 1 and 2, of one command by FAULT_COMMAND=NAME. By default it is a spread.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "fail.h"
#include "inject.h"
#include "ktap.h"
#include "live.h"

#define EVERY_HERE 701
#define EVERY_EMULATED 1301
#define OBJECT OBJECT_DIR "/selftests/progs/faulty.bpf.o"
#define NAME_LEN 8 /* "f0000000" */

static struct output output;
static char err_path[PATH_MAX], filter[PATH_MAX + 16], object[PATH_MAX];
static char program[NAME_LEN + 1];

/* --- the probe -------------------------------------------------------------------------------- */

/* Its programs have a name of this test's own. */
static void make_object(struct live *live)
{
	char *data = malloc(1 << 20), *at;
	FILE *from = fopen(OBJECT, "re"), *to;
	size_t size;

	ASSERT_TRUE(from && data);
	size = fread(data, 1, 1 << 20, from);
	fclose(from);
	snprintf(program, sizeof(program), "f%07u", (unsigned int)getpid() % 10000000);
	for (at = data; (at = memmem(at, data + size - at, "f0000000", NAME_LEN)); at += NAME_LEN)
		memcpy(at, program, NAME_LEN);
	snprintf(object, sizeof(object), "%s/faulty.bpf.o", live->tmp);
	to = fopen(object, "we");
	ASSERT_TRUE(to);
	ASSERT_EQ(fwrite(data, 1, size, to), size);
	ASSERT_EQ(fclose(to), 0);
	free(data);
}

static void configure(struct live *live, int step, const char *more)
{
	FILE *file = fopen(getenv("OTELBPF_CONFIG"), "we");

	ASSERT_TRUE(file);
	fprintf(file,
		"probes:\n  faulty:\n    options:\n      step: %d\n    filters:\n"
		"      cgroup: %s\n%s",
		step, live->cgroup, more);
	ASSERT_EQ(fclose(file), 0);
}

/* Interfaces of its own: its "lo" is nobody else's. */
static void prepare(struct live *live)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	char path[PATH_MAX];
	int fd;

	ASSERT_EQ(unshare(CLONE_NEWNET), 0);
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	ASSERT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	close(fd);
	make_object(live);
	snprintf(err_path, sizeof(err_path), "%s/err", live->tmp);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	snprintf(path, sizeof(path), "%s/otelbpf.yaml", live->tmp);
	setenv("OTELBPF_CONFIG", path, 1);
	setenv("OTELBPF_PROBES", live->tmp, 1);
	umask(022);
}

/* One execution in the cgroup. */
static void execute(struct live *live)
{
	static struct output said;

	live__run(&said, live__join, live,
		  (const char *const[]){BUILD_DIR "/selftests/tools/workload", "mix", "1", NULL});
	ASSERT_EQ(said.code, 0);
}

/* -1: it is not there. */
static long count(struct live *live)
{
	__u64 key = 0, *values = calloc(libbpf_num_possible_cpus(), sizeof(*values)), *last = NULL;
	char path[128];
	long sum = 0;
	int fd;

	snprintf(path, sizeof(path), "%s/faulty/map/execs", live->pin_dir);
	fd = bpf_obj_get(path);
	for (; fd >= 0 && !bpf_map_get_next_key(fd, last, &key); last = &key)
		if (key != ~0ULL && !bpf_map_lookup_elem(fd, &key, values))
			for (int i = 0; i < libbpf_num_possible_cpus(); i++)
				sum += values[i];
	if (fd >= 0)
		close(fd);
	free(values);
	return fd < 0 ? -1 : sum;
}

/* Programs that live on, by their name: whoever holds one, a link or a pin. */
static int programs_left(void)
{
	__u32 id = 0;
	int n = 0;

	while (!bpf_prog_get_next_id(id, &id)) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		int fd = bpf_prog_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (!bpf_obj_get_info_by_fd(fd, &info, &len))
			n += !strncmp(info.name, program, NAME_LEN);
		close(fd);
	}
	return n;
}

/* The kernel frees them behind a grace period. */
static bool is_nothing_left(struct live *live)
{
	bool ok = EXPECT_LE(live__left_behind(live), 0);

	for (int tries = 0; tries < 1000 && programs_left(); tries++)
		usleep(10000);
	return EXPECT_EQ(programs_left(), 0) && ok;
}

/* --- commands --------------------------------------------------------------------------------- */

/**
 * struct command - one whose steps are gone through
 * @name:   for messages
 * @args:   its arguments; it has to succeed when it is done again, too
 * @loaded: over a probe that is loaded
 * @before: command that comes before, or NULL
 * @keeps:  what was counted stays
 * @runs:   afterwards, and if it fails, the probe counts
 * @step:   what an execution counts afterwards; 0: the probe is gone, or paused
 */
struct command {
	const char *name;
	const char *args[10];
	bool loaded;
	const char *before;
	bool keeps;
	bool runs;
	int step;
};

static const struct command commands[] = {
	{.name = "load", .args = {"load", object, "--filter", filter}, .step = 1},
	{.name = "upgrade",
	 .args = {"load", object},
	 .loaded = true,
	 .keeps = true,
	 .runs = true,
	 .step = 1},
	{.name = "replace",
	 .args = {"load", object, "--filter", filter, "--replace", "--set",
		  "faulty.execs.max_entries=32"},
	 .loaded = true,
	 .runs = true,
	 .step = 1},
	{.name = "reload",
	 .args = {"reload"},
	 .loaded = true,
	 .keeps = true,
	 .runs = true,
	 .step = 2},
	{.name = "pause", .args = {"pause"}, .loaded = true, .keeps = true},
	{.name = "resume",
	 .args = {"resume"},
	 .loaded = true,
	 .before = "pause",
	 .keeps = true,
	 .step = 1},
	{.name = "unload", .args = {"unload"}, .loaded = true},
};
#define COMMANDS (sizeof(commands) / sizeof(commands[0]))

static void with_program(const struct command *command, const char *argv[12])
{
	int n = 1;

	argv[0] = BUILD_DIR "/otelbpf";
	for (; command->args[n - 1]; n++)
		argv[n] = command->args[n - 1];
	argv[n] = NULL;
}

static void begin(struct live *live, const struct command *command)
{
	configure(live, 1, "");
	if (command->loaded) {
		live__must("load", "-q");
		execute(live);
		ASSERT_EQ(count(live), 1);
	}
	if (command->before)
		live__must(command->before, "-q");
	configure(live, 2, "      comm: workload\n");
}

static void read_err(char text[4096])
{
	int fd = open(err_path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, 4095);

	text[n < 0 ? 0 : n] = '\0';
	close(fd);
}

/* What a command says that did not succeed: lines of ours, and not that something crashed. */
static bool is_said_well(const struct inject *inject, const char *err)
{
	bool ok = EXPECT_GT(inject->code, 0) && EXPECT_LE(inject->code, EXIT_CONFIG);

	ok &= EXPECT_GE(live__lines(err), 1) && EXPECT_LE(live__lines(err), 6);
	for (const char *line = err; *line && ok; line = strchr(line, '\n') + 1)
		ok &= EXPECT_TRUE(!strncmp(line, "otelbpf: ", 9));
	return ok && EXPECT_FALSE(strstr(err, "crashes")) && EXPECT_FALSE(strstr(err, "corrupt"));
}

/* From whatever is there now, on. */
static bool goes_on(struct live *live, const struct command *command, const char **argv,
		    long counted)
{
	bool ok;
	long now;

	live__run(&output, NULL, NULL, argv);
	ok = EXPECT_EQ(output.code, 0);
	if (!ok)
		printf("the same again: %s", output.err);
	now = count(live);
	if (command->keeps)
		ok &= EXPECT_EQ(now, counted);
	if (command->step) {
		execute(live);
		ok &= EXPECT_EQ(count(live), now + command->step);
		ok &= EXPECT_EQ(live__left_behind(live), 1);
	}
	return ok;
}

static bool one_fault(struct live *live, const struct command *command, struct inject *inject,
		      bool unload_at_once)
{
	char err[4096] = "";
	const char *argv[12];
	bool ok = true;
	long counted;

	begin(live, command);
	with_program(command, argv);
	if (!inject__run(inject, err_path, argv))
		SKIP("cannot trace processes here");
	read_err(err);
	counted = command->loaded ? 1 : 0;
	if (inject->how == INJECT_ERROR && inject->code)
		ok &= is_said_well(inject, err);
	/* What failed has left what was there as it was, or it has said so. */
	if (ok && inject->how == INJECT_ERROR && command->runs && !strstr(err, "otelbpf resume")) {
		long before = count(live);

		execute(live);
		counted = count(live);
		ok &= EXPECT_GT(counted, before);
	}
	if (ok && !unload_at_once)
		ok &= goes_on(live, command, argv, counted);
	live__run_otelbpf(&output, NULL, NULL, (const char *const[]){"unload", "-q", NULL});
	if (!EXPECT_EQ(output.code, 0)) {
		printf("unload: %s", output.err);
		ok = false;
	}
	ok &= is_nothing_left(live);
	if (!ok)
		printf("%s: step %d, %s(), %s: ended with %d\n%s\n", command->name, inject->step,
		       inject__call_name(inject->call),
		       inject->how == INJECT_ERROR ? strerrorname_np(inject->error) : "killed",
		       inject->code, err);
	return ok;
}

/* --- steps ------------------------------------------------------------------------------------ */

struct fault {
	enum inject_how how;
	int error;
};

static int count_steps(struct live *live, const struct command *command, struct inject *inject)
{
	const char *argv[12];

	begin(live, command);
	with_program(command, argv);
	if (!inject__run(inject, err_path, argv))
		SKIP("cannot trace processes here");
	EXPECT_EQ(inject->code, 0);
	live__must("unload", "-q");
	return inject->steps;
}

static int every(void)
{
	const char *text = getenv("FAULT_EVERY");

	if (text && atoi(text) > 0)
		return atoi(text);
	return getenv("KTAP_TIMEOUT_FACTOR") ? EVERY_EMULATED : EVERY_HERE;
}

/* All steps of all commands with each of the faults are in one row, of which each nth is done. */
static void go_through(const struct fault *faults, int n)
{
	_cleanup_live_ struct live *live = live__begin();
	const char *only = getenv("FAULT_COMMAND"), *from = getenv("FAULT_FROM");
	int all = 0, done = 0, failed = 0, skip = every(), first = from ? atoi(from) % skip : 0;

	prepare(live);
	for (size_t i = 0; i < COMMANDS; i++) {
		struct inject count = {.how = INJECT_NOTHING, .error = faults[0].error};
		int steps;

		if (only && strcmp(only, commands[i].name))
			continue;
		steps = count_steps(live, &commands[i], &count);
		printf("%s: %d steps\n", commands[i].name, steps);
		EXPECT_GT(steps, 10);
		for (int f = 0; f < n; f++)
			for (int step = 1; step <= steps; step++) {
				struct inject inject = {.how = faults[f].how,
							.error = faults[f].error,
							.step = step};

				if (all++ % skip != first)
					continue;
				done++;
				failed += !one_fault(live, &commands[i], &inject, step % 3 == 0);
				ASSERT_LT(failed, 20);
			}
	}
	printf("%d of %d faults, %d failed\n", done, all, failed);
	EXPECT_GT(done, 0);
}

TEST_TIMEOUT(killed_at_each_step, 3600)
{
	static const struct fault faults[] = {{INJECT_KILL, 0}, {INJECT_KILL_ALL, 0}};

	go_through(faults, 2);
}

TEST_TIMEOUT(each_step_fails, 3600)
{
	static const struct fault faults[] = {
		{INJECT_ERROR, EIO}, {INJECT_ERROR, ENOMEM}, {INJECT_ERROR, EPERM}};

	go_through(faults, 3);
}

#define BEFORE 6 /* opening the pin, finding the network namespace, a socket */
#define AFTER 1

struct first {
	long call;
	int steps;
	int step;
};

static void note_first(void *ctx, int pid, long call)
{
	struct first *first = ctx;

	(void)pid;
	first->steps++;
	if (call == first->call && !first->step)
		first->step = first->steps;
}

/* Without tcx, that is before 6.6, the program on an interface has no link: netlink detaches it. */
TEST_TIMEOUT(filter_is_not_forgotten, 120)
{
	_cleanup_live_ struct live *live = live__begin();
	const struct command *unload = &commands[COMMANDS - 1];
	struct first first = {.call = SYS_bind};
	struct inject count = {
		.how = INJECT_NOTHING, .error = EIO, .each = note_first, .ctx = &first};

	prepare(live);
	count_steps(live, unload, &count);
	if (!first.step)
		SKIP("programs on interfaces have links here");
	for (int step = first.step - BEFORE; step <= first.step + AFTER; step++) {
		struct inject inject = {.how = INJECT_ERROR, .error = EIO, .step = step};

		EXPECT_TRUE(one_fault(live, unload, &inject, step % 2));
	}
}

TEST_MAIN()
