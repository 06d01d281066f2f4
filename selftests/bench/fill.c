// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Fills the table of selftests/progs/bench_series.bpf.c.
 *
 *   fill PINNED_MAP
 *
 * Each histogram is what a system call's usually looks like: a median between
 * 0.5 us and 1 ms, most measurements within two octaves of it, few far above.
 * The numbers are the same on every run.
 */
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* gcc knows no btf_decl_tag, and nothing here wants it. */
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wattributes"
#include <otelbpf/exphist.bpf.h>
#pragma GCC diagnostic pop

#include "series.h"

static __u64 state = 1;

/* Knuth's MMIX generator; its upper bits are good enough for made up latencies. */
static __u32 any(__u32 below)
{
	state = state * 6364136223846793005ULL + 1442695040888963407ULL;
	return (state >> 33) % below;
}

static void fill(struct exphist_s *histogram, __u32 median)
{
	memset(histogram, 0, sizeof(*histogram));
	for (int i = 0; i < SERIES_MEASUREMENTS; i++) {
		/* A sum of four is bell shaped: within 2 octaves. One in 64 is an outlier. */
		__u64 sixteenths = any(17) + any(17) + any(17) + any(17) + (any(64) ? 0 : any(96));
		__u64 ns = (__u64)median << (sixteenths / 16);

		exphist_s__record(histogram, ns / 4 + ns * (sixteenths % 16) / 64);
	}
}

int main(int argc, char **argv)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	int fd = argc == 2 ? bpf_obj_get(argv[1]) : -1, cpus = libbpf_num_possible_cpus();
	struct exphist_s *values;

	if (argc != 2) {
		fprintf(stderr, "usage: fill PINNED_MAP\n");
		return 2;
	}
	if (fd < 0 || bpf_obj_get_info_by_fd(fd, &info, &len)) {
		fprintf(stderr, "fill: %s: %s\n", argv[1], strerror(errno));
		return 1;
	}
	values = calloc(cpus, sizeof(*values));
	if (!values || info.value_size != sizeof(*values) || info.key_size != SERIES_KEY_SIZE) {
		fprintf(stderr, "fill: %s is not the table of bench_series.bpf.c\n", argv[1]);
		return 1;
	}
	for (__u32 i = 0; i < SERIES; i++) {
		__u32 key[] = {i % SERIES_NAMES, i / SERIES_NAMES};
		__u32 median = 500U << any(12);

		for (int cpu = 0; cpu < cpus; cpu++)
			fill(&values[cpu], median);
		if (bpf_map_update_elem(fd, key, values, BPF_ANY)) {
			fprintf(stderr, "fill: %s: %s\n", argv[1], strerror(errno));
			return 1;
		}
	}
	return 0;
}
