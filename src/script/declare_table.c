/* What `tables { … }` declared: columns, key, indexes; numbered in the order of their names. */
#include "script/internal.h"

#include <stdlib.h>

#include <lauxlib.h>

/* A list of column names at index. */
static size_t read_columns(lua_State *L, int index, const struct schema_table *table, size_t *columns)
{
	size_t count = (size_t)luaL_len(L, index);
	if (count == 0 || count > SCHEMA_KEY_MAX) {
		luaL_error(L, "table %s: a key has 1 to %d columns", (const char *)table->name.data,
			   SCHEMA_KEY_MAX);
	}
	for (size_t i = 0; i < count; i++) {
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		struct slice name = declare_name(L, -1, "key");
		int column = fields_find_name(&table->columns, name);
		if (column < 0) {
			luaL_error(L, "table %s has no column %s", (const char *)table->name.data,
				   (const char *)name.data);
		}
		for (size_t k = 0; k < i; k++) {
			if (columns[k] == (size_t)column) {
				luaL_error(L, "column %s is twice in one key", (const char *)name.data);
			}
		}
		columns[i] = (size_t)column;
		lua_pop(L, 1);
	}
	return count;
}

static int compare_indexes(const void *left, const void *right)
{
	return slice_compare(((const struct schema_index *)left)->name,
			     ((const struct schema_index *)right)->name);
}

static void read_indexes(lua_State *L, int index, struct schema_table *table)
{
	table->indexes = arena_zalloc(&bundle_of(L)->arena, SCHEMA_INDEXES_MAX * sizeof *table->indexes);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		if (table->index_count == SCHEMA_INDEXES_MAX) {
			luaL_error(L, "table %s has more than %d indexes", (const char *)table->name.data,
				   SCHEMA_INDEXES_MAX);
		}
		struct schema_index *made = &table->indexes[table->index_count++];
		made->name = declare_name(L, -2, "index");
		luaL_checktype(L, -1, LUA_TTABLE);
		made->column_count = read_columns(L, lua_gettop(L), table, made->columns);
		lua_pop(L, 1);
	}
	qsort(table->indexes, table->index_count, sizeof *table->indexes, compare_indexes);
}

static void read_table(lua_State *L, int index, struct schema_table *table)
{
	static const char *const parts[] = {"key", "columns", "indexes", "hot", NULL};
	declare_only(L, index, parts);
	if (!declare_part(L, index, "columns", LUA_TTABLE)) {
		luaL_error(L, "table %s has no columns", (const char *)table->name.data);
	}
	declare_fields(L, -1, &table->columns);
	for (size_t i = 0; i < table->columns.count; i++) {
		const struct field *column = &table->columns.items[i];
		if (column->type.kind > TYPE_TEXT) {
			luaL_error(L, "column %s: a %s cannot be stored", (const char *)column->name.data,
				   type_name(column->type.kind));
		}
	}
	if (!declare_part(L, index, "key", LUA_TTABLE)) {
		luaL_error(L, "table %s has no key", (const char *)table->name.data);
	}
	table->key_count = read_columns(L, lua_gettop(L), table, table->key);
	for (size_t i = 0; i < table->key_count; i++) {
		if (table->columns.items[table->key[i]].type.optional) {
			luaL_error(L, "table %s: a column of the key cannot be optional",
				   (const char *)table->name.data);
		}
	}
	if (declare_part(L, index, "indexes", LUA_TTABLE)) {
		read_indexes(L, lua_gettop(L), table);
	}
	if (declare_part(L, index, "hot", LUA_TBOOLEAN)) {
		table->hot = lua_toboolean(L, -1);
	}
	lua_settop(L, index);
}

static int compare_tables(const void *left, const void *right)
{
	return slice_compare(((const struct schema_table *)left)->name,
			     ((const struct schema_table *)right)->name);
}

void declare_tables(lua_State *L, struct script_bundle *bundle)
{
	int index = lua_gettop(L);
	bundle->tables = arena_zalloc(&bundle->arena, SCHEMA_TABLES_MAX * sizeof *bundle->tables);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		if (bundle->table_count == SCHEMA_TABLES_MAX) {
			luaL_error(L, "more than %d tables", SCHEMA_TABLES_MAX);
		}
		struct schema_table *table = &bundle->tables[bundle->table_count++];
		table->name = declare_name(L, -2, "table");
		luaL_checktype(L, -1, LUA_TTABLE);
		read_table(L, lua_gettop(L), table);
		lua_pop(L, 1);
	}
	qsort(bundle->tables, bundle->table_count, sizeof *bundle->tables, compare_tables);
	for (size_t i = 0; i < bundle->table_count; i++) {
		bundle->tables[i].number = i;
		schema_complete(&bundle->tables[i], &bundle->arena);
	}
	lua_settop(L, index - 1);
}
