// SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause
#include "table.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define COLUMNS_MAX 8

struct table {
	int columns, rows, room;
	bool right[COLUMNS_MAX];
	int width[COLUMNS_MAX];
	char **row; /* cells separated by TABLE_CELL */
};

static const char *cell_end(const char *cell)
{
	return cell + strcspn(cell, TABLE_CELL);
}

/* Columns on the screen: a continuation byte of UTF-8 takes none. */
static int width_of(const char *cell, const char *end)
{
	int n = 0;

	for (; cell < end; cell++)
		n += (*cell & 0xc0) != 0x80;
	return n;
}

static void keep(struct table *table, char *text)
{
	const char *cell = text;

	if (table->rows == table->room) {
		int room = table->room ? 2 * table->room : 16;
		char **more = reallocarray(table->row, room, sizeof(*more));

		if (!more) {
			free(text);
			return;
		}
		table->row = more;
		table->room = room;
	}
	for (char *c = text; *c; c++)
		if ((*c > 0 && *c < ' ' && *c != TABLE_CELL[0]) || *c == 0x7f)
			*c = '?';
	table->row[table->rows++] = text;
	for (int i = 0; i < table->columns; i++) {
		const char *end = cell_end(cell);
		int width = width_of(cell, end);

		if (width > table->width[i])
			table->width[i] = width;
		cell = *end ? end + 1 : end;
	}
}

struct table *table__new(const char *headings)
{
	struct table *table = calloc(1, sizeof(*table));
	char *copy = table ? strdup(headings) : NULL, *to = copy;

	if (!copy) {
		free(table);
		return NULL;
	}
	table->columns = 1;
	for (const char *from = headings; *from; from++) {
		if (*from == '>' && (from == headings || from[-1] == '|')) {
			table->right[table->columns - 1] = true;
			continue;
		}
		if (*from == '|' && table->columns < COLUMNS_MAX)
			table->columns++;
		*to++ = *from == '|' ? TABLE_CELL[0] : *from;
	}
	*to = '\0';
	keep(table, copy);
	return table;
}

void table__add(struct table *table, const char *fmt, ...)
{
	va_list args;
	char *text;

	if (!table)
		return;
	va_start(args, fmt);
	if (vasprintf(&text, fmt, args) >= 0)
		keep(table, text);
	va_end(args);
}

void table__print(struct table *table)
{
	if (!table)
		return;
	for (int r = 0; r < table->rows; r++) {
		const char *cell = table->row[r];

		for (int i = 0; i < table->columns && table->rows > 1; i++) {
			const char *end = cell_end(cell);
			int blanks = table->width[i] - width_of(cell, end);
			bool last = i == table->columns - 1;

			printf("  %*s%.*s%*s", table->right[i] ? blanks : 0, "", (int)(end - cell),
			       cell, table->right[i] || last ? 0 : blanks, "");
			cell = *end ? end + 1 : end;
		}
		if (table->rows > 1)
			printf("\n");
	}
	for (int r = 0; r < table->rows; r++)
		free(table->row[r]);
	free(table->row);
	free(table);
}

const char *table__bytes(unsigned long long bytes, char text[BYTES_TEXT])
{
	static const char *const units[] = {"B", "KiB", "MiB", "GiB"};
	double value = bytes;
	size_t unit = 0;

	while (value >= 1024 && unit < 3) {
		value /= 1024;
		unit++;
	}
	snprintf(text, BYTES_TEXT, unit && value < 100 ? "%.1f %s" : "%.0f %s", value, units[unit]);
	return text;
}

static bool is_coloured(void)
{
	const char *no = getenv("NO_COLOR");

	return isatty(STDOUT_FILENO) && !(no && no[0]);
}

const char *table__mood(enum mood mood)
{
	static const char *const codes[] = {"\033[32m", "\033[33m", "\033[31m"};

	return is_coloured() ? codes[mood] : "";
}

const char *table__plain(void)
{
	return is_coloured() ? "\033[0m" : "";
}
