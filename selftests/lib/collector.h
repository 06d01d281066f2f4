/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * An OpenTelemetry Collector for a test: what we sent, seen from the receiver's side.
 *
 *	struct collector *c __attribute__((cleanup(collector__freep))) = collector__start();
 *	if (!c)
 *		SKIP("no Collector: %s", strerror(errno));
 *	… export to collector__http_url(c) …
 *	struct json_object *lines = collector__metrics(c);
 *	EXPECT_EQ(otlp_json__total(otlp_json__last(lines), "a.metric", "a.key", "its value"), 1000);
 *	json_object_put(lines);
 *
 * The Collector answers a request after it has written what it received, so whatever has been
 * acknowledged can be read at once. It lives in the test's process group and dies with the test.
 */
#ifndef SELFTESTS_COLLECTOR_H
#define SELFTESTS_COLLECTOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct collector;
struct json_object;

/* --- the process ----------------------------------------------------------------------------- */

/**
 * collector__start() - start a Collector on free ports of 127.0.0.1 and wait until it answers
 *
 * The program is $OTELCOL (see scripts/collector); its configuration is in collector/ below
 * $OTELBPF_SELFTESTS_DIR, or else below SELFTESTS_DIR as compiled in. It takes metrics, traces
 * and logs.
 *
 * Return: the Collector; or NULL and errno: ENOENT if OTELCOL is not set, ETIMEDOUT if it did not
 * answer within 60 s, ECHILD if it exited (its log is then on stderr), else what failed.
 */
struct collector *collector__start(void);

/**
 * collector__start_profiles() - as collector__start(), with a pipeline for profiles as well
 *
 * Return: as collector__start().
 */
struct collector *collector__start_profiles(void);

/**
 * collector__start_tls() - as collector__start(), with TLS
 * @directory: with certificates__make()'s files; in-use.pem and in-use.key are the Collector's own.
 *	$OTELCOL_CLIENT_CA, if it is set when the Collector starts or restarts, is a file of
 *	authorities, by one of which clients have to be certified
 *
 * Return: as collector__start().
 */
struct collector *collector__start_tls(const char *directory);

/**
 * collector__http_url() - base URL for OTLP/HTTP, as OTEL_EXPORTER_OTLP_ENDPOINT takes it
 * @c: the Collector
 *
 * Return: "http://127.0.0.1:PORT" (https:// with TLS), without a path. The port stays the same
 * after a restart.
 */
const char *collector__http_url(const struct collector *c);

/**
 * collector__grpc_endpoint() - the same for OTLP/gRPC
 * @c: the Collector
 *
 * Return: "http://127.0.0.1:PORT".
 */
const char *collector__grpc_endpoint(const struct collector *c);

/**
 * collector__stop() - stop the process with SIGTERM; after 10 s with SIGKILL
 * @c: the Collector; what it received can still be read
 *
 * Return: 0 if it exited with 0, died of SIGTERM or was not running, -EIO otherwise (its log
 * is then on stderr).
 */
int collector__stop(struct collector *c);

/**
 * collector__restart() - stop it if it runs, and start it again on the same ports
 * @c: the Collector; what it received before stays
 *
 * Return: 0 or -errno as collector__start() sets it.
 */
int collector__restart(struct collector *c);

/**
 * collector__signal() - send its process a signal
 * @c: the Collector
 * @signal: SIGKILL: it has ended when this returns, and a line that it was writing, which it
 *	cannot have acknowledged, is taken away; collector__restart() then starts it again
 */
void collector__signal(struct collector *c, int signal);

/**
 * collector__free() - stop the Collector and forget what it received
 * @c: the Collector or NULL
 */
void collector__free(struct collector *c);
void collector__freep(struct collector **c);

/**
 * collector__post() - send it a request over HTTP
 * @c:    the Collector
 * @path: "/v1/metrics", say
 * @type: of the content
 * @data: the content, @len bytes
 *
 * Return: the answer's status; 0 if there was none.
 */
long collector__post(const struct collector *c, const char *path, const char *type,
		     const void *data, size_t len);

/* --- what it received ------------------------------------------------------------------------ */

/**
 * collector__lines() - the requests of one kind received so far, oldest first
 * @c: the Collector
 * @key: "resourceMetrics", "resourceSpans", "resourceLogs" or "resourceProfiles"
 *
 * Return: a JSON array with one OTLP/JSON object per request, for json_object_put(); NULL and
 * errno if it cannot be read. A line that is still being written is not in it.
 */
struct json_object *collector__lines(struct collector *c, const char *key);

/**
 * collector__metrics() - the requests with metrics received so far
 * @c: the Collector
 *
 * Return: as collector__lines().
 */
struct json_object *collector__metrics(struct collector *c);

/**
 * collector__newest() - the last request of a kind, without parsing the others
 * @c: the Collector
 * @key: as for collector__lines()
 * @n: if not NULL, gets how many there are
 *
 * Return: for json_object_put(); NULL if there is none.
 */
struct json_object *collector__newest(struct collector *c, const char *key, size_t *n);

/**
 * collector__spans() - how many different spans have been received
 * @c: the Collector
 * @twice: if not NULL, gets how many came more than once, each time but the first
 */
size_t collector__spans(struct collector *c, size_t *twice);

/**
 * collector__wait() - wait until a number of requests of one kind have been received
 * @c: the Collector
 * @key: as for collector__lines()
 * @n: at least so many
 * @timeout_ms: at most so long
 *
 * Return: how many there are, which is less than @n if the time was over; or -errno.
 */
int collector__wait(struct collector *c, const char *key, int n, int timeout_ms);

/* --- questions to OTLP/JSON ------------------------------------------------------------------ */

/**
 * struct otlp_point - a data point and what it belongs to; all borrowed from the JSON object
 * @resource: the Resource: {"attributes": […]}; may be NULL
 * @scope_name: name of the instrumentation scope, "" if it has none
 * @metric: {"name": …, "unit": …, KIND: {…}}
 * @kind: "gauge", "sum", "histogram", "exponentialHistogram" or "summary"
 * @data: the metric's member of that name: {"dataPoints": […], "aggregationTemporality": …}
 * @point: the data point: {"attributes": […], "timeUnixNano": …, …}
 */
struct otlp_point {
	struct json_object *resource;
	const char *scope_name;
	struct json_object *metric;
	const char *kind;
	struct json_object *data;
	struct json_object *point;
};

/**
 * typedef otlp_json__point_fn - called for a data point
 * @p: the point, valid during the call
 * @ctx: the caller's
 *
 * Return: true to go on, false to stop.
 */
typedef bool (*otlp_json__point_fn)(const struct otlp_point *p, void *ctx);

/**
 * otlp_json__for_each_point() - call a function for all data points of a metric
 * @root: a request ({"resourceMetrics": […]}), or an array of requests
 * @metric: name of the metric; NULL for all metrics
 * @fn: the function
 * @ctx: handed to @fn
 *
 * Return: number of calls.
 */
int otlp_json__for_each_point(struct json_object *root, const char *metric, otlp_json__point_fn fn,
			      void *ctx);

/**
 * otlp_json__last() - the newest request of an array: the present state of cumulative metrics
 * @lines: from collector__lines()
 *
 * Return: borrowed; NULL if the array is empty.
 */
struct json_object *otlp_json__last(struct json_object *lines);

/**
 * otlp_json__find() - find data points by metric and attributes
 * @root: as for otlp_json__for_each_point()
 * @metric: name of the metric
 * @found: if not NULL, gets the last match; left alone if there is none
 * @...: pairs of attribute key and value as text; a key is looked up in the point and, if it is
 *	not there, in the Resource; a NULL value demands that the attribute is absent
 *
 * Return: number of matches.
 */
#define otlp_json__find(root, metric, found, ...) \
	otlp_json__find_where(root, metric, found, OTLP_JSON_WHERE(__VA_ARGS__))

/**
 * otlp_json__total() - add up the data points found by metric and attributes
 * @root: as for otlp_json__for_each_point()
 * @metric: name of the metric
 * @...: as for otlp_json__find()
 *
 * Return: sum of the points' "count" (histograms) or "asInt" (sums and gauges).
 */
#define otlp_json__total(root, metric, ...) \
	otlp_json__total_where(root, metric, OTLP_JSON_WHERE(__VA_ARGS__))

/* The same with the pairs in an array, two NULLs at its end. */
int otlp_json__find_where(struct json_object *root, const char *metric, struct otlp_point *found,
			  const char *const *where);
uint64_t otlp_json__total_where(struct json_object *root, const char *metric,
				const char *const *where);
#define OTLP_JSON_WHERE(...) (&((const char *const[]){NULL, ##__VA_ARGS__, NULL, NULL})[1])

/**
 * otlp_json__attr() - an attribute as text
 * @obj: anything with "attributes": a Resource, a data point, a span; may be NULL
 * @key: name of the attribute
 *
 * Return: the text, numbers and bools formatted; borrowed from @obj; NULL if there is none.
 */
const char *otlp_json__attr(struct json_object *obj, const char *key);

/**
 * otlp_json__u64() - a 64-bit integer, which OTLP/JSON writes as a string or a number
 * @obj: the object
 * @key: name of its member
 *
 * Return: the number; 0, the default of protobuf, if there is no such member.
 */
uint64_t otlp_json__u64(struct json_object *obj, const char *key);
int64_t otlp_json__i64(struct json_object *obj, const char *key);

/**
 * otlp_json__f64() - a floating point number, also of the form "NaN", "Infinity", "-Infinity"
 * @obj: the object
 * @key: name of its member
 *
 * Return: the number; NaN if there is no such member.
 */
double otlp_json__f64(struct json_object *obj, const char *key);

/**
 * otlp_json__text() - a string
 * @obj: the object
 * @key: name of its member
 *
 * Return: borrowed from @obj; "" if there is no such member.
 */
const char *otlp_json__text(struct json_object *obj, const char *key);

/**
 * otlp_json__count() - "count" of a histogram's data point; otlp_json__sum() is its "sum" (NaN
 * if there is none), otlp_json__value() the "asInt" or "asDouble" of a sum's or a gauge's
 * @point: the data point
 *
 * Return: the number.
 */
uint64_t otlp_json__count(struct json_object *point);
double otlp_json__sum(struct json_object *point);
double otlp_json__value(struct json_object *point);

/**
 * otlp_json__bucket() - how many are in a positive bucket of an exponential histogram
 * @point: the data point
 * @index: index of the bucket: at scale s it is (2^(index/2^s), 2^((index+1)/2^s)]
 *
 * Return: the number; 0 for a bucket that is not there.
 */
uint64_t otlp_json__bucket(struct json_object *point, int index);

/**
 * otlp_json__bucket_total() - how many are in all buckets of any histogram, zero bucket included
 * @point: the data point
 *
 * Return: the number, which has to be the point's count.
 */
uint64_t otlp_json__bucket_total(struct json_object *point);

#endif /* SELFTESTS_COLLECTOR_H */
