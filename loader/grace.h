/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Waiting for BPF programs that are under way. */
#ifndef OTELBPF_LOADER_GRACE_H
#define OTELBPF_LOADER_GRACE_H

/**
 * grace__period - wait until every program that runs now has ended
 *
 * An RCU grace period: programs at tracepoints and kprobes run inside a read-side
 * critical section. Sleepable programs are not waited for.
 */
void grace__period(void);

#endif
