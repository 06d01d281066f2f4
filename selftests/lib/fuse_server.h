/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* A file system in user space whose server can fall silent. */
#ifndef SELFTESTS_FUSE_SERVER_H
#define SELFTESTS_FUSE_SERVER_H

#include <stddef.h>

enum fuse_silence { FUSE_ANSWERS, FUSE_NEVER_READS, FUSE_NEVER_ANSWERS };

/**
 * struct fuse_gate - how slowly a server answers what reads from its file; shared with it
 * @asked:    reads that came so far; written by the server
 * @allowed:  so many of them are answered
 * @delay_us: none earlier than so much after it came
 */
struct fuse_gate {
	unsigned int asked;
	unsigned int allowed;
	unsigned int delay_us;
};

/**
 * fuse_server__start - mount over a file, or a directory, in a mount namespace of our own
 * @at:      where; exists
 * @bytes:   what the file there holds then; NULL: @at is a directory, and empty
 * @size:    in bytes
 * @silence: what is not answered; the first request always is
 *
 * The server is a child that ends with the caller; what waits for it goes on then.
 *
 * Return: 0 or -errno.
 */
int fuse_server__start(const char *at, const void *bytes, size_t size, enum fuse_silence silence);

/** fuse_server__start_gated() - the same; what is read is answered as @gate says, page by page */
int fuse_server__start_gated(const char *at, const void *bytes, size_t size,
			     struct fuse_gate *gate);

#endif
