/* The language of declarations: `procedure { … }` and `tables { … }`, run once when a bundle
 * is compiled. Each mention of a type makes a new one with the next number, so that the fields
 * of a table keep the order in which they were written, which Lua forgets. */
#include "script/internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#include <lauxlib.h>

#define TYPE_META "type"

struct type_box {
	lua_Integer number;
	struct type type;
};

/* ---- types ---- */

static struct type_box *new_type(lua_State *L, lua_Integer number, struct type type)
{
	struct type_box *box = lua_newuserdatauv(L, sizeof *box, 0);
	*box = (struct type_box){number, type};
	luaL_setmetatable(L, TYPE_META);
	return box;
}

static struct type_box *check_type(lua_State *L, int arg)
{
	struct type_box *box = luaL_testudata(L, arg, TYPE_META);
	if (box == NULL) {
		luaL_error(L, "a type is expected here (id, int, money, count, bool, text, optional, list, "
			      "record)");
	}
	return box;
}

/* int(a, b), money(a, b), text(n) */
static int type_call(lua_State *L)
{
	struct type_box *box = check_type(L, 1);
	struct type type = box->type;
	if (type.kind == TYPE_TEXT) {
		type.max = luaL_checkinteger(L, 2);
		luaL_argcheck(L, type.max > 0 && type.max <= SCHEMA_TEXT_MAX, 2, "1 to 65536 bytes");
	} else if (type.kind == TYPE_INT || type.kind == TYPE_MONEY) {
		type.min = luaL_checkinteger(L, 2);
		type.max = luaL_checkinteger(L, 3);
		luaL_argcheck(L, type.min <= type.max, 3, "the range is empty");
	} else {
		return luaL_error(L, "%s takes no bounds", type_name(type.kind));
	}
	new_type(L, box->number, type);
	return 1;
}

static int declare_optional(lua_State *L)
{
	struct type_box *box = check_type(L, 1);
	new_type(L, box->number, box->type)->type.optional = true;
	return 1;
}

static int declare_list(lua_State *L)
{
	struct type_box *box = check_type(L, 1);
	struct type *item = arena_alloc(&bundle_of(L)->arena, sizeof *item);
	*item = box->type;
	new_type(L, box->number, (struct type){.kind = TYPE_LIST, .item = item, .max = LIMIT_RESULT_ITEMS});
	return 1;
}

static void read_fields(lua_State *L, int index, struct fields *fields);

static int declare_record(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	struct fields *fields = arena_zalloc(&bundle_of(L)->arena, sizeof *fields);
	read_fields(L, 1, fields);
	lua_Integer number = luaL_len(L, lua_upvalueindex(1)) + 1;
	lua_pushboolean(L, 1);
	lua_rawseti(L, lua_upvalueindex(1), number);
	new_type(L, number, (struct type){.kind = TYPE_RECORD, .fields = fields});
	return 1;
}

/* Unknown names in a declaration: the types. Upvalue 1 counts mentions by its length. */
static int type_mention(lua_State *L)
{
	const char *name = luaL_checkstring(L, 2);
	for (int kind = TYPE_ID; kind <= TYPE_TEXT; kind++) {
		if (strcmp(name, type_name((enum type_kind)kind)) != 0) {
			continue;
		}
		struct type type = {.kind = (enum type_kind)kind, .min = INT64_MIN, .max = INT64_MAX};
		if (kind == TYPE_COUNT) {
			type.min = 0;
		} else if (kind == TYPE_ID || kind == TYPE_TEXT) {
			type.min = 0;
			type.max = kind == TYPE_ID ? SCHEMA_ID_MAX : SCHEMA_TEXT_MAX;
		}
		lua_Integer number = luaL_len(L, lua_upvalueindex(1)) + 1;
		lua_pushboolean(L, 1);
		lua_rawseti(L, lua_upvalueindex(1), number);
		new_type(L, number, type);
		return 1;
	}
	return luaL_error(L, "'%s' is not known in a declaration", name);
}

/* procedure { … }, tables { … }: keeps what was declared. Upvalue 1 is where. */
static int declare_word(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	if (lua_rawgeti(L, lua_upvalueindex(1), 1) != LUA_TNIL) {
		return luaL_error(L, "declared twice");
	}
	lua_pushvalue(L, 1);
	lua_rawseti(L, lua_upvalueindex(1), 1);
	return 0;
}

void declare_environment(lua_State *L)
{
	luaL_newmetatable(L, TYPE_META);
	lua_pushcfunction(L, type_call);
	lua_setfield(L, -2, "__call");
	lua_pushboolean(L, 0);
	lua_setfield(L, -2, "__metatable");
	lua_pop(L, 1);

	lua_newtable(L); /* the environment */
	lua_newtable(L); /* counts mentions */
	lua_pushcfunction(L, declare_optional);
	lua_setfield(L, -3, "optional");
	lua_pushcfunction(L, declare_list);
	lua_setfield(L, -3, "list");
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, declare_record, 1);
	lua_setfield(L, -3, "record");
	lua_newtable(L);
	lua_pushvalue(L, -2);
	lua_pushcclosure(L, type_mention, 1);
	lua_setfield(L, -2, "__index");
	lua_setmetatable(L, -3);
	lua_pop(L, 1);
}

void declare_run(lua_State *L, int environment, const struct source *file, struct slice text,
		 const char *word)
{
	environment = lua_absindex(L, environment);
	lua_newtable(L); /* holds what is declared */
	lua_pushvalue(L, -1);
	lua_pushcclosure(L, declare_word, 1);
	lua_setfield(L, environment, word);
	const char *name = arena_printf(&bundle_of(L)->arena, "=%.*s", (int)file->name.len,
					(const char *)file->name.data);
	if (luaL_loadbufferx(L, text.len == 0 ? "" : (const char *)text.data, text.len, name, "t") !=
	    LUA_OK) {
		lua_error(L);
	}
	lua_pushvalue(L, environment);
	lua_setupvalue(L, -2, 1);
	lua_call(L, 0, 0);
	if (lua_rawgeti(L, -1, 1) == LUA_TNIL) {
		luaL_error(L, "%s: nothing was declared with `%s { … }`", name + 1, word);
	}
	lua_remove(L, -2);
}

/* ---- reading what was declared ---- */

const char *declare_intern(lua_State *L, struct slice name, int *ref)
{
	assert(name.len <= SCHEMA_NAME_MAX);
	const char *interned = lua_pushlstring(L, (const char *)name.data, name.len);
	*ref = luaL_ref(L, LUA_REGISTRYINDEX);
	return interned;
}

/* Copies the text at index, which must be a name. */
static struct slice read_name(lua_State *L, int index, const char *what)
{
	size_t len;
	if (lua_type(L, index) != LUA_TSTRING) {
		luaL_error(L, "%s: a name is expected", what);
	}
	const char *bytes = lua_tolstring(L, index, &len);
	bool good = len > 0 && len <= SCHEMA_NAME_MAX && !(bytes[0] >= '0' && bytes[0] <= '9');
	for (size_t i = 0; i < len; i++) {
		good = good && (isalnum((unsigned char)bytes[i]) || bytes[i] == '_') &&
		       (unsigned char)bytes[i] < 0x80;
	}
	if (!good) {
		luaL_error(L, "%s: '%s' is not a name (letters, digits and _; at most %d)", what, bytes,
			   SCHEMA_NAME_MAX);
	}
	return arena_copy(&bundle_of(L)->arena, slice_of(bytes, len));
}

struct numbered {
	lua_Integer number;
	struct field field;
};

static int compare_numbered(const void *left, const void *right)
{
	const struct numbered *a = left, *b = right;
	if (a->number != b->number) {
		return a->number < b->number ? -1 : 1;
	}
	return slice_compare(a->field.name, b->field.name);
}

static void read_fields(lua_State *L, int index, struct fields *fields)
{
	struct arena *arena = &bundle_of(L)->arena;
	struct numbered found[SCHEMA_FIELDS_MAX];
	size_t count = 0;
	index = lua_absindex(L, index);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		if (count == SCHEMA_FIELDS_MAX) {
			luaL_error(L, "more than %d fields", SCHEMA_FIELDS_MAX);
		}
		struct slice name = read_name(L, -2, "field");
		struct type_box *box = luaL_testudata(L, -1, TYPE_META);
		if (box == NULL) {
			luaL_error(L, "field %s has no type", (const char *)name.data);
		}
		found[count++] = (struct numbered){box->number, {.name = name, .type = box->type}};
		lua_pop(L, 1);
	}
	qsort(found, count, sizeof found[0], compare_numbered);
	fields->count = count;
	fields->items = arena_zalloc(arena, count * sizeof *fields->items);
	for (size_t i = 0; i < count; i++) {
		fields->items[i] = found[i].field;
		const char *wire = arena_printf(arena, "$%zu\r\n%s\r\n", found[i].field.name.len,
						(const char *)found[i].field.name.data);
		fields->items[i].wire = slice_str(wire);
		fields->items[i].interned =
			declare_intern(L, found[i].field.name, &fields->items[i].name_ref);
	}
	fields_index(fields, arena);
}

/* Field name of the declaration at index; false when absent. It stays on the stack when true. */
static bool open_field(lua_State *L, int index, const char *name, int type)
{
	int found = lua_getfield(L, index, name);
	if (found == LUA_TNIL) {
		lua_pop(L, 1);
		return false;
	}
	if (found != type) {
		luaL_error(L, "`%s` must be a %s", name, lua_typename(L, type));
	}
	return true;
}

static void only_these(lua_State *L, int index, const char *const *names)
{
	const char *unknown = NULL;
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		lua_pop(L, 1);
		if (lua_type(L, -1) != LUA_TSTRING) {
			luaL_error(L, "a declaration has named entries only");
		}
		const char *name = lua_tostring(L, -1);
		bool known = false;
		for (size_t i = 0; names[i] != NULL; i++) {
			known = known || strcmp(names[i], name) == 0;
		}
		if (!known && (unknown == NULL || strcmp(name, unknown) < 0)) {
			unknown = name;
		}
	}
	if (unknown != NULL) {
		luaL_error(L, "'%s' is not part of a declaration", unknown);
	}
}

/* ---- procedures ---- */

static int compare_failures(const void *left, const void *right)
{
	return slice_compare(((const struct failure *)left)->code, ((const struct failure *)right)->code);
}

static void check_code(lua_State *L, struct slice code)
{
	static const char *const repeated[] = {"LOADING",  "READONLY",  "MASTERDOWN", "CLUSTERDOWN",
					       "TRYAGAIN", "MOVED",     "ASK",        "ERR",
					       "NOSCRIPT", "WRONGTYPE", NULL};
	for (size_t i = 0; i < code.len; i++) {
		if (!isupper(code.data[i]) && !isdigit(code.data[i]) && code.data[i] != '_') {
			luaL_error(L, "fails: %s is not a code (CAPITALS_LIKE_THIS)",
				   (const char *)code.data);
		}
	}
	for (size_t i = 0; repeated[i] != NULL; i++) {
		if (slice_equal(code, slice_str(repeated[i]))) {
			luaL_error(L, "fails: %s has a meaning to Redis clients", repeated[i]);
		}
	}
	if (code_find(code) != CODE_NONE) {
		luaL_error(L, "fails: %s is one of the store's own codes", (const char *)code.data);
	}
}

static void read_fails(lua_State *L, int index, struct procedure *procedure)
{
	struct arena *arena = &bundle_of(L)->arena;
	procedure->fails = arena_zalloc(arena, SCHEMA_FIELDS_MAX * sizeof *procedure->fails);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		if (procedure->fail_count == SCHEMA_FIELDS_MAX) {
			luaL_error(L, "more than %d codes", SCHEMA_FIELDS_MAX);
		}
		struct failure *failure = &procedure->fails[procedure->fail_count++];
		failure->code = read_name(L, -2, "fails");
		check_code(L, failure->code);
		const char *class = lua_type(L, -1) == LUA_TSTRING ? lua_tostring(L, -1) : "";
		failure->conflict = strcmp(class, "conflict") == 0;
		if (!failure->conflict && strcmp(class, "refused") != 0) {
			luaL_error(L, "fails: %s must be \"refused\" or \"conflict\"",
				   (const char *)failure->code.data);
		}
		lua_pop(L, 1);
	}
	qsort(procedure->fails, procedure->fail_count, sizeof *procedure->fails, compare_failures);
	for (size_t i = 0; i < procedure->fail_count; i++) {
		int ref;
		procedure->fails[i].interned = declare_intern(L, procedure->fails[i].code, &ref);
	}
}

static void read_emits(lua_State *L, int index, struct procedure *procedure)
{
	struct arena *arena = &bundle_of(L)->arena;
	procedure->emit_count = (size_t)luaL_len(L, index);
	procedure->emits = arena_zalloc(arena, procedure->emit_count * sizeof *procedure->emits);
	for (size_t i = 0; i < procedure->emit_count; i++) {
		struct emitted *emitted = &procedure->emits[i];
		int ref;
		lua_rawgeti(L, index, (lua_Integer)i + 1);
		size_t len;
		const char *type = lua_tolstring(L, -1, &len);
		if (lua_type(L, -1) != LUA_TSTRING || len == 0 || len > SCHEMA_NAME_MAX) {
			luaL_error(L, "emits: a list of event types of at most %d bytes", SCHEMA_NAME_MAX);
		}
		emitted->type = arena_copy(arena, slice_of(type, len));
		emitted->interned = declare_intern(L, emitted->type, &ref);
		lua_pop(L, 1);
	}
}

static void read_once(lua_State *L, int index, struct procedure *procedure)
{
	procedure->once = -1;
	if (open_field(L, index, "once", LUA_TSTRING)) {
		struct slice name = slice_str(lua_tostring(L, -1));
		procedure->once = fields_find_name(&procedure->args, name);
		if (procedure->once < 0 || procedure->args.items[procedure->once].type.kind != TYPE_ID ||
		    procedure->args.items[procedure->once].type.optional) {
			luaL_error(L, "once: '%s' is not an argument of type id", lua_tostring(L, -1));
		}
		lua_pop(L, 1);
	}
	if (open_field(L, index, "keep", LUA_TSTRING)) {
		const char *keep = lua_tostring(L, -1);
		procedure->keeps_refusals = strcmp(keep, "all") == 0;
		if (!procedure->keeps_refusals && strcmp(keep, "success") != 0) {
			luaL_error(L, "keep is \"success\" or \"all\"");
		}
		lua_pop(L, 1);
	}
}

/* "order/flash_buy.lua" holds order.flash_buy. */
static struct slice name_of_file(struct arena *arena, struct slice file)
{
	struct slice copy = arena_copy(arena, slice_of(file.data, file.len - strlen(".lua")));
	uint8_t *bytes = (uint8_t *)(uintptr_t)copy.data;
	for (size_t i = 0; i < copy.len; i++) {
		bytes[i] = bytes[i] == '/' ? '.' : bytes[i];
	}
	return copy;
}

void declare_procedure(lua_State *L, struct script_bundle *bundle, struct procedure *procedure)
{
	static const char *const parts[] = {"name",   "writes", "once",  "keep", "args",
					    "result", "fails",  "emits", NULL};
	int index = lua_gettop(L);
	only_these(L, index, parts);
	procedure->name = name_of_file(&bundle->arena, procedure->source.name);
	if (!open_field(L, index, "name", LUA_TSTRING)) {
		luaL_error(L, "the declaration has no name");
	}
	if (!slice_equal(procedure->name, slice_str(lua_tostring(L, -1)))) {
		luaL_error(L, "the file is for %s, the declaration names %s",
			   (const char *)procedure->name.data, lua_tostring(L, -1));
	}
	lua_settop(L, index);
	if (open_field(L, index, "writes", LUA_TBOOLEAN)) {
		procedure->writes = lua_toboolean(L, -1);
	}
	fields_index(&procedure->args, &bundle->arena);
	fields_index(&procedure->results, &bundle->arena);
	if (open_field(L, index, "args", LUA_TTABLE)) {
		read_fields(L, -1, &procedure->args);
	}
	if (open_field(L, index, "result", LUA_TTABLE)) {
		read_fields(L, -1, &procedure->results);
	}
	if (open_field(L, index, "fails", LUA_TTABLE)) {
		read_fails(L, lua_gettop(L), procedure);
	}
	if (open_field(L, index, "emits", LUA_TTABLE)) {
		read_emits(L, lua_gettop(L), procedure);
	}
	read_once(L, index, procedure);
	lua_settop(L, index - 1);
}

/* ---- tables ---- */

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
		struct slice name = read_name(L, -1, "key");
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
		made->name = read_name(L, -2, "index");
		luaL_checktype(L, -1, LUA_TTABLE);
		made->column_count = read_columns(L, lua_gettop(L), table, made->columns);
		lua_pop(L, 1);
	}
	qsort(table->indexes, table->index_count, sizeof *table->indexes, compare_indexes);
}

static void read_table(lua_State *L, int index, struct schema_table *table)
{
	static const char *const parts[] = {"key", "columns", "indexes", "hot", NULL};
	only_these(L, index, parts);
	if (!open_field(L, index, "columns", LUA_TTABLE)) {
		luaL_error(L, "table %s has no columns", (const char *)table->name.data);
	}
	read_fields(L, -1, &table->columns);
	for (size_t i = 0; i < table->columns.count; i++) {
		const struct field *column = &table->columns.items[i];
		if (column->type.kind > TYPE_TEXT) {
			luaL_error(L, "column %s: a %s cannot be stored", (const char *)column->name.data,
				   type_name(column->type.kind));
		}
	}
	if (!open_field(L, index, "key", LUA_TTABLE)) {
		luaL_error(L, "table %s has no key", (const char *)table->name.data);
	}
	table->key_count = read_columns(L, lua_gettop(L), table, table->key);
	for (size_t i = 0; i < table->key_count; i++) {
		if (table->columns.items[table->key[i]].type.optional) {
			luaL_error(L, "table %s: a column of the key cannot be optional",
				   (const char *)table->name.data);
		}
	}
	if (open_field(L, index, "indexes", LUA_TTABLE)) {
		read_indexes(L, lua_gettop(L), table);
	}
	if (open_field(L, index, "hot", LUA_TBOOLEAN)) {
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
		table->name = read_name(L, -2, "table");
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
