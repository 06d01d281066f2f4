// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "samples.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "ktap.h"

bool is_emulated(void)
{
	return getenv("OTELBPF_OWN_KERNEL");
}

/* --- what was received ------------------------------------------------------------------------ */

struct json_object *json__get(struct json_object *obj, const char *key)
{
	return json_object_object_get(obj, key);
}

const char *profiles__text(struct json_object *dictionary, __u64 i)
{
	struct json_object *list = json__get(dictionary, "stringTable");

	return list ? json_object_get_string(json_object_array_get_idx(list, i)) : NULL;
}

const char *profiles__attr(struct json_object *dictionary, struct json_object *resource,
			   const char *key)
{
	struct json_object *item, *name, *value, *text;

	for_each_of(item, json__get(resource, "attributes"))
	{
		const char *has =
			json_object_object_get_ex(item, "key", &name)
				? json_object_get_string(name)
				: profiles__text(dictionary, otlp_json__u64(item, "keyStrindex"));

		if (!has || strcmp(has, key))
			continue;
		value = json__get(item, "value");
		if (json_object_object_get_ex(value, "stringValue", &text) ||
		    json_object_object_get_ex(value, "intValue", &text))
			return json_object_get_string(text);
		return profiles__text(dictionary, otlp_json__u64(value, "stringValueStrindex"));
	}
	return NULL;
}

int profiles__for_each(struct json_object *requests, profile_fn fn, void *ctx)
{
	struct json_object *request, *resource, *scope, *profile;
	int n = 0;

	for_each_of(request, requests) for_each_of(resource, json__get(request, "resourceProfiles"))
		for_each_of(scope, json__get(resource, "scopeProfiles"))
			for_each_of(profile, json__get(scope, "profiles"))
	{
		fn(json__get(request, "dictionary"), json__get(resource, "resource"), profile, ctx);
		n++;
	}
	return n;
}

__u64 sample__total(struct json_object *sample)
{
	struct json_object *value;
	__u64 total = 0;

	for_each_of(value, json__get(sample, "values")) total +=
		strtoull(json_object_get_string(value), NULL, 10);
	return total;
}

__u64 profile__total(struct json_object *profile)
{
	struct json_object *sample;
	__u64 total = 0;

	for_each_of(sample, json__get(profile, "samples")) total += sample__total(sample);
	return total;
}

struct collector *profiles__collector(void)
{
	struct collector *collector = collector__start_profiles();

	if (!collector && errno == ENOENT)
		SKIP("OTELCOL is not set: no Collector; see scripts/collector");
	ASSERT_TRUE(collector);
	setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector__http_url(collector), 1);
	return collector;
}

/* --- weights of functions --------------------------------------------------------------------- */

struct weighing {
	const char *program, *type;
	struct weight *weights;
	int n;
	__u64 total;
	/* of one dictionary: which of the functions are in a stack */
	struct json_object *dictionary;
	__u32 *stacks;
	size_t n_stacks;
};

static __u32 in_location(struct weighing *w, struct json_object *location)
{
	struct json_object *line, *functions = json__get(w->dictionary, "functionTable");
	__u32 found = 0;

	for_each_of(line, json__get(location, "lines"))
	{
		struct json_object *function =
			json_object_array_get_idx(functions, otlp_json__u64(line, "functionIndex"));
		const char *name =
			profiles__text(w->dictionary, otlp_json__u64(function, "nameStrindex"));

		for (int i = 0; i < w->n; i++)
			if (name && !strcmp(name, w->weights[i].name))
				found |= 1U << i;
	}
	return found;
}

static void begin_dictionary(struct weighing *w, struct json_object *dictionary)
{
	struct json_object *stack, *index, *location;
	size_t n_locations;
	__u32 *locations;

	w->dictionary = dictionary;
	n_locations = json_object_array_length(json__get(dictionary, "locationTable"));
	locations = calloc(n_locations + 1, sizeof(*locations));
	free(w->stacks);
	w->n_stacks = json_object_array_length(json__get(dictionary, "stackTable"));
	w->stacks = calloc(w->n_stacks + 1, sizeof(*w->stacks));
	ASSERT_TRUE(locations && w->stacks);
	for_each_of(location, json__get(dictionary, "locationTable")) locations[location_i] =
		in_location(w, location);
	for_each_of(stack, json__get(dictionary, "stackTable"))
		for_each_of(index, json__get(stack, "locationIndices"))
	{
		size_t i = json_object_get_int64(index);

		ASSERT_LT(i, n_locations);
		w->stacks[stack_i] |= locations[i];
	}
	free(locations);
}

static void weigh(struct json_object *dictionary, struct json_object *resource,
		  struct json_object *profile, void *ctx)
{
	const char *name = profiles__attr(dictionary, resource, "process.executable.name");
	struct json_object *sample, *type = json__get(profile, "sampleType");
	struct weighing *w = ctx;

	if (!name || strcmp(name, w->program) ||
	    strcmp(profiles__text(dictionary, otlp_json__u64(type, "typeStrindex")) ?: "", w->type))
		return;
	if (w->dictionary != dictionary)
		begin_dictionary(w, dictionary);
	for_each_of(sample, json__get(profile, "samples"))
	{
		__u64 stack = otlp_json__u64(sample, "stackIndex"), value = sample__total(sample);

		ASSERT_LT(stack, w->n_stacks);
		w->total += value;
		for (int i = 0; i < w->n; i++)
			if (w->stacks[stack] & 1U << i)
				w->weights[i].value += value;
	}
}

__u64 profiles__weigh(struct json_object *requests, const char *program, const char *type,
		      struct weight *weights, int n)
{
	struct weighing w = {.program = program, .type = type, .weights = weights, .n = n};

	ASSERT_LE(n, 32);
	profiles__for_each(requests, weigh, &w);
	free(w.stacks);
	return w.total;
}

/* --- workloads that tell the truth ------------------------------------------------------------ */

void truth__spawn(struct truth *truth, struct live *live, bool piped, const char *const *args)
{
	char procs[PATH_MAX + 16], program[PATH_MAX];
	int in[2] = {-1, -1};
	FILE *file;

	*truth = (struct truth){.in = -1};
	snprintf(truth->path, sizeof(truth->path), "%s/truth%d", live->tmp, live->steps++);
	snprintf(procs, sizeof(procs), "%s/cgroup.procs", live->cgroup);
	snprintf(program, sizeof(program), "%s%s",
		 *args[0] == '/' ? "" : BUILD_DIR "/selftests/tools/", args[0]);
	if (piped)
		ASSERT_EQ(pipe2(in, O_CLOEXEC), 0);
	fflush(NULL);
	truth->pid = fork();
	ASSERT_GE(truth->pid, 0);
	if (!truth->pid) {
		if (piped)
			dup2(in[0], STDIN_FILENO);
		file = fopen(procs, "we");
		if (!file || fputs("0", file) < 0 || fclose(file) ||
		    !freopen(truth->path, "w", stdout))
			_exit(99);
		execv(program, (char *const *)args);
		_exit(127);
	}
	if (piped)
		close(in[0]);
	truth->in = in[1];
}

bool truth__read(struct truth *truth, const char *last)
{
	char *line = NULL, *name = NULL;
	bool found = false;
	size_t room = 0;
	FILE *file;

	truth->n = 0;
	file = fopen(truth->path, "re");
	while (file && getline(&line, &room, file) > 0 && strchr(line, '\n')) {
		long long value = strtoll(line, &name, 10);

		ASSERT_EQ(*name, ' ');
		name++;
		*strchr(name, '\n') = '\0';
		found = last && !strcmp(name, last);
		if (!strcmp(name, "total")) {
			truth->total = value;
		} else if (!strcmp(name, "wall")) {
			truth->wall = value;
		} else {
			ASSERT_LT(truth->n, TRUTHS_MAX);
			ASSERT_LT(strlen(name), sizeof(truth->names[0]));
			strcpy(truth->names[truth->n], name);
			truth->values[truth->n++] = value;
		}
	}
	if (file)
		fclose(file);
	free(line);
	return found;
}

void truth__wait(struct truth *truth)
{
	if (truth->in >= 0)
		close(truth->in);
	ASSERT_EQ(live__wait(truth->pid), 0);
	truth__read(truth, NULL);
	ASSERT_GT(truth->n, 0);
}
