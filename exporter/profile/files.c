// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "files.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void profile__join_path(const struct otel_path *path, char text[PATH_TEXT])
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = OTEL_PATH_LEVELS - 1; i >= 0; i--)
		if (path->name[i][0])
			len += snprintf(text + len, PATH_TEXT - len, "/%.*s", OTEL_PATH_NAME,
					path->name[i]);
}

static int grow(struct profile_files *files, __u32 n)
{
	__u32 has = files->n;
	struct otel_build_id *ids = reallocarray(files->build_ids, n, sizeof(*ids));
	char **paths;

	if (!ids)
		return -ENOMEM;
	files->build_ids = ids;
	paths = reallocarray(files->paths, n, sizeof(*paths));
	if (!paths)
		return -ENOMEM;
	files->paths = paths;
	memset(ids + has, 0, (n - has) * sizeof(*ids));
	memset(paths + has, 0, (n - has) * sizeof(*paths));
	files->n = n;
	return 0;
}

int profile_files__read(struct profile_files *files, const struct profile_probe *probe)
{
	struct otel_build_id id, *last = NULL;
	struct otel_path path;
	char text[PATH_TEXT];
	__u32 number;

	while (probe->mappings >= 0 && !bpf_map_get_next_key(probe->mappings, last, &id)) {
		last = &id;
		if (bpf_map_lookup_elem(probe->mappings, &id, &number) || number > 1 << 20)
			continue;
		if (number >= files->n && grow(files, number + 64))
			return -ENOMEM;
		files->build_ids[number] = id;
		if (probe->files < 0 || bpf_map_lookup_elem(probe->files, &number, &path))
			continue;
		profile__join_path(&path, text);
		free(files->paths[number]);
		files->paths[number] = text[0] ? strdup(text) : NULL;
		if (text[0] && !files->paths[number])
			return -ENOMEM;
	}
	return 0;
}

void profile_files__clear(struct profile_files *files)
{
	for (__u32 i = 0; files->paths && i < files->n; i++)
		free(files->paths[i]);
	free(files->paths);
	free(files->build_ids);
	*files = (struct profile_files){0};
}
