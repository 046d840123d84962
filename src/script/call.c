/* One call of a procedure: its arguments as declared, what it is known by again, its run. */
#include "script/host.h"

#include <assert.h>

#include <lauxlib.h>

#include "script/sandbox.h"
#include "wire/json.h"

/* ---- preparing ---- */

static int refuse(struct reply *reply, enum code code, const char *details)
{
	reply_code(reply, code, details);
	return ERR_DENIED;
}

static const char *quoted(struct arena *arena, struct slice text)
{
	struct buf out;
	buf_init(&out, KIB(4));
	json_write_text(&out, slice_of(text.data, text.len > 200 ? 200 : text.len));
	const char *copy = (const char *)arena_copy(arena, buf_slice(&out)).data;
	buf_fini(&out);
	return copy;
}

static int refuse_argument(struct arena *arena, struct reply *reply, struct slice name, const char *why)
{
	return refuse(reply, CODE_VALIDATION,
		      arena_printf(arena, "\"argument\":%s,\"reason\":%s", quoted(arena, name),
				   quoted(arena, slice_str(why))));
}

static int find_argument(const struct fields *fields, struct slice name, size_t likely)
{
	if (likely < fields->count && slice_equal(fields->items[likely].name, name)) {
		return (int)likely;
	}
	return fields_find_name(fields, name);
}

static int parse_arguments(struct script_call *call, const struct slice *args, size_t count,
			   struct reply *reply)
{
	const struct fields *fields = &call->procedure->args;
	if (count % 2 != 0) {
		return refuse(reply, CODE_VALIDATION, "\"reason\":\"arguments are pairs of name and value\"");
	}
	call->args = arena_alloc(call->arena, (fields->count + 1) * sizeof *call->args);
	for (size_t i = 0; i < fields->count; i++) {
		call->args[i].kind = CELL_NOTHING;
	}
	for (size_t i = 0; i < count; i += 2) {
		int place = find_argument(fields, args[i], i / 2);
		if (place < 0) {
			return refuse_argument(call->arena, reply, args[i], "is not declared");
		}
		if (call->args[place].kind != CELL_NOTHING) {
			return refuse_argument(call->arena, reply, args[i], "is there twice");
		}
		const struct value *nested = NULL;
		const char *why = value_parse(call->arena, &fields->items[place].type, args[i + 1],
					      &call->args[place], &nested);
		if (why != NULL) {
			return refuse_argument(call->arena, reply, args[i], why);
		}
		if (nested != NULL) {
			if (call->values == NULL) {
				call->values =
					arena_zalloc(call->arena, fields->count * sizeof *call->values);
			}
			call->values[place] = nested;
		}
	}
	for (size_t i = 0; i < fields->count; i++) {
		if (call->args[i].kind == CELL_NOTHING && !fields->items[i].type.optional) {
			return refuse_argument(call->arena, reply, fields->items[i].name, "is missing");
		}
	}
	return 0;
}

int script_prepare(struct script_host *host, struct txn *txn, struct arena *arena, struct slice name,
		   const struct slice *args, size_t arg_count, struct script_call **made, struct reply *reply)
{
	struct script_bundle *bundle;
	uint64_t version;
	int status = host_active(host, txn, &bundle, &version);
	if (status < 0 && status != ERR_NOT_FOUND) {
		return status;
	}
	const struct procedure *procedure = status == 0 ? bundle_procedure(bundle, name) : NULL;
	if (procedure == NULL) {
		return refuse(
			reply, CODE_NO_SUCH_PROCEDURE,
			arena_printf(arena,
				     "\"procedure\":%s,\"reason\":\"no active bundle has it: push one that "
				     "does (tally script push DIR), or see tally script list\"",
				     quoted(arena, name)));
	}
	struct script_call *call = arena_zalloc(arena, sizeof *call);
	call->host = host;
	call->bundle = bundle;
	call->procedure = procedure;
	call->txn = txn;
	call->arena = arena;
	status = parse_arguments(call, args, arg_count, reply);
	if (status < 0) {
		return status;
	}
	*made = call;
	return 0;
}

bool script_call_writes(const struct script_call *call)
{
	return call->procedure->writes;
}

struct slice script_call_once(const struct script_call *call)
{
	return call->procedure->once < 0 ? SLICE_NONE : cell_slice(&call->args[call->procedure->once]);
}

bool script_call_keeps_refusals(const struct script_call *call)
{
	return call->procedure->keeps_refusals;
}

/* With a zero behind it, which no name has. */
static uint8_t *put_name(uint8_t *out, struct slice name)
{
	memcpy(out, name.data, name.len);
	out[name.len] = 0;
	return out + name.len + 1;
}

/* JSON without what may be spelled in several ways: a record's fields come in the order of their names, and
 * those that are not there not at all. */
static void put_nested(struct buf *out, const struct type *type, const struct value *value)
{
	if (value->kind == VALUE_LIST) {
		buf_append_byte(out, '[');
		for (size_t i = 0; i < value->items->count; i++) {
			put_nested(out, type->item, &value->items->values[i]);
		}
		buf_append_byte(out, ']');
	} else if (value->kind == VALUE_MAP) {
		buf_append_byte(out, '{');
		for (size_t i = 0; i < type->fields->count; i++) {
			const struct field *field = &type->fields->items[type->fields->by_name[i]];
			const struct value *part = value_find(value, field->name);
			if (part != NULL && part->kind != VALUE_NOTHING) {
				buf_append_slice(out, field->name);
				buf_append_byte(out, ':');
				put_nested(out, &field->type, part);
			}
		}
		buf_append_byte(out, '}');
	} else {
		json_write(out, value);
		buf_append_byte(out, ',');
	}
}

/* The procedure's name, then each argument that is there: its name and its cell, or the text of a list or
 * record as it was understood. By name, not by place: a bundle in which the procedure has gained an argument,
 * or declares them in another order, knows a request again. */
struct chain script_call_fingerprint(const struct script_call *call)
{
	const struct fields *fields = &call->procedure->args;
	const struct slice name = call->procedure->name;
	size_t room = name.len + 1;
	struct cell *cells = arena_alloc(call->arena, (fields->count + 1) * sizeof *cells);
	for (size_t i = 0; i < fields->count; i++) {
		cells[i] = call->args[i];
		if (cells[i].kind == CELL_NESTED) {
			struct buf json;
			buf_init(&json, 8 * LIMIT_REQUEST_BYTES);
			put_nested(&json, &fields->items[i].type, call->values[i]);
			cells[i] = cell_text(arena_copy(call->arena, buf_slice(&json)));
			buf_fini(&json);
		}
		room += fields->items[i].name.len + 1 + cell_bytes_max(&cells[i]);
	}
	uint8_t *bytes = arena_alloc(call->arena, room), *out = put_name(bytes, name);
	for (size_t i = 0; i < fields->count; i++) {
		size_t place = fields->by_name[i];
		if (cells[place].kind != CELL_NOTHING) {
			out = put_name(out, fields->items[place].name);
			out = cell_write(out, &cells[place]);
		}
	}
	assert((size_t)(out - bytes) <= room);
	return checksum128(slice_of(bytes, (size_t)(out - bytes)));
}

/* ---- running ---- */

/* call.<name> for a name that is not there: an optional argument, or a mistake. */
static int call_index(lua_State *L)
{
	const struct script_call *call = bundle_of(L)->call;
	if (lua_type(L, 2) != LUA_TSTRING || call == NULL ||
	    fields_find(&call->procedure->args, lua_tolstring(L, 2, NULL)) < 0) {
		return luaL_error(L, "call has no argument '%s'", luaL_tolstring(L, 2, NULL));
	}
	lua_pushnil(L);
	return 1;
}

static void push_call_table(lua_State *L, const struct script_call *call)
{
	const struct fields *fields = &call->procedure->args;
	struct script_bundle *bundle = call->bundle;
	lua_createtable(L, 0, (int)fields->count);
	for (size_t i = 0; i < fields->count; i++) {
		if (call->args[i].kind == CELL_NOTHING) {
			continue;
		}
		lua_rawgeti(L, LUA_REGISTRYINDEX, fields->items[i].name_ref);
		if (call->args[i].kind == CELL_NESTED) {
			value_push(L, call->values[i]);
		} else {
			value_push_cell(L, &call->args[i]);
		}
		lua_rawset(L, -3);
	}
	if (bundle->call_meta_ref == 0) {
		lua_createtable(L, 0, 1);
		lua_pushcfunction(L, call_index);
		lua_setfield(L, -2, "__index");
		lua_pushboolean(L, 0);
		lua_setfield(L, -2, "__metatable");
		bundle->call_meta_ref = luaL_ref(L, LUA_REGISTRYINDEX);
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, bundle->call_meta_ref);
	lua_setmetatable(L, -2);
}

static void push_function(lua_State *L, const struct script_call *call)
{
	const struct procedure *procedure = call->procedure;
	if (procedure->source.import_count > 0) { /* of another call's libraries nothing is left */
		lua_newtable(L);
		lua_rawseti(L, LUA_REGISTRYINDEX, call->bundle->imports_ref);
	}
	if (procedure->pure) {
		lua_rawgeti(L, LUA_REGISTRYINDEX, procedure->function_ref);
		if (procedure->now_upvalue > 0) {
			lua_pushinteger(L, (lua_Integer)txn_now_ms(call->txn));
			lua_setupvalue(L, -2, procedure->now_upvalue);
		}
		return;
	}
	lua_rawgeti(L, LUA_REGISTRYINDEX, procedure->chunk_ref);
	lua_call(L,
		 chunk_push_names(L, call->bundle, procedure->source.uses, procedure->sites,
				  procedure->site_count),
		 1);
}

/* Pushes the arguments one by one, in declared order. Their count. */
static int push_arguments(lua_State *L, const struct script_call *call)
{
	const struct fields *fields = &call->procedure->args;
	luaL_checkstack(L, (int)fields->count + 1, NULL);
	for (size_t i = 0; i < fields->count; i++) {
		if (call->procedure->unread >> i & 1) {
			lua_pushnil(L);
		} else if (call->args[i].kind == CELL_NESTED) {
			value_push(L, call->values[i]);
		} else {
			value_push_cell(L, &call->args[i]);
		}
	}
	return (int)fields->count;
}

static int run_cb(lua_State *L)
{
	struct script_call *call = lua_touserdata(L, 1);
	int argc = 1;
	push_function(L, call);
	if (call->procedure->spread) {
		argc = push_arguments(L, call);
	} else {
		push_call_table(L, call);
	}
	lua_call(L, argc, 1);
	if (!call->answered) {
		result_write(L, lua_gettop(L), &call->procedure->results, call->reply,
			     &call->bundle->scratch);
	}
	return 0;
}

static void write_failure(struct script_call *call, struct reply *reply)
{
	if (!call->fail_declared) {
		reply_code(reply, code_find(call->fail_code), call->fail_details);
		return;
	}
	reply_error(reply, "%.*s {\"outcome\":\"%s\"%s%s}", (int)call->fail_code.len,
		    (const char *)call->fail_code.data, outcome_name(call->fail_outcome),
		    call->fail_details == NULL || call->fail_details[0] == '\0' ? "" : ",",
		    call->fail_details == NULL ? "" : call->fail_details);
}

static void write_error(struct script_call *call, struct reply *reply, const char *text)
{
	reply_code(reply, CODE_SCRIPT_ERROR,
		   arena_printf(call->arena, "\"reason\":%s", quoted(call->arena, slice_str(text))));
}

/* The call did not return a result: says so. */
static int end_badly(struct script_call *call, struct reply *reply, enum outcome *outcome)
{
	struct script_bundle *bundle = call->bundle;
	struct script_stats *stats = &call->host->stats;
	stats->failures++;
	*outcome = OUTCOME_REFUSED;
	switch (bundle->budget.end) {
	case BUDGET_STEPS:
		stats->budget_exceeded++;
		reply_code(reply, CODE_BUDGET_EXCEEDED, NULL);
		return ERR_DENIED;
	case BUDGET_TIME:
		host_end_late(call->host, reply);
		return ERR_DENIED;
	case BUDGET_MEMORY:
		stats->memory_exceeded++;
		bundle->spoiled = true;
		reply_code(reply, CODE_MEMORY_EXCEEDED, NULL);
		return ERR_DENIED;
	case BUDGET_RAISED:
		if (call->status < 0) {
			return call->status;
		}
		*outcome = call->fail_outcome;
		write_failure(call, reply);
		return ERR_DENIED;
	case BUDGET_OPEN:
		break;
	}
	write_error(call, reply, sandbox_error_text(bundle->budget.state, -1));
	return ERR_DENIED;
}

int script_run(struct script_call *call, struct reply *reply, enum outcome *outcome)
{
	struct script_bundle *bundle = call->bundle;
	lua_State *L = bundle->budget.state;
	size_t begin = reply->out->len;
	assert(bundle->call == NULL && lua_gettop(L) == 0);

	const struct script_identity running = {SCRIPT_PROCEDURE, call->procedure->name,
						call->procedure->hash};
	if (!host_begin(call->host, &bundle->budget, &running, call->arena, reply)) {
		*outcome = OUTCOME_REFUSED;
		return ERR_DENIED;
	}
	bundle->call = call;
	call->reply = reply;
	call->id = ++bundle->calls;
	call->host->stats.calls++;
	budget_start(&bundle->budget, LIMIT_SCRIPT_STEPS, call->procedure->endless);
	lua_pushcfunction(L, run_cb);
	lua_pushlightuserdata(L, call);
	int lua_status = lua_pcall(L, 1, 0, 0);
	host_end(call->host);
	budget_ended(L, lua_status);
	call->host->stats.steps += (uint64_t)budget_stop(&bundle->budget);
	db_close_cursors(call);

	int status = 0;
	*outcome = OUTCOME_DONE;
	if (lua_status != LUA_OK) {
		reply->out->len = begin;
		status = end_badly(call, reply, outcome);
	}
	lua_settop(L, 0);
	bundle->call = NULL;
	if (!budget_tidy(&bundle->budget)) {
		bundle->spoiled = true;
	}
	return status;
}
