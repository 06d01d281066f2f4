// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "hook.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/perf_event.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "cleanup.h"
#include "path.h"
#include "uprobe_link.h"

struct hook {
	const char *prefix;
	/* NULL: libbpf and the verifier know best */
	int (*available)(const struct hook *hook, const char *target, struct failure *failure);
	/* NULL: not attached. Returns a link's descriptor or -errno. */
	int (*attach)(const struct hook *hook, const char *target, int prog);
	/* The same for one CPU. */
	int (*attach_cpu)(const char *target, int prog, int cpu);
	const char *btf_prefix; /* of the BTF type that stands for the target */
	__u32 btf_kind;
	enum bpf_attach_type type; /* of an empty program that is tried */
	bool on_return;
};

/* --- BTF targets: tp_btf, raw_tp, fentry, fexit ------------------------------ */

static struct btf *vmlinux;

__attribute__((destructor)) static void free_vmlinux(void)
{
	btf__free(vmlinux);
}

static int find_in_modules(const char *name, __u32 kind)
{
	DIR *dir = opendir("/sys/kernel/btf");
	struct dirent *entry;
	int id = -ENOENT;

	while (dir && id < 0 && (entry = readdir(dir))) {
		struct btf *module;

		if (entry->d_name[0] == '.' || !strcmp(entry->d_name, "vmlinux"))
			continue;
		module = btf__load_module_btf(entry->d_name, vmlinux);
		if (!module)
			continue;
		id = btf__find_by_name_kind(module, name, kind);
		btf__free(module);
	}
	if (dir)
		closedir(dir);
	return id;
}

/* Returns the id in vmlinux, 0 if it is in a module, or -errno. */
static int find_btf(const struct hook *hook, const char *target)
{
	char name[PATH_MAX];
	int id;

	if (!vmlinux)
		vmlinux = btf__load_vmlinux_btf();
	if (!vmlinux)
		return -errno;
	if (path__format(name, "%s%s", hook->btf_prefix, target))
		return -ENOENT;
	id = btf__find_by_name_kind(vmlinux, name, hook->btf_kind);
	if (id > 0)
		return id;
	return find_in_modules(name, hook->btf_kind) > 0 ? 0 : -ENOENT;
}

static int tracepoint_in_btf(const struct hook *hook, const char *target, struct failure *failure)
{
	if (find_btf(hook, target) >= 0)
		return 0;
	return failed(failure, EXIT_KERNEL, "this kernel has no tracepoint '%s'", target);
}

static int iterator_in_btf(const struct hook *hook, const char *target, struct failure *failure)
{
	if (find_btf(hook, target) >= 0)
		return 0;
	return failed(failure, EXIT_KERNEL, "this kernel has no iterator '%s'", target);
}

static int load_nothing(enum bpf_prog_type type, struct bpf_prog_load_opts *opts)
{
	const struct bpf_insn nothing[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = BPF_REG_0},
		{.code = BPF_JMP | BPF_EXIT},
	};

	return bpf_prog_load(type, "nothing", "GPL", nothing, 2, opts);
}

/*
 * A kernel may have the function and yet refuse every fentry program: lockdown or another security
 * module when it is loaded, an architecture without trampolines (arm64 before 6.4) when it is
 * attached. An empty program tells, attached for a moment.
 */
static int function_in_btf(const struct hook *hook, const char *target, struct failure *failure)
{
	LIBBPF_OPTS(bpf_prog_load_opts, opts, .expected_attach_type = hook->type);
	int id = find_btf(hook, target), fd, link;

	if (id < 0)
		return failed(failure, EXIT_KERNEL, "this kernel has no function '%s' to trace",
			      target);
	if (!id)
		return 0;
	opts.attach_btf_id = id;
	fd = load_nothing(BPF_PROG_TYPE_TRACING, &opts);
	link = fd < 0 ? -1 : bpf_raw_tracepoint_open(NULL, fd);
	if (link < 0)
		failed(failure, EXIT_KERNEL, "this kernel refuses %s on '%s': %s%s",
		       hook->on_return ? "fexit" : "fentry", target, failure__reason(errno),
		       errno == EPERM ? " (lockdown or a security module)" : "");
	if (fd >= 0)
		close(fd);
	if (link >= 0)
		close(link);
	return link < 0 ? failure->code : 0;
}

static int attach_btf(const struct hook *hook, const char *target, int prog)
{
	int link = bpf_raw_tracepoint_open(NULL, prog);

	(void)hook;
	(void)target;
	return link < 0 ? -errno : link;
}

static int attach_raw(const struct hook *hook, const char *target, int prog)
{
	int link = bpf_raw_tracepoint_open(target, prog);

	(void)hook;
	return link < 0 ? -errno : link;
}

/* --- perf events: tracepoint, kprobe, kretprobe ------------------------------ */

static int open_perf_event(struct perf_event_attr *attr)
{
	int fd;

	attr->size = sizeof(*attr);
	/* Every task on every CPU: CPU 0 stands for all as far as BPF is concerned. */
	fd = syscall(__NR_perf_event_open, attr, -1, 0, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

int hook__link_event(int event, int prog, __u64 cookie)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .perf_event.bpf_cookie = cookie);
	int link;

	if (event < 0)
		return event;
	link = bpf_link_create(prog, event, BPF_PERF_EVENT, &opts);
	if (link < 0)
		return -errno;
	if (ioctl(event, PERF_EVENT_IOC_ENABLE, 0)) {
		int err = -errno;

		close(link);
		return err;
	}
	return link;
}

/* "CATEGORY/NAME" to the number in tracefs */
static int tracepoint_id(const char *target, long long *id)
{
	char dir[PATH_MAX], path[PATH_MAX], line[32];
	int err = path__mounted("tracefs", dir);

	if (!err)
		err = path__format(path, "%s/events/%s/id", dir, target);
	if (!err)
		err = path__read_line(path, line, sizeof(line));
	if (!err)
		*id = atoll(line);
	return err;
}

static int tracepoint_in_tracefs(const struct hook *hook, const char *target,
				 struct failure *failure)
{
	char dir[PATH_MAX];
	long long id;
	int err = path__mounted("tracefs", dir);

	(void)hook;
	if (err == -EACCES)
		return failed(failure, EXIT_PERMISSION,
			      "tracefs is not readable: run it as root for tracepoint/ sections");
	if (err)
		return failed(failure, EXIT_KERNEL,
			      "tracefs is not mounted: mount -t tracefs tracefs "
			      "/sys/kernel/tracing");
	if (!strchr(target, '/') || tracepoint_id(target, &id))
		return failed(failure, EXIT_KERNEL, "this kernel has no tracepoint '%s'", target);
	return 0;
}

static int attach_tracepoint(const struct hook *hook, const char *target, int prog)
{
	struct perf_event_attr attr = {.type = PERF_TYPE_TRACEPOINT};
	_cleanup_fd_ int event = -1;
	long long id;
	int err = tracepoint_id(target, &id);

	(void)hook;
	if (err)
		return err;
	attr.config = id;
	event = open_perf_event(&attr);
	return hook__link_event(event, prog, 0);
}

#define KPROBE_PMU "/sys/bus/event_source/devices/kprobe"

static int open_kprobe(const struct hook *hook, const char *target)
{
	struct perf_event_attr attr = {};
	char function[256], line[32];
	long offset = 0;
	int err;

	if (sscanf(target, "%255[^+]+%li", function, &offset) < 1)
		return -EINVAL;
	err = path__read_line(KPROBE_PMU "/type", line, sizeof(line));
	if (err)
		return err;
	attr.type = atoi(line);
	/* Bit 0 of config since the PMU is there (4.17); format/retprobe says so. */
	attr.config = hook->on_return;
	attr.kprobe_func = (unsigned long)function;
	attr.probe_offset = offset;
	return open_perf_event(&attr);
}

static int kprobe_works(const struct hook *hook, const char *target, struct failure *failure)
{
	int event;

	if (access(KPROBE_PMU "/type", F_OK))
		return failed(failure, EXIT_KERNEL,
			      "this kernel has no kprobes (CONFIG_KPROBE_EVENTS)");
	event = open_kprobe(hook, target);
	if (event == -ENOENT || event == -EADDRNOTAVAIL)
		return failed(failure, EXIT_KERNEL, "this kernel has no function '%s' to probe",
			      target);
	if (event < 0)
		return failed(failure, EXIT_KERNEL, "this kernel refuses a kprobe on '%s': %s",
			      target, failure__reason(event));
	close(event);
	return 0;
}

static int attach_kprobe(const struct hook *hook, const char *target, int prog)
{
	_cleanup_fd_ int event = open_kprobe(hook, target);

	return hook__link_event(event, prog, 0);
}

/* --- perf_event: sampling and counting on each CPU --------------------------- */

static const struct {
	const char *name;
	__u32 type;
	__u64 config;
	bool freq; /* so often a second; else each time that so many have happened */
} sampling_events[] = {
	{"cpu-clock/", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_CPU_CLOCK, true},
	{"cycles/", PERF_TYPE_HARDWARE, PERF_COUNT_HW_CPU_CYCLES, true},
	{"page-faults-min/", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MIN, false},
	{"page-faults-maj/", PERF_TYPE_SOFTWARE, PERF_COUNT_SW_PAGE_FAULTS_MAJ, false},
};

/* EVENT/FREQUENCY, or EVENT/PERIOD */
static int open_sampling(const char *target, int cpu)
{
	struct perf_event_attr attr = {.size = sizeof(attr), .type = PERF_TYPE_MAX};
	int fd;

	for (size_t i = 0; i < sizeof(sampling_events) / sizeof(sampling_events[0]); i++) {
		size_t len = strlen(sampling_events[i].name);

		if (strncmp(target, sampling_events[i].name, len))
			continue;
		attr.type = sampling_events[i].type;
		attr.config = sampling_events[i].config;
		attr.freq = sampling_events[i].freq;
		/* In a union with sample_freq. */
		attr.sample_period = strtoul(target + len, NULL, 10);
	}
	if (attr.type == PERF_TYPE_MAX || !attr.sample_period)
		return -EINVAL;
	fd = syscall(__NR_perf_event_open, &attr, -1, cpu, -1, PERF_FLAG_FD_CLOEXEC);
	return fd < 0 ? -errno : fd;
}

static int sampling_works(const struct hook *hook, const char *target, struct failure *failure)
{
	int event = open_sampling(target, 0);

	(void)hook;
	if (event < 0)
		return failed(failure, event == -EACCES ? EXIT_PERMISSION : EXIT_KERNEL,
			      "this kernel refuses the perf event %s: %s", target,
			      failure__reason(event));
	close(event);
	return 0;
}

int hook__try_cycles(void)
{
	int event = open_sampling("cycles/1", 0);

	if (event < 0)
		return event;
	close(event);
	return 0;
}

static int attach_sampling(const char *target, int prog, int cpu)
{
	_cleanup_fd_ int event = open_sampling(target, cpu);

	return hook__link_event(event, prog, 0);
}

/* --- xdp, tc: on network interfaces, where netdev.c attaches --------------------- */

static int interface_works(enum bpf_prog_type type, struct failure *failure)
{
	int fd = load_nothing(type, NULL);

	if (fd < 0)
		return failed(failure, errno == EPERM ? EXIT_PERMISSION : EXIT_KERNEL,
			      "this kernel refuses a program of this kind: %s",
			      failure__reason(errno));
	close(fd);
	return 0;
}

static int xdp_works(const struct hook *hook, const char *target, struct failure *failure)
{
	(void)hook;
	(void)target;
	return interface_works(BPF_PROG_TYPE_XDP, failure);
}

static int tc_works(const struct hook *hook, const char *target, struct failure *failure)
{
	(void)hook;
	(void)target;
	return interface_works(BPF_PROG_TYPE_SCHED_CLS, failure);
}

/* --- uprobe, uretprobe, usdt: on functions of user space, where uprobe.c attaches -------- */

static int uprobe_works(const struct hook *hook, const char *target, struct failure *failure)
{
	(void)hook;
	(void)target;
	if (uprobe_link__type() >= 0)
		return 0;
	return failed(failure, EXIT_KERNEL, "this kernel has no uprobes (CONFIG_UPROBE_EVENTS)");
}

static int session_works(const struct hook *hook, const char *target, struct failure *failure)
{
	int err = uprobe_link__has_sessions();

	(void)hook;
	(void)target;
	if (!err)
		return 0;
	return failed(failure, err == -EPERM || err == -EACCES ? EXIT_PERMISSION : EXIT_KERNEL,
		      "this kernel has no sessions of uprobes (Linux 6.13)");
}

/* --- iterators: a link whose pin runs the program when it is read ------------ */

static int attach_iterator(const struct hook *hook, const char *target, int prog)
{
	int link = bpf_link_create(prog, 0, BPF_TRACE_ITER, NULL);

	(void)hook;
	(void)target;
	return link < 0 ? -errno : link;
}

/* --- cgroup_skb: packets of all sockets, at the root of the hierarchy -------- */

static int cgroups_mounted(const struct hook *hook, const char *target, struct failure *failure)
{
	char root[PATH_MAX];

	(void)hook;
	(void)target;
	if (!path__mounted("cgroup2", root))
		return 0;
	return failed(failure, EXIT_KERNEL,
		      "cgroup v2 is not mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
}

static int attach_root_cgroup(const struct hook *hook, const char *target, int prog)
{
	_cleanup_fd_ int cgroup = -1;
	char root[PATH_MAX];
	int link, err = path__mounted("cgroup2", root);

	(void)target;
	if (err)
		return err;
	cgroup = open(root, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (cgroup < 0)
		return -errno;
	link = bpf_link_create(prog, cgroup, hook->type, NULL);
	return link < 0 ? -errno : link;
}

/* --- the table --------------------------------------------------------------- */

#define TYPEDEF "btf_trace_"

/* clang-format off */
static const struct hook hooks[] = {
	{"tp_btf/", tracepoint_in_btf, attach_btf, NULL, TYPEDEF, BTF_KIND_TYPEDEF, 0, false},
	{"raw_tp/", tracepoint_in_btf, attach_raw, NULL, TYPEDEF, BTF_KIND_TYPEDEF, 0, false},
	{"raw_tracepoint/", tracepoint_in_btf, attach_raw, NULL, TYPEDEF, BTF_KIND_TYPEDEF, 0, false},
	{"fentry/", function_in_btf, attach_btf, NULL, "", BTF_KIND_FUNC, BPF_TRACE_FENTRY, false},
	{"fexit/", function_in_btf, attach_btf, NULL, "", BTF_KIND_FUNC, BPF_TRACE_FEXIT, true},
	{"tracepoint/", tracepoint_in_tracefs, attach_tracepoint, NULL, NULL, 0, 0, false},
	{"tp/", tracepoint_in_tracefs, attach_tracepoint, NULL, NULL, 0, 0, false},
	{"kprobe/", kprobe_works, attach_kprobe, NULL, NULL, 0, 0, false},
	{"kretprobe/", kprobe_works, attach_kprobe, NULL, NULL, 0, 0, true},
	{"uprobe/", uprobe_works, NULL, NULL, NULL, 0, 0, false},
	{"uprobe.session/", session_works, NULL, NULL, NULL, 0, 0, false},
	{"usdt/", uprobe_works, NULL, NULL, NULL, 0, 0, true},
	{"uretprobe/", uprobe_works, NULL, NULL, NULL, 0, 0, true},
	{"perf_event/", sampling_works, NULL, attach_sampling, NULL, 0, 0, false},
	{"cgroup_skb/egress", cgroups_mounted, attach_root_cgroup, NULL, NULL, 0, BPF_CGROUP_INET_EGRESS, false},
	{"cgroup_skb/ingress", cgroups_mounted, attach_root_cgroup, NULL, NULL, 0, BPF_CGROUP_INET_INGRESS, false},
	{"iter/", iterator_in_btf, attach_iterator, NULL, "bpf_iter_", BTF_KIND_FUNC, 0, false},
	{"xdp/", xdp_works, NULL, NULL, NULL, 0, 0, false},
	{"tc/", tc_works, NULL, NULL, NULL, 0, 0, false},
};
/* clang-format on */

const struct hook *hook__find(const char *section, const char **target)
{
	for (size_t i = 0; i < sizeof(hooks) / sizeof(hooks[0]); i++) {
		size_t len = strlen(hooks[i].prefix);

		/* A prefix without a '/' at its end is the whole section. */
		if (!strncmp(section, hooks[i].prefix, len) &&
		    !section[len] == (hooks[i].prefix[len - 1] != '/')) {
			*target = section + len;
			return &hooks[i];
		}
	}
	return NULL;
}

bool hook__attaches(const struct hook *hook)
{
	return hook->attach || hook->attach_cpu;
}

bool hook__each_cpu(const char *section)
{
	const char *target;
	const struct hook *hook = hook__find(section, &target);

	return hook && hook->attach_cpu;
}

bool hook__on_interfaces(const char *section)
{
	const char *target;
	const struct hook *hook = hook__find(section, &target);

	return hook && (hook->available == xdp_works || hook->available == tc_works);
}

bool hook__on_functions(const char *section)
{
	const char *target;
	const struct hook *hook = hook__find(section, &target);

	return hook && (hook->available == uprobe_works || hook->available == session_works);
}

int hook__available(const char *section, struct failure *failure)
{
	const char *target;
	const struct hook *hook = hook__find(section, &target);

	if (!hook)
		return failed(failure, EXIT_ATTACH,
			      "otelbpf cannot attach programs of section '%s'", section);
	return hook->available ? hook->available(hook, target, failure) : 0;
}

int hook__attach(const char *section, int prog, int cpu, struct failure *failure)
{
	const char *target;
	const struct hook *hook = hook__find(section, &target);
	int link = -EOPNOTSUPP;

	if (hook && hook->attach_cpu)
		link = hook->attach_cpu(target, prog, cpu);
	else if (hook && hook->attach)
		link = hook->attach(hook, target, prog);
	if (link >= 0)
		return link;
	failed(failure, EXIT_ATTACH, "cannot attach to %s: %s", section, failure__reason(link));
	return -1;
}
