/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Programs on USDT probes: places that a program of user space has marked itself, with arguments.
 *
 *	OTEL_TARGETS("malloc,provider:probe", "");
 *
 *	SEC("usdt") OTEL_USDT("provider:probe")
 *	int OTEL_UPROBE(probe) { ... otel_usdt__arg(ctx, otel_usdt__site(ctx), 0, &value) ... }
 *
 * For the loader a file that has all the USDT probes in OTEL_TARGETS() has no functions: what it
 * has to say it says by them. Functions of other files, which its processes call as well, are
 * for the programs to leave out: otel_usdt__carries().
 */
#ifndef OTELBPF_USDT_BPF_H
#define OTELBPF_USDT_BPF_H

#include "tags.h"
#include "uprobe.bpf.h"

/** OTEL_USDT - the USDT probe that a program is for: "PROVIDER:PROBE" */
#define OTEL_USDT(name) OTEL_TAG("functions|" name)

/* Where arguments are, by the cookie of the place's link. Written by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct otel_usdt_site);
} usdt_sites SEC(".maps");

/* Programs that have the probes. Written by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 1024);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct otel_usdt_carrier);
	__type(value, __u64);
} usdt_carriers SEC(".maps");

/** otel_usdt__carries - whether a task runs a program that has the probes */
static __noinline _Bool otel_usdt__carries(void)
{
	struct task_struct *task = bpf_get_current_task_btf();
	struct otel_usdt_carrier carrier = {};
	struct inode *inode = task->mm->exe_file->f_inode;

	/* Each of these may be missing: what cannot be read is 0. */
	carrier.inode = inode->i_ino;
	carrier.size = inode->i_size;
	return !!bpf_map_lookup_elem(&usdt_carriers, &carrier);
}

static __always_inline __u64 otel_usdt__register(struct pt_regs *ctx, __u16 offset)
{
	__u64 value = 0;

	bpf_probe_read_kernel(&value, sizeof(value), (char *)ctx + offset);
	return value;
}

/**
 * otel_usdt__arg - read an argument
 * @ctx:  of the program
 * @site: of otel_usdt__site()
 * @n:    which one, from 0
 * @arg:  filled
 *
 * Return: 0; or -errno: there is no such argument, or it cannot be read.
 */
static __noinline int otel_usdt__arg(struct pt_regs *ctx, const struct otel_usdt_site *site,
				     __u32 n, __u64 *arg)
{
	const struct otel_usdt_arg *from;
	__u64 value = 0, address;
	__u32 shift, size;
	int err = 0;

	if (!site || !arg || n >= OTEL_USDT_ARGS)
		return -22; /* EINVAL */
	from = &site->arg[n];
	size = from->size;
	if (size > sizeof(value))
		return -22;
	switch (from->kind) {
	case OTEL_USDT_CONSTANT:
		value = from->value;
		break;
	case OTEL_USDT_REGISTER:
		value = otel_usdt__register(ctx, from->base);
		break;
	case OTEL_USDT_MEMORY:
	case OTEL_USDT_INDEXED:
		address = otel_usdt__register(ctx, from->base) + from->value;
		if (from->kind == OTEL_USDT_INDEXED)
			address += otel_usdt__register(ctx, from->index) * from->scale;
		/* Of a smaller one the lower bytes: it is shifted below. */
		err = bpf_probe_read_user(&value, size, (void *)address);
		break;
	default:
		return -22;
	}
	shift = (64 - size * 8) & 63;
	value <<= shift;
	*arg = from->is_signed ? (__u64)((__s64)value >> shift) : value >> shift;
	return err;
}

/** otel_usdt__site - where the arguments are at the place where a program runs; NULL: not known */
static __always_inline struct otel_usdt_site *otel_usdt__site(struct pt_regs *ctx)
{
	__u64 cookie = bpf_get_attach_cookie(ctx);

	return bpf_map_lookup_elem(&usdt_sites, &cookie);
}

#endif
