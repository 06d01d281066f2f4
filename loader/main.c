// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* otelbpf: the command line. */
#include <bpf/libbpf.h>
#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "args.h"
#include "cleanup.h"
#include "duration.h"
#include "fail.h"
#include "guard.h"
#include "log.h"
#include "overhead.h"
#include "pins.h"
#include "preset.h"
#include "privileges.h"

/* Room for PIN_DIR/PROBE/map/NAME in PATH_MAX whatever the names. */
#define PIN_DIR_MAX 1024

enum accepts {
	ACCEPT_JSON = 1 << 0,
	ACCEPT_SET = 1 << 1,
	ACCEPT_FILTER = 1 << 2,
	ACCEPT_MEASURE = 1 << 3,
	ACCEPT_CONFIG = 1 << 4,
	ACCEPT_REPLACE = 1 << 5,
};

struct command {
	const char *name;
	int (*run)(const struct args *args);
	enum privileges privileges;
	unsigned int accepts;
	const char *usage;
	const char *summary;
	const char *help;
};

static const struct command commands[] = {
	{"check", cmd_check, PRIVILEGES_LOAD, ACCEPT_JSON, "[-j] [PROBE|FILE.bpf.o]...",
	 "what this kernel offers each probe, and why not where not",
	 "Tries to load every program of the probes named (default: all installed) without\n"
	 "attaching or pinning anything.\n"},
	{"load", cmd_load, PRIVILEGES_LOAD, ACCEPT_SET | ACCEPT_CONFIG | ACCEPT_REPLACE,
	 "[PROBE|FILE.bpf.o]... [--preset NAME] [--set PROBE.KEY=VALUE]...\n"
	 "                    [--filter KIND=VALUE]... [--duration TIME] [--replace]\n"
	 "                    [--config FILE|DIR]",
	 "load, attach and pin probes (default: what the configuration says)",
	 "Without names: what the configuration says, or every installed probe if there is none.\n"
	 "--set, --filter, --preset and --duration win over it. With names it is looked at only "
	 "if\n"
	 "--config is given.\n"
	 "Over a probe that is loaded already: maps of the same layout are kept and only the\n"
	 "programs are replaced; another layout is refused, unless --replace drops it.\n"
	 "Presets are for probes that sample at a frequency, and say how often and how "
	 "long:\n" PRESETS_HELP},
	{"reload", cmd_reload, PRIVILEGES_LOAD, ACCEPT_CONFIG | ACCEPT_REPLACE,
	 "[--config FILE|DIR] [--replace]",
	 "make what is loaded be what the configuration says, without losing a count",
	 "What is as it should be is not touched. What the configuration loaded and does not have\n"
	 "any more is unloaded. All is checked before anything changes.\n"},
	{"config", cmd_config, PRIVILEGES_LOOK, ACCEPT_JSON | ACCEPT_CONFIG | ACCEPT_SET,
	 "check [FILE|DIR]... | show [-j]",
	 "is the configuration right; what is in force, and where from", "See otelbpf.yaml(5).\n"},
	{"options", cmd_options, PRIVILEGES_LOOK, ACCEPT_JSON, "[-j] [PROBE|FILE.bpf.o]...",
	 "what --set can change: range, unit, default, help", ""},
	{"status", cmd_status, PRIVILEGES_LOOK, ACCEPT_JSON | ACCEPT_MEASURE,
	 "[-j] [--measure TIME] [PROBE]...",
	 "what is loaded: programs, hooks, maps, losses, overhead",
	 "The kernel counts runs and times of programs while its statistics are on, which costs a\n"
	 "little in each run. If they are off (sysctl kernel.bpf_stats_enabled) they are enabled\n"
	 "for as long as it measures, and shown are the rates of that time.\n"},
	{"filter", cmd_filter, PRIVILEGES_LOOK, ACCEPT_JSON | ACCEPT_FILTER,
	 "add|del KIND VALUE... | list [-j] | clear [KIND] [--probe PROBE]... [--deny] "
	 "[--children]",
	 "what is measured, changed while it runs",
	 "KIND is cgroup (a path or an id, with all below it), pid, comm, uid, or the kind of a\n"
	 "probe's own filter, for instance one of system calls. Kinds are judged one by one and\n"
	 "all must pass. Without --probe: every loaded probe that has such a filter.\n"},
	{"pause", cmd_pause, PRIVILEGES_ATTACH, 0, "[PROBE]...",
	 "detach programs; maps and filters stay", ""},
	{"resume", cmd_resume, PRIVILEGES_ATTACH, 0, "[PROBE]...", "attach them again", ""},
	{"unload", cmd_unload, PRIVILEGES_ATTACH, 0, "[PROBE]...",
	 "remove probes and all they counted (default: all)", ""},
	{"watch", cmd_watch, PRIVILEGES_ATTACH, 0, "[PROBE]...",
	 "stay, and attach to interfaces and CPUs that come (optional)",
	 "Until it is told to end, probes on network interfaces and on each CPU are attached to "
	 "those\n"
	 "that come, and let go of those that have gone: a line for each change. To be run in the\n"
	 "network namespace in which they were loaded. Without it another load does the same.\n"},
};

enum {
	OPT_PIN_DIR = 256,
	OPT_CONFIG,
	OPT_SET,
	OPT_FILTER,
	OPT_REPLACE,
	OPT_SHARED_DIR,
	OPT_PRESET,
	OPT_DURATION,
	OPT_MEASURE,
	OPT_PROBE,
	OPT_DENY,
	OPT_CHILDREN,
	OPT_VERSION
};

static const struct choice {
	struct option option;
	unsigned int needs; /* 0: every command */
	const char *arg, *help;
} choices[] = {
	{{"json", no_argument, NULL, 'j'}, ACCEPT_JSON, "", "machine-readable output"},
	{{"set", required_argument, NULL, OPT_SET},
	 ACCEPT_SET,
	 " PROBE.KEY=VALUE",
	 "an option, or MAP.max_entries; see otelbpf options"},
	{{"filter", required_argument, NULL, OPT_FILTER},
	 ACCEPT_SET,
	 " KIND=VALUE",
	 "filter from the first event on; KIND as in otelbpf filter"},
	{{"preset", required_argument, NULL, OPT_PRESET},
	 ACCEPT_SET,
	 " NAME",
	 "sampling rate and duration: " PRESETS_LIST},
	{{"duration", required_argument, NULL, OPT_DURATION},
	 ACCEPT_SET,
	 " TIME",
	 "measure for 30s, 5m or 1h from now, then stop; 0: no end"},
	{{"measure", required_argument, NULL, OPT_MEASURE},
	 ACCEPT_MEASURE,
	 " TIME",
	 "how long to measure the overhead: 500ms, 10s (1s); 0: not"},
	{{"config", required_argument, NULL, OPT_CONFIG},
	 ACCEPT_CONFIG,
	 " FILE|DIR",
	 "the configuration (or $OTELBPF_CONFIG; " OTELBPF_CONFIG_DIR ")"},
	{{"replace", no_argument, NULL, OPT_REPLACE},
	 ACCEPT_REPLACE,
	 "",
	 "drop what is loaded if its layout differs"},
	{{"shared-dir", required_argument, NULL, OPT_SHARED_DIR},
	 ACCEPT_SET,
	 " DIR",
	 "where maps are that tools share (or $OTELBPF_SHARED_DIR; the root of bpffs)"},
	{{"probe", required_argument, NULL, OPT_PROBE},
	 ACCEPT_FILTER,
	 " PROBE",
	 "only this probe's filter"},
	{{"deny", no_argument, NULL, OPT_DENY}, ACCEPT_FILTER, "", "what is listed does not pass"},
	{{"children", no_argument, NULL, OPT_CHILDREN},
	 ACCEPT_FILTER,
	 "",
	 "pid: with its present and future descendants"},
	{{"pin-dir", required_argument, NULL, OPT_PIN_DIR},
	 0,
	 " DIR",
	 "where probes are pinned (or $OTELBPF_PIN_DIR; " PIN_DIR_DEFAULT ")"},
	{{"verbose", no_argument, NULL, 'v'}, 0, "", "libbpf's and the verifier's log on stderr"},
	{{"quiet", no_argument, NULL, 'q'}, 0, "", "only errors on stderr"},
	{{"help", no_argument, NULL, 'h'}, 0, "", ""},
	{{"version", no_argument, NULL, OPT_VERSION}, 0, "", ""},
};

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

static void print_choices(unsigned int accepts)
{
	for (size_t i = 0; i < COUNT(choices); i++) {
		const struct choice *choice = &choices[i];
		char left[64], brief[8] = "    ";

		if ((choice->needs && !(choice->needs & accepts)) || !choice->help[0])
			continue;
		if (choice->option.val < 256)
			snprintf(brief, sizeof(brief), "-%c, ", choice->option.val);
		snprintf(left, sizeof(left), "%s--%s%s", brief, choice->option.name, choice->arg);
		printf("  %-28s %s\n", left, choice->help);
	}
}

static void print_help(const struct command *command)
{
	if (command) {
		printf("Usage: otelbpf %s %s\n\n%c%s.\n%s\n", command->name, command->usage,
		       command->summary[0] - 'a' + 'A', command->summary + 1, command->help);
		print_choices(command->accepts);
		return;
	}
	printf("Usage: otelbpf COMMAND [OPTION]...\n\n"
	       "Loads BPF programs that measure this host, pins them, and leaves.\n\n");
	for (size_t i = 0; i < COUNT(commands); i++)
		printf("  %-8s %s\n", commands[i].name, commands[i].summary);
	printf("\n");
	print_choices(0);
	printf("\notelbpf COMMAND --help tells more. Exit codes: 2 usage, 3 permission, 4 kernel,\n"
	       "5 load, 6 attach, 7 map or pin, 9 configuration.\n");
}

static int print_version(void)
{
	printf("otelbpf %s%s%s, libbpf %s\n", OTELBPF_VERSION, OTELBPF_COMMIT[0] ? " " : "",
	       OTELBPF_COMMIT, libbpf_version_string() + 1);
	return EXIT_OK;
}

static const struct command *find_command(const char *name)
{
	for (size_t i = 0; i < COUNT(commands); i++)
		if (!strcmp(commands[i].name, name))
			return &commands[i];
	return NULL;
}

static const struct choice *find_choice(int val)
{
	for (size_t i = 0; i < COUNT(choices); i++)
		if (choices[i].option.val == val)
			return &choices[i];
	return NULL;
}

static int parse(struct args *args, const struct command **command, int argc, char **argv)
{
	struct option options[COUNT(choices) + 1] = {};
	unsigned int used = 0;
	bool help = false;
	int val;

	for (size_t i = 0; i < COUNT(choices); i++)
		options[i] = choices[i].option;
	opterr = 0;
	while ((val = getopt_long(argc, argv, ":jvqh", options, NULL)) != -1) {
		const struct choice *choice = find_choice(val);

		if (val == ':')
			return fail(EXIT_USAGE, "%s needs a value: otelbpf --help",
				    argv[optind - 1]);
		if (!choice)
			return fail(EXIT_USAGE, "unknown option '%s': otelbpf --help lists them",
				    argv[optind - 1]);
		used |= choice->needs ? 1U << (choice - choices) : 0;
		switch (val) {
		case 'j':
			args->json = true;
			break;
		case 'v':
			args->verbose = true;
			break;
		case 'q':
			quiet = true;
			break;
		case 'h':
			help = true;
			break;
		case OPT_VERSION:
			return print_version();
		case OPT_PIN_DIR:
			args->pin_dir = optarg;
			break;
		case OPT_CONFIG:
			args->config = optarg;
			break;
		case OPT_SHARED_DIR:
			args->shared_dir = optarg;
			break;
		case OPT_SET:
			args->set[args->sets++] = optarg;
			break;
		case OPT_FILTER:
			args->filter[args->filters++] = optarg;
			break;
		case OPT_PROBE:
			args->probe[args->probes++] = optarg;
			break;
		case OPT_PRESET:
			args->preset = preset__find(optarg);
			if (!args->preset)
				return fail(EXIT_USAGE, "there is no preset '%s': " PRESETS_LIST,
					    optarg);
			break;
		case OPT_DURATION:
			args->duration = true;
			if (!duration__parse(optarg, &args->duration_ns))
				return fail(EXIT_USAGE,
					    "--duration '%s': a time such as 60s is expected",
					    optarg);
			break;
		case OPT_MEASURE:
			if (!duration__parse(optarg, &args->measure_ns))
				return fail(EXIT_USAGE,
					    "--measure '%s': a time such as 500ms is expected",
					    optarg);
			break;
		case OPT_REPLACE:
			args->replace = true;
			break;
		case OPT_DENY:
			args->deny = true;
			break;
		case OPT_CHILDREN:
			args->children = true;
			break;
		}
	}
	if (optind < argc) {
		*command = find_command(argv[optind]);
		if (!*command)
			return fail(EXIT_USAGE,
				    "unknown command '%s': otelbpf --help lists the commands",
				    argv[optind]);
		optind++;
	}
	if (help) {
		print_help(*command);
		*command = NULL;
		return EXIT_OK;
	}
	if (!*command)
		return fail(EXIT_USAGE, "no command: otelbpf --help lists the commands");
	for (size_t i = 0; i < COUNT(choices); i++)
		if ((used & 1U << i) && !(choices[i].needs & (*command)->accepts))
			return fail(EXIT_USAGE, "--%s means nothing to '%s': otelbpf %s --help",
				    choices[i].option.name, (*command)->name, (*command)->name);
	args->name = argv + optind;
	args->names = argc - optind;
	return EXIT_OK;
}

/* A link for each CPU takes more than the usual 1024 on large machines. */
static void raise_file_limit(void)
{
	struct rlimit limit;

	if (getrlimit(RLIMIT_NOFILE, &limit) || limit.rlim_cur == limit.rlim_max)
		return;
	limit.rlim_cur = limit.rlim_max;
	setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
	_cleanup_free_ const char **set = calloc(argc + 1, sizeof(*set));
	_cleanup_free_ const char **filter = calloc(argc + 1, sizeof(*filter));
	_cleanup_free_ const char **probe = calloc(argc + 1, sizeof(*probe));
	const char *environment = getenv("OTELBPF_PIN_DIR"), *shared = getenv("OTELBPF_SHARED_DIR");
	struct args args = {.pin_dir = PIN_DIR_DEFAULT,
			    .measure_ns = MEASURE_NS,
			    .set = set,
			    .filter = filter,
			    .probe = probe};
	const struct command *command = NULL;
	int code;

	if (!set || !filter || !probe)
		return fail(EXIT_INTERNAL, "no memory");
	/* Messages begin with "otelbpf:" however we were called. */
	program_invocation_short_name = (char *)"otelbpf";
	code = privileges__check_caller();
	if (code)
		return code;
	if (environment && environment[0])
		args.pin_dir = environment;
	if (shared && shared[0])
		args.shared_dir = shared;
	code = parse(&args, &command, argc, argv);
	if (code || !command)
		return code;
	if (strlen(args.pin_dir) >= PIN_DIR_MAX)
		return fail(EXIT_USAGE, "--pin-dir is longer than %d bytes", PIN_DIR_MAX - 1);

	log__init(args.verbose);
	raise_file_limit();
	privileges__keep(command->privileges);
	/*
	 * RLIMIT_MEMLOCK is of no concern: since 5.11 BPF memory is charged to the
	 * cgroup, and libbpf leaves the limit alone when it sees that.
	 */
	code = command->run(&args);
	log__reset();
	if (fflush(stdout) || ferror(stdout))
		code = fail(EXIT_INTERNAL, "cannot write to stdout: %s", strerror(errno));
	guard__die_of_signal();
	return code;
}
