/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Which kernel objects a pin directory held when it was read last. */
#ifndef OTELBPF_OTLP_SOURCES_H
#define OTELBPF_OTLP_SOURCES_H

#include <linux/types.h>
#include <stdbool.h>

/**
 * struct series_source - a kernel object that counts
 * @id:         as the kernel numbers it; 0: the exporter itself
 * @of_program: a program, else a map
 */
struct series_source {
	__u32 id;
	bool of_program;
};

/**
 * struct sources - a set; all 0: an empty one
 * @at:     members
 * @n:      how many
 * @room:   of @at
 * @unsure: some pin could not be looked at: what is not a member may still be there
 */
struct sources {
	struct series_source *at;
	int n, room;
	bool unsure;
};

/** sources__begin - a read begins: none was seen */
void sources__begin(struct sources *sources);

/** sources__add - one was seen; without memory the set is unsure */
void sources__add(struct sources *sources, struct series_source source);

/** sources__has - whether an object is there, or may be */
bool sources__has(const struct sources *sources, struct series_source source);

bool sources__is_same(struct series_source a, struct series_source b);
void sources__free(struct sources *sources);

#endif
