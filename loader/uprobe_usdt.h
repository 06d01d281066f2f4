/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* USDT probes in an ELF file: where they are, and where their arguments are there. */
#ifndef OTELBPF_LOADER_UPROBE_USDT_H
#define OTELBPF_LOADER_UPROBE_USDT_H

#include <otelbpf/uprobe.h>
#include <stdbool.h>

struct uprobe_file;

/**
 * struct uprobe_sites - the places of a probe, in the order of the file's notes
 * @n:       how many
 * @offset:  in the file, of the instruction
 * @counter: in the file, of the counter that says whether somebody traces it ("semaphore");
 *           0: it has none
 * @site:    what its arguments are
 *
 * A probe in a function that is inlined has many. Zeroed, then uprobe_usdt__free().
 */
struct uprobe_sites {
	int n, room;
	__u64 *offset, *counter;
	struct otel_usdt_site *site;
};
#define UPROBE_SITES_MAX 1024

/**
 * uprobe_usdt__find - the places of a probe
 * @file:  the file, of x86-64
 * @name:  "PROVIDER:PROBE"
 * @found: filled
 *
 * Return: 0; -EBADMSG: a note is corrupt; -EOPNOTSUPP: an argument is where no program of ours can
 * read it; -E2BIG: more than UPROBE_SITES_MAX; -ENOMEM.
 */
int uprobe_usdt__find(struct uprobe_file *file, const char *name, struct uprobe_sites *found);
void uprobe_usdt__free(struct uprobe_sites *sites);

/**
 * uprobe_usdt__has_all - whether a file has probes, all of those in a list, and all usable
 * @file: the file
 * @list: comma separated; names without ':' are not of probes and do not matter
 */
bool uprobe_usdt__has_all(struct uprobe_file *file, const char *list);

/**
 * uprobe_usdt__parse - "8@%rdi -4@$1 8@-16(%rbp)", what a note says of a probe's arguments
 * @text: as an assembler for x86-64 writes operands
 * @site: filled
 *
 * Return: 0 or -EOPNOTSUPP.
 */
int uprobe_usdt__parse(const char *text, struct otel_usdt_site *site);

#endif
