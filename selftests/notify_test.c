// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What the exporter tells a service manager, and what the units permit. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fail.h"
#include "ktap.h"
#include "notify.h"

/* A manager's socket in the abstract namespace, which leaves no file behind. */
static int listen_as(const char *name)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);

	ASSERT_TRUE(fd >= 0);
	memcpy(address.sun_path + 1, name, strlen(name));
	ASSERT_EQ(bind(fd, (struct sockaddr *)&address, sizeof(sa_family_t) + 1 + strlen(name)), 0);
	return fd;
}

TEST(sends_a_datagram)
{
	char name[64], variable[65], said[64] = "";
	int fd;

	snprintf(name, sizeof(name), "otelbpf-notify-%d", getpid());
	snprintf(variable, sizeof(variable), "@%s", name);
	fd = listen_as(name);
	setenv("NOTIFY_SOCKET", variable, 1);
	EXPECT_EQ(notify__send("READY=1\nSTATUS=up"), 1);
	EXPECT_EQ(recv(fd, said, sizeof(said) - 1, 0), 17);
	EXPECT_STREQ(said, "READY=1\nSTATUS=up");
	close(fd);
	EXPECT_EQ(notify__send("READY=1"), -ECONNREFUSED);
}

TEST(without_a_manager)
{
	char longer[200];

	unsetenv("NOTIFY_SOCKET");
	EXPECT_EQ(notify__send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "", 1);
	EXPECT_EQ(notify__send("READY=1"), 0);
	setenv("NOTIFY_SOCKET", "vsock:2:1234", 1);
	EXPECT_EQ(notify__send("READY=1"), -EAFNOSUPPORT);
	memset(longer, 'x', sizeof(longer) - 1);
	longer[sizeof(longer) - 1] = '\0';
	longer[0] = '/';
	setenv("NOTIFY_SOCKET", longer, 1);
	EXPECT_EQ(notify__send("READY=1"), -ENAMETOOLONG);
}

/* A queue that nobody reads must not stop exports. */
TEST(does_not_wait)
{
	char name[64], variable[65];
	int fd, sent = 1;

	snprintf(name, sizeof(name), "otelbpf-full-%d", getpid());
	snprintf(variable, sizeof(variable), "@%s", name);
	fd = listen_as(name);
	setenv("NOTIFY_SOCKET", variable, 1);
	for (int i = 0; i < 100000 && sent == 1; i++)
		sent = notify__send("WATCHDOG=1");
	EXPECT_EQ(sent, -EAGAIN);
	close(fd);
}

TEST(watchdog)
{
	char pid[16];

	unsetenv("WATCHDOG_PID");
	unsetenv("WATCHDOG_USEC");
	EXPECT_EQ(notify__watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "2000000", 1);
	EXPECT_EQ(notify__watchdog_ns(), 1000000000);
	snprintf(pid, sizeof(pid), "%d", getpid());
	setenv("WATCHDOG_PID", pid, 1);
	EXPECT_EQ(notify__watchdog_ns(), 1000000000);
	setenv("WATCHDOG_PID", "1", 1);
	EXPECT_EQ(notify__watchdog_ns(), 0);
	unsetenv("WATCHDOG_PID");
	setenv("WATCHDOG_USEC", "many", 1);
	EXPECT_EQ(notify__watchdog_ns(), 0);
	setenv("WATCHDOG_USEC", "-5", 1);
	EXPECT_EQ(notify__watchdog_ns(), 0);
}

/* What of each kind is said when stderr is, or is not, what the manager says it is. */
static void say_all(bool journal, char *text, size_t size)
{
	int file = memfd_create("stderr", MFD_CLOEXEC), before = dup(STDERR_FILENO);
	char stream[64];
	struct stat st;
	ssize_t n;

	ASSERT_EQ(fstat(file, &st), 0);
	snprintf(stream, sizeof(stream), "%llu:%llu", (unsigned long long)st.st_dev,
		 (unsigned long long)st.st_ino + !journal);
	setenv("JOURNAL_STREAM", stream, 1);
	ASSERT_GE(dup2(file, STDERR_FILENO), 0);
	EXPECT_EQ(fail(EXIT_MAP, "a"), EXIT_MAP);
	warn("b");
	inform("c");
	ASSERT_GE(dup2(before, STDERR_FILENO), 0);
	n = pread(file, text, size - 1, 0);
	ASSERT_GE(n, 0);
	text[n] = '\0';
	close(file);
	close(before);
}

TEST(journal_has_priorities)
{
	char text[256];

	program_invocation_short_name = "x";
	say_all(true, text, sizeof(text));
	EXPECT_STREQ(text, "<3>x: a\n<4>x: b\n<6>x: c\n");
	say_all(false, text, sizeof(text));
	EXPECT_STREQ(text, "x: a\nx: b\nx: c\n");
}

/* Exposure of 2.0 at most, by systemd's own reckoning. */
TEST(exporter_unit_is_confined)
{
	char command[1024];

	if (system("command -v systemd-analyze >/dev/null && "
		   "systemd-analyze security --help | grep -q -- --offline"))
		SKIP("no systemd-analyze with --offline");
	snprintf(command, sizeof(command),
		 "set -e; dir=$(mktemp -d); trap 'rm -rf $dir' EXIT; "
		 "sed 's|@sbindir@|/usr/sbin|' %s/../packaging/systemd/otelbpf-exporter.service.in "
		 ">$dir/otelbpf-exporter.service; systemd-analyze security --no-pager "
		 "--offline=yes --threshold=20 $dir/otelbpf-exporter.service",
		 SELFTESTS_DIR);
	EXPECT_EQ(system(command), 0);
}

TEST_MAIN()
