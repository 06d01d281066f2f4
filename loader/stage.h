/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* From an open object to a loaded probe: prepare beside what runs, then change over. */
#ifndef OTELBPF_LOADER_STAGE_H
#define OTELBPF_LOADER_STAGE_H

#include <stdbool.h>

#include "args.h"
#include "object.h"
#include "probe.h"
#include "shared.h"

/**
 * struct stage - one load under way
 * @args:     the command line
 * @object:   open, options set
 * @dir:      PINDIR/NAME~new
 * @lock:     of @dir
 * @old:      what is loaded under this name, locked, if @has_old
 * @keeps:    its maps go on, only programs are replaced
 * @shared:   maps that are not the probe's alone
 * @committed: it has taken its place
 * @dropped:  words for a person: which entries --replace drops
 * @has_old:  whether there is something
 * @hooks:    what its programs attach to
 */
struct stage {
	const struct args *args;
	struct object *object;
	char dir[PATH_MAX];
	int lock;
	struct probe old;
	bool has_old, keeps, committed;
	struct shared shared;
	char dropped[512];
	char hooks[OTEL_PROGRAMS_MAX][OTEL_SECTION_MAX];
};

/**
 * stage__begin - take the locks and decide which maps go on
 * @stage:   filled; to be ended also after a failure
 * @args:    .pin_dir and .replace
 * @object:  open, not yet loaded; maps that go on are given to libbpf
 * @failure: filled on failure: EXIT_MAP with the first difference of layout
 */
int stage__begin(struct stage *stage, const struct args *args, struct object *object,
		 struct failure *failure);

/**
 * stage__fill - load the object, write what the loader owns in it, pin it in @stage->dir
 *
 * What runs under this name is not touched.
 */
int stage__fill(struct stage *stage, struct failure *failure);

/**
 * stage__commit - attach and take the place of what was loaded
 *
 * If the new programs cannot be attached the old ones are attached again.
 */
int stage__commit(struct stage *stage, struct failure *failure);
void stage__end(struct stage *stage);

#endif
