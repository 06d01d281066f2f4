// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * otelbpf-exporter: pinned maps in, OTLP out.
 *
 * discover → describe → read → encode → deliver, once or at an interval. It holds
 * no telemetry of its own: the kernel's maps are the queue, so a crash, a restart
 * or a receiver that is away loses nothing; the next export tells all.
 */
#include <errno.h>
#include <fcntl.h>
#include <getopt.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "config_outputs.h"
#include "confine.h"
#include "tables.h"
#include "deliver/output.h"
#include "duration.h"
#include "events.h"
#include "fail.h"
#include "format/table.h"
#include "notify.h"
#include "otlp/metrics.h"
#include "overhead.h"
#include "pins.h"
#include "profiles.h"
#include "resource.h"
#include "state.h"
#include "stats.h"

#define OUTPUTS_MAX 8
#define NS 1000000000ULL
#define DEFAULT_INTERVAL_NS (60 * NS) /* OTEL_METRIC_EXPORT_INTERVAL's own default */
#define DEFAULT_TIMEOUT_NS (30 * NS)  /* OTEL_METRIC_EXPORT_TIMEOUT's */

struct settings {
	const char *pin_dir, *config;
	const char *state; /* file, or NULL */
	const char *specs[OUTPUTS_MAX];
	int n_specs;
	const char *format;
	bool once, verbose, table;
	const char *view; /* folded, pprof or html: profiles for a person, or NULL */
	bool no_symbols, want_lines, stats, json;
	bool given_symbols;
	struct metrics_preference preference;
	__u64 interval_ns, duration_ns, timeout_ns;
	size_t limit;
};

struct exporter {
	const struct settings *settings;
	struct output *outputs[OUTPUTS_MAX];
	bool failing[OUTPUTS_MAX][SIGNAL_KINDS]; /* the last request of that kind failed */
	int n_outputs;
	struct baseline *baselines[OUTPUTS_MAX]; /* NULL where all is cumulative */
	struct stats *counts;
	struct tables *tables;
	struct overhead *overhead;
	struct resources *resources;
	struct metrics *metrics;
	struct table_view *view;
	struct symbols *symbols;
	struct profiles *profiles;
	struct profile_set *set;
	struct events *events;
	enum signal_kind kind; /* of what is delivered now */
	__u64 last_ns, deadline_ns;
	int lock_fd;
	ino_t lock_inode;
	/* of one export */
	size_t points, bytes, requests;
	bool undelivered;
	bool again; /* what was not delivered may be taken later */
	bool last;  /* no other comes after it */
};

static volatile bool stop, tell;

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		tell = true;
	else
		stop = true;
}

static __u64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS + now.tv_nsec;
}

/* --- command line ---------------------------------------------------------- */

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
		"  --output WHERE       otlp, file:PATH or stdout; may be repeated (default: "
		"otlp)\n"
		"  --format FORMAT      json, protobuf; for a person: table (metrics, on stdout),\n"
		"                       folded, pprof, html (profiles, on stdout or file:PATH)\n"
		"                       (default: json for file and stdout; for otlp what\n"
		"                       OTEL_EXPORTER_OTLP_PROTOCOL says)\n"
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

/* Milliseconds, as the specification has them; what is no number is warned of and ignored. */
static __u64 from_environment(const char *name, __u64 otherwise)
{
	const char *text = getenv(name);
	char *end;
	unsigned long ms;

	if (!text || !text[0])
		return otherwise;
	errno = 0;
	ms = strtoul(text, &end, 10);
	if (errno || *end || text[0] < '0' || text[0] > '9' || !ms || ms > 1UL << 40) {
		warn("%s is ignored: milliseconds are expected, not '%s'", name, text);
		return otherwise;
	}
	return ms * 1000000ULL;
}

enum {
	OPT_ONCE = 256,
	OPT_INTERVAL,
	OPT_DURATION,
	OPT_OUTPUT,
	OPT_FORMAT,
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
	if (option == OPT_OUTPUT || option == OPT_FORMAT)
		optarg = strdup(value);
	if (!optarg)
		return fail(EXIT_INTERNAL, "no memory");
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

static int parse_command_line(struct settings *settings, int argc, char **argv)
{
	const char *pin_dir = getenv("OTELBPF_PIN_DIR");
	int option, code = -1;

	*settings = (struct settings){
		.pin_dir = pin_dir && pin_dir[0] ? pin_dir : PIN_DIR_DEFAULT,
	};
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
			from_environment("OTEL_METRIC_EXPORT_INTERVAL", DEFAULT_INTERVAL_NS);
	settings->timeout_ns = from_environment("OTEL_METRIC_EXPORT_TIMEOUT", DEFAULT_TIMEOUT_NS);
	if (settings->table && settings->n_specs)
		return fail(EXIT_USAGE, "--format table goes to stdout: leave out --output");
	if (settings->view &&
	    (settings->n_specs > 1 || (settings->n_specs && strcmp(settings->specs[0], "stdout") &&
				       strncmp(settings->specs[0], "file:", 5))))
		return fail(EXIT_USAGE, "--format %s goes to stdout or one file:PATH",
			    settings->view);
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

/* --- owning the pin directory ------------------------------------------------ */

/*
 * One exporter owns a pin directory, by a lock on the directory itself, which ends
 * with the process however that ends. The directory may come and go meanwhile.
 *
 * Return: 0 when it is ours; -ENOENT; -EWOULDBLOCK when it is another's; -errno.
 */
static int own(struct exporter *exporter)
{
	const char *dir = exporter->settings->pin_dir;
	struct stat st;
	int err;

	if (stat(dir, &st))
		return -errno;
	if (exporter->lock_fd >= 0) {
		if (exporter->lock_inode == st.st_ino)
			return 0;
		close(exporter->lock_fd);
	}
	exporter->lock_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (exporter->lock_fd < 0)
		return -errno;
	if (flock(exporter->lock_fd, LOCK_EX | LOCK_NB)) {
		err = -errno;
		close(exporter->lock_fd);
		exporter->lock_fd = -1;
		return err;
	}
	exporter->lock_inode = st.st_ino;
	return 0;
}

/* --- one export ------------------------------------------------------------- */

/* Return: whether the output has taken it. */
static bool deliver_to(struct exporter *exporter, int i, const struct pb *request, size_t items)
{
	struct delivery_report report = {0};
	const char *name = output__name(exporter->outputs[i], exporter->kind);
	bool *failing = &exporter->failing[i][exporter->kind];
	enum delivery result;

	result = output__send(exporter->outputs[i], exporter->kind, request->data, request->len,
			      exporter->deadline_ns, &stop, &report);
	stats__delivered(exporter->counts, i, exporter->kind, items, result, &report);
	if (result == DELIVERED) {
		if (report.message[0])
			warn("%s: %s", name, report.message);
		if (*failing)
			inform("%s: delivered again%s", name,
			       exporter->kind == SIGNAL_METRICS ? ", nothing was lost" : "");
		*failing = false;
		return true;
	}
	warn("%s: not delivered%s: %s%s", name,
	     result == UNDELIVERED || exporter->kind == SIGNAL_METRICS
		     ? " (the kernel's maps keep it)"
	     : exporter->lock_fd < 0		 ? ""
	     : exporter->kind == SIGNAL_PROFILES ? " (these samples are given up)"
						 : " (these events are given up)",
	     report.message,
	     result == REFUSED && exporter->kind == SIGNAL_PROFILES && !*failing
		     ? "; a Collector takes profiles with --feature-gates="
		       "service.profilesSupport and a pipeline for them"
		     : "");
	*failing = true;
	exporter->undelivered = true;
	exporter->again |= result == UNDELIVERED;
	return false;
}

static void count_request(struct exporter *exporter, const struct pb *request, size_t items)
{
	exporter->points += items;
	exporter->bytes += request->len;
	exporter->requests++;
}

static int deliver(const struct pb *request, size_t items, void *ctx)
{
	struct exporter *exporter = ctx;

	count_request(exporter, request, items);
	stats__converted(exporter->counts, exporter->kind, items);
	if (exporter->view)
		return table_view__add(exporter->view, request->data, request->len);
	for (int i = 0; i < exporter->n_outputs; i++)
		deliver_to(exporter, i, request, items);
	return 0;
}

/* One output's own requests: what is new to it. */
struct delta_delivery {
	struct exporter *exporter;
	int output;
};

static int deliver_deltas(const struct pb *request, size_t points, void *ctx)
{
	const struct delta_delivery *to = ctx;

	count_request(to->exporter, request, points);
	stats__converted(to->exporter->counts, SIGNAL_METRICS, points);
	return !deliver_to(to->exporter, to->output, request, points);
}

/* What a receiver refuses for good must not be sent again: it is given up, and said. */
static int deliver_events(const struct pb *request, enum signal_kind kind, size_t items, void *ctx)
{
	struct exporter *exporter = ctx;
	int err;

	exporter->kind = kind;
	exporter->again = false;
	err = deliver(request, items, ctx);
	exporter->kind = SIGNAL_METRICS;
	return err ? err : !exporter->again;
}

static int deliver_profiles(const struct pb *request, int profiles, void *ctx)
{
	return deliver(request, profiles, ctx);
}

/* Cumulative points may not end before they start, whatever the clock was set to. */
static __u64 export_time(struct exporter *exporter)
{
	__u64 now = clock_ns(CLOCK_REALTIME);

	if (now <= exporter->last_ns)
		now = exporter->last_ns + 1;
	exporter->last_ns = now;
	return now;
}

static size_t request_limit(const struct exporter *exporter)
{
	size_t limit = exporter->settings->limit ? exporter->settings->limit : (size_t)-1 / 2;

	for (int i = 0; i < exporter->n_outputs; i++)
		if (output__limit(exporter->outputs[i]) < limit)
			limit = output__limit(exporter->outputs[i]);
	return limit;
}

/* Return: an exit code. */
static int export_window(struct exporter *exporter, bool owner, int *maps)
{
	int err;

	profile_set__clear(exporter->set);
	exporter->again = false;
	exporter->kind = SIGNAL_PROFILES;
	err = profiles__read(exporter->profiles, exporter->resources, exporter->set, owner,
			     exporter->last_ns);
	*maps = err > 0 ? err : 0;
	if (err >= 0)
		err = profile_set__emit_otlp(exporter->set, request_limit(exporter),
					     deliver_profiles, exporter);
	exporter->kind = SIGNAL_METRICS;
	if (err)
		return fail(EXIT_INTERNAL, "cannot encode profiles: %s", strerror(-err));
	/* What a receiver refuses for good must not be sent again: it is given up, and said. */
	if (owner && !exporter->again)
		profiles__acknowledge(exporter->profiles);
	return EXIT_OK;
}

/*
 * The same for profiles: a window at a time, deleted when it has been acknowledged. The last
 * export has nobody to come after it: what was still to be acknowledged, then what came since.
 *
 * Return: an exit code.
 */
static int export_profiles(struct exporter *exporter, bool owner, int *maps)
{
	int code, found;

	code = export_window(exporter, owner, &found);
	if (!code && exporter->last && !exporter->again &&
	    profiles__left_open(exporter->profiles)) {
		export_time(exporter);
		code = export_window(exporter, owner, &found);
	}
	*maps += found;
	return code;
}

/* Return: an exit code. */
static int export_events(struct exporter *exporter, bool owner, int *maps)
{
	int n = events__export(exporter->events, exporter->resources, request_limit(exporter),
			       owner, deliver_events, exporter);

	if (n < 0)
		return fail(EXIT_INTERNAL, "cannot export events: %s", strerror(-n));
	*maps += n;
	return EXIT_OK;
}

static int write_view(const struct settings *settings, const struct pb *out)
{
	const char *path = settings->n_specs && !strncmp(settings->specs[0], "file:", 5)
				   ? settings->specs[0] + 5
				   : NULL;
	FILE *file = path ? fopen(path, "we") : stdout;
	bool ok;

	if (!file)
		return fail(EXIT_EXPORT, "cannot write %s: %s", path, strerror(errno));
	ok = fwrite(out->data, 1, out->len, file) == out->len && !fflush(file);
	if (path && fclose(file))
		ok = false;
	return ok ? EXIT_OK
		  : fail(EXIT_EXPORT, "cannot write %s: %s", path ? path : "stdout",
			 strerror(errno));
}

/* Profiles for a person: what the open windows have so far. */
static int show_profiles(struct exporter *exporter)
{
	const struct settings *settings = exporter->settings;
	struct pb out = {0};
	int n, err, code;

	resources__refresh(exporter->resources);
	n = profiles__read(exporter->profiles, exporter->resources, exporter->set, false,
			   export_time(exporter));
	if (n <= 0)
		return n < 0 ? fail(EXIT_MAP, "cannot read the maps below %s: %s",
				    settings->pin_dir, strerror(-n))
			     : fail(EXIT_MAP, "no profile is pinned in %s: otelbpf load",
				    settings->pin_dir);
	if (profile_set__kinds(exporter->set) <= 0)
		return fail(EXIT_MAP, "nothing has been sampled yet in %s", settings->pin_dir);
	if (!strcmp(settings->view, "html"))
		err = profile_set__encode_html(exporter->set, "otelbpf", &out);
	else if (!strcmp(settings->view, "folded"))
		err = profile_set__encode_folded(exporter->set, 0, &out);
	else
		err = profile_set__encode_pprof(exporter->set, 0, &out);
	code = err ? fail(EXIT_INTERNAL, "cannot encode: %s", strerror(-err))
		   : write_view(settings, &out);
	pb__free(&out);
	return code;
}

static bool keeps_state(const struct exporter *exporter)
{
	return exporter->settings->state && metrics__has_deltas(exporter->metrics);
}

static int state_mode(const struct exporter *exporter)
{
	const struct metrics_preference *preference = &exporter->settings->preference;

	return preference->delta_sums | preference->delta_histograms << 1;
}

static int list_state(const struct exporter *exporter, struct state_part *parts)
{
	for (int i = 0; i < exporter->n_outputs; i++)
		parts[i] = (struct state_part){stats__name(exporter->counts, i),
					       exporter->baselines[i]};
	return exporter->n_outputs;
}

/* What an exporter before this one left. Without it deltas begin with the probe's load. */
static void read_state(struct exporter *exporter)
{
	struct state_part parts[OUTPUTS_MAX];
	int err = state__read(exporter->settings->state, state_mode(exporter), parts,
			      list_state(exporter, parts));

	if (err < 0)
		warn("%s is ignored, deltas begin with the probe's load: %s",
		     exporter->settings->state, strerror(-err));
}

static void write_state(const struct exporter *exporter)
{
	struct state_part parts[OUTPUTS_MAX];
	int err = state__write(exporter->settings->state, state_mode(exporter), parts,
			       list_state(exporter, parts));

	if (err)
		warn("%s cannot be written, the next exporter will tell again what this one has: "
		     "%s",
		     exporter->settings->state, strerror(-err));
}

static int export_metrics(struct exporter *exporter)
{
	int err = 0;

	if (!metrics__has_deltas(exporter->metrics))
		return metrics__emit(exporter->metrics, exporter->resources,
				     request_limit(exporter), deliver, exporter);
	for (int i = 0; i < exporter->n_outputs && !err; i++)
		err = metrics__emit_to(exporter->metrics, exporter->baselines[i],
				       exporter->resources, request_limit(exporter), deliver_deltas,
				       &(struct delta_delivery){exporter, i});
	return err;
}

/* Return: an exit code. */
static int export_once(struct exporter *exporter, bool owner)
{
	__u64 start = clock_ns(CLOCK_MONOTONIC), read;
	int maps, err, evicted = 0;

	exporter->points = exporter->bytes = exporter->requests = 0;
	exporter->undelivered = false;
	exporter->deadline_ns = start + exporter->settings->timeout_ns;
	resources__refresh(exporter->resources);
	metrics__begin(exporter->metrics, export_time(exporter));
	maps = tables__read(exporter->tables, exporter->resources, exporter->metrics);
	if (maps < 0)
		return fail(maps == -ENOMEM			? EXIT_INTERNAL
			    : maps == -EACCES || maps == -EPERM ? EXIT_PERMISSION
								: EXIT_MAP,
			    "cannot read the maps below %s: %s", exporter->settings->pin_dir,
			    strerror(-maps));
	read = clock_ns(CLOCK_MONOTONIC);
	err = owner && maps ? stats__read(exporter->counts, exporter->metrics) : 0;
	if (!err)
		err = export_metrics(exporter);
	if (err)
		return fail(EXIT_INTERNAL, "cannot encode: %s", strerror(-err));
	if (owner && keeps_state(exporter))
		write_state(exporter);
	if (owner && !exporter->undelivered)
		evicted = tables__evict(exporter->tables, exporter->baselines, exporter->n_outputs);
	if (evicted && keeps_state(exporter))
		write_state(exporter);
	if (!exporter->view) {
		err = export_events(exporter, owner, &maps);
		if (!err)
			err = export_profiles(exporter, owner, &maps);
		if (err)
			return err;
	}
	if (exporter->settings->verbose)
		warn("%d maps, %zu points, %zu bytes in %zu requests; read %.1f ms, sent %.1f ms, "
		     "%d "
		     "entries evicted",
		     maps, exporter->points, exporter->bytes, exporter->requests,
		     (read - start) / 1e6, (clock_ns(CLOCK_MONOTONIC) - read) / 1e6, evicted);
	if (exporter->view && table_view__print(exporter->view, stdout, 0))
		return fail(EXIT_INTERNAL, "no memory");
	if (!maps && (exporter->settings->once || exporter->settings->table))
		return fail(EXIT_MAP, "nothing to export is pinned in %s: otelbpf load",
			    exporter->settings->pin_dir);
	return exporter->undelivered ? EXIT_EXPORT : EXIT_OK;
}

static void tell_statistics(const struct exporter *exporter)
{
	size_t bytes = 0;

	for (int i = 0; i < exporter->n_outputs; i++)
		if (exporter->baselines[i])
			bytes += baseline__bytes(exporter->baselines[i]);
	stats__print(exporter->counts, stderr, exporter->settings->json, bytes);
}

/*
 * Sleep until @until or a signal; the signals are blocked but here and during exports.
 * A service manager's watchdog hears of it every @watchdog ns, unless that is 0.
 */
static void sleep_until(__u64 until, __u64 watchdog, const sigset_t *awake)
{
	__u64 now;

	while (!stop && (now = clock_ns(CLOCK_MONOTONIC)) < until) {
		__u64 left = watchdog && watchdog < until - now ? watchdog : until - now;
		struct timespec time = {.tv_sec = left / NS, .tv_nsec = left % NS};

		if (ppoll(NULL, 0, &time, awake))
			return;
		if (watchdog)
			notify__send("WATCHDOG=1");
	}
}

/* What keeps the owner from exporting now. Said once each time it changes. */
static void report_state(int err, const char *dir)
{
	static int last;

	if (err == last)
		return;
	if (err)
		inform("%s: %s", dir,
		       err == -ENOENT ? "not there yet, waiting for otelbpf load" : strerror(-err));
	last = err;
}

static int run(struct exporter *exporter)
{
	const struct settings *settings = exporter->settings;
	__u64 next = clock_ns(CLOCK_MONOTONIC), end = ~0ULL;
	__u64 watchdog = notify__watchdog_ns();
	bool ready = false;
	sigset_t stopping, awake;
	int err, code;

	sigemptyset(&stopping);
	sigaddset(&stopping, SIGTERM);
	sigaddset(&stopping, SIGINT);
	sigaddset(&stopping, SIGUSR1);
	if (settings->duration_ns)
		end = next + settings->duration_ns;
	for (;;) {
		bool last = stop || clock_ns(CLOCK_MONOTONIC) >= end;

		err = own(exporter);
		if (err == -EWOULDBLOCK)
			return fail(EXIT_MAP, "another exporter owns %s: stop it, or use --once",
				    settings->pin_dir);
		if (err == -EACCES || err == -EPERM)
			return fail(EXIT_PERMISSION, "%s: %s", settings->pin_dir, strerror(-err));
		report_state(err, settings->pin_dir);
		/* A directory that is still to come is waited for: that is ready. */
		notify__send(last ? "STOPPING=1" : ready ? "WATCHDOG=1" : "READY=1\nWATCHDOG=1");
		ready = true;
		exporter->last = last;
		if (!err) {
			code = export_once(exporter, true);
			if (code == EXIT_INTERNAL)
				return code;
		}
		if (last)
			return EXIT_OK;
		notify__send(err		     ? "STATUS=waiting for otelbpf load"
			     : exporter->undelivered ? "STATUS=the last export was not delivered"
						     : "STATUS=exporting");
		do
			next += settings->interval_ns;
		while (next <= clock_ns(CLOCK_MONOTONIC));
		sigprocmask(SIG_BLOCK, &stopping, &awake);
		do {
			if (tell)
				tell_statistics(exporter);
			tell = false;
			sleep_until(next < end ? next : end, watchdog, &awake);
		} while (tell);
		sigprocmask(SIG_SETMASK, &awake, NULL);
	}
}

static int enable_stats(struct exporter *exporter)
{
	int err = overhead__enable(exporter->overhead);

	if (err == -EPERM)
		return fail(EXIT_PERMISSION, "--stats needs CAP_SYS_ADMIN");
	if (err)
		return fail(EXIT_KERNEL, "--stats: the kernel refuses: %s", strerror(-err));
	return EXIT_OK;
}

static int start(struct exporter *exporter)
{
	const struct settings *settings = exporter->settings;
	bool metrics_have_deltas =
		settings->preference.delta_sums || settings->preference.delta_histograms;
	int code;

	exporter->counts = stats__new(clock_ns(CLOCK_REALTIME));
	if (!exporter->counts)
		return fail(EXIT_INTERNAL, "no memory");
	for (; !settings->view && exporter->n_outputs < settings->n_specs; exporter->n_outputs++) {
		exporter->outputs[exporter->n_outputs] =
			output__open(settings->specs[exporter->n_outputs], settings->format, &code);
		if (!exporter->outputs[exporter->n_outputs])
			return code;
		if (metrics_have_deltas)
			exporter->baselines[exporter->n_outputs] = baseline__new(tables__is_there);
		if (stats__output(exporter->counts, settings->specs[exporter->n_outputs]) < 0 ||
		    (metrics_have_deltas && !exporter->baselines[exporter->n_outputs]))
			return fail(EXIT_INTERNAL, "no memory");
	}
	code = pins__check(settings->pin_dir);
	if (code)
		return code;
	exporter->tables = tables__new(settings->pin_dir);
	exporter->overhead = overhead__new();
	exporter->resources =
		resources__new(getenv("OTEL_RESOURCE_ATTRIBUTES"), getenv("OTEL_SERVICE_NAME"));
	exporter->metrics = metrics__new();
	if (settings->table)
		exporter->view = table_view__new();
	if (!settings->no_symbols)
		exporter->symbols =
			symbols__new(&(struct symbols_options){.want_lines = settings->want_lines});
	exporter->profiles = profiles__new(settings->pin_dir, exporter->symbols);
	exporter->set = profile_set__new();
	if (exporter->profiles)
		exporter->events =
			events__new(settings->pin_dir, profiles__processes(exporter->profiles));
	if (!exporter->tables || !exporter->overhead || !exporter->resources ||
	    !exporter->metrics || !exporter->profiles || !exporter->set || !exporter->events ||
	    (!settings->no_symbols && !exporter->symbols) || (settings->table && !exporter->view))
		return fail(EXIT_INTERNAL, "no memory");
	tables__overhead(exporter->tables, exporter->overhead);
	metrics__prefer(exporter->metrics, &settings->preference);
	if (keeps_state(exporter) && !settings->once)
		read_state(exporter);
	return settings->stats ? enable_stats(exporter) : EXIT_OK;
}

static bool is_disabled(void)
{
	const char *disabled = getenv("OTEL_SDK_DISABLED");

	return disabled && !strcasecmp(disabled, "true");
}

int main(int argc, char **argv)
{
	struct sigaction action = {.sa_handler = on_signal};
	struct exporter exporter = {.lock_fd = -1};
	struct settings settings;
	int code;

	/* What an export takes at once goes back at once: glibc would raise this by itself. */
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	code = parse_command_line(&settings, argc, argv);
	if (code >= 0)
		return code;
	code = confine__self();
	if (code)
		return code;
	exporter.settings = &settings;
	if (is_disabled()) {
		inform("OTEL_SDK_DISABLED is set: nothing is exported");
		return EXIT_OK;
	}
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	action.sa_flags = SA_RESTART; /* what is under way goes on */
	sigaction(SIGUSR1, &action, NULL);
	signal(SIGPIPE, SIG_IGN);
	signal(SIGXFSZ, SIG_IGN);
	code = start(&exporter);
	if (!code && settings.view)
		code = show_profiles(&exporter);
	else if (!code)
		code = settings.once || settings.table ? export_once(&exporter, false)
						       : run(&exporter);
	for (int i = 0; i < exporter.n_outputs; i++) {
		output__close(exporter.outputs[i]);
		baseline__free(exporter.baselines[i]);
	}
	stats__free(exporter.counts);
	table_view__free(exporter.view);
	profile_set__free(exporter.set);
	events__free(exporter.events);
	profiles__free(exporter.profiles);
	symbols__free(exporter.symbols);
	metrics__free(exporter.metrics);
	resources__free(exporter.resources);
	tables__free(exporter.tables);
	overhead__free(exporter.overhead);
	if (exporter.lock_fd >= 0)
		close(exporter.lock_fd);
	return code;
}
