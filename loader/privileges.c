// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "privileges.h"

#include <linux/capability.h>
#include <linux/types.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "fail.h"

#define BIT(capability) (1ULL << (capability))

/*
 * SYS_ADMIN: maps, programs, links and types by their id, and another network namespace.
 * DAC_OVERRIDE: bpffs and what is in it is the owner's. SYS_PTRACE: whose processes and files are
 * meant. These are needed to know what is there.
 */
#define LOOK (BIT(CAP_BPF) | BIT(CAP_SYS_ADMIN) | BIT(CAP_DAC_OVERRIDE) | BIT(CAP_SYS_PTRACE))
/* Tracing hooks; network hooks; pins are handed to the group. */
#define ATTACH (LOOK | BIT(CAP_PERFMON) | BIT(CAP_NET_ADMIN) | BIT(CAP_CHOWN) | BIT(CAP_FOWNER))
/* The kernel's addresses, for what is relocated against its symbols. */
#define LOAD (ATTACH | BIT(CAP_SYSLOG))

static const __u64 kept[] = {
	[PRIVILEGES_LOAD] = LOAD,
	[PRIVILEGES_ATTACH] = ATTACH,
	[PRIVILEGES_LOOK] = LOOK,
};

int privileges__check_caller(void)
{
	if (!getauxval(AT_SECURE))
		return 0;
	return fail(EXIT_PERMISSION, "it runs with more rights than its caller has (set-user-id, "
				     "or capabilities of the file): take them away, and run it "
				     "as root");
}

void privileges__keep(enum privileges stage)
{
	struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
	struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3] = {};

	prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
	prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0);
	/* Needs CAP_SETPCAP, which root has at the first stage. The last capability ends it. */
	for (int i = 0; prctl(PR_CAPBSET_READ, i, 0, 0, 0) >= 0; i++)
		if (!(kept[stage] & BIT(i)) && prctl(PR_CAPBSET_DROP, i, 0, 0, 0))
			break;
	if (syscall(SYS_capget, &header, data))
		return;
	for (int i = 0; i < _LINUX_CAPABILITY_U32S_3; i++) {
		data[i].permitted &= kept[stage] >> 32 * i;
		data[i].effective = data[i].permitted;
		data[i].inheritable = 0;
	}
	syscall(SYS_capset, &header, data);
}
