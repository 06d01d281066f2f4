// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What a probe costs, as status and the exporter tell it, against the kernel's own numbers. */
#include <bpf/bpf.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "fail.h"
#include "ktap.h"
#include "live.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))
#define STATS "/proc/sys/kernel/bpf_stats_enabled"

static struct output output;

/* Nobody else enables statistics on a kernel that is our own. */
static bool is_own_kernel(void)
{
	return getenv("OTELBPF_OWN_KERNEL");
}

/* --- the kernel's numbers --------------------------------------------------------------------- */

static struct bpf_prog_info program(struct live *live, const char *name)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/syscalls/prog/%s", live->pin_dir, name);
	fd = bpf_obj_get(path);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info;
}

/* "memlock" of all that is pinned in a directory of the probe. */
static __u64 memory(struct live *live, const char *kind)
{
	char path[PATH_MAX + 256], line[128];
	unsigned long long bytes;
	struct dirent *entry;
	__u64 total = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/syscalls/%s", live->pin_dir, kind);
	dir = opendir(path);
	ASSERT_TRUE(dir);
	while ((entry = readdir(dir))) {
		FILE *file;
		int fd;

		if (entry->d_name[0] == '.')
			continue;
		snprintf(path, sizeof(path), "%s/syscalls/%s/%s", live->pin_dir, kind,
			 entry->d_name);
		fd = bpf_obj_get(path);
		ASSERT_GE(fd, 0);
		snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		file = fopen(path, "re");
		ASSERT_TRUE(file);
		while (fgets(line, sizeof(line), file))
			if (sscanf(line, "memlock: %llu", &bytes) == 1)
				total += bytes;
		fclose(file);
		close(fd);
	}
	closedir(dir);
	return total;
}

static bool statistics_are_on(void)
{
	FILE *file = fopen(STATS, "re");
	int c = file ? fgetc(file) : EOF;

	if (file)
		fclose(file);
	return c == '1';
}

/* --- status ----------------------------------------------------------------------------------- */

static struct json_object *get(struct json_object *from, const char *key)
{
	return json_object_object_get(from, key);
}

static __u64 number(struct json_object *from, const char *key)
{
	return json_object_get_uint64(get(from, key));
}

static double real(struct json_object *from, const char *key)
{
	return json_object_get_double(get(from, key));
}

static struct json_object *read_report(const char *path)
{
	struct json_object *root = json_object_from_file(path), *probe;

	ASSERT_TRUE(root);
	probe = json_object_get(json_object_array_get_idx(get(root, "probes"), 0));
	ASSERT_TRUE(probe);
	json_object_put(root);
	return probe;
}

static pid_t start_status(const char *path, const char *time)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	if (!freopen(path, "w", stdout))
		_exit(99);
	execl(BUILD_DIR "/otelbpf", "otelbpf", "status", "-j", "--measure", time, (char *)NULL);
	_exit(127);
}

/*
 * Runs are counted only while it measures: when they begin to be counted it has begun. Then a
 * known number of calls.
 */
TEST_TIMEOUT(status_measures_what_the_kernel_counts, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *probe = NULL;
	struct json_object *programs, *own;
	__u64 runs = 0, ns = 0, before;
	struct bpf_prog_info info;
	char path[128];
	pid_t pid;

	if (statistics_are_on())
		SKIP("statistics are on anyway");
	live__load(live);
	before = program(live, "sys_enter").run_cnt;
	snprintf(path, sizeof(path), "%s/status.json", live->tmp);
	pid = start_status(path, is_own_kernel() ? "8s" : "3s");
	for (int tries = 0; program(live, "sys_enter").run_cnt == before; tries++) {
		ASSERT_LT(tries, 1000);
		usleep(5000);
	}
	usleep(50000); /* the first reading follows at once */
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	EXPECT_EQ(waitpid(pid, NULL, WNOHANG), 0); /* else this machine is too slow for the test */
	EXPECT_EQ(live__wait(pid), 0);

	probe = read_report(path);
	programs = get(probe, "programs");
	for (size_t i = 0; i < json_object_array_length(programs); i++) {
		struct json_object *item = json_object_array_get_idx(programs, i);
		const char *name = json_object_get_string(get(item, "program"));
		struct json_object *cost = get(item, "measured");

		ASSERT_TRUE(cost);
		info = program(live, name);
		printf("%s: %llu runs, %llu ns; the kernel: %llu runs, %llu ns\n", name,
		       (unsigned long long)number(cost, "runs"),
		       (unsigned long long)number(cost, "run_time_ns"),
		       (unsigned long long)info.run_cnt, (unsigned long long)info.run_time_ns);
		EXPECT_LE(number(cost, "runs"), info.run_cnt);
		EXPECT_LE(number(cost, "run_time_ns"), info.run_time_ns);
		if (!strncmp(name, "sys_", 4))
			EXPECT_GE(number(cost, "runs"), MIX_CALLS);
		runs += number(cost, "runs");
		ns += number(cost, "run_time_ns");
	}
	own = get(probe, "overhead");
	EXPECT_EQ(number(own, "runs"), runs);
	EXPECT_EQ(number(own, "run_time_ns"), ns);
	EXPECT_GE(number(own, "measured_ns"), (is_own_kernel() ? 8 : 3) * 1000000000ULL);
	/* The formulas, to the digits that are printed. */
	EXPECT_LT(real(own, "cpu_percent") - 100.0 * ns / number(own, "measured_ns"), 1e-6);
	EXPECT_GT(real(own, "cpu_percent") - 100.0 * ns / number(own, "measured_ns"), -1e-6);
	EXPECT_LT(real(own, "mean_us") - ns / 1e3 / runs, 1e-6);
	EXPECT_GT(real(own, "mean_us") - ns / 1e3 / runs, -1e-6);
	EXPECT_GT(real(own, "mean_us"), 0.001);
	EXPECT_LT(real(own, "mean_us"), 1000);
	EXPECT_EQ(number(own, "memory"), memory(live, "map") + memory(live, "prog"));
	EXPECT_GT(number(own, "uptime_ns"), number(own, "measured_ns"));

	/* They are off again: nothing more is counted. */
	if (!is_own_kernel())
		return;
	info = program(live, "sys_enter");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	EXPECT_EQ(program(live, "sys_enter").run_cnt, info.run_cnt);
}

TEST(status_without_measuring)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *probe = NULL;
	char path[128];

	live__load(live);
	snprintf(path, sizeof(path), "%s/status.json", live->tmp);
	EXPECT_EQ(live__wait(start_status(path, "0")), 0);
	probe = read_report(path);
	EXPECT_FALSE(get(get(probe, "overhead"), "cpu_percent"));
	EXPECT_TRUE(get(get(probe, "overhead"), "not_measured"));
	EXPECT_EQ(number(get(probe, "overhead"), "memory"),
		  memory(live, "map") + memory(live, "prog"));
	live__put_json(&probe);

	/* What is not attached costs nothing, and is not waited for: within the test's time. */
	live__must("pause", "-q");
	EXPECT_EQ(live__wait(start_status(path, "1h")), 0);
	probe = read_report(path);
	EXPECT_FALSE(get(get(probe, "overhead"), "cpu_percent"));
	EXPECT_TRUE(get(get(probe, "overhead"), "not_measured"));

	EXPECT_EQ(live__otelbpf(&output, "status", "--measure", "soon"), EXIT_USAGE);
	EXPECT_EQ(live__lines(output.err), 1);
}

TEST(status_for_a_person)
{
	_cleanup_live_ struct live *live = live__begin();

	live__load(live);
	EXPECT_EQ(live__otelbpf(&output, "status", "--measure", "300ms"), 0);
	EXPECT_TRUE(strstr(output.out, "% of one CPU"));
	EXPECT_TRUE(strstr(output.out, "measured for "));
	EXPECT_FALSE(strstr(output.err, "measuring")); /* no terminal */
}

/* --- metrics ---------------------------------------------------------------------------------- */

static double value_of(struct json_object *root, const char *metric, const char *key,
		       const char *value, struct otlp_point *point)
{
	*point = (struct otlp_point){};
	EXPECT_EQ(otlp_json__find(root, metric, point, "otelbpf.probe", "syscalls", key, value), 1);
	return point->point ? otlp_json__value(point->point) : -1;
}

static void expect_sizes(struct live *live, struct json_object *root)
{
	struct otlp_point point;

	EXPECT_EQ(value_of(root, "otelbpf.probe.memory.usage", "otelbpf.memory.type", "map",
			   &point),
		  memory(live, "map"));
	EXPECT_EQ(value_of(root, "otelbpf.probe.memory.usage", "otelbpf.memory.type", "program",
			   &point),
		  memory(live, "prog"));
	EXPECT_GT(value_of(root, "otelbpf.probe.uptime", "otelbpf.program", NULL, &point), 0);
	EXPECT_LT(value_of(root, "otelbpf.probe.uptime", "otelbpf.program", NULL, &point), 600);
}

/* Counts that stand still would tell of no cost where there is one. */
TEST(no_counts_without_statistics)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	if (statistics_are_on())
		SKIP("statistics are on anyway");
	live__load(live);
	root = live__export_file(live);
	expect_sizes(live, root);
	EXPECT_EQ(otlp_json__find(root, "otelbpf.probe.runs", NULL), 0);
	EXPECT_EQ(otlp_json__find(root, "otelbpf.probe.cpu.time", NULL), 0);

	EXPECT_EQ(live__exporter(&output, "--once", "--stats", "--output", "stdout"), EXIT_USAGE);
	EXPECT_EQ(live__lines(output.err), 1);
}

static struct json_object *last_request(struct sink *sink)
{
	struct json_object *all, *last;
	int cut;

	sink__wait(sink, 2); /* one that began after now, at least */
	all = sink__requests(sink, &cut);
	last = json_object_get(otlp_json__last(all));
	ASSERT_TRUE(last);
	json_object_put(all);
	return last;
}

/* Both counts of one program in one request. */
static void read_counts(struct json_object *root, double *runs, double *seconds, __u64 *start)
{
	struct otlp_point point;

	*seconds = value_of(root, "otelbpf.probe.cpu.time", "otelbpf.program", "sys_enter", &point);
	*runs = value_of(root, "otelbpf.probe.runs", "otelbpf.program", "sys_enter", &point);
	*start = otlp_json__u64(point.point, "startTimeUnixNano");
}

static void check_counts(struct collector *collector)
{
	_cleanup_live_ struct live *live = live__begin();
	double runs[3], seconds[3], kernel;
	struct json_object *root;
	__u64 start[3];
	struct sink sink;
	pid_t pid;

	sink__open(&sink, live, collector);
	live__load(live);
	pid = live__start_exporter("-q", "--stats", "--interval", "200ms", "--output", sink.spec);
	root = last_request(&sink);
	read_counts(root, &runs[0], &seconds[0], &start[0]);
	json_object_put(root);
	EXPECT_EQ(start[0], live__start_ns(live));

	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = last_request(&sink);
	kernel = program(live, "sys_enter").run_cnt;
	read_counts(root, &runs[1], &seconds[1], &start[1]);
	expect_sizes(live, root);
	json_object_put(root);
	EXPECT_GE(runs[1] - runs[0], MIX_CALLS);
	EXPECT_LE(runs[1], kernel);
	EXPECT_GT(seconds[1], seconds[0]);
	EXPECT_LE(seconds[1], program(live, "sys_enter").run_time_ns / 1e9);
	EXPECT_EQ(start[1], start[0]);

	/* New programs count anew, and say since when; what they count for goes on. */
	live__must("load", "-q", SYSCALLS_OBJECT);
	root = last_request(&sink);
	read_counts(root, &runs[2], &seconds[2], &start[2]);
	EXPECT_EQ(live__count(live, root, "a", "getppid"), 1000);
	json_object_put(root);
	EXPECT_GT(start[2], start[0]);
	EXPECT_LE(runs[2], program(live, "sys_enter").run_cnt);
	EXPECT_EQ(live__stop(pid), 0);
}

TEST_TIMEOUT(counts_reach_a_file, 60)
{
	check_counts(NULL);
}

TEST_TIMEOUT(counts_reach_a_collector, 90)
{
	_cleanup_collector_ struct collector *collector = live__collector();

	check_counts(collector);
}

static void set_statistics(const char *on)
{
	int fd = open(STATS, O_WRONLY);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, on, 1), 1);
	close(fd);
}

TEST_TIMEOUT(statistics_that_are_on_anyway, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL, *probe = NULL;
	struct otlp_point point;
	struct json_object *programs;
	char path[128];

	if (!is_own_kernel())
		SKIP("statistics of this machine are left alone");
	live__load(live);
	set_statistics("1");
	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
	root = live__export_file(live);
	EXPECT_GE(value_of(root, "otelbpf.probe.runs", "otelbpf.program", "sys_exit", &point),
		  MIX_CALLS);
	snprintf(path, sizeof(path), "%s/status.json", live->tmp);
	EXPECT_EQ(live__wait(start_status(path, "500ms")), 0);
	probe = read_report(path);
	EXPECT_TRUE(json_object_get_boolean(get(probe, "statistics")));
	programs = get(probe, "programs");
	for (size_t i = 0; i < json_object_array_length(programs); i++) {
		struct json_object *item = json_object_array_get_idx(programs, i);

		EXPECT_LE(number(get(item, "measured"), "runs"), number(item, "runs"));
		if (!strcmp(json_object_get_string(get(item, "program")), "sys_enter"))
			EXPECT_GE(number(item, "runs"), MIX_CALLS);
	}
	EXPECT_GT(real(get(probe, "overhead"), "cpu_percent"), 0);
	EXPECT_EQ(live__otelbpf(&output, "status", "--measure", "100ms"), 0);
	EXPECT_TRUE(strstr(output.out, "since statistics are on: "));
	set_statistics("0");
}

TEST_MAIN()
