/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What tests of profiles share: questions to OTLP/JSON profiles, and workloads that tell the truth.
 */
#ifndef SELFTESTS_SAMPLES_H
#define SELFTESTS_SAMPLES_H

#include <json-c/json.h>
#include <linux/types.h>
#include <stdbool.h>

#include "collector.h"
#include "live.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))

#define CPU_OBJECT OBJECT_DIR "/progs/cpu.bpf.o"
#define OFFCPU_OBJECT OBJECT_DIR "/progs/offcpu.bpf.o"

/** is_emulated() - whether this kernel is the test's own, in a virtual machine without KVM */
bool is_emulated(void);

/* --- what was received ------------------------------------------------------------------------ */

/** json__get() - a member or NULL */
struct json_object *json__get(struct json_object *obj, const char *key);

#define for_each_of(item, list)                                                               \
	for (size_t item##_i = 0; (list) && item##_i < json_object_array_length(list) &&      \
				  ((item) = json_object_array_get_idx(list, item##_i), true); \
	     item##_i++)

typedef void (*profile_fn)(struct json_object *dictionary, struct json_object *resource,
			   struct json_object *profile, void *ctx);

/**
 * profiles__for_each() - call a function for every profile of every request
 * @requests: an array; other signals' requests are passed over
 *
 * Return: how many there were.
 */
int profiles__for_each(struct json_object *requests, profile_fn fn, void *ctx);

/** profiles__text() - a string of the dictionary, or NULL */
const char *profiles__text(struct json_object *dictionary, __u64 i);

/** profiles__attr() - an attribute of a resource as text or NULL: a Collector has texts in the
 * dictionary */
const char *profiles__attr(struct json_object *dictionary, struct json_object *resource,
			   const char *key);

/** sample__total() - the sum of a sample's values; profile__total() - of its samples' */
__u64 sample__total(struct json_object *sample);
__u64 profile__total(struct json_object *profile);

/** profiles__collector() - start a Collector that takes profiles, tell the exporter, or SKIP */
struct collector *profiles__collector(void);

/**
 * struct weight - what a profile says of a function
 * @name:  as a person reads it
 * @value: samples or time with it anywhere in the stack, once for each stack
 */
struct weight {
	const char *name;
	__u64 value;
};

/**
 * profiles__weigh() - add up what one program spent, in all and in functions
 * @program: process.executable.name
 * @type:    sample type: "samples" or "off_cpu"
 * @weights: their values are added to; @n: how many
 *
 * Return: the total.
 */
__u64 profiles__weigh(struct json_object *requests, const char *program, const char *type,
		      struct weight *weights, int n);

/* --- workloads that tell the truth ------------------------------------------------------------ */

#define TRUTHS_MAX 16

/**
 * struct truth - what a program of tools/ said: lines "NUMBER NAME"
 * @total: the one with the name "total"; @wall: likewise
 * @names: the others
 */
struct truth {
	pid_t pid;
	int in; /* write end of its input, when asked for */
	long long total, wall;
	int n;
	char names[TRUTHS_MAX][256];
	long long values[TRUTHS_MAX];
	char path[128];
};

/**
 * truth__start() - run a program of tools/ in the test's cgroup
 * @piped: its input is a pipe; truth__wait() closes it
 * @...:   the program's name, or a path, and its arguments
 */
#define truth__start(truth, live, piped, ...) \
	truth__spawn(truth, live, piped, (const char *const[]){__VA_ARGS__, NULL})
void truth__spawn(struct truth *truth, struct live *live, bool piped, const char *const *args);

/** truth__wait() - wait for its end, which has to be 0, and read what it said */
void truth__wait(struct truth *truth);

/** truth__read() - read what it has said so far. Return: whether the last line has that name. */
bool truth__read(struct truth *truth, const char *last);

#endif
