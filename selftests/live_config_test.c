// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* load and reload by a configuration: exact counts over every change, nothing for a wrong one. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "fail.h"
#include "ktap.h"
#include "live.h"

static struct output output;

static void prepare(struct live *live)
{
	char path[128];

	snprintf(path, sizeof(path), "%s/otelbpf.yaml", live->tmp);
	setenv("OTELBPF_CONFIG", path, 1);
	setenv("OTELBPF_PROBES", OBJECT_DIR "/progs", 1);
	umask(022);
}

/* The probe measures our cgroup only, whatever else is configured. */
static void configure(struct live *live, const char *options, const char *filters)
{
	FILE *file = fopen(getenv("OTELBPF_CONFIG"), "we");

	ASSERT_TRUE(file);
	fprintf(file,
		"probes:\n  syscalls:\n    options:\n      per_cgroup: true\n%s"
		"    filters:\n      cgroup: %s\n%s",
		options, live->cgroup, filters);
	ASSERT_EQ(fclose(file), 0);
}

static void configure_text(const char *text)
{
	FILE *file = fopen(getenv("OTELBPF_CONFIG"), "we");

	ASSERT_TRUE(file);
	fputs(text, file);
	ASSERT_EQ(fclose(file), 0);
}

/* Runs a command, and demands words of what it says. */
static void expect_said(const char *command, int code, const char *words)
{
	bool ok;

	live__otelbpf(&output, command);
	ok = EXPECT_EQ(output.code, code);
	ok &= EXPECT_TRUE(strstr(output.err, words));
	if (!ok)
		printf("%s: %s", command, output.err);
}

static ino_t inode(struct live *live)
{
	char path[128];
	struct stat st;

	snprintf(path, sizeof(path), "%s/syscalls", live->pin_dir);
	ASSERT_EQ(stat(path, &st), 0);
	return st.st_ino;
}

TEST_TIMEOUT(reload_loses_no_count, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	struct led led;
	ino_t before;

	prepare(live);
	configure(live, "", "");
	expect_said("load", 0, "loaded syscalls");
	led__start_with(&led, live, (const char *const[]){NULL});
	led__step(&led, true, true);

	before = inode(live);
	expect_said("reload", 0, "unchanged: syscalls");
	EXPECT_EQ(inode(live), before);
	led__step(&led, true, true);

	/* Another value of an option that changes no layout: its programs are replaced. */
	configure(live, "      filters.max_entries: 1024\n", "");
	expect_said("reload", 0, "upgraded syscalls");
	EXPECT_NE(inode(live), before);
	led__step(&led, true, true);

	/* Only the filter: the programs stay. */
	before = inode(live);
	configure(live, "      filters.max_entries: 1024\n", "      syscall: getppid\n");
	expect_said("reload", 0, "changed the filter of syscalls: 2 values\n");
	led__step(&led, true, false);
	configure(live, "      filters.max_entries: 1024\n", "      syscall: [close]\n");
	expect_said("reload", 0, "2 values, others were removed");
	led__step(&led, false, true);
	configure(live, "      filters.max_entries: 1024\n", "");
	expect_said("reload", 0, "changed the filter of syscalls: 1 values, others were removed");
	led__step(&led, true, true);
	EXPECT_EQ(inode(live), before);
	expect_said("reload", 0, "unchanged: syscalls");

	/* A wrong one changes nothing, and so does one that would need another layout. */
	configure(live, "      per_cgrup: 0\n", "");
	expect_said("reload", EXIT_CONFIG, "did you mean 'per_cgroup'?");
	EXPECT_EQ(live__lines(output.err), 1);
	led__step(&led, true, true);
	configure(live, "      calls.max_entries: 64\n", "");
	expect_said("reload", EXIT_MAP, "another layout");
	led__step(&led, true, true);
	EXPECT_EQ(inode(live), before);
	EXPECT_EQ(live__left_behind(live), 1);
	led__end(&led);

	configure_text("probes: {}\n");
	expect_said("reload", 0, "unloaded syscalls");
	EXPECT_LE(live__left_behind(live), 0);
}

TEST(what_a_person_loaded_is_left_alone)
{
	_cleanup_live_ struct live *live = live__begin();
	ino_t before;

	prepare(live);
	live__load(live);
	before = inode(live);
	configure_text("probes: {}\n");
	expect_said("reload", 0, "left alone: syscalls");
	EXPECT_EQ(inode(live), before);
	/* Named in the configuration it is made what that says, and then belongs to it. */
	configure(live, "", "");
	expect_said("reload", 0, "upgraded syscalls");
	configure_text("probes: {syscalls: {enabled: false}}\n");
	expect_said("reload", 0, "unloaded syscalls");
	EXPECT_LE(live__left_behind(live), 0);
}

/* In MiB, from what is said of a budget that is exceeded. */
static double budget_needed(void)
{
	const char *about;

	EXPECT_EQ(live__otelbpf(&output, "load"), EXIT_CONFIG);
	about = strstr(output.err, "about ");
	return about ? strtod(about + 6, NULL) : 0;
}

TEST(status_tells_the_budget)
{
	_cleanup_live_ struct live *live = live__begin();

	prepare(live);
	configure(live, "", "memory_budget: 512MiB\n");
	expect_said("load", 0, "loaded syscalls");
	live__otelbpf(&output, "status", "--measure", "0");
	EXPECT_EQ(output.code, 0);
	if (!EXPECT_TRUE(strstr(output.out, "1 probe: ")) ||
	    !EXPECT_TRUE(strstr(output.out, " of a budget of 512 MiB")))
		printf("%s", output.out);
	live__otelbpf(&output, "status", "-j", "--measure", "0");
	EXPECT_TRUE(strstr(output.out, "memory_budget"));
	EXPECT_TRUE(strstr(output.out, "536870912"));
	/* It tells what is loaded whatever the configuration is by now. */
	configure_text("memory_budget: much\n");
	live__otelbpf(&output, "status", "--measure", "0");
	EXPECT_EQ(output.code, 0);
	EXPECT_TRUE(strstr(output.out, "syscalls"));
	EXPECT_TRUE(strstr(output.err, "memory_budget"));
}

TEST(a_wrong_one_pins_nothing)
{
	_cleanup_live_ struct live *live = live__begin();
	double more;

	prepare(live);
	/* The second probe is wrong: the first is not loaded either. */
	configure_text("probes:\n  syscalls:\n  udp: {options: {dns_timeout: 0}}\n");
	live__otelbpf(&output, "load");
	live__expect_failure(live, &output, EXIT_CONFIG, "udp.dns_timeout: 0 is not within 1..60");
	live__otelbpf(&output, "reload");
	live__expect_failure(live, &output, EXIT_CONFIG, "otelbpf.yaml:3: ");
	configure_text("memory_budget: 2MiB\nprobes: {syscalls: }\n");
	live__otelbpf(&output, "load");
	live__expect_failure(live, &output, EXIT_CONFIG, "more than the budget of 2.0 MiB");
	/* What an option leaves out is not part of the sum: see how much that is of the rest. */
	configure_text("memory_budget: 1MiB\nprobes: {syscalls: {options: {events: 1}}}\n");
	more = budget_needed();
	configure_text("memory_budget: 1MiB\nprobes: {syscalls: }\n");
	EXPECT_GT(more, budget_needed() + 0.25);
	ASSERT_EQ(chmod(getenv("OTELBPF_CONFIG"), 0666), 0);
	live__otelbpf(&output, "load");
	live__expect_failure(live, &output, EXIT_PERMISSION, "chmod go-w");
	setenv("OTELBPF_CONFIG", "/none/otelbpf.yaml", 1);
	live__otelbpf(&output, "load");
	live__expect_failure(live, &output, EXIT_CONFIG, "/none/otelbpf.yaml");
}

static bool has_text(const char *path, const char *text)
{
	static char bytes[1 << 20];
	FILE *file = fopen(path, "re");
	size_t n = file ? fread(bytes, 1, sizeof(bytes) - 1, file) : 0;

	bytes[n] = '\0';
	if (file)
		fclose(file);
	return strstr(bytes, text);
}

TEST(the_exporter_follows_it)
{
	_cleanup_live_ struct live *live = live__begin();
	char text[512], path[128], other[192];

	prepare(live);
	live__load(live);
	snprintf(path, sizeof(path), "%s/out.json", live->tmp);
	snprintf(text, sizeof(text), "outputs:\n  to: [\"file:%s\"]\n  service_name: of-the-file\n",
		 path);
	configure_text(text);
	EXPECT_EQ(live__exporter(&output, "--once"), 0);
	EXPECT_TRUE(has_text(path, "of-the-file"));
	/* The environment wins, and so does the command line. */
	ASSERT_EQ(unlink(path), 0);
	setenv("OTEL_SERVICE_NAME", "of-the-environment", 1);
	EXPECT_EQ(live__exporter(&output, "--once"), 0);
	EXPECT_TRUE(has_text(path, "of-the-environment"));
	EXPECT_FALSE(has_text(path, "of-the-file"));
	ASSERT_EQ(unlink(path), 0);
	snprintf(other, sizeof(other), "file:%s.other", path);
	EXPECT_EQ(live__exporter(&output, "--once", "--output", other), 0);
	EXPECT_NE(access(path, F_OK), 0);
	EXPECT_TRUE(has_text(other + strlen("file:"), "of-the-environment"));
	configure_text("outputs:\n  protocol: gprc\n");
	EXPECT_EQ(live__exporter(&output, "--once"), EXIT_CONFIG);
	EXPECT_TRUE(strstr(output.err, "did you mean 'grpc'?"));
	EXPECT_EQ(live__lines(output.err), 1);
}

/* --- a running exporter reads it again ----------------------------------------------------------
 */

/* Until all that the workload has done so far is in the file. */
static void wait_for_all(struct led *led, const char *path)
{
	for (;;) {
		int cut; /* it may be in the middle of a line */
		struct json_object *list = live__read_lines(path, &cut);
		__u64 told = list ? live__count(led->live, list, "led", "getppid") : 0;

		json_object_put(list);
		if (told >= led->getppids)
			return;
		usleep(20000);
	}
}

static void expect_told(struct led *led, const char *path, __u64 getppids)
{
	int cut;
	_cleanup_json_ struct json_object *list = live__read_lines(path, &cut);

	ASSERT_TRUE(list);
	EXPECT_EQ(cut, 0);
	EXPECT_EQ(live__count(led->live, list, "led", "getppid"), getppids);
}

static void wait_until_said(const char *log, const char *words)
{
	while (!has_text(log, words))
		usleep(20000);
}

/* With deltas: what is told twice, or never, would be in their sum. */
TEST_TIMEOUT(a_running_exporter_reads_it_again, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char first[128], second[128], log[128], text[512];
	struct led led;
	__u64 before;
	pid_t pid;

	prepare(live);
	snprintf(first, sizeof(first), "%s/first.json", live->tmp);
	snprintf(second, sizeof(second), "%s/second.json", live->tmp);
	snprintf(log, sizeof(log), "%s/log", live->tmp);
	live__load(live);
	led__start_with(&led, live, (const char *const[]){NULL});
	setenv("OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE", "delta", 1);
	snprintf(text, sizeof(text),
		 "outputs: {to: [\"file:%s\"], interval: 50ms, service_name: one}\n", first);
	configure_text(text);
	snprintf(text, sizeof(text), "exec " BUILD_DIR "/otelbpf-exporter 2>%s", log);
	pid = live__spawn_program("/bin/sh", (const char *const[]){"-c", text, NULL});
	led__step(&led, true, true);
	wait_for_all(&led, first);

	/* One more, which gets all since the load; the other goes on from where it is. */
	snprintf(text, sizeof(text),
		 "outputs: {to: [\"file:%s\", \"file:%s\"], interval: 70ms, service_name: two}\n",
		 first, second);
	configure_text(text);
	ASSERT_EQ(kill(pid, SIGHUP), 0);
	wait_for_all(&led, second);
	EXPECT_TRUE(
		has_text(second, "\"two\"")); /* not what it has set in its environment before */
	led__step(&led, true, true);
	wait_for_all(&led, first);
	wait_for_all(&led, second);

	/* What is wrong changes nothing. */
	configure_text("outputs: {protocol: gprc}\n");
	ASSERT_EQ(kill(pid, SIGHUP), 0);
	wait_until_said(log, "did you mean 'grpc'?");
	configure_text(text); /* for others, not for it: it is not told */
	led__step(&led, true, true);
	wait_for_all(&led, first);
	wait_for_all(&led, second);
	before = led.getppids;

	snprintf(text, sizeof(text),
		 "outputs: {to: [\"file:%s\"], interval: 70ms, service_name: two}\n", second);
	configure_text(text);
	ASSERT_EQ(kill(pid, SIGHUP), 0);
	wait_until_said(log, "sends no longer to ");
	led__step(&led, true, true);
	EXPECT_EQ(live__stop(pid), 0);
	expect_told(&led, first, before);
	expect_told(&led, second, led.getppids);
	EXPECT_TRUE(has_text(log, "exports every 70ms, before every 50ms"));
	led__end(&led);
}

TEST_MAIN()
