// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "sizes.h"

#include <stdio.h>

/* What the kernel adds to an element of a hash table: list node, bucket, LRU links. */
#define HASH_OVERHEAD 64

static __u64 round_up_8(__u64 n)
{
	return (n + 7) / 8 * 8;
}

__u64 sizes__of_map(const struct bpf_map *map)
{
	__u64 key = round_up_8(bpf_map__key_size(map)), max = bpf_map__max_entries(map);
	__u64 value = round_up_8(bpf_map__value_size(map)), cpus = libbpf_num_possible_cpus();

	switch (bpf_map__type(map)) {
	case BPF_MAP_TYPE_PERCPU_HASH:
	case BPF_MAP_TYPE_LRU_PERCPU_HASH:
		return max * (key + value * cpus + HASH_OVERHEAD);
	case BPF_MAP_TYPE_PERCPU_ARRAY:
		return max * value * cpus;
	case BPF_MAP_TYPE_RINGBUF:
		return max;
	default:
		return max * (key + value + HASH_OVERHEAD);
	}
}

static __u64 available_memory(void)
{
	FILE *file = fopen("/proc/meminfo", "re");
	unsigned long long kib = 0;
	char line[128];

	while (file && fgets(line, sizeof(line), file))
		if (sscanf(line, "MemAvailable: %llu kB", &kib) == 1)
			break;
	if (file)
		fclose(file);
	return kib * 1024;
}

int sizes__check(const struct object *object, struct failure *failure)
{
	__u64 available = available_memory(), total = 0, largest = 0;
	const struct bpf_map *map;
	const char *name = "";

	bpf_object__for_each_map (map, object->obj) {
		__u64 bytes =
			bpf_map__fd(map) >= 0 || !bpf_map__autocreate(map) ? 0 : sizes__of_map(map);

		total += bytes;
		if (bytes > largest) {
			largest = bytes;
			name = bpf_map__name(map);
		}
	}
	if (!available || total <= available / 2)
		return 0;
	return failed(failure, EXIT_LOAD,
		      "%s: its maps would take %llu MiB, more than half of the %llu MiB that are "
		      "available: '%s' has %llu MiB, --set %s.%s.max_entries=N makes it smaller",
		      object->target->path, (unsigned long long)total >> 20,
		      (unsigned long long)available >> 20, name, (unsigned long long)largest >> 20,
		      object->target->probe, name);
}
