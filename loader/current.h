/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables of what is there now (OTEL_CURRENT): emptied when programs were away. */
#ifndef OTELBPF_LOADER_CURRENT_H
#define OTELBPF_LOADER_CURRENT_H

#include "mapview.h"

#define CURRENT_MAX 16

/** struct current - a probe's tables of that kind, open */
struct current {
	struct mapview table[CURRENT_MAX];
	int n;
};

/**
 * current__find - find them among a probe's pinned maps
 * @current: filled; to be closed
 * @dir:     the probe's directory
 *
 * Slow, as it reads BTF: before the programs are detached.
 */
void current__find(struct current *current, const char *dir);

/** current__clear - set every count to 0, while no program is attached */
void current__clear(const struct current *current);
void current__close(struct current *current);

#endif
