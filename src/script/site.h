/* Sites: places in a source where the shape of a call is known when it is pushed.
 *
 *   db.order:insert { a = x, b = y }     becomes   db__3(x, (y))
 *   db.slice:add(c, s, { n = -q })       becomes   db__4(c, s, (-q))
 *   local s = db.sale:need(k)  … s.price becomes   local s__price = db__5(k)
 *   return { left = n }                  becomes   return result__6((n))
 *   function(call) … call.qty            becomes   function(call__qty)
 *   db.sale:need(call.campaign)       becomes   db__7(), which knows where that argument is
 *
 * No table is made, no name is looked up at run time, and a column, table or result that does not exist is
 * told at push, with its line. Where the shape is not plain the source stays as it is and
 * means the same. Lines do not move. */
#ifndef SCRIPT_SITE_H
#define SCRIPT_SITE_H

#include "script/schema.h"
#include "script/source.h"

#define SITE_STACK 0xff
#define SITES_MAX 100 /* of one file; further ones stay as they are */

enum site_kind {
	SITE_GET,
	SITE_NEED,
	SITE_VACANT,
	SITE_DELETE,
	SITE_SCAN,
	SITE_SCAN_BY, /* arguments as written */
	SITE_INSERT,
	SITE_PUT,
	SITE_UPDATE,
	SITE_ADD, /* arguments: key columns (UPDATE, ADD), then one a field */
	SITE_RESULT
};
struct site {
	enum site_kind kind;
	bool shaped; /* the fields are arguments; else a table is, as written */
	const struct schema_table *table;
	const struct fields *results;      /* RESULT */
	uint8_t fields[SCHEMA_FIELDS_MAX]; /* shaped: the column or result of each field, in written order */
	size_t field_count;
	/* What is an argument of the call, as it came, is not passed through Lua: its place, or SITE_STACK.
	 */
	uint8_t field_args[SCHEMA_FIELDS_MAX];
	bool keys_bound; /* all columns of the key are such arguments */
	uint8_t key_args[SCHEMA_KEY_MAX];
	uint64_t trusted; /* columns whose argument was checked as narrowly as the column wants */
	/* NEED, INSERT, PUT: the row is returned when whole, and these columns of it. */
	bool whole;
	uint8_t columns[SCHEMA_FIELDS_MAX];
	size_t column_count;
	int ref; /* of its function, in the registry */
};

struct site_file {
	const struct schema_table *tables;
	size_t table_count;
	const struct fields *args, *results; /* NULL in a library */
	bool plain;                          /* change nothing: for tests that compare */
	/* out */
	struct slice text;    /* the declaration is blanked */
	struct token *tokens; /* of the source, not of text */
	size_t token_count;
	bool endless; /* its text does not bound the steps of a run: they have to be counted */
	struct site *sites;
	size_t site_count;
	bool spread;     /* the function takes the arguments one by one, in declared order */
	uint64_t unread; /* spread: arguments that no code reads any more */
};

/* Fills the out part, in arena. ERR_INVALID with file and line. */
int site_find(struct site_file *file, const struct source *source, struct arena *arena, struct err *err);

#endif /* SCRIPT_SITE_H */
