// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "grace.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/membarrier.h>
#include <stdbool.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"

#define LONG_ENOUGH_US 100000

/*
 * Changing a map of maps ends with synchronize_rcu(), so that no program has the old inner
 * map any more (kernel/bpf/syscall.c, maybe_wait_bpf_programs(), since 4.16).
 */
static int change_map_of_maps(void)
{
	LIBBPF_OPTS(bpf_map_create_opts, opts);
	int inner, outer = -1, err = 0;
	__u32 zero = 0;

	inner = bpf_map_create(BPF_MAP_TYPE_ARRAY, "grace_inner", 4, 4, 1, NULL);
	if (inner < 0)
		return -errno;
	opts.inner_map_fd = inner;
	outer = bpf_map_create(BPF_MAP_TYPE_ARRAY_OF_MAPS, "grace_outer", 4, 4, 1, &opts);
	if (outer < 0 || bpf_map_update_elem(outer, &zero, &inner, BPF_ANY))
		err = -errno;
	if (outer >= 0)
		close(outer);
	close(inner);
	return err;
}

int grace__period(void)
{
	static bool said;
	int err;

	/* membarrier(2): a grace period for everyone. Not with nohz_full, or as seccomp has it. */
	if (!syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		return 0;
	err = change_map_of_maps();
	if (!err)
		return 0;
	if (!said)
		warn("the kernel does not let us wait for programs that are running (%s): waiting "
		     "%d ms each time instead",
		     strerror(-err), LONG_ENOUGH_US / 1000);
	said = true;
	usleep(LONG_ENOUGH_US);
	return err;
}
