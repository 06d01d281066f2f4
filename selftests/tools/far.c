// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * CPU time spent in a shared library that no other process maps.
 *
 *   far LIBRARY MILLISECONDS
 *
 * Built twice: with -DLIBRARY it is that library.
 */
#include <time.h>

#ifdef LIBRARY
void far_burn(long ms)
{
	struct timespec time;

	do {
		for (int i = 0; i < 200000; i++)
			__asm__ volatile("" ::"r"(i));
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
	} while (time.tv_sec * 1000 + time.tv_nsec / 1000000 < ms);
}
#else
#include <dlfcn.h>
#include <stdio.h>
#include <stdlib.h>

int main(int argc, char **argv)
{
	void *library = argc == 3 ? dlopen(argv[1], RTLD_NOW) : NULL;
	void (*burn)(long ms);

	if (!library) {
		fprintf(stderr, "far: %s\n", argc == 3 ? dlerror() : "LIBRARY MILLISECONDS");
		return 2;
	}
	*(void **)&burn = dlsym(library, "far_burn");
	burn(atol(argv[2]));
	return 0;
}
#endif
