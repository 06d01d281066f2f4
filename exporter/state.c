// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "state.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "otlp/pb.h"

#define STATE_MAX ((size_t)1 << 30)

struct head {
	char what[64]; /* and of which build */
	char boot[40];
};

/* Followed by @len bytes. */
struct part_head {
	char name[64];
	__u64 len;
	__u64 checksum; /* CRC-32 */
};

static void describe(struct head *head, int mode)
{
	FILE *file = fopen("/proc/sys/kernel/random/boot_id", "re");

	*head = (struct head){0};
	snprintf(head->what, sizeof(head->what), "otelbpf-exporter state %s %s %d", OTELBPF_VERSION,
		 OTELBPF_COMMIT, mode);
	if (!file)
		return;
	if (!fgets(head->boot, sizeof(head->boot), file))
		head->boot[0] = '\0';
	fclose(file);
}

static int write_all(int fd, const struct pb *pb)
{
	for (size_t at = 0; at < pb->len;) {
		ssize_t n = write(fd, pb->data + at, pb->len - at);

		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n ? -errno : -ENOSPC;
		at += n;
	}
	return 0;
}

static int replace(const char *path, const struct pb *pb)
{
	char temporary[PATH_MAX];
	int fd, err;

	if (snprintf(temporary, sizeof(temporary), "%s~new", path) >= (int)sizeof(temporary))
		return -ENAMETOOLONG;
	fd = open(temporary, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return -errno;
	err = write_all(fd, pb);
	if (close(fd) && !err)
		err = -errno;
	if (!err && rename(temporary, path))
		err = -errno;
	if (err)
		unlink(temporary);
	return err;
}

int state__write(const char *path, int mode, const struct state_part *parts, int n)
{
	struct pb pb = {0};
	struct head head;
	int err = -ENOMEM;

	describe(&head, mode);
	pb__raw(&pb, &head, sizeof(head));
	for (int i = 0; i < n; i++) {
		struct part_head part = {0};
		size_t at = pb.len;

		snprintf(part.name, sizeof(part.name), "%s", parts[i].name);
		pb__raw(&pb, &part, sizeof(part));
		baseline__save(parts[i].baseline, &pb);
		if (pb.failed)
			break;
		part.len = pb.len - at - sizeof(part);
		part.checksum = crc32_z(0, pb.data + at + sizeof(part), part.len);
		memcpy(pb.data + at, &part, sizeof(part));
	}
	if (!pb.failed)
		err = replace(path, &pb);
	pb__free(&pb);
	return err;
}

static int read_all(const char *path, struct pb *pb)
{
	int fd = open(path, O_RDONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK), err = 0;
	struct stat st;
	ssize_t n = 0;

	if (fd < 0)
		return -errno;
	if (fstat(fd, &st))
		err = -errno;
	else if (!S_ISREG(st.st_mode) || (size_t)st.st_size > STATE_MAX)
		err = -EBADMSG;
	else if (!pb__reserve(pb, st.st_size + 1))
		err = -ENOMEM;
	while (!err && pb->len < (size_t)st.st_size &&
	       (n = read(fd, pb->data + pb->len, st.st_size - pb->len)) > 0)
		pb->len += n;
	if (n < 0)
		err = -errno;
	close(fd);
	return err;
}

static int take_part(const struct part_head *head, const __u8 *data, const struct state_part *parts,
		     int n)
{
	for (int i = 0; i < n; i++) {
		char name[sizeof(head->name)] = "";
		int err;

		snprintf(name, sizeof(name), "%s", parts[i].name);
		if (memcmp(name, head->name, sizeof(name)))
			continue;
		err = baseline__restore(parts[i].baseline, data, head->len);
		return err ? err : 1;
	}
	return 0;
}

int state__read(const char *path, int mode, const struct state_part *parts, int n)
{
	struct part_head part;
	struct head head, ours;
	struct pb pb = {0};
	size_t at = sizeof(head);
	int found = 0, err;

	err = read_all(path, &pb);
	if (err || pb.len < sizeof(head)) {
		pb__free(&pb);
		return err == -ENOENT ? 0 : err ? err : -EBADMSG;
	}
	describe(&ours, mode);
	memcpy(&head, pb.data, sizeof(head));
	if (memcmp(&head, &ours, sizeof(head)))
		at = pb.len;
	for (; at < pb.len && !err; at += part.len) {
		err = -EBADMSG;
		if (pb.len - at < sizeof(part))
			break;
		memcpy(&part, pb.data + at, sizeof(part));
		at += sizeof(part);
		if (part.len > pb.len - at || part.checksum != crc32_z(0, pb.data + at, part.len))
			break;
		err = take_part(&part, pb.data + at, parts, n);
		found += err > 0;
		err = err < 0 ? err : 0;
	}
	pb__free(&pb);
	return err ? err : found;
}
