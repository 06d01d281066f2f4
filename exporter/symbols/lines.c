// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/lines.h"

#include <dwarf.h>
#include <elfutils/libdw.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ANSWER_MAX 32768
#define ANSWER_MS 5000 /* the first includes finding the compilation units */
#define CPU_SECONDS 60 /* of a reader in all: until the end of an export */
#define MEMORY_MAX (768ULL << 20)
#define UNITS_MAX (1 << 20)

#if defined(__x86_64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_AARCH64
#elif defined(__powerpc64__) && __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define AUDIT_ARCH_OURS AUDIT_ARCH_PPC64LE
#elif defined(__s390x__)
#define AUDIT_ARCH_OURS AUDIT_ARCH_S390X
#elif defined(__riscv) && __riscv_xlen == 64
#define AUDIT_ARCH_OURS AUDIT_ARCH_RISCV64
#else
#define AUDIT_ARCH_OURS 0
#endif

#ifdef __SANITIZE_ADDRESS__
#define SANITIZED true /* its shadow memory is terabytes of address space */
#else
#define SANITIZED false
#endif

/* Packet: struct answer_head, then for each frame two numbers and two strings. */
struct answer_head {
	__u32 n;
};

/* --- in the child ------------------------------------------------------------ */

struct unit {
	Dwarf_Addr start, end;
	Dwarf_Off die;
};

struct child {
	Dwarf *dwarf;
	struct unit *units;
	size_t n, room;
	char *out;
	size_t len;
	__u32 frames;
};

/* What malloc, pread and a socket need. Everything else fails with EPERM, open() first of all. */
static int confine(void)
{
#define ALLOW(nr)                                            \
	BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_##nr, 0, 1), \
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW)
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, AUDIT_ARCH_OURS, 1, 0),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		ALLOW(read),
		ALLOW(pread64),
		ALLOW(lseek),
		ALLOW(fstat),
		ALLOW(newfstatat),
		ALLOW(fcntl),
		ALLOW(recvfrom),
		ALLOW(sendto),
		ALLOW(close),
		ALLOW(mmap),
		ALLOW(munmap),
		ALLOW(mremap),
		ALLOW(mprotect),
		ALLOW(madvise),
		ALLOW(brk),
		ALLOW(futex),
		ALLOW(sched_yield),
		ALLOW(rt_sigreturn),
		ALLOW(rt_sigprocmask),
		ALLOW(rt_sigaction),
		ALLOW(sigaltstack),
		ALLOW(getpid),
		ALLOW(gettid),
		ALLOW(write),
		ALLOW(exit),
		ALLOW(exit_group),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
	};
#undef ALLOW
	struct sock_fprog program = {
		.len = sizeof(filter) / sizeof(filter[0]),
		.filter = filter,
	};

	if (!AUDIT_ARCH_OURS)
		return 0;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return -errno;
	return prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) ? -errno : 0;
}

static int by_start(const void *a, const void *b)
{
	const struct unit *x = a, *y = b;

	return x->start < y->start ? -1 : x->start > y->start;
}

/* .debug_aranges would tell, but clang writes none. */
static void child__index(struct child *child)
{
	Dwarf_CU *cu = NULL;
	Dwarf_Die die;
	uint8_t type;

	while (!dwarf_get_units(child->dwarf, cu, &cu, NULL, &type, &die, NULL)) {
		Dwarf_Addr base, start, end;
		ptrdiff_t at = 0;

		if (type != DW_UT_compile && type != DW_UT_skeleton)
			continue;
		while ((at = dwarf_ranges(&die, at, &base, &start, &end)) > 0) {
			if (start >= end || child->n == UNITS_MAX)
				continue;
			if (child->n == child->room) {
				size_t room = child->room ? child->room * 2 : 256;
				struct unit *units = realloc(child->units, room * sizeof(*units));

				if (!units)
					_exit(1);
				child->units = units;
				child->room = room;
			}
			child->units[child->n++] = (struct unit){start, end, dwarf_dieoffset(&die)};
		}
	}
	if (child->n)
		qsort(child->units, child->n, sizeof(*child->units), by_start);
}

static bool child__unit(const struct child *child, Dwarf_Addr addr, Dwarf_Die *out)
{
	size_t low = 0, high = child->n;

	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (child->units[middle].start <= addr)
			low = middle + 1;
		else
			high = middle;
	}
	/* Ranges of different units do not overlap, but for a few that a linker left at 0. */
	for (int i = 0; i < 8 && low; i++)
		if (addr < child->units[--low].end)
			return dwarf_offdie(child->dwarf, child->units[low].die, out) != NULL;
	return false;
}

static void child__string(struct child *child, const char *text, size_t max)
{
	size_t len = text ? strnlen(text, max) : 0;

	memcpy(child->out + child->len, text ? text : "", len);
	child->out[child->len + len] = '\0';
	child->len += len + 1;
}

static void child__frame(struct child *child, Dwarf_Die *function, const char *file, __u32 line)
{
	static const unsigned int linkage[] = {DW_AT_linkage_name, DW_AT_MIPS_linkage_name};
	const char *name = NULL;
	Dwarf_Attribute attr;
	int start = 0;

	for (int i = 0; i < 2 && !name; i++)
		if (dwarf_attr_integrate(function, linkage[i], &attr))
			name = dwarf_formstring(&attr);
	if (!name)
		name = dwarf_diename(function);
	if (dwarf_attr_integrate(function, DW_AT_decl_line, &attr)) {
		Dwarf_Word word;

		if (!dwarf_formudata(&attr, &word) && word <= INT32_MAX)
			start = word;
	}
	if (child->len + 8 + IMAGE_NAME_MAX + 4096 + 2 > ANSWER_MAX)
		return;
	memcpy(child->out + child->len, &line, 4);
	memcpy(child->out + child->len + 4, &(__u32){start}, 4);
	child->len += 8;
	child__string(child, name, IMAGE_NAME_MAX - 1);
	child__string(child, file, 4095);
	child->frames++;
}

static const char *called_from(Dwarf_Die *unit, Dwarf_Die *inlined, __u32 *line)
{
	Dwarf_Attribute attr;
	Dwarf_Files *files;
	Dwarf_Word number;
	size_t n;

	*line = 0;
	if (!dwarf_formudata(dwarf_attr(inlined, DW_AT_call_line, &attr), &number) &&
	    number <= INT32_MAX)
		*line = number;
	if (dwarf_formudata(dwarf_attr(inlined, DW_AT_call_file, &attr), &number) ||
	    dwarf_getsrcfiles(unit, &files, &n) || number >= n)
		return NULL;
	return dwarf_filesrc(files, number, NULL, NULL);
}

static void child__answer(struct child *child, Dwarf_Addr addr)
{
	Dwarf_Die unit, skeleton, split, *scopes = NULL, *chain = NULL;
	const char *file = NULL;
	Dwarf_Line *source;
	int line = 0, n;

	child->len = sizeof(struct answer_head);
	child->frames = 0;
	if (!child__unit(child, addr, &unit))
		return;
	skeleton = unit;
	/* Where split DWARF is not at hand the skeleton still has the lines. */
	if (!dwarf_cu_info(unit.cu, NULL, NULL, NULL, &split, NULL, NULL, NULL) && split.addr)
		unit = split;
	source = dwarf_getsrc_die(&skeleton, addr);
	if (source) {
		file = dwarf_linesrc(source, NULL, NULL);
		dwarf_lineno(source, &line);
	}
	n = dwarf_getscopes(&unit, addr, &scopes);
	if (n > 0)
		n = dwarf_getscopes_die(&scopes[0], &chain);
	for (int i = 0; i < n && child->frames < LINES_FRAMES_MAX; i++) {
		int tag = dwarf_tag(&chain[i]);
		__u32 from = line;

		if (tag != DW_TAG_inlined_subroutine && tag != DW_TAG_subprogram)
			continue;
		child__frame(child, &chain[i], file, from);
		if (tag == DW_TAG_subprogram)
			break;
		file = called_from(&unit, &chain[i], &from);
		line = from;
	}
	if (!child->frames && source) {
		memcpy(child->out + child->len, &(__u32){line}, 4);
		memset(child->out + child->len + 4, 0, 4);
		child->len += 8;
		child__string(child, NULL, 0);
		child__string(child, file, 4095);
		child->frames = 1;
	}
	free(scopes);
	free(chain);
}

#define CHILD_SOCKET 3
#define CHILD_DEBUG 4
#define CHILD_ALT 5

static void child__limit(int resource, __u64 most)
{
	setrlimit(resource, &(struct rlimit){most, most});
}

static void __attribute__((noreturn)) child__main(bool alt)
{
	struct child child = {0};
	struct answer_head head;
	Dwarf_Addr addr;
	Elf *elf;

	child__limit(RLIMIT_CORE, 0);
	child__limit(RLIMIT_CPU, CPU_SECONDS);
	child__limit(RLIMIT_FSIZE, 0);
	if (!SANITIZED)
		child__limit(RLIMIT_DATA, MEMORY_MAX);
	child.out = malloc(ANSWER_MAX);
	if (!child.out || confine() || elf_version(EV_CURRENT) == EV_NONE)
		_exit(1);
	/* Mapped: should the file shrink, SIGBUS hits no one else. */
	elf = elf_begin(CHILD_DEBUG, ELF_C_READ_MMAP, NULL);
	child.dwarf = elf ? dwarf_begin_elf(elf, DWARF_C_READ, NULL) : NULL;
	if (child.dwarf && alt) {
		Elf *alt_elf = elf_begin(CHILD_ALT, ELF_C_READ_MMAP, NULL);
		Dwarf *alt_dwarf = alt_elf ? dwarf_begin_elf(alt_elf, DWARF_C_READ, NULL) : NULL;

		if (alt_dwarf)
			dwarf_setalt(child.dwarf, alt_dwarf);
	}
	if (child.dwarf)
		child__index(&child);
	while (recv(CHILD_SOCKET, &addr, sizeof(addr), 0) == sizeof(addr)) {
		child.len = sizeof(head);
		child.frames = 0;
		if (child.dwarf)
			child__answer(&child, addr);
		head.n = child.frames;
		memcpy(child.out, &head, sizeof(head));
		if (send(CHILD_SOCKET, child.out, child.len, MSG_NOSIGNAL) < 0)
			break;
	}
	_exit(0);
}

static void child__enter(int sock, int debug, int alt)
{
	sigset_t none;
	int fds[3] = {sock, debug, alt};

	/* Only what is async-signal-safe until here and now: other threads may hold locks. */
	for (int sig = 1; sig < NSIG; sig++)
		signal(sig, SIG_DFL);
	signal(SIGINT, SIG_IGN); /* the parent's affair */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	/* Out of the way of the numbers they are to get. */
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			fds[i] = fcntl(fds[i], F_DUPFD, 16);
	for (int i = 0; i < 3; i++)
		if (fds[i] >= 0)
			dup2(fds[i], CHILD_SOCKET + i);
	close_range(fds[2] >= 0 ? CHILD_ALT + 1 : CHILD_DEBUG + 1, ~0U, 0);
	child__main(alt >= 0);
}

/* --- in the parent ----------------------------------------------------------- */

int lines__start(struct lines *lines, const struct image *debug, const struct image *alt)
{
	int sockets[2], err = -ENOMEM;
	pid_t pid;

	lines->answer = malloc(ANSWER_MAX + 1);
	if (!lines->answer)
		return err;
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, sockets)) {
		err = -errno;
		goto out;
	}
	pid = fork();
	if (!pid)
		child__enter(sockets[1], debug->fd, alt->fd);
	err = pid < 0 ? -errno : 0;
	close(sockets[1]);
	if (err) {
		close(sockets[0]);
		goto out;
	}
	lines->pid = pid;
	lines->fd = sockets[0];
	return 0;
out:
	free(lines->answer);
	*lines = (struct lines){0};
	return err;
}

void lines__stop(struct lines *lines)
{
	if (!lines->pid)
		return;
	close(lines->fd);
	kill(lines->pid, SIGKILL);
	while (waitpid(lines->pid, NULL, 0) < 0 && errno == EINTR)
		;
	free(lines->answer);
	*lines = (struct lines){0};
}

static __s64 now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000LL + now.tv_nsec / 1000000;
}

/* The child may be under somebody else's control: nothing in its answer is trusted. */
static int parse(char *bytes, size_t len, struct lines_frame *out, int max)
{
	struct answer_head head;
	char *at = bytes + sizeof(head), *end = bytes + len;
	int n = 0;

	if (len < sizeof(head))
		return -EPROTO;
	memcpy(&head, bytes, sizeof(head));
	*end = '\0'; /* there is room for it */
	for (; n < max && (__u32)n < head.n; n++) {
		if (end - at < 10)
			return -EPROTO;
		memcpy(&out[n].line, at, 4);
		memcpy(&out[n].start_line, at + 4, 4);
		out[n].name = at + 8;
		at += 8 + strlen(at + 8) + 1;
		if (at >= end)
			return -EPROTO;
		out[n].file = at;
		at += strlen(at) + 1;
	}
	return n;
}

int lines__ask(struct lines *lines, __u64 vaddr, struct lines_frame *out, int max)
{
	__s64 until = now_ms() + ANSWER_MS * (SANITIZED ? 4 : 1);
	ssize_t len;

	if (!lines->pid)
		return -ESRCH;
	if (send(lines->fd, &vaddr, sizeof(vaddr), MSG_NOSIGNAL) != sizeof(vaddr))
		goto dead;
	for (;;) {
		struct pollfd wait = {.fd = lines->fd, .events = POLLIN};
		__s64 left = until - now_ms();
		int n = poll(&wait, 1, left > 0 ? left : 0);

		if (n > 0)
			break;
		if (!n || errno != EINTR)
			goto dead;
	}
	len = recv(lines->fd, lines->answer, ANSWER_MAX, MSG_DONTWAIT);
	if (len > 0) {
		int n = parse(lines->answer, len, out, max);

		if (n >= 0)
			return n;
	}
dead:
	lines__stop(lines);
	return -ESRCH;
}
