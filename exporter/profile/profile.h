/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Profiles on their way out: filled by a reader, then encoded as OTLP, pprof, folded
 * stacks or a page. The model is OTLP's (profiles.proto v1.10): several profiles over
 * one dictionary, each of whose values is there once, entry 0 of each table being the
 * zero value: "not set".
 *
 * Whatever the reader names (functions, files, commands) may come from a hostile process:
 * bytes that are no UTF-8 become '?', and a text is cut at PROFILE_TEXT_MAX.
 */
#ifndef OTELBPF_PROFILE_H
#define OTELBPF_PROFILE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "otlp/pb.h"

/* Longest text in bytes; a longer one is cut at a character and ends in "…". */
#define PROFILE_TEXT_MAX 4096
/* Most attributes of one sample. */
#define PROFILE_ATTRS_MAX 32
/* Longest GNU build id in bytes; the kernel's BUILD_ID_SIZE_MAX is 20. */
#define PROFILE_BUILD_ID_MAX 64

/** struct profile_set - profiles and their dictionary. Opaque. */
struct profile_set;

/**
 * struct profile_mapping - an executable file, or a part of it in memory
 * @path:         file name, "[kernel]", "[vdso]"; may be NULL
 * @build_id:     GNU build id, or NULL
 * @build_id_len: its bytes
 * @htlhash:      16 bytes as profile__htlhash() gives them, or NULL
 * @go_build_id:  what Go's linker noted, or NULL
 * @memory_start: first address; it and @memory_limit are 0 when addresses are those of the file
 * @memory_limit: first address behind it
 * @file_offset:  of @memory_start
 *
 * The specification demands one of @build_id, @htlhash and @go_build_id of every mapping.
 */
struct profile_mapping {
	const char *path;
	const __u8 *build_id;
	size_t build_id_len;
	const __u8 *htlhash;
	const char *go_build_id;
	__u64 memory_start;
	__u64 memory_limit;
	__u64 file_offset;
};

/**
 * struct profile_line - a function at a location
 * @name:        for a person to read (demangled), or NULL
 * @system_name: as the linker knows it, or NULL; may be the same as @name
 * @file:        source file, or NULL
 * @line:        in @file, from 1; 0: not known
 * @column:      in @line, from 1; 0: not known
 * @start_line:  where the function begins; 0: not known
 */
struct profile_line {
	const char *name;
	const char *system_name;
	const char *file;
	__s64 line;
	__s64 column;
	__s64 start_line;
};

/**
 * struct profile_desc - a profile: one sample type, one Resource, one window of time
 * @resource:       encoded OTLP Resource message, or NULL; profiles with equal bytes
 *                  come under one ResourceProfiles
 * @scope_name:     instrumentation scope, or NULL
 * @scope_version:  of it, or NULL
 * @sample_type:    what a value is: "samples", "off_cpu"
 * @sample_unit:    its unit: "count", "nanoseconds"
 * @period_type:    what passes between two samples: "cpu"; or NULL
 * @period_unit:    "nanoseconds"; or NULL
 * @period:         how much of it
 * @time_unix_nano: start of the window, UTC
 * @duration_nano:  its length
 * @profile_id:     16 bytes; all zero: none
 */
struct profile_desc {
	const struct pb *resource;
	const char *scope_name;
	const char *scope_version;
	const char *sample_type;
	const char *sample_unit;
	const char *period_type;
	const char *period_unit;
	__s64 period;
	__u64 time_unix_nano;
	__u64 duration_nano;
	__u8 profile_id[16];
};

/** profile_set__new - an empty set; NULL when there is no memory */
struct profile_set *profile_set__new(void);
void profile_set__free(struct profile_set *set);

/** profile_set__clear - forget everything, all indexes too, for use again */
void profile_set__clear(struct profile_set *set);

/*
 * What follows returns an index: the same for equal values, 0 for the zero value. Else
 * -ENOMEM, or -EINVAL for an argument that is out of range or contradicts itself.
 */

/** profile_set__mapping - index of a mapping */
int profile_set__mapping(struct profile_set *set, const struct profile_mapping *mapping);

/**
 * profile_set__location - index of a location
 * @set:        set
 * @mapping:    index, 0: not known
 * @address:    of the instruction, as @mapping has it
 * @frame_type: profile.frame.type: "kernel", "native", "go", …; or NULL
 * @lines:      innermost first: more than one is a function inlined into the next. A line without
 *              name, system name and file is left out
 * @n_lines:    how many; 0: no symbol was found
 */
int profile_set__location(struct profile_set *set, int mapping, __u64 address,
			  const char *frame_type, const struct profile_line *lines, size_t n_lines);

/** profile_set__stack - index of a stack: locations, leaf first */
int profile_set__stack(struct profile_set *set, const int *locations, size_t n);

/** profile_set__link - index of a trace context; an all zero trace id gives 0: none */
int profile_set__link(struct profile_set *set, const __u8 trace_id[16], const __u8 span_id[8]);

/** profile_set__attr_string - index of an attribute; -EINVAL for an empty key */
int profile_set__attr_string(struct profile_set *set, const char *key, const char *value);

/** profile_set__attr_int - see profile_set__attr_string() */
int profile_set__attr_int(struct profile_set *set, const char *key, __s64 value);

/** profile_set__profile - index of a profile; unlike other indexes 0 is one */
int profile_set__profile(struct profile_set *set, const struct profile_desc *desc);

/**
 * profile_set__sample - add to a profile's sample
 * @set:     set
 * @profile: index of the profile
 * @stack:   index
 * @attrs:   indexes of attributes, each key once, in any order; 0 is skipped
 * @n_attrs: how many, at most PROFILE_ATTRS_MAX
 * @link:    index
 * @value:   added to the one sample with this stack, link and set of attributes; the sum
 *           stays at the end of its range. 0 adds nothing.
 *
 * Return: 0, -ENOMEM, or -EINVAL.
 */
int profile_set__sample(struct profile_set *set, int profile, int stack, const int *attrs,
			size_t n_attrs, int link, __s64 value);

/** struct profile_set_counts - how much there is; zero entries and unused values included */
struct profile_set_counts {
	size_t profiles, samples, stacks, locations, functions, mappings, texts;
};

/** profile_set__counts - how much there is */
struct profile_set_counts profile_set__counts(const struct profile_set *set);

/* --- encoders --------------------------------------------------------------------------------- */

/**
 * profile_set__encode_otlp - ExportProfilesServiceRequest, all profiles that have samples
 * @set: set
 * @out: appended to; nothing when there is no sample, as an empty request must not be sent
 *
 * The dictionary has what samples refer to and nothing else. The same bytes are a ProfilesData.
 *
 * Return: number of profiles, or -ENOMEM.
 */
int profile_set__encode_otlp(struct profile_set *set, struct pb *out);

/**
 * profile_set__emit_otlp - the same in requests that are not larger than a limit
 * @set:   set
 * @limit: in bytes; a single profile that is larger goes alone
 * @send:  called with each request and its number of profiles; not 0 ends it
 * @ctx:   for @send
 *
 * Return: 0, -ENOMEM or what @send returned.
 */
int profile_set__emit_otlp(struct profile_set *set, size_t limit,
			   int (*send)(const struct pb *request, int profiles, void *ctx),
			   void *ctx);

/*
 * The formats below show all processes together, but not two sample types: profiles of the
 * same sample type, unit, period type and unit are a kind.
 */

/** profile_set__kinds - number of kinds that have samples, or -ENOMEM */
int profile_set__kinds(struct profile_set *set);

/** profile_set__kind_name - a kind's name, fit for a file: "cpu" (samples/count with a period of
 * cpu), else its sample type: "off_cpu"; valid until the set is cleared. NULL when there is no
 * such kind. */
const char *profile_set__kind_name(struct profile_set *set, int kind);

/**
 * profile_set__encode_pprof - a gzip-compressed pprof profile
 * @set:  set
 * @kind: see profile_set__kinds()
 * @out:  appended to
 *
 * Values are (sample type, unit) and, when that is samples/count and there is a period, (period
 * type, unit) as well. Labels are the sample's attributes, its trace context and what in the
 * Resource names process, container and service.
 *
 * Return: 0, -EINVAL for an unknown kind, -ENOMEM.
 */
int profile_set__encode_pprof(struct profile_set *set, int kind, struct pb *out);

/**
 * profile_set__encode_folded - lines "command;root;…;leaf value", in order
 * @set:  set
 * @kind: see profile_set__kinds()
 * @out:  appended to
 *
 * The command is the attribute thread.name, else process.executable.name of the Resource.
 * A frame without a name is "file+0xaddress". Semicolons in names become ':', control
 * characters '?'. Return: see profile_set__encode_pprof().
 */
int profile_set__encode_folded(struct profile_set *set, int kind, struct pb *out);

/**
 * profile_set__encode_html - a page with a flame graph of every kind
 * @set:   set
 * @title: heading; UTF-8
 * @out:   appended to
 *
 * One file that loads nothing. Return: 0 or -ENOMEM.
 */
int profile_set__encode_html(struct profile_set *set, const char *title, struct pb *out);

/**
 * profile__htlhash - process.executable.build_id.htlhash of a file
 * @fd:  open for reading; its position is not used
 * @out: 16 bytes: the first half of SHA-256 over the file's first 4096 bytes, its last
 *       4096 bytes and its length as a 64-bit big-endian number (OpenTelemetry
 *       specification, profiles/mappings.md). What a file has less than that, is left out.
 *
 * Return: 0 or -errno: -EINVAL when it is no regular file.
 */
int profile__htlhash(int fd, __u8 out[16]);

#endif
