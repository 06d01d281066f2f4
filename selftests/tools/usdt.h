/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * USDT probes of a program's own, for x86-64: a nop, and a note about it. Its layout is that of
 * SystemTap's wiki, "UserSpaceProbeImplementation".
 *
 * USDT_COUNTER(name) defines the counter that a tracer raises, USDT(...) is a probe that has it.
 */
#ifndef SELFTESTS_USDT_H
#define SELFTESTS_USDT_H

#define USDT_COUNTER(probe)              \
	unsigned short probe##_semaphore \
		__attribute__((section(".probes"), used, visibility("hidden")))
#define USDT_IS_TRACED(probe) (*(volatile unsigned short *)&probe##_semaphore)

/* Arguments "8@%0" and so on: the compiler says where each operand is. */
#define USDT(provider, probe, arguments, ...)                                                 \
	__asm__ volatile("990:	nop\n"                                                         \
			 ".pushsection .note.stapsdt,\"\",@note\n"                            \
			 ".balign 4\n"                                                        \
			 ".4byte 992f-991f, 994f-993f, 3\n"                                   \
			 "991:	.asciz \"stapsdt\"\n"                                          \
			 "992:	.balign 4\n"                                                   \
			 "993:	.8byte 990b\n"                                                 \
			 ".8byte _.stapsdt.base\n"                                            \
			 ".8byte " #probe "_semaphore\n"                                      \
			 ".asciz \"" provider "\"\n"                                          \
			 ".asciz \"" #probe "\"\n"                                            \
			 ".asciz \"" arguments "\"\n"                                         \
			 "994:	.balign 4\n"                                                   \
			 ".popsection\n"                                                      \
			 ".ifndef _.stapsdt.base\n"                                           \
			 ".pushsection .stapsdt.base,\"aG\",@progbits,.stapsdt.base,comdat\n" \
			 ".weak _.stapsdt.base\n"                                             \
			 ".hidden _.stapsdt.base\n"                                           \
			 "_.stapsdt.base: .space 1\n"                                         \
			 ".popsection\n"                                                      \
			 ".endif\n" ::__VA_ARGS__)

#endif
