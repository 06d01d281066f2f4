/* SPDX-License-Identifier: GPL-2.0-only */
/* System calls whose purpose is to wait: that they take long says nothing. */
#ifndef OTELBPF_SYSCALL_WAITS_H
#define OTELBPF_SYSCALL_WAITS_H

#include "syscall_abi.h"

/* Results above this may be addresses. */
#define SYSCALL_RESULT_MAX 0x7fffffff

/* What both ABIs of x86 and arm64 have: waiting for time, others, events and requests. */
#define SYSCALL_WAITS(call)                                                                    \
	call(accept4) call(clock_nanosleep) call(epoll_pwait) call(epoll_pwait2) call(futex)   \
		call(io_getevents) call(io_uring_enter) call(mq_timedreceive) call(nanosleep)  \
			call(ppoll) call(pselect6) call(recvfrom) call(recvmmsg) call(recvmsg) \
				call(rt_sigsuspend) call(rt_sigtimedwait) call(wait4) call(waitid)

/* Native calls that i386 makes by socketcall(2) and ipc(2), if at all. */
#define SYSCALL_WAITS_NATIVE(call) call(accept) call(msgrcv) call(semop) call(semtimedop)

/* Older calls that arm64 has not. */
#define SYSCALL_WAITS_OLD(call) call(epoll_wait) call(pause) call(poll) call(select)

#define SYSCALL_IS_NATIVE(call) || nr == NATIVE(call)
#define SYSCALL_IS_COMPAT(call) || nr == COMPAT(call)

static __always_inline _Bool syscall__waits(__u32 nr)
{
	return 0 SYSCALL_WAITS(SYSCALL_IS_NATIVE) SYSCALL_WAITS_NATIVE(SYSCALL_IS_NATIVE)
#if defined(__TARGET_ARCH_x86)
		SYSCALL_WAITS_OLD(SYSCALL_IS_NATIVE) SYSCALL_WAITS(SYSCALL_IS_COMPAT)
			SYSCALL_WAITS_OLD(SYSCALL_IS_COMPAT) SYSCALL_IS_COMPAT(_newselect)
				SYSCALL_IS_COMPAT(waitpid)
#endif
					;
}

#endif
