// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/jit.h"

#include <ctype.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "symbols/open.h"

#define FILE_MAX (128ULL << 20)
#define ENTRIES_MAX (1 << 20)
#define LEVELS_MAX 32
#define OVERLAP_MAX 64

struct process {
	bool alive;
	__u32 uid[4];
	__u32 pid[LEVELS_MAX]; /* as it is called from outside in */
	int levels;
};

static void process__read(struct process *process, __u32 pid)
{
	char path[32], line[1024];
	FILE *file;

	*process = (struct process){0};
	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	file = fopen(path, "re");
	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		char *at = line + 6, *end;

		if (!strncmp(line, "Uid:", 4)) {
			process->alive =
				sscanf(line + 4, "%u %u %u %u", &process->uid[0], &process->uid[1],
				       &process->uid[2], &process->uid[3]) == 4;
		} else if (!strncmp(line, "NSpid:", 6)) {
			while (process->levels < LEVELS_MAX) {
				unsigned long one = strtoul(at, &end, 10);

				if (end == at)
					break;
				process->pid[process->levels++] = one;
				at = end;
			}
		}
	}
	fclose(file);
}

static bool same_file(const struct image *image, const struct stat *st)
{
	return image->ino && image->ino == st->st_ino && image->dev == st->st_dev;
}

static int jit__open(const struct jit *jit)
{
	struct process process;
	struct stat st;
	char path[64];
	int root, fd;

	process__read(&process, jit->pid);
	root = process.alive ? open_root(jit->pid) : -1;
	for (int i = process.levels - 1; i >= 0 && root >= 0; i--) {
		bool ours;

		snprintf(path, sizeof(path), "/tmp/perf-%u.map", process.pid[i]);
		fd = open_regular(jit->pid, path, false, &st);
		if (fd < 0)
			continue;
		ours = !st.st_uid;
		for (int u = 0; u < 4; u++)
			ours = ours || st.st_uid == process.uid[u];
		if (ours) {
			close(root);
			return fd;
		}
		close(fd);
	}
	if (root >= 0) {
		close(root);
		return -1;
	}
	/* Gone, and with it whose it was: trust root, ourselves, and what we saw while it lived. */
	snprintf(path, sizeof(path), "/tmp/perf-%u.map", jit->pid);
	fd = open_regular(0, path, false, &st);
	if (fd < 0)
		return -1;
	if (!st.st_uid || st.st_uid == geteuid() || same_file(&jit->image, &st))
		return fd;
	close(fd);
	return -1;
}

static int by_start(const void *a, const void *b)
{
	const struct jit_entry *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

/* "START SIZE name", both hexadecimal */
static bool jit__line(struct jit *jit, const char *line, __u64 at)
{
	struct jit_entry entry;
	const char *size_at;
	unsigned long long size;
	char *end;

	if (!isxdigit((unsigned char)line[0]))
		return true;
	entry.start = strtoull(line, &end, 16);
	if (*end != ' ' || !isxdigit((unsigned char)end[1]))
		return true;
	size_at = end + 1;
	size = strtoull(size_at, &end, 16);
	if (*end != ' ' || !end[1] || !size || !entry.start)
		return true;
	entry.size = size < UINT32_MAX ? size : UINT32_MAX;
	entry.name = at + (end + 1 - line);
	if (jit->n >= ENTRIES_MAX)
		return false;
	if (jit->n == jit->room) {
		size_t room = jit->room ? jit->room * 2 : 256;
		struct jit_entry *entries = realloc(jit->entries, room * sizeof(*entries));

		if (!entries)
			return false;
		jit->entries = entries;
		jit->room = room;
	}
	jit->entries[jit->n++] = entry;
	return true;
}

/* A last line that is not ended is still being written. */
static bool jit__parse(struct jit *jit)
{
	char chunk[65537];
	__u64 size = jit->image.size < FILE_MAX ? jit->image.size : FILE_MAX;
	size_t before = jit->n;

	while (jit->parsed < size) {
		size_t len = size - jit->parsed < sizeof(chunk) - 1 ? size - jit->parsed
								    : sizeof(chunk) - 1;
		char *line = chunk, *newline;

		if (image__read(&jit->image, jit->parsed, chunk, len))
			break;
		chunk[len] = '\0';
		while ((newline = memchr(line, '\n', chunk + len - line))) {
			*newline = '\0';
			if (!jit__line(jit, line, jit->parsed + (line - chunk)))
				goto out;
			line = newline + 1;
		}
		if (line == chunk) {
			if (len < sizeof(chunk) - 1)
				break;
			line = chunk + len; /* no name is that long */
		}
		jit->parsed += line - chunk;
	}
out:
	if (jit->n > before)
		qsort(jit->entries, jit->n, sizeof(*jit->entries), by_start);
	return jit->n > before;
}

void jit__clear(struct jit *jit)
{
	image__close(&jit->image);
	jit->image = IMAGE_NONE;
	free(jit->entries);
	jit->entries = NULL;
	jit->n = jit->room = 0;
	jit->parsed = 0;
}

void jit__refresh(struct jit *jit, __u32 id)
{
	struct image image;
	struct stat st;
	int fd;

	jit->checked = true;
	if (jit->image.fd >= 0) {
		if (fstat(jit->image.fd, &st))
			return;
		image = jit->image;
		image.size = st.st_size;
	} else {
		fd = jit__open(jit);
		if (fd < 0)
			return; /* what is known stays: the names cannot be read, though */
		if (image__open(&image, fd))
			return;
	}
	if (jit->image.ino != image.ino || jit->image.dev != image.dev ||
	    image.size < jit->parsed) {
		if (jit->image.fd == image.fd)
			jit->image.fd = -1;
		jit__clear(jit);
		jit->id = id;
	}
	jit->image = image;
	if (jit__parse(jit))
		jit->id = id;
}

size_t jit__lookup(struct jit *jit, __u64 addr, char out[IMAGE_NAME_MAX])
{
	const struct jit_entry *best = NULL;
	struct image_range range = {0};
	size_t low = 0, high = jit->n, len;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (jit->entries[middle].start <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	/* Code is thrown away and its room used again: what was written last holds. */
	for (int i = 0; i < OVERLAP_MAX && low; i++) {
		const struct jit_entry *entry = &jit->entries[--low];

		if (addr - entry->start < entry->size && (!best || entry->name > best->name))
			best = entry;
	}
	if (!best || jit->image.fd < 0)
		return 0;
	range.size = jit->image.size;
	if (!image__name(&jit->image, &range, best->name, out))
		return 0;
	len = strcspn(out, "\r\n");
	out[len] = '\0';
	return len;
}

size_t jit__bytes(const struct jit *jit)
{
	return sizeof(*jit) + jit->room * sizeof(*jit->entries);
}
