/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a probe on an instruction of user space costs here. */
#ifndef OTELBPF_LOADER_UPROBE_COST_H
#define OTELBPF_LOADER_UPROBE_COST_H

#include <linux/types.h>
#include <stdbool.h>

/**
 * uprobe_cost__measure - the time that a trap takes, in this process, with a program that does
 * nothing
 * @section: that of the program that will be attached, for links of the same kind
 * @stepped: on an instruction that the kernel single-steps, else on one that it emulates
 *
 * Takes some milliseconds, most of them to detach again.
 *
 * Return: nanoseconds; 0 when no probe can be attached here.
 */
__u64 uprobe_cost__measure(const char *section, bool stepped);

#endif
