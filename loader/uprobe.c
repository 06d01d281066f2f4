// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "hook.h"
#include "object.h"
#include "path.h"
#include "pins.h"
#include "tagged.h"
#include "tree.h"
#include "uprobe_file.h"
#include "uprobe_link.h"
#include "uprobe_targets.h"

#define ANCHORS_MAX 128

/* --- what the object says --------------------------------------------------------- */

const char *uprobe__functions(const struct object *object, const struct bpf_program *prog)
{
	int id = btf__find_by_name_kind(bpf_object__btf(object->obj), bpf_program__name(prog),
					BTF_KIND_FUNC);
	const struct tag *tag = id > 0 ? tagged__find(object->tagged, id, -1, "functions") : NULL;

	return tag && tag->args == 1 ? tag->arg[0] : "";
}

void uprobe__prepare(const struct object *object)
{
	char section[OTEL_SECTION_MAX];
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, object->obj) {
		object__hook(object, prog, section);
		if (hook__on_functions(section))
			uprobe_link__prepare(prog, section);
	}
}

bool uprobe__has_programs(const struct object *object)
{
	char section[OTEL_SECTION_MAX];
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, object->obj) {
		object__hook(object, prog, section);
		if (hook__on_functions(section))
			return true;
	}
	return false;
}

bool uprobe__has_target(const struct object *object)
{
	return (object->target_pid && *object->target_pid) ||
	       (object->target_binary && object->target_binary[0]);
}

int uprobe__write_targets(const struct object *object)
{
	struct bpf_map *map = bpf_object__find_map_by_name(object->obj, "targets");
	struct otel_targets targets = {};
	__u32 zero = 0;

	if (!map || !uprobe__has_programs(object))
		return 0;
	if (bpf_map__value_size(map) != sizeof(targets))
		return -EINVAL;
	if (object->target_pid)
		targets.pid = *object->target_pid;
	if (object->target_binary)
		snprintf(targets.binary, sizeof(targets.binary), "%s", object->target_binary);
	if (object->target_prefixes)
		snprintf(targets.prefixes, sizeof(targets.prefixes), "%s", object->target_prefixes);
	return bpf_map_update_elem(bpf_map__fd(map), &zero, &targets, BPF_ANY) ? -errno : 0;
}

/* --- what is pinned says ---------------------------------------------------------- */

struct wanted {
	struct otel_targets targets;
	char anchors[ANCHORS_MAX];
};

static int read_targets(const char *dir, struct wanted *wanted)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	struct tagged *tagged = NULL;
	const struct tag *tag = NULL;
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];
	struct btf *btf;
	int err = path__format(path, "%s/map/targets", dir);

	*wanted = (struct wanted){};
	fd = err ? err : bpf_obj_get(path);
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	if (info.value_size != sizeof(wanted->targets))
		return -EINVAL;
	if (bpf_map_lookup_elem(fd, &zero, &wanted->targets))
		return -errno;
	btf = btf__load_from_kernel_by_id(info.btf_id);
	if (btf)
		tagged = tagged__new(btf);
	if (tagged)
		tag = tagged__find(tagged, tagged__variable(btf, "targets"), -1, "targets");
	if (tag && tag->args == 1)
		snprintf(wanted->anchors, sizeof(wanted->anchors), "%s", tag->arg[0]);
	tagged__free(tagged);
	btf__free(btf);
	return wanted->anchors[0] ? 0 : -ENODATA;
}

/* --- attaching --------------------------------------------------------------------- */

struct job {
	const char *dir;
	const struct attachable *list;
	int n;
	struct wanted wanted;
	int links, files;
	int err; /* the last one */
	char path[PATH_MAX];
};

static int pin(struct job *job, const struct attachable *prog, int link)
{
	int err = link < 0 ? link
			   : tree__pin(link, "%s/link/%s_u%d", job->dir, prog->name, job->links);

	if (link >= 0)
		close(link);
	job->links += !err;
	return err;
}

/* By one link where the kernel has such: each that goes costs a grace period. */
static int attach_functions(struct job *job, const struct attachable *prog, const char *path,
			    const struct uprobe_functions *functions)
{
	__u32 pid = job->wanted.targets.pid;
	int link, err = 0;

	if (!functions->n)
		return 0;
	link = uprobe_link__create_many(prog->fd, prog->section, path, functions->offset,
					functions->n, pid);
	if (link != -EOPNOTSUPP)
		return pin(job, prog, link);
	for (int i = 0; i < functions->n; i++) {
		int one = pin(job, prog,
			      uprobe_link__create(prog->fd, prog->section, path,
						  functions->offset[i], pid));

		err = one ? one : err;
	}
	return err;
}

static int attach_file(const char *path, void *ctx)
{
	struct job *job = ctx;
	struct uprobe_names names = {job->wanted.anchors, job->wanted.targets.prefixes};
	struct uprobe_file *file = uprobe_file__open(path);
	struct uprobe_functions found = {};
	int err;

	if (!file)
		return -errno;
	uprobe_file__find(file, &names, &found);
	/*
	 * The return first: an entry whose return is not seen would wait for it in vain, and a
	 * return without its entry is nothing.
	 */
	for (int on_return = 1; found.n && on_return >= 0; on_return--)
		for (int i = 0; i < job->n; i++) {
			struct uprobe_functions functions;
			const struct attachable *prog = &job->list[i];

			if (!hook__on_functions(prog->section) ||
			    on_return != !strncmp(prog->section, "uret", 4))
				continue;
			names.list = strchr(prog->section, '/') + 1;
			uprobe_file__find(file, &names, &functions);
			err = attach_functions(job, prog, path, &functions);
			job->err = err ? err : job->err;
		}
	job->files += found.n > 0;
	uprobe_file__close(file);
	return 0;
}

int uprobe__attach(const char *dir, const struct attachable *list, int n, struct failure *failure)
{
	struct job job = {.dir = dir, .list = list, .n = n};
	struct uprobe_targets targets = {.found = attach_file, .ctx = &job};
	const char *binary = job.wanted.targets.binary;
	bool any = false;
	int err;

	for (int i = 0; i < n; i++)
		any |= hook__on_functions(list[i].section);
	if (!any)
		return 0;
	err = read_targets(dir, &job.wanted);
	if (err)
		return failed(failure, EXIT_MAP, "cannot read %s/map/targets: %s", dir,
			      failure__reason(err));
	if (job.wanted.targets.pid) {
		err = uprobe_targets__of_process(&targets, job.wanted.targets.pid, &job.err);
		if (err)
			return failed(failure, EXIT_ATTACH, "there is no process %u to trace: %s",
				      job.wanted.targets.pid, failure__reason(err));
	}
	if (binary[0]) {
		err = uprobe_targets__of_pattern(&targets, binary);
		if (err)
			job.err = err;
	}
	uprobe_targets__free(&targets);
	if (job.links && !job.err)
		return 0;
	if (job.files && job.err)
		return failed(failure,
			      job.err == -EACCES || job.err == -EPERM ? EXIT_PERMISSION
								      : EXIT_ATTACH,
			      "cannot attach to functions: %s", failure__reason(job.err));
	if (binary[0] && job.err)
		return failed(failure, EXIT_ATTACH, "cannot read %s: %s", binary,
			      failure__reason(job.err));
	if (binary[0])
		return failed(failure, EXIT_ATTACH, "%s defines none of %s", binary,
			      job.wanted.anchors);
	return failed(failure, EXIT_ATTACH, "no file that process %u has mapped defines any of %s",
		      job.wanted.targets.pid, job.wanted.anchors);
}

int uprobe__count(const char *dir, const char *prog)
{
	_cleanup_names_ char **names = NULL;
	size_t len = strlen(prog);
	char path[PATH_MAX];
	int n = 0;

	if (path__format(path, "%s/link", dir) || pins__list(path, &names) < 0)
		return 0;
	for (char **name = names; name && *name; name++)
		n += !strncmp(*name, prog, len) && !strncmp(*name + len, "_u", 2);
	return n;
}
