// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "netdev.h"

#include <bpf/bpf.h>
#include <ctype.h>
#include <errno.h>
#include <fnmatch.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "cleanup.h"
#include "hook.h"
#include "netns.h"
#include "path.h"
#include "pins.h"
#include "tc.h"
#include "tree.h"
#include "xdp.h"

static const char *const ways[NETDEV_WAYS] = {
	[NETDEV_NATIVE] = "native",
	[NETDEV_GENERIC] = "generic",
	[NETDEV_DISPATCHER_NATIVE] = "dispatcher-native",
	[NETDEV_DISPATCHER_GENERIC] = "dispatcher-generic",
	[NETDEV_TCX] = "tcx",
	[NETDEV_CLSACT_INGRESS] = "clsact-ingress",
	[NETDEV_CLSACT_EGRESS] = "clsact-egress",
};

/* --- names ---------------------------------------------------------------------- */

int netdev__check_patterns(const char *patterns)
{
	size_t len = strlen(patterns);

	if (!len || patterns[0] == ',' || patterns[len - 1] == ',' || strstr(patterns, ",,"))
		return -EINVAL;
	for (const char *c = patterns; *c; c++)
		if (!isgraph((unsigned char)*c) || *c == '/')
			return -EINVAL;
	return 0;
}

bool netdev__matches(const char *patterns, const char *name)
{
	bool matches = false, only_exceptions = true;
	char pattern[64];

	for (const char *at = patterns; *at;) {
		size_t len = strcspn(at, ",");
		bool exception = *at == '!';

		snprintf(pattern, sizeof(pattern), "%.*s", (int)(len - exception), at + exception);
		if (!fnmatch(pattern, name, 0)) {
			if (exception)
				return false;
			matches = true;
		}
		only_exceptions &= exception;
		at += len + (at[len] == ',');
	}
	return matches || only_exceptions;
}

static const char *patterns_of(const char *section)
{
	return strrchr(section, '/') + 1;
}

/* The programs read Ethernet headers; a tunnel's packets have none. */
static bool has_ethernet(const char *name)
{
	_cleanup_fd_ int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	struct ifreq request = {};

	snprintf(request.ifr_name, sizeof(request.ifr_name), "%s", name);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &request))
		return false;
	return request.ifr_hwaddr.sa_family == ARPHRD_ETHER ||
	       request.ifr_hwaddr.sa_family == ARPHRD_LOOPBACK;
}

/* --- what is remembered --------------------------------------------------------- */

struct pin {
	unsigned int index;
	enum netdev_way way;
	unsigned long netns; /* 0: a link */
	size_t prog;	     /* length of the program's name */
};

static void print_pin(const struct netdev *netdev, enum netdev_way way, bool is_link,
		      char text[NAME_MAX])
{
	int len = snprintf(text, NAME_MAX, "%s_if%u_%s", netdev->prog, netdev->index, ways[way]);

	if (!is_link && len < NAME_MAX)
		snprintf(text + len, NAME_MAX - len, "_ns%lu", netdev->netns);
}

static bool parse_pin(const char *name, struct pin *pin)
{
	char way[32];
	const char *at = NULL;
	int n;

	*pin = (struct pin){};
	for (const char *next = name; (next = strstr(next, "_if")); next++)
		at = next;
	if (!at)
		return false;
	n = sscanf(at, "_if%u_%31[a-z-]_ns%lu", &pin->index, way, &pin->netns);
	if (n < 2)
		return false;
	for (pin->way = 0; pin->way < NETDEV_WAYS; pin->way++)
		if (!strcmp(ways[pin->way], way))
			break;
	pin->prog = at - name;
	return pin->way < NETDEV_WAYS;
}

/* Whether it is a pin of that program, by its file's name. */
static bool is_of(const struct pin *pin, const char *name, const char *prog)
{
	return pin->prog == strlen(prog) && !strncmp(name, prog, pin->prog);
}

int netdev__remember(const struct netdev *netdev, enum netdev_way way, int prog)
{
	char name[NAME_MAX];

	/* Without it nobody would know where to detach it again. */
	if (!netdev->netns)
		return -ENOENT;
	print_pin(netdev, way, false, name);
	return tree__pin(prog, TREE_ROOTS, "%s/link/%s", netdev->dir, name);
}

void netdev__take_back(const struct netdev *netdev, enum netdev_way way, int prog)
{
	char name[NAME_MAX], path[PATH_MAX];

	print_pin(netdev, way, false, name);
	if (!path__format(path, "%s/link/%s", netdev->dir, name) && netdev__undo(prog, name) > 0)
		unlink(path);
}

static int undo(const struct pin *pin, int fd)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int home, err = 0;

	if (bpf_obj_get_info_by_fd(fd, &info, &len))
		return -errno;
	home = netns__enter(pin->netns);
	/* A namespace that is gone has taken its interfaces along. */
	if (home == -ENOENT) {
		xdp__clean_after(pin->index, fd);
		return 0;
	}
	if (home < 0)
		return home;
	switch (pin->way) {
	case NETDEV_CLSACT_INGRESS:
	case NETDEV_CLSACT_EGRESS:
		err = tc__detach(pin->index, pin->way == NETDEV_CLSACT_EGRESS, info.id);
		break;
	case NETDEV_DISPATCHER_NATIVE:
	case NETDEV_DISPATCHER_GENERIC:
		err = xdp__leave(pin->index, pin->way == NETDEV_DISPATCHER_GENERIC, fd);
		break;
	default:
		break;
	}
	netns__leave(home);
	return err;
}

int netdev__undo(int fd, const char *name)
{
	struct pin pin;
	int err;

	if (!parse_pin(name, &pin) || !pin.netns)
		return 0;
	err = fd < 0 ? fd : undo(&pin, fd);
	return err ? err : 1;
}

int netdev__undo_all(const char *dir)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];
	int n, err = path__format(path, "%s/link", dir);

	n = err ? err : pins__list(path, &names);
	if (n < 0)
		return n;
	for (int i = 0; i < n; i++) {
		_cleanup_fd_ int fd = path__format(path, "%s/link/%s", dir, names[i]);
		int one;

		fd = fd ? fd : bpf_obj_get(path);
		one = netdev__undo(fd, names[i]);
		err = one < 0 ? one : err;
	}
	return err;
}

static bool is_on(const struct pin *pin, unsigned int index, unsigned long netns)
{
	return pin->index == index && (!pin->netns || pin->netns == netns);
}

static bool has_pin(char **names, unsigned int index, unsigned long netns)
{
	struct pin pin;

	for (char **name = names; name && *name; name++)
		if (parse_pin(*name, &pin) && is_on(&pin, index, netns))
			return true;
	return false;
}

/* --- another version ------------------------------------------------------------ */

static const struct attachable *program_of(const struct attachable *list, int n, const char *name,
					   const struct pin *pin)
{
	for (int i = 0; i < n; i++)
		if (is_of(pin, name, list[i].name))
			return &list[i];
	return NULL;
}

/* A filter's pin is its program. The new one is pinned before, as always where there is no link. */
static int replace_filter(int old, int new, const struct pin *pin)
{
	struct bpf_prog_info info = {};
	__u32 len = sizeof(info);
	int home, err;

	if (bpf_obj_get_info_by_fd(old, &info, &len))
		return -errno;
	home = netns__enter(pin->netns);
	if (home < 0)
		return home;
	err = tc__replace(pin->index, pin->way == NETDEV_CLSACT_EGRESS, info.id, new);
	netns__leave(home);
	return err;
}

static int take_over(const char *from, const char *to, const char *name, const struct pin *pin,
		     int prog)
{
	_cleanup_fd_ int fd = -1;
	char path[PATH_MAX];
	int err;

	err = path__format(path, "%s/link/%s", from, name);
	fd = err ? -1 : bpf_obj_get(path);
	if (fd < 0)
		return err ? err : -errno;
	err = tree__pin(pin->netns ? prog : fd, TREE_ROOTS, "%s/link/%s", to, name);
	if (!err && pin->netns)
		err = replace_filter(fd, prog, pin);
	else if (!err && bpf_link_update(fd, prog, NULL))
		err = -errno;
	/* It may have been only the answer that was lost. */
	if (err && pin->netns)
		replace_filter(prog, fd, pin);
	if (err)
		path__format(path, "%s/link/%s", to, name);
	unlink(path);
	/* What has gone with its interface is nobody's any more. */
	return err == -ENOENT || err == -ENODEV || err == -ENOLINK ? 0 : err;
}

int netdev__take_over(const char *from, const char *to, const struct attachable *list, int n)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];
	int err;

	err = path__format(path, "%s/link", from);
	err = err ? err : pins__list(path, &names);
	for (char **name = names; err >= 0 && name && *name; name++) {
		const struct attachable *prog;
		struct pin pin;

		if (!parse_pin(*name, &pin) || pin.way == NETDEV_DISPATCHER_NATIVE ||
		    pin.way == NETDEV_DISPATCHER_GENERIC)
			continue;
		prog = program_of(list, n, *name, &pin);
		if (prog)
			err = take_over(from, to, *name, &pin, prog->fd);
	}
	return err < 0 ? err : 0;
}

/* --- attaching ------------------------------------------------------------------ */

/* It has been taken over from another version. */
static bool is_attached(const struct netdev *netdev, const char *prog)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX];
	struct pin pin;

	if (path__format(path, "%s/link", netdev->dir) || pins__list(path, &names) < 0)
		return false;
	for (char **name = names; name && *name; name++)
		if (parse_pin(*name, &pin) && is_on(&pin, netdev->index, netdev->netns) &&
		    is_of(&pin, *name, prog))
			return true;
	return false;
}

/* Returns 0 or -errno. */
static int attach_one(struct netdev *netdev, const struct attachable *prog)
{
	char name[NAME_MAX], mode[16];
	int link, err = 0;

	if (is_attached(netdev, prog->name))
		return 0;
	if (sscanf(prog->section, "xdp/%15[^/]/", mode) == 1)
		link = xdp__attach(netdev, mode, prog->fd);
	else
		link = tc__attach(netdev, !strncmp(prog->section, "tc/egress/", 10), prog->fd);
	if (link == NETDEV_NO_LINK)
		return 0;
	if (link < 0)
		return link;
	print_pin(netdev, netdev->way, true, name);
	err = tree__pin(link, TREE_ROOTS, "%s/link/%s", netdev->dir, name);
	close(link);
	return err;
}

static bool is_kind(const struct attachable *prog, const char *kind)
{
	return !strncmp(prog->section, kind, strlen(kind));
}

struct result {
	int wanted, attached;
	int err; /* the last one */
	char name[IF_NAMESIZE];
};

static void note(struct result *result, struct netdev *netdev, int err)
{
	/* It has gone meanwhile: then there is nothing to attach to. */
	if (err == -ENODEV || err == -ENXIO)
		return;
	result->wanted++;
	result->attached += !err;
	if (!err)
		return;
	result->err = err;
	snprintf(result->name, sizeof(result->name), "%s", netdev->name);
}

#define NOT_TRIED 1

/* All programs of one interface; XDP first, since another program may stand in for it. */
static void attach_interface(struct netdev *netdev, const struct attachable *list, int n,
			     struct result *result)
{
	int ingress = NOT_TRIED;
	bool has_another = false;

	for (int i = 0; i < n; i++)
		has_another |= is_kind(&list[i], "tc/ingress_without_xdp/") &&
			       is_attached(netdev, list[i].name);
	for (int i = 0; i < n && !has_another; i++) {
		if (!is_kind(&list[i], "xdp/") || is_kind(&list[i], "xdp/none/") ||
		    !netdev__matches(patterns_of(list[i].section), netdev->name))
			continue;
		netdev->prog = list[i].name;
		ingress = attach_one(netdev, &list[i]);
	}
	for (int i = 0; i < n; i++) {
		bool instead = is_kind(&list[i], "tc/ingress_without_xdp/");
		int err;

		if (!is_kind(&list[i], "tc/") || (instead && !ingress) ||
		    !netdev__matches(patterns_of(list[i].section), netdev->name))
			continue;
		netdev->prog = list[i].name;
		err = attach_one(netdev, &list[i]);
		if (instead)
			ingress = err;
		else
			note(result, netdev, err);
	}
	if (ingress != NOT_TRIED)
		note(result, netdev, ingress);
}

int netdev__attach(const char *dir, const struct attachable *list, int n, struct failure *failure)
{
	unsigned long netns = netns__inode();
	struct if_nameindex *interfaces;
	struct result result = {};
	bool any = false;

	for (int i = 0; i < n; i++)
		any |= hook__on_interfaces(list[i].section);
	if (!any)
		return 0;
	interfaces = if_nameindex();
	if (!interfaces)
		return failed(failure, EXIT_ATTACH, "cannot list the network interfaces: %s",
			      failure__reason(errno));
	for (struct if_nameindex *at = interfaces; at->if_name; at++) {
		struct netdev netdev = {.index = at->if_index, .dir = dir, .netns = netns};

		snprintf(netdev.name, sizeof(netdev.name), "%s", at->if_name);
		if (has_ethernet(netdev.name))
			attach_interface(&netdev, list, n, &result);
	}
	if_freenameindex(interfaces);
	if (result.wanted && !result.attached)
		return failed(failure,
			      result.err == -EACCES || result.err == -EPERM ? EXIT_PERMISSION
									    : EXIT_ATTACH,
			      "cannot attach to the interface %s: %s", result.name,
			      failure__reason(result.err));
	if (result.attached < result.wanted)
		warn("%d of %d attachments to interfaces failed, the last one to %s: %s",
		     result.wanted - result.attached, result.wanted, result.name,
		     failure__reason(result.err));
	return 0;
}

/* --- interfaces that come and go ------------------------------------------------- */

/* Links say so themselves; what has none is found by name. Of other namespaces nothing is known. */
static bool has_gone(int fd, const struct pin *pin, unsigned long netns)
{
	struct bpf_link_info info = {};
	__u32 len = sizeof(info);
	char name[IF_NAMESIZE];

	if (pin->netns)
		return pin->netns == netns && !if_indextoname(pin->index, name);
	/* A tcx link's number stands where an XDP link's does. */
	return !bpf_obj_get_info_by_fd(fd, &info, &len) && !info.xdp.ifindex;
}

static void let_go(const char *probe, const char *dir, char **names, unsigned long netns)
{
	char path[PATH_MAX];

	for (char **name = names; name && *name; name++) {
		_cleanup_fd_ int fd = -1;
		struct pin pin;

		if (!parse_pin(*name, &pin) || path__format(path, "%s/link/%s", dir, *name))
			continue;
		fd = bpf_obj_get(path);
		if (fd < 0 || !has_gone(fd, &pin, netns) || netdev__undo(fd, *name) < 0)
			continue;
		unlink(path);
		**name = '\0'; /* no pin any more */
		if (!has_pin(names, pin.index, netns))
			inform("%s: interface %u has gone", probe, pin.index);
	}
}

static void take_in(const char *probe, const struct attachable *list, int n, struct netdev *netdev)
{
	struct result result = {};

	attach_interface(netdev, list, n, &result);
	if (result.attached)
		inform("%s: attached to %s", probe, netdev->name);
	if (result.attached < result.wanted)
		warn("%s: cannot attach to %s: %s", probe, netdev->name,
		     failure__reason(result.err));
}

void netdev__follow(const char *probe, const char *dir, const struct attachable *list, int n)
{
	unsigned long netns = netns__inode();
	_cleanup_names_ char **names = NULL;
	struct if_nameindex *interfaces;
	char path[PATH_MAX];
	bool any = false;

	for (int i = 0; i < n; i++)
		any |= hook__on_interfaces(list[i].section);
	if (!any || !netns || path__format(path, "%s/link", dir) || pins__list(path, &names) < 0)
		return;
	let_go(probe, dir, names, netns);
	interfaces = if_nameindex();
	for (struct if_nameindex *at = interfaces; at && at->if_name; at++) {
		struct netdev netdev = {.index = at->if_index, .dir = dir, .netns = netns};

		snprintf(netdev.name, sizeof(netdev.name), "%s", at->if_name);
		if (!has_pin(names, netdev.index, netns) && has_ethernet(netdev.name))
			take_in(probe, list, n, &netdev);
	}
	/* glibc's takes no NULL. */
	if (interfaces)
		if_freenameindex(interfaces);
}

/* --- telling -------------------------------------------------------------------- */

static int count_matching(const char *patterns)
{
	struct if_nameindex *interfaces = if_nameindex();
	int n = 0;

	for (struct if_nameindex *at = interfaces; at && at->if_name; at++)
		n += netdev__matches(patterns, at->if_name);
	if (interfaces)
		if_freenameindex(interfaces);
	return n;
}

int netdev__describe(const char *dir, const char *prog, const char *section, char *text,
		     size_t size)
{
	_cleanup_names_ char **names = NULL;
	char path[PATH_MAX], interface[IF_NAMESIZE];
	int n = 0, matching = count_matching(patterns_of(section)), len;

	if (path__format(path, "%s/link", dir) || pins__list(path, &names) < 0)
		return 0;
	for (char **name = names; name && *name; name++) {
		struct pin pin;

		n += parse_pin(*name, &pin) && is_of(&pin, *name, prog);
	}
	if (!strncmp(section, "tc/ingress_without_xdp/", 23))
		len = snprintf(text, size, "%d interfaces", n);
	else if (!n && !matching)
		len = snprintf(text, size, "no interface: none here matches '%s'",
			       patterns_of(section));
	else
		len = snprintf(text, size, "%d of %d interfaces", n, matching);
	for (char **name = names; name && *name && len < (int)size; name++) {
		struct pin pin;

		if (!parse_pin(*name, &pin) || !is_of(&pin, *name, prog))
			continue;
		if (!if_indextoname(pin.index, interface))
			snprintf(interface, sizeof(interface), "if%u", pin.index);
		len += snprintf(text + len, size - len, "%s %s %s", strchr(text, ':') ? "," : ":",
				interface, ways[pin.way]);
	}
	return n;
}
