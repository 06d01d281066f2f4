/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Work in a child process. Whatever reads an object file runs there: the file is
 * somebody's input, and libelf and libbpf were not written for hostile ones. So a
 * crash becomes one line, and after a crash, a signal or an ordinary failure the
 * kernel has closed the child's descriptors, which frees all that was not pinned.
 */
#ifndef OTELBPF_LOADER_GUARD_H
#define OTELBPF_LOADER_GUARD_H

struct json_object;

/** guard_fn - the work: returns an exit code; may add to @result, an object */
typedef int (*guard_fn)(void *arg, struct json_object *result);

/**
 * guard__run - run a function in a child and wait for it
 * @fn:     the function
 * @arg:    its argument; what it writes there stays in the child
 * @result: NULL, or set to what the child put into its result object; to be put
 *
 * SIGINT, SIGTERM and SIGHUP end the child, then, through guard__die_of_signal(),
 * the caller, once it has cleaned up. If the caller dies the child does too.
 *
 * Return: the function's exit code, or minus the signal that ended the child.
 */
int guard__run(guard_fn fn, void *arg, struct json_object **result);

/**
 * guard__explain - say that a child did not end by itself
 * @code: what guard__run() returned, negative
 * @path: the object file that it read
 *
 * Return: EXIT_LOAD if the file is to blame, else EXIT_INTERNAL.
 */
int guard__explain(int code, const char *path);

/**
 * guard__hold - from here to the end of this process no signal may interrupt it
 *
 * For the few system calls that change from one loaded state to the next.
 */
void guard__hold(void);

/** guard__signal - the signal that asked this process to end, or 0 */
int guard__signal(void);

/** guard__die_of_signal - die of that signal, if there was one, as the shell expects */
void guard__die_of_signal(void);

#endif
