/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Times as people write them on a command line. */
#ifndef OTELBPF_DURATION_H
#define OTELBPF_DURATION_H

#include <linux/types.h>
#include <stdbool.h>

/**
 * duration__parse - "500ms", "10s", "1.5m", "2h"; a number alone is seconds
 * @text: the text, all of it
 * @ns:   set on success; 0 is a time, too
 *
 * Return: false if it is no time, or one of more than 31 years.
 */
bool duration__parse(const char *text, __u64 *ns);

/** duration__print - "250ms", "1.5s", "12m 5s", "3h 20m", "2d 4h" */
#define DURATION_TEXT 48
const char *duration__print(__u64 ns, char text[DURATION_TEXT]);

#endif
