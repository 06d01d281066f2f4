// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_apply.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "cleanup.h"
#include "config_filter.h"
#include "guard.h"
#include "path.h"
#include "pins.h"
#include "preset.h"
#include "probe.h"
#include "tree.h"

#define MARK_MAX 64
#define MARK_FORMAT CONFIG_MARK "%016" PRIx64 "_%016" PRIx64

/**
 * struct mark - what a probe was loaded with
 * @is:      there is a mark
 * @options: hash of object, options, preset, duration
 * @filter:  hash of the filter; of none: FNV_START
 */
struct mark {
	bool is;
	uint64_t options, filter;
};

/* FNV-1a, 64 bits. */
#define FNV_START 0xcbf29ce484222325ULL
static uint64_t hash(uint64_t start, const void *bytes, size_t size)
{
	for (const unsigned char *at = bytes; size--; at++)
		start = (start ^ *at) * 0x100000001b3ULL;
	return start;
}

static uint64_t hash_text(uint64_t start, const char *text)
{
	return hash(start, text, strlen(text) + 1);
}

static uint64_t hash_file(uint64_t start, const char *path)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	char bytes[16384];
	ssize_t n;

	while (fd >= 0 && (n = read(fd, bytes, sizeof(bytes))) > 0)
		start = hash(start, bytes, n);
	return start;
}

static struct mark wanted_mark(const struct config_probe *probe)
{
	const struct args *args = &probe->args;
	struct mark mark = {.is = true, .options = FNV_START, .filter = FNV_START};

	/* Another build of the same object is to be loaded, too. */
	mark.options = hash_file(mark.options, probe->target.path);
	mark.options = hash_text(mark.options, args->preset ? args->preset->name : "");
	mark.options = hash(mark.options, &args->duration, sizeof(args->duration));
	if (args->duration)
		mark.options = hash(mark.options, &args->duration_ns, sizeof(args->duration_ns));
	for (int i = 0; i < args->sets; i++)
		mark.options = hash_text(mark.options, args->set[i]);
	for (int i = 0; i < args->filters; i++)
		mark.filter = hash_text(mark.filter, args->filter[i]);
	return mark;
}

static void print_mark(const struct mark *mark, char text[MARK_MAX])
{
	snprintf(text, MARK_MAX, MARK_FORMAT, mark->options, mark->filter);
}

static struct mark read_mark(const char *pin_dir, const char *name)
{
	struct mark mark = {.filter = FNV_START};
	struct dirent *entry;
	char path[PATH_MAX];
	DIR *dir = NULL;

	if (!path__format(path, "%s/%s", pin_dir, name))
		dir = opendir(path);
	while (dir && !mark.is && (entry = readdir(dir)))
		mark.is = sscanf(entry->d_name, CONFIG_MARK "%16" SCNx64 "_%16" SCNx64,
				 &mark.options, &mark.filter) == 2;
	if (dir)
		closedir(dir);
	return mark;
}

static int move_mark(const char *pin_dir, const char *name, const struct mark *from,
		     const struct mark *to)
{
	char before[MARK_MAX], after[MARK_MAX], old[PATH_MAX], new[PATH_MAX];
	int err;

	print_mark(from, before);
	print_mark(to, after);
	err = path__format(old, "%s/%s/%s", pin_dir, name, before);
	if (!err)
		err = path__format(new, "%s/%s/%s", pin_dir, name, after);
	if (!err && rename(old, new))
		err = -errno;
	return err ? fail(EXIT_MAP, "cannot rename %s to %s: %s", old, after, strerror(-err)) : 0;
}

/* --- one probe ------------------------------------------------------------------- */

struct change {
	const struct config_probe *probe;
	const struct args *args;
};

static int replace_filter(void *arg, struct json_object *result)
{
	const struct change *change = arg;
	const char *name = change->probe->target.probe;
	struct failure failure;
	int removed, code;

	(void)result;
	code = config_filter__replace(&change->probe->args, name, &removed, &failure);
	if (code)
		return fail(code, "%s", failure.line);
	inform("changed the filter of %s: %d values%s", name, change->probe->args.filters,
	       removed ? ", others were removed" : "");
	return 0;
}

static void say_options(const struct config_probe *probe, const char *pin_dir, bool reload)
{
	char now[sizeof(((struct otel_meta *)0)->options)] = "";
	struct failure failure;
	struct probe loaded;
	size_t len = 0;

	if (!reload || probe__open(&loaded, pin_dir, probe->target.probe, &failure))
		return;
	for (int i = 0; i < probe->args.sets && len < sizeof(now); i++)
		len += snprintf(now + len, sizeof(now) - len, "%s%s", i ? " " : "",
				strchr(probe->args.set[i], '.') + 1);
	/* The same ones for another build of the object. */
	if (strcmp(loaded.meta.options, now))
		inform("%s: options '%s' become '%s'", probe->target.probe, loaded.meta.options,
		       now);
	probe__close(&loaded);
}

static int apply_one(const struct config_probe *probe, bool reload)
{
	const char *pin_dir = probe->args.pin_dir, *name = probe->target.probe;
	struct mark wanted = wanted_mark(probe), loaded = {.filter = FNV_START}, first;
	struct change change = {.probe = probe};
	struct args args = probe->args;
	char path[PATH_MAX], mark[MARK_MAX];
	bool there, new_filter;
	int code = 0;

	there = !path__format(path, "%s/%s", pin_dir, name) && !access(path, F_OK);
	if (there)
		loaded = read_mark(pin_dir, name);
	new_filter = there && wanted.filter != loaded.filter;
	first = (struct mark){.options = wanted.options,
			      .filter = new_filter ? loaded.filter : wanted.filter};
	if (there && reload && loaded.is && loaded.options == wanted.options) {
		if (!new_filter)
			inform("unchanged: %s", name);
		/* Who was killed when this was done may not have removed what it replaced. */
		tree__clean(pin_dir, name);
		first = loaded;
	} else {
		if (there)
			say_options(probe, pin_dir, reload);
		/* What is in the filter stays there: only what is new is added, after the load. */
		if (there && !new_filter && !args.replace)
			args.filters = 0;
		print_mark(&first, mark);
		args.mark = mark;
		code = load__one(&args, &probe->target);
	}
	/* Marked with the old filter until it is the new one: who is killed here does it again. */
	if (!code && new_filter && !guard__signal())
		code = guard__run(replace_filter, &change, NULL);
	if (code < 0)
		code = fail(EXIT_INTERNAL, "killed: %s", strsignal(-code));
	if (!code && new_filter && !guard__signal())
		code = move_mark(pin_dir, name, &first, &wanted);
	return code;
}

/* --- what the configuration does not have any more ---------------------------------- */

static bool is_planned(const struct config_plan *plan, const char *name)
{
	for (int i = 0; i < plan->probes; i++)
		if (!strcmp(plan->probe[i].target.probe, name))
			return true;
	return false;
}

static int unload_rest(const struct config_plan *plan, const struct args *args)
{
	_cleanup_names_ char **names = NULL;
	int first = 0, code;

	if (pins__probes(args->pin_dir, &names) < 0)
		return fail(EXIT_MAP, "cannot read %s: %s", args->pin_dir, strerror(errno));
	for (char **name = names; name && *name && !guard__signal(); name++) {
		struct args one = {.pin_dir = args->pin_dir, .name = name, .names = 1};

		if (is_planned(plan, *name))
			continue;
		if (!read_mark(args->pin_dir, *name).is) {
			inform("left alone: %s, which the configuration did not load", *name);
			continue;
		}
		inform("%s is not in the configuration any more: it goes, with what it counted",
		       *name);
		code = cmd_unload(&one);
		first = first ? first : code;
	}
	return first;
}

int config_apply(const struct config_plan *plan, const struct args *args, bool reload)
{
	int first = 0, code;

	if (reload)
		first = unload_rest(plan, args);
	for (int i = 0; i < plan->probes && !guard__signal(); i++) {
		code = apply_one(&plan->probe[i], reload);
		first = first ? first : code;
	}
	if (!plan->probes)
		inform("the configuration in %s has no probe to load", plan->config.where);
	return first;
}
