/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* tc programs on interfaces: tcx where the kernel has it (6.6), a clsact filter elsewhere. */
#ifndef OTELBPF_LOADER_TC_H
#define OTELBPF_LOADER_TC_H

#include "netdev.h"

/** tc__has_tcx - whether tc programs have links here */
bool tc__has_tcx(void);

/**
 * tc__attach - attach a program in front of others, so that it sees what these drop
 * @netdev: where; .way is set
 * @egress: what the interface sends, else what it receives
 * @prog:   descriptor
 *
 * Return: a link to be pinned, NETDEV_NO_LINK, or -errno.
 */
int tc__attach(struct netdev *netdev, bool egress, int prog);

/** tc__replace - give the filter of a program another one, in one step; 0 or -errno */
int tc__replace(unsigned int ifindex, bool egress, unsigned int prog_id, int prog);

/**
 * tc__detach - remove the filter of a program, found by the program's id
 *
 * Return: 0 if there is none any more, or -errno.
 */
int tc__detach(unsigned int ifindex, bool egress, unsigned int prog_id);

#endif
