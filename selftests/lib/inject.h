/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * A program that is killed, or whose system call fails, at a chosen one of its steps.
 *
 * A step is a system call that can fail, or one that changes something, made by the program or by
 * one of its children, counted over all of them; of several read(2) in a row only the first is one.
 * By ptrace(2), as strace's -e inject does it, whose count is each process's own; and it runs in a
 * virtual machine, too.
 */
#ifndef SELFTESTS_INJECT_H
#define SELFTESTS_INJECT_H

#include <stdbool.h>

/** enum inject_how - what happens at the step */
enum inject_how {
	INJECT_NOTHING,
	INJECT_KILL, /* SIGKILL for the process that makes the call, before the kernel does it */
	INJECT_KILL_ALL, /* for all of them */
	INJECT_ERROR,	 /* the call is not made and fails */
};

/**
 * struct inject - what to do
 * @how:    what happens
 * @error:  errno of INJECT_ERROR; not 0: steps are the calls that can fail, 0: those that change
 * @step:   at which, from 1
 * @each:   called at each step, or NULL: the process is stopped before the call
 * @ctx:    for @each
 * @steps:  out: how many there were
 * @call:   out: number of the system call at @step
 * @code:   out: exit code of the program, or -SIGNAL
 */
struct inject {
	enum inject_how how;
	int error;
	int step;
	void (*each)(void *ctx, int pid, long call);
	void *ctx;
	int steps;
	long call;
	int code;
};

/**
 * inject__run() - run a program so, and wait for all of its processes
 * @inject: what, and what came of it
 * @err:    file for its stderr
 * @argv:   program and arguments; ends with NULL
 *
 * Counted is from the program's question for its limit of open files on, which is the first thing
 * that it does in the kernel after it was linked.
 *
 * Return: false if this machine or user cannot.
 */
bool inject__run(struct inject *inject, const char *err, const char *const *argv);

/** inject__call_name() - of those in the set; "?" for others */
const char *inject__call_name(long call);

#endif
