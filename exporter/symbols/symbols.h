/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Names for addresses: kernel, ELF files, code made at run time. */
#ifndef OTELBPF_SYMBOLS_H
#define OTELBPF_SYMBOLS_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#define BUILD_ID_SIZE 20
#define GO_BUILD_ID_SIZE 128 /* with the terminating zero */
#define HTLHASH_SIZE 16

/**
 * struct symbol - one function that an address is in
 * @name:        as a person writes it: demangled
 * @system_name: as the linker knows it, NULL when the same as @name
 * @module:      kernel module, or "bpf" for a BPF program; NULL in the kernel proper and in user
 * space
 * @file:        source file, NULL when not known
 * @line:        1-based, 0: not known
 * @start_line:  of the function, 0: not known
 *
 * Strings belong to struct symbols, and live until symbols__trim().
 */
struct symbol {
	const char *name;
	const char *system_name;
	const char *module;
	const char *file;
	__u32 line;
	__u32 start_line;
};

/**
 * struct symbols_file - a file that code was mapped from
 * @build_id:     GNU build id, zero padded
 * @build_id_len: its length in bytes, 0: none
 * @path:         where the file was, in the process's mount namespace; NULL: not known
 * @pid:          a process that maps it, 0: none known. It may be gone, or its number
 *                be another's by now: a file counts only if its build id is the same.
 *
 * A file without a build id can be recognized only while a living process maps it: @pid
 * and @path are needed then, and what is learnt is forgotten at the end of the export.
 */
struct symbols_file {
	__u8 build_id[BUILD_ID_SIZE];
	__u8 build_id_len;
	const char *path;
	__u32 pid;
};

/**
 * struct symbols_options - what symbols__new() is to do
 * @want_lines:  read DWARF: source lines, and functions that were inlined
 * @cache_bytes: bound of what is kept from one export to the next, 0: 8 MiB. The kernel's
 *               own table (about 3 MB) comes on top once symbols__kernel() was asked.
 * @debug_dirs:  NULL-terminated list of directories of debug files; NULL: /usr/lib/debug
 *
 * debuginfod servers are asked if DEBUGINFOD_URLS is set in the environment, else nothing
 * here ever uses the network.
 */
struct symbols_options {
	bool want_lines;
	size_t cache_bytes;
	const char *const *debug_dirs;
};

/**
 * struct symbols_stats - what the library did since it was made
 * @bytes:    held now, without the kernel's table
 * @kernel_bytes: the kernel's table
 * @files:    files held now, with their functions
 * @opened:   files whose functions were read, in all
 * @missing:  files known not to be found
 * @answers:  lookups remembered now
 * @readers_failed: DWARF readers that crashed, hung or were refused memory
 */
struct symbols_stats {
	size_t bytes, kernel_bytes;
	unsigned int files, missing, answers;
	unsigned long opened, readers_failed;
};

/** struct symbols - what is known so far. Opaque; for one thread at a time. */
struct symbols;

/**
 * symbols__new - start with nothing known
 * @options: NULL for the defaults
 *
 * Return: NULL when there is no memory.
 */
struct symbols *symbols__new(const struct symbols_options *options);
void symbols__free(struct symbols *symbols);

/**
 * symbols__trim - the end of an export
 *
 * Closes every file, ends the DWARF readers, and brings the memory back within the
 * bound. Strings given out before are invalid after.
 */
void symbols__trim(struct symbols *symbols);

/**
 * symbols__kernel - name an address in the kernel
 * @addr: instruction pointer
 *
 * Return: 1, or 0 when not known; that /proc/kallsyms hides the addresses is said once.
 */
int symbols__kernel(struct symbols *symbols, __u64 addr, struct symbol *out);

/**
 * symbols__file - name a place in a file
 * @file:   which file; looked for in many places, see README.md
 * @offset: in the file, as bpf_get_stack() with BPF_F_USER_BUILD_ID has it. For all but a
 *          stack's leaf the caller subtracts 1, to be inside the call.
 * @out:    innermost function first: more than one only with want_lines, for inlined ones
 * @max:    room in @out
 *
 * Lookups are best grouped by file when there are more files than the cache can hold.
 *
 * Return: how many, 0 when not known.
 */
int symbols__file(struct symbols *symbols, const struct symbols_file *file, __u64 offset,
		  struct symbol *out, int max);

/**
 * struct symbols_ids - what else identifies a file
 * @has_htlhash: whether the file could be read
 * @htlhash:     process.executable.build_id.htlhash
 * @go:          process.executable.build_id.go, "" when it has none
 * @path:        where it was found, in a process's mount namespace or ours; NULL: elsewhere
 *               than where it is run from
 */
struct symbols_ids {
	bool has_htlhash;
	__u8 htlhash[HTLHASH_SIZE];
	char go[GO_BUILD_ID_SIZE];
	const char *path;
};

/**
 * symbols__ids - identify a file for a receiver that does not know its GNU build id
 * @file: as for symbols__file(), which is best asked first: it opens the file anyway
 *
 * Return: lives until symbols__trim(); NULL when the file was never found.
 */
const struct symbols_ids *symbols__ids(struct symbols *symbols, const struct symbols_file *file);

/**
 * symbols__jit - name an address in code made at run time, from /tmp/perf-PID.map
 * @pid:  the process, in our PID namespace
 * @addr: address in it
 *
 * Return: 1, or 0 when not known.
 */
int symbols__jit(struct symbols *symbols, __u32 pid, __u64 addr, struct symbol *out);

/**
 * symbols__mapping - where an address of a living process comes from
 * @pid:    the process
 * @addr:   address in it
 * @file:   set, ready for symbols__file(); its path lives until symbols__trim()
 * @offset: set to the offset in the file
 *
 * For frames that were recorded as bare addresses.
 *
 * Return: 1; 0 when the process is gone or nothing with a file is mapped there (try
 * symbols__jit() then).
 */
int symbols__mapping(struct symbols *symbols, __u32 pid, __u64 addr, struct symbols_file *file,
		     __u64 *offset);

void symbols__stats(const struct symbols *symbols, struct symbols_stats *stats);

#endif
