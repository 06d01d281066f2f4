// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Gives an exporter the same profile again in each window.
 *
 *   refill MAPS [WAIT_MS WINDOWS]
 *
 * MAPS is a probe's directory of pinned maps. Takes what its tables of samples and of stacks hold,
 * prints how many there are, and ends if that is all that was asked for. Otherwise it puts the same
 * into every window that is opened, WAIT_MS after that, so that no export is under way; before, it
 * prints the number of the window, so that everyone knows one more export is complete.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <otelbpf/profile.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define WAIT_MAX_MS 30000

static void die(const char *what)
{
	fprintf(stderr, "refill: %s: %s\n", what, strerror(errno));
	exit(1);
}

struct table {
	int fd;
	struct bpf_map_info info;
	unsigned int window_at; /* offset in the key */
	size_t n;
	char *entries;
};

static void pass_ms(long ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&time, NULL);
}

static int open_map(const char *dir, const char *name)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/%s", dir, name);
	fd = bpf_obj_get(path);
	if (fd < 0)
		die(path);
	return fd;
}

static void table__open(struct table *table, const char *dir, const char *name)
{
	const struct btf_type *key;
	__u32 len = sizeof(table->info);
	struct btf *btf;

	table->fd = open_map(dir, name);
	if (bpf_obj_get_info_by_fd(table->fd, &table->info, &len))
		die(name);
	btf = btf__load_from_kernel_by_id(table->info.btf_id);
	if (!btf)
		die(name);
	key = btf__type_by_id(btf, btf__resolve_type(btf, table->info.btf_key_type_id));
	table->window_at = -1U;
	for (int i = 0; key && i < btf_vlen(key); i++)
		if (!strcmp(btf__name_by_offset(btf, btf_members(key)[i].name_off), "window"))
			table->window_at = btf_member_bit_offset(key, i) / 8;
	btf__free(btf);
	errno = EINVAL;
	if (table->window_at == -1U)
		die(name);
}

static void table__read(struct table *table)
{
	size_t stride = table->info.key_size + table->info.value_size;
	char *last = NULL;

	table->entries = malloc(stride * table->info.max_entries);
	if (!table->entries)
		die("memory");
	while (table->n < table->info.max_entries) {
		char *entry = table->entries + table->n * stride;

		if (bpf_map_get_next_key(table->fd, last, entry))
			break;
		last = entry;
		if (!bpf_map_lookup_elem(table->fd, entry, entry + table->info.key_size))
			table->n++;
	}
}

static void table__put(struct table *table, __u32 window)
{
	size_t stride = table->info.key_size + table->info.value_size;

	for (size_t i = 0; i < table->n; i++) {
		char *entry = table->entries + i * stride;

		memcpy(entry + table->window_at, &window, sizeof(window));
		if (bpf_map_update_elem(table->fd, entry, entry + table->info.key_size, BPF_ANY))
			die("no room for what was there before");
	}
}

int main(int argc, char **argv)
{
	static const char *const names[] = {"first_samples", "samples", "first_stacks", "stacks"};
	struct table tables[4] = {{0}};
	struct otel_window state;
	long wait = argc > 3 ? atol(argv[2]) : 0;
	int windows = argc > 3 ? atoi(argv[3]) : 0, fd;
	__u32 zero = 0, last;

	if (argc != 2 && argc != 4) {
		fprintf(stderr, "usage: refill MAPS [WAIT_MS WINDOWS]\n");
		return 2;
	}
	for (int i = 0; i < 4; i++) {
		table__open(&tables[i], argv[1], names[i]);
		table__read(&tables[i]);
	}
	printf("%zu %zu\n", tables[0].n + tables[1].n, tables[2].n + tables[3].n);
	fflush(stdout);
	fd = open_map(argv[1], "data_window");
	if (bpf_map_lookup_elem(fd, &zero, &state))
		die("window");
	for (last = state.current; windows > 0; windows--) {
		for (int ms = 0; state.current == last; ms += 10) {
			if (ms >= WAIT_MAX_MS)
				return 1;
			pass_ms(10);
			if (bpf_map_lookup_elem(fd, &zero, &state))
				die("window");
		}
		last = state.current;
		pass_ms(wait);
		printf("%u\n", last);
		fflush(stdout);
		for (int i = 3; i >= 0; i--) /* stacks before what refers to them */
			table__put(&tables[i], last);
	}
	return 0;
}
