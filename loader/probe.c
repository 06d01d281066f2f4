// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "probe.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "current.h"
#include "filter.h"
#include "filter_processes.h"
#include "links.h"
#include "path.h"
#include "pins.h"
#include "tree.h"

static int open_map(const struct probe *probe, const char *name, __u32 value_size,
		    struct bpf_map_info *info)
{
	char path[PATH_MAX];
	__u32 len = sizeof(*info);
	int fd, err = path__format(path, "%s/map/%s", probe->dir, name);

	if (err)
		return err;
	fd = bpf_obj_get(path);
	if (fd < 0)
		return -errno;
	memset(info, 0, sizeof(*info));
	err = bpf_obj_get_info_by_fd(fd, info, &len) ? -errno : 0;
	if (!err && (info->type != BPF_MAP_TYPE_ARRAY || info->value_size != value_size))
		err = -EPROTO;
	if (err) {
		close(fd);
		return err;
	}
	return fd;
}

static int read_entries(struct probe *probe)
{
	_cleanup_fd_ int meta = -1, programs = -1;
	struct bpf_map_info info;
	__u32 zero = 0;

	meta = open_map(probe, "meta", sizeof(probe->meta), &info);
	if (meta < 0)
		return meta;
	if (bpf_map_lookup_elem(meta, &zero, &probe->meta))
		return -errno;
	if (probe->meta.abi != OTEL_ABI_VERSION)
		return -EPROTO;
	programs = open_map(probe, "programs", sizeof(probe->program[0]), &info);
	if (programs < 0)
		return programs;
	for (__u32 i = 0; i < info.max_entries && i < OTEL_PROGRAMS_MAX; i++) {
		struct otel_program *program = &probe->program[i];

		if (bpf_map_lookup_elem(programs, &i, program))
			return -errno;
		program->name[sizeof(program->name) - 1] = '\0';
		program->section[sizeof(program->section) - 1] = '\0';
		if (program->name[0])
			probe->programs = i + 1;
	}
	return 0;
}

static int open_failed(const struct probe *probe, const char *name, int err,
		       struct failure *failure)
{
	switch (-err) {
	case ENOENT:
		if (access(probe->dir, F_OK))
			return failed(failure, EXIT_MAP, "probe '%s' is not loaded", name);
		return failed(failure, EXIT_MAP, "%s is not a complete probe: otelbpf unload %s",
			      probe->dir, name);
	case EPROTO:
		return failed(failure, EXIT_MAP,
			      "probe '%s' was loaded by another ABI of otelbpf: otelbpf unload %s, "
			      "then load it again",
			      name, name);
	case EPERM:
	case EACCES:
		return failed(failure, EXIT_PERMISSION,
			      "cannot open probe '%s': %s: run it as root", name,
			      failure__reason(err));
	default:
		return failed(failure, EXIT_MAP, "cannot open probe '%s': %s", name,
			      failure__reason(err));
	}
}

int probe__open(struct probe *probe, const char *pin_dir, const char *name, struct failure *failure)
{
	int err;

	memset(probe, 0, sizeof(*probe));
	probe->lock = -1;
	if (!pins__is_probe(name))
		return failed(failure, EXIT_USAGE, "'%s' is not the name of a probe", name);
	strcpy(probe->name, name);
	err = path__format(probe->dir, "%s/%s", pin_dir, name);
	if (!err)
		err = read_entries(probe);
	return err ? open_failed(probe, name, err, failure) : 0;
}

int probe__open_locked(struct probe *probe, const char *pin_dir, const char *name,
		       struct failure *failure)
{
	char dir[PATH_MAX];
	int lock = -ENOENT, code;

	if (pins__is_probe(name) && !path__format(dir, "%s/%s", pin_dir, name))
		lock = tree__lock(dir, TREE_WAIT);
	/* Without the directory there is no lock, and opening says so. */
	code = probe__open(probe, pin_dir, name, failure);
	probe->lock = lock;
	if (!code && lock < 0)
		code = open_failed(probe, name, lock, failure);
	return code;
}

void probe__close(struct probe *probe)
{
	if (probe->lock >= 0)
		close(probe->lock);
	probe->lock = -1;
}

int probe__set_state(struct probe *probe, enum otel_state state)
{
	struct bpf_map_info info;
	_cleanup_fd_ int fd = open_map(probe, "meta", sizeof(probe->meta), &info);
	__u32 zero = 0;

	if (fd < 0)
		return fd;
	probe->meta.state = state;
	return bpf_map_update_elem(fd, &zero, &probe->meta, BPF_ANY) ? -errno : 0;
}

int probe__next_epoch(const char *dir)
{
	struct filter filter;
	int err = filter__open(&filter, dir);

	if (!err)
		__atomic_add_fetch(&filter.vars->epoch, 1, __ATOMIC_SEQ_CST);
	filter__close(&filter);
	return err == -ENOENT ? 0 : err;
}

/* The programs were away: forks and exits have not been followed. */
static void catch_up(const struct probe *probe)
{
	struct filter filter;

	if (!filter__open(&filter, probe->dir))
		filter_processes__catch_up(&filter);
	filter__close(&filter);
}

int probe__programs(const struct probe *probe, struct attachable *list, int *n,
		    struct failure *failure)
{
	char path[PATH_MAX];

	*n = 0;
	for (int i = 0; i < probe->programs; i++) {
		const struct otel_program *program = &probe->program[i];

		if (!program->section[0])
			continue;
		list[*n] = (struct attachable){program->name, program->section, -1};
		if (!path__format(path, "%s/prog/%s", probe->dir, program->name))
			list[*n].fd = bpf_obj_get(path);
		if (list[*n].fd < 0)
			return failed(failure, EXIT_MAP, "cannot open the pinned program %s: %s",
				      program->name, strerror(errno));
		(*n)++;
	}
	return 0;
}

void probe__close_programs(const struct attachable *list, int n)
{
	for (int i = 0; i < n; i++)
		close(list[i].fd);
}

int probe__attach(struct probe *probe, struct failure *failure)
{
	struct attachable list[OTEL_PROGRAMS_MAX];
	struct current current;
	int n, code = probe__programs(probe, list, &n, failure), err;

	err = code ? 0 : probe__next_epoch(probe->dir);
	if (err)
		code = failed(failure, err == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
			      "cannot write the filter of probe '%s': %s%s", probe->name,
			      failure__reason(err),
			      err == -EPERM ? ": CAP_SYS_ADMIN is needed to find it" : "");
	if (!code) {
		current__find(&current, probe->dir);
		current__clear(&current);
		current__close(&current);
	}
	if (!code)
		code = links__attach(probe->dir, list, n, failure);
	if (!code)
		catch_up(probe);
	probe__close_programs(list, n);
	return code;
}

int probe__names(const struct args *args, char ***names)
{
	int n = args->names;

	*names = NULL;
	if (!n) {
		n = pins__probes(args->pin_dir, names);
		if (n < 0)
			return fail(n == -EACCES ? EXIT_PERMISSION : EXIT_MAP, "cannot read %s: %s",
				    args->pin_dir, strerror(-n));
		return 0;
	}
	*names = calloc(n + 1, sizeof(**names));
	for (int i = 0; *names && i < n; i++) {
		(*names)[i] = strdup(args->name[i]);
		if (!(*names)[i])
			return fail(EXIT_INTERNAL, "no memory");
	}
	return *names ? 0 : fail(EXIT_INTERNAL, "no memory");
}
