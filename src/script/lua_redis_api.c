/* What scripts see as `redis`. */
#include <assert.h>

#include <lauxlib.h>

#include "base/limits.h"
#include "command/command.h"
#include "script/lua51.h"
#include "script/lua_redis.h"
#include "script/sandbox.h"

/* ---- call and pcall ---- */

/* Pushes {err = text}; call raises it, pcall returns it. */
static int give_error(lua_State *L, bool raise, const char *text)
{
	lua_createtable(L, 0, 1);
	lua_pushstring(L, text);
	lua_setfield(L, -2, "err");
	return raise ? lua_error(L) : 1;
}

/* The arguments on the stack as a command; NULL when one is neither text nor number. */
static struct slice *read_arguments(lua_State *L, int argc)
{
	struct redis_machine *m = machine_of(L);
	struct slice *argv = arena_alloc(&m->arena, (size_t)argc * sizeof(*argv));
	for (int i = 0; i < argc; i++) {
		if (lua_type(L, i + 1) == LUA_TSTRING) {
			size_t len;
			const char *bytes = lua_tolstring(L, i + 1, &len);
			argv[i] = slice_of(bytes, len);
		} else if (lua_isinteger(L, i + 1)) {
			argv[i] = slice_str(
				arena_printf(&m->arena, "%lld", (long long)lua_tointeger(L, i + 1)));
		} else if (lua_type(L, i + 1) == LUA_TNUMBER) {
			sandbox_charge_float(L, i + 1);
			argv[i] = slice_str(arena_printf(&m->arena, "%.17g", lua_tonumber(L, i + 1)));
		} else {
			return NULL;
		}
	}
	return argv;
}

/* The connection's database is the script's own until it ends. */
static int run_select(struct redis_machine *m, struct reply *reply, struct slice argument)
{
	int64_t db;
	if (!slice_to_int64(argument, &db)) {
		reply_error(reply, "ERR value is not an integer or out of range");
	} else if (db < 0 || db > 15) {
		reply_error(reply, "ERR DB index is out of range");
	} else {
		m->db = (unsigned)db;
		reply_simple(reply, "OK");
	}
	return 0;
}

/* NULL, or why this command cannot run here. */
static const char *refuse(const struct redis_machine *m, const struct command *command,
			  const struct slice *argv, size_t argc)
{
	if (command == NULL) {
		return "ERR Unknown Redis command called from script";
	}
	if (!arity_fits(command->arity, argc)) {
		return "ERR Wrong number of args calling Redis command from script";
	}
	bool has_body = command->run != NULL || slice_is_word(argv[0], "SELECT");
	if ((command->flags & (COMMAND_SCRIPT_NOT | COMMAND_SCRIPT)) || !has_body) {
		return "ERR This Redis command is not allowed from script";
	}
	if (m->read_only && (command->flags & COMMAND_WRITE)) {
		return "ERR Write commands are not allowed from read-only scripts.";
	}
	return NULL;
}

/* Runs the command and pushes its reply. */
static void run_command(lua_State *L, const struct command *command, const struct slice *argv, size_t argc)
{
	struct redis_machine *m = machine_of(L);
	buf_reset(&m->bytes);
	struct reply reply = {.out = &m->bytes, .protocol = m->protocol};
	struct command_call call = {.command = command,
				    .txn = m->call->txn,
				    .arena = &m->arena,
				    .argv = argv,
				    .argc = argc,
				    .db = m->db,
				    .reply = &reply,
				    .random = prng_next(&m->random)};
	uint64_t before = txn_spent(call.txn);
	m->status = command->run == NULL ? run_select(m, &reply, argv[1]) : command_run(&call);
	if (m->status != 0) {
		budget_raise(L, BUDGET_RAISED);
	}
	if (buf_failed(&m->bytes)) {
		budget_raise(L, BUDGET_MEMORY);
	}
	uint64_t spent = txn_spent(call.txn) - before;
	budget_charge(L, spent > STEPS_PER_COMMAND ? spent - STEPS_PER_COMMAND : 0);
	budget_charge_bytes(L, m->bytes.len);
	struct slice bytes = buf_slice(&m->bytes);
	reply_to_lua(L, &bytes);
	assert(bytes.len == 0);
}

static int call_command(lua_State *L, bool raise)
{
	struct redis_machine *m = machine_of(L);
	int argc = lua_gettop(L);
	budget_charge(L, STEPS_PER_COMMAND);
	if (m->loading != NULL) {
		return give_error(L, raise,
				  "ERR redis.call/pcall can only be called inside a script invocation");
	}
	if (argc == 0) {
		return give_error(L, raise,
				  "ERR Please specify at least one argument for this redis lib call");
	}
	arena_reset(&m->arena);
	const struct slice *argv = read_arguments(L, argc);
	if (argv == NULL) {
		return give_error(L, raise,
				  "ERR Lua redis lib command arguments must be strings or integers");
	}
	const struct command *command = command_find(argv[0]);
	const char *why = refuse(m, command, argv, (size_t)argc);
	if (why != NULL) {
		return give_error(L, raise, why);
	}
	run_command(L, command, argv, (size_t)argc);
	if (raise && m->bytes.data[0] == '-') {
		return lua_error(L);
	}
	return 1;
}

static int api_call(lua_State *L)
{
	return call_command(L, true);
}

static int api_pcall(lua_State *L)
{
	return call_command(L, false);
}

/* ---- replies ---- */

/* {err = "wrong number …"} is returned, not raised: so it is in Redis. */
static int give_field(lua_State *L, const char *field)
{
	if (lua_gettop(L) != 1 || lua_type(L, 1) != LUA_TSTRING) {
		return give_error(L, false, "ERR wrong number or type of arguments");
	}
	lua_createtable(L, 0, 1);
	lua_pushvalue(L, 1);
	lua_setfield(L, -2, field);
	return 1;
}

static int api_status_reply(lua_State *L)
{
	return give_field(L, "ok");
}

/* A text of one word gets "ERR " in front, and a '-' at the front goes. */
static int api_error_reply(lua_State *L)
{
	if (lua_gettop(L) == 1 && lua_type(L, 1) == LUA_TSTRING) {
		const char *text = lua_tostring(L, 1);
		text += text[0] == '-';
		lua_pushfstring(L, "%s%s", strchr(text, ' ') == NULL ? "ERR " : "", text);
		lua_replace(L, 1);
	}
	return give_field(L, "err");
}

/* ---- the rest ---- */

static int raise_plain(lua_State *L, const char *text)
{
	return give_error(L, true, text);
}

static int api_sha1hex(lua_State *L)
{
	if (lua_gettop(L) != 1) {
		return raise_plain(L, "ERR wrong number of arguments");
	}
	char number[32], hex[SHA1_HEX + 1];
	size_t len = 0;
	const char *text = number;
	if (lua_type(L, 1) == LUA_TNUMBER) {
		len = lua51_number_text(L, 1, number);
	} else {
		text = lua_tolstring(L, 1, &len);
	}
	budget_charge(L, 50 + len / 4);
	sha1_hex(slice_of(text == NULL ? "" : text, len), hex);
	lua_pushstring(L, hex);
	return 1;
}

/* A script's log lines are checked and dropped: a script must not be able to fill a disk. */
static int api_log(lua_State *L)
{
	if (lua_gettop(L) < 2) {
		return raise_plain(L, "ERR redis.log() requires two arguments or more.");
	}
	if (lua_type(L, 1) != LUA_TNUMBER) {
		return raise_plain(L, "ERR First argument must be a number (log level).");
	}
	lua_Number level = lua_tonumber(L, 1);
	if (!(level >= 0 && level <= 3)) {
		return raise_plain(L, "ERR Invalid debug level.");
	}
	return 0;
}

static int api_setresp(lua_State *L)
{
	if (lua_gettop(L) != 1) {
		return raise_plain(L, "ERR redis.setresp() requires one argument.");
	}
	lua_Number version = lua_tonumber(L, 1);
	if (version != 2 && version != 3) {
		return raise_plain(L, "ERR RESP version must be 2 or 3.");
	}
	machine_of(L)->protocol = (int)version;
	return 0;
}

static int api_set_repl(lua_State *L)
{
	if (lua_gettop(L) != 1) {
		return raise_plain(L, "ERR redis.set_repl() requires one argument.");
	}
	lua_Number flags = lua_tonumber(L, 1);
	if (!(flags >= 0 && flags <= 3)) {
		return raise_plain(
			L, "ERR Invalid replication flags. Please use REPL_AOF, REPL_REPLICA, REPL_ALL or "
			   "REPL_NONE.");
	}
	return 0; /* whatever is asked, writes go to every replica */
}

static int api_true(lua_State *L)
{
	lua_pushboolean(L, 1);
	return 1;
}

static int api_false(lua_State *L)
{
	lua_pushboolean(L, 0);
	return 1;
}

static int api_nothing(lua_State *L)
{
	(void)L;
	return 0;
}

/* Commands have no finer rights here: what exists may be called. */
static int api_acl_check_cmd(lua_State *L)
{
	if (lua_gettop(L) == 0) {
		return raise_plain(
			L, "ERR Please specify at least one argument for this redis.acl_check_cmd() call");
	}
	size_t len = 0;
	const char *name = lua_tolstring(L, 1, &len);
	if (name == NULL || command_find(slice_of(name, len)) == NULL) {
		return raise_plain(L, "ERR Invalid command passed to redis.acl_check_cmd()");
	}
	lua_pushboolean(L, 1);
	return 1;
}

/* ---- math.random ---- */

static int math_random(lua_State *L)
{
	struct redis_machine *m = machine_of(L);
	double unit = (double)(prng_next(&m->random) >> 11) * 0x1p-53;
	int argc = lua_gettop(L);
	if (argc == 0) {
		lua_pushnumber(L, unit);
		return 1;
	}
	lua51_cut(L, 1);
	lua51_cut(L, 2);
	lua_Integer low = argc == 1 ? 1 : luaL_checkinteger(L, 1);
	lua_Integer high = luaL_checkinteger(L, argc == 1 ? 1 : 2);
	luaL_argcheck(L, low <= high, argc == 1 ? 1 : 2, "interval is empty");
	uint64_t width = (uint64_t)high - (uint64_t)low + 1;
	uint64_t step = width == 0 ? prng_next(&m->random) : prng_below(&m->random, width);
	lua_pushinteger(L, (lua_Integer)((uint64_t)low + step));
	return 1;
}

static int math_randomseed(lua_State *L)
{
	lua_Number seed = luaL_checknumber(L, 1);
	uint64_t bits;
	memcpy(&bits, &seed, sizeof(bits));
	prng_init(&machine_of(L)->random, bits);
	return 0;
}

/* The seed is drawn anew for each call: random is different then, and nobody replays the script elsewhere. */
static void add_random(lua_State *L)
{
	lua_getfield(L, -2, "math"); /* globals, api, math */
	int has = lua_getmetatable(L, -1);
	assert(has);
	(void)has;
	lua_getfield(L, -1, "__index");
	lua_pushcfunction(L, math_random);
	lua_setfield(L, -2, "random");
	lua_pushcfunction(L, math_randomseed);
	lua_setfield(L, -2, "randomseed");
	lua_pop(L, 3);
}

/* For scripts the globals lie below. */
void api_open(lua_State *L, bool loading)
{
	static const luaL_Reg functions[] = {{"call", api_call},
					     {"pcall", api_pcall},
					     {"error_reply", api_error_reply},
					     {"status_reply", api_status_reply},
					     {"sha1hex", api_sha1hex},
					     {"log", api_log},
					     {"setresp", api_setresp},
					     {"set_repl", api_set_repl},
					     {"replicate_commands", api_true},
					     {"breakpoint", api_false},
					     {"debug", api_nothing},
					     {"acl_check_cmd", api_acl_check_cmd},
					     {NULL, NULL}};
	static const luaL_Reg load_functions[] = {
		{"register_function", function_register}, {"log", api_log}, {NULL, NULL}};
	static const struct {
		const char *name;
		int value;
	} numbers[] = {{"LOG_DEBUG", 0},  {"LOG_VERBOSE", 1},
		       {"LOG_NOTICE", 2}, {"LOG_WARNING", 3},
		       {"REPL_NONE", 0},  {"REPL_AOF", 1},
		       {"REPL_SLAVE", 2}, {"REPL_REPLICA", 2},
		       {"REPL_ALL", 3},   {"REDIS_VERSION_NUM", 0x0007000f}};
	lua_createtable(L, 0, 32);
	luaL_setfuncs(L, loading ? load_functions : functions, 0);
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
		lua_pushinteger(L, numbers[i].value);
		lua_setfield(L, -2, numbers[i].name);
	}
	lua_pushliteral(L, "7.0.15");
	lua_setfield(L, -2, "REDIS_VERSION");
	if (!loading) {
		add_random(L);
	}
}
