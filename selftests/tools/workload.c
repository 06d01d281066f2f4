// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * Makes a known number of system calls, and no other.
 *
 *   workload [-g PROCS] [-s FILE] [-u UID] [-n COMM] COMMAND [ARGUMENT]...
 *
 *   -g PROCS  the cgroup.procs to move into when everything is set up: what is measured by
 *             cgroup begins behind that write
 *   -s FILE   a file of struct steps, to go on when the test says so, without a system call
 *   -u UID    run as this user
 *   -n COMM   call ourselves so
 *
 * Behind join() nothing of libc is called but syscall(), clone() and sigsetjmp(..., 0), which
 * make no other system calls. Whatever has to be done to a blocked thread is done by a helper
 * process that was forked before and stays outside of the cgroup.
 * Exit code: 0, 1 when a call did not do what it should, 77 when the kernel lacks what is asked
 * for.
 */
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "workload.h"

#define GIVE_UP_SECONDS 250 /* whatever hangs ends */

struct shared {
	int go;	    /* the helper lets go on */
	int caught; /* signals handled */
	int ready;  /* threads that are where they should be */
	int done;
};

static struct shared *shared;
static struct steps *steps;
static int procs = -1;
static int pipe_fd[2], second_pipe[2];
static volatile bool forever = true;

/* --- without system calls ------------------------------------------------------------------- */

static void relax(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

static void add(int *n)
{
	__atomic_add_fetch(n, 1, __ATOMIC_SEQ_CST);
}

static int get(int *n)
{
	return __atomic_load_n(n, __ATOMIC_SEQ_CST);
}

static void spin_until(int *n, int least)
{
	while (get(n) < least)
		relax();
}

/* --- measured ------------------------------------------------------------------------------- */

static void __attribute__((noreturn)) quit(int code)
{
	for (;;)
		syscall(SYS_exit_group, code);
}

static void must(bool ok)
{
	if (!ok)
		quit(1);
}

static void getppids(long n)
{
	while (n-- > 0)
		must(syscall(SYS_getppid) >= 0);
}

static void fails(long ret, int error)
{
	must(ret == -1 && errno == error);
}

static void bad_closes(long n)
{
	while (n-- > 0)
		fails(syscall(SYS_close, -1), EBADF);
}

static void read_byte(int fd)
{
	char byte;

	must(syscall(SYS_read, fd, &byte, 1) == 1);
}

/* From here on we are measured. */
static void join(void)
{
	if (procs >= 0)
		must(syscall(SYS_write, procs, "0", 1) == 1);
	if (steps) {
		__atomic_store_n(&steps->ready, 1, __ATOMIC_SEQ_CST);
		spin_until(&steps->go, 1);
	}
}

static long fork_raw(void)
{
	return syscall(SYS_clone, SIGCHLD, 0, 0, 0, 0);
}

static void wait_for(long pid)
{
	int status;

	must(syscall(SYS_wait4, pid, &status, 0, NULL) == pid && !status);
}

/* --- outside -------------------------------------------------------------------------------- */

static void die(const char *what)
{
	perror(what);
	exit(1);
}

/* "NR ..." of /proc/PID/task/TID/syscall, or -1 while it runs. */
static long present_call(pid_t pid, pid_t tid)
{
	char path[64], text[256] = "";
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		text[0] = 'r';
	close(fd);
	return text[0] == 'r' ? -1 : atol(text);
}

static void wait_blocked(pid_t pid, pid_t tid, long nr)
{
	while (present_call(pid, tid) != nr)
		usleep(500);
}

static char state_of(pid_t pid)
{
	char path[64], text[512] = "", *end;
	int fd;

	snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	fd = open(path, O_RDONLY);
	if (fd < 0 || read(fd, text, sizeof(text) - 1) <= 0)
		die(path);
	close(fd);
	end = strrchr(text, ')');
	return end ? end[2] : '?';
}

/* In nanosleep, or in what the kernel restarts it as. */
static void wait_asleep(pid_t pid, long nr)
{
	long now;

	do {
		usleep(500);
		now = present_call(pid, pid);
	} while (now != nr && now != SYS_restart_syscall);
}

static void stop_and_go(pid_t pid)
{
	kill(pid, SIGSTOP);
	while (state_of(pid) != 'T')
		usleep(500);
	usleep(30000);
	kill(pid, SIGCONT);
	while (state_of(pid) == 'T')
		usleep(500);
}

static void interrupt(pid_t pid, int sig)
{
	int before = get(&shared->caught);

	kill(pid, sig);
	while (get(&shared->caught) == before)
		usleep(500);
}

static void write_byte(int fd)
{
	if (write(fd, "x", 1) != 1)
		die("write");
}

static void helper(void (*fn)(pid_t pid))
{
	pid_t pid = getpid(), child = fork();

	if (child < 0)
		die("fork");
	if (child)
		return;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	if (getppid() == pid)
		fn(pid);
	exit(0);
}

/* --- commands: each is what must be counted, see workloads[] in live_syscalls_test.c --------- */

static void cmd_mix(char **argv)
{
	struct timespec bad_time = {.tv_nsec = 2000000000};
	long times = argv[0] ? atol(argv[0]) : 1;

	join();
	while (times-- > 0) {
		getppids(1000);
		for (int i = 0; i < 500; i++)
			syscall(SYS_getuid);
		for (int i = 0; i < 250; i++)
			syscall(SYS_gettid);
		bad_closes(70);
		for (int i = 0; i < 30; i++)
			fails(syscall(SYS_openat, AT_FDCWD, "/there/is/no/such/file", O_RDONLY),
			      ENOENT);
		for (int i = 0; i < 20; i++)
			fails(syscall(SYS_openat, AT_FDCWD, "/proc/self/stat/x", O_RDONLY),
			      ENOTDIR);
		for (int i = 0; i < 11; i++)
			fails(syscall(SYS_lseek, pipe_fd[0], 0, SEEK_SET), ESPIPE);
		for (int i = 0; i < 7; i++)
			fails(syscall(SYS_nanosleep, &bad_time, NULL), EINVAL);
		for (int i = 0; i < 5; i++)
			fails(syscall(SYS_mkdirat, AT_FDCWD, "/", 0777), EEXIST);
		fails(syscall(SYS_uname, (void *)1), EFAULT);
		fails(syscall(4000), ENOSYS);
	}
	quit(0);
}

#define THREAD_CALLS 20000
#define THREAD_ERRORS 1000

static void *pinned_thread(void *arg)
{
	cpu_set_t cpus;

	CPU_ZERO(&cpus);
	CPU_SET((long)arg, &cpus);
	sched_setaffinity(0, sizeof(cpus), &cpus);
	add(&shared->ready);
	spin_until(&shared->go, 1);
	getppids(THREAD_CALLS);
	bad_closes(THREAD_ERRORS);
	add(&shared->done);
	while (forever)
		relax();
	return NULL;
}

static void start_thread(void *(*fn)(void *), long arg)
{
	pthread_t thread;

	errno = pthread_create(&thread, NULL, fn, (void *)arg);
	if (errno)
		die("pthread_create");
}

static void cmd_threads(char **argv)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	(void)argv;
	for (long i = 0; i < 4; i++)
		start_thread(pinned_thread, i % cpus);
	spin_until(&shared->ready, 4);
	join();
	add(&shared->go);
	spin_until(&shared->done, 4);
	quit(0);
}

static void *crowd_thread(void *arg)
{
	sched_setaffinity(0, sizeof(cpu_set_t), arg);
	add(&shared->ready);
	spin_until(&shared->go, 1);
	getppids(CROWD_CALLS);
	add(&shared->done);
	while (forever)
		relax();
	return NULL;
}

/* Threads that have to share one CPU, so that they preempt each other anywhere in the kernel. */
static void cmd_crowd(char **argv)
{
	static cpu_set_t first;

	(void)argv;
	CPU_SET(0, &first);
	for (int i = 0; i < CROWD_THREADS; i++)
		start_thread(crowd_thread, (long)&first);
	spin_until(&shared->ready, CROWD_THREADS);
	join();
	add(&shared->go);
	spin_until(&shared->done, CROWD_THREADS);
	quit(0);
}

static void cmd_fork(char **argv)
{
	long depth = atol(argv[0]), pid;

	join();
	getppids(10);
	while (depth-- > 0) {
		pid = fork_raw();
		must(pid >= 0);
		if (pid) {
			wait_for(pid);
			break;
		}
		getppids(10);
	}
	quit(0);
}

static int vfork_child(void *arg)
{
	(void)arg;
	getppids(3);
	syscall(SYS_exit, 0);
	return 1;
}

static void cmd_vfork(char **argv)
{
	static char stack[65536] __attribute__((aligned(16)));
	long pid;

	(void)argv;
	join();
	pid = clone(vfork_child, stack + sizeof(stack), CLONE_VM | CLONE_VFORK | SIGCHLD, NULL);
	must(pid > 0);
	wait_for(pid);
	quit(0);
}

/* Main and a child, then each makes another: to see what a process filter takes along. */
static void cmd_family(char **argv)
{
	struct steps *gate = steps;
	long first, second;

	(void)argv;
	steps = NULL;
	join();
	first = fork_raw();
	must(first >= 0);
	if (first)
		__atomic_store_n(&gate->ready, 1, __ATOMIC_SEQ_CST);
	spin_until(&gate->go, 1);
	getppids(first ? 10 : 100);
	second = fork_raw();
	must(second >= 0);
	if (!second) {
		getppids(first ? 10 : 100);
		quit(0);
	}
	wait_for(second);
	if (first)
		wait_for(first);
	quit(0);
}

static void phase(int n)
{
	__atomic_store_n(&steps->done, n, __ATOMIC_SEQ_CST);
	spin_until(&steps->go, n + 1);
}

/*
 * Children that exit, and others that come, while nobody looks: between the second and the
 * third phase. Of those that exited one has been waited for then.
 */
static void cmd_unseen(char **argv)
{
	long exiting[2], child, grandchild;
	siginfo_t info;

	(void)argv;
	join();
	for (int i = 0; i < 2; i++) {
		exiting[i] = fork_raw();
		must(exiting[i] >= 0);
		if (!exiting[i]) {
			spin_until(&steps->go, 2);
			quit(0);
		}
	}
	phase(1);
	wait_for(exiting[0]);
	must(!syscall(SYS_waitid, P_PID, exiting[1], &info, WEXITED | WNOWAIT, NULL));
	child = fork_raw();
	must(child >= 0);
	if (!child) {
		grandchild = fork_raw();
		must(grandchild >= 0);
		add(&shared->ready);
		spin_until(&steps->go, 3);
		getppids(grandchild ? 100 : 1000);
		if (grandchild)
			wait_for(grandchild);
		quit(0);
	}
	spin_until(&shared->ready, 2);
	phase(2);
	getppids(10);
	wait_for(exiting[1]);
	wait_for(child);
	quit(0);
}

static void again(long depth)
{
	static char *no_environment[] = {NULL};
	static char number[2];
	static char *argv[] = {(char *)"workload", (char *)"exec", number, NULL};

	number[0] = '0' + depth;
	syscall(SYS_execve, "/proc/self/exe", argv, no_environment);
	quit(1);
}

/* libc's start makes calls of its own here, always the same ones. */
static void cmd_exec(char **argv)
{
	long depth = atol(argv[0]);

	join();
	getppids(3);
	if (!depth)
		quit(0);
	fails(syscall(SYS_execve, "/there/is/no/such/file", NULL, NULL), ENOENT);
	again(depth - 1);
}

static void block_in_ppoll(void)
{
	syscall(SYS_ppoll, NULL, 0, NULL, NULL, 8);
}

static void *execing_thread(void *arg)
{
	(void)arg;
	add(&shared->ready);
	spin_until(&shared->go, 1);
	getppids(5);
	again(0);
	return NULL;
}

static void go_when_blocked(pid_t pid)
{
	wait_blocked(pid, pid, SYS_ppoll);
	add(&shared->go);
}

static void cmd_exec_thread(char **argv)
{
	(void)argv;
	helper(go_when_blocked);
	start_thread(execing_thread, 0);
	spin_until(&shared->ready, 1);
	join();
	block_in_ppoll();
	quit(1);
}

static pid_t tids[3];

static void *blocked_thread(void *arg)
{
	tids[(long)arg] = syscall(SYS_gettid);
	add(&shared->ready);
	spin_until(&shared->done, 1);
	block_in_ppoll();
	return NULL;
}

static void watch_threads(pid_t pid)
{
	int *thread_ids = (int *)(shared + 1);

	spin_until(&shared->done, 1);
	for (int i = 0; i < 3; i++)
		wait_blocked(pid, thread_ids[i], SYS_ppoll);
	add(&shared->go);
}

static void cmd_exit_group(char **argv)
{
	(void)argv;
	helper(watch_threads);
	for (long i = 0; i < 3; i++)
		start_thread(blocked_thread, i);
	spin_until(&shared->ready, 3);
	memcpy(shared + 1, tids, sizeof(tids));
	join();
	add(&shared->done);
	spin_until(&shared->go, 1);
	quit(0);
}

/* --- signals --------------------------------------------------------------------------------- */

static void on_signal(int sig)
{
	(void)sig;
	getppids(1);
	add(&shared->caught);
}

static void handle(int sig, void (*fn)(int), int flags)
{
	struct sigaction action = {.sa_handler = fn, .sa_flags = flags};

	if (sigaction(sig, &action, NULL))
		die("sigaction");
}

static void interrupt_five_times(pid_t pid)
{
	for (int i = 0; i < 5; i++) {
		wait_blocked(pid, pid, SYS_read);
		usleep(20000);
		interrupt(pid, SIGUSR1);
	}
	wait_blocked(pid, pid, SYS_read);
	usleep(20000);
	write_byte(pipe_fd[1]);
}

static void cmd_restart(char **argv)
{
	(void)argv;
	handle(SIGUSR1, on_signal, SA_RESTART);
	helper(interrupt_five_times);
	join();
	read_byte(pipe_fd[0]);
	quit(0);
}

static void cmd_eintr(char **argv)
{
	char byte;

	(void)argv;
	handle(SIGUSR1, on_signal, 0);
	helper(interrupt_five_times);
	join();
	for (int i = 0; i < 5; i++)
		fails(syscall(SYS_read, pipe_fd[0], &byte, 1), EINTR);
	read_byte(pipe_fd[0]);
	quit(0);
}

static void interrupt_other_calls(pid_t pid)
{
	wait_blocked(pid, pid, SYS_ppoll);
	interrupt(pid, SIGUSR1);
	wait_asleep(pid, SYS_nanosleep);
	interrupt(pid, SIGUSR1);
}

/* These end with EINTR whatever the handler's flags. */
static void cmd_norestart(char **argv)
{
	struct timespec long_time = {.tv_sec = 1000};

	(void)argv;
	handle(SIGUSR1, on_signal, SA_RESTART);
	helper(interrupt_other_calls);
	join();
	fails(syscall(SYS_ppoll, NULL, 0, NULL, NULL, 8), EINTR);
	fails(syscall(SYS_nanosleep, &long_time, NULL), EINTR);
	quit(0);
}

/* The handler makes the same call that it interrupted. */
static void on_signal_read(int sig)
{
	(void)sig;
	read_byte(second_pipe[0]);
	add(&shared->caught);
}

static void feed_both(pid_t pid)
{
	wait_blocked(pid, pid, SYS_read);
	usleep(50000);
	write_byte(second_pipe[1]);
	interrupt(pid, SIGUSR1);
	wait_blocked(pid, pid, SYS_read);
	usleep(50000);
	write_byte(pipe_fd[1]);
}

static void cmd_handler_reads(char **argv)
{
	(void)argv;
	handle(SIGUSR1, on_signal_read, SA_RESTART);
	helper(feed_both);
	join();
	read_byte(pipe_fd[0]);
	quit(0);
}

/* A handler is itself interrupted in the call it makes, and that call goes on, too. */
static void on_signal_block(int sig)
{
	(void)sig;
	add(&shared->ready);
	must(syscall(SYS_readv, second_pipe[0], &(struct iovec){(char[1]){0}, 1}, 1) == 1);
	add(&shared->caught);
}

static void interrupt_the_handler(pid_t pid)
{
	wait_blocked(pid, pid, SYS_read);
	usleep(50000);
	kill(pid, SIGUSR1);
	wait_blocked(pid, pid, SYS_readv);
	usleep(50000);
	interrupt(pid, SIGUSR2);
	wait_blocked(pid, pid, SYS_readv);
	write_byte(second_pipe[1]);
	wait_blocked(pid, pid, SYS_read);
	write_byte(pipe_fd[1]);
}

static void cmd_nested(char **argv)
{
	(void)argv;
	handle(SIGUSR1, on_signal_block, SA_RESTART);
	handle(SIGUSR2, on_signal, SA_RESTART);
	helper(interrupt_the_handler);
	join();
	read_byte(pipe_fd[0]);
	quit(0);
}

static sigjmp_buf way_out;

static void on_signal_jump(int sig)
{
	(void)sig;
	add(&shared->caught);
	siglongjmp(way_out, 1);
}

static void interrupt_once(pid_t pid)
{
	wait_blocked(pid, pid, SYS_read);
	usleep(300000);
	write_byte(second_pipe[1]);
	interrupt(pid, SIGUSR1);
}

/* The interrupted read never returns; the next one is another. */
static void cmd_longjmp(char **argv)
{
	(void)argv;
	handle(SIGUSR1, on_signal_jump, SA_RESTART | SA_NODEFER);
	helper(interrupt_once);
	join();
	if (!sigsetjmp(way_out, 0))
		read_byte(pipe_fd[0]);
	read_byte(second_pipe[0]);
	quit(0);
}

static void jump_then_return(pid_t pid)
{
	interrupt_once(pid);
	/* Out of the first handler: a second one, which returns to where no call is. */
	spin_until(&shared->ready, 1);
	interrupt(pid, SIGUSR2);
	add(&shared->go);
}

static void on_signal_quietly(int sig)
{
	(void)sig;
	add(&shared->caught);
}

/* A handler's return to elsewhere does not bring back the call that another one left by a jump. */
static void cmd_longjmp_return(char **argv)
{
	static int jumped;

	(void)argv;
	handle(SIGUSR1, on_signal_jump, SA_RESTART | SA_NODEFER);
	handle(SIGUSR2, on_signal_quietly, SA_RESTART);
	helper(jump_then_return);
	join();
	sigsetjmp(way_out, 0);
	if (get(&shared->caught)) {
		jumped = 1;
		add(&shared->ready);
		spin_until(&shared->go, 1);
	}
	read_byte(jumped ? second_pipe[0] : pipe_fd[0]);
	quit(0);
}

static void stop_twice(pid_t pid)
{
	wait_asleep(pid, SYS_nanosleep);
	stop_and_go(pid);
	wait_asleep(pid, SYS_nanosleep);
	stop_and_go(pid);
}

static void cmd_stop(char **argv)
{
	struct timespec time = {.tv_sec = 1};

	(void)argv;
	helper(stop_twice);
	join();
	must(!syscall(SYS_nanosleep, &time, NULL));
	quit(0);
}

static void stop_in_read(pid_t pid)
{
	wait_blocked(pid, pid, SYS_read);
	usleep(50000);
	stop_and_go(pid);
	wait_blocked(pid, pid, SYS_read);
	usleep(50000);
	write_byte(pipe_fd[1]);
}

static void cmd_stop_read(char **argv)
{
	(void)argv;
	helper(stop_in_read);
	join();
	read_byte(pipe_fd[0]);
	quit(0);
}

static void kill_it(pid_t pid)
{
	wait_blocked(pid, pid, SYS_read);
	kill(pid, SIGKILL);
}

static void cmd_kill(char **argv)
{
	(void)argv;
	helper(kill_it);
	join();
	getppids(2);
	read_byte(pipe_fd[0]);
	quit(0);
}

static void move_about(pid_t pid)
{
	long cpus = sysconf(_SC_NPROCESSORS_ONLN);

	for (int i = 1; i <= 10; i++) {
		cpu_set_t set;

		wait_blocked(pid, pid, SYS_read);
		usleep(20000);
		CPU_ZERO(&set);
		CPU_SET(i % cpus, &set);
		if (sched_setaffinity(pid, sizeof(set), &set))
			die("sched_setaffinity");
		write_byte(pipe_fd[1]);
		while (get(&shared->done) < i)
			usleep(100);
	}
}

static void cmd_migrate(char **argv)
{
	cpu_set_t set;

	(void)argv;
	CPU_ZERO(&set);
	CPU_SET(0, &set);
	if (sched_setaffinity(0, sizeof(set), &set))
		die("sched_setaffinity");
	helper(move_about);
	join();
	for (int i = 0; i < 10; i++) {
		read_byte(pipe_fd[0]);
		add(&shared->done);
	}
	quit(0);
}

/* --- 32-bit callers ------------------------------------------------------------------------- */

#if defined(__x86_64__)
static long int80(long nr, long arg)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(arg), "c"(0L), "d"(0L)
			 : "memory", "r8", "r9", "r10", "r11");
	return (int)ret;
}

static void on_fault(int sig)
{
	(void)sig;
	_exit(77); /* no IA32_EMULATION */
}

static void cmd_compat(char **argv)
{
	pid_t pid = getpid();

	(void)argv;
	handle(SIGSEGV, on_fault, 0);
	if (int80(20, 0) != pid)
		exit(77);
	join();
	for (int i = 0; i < 100; i++)
		must(int80(20, 0) == pid); /* i386's getpid */
	for (int i = 0; i < 10; i++)
		must(int80(6, -1) == -EBADF); /* i386's close */
	getppids(5);
	quit(0);
}
#else
static void cmd_compat(char **argv)
{
	(void)argv;
	exit(77);
}
#endif

/* --- for other tests ------------------------------------------------------------------------- */

/* Sixteen system calls that all fail with EBADF, each N times. */
static void cmd_spread(char **argv)
{
	static const long calls[] = WORKLOAD_SPREAD;
	long n = atol(argv[0]);

	join();
	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		for (long k = 0; k < n; k++)
			fails(syscall(calls[i], -1, 0, 0, 0, 0, 0), EBADF);
	quit(0);
}

/* As often as the test says: N getppid(2) and M close(-1). */
static void cmd_steps(char **argv)
{
	long n = atol(argv[0]), m = atol(argv[1]);
	int done = 0;

	join();
	for (;;) {
		getppids(n);
		bad_closes(m);
		__atomic_store_n(&steps->done, ++done, __ATOMIC_SEQ_CST);
		while (get(&steps->go) == done)
			relax();
		if (get(&steps->go) < 0)
			quit(0);
	}
}

/* read(0) N times. */
static void cmd_read(char **argv)
{
	long n = atol(argv[0]);

	join();
	while (n-- > 0)
		read_byte(0);
	quit(0);
}

/* Numbers that no kernel has, each once. */
static void cmd_flood(char **argv)
{
	(void)argv;
	join();
	for (long nr = 1000; nr < 1000 + FLOOD_CALLS; nr++)
		if (syscall(nr) != -1 || errno != ENOSYS)
			quit(1);
	quit(0);
}

/* Calls that seccomp refuses, in a task that has made others before. */
static void cmd_refused(char **argv)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_getppid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EACCES),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = {sizeof(filter) / sizeof(*filter), filter};

	(void)argv;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) || prctl(PR_SET_SECCOMP, 2, &program))
		quit(77);
	join();
	for (int i = 0; i < REFUSED_CALLS; i++)
		if (syscall(SYS_getppid) != -1 || errno != EACCES)
			quit(1);
	quit(0);
}

static const struct {
	const char *name;
	void (*run)(char **argv);
	int args;
} commands[] = {
	{"mix", cmd_mix, 0},
	{"threads", cmd_threads, 0},
	{"crowd", cmd_crowd, 0},
	{"fork", cmd_fork, 1},
	{"vfork", cmd_vfork, 0},
	{"family", cmd_family, 0},
	{"unseen", cmd_unseen, 0},
	{"exec", cmd_exec, 1},
	{"exec-thread", cmd_exec_thread, 0},
	{"exit-group", cmd_exit_group, 0},
	{"restart", cmd_restart, 0},
	{"eintr", cmd_eintr, 0},
	{"norestart", cmd_norestart, 0},
	{"handler-reads", cmd_handler_reads, 0},
	{"nested", cmd_nested, 0},
	{"longjmp", cmd_longjmp, 0},
	{"longjmp-return", cmd_longjmp_return, 0},
	{"stop", cmd_stop, 0},
	{"stop-read", cmd_stop_read, 0},
	{"kill", cmd_kill, 0},
	{"migrate", cmd_migrate, 0},
	{"compat", cmd_compat, 0},
	{"spread", cmd_spread, 1},
	{"steps", cmd_steps, 2},
	{"read", cmd_read, 1},
	{"flood", cmd_flood, 0},
	{"refused", cmd_refused, 0},
};

static void open_steps(const char *path)
{
	int fd = open(path, O_RDWR);

	steps = mmap(NULL, sizeof(*steps), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
	if (fd < 0 || steps == MAP_FAILED)
		die(path);
	close(fd);
}

int main(int argc, char **argv)
{
	int option;

	/* An exec chain goes on without preparation. */
	if (argc == 3 && !strcmp(argv[1], "exec"))
		cmd_exec(argv + 2);
	while ((option = getopt(argc, argv, "+g:s:u:n:")) != -1) {
		switch (option) {
		case 'g':
			procs = open(optarg, O_WRONLY);
			if (procs < 0)
				die(optarg);
			break;
		case 's':
			open_steps(optarg);
			break;
		case 'u':
			if (setgid(atoi(optarg)) || setuid(atoi(optarg)))
				die("setuid");
			break;
		case 'n':
			prctl(PR_SET_NAME, optarg);
			break;
		default:
			return 2;
		}
	}
	shared = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (shared == MAP_FAILED || pipe(pipe_fd) || pipe(second_pipe))
		die("mmap, pipe");
	alarm(GIVE_UP_SECONDS);
	for (size_t i = 0; optind < argc && i < sizeof(commands) / sizeof(commands[0]); i++)
		if (!strcmp(commands[i].name, argv[optind]) &&
		    argc - optind - 1 >= commands[i].args)
			commands[i].run(argv + optind + 1);
	fprintf(stderr, "workload: no such command\n");
	return 2;
}
