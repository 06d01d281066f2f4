// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * How fast the exporter reads and encodes one pinned table, each by itself and
 * without what is around: no start of a process, no delivery.
 *
 *   encode PINNED_MAP VARIABLE ROUNDS
 *
 * Prints name=value lines. Times are medians of ROUNDS, in milliseconds of this
 * thread's CPU time, so that other load does not count.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "otlp/metrics.h"
#include "plan.h"
#include "resource.h"
#include "tagged.h"

#define ROUNDS_MAX 1000
#define NOW 1700000000000000000ULL

/* As much as the exporter reads at once: what is encoded is in the CPU's cache, as it is there. */
#define BATCH_BYTES (512 * 1024)

struct batch {
	char *keys, *values;
	size_t stride;
	__u32 room;
};

static size_t requested_bytes, requested_points;

static int count(const struct pb *request, size_t points, void *ctx)
{
	(void)ctx;
	requested_bytes += request->len;
	requested_points += points;
	return 0;
}

static double cpu_ms(void)
{
	struct timespec time;

	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
	return time.tv_sec * 1e3 + time.tv_nsec / 1e6;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static double median(double *v, int n)
{
	qsort(v, n, sizeof(*v), by_value);
	return n % 2 ? v[n / 2] : (v[n / 2 - 1] + v[n / 2]) / 2;
}

static void die(const char *what)
{
	fprintf(stderr, "encode: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void must(int err, const char *what)
{
	if (err < 0) {
		errno = -err;
		die(what);
	}
}

static struct plan *describe(int fd, const char *variable)
{
	struct bpf_map_info info = {0};
	__u32 len = sizeof(info);
	struct tagged *tagged;
	struct plan *plan;
	struct btf *btf;
	char why[512] = "";

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		die("map");
	btf = btf__load_from_kernel_by_id(info.btf_id);
	tagged = btf ? tagged__new(btf) : NULL;
	if (!tagged)
		die("BTF");
	plan = plan__compile(&info, btf, tagged, tagged__variable(btf, variable), why, sizeof(why));
	if (!plan)
		die(why[0] ? why : "plan");
	return plan;
}

static void batch__init(struct batch *batch, const struct plan *plan)
{
	batch->stride = (size_t)plan->value_size * plan->values;
	batch->room = BATCH_BYTES / batch->stride;
	batch->keys = calloc(batch->room, plan->key_size);
	batch->values = calloc(batch->room, batch->stride);
	if (!batch->keys || !batch->values)
		die("memory");
}

/* One export, up to the point where it would be sent. Adds to @read_ms and @encode_ms. */
static __u32 export(int fd, const struct plan *plan, const struct batch *batch,
		    struct metrics *metrics, struct resources *resources, double *read_ms,
		    double *encode_ms)
{
	__u32 position, next, *in = NULL, entries = 0;
	bool last = false;
	double start;

	metrics__begin(metrics, NOW + 1);
	must(metrics__scope(metrics, "otelbpf/bench", NOW), "scope");
	must(metrics__plan(metrics, plan), "plan");
	while (!last) {
		__u32 n = batch->room;

		start = cpu_ms();
		if (bpf_map_lookup_batch(fd, in, &next, batch->keys, batch->values, &n, NULL)) {
			if (errno != ENOENT)
				die("lookup");
			last = true;
		}
		*read_ms += cpu_ms() - start;
		start = cpu_ms();
		for (__u32 i = 0; i < n; i++)
			must(metrics__entry(metrics, plan, batch->keys + (size_t)i * plan->key_size,
					    batch->values + i * batch->stride, RESOURCE_HOST,
					    false),
			     "entry");
		*encode_ms += cpu_ms() - start;
		entries += n;
		position = next;
		in = &position;
	}
	start = cpu_ms();
	must(metrics__emit(metrics, resources, (size_t)-1 / 2, count, NULL), "emit");
	*encode_ms += cpu_ms() - start;
	return entries;
}

int main(int argc, char **argv)
{
	static double reading[ROUNDS_MAX], encoding[ROUNDS_MAX];
	int rounds = argc == 4 ? atoi(argv[3]) : 0, fd;
	struct resources *resources = resources__new(NULL, NULL);
	struct metrics *metrics = metrics__new();
	struct batch batch;
	struct plan *plan;
	__u32 entries = 0;
	double ms, warm = 0;

	if (rounds <= 0 || rounds > ROUNDS_MAX) {
		fprintf(stderr, "usage: encode PINNED_MAP VARIABLE ROUNDS\n");
		return 2;
	}
	fd = bpf_obj_get(argv[1]);
	if (fd < 0)
		die(argv[1]);
	if (!resources || !metrics)
		die("memory");
	plan = describe(fd, argv[2]);
	batch__init(&batch, plan);
	export(fd, plan, &batch, metrics, resources, &warm, &warm); /* buffers grow to their size */
	requested_bytes = requested_points = 0;
	for (int i = 0; i < rounds; i++)
		entries = export(fd, plan, &batch, metrics, resources, &reading[i], &encoding[i]);

	ms = median(encoding, rounds);
	requested_bytes /= rounds;
	requested_points /= rounds;
	printf("points=%zu\nbytes=%zu\n", requested_points, requested_bytes);
	printf("input_mb=%.1f\n", entries * (batch.stride + plan->key_size) / 1e6);
	printf("read_ms=%.3f\nencode_ms=%.3f\n", median(reading, rounds), ms);
	printf("encode_mb_s=%.1f\nencode_points_s=%.0f\n", requested_bytes / ms / 1e3,
	       requested_points / ms * 1e3);
	plan__free(plan);
	metrics__free(metrics);
	resources__free(resources);
	free(batch.keys);
	free(batch.values);
	return 0;
}
