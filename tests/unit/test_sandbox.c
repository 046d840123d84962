/* What a script can reach and how it ends: the table of what Redis paid for, and rows 61 to 68
 * of tests/badinput/rows.txt. */
#include "script/sandbox.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <lauxlib.h>
#include <lualib.h>

#include "base/limits.h"
#include "tests/lib/tap.h"

static struct budget budget;
static lua_State *L;

static int open_cb(lua_State *state)
{
	enum sandbox_flavour flavour = *(enum sandbox_flavour *)lua_touserdata(state, 1);
	sandbox_open(state, flavour);
	sandbox_lock(state, "the globals");
	return 1;
}

static void open_state(enum sandbox_flavour flavour)
{
	L = budget_open(&budget, LIMIT_SCRIPT_MEMORY);
	lua_pushcfunction(L, open_cb);
	lua_pushlightuserdata(L, &flavour);
	if (lua_pcall(L, 1, 1, 0) != LUA_OK) {
		printf("# cannot open: %s\n", lua_tostring(L, -1));
		exit(1);
	}
	lua_setfield(L, LUA_REGISTRYINDEX, "env");
	budget_settle(&budget);
}

static int run_counted(const char *source, const char **text, bool counted)
{
	lua_settop(L, 0);
	if (!budget_tidy(&budget)) {
		budget_close(&budget);
		open_state(SANDBOX_REDIS);
	}
	if (luaL_loadbufferx(L, source, strlen(source), "=test", "t") != LUA_OK) {
		*text = lua_tostring(L, -1);
		return LUA_ERRSYNTAX;
	}
	lua_getfield(L, LUA_REGISTRYINDEX, "env");
	lua_setupvalue(L, -2, 1);
	budget_start(&budget, LIMIT_SCRIPT_STEPS, counted);
	int status = lua_pcall(L, 0, 1, 0);
	budget_ended(L, status);
	budget_stop(&budget);
	*text = status == LUA_OK ? lua_tostring(L, -1) : sandbox_error_text(L, -1);
	return status;
}

static void gives(const char *source, const char *want, const char *sentence)
{
	const char *text;
	int status = run_counted(source, &text, true);
	if (!ok(status == LUA_OK && text != NULL && strcmp(text, want) == 0, "%s", sentence)) {
		printf("# got %s\n", text == NULL ? "(nothing)" : text);
	}
}

static void fails(const char *source, const char *part, const char *sentence)
{
	const char *text;
	int status = run_counted(source, &text, true);
	if (!ok(status != LUA_OK && budget.end == BUDGET_OPEN && strstr(text, part) != NULL, "%s",
		sentence)) {
		printf("# got %s\n", text == NULL ? "(nothing)" : text);
	}
}

static void ends(const char *source, enum budget_end end, const char *sentence)
{
	const char *text;
	int status = run_counted(source, &text, true);
	if (!ok(status != LUA_OK && (int)budget.end == (int)end, "%s", sentence)) {
		printf("# status %d, end %d, %s\n", status, budget.end, text);
	}
}

/* Steps are counted also when there are plenty: what slips through would take a second or more. */
static void costs(const char *source, int64_t least, const char *sentence)
{
	const char *text;
	run_counted(source, &text, true);
	int64_t took = budget.granted - budget.left;
	ok(took >= least, "%s (%lld steps)", sentence, (long long)took);
}

#define EMPTIED                                                                                              \
	"local t = {} for i = 1, 60000 do t[i * 7] = i end for i = 1, 60000 do t[i * 7] = nil end "          \
	"for i = 1, 200 do "

static void walks_over_nothing(void)
{
	costs(EMPTIED "next(t) end", 2000000, "next over a table that was emptied costs its places");
	costs(EMPTIED "pairs(t) end", 2000000, "so does pairs");
	costs(EMPTIED "setmetatable({}, t) end", 2000000, "and as a metatable");
	costs("local t = {} for i = 1, 60000 do t[i] = i end for i = 60000, 1, -1 do t[i] = nil end "
	      "for i = 1, 300 do next(t) end",
	      2000000, "and a list that was emptied");
}

static void comparisons_of_nothing(void)
{
	costs("local a, b = ('\\0'):rep(1000000) .. 'a', ('\\0'):rep(1000000) .. 'b' return a < b", 1000000,
	      "a comparison of many NULs costs each of them");
	ends("local a, b = ('\\0'):rep(1000000) .. 'a', ('\\0'):rep(1000000) .. 'b' "
	     "return a < b, a < b, a < b, a < b, a < b, a < b",
	     BUDGET_STEPS, "and ends a call");
	ends("local a, t = ('\\0'):rep(1000000), {} for i = 1, 20 do t[i] = a end table.sort(t)",
	     BUDGET_STEPS, "also inside of a sort");
	gives("return tostring(('a\\0b') < ('a\\0c')) .. tostring(('\\255') < 'a') .. tostring('a' <= 'B')",
	      "truefalsefalse", "texts are compared by their bytes");
}

#define ALIKE                                                                                                \
	"local c, t, l = ('a'):rep(100000), {}, {} for i = 1, 60 do local k = c .. (i * 37) % 61 "           \
	"t[k], l[i] = i, k end for i = 1, 20 do "

static void long_texts(void)
{
	costs(ALIKE "next(t) end", 3000000, "the first of keys that are long alike is dear to find");
	costs(ALIKE "table.sort(l) end", 3000000, "so is a list of such");
	costs("return (('a'):rep(1000000)):find(('a'):rep(200) .. 'b', 1, true)", 3000000,
	      "a plain search costs what is compared in vain");
	gives("local s = ('ab'):rep(100) .. 'c' .. ('ab'):rep(100) return table.concat({s:find('c', 1, "
	      "true), "
	      "s:find(('ab'):rep(90) .. 'c', 1, true), s:find(('ab'):rep(100), 3, true), "
	      "tostring(s:find('ba', 400, true)), tostring(s:find('', 402, true)), s:find('', 401, true)}, ' "
	      "')",
	      "201 21 202 nil 402 401 400", "and finds");
	costs("return (('a'):rep(100)):gsub('%f[' .. ('b'):rep(100000) .. ']', '')", 2000000,
	      "a long set costs its length at each frontier");
	costs("return (('a'):rep(20)):find('a*a*a*%f[%z][' .. ('b'):rep(100000) .. ']')", 2000000,
	      "and behind the end");
	costs("return (('a'):rep(1000)):gsub('b?', ('%1'):rep(1000))", 3000000,
	      "captures of nothing are not put in for nothing");
	gives("return '<' .. (''):rep(math.maxinteger) .. '>'", "<>", "nothing, however often, is nothing");
}

static void numbers_as_texts(void)
{
	costs("local a = 1 / 3 for i = 1, 30000 do tostring(a) end", 1500000,
	      "a number with a point is dear to print");
	costs("local t = {} for i = 1, 1000 do t[i] = i + 1 / 3 end for i = 1, 30 do table.concat(t) end",
	      1500000, "so are many in a list");
	costs("for i = 1, 10000 do string.format('%.0f', 1 / 3) end", 1000000, "and those of a format");
	costs("local s = '0.' .. ('3'):rep(1900) for i = 1, 3000 do local x = s + 1 end", 1400000,
	      "many digits are dear to add");
	costs("local s = '0.' .. ('3'):rep(1900) for i = 1, 3000 do tonumber(s) end", 1400000, "and to read");
	gives("return tostring('10' * '2' + -'1') .. tostring('0x10' + 0) .. 1 / 4", "19160.25",
	      "and are what they were");
}

static void chains(void)
{
	costs("local t = {k = 1} for i = 1, 150 do t = setmetatable({}, {__index = t}) end "
	      "for i = 1, 10000 do local x = t.k end",
	      3000000, "a chain of __index costs its links");
	costs("local t = {} for i = 1, 150 do t = setmetatable({}, {__newindex = t}) end "
	      "for i = 1, 10000 do t.k = 1 end",
	      3000000, "so does one of __newindex");
	gives("local b = {x = 'b'} local t = setmetatable({}, {__index = setmetatable({}, {__index = b}), "
	      "__newindex = setmetatable({}, {__newindex = b})}) "
	      "local before = t.x t.x = 'n' return before .. t.x .. b.x .. tostring(rawget(t, 'x'))",
	      "bnnnil", "both read and write through");
	fails("local f = setmetatable({}, {__call = function() end}) setmetatable({}, {__call = f})()",
	      "attempt to call", "what is called in a table's place is a function, as in 5.1");
}

/* A round is 1,000 instructions: 230 of them copy 7,900 values each, and the last 78 stand outside. Wherever
 * the rounds begin (lead), most of what is looked at must be inside. */
static void dear_between_two_looks(void)
{
	static char source[16384];
	unsigned open = 0;
	for (int lead = 0; lead < 1000; lead += 40) {
		const char *text;
		char *p = source;
		p += sprintf(p,
			     "local t = {} for i = 1, 7900 do t[i] = i end local x, y = 0 local s = select "
			     "local function f(...) ");
		for (int i = 0; i < 230; i++) {
			p += sprintf(p, "s('#', ...) ");
		}
		p += sprintf(p, "end local u = table.unpack ");
		for (int i = 0; i < lead; i++) {
			p += sprintf(p, "y = x ");
		}
		p += sprintf(p, "local n = 0 while n < 1000 do f(u(t)) n = n + 1 ");
		for (int i = 0; i < 70; i++) {
			p += sprintf(p, "y = x ");
		}
		sprintf(p, "end");
		run_counted(source, &text, true);
		open += budget.end != BUDGET_STEPS;
	}
	is_int(open, 0, "what a step may copy is charged also to who does it between two looks");
}

static void whitelist(enum sandbox_flavour flavour, const char *want)
{
	open_state(flavour);
	if (flavour == SANDBOX_PROCEDURE) {
		fails("setmetatable({}, {__concat = 1})", "__concat is not allowed",
		      "a procedure has no metamethod of '..', which 5.4.4 calls wrongly");
	} else {
		gives("return type(setmetatable({}, {__concat = 1}))", "table",
		      "scripts of Redis may have one");
	}
	gives("local names = ''\n"
	      "for _, lib in ipairs({'math', 'string', 'table', 'coroutine'}) do end\n"
	      "return type(os) .. type(io) .. type(debug) .. type(package) .. type(require) .. type(load) .. "
	      "type(loadstring) .. type(dofile) .. type(loadfile) .. type(collectgarbage) .. type(print) .. "
	      "type(_G) .. type(string.dump) .. type(math.random) .. type(math.randomseed) .. type(newproxy)",
	      "nilnilnilnilnilnilnilnilnilnilnilnilnilnilnilnil", "nothing that leads out is there");
	/* Byte for byte: what the locked environment holds. */
	lua_settop(L, 0);
	lua_getfield(L, LUA_REGISTRYINDEX, "env");
	lua_getmetatable(L, -1);
	lua_getfield(L, -1, "__index");
	char found[2048] = "";
	const char *const *names = sandbox_names(flavour);
	size_t count = 0, listed = 0;
	for (; names[listed] != NULL; listed++) {
		strcat(strcat(found, names[listed]), " ");
		if (lua_getfield(L, -1, names[listed]) == LUA_TNIL) {
			strcat(found, "(missing) ");
		}
		lua_pop(L, 1);
	}
	lua_pushnil(L);
	while (lua_next(L, -2) != 0) {
		count++;
		lua_pop(L, 1);
	}
	is_str(found, want, "the globals are exactly these");
	is_int(count, listed, "and no others");
	lua_settop(L, 0);
}

static void libraries(void)
{
	static const char *const libs[][2] = {
		{"string", "byte char find format gmatch gsub len lower match pack packsize rep reverse sub "
			   "unpack upper "},
		{"table", "concat insert move pack remove sort unpack "},
		{"math", "abs max maxinteger min mininteger tointeger type ult "}};
	for (size_t i = 0; i < 3; i++) {
		char found[512] = "";
		lua_settop(L, 0);
		lua_getfield(L, LUA_REGISTRYINDEX, "env");
		lua_getfield(L, -1, libs[i][0]);
		lua_getmetatable(L, -1);
		lua_getfield(L, -1, "__index");
		char names[64][16];
		int count = 0;
		lua_pushnil(L);
		while (lua_next(L, -2) != 0) {
			snprintf(names[count++], 16, "%s", lua_tostring(L, -2));
			lua_pop(L, 1);
		}
		qsort(names, (size_t)count, 16, (int (*)(const void *, const void *))strcmp);
		for (int n = 0; n < count; n++) {
			strcat(strcat(found, names[n]), " ");
		}
		is_str(found, libs[i][1], "%s has exactly these functions", libs[i][0]);
	}
}

static void locks(void)
{
	fails("x = 1", "read-only", "a global cannot be made");
	fails("string.rep = nil", "read-only", "a library cannot be changed");
	fails("getmetatable('').__index = {}", "index a boolean",
	      "the metatable of strings is out of reach (2025-46818)");
	gives("return tostring(getmetatable(''))", "false", "and hidden");
	fails("rawset(string, 'rep', 1)", "read-only", "rawset does not get past the lock");
	fails("table.insert(string, 1)", "read-only", "nor does table.insert");
	fails("setmetatable(string, {})", "protected", "nor does setmetatable");
	fails("setmetatable({}, {__gc = 1})", "__gc is not allowed", "no finalizer (2024-46981)");
	fails("setmetatable({}, {__close = 1})", "__close is not allowed", "no closer");
	fails("setmetatable({}, {__mode = 'k'})", "__mode is not allowed", "no weak table");
	gives("local m = {} local t = setmetatable({}, m) m.__mode = 'k' m.__index = function() return "
	      "'late' end\n"
	      "return tostring(getmetatable(t) == m) .. tostring(t.x)",
	      "truenil", "a metatable cannot be changed under a table, and is still known as the same");
	gives("local C = {} C.__index = C function C.hi() return 'hi' end\n"
	      "local o = setmetatable({}, C) function C.late() return '!' end return o.hi() .. o.late()",
	      "hi!", "classes work");
	gives("return tostring({}) .. tostring(print) .. tostring(function() end)", "tablenilfunction",
	      "no address is told by tostring");
	gives("return string.format('%s %s', {}, function() end)", "table function", "nor by format");
	fails("return string.format('%p', {})", "%p", "not even when asked");
	gives("local _, e = pcall(error, {}) return type(e)", "table", "an error may be any value");
}

static void budgets(void)
{
	ends("while true do end", BUDGET_STEPS, "a loop ends (row 61)");
	ends("while true do pcall(function() while true do end end) end", BUDGET_STEPS,
	     "pcall does not hold it (row 62)");
	ends("local function f() while true do end end while true do pcall(f) end", BUDGET_STEPS,
	     "also when nothing is allocated");
	ends("while true do xpcall(function() while true do end end, function() while true do end end) end",
	     BUDGET_STEPS, "nor xpcall and its handler");
	ends("local function f() while true do end end\n"
	     "while true do coroutine.resume(coroutine.create(f)) end",
	     BUDGET_STEPS, "nor a coroutine");
	ends("local function f() while true do coroutine.yield() end end local c = coroutine.wrap(f)\n"
	     "while true do pcall(c) end",
	     BUDGET_STEPS, "nor a wrapped one");
	ends("while true do local c = coroutine.wrap(function() pcall(function() while true do end end) end) "
	     "c() end",
	     BUDGET_STEPS, "nor pcall inside a coroutine");
	ends("return (('a'):rep(26)):find(('a*'):rep(13) .. 'b')", BUDGET_STEPS,
	     "a pattern bomb ends (row 63)");
	ends("return (('a'):rep(1000)):gsub(('a-'):rep(40) .. 'b', 'x')", BUDGET_STEPS, "so does a lazy one");
	fails("return ('x'):rep(50):find(('(x'):rep(40))", "too many captures", "captures are bounded");
	fails("return (('a'):rep(1000)):find(('a?'):rep(600) .. 'b')", "too complex",
	      "open choices are bounded (2024-31228)");
	ends("return ('x'):rep(1 << 30)", BUDGET_MEMORY, "a gigabyte does not fit (row 65)");
	ends("return ('x'):rep(1 << 62, 'y')", BUDGET_MEMORY, "nor does what would overflow");
	ends("local t = {} for i = 1, 1e9 do t[i] = i end", BUDGET_MEMORY, "a growing table ends");
	ends("local s = 'x' while true do s = s .. s end", BUDGET_MEMORY, "a doubling string ends");
	ends("local t = {} while true do t[#t + 1] = {} end", BUDGET_MEMORY, "many small tables end");
	ends("local t = {} while true do pcall(function() t[#t + 1] = ('x'):rep(100000) .. #t end) end",
	     BUDGET_MEMORY, "pcall does not hold that either");
	ends("local a, b = ('x'):rep(4000000) .. 1, ('x'):rep(4000000) .. 1 while true do local c = a < b "
	     "end",
	     BUDGET_STEPS, "comparing long strings is dear");
}

/* Each of the first four held the loop for a second or more, in one instruction, when all keys met. */
#define FILLED(keys, step) "local t = {} for i = 1, " #keys " do t[" step "] = i end t.x = 1 return #t"

static void keys_that_meet(void)
{
	ends(FILLED(32768, "i * 65535"), BUDGET_STEPS, "a table does not grow when its keys would meet");
	ends(FILLED(32768, "i * -65535"), BUDGET_STEPS, "nor when they are below zero");
	ends(FILLED(20000, "1 + i * 2.0 ^ -52"), BUDGET_STEPS, "nor when they have a point");
	ends("local t = {} for i = 1, 16384 do t[i * 8191] = 1 end for i = 1, 16384 do t[i * 32767] = 1 end "
	     "t.x = 1",
	     BUDGET_STEPS, "nor when some of them would");
	ends("while true do pcall(function() " FILLED(32768, "i * 65535") " end) end", BUDGET_STEPS,
	     "pcall does not hold it");
	gives(FILLED(100000, "i * 65536"), "0", "keys that do not meet are as many as fit");
	gives(FILLED(100000, "i + 0.5"), "0", "with a point, too");
	gives(FILLED(100000, "-i"), "0", "below zero as well");
	gives(FILLED(50000, "'a' .. i"), "0", "and texts");
	gives("local t = {} for n = 1, 6 do t[n] = {} for i = 1, 9000 do t[n][i * 1000] = i end end return "
	      "#t",
	      "6", "several tables are no harm");
}

static void library_bounds(void)
{
	ends("local function f() return f() + 1 end return f()", BUDGET_MEMORY,
	     "recursion is bounded (row 66)");
	ends("local f, g function f() return g() + 1 end function g() return f() + 1 end return f()",
	     BUDGET_MEMORY, "so is mutual recursion");
	fails("local t = {} for i = 1, 3000 do t = setmetatable({}, {__index = t}) end return t.x",
	      "overflow", "so is a chain of __index");
	fails("return table.concat(setmetatable({}, {__index = tostring}), '', 1, 1e9)", "invalid value",
	      "concat looks at the table alone");
	gives("local t = setmetatable({}, {__len = function() return 1e9 end}) table.insert(t, 1, 'x') "
	      "return t[1]",
	      "x", "so does insert");
	gives("local t = {3, 1, 2} table.sort(t, function() return true end) return #t", "3",
	      "a comparison that lies does no harm (row 67)");
	gives("local t = {} for i = 1, 100 do t[i] = (i * 37) % 101 end table.sort(t)\n"
	      "for i = 2, 100 do if t[i - 1] > t[i] then return 'no' end end return 'sorted'",
	      "sorted", "sort sorts");
	gives("local t = {'b', 'c', 'a'} table.sort(t, function(a, b) return a > b end) return "
	      "table.concat(t)",
	      "cba", "by a comparison too");
	fails("return table.unpack({}, 1, 1e8)", "too many results", "unpack is bounded (2025-46817)");
	fails("return unpack({}, -9223372036854775808, 9223372036854775807)", "too many results",
	      "also at the edge");
	fails("return select(-1e9)", "out of range", "select is bounded");
	fails("return string.format('%99999d', 1)", "invalid conversion", "format is bounded");
	fails("return string.pack('i17', 1)", "out of limits", "pack is bounded");
	fails("return ('x'):rep(-1, 1, 2, 3) .. {}", "concatenate", "errors are errors");
	gives("local t = {1, 2, 3} table.remove(t, 1) table.insert(t, 1, 9) table.move(t, 1, 3, 2)\n"
	      "return table.concat(t, ',') .. '|' .. tostring(table.remove({})) .. table.pack(1, nil, 3).n",
	      "9,9,2,3|nil3", "the table library works");
	fails("table.remove({1, 2, 3}, 7)", "out of bounds", "remove checks its place");
	gives("local n = 0 for _, f in ipairs{string.byte, string.sub, string.rep, string.char, string.find, "
	      "string.format,\n"
	      " string.len, string.upper, string.pack, string.unpack, table.concat, table.unpack, "
	      "table.move, table.insert,\n"
	      " table.remove, math.abs, math.max, math.ult, select, tonumber} do\n"
	      " for _, a in ipairs{math.mininteger, math.maxinteger, 0, -1, 1e308, 'x', {}} do\n"
	      "  for _, b in ipairs{math.mininteger, math.maxinteger, 0, -1, '%5', {}} do\n"
	      "   if f ~= string.rep or b ~= math.maxinteger then pcall(f, a, b, a, b) pcall(f, 'abc', b, a) "
	      "pcall(f, {1, 2}, b, a) end n = n + 1\n"
	      " end end end return n",
	      "840", "extreme arguments do no harm (2024-31449)");
}

static void order(void)
{
	gives("local t = {} for _, k in ipairs{'b', 'a', 'z', 'aa'} do t[k] = 1 end t[3] = 1 t[-1] = 1 t[1] "
	      "= 1 t[2.5] = 1 t[true] = 1\n"
	      "local s = '' for k in pairs(t) do s = s .. tostring(k) .. ' ' end return s",
	      "true -1 1 2.5 3 a aa b z ", "pairs goes in order");
	gives("local t = {a = 1, b = 2, c = 3} local s = ''\n"
	      "for k in pairs(t) do s = s .. k t.a, t.b = nil, nil end return s",
	      "ac", "and passes over what is gone");
	fails("for k in pairs({[{}] = 1}) do end", "no order", "and refuses keys without an order");
	gives("local k, v = next({b = 2, a = 1}) return k .. v .. tostring(next({})) .. next({b = 2, a = 1}, "
	      "'a')",
	      "a1nilb", "next goes in order too");
}

static void patterns(void)
{
	gives("return ('hello world'):gsub('o', '0') .. ('abc'):gsub('%w', '%0%0') .. ('abc'):gsub('', '-')",
	      "hell0 w0rldaabbcc-a-b-c-", "gsub replaces");
	gives("local a, b, c = ('key = value'):match('^(%w+)%s*=%s*(%w+)()$') return a .. b .. c",
	      "keyvalue12", "match captures");
	gives("local s = '' for k, v in ('a=1, b=2'):gmatch('(%w+)=(%w+)') do s = s .. k .. v end return s",
	      "a1b2", "gmatch walks");
	gives("return ('THE (quick) fox'):find('%((%a+)%)')", "5", "find finds");
	gives("return ('f(a(b)c)d'):match('%b()') .. ('THE END'):gsub('%f[%a]%a', 'x')", "(a(b)c)xHE xND",
	      "balance and frontier");
	gives("return ('abab'):match('^(ab)%1$') .. tostring(('aXb'):match('a(.-)b')) .. "
	      "tostring(('x'):match('y'))",
	      "abXnil", "back references, lazy, none");
	gives("return ('a.b'):gsub('%.', {['.'] = '!'}) .. ('abc'):gsub('b', function() return false end)",
	      "a!babc", "by table and by function");
	gives("return ('[]^x'):gsub('[]^]', '.') .. ('a-z'):gsub('[a%-]', '.') .. ('%d'):gsub('%%', '.')",
	      "[..x..z.d", "sets");
	gives("return ('aaa'):match('a*') .. ('aaa'):match('a-') .. ('aaab'):match('a+b') .. "
	      "('b'):match('a?b')",
	      "aaaaaabb", "repetitions");
	for (int i = 0; i < 6; i++) {
		static const char *const bad[][2] = {{"return ('x'):find('%')", "ends with"},
						     {"return ('x'):find('[a')", "missing ']'"},
						     {"return ('x'):find('(x')", "unfinished"},
						     {"return ('x'):find('.)')", "invalid pattern capture"},
						     {"return ('x'):find('%1')", "invalid capture index"},
						     {"return ('x'):find('%f')", "missing '['"}};
		fails(bad[i][0], bad[i][1], "a malformed pattern is told");
	}
}

int main(void)
{
	whitelist(SANDBOX_PROCEDURE, "assert error getmetatable ipairs math next pairs pcall rawequal rawget "
				     "rawlen select setmetatable string "
				     "table tonumber tostring type xpcall ");
	libraries();
	fails("return '10' + 1", "arithmetic", "texts are not numbers in a procedure");
	budget_close(&budget);
	whitelist(SANDBOX_REDIS, "assert coroutine error getmetatable ipairs math next pairs pcall rawequal "
				 "rawget rawlen rawset select "
				 "setmetatable string table tonumber tostring type unpack xpcall ");
	gives("return '10' + 1", "11", "texts are numbers for Redis");
	locks();
	library_bounds();
	order();
	patterns();
	keys_that_meet();
	budgets();
	walks_over_nothing();
	comparisons_of_nothing();
	long_texts();
	chains();
	numbers_as_texts();
	dear_between_two_looks();
	for (int i = 0; i < 2000; i++) {
		const char *text;
		run_counted("local t = {} for i = 1, 20 do t[i] = {i, tostring(i)} end return #t", &text,
			    true);
		lua_settop(L, 0);
		budget_tidy(&budget);
	}
	ok(budget.footprint < 2 * 1024 * 1024, "calls leave no garbage behind");
	budget_close(&budget);
	return tap_done();
}
