// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The README's sample: short, and it works as it stands there. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"

#define SAMPLE SELFTESTS_DIR "/../build/selftests/progs/sample.bpf.o"
#define RUNS 7

TEST(sample_has_at_most_40_lines)
{
	FILE *file = fopen(SELFTESTS_DIR "/../build/gen/sample.bpf.c", "re");
	char line[512];
	int lines = 0;

	if (!file)
		SKIP("the sample's source is not in this machine");
	while (fgets(line, sizeof(line), file))
		lines++;
	fclose(file);
	EXPECT_GT(lines, 10);
	EXPECT_LE(lines, 40);
}

TEST_TIMEOUT(sample_counts_executions, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	static const char *const workload[] = {SELFTESTS_DIR "/../build/selftests/tools/workload",
					       "mix", NULL};
	static struct output output;
	char filter[PATH_MAX + 16];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", SAMPLE, "--filter", filter);
	for (int i = 0; i < RUNS; i++)
		live__run(&output, live__join, live, workload);
	root = live__export_file(live);
	EXPECT_EQ(otlp_json__total(root, "system.process.executions", "process.executable.name",
				   "workload", "process.linux.cgroup", live__path(live, "")),
		  RUNS);
	EXPECT_EQ(otlp_json__total(root, "system.process.executions"), RUNS);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

TEST_MAIN()
