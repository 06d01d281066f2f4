/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Waiting for BPF programs that are under way. */
#ifndef OTELBPF_GRACE_H
#define OTELBPF_GRACE_H

/**
 * grace__period - wait until every program that runs now has ended
 *
 * An RCU grace period: programs at tracepoints, kprobes and perf events run inside a
 * read-side critical section. Sleepable programs are not waited for.
 *
 * Return: 0; or -errno when the kernel lets us wait in no way. Then that has been said,
 * once, and a time has passed in which programs end unless their CPU was taken from them.
 */
int grace__period(void);

#endif
