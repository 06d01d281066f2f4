// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* CPU time in C++: a member of a class template, a function template, an operator; see burn.h. */
#include "burn.h"

#include <map>

namespace burning
{
template <typename T, int N> struct Engine {
	BURN_FRAME static void run(long long *spent, const T &until)
	{
		burn__until(spent, until);
		BURN_NOT_LAST();
	}
};

template <typename T> BURN_FRAME void work(long long *spent, long long until, const T &)
{
	burn__until(spent, until);
	BURN_NOT_LAST();
}

struct Caller {
	BURN_FRAME void operator()(long long *spent, long long until)
	{
		burn__until(spent, until);
		BURN_NOT_LAST();
	}
};
} // namespace burning

static void member(long long *spent, long long until)
{
	burning::Engine<long long, 3>::run(spent, until);
	BURN_NOT_LAST();
}

static void function(long long *spent, long long until)
{
	burning::work(spent, until, std::map<int, long>());
	BURN_NOT_LAST();
}

static void call(long long *spent, long long until)
{
	burning::Caller()(spent, until);
	BURN_NOT_LAST();
}

int main(int argc, char **argv)
{
	static void (*const run[])(long long *, long long) = {member, function, call};
	static const char *const names[] = {
		"burning::Engine<long long, 3>::run(long long*, long long const&)",
		"void burning::work<std::map<int, long, std::less<int>, "
		"std::allocator<std::pair<int const, long> > > >(long long*, long long, "
		"std::map<int, long, std::less<int>, "
		"std::allocator<std::pair<int const, long> > > const&)",
		"burning::Caller::operator()(long long*, long long)"};

	return burn__main(argc, argv, run, names);
}
