// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Attaches bench_memleak to a process: its C library's malloc() and free(), at the symbols, as
 * tools do that know no better.
 *
 *	memleak OBJECT PID LIBRARY
 *
 * Says "attached"; detaches at the end of its standard input.
 */
#include <bpf/libbpf.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static const struct {
	const char *program, *function;
	bool on_return;
} places[] = {
	{"memleak_leave", "malloc", true},
	{"memleak_enter", "malloc", false},
	{"memleak_free", "free", false},
};

int main(int argc, char **argv)
{
	struct bpf_object *object = argc == 4 ? bpf_object__open(argv[1]) : NULL;
	char byte;

	if (!object || bpf_object__load(object))
		return 1;
	for (size_t i = 0; i < sizeof(places) / sizeof(places[0]); i++) {
		LIBBPF_OPTS(bpf_uprobe_opts, opts);
		struct bpf_program *prog =
			bpf_object__find_program_by_name(object, places[i].program);

		opts.func_name = places[i].function;
		opts.retprobe = places[i].on_return;
		if (!prog ||
		    !bpf_program__attach_uprobe_opts(prog, atoi(argv[2]), argv[3], 0, &opts))
			return 1;
	}
	puts("attached");
	fflush(stdout);
	while (read(0, &byte, 1) > 0)
		;
	return 0;
}
