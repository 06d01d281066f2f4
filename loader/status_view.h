/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What otelbpf status shows a person, made from what it prints for machines. */
#ifndef OTELBPF_LOADER_STATUS_VIEW_H
#define OTELBPF_LOADER_STATUS_VIEW_H

#include <stdbool.h>

struct json_object;

/** status__print - one probe's report; a blank line before it unless it is the @first */
void status__print(struct json_object *report, bool first);

#endif
