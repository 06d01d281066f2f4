// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "batch.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "otlp/attr.h"
#include "otlp/event.h"
#include "otlp/fields.h"

/* What stands around an item and a Resource in a request, at most. */
#define HEADERS 64
#define NAME_MAX_BYTES 512
#define NS 1000000000ULL

static __u64 clock_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * NS + now.tv_nsec;
}

/* Of a few tries the one that nothing came in between. */
struct event_clock event_clock__now(void)
{
	struct event_clock best = {0};
	__u64 shortest = ~0ULL;

	for (int i = 0; i < 5; i++) {
		__u64 before = clock_ns(CLOCK_BOOTTIME), utc = clock_ns(CLOCK_REALTIME);
		__u64 after = clock_ns(CLOCK_BOOTTIME);

		if (after - before >= shortest)
			continue;
		shortest = after - before;
		best = (struct event_clock){before + shortest / 2, utc};
	}
	return best;
}

__u64 event_clock__utc(const struct event_clock *clock, __u64 boot_ns)
{
	__s64 since = (__s64)(boot_ns - clock->boot_ns);

	/* A clock that is set to less than the time since boot: 1970 is as early as it gets. */
	return since < 0 && (__u64)-since > clock->utc_ns ? 1 : clock->utc_ns + since;
}

void batch__begin(struct batch *batch)
{
	batch->items.len = batch->resources.len = batch->request.len = 0;
	batch->items.failed = batch->resources.failed = batch->request.failed = false;
	batch->n_items = batch->n_processes = 0;
	batch->sorted = true;
}

void batch__free(struct batch *batch)
{
	pb__free(&batch->items);
	pb__free(&batch->resources);
	pb__free(&batch->attributes);
	pb__free(&batch->request);
	free(batch->item);
	free(batch->process);
	*batch = (struct batch){0};
}

/* --- Resources ------------------------------------------------------------------- */

static int add_process(struct batch *batch, const struct batch_source *source,
		       const struct otel_process_id *id, __u64 cgroup)
{
	int index = resources__cgroup(source->resources, cgroup, source->names_fd);
	struct batch_process *process;
	const struct pb *encoded;
	struct pb resource = {0};

	if (index < 0)
		return index;
	if (batch->n_processes == batch->room_processes) {
		size_t room = batch->room_processes ? 2 * batch->room_processes : 16;
		struct batch_process *more = reallocarray(batch->process, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		batch->process = more;
		batch->room_processes = room;
	}
	encoded = resources__encoded(source->resources, index);
	pb__raw(&resource, encoded->data, encoded->len);
	if (id->pid)
		attr__int(&resource, RESOURCE_ATTRIBUTES, "process.pid", id->pid);
	if (id->pid && source->processes)
		process_resources__add(source->processes, id, "", &resource);
	process = &batch->process[batch->n_processes];
	*process = (struct batch_process){*id, cgroup, batch->resources.len, resource.len};
	pb__raw(&batch->resources, resource.data, resource.len);
	index = resource.failed || batch->resources.failed ? -ENOMEM : (int)batch->n_processes++;
	pb__free(&resource);
	return index;
}

static int find_process(struct batch *batch, const struct batch_source *source, const __u8 *record)
{
	struct otel_process_id id;
	__u64 cgroup;

	memcpy(&id, record + source->layout->process, sizeof(id));
	memcpy(&cgroup, record + source->layout->cgroup, sizeof(cgroup));
	/* The last one is the likeliest. */
	for (size_t i = batch->n_processes; i > 0; i--)
		if (batch->process[i - 1].cgroup == cgroup &&
		    !memcmp(&batch->process[i - 1].id, &id, sizeof(id)))
			return i - 1;
	return add_process(batch, source, &id, cgroup);
}

/* --- records --------------------------------------------------------------------- */

struct name {
	char text[NAME_MAX_BYTES];
	size_t len;
};

static void name__add(struct name *name, const char *text, size_t len)
{
	if (len > sizeof(name->text) - name->len)
		len = sizeof(name->text) - name->len;
	memcpy(name->text + name->len, text, len);
	name->len += len;
}

static bool is_zero(const __u8 *bytes, size_t size)
{
	for (size_t i = 0; i < size; i++)
		if (bytes[i])
			return false;
	return true;
}

/* Return: whether the record tells of a failure. */
static bool put_attributes(struct pb *pb, __u32 field, const struct event_layout *layout,
			   const __u8 *record, struct name *name)
{
	bool failed = false;

	for (int i = 0; i < layout->n_attrs; i++) {
		const struct plan_attr *attr = &layout->attrs[i].attr;
		const __u8 *bytes = record + attr->offset;
		bool unset = is_zero(bytes, attr->size);
		struct decoded value;
		const char *key;

		failed |= layout->attrs[i].is_error && !unset;
		if (attr->unset && unset)
			continue;
		attr->decoder->decode(&attr->ctx, bytes, attr->size, &value);
		attr__decoded(pb, field, &attr->key, &value);
		if (layout->attrs[i].is_name && value.kind == DECODED_STRING) {
			name__add(name, " ", 1);
			name__add(name, value.text, value.len);
		}
		if (attr->decoder->extra && attr->decoder->extra(bytes, attr->size, &key, &value))
			attr__string(pb, field, key, value.text, value.len);
	}
	return failed;
}

static __u64 load64(const __u8 *at)
{
	__u64 v;

	memcpy(&v, at, sizeof(v));
	return v;
}

static enum span_kind kind_of(const struct event_layout *layout, const __u8 *record)
{
	__u32 kind = 0;

	if (layout->kind_at >= 0)
		memcpy(&kind, record + layout->kind_at, sizeof(kind));
	return kind >= SPAN_KIND_INTERNAL && kind <= SPAN_KIND_CONSUMER ? kind : layout->kind;
}

static void encode(struct batch *batch, const struct batch_source *source, const __u8 *record)
{
	const struct event_layout *layout = source->layout;
	const __u8 *trace = record + layout->trace;
	__u64 end = event_clock__utc(&source->clock, load64(record + layout->end));
	__u64 took = load64(record + layout->duration);
	struct name name = {.len = 0};
	bool failed;

	batch->attributes.len = 0;
	name__add(&name, layout->name, strlen(layout->name));
	failed = put_attributes(&batch->attributes,
				layout->is_log ? LOG_RECORD_ATTRIBUTES : SPAN_ATTRIBUTES, layout,
				record, &name);
	if (layout->is_log)
		logs__record(&batch->items, SCOPE_GROUP_ITEMS,
			     &(struct log_desc){
				     .trace_id = trace,
				     .span_id = trace + TRACE_ID_LEN,
				     .uid = record + layout->parent,
				     .name = layout->name,
				     .body = layout->body,
				     .severity = layout->severity,
				     .time_ns = end,
				     .observed_ns = source->clock.utc_ns,
				     .attributes = &batch->attributes,
			     });
	else
		traces__span(&batch->items, SCOPE_GROUP_ITEMS,
			     &(struct span_desc){
				     .trace_id = trace,
				     .span_id = trace + TRACE_ID_LEN,
				     .parent = record + layout->parent,
				     .name = name.text,
				     .name_len = name.len,
				     .kind = kind_of(layout, record),
				     .start_ns = took < end ? end - took : 1,
				     .end_ns = end,
				     .attributes = &batch->attributes,
				     .failed = failed,
			     });
}

int batch__add(struct batch *batch, const struct batch_source *source, const void *record)
{
	int process = find_process(batch, source, record);
	size_t start = batch->items.len;

	if (process < 0)
		return process;
	if (batch->n_items == batch->room_items) {
		size_t room = batch->room_items ? 2 * batch->room_items : 64;
		struct batch_item *more = reallocarray(batch->item, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		batch->item = more;
		batch->room_items = room;
	}
	encode(batch, source, record);
	if (batch->items.failed || batch->attributes.failed)
		return -ENOMEM;
	if (batch->n_items && (__u32)process < batch->item[batch->n_items - 1].process)
		batch->sorted = false;
	batch->item[batch->n_items++] =
		(struct batch_item){process, start, batch->items.len - start};
	return 0;
}

size_t batch__size(const struct batch *batch)
{
	return batch->items.len + batch->resources.len + batch->n_processes * 2 * HEADERS + HEADERS;
}

/* --- the request ------------------------------------------------------------------- */

static int by_process(const void *a, const void *b)
{
	const struct batch_item *x = a, *y = b;

	if (x->process != y->process)
		return x->process < y->process ? -1 : 1;
	return x->offset < y->offset ? -1 : 1;
}

const struct pb *batch__finish(struct batch *batch, const char *scope)
{
	struct pb *request = &batch->request;
	size_t resource = 0, group = 0, at;

	if (!batch->sorted)
		qsort(batch->item, batch->n_items, sizeof(*batch->item), by_process);
	for (size_t i = 0; i < batch->n_items; i++) {
		const struct batch_item *item = &batch->item[i];
		const struct batch_process *process = &batch->process[item->process];

		if (!i || item->process != item[-1].process) {
			resource = pb__open(request, REQUEST_RESOURCES);
			pb__bytes(request, RESOURCE_GROUP_RESOURCE,
				  batch->resources.data + process->offset, process->len);
			group = pb__open(request, RESOURCE_GROUP_SCOPES);
			at = pb__open(request, SCOPE_GROUP_SCOPE);
			pb__string(request, SCOPE_NAME, scope);
			pb__string(request, SCOPE_VERSION, OTELBPF_VERSION);
			pb__close(request, at);
		}
		pb__raw(request, batch->items.data + item->offset, item->len);
		if (i + 1 == batch->n_items || item[1].process != item->process) {
			pb__close(request, group);
			pb__close(request, resource);
		}
	}
	return request->failed ? NULL : request;
}
