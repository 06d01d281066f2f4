// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf pause, resume, unload: what is loaded, detached, attached again, removed. */
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "args.h"
#include "cleanup.h"
#include "deadline.h"
#include "duration.h"
#include "guard.h"
#include "links.h"
#include "path.h"
#include "pins.h"
#include "probe.h"
#include "tree.h"

static int detach(const struct probe *probe, struct failure *failure)
{
	struct links *links = links__release(probe->dir);

	if (!links)
		return failed(failure,
			      errno == EACCES || errno == EPERM ? EXIT_PERMISSION : EXIT_MAP,
			      "cannot remove the links in %s/link: %s", probe->dir,
			      strerror(errno));
	links__drop(links);
	return 0;
}

static int pause_one(struct probe *probe, const char *pin_dir, struct failure *failure)
{
	bool was_paused = probe->meta.state == OTEL_STATE_PAUSED;
	int code, err;

	(void)pin_dir;
	/* What is counted where it is, up to now: nobody will know it after the pause. */
	pins__run_iterators(probe->dir);
	code = detach(probe, failure);
	err = code ? 0 : probe__set_state(probe, OTEL_STATE_PAUSED);
	if (err)
		code = failed(failure, EXIT_MAP, "cannot write the state of probe '%s': %s",
			      probe->name, failure__reason(err));
	if (!code)
		inform("%s %s", was_paused ? "already paused:" : "paused", probe->name);
	return code;
}

static int resume_one(struct probe *probe, const char *pin_dir, struct failure *failure)
{
	int links = links__count(probe->dir), code, err;
	struct deadline deadline = {};
	char text[DURATION_TEXT];
	bool runs = probe->meta.state == OTEL_STATE_RUNNING && links > 0;

	(void)pin_dir;
	err = deadline__read(probe->dir, &deadline);
	if (runs && (err || !deadline.flag || deadline__left(&deadline))) {
		inform("already running: %s", probe->name);
		return 0;
	}
	if (runs) {
		/* It has ended by itself, and is still attached. */
		deadline__renew(probe->dir);
		inform("resumed %s for another %s", probe->name,
		       duration__print(deadline.duration_ns, text));
		return 0;
	}
	/* Links in a paused probe are those of a resume that was killed. */
	code = links > 0 ? detach(probe, failure) : 0;
	/* Before it would be over already; after it attaching is not part of the duration. */
	if (!code)
		deadline__renew(probe->dir);
	if (!code)
		code = probe__attach(probe, failure);
	if (!code)
		deadline__renew(probe->dir);
	err = code ? 0 : probe__set_state(probe, OTEL_STATE_RUNNING);
	if (err)
		code = failed(failure, EXIT_MAP, "cannot write the state of probe '%s': %s",
			      probe->name, failure__reason(err));
	if (!code)
		inform("resumed %s%s%s", probe->name, deadline.duration_ns ? " for another " : "",
		       deadline.duration_ns ? duration__print(deadline.duration_ns, text) : "");
	return code;
}

static int unload_one(struct probe *probe, const char *pin_dir, struct failure *failure)
{
	char old[PATH_MAX];
	int err;

	/* Detach before the name goes: whoever sees no probe may rely on no program running. */
	if (detach(probe, failure) && failure->code == EXIT_PERMISSION)
		return failure->code;
	err = path__format(old, "%s/%s" TREE_OLD, pin_dir, probe->name);
	if (!err && rename(probe->dir, old))
		err = -errno;
	if (!err)
		err = tree__remove(old);
	if (err)
		return failed(failure, err == -EACCES || err == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
			      "cannot remove %s: %s", probe->dir, failure__reason(err));
	inform("unloaded %s", probe->name);
	return 0;
}

typedef int (*change_fn)(struct probe *probe, const char *pin_dir, struct failure *failure);

/**
 * struct change - a command of this file
 * @fn:         what to do with one probe
 * @any_state:  also for a directory that is no complete probe
 */
struct change {
	change_fn fn;
	bool any_state;
};

static int change_one(const struct change *change, const char *pin_dir, const char *name)
{
	struct probe probe = {.lock = -1};
	_cleanup_fd_ int lock = -1;
	struct failure failure;
	char dir[PATH_MAX];
	int code = 0;

	if (!pins__is_probe(name))
		return fail(EXIT_USAGE, "'%s' is not the name of a probe", name);
	/* Look before locking: the lock makes directories. */
	if (path__format(dir, "%s/%s", pin_dir, name) || access(dir, F_OK)) {
		tree__clean(pin_dir, name);
		return fail(EXIT_MAP, "probe '%s' is not loaded", name);
	}
	lock = tree__begin(pin_dir, name);
	if (lock < 0)
		return fail(lock == -EACCES || lock == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
			    "cannot lock probe '%s': %s", name, failure__reason(lock));
	if (probe__open_locked(&probe, pin_dir, name, &failure) &&
	    !(change->any_state && probe.lock >= 0))
		code = failure.code;
	if (!code)
		code = change->fn(&probe, pin_dir, &failure);
	if (code)
		fail(code, "%s", failure.line);
	probe__close(&probe);
	close(lock);
	lock = -1;
	tree__clean(pin_dir, name);
	return code;
}

struct all_changes {
	const struct args *args;
	const struct change *change;
	char **names;
};

/* In a child that holds signals off: Ctrl-C never leaves one probe half changed. */
static int change_all(void *arg, struct json_object *result)
{
	const struct all_changes *all = arg;
	int first = 0, code;

	(void)result;
	guard__hold();
	for (char **name = all->names; name && *name; name++) {
		code = change_one(all->change, all->args->pin_dir, *name);
		first = first ? first : code;
	}
	return first;
}

static int run(const struct args *args, const struct change *change)
{
	_cleanup_names_ char **names = NULL;
	struct all_changes all = {.args = args, .change = change};
	int code = pins__check(args->pin_dir);

	if (!code)
		code = probe__names(args, &names);
	if (code)
		return code;
	all.names = names;
	if (!args->names && (!names || !names[0]))
		inform("no probe is loaded in %s: otelbpf load", args->pin_dir);
	else
		code = guard__run(change_all, &all, NULL);
	if (change->any_state && !args->names)
		tree__clean_all(args->pin_dir);
	return code < 0 ? fail(EXIT_INTERNAL, "killed: %s", strsignal(-code)) : code;
}

int cmd_pause(const struct args *args)
{
	static const struct change change = {.fn = pause_one};

	return run(args, &change);
}

int cmd_resume(const struct args *args)
{
	static const struct change change = {.fn = resume_one};

	return run(args, &change);
}

int cmd_unload(const struct args *args)
{
	static const struct change change = {.fn = unload_one, .any_state = true};

	return run(args, &change);
}
