// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* TLS and mutual TLS with a real Collector, over HTTP and gRPC: what holds, and what is said if
 * not. */
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "certificates.h"
#include "collector.h"
#include "deliver/output.h"
#include "ktap.h"
#include "otlp/fields.h"
#include "otlp/pb.h"

#define P "OTEL_EXPORTER_OTLP_"
#define SECOND 1000000000ULL
#define ARRAY_SIZE(a) (sizeof(a) / sizeof(*(a)))

static const char *directory;
static struct collector *collector;
static struct delivery_report report;
static volatile bool stop;
static int delivered; /* what the Collector has to have */
static const char *const protocols[] = {"http/protobuf", "grpc"};

static void start(void)
{
	signal(SIGPIPE, SIG_IGN);
	setenv("no_proxy", "*", 1);
	directory = certificates__make();
	certificates__copy("server", "in-use");
	collector = collector__start_tls(directory);
	if (!collector && errno == ENOENT) {
		certificates__remove();
		SKIP("OTELCOL is not set");
	}
	ASSERT_NE(collector, NULL);
}

static void finish(void)
{
	struct json_object *lines = collector__metrics(collector);

	EXPECT_EQ(otlp_json__total(lines, "test.count"), delivered);
	EXPECT_GT(delivered, 0);
	json_object_put(lines);
	collector__free(collector);
	certificates__remove();
}

/* With the certificate that it has by now, and demanding one of clients or not. */
static void restart(const char *certificate, bool mutual)
{
	char authority[128];

	certificates__copy(certificate, "in-use");
	snprintf(authority, sizeof(authority), "%s/ca.pem", directory);
	setenv("OTELCOL_CLIENT_CA", mutual ? authority : "", 1);
	ASSERT_EQ(collector__restart(collector), 0);
}

/* A file of the directory as a variable's value; NULL takes it away. */
static void name_file(const char *variable, const char *file)
{
	char path[256];

	snprintf(path, sizeof(path), "%s/%s", directory, file ?: "");
	if (file)
		setenv(variable, path, 1);
	else
		unsetenv(variable);
}

static const char *endpoint_of(const char *protocol)
{
	return !strcmp(protocol, "grpc") ? collector__grpc_endpoint(collector)
					 : collector__http_url(collector);
}

static struct output *open_output(const char *protocol, const char *endpoint)
{
	struct output *output;
	int code = 0;

	setenv(P "PROTOCOL", protocol, 1);
	setenv(P "ENDPOINT", endpoint, 1);
	output = output__open("otlp", NULL, &code);
	ASSERT_TRUE(output);
	return output;
}

static enum delivery send_one(struct output *output)
{
	struct timespec now;
	struct pb request = {0};
	size_t opened[5];
	enum delivery outcome;

	opened[0] = pb__open(&request, REQUEST_RESOURCES);
	opened[1] = pb__open(&request, RESOURCE_GROUP_SCOPES);
	opened[2] = pb__open(&request, SCOPE_GROUP_ITEMS);
	pb__string(&request, METRIC_NAME, "test.count");
	opened[3] = pb__open(&request, METRIC_SUM);
	opened[4] = pb__open(&request, SUM_DATA_POINTS);
	pb__fixed64(&request, NUMBER_POINT_TIME, 1700000000000000000);
	pb__fixed64(&request, NUMBER_POINT_AS_INT, 1);
	pb__close(&request, opened[4]);
	pb__varint(&request, SUM_AGGREGATION_TEMPORALITY, TEMPORALITY_CUMULATIVE);
	for (int i = 3; i >= 0; i--)
		pb__close(&request, opened[i]);
	clock_gettime(CLOCK_MONOTONIC, &now);
	outcome = output__send(output, SIGNAL_METRICS, request.data, request.len,
			       now.tv_sec * SECOND + now.tv_nsec + 6 * SECOND, &stop, &report);
	pb__free(&request);
	delivered += outcome == DELIVERED;
	return outcome;
}

static void expect_delivered(struct output *output)
{
	if (!EXPECT_EQ(send_one(output), DELIVERED))
		printf("%s\n", report.message);
}

/* Refused by us or by it, at once and for a reason that is said in one line with these words. */
static void expect_refused(struct output *output, const char *word, const char *other)
{
	EXPECT_EQ(send_one(output), UNDELIVERED);
	EXPECT_FALSE(strchr(report.message, '\n'));
	if (!EXPECT_TRUE(strstr(report.message, word) && strstr(report.message, other)))
		printf("%s\n", report.message);
	else
		printf("as it should be: %s\n", report.message);
}

/* One output for one request. */
static void expect(const char *protocol, const char *endpoint, const char *word, const char *other)
{
	struct output *output = open_output(protocol, endpoint);

	if (word)
		expect_refused(output, word, other);
	else
		expect_delivered(output);
	output__close(output);
}

static void write_file(const char *name, const char *text)
{
	char path[256];
	FILE *file;

	snprintf(path, sizeof(path), "%s/%s", directory, name);
	file = fopen(path, "w");
	ASSERT_TRUE(file);
	fputs(text, file);
	fclose(file);
}

TEST_TIMEOUT(server_certificate, 120)
{
	start();
	write_file("garbled.pem", "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n");
	write_file("none.pem", "nothing\n");
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		const char *protocol = protocols[i], *endpoint = endpoint_of(protocol);
		char localhost[64], clear[64];

		/* Nobody's system has that authority. */
		name_file(P "CERTIFICATE", NULL);
		expect(protocol, endpoint, "whom this system trusts", P "CERTIFICATE");
		name_file(P "CERTIFICATE", "other-ca.pem");
		expect(protocol, endpoint, "/other-ca.pem", P "CERTIFICATE");
		/* One signal's own wins. */
		name_file(P "METRICS_CERTIFICATE", "ca.pem");
		expect(protocol, endpoint, NULL, NULL);
		name_file(P "METRICS_CERTIFICATE", NULL);
		name_file(P "CERTIFICATE", "garbled.pem");
		expect(protocol, endpoint, "/garbled.pem: no certificates in PEM", P "CERTIFICATE");
		name_file(P "CERTIFICATE", "none.pem");
		expect(protocol, endpoint, "/none.pem: no certificates in PEM", P "CERTIFICATE");

		name_file(P "CERTIFICATE", "ca.pem");
		snprintf(localhost, sizeof(localhost), "https://localhost%s",
			 strrchr(endpoint, ':'));
		expect(protocol, localhost, "another name than localhost", "endpoint");
		/* Without a scheme gRPC's endpoint has TLS unless told otherwise. */
		if (!strcmp(protocol, "grpc")) {
			expect(protocol, endpoint + strlen("https://"), NULL, NULL);
			setenv(P "INSECURE", "false", 1);
			expect(protocol, endpoint + strlen("https://"), NULL, NULL);
			unsetenv(P "INSECURE");
		}
		snprintf(clear, sizeof(clear), "http%s", strchr(endpoint, ':'));
		if (strcmp(protocol, "grpc")) {
			struct output *output = open_output(protocol, clear);

			EXPECT_EQ(send_one(output), REFUSED);
			EXPECT_TRUE(strstr(report.message, "HTTPS"));
			output__close(output);
		}
	}
	restart("expired", false);
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		expect(protocols[i], endpoint_of(protocols[i]), "has expired", "renewed");
	restart("name", false);
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++)
		expect(protocols[i], endpoint_of(protocols[i]), "another name than 127.0.0.1",
		       "endpoint");
	finish();
}

TEST_TIMEOUT(client_certificate, 120)
{
	start();
	write_file("none.pem", "nothing\n");
	restart("server", true);
	name_file(P "CERTIFICATE", "ca.pem");
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		const char *protocol = protocols[i], *endpoint = endpoint_of(protocol);

		name_file(P "CLIENT_CERTIFICATE", NULL);
		name_file(P "CLIENT_KEY", NULL);
		expect(protocol, endpoint, "want a client certificate", P "CLIENT_CERTIFICATE");
		name_file(P "CLIENT_CERTIFICATE", "client.pem");
		expect(protocol, endpoint, "/client.pem: holds no private key", P "CLIENT_KEY");
		name_file(P "CLIENT_KEY", "other-client.key");
		expect(protocol, endpoint,
		       "/other-client.key: no private key in PEM, or not that of", "/client.pem");
		name_file(P "CLIENT_KEY", "none.pem");
		expect(protocol, endpoint, "/none.pem: no private key", P "CLIENT_KEY");
		name_file(P "CLIENT_KEY", "client.key");
		expect(protocol, endpoint, NULL, NULL);
		name_file(P "CLIENT_CERTIFICATE", "none.pem");
		expect(protocol, endpoint, "/none.pem: no certificate", P "CLIENT_CERTIFICATE");
		name_file(P "CLIENT_CERTIFICATE", "other-client.pem");
		name_file(P "CLIENT_KEY", "other-client.key");
		expect(protocol, endpoint, " the client certificate in ", "/other-client.pem");
		/* One signal's own win. */
		name_file(P "METRICS_CLIENT_CERTIFICATE", "client.pem");
		name_file(P "METRICS_CLIENT_KEY", "client.key");
		expect(protocol, endpoint, NULL, NULL);
		name_file(P "METRICS_CLIENT_CERTIFICATE", NULL);
		name_file(P "METRICS_CLIENT_KEY", NULL);
	}
	finish();
}

/* Files that change are read again; the output stays open. */
TEST_TIMEOUT(files_that_change, 120)
{
	char path[256];

	start();
	restart("server", true);
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		struct output *output;

		certificates__copy("other-ca", "my-ca");
		certificates__copy("other-client", "mine");
		name_file(P "CERTIFICATE", "my-ca.pem");
		name_file(P "CLIENT_CERTIFICATE", "mine.pem");
		name_file(P "CLIENT_KEY", "mine.key");
		output = open_output(protocols[i], endpoint_of(protocols[i]));
		expect_refused(output, "signed by nobody", "/my-ca.pem");
		certificates__copy("ca", "my-ca");
		expect_refused(output, " the client certificate in ", "/mine.pem");
		certificates__copy("client", "mine");
		expect_delivered(output);
		expect_delivered(output);
		/* A connection that was made with other files is not used any more. */
		certificates__copy("other-ca", "my-ca");
		expect_refused(output, "signed by nobody", "/my-ca.pem");
		snprintf(path, sizeof(path), "%s/my-ca.pem", directory);
		ASSERT_EQ(unlink(path), 0);
		expect_refused(output, "/my-ca.pem: No such file", P "CERTIFICATE");
		certificates__copy("ca", "my-ca");
		expect_delivered(output);
		output__close(output);
	}
	finish();
}

TEST_TIMEOUT(receiver_without_tls, 60)
{
	char url[64];

	signal(SIGPIPE, SIG_IGN);
	setenv("no_proxy", "*", 1);
	collector = collector__start();
	if (!collector && errno == ENOENT)
		SKIP("OTELCOL is not set");
	ASSERT_NE(collector, NULL);
	for (size_t i = 0; i < ARRAY_SIZE(protocols); i++) {
		snprintf(url, sizeof(url), "https%s", strchr(endpoint_of(protocols[i]), ':'));
		expect(protocols[i], url, "does not speak TLS", "http://");
	}
	collector__free(collector);
}

TEST_MAIN()
