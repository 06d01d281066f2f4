/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Object files: where they are, and what libbpf makes of them. */
#ifndef OTELBPF_LOADER_OBJECT_H
#define OTELBPF_LOADER_OBJECT_H

#include <bpf/libbpf.h>
#include <limits.h>
#include <otelbpf/meta.h>
#include <stddef.h>

#include "failure.h"

struct tagged;

/**
 * struct target - an object file and the name of its probe
 * @probe: name below the pin directory
 * @path:  absolute
 */
struct target {
	char probe[OTEL_PROBE_NAME_MAX];
	char path[PATH_MAX];
};

/**
 * targets__find - find the objects that a command line means
 * @names:   probes, or files (with a '/' or ending in .bpf.o)
 * @n:       how many; 0: every installed probe
 * @targets: set to an array to be freed
 * @found:   set to its length, at least 1
 *
 * Probes are looked for in $OTELBPF_PROBES, the build tree's progs/ beside this
 * program, and the installed directory, in that order. Says what is wrong.
 *
 * Return: an exit code.
 */
int targets__find(char **names, int n, struct target **targets, int *found);

/**
 * struct object - an open object file
 * @target: where it came from
 * @obj:    libbpf's view
 * @tagged: index of its BTF's tags
 * @frequency: of perf_event programs, Hz
 * @event:    of perf_event programs: "cycles", or NULL for the kernel's clock
 * @preset_set: what --preset changed, "key=value", or ""
 * @duration_ns: measure for this long; 0: until told otherwise
 * @interfaces: of XDP and tc programs: the option's text, or NULL
 * @xdp_mode:   likewise
 * @target_pid: of programs on functions of user space: the option, or NULL
 * @target_binary, @target_cgroup, @target_prefixes: likewise
 * @turn_attempt: the constant of an object whose versions take turns, or NULL
 * @attempt:    its number
 * @image:      the file, of @image_size bytes
 */
struct object {
	const struct target *target;
	struct bpf_object *obj;
	struct tagged *tagged;
	unsigned int frequency;
	const char *event;
	char preset_set[128];
	__u64 duration_ns;
	const char *interfaces;
	const char *xdp_mode;
	const __u32 *target_pid;
	const char *target_binary, *target_cgroup, *target_prefixes;
	__u32 *turn_attempt, attempt;
	void *image;
	size_t image_size;
};

/**
 * object__open - open an object and see that it is one of ours
 * @object:  filled; to be closed also after a failure
 * @target:  kept, not owned
 * @failure: filled on failure
 *
 * Return: 0, EXIT_USAGE if the file cannot be read, EXIT_LOAD if it is bad.
 */
int object__open(struct object *object, const struct target *target, struct failure *failure);
void object__close(struct object *object);

/** object__programs - how many programs there are, loaded or not */
int object__programs(const struct object *object);

/**
 * object__hook - what a program attaches to, as hook.h wants it
 * @section: filled
 *
 * Its section without the '?' of an optional one; SEC("perf_event") with the event
 * and the frequency or period, SEC("xdp") and SEC("tc") with what the option and tags say, so that
 * what is pinned can be attached again without its object.
 */
void object__hook(const struct object *object, const struct bpf_program *prog,
		  char section[OTEL_SECTION_MAX]);

/**
 * object__pin_name - the name a map is pinned by
 * @map:  the map
 * @name: filled
 *
 * A variable's own; ".rodata" becomes "rodata", ".data.filter" "data_filter":
 * bpffs takes no dots.
 */
#define PIN_NAME_MAX 64
void object__pin_name(const struct bpf_map *map, char name[PIN_NAME_MAX]);

/**
 * object__map_fd - a map's descriptor, or -1 for one that is not made
 *
 * For a map that is left out libbpf 1.4 and newer have one that is no map's once the object is
 * loaded.
 */
int object__map_fd(const struct bpf_map *map);

/** object__section - section of an internal map (".rodata"), or NULL for a map of the source */
const char *object__section(const struct bpf_map *map);

/** object__load_failed - fill a failure from libbpf's messages; returns its code */
int object__load_failed(const struct object *object, int err, struct failure *failure);

#endif
