// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/kernel.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "fail.h"
#include "symbols/names.h"

#define SYMBOLS_MAX (4 << 20)
#define NAMES_MAX (256 << 20)
#define MODULES_MAX 4096
#define LAST_SIZE_MAX \
	65536 /* kallsyms has no sizes: farther behind the last one's start is no one's */
#define STALE_SECONDS 300 /* a BPF program's address may be another's by then */
#define CORE_MODULE 0

static __s64 now(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec + 1;
}

static void kernel__clear(struct kernel *kernel)
{
	free(kernel->entries);
	free(kernel->names);
	free(kernel->modules);
	*kernel = (struct kernel){
		.said = kernel->said,
		.fresh = kernel->fresh,
		.tried = kernel->tried,
	};
}

void kernel__free(struct kernel *kernel)
{
	kernel__clear(kernel);
}

size_t kernel__bytes(const struct kernel *kernel)
{
	return kernel->room * sizeof(*kernel->entries) + kernel->names_room +
	       kernel->n_modules * sizeof(*kernel->modules);
}

static int kernel__name(struct kernel *kernel, const char *text, __u32 *at)
{
	size_t len = strlen(text) + 1;

	if (len > kernel->names_room - kernel->names_len) {
		size_t room =
			kernel->names_room ? kernel->names_room + kernel->names_room / 2 : 1 << 20;
		char *names = room <= NAMES_MAX ? realloc(kernel->names, room) : NULL;

		if (!names)
			return -ENOMEM;
		kernel->names = names;
		kernel->names_room = room;
	}
	*at = kernel->names_len;
	memcpy(kernel->names + kernel->names_len, text, len);
	kernel->names_len += len;
	return 0;
}

/* kallsyms lists a module's symbols one after another: the last one is nearly always it. */
static __u32 kernel__module(struct kernel *kernel, const char *name)
{
	struct kernel_module *modules;
	size_t n = kernel->n_modules;

	for (size_t i = n; i > 1; i--)
		if (!strncmp(kernel->modules[i - 1].name, name, sizeof(modules->name) - 1))
			return i - 1;
	if (n >= MODULES_MAX)
		return CORE_MODULE;
	modules = realloc(kernel->modules, (n + 2) * sizeof(*modules));
	if (!modules)
		return CORE_MODULE;
	if (!n)
		modules[n++] = (struct kernel_module){0};
	modules[n] = (struct kernel_module){0};
	snprintf(modules[n].name, sizeof(modules[n].name), "%s", name);
	kernel->modules = modules;
	kernel->n_modules = n + 1;
	return n;
}

static int by_addr(const void *a, const void *b)
{
	const struct kernel_entry *x = a, *y = b;

	if (x->addr != y->addr)
		return x->addr < y->addr ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* Of names and addresses: use counts change all the time. */
static __u64 hash_modules(const char *files)
{
	char line[1024], name[64];
	unsigned long long start;
	__u64 hash = 0;
	FILE *file;

	snprintf(line, sizeof(line), "%s/modules", files);
	file = fopen(line, "re");
	if (!file)
		return 0;
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "%63s %*s %*s %*s %*s %llx", name, &start) == 2)
			hash = hash * 31 + names__hash(name, strlen(name)) + start;
	fclose(file);
	return hash;
}

static void kernel__read_modules(struct kernel *kernel, const char *path)
{
	char line[1024], name[64];
	unsigned long long size, start;
	FILE *file = fopen(path, "re");

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		__u32 i;

		if (sscanf(line, "%63s %llu %*s %*s %*s %llx", name, &size, &start) != 3 || !start)
			continue;
		i = kernel__module(kernel, name);
		if (i == CORE_MODULE)
			continue;
		kernel->modules[i].start = start;
		kernel->modules[i].end = start + size;
	}
	fclose(file);
}

static int kernel__add(struct kernel *kernel, char *line)
{
	struct kernel_entry entry = {0};
	char *at, *name, *module;
	char type;

	line[strcspn(line, "\n")] = '\0';
	entry.addr = strtoull(line, &at, 16);
	if (at == line || at[0] != ' ' || !at[1] || at[2] != ' ')
		return 0;
	type = at[1];
	name = at + 3;
	if (type != 't' && type != 'T' && type != 'w' && type != 'W')
		return 0;
	/* __pfx_: the padding before each function, where nothing ever runs. */
	if (!entry.addr || kernel->n >= SYMBOLS_MAX || !strncmp(name, "__pfx_", 6))
		return 0;
	module = strchr(name, '\t');
	if (module) {
		*module++ = '\0';
		if (*module == '[') {
			module++;
			module[strcspn(module, "]")] = '\0';
			entry.module = kernel__module(kernel, module);
		}
	} else if (!strcmp(name, "_stext")) {
		kernel->text_start = entry.addr;
	} else if (!strcmp(name, "_etext")) {
		kernel->text_end = entry.addr;
		return 0;
	}
	if (!*name || kernel__name(kernel, name, &entry.name))
		return *name ? -ENOMEM : 0;
	if (kernel->n == kernel->room) {
		size_t room = kernel->room ? kernel->room + kernel->room / 2 : 65536;
		struct kernel_entry *entries = realloc(kernel->entries, room * sizeof(*entries));

		if (!entries)
			return -ENOMEM;
		kernel->entries = entries;
		kernel->room = room;
	}
	kernel->entries[kernel->n++] = entry;
	return 0;
}

static void kernel__shrink(struct kernel *kernel)
{
	void *entries = realloc(kernel->entries, kernel->n * sizeof(*kernel->entries));
	void *names = realloc(kernel->names, kernel->names_len);

	if (entries) {
		kernel->entries = entries;
		kernel->room = kernel->n;
	}
	if (names) {
		kernel->names = names;
		kernel->names_room = kernel->names_len;
	}
}

static void kernel__read(struct kernel *kernel, const char *files)
{
	char path[256], *line = NULL;
	bool any = false;
	size_t room = 0;
	FILE *file;

	kernel__clear(kernel);
	kernel->read_at = now();
	kernel->fresh = true;
	kernel->modules_hash = hash_modules(files);
	snprintf(path, sizeof(path), "%s/kallsyms", files);
	file = fopen(path, "re");
	if (file) {
		while (getline(&line, &room, file) > 0) {
			any = true;
			if (kernel__add(kernel, line))
				break;
		}
		free(line);
		fclose(file);
	}
	if (!kernel->n) {
		if (!kernel->said)
			warn("%s: %s; kernel functions go without names", path,
			     !file ? strerror(errno)
			     : any ? "addresses are hidden (CAP_SYSLOG is missing, or "
				     "kernel.kptr_restrict is 2)"
				   : "empty");
		kernel->said = true;
		return;
	}
	kernel__shrink(kernel);
	qsort(kernel->entries, kernel->n, sizeof(*kernel->entries), by_addr);
	snprintf(path, sizeof(path), "%s/modules", files);
	kernel__read_modules(kernel, path);
}

static const struct kernel_entry *kernel__find(const struct kernel *kernel, __u64 addr)
{
	const struct kernel_entry *entry, *best;
	const struct kernel_module *module;
	size_t low = 0, high = kernel->n;
	const char *name;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (kernel->entries[middle].addr <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	if (!low)
		return NULL;
	entry = best = &kernel->entries[low - 1];
	if (entry->module != CORE_MODULE) {
		module = &kernel->modules[entry->module];
		if (module->end ? addr >= module->end : addr - entry->addr >= LAST_SIZE_MAX)
			return NULL;
	} else if ((entry->addr < kernel->text_end && addr >= kernel->text_end) ||
		   (low == kernel->n && addr - entry->addr >= LAST_SIZE_MAX)) {
		return NULL;
	}
	/* Of several names the plainest: __x64_sys_read before __pfx_…, _stext or __se_sys_read. */
	for (size_t i = low - 1;
	     i > 0 && low - i < 16 && kernel->entries[i - 1].addr == entry->addr; i--) {
		const char *other = kernel->names + kernel->entries[i - 1].name;

		name = kernel->names + best->name;
		if (strspn(other, "_") < strspn(name, "_") ||
		    (strspn(other, "_") == strspn(name, "_") && strlen(other) < strlen(name)))
			best = &kernel->entries[i - 1];
	}
	return best;
}

bool kernel__lookup(struct kernel *kernel, const char *files, __u64 addr, const char **name,
		    const char **module)
{
	const struct kernel_entry *entry;

	if (!kernel->read_at)
		kernel__read(kernel, files);
	if (!kernel->n)
		return false;
	if (!kernel->fresh) {
		if (hash_modules(files) != kernel->modules_hash)
			kernel__read(kernel, files);
		kernel->fresh = true;
	}
	entry = kernel__find(kernel, addr);
	if (!entry || (entry->module != CORE_MODULE && !kernel->modules[entry->module].end &&
		       now() - kernel->read_at > STALE_SECONDS)) {
		if (kernel->tried)
			return false;
		kernel->tried = true;
		kernel__read(kernel, files);
		entry = kernel__find(kernel, addr);
	}
	if (!entry)
		return false;
	*name = kernel->names + entry->name;
	*module = entry->module != CORE_MODULE ? kernel->modules[entry->module].name : NULL;
	return true;
}

void kernel__next_export(struct kernel *kernel)
{
	kernel->fresh = false;
	kernel->tried = false;
	/* Hidden addresses may have become visible. */
	if (!kernel->n && now() - kernel->read_at > STALE_SECONDS)
		kernel->read_at = 0;
}
