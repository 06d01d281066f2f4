// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "settings.h"

#include <errno.h>
#include <getopt.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "config_outputs.h"
#include "duration.h"
#include "fail.h"
#include "pins.h"

#define NS 1000000000ULL
#define DEFAULT_INTERVAL_NS (60 * NS)	     /* OTEL_METRIC_EXPORT_INTERVAL's own default */
#define DEFAULT_TIMEOUT_NS (30 * NS)	     /* OTEL_METRIC_EXPORT_TIMEOUT's */
#define NO_TIMEOUT_NS (INT_MAX * 1000000ULL) /* as long as an attempt may take */

static void help(FILE *out)
{
	fprintf(out,
		"usage: otelbpf-exporter [OPTION]...\n"
		"Ship what pinned BPF maps hold as OpenTelemetry metrics. Loads and attaches "
		"nothing.\n"
		"\n"
		"  --once               export once and exit (beside a running exporter, too:\n"
		"                       it reads and consumes nothing)\n"
		"  --interval TIME      time between exports: 500ms, 10s, 1m (default: what\n"
		"                       OTEL_METRIC_EXPORT_INTERVAL says, else 60s)\n"
		"  --duration TIME      stop after this time, with a last export\n"
		"  --output WHERE       otlp, otlp:NAME, file:PATH, stdout; repeatable (default: "
		"otlp)\n"
		"  --format FORMAT      json, protobuf; for a person: table (metrics, on stdout),\n"
		"                       folded, pprof, html (profiles, on stdout or file:PATH)\n"
		"                       (default: json for file and stdout; for otlp what\n"
		"                       OTEL_EXPORTER_OTLP_PROTOCOL says)\n"
		"  --profile TYPE       with folded or pprof: which profile, by its sample type:\n"
		"                       cpu, off_cpu, alloc_space, inuse_space, ... (default: the\n"
		"                       first there is)\n"
		"  --older-than TIME    with folded, pprof or html: what is held now for at least\n"
		"                       this long, and nothing else: leaks\n"
		"  --symbols WHAT       none, names, or lines (source lines and inlined functions\n"
		"                       of profiles from DWARF; default: names)\n"
		"  --stats              have the kernel count runs and times of BPF programs "
		"meanwhile,\n"
		"                       for the probes' own CPU time; costs a little in each run "
		"of\n"
		"                       every program (without it: if kernel.bpf_stats_enabled is "
		"1)\n"
		"  -j, --json           what SIGUSR1 has a running exporter say on stderr, what "
		"became\n"
		"                       of all it sent, is one line of JSON\n"
		"  --max-request BYTES  split requests above this size, counted as protobuf "
		"(default:\n"
		"                       64 MiB for protobuf over HTTP, 64 KiB for JSON)\n"
		"  --state FILE         keep there what has been acknowledged, so that deltas of "
		"the\n"
		"                       next exporter go on from it (default: they begin with the\n"
		"                       probe's load)\n"
		"  --config FILE|DIR    the configuration (default: $OTELBPF_CONFIG, else\n"
		"                       " OTELBPF_CONFIG_DIR "); what is set here or in the\n"
		"                       environment wins over its outputs\n"
		"  --pin-dir DIR        where the probes are pinned (default: $OTELBPF_PIN_DIR, "
		"else\n"
		"                       " PIN_DIR_DEFAULT ")\n"
		"  -q, --quiet          say nothing but errors\n"
		"  -v, --verbose        a line for each export\n"
		"  -h, --help           this text\n"
		"      --version        version\n"
		"\n"
		"Where to send: OTEL_EXPORTER_OTLP_ENDPOINT (default http://localhost:4318; with\n"
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc http://localhost:4317) and the other\n"
		"OTEL_EXPORTER_OTLP_* variables; OTEL_RESOURCE_ATTRIBUTES, OTEL_SERVICE_NAME.\n"
		"\n"
		"Exit codes: 0 done, 1 internal error, 2 usage, 3 permission, 4 kernel,\n"
		"7 map operation, 8 export failed, 9 configuration.\n");
}

static bool parse_time(const char *text, __u64 *ns)
{
	return duration__parse(text, ns) && *ns;
}

/*
 * Milliseconds, as the specification has them; what is no number is warned of and ignored. @zero is
 * what 0 means; 0: nothing.
 */
static __u64 from_environment(const char *name, __u64 otherwise, __u64 zero)
{
	const char *text = getenv(name);
	char *end;
	unsigned long ms;

	if (!text || !text[0])
		return otherwise;
	errno = 0;
	ms = strtoul(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || (!ms && !zero) || ms > INT_MAX) {
		warn("%s is ignored: milliseconds are expected, not '%s'", name, text);
		return otherwise;
	}
	return ms ? ms * 1000000ULL : zero;
}

enum {
	OPT_ONCE = 256,
	OPT_INTERVAL,
	OPT_DURATION,
	OPT_OUTPUT,
	OPT_FORMAT,
	OPT_PROFILE,
	OPT_OLDER,
	OPT_SYMBOLS,
	OPT_STATS,
	OPT_LIMIT,
	OPT_STATE,
	OPT_PIN_DIR,
	OPT_CONFIG,
	OPT_VERSION
};

static const struct option options[] = {
	{"once", no_argument, NULL, OPT_ONCE},
	{"interval", required_argument, NULL, OPT_INTERVAL},
	{"duration", required_argument, NULL, OPT_DURATION},
	{"output", required_argument, NULL, OPT_OUTPUT},
	{"format", required_argument, NULL, OPT_FORMAT},
	{"profile", required_argument, NULL, OPT_PROFILE},
	{"older-than", required_argument, NULL, OPT_OLDER},
	{"symbols", required_argument, NULL, OPT_SYMBOLS},
	{"stats", no_argument, NULL, OPT_STATS},
	{"max-request", required_argument, NULL, OPT_LIMIT},
	{"state", required_argument, NULL, OPT_STATE},
	{"pin-dir", required_argument, NULL, OPT_PIN_DIR},
	{"config", required_argument, NULL, OPT_CONFIG},
	{"version", no_argument, NULL, OPT_VERSION},
	{"json", no_argument, NULL, 'j'},
	{"quiet", no_argument, NULL, 'q'},
	{"verbose", no_argument, NULL, 'v'},
	{"help", no_argument, NULL, 'h'},
	{NULL, 0, NULL, 0},
};

/* Return: -1 to go on, else an exit code. */
static int parse_option(struct settings *settings, int option)
{
	char *end;

	switch (option) {
	case OPT_ONCE:
		settings->once = true;
		return -1;
	case OPT_INTERVAL:
		if (!parse_time(optarg, &settings->interval_ns))
			return fail(EXIT_USAGE, "--interval '%s': a time such as 10s is expected",
				    optarg);
		return -1;
	case OPT_DURATION:
		if (!parse_time(optarg, &settings->duration_ns))
			return fail(EXIT_USAGE, "--duration '%s': a time such as 60s is expected",
				    optarg);
		return -1;
	case OPT_OUTPUT:
		if (settings->n_specs == OUTPUTS_MAX)
			return fail(EXIT_USAGE, "more than %d outputs", OUTPUTS_MAX);
		settings->specs[settings->n_specs++] = optarg;
		return -1;
	case OPT_FORMAT:
		settings->table = !strcmp(optarg, "table");
		settings->view = NULL;
		if (!strcmp(optarg, "folded") || !strcmp(optarg, "pprof") ||
		    !strcmp(optarg, "html"))
			settings->view = optarg;
		else if (!settings->table && strcmp(optarg, "json") && strcmp(optarg, "protobuf"))
			return fail(
				EXIT_USAGE,
				"--format '%s': json, protobuf, table, folded, pprof or html is "
				"expected",
				optarg);
		settings->format = optarg;
		return -1;
	case OPT_SYMBOLS:
		settings->given_symbols = true;
		settings->no_symbols = !strcmp(optarg, "none");
		settings->want_lines = !strcmp(optarg, "lines");
		if (!settings->no_symbols && !settings->want_lines && strcmp(optarg, "names"))
			return fail(EXIT_USAGE, "--symbols '%s': none, names or lines is expected",
				    optarg);
		return -1;
	case OPT_PROFILE:
		settings->type = optarg;
		return -1;
	case OPT_OLDER:
		if (!parse_time(optarg, &settings->older_ns))
			return fail(EXIT_USAGE, "--older-than '%s': a time such as 60s is expected",
				    optarg);
		return -1;
	case OPT_STATS:
		settings->stats = true;
		return -1;
	case OPT_LIMIT:
		settings->limit = strtoul(optarg, &end, 10);
		if (*end || settings->limit < 16384)
			return fail(EXIT_USAGE,
				    "--max-request '%s': at least 16384 bytes are expected",
				    optarg);
		return -1;
	case OPT_STATE:
		settings->state = optarg;
		return -1;
	case OPT_PIN_DIR:
		settings->pin_dir = optarg;
		return -1;
	case OPT_CONFIG:
		settings->config = optarg;
		return -1;
	case OPT_VERSION:
		printf("otelbpf-exporter %s %s\n", OTELBPF_VERSION, OTELBPF_COMMIT);
		return EXIT_OK;
	case 'j':
		settings->json = true;
		return -1;
	case 'q':
		quiet = true;
		return -1;
	case 'v':
		settings->verbose = true;
		return -1;
	case 'h':
		help(stdout);
		return EXIT_OK;
	}
	fprintf(stderr, "otelbpf-exporter --help tells the options\n");
	return EXIT_USAGE;
}

struct configured {
	struct settings *settings;
	bool to, format; /* of the configuration: the command line has none */
};

/* One setting of the section "outputs"; those that stand for a variable come by that. */
static int take_setting(const struct config_node *node, const char *variable, const char *value,
			void *arg)
{
	struct configured *configured = arg;
	struct settings *settings = configured->settings;
	int option = 0;

	if (variable)
		return config_outputs__apply(node, variable, value, NULL);
	if (!node->key && configured->to)
		option = OPT_OUTPUT;
	else if (!node->key)
		return 0;
	else if (!strcmp(node->key, "format") && configured->format)
		option = OPT_FORMAT;
	else if (!strcmp(node->key, "symbols") && !settings->given_symbols)
		option = OPT_SYMBOLS;
	else if (!strcmp(node->key, "stats") && !strcmp(value, "true") && !settings->once &&
		 !settings->table && !settings->view)
		option = OPT_STATS;
	optarg = (char *)value;
	/* The settings keep these two. */
	if (option == OPT_OUTPUT || option == OPT_FORMAT) {
		optarg = strdup(value);
		if (!optarg)
			return fail(EXIT_INTERNAL, "no memory");
		settings->owned[settings->n_owned++] = optarg;
	}
	return option && parse_option(settings, option) > 0 ? EXIT_CONFIG : 0;
}

/* Return: an exit code. */
static int read_configuration(struct settings *settings)
{
	struct configured configured = {
		.settings = settings,
		.to = !settings->n_specs && !settings->table && !settings->view,
		.format = !settings->format && !settings->n_specs,
	};
	struct config config;
	int code = config__read(&config, settings->config);

	if (!code)
		code = config_outputs__each(&config, take_setting, &configured);
	config__free(&config);
	return code;
}

int settings__read(struct settings *settings, int argc, char **argv)
{
	const char *pin_dir = getenv("OTELBPF_PIN_DIR");
	int option, code = -1;

	*settings = (struct settings){
		.pin_dir = pin_dir && pin_dir[0] ? pin_dir : PIN_DIR_DEFAULT,
	};
	optind = 0; /* it may be read again */
	while (code < 0 && (option = getopt_long(argc, argv, "jqvh", options, NULL)) >= 0)
		code = parse_option(settings, option);
	if (code >= 0)
		return code;
	if (optind < argc)
		return fail(EXIT_USAGE, "'%s' is not expected; otelbpf-exporter --help",
			    argv[optind]);
	code = read_configuration(settings);
	if (code)
		return code;
	code = -1;
	if (!settings->interval_ns)
		settings->interval_ns =
			from_environment("OTEL_METRIC_EXPORT_INTERVAL", DEFAULT_INTERVAL_NS, 0);
	settings->timeout_ns =
		from_environment("OTEL_METRIC_EXPORT_TIMEOUT", DEFAULT_TIMEOUT_NS, NO_TIMEOUT_NS);
	if (settings->table && settings->n_specs)
		return fail(EXIT_USAGE, "--format table goes to stdout: leave out --output");
	if (settings->view &&
	    (settings->n_specs > 1 || (settings->n_specs && strcmp(settings->specs[0], "stdout") &&
				       strncmp(settings->specs[0], "file:", 5))))
		return fail(EXIT_USAGE, "--format %s goes to stdout or one file:PATH",
			    settings->view);
	if (settings->older_ns && !settings->view)
		return fail(EXIT_USAGE, "--older-than wants --format folded, pprof or html");
	if (settings->type && (!settings->view || !strcmp(settings->view, "html")))
		return fail(EXIT_USAGE, "--profile wants --format folded or pprof");
	if (settings->stats && (settings->once || settings->table || settings->view))
		return fail(EXIT_USAGE, "--stats counts while an exporter runs: leave out %s",
			    settings->once ? "--once" : "--format");
	/* A person is told all there is. */
	if (!settings->table && !settings->view)
		settings->preference = metrics_preference__read();
	if (!settings->n_specs && !settings->table && !settings->view)
		settings->specs[settings->n_specs++] = "otlp";
	return -1;
}

void settings__free(struct settings *settings)
{
	while (settings->n_owned)
		free(settings->owned[--settings->n_owned]);
}
