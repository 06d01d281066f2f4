// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "resource.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <otelbpf/meta.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "cgroup.h"
#include "fail.h"
#include "otlp/attr.h"
#include "otlp/fields.h"
#include "otlp/utf8.h"
#include "percent.h"

#define CGROUP2_ROOT_ID 1 /* the id of the true root: no cgroup namespace hides others from us */

struct resource {
	__u64 cgroup; /* 0: the host, or a slot that is free */
	char *path;   /* within the mount; NULL: not found there */
	bool gone;
	bool used; /* asked for since the last refresh */
	struct pb encoded;
};

struct place {
	__u64 cgroup;
	char *path;
};

struct resources {
	struct resource *list;
	int n;
	int *index; /* hash of the cgroup id -> place in list, open addressing; 0: free */
	__u32 mask;
	struct pb host;	      /* the host's attributes, as fields of a Resource */
	char mount[PATH_MAX]; /* "" when there is no cgroup v2 */
	bool whole;	      /* the mount shows every cgroup of the host */
	struct place *places; /* one walk's result, by id; until the next refresh */
	size_t n_places;
	bool walked;
};

/* --- the host ------------------------------------------------------------- */

static char *trim(char *text)
{
	char *end;

	while (isspace((unsigned char)*text))
		text++;
	end = text + strlen(text);
	while (end > text && isspace((unsigned char)end[-1]))
		*--end = '\0';
	return text;
}

int resource__parse_attributes(char *text, struct resource_setting *out, int max)
{
	char *save, *pair;
	int n = 0;

	for (pair = strtok_r(text, ",", &save); pair; pair = strtok_r(NULL, ",", &save)) {
		char *equals = strchr(pair, '='), *key, *value;

		if (!equals || n == max)
			return -1;
		*equals = '\0';
		key = trim(pair);
		value = trim(equals + 1);
		out[n].key = percent__decode(key, strlen(key));
		out[n].value = percent__decode(value, strlen(value));
		n++;
		if (!key[0] || !out[n - 1].key || !out[n - 1].value ||
		    !utf8__is_text(out[n - 1].key))
			return -1;
	}
	return n;
}

void resource__free_attributes(struct resource_setting *settings, int n)
{
	for (int i = 0; i < n; i++) {
		free(settings[i].key);
		free(settings[i].value);
	}
}

static void read_line(const char *path, char *line, int size)
{
	FILE *file = fopen(path, "re");

	line[0] = '\0';
	if (!file)
		return;
	if (!fgets(line, size, file))
		line[0] = '\0';
	line[strcspn(line, "\n")] = '\0';
	fclose(file);
}

#define SETTINGS_MAX 128

static void set(struct resource_setting *settings, int *n, const char *key, char *value)
{
	for (int i = 0; i < *n; i++)
		if (!strcmp(settings[i].key, key)) {
			settings[i].value = value;
			return;
		}
	if (*n < SETTINGS_MAX)
		settings[(*n)++] = (struct resource_setting){(char *)key, value};
}

/* What is detected, then OTEL_RESOURCE_ATTRIBUTES, then OTEL_SERVICE_NAME: the later wins. */
static int encode_host(struct pb *pb, const char *attributes, const char *service_name)
{
	struct resource_setting settings[SETTINGS_MAX] = {0}, given[SETTINGS_MAX - 8] = {0};
	char name[HOST_NAME_MAX + 1] = "", id[64];
	char *text = attributes ? strdup(attributes) : NULL;
	struct utsname uts;
	int n = 0, n_given;

	gethostname(name, sizeof(name) - 1);
	read_line("/etc/machine-id", id, sizeof(id));
	uname(&uts);
	if (name[0])
		set(settings, &n, "host.name", name);
	if (id[0])
		set(settings, &n, "host.id", id);
	set(settings, &n, "host.arch",
	    !strcmp(uts.machine, "x86_64")    ? (char *)"amd64"
	    : !strcmp(uts.machine, "aarch64") ? (char *)"arm64"
					      : uts.machine);
	set(settings, &n, "os.type", (char *)"linux");
	if (text) {
		n_given = resource__parse_attributes(text, given, SETTINGS_MAX - 8);
		if (n_given < 0)
			warn("OTEL_RESOURCE_ATTRIBUTES is ignored: key=value,key=value is "
			     "expected, "
			     "with %%XX for what is not plain text");
		for (int i = 0; i < n_given; i++)
			set(settings, &n, given[i].key, given[i].value);
	}
	if (service_name && service_name[0])
		set(settings, &n, "service.name", (char *)service_name);
	for (int i = 0; i < n; i++)
		attr__string(pb, RESOURCE_ATTRIBUTES, settings[i].key, settings[i].value,
			     strlen(settings[i].value));
	resource__free_attributes(given, SETTINGS_MAX - 8);
	free(text);
	return pb->failed ? -ENOMEM : 0;
}

/* --- cgroups -------------------------------------------------------------- */

static __u32 slot_of(const struct resources *resources, __u64 id)
{
	__u32 slot = (id * 0x9e3779b97f4a7c15ULL) >> 32 & resources->mask; /* Knuth, 6.4 */

	while (resources->index[slot] && resources->list[resources->index[slot]].cgroup != id)
		slot = (slot + 1) & resources->mask;
	return slot;
}

/* Also forgets what left the list. */
static int reindex(struct resources *resources)
{
	__u32 room = 64;
	int *index;

	while (room < 4 * (__u32)resources->n)
		room *= 2;
	index = calloc(room, sizeof(*index));
	if (!index)
		return -ENOMEM;
	free(resources->index);
	resources->index = index;
	resources->mask = room - 1;
	for (int i = 1; i < resources->n; i++)
		if (resources->list[i].cgroup)
			index[slot_of(resources, resources->list[i].cgroup)] = i;
	return 0;
}

static int add(struct resources *resources)
{
	struct resource *more;

	for (int i = 1; i < resources->n; i++)
		if (!resources->list[i].cgroup)
			return i;
	more = reallocarray(resources->list, resources->n + 1, sizeof(*more));
	if (!more)
		return -ENOMEM;
	resources->list = more;
	more[resources->n++] = (struct resource){0};
	if (2 * (__u32)resources->n > resources->mask && reindex(resources))
		return -ENOMEM;
	return resources->n - 1;
}

struct resources *resources__new(const char *attributes, const char *service_name)
{
	struct resources *resources = calloc(1, sizeof(*resources));
	struct stat st;

	if (!resources)
		return NULL;
	if (encode_host(&resources->host, attributes, service_name) || add(resources) < 0) {
		resources__free(resources);
		return NULL;
	}
	pb__raw(&resources->list[RESOURCE_HOST].encoded, resources->host.data, resources->host.len);
	if (cgroup__mount("/proc/self/mounts", resources->mount))
		resources->mount[0] = '\0';
	resources->whole =
		resources->mount[0] && !stat(resources->mount, &st) && st.st_ino == CGROUP2_ROOT_ID;
	return resources;
}

static void forget(struct resource *resource)
{
	free(resource->path);
	pb__free(&resource->encoded);
	*resource = (struct resource){0};
}

static void forget_places(struct resources *resources)
{
	for (size_t i = 0; i < resources->n_places; i++)
		free(resources->places[i].path);
	free(resources->places);
	resources->places = NULL;
	resources->n_places = 0;
	resources->walked = false;
}

void resources__free(struct resources *resources)
{
	if (!resources)
		return;
	for (int i = 0; i < resources->n; i++)
		forget(&resources->list[i]);
	free(resources->list);
	free(resources->index);
	forget_places(resources);
	pb__free(&resources->host);
	free(resources);
}

static int note_place(__u64 id, const char *path, void *ctx)
{
	struct resources *resources = ctx;
	size_t n = resources->n_places;

	if (!(n & (n - 1))) {
		struct place *more = reallocarray(resources->places, n ? 2 * n : 1, sizeof(*more));

		if (!more)
			return -ENOMEM;
		resources->places = more;
	}
	resources->places[n].cgroup = id;
	resources->places[n].path = strdup(path);
	if (!resources->places[n].path)
		return -ENOMEM;
	resources->n_places++;
	return 0;
}

static int by_id(const void *a, const void *b)
{
	const struct place *x = a, *y = b;

	return x->cgroup < y->cgroup ? -1 : x->cgroup > y->cgroup;
}

/* At most one walk between two refreshes, however many cgroups are new. */
static char *find_path(struct resources *resources, __u64 id)
{
	struct place wanted = {.cgroup = id}, *place;

	if (!resources->mount[0])
		return NULL;
	if (!resources->walked) {
		resources->walked = true;
		cgroup__walk(resources->mount, note_place, resources);
		if (resources->n_places)
			qsort(resources->places, resources->n_places, sizeof(*place), by_id);
	}
	if (!resources->n_places)
		return NULL;
	place = bsearch(&wanted, resources->places, resources->n_places, sizeof(*place), by_id);
	return place ? strdup(place->path) : NULL;
}

static bool is_there(const struct resources *resources, const struct resource *resource)
{
	char path[2 * PATH_MAX];
	struct stat st;

	snprintf(path, sizeof(path), "%s%s", resources->mount, resource->path);
	return !stat(path, &st) && st.st_ino == resource->cgroup;
}

/*
 * What the names that the kernel side kept say: the nearest levels, which is what
 * matters, and the whole path unless it is deeper than they are many.
 */
static void path_of_names(int names_fd, __u64 id, char *path, size_t room)
{
	struct otel_cgroup names;
	size_t len = 0;

	path[0] = '\0';
	if (names_fd < 0 || bpf_map_lookup_elem(names_fd, &id, &names))
		return;
	for (int i = OTEL_CGROUP_LEVELS - 1; i >= 0; i--) {
		names.name[i][OTEL_CGROUP_NAME_LEN - 1] = '\0';
		if (names.name[i][0])
			len += snprintf(path + len, room - len, "/%s", names.name[i]);
	}
}

static void encode_cgroup(struct resources *resources, struct resource *resource, int names_fd)
{
	char names[sizeof(struct otel_cgroup) + OTEL_CGROUP_LEVELS], value[PATH_MAX + 8];
	struct cgroup_identity identity;
	struct pb *pb = &resource->encoded;
	const char *path = resource->path;

	pb__free(pb);
	if (!path) {
		path_of_names(names_fd, resource->cgroup, names, sizeof(names));
		path = names;
	}
	pb__raw(pb, resources->host.data, resources->host.len);
	/* Two lives of one systemd unit have one path; this tells their series apart. */
	attr__int(pb, RESOURCE_ATTRIBUTES, "otelbpf.cgroup.id", resource->cgroup);
	if (!path[0])
		return;
	cgroup__identify(path, &identity);
	snprintf(value, sizeof(value), "0::%s", path);
	attr__string(pb, RESOURCE_ATTRIBUTES, "process.linux.cgroup", value, strlen(value));
	if (identity.container_id[0])
		attr__string(pb, RESOURCE_ATTRIBUTES, "container.id", identity.container_id,
			     strlen(identity.container_id));
	if (identity.pod_uid[0])
		attr__string(pb, RESOURCE_ATTRIBUTES, "k8s.pod.uid", identity.pod_uid,
			     strlen(identity.pod_uid));
	if (identity.unit[0])
		attr__string(pb, RESOURCE_ATTRIBUTES, "systemd.unit", identity.unit,
			     strlen(identity.unit));
}

void resources__refresh(struct resources *resources)
{
	bool left = false;

	forget_places(resources);
	for (int i = 1; i < resources->n; i++) {
		struct resource *resource = &resources->list[i];

		if (!resource->cgroup)
			continue;
		if (resource->gone && !resource->used) {
			forget(resource); /* its entries have been evicted */
			left = true;
			continue;
		}
		resource->used = false;
		if (resource->gone || (resource->path && is_there(resources, resource)))
			continue;
		if (!resource->path) {
			/* It may have been made behind the walk that did not find it. */
			resource->path = find_path(resources, resource->cgroup);
			if (resource->path) {
				encode_cgroup(resources, resource, -1);
				continue;
			}
		}
		/* What a cgroup namespace hides from us is not gone. */
		resource->gone = resources->whole;
	}
	if (left)
		reindex(resources);
}

int resources__cgroup(struct resources *resources, __u64 id, int names_fd)
{
	struct resource *resource;
	int index;

	if (!id)
		return RESOURCE_HOST;
	index = resources->index[slot_of(resources, id)];
	if (!index) {
		index = add(resources);
		if (index < 0)
			return index;
		resource = &resources->list[index];
		resource->cgroup = id;
		resources->index[slot_of(resources, id)] = index;
		resource->path = find_path(resources, id);
		encode_cgroup(resources, resource, names_fd);
	}
	resource = &resources->list[index];
	resource->used = true;
	return resource->encoded.failed ? -ENOMEM : index;
}

const struct pb *resources__encoded(const struct resources *resources, int index)
{
	return &resources->list[index].encoded;
}

int resources__count(const struct resources *resources)
{
	return resources->n;
}

bool resources__gone(const struct resources *resources, int index)
{
	return resources->list[index].gone;
}
