// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Tables: full, changing while they are read, of cgroups that are gone, and badly described. */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "receiver.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))

/* --- full tables ------------------------------------------------------------------------------ */

TEST(full_tables)
{
	static const char *const names[] = WORKLOAD_SPREAD_NAMES;
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	const __u64 n = 10, threads = 80000, closes = 4000;
	__u64 calls_over = 9 * n + threads, errors_over = 13 * n;
	struct otlp_point p = {};

	/* One entry of each is the overflow entry. */
	live__load(live, "--set", "syscalls.calls.max_entries=8", "--set",
		   "syscalls.errors.max_entries=4");
	EXPECT_EQ(live__workload(live, "a", "spread", "10"), 0);
	EXPECT_EQ(live__workload(live, "a", "threads"), 0);
	root = live__export_file(live);

	for (int i = 0; i < 16; i++) {
		__u64 more = i ? 0 : closes;

		EXPECT_EQ(live__count(live, root, "a", names[i]), i < 7 ? n + more : 0);
		EXPECT_EQ(otlp_json__total(root, "system.syscall.errors", "syscall.name", names[i],
					   "error.type", "EBADF"),
			  i < 3 ? n + more : 0);
	}
	ASSERT_EQ(otlp_json__find(root, "system.syscall.duration", &p, "otel.metric.overflow",
				  "true", "syscall.name", NULL, "process.linux.cgroup", NULL),
		  1);
	EXPECT_EQ(otlp_json__count(p.point), calls_over);
	EXPECT_EQ(otlp_json__bucket_total(p.point), calls_over);
	ASSERT_EQ(otlp_json__find(root, "system.syscall.errors", &p, "otel.metric.overflow", "true",
				  "syscall.name", NULL),
		  1);
	EXPECT_EQ(otlp_json__u64(p.point, "asInt"), errors_over);
	live__expect_totals(root, 16 * n + threads + closes, 16 * n + closes, 2);
	live__expect_sum(root, "otelbpf.losses", calls_over + errors_over, "otelbpf.loss.reason",
			 "table_full");
	live__expect_sum(root, "otelbpf.losses", calls_over + errors_over);
	live__expect_sum(root, "system.syscall.distinct", 17);
}

/* A table that is not full shows no overflow. */
TEST(no_overflow_without_need)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;

	live__load(live);
	EXPECT_EQ(live__workload(live, "a", "spread", "1"), 0);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__find(root, "system.syscall.duration", NULL, "otel.metric.overflow",
				  "true"),
		  0);
	EXPECT_EQ(otlp_json__find(root, "system.syscall.errors", NULL, "otel.metric.overflow",
				  "true"),
		  0);
	live__expect_no_losses(root);
}

/* --- entries that come and go ----------------------------------------------------------------- */

#define STAYING 5000
#define PASSING 4000
static const char *const tables[] = {"preallocated", "allocated", "per_cpu"};

struct churn {
	int fd;
	bool per_cpu;
	bool stop;
};

static void put(int fd, bool per_cpu, __u32 id, __u64 value)
{
	int cpus = per_cpu ? libbpf_num_possible_cpus() : 1;
	__u64 values[cpus];

	memset(values, 0, sizeof(values));
	values[id % cpus] = value;
	ASSERT_EQ(bpf_map_update_elem(fd, &id, values, BPF_ANY), 0);
}

static void *come_and_go(void *arg)
{
	struct churn *churn = arg;
	unsigned int seed = 1;

	while (!__atomic_load_n(&churn->stop, __ATOMIC_SEQ_CST)) {
		__u32 id = STAYING + rand_r(&seed) % PASSING;

		put(churn->fd, churn->per_cpu, id, 1);
		id = STAYING + rand_r(&seed) % PASSING;
		bpf_map_delete_elem(churn->fd, &id);
	}
	return NULL;
}

static struct bpf_object *load_maps(const char *file)
{
	char path[PATH_MAX];
	struct bpf_object *obj;

	snprintf(path, sizeof(path), OBJECT_DIR "/selftests/progs/%s", file);
	obj = bpf_object__open_file(path, NULL);
	ASSERT_TRUE(obj);
	ASSERT_EQ(bpf_object__load(obj), 0);
	return obj;
}

static void pin_map(struct live *live, struct bpf_object *obj, const char *probe, const char *name)
{
	char path[PATH_MAX];

	mkdir(live->pin_dir, 0700);
	snprintf(path, sizeof(path), "%s/%s", live->pin_dir, probe);
	mkdir(path, 0700);
	snprintf(path, sizeof(path), "%s/%s/%s", live->pin_dir, probe, name);
	ASSERT_EQ(bpf_obj_pin(bpf_object__find_map_fd_by_name(obj, name), path), 0);
}

struct seen {
	unsigned char times[STAYING];
	int wrong, passing;
};

static bool see(const struct otlp_point *p, void *ctx)
{
	const char *id_text = otlp_json__attr(p->point, "id");
	struct seen *seen = ctx;
	unsigned int id;

	ASSERT_TRUE(id_text);
	id = atoi(id_text);
	if (id >= STAYING) {
		seen->passing++;
		return true;
	}
	seen->times[id]++;
	seen->wrong += otlp_json__u64(p->point, "asInt") != id + 1;
	return true;
}

static void expect_all_once(struct json_object *root)
{
	static struct seen seen;
	int absent = 0, double_seen = 0;

	memset(&seen, 0, sizeof(seen));
	otlp_json__for_each_point(root, "test.churn", see, &seen);
	for (int i = 0; i < STAYING; i++) {
		absent += !seen.times[i];
		double_seen += seen.times[i] > 1;
	}
	EXPECT_EQ(absent, 0);
	EXPECT_EQ(double_seen, 0);
	EXPECT_EQ(seen.wrong, 0);
}

TEST_TIMEOUT(entries_come_and_go_during_the_read, 90)
{
	_cleanup_live_ struct live *live = live__begin();
	struct bpf_object *obj = load_maps("churn.bpf.o");

	for (int t = 0; t < 3; t++) {
		struct churn churn = {
			.fd = bpf_object__find_map_fd_by_name(obj, tables[t]),
			.per_cpu = t == 2,
		};
		char path[PATH_MAX];
		pthread_t thread;

		pin_map(live, obj, "churn", tables[t]);
		for (__u32 id = 0; id < STAYING; id++)
			put(churn.fd, churn.per_cpu, id, id + 1);
		ASSERT_EQ(pthread_create(&thread, NULL, come_and_go, &churn), 0);
		for (int i = 0; i < 10; i++) {
			_cleanup_json_ struct json_object *root = live__export_file(live);

			expect_all_once(root);
		}
		__atomic_store_n(&churn.stop, true, __ATOMIC_SEQ_CST);
		pthread_join(thread, NULL);
		snprintf(path, sizeof(path), "%s/churn/%s", live->pin_dir, tables[t]);
		ASSERT_EQ(unlink(path), 0);
	}
	bpf_object__close(obj);
}

/* Requests are split at a size, and then together hold every point once. */
TEST(requests_are_split)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL;
	struct bpf_object *obj = load_maps("churn.bpf.o");
	int fd = bpf_object__find_map_fd_by_name(obj, "allocated"), cut;
	static struct output output;
	struct sink sink;

	sink__open(&sink, live, NULL);
	pin_map(live, obj, "churn", "allocated");
	for (__u32 id = 0; id < STAYING; id++)
		put(fd, false, id, id + 1);
	EXPECT_EQ(live__exporter(&output, "--once", "--max-request", "20000", "--output",
				 sink.spec),
		  0);
	list = sink__requests(&sink, &cut);
	EXPECT_EQ(cut, 0);
	EXPECT_GT(json_object_array_length(list), 5);
	expect_all_once(list);
	bpf_object__close(obj);
}

/* --- cgroups that are gone -------------------------------------------------------------------- */

static void wait_evicted(struct live *live, __u64 id)
{
	while (live__entries(live, "calls", id) || live__entries(live, "errors", id))
		usleep(10000);
}

TEST_TIMEOUT(gone_cgroup_is_evicted, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL;
	struct json_object *with_it = NULL;
	char path[PATH_MAX + 512];
	struct sink sink;
	__u64 id;
	pid_t pid;
	int cut;

	sink__open(&sink, live, NULL);
	live__load(live);
	EXPECT_EQ(live__workload(live, "stays", "mix"), 0);
	pid = live__start_exporter("--interval", "50ms", "--output", sink.spec);
	sink__wait(&sink, 1);
	EXPECT_EQ(live__workload(live, "gone", "mix"), 0);
	id = live__cgroup_id(live, "gone");
	snprintf(path, sizeof(path), "%s", live__path(live, "gone"));
	live__remove_cgroup(live, "gone");
	wait_evicted(live, id);
	sink__wait(&sink, 2);
	EXPECT_EQ(live__stop(pid), 0);

	list = sink__requests(&sink, &cut);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *request = json_object_array_get_idx(list, i);

		if (otlp_json__find(request, "system.syscall.duration", NULL,
				    "process.linux.cgroup", path))
			with_it = request;
	}
	/* Its last numbers were all there before they went. */
	ASSERT_TRUE(with_it);
	EXPECT_EQ(otlp_json__total(with_it, "system.syscall.duration", "process.linux.cgroup",
				   path),
		  MIX_CALLS);
	EXPECT_EQ(otlp_json__total(with_it, "system.syscall.errors", "process.linux.cgroup", path),
		  MIX_FAILS);
	live__expect_mixes(live, otlp_json__last(list), "stays", 1);
	live__expect_sum(otlp_json__last(list), "system.syscall.returned", 2 * MIX_CALLS);
	EXPECT_EQ(otlp_json__find(otlp_json__last(list), "system.syscall.duration", NULL,
				  "process.linux.cgroup", path),
		  0);
}

TEST_TIMEOUT(nothing_is_evicted_while_the_receiver_is_down, 60)
{
	static const struct reply replies[] = {
		{.status = 400}, {.status = 400}, {.status = 400},
		{.status = 400}, {.status = 400}, {.status = 200},
	};
	_cleanup_live_ struct live *live = live__begin();
	struct receiver *receiver;
	__u64 id;
	pid_t pid;

	live__load(live);
	EXPECT_EQ(live__workload(live, "gone", "mix"), 0);
	id = live__cgroup_id(live, "gone");
	receiver = receiver__new(replies, sizeof(replies) / sizeof(replies[0]));
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", receiver__url(receiver), 1);
	pid = live__start_exporter("--interval", "50ms", "-q");
	live__remove_cgroup(live, "gone");
	usleep(500000); /* connections are refused */
	EXPECT_EQ(live__entries(live, "calls", id), 10);
	EXPECT_EQ(live__entries(live, "errors", id), 8);
	receiver__listen(receiver);
	while (receiver__count(receiver) < 5)
		usleep(1000);
	/* Five were refused. The sixth is the first that may make it. */
	if (receiver__count(receiver) == 5)
		EXPECT_EQ(live__entries(live, "calls", id), 10);
	wait_evicted(live, id);
	EXPECT_GE(receiver__count(receiver), 6);
	EXPECT_EQ(live__stop(pid), 0);
	receiver__stop(receiver);
}

TEST_TIMEOUT(collector_comes_back, 120)
{
	_cleanup_collector_ struct collector *collector = live__collector();
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL;
	char path[PATH_MAX + 512];
	struct sink sink;
	__u64 id, most = 0;
	pid_t pid;
	int cut;

	sink__open(&sink, live, collector);
	live__load(live);
	pid = live__start_exporter("--interval", "50ms", "-q");
	sink__wait(&sink, 1);
	EXPECT_EQ(collector__stop(collector), 0);
	EXPECT_EQ(live__workload(live, "gone", "mix"), 0);
	id = live__cgroup_id(live, "gone");
	snprintf(path, sizeof(path), "%s", live__path(live, "gone"));
	live__remove_cgroup(live, "gone");
	usleep(500000);
	EXPECT_EQ(live__entries(live, "calls", id), 10);
	EXPECT_EQ(collector__restart(collector), 0);
	wait_evicted(live, id);
	EXPECT_EQ(live__stop(pid), 0);
	list = sink__requests(&sink, &cut);
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		__u64 n = otlp_json__total(json_object_array_get_idx(list, i),
					   "system.syscall.duration", "process.linux.cgroup", path);

		/* What was read while it ran may have been sent again and again since. */
		EXPECT_LE(n, MIX_CALLS);
		if (n > most)
			most = n;
	}
	EXPECT_EQ(most, MIX_CALLS);
	live__expect_sum(otlp_json__last(list), "system.syscall.returned", MIX_CALLS);
	live__expect_sum(otlp_json__last(list), "system.syscall.failed", MIX_FAILS);
}

/* --- names ------------------------------------------------------------------------------------ */

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define POD "01234567_89ab_cdef_0123_456789abcdef"

static const struct {
	const char *name, *container, *pod, *unit;
} named[] = {
	{"system.slice/docker-" ID ".scope", ID, NULL, NULL},
	{"docker/" ID, ID, NULL, NULL},
	{"machine.slice/libpod-" ID ".scope", ID, NULL, NULL},
	{"kubepods.slice/kubepods-besteffort-pod" POD ".slice/cri-containerd-" ID ".scope", ID,
	 "01234567-89ab-cdef-0123-456789abcdef", NULL},
	{"system.slice/sshd.service", NULL, NULL, "sshd.service"},
	{"plain", NULL, NULL, NULL},
};
#define NAMED (sizeof(named) / sizeof(named[0]))

static void expect_names(struct json_object *root, char paths[NAMED][PATH_MAX])
{
	for (size_t i = 0; i < NAMED; i++) {
		int n = otlp_json__find(root, "system.syscall.duration", NULL,
					"process.linux.cgroup", paths[i], "container.id",
					named[i].container, "k8s.pod.uid", named[i].pod,
					"systemd.unit", named[i].unit, "syscall.name", "getppid");

		if (!EXPECT_EQ(n, 1))
			printf("%s\n", paths[i]);
	}
}

TEST(names_of_containers)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *there = NULL, *gone = NULL;
	static char paths[NAMED][PATH_MAX];

	live__load(live);
	for (size_t i = 0; i < NAMED; i++) {
		EXPECT_EQ(live__workload(live, named[i].name, "mix"), 0);
		snprintf(paths[i], PATH_MAX, "%s", live__path(live, named[i].name));
	}
	there = live__export_file(live);
	expect_names(there, paths);
	for (size_t i = 0; i < NAMED; i++)
		live__remove_cgroup(live, named[i].name);
	/* An exporter that never saw them. */
	gone = live__export_file(live);
	expect_names(gone, paths);
	live__expect_totals(gone, NAMED * MIX_CALLS, NAMED * MIX_FAILS, NAMED);
}

/* --- hostile maps ----------------------------------------------------------------------------- */

static bool count_point(const struct otlp_point *p, void *ctx)
{
	(void)p;
	(void)ctx;
	return true;
}

static bool is_bad(const struct bpf_map *map)
{
	return strcmp(bpf_map__name(map), "good") && strcmp(bpf_map__name(map), "a_ring");
}

TEST(malformed_maps)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *list = NULL;
	struct bpf_object *obj = load_maps("malformed.bpf.o");
	static struct output output;
	struct bpf_map *map;
	struct sink sink;
	int bad = 0, cut, fd;
	char path[PATH_MAX];
	__u32 id = 7;

	sink__open(&sink, live, NULL);
	bpf_object__for_each_map (map, obj) {
		pin_map(live, obj, "malformed", bpf_map__name(map));
		bad += is_bad(map);
	}
	EXPECT_EQ(bad, 19);
	ASSERT_EQ(bpf_map_update_elem(bpf_object__find_map_fd_by_name(obj, "good"), &id,
				      &(__u64){42}, BPF_ANY),
		  0);

	/* Without BTF, in the same place and alone; and what is no probe at all. */
	fd = bpf_map_create(BPF_MAP_TYPE_HASH, "no_btf", 4, 8, 1, NULL);
	ASSERT_GE(fd, 0);
	snprintf(path, sizeof(path), "%s/malformed/no_btf", live->pin_dir);
	ASSERT_EQ(bpf_obj_pin(fd, path), 0);
	snprintf(path, sizeof(path), "%s/alone", live->pin_dir);
	ASSERT_EQ(mkdir(path, 0700), 0);
	snprintf(path, sizeof(path), "%s/alone/no_btf", live->pin_dir);
	ASSERT_EQ(bpf_obj_pin(fd, path), 0);
	snprintf(path, sizeof(path), "%s/loose", live->pin_dir);
	ASSERT_EQ(bpf_obj_pin(fd, path), 0);
	snprintf(path, sizeof(path), "%s/empty", live->pin_dir);
	ASSERT_EQ(mkdir(path, 0700), 0);

	EXPECT_EQ(live__exporter(&output, "--once", "--output", sink.spec), 0);
	EXPECT_EQ(live__lines(output.err), bad);
	bpf_object__for_each_map (map, obj) {
		snprintf(path, sizeof(path), "/malformed/%s: not exported: ", bpf_map__name(map));
		if (!EXPECT_EQ(!!strstr(output.err, path), is_bad(map)))
			printf("%s\n", path);
	}
	list = sink__requests(&sink, &cut);
	EXPECT_EQ(json_object_array_length(list), 1);
	EXPECT_EQ(otlp_json__total(list, "test.good", "id", "7"), 42);
	EXPECT_EQ(otlp_json__for_each_point(list, NULL, count_point, NULL), 1);
	close(fd);
	bpf_object__close(obj);
}

/* A daemon says each line once, not at each export. */
TEST(malformed_map_is_told_once)
{
	_cleanup_live_ struct live *live = live__begin();
	struct bpf_object *obj = load_maps("malformed.bpf.o");
	static struct output output;

	pin_map(live, obj, "malformed", "good");
	pin_map(live, obj, "malformed", "narrow");
	EXPECT_EQ(live__exporter(&output, "--interval", "50ms", "--duration", "1s", "--output",
				 "stdout"),
		  0);
	EXPECT_EQ(live__lines(output.err), 1);
	bpf_object__close(obj);
}

TEST(nothing_is_pinned)
{
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;

	EXPECT_EQ(live__exporter(&output, "--once", "--output", "stdout"), 7);
	EXPECT_EQ(live__lines(output.err), 1);
	EXPECT_EQ(mkdir(live->pin_dir, 0700), 0);
	EXPECT_EQ(live__exporter(&output, "--once", "--output", "stdout"), 7);
	EXPECT_EQ(live__lines(output.err), 1);
	EXPECT_STREQ(output.out, "");
}

TEST_MAIN()
