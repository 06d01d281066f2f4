// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
/* What cgroup names say, where cgroup v2 is, and the Resources made of that. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cgroup.h"
#include "ktap.h"
#include "otlp/fields.h"
#include "resource.h"

/* --- names ---------------------------------------------------------------- */

#define ID "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define ID2 "fedcba9876543210fedcba9876543210fedcba9876543210fedcba9876543210"
#define ID63 "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"
#define POD "2f8e8b3c-6a1d-4b57-9c0e-d4f1a2b3c4d5"
#define POD_ "2f8e8b3c_6a1d_4b57_9c0e_d4f1a2b3c4d5"

static const struct {
	const char *path;
	const char *container, *pod, *unit;
} paths[] = {
	/* Docker: systemd's driver, its own, rootless, in Docker */
	{"/system.slice/docker-" ID ".scope", ID, "", ""},
	{"/docker/" ID, ID, "", ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" ID ".scope", ID, "",
	 ""},
	{"/docker/" ID "/docker/" ID2, ID2, "", ""},
	{"/docker/" ID "/init", ID, "", ""},
	/* containerd under Kubernetes: systemd's driver, cgroupfs, and one with the other's path */
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_
	 ".slice/cri-containerd-" ID ".scope",
	 ID, POD, ""},
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD_
	 ".slice/cri-containerd-" ID ".scope",
	 ID, POD, ""},
	{"/kubepods.slice/kubepods-pod" POD_ ".slice/cri-containerd-" ID ".scope", ID, POD, ""},
	{"/kubepods/burstable/pod" POD "/" ID, ID, POD, ""},
	{"/kubepods/pod" POD "/" ID, ID, POD, ""},
	{"/kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-burstable.slice/"
	 "kubelet-kubepods-burstable-pod" POD_ ".slice/cri-containerd-" ID ".scope",
	 ID, POD, ""}, /* kind */
	{"/system.slice/containerd.service/kubepods-burstable-pod" POD_ ".slice:cri-containerd:" ID,
	 ID, POD, ""},
	{"/kubepods-besteffort-pod" POD_ ".slice:cri-containerd:" ID, ID, POD, ""},
	/* The pod's own cgroup, and its children that are no container */
	{"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_ ".slice", "", POD,
	 ""},
	{"/kubepods/besteffort/pod" POD, "", POD, ""},
	{"/kubepods.slice/kubepods-burstable.slice", "", "", ""},
	/* Docker as Kubernetes' runtime */
	{"/kubepods.slice/kubepods-pod" POD_ ".slice/docker-" ID ".scope", ID, POD, ""},
	/* CRI-O: the container, what runs in it, the monitor */
	{"/kubepods.slice/kubepods-besteffort.slice/kubepods-besteffort-pod" POD_ ".slice/crio-" ID
	 ".scope",
	 ID, POD, ""},
	{"/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" ID ".scope/container", ID, POD, ""},
	{"/kubepods.slice/kubepods-pod" POD_ ".slice/crio-conmon-" ID ".scope", "", POD,
	 "crio-conmon-" ID ".scope"},
	/* Podman: rootful, rootless, with a cgroup below, its monitor, cgroupfs, a pod */
	{"/machine.slice/libpod-" ID ".scope", ID, "", ""},
	{"/machine.slice/libpod-" ID ".scope/container", ID, "", ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope", ID, "",
	 ""},
	{"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" ID ".scope/container",
	 ID, "", ""},
	{"/machine.slice/libpod-conmon-" ID ".scope", "", "", "libpod-conmon-" ID ".scope"},
	{"/libpod_parent/libpod-" ID, ID, "", ""},
	{"/machine.slice/machine-libpod_pod_" ID2 ".slice/libpod-" ID ".scope", ID, "", ""},
	/* systemd in a container */
	{"/system.slice/docker-" ID ".scope/system.slice/nginx.service", ID, "", ""},
	{"/machine.slice/libpod-" ID ".scope/container/init.scope", ID, "", ""},
	{"/docker/" ID "/user.slice/user-0.slice/session-1.scope", ID, "", ""},
	/* systemd */
	{"/system.slice/nginx.service", "", "", "nginx.service"},
	{"/system.slice/system-getty.slice/getty@tty1.service", "", "", "getty@tty1.service"},
	{"/system.slice/system-postgresql.slice/postgresql@15-main.service", "", "",
	 "postgresql@15-main.service"},
	{"/system.slice/dev-hugepages.mount", "", "", "dev-hugepages.mount"},
	{"/system.slice/dbus.socket", "", "", "dbus.socket"},
	{"/system.slice/containerd.service", "", "", "containerd.service"},
	{"/system.slice/system-serial\\x2dgetty.slice/serial-getty@ttyS0.service", "", "",
	 "serial-getty@ttyS0.service"},
	{"/system.slice/systemd-udevd.service/udev", "", "", "systemd-udevd.service"},
	{"/init.scope", "", "", "init.scope"},
	{"/user.slice/user-1000.slice/session-3.scope", "", "", "session-3.scope"},
	{"/user.slice/user-1000.slice/user@1000.service/app.slice/gnome-terminal.service", "", "",
	 "gnome-terminal.service"},
	{"/user.slice/user-1000.slice/user@1000.service/init.scope", "", "", "init.scope"},
	{"/user.slice/user-1000.slice", "", "", ""},
	{"/system.slice", "", "", ""},
	{"/", "", "", ""},
	{"", "", "", ""},
	{"//", "", "", ""},
	{"/system.slice/nginx.service/", "", "", "nginx.service"},
	{"no/slash/in/front.service", "", "", "front.service"},
	/* Near misses */
	{"/docker/" ID63, "", "", ""},
	{"/docker/" ID "0", "", "", ""},
	{"/docker/" ID63 "g", "", "", ""},
	{"/system.slice/docker-" ID63 ".scope", "", "", "docker-" ID63 ".scope"},
	{"/system.slice/docker-" ID "0.scope", "", "", "docker-" ID "0.scope"},
	{"/system.slice/docker" ID ".scope", "", "", "docker" ID ".scope"},
	{"/docker/" ID ".service", "", "", ID ".service"},
	{"/kubepods/pod2f8e8b3c-6a1d-4b57-9c0e-d4f1a2b3c4d", "", "", ""},
	{"/kubepods/pod" POD "0", "", "", ""},
	{"/kubepods/pod2f8e8b3c-6a1d-4b57-9c0e-d4f1a2b3c4dx", "", "", ""},
	{"/kubepods/pod2f8e8b3c06a1d-4b57-9c0e-d4f1a2b3c4d5", "", "", ""},
	{"/kubepods/" POD, "", "", ""},
	{"/.service", "", "", ""},
	{"/.scope", "", "", ""},
	{"/a.servic", "", "", ""},
};

TEST(identities)
{
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct cgroup_identity identity;
		bool right;

		memset(&identity, '#', sizeof(identity));
		cgroup__identify(paths[i].path, &identity);
		right = EXPECT_STREQ(identity.container_id, paths[i].container);
		right &= EXPECT_STREQ(identity.pod_uid, paths[i].pod);
		right &= EXPECT_STREQ(identity.unit, paths[i].unit);
		if (!right)
			printf("path: %s\n", paths[i].path);
	}
}

TEST(long_names)
{
	struct cgroup_identity identity;
	char path[1024];

	/* A unit's name has at most 255 bytes, a directory's too. */
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	strcpy(path + 1 + 255 - 8, ".service");
	cgroup__identify(path, &identity);
	EXPECT_EQ(strlen(identity.unit), 255);
	memset(path, 'a', sizeof(path));
	path[0] = '/';
	strcpy(path + 1000, ".service");
	cgroup__identify(path, &identity);
	EXPECT_STREQ(identity.unit, "");
}

/* --- the mount ------------------------------------------------------------ */

static const struct {
	const char *mounts;
	const char *path; /* NULL: none */
} mounts[] = {
	{"proc /proc proc rw 0 0\n"
	 "cgroup2 /sys/fs/cgroup cgroup2 rw,nosuid,nodev,noexec,relatime,nsdelegate 0 0\n",
	 "/sys/fs/cgroup"},
	{"tmpfs /sys/fs/cgroup tmpfs ro,nosuid,nodev,noexec,mode=755 0 0\n"
	 "cgroup2 /sys/fs/cgroup/unified cgroup2 rw,nosuid,nodev,noexec,relatime 0 0\n"
	 "cgroup /sys/fs/cgroup/systemd cgroup rw,xattr,name=systemd 0 0\n",
	 "/sys/fs/cgroup/unified"},
	{"tmpfs /sys/fs/cgroup tmpfs ro 0 0\ncgroup /sys/fs/cgroup/memory cgroup rw,memory 0 0\n",
	 NULL},
	{"none /mnt/my\\040cgroups\\134here cgroup2 rw 0 0\n", "/mnt/my cgroups\\here"},
	{"none /mnt/tab\\011and\\012line cgroup2 rw 0 0\n", "/mnt/tab\tand\nline"},
	{"cgroup2 /a cgroup2 rw 0 0\ncgroup2 /b cgroup2 rw 0 0\n", "/a"},
	{"cgroup2 /not/this/one tmpfs rw 0 0\n/cgroup2 /x ext4 rw 0 0\n", NULL},
	{"", NULL},
	{"\n\n# comment\ncgroup2\ncgroup2 /half\n", NULL},
	{"cgroup2 /last cgroup2 rw", "/last"},
};

static void write_file(char path[32], const char *text)
{
	int fd;

	strcpy(path, "/tmp/otelbpf-test-XXXXXX");
	fd = mkstemp(path);
	ASSERT_GE(fd, 0);
	ASSERT_EQ(write(fd, text, strlen(text)), (ssize_t)strlen(text));
	close(fd);
}

TEST(mount_points)
{
	for (size_t i = 0; i < sizeof(mounts) / sizeof(mounts[0]); i++) {
		char file[32], path[PATH_MAX] = "untouched";
		int err;

		write_file(file, mounts[i].mounts);
		err = cgroup__mount(file, path);
		unlink(file);
		EXPECT_EQ(err, mounts[i].path ? 0 : -ENOENT);
		EXPECT_STREQ(path, mounts[i].path ? mounts[i].path : "untouched");
	}
	EXPECT_EQ(cgroup__mount("/nonexistent/mounts", (char[PATH_MAX]){""}), -ENOENT);
}

struct visits {
	char text[512];
	int n;
	int stop_at;
};

static int visit(__u64 id, const char *path, void *ctx)
{
	struct visits *visits = ctx;
	size_t len = strlen(visits->text);

	EXPECT_NE(id, 0);
	snprintf(visits->text + len, sizeof(visits->text) - len, "%s ", path);
	return ++visits->n == visits->stop_at ? 77 : 0;
}

/* The walk looks at directories and no more, so any will do. */
TEST(walk)
{
	struct visits visits = {0};
	char root[] = "/tmp/otelbpf-test-XXXXXX";

	ASSERT_TRUE(mkdtemp(root));
	ASSERT_EQ(chdir(root), 0);
	ASSERT_EQ(mkdir("a", 0700), 0);
	ASSERT_EQ(mkdir("a/b", 0700), 0);
	ASSERT_EQ(mkdir("a/b/c d", 0700), 0);
	fclose(fopen("a/cgroup.procs", "w"));
	EXPECT_EQ(cgroup__walk(root, visit, &visits), 0);
	EXPECT_STREQ(visits.text, "/ /a /a/b /a/b/c d ");
	visits = (struct visits){.stop_at = 2};
	EXPECT_EQ(cgroup__walk(root, visit, &visits), 77);
	EXPECT_EQ(visits.n, 2);
	visits = (struct visits){.stop_at = 1};
	EXPECT_EQ(cgroup__walk(root, visit, &visits), 77);
	unlink("a/cgroup.procs");
	rmdir("a/b/c d");
	rmdir("a/b");
	rmdir("a");
	rmdir(root);
	EXPECT_EQ(cgroup__walk(root, visit, &visits), -ENOENT);
}

/* --- the host's Resource -------------------------------------------------- */

/* A Resource's attribute as text; "(none)", or "(twice)" if there are two. */
static const char *attribute(const struct resources *resources, int index, const char *key)
{
	const struct pb *encoded = resources__encoded(resources, index);
	const __u8 *at = encoded->data, *end = at + encoded->len, *in;
	static char text[PATH_MAX + 16];
	struct pb_field field, part;
	bool found = false;
	int err;

	snprintf(text, sizeof(text), "(none)");
	while ((err = pb__next(&at, end, &field)) > 0) {
		struct pb_field name = {0}, value = {0}, any;

		ASSERT_EQ(field.number, RESOURCE_ATTRIBUTES);
		in = field.data;
		while ((err = pb__next(&in, field.data + field.len, &part)) > 0)
			*(part.number == KEY_VALUE_KEY ? &name : &value) = part;
		ASSERT_EQ(err, 0);
		if (name.len != strlen(key) || memcmp(name.data, key, name.len))
			continue;
		if (found)
			return "(twice)";
		found = true;
		in = value.data;
		ASSERT_EQ(pb__next(&in, value.data + value.len, &any), 1);
		if (any.number == ANY_VALUE_STRING)
			snprintf(text, sizeof(text), "%.*s", (int)any.len, any.data);
		else
			snprintf(text, sizeof(text), "%lld", (long long)any.value);
	}
	ASSERT_EQ(err, 0);
	return text;
}

static void expect_attribute(const char *attributes, const char *service, const char *key,
			     const char *value)
{
	struct resources *resources = resources__new(attributes, service);

	ASSERT_TRUE(resources);
	if (!EXPECT_STREQ(attribute(resources, RESOURCE_HOST, key), value))
		printf("attributes: %s\n", attributes ? attributes : "NULL");
	resources__free(resources);
}

TEST(host)
{
	char name[HOST_NAME_MAX + 1] = "";

	gethostname(name, sizeof(name) - 1);
	expect_attribute(NULL, NULL, "os.type", "linux");
	if (name[0])
		expect_attribute(NULL, NULL, "host.name", name);
#ifdef __x86_64__
	expect_attribute(NULL, NULL, "host.arch", "amd64");
#endif
	expect_attribute(NULL, "shop", "service.name", "shop");
	expect_attribute("", "", "service.name", "(none)");
}

TEST(resource_attributes)
{
	static const struct {
		const char *text, *key, *value;
	} good[] = {
		{"a=b", "a", "b"},
		{"a=b,c=d", "c", "d"},
		{" a = b , c = d ", "a", "b"},
		{" a = b , c = d ", "c", "d"},
		{"a=", "a", ""},
		{"a=b=c", "a", "b=c"},
		{"a=b%2Cc%3dd", "a", "b,c=d"},
		{"a%20b=%25", "a b", "%"},
		{"a=%C3%A9", "a", "\xc3\xa9"},
		{"a=\xc3\xa9", "a", "\xc3\xa9"},
		{"a=%ff", "a", "?"}, /* a receiver would refuse the request */
		{"a=1,a=2", "a", "2"},
		{"a=b,", "a", "b"},
		{"host.name=mine", "host.name", "mine"},
		{"service.name=mine", "service.name", "mine"},
	};
	/* One error, and nothing of it counts. */
	static const char *const bad[] = {
		"a=b,c",     "a=b,=d",	   "a=b,c=%",	 "a=b,c=%4",  "a=b,c=%g0",
		"a=b,c=%0g", "a=b,%zz=d",  "a=b,c=%00x", "a=b,%00=x", "a=b,%ff=x",
		"a=b, =d",   "a=b,\xff=d", "a=b,c=d%0a",
	};

	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++)
		expect_attribute(good[i].text, NULL, good[i].key, good[i].value);
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		expect_attribute(bad[i], NULL, "a", "(none)");
		expect_attribute(bad[i], "shop", "service.name", "shop");
		expect_attribute(bad[i], NULL, "os.type", "linux");
	}
	expect_attribute("service.name=mine,a=b", "shop", "service.name", "shop");
	expect_attribute("service.name=mine,a=b", "shop", "a", "b");
	expect_attribute("service.name=mine", "", "service.name", "mine");
}

TEST(many_resource_attributes)
{
	char *text = calloc(1, 1 << 16);
	size_t len = 0;

	ASSERT_TRUE(text);
	for (int i = 0; i < 100; i++)
		len += sprintf(text + len, "%skey%d=%d", i ? "," : "", i, i);
	expect_attribute(text, "shop", "key99", "99");
	expect_attribute(text, "shop", "service.name", "shop");
	for (int i = 100; i < 1000; i++)
		len += sprintf(text + len, ",key%d=%d", i, i);
	expect_attribute(text, "shop", "key1", "(none)"); /* too many: ignored whole */
	expect_attribute(text, "shop", "service.name", "shop");
	free(text);
}

/* --- cgroups' Resources --------------------------------------------------- */

TEST(unknown_cgroups)
{
	struct resources *resources = resources__new("a=b", "shop");
	const int n = 1000;
	char text[32];

	ASSERT_TRUE(resources);
	EXPECT_EQ(resources__cgroup(resources, 0, -1), RESOURCE_HOST);
	for (int round = 0; round < 2; round++)
		for (int i = 1; i <= n; i++)
			ASSERT_EQ(resources__cgroup(resources, (__u64)i << 33, -1), i);
	EXPECT_EQ(resources__count(resources), n + 1);
	snprintf(text, sizeof(text), "%lld", 500LL << 33);
	EXPECT_STREQ(attribute(resources, 500, "otelbpf.cgroup.id"), text);
	EXPECT_STREQ(attribute(resources, 500, "process.linux.cgroup"), "(none)");
	EXPECT_STREQ(attribute(resources, 500, "a"), "b");
	EXPECT_STREQ(attribute(resources, 500, "service.name"), "shop");
	EXPECT_STREQ(attribute(resources, RESOURCE_HOST, "otelbpf.cgroup.id"), "(none)");
	resources__free(resources);
}

/* What is gone keeps its Resource as long as it is asked for, and then makes room. */
TEST(life_of_a_cgroup)
{
	char mount[PATH_MAX], path[PATH_MAX + 128], want[256];
	struct resources *resources;
	struct stat st, root;
	int index;

	if (cgroup__mount("/proc/self/mounts", mount))
		SKIP("no cgroup v2 is mounted");
	snprintf(path, sizeof(path), "%s/docker-" ID2 "-%d.scope", mount, getpid());
	snprintf(want, sizeof(want), "0::/docker-" ID2 "-%d.scope", getpid());
	if (mkdir(path, 0755))
		SKIP("cannot make a cgroup: %s", strerror(errno));
	ASSERT_EQ(stat(path, &st), 0);
	ASSERT_EQ(stat(mount, &root), 0);
	resources = resources__new(NULL, NULL);
	ASSERT_TRUE(resources);
	index = resources__cgroup(resources, st.st_ino, -1);
	EXPECT_GT(index, 0);
	EXPECT_STREQ(attribute(resources, index, "process.linux.cgroup"), want);
	EXPECT_STREQ(attribute(resources, index, "systemd.unit"), want + 4);
	resources__refresh(resources);
	EXPECT_FALSE(resources__gone(resources, index));
	EXPECT_EQ(resources__cgroup(resources, st.st_ino, -1), index);
	EXPECT_EQ(rmdir(path), 0);
	EXPECT_FALSE(resources__gone(resources, index)); /* only a refresh looks */
	resources__refresh(resources);
	if (root.st_ino == 1) {
		EXPECT_TRUE(resources__gone(resources, index));
		EXPECT_EQ(resources__cgroup(resources, st.st_ino, -1), index);
		EXPECT_STREQ(attribute(resources, index, "process.linux.cgroup"), want);
		resources__refresh(resources); /* was asked for: stays */
		EXPECT_TRUE(resources__gone(resources, index));
		resources__refresh(resources); /* was not: its place is free */
		EXPECT_EQ(resources__cgroup(resources, 1ULL << 60, -1), index);
		EXPECT_STREQ(attribute(resources, index, "process.linux.cgroup"), "(none)");
		EXPECT_FALSE(resources__gone(resources, index));
	} else {
		EXPECT_FALSE(resources__gone(resources, index)); /* hidden is not gone */
	}
	resources__free(resources);
}

TEST_MAIN()
