/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The kernel's functions, its modules' and BPF programs, from /proc/kallsyms. */
#ifndef OTELBPF_SYMBOLS_KERNEL_H
#define OTELBPF_SYMBOLS_KERNEL_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

/** struct kernel - the table. Starts zeroed. */
struct kernel {
	struct kernel_entry {
		__u64 addr;
		__u32 name;
		__u32 module; /* index, 0: the kernel proper */
	} * entries;
	size_t n, room;
	char *names;
	size_t names_len, names_room;
	struct kernel_module {
		char name[64];
		__u64 start, end; /* 0: not in /proc/modules */
	} * modules;
	size_t n_modules;
	__u64 text_start, text_end, modules_hash;
	__s64 read_at; /* s, monotonic; 0: never */
	bool fresh;    /* read or found unchanged in this export */
	bool tried;    /* read again for an unknown address in this export */
	bool said;
};

/**
 * kernel__lookup - the function around an address
 * @files: where kallsyms and modules are: "/proc"
 * @name: @module: set; valid until the next call
 */
bool kernel__lookup(struct kernel *kernel, const char *files, __u64 addr, const char **name,
		    const char **module);
void kernel__next_export(struct kernel *kernel);
size_t kernel__bytes(const struct kernel *kernel);
void kernel__free(struct kernel *kernel);

#endif
