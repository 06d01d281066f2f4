// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "confine.h"

#include <errno.h>
#include <linux/audit.h>
#include <linux/bpf.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "fail.h"

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#define OTHER_ABI 0x40000000 /* x32's numbers begin there */
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#define OTHER_ABI 0x7fffffff
#endif

#define COMMAND(command) (1U << (command))

/*
 * Reading what is pinned, taking entries out. Creating a map is how a grace period is had; types by
 * their id are of maps that others have pinned.
 */
#define COMMANDS                                                                                 \
	(COMMAND(BPF_MAP_CREATE) | COMMAND(BPF_MAP_LOOKUP_ELEM) | COMMAND(BPF_MAP_UPDATE_ELEM) | \
	 COMMAND(BPF_MAP_DELETE_ELEM) | COMMAND(BPF_MAP_GET_NEXT_KEY) | COMMAND(BPF_OBJ_GET) |   \
	 COMMAND(BPF_OBJ_GET_INFO_BY_FD) | COMMAND(BPF_BTF_GET_FD_BY_ID) |                       \
	 COMMAND(BPF_MAP_LOOKUP_AND_DELETE_ELEM) | COMMAND(BPF_MAP_LOOKUP_BATCH) |               \
	 COMMAND(BPF_MAP_LOOKUP_AND_DELETE_BATCH) | COMMAND(BPF_MAP_UPDATE_BATCH) |              \
	 COMMAND(BPF_MAP_DELETE_BATCH))
_Static_assert(BPF_MAP_DELETE_BATCH < 32 && BPF_ENABLE_STATS == 32, "the mask has 32 bits");

#define LOAD_FIELD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
#define GO_IF(number, steps) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, number, steps, 0)
#define ALLOW BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
#define REFUSE BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM)

static void install(void)
{
#ifdef ARCH
	struct sock_filter filter[] = {
		LOAD_FIELD(arch),
		GO_IF(ARCH, 1),
		REFUSE,
		LOAD_FIELD(nr),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, OTHER_ABI, 7, 0),
		GO_IF(SYS_bpf, 7),
		GO_IF(SYS_perf_event_open, 5),
		GO_IF(SYS_execve, 4),
		GO_IF(SYS_execveat, 3),
		GO_IF(SYS_init_module, 2),
		GO_IF(SYS_finit_module, 1),
		ALLOW,
		REFUSE,
		/* bpf(2): its command is the lower half of the first argument, which is an int. */
		LOAD_FIELD(args[0]),
		GO_IF(BPF_ENABLE_STATS, 5),
		BPF_JUMP(BPF_JMP | BPF_JGE | BPF_K, 32, 5, 0),
		BPF_STMT(BPF_MISC | BPF_TAX, 0),
		BPF_STMT(BPF_LD | BPF_IMM, 1),
		BPF_STMT(BPF_ALU | BPF_LSH | BPF_X, 0),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, COMMANDS, 0, 1),
		ALLOW,
		REFUSE,
	};
	const struct sock_fprog program = {sizeof(filter) / sizeof(filter[0]), filter};

	_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "args[0]'s lower half is first");
	if (!prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program, 0, 0);
#endif
}

int confine__self(void)
{
	if (getauxval(AT_SECURE))
		return fail(EXIT_PERMISSION,
			    "it runs with more rights than its caller has (set-user-id, or "
			    "capabilities of the file): take them away, and use the unit");
	install();
	return 0;
}
