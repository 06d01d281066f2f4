// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "duration.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NS 1000000000ULL
#define MOST_NS 1e18

bool duration__parse(const char *text, __u64 *ns)
{
	static const struct {
		const char *unit;
		double ns;
	} units[] = {{"ms", 1e6}, {"s", 1e9}, {"", 1e9}, {"m", 60e9}, {"h", 3600e9}};
	char *end;
	double v;

	/* strtod takes blanks, signs, "nan" and hexadecimal numbers, too. */
	if (text[strspn(text, "0123456789.")] == 'x' || !strchr("0123456789.", text[0]))
		return false;
	v = strtod(text, &end);
	for (size_t i = 0; end != text && i < sizeof(units) / sizeof(units[0]); i++)
		if (!strcmp(end, units[i].unit) && v * units[i].ns < MOST_NS) {
			*ns = v * units[i].ns;
			/* Less than a nanosecond is not meant to be no time at all. */
			return *ns || v == 0;
		}
	return false;
}

const char *duration__print(__u64 ns, char text[DURATION_TEXT])
{
	unsigned int s = ns / NS, days = s / 86400, hours = s / 3600 % 24, minutes = s / 60 % 60;

	if (days)
		snprintf(text, DURATION_TEXT, "%ud %uh", days, hours);
	else if (hours)
		snprintf(text, DURATION_TEXT, "%uh %um", hours, minutes);
	else if (minutes)
		snprintf(text, DURATION_TEXT, "%um %us", minutes, s % 60);
	else if (ns < NS)
		snprintf(text, DURATION_TEXT, "%llums", (unsigned long long)ns / 1000000);
	else if (s < 10 && ns % NS >= NS / 10)
		snprintf(text, DURATION_TEXT, "%.1fs", (double)(ns / 100000000) / 10);
	else
		snprintf(text, DURATION_TEXT, "%us", s);
	return text;
}
