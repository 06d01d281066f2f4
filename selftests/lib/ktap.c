// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The harness behind ktap.h: checks, and the process that runs the tests one after another. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "ktap.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define OUTPUT_MAX (1 << 20) /* bytes kept of one test's output */
#define KILL_WAIT_MS 10000   /* a process stuck in the kernel does not die when killed */

/*
 * Shared by the harness and all processes of the running test. An exit code would not do: exit(0)
 * in the middle of a test is no success, and a failure may happen in a child of the test.
 */
struct verdict {
	atomic_uint failures;
	atomic_bool skipped;
	atomic_bool finished;
	char reason[256];
};

struct output {
	char *text;
	size_t len;
	bool cut;
};

static struct ktap_test *tests;
static struct ktap_test **tests_tail = &tests;
static bool wants_alone;
static struct verdict *verdict;
static volatile sig_atomic_t running_group;

/* --- checks, in the test's process --------------------------------------------------------- */

struct ktap_value ktap__signed(long long v)
{
	return (struct ktap_value){.kind = KTAP_SIGNED, .i = v};
}

struct ktap_value ktap__unsigned(unsigned long long v)
{
	return (struct ktap_value){.kind = KTAP_UNSIGNED, .u = v};
}

struct ktap_value ktap__float(long double v)
{
	return (struct ktap_value){.kind = KTAP_FLOAT, .f = v};
}

struct ktap_value ktap__bool(bool v)
{
	return (struct ktap_value){.kind = KTAP_BOOL, .u = v};
}

struct ktap_value ktap__pointer(const volatile void *v)
{
	return (struct ktap_value){.kind = KTAP_POINTER, .u = (unsigned long)v};
}

static void value__format(struct ktap_value v, char *buf, size_t size)
{
	switch (v.kind) {
	case KTAP_SIGNED:
		snprintf(buf, size, "%lld", v.i);
		break;
	case KTAP_UNSIGNED:
		snprintf(buf, size, "%llu", v.u);
		break;
	case KTAP_FLOAT:
		snprintf(buf, size, "%.17Lg", v.f);
		break;
	case KTAP_BOOL:
		snprintf(buf, size, "%s", v.u ? "true" : "false");
		break;
	case KTAP_POINTER:
		if (v.u)
			snprintf(buf, size, "%#llx", v.u);
		else
			snprintf(buf, size, "NULL");
		break;
	}
}

/* By value, whatever the types. A long double holds every 64-bit integer exactly. */
static bool value__compare(enum ktap_op op, struct ktap_value a, struct ktap_value b)
{
	bool less, equal;

	if (a.kind == KTAP_FLOAT || b.kind == KTAP_FLOAT) {
		long double x, y;

		x = a.kind == KTAP_FLOAT ? a.f : a.kind == KTAP_SIGNED ? a.i : (long double)a.u;
		y = b.kind == KTAP_FLOAT ? b.f : b.kind == KTAP_SIGNED ? b.i : (long double)b.u;
		if (x != x || y != y) /* NaN: only "not equal" holds */
			return op == KTAP_NE;
		less = x < y;
		equal = x == y;
	} else {
		bool a_negative = a.kind == KTAP_SIGNED && a.i < 0;
		bool b_negative = b.kind == KTAP_SIGNED && b.i < 0;

		/* Of the same sign, two's complement orders as unsigned numbers do. */
		less = a_negative != b_negative ? a_negative : a.u < b.u;
		equal = a_negative == b_negative && a.u == b.u;
	}
	switch (op) {
	case KTAP_EQ:
		return equal;
	case KTAP_NE:
		return !equal;
	case KTAP_LT:
		return less;
	case KTAP_LE:
		return less || equal;
	case KTAP_GT:
		return !less && !equal;
	case KTAP_GE:
		return !less;
	}
	return false;
}

static const char *op__text(enum ktap_op op)
{
	static const char *const text[] = {"==", "!=", "<", "<=", ">", ">="};

	return text[op];
}

/* Leave without exit handlers: they would report, as leaks, what an unfinished test still owns. */
static void __attribute__((noreturn)) leave(int code)
{
	fflush(NULL);
	_exit(code);
}

static void __attribute__((format(printf, 2, 3)))
fail(struct ktap_place at, const char *format, ...)
{
	va_list args;

	atomic_fetch_add(&verdict->failures, 1);
	fflush(stdout);
	va_start(args, format);
	fprintf(stderr, "%s:%d: %s", at.file, at.line, at.macro);
	vfprintf(stderr, format, args);
	va_end(args);
	if (at.fatal)
		leave(1);
}

bool ktap__compare(struct ktap_place at, enum ktap_op op, const char *a_text, const char *b_text,
		   struct ktap_value a, struct ktap_value b)
{
	char x[64], y[64];

	if (value__compare(op, a, b))
		return true;
	value__format(a, x, sizeof(x));
	value__format(b, y, sizeof(y));
	fail(at, "(%s, %s): %s %s %s is false\n", a_text, b_text, x, op__text(op), y);
	return false;
}

bool ktap__truth(struct ktap_place at, bool want, const char *text, struct ktap_value v)
{
	char x[64];

	if (value__compare(KTAP_NE, v, ktap__signed(0)) == want)
		return true;
	value__format(v, x, sizeof(x));
	fail(at, "(%s): it is %s\n", text, x);
	return false;
}

/* Quoted, so that white space and control characters show; the caller frees it. */
static char *quote(const char *s)
{
	char *text = NULL;
	size_t len;
	FILE *f;

	if (!s)
		return strdup("NULL");
	f = open_memstream(&text, &len);
	if (!f)
		return NULL;
	fputc('"', f);
	for (; *s; s++) {
		unsigned char c = *s;

		if (c == '"' || c == '\\')
			fprintf(f, "\\%c", c);
		else if (c == '\n')
			fputs("\\n", f);
		else if (c == '\t')
			fputs("\\t", f);
		else if (c < ' ' || c == 0x7f)
			fprintf(f, "\\x%02x", c);
		else
			fputc(c, f);
	}
	fputc('"', f);
	fclose(f);
	return text;
}

bool ktap__strings(struct ktap_place at, enum ktap_op op, const char *a_text, const char *b_text,
		   const char *a, const char *b)
{
	bool equal = a && b ? !strcmp(a, b) : a == b;
	char *x, *y;

	if (equal == (op == KTAP_EQ))
		return true;
	x = quote(a);
	y = quote(b);
	fail(at, "(%s, %s): %s %s %s is false\n", a_text, b_text, x ?: "?", op__text(op), y ?: "?");
	free(x);
	free(y);
	return false;
}

void ktap__skip(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(verdict->reason, sizeof(verdict->reason), format, args);
	va_end(args);
	for (char *p = verdict->reason; *p; p++)
		if (*p == '\n')
			*p = ' ';
	atomic_store(&verdict->skipped, true);
	leave(0);
}

/* --- the runner ---------------------------------------------------------------------------- */

void ktap__register(struct ktap_test *test)
{
	*tests_tail = test;
	tests_tail = &test->next;
}

/* No test can be run any more: TAP has a line for that. */
static void __attribute__((noreturn)) bail_out(const char *what)
{
	printf("Bail out! %s: %s\n", what, strerror(errno));
	fflush(stdout);
	if (running_group)
		kill(-running_group, SIGKILL);
	_exit(1);
}

/* A test is not in the terminal's foreground group, so ^C reaches the harness only. */
static void on_signal(int sig)
{
	if (running_group)
		kill(-running_group, SIGKILL);
	signal(sig, SIG_DFL);
	raise(sig);
}

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

/* Take what is in the pipe. Returns false at its end. */
static bool output__drain(struct output *out, int fd)
{
	static char buf[65536];
	ssize_t n;

	while ((n = read(fd, buf, sizeof(buf))) > 0) {
		size_t room = OUTPUT_MAX - out->len;
		char *text;

		if ((size_t)n > room) {
			n = room;
			out->cut = true;
		}
		if (!n)
			continue;
		text = realloc(out->text, out->len + n);
		if (!text)
			bail_out("output");
		memcpy(text + out->len, buf, n);
		out->text = text;
		out->len += n;
	}
	return n < 0;
}

static void output__print(const struct output *out)
{
	size_t at = 0;

	while (at < out->len) {
		const char *line = out->text + at, *eol = memchr(line, '\n', out->len - at);
		size_t len = eol ? (size_t)(eol - line) : out->len - at;

		printf("# %.*s\n", (int)len, line);
		at += len + 1;
	}
	if (out->cut)
		printf("# (more than %d bytes of output: the rest is dropped)\n", OUTPUT_MAX);
}

static void __attribute__((noreturn)) run_in_child(const struct ktap_test *test, int fd)
{
	pid_t harness = getppid();
	int null;

	setpgid(0, 0);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != harness)
		_exit(1);
	signal(SIGINT, SIG_DFL);
	signal(SIGTERM, SIG_DFL);
	signal(SIGHUP, SIG_DFL);
	null = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (null >= 0)
		dup2(null, STDIN_FILENO);
	dup2(fd, STDOUT_FILENO);
	dup2(fd, STDERR_FILENO);

	test->run();
	atomic_store(&verdict->finished, true);
	exit(0); /* with exit handlers: a leak found now is a failure */
}

unsigned int ktap__factor(void)
{
	const char *text = getenv("KTAP_TIMEOUT_FACTOR");
	long factor = text ? strtol(text, NULL, 10) : 1;

	return factor >= 1 && factor <= 1000 ? factor : 1;
}

/* Wait until the child is a zombie or the time is over; its number stays taken until we reap it. */
static bool wait_for_end(int pidfd, int fd, struct output *out, long long deadline)
{
	struct pollfd p[] = {{.fd = pidfd, .events = POLLIN}, {.fd = fd, .events = POLLIN}};

	while (!(p[0].revents & POLLIN)) {
		long long left = deadline - now_ms();

		if (left <= 0)
			return false;
		if (poll(p, 2, left) < 0 && errno != EINTR)
			bail_out("poll");
		if (p[1].revents && !output__drain(out, fd))
			p[1].fd = -1;
	}
	return true;
}

/* Run one test and print its result. Returns false if it failed. */
static bool run(const struct ktap_test *test, unsigned int number, bool verbose)
{
	unsigned int limit = test->timeout * ktap__factor();
	bool in_time, dead, leftovers, failed, skipped;
	struct output out = {};
	int fd[2], pidfd, status = 0, orphan;
	char why[128] = "";
	pid_t pid;

	memset(verdict, 0, sizeof(*verdict));
	if (pipe2(fd, O_CLOEXEC))
		bail_out("pipe");
	fflush(NULL);
	pid = fork();
	if (pid < 0)
		bail_out("fork");
	if (!pid)
		run_in_child(test, fd[1]);
	setpgid(pid, pid); /* here as well: whichever of the two comes first */
	running_group = pid;
	close(fd[1]);
	fcntl(fd[0], F_SETFL, O_NONBLOCK);
	pidfd = syscall(SYS_pidfd_open, pid, 0);
	if (pidfd < 0)
		bail_out("pidfd_open");

	in_time = wait_for_end(pidfd, fd[0], &out, now_ms() + limit * 1000LL);
	/*
	 * Nobody can have got the group's number meanwhile: its leader is not reaped yet. Being the
	 * subreaper, we get the orphans; reaping them makes sure that they are gone.
	 */
	kill(-pid, SIGKILL);
	dead = in_time || wait_for_end(pidfd, fd[0], &out, now_ms() + KILL_WAIT_MS);
	running_group = 0;
	leftovers = false;
	if (dead) {
		waitpid(pid, &status, 0);
		while (waitpid(-pid, &orphan, 0) > 0)
			leftovers |= WIFSIGNALED(orphan) && WTERMSIG(orphan) == SIGKILL;
	}
	output__drain(&out, fd[0]);
	close(fd[0]);
	close(pidfd);

	if (!in_time)
		snprintf(why, sizeof(why), "timed out after %u s and was %s", limit,
			 dead ? "killed" : "killed, but does not die");
	else if (WIFSIGNALED(status))
		snprintf(why, sizeof(why), "killed by SIG%s (%s)",
			 sigabbrev_np(WTERMSIG(status)) ?: "?", strsignal(WTERMSIG(status)));
	else if (verdict->failures)
		snprintf(why, sizeof(why), "%u failed", verdict->failures);
	else if (!verdict->skipped && (!verdict->finished || WEXITSTATUS(status)))
		snprintf(why, sizeof(why), "exited with code %d %s its end", WEXITSTATUS(status),
			 verdict->finished ? "at" : "before");
	failed = why[0];
	skipped = !failed && verdict->skipped;

	if (failed || skipped || verbose) {
		output__print(&out);
		if (leftovers)
			printf("# processes left behind were killed\n");
	}
	if (failed)
		printf("# %s: %s\n", test->name, why);
	verdict->reason[sizeof(verdict->reason) - 1] = '\0';
	printf("%s %u %s%s%s\n", failed ? "not ok" : "ok", number, test->name,
	       skipped ? " # SKIP " : "", skipped ? verdict->reason : "");
	fflush(stdout);
	free(out.text);
	return !failed;
}

static bool selected(const struct ktap_test *test, char **globs)
{
	if (!*globs)
		return test->name[0] != '_';
	for (; *globs; globs++)
		if ((test->name[0] == '_') == (**globs == '_') && !fnmatch(*globs, test->name, 0))
			return true;
	return false;
}

void ktap__alone(void)
{
	wants_alone = true;
}

int ktap__main(int argc, char **argv)
{
	unsigned int total = 0, number = 0, failed = 0;
	struct sigaction action = {.sa_handler = on_signal};
	bool verbose = false, list = false;
	int opt;

	while ((opt = getopt(argc, argv, "vlah")) != -1) {
		switch (opt) {
		case 'v':
			verbose = true;
			break;
		case 'l':
			list = true;
			break;
		case 'a':
			return wants_alone ? 0 : 1;
		default:
			fprintf(opt == 'h' ? stdout : stderr,
				"usage: %s [-v] [-l] [-a] [GLOB]...\n"
				"  -v  print the output of tests that pass, too\n"
				"  -l  list the tests\n"
				"  -a  run none: exit with 0 if they are to run beside no others\n",
				argv[0]);
			return opt == 'h' ? 0 : 2;
		}
	}
	argv += optind;

	for (struct ktap_test *t = tests; t; t = t->next) {
		if (!selected(t, argv))
			continue;
		total++;
		if (list)
			puts(t->name);
	}
	if (list)
		return 0;
	if (!total && *argv) {
		fprintf(stderr, "no test has such a name; -l lists them\n");
		return 2;
	}

	verdict = mmap(NULL, sizeof(*verdict), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS,
		       -1, 0);
	if (verdict == MAP_FAILED)
		bail_out("mmap");
	prctl(PR_SET_CHILD_SUBREAPER, 1);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);

	/* For the tests, which inherit it: a crash loses unfinished lines only. */
	setvbuf(stdout, NULL, _IOLBF, 0);
	printf("KTAP version 1\n1..%u\n", total);
	for (struct ktap_test *t = tests; t; t = t->next)
		if (selected(t, argv) && !run(t, ++number, verbose))
			failed++;
	return failed ? 1 : 0;
}
