// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/*
 * A note of owner "stapsdt" and type 3: three addresses, those of the probe, of the section
 * .stapsdt.base when it was linked, and of the counter; then three strings, provider, name,
 * arguments. (SystemTap's wiki, "UserSpaceProbeImplementation".)
 */
#include "uprobe_usdt.h"

#include <errno.h>
#include <gelf.h>
#include <stdlib.h>
#include <string.h>

#include "uprobe_file.h"

#define NOTE_TYPE 3
#define NOTE_OWNER "stapsdt"

/* --- arguments ---------------------------------------------------------------------- */

/* In the order of struct pt_regs, arch/x86/include/asm/ptrace.h; NULL: never an operand. */
static const char *const registers[] = {"15", "14", "13", "12", "bp", "bx", "11", "10", "9",  "8",
					"ax", "cx", "dx", "si", "di", NULL, NULL, NULL, NULL, "sp"};

/* "rax", "eax", "ax", "al"; "rsil"; "r8", "r8d", "r8w", "r8b"; but "ah" is a part of another. */
static bool is_register(const char *text, size_t len, const char *name)
{
	size_t n = strlen(name);

	if (name[0] >= '0' && name[0] <= '9')
		return len > n && text[0] == 'r' && !memcmp(text + 1, name, n) &&
		       (len == n + 1 || (len == n + 2 && strchr("dwb", text[n + 1])));
	if (len == 2 && name[1] == 'x' && text[0] == name[0] && text[1] == 'l')
		return true;
	if (len == 3 && name[1] != 'x' && !memcmp(text, name, 2) && text[2] == 'l')
		return true;
	if (len == 3 && (text[0] == 'r' || text[0] == 'e'))
		return !memcmp(text + 1, name, 2);
	return len == 2 && !memcmp(text, name, 2);
}

/* Return: what follows, or NULL. */
static const char *parse_register(const char *at, __u16 *offset)
{
	size_t len;

	if (*at++ != '%')
		return NULL;
	len = strspn(at, "abcdefghijklmnopqrstuvwxyz0123456789");
	for (size_t i = 0; i < sizeof(registers) / sizeof(registers[0]); i++)
		if (registers[i] && is_register(at, len, registers[i])) {
			*offset = i * sizeof(__u64);
			return at + len;
		}
	return NULL;
}

static const char *parse_number(const char *at, __s64 *value)
{
	char *end;

	if (*at != '-' && (*at < '0' || *at > '9'))
		return NULL;
	errno = 0;
	*value = strtoll(at, &end, 0);
	/* A constant may be written without a sign and need all bits. */
	if (errno == ERANGE && *at != '-') {
		errno = 0;
		*value = (__s64)strtoull(at, &end, 0);
	}
	return errno || end == at ? NULL : end;
}

/* "(%base)" or "(%base,%index,scale)" */
static const char *parse_address(const char *at, struct otel_usdt_arg *arg)
{
	__s64 scale = 1;

	if (*at++ != '(')
		return NULL;
	arg->kind = OTEL_USDT_MEMORY;
	at = parse_register(at, &arg->base);
	if (at && *at == ',') {
		arg->kind = OTEL_USDT_INDEXED;
		at = parse_register(at + 1, &arg->index);
		if (at && *at == ',')
			at = parse_number(at + 1, &scale);
		if (!at || (scale != 1 && scale != 2 && scale != 4 && scale != 8))
			return NULL;
		arg->scale = scale;
	}
	return at && *at == ')' ? at + 1 : NULL;
}

static const char *parse_argument(const char *at, struct otel_usdt_arg *arg)
{
	arg->is_signed = *at == '-';
	at += arg->is_signed;
	if (!*at || !strchr("1248", *at) || at[1] != '@')
		return NULL;
	arg->size = *at - '0';
	at += 2;
	if (*at == '$') {
		arg->kind = OTEL_USDT_CONSTANT;
		return parse_number(at + 1, &arg->value);
	}
	if (*at == '%') {
		arg->kind = OTEL_USDT_REGISTER;
		return parse_register(at, &arg->base);
	}
	if (*at != '(')
		at = parse_number(at, &arg->value);
	return at ? parse_address(at, arg) : NULL;
}

int uprobe_usdt__parse(const char *text, struct otel_usdt_site *site)
{
	*site = (struct otel_usdt_site){};
	text += strspn(text, " ");
	for (int i = 0; *text; i++) {
		if (i == OTEL_USDT_ARGS)
			return -EOPNOTSUPP;
		text = parse_argument(text, &site->arg[i]);
		if (!text || (*text && *text != ' '))
			return -EOPNOTSUPP;
		text += strspn(text, " ");
	}
	return 0;
}

/* --- notes ------------------------------------------------------------------------------ */

struct note {
	__u64 address, base, counter;
	const char *provider, *name, *args;
};

/* The next string, ended within its note; NULL: it is not. */
static const char *take_string(const char **at, size_t *left)
{
	const char *text = *at, *end = memchr(text, '\0', *left);

	if (!end)
		return NULL;
	*left -= end + 1 - text;
	*at = end + 1;
	return text;
}

static bool read_note(const char *data, size_t size, struct note *note)
{
	__u64 numbers[3];

	if (size < sizeof(numbers))
		return false;
	memcpy(numbers, data, sizeof(numbers));
	data += sizeof(numbers);
	size -= sizeof(numbers);
	note->address = numbers[0];
	note->base = numbers[1];
	note->counter = numbers[2];
	note->provider = take_string(&data, &size);
	note->name = note->provider ? take_string(&data, &size) : NULL;
	note->args = note->name ? take_string(&data, &size) : NULL;
	return note->args;
}

static Elf_Scn *find_section(Elf *elf, const char *name)
{
	Elf_Scn *section = NULL;
	size_t names;

	if (elf_getshdrstrndx(elf, &names))
		return NULL;
	while ((section = elf_nextscn(elf, section))) {
		GElf_Shdr header;
		const char *found = gelf_getshdr(section, &header)
					    ? elf_strptr(elf, names, header.sh_name)
					    : NULL;

		if (found && !strcmp(found, name))
			return section;
	}
	return NULL;
}

/* Where an address is in the file, in a segment that can be executed, or written. */
static bool place_of(Elf *elf, __u64 address, __u32 flag, __u64 *offset)
{
	GElf_Phdr segment;
	size_t n = 0;

	elf_getphdrnum(elf, &n);
	for (size_t i = 0; i < n; i++) {
		if (!gelf_getphdr(elf, i, &segment) || segment.p_type != PT_LOAD ||
		    !(segment.p_flags & flag) || address < segment.p_vaddr ||
		    address - segment.p_vaddr >= segment.p_filesz)
			continue;
		*offset = segment.p_offset + (address - segment.p_vaddr);
		return true;
	}
	return false;
}

static int add(struct uprobe_sites *found, __u64 offset, __u64 counter,
	       const struct otel_usdt_site *site)
{
	/* One instruction, one trap. */
	for (int i = 0; i < found->n; i++)
		if (found->offset[i] == offset)
			return 0;
	if (found->n == UPROBE_SITES_MAX)
		return -E2BIG;
	if (found->n == found->room) {
		int room = found->room * 2 + 8;
		void *offsets = reallocarray(found->offset, room, sizeof(*found->offset));
		void *counters = reallocarray(found->counter, room, sizeof(*found->counter));
		void *sites = reallocarray(found->site, room, sizeof(*found->site));

		found->offset = offsets ? offsets : found->offset;
		found->counter = counters ? counters : found->counter;
		found->site = sites ? sites : found->site;
		if (!offsets || !counters || !sites)
			return -ENOMEM;
		found->room = room;
	}
	found->offset[found->n] = offset;
	found->counter[found->n] = counter;
	found->site[found->n++] = *site;
	return 0;
}

/* What moved the section since it was linked (prelink) moved the rest with it. */
static int add_note(Elf *elf, const struct note *note, __u64 base, struct uprobe_sites *found)
{
	__u64 moved = base ? base - note->base : 0, offset, counter = 0;
	struct otel_usdt_site site;

	if (!place_of(elf, note->address + moved, PF_X, &offset) ||
	    (note->counter && !place_of(elf, note->counter + moved, PF_W, &counter)))
		return -EBADMSG;
	if (uprobe_usdt__parse(note->args, &site))
		return -EOPNOTSUPP;
	return add(found, offset, counter, &site);
}

static bool is_named(const struct note *note, const char *name)
{
	size_t len = strlen(note->provider);

	return !strncmp(name, note->provider, len) && name[len] == ':' &&
	       !strcmp(name + len + 1, note->name);
}

int uprobe_usdt__find(struct uprobe_file *file, const char *name, struct uprobe_sites *found)
{
	Elf *elf = uprobe_file__elf(file);
	Elf_Scn *notes = find_section(elf, ".note.stapsdt");
	Elf_Scn *base = notes ? find_section(elf, ".stapsdt.base") : NULL;
	size_t at = 0, next, owner, content;
	GElf_Shdr header, base_header = {};
	Elf_Data *data;
	GElf_Nhdr note;
	GElf_Ehdr elf_header;
	int err = 0;

	if (!notes || !gelf_getehdr(elf, &elf_header) || elf_header.e_machine != EM_X86_64 ||
	    !gelf_getshdr(notes, &header) || header.sh_type != SHT_NOTE)
		return 0;
	if (base && !gelf_getshdr(base, &base_header))
		return -EBADMSG;
	data = elf_getdata(notes, NULL);
	while (data && !err && (next = gelf_getnote(data, at, &note, &owner, &content)) > 0) {
		const char *bytes = data->d_buf;
		struct note one;

		at = next;
		if (note.n_type != NOTE_TYPE || note.n_namesz != sizeof(NOTE_OWNER) ||
		    memcmp(bytes + owner, NOTE_OWNER, sizeof(NOTE_OWNER)))
			continue;
		if (!read_note(bytes + content, note.n_descsz, &one))
			err = -EBADMSG;
		else if (is_named(&one, name))
			err = add_note(elf, &one, base_header.sh_addr, found);
	}
	return err;
}

void uprobe_usdt__free(struct uprobe_sites *sites)
{
	free(sites->offset);
	free(sites->counter);
	free(sites->site);
	*sites = (struct uprobe_sites){};
}

bool uprobe_usdt__has_all(struct uprobe_file *file, const char *list)
{
	bool any = false;

	for (size_t len; *list; list += len + (list[len] == ',')) {
		struct uprobe_sites sites = {};
		char name[128];
		bool has;

		len = strcspn(list, ",");
		if (len >= sizeof(name) || !memchr(list, ':', len))
			continue;
		memcpy(name, list, len);
		name[len] = '\0';
		has = !uprobe_usdt__find(file, name, &sites) && sites.n;
		uprobe_usdt__free(&sites);
		if (!has)
			return false;
		any = true;
	}
	return any;
}
