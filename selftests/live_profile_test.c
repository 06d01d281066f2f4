// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * On-CPU profiles by the clock: as many samples as there was CPU time, under the right names, and
 * for the right programs.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "hot.h"
#include "ktap.h"
#include "live.h"
#include "samples.h"

TEST_TIMEOUT(samples_match_cpu_time, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	struct hot hot;

	hot__load(live);
	hot__run(&hot, live, "10000");
	hot__expect(received__samples_now(live), &hot, true);
	/* --once consumes nothing. */
	hot__expect(received__samples_now(live), &hot, true);
}

/*
 * Timers of an idle CPU may be late until it wakes up: what runs then has not run all the time.
 * Each round gets the periods that end in it, one more or one less: a binomial of at most 1/4.
 */
TEST_TIMEOUT(idle_time_is_nobodys, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	double expected, deviation;
	struct hot hot;
	__u64 samples;

	hot__load(live);
	ASSERT_EQ(setenv("HOT_REST_MS", "67", 1), 0);
	hot__run(&hot, live, is_emulated() ? "2000" : "500");
	unsetenv("HOT_REST_MS");
	samples = received__samples_now(live);
	expected = hot.total / 1e9 * HZ;
	deviation = sqrt(hot.total / 17.3e6 / 4);
	printf("%llu samples, %.1f expected, standard deviation %.1f\n",
	       (unsigned long long)samples, expected, deviation);
	EXPECT_LE(fabs(samples - expected),
		  expected * (is_emulated() ? 0.15 : 0.02) + 4 * deviation);
}

static bool has_frame(const char *stack, const char *name)
{
	size_t len = strlen(name);

	for (const char *at = stack; (at = strstr(at, name)); at += len)
		if (at > stack && at[-1] == ';' && (at[len] == ';' || at[len] == ' '))
			return true;
	return false;
}

TEST_TIMEOUT(shares_of_functions, 60)
{
	static const char *const names[] = {"hot_a", "hot_b", "hot_c"};
	static const char *const paths[] = {";main;hot_outer;hot_a",
					    ";main;hot_outer;hot_middle;hot_b",
					    ";main;hot_outer;hot_middle;hot_c"};
	_cleanup_live_ struct live *live = live__begin();
	__u64 found[3] = {}, in_order[3] = {}, total = 0;
	static struct output output;
	struct hot hot;

	hot__load(live);
	hot__run(&hot, live, "4000");
	/* It has exited: names come from its file. */
	ASSERT_EQ(live__exporter(&output, "--format", "folded"), 0);
	for (char *save, *line = strtok_r(output.out, "\n", &save); line;
	     line = strtok_r(NULL, "\n", &save)) {
		char *space = strrchr(line, ' ');
		__u64 value = space ? strtoull(space + 1, NULL, 10) : 0;

		ASSERT_GT(value, 0);
		if (strncmp(line, "hot;", 4))
			continue;
		total += value;
		for (int i = 0; i < 3; i++) {
			found[i] += has_frame(line, names[i]) ? value : 0;
			in_order[i] += strstr(line, paths[i]) ? value : 0;
		}
	}
	hot__expect(total, &hot, true);
	for (int i = 0; i < 3; i++) {
		double share = 100.0 * found[i] / total;
		double truth = 100.0 * hot.function[i] / hot.total;

		printf("%s: %.2f %%, %.2f %% expected\n", names[i], share, truth);
		EXPECT_LE(fabs(share - truth), 3);
		/* In an interrupt's first instructions there may be no frame yet. */
		EXPECT_GE(in_order[i], found[i] * 0.95);
	}
}

/* One process id, one window, two programs: two profiles with two ids. */
TEST_TIMEOUT(execve_begins_another_profile, 60)
{
	_cleanup_live_ struct live *live = live__begin();
	_cleanup_json_ struct json_object *requests = NULL;
	char copy[128], command[PATH_MAX + 256];
	struct received received = {};
	__u64 hotter = 0;
	struct hot hot;

	hot__load(live);
	snprintf(copy, sizeof(copy), "%s/hotter", live->tmp);
	snprintf(command, sizeof(command), "cp %s %s", HOT, copy);
	ASSERT_EQ(system(command), 0);
	hot__start(&hot, live, "3000", copy);
	hot__wait(&hot);
	requests = live__export_file(live);
	profiles__for_each(requests, received__add, &received);
	EXPECT_EQ(received.duplicates, 0);
	EXPECT_GE(received.hot, 2); /* see above */
	EXPECT_LE(received.hot, 4);
	for (size_t i = 0; i < received.n; i++) {
		EXPECT_EQ(received.seen[i].pid, hot.pid);
		hotter += strcmp(received.seen[i].name, "hotter") ? 0 : received.seen[i].total;
	}
	/* Half of the time each; a sample amid execve(2) may be a profile of its own. */
	EXPECT_GE(hotter, received.total * 0.45);
	EXPECT_LE(hotter, received.total * 0.55);
	hot__expect(received.total, &hot, false);
	free(received.seen);
}

TEST_MAIN_ALONE()
