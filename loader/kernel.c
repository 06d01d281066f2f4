// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "kernel.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "path.h"

#define OLDEST_MAJOR 6
#define OLDEST_MINOR 1
#define BTF_PATH "/sys/kernel/btf/vmlinux"

static unsigned long long effective_capabilities(void)
{
	unsigned long long caps = 0;
	FILE *status = fopen("/proc/self/status", "re");
	char line[256];

	while (status && fgets(line, sizeof(line), status))
		if (sscanf(line, "CapEff: %llx", &caps) == 1)
			break;
	if (status)
		fclose(status);
	return caps;
}

#define HAS(caps, cap) (((caps) >> (cap)) & 1)

static int check_privileges(char found[NEED_TEXT], char advice[NEED_TEXT])
{
	unsigned long long caps = effective_capabilities();
	bool admin = HAS(caps, CAP_SYS_ADMIN);
	bool bpf = HAS(caps, CAP_BPF), perfmon = HAS(caps, CAP_PERFMON);

	snprintf(found, NEED_TEXT, "user %u,%s%s%s%s", geteuid(), admin ? " CAP_SYS_ADMIN" : "",
		 bpf ? " CAP_BPF" : "", perfmon ? " CAP_PERFMON" : "",
		 admin || bpf || perfmon ? "" : " no capability for BPF");
	if (admin || (bpf && perfmon))
		return 0;
	snprintf(advice, NEED_TEXT, "run it as root, or with CAP_BPF and CAP_PERFMON");
	return EXIT_PERMISSION;
}

static int check_release(char found[NEED_TEXT], char advice[NEED_TEXT])
{
	struct utsname name;
	int major = 0, minor = 0;

	uname(&name);
	sscanf(name.release, "%d.%d", &major, &minor);
	snprintf(found, NEED_TEXT, "Linux %s", name.release);
	if (major > OLDEST_MAJOR || (major == OLDEST_MAJOR && minor >= OLDEST_MINOR))
		return 0;
	snprintf(advice, NEED_TEXT, "Linux %d.%d or newer is needed", OLDEST_MAJOR, OLDEST_MINOR);
	return EXIT_KERNEL;
}

static int check_btf(char found[NEED_TEXT], char advice[NEED_TEXT])
{
	if (!access(BTF_PATH, R_OK)) {
		snprintf(found, NEED_TEXT, BTF_PATH);
		return 0;
	}
	snprintf(found, NEED_TEXT, "no " BTF_PATH ": %s", strerror(errno));
	snprintf(advice, NEED_TEXT,
		 "a kernel built with CONFIG_DEBUG_INFO_BTF is needed, and sysfs");
	return EXIT_KERNEL;
}

static int check_mount(const char *type, const char *command, char *found, char *advice)
{
	char dir[PATH_MAX];
	int err = path__mounted(type, dir);

	if (!err) {
		snprintf(found, NEED_TEXT, "%.200s", dir);
		return 0;
	}
	snprintf(found, NEED_TEXT, err == -EACCES ? "not for this user" : "not mounted");
	snprintf(advice, NEED_TEXT, "%s", command);
	return err == -EACCES ? EXIT_PERMISSION : EXIT_KERNEL;
}

static int check_bpffs(char found[NEED_TEXT], char advice[NEED_TEXT])
{
	return check_mount("bpf", "mount -t bpf bpf /sys/fs/bpf", found, advice);
}

static int check_tracefs(char found[NEED_TEXT], char advice[NEED_TEXT])
{
	return check_mount("tracefs",
			   "only tracepoint/ sections need it: "
			   "mount -t tracefs tracefs /sys/kernel/tracing",
			   found, advice);
}

static int check_lockdown(char found[NEED_TEXT], char advice[NEED_TEXT])
{
	char line[128], *mode;

	if (path__read_line("/sys/kernel/security/lockdown", line, sizeof(line)) ||
	    !(mode = strchr(line, '['))) {
		snprintf(found, NEED_TEXT, "unknown: /sys/kernel/security/lockdown is not there");
		return 0;
	}
	mode++;
	mode[strcspn(mode, "]")] = '\0';
	snprintf(found, NEED_TEXT, "%s", mode);
	if (strcmp(mode, "confidentiality"))
		return 0;
	snprintf(advice, NEED_TEXT, "programs that read kernel memory are refused under it");
	return EXIT_KERNEL;
}

static const struct need needs[] = {
	{"privileges", true, check_privileges},
	{"kernel", true, check_release},
	{"BTF", true, check_btf},
	{"bpffs", true, check_bpffs},
	{"tracefs", false, check_tracefs},
	{"lockdown", false, check_lockdown},
};

const struct need *kernel__need(int n)
{
	return n >= 0 && (size_t)n < sizeof(needs) / sizeof(needs[0]) ? &needs[n] : NULL;
}

int kernel__check(struct failure *failure)
{
	char found[NEED_TEXT], advice[NEED_TEXT];
	const struct need *need;
	int code;

	for (int i = 0; (need = kernel__need(i)); i++) {
		if (!need->required)
			continue;
		code = need->check(found, advice);
		if (code)
			return failed(failure, code, "%s: %s: %s", need->name, found, advice);
	}
	return 0;
}
