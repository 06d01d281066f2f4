// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Trace context: what a thread's tracer published in the map that tools share arrives as the link
 * of its samples; and that map, which is not ours alone. Then names of files of processes that
 * have gone, the choice of a sampling event, and an exporter that is told to end.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "collector.h"
#include "hot.h"
#include "inject.h"
#include "ktap.h"
#include "live.h"
#include "receiver.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))

#define OFFCPU_OBJECT OBJECT_DIR "/progs/offcpu.bpf.o"
#define TOOL(name) BUILD_DIR "/selftests/tools/" name
#define MAP "otel_traces_ctx_v1"
#define MS 1000000LL

static void load(struct live *live, const char *object, const char *set)
{
	char filter[PATH_MAX + 16];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", "-q", object, "--set", set, "--filter", filter);
}

static const char *shared_pin(const struct live *live)
{
	static char path[256];

	snprintf(path, sizeof(path), "%s/" MAP, live->shared_dir);
	return path;
}

/* --- the workload ----------------------------------------------------------------------------- */

struct traced {
	long long cpu[4], wall[4];
};

static void traced__run(struct traced *traced, struct live *live, const char *how, const char *ms)
{
	const char *const argv[] = {TOOL("traced"), shared_pin(live), how, ms, NULL};
	static struct output output;
	char *at = output.out;

	live__run(&output, live__join, live, argv);
	if (output.code)
		printf("%s", output.err);
	ASSERT_EQ(output.code, 0);
	for (int i = 0; i < live__lines(output.out); i++) {
		ASSERT_LT(i, 4);
		traced->cpu[i] = strtoll(at, &at, 10);
		traced->wall[i] = strtoll(at, &at, 10);
	}
}

/* --- what was received ------------------------------------------------------------------------ */

static struct json_object *get(struct json_object *obj, const char *key)
{
	return json_object_object_get(obj, key);
}

static struct json_object *entry(struct json_object *dictionary, const char *table, __u64 i)
{
	struct json_object *list = get(dictionary, table);

	return list ? json_object_array_get_idx(list, i) : NULL;
}

#define for_each_of(item, list)                                                               \
	for (size_t item##_i = 0; (list) && item##_i < json_object_array_length(list) &&      \
				  ((item) = json_object_array_get_idx(list, item##_i), true); \
	     item##_i++)

/* A sample's thread.name: the attribute that is a text and begins as the workload's names do. */
static int thread_of(struct json_object *dictionary, struct json_object *sample)
{
	struct json_object *index;
	int n = -1;

	for_each_of(index, get(sample, "attributeIndices"))
	{
		struct json_object *attr =
			entry(dictionary, "attributeTable", json_object_get_int64(index));
		struct json_object *key =
			entry(dictionary, "stringTable", otlp_json__u64(attr, "keyStrindex"));
		struct json_object *value = get(attr, "value"), *text;
		const char *name;

		if (!key || strcmp(json_object_get_string(key), "thread.name"))
			continue;
		if (!json_object_object_get_ex(value, "stringValue", &text))
			text = entry(dictionary, "stringTable",
				     otlp_json__u64(value, "stringValueStrindex"));
		name = text ? json_object_get_string(text) : "";
		if (!strncmp(name, "ctx", 3))
			n = atoi(name + 3);
	}
	return n;
}

/* Which of the workload's contexts a sample is linked to; 0: none. */
static int context_of(struct json_object *dictionary, struct json_object *sample)
{
	__u64 index = otlp_json__u64(sample, "linkIndex");
	struct json_object *link = index ? entry(dictionary, "linkTable", index) : NULL;
	char trace_id[33] = "", span_id[17] = "";
	int n;

	if (!index)
		return 0;
	ASSERT_TRUE(link);
	ASSERT_EQ(sscanf(otlp_json__text(link, "traceId"), "%2x", &n), 1);
	for (int i = 0; i < 16; i++)
		snprintf(trace_id + 2 * i, 3, "%02x", n);
	for (int i = 0; i < 8; i++)
		snprintf(span_id + 2 * i, 3, "%02x", n);
	EXPECT_STREQ(otlp_json__text(link, "traceId"), trace_id);
	EXPECT_STREQ(otlp_json__text(link, "spanId"), span_id);
	ASSERT_TRUE(n > 0 && n < 10);
	return n;
}

/* By thread of the workload and context. */
struct sums {
	__u64 value[4][10];
	int samples;
};

static void add_sample(struct sums *sums, struct json_object *dictionary,
		       struct json_object *sample)
{
	int thread = thread_of(dictionary, sample), context = context_of(dictionary, sample);
	struct json_object *value;

	sums->samples++;
	if (thread < 0 || thread > 3)
		return;
	for_each_of(value, get(sample, "values")) sums->value[thread][context] +=
		strtoull(json_object_get_string(value), NULL, 10);
}

static void sum_up(struct sums *sums, struct json_object *requests)
{
	struct json_object *request, *resource, *scope, *profile, *sample;

	memset(sums, 0, sizeof(*sums));
	ASSERT_TRUE(requests);
	for_each_of(request, requests) for_each_of(resource, get(request, "resourceProfiles"))
		for_each_of(scope, get(resource, "scopeProfiles"))
			for_each_of(profile, get(scope, "profiles"))
				for_each_of(sample, get(profile, "samples"))
					add_sample(sums, get(request, "dictionary"), sample);
	for (int thread = 0; thread < 4; thread++)
		for (int context = 0; context < 10; context++)
			if (sums->value[thread][context])
				printf("thread %d, context %d: %llu\n", thread, context,
				       (unsigned long long)sums->value[thread][context]);
}

/* A thread's samples under its own context, and none under another. */
static __u64 only_context(const struct sums *sums, int thread, int context)
{
	for (int other = 0; other < 10; other++)
		if (other != context)
			EXPECT_EQ(sums->value[thread][other], 0);
	return sums->value[thread][context];
}

/*
 * A timer is armed before its thread leaves the CPU, so that the thread is away for a little less
 * than it asked for, and in an emulated machine that way is long.
 */
static __u64 slept(__u64 ms)
{
	return ms * MS * 9 / 10;
}

/* --- links ------------------------------------------------------------------------------------ */

static struct collector *start_collector(void)
{
	struct collector *collector = collector__start_profiles();

	if (!collector && errno == ENOENT)
		SKIP("OTELCOL is not set: no Collector; see scripts/collector");
	ASSERT_TRUE(collector);
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector__http_url(collector), 1);
	return collector;
}

TEST_TIMEOUT(context_is_the_link_of_samples, 60)
{
	_cleanup_collector_ struct collector *collector = start_collector();
	_cleanup_json_ struct json_object *requests = NULL;
	_cleanup_live_ struct live *live = live__begin();
	struct traced traced = {};
	static struct output output;
	struct sums sums;

	load(live, CPU_OBJECT, "cpu.frequency=499");
	traced__run(&traced, live, "cpu", "1000");
	ASSERT_EQ(live__exporter(&output, "-q", "--interval", "60s", "--duration", "1ms"), 0);
	requests = collector__lines(collector, "resourceProfiles");
	sum_up(&sums, requests);
	/*
	 * How many there are is the matter of live_profile_test: a timer that is late in a virtual
	 * machine gives one sample for all the periods that it missed.
	 */
	for (int i = 0; i < 3; i++) {
		__u64 n = only_context(&sums, i, i);

		EXPECT_GE(n, HZ / 20);
		EXPECT_LE(n, traced.wall[i] / (1000 * MS / HZ) * 5 / 4 + 1);
	}
}

TEST_TIMEOUT(blocked_time_has_the_context_of_its_begin, 60)
{
	_cleanup_collector_ struct collector *collector = start_collector();
	_cleanup_json_ struct json_object *requests = NULL;
	_cleanup_live_ struct live *live = live__begin();
	struct traced traced = {};
	static struct output output;
	struct sums sums;

	load(live, OFFCPU_OBJECT, "offcpu.min_us=1000");
	traced__run(&traced, live, "block", "300");
	ASSERT_EQ(live__exporter(&output, "-q", "--interval", "60s", "--duration", "1ms"), 0);
	requests = collector__lines(collector, "resourceProfiles");
	sum_up(&sums, requests);
	/* Thread 3 woke up under context 9, and not a moment of it counts there. */
	for (int i = 0; i < 4; i++) {
		__u64 n = only_context(&sums, i, i);

		EXPECT_GE(n, slept(300));
		EXPECT_LE(n, traced.wall[i]);
	}
}

TEST_TIMEOUT(context_can_be_left_out, 60)
{
	_cleanup_json_ struct json_object *requests = NULL;
	_cleanup_live_ struct live *live = live__begin();
	struct traced traced = {};
	struct sums sums;

	load(live, OFFCPU_OBJECT, "offcpu.trace_context=0");
	traced__run(&traced, live, "block", "50");
	requests = live__export_file(live);
	sum_up(&sums, requests);
	for (int i = 0; i < 4; i++)
		EXPECT_GE(only_context(&sums, i, 0), slept(50));
}

TEST_TIMEOUT(pprof_has_labels, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char file[128], command[256], line[512];
	static struct output output;
	struct traced traced = {};
	int found = 0;
	FILE *pipe;

	load(live, OFFCPU_OBJECT, "offcpu.min_us=1000");
	traced__run(&traced, live, "block", "50");
	snprintf(file, sizeof(file), "file:%s/x.pb.gz", live->tmp);
	ASSERT_EQ(live__exporter(&output, "--format", "pprof", "--output", file), 0);
	snprintf(command, sizeof(command), "gzip -dc %s | strings -n 16", file + strlen("file:"));
	if (system("command -v strings >/dev/null"))
		SKIP("there is no strings(1)");
	pipe = popen(command, "re");
	ASSERT_TRUE(pipe);
	while (fgets(line, sizeof(line), pipe))
		for (int i = 1; i < 4; i++) {
			char id[33];

			for (int k = 0; k < 16; k++)
				snprintf(id + 2 * k, 3, "%02x", i);
			found |= strstr(line, id) ? 1 << i : 0;
		}
	EXPECT_EQ(pclose(pipe), 0);
	EXPECT_EQ(found, 1 << 1 | 1 << 2 | 1 << 3);
}

/* --- the map that tools share ----------------------------------------------------------------- */

static __u32 id_of(const char *path)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	int fd = bpf_obj_get(path);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info.id;
}

TEST_TIMEOUT(map_is_made_once_and_stays, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char own[256];
	__u32 id;

	live__make_cgroup(live, "");
	load(live, CPU_OBJECT, "cpu.frequency=1");
	id = id_of(shared_pin(live));
	snprintf(own, sizeof(own), "%s/cpu/map/" MAP, live->pin_dir);
	EXPECT_NE(access(own, F_OK), 0);
	load(live, OFFCPU_OBJECT, "offcpu.min_us=1000");
	EXPECT_EQ(id_of(shared_pin(live)), id);
	/* An upgrade goes on with it, too. */
	load(live, CPU_OBJECT, "cpu.frequency=2");
	EXPECT_EQ(id_of(shared_pin(live)), id);
	live__must("unload", "-q");
	EXPECT_EQ(id_of(shared_pin(live)), id);
}

static int pin_map(struct live *live, enum bpf_map_type type, __u32 value_size, __u32 max)
{
	int fd = bpf_map_create(type, "theirs", 8, value_size, max, NULL);

	ASSERT_GE(fd, 0);
	ASSERT_EQ(bpf_obj_pin(fd, shared_pin(live)), 0);
	return fd;
}

/* Its name, its size and that it says nothing about its types are that tool's affair. */
TEST_TIMEOUT(map_of_another_tool_is_used, 60)
{
	_cleanup_json_ struct json_object *requests = NULL;
	_cleanup_live_ struct live *live = live__begin();
	int fd = pin_map(live, BPF_MAP_TYPE_LRU_HASH, 24, 1000);
	__u64 key = ~0ULL, value[3] = {1, 2, 3}, found[3] = {};
	struct traced traced = {};
	struct sums sums;

	ASSERT_EQ(bpf_map_update_elem(fd, &key, value, BPF_ANY), 0);
	load(live, OFFCPU_OBJECT, "offcpu.min_us=1000");
	traced__run(&traced, live, "block", "50");
	requests = live__export_file(live);
	sum_up(&sums, requests);
	for (int i = 0; i < 4; i++)
		EXPECT_GE(only_context(&sums, i, i), slept(50));
	live__must("unload", "-q");
	EXPECT_EQ(bpf_map_lookup_elem(fd, &key, found), 0);
	EXPECT_EQ(memcmp(found, value, sizeof(value)), 0);
	EXPECT_EQ(access(shared_pin(live), F_OK), 0);
	close(fd);
}

TEST_TIMEOUT(map_of_another_shape_is_refused, 60)
{
	static const struct {
		enum bpf_map_type type;
		__u32 value_size;
	} shapes[] = {{BPF_MAP_TYPE_HASH, 24}, {BPF_MAP_TYPE_LRU_HASH, 32}};
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;

	for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++) {
		__u32 id;
		int fd = pin_map(live, shapes[i].type, shapes[i].value_size, 16);

		id = id_of(shared_pin(live));
		live__otelbpf(&output, "load", CPU_OBJECT);
		live__expect_failure(live, &output, 7, MAP);
		EXPECT_EQ(id_of(shared_pin(live)), id);
		close(fd);
		ASSERT_EQ(unlink(shared_pin(live)), 0);
	}
}

TEST_TIMEOUT(link_in_its_place_is_refused, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;

	ASSERT_EQ(symlink("/sys/fs/bpf/elsewhere", shared_pin(live)), 0);
	live__otelbpf(&output, "load", CPU_OBJECT);
	live__expect_failure(live, &output, 3, MAP);
}

TEST_TIMEOUT(shared_dir_that_is_not_there, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;

	live__otelbpf(&output, "load", CPU_OBJECT, "--shared-dir", "/sys/fs/bpf/not-there");
	live__expect_failure(live, &output, 7, "/sys/fs/bpf/not-there");
	live__otelbpf(&output, "load", CPU_OBJECT, "--shared-dir", live->tmp);
	live__expect_failure(live, &output, 7, "not on bpffs");
}

/* The root of the mount is found when nothing says otherwise. */
TEST_TIMEOUT(default_is_the_root_of_bpffs, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char inner[128], pins[160], path[200];

	snprintf(inner, sizeof(inner), "%s/bpffs", live->tmp);
	ASSERT_EQ(mkdir(inner, 0700), 0);
	snprintf(path, sizeof(path), "mount -t bpf bpf %s", inner);
	ASSERT_EQ(system(path), 0);
	unsetenv("OTELBPF_SHARED_DIR");
	snprintf(pins, sizeof(pins), "%s/a/b", inner);
	snprintf(path, sizeof(path), "%s/a", inner);
	ASSERT_EQ(mkdir(path, 0700), 0);
	setenv("OTELBPF_PIN_DIR", pins, 1);
	load(live, CPU_OBJECT, "cpu.frequency=1");
	snprintf(path, sizeof(path), "%s/" MAP, inner);
	EXPECT_EQ(access(path, F_OK), 0);
	live__must("unload", "-q");
	EXPECT_EQ(access(path, F_OK), 0);
	snprintf(path, sizeof(path), "umount %s", inner);
	EXPECT_EQ(system(path), 0);
}

/* Refused only when everything is loaded and pinned. */
TEST_TIMEOUT(failed_load_leaves_no_map, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;

	live__otelbpf(&output, "load", CPU_OBJECT, "--filter", "cgroup=/not/there");
	EXPECT_NE(output.code, 0);
	live__expect_failure(live, &output, output.code, "/not/there");
	EXPECT_NE(access(shared_pin(live), F_OK), 0);
}

TEST_TIMEOUT(two_loads_at_once, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;
	char filter[PATH_MAX + 16];
	pid_t pid;

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		execl(BUILD_DIR "/otelbpf", "otelbpf", "load", "-q", OFFCPU_OBJECT, "--filter",
		      filter, NULL);
		_exit(127);
	}
	live__otelbpf(&output, "load", "-q", CPU_OBJECT, "--filter", filter);
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	EXPECT_EQ(live__wait(pid), 0);
	EXPECT_EQ(access(shared_pin(live), F_OK), 0);
}

/* --- hardware --------------------------------------------------------------------------------- */

static int cycles_errno(void)
{
	struct perf_event_attr attr = {
		.size = sizeof(attr),
		.type = PERF_TYPE_HARDWARE,
		.config = PERF_COUNT_HW_CPU_CYCLES,
		.freq = 1,
		.sample_freq = 1,
	};
	int fd = syscall(SYS_perf_event_open, &attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	int err = fd < 0 ? errno : 0;

	if (fd >= 0)
		close(fd);
	return err;
}

TEST_TIMEOUT(hardware_where_there_is_some, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;
	char filter[PATH_MAX + 16];
	int err = cycles_errno();

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__otelbpf(&output, "load", CPU_OBJECT, "--set", "cpu.hardware=1", "--filter", filter);
	EXPECT_EQ(output.code, 0);
	printf("%s: %s", strerror(err), output.err);
	/* What was loaded is a line in any case. */
	EXPECT_EQ(live__lines(output.err), err ? 2 : 1);
	EXPECT_EQ(!!strstr(output.err, "this machine has no cycle counter"), !!err);
	live__otelbpf(&output, "status", "-j");
	EXPECT_TRUE(strstr(output.out, err ? "cpu-clock" : "cycles"));
	EXPECT_FALSE(strstr(output.out, err ? "cycles" : "cpu-clock"));
	/* Sampling goes on after a pause with what was chosen. */
	live__must("pause", "-q");
	live__must("resume", "-q");
}

struct asked {
	bool clock; /* by software */
	cpu_set_t cpus;
	__u64 frequency; /* of the last */
};

/* As if there were a cycle counter: the kernel is asked for its clock instead. */
static void have_cycles(void *ctx, int pid, long call)
{
	struct __ptrace_syscall_info info = {};
	struct perf_event_attr attr = {};
	struct iovec here = {&attr, sizeof(attr)}, there;
	struct asked *asked = ctx;

	if (call != SYS_perf_event_open)
		return;
	ASSERT_GT(ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof(info), &info), 0);
	there = (struct iovec){(void *)info.entry.args[0], sizeof(attr)};
	ASSERT_EQ(process_vm_readv(pid, &here, 1, &there, 1, 0), sizeof(attr));
	EXPECT_EQ(attr.size, sizeof(attr));
	asked->clock |= attr.type == PERF_TYPE_SOFTWARE;
	if (attr.type != PERF_TYPE_HARDWARE || attr.config != PERF_COUNT_HW_CPU_CYCLES)
		return;
	EXPECT_TRUE(attr.freq == 1);
	asked->frequency = attr.sample_freq;
	EXPECT_EQ((int)info.entry.args[1], -1); /* every task */
	CPU_SET(info.entry.args[2], &asked->cpus);
	attr.type = PERF_TYPE_SOFTWARE;
	attr.config = PERF_COUNT_SW_CPU_CLOCK;
	ASSERT_EQ(process_vm_writev(pid, &here, 1, &there, 1, 0), sizeof(attr));
}

TEST_TIMEOUT(hardware_is_what_is_asked_for, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char frequency[32], filter[PATH_MAX + 16], err[PATH_MAX];
	const char *const argv[] = {BUILD_DIR "/otelbpf",
				    "load",
				    CPU_OBJECT,
				    "--set",
				    "cpu.hardware=1",
				    "--set",
				    frequency,
				    "--filter",
				    filter,
				    NULL};
	struct asked asked = {};
	/* Nothing fails: the error says that all calls are steps that could. */
	struct inject inject = {.error = EIO, .each = have_cycles, .ctx = &asked};
	static struct output output;
	struct hot hot;

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	snprintf(frequency, sizeof(frequency), "cpu.frequency=%d", HZ);
	snprintf(err, sizeof(err), "%s/err", live->tmp);
	if (!inject__run(&inject, err, argv))
		SKIP("cannot trace processes here");
	EXPECT_EQ(inject.code, 0);
	EXPECT_FALSE(asked.clock);
	EXPECT_EQ(asked.frequency, HZ);
	EXPECT_EQ(CPU_COUNT(&asked.cpus), sysconf(_SC_NPROCESSORS_ONLN));
	live__otelbpf(&output, "status", "-j");
	EXPECT_TRUE(strstr(output.out, "cycles"));
	EXPECT_FALSE(strstr(output.out, "cpu-clock"));
	/* And what it is attached to samples. */
	hot__run(&hot, live, "200");
	EXPECT_GT(received__samples_now(live), 0);
}

/* --- files of processes that have gone -------------------------------------------------------- */

static bool folded_has(const char *name)
{
	static struct output output;

	ASSERT_EQ(live__exporter(&output, "--format", "folded"), 0);
	printf("%s\n", output.out);
	return strstr(output.out, name);
}

TEST_TIMEOUT(library_of_a_process_that_exited, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char library[128], command[PATH_MAX + 256];
	const char *const argv[] = {TOOL("far"), library, "300", NULL};
	static struct output output;

	load(live, CPU_OBJECT, "cpu.frequency=499");
	/* Where nobody would look for it. */
	snprintf(library, sizeof(library), "%s/deep", live->tmp);
	ASSERT_EQ(mkdir(library, 0755), 0);
	snprintf(library, sizeof(library), "%s/deep/libfar.so", live->tmp);
	snprintf(command, sizeof(command), "cp %s %s", TOOL("libfar.so"), library);
	ASSERT_EQ(system(command), 0);
	live__run(&output, live__join, live, argv);
	ASSERT_EQ(output.code, 0);
	EXPECT_TRUE(folded_has(";far_burn"));
	/* The file has gone as well: its name is still known, its functions' no more. */
	ASSERT_EQ(unlink(library), 0);
	EXPECT_TRUE(folded_has("libfar.so+0x"));
	/* Another file under that name is not taken for it. */
	snprintf(command, sizeof(command), "cp %s %s", TOOL("far"), library);
	ASSERT_EQ(system(command), 0);
	EXPECT_FALSE(folded_has(";far_burn"));
}

/* --- the end ---------------------------------------------------------------------------------- */

static __u64 profile_requests(struct receiver *receiver)
{
	__u64 n = 0;

	for (size_t i = 0; i < receiver__count(receiver); i++)
		n += !!strstr(receiver__request(receiver, i)->line, "/v1development/profiles");
	return n;
}

TEST_TIMEOUT(end_sends_what_was_pending_and_what_came_since, 90)
{
	static const struct reply ok[] = {{.status = 200}};
	struct receiver *receiver = receiver__new(ok, 1);
	_cleanup_live_ struct live *live = live__begin();
	struct traced traced = {};
	__u32 zero = 0, window[2];
	pid_t pid;
	int fd;

	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver__url(receiver), 1);
	setenv("OTEL_METRIC_EXPORT_TIMEOUT", getenv("OTELBPF_OWN_KERNEL") ? "5000" : "500", 1);
	load(live, CPU_OBJECT, "cpu.frequency=499");
	traced__run(&traced, live, "cpu", "100");
	pid = live__start_exporter("-q", "--interval", "600s");
	/* The window is closed, and nobody is there to take it. */
	fd = live__map_of(live, "cpu", "data_window");
	for (int i = 0; i < 30000; i++) {
		char whole[64];

		ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, whole), 0);
		memcpy(window, whole, sizeof(window));
		if (window[0])
			break;
		usleep(1000);
	}
	EXPECT_EQ(window[0], 1);
	close(fd);
	traced__run(&traced, live, "cpu", "100");
	/* Asleep until the next export: its attempts have ended. */
	live__wait_blocked(pid, SYS_ppoll);
	EXPECT_GT(live__map_entries(live, "cpu", "first_samples"), 0);
	receiver__listen(receiver);
	EXPECT_EQ(live__stop(pid), 0);
	EXPECT_EQ(profile_requests(receiver), 2);
	EXPECT_EQ(live__map_entries(live, "cpu", "first_samples"), 0);
	EXPECT_EQ(live__map_entries(live, "cpu", "stacks"), 0);
	receiver__stop(receiver);
}

TEST_MAIN()
