/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables that scripts/gen-syscalls makes from the build machine's headers. */
#ifndef OTELBPF_SYSCALL_NAMES_H
#define OTELBPF_SYSCALL_NAMES_H

#define SYSCALL_NAMES_MAX 1024

extern const char *const syscall_names_x86_64[SYSCALL_NAMES_MAX];
extern const char *const syscall_names_i386[SYSCALL_NAMES_MAX];
extern const char *const syscall_names_arm64[SYSCALL_NAMES_MAX];

#endif
