// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * otelbpf-exporter: pinned maps in, OTLP out.
 *
 * Once or at an interval. It holds no telemetry of its own: the kernel's maps are the queue, so a
 * crash, a restart or a receiver that is away loses nothing; the next export tells all.
 */
#include <errno.h>
#include <fcntl.h>
#include <link.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "confine.h"
#include "export.h"
#include "fail.h"
#include "notify.h"
#include "reload.h"
#include "settings.h"

#define NS 1000000000ULL

static volatile bool stop, tell, again;

static void on_signal(int signal)
{
	if (signal == SIGUSR1)
		tell = true;
	else if (signal == SIGHUP)
		again = true;
	else
		stop = true;
}

static __u64 monotonic(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * NS + now.tv_nsec;
}

/* --- owning the pin directory ------------------------------------------------ */

/* The lock on a pin directory. */
struct lock {
	const char *dir;
	int fd;
	ino_t inode;
};

/*
 * One exporter owns a pin directory, by a lock on the directory itself, which ends
 * with the process however that ends. The directory may come and go meanwhile.
 *
 * Return: 0 when it is ours; -ENOENT; -EWOULDBLOCK when it is another's; -errno.
 */
static int own(struct lock *lock)
{
	const char *dir = lock->dir;
	struct stat st;
	int err;

	if (stat(dir, &st))
		return -errno;
	if (lock->fd >= 0) {
		if (lock->inode == st.st_ino)
			return 0;
		close(lock->fd);
	}
	lock->fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock->fd < 0)
		return -errno;
	if (flock(lock->fd, LOCK_EX | LOCK_NB)) {
		err = -errno;
		close(lock->fd);
		lock->fd = -1;
		return err;
	}
	lock->inode = st.st_ino;
	return 0;
}

/* --- exports ----------------------------------------------------------------- */

/*
 * Sleep until @until or a signal; the signals are blocked but here and during exports.
 * What an output that was left behind has ended meanwhile is counted. A service manager's watchdog
 * hears of it every @watchdog ns, unless that is 0.
 */
static void sleep_until(struct exporter *exporter, __u64 until, __u64 watchdog,
			const sigset_t *awake)
{
	struct pollfd wake = {.fd = exporter->outputs.wake, .events = POLLIN};
	__u64 now;

	while (!stop && (now = monotonic()) < until) {
		__u64 left = watchdog && watchdog < until - now ? watchdog : until - now;
		struct timespec time = {.tv_sec = left / NS, .tv_nsec = left % NS};

		if (ppoll(&wake, 1, &time, awake) < 0)
			return;
		if (wake.revents)
			export__collect(exporter);
		else if (watchdog)
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

static int run(struct instance **instance, int argc, char **argv)
{
	__u64 next = monotonic(), end = ~0ULL, due;
	__u64 watchdog = notify__watchdog_ns();
	struct lock lock = {.dir = (*instance)->settings.pin_dir, .fd = -1};
	bool ready = false;
	sigset_t stopping, awake;
	int err, code;

	sigemptyset(&stopping);
	sigaddset(&stopping, SIGTERM);
	sigaddset(&stopping, SIGINT);
	sigaddset(&stopping, SIGUSR1);
	sigaddset(&stopping, SIGHUP);
	if ((*instance)->settings.duration_ns)
		end = next + (*instance)->settings.duration_ns;
	for (;;) {
		const struct settings *settings = &(*instance)->settings;
		struct exporter *exporter = &(*instance)->exporter;
		bool last = stop || monotonic() >= end;

		err = own(&lock);
		if (err == -EWOULDBLOCK)
			return fail(EXIT_MAP, "another exporter owns %s: stop it, or use --once",
				    lock.dir);
		if (err == -EACCES || err == -EPERM)
			return fail(EXIT_PERMISSION, "%s: %s", settings->pin_dir, strerror(-err));
		report_state(err, settings->pin_dir);
		/* A directory that is still to come is waited for: that is ready. */
		notify__send(last ? "STOPPING=1" : ready ? "WATCHDOG=1" : "READY=1\nWATCHDOG=1");
		ready = true;
		if (!err) {
			due = next + settings->interval_ns;
			code = export__all(exporter, true, last, due < end ? due : end);
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
		while (next <= monotonic());
		sigprocmask(SIG_BLOCK, &stopping, &awake);
		do {
			if (tell)
				export__tell(exporter);
			tell = false;
			if (!again)
				sleep_until(exporter, next < end ? next : end, watchdog, &awake);
		} while (tell);
		sigprocmask(SIG_SETMASK, &awake, NULL);
		if (!again || stop)
			continue;
		again = false;
		notify__send("RELOADING=1");
		code = reload(instance, argc, argv, !err, &stop);
		if (code)
			return code;
		ready = false;
		next = monotonic();
	}
}

static bool is_disabled(void)
{
	const char *disabled = getenv("OTEL_SDK_DISABLED");

	if (!disabled || !disabled[0] || !strcasecmp(disabled, "false"))
		return false;
	if (!strcasecmp(disabled, "true"))
		return true;
	warn("OTEL_SDK_DISABLED=%s is as good as false: it must be true or false", disabled);
	return false;
}

static int forget_segments(struct dl_phdr_info *info, size_t size, void *page)
{
	ElfW(Addr) mask = ~(*(const ElfW(Addr) *)page - 1);

	(void)size;
	for (int i = 0; i < info->dlpi_phnum; i++) {
		const ElfW(Phdr) *segment = &info->dlpi_phdr[i];
		ElfW(Addr) start = info->dlpi_addr + segment->p_vaddr;

		/* Where nothing is written the file has it all. */
		if (segment->p_type == PT_LOAD && !(segment->p_flags & PF_W))
			madvise((void *)(start & mask), segment->p_memsz + (start & ~mask),
				MADV_DONTNEED);
	}
	return 0;
}

/*
 * Of the forty libraries that libcurl brings along most is read once, while it is loaded and set
 * up, a third of all that would be resident for as long as this runs. What is needed again comes
 * back from the page cache.
 */
static void forget_start(void)
{
	ElfW(Addr) page = sysconf(_SC_PAGESIZE);

	dl_iterate_phdr(forget_segments, &page);
}

static int serve(struct instance **instance, int argc, char **argv)
{
	const struct settings *settings = &(*instance)->settings;
	struct exporter *exporter = &(*instance)->exporter;
	struct sigaction action = {.sa_handler = on_signal};
	int code = confine__self();

	if (code)
		return code;
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
	code = exporter__start(exporter, settings, &stop);
	forget_start();
	if (code)
		return code;
	if (settings->view)
		return export__view(exporter);
	if (settings->once || settings->table)
		return export__all(exporter, false, true, 0);
	sigaction(SIGHUP, &action, NULL);
	return run(instance, argc, argv);
}

int main(int argc, char **argv)
{
	struct instance *instance;
	int code;

	/* What an export takes at once goes back at once: glibc would raise this by itself. */
	mallopt(M_MMAP_THRESHOLD, 64 << 10);
	instance = instance__new(argc, argv, &code);
	if (!instance)
		return code;
	code = serve(&instance, argc, argv);
	instance__free(instance);
	return code;
}
