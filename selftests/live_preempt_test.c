// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Tasks that preempt each other anywhere in the kernel: what is counted is counted once, and what
 * the kernel kept from the programs is told. Best with preempt=full among the kernel's arguments.
 */
#include <bpf/bpf.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"

/* Runs that the kernel took for a recursion, as "otelbpf status" has them. */
static __u64 missed(struct live *live, const char *program)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	int fd;

	snprintf(path, sizeof(path), "%s/syscalls/prog/%s", live->pin_dir, program);
	fd = bpf_obj_get(path);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(bpf_obj_get_info_by_fd(fd, &info, &len), 0);
	close(fd);
	return info.recursion_misses;
}

/* Up to 6.18 the kernel lets nobody come in between. */
static bool is_exact(void)
{
	struct utsname uts;

	uname(&uts);
	return atoi(uts.release) < 7;
}

TEST_TIMEOUT(crowd_on_one_cpu, 60)
{
	const __u64 made = CROWD_THREADS * CROWD_CALLS;
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *root = NULL;
	struct otlp_point p = {};
	__u64 counted, misses;

	live__load(live);
	EXPECT_EQ(live__workload(live, "crowd", "crowd"), 0);
	misses = missed(live, "sys_enter") + missed(live, "sys_exit");
	root = live__export_file(live);
	ASSERT_EQ(otlp_json__find(root, "system.syscall.duration", &p, "syscall.name", "getppid"),
		  1);
	counted = otlp_json__count(p.point);
	printf("# %llu of %llu counted, %llu runs missed\n", (unsigned long long)counted,
	       (unsigned long long)made, (unsigned long long)misses);
	/* A call may have been missed at both of its ends. */
	EXPECT_LE(counted, made);
	EXPECT_GE(counted + misses, made);
	/* No update was lost: several counters of one call agree. */
	EXPECT_EQ(otlp_json__bucket_total(p.point), counted);
	live__expect_sum(root, "system.syscall.returned", counted);
	if (is_exact()) {
		EXPECT_EQ(counted, made);
		EXPECT_EQ(misses, 0);
		live__expect_no_losses(root);
	}
}

TEST_MAIN()
