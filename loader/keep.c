// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "keep.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "layout.h"
#include "mapview.h"
#include "path.h"

/*
 * Written anew by every load: constants belong to the programs, and the loader's
 * own maps are filled before the old ones may be forgotten.
 */
static bool is_never_kept(const struct bpf_map *map)
{
	const char *section = object__section(map), *name = bpf_map__name(map);

	if (section)
		return !strncmp(section, ".rodata", 7);
	return !strcmp(name, "meta") || !strcmp(name, "programs") || !strcmp(name, "targets");
}

static struct bpf_map *find_by_pin(const struct object *object, const char *pin)
{
	char name[PIN_NAME_MAX];
	struct bpf_map *map;

	bpf_object__for_each_map (map, object->obj) {
		object__pin_name(map, name);
		if (!strcmp(name, pin))
			return map;
	}
	return NULL;
}

static bool is_data(const struct mapview *view)
{
	return !(view->info.map_flags & BPF_F_RDONLY_PROG);
}

int keep__compare(const struct object *object, const char *maps, char **pins, char *what,
		  size_t size)
{
	char path[PATH_MAX], difference[256];

	for (char **pin = pins; *pin; pin++) {
		const struct bpf_map *map = find_by_pin(object, *pin);
		_cleanup_view_ struct mapview view = {.fd = -1};
		int err;

		if (map && is_never_kept(map))
			continue;
		err = path__format(path, "%s/%s", maps, *pin);
		if (!err)
			err = mapview__open(&view, path);
		if (err) {
			snprintf(what, size, "map %s cannot be read: %s", *pin,
				 failure__reason(err));
			return 1;
		}
		if (view.denied)
			return -EPERM;
		if (!map && is_data(&view)) {
			snprintf(what, size, "map %s is no longer there", *pin);
			return 1;
		}
		if (map && layout__differs(object, map, &view, difference, sizeof(difference))) {
			snprintf(what, size, "map %s: %s", *pin, difference);
			return 1;
		}
	}
	return 0;
}

int keep__reuse(const struct object *object, const char *maps, char **pins, struct failure *failure)
{
	char path[PATH_MAX];

	for (char **pin = pins; *pin; pin++) {
		struct bpf_map *map = find_by_pin(object, *pin);
		_cleanup_fd_ int fd = -1;
		int err;

		if (!map || is_never_kept(map))
			continue;
		err = path__format(path, "%s/%s", maps, *pin);
		fd = err ? -1 : bpf_obj_get(path);
		if (!err)
			err = fd < 0 ? -errno : bpf_map__reuse_fd(map, fd);
		if (err)
			return failed(failure, EXIT_MAP, "cannot go on with map %s: %s", path,
				      failure__reason(err));
	}
	return 0;
}

void keep__describe_dropped(const char *maps, char **pins, char *text, size_t size)
{
	size_t len = 0;
	char path[PATH_MAX];

	for (char **pin = pins; *pin && len < size; pin++) {
		_cleanup_view_ struct mapview view = {.fd = -1};
		long entries;

		if (path__format(path, "%s/%s", maps, *pin) || mapview__open(&view, path) ||
		    view.info.max_entries < 2)
			continue;
		entries = mapview__each(&view, NULL, NULL);
		if (entries > 0 && strcmp(*pin, "programs"))
			len += snprintf(text + len, size - len, "%s%s (%ld entries)",
					len ? ", " : "", *pin, entries);
	}
}
