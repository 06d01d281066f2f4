// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include <endian.h>
#include <errno.h>
#include <nettle/sha2.h>
#include <nettle/version.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "profile.h"

#define SLICE 4096

/* A short read is a file that was cut meanwhile: its hash would be one of no file. */
static int add_slice(struct sha256_ctx *ctx, int fd, off_t offset, size_t len)
{
	__u8 data[SLICE];
	size_t have = 0;

	while (have < len) {
		ssize_t n = pread(fd, data + have, len - have, offset + have);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ESTALE;
		have += n;
	}
	sha256_update(ctx, len, data);
	return 0;
}

int profile__htlhash(int fd, __u8 out[16])
{
	__u8 digest[SHA256_DIGEST_SIZE];
	struct sha256_ctx ctx;
	struct stat st;
	size_t slice;
	__u64 length;
	int err;

	if (fstat(fd, &st))
		return -errno;
	if (!S_ISREG(st.st_mode))
		return -EINVAL;
	slice = st.st_size < SLICE ? st.st_size : SLICE;
	length = htobe64(st.st_size);
	sha256_init(&ctx);
	err = add_slice(&ctx, fd, 0, slice) ?: add_slice(&ctx, fd, st.st_size - slice, slice);
	if (err)
		return err;
	sha256_update(&ctx, sizeof(length), (const __u8 *)&length);
#if NETTLE_VERSION_MAJOR >= 4
	sha256_digest(&ctx, digest);
#else
	sha256_digest(&ctx, sizeof(digest), digest);
#endif
	memcpy(out, digest, 16);
	return 0;
}
