// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Time blocked in known functions. Prints lines "NS FUNCTION", by CLOCK_MONOTONIC; and "NS
 * ran:FUNCTION", what of that the thread ran or waited for a CPU: a timer goes on meanwhile.
 *
 *   blocker calls MS TIMES   nanosleep(2), poll(2), a futex that nobody wakes, one that a thread
 *                            does, and read(2) of a pipe that a thread writes to
 *   blocker migrate MS       a thread blocks on one CPU and comes back on another
 *   blocker killed           prints "NS before" and blocks until it is killed
 *   blocker exit MS          a thread is still blocked when the process exits; prints "NS before"
 *
 * System calls are two functions away: the C library's has no frame of its own, so that the frame
 * of its caller is not seen, but the one before is.
 */
#include <linux/futex.h>
#include <poll.h>
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define FRAME __attribute__((noinline))
#define NOT_LAST() __asm__ volatile("" ::: "memory")

static long long now_ns(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static struct timespec time_of(long long ns)
{
	return (struct timespec){.tv_sec = ns / 1000000000, .tv_nsec = ns % 1000000000};
}

FRAME static long call(long nr, long a, long b, long c, long d)
{
	long result = syscall(nr, a, b, c, d, 0, 0);

	NOT_LAST();
	return result;
}

/* --- the functions that block ----------------------------------------------------------------- */

static int pipe_fd[2];
static atomic_int word;
/* When those who are waited for act. */
static _Atomic long long act_at;

FRAME static void block_nanosleep(long long ns)
{
	struct timespec time = time_of(ns);

	call(SYS_nanosleep, (long)&time, 0, 0, 0);
	NOT_LAST();
}

FRAME static void block_poll(long long ns)
{
	struct pollfd fd = {.fd = pipe_fd[0], .events = POLLIN};
	struct timespec time = time_of(ns);

	call(SYS_ppoll, (long)&fd, 1, (long)&time, 0);
	NOT_LAST();
}

FRAME static void block_futex(long long ns)
{
	struct timespec time = time_of(ns);

	call(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, (long)&time);
	NOT_LAST();
}

FRAME static void block_futex_woken(long long ns)
{
	act_at = now_ns() + ns;
	while (!atomic_load(&word))
		call(SYS_futex, (long)&word, FUTEX_WAIT_PRIVATE, 0, 0);
	word = 0;
}

FRAME static void block_pipe(long long ns)
{
	char byte;

	act_at = now_ns() + ns;
	if (call(SYS_read, pipe_fd[0], (long)&byte, 1, 0) != 1)
		exit(1);
	NOT_LAST();
}

/* Acts when it is time. The first thread's own waits have to be over by then. */
static void wait_for_turn(void)
{
	struct timespec at;

	while (!act_at)
		sched_yield();
	at = time_of(act_at);
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &at, NULL);
	act_at = 0;
}

static void *wake(void *times)
{
	for (int i = *(int *)times; i; i--) {
		wait_for_turn();
		word = 1;
		syscall(SYS_futex, &word, FUTEX_WAKE_PRIVATE, 1, NULL, NULL, 0);
	}
	return NULL;
}

static void *write_pipe(void *times)
{
	for (int i = *(int *)times; i; i--) {
		wait_for_turn();
		if (write(pipe_fd[1], "", 1) != 1)
			exit(1);
	}
	return NULL;
}

/* Of this thread, since it began: what it ran and what it waited for a CPU. */
static long long ran_ns(void)
{
	FILE *file = fopen("/proc/thread-self/schedstat", "re");
	unsigned long long delay = 0;
	struct timespec ran;

	if (file && fscanf(file, "%*u %llu", &delay) != 1)
		delay = 0;
	if (file)
		fclose(file);
	clock_gettime(CLOCK_THREAD_CPUTIME_ID, &ran);
	return ran.tv_sec * 1000000000LL + ran.tv_nsec + delay;
}

static int calls(long long ns, int times)
{
	static const struct {
		const char *name;
		void (*block)(long long ns);
		void *(*other)(void *times);
	} list[] = {
		{"block_nanosleep", block_nanosleep, NULL},
		{"block_poll", block_poll, NULL},
		{"block_futex", block_futex, NULL},
		{"block_futex_woken", block_futex_woken, wake},
		{"block_pipe", block_pipe, write_pipe},
	};

	for (size_t i = 0; i < sizeof(list) / sizeof(list[0]); i++) {
		long long spent = 0, ran = 0;
		pthread_t thread;

		if (list[i].other && pthread_create(&thread, NULL, list[i].other, &times))
			return 1;
		for (int k = 0; k < times; k++) {
			long long had_run = ran_ns(), start = now_ns();

			list[i].block(ns);
			spent += now_ns() - start;
			ran += ran_ns() - had_run;
		}
		if (list[i].other)
			pthread_join(thread, NULL);
		printf("%lld %s\n%lld ran:%s\n", spent, list[i].name, ran, list[i].name);
	}
	return 0;
}

/* --- threads that move or end ----------------------------------------------------------------- */

static int cpus[2];
static _Atomic pid_t tid;
static long long block_ns;
static _Atomic long long started;

static int pin(pid_t thread, int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	return sched_setaffinity(thread, sizeof(set), &set);
}

FRAME static void block_migrating(long long ns)
{
	block_nanosleep(ns);
	NOT_LAST();
}

static void *migrating(void *moved)
{
	int before;

	if (pin(0, cpus[0]))
		return NULL;
	before = sched_getcpu();
	tid = syscall(SYS_gettid);
	started = now_ns();
	block_migrating(block_ns);
	block_ns = now_ns() - started;
	*(int *)moved = before == cpus[0] && sched_getcpu() == cpus[1];
	return NULL;
}

static int migrate(long long ns)
{
	cpu_set_t set;
	pthread_t thread;
	int n = 0, moved = 0;

	if (sched_getaffinity(0, sizeof(set), &set))
		return 1;
	for (int i = 0; i < CPU_SETSIZE && n < 2; i++)
		if (CPU_ISSET(i, &set))
			cpus[n++] = i;
	if (n < 2)
		return 1;
	block_ns = ns;
	if (pthread_create(&thread, NULL, migrating, &moved))
		return 1;
	while (!started)
		sched_yield();
	usleep(ns / 2000);
	if (pin(tid, cpus[1]))
		return 1;
	pthread_join(thread, NULL);
	printf("%lld block_migrating\n", block_ns);
	return moved ? 0 : 3;
}

FRAME static void block_for_good(void)
{
	call(SYS_ppoll, 0, 0, 0, 0);
	NOT_LAST();
}

static void *for_good(void *none)
{
	started = now_ns();
	block_for_good();
	return none;
}

static int leave(long long ns)
{
	pthread_t thread;

	if (pthread_create(&thread, NULL, for_good, NULL))
		return 1;
	while (!started)
		sched_yield();
	usleep(ns / 1000);
	printf("%lld before\n", started);
	return 0;
}

int main(int argc, char **argv)
{
	const char *what = argc > 1 ? argv[1] : "";
	long long ns = argc > 2 ? atoll(argv[2]) * 1000000 : 0;

	if (pipe(pipe_fd))
		return 1;
	if (!strcmp(what, "calls") && argc == 4)
		return calls(ns, atoi(argv[3]));
	if (!strcmp(what, "migrate") && argc == 3)
		return migrate(ns);
	if (!strcmp(what, "exit") && argc == 3)
		return leave(ns);
	if (!strcmp(what, "killed")) {
		printf("%lld before\n", now_ns());
		fflush(stdout);
		block_for_good();
		return 1;
	}
	fprintf(stderr, "usage: see selftests/tools/blocker.c\n");
	return 2;
}
