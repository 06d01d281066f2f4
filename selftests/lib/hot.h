/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The workload of tests of on-CPU profiles, and what is received of it. */
#ifndef SELFTESTS_HOT_H
#define SELFTESTS_HOT_H

#include <json-c/json.h>
#include <linux/types.h>
#include <stdbool.h>
#include <sys/types.h>

#include "live.h"
#include "samples.h"

#define HOT BUILD_DIR "/selftests/tools/hot"
#define HZ 499

/** hot__load() - load the probe for a cgroup of the test, at %HZ */
void hot__load(struct live *live);

/* --- the workload ----------------------------------------------------------------------------- */

/** struct hot - the workload, and its CPU time in ns as it told */
struct hot {
	pid_t pid;
	char path[128];
	long long total, function[3];
	long long wall; /* time that passed */
};

/**
 * hot__start() - begin to burn CPU time in the cgroup
 * @ms:      for so long
 * @program: what to execute instead of itself after a while, or NULL
 */
void hot__start(struct hot *hot, struct live *live, const char *ms, const char *program);

/** hot__wait() - wait for its end and read what it told */
void hot__wait(struct hot *hot);

/** hot__run() - hot__start() and hot__wait() */
void hot__run(struct hot *hot, struct live *live, const char *ms);

/**
 * hot__expect() - as many samples as there was CPU time
 * @alone: no other test, and nothing of this one, ran beside it
 */
void hot__expect(__u64 samples, const struct hot *hot, bool alone);

/* --- what was received ------------------------------------------------------------------------ */

/** struct seen - a profile that was received */
struct seen {
	char id[64], name[64];
	__u64 total, pid;
};

/** struct received - profiles by id; free() @seen */
struct received {
	struct seen *seen;
	size_t n, duplicates;
	int hot;     /* profiles of the workload */
	__u64 total; /* their samples, each profile once */
};

/** received__add() - a &profile_fn with a &struct received: what comes again under an id has to be
 * the same */
void received__add(struct json_object *dictionary, struct json_object *resource,
		   struct json_object *profile, void *ctx);

/** received__samples_now() - the workload's samples in the kernel's tables, which are not consumed
 */
__u64 received__samples_now(struct live *live);

#endif
