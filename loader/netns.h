/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Network namespaces, named by the inode of /proc/PID/ns/net. */
#ifndef OTELBPF_LOADER_NETNS_H
#define OTELBPF_LOADER_NETNS_H

/** netns__inode - of the namespace that we are in; 0 if that cannot be seen */
unsigned long netns__inode(void);

/**
 * netns__enter - go into a namespace that some process or a mount in /run/netns keeps
 * @inode: which
 *
 * Return: for netns__leave(); -errno: -ENOENT if nobody is in it, otherwise it may be there.
 */
int netns__enter(unsigned long inode);

/** netns__leave - go back */
void netns__leave(int home);

#endif
