/* What a procedure has besides rows: sequence, emit, fail, money. */
#include "script/lua_db.h"

#include <assert.h>
#include <inttypes.h>

#include <lauxlib.h>

#include "script/sandbox.h"
#include "store/keys.h"

/* sequence(name) takes the next number: 1, 2, 3 … without gaps, because a call that fails writes nothing.
 * sequence(name, 0) tells the last one taken. */
static int sequence(lua_State *L)
{
	lua_Integer count = luaL_optinteger(L, 2, 1);
	luaL_argcheck(L, count == 0 || count == 1, 2, "1 takes the next number, 0 tells the last");
	struct script_call *call = count == 0 ? bundle_of(L)->call : db_writing(L);
	size_t len;
	const char *name = luaL_checklstring(L, 1, &len);
	luaL_argcheck(L, call != NULL && len > 0 && len <= SCHEMA_ID_MAX, 1,
		      "a name of 1 to 128 bytes, in a call");
	uint8_t *key = arena_alloc(call->arena, len + 1);
	key[0] = TABLE_SEQUENCE;
	memcpy(key + 1, name, len);

	struct slice value;
	struct cell cell = cell_int(0);
	budget_charge(L, STEPS_PER_READ);
	int status = txn_get(call->txn, slice_of(key, len + 1), &value);
	db_check(L, status);
	if (status == 0 && (cell_read(&value, &cell) < 0 || cell.kind != CELL_INT)) {
		call_broken(L, ERR_CORRUPT);
	}
	if (__builtin_add_overflow(cell.integer, count, &cell.integer)) {
		call_fail(L, "OVERFLOW", NULL);
	}
	if (count > 0) {
		uint8_t bytes[16];
		uint8_t *end = cell_write(bytes, &cell);
		db_check(L,
			 txn_put(call->txn, slice_of(key, len + 1), slice_of(bytes, (size_t)(end - bytes))));
	}
	lua_pushinteger(L, cell.integer);
	return 1;
}

/* ---- events ----
 *
 *   version 1 · kind 1 (1 row, 2 fields) · type: length 1, bytes · about: varint length, bytes
 *   row:    table: length 1, bytes · key tuple: varint length, bytes · value as stored
 *   fields: count 1, each: name: length 1, bytes · cell
 */
#define EVENT_VERSION 1
#define EVENT_ROW 1
#define EVENT_FIELDS 2

static void append_short(struct buf *out, struct slice text)
{
	assert(text.len < 256);
	buf_append_byte(out, (uint8_t)text.len);
	buf_append_slice(out, text);
}

static void append_row(lua_State *L, struct buf *out, struct row_box *row)
{
	struct slice key, value;
	db_row_bytes(L, row, &key, &value);
	append_short(out, db_row_table(row)->name);
	buf_append_varint(out, key.len);
	buf_append_slice(out, key);
	buf_append_slice(out, value);
}

struct event_field {
	struct slice name;
	struct cell cell;
};

static void append_fields(lua_State *L, struct buf *out, int index)
{
	struct event_field fields[SCHEMA_FIELDS_MAX];
	size_t count = 0;
	budget_charge_walk(L, index);
	lua_pushnil(L);
	while (lua_next(L, index) != 0) {
		size_t len = 0;
		const char *name = lua_type(L, -2) == LUA_TSTRING ? lua_tolstring(L, -2, &len) : NULL;
		if (name == NULL || len > SCHEMA_NAME_MAX || count == SCHEMA_FIELDS_MAX) {
			luaL_error(L, "emit: at most %d named fields, names of at most %d bytes",
				   SCHEMA_FIELDS_MAX, SCHEMA_NAME_MAX);
		}
		struct event_field field = {.name = slice_of(name, len)};
		const char *why = value_to_cell(L, -1, &field.cell);
		if (why != NULL || field.cell.kind == CELL_NESTED) {
			luaL_error(L, "emit: %s %s", name, why == NULL ? "is a table" : why);
		}
		size_t at = count++;
		for (; at > 0 && slice_compare(field.name, fields[at - 1].name) < 0; at--) {
			fields[at] = fields[at - 1];
		}
		fields[at] = field;
		lua_pop(L, 1);
	}
	buf_append_byte(out, (uint8_t)count);
	for (size_t i = 0; i < count; i++) {
		append_short(out, fields[i].name);
		uint8_t *room = buf_reserve(out, cell_bytes_max(&fields[i].cell));
		if (room != NULL) {
			out->len += (size_t)(cell_write(room, &fields[i].cell) - room);
		}
	}
}

/* emit(type, about, row or { fields }) */
static int emit(lua_State *L)
{
	struct script_call *call = db_writing(L);
	const struct procedure *procedure = call->procedure;
	size_t len, about_len;
	const char *type = luaL_checklstring(L, 1, &len);
	const char *about = luaL_checklstring(L, 2, &about_len);
	bool declared = false;
	for (size_t i = 0; i < procedure->emit_count && !declared; i++) {
		declared = procedure->emits[i].interned == type;
	}
	if (!declared) {
		return luaL_error(L, "emit: %s is not among the events that %s declares", type,
				  (const char *)procedure->name.data);
	}
	struct buf *out = &call->bundle->scratch;
	buf_reset(out);
	struct row_box *row = db_row(L, 3);
	buf_append_byte(out, EVENT_VERSION);
	buf_append_byte(out, row != NULL ? EVENT_ROW : EVENT_FIELDS);
	append_short(out, slice_of(type, len));
	buf_append_varint(out, about_len);
	buf_append(out, about, about_len);
	if (row != NULL) {
		append_row(L, out, row);
	} else {
		if (lua_isnoneornil(L, 3)) {
			lua_settop(L, 2);
			lua_newtable(L);
		}
		luaL_checktype(L, 3, LUA_TTABLE);
		append_fields(L, out, 3);
	}
	if (buf_failed(out)) {
		call_fail(L, "TOO_LARGE", NULL);
	}
	db_check(L, txn_emit(call->txn, buf_slice(out)));
	return 0;
}

/* ---- fail ---- */

/* Codes of the store that a procedure may use as they are. */
static bool is_common(enum code code)
{
	return code == CODE_VALIDATION || code == CODE_NOT_FOUND || code == CODE_ALREADY_EXISTS ||
	       code == CODE_FORBIDDEN || code == CODE_VERSION_CONFLICT || code == CODE_OVERFLOW ||
	       code == CODE_NEGATIVE;
}

static int fail(lua_State *L)
{
	struct script_call *call = bundle_of(L)->call;
	const char *code = luaL_checkstring(L, 1);
	if (call == NULL) {
		return luaL_error(L, "fail is for calls only");
	}
	const struct failure *declared = NULL;
	for (size_t i = 0; i < call->procedure->fail_count && declared == NULL; i++) {
		if (call->procedure->fails[i].interned == code) {
			declared = &call->procedure->fails[i];
		}
	}
	enum code common = declared == NULL ? code_find(slice_str(code)) : CODE_NONE;
	if (declared == NULL && !is_common(common)) {
		return luaL_error(L, "fail: %s is not among the codes that %s declares", code,
				  (const char *)call->procedure->name.data);
	}
	if (!lua_isnoneornil(L, 2)) {
		call->fail_details = value_details(L, 2, call->arena);
	}
	call->fail_declared = declared != NULL;
	call->fail_code = declared != NULL ? declared->code : slice_str(code_name(common));
	call->fail_outcome = declared == NULL ? code_outcome(common)
					      : (declared->conflict ? OUTCOME_CONFLICT : OUTCOME_REFUSED);
	budget_raise(L, BUDGET_RAISED);
}

/* ---- money: whole numbers that are checked ---- */

static int money_over(lua_State *L)
{
	if (bundle_of(L)->call == NULL) {
		return luaL_error(L, "money: overflow");
	}
	call_fail(L, "OVERFLOW", NULL);
}

static lua_Integer whole(lua_State *L, int arg)
{
	if (!lua_isinteger(L, arg)) {
		luaL_argerror(L, arg, "a whole number is expected");
	}
	return lua_tointeger(L, arg);
}

static int money_times(lua_State *L)
{
	int64_t product;
	if (__builtin_mul_overflow((int64_t)whole(L, 1), (int64_t)whole(L, 2), &product)) {
		return money_over(L);
	}
	lua_pushinteger(L, product);
	return 1;
}

static int money_plus(lua_State *L)
{
	int64_t sum = whole(L, 1);
	for (int i = 2; i <= lua_gettop(L); i++) {
		if (__builtin_add_overflow(sum, (int64_t)whole(L, i), &sum)) {
			return money_over(L);
		}
	}
	lua_pushinteger(L, sum);
	return 1;
}

static int money_minus(lua_State *L)
{
	int64_t difference;
	if (__builtin_sub_overflow((int64_t)whole(L, 1), (int64_t)whole(L, 2), &difference)) {
		return money_over(L);
	}
	lua_pushinteger(L, difference);
	return 1;
}

/* money.share(amount, part, whole): amount * part over whole, towards minus infinity, without overflow
 * between. */
static int money_share(lua_State *L)
{
	__int128 product = (__int128)whole(L, 1) * whole(L, 2);
	lua_Integer of = whole(L, 3);
	luaL_argcheck(L, of > 0, 3, "must be above 0");
	__int128 share = product / of;
	share -= product % of < 0;
	if (share < INT64_MIN || share > INT64_MAX) {
		return money_over(L);
	}
	lua_pushinteger(L, (lua_Integer)share);
	return 1;
}

void db_open(lua_State *L, struct script_bundle *bundle)
{
	static const luaL_Reg ours[] = {{"sequence", sequence}, {"emit", emit}, {"fail", fail}, {NULL, NULL}};
	static const luaL_Reg money[] = {{"times", money_times},
					 {"plus", money_plus},
					 {"minus", money_minus},
					 {"share", money_share},
					 {NULL, NULL}};
	luaL_setfuncs(L, ours, 0);
	db_open_tables(L, bundle);
	lua_newtable(L);
	luaL_setfuncs(L, money, 0);
	sandbox_lock(L, "money");
	lua_setfield(L, -2, "money");
}
