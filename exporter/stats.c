// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "stats.h"

#include <errno.h>
#include <json-c/json.h>
#include <linux/bpf.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/fields.h"
#include "resource.h"

#define ERRORS_MAX 16
#define ERROR_LEN sizeof(((struct delivery_report *)0)->error)
#define NAME_LEN 32
#define OTHER "_OTHER" /* semantic conventions: an error.type without a name of its own */
#define REJECTED "rejected"

/* Items of one signal that failed for one reason. */
struct error {
	char type[ERROR_LEN];
	__u64 items;
};

/* One signal of one output. */
struct counts {
	__u64 sent, rejected, failed, lost;
	__u64 requests, failed_requests, attempts, bytes;
	struct errors {
		struct error type[ERRORS_MAX];
		int n;
	} failures, losses;
};

struct component {
	char name[NAME_LEN];
	struct counts counts[SIGNAL_KINDS];
};

/* As if it were an entry of a map: so metrics.c need not know. */
struct key {
	char component[NAME_LEN];
	char error[ERROR_LEN];
	__u8 signal; /* keeps series of two plans apart */
	__u8 pad[7];
};

static const struct {
	const char *name, *items; /* for a person */
	const char *converted, *exported, *lost, *unit;
} signals[SIGNAL_KINDS] = {
	[SIGNAL_METRICS] = {"metrics", "data points",
			    "otelbpf.exporter.metric_data_point.converted",
			    "otel.sdk.exporter.metric_data_point.exported",
			    "otelbpf.exporter.metric_data_point.lost", "{data_point}"},
	[SIGNAL_TRACES] = {"traces", "spans", "otelbpf.exporter.span.converted",
			   "otel.sdk.exporter.span.exported", "otelbpf.exporter.span.lost",
			   "{span}"},
	[SIGNAL_LOGS] = {"logs", "log records", "otelbpf.exporter.log.converted",
			 "otel.sdk.exporter.log.exported", "otelbpf.exporter.log.lost",
			 "{log_record}"},
	[SIGNAL_PROFILES] = {"profiles", "profiles", "otelbpf.exporter.profile.converted",
			     "otelbpf.exporter.profile.exported", "otelbpf.exporter.profile.lost",
			     "{profile}"},
};

enum { CONVERTED, EXPORTED, LOST, PLANS };

struct stats {
	__u64 start_ns;
	__u64 converted[SIGNAL_KINDS];
	struct component *components;
	int n_components;
	struct plan *plans[PLANS]; /* one for each signal */
};

static void add_attr(struct plan *plan, const char *name, __u32 offset, __u32 size)
{
	struct plan_attr *attr = &plan->attrs[plan->n_attrs++];

	attr->name = name;
	attr->offset = offset;
	attr->size = size;
	attr->unset = true;
	attr->decoder = decoder__find("string", &attr->ctx.arg);
	pb__string(&attr->key, KEY_VALUE_KEY, name);
}

static void make_plan(struct plan *plan, int which, enum signal_kind kind)
{
	plan->type = BPF_MAP_TYPE_HASH;
	plan->key_size = sizeof(struct key);
	plan->value_size = sizeof(__u64);
	plan->values = 1;
	if (which != CONVERTED) {
		add_attr(plan, "otel.component.name", offsetof(struct key, component), NAME_LEN);
		add_attr(plan, "error.type", offsetof(struct key, error), ERROR_LEN);
	}
	plan->instruments[plan->n_instruments++] = (struct instrument){
		.kind = INSTRUMENT_SUM,
		.name = which == EXPORTED ? signals[kind].exported
			: which == LOST	  ? signals[kind].lost
					  : signals[kind].converted,
		.unit = signals[kind].unit,
		.desc = which == EXPORTED ? "Items whose export has ended, well or not"
			: which == LOST	  ? "Items that an output never gets"
					  : "Items made of what the kernel counted",
		.size = sizeof(__u64),
		.factor = 1,
	};
}

struct stats *stats__new(__u64 start_ns)
{
	struct stats *stats = calloc(1, sizeof(*stats));

	if (!stats)
		return NULL;
	stats->start_ns = start_ns;
	for (int i = 0; i < PLANS; i++) {
		stats->plans[i] = calloc(SIGNAL_KINDS, sizeof(*stats->plans[i]));
		if (!stats->plans[i]) {
			stats__free(stats);
			return NULL;
		}
		for (int kind = 0; kind < SIGNAL_KINDS; kind++)
			make_plan(&stats->plans[i][kind], i, kind);
	}
	return stats;
}

void stats__free(struct stats *stats)
{
	if (!stats)
		return;
	for (int i = 0; i < PLANS; i++) {
		for (int kind = 0; stats->plans[i] && kind < SIGNAL_KINDS; kind++)
			for (int k = 0; k < stats->plans[i][kind].n_attrs; k++)
				pb__free(&stats->plans[i][kind].attrs[k].key);
		free(stats->plans[i]);
	}
	free(stats->components);
	free(stats);
}

int stats__output(struct stats *stats, const char *spec)
{
	int n = stats->n_components, same = 0, len = strcspn(spec, ":");
	struct component *more = reallocarray(stats->components, n + 1, sizeof(*more));
	char kind[NAME_LEN / 2];

	if (!more)
		return -ENOMEM;
	stats->components = more;
	snprintf(kind, sizeof(kind), "%.*s", len, spec);
	for (int i = 0; i < n; i++)
		same += !strncmp(more[i].name, kind, strlen(kind)) &&
			more[i].name[strlen(kind)] == '/';
	more[n] = (struct component){0};
	/* As the conventions propose: the same after a restart. */
	snprintf(more[n].name, sizeof(more[n].name), "%s/%d", kind, same);
	stats->n_components++;
	return n;
}

const char *stats__name(const struct stats *stats, int output)
{
	return stats->components[output].name;
}

void stats__converted(struct stats *stats, enum signal_kind kind, __u64 items)
{
	stats->converted[kind] += items;
}

static void count_error(struct errors *errors, const char *type, __u64 items)
{
	int i;

	for (i = 0; i < errors->n; i++)
		if (!strcmp(errors->type[i].type, type))
			break;
	/* A receiver chooses statuses: the last place is for all that find no other. */
	if (i >= ERRORS_MAX - 1) {
		i = ERRORS_MAX - 1;
		type = OTHER;
	}
	if (i >= errors->n) {
		snprintf(errors->type[i].type, sizeof(errors->type[i].type), "%s", type);
		errors->n = i + 1;
	}
	errors->type[i].items += items;
}

void stats__lost(struct stats *stats, int output, enum signal_kind kind, __u64 items,
		 const char *error)
{
	struct counts *counts = &stats->components[output].counts[kind];

	counts->lost += items;
	count_error(&counts->losses, error, items);
}

void stats__delivered(struct stats *stats, int output, enum signal_kind kind, __u64 items,
		      enum delivery result, const struct delivery_report *report)
{
	struct counts *counts = &stats->components[output].counts[kind];
	__u64 rejected = 0;

	counts->requests++;
	counts->attempts += report->attempts;
	counts->bytes += report->sent;
	if (result != DELIVERED) {
		counts->failed += items;
		counts->failed_requests++;
		count_error(&counts->failures, report->error[0] ? report->error : OTHER, items);
		return;
	}
	/* What a receiver claims. */
	if (report->rejected > 0)
		rejected = (__u64)report->rejected < items ? (__u64)report->rejected : items;
	counts->rejected += rejected;
	counts->sent += items - rejected;
}

/* --- metrics -------------------------------------------------------------- */

static int put(struct stats *stats, struct metrics *metrics, int which, enum signal_kind kind,
	       const char *component, const char *error, __u64 items)
{
	struct key key = {.signal = kind};

	snprintf(key.component, sizeof(key.component), "%s", component);
	snprintf(key.error, sizeof(key.error), "%s", error);
	return metrics__entry(metrics, &stats->plans[which][kind], &key, &items, RESOURCE_HOST,
			      false);
}

static int put_counts(struct stats *stats, struct metrics *metrics, enum signal_kind kind,
		      const struct component *component)
{
	const struct counts *counts = &component->counts[kind];
	int err = put(stats, metrics, EXPORTED, kind, component->name, "", counts->sent);

	if (!err && counts->rejected)
		err = put(stats, metrics, EXPORTED, kind, component->name, REJECTED,
			  counts->rejected);
	for (int i = 0; !err && i < counts->failures.n; i++)
		err = put(stats, metrics, EXPORTED, kind, component->name,
			  counts->failures.type[i].type, counts->failures.type[i].items);
	return err;
}

/* Only where there is a loss. */
static int put_losses(struct stats *stats, struct metrics *metrics, enum signal_kind kind)
{
	__u64 lost = 0;
	int err;

	for (int i = 0; i < stats->n_components; i++)
		lost += stats->components[i].counts[kind].lost;
	err = lost ? metrics__plan(metrics, &stats->plans[LOST][kind]) : 0;
	for (int i = 0; lost && i < stats->n_components; i++) {
		const struct component *component = &stats->components[i];
		const struct errors *losses = &component->counts[kind].losses;

		for (int e = 0; !err && e < losses->n; e++)
			err = put(stats, metrics, LOST, kind, component->name, losses->type[e].type,
				  losses->type[e].items);
	}
	return err;
}

int stats__read(struct stats *stats, struct metrics *metrics)
{
	int err = metrics__scope(metrics, STATS_SCOPE, stats->start_ns);

	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		if (err || (!stats->converted[kind] && kind != SIGNAL_METRICS))
			continue;
		err = metrics__plan(metrics, &stats->plans[CONVERTED][kind]);
		if (!err)
			err = put(stats, metrics, CONVERTED, kind, "", "", stats->converted[kind]);
		if (!err)
			err = metrics__plan(metrics, &stats->plans[EXPORTED][kind]);
		for (int i = 0; !err && i < stats->n_components; i++)
			err = put_counts(stats, metrics, kind, &stats->components[i]);
		err = err ?: put_losses(stats, metrics, kind);
	}
	return err;
}

/* --- for a person --------------------------------------------------------- */

static void print_errors(FILE *out, const char *what, const struct errors *errors)
{
	for (int i = 0; i < errors->n; i++)
		fprintf(out, "%-12s %-12s %s %s: %llu\n", "", "", what, errors->type[i].type,
			(unsigned long long)errors->type[i].items);
}

static void print_table(const struct stats *stats, FILE *out, size_t bytes)
{
	fprintf(out, "%-12s %-12s %12s %12s %12s %10s %10s %14s\n", "OUTPUT", "SIGNAL", "SENT",
		"REJECTED", "FAILED", "REQUESTS", "ATTEMPTS", "BYTES");
	for (int i = 0; i < stats->n_components; i++)
		for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
			const struct counts *counts = &stats->components[i].counts[kind];

			if (!counts->requests && !counts->lost)
				continue;
			fprintf(out, "%-12s %-12s %12llu %12llu %12llu %10llu %10llu %14llu\n",
				stats->components[i].name, signals[kind].name,
				(unsigned long long)counts->sent,
				(unsigned long long)counts->rejected,
				(unsigned long long)counts->failed,
				(unsigned long long)counts->requests,
				(unsigned long long)counts->attempts,
				(unsigned long long)counts->bytes);
			print_errors(out, "failed with", &counts->failures);
			print_errors(out, "lost:", &counts->losses);
		}
	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		if (stats->converted[kind])
			fprintf(out, "converted: %llu %s\n",
				(unsigned long long)stats->converted[kind], signals[kind].items);
	if (bytes)
		fprintf(out, "kept for deltas: %zu bytes\n", bytes);
}

static void add(struct json_object *to, const char *key, __u64 v)
{
	json_object_object_add(to, key, json_object_new_uint64(v));
}

static void add_errors(struct json_object *to, const char *key, const struct errors *errors)
{
	struct json_object *json = json_object_new_object();

	for (int i = 0; i < errors->n; i++)
		add(json, errors->type[i].type, errors->type[i].items);
	json_object_object_add(to, key, json);
}

static struct json_object *describe(const struct counts *counts)
{
	struct json_object *json = json_object_new_object();

	add(json, "sent", counts->sent);
	add(json, "rejected", counts->rejected);
	add(json, "failed", counts->failed);
	add(json, "requests", counts->requests);
	add(json, "failed_requests", counts->failed_requests);
	add(json, "attempts", counts->attempts);
	add(json, "bytes", counts->bytes);
	add_errors(json, "errors", &counts->failures);
	add_errors(json, "lost", &counts->losses);
	return json;
}

static void print_json(const struct stats *stats, FILE *out, size_t bytes)
{
	struct json_object *root = json_object_new_object();
	struct json_object *converted = json_object_new_object();
	struct json_object *outputs = json_object_new_object();

	for (int kind = 0; kind < SIGNAL_KINDS; kind++)
		add(converted, signals[kind].name, stats->converted[kind]);
	for (int i = 0; i < stats->n_components; i++) {
		struct json_object *output = json_object_new_object();

		for (int kind = 0; kind < SIGNAL_KINDS; kind++)
			if (stats->components[i].counts[kind].requests ||
			    stats->components[i].counts[kind].lost)
				json_object_object_add(
					output, signals[kind].name,
					describe(&stats->components[i].counts[kind]));
		json_object_object_add(outputs, stats->components[i].name, output);
	}
	add(root, "start_ns", stats->start_ns);
	json_object_object_add(root, "converted", converted);
	json_object_object_add(root, "outputs", outputs);
	add(root, "delta_bytes", bytes);
	fprintf(out, "%s\n",
		json_object_to_json_string_ext(root, JSON_C_TO_STRING_PLAIN |
							     JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(root);
}

void stats__print(const struct stats *stats, FILE *out, bool json, size_t bytes)
{
	if (json)
		print_json(stats, out, bytes);
	else
		print_table(stats, out, bytes);
	fflush(out);
}
