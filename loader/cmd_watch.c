// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * otelbpf watch: probes on network interfaces, on CPUs and on functions follow what comes and goes.
 *
 * The one command that stays, and nothing depends on it: what is attached goes on without it,
 * and another load takes in the same. It knows no more than sections and pins say.
 */
#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "args.h"
#include "cleanup.h"
#include "fail.h"
#include "hook.h"
#include "links.h"
#include "netdev.h"
#include "path.h"
#include "pins.h"
#include "probe.h"
#include "tree.h"
#include "uprobe.h"

#define KERNEL_EVENTS 1 /* group of NETLINK_KOBJECT_UEVENT */
#define SETTLE_MS 50	/* a new interface is told of several times */
#define GONE_MAX 4096	/* CPUs */

/* CPUs that went offline: what was attached there stays dead when they come back. */
struct gone {
	int cpu[GONE_MAX];
	int n;
};

static volatile sig_atomic_t asked;

static void on_signal(int sig)
{
	asked = sig;
}

/* --- what happens ------------------------------------------------------------------- */

static int subscribe(int family, unsigned int groups)
{
	struct sockaddr_nl address = {.nl_family = AF_NETLINK, .nl_groups = groups};
	int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, family);

	if (fd >= 0 && bind(fd, (struct sockaddr *)&address, sizeof(address))) {
		close(fd);
		fd = -1;
	}
	return fd < 0 ? -errno : fd;
}

/* Length of the next message, 0 for none. One that got lost counts as one: then we look. */
static ssize_t receive(int fd, char *buffer, size_t size)
{
	struct sockaddr_nl from = {};
	socklen_t len = sizeof(from);
	ssize_t n = recvfrom(fd, buffer, size - 1, 0, (struct sockaddr *)&from, &len);

	if (n < 0)
		n = errno == ENOBUFS;
	else if (from.nl_pid)
		n = 1; /* not the kernel's */
	buffer[n] = '\0';
	return n;
}

static void take_cpu_event(const char *event, struct gone *gone)
{
	int cpu;

	if (sscanf(event, "offline@/devices/system/cpu/cpu%d", &cpu) == 1 && gone->n < GONE_MAX)
		gone->cpu[gone->n++] = cpu;
}

static void drain(int route, int kernel, struct gone *gone)
{
	static char buffer[1 << 16];

	while (receive(route, buffer, sizeof(buffer)) > 0)
		;
	while (receive(kernel, buffer, sizeof(buffer)) > 0)
		take_cpu_event(buffer, gone);
}

/* --- what is done ------------------------------------------------------------------- */

static bool follows(const struct probe *probe)
{
	for (int i = 0; i < probe->programs; i++)
		if (hook__on_interfaces(probe->program[i].section) ||
		    hook__on_functions(probe->program[i].section) ||
		    hook__each_cpu(probe->program[i].section))
			return probe->meta.state == OTEL_STATE_RUNNING;
	return false;
}

static bool follows_functions(const struct probe *probe)
{
	for (int i = 0; i < probe->programs; i++)
		if (hook__on_functions(probe->program[i].section))
			return true;
	return false;
}

static void count(const char *path, void *ctx)
{
	(void)path;
	(*(int *)ctx)++;
}

static bool is_stopped(const struct probe *probe)
{
	struct otel_guard guard;

	return uprobe__guard(probe->dir, &guard) && guard.stopped;
}

static bool has_to_be_seen_to(const struct probe *probe)
{
	int n = 0;

	if (is_stopped(probe))
		return true;
	if (follows_functions(probe))
		uprobe__missing(probe->dir, count, NULL, &n);
	return n;
}

/* Its programs return at once, but the traps go on. */
static void detach_stopped(struct probe *probe)
{
	int err;

	links__drop(links__release(probe->dir));
	err = probe__set_state(probe, OTEL_STATE_PAUSED);
	if (err)
		warn("%s: cannot write its state: %s", probe->name, failure__reason(err));
	warn("%s took more CPU time than its guard allows: paused", probe->name);
}

/*
 * What is not loaded, or paused, or stays where it is, is none of ours. @gone is NULL when nothing
 * was told, but it is time to look for files. Returns an exit code.
 */
static int follow_one(const char *pin_dir, const char *name, const struct gone *gone,
		      struct failure *failure)
{
	struct attachable list[OTEL_PROGRAMS_MAX];
	struct probe probe = {.lock = -1};
	int n = 0, code = probe__open(&probe, pin_dir, name, failure), lock;

	if (code || !follows(&probe) || (!gone && !has_to_be_seen_to(&probe)))
		return code == EXIT_MAP ? 0 : code;
	lock = tree__begin(pin_dir, name);
	if (lock < 0)
		return failed(failure, EXIT_PERMISSION, "cannot lock probe '%s': %s", name,
			      failure__reason(lock));
	/* Unloaded meanwhile, maybe. */
	if (!probe__open_locked(&probe, pin_dir, name, failure) && follows(&probe)) {
		if (is_stopped(&probe)) {
			detach_stopped(&probe);
			goto out;
		}
		code = probe__programs(&probe, list, &n, failure);
		if (!code) {
			if (gone) {
				netdev__follow(name, probe.dir, list, n);
				links__follow_cpus(name, probe.dir, list, n, gone->cpu, gone->n);
			}
			if (follows_functions(&probe))
				uprobe__follow(name, probe.dir, list, n);
		}
		probe__close_programs(list, n);
	}
out:
	probe__close(&probe);
	close(lock);
	tree__clean(pin_dir, name);
	return code;
}

static int follow_all(const struct args *args, const struct gone *gone)
{
	_cleanup_names_ char **names = NULL;
	struct failure failure;
	int code = probe__names(args, &names), first = 0;

	for (char **name = names; name && *name && !code; name++)
		if (follow_one(args->pin_dir, *name, gone, &failure))
			first = fail(failure.code, "%s", failure.line);
	return code ? code : first;
}

/* --- the command -------------------------------------------------------------------- */

static void catch_signals(sigset_t *before)
{
	struct sigaction action = {.sa_handler = on_signal};
	sigset_t ending;

	sigemptyset(&ending);
	sigaddset(&ending, SIGINT);
	sigaddset(&ending, SIGTERM);
	sigaddset(&ending, SIGHUP);
	/* A change is never left half done: they come while we wait. */
	sigprocmask(SIG_BLOCK, &ending, before);
	sigaction(SIGINT, &action, NULL);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGHUP, &action, NULL);
}

int cmd_watch(const struct args *args)
{
	_cleanup_fd_ int route = subscribe(NETLINK_ROUTE, RTMGRP_LINK);
	_cleanup_fd_ int kernel = subscribe(NETLINK_KOBJECT_UEVENT, KERNEL_EVENTS);
	const struct timespec settle = {.tv_nsec = SETTLE_MS * 1000000};
	const struct timespec look_again = {.tv_sec = 1};
	struct pollfd fds[] = {{.fd = route, .events = POLLIN}, {.fd = kernel, .events = POLLIN}};
	static struct gone gone;
	sigset_t before;
	int code, n;

	if (route < 0 || kernel < 0)
		return fail(EXIT_KERNEL, "the kernel does not tell what changes: %s",
			    strerror(route < 0 ? -route : -kernel));
	code = pins__check(args->pin_dir);
	if (code)
		return code;
	catch_signals(&before);
	code = follow_all(args, &gone);
	if (code)
		return code;
	inform("watching network interfaces, CPUs and new programs for what is loaded in %s",
	       args->pin_dir);
	while (!asked) {
		/* Nobody tells that a process of a cgroup has mapped a file. */
		n = ppoll(fds, 2, &look_again, &before);
		if (n < 0)
			continue; /* a signal */
		if (!n) {
			follow_all(args, NULL);
			continue;
		}
		gone.n = 0;
		drain(route, kernel, &gone);
		ppoll(NULL, 0, &settle, &before);
		drain(route, kernel, &gone);
		follow_all(args, &gone); /* what failed may go well the next time */
	}
	return EXIT_OK;
}
