// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "failure.h"

#include <bpf/libbpf.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KERNEL_ENOTSUPP 524 /* include/linux/errno.h, not for user space, yet it gets there */

int failed(struct failure *failure, enum exit_code code, const char *fmt, ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(failure->line, sizeof(failure->line), fmt, args);
	va_end(args);
	failure->code = code;
	return code;
}

const char *failure__reason(int err)
{
	static char text[128];

	err = abs(err);
	if (err == KERNEL_ENOTSUPP)
		return "not supported by this kernel";
	libbpf_strerror(err, text, sizeof(text)); /* knows libbpf's own numbers, too */
	return text;
}
