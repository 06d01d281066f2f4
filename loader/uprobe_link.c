// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_link.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <linux/bpf.h>
#include <linux/perf_event.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "hook.h"
#include "path.h"

#define UPROBE_PMU "/sys/bus/event_source/devices/uprobe"

/* include/uapi/linux/bpf.h of 6.6 and 6.13: older headers and libbpf do not know these. */
#define TRACE_UPROBE_MULTI 48
#define TRACE_UPROBE_SESSION 57
#define UPROBE_MULTI_RETURN 1U

/* Of union bpf_attr, what BPF_LINK_CREATE takes for them. */
struct create {
	__u32 prog, target, type, no_flags;
	__u64 path, offsets, counters, cookies;
	__u32 n, flags, pid, pad;
};

enum kind { SINGLE, MANY, SESSION };

static enum kind kind_of(const char *section)
{
	if (!strncmp(section, "uprobe.session/", strlen("uprobe.session/")))
		return SESSION;
	return MANY;
}

static int create(int prog, enum kind kind, const char *path, const struct uprobe_places *places,
		  __u32 flags, __u32 pid)
{
	struct create attr = {.prog = prog, .n = places->n, .flags = flags, .pid = pid};
	int fd;

	attr.type = kind == SESSION ? TRACE_UPROBE_SESSION : TRACE_UPROBE_MULTI;
	attr.path = (unsigned long)path;
	attr.offsets = (unsigned long)places->offsets;
	attr.counters = (unsigned long)places->counters;
	attr.cookies = (unsigned long)places->cookies;
	fd = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return fd < 0 ? -errno : fd;
}

/*
 * A program that returns at once. 1: of a session, that the return is not wanted; of another, that
 * perf is to have the event, too.
 */
static int load_nothing(enum kind kind)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts);
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .imm = kind == SESSION},
		{.code = BPF_JMP | BPF_EXIT},
	};
	int fd;

	if (kind != SINGLE)
		opts.expected_attach_type =
			kind == SESSION ? TRACE_UPROBE_SESSION : TRACE_UPROBE_MULTI;
	fd = bpf_prog_load(BPF_PROG_TYPE_KPROBE, "nothing", "GPL", nothing, 2, &opts);
	return fd < 0 ? -errno : fd;
}

/*
 * A directory is refused as what it is (EBADF) once everything else was understood. Kernels before
 * 6.10 that lack a correction take a process for a thread ("bpf: Fix multi-uprobe PID filtering
 * logic"); those that have it look at the number first, and no process has -1.
 */
static int try_kind(enum kind kind)
{
	_cleanup_fd_ int prog = load_nothing(kind);
	const struct uprobe_places places = {1, (const __u64[]){0}, NULL, NULL};

	if (prog < 0)
		return prog;
	if (create(prog, kind, "/", &places, 0, 0) != -EBADF ||
	    create(prog, kind, "/", &places, 0, -1) != -EINVAL)
		return -EOPNOTSUPP;
	return 0;
}

static int has(enum kind kind)
{
	static int known[SESSION + 1] = {1, 1, 1};

	if (known[kind] > 0)
		known[kind] = try_kind(kind);
	return known[kind];
}

int uprobe_link__nothing(const char *section)
{
	enum kind kind = kind_of(section);

	return load_nothing(kind == MANY && has(MANY) ? SINGLE : kind);
}

int uprobe_link__has_sessions(void)
{
	return has(SESSION);
}

void uprobe_link__prepare(struct bpf_program *prog, const char *section)
{
	enum kind kind = kind_of(section);

	if (strncmp(section, "uprobe", 6) && strncmp(section, "uretprobe/", 10) &&
	    strncmp(section, "usdt/", 5))
		return;
	/* libbpf takes what it does not know for nothing at all. */
	bpf_program__set_type(prog, BPF_PROG_TYPE_KPROBE);
	if (kind == SESSION)
		bpf_program__set_expected_attach_type(prog, TRACE_UPROBE_SESSION);
	else if (!has(MANY))
		bpf_program__set_expected_attach_type(prog, TRACE_UPROBE_MULTI);
}

int uprobe_link__type(void)
{
	char line[32];
	int err = path__read_line(UPROBE_PMU "/type", line, sizeof(line));

	return err ? err : atoi(line);
}

static bool on_return(const char *section)
{
	return !strncmp(section, "uret", 4);
}

int uprobe_link__create_many(int prog, const char *section, const char *path,
			     const struct uprobe_places *places, __u32 pid)
{
	enum kind kind = kind_of(section);
	int fd;

	if (has(kind))
		return -EOPNOTSUPP;
	fd = create(prog, kind, path, places, on_return(section) ? UPROBE_MULTI_RETURN : 0, pid);
	/* Loaded by an otelbpf that did not know of these links. */
	return fd == -EINVAL && kind == MANY ? -EOPNOTSUPP : fd;
}

/* Of a process: its threads trap, nobody else does. */
static int open_event(const char *section, const char *path, __u64 offset, __u64 counter, __u32 pid)
{
	struct perf_event_attr attr = {.size = sizeof(attr)};
	int fd, type = uprobe_link__type();

	if (type < 0)
		return type;
	attr.type = type;
	/* Bit 0 of config since the PMU is there (4.17); format/retprobe says so. */
	attr.config = on_return(section);
	/* And above bit 31 since 4.20: format/ref_ctr_offset. */
	if (counter >> 32)
		return -EFBIG;
	attr.config |= counter << 32;
	attr.uprobe_path = (unsigned long)path;
	attr.probe_offset = offset;
	fd = syscall(__NR_perf_event_open, &attr, pid ? (int)pid : -1, pid ? -1 : 0, -1,
		     PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int uprobe_link__create(int prog, const char *section, const char *path,
			const struct uprobe_places *places, int nth, __u32 pid)
{
	_cleanup_fd_ int event = open_event(section, path, places->offsets[nth],
					    places->counters ? places->counters[nth] : 0, pid);

	return hook__link_event(event, prog, places->cookies ? places->cookies[nth] : 0);
}
