// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What shows only when the whole host is measured, without a filter: in a virtual
 * machine, whose kernel is the test's own (selftests/exec says so).
 */
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"

static struct live *own_kernel(void)
{
	if (!getenv("OTELBPF_OWN_KERNEL"))
		SKIP("others use this kernel");
	return live__begin();
}

static __u64 lost(struct json_object *root, const char *reason)
{
	return otlp_json__total(root, "otelbpf.losses", "otelbpf.loss.reason", reason);
}

TEST_TIMEOUT(refused_by_seccomp, 60)
{
	_cleanup_live_ struct live *live = own_kernel();
	_cleanup_json_ struct json_object *before = NULL, *after = NULL;

	live__must("load", SYSCALLS_OBJECT);
	before = live__export_file(live);
	ASSERT_EQ(live__workload(live, "/refused", "refused", NULL), 0);
	after = live__export_file(live);
	EXPECT_EQ(otlp_json__total(after, "system.syscall.rejected") -
			  otlp_json__total(before, "system.syscall.rejected"),
		  REFUSED_CALLS);
	EXPECT_EQ(lost(after, "entry_unseen"), lost(before, "entry_unseen"));
	EXPECT_EQ(lost(after, "exit_unseen"), 0);
	live__must("unload");
}

/* A call that is under way when tracing begins is told as lost; a fork's child is no such call. */
TEST_TIMEOUT(under_way_at_load, 60)
{
	_cleanup_live_ struct live *live = own_kernel();
	_cleanup_json_ struct json_object *before = NULL, *after = NULL;
	int wake[2];
	char byte = 0;
	pid_t pid;

	ASSERT_EQ(pipe(wake), 0);
	pid = fork();
	if (!pid)
		_exit(read(wake[0], &byte, 1) != 1);
	live__wait_blocked(pid, SYS_read);
	live__must("load", SYSCALLS_OBJECT);
	before = live__export_file(live);
	ASSERT_EQ(write(wake[1], &byte, 1), 1);
	ASSERT_EQ(live__wait(pid), 0);
	ASSERT_EQ(live__workload(live, "/fork", "fork", "20", NULL), 0);
	after = live__export_file(live);
	/* Ours, and perhaps a shell that waits for the test. */
	EXPECT_GE(lost(after, "entry_unseen") - lost(before, "entry_unseen"), 1);
	EXPECT_LE(lost(after, "entry_unseen") - lost(before, "entry_unseen"), 4);
	EXPECT_EQ(lost(after, "exit_unseen"), 0);
	EXPECT_EQ(lost(after, "table_full"), 0);
	live__must("unload");
}

TEST_MAIN()
