/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* The files that frames are numbered by, and paths as programs write them. */
#ifndef OTELBPF_PROFILE_FILES_H
#define OTELBPF_PROFILE_FILES_H

#include <otelbpf/profile.h>

#include "probe.h"

#define PATH_TEXT (OTEL_PATH_LEVELS * (OTEL_PATH_NAME + 1) + 1)

/**
 * struct profile_files - by number
 * @build_ids: zero where there is no such number
 * @paths:     NULL: not known
 */
struct profile_files {
	struct otel_build_id *build_ids;
	char **paths;
	__u32 n;
};

/** profile_files__read - 0 or -ENOMEM; @files is empty before */
int profile_files__read(struct profile_files *files, const struct profile_probe *probe);
void profile_files__clear(struct profile_files *files);

/** profile__join_path - "/usr/bin/true" of its components; "" when there are none */
void profile__join_path(const struct otel_path *path, char text[PATH_TEXT]);

#endif
