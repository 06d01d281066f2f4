// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"
#include "hook.h"
#include "map_types.h"
#include "object.h"
#include "path.h"
#include "pins.h"
#include "tagged.h"
#include "tree.h"
#include "uprobe_cost.h"
#include "uprobe_file.h"
#include "uprobe_kind.h"
#include "uprobe_link.h"
#include "uprobe_targets.h"
#include "uprobe_told.h"
#include "uprobe_usdt.h"

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
	       (object->target_binary && object->target_binary[0]) ||
	       (object->target_cgroup && object->target_cgroup[0]);
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
	if (object->target_cgroup)
		snprintf(targets.cgroup, sizeof(targets.cgroup), "%s", object->target_cgroup);
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
	btf = map_types__load(path, info.btf_id);
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

/* A descriptor, or -errno: most probes have none. */
static int open_guard(const char *dir, struct otel_guard *guard)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info), zero = 0;
	char path[PATH_MAX];
	int err = path__format(path, "%s/map/guard", dir);
	int fd = err ? err : bpf_obj_get(path);

	if (fd < 0)
		return fd;
	if (!bpf_obj_get_info_by_fd(fd, &info, &len) && info.value_size == sizeof(*guard) &&
	    info.type == BPF_MAP_TYPE_ARRAY && !bpf_map_lookup_elem(fd, &zero, guard))
		return fd;
	close(fd);
	return -EINVAL;
}

bool uprobe__guard(const char *dir, struct otel_guard *guard)
{
	_cleanup_fd_ int fd = open_guard(dir, guard);

	return fd >= 0;
}

/* --- attaching --------------------------------------------------------------------- */

struct job {
	const char *dir;
	const struct attachable *list;
	int n;
	struct wanted wanted;
	int links, files;
	int err; /* the last one */
	struct otel_guard *guard;
	__u64 trap_ns[2]; /* as measured, of what is emulated and what is stepped; 0: not needed */
	struct stat file;
	char **covered;				      /* names of the links that are there */
	void (*missing)(const char *path, void *ctx); /* tell, do not attach */
	void (*unknown)(const char *path, void *ctx);
	void *ctx;
};

static bool is_usdt(const char *section)
{
	return !strncmp(section, "usdt/", 5);
}

/* What names of links say of a file: which one it is, whatever name it has. */
#define FILE_NAME 40
static const char *file_name(const struct stat *file, char name[FILE_NAME])
{
	snprintf(name, FILE_NAME, "_u%llx-%llx", (unsigned long long)file->st_dev,
		 (unsigned long long)file->st_ino);
	return name;
}

static bool is_covered(const struct job *job)
{
	char name[FILE_NAME];
	size_t len = strlen(file_name(&job->file, name));

	for (char **link = job->covered; link && *link; link++) {
		const char *at = strstr(*link, name);

		if (at && (!at[len] || at[len] == '-'))
			return true;
	}
	return false;
}

static int pin(struct job *job, const struct attachable *prog, int nth, int link)
{
	char name[FILE_NAME];
	int err = link;

	file_name(&job->file, name);
	if (link >= 0 && nth < 0)
		err = tree__pin(link, TREE_ROOTS, "%s/link/%s%s", job->dir, prog->name, name);
	else if (link >= 0)
		err = tree__pin(link, TREE_ROOTS, "%s/link/%s%s-%d", job->dir, prog->name, name,
				nth);

	if (link >= 0)
		close(link);
	job->links += !err;
	return err;
}

/* By one link where the kernel has such: each that goes costs a grace period. */
static int attach_places(struct job *job, const struct attachable *prog, const char *path,
			 const struct uprobe_places *places)
{
	__u32 pid = job->wanted.targets.pid;
	int link, err = 0;

	if (!places->n)
		return 0;
	link = uprobe_link__create_many(prog->fd, prog->section, path, places, pid);
	if (link != -EOPNOTSUPP)
		return pin(job, prog, -1, link);
	for (int i = 0; i < places->n; i++) {
		int one = pin(job, prog, i,
			      uprobe_link__create(prog->fd, prog->section, path, places, i, pid));

		err = one ? one : err;
	}
	return err;
}

/*
 * The return first: an entry whose return is not seen would wait for it in vain, and a return
 * without its entry is nothing.
 */
static void attach_functions(struct job *job, struct uprobe_file *file, const char *path)
{
	for (int on_return = 1; on_return >= 0; on_return--)
		for (int i = 0; i < job->n; i++) {
			const struct attachable *prog = &job->list[i];
			struct uprobe_names names = {strchr(prog->section, '/') + 1,
						     job->wanted.targets.prefixes};
			struct uprobe_functions found;
			int err;

			if (!hook__on_functions(prog->section) || is_usdt(prog->section) ||
			    on_return != !strncmp(prog->section, "uret", 4))
				continue;
			uprobe_file__find(file, &names, &found);
			err = attach_places(job, prog, path,
					    &(struct uprobe_places){found.n, found.offset, NULL,
								    NULL});
			job->err = err ? err : job->err;
		}
}

/*
 * For a guard: what the functions that a file is found by cost; of USDT probes, which stand on
 * nothing, an instruction that is emulated. Once for each kind; the guard has the largest.
 */
static void measure_trap(struct job *job, struct uprobe_file *file,
			 const struct uprobe_names *names)
{
	struct uprobe_functions found;
	bool stepped = false;

	uprobe_file__find(file, names, &found);
	for (int i = 0; i < found.n && !stepped; i++)
		stepped = uprobe_file__is_stepped(file, found.offset[i]);
	for (int i = 0; i < job->n && !job->trap_ns[stepped]; i++)
		if (hook__on_functions(job->list[i].section) &&
		    strncmp(job->list[i].section, "uret", 4))
			job->trap_ns[stepped] = uprobe_cost__measure(job->list[i].section, stepped);
	if (!job->trap_ns[stepped])
		warn("what a trap costs cannot be measured here: the guard does not count them");
	if (job->trap_ns[stepped] > job->guard->trap_ns)
		job->guard->trap_ns = job->trap_ns[stepped];
}

static int attach_sites(struct job *job, struct uprobe_file *file, const char *path,
			const struct attachable *prog)
{
	struct uprobe_sites sites = {};
	int err = uprobe_usdt__find(file, strchr(prog->section, '/') + 1, &sites);
	_cleanup_free_ __u64 *cookies = err ? NULL : calloc(sites.n + 1, sizeof(*cookies));

	if (!err && !cookies)
		err = -ENOMEM;
	for (int i = 0; i < sites.n && !err; i++)
		err = uprobe_told__site(job->dir, &sites.site[i], &cookies[i]);
	if (!err)
		err = attach_places(job, prog, path,
				    &(struct uprobe_places){sites.n, sites.offset, sites.counter,
							    cookies});
	uprobe_usdt__free(&sites);
	return err;
}

static int kind_of(const char *path, void *ctx)
{
	struct job *job = ctx;
	struct uprobe_names names = {job->wanted.anchors, job->wanted.targets.prefixes};
	struct stat file;
	int kind = stat(path, &file) ? -errno : uprobe_kind__of(path, &file, &names);

	if (kind == UPROBE_USDT && !job->missing) {
		int err = uprobe_told__carrier(job->dir, &file);

		job->err = err ? err : job->err;
	}
	return kind;
}

static int attach_file(const char *path, void *ctx)
{
	struct job *job = ctx;
	struct uprobe_names names = {job->wanted.anchors, job->wanted.targets.prefixes};
	struct uprobe_file *file;
	int err, kind;

	if (stat(path, &job->file))
		return -errno;
	if (is_covered(job))
		return 0;
	kind = uprobe_kind__of(path, &job->file, &names);
	if (kind <= UPROBE_NOTHING)
		return kind;
	if (job->missing) {
		job->missing(path, job->ctx);
		return 0;
	}
	file = uprobe_file__open(path);
	if (!file)
		return errno ? -errno : -EIO;
	if (job->guard)
		measure_trap(job, file, &names);
	if (kind == UPROBE_FUNCTIONS)
		attach_functions(job, file, path);
	for (int i = 0; i < job->n && kind == UPROBE_USDT; i++) {
		if (!is_usdt(job->list[i].section))
			continue;
		err = attach_sites(job, file, path, &job->list[i]);
		job->err = err ? err : job->err;
	}
	job->files++;
	uprobe_file__close(file);
	return 0;
}

/* The guard of a probe, to be written while programs add to it; NULL: it has none. */
static struct otel_guard *map_guard(const char *dir)
{
	struct otel_guard *guard, now;
	_cleanup_fd_ int fd = open_guard(dir, &now);

	if (fd < 0)
		return NULL;
	guard = mmap(NULL, sizeof(*guard), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	return guard == MAP_FAILED ? NULL : guard;
}

static void unmap_guard(struct otel_guard **guard)
{
	if (*guard)
		munmap(*guard, sizeof(**guard));
}
#define _cleanup_guard_ __attribute__((cleanup(unmap_guard)))

int uprobe__attach(const char *dir, const struct attachable *list, int n, struct failure *failure)
{
	struct job job = {.dir = dir, .list = list, .n = n};
	struct uprobe_targets targets = {.kind = kind_of, .found = attach_file, .ctx = &job};
	const char *binary = job.wanted.targets.binary, *cgroup = job.wanted.targets.cgroup;
	_cleanup_guard_ struct otel_guard *guard = NULL;
	bool any = false;
	int err;

	for (int i = 0; i < n; i++)
		any |= hook__on_functions(list[i].section);
	if (!any)
		return 0;
	job.guard = guard = map_guard(dir);
	/* One that has stopped gets another chance, and may trap on other code. */
	if (guard)
		guard->stopped = guard->sample_bytes = guard->trap_ns = 0;
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
	if (cgroup[0]) {
		err = uprobe_targets__of_cgroup(&targets, cgroup, &job.err);
		if (err)
			return failed(failure, EXIT_ATTACH, "there is no cgroup %s to trace: %s",
				      cgroup, failure__reason(err));
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
	/* It may be empty yet. */
	if (cgroup[0] && !job.err) {
		inform("no process in cgroup %s has a file that defines any of %s: otelbpf watch "
		       "attaches when there is one",
		       cgroup, job.wanted.anchors);
		return 0;
	}
	if (binary[0])
		return failed(failure, EXIT_ATTACH, "%s defines none of %s", binary,
			      job.wanted.anchors);
	return failed(failure, EXIT_ATTACH, "no file that process %u has mapped defines any of %s",
		      job.wanted.targets.pid, job.wanted.anchors);
}

/* --- what comes later --------------------------------------------------------------- */

static void tell_unknown(const char *path, void *ctx)
{
	struct job *job = ctx;

	if (job->unknown)
		job->unknown(path, job->ctx);
}

static int look_through(struct job *job, char ***names)
{
	struct uprobe_targets targets = {
		.kind = kind_of, .found = attach_file, .none = tell_unknown, .ctx = job};
	char path[PATH_MAX];
	int err = read_targets(job->dir, &job->wanted), ignored;

	if (!err)
		err = path__format(path, "%s/link", job->dir);
	if (!err)
		err = pins__list(path, names);
	if (err < 0)
		return err;
	job->covered = *names;
	if (job->wanted.targets.pid)
		uprobe_targets__of_process(&targets, job->wanted.targets.pid, &ignored);
	if (job->wanted.targets.cgroup[0])
		uprobe_targets__of_cgroup(&targets, job->wanted.targets.cgroup, &ignored);
	if (job->wanted.targets.binary[0])
		uprobe_targets__of_pattern(&targets, job->wanted.targets.binary);
	uprobe_targets__free(&targets);
	return 0;
}

void uprobe__follow(const char *probe, const char *dir, const struct attachable *list, int n)
{
	_cleanup_names_ char **names = NULL;
	_cleanup_guard_ struct otel_guard *guard = map_guard(dir);
	struct job job = {.dir = dir, .list = list, .n = n, .guard = guard};
	int err = look_through(&job, &names);

	if (job.links)
		inform("%s: attached to %d more file%s", probe, job.files,
		       job.files == 1 ? "" : "s");
	if (err || job.err)
		warn("%s: cannot attach to functions: %s", probe,
		     failure__reason(err ? err : job.err));
}

void uprobe__missing(const char *dir, void (*missing)(const char *path, void *ctx),
		     void (*unknown)(const char *path, void *ctx), void *ctx)
{
	_cleanup_names_ char **names = NULL;
	struct job job = {.dir = dir, .missing = missing, .unknown = unknown, .ctx = ctx};

	look_through(&job, &names);
}

int uprobe__files(const char *dir, const char *prog)
{
	_cleanup_names_ char **names = NULL;
	size_t len = strlen(prog);
	char path[PATH_MAX];
	int n = 0;

	if (path__format(path, "%s/link", dir) || pins__list(path, &names) < 0)
		return 0;
	for (char **name = names; name && *name; name++)
		if (!strncmp(*name, prog, len) && !strncmp(*name + len, "_u", 2)) {
			/* DEVICE-INODE, and of several links "-0" is the first. */
			const char *nth = strchr(*name + len, '-');

			nth = nth ? strchr(nth + 1, '-') : NULL;
			n += !nth || !strcmp(nth, "-0");
		}
	return n;
}
