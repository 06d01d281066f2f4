// SPDX-License-Identifier: GPL-2.0-only
/* A good BPF object that knows nothing of otelbpf's headers. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "GPL";

SEC("tp_btf/sched_process_fork")
int bare_fork(void *ctx)
{
	return 0;
}
