// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* A load that ends by itself: everything before the deadline, nothing after it; and presets. */
#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "fail.h"
#include "ktap.h"
#include "live.h"

#define CPU_OBJECT OBJECT_DIR "/progs/cpu.bpf.o"
#define HOT BUILD_DIR "/selftests/tools/hot"
#define NS 1000000000ULL

static struct output output;

static bool is_emulated(void)
{
	return getenv("OTELBPF_OWN_KERNEL");
}

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS + now.tv_nsec;
}

/* --- what status says ------------------------------------------------------------------------- */

static struct json_object *get(struct json_object *from, const char *key)
{
	return json_object_object_get(from, key);
}

/* The only probe's report, to be put. */
static struct json_object *status(void)
{
	struct json_object *root, *probe;

	ASSERT_EQ(live__otelbpf(&output, "status", "-j", "--measure", "0"), 0);
	root = json_tokener_parse(output.out);
	probe = json_object_get(json_object_array_get_idx(get(root, "probes"), 0));
	ASSERT_TRUE(probe);
	json_object_put(root);
	return probe;
}

static bool is_state(const char *state)
{
	_cleanup_json_ struct json_object *probe = status();

	return !strcmp(json_object_get_string(get(probe, "state")), state);
}

static void expect_state(const char *state)
{
	if (!EXPECT_TRUE(is_state(state)))
		printf("not %s: %s\n", state, output.out);
}

/* -1: there is no such member. */
static __s64 status_ns(const char *key)
{
	_cleanup_json_ struct json_object *probe = status();
	struct json_object *value = get(probe, key);

	return value ? (__s64)json_object_get_uint64(value) : -1;
}

static void wait_stopped(void)
{
	for (int tries = 0; !is_state("stopped"); tries++) {
		ASSERT_LT(tries, 600);
		usleep(50000);
	}
}

/* --- the deadline ----------------------------------------------------------------------------- */

TEST_TIMEOUT(everything_before_it_and_nothing_after, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	const char *duration = is_emulated() ? "8s" : "3s";
	struct led led;
	__u64 start;
	pid_t pid;
	int fd[2];

	live__load(live, "--duration", "1h");
	start = live__start_ns(live);
	EXPECT_EQ(status_ns("duration_ns"), 3600 * NS);
	led__start(&led, live);
	led__step(&led, true, true);

	/* Another one, over what is loaded. */
	live__must("load", "-q", SYSCALLS_OBJECT, "--duration", duration);
	steps__do(led.steps);
	led.getppids += 100;
	led.closes += 10;
	/* Under way when the time is over: it is not measured when it ends. */
	ASSERT_EQ(pipe(fd), 0);
	pid = live__spawn_workload(live, "a", fd[0], (const char *const[]){"read", "1", NULL});
	live__wait_blocked(pid, SYS_read);
	expect_state("running"); /* else this machine is too slow for the test */

	wait_stopped();
	EXPECT_EQ(status_ns("stops_in_ns"), 0);
	EXPECT_EQ(live__otelbpf(&output, "status", "--measure", "0"), 0);
	EXPECT_TRUE(strstr(output.out, "stopped after"));
	ASSERT_EQ(write(fd[1], "1", 1), 1);
	EXPECT_EQ(live__wait(pid), 0);
	led__step(&led, false, false);
	led__step(&led, false, false);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "a", "read"), 0);

	/* From a resume on it is another duration, of the same counters. */
	EXPECT_EQ(live__otelbpf(&output, "resume"), 0);
	EXPECT_TRUE(strstr(output.err, "for another"));
	EXPECT_GT(status_ns("stops_in_ns"), 0);
	expect_state("running");
	led__step(&led, true, true);
	EXPECT_EQ(live__start_ns(live), start);

	/* Loading without one: no end. With another: that. */
	live__must("load", "-q", SYSCALLS_OBJECT);
	EXPECT_EQ(status_ns("stops_in_ns"), -1);
	led__step(&led, true, true);
	live__must("load", "-q", SYSCALLS_OBJECT, "--duration", "300ms");
	wait_stopped();
	led__step(&led, false, false);
	live__must("load", "-q", SYSCALLS_OBJECT);
	led__step(&led, true, true);
	EXPECT_EQ(live__start_ns(live), start);
	led__end(&led);
}

TEST(pause_and_resume_begin_anew)
{
	_cleanup_live_ struct live *live = live__begin();
	__s64 left;

	live__load(live, "--duration", "1h");
	left = status_ns("stops_in_ns");
	EXPECT_GT(left, (__s64)(3500 * NS));
	live__must("pause", "-q");
	expect_state("paused");
	/* Over a paused probe it is kept for the resume. */
	live__must("load", "-q", SYSCALLS_OBJECT, "--duration", "2h");
	expect_state("paused");
	live__must("resume", "-q");
	expect_state("running");
	EXPECT_GT(status_ns("stops_in_ns"), left);
	/* A filter does not touch it. */
	live__must("filter", "clear", "-q");
	EXPECT_GT(status_ns("stops_in_ns"), left);
	EXPECT_EQ(live__otelbpf(&output, "resume"), 0);
	EXPECT_TRUE(strstr(output.err, "already running"));
}

/* A load that fails leaves the deadline of what was there. */
TEST(failed_load_changes_no_deadline)
{
	_cleanup_live_ struct live *live = live__begin();

	live__load(live, "--duration", "1h");
	EXPECT_NE(live__otelbpf(&output, "load", SYSCALLS_OBJECT, "--duration", "1s", "--filter",
				"uid=no-such-user"),
		  0);
	EXPECT_EQ(status_ns("duration_ns"), 3600 * NS);
	expect_state("running");
}

TEST(bad_durations_and_presets)
{
	static const char *const bad[] = {"", "x", "-1s", "1x", "nan", "0x10", "1e30", "10 s"};
	_cleanup_live_ struct live *live = live__begin();

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		live__otelbpf(&output, "load", SYSCALLS_OBJECT, "--duration", bad[i]);
		live__expect_failure(live, &output, EXIT_USAGE, "--duration");
	}
	live__otelbpf(&output, "load", CPU_OBJECT, "--preset", "nope");
	live__expect_failure(live, &output, EXIT_USAGE, "production, staging, development, debug");
	live__otelbpf(&output, "status", "--preset", "debug");
	live__expect_failure(live, &output, EXIT_USAGE, "--preset");
}

/* --- presets ---------------------------------------------------------------------------------- */

static void load_cpu(struct live *live, const char *const *more)
{
	char filter[PATH_MAX + 16];
	const char *args[16] = {"load", "-q", CPU_OBJECT, "--filter", filter};

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	for (int n = 5; *more && n < 15; n++)
		args[n] = *more++;
	live__must_run(args);
}
#define load_cpu(live, ...) load_cpu(live, (const char *const[]){__VA_ARGS__, NULL})

/* What is sampled how, "perf_event/cpu-clock/99", and on which CPUs. */
static void sampled(char hook[64], char cpus[64])
{
	_cleanup_json_ struct json_object *probe = status();
	struct json_object *programs = get(probe, "programs");

	hook[0] = cpus[0] = '\0';
	for (size_t i = 0; i < json_object_array_length(programs); i++) {
		struct json_object *program = json_object_array_get_idx(programs, i);

		if (!get(program, "cpus"))
			continue;
		snprintf(hook, 64, "%s", json_object_get_string(get(program, "hook")));
		snprintf(cpus, 64, "%s", json_object_get_string(get(program, "cpus")));
	}
}

static void expect_sampling(const char *frequency, __s64 duration_ns)
{
	char hook[64], cpus[64], expected[64];

	sampled(hook, cpus);
	snprintf(expected, sizeof(expected), "perf_event/cpu-clock/%s", frequency);
	EXPECT_STREQ(hook, expected);
	EXPECT_EQ(status_ns("duration_ns"), duration_ns);
}

TEST_TIMEOUT(presets_set_rate_and_duration, 60)
{
	static const struct {
		const char *name, *frequency;
		__u64 s;
	} presets[] = {{"production", "19", 300},
		       {"staging", "49", 120},
		       {"development", "99", 60},
		       {"debug", "199", 30}};
	_cleanup_live_ struct live *live = live__begin();

	/* Each over the one before. */
	for (size_t i = 0; i < sizeof(presets) / sizeof(*presets); i++) {
		load_cpu(live, "--preset", presets[i].name);
		expect_sampling(presets[i].frequency, presets[i].s * NS);
	}
	load_cpu(live, "--preset", "debug", "--set", "cpu.frequency=50");
	expect_sampling("50", 30 * NS);
	load_cpu(live, "--duration", "10m", "--preset", "staging");
	expect_sampling("49", 600 * NS);
	load_cpu(live, "--preset", "staging", "--duration", "0");
	expect_sampling("49", -1);
	load_cpu(live, "--preset", "staging");
	/* None: back to the defaults. */
	load_cpu(live, NULL);
	expect_sampling("99", -1);
}

TEST(preset_leaves_other_probes_alone)
{
	_cleanup_live_ struct live *live = live__begin();

	live__load(live, "--preset", "debug");
	EXPECT_EQ(status_ns("duration_ns"), -1);
	EXPECT_EQ(live__otelbpf(&output, "load", SYSCALLS_OBJECT, "--preset", "debug"), 0);
	EXPECT_TRUE(strstr(output.err, "changes nothing"));
}

/* --- samples ---------------------------------------------------------------------------------- */

/* All samples in the kernel's map, whatever they are of; there are few different ones. */
static __u64 samples(struct live *live)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	__u64 count, total = 0;
	char key[256], *prev = NULL;
	int fd = live__map_of(live, "cpu", "first_samples");
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	ASSERT_LE(info.key_size, sizeof(key));
	ASSERT_EQ(info.value_size, sizeof(count));
	while (!bpf_map_get_next_key(fd, prev, key)) {
		prev = key;
		if (!bpf_map_lookup_elem(fd, key, &count))
			total += count;
	}
	close(fd);
	return total;
}

/* Computes on a CPU, or on any for -1, in the test's cgroup. */
static pid_t start_hot(struct live *live, int cpu)
{
	char procs[PATH_MAX + 16];
	cpu_set_t set;
	FILE *file;
	pid_t pid;

	snprintf(procs, sizeof(procs), "%s/cgroup.procs", live->cgroup);
	CPU_ZERO(&set);
	CPU_SET(cpu >= 0 ? cpu : 0, &set);
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	file = fopen(procs, "we");
	if (!file || fputs("0", file) < 0 || fclose(file) || !freopen("/dev/null", "w", stdout) ||
	    (cpu >= 0 && sched_setaffinity(0, sizeof(set), &set)))
		_exit(99);
	execl(HOT, HOT, "300000", (char *)NULL);
	_exit(127);
}

static void end_hot(pid_t pid)
{
	kill(pid, SIGKILL);
	EXPECT_EQ(live__wait(pid), -SIGKILL);
}

static void wait_samples(struct live *live, __u64 more_than)
{
	for (int tries = 0; samples(live) <= more_than; tries++) {
		ASSERT_LT(tries, 600);
		usleep(20000);
	}
}

TEST_TIMEOUT(sampling_ends, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	__u64 at_end, begin, took_ns;
	pid_t pid;

	live__make_cgroup(live, "");
	pid = start_hot(live, 0);
	begin = now_ns();
	load_cpu(live, "--preset", "debug", "--duration", is_emulated() ? "3s" : "1s");
	took_ns = now_ns() - begin;
	wait_stopped();
	at_end = samples(live);
	/* One thread on one CPU: never more than the rate. The duration begins when all is
	 * attached, the sampling of one CPU before that. */
	printf("%llu samples, loaded in %llu ms\n", (unsigned long long)at_end,
	       (unsigned long long)took_ns / 1000000);
	EXPECT_GT(at_end, 0);
	EXPECT_LE(at_end, ((is_emulated() ? 3 * NS : NS) + took_ns) * 199 / NS + 1);
	usleep(700000);
	EXPECT_EQ(samples(live), at_end);
	live__must("resume", "-q");
	wait_samples(live, at_end);
	end_hot(pid);
}

/* --- CPUs that come and go -------------------------------------------------------------------- */

static void set_online(int cpu, bool online)
{
	char path[64];
	int fd;

	snprintf(path, sizeof(path), "/sys/devices/system/cpu/cpu%d/online", cpu);
	fd = open(path, O_WRONLY);
	if (fd < 0)
		SKIP("CPU %d cannot be taken offline", cpu);
	ASSERT_EQ(write(fd, online ? "1" : "0", 1), 1);
	close(fd);
}

static void expect_cpus(const char *expected)
{
	char hook[64], cpus[64];

	sampled(hook, cpus);
	EXPECT_STREQ(cpus, expected);
}

/* 40 s at most. */
static void await_cpus(const char *expected)
{
	char hook[64], cpus[64] = "";

	for (int i = 0; i < 400 && strcmp(cpus, expected); i++) {
		usleep(100000);
		sampled(hook, cpus);
	}
	EXPECT_STREQ(cpus, expected);
}

TEST_TIMEOUT(cpu_that_comes_online_is_sampled_by_the_next_load, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	__u64 before;
	pid_t pid;

	if (!is_emulated())
		SKIP("no CPU of this machine is taken offline");
	if (sysconf(_SC_NPROCESSORS_ONLN) != 2)
		SKIP("two CPUs are needed");
	set_online(1, false);
	load_cpu(live, NULL);
	expect_cpus("0");
	set_online(1, true);
	expect_cpus("0");
	pid = start_hot(live, 1);
	load_cpu(live, NULL);
	expect_cpus("0,1");
	before = samples(live);
	wait_samples(live, before + 20);
	end_hot(pid);

	/* Gone and back: the kernel has forgotten the event. */
	set_online(1, false);
	set_online(1, true);
	pid = start_hot(live, 1);
	load_cpu(live, NULL);
	before = samples(live);
	wait_samples(live, before + 20);
	end_hot(pid);
}

/* Gone and back before anybody looked, or not: the watch hears of both. */
TEST_TIMEOUT(watched_cpu_is_sampled_as_it_comes, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	__u64 before;
	pid_t pid, watch;

	if (!is_emulated())
		SKIP("no CPU of this machine is taken offline");
	if (sysconf(_SC_NPROCESSORS_ONLN) != 2)
		SKIP("two CPUs are needed");
	load_cpu(live, NULL);
	watch = live__start_otelbpf("watch", "-q");
	set_online(1, false);
	await_cpus("0");
	for (int i = 0; i < 2; i++) {
		set_online(1, true);
		await_cpus("0,1");
		pid = start_hot(live, 1);
		before = samples(live);
		wait_samples(live, before + 20);
		end_hot(pid);
		set_online(1, false);
	}
	set_online(1, true);
	await_cpus("0,1");
	EXPECT_EQ(live__stop(watch), 0);
}

/* Packets of the loopback interface of a network namespace of our own. */
static void send_some(int n)
{
	struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(9)};
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};

	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	for (int i = 0; i < n; i++)
		ASSERT_EQ(sendto(fd, "", 1, 0, (struct sockaddr *)&to, sizeof(to)), 1);
	close(fd);
}

static unsigned long long sent(struct live *live)
{
	struct json_object *root _cleanup_json_ = live__export_file(live);

	return otlp_json__total(root, "system.network.packet.count", "network.io.direction",
				"transmit", "network.transport", "udp");
}

/* What is nobody's has no filter, and ends all the same. */
TEST(probe_without_filters)
{
	_cleanup_live_ struct live *live = live__begin();

	ASSERT_EQ(unshare(CLONE_NEWNET), 0);
	send_some(0);
#define LOAD "load", OBJECT_DIR "/progs/packets.bpf.o", "--set", "packets.interfaces=lo"
	live__must(LOAD, "--set", "packets.mode=none", "--duration", "1h");
	send_some(10);
	EXPECT_EQ(sent(live), 10);
	live__otelbpf(&output, "filter", "add", "uid", "0", "--probe", "packets");
	EXPECT_EQ(output.code, EXIT_USAGE);
	EXPECT_TRUE(strstr(output.err, "has no filter of kind uid"));
	live__must(LOAD, "--set", "packets.mode=none", "--duration", "1ms");
	usleep(10000);
	send_some(5);
	EXPECT_EQ(sent(live), 10);
	live__must(LOAD, "--set", "packets.mode=none");
	send_some(3);
	EXPECT_EQ(sent(live), 13);
	live__must("unload");
}

TEST_MAIN()
