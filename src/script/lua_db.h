/* Inside the room: rows and keys between Lua and the transaction. */
#ifndef SCRIPT_LUA_DB_H
#define SCRIPT_LUA_DB_H

#include "script/internal.h"

/* The first word of every userdata a script can hold says what it is. */
enum box_kind { BOX_TABLE = 0x74626c31, BOX_ROW = 0x726f7731, BOX_SCAN = 0x73636e31, BOX_DB = 0x64623131 };

struct table_box {
	enum box_kind kind;
	const struct schema_table *table;
};
struct row_box {
	enum box_kind kind;
	bool decoded;
	const struct schema_table *table;
	struct cell *cells; /* key cells are there; the others when decoded */
	struct slice key, value;
};

/* A row that a method is about: its key is encoded and looked up. */
struct db_target {
	struct script_call *call;
	const struct schema_table *table;
	struct cell *cells; /* the key's are set */
	struct slice key;
	bool present;
	struct slice value;
};

/* ---- lua_row.c ---- */
/* The running call; raises when there is none, or when it may not write. */
struct script_call *db_running(lua_State *L);
struct script_call *db_writing(lua_State *L);
/* Ends the call when a status of the transaction says so; NOT_FOUND passes. */
void db_check(lua_State *L, int status);
/* "table":"order","key":["o1"] */
const char *db_row_details(lua_State *L, const struct schema_table *table, const struct cell *cells);
const char *db_column_details(lua_State *L, const struct schema_table *table, const struct field *column,
			      int64_t value, int64_t add);
void db_decode_row(lua_State *L, const struct schema_table *table, struct slice value, struct cell *cells);
/* decoded: all cells are set, not only the key's. */
void db_push_row(lua_State *L, const struct schema_table *table, struct cell *cells, struct slice key,
		 struct slice value, bool decoded);
void db_make_row_meta(lua_State *L, struct script_bundle *bundle);

/* ---- lua_db.c ---- */
struct cell *db_cells_room(lua_State *L, struct script_call *call, const struct schema_table *table);
struct cell *db_new_cells(lua_State *L, struct script_call *call, const struct schema_table *table);
/* Takes leading key columns from the stack, from to to. Their count. */
size_t db_read_key(lua_State *L, const struct schema_table *table, int from, int to, struct cell *cells);
uint8_t *db_key_room(lua_State *L, struct script_call *call, size_t room);
struct slice db_encode_key(lua_State *L, struct script_call *call, const struct schema_table *table,
			   struct cell *cells, size_t count);
size_t db_tuple_max(const struct cell *cell);
uint8_t *db_tuple_write(uint8_t *out, const struct cell *cell);
/* A whole key at arguments first to last. Only the key's cells are set. */
struct db_target db_find(lua_State *L, struct script_call *call, const struct schema_table *table, int first,
			 int last);
/* The same with the arguments that a site names as the key. */
struct db_target db_find_bound(lua_State *L, struct script_call *call, const struct site *site);
void db_push_target(lua_State *L, const struct db_target *target, struct slice value, bool decoded);
/* The methods' bodies. Those that return int leave that many results. */
int db_get(lua_State *L, const struct db_target *target);
int db_need(lua_State *L, const struct db_target *target); /* 0, or it raises */
int db_vacant(lua_State *L, const struct db_target *target);
int db_delete(lua_State *L, const struct db_target *target);
/* A whole row in a table at index. */
struct cell *db_read(lua_State *L, struct script_call *call, const struct schema_table *table, int index);
/* The row whose cells are given: checked but for the trusted columns, and looked up. */
struct db_target db_meet(lua_State *L, struct script_call *call, const struct schema_table *table,
			 struct cell *cells, uint64_t trusted);
/* Write the target's row; its value. */
struct slice db_write(lua_State *L, struct db_target *target);
struct slice db_insert(lua_State *L, struct db_target *target);
/* The row to be changed, decoded. changes has one cell a column. */
struct db_target db_meet_change(lua_State *L, struct db_target target, const struct cell *changes);
void db_update(lua_State *L, struct db_target *target, const struct cell *changes);
void db_add(lua_State *L, struct db_target *target, const struct cell *changes);

/* ---- lua_scan.c ---- */
void db_make_scan_meta(lua_State *L, struct script_bundle *bundle);
int db_scan(lua_State *L, const struct schema_table *table, int first);
int db_scan_by(lua_State *L, const struct schema_table *table, int first);

#endif /* SCRIPT_LUA_DB_H */
