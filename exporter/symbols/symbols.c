// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/symbols.h"

#include <elf.h>
#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "profile/profile.h"
#include "symbols/demangle.h"
#include "symbols/find.h"
#include "symbols/image.h"
#include "symbols/jit.h"
#include "symbols/kernel.h"
#include "symbols/lines.h"
#include "symbols/names.h"

#define CACHE_BYTES (8 << 20)
#define BUCKETS 1024
#define FILES_MAX 16384 /* known by build id, most of them not held */
#define OPEN_MAX 64	/* files open at a time, two or three descriptors each */
#define READERS_MAX 4	/* DWARF readers at a time */
#define RETRY_MAX 64	/* exports until a missing file is looked for again */
#define JITS_MAX 1024
#define MAPPINGS_MAX 8192

/*
 * struct loaded - what is held of a file
 * @images:  where names are: the file itself; its debug file, or strings unpacked from it
 * @strings: in @images
 * @debug:   which image has DWARF, -1: none
 * @open:    descriptors are valid; not so from one export to the next
 */
struct loaded {
	struct image images[IMAGE_SOURCES];
	struct image_range strings[IMAGE_SOURCES];
	struct image alt;
	struct image_info info;
	struct image_table table;
	int debug;
	bool open;
	bool lines_failed;
	struct lines lines;
	char *unpacked;
	size_t bytes;
};

struct file {
	struct file *next;
	__u8 build_id[BUILD_ID_SIZE];
	__u8 build_id_len;
	__u32 pid;  /* and ... */
	char *path; /* ... when there is no build id */
	__u32 id;   /* of its answers; changes with the file */
	bool missing;
	unsigned int retry_at, retry_after; /* exports */
	__u64 used;
	struct symbols_ids *ids; /* NULL: it was never open */
	struct loaded *loaded;
};

struct answer {
	__u32 id; /* 0: free */
	__u32 n;
	__u64 offset;
	struct symbol *symbols;
};

struct mapping {
	__u64 start, end, offset, inode;
	const char *path; /* as in /proc/PID/maps */
	bool identified;
	__u8 build_id[BUILD_ID_SIZE];
	__u8 build_id_len;
};

struct symbols {
	bool want_lines;
	size_t cache_bytes;
	struct find *find;
	struct names names;
	struct answer *answers;
	size_t n_answers, n_slots;
	struct file *files[BUCKETS];
	unsigned int n_files, n_loaded;
	size_t loaded_bytes, jit_bytes, ids_bytes;
	struct jit *jits;
	unsigned int n_jits;
	struct kernel kernel;
	struct {
		__u32 pid;
		struct mapping *list;
		size_t n;
		bool valid;
	} mappings;
	struct image vdso;
	struct image_info vdso_info;
	__u64 vdso_mapped; /* bytes */
	__u64 clock;	   /* counts lookups, for the least recently used */
	unsigned int export;
	__u32 next_id;
	unsigned long opened, readers_failed;
	char raw[IMAGE_NAME_MAX];
	char plain[DEMANGLE_OUT_MAX];
};

/* --- answers ----------------------------------------------------------------- */

static struct answer *answers__slot(struct answer *answers, size_t n_slots, __u32 id, __u64 offset)
{
	__u64 hash = (offset ^ (__u64)id << 40) * 0x9e3779b97f4a7c15ULL;
	size_t at = hash >> 32 & (n_slots - 1);

	while (answers[at].id && (answers[at].id != id || answers[at].offset != offset))
		at = (at + 1) & (n_slots - 1);
	return &answers[at];
}

static const struct answer *answers__get(const struct symbols *symbols, __u32 id, __u64 offset)
{
	const struct answer *answer;

	if (!symbols->n_slots)
		return NULL;
	answer = answers__slot(symbols->answers, symbols->n_slots, id, offset);
	return answer->id ? answer : NULL;
}

static void answers__put(struct symbols *symbols, __u32 id, __u64 offset, const struct symbol *list,
			 int n)
{
	struct answer *answer;

	if (symbols->n_answers * 4 >= symbols->n_slots * 3) {
		size_t n_slots = symbols->n_slots ? symbols->n_slots * 2 : 1024;
		struct answer *answers = calloc(n_slots, sizeof(*answers));

		if (!answers)
			return;
		for (size_t i = 0; i < symbols->n_slots; i++)
			if (symbols->answers[i].id)
				*answers__slot(answers, n_slots, symbols->answers[i].id,
					       symbols->answers[i].offset) = symbols->answers[i];
		free(symbols->answers);
		symbols->answers = answers;
		symbols->n_slots = n_slots;
	}
	answer = answers__slot(symbols->answers, symbols->n_slots, id, offset);
	answer->symbols = n ? names__alloc(&symbols->names, n * sizeof(*list)) : NULL;
	if (n && !answer->symbols)
		return;
	if (n)
		memcpy(answer->symbols, list, n * sizeof(*list));
	answer->offset = offset;
	answer->n = n;
	answer->id = id;
	symbols->n_answers++;
}

static int answer__copy(const struct answer *answer, struct symbol *out, int max)
{
	int n = (int)answer->n < max ? (int)answer->n : max;

	if (n > 0)
		memcpy(out, answer->symbols, n * sizeof(*out));
	return n > 0 ? n : 0;
}

static void forget_answers(struct symbols *symbols)
{
	free(symbols->answers);
	symbols->answers = NULL;
	symbols->n_answers = symbols->n_slots = 0;
	names__clear(&symbols->names);
}

static size_t answers_bytes(const struct symbols *symbols)
{
	return symbols->names.bytes + symbols->n_slots * sizeof(*symbols->answers);
}

/* Fills in names; false when there is no memory. */
static bool set_name(struct symbols *symbols, const char *raw, size_t len, struct symbol *out)
{
	size_t plain = demangle(raw, symbols->plain);

	out->name = plain ? names__put(&symbols->names, symbols->plain, plain)
			  : names__put(&symbols->names, raw, len);
	out->system_name = plain ? names__put(&symbols->names, raw, len) : NULL;
	return out->name && (!plain || out->system_name);
}

/* --- files ------------------------------------------------------------------- */

static size_t bytes_held(const struct symbols *symbols)
{
	return sizeof(*symbols) + symbols->loaded_bytes + symbols->jit_bytes + symbols->ids_bytes +
	       symbols->n_files * sizeof(struct file) +
	       symbols->mappings.n * sizeof(struct mapping) + find__bytes(symbols->find);
}

static void loaded__close(struct loaded *loaded)
{
	lines__stop(&loaded->lines);
	for (int i = 0; i < IMAGE_SOURCES; i++)
		image__close(&loaded->images[i]);
	image__close(&loaded->alt);
	loaded->open = false;
}

static void loaded__free(struct loaded *loaded)
{
	if (!loaded)
		return;
	loaded__close(loaded);
	free(loaded->table.entries);
	free(loaded->unpacked);
	free(loaded);
}

static void file__unload(struct symbols *symbols, struct file *file)
{
	if (!file->loaded)
		return;
	symbols->loaded_bytes -= file->loaded->bytes;
	symbols->n_loaded--;
	loaded__free(file->loaded);
	file->loaded = NULL;
}

static struct file *least_used(const struct symbols *symbols, const struct file *keep,
			       bool (*is)(const struct loaded *loaded))
{
	struct file *oldest = NULL;

	for (int i = 0; i < BUCKETS; i++)
		for (struct file *file = symbols->files[i]; file; file = file->next)
			if (file != keep && file->loaded && is(file->loaded) &&
			    (!oldest || file->used < oldest->used))
				oldest = file;
	return oldest;
}

static bool any(const struct loaded *loaded)
{
	(void)loaded;
	return true;
}

static bool is_open(const struct loaded *loaded)
{
	return loaded->open;
}

static bool has_reader(const struct loaded *loaded)
{
	return loaded->lines.pid != 0;
}

static int count(const struct symbols *symbols, bool (*is)(const struct loaded *loaded))
{
	int n = 0;

	for (int i = 0; i < BUCKETS; i++)
		for (struct file *file = symbols->files[i]; file; file = file->next)
			n += file->loaded && is(file->loaded);
	return n;
}

static void jit__unload(struct symbols *symbols, struct jit *jit)
{
	symbols->jit_bytes -= jit__bytes(jit);
	jit__clear(jit);
	symbols->jit_bytes += jit__bytes(jit);
}

/*
 * Least recently used first; what is in use now stays, however large. Answers are not ours to
 * drop before the end of the export.
 */
static void make_room(struct symbols *symbols, size_t bytes, const struct file *keep,
		      const struct jit *keep_jit)
{
	while (bytes_held(symbols) > bytes) {
		struct file *file = least_used(symbols, keep, any);
		struct jit *oldest = NULL;

		for (struct jit *jit = symbols->jits; jit; jit = jit->next)
			if (jit != keep_jit && jit->room && (!oldest || jit->used < oldest->used))
				oldest = jit;
		if (file && (!oldest || file->used < oldest->used))
			file__unload(symbols, file);
		else if (oldest)
			jit__unload(symbols, oldest);
		else
			return;
	}
}

static bool same_image(const struct image *a, const struct image *b)
{
	return a->dev == b->dev && a->ino == b->ino && a->size == b->size &&
	       a->mtime_ns == b->mtime_ns;
}

static bool is_vdso(const struct symbols *symbols, const struct symbols_file *key)
{
	return key->build_id_len && symbols->vdso_info.build_id_len == key->build_id_len &&
	       !memcmp(symbols->vdso_info.build_id, key->build_id, key->build_id_len);
}

/* Strings are all that is needed later of a symbol table that came compressed. */
static void unpack(struct loaded *loaded, struct image *image, struct image_info *info)
{
	if (image__unpack(&loaded->images[0], &loaded->info.debugdata, image))
		return;
	if (image__parse(image, info, false) || info->is64 != loaded->info.is64) {
		free((void *)image->mem);
		*image = IMAGE_NONE;
		*info = (struct image_info){0};
	}
}

static int loaded__table(struct loaded *loaded, const struct image_info *debug_info,
			 struct image *unpacked)
{
	const struct image *images[IMAGE_SOURCES] = {&loaded->images[0], &loaded->images[1]};
	const struct image_symtab *symtabs[IMAGE_SOURCES] = {&loaded->info.symtab, NULL};
	struct image_symtab none = {0};
	int err;

	if (!loaded->info.symtab.symbols.size) {
		symtabs[0] = &loaded->info.dynsym;
		symtabs[1] = &debug_info->symtab;
		if (unpacked->mem)
			images[1] = unpacked;
	} else {
		symtabs[1] = &none;
	}
	err = image__table(&loaded->info, images, symtabs, &loaded->table);
	if (err)
		return err;
	loaded->strings[0] = symtabs[0]->strings;
	loaded->strings[1] = symtabs[1]->strings;
	if (unpacked->mem && symtabs[1]->strings.size) {
		loaded->unpacked = malloc(symtabs[1]->strings.size);
		if (!loaded->unpacked)
			return -ENOMEM;
		image__read(unpacked, symtabs[1]->strings.offset, loaded->unpacked,
			    symtabs[1]->strings.size);
		loaded->strings[1].offset = 0;
		loaded->images[1].mem = loaded->unpacked;
		loaded->images[1].size = loaded->strings[1].size;
		loaded->bytes += loaded->strings[1].size;
	}
	loaded->bytes += sizeof(*loaded) + loaded->table.n * sizeof(*loaded->table.entries);
	return 0;
}

/* Once in a file's life: it does not change as long as its build id is the same. */
static void file__identify(struct symbols *symbols, struct file *file, const struct found *found)
{
	if (file->ids || found->image.fd < 0)
		return;
	file->ids = calloc(1, sizeof(*file->ids));
	if (!file->ids)
		return;
	symbols->ids_bytes += sizeof(*file->ids);
	file->ids->has_htlhash = !profile__htlhash(found->image.fd, file->ids->htlhash);
	memcpy(file->ids->go, found->info.go_build_id, sizeof(file->ids->go));
	if (found->path[0] && !strstr(found->path, "/.build-id/"))
		file->ids->path = strdup(found->path);
	if (file->ids->path)
		symbols->ids_bytes += strlen(file->ids->path) + 1;
}

static void file__forget_ids(struct symbols *symbols, struct file *file)
{
	if (!file->ids)
		return;
	symbols->ids_bytes -= sizeof(*file->ids);
	if (file->ids->path)
		symbols->ids_bytes -= strlen(file->ids->path) + 1;
	free((char *)file->ids->path);
	free(file->ids);
	file->ids = NULL;
}

/* Opens the file and what belongs to it; reads the functions unless they are known. */
static int file__open(struct symbols *symbols, struct file *file, const struct symbols_file *key)
{
	struct image unpacked = IMAGE_NONE;
	struct loaded *loaded = calloc(1, sizeof(*loaded));
	struct image_info debug_info = {0};
	struct found *found = calloc(1, sizeof(*found)), *debug = calloc(1, sizeof(*debug));
	int err = -ENOMEM;

	if (!loaded || !found || !debug) {
		free(loaded); /* nothing is open yet */
		loaded = NULL;
		goto out;
	}
	found->image = debug->image = loaded->images[0] = loaded->images[1] = loaded->alt =
		IMAGE_NONE;
	loaded->debug = -1;
	if (is_vdso(symbols, key)) {
		found->image = symbols->vdso;
		found->info = symbols->vdso_info;
	} else {
		err = find__file(symbols->find, key, found);
		if (err)
			goto out;
	}
	loaded->images[0] = found->image;
	loaded->info = found->info;
	loaded->open = true;
	file__identify(symbols, file, found);
	if (found->info.has_dwarf)
		loaded->debug = 0;
	if (found->image.fd >= 0 &&
	    (!found->info.symtab.symbols.size || (symbols->want_lines && loaded->debug < 0)) &&
	    !find__debug(symbols->find, found, debug)) {
		if (debug->info.is64 == found->info.is64) {
			loaded->images[1] = debug->image;
			debug_info = debug->info;
			if (loaded->debug < 0 && debug_info.has_dwarf)
				loaded->debug = 1;
		} else {
			image__close(&debug->image);
		}
	}
	if (symbols->want_lines && loaded->debug >= 0)
		find__alt(symbols->find, loaded->debug ? debug : found, &loaded->alt);

	if (file->loaded && same_image(&file->loaded->images[0], &loaded->images[0]) &&
	    (file->loaded->unpacked || same_image(&file->loaded->images[1], &loaded->images[1]))) {
		struct loaded *known = file->loaded;

		/* The same as before: only the descriptors are new. */
		known->images[0].fd = loaded->images[0].fd;
		if (!known->unpacked)
			known->images[1].fd = loaded->images[1].fd;
		else
			image__close(&loaded->images[1]);
		known->alt = loaded->alt;
		known->open = true;
		free(loaded);
		loaded = NULL;
		err = 0;
		goto out;
	}
	if (!loaded->info.symtab.symbols.size && !debug_info.symtab.symbols.size &&
	    loaded->info.debugdata.size && loaded->debug != 1) {
		image__close(&loaded->images[1]);
		loaded->images[1] = IMAGE_NONE;
		unpack(loaded, &unpacked, &debug_info);
	}
	err = loaded__table(loaded, &debug_info, &unpacked);
	if (err)
		goto out;
	file__unload(symbols, file);
	file->loaded = loaded;
	file->id = ++symbols->next_id;
	symbols->loaded_bytes += loaded->bytes;
	symbols->n_loaded++;
	symbols->opened++;
	loaded = NULL;
	make_room(symbols, symbols->cache_bytes, file, NULL);
out:
	free((void *)unpacked.mem);
	free(found);
	free(debug);
	loaded__free(loaded);
	if (!err && count(symbols, is_open) > OPEN_MAX)
		loaded__close(least_used(symbols, file, is_open)->loaded);
	return err;
}

static struct file *file__get(struct symbols *symbols, const struct symbols_file *key)
{
	__u64 hash = key->build_id_len ? names__hash(key->build_id, key->build_id_len)
				       : names__hash(key->path, strlen(key->path)) + key->pid;
	struct file **bucket = &symbols->files[hash % BUCKETS];
	struct file *file;

	for (file = *bucket; file; file = file->next) {
		if (file->build_id_len != key->build_id_len)
			continue;
		if (key->build_id_len ? !memcmp(file->build_id, key->build_id, key->build_id_len)
				      : file->pid == key->pid && !strcmp(file->path, key->path))
			return file;
	}
	file = calloc(1, sizeof(*file));
	if (!file)
		return NULL;
	memcpy(file->build_id, key->build_id, BUILD_ID_SIZE);
	file->build_id_len = key->build_id_len;
	if (!key->build_id_len) {
		file->pid = key->pid;
		file->path = strdup(key->path);
		if (!file->path) {
			free(file);
			return NULL;
		}
	}
	file->id = ++symbols->next_id;
	file->next = *bucket;
	*bucket = file;
	symbols->n_files++;
	return file;
}

static void file__missing(struct symbols *symbols, struct file *file)
{
	file->missing = true;
	file->retry_after = file->retry_after ? file->retry_after * 2 : 1;
	if (file->retry_after > RETRY_MAX)
		file->retry_after = RETRY_MAX;
	file->retry_at = symbols->export + file->retry_after;
}

static int add_lines(struct symbols *symbols, struct file *file, __u64 vaddr, struct symbol *list,
		     int n)
{
	struct loaded *loaded = file->loaded;
	struct lines_frame frames[LINES_FRAMES_MAX];
	struct symbol all[LINES_FRAMES_MAX];
	int n_frames, done = 0;

	if (loaded->lines_failed || loaded->debug < 0 || loaded->images[loaded->debug].fd < 0)
		return n;
	if (!loaded->lines.pid) {
		if (count(symbols, has_reader) >= READERS_MAX)
			lines__stop(&least_used(symbols, file, has_reader)->loaded->lines);
		if (lines__start(&loaded->lines, &loaded->images[loaded->debug], &loaded->alt))
			return n;
	}
	n_frames = lines__ask(&loaded->lines, vaddr, frames, LINES_FRAMES_MAX);
	if (n_frames < 0) {
		loaded->lines_failed = true;
		symbols->readers_failed++;
		return n;
	}
	for (int i = 0; i < n_frames; i++) {
		struct symbol *to = &all[done];

		*to = (struct symbol){0};
		/* The function that was not inlined keeps the name it has without DWARF. */
		if (i == n_frames - 1 && n)
			*to = list[0];
		else if (!frames[i].name[0] ||
			 !set_name(symbols, frames[i].name, strlen(frames[i].name), to))
			continue;
		to->line = frames[i].line;
		to->start_line = frames[i].start_line;
		if (frames[i].file[0])
			to->file =
				names__put(&symbols->names, frames[i].file, strlen(frames[i].file));
		done++;
	}
	if (!done)
		return n;
	memcpy(list, all, done * sizeof(*list));
	return done;
}

int symbols__file(struct symbols *symbols, const struct symbols_file *key, __u64 offset,
		  struct symbol *out, int max)
{
	struct symbol list[LINES_FRAMES_MAX] = {0};
	const struct image_entry *entry;
	const struct answer *answer;
	struct loaded *loaded;
	struct file *file;
	__u64 vaddr;
	int n = 0;

	if (key->build_id_len > BUILD_ID_SIZE || (!key->build_id_len && (!key->path || !key->pid)))
		return 0;
	file = file__get(symbols, key);
	if (!file)
		return 0;
	file->used = ++symbols->clock;
	answer = answers__get(symbols, file->id, offset);
	if (answer)
		return answer__copy(answer, out, max);
	if (file->missing && symbols->export < file->retry_at)
		return 0;
	if (!file->loaded && file__open(symbols, file, key)) {
		file__missing(symbols, file);
		return 0;
	}
	file->missing = false;
	loaded = file->loaded;
	if (!image__vaddr(&loaded->info, offset, &vaddr))
		goto out;
	entry = image__lookup(&loaded->table, vaddr);
	if (!entry && !symbols->want_lines)
		goto out;
	if (!loaded->open) {
		if (file__open(symbols, file, key)) {
			/* Gone since the last export; what was answered then still holds. */
			file__missing(symbols, file);
			return 0;
		}
		loaded = file->loaded;
		if (!image__vaddr(&loaded->info, offset, &vaddr))
			goto out;
		entry = image__lookup(&loaded->table, vaddr);
	}
	if (entry) {
		int source = entry->name >> 31;
		size_t len = image__name(&loaded->images[source], &loaded->strings[source],
					 entry->name & INT32_MAX, symbols->raw);

		if (len && set_name(symbols, symbols->raw, len, &list[0]))
			n = 1;
	}
	if (symbols->want_lines)
		n = add_lines(symbols, file, vaddr, list, n);
out:
	answers__put(symbols, file->id, offset, list, n);
	if (n > max)
		n = max;
	if (n > 0)
		memcpy(out, list, n * sizeof(*out));
	return n > 0 ? n : 0;
}

const struct symbols_ids *symbols__ids(struct symbols *symbols, const struct symbols_file *key)
{
	struct file *file;

	if (key->build_id_len > BUILD_ID_SIZE || (!key->build_id_len && (!key->path || !key->pid)))
		return NULL;
	file = file__get(symbols, key);
	if (!file || file->ids || is_vdso(symbols, key))
		return file ? file->ids : NULL;
	if (!file->loaded && (!file->missing || symbols->export >= file->retry_at)) {
		if (file__open(symbols, file, key))
			file__missing(symbols, file);
		else
			file->missing = false;
	}
	return file->ids;
}

/* --- kernel and code made at run time ----------------------------------------- */

int symbols__kernel(struct symbols *symbols, __u64 addr, struct symbol *out)
{
	const char *name, *module;

	*out = (struct symbol){0};
	if (!kernel__lookup(&symbols->kernel, "/proc", addr, &name, &module))
		return 0;
	if (!set_name(symbols, name, strlen(name), out))
		return 0;
	if (module)
		out->module = names__put(&symbols->names, module, strlen(module));
	return 1;
}

static struct jit *jit__get(struct symbols *symbols, __u32 pid)
{
	struct jit *jit, **at = &symbols->jits;

	for (; *at && (*at)->pid != pid; at = &(*at)->next)
		;
	jit = *at;
	if (jit) {
		*at = jit->next; /* to the front */
	} else {
		if (symbols->n_jits >= JITS_MAX)
			return NULL;
		jit = calloc(1, sizeof(*jit));
		if (!jit)
			return NULL;
		jit->pid = pid;
		jit->image = IMAGE_NONE;
		jit->id = ++symbols->next_id;
		symbols->jit_bytes += jit__bytes(jit);
		symbols->n_jits++;
	}
	jit->next = symbols->jits;
	symbols->jits = jit;
	return jit;
}

static void refresh(struct symbols *symbols, struct jit *jit)
{
	size_t before = jit__bytes(jit);
	__u32 id = ++symbols->next_id;

	jit__refresh(jit, id);
	symbols->jit_bytes += jit__bytes(jit) - before;
	if (jit->id == id)
		make_room(symbols, symbols->cache_bytes, NULL, jit);
}

int symbols__jit(struct symbols *symbols, __u32 pid, __u64 addr, struct symbol *out)
{
	const struct answer *answer;
	struct jit *jit = jit__get(symbols, pid);
	size_t len;
	int n = 0;

	*out = (struct symbol){0};
	if (!jit)
		return 0;
	jit->used = ++symbols->clock;
	if (!jit->checked)
		refresh(symbols, jit);
	answer = answers__get(symbols, jit->id, addr);
	if (answer)
		return answer__copy(answer, out, 1);
	len = jit__lookup(jit, addr, symbols->raw);
	if (!len && jit->image.fd >= 0) {
		__u32 before = jit->id;

		refresh(symbols, jit); /* grown meanwhile? */
		if (jit->id != before)
			len = jit__lookup(jit, addr, symbols->raw);
	}
	if (len) {
		out->name = names__put(&symbols->names, symbols->raw, len);
		n = out->name != NULL;
	}
	if (n || jit->image.fd >= 0)
		answers__put(symbols, jit->id, addr, out, n);
	return n;
}

/* --- bare addresses ---------------------------------------------------------- */

static bool add_mapping(const struct find_mapping *from, void *arg)
{
	struct symbols *symbols = arg;
	struct mapping *list, *to;
	size_t n = symbols->mappings.n;

	if (!from->exec || (!from->inode && strcmp(from->path, "[vdso]")))
		return true;
	if (!(n & (n - 1))) {
		list = realloc(symbols->mappings.list, (n ? n * 2 : 1) * sizeof(*list));
		if (!list)
			return false;
		symbols->mappings.list = list;
	}
	to = &symbols->mappings.list[n];
	*to = (struct mapping){
		.start = from->start,
		.end = from->end,
		.offset = from->offset,
		.inode = from->inode,
		.path = names__put(&symbols->names, from->path, strlen(from->path)),
	};
	if (!to->path)
		return false;
	symbols->mappings.n++;
	return symbols->mappings.n < MAPPINGS_MAX;
}

static void identify(struct symbols *symbols, struct mapping *mapping)
{
	struct find_mapping at = {
		.start = mapping->start,
		.end = mapping->end,
		.inode = mapping->inode,
	};
	struct image image;
	struct image_info info;
	size_t len = strlen(mapping->path);
	int fd;

	if (len >= sizeof(at.path))
		return;
	memcpy(at.path, mapping->path, len + 1);
	fd = find__mapped(symbols->mappings.pid, &at);
	if (fd < 0 || image__open(&image, fd))
		return;
	if (!image__parse(&image, &info, true)) {
		memcpy(mapping->build_id, info.build_id, BUILD_ID_SIZE);
		mapping->build_id_len = info.build_id_len;
	}
	image__close(&image);
}

int symbols__mapping(struct symbols *symbols, __u32 pid, __u64 addr, struct symbols_file *file,
		     __u64 *offset)
{
	struct mapping *mapping = NULL;

	if (!symbols->mappings.valid || symbols->mappings.pid != pid) {
		symbols->mappings.n = 0;
		free(symbols->mappings.list);
		symbols->mappings.list = NULL;
		symbols->mappings.pid = pid;
		symbols->mappings.valid = true;
		find__walk(pid, add_mapping, symbols);
	}
	for (size_t i = 0; i < symbols->mappings.n && !mapping; i++)
		if (addr >= symbols->mappings.list[i].start && addr < symbols->mappings.list[i].end)
			mapping = &symbols->mappings.list[i];
	if (!mapping)
		return 0;
	*file = (struct symbols_file){.pid = pid, .path = mapping->path};
	*offset = addr - mapping->start + mapping->offset;
	if (!mapping->inode) {
		/* A 32-bit process has another vDSO than ours. */
		if (mapping->end - mapping->start != symbols->vdso_mapped || addr <= UINT32_MAX ||
		    !symbols->vdso_info.build_id_len)
			return 0;
		memcpy(file->build_id, symbols->vdso_info.build_id, BUILD_ID_SIZE);
		file->build_id_len = symbols->vdso_info.build_id_len;
		file->path = NULL;
		return 1;
	}
	if (!mapping->identified) {
		mapping->identified = true;
		identify(symbols, mapping);
	}
	memcpy(file->build_id, mapping->build_id, BUILD_ID_SIZE);
	file->build_id_len = mapping->build_id_len;
	return 1;
}

/* --- the whole --------------------------------------------------------------- */

static bool add_vdso(const struct find_mapping *mapping, void *arg)
{
	struct symbols *symbols = arg;

	if (strcmp(mapping->path, "[vdso]"))
		return true;
	if (mapping->start == getauxval(AT_SYSINFO_EHDR)) {
		symbols->vdso_mapped = mapping->end - mapping->start;
		symbols->vdso = (struct image){
			.fd = -1,
			.mem = (const void *)(uintptr_t)mapping->start,
			.size = symbols->vdso_mapped,
		};
		image__parse(&symbols->vdso, &symbols->vdso_info, false);
	}
	return false;
}

struct symbols *symbols__new(const struct symbols_options *options)
{
	static const struct symbols_options defaults;
	struct symbols *symbols = calloc(1, sizeof(*symbols));

	if (!symbols)
		return NULL;
	if (!options)
		options = &defaults;
	symbols->want_lines = options->want_lines;
	symbols->cache_bytes = options->cache_bytes ? options->cache_bytes : CACHE_BYTES;
	symbols->vdso = IMAGE_NONE;
	symbols->find = find__new(options->debug_dirs);
	if (!symbols->find) {
		free(symbols);
		return NULL;
	}
	find__walk(getpid(), add_vdso, symbols);
	return symbols;
}

static void file__free(struct symbols *symbols, struct file *file)
{
	file__unload(symbols, file);
	file__forget_ids(symbols, file);
	free(file->path);
	free(file);
	symbols->n_files--;
}

/* Drops records: all, or those that do not outlive an export. */
static void drop_files(struct symbols *symbols, bool all)
{
	bool crowded = symbols->n_files > FILES_MAX;

	for (int i = 0; i < BUCKETS; i++) {
		struct file **at = &symbols->files[i];

		while (*at) {
			struct file *file = *at;

			if (!all && file->build_id_len && (!crowded || file->loaded)) {
				at = &file->next;
				continue;
			}
			*at = file->next;
			file__free(symbols, file);
		}
	}
}

static void drop_jits(struct symbols *symbols, bool all)
{
	struct jit **at = &symbols->jits;

	while (*at) {
		struct jit *jit = *at;

		image__close(&jit->image);
		jit->checked = false;
		if (!all && jit->n) {
			at = &jit->next;
			continue;
		}
		*at = jit->next;
		symbols->jit_bytes -= jit__bytes(jit);
		symbols->n_jits--;
		jit__clear(jit);
		free(jit);
	}
}

void symbols__trim(struct symbols *symbols)
{
	symbols->export ++;
	free(symbols->mappings.list);
	memset(&symbols->mappings, 0, sizeof(symbols->mappings));
	for (int i = 0; i < BUCKETS; i++)
		for (struct file *file = symbols->files[i]; file; file = file->next)
			if (file->loaded)
				loaded__close(file->loaded);
	drop_files(symbols, false);
	drop_jits(symbols, false);
	find__next_export(symbols->find);
	kernel__next_export(&symbols->kernel);
	if (answers_bytes(symbols) > symbols->cache_bytes / 2)
		forget_answers(symbols);
	make_room(symbols, symbols->cache_bytes - answers_bytes(symbols), NULL, NULL);
}

void symbols__free(struct symbols *symbols)
{
	if (!symbols)
		return;
	drop_files(symbols, true);
	drop_jits(symbols, true);
	free(symbols->mappings.list);
	forget_answers(symbols);
	kernel__free(&symbols->kernel);
	find__free(symbols->find);
	free(symbols);
}

void symbols__stats(const struct symbols *symbols, struct symbols_stats *stats)
{
	*stats = (struct symbols_stats){
		.bytes = bytes_held(symbols) + answers_bytes(symbols),
		.kernel_bytes = kernel__bytes(&symbols->kernel),
		.files = symbols->n_loaded,
		.answers = symbols->n_answers,
		.opened = symbols->opened,
		.readers_failed = symbols->readers_failed,
	};
	for (int i = 0; i < BUCKETS; i++)
		for (struct file *file = symbols->files[i]; file; file = file->next)
			stats->missing += file->missing;
}
