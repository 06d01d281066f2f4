/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Describe: a probe's profile tables, and the maps that belong to them. */
#ifndef OTELBPF_PROFILE_PROBE_H
#define OTELBPF_PROFILE_PROBE_H

#include <bpf/btf.h>
#include <linux/types.h>
#include <otelbpf/meta.h>
#include <otelbpf/profile.h>
#include <stdbool.h>

#define PROFILE_KEY_ATTRS_MAX 8
#define PROFILE_TABLES_MAX 4 /* of samples, and of stacks */
#define PROFILE_VALUES_MAX 3

struct tagged;

/**
 * struct profile_layout - where things are in a sample's key and value, as the tags say
 * @values: what is made a profile each
 */
struct profile_layout {
	__u32 key_size, value_size;
	int process, user, kernel, trace, window; /* offsets in the key, -1: not there */
	struct {
		const char *name;
		__u32 offset, size;
	} attrs[PROFILE_KEY_ATTRS_MAX];
	int n_attrs;
	struct {
		__u32 offset; /* in the value */
		const char *type, *unit, *period_type, *period_unit;
	} values[PROFILE_VALUES_MAX];
	int n_values;
};

/** struct held_layout - the same for an entry of a state (OTEL_STATE); @values as above */
struct held_layout {
	__u32 key_size, value_size;
	int process;		/* offset in the key */
	int user, since, ended; /* offsets in the value, -1: not there */
};

/**
 * struct profile_probe - a probe that has a profile table
 * @samples: profile tables, all of them laid out as @layout says
 * @held:    and the others up to @window: the maps, -1 when there is no such map. A state
 *           (OTEL_STATE); @held_layout and @held_values say what it has
 * @stacks:  tables of stacks, and how many frames there is room for in a value
 * @state:   of its windows, see profile_probe__read_state()
 * @period:  between two samples, ns; 0: none
 * @closed:  the window that is read
 */
struct profile_probe {
	const char *name;
	struct btf *btf;
	struct tagged *tagged;
	int samples[PROFILE_TABLES_MAX];
	int n_samples;
	int held, mappings, files, processes, window;
	struct {
		int fd;
		__u32 depth;
	} stacks[PROFILE_TABLES_MAX];
	int n_stacks;
	__u32 window_offset, window_size;
	struct profile_layout layout;
	struct held_layout held_layout;
	struct profile_layout held_values; /* of what held__read() makes of it */
	struct otel_meta meta;
	struct otel_window state;
	__u64 period;
	__u32 closed;
};

/**
 * profile_probe__open - find a probe's maps
 * @probe:   set; profile_probe__close() is to be called in any case
 * @pin_dir: where probes are pinned
 * @name:    of the probe; kept
 *
 * Return: whether there is a profile that can be read. What is missing is said.
 */
bool profile_probe__open(struct profile_probe *probe, const char *pin_dir, const char *name);
void profile_probe__close(struct profile_probe *probe);

/** profile_probe__read_state - read @state: 0 or -errno */
int profile_probe__read_state(struct profile_probe *probe);

/**
 * profile_probe__close_window - open the next window; the one that was open is @closed
 *
 * No program writes into that one any more. Return: 0 or -errno.
 */
int profile_probe__close_window(struct profile_probe *probe, __u64 now_ns);

#endif
