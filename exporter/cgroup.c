// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "cgroup.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <mntent.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define ID_LEN 64
#define UUID_LEN 36

static size_t hex_run(const char *at)
{
	size_t n = 0;

	while (isxdigit((unsigned char)at[n]))
		n++;
	return n;
}

/*
 * "docker-ID.scope", "cri-containerd-ID.scope", "crio-ID.scope", "libpod-ID.scope",
 * "libpod-ID", "ID". CRI-O's and Podman's "conmon" scopes hold the monitor, not the
 * container.
 */
static bool find_container(const char *name, size_t len, char id[ID_LEN + 1])
{
	const char *at;

	if (len > 6 && !strncmp(name + len - 6, ".scope", 6))
		len -= 6;
	if (len < ID_LEN || memmem(name, len, "conmon", 6))
		return false;
	at = name + len - ID_LEN;
	if (hex_run(at) < ID_LEN || (at > name && at[-1] != '-' && at[-1] != ':'))
		return false;
	memcpy(id, at, ID_LEN);
	id[ID_LEN] = '\0';
	return true;
}

/* "pod8-4-4-4-12", or "kubepods-besteffort-pod8_4_4_4_12.slice" from the systemd driver. */
static bool find_pod(const char *name, size_t len, char uid[UUID_LEN + 1])
{
	static const char shape[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	const char *colon = memchr(name, ':', len), *at;

	if (colon)
		len = colon - name; /* "POD.slice:cri-containerd:ID" */
	if (len > 6 && !strncmp(name + len - 6, ".slice", 6))
		len -= 6;
	if (len < UUID_LEN + 3)
		return false;
	at = name + len - UUID_LEN;
	if (strncmp(at - 3, "pod", 3))
		return false;
	for (int i = 0; i < UUID_LEN; i++) {
		bool dash = at[i] == '-' || at[i] == '_';

		if (shape[i] == '-' ? !dash : !isxdigit((unsigned char)at[i])) {
			uid[0] = '\0';
			return false;
		}
		uid[i] = dash ? '-' : at[i];
	}
	uid[UUID_LEN] = '\0';
	return true;
}

static bool find_unit(const char *name, size_t len, char *unit, size_t room)
{
	static const char *const kinds[] = {".service", ".scope", ".socket", ".mount", ".swap"};

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		size_t end = strlen(kinds[i]);

		if (len > end && len < room && !strncmp(name + len - end, kinds[i], end)) {
			memcpy(unit, name, len);
			unit[len] = '\0';
			return true;
		}
	}
	return false;
}

void cgroup__identify(const char *path, struct cgroup_identity *identity)
{
	const char *end = path + strlen(path);

	*identity = (struct cgroup_identity){0};
	/* From the leaf: what runs inside a container may have cgroups of its own. */
	while (end > path) {
		const char *name = memrchr(path, '/', end - path);
		size_t len;

		name = name ? name + 1 : path;
		len = end - name;
		if (!identity->container_id[0])
			find_container(name, len, identity->container_id);
		if (!identity->pod_uid[0])
			find_pod(name, len, identity->pod_uid);
		if (!identity->unit[0] && !identity->container_id[0])
			find_unit(name, len, identity->unit, sizeof(identity->unit));
		end = name > path ? name - 1 : path;
	}
	if (identity->container_id[0])
		identity->unit[0] = '\0';
}

int cgroup__mount(const char *mounts, char path[PATH_MAX])
{
	FILE *file = setmntent(mounts, "re");
	struct mntent *entry;
	int err = -ENOENT;

	if (!file)
		return -errno;
	while (err && (entry = getmntent(file))) {
		if (strcmp(entry->mnt_type, "cgroup2"))
			continue;
		snprintf(path, PATH_MAX, "%s", entry->mnt_dir);
		err = 0;
	}
	endmntent(file);
	return err;
}

struct walk {
	char path[PATH_MAX];
	size_t root; /* length of the mount point */
	int (*visit)(__u64 id, const char *path, void *ctx);
	void *ctx;
};

static int walk_below(struct walk *walk)
{
	size_t len = strlen(walk->path);
	struct dirent *entry;
	int err = 0;
	DIR *dir;

	dir = opendir(walk->path);
	if (!dir)
		return errno == ENOENT ? 0 : -errno; /* gone meanwhile */
	while (!err && (entry = readdir(dir))) {
		/* d_ino of a kernfs directory is the cgroup's id. */
		if (entry->d_type != DT_DIR || !strcmp(entry->d_name, ".") ||
		    !strcmp(entry->d_name, ".."))
			continue;
		if (len + strlen(entry->d_name) + 2 > sizeof(walk->path))
			continue;
		walk->path[len] = '/';
		strcpy(walk->path + len + 1, entry->d_name);
		err = walk->visit(entry->d_ino, walk->path + walk->root, walk->ctx);
		if (!err)
			err = walk_below(walk);
		walk->path[len] = '\0';
	}
	closedir(dir);
	return err;
}

int cgroup__walk(const char *mount, int (*visit)(__u64 id, const char *path, void *ctx), void *ctx)
{
	struct walk walk = {.root = strlen(mount), .visit = visit, .ctx = ctx};
	struct stat st;
	int err;

	if (stat(mount, &st))
		return -errno;
	snprintf(walk.path, sizeof(walk.path), "%s", mount);
	err = visit(st.st_ino, "/", ctx);
	return err ? err : walk_below(&walk);
}
