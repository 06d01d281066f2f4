// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* CPU time in C functions, two of them known to their file alone; see burn.h. */
#include "burn.h"

#ifdef BURN_VARIANT
/* Another build id. */
__attribute__((used)) static const char variant[] = BURN_VARIANT;
#endif

BURN_FRAME void c_global(long long *spent, long long until)
{
	burn__until(spent, until);
	BURN_NOT_LAST();
}

static BURN_FRAME void c_static(long long *spent, long long until)
{
	burn__until(spent, until);
	BURN_NOT_LAST();
}

static BURN_FRAME void c_static_too(long long *spent, long long until)
{
	burn__until(spent, until);
	BURN_NOT_LAST();
}

int main(int argc, char **argv)
{
	static void (*const run[])(long long *, long long) = {c_global, c_static, c_static_too};
	static const char *const names[] = {"c_global", "c_static", "c_static_too"};

	return burn__main(argc, argv, run, names);
}
