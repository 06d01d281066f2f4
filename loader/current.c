// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "current.h"

#include <bpf/bpf.h>
#include <limits.h>

#include "cleanup.h"
#include "path.h"
#include "pins.h"
#include "tagged.h"

void current__find(struct current *current, const char *dir)
{
	_cleanup_names_ char **names = NULL;
	char maps[PATH_MAX], path[PATH_MAX];
	int n = 0;

	current->n = 0;
	if (!path__format(maps, "%s/map", dir))
		n = pins__list(maps, &names);
	for (int i = 0; i < n && current->n < CURRENT_MAX; i++) {
		struct mapview *view = &current->table[current->n];

		if (path__format(path, "%s/%s", maps, names[i]))
			continue;
		if (!mapview__open(view, path) && view->var && view->tagged &&
		    tagged__find(view->tagged, view->var, -1, "current"))
			current->n++;
		else
			mapview__close(view);
	}
}

struct clearing {
	int fd;
	void *zero;
};

static int clear_entry(const void *key, const void *value, void *arg)
{
	struct clearing *clearing = arg;

	(void)value;
	bpf_map_update_elem(clearing->fd, key, clearing->zero, BPF_EXIST);
	return 0;
}

void current__clear(const struct current *current)
{
	for (int i = 0; i < current->n; i++) {
		const struct mapview *view = &current->table[i];
		_cleanup_free_ void *zero = calloc(1, mapview__value_bytes(view));
		struct clearing clearing = {view->fd, zero};

		if (zero)
			mapview__each(view, clear_entry, &clearing);
	}
}

void current__close(struct current *current)
{
	for (int i = 0; i < current->n; i++)
		mapview__close(&current->table[i]);
	current->n = 0;
}
