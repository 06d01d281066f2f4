// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "config_outputs.h"

#include <ctype.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define VALUE_MAX 8192
#define OUTPUTS_MAX 8
#define NS_PER_MS 1000000ULL

/* What a value may be; all leave the text of its variable in @value. */
typedef int (*check_fn)(const struct config_node *node, const void *arg, char value[VALUE_MAX]);

static int take_text(const struct config_node *node, const char *what, char value[VALUE_MAX])
{
	int code = config__expect(node, CONFIG_SCALAR, what);

	if (!code && (!node->text[0] || strlen(node->text) >= VALUE_MAX))
		code = config__wrong(node, "%s is expected", what);
	if (!code)
		strcpy(value, node->text);
	return code;
}

static int check_text(const struct config_node *node, const void *arg, char value[VALUE_MAX])
{
	return take_text(node, arg, value);
}

static int check_word(const struct config_node *node, const void *arg, char value[VALUE_MAX])
{
	int code = config__expect_word(node, arg);

	if (!code)
		strcpy(value, node->text);
	return code;
}

static int check_time(const struct config_node *node, const void *arg, char value[VALUE_MAX])
{
	unsigned long long ns;
	int code = config__duration(node, &ns);

	(void)arg;
	if (!code && (ns < NS_PER_MS || ns / NS_PER_MS > INT_MAX))
		code = config__wrong(node, "a time within 1ms..24d is expected, not '%s'",
				     node->text);
	if (!code)
		snprintf(value, VALUE_MAX, "%llu", ns / NS_PER_MS);
	return code;
}

static int check_path(const struct config_node *node, const void *arg, char value[VALUE_MAX])
{
	int code = take_text(node, "the absolute path of a file", value);

	(void)arg;
	if (!code && value[0] != '/')
		code = config__wrong(node, "the absolute path of a file is expected, not '%.200s'",
				     value);
	return code;
}

/* A password that stands in it must not get into a log. */
static int check_endpoint(const struct config_node *node, const void *arg, char value[VALUE_MAX])
{
	static const char what[] = "a URL, http://HOST:PORT or https://HOST:PORT (grpc: HOST:PORT)";
	int code = take_text(node, what, value);
	size_t scheme = 0;
	const char *port;

	(void)arg;
	if (code)
		return code;
	if (!strncasecmp(value, "unix:/", 6))
		return 0; /* of a unix socket, in which there may be anything */
	if (!strncasecmp(value, "http://", 7))
		scheme = 7;
	else if (!strncasecmp(value, "https://", 8))
		scheme = 8;
	port = strrchr(value, ':');
	if (strpbrk(value, " \t\r\n") || (scheme && !value[scheme]) ||
	    (!scheme && (!port || port == value || !port[1] || strpbrk(value, "/@?#") ||
			 port[1 + strspn(port + 1, "0123456789")])))
		return config__wrong(node, "%s is expected%s%.200s%s", what,
				     strchr(value, '@') ? "" : ", not '",
				     strchr(value, '@') ? "" : value,
				     strchr(value, '@') ? "" : "'");
	return 0;
}

static int add_encoded(const char *text, char *value, size_t len)
{
	for (; *text && len + 4 < VALUE_MAX; text++)
		len += isalnum((unsigned char)*text) || strchr("-._~/:", *text)
			       ? sprintf(value + len, "%c", *text)
			       : sprintf(value + len, "%%%02X", (unsigned char)*text);
	return *text ? -1 : (int)len;
}

/* A mapping to the specification's "key=value,key=value". */
static int check_pairs(const struct config_node *node, const void *arg, char value[VALUE_MAX])
{
	int code = config__expect(node, CONFIG_MAP, arg), len = 0;

	value[0] = '\0';
	for (const struct config_node *pair = config__first(node); pair && !code;
	     pair = pair->next) {
		code = config__expect(pair, CONFIG_SCALAR, "a text");
		if (code)
			return code;
		if (!pair->key[0] || strpbrk(pair->key, "=,; \t\r\n\""))
			return config__wrong(pair, "this cannot be a name");
		if (len + strlen(pair->key) + 8 >= VALUE_MAX)
			return config__wrong(node, "these are longer than %d bytes", VALUE_MAX);
		len += sprintf(value + len, "%s%s=", len ? "," : "", pair->key);
		len = add_encoded(pair->text, value, len);
		if (len < 0)
			return config__wrong(node, "these are longer than %d bytes", VALUE_MAX);
	}
	return code;
}

static const char *const protocols[] = {"http/protobuf", "http/json", "grpc", NULL};
static const char *const compressions[] = {"none", "gzip", "zstd", NULL};
static const char *const booleans[] = {"true", "false", NULL};
static const char *const formats[] = {"json", "protobuf", NULL};
static const char *const symbols[] = {"none", "names", "lines", NULL};

/**
 * struct setting - a key
 * @variable: what it stands for; with "%s" for what each signal can have by itself
 */
static const struct setting {
	const char *key, *variable;
	check_fn check;
	const void *arg;
} settings[] = {
	{"format", NULL, check_word, formats},
	{"symbols", NULL, check_word, symbols},
	{"stats", NULL, check_word, booleans},
	{"interval", "OTEL_METRIC_EXPORT_INTERVAL", check_time, NULL},
	{"timeout", "OTEL_METRIC_EXPORT_TIMEOUT", check_time, NULL},
	{"service_name", "OTEL_SERVICE_NAME", check_text, "a name"},
	{"resource", "OTEL_RESOURCE_ATTRIBUTES", check_pairs, "a mapping of attributes"},
	{"endpoint", "OTEL_EXPORTER_OTLP_%sENDPOINT", check_endpoint, NULL},
	{"protocol", "OTEL_EXPORTER_OTLP_%sPROTOCOL", check_word, protocols},
	{"compression", "OTEL_EXPORTER_OTLP_%sCOMPRESSION", check_word, compressions},
	{"headers", "OTEL_EXPORTER_OTLP_%sHEADERS", check_pairs, "a mapping of headers"},
	{"request_timeout", "OTEL_EXPORTER_OTLP_%sTIMEOUT", check_time, NULL},
	{"certificate", "OTEL_EXPORTER_OTLP_%sCERTIFICATE", check_path, NULL},
	{"client_key", "OTEL_EXPORTER_OTLP_%sCLIENT_KEY", check_path, NULL},
	{"client_certificate", "OTEL_EXPORTER_OTLP_%sCLIENT_CERTIFICATE", check_path, NULL},
	{"insecure", "OTEL_EXPORTER_OTLP_%sINSECURE", check_word, booleans},
};
#define SETTINGS (sizeof(settings) / sizeof(settings[0]))

static const struct {
	const char *key, *infix;
} signals[] = {
	{"metrics", "METRICS_"},
	{"traces", "TRACES_"},
	{"logs", "LOGS_"},
	{"profiles", "PROFILES_"},
};
#define SIGNALS (sizeof(signals) / sizeof(signals[0]))

static int each_to(const struct config_node *to, config_outputs_fn fn, void *arg)
{
	static const char what[] = "a list of otlp, otlp:NAME, stdout and file:PATH";
	int code = config__expect(to, CONFIG_LIST, what), n = 0;

	for (const struct config_node *item = config__first(to); item && !code; item = item->next) {
		code = config__expect(item, CONFIG_SCALAR, what);
		if (!code && ++n > OUTPUTS_MAX)
			code = config__wrong(item, "more than %d outputs", OUTPUTS_MAX);
		if (!code && strcmp(item->text, "otlp") && strcmp(item->text, "stdout") &&
		    (strncmp(item->text, "otlp:", 5) || !item->text[5]) &&
		    (strncmp(item->text, "file:", 5) || item->text[5] != '/'))
			code = config__wrong(item,
					     "otlp, otlp:NAME, stdout or file:/PATH is expected, "
					     "not '%.200s'",
					     item->text);
		if (!code && fn)
			code = fn(item, NULL, item->text, arg);
	}
	if (!code && to && !n)
		code = config__wrong(to, "%s is expected, and it is empty", what);
	return code;
}

/* @infix: "" for what is for all signals. */
static int each_setting(const struct config_node *section, const char *infix, config_outputs_fn fn,
			void *arg)
{
	char variable[64], value[VALUE_MAX];
	int code = 0;

	for (size_t i = 0; i < SETTINGS && !code; i++) {
		const struct setting *setting = &settings[i];
		const struct config_node *node = config__find(section, setting->key);

		if (!node)
			continue;
		/* The variables are our own constants. */
		if (setting->variable)
			snprintf(variable, sizeof(variable), "%.*s%s%s",
				 (int)strcspn(setting->variable, "%"), setting->variable, infix,
				 strchr(setting->variable, '%') ? strchr(setting->variable, '%') + 2
								: "");
		code = setting->check(node, setting->arg, value);
		if (!code && fn)
			code = fn(node, setting->variable ? variable : NULL, value, arg);
	}
	return code;
}

static void list_keys(bool one_signal, const char *keys[SETTINGS + SIGNALS + 2])
{
	size_t n = 0;

	if (!one_signal)
		keys[n++] = "to";
	for (size_t i = 0; i < SETTINGS; i++)
		if (!one_signal || (settings[i].variable && strchr(settings[i].variable, '%')))
			keys[n++] = settings[i].key;
	for (size_t i = 0; i < SIGNALS && !one_signal; i++)
		keys[n++] = signals[i].key;
	keys[n] = NULL;
}

int config_outputs__each(const struct config *config, config_outputs_fn fn, void *arg)
{
	const struct config_node *section = config__find(config->root, "outputs");
	const char *keys[SETTINGS + SIGNALS + 2];
	int code = config__expect(section, CONFIG_MAP, "a mapping of settings");

	list_keys(false, keys);
	if (!code)
		code = config__expect_keys(section, keys);
	if (!code)
		code = each_to(config__find(section, "to"), fn, arg);
	if (!code)
		code = each_setting(section, "", fn, arg);
	list_keys(true, keys);
	for (size_t i = 0; i < SIGNALS && !code; i++) {
		const struct config_node *own = config__find(section, signals[i].key);

		code = config__expect(own, CONFIG_MAP, "a mapping of settings");
		if (!code)
			code = config__expect_keys(own, keys);
		if (!code)
			code = each_setting(own, signals[i].infix, fn, arg);
	}
	return code;
}

int config_outputs__apply(const struct config_node *node, const char *variable, const char *value,
			  void *arg)
{
	const char *there = variable ? getenv(variable) : NULL;

	(void)node;
	(void)arg;
	/* Empty is as good as not set, says the specification. */
	if (variable && (!there || !there[0]) && setenv(variable, value, 1))
		return fail(EXIT_INTERNAL, "no memory");
	return 0;
}

bool config_outputs__is_secret(const struct config_node *node)
{
	return node->key && (!strcmp(node->key, "headers") ||
			     (!strcmp(node->key, "endpoint") && strchr(node->text, '@')));
}
