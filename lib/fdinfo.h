/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the kernel tells about a descriptor in /proc/self/fdinfo. */
#ifndef OTELBPF_FDINFO_H
#define OTELBPF_FDINFO_H

#include <linux/types.h>

/** fdinfo__memory - bytes the kernel has charged for a BPF map or program, 0 if unknown */
__u64 fdinfo__memory(int fd);

#endif
