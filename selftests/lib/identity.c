// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "identity.h"

#include <grp.h>
#include <linux/capability.h>
#include <stdbool.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define FAILED 99

static bool drop_others(__u64 kept)
{
	for (int i = 0; prctl(PR_CAPBSET_READ, i) >= 0; i++)
		if (!(kept & CAPABILITY(i)) && prctl(PR_CAPBSET_DROP, i))
			return false;
	return true;
}

static bool set_own(__u64 kept, bool inherited)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted = data[i].effective = kept >> 32 * i;
		data[i].inheritable = inherited ? data[i].permitted : 0;
	}
	return !syscall(SYS_capset, &header, data);
}

static bool raise_ambient(__u64 kept)
{
	for (int i = 0; i < 64; i++)
		if (kept & CAPABILITY(i) && prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, i, 0, 0))
			return false;
	return true;
}

void identity__take(void *ctx)
{
	const struct identity *identity = ctx;
	bool done = drop_others(identity->kept);

	if (done && identity->user)
		done = !setgroups(0, NULL) && !setgid(identity->group) &&
		       !prctl(PR_SET_KEEPCAPS, 1) && !setuid(identity->user);
	done = done && set_own(identity->kept, identity->user);
	/* What root executes has all that is left. */
	if (done && identity->user)
		done = raise_ambient(identity->kept);
	if (!done || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		_exit(FAILED);
}

void identity__nobody(void *ctx)
{
	gid_t group = ctx ? *(gid_t *)ctx : NOBODY;

	if (setgroups(0, NULL) || setgid(group) || setuid(NOBODY))
		_exit(FAILED);
}
