// SPDX-License-Identifier: GPL-2.0-only
/* The least that a measurement of time can cost: two programs that read the clock. */
#include "vmlinux.h"

#include <otelbpf/otel.bpf.h>

char LICENSE[] SEC("license") = "GPL";

volatile __u64 entered, left;

SEC("tp_btf/sys_enter")
int BPF_PROG(clock_enter, struct pt_regs *regs, long id)
{
	entered = bpf_ktime_get_ns();
	return 0;
}

SEC("tp_btf/sys_exit")
int BPF_PROG(clock_exit, struct pt_regs *regs, long ret)
{
	left = bpf_ktime_get_ns();
	return 0;
}
