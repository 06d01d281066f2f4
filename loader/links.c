// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "links.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "grace.h"
#include "hook.h"
#include "netdev.h"
#include "path.h"
#include "pins.h"
#include "tree.h"
#include "uprobe.h"

#define DETACH_WAIT_US 2000000
#define DETACH_STEP_US 500
#define SPARE 4 /* descriptors that are open for a moment: a perf event, a directory */

struct links {
	int n;
	struct {
		int fd;
		__u32 id;
	} link[];
};

static bool attaches(const struct attachable *prog)
{
	const char *target;
	const struct hook *hook = hook__find(prog->section, &target);

	return prog->section[0] && (!hook || hook__attaches(hook));
}

/* One link to be made: a program, or a program on one CPU. */
struct place {
	const struct attachable *prog;
	int cpu; /* -1: no CPU of its own */
	int fd;
};

/* "0-3,8" to a list of numbers, to be freed; how many, or -errno. */
static int online_cpus(int **cpus)
{
	char line[4096], *at = line;
	int n = 0, err;

	*cpus = NULL;
	err = path__read_line("/sys/devices/system/cpu/online", line, sizeof(line));
	while (!err && *at) {
		long first = strtol(at, &at, 10), last = first;

		if (*at == '-')
			last = strtol(at + 1, &at, 10);
		for (; first <= last && n < 1 << 16; first++) {
			int *more = reallocarray(*cpus, n + 1, sizeof(*more));

			if (!more)
				return -ENOMEM;
			*cpus = more;
			more[n++] = first;
		}
		if (*at != ',')
			break;
		at++;
	}
	return err ? err : n;
}

/* What there is, and what was not there for a while. */
struct cpus {
	const char *probe;
	const int *online, *gone;
	int n, n_gone;
};

static int count_wanted(const struct attachable *list, int n)
{
	_cleanup_free_ int *cpus = NULL;
	int n_cpus = online_cpus(&cpus), wanted = 0;

	for (int i = 0; i < n; i++)
		if (attaches(&list[i]))
			wanted += hook__each_cpu(list[i].section) ? n_cpus : 1;
	return n_cpus < 0 ? n_cpus : wanted;
}

int links__check_room(const char *old_dir, const struct attachable *list, int n,
		      struct failure *failure)
{
	int old = old_dir ? links__count(old_dir) : 0, need = count_wanted(list, n);
	_cleanup_names_ char **fds = NULL;
	int used = pins__list("/proc/self/fd", &fds);
	struct rlimit limit;

	if (used == -EMFILE || old == -EMFILE || need == -EMFILE)
		return failed(failure, EXIT_ATTACH,
			      "not one file descriptor is left, and attaching needs more: "
			      "ulimit -n");
	if (used < 0 || old < 0 || need < 0 || getrlimit(RLIMIT_NOFILE, &limit))
		return 0; /* what cannot be counted is found out by trying */
	/* Attaching the old ones again takes their programs, too. */
	if (old_dir && need < old + n)
		need = old + n;
	need += SPARE;
	if (used + (rlim_t)need <= limit.rlim_cur)
		return 0;
	return failed(
		failure, EXIT_ATTACH,
		"%d more file descriptors are needed to attach, and the limit is %llu: ulimit "
		"-n %llu",
		need, (unsigned long long)limit.rlim_cur, (unsigned long long)used + need);
}

static int pin_place(const char *dir, const struct place *place)
{
	if (place->cpu >= 0)
		return tree__pin(place->fd, TREE_ROOTS, "%s/link/%s_cpu%d", dir, place->prog->name,
				 place->cpu);
	return tree__pin(place->fd, TREE_ROOTS, "%s/link/%s", dir, place->prog->name);
}

int links__attach(const char *dir, const struct attachable *list, int n, struct failure *failure)
{
	_cleanup_free_ struct place *places = NULL;
	_cleanup_free_ int *cpus = NULL;
	int n_cpus = online_cpus(&cpus), wanted = 0, attached = 0, code = 0, err;
	struct failure why;

	if (n_cpus < 0)
		return failed(failure, EXIT_INTERNAL, "cannot tell which CPUs are online: %s",
			      failure__reason(n_cpus));
	places = calloc((size_t)n * (n_cpus + 1) + 1, sizeof(*places));
	if (!places)
		return failed(failure, EXIT_INTERNAL, "no memory");
	for (int i = 0; i < n; i++) {
		if (!attaches(&list[i]))
			continue;
		if (!hook__each_cpu(list[i].section))
			places[wanted++] = (struct place){&list[i], -1, -1};
		else
			for (int c = 0; c < n_cpus; c++)
				places[wanted++] = (struct place){&list[i], cpus[c], -1};
	}
	/* Attach all first, pin then: what is measured together begins together. */
	for (; attached < wanted && !code; attached++) {
		struct place *place = &places[attached];

		place->fd = hook__attach(place->prog->section, place->prog->fd, place->cpu, &why);
		if (place->fd < 0)
			code = failed(failure, why.code, "program %s: %s", place->prog->name,
				      why.line);
	}
	for (int i = 0; i < attached && !code; i++) {
		err = pin_place(dir, &places[i]);
		if (err)
			code = failed(failure, EXIT_MAP, "cannot pin the link of %s below %s: %s",
				      places[i].prog->name, dir, failure__reason(err));
	}
	for (int i = 0; i < attached; i++)
		if (places[i].fd >= 0)
			close(places[i].fd);
	if (!code)
		code = netdev__attach(dir, list, n, failure);
	if (!code)
		code = uprobe__attach(dir, list, n, failure);
	/* When the other programs run: what comes from now on they see. */
	err = code ? 0 : pins__run_iterators(dir);
	if (err)
		code = failed(failure, EXIT_ATTACH, "cannot run the iterators below %s: %s", dir,
			      failure__reason(err));
	if (code)
		links__drop(links__release(dir));
	return code;
}

/* --- CPUs that come and go ------------------------------------------------------ */

static bool is_among(int cpu, const int *cpus, int n)
{
	for (int i = 0; i < n; i++)
		if (cpus[i] == cpu)
			return true;
	return false;
}

/* Links of a program on CPUs that are away, or were. */
static void drop_cpus(const char *dir, const struct attachable *prog, const struct cpus *cpus)
{
	_cleanup_names_ char **names = NULL;
	size_t len = strlen(prog->name);
	char path[PATH_MAX];

	if (path__format(path, "%s/link", dir) || pins__list(path, &names) < 0)
		return;
	for (char **name = names; name && *name; name++) {
		int cpu;

		if (strncmp(*name, prog->name, len) || sscanf(*name + len, "_cpu%d", &cpu) != 1 ||
		    (is_among(cpu, cpus->online, cpus->n) &&
		     !is_among(cpu, cpus->gone, cpus->n_gone)))
			continue;
		if (!path__format(path, "%s/link/%s", dir, *name) && !unlink(path))
			inform("%s: CPU %d has gone", cpus->probe, cpu);
	}
}

static void add_cpus(const char *dir, const struct attachable *prog, const struct cpus *cpus)
{
	for (int i = 0; i < cpus->n; i++) {
		struct place place = {prog, cpus->online[i], -1};
		struct failure why;
		char path[PATH_MAX];
		int err;

		if (path__format(path, "%s/link/%s_cpu%d", dir, prog->name, place.cpu) ||
		    !access(path, F_OK))
			continue;
		place.fd = hook__attach(prog->section, prog->fd, place.cpu, &why);
		err = place.fd < 0 ? 0 : pin_place(dir, &place);
		if (place.fd < 0)
			warn("%s: CPU %d: %s", cpus->probe, place.cpu, why.line);
		else if (err)
			warn("%s: CPU %d: cannot pin its link: %s", cpus->probe, place.cpu,
			     failure__reason(err));
		else
			inform("%s: attached on CPU %d", cpus->probe, place.cpu);
		if (place.fd >= 0)
			close(place.fd);
	}
}

void links__follow_cpus(const char *probe, const char *dir, const struct attachable *list, int n,
			const int *gone, int n_gone)
{
	_cleanup_free_ int *online = NULL;
	struct cpus cpus = {.probe = probe, .gone = gone, .n_gone = n_gone};

	cpus.n = online_cpus(&online);
	cpus.online = online;
	if (cpus.n < 0)
		return;
	for (int i = 0; i < n; i++) {
		if (!hook__each_cpu(list[i].section))
			continue;
		drop_cpus(dir, &list[i], &cpus);
		add_cpus(dir, &list[i], &cpus);
	}
}

/* --- detaching -------------------------------------------------------------------- */

struct links *links__release(const char *dir)
{
	char links_dir[PATH_MAX], path[PATH_MAX];
	_cleanup_names_ char **names = NULL;
	struct links *links;
	int n, err;

	err = path__format(links_dir, "%s/link", dir);
	n = err ? err : pins__list(links_dir, &names);
	if (n < 0) {
		errno = -n;
		return NULL;
	}
	links = calloc(1, sizeof(*links) + n * sizeof(links->link[0]));
	if (!links)
		return NULL;
	for (int i = 0; i < n; i++) {
		struct bpf_link_info info = {};
		__u32 len = sizeof(info);
		int fd, undone;

		if (path__format(path, "%s/%s", links_dir, names[i]))
			continue;
		fd = bpf_obj_get(path);
		undone = netdev__undo(fd, names[i]);
		if (fd >= 0 && undone) {
			close(fd);
		} else if (fd >= 0) {
			bpf_obj_get_info_by_fd(fd, &info, &len);
			links->link[links->n].fd = fd;
			links->link[links->n++].id = info.id;
		}
		if (undone < 0 || unlink(path)) {
			err = undone < 0 ? -undone : errno;
			links__drop(links);
			errno = err;
			return NULL;
		}
	}
	/* On 6.1 an unlinked pin gives its reference back only after a grace period. */
	if (n)
		grace__period();
	return links;
}

static bool is_gone(__u32 id)
{
	int fd = bpf_link_get_fd_by_id(id);

	if (fd >= 0)
		close(fd);
	return fd < 0;
}

void links__drop(struct links *links)
{
	if (!links)
		return;
	for (int i = 0; i < links->n; i++)
		close(links->link[i].fd);
	/*
	 * Normally they are gone by now. Not so while the grace period's callbacks are
	 * late, or somebody else (bpftool) holds a link: wait a little.
	 */
	for (int i = 0; i < links->n; i++)
		for (int waited = 0;
		     links->link[i].id && !is_gone(links->link[i].id) && waited < DETACH_WAIT_US;
		     waited += DETACH_STEP_US)
			usleep(DETACH_STEP_US);
	free(links);
}

int links__count(const char *dir)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];
	int err = path__format(path, "%s/link", dir);

	return err ? err : pins__list(path, &names);
}
