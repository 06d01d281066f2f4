// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "guard.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "cleanup.h"
#include "fail.h"

/* A garbled object may send a parser in circles. The verifier needs seconds at most. */
#define CPU_SECONDS_MAX 120

static const int ending[] = {SIGINT, SIGTERM, SIGHUP};
static volatile sig_atomic_t asked;
static volatile pid_t child;

static void on_signal(int sig)
{
	asked = sig;
	if (child > 0)
		kill(child, sig);
}

static sigset_t ending_set(void)
{
	sigset_t set;

	sigemptyset(&set);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaddset(&set, ending[i]);
	return set;
}

void guard__hold(void)
{
	sigset_t set = ending_set();

	sigprocmask(SIG_BLOCK, &set, NULL);
	prctl(PR_SET_PDEATHSIG, 0);
}

static void write_all(int fd, const char *text, size_t len)
{
	while (len) {
		ssize_t n = write(fd, text, len);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return;
		text += n;
		len -= n;
	}
}

static void run_child(guard_fn fn, void *arg, int out, pid_t parent)
{
	struct rlimit cpu = {CPU_SECONDS_MAX, CPU_SECONDS_MAX}, core = {0, 0};
	struct json_object *result = json_object_new_object();
	const char *text;
	int code;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(EXIT_INTERNAL);
	setrlimit(RLIMIT_CPU, &cpu);
	setrlimit(RLIMIT_CORE, &core);
	code = fn(arg, result);
	text = json_object_to_json_string_ext(result, JSON_C_TO_STRING_PLAIN);
	/* A parent that could not read on has closed its end: what was done is done all the same.
	 */
	signal(SIGPIPE, SIG_IGN);
	write_all(out, text, strlen(text));
	json_object_put(result);
	fflush(stdout);
	fflush(stderr);
	exit(code);
}

static char *read_all(int fd)
{
	char *text = NULL, *more;
	size_t len = 0, room = 0;
	ssize_t n;

	do {
		if (room - len < 4096) {
			room = room ? 2 * room : 16384;
			more = realloc(text, room);
			if (!more)
				break;
			text = more;
		}
		n = read(fd, text + len, room - len - 1);
		if (n > 0)
			len += n;
	} while (n > 0 || (n < 0 && errno == EINTR));
	if (text)
		text[len] = '\0';
	return text;
}

int guard__run(guard_fn fn, void *arg, struct json_object **result)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t set = ending_set(), before;
	pid_t parent = getpid();
	_cleanup_free_ char *text = NULL;
	int out[2], status;

	if (result)
		*result = NULL;
	if (pipe2(out, O_CLOEXEC))
		return fail(EXIT_INTERNAL, "cannot make a pipe: %s", strerror(errno));
	fflush(stdout);
	/* Blocked until the handler knows whom to tell. */
	sigprocmask(SIG_BLOCK, &set, &before);
	child = fork();
	if (child < 0) {
		close(out[0]);
		close(out[1]);
		sigprocmask(SIG_SETMASK, &before, NULL);
		return fail(EXIT_INTERNAL, "cannot fork: %s", strerror(errno));
	}
	if (!child) {
		for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
			signal(ending[i], SIG_DFL);
		sigprocmask(SIG_SETMASK, &before, NULL);
		close(out[0]);
		run_child(fn, arg, out[1], parent);
	}
	close(out[1]);
	for (size_t i = 0; i < sizeof(ending) / sizeof(ending[0]); i++)
		sigaction(ending[i], &action, NULL);
	sigprocmask(SIG_SETMASK, &before, NULL);

	text = read_all(out[0]);
	close(out[0]);
	while (waitpid(child, &status, 0) < 0)
		if (errno != EINTR)
			return fail(EXIT_INTERNAL, "cannot wait: %s", strerror(errno));
	child = 0;
	if (result && text)
		*result = json_tokener_parse(text);
	return WIFEXITED(status) ? WEXITSTATUS(status) : -WTERMSIG(status);
}

int guard__explain(int code, const char *path)
{
	switch (-code) {
	case SIGKILL: /* a person, or the OOM killer */
	case SIGTERM:
		return fail(EXIT_INTERNAL, "%s: killed while it was read: is there memory enough?",
			    path);
	case SIGXCPU:
		return fail(EXIT_LOAD, "%s: given up after %d seconds of CPU time", path,
			    CPU_SECONDS_MAX);
	default:
		return fail(EXIT_LOAD, "%s is corrupt: it crashes the BPF library (%s)", path,
			    strsignal(-code));
	}
}

int guard__signal(void)
{
	return asked;
}

void guard__die_of_signal(void)
{
	if (!asked)
		return;
	signal(asked, SIG_DFL);
	raise(asked);
}
