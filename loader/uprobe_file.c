// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_file.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <gelf.h>
#include <libelf.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "uprobe_place.h"

struct uprobe_file {
	int fd;
	Elf *elf;
	int machine;
};

struct uprobe_file *uprobe_file__open(const char *path)
{
	struct uprobe_file *file = calloc(1, sizeof(*file));
	GElf_Ehdr header;
	struct stat st;

	if (!file)
		return NULL;
	elf_version(EV_CURRENT);
	/* To open a device or a pipe may do something, or wait. */
	file->fd = -1;
	if (!stat(path, &st)) {
		errno = ENOEXEC;
		if (S_ISREG(st.st_mode))
			file->fd = open(path, O_RDONLY | O_CLOEXEC);
	}
	if (file->fd >= 0)
		file->elf = elf_begin(file->fd, ELF_C_READ_MMAP, NULL);
	if (file->elf && elf_kind(file->elf) == ELF_K_ELF && gelf_getehdr(file->elf, &header) &&
	    gelf_getclass(file->elf) == ELFCLASS64) {
		file->machine = header.e_machine;
		return file;
	}
	if (file->fd >= 0)
		errno = ENOEXEC;
	uprobe_file__close(file);
	return NULL;
}

void uprobe_file__close(struct uprobe_file *file)
{
	int err = errno;

	if (!file)
		return;
	elf_end(file->elf);
	if (file->fd >= 0)
		close(file->fd);
	free(file);
	errno = err;
}

Elf *uprobe_file__elf(struct uprobe_file *file)
{
	return file->elf;
}

/* Whether a name is one of a list: most are not, and differ before the first wildcard. */
static bool is_among(const char *list, const char *name)
{
	char pattern[128];

	for (size_t len; *list; list += len + (list[len] == ',')) {
		size_t plain = 0;

		len = strcspn(list, ",");
		while (plain < len && list[plain] != '*' && list[plain] != '[' &&
		       list[plain] == name[plain])
			plain++;
		if (plain == len && !name[plain])
			return true;
		if (plain == len || (list[plain] != '*' && list[plain] != '[') ||
		    len >= sizeof(pattern))
			continue;
		memcpy(pattern, list, len);
		pattern[len] = '\0';
		if (!fnmatch(pattern, name, 0))
			return true;
	}
	return false;
}

/* What stands behind one of the prefixes; NULL if the name begins with none. */
static const char *behind_prefix(const char *prefixes, const char *name)
{
	for (size_t len; *prefixes; prefixes += len + (prefixes[len] == ',')) {
		len = strcspn(prefixes, ",");
		if (len && !strncmp(name, prefixes, len))
			return name + len;
	}
	return NULL;
}

/*
 * A local symbol is some file's own function, which may do anything, but for prefixed ones: those
 * are an allocator's, linked into a library that does not export it.
 */
static bool is_wanted(const struct uprobe_names *names, const char *name, bool is_local)
{
	const char *rest = behind_prefix(names->prefixes, name);

	return (rest && is_among(names->list, rest)) || (!is_local && is_among(names->list, name));
}

static void add(struct uprobe_functions *found, __u64 offset)
{
	int at = 0;

	while (at < found->n && found->offset[at] < offset)
		at++;
	if (found->n == UPROBE_FUNCTIONS_MAX || (at < found->n && found->offset[at] == offset))
		return;
	memmove(&found->offset[at + 1], &found->offset[at],
		(found->n - at) * sizeof(found->offset[0]));
	found->offset[at] = offset;
	found->n++;
}

/* A symbol has an address; a probe wants to know where in the file that is. */
static void add_symbol(struct uprobe_file *file, const GElf_Sym *symbol,
		       struct uprobe_functions *found)
{
	size_t n = 0, size;
	const char *image = elf_rawfile(file->elf, &size);

	elf_getphdrnum(file->elf, &n);
	for (size_t i = 0; i < n; i++) {
		__u64 in_segment, place = 0;
		GElf_Phdr segment;

		if (!gelf_getphdr(file->elf, i, &segment) || segment.p_type != PT_LOAD ||
		    !(segment.p_flags & PF_X) || symbol->st_value < segment.p_vaddr ||
		    symbol->st_value - segment.p_vaddr >= segment.p_filesz)
			continue;
		in_segment = symbol->st_value - segment.p_vaddr;
		if (file->machine == EM_X86_64 && image && segment.p_offset <= size &&
		    segment.p_filesz <= size - segment.p_offset)
			place = uprobe_place__find((const unsigned char *)image + segment.p_offset,
						   segment.p_filesz, in_segment, symbol->st_size);
		add(found, segment.p_offset + in_segment + place);
		return;
	}
}

void uprobe_file__find(struct uprobe_file *file, const struct uprobe_names *names,
		       struct uprobe_functions *found)
{
	Elf_Scn *section = NULL;

	found->n = 0;
	while ((section = elf_nextscn(file->elf, section))) {
		Elf_Data *data;
		GElf_Shdr header;
		GElf_Sym symbol;

		if (!gelf_getshdr(section, &header) || !header.sh_entsize ||
		    (header.sh_type != SHT_SYMTAB && header.sh_type != SHT_DYNSYM))
			continue;
		data = elf_getdata(section, NULL);
		for (size_t i = 0; data && i < header.sh_size / header.sh_entsize; i++) {
			const char *name;

			if (!gelf_getsym(data, i, &symbol) || symbol.st_shndx == SHN_UNDEF ||
			    GELF_ST_TYPE(symbol.st_info) != STT_FUNC)
				continue;
			name = elf_strptr(file->elf, header.sh_link, symbol.st_name);
			if (name &&
			    is_wanted(names, name, GELF_ST_BIND(symbol.st_info) == STB_LOCAL))
				add_symbol(file, &symbol, found);
		}
	}
}

bool uprobe_file__is_stepped(struct uprobe_file *file, __u64 offset)
{
	size_t size;
	const char *image = elf_rawfile(file->elf, &size);

	/* arm64's kernel emulates little but branches, which no function begins with. */
	if (file->machine != EM_X86_64)
		return true;
	return image && offset < size &&
	       uprobe_place__is_stepped((const unsigned char *)image + offset, size - offset);
}
