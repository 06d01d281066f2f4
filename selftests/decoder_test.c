// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* From bytes of a key to what a person reads, and back. */
#include <bpf/btf.h>
#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "btf_map.h"
#include "decoder.h"
#include "ktap.h"
#include "syscall_names.h"

#define COMPAT (1U << 31)

static const struct decoder *find(const char *spec)
{
	const struct decoder *decoder;
	const char *arg;

	decoder = decoder__find(spec, &arg);
	ASSERT_TRUE(decoder);
	return decoder;
}

/* What @spec makes of @size bytes; valid until the next call. Numbers are written "#1". */
static const char *decode_as(const char *spec, const struct btf *btf, __u32 type, const void *bytes,
			     size_t size)
{
	struct decoder_ctx ctx = {.btf = btf, .type = type};
	const struct decoder *decoder = decoder__find(spec, &ctx.arg);
	static char text[8192];
	struct decoded value;
	void *exact = malloc(size ? size : 1); /* so that ASan sees each byte too many */

	ASSERT_TRUE(decoder);
	ASSERT_TRUE(exact);
	memcpy(exact, bytes, size);
	memset(&value, '#', sizeof(value));
	decoder->decode(&ctx, exact, size, &value);
	switch (value.kind) {
	case DECODED_STRING:
		ASSERT_LT(value.len, sizeof(text));
		memcpy(text, value.text, value.len);
		text[value.len] = '\0';
		break;
	case DECODED_NUMBER:
		snprintf(text, sizeof(text), "#%lld", (long long)value.number);
		break;
	case DECODED_BOOL:
		snprintf(text, sizeof(text), "#%s", value.number ? "true" : "false");
		break;
	default:
		snprintf(text, sizeof(text), "(none)");
	}
	free(exact);
	return text;
}

static const char *decode(const char *spec, __u64 number, size_t size)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
	number <<= 64 - 8 * size;
#endif
	return decode_as(spec, NULL, 0, &number, size);
}

/* The decoder's check of a member without BTF. */
static int check(const char *spec, size_t size, const char **why)
{
	struct decoder_ctx ctx = {0};
	const struct decoder *decoder = decoder__find(spec, &ctx.arg);

	*why = "";
	ASSERT_TRUE(decoder && decoder->check);
	return decoder->check(&ctx, size, why);
}

/* --- finding -------------------------------------------------------------- */

TEST(names)
{
	const struct decoder *decoder, *before = NULL;
	const char *arg;
	int n = 0;

	for (; (decoder = decoder__nth(n)); n++) {
		EXPECT_TRUE(decoder->decode);
		EXPECT_EQ(decoder__find(decoder->name, &arg), decoder);
		EXPECT_STREQ(arg, "");
		if (before)
			EXPECT_LT(strcmp(before->name, decoder->name), 0);
		before = decoder;
	}
	EXPECT_GT(n, 10);
	EXPECT_FALSE(decoder__nth(-1));
	EXPECT_FALSE(decoder__nth(n + 1));
	EXPECT_EQ(decoder__find("kenum:skb_drop_reason", &arg), find("kenum"));
	EXPECT_STREQ(arg, "skb_drop_reason");
	EXPECT_EQ(decoder__find("kenum:a:b", &arg), find("kenum"));
	EXPECT_STREQ(arg, "a:b");
	EXPECT_EQ(decoder__find("kenum:", &arg), find("kenum"));
	EXPECT_STREQ(arg, "");
	EXPECT_FALSE(decoder__find("", &arg));
	EXPECT_FALSE(decoder__find(":", &arg));
	EXPECT_FALSE(decoder__find("num", &arg));
	EXPECT_FALSE(decoder__find("numbers", &arg));
	EXPECT_FALSE(decoder__find("NUMBER", &arg));
}

TEST(sizes)
{
	static const struct {
		const char *spec;
		size_t size;
		bool good;
	} table[] = {
		{"string", 0, false},	{"string", 1, true},
		{"string", 4096, true}, {"string", 4097, false},
		{"comm", 16, true},	{"syscall", 4, true},
		{"syscall", 8, false},	{"ifindex", 4, true},
		{"ifindex", 2, false},	{"ipaddr", 4, true},
		{"ipaddr", 16, true},	{"ipaddr", 8, false},
		{"cgroup", 8, true},	{"cgroup", 4, false},
		{"enum", 4, false}, /* without a type */
		{"kenum:x", 1, true},	{"kenum:x", 8, true},
		{"kenum:x", 3, false},	{"kenum:x", 16, false},
		{"kenum:", 4, false},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
		const char *why;

		EXPECT_EQ(check(table[i].spec, table[i].size, &why), table[i].good ? 0 : -EINVAL);
	}
}

/* --- numbers -------------------------------------------------------------- */

static const char *decode_signed(const struct btf_map *map, int type, __s64 number, size_t size)
{
	return decode_as("number", map->btf, type, &number, size);
}

TEST(numbers)
{
	struct btf_map map;
	int types[4];

	EXPECT_STREQ(decode("number", 255, 1), "#255");
	EXPECT_STREQ(decode("number", 65535, 2), "#65535");
	EXPECT_STREQ(decode("number", ~0U, 4), "#4294967295");
	EXPECT_STREQ(decode("number", 1ULL << 40, 8), "#1099511627776");
	EXPECT_STREQ(decode("pid", 77, 4), "#77");
	EXPECT_STREQ(decode("uid", ~0U, 4), "#4294967295");
	EXPECT_STREQ(decode("port", 443, 2), "#443");
	EXPECT_STREQ(decode("cgroup", 12345, 8), "#12345");
	EXPECT_STREQ(decode("bool", 0, 1), "#false");
	EXPECT_STREQ(decode("bool", 2, 1), "#true");
	EXPECT_STREQ(decode("bool", 256, 4), "#true");

	btf_map__begin(&map);
	for (int i = 0; i < 4; i++) {
		char name[8];

		snprintf(name, sizeof(name), "s%d", 8 << i);
		types[i] = btf__add_int(map.btf, name, 1 << i, BTF_INT_SIGNED);
		ASSERT_GT(types[i], 0);
	}
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
	for (int i = 0; i < 4; i++) {
		EXPECT_STREQ(decode_signed(&map, types[i], -1, 1 << i), "#-1");
		EXPECT_STREQ(decode_signed(&map, types[i], 100, 1 << i), "#100");
		EXPECT_STREQ(decode_signed(&map, types[i], -128, 1 << i), "#-128");
	}
#endif
	/* Through a typedef, and of a type that is not there. */
	types[0] = btf__add_typedef(map.btf, "alias", types[2]);
	EXPECT_STREQ(decode_signed(&map, types[0], -5, 4), "#-5");
	EXPECT_STREQ(decode_signed(&map, 1000, -5, 4), "#4294967291");
	btf_map__free(&map);
}

/* --- strings -------------------------------------------------------------- */

TEST(strings)
{
	char page[4096];

	EXPECT_STREQ(decode_as("comm", NULL, 0, "bash\0\0\0\0\0\0\0\0\0\0\0", 16), "bash");
	EXPECT_STREQ(decode_as("comm", NULL, 0, "bash\0rest of it", 16), "bash");
	EXPECT_STREQ(decode_as("comm", NULL, 0, "sixteen_letters!", 16), "sixteen_letters!");
	EXPECT_STREQ(decode_as("string", NULL, 0, "x", 1), "x");
	EXPECT_STREQ(decode_as("string", NULL, 0, "", 1), "");
	EXPECT_STREQ(decode_as("string", NULL, 0, "\xff\x01\n\x80", 4), "\xff\x01\n\x80");
	memset(page, 'p', sizeof(page));
	EXPECT_EQ(strlen(decode_as("string", NULL, 0, page, sizeof(page))), sizeof(page));
}

/* --- system calls --------------------------------------------------------- */

/* The name and, behind a blank, the extra attribute. */
static const char *syscall_name(__u32 nr)
{
	static char text[256];
	const char *key = NULL;
	struct decoded extra;

	snprintf(text, sizeof(text), "%s", decode("syscall", nr, 4));
	if (find("syscall")->extra(&nr, 4, &key, &extra)) {
		size_t len = strlen(text);

		EXPECT_STREQ(key, "syscall.abi");
		EXPECT_EQ(extra.kind, DECODED_STRING);
		snprintf(text + len, sizeof(text) - len, " %.*s", (int)extra.len, extra.text);
	}
	return text;
}

TEST(syscall_names_of_this_machine)
{
#ifdef __x86_64__
	EXPECT_STREQ(syscall_name(0), "read");
	EXPECT_STREQ(syscall_name(110), "getppid");
	EXPECT_STREQ(syscall_name(257), "openat");
	EXPECT_STREQ(syscall_name(COMPAT | 3), "read i386");
	EXPECT_STREQ(syscall_name(COMPAT | 64), "getppid i386");
	EXPECT_STREQ(syscall_name(COMPAT | 0), "restart_syscall i386");
	EXPECT_STREQ(syscall_name(COMPAT | 1022), "syscall_1022 i386");
	EXPECT_STREQ(syscall_name(COMPAT | 1023), "_OTHER i386");
#else
	EXPECT_STREQ(syscall_name(63), "read");
	EXPECT_STREQ(syscall_name(173), "getppid");
	EXPECT_STREQ(syscall_name(COMPAT | 3), "syscall_3 arm");
#endif
	EXPECT_STREQ(syscall_name(1022), "syscall_1022");
	EXPECT_STREQ(syscall_name(1023), "_OTHER");
	EXPECT_STREQ(syscall_name(1024), "syscall_1024");
	EXPECT_STREQ(decode("syscall", ~0U, 4), "syscall_2147483647");
}

TEST(syscall_tables)
{
#ifdef __x86_64__ /* their headers are on x86 only */
	EXPECT_STREQ(syscall_names_x86_64[0], "read");
	EXPECT_STREQ(syscall_names_x86_64[59], "execve");
	EXPECT_STREQ(syscall_names_x86_64[110], "getppid");
	EXPECT_STREQ(syscall_names_x86_64[334], "rseq");
	EXPECT_STREQ(syscall_names_x86_64[435], "clone3");
	EXPECT_STREQ(syscall_names_i386[1], "exit");
	EXPECT_STREQ(syscall_names_i386[64], "getppid");
	EXPECT_STREQ(syscall_names_i386[102], "socketcall");
#endif
	EXPECT_STREQ(syscall_names_arm64[56], "openat");
	EXPECT_STREQ(syscall_names_arm64[63], "read");
	EXPECT_STREQ(syscall_names_arm64[173], "getppid");
	EXPECT_STREQ(syscall_names_arm64[220], "clone");
	EXPECT_STREQ(syscall_names_arm64[221], "execve");
	EXPECT_STREQ(syscall_names_arm64[435], "clone3");
	/* Those that have one name for 32 and another for 64 bits. */
	EXPECT_STREQ(syscall_names_arm64[25], "fcntl");
	EXPECT_STREQ(syscall_names_arm64[62], "lseek");
	EXPECT_STREQ(syscall_names_arm64[79], "newfstatat");
	EXPECT_STREQ(syscall_names_arm64[222], "mmap");
	EXPECT_FALSE(syscall_names_arm64[244]); /* arch_specific_syscall: a range, not a call */
}

/* Each name there is leads back to its number, and each number has a bit of its own. */
TEST(syscall_round_trip)
{
	const struct decoder *decoder = find("syscall");
	bool taken[2 * SYSCALL_NAMES_MAX] = {0};
	int named = 0;

	for (__u32 abi = 0; abi < 2; abi++)
		for (__u32 plain = 0; plain < SYSCALL_NAMES_MAX; plain++) {
			__u32 nr = plain | (abi ? COMPAT : 0), bit = decoder->bit(nr);
			char name[128];
			__u64 numbers[4];
			bool found = false;
			int n;

			ASSERT_LT(bit, 2 * SYSCALL_NAMES_MAX);
			ASSERT_FALSE(taken[bit]);
			taken[bit] = true;
			snprintf(name, sizeof(name), "%s", decode("syscall", nr, 4));
			if (!strncmp(name, "syscall_", 8) && abi)
				continue; /* stands for the native one */
			named += strncmp(name, "syscall_", 8) != 0;
			n = decoder->encode(name, numbers, 4);
			ASSERT_GE(n, 1);
			for (int i = 0; i < n; i++)
				found |= numbers[i] == nr;
			if (!found)
				printf("%s\n", name);
			EXPECT_TRUE(found);
		}
	EXPECT_GT(named, 300);
}

TEST(syscall_encode)
{
	const struct decoder *decoder = find("syscall");
	__u64 numbers[4] = {0};

#ifdef __x86_64__
	int native;

	ASSERT_EQ(decoder->encode("getppid", numbers, 4), 2);
	native = numbers[0] & COMPAT ? 1 : 0;
	EXPECT_EQ(numbers[native], 110);
	EXPECT_EQ(numbers[!native], 64 | COMPAT);
	EXPECT_EQ(decoder->bit(numbers[native]), 110);
	EXPECT_EQ(decoder->bit(numbers[!native]), SYSCALL_NAMES_MAX + 64);
	ASSERT_EQ(decoder->encode("socketcall", numbers, 4), 1);
	EXPECT_EQ(numbers[0], 102 | COMPAT);
	EXPECT_EQ(decoder->encode("getppid", numbers, 1), 1);
#endif
	ASSERT_EQ(decoder->encode("syscall_1000", numbers, 4), 1);
	EXPECT_EQ(numbers[0], 1000);
	numbers[0] = 7;
	EXPECT_EQ(decoder->encode("getppid", numbers, 0), 0);
	EXPECT_EQ(decoder->encode("syscall_1000", numbers, 0), 0);
	EXPECT_EQ(decoder->encode("", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("no_such_call", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("getppid ", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("GETPPID", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("syscall_", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("syscall_1024", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("syscall_-1", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("syscall_1x", numbers, 4), 0);
	EXPECT_EQ(decoder->encode("110", numbers, 4), 0);
	EXPECT_EQ(numbers[0], 7);
}

/* --- errors --------------------------------------------------------------- */

TEST(errors)
{
	const struct decoder *decoder = find("errno");
	__u64 number;

	EXPECT_STREQ(decode("errno", ENOENT, 4), "ENOENT");
	EXPECT_STREQ(decode("errno", EPERM, 1), "EPERM");
	EXPECT_STREQ(decode("errno", EAGAIN, 8), "EAGAIN");
	EXPECT_STREQ(decode("errno", EHWPOISON, 2), "EHWPOISON");
	EXPECT_STREQ(decode("errno", 0, 4), "0");
	EXPECT_STREQ(decode("errno", 512, 4), "512"); /* ERESTARTSYS: the kernel's own */
	EXPECT_STREQ(decode("errno", 4095, 4), "4095");
	EXPECT_STREQ(decode("errno", 4096, 4), "4096");
	EXPECT_STREQ(decode("errno", ~0ULL, 8), "18446744073709551615");
	for (int e = 1; e <= EHWPOISON; e++) {
		char name[32];

		snprintf(name, sizeof(name), "%s", decode("errno", e, 4));
		if (name[0] != 'E')
			continue; /* 41 and 58 are no errors */
		EXPECT_EQ(decoder->encode(name, &number, 1), 1);
		EXPECT_EQ(number, e);
	}
	EXPECT_EQ(decoder->encode("ENOENT", &number, 0), 0);
	EXPECT_EQ(decoder->encode("ENOTHING", &number, 1), 0);
	EXPECT_EQ(decoder->encode("", &number, 1), 0);
}

/* --- the network ---------------------------------------------------------- */

TEST(addresses)
{
	static const struct {
		const char *bytes;
		size_t size;
		const char *text;
	} table[] = {
		{"\x7f\0\0\1", 4, "127.0.0.1"},
		{"\xff\xff\xff\xff", 4, "255.255.255.255"},
		{"\0\0\0\0", 4, "0.0.0.0"},
		{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\1", 16, "::1"},
		{"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0", 16, "::"},
		{"\0\0\0\0\0\0\0\0\0\0\xff\xff\x0a\1\2\3", 16, "10.1.2.3"}, /* v4-mapped */
		{"\0\0\0\0\0\0\0\0\0\0\xff\xfe\x0a\1\2\3", 16, "::fffe:a01:203"},
		{"\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x2a", 16, "2001:db8::2a"},
		{"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff", 16,
		 "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff"},
	};

	for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++)
		EXPECT_STREQ(decode_as("ipaddr", NULL, 0, table[i].bytes, table[i].size),
			     table[i].text);
}

TEST(interfaces)
{
	unsigned int lo = if_nametoindex("lo");

	EXPECT_STREQ(decode("ifindex", 0, 4), "_OTHER");
	EXPECT_STREQ(decode("ifindex", ~0U, 4), "if4294967295");
	if (!lo)
		SKIP("no interface lo");
	EXPECT_STREQ(decode("ifindex", lo, 4), "lo");
}

/* --- enums ---------------------------------------------------------------- */

TEST(enums)
{
	static const struct btf_field fields[] = {{"a", "enum", {}},
						  {"b", "const enum64", {}},
						  {"c", "typedef enum", {}},
						  {"d", "u32", {}},
						  {}};
	__u32 types[4];
	struct btf_map map;
	const char *why;

	btf_map__init(&map, fields, fields, NULL);
	for (int i = 0; i < 4; i++) {
		const struct btf_type *key = btf__type_by_id(map.btf, map.info.btf_key_type_id);
		struct decoder_ctx ctx = {.btf = map.btf};

		types[i] = ctx.type = btf_members(key)[i].type;
		EXPECT_EQ(find("enum")->check(&ctx, 4, &why), i < 3 ? 0 : -EINVAL);
	}
	EXPECT_STREQ(decode_as("enum", map.btf, types[0], &(__u32){0}, 4), "RED");
	EXPECT_STREQ(decode_as("enum", map.btf, types[0], &(__u32){7}, 4), "GREEN");
	EXPECT_STREQ(decode_as("enum", map.btf, types[0], &(__s32){-1}, 4), "BLUE");
	EXPECT_STREQ(decode_as("enum", map.btf, types[0], &(__u32){8}, 4), "8");
	EXPECT_STREQ(decode_as("enum", map.btf, types[2], &(__u32){7}, 4), "GREEN");
	EXPECT_STREQ(decode_as("enum", map.btf, types[1], &(__u64){1}, 8), "NEAR");
	EXPECT_STREQ(decode_as("enum", map.btf, types[1], &(__u64){1ULL << 40}, 8), "FAR");
	EXPECT_STREQ(decode_as("enum", map.btf, types[1], &(__u64){~0ULL}, 8),
		     "18446744073709551615");
	/* No such type: a number still. */
	EXPECT_STREQ(decode_as("enum", map.btf, 1000, &(__u32){7}, 4), "7");
	EXPECT_STREQ(decode_as("enum", map.btf, 0, &(__u32){7}, 4), "7");
	btf_map__free(&map);
}

TEST(kernel_enums)
{
	/* One that each kernel since 6.1 has, whose numbers are user space's too. */
	struct btf *btf = btf__load_vmlinux_btf();
	char name[64];

	EXPECT_STREQ(decode("kenum:no_such_enum_anywhere", 3, 4), "3");
	EXPECT_STREQ(decode("kenum:task_struct", 3, 4), "3"); /* a struct */
	EXPECT_STREQ(decode("kenum:", 3, 4), "3");
	if (!btf)
		SKIP("this kernel has no BTF");
	btf__free(btf);
	EXPECT_STREQ(decode("kenum:bpf_map_type", BPF_MAP_TYPE_HASH, 4), "BPF_MAP_TYPE_HASH");
	EXPECT_STREQ(decode("kenum:bpf_map_type", BPF_MAP_TYPE_RINGBUF, 1), "BPF_MAP_TYPE_RINGBUF");
	EXPECT_STREQ(decode("kenum:bpf_map_type", 100000, 4), "100000");
	/* More enums than the decoder remembers, twice. */
	for (int i = 0; i < 40; i++) {
		snprintf(name, sizeof(name), "kenum:no_such_enum_%d", i % 20);
		EXPECT_STREQ(decode(name, 7, 4), "7");
		EXPECT_STREQ(decode("kenum:bpf_map_type", BPF_MAP_TYPE_ARRAY, 8),
			     "BPF_MAP_TYPE_ARRAY");
	}
}

/* --- hostile bytes -------------------------------------------------------- */

TEST(any_bytes)
{
	static const size_t sizes[] = {1, 2, 4, 8, 16, 31, 127, 128, 129, 4096};
	static const struct btf_field fields[] = {{"a", "enum", {}}, {}};
	const struct decoder *decoder;
	__u64 seed = 5;
	__u8 bytes[4096];
	struct btf_map map;
	__u32 type;

	btf_map__init(&map, fields, fields, NULL);
	type = btf_members(btf__type_by_id(map.btf, map.info.btf_key_type_id))[0].type;
	for (int round = 0; round < 300; round++) {
		for (size_t i = 0; i < sizeof(bytes); i++) {
			seed = seed * 6364136223846793005ULL + 1442695040888963407ULL;
			bytes[i] = round == 0 ? 0 : round == 1 ? 0xff : seed >> 56;
		}
		for (int d = 0; (decoder = decoder__nth(d)); d++)
			for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
				struct decoder_ctx ctx = {map.btf, type, "no_such_enum"};
				const char *why;

				/* Only what a plan would let pass. */
				if (decoder->check ? decoder->check(&ctx, sizes[s], &why)
						   : sizes[s] > 8)
					continue;
				decode_as(decoder->name, map.btf, type, bytes, sizes[s]);
			}
	}
	btf_map__free(&map);
}

TEST_MAIN()
