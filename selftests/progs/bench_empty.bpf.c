// SPDX-License-Identifier: GPL-2.0-only
/* The least that two programs at these tracepoints can cost: they do nothing. */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sys_enter")
int BPF_PROG(empty_enter, struct pt_regs *regs, long id)
{
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(empty_exit, struct pt_regs *regs, long ret)
{
	return 0;
}
