// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "object.h"

#include <bpf/btf.h>
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cleanup.h"
#include "log.h"
#include "path.h"
#include "pins.h"
#include "tagged.h"
#include "uprobe.h"

#define SUFFIX ".bpf.o"
#define OBJECT_SIZE_MAX (64 << 20)

/* --- finding ---------------------------------------------------------------- */

#define DIRS_MAX 3

static int probe_dirs(char dirs[DIRS_MAX][PATH_MAX])
{
	const char *environment = getenv("OTELBPF_PROBES");
	char self[PATH_MAX], *slash;
	ssize_t len;
	int n = 0;

	if (environment && environment[0] && !path__format(dirs[n], "%s", environment))
		n++;
	len = readlink("/proc/self/exe", self, sizeof(self) - 1);
	if (len > 0) {
		self[len] = '\0';
		slash = strrchr(self, '/');
		if (slash && !path__format(dirs[n], "%.*s/progs", (int)(slash - self), self))
			n++;
	}
	if (!path__format(dirs[n], "%s", OTELBPF_LIBDIR))
		n++;
	return n;
}

static void join_dirs(char dirs[DIRS_MAX][PATH_MAX], int n, char *text, size_t size)
{
	size_t len = 0;

	text[0] = '\0';
	for (int i = 0; i < n && len < size; i++)
		len += snprintf(text + len, size - len, "%s%s", i ? ", " : "", dirs[i]);
}

static bool has_suffix(const char *name)
{
	size_t len = strlen(name);

	return len >= strlen(SUFFIX) && !strcmp(name + len - strlen(SUFFIX), SUFFIX);
}

static int from_file(const char *path, struct target *target)
{
	const char *base = strrchr(path, '/');
	char name[NAME_MAX + 1];

	base = base ? base + 1 : path;
	snprintf(name, sizeof(name), "%.*s",
		 (int)(strlen(base) - (has_suffix(base) ? strlen(SUFFIX) : 0)), base);
	if (!pins__is_probe(name))
		return fail(EXIT_USAGE,
			    "%s: '%s' cannot name a probe: 1 to %d of A-Z a-z 0-9 _ - are wanted",
			    path, name, OTEL_PROBE_NAME_MAX - 1);
	strcpy(target->probe, name);
	if (!realpath(path, target->path))
		return fail(errno == EACCES ? EXIT_PERMISSION : EXIT_USAGE, "cannot open %s: %s",
			    path, strerror(errno));
	return 0;
}

static int from_name(const char *name, struct target *target)
{
	char dirs[DIRS_MAX][PATH_MAX], list[1024], path[PATH_MAX];
	int n = probe_dirs(dirs);

	if (!pins__is_probe(name))
		return fail(EXIT_USAGE,
			    "'%s' is not the name of a probe (a file has a '/' or ends in " SUFFIX
			    ")",
			    name);
	for (int i = 0; i < n; i++)
		if (!path__format(path, "%s/%s" SUFFIX, dirs[i], name) && !access(path, F_OK))
			return from_file(path, target);
	join_dirs(dirs, n, list, sizeof(list));
	return fail(EXIT_USAGE, "no probe '%s': looked for %s" SUFFIX " in %s", name, name, list);
}

static bool is_among(const struct target *targets, int n, const char *probe)
{
	for (int i = 0; i < n; i++)
		if (!strcmp(targets[i].probe, probe))
			return true;
	return false;
}

static int all_installed(struct target **targets, int *found)
{
	char dirs[DIRS_MAX][PATH_MAX], pattern[PATH_MAX], list[1024];
	int n = probe_dirs(dirs), flags = 0, code = 0;
	glob_t files = {};

	/* One list in which an earlier directory's probe hides a later one's. */
	for (int i = 0; i < n; i++) {
		if (path__format(pattern, "%s/*" SUFFIX, dirs[i]))
			continue;
		glob(pattern, flags, NULL, &files);
		flags = GLOB_APPEND;
	}
	*targets = calloc(files.gl_pathc + 1, sizeof(**targets));
	if (!*targets)
		code = fail(EXIT_INTERNAL, "no memory");
	for (size_t i = 0; !code && i < files.gl_pathc; i++) {
		code = from_file(files.gl_pathv[i], &(*targets)[*found]);
		if (!code && !is_among(*targets, *found, (*targets)[*found].probe))
			(*found)++;
	}
	globfree(&files);
	if (code || *found)
		return code;
	join_dirs(dirs, n, list, sizeof(list));
	return fail(EXIT_USAGE, "no probe is installed: looked for *" SUFFIX " in %s", list);
}

int targets__find(char **names, int n, struct target **targets, int *found)
{
	int code;

	*found = 0;
	if (!n)
		return all_installed(targets, found);
	*targets = calloc(n, sizeof(**targets));
	if (!*targets)
		return fail(EXIT_INTERNAL, "no memory");
	for (int i = 0; i < n; i++) {
		struct target *target = &(*targets)[i];
		bool is_file = strchr(names[i], '/') || has_suffix(names[i]);

		code = is_file ? from_file(names[i], target) : from_name(names[i], target);
		if (code)
			return code;
		if (is_among(*targets, i, target->probe))
			return fail(EXIT_USAGE, "probe '%s' is named twice", target->probe);
		*found = i + 1;
	}
	return 0;
}

/* --- opening ---------------------------------------------------------------- */

/* Into memory: a file that is rewritten while we parse it cannot hurt. */
static int read_image(const char *path, void **image, size_t *size, struct failure *failure)
{
	_cleanup_fd_ int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
	struct stat st;
	size_t len = 0;
	ssize_t n;

	if (fd < 0 || fstat(fd, &st))
		return failed(failure, errno == EACCES ? EXIT_PERMISSION : EXIT_USAGE,
			      "cannot open %s: %s", path, strerror(errno));
	if (!S_ISREG(st.st_mode))
		return failed(failure, EXIT_USAGE, "%s is not a file", path);
	if (!st.st_size || st.st_size > OBJECT_SIZE_MAX)
		return failed(failure, EXIT_LOAD, "%s is %s", path,
			      st.st_size ? "larger than any BPF object" : "empty");
	*image = malloc(st.st_size);
	if (!*image)
		return failed(failure, EXIT_INTERNAL, "no memory");
	do {
		n = read(fd, (char *)*image + len, st.st_size - len);
		if (n > 0)
			len += n;
	} while (n > 0 && len < (size_t)st.st_size);
	if (n < 0)
		return failed(failure, EXIT_USAGE, "cannot read %s: %s", path, strerror(errno));
	*size = len;
	return 0;
}

static int check_elf(const char *path, const void *image, size_t size, struct failure *failure)
{
	const Elf64_Ehdr *header = image;

	if (size < sizeof(*header) || memcmp(header->e_ident, ELFMAG, SELFMAG))
		return failed(failure, EXIT_LOAD, "%s is not an ELF file", path);
	if (header->e_ident[EI_CLASS] != ELFCLASS64 || header->e_machine != EM_BPF)
		return failed(failure, EXIT_LOAD, "%s is an ELF file but not of BPF", path);
	return 0;
}

static int check_map(const struct object *object, const char *name, size_t value_size,
		     struct failure *failure)
{
	const struct bpf_map *map = bpf_object__find_map_by_name(object->obj, name);

	if (!map)
		return failed(failure, EXIT_LOAD,
			      "%s has no map '%s': a probe includes <otelbpf/otel.bpf.h>",
			      object->target->path, name);
	if (bpf_map__type(map) != BPF_MAP_TYPE_ARRAY || bpf_map__key_size(map) != sizeof(__u32) ||
	    bpf_map__value_size(map) != value_size)
		return failed(failure, EXIT_LOAD,
			      "%s: map '%s' is not of this loader's ABI %d: build it against the "
			      "headers of otelbpf %s",
			      object->target->path, name, OTEL_ABI_VERSION, OTELBPF_VERSION);
	return 0;
}

int object__open(struct object *object, const struct target *target, struct failure *failure)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = target->probe);
	char cause[512];
	size_t size = 0;
	int code, n;

	*object = (struct object){.target = target};
	code = read_image(target->path, &object->image, &size, failure);
	if (!code)
		code = check_elf(target->path, object->image, size, failure);
	if (code)
		return code;
	log__reset();
	object->image_size = size;
	object->obj = bpf_object__open_mem(object->image, size, &opts);
	if (!object->obj) {
		code = errno;
		log__cause(cause, sizeof(cause));
		return failed(failure, EXIT_LOAD, "%s: %s", target->path,
			      cause[0] ? cause : failure__reason(code));
	}
	n = object__programs(object);
	if (!n)
		return failed(failure, EXIT_LOAD, "%s has no programs", target->path);
	if (n > OTEL_PROGRAMS_MAX)
		return failed(failure, EXIT_LOAD, "%s has %d programs, more than %d", target->path,
			      n, OTEL_PROGRAMS_MAX);
	if (!bpf_object__btf(object->obj))
		return failed(failure, EXIT_LOAD,
			      "%s has no BTF: compile with clang -g, strip with llvm-strip -g",
			      target->path);
	code = check_map(object, "meta", sizeof(struct otel_meta), failure);
	if (!code)
		code = check_map(object, "programs", sizeof(struct otel_program), failure);
	if (code)
		return code;
	object->tagged = tagged__new(bpf_object__btf(object->obj));
	if (!object->tagged)
		return failed(failure, EXIT_INTERNAL, "no memory");
	uprobe__prepare(object);
	return 0;
}

void object__close(struct object *object)
{
	tagged__free(object->tagged);
	bpf_object__close(object->obj);
	free(object->image);
	*object = (struct object){};
}

int object__programs(const struct object *object)
{
	struct bpf_program *prog;
	int n = 0;

	bpf_object__for_each_program (prog, object->obj)
		n++;
	return n;
}

/* Of an object that has perf_event programs but no option for it. */
#define DEFAULT_FREQUENCY 99

#define DEFAULT_INTERFACES "!lo"
#define DEFAULT_XDP_MODE "auto"

/* The argument of a tag that stands on the program's function. */
static const char *tag_of(const struct object *object, const struct bpf_program *prog,
			  const char *word, const char *otherwise)
{
	int id = btf__find_by_name_kind(bpf_object__btf(object->obj), bpf_program__name(prog),
					BTF_KIND_FUNC);
	const struct tag *tag = id > 0 ? tagged__find(object->tagged, id, -1, word) : NULL;

	return tag && tag->args == 1 ? tag->arg[0] : otherwise;
}

void object__hook(const struct object *object, const struct bpf_program *prog,
		  char section[OTEL_SECTION_MAX])
{
	const char *name = bpf_program__section_name(prog);
	const char *event = tag_of(object, prog, "software", NULL);

	name += name[0] == '?';
	if (!strcmp(name, "perf_event") && event)
		snprintf(section, OTEL_SECTION_MAX, "perf_event/%s/1", event);
	else if (!strcmp(name, "perf_event"))
		snprintf(section, OTEL_SECTION_MAX, "perf_event/%s/%u",
			 object->event ? object->event : "cpu-clock",
			 object->frequency ? object->frequency : DEFAULT_FREQUENCY);
	else if (!strcmp(name, "xdp") || !strcmp(name, "xdp.frags"))
		snprintf(section, OTEL_SECTION_MAX, "xdp/%s/%s",
			 object->xdp_mode ? object->xdp_mode : DEFAULT_XDP_MODE,
			 object->interfaces ? object->interfaces : DEFAULT_INTERFACES);
	else if (!strcmp(name, "tc"))
		snprintf(section, OTEL_SECTION_MAX, "tc/%s/%s",
			 tag_of(object, prog, "tc", "egress"),
			 object->interfaces ? object->interfaces : DEFAULT_INTERFACES);
	else if (!strcmp(name, "uprobe") || !strcmp(name, "uretprobe") ||
		 !strcmp(name, "uprobe.session") || !strcmp(name, "usdt"))
		snprintf(section, OTEL_SECTION_MAX, "%s/%s", name, uprobe__functions(object, prog));
	else
		snprintf(section, OTEL_SECTION_MAX, "%s", name);
}

const char *object__section(const struct bpf_map *map)
{
	/* "PROBE.rodata", or for newer kinds of section just ".data.filter" */
	return bpf_map__is_internal(map) ? strchr(bpf_map__name(map), '.') : NULL;
}

void object__pin_name(const struct bpf_map *map, char name[PIN_NAME_MAX])
{
	const char *section = object__section(map);

	snprintf(name, PIN_NAME_MAX, "%s", section ? section + 1 : bpf_map__name(map));
	for (char *c = name; *c; c++)
		if (*c == '.')
			*c = '_';
}

int object__map_fd(const struct bpf_map *map)
{
	return bpf_map__autocreate(map) ? bpf_map__fd(map) : -1;
}

int object__load_failed(const struct object *object, int err, struct failure *failure)
{
	char cause[512];

	log__cause(cause, sizeof(cause));
	return failed(failure, EXIT_LOAD, "cannot load %s: %s", object->target->path,
		      cause[0] ? cause : failure__reason(err));
}
