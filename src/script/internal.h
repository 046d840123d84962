/* Inside the room: what a compiled bundle and a running call are made of. */
#ifndef SCRIPT_INTERNAL_H
#define SCRIPT_INTERNAL_H

#include <lua.h>

#include "base/map.h"
#include "script/budget.h"
#include "script/schema.h"
#include "script/script.h"
#include "script/site.h"
#include "script/source.h"

#define BUNDLE_NAMES 27    /* what a script may name, at most (chunk_names) */
#define CALL_CURSORS 8     /* scans open at once */
#define STEPS_PER_READ 200 /* a point read, two microseconds when it misses */
#define STEPS_PER_ROW 60   /* a row of a scan */

struct failure {
	struct slice code;
	const char *interned;
	bool conflict;
};
struct emitted {
	struct slice type;
	const char *interned;
};

struct procedure {
	struct slice name; /* "order.flash_buy" */
	struct source source;
	char hash[33]; /* as script/refused.h says */
	bool writes, keeps_refusals;
	int once; /* place of the argument, or -1 */
	struct fields args, results;
	struct failure *fails;
	size_t fail_count;
	struct emitted *emits;
	size_t emit_count;
	/* The file's chunk is run again for each call, unless the function it returns holds
	 * nothing but what we gave it: then nothing can survive in it. */
	int chunk_ref, function_ref;
	bool pure;
	bool endless;    /* its steps are counted one by one */
	bool spread;     /* it takes its arguments one by one */
	uint64_t unread; /* of these, what its code never reads */
	struct site *sites;
	size_t site_count;
	int now_upvalue; /* of a pure function: where now_ms stands, or 0 */
};
struct library {
	struct slice name; /* "lib.money" */
	struct source source;
	int chunk_ref;
	struct site *sites;
	size_t site_count;
};

/* The last row looked up in a table by the running call: get, then add, reads once. */
struct lookup {
	uint64_t call_id;
	bool present;
	bool asked; /* the key was made of these arguments */
	struct slice key, value;
	struct cell key_cells[SCHEMA_KEY_MAX];
};

struct script_bundle {
	struct budget budget; /* first: budget_of(L) is the bundle */
	struct arena arena;   /* what was declared; dies with the state */
	struct arena kept;    /* name and sources: outlive a new state */
	struct slice name;
	struct chain hash;
	struct script_file *files;
	size_t file_count;

	struct schema_table *tables;
	size_t table_count;
	struct procedure *procedures; /* in order of their names */
	size_t procedure_count;
	struct library *libraries;
	size_t library_count;
	int name_refs[BUNDLE_NAMES]; /* values of the names, in the registry */
	int environment_ref;         /* locked and empty: unknown names end there */
	int imports_ref;             /* what the running call has imported */
	int row_meta_ref, scan_meta_ref, call_meta_ref;
	struct lookup *lookups; /* one a table */
	struct buf scratch;     /* JSON of a result */

	uint64_t calls;           /* numbers them */
	struct script_call *call; /* running now */
	bool plain;               /* sources stay as they are (site.h): for tests that compare */
	bool spoiled;             /* the state must be made anew before the next call */
	uint64_t used;            /* the host's clock of uses, for its cache */
	struct script_bundle *next;
};
static inline struct script_bundle *bundle_of(lua_State *L)
{
	return (struct script_bundle *)budget_of(L);
}

struct script_call {
	uint64_t id;
	struct script_host *host;
	struct script_bundle *bundle;
	const struct procedure *procedure;
	struct txn *txn;
	struct arena *arena;
	struct cell *args;           /* by place; NESTED: see values */
	const struct value **values; /* lists and records as parsed */
	/* how it ended, when the budget's end is BUDGET_RAISED */
	int status;               /* of the store or the transaction, or 0 */
	struct slice fail_code;   /* SLICE_NONE: none */
	const char *fail_details; /* inside of a JSON object, or NULL */
	enum outcome fail_outcome;
	bool fail_declared;
	struct reply *reply;
	bool answered; /* a result site wrote the reply */
	struct txn_cursor *cursors[CALL_CURSORS];
};

/* script_compile; plain: sources stay as they are, which tests compare with. */
int bundle_compile(struct slice bundle_name, const struct script_file *files, size_t count, bool plain,
		   struct script_bundle **made, struct err *err);

/* ---- bundle.c ---- */
/* Makes the state of a bundle whose name and files are set. */
int bundle_build(struct script_bundle *bundle, struct err *err);
void bundle_unbuild(struct script_bundle *bundle);
const struct procedure *bundle_procedure(const struct script_bundle *bundle, struct slice name);

/* ---- chunk.c: but for the names, below lua_pcall ---- */
/* What a script may name; NULL ends them. */
extern const char *const chunk_names[];
/* Makes the environment and the values of the names in the bundle's state. */
void chunk_open(lua_State *L, struct script_bundle *bundle);
/* Loads the file and fills in its sites; raises what the compiler says. The chunk's place in the registry. */
int chunk_load(lua_State *L, struct script_bundle *bundle, const struct source *source,
	       struct site_file *file);
/* Pushes what a file's chunk takes: what the names in uses stand for, and its sites. Their count. */
int chunk_push_names(lua_State *L, const struct script_bundle *bundle, uint32_t uses,
		     const struct site *sites, size_t site_count);
/* The function on top of the stack, of a file that was loaded: does it hold anything that is not ours? */
void chunk_examine(lua_State *L, struct procedure *procedure, const struct site_file *file);
/* import "lib.name" */
int chunk_import(lua_State *L);

/* ---- declare.c: below lua_pcall, raise on what is wrong ---- */
/* Leaves the environment of declarations on the stack. */
void declare_environment(lua_State *L);
/* Runs text (named as file) with that environment at index; what it declared with `word { … }` is left on the
 * stack. */
void declare_run(lua_State *L, int environment, const struct source *file, struct slice text,
		 const char *word);
/* Interns a name for as long as the state lives. */
const char *declare_intern(lua_State *L, struct slice name, int *ref);
/* Copies the text at index, which must be a name; what it names is for the message. */
struct slice declare_name(lua_State *L, int index, const char *what);
/* Reads the table of names and types at index, in the order in which the types were mentioned. */
void declare_fields(lua_State *L, int index, struct fields *fields);
/* Part name of the declaration at index; false when absent. It stays on the stack when true. */
bool declare_part(lua_State *L, int index, const char *name, int type);
/* Raises when the declaration at index has other parts than these; NULL ends them. */
void declare_only(lua_State *L, int index, const char *const *names);

/* ---- declare_procedure.c, declare_table.c: read the declaration on top of the stack and pop it ---- */
void declare_procedure(lua_State *L, struct script_bundle *bundle, struct procedure *procedure);
void declare_tables(lua_State *L, struct script_bundle *bundle);

/* ---- lua_value.c ---- */
/* NULL and *cell, or why the value at index cannot be one. Text is the Lua string's. */
const char *value_to_cell(lua_State *L, int index, struct cell *cell);
void value_push_cell(lua_State *L, const struct cell *cell);
void value_push(lua_State *L, const struct value *value);
/* Reads the table at index into cells (one a field; absent ones NOTHING). Raises on fields that are not
 * declared and values that are no cells; what names the thing in the message. */
void value_read_fields(lua_State *L, int index, const struct fields *fields, struct cell *cells,
		       const char *what);
/* The table of scalars at index as the inside of a JSON object, in the call's arena. */
const char *value_details(lua_State *L, int index, struct arena *arena);
/* Parses an argument's text. NULL, or why not. */
const char *value_parse(struct arena *arena, const struct type *type, struct slice text, struct cell *cell,
			const struct value **nested);

/* ---- lua_call.c ---- */
/* Sets db, sequence, emit, fail, money in the table on top of the stack. */
void db_open(lua_State *L, struct script_bundle *bundle);

/* ---- lua_db.c ---- */
/* Sets db. */
void db_open_tables(lua_State *L, struct script_bundle *bundle);
/* Pushes the function of a site. */
void db_push_site(lua_State *L, struct site *site);
/* A row of a table as scripts see it. NULL when the value at index is none. */
struct row_box;
struct row_box *db_row(lua_State *L, int index);
/* Its cells, one a column. */
const struct cell *db_row_cells(lua_State *L, struct row_box *row);
const struct schema_table *db_row_table(const struct row_box *row);
/* Its key behind the table's prefix, and its value, as stored. */
void db_row_bytes(lua_State *L, struct row_box *row, struct slice *key, struct slice *value);
void db_close_cursors(struct script_call *call);
/* Ends the call with a code. details: inside of a JSON object in the arena, or NULL. */
_Noreturn void call_fail(lua_State *L, const char *code, const char *details);
_Noreturn void call_broken(lua_State *L, int status);

/* Reads a stored row: cells has one a column. ERR_CORRUPT. */
int db_decode_key(const struct schema_table *table, struct slice key, struct arena *arena,
		  struct cell *cells);
int db_decode_value(const struct schema_table *table, struct slice value, struct cell *cells);

/* ---- result.c ---- */
/* Writes the value at index as the procedure declares it. Raises what does not fit. */
void result_write(lua_State *L, int index, const struct fields *fields, struct reply *reply,
		  struct buf *scratch);
/* The function of a result site: writes the reply of its arguments. */
int result_site(lua_State *L);
void result_write_cell(struct reply *reply, const struct cell *cell);

#endif /* SCRIPT_INTERNAL_H */
