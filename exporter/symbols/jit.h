/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Code made at run time: /tmp/perf-PID.map, which the process itself writes. */
#ifndef OTELBPF_SYMBOLS_JIT_H
#define OTELBPF_SYMBOLS_JIT_H

#include "symbols/image.h"

/**
 * struct jit - one process's map
 * @id:     changes when a name given before may not hold any more
 * @parsed: bytes of the file that are in @entries
 * @checked: looked at in this export
 */
struct jit {
	__u32 pid;
	__u32 id;
	struct jit_entry {
		__u64 start;
		__u32 size;
		__u32 name; /* where in the file */
	} * entries;
	size_t n, room;
	struct image image;
	__u64 parsed;
	bool checked;
	__u64 used;
	struct jit *next;
};

/**
 * jit__refresh - find the file, read what is new in it
 * @id: given to @jit when it changed
 */
void jit__refresh(struct jit *jit, __u32 id);

/** jit__lookup - the name around an address. Return: its length, 0: not known. */
size_t jit__lookup(struct jit *jit, __u64 addr, char out[IMAGE_NAME_MAX]);
size_t jit__bytes(const struct jit *jit);
void jit__clear(struct jit *jit);

#endif
