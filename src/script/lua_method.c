/* The methods of db's tables, as a script calls them, and as sites do (site.h). */
#include "script/lua_db.h"

#include <assert.h>
#include <inttypes.h>

#include <lauxlib.h>

static const struct schema_table *check_table(lua_State *L)
{
	struct table_box *box = lua_touserdata(L, 1);
	if (box == NULL || box->kind != BOX_TABLE) {
		luaL_error(L, "call it with a colon: db.name:get(…)");
	}
	return box->table;
}

/* ---- methods: the table is the first argument ---- */

static struct db_target method_key(lua_State *L, struct script_call *call)
{
	return db_find(L, call, check_table(L), 2, lua_gettop(L));
}

static int method_get(lua_State *L)
{
	struct db_target target = method_key(L, db_running(L));
	return db_get(L, &target);
}

static int method_vacant(lua_State *L)
{
	struct db_target target = method_key(L, db_running(L));
	return db_vacant(L, &target);
}

static int method_delete(lua_State *L)
{
	struct db_target target = method_key(L, db_writing(L));
	return db_delete(L, &target);
}

static int method_scan(lua_State *L)
{
	return db_scan(L, check_table(L), 2);
}
static int method_scan_by(lua_State *L)
{
	return db_scan_by(L, check_table(L), 2);
}

static int method_need(lua_State *L)
{
	struct db_target target = method_key(L, db_running(L));
	db_need(L, &target);
	db_push_target(L, &target, target.value, false);
	return 1;
}

static int method_insert(lua_State *L)
{
	struct script_call *call = db_writing(L);
	const struct schema_table *table = check_table(L);
	struct db_target target = db_meet(L, call, table, db_read(L, call, table, 2), 0);
	db_push_target(L, &target, db_insert(L, &target), true);
	return 1;
}

static int method_put(lua_State *L)
{
	struct script_call *call = db_writing(L);
	const struct schema_table *table = check_table(L);
	struct db_target target = db_meet(L, call, table, db_read(L, call, table, 2), 0);
	db_push_target(L, &target, db_write(L, &target), true);
	return 1;
}

static struct db_target method_change(lua_State *L, struct cell *changes)
{
	struct script_call *call = db_writing(L);
	const struct schema_table *table = check_table(L);
	int last = lua_gettop(L);
	luaL_checktype(L, last, LUA_TTABLE);
	value_read_fields(L, last, &table->columns, changes, (const char *)table->name.data);
	return db_meet_change(L, db_find(L, call, table, 2, last - 1), changes);
}

static int method_update(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct db_target target = method_change(L, changes);
	db_update(L, &target, changes);
	return 0;
}

static int method_add(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct db_target target = method_change(L, changes);
	db_add(L, &target, changes);
	return 0;
}

/* ---- sites: the table is known, fields are arguments (site.h) ---- */

static const struct site *site_of(lua_State *L)
{
	return lua_touserdata(L, lua_upvalueindex(1));
}

/* The row whose key stands in arguments of the call, or on the stack up to last. */
static struct db_target site_key(lua_State *L, struct script_call *call, const struct site *site, int last)
{
	return site->keys_bound ? db_find_bound(L, call, site) : db_find(L, call, site->table, 1, last);
}

static int site_get(lua_State *L)
{
	struct db_target target = site_key(L, db_running(L), site_of(L), lua_gettop(L));
	return db_get(L, &target);
}

static int site_vacant(lua_State *L)
{
	struct db_target target = site_key(L, db_running(L), site_of(L), lua_gettop(L));
	return db_vacant(L, &target);
}

static int site_delete(lua_State *L)
{
	struct db_target target = site_key(L, db_writing(L), site_of(L), lua_gettop(L));
	return db_delete(L, &target);
}

static int site_scan(lua_State *L)
{
	return db_scan(L, site_of(L)->table, 1);
}
static int site_scan_by(lua_State *L)
{
	return db_scan_by(L, site_of(L)->table, 1);
}

/* The row, and the columns of it that the source names. */
static int return_row(lua_State *L, const struct site *site, const struct db_target *target,
		      struct slice value)
{
	luaL_checkstack(L, SCHEMA_FIELDS_MAX, NULL);
	if (site->whole) {
		db_push_target(L, target, value, true);
	}
	for (size_t i = 0; i < site->column_count; i++) {
		value_push_cell(L, &target->cells[site->columns[i]]);
	}
	return (int)site->column_count + site->whole;
}

static int site_need(lua_State *L)
{
	const struct site *site = site_of(L);
	struct db_target target = site_key(L, db_running(L), site, lua_gettop(L));
	db_need(L, &target);
	db_decode_row(L, site->table, target.value, target.cells);
	return return_row(L, site, &target, target.value);
}

/* The fields, from the stack at first on or from the call's arguments. */
static void read_site_fields(lua_State *L, const struct script_call *call, const struct site *site, int first,
			     struct cell *cells)
{
	for (size_t i = 0; i < site->table->columns.count; i++) {
		cells[i].kind = CELL_NOTHING;
	}
	for (size_t i = 0; i < site->field_count; i++) {
		struct cell *cell = &cells[site->fields[i]];
		if (site->field_args[i] != SITE_STACK) {
			*cell = call->args[site->field_args[i]];
			continue;
		}
		const char *why = value_to_cell(L, first++, cell);
		if (why != NULL) {
			luaL_error(L, "%s: %s %s", (const char *)site->table->name.data,
				   (const char *)site->table->columns.items[site->fields[i]].name.data, why);
		}
	}
}

static struct db_target site_row(lua_State *L, const struct site *site)
{
	struct script_call *call = db_writing(L);
	struct cell *cells;
	if (site->shaped) {
		cells = db_cells_room(L, call, site->table);
		read_site_fields(L, call, site, 1, cells);
	} else {
		cells = db_read(L, call, site->table, 1);
	}
	return db_meet(L, call, site->table, cells, site->trusted);
}

static int site_insert(lua_State *L)
{
	const struct site *site = site_of(L);
	struct db_target target = site_row(L, site);
	struct slice value = db_insert(L, &target);
	return return_row(L, site, &target, value);
}

static int site_put(lua_State *L)
{
	const struct site *site = site_of(L);
	struct db_target target = site_row(L, site);
	struct slice value = db_write(L, &target);
	return return_row(L, site, &target, value);
}

static struct db_target site_change(lua_State *L, const struct site *site, struct cell *changes)
{
	struct script_call *call = db_writing(L);
	int last = lua_gettop(L);
	if (site->shaped) {
		last = site->keys_bound ? 0 : (int)site->table->key_count;
		read_site_fields(L, call, site, last + 1, changes);
	} else {
		luaL_checktype(L, last, LUA_TTABLE);
		value_read_fields(L, last, &site->table->columns, changes,
				  (const char *)site->table->name.data);
		last--;
	}
	return db_meet_change(L, site_key(L, call, site, last), changes);
}

static int site_update(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct db_target target = site_change(L, site_of(L), changes);
	db_update(L, &target, changes);
	return 0;
}

static int site_add(lua_State *L)
{
	struct cell changes[SCHEMA_FIELDS_MAX];
	struct db_target target = site_change(L, site_of(L), changes);
	db_add(L, &target, changes);
	return 0;
}

void db_push_site(lua_State *L, struct site *site)
{
	static const lua_CFunction functions[] = {
		[SITE_GET] = site_get,       [SITE_NEED] = site_need,    [SITE_VACANT] = site_vacant,
		[SITE_DELETE] = site_delete, [SITE_SCAN] = site_scan,    [SITE_SCAN_BY] = site_scan_by,
		[SITE_INSERT] = site_insert, [SITE_PUT] = site_put,      [SITE_UPDATE] = site_update,
		[SITE_ADD] = site_add,       [SITE_RESULT] = result_site};
	lua_pushlightuserdata(L, site);
	lua_pushcclosure(L, functions[site->kind], 1);
}

/* ---- handles ---- */

static int locked(lua_State *L)
{
	return luaL_error(L, "db is read-only");
}

/* The metatable of a handle: __index is the table on top of the stack (consumed). */
static void push_meta(lua_State *L)
{
	lua_createtable(L, 0, 3);
	lua_insert(L, -2);
	lua_setfield(L, -2, "__index");
	lua_pushcfunction(L, locked);
	lua_setfield(L, -2, "__newindex");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
}

void db_open_tables(lua_State *L, struct script_bundle *bundle)
{
	static const luaL_Reg methods[] = {{"get", method_get},
					   {"need", method_need},
					   {"vacant", method_vacant},
					   {"insert", method_insert},
					   {"put", method_put},
					   {"update", method_update},
					   {"add", method_add},
					   {"delete", method_delete},
					   {"scan", method_scan},
					   {"scan_by", method_scan_by},
					   {NULL, NULL}};
	db_make_row_meta(L, bundle);
	db_make_scan_meta(L, bundle);
	enum box_kind *db = lua_newuserdatauv(L, sizeof *db, 0);
	*db = BOX_DB;
	lua_newtable(L); /* tables by name */
	lua_newtable(L);
	luaL_setfuncs(L, methods, 0);
	push_meta(L); /* of every table */
	for (size_t i = 0; i < bundle->table_count; i++) {
		struct table_box *box = lua_newuserdatauv(L, sizeof *box, 0);
		*box = (struct table_box){BOX_TABLE, &bundle->tables[i]};
		lua_pushvalue(L, -2);
		lua_setmetatable(L, -2);
		lua_setfield(L, -3, (const char *)bundle->tables[i].name.data);
	}
	lua_pop(L, 1);
	push_meta(L);
	lua_setmetatable(L, -2);
	lua_setfield(L, -2, "db");
}
