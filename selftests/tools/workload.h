/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the workload and the tests that run it both know. */
#ifndef SELFTESTS_WORKLOAD_H
#define SELFTESTS_WORKLOAD_H

/**
 * struct steps - how a test leads a workload, in a file that both have mapped
 * @go:    written by the test: the workload may do so many steps; below 0: end
 * @ready: written by the workload: 1 when it has joined its cgroup
 * @done:  written by the workload: steps done
 */
struct steps {
	int go;
	int ready;
	int done;
};

/* In the order in which "workload spread" makes them, each with a bad descriptor. */
#define WORKLOAD_SPREAD                                                                   \
	{                                                                                 \
		SYS_close, SYS_read, SYS_write, SYS_fstat, SYS_lseek, SYS_dup, SYS_fsync, \
			SYS_fchmod, SYS_fchown, SYS_ftruncate, SYS_fdatasync, SYS_fchdir, \
			SYS_getdents64, SYS_ioctl, SYS_pread64, SYS_pwrite64              \
	}
#define WORKLOAD_SPREAD_NAMES                                                                   \
	{                                                                                       \
		"close", "read", "write", "fstat", "lseek", "dup", "fsync", "fchmod", "fchown", \
			"ftruncate", "fdatasync", "fchdir", "getdents64", "ioctl", "pread64",   \
			"pwrite64"                                                              \
	}

/* Of "crowd", "flood" and "refused". */
#define CROWD_THREADS 8
#define CROWD_CALLS 50000
#define FLOOD_CALLS 3000
#define REFUSED_CALLS 1000

#endif
