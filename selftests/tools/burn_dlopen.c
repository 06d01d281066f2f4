// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * CPU time in a library that is opened while running, and closed before the end; see burn.h.
 *
 *   burn_dlopen MILLISECONDS   with libburn.so beside it, or where $BURN_LIBRARY says. When
 *                              $BURN_WAIT is set, it waits for the end of its input before it
 *                              closes the library.
 */
#include <dlfcn.h>
#include <unistd.h>

#include "burn.h"

static void (*work)(long long *, long long), (*more)(long long *, long long);

static void call_work(long long *spent, long long until)
{
	work(spent, until);
	BURN_NOT_LAST();
}

static void call_more(long long *spent, long long until)
{
	more(spent, until);
	BURN_NOT_LAST();
}

static BURN_FRAME void own(long long *spent, long long until)
{
	burn__until(spent, until);
	BURN_NOT_LAST();
}

int main(int argc, char **argv)
{
	static void (*const run[])(long long *, long long) = {call_work, call_more, own};
	static const char *const names[] = {"library_work", "library_hidden", "own"};
	char path[4096], byte;
	const char *name = getenv("BURN_LIBRARY");
	ssize_t n = readlink("/proc/self/exe", path, sizeof(path) - 32);
	void *library;
	int status;

	if (n < 0)
		return 1;
	while (n && path[n - 1] != '/')
		n--;
	snprintf(path + n, sizeof(path) - n, "libburn.so");
	library = dlopen(name ? name : path, RTLD_NOW | RTLD_LOCAL);
	if (!library) {
		fprintf(stderr, "%s\n", dlerror());
		return 1;
	}
	*(void **)&work = dlsym(library, "library_work");
	*(void **)&more = dlsym(library, "library_more");
	if (!work || !more)
		return 1;
	status = burn__main(argc, argv, run, names);
	fflush(stdout);
	while (getenv("BURN_WAIT") && read(STDIN_FILENO, &byte, 1) > 0)
		;
	dlclose(library);
	return status;
}
