/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What a filter holds, for people and machines. */
#ifndef OTELBPF_LOADER_FILTER_LIST_H
#define OTELBPF_LOADER_FILTER_LIST_H

struct filter;
struct json_object;

/** filter_list__add - append an object for each entry of a filter to a list */
void filter_list__add(const struct filter *filter, struct json_object *list);

/** filter_list__print - a table of the list "probes", of objects with "probe" and the list
 * "filters" */
void filter_list__print(struct json_object *report);

#endif
