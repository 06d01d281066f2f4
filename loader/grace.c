// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "grace.h"

#include <linux/membarrier.h>
#include <sys/syscall.h>
#include <unistd.h>

#define LONG_ENOUGH_US 100000

void grace__period(void)
{
	/* membarrier(2): MEMBARRIER_CMD_GLOBAL is synchronize_rcu(), but not with nohz_full. */
	if (syscall(__NR_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0))
		usleep(LONG_ENOUGH_US);
}
