// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "symbols/image.h"

#include <elf.h>
#include <errno.h>
#include <lzma.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SIZE_MAX_FILE (16ULL << 30)
#define PHNUM_MAX 512
#define SHNUM_MAX 65536
#define NOTES_MAX 65536
#define UNPACKED_MAX (32 << 20)
#define UNPACK_MEMORY (40 << 20) /* xz -8 and below; what is packed with plain xz needs 9 */
#define SOURCE_BIT 0x80000000U

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

int image__read(const struct image *image, __u64 offset, void *buf, size_t len)
{
	char *to = buf;

	if (offset > image->size || len > image->size - offset)
		return -EIO;
	if (image->fd < 0) {
		memcpy(buf, (const char *)image->mem + offset, len);
		return 0;
	}
	while (len) {
		ssize_t n = pread(image->fd, to, len, offset);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return -EIO;
		to += n;
		offset += n;
		len -= n;
	}
	return 0;
}

int image__open(struct image *image, int fd)
{
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode) || st.st_size <= 0 ||
	    (__u64)st.st_size > SIZE_MAX_FILE) {
		close(fd);
		return -ENOEXEC;
	}
	*image = (struct image){
		.fd = fd,
		.size = st.st_size,
		.dev = st.st_dev,
		.ino = st.st_ino,
		.mtime_ns = st.st_mtim.tv_sec * 1000000000ULL + st.st_mtim.tv_nsec,
	};
	return 0;
}

void image__close(struct image *image)
{
	if (image->fd >= 0)
		close(image->fd);
	image->fd = -1;
}

/* Both classes in the shape of the larger one. */
struct reader {
	const struct image *image;
	struct image_info *info;
	Elf64_Ehdr ehdr;
};

static int read_ehdr(struct reader *reader)
{
	Elf64_Ehdr *to = &reader->ehdr;
	Elf32_Ehdr from;

	if (image__read(reader->image, 0, to, EI_NIDENT) || memcmp(to->e_ident, ELFMAG, SELFMAG) ||
	    to->e_ident[EI_DATA] != NATIVE_DATA)
		return -ENOEXEC;
	if (to->e_ident[EI_CLASS] == ELFCLASS64) {
		reader->info->is64 = true;
		return image__read(reader->image, 0, to, sizeof(*to)) ? -ENOEXEC : 0;
	}
	if (to->e_ident[EI_CLASS] != ELFCLASS32 ||
	    image__read(reader->image, 0, &from, sizeof(from)))
		return -ENOEXEC;
	to->e_machine = from.e_machine;
	to->e_phoff = from.e_phoff;
	to->e_shoff = from.e_shoff;
	to->e_phentsize = from.e_phentsize;
	to->e_phnum = from.e_phnum;
	to->e_shentsize = from.e_shentsize;
	to->e_shnum = from.e_shnum;
	to->e_shstrndx = from.e_shstrndx;
	return 0;
}

static int read_phdr(const struct reader *reader, unsigned int i, Elf64_Phdr *to)
{
	__u64 at = reader->ehdr.e_phoff + (__u64)i * reader->ehdr.e_phentsize;
	Elf32_Phdr from;

	if (reader->info->is64)
		return image__read(reader->image, at, to, sizeof(*to));
	if (image__read(reader->image, at, &from, sizeof(from)))
		return -EIO;
	*to = (Elf64_Phdr){
		.p_type = from.p_type,
		.p_flags = from.p_flags,
		.p_offset = from.p_offset,
		.p_vaddr = from.p_vaddr,
		.p_filesz = from.p_filesz,
		.p_memsz = from.p_memsz,
		.p_align = from.p_align,
	};
	return 0;
}

static int read_shdr(const struct reader *reader, unsigned int i, Elf64_Shdr *to)
{
	__u64 at = reader->ehdr.e_shoff + (__u64)i * reader->ehdr.e_shentsize;
	Elf32_Shdr from;

	if (reader->info->is64)
		return image__read(reader->image, at, to, sizeof(*to));
	if (image__read(reader->image, at, &from, sizeof(from)))
		return -EIO;
	*to = (Elf64_Shdr){
		.sh_name = from.sh_name,
		.sh_type = from.sh_type,
		.sh_flags = from.sh_flags,
		.sh_addr = from.sh_addr,
		.sh_offset = from.sh_offset,
		.sh_size = from.sh_size,
		.sh_link = from.sh_link,
	};
	return 0;
}

#define NT_GO_BUILD_ID 4 /* cmd/internal/buildid */

/* Four strings between slashes in base64 (cmd/go/internal/work/buildid.go): nothing else passes. */
static void read_go_id(const struct reader *reader, __u64 at, __u64 len)
{
	char id[GO_BUILD_ID_SIZE] = "";

	if (!len || len >= sizeof(id) || image__read(reader->image, at, id, len))
		return;
	for (__u64 i = 0; i < len; i++)
		if (id[i] <= ' ' || id[i] >= 0x7f)
			return;
	memcpy(reader->info->go_build_id, id, sizeof(id));
}

static void read_notes(const struct reader *reader, __u64 offset, __u64 size, __u64 align,
		       bool only_id)
{
	struct image_info *info = reader->info;
	__u64 end = offset + (size < NOTES_MAX ? size : NOTES_MAX);
	__u64 mask = align == 8 ? 7 : 3;

	while ((!info->build_id_len || (!only_id && !info->go_build_id[0])) && offset < end &&
	       end - offset >= sizeof(Elf64_Nhdr)) {
		struct {
			Elf64_Nhdr header;
			char name[4];
		} note;
		__u64 desc, next;

		if (image__read(reader->image, offset, &note, sizeof(note)))
			return;
		desc = offset + sizeof(note.header) +
		       (((__u64)note.header.n_namesz + mask) & ~mask);
		next = desc + (((__u64)note.header.n_descsz + mask) & ~mask);
		if (note.header.n_namesz == 4 && note.header.n_type == NT_GNU_BUILD_ID &&
		    !memcmp(note.name, "GNU", 4) && !info->build_id_len && note.header.n_descsz &&
		    note.header.n_descsz <= BUILD_ID_SIZE &&
		    !image__read(reader->image, desc, info->build_id, note.header.n_descsz))
			info->build_id_len = note.header.n_descsz;
		if (note.header.n_namesz == 4 && note.header.n_type == NT_GO_BUILD_ID &&
		    !memcmp(note.name, "Go\0", 4) && !only_id && !info->go_build_id[0])
			read_go_id(reader, desc, note.header.n_descsz);
		offset = next;
	}
}

static void read_segments(const struct reader *reader, bool only_id)
{
	struct image_info *info = reader->info;
	unsigned int n = reader->ehdr.e_phnum < PHNUM_MAX ? reader->ehdr.e_phnum : PHNUM_MAX;
	Elf64_Phdr phdr;

	for (unsigned int i = 0; i < n && !read_phdr(reader, i, &phdr); i++) {
		if (phdr.p_type == PT_NOTE && phdr.p_filesz)
			read_notes(reader, phdr.p_offset, phdr.p_filesz, phdr.p_align, only_id);
		if (only_id && info->build_id_len)
			return;
		if (phdr.p_type != PT_LOAD || !(phdr.p_flags & PF_X) || !phdr.p_filesz ||
		    info->n_segments == IMAGE_SEGMENTS_MAX)
			continue;
		info->segments[info->n_segments].offset = phdr.p_offset;
		info->segments[info->n_segments].size = phdr.p_filesz;
		info->segments[info->n_segments++].vaddr = phdr.p_vaddr;
	}
}

/* A range that is inside the file. */
static struct image_range range_of(const struct reader *reader, const Elf64_Shdr *shdr)
{
	if (shdr->sh_type == SHT_NOBITS || shdr->sh_offset > reader->image->size ||
	    shdr->sh_size > reader->image->size - shdr->sh_offset)
		return (struct image_range){0};
	return (struct image_range){shdr->sh_offset, shdr->sh_size};
}

static void read_debuglink(const struct reader *reader, const Elf64_Shdr *shdr)
{
	struct image_info *info = reader->info;
	struct image_range range = range_of(reader, shdr);
	char bytes[sizeof(info->debuglink) + 4];
	size_t len;

	if (range.size < 8 || range.size > sizeof(bytes) ||
	    image__read(reader->image, range.offset, bytes, range.size))
		return;
	len = strnlen(bytes, range.size);
	if (!len || (len + 4) / 4 * 4 + 4 > range.size || len >= sizeof(info->debuglink) ||
	    memchr(bytes, '/', len))
		return;
	memcpy(info->debuglink, bytes, len + 1);
	memcpy(&info->debuglink_crc, bytes + (len + 4) / 4 * 4, 4);
}

static void read_named(const struct reader *reader, const Elf64_Shdr *shdr, const char *name)
{
	struct image_info *info = reader->info;

	if (!strcmp(name, ".gnu_debuglink"))
		read_debuglink(reader, shdr);
	else if (!strcmp(name, ".gnu_debugdata"))
		info->debugdata = range_of(reader, shdr);
	else if (!strcmp(name, ".gnu_debugaltlink"))
		info->debugaltlink = range_of(reader, shdr);
	else if (!strcmp(name, ".debug_info") || !strcmp(name, ".zdebug_info"))
		info->has_dwarf = range_of(reader, shdr).size > 0;
}

static void read_sections(const struct reader *reader, bool only_id)
{
	struct image_info *info = reader->info;
	unsigned int n = reader->ehdr.e_shnum, names_at = reader->ehdr.e_shstrndx;
	struct image_range names = {0};
	Elf64_Shdr shdr, strings;

	if (!reader->ehdr.e_shoff || read_shdr(reader, 0, &shdr))
		return;
	if (!n)
		n = shdr.sh_size < SHNUM_MAX ? shdr.sh_size : SHNUM_MAX;
	if (names_at == SHN_XINDEX)
		names_at = shdr.sh_link;
	if (names_at < n && !read_shdr(reader, names_at, &strings))
		names = range_of(reader, &strings);
	for (unsigned int i = 1; i < n && !read_shdr(reader, i, &shdr); i++) {
		char name[32] = "";
		struct image_symtab *symtab = shdr.sh_type == SHT_SYMTAB   ? &info->symtab
					      : shdr.sh_type == SHT_DYNSYM ? &info->dynsym
									   : NULL;

		if (symtab && shdr.sh_link < n && !read_shdr(reader, shdr.sh_link, &strings)) {
			symtab->symbols = range_of(reader, &shdr);
			symtab->strings = range_of(reader, &strings);
		}
		if (shdr.sh_type == SHT_NOTE && (!info->build_id_len || !info->go_build_id[0]))
			read_notes(reader, shdr.sh_offset, range_of(reader, &shdr).size,
				   shdr.sh_addralign, only_id);
		if ((shdr.sh_flags & SHF_ALLOC) && (shdr.sh_flags & SHF_EXECINSTR) &&
		    info->n_text < IMAGE_SEGMENTS_MAX &&
		    shdr.sh_addr + shdr.sh_size > shdr.sh_addr) {
			info->text[info->n_text].start = shdr.sh_addr;
			info->text[info->n_text++].end = shdr.sh_addr + shdr.sh_size;
		}
		if (shdr.sh_type != SHT_PROGBITS || (shdr.sh_flags & SHF_ALLOC) ||
		    shdr.sh_name >= names.size)
			continue;
		if (names.size - shdr.sh_name < sizeof(name))
			image__read(reader->image, names.offset + shdr.sh_name, name,
				    names.size - shdr.sh_name);
		else
			image__read(reader->image, names.offset + shdr.sh_name, name, sizeof(name));
		name[sizeof(name) - 1] = '\0';
		read_named(reader, &shdr, name);
	}
}

int image__parse(const struct image *image, struct image_info *info, bool only_id)
{
	struct reader reader = {.image = image, .info = info};

	*info = (struct image_info){0};
	if (read_ehdr(&reader))
		return -ENOEXEC;
	info->machine = reader.ehdr.e_machine;
	read_segments(&reader, only_id);
	if (!only_id || !info->build_id_len)
		read_sections(&reader, only_id);
	return 0;
}

bool image__vaddr(const struct image_info *info, __u64 offset, __u64 *vaddr)
{
	for (int i = 0; i < info->n_segments; i++) {
		if (offset < info->segments[i].offset ||
		    offset - info->segments[i].offset >= info->segments[i].size)
			continue;
		*vaddr = info->segments[i].vaddr + (offset - info->segments[i].offset);
		return true;
	}
	return false;
}

size_t image__name(const struct image *image, const struct image_range *strings, __u64 at,
		   char out[IMAGE_NAME_MAX])
{
	size_t have = 0;

	/* Most names are short: one small read, more only when it held no end. */
	for (size_t want = 128; at < strings->size; want = IMAGE_NAME_MAX - 1) {
		size_t end;

		if (want > strings->size - at)
			want = strings->size - at;
		if (image__read(image, strings->offset + at + have, out + have, want - have))
			return 0;
		end = strnlen(out + have, want - have);
		if (have + end < want || want == IMAGE_NAME_MAX - 1 || want == strings->size - at) {
			out[have + end] = '\0';
			return have + end;
		}
		have = want;
	}
	return 0;
}

/* --- the table --------------------------------------------------------------- */

struct candidate {
	__u64 start, size;
	__u32 name;
	__u8 rank; /* see enum */
};

enum { RANK_VISIBLE = 1, RANK_SIZED = 2, RANK_FUNC = 4 };

struct builder {
	const struct image_info *info;
	const struct image *const *images;
	const struct image_symtab *const *symtabs;
	struct candidate *list;
	size_t n, room;
};

static int by_start(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;

	if (x->start != y->start)
		return x->start < y->start ? -1 : 1;
	if (x->rank != y->rank)
		return x->rank > y->rank ? -1 : 1;
	return x->name < y->name ? -1 : x->name > y->name;
}

static __u64 text_end(const struct image_info *info, __u64 addr)
{
	for (int i = 0; i < info->n_text; i++)
		if (addr >= info->text[i].start && addr < info->text[i].end)
			return info->text[i].end;
	return 0;
}

static int builder__add(struct builder *builder, const Elf64_Sym *sym, unsigned int source)
{
	const struct image_symtab *symtab = builder->symtabs[source];
	unsigned int type = ELF64_ST_TYPE(sym->st_info);
	struct candidate candidate = {.start = sym->st_value, .size = sym->st_size};
	bool visible = ELF64_ST_BIND(sym->st_info) != STB_LOCAL;
	char first = 0;

	if (type != STT_FUNC && type != STT_GNU_IFUNC && type != STT_NOTYPE)
		return 0;
	if (!sym->st_value || sym->st_shndx == SHN_UNDEF || sym->st_shndx == SHN_ABS ||
	    !sym->st_name || sym->st_name >= symtab->strings.size || sym->st_name >= SOURCE_BIT)
		return 0;
	if (type == STT_NOTYPE) {
		if (!text_end(builder->info, sym->st_value))
			return 0;
		/* $x and its like mark where code and data meet; .L is the assembler's own. */
		if (!visible && (image__read(builder->images[source],
					     symtab->strings.offset + sym->st_name, &first, 1) ||
				 first == '$' || first == '.'))
			return 0;
	}
	if (builder->info->machine == EM_ARM && type == STT_FUNC)
		candidate.start &= ~1ULL; /* Thumb */
	candidate.name = sym->st_name | (source ? SOURCE_BIT : 0);
	candidate.rank = (visible ? RANK_VISIBLE : 0) | (sym->st_size ? RANK_SIZED : 0) |
			 (type != STT_NOTYPE ? RANK_FUNC : 0);
	if (builder->n == builder->room) {
		size_t room = builder->room ? builder->room * 2 : 1024;
		struct candidate *list = realloc(builder->list, room * sizeof(*list));

		if (!list)
			return -ENOMEM;
		builder->list = list;
		builder->room = room;
	}
	builder->list[builder->n++] = candidate;
	return 0;
}

static int builder__read(struct builder *builder, unsigned int source, bool is64)
{
	const struct image_range *range = &builder->symtabs[source]->symbols;
	size_t each = is64 ? sizeof(Elf64_Sym) : sizeof(Elf32_Sym);
	__u64 left = range->size / each, at = range->offset;
	union {
		Elf64_Sym wide[512];
		Elf32_Sym narrow[512];
	} chunk;

	while (left) {
		size_t n = left < 512 ? left : 512;

		if (image__read(builder->images[source], at, &chunk, n * each))
			return 0; /* cut off meanwhile: what was read is still good */
		for (size_t i = 0; i < n; i++) {
			Elf64_Sym sym;

			if (builder->n >= IMAGE_SYMBOLS_MAX)
				return 0;
			if (is64)
				sym = chunk.wide[i];
			else
				sym = (Elf64_Sym){
					.st_name = chunk.narrow[i].st_name,
					.st_info = chunk.narrow[i].st_info,
					.st_shndx = chunk.narrow[i].st_shndx,
					.st_value = chunk.narrow[i].st_value,
					.st_size = chunk.narrow[i].st_size,
				};
			if (builder__add(builder, &sym, source))
				return -ENOMEM;
		}
		at += n * each;
		left -= n;
	}
	return 0;
}

static size_t builder__name(const struct builder *builder, __u32 name, char out[IMAGE_NAME_MAX])
{
	unsigned int source = !!(name & SOURCE_BIT);

	return image__name(builder->images[source], &builder->symtabs[source]->strings,
			   name & ~SOURCE_BIT, out);
}

/* Of two names for the same code the plainer one: write, not __write or __GI___write. */
static bool builder__plainer(const struct builder *builder, __u32 a, __u32 b)
{
	char x[IMAGE_NAME_MAX], y[IMAGE_NAME_MAX];
	size_t x_len = builder__name(builder, a, x), y_len = builder__name(builder, b, y);
	size_t x_under = strspn(x_len ? x : "", "_"), y_under = strspn(y_len ? y : "", "_");

	if (!x_len || !y_len)
		return x_len > y_len;
	if (x_under != y_under)
		return x_under < y_under;
	if (x_len != y_len)
		return x_len < y_len;
	return strcmp(x, y) < 0;
}

#define ALIASES_MAX 16 /* compared at one address; a hostile table has a million there */

int image__table(const struct image_info *info, const struct image *const images[IMAGE_SOURCES],
		 const struct image_symtab *const symtabs[IMAGE_SOURCES], struct image_table *table)
{
	struct builder builder = {.info = info, .images = images, .symtabs = symtabs};
	__u64 covered = 0;
	size_t n = 0;
	int err = 0;

	*table = (struct image_table){0};
	for (unsigned int i = 0; i < IMAGE_SOURCES && !err; i++)
		if (symtabs[i] && symtabs[i]->symbols.size)
			err = builder__read(&builder, i, info->is64);
	if (err || !builder.n)
		goto out;
	qsort(builder.list, builder.n, sizeof(*builder.list), by_start);

	/* One name for each address, in place. */
	for (size_t i = 0; i < builder.n;) {
		struct candidate best = builder.list[i];
		size_t j = i + 1;

		for (; j < builder.n && builder.list[j].start == best.start; j++) {
			if (builder.list[j].rank != best.rank || j - i >= ALIASES_MAX)
				continue;
			if (builder__plainer(&builder, builder.list[j].name, best.name))
				best = builder.list[j];
		}
		/* A label inside a function says less than the function. */
		if ((best.rank & RANK_SIZED) || best.start >= covered)
			builder.list[n++] = best;
		if ((best.rank & RANK_SIZED) && best.size < UINT32_MAX &&
		    best.start + best.size > covered)
			covered = best.start + best.size;
		i = j;
	}
	table->entries = malloc(n * sizeof(*table->entries));
	if (!table->entries) {
		err = -ENOMEM;
		goto out;
	}
	table->base = builder.list[0].start;
	for (size_t i = 0; i < n; i++) {
		const struct candidate *from = &builder.list[i];
		__u64 size = from->size;

		if (from->start - table->base > UINT32_MAX)
			break;
		if (!(from->rank & RANK_SIZED)) {
			__u64 end = text_end(info, from->start);

			if (i + 1 < n && builder.list[i + 1].start < end)
				end = builder.list[i + 1].start;
			size = end > from->start ? end - from->start : 0;
		}
		table->entries[table->n++] = (struct image_entry){
			.start = from->start - table->base,
			.size = size < UINT32_MAX ? size : UINT32_MAX,
			.name = from->name,
		};
	}
out:
	free(builder.list);
	return err;
}

#define NESTED_MAX 16

const struct image_entry *image__lookup(const struct image_table *table, __u64 vaddr)
{
	size_t low = 0, high = table->n;
	__u64 at = vaddr - table->base;

	if (vaddr < table->base)
		return NULL;
	while (low < high) {
		size_t middle = low + (high - low) / 2;

		if (table->entries[middle].start <= at)
			low = middle + 1;
		else
			high = middle;
	}
	for (int i = 0; i < NESTED_MAX && low; i++) {
		const struct image_entry *entry = &table->entries[--low];

		if (at - entry->start < entry->size)
			return entry;
	}
	return NULL;
}

int image__unpack(const struct image *image, const struct image_range *range, struct image *out)
{
	lzma_stream stream = LZMA_STREAM_INIT;
	__u64 at = range->offset, left = range->size;
	size_t room = 256 * 1024;
	unsigned char in[16384];
	char *bytes = NULL, *more;
	lzma_ret ret = LZMA_OK;
	int err = -EIO;

	if (lzma_stream_decoder(&stream, UNPACK_MEMORY, 0) != LZMA_OK)
		return -ENOMEM;
	bytes = malloc(room);
	if (!bytes)
		goto out;
	stream.next_out = (unsigned char *)bytes;
	stream.avail_out = room;
	while (ret == LZMA_OK) {
		if (!stream.avail_in && left) {
			size_t n = left < sizeof(in) ? left : sizeof(in);

			if (image__read(image, at, in, n))
				goto out;
			at += n;
			left -= n;
			stream.next_in = in;
			stream.avail_in = n;
		}
		if (!stream.avail_out) {
			if (room >= UNPACKED_MAX) {
				err = -EFBIG;
				goto out;
			}
			more = realloc(bytes, room * 2);
			if (!more)
				goto out;
			bytes = more;
			stream.next_out = (unsigned char *)bytes + room;
			stream.avail_out = room;
			room *= 2;
		}
		ret = lzma_code(&stream, left ? LZMA_RUN : LZMA_FINISH);
	}
	if (ret != LZMA_STREAM_END)
		goto out;
	*out = (struct image){.fd = -1, .mem = bytes, .size = stream.total_out};
	bytes = NULL;
	err = 0;
out:
	free(bytes);
	lzma_end(&stream);
	return err;
}
