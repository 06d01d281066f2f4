// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* OTEL_EXPORTER_OTLP_*: what becomes of every value, good or bad. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "deliver/env.h"
#include "fail.h"
#include "ktap.h"

#define P "OTEL_EXPORTER_OTLP_"

static struct otlp_endpoint endpoints[SIGNAL_KINDS];
static const char *output_name = "";
static char said[8192]; /* what the last read_with() printed on stderr */

/* Variables in pairs, up to a NULL; nothing else is set. */
static int read_with(const char *const variables[])
{
	FILE *capture = tmpfile();
	int code, saved = dup(2);
	size_t len;

	otlp_endpoints__free(endpoints);
	clearenv();
	for (size_t i = 0; variables[i]; i += 2)
		setenv(variables[i], variables[i + 1], 1);
	ASSERT_TRUE(capture);
	fflush(stderr);
	dup2(fileno(capture), 2);
	code = otlp_endpoints__read(output_name, endpoints);
	fflush(stderr);
	dup2(saved, 2);
	close(saved);
	rewind(capture);
	len = fread(said, 1, sizeof(said) - 1, capture);
	said[len] = 0;
	fclose(capture);
	return code;
}

#define READ(...) read_with((const char *const[]){__VA_ARGS__, NULL})

static size_t lines(void)
{
	size_t n = 0;

	for (const char *c = said; *c; c++)
		n += *c == '\n';
	return n;
}

TEST(defaults)
{
	const struct otlp_endpoint *metrics = &endpoints[SIGNAL_METRICS];

	ASSERT_EQ(READ(NULL), 0);
	EXPECT_STREQ(metrics->url, "http://localhost:4318/v1/metrics");
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url, "http://localhost:4318/v1/traces");
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].url, "http://localhost:4318/v1/logs");
	EXPECT_STREQ(endpoints[SIGNAL_PROFILES].url,
		     "http://localhost:4318/v1development/profiles");
	EXPECT_FALSE(metrics->json);
	EXPECT_EQ(metrics->compression, COMPRESSION_NONE);
	EXPECT_FALSE(metrics->grpc);
	EXPECT_EQ(metrics->timeout_ms, 10000);
	EXPECT_EQ(metrics->n_headers, 0);
	EXPECT_STREQ(metrics->certificate, NULL);
	EXPECT_EQ(lines(), 0);
}

TEST(endpoint_joining)
{
	static const struct {
		const char *base;
		const char *url;
		const char *label;
	} table[] = {
		{"http://c:4318", "http://c:4318/v1/metrics", NULL},
		{"http://c:4318/", "http://c:4318/v1/metrics", NULL},
		{"http://c", "http://c/v1/metrics", NULL},
		{"HTTPS://c", "HTTPS://c/v1/metrics", NULL},
		{"http://c:4318/mycollector", "http://c:4318/mycollector/v1/metrics", NULL},
		{"http://c:4318/mycollector/", "http://c:4318/mycollector/v1/metrics", NULL},
		{"http://c/a//", "http://c/a//v1/metrics", NULL},
		{"http://c/a?key=s", "http://c/a/v1/metrics?key=s", "http://c/a/v1/metrics"},
		{"http://c?key=s#f", "http://c/v1/metrics?key=s", "http://c/v1/metrics"},
		{"http://c/#f", "http://c/v1/metrics", NULL},
		{"http://[::1]:4318", "http://[::1]:4318/v1/metrics", NULL},
		{"https://[2001:db8::1]/a", "https://[2001:db8::1]/a/v1/metrics", NULL},
		{"http://[fe80::1%25eth0]:4318", "http://[fe80::1%25eth0]:4318/v1/metrics", NULL},
		{"https://u:p@c/x", "https://u:p@c/x/v1/metrics", "https://c/x/v1/metrics"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		ASSERT_EQ(READ(P "ENDPOINT", table[i].base), 0);
		EXPECT_STREQ(endpoints[SIGNAL_METRICS].url, table[i].url);
		EXPECT_STREQ(endpoints[SIGNAL_METRICS].label, table[i].label ?: table[i].url);
		EXPECT_EQ(lines(), 0);
	}
}

TEST(endpoint_of_one_signal_is_verbatim)
{
	ASSERT_EQ(READ(P "ENDPOINT", "http://c:4318/mycollector/", P "METRICS_ENDPOINT",
		       "https://collector.example.com/v1/metrics/", P "TRACES_ENDPOINT",
		       "http://collector:4318", P "PROFILES_ENDPOINT", "http://p/x?y"),
		  0);
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].url, "https://collector.example.com/v1/metrics/");
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url, "http://collector:4318");
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].label, "http://collector:4318/");
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].url, "http://c:4318/mycollector/v1/logs");
	EXPECT_STREQ(endpoints[SIGNAL_PROFILES].url, "http://p/x?y");
}

TEST(bad_endpoints_are_ignored)
{
	static const char *const bad[] = {
		"collector:4318", "ftp://c",	    "http://",	       "grpc://c:4317",
		"http:/c",	  "http://c:99999", "http://c d",      "http://u:secret@",
		"/v1/metrics",	  "http://[::1",    "http://::1:4318", "http://[::g]:1",
		"https://",
	};

	for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
		ASSERT_EQ(READ(P "ENDPOINT", bad[i]), 0);
		if (!EXPECT_STREQ(endpoints[SIGNAL_METRICS].url,
				  "http://localhost:4318/v1/metrics"))
			printf("from %s\n", bad[i]);
		EXPECT_EQ(lines(), 1);
		EXPECT_TRUE(strstr(said, P "ENDPOINT"));
		EXPECT_FALSE(strstr(said, "secret"));
	}
	/* One that is bad for a signal leaves the one for all. */
	ASSERT_EQ(READ(P "ENDPOINT", "http://c", P "METRICS_ENDPOINT", "nonsense"), 0);
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].url, "http://c/v1/metrics");
}

TEST(empty_is_unset)
{
	ASSERT_EQ(READ(P "ENDPOINT", "", P "PROTOCOL", "", P "HEADERS", "", P "COMPRESSION", "",
		       P "TIMEOUT", "", P "CERTIFICATE", "", P "METRICS_TIMEOUT", ""),
		  0);
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].url, "http://localhost:4318/v1/metrics");
	EXPECT_EQ(endpoints[SIGNAL_METRICS].timeout_ms, 10000);
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].certificate, NULL);
	ASSERT_EQ(READ(P "TIMEOUT", "5", P "METRICS_TIMEOUT", ""), 0);
	EXPECT_EQ(endpoints[SIGNAL_METRICS].timeout_ms, 5);
	EXPECT_EQ(lines(), 0);
}

TEST(protocol)
{
	ASSERT_EQ(READ(P "PROTOCOL", "http/json", P "TRACES_PROTOCOL", "http/protobuf"), 0);
	EXPECT_TRUE(endpoints[SIGNAL_METRICS].json);
	EXPECT_FALSE(endpoints[SIGNAL_TRACES].json);
	EXPECT_TRUE(endpoints[SIGNAL_PROFILES].json);

	ASSERT_EQ(READ(P "PROTOCOL", "http/xml"), 0);
	EXPECT_FALSE(endpoints[SIGNAL_METRICS].json);
	EXPECT_EQ(lines(), 1);
	EXPECT_TRUE(strstr(said, "http/xml"));

	ASSERT_EQ(READ(P "PROTOCOL", "grpc", P "METRICS_PROTOCOL", "http/protobuf"), 0);
	EXPECT_FALSE(endpoints[SIGNAL_METRICS].grpc);
	EXPECT_TRUE(endpoints[SIGNAL_TRACES].grpc);
}

#define METHOD(service) "/opentelemetry.proto.collector." service "/Export"

TEST(grpc_endpoints)
{
	static const struct {
		const char *value;
		const char *insecure;
		const char *authority;
	} cases[] = {
		{"", "", "http://localhost:4317"},
		{"http://c:1", "", "http://c:1"},
		{"https://c:1/a/path?q", "true", "https://c:1"},
		{"http://c", "false", "http://c"},
		{"c:4317", "", "https://c:4317"},
		{"c:4317", "False", "https://c:4317"},
		{"c:4317", "TRUE", "http://c:4317"},
		{"[::1]:4317", "true", "http://[::1]:4317"},
	};
	char url[256];

	for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
		ASSERT_EQ(READ(P "PROTOCOL", "grpc", P "ENDPOINT", cases[i].value, P "INSECURE",
			       cases[i].insecure),
			  0);
		EXPECT_EQ(lines(), 0);
		snprintf(url, sizeof(url), "%s" METHOD("metrics.v1.MetricsService"),
			 cases[i].authority);
		EXPECT_STREQ(endpoints[SIGNAL_METRICS].url, url);
		snprintf(url, sizeof(url), "%s" METHOD("profiles.v1development.ProfilesService"),
			 cases[i].authority);
		EXPECT_STREQ(endpoints[SIGNAL_PROFILES].url, url);
	}
	/* One signal's own endpoint has no path of its own, either. */
	ASSERT_EQ(READ(P "PROTOCOL", "grpc", P "ENDPOINT", "http://c", P "TRACES_ENDPOINT",
		       "http://t:9/v1/traces", P "LOGS_PROTOCOL", "http/protobuf"),
		  0);
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url, "http://t:9" METHOD("trace.v1.TraceService"));
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].url, "http://c/v1/logs");
	/* Without a scheme it is for gRPC only, which is said once. */
	ASSERT_EQ(READ(P "ENDPOINT", "c:4317", P "TRACES_PROTOCOL", "grpc"), 0);
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url,
		     "https://c:4317" METHOD("trace.v1.TraceService"));
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].url, "http://localhost:4318/v1/metrics");
	EXPECT_EQ(lines(), 1);
	/* What is not true is false, even where all others are true. */
	ASSERT_EQ(READ(P "PROTOCOL", "grpc", P "ENDPOINT", "c:4317", P "INSECURE", "true",
		       P "TRACES_INSECURE", "yes", P "LOGS_INSECURE", ""),
		  0);
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url,
		     "https://c:4317" METHOD("trace.v1.TraceService"));
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].url, "http://c:4317" METHOD("logs.v1.LogsService"));
	EXPECT_EQ(lines(), 1);
}

TEST(compression)
{
	static const struct {
		const char *value;
		enum compression compression;
		size_t warnings;
	} table[] = {
		{"none", COMPRESSION_NONE, 0},	  {"gzip", COMPRESSION_GZIP, 0},
		{"GZip", COMPRESSION_GZIP, 0},	  {"zstd", COMPRESSION_ZSTD, 0},
		{"snappy", COMPRESSION_NONE, 1},  {"gzip,zstd", COMPRESSION_NONE, 1},
		{"deflate", COMPRESSION_NONE, 1}, {"true", COMPRESSION_NONE, 1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		ASSERT_EQ(READ(P "COMPRESSION", table[i].value), 0);
		EXPECT_EQ(endpoints[SIGNAL_METRICS].compression, table[i].compression);
		EXPECT_EQ(lines(), table[i].warnings);
	}
	ASSERT_EQ(READ(P "COMPRESSION", "gzip", P "LOGS_COMPRESSION", "none",
		       P "TRACES_COMPRESSION", "zstd"),
		  0);
	EXPECT_EQ(endpoints[SIGNAL_METRICS].compression, COMPRESSION_GZIP);
	EXPECT_EQ(endpoints[SIGNAL_LOGS].compression, COMPRESSION_NONE);
	EXPECT_EQ(endpoints[SIGNAL_TRACES].compression, COMPRESSION_ZSTD);
	/* One that is bad for a signal leaves the one for all. */
	ASSERT_EQ(READ(P "COMPRESSION", "gzip", P "LOGS_COMPRESSION", "lz4"), 0);
	EXPECT_EQ(endpoints[SIGNAL_LOGS].compression, COMPRESSION_GZIP);
	EXPECT_EQ(lines(), 1);
}

TEST(unix_sockets)
{
	static const struct {
		const char *value;
		const char *socket; /* NULL: it is ignored */
	} table[] = {
		{"unix:///run/otel.sock", "/run/otel.sock"},
		{"unix:/run/otel.sock", "/run/otel.sock"},
		{"UNIX:///a", "/a"},
		{"unix:///with a space", "/with a space"},
		{"unix-abstract:otel", "otel"},
		{"UNIX-abstract:/a b", "/a b"},
		{"unix-abstract:", NULL},
		{"unix:", NULL},
		{"unix://", NULL},
		{"unix:relative", NULL},
		{"unix://host/path", NULL},
		{"unix:///0123456789012345678901234567890123456789012345678901234567890123456789"
		 "01234567890123456789012345678901234567",
		 NULL},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct otlp_endpoint *metrics = &endpoints[SIGNAL_METRICS];
		char label[256];

		ASSERT_EQ(READ(P "ENDPOINT", table[i].value), 0);
		EXPECT_STREQ(metrics->socket, table[i].socket);
		EXPECT_EQ(lines(), !table[i].socket);
		EXPECT_EQ(metrics->is_abstract,
			  table[i].socket && strcasestr(table[i].value, "-abstract:"));
		snprintf(label, sizeof(label), "%s%s",
			 metrics->is_abstract ? "unix-abstract:" : "unix://",
			 table[i].socket ?: "");
		EXPECT_STREQ(metrics->label,
			     table[i].socket ? label : "http://localhost:4318/v1/metrics");
	}
	ASSERT_EQ(READ(P "ENDPOINT", "http://c", P "TRACES_ENDPOINT", "unix:///t",
		       P "LOGS_ENDPOINT", "unix:///l", P "LOGS_PROTOCOL", "grpc"),
		  0);
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].socket, NULL);
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url, "http://localhost/v1/traces");
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].socket, "/t");
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].url, "http://localhost" METHOD("logs.v1.LogsService"));
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].socket, "/l");
}

/* An output with a name has all variables of its own, and none of the others'. */
TEST(named_outputs)
{
	output_name = "SECOND";
	EXPECT_EQ(READ(P "ENDPOINT", "http://first"), EXIT_USAGE);
	EXPECT_TRUE(strstr(said, "SECOND_" P "ENDPOINT is not set"));
	ASSERT_EQ(READ(P "ENDPOINT", "http://first", P "HEADERS", "token=first", P "PROTOCOL",
		       "grpc", P "TIMEOUT", "5", "SECOND_" P "ENDPOINT", "http://second",
		       "SECOND_" P "LOGS_HEADERS", "token=second"),
		  0);
	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		EXPECT_FALSE(endpoints[kind].grpc);
		EXPECT_EQ(endpoints[kind].timeout_ms, 10000);
		EXPECT_EQ(endpoints[kind].n_headers, kind == SIGNAL_LOGS);
	}
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url, "http://second/v1/traces");
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].headers[0].value, "second");
	/* A warning names the variable. */
	ASSERT_EQ(READ("SECOND_" P "ENDPOINT", "http://second", "SECOND_" P "TIMEOUT", "x"), 0);
	EXPECT_TRUE(strstr(said, "SECOND_" P "TIMEOUT=x is ignored"));
	/* Each signal its own is enough. */
	ASSERT_EQ(READ("SECOND_" P "METRICS_ENDPOINT", "http://m", "SECOND_" P "TRACES_ENDPOINT",
		       "http://t", "SECOND_" P "LOGS_ENDPOINT", "http://l",
		       "SECOND_" P "PROFILES_ENDPOINT", "http://p"),
		  0);
	EXPECT_STREQ(endpoints[SIGNAL_TRACES].url, "http://t");
	for (int i = 0; i < 3; i++) {
		output_name =
			((const char *[]){"second", "A-B", "A2345678901234567890123456789012"})[i];
		EXPECT_EQ(READ(P "ENDPOINT", "http://first"), EXIT_USAGE);
		EXPECT_EQ(lines(), 1);
	}
	output_name = "";
}

TEST(timeout)
{
	static const struct {
		const char *value;
		long ms;
		size_t warnings;
	} table[] = {
		{"12000", 12000, 0},
		{"0", 0, 0},
		{"2147483647", 2147483647, 0},
		{"-1", 10000, 1},
		{"10s", 10000, 1},
		{"2147483648", 10000, 1},
		{"1e3", 10000, 1},
		{" 5", 10000, 1},
		{"+5", 10000, 1},
		{"x", 10000, 1},
		{"99999999999999999999", 10000, 1},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		ASSERT_EQ(READ(P "TIMEOUT", table[i].value), 0);
		EXPECT_EQ(endpoints[SIGNAL_METRICS].timeout_ms, table[i].ms);
		EXPECT_EQ(lines(), table[i].warnings);
	}
	ASSERT_EQ(READ(P "TIMEOUT", "7", P "METRICS_TIMEOUT", "-7"), 0);
	EXPECT_EQ(endpoints[SIGNAL_METRICS].timeout_ms, 7);
}

TEST(headers)
{
	static const struct {
		const char *value;
		const char *headers; /* NAME: VALUE, one a line */
		size_t warnings;
	} table[] = {
		{"a=b", "a: b\n", 0},
		{"key1=value1,key2=value2", "key1: value1\nkey2: value2\n", 0},
		{" a = b c ,\td=e\t", "a: b c\nd: e\n", 0},
		{"a=b=c==", "a: b=c==\n", 0},
		{"a=", "a: \n", 0},
		{"a=b%20c%2C%3d%25", "a: b c,=%\n", 0},
		{"a=%C3%A9", "a: \xc3\xa9\n", 0},
		{"a=b+c", "a: b+c\n", 0},
		{"a=b;c=d", "a: b;c=d\n", 0},
		{"a=1,A=2", "A: 2\n", 0},
		{",a=b,,", "a: b\n", 0},
		{"Authorization=Bearer%20secret", "Authorization: Bearer secret\n", 0},
		{"secret,a=b", "a: b\n", 1},
		{"=secret,a=b", "a: b\n", 1},
		{"se cret=1,a=b", "a: b\n", 1},
		{"b=secret%,a=b", "a: b\n", 1},
		{"b=secret%2", "", 1},
		{"b=secret%zz", "", 1},
		{"b=secret%0d%0aInjected: 1", "", 1},
		{"b=secret%00", "", 1},
		{"b=secret\n", "", 1},
		{"Content-Type=secret,content-length=secret,a=b", "a: b\n", 2},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(*table); i++) {
		const struct otlp_endpoint *endpoint = &endpoints[SIGNAL_METRICS];
		char all[256] = "";

		ASSERT_EQ(READ(P "HEADERS", table[i].value), 0);
		for (size_t k = 0; k < endpoint->n_headers; k++)
			sprintf(all + strlen(all), "%s: %s\n", endpoint->headers[k].name,
				endpoint->headers[k].value);
		EXPECT_STREQ(all, table[i].headers);
		EXPECT_EQ(lines(), table[i].warnings);
		EXPECT_FALSE(strstr(said, "secret"));
	}
	/* A signal's own replace those for all. */
	ASSERT_EQ(READ(P "HEADERS", "a=b", P "METRICS_HEADERS", "c=d"), 0);
	ASSERT_EQ(endpoints[SIGNAL_METRICS].n_headers, 1);
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].headers[0].name, "c");
	EXPECT_STREQ(endpoints[SIGNAL_LOGS].headers[0].name, "a");
}

TEST(files)
{
	ASSERT_EQ(READ(P "ENDPOINT", "https://c", P "CERTIFICATE", "/dev/null", P "CLIENT_KEY",
		       "/dev/zero", P "CLIENT_CERTIFICATE", "/dev/full"),
		  0);
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].certificate, "/dev/null");
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].client_key, "/dev/zero");
	EXPECT_STREQ(endpoints[SIGNAL_METRICS].client_certificate, "/dev/full");
	EXPECT_EQ(READ(P "ENDPOINT", "https://c", P "CERTIFICATE", "/nonexistent"), EXIT_USAGE);
	EXPECT_TRUE(strstr(said, P "CERTIFICATE=/nonexistent: No such file"));
	/* Without TLS it is not used. */
	EXPECT_EQ(READ(P "ENDPOINT", "http://c", P "CERTIFICATE", "/nonexistent"), 0);
	otlp_endpoints__free(endpoints);
}

TEST_MAIN()
