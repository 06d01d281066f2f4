// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/find.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <time.h>
#include <unistd.h>
#include <zlib.h>

#include "symbols/open.h"

#define MAPPED_MAX 4096		 /* files that processes map, remembered */
#define INSTALLED_MAX 16384	 /* files in the directories of programs and libraries */
#define INSTALLED_SECONDS 600	 /* before these are read again */
#define PROCESSES_MAX 32768	 /* looked at in one go */
#define MAPS_LINES_MAX 65536	 /* of one process */
#define CRC_FILE_MAX (512 << 20) /* bytes read to check a .gnu_debuglink */
#define DEBUGINFOD_SECONDS 15

struct known {
	__u8 build_id[BUILD_ID_SIZE];
	__u8 build_id_len;
	__u32 pid; /* 0: @path is ours */
	__u64 start, end, dev, inode;
	char *path;
};

struct known_list {
	struct known *list;
	size_t n, room, bytes;
};

struct find {
	const char *const *debug_dirs;
	struct known_list mapped, installed;
	bool mapped_fresh;
	time_t installed_at;
	struct debuginfod *debuginfod;
	bool debuginfod_tried;
};

static const char *const default_debug_dirs[] = {"/usr/lib/debug", NULL};

/* Where programs are that may have run and gone. Libraries: as /etc/ld.so.cache has it. */
static const char *const program_dirs[] = {"/usr/bin",	      "/usr/sbin",    "/usr/local/bin",
					   "/usr/local/sbin", "/usr/libexec", NULL};

/* --- /proc/PID/maps ---------------------------------------------------------- */

void find__walk(__u32 pid, bool (*each)(const struct find_mapping *mapping, void *arg), void *arg)
{
	int fd = open_proc(pid, "maps");
	struct find_mapping mapping;
	char *line = NULL;
	size_t room = 0;
	FILE *file;

	if (fd < 0)
		return;
	file = fdopen(fd, "r");
	if (!file) {
		close(fd);
		return;
	}
	for (int i = 0; i < MAPS_LINES_MAX; i++) {
		unsigned long long start, end, offset, inode;
		char flags[5];
		ssize_t len = getline(&line, &room, file);
		int at = 0;

		if (len < 0)
			break;
		if (line[len - 1] == '\n')
			line[len - 1] = '\0';
		if (sscanf(line, "%llx-%llx %4s %llx %x:%x %llu %n", &start, &end, flags, &offset,
			   &mapping.major, &mapping.minor, &inode, &at) < 7 ||
		    !at)
			continue;
		mapping.start = start;
		mapping.end = end;
		mapping.offset = offset;
		mapping.inode = inode;
		mapping.exec = flags[2] == 'x';
		snprintf(mapping.path, sizeof(mapping.path), "%s", line + at);
		if (!each(&mapping, arg))
			break;
	}
	free(line);
	fclose(file);
}

/* "\012" is all that the kernel escapes. */
static void plain_path(const char *from, char *to, size_t room)
{
	static const char deleted[] = " (deleted)";
	size_t len = strlen(from), n = 0;

	if (len >= sizeof(deleted) - 1 && !strcmp(from + len - (sizeof(deleted) - 1), deleted))
		len -= sizeof(deleted) - 1;
	for (size_t i = 0; i < len && n + 1 < room; i++) {
		if (i + 3 < len && !strncmp(from + i, "\\012", 4)) {
			to[n++] = '\n';
			i += 3;
		} else {
			to[n++] = from[i];
		}
	}
	to[n] = '\0';
}

int find__mapped(__u32 pid, const struct find_mapping *mapping)
{
	char path[PATH_MAX];
	struct stat st;
	int fd;

	/* Leads to the very file, also a deleted one, but takes CAP_CHECKPOINT_RESTORE. */
	snprintf(path, sizeof(path), "/proc/%u/map_files/%llx-%llx", pid, mapping->start,
		 mapping->end);
	fd = open_link(pid, path, NULL);
	if (fd >= 0 || fd == -ETIMEDOUT)
		return fd;
	plain_path(mapping->path, path, sizeof(path));
	if (path[0] != '/')
		return -ENOENT;
	fd = open_regular(pid, path, true, &st);
	if (fd >= 0 && st.st_ino != mapping->inode) {
		close(fd);
		fd = -ESTALE;
	}
	return fd;
}

/* --- lists of files by build id ---------------------------------------------- */

static void known__clear(struct known_list *known)
{
	for (size_t i = 0; i < known->n; i++)
		free(known->list[i].path);
	free(known->list);
	*known = (struct known_list){0};
}

static void known__add(struct known_list *known, const struct known *one, const char *path)
{
	if (known->n == known->room) {
		size_t room = known->room ? known->room * 2 : 64;
		struct known *list = realloc(known->list, room * sizeof(*list));

		if (!list)
			return;
		known->bytes += (room - known->room) * sizeof(*list);
		known->list = list;
		known->room = room;
	}
	known->list[known->n] = *one;
	known->list[known->n].path = strdup(path);
	if (!known->list[known->n].path)
		return;
	known->bytes += strlen(path) + 1;
	known->n++;
}

/* Reads the build id; the descriptor is closed. */
static int identify(int fd, struct known *one)
{
	struct image image;
	struct image_info info;
	int err;

	if (image__open(&image, fd))
		return -ENOEXEC;
	err = image__parse(&image, &info, true);
	image__close(&image);
	if (err)
		return err;
	memcpy(one->build_id, info.build_id, BUILD_ID_SIZE);
	one->build_id_len = info.build_id_len;
	return info.build_id_len ? 0 : -ENOENT;
}

struct walk {
	struct find *find;
	__u32 pid;
};

static bool add_mapped(const struct find_mapping *mapping, void *arg)
{
	struct walk *walk = arg;
	struct known_list *known = &walk->find->mapped;
	struct known one = {
		.pid = walk->pid,
		.start = mapping->start,
		.end = mapping->end,
		.dev = makedev(mapping->major, mapping->minor),
		.inode = mapping->inode,
	};
	char path[PATH_MAX];
	int fd;

	if (!mapping->exec || !mapping->inode)
		return true;
	for (size_t i = 0; i < known->n; i++)
		if (known->list[i].inode == one.inode && known->list[i].dev == one.dev)
			return true;
	fd = find__mapped(walk->pid, mapping);
	if (fd >= 0)
		identify(fd, &one);
	/* Without a build id too, so that the next process's mapping of it is not tried. */
	plain_path(mapping->path, path, sizeof(path));
	known__add(known, &one, path);
	return known->n < MAPPED_MAX;
}

static void read_mapped(struct find *find)
{
	DIR *proc = opendir("/proc");
	struct dirent *entry;

	find->mapped_fresh = true;
	known__clear(&find->mapped);
	if (!proc)
		return;
	for (int i = 0; i < PROCESSES_MAX && find->mapped.n < MAPPED_MAX;) {
		struct walk walk = {.find = find};

		entry = readdir(proc);
		if (!entry)
			break;
		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		walk.pid = strtoul(entry->d_name, NULL, 10);
		find__walk(walk.pid, add_mapped, &walk);
		i++;
	}
	closedir(proc);
}

static void add_directory(struct find *find, const char *path)
{
	int directory = open_directory(path);
	DIR *dir = directory < 0 ? NULL : fdopendir(directory);
	struct dirent *entry;

	if (!dir) {
		if (directory >= 0)
			close(directory);
		return;
	}
	while (find->installed.n < INSTALLED_MAX && (entry = readdir(dir))) {
		char full[PATH_MAX];
		struct known one = {0};
		int fd;

		/* What a link leads to has a name of its own. */
		if (entry->d_type != DT_REG && entry->d_type != DT_UNKNOWN)
			continue;
		if (snprintf(full, sizeof(full), "%s/%s", path, entry->d_name) >= (int)sizeof(full))
			continue;
		fd = open_beneath(directory, entry->d_name);
		if (fd >= 0 && !identify(fd, &one))
			known__add(&find->installed, &one, full);
	}
	closedir(dir);
}

#define LIBRARY_DIRS_MAX 64

/* The cache is text between zeros as far as paths go: no need to know the rest of its layout. */
static void add_library_dirs(struct find *find)
{
	char *dirs[LIBRARY_DIRS_MAX];
	struct image image = IMAGE_NONE;
	int n = 0, fd = open_regular(0, "/etc/ld.so.cache", true, NULL);
	char *bytes = NULL;

	if (fd < 0 || image__open(&image, fd) || image.size > (4 << 20))
		goto out;
	bytes = malloc(image.size + 1);
	if (!bytes || image__read(&image, 0, bytes, image.size))
		goto out;
	bytes[image.size] = '\0';
	for (char *at = bytes; at < bytes + image.size; at += strlen(at) + 1) {
		char *slash = at[0] == '/' ? strrchr(at, '/') : NULL;
		int i = 0;

		if (!slash || slash == at)
			continue;
		*slash = '\0';
		while (i < n && strcmp(dirs[i], at))
			i++;
		if (i == n && n < LIBRARY_DIRS_MAX)
			dirs[n++] = at;
		at = slash; /* the rest is skipped as a word of its own */
	}
	for (int i = 0; i < n; i++)
		add_directory(find, dirs[i]);
out:
	free(bytes);
	image__close(&image);
}

static void read_installed(struct find *find)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	if (find->installed_at && now.tv_sec - find->installed_at < INSTALLED_SECONDS)
		return;
	find->installed_at = now.tv_sec ? now.tv_sec : 1;
	known__clear(&find->installed);
	for (int i = 0; program_dirs[i]; i++)
		add_directory(find, program_dirs[i]);
	add_library_dirs(find);
}

/* --- debuginfod, loaded only when the user wants it -------------------------- */

struct debuginfod {
	void *library, *client;
	int (*find_debuginfo)(void *client, const unsigned char *id, int len, char **path);
	int (*find_executable)(void *client, const unsigned char *id, int len, char **path);
	void (*end)(void *client);
};

static __thread time_t debuginfod_until;

static int debuginfod_progress(void *client, long a, long b)
{
	struct timespec now;

	(void)client, (void)a, (void)b;
	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec > debuginfod_until;
}

static struct debuginfod *debuginfod__new(void)
{
	const char *urls = getenv("DEBUGINFOD_URLS");
	struct debuginfod *it;
	void *(*begin)(void);
	void (*set_progress)(void *client, int (*progress)(void *client, long a, long b));

	if (!urls || !urls[0])
		return NULL;
	it = calloc(1, sizeof(*it));
	if (!it)
		return NULL;
	it->library = dlopen("libdebuginfod.so.1", RTLD_NOW | RTLD_LOCAL);
	if (!it->library)
		goto none;
	begin = (void *(*)(void))dlsym(it->library, "debuginfod_begin");
	set_progress = (void (*)(void *, int (*)(void *, long, long)))dlsym(
		it->library, "debuginfod_set_progressfn");
	*(void **)&it->end = dlsym(it->library, "debuginfod_end");
	*(void **)&it->find_debuginfo = dlsym(it->library, "debuginfod_find_debuginfo");
	*(void **)&it->find_executable = dlsym(it->library, "debuginfod_find_executable");
	if (!begin || !set_progress || !it->end || !it->find_debuginfo || !it->find_executable)
		goto none;
	it->client = begin();
	if (!it->client)
		goto none;
	set_progress(it->client, debuginfod_progress);
	return it;
none:
	if (it->library)
		dlclose(it->library);
	free(it);
	return NULL;
}

static int ask_debuginfod(struct find *find, const __u8 *id, int len, bool debug)
{
	struct timespec now;
	char *path = NULL;
	int fd;

	if (!find->debuginfod_tried) {
		find->debuginfod_tried = true;
		find->debuginfod = debuginfod__new();
	}
	if (!find->debuginfod)
		return -ENOENT;
	clock_gettime(CLOCK_MONOTONIC, &now);
	debuginfod_until = now.tv_sec + DEBUGINFOD_SECONDS;
	fd = (debug ? find->debuginfod->find_debuginfo
		    : find->debuginfod->find_executable)(find->debuginfod->client, id, len, &path);
	free(path);
	return fd;
}

/* --- the searches ------------------------------------------------------------ */

struct find *find__new(const char *const *debug_dirs)
{
	struct find *find = calloc(1, sizeof(*find));

	if (find)
		find->debug_dirs = debug_dirs ? debug_dirs : default_debug_dirs;
	return find;
}

void find__free(struct find *find)
{
	if (!find)
		return;
	known__clear(&find->mapped);
	known__clear(&find->installed);
	open__next_export();
	if (find->debuginfod) {
		find->debuginfod->end(find->debuginfod->client);
		dlclose(find->debuginfod->library);
		free(find->debuginfod);
	}
	free(find);
}

size_t find__bytes(const struct find *find)
{
	return sizeof(*find) + find->mapped.bytes + find->installed.bytes;
}

void find__next_export(struct find *find)
{
	find->mapped_fresh = false;
	open__next_export();
}

/* Takes @fd; the file stays in @out if it is the right one. */
static int accept_file(int fd, const __u8 *id, __u8 len, __u32 pid, const char *path,
		       struct found *out)
{
	if (fd < 0)
		return fd;
	if (image__open(&out->image, fd))
		return -ENOEXEC;
	if (image__parse(&out->image, &out->info, false) || out->info.build_id_len != len ||
	    memcmp(out->info.build_id, id, len)) {
		image__close(&out->image);
		return -ENOENT;
	}
	out->pid = pid;
	if (path != out->path)
		snprintf(out->path, sizeof(out->path), "%s", path);
	return 0;
}

static int accept_known(const struct known_list *known, const __u8 *id, __u8 len, struct found *out)
{
	for (size_t i = 0; i < known->n; i++) {
		const struct known *one = &known->list[i];
		struct find_mapping mapping = {
			.start = one->start,
			.end = one->end,
			.inode = one->inode,
		};
		int fd;

		if (one->build_id_len != len || memcmp(one->build_id, id, len))
			continue;
		snprintf(mapping.path, sizeof(mapping.path), "%s", one->path);
		fd = one->pid ? find__mapped(one->pid, &mapping)
			      : open_regular(0, one->path, true, NULL);
		if (!accept_file(fd, id, len, one->pid, one->path, out))
			return 0;
	}
	return -ENOENT;
}

static int accept_debug_dirs(const struct find *find, const __u8 *id, __u8 len, const char *suffix,
			     struct found *out)
{
	char hex[2 * BUILD_ID_SIZE + 1], path[PATH_MAX];

	if (len < 2)
		return -ENOENT;
	for (int i = 0; i < len; i++)
		snprintf(hex + 2 * i, 3, "%02x", id[i]);
	for (int i = 0; find->debug_dirs[i]; i++) {
		snprintf(path, sizeof(path), "%s/.build-id/%.2s/%s%s", find->debug_dirs[i], hex,
			 hex + 2, suffix);
		if (!accept_file(open_regular(0, path, true, NULL), id, len, 0, path, out))
			return 0;
	}
	return -ENOENT;
}

struct search {
	__u32 pid;
	const struct symbols_file *file;
	struct found *out;
	bool found;
};

static bool accept_mapping(const struct find_mapping *mapping, void *arg)
{
	struct search *search = arg;
	char path[PATH_MAX];

	if (!mapping->exec || !mapping->inode)
		return true;
	plain_path(mapping->path, path, sizeof(path));
	/* Other mappings are in the list of what all processes map. */
	if (!search->file->path || strcmp(path, search->file->path))
		return true;
	search->found = !accept_file(find__mapped(search->pid, mapping), search->file->build_id,
				     search->file->build_id_len, search->pid, path, search->out);
	return !search->found;
}

int find__file(struct find *find, const struct symbols_file *file, struct found *out)
{
	const __u8 *id = file->build_id;
	__u8 len = file->build_id_len;
	struct search search = {.pid = file->pid, .file = file, .out = out};
	char path[64];

	out->image = IMAGE_NONE;
	if (!len) {
		/* Nothing but the mapping itself vouches for such a file. */
		if (file->pid && file->path)
			find__walk(file->pid, accept_mapping, &search);
		return search.found ? 0 : -ENOENT;
	}
	if (len > BUILD_ID_SIZE)
		return -EINVAL;
	if (file->pid && file->path &&
	    !accept_file(open_regular(file->pid, file->path, true, NULL), id, len, file->pid,
			 file->path, out))
		return 0;
	if (file->path && file->path[0] == '/' &&
	    !accept_file(open_regular(0, file->path, true, NULL), id, len, 0, file->path, out))
		return 0;
	if (file->pid) {
		snprintf(path, sizeof(path), "/proc/%u/exe", file->pid);
		if (!accept_file(open_link(file->pid, path, NULL), id, len, file->pid,
				 file->path ? file->path : "", out))
			return 0;
		if (file->path)
			find__walk(file->pid, accept_mapping, &search);
		if (search.found)
			return 0;
	}
	/* What was known of the processes a while ago is good enough if the file is still there. */
	if (!accept_known(&find->mapped, id, len, out))
		return 0;
	if (!find->mapped_fresh) {
		read_mapped(find);
		if (!accept_known(&find->mapped, id, len, out))
			return 0;
	}
	read_installed(find);
	if (!accept_known(&find->installed, id, len, out))
		return 0;
	if (!accept_debug_dirs(find, id, len, "", out))
		return 0;
	if (!accept_file(ask_debuginfod(find, id, len, false), id, len, 0, "", out))
		return 0;
	return -ENOENT;
}

static int check_crc(const struct image *image, __u32 want)
{
	unsigned char bytes[65536];
	uLong crc = crc32(0, NULL, 0);

	if (image->size > CRC_FILE_MAX)
		return -EFBIG;
	for (__u64 at = 0; at < image->size;) {
		size_t n = image->size - at < sizeof(bytes) ? image->size - at : sizeof(bytes);

		if (image__read(image, at, bytes, n))
			return -EIO;
		crc = crc32(crc, bytes, n);
		at += n;
	}
	return crc == want ? 0 : -ENOENT;
}

/* A build id on both sides decides at less cost than a checksum over the whole file. */
static int accept_link(int fd, const struct found *of, __u32 pid, const char *path,
		       struct found *out)
{
	if (fd < 0)
		return fd;
	if (image__open(&out->image, fd))
		return -ENOEXEC;
	if (image__parse(&out->image, &out->info, false))
		goto wrong;
	if (of->info.build_id_len && out->info.build_id_len) {
		if (of->info.build_id_len != out->info.build_id_len ||
		    memcmp(of->info.build_id, out->info.build_id, of->info.build_id_len))
			goto wrong;
	} else if (check_crc(&out->image, of->info.debuglink_crc)) {
		goto wrong;
	}
	/* A link to itself: the file has its own name in it. */
	if (out->image.ino == of->image.ino && out->image.dev == of->image.dev)
		goto wrong;
	out->pid = pid;
	snprintf(out->path, sizeof(out->path), "%s", path);
	return 0;
wrong:
	image__close(&out->image);
	return -ENOENT;
}

static int debuglink(const struct find *find, const struct found *of, struct found *out)
{
	const char *slash = strrchr(of->path, '/');
	int dir_len = slash ? slash - of->path : 0;
	char path[PATH_MAX + 300];

	if (!slash || !of->info.debuglink[0])
		return -ENOENT;
	snprintf(path, sizeof(path), "%.*s/%s", dir_len, of->path, of->info.debuglink);
	if (!accept_link(open_regular(of->pid, path, true, NULL), of, of->pid, path, out))
		return 0;
	snprintf(path, sizeof(path), "%.*s/.debug/%s", dir_len, of->path, of->info.debuglink);
	if (!accept_link(open_regular(of->pid, path, true, NULL), of, of->pid, path, out))
		return 0;
	for (int i = 0; find->debug_dirs[i]; i++) {
		if (snprintf(path, sizeof(path), "%s%.*s/%s", find->debug_dirs[i], dir_len,
			     of->path, of->info.debuglink) >= (int)sizeof(path))
			continue;
		if (!accept_link(open_regular(0, path, true, NULL), of, 0, path, out))
			return 0;
		if (of->pid &&
		    !accept_link(open_regular(of->pid, path, true, NULL), of, of->pid, path, out))
			return 0;
	}
	return -ENOENT;
}

int find__debug(struct find *find, const struct found *of, struct found *out)
{
	const __u8 *id = of->info.build_id;
	__u8 len = of->info.build_id_len;

	out->image = IMAGE_NONE;
	if (!accept_debug_dirs(find, id, len, ".debug", out))
		return 0;
	if (!debuglink(find, of, out))
		return 0;
	/* In a container's own /usr/lib/debug. */
	if (of->pid && len >= 2) {
		char path[PATH_MAX];
		int at = snprintf(path, sizeof(path), "/usr/lib/debug/.build-id/%02x/", id[0]);

		for (int i = 1; i < len; i++)
			at += snprintf(path + at, sizeof(path) - at, "%02x", id[i]);
		snprintf(path + at, sizeof(path) - at, ".debug");
		if (!accept_file(open_regular(of->pid, path, true, NULL), id, len, of->pid, path,
				 out))
			return 0;
	}
	if (len && !accept_file(ask_debuginfod(find, id, len, true), id, len, 0, "", out))
		return 0;
	return -ENOENT;
}

int find__alt(struct find *find, const struct found *of, struct image *out)
{
	const struct image_range *range = &of->info.debugaltlink;
	const char *slash = strrchr(of->path, '/');
	char bytes[1024], path[PATH_MAX + sizeof(bytes)];
	struct found found;
	size_t len;
	int err;

	if (!range->size || range->size > sizeof(bytes) ||
	    image__read(&of->image, range->offset, bytes, range->size))
		return -ENOENT;
	len = strnlen(bytes, range->size);
	if (!len || range->size - len < 3 || range->size - len - 1 > BUILD_ID_SIZE)
		return -ENOENT;
	err = accept_debug_dirs(find, (__u8 *)bytes + len + 1, range->size - len - 1, ".debug",
				&found);
	if (err) {
		if (bytes[0] == '/')
			snprintf(path, sizeof(path), "%s", bytes);
		else
			snprintf(path, sizeof(path), "%.*s/%s", slash ? (int)(slash - of->path) : 0,
				 of->path, bytes);
		err = accept_file(open_regular(of->pid, path, true, NULL), (__u8 *)bytes + len + 1,
				  range->size - len - 1, of->pid, path, &found);
	}
	if (!err)
		*out = found.image;
	return err;
}
