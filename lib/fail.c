// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "fail.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <unistd.h>

bool quiet;

/* Whether stderr is the service manager's journal, which takes a priority at the beginning of a
 * line: see sd-daemon(3). */
static bool is_journal(void)
{
	const char *stream = getenv("JOURNAL_STREAM");
	unsigned long long device, inode;
	struct stat st;

	return stream && sscanf(stream, "%llu:%llu", &device, &inode) == 2 &&
	       !fstat(STDERR_FILENO, &st) && st.st_dev == device && st.st_ino == inode;
}

static void say(int priority, const char *fmt, va_list args)
{
	char line[1024], prefix[8] = "";

	vsnprintf(line, sizeof(line), fmt, args);
	for (char *c = line; *c; c++)
		if ((unsigned char)*c < ' ' || *c == 0x7f)
			*c = '?';
	if (is_journal())
		snprintf(prefix, sizeof(prefix), "<%d>", priority);
	fprintf(stderr, "%s%s: %s\n", prefix, program_invocation_short_name, line);
}

int fail(enum exit_code code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(LOG_ERR, fmt, args);
	va_end(args);
	return code;
}

void warn(const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	say(LOG_WARNING, fmt, args);
	va_end(args);
}

void inform(const char *fmt, ...)
{
	va_list args;

	if (quiet)
		return;
	va_start(args, fmt);
	say(LOG_INFO, fmt, args);
	va_end(args);
}
