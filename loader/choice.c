// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "choice.h"

#include <bpf/btf.h>
#include <stdlib.h>
#include <string.h>

#include "hook.h"
#include "options.h"
#include "tagged.h"

static const struct tag *tag_of(const struct object *object, const struct bpf_program *prog,
				const char *kind)
{
	const struct btf *btf = bpf_object__btf(object->obj);
	int id = btf__find_by_name_kind(btf, bpf_program__name(prog), BTF_KIND_FUNC);

	return id > 0 ? tagged__find(object->tagged, id, -1, kind) : NULL;
}

const char *choice__of(const struct object *object, const struct bpf_program *prog, int *rank)
{
	const struct tag *tag = tag_of(object, prog, "hook");

	if (!tag || tag->args != 2)
		return NULL;
	*rank = atoi(tag->arg[1]);
	return tag->arg[0];
}

/* The lowest rank above @above, INT_MAX if there is none; whether every hook of it is there. */
static int next_rank(const struct object *object, const char *measurement, int above, bool *all)
{
	struct bpf_program *prog;
	int best = INT_MAX, rank;

	*all = true;
	bpf_object__for_each_program (prog, object->obj) {
		const char *of = choice__of(object, prog, &rank);

		if (of && !strcmp(of, measurement) && rank > above && rank < best)
			best = rank;
	}
	bpf_object__for_each_program (prog, object->obj) {
		const char *of = choice__of(object, prog, &rank);
		char section[OTEL_SECTION_MAX];
		struct failure why;

		if (!of || strcmp(of, measurement) || rank != best)
			continue;
		object__hook(object, prog, section);
		*all = *all && !hook__available(section, &why);
	}
	return best;
}

static void load_rank(const struct object *object, const char *measurement, int wanted)
{
	struct bpf_program *prog;
	int rank;

	bpf_object__for_each_program (prog, object->obj) {
		const char *of = choice__of(object, prog, &rank);

		if (of && !strcmp(of, measurement))
			bpf_program__set_autoload(prog, rank == wanted);
	}
}

/* Whether an earlier program is of the same measurement. */
static bool was_decided(const struct object *object, const struct bpf_program *until,
			const char *measurement)
{
	struct bpf_program *prog;
	int rank;

	bpf_object__for_each_program (prog, object->obj) {
		const char *of = choice__of(object, prog, &rank);

		if (prog == until)
			break;
		if (of && !strcmp(of, measurement))
			return true;
	}
	return false;
}

const char *choice__option(const struct object *object, const struct bpf_program *prog)
{
	const struct tag *tag = tag_of(object, prog, "when");

	return tag && tag->args == 1 ? tag->arg[0] : NULL;
}

static bool is_wanted(const struct object *object, const struct bpf_program *prog,
		      const struct option_vars *options)
{
	const char *name = choice__option(object, prog);

	for (int i = 0; name && i < options->n; i++)
		if (!strcmp(options->var[i].name, name) && !options->var[i].is_text &&
		    !option__value(&options->var[i]))
			return false;
	return true;
}

void choice__make(struct object *object, void (*lost)(const char *measurement, void *arg),
		  void *arg)
{
	struct option_vars options = {};
	struct bpf_program *prog;
	struct failure failure;
	int rank;

	if (options__of(object, &options, &failure))
		options.n = 0; /* said by whoever sets them */
	bpf_object__for_each_program (prog, object->obj) {
		const char *measurement = choice__of(object, prog, &rank);
		bool all = false;
		int chosen = -1;

		if (!measurement || !is_wanted(object, prog, &options) ||
		    was_decided(object, prog, measurement))
			continue;
		while (!all && chosen != INT_MAX)
			chosen = next_rank(object, measurement, chosen, &all);
		/* After the last rank there is one of no program. */
		load_rank(object, measurement, chosen);
		if (chosen == INT_MAX && lost)
			lost(measurement, arg);
	}
	bpf_object__for_each_program (prog, object->obj)
		if (!is_wanted(object, prog, &options))
			bpf_program__set_autoload(prog, false);
	free(options.var);
}
