// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The verifier's work for each program, against a committed baseline: a change that
 * makes a program much harder to verify, or too hard for an older kernel, shows here.
 *
 * selftests/verified_insns has lines "KERNEL OBJECT PROGRAM INSTRUCTIONS". A run with
 * -v prints the present numbers in that form.
 */
#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>
#include <glob.h>
#include <libgen.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "ktap.h"

/* The numbers move a little with the compiler. */
#define TOLERANCE 1.10

struct baseline {
	char kernel[16], object[64], program[64];
	unsigned int insns;
};

static int find(FILE *file, const char *kernel, const char *object, const char *program,
		struct baseline *found)
{
	char line[256];

	rewind(file);
	while (fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%15s %63s %63s %u", found->kernel, found->object, found->program,
			   &found->insns) != 4)
			continue;
		if (!strcmp(found->kernel, kernel) && !strcmp(found->object, object) &&
		    !strcmp(found->program, program))
			return 1;
	}
	return 0;
}

/* Of a verifier's log the end says why. */
static int end_of_log(enum libbpf_print_level level, const char *format, va_list args)
{
	static char text[1 << 20];
	int len = level == LIBBPF_WARN ? vsnprintf(text, sizeof(text), format, args) : 0;

	if (len >= (int)sizeof(text))
		len = sizeof(text) - 1;
	return fprintf(stderr, "%s", len > 2000 ? text + len - 2000 : len > 0 ? text : "");
}

/* include/uapi/linux/bpf.h of 6.13; libbpf 1.1 does not know it. */
#define TRACE_UPROBE_SESSION 57

/* Whether the kernel has uprobe.session: its enum bpf_attach_type goes that far, behind which is
 * its end. */
static bool has_sessions(void)
{
	struct btf *btf = btf__load_vmlinux_btf();
	int id = btf ? btf__find_by_name_kind(btf, "bpf_attach_type", BTF_KIND_ENUM) : -1;
	bool has = id > 0 && btf_vlen(btf__type_by_id(btf, id)) > TRACE_UPROBE_SESSION + 1;

	btf__free(btf);
	return has;
}

/* On functions of user space, the alternatives and those on request, too: libbpf loads none of
 * them. */
static void load_uprobes(struct bpf_object *object)
{
	bool sessions = has_sessions();
	struct bpf_program *prog;

	bpf_object__for_each_program (prog, object) {
		const char *section = bpf_program__section_name(prog);
		bool is_session;

		section += *section == '?';
		is_session = !strcmp(section, "uprobe.session");
		if (strcmp(section, "uprobe") && strcmp(section, "uretprobe") && !is_session)
			continue;
		bpf_program__set_autoload(prog, !is_session || sessions);
		bpf_program__set_type(prog, BPF_PROG_TYPE_KPROBE);
		if (is_session)
			bpf_program__set_expected_attach_type(prog, TRACE_UPROBE_SESSION);
	}
}

static void check_object(const char *path, const char *kernel, FILE *file)
{
	struct bpf_object *object = bpf_object__open(path);
	char copy[256], *name;
	struct bpf_program *prog;

	ASSERT_TRUE(object != NULL);
	load_uprobes(object);
	ASSERT_EQ(bpf_object__load(object), 0);
	snprintf(copy, sizeof(copy), "%s", path);
	name = basename(copy);
	name[strcspn(name, ".")] = '\0';
	bpf_object__for_each_program (prog, object) {
		struct bpf_prog_info info = {0};
		struct baseline baseline;
		__u32 len = sizeof(info);

		if (bpf_program__fd(prog) < 0)
			continue;
		ASSERT_EQ(bpf_obj_get_info_by_fd(bpf_program__fd(prog), &info, &len), 0);
		printf("%s %s %s %u\n", kernel, name, bpf_program__name(prog), info.verified_insns);
		if (!find(file, kernel, name, bpf_program__name(prog), &baseline)) {
			printf("no baseline for %s %s on %s\n", name, bpf_program__name(prog),
			       kernel);
			continue;
		}
		EXPECT_LE(info.verified_insns, (__u32)(baseline.insns * TOLERANCE) + 16);
	}
	bpf_object__close(object);
}

TEST(instructions_verified)
{
	char kernel[16];
	struct utsname uts;
	glob_t objects;
	FILE *file;

	if (geteuid())
		SKIP("not root");
	if (access("/sys/kernel/btf/vmlinux", R_OK))
		SKIP("this kernel has no BTF");
	uname(&uts);
	snprintf(kernel, sizeof(kernel), "%.*s",
		 (int)(strcspn(strchr(uts.release, '.') + 1, ".-") + strcspn(uts.release, ".") + 1),
		 uts.release);
	file = fopen(SELFTESTS_DIR "/verified_insns", "re");
	ASSERT_TRUE(file != NULL);
	libbpf_set_print(end_of_log);
	/* BPF objects are the same with and without sanitizers. */
	ASSERT_EQ(glob(SELFTESTS_DIR "/../build/progs/*.bpf.o", 0, NULL, &objects), 0);
	for (size_t i = 0; i < objects.gl_pathc; i++)
		check_object(objects.gl_pathv[i], kernel, file);
	globfree(&objects);
	fclose(file);
}

TEST_MAIN()
