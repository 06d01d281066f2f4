// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "filter.h"

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "cleanup.h"
#include "decoder.h"
#include "grace.h"
#include "path.h"
#include "pins.h"
#include "tagged.h"

#define ENTRIES_MAP "filters"

/* --- opening ---------------------------------------------------------------- */

static int add_set(struct filter *filter, const struct tag *tag, const struct btf_var_secinfo *info)
{
	struct filter_set *set = &filter->set[filter->sets];
	const char *arg;

	if (tag->args != 1 || filter->sets == FILTER_SETS_MAX || info->offset % 8 || info->size % 8)
		return -EPROTO;
	set->decoder = decoder__find(tag->arg[0], &arg);
	if (!set->decoder)
		return -EPROTO;
	set->kind = tag->arg[0];
	set->words = (__u64 *)((char *)filter->image + info->offset);
	set->bits = info->size * 8;
	filter->sets++;
	return 0;
}

static int map_image(struct filter *filter)
{
	long page = sysconf(_SC_PAGESIZE);
	void *image;

	filter->image_size = (filter->view.info.value_size + page - 1) / page * page;
	image = mmap(NULL, filter->image_size, PROT_READ | PROT_WRITE, MAP_SHARED, filter->view.fd,
		     0);
	if (image == MAP_FAILED)
		return -errno;
	filter->image = image;
	return 0;
}

static const struct tag *tag_of(const struct mapview *view, const struct btf_var_secinfo *info,
				const char *word)
{
	return tagged__find(view->tagged, info->type, -1, word);
}

/* Whether this map holds the filter's variables, and if so where. */
static int take_variables(struct filter *filter)
{
	const struct mapview *view = &filter->view;
	const struct btf_type *section =
		view->btf ? btf__type_by_id(view->btf, view->info.btf_value_type_id) : NULL;
	const struct btf_var_secinfo *info, *vars = NULL, *deadline = NULL, *turn = NULL;
	int n, err;

	if (view->denied)
		return -EPERM;
	if (!section || !btf_is_datasec(section))
		return -ENOENT;
	info = btf_var_secinfos(section);
	n = btf_vlen(section);
	for (int i = 0; i < n; i++) {
		if ((__u64)info[i].offset + info[i].size > view->info.value_size)
			return -EPROTO;
		if (tag_of(view, &info[i], "filter"))
			vars = &info[i];
		if (tag_of(view, &info[i], "deadline"))
			deadline = &info[i];
		if (tag_of(view, &info[i], "turn"))
			turn = &info[i];
	}
	if (!vars)
		return -ENOENT;
	if (vars->size != sizeof(*filter->vars) || vars->offset % 8)
		return -EPROTO;
	if (deadline && (deadline->size != sizeof(*filter->deadline) || deadline->offset % 8))
		return -EPROTO;
	if (turn && (turn->size != sizeof(*filter->turn) || turn->offset % 4))
		return -EPROTO;
	err = map_image(filter);
	if (err)
		return err;
	filter->vars = (struct otel_filter *)((char *)filter->image + vars->offset);
	if (deadline)
		filter->deadline =
			(struct otel_deadline *)((char *)filter->image + deadline->offset);
	if (turn)
		filter->turn = (struct otel_turn *)((char *)filter->image + turn->offset);
	for (int i = 0; i < n; i++) {
		const struct tag *tag = tag_of(view, &info[i], "set");

		err = tag ? add_set(filter, tag, &info[i]) : 0;
		if (err)
			return err;
	}
	return 0;
}

static int take_entries(struct filter *filter, const char *dir)
{
	struct bpf_map_info info = {};
	__u32 len = sizeof(info);
	char path[PATH_MAX];
	int err = path__format(path, "%s/map/" ENTRIES_MAP, dir);

	if (err)
		return err;
	filter->entries = bpf_obj_get(path);
	if (filter->entries < 0)
		return errno == ENOENT ? 0 : -errno;
	if (bpf_obj_get_info_by_fd(filter->entries, &info, &len))
		return -errno;
	filter->max = info.max_entries;
	if (info.type != BPF_MAP_TYPE_HASH || info.key_size != sizeof(struct otel_filter_key) ||
	    info.value_size != sizeof(__u32))
		return -EPROTO;
	return 0;
}

int filter__open(struct filter *filter, const char *dir)
{
	_cleanup_names_ char **names = NULL;
	char maps[PATH_MAX], path[PATH_MAX];
	int n, err;

	*filter = (struct filter){.view.fd = -1, .entries = -1};
	err = path__format(maps, "%s/map", dir);
	n = err ? err : pins__list(maps, &names);
	if (n < 0)
		return n;
	err = -ENOENT;
	for (int i = 0; i < n && err == -ENOENT; i++) {
		err = path__format(path, "%s/%s", maps, names[i]);
		if (!err)
			err = mapview__open(&filter->view, path);
		if (!err)
			err = take_variables(filter);
		if (err == -ENOENT)
			mapview__close(&filter->view);
	}
	return err ? err : take_entries(filter, dir);
}

void filter__close(struct filter *filter)
{
	if (filter->image)
		munmap(filter->image, filter->image_size);
	if (filter->entries >= 0)
		close(filter->entries);
	mapview__close(&filter->view);
	*filter = (struct filter){.view.fd = -1, .entries = -1};
}

struct filter_set *filter__find_set(struct filter *filter, const char *kind)
{
	for (int i = 0; i < filter->sets; i++)
		if (!strcmp(filter->set[i].kind, kind))
			return &filter->set[i];
	return NULL;
}

/* --- writing ---------------------------------------------------------------- */

static void set_flags(struct filter *filter, __u32 flags)
{
	__atomic_store_n(&filter->vars->flags, flags, __ATOMIC_SEQ_CST);
}

/*
 * Throw the cached verdicts away. A program may have read flags or entries before
 * we wrote them and read the generation after we counted it up: it would cache an
 * old verdict as a new one. So once more when all such programs have ended.
 */
static void next_generation(struct filter *filter)
{
	__atomic_add_fetch(&filter->vars->generation, 1, __ATOMIC_SEQ_CST);
	grace__period();
	__atomic_add_fetch(&filter->vars->generation, 1, __ATOMIC_SEQ_CST);
}

int filter__each(const struct filter *filter, __u32 kind, filter_fn fn, void *arg)
{
	struct otel_filter_key keys[2], *prev = NULL;
	/* Processes leave while we walk, which makes the kernel begin anew. */
	unsigned long steps = 2UL * filter->max + 16;
	int n = 0, at = 0;
	__u32 verdict;

	while (filter->entries >= 0 && steps--) {
		if (bpf_map_get_next_key(filter->entries, prev, &keys[at]))
			return errno == ENOENT ? n : -errno;
		prev = &keys[at];
		at = !at;
		if (prev->kind != kind || bpf_map_lookup_elem(filter->entries, prev, &verdict))
			continue;
		n++;
		if (fn && fn(prev, verdict, arg))
			break;
	}
	return n;
}

int filter__lookup(const struct filter *filter, const struct otel_filter_key *key, __u32 *verdict)
{
	return bpf_map_lookup_elem(filter->entries, key, verdict) ? -errno : 0;
}

static int is_passing(const struct otel_filter_key *key, __u32 verdict, void *arg)
{
	(void)key;
	*(bool *)arg |= !!(verdict & OTEL_FILTER_PASS);
	return 0;
}

/* The flags of a kind that has entries: what has none passes if every entry rejects. */
static __u32 flags_with(const struct filter *filter, __u32 kind)
{
	__u32 flags = filter->vars->flags | OTEL_FILTER_F(kind);
	bool passing = false;

	if (!filter__each(filter, kind, is_passing, &passing))
		return flags; /* processes that have all exited by now */
	return passing ? flags & ~OTEL_FILTER_F_ELSE(kind) : flags | OTEL_FILTER_F_ELSE(kind);
}

static __u32 flags_without(const struct filter *filter, __u32 kind)
{
	return filter->vars->flags & ~(OTEL_FILTER_F(kind) | OTEL_FILTER_F_ELSE(kind));
}

int filter__add(struct filter *filter, const struct otel_filter_key *keys, int n, __u32 verdict)
{
	_cleanup_free_ __s64 *before = malloc(n * sizeof(*before)); /* -1: was not there */
	__u32 kind = keys[0].kind, old_flags = filter->vars->flags;
	int done, err = 0;

	if (!before)
		return -ENOMEM;
	for (done = 0; done < n; done++) {
		__u32 old;

		before[done] = -1;
		if (!bpf_map_lookup_elem(filter->entries, &keys[done], &old))
			before[done] = old;
		if (bpf_map_update_elem(filter->entries, &keys[done], &verdict, BPF_ANY)) {
			err = -errno;
			break;
		}
	}
	while (err && done--) {
		__u32 old = before[done];

		if (before[done] < 0)
			bpf_map_delete_elem(filter->entries, &keys[done]);
		else
			bpf_map_update_elem(filter->entries, &keys[done], &old, BPF_ANY);
	}
	if (!err) {
		__u32 flags = flags_with(filter, kind);

		/* The first of its kind, gone before we counted it: a process that has exited. */
		if (!(old_flags & OTEL_FILTER_F(kind)) && !(verdict & OTEL_FILTER_PASS))
			flags |= OTEL_FILTER_F_ELSE(kind);
		set_flags(filter, flags);
	}
	next_generation(filter);
	return err;
}

int filter__del(struct filter *filter, const struct otel_filter_key *keys, int n, int *absent)
{
	__u32 kind = keys[0].kind, verdict;

	for (*absent = 0; *absent < n; (*absent)++)
		if (bpf_map_lookup_elem(filter->entries, &keys[*absent], &verdict))
			return -errno;
	for (int i = 0; i < n; i++)
		if (bpf_map_delete_elem(filter->entries, &keys[i]) && errno != ENOENT)
			return -errno;
	if (filter__each(filter, kind, NULL, NULL))
		set_flags(filter, flags_with(filter, kind));
	else
		set_flags(filter, flags_without(filter, kind));
	next_generation(filter);
	return 0;
}

/* --- sets -------------------------------------------------------------------- */

static bool test_bit(const struct filter_set *set, __u32 bit)
{
	return __atomic_load_n(&set->words[bit / 64], __ATOMIC_SEQ_CST) >> (bit % 64) & 1;
}

static void write_bit(struct filter_set *set, __u32 bit, bool pass)
{
	__u64 mask = 1ULL << (bit % 64);

	if (pass)
		__atomic_fetch_or(&set->words[bit / 64], mask, __ATOMIC_SEQ_CST);
	else
		__atomic_fetch_and(&set->words[bit / 64], ~mask, __ATOMIC_SEQ_CST);
}

static void fill(struct filter_set *set, bool pass)
{
	for (__u32 i = 0; i < set->bits / 64; i++)
		__atomic_store_n(&set->words[i], pass ? ~0ULL : 0, __ATOMIC_SEQ_CST);
}

static bool is_full(const struct filter_set *set)
{
	for (__u32 i = 0; i < set->bits / 64; i++)
		if (~set->words[i])
			return false;
	return true;
}

static bool is_filtering(const struct filter *filter)
{
	return filter->vars->flags & OTEL_FILTER_F(OTEL_FILTER_SET);
}

bool filter__set_used(const struct filter *filter, const struct filter_set *set)
{
	return is_filtering(filter) && !is_full(set);
}

bool filter__set_denies(const struct filter *filter)
{
	return filter->vars->flags & OTEL_FILTER_F_ELSE(OTEL_FILTER_SET);
}

bool filter__set_lists(const struct filter *filter, const struct filter_set *set, __u32 bit)
{
	return filter__set_used(filter, set) && test_bit(set, bit) != filter__set_denies(filter);
}

static bool any_used(const struct filter *filter)
{
	for (int i = 0; i < filter->sets; i++)
		if (filter__set_used(filter, &filter->set[i]))
			return true;
	return false;
}

int filter__set_add(struct filter *filter, struct filter_set *set, const __u32 *bits, int n,
		    bool deny)
{
	__u32 flags = flags_without(filter, OTEL_FILTER_SET) | OTEL_FILTER_F(OTEL_FILTER_SET);

	if (any_used(filter) && filter__set_denies(filter) != deny)
		return -EINVAL;
	if (!is_filtering(filter))
		/* Nobody looks at the bits yet. A set that is not spoken of lets all pass. */
		for (int i = 0; i < filter->sets; i++)
			fill(&filter->set[i], true);
	if (is_full(set) && !deny)
		fill(set, false);
	for (int i = 0; i < n; i++)
		write_bit(set, bits[i], !deny);
	set_flags(filter, flags | (deny ? OTEL_FILTER_F_ELSE(OTEL_FILTER_SET) : 0));
	return 0;
}

int filter__set_del(struct filter *filter, struct filter_set *set, const __u32 *bits, int n)
{
	bool deny = filter__set_denies(filter), left = false;

	for (int i = 0; i < n; i++)
		if (!filter__set_lists(filter, set, bits[i]))
			return -ENOENT;
	for (int i = 0; i < n; i++)
		write_bit(set, bits[i], deny);
	for (__u32 i = 0; i < set->bits && !left; i++)
		left = test_bit(set, i) != deny;
	if (!left)
		fill(set, true);
	if (!any_used(filter))
		set_flags(filter, flags_without(filter, OTEL_FILTER_SET));
	return 0;
}

static int remove_entry(const struct otel_filter_key *key, __u32 verdict, void *arg)
{
	const struct filter *filter = arg;

	(void)verdict;
	bpf_map_delete_elem(filter->entries, key);
	return 0;
}

int filter__clear(struct filter *filter, __u32 kind)
{
	int rounds = 16, n;

	set_flags(filter, flags_without(filter, kind));
	if (kind == OTEL_FILTER_SET)
		return 0;
	/* Deleting the key that we stand on may cut the walk short: once more then. */
	do
		n = filter__each(filter, kind, remove_entry, filter);
	while (n > 0 && --rounds);
	next_generation(filter);
	return n > 0 ? -EBUSY : n;
}
