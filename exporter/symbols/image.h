/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Reading ELF files that nobody vouches for.
 *
 * Everything is read with pread() into memory of our own: a mapped file that somebody
 * truncates would kill us. Every count is bounded before anything is allocated.
 */
#ifndef OTELBPF_SYMBOLS_IMAGE_H
#define OTELBPF_SYMBOLS_IMAGE_H

#include "symbols/symbols.h"

#define IMAGE_SEGMENTS_MAX 16
#define IMAGE_SYMBOLS_MAX (1 << 20)
#define IMAGE_NAME_MAX 8192
#define IMAGE_SOURCES 2

/**
 * struct image - an ELF file, open or in memory
 * @fd:   -1: in memory, or nothing at all
 * @mem:  its bytes when in memory
 * @size: in bytes
 * @dev: @ino: @mtime_ns: which file it was
 */
struct image {
	int fd;
	const void *mem;
	__u64 size;
	__u64 dev, ino, mtime_ns;
};
#define IMAGE_NONE ((struct image){.fd = -1})

/** struct image_range - a part of a file; size 0: there is none */
struct image_range {
	__u64 offset, size;
};

/** struct image_symtab - a symbol table and the strings that belong to it */
struct image_symtab {
	struct image_range symbols, strings;
};

/**
 * struct image_info - what the headers say
 * @go_build_id: what Go's linker noted, "" when it did not; not with only_id
 * @segments: executable PT_LOADs, to turn file offsets into addresses
 * @text:     executable sections by address, where symbols without a size end
 */
struct image_info {
	bool is64;
	__u16 machine;
	__u8 build_id[BUILD_ID_SIZE];
	__u8 build_id_len;
	char go_build_id[GO_BUILD_ID_SIZE];
	struct {
		__u64 offset, size, vaddr;
	} segments[IMAGE_SEGMENTS_MAX];
	int n_segments;
	struct {
		__u64 start, end;
	} text[IMAGE_SEGMENTS_MAX];
	int n_text;
	struct image_symtab symtab, dynsym;
	struct image_range debugdata, debugaltlink;
	bool has_dwarf;
	char debuglink[256];
	__u32 debuglink_crc;
};

/** struct image_table - functions sorted by address, in 12 bytes each */
struct image_table {
	struct image_entry {
		__u32 start; /* above base */
		__u32 size;
		__u32 name; /* top bit: which source; else offset in its strings */
	} * entries;
	size_t n;
	__u64 base;
};

/** image__read - exactly @len bytes. Return: 0 or -EIO. */
int image__read(const struct image *image, __u64 offset, void *buf, size_t len);

/** image__open - take over an open regular file; @fd is closed on failure */
int image__open(struct image *image, int fd);
void image__close(struct image *image);

/**
 * image__parse - read the headers
 * @only_id: stop once the build id is known, or known to be absent from the segments
 *
 * Return: 0, or -ENOEXEC when it is not an ELF file of this machine's byte order.
 */
int image__parse(const struct image *image, struct image_info *info, bool only_id);

/** image__vaddr - file offset to address as linked. Return: false when not code. */
bool image__vaddr(const struct image_info *info, __u64 offset, __u64 *vaddr);

/**
 * image__table - the functions of up to two symbol tables
 * @info:    of the file the code is in
 * @images:  where each symbol table is
 * @symtabs: size 0: none
 *
 * Return: 0, also when there are no functions, or -ENOMEM.
 */
int image__table(const struct image_info *info, const struct image *const images[IMAGE_SOURCES],
		 const struct image_symtab *const symtabs[IMAGE_SOURCES],
		 struct image_table *table);

/** image__lookup - the function around @vaddr, or NULL */
const struct image_entry *image__lookup(const struct image_table *table, __u64 vaddr);

/** image__name - a name from a string table, at most IMAGE_NAME_MAX - 1 bytes. Return: its length,
 * 0: none. */
size_t image__name(const struct image *image, const struct image_range *strings, __u64 at,
		   char out[IMAGE_NAME_MAX]);

/**
 * image__unpack - what .gnu_debugdata holds
 * @out: bytes to be freed, owned by the caller as @out->mem
 *
 * Return: 0 or -errno; -EFBIG above 32 MiB.
 */
int image__unpack(const struct image *image, const struct image_range *range, struct image *out);

#endif
