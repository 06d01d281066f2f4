/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A running exporter reads again what it is told, and goes on with that. */
#ifndef OTELBPF_RELOAD_H
#define OTELBPF_RELOAD_H

#include <stdbool.h>

#include "export.h"
#include "settings.h"

/** struct instance - what an exporter is told, and what it has made of it */
struct instance {
	struct settings settings;
	struct exporter exporter;
};

/**
 * instance__new - read what an exporter is told
 * @code: an exit code where there is none to go on with: what is wrong, or asked for, has been said
 *
 * The environment is as it was at the first call; the configuration's variables are added to it.
 */
struct instance *instance__new(int argc, char **argv, int *code);

/** instance__free - end it, and all that it has made */
void instance__free(struct instance *instance);

/**
 * reload - read the configuration again and follow it
 * @instance: replaced when all went well
 * @owner:    of the pin directory
 * @stop:     see output__send()
 *
 * With what was told before there is a last export, so that what comes after it is all that the new
 * outputs are still to get: the kernel's maps are the queue. What is wrong is said, and then it
 * goes on as before. A receiver that stays gets deltas from where it is.
 *
 * Return: an exit code: EXIT_OK to go on.
 */
int reload(struct instance **instance, int argc, char **argv, bool owner,
	   const volatile bool *stop);

#endif
