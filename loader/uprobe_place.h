/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Where in a function a probe costs least. */
#ifndef OTELBPF_LOADER_UPROBE_PLACE_H
#define OTELBPF_LOADER_UPROBE_PLACE_H

#include <stdbool.h>
#include <stddef.h>

/**
 * uprobe_place__find - an instruction near a function's entry that the kernel emulates
 * @code:  the file's executable segment, x86-64
 * @size:  of it
 * @entry: offset of the function in it
 * @len:   of the function, as its symbol says; 0 if that is not known
 *
 * A uprobe traps, and then the kernel has to do what the instruction under it does. A few kinds
 * it emulates; others it copies aside and single-steps, which is a second trap and much more
 * than the first.
 *
 * An instruction behind the entry will do if it is executed exactly as often as the function is
 * called, with arguments and stack pointer as they were: what is before it falls through, writes
 * none of these registers, and no direct jump or call of the whole segment goes to it or in
 * between. (Indirect ones into a function's first instructions are made by no compiler.)
 *
 * Return: its distance from the entry; 0 when the entry is as good or nothing else is proved.
 */
size_t uprobe_place__find(const unsigned char *code, size_t size, size_t entry, size_t len);

/** uprobe_place__is_emulated - whether the kernel emulates this instruction */
bool uprobe_place__is_emulated(const unsigned char *insn, size_t len);

/** uprobe_place__is_stepped - whether it single-steps what stands at the beginning of @code */
bool uprobe_place__is_stepped(const unsigned char *code, size_t size);

#endif
