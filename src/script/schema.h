/* What a bundle declares: types, fields, tables. Plain data in the bundle's arena;
 * declare_table.c builds it from Lua, everything else reads it.
 *
 * Fields keep the order in which they were declared: it is the order of results on the wire and of
 * cells in a stored row. */
#ifndef SCRIPT_SCHEMA_H
#define SCRIPT_SCHEMA_H

#include "base/arena.h"
#include "base/buf.h"
#include "base/err.h"
#include "script/row.h"

#define SCHEMA_FIELDS_MAX 64
#define SCHEMA_TABLES_MAX 256
#define SCHEMA_KEY_MAX 6
#define SCHEMA_INDEXES_MAX 8
#define SCHEMA_NAME_MAX 40 /* Lua keeps each text of this length once: names are compared by address */
#define SCHEMA_ID_MAX 128
#define SCHEMA_TEXT_MAX 65536
#define SCHEMA_PARTS_MAX 4096 /* of one argument or result: types in its lists and records */

enum type_kind {
	TYPE_ID,    /* 1–128 bytes of UTF-8 without control characters */
	TYPE_INT,   /* min to max */
	TYPE_MONEY, /* minor units: an integer, min to max */
	TYPE_COUNT, /* an integer that cannot go below 0 (code NEGATIVE); 0 when not given */
	TYPE_BOOL,
	TYPE_TEXT,  /* UTF-8, at most max bytes */
	TYPE_LIST,  /* arguments and results only */
	TYPE_RECORD /* arguments and results only */
};

struct fields;
struct type {
	enum type_kind kind;
	bool optional;
	int64_t min, max;
	const struct type *item;     /* LIST */
	const struct fields *fields; /* RECORD */
	unsigned depth, parts;       /* of lists and records in it; of types, it among them */
};

struct field {
	struct slice name;
	struct slice wire; /* the name as a RESP bulk string */
	struct type type;
	const char *interned; /* the name's address in the bundle's Lua state */
	int name_ref;         /* the name in the state's registry */
};
struct fields {
	struct field *items;
	size_t count;
	uint8_t *by_name; /* places in items, in the order of the names */
	/* Finding a field by its name's address: open addressing, index + 1, 0 is free. */
	uint8_t *slots;
	size_t slot_mask;
};

struct schema_index {
	struct slice name;
	struct slice prefix; /* 'i' table 00 name 00 */
	size_t columns[SCHEMA_KEY_MAX];
	size_t column_count;
};
struct schema_table {
	struct slice name;
	struct slice prefix; /* 'r' table 00 */
	struct fields columns;
	size_t key[SCHEMA_KEY_MAX]; /* columns of the key, in its order */
	size_t key_count;
	size_t stored[SCHEMA_FIELDS_MAX]; /* the other columns, in declared order */
	size_t stored_count;
	struct schema_index *indexes;
	size_t index_count;
	size_t number; /* place in the bundle */
	bool hot;      /* many calls read its rows, few write them: a campaign */
};

const char *type_name(enum type_kind kind);
static inline bool type_is_number(enum type_kind kind)
{
	return kind == TYPE_INT || kind == TYPE_MONEY || kind == TYPE_COUNT;
}
/* The common case of type_refuses: a number within its range. */
static inline bool type_fits_number(const struct type *type, const struct cell *cell)
{
	return cell->kind == CELL_INT && type_is_number(type->kind) && cell->integer >= type->min &&
	       cell->integer <= type->max;
}
/* NULL when the cell fits the type, otherwise why not ("must be 1 to 100"); text from arena or static. */
const char *type_refuses(const struct type *type, const struct cell *cell, struct arena *arena);
/* "int(1,100)", "optional id", "list of text": as in a declaration. */
void type_describe(const struct type *type, struct buf *out);

/* Builds the search table once interned addresses are known. */
void fields_index(struct fields *fields, struct arena *arena);
/* Place of a field by its name's address, or -1. */
static inline int fields_find(const struct fields *fields, const char *interned)
{
	size_t at = ((uintptr_t)interned >> 4) ^ ((uintptr_t)interned >> 9);
	for (;; at++) {
		uint8_t slot = fields->slots[at & fields->slot_mask];
		if (slot == 0) {
			return -1;
		}
		if (fields->items[slot - 1].interned == interned) {
			return slot - 1;
		}
	}
}
/* By name: slow. -1 when there is none. */
int fields_find_name(const struct fields *fields, struct slice name);

/* A table's declaration as bytes, stored beside the active bundle so that the next push can be compared with
 * it. */
void schema_encode(const struct schema_table *tables, size_t count, struct buf *out);
int schema_decode(struct slice bytes, struct arena *arena, struct schema_table **tables, size_t *count);
/* NULL when rows of before can be read by after, otherwise why not. */
const char *schema_refuses(const struct schema_table *before, const struct schema_table *after,
			   struct arena *arena);
/* Fills prefix, stored and the indexes' prefixes from names and columns. */
void schema_complete(struct schema_table *table, struct arena *arena);

#endif /* SCRIPT_SCHEMA_H */
