/* How calls of procedures end: refusals, mistakes, budgets, results that are none. Rows 61 to 72 of
 * tests/badinput/rows.txt. */
#include <inttypes.h>
#include <string.h>

#include "base/limits.h"
#include "tests/lib/tap.h"
#include "tests/unit/procedure_world.h"

/* Without a loop but over rows nothing is counted before the scan; what is done with each row is. */
static void counts_behind_scans(void)
{
	struct script_stats before, after;
	struct buf body;
	buf_init(&body, KIB(64));
	buf_append_text(&body, "db.pair:put { a = 'w', k = 1 } db.pair:put { a = 'w', k = 2 } local n = 0 ");
	buf_append_text(&body, "for r in db.pair:scan('w') do ");
	for (int i = 0; i < 5000; i++) {
		buf_append_text(&body, "n = n + 1 ");
	}
	buf_append_text(&body, "end return { v = n }");
	buf_append_byte(&body, 0);
	script_stats(w.host, &before);
	is_int(run((const char *)body.data), 0, "a loop over rows");
	script_stats(w.host, &after);
	ok(after.steps - before.steps > 9000, "counts what it does with them (%" PRIu64 " steps)",
	   after.steps - before.steps);
	buf_fini(&body);
}

static void costs(const char *body, uint64_t least, const char *sentence)
{
	struct script_stats before, after;
	script_stats(w.host, &before);
	is_int(run(body), 0, "%s is done", sentence);
	script_stats(w.host, &after);
	ok(after.steps - before.steps > least, "and costs what it takes (%" PRIu64 " steps)",
	   after.steps - before.steps);
}

/* What is done with many values in one step, or by one call of ours. */
static void many_values(void)
{
	costs("local t = {} for i = 1, 7990 do t[i] = i end local function f(...) for i = 1, 1000 do "
	      "select('#', ...) end end f(table.unpack(t)) return {}",
	      1000000, "a function of 8000 arguments that passes them on a thousand times");
	costs("local s = ('x'):rep(7990) for i = 1, 100 do s:byte(1, -1) end return {}", 100000,
	      "a text's bytes as values, a hundred times");
	costs("local t = {} for i = 1, 3000 do t['k' .. i] = i end for i = 1, 100 do pcall(function() "
	      "db.item:put(t) end) end return {}",
	      2000000, "a row of 3000 columns that are not declared, a hundred times");
	costs("db.item:get('a') for i = 1, 10000 do db.item:get('a') end return {}", 180000,
	      "the same row again and again, whose six columns take room each time,");
	ends("return { v = #('x'):rep(8001):byte(1, -1) }", "SCRIPT_ERROR", "more bytes at once");
	says("string slice too long", "are too many");
	gives("local a, b, c = ('abc'):byte(-2, 9) return { v = (('abc'):byte()) * 1000000 + a * 1000 + b + "
	      "(c or "
	      "0) }",
	      "{\"v\":97098099,", "places of bytes count from both ends");
	gives("return { v = select('#', ('abc'):byte(3, 2), ('abc'):byte(0), ('abc'):byte(-9, -4)) }",
	      "{\"v\":2,", "and may hold nothing");
}

static void endings(void)
{
	run("db.item:put { item = 'a', n = 7 } return {}");
	ends("fail('NO', { b = 'x\"y', a = 1, c = true })", "NO", "a declared code");
	is_str(world_reply(&w), "-NO {\"outcome\":\"refused\",\"a\":1,\"b\":\"x\\\"y\",\"c\":true}\r\n",
	       "is sent with its details in order");
	ends("fail('NO', { outcome = 'done' })", "SCRIPT_ERROR", "details that say another outcome than the code");
	says("outcome", "are told");
	ends("fail('AGAIN')", "AGAIN", "a conflict");
	is_int(w.outcome, OUTCOME_CONFLICT, "is a conflict");
	ends("fail('OTHER')", "SCRIPT_ERROR", "an undeclared code is a mistake");
	ends("fail('FORBIDDEN', { why = 'not yours' })", "FORBIDDEN", "a common code need not be declared");
	ends("pcall(fail, 'NO') return { v = 1 }", "NO", "fail passes through pcall");
	ends("xpcall(function() fail('NO') end, function() return 1 end) return { v = 1 }", "NO",
	     "and xpcall");
	ends("pcall(function() db.item:need('zz') end) return { v = 1 }", "NOT_FOUND",
	     "so do the database's refusals");
	gives("local ok, e = pcall(error, 'x') return { t = tostring(ok) .. e }", "falsex",
	      "errors of the script can be caught");
	ends("for i = 1, 5 do db.item:put { item = 'e' .. i } end error('boom')", "SCRIPT_ERROR",
	     "an error after five writes (row 72)");
	says("\"reason\":\"p.lua:3: boom", "is told with its place, without addresses");
	gives("return { t = tostring(db.item:get('e1')) }", "nil", "and nothing was written");
	ends("error({})", "SCRIPT_ERROR", "an error may be anything");
	ends("local t = nil return t.x", "SCRIPT_ERROR", "a mistake");
	ends("while true do end", "BUDGET_EXCEEDED", "a loop ends (row 61)");
	ends("::again:: goto again", "BUDGET_EXCEEDED", "so does one made of a label and a goto");
	ends("::here:: while true do end", "BUDGET_EXCEEDED", "and one behind a label");
	ends("while true do pcall(function() while true do end end) end", "BUDGET_EXCEEDED",
	     "whatever it catches (row 62)");
	ends("return { v = #('x'):rep(1 << 30) }", "MEMORY_EXCEEDED", "a gigabyte (row 65)");
	gives("return { v = 1 }", "{\"v\":1,", "and the next call works");
	ends("local t = {} while true do t[#t + 1] = {} end", "MEMORY_EXCEEDED", "many tables");
	gives("return { v = 1 }", "{\"v\":1,", "and the next call works");
	ends("local s = ('x'):rep(1000000) local a = s .. s a = a .. a a = a .. a a = a .. a a = a .. a a = "
	     "a .. a return { v = #a }",
	     "MEMORY_EXCEEDED", "straight code has bounds too");
	ends("for i = 1, 1000000 do db.pair:get('x', i) end", "BUDGET_EXCEEDED", "a million reads (row 71)");
	ends("local s = ('x'):rep(50000) for i = 1, 1000 do db.pair:get(s, 1) end", "BUDGET_EXCEEDED",
	     "the same read again and again, of a key that is no row's");
	ends("local s = ('x'):rep(50000) for i = 1, 1000 do for r in db.pair:scan(s) do end end",
	     "BUDGET_EXCEEDED", "a scan of such a key");
	ends("local s = ('x'):rep(50000) for i = 1, 1000 do for r in db.pair:scan({ after = { s, 1 } }) do "
	     "end end",
	     "BUDGET_EXCEEDED", "or from behind it");
	ends("local our__name local db = { item = setmetatable({ scan = setmetatable }, {}) } for _ in "
	     "db.item:scan({ __call = rawequal }) do end",
	     "BUDGET_EXCEEDED", "a loop over what only looks like a scan");
	counts_behind_scans();
	many_values();
	is_int(run("for i = 1, 1100 do db.pair:put { a = 'many', k = i } end return {}"), ERR_FULL,
	       "more writes than a transaction takes (row 71)");
	gives("local n = 0 for r in db.pair:scan('many') do n = n + 1 end return { v = n }", "{\"v\":0,",
	      "leave nothing");
	ends("local t = { v = 1, w = 2 } return t", "SCRIPT_ERROR", "an undeclared result");
	ends("return { v = {} }", "RESULT_INVALID", "a table where a number is declared (row 69)");
	ends("return { v = function() end }", "SCRIPT_ERROR", "a function");
	ends("local t = {} t.v = t return t", "RESULT_INVALID", "a cycle");
	ends("return { v = tonumber('nan') or tonumber('1e999') }", "SCRIPT_ERROR", "infinity");
	ends("return 5", "RESULT_INVALID", "no table");
	ends("return { t = ('x'):rep(101) }", "RESULT_INVALID", "a text too long");
	ends("return { t = '\\255' }", "RESULT_INVALID", "a text that is none");
	ends("return x", "SCRIPT_ERROR", "a name that is not known");
	says("'x' is not known", "is told");
	ends("x = 1", "SCRIPT_ERROR", "a global cannot be made");
	ends("emit('other', 'x')", "SCRIPT_ERROR", "an undeclared event");
	gives("emit('e', 'x', { a = 1, b = 'c' }) emit('e', 'y', db.item:need('a')) emit('e', 'z') return {}",
	      "{", "events are emitted");
	is_int(run_with("writes = false", "db.item:put { item = 'w' }", NULL, NULL), ERR_DENIED,
	       "a procedure that does not say so cannot write");
	says("without writes", "and is told");
	is_int(run_with("result = { l = list(int(1, 9)) }", "return { l = { 1, 2, 12 } }", NULL, NULL),
	       ERR_DENIED, "items of a list are checked");
	is_int(run_with("result = { l = list(record { a = int, b = optional(text) }) }",
			"return { l = { { a = 1 }, { a = 2, b = 'x' } } }", NULL, NULL),
	       0, "records in lists");
	says("{\"l\":[{\"a\":1,\"b\":null},{\"a\":2,\"b\":\"x\"}]}", "are written");
	is_int(run_with("result = { l = list(int) }",
			"local t = {} for i = 1, 100001 do t[i] = i end return { l = t }", NULL, NULL),
	       ERR_DENIED, "too many items");
	says("RESULT_INVALID", "are no result");
}

int main(void)
{
	worlds_open();
	endings();
	worlds_close(45);
	return tap_done();
}
