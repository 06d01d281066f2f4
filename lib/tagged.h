/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Finding the vocabulary's tags (headers/otelbpf/tags.h) in BTF. */
#ifndef OTELBPF_TAGGED_H
#define OTELBPF_TAGGED_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

struct btf;
struct btf_type;

#define TAG_ARGS_MAX 6

/**
 * struct tag - one tag, taken apart
 * @word: what follows "otel:"
 * @arg:  its arguments
 * @args: how many
 * @text: the whole string as it stands in BTF, for messages
 */
struct tag {
	const char *word;
	const char *arg[TAG_ARGS_MAX];
	int args;
	const char *text;
};

/** struct tagged - an index of every otel: tag of one BTF object. Opaque. */
struct tagged;

/**
 * tagged__new - index the tags of a BTF object
 * @btf: kept, not owned; must outlive the index
 *
 * Return: the index, empty if there are no tags; NULL with errno = ENOMEM.
 */
struct tagged *tagged__new(const struct btf *btf);
void tagged__free(struct tagged *tagged);

/**
 * tagged__next - walk the tags of one type, variable or member
 * @tagged: index
 * @type:   BTF id of the variable (BTF_KIND_VAR) or struct
 * @member: member's index, or -1 for the variable or struct itself
 * @prev:   NULL for the first, then the last answer
 *
 * Return: the next tag or NULL. An argument list longer than TAG_ARGS_MAX keeps
 * the rest of the text in the last argument.
 */
const struct tag *tagged__next(const struct tagged *tagged, __u32 type, int member,
			       const struct tag *prev);

/** tagged__find - the first tag with this word, or NULL. See tagged__next(). */
const struct tag *tagged__find(const struct tagged *tagged, __u32 type, int member,
			       const char *word);

/**
 * tagged__variable - find a variable by name
 * @btf:  BTF object
 * @name: its name; a name of BPF_OBJ_NAME_LEN - 1 characters, as the kernel gives
 *        it for a map, also matches as the beginning of one
 *
 * Return: BTF id of the BTF_KIND_VAR, 0 if there is none.
 */
__u32 tagged__variable(const struct btf *btf, const char *name);

/**
 * tagged__struct - the struct that a type is, behind its typedefs and qualifiers
 * @btf: BTF object
 * @id:  the type
 * @of:  set to the struct's id, which its members' tags are found by
 *
 * Return: the struct; NULL if it is none.
 */
const struct btf_type *tagged__struct(const struct btf *btf, __u32 id, int *of);

#endif
