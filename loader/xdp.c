// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "xdp.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <errno.h>
#include <fcntl.h>
#include <glob.h>
#include <linux/ethtool.h>
#include <linux/if_link.h>
#include <linux/sockios.h>
#include <net/if.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include <xdp/libxdp.h>

#include "cleanup.h"
#include "log.h"
#include "path.h"
#include "pins.h"
#include "tree.h"

bool xdp__is_mode(const char *mode)
{
	return !strcmp(mode, "auto") || !strcmp(mode, "native") || !strcmp(mode, "generic") ||
	       !strcmp(mode, "none");
}

/* --- the dispatcher ------------------------------------------------------------ */

/* What it says is not for people: it has fallbacks, and so have we. */
static int say_nothing(enum libxdp_print_level level, const char *format, va_list args)
{
	(void)level;
	(void)format;
	(void)args;
	return 0;
}

static bool is_xdp(const struct bpf_program *prog)
{
	return bpf_program__type(prog) == BPF_PROG_TYPE_XDP;
}

/* Constants of the object's, but for its number: in a dispatcher both versions are called. */
static int copy_constants(const struct object *object, struct bpf_map *map,
			  const struct bpf_map *twin)
{
	size_t size, twin_size;
	const char *image = bpf_map__initial_value((struct bpf_map *)twin, &twin_size);
	char *copy = (char *)bpf_map__initial_value(map, &size),
	     *attempt = (char *)object->turn_attempt;

	if (!image || !copy || size != twin_size)
		return -EINVAL;
	memcpy(copy, image, size);
	if (attempt && attempt >= image && attempt < image + size)
		memcpy(copy + (attempt - image), &object->attempt, sizeof(object->attempt));
	return 0;
}

static bool is_constants(const struct bpf_map *map)
{
	const char *section = object__section(map);

	return section && !strncmp(section, ".rodata", 7);
}

/*
 * Each XDP program as an extension of itself: that has the signature which every place in a
 * dispatcher has, and a link to one of those names its own target.
 */
static int extend(const struct object *object, struct bpf_object *copy)
{
	struct bpf_program *prog;
	struct bpf_map *map;
	int n = 0, err = 0;

	bpf_object__for_each_program (prog, copy) {
		const char *name = bpf_program__name(prog);
		const struct bpf_program *twin;

		twin = bpf_object__find_program_by_name(object->obj, name);
		if (!is_xdp(prog) || !twin || bpf_program__fd(twin) < 0) {
			bpf_program__set_autoload(prog, false);
			continue;
		}
		n++;
		bpf_program__set_type(prog, BPF_PROG_TYPE_EXT);
		bpf_program__set_expected_attach_type(prog, 0);
		bpf_program__set_flags(prog, 0); /* frags are the dispatcher's matter */
		err = err ? err : bpf_program__set_attach_target(prog, bpf_program__fd(twin), name);
	}
	bpf_object__for_each_map (map, copy) {
		const struct bpf_map *twin =
			bpf_object__find_map_by_name(object->obj, bpf_map__name(map));

		if (!err && twin && is_constants(map))
			err = copy_constants(object, map, twin);
		else if (!err && twin && object__map_fd(twin) >= 0)
			err = bpf_map__reuse_fd(map, object__map_fd(twin));
	}
	return err ? err : n;
}

int xdp__load_extensions(const struct object *object, const char *dir)
{
	LIBBPF_OPTS(bpf_object_open_opts, opts, .object_name = object->target->probe);
	struct bpf_program *prog;
	struct bpf_object *copy;
	bool wanted = false;
	int n, err;

	bpf_object__for_each_program (prog, object->obj)
		wanted |= is_xdp(prog) && bpf_program__fd(prog) >= 0;
	if (!wanted)
		return 0;
	copy = bpf_object__open_mem(object->image, object->image_size, &opts);
	if (!copy)
		return -errno;
	n = err = extend(object, copy);
	if (n > 0)
		err = bpf_object__load(copy);
	bpf_object__for_each_program (prog, copy)
		if (!err && dir && bpf_program__fd(prog) >= 0)
			err = tree__pin(bpf_program__fd(prog), TREE_ROOTS, "%s/prog/%s_ext", dir,
					bpf_program__name(prog));
	bpf_object__close(copy);
	log__reset();
	return err < 0 ? err : n;
}

static int open_extension(const struct netdev *netdev)
{
	char path[PATH_MAX];

	if (path__format(path, "%s/prog/%s_ext", netdev->dir, netdev->prog))
		return -1;
	return bpf_obj_get(path);
}

/* 1, 0, or -errno where that cannot be told. */
static int is_member(unsigned int ifindex, struct xdp_program *program)
{
	struct xdp_multiprog *all = xdp_multiprog__get_from_ifindex(ifindex);
	struct xdp_program *one = NULL;
	int found = 0, err = libxdp_get_error(all);

	/* Nothing is there, or no interface. */
	if (err)
		return err == -ENOENT || err == -ENODEV ? 0 : err;
	while (!xdp_multiprog__is_legacy(all) && (one = xdp_multiprog__next_prog(one, all)))
		found |= xdp_program__id(one) == xdp_program__id(program);
	xdp_multiprog__close(all);
	return found;
}

static int join(struct netdev *netdev, bool generic)
{
	enum netdev_way way = generic ? NETDEV_DISPATCHER_GENERIC : NETDEV_DISPATCHER_NATIVE;
	_cleanup_fd_ int fd = open_extension(netdev);
	struct xdp_program *program;
	int err;

	if (fd < 0)
		return -EOPNOTSUPP;
	libxdp_set_print(say_nothing);
	program = xdp_program__from_fd(fd);
	err = libxdp_get_error(program);
	if (err)
		return err;
	err = netdev__remember(netdev, way, fd);
	if (!err) {
		err = xdp_program__attach(program, netdev->index,
					  generic ? XDP_MODE_SKB : XDP_MODE_NATIVE, 0);
		/* It may have gone without the dispatcher, which needs another type. */
		if (!err && is_member(netdev->index, program) != 1)
			err = -EOPNOTSUPP;
		if (err)
			netdev__take_back(netdev, way, fd);
	}
	netdev->way = way;
	xdp_program__close(program);
	return err;
}

static bool has_pin_of(const char *dir, __u32 id)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];
	bool found = false;

	if (pins__list(dir, &names) < 0)
		return false;
	for (char **name = names; name && *name && !found; name++) {
		struct bpf_prog_info info = {};
		__u32 len = sizeof(info);
		_cleanup_fd_ int fd = -1;

		if (!strstr(*name, "-prog") || path__format(path, "%s/%s", dir, *name))
			continue;
		fd = bpf_obj_get(path);
		found = fd >= 0 && !bpf_obj_get_info_by_fd(fd, &info, &len) && info.id == id;
	}
	return found;
}

static void remove_pins(const char *dir)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];

	if (pins__list(dir, &names) < 0)
		return;
	for (char **name = names; name && *name; name++)
		if (!path__format(path, "%s/%s", dir, *name))
			unlink(path);
	rmdir(dir);
}

void xdp__clean_after(unsigned int ifindex, int prog)
{
	const char *bpffs = getenv(XDP_BPFFS_ENVVAR);
	char pattern[PATH_MAX], dir[PATH_MAX];
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	_cleanup_fd_ int lock = -1;
	glob_t dirs = {};

	bpffs = bpffs ? bpffs : "/sys/fs/bpf";
	if (bpf_obj_get_info_by_fd(prog, &info, &len) || path__format(dir, "%s/xdp", bpffs) ||
	    path__format(pattern, "%s/dispatch-%u-*", dir, ifindex))
		return;
	/* The lock that libxdp takes. */
	lock = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (lock < 0 || flock(lock, LOCK_EX))
		return;
	glob(pattern, 0, NULL, &dirs);
	for (size_t i = 0; i < dirs.gl_pathc; i++)
		if (has_pin_of(dirs.gl_pathv[i], info.id))
			remove_pins(dirs.gl_pathv[i]);
	globfree(&dirs);
}

int xdp__leave(unsigned int ifindex, bool generic, int prog)
{
	struct xdp_program *program;
	int err, member;

	libxdp_set_print(say_nothing);
	program = xdp_program__from_fd(prog);
	err = libxdp_get_error(program);
	if (err)
		return err;
	member = is_member(ifindex, program);
	if (member > 0) {
		err = xdp_program__detach(program, ifindex,
					  generic ? XDP_MODE_SKB : XDP_MODE_NATIVE, 0);
		member = is_member(ifindex, program);
	}
	/* Never while the dispatcher is at work: its links are all that holds its programs. */
	if (!member)
		xdp__clean_after(ifindex, prog);
	xdp_program__close(program);
	return member < 0 ? member : member ? (err ? err : -EBUSY) : 0;
}

/* --- alone --------------------------------------------------------------------- */

static int link_alone(struct netdev *netdev, bool generic, int prog)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts,
		    .flags = generic ? XDP_FLAGS_SKB_MODE : XDP_FLAGS_DRV_MODE);
	int link = bpf_link_create(prog, netdev->index, BPF_XDP, &opts);

	netdev->way = generic ? NETDEV_GENERIC : NETDEV_NATIVE;
	return link < 0 ? -errno : link;
}

/*
 * veth in native mode takes segmentation offload from its peer: containers would send
 * slower for being counted. tc costs them less.
 */
static bool is_veth(const struct netdev *netdev)
{
	struct ethtool_drvinfo info = {.cmd = ETHTOOL_GDRVINFO};
	struct ifreq request = {.ifr_data = (char *)&info};
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);

	memcpy(request.ifr_name, netdev->name, sizeof(request.ifr_name));
	return fd >= 0 && !ioctl(fd, SIOCETHTOOL, &request) && !strcmp(info.driver, "veth");
}

int xdp__attach(struct netdev *netdev, const char *mode, int prog)
{
	bool generic = !strcmp(mode, "generic");

	if (!strcmp(mode, "auto") && is_veth(netdev))
		return -EOPNOTSUPP;
	if (!join(netdev, generic))
		return NETDEV_NO_LINK;
	return link_alone(netdev, generic, prog);
}
