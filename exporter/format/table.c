// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "table.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "otlp/fields.h"
#include "otlp/pb.h"

#define ATTRS_MAX 20
#define COLUMNS_MAX 8

/* A piece of the request, which the view keeps a copy of. */
struct text {
	const char *at;
	size_t len;
};

struct attr {
	struct text key;
	char value[128];
};

struct datum {
	int series; /* index of its metric */
	struct attr attrs[ATTRS_MAX];
	int n_attrs;
	double value; /* of a number; a histogram's sum */
	unsigned long long count, zeros;
	double min, max;
	int scale, offset;
	unsigned long long *buckets;
	size_t n_buckets;
};

struct series {
	struct text scope, name, unit;
	bool histogram;
};

struct table_view {
	struct series *series;
	int n_series;
	struct datum *data;
	size_t n_data, room;
	__u8 **requests;
	int n_requests;
};

struct table_view *table_view__new(void)
{
	return calloc(1, sizeof(struct table_view));
}

void table_view__free(struct table_view *view)
{
	if (!view)
		return;
	for (size_t i = 0; i < view->n_data; i++)
		free(view->data[i].buckets);
	for (int i = 0; i < view->n_requests; i++)
		free(view->requests[i]);
	free(view->requests);
	free(view->data);
	free(view->series);
	free(view);
}

/* --- reading -------------------------------------------------------------- */

static struct text text_of(const struct pb_field *field)
{
	return (struct text){(const char *)field->data, field->len};
}

static bool same(struct text a, struct text b)
{
	return a.len == b.len && (!a.len || !memcmp(a.at, b.at, a.len));
}

static double double_of(const struct pb_field *field)
{
	double v;

	memcpy(&v, &field->value, sizeof(v));
	return v;
}

static int read_attr(struct datum *datum, const struct pb_field *message)
{
	const __u8 *at = message->data, *end = at + message->len;
	struct attr *attr = &datum->attrs[datum->n_attrs];
	struct pb_field field, any;
	int err;

	if (datum->n_attrs == ATTRS_MAX)
		return 0;
	*attr = (struct attr){0};
	while ((err = pb__next(&at, end, &field)) > 0) {
		const __u8 *in = field.data;

		if (field.number == KEY_VALUE_KEY && field.wire == PB_LEN)
			attr->key = text_of(&field);
		if (field.number != KEY_VALUE_VALUE || field.wire != PB_LEN)
			continue;
		while ((err = pb__next(&in, field.data + field.len, &any)) > 0) {
			if (any.number == ANY_VALUE_STRING && any.wire == PB_LEN)
				snprintf(attr->value, sizeof(attr->value), "%.*s", (int)any.len,
					 any.data);
			else if (any.number == ANY_VALUE_INT)
				snprintf(attr->value, sizeof(attr->value), "%lld",
					 (long long)any.value);
			else if (any.number == ANY_VALUE_BOOL)
				snprintf(attr->value, sizeof(attr->value), "%s",
					 any.value ? "true" : "false");
		}
		if (err)
			return err;
	}
	datum->n_attrs++;
	return err;
}

static int read_buckets(struct datum *datum, const struct pb_field *message)
{
	const __u8 *at = message->data, *end = at + message->len;
	struct pb_field field;
	__u64 v;
	int err;

	while ((err = pb__next(&at, end, &field)) > 0) {
		const __u8 *in = field.data;

		if (field.number == EXPHIST_BUCKETS_OFFSET)
			datum->offset = (int)(field.value >> 1) ^ -(int)(field.value & 1);
		if (field.number != EXPHIST_BUCKETS_BUCKET_COUNTS || field.wire != PB_LEN)
			continue;
		free(datum->buckets);
		datum->n_buckets = 0;
		datum->buckets = calloc(field.len + 1, sizeof(*datum->buckets));
		if (!datum->buckets)
			return -ENOMEM;
		while (pb__read_varint(&in, field.data + field.len, &v))
			datum->buckets[datum->n_buckets++] = v;
	}
	return err;
}

static int read_number(struct datum *datum, const struct pb_field *field)
{
	if (field->number == NUMBER_POINT_AS_INT)
		datum->value = (double)(__s64)field->value;
	else if (field->number == NUMBER_POINT_AS_DOUBLE)
		datum->value = double_of(field);
	else if (field->number == NUMBER_POINT_ATTRIBUTES && field->wire == PB_LEN)
		return read_attr(datum, field);
	return 0;
}

static int read_histogram(struct datum *datum, const struct pb_field *field)
{
	if (field->number == HISTOGRAM_POINT_COUNT)
		datum->count = field->value;
	else if (field->number == HISTOGRAM_POINT_SUM)
		datum->value = double_of(field);
	else if (field->number == HISTOGRAM_POINT_ATTRIBUTES && field->wire == PB_LEN)
		return read_attr(datum, field);
	return 0;
}

static int read_exphist(struct datum *datum, const struct pb_field *field)
{
	switch (field->number) {
	case EXPHIST_POINT_COUNT:
		datum->count = field->value;
		break;
	case EXPHIST_POINT_SUM:
		datum->value = double_of(field);
		break;
	case EXPHIST_POINT_SCALE:
		datum->scale = (int)(field->value >> 1) ^ -(int)(field->value & 1);
		break;
	case EXPHIST_POINT_ZERO_COUNT:
		datum->zeros = field->value;
		break;
	case EXPHIST_POINT_MIN:
		datum->min = double_of(field);
		break;
	case EXPHIST_POINT_MAX:
		datum->max = double_of(field);
		break;
	case EXPHIST_POINT_POSITIVE:
		return field->wire == PB_LEN ? read_buckets(datum, field) : -EBADMSG;
	case EXPHIST_POINT_ATTRIBUTES:
		return field->wire == PB_LEN ? read_attr(datum, field) : -EBADMSG;
	}
	return 0;
}

static int by_attr_key(const void *a, const void *b)
{
	const struct attr *x = a, *y = b;
	size_t len = x->key.len < y->key.len ? x->key.len : y->key.len;
	int order = len ? memcmp(x->key.at, y->key.at, len) : 0;

	return order ? order : (int)x->key.len - (int)y->key.len;
}

static int read_point(struct table_view *view, int series, const struct pb_field *message,
		      int (*read)(struct datum *datum, const struct pb_field *field))
{
	const __u8 *at = message->data, *end = at + message->len;
	struct datum *datum;
	struct pb_field field;
	int err = 0, next;

	if (view->n_data == view->room) {
		size_t room = view->room ? 2 * view->room : 256;
		struct datum *more = reallocarray(view->data, room, sizeof(*more));

		if (!more)
			return -ENOMEM;
		view->data = more;
		view->room = room;
	}
	datum = &view->data[view->n_data++];
	*datum = (struct datum){.series = series};
	while (!err && (next = pb__next(&at, end, &field)) > 0)
		err = read(datum, &field);
	qsort(datum->attrs, datum->n_attrs, sizeof(*datum->attrs), by_attr_key);
	return err ? err : next;
}

static int read_metric(struct table_view *view, struct text scope, const struct pb_field *message)
{
	const __u8 *at = message->data, *end = at + message->len;
	struct series series = {.scope = scope}, *more;
	struct pb_field field, data = {0}, point;
	int err, index;

	while ((err = pb__next(&at, end, &field)) > 0) {
		if (field.wire != PB_LEN)
			continue;
		if (field.number == METRIC_NAME)
			series.name = text_of(&field);
		else if (field.number == METRIC_UNIT)
			series.unit = text_of(&field);
		else if (field.number >= METRIC_GAUGE && field.number <= METRIC_SUMMARY)
			data = field;
	}
	if (err || !data.number)
		return err;
	series.histogram =
		data.number == METRIC_EXPONENTIAL_HISTOGRAM || data.number == METRIC_HISTOGRAM;
	for (index = 0; index < view->n_series; index++)
		if (same(view->series[index].scope, scope) &&
		    same(view->series[index].name, series.name))
			break;
	if (index == view->n_series) {
		more = reallocarray(view->series, index + 1, sizeof(*more));
		if (!more)
			return -ENOMEM;
		view->series = more;
		more[view->n_series++] = series;
	}
	at = data.data;
	while (!err && (err = pb__next(&at, data.data + data.len, &point)) > 0) {
		err = 0;
		if (point.number == SUM_DATA_POINTS && point.wire == PB_LEN)
			err = read_point(view, index, &point,
					 data.number == METRIC_EXPONENTIAL_HISTOGRAM ? read_exphist
					 : data.number == METRIC_HISTOGRAM ? read_histogram
									   : read_number);
	}
	return err;
}

static int read_scope(struct table_view *view, const struct pb_field *message)
{
	const __u8 *at = message->data, *end = at + message->len, *in;
	struct text scope = {"", 0};
	struct pb_field field, name;
	int err;

	while ((err = pb__next(&at, end, &field)) > 0) {
		if (field.wire != PB_LEN)
			continue;
		if (field.number == SCOPE_GROUP_SCOPE) {
			in = field.data;
			while (pb__next(&in, field.data + field.len, &name) > 0)
				if (name.number == SCOPE_NAME && name.wire == PB_LEN)
					scope = text_of(&name);
		} else if (field.number == SCOPE_GROUP_ITEMS) {
			err = read_metric(view, scope, &field);
			if (err)
				return err;
		}
	}
	return err;
}

int table_view__add(struct table_view *view, const void *request, size_t len)
{
	__u8 **more = reallocarray(view->requests, view->n_requests + 1, sizeof(*more)), *copy;
	const __u8 *at, *in;
	struct pb_field resource, scope;
	int err, inner;

	if (!more)
		return -ENOMEM;
	view->requests = more;
	copy = malloc(len + 1);
	if (!copy)
		return -ENOMEM;
	memcpy(copy, request, len);
	view->requests[view->n_requests++] = copy;
	at = copy;
	while ((err = pb__next(&at, copy + len, &resource)) > 0) {
		if (resource.number != REQUEST_RESOURCES || resource.wire != PB_LEN)
			continue;
		in = resource.data;
		while ((inner = pb__next(&in, resource.data + resource.len, &scope)) > 0) {
			if (scope.number != RESOURCE_GROUP_SCOPES || scope.wire != PB_LEN)
				continue;
			inner = read_scope(view, &scope);
			if (inner)
				return inner;
		}
		if (inner)
			return inner;
	}
	return err;
}

/* --- summing up ------------------------------------------------------------ */

/* One row: the attributes of a datum of the main metric; column 0 is that metric. */
struct row {
	const struct datum *first;
	double columns[COLUMNS_MAX];
	unsigned long long count, zeros;
	double min, max;
	int scale, offset;
	unsigned long long *buckets;
	size_t n_buckets;
};

/* Whether @datum has all attributes of @keys, with the same values unless @values is false. */
static bool covers(const struct datum *datum, const struct datum *keys, bool values)
{
	for (int i = 0; i < keys->n_attrs; i++) {
		bool found = false;

		for (int j = 0; j < datum->n_attrs && !found; j++)
			found = same(datum->attrs[j].key, keys->attrs[i].key) &&
				(!values || !strcmp(datum->attrs[j].value, keys->attrs[i].value));
		if (!found)
			return false;
	}
	return true;
}

static int add_buckets(struct row *row, const struct datum *datum)
{
	long long first = row->offset < datum->offset ? row->offset : datum->offset, last;
	unsigned long long *more;

	if (!datum->n_buckets || (row->n_buckets && row->scale != datum->scale))
		return 0;
	if (!row->n_buckets) {
		row->offset = first = datum->offset;
		row->scale = datum->scale;
	}
	last = row->offset + (long long)row->n_buckets;
	if (last < datum->offset + (long long)datum->n_buckets)
		last = datum->offset + (long long)datum->n_buckets;
	if (last - first > 1 << 20)
		return 0; /* not ours: no table is worth that memory */
	more = calloc(last - first, sizeof(*more));
	if (!more)
		return -ENOMEM;
	for (size_t i = 0; i < row->n_buckets; i++)
		more[row->offset - first + i] += row->buckets[i];
	for (size_t i = 0; i < datum->n_buckets; i++)
		more[datum->offset - first + i] += datum->buckets[i];
	free(row->buckets);
	row->buckets = more;
	row->n_buckets = last - first;
	row->offset = first;
	return 0;
}

static int add_to_row(struct row *row, const struct datum *datum)
{
	row->columns[0] += datum->value;
	if (!row->count || datum->min < row->min)
		row->min = datum->min;
	if (datum->max > row->max)
		row->max = datum->max;
	row->count += datum->count;
	row->zeros += datum->zeros;
	return add_buckets(row, datum);
}

double exphist__quantile(const unsigned long long *counts, size_t n, int offset, int scale,
			 unsigned long long zeros, double q)
{
	double rank, before = zeros, total = zeros;

	for (size_t i = 0; i < n; i++)
		total += counts[i];
	rank = q * total;
	if (total == 0 || (zeros && rank <= before))
		return 0;
	for (size_t i = 0; i < n; i++) {
		if (counts[i] && before + counts[i] >= rank)
			return exp2((offset + (double)i + (rank - before) / counts[i]) *
				    exp2(-(double)scale));
		before += counts[i];
	}
	return 0;
}

static double quantile(const struct row *row, double q)
{
	double v = exphist__quantile(row->buckets, row->n_buckets, row->offset, row->scale,
				     row->zeros, q);

	if (!row->n_buckets && !row->zeros)
		return NAN; /* another kind of histogram */
	return v < row->min ? row->min : row->max > 0 && v > row->max ? row->max : v;
}

static int by_sum(const void *a, const void *b)
{
	const struct row *x = a, *y = b;

	return x->columns[0] > y->columns[0] ? -1 : x->columns[0] < y->columns[0];
}

/* --- printing -------------------------------------------------------------- */

/* A duration as a person says it; anything else as a number; "-" for what is not known. */
static void format_value(char *text, size_t room, double v, struct text unit)
{
	static const struct {
		double from;
		double factor;
		const char *name;
	} steps[] = {{1, 1, "s"}, {1e-3, 1e3, "ms"}, {1e-6, 1e6, "us"}, {0, 1e9, "ns"}};

	if (isnan(v)) {
		snprintf(text, room, "-");
		return;
	}
	if (unit.len != 1 || *unit.at != 's') {
		snprintf(text, room, v == floor(v) && fabs(v) < 1e15 ? "%.0f" : "%g", v);
		return;
	}
	for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
		if (v >= steps[i].from) {
			snprintf(text, room, "%.*f %s", v * steps[i].factor >= 100 ? 0 : 1,
				 v * steps[i].factor, steps[i].name);
			return;
		}
	snprintf(text, room, "%g s", v);
}

static struct text last_word(struct text name)
{
	const char *dot = name.len ? memrchr(name.at, '.', name.len) : NULL;

	return dot ? (struct text){dot + 1, name.len - (dot + 1 - name.at)} : name;
}

/* What a person must not get on a terminal from a hostile process's name. */
static void print_text(FILE *out, const char *text, size_t len, int width, bool right)
{
	int pad = width - (int)len;

	for (; right && pad > 0; pad--)
		fputc(' ', out);
	for (size_t i = 0; i < len; i++) {
		const unsigned char *at = (const unsigned char *)text + i;

		if (*at == 0xc2 && i + 1 < len && at[1] < 0xa0)
			i++; /* U+0080 to U+009F: an 8-bit terminal's control characters */
		else if (*at >= ' ' && *at != 0x7f) {
			fputc(*at, out);
			continue;
		}
		fputc('?', out);
	}
	for (; !right && pad > 0; pad--)
		fputc(' ', out);
}

static const char *value_of(const struct datum *datum, struct text key)
{
	for (int i = 0; i < datum->n_attrs; i++)
		if (same(datum->attrs[i].key, key))
			return datum->attrs[i].value;
	return "";
}

static void print_rows(const struct table_view *view, FILE *out, const struct row *rows, size_t n,
		       int limit, int main_series, const int *columns, int n_columns)
{
	const struct series *main = &view->series[main_series];
	const struct datum *keys = rows[0].first;
	int width[ATTRS_MAX];
	char cell[64];

	/* {name, abi} beside {name}: else two rows would look the same. */
	for (size_t i = 1; i < n; i++)
		if (rows[i].first->n_attrs > keys->n_attrs)
			keys = rows[i].first;
	for (int a = 0; a < keys->n_attrs; a++) {
		width[a] = keys->attrs[a].key.len;
		for (size_t i = 0; i < n; i++)
			if ((int)strlen(value_of(rows[i].first, keys->attrs[a].key)) > width[a])
				width[a] = strlen(value_of(rows[i].first, keys->attrs[a].key));
		print_text(out, keys->attrs[a].key.at, keys->attrs[a].key.len, width[a] + 2, false);
	}
	if (main->histogram)
		fprintf(out, "%10s", "count");
	for (int i = 1; i < n_columns; i++) {
		struct text name = last_word(view->series[columns[i]].name);

		print_text(out, name.at, name.len, 11, true);
	}
	if (main->histogram)
		fprintf(out, " %10s %10s %10s %10s\n", "p50", "p99", "max", "total");
	else
		fprintf(out, " %10s\n", "value");
	for (size_t i = 0; i < n; i++) {
		const struct row *row = &rows[i];

		if (limit && i == (size_t)limit) {
			fprintf(out, "… %zu more\n", n - i);
			break;
		}
		for (int a = 0; a < keys->n_attrs; a++) {
			const char *value = value_of(row->first, keys->attrs[a].key);

			print_text(out, value, strlen(value), width[a] + 2, false);
		}
		if (main->histogram)
			fprintf(out, "%10llu", row->count);
		for (int c = 1; c < n_columns; c++) {
			format_value(cell, sizeof(cell), row->columns[c],
				     view->series[columns[c]].unit);
			fprintf(out, "%11s", cell);
		}
		if (main->histogram) {
			bool known = row->n_buckets || row->zeros;
			double values[] = {quantile(row, 0.5), quantile(row, 0.99),
					   known || row->max ? row->max : NAN,
					   known || row->columns[0] ? row->columns[0] : NAN};

			for (size_t v = 0; v < sizeof(values) / sizeof(values[0]); v++) {
				format_value(cell, sizeof(cell), values[v], main->unit);
				fprintf(out, " %10s", cell);
			}
			fputc('\n', out);
		} else {
			format_value(cell, sizeof(cell), row->columns[0], main->unit);
			fprintf(out, " %10s\n", cell);
		}
	}
}

/* What is in no row: other metrics, the overflow entry. */
static void print_rest(const struct table_view *view, FILE *out, int series, const bool *shown)
{
	const struct series *metric = &view->series[series];
	char cell[64];

	for (size_t i = 0; i < view->n_data; i++) {
		const struct datum *datum = &view->data[i];
		const char *between = "{";

		if (datum->series != series || shown[i])
			continue;
		print_text(out, metric->name.at, metric->name.len, 0, false);
		for (int a = 0; a < datum->n_attrs; a++, between = ", ") {
			fputs(between, out);
			print_text(out, datum->attrs[a].key.at, datum->attrs[a].key.len, 0, false);
			fputc('=', out);
			print_text(out, datum->attrs[a].value, strlen(datum->attrs[a].value), 0,
				   false);
		}
		format_value(cell, sizeof(cell), metric->histogram ? datum->count : datum->value,
			     metric->histogram ? (struct text){"", 0} : metric->unit);
		fprintf(out, "%s %s\n", datum->n_attrs ? "}" : "", cell);
	}
}

/* The metric whose attributes make the rows: a histogram, else what has attributes. */
static const struct datum *find_main(const struct table_view *view, struct text scope)
{
	const struct text overflow_key = {"otel.metric.overflow", 20};
	const struct datum *best = NULL;

	for (size_t i = 0; i < view->n_data; i++) {
		const struct datum *datum = &view->data[i];
		const struct series *series = &view->series[datum->series];
		bool overflow = datum->n_attrs == 1 && same(datum->attrs[0].key, overflow_key);

		if (!same(series->scope, scope) || !datum->n_attrs || overflow)
			continue;
		if (series->histogram)
			return datum;
		if (!best || datum->n_attrs < best->n_attrs)
			best = datum;
	}
	return best;
}

static int print_scope(const struct table_view *view, FILE *out, struct text scope, int limit)
{
	const struct datum *main = find_main(view, scope);
	int columns[COLUMNS_MAX], n_columns = 0, err = -ENOMEM;
	struct row *rows = calloc(view->n_data + 1, sizeof(*rows));
	bool *shown = calloc(view->n_data + 1, sizeof(*shown));
	size_t n = 0;

	if (!rows || !shown)
		goto out;
	for (size_t i = 0; main && i < view->n_data; i++) {
		const struct datum *datum = &view->data[i];
		size_t r;
		int c;

		if (!same(view->series[datum->series].scope, scope) || !covers(datum, main, false))
			continue;
		if (!n_columns)
			columns[n_columns++] = main->series;
		for (c = 0; c < n_columns && columns[c] != datum->series; c++)
			;
		if (c == COLUMNS_MAX)
			continue;
		if (c == n_columns)
			columns[n_columns++] = datum->series;
		if (c)
			continue; /* columns are filled when all rows are there */
		shown[i] = true;
		for (r = 0; r < n; r++)
			if (datum->n_attrs == rows[r].first->n_attrs &&
			    covers(datum, rows[r].first, true))
				break;
		if (r == n)
			rows[n++].first = datum;
		if (add_to_row(&rows[r], datum))
			goto out;
	}
	for (size_t i = 0; i < view->n_data && n; i++) {
		const struct datum *datum = &view->data[i];

		for (int c = 1; c < n_columns; c++) {
			struct row *best = NULL;

			/* The row that says most: {name, abi} before {name}. */
			for (size_t r = 0; columns[c] == datum->series && r < n; r++)
				if (covers(datum, rows[r].first, true) &&
				    (!best || best->first->n_attrs < rows[r].first->n_attrs))
					best = &rows[r];
			if (best) {
				best->columns[c] += datum->value;
				shown[i] = true;
			}
		}
	}
	print_text(out, scope.at, scope.len, 0, false);
	fputc('\n', out);
	if (n) {
		qsort(rows, n, sizeof(*rows), by_sum);
		print_rows(view, out, rows, n, limit, main->series, columns, n_columns);
		fputc('\n', out);
	}
	for (int s = 0; s < view->n_series; s++)
		if (same(view->series[s].scope, scope))
			print_rest(view, out, s, shown);
	err = 0;
out:
	for (size_t r = 0; r < n; r++)
		free(rows[r].buckets);
	free(rows);
	free(shown);
	return err;
}

int table_view__print(const struct table_view *view, FILE *out, int rows)
{
	int err = 0;

	for (int s = 0; s < view->n_series && !err; s++) {
		bool seen = false;

		for (int before = 0; before < s && !seen; before++)
			seen = same(view->series[before].scope, view->series[s].scope);
		if (!seen)
			err = print_scope(view, out, view->series[s].scope, rows);
	}
	return err;
}
