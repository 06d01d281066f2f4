// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* Does a test see in the Collector what was sent to it, number by number? */
#include <errno.h>
#include <json-c/json.h>
#include <math.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"

#define _cleanup_collector_ __attribute__((cleanup(collector__freep)))
#define START_SECONDS 120 /* the Collector's own limit of 60 s, and room */

/* One metric of each kind that counts, with numbers that a double does not hold. */
static const char metrics_json[] =
	"{\"resourceMetrics\":[{"
	"\"resource\":{\"attributes\":["
	"{\"key\":\"host.name\",\"value\":{\"stringValue\":\"here\"}},"
	"{\"key\":\"process.pid\",\"value\":{\"intValue\":\"42\"}}]},"
	"\"scopeMetrics\":[{\"scope\":{\"name\":\"a scope\"},\"metrics\":["
	"{\"name\":\"test.duration\",\"unit\":\"s\",\"exponentialHistogram\":{"
	"\"aggregationTemporality\":2,\"dataPoints\":[{"
	"\"attributes\":[{\"key\":\"syscall.name\",\"value\":{\"stringValue\":\"getpid\"}}],"
	"\"startTimeUnixNano\":\"1700000000000000001\",\"timeUnixNano\":1700000000000000002,"
	"\"count\":\"9007199254741002\",\"sum\":1.5,\"scale\":2,\"zeroCount\":\"4\","
	"\"positive\":{\"offset\":-3,\"bucketCounts\":[\"1\",0,\"9007199254740993\",\"4\"]},"
	"\"min\":0,\"max\":1.25},"
	"{\"attributes\":[{\"key\":\"syscall.name\",\"value\":{\"stringValue\":\"read\"}}],"
	"\"timeUnixNano\":\"1700000000000000002\",\"count\":\"7\",\"scale\":-1,"
	"\"positive\":{\"offset\":5,\"bucketCounts\":[\"7\"]}}]}},"
	"{\"name\":\"test.errors\",\"sum\":{\"aggregationTemporality\":2,\"isMonotonic\":true,"
	"\"dataPoints\":[{\"timeUnixNano\":\"2\",\"asInt\":\"9007199254740993\","
	"\"attributes\":[{\"key\":\"errno\",\"value\":{\"intValue\":\"11\"}},"
	"{\"key\":\"ok\",\"value\":{\"boolValue\":false}}]}]}},"
	"{\"name\":\"test.load\",\"gauge\":{\"dataPoints\":["
	"{\"timeUnixNano\":\"2\",\"asDouble\":0.25}]}}"
	"]}]}]}";

static struct collector *need_collector(bool profiles)
{
	struct collector *c = profiles ? collector__start_profiles() : collector__start();

	if (!c && errno == ENOENT)
		SKIP("OTELCOL is not set");
	ASSERT_NE(c, NULL);
	return c;
}

static long post(const struct collector *c, const char *path, const char *json)
{
	return collector__post(c, path, "application/json", json, strlen(json));
}

/* What metrics_json says, whether read directly or from the Collector. */
static void expect_metrics(struct json_object *root)
{
	struct otlp_point p = {};
	int n;

	EXPECT_EQ(otlp_json__find(root, "test.duration", NULL), 2);
	EXPECT_EQ(otlp_json__find(root, "test.duration", NULL, "syscall.name", "write"), 0);
	EXPECT_EQ(otlp_json__find(root, "test.duration", NULL, "syscall.name", NULL), 0);
	EXPECT_EQ(otlp_json__find(root, "test.duration", NULL, "absent", NULL), 2);
	n = otlp_json__find(root, "test.duration", &p, "syscall.name", "getpid", "host.name",
			    "here");
	ASSERT_EQ(n, 1);
	EXPECT_STREQ(p.kind, "exponentialHistogram");
	EXPECT_STREQ(p.scope_name, "a scope");
	EXPECT_STREQ(otlp_json__text(p.metric, "unit"), "s");
	EXPECT_STREQ(otlp_json__attr(p.resource, "process.pid"), "42");
	EXPECT_STREQ(otlp_json__attr(p.resource, "absent"), NULL);
	EXPECT_STREQ(otlp_json__attr(p.point, "syscall.name"), "getpid");
	EXPECT_EQ(otlp_json__u64(p.data, "aggregationTemporality"), 2);
	EXPECT_EQ(otlp_json__u64(p.point, "startTimeUnixNano"), 1700000000000000001);
	EXPECT_EQ(otlp_json__u64(p.point, "timeUnixNano"), 1700000000000000002);
	EXPECT_EQ(otlp_json__count(p.point), 9007199254741002);
	EXPECT_EQ(otlp_json__bucket_total(p.point), 9007199254741002);
	EXPECT_EQ(otlp_json__sum(p.point), 1.5);
	EXPECT_EQ(otlp_json__i64(p.point, "scale"), 2);
	EXPECT_EQ(otlp_json__u64(p.point, "zeroCount"), 4);
	EXPECT_EQ(otlp_json__bucket(p.point, -4), 0);
	EXPECT_EQ(otlp_json__bucket(p.point, -3), 1);
	EXPECT_EQ(otlp_json__bucket(p.point, -2), 0);
	EXPECT_EQ(otlp_json__bucket(p.point, -1), 9007199254740993);
	EXPECT_EQ(otlp_json__bucket(p.point, 0), 4);
	EXPECT_EQ(otlp_json__bucket(p.point, 1), 0);
	EXPECT_EQ(otlp_json__f64(p.point, "min"), 0);
	EXPECT_EQ(otlp_json__f64(p.point, "max"), 1.25);

	ASSERT_EQ(otlp_json__find(root, "test.duration", &p, "syscall.name", "read"), 1);
	EXPECT_EQ(otlp_json__i64(p.point, "scale"), -1);
	EXPECT_TRUE(isnan(otlp_json__sum(p.point)));
	EXPECT_EQ(otlp_json__u64(p.point, "startTimeUnixNano"), 0);

	EXPECT_EQ(otlp_json__total(root, "test.duration", "syscall.name", "read"), 7);
	EXPECT_EQ(otlp_json__total(root, "test.duration"), 9007199254741009);
	EXPECT_EQ(otlp_json__total(root, "test.errors", "errno", "11", "ok", "false"),
		  9007199254740993);
	ASSERT_EQ(otlp_json__find(root, "test.load", &p), 1);
	EXPECT_STREQ(p.kind, "gauge");
	EXPECT_EQ(otlp_json__value(p.point), 0.25);
}

static bool stop_at_second(const struct otlp_point *p, void *ctx)
{
	int *calls = ctx;

	EXPECT_NE(p->point, NULL);
	return ++*calls < 2;
}

TEST(questions_are_answered_without_a_collector)
{
	struct json_object *root = json_tokener_parse(metrics_json), *lines;
	int calls = 0;

	ASSERT_NE(root, NULL);
	expect_metrics(root);
	EXPECT_EQ(otlp_json__for_each_point(root, NULL, stop_at_second, &calls), 2);
	EXPECT_EQ(otlp_json__total(NULL, "test.duration"), 0);
	EXPECT_EQ(otlp_json__last(NULL), NULL);

	lines = json_object_new_array();
	EXPECT_EQ(otlp_json__last(lines), NULL);
	json_object_array_add(lines, json_object_get(root));
	json_object_array_add(lines, json_object_get(root));
	EXPECT_EQ(otlp_json__last(lines), root);
	EXPECT_EQ(otlp_json__total(lines, "test.duration", "syscall.name", "read"), 14);
	json_object_put(lines);
	json_object_put(root);
}

TEST(start_says_what_is_missing)
{
	unsetenv("OTELCOL");
	errno = 0;
	EXPECT_EQ(collector__start(), NULL);
	EXPECT_EQ(errno, ENOENT);

	setenv("OTELCOL", "/dev/null", 1);
	EXPECT_EQ(collector__start(), NULL);
	EXPECT_EQ(errno, ECHILD);
}

TEST_TIMEOUT(an_acknowledged_request_can_be_read_at_once, START_SECONDS)
{
	_cleanup_collector_ struct collector *c = need_collector(false);

	for (int i = 1; i <= 20; i++) {
		struct json_object *lines;

		ASSERT_EQ(post(c, "/v1/metrics", metrics_json), 200);
		lines = collector__metrics(c);
		ASSERT_NE(lines, NULL);
		ASSERT_EQ(json_object_array_length(lines), i);
		if (i == 1)
			expect_metrics(lines);
		expect_metrics(otlp_json__last(lines));
		json_object_put(lines);
	}
	EXPECT_EQ(collector__wait(c, "resourceMetrics", 20, 0), 20);
	EXPECT_EQ(collector__wait(c, "resourceSpans", 1, 50), 0);
	EXPECT_EQ(post(c, "/v1/metrics", "{"), 400);
	EXPECT_EQ(collector__stop(c), 0);
	EXPECT_EQ(collector__wait(c, "resourceMetrics", 20, 0), 20);
}

TEST_TIMEOUT(a_restart_keeps_ports_and_data, 2 * START_SECONDS)
{
	_cleanup_collector_ struct collector *c = need_collector(false);
	char *url = strdup(collector__http_url(c));

	EXPECT_STRNE(url, collector__grpc_endpoint(c));
	EXPECT_EQ(post(c, "/v1/metrics", metrics_json), 200);
	EXPECT_EQ(collector__stop(c), 0);
	EXPECT_EQ(post(c, "/v1/metrics", metrics_json), 0);
	ASSERT_EQ(collector__restart(c), 0);
	EXPECT_STREQ(collector__http_url(c), url);
	EXPECT_EQ(post(c, "/v1/metrics", metrics_json), 200);
	EXPECT_EQ(collector__wait(c, "resourceMetrics", 2, 0), 2);
	free(url);
}

TEST_TIMEOUT(profiles_are_taken_if_asked_for, 2 * START_SECONDS)
{
	static const char profiles[] =
		"{\"resourceProfiles\":[{\"scopeProfiles\":[{\"profiles\":[{"
		"\"sampleType\":{\"typeStrindex\":1,\"unitStrindex\":2},"
		"\"samples\":[{\"values\":[\"3\"]}],\"timeUnixNano\":\"5\"}]}]}],"
		"\"dictionary\":{\"mappingTable\":[{}],\"locationTable\":[{}],"
		"\"functionTable\":[{}],\"linkTable\":[{}],\"stringTable\":[\"\",\"samples\","
		"\"count\"],"
		"\"attributeTable\":[{}],\"stackTable\":[{}]}}";
	_cleanup_collector_ struct collector *c = need_collector(true);

	EXPECT_EQ(post(c, "/v1development/profiles", profiles), 200);
	EXPECT_EQ(collector__wait(c, "resourceProfiles", 1, 0), 1);
	EXPECT_EQ(post(c, "/v1/metrics", metrics_json), 200);
	EXPECT_EQ(collector__wait(c, "resourceMetrics", 1, 0), 1);
	collector__free(c);

	c = need_collector(false);
	EXPECT_EQ(post(c, "/v1development/profiles", profiles), 404);
}

TEST_MAIN()
