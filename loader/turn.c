// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "turn.h"

#include "grace.h"
#include "hook.h"

static bool has_interfaces(const struct object *object)
{
	char section[OTEL_SECTION_MAX];
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, object->obj) {
		object__hook(object, prog, section);
		if (hook__on_interfaces(section))
			return true;
	}
	return false;
}

void turn__prepare(struct object *object, const char *dir)
{
	struct filter filter;

	if (!object->turn_attempt)
		return;
	object->attempt = 1;
	if (dir && !filter__open(&filter, dir) && filter.turn)
		object->attempt = filter.turn->attempt + 1;
	if (dir)
		filter__close(&filter);
	*object->turn_attempt = has_interfaces(object) ? 0 : object->attempt;
}

/* What programs that are running have read of the step before, they have done by then. */
static void step(struct filter *filter, enum otel_turn_step to)
{
	__atomic_store_n(&filter->turn->step, to, __ATOMIC_SEQ_CST);
	grace__period();
}

void turn__note(struct filter *filter, const struct object *object)
{
	if (filter->turn)
		__atomic_store_n(&filter->turn->attempt, object->attempt, __ATOMIC_SEQ_CST);
}

void turn__begin(struct filter *filter, const struct object *object)
{
	__atomic_store_n(&filter->turn->step, OTEL_TURN_ATTACH, __ATOMIC_SEQ_CST);
	turn__note(filter, object);
	__atomic_fetch_or(&filter->vars->flags, OTEL_FILTER_F_TURN, __ATOMIC_SEQ_CST);
	grace__period();
}

void turn__hand_over(struct filter *filter)
{
	grace__period(); /* from here on no event is seen by the older programs alone */
	step(filter, OTEL_TURN_BOTH);
	step(filter, OTEL_TURN_HANDED);
}

void turn__hand_back(struct filter *filter)
{
	if (filter->turn->step == OTEL_TURN_HANDED)
		step(filter, OTEL_TURN_BOTH);
}

void turn__end(struct filter *filter)
{
	grace__period();
	__atomic_fetch_and(&filter->vars->flags, ~OTEL_FILTER_F_TURN, __ATOMIC_SEQ_CST);
}

void turn__settle(const char *dir)
{
	struct filter filter;

	if (!filter__open(&filter, dir) && filter.turn)
		turn__end(&filter);
	filter__close(&filter);
}
