// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "reload.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "duration.h"
#include "fail.h"

static char **given; /* ends with NULL; the strings are the environment's own */

/* Without what the configuration has set: else that would win over what it says now. */
static int restore_environment(void)
{
	size_t n = 0;
	int err = 0;

	if (given) {
		err = clearenv();
		for (char **variable = given; *variable && !err; variable++)
			err = putenv(*variable);
		return err;
	}
	while (environ && environ[n])
		n++;
	given = calloc(n + 1, sizeof(*given));
	if (given && n)
		memcpy(given, environ, n * sizeof(*given));
	return given ? 0 : -1;
}

struct instance *instance__new(int argc, char **argv, int *code)
{
	struct instance *instance = calloc(1, sizeof(*instance));

	if (!instance || restore_environment())
		*code = fail(EXIT_INTERNAL, "no memory");
	else
		*code = settings__read(&instance->settings, argc, argv);
	if (*code < 0)
		return instance;
	if (instance)
		settings__free(&instance->settings);
	free(instance);
	return NULL;
}

void instance__free(struct instance *instance)
{
	exporter__end(&instance->exporter);
	settings__free(&instance->settings);
	free(instance);
}

static struct outputs_one *find(struct outputs *outputs, const struct output *output,
				enum signal_kind kind)
{
	for (int i = 0; i < outputs->n; i++)
		if (!strcmp(output__name(outputs->one[i].output, kind), output__name(output, kind)))
			return &outputs->one[i];
	return NULL;
}

/* What a receiver has acknowledged is what its next delta is taken from. */
static void take_over(struct instance *next, struct instance *old)
{
	struct outputs *outputs = &next->exporter.outputs;

	if (memcmp(&next->settings.preference, &old->settings.preference,
		   sizeof(old->settings.preference)))
		return;
	for (int i = 0; i < outputs->n; i++) {
		struct outputs_one *one = &outputs->one[i];
		struct outputs_one *before =
			find(&old->exporter.outputs, one->output, SIGNAL_METRICS);
		struct baseline *baseline = one->baseline;

		if (!before)
			continue;
		one->baseline = before->baseline;
		before->baseline = baseline;
	}
}

/* Outputs of one that the other has not. Return: how many. */
static int say_difference(struct instance *these, struct instance *those, const char *what)
{
	struct outputs *outputs = &these->exporter.outputs;
	int n = 0;

	for (int i = 0; i < outputs->n; i++)
		for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
			const struct output *output = outputs->one[i].output;

			if (find(&those->exporter.outputs, output, kind))
				continue;
			inform("reload: %s %s", what, output__name(output, kind));
			n++;
			break; /* the other kinds' addresses follow from that */
		}
	return n;
}

static void say_changes(struct instance *next, struct instance *old)
{
	char now[DURATION_TEXT], before[DURATION_TEXT];
	int n = say_difference(old, next, "sends no longer to") +
		say_difference(next, old, "sends to");

	if (next->settings.interval_ns != old->settings.interval_ns) {
		inform("reload: exports every %s, before every %s",
		       duration__print(next->settings.interval_ns, now),
		       duration__print(old->settings.interval_ns, before));
		n++;
	}
	if (!n)
		inform("reload: sends where it did, as it is told now");
}

int reload(struct instance **instance, int argc, char **argv, bool owner, const volatile bool *stop)
{
	struct instance *old = *instance, *next;
	int code;

	next = instance__new(argc, argv, &code);
	if (next) {
		code = owner ? export__all(&old->exporter, true, true, 0) : EXIT_OK;
		if (code == EXIT_INTERNAL) {
			instance__free(next);
			return code;
		}
		code = exporter__start(&next->exporter, &next->settings, stop);
	}
	if (code) {
		inform("reload: goes on as before");
		if (next)
			instance__free(next);
		return EXIT_OK;
	}
	take_over(next, old);
	say_changes(next, old);
	instance__free(old);
	*instance = next;
	return EXIT_OK;
}
