/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Ownership in declarations. */
#ifndef OTELBPF_LOADER_CLEANUP_H
#define OTELBPF_LOADER_CLEANUP_H

#include <stdlib.h>
#include <unistd.h>

#include "pins.h"

struct json_object;
int json_object_put(struct json_object *obj);

static inline void cleanup__free(void *p)
{
	free(*(void **)p);
}

static inline void cleanup__fd(int *fd)
{
	if (*fd >= 0)
		close(*fd);
}

static inline void cleanup__names(char ***names)
{
	pins__free_names(*names);
}

static inline void cleanup__json(struct json_object **json)
{
	json_object_put(*json);
}

#define _cleanup_free_ __attribute__((cleanup(cleanup__free)))
#define _cleanup_fd_ __attribute__((cleanup(cleanup__fd)))
#define _cleanup_names_ __attribute__((cleanup(cleanup__names)))
#define _cleanup_json_ __attribute__((cleanup(cleanup__json)))

#endif
