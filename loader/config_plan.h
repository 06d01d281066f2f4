/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What the configuration says of probes, checked against what their objects declare. It
 * becomes the same words that the command line has, and what is done with them is the same.
 */
#ifndef OTELBPF_LOADER_CONFIG_PLAN_H
#define OTELBPF_LOADER_CONFIG_PLAN_H

#include "args.h"
#include "config.h"
#include "object.h"

struct json_object;

/**
 * struct config_probe - a probe to be loaded
 * @target:  its object
 * @node:    its mapping; NULL if it is only one of all that are installed
 * @args:    as for cmd_load(): of the configuration, and of the command line, which wins
 * @set:     "PROBE.KEY=VALUE", @args.sets of them, owned
 * @filter:  "KIND=VALUE", @args.filters of them, owned
 * @set_node, @filter_node: where they are from; NULL: the command line
 * @bytes:   estimate of its maps
 */
struct config_probe {
	struct target target;
	const struct config_node *node;
	struct args args;
	char **set, **filter;
	const struct config_node **set_node, **filter_node;
	__u64 bytes;
};

/**
 * struct config_plan - all of it
 * @config: the files; .root is NULL if there are none
 * @probe:  @probes of them
 * @report: for each probe what config_check__probe() found out
 * @budget: bytes; 0: none
 * @bytes:  estimate of all maps
 */
struct config_plan {
	struct config config;
	struct config_probe *probe;
	int probes;
	struct json_object *report;
	unsigned long long budget;
	__u64 bytes;
};

/**
 * config_plan__read - read, check, and compare with the memory budget; changes nothing
 * @plan: filled; to be freed also after a failure
 * @args: .config: where; .name: only these of its probes; .set, .filter, .preset and
 *        .duration_ns are put over what it says
 *
 * Return: an exit code, once what is wrong has been said.
 */
int config_plan__read(struct config_plan *plan, const struct args *args);
void config_plan__free(struct config_plan *plan);
void config_probe__free(struct config_probe *probe);

/**
 * config_check__probe - compare with what the object declares; to be run in a child
 * @arg:    struct config_probe
 * @result: "maps": name, bytes, shared; "options": key, value now, whether it is from @arg
 */
int config_check__probe(void *arg, struct json_object *result);

#endif
