// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "env.h"

#include <ctype.h>
#include <curl/curl.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/un.h>
#include <unistd.h>

#include "fail.h"
#include "percent.h"

#define PREFIX "OTEL_EXPORTER_OTLP_"
#define NAME_MAX_LEN 128
#define OWN_MAX_LEN 31 /* of an output's name */
#define DEFAULT_ENDPOINT "http://localhost:4318"
#define DEFAULT_GRPC_ENDPOINT "http://localhost:4317"
#define DEFAULT_TIMEOUT_MS 10000

enum option {
	ENDPOINT,
	PROTOCOL,
	HEADERS,
	COMPRESSION,
	TIMEOUT,
	CERTIFICATE,
	CLIENT_KEY,
	CLIENT_CERTIFICATE,
	INSECURE,
	OPTIONS,
};

static const struct {
	const char *infix;
	const char *path;
	const char *method; /* gRPC's */
} signals[SIGNAL_KINDS] = {
#define METHOD(service) "opentelemetry.proto.collector." service "/Export"
	[SIGNAL_METRICS] = {"METRICS_", "v1/metrics", METHOD("metrics.v1.MetricsService")},
	[SIGNAL_TRACES] = {"TRACES_", "v1/traces", METHOD("trace.v1.TraceService")},
	[SIGNAL_LOGS] = {"LOGS_", "v1/logs", METHOD("logs.v1.LogsService")},
	[SIGNAL_PROFILES] = {"PROFILES_", "v1development/profiles",
			     METHOD("profiles.v1development.ProfilesService")},
#undef METHOD
};

static void free_url(CURLU **url)
{
	curl_url_cleanup(*url);
}

/* --- what each variable may hold ------------------------------------------------ */

static bool has_scheme(const char *value)
{
	return !strncasecmp(value, "http://", 7) || !strncasecmp(value, "https://", 8);
}

/* gRPC's HOST:PORT. A port is what tells it from a path, and from another scheme. */
static bool is_bare(const char *value)
{
	const char *port = strrchr(value, ':');

	return port && port > value && port[1] && !port[1 + strspn(port + 1, "0123456789")] &&
	       !strpbrk(value, "/@?# ");
}

/*
 * gRPC's names of unix sockets, unix:///PATH, unix:/PATH and unix-abstract:NAME, which serve for
 * HTTP as well. Source: github.com/grpc/grpc, doc/naming.md.
 *
 * Return: the path or the name, or NULL when it is something else.
 */
static const char *socket_path(const char *value, bool *is_abstract)
{
	*is_abstract = !strncasecmp(value, "unix-abstract:", 14);
	if (*is_abstract)
		return value + 14;
	if (strncasecmp(value, "unix:", 5))
		return NULL;
	value += 5;
	return !strncmp(value, "//", 2) ? value + 2 : value;
}

static bool is_socket(const char *value)
{
	bool is_abstract;

	return socket_path(value, &is_abstract);
}

/* A bare one is good for gRPC only: endpoint__set() knows. */
static bool valid_endpoint(const char *name, const char *value)
{
	CURLU *url __attribute__((cleanup(free_url))) = curl_url();
	bool is_abstract;
	const char *path = socket_path(value, &is_abstract);

	if (path) {
		if ((*path == '/' || (is_abstract && *path)) &&
		    strlen(path) < sizeof(((struct sockaddr_un *)0)->sun_path))
			return true;
		warn("%s=%s is ignored: a unix socket is unix:///PATH or unix-abstract:NAME, with "
		     "at most %zu bytes of either",
		     name, value, sizeof(((struct sockaddr_un *)0)->sun_path) - 1);
		return false;
	}
	if (has_scheme(value) || is_bare(value))
		if (url &&
		    curl_url_set(url, CURLUPART_URL, value, CURLU_DEFAULT_SCHEME) == CURLUE_OK)
			return true;
	/* A password that stands in it must not get into a log. */
	warn("%s=%s is ignored: it must be http://HOST:PORT, https://HOST:PORT, unix:///PATH or "
	     "unix-abstract:NAME",
	     name, strchr(value, '@') ? "…" : value);
	return false;
}

static bool valid_protocol(const char *name, const char *value)
{
	if (!strcasecmp(value, "grpc") || !strcasecmp(value, "http/protobuf") ||
	    !strcasecmp(value, "http/json"))
		return true;
	warn("%s=%s is ignored: it must be http/protobuf, http/json or grpc", name, value);
	return false;
}

/* What is not true is false, also where the variable for all signals is true. */
static bool valid_insecure(const char *name, const char *value)
{
	if (strcasecmp(value, "true") && strcasecmp(value, "false"))
		warn("%s=%s is as good as false: it must be true or false", name, value);
	return true;
}

static const char *const compressions[] = {
	[COMPRESSION_NONE] = "none",
	[COMPRESSION_GZIP] = "gzip",
	[COMPRESSION_ZSTD] = "zstd",
};

/* Return: -1 for no name of one. */
static int compression_of(const char *value)
{
	for (size_t i = 0; i < sizeof(compressions) / sizeof(*compressions); i++)
		if (!strcasecmp(value, compressions[i]))
			return i;
	return -1;
}

static bool valid_compression(const char *name, const char *value)
{
	if (compression_of(value) >= 0)
		return true;
	warn("%s=%s is ignored: it must be none, gzip or zstd", name, value);
	return false;
}

static bool valid_timeout(const char *name, const char *value)
{
	char *end;

	errno = 0;
	/* strtol() would take a sign and leading spaces. */
	if (isdigit((unsigned char)*value) && strtoul(value, &end, 10) <= INT_MAX && !errno &&
	    !*end)
		return true;
	warn("%s=%s is ignored: it must be milliseconds, 0 to %d", name, value, INT_MAX);
	return false;
}

static bool valid_file(const char *name, const char *value)
{
	(void)name;
	(void)value;
	return true; /* whether it matters is known only with the endpoint */
}

/* A token of RFC 9110, which W3C Baggage takes for its keys as well. */
static bool is_token(const char *text, size_t len)
{
	for (size_t i = 0; i < len; i++)
		if (!isalnum((unsigned char)text[i]) && !strchr("!#$%&'*+-.^_`|~", text[i]))
			return false;
	return len > 0;
}

static void trim(const char **text, size_t *len)
{
	while (*len && strchr(" \t", **text)) {
		++*text;
		--*len;
	}
	while (*len && strchr(" \t", (*text)[*len - 1]))
		--*len;
}

/* These describe the body, which is ours. */
static bool is_ours(const char *name)
{
	static const char *const ours[] = {
		"Content-Type",
		"Content-Encoding",
		"Content-Length",
		"Transfer-Encoding",
		"grpc-encoding",
		"grpc-timeout",
		"TE",
	};

	for (size_t i = 0; i < sizeof(ours) / sizeof(*ours); i++)
		if (!strcasecmp(name, ours[i]))
			return true;
	return false;
}

/*
 * One key=value into the list; the last of two with one key wins. Semicolons have no
 * meaning of their own: the specification takes W3C Baggage without its properties.
 *
 * Return: NULL, or why not.
 */
static const char *add_header(const char *pair, size_t len, struct otlp_header **headers,
			      size_t *n_headers)
{
	const char *equals = memchr(pair, '=', len), *value;
	size_t name_len, value_len;
	struct otlp_header new, *more;

	if (!equals)
		return "it has no '='";
	name_len = equals - pair;
	value = equals + 1;
	value_len = len - name_len - 1;
	trim(&pair, &name_len);
	trim(&value, &value_len);
	if (!is_token(pair, name_len))
		return "its name is no header name";
	new.name = strndup(pair, name_len);
	new.value = percent__decode(value, value_len);
	more = reallocarray(*headers, *n_headers + 1, sizeof(**headers));
	if (more)
		*headers = more;
	if (!new.name || !new.value || !more || is_ours(new.name)) {
		const char *why = new.name &&is_ours(new.name)
					  ? "the exporter sets that header itself"
					  : "its value is not percent-encoded text";

		free(new.name);
		free(new.value);
		return why;
	}
	for (size_t i = 0; i < *n_headers; i++)
		if (!strcasecmp(more[i].name, new.name)) {
			free(more[i].name);
			free(more[i].value);
			more[i] = new;
			return NULL;
		}
	more[(*n_headers)++] = new;
	return NULL;
}

static void free_headers(struct otlp_header *headers, size_t n_headers)
{
	for (size_t i = 0; i < n_headers; i++) {
		free(headers[i].name);
		free(headers[i].value);
	}
	free(headers);
}

/* @name is NULL when warnings have been given before. */
static void read_headers(const char *name, const char *value, struct otlp_header **headers,
			 size_t *n_headers)
{
	for (unsigned int number = 1; *value; number++) {
		size_t len = strcspn(value, ",");
		const char *pair = value, *why;
		size_t pair_len = len;

		trim(&pair, &pair_len);
		why = pair_len ? add_header(pair, pair_len, headers, n_headers) : NULL;
		/* By its number, since the text may be a secret. */
		if (why && name)
			warn("%s: entry %u is ignored: %s", name, number, why);
		value += len + (value[len] == ',');
	}
}

static bool valid_headers(const char *name, const char *value)
{
	struct otlp_header *headers = NULL;
	size_t n_headers = 0;

	read_headers(name, value, &headers, &n_headers);
	free_headers(headers, n_headers);
	return true;
}

static const struct {
	const char *name;
	bool (*valid)(const char *name, const char *value);
} options[OPTIONS] = {
	[ENDPOINT] = {"ENDPOINT", valid_endpoint},
	[PROTOCOL] = {"PROTOCOL", valid_protocol},
	[HEADERS] = {"HEADERS", valid_headers},
	[COMPRESSION] = {"COMPRESSION", valid_compression},
	[TIMEOUT] = {"TIMEOUT", valid_timeout},
	[CERTIFICATE] = {"CERTIFICATE", valid_file},
	[CLIENT_KEY] = {"CLIENT_KEY", valid_file},
	[CLIENT_CERTIFICATE] = {"CLIENT_CERTIFICATE", valid_file},
	[INSECURE] = {"INSECURE", valid_insecure},
};

/* --- from variables to endpoints ------------------------------------------------ */

/* One variable as found: @name is which one, @value is NULL when it is not set. */
struct variable {
	char name[NAME_MAX_LEN];
	const char *value;
	bool warned;
};

static void read_variables(const char *prefix, const char *infix,
			   struct variable variables[OPTIONS])
{
	for (int option = 0; option < OPTIONS; option++) {
		struct variable *variable = &variables[option];

		snprintf(variable->name, sizeof(variable->name), "%s" PREFIX "%s%s", prefix, infix,
			 options[option].name);
		variable->warned = false;
		variable->value = getenv(variable->name);
		if (variable->value && !*variable->value)
			variable->value = NULL;
		if (variable->value && !options[option].valid(variable->name, variable->value))
			variable->value = NULL;
	}
}

/* The path goes before a query; a fragment never goes to a server. */
static char *join(const char *base, const char *path)
{
	size_t len = strcspn(base, "?#");
	size_t query = base[len] == '?' ? strcspn(base + len, "#") : 0;
	bool slash = len && base[len - 1] == '/';
	char *url;

	if (asprintf(&url, "%.*s%s%s%.*s", (int)len, base, slash ? "" : "/", path, (int)query,
		     base + len) < 0)
		return NULL;
	return url;
}

/* A URL without what may be a secret: user, password, query. */
static char *label_of(const char *url)
{
	size_t len = strcspn(url, "?#"), scheme = strcspn(url, ":") + 3;
	size_t authority = scheme + strcspn(url + scheme, "/?#");
	size_t host = scheme;
	char *label;

	for (size_t i = scheme; i < authority; i++)
		if (url[i] == '@')
			host = i + 1;
	if (asprintf(&label, "%.*s%.*s%s", (int)scheme, url, (int)(len - host), url + host,
		     len == authority ? "/" : "") < 0)
		return NULL;
	return label;
}

static int set_file(const struct variable *variable, bool used, char **file)
{
	if (!variable->value)
		return 0;
	if (used && access(variable->value, R_OK))
		return fail(errno == EACCES ? EXIT_PERMISSION : EXIT_USAGE, "%s=%s: %s",
			    variable->name, variable->value, strerror(errno));
	*file = strdup(variable->value);
	return *file ? 0 : fail(EXIT_INTERNAL, "no memory");
}

static bool is_grpc(const struct variable *protocol)
{
	return protocol->value && !strcasecmp(protocol->value, "grpc");
}

/* The first of the two that is good for the protocol, or NULL. */
static const char *choose_endpoint(struct variable *own, struct variable *all, bool grpc)
{
	struct variable *both[] = {own, all};

	for (int i = 0; i < 2; i++) {
		if (!both[i]->value)
			continue;
		if (grpc || has_scheme(both[i]->value) || is_socket(both[i]->value))
			return both[i]->value;
		if (!both[i]->warned)
			warn("%s=%s is ignored: without http:// or https:// it is for grpc only",
			     both[i]->name, both[i]->value);
		both[i]->warned = true;
	}
	return NULL;
}

/*
 * The scheme, else INSECURE, says whether TLS is used; a path means nothing to gRPC.
 * Source: protocol/exporter.md.
 */
static char *grpc_url(const char *value, const struct variable *insecure, const char *method)
{
	bool bare = value && !has_scheme(value);
	bool clear = insecure->value && !strcasecmp(insecure->value, "true");
	size_t len = 0;
	char *url;

	value = value ?: DEFAULT_GRPC_ENDPOINT;
	if (!bare)
		len = strcspn(value, ":") + strlen("://");
	len += strcspn(value + len, "/?#");
	if (asprintf(&url, "%s%.*s/%s",
		     !bare   ? ""
		     : clear ? "http://"
			     : "https://",
		     (int)len, value, method) < 0)
		return NULL;
	return url;
}

static int endpoint__set(enum signal_kind kind, struct variable all[OPTIONS],
			 struct variable own[OPTIONS], struct otlp_endpoint *endpoint)
{
	const struct variable *v[OPTIONS];
	const char *chosen, *path;
	bool tls, is_abstract = false;
	int code;

	for (int option = 0; option < OPTIONS; option++)
		v[option] = own[option].value ? &own[option] : &all[option];

	endpoint->grpc = is_grpc(v[PROTOCOL]);
	chosen = choose_endpoint(&own[ENDPOINT], &all[ENDPOINT], endpoint->grpc);
	path = chosen ? socket_path(chosen, &is_abstract) : NULL;
	if (path) {
		/* The name that gRPC gives to the host at the other end; nobody resolves it. */
		if (asprintf(&endpoint->url, "http://localhost/%s",
			     endpoint->grpc ? signals[kind].method : signals[kind].path) < 0)
			endpoint->url = NULL;
		if (asprintf(&endpoint->label, "%s%s", is_abstract ? "unix-abstract:" : "unix://",
			     path) < 0)
			endpoint->label = NULL;
		endpoint->is_abstract = is_abstract;
		endpoint->socket = strdup(path);
		if (!endpoint->socket)
			return fail(EXIT_INTERNAL, "no memory");
	} else if (endpoint->grpc)
		endpoint->url = grpc_url(chosen, v[INSECURE], signals[kind].method);
	else if (chosen && chosen == own[ENDPOINT].value)
		endpoint->url = strdup(chosen);
	else
		endpoint->url = join(chosen ?: DEFAULT_ENDPOINT, signals[kind].path);
	if (endpoint->url && !path)
		endpoint->label = label_of(endpoint->url);
	if (!endpoint->url || !endpoint->label)
		return fail(EXIT_INTERNAL, "no memory");
	endpoint->timeout_ms =
		v[TIMEOUT]->value ? strtol(v[TIMEOUT]->value, NULL, 10) : DEFAULT_TIMEOUT_MS;
	if (v[COMPRESSION]->value)
		endpoint->compression = compression_of(v[COMPRESSION]->value);
	endpoint->json = v[PROTOCOL]->value && !strcasecmp(v[PROTOCOL]->value, "http/json");
	if (v[HEADERS]->value)
		read_headers(NULL, v[HEADERS]->value, &endpoint->headers, &endpoint->n_headers);

	tls = !strncasecmp(endpoint->url, "https:", 6);
	code = set_file(v[CERTIFICATE], tls, &endpoint->certificate);
	code = code ?: set_file(v[CLIENT_KEY], tls, &endpoint->client_key);
	return code ?: set_file(v[CLIENT_CERTIFICATE], tls, &endpoint->client_certificate);
}

/* "NAME_" of an output's own variables, or nothing of those that have no name of their own. */
static int own_prefix(const char *name, char prefix[OWN_MAX_LEN + 2])
{
	static const char allowed[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_";

	if (strlen(name) > OWN_MAX_LEN || name[strspn(name, allowed)])
		return fail(EXIT_USAGE,
			    "otlp:%s: its name must be that of variables, at most %d of A-Z, 0-9 "
			    "and _",
			    name, OWN_MAX_LEN);
	sprintf(prefix, "%s%s", name, *name ? "_" : "");
	return 0;
}

int otlp_endpoints__read(const char *name, struct otlp_endpoint endpoints[SIGNAL_KINDS])
{
	struct variable all[OPTIONS], own[OPTIONS];
	char prefix[OWN_MAX_LEN + 2];
	int code;

	memset(endpoints, 0, SIGNAL_KINDS * sizeof(*endpoints));
	code = own_prefix(name, prefix);
	if (code)
		return code;
	read_variables(prefix, "", all);
	for (int kind = 0; !code && kind < SIGNAL_KINDS; kind++) {
		read_variables(prefix, signals[kind].infix, own);
		/* One with a name of its own is somewhere else: a name that is wrong is found. */
		if (*name && !all[ENDPOINT].value && !own[ENDPOINT].value)
			code = fail(EXIT_USAGE, "otlp:%s: %s is not set", name, all[ENDPOINT].name);
		code = code ?: endpoint__set(kind, all, own, &endpoints[kind]);
	}
	if (code)
		otlp_endpoints__free(endpoints);
	return code;
}

void otlp_endpoints__free(struct otlp_endpoint endpoints[SIGNAL_KINDS])
{
	for (int kind = 0; kind < SIGNAL_KINDS; kind++) {
		struct otlp_endpoint *endpoint = &endpoints[kind];

		free(endpoint->url);
		free(endpoint->label);
		free(endpoint->socket);
		free(endpoint->certificate);
		free(endpoint->client_key);
		free(endpoint->client_certificate);
		free_headers(endpoint->headers, endpoint->n_headers);
		*endpoint = (struct otlp_endpoint){0};
	}
}
