/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * XDP programs on interfaces.
 *
 * First choice is libxdp's dispatcher, under which several programs share an interface. It
 * takes programs of the type EXT (freplace), so each XDP program is loaded a second time as
 * that, with the same maps, and pinned as prog/NAME_ext. A kernel that refuses freplace, under
 * lockdown for instance, has the program on an interface alone, by a BPF link.
 */
#ifndef OTELBPF_LOADER_XDP_H
#define OTELBPF_LOADER_XDP_H

#include "netdev.h"
#include "object.h"

#define XDP_MODES "auto, native, generic or none"

/** xdp__is_mode - whether that is one of XDP_MODES */
bool xdp__is_mode(const char *mode);

/**
 * xdp__load_extensions - load the XDP programs of a loaded object once more, for the dispatcher
 * @object: loaded
 * @dir:    where to pin them, or NULL to only try
 *
 * Return: how many, 0 if there is no XDP program; -errno if this kernel or machine cannot,
 * which is no failure: the programs go without the dispatcher.
 */
int xdp__load_extensions(const struct object *object, const char *dir);

/**
 * xdp__attach - attach a program to one interface
 * @netdev: where; .way is set
 * @mode:   of XDP_MODES, but not "none"
 * @prog:   descriptor of the XDP program
 *
 * Return: a link to be pinned, NETDEV_NO_LINK, or -errno.
 */
int xdp__attach(struct netdev *netdev, const char *mode, int prog);

/**
 * xdp__leave - take a program out of an interface's dispatcher
 *
 * Return: 0 if it is in none any more, or -errno.
 */
int xdp__leave(unsigned int ifindex, bool generic, int prog);

/**
 * xdp__clean_after - remove what libxdp pinned for a dispatcher that went with its interface
 * @ifindex: that it was on
 * @prog:    that was in it
 *
 * libxdp looks at pins only when it changes a dispatcher, so these would stay, and hold every
 * program that was in it. (Its own libxdp_clean_references() takes no notice of network
 * namespaces, and would remove what is in use in another one.)
 */
void xdp__clean_after(unsigned int ifindex, int prog);

#endif
