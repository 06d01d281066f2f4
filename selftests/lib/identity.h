/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* For live__run(): as whom, and with which capabilities, a program runs. */
#ifndef SELFTESTS_IDENTITY_H
#define SELFTESTS_IDENTITY_H

#include <linux/types.h>
#include <sys/types.h>

#define NOBODY 65534
#define CAPABILITY(number) (1ULL << (number))

/**
 * struct identity - a user with capabilities, and no way to more
 * @user:  0: stays root
 * @group: the only one
 * @kept:  capabilities
 */
struct identity {
	uid_t user;
	gid_t group;
	__u64 kept;
};

/** identity__take() - @ctx: struct identity */
void identity__take(void *ctx);

/** identity__nobody() - a user without any; @ctx: its gid_t, NULL: a group of its own */
void identity__nobody(void *ctx);

#endif
