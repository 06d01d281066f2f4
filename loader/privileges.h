/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* What the loader may do: at each stage only what that and the later ones need. */
#ifndef OTELBPF_LOADER_PRIVILEGES_H
#define OTELBPF_LOADER_PRIVILEGES_H

/** enum privileges - stages; each one's capabilities are among the one's before it */
enum privileges {
	PRIVILEGES_LOAD,   /* what loads programs: load, reload, check */
	PRIVILEGES_ATTACH, /* programs are loaded; the others: pause, resume, filter */
	PRIVILEGES_LOOK,   /* all is done, or nothing is to change: status */
};

/**
 * privileges__check_caller - refuse to work for somebody who has fewer rights than the program
 *
 * With the set-user-id bit or capabilities of its file, whoever calls it would say by
 * environment and options what is loaded into the kernel.
 *
 * Return: 0 or EXIT_PERMISSION.
 */
int privileges__check_caller(void);

/**
 * privileges__keep - give up, for good, all capabilities but those of a stage
 * @stage: the stage that begins
 *
 * Also for what it executes: the bounding set goes, where that is permitted, and no new
 * privileges are got by execve(2). What it has not, it does not get; that is found out, and
 * said, by what needs it.
 */
void privileges__keep(enum privileges stage);

#endif
