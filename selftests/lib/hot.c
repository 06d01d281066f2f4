// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"

void hot__load(struct live *live)
{
	char filter[PATH_MAX + 16], frequency[32];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	snprintf(frequency, sizeof(frequency), "cpu.frequency=%d", HZ);
	live__must("load", "-q", CPU_OBJECT, "--set", frequency, "--filter", filter);
}

void hot__start(struct hot *hot, struct live *live, const char *ms, const char *program)
{
	char procs[PATH_MAX + 16];
	FILE *file;

	*hot = (struct hot){};
	snprintf(hot->path, sizeof(hot->path), "%s/hot%d", live->tmp, live->steps++);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", live->cgroup);
	fflush(NULL);
	hot->pid = fork();
	ASSERT_GE(hot->pid, 0);
	if (hot->pid)
		return;
	file = fopen(procs, "we");
	if (!file || fputs("0", file) < 0 || fclose(file) || !freopen(hot->path, "w", stdout))
		_exit(99);
	execl(HOT, HOT, ms, program, (char *)NULL);
	_exit(127);
}

void hot__wait(struct hot *hot)
{
	FILE *file;

	ASSERT_EQ(live__wait(hot->pid), 0);
	file = fopen(hot->path, "re");
	ASSERT_TRUE(file);
	ASSERT_EQ(fscanf(file, "%lld %lld %lld %lld %lld", &hot->total, &hot->function[0],
			 &hot->function[1], &hot->function[2], &hot->wall),
		  5);
	fclose(file);
}

void hot__run(struct hot *hot, struct live *live, const char *ms)
{
	hot__start(hot, live, ms, NULL);
	hot__wait(hot);
}

/*
 * Timers of an emulated machine are late now and then, and many more of them when
 * something else is running on another of its CPUs.
 *
 * The sampling timer goes by the clock. Where others share the process's CPU, or a
 * hypervisor or interrupts take from it, it cannot be better than the share of time
 * that the process did not have: that much may be missing, or be there too much.
 */
void hot__expect(__u64 samples, const struct hot *hot, bool alone)
{
	double tolerance = !is_emulated() || alone ? 0.02 : 0.15;
	double expected = hot->total / 1e9 * HZ;
	double shared = hot->wall > hot->total ? (hot->wall - hot->total) / 1e9 * HZ : 0;

	printf("%llu samples, %.1f expected, %.1f while others ran\n", (unsigned long long)samples,
	       expected, shared);
	EXPECT_GE(samples, (expected - shared) * (1 - tolerance));
	EXPECT_LE(samples, (expected + shared) * (1 + tolerance));
}
void received__add(struct json_object *dictionary, struct json_object *resource,
		   struct json_object *profile, void *ctx)
{
	const char *name = profiles__attr(dictionary, resource, "process.executable.name");
	const char *pid = profiles__attr(dictionary, resource, "process.pid");
	struct seen new = {.total = profile__total(profile), .pid = strtoull(pid ?: "0", NULL, 10)};
	struct received *received = ctx;

	snprintf(new.id, sizeof(new.id), "%s", otlp_json__text(profile, "profileId"));
	snprintf(new.name, sizeof(new.name), "%s", name ?: "");
	for (size_t i = 0; i < received->n; i++) {
		const struct seen *old = &received->seen[i];

		if (strcmp(old->id, new.id))
			continue;
		EXPECT_STREQ(new.name, old->name);
		EXPECT_EQ(new.pid, old->pid);
		EXPECT_EQ(new.total, old->total);
		received->duplicates++;
		return;
	}
	received->seen = reallocarray(received->seen, received->n + 1, sizeof(new));
	ASSERT_TRUE(received->seen);
	received->seen[received->n++] = new;
	if (!strncmp(new.name, "hot", strlen("hot"))) {
		received->hot++;
		received->total += new.total;
	}
}

__u64 received__samples_now(struct live *live)
{
	_cleanup_json_ struct json_object *requests = live__export_file(live);
	struct received received = {};

	profiles__for_each(requests, received__add, &received);
	EXPECT_EQ(received.duplicates, 0);
	free(received.seen);
	return received.total;
}
