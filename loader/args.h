/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The command line, taken apart. */
#ifndef OTELBPF_LOADER_ARGS_H
#define OTELBPF_LOADER_ARGS_H

#include <linux/types.h>
#include <stdbool.h>

struct preset;
struct target;

/**
 * struct args - options and arguments of one invocation
 * @pin_dir:  where probes are pinned
 * @shared_dir: load: where maps are pinned that tools share; NULL: the root of @pin_dir's mount
 * @config:   load, reload, config: a file or directory; NULL: where it is installed
 * @mark:     load: a directory that tells what loaded the probe, see config_apply.h; or NULL
 * @json:     -j
 * @verbose:  -v
 * @replace:  load: drop what has another layout
 * @deny:     filter: what is listed does not pass
 * @children: filter: with what a process forks
 * @preset:   load: NULL or one of preset__find()
 * @duration: load: --duration was given, @duration_ns
 * @measure_ns: status: how long to measure
 * @set:      load: "PROBE.KEY=VALUE", @sets of them
 * @filter:   load: "KIND=VALUE", @filters of them
 * @probe:    filter: --probe, @probes of them
 * @name:     what follows the command, @names of them
 */
struct args {
	const char *pin_dir, *shared_dir, *config, *mark;
	bool json, verbose, replace, deny, children;
	const struct preset *preset;
	bool duration;
	__u64 duration_ns, measure_ns;
	const char **set, **filter, **probe;
	char **name;
	int sets, filters, probes, names;
};

/** cmd_… - one command each; return an exit code */
int cmd_check(const struct args *args);
int cmd_load(const struct args *args);
int cmd_options(const struct args *args);
int cmd_status(const struct args *args);
int cmd_config(const struct args *args);
int cmd_reload(const struct args *args);
int cmd_filter(const struct args *args);
int cmd_pause(const struct args *args);
int cmd_resume(const struct args *args);
int cmd_unload(const struct args *args);
int cmd_watch(const struct args *args);

/**
 * load__one - load one probe, in a child, and clean up if that fails
 * @args: of load
 *
 * Return: an exit code, once what is wrong has been said.
 */
int load__one(const struct args *args, const struct target *target);

#endif
