/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An upgrade in which each event is counted once: both versions are attached, and one word
 * says which of them measures. The programs' part, and why, is in headers/otelbpf/turn.bpf.h.
 */
#ifndef OTELBPF_LOADER_TURN_H
#define OTELBPF_LOADER_TURN_H

#include "filter.h"
#include "object.h"

/**
 * turn__prepare - give an object that is not loaded yet its number
 * @object: options set; left alone if it knows nothing of turns
 * @dir:    the probe whose maps it takes over, or NULL
 *
 * Programs of network interfaces have none, but for those in a dispatcher: see
 * netdev__take_over() and xdp__load_extensions().
 */
void turn__prepare(struct object *object, const char *dir);

/** turn__note - these programs are attached alone: the next ones have another number */
void turn__note(struct filter *filter, const struct object *object);

/** turn__begin - before the newer programs are attached: they measure nothing yet */
void turn__begin(struct filter *filter, const struct object *object);

/** turn__hand_over - from now on the newer programs measure */
void turn__hand_over(struct filter *filter);

/** turn__hand_back - and now the older ones again */
void turn__hand_back(struct filter *filter);

/** turn__end - when only one version is attached any more */
void turn__end(struct filter *filter);

/** turn__settle - the same for a probe on which a load was killed in the middle */
void turn__settle(const char *dir);

#endif
