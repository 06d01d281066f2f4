// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * What a sample costs in each of several loaded BPF programs.
 *
 *   drive CPU MILLISECONDS HZ[,HZ] -- WORKLOAD...
 *
 * Starts the workload on a CPU, held back, and prints its pid. Reads ids of programs of type
 * perf_event from a line of stdin. Then the workload runs and is sampled by one program after
 * the other, SLICE_MS at a time, MILLISECONDS in all by each at each frequency: what disturbs a
 * shared machine disturbs all of them. For each frequency and program a line is printed:
 * HZ, id, samples, nanoseconds in the program by the kernel's own statistics.
 *
 * Each program has a timer on this one process, so nobody else's samples are in the numbers.
 */
#include <bpf/bpf.h>
#include <errno.h>
#include <linux/perf_event.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define PROGRAMS_MAX 8
#define SLICE_MS 100

struct program {
	unsigned int id;
	int fd, event;
	unsigned long long runs, ns;
};

static void die(const char *what)
{
	fprintf(stderr, "drive: %s: %s\n", what, strerror(errno));
	exit(1);
}

static pid_t start(int cpu, char **argv, int *go)
{
	cpu_set_t set;
	int fds[2];
	pid_t pid;
	char byte;

	if (pipe(fds))
		die("pipe");
	pid = fork();
	if (pid < 0)
		die("fork");
	if (pid) {
		close(fds[0]);
		*go = fds[1];
		return pid;
	}
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	close(fds[1]);
	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (read(fds[0], &byte, 1) != 1 || sched_setaffinity(0, sizeof(set), &set))
		_exit(126);
	close(fds[0]);
	execv(argv[0], argv);
	_exit(127);
}

static void program__read(struct program *p, unsigned long long *runs, unsigned long long *ns)
{
	struct bpf_prog_info info = {0};
	__u32 len = sizeof(info);

	if (bpf_obj_get_info_by_fd(p->fd, &info, &len))
		die("program's statistics");
	*runs = info.run_cnt;
	*ns = info.run_time_ns;
}

static void program__attach(struct program *p, pid_t pid, int hz)
{
	struct perf_event_attr attr = {
		.type = PERF_TYPE_SOFTWARE,
		.size = sizeof(attr),
		.config = PERF_COUNT_SW_CPU_CLOCK,
		.sample_freq = hz,
		.freq = 1,
		.disabled = 1,
	};

	p->event = syscall(SYS_perf_event_open, &attr, pid, -1, -1, PERF_FLAG_FD_CLOEXEC);
	if (p->event < 0 || ioctl(p->event, PERF_EVENT_IOC_SET_BPF, p->fd))
		die("perf event");
}

static void pass_ms(long ms)
{
	struct timespec time = {.tv_sec = ms / 1000, .tv_nsec = ms % 1000 * 1000000};

	while (nanosleep(&time, &time) && errno == EINTR)
		;
}

static void measure(struct program *programs, int n, pid_t pid, int hz, long ms)
{
	for (int i = 0; i < n; i++)
		program__attach(&programs[i], pid, hz);
	for (int i = 0; i < n; i++)
		programs[i].runs = programs[i].ns = 0;
	for (long slice = 0; slice * SLICE_MS < ms; slice++) {
		for (int i = 0; i < n; i++) {
			/* Another one begins each time. */
			struct program *p = &programs[(slice + i) % n];
			unsigned long long runs, ns, runs_after, ns_after;

			program__read(p, &runs, &ns);
			ioctl(p->event, PERF_EVENT_IOC_ENABLE, 0);
			pass_ms(SLICE_MS);
			ioctl(p->event, PERF_EVENT_IOC_DISABLE, 0);
			program__read(p, &runs_after, &ns_after);
			p->runs += runs_after - runs;
			p->ns += ns_after - ns;
		}
	}
	for (int i = 0; i < n; i++) {
		printf("%d %u %llu %llu\n", hz, programs[i].id, programs[i].runs, programs[i].ns);
		close(programs[i].event);
	}
	fflush(stdout);
}

int main(int argc, char **argv)
{
	struct program programs[PROGRAMS_MAX];
	char line[256], *at, *end;
	int n = 0, go;
	pid_t pid;

	if (argc < 6 || strcmp(argv[4], "--")) {
		fprintf(stderr, "usage: drive CPU MILLISECONDS HZ[,HZ] -- WORKLOAD...\n");
		return 2;
	}
	pid = start(atoi(argv[1]), argv + 5, &go);
	printf("%d\n", pid);
	fflush(stdout);
	if (!fgets(line, sizeof(line), stdin))
		return 1;
	for (at = line; n < PROGRAMS_MAX; at = end, n++) {
		programs[n].id = strtoul(at, &end, 10);
		if (end == at)
			break;
		programs[n].fd = bpf_prog_get_fd_by_id(programs[n].id);
		if (programs[n].fd < 0)
			die("program's id");
	}
	/* Counted from here on, and no longer than this program runs. */
	if (!n || bpf_enable_stats(BPF_STATS_RUN_TIME) < 0)
		die("BPF statistics");
	if (write(go, "", 1) != 1)
		die("workload");
	pass_ms(SLICE_MS);
	for (at = argv[3]; *at; at = *end ? end + 1 : end)
		measure(programs, n, pid, strtol(at, &end, 10), atol(argv[2]));
	kill(pid, SIGKILL);
	waitpid(pid, NULL, 0);
	return 0;
}
