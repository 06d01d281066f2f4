/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Describe: a map's BTF, compiled once into a flat list of offsets, widths and
 * operations. The read loop knows no BTF.
 */
#ifndef OTELBPF_PLAN_H
#define OTELBPF_PLAN_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "decoder.h"
#include "otlp/pb.h"

struct btf;
struct tagged;
struct bpf_map_info;

#define PLAN_ATTRS_MAX 16
#define PLAN_INSTRUMENTS_MAX 64
#define PLAN_BUCKETS_MAX 1024
#define PLAN_BOUNDS_MAX 32

/**
 * struct plan_attr - one attribute of a key
 * @name:    attribute name
 * @offset:  where in the key
 * @size:    bytes
 * @decoder: turns them into a value
 * @ctx:     what the decoder needs
 * @key:     the name as an encoded KeyValue.key field
 * @unset:   there is no attribute where all bytes are zero
 */
struct plan_attr {
	const char *name;
	__u32 offset;
	__u32 size;
	const struct decoder *decoder;
	struct decoder_ctx ctx;
	struct pb key;
	bool unset;
};

enum instrument_kind {
	INSTRUMENT_SUM,
	INSTRUMENT_UPDOWN,
	INSTRUMENT_GAUGE,
	INSTRUMENT_HISTOGRAM,
	INSTRUMENT_EXPHIST,
};

/**
 * struct instrument - one instrument of a value
 * @kind:      which
 * @name:      metric name
 * @unit:      UCUM unit
 * @desc:      description
 * @offset:    where in the value: the number, the counts, or the histogram struct
 * @size:      bytes of a number
 * @is_signed: of a number
 * @factor:    what one unit of a number, or of sum, min and max, is worth
 * @count, @sum, @min, @max, @zero_count, @buckets: offsets of the histogram's
 *             members in the value; -1 for a member that is not there
 * @n_buckets: length of the buckets array, or of the counts
 * @scale:     exponential histogram's scale
 * @index:     OTLP index of the first bucket
 * @zero_threshold: of the zero bucket, in the instrument's unit
 * @bounds:    explicit histogram's n_buckets - 1 upper bounds; exponential histogram's
 *             @n_bounds if it is to become an explicit one
 * @n_bounds:  of an exponential histogram
 * @bound_buckets: place in @buckets of the one that ends at each of its @bounds
 * @with:      constant attributes, each an encoded KeyValue message
 * @n_with:    how many
 * @loss:      counts losses (for the exporter's own summary); constant attribute text
 */
struct instrument {
	enum instrument_kind kind;
	const char *name;
	const char *unit;
	const char *desc;
	__u32 offset;
	__u32 size;
	bool is_signed;
	double factor;
	int count, sum, min, max, zero_count, buckets;
	__u32 n_buckets;
	__s32 scale;
	__s32 index;
	double zero_threshold;
	double *bounds;
	__u32 n_bounds;
	__s32 bound_buckets[PLAN_BOUNDS_MAX];
	struct pb with[4];
	int n_with;
};

/**
 * struct plan - how to read one map
 * @id:         of the map, as the kernel numbers them: the same key under the same id is the
 *              same series; 0: the exporter's own numbers
 * @of_program: it is a program's id
 * @type:       BPF_MAP_TYPE_*
 * @key_size:   bytes
 * @value_size: bytes of one value as read: a multiple of 8 for per-CPU maps
 * @values:     values read for one key: possible CPUs, or 1
 * @max_entries: capacity
 * @attrs, @n_attrs: the key's attributes
 * @resource:   the key member that selects the Resource; decoder NULL if there is none
 * @instruments, @n_instruments: the value's instruments
 * @strings:    memory behind the strings
 */
struct plan {
	__u32 id;
	bool of_program;
	__u32 type;
	__u32 key_size;
	__u32 value_size;
	__u32 values;
	__u32 max_entries;
	struct plan_attr attrs[PLAN_ATTRS_MAX];
	int n_attrs;
	struct plan_attr resource;
	struct instrument instruments[PLAN_INSTRUMENTS_MAX];
	int n_instruments;
};

/**
 * plan__compile - describe a map
 * @info:   the map, as the kernel tells
 * @btf:    its BTF; must outlive the plan, as must @tagged
 * @tagged: the tags of @btf
 * @var:    BTF id of the map's variable
 * @why:    on -EINVAL, one line that names member and tag
 * @len:    room in @why
 *
 * Return: the plan, or NULL with errno EINVAL or ENOMEM.
 */
struct plan *plan__compile(const struct bpf_map_info *info, const struct btf *btf,
			   const struct tagged *tagged, __u32 var, char *why, size_t len);
void plan__free(struct plan *plan);

/** plan__is_per_cpu - whether a map type has one value per CPU */
bool plan__is_per_cpu(__u32 type);

/** plan__is_array - whether keys are the numbers from 0 to max_entries - 1 */
bool plan__is_array(__u32 type);

#endif
