/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/*
 * Directories in bpffs.
 *
 *   PINDIR/NAME/{prog,link,map}/   a loaded probe
 *   PINDIR/NAME~new/               being prepared; holding its lock allows to change NAME
 *   PINDIR/NAME~old/               being removed
 *
 * A directory is a lock, too (flock on its descriptor): it vanishes with its
 * holder, also after kill -9, and what such a holder left is found and removed by
 * the next one. Who takes both locks takes NAME~new first.
 */
#ifndef OTELBPF_LOADER_TREE_H
#define OTELBPF_LOADER_TREE_H

#include <stdbool.h>

#define TREE_NEW "~new"
#define TREE_OLD "~old"

/**
 * tree__make_dir - mkdir with our mode and group; a directory of ours that is there is left alone
 * @path: its parent exists
 *
 * Return: 0; -EPERM if what is there is somebody else's; or -errno.
 */
int tree__make_dir(const char *path);

/** tree__make_probe - the empty directory of a probe with what is in it */
int tree__make_probe(const char *path);

/** tree__remove - rm -r; what is not there is no error. Returns 0 or -errno. */
int tree__remove(const char *path);

/** enum tree_lock - what to do when another process holds the lock */
enum tree_lock { TREE_WAIT, TREE_TRY };

/**
 * tree__lock - lock a directory that exists
 * @path: the directory
 * @how:  TREE_WAIT, or TREE_TRY to get -EWOULDBLOCK
 *
 * When it returns, the directory locked is the one that @path names.
 *
 * Return: a descriptor, to be closed to unlock; or -errno.
 */
int tree__lock(const char *path, enum tree_lock how);

/**
 * tree__begin - lock PINDIR/NAME~new, made and empty, for a change of NAME
 * @pin_dir: made, too, if it does not exist
 * @name:    of the probe
 *
 * Removes what a crashed load or unload of this name left.
 *
 * Return: the lock's descriptor or -errno.
 */
int tree__begin(const char *pin_dir, const char *name);

/**
 * tree__clean - remove NAME~new and NAME~old unless somebody is at work on them
 * @pin_dir: removed if it is empty then
 * @name:    of the probe
 */
void tree__clean(const char *pin_dir, const char *name);

/** tree__clean_all - the same for every name that something was left of */
void tree__clean_all(const char *pin_dir);

/** enum tree_owner - who may change what is pinned: root alone, or the exporter's user, too */
enum tree_owner { TREE_ROOTS, TREE_EXPORTERS };

/**
 * tree__pin - pin a program, map or link with our mode and group
 * @fd:    its descriptor
 * @owner: of maps the exporter, which takes out what it has exported
 * @fmt:   path
 *
 * Return: 0 or -errno.
 */
int tree__pin(int fd, enum tree_owner owner, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#endif
