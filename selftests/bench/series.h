/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What selftests/progs/bench_series.bpf.c and fill.c both know. */
#ifndef SELFTESTS_BENCH_SERIES_H
#define SELFTESTS_BENCH_SERIES_H

#define SERIES 10000
#define SERIES_ROOM 10240
#define SERIES_NAMES 100 /* system calls; SERIES / SERIES_NAMES shards of each */
#define SERIES_KEY_SIZE 8
#define SERIES_MEASUREMENTS 1000 /* in each histogram on each CPU */

#endif
