// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "shared.h"

#include <bpf/bpf.h>
#include <errno.h>
#include <linux/magic.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "cleanup.h"
#include "mapview.h"
#include "path.h"
#include "tagged.h"
#include "tree.h"

#define LOCK_WAIT_US 10000000
#define LOCK_STEP_US 20000

/* The root of the mount that the nearest existing parent of @path is on. */
static int mount_root(const char *path, char *root)
{
	char parent[PATH_MAX];
	struct stat st, above;
	char *slash;
	int err = path__format(root, "%s", path);

	while (!err && stat(root, &st)) {
		slash = strrchr(root, '/');
		if (errno != ENOENT || !slash)
			return -errno;
		slash[slash == root] = '\0';
	}
	while (!err && strcmp(root, "/")) {
		slash = strrchr(root, '/');
		err = path__format(parent, "%.*s", slash == root ? 1 : (int)(slash - root), root);
		if (err || stat(parent, &above) || above.st_dev != st.st_dev)
			break;
		strcpy(root, parent);
	}
	return err;
}

static int find_dir(struct shared *shared, const struct args *args, struct failure *failure)
{
	struct statfs fs;
	int err;

	err = args->shared_dir ? path__format(shared->dir, "%s", args->shared_dir)
			       : mount_root(args->pin_dir, shared->dir);
	if (!err && statfs(shared->dir, &fs))
		err = -errno;
	if (!err && fs.f_type != BPF_FS_MAGIC)
		return failed(failure, EXIT_MAP,
			      "%s is not on bpffs: maps that tools share cannot be pinned there",
			      shared->dir);
	return err ? failed(failure, err == -EACCES ? EXIT_PERMISSION : EXIT_MAP,
			    "cannot use %s for maps that tools share: %s",
			    args->shared_dir ? args->shared_dir : shared->dir, failure__reason(err))
		   : 0;
}

static bool is_name(const char *name)
{
	return name[0] && strlen(name) < PIN_NAME_MAX && !strpbrk(name, "/.");
}

static int list_maps(struct shared *shared, const struct object *object, struct failure *failure)
{
	const struct bpf_map *map;

	bpf_object__for_each_map (map, object->obj) {
		__u32 var = tagged__variable(bpf_object__btf(object->obj), bpf_map__name(map));
		const struct tag *tag =
			var ? tagged__find(object->tagged, var, -1, "shared") : NULL;

		if (!tag || !bpf_map__autocreate(map))
			continue;
		if (tag->args != 1 || !is_name(tag->arg[0]) || shared->n == SHARED_MAX)
			return failed(failure, EXIT_LOAD, "%s: map %s: the tag '%s' is malformed",
				      object->target->path, bpf_map__name(map), tag->text);
		shared->map[shared->n].map = map;
		shared->map[shared->n++].name = tag->arg[0];
	}
	return 0;
}

/*
 * Two loads at once would both find nothing and both pin. In a directory that everybody may
 * open, anybody may hold a lock, so this waits for a time only: without it the pin decides.
 */
static void lock(struct shared *shared)
{
	for (int waited = 0; shared->lock < 0 && waited < LOCK_WAIT_US; waited += LOCK_STEP_US) {
		shared->lock = tree__lock(shared->dir, TREE_TRY);
		if (shared->lock != -EWOULDBLOCK)
			return;
		usleep(LOCK_STEP_US);
	}
}

static int differs(const char *path, const struct bpf_map *map, const struct bpf_map_info *info,
		   struct failure *failure)
{
	return failed(failure, EXIT_MAP,
		      "%s is another tool's and does not fit: %s with keys of %u and values of %u "
		      "bytes, %s with %u and %u is wanted: stop that tool and remove the pin, or "
		      "use --shared-dir",
		      path, mapview__type_name(info->type), info->key_size, info->value_size,
		      mapview__type_name(bpf_map__type(map)), bpf_map__key_size(map),
		      bpf_map__value_size(map));
}

/* Return: 0, also when there is none; an exit code. */
static int take_one(struct shared *shared, int i, struct failure *failure)
{
	struct bpf_map *map = (struct bpf_map *)shared->map[i].map;
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];
	struct stat st;
	int err;

	err = path__format(path, "%s/%s", shared->dir, shared->map[i].name);
	if (!err && lstat(path, &st))
		return errno == ENOENT ? 0
				       : failed(failure, EXIT_MAP, "cannot open %s: %s", path,
						strerror(errno));
	/* The root of bpffs may be a place where everybody makes files and links. */
	if (!err && (!S_ISREG(st.st_mode) || (st.st_uid && st.st_uid != geteuid())))
		return failed(failure, EXIT_PERMISSION,
			      "%s is no pin of root's: remove it, or use --shared-dir", path);
	fd = err ? err : bpf_obj_get(path);
	if (!err && fd < 0)
		err = -errno;
	/* A program or a link in its place has no such information. */
	if (!err && bpf_obj_get_info_by_fd(fd, &info, &len))
		err = -errno;
	if (!err && (info.type != bpf_map__type(map) || info.key_size != bpf_map__key_size(map) ||
		     info.value_size != bpf_map__value_size(map)))
		return differs(path, map, &info, failure);
	if (!err)
		err = bpf_map__reuse_fd(map, fd);
	if (err)
		return failed(failure, err == -EACCES || err == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
			      "cannot use %s: %s", path, failure__reason(err));
	shared->map[i].exists = true;
	return 0;
}

static int take_all(struct shared *shared, bool *missing, struct failure *failure)
{
	int code = 0;

	*missing = false;
	for (int i = 0; i < shared->n && !code; i++) {
		if (!shared->map[i].exists)
			code = take_one(shared, i, failure);
		*missing |= !shared->map[i].exists;
	}
	return code;
}

int shared__take(struct shared *shared, const struct args *args, const struct object *object,
		 struct failure *failure)
{
	bool missing;
	int code;

	*shared = (struct shared){.lock = -1};
	code = list_maps(shared, object, failure);
	if (code || !shared->n)
		return code;
	code = find_dir(shared, args, failure);
	if (!code)
		code = take_all(shared, &missing, failure);
	if (code || !missing)
		return code;
	lock(shared);
	return take_all(shared, &missing, failure);
}

bool shared__has(const struct shared *shared, const struct bpf_map *map)
{
	for (int i = 0; i < shared->n; i++)
		if (shared->map[i].map == map)
			return true;
	return false;
}

int shared__pin(struct shared *shared, struct failure *failure)
{
	char path[PATH_MAX];

	for (int i = 0; i < shared->n; i++) {
		int err;

		if (shared->map[i].exists)
			continue;
		err = path__format(path, "%s/%s", shared->dir, shared->map[i].name);
		if (!err && bpf_obj_pin(bpf_map__fd(shared->map[i].map), path))
			err = -errno;
		if (err == -EEXIST)
			return failed(failure, EXIT_MAP,
				      "another tool has just made %s: load again", path);
		if (err)
			return failed(failure,
				      err == -EACCES || err == -EPERM ? EXIT_PERMISSION : EXIT_MAP,
				      "cannot pin %s: %s", path, failure__reason(err));
		shared->map[i].pinned = true;
	}
	return 0;
}

void shared__end(struct shared *shared, bool success)
{
	char path[PATH_MAX];

	for (int i = 0; i < shared->n && !success; i++)
		if (shared->map[i].pinned &&
		    !path__format(path, "%s/%s", shared->dir, shared->map[i].name))
			unlink(path);
	if (shared->lock >= 0)
		close(shared->lock);
	shared->lock = -1;
	shared->n = 0;
}
