// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * The workload of trace contexts: threads that publish theirs, as a tracer would for them.
 *
 *   traced MAP cpu MILLISECONDS     three threads, one after another, that burn so much CPU time
 *   traced MAP block MILLISECONDS   the same, sleeping; and a fourth that waits as long, and whose
 *                                   context another thread replaces meanwhile, by context 9
 *
 * Thread N is named ctxN. Thread 0 publishes nothing, the others context N: a trace id of 16
 * bytes and a span id of 8 bytes, all of value N. Prints for each thread, in ns, its time on
 * the CPU and the time that passed while it worked.
 */
#include <linux/bpf.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

struct context {
	unsigned char trace_id[16], span_id[8];
};

struct work {
	int n;
	long ms;
	int wait_on; /* a pipe to read, or -1 */
	int is_cpu;
	long long cpu, wall;
	long waits; /* before this one, as the kernel counts them */
	volatile pid_t tid;
};

static int map;

static void die(const char *what)
{
	perror(what);
	exit(1);
}

static void publish(pid_t tid, int n)
{
	unsigned long long key = (unsigned long long)getpid() << 32 | (unsigned int)tid;
	union bpf_attr attr = {.map_fd = map};
	struct context context;

	memset(&context, n, sizeof(context));
	attr.key = (unsigned long)&key;
	attr.value = (unsigned long)&context;
	if (syscall(SYS_bpf, BPF_MAP_UPDATE_ELEM, &attr, sizeof(attr)))
		die("publish");
}

static long long now(clockid_t clock)
{
	struct timespec time;

	clock_gettime(clock, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static void *run(void *arg)
{
	struct work *work = arg;
	struct timespec time = {work->ms / 1000, work->ms % 1000 * 1000000};
	struct rusage usage;
	char name[16], byte;

	snprintf(name, sizeof(name), "ctx%d", work->n);
	/* In this order: by its name alone a sample tells that the context is there. */
	if (work->n)
		publish(gettid(), work->n);
	prctl(PR_SET_NAME, name);
	work->cpu = now(CLOCK_THREAD_CPUTIME_ID);
	work->wall = now(CLOCK_MONOTONIC);
	getrusage(RUSAGE_THREAD, &usage);
	work->waits = usage.ru_nvcsw;
	work->tid = gettid();
	if (work->is_cpu)
		while (now(CLOCK_THREAD_CPUTIME_ID) - work->cpu < work->ms * 1000000LL)
			for (int i = 0; i < 200000; i++)
				__asm__ volatile("" ::"r"(i));
	else if (work->wait_on < 0)
		nanosleep(&time, NULL);
	else if (read(work->wait_on, &byte, 1) != 1)
		die("read");
	work->cpu = now(CLOCK_THREAD_CPUTIME_ID) - work->cpu;
	work->wall = now(CLOCK_MONOTONIC) - work->wall;
	return NULL;
}

static void start(pthread_t *thread, struct work *work)
{
	if (pthread_create(thread, NULL, run, work))
		die("pthread_create");
}

static void print(const struct work *work)
{
	printf("%lld %lld\n", work->cpu, work->wall);
}

/*
 * Of a thread that waits: whether it has left its CPU by now. The kernel counts that with the run
 * queue locked, and gives that up when it is somewhere else, behind the tracepoint; who sets its
 * CPUs waits for the lock. To be seen asleep is less: it is so for a while before.
 */
static int has_left(const struct work *work)
{
	char path[64], line[128];
	long waits = 0;
	cpu_set_t cpus;
	FILE *file;

	snprintf(path, sizeof(path), "/proc/self/task/%d/status", work->tid);
	file = fopen(path, "re");
	if (!file)
		die(path);
	while (fgets(line, sizeof(line), file))
		if (sscanf(line, "voluntary_ctxt_switches: %ld", &waits) == 1)
			break;
	fclose(file);
	if (waits <= work->waits)
		return 0;
	if (sched_getaffinity(work->tid, sizeof(cpus), &cpus) ||
	    sched_setaffinity(work->tid, sizeof(cpus), &cpus))
		die("sched_setaffinity");
	return 1;
}

static void replaced(long ms)
{
	struct work work = {.n = 3, .ms = ms};
	struct timespec time = {ms / 1000, ms % 1000 * 1000000}, moment = {0, 1000000};
	pthread_t thread;
	int fd[2];

	if (pipe(fd))
		die("pipe");
	work.wait_on = fd[0];
	start(&thread, &work);
	while (!work.tid || !has_left(&work))
		nanosleep(&moment, NULL);
	publish(work.tid, 9);
	nanosleep(&time, NULL);
	if (write(fd[1], "", 1) != 1)
		die("write");
	pthread_join(thread, NULL);
	print(&work);
}

int main(int argc, char **argv)
{
	union bpf_attr attr = {0};
	struct work work = {.wait_on = -1};
	pthread_t thread;

	if (argc != 4) {
		fprintf(stderr, "usage: traced MAP cpu|block MILLISECONDS\n");
		return 2;
	}
	attr.pathname = (unsigned long)argv[1];
	map = syscall(SYS_bpf, BPF_OBJ_GET, &attr, sizeof(attr));
	if (map < 0)
		die(argv[1]);
	work.is_cpu = !strcmp(argv[2], "cpu");
	work.ms = atol(argv[3]);
	for (work.n = 0; work.n < 3; work.n++) {
		start(&thread, &work);
		pthread_join(thread, NULL);
		print(&work);
	}
	if (!work.is_cpu)
		replaced(work.ms);
	return 0;
}
