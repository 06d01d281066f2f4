/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What a service manager wants to know, by the protocol of sd_notify(3): a datagram of
 * VARIABLE=VALUE lines to the socket named in NOTIFY_SOCKET. That manual page declares the
 * protocol stable and invites implementations of one's own; this one is shorter than what
 * linking libsystemd, with its compression libraries, would bring into a process with
 * capabilities, and works under any manager that speaks it.
 */
#ifndef OTELBPF_NOTIFY_H
#define OTELBPF_NOTIFY_H

#include <linux/types.h>

/**
 * notify__send() - tell the service manager
 * @state: lines such as "READY=1\nSTATUS=text"
 *
 * Return: 1 when it was sent, 0 without a manager, -errno. A manager that does not listen
 * is no reason to stop, so callers may ignore it.
 */
int notify__send(const char *state);

/**
 * notify__watchdog_ns() - the longest time between two WATCHDOG=1
 *
 * Return: half of what WATCHDOG_USEC allows, in ns; 0 without a watchdog, or when it is
 * another process's by WATCHDOG_PID.
 */
__u64 notify__watchdog_ns(void);

#endif
