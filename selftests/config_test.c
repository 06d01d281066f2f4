// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Configuration files: every wrong one of a corpus has its line, what others could write is
 * refused, the later file wins. CONFIG_FUZZ_FACTOR in the environment makes fuzzing longer.
 */
#include <dirent.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "config.h"
#include "config_outputs.h"
#include "ktap.h"
#include "random.h"
#include "live.h"

#define READS 1000 /* of a configuration that others exchange, and as many exchanges */
#define CORPUS SELFTESTS_DIR "/corpus/config"

static struct output output;
static char dir[] = "/tmp/otelbpf-config-XXXXXX";

static void __attribute__((constructor)) prepare(void)
{
	/* Whatever the umask of whoever made the tree: files that tests write are ours alone. */
	umask(022);
	setenv("OTELBPF_PROBES", OBJECT_DIR "/progs", 1);
}

static void clean(void)
{
	char command[256];

	snprintf(command, sizeof(command), "rm -rf %s", dir);
	if (system(command))
		fprintf(stderr, "cannot remove %s\n", dir);
}

/* A test is a process: its directory goes with it. */
static const char *in_dir(const char *name)
{
	static char path[PATH_MAX];

	if (strstr(dir, "XXXXXX")) {
		ASSERT_TRUE(mkdtemp(dir));
		atexit(clean);
	}
	snprintf(path, sizeof(path), "%s/%s", dir, name);
	return path;
}

static void write_bytes(const char *name, const char *bytes, size_t size)
{
	FILE *file = fopen(in_dir(name), "we");

	ASSERT_TRUE(file);
	ASSERT_EQ(fwrite(bytes, 1, size, file), size);
	ASSERT_EQ(fclose(file), 0);
}

static void write_text(const char *name, const char *text)
{
	write_bytes(name, text, strlen(text));
}

static size_t read_corpus(const char *name, char *bytes, size_t size)
{
	char path[PATH_MAX];
	FILE *file;
	size_t n;

	snprintf(path, sizeof(path), CORPUS "/%s", name);
	file = fopen(path, "re");
	ASSERT_TRUE(file);
	n = fread(bytes, 1, size - 1, file);
	fclose(file);
	bytes[n] = '\0';
	return n;
}

static int each_of_corpus(void (*fn)(const char *name, const char *bytes, size_t size))
{
	static char bytes[65536];
	struct dirent **entries;
	int n = scandir(CORPUS, &entries, NULL, alphasort), files = 0;

	ASSERT_GT(n, 0);
	for (int i = 0; i < n; i++) {
		if (entries[i]->d_name[0] != '.') {
			fn(entries[i]->d_name, bytes,
			   read_corpus(entries[i]->d_name, bytes, sizeof(bytes)));
			files++;
		}
		free(entries[i]);
	}
	free(entries);
	return files;
}

/* --- wrong ones ---------------------------------------------------------------- */

/* Its first line is a comment: what is to be said, @ for the file, … for whatever follows. */
static void expect_line(const char *name, const char *bytes, size_t size)
{
	size_t len = strcspn(bytes, "\n");
	char expected[2048];
	const char *path, *open;
	bool ok;

	ASSERT_TRUE(!strncmp(bytes, "# @", 3));
	write_bytes("wrong.yaml", bytes, size);
	path = in_dir("wrong.yaml");
	snprintf(expected, sizeof(expected), "otelbpf: %s%.*s", path, (int)len - 3, bytes + 3);
	open = strstr(expected, "…");
	live__program(&output, BUILD_DIR "/otelbpf",
		      (const char *const[]){"config", "check", path, NULL});
	len = open ? (size_t)(open - expected) : strlen(expected);
	ok = EXPECT_EQ(output.code, EXIT_CONFIG);
	ok &= EXPECT_TRUE(!strncmp(output.err, expected, len));
	ok &= EXPECT_TRUE(open || !strcmp(output.err + len, "\n"));
	ok &= EXPECT_EQ(live__lines(output.err), 1);
	ok &= EXPECT_STREQ(output.out, "");
	if (!ok)
		printf("%s: expected %s\ngot %s\n", name, expected, output.err);
}

TEST_TIMEOUT(every_wrong_one_has_its_line, 120)
{
	EXPECT_GE(each_of_corpus(expect_line), 50);
}

static int check(const char *path)
{
	live__program(&output, BUILD_DIR "/otelbpf",
		      (const char *const[]){"config", "check", path, NULL});
	return output.code;
}

/* "# Word" is a comment, "#key" and "#  key" are settings. */
static void uncomment(const char *from, char *to)
{
	while (*from) {
		size_t len = strcspn(from, "\n") + 1;
		bool text =
			from[0] == '#' && (from[1] == '\n' || (from[1] == ' ' && from[2] != ' ') ||
					   !strncmp(from, "#   otelbpf", 11));

		if (from[0] == '#' && !text)
			to += sprintf(to, "%.*s", (int)len - 1, from + 1);
		from += len;
	}
}

TEST(the_example_is_right)
{
	static char bytes[16384], all[16384];
	FILE *file = fopen(SELFTESTS_DIR "/../docs/otelbpf.yaml", "re");

	ASSERT_TRUE(file);
	ASSERT_GT(fread(bytes, 1, sizeof(bytes) - 1, file), 1000U);
	fclose(file);
	write_text("example.yaml", bytes);
	if (!EXPECT_EQ(check(in_dir("example.yaml")), 0))
		printf("%s", output.err);
	/* And so is each setting of it. */
	uncomment(bytes, all);
	EXPECT_TRUE(strstr(all, "\n  cpu:\n"));
	write_text("example.yaml", all);
	if (!EXPECT_EQ(check(in_dir("example.yaml")), 0))
		printf("%s\n%s", output.err, all);
}

TEST(absent_and_empty)
{
	EXPECT_EQ(check(in_dir("none.yaml")), EXIT_CONFIG);
	EXPECT_EQ(live__lines(output.err), 1);
	write_text("empty.yaml", "");
	EXPECT_EQ(check(in_dir("empty.yaml")), 0);
	write_text("empty.yaml", "# nothing\n");
	EXPECT_EQ(check(in_dir("empty.yaml")), 0);
	ASSERT_EQ(mkfifo(in_dir("pipe.yaml"), 0600), 0);
	EXPECT_EQ(check(in_dir("pipe.yaml")), EXIT_CONFIG);
	EXPECT_TRUE(strstr(output.err, "is not a file"));
}

/* --- whose it is ----------------------------------------------------------------- */

static void expect_refused(const char *name, const char *word)
{
	bool ok = EXPECT_EQ(check(in_dir(name)), EXIT_PERMISSION);

	ok &= EXPECT_EQ(live__lines(output.err), 1);
	ok &= EXPECT_TRUE(strstr(output.err, word));
	if (!ok)
		printf("%s: %s", name, output.err);
}

TEST(what_others_can_write_is_refused)
{
	write_text("a.yaml", "preset: staging\n");
	EXPECT_EQ(check(in_dir("a.yaml")), 0);
	ASSERT_EQ(chmod(in_dir("a.yaml"), 0664), 0);
	expect_refused("a.yaml", "chmod go-w");
	ASSERT_EQ(chmod(in_dir("a.yaml"), 0646), 0);
	expect_refused("a.yaml", "chmod go-w");
	ASSERT_EQ(symlink("a.yaml", in_dir("link.yaml")), 0);
	expect_refused("link.yaml", "chmod go-w");
	ASSERT_EQ(chmod(in_dir("a.yaml"), 0644), 0);
	EXPECT_EQ(check(in_dir("link.yaml")), 0);

	ASSERT_EQ(mkdir(in_dir("open"), 0700), 0);
	write_text("open/" CONFIG_FILE, "preset: staging\n");
	EXPECT_EQ(check(in_dir("open")), 0);
	ASSERT_EQ(symlink("open/" CONFIG_FILE, in_dir("into.yaml")), 0);
	ASSERT_EQ(chmod(in_dir("open"), 0777), 0);
	expect_refused("open", "directory");
	expect_refused("open/" CONFIG_FILE, "directory");
	expect_refused("into.yaml", "directory");
	ASSERT_EQ(chmod(in_dir("open"), 0755), 0);
	ASSERT_EQ(mkdir(in_dir("open/" CONFIG_DROPINS), 0700), 0);
	write_text("open/" CONFIG_DROPINS "/a.yaml", "preset: debug\n");
	EXPECT_EQ(check(in_dir("open")), 0);
	ASSERT_EQ(chmod(in_dir("open/" CONFIG_DROPINS), 0775), 0);
	expect_refused("open", "directory");
	ASSERT_EQ(chmod(in_dir("open/" CONFIG_DROPINS), 0755), 0);
	ASSERT_EQ(chmod(in_dir("open/" CONFIG_DROPINS "/a.yaml"), 0666), 0);
	expect_refused("open", "file");
}

TEST(what_is_another_users_is_refused)
{
	if (geteuid())
		SKIP("not root: cannot give files away");
	write_text("a.yaml", "preset: staging\n");
	ASSERT_EQ(symlink("a.yaml", in_dir("link.yaml")), 0);
	ASSERT_EQ(lchown(in_dir("link.yaml"), 65534, 65534), 0);
	expect_refused("link.yaml", "user 65534");
	EXPECT_EQ(check(in_dir("a.yaml")), 0);
	ASSERT_EQ(chown(in_dir("a.yaml"), 65534, 65534), 0);
	expect_refused("a.yaml", "user 65534");
	ASSERT_EQ(chown(in_dir("a.yaml"), 0, 65534), 0);
	EXPECT_EQ(check(in_dir("a.yaml")), 0);
	ASSERT_EQ(mkdir(in_dir("theirs"), 0755), 0);
	write_text("theirs/" CONFIG_FILE, "preset: staging\n");
	ASSERT_EQ(chown(in_dir("theirs"), 65534, 65534), 0);
	expect_refused("theirs", "user 65534");
	expect_refused("theirs/" CONFIG_FILE, "user 65534");
	/* A link of ours that leads over one of theirs, whatever is behind that now. */
	ASSERT_EQ(chown(in_dir("a.yaml"), 0, 0), 0);
	ASSERT_EQ(symlink("../a.yaml", in_dir("theirs/link.yaml")), 0);
	ASSERT_EQ(lchown(in_dir("theirs/link.yaml"), 65534, 65534), 0);
	ASSERT_EQ(symlink("theirs/link.yaml", in_dir("over.yaml")), 0);
	expect_refused("over.yaml", "user 65534");
	ASSERT_EQ(symlink("over.yaml", in_dir("over2.yaml")), 0);
	expect_refused("over2.yaml", "user 65534");
	ASSERT_EQ(symlink("theirs/..", in_dir("through")), 0);
	expect_refused("through/a.yaml", "user 65534");
}

/* Until it is killed: who could do that has more power than anybody but root. */
static pid_t start_exchanging(const char *name, const char *other, int *times)
{
	char one[PATH_MAX], two[PATH_MAX];
	pid_t pid;

	strcpy(one, in_dir(name));
	strcpy(two, in_dir(other));
	pid = fork();
	ASSERT_GE(pid, 0);
	while (!pid) {
		if (renameat2(AT_FDCWD, one, AT_FDCWD, two, RENAME_EXCHANGE))
			_exit(1);
		__atomic_add_fetch(times, 1, __ATOMIC_RELAXED);
	}
	return pid;
}

/* A configuration is refused or ours, never theirs, whatever is in its place at which moment. */
static void read_while_exchanging(const char *name, const char *other, const char *path)
{
	int *times = mmap(NULL, sizeof(*times), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
			  -1, 0);
	int reads = 0, taken = 0;
	pid_t pid;

	ASSERT_TRUE(times != MAP_FAILED);
	pid = start_exchanging(name, other, times);
	while (reads < READS || __atomic_load_n(times, __ATOMIC_RELAXED) < READS) {
		struct config config;
		const struct config_node *preset;
		int code = config__read(&config, in_dir(path));

		reads++;
		if (!code) {
			preset = config__find(config.root, "preset");
			ASSERT_TRUE(preset);
			taken += !strcmp(preset->text, "debug");
		} else {
			EXPECT_TRUE(code == EXIT_PERMISSION || code == EXIT_CONFIG);
		}
		config__free(&config);
		ASSERT_EQ(waitpid(pid, NULL, WNOHANG), 0);
	}
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	if (!EXPECT_EQ(taken, 0))
		printf("%s: theirs in %d of %d reads\n", path, taken, reads);
}

TEST(what_is_exchanged_meanwhile_is_not_taken)
{
	if (geteuid())
		SKIP("not root: cannot give files away");
	write_text("ours.yaml", "preset: staging\n");
	write_text("theirs.yaml", "preset: debug\n");
	ASSERT_EQ(chown(in_dir("theirs.yaml"), 65534, 65534), 0);
	read_while_exchanging("ours.yaml", "theirs.yaml", "ours.yaml");

	ASSERT_EQ(symlink("theirs.yaml", in_dir("link.yaml")), 0);
	ASSERT_EQ(lchown(in_dir("link.yaml"), 65534, 65534), 0);
	write_text("ours.yaml", "preset: staging\n");
	ASSERT_EQ(chown(in_dir("ours.yaml"), 0, 0), 0);
	write_text("theirs.yaml", "preset: debug\n");
	ASSERT_EQ(chown(in_dir("theirs.yaml"), 65534, 65534), 0);
	read_while_exchanging("ours.yaml", "link.yaml", "ours.yaml");

	ASSERT_EQ(mkdir(in_dir("ours"), 0755), 0);
	ASSERT_EQ(mkdir(in_dir("theirs"), 0755), 0);
	write_text("ours/" CONFIG_FILE, "preset: staging\n");
	write_text("theirs/" CONFIG_FILE, "preset: debug\n");
	ASSERT_EQ(chown(in_dir("theirs/" CONFIG_FILE), 65534, 65534), 0);
	ASSERT_EQ(chown(in_dir("theirs"), 65534, 65534), 0);
	read_while_exchanging("ours", "theirs", "ours");
}

/* --- what is in force --------------------------------------------------------------- */

static struct json_object *find(struct json_object *report, const char *key)
{
	struct json_object *list = json_object_object_get(report, "settings");

	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (!strcmp(json_object_get_string(json_object_object_get(item, "key")), key))
			return item;
	}
	return NULL;
}

static void expect_setting(struct json_object *report, const char *key, const char *value,
			   const char *from)
{
	struct json_object *item = find(report, key);
	const char *text;

	if (!EXPECT_TRUE(item)) {
		printf("no %s\n", key);
		return;
	}
	EXPECT_STREQ(json_object_get_string(json_object_object_get(item, "value")), value);
	text = json_object_get_string(json_object_object_get(item, "from"));
	if (!EXPECT_TRUE(text && strlen(text) >= strlen(from) &&
			 !strcmp(text + strlen(text) - strlen(from), from)))
		printf("%s is from %s\n", key, text);
}

TEST(the_later_wins)
{
	_cleanup_json_ struct json_object *report = NULL;

	write_text(CONFIG_FILE, "probes:\n"
				"  cpu:\n"
				"    options:\n"
				"      frequency: 11\n"
				"      idle: false\n"
				"      hardware: 0\n"
				"    filters:\n"
				"      comm: [a, b]\n"
				"  syscalls:\n"
				"  tcp:\n"
				"outputs:\n"
				"  interval: 10s\n"
				"  endpoint: http://localhost:4318\n");
	ASSERT_EQ(mkdir(in_dir(CONFIG_DROPINS), 0700), 0);
	write_text(CONFIG_DROPINS "/10-a.yaml", "probes:\n"
						"  cpu:\n"
						"    options: {frequency: 12}\n"
						"    filters: {comm: c}\n"
						"  tcp: {enabled: false}\n");
	write_text(CONFIG_DROPINS "/20-b.yaml", "probes: {cpu: {options: {idle: true}}}\n");
	write_text(CONFIG_DROPINS "/30-not.txt", "this is none\n");
	in_dir("");
	setenv("OTELBPF_CONFIG", dir, 1);
	setenv("OTEL_METRIC_EXPORT_INTERVAL", "5000", 1);
	live__program(&output, BUILD_DIR "/otelbpf",
		      (const char *const[]){"config", "show", "-j", "--set", "cpu.hardware=1",
					    NULL});
	if (!EXPECT_EQ(output.code, 0))
		printf("%s", output.err);
	report = json_tokener_parse(output.out);
	ASSERT_TRUE(report);
	expect_setting(report, "probes.cpu.options.frequency", "12", "10-a.yaml:3");
	expect_setting(report, "probes.cpu.options.idle", "1", "20-b.yaml:1");
	expect_setting(report, "probes.cpu.options.hardware", "1", "command line");
	expect_setting(report, "probes.cpu.options.trace_context", "1", "default");
	expect_setting(report, "probes.cpu.filters.comm", "c", "10-a.yaml:4");
	expect_setting(report, "probes.syscalls", OBJECT_DIR "/progs/syscalls.bpf.o",
		       CONFIG_FILE ":9");
	expect_setting(report, "outputs.interval", "5000",
		       "environment: OTEL_METRIC_EXPORT_INTERVAL");
	expect_setting(report, "outputs.endpoint", "http://localhost:4318", CONFIG_FILE ":13");
	EXPECT_FALSE(find(report, "probes.tcp"));
	EXPECT_FALSE(find(report, "probes.udp"));
}

/* --- garbage --------------------------------------------------------------------------- */

static __u64 state = 0x9e3779b97f4a7c15ULL;

static size_t below(size_t n)
{
	return random__below(&state, n);
}

static int runs, good;

static void fuzz(const char *name, const char *bytes, size_t size)
{
	static const char pieces[] = "[]{}:,-#&*!|>'\"%@`\n \t\\?~\0\xff<0";
	const char *factor = getenv("CONFIG_FUZZ_FACTOR");
	int n = 60 * (factor ? atoi(factor) : 1);

	(void)name;
	while (n--) {
		char *text = malloc(size + 1);
		size_t len = size;
		struct config config = {};
		int code;

		ASSERT_TRUE(text);
		memcpy(text, bytes, size);
		for (size_t i = below(5); i--;) {
			size_t at = below(len), from = below(len), some = below(24);

			if (below(2))
				text[at] = pieces[below(sizeof(pieces))];
			else if (at + some < len && from + some < len)
				memmove(text + at, text + from, some);
			if (!below(12))
				len = below(len) + 1;
		}
		code = config__add(&config, "fuzz", text, len);
		/* Over another file, too. */
		if (!code)
			code = config__add(&config, "again", bytes, size);
		if (!code)
			code = config__expect_keys(config.root, config_sections);
		if (!code)
			code = config_outputs__each(&config, NULL, NULL);
		EXPECT_TRUE(code == 0 || code == EXIT_CONFIG);
		good += !code;
		runs++;
		config__free(&config);
		free(text);
	}
}

TEST_TIMEOUT(garbage_is_refused, 60)
{
	/* Thousands of lines on stderr are not worth to be kept. */
	ASSERT_TRUE(freopen("/dev/null", "w", stderr));
	EXPECT_GE(each_of_corpus(fuzz), 50);
	printf("%d texts, %d of them good\n", runs, good);
	EXPECT_GT(good, runs / 20);
	EXPECT_LT(good, runs);
}

TEST_MAIN()
