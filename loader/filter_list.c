// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "filter_list.h"

#include <stdio.h>
#include <string.h>

#include "decoder.h"
#include "filter_value.h"
#include "report.h"
#include "table.h"

struct listing {
	struct json_object *list;
	const struct filter_kind *kind;
};

static struct json_object *add_item(struct json_object *list, const char *kind, bool pass,
				    const char *value)
{
	struct json_object *item = report__item(list);

	report__text(item, "kind", kind);
	report__text(item, "verdict", pass ? "allow" : "deny");
	report__text(item, "value", value);
	return item;
}

static int list_entry(const struct otel_filter_key *key, __u32 verdict, void *arg)
{
	const struct listing *listing = arg;
	struct json_object *item;
	char text[FILTER_TEXT];

	listing->kind->print(key, text);
	item = add_item(listing->list, listing->kind->name, verdict & OTEL_FILTER_PASS, text);
	if (key->kind != OTEL_FILTER_COMM)
		report__number(item, "id", key->id);
	if (key->kind == OTEL_FILTER_PID)
		report__bool(item, "children", verdict & OTEL_FILTER_CHILDREN);
	return 0;
}

static bool has_item(struct json_object *list, const char *kind, const char *value)
{
	for (size_t i = 0; i < json_object_array_length(list); i++) {
		struct json_object *item = json_object_array_get_idx(list, i);

		if (!strcmp(report__get_text(item, "kind"), kind) &&
		    !strcmp(report__get_text(item, "value"), value))
			return true;
	}
	return false;
}

static void list_set(const struct filter *filter, const struct filter_set *set,
		     struct json_object *list)
{
	struct decoder_ctx ctx = {.arg = ""};

	for (__u32 bit = 0; bit < set->bits; bit++) {
		struct decoded decoded = {};
		char text[FILTER_TEXT];
		__u64 number;
		__u32 narrow;

		if (!filter__set_lists(filter, set, bit) ||
		    !filter_value__number(set, bit, &number))
			continue;
		narrow = number;
		set->decoder->decode(&ctx, &narrow, sizeof(narrow), &decoded);
		if (decoded.kind == DECODED_STRING)
			snprintf(text, sizeof(text), "%.*s", (int)decoded.len, decoded.text);
		else
			snprintf(text, sizeof(text), "%llu", (unsigned long long)number);
		/* One name, added as one, may stand for several numbers. */
		if (!has_item(list, set->kind, text))
			add_item(list, set->kind, !filter__set_denies(filter), text);
	}
}

void filter_list__add(const struct filter *filter, struct json_object *list)
{
	struct listing listing = {.list = list};

	for (int i = 0; (listing.kind = filter_kind__nth(i)); i++) {
		bool looked = filter->vars->flags & OTEL_FILTER_F(listing.kind->kind);

		/* Nothing passes then: worth a line. */
		if (!filter__each(filter, listing.kind->kind, list_entry, &listing) && looked)
			add_item(list, listing.kind->name,
				 !(filter->vars->flags & OTEL_FILTER_F_ELSE(listing.kind->kind)),
				 NULL);
	}
	for (int i = 0; i < filter->sets; i++)
		list_set(filter, &filter->set[i], list);
}

static void print_probe(struct table *table, struct json_object *probe)
{
	struct json_object *item;

	for (size_t i = 0; (item = report__nth(probe, "filters", i)); i++) {
		const char *value = "(all of them have exited)";

		if (report__has(item, "value"))
			value = report__get_text(item, "value");
		table__add(table, "%s" TABLE_CELL "%s" TABLE_CELL "%s" TABLE_CELL "%s%s",
			   report__get_text(probe, "probe"), report__get_text(item, "kind"),
			   report__get_text(item, "verdict"), value,
			   report__get_bool(item, "children") ? " with children" : "");
	}
}

void filter_list__print(struct json_object *report)
{
	struct table *table = table__new("PROBE|KIND|VERDICT|VALUE");
	struct json_object *probe;

	for (size_t i = 0; (probe = report__nth(report, "probes", i)); i++)
		print_probe(table, probe);
	table__print(table);
}
