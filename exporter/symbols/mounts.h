/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which mounts answer whatever happens: found out without asking any of them. */
#ifndef OTELBPF_SYMBOLS_MOUNTS_H
#define OTELBPF_SYMBOLS_MOUNTS_H

#include <linux/types.h>
#include <stdbool.h>

/**
 * mounts__is_local - whether reading from where a file is cannot wait for ever
 * @pid: a process that sees the mount, 0: we do
 * @fd:  the file, opened with O_PATH
 *
 * File systems that a server or a process answers for are not local, nor is an overlay that
 * was mounted in a user namespace (anybody may, above FUSE), nor a mount that neither we
 * nor @pid see. An overlay that the administrator mounted is trusted.
 */
bool mounts__is_local(__u32 pid, int fd);

/** mounts__forget - the end of an export: what was found out holds no mount any longer */
void mounts__forget(void);

#endif
