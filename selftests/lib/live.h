/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a test needs that loads probes into the running kernel: a pin directory and a cgroup of
 * its own, the two programs, a workload that makes known system calls, and the numbers that came
 * out of it.
 *
 *	struct live *live __attribute__((cleanup(live__endp))) = live__begin();
 *	live__load(live);
 *	EXPECT_EQ(live__workload(live, "a", "mix"), 0);
 *	root = live__export_file(live);
 *	live__expect_calls(live, root, "a", expected);
 *
 * Functions end the test by ASSERT_*() when something fails that is not what the test is about.
 * Whatever way the test ends, a guard process outside of its process group then removes the pin
 * directory, the cgroup and the temporary directory.
 *
 * Others use this kernel, too: a probe measures only what runs in the test's own cgroup.
 */
#ifndef SELFTESTS_LIVE_H
#define SELFTESTS_LIVE_H

#include <json-c/json.h>
#include <limits.h>
#include <linux/types.h>
#include <stdbool.h>
#include <sys/syscall.h>
#include <sys/types.h>

#include "../tools/workload.h"

struct collector;

/**
 * struct live - a test's place in the kernel
 * @pin_dir: on bpffs; both programs take it from the environment
 * @shared_dir: on bpffs, for maps that tools share; the loader takes it from the environment
 * @cgroup:  directory of the test's cgroup
 * @mount:   where cgroup v2 is mounted: @cgroup begins with it
 * @tmp:     a directory for files
 */
struct live {
	char pin_dir[64];
	char shared_dir[64];
	char cgroup[PATH_MAX];
	char mount[PATH_MAX];
	char tmp[64];
	int exports;
	int steps;
	int guard;
	pid_t guard_pid;
};

/**
 * live__begin() - take a place; SKIPs where this kernel or user cannot
 */
struct live *live__begin(void);
void live__endp(struct live **live);
#define _cleanup_live_ __attribute__((cleanup(live__endp)))
#define _cleanup_json_ __attribute__((cleanup(live__put_json)))
void live__put_json(struct json_object **json);

/* --- programs -------------------------------------------------------------------------------- */

/**
 * struct output - what a program said
 * @code:  exit code, or -SIGNAL
 * @out:   stdout
 * @err:   stderr
 */
struct output {
	int code;
	char out[65536];
	char err[16384];
};

/**
 * live__run() - run a program and wait for it
 * @output: filled in
 * @before: called in the child before exec, or NULL
 * @ctx:    handed to @before
 * @argv:   ends with NULL
 */
void live__run(struct output *output, void (*before)(void *ctx), void *ctx,
	       const char *const *argv);

/**
 * live__otelbpf() - run otelbpf
 * @...: its arguments
 *
 * Return: exit code; what it said is in @output.
 */
#define live__otelbpf(output, ...) \
	live__program(output, BUILD_DIR "/otelbpf", (const char *const[]){__VA_ARGS__, NULL})
#define live__exporter(output, ...)                          \
	live__program(output, BUILD_DIR "/otelbpf-exporter", \
		      (const char *const[]){__VA_ARGS__, NULL})
int live__program(struct output *output, const char *program, const char *const *args);

/** live__must() - the same, and it has to end with 0 */
#define live__must(...) live__must_run((const char *const[]){__VA_ARGS__, NULL})
void live__must_run(const char *const *args);

/** live__join() - for live__run(): the program runs in the test's cgroup; @ctx: struct live */
void live__join(void *ctx);

/** live__run_otelbpf() - as live__run(), of otelbpf; @args ends with NULL */
void live__run_otelbpf(struct output *output, void (*before)(void *ctx), void *ctx,
		       const char *const *args);

/** live__left_behind() - names in the pin directory; -1 if it is not there */
int live__left_behind(struct live *live);

/**
 * live__expect_failure() - demand a failure as it should be
 *
 * That exit code, one line on stderr that begins with the program's name, nothing on stdout, and
 * nothing left in the pin directory.
 * @word: is in that line; or NULL
 */
void live__expect_failure(struct live *live, const struct output *output, int code,
			  const char *word);

/** live__start_exporter() - start one that goes on; live__stop() with SIGTERM: its exit code */
#define live__start_exporter(...) live__spawn_exporter((const char *const[]){__VA_ARGS__, NULL})
pid_t live__spawn_exporter(const char *const *args);
#define live__start_otelbpf(...) \
	live__spawn_program(BUILD_DIR "/otelbpf", (const char *const[]){__VA_ARGS__, NULL})
pid_t live__spawn_program(const char *program, const char *const *args);
int live__stop(pid_t pid);

/** live__copy_file() - make a file like another: for a user who cannot get at that */
void live__copy_file(const char *from, const char *to, mode_t mode);

/** live__lines() - how many lines a text has */
int live__lines(const char *text);

/* BPF objects are the same for a build with sanitizers. */
#define SYSCALLS_OBJECT OBJECT_DIR "/progs/syscalls.bpf.o"

/**
 * live__load() - load the system call probe for our cgroup alone, with nothing counted yet
 * @...: further arguments of "otelbpf load"
 */
#define live__load(live, ...) \
	live__load_with(live, (const char *const[]){NULL, ##__VA_ARGS__, NULL} + 1)
void live__load_with(struct live *live, const char *const *args);

/**
 * live__start_upgrades() - load an object over itself, three times, in a process for live__wait()
 * @over: set when it has, in memory that is shared
 * @...:  arguments of "otelbpf load"
 */
#define live__start_upgrades(over, ...) \
	live__spawn_upgrades(over, (const char *const[]){"load", "-q", __VA_ARGS__, NULL})
pid_t live__spawn_upgrades(bool *over, const char *const *args);

/** live__reset() - set all that the probe has counted to nothing */
void live__reset(struct live *live);

/** live__start_ns() - when the probe was loaded, from its meta map */
__u64 live__start_ns(struct live *live);

/** live__map_of() - descriptor of a map that a probe pinned; live__map() - of syscalls */
int live__map_of(struct live *live, const char *probe, const char *name);
int live__map(struct live *live, const char *name);

/** live__map_entries() - how many entries a map of a probe has */
int live__map_entries(struct live *live, const char *probe, const char *name);

/* --- cgroups and workloads ------------------------------------------------------------------- */

/** live__make_cgroup() - make a cgroup (and its parents) below ours; "" is ours */
void live__make_cgroup(struct live *live, const char *name);
void live__remove_cgroup(struct live *live, const char *name);

/** live__cgroup() - its directory; borrowed until the fourth call from now */
const char *live__cgroup(struct live *live, const char *name);

/** live__cgroup_id() - its id */
__u64 live__cgroup_id(struct live *live, const char *name);

/**
 * live__workload() - run a workload in a cgroup, made if need be, to its end
 * @name: of the cgroup
 * @...:  arguments of the program, see tools/workload.c
 *
 * Return: exit code or -SIGNAL.
 */
#define live__workload(live, name, ...) live__wait(live__start_workload(live, name, __VA_ARGS__))
#define live__start_workload(live, name, ...) \
	live__spawn_workload(live, name, -1, (const char *const[]){__VA_ARGS__, NULL})
pid_t live__spawn_workload(struct live *live, const char *name, int in, const char *const *args);
int live__wait(pid_t pid);

/** live__wait_blocked() - wait until a process is blocked in a system call, by number */
void live__wait_blocked(pid_t pid, long nr);

/**
 * live__steps() - a file for the workload's -s, with its contents mapped
 * @path: set to its path
 */
struct steps *live__steps(struct live *live, char path[PATH_MAX]);

/** steps__wait_ready() - until the workload has joined its cgroup */
void steps__wait_ready(struct steps *steps);
/** steps__do() - let it do one step and wait until it has; steps__end(): no more */
void steps__do(struct steps *steps);
void steps__end(struct steps *steps);

/**
 * struct led - a workload that is led step by step: 100 getppid(2) and 10 close(-1) each
 * @pid:      its process; @pid_text the same as text
 * @getppids: that should have been counted by now
 * @closes:   likewise
 */
struct led {
	struct live *live;
	struct steps *steps;
	pid_t pid;
	char pid_text[16];
	__u64 getppids;
	__u64 closes;
};

/** led__start() - start one in the cgroup "led"; @...: further options of the workload */
#define led__start(led, live, ...) \
	led__start_with(led, live, (const char *const[]){NULL, ##__VA_ARGS__, NULL} + 1)
void led__start_with(struct led *led, struct live *live, const char *const *options);

/** led__step() - one step; demand that its calls of either kind have been counted, or not */
void led__step(struct led *led, bool getppids, bool closes);
void led__end(struct led *led);

/* --- numbers --------------------------------------------------------------------------------- */

/**
 * live__export_file() - what an exporter --once with a file as its output tells
 *
 * Return: an array of OTLP/JSON requests, for json_object_put().
 */
struct json_object *live__export_file(struct live *live);

/**
 * live__read_lines() - a file's lines of JSON as an array; NULL if there is no file
 * @cut: gets the number of lines that are none
 */
struct json_object *live__read_lines(const char *path, int *cut);

/**
 * live__export_collector() - the same, as a Collector received it
 * @protocol:    OTEL_EXPORTER_OTLP_PROTOCOL
 * @compression: OTEL_EXPORTER_OTLP_COMPRESSION
 */
struct json_object *live__export_collector(struct live *live, struct collector *collector,
					   const char *protocol, const char *compression);

/**
 * struct sink - where an exporter that goes on sends to
 * @collector: NULL for a file
 * @path:      of the file
 * @spec:      for --output
 */
struct sink {
	struct collector *collector;
	char path[128];
	char spec[160];
};

/** sink__open() - take a file, or a Collector, whose endpoint goes into the environment */
void sink__open(struct sink *sink, struct live *live, struct collector *collector);

/**
 * sink__requests() - all requests so far
 * @cut: gets the number of lines of the file that are no JSON
 */
struct json_object *sink__requests(struct sink *sink, int *cut);
size_t sink__count(struct sink *sink);

/** sink__wait() - wait until so many more have come */
void sink__wait(struct sink *sink, size_t more);

/** live__collector() - start a Collector, or SKIP */
struct collector *live__collector(void);

/**
 * struct calls - how often a system call was made; the last one of an array has no name
 * @name:  its name
 * @nr:    its number, with bit 31 for a 32-bit caller
 * @calls: how often
 * @error: name of an errno, or NULL
 * @failed: how often it failed with it. For more than one errno of a call: more lines, whose
 *          @calls are 0
 * @least: the calls together took at least so many milliseconds
 */
struct calls {
	const char *name;
	__u32 nr;
	__u64 calls;
	const char *error;
	__u64 failed;
	__u64 least;
};
#define COMPAT_NR (1U << 31)
#define OTHER_NR 1023 /* what no kernel has, see progs/syscall_abi.h */

#define CALLS(call, n) ((struct calls){.name = #call, .nr = SYS_##call, .calls = (n)})
#define TOOK(call, n, ms) \
	((struct calls){.name = #call, .nr = SYS_##call, .calls = (n), .least = (ms)})
#define FAILED(call, n, errno_name, times)    \
	((struct calls){.name = #call,        \
			.nr = SYS_##call,     \
			.calls = (n),         \
			.error = #errno_name, \
			.failed = (times)})

/* What "workload mix N" makes. */
#define MIX(n)                                                                                    \
	CALLS(getppid, 1000 * (n)), CALLS(getuid, 500 * (n)), CALLS(gettid, 250 * (n)),           \
		FAILED(close, 70 * (n), EBADF, 70 * (n)),                                         \
		FAILED(openat, 50 * (n), ENOENT, 30 * (n)), FAILED(openat, 0, ENOTDIR, 20 * (n)), \
		FAILED(lseek, 11 * (n), ESPIPE, 11 * (n)),                                        \
		FAILED(nanosleep, 7 * (n), EINVAL, 7 * (n)),                                      \
		FAILED(mkdirat, 5 * (n), EEXIST, 5 * (n)), FAILED(uname, (n), EFAULT, (n)),       \
		((struct calls){.name = "_OTHER",                                                 \
				.nr = OTHER_NR,                                                   \
				.calls = (n),                                                     \
				.error = "ENOSYS",                                                \
				.failed = (n)})
#define MIX_CALLS 1895
#define MIX_FAILS 145

/**
 * live__expect_calls() - demand exactly these calls of a cgroup and no others
 *
 * In the export and in the pinned map: counts, errors, and that every histogram agrees with
 * itself and, bucket by bucket, with the map.
 */
void live__expect_calls(struct live *live, struct json_object *root, const char *name,
			const struct calls *calls);

/** live__expect_mixes() - the same: exactly "workload mix @n" */
void live__expect_mixes(struct live *live, struct json_object *root, const char *name, __u64 n);

/** live__entries() - how many entries of a cgroup a pinned table has */
int live__entries(struct live *live, const char *map, __u64 cgroup);

/** live__expect_sum() - demand the value of a sum of the host; @...: attributes, in pairs */
#define live__expect_sum(root, metric, value, ...)                                             \
	EXPECT_EQ(otlp_json__total(root, metric, "process.linux.cgroup", NULL, ##__VA_ARGS__), \
		  value)

/**
 * live__expect_totals() - demand what the probe counts over all cgroups
 * @unreturned: system.syscall.unreturned; the others are the sums over the export's own series
 */
void live__expect_totals(struct json_object *root, __u64 returned, __u64 failed, __u64 unreturned);

/** live__expect_no_losses() - demand that every loss counter is there and 0 */
void live__expect_no_losses(struct json_object *root);

/** live__count() - how often a call was counted in a cgroup, in the export */
__u64 live__count(struct live *live, struct json_object *root, const char *name,
		  const char *syscall);

/** live__path() - a cgroup's path as a resource attribute tells it; borrowed as live__cgroup() */
const char *live__path(struct live *live, const char *name);

#endif
