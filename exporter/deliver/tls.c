// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What is wrong when two sides do not come to TLS: whose certificate or which file, and what to
 * do. libcurl's own words name the function that failed.
 */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "answer.h"

#define VARIABLE "OTEL_EXPORTER_OTLP_"

/* Source of the numbers: OpenSSL, include/openssl/x509_vfy.h (X509_V_ERR_…), same since 1.0. */
enum verify {
	NOT_YET_VALID = 9,
	HAS_EXPIRED = 10,
	SELF_SIGNED = 18,
	SELF_SIGNED_IN_CHAIN = 19,
	NO_ISSUER = 20,
	NO_FIRST = 21,
	HOST_MISMATCH = 62,
	IP_MISMATCH = 64,
};

static void free_url(CURLU **url)
{
	curl_url_cleanup(*url);
}

static void free_text(char **text)
{
	curl_free(*text);
}

static void say_wrong_name(const struct otlp_endpoint *endpoint, struct delivery_report *report)
{
	CURLU *url __attribute__((cleanup(free_url))) = curl_url();
	char *host __attribute__((cleanup(free_text))) = NULL;

	if (url && !curl_url_set(url, CURLUPART_URL, endpoint->url, 0))
		curl_url_get(url, CURLUPART_HOST, &host, 0);
	report__say(report,
		    "the receiver's certificate is for another name than %s: have the endpoint "
		    "name it as its certificate does",
		    host ?: "the endpoint's");
}

/* The receiver's certificate is not good enough for us. Return: false for no known reason. */
static bool say_unverified(const struct answer *answer, const struct otlp_endpoint *endpoint,
			   struct delivery_report *report)
{
	switch (answer->verify) {
	case HAS_EXPIRED:
		report__say(report, "the receiver's certificate, or one above it, has expired: it "
				    "has to be renewed (if not, this machine's clock is wrong)");
		return true;
	case NOT_YET_VALID:
		report__say(report, "the receiver's certificate is not valid yet: is this "
				    "machine's clock right?");
		return true;
	case SELF_SIGNED:
	case SELF_SIGNED_IN_CHAIN:
	case NO_ISSUER:
	case NO_FIRST:
		report__say(report,
			    "the receiver's certificate is signed by nobody %s%s: set " VARIABLE
			    "CERTIFICATE to the file with its authority's certificate",
			    endpoint->certificate ? "in " : "whom this system trusts",
			    endpoint->certificate ?: "");
		return true;
	case HOST_MISMATCH:
	case IP_MISMATCH:
		say_wrong_name(endpoint, report);
		return true;
	}
	/* curl compares names itself. */
	if (!strstr(answer->error, "subject name") &&
	    !strstr(answer->error, "does not match target host name"))
		return false; /* damaged on the way, perhaps */
	say_wrong_name(endpoint, report);
	return true;
}

/* One of our files cannot be used. */
static void say_bad_file(const char *variable, const char *file, const char *what,
			 struct delivery_report *report)
{
	if (access(file, R_OK))
		report__say(report, "%s: %s: check " VARIABLE "%s", file, strerror(errno),
			    variable);
	else
		report__say(report, "%s: %s: check " VARIABLE "%s", file, what, variable);
}

static void say_bad_own(const struct answer *answer, const struct otlp_endpoint *endpoint,
			struct delivery_report *report)
{
	char what[384];

	if (endpoint->client_certificate && !strstr(answer->error, "private key"))
		say_bad_file("CLIENT_CERTIFICATE", endpoint->client_certificate,
			     "no certificate in PEM", report);
	else if (endpoint->client_key) {
		snprintf(what, sizeof(what), "no private key in PEM, or not that of %s",
			 endpoint->client_certificate ?: "a certificate, which is missing");
		say_bad_file("CLIENT_KEY", endpoint->client_key, what, report);
	} else
		say_bad_file("CLIENT_KEY", endpoint->client_certificate,
			     "holds no private key, and no other file is named", report);
}

/*
 * An alert: the receiver did not like what we have, or that we have nothing. Return: false when
 * it is about another thing: that it could not decipher what came, say, which may be otherwise
 * next time.
 */
static bool say_alert(const struct answer *answer, const struct otlp_endpoint *endpoint,
		      struct delivery_report *report)
{
	/* Its words follow: "… alert certificate required, errno 0". */
	const char *alert = strstr(answer->error, "alert ");
	int len = alert ? strcspn(alert + 6, ",:(") : 0;

	if (!alert || (!strstr(alert, "certificate") && !strstr(alert, "unknown ca") &&
		       !strstr(alert, "access denied")))
		return false;
	if (!endpoint->client_certificate)
		report__say(report,
			    "the receiver seems to want a client certificate (%.*s): set " VARIABLE
			    "CLIENT_CERTIFICATE and " VARIABLE "CLIENT_KEY",
			    len, alert + 6);
	else
		report__say(report,
			    "the receiver refuses the client certificate in %s (%.*s): it has to "
			    "be signed by an authority that the receiver trusts, and valid",
			    endpoint->client_certificate, len, alert + 6);
	return true;
}

void tls__guess(const struct answer *answer, const struct otlp_endpoint *endpoint,
		struct delivery_report *report)
{
	if (strncasecmp(endpoint->url, "https:", 6))
		return;
	switch (answer->result) {
	case CURLE_SEND_ERROR:
	case CURLE_RECV_ERROR:
	case CURLE_GOT_NOTHING:
	case CURLE_HTTP2:
	case CURLE_HTTP2_STREAM:
		break;
	default:
		return;
	}
	/* Its alert gets lost when it closes while we are still sending. */
	if (endpoint->client_certificate)
		report__add(report, " (does it trust the client certificate in %s?)",
			    endpoint->client_certificate);
	else
		report__add(report, " (does it want a client certificate, " VARIABLE
				    "CLIENT_CERTIFICATE?)");
}

bool tls__explain(const struct answer *answer, const struct otlp_endpoint *endpoint,
		  struct delivery_report *report)
{
	if (strncasecmp(endpoint->url, "https:", 6))
		return false;
	switch (answer->result) {
	case CURLE_PEER_FAILED_VERIFICATION:
		return say_unverified(answer, endpoint, report);
	case CURLE_SSL_CACERT_BADFILE:
		if (!endpoint->certificate)
			return false;
		say_bad_file("CERTIFICATE", endpoint->certificate, "no certificates in PEM",
			     report);
		return true;
	case CURLE_SSL_CERTPROBLEM:
		if (!endpoint->client_certificate && !endpoint->client_key)
			return false;
		say_bad_own(answer, endpoint, report);
		return true;
	case CURLE_SSL_CONNECT_ERROR:
		if (strstr(answer->error, "wrong version number")) {
			report__say(report, "the receiver does not speak TLS: is it http:// "
					    "rather than https://?");
			return true;
		}
		return say_alert(answer, endpoint, report);
	case CURLE_RECV_ERROR: /* in TLS 1.3 the receiver looks at ours when we are done */
	case CURLE_SEND_ERROR:
		return say_alert(answer, endpoint, report);
	default:
		return false;
	}
}
