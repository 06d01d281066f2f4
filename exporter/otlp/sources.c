// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sources.h"

#include <stdlib.h>

void sources__begin(struct sources *sources)
{
	sources->n = 0;
	sources->unsure = false;
}

void sources__add(struct sources *sources, struct series_source source)
{
	if (sources->n == sources->room) {
		int room = sources->room ? 2 * sources->room : 64;
		struct series_source *more = reallocarray(sources->at, room, sizeof(*more));

		if (!more) {
			sources->unsure = true;
			return;
		}
		sources->at = more;
		sources->room = room;
	}
	sources->at[sources->n++] = source;
}

bool sources__is_same(struct series_source a, struct series_source b)
{
	return a.id == b.id && a.of_program == b.of_program;
}

bool sources__has(const struct sources *sources, struct series_source source)
{
	if (!source.id || sources->unsure)
		return true;
	for (int i = 0; i < sources->n; i++)
		if (sources__is_same(sources->at[i], source))
			return true;
	return false;
}

void sources__free(struct sources *sources)
{
	free(sources->at);
	*sources = (struct sources){0};
}
