// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What burn_dlopen opens: a library with CPU time in an exported and in a hidden function. */
#include "burn.h"

void library_work(long long *spent, long long until);
void library_more(long long *spent, long long until);

BURN_FRAME void library_work(long long *spent, long long until)
{
	burn__until(spent, until);
	BURN_NOT_LAST();
}

static BURN_FRAME void library_hidden(long long *spent, long long until)
{
	burn__until(spent, until);
	BURN_NOT_LAST();
}

BURN_FRAME void library_more(long long *spent, long long until)
{
	library_hidden(spent, until);
	BURN_NOT_LAST();
}
