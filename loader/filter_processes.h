/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Filter entries of processes, after a time in which no program followed forks and exits. */
#ifndef OTELBPF_LOADER_FILTER_PROCESSES_H
#define OTELBPF_LOADER_FILTER_PROCESSES_H

#include "filter.h"

/**
 * filter_processes__catch_up - make the entries of processes what they would be
 * @filter: open; its programs are attached, so that from now on they follow
 *
 * Present children, and theirs, of entries with OTEL_FILTER_CHILDREN get one as on
 * fork; entries of processes that have exited go. Which kinds are looked at stays.
 *
 * What /proc does not tell is lost: a child whose parent has exited meanwhile is
 * nobody's, and a process that got an exited one's number is taken for it. What does
 * not fit is warned of.
 */
void filter_processes__catch_up(struct filter *filter);

#endif
