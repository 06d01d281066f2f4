// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "naming.h"

#include <string.h>

#define SYMBOLS_MAX 16

static int add_location(struct profile_set *set, const struct profile_mapping *mapping,
			__u64 address, const char *frame_type, const struct symbol *symbols, int n)
{
	struct profile_line lines[SYMBOLS_MAX];
	int index = mapping ? profile_set__mapping(set, mapping) : 0;

	for (int i = 0; i < n; i++)
		lines[i] = (struct profile_line){
			.name = symbols[i].name,
			.system_name = symbols[i].system_name,
			.file = symbols[i].file,
			.line = symbols[i].line,
			.start_line = symbols[i].start_line,
		};
	return index < 0 ? index : profile_set__location(set, index, address, frame_type, lines, n);
}

static int add_kernel_frame(const struct naming *naming, __u64 address, bool leaf)
{
	struct symbol symbol = {0};
	int n = naming->symbols ? symbols__kernel(naming->symbols, address - !leaf, &symbol) : 0;

	return add_location(naming->set, NULL, address, "kernel", &symbol, n);
}

static int add_file_frame(const struct naming *naming, const struct symbols_file *file,
			  __u64 offset, bool leaf)
{
	struct symbol symbols[SYMBOLS_MAX];
	struct profile_mapping mapping = {
		.path = file->path,
		.build_id = file->build_id_len ? file->build_id : NULL,
		.build_id_len = file->build_id_len,
	};
	const struct symbols_ids *ids = NULL;
	int n = 0;

	if (naming->symbols) {
		n = symbols__file(naming->symbols, file, offset - !leaf, symbols, SYMBOLS_MAX);
		ids = symbols__ids(naming->symbols, file);
	}
	if (ids && ids->has_htlhash)
		mapping.htlhash = ids->htlhash;
	if (ids)
		mapping.go_build_id = ids->go;
	/* Of a frame with a build id only the process's program is known, not its libraries. */
	if (ids && ids->path)
		mapping.path = ids->path;
	return add_location(naming->set, file->build_id_len || file->path ? &mapping : NULL, offset,
			    "native", symbols, n);
}

static int add_user_frame(const struct naming *naming, __u32 pid, __u64 frame, bool leaf)
{
	struct symbols_file file = {.pid = pid};
	__u64 number = frame >> OTEL_FRAME_OFFSET_BITS;
	__u64 offset = frame & ((1ULL << OTEL_FRAME_OFFSET_BITS) - 1);
	struct symbol symbol;
	int n = 0;

	if (!(frame & OTEL_FRAME_ADDRESS)) {
		if (number < naming->files->n) {
			memcpy(file.build_id, naming->files->build_ids[number].bytes,
			       BUILD_ID_SIZE);
			file.build_id_len = BUILD_ID_SIZE;
			file.path = naming->files->paths[number];
		}
		return add_file_frame(naming, &file, offset, leaf);
	}
	frame &= ~OTEL_FRAME_ADDRESS;
	if (naming->symbols && symbols__mapping(naming->symbols, pid, frame, &file, &offset))
		return add_file_frame(naming, &file, offset, leaf);
	if (naming->symbols)
		n = symbols__jit(naming->symbols, pid, frame - !leaf, &symbol);
	return add_location(naming->set, NULL, frame, n ? "jit" : "native", &symbol, n);
}

/*
 * What runs between a tracepoint and the program that took the stack: the tracer, not
 * what is measured.
 */
static bool is_tracer(const struct naming *naming, __u64 address)
{
	static const char *const names[] = {"bpf_trace_run", "__traceiter_", "__bpf_trace_",
					    "bpf_prog_",     "__bpf_prog_",  "bpf_get_stack"};
	struct symbol symbol;

	if (!naming->symbols || !symbols__kernel(naming->symbols, address, &symbol))
		return false;
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strncmp(symbol.name, names[i], strlen(names[i])))
			return true;
	return false;
}

bool naming__is_tracer(const struct naming *naming, struct frame *frame)
{
	if (frame->tracer == TRACER_UNKNOWN)
		frame->tracer = is_tracer(naming, frame->address) ? TRACER_YES : TRACER_NO;
	return frame->tracer == TRACER_YES;
}

int naming__location(const struct naming *naming, struct frame *frame, __u32 process, __u32 pid,
		     bool leaf)
{
	bool user = frame->kind == OTEL_STACK_USER;
	int location;

	/* An address means something in one process only; a place in a file, in all. */
	if (!user || !(frame->address & OTEL_FRAME_ADDRESS))
		process = 1;
	if (frame->owner[leaf] == process)
		return frame->location[leaf];
	location = user ? add_user_frame(naming, pid, frame->address, leaf)
			: add_kernel_frame(naming, frame->address, leaf);
	if (location >= 0) {
		frame->location[leaf] = location;
		frame->owner[leaf] = process;
	}
	return location;
}
