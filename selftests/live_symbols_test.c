// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Names of functions, from the sample in the kernel to what a receiver got: programs of several
 * languages and ways of linking tell how much CPU time they spent in which function, and the
 * profile says the same. They have exited before the exporter looks, unless a test says otherwise.
 */
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <unistd.h>

#include "ktap.h"
#include "samples.h"

/* A timer that is late counts for all its periods in one place: an emulated one takes longer to
 * even that out. */
#define MILLISECONDS (is_emulated() ? "4000" : "1000")
#define HZ 997
#define TOOLS BUILD_DIR "/selftests/tools"

/* Through a Collector where there is one. */
static struct json_object *export(struct live *live)
{
	_cleanup_collector_ struct collector *collector = collector__start_profiles();
	static struct output output;
	struct json_object *requests;

	if (!collector) {
		ASSERT_EQ(errno, ENOENT);
		printf("no Collector: from a file\n");
		return live__export_file(live);
	}
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector__http_url(collector), 1);
	if (live__exporter(&output, "--once"))
		fprintf(stderr, "%s", output.err);
	ASSERT_EQ(output.code, 0);
	requests = collector__lines(collector, "resourceProfiles");
	ASSERT_TRUE(requests);
	return requests;
}

/*
 * The first function is main(). Much of the time of a process that is gone in milliseconds is
 * its execve(2), which has the old name up to some point in the middle: @in_main counts from
 * main().
 */
static void expect_shares(struct json_object *requests, const char *program,
			  const struct truth *truth, bool in_main)
{
	double all = in_main ? truth->values[0] : truth->total;
	struct weight weights[TRUTHS_MAX];
	__u64 total;

	for (int i = 0; i < truth->n; i++)
		weights[i] = (struct weight){.name = truth->names[i]};
	total = profiles__weigh(requests, program, "samples", weights, truth->n);
	ASSERT_GT(total, 0);
	printf("%s: %llu samples\n", program, (unsigned long long)total);
	total = in_main ? weights[0].value : total;
	for (int i = 0; i < truth->n; i++) {
		double share = 100.0 * weights[i].value / total;
		double real = 100.0 * truth->values[i] / all;

		printf("  %.2f %%, %.2f %% expected: %s\n", share, real, weights[i].name);
		EXPECT_LE(fabs(share - real), 3);
	}
}

/* Where timers are as late as they like, and shares are what other tests are for. */
static void expect_names(struct json_object *requests, const char *program,
			 const struct truth *truth)
{
	for (int i = 0; i < truth->n; i++) {
		struct weight weight = {.name = truth->names[i]};

		EXPECT_GT(profiles__weigh(requests, program, "samples", &weight, 1), 0);
		EXPECT_GT(weight.value, 0);
	}
}

/* --- programs --------------------------------------------------------------------------------- */

#define PROGRAMS_MAX 4

/**
 * struct round - programs to run while the probe is loaded
 * @programs: their names
 * @run:      runs one of them and fills in what it said
 */
struct round {
	const char *const *programs;
	void (*run)(struct live *live, const char *program, struct truth *truth);
};

static void run_once(struct live *live, const char *program, struct truth *truth)
{
	truth__start(truth, live, false, program, MILLISECONDS);
	truth__wait(truth);
}

/* Runs the programs, one after the other, and exports. */
static struct json_object *measure(struct live *live, const struct round *round,
				   struct truth *truths)
{
	char filter[PATH_MAX + 16], frequency[32];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	snprintf(frequency, sizeof(frequency), "cpu.frequency=%d", HZ);
	live__must("load", "-q", CPU_OBJECT, "--set", frequency, "--filter", filter);
	for (int i = 0; round->programs[i]; i++) {
		ASSERT_LT(i, PROGRAMS_MAX);
		round->run(live, round->programs[i], &truths[i]);
	}
	return export(live);
}

static void expect_no_names(struct json_object *requests, const char *program,
			    const struct truth *truth)
{
	struct weight weights[TRUTHS_MAX];

	for (int i = 0; i < truth->n; i++)
		weights[i] = (struct weight){.name = truth->names[i]};
	EXPECT_GT(profiles__weigh(requests, program, "samples", weights, truth->n), 0);
	for (int i = 0; i < truth->n; i++)
		EXPECT_EQ(weights[i].value, 0);
}

/* All of them are exported together. */
static void expect_programs(const char *const *programs)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct truth truths[PROGRAMS_MAX];

	requests = measure(live, &(struct round){programs, run_once}, truths);
	for (int i = 0; programs[i]; i++)
		expect_shares(requests, programs[i], &truths[i], false);
}

/* Statically linked; templates; a library that was closed again; a debug file by its link. */
TEST_TIMEOUT(programs_of_many_kinds, 60)
{
	expect_programs(
		(const char *const[]){"burn_c", "burn_cpp", "burn_dlopen", "burn_link", NULL});
}

/* Names as compilers have made them until lately, and as they make them now. */
TEST_TIMEOUT(rust, 60)
{
	if (access(TOOLS "/burn_rust", X_OK))
		SKIP("there was no rustc when the tests were built");
	expect_programs((const char *const[]){"burn_rust", "burn_rust_v0", NULL});
}

#define PROCESSES 50

static void run_many(struct live *live, const char *program, struct truth *all)
{
	static struct truth one;

	for (int i = 0; i < PROCESSES; i++) {
		char ms[16];

		/* Of different length, so that they do not run in step with the timer. */
		snprintf(ms, sizeof(ms), "%d", 33 + i * 7 % 61);
		truth__start(&one, live, false, program, ms);
		truth__wait(&one);
		if (!i) {
			*all = one;
			continue;
		}
		ASSERT_EQ(all->n, one.n);
		all->total += one.total;
		for (int k = 0; k < all->n; k++)
			all->values[k] += one.values[k];
	}
}

/* As many processes as short-lived ones are, none of which is seen by the exporter. */
TEST_TIMEOUT(short_lived, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct truth all;

	requests = measure(live, &(struct round){(const char *const[]){"burn_c", NULL}, run_many},
			   &all);
	expect_shares(requests, "burn_c", &all, true);
}

/* A stripped program, and its debug file in the place for such files. */
TEST_TIMEOUT(debug_file_by_build_id, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *without = NULL, *with = NULL;
	static struct truth truth;

	without = measure(live, &(struct round){(const char *const[]){"burn_id", NULL}, run_once},
			  &truth);
	expect_no_names(without, "burn_id", &truth);

	/* For us and our children alone. */
	ASSERT_EQ(unshare(CLONE_NEWNS), 0);
	ASSERT_EQ(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL), 0);
	if (access("/usr/lib/debug", F_OK)) {
		if (!is_emulated())
			SKIP("there is no /usr/lib/debug");
		ASSERT_EQ(system("mkdir -p /usr/lib/debug"), 0);
	}
	ASSERT_EQ(mount(TOOLS "/debug", "/usr/lib/debug", NULL, MS_BIND, NULL), 0);
	with = export(live);
	expect_shares(with, "burn_id", &truth, false);
}

/* It waits at its end, and ends with the test; @last is the last function that it tells of. */
static void run_until(struct live *live, const char *program, struct truth *truth, const char *last)
{
	truth__start(truth, live, true, program, MILLISECONDS);
	while (!truth__read(truth, last))
		usleep(10000);
}

static void run_waiting(struct live *live, const char *program, struct truth *truth)
{
	run_until(live, program, truth, "own");
}

static void run_jit(struct live *live, const char *program, struct truth *truth)
{
	run_until(live, program, truth, "made_third");
}

/* A plugin from a directory that has no programs: found in a process that still maps it. */
TEST_TIMEOUT(plugin_of_a_living_process, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	char library[PATH_MAX], command[2 * PATH_MAX];
	static struct truth truth;

	snprintf(library, sizeof(library), "%s/plugin.so", live->tmp);
	snprintf(command, sizeof(command), "cp %s/libburn.so %s", TOOLS, library);
	ASSERT_EQ(system(command), 0);
	setenv("BURN_LIBRARY", library, 1);
	setenv("BURN_WAIT", "1", 1);
	requests = measure(live,
			   &(struct round){(const char *const[]){"burn_dlopen", NULL}, run_waiting},
			   &truth);
	truth__wait(&truth);
	expect_shares(requests, "burn_dlopen", &truth, false);
}

/* Code that is in no file, and the list that tells its names. */
TEST_TIMEOUT(code_made_at_run_time, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static struct truth truth;

	requests = measure(live, &(struct round){(const char *const[]){"burn_jit", NULL}, run_jit},
			   &truth);
	truth__wait(&truth);
	if (is_emulated())
		expect_names(requests, "burn_jit", &truth);
	else
		expect_shares(requests, "burn_jit", &truth, false);
	EXPECT_TRUE(strstr(json_object_to_json_string(requests), "\"jit\""));
}

TEST_MAIN_ALONE()
