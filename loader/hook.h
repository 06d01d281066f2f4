/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * How a section attaches. By section name and program descriptor alone, so that
 * what is pinned can be attached again without its object.
 */
#ifndef OTELBPF_LOADER_HOOK_H
#define OTELBPF_LOADER_HOOK_H

#include <linux/types.h>
#include <stdbool.h>

#include "failure.h"

/** struct hook - one kind of section. Opaque. */
struct hook;

/**
 * hook__find - the kind of a section
 * @section: as in SEC(), without a leading '?'
 * @target:  set to what follows the kind's prefix
 *
 * Return: the hook, or NULL if we cannot attach such a program.
 */
const struct hook *hook__find(const char *section, const char **target);

/** hook__attaches - false for programs that are pinned but run on demand only, as iter/ */
bool hook__attaches(const struct hook *hook);

/**
 * hook__available - whether this kernel has what a section attaches to
 * @section: the section
 * @failure: why not
 *
 * Nothing of the probe runs: at most an empty program is loaded.
 *
 * Return: 0, EXIT_KERNEL, EXIT_PERMISSION, or EXIT_ATTACH for an unknown kind.
 */
int hook__available(const char *section, struct failure *failure);

/**
 * hook__each_cpu - whether a section is attached on each CPU, by a link of its own
 *
 * perf_event/EVENT/FREQUENCY, which is how SEC("perf_event") is written down once the
 * frequency is known; of events that are counted, perf_event/EVENT/PERIOD.
 */
bool hook__each_cpu(const char *section);

/** hook__try_cycles - whether the CPUs' cycle counters can be sampled: 0 or -errno */
int hook__try_cycles(void);
/** hook__on_interfaces - whether a section is attached to network interfaces: see netdev.h */
bool hook__on_interfaces(const char *section);

/** hook__on_functions - whether a section is attached to functions of user space: see uprobe.h */
bool hook__on_functions(const char *section);

/**
 * hook__attach - attach a loaded program
 * @section: its section
 * @prog:    descriptor of the program
 * @cpu:     which CPU; for hook__each_cpu() only
 * @failure: filled on failure
 *
 * Return: a BPF link's descriptor, or -1.
 */
int hook__attach(const char *section, int prog, int cpu, struct failure *failure);

/**
 * hook__link_event() - have a perf event run a program, from now on
 * @event:  its descriptor, or what opening it failed with
 * @prog:   the program
 * @cookie: what it gets from bpf_get_attach_cookie()
 *
 * Return: a link, which holds the event; or -errno.
 */
int hook__link_event(int event, int prog, __u64 cookie);

#endif
