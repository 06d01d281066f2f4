/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * What one receiver has acknowledged of every series: what a delta is taken from.
 *
 * A series takes about as much memory as its point takes on the wire. It is written anew in
 * every export: old and new side by side until it is known what became of the requests. One for
 * each receiver, since one may have taken what another has not. There is none where everything
 * is cumulative.
 */
#ifndef OTELBPF_OTLP_BASELINE_H
#define OTELBPF_OTLP_BASELINE_H

#include <linux/types.h>
#include <stdbool.h>
#include <stddef.h>

#include "sources.h"

/** struct baseline - of one receiver. Opaque. */
struct baseline;
struct pb;

/**
 * baseline__new - nothing has been acknowledged
 * @there: what the last read met: series of an object that could not be read are remembered as
 *         long as it is there
 *
 * Return: NULL when there is no memory.
 */
struct baseline *baseline__new(const struct sources *there);
void baseline__free(struct baseline *baseline);

/** baseline__bytes - memory that it takes now */
size_t baseline__bytes(const struct baseline *baseline);

/**
 * baseline__forget - a map's entry has been deleted after what it held was acknowledged
 *
 * If one of the same key comes, it counts anew.
 */
void baseline__forget(struct baseline *baseline, struct series_source source, const void *key,
		      size_t key_size);

/** baseline__save - append what is settled, for an exporter of the same build and boot */
void baseline__save(const struct baseline *baseline, struct pb *pb);

/**
 * baseline__restore - take what baseline__save() wrote
 *
 * Return: 0; -EBADMSG for anything else, and -ENOMEM: then it is as baseline__new() made it.
 */
int baseline__restore(struct baseline *baseline, const void *data, size_t len);

/* --- for metrics__emit() --------------------------------------------------------- */

/**
 * struct series - which one, and what is known of it
 * @source:   what counts it
 * @name:     what tells it from others of its source: a byte for the instrument, and the key
 * @name_len: bytes of it
 * @start_ns: when counting began: what was known before another beginning counts for nothing
 */
struct series {
	struct series_source source;
	const void *name;
	__u32 name_len;
	__u64 start_ns;
};

/**
 * struct acknowledged - what a receiver has
 * @known:   the series has been tried before; else there is but @until_ns
 * @data:    a packed value; NULL with @len 0 if none has arrived
 * @until_ns: the next delta begins here
 */
struct acknowledged {
	bool known;
	const __u8 *data;
	size_t len;
	__u64 until_ns;
};

/** baseline__begin - begin an export; the one before has been settled */
void baseline__begin(struct baseline *baseline);

/** baseline__find - what is acknowledged of a series; valid until baseline__settle() */
struct acknowledged baseline__find(const struct baseline *baseline, const struct series *series);

/** baseline__put - what will be acknowledged of a series, if its request is taken; each once */
void baseline__put(struct baseline *baseline, const struct series *series, __u64 until_ns,
		   const void *data, size_t len);

/** baseline__request - what was put since the last one is of a request that has been sent */
void baseline__request(struct baseline *baseline);

/**
 * baseline__end - all has been put
 * @complete: sources that were read as a whole: a series of theirs that was not put is gone
 * @n:        how many
 * @now_ns:   when
 *
 * Return: 0 or -ENOMEM: then nothing of this is to be used any more.
 */
int baseline__end(struct baseline *baseline, const struct series_source *complete, int n,
		  __u64 now_ns);

/**
 * baseline__settle - it is known what the receiver has taken
 * @taken: a byte for each request in their order, 0: its series are as they were acknowledged
 * @n:     as many as baseline__request() was called for
 *
 * Return: 0; -EINVAL for another @n; -ENOMEM.
 */
int baseline__settle(struct baseline *baseline, const void *taken, size_t n);

#endif
