// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "filter_processes.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fail.h"

struct entry {
	__u32 pid;
	__u32 verdict;
	bool is_new;
};

struct entries {
	struct entry *list;
	int n;
};

static int append(struct entries *entries, struct entry entry)
{
	struct entry *more = reallocarray(entries->list, entries->n + 1, sizeof(*more));

	if (!more)
		return -ENOMEM;
	more[entries->n++] = entry;
	entries->list = more;
	return 0;
}

static const struct entry *find(const struct entries *entries, __u32 pid)
{
	for (int i = 0; i < entries->n; i++)
		if (entries->list[i].pid == pid)
			return &entries->list[i];
	return NULL;
}

static int collect(const struct otel_filter_key *key, __u32 verdict, void *arg)
{
	struct entries *entries = arg;

	/* The walk may begin anew. */
	return find(entries, key->id) ? 0
				      : append(entries, (struct entry){key->id, verdict, false});
}

/*
 * The parent of a living process, or -1. A process has exited when all its threads
 * have, whether it has been waited for or not; the first thread alone may have.
 */
static long parent_of(__u32 pid)
{
	char path[64], line[256], state = 'X';
	long parent = -1, threads = 0;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/%u/status", pid);
	file = fopen(path, "re");
	if (!file)
		return -1;
	while (fgets(line, sizeof(line), file)) {
		sscanf(line, "State: %c", &state);
		sscanf(line, "PPid: %ld", &parent);
		sscanf(line, "Threads: %ld", &threads);
	}
	fclose(file);
	return (state == 'Z' || state == 'X') && threads <= 1 ? -1 : parent;
}

static int add_children(struct entries *entries)
{
	int before, err = 0;

	/* A child may have a lower number than its parent: again until nothing is new. */
	do {
		DIR *proc = opendir("/proc");
		struct dirent *entry;

		before = entries->n;
		while (!err && proc && (entry = readdir(proc))) {
			const struct entry *parent;
			__u32 pid;

			if (!isdigit((unsigned char)entry->d_name[0]))
				continue;
			pid = strtoul(entry->d_name, NULL, 10);
			if (find(entries, pid))
				continue;
			parent = find(entries, parent_of(pid));
			if (parent && parent->verdict & OTEL_FILTER_CHILDREN)
				err = append(entries, (struct entry){pid, parent->verdict, true});
		}
		if (proc)
			closedir(proc);
	} while (!err && entries->n > before);
	return err;
}

void filter_processes__catch_up(struct filter *filter)
{
	struct otel_filter_key key = {.kind = OTEL_FILTER_PID};
	struct entries entries = {};
	int err, left_out = 0;

	/* Straight into the map, as the programs do it: the flags keep saying what was asked for.
	 */
	err = filter__each(filter, OTEL_FILTER_PID, collect, &entries);
	if (err > 0)
		err = add_children(&entries);
	for (int i = 0; i < entries.n; i++) {
		key.id = entries.list[i].pid;
		if (entries.list[i].is_new &&
		    bpf_map_update_elem(filter->entries, &key, &entries.list[i].verdict,
					BPF_NOEXIST) &&
		    errno != EEXIST)
			left_out++;
	}
	/* After it, or what exited since we found it would get an entry that nobody removes. */
	for (int i = 0; i < entries.n; i++) {
		key.id = entries.list[i].pid;
		if (parent_of(key.id) < 0)
			bpf_map_delete_elem(filter->entries, &key);
	}
	free(entries.list);
	if (err < 0)
		warn("cannot look for processes that came and went meanwhile: %s", strerror(-err));
	if (left_out)
		warn("the filter is full: %d processes that were forked meanwhile are left out",
		     left_out);
}
