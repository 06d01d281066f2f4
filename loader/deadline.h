/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A load that ends by itself: load --duration. Nobody stays to end it; the programs
 * look at the clock. What is stopped stays loaded, with all that it has counted.
 */
#ifndef OTELBPF_LOADER_DEADLINE_H
#define OTELBPF_LOADER_DEADLINE_H

#include "failure.h"
#include "filter.h"

/**
 * struct deadline - as it stands, for a person or for putting it back
 * @flag:        whether there is one
 * @at_ns:       on CLOCK_BOOTTIME
 * @duration_ns: from the load or resume on
 */
struct deadline {
	bool flag;
	__u64 at_ns, duration_ns;
};

/**
 * deadline__check - whether a probe can end by itself
 * @filter:  its filter, open or not
 * @probe:   its name
 * @failure: filled if not
 *
 * Return: 0 or an exit code.
 */
int deadline__check(const struct filter *filter, const char *probe, struct failure *failure);

/**
 * deadline__start - from now on measure for this long
 * @filter:      open; does nothing for a probe that cannot end by itself
 * @duration_ns: 0: without an end
 */
void deadline__start(struct filter *filter, __u64 duration_ns);

/** deadline__get - how it stands; deadline__put - put it back */
struct deadline deadline__get(const struct filter *filter);
void deadline__put(struct filter *filter, const struct deadline *deadline);

/** deadline__read - deadline__get() of a loaded probe. Returns 0 or -errno of filter__open(). */
int deadline__read(const char *dir, struct deadline *deadline);

/** deadline__left - ns until then; 0 if it has passed */
__u64 deadline__left(const struct deadline *deadline);

/**
 * deadline__renew - start a loaded probe's duration anew, if it has one
 * @dir: the probe's directory
 *
 * Return: 0 or -errno of filter__open(); no filter is no error.
 */
int deadline__renew(const char *dir);

#endif
