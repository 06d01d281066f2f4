// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "tc.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

/* include/uapi/linux/bpf.h of 6.6; older headers lack them. */
#define TCX_INGRESS 46
#define TCX_EGRESS 47
#define MPROG_BEFORE (1U << 3)

#define LOOPBACK 1

bool tc__has_tcx(void)
{
	__u32 flags, n = 0;

	return !bpf_prog_query(LOOPBACK, TCX_EGRESS, 0, &flags, NULL, &n);
}

/* libbpf has bpf_program__attach_tcx() since 1.3; the system call is all it takes. */
static int link_tcx(unsigned int ifindex, bool egress, int prog)
{
	union bpf_attr attr;
	int link;

	memset(&attr, 0, sizeof(attr));
	attr.link_create.prog_fd = prog;
	attr.link_create.target_ifindex = ifindex;
	attr.link_create.attach_type = egress ? TCX_EGRESS : TCX_INGRESS;
	attr.link_create.flags = MPROG_BEFORE; /* of nothing in particular: first of all */
	link = syscall(__NR_bpf, BPF_LINK_CREATE, &attr, sizeof(attr));
	return link < 0 ? -errno : link;
}

/*
 * A filter is named by its priority and handle. The handle is ours ("otel"), so it is in
 * nobody's way; a priority may belong to another kind of filter, then the next one is tried.
 */
#define FILTER_HANDLE 0x6f74656c
#define PRIORITY_MAX 16

static struct bpf_tc_hook hook_of(unsigned int ifindex, bool egress)
{
	return (struct bpf_tc_hook){
		.sz = sizeof(struct bpf_tc_hook),
		.ifindex = ifindex,
		.attach_point = egress ? BPF_TC_EGRESS : BPF_TC_INGRESS,
	};
}

static int add_filter(unsigned int ifindex, bool egress, int prog)
{
	struct bpf_tc_hook hook = hook_of(ifindex, egress);
	int err = bpf_tc_hook_create(&hook);

	if (err && err != -EEXIST)
		return err;
	for (__u32 priority = 1; priority <= PRIORITY_MAX; priority++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .prog_fd = prog, .handle = FILTER_HANDLE,
			    .priority = priority);

		err = bpf_tc_attach(&hook, &opts);
		if (err != -EEXIST && err != -EINVAL && err != -EBUSY)
			break;
	}
	return err;
}

int tc__attach(struct netdev *netdev, bool egress, int prog)
{
	int err;

	netdev->way = NETDEV_TCX;
	if (tc__has_tcx())
		return link_tcx(netdev->index, egress, prog);
	netdev->way = egress ? NETDEV_CLSACT_EGRESS : NETDEV_CLSACT_INGRESS;
	err = netdev__remember(netdev, netdev->way, prog);
	if (err)
		return err;
	err = add_filter(netdev->index, egress, prog);
	if (err)
		netdev__take_back(netdev, netdev->way, prog);
	/* Of the modules sch_ingress and cls_bpf, as the kernel calls it. */
	if (err == -ENOENT)
		err = -EOPNOTSUPP;
	return err ? err : NETDEV_NO_LINK;
}

int tc__replace(unsigned int ifindex, bool egress, unsigned int prog_id, int prog)
{
	struct bpf_tc_hook hook = hook_of(ifindex, egress);

	for (__u32 priority = 1; priority <= PRIORITY_MAX; priority++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = priority);

		if (bpf_tc_query(&hook, &opts) || opts.prog_id != prog_id)
			continue;
		opts.prog_id = 0;
		opts.prog_fd = prog;
		opts.flags = BPF_TC_F_REPLACE;
		return bpf_tc_attach(&hook, &opts);
	}
	return -ENOENT;
}

/* No such filter, or it is of another kind, no qdisc, no interface. */
static bool is_none(int err)
{
	return err == -ENOENT || err == -EINVAL || err == -ENODEV || err == -EOPNOTSUPP;
}

/* The qdisc stays: somebody else may have put filters of his own on it meanwhile. */
int tc__detach(unsigned int ifindex, bool egress, unsigned int prog_id)
{
	struct bpf_tc_hook hook = hook_of(ifindex, egress);
	int err = 0;

	for (__u32 priority = 1; priority <= PRIORITY_MAX; priority++) {
		LIBBPF_OPTS(bpf_tc_opts, opts, .handle = FILTER_HANDLE, .priority = priority);
		int one = bpf_tc_query(&hook, &opts);

		if (!one && opts.prog_id == prog_id) {
			opts.prog_fd = opts.prog_id = opts.flags = 0;
			one = bpf_tc_detach(&hook, &opts);
		}
		err = one && !is_none(one) ? one : err;
	}
	return err;
}
