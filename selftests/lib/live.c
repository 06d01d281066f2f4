// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "live.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <linux/magic.h>
#include <linux/membarrier.h>
#include <math.h>
#include <mntent.h>
#include <otelbpf/meta.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "sockets.h"

/* Tags are for BPF objects; this compiler need not know them. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wattributes"
#include <otelbpf/exphist.bpf.h>
#pragma GCC diagnostic pop

#define BPFFS "/sys/fs/bpf"
#define TRACEFS "/sys/kernel/tracing"

/* As in progs/syscalls.bpf.c. */
struct call_key {
	__u64 cgroup;
	__u32 nr;
	__u32 pad;
};
struct call_value {
	struct exphist_s duration;
};

/* --- a place in the kernel ------------------------------------------------------------------- */

static bool is_mounted(const char *dir, long magic)
{
	struct statfs fs;

	return !statfs(dir, &fs) && (unsigned long)fs.f_type == (unsigned long)magic;
}

static bool find_cgroup2(char mount_dir[PATH_MAX])
{
	FILE *mounts = setmntent("/proc/self/mounts", "re");
	struct mntent *entry;
	bool found = false;

	while (mounts && !found && (entry = getmntent(mounts)))
		if (!strcmp(entry->mnt_type, "cgroup2")) {
			snprintf(mount_dir, PATH_MAX, "%s", entry->mnt_dir);
			found = true;
		}
	if (mounts)
		endmntent(mounts);
	return found;
}

static void write_file(const char *path, const char *text)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0)
		return;
	if (write(fd, text, strlen(text)) < 0)
		perror(path);
	close(fd);
}

/* Children first. A cgroup's files go with it. */
static void remove_cgroups(const char *path)
{
	DIR *dir = opendir(path);
	struct dirent *entry;

	while (dir && (entry = readdir(dir))) {
		char *child;

		if (entry->d_type != DT_DIR || entry->d_name[0] == '.' ||
		    asprintf(&child, "%s/%s", path, entry->d_name) < 0)
			continue;
		remove_cgroups(child);
		free(child);
	}
	if (dir)
		closedir(dir);
	for (int tries = 0; rmdir(path) && errno == EBUSY && tries < 200; tries++)
		usleep(10000); /* killed processes take a while to leave */
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	remove(path);
	return 0;
}

static void remove_all(const char *path)
{
	nftw(path, remove_one, 8, FTW_DEPTH | FTW_PHYS | FTW_MOUNT);
}

static void tidy_up(const struct live *live)
{
	char path[PATH_MAX + 16];

	snprintf(path, sizeof(path), "%s/cgroup.kill", live->cgroup);
	write_file(path, "1");
	remove_all(live->pin_dir);
	remove_all(live->shared_dir);
	remove_cgroups(live->cgroup);
	remove_all(live->tmp);
}

/*
 * Lives until the test's end of the pipe is closed, which is at its death at the latest. The test
 * waits until the guard has left its process group, which the harness kills.
 */
static void start_guard(struct live *live)
{
	int fd[2], left[2];
	char byte;

	ASSERT_EQ(pipe2(fd, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(left, O_CLOEXEC), 0);
	fflush(NULL);
	live->guard_pid = fork();
	ASSERT_GE(live->guard_pid, 0);
	if (live->guard_pid) {
		close(fd[0]);
		close(left[1]);
		while (read(left[0], &byte, 1) < 0 && errno == EINTR)
			;
		close(left[0]);
		live->guard = fd[1];
		return;
	}
	setsid();
	prctl(PR_SET_PDEATHSIG, 0);
	signal(SIGINT, SIG_IGN);
	signal(SIGTERM, SIG_IGN);
	close(fd[1]);
	close(STDOUT_FILENO);
	close(STDERR_FILENO);
	close(left[0]);
	close(left[1]);
	while (read(fd[0], &byte, 1) < 0 && errno == EINTR)
		;
	tidy_up(live);
	_exit(0);
}

struct live *live__begin(void)
{
	struct live *live = calloc(1, sizeof(*live));
	char tmp[] = "/tmp/otelbpf-test-XXXXXX";

	ASSERT_TRUE(live);
	if (geteuid())
		SKIP("not root");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	if (!is_mounted(BPFFS, BPF_FS_MAGIC) && mount("bpf", BPFFS, "bpf", 0, NULL))
		SKIP("cannot mount bpffs: %s", strerror(errno));
	if (!is_mounted(TRACEFS, TRACEFS_MAGIC) && mount("tracefs", TRACEFS, "tracefs", 0, NULL))
		SKIP("cannot mount tracefs: %s", strerror(errno));
	if (!find_cgroup2(live->mount))
		SKIP("cgroup v2 is not mounted");

	snprintf(live->pin_dir, sizeof(live->pin_dir), BPFFS "/otelbpf-test-%d", getpid());
	snprintf(live->shared_dir, sizeof(live->shared_dir), BPFFS "/otelbpf-shared-%d", getpid());
	snprintf(live->cgroup, sizeof(live->cgroup), "%.4000s/otelbpf-test-%d", live->mount,
		 getpid());
	ASSERT_TRUE(mkdtemp(tmp));
	strcpy(live->tmp, tmp);
	chmod(live->tmp, 0755);
	start_guard(live);
	if (mkdir(live->cgroup, 0755))
		SKIP("cannot make a cgroup: %s", strerror(errno));
	ASSERT_EQ(mkdir(live->shared_dir, 0700), 0);
	setenv("OTELBPF_PIN_DIR", live->pin_dir, 1);
	setenv("OTELBPF_SHARED_DIR", live->shared_dir, 1);
	return live;
}

void live__endp(struct live **live)
{
	if (!*live)
		return;
	close((*live)->guard);
	waitpid((*live)->guard_pid, NULL, 0);
	EXPECT_NE(access((*live)->pin_dir, F_OK), 0);
	EXPECT_NE(access((*live)->shared_dir, F_OK), 0);
	EXPECT_NE(access((*live)->cgroup, F_OK), 0);
	free(*live);
}

void live__put_json(struct json_object **json)
{
	json_object_put(*json);
}

/* --- programs -------------------------------------------------------------------------------- */

static void take(int fd, char *text, size_t size, size_t *len)
{
	char dropped[4096];
	ssize_t n;

	n = *len + 1 < size ? read(fd, text + *len, size - *len - 1)
			    : read(fd, dropped, sizeof(dropped));
	if (n > 0 && *len + 1 < size)
		*len += n;
	text[*len] = '\0';
}

static int code_of(int status)
{
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

void live__run(struct output *output, void (*before)(void *ctx), void *ctx, const char *const *argv)
{
	size_t out_len = 0, err_len = 0;
	int out[2], err[2], status;
	pid_t pid;

	memset(output, 0, sizeof(*output));
	ASSERT_EQ(pipe2(out, O_CLOEXEC), 0);
	ASSERT_EQ(pipe2(err, O_CLOEXEC), 0);
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		dup2(out[1], STDOUT_FILENO);
		dup2(err[1], STDERR_FILENO);
		if (before)
			before(ctx);
		execv(argv[0], (char *const *)argv);
		dprintf(STDERR_FILENO, "%s: %s\n", argv[0], strerror(errno));
		_exit(127);
	}
	close(out[1]);
	close(err[1]);
	for (bool open_out = true, open_err = true; open_out || open_err;) {
		struct pollfd p[] = {{.fd = open_out ? out[0] : -1, .events = POLLIN},
				     {.fd = open_err ? err[0] : -1, .events = POLLIN}};

		poll(p, 2, -1);
		if (p[0].revents & POLLIN)
			take(out[0], output->out, sizeof(output->out), &out_len);
		else if (p[0].revents)
			open_out = false;
		if (p[1].revents & POLLIN)
			take(err[0], output->err, sizeof(output->err), &err_len);
		else if (p[1].revents)
			open_err = false;
	}
	close(out[0]);
	close(err[0]);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	output->code = code_of(status);
}

#define ARGS_MAX 32

static void prepend(const char **argv, const char *program, const char *const *args)
{
	int n = 0;

	argv[n++] = program;
	while (*args && n < ARGS_MAX - 1)
		argv[n++] = *args++;
	argv[n] = NULL;
}

int live__program(struct output *output, const char *program, const char *const *args)
{
	const char *argv[ARGS_MAX];

	prepend(argv, program, args);
	live__run(output, NULL, NULL, argv);
	return output->code;
}

void live__run_otelbpf(struct output *output, void (*before)(void *ctx), void *ctx,
		       const char *const *args)
{
	const char *argv[ARGS_MAX];

	prepend(argv, BUILD_DIR "/otelbpf", args);
	live__run(output, before, ctx, argv);
}

int live__left_behind(struct live *live)
{
	DIR *dir = opendir(live->pin_dir);
	struct dirent *entry;
	int n = 0;

	if (!dir)
		return -1;
	while ((entry = readdir(dir)))
		n += strcmp(entry->d_name, ".") && strcmp(entry->d_name, "..");
	closedir(dir);
	return n;
}

void live__expect_failure(struct live *live, const struct output *output, int code,
			  const char *word)
{
	bool ok = EXPECT_EQ(output->code, code);

	ok &= EXPECT_EQ(live__lines(output->err), 1);
	ok &= EXPECT_TRUE(!strncmp(output->err, "otelbpf: ", strlen("otelbpf: ")));
	if (word)
		ok &= EXPECT_TRUE(strstr(output->err, word));
	ok &= EXPECT_STREQ(output->out, "");
	ok &= EXPECT_LE(live__left_behind(live), 0);
	if (!ok)
		printf("%s%s", output->out, output->err);
}

void live__must_run(const char *const *args)
{
	static struct output output;

	if (!live__program(&output, BUILD_DIR "/otelbpf", args))
		return;
	fprintf(stderr, "otelbpf %s: %s%s", args[0], output.out, output.err);
	ASSERT_EQ(output.code, 0);
}

pid_t live__spawn_upgrades(bool *over, const char *const *args)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (pid)
		return pid;
	for (int i = 0; i < 3; i++)
		live__must_run(args);
	__atomic_store_n(over, true, __ATOMIC_SEQ_CST);
	_exit(0);
}

pid_t live__spawn_program(const char *program, const char *const *args)
{
	const char *argv[ARGS_MAX];
	pid_t pid;

	prepend(argv, program, args);
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

pid_t live__spawn_exporter(const char *const *args)
{
	return live__spawn_program(BUILD_DIR "/otelbpf-exporter", args);
}

int live__wait(pid_t pid)
{
	int status;

	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	return code_of(status);
}

int live__stop(pid_t pid)
{
	kill(pid, SIGTERM);
	return live__wait(pid);
}

void live__copy_file(const char *from, const char *to, mode_t mode)
{
	char data[16384];
	int in = open(from, O_RDONLY | O_CLOEXEC);
	int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0700);
	ssize_t n;

	ASSERT_TRUE(in >= 0 && out >= 0);
	while ((n = read(in, data, sizeof(data))) > 0)
		ASSERT_EQ(write(out, data, n), n);
	ASSERT_EQ(fchmod(out, mode), 0);
	close(in);
	close(out);
}

int live__lines(const char *text)
{
	int lines = 0;

	for (; *text; text++)
		lines += *text == '\n';
	return lines;
}

/* --- the probe ------------------------------------------------------------------------------- */

int live__map_of(struct live *live, const char *probe, const char *name)
{
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/%s/map/%s", live->pin_dir, probe, name);
	fd = bpf_obj_get(path);
	ASSERT_GE(fd, 0);
	return fd;
}

int live__map(struct live *live, const char *name)
{
	return live__map_of(live, "syscalls", name);
}

int live__map_entries(struct live *live, const char *probe, const char *name)
{
	int fd = live__map_of(live, probe, name), n = 0;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	char key[256], *last = NULL;

	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	ASSERT_LE(info.key_size, sizeof(key));
	for (; !bpf_map_get_next_key(fd, last, key); last = key)
		n++;
	close(fd);
	return n;
}

static bool is_overflow_key(const char *key, __u32 size)
{
	for (__u32 i = 0; i < size; i++)
		if (key[i] != (char)0xff)
			return false;
	return true;
}

/* Entries of a hash table are deleted, but for the overflow entry; others are zeroed. */
static void clear_map(struct live *live, const char *name)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), n = 0;
	char *keys, *value;
	int fd = live__map(live, name);
	bool is_array;

	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	is_array = info.type == BPF_MAP_TYPE_ARRAY || info.type == BPF_MAP_TYPE_PERCPU_ARRAY;
	keys = calloc(info.max_entries, info.key_size);
	value = calloc(libbpf_num_possible_cpus(), (info.value_size + 7) / 8 * 8);
	ASSERT_TRUE(keys);
	ASSERT_TRUE(value);
	for (char *last = NULL, *next = keys;
	     n < info.max_entries && !bpf_map_get_next_key(fd, last, next);
	     last = next, next += info.key_size)
		n++;
	for (char *key = keys; key < keys + n * info.key_size; key += info.key_size)
		if (is_array || is_overflow_key(key, info.key_size))
			ASSERT_EQ(bpf_map_update_elem(fd, key, value, BPF_EXIST), 0);
		else
			ASSERT_EQ(bpf_map_delete_elem(fd, key), 0);
	free(keys);
	free(value);
	close(fd);
}

void live__reset(struct live *live)
{
	live__must("pause", "-q");
	/* A program may still be under way. */
	syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0);
	clear_map(live, "calls");
	clear_map(live, "errors");
	clear_map(live, "cgroups");
	clear_map(live, "totals");
	clear_map(live, "losses");
	clear_map(live, "bss");
	live__must("resume", "-q");
}

void live__load_with(struct live *live, const char *const *args)
{
	char filter[PATH_MAX + 16];
	const char *argv[ARGS_MAX] = {"load", "-q", SYSCALLS_OBJECT, "--filter", filter};

	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	for (int n = 5; *args && n < ARGS_MAX - 1; n++)
		argv[n] = *args++;
	live__must_run(argv);
}

__u64 live__start_ns(struct live *live)
{
	struct otel_meta meta;
	__u32 zero = 0;
	int fd = live__map(live, "meta");

	ASSERT_EQ(bpf_map_lookup_elem(fd, &zero, &meta), 0);
	close(fd);
	return meta.load_realtime_ns;
}

/* --- cgroups and workloads ------------------------------------------------------------------- */

const char *live__cgroup(struct live *live, const char *name)
{
	static char paths[4][PATH_MAX + 512];
	static int n;
	char *path = paths[n++ % 4];

	snprintf(path, sizeof(paths[0]), "%s%s%s", live->cgroup,
		 name[0] && name[0] != '/' ? "/" : "", name);
	return path;
}

const char *live__path(struct live *live, const char *name)
{
	char *path = (char *)live__cgroup(live, name) + strlen(live->mount) - 3;

	return memcpy(path, "0::", 3);
}

void live__make_cgroup(struct live *live, const char *name)
{
	char path[PATH_MAX + 512];

	snprintf(path, sizeof(path), "%s", live__cgroup(live, name));
	for (char *at = path + strlen(live->cgroup) + 1; (at = strchr(at, '/')); at++) {
		*at = '\0';
		mkdir(path, 0755);
		*at = '/';
	}
	if (mkdir(path, 0755))
		ASSERT_EQ(errno, EEXIST);
}

void live__remove_cgroup(struct live *live, const char *name)
{
	const char *path = live__cgroup(live, name);

	remove_cgroups(path);
	ASSERT_NE(access(path, F_OK), 0);
}

__u64 live__cgroup_id(struct live *live, const char *name)
{
	struct stat st;

	ASSERT_EQ(stat(live__cgroup(live, name), &st), 0);
	return st.st_ino;
}

void live__join(void *ctx)
{
	cgroup__join(((struct live *)ctx)->cgroup);
}

pid_t live__spawn_workload(struct live *live, const char *name, int in, const char *const *args)
{
	char procs[PATH_MAX + 600];
	const char *argv[ARGS_MAX] = {BUILD_DIR "/selftests/tools/workload", "-g", procs};
	pid_t pid, parent = getpid();

	live__make_cgroup(live, name);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", live__cgroup(live, name));
	for (int n = 3; *args && n < ARGS_MAX - 1; n++)
		argv[n] = *args++;
	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		if (getppid() != parent)
			_exit(127);
		if (in >= 0)
			dup2(in, STDIN_FILENO);
		execv(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

void live__wait_blocked(pid_t pid, long nr)
{
	char path[64], text[256];
	long now = -1;

	snprintf(path, sizeof(path), "/proc/%d/syscall", pid);
	while (now != nr) {
		int fd = open(path, O_RDONLY | O_CLOEXEC);
		ssize_t n = fd >= 0 ? read(fd, text, sizeof(text) - 1) : -1;

		if (fd >= 0)
			close(fd);
		ASSERT_GT(n, 0);
		text[n] = '\0';
		now = text[0] == 'r' ? -1 : atol(text);
		if (now != nr)
			usleep(500);
	}
}

struct steps *live__steps(struct live *live, char path[PATH_MAX])
{
	struct steps *steps;
	int fd;

	snprintf(path, PATH_MAX, "%s/steps%d", live->tmp, live->steps++);
	fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
	ASSERT_GE(fd, 0);
	fchmod(fd, 0666);
	ASSERT_EQ(ftruncate(fd, sizeof(*steps)), 0);
	steps = mmap(NULL, sizeof(*steps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	ASSERT_NE(steps, MAP_FAILED);
	close(fd);
	return steps;
}

static int get(const int *n)
{
	return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

void steps__wait_ready(struct steps *steps)
{
	while (!get(&steps->ready))
		usleep(500);
}

void steps__do(struct steps *steps)
{
	int next = get(&steps->go) + 1;

	__atomic_store_n(&steps->go, next, __ATOMIC_SEQ_CST);
	while (get(&steps->done) < next)
		usleep(500);
}

void steps__end(struct steps *steps)
{
	__atomic_store_n(&steps->go, -1, __ATOMIC_SEQ_CST);
}

void led__start_with(struct led *led, struct live *live, const char *const *options)
{
	char path[PATH_MAX];
	const char *args[16] = {"-s", path};
	int n = 2;

	*led = (struct led){.live = live, .steps = live__steps(live, path)};
	while (*options && n < 12)
		args[n++] = *options++;
	args[n++] = "steps";
	args[n++] = "100";
	args[n++] = "10";
	led->pid = live__spawn_workload(live, "led", -1, args);
	steps__wait_ready(led->steps);
	snprintf(led->pid_text, sizeof(led->pid_text), "%d", led->pid);
}

void led__step(struct led *led, bool getppids, bool closes)
{
	struct json_object *root;

	led->getppids += getppids ? 100 : 0;
	led->closes += closes ? 10 : 0;
	steps__do(led->steps);
	root = live__export_file(led->live);
	EXPECT_EQ(live__count(led->live, root, "led", "getppid"), led->getppids);
	EXPECT_EQ(live__count(led->live, root, "led", "close"), led->closes);
	live__expect_sum(root, "system.syscall.returned", led->getppids + led->closes);
	live__expect_sum(root, "system.syscall.failed", led->closes);
	live__expect_no_losses(root);
	json_object_put(root);
}

void led__end(struct led *led)
{
	steps__end(led->steps);
	EXPECT_EQ(live__wait(led->pid), 0);
}

/* --- exports --------------------------------------------------------------------------------- */

struct json_object *live__read_lines(const char *path, int *cut)
{
	struct json_object *list = json_object_new_array();
	FILE *file = fopen(path, "r");
	char *line = NULL;
	size_t room = 0;

	*cut = 0;
	if (!file) {
		json_object_put(list);
		return NULL;
	}
	while (getline(&line, &room, file) > 0) {
		struct json_object *request = json_tokener_parse(line);

		if (request && strchr(line, '\n')) {
			json_object_array_add(list, request);
		} else {
			json_object_put(request);
			(*cut)++;
		}
	}
	fclose(file);
	free(line);
	return list;
}

struct json_object *live__export_file(struct live *live)
{
	static struct output output;
	struct json_object *root;
	char spec[128];
	int cut;

	snprintf(spec, sizeof(spec), "file:%s/export%d.json", live->tmp, live->exports++);
	if (live__exporter(&output, "--once", "--output", spec))
		fprintf(stderr, "%s", output.err);
	ASSERT_EQ(output.code, 0);
	root = live__read_lines(spec + strlen("file:"), &cut);
	ASSERT_TRUE(root);
	ASSERT_EQ(cut, 0);
	return root;
}

struct collector *live__collector(void)
{
	struct collector *collector = collector__start();

	if (!collector && errno == ENOENT)
		SKIP("OTELCOL is not set: no Collector; see scripts/collector");
	ASSERT_TRUE(collector);
	return collector;
}

struct json_object *live__export_collector(struct live *live, struct collector *collector,
					   const char *protocol, const char *compression)
{
	struct json_object *lines = collector__metrics(collector), *root;
	static struct output output;
	size_t before;

	(void)live;
	ASSERT_TRUE(lines);
	before = json_object_array_length(lines);
	json_object_put(lines);
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector__http_url(collector), 1);
	setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol, 1);
	setenv("OTEL_EXPORTER_OTLP_COMPRESSION", compression, 1);
	if (live__exporter(&output, "--once"))
		fprintf(stderr, "%s", output.err);
	ASSERT_EQ(output.code, 0);
	lines = collector__metrics(collector);
	ASSERT_GT(json_object_array_length(lines), before);
	root = json_object_new_array();
	for (size_t i = before; i < json_object_array_length(lines); i++)
		json_object_array_add(root, json_object_get(json_object_array_get_idx(lines, i)));
	json_object_put(lines);
	return root;
}

void sink__open(struct sink *sink, struct live *live, struct collector *collector)
{
	*sink = (struct sink){.collector = collector};
	snprintf(sink->path, sizeof(sink->path), "%s/sink.json", live->tmp);
	snprintf(sink->spec, sizeof(sink->spec), "file:%s", sink->path);
	if (collector) {
		snprintf(sink->spec, sizeof(sink->spec), "otlp");
		setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector__http_url(collector), 1);
	}
}

struct json_object *sink__requests(struct sink *sink, int *cut)
{
	struct json_object *list;

	*cut = 0;
	if (sink->collector)
		return collector__metrics(sink->collector);
	list = live__read_lines(sink->path, cut);
	return list ?: json_object_new_array();
}

size_t sink__count(struct sink *sink)
{
	int cut;
	struct json_object *list = sink__requests(sink, &cut);
	size_t n = json_object_array_length(list);

	json_object_put(list);
	return n;
}

void sink__wait(struct sink *sink, size_t more)
{
	size_t before = sink__count(sink);

	while (sink__count(sink) < before + more)
		usleep(10000);
}

/* --- numbers --------------------------------------------------------------------------------- */

/* One call's histogram in the pinned map, summed over the CPUs. */
static bool read_call(struct live *live, __u64 cgroup, __u32 nr, struct exphist_s *sum)
{
	int cpus = libbpf_num_possible_cpus(), fd = live__map(live, "calls");
	struct call_key key = {.cgroup = cgroup, .nr = nr};
	struct call_value *values = calloc(cpus, sizeof(*values));
	bool found;

	*sum = (struct exphist_s){.min = ~0ULL};
	ASSERT_TRUE(values);
	found = !bpf_map_lookup_elem(fd, &key, values);
	for (int cpu = 0; found && cpu < cpus; cpu++) {
		const struct exphist_s *one = &values[cpu].duration;

		if (!one->count)
			continue;
		sum->count += one->count;
		sum->sum += one->sum;
		sum->zero_count += one->zero_count;
		if (one->min < sum->min)
			sum->min = one->min;
		if (one->max > sum->max)
			sum->max = one->max;
		for (int i = 0; i < EXPHIST_SLOTS; i++)
			sum->buckets[i] += one->buckets[i];
	}
	free(values);
	close(fd);
	return found;
}

static __u64 ns_of(struct json_object *point, const char *member)
{
	return llround(otlp_json__f64(point, member) * 1e9);
}

static void expect_histogram(struct live *live, const struct otlp_point *p, __u64 cgroup,
			     const struct calls *call)
{
	struct json_object *point = p->point;
	struct exphist_s in_map;
	__u64 sum = ns_of(point, "sum"), min = ns_of(point, "min"), max = ns_of(point, "max");
	__u64 mean = sum / call->calls;

	EXPECT_EQ(otlp_json__count(point), call->calls);
	EXPECT_EQ(otlp_json__bucket_total(point), call->calls);
	EXPECT_LE(min, mean);
	EXPECT_LE(mean, max);
	EXPECT_GE(sum, call->least * 1000000);
	EXPECT_EQ(otlp_json__i64(point, "scale"), 2);
	EXPECT_EQ(otlp_json__f64(point, "zeroThreshold"), 0x1p-28);
	EXPECT_STREQ(p->kind, "exponentialHistogram");
	EXPECT_STREQ(otlp_json__text(p->metric, "unit"), "s");
	EXPECT_EQ(otlp_json__u64(p->data, "aggregationTemporality"), 2); /* cumulative */
	EXPECT_EQ(otlp_json__u64(point, "startTimeUnixNano"), live__start_ns(live));
	EXPECT_GT(otlp_json__u64(point, "timeUnixNano"),
		  otlp_json__u64(point, "startTimeUnixNano"));
	EXPECT_STREQ(otlp_json__attr(point, "syscall.abi"), call->nr & COMPAT_NR ? "i386" : NULL);

	ASSERT_TRUE(read_call(live, cgroup, call->nr, &in_map));
	EXPECT_EQ(sum, in_map.sum);
	EXPECT_EQ(min, in_map.min);
	EXPECT_EQ(max, in_map.max);
	EXPECT_EQ(otlp_json__u64(point, "zeroCount"), in_map.zero_count);
	for (int i = 0; i < EXPHIST_SLOTS; i++)
		if (otlp_json__bucket(point, i - 112) != in_map.buckets[i])
			EXPECT_EQ(otlp_json__bucket(point, i - 112), in_map.buckets[i]);
}

struct series {
	const char *cgroup;
	int n;
	bool print;
};

static bool take_series(const struct otlp_point *p, void *ctx)
{
	const char *cgroup = otlp_json__attr(p->resource, "process.linux.cgroup");
	const char *error = otlp_json__attr(p->point, "error.type");
	struct series *series = ctx;

	if (!cgroup || strcmp(cgroup, series->cgroup))
		return true;
	series->n++;
	if (series->print)
		printf("%s %s %s %llu\n", otlp_json__text(p->metric, "name"),
		       otlp_json__attr(p->point, "syscall.name") ?: "(none)", error ?: "",
		       error ? (unsigned long long)otlp_json__u64(p->point, "asInt")
			     : (unsigned long long)otlp_json__count(p->point));
	return true;
}

/* No others than those, whose counts have been seen. */
static void expect_series(struct json_object *root, const char *metric, const char *path, int n)
{
	struct series series = {.cgroup = path};

	otlp_json__for_each_point(root, metric, take_series, &series);
	if (EXPECT_EQ(series.n, n))
		return;
	series.print = true;
	otlp_json__for_each_point(root, metric, take_series, &series);
}

void live__expect_calls(struct live *live, struct json_object *root, const char *name,
			const struct calls *calls)
{
	__u64 id = live__cgroup_id(live, name);
	int with_calls = 0, with_errors = 0;
	char path[PATH_MAX + 512], id_text[32];

	snprintf(path, sizeof(path), "%s", live__path(live, name));
	snprintf(id_text, sizeof(id_text), "%llu", (unsigned long long)id);
	for (const struct calls *call = calls; call->name; call++) {
		const char *abi = call->nr & COMPAT_NR ? "i386" : NULL;
		struct otlp_point p = {};
		int n;

		if (call->calls) {
			with_calls++;
			n = otlp_json__find(root, "system.syscall.duration", &p, "syscall.name",
					    call->name, "syscall.abi", abi, "process.linux.cgroup",
					    path, "otelbpf.cgroup.id", id_text, "os.type", "linux");
			if (!EXPECT_EQ(n, 1))
				printf("%s in %s\n", call->name, path);
			if (n == 1)
				expect_histogram(live, &p, id, call);
		}
		if (call->failed) {
			with_errors++;
			n = otlp_json__find(root, "system.syscall.errors", &p, "syscall.name",
					    call->name, "error.type", call->error, "syscall.abi",
					    abi, "process.linux.cgroup", path);
			if (!EXPECT_EQ(n, 1)) {
				printf("%s %s in %s\n", call->name, call->error, path);
				continue;
			}
			EXPECT_EQ(otlp_json__u64(p.point, "asInt"), call->failed);
			EXPECT_STREQ(otlp_json__text(p.metric, "unit"), "{call}");
			EXPECT_STREQ(p.kind, "sum");
			EXPECT_EQ(otlp_json__u64(p.data, "aggregationTemporality"), 2);
			EXPECT_EQ(otlp_json__u64(p.point, "startTimeUnixNano"),
				  live__start_ns(live));
		}
	}
	expect_series(root, "system.syscall.duration", path, with_calls);
	expect_series(root, "system.syscall.errors", path, with_errors);
}

void live__expect_mixes(struct live *live, struct json_object *root, const char *name, __u64 n)
{
	const struct calls calls[] = {MIX(n), {}};

	live__expect_calls(live, root, name, calls);
}

int live__entries(struct live *live, const char *map, __u64 cgroup)
{
	struct {
		__u64 cgroup;
		__u64 rest;
	} key;
	int fd = live__map(live, map), n = 0;
	void *last = NULL;

	while (!bpf_map_get_next_key(fd, last, &key)) {
		last = &key;
		n += key.cgroup == cgroup;
	}
	close(fd);
	return n;
}

void live__expect_totals(struct json_object *root, __u64 returned, __u64 failed, __u64 unreturned)
{
	live__expect_sum(root, "system.syscall.returned", returned);
	live__expect_sum(root, "system.syscall.failed", failed);
	live__expect_sum(root, "system.syscall.unreturned", unreturned);
	EXPECT_EQ(otlp_json__total(root, "system.syscall.duration"), returned);
	EXPECT_EQ(otlp_json__total(root, "system.syscall.errors"), failed);
}

void live__expect_no_losses(struct json_object *root)
{
	EXPECT_EQ(otlp_json__find(root, "otelbpf.losses", NULL), 9);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
}

__u64 live__count(struct live *live, struct json_object *root, const char *name,
		  const char *syscall_name)
{
	return otlp_json__total(root, "system.syscall.duration", "process.linux.cgroup",
				live__path(live, name), "syscall.name", syscall_name);
}
