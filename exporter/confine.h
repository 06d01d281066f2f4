/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the exporter cannot do any more, whatever becomes of it. */
#ifndef OTELBPF_EXPORTER_CONFINE_H
#define OTELBPF_EXPORTER_CONFINE_H

/**
 * confine__self - give up what the exporter never does
 *
 * From here on this process and its children load, attach, detach and pin no BPF program,
 * open no perf event, load no kernel module and execute nothing: EPERM. CAP_SYS_ADMIN, which
 * reading the types of maps takes, permits all that, and systemd's filters cannot tell one
 * bpf(2) from another.
 *
 * Return: 0, also where the kernel has no seccomp; EXIT_PERMISSION, once that has been said, if
 * it has more rights than its caller (set-user-id).
 */
int confine__self(void);

#endif
