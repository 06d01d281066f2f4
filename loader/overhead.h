/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What probes cost, as the kernel measures it: time and number of each program's runs.
 *
 * It does so only while its statistics are on, which costs two readings of the clock in
 * each run of every BPF program. So they are never left on: a descriptor that goes with
 * this process keeps them on for as long as is measured.
 */
#ifndef OTELBPF_LOADER_OVERHEAD_H
#define OTELBPF_LOADER_OVERHEAD_H

#include <linux/types.h>
#include <stdbool.h>

#define MEASURE_NS 1000000000ULL /* if not told otherwise */

/**
 * struct cost - of one program, over the time measured
 * @id:      of the program
 * @runs:    how often it ran
 * @run_ns:  how long all these runs took, without what called it (interrupt, tracepoint)
 * @wall_ns: between the two readings
 */
struct cost {
	__u32 id;
	__u64 runs, run_ns, wall_ns;
};

/**
 * struct overhead - of all programs of some probes
 * @cost: sorted as found, @n of them
 * @err:  0, or why nothing was measured: -ECANCELED not asked for, -ENOENT nothing is
 *        attached, -EINTR interrupted, -errno of enabling statistics
 * @total: statistics are on without us: the kernel's totals mean something
 */
struct overhead {
	struct cost *cost;
	int n;
	int err;
	bool total;
};

/**
 * overhead__measure - measure for some time
 * @overhead: filled; to be freed with overhead__free()
 * @pin_dir:  where the probes are
 * @names:    which, up to NULL
 * @ns:       how long; 0: only see whether statistics are on
 */
void overhead__measure(struct overhead *overhead, const char *pin_dir, char **names, __u64 ns);
void overhead__free(struct overhead *overhead);

/** overhead__find - a program's, or NULL if it was not measured */
const struct cost *overhead__find(const struct overhead *overhead, __u32 id);

/** cost__percent - of one CPU */
double cost__percent(const struct cost *cost);

/** cost__mean_us - µs a run */
double cost__mean_us(const struct cost *cost);

#endif
