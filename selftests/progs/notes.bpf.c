// SPDX-License-Identifier: GPL-2.0-only
/* A probe of the smallest kind whose events are log records: each getppid(2) is one. */
#include "vmlinux.h"

#include <otelbpf/event.bpf.h>
#include <otelbpf/otel.bpf.h>

#include "syscall_nr.h"

char LICENSE[] SEC("license") = "GPL";

OTEL_LOSSES(OTEL_EVENT_LOSSES);

struct note {
	struct otel_event event OTEL_EVENT;
	__s64 number OTEL_ATTR("test.number", number);
};
_Static_assert(sizeof(struct note) == 104, "note has a hole");

/* Written at each getppid. Read by the exporter. */
OTEL_EVENTS(notes, note, 65536, OTEL_LOG("test.getppid", 13, "Somebody asked for the parent"));

#if defined(__TARGET_ARCH_x86)
#define GETPPID NR_x86_64_getppid
#else
#define GETPPID NR_arm64_getppid
#endif

SEC("tp_btf/sys_enter")
int OTEL_PROG(asked, struct pt_regs *regs, long id)
{
	struct otel_trace context;
	struct note *note;

	if (!events || id != GETPPID || !otel_filter__pass())
		return 0;
	otel_trace__current(&context);
	note = otel_event__begin_log(notes, note, &context);
	if (note) {
		note->number = -7;
		otel_event__end(note);
	}
	return 0;
}
