// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Real servers and clients, which count for themselves: nginx and wrk, dnsmasq and the C library's
 * resolver, ss.
 */
#include <netdb.h>
#include <resolv.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "collector.h"
#include "ktap.h"
#include "live.h"
#include "samples.h"
#include "sockets.h"

#define TCP_OBJECT OBJECT_DIR "/progs/tcp.bpf.o"
#define UDP_OBJECT OBJECT_DIR "/progs/udp.bpf.o"
#define TCP "system.network.tcp."
#define ROLE "network.tcp.handshake.role"

#define OF(metric, cgroup, ...)                                                          \
	otlp_json__total(root, metric, "process.linux.cgroup", live__path(live, cgroup), \
			 ##__VA_ARGS__)

static void load(struct live *live, const char *object, const char *const set[2])
{
	char filter[PATH_MAX + 16];

	live__make_cgroup(live, "");
	snprintf(filter, sizeof(filter), "cgroup=%s", live->cgroup);
	live__must("load", object, "--filter", filter, set[0] ? "--set" : NULL, set[0],
		   set[1] ? "--set" : NULL, set[1]);
}

static void *shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	ASSERT_TRUE(memory != MAP_FAILED);
	return memory;
}

static bool is_installed(const char *program)
{
	char command[128];

	snprintf(command, sizeof(command), "PATH=$PATH:/usr/sbin command -v %s >/dev/null",
		 program);
	return !system(command);
}

/* Start a program; what it prints goes into a file, or away. It ends with us at the latest. */
static pid_t start(const char *const *argv, const char *out)
{
	pid_t pid;

	fflush(NULL);
	pid = fork();
	ASSERT_GE(pid, 0);
	if (!pid) {
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		/* Not "e": they are to be the program's. */
		if (!freopen(out ?: "/dev/null", "w", stdout) || !freopen("/dev/null", "r", stdin))
			_exit(126);
		dup2(1, 2);
		execvp(argv[0], (char *const *)argv);
		_exit(127);
	}
	return pid;
}

#define START(out, ...) start((const char *const[]){__VA_ARGS__, NULL}, out)

static int finish(pid_t pid, int signal)
{
	int status;

	if (signal)
		ASSERT_EQ(kill(pid, signal), 0);
	ASSERT_EQ(waitpid(pid, &status, 0), pid);
	return status;
}

/* --- a web server ------------------------------------------------------------------------------
 */

#define PORT 8080
#define ENOUGH 10000

struct web {
	struct live *live;
	char nginx[PATH_MAX];
	unsigned long refused; /* it did not listen yet */
	unsigned long accepted;
	unsigned long requests;
	unsigned long runs;
	unsigned long bytes_in;
	unsigned long bytes_out;
};

static void find_nginx(char path[PATH_MAX])
{
	const char *given = getenv("NGINX");
	FILE *pipe;

	if (given && *given) {
		snprintf(path, PATH_MAX, "%s", given);
	} else {
		pipe = popen(SELFTESTS_DIR "/../scripts/nginx 2>/dev/null", "re");
		if (!pipe || !fgets(path, PATH_MAX, pipe) || pclose(pipe))
			SKIP("no nginx; see scripts/nginx");
		path[strcspn(path, "\n")] = 0;
	}
	if (!is_installed("wrk"))
		SKIP("no wrk: apt-get install wrk");
}

static void write_configuration(const struct web *web, const char *path)
{
	const char *dir = web->live->tmp;
	FILE *file = fopen(path, "we");

	ASSERT_TRUE(file != NULL);
	fprintf(file,
		"daemon off; master_process off; pid %s/pid; error_log stderr crit;\n"
		"events { worker_connections 512; }\n"
		"http {\n"
		" client_body_temp_path %s/t1; proxy_temp_path %s/t2; fastcgi_temp_path %s/t3;\n"
		" uwsgi_temp_path %s/t4; scgi_temp_path %s/t5;\n"
		" log_format sizes '$request_length $bytes_sent';\n"
		" access_log %s/access sizes;\n"
		" server { listen 127.0.0.1:%d backlog=511;\n"
		"  location / { return 200 'an answer\\n'; }\n"
		"  location /status { stub_status; } } }\n",
		dir, dir, dir, dir, dir, dir, dir, PORT);
	ASSERT_EQ(fclose(file), 0);
}

/* Its own account: open connections, and all that it has accepted, this one included. */
static bool ask_status(unsigned int *active, unsigned long *accepted)
{
	static const char request[] = "GET /status HTTP/1.0\r\n\r\n";
	union address address = address__loopback(AF_INET, false);
	char answer[2048] = "", *at;
	size_t len = 0;
	ssize_t n;
	int fd;

	address.v4.sin_port = htons(PORT);
	fd = socket__connect(&address);
	if (fd < 0)
		return false;
	ASSERT_EQ(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	while ((n = recv(fd, answer + len, sizeof(answer) - 1 - len, 0)) > 0)
		len += n;
	close(fd);
	at = strstr(answer, "Active connections:");
	ASSERT_TRUE(at != NULL);
	ASSERT_EQ(sscanf(at, "Active connections: %u server accepts handled requests %lu", active,
			 accepted),
		  2);
	return true;
}

static void add_sizes(struct web *web, const char *path)
{
	FILE *file = fopen(path, "re");
	unsigned long in, out;

	ASSERT_TRUE(file != NULL);
	while (fscanf(file, "%lu %lu", &in, &out) == 2) {
		web->requests++;
		web->bytes_in += in;
		web->bytes_out += out;
	}
	fclose(file);
}

static void serve_web(void *ctx, int gate)
{
	struct web *web = ctx;
	char configuration[128], log[128], url[64];
	unsigned int active = 0;
	pid_t server;

	(void)gate;
	snprintf(configuration, sizeof(configuration), "%s/nginx.conf", web->live->tmp);
	snprintf(log, sizeof(log), "%s/access", web->live->tmp);
	snprintf(url, sizeof(url), "http://127.0.0.1:%d/", PORT);
	write_configuration(web, configuration);
	server = START(NULL, web->nginx, "-p", web->live->tmp, "-c", configuration);
	while (!ask_status(&active, &web->accepted)) {
		ASSERT_LT(++web->refused, 2000);
		usleep(10000);
	}
	while (web->runs++ < 15 && web->accepted < ENOUGH) {
		ASSERT_EQ(finish(START(NULL, "wrk", "-t", "1", "-c", "16", "-d",
				       is_emulated() ? "8s" : "1s", "-H", "Connection: close", url),
				 0),
			  0);
		/* wrk leaves in the middle of things: until only the question is open. */
		for (int tries = 0; tries < 1000; tries++) {
			ASSERT_TRUE(ask_status(&active, &web->accepted));
			if (active == 1)
				break;
			usleep(10000);
		}
	}
	ASSERT_EQ(active, 1);
	finish(server, SIGQUIT);
	add_sizes(web, log);
}

TEST_TIMEOUT(no_short_connection_is_lost, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct web *web = shared(sizeof(*web));
	unsigned long received, sent;

	find_nginx(web->nginx);
	web->live = live;
	load(live, TCP_OBJECT, (const char *const[2]){NULL});
	place__run(live, "a", serve_web, web);
	root = live__export_file(live);
	EXPECT_GE(web->accepted, ENOUGH);
	for (int i = 0; i < 2; i++) {
		const char *role = i ? "server" : "client";

		EXPECT_EQ(OF(TCP "connection.successes", "a", ROLE, role), web->accepted);
		EXPECT_EQ(OF(TCP "handshake.duration", "a", ROLE, role), web->accepted);
		EXPECT_EQ(OF(TCP "connection.duration", "a", ROLE, role), web->accepted);
		EXPECT_EQ(OF(TCP "connection.closed", "a", ROLE, role), web->accepted);
		EXPECT_EQ(OF(TCP "connection.open", "a", ROLE, role), 0);
	}
	/* wrk may leave before the server has answered; what the server says then is answered by a
	 * reset. */
	EXPECT_EQ(OF(TCP "connection.failures", "a", "error.type", "aborted") +
			  OF(TCP "connection.failures", "a", ROLE, "server", "error.type",
			     "reset") +
			  web->refused,
		  OF(TCP "connection.failures", "a"));
	EXPECT_EQ(OF(TCP "connection.failures", "a", "error.type", "refused"), web->refused);
	received = OF(TCP "io", "a", ROLE, "server", "network.io.direction", "receive");
	sent = OF(TCP "io", "a", ROLE, "client", "network.io.direction", "transmit");
	EXPECT_EQ(received, web->bytes_in);
	EXPECT_EQ(sent, received);
	EXPECT_EQ(OF(TCP "io", "a", ROLE, "server", "network.io.direction", "transmit"),
		  web->bytes_out);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

/* --- a name server -----------------------------------------------------------------------------
 */

#define FOUND 30
#define MISSING 7

struct names {
	int found;
	int missing;
	int dark;
};

/* One query, one second. Returns 1: answered, 0: there is no such name, -1: no answer. */
static int look_up(const char *name)
{
	struct __res_state state = {};
	unsigned char answer[512];
	int n;

	ASSERT_EQ(res_ninit(&state), 0);
	state.nscount = 1;
	state.nsaddr_list[0] = address__loopback(AF_INET, false).v4;
	state.nsaddr_list[0].sin_port = htons(53);
	state.retrans = 1;
	state.retry = 1;
	state.options &= ~(RES_DEFNAMES | RES_DNSRCH);
	n = res_nquery(&state, name, ns_c_in, ns_t_a, answer, sizeof(answer));
	if (n < 0)
		n = state.res_h_errno == HOST_NOT_FOUND ? 0 : -1;
	else
		n = 1;
	res_nclose(&state);
	return n;
}

/* Whether somebody has bound port 53: /proc, since a question would be counted. */
static bool listens(void)
{
	FILE *file = fopen("/proc/thread-self/net/udp", "re");
	bool found = false;
	char line[512];

	ASSERT_TRUE(file != NULL);
	while (fgets(line, sizeof(line), file))
		found = found || strstr(line, "0100007F:0035");
	fclose(file);
	return found;
}

static void serve_names(void *ctx, int gate)
{
	struct names *names = ctx;
	union address dark = address__loopback(AF_INET, false);
	socklen_t len = address__len(&dark);
	pid_t server;
	int fd;

	(void)gate;
	/* It has a server above it for one domain, which never answers. */
	fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	dark.v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK + 8);
	dark.v4.sin_port = htons(53);
	ASSERT_EQ(bind(fd, &dark.any, len), 0);
	server = START(NULL, "dnsmasq", "--keep-in-foreground", "--conf-file=/dev/null",
		       "--no-resolv", "--no-hosts", "--port=53", "--listen-address=127.0.0.1",
		       "--bind-interfaces", "--user=root", "--group=root",
		       "--pid-file=", "--address=/www.example.test/192.0.2.7",
		       "--local=/example.test/", "--server=/dark.test/127.0.0.9");
	for (int tries = 0; !listens(); tries++) {
		ASSERT_LT(tries, 2000);
		usleep(10000);
	}
	for (int i = 0; i < FOUND; i++)
		names->found += look_up("www.example.test") == 1;
	for (int i = 0; i < MISSING; i++)
		names->missing += look_up("nothing.example.test") == 0;
	names->dark += look_up("dark.test") == -1;
	usleep(500000); /* the name server asked later than we */
	finish(server, SIGTERM);
	close(fd);
}

TEST_TIMEOUT(a_name_server_and_the_resolver, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct names *names = shared(sizeof(*names));

	if (!is_installed("dnsmasq"))
		SKIP("no dnsmasq: apt-get install dnsmasq-base");
	setenv("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", 1);
	load(live, UDP_OBJECT, (const char *const[2]){"udp.dns_timeout=1", "udp.dns_name=1"});
	place__run(live, "a", serve_names, names);
	root = live__export_file(live);
	EXPECT_EQ(names->found, FOUND);
	EXPECT_EQ(names->missing, MISSING);
	EXPECT_EQ(names->dark, 1);
#define CODE "dns.response.code"
#define NAME "dns.question.name"
	EXPECT_EQ(OF("dns.lookup.duration", "a", CODE, "NOERROR", NAME, "www.example.test"), FOUND);
	EXPECT_EQ(OF("dns.lookup.duration", "a", CODE, "NXDOMAIN", NAME, "nothing.example.test"),
		  MISSING);
	EXPECT_EQ(OF("dns.lookup.duration", "a"), FOUND + MISSING);
	/* Ours, and the one that the name server sent on. */
	EXPECT_EQ(OF("dns.lookup.timeouts", "a", NAME, "dark.test"), 2);
	EXPECT_EQ(OF("dns.lookup.timeouts", "a"), 2);
	EXPECT_EQ(otlp_json__total(root, "otelbpf.losses"), 0);
	live__must("unload");
}

/* --- ss ----------------------------------------------------------------------------------------
 */

#define TALKS 10
#define WORDS 54321

struct ss {
	unsigned long long sent, received, segments_out, segments_in;
	int sockets;
};

static unsigned long long field(const char *line, const char *name)
{
	const char *at = strstr(line, name);

	return at ? strtoull(at + strlen(name), NULL, 10) : 0;
}

/* What ss says of this namespace's connections. */
static void add_ss(struct ss *ss)
{
	FILE *pipe = popen("ss -tinOH state established", "re");
	char line[4096];

	ASSERT_TRUE(pipe != NULL);
	while (fgets(line, sizeof(line), pipe)) {
		ss->sockets++;
		ss->sent += field(line, " bytes_sent:");
		ss->received += field(line, " bytes_received:");
		ss->segments_out += field(line, " segs_out:");
		ss->segments_in += field(line, " segs_in:");
	}
	ASSERT_EQ(pclose(pipe), 0);
}

static void talk(void *ctx, int gate)
{
	union address address = address__loopback(AF_INET, false);
	int listener = socket__listen(&address, TALKS), ends[TALKS][2];

	for (int i = 0; i < TALKS; i++) {
		ends[i][0] = socket__connect(&address);
		ends[i][1] = accept(listener, NULL, NULL);
		ASSERT_GE(ends[i][0], 0);
		ASSERT_GE(ends[i][1], 0);
		socket__send_all(ends[i][0], WORDS);
		ASSERT_EQ(socket__receive_all(ends[i][1], WORDS), WORDS);
		socket__send_all(ends[i][1], i);
		ASSERT_EQ(socket__receive_all(ends[i][0], i), i);
	}
	usleep(300000); /* the last of delayed acknowledgements */
	add_ss(ctx);
	gate__pass(gate);
	gate__await(gate);
	for (int i = 0; i < TALKS; i++) {
		close(ends[i][0]);
		close(ends[i][1]);
	}
	close(listener);
}

TEST_TIMEOUT(open_connections_are_as_ss_says, 60)
{
	struct live *live _cleanup_live_ = live__begin();
	struct json_object *root _cleanup_json_ = NULL;
	struct ss *ss = shared(sizeof(*ss));
	struct place place;

	if (!is_installed("ss"))
		SKIP("no ss: apt-get install iproute2");
	load(live, TCP_OBJECT, (const char *const[2]){NULL});
	place__start(&place, live, "a", talk, ss);
	gate__await(place.gate);
	root = live__export_file(live);
	EXPECT_EQ(ss->sockets, 2 * TALKS);
	EXPECT_EQ(ss->sent, TALKS * WORDS + TALKS * (TALKS - 1) / 2);
	EXPECT_EQ(OF(TCP "connection.open", "a"), ss->sockets);
	EXPECT_EQ(OF(TCP "io", "a", "network.io.direction", "transmit"), ss->sent);
	EXPECT_EQ(OF(TCP "io", "a", "network.io.direction", "receive"), ss->received);
	EXPECT_EQ(OF(TCP "segments", "a", "network.io.direction", "transmit"), ss->segments_out);
	EXPECT_EQ(OF(TCP "segments", "a", "network.io.direction", "receive"), ss->segments_in);
	gate__pass(place.gate);
	place__wait(&place);
	live__must("unload");
}

TEST_MAIN()
