// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "deadline.h"

#include <errno.h>
#include <time.h>

static __u64 now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_BOOTTIME, &now);
	return now.tv_sec * 1000000000ULL + now.tv_nsec;
}

int deadline__check(const struct filter *filter, const char *probe, struct failure *failure)
{
	if (filter->deadline)
		return 0;
	if (filter->view.denied)
		return failed(failure, EXIT_PERMISSION,
			      "a duration of probe '%s' cannot be set: CAP_SYS_ADMIN is needed to "
			      "find its variables",
			      probe);
	if (!filter->vars)
		return failed(failure, EXIT_USAGE,
			      "probe '%s' has neither filters nor a duration: load it without "
			      "--duration, the others by their names",
			      probe);
	return failed(failure, EXIT_USAGE,
		      "probe '%s' cannot end by itself: build it against the headers of otelbpf %s",
		      probe, OTELBPF_VERSION);
}

static void set_flag(struct filter *filter, bool on)
{
	if (on)
		__atomic_fetch_or(&filter->vars->flags, OTEL_FILTER_F_DEADLINE, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&filter->vars->flags, ~OTEL_FILTER_F_DEADLINE, __ATOMIC_SEQ_CST);
}

void deadline__put(struct filter *filter, const struct deadline *deadline)
{
	if (!filter->deadline)
		return;
	__atomic_store_n(&filter->deadline->duration_ns, deadline->duration_ns, __ATOMIC_SEQ_CST);
	/* The time comes before the flag that makes it count. */
	if (deadline->flag)
		__atomic_store_n(&filter->deadline->at_ns, deadline->at_ns, __ATOMIC_SEQ_CST);
	set_flag(filter, deadline->flag);
}

struct deadline deadline__get(const struct filter *filter)
{
	struct deadline deadline = {};

	if (!filter->deadline)
		return deadline;
	deadline.flag = filter->vars->flags & OTEL_FILTER_F_DEADLINE;
	deadline.at_ns = filter->deadline->at_ns;
	deadline.duration_ns = filter->deadline->duration_ns;
	return deadline;
}

__u64 deadline__left(const struct deadline *deadline)
{
	__u64 now = now_ns();

	return deadline->at_ns > now ? deadline->at_ns - now : 0;
}

void deadline__start(struct filter *filter, __u64 duration_ns)
{
	struct deadline deadline = {duration_ns > 0, now_ns() + duration_ns, duration_ns};
	struct deadline old = deadline__get(filter);

	/* What began while it was stopped was not seen to begin. */
	if (old.flag && !deadline__left(&old))
		__atomic_add_fetch(&filter->vars->epoch, 1, __ATOMIC_SEQ_CST);
	deadline__put(filter, &deadline);
}

int deadline__read(const char *dir, struct deadline *deadline)
{
	struct filter filter;
	int err = filter__open(&filter, dir);

	*deadline = (struct deadline){};
	if (!err)
		*deadline = deadline__get(&filter);
	filter__close(&filter);
	return err;
}

int deadline__renew(const char *dir)
{
	struct filter filter;
	int err = filter__open(&filter, dir);

	if (!err && filter.deadline && filter.deadline->duration_ns)
		deadline__start(&filter, filter.deadline->duration_ns);
	filter__close(&filter);
	return err == -ENOENT ? 0 : err;
}
