/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What programs on USDT probes are told in their maps: see usdt.bpf.h. */
#ifndef OTELBPF_LOADER_UPROBE_TOLD_H
#define OTELBPF_LOADER_UPROBE_TOLD_H

#include <otelbpf/uprobe.h>
#include <sys/stat.h>

/**
 * uprobe_told__site - where the arguments of a place are
 * @dir:    the probe's directory
 * @site:   the place's; zero where nothing is
 * @cookie: set to what the place's link has to tell the program
 *
 * Return: 0 or -errno.
 */
int uprobe_told__site(const char *dir, const struct otel_usdt_site *site, __u64 *cookie);

/** uprobe_told__carrier - a program that has USDT probes: 0 or -errno */
int uprobe_told__carrier(const char *dir, const struct stat *program);

#endif
