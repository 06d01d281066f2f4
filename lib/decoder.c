// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "decoder.h"

#include <arpa/inet.h>
#include <bpf/btf.h>
#include <errno.h>
#include <net/if.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "syscall_names.h"

static __u64 load(const void *bytes, size_t size)
{
	__u64 v = 0;

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	memcpy(&v, bytes, size < sizeof(v) ? size : sizeof(v));
#else
	if (size <= sizeof(v))
		memcpy((char *)&v + sizeof(v) - size, bytes, size);
#endif
	return v;
}

static bool is_signed(const struct decoder_ctx *ctx)
{
	int id = ctx->btf ? btf__resolve_type(ctx->btf, ctx->type) : -1;
	const struct btf_type *type = id > 0 ? btf__type_by_id(ctx->btf, id) : NULL;

	return type && btf_is_int(type) && (btf_int_encoding(type) & BTF_INT_SIGNED);
}

static void put_number(struct decoded *out, __s64 number)
{
	out->kind = DECODED_NUMBER;
	out->number = number;
}

static void put_text(struct decoded *out, const char *text)
{
	out->kind = DECODED_STRING;
	out->text = text;
	out->len = strlen(text);
}

__attribute__((format(printf, 2, 3))) static void put_format(struct decoded *out, const char *fmt,
							     ...)
{
	va_list args;

	va_start(args, fmt);
	vsnprintf(out->buf, sizeof(out->buf), fmt, args);
	va_end(args);
	put_text(out, out->buf);
}

static void decode_number(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			  struct decoded *out)
{
	__s64 v = (__s64)load(bytes, size);
	int unused = 64 - 8 * (int)size;

	/* Sign extension of narrow signed members. */
	if (unused > 0 && is_signed(ctx))
		v = (__s64)((__u64)v << unused) >> unused;
	put_number(out, v);
}

static void decode_bool(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			struct decoded *out)
{
	(void)ctx;
	out->kind = DECODED_BOOL;
	out->number = !!load(bytes, size);
}

static int check_string(const struct decoder_ctx *ctx, size_t size, const char **why)
{
	(void)ctx;
	*why = "a string of 1 to 4096 bytes is expected";
	return size >= 1 && size <= 4096 ? 0 : -EINVAL;
}

static void decode_string(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			  struct decoded *out)
{
	(void)ctx;
	out->kind = DECODED_STRING;
	out->text = bytes;
	out->len = strnlen(bytes, size);
}

/* --- system calls -------------------------------------------------------- */

/* As in progs/syscall_abi.h: bit 31 marks a 32-bit caller; one number is for all others. */
#define SYSCALL_COMPAT (1U << 31)
#define SYSCALL_OTHER (SYSCALL_NAMES_MAX - 1)
#define OTHER_NAME "_OTHER"

#if defined(__x86_64__)
#define NATIVE_NAMES syscall_names_x86_64
#define COMPAT_NAMES syscall_names_i386
#define COMPAT_ABI "i386"
#elif defined(__aarch64__)
#define NATIVE_NAMES syscall_names_arm64
static const char *const no_names[SYSCALL_NAMES_MAX];
#define COMPAT_NAMES no_names
#define COMPAT_ABI "arm"
#else
#error "no system call names for this architecture"
#endif

static int check_u32(const struct decoder_ctx *ctx, size_t size, const char **why)
{
	(void)ctx;
	*why = "a member of 4 bytes is expected";
	return size == 4 ? 0 : -EINVAL;
}

static void decode_syscall(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			   struct decoded *out)
{
	__u32 nr = load(bytes, size), plain = nr & ~SYSCALL_COMPAT;
	const char *name = NULL;

	(void)ctx;
	if (plain == SYSCALL_OTHER)
		name = OTHER_NAME;
	else if (plain < SYSCALL_NAMES_MAX)
		name = nr & SYSCALL_COMPAT ? COMPAT_NAMES[plain] : NATIVE_NAMES[plain];
	if (name)
		put_text(out, name);
	else
		put_format(out, "syscall_%u", plain); /* newer than the build machine's headers */
}

static bool extra_syscall(const void *bytes, size_t size, const char **key, struct decoded *out)
{
	__u32 nr = load(bytes, size);

	if (!(nr & SYSCALL_COMPAT))
		return false;
	*key = "syscall.abi";
	put_text(out, COMPAT_ABI);
	return true;
}

static int encode_syscall(const char *name, __u64 *out, int max)
{
	unsigned int nr;
	char rest;
	int n = 0;

	if (max >= 2 && !strcmp(name, OTHER_NAME)) {
		out[n++] = SYSCALL_OTHER;
		out[n++] = SYSCALL_OTHER | SYSCALL_COMPAT;
	}
	for (__u32 i = 0; i < SYSCALL_NAMES_MAX; i++) {
		if (n < max && NATIVE_NAMES[i] && !strcmp(NATIVE_NAMES[i], name))
			out[n++] = i;
		if (n < max && COMPAT_NAMES[i] && !strcmp(COMPAT_NAMES[i], name))
			out[n++] = i | SYSCALL_COMPAT;
	}
	if (!n && max && sscanf(name, "syscall_%u%c", &nr, &rest) == 1 && nr < SYSCALL_NAMES_MAX)
		out[n++] = nr;
	return n;
}

static __u32 bit_syscall(__u64 nr)
{
	return (nr & (SYSCALL_NAMES_MAX - 1)) | (nr & SYSCALL_COMPAT ? SYSCALL_NAMES_MAX : 0);
}

/* --- names from elsewhere ------------------------------------------------- */

static void decode_errno(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			 struct decoded *out)
{
	__u64 number = load(bytes, size);
	const char *name = number < 4096 ? strerrorname_np((int)number) : NULL;

	(void)ctx;
	if (name)
		put_text(out, name);
	else
		put_format(out, "%llu", (unsigned long long)number);
}

static int encode_errno(const char *name, __u64 *out, int max)
{
	for (int i = 1; max && i < 4096; i++) {
		const char *has = strerrorname_np(i);

		if (has && !strcmp(has, name)) {
			out[0] = i;
			return 1;
		}
	}
	return 0;
}

static bool enum_name(const struct btf *btf, __u32 id, __u64 number, struct decoded *out)
{
	int resolved = btf__resolve_type(btf, id);
	const struct btf_type *type = resolved > 0 ? btf__type_by_id(btf, resolved) : NULL;
	const char *name = NULL;

	if (type && btf_is_enum(type)) {
		for (int i = 0; i < btf_vlen(type) && !name; i++)
			if ((__u32)btf_enum(type)[i].val == (__u32)number)
				name = btf__name_by_offset(btf, btf_enum(type)[i].name_off);
	} else if (type && btf_is_enum64(type)) {
		for (int i = 0; i < btf_vlen(type) && !name; i++)
			if (btf_enum64_value(&btf_enum64(type)[i]) == number)
				name = btf__name_by_offset(btf, btf_enum64(type)[i].name_off);
	}
	if (name)
		put_text(out, name);
	return name;
}

static int check_enum(const struct decoder_ctx *ctx, size_t size, const char **why)
{
	int id = ctx->btf ? btf__resolve_type(ctx->btf, ctx->type) : -1;
	const struct btf_type *type = id > 0 ? btf__type_by_id(ctx->btf, id) : NULL;

	(void)size;
	*why = "the member's type is no enum";
	return type && btf_is_any_enum(type) ? 0 : -EINVAL;
}

static void decode_enum(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			struct decoded *out)
{
	__u64 number = load(bytes, size);

	if (!enum_name(ctx->btf, ctx->type, number, out))
		put_format(out, "%llu", (unsigned long long)number);
}

static struct btf *vmlinux;

static void load_vmlinux(void)
{
	vmlinux = btf__load_vmlinux_btf();
}

static const struct btf *vmlinux_btf(void)
{
	static pthread_once_t once = PTHREAD_ONCE_INIT;

	pthread_once(&once, load_vmlinux);
	return vmlinux;
}

/* The kernel has 100,000 types and libbpf looks at one after the other: not for each point. */
static int kernel_type(const struct btf *btf, const char *name)
{
	static __thread struct {
		char name[64];
		int id;
	} cache[8];
	static __thread unsigned int next;
	int id;

	for (size_t i = 0; i < sizeof(cache) / sizeof(cache[0]); i++)
		if (!strcmp(cache[i].name, name))
			return cache[i].id;
	id = btf__find_by_name(btf, name);
	if (strlen(name) < sizeof(cache[0].name)) {
		unsigned int slot = next++ % (sizeof(cache) / sizeof(cache[0]));

		strcpy(cache[slot].name, name);
		cache[slot].id = id;
	}
	return id;
}

static int check_kenum(const struct decoder_ctx *ctx, size_t size, const char **why)
{
	if (size != 1 && size != 2 && size != 4 && size != 8)
		return -EINVAL;
	*why = "kenum wants the name of a kernel enum: kenum:TYPE";
	return ctx->arg[0] ? 0 : -EINVAL;
}

static void decode_kenum(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			 struct decoded *out)
{
	const struct btf *btf = vmlinux_btf();
	__u64 number = load(bytes, size);
	int id = btf ? kernel_type(btf, ctx->arg) : -1;

	/* A kernel without this enum still gives numbers. */
	if (id <= 0 || !enum_name(btf, id, number, out))
		put_format(out, "%llu", (unsigned long long)number);
}

static int check_ipaddr(const struct decoder_ctx *ctx, size_t size, const char **why)
{
	(void)ctx;
	*why = "an address of 4 or 16 bytes is expected";
	return size == 4 || size == 16 ? 0 : -EINVAL;
}

static void decode_ipaddr(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			  struct decoded *out)
{
	static const __u8 mapped[12] = {[10] = 0xff, [11] = 0xff};

	(void)ctx;
	if (size == 16 && !memcmp(bytes, mapped, sizeof(mapped))) {
		bytes = (const char *)bytes + sizeof(mapped);
		size = 4;
	}
	if (!inet_ntop(size == 4 ? AF_INET : AF_INET6, bytes, out->buf, sizeof(out->buf)))
		out->buf[0] = '\0';
	put_text(out, out->buf);
}

static void decode_ifindex(const struct decoder_ctx *ctx, const void *bytes, size_t size,
			   struct decoded *out)
{
	unsigned int index = load(bytes, size);

	(void)ctx;
	/* No interface has the number 0: a program says so of one that is not to be told. */
	if (!index)
		put_text(out, "_OTHER");
	else if (if_indextoname(index, out->buf))
		put_text(out, out->buf);
	else
		put_format(out, "if%u", index);
}

static int check_cgroup(const struct decoder_ctx *ctx, size_t size, const char **why)
{
	(void)ctx;
	*why = "a cgroup id of 8 bytes is expected";
	return size == 8 ? 0 : -EINVAL;
}

/* Sorted by name. As a resource, a cgroup is resolved by exporter/resource.c. */
static const struct decoder decoders[] = {
	{.name = "bool", .decode = decode_bool},
	{.name = "cgroup", .check = check_cgroup, .decode = decode_number},
	{.name = "comm", .check = check_string, .decode = decode_string},
	{.name = "enum", .check = check_enum, .decode = decode_enum},
	{.name = "errno", .decode = decode_errno, .encode = encode_errno},
	{.name = "ifindex", .check = check_u32, .decode = decode_ifindex},
	{.name = "ipaddr", .check = check_ipaddr, .decode = decode_ipaddr},
	{.name = "kenum", .check = check_kenum, .decode = decode_kenum},
	{.name = "number", .decode = decode_number},
	{.name = "pid", .decode = decode_number},
	{.name = "port", .decode = decode_number},
	{.name = "string", .check = check_string, .decode = decode_string},
	{.name = "syscall",
	 .check = check_u32,
	 .decode = decode_syscall,
	 .encode = encode_syscall,
	 .bit = bit_syscall,
	 .extra = extra_syscall},
	{.name = "uid", .decode = decode_number},
};

const struct decoder *decoder__nth(int n)
{
	if (n < 0 || (size_t)n >= sizeof(decoders) / sizeof(decoders[0]))
		return NULL;
	return &decoders[n];
}

const struct decoder *decoder__find(const char *spec, const char **arg)
{
	size_t len = strcspn(spec, ":");
	const struct decoder *decoder;

	*arg = spec[len] ? spec + len + 1 : "";
	for (int i = 0; (decoder = decoder__nth(i)); i++)
		if (strlen(decoder->name) == len && !strncmp(decoder->name, spec, len))
			return decoder;
	return NULL;
}
