/* The language of declarations: `procedure { … }` and `tables { … }`, run once when a bundle
 * is compiled. Each mention of a type makes a new one with the next number, so that the fields
 * of a table keep the order in which they were written, which Lua forgets. */
#include "script/internal.h"

#include <assert.h>
#include <ctype.h>
#include <stdlib.h>

#include <lauxlib.h>

#include "script/compile.h"

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

/* A list or a record: what goes down into it, or through all of it, comes to an end. */
static void nest_type(lua_State *L, lua_Integer number, struct type type)
{
	if (++type.depth > LIMIT_VALUE_DEPTH) {
		luaL_error(L, "a type is nested deeper than %d", LIMIT_VALUE_DEPTH);
	}
	if (++type.parts > SCHEMA_PARTS_MAX) {
		luaL_error(L, "a type has more than %d parts", SCHEMA_PARTS_MAX);
	}
	new_type(L, number, type);
}

static int declare_list(lua_State *L)
{
	struct type_box *box = check_type(L, 1);
	struct type *item = arena_alloc(&bundle_of(L)->arena, sizeof *item);
	*item = box->type;
	nest_type(L, box->number,
		  (struct type){.kind = TYPE_LIST,
				.item = item,
				.max = LIMIT_RESULT_ITEMS,
				.depth = item->depth,
				.parts = item->parts});
	return 1;
}

static int declare_record(lua_State *L)
{
	luaL_checktype(L, 1, LUA_TTABLE);
	struct fields *fields = arena_zalloc(&bundle_of(L)->arena, sizeof *fields);
	declare_fields(L, 1, fields);
	lua_Integer number = luaL_len(L, lua_upvalueindex(1)) + 1;
	lua_pushboolean(L, 1);
	lua_rawseti(L, lua_upvalueindex(1), number);
	struct type type = {.kind = TYPE_RECORD, .fields = fields};
	for (size_t i = 0; i < fields->count; i++) {
		const struct type *part = &fields->items[i].type;
		type.depth = part->depth > type.depth ? part->depth : type.depth;
		type.parts += part->parts;
	}
	nest_type(L, number, type);
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
		struct type type = {
			.kind = (enum type_kind)kind, .min = INT64_MIN, .max = INT64_MAX, .parts = 1};
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
	compile_charge(L, text);
	if (compile_load(L, text, name) != LUA_OK) {
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

struct slice declare_name(lua_State *L, int index, const char *what)
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

void declare_fields(lua_State *L, int index, struct fields *fields)
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
		struct slice name = declare_name(L, -2, "field");
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

bool declare_part(lua_State *L, int index, const char *name, int type)
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

void declare_only(lua_State *L, int index, const char *const *names)
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
