/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs on network interfaces: which interfaces, and what is remembered about them.
 *
 * A section names its interfaces behind the last '/': "xdp/auto/eth*,!eth9",
 * "tc/egress/!lo". They are looked up whenever programs are attached, by load and resume,
 * in the network namespace that the loader is in.
 *
 * Each attachment is a pin PROBE/link/PROGRAM_ifINDEX_WAY. Where the kernel has links that
 * is the link itself. A clsact filter and a place in libxdp's dispatcher have none: there it
 * is the program that is pinned, under a name that also says _nsINODE, before it is
 * attached. So what has to be undone can be found whatever ends the loader.
 */
#ifndef OTELBPF_LOADER_NETDEV_H
#define OTELBPF_LOADER_NETDEV_H

#include <limits.h>
#include <stdbool.h>
#include <stddef.h>

#include "failure.h"
#include "links.h"

/** enum netdev_way - how a program is attached to an interface */
enum netdev_way {
	NETDEV_NATIVE,	/* XDP link, in the driver */
	NETDEV_GENERIC, /* XDP link, in the stack */
	NETDEV_DISPATCHER_NATIVE,
	NETDEV_DISPATCHER_GENERIC,
	NETDEV_TCX,
	NETDEV_CLSACT_INGRESS,
	NETDEV_CLSACT_EGRESS,
	NETDEV_WAYS
};

/**
 * struct netdev - where to attach, while attaching
 * @index: of the interface
 * @name:  its name, for messages
 * @dir:   of the probe
 * @prog:  the program's name
 * @netns: inode of the network namespace; 0 if it cannot be seen
 * @way:   set on success
 */
struct netdev {
	unsigned int index;
	char name[16];
	const char *dir;
	const char *prog;
	unsigned long netns;
	enum netdev_way way;
};

/* Attached without a link, and remembered already. Not -1: that is -EPERM. */
#define NETDEV_NO_LINK INT_MIN

/** netdev__matches - whether an interface's name is among those of a list of patterns */
bool netdev__matches(const char *patterns, const char *name);

/** netdev__check_patterns - 0, or -EINVAL for what cannot be part of a section */
int netdev__check_patterns(const char *patterns);

/**
 * netdev__attach - attach those programs whose sections are for interfaces
 * @dir:     the probe's directory
 * @list:    programs, also others
 * @n:       how many
 * @failure: filled on failure: not one of the interfaces that match could be attached to
 *
 * An interface that refuses a program is told and left out; what is attached when it
 * fails is found by links__release().
 *
 * Return: 0 or an exit code.
 */
int netdev__attach(const char *dir, const struct attachable *list, int n, struct failure *failure);

/**
 * netdev__take_over - give links and filters of a probe's other version new programs
 * @from: the directory that has them
 * @to:   the one whose they are then
 * @list: programs
 * @n:    how many
 *
 * Each in one step, so that no packet is missed or counted twice. Places in libxdp's dispatcher
 * stay where they are: there both versions may be, and take turns.
 *
 * Return: 0 or -errno; what has been taken over then is so.
 */
int netdev__take_over(const char *from, const char *to, const struct attachable *list, int n);

/**
 * netdev__follow - attach to interfaces that have come, let go of those that have gone
 * @probe: its name, for what is said of each change
 * @dir:   the probe's directory
 * @list:  its programs
 * @n:     how many
 *
 * In the network namespace in which they were attached.
 */
void netdev__follow(const char *probe, const char *dir, const struct attachable *list, int n);

/**
 * netdev__remember - pin a program before it is attached in a way that has no link
 *
 * Return: 0 or -errno.
 */
int netdev__remember(const struct netdev *netdev, enum netdev_way way, int prog);

/**
 * netdev__take_back - of what is remembered, after attaching has failed
 *
 * It may have failed behind the kernel's back: what is attached is detached. If that fails as well
 * it remains remembered.
 */
void netdev__take_back(const struct netdev *netdev, enum netdev_way way, int prog);

/**
 * netdev__undo - detach what a pin below link/ stands for, if that is no link
 * @fd:  of what is pinned, or -errno of opening it
 * @pin: its file's name
 *
 * Return: 1 if nothing is attached any more, 0 for a link, which is left to the caller; -errno
 * if the pin has to stay, so that another command finds it.
 */
int netdev__undo(int fd, const char *pin);

/**
 * netdev__undo_all - the same for every pin in @dir/link
 *
 * Return: 0, or -errno of one that has to stay.
 */
int netdev__undo_all(const char *dir);

/**
 * netdev__describe - "2 of 3 interfaces: eth0 native, eth1 tcx" of a program's pins
 * @dir:     the probe's directory
 * @prog:    the program
 * @section: its section
 * @text:    filled
 * @size:    of @text
 *
 * Return: how many pins there are.
 */
int netdev__describe(const char *dir, const char *prog, const char *section, char *text,
		     size_t size);

#endif
