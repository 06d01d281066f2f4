// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What processes say of themselves. Children publish a context as an SDK does, or as nobody
 * should, and the Resource made of it is read back.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "fuse_server.h"
#include "ktap.h"
#include "otlp/attr.h"
#include "otlp/fields.h"
#include "process_context.h"
#include "process_resource.h"

#ifndef PR_SET_VMA
#define PR_SET_VMA 0x53564d41
#define PR_SET_VMA_ANON_NAME 0
#endif

/* --- reading a Resource back ------------------------------------------------------- */

static int count_of(const struct pb *resource, const char *key)
{
	const __u8 *at = resource->data;
	struct pb_field field;
	const char *other;
	int n = 0;

	while (resource->len && pb__next(&at, resource->data + resource->len, &field) > 0)
		n += field.number == RESOURCE_ATTRIBUTES &&
		     attrs__key(field.data, field.len, &other) == strlen(key) &&
		     !memcmp(other, key, strlen(key));
	return n;
}

static const char *text_of(const struct pb *resource, const char *key)
{
	static char text[8192];
	const __u8 *at = resource->data;
	struct pb_field field, part, value;
	const char *other;

	while (resource->len && pb__next(&at, resource->data + resource->len, &field) > 0) {
		const __u8 *inner = field.data, *any;

		if (field.number != RESOURCE_ATTRIBUTES ||
		    attrs__key(field.data, field.len, &other) != strlen(key) ||
		    memcmp(other, key, strlen(key)))
			continue;
		while (pb__next(&inner, field.data + field.len, &part) > 0) {
			if (part.number != KEY_VALUE_VALUE)
				continue;
			any = part.data;
			ASSERT_EQ(pb__next(&any, part.data + part.len, &value), 1);
			if (value.number == ANY_VALUE_STRING)
				snprintf(text, sizeof(text), "%.*s", (int)value.len, value.data);
			else
				snprintf(text, sizeof(text), "%lld", (long long)value.value);
			return text;
		}
	}
	return NULL;
}

static __u64 dropped_of(const struct pb *resource)
{
	const __u8 *at = resource->data;
	struct pb_field field;

	while (resource->len && pb__next(&at, resource->data + resource->len, &field) > 0)
		if (field.number == RESOURCE_DROPPED_ATTRIBUTES_COUNT)
			return field.value;
	return 0;
}

/* --- a child that publishes ----------------------------------------------------------- */

struct header {
	char signature[8];
	__u32 version, size;
	__u64 published, payload;
};

enum how { ANONYMOUS, MEMFD, MEMFD_NAMED };

struct context {
	enum how how;
	const char *signature;
	__u32 version, size;	  /* size 0: the payload's */
	__u64 published, pointer; /* pointer 0: the payload's */
	bool executable;
};

static struct pb payload;
static struct header *header;

static void add(const char *key, const char *value)
{
	attr__string(&payload, RESOURCE_ATTRIBUTES, key, value, strlen(value));
}

/* A ProcessContext around what was added. */
static void finish(void)
{
	struct pb message = {0};

	pb__bytes(&message, 1, payload.data, payload.len);
	pb__free(&payload);
	payload = message;
}

static void publish(const struct context *context)
{
	int fd = context->how == ANONYMOUS ? -1 : syscall(SYS_memfd_create, "OTEL_CTX", 0);
	void *at;

	if (fd >= 0 && ftruncate(fd, 4096))
		_exit(1);
	at = mmap(NULL, 4096, PROT_READ | PROT_WRITE | (context->executable ? PROT_EXEC : 0),
		  fd < 0 ? MAP_PRIVATE | MAP_ANONYMOUS : MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		_exit(1);
	header = at;
	header->version = context->version ? context->version : 2;
	header->size = context->size ? context->size : payload.len;
	header->payload = context->pointer ? context->pointer : (uintptr_t)payload.data;
	header->published = context->published;
	memcpy(header->signature, context->signature ? context->signature : "OTEL_CTX", 8);
	if (context->how != MEMFD &&
	    prctl(PR_SET_VMA, PR_SET_VMA_ANON_NAME, at, 4096, "OTEL_CTX") && fd < 0)
		_exit(77);
}

static struct otel_process_id child_id;
static char child_path[4096];
static int to_child[2], from_child[2];

/* What is_alive() compares: the kernel side has it in ns, and here it is known in ticks. */
static void identify(pid_t pid)
{
	char path[64], line[1024], *at;
	unsigned long long ticks;
	FILE *file;
	ssize_t n;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	file = fopen(path, "r");
	ASSERT_TRUE(file && fgets(line, sizeof(line), file));
	fclose(file);
	at = strrchr(line, ')') + 2;
	for (int i = 3; i < 22; i++)
		at = strchr(at, ' ') + 1;
	ticks = strtoull(at, NULL, 10);
	child_id = (struct otel_process_id){
		.pid = pid, .exec = 1, .start_ns = ticks * (1000000000 / sysconf(_SC_CLK_TCK)) + 5};
	snprintf(path, sizeof(path), "/proc/%d/exe", pid);
	n = readlink(path, child_path, sizeof(child_path) - 1);
	child_path[n > 0 ? n : 0] = '\0';
}

static void run(void (*body)(const struct context *), const struct context *context)
{
	pid_t pid;
	char c;

	ASSERT_EQ(pipe(to_child), 0);
	ASSERT_EQ(pipe(from_child), 0);
	pid = fork();
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		close(to_child[1]);
		close(from_child[0]);
		body(context);
		if (write(from_child[1], "r", 1) != 1)
			_exit(1);
		while (read(to_child[0], &c, 1) == 1) {
		}
		_exit(0);
	}
	close(to_child[0]);
	close(from_child[1]);
	if (read(from_child[0], &c, 1) != 1) {
		int status;

		waitpid(pid, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 77)
			SKIP("this kernel lacks what the test needs");
		ASSERT_EQ(status, 0);
	}
	identify(pid);
}

static void end(void)
{
	kill(child_id.pid, SIGKILL);
	waitpid(child_id.pid, NULL, 0);
	close(to_child[1]);
	close(from_child[0]);
}

static struct pb measured(void)
{
	struct pb resource = {0};

	attr__string(&resource, RESOURCE_ATTRIBUTES, "host.name", "here", 4);
	attr__string(&resource, RESOURCE_ATTRIBUTES, "service.name", "exporter", 8);
	attr__int(&resource, RESOURCE_ATTRIBUTES, "process.pid", 42);
	return resource;
}

static struct pb ask(struct process_resources *resources)
{
	struct pb resource = measured();

	process_resources__add(resources, &child_id, child_path, &resource);
	process_resources__next_export(resources);
	return resource;
}

static __s64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* --- what an SDK publishes ----------------------------------------------------------- */

static void publish_shop(const struct context *context)
{
	add("service.name", "shop");
	add("service.instance.id", "627cc493-f310-47de-96bd-71410b7dec09");
	add("deployment.environment.name", "staging");
	attr__int(&payload, RESOURCE_ATTRIBUTES, "shop.shelves", 12);
	/* What is not its own to say. */
	add("process.pid", "1");
	add("process.executable.name", "init");
	add("container.id", "not-mine");
	add("process.linux.cgroup", "0::/elsewhere");
	add("host.name", "elsewhere");
	add("otelbpf.cgroup.id", "1");
	finish();
	publish(context);
}

static void expect_shop(const struct pb *resource)
{
	EXPECT_STREQ(text_of(resource, "service.name"), "shop");
	EXPECT_EQ(count_of(resource, "service.name"), 1);
	EXPECT_STREQ(text_of(resource, "service.instance.id"),
		     "627cc493-f310-47de-96bd-71410b7dec09");
	EXPECT_STREQ(text_of(resource, "deployment.environment.name"), "staging");
	EXPECT_STREQ(text_of(resource, "shop.shelves"), "12");
	EXPECT_STREQ(text_of(resource, "process.pid"), "42");
	EXPECT_EQ(count_of(resource, "process.pid"), 1);
	EXPECT_STREQ(text_of(resource, "host.name"), "here");
	EXPECT_EQ(count_of(resource, "host.name"), 1);
	EXPECT_EQ(count_of(resource, "process.executable.name"), 0);
	EXPECT_EQ(count_of(resource, "container.id"), 0);
	EXPECT_EQ(count_of(resource, "process.linux.cgroup"), 0);
	EXPECT_EQ(count_of(resource, "otelbpf.cgroup.id"), 0);
	EXPECT_EQ(dropped_of(resource), 0);
}

static void check_shop(enum how how)
{
	struct process_resources *resources = process_resources__new();
	struct context context = {.how = how, .published = 1};
	struct process_resources_stats stats;
	struct pb resource;

	run(publish_shop, &context);
	for (int i = 0; i < 3; i++) {
		resource = ask(resources);
		expect_shop(&resource);
		pb__free(&resource);
	}
	/* It is gone, and its number may be another's: what it said holds. */
	end();
	resource = ask(resources);
	expect_shop(&resource);
	pb__free(&resource);
	process_resources__stats(resources, &stats);
	EXPECT_EQ(stats.processes, 1);
	EXPECT_EQ(stats.asked, 3);
	process_resources__free(resources);
}

TEST(anonymous_mapping)
{
	check_shop(ANONYMOUS);
}

TEST(memfd)
{
	check_shop(MEMFD);
}

TEST(memfd_named)
{
	check_shop(MEMFD_NAMED);
}

/* Published late, then changed, then withdrawn. */
static void publish_in_steps(const struct context *context)
{
	char c;

	if (write(from_child[1], "r", 1) != 1)
		_exit(1);
	if (read(to_child[0], &c, 1) != 1)
		_exit(1);
	add("service.name", "first");
	finish();
	publish(context);
	if (write(from_child[1], "r", 1) != 1 || read(to_child[0], &c, 1) != 1)
		_exit(1);
	__atomic_store_n(&header->published, 0, __ATOMIC_SEQ_CST);
	pb__free(&payload);
	add("service.name", "second, and longer");
	finish();
	header->payload = (uintptr_t)payload.data;
	header->size = payload.len;
	if (write(from_child[1], "r", 1) != 1 || read(to_child[0], &c, 1) != 1)
		_exit(1);
	__atomic_store_n(&header->published, 2, __ATOMIC_SEQ_CST);
	if (write(from_child[1], "r", 1) != 1 || read(to_child[0], &c, 1) != 1)
		_exit(1);
	munmap(header, 4096);
}

static void step(void)
{
	char c;

	ASSERT_EQ(write(to_child[1], "s", 1), 1);
	ASSERT_EQ(read(from_child[0], &c, 1), 1);
}

static void expect_name(struct process_resources *resources, const char *name)
{
	struct pb resource = ask(resources);

	EXPECT_STREQ(text_of(&resource, "service.name"), name);
	EXPECT_EQ(count_of(&resource, "service.name"), 1);
	pb__free(&resource);
}

TEST(updates)
{
	struct process_resources *resources = process_resources__new();
	struct context context = {.how = MEMFD, .published = 1};

	run(publish_in_steps, &context);
	expect_name(resources, "exporter");
	step();
	expect_name(resources, "first");
	step(); /* in the middle of an update */
	expect_name(resources, "first");
	step();
	expect_name(resources, "second, and longer");
	step(); /* withdrawn: what it was, it was */
	expect_name(resources, "second, and longer");
	expect_name(resources, "second, and longer");
	end();
	expect_name(resources, "second, and longer");
	process_resources__free(resources);
}

/* --- the environment ---------------------------------------------------------------- */

static void publish_lot(const struct context *context)
{
	add("service.name", "lot");
	add("a", "of the context");
	finish();
	publish(context);
}

static void exec_with(const char *const environment[], bool context)
{
	extern char **environ;
	struct context how = {.how = MEMFD, .published = 7};
	pid_t pid;
	char c;

	ASSERT_EQ(pipe(to_child), 0);
	ASSERT_EQ(pipe(from_child), 0);
	pid = fork();
	if (!pid) {
		/* The test itself, as the child below. */
		char *args[] = {(char *)"process_context_test", (char *)"_child", NULL};

		dup2(to_child[0], 0);
		dup2(from_child[1], 1);
		setenv("CHILD", context ? "context" : "plain", 1);
		for (int i = 0; environment[i]; i++)
			putenv((char *)environment[i]);
		close_range(3, ~0U, 0);
		execve("/proc/self/exe", args, environ);
		_exit(1);
	}
	(void)how;
	close(to_child[0]);
	close(from_child[1]);
	do
		ASSERT_EQ(read(from_child[0], &c, 1), 1);
	while (c != '!');
	identify(pid);
}

/* Not a test: what exec_with() starts; its pipes are 0 and 1 of the harness's child. */
static void __attribute__((constructor)) child_main(void)
{
	struct context how = {.how = MEMFD, .published = 7};
	const char *what = getenv("CHILD");
	char c;

	if (!what)
		return;
	if (!strcmp(what, "context"))
		publish_lot(&how);
	if (write(1, "!", 1) != 1)
		_exit(1);
	while (read(0, &c, 1) == 1) {
	}
	_exit(0);
}

TEST(environment)
{
	static const struct {
		const char *environment[3];
		bool context;
		const char *service, *a, *b;
	} cases[] = {
		{{"A=b"}, false, "exporter", NULL, NULL},
		{{"OTEL_SERVICE_NAME=cart"}, false, "cart", NULL, NULL},
		{{"OTEL_SERVICE_NAME="}, false, "exporter", NULL, NULL},
		{{"OTEL_SERVICE_NAME=cart", "OTEL_RESOURCE_ATTRIBUTES=service.name=x,a=1,b=2"},
		 false,
		 "cart",
		 "1",
		 "2"},
		{{"OTEL_RESOURCE_ATTRIBUTES=service.name=x%20y , a = b%2Cc%3dd"},
		 false,
		 "x y",
		 "b,c=d",
		 NULL},
		{{"OTEL_RESOURCE_ATTRIBUTES=a=1,b=2,a=3"}, false, "exporter", "3", "2"},
		/* One error, and none of it counts. */
		{{"OTEL_RESOURCE_ATTRIBUTES=service.name=x,a"}, false, "exporter", NULL, NULL},
		{{"OTEL_RESOURCE_ATTRIBUTES=service.name=x,a=%zz"}, false, "exporter", NULL, NULL},
		{{"OTEL_RESOURCE_ATTRIBUTES=a=%0a"}, false, "exporter", NULL, NULL},
		{{"OTEL_RESOURCE_ATTRIBUTES=process.pid=1,host.name=h,a=1"},
		 false,
		 "exporter",
		 "1",
		 NULL},
		/* The context comes first, and the environment fills in. */
		{{"OTEL_SERVICE_NAME=cart", "OTEL_RESOURCE_ATTRIBUTES=a=1,b=2"},
		 true,
		 "lot",
		 "of the context",
		 "2"},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct process_resources *resources = process_resources__new();
		struct pb resource;

		printf("# case %zu\n", i);
		exec_with(cases[i].environment, cases[i].context);
		resource = ask(resources);
		EXPECT_STREQ(text_of(&resource, "service.name"), cases[i].service);
		EXPECT_EQ(count_of(&resource, "service.name"), 1);
		EXPECT_STREQ(text_of(&resource, "a"), cases[i].a);
		EXPECT_STREQ(text_of(&resource, "b"), cases[i].b);
		EXPECT_STREQ(text_of(&resource, "process.pid"), "42");
		EXPECT_STREQ(text_of(&resource, "host.name"), "here");
		pb__free(&resource);
		end();
		process_resources__free(resources);
	}
}

TEST(environment_without_process)
{
	static const char bytes[] = "OTEL_SERVICE_NAMES=no\0OTEL_SERVICE_NAME\0"
				    "OTEL_SERVICE_NAME=yes\0OTEL_SERVICE_NAME=late\0"
				    "OTEL_RESOURCE_ATTRIBUTES=a=\xff%e4%b8%ad";
	struct aside aside = {.work = context__work};
	static __u8 reply[ASIDE_REPLY_MAX];
	struct process_attrs attrs = {0};
	char many[8192] = "OTEL_RESOURCE_ATTRIBUTES=";

	attrs__add_environment(&attrs, bytes, sizeof(bytes) - 1);
	EXPECT_STREQ(text_of(&attrs.bytes, "service.name"), "yes");
	EXPECT_STREQ(text_of(&attrs.bytes, "a"), "?\xe4\xb8\xad");
	EXPECT_EQ(attrs.n, 2);
	pb__free(&attrs.bytes);
	/* More than a Resource takes are counted. */
	attrs = (struct process_attrs){0};
	for (int i = 0; i < 100; i++)
		sprintf(many + strlen(many), "%sk%d=v", i ? "," : "", i);
	attrs__add_environment(&attrs, many, strlen(many));
	EXPECT_EQ(attrs.n, CONTEXT_ATTRIBUTES_MAX);
	EXPECT_EQ(attrs.dropped, 100 - CONTEXT_ATTRIBUTES_MAX);
	pb__free(&attrs.bytes);
	/* None, or nothing. */
	attrs = (struct process_attrs){0};
	attrs__add_environment(&attrs, "", 0);
	attrs__add_environment(&attrs, NULL, 0);
	EXPECT_EQ(attrs.n, 0);
	EXPECT_EQ(attrs__read_environment(&attrs, &aside, 0x7ffffff0, reply), -ENOENT);
	aside__stop(&aside);
}

/* --- other processes ------------------------------------------------------------------ */

TEST(number_of_another)
{
	struct process_resources *resources = process_resources__new();
	struct context context = {.how = MEMFD, .published = 1};
	__u64 start;

	run(publish_shop, &context);
	start = child_id.start_ns;
	child_id.start_ns -= 1000000000;
	expect_name(resources, "exporter");
	child_id.start_ns = start;
	/* Another program ran in it then. */
	strcpy(child_path, "/bin/sh");
	expect_name(resources, "exporter");
	child_id.exec++;
	strcpy(child_path, "");
	expect_name(resources, "shop");
	end();
	child_id.exec++;
	expect_name(resources, "exporter");
	process_resources__free(resources);
}

TEST(bounded)
{
	struct process_resources *resources = process_resources__new();
	struct process_resources_stats stats;
	struct pb resource;

	child_path[0] = '\0';
	for (int i = 1; i <= PROCESSES_KEPT_MAX * 2; i++) {
		child_id = (struct otel_process_id){.pid = 0x40000000 + i, .start_ns = i};
		resource = measured();
		process_resources__add(resources, &child_id, "", &resource);
		if (!(i % 100))
			process_resources__next_export(resources);
		pb__free(&resource);
	}
	process_resources__stats(resources, &stats);
	EXPECT_LE(stats.processes, PROCESSES_KEPT_MAX);
	EXPECT_GT(stats.processes, PROCESSES_KEPT_MAX / 4);
	process_resources__free(resources);
}

/* All at once, in one export. */
TEST(bounded_in_one_export)
{
	struct process_resources *resources = process_resources__new();
	struct process_resources_stats stats;
	struct pb resource;

	for (int i = 1; i <= PROCESSES_KEPT_MAX + 500; i++) {
		child_id = (struct otel_process_id){.pid = 0x40000000 + i, .start_ns = i};
		resource = measured();
		process_resources__add(resources, &child_id, "", &resource);
		pb__free(&resource);
	}
	process_resources__stats(resources, &stats);
	EXPECT_LE(stats.processes, PROCESSES_KEPT_MAX);
	EXPECT_GT(stats.processes, PROCESSES_KEPT_MAX / 2);
	process_resources__free(resources);
}

/* --- hostile ones ----------------------------------------------------------------------- */

static void publish_evil(const struct context *context)
{
	add("service.name", "evil");
	finish();
	publish(context);
}

TEST(wrong_headers)
{
	static const struct context wrong[] = {
		{.how = MEMFD, .published = 1, .signature = "OTEL_CTY"},
		{.how = MEMFD, .published = 1, .version = 1},
		{.how = MEMFD, .published = 1, .version = 3},
		{.how = MEMFD, .published = 0},
		{.how = MEMFD, .published = 1, .size = CONTEXT_PAYLOAD_MAX + 1},
		{.how = MEMFD, .published = 1, .size = ~0U},
		{.how = MEMFD, .published = 1, .pointer = 1},
		{.how = MEMFD, .published = 1, .pointer = ~0ULL},
		{.how = MEMFD, .published = 1, .pointer = 0xffffffff81000000},
		{.how = MEMFD, .published = 1, .pointer = 0x7ffffffffff0},
		{.how = MEMFD, .published = 1, .executable = true},
	};

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct process_resources *resources = process_resources__new();

		printf("# case %zu\n", i);
		run(publish_evil, &wrong[i]);
		expect_name(resources, "exporter");
		expect_name(resources, "exporter");
		end();
		process_resources__free(resources);
	}
}

TEST(payloads)
{
	static const struct {
		const char *bytes;
		size_t len;
		int err, n, dropped;
	} cases[] = {
#define BYTES(text) text, sizeof(text) - 1
		{BYTES(""), 0, 0, 0},
		/* a="x" */
		{BYTES("\x0a\x0a\x0a\x08\x0a\x01"
		       "a\x12\x03\x0a\x01x"),
		 0, 1, 0},
		/* twice: the first holds */
		{BYTES("\x0a\x14\x0a\x08\x0a\x01"
		       "a\x12\x03\x0a\x01x\x0a\x08\x0a\x01"
		       "a\x12\x03\x0a\x01y"),
		 0, 1, 0},
		/* no key; no value; no UTF-8 in either */
		{BYTES("\x0a\x07\x0a\x05\x12\x03\x0a\x01x"), 0, 0, 1},
		{BYTES("\x0a\x05\x0a\x03\x0a\x01"
		       "a"),
		 0, 0, 1},
		{BYTES("\x0a\x0a\x0a\x08\x0a\x01\xff\x12\x03\x0a\x01x"), 0, 0, 1},
		{BYTES("\x0a\x0a\x0a\x08\x0a\x01"
		       "a\x12\x03\x0a\x01\xc0"),
		 0, 0, 1},
		/* [[[["x"]]]] is too deep, [["x"]] is not */
		{BYTES("\x0a\x12\x0a\x10\x0a\x01"
		       "a\x12\x0b\x2a\x09\x0a\x07\x2a\x05\x0a\x03\x0a\x01x"),
		 0, 1, 0},
		{BYTES("\x0a\x1a\x0a\x18\x0a\x01"
		       "a\x12\x13\x2a\x11\x0a\x0f\x2a\x0d\x0a\x0b\x2a\x09\x0a\x07\x2a\x05"
		       "\x0a\x03\x0a\x01x"),
		 0, 0, 1},
		/* cut off */
		{BYTES("\x0a\x0a\x0a\x08\x0a\x01"
		       "a"),
		 -EBADMSG, 0, 0},
		{BYTES("\x0a\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"), -EBADMSG, 0, 0},
		/* a good one, then rubbish: all or nothing */
		{BYTES("\x0a\x0a\x0a\x08\x0a\x01"
		       "a\x12\x03\x0a\x01x\x07"),
		 -EBADMSG, 0, 0},
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct process_attrs attrs = {0};

		printf("# case %zu\n", i);
		EXPECT_EQ(attrs__add_context(&attrs, (const __u8 *)cases[i].bytes, cases[i].len),
			  cases[i].err);
		EXPECT_EQ(attrs.n, cases[i].n);
		EXPECT_EQ(attrs.dropped, cases[i].dropped);
		if (attrs.n)
			EXPECT_TRUE(attrs__has(&attrs.bytes, "a", 1));
		pb__free(&attrs.bytes);
	}
}

/* Damage to a good one: whatever comes out is a valid Resource within its bounds. */
TEST(damaged_payloads)
{
	__u64 state = 0x9e3779b97f4a7c15ULL;
	struct pb message;

	for (int i = 0; i < 20; i++) {
		char key[16];

		snprintf(key, sizeof(key), "key.%d", i);
		add(key, "value");
		attr__int(&payload, RESOURCE_ATTRIBUTES, key, i);
	}
	finish();
	message = payload;
	for (int i = 0; i < 50000; i++) {
		struct process_attrs attrs = {0};
		struct pb resource = measured();
		__u8 *copy = malloc(message.len);
		size_t len = message.len;

		memcpy(copy, message.data, len);
		for (int k = 0; k < 1 + i % 4; k++) {
			state = state * 6364136223846793005ULL + 1442695040888963407ULL;
			copy[(state >> 33) % len] = state >> 24;
			if (!(state >> 60))
				len = (state >> 33) % len + 1;
		}
		attrs__add_context(&attrs, copy, len);
		EXPECT_LE(attrs.n, CONTEXT_ATTRIBUTES_MAX);
		EXPECT_LE(attrs.bytes.len, CONTEXT_BYTES_MAX + 64);
		free(copy);
		pb__free(&attrs.bytes);
		pb__free(&resource);
	}
}

static void publish_many(const struct context *context)
{
	char value[4000];

	memset(value, 'v', sizeof(value));
	value[sizeof(value) - 1] = '\0';
	for (int i = 0; i < 10; i++) {
		char key[16];

		snprintf(key, sizeof(key), "big.%d", i);
		add(key, value);
	}
	add("small", "yes");
	finish();
	publish(context);
}

TEST(too_much)
{
	struct process_resources *resources = process_resources__new();
	struct context context = {.how = MEMFD, .published = 1};
	struct pb resource;

	run(publish_many, &context);
	resource = ask(resources);
	EXPECT_STREQ(text_of(&resource, "small"), "yes");
	EXPECT_EQ(count_of(&resource, "big.3"), 1);
	EXPECT_EQ(count_of(&resource, "big.4"), 0);
	EXPECT_EQ(dropped_of(&resource), 6);
	EXPECT_LE(resource.len, CONTEXT_BYTES_MAX + 256);
	pb__free(&resource);
	end();
	process_resources__free(resources);
}

/* Header and payload change all the time: what is read is one or the other, or nothing. */
static void publish_torn(const struct context *context)
{
	struct pb payloads[2];

	for (int i = 0; i < 2; i++) {
		payload = (struct pb){0};
		add("first", i ? "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" : "a");
		for (int k = 0; k < 60; k++) {
			char key[16];

			snprintf(key, sizeof(key), "key.%d", k);
			add(key, i ? "bbbb" : "a");
		}
		add("last", i ? "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb" : "a");
		finish();
		payloads[i] = payload;
	}
	publish(context);
	if (write(from_child[1], "r", 1) != 1)
		_exit(1);
	for (__u64 i = 2;; i++) {
		__atomic_store_n(&header->published, 0, __ATOMIC_SEQ_CST);
		header->payload = (uintptr_t)payloads[i & 1].data;
		header->size = payloads[i & 1].len;
		__atomic_store_n(&header->published, i, __ATOMIC_SEQ_CST);
		for (volatile int k = 0; k < 200; k++) {
		}
	}
}

TEST(torn_reads)
{
	struct context context = {.how = MEMFD, .published = 1};
	int read = 0;

	run(publish_torn, &context);
	for (__s64 until = now_ms() + 1000; now_ms() < until;) {
		struct process_resources *resources = process_resources__new();
		struct pb resource = ask(resources);
		char first[64];

		if (count_of(&resource, "first")) {
			read++;
			snprintf(first, sizeof(first), "%s", text_of(&resource, "first"));
			EXPECT_STREQ(text_of(&resource, "last"), first);
			EXPECT_EQ(text_of(&resource, "key.30")[0], first[0]);
		}
		pb__free(&resource);
		process_resources__free(resources);
	}
	printf("# %d read\n", read);
	EXPECT_GT(read, 0);
	end();
}

/* --- memory that never answers ------------------------------------------------------------ */

static void publish_userfault(const struct context *context)
{
	struct uffdio_api api = {.api = UFFD_API};
	struct uffdio_register range = {.mode = UFFDIO_REGISTER_MODE_MISSING};
	struct context mine = *context;
	int fd = syscall(SYS_userfaultfd, O_CLOEXEC);
	void *at = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

	if (fd < 0 || ioctl(fd, UFFDIO_API, &api))
		_exit(77);
	range.range.start = (uintptr_t)at;
	range.range.len = 4096;
	if (ioctl(fd, UFFDIO_REGISTER, &range))
		_exit(77);
	mine.pointer = (uintptr_t)at;
	mine.size = 100;
	publish(&mine);
}

static void *map_unread(void)
{
	static const char bytes[65536];
	struct stat st;
	void *at;
	int fd;

	close(open("/tmp/otelbpf-fuse-file", O_CREAT | O_RDWR, 0600));
	if (fuse_server__start("/tmp/otelbpf-fuse-file", bytes, sizeof(bytes), FUSE_NEVER_READS))
		_exit(77);
	fd = open("/tmp/otelbpf-fuse-file", O_RDONLY);
	/* The kernel asks for the size only now. */
	if (fd < 0 || fstat(fd, &st) || !st.st_size)
		_exit(77);
	at = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, fd, 0);
	if (at == MAP_FAILED)
		_exit(77);
	return at;
}

static void publish_fuse(const struct context *context)
{
	struct context mine = *context;

	mine.pointer = (uintptr_t)map_unread();
	mine.size = 100;
	publish(&mine);
}

static void *map_and_unmap(void *arg)
{
	for (;;) {
		munmap(mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), 4096);
		usleep(1000);
	}
	return arg;
}

/* Behind a thread that waits to change the mappings everybody waits who wants to look at them. */
static void publish_fuse_and_map(const struct context *context)
{
	pthread_t thread;

	publish_fuse(context);
	if (pthread_create(&thread, NULL, map_and_unmap, NULL))
		_exit(77);
}

static void never_answers(void (*body)(const struct context *), int at_least)
{
	struct process_resources *resources = process_resources__new();
	struct context context = {.how = MEMFD, .published = 1};
	__s64 start;

	run(body, &context);
	start = now_ms();
	expect_name(resources, "exporter");
	EXPECT_GE(now_ms() - start, at_least);
	EXPECT_LT(now_ms() - start, 4 * CONTEXT_WAIT_MS);
	/* Once was enough. */
	start = now_ms();
	for (int i = 0; i < 5; i++)
		expect_name(resources, "exporter");
	EXPECT_LT(now_ms() - start, CONTEXT_WAIT_MS);
	end();
	process_resources__free(resources);
}

TEST(memory_of_a_userfaultfd)
{
	never_answers(publish_userfault, 0);
}

TEST(memory_of_a_dead_server)
{
	if (geteuid())
		SKIP("not root");
	/* The read did wait: else this tests nothing. */
	never_answers(publish_fuse, CONTEXT_WAIT_MS - 1);
	unlink("/tmp/otelbpf-fuse-file");
}

TEST(mappings_that_are_locked)
{
	if (geteuid())
		SKIP("not root");
	never_answers(publish_fuse_and_map, CONTEXT_WAIT_MS - 1);
	unlink("/tmp/otelbpf-fuse-file");
}

TEST_MAIN()
