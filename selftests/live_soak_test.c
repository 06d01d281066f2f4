// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The probes and the exporter for a long time: no growth of memory, descriptors, pins, tables, and
 * at the end the exact count. SOAK_SECONDS says how long, `make soak` for an hour; without it,
 * SKIP.
 *
 * Cgroups come and go, connections are made, the exporter delivers to a server, now and then a load
 * replaces the programs. It does little in a second, so that others can be tested meanwhile.
 */
#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "receiver.h"

#define EXPORTS_MAX 80 /* the receiver keeps what was sent, at most 256 requests */
#define SAMPLES 60
#define UPGRADE_EVERY 20  /* samples */
#define ALLOCATOR_KIB 512 /* what the C library's free lists come to */

static struct output output;

/**
 * struct sample - what must not grow
 * @resident: KiB of the exporter's own, RssAnon
 * @fds:      its descriptors
 * @pins:     files and directories in the pin directory
 * @kernel:   bytes that maps and programs take
 * @entries:  of the largest table
 */
struct sample {
	long resident, fds, pins, kernel, entries;
};

static time_t now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec;
}

/* --- measuring -------------------------------------------------------------------------------- */

static long resident_kib(pid_t pid)
{
	char path[64], line[256];
	long kib = -1;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%d/status", pid);
	file = fopen(path, "re");
	ASSERT_TRUE(file);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "RssAnon: %ld kB", &kib) == 1)
			break;
	fclose(file);
	return kib;
}

static long count_fds(pid_t pid)
{
	struct dirent *entry;
	char path[64];
	long n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "/proc/%d/fd", pid);
	dir = opendir(path);
	ASSERT_TRUE(dir);
	while ((entry = readdir(dir)))
		n += entry->d_name[0] != '.';
	closedir(dir);
	return n;
}

static long pins;
static int count_pin(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)path, (void)st, (void)type, (void)ftw;
	pins++;
	return 0;
}

static struct json_object *status(void)
{
	struct json_object *root;

	live__otelbpf(&output, "status", "-j", "--measure", "0");
	EXPECT_EQ(output.code, 0);
	root = json_tokener_parse(output.out);
	ASSERT_TRUE(root);
	return root;
}

static long number(struct json_object *object, const char *key)
{
	return json_object_get_int64(json_object_object_get(object, key));
}

static long most_entries(struct json_object *root)
{
	struct json_object *probes = json_object_object_get(root, "probes"), *maps;
	long most = 0;

	for (size_t i = 0; i < json_object_array_length(probes); i++) {
		maps = json_object_object_get(json_object_array_get_idx(probes, i), "maps");
		for (size_t j = 0; j < json_object_array_length(maps); j++) {
			struct json_object *map = json_object_array_get_idx(maps, j);
			const char *type =
				json_object_get_string(json_object_object_get(map, "type"));

			/* LRU tables are caches: they fill up, and are to. */
			if (type && !strcmp(type, "percpu_hash") && number(map, "entries") > most)
				most = number(map, "entries");
		}
	}
	return most;
}

static struct sample take_sample(struct live *live, pid_t exporter)
{
	struct json_object *root = status();
	struct sample sample = {
		.resident = resident_kib(exporter),
		.fds = count_fds(exporter),
		.kernel = number(root, "memory"),
		.entries = most_entries(root),
	};

	json_object_put(root);
	pins = 0;
	nftw(live->pin_dir, count_pin, 8, FTW_PHYS);
	sample.pins = pins;
	return sample;
}

/* --- what goes on meanwhile ------------------------------------------------------------------- */

static void connect_once(int listener, const struct sockaddr_in *address)
{
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), peer;
	char text[256] = "x";

	ASSERT_EQ(connect(fd, (const struct sockaddr *)address, sizeof(*address)), 0);
	peer = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
	ASSERT_GE(peer, 0);
	ASSERT_EQ(write(fd, text, sizeof(text)), sizeof(text));
	ASSERT_GT(read(peer, text, sizeof(text)), 0);
	close(peer);
	close(fd);
}

/* One that is there for this turn only, and one that stays. */
static void one_turn(struct live *live, int turn, int listener, const struct sockaddr_in *address)
{
	char name[32];
	pid_t pid;

	snprintf(name, sizeof(name), "turn%d", turn);
	EXPECT_EQ(live__workload(live, name, "mix"), 0);
	live__remove_cgroup(live, name);
	EXPECT_EQ(live__workload(live, "stays", "mix"), 0);
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		live__join(live);
		connect_once(listener, address);
		_exit(0);
	}
	EXPECT_EQ(live__wait(pid), 0);
}

static const char *const load[] = {"load",   "-q",     "syscalls", "tcp",   "udp",
				   "faults", "offcpu", "cpu",	   "--set", "cpu.frequency=19",
				   NULL};

static void load_all(const char *filter)
{
	const char *args[20];
	int n = 0;

	for (; load[n]; n++)
		args[n] = load[n];
	if (filter) {
		args[n++] = "--filter";
		args[n++] = filter;
	}
	args[n] = NULL;
	live__run_otelbpf(&output, NULL, NULL, args);
	if (output.code)
		printf("%s", output.err);
	ASSERT_EQ(output.code, 0);
}

static int listen_here(struct sockaddr_in *address)
{
	struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP};
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	socklen_t len = sizeof(*address);

	*address = (struct sockaddr_in){.sin_family = AF_INET,
					.sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
	ASSERT_EQ(ioctl(fd, SIOCSIFFLAGS, &request), 0);
	ASSERT_EQ(bind(fd, (struct sockaddr *)address, sizeof(*address)), 0);
	ASSERT_EQ(listen(fd, 4), 0);
	ASSERT_EQ(getsockname(fd, (struct sockaddr *)address, &len), 0);
	return fd;
}

/* --- judging ---------------------------------------------------------------------------------- */

static long sample_value(const struct sample *sample, int what)
{
	const long values[] = {sample->resident, sample->fds, sample->pins, sample->kernel,
			       sample->entries};

	return values[what];
}

/* The least: a sample may be taken in the midst of an export, and what leaks is in all of them. */
static long least(const struct sample *samples, int from, int to, int what)
{
	long least = sample_value(&samples[from], what);

	for (int i = from; i < to; i++)
		if (sample_value(&samples[i], what) < least)
			least = sample_value(&samples[i], what);
	return least;
}

/* The last third against the second: the first one's is what it takes to get going. */
static void judge(const struct sample *samples, int n)
{
	static const struct {
		const char *what;
		long slack;
		int percent;
	} limits[] = {
		{"KiB of the exporter", ALLOCATOR_KIB, 2},
		{"descriptors", 0, 0},
		{"pins", 0, 0},
		{"bytes in the kernel", 0, 0},
		/* How many cgroups are gone and not evicted yet is a matter of when it is looked.
		 */
		{"entries of a table", 64, 25},
	};

	for (int i = 0; i < 5; i++) {
		long before = least(samples, n / 3, 2 * n / 3, i);
		long after = least(samples, 2 * n / 3, n, i);

		printf("%s: %ld at first, then %ld, then %ld\n", limits[i].what,
		       sample_value(&samples[0], i), before, after);
		EXPECT_LE(after, before + before * limits[i].percent / 100 + limits[i].slack);
	}
}

static void expect_no_full_table(void)
{
	struct json_object *root = status();
	struct json_object *probes = json_object_object_get(root, "probes");

	for (size_t i = 0; i < json_object_array_length(probes); i++) {
		struct json_object *losses =
			json_object_object_get(json_object_array_get_idx(probes, i), "losses");

		EXPECT_EQ(number(losses, "table_full"), 0);
	}
	json_object_put(root);
}

TEST_TIMEOUT(nothing_grows, 7 * 86400)
{
	const char *text = getenv("SOAK_SECONDS");
	long seconds = text ? atol(text) : 0;
	const struct reply reply = {.status = 200};
	_cleanup_json_ struct json_object *root = NULL;
	struct sample samples[SAMPLES];
	char filter[PATH_MAX + 16], interval[32];
	struct sockaddr_in address;
	struct receiver *receiver;
	struct live *live;
	int turns = 0, n = 0, listener;
	time_t start;
	pid_t exporter;

	if (seconds <= 0)
		SKIP("SOAK_SECONDS says how long; make soak");
	live = live__begin();
	ASSERT_EQ(unshare(CLONE_NEWNET), 0);
	listener = listen_here(&address);
	setenv("OTELBPF_PROBES", OBJECT_DIR "/progs", 1);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	load_all(filter);
	receiver = receiver__start(&reply, 1);
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver__url(receiver), 1);
	snprintf(interval, sizeof(interval), "%lds",
		 seconds / EXPORTS_MAX > 2 ? seconds / EXPORTS_MAX : 2);
	exporter = live__start_exporter("--interval", interval, "--symbols", "none");

	start = now();
	while (n < SAMPLES) {
		one_turn(live, turns++, listener, &address);
		if (now() - start < seconds * (n + 1) / SAMPLES) {
			usleep(seconds > 120 ? 3000000 : 300000);
			continue;
		}
		samples[n++] = take_sample(live, exporter);
		ASSERT_EQ(waitpid(exporter, NULL, WNOHANG), 0);
		if (n % UPGRADE_EVERY == 0)
			load_all(NULL);
	}
	printf("%d turns in %ld s, %zu requests\n", turns, (long)(now() - start),
	       receiver__count(receiver));
	judge(samples, n);
	expect_no_full_table();
	EXPECT_EQ(live__stop(exporter), 0);
	EXPECT_GT(receiver__count(receiver), n / 2);
	root = live__export_file(live);
	EXPECT_EQ(live__count(live, root, "stays", "getppid"), 1000ULL * turns);
	live__must("unload", "-q");
	EXPECT_LE(live__left_behind(live), 0);
	receiver__stop(receiver);
	close(listener);
	live__endp(&live);
}

TEST_MAIN()
