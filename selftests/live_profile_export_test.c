// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * On-CPU profiles on their way: what is sent is sound and says whose it is, and all of it reaches
 * the receiver whatever happens to the exporter.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <dirent.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <otelbpf/profile.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "hot.h"
#include "ktap.h"
#include "live.h"
#include "samples.h"

static __u64 realtime_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_REALTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}
/* --- the kernel's maps ------------------------------------------------------------------------ */

/* Where a key has its window. */
static __u32 window_offset(int fd, __u32 *key_size)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), offset = ~0U;
	const struct btf_type *type;
	struct btf *btf;

	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	btf = btf__load_from_kernel_by_id(info.btf_id);
	ASSERT_TRUE(btf);
	type = btf__type_by_id(btf, btf__resolve_type(btf, info.btf_key_type_id));
	ASSERT_TRUE(type && btf_is_struct(type));
	for (int i = 0; i < btf_vlen(type); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(type)[i].name_off), "window"))
			offset = btf_member_bit_offset(type, i) / 8;
	btf__free(btf);
	*key_size = info.key_size;
	ASSERT_LE(offset + sizeof(__u32), *key_size);
	return offset;
}

static __u32 current_window(struct live *live)
{
	int fd = live__map_of(live, "cpu", "data_window");
	struct otel_window state;
	__u32 zero = 0;

	ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &state), 0);
	close(fd);
	return state.current;
}

/* Entries of closed windows. */
static int closed_entries(struct live *live, const char *name)
{
	__u32 key_size, offset, window, current = current_window(live);
	int fd = live__map_of(live, "cpu", name), n = 0;
	char key[256], *last = NULL;

	offset = window_offset(fd, &key_size);
	ASSERT_LE(key_size, sizeof(key));
	for (; !bpf_map_get_next_key(fd, last, key); last = key) {
		memcpy(&window, key + offset, sizeof(window));
		n += window != current;
	}
	close(fd);
	return n;
}
/* --- the dictionary --------------------------------------------------------------------------- */

static const struct {
	const char *table, *reference;
	bool ends;
} tables[] = {
	{"stringTable", "Strindex", true},	 {"attributeTable", "attributeIndices", false},
	{"stackTable", "stackIndex", false},	 {"locationTable", "locationIndices", false},
	{"mappingTable", "mappingIndex", false}, {"functionTable", "functionIndex", false},
	{"linkTable", "linkIndex", false},
};
#define TABLES (sizeof(tables) / sizeof(tables[0]))
#define ENTRIES_MAX 65536

struct dictionary {
	struct json_object *root;
	bool used[TABLES][ENTRIES_MAX];
};

static bool refers(const char *key, size_t table)
{
	size_t len = strlen(key), end = strlen(tables[table].reference);

	return tables[table].ends ? len > end && !strcmp(key + len - end, tables[table].reference)
				  : !strcmp(key, tables[table].reference);
}

static size_t entries_of(struct dictionary *dictionary, size_t table)
{
	struct json_object *list = json__get(dictionary->root, tables[table].table);

	return list ? json_object_array_length(list) : 0;
}

static void use(struct dictionary *dictionary, size_t table, struct json_object *index)
{
	struct json_object *one;
	__s64 i;

	if (json_object_is_type(index, json_type_array)) {
		for_each_of(one, index) use(dictionary, table, one);
		return;
	}
	i = json_object_get_int64(index);
	if (i < 0 || i >= (__s64)entries_of(dictionary, table))
		EXPECT_STREQ("an index that is out of range", tables[table].table);
	else if (i < ENTRIES_MAX)
		dictionary->used[table][i] = true;
}

/* Marks whatever anything in @obj refers to. */
static void use_all(struct dictionary *dictionary, struct json_object *obj)
{
	struct json_object *item;

	if (json_object_is_type(obj, json_type_array))
		for_each_of(item, obj) use_all(dictionary, item);
	if (!json_object_is_type(obj, json_type_object))
		return;
	json_object_object_foreach (obj, key, value) {
		for (size_t table = 0; table < TABLES; table++)
			if (refers(key, table))
				use(dictionary, table, value);
		use_all(dictionary, value);
	}
}

static struct json_object *entry(struct dictionary *dictionary, const char *table, __u64 i)
{
	return json_object_array_get_idx(json__get(dictionary->root, table), i);
}

/* Text of an attribute that an entry refers to, or NULL. */
static const char *attr_of(struct dictionary *dictionary, struct json_object *obj, const char *key)
{
	struct json_object *index;

	for_each_of(index, json__get(obj, "attributeIndices"))
	{
		struct json_object *attr =
			entry(dictionary, "attributeTable", json_object_get_int64(index));
		struct json_object *name =
			entry(dictionary, "stringTable", otlp_json__u64(attr, "keyStrindex"));

		if (name && !strcmp(json_object_get_string(name), key))
			return otlp_json__text(json__get(attr, "value"), "stringValue");
	}
	return NULL;
}

static int by_index(const void *a, const void *b)
{
	return json_object_get_int(*(struct json_object *const *)a) -
	       json_object_get_int(*(struct json_object *const *)b);
}

/* The same attributes in another order are no other entry. */
static const char *in_order(struct json_object *obj)
{
	struct json_object *attrs = json__get(obj, "attributeIndices");

	if (attrs)
		json_object_array_sort(attrs, by_index);
	return json_object_to_json_string(obj);
}

static void expect_unique(struct dictionary *dictionary, size_t table)
{
	const char *name = tables[table].table;
	size_t n = entries_of(dictionary, table);
	char **texts = calloc(n + 1, sizeof(*texts));

	ASSERT_TRUE(texts);
	ASSERT_LE(n, ENTRIES_MAX);
	for (size_t i = 0; i < n; i++) {
		texts[i] = strdup(in_order(entry(dictionary, name, i)));
		for (size_t k = 0; k < i; k++)
			if (!strcmp(texts[i], texts[k]))
				EXPECT_STRNE(texts[i], texts[k]);
		if (i && !dictionary->used[table][i]) {
			printf("%s[%zu] %s: nothing refers to it\n", name, i, texts[i]);
			EXPECT_TRUE(dictionary->used[table][i]);
		}
	}
	for (size_t i = 0; i < n; i++)
		free(texts[i]);
	free(texts);
}

/* Of the test's own process, which has joined the cgroup before execve(2), little is demanded. */
struct run {
	struct live *live;
	struct dictionary *dictionary;
	__u64 from, to, pid;
	int hot;
};

static void check_profile(struct json_object *dictionary, struct json_object *resource,
			  struct json_object *profile, void *ctx)
{
	const char *id = otlp_json__text(profile, "profileId");
	__u64 start = otlp_json__u64(profile, "timeUnixNano");
	struct run *run = ctx;
	struct json_object *type;
	char pid[16];

	EXPECT_GE(start, run->from);
	EXPECT_LE(start + otlp_json__u64(profile, "durationNano"), run->to);
	EXPECT_EQ(otlp_json__u64(profile, "period"), 1000000000 / HZ);
	EXPECT_EQ(strlen(id), 32);
	EXPECT_NE(strspn(id, "0"), 32);
	type = json__get(profile, "sampleType");
	EXPECT_STREQ(json_object_get_string(entry(run->dictionary, "stringTable",
						  otlp_json__u64(type, "typeStrindex"))),
		     "samples");
	EXPECT_STREQ(json_object_get_string(entry(run->dictionary, "stringTable",
						  otlp_json__u64(type, "unitStrindex"))),
		     "count");
	type = json__get(profile, "periodType");
	EXPECT_STREQ(json_object_get_string(entry(run->dictionary, "stringTable",
						  otlp_json__u64(type, "typeStrindex"))),
		     "cpu");
	EXPECT_STREQ(json_object_get_string(entry(run->dictionary, "stringTable",
						  otlp_json__u64(type, "unitStrindex"))),
		     "nanoseconds");
	EXPECT_TRUE(profiles__attr(dictionary, resource, "process.executable.name"));
	if (strcmp(profiles__attr(dictionary, resource, "process.executable.name") ?: "", "hot"))
		return;
	snprintf(pid, sizeof(pid), "%llu", (unsigned long long)run->pid);
	EXPECT_STREQ(profiles__attr(dictionary, resource, "process.pid"), pid);
	EXPECT_STREQ(profiles__attr(dictionary, resource, "process.linux.cgroup"),
		     live__path(run->live, ""));
	EXPECT_TRUE(strstr(profiles__attr(dictionary, resource, "process.executable.path") ?: "",
			   "/selftests/tools/hot"));
	run->hot++;
}

static __s64 number(struct json_object *obj, const char *key)
{
	return json_object_get_int64(json__get(obj, key));
}

/* An attribute's key is there once. */
static void expect_unique_keys(struct dictionary *dictionary, struct json_object *obj)
{
	struct json_object *list = json__get(obj, "attributeIndices");
	size_t n = list ? json_object_array_length(list) : 0;

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < i; k++) {
			__s64 at[] = {json_object_get_int64(json_object_array_get_idx(list, i)),
				      json_object_get_int64(json_object_array_get_idx(list, k))};

			EXPECT_NE(number(entry(dictionary, "attributeTable", at[0]), "keyStrindex"),
				  number(entry(dictionary, "attributeTable", at[1]),
					 "keyStrindex"));
		}
}

/* What the checker of OpenTelemetry's profiling group demands besides: it may not be there to ask.
 */
static void check_entries(struct dictionary *dictionary)
{
	struct json_object *obj, *line;
	size_t i = 0;

	for_each_of(obj, json__get(dictionary->root, "mappingTable"))
	{
		__u64 start = otlp_json__u64(obj, "memoryStart");
		__u64 limit = otlp_json__u64(obj, "memoryLimit");

		EXPECT_TRUE((!start && !limit) || start < limit);
		expect_unique_keys(dictionary, obj);
	}
	for_each_of(obj, json__get(dictionary->root, "locationTable"))
	{
		expect_unique_keys(dictionary, obj);
		for_each_of(line, json__get(obj, "lines"))
		{
			EXPECT_GE(number(line, "line"), 0);
			EXPECT_GE(number(line, "column"), 0);
		}
	}
	for_each_of(obj, json__get(dictionary->root, "functionTable"))
	{
		EXPECT_GE(number(obj, "startLine"), 0);
	}
	for_each_of(obj, json__get(dictionary->root, "linkTable"))
	{
		if (i++) {
			EXPECT_EQ(strlen(otlp_json__text(obj, "traceId")), 32);
			EXPECT_EQ(strlen(otlp_json__text(obj, "spanId")), 16);
		}
	}
}

/* All the samples are of one shape, a value each; nothing is empty. */
static void check_samples(struct dictionary *dictionary, struct json_object *request)
{
	struct json_object *resource, *scope, *profile, *sample;

	EXPECT_GE(json_object_array_length(json__get(request, "resourceProfiles")), 1);
	for_each_of(resource, json__get(request, "resourceProfiles"))
	{
		EXPECT_TRUE(json__get(resource, "scopeProfiles"));
		for_each_of(scope, json__get(resource, "scopeProfiles"))
		{
			EXPECT_TRUE(json__get(scope, "profiles"));
			for_each_of(profile, json__get(scope, "profiles"))
			{
				expect_unique_keys(dictionary, profile);
				for_each_of(sample, json__get(profile, "samples"))
				{
					struct json_object *values = json__get(sample, "values");

					EXPECT_TRUE(values &&
						    json_object_array_length(values) == 1);
					EXPECT_TRUE(!json__get(sample, "timestampsUnixNano"));
					expect_unique_keys(dictionary, sample);
				}
			}
		}
	}
}

static void check_request(struct json_object *request, struct dictionary *dictionary)
{
	use_all(dictionary, request);
	check_samples(dictionary, request);
	check_entries(dictionary);
	for (size_t i = 0; i < TABLES; i++) {
		struct json_object *zero = entry(dictionary, tables[i].table, 0);

		ASSERT_TRUE(zero);
		if (!i)
			EXPECT_STREQ(json_object_get_string(zero), "");
		else
			EXPECT_EQ(json_object_object_length(zero), 0);
		expect_unique(dictionary, i);
	}
	EXPECT_GT(json_object_array_length(json__get(dictionary->root, "mappingTable")), 1);
	for (size_t i = 1;
	     i < json_object_array_length(json__get(dictionary->root, "mappingTable")); i++) {
		struct json_object *mapping = entry(dictionary, "mappingTable", i);
		const char *gnu = attr_of(dictionary, mapping, "process.executable.build_id.gnu");

		/* The specification demands one of the two. */
		EXPECT_TRUE(gnu ||
			    attr_of(dictionary, mapping, "process.executable.build_id.htlhash"));
		EXPECT_TRUE(!gnu || strlen(gnu) == 40);
	}
	for (size_t i = 1;
	     i < json_object_array_length(json__get(dictionary->root, "locationTable")); i++) {
		const char *type = attr_of(dictionary, entry(dictionary, "locationTable", i),
					   "profile.frame.type");

		EXPECT_TRUE(type && (!strcmp(type, "native") || !strcmp(type, "kernel")));
	}
}

TEST_TIMEOUT(dictionary_is_sound, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	struct run run = {.live = live, .from = realtime_ns()};
	static struct dictionary dictionary;
	struct json_object *request;
	struct hot hot;
	int n = 0;

	hot__load(live);
	hot__run(&hot, live, "1000");
	requests = live__export_file(live);
	run.to = realtime_ns();
	run.pid = hot.pid;
	run.dictionary = &dictionary;
	for_each_of(request, requests)
	{
		_cleanup_json_ struct json_object *one = NULL;

		if (!json__get(request, "resourceProfiles"))
			continue;
		memset(&dictionary, 0, sizeof(dictionary));
		dictionary.root = json__get(request, "dictionary");
		ASSERT_TRUE(dictionary.root);
		check_request(request, &dictionary);
		one = json_object_new_array();
		json_object_array_add(one, json_object_get(request));
		profiles__for_each(one, check_profile, &run);
		n++;
	}
	EXPECT_EQ(n, 1);
	/* A sample in the middle of execve(2) has the new program's name and the old one's number.
	 */
	EXPECT_GE(run.hot, 1);
	EXPECT_LE(run.hot, 2);
}

static bool has_htlhash(struct json_object *dictionary, struct json_object *mapping)
{
	struct json_object *index;

	for_each_of(index, json__get(mapping, "attributeIndices"))
	{
		struct json_object *attribute = json_object_array_get_idx(
			json__get(dictionary, "attributeTable"), json_object_get_int(index));
		const char *key =
			profiles__text(dictionary, otlp_json__u64(attribute, "keyStrindex"));

		if (key && !strcmp(key, "process.executable.build_id.htlhash"))
			return true;
	}
	return false;
}

/*
 * Counts the profiles of hot that say whose they are and of which file: the first sample of a
 * process may have been taken in the kernel or in the dynamic linker.
 */
static void check_service(struct json_object *dictionary, struct json_object *resource,
			  struct json_object *profile, void *ctx)
{
	const char *name = profiles__attr(dictionary, resource, "process.executable.name");
	struct json_object *mapping;
	bool own = false;

	(void)profile;
	if (!name || strcmp(name, "hot"))
		return;
	EXPECT_STREQ(profiles__attr(dictionary, resource, "service.name"), "oven");
	EXPECT_STREQ(profiles__attr(dictionary, resource, "deployment.environment.name"),
		     "a kitchen");
	EXPECT_STRNE(profiles__attr(dictionary, resource, "process.pid"), "1");
	for_each_of(mapping, json__get(dictionary, "mappingTable"))
	{
		const char *file =
			profiles__text(dictionary, otlp_json__u64(mapping, "filenameStrindex"));
		size_t len = file ? strlen(file) : 0;

		if (len > 4 && !strcmp(file + len - 4, "/hot")) {
			EXPECT_TRUE(has_htlhash(dictionary, mapping));
			own = true;
		}
	}
	*(int *)ctx += own;
}

TEST_TIMEOUT(processes_say_who_they_are, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	struct hot hot;
	int found = 0;

	hot__load(live);
	setenv("OTEL_SERVICE_NAME", "oven", 1);
	setenv("OTEL_RESOURCE_ATTRIBUTES",
	       "service.name=x,deployment.environment.name=a%20kitchen,process.pid=1", 1);
	hot__start(&hot, live, "30000", NULL);
	unsetenv("OTEL_SERVICE_NAME");
	unsetenv("OTEL_RESOURCE_ATTRIBUTES");
	/* Nothing is consumed: what is not there yet will be the next time. */
	while (!found && !waitpid(hot.pid, NULL, WNOHANG)) {
		_cleanup_json_ struct json_object *requests = live__export_file(live);

		profiles__for_each(requests, check_service, &found);
	}
	/* Two, if the very execve(2) was sampled. */
	EXPECT_GE(found, 1);
	kill(hot.pid, SIGKILL);
	waitpid(hot.pid, NULL, 0);
}

/* --- to a Collector --------------------------------------------------------------------------- */

static void expect_received(struct live *live, struct collector *collector, const struct hot *hot)
{
	_cleanup_json_ struct json_object *requests =
		collector__lines(collector, "resourceProfiles");
	struct received received = {};

	ASSERT_TRUE(requests);
	profiles__for_each(requests, received__add, &received);
	printf("%zu requests, %zu profiles, %zu duplicates\n", json_object_array_length(requests),
	       received.n, received.duplicates);
	EXPECT_GT(received.hot, 1);
	hot__expect(received.total, hot, false);
	EXPECT_EQ(closed_entries(live, "first_samples"), 0);
	EXPECT_EQ(closed_entries(live, "samples"), 0);
	EXPECT_EQ(closed_entries(live, "first_stacks"), 0);
	EXPECT_EQ(closed_entries(live, "stacks"), 0);
	free(received.seen);
}

TEST_TIMEOUT(collector_accepts_profiles, 120)
{
	_cleanup_collector_ struct collector *collector = profiles__collector();
	_cleanup_live_ struct live *live = live__begin();
	struct hot hot;
	pid_t pid;

	hot__load(live);
	pid = live__start_exporter("-q", "--interval", "200ms");
	hot__run(&hot, live, "4000");
	EXPECT_EQ(live__stop(pid), 0);
	expect_received(live, collector, &hot);
}

/* Until an exporter has closed a window, and so begins to send it. */
static void wait_for_window(struct live *live, int ms)
{
	__u32 before = current_window(live);

	for (int i = 0; i < ms && current_window(live) == before; i++)
		usleep(1000);
}

#define KILLS 50

TEST_TIMEOUT(killed_exporter_loses_nothing, 60)
{
	_cleanup_collector_ struct collector *collector = profiles__collector();
	_cleanup_live_ struct live *live = live__begin();
	static struct output output;
	unsigned int seed = getpid();
	struct hot hot;

	hot__load(live);
	hot__start(&hot, live, is_emulated() ? "50000" : "6500", NULL);
	printf("seed %u\n", seed);
	for (int i = 0; i < KILLS; i++) {
		pid_t pid = live__start_exporter("-q", "--interval", "30ms");

		/* At any moment of its life, or in the middle of its work. */
		if (i % 2)
			wait_for_window(live, is_emulated() ? 4000 : 1000);
		else
			usleep(20000 + rand_r(&seed) % (is_emulated() ? 1400000 : 180000));
		usleep(rand_r(&seed) % (is_emulated() ? 400000 : 40000));
		kill(pid, SIGKILL);
		EXPECT_EQ(live__wait(pid), -SIGKILL);
	}
	hot__wait(&hot);
	/* What was left is sent first, then what came since. */
	EXPECT_EQ(live__exporter(&output, "-q", "--interval", "100ms", "--duration",
				 is_emulated() ? "10s" : "1s"),
		  0);
	expect_received(live, collector, &hot);
}

/* --- for a person ----------------------------------------------------------------------------- */

/* Whether it ends well, and one of its lines has the words. */
static bool command_says(const char *command, const char *words)
{
	FILE *pipe = popen(command, "re");
	bool found = false;
	char line[512];

	ASSERT_TRUE(pipe);
	while (fgets(line, sizeof(line), pipe)) {
		printf("%s", line);
		found |= !!strstr(line, words);
	}
	return !pclose(pipe) && found;
}

static bool file_has(const char *path, const char *word)
{
	FILE *file = fopen(path, "re");
	bool found = false;
	char *line = NULL;
	size_t room = 0;

	ASSERT_TRUE(file);
	while (!found && getline(&line, &room, file) > 0)
		found = strstr(line, word);
	free(line);
	fclose(file);
	return found;
}

TEST_TIMEOUT(html_and_pprof, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	char html[128], pprof[128], command[192];
	static struct output output;
	unsigned char magic[2] = {};
	struct hot hot;
	FILE *file;

	hot__load(live);
	hot__run(&hot, live, "1000");
	snprintf(html, sizeof(html), "file:%s/hot.html", live->tmp);
	EXPECT_EQ(live__exporter(&output, "--format", "html", "--output", html), 0);
	EXPECT_TRUE(file_has(html + strlen("file:"), "<script"));
	EXPECT_TRUE(file_has(html + strlen("file:"), "hot_a"));

	snprintf(pprof, sizeof(pprof), "file:%s/hot.pb.gz", live->tmp);
	EXPECT_EQ(live__exporter(&output, "--format", "pprof", "--output", pprof), 0);
	file = fopen(pprof + strlen("file:"), "re");
	ASSERT_TRUE(file);
	EXPECT_EQ(fread(magic, 1, 2, file), 2);
	fclose(file);
	EXPECT_EQ(magic[0], 0x1f);
	EXPECT_EQ(magic[1], 0x8b);

	if (is_emulated() || system("go version >/dev/null 2>&1"))
		return;
	snprintf(command, sizeof(command), "go tool pprof -top %s 2>&1", pprof + strlen("file:"));
	EXPECT_TRUE(command_says(command, " hot_a"));
}

/* --- other people's checker ------------------------------------------------------------------- */

/* Whether an OTLP request has a member 2 on its outermost level: a dictionary, so it is profiles.
 */
static bool has_dictionary(const unsigned char *at, size_t len)
{
	const unsigned char *end = at + len;

	while (at < end) {
		unsigned int tag = *at++, shift = 0;
		size_t size = 0;

		while (at < end && *at & 0x80 && shift < 56) {
			size |= (size_t)(*at++ & 0x7f) << shift;
			shift += 7;
		}
		if (at < end)
			size |= (size_t)*at++ << shift;
		if (tag == (2 << 3 | 2))
			return true;
		if ((tag & 7) != 2 || size > (size_t)(end - at))
			return false;
		at += size;
	}
	return false;
}

static void check_with(const char *program, struct live *live, const void *data, size_t len)
{
	char path[128], command[PATH_MAX + 256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/profile%d.pb", live->tmp, live->steps++);
	file = fopen(path, "we");
	ASSERT_TRUE(file);
	ASSERT_EQ(fwrite(data, 1, len, file), len);
	fclose(file);
	snprintf(command, sizeof(command), "%s -check-dupes -check-orphans %s 2>&1", program, path);
	EXPECT_TRUE(command_says(command, "conformance checks passed"));
}

/* What is sent, on-CPU and off-CPU, of a live kernel: nothing to find fault with. */
TEST_TIMEOUT(profcheck, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	const char *program = getenv("PROFCHECK");
	char spec[128], filter[PATH_MAX + 16];
	static unsigned char bytes[8 << 20];
	static struct output output;
	size_t len, at = 0;
	struct hot hot;
	FILE *file;
	int n = 0;

	if (!program || !*program)
		SKIP("PROFCHECK is not set; see scripts/profcheck");
	hot__load(live);
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", "-q", OFFCPU_OBJECT, "--set", "offcpu.min_us=0", "--filter", filter);
	hot__run(&hot, live, "1000");
	snprintf(spec, sizeof(spec), "file:%s/live.pb", live->tmp);
	ASSERT_EQ(live__exporter(&output, "--once", "--format", "protobuf", "--output", spec), 0);
	file = fopen(spec + strlen("file:"), "re");
	ASSERT_TRUE(file);
	len = fread(bytes, 1, sizeof(bytes), file);
	fclose(file);
	ASSERT_LT(len, sizeof(bytes));
	/* Each request behind its length. */
	while (at < len) {
		unsigned int shift = 0;
		size_t size = 0;

		do {
			ASSERT_LT(shift, 63);
			ASSERT_LT(at, len);
			size |= (size_t)(bytes[at] & 0x7f) << shift;
			shift += 7;
		} while (bytes[at++] & 0x80);
		ASSERT_LE(size, len - at);
		if (has_dictionary(bytes + at, size)) {
			check_with(program, live, bytes + at, size);
			n++;
		}
		at += size;
	}
	EXPECT_GT(n, 0);
}

/* --- pause ------------------------------------------------------------------------------------ */

static int cpu_links(struct live *live)
{
	char path[128];
	struct dirent *entry;
	int n = 0;
	DIR *dir;

	snprintf(path, sizeof(path), "%s/cpu/link", live->pin_dir);
	dir = opendir(path);
	ASSERT_TRUE(dir);
	while ((entry = readdir(dir)))
		n += !strncmp(entry->d_name, "sample_cpu", strlen("sample_cpu"));
	closedir(dir);
	return n;
}

TEST_TIMEOUT(pause_stops_sampling, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	__u64 before, paused, after;
	struct hot hot;

	hot__load(live);
	EXPECT_EQ(cpu_links(live), sysconf(_SC_NPROCESSORS_ONLN));
	hot__start(&hot, live, "60000", NULL);
	usleep(500000);
	live__must("pause", "-q");
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	before = received__samples_now(live);
	EXPECT_GT(before, 0);
	usleep(700000);
	paused = received__samples_now(live);
	EXPECT_EQ(paused, before);
	live__must("resume", "-q");
	usleep(700000);
	after = received__samples_now(live);
	EXPECT_GT(after, paused);
	EXPECT_EQ(cpu_links(live), sysconf(_SC_NPROCESSORS_ONLN));
	kill(hot.pid, SIGKILL);
	EXPECT_EQ(live__wait(hot.pid), -SIGKILL);
}

TEST_MAIN()
