// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "overhead.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cleanup.h"
#include "duration.h"
#include "fail.h"
#include "links.h"
#include "path.h"
#include "pins.h"

/* A program under measurement: its descriptor, and how it stood first. */
struct reading {
	int fd;
	struct cost first;
};

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

static bool is_enabled(void)
{
	char line[8];

	return !path__read_line("/proc/sys/kernel/bpf_stats_enabled", line, sizeof(line)) &&
	       line[0] == '1';
}

/* Each program with the time of its own reading: there may be many. */
static int read_one(int fd, struct cost *cost)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	*cost = (struct cost){info.id, info.run_cnt, info.run_time_ns, now_ns()};
	return 0;
}

static int add_probe(const char *dir, struct reading **readings, int *n)
{
	_cleanup_names_ char **names = NULL;
	char progs[PATH_MAX], path[PATH_MAX];
	struct reading *more;
	int count;

	if (links__count(dir) <= 0 || path__format(progs, "%s/prog", dir))
		return 0;
	count = pins__list(progs, &names);
	if (count <= 0)
		return 0;
	more = reallocarray(*readings, *n + count, sizeof(*more));
	if (!more)
		return -ENOMEM;
	*readings = more;
	for (int i = 0; i < count; i++) {
		if (path__format(path, "%s/%s", progs, names[i]))
			continue;
		more[*n].fd = bpf_obj_get(path);
		*n += more[*n].fd >= 0;
	}
	return 0;
}

static int wait_for(__u64 ns)
{
	struct timespec time = {ns / 1000000000, ns % 1000000000};
	bool show = !quiet && isatty(STDERR_FILENO);
	char text[DURATION_TEXT];
	int err;

	if (show)
		fprintf(stderr, "measuring for %s …", duration__print(ns, text));
	err = nanosleep(&time, NULL) ? -errno : 0;
	if (show)
		fprintf(stderr, "\r\033[K");
	return err;
}

static int measure(struct overhead *overhead, struct reading *readings, int n, __u64 ns)
{
	_cleanup_fd_ int stats = -1;
	int err;

	if (!overhead->total)
		stats = bpf_enable_stats(BPF_STATS_RUN_TIME);
	if (!overhead->total && stats < 0)
		return -errno;
	overhead->cost = calloc(n, sizeof(*overhead->cost));
	if (!overhead->cost)
		return -ENOMEM;
	for (int i = 0; i < n; i++)
		if (read_one(readings[i].fd, &readings[i].first))
			readings[i].first.id = 0;
	err = wait_for(ns);
	for (int i = 0; i < n && !err; i++) {
		const struct cost *first = &readings[i].first;
		struct cost *cost = &overhead->cost[overhead->n];

		if (!first->id || read_one(readings[i].fd, cost))
			continue;
		cost->runs -= first->runs;
		cost->run_ns -= first->run_ns;
		cost->wall_ns -= first->wall_ns;
		overhead->n++;
	}
	return err;
}

void overhead__measure(struct overhead *overhead, const char *pin_dir, char **names, __u64 ns)
{
	struct reading *readings = NULL;
	char dir[PATH_MAX];
	int n = 0, err = 0;

	*overhead = (struct overhead){.total = is_enabled(), .err = -ECANCELED};
	if (!ns)
		return;
	for (char **name = names; name && *name && !err; name++)
		if (pins__is_probe(*name) && !path__format(dir, "%s/%s", pin_dir, *name))
			err = add_probe(dir, &readings, &n);
	if (!err)
		err = n ? measure(overhead, readings, n, ns) : -ENOENT;
	overhead->err = err;
	for (int i = 0; i < n; i++)
		close(readings[i].fd);
	free(readings);
}

void overhead__free(struct overhead *overhead)
{
	free(overhead->cost);
	*overhead = (struct overhead){};
}

const struct cost *overhead__find(const struct overhead *overhead, __u32 id)
{
	for (int i = 0; i < overhead->n; i++)
		if (overhead->cost[i].id == id)
			return &overhead->cost[i];
	return NULL;
}

double cost__percent(const struct cost *cost)
{
	return cost->wall_ns ? 100.0 * cost->run_ns / cost->wall_ns : 0;
}

double cost__mean_us(const struct cost *cost)
{
	return cost->runs ? cost->run_ns / 1e3 / cost->runs : 0;
}
