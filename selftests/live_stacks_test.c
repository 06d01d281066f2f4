// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * More stacks than there is room for: what is not there is counted, and neither the kernel's
 * memory nor the exporter's grows beyond its bound.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <glob.h>
#include <otelbpf/profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fdinfo.h"
#include "ktap.h"
#include "samples.h"

#define STACKS 20000
#define TEXT_OF(number) #number
#define TEXT(number) TEXT_OF(number)

static __u64 losses(struct json_object *requests, const char *reason)
{
	return otlp_json__total(requests, "otelbpf.losses", "otelbpf.loss.reason", reason);
}

static long long truth__value(const struct truth *truth, const char *name)
{
	for (int i = 0; i < truth->n; i++)
		if (!strcmp(truth->names[i], name))
			return truth->values[i];
	ASSERT_STREQ(name, "in what the program said");
	return 0;
}

/* --- distinct stacks -------------------------------------------------------------------------- */

/* Below leaf() there is one function for each of 15 bits, or two. */
#define DEPTH_MIN (2 * 15)

/**
 * struct distinct - the program's stacks
 * @n:        how many are whole
 * @unnamed:  of these, those without names: when the kernel cannot get at a process's mappings
 *            (its lock is taken, or still to be released after the sample before) there are
 *            addresses instead of build ids, and these mean nothing once the process has gone
 * @with:     value of samples that have one of these; @without: of the others
 */
struct distinct {
	size_t n, unnamed;
	__u64 with, without;
};

static bool has_leaf(struct json_object *dictionary, struct json_object *stack)
{
	struct json_object *index, *line;

	for_each_of(index, json__get(stack, "locationIndices"))
	{
		struct json_object *location = json_object_array_get_idx(
			json__get(dictionary, "locationTable"), json_object_get_int64(index));

		for_each_of(line, json__get(location, "lines"))
		{
			struct json_object *function =
				json_object_array_get_idx(json__get(dictionary, "functionTable"),
							  otlp_json__u64(line, "functionIndex"));
			struct json_object *name =
				json_object_array_get_idx(json__get(dictionary, "stringTable"),
							  otlp_json__u64(function, "nameStrindex"));

			if (name && !strcmp(json_object_get_string(name), "leaf"))
				return true;
		}
	}
	return false;
}

/* Samples of one profile differ in their stack: as many stacks as samples. */
static void count_distinct(struct json_object *dictionary, struct json_object *resource,
			   struct json_object *profile, void *ctx)
{
	const char *name = profiles__attr(dictionary, resource, "process.executable.name");
	struct distinct *distinct = ctx;
	struct json_object *sample;

	/* Without a process: the overflow entry, which has no attributes. */
	if (name && strcmp(name, "stacks"))
		return;
	for_each_of(sample, json__get(profile, "samples"))
	{
		struct json_object *stack = json_object_array_get_idx(
			json__get(dictionary, "stackTable"), otlp_json__u64(sample, "stackIndex"));

		struct json_object *locations = json__get(stack, "locationIndices");

		/* Neither stack had room: there are no locations at all. */
		if (locations && json_object_array_length(locations) > DEPTH_MIN) {
			distinct->n++;
			distinct->unnamed += !has_leaf(dictionary, stack);
			distinct->with += sample__total(sample);
		} else {
			distinct->without += sample__total(sample);
		}
	}
}

/* --- depth ------------------------------------------------------------------------------------ */

struct depth {
	size_t least; /* frames that a stack is to have */
	__u64 whole, cut;
};

static void add_depth(struct json_object *dictionary, struct json_object *resource,
		      struct json_object *profile, void *ctx)
{
	struct json_object *sample, *stack;
	struct depth *depth = ctx;

	(void)resource;
	for_each_of(sample, json__get(profile, "samples"))
	{
		stack = json_object_array_get_idx(json__get(dictionary, "stackTable"),
						  otlp_json__u64(sample, "stackIndex"));
		*(json_object_array_length(json__get(stack, "locationIndices")) >= depth->least
			  ? &depth->whole
			  : &depth->cut) += sample__total(sample);
	}
}

/* Whatever its depth, a stack comes out whole: as many frames as fit in each of the tables. */
TEST_TIMEOUT(short_and_deep_stacks, 60)
{
	/* The function at the end has no frame of its own, and its caller is missing. */
	static const size_t depths[] = {8,
					OTEL_STACK_SHORT - 1,
					OTEL_STACK_SHORT,
					OTEL_STACK_SHORT + 1,
					OTEL_STACK_USUAL - 2,
					OTEL_STACK_USUAL - 1,
					OTEL_STACK_USUAL,
					OTEL_STACK_USUAL + 1,
					OTEL_STACK_DEPTH - 8};
	_cleanup_live_ struct live *live = live__begin();
	char filter[PATH_MAX + 16], text[16];
	static struct truth truth;

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	for (size_t i = 0; i < sizeof(depths) / sizeof(depths[0]); i++) {
		_cleanup_json_ struct json_object *requests = NULL;
		struct depth depth = {.least = depths[i]};

		live__must("load", "-q", CPU_OBJECT, "--set", "cpu.frequency=999", "--filter",
			   filter);
		snprintf(text, sizeof(text), "%zu", depths[i] + 2);
		truth__start(&truth, live, false, "deep", is_emulated() ? "800" : "200", text, "3");
		truth__wait(&truth);
		requests = live__export_file(live);
		profiles__for_each(requests, add_depth, &depth);
		printf("%zu frames: %llu samples whole, %llu not\n", depths[i],
		       (unsigned long long)depth.whole, (unsigned long long)depth.cut);
		/* The others are from before main(), or of a function with its frame half made. */
		EXPECT_GT(depth.whole, 20);
		EXPECT_EQ(losses(requests, "stacks_full"), 0);
		live__must("unload", "-q");
	}
}

/* --- more than there is room for ----------------------------------------------------------------
 */

/*
 * Each stack is blocked once, in one window. Either the stack is there or its loss is counted, to
 * the last one; and the time is there in any case.
 */
TEST_TIMEOUT(every_stack_or_its_loss, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	static const char *const reasons[] = {"table_full",	 "blocked_full",  "return_unseen",
					      "leave_unseen",	 "stacks_full",	  "mappings_full",
					      "stack_truncated", "unwind_failed", "stack_failed"};
	struct distinct distinct = {};
	static struct truth truth;
	char filter[PATH_MAX + 16];
	__u64 blocks, lost;

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", "-q", OFFCPU_OBJECT, "--set", "offcpu.min_us=0", "--filter", filter);
	truth__start(&truth, live, false, "stacks", "block", TEXT(STACKS));
	truth__wait(&truth);
	requests = live__export_file(live);
	profiles__for_each(requests, count_distinct, &distinct);
	blocks = truth__value(&truth, "blocks");
	lost = losses(requests, "stacks_full") + losses(requests, "table_full") +
	       losses(requests, "return_unseen") + losses(requests, "leave_unseen");
	printf("%llu blocks; %zu stacks received, %zu of them without names, %llu lost\n",
	       (unsigned long long)blocks, distinct.n, distinct.unnamed, (unsigned long long)lost);
	for (size_t i = 0; i < sizeof(reasons) / sizeof(reasons[0]); i++)
		printf("  %s: %llu\n", reasons[i],
		       (unsigned long long)losses(requests, reasons[i]));
	EXPECT_LE(distinct.unnamed, distinct.n / 100);
	EXPECT_GT(distinct.n, STACKS / 4);
	EXPECT_GT(lost, 0);
	/* A stack may have been blocked once more, by a page that had to be read. */
	EXPECT_GE(distinct.n + lost, STACKS);
	/*
	 * So may the program at its start and end. What lacks its stack may lack the kernel's, too:
	 * one that is not there when the table is full is lost each time.
	 */
	EXPECT_LE(lost, 2 * (blocks + 8 - distinct.n));
	EXPECT_EQ(losses(requests, "blocked_full"), 0);
	/* Whether a stack is there does not change how long it was blocked. */
	EXPECT_GE((double)distinct.without / (blocks - distinct.n),
		  0.5 * distinct.with / distinct.n);
}

/* --- the kernel's memory ---------------------------------------------------------------------- */

#define BUDGET_CPUS 8
#define BUDGET (64ULL << 20) /* docs/design.md: of all default probes on so many CPUs */

/* What a map takes here, and what it would take on a machine with BUDGET_CPUS. */
static void add_memory(const char *path, __u64 *here, __u64 *there)
{
	int fd = bpf_obj_get(path), cpus = libbpf_num_possible_cpus();
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	__u64 memory, copies = 0;

	ASSERT_GE(fd, 0);
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	memory = fdinfo__memory(fd);
	close(fd);
	/* A task's storage is allocated when there is one: up to 6.3 the kernel says 0. */
	if (info.type != BPF_MAP_TYPE_TASK_STORAGE)
		EXPECT_GT(memory, 0);
	if (info.type == BPF_MAP_TYPE_PERCPU_HASH || info.type == BPF_MAP_TYPE_PERCPU_ARRAY)
		copies = (info.value_size + 7ULL) / 8 * 8 * info.max_entries;
	printf("  %8llu KiB, %8llu KiB a CPU: %s\n", memory >> 10, copies >> 10, path);
	EXPECT_GE(memory, copies * cpus);
	*here += memory;
	*there += memory - copies * cpus + copies * BUDGET_CPUS;
}

TEST_TIMEOUT(kernel_memory, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	__u64 here = 0, there = 0;
	char text[PATH_MAX + 16];
	glob_t maps;

	live__make_cgroup(live, "");
	snprintf(text, sizeof(text), "cgroup=%s", live->cgroup);
	live__must("load", "-q", CPU_OBJECT, OFFCPU_OBJECT, SYSCALLS_OBJECT, "--filter", text);
	snprintf(text, sizeof(text), "%s/*/map/*", live->pin_dir);
	ASSERT_EQ(glob(text, 0, NULL, &maps), 0);
	/* What they have in common. */
	snprintf(text, sizeof(text), "%s/*", live->shared_dir);
	ASSERT_EQ(glob(text, GLOB_APPEND, NULL, &maps), 0);
	EXPECT_GT(maps.gl_pathc, 3 * 10);
	for (size_t i = 0; i < maps.gl_pathc; i++)
		add_memory(maps.gl_pathv[i], &here, &there);
	globfree(&maps);
	printf("%.1f MiB, %.1f on %d CPUs\n", here / 1048576.0, there / 1048576.0, BUDGET_CPUS);
	EXPECT_LE(there, BUDGET);
}

/* --- the exporter's memory -------------------------------------------------------------------- */

#define STACKS_BUSY 10000	/* docs/design.md: 10,000 stacks in 20 MiB */
#define RESIDENT_MAX (20 << 10) /* KiB */

/* Until it has ended by itself. Return: the most that was ever resident, in KiB. */
static long wait_resident(pid_t pid)
{
	char path[64], line[256];
	long most = 0, now;
	int status;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	while (!waitpid(pid, &status, WNOHANG)) {
		FILE *file = fopen(path, "re");

		while (file && fgets(line, sizeof(line), file))
			if (sscanf(line, "VmHWM: %ld", &now) == 1)
				most = now;
		if (file)
			fclose(file);
		usleep(10000);
	}
	EXPECT_TRUE(WIFEXITED(status) && !WEXITSTATUS(status));
	return most;
}

TEST_TIMEOUT(resident_memory, 90)
{
	_cleanup_collector_ struct collector *collector = NULL;
	_cleanup_live_ struct live *live = NULL;
	_cleanup_json_ struct json_object *requests = NULL;
	struct distinct distinct = {};
	char filter[PATH_MAX + 16];
	static struct truth truth;
	long resident;

#ifdef __SANITIZE_ADDRESS__
	SKIP("sanitizers have memory of their own");
#endif
	if (is_emulated())
		SKIP("a process is as large there as here");
	collector = profiles__collector();
	live = live__begin();
	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", "-q", OFFCPU_OBJECT, CPU_OBJECT, "--set", "offcpu.min_us=0", "--set",
		   "cpu.frequency=999", "--filter", filter);
	/* As many as one probe takes, and the rest from the other. */
	truth__start(&truth, live, false, "stacks", "block", TEXT(STACKS));
	truth__wait(&truth);
	truth__start(&truth, live, false, "stacks", "burn", "2600");
	truth__wait(&truth);
	resident = wait_resident(
		live__start_exporter("-q", "--interval", "500ms", "--duration", "2s"));
	requests = collector__lines(collector, "resourceProfiles");
	ASSERT_TRUE(requests);
	profiles__for_each(requests, count_distinct, &distinct);
	printf("%zu stacks, %.1f MiB resident\n", distinct.n, resident / 1024.0);
	EXPECT_GE(distinct.n, STACKS_BUSY);
	EXPECT_GT(resident, 0);
	EXPECT_LE(resident, RESIDENT_MAX);
}

TEST_MAIN()
