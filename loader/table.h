/* SPDX-License-Identifier: GPL-2.0-only OR BSD-2-Clause */
/* Tables for people. */
#ifndef OTELBPF_LOADER_TABLE_H
#define OTELBPF_LOADER_TABLE_H

#include <stddef.h>

/** struct table - rows of cells, printed when all widths are known. Opaque. */
struct table;

/**
 * table__new - begin a table
 * @headings: one word for each column, separated by '|'; one that begins with '>'
 *            makes its column flush right
 *
 * Return: the table or NULL. Other functions do nothing for NULL.
 */
struct table *table__new(const char *headings);

/**
 * table__add - add a row
 * @fmt: printf format of the cells, separated by TABLE_CELL
 */
#define TABLE_CELL "\x1f"
void table__add(struct table *table, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/** table__print - print to stdout, two blanks in, and free; nothing if there are no rows */
void table__print(struct table *table);

/** table__bytes - "6.5 MiB" */
#define BYTES_TEXT 16
const char *table__bytes(unsigned long long bytes, char text[BYTES_TEXT]);

/** enum mood - what a word means; colours it on a terminal */
enum mood { MOOD_GOOD, MOOD_CARE, MOOD_BAD };

/** table__mood - begin and end of a coloured word on stdout; "" if it is no terminal */
const char *table__mood(enum mood mood);
const char *table__plain(void);

#endif
