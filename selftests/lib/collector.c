// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* The Collector's process, the file it writes, and questions to what is in it. */
#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include "collector.h"

#include <arpa/inet.h>
#include <curl/curl.h>
#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ktap.h"

#ifndef SELFTESTS_DIR
#define SELFTESTS_DIR "selftests"
#endif

#define START_TRIES 3	    /* a port may be taken between our choice and its use */
#define START_WAIT_MS 60000 /* an emulated machine is slow */
#define STOP_WAIT_MS 10000
#define POLL_MS 20

enum { HTTP, GRPC, PROTOCOLS };

/*
 * Output and log are memory files that the Collector opens through /proc/self/fd: no file is left
 * behind, however the test ends. The reserving sockets are bound and never listen, which keeps the
 * kernel from giving the ports to others' connections, also while the Collector is stopped.
 */
struct collector {
	bool profiles;
	const char *tls; /* directory of certificates, or NULL */
	pid_t pid;	 /* 0: not running */
	int output;
	int log;
	off_t log_start; /* of the present run */
	int reserved[PROTOCOLS];
	struct sockaddr_in address[PROTOCOLS];
	char url[PROTOCOLS][32];
};

static long long now_ms(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000LL + ts.tv_nsec / 1000000;
}

static void sleep_ms(long ms)
{
	struct timespec ts = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	nanosleep(&ts, NULL);
}

/* --- the process ----------------------------------------------------------------------------- */

static void collector__release_ports(struct collector *c)
{
	for (int i = 0; i < PROTOCOLS; i++) {
		if (c->reserved[i] >= 0)
			close(c->reserved[i]);
		c->reserved[i] = -1;
	}
}

static int collector__reserve_ports(struct collector *c)
{
	for (int i = 0; i < PROTOCOLS; i++) {
		struct sockaddr_in *a = &c->address[i];
		socklen_t len = sizeof(*a);
		int one = 1;

		*a = (struct sockaddr_in){.sin_family = AF_INET};
		a->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
		c->reserved[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
		/* An address may be reused while nobody listens on it; the Collector asks too. */
		if (c->reserved[i] < 0 ||
		    setsockopt(c->reserved[i], SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one)) ||
		    bind(c->reserved[i], (struct sockaddr *)a, len) ||
		    getsockname(c->reserved[i], (struct sockaddr *)a, &len))
			return -errno;
		snprintf(c->url[i], sizeof(c->url[i]), "http%s://127.0.0.1:%u", c->tls ? "s" : "",
			 ntohs(a->sin_port));
	}
	return 0;
}

static void collector__print_log(struct collector *c)
{
	off_t offset = c->log_start;
	char buf[4096];
	ssize_t n;

	fflush(stdout);
	fprintf(stderr, "the Collector's log:\n");
	while ((n = pread(c->log, buf, sizeof(buf), offset)) > 0) {
		fwrite(buf, 1, n, stderr);
		offset += n;
	}
}

static void __attribute__((noreturn)) collector__exec(const struct collector *c, pid_t parent)
{
	const char *dir = getenv("OTELBPF_SELFTESTS_DIR") ?: SELFTESTS_DIR;
	char *program = getenv("OTELCOL"), *config, *profiles, *tls, *file;
	char *args[10], **arg = args;
	sigset_t none;

	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() != parent)
		_exit(127);
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* The output is the one descriptor that it inherits beside stdin, stdout and stderr. */
	if (fcntl(c->output, F_SETFD, 0) || dup2(c->log, STDOUT_FILENO) < 0 ||
	    dup2(c->log, STDERR_FILENO) < 0)
		_exit(127);
	if (asprintf(&file, "/proc/self/fd/%d", c->output) < 0 ||
	    asprintf(&config, "%s/collector/config.yaml", dir) < 0 ||
	    asprintf(&profiles, "%s/collector/config-profiles.yaml", dir) < 0 ||
	    asprintf(&tls, "%s/collector/config-tls.yaml", dir) < 0)
		_exit(127);
	setenv("OTELCOL_HTTP", strchr(c->url[HTTP], '/') + 2, 1);
	setenv("OTELCOL_GRPC", strchr(c->url[GRPC], '/') + 2, 1);
	setenv("OTELCOL_FILE", file, 1);
	*arg++ = program;
	*arg++ = "--config";
	*arg++ = config;
	if (c->profiles) {
		*arg++ = "--config";
		*arg++ = profiles;
		*arg++ = "--feature-gates=service.profilesSupport";
	}
	if (c->tls) {
		setenv("OTELCOL_TLS", c->tls, 1);
		setenv("OTELCOL_CLIENT_CA", "", 0); /* a test may have set it */
		*arg++ = "--config";
		*arg++ = tls;
	}
	*arg = NULL;
	execv(program, args);
	dprintf(STDERR_FILENO, "%s: %s\n", program, strerror(errno));
	_exit(127);
}

/* Does it accept connections, and, over HTTP, say something? */
static bool collector__answers(const struct collector *c, int protocol)
{
	static const char request[] = "GET / HTTP/1.0\r\n\r\n";
	struct timeval limit = {.tv_sec = 5};
	bool answers = false;
	char byte;
	int fd;

	fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return false;
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof(limit));
	if (!connect(fd, (const struct sockaddr *)&c->address[protocol], sizeof(c->address[0])))
		answers = protocol != HTTP ||
			  (send(fd, request, sizeof(request) - 1, MSG_NOSIGNAL) > 0 &&
			   recv(fd, &byte, 1, 0) == 1);
	close(fd);
	return answers;
}

/* Wait at most so long for the process to end. Returns its status, or -1 if it goes on. */
static int collector__reap(struct collector *c, int timeout_ms)
{
	long long deadline = now_ms() + timeout_ms;
	int status;

	while (waitpid(c->pid, &status, WNOHANG) == 0) {
		if (now_ms() >= deadline)
			return -1;
		sleep_ms(POLL_MS);
	}
	c->pid = 0;
	return status;
}

static int collector__run(struct collector *c)
{
	long long deadline = now_ms() + START_WAIT_MS;
	pid_t parent = getpid();
	int protocol = 0;

	c->log_start = lseek(c->log, 0, SEEK_END);
	fflush(NULL);
	c->pid = fork();
	if (c->pid < 0) {
		c->pid = 0;
		return -errno;
	}
	if (!c->pid)
		collector__exec(c, parent);
	while (protocol < PROTOCOLS) {
		if (collector__answers(c, protocol)) {
			protocol++;
			continue;
		}
		if (collector__reap(c, 0) != -1) {
			collector__print_log(c);
			return -ECHILD;
		}
		if (now_ms() >= deadline) {
			kill(c->pid, SIGKILL);
			collector__reap(c, STOP_WAIT_MS);
			collector__print_log(c);
			return -ETIMEDOUT;
		}
		sleep_ms(POLL_MS);
	}
	return 0;
}

static struct collector *collector__new(bool profiles, const char *tls)
{
	const char *program = getenv("OTELCOL");
	struct collector *c;
	int err;

	if (!program || !*program) {
		errno = ENOENT;
		return NULL;
	}
	c = calloc(1, sizeof(*c));
	if (!c)
		return NULL;
	c->profiles = profiles;
	c->tls = tls;
	c->reserved[HTTP] = c->reserved[GRPC] = -1;
	c->output = memfd_create("otelcol.jsonl", MFD_CLOEXEC);
	c->log = memfd_create("otelcol.log", MFD_CLOEXEC);
	err = c->output < 0 || c->log < 0 ? -errno : -ECHILD;
	for (int i = 0; err == -ECHILD && i < START_TRIES; i++) {
		collector__release_ports(c);
		err = collector__reserve_ports(c) ?: collector__run(c);
	}
	if (err) {
		collector__free(c);
		errno = -err;
		return NULL;
	}
	return c;
}

struct collector *collector__start(void)
{
	return collector__new(false, NULL);
}

struct collector *collector__start_profiles(void)
{
	return collector__new(true, NULL);
}

struct collector *collector__start_tls(const char *directory)
{
	return collector__new(false, directory);
}

const char *collector__http_url(const struct collector *c)
{
	return c->url[HTTP];
}

const char *collector__grpc_endpoint(const struct collector *c)
{
	return c->url[GRPC];
}

int collector__stop(struct collector *c)
{
	int status;

	if (!c->pid)
		return 0;
	kill(c->pid, SIGTERM);
	status = collector__reap(c, STOP_WAIT_MS);
	if (status == -1) {
		kill(c->pid, SIGKILL);
		collector__reap(c, STOP_WAIT_MS);
	}
	/* It says that it is ready a moment before it handles the signal. All it got is written. */
	if (status && !(WIFSIGNALED(status) && WTERMSIG(status) == SIGTERM)) {
		collector__print_log(c);
		return -EIO;
	}
	return 0;
}

int collector__restart(struct collector *c)
{
	int err = collector__stop(c);

	return err ?: collector__run(c);
}

static size_t drop(char *data, size_t size, size_t n, void *ctx)
{
	(void)data;
	(void)ctx;
	return size * n;
}

long collector__post(const struct collector *c, const char *path, const char *type,
		     const void *data, size_t len)
{
	struct curl_slist *headers;
	CURL *curl = curl_easy_init();
	char url[128], header[64];
	long status = 0;

	snprintf(header, sizeof(header), "Content-Type: %s", type);
	headers = curl_slist_append(NULL, header);
	snprintf(url, sizeof(url), "%s%s", collector__http_url(c), path);
	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDS, data);
	curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE, (long)len);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, drop);
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, 30L);
	if (headers && !curl_easy_perform(curl)) /* no curl: every call of it fails */
		curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &status);
	curl_easy_cleanup(curl);
	curl_slist_free_all(headers);
	return status;
}

void collector__free(struct collector *c)
{
	if (!c)
		return;
	collector__stop(c);
	collector__release_ports(c);
	if (c->output >= 0)
		close(c->output);
	if (c->log >= 0)
		close(c->log);
	free(c);
}

void collector__freep(struct collector **c)
{
	collector__free(*c);
}

/* --- what it received ------------------------------------------------------------------------ */

struct json_object *collector__lines(struct collector *c, const char *key)
{
	struct json_object *lines = json_object_new_array();
	struct json_tokener *tokener = json_tokener_new();
	const char *line, *eol, *end;
	char *text = MAP_FAILED;
	struct stat st;

	if (!lines || !tokener)
		goto fail;
	if (fstat(c->output, &st))
		goto fail;
	if (!st.st_size)
		goto out;
	text = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, c->output, 0);
	if (text == MAP_FAILED)
		goto fail;
	end = text + st.st_size;
	for (line = text; line < end && (eol = memchr(line, '\n', end - line)); line = eol + 1) {
		struct json_object *root;

		json_tokener_reset(tokener);
		root = json_tokener_parse_ex(tokener, line, eol - line);
		if (!root) {
			errno = EBADMSG;
			goto fail;
		}
		if (json_object_object_get_ex(root, key, NULL))
			json_object_array_add(lines, root);
		else
			json_object_put(root);
	}
	goto out;
fail:
	json_object_put(lines);
	lines = NULL;
out:
	if (text != MAP_FAILED)
		munmap(text, st.st_size);
	if (tokener)
		json_tokener_free(tokener);
	return lines;
}

static void collector__cut_half_line(const struct collector *c)
{
	struct stat st;
	char last;

	if (fstat(c->output, &st))
		return;
	while (st.st_size && pread(c->output, &last, 1, st.st_size - 1) == 1 && last != '\n')
		st.st_size--;
	if (ftruncate(c->output, st.st_size))
		perror("a line that was cut stays");
}

void collector__signal(struct collector *c, int signal)
{
	if (!c->pid)
		return;
	kill(c->pid, signal);
	if (signal != SIGKILL)
		return;
	collector__reap(c, STOP_WAIT_MS);
	collector__cut_half_line(c);
}

/* Lines that hold a key, without parsing them. */
static void for_each_line(struct collector *c, const char *key,
			  void (*fn)(const char *line, size_t len, void *ctx), void *ctx)
{
	const char *line, *eol, *end;
	struct stat st;
	char *text;

	ASSERT_EQ(fstat(c->output, &st), 0);
	if (!st.st_size)
		return;
	text = mmap(NULL, st.st_size, PROT_READ, MAP_SHARED, c->output, 0);
	ASSERT_TRUE(text != MAP_FAILED);
	end = text + st.st_size;
	for (line = text; line < end && (eol = memchr(line, '\n', end - line)); line = eol + 1)
		if (memmem(line, eol - line, key, strlen(key)))
			fn(line, eol - line, ctx);
	munmap(text, st.st_size);
}

struct newest {
	struct json_object *parsed;
	size_t n, at;
};

static void count_line(const char *line, size_t len, void *ctx)
{
	struct newest *newest = ctx;

	(void)line, (void)len;
	newest->n++;
}

static void parse_last(const char *line, size_t len, void *ctx)
{
	struct newest *newest = ctx;
	struct json_tokener *tokener;

	if (++newest->at < newest->n || newest->parsed)
		return;
	tokener = json_tokener_new();
	newest->parsed = json_tokener_parse_ex(tokener, line, len);
	json_tokener_free(tokener);
}

struct json_object *collector__newest(struct collector *c, const char *key, size_t *n)
{
	struct newest newest = {0};

	for_each_line(c, key, count_line, &newest);
	if (newest.n)
		for_each_line(c, key, parse_last, &newest);
	if (n)
		*n = newest.n;
	return newest.parsed;
}

/* 16 hexadecimal digits each. */
struct ids {
	uint64_t *all;
	size_t n, room;
};

static void take_ids(const char *line, size_t len, void *ctx)
{
	static const char key[] = "\"spanId\":\"";
	const char *end = line + len, *at = line;
	struct ids *ids = ctx;

	while ((at = memmem(at, end - at, key, strlen(key)))) {
		at += strlen(key);
		if (ids->n == ids->room) {
			ids->room = ids->room ? 2 * ids->room : 4096;
			ids->all = reallocarray(ids->all, ids->room, sizeof(*ids->all));
			ASSERT_TRUE(ids->all);
		}
		ids->all[ids->n++] = strtoull(at, NULL, 16);
	}
}

static int by_number(const void *a, const void *b)
{
	uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;

	return (x > y) - (x < y);
}

size_t collector__spans(struct collector *c, size_t *twice)
{
	struct ids ids = {0};
	size_t different = 0;

	for_each_line(c, "\"resourceSpans\"", take_ids, &ids);
	if (ids.n)
		qsort(ids.all, ids.n, sizeof(*ids.all), by_number);
	for (size_t i = 0; i < ids.n; i++)
		different += !i || ids.all[i] != ids.all[i - 1];
	if (twice)
		*twice = ids.n - different;
	free(ids.all);
	return different;
}

struct json_object *collector__metrics(struct collector *c)
{
	return collector__lines(c, "resourceMetrics");
}

int collector__wait(struct collector *c, const char *key, int n, int timeout_ms)
{
	long long deadline = now_ms() + timeout_ms;

	for (;;) {
		struct json_object *lines = collector__lines(c, key);
		int have;

		if (!lines)
			return -errno;
		have = json_object_array_length(lines);
		json_object_put(lines);
		if (have >= n || now_ms() >= deadline)
			return have;
		sleep_ms(POLL_MS);
	}
}

/* --- questions to OTLP/JSON ------------------------------------------------------------------ */

static struct json_object *get(struct json_object *obj, const char *key)
{
	struct json_object *value = NULL;

	return obj && json_object_object_get_ex(obj, key, &value) ? value : NULL;
}

/* Element of an array; NULL after its end, and if it is no array. */
static struct json_object *at(struct json_object *array, size_t i)
{
	return json_object_is_type(array, json_type_array) ? json_object_array_get_idx(array, i)
							   : NULL;
}

struct visit {
	otlp_json__point_fn fn;
	void *ctx;
	int calls;
};

static bool visit_metric(struct visit *v, struct otlp_point *p)
{
	static const char *const kinds[] = {"gauge", "sum", "histogram", "exponentialHistogram",
					    "summary"};
	struct json_object *points, *point;

	for (size_t i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++) {
		p->kind = kinds[i];
		p->data = get(p->metric, p->kind);
		points = get(p->data, "dataPoints");
		for (size_t k = 0; (point = at(points, k)); k++) {
			p->point = point;
			v->calls++;
			if (!v->fn(p, v->ctx))
				return false;
		}
	}
	return true;
}

static bool visit_scope(struct visit *v, struct otlp_point *p, struct json_object *scope,
			const char *metric)
{
	struct json_object *metrics = get(scope, "metrics");

	p->scope_name = otlp_json__text(get(scope, "scope"), "name");
	for (size_t i = 0; (p->metric = at(metrics, i)); i++) {
		if (metric && strcmp(otlp_json__text(p->metric, "name"), metric))
			continue;
		if (!visit_metric(v, p))
			return false;
	}
	return true;
}

static bool visit_request(struct visit *v, struct json_object *root, const char *metric)
{
	struct json_object *resources = get(root, "resourceMetrics"), *resource, *scopes, *scope;
	struct otlp_point p = {};

	for (size_t i = 0; (resource = at(resources, i)); i++) {
		p.resource = get(resource, "resource");
		scopes = get(resource, "scopeMetrics");
		for (size_t k = 0; (scope = at(scopes, k)); k++)
			if (!visit_scope(v, &p, scope, metric))
				return false;
	}
	return true;
}

int otlp_json__for_each_point(struct json_object *root, const char *metric, otlp_json__point_fn fn,
			      void *ctx)
{
	struct visit v = {.fn = fn, .ctx = ctx};
	struct json_object *request;

	if (json_object_is_type(root, json_type_array)) {
		for (size_t i = 0; (request = at(root, i)); i++)
			if (!visit_request(&v, request, metric))
				break;
	} else {
		visit_request(&v, root, metric);
	}
	return v.calls;
}

struct json_object *otlp_json__last(struct json_object *lines)
{
	return lines ? at(lines, json_object_array_length(lines) - 1) : NULL;
}

struct search {
	const char *const *where;
	struct otlp_point *found;
	int matches;
	uint64_t total;
};

static bool search_point(const struct otlp_point *p, void *ctx)
{
	struct search *s = ctx;

	for (const char *const *w = s->where; w[0]; w += 2) {
		const char *have = otlp_json__attr(p->point, w[0]);

		if (!have)
			have = otlp_json__attr(p->resource, w[0]);
		if (w[1] && have ? strcmp(w[1], have) : w[1] || have)
			return true;
	}
	s->matches++;
	s->total += otlp_json__count(p->point) + otlp_json__u64(p->point, "asInt");
	if (s->found)
		*s->found = *p;
	return true;
}

int otlp_json__find_where(struct json_object *root, const char *metric, struct otlp_point *found,
			  const char *const *where)
{
	struct search s = {.where = where, .found = found};

	otlp_json__for_each_point(root, metric, search_point, &s);
	return s.matches;
}

uint64_t otlp_json__total_where(struct json_object *root, const char *metric,
				const char *const *where)
{
	struct search s = {.where = where};

	otlp_json__for_each_point(root, metric, search_point, &s);
	return s.total;
}

const char *otlp_json__attr(struct json_object *obj, const char *key)
{
	struct json_object *attributes = get(obj, "attributes"), *attribute;

	for (size_t i = 0; (attribute = at(attributes, i)); i++) {
		if (strcmp(otlp_json__text(attribute, "key"), key))
			continue;
		/* {"stringValue": "x"}, {"intValue": "1"} …: the one member, whatever its type. */
		json_object_object_foreach (get(attribute, "value"), type, value) {
			(void)type;
			return json_object_get_string(value);
		}
		return ""; /* a value that is empty, or an empty string's default left out */
	}
	return NULL;
}

uint64_t otlp_json__u64(struct json_object *obj, const char *key)
{
	return json_object_get_uint64(get(obj, key));
}

int64_t otlp_json__i64(struct json_object *obj, const char *key)
{
	return json_object_get_int64(get(obj, key));
}

double otlp_json__f64(struct json_object *obj, const char *key)
{
	struct json_object *value = get(obj, key);

	if (!value)
		return NAN;
	if (json_object_is_type(value, json_type_string))
		return strtod(json_object_get_string(value), NULL);
	return json_object_get_double(value);
}

const char *otlp_json__text(struct json_object *obj, const char *key)
{
	return json_object_get_string(get(obj, key)) ?: "";
}

uint64_t otlp_json__count(struct json_object *point)
{
	return otlp_json__u64(point, "count");
}

double otlp_json__sum(struct json_object *point)
{
	return otlp_json__f64(point, "sum");
}

double otlp_json__value(struct json_object *point)
{
	if (get(point, "asInt"))
		return otlp_json__i64(point, "asInt");
	return otlp_json__f64(point, "asDouble");
}

uint64_t otlp_json__bucket(struct json_object *point, int index)
{
	struct json_object *buckets = get(point, "positive");
	struct json_object *counts = get(buckets, "bucketCounts");
	int64_t i = index - otlp_json__i64(buckets, "offset");

	return i < 0 ? 0 : json_object_get_uint64(at(counts, i));
}

uint64_t otlp_json__bucket_total(struct json_object *point)
{
	struct json_object *arrays[] = {
		get(point, "bucketCounts"),
		get(get(point, "positive"), "bucketCounts"),
		get(get(point, "negative"), "bucketCounts"),
	};
	uint64_t total = otlp_json__u64(point, "zeroCount");
	struct json_object *count;

	for (size_t i = 0; i < sizeof(arrays) / sizeof(arrays[0]); i++)
		for (size_t k = 0; (count = at(arrays[i], k)); k++)
			total += json_object_get_uint64(count);
	return total;
}
