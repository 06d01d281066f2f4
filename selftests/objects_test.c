// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What every object of ours has to keep to, read from its BTF: each metric and option
 * is documented, and no key has a hole (which would make two keys of one).
 */
#include <bpf/btf.h>
#include <glob.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "ktap.h"
#include "tagged.h"

static const char *const instruments[] = {"sum", "updown", "gauge", "histogram", "exphist"};

static char *read_file(const char *path)
{
	FILE *file = fopen(path, "re");
	char *text = calloc(1, 1 << 20);

	if (!file || !text || !fread(text, 1, (1 << 20) - 1, file)) {
		printf("cannot read %s\n", path);
		free(text);
		text = NULL;
	}
	if (file)
		fclose(file);
	return text;
}

/* Whether the page has a table row that begins with `NAME`. */
static bool documented(const char *page, const char *name)
{
	char row[300];

	snprintf(row, sizeof(row), "\n| `%s` |", name);
	return strstr(page, row) != NULL;
}

static void each_object(void (*check)(const struct btf *btf, const struct tagged *tagged))
{
	glob_t objects;

	ASSERT_EQ(glob(SELFTESTS_DIR "/../build/progs/*.bpf.o", 0, NULL, &objects), 0);
	for (size_t i = 0; i < objects.gl_pathc; i++) {
		struct btf *btf = btf__parse(objects.gl_pathv[i], NULL);
		struct tagged *tagged;

		ASSERT_TRUE(btf != NULL);
		tagged = tagged__new(btf);
		ASSERT_TRUE(tagged != NULL);
		check(btf, tagged);
		tagged__free(tagged);
		btf__free(btf);
	}
	globfree(&objects);
}

static char *page;
static int seen;

static void check_metrics(const struct btf *btf, const struct tagged *tagged)
{
	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		if (!btf_is_struct(type))
			continue;
		for (int i = 0; i < btf_vlen(type); i++)
			for (size_t w = 0; w < sizeof(instruments) / sizeof(*instruments); w++) {
				const struct tag *tag = tagged__find(tagged, id, i, instruments[w]);

				if (!tag)
					continue;
				seen++;
				if (!EXPECT_TRUE(documented(page, tag->arg[0])))
					printf("docs/telemetry.md has no row for %s\n",
					       tag->arg[0]);
			}
	}
}

TEST(metrics_are_documented)
{
	page = read_file(SELFTESTS_DIR "/../docs/telemetry.md");
	ASSERT_TRUE(page != NULL);
	each_object(check_metrics);
	EXPECT_GT(seen, 5);
	free(page);
}

static void check_reasons(const struct btf *btf, const struct tagged *tagged)
{
	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);

		for (int i = 0; btf_is_struct(type) && i < btf_vlen(type); i++) {
			const struct tag *tag = tagged__find(tagged, id, i, "with");

			if (!tag || strcmp(tag->arg[0], "otelbpf.loss.reason"))
				continue;
			seen++;
			if (!EXPECT_TRUE(documented(page, tag->arg[1])))
				printf("docs/telemetry.md has no row for loss %s\n", tag->arg[1]);
		}
	}
}

TEST(loss_reasons_are_documented)
{
	page = read_file(SELFTESTS_DIR "/../docs/telemetry.md");
	ASSERT_TRUE(page != NULL);
	each_object(check_reasons);
	EXPECT_GT(seen, 2);
	free(page);
}

/* A struct with a tagged member "attr" or "resource" is a key. */
static void check_keys(const struct btf *btf, const struct tagged *tagged)
{
	for (__u32 id = 1; id < btf__type_cnt(btf); id++) {
		const struct btf_type *type = btf__type_by_id(btf, id);
		bool is_key = false;
		__u32 end = 0;

		if (!btf_is_struct(type))
			continue;
		for (int i = 0; i < btf_vlen(type); i++)
			is_key |= tagged__find(tagged, id, i, "attr") ||
				  tagged__find(tagged, id, i, "resource");
		if (!is_key)
			continue;
		seen++;
		for (int i = 0; i < btf_vlen(type); i++) {
			EXPECT_EQ(btf_member_bit_offset(type, i), 8 * end);
			end += btf__resolve_size(btf, btf_members(type)[i].type);
		}
		if (!EXPECT_EQ(end, type->size))
			printf("struct %s has a hole\n", btf__name_by_offset(btf, type->name_off));
	}
}

TEST(keys_have_no_holes)
{
	each_object(check_keys);
	EXPECT_GT(seen, 1);
}

TEST_MAIN()
