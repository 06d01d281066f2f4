// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "preference.h"

#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "fail.h"

static const struct choice {
	const char *variable, *value;
	struct metrics_preference preference;
} choices[] = {
#define TEMPORALITY "OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE"
#define AGGREGATION "OTEL_EXPORTER_OTLP_METRICS_DEFAULT_HISTOGRAM_AGGREGATION"
	{TEMPORALITY, "cumulative", {}},
	{TEMPORALITY, "delta", {.delta_sums = true, .delta_histograms = true}},
	{TEMPORALITY, "lowmemory", {.delta_histograms = true}},
	{AGGREGATION, "explicit_bucket_histogram", {.explicit_buckets = true}},
	{AGGREGATION, "base2_exponential_bucket_histogram", {}},
};

static struct metrics_preference read_variable(const char *variable, const char *expected)
{
	const char *text = getenv(variable);

	if (!text || !text[0])
		return (struct metrics_preference){};
	for (size_t i = 0; i < sizeof(choices) / sizeof(choices[0]); i++)
		if (!strcmp(choices[i].variable, variable) && !strcasecmp(text, choices[i].value))
			return choices[i].preference;
	warn("%s is ignored: %s is expected, not '%s'", variable, expected, text);
	return (struct metrics_preference){};
}

struct metrics_preference metrics_preference__read(void)
{
	struct metrics_preference preference, buckets;

	preference = read_variable(TEMPORALITY, "cumulative, delta or lowmemory");
	buckets = read_variable(AGGREGATION, "explicit_bucket_histogram or "
					     "base2_exponential_bucket_histogram");
	preference.explicit_buckets = buckets.explicit_buckets;
	return preference;
}
