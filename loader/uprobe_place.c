// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "uprobe_place.h"

#include <capstone/capstone.h>
#include <stdint.h>
#include <string.h>

#define WINDOW 32 /* bytes behind the entry that are looked at */

/*
 * arch/x86/kernel/uprobes.c, as of 6.1 and since: branch_setup_xol_ops() and push_setup_xol_ops().
 * Later kernels know more kinds.
 */
bool uprobe_place__is_emulated(const unsigned char *insn, size_t len)
{
	if (len == 1)
		return insn[0] == 0x90 || (insn[0] >= 0x50 && insn[0] <= 0x57); /* nop, push */
	if (len == 2 && insn[0] == 0x41)
		return insn[1] >= 0x50 && insn[1] <= 0x57; /* push r8 to r15 */
	if (len == 2)
		return insn[0] == 0xeb || (insn[0] & 0xf0) == 0x70; /* jmp, jcc */
	if (len == 5)
		return insn[0] == 0xe9 || insn[0] == 0xe8; /* jmp, call */
	return len == 6 && insn[0] == 0x0f && (insn[1] & 0xf0) == 0x80;
}

static bool is_kept(uint16_t reg)
{
	static const uint16_t kept[] = {
		X86_REG_RDI, X86_REG_EDI, X86_REG_DI,  X86_REG_DIL, X86_REG_RSI, X86_REG_ESI,
		X86_REG_SI,  X86_REG_SIL, X86_REG_RDX, X86_REG_EDX, X86_REG_DX,	 X86_REG_DL,
		X86_REG_DH,  X86_REG_RCX, X86_REG_ECX, X86_REG_CX,  X86_REG_CL,	 X86_REG_CH,
		X86_REG_RSP, X86_REG_ESP, X86_REG_SP,  X86_REG_SPL, X86_REG_R8,	 X86_REG_R8D,
		X86_REG_R8W, X86_REG_R8B, X86_REG_R9,  X86_REG_R9D, X86_REG_R9W, X86_REG_R9B,
	};

	for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++)
		if (kept[i] == reg)
			return true;
	return false;
}

/* Goes on at the next instruction and writes no register that is wanted. */
static bool passes(csh disassembler, const cs_insn *insn)
{
	static const uint8_t leaves[] = {
		CS_GRP_JUMP,	  CS_GRP_CALL,		 CS_GRP_RET, CS_GRP_INT, CS_GRP_IRET,
		CS_GRP_PRIVILEGE, CS_GRP_BRANCH_RELATIVE};
	static const uint8_t endbr64[] = {0xf3, 0x0f, 0x1e, 0xfa};
	cs_regs read, written;
	uint8_t n_read, n_written;

	if (insn->size == sizeof(endbr64) && !memcmp(insn->bytes, endbr64, sizeof(endbr64)))
		return true;
	if (insn->id == X86_INS_UD2 || insn->id == X86_INS_UD2B || insn->id == X86_INS_HLT)
		return false;
	for (size_t i = 0; i < sizeof(leaves); i++)
		if (cs_insn_group(disassembler, insn, leaves[i]))
			return false;
	/* Of string and vector instructions what is written is not always known. */
	if (insn->detail->x86.prefix[0] ||
	    cs_regs_access(disassembler, insn, read, &n_read, written, &n_written))
		return false;
	for (uint8_t i = 0; i < n_written; i++)
		if (is_kept(written[i]))
			return false;
	return true;
}

static bool within(int64_t at, size_t from, size_t to)
{
	return at > (int64_t)from && at <= (int64_t)to;
}

/*
 * Whether something may jump to where is behind @from, up to @to. Every byte is taken for the
 * beginning of a jump, so that none is missed whatever is code and what is data.
 */
static bool is_target(const unsigned char *code, size_t size, size_t from, size_t to)
{
	size_t near = from > 256 ? from - 256 : 0;

	for (size_t i = 0; i + 5 <= size; i++) {
		int32_t distance;

		if (code[i] != 0xe8 && code[i] != 0xe9 && (code[i] & 0xf0) != 0x80)
			continue;
		if ((code[i] & 0xf0) == 0x80 && (!i || code[i - 1] != 0x0f))
			continue;
		memcpy(&distance, code + i + 1, sizeof(distance));
		if (within((int64_t)i + 5 + distance, from, to))
			return true;
	}
	for (size_t i = near; i + 2 <= size && i < to + 256; i++) {
		bool is_short = code[i] == 0xeb || (code[i] & 0xf0) == 0x70 ||
				(code[i] & 0xfc) == 0xe0; /* jmp, jcc, loop, jrcxz */

		if (is_short && within((int64_t)i + 2 + (int8_t)code[i + 1], from, to))
			return true;
	}
	return false;
}

size_t uprobe_place__find(const unsigned char *code, size_t size, size_t entry, size_t len)
{
	const uint8_t *at = code + entry;
	uint64_t address = 0;
	size_t left, found = 0;
	csh disassembler;
	cs_insn *insn;

	if (entry >= size || !len)
		return 0;
	left = size - entry < len ? size - entry : len;
	left = left < WINDOW ? left : WINDOW;
	if (cs_open(CS_ARCH_X86, CS_MODE_64, &disassembler))
		return 0;
	cs_option(disassembler, CS_OPT_DETAIL, CS_OPT_ON);
	insn = cs_malloc(disassembler);
	while (insn && cs_disasm_iter(disassembler, &at, &left, &address, insn)) {
		if (uprobe_place__is_emulated(insn->bytes, insn->size)) {
			found = insn->address;
			break;
		}
		if (!passes(disassembler, insn))
			break;
	}
	if (insn)
		cs_free(insn, 1);
	cs_close(&disassembler);
	return found && !is_target(code, size, entry, entry + found) ? found : 0;
}

bool uprobe_place__is_stepped(const unsigned char *code, size_t size)
{
	uint64_t address = 0;
	csh disassembler;
	bool emulated = false;
	cs_insn *insn;

	if (cs_open(CS_ARCH_X86, CS_MODE_64, &disassembler))
		return true;
	insn = cs_malloc(disassembler);
	if (insn && cs_disasm_iter(disassembler, &code, &size, &address, insn))
		emulated = uprobe_place__is_emulated(insn->bytes, insn->size);
	if (insn)
		cs_free(insn, 1);
	cs_close(&disassembler);
	return !emulated;
}
