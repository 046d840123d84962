/* Calls of procedures: arguments, rows, results, how they end. Rows 61 to 76 of tests/badinput/rows.txt. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "script/host.h"
#include "tests/lib/tap.h"
#include "tests/unit/script_world.h"

static struct world w;

#define TABLES                                                                                               \
	"tables { item = { key = {'item'}, columns = { item = id, n = count, price = optional(money), i = "  \
	"optional(int(-5, 5)), note = optional(text(10)), b = optional(bool) },\n"                           \
	"                  indexes = { by_price = { 'price' } } },\n"                                        \
	"         pair = { key = {'a', 'k'}, columns = { a = id, k = int, v = optional(int) } } }"

/* Every call is made in two worlds: one whose sources are compiled to sites (script/site.h), one
 * whose sources stay as written. They must agree, but for the words of a mistake. */
static struct world plain;
static unsigned compared, differed;

static void compare(const char *body, int status, int plain_status)
{
	const char *one = world_reply(&w), *other = world_reply(&plain);
	bool mistake = strncmp(one, "-SCRIPT_ERROR ", 14) == 0;
	bool same =
		status == plain_status && (mistake ? strncmp(one, other, 14) == 0 : strcmp(one, other) == 0);
	compared++;
	if (!same) {
		differed++;
		printf("# differs: %s\n# %d %s\n# %d %s\n", body, status, one, plain_status, other);
	}
}

static int call_both(const char *body, const char *name, const char *value)
{
	plain.protocol = w.protocol;
	if (plain.now_ms != w.now_ms) {
		plain.now_ms = w.now_ms;
		world_apply(&plain);
	}
	int plain_status = world_call(&plain, "p", name, value, NULL);
	int status = world_call(&w, "p", name, value, NULL);
	compare(body, status, plain_status);
	return status;
}

/* Pushes a bundle whose one procedure p has this body, and calls it. */
static int run_with(const char *declaration, const char *body, const char *name, const char *value)
{
	static char source[70000];
	snprintf(source, sizeof source,
		 "procedure { name = 'p', writes = true, %s }\nreturn function(call)\n%s\nend", declaration,
		 body);
	const char *files[] = {
		"tables.lua",
		TABLES,
		"p.lua",
		source,
		"lib/box.lua",
		"local box = { n = 0 } function box.take() box.n = box.n + 1 return box.n end return box",
		NULL};
	struct err err = {0};
	int status = world_push(&w, files, &err);
	if (status < 0 || world_push(&plain, files, &err) < 0) {
		printf("# push: %s %s\n", err.text, world_reply(&w));
		return status < 0 ? status : ERR_INVALID;
	}
	return call_both(body, name, value);
}

static int run(const char *body)
{
	return run_with("result = { v = optional(int), t = optional(text(100)) }, args = { n = optional(int) "
			"}, fails = { NO = 'refused', AGAIN = 'conflict' }, emits = { 'e' }",
			body, NULL, NULL);
}

static void gives(const char *body, const char *want, const char *sentence)
{
	w.protocol = 2;
	int status = run(body);
	if (!ok(status == 0 && strstr(world_reply(&w), want) != NULL, "%s", sentence)) {
		printf("# %d %s\n", status, world_reply(&w));
	}
}

static void ends(const char *body, const char *code, const char *sentence)
{
	w.protocol = 2;
	int status = run(body);
	char want[100];
	snprintf(want, sizeof want, "-%s ", code);
	bool good = status == ERR_DENIED && strncmp(world_reply(&w), want, strlen(want)) == 0;
	if (!ok(good && !w.wrote, "%s", sentence)) {
		printf("# %d %s\n", status, world_reply(&w));
	}
}

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

static void says(const char *part, const char *sentence)
{
	if (!ok(strstr(world_reply(&w), part) != NULL, "%s", sentence)) {
		printf("# %s\n", world_reply(&w));
	}
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
	ends("return { v = #('x'):rep(8001):byte(1, -1) }", "SCRIPT_ERROR", "more bytes at once");
	says("string slice too long", "are too many");
	gives("local a, b, c = ('abc'):byte(-2, 9) return { v = (('abc'):byte()) * 1000000 + a * 1000 + b + "
	      "(c or "
	      "0) }",
	      "{\"v\":97098099,", "places of bytes count from both ends");
	gives("return { v = select('#', ('abc'):byte(3, 2), ('abc'):byte(0), ('abc'):byte(-9, -4)) }",
	      "{\"v\":2,", "and may hold nothing");
}

static void arguments(void)
{
	static const struct {
		const char *name, *value, *reason;
	} bad[] = {{"x", "1", "is not declared"},
		   {"n", "abc", "whole number"},
		   {"n", "1.0", "whole number"},
		   {"n", "11", "must be 1 to 10"},
		   {"n", "0", "must be 1 to 10"},
		   {"n", "", "whole number"},
		   {"n", "9223372036854775808", "whole"},
		   {"s", "", "must not be empty"},
		   {"s", "a\nb", "control"},
		   {"s", "\xff", "UTF-8"},
		   {"t", "12345678901", "at most 10"},
		   {"b", "yes", "true or false"},
		   {"l", "[1,2", "not JSON"},
		   {"l", "[1,\\\"a\\\"]", "not JSON"},
		   {"l", "[1,11]", "item 2: must be 1 to 10"},
		   {"l", "[1.5]", "whole number"},
		   {"l", "{\"a\":1}", "must be a list"},
		   {"r", "{\"a\":1,\"z\":2}", "unknown field z"},
		   {"r", "{}", "a: is missing"},
		   {"r", "[]", "must be a record"}};
	const char *declaration = "args = { n = optional(int(1, 10)), s = optional(id), t = "
				  "optional(text(10)), b = optional(bool), "
				  "l = optional(list(int(1, 10))), r = optional(record { a = int, b = "
				  "optional(id) }) }, result = { v = text }";
	for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
		int status = run_with(declaration, "return { v = 'x' }", bad[i].name, bad[i].value);
		if (!ok(status == ERR_DENIED && strncmp(world_reply(&w), "-VALIDATION ", 12) == 0 &&
				strstr(world_reply(&w), bad[i].reason) != NULL,
			"argument %s '%.20s' is refused (row 74)", bad[i].name, bad[i].value)) {
			printf("# %d %s\n", status, world_reply(&w));
		}
	}
	is_int(run_with(declaration, "return { v = call.l[1] + call.l[2] .. call.r.b .. tostring(call.n) }",
			"l", "[1,2]"),
	       ERR_DENIED, "an absent record is nil");
	is_int(run_with(declaration, "return { v = '' .. call.l[1] + call.l[2] .. tostring(call.n) }", "l",
			"[1,2]"),
	       0, "a list is a table");
	says("3nil", "of its values");
	is_int(run_with(declaration, "return { v = call.r.a .. call.r.b }", "r", "{\"b\":\"q\",\"a\":7}"), 0,
	       "a record is one too");
	says("7q", "with its fields");
	is_int(run_with(declaration, "return { v = tostring(call.b) }", "b", "TRUE"), 0,
	       "a truth has any case");
	is_int(world_call(&w, "p", "b", "true", "b", "true", NULL), ERR_DENIED, "twice the same argument");
	is_int(world_call(&w, "p", "b", NULL), ERR_DENIED, "an odd number of words");
	is_int(run_with("args = { a = id }", "", NULL, NULL), ERR_DENIED, "a missing argument is refused");
	says("\"argument\":\"a\",\"reason\":\"is missing\"", "and named");
	is_int(world_call(&w, "q", NULL), ERR_DENIED, "an unknown procedure (row 75)");
	says("-NO_SUCH_PROCEDURE {\"outcome\":\"refused\",\"procedure\":\"q\",\"reason\":\"no active bundle "
	     "has it: push one that does "
	     "(tally script push DIR), or see tally script list\"}",
	     "is named, with what to do");
	ends("return { v = call.qyt }", "SCRIPT_ERROR", "a mistyped argument");
	says("no argument 'qyt'", "is told");
}

static void rows(void)
{
	gives("db.item:insert { item = 'a', n = 3, price = 5 } local r = db.item:get('a') return { v = r.n + "
	      "r.price, t = r.item }",
	      "{\"v\":8,\"t\":\"a\"}", "a row is inserted and read");
	gives("return { v = db.item:need('a').n }", "{\"v\":3,", "and is there in the next call");
	world_apply(&w);
	gives("return { v = db.item:need('a').n }", "{\"v\":3,", "and after it was applied");
	ends("db.item:insert { item = 'a' }", "ALREADY_EXISTS", "a second one is refused");
	says("\"table\":\"item\",\"key\":[\"a\"]", "with table and key");
	ends("db.item:vacant('a')", "ALREADY_EXISTS", "vacant says so before");
	ends("db.item:need('zz')", "NOT_FOUND", "need wants a row");
	says("\"table\":\"item\",\"key\":[\"zz\"]", "and names it");
	gives("return { t = tostring(db.item:get('zz')) }", "nil", "get does not");
	gives("db.item:add('a', { n = 4, price = -6 }) local r = db.item:get('a') return { v = r.n, t = '' "
	      ".. r.price }",
	      "{\"v\":7,\"t\":\"-1\"}", "add adds");
	gives("db.item:add('new', { n = 4 }) return { v = db.item:get('new').n }", "{\"v\":4,",
	      "and makes the row");
	ends("db.item:add('a', { n = -8 })", "NEGATIVE", "a count does not go below 0");
	says("\"table\":\"item\",\"column\":\"n\",\"value\":7,\"add\":-8", "and says where it stood");
	ends("db.item:add('a', { price = math.maxinteger }) db.item:add('a', { price = 2 })", "OVERFLOW",
	     "money does not overflow");
	ends("db.item:add('a', { i = 6 })", "OVERFLOW", "nor does a range");
	ends("db.item:add('a', { note = 1 })", "SCRIPT_ERROR", "a text cannot be added to");
	gives("db.item:update('a', { note = 'hi', b = false }) local r = db.item:get('a') return { v = r.n, "
	      "t = r.note .. tostring(r.b) }",
	      "{\"v\":7,\"t\":\"hifalse\"}", "update changes what it names");
	ends("db.item:update('none', { n = 1 })", "NOT_FOUND", "and wants the row");
	ends("db.item:update('a', { item = 'b' })", "SCRIPT_ERROR", "a key cannot be changed");
	ends("db.item:insert { item = 'q', n = -1 }", "NEGATIVE", "no count is written below 0");
	ends("db.item:insert { item = 'q', i = 6 }", "SCRIPT_ERROR", "nor a value outside its range");
	ends("db.item:insert { item = 'q', price = 1 // 1 + tonumber('0.5') }", "SCRIPT_ERROR",
	     "nor a float as money (row 76)");
	says("whole number", "which is told");
	ends("db.item:insert { item = 'q', price = tonumber('1.0') }", "SCRIPT_ERROR", "also a whole one");
	ends("db.item:insert { item = 'q', price = tonumber('-0.0') }", "SCRIPT_ERROR", "also minus zero");
	gives("db.item:put { item = 'q', price = 9007199254740993 } return { v = db.item:get('q').price }",
	      "9007199254740993", "2^53+1 is exact");
	ends("db.item:insert { n = 1 }", "SCRIPT_ERROR", "a row without its key");
	ends("db.item:insert { item = 'q2', note = '12345678901' }", "SCRIPT_ERROR", "a text too long");
	ends("db.item:get()", "SCRIPT_ERROR", "a key needs its columns");
	ends("db.item:get('a', 'b')", "SCRIPT_ERROR", "and no more");
	ends("db.item:get(1)", "SCRIPT_ERROR", "of their kind");
	ends("local r = db.item:get('a') r.n = 5", "SCRIPT_ERROR", "a row cannot be changed");
	ends("local r = db.item:get('a') return { v = r.m }", "SCRIPT_ERROR", "an unknown column is told");
	gives("local s = '' for k, v in pairs(db.item:get('a')) do s = s .. k .. '=' .. tostring(v) .. ' ' "
	      "end return { t = s }",
	      "item=a n=7 price=-1 note=hi b=false", "pairs goes through a row in declared order");
	gives("return { t = tostring(db.item:delete('new')) .. tostring(db.item:delete('new')) .. "
	      "tostring(db.item:get('new')) }",
	      "truefalsenil", "delete deletes");
	gives("db.item:insert { item = 'new' } return { v = db.item:get('new').n }", "{\"v\":0,",
	      "and makes room");
}

static void scans(void)
{
	gives("for i = 1, 5 do db.pair:insert { a = 'x', k = i * i - 7 } end db.pair:insert { a = 'y', k = 0 "
	      "} db.pair:insert { a = 'w', k = 0 }\n"
	      "local s = '' for r in db.pair:scan('x') do s = s .. r.k .. ' ' end return { t = s }",
	      "\"-6 -3 2 9 18 \"", "a scan goes in the order of keys");
	world_apply(&w);
	gives("local s = '' for r in db.pair:scan('x', { limit = 2, reverse = true }) do s = s .. r.k .. ' ' "
	      "end return { t = s }",
	      "\"18 9 \"", "or backward, with a limit");
	gives("local s = '' for r in db.pair:scan('x', { after = { 'x', 2 } }) do s = s .. r.k .. ' ' end "
	      "return { t = s }",
	      "\"9 18 \"", "or behind a key");
	gives("local s = '' for r in db.pair:scan({ after = { 'x', 9 } }) do s = s .. r.a .. r.k .. ' ' end "
	      "return { t = s }",
	      "\"x18 y0 \"", "over the whole table");
	gives("local s = '' for r in db.pair:scan() do for q in db.pair:scan('y') do s = s .. r.a .. q.k end "
	      "end return { v = #s }",
	      "{\"v\":14,", "scans nest");
	ends("local t = {} for i = 1, 9 do t[i] = db.pair:scan() end", "SCRIPT_ERROR", "within a bound");
	gives("db.item:put { item = 'i1', price = 30 } db.item:put { item = 'i2', price = 10 } db.item:put { "
	      "item = 'i3', price = 20 } db.item:put { item = 'i1', price = 5 }\n"
	      "local s = '' for r in db.item:scan_by('by_price') do if r.price and r.item:find('^i') then s "
	      "= s .. r.item end end return { t = s }",
	      "i1i2i3", "an index is kept");
	gives("db.item:delete('i2') local s = '' for r in db.item:scan_by('by_price', 20) do s = s .. r.item "
	      "end return { t = s }",
	      "\"i3\"", "and found by its columns");
	ends("for r in db.item:scan_by('none') do end", "SCRIPT_ERROR", "an unknown index is told");
}

static void endings(void)
{
	ends("fail('NO', { b = 'x\"y', a = 1, c = true })", "NO", "a declared code");
	is_str(world_reply(&w), "-NO {\"outcome\":\"refused\",\"a\":1,\"b\":\"x\\\"y\",\"c\":true}\r\n",
	       "is sent with its details in order");
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
	gives("emit('e', 'x', { a = 1, b = 'c' }) emit('e', 'y', db.item:get('a')) emit('e', 'z') return {}",
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

/* A procedure p, whose file behind the declaration is this, in both worlds. */
static int push_file(const char *text)
{
	static char source[4096];
	snprintf(source, sizeof source, "procedure { name = 'p', result = { v = int } } %s", text);
	const char *files[] = {
		"tables.lua",
		TABLES,
		"p.lua",
		source,
		"lib/box.lua",
		"local box = { n = 0 } function box.take() box.n = box.n + 1 return box.n end return box",
		NULL};
	struct err err = {0};
	int status = world_push(&w, files, &err);
	if (status < 0) {
		printf("# push: %s\n", err.text);
	}
	return status < 0 ? status : world_push(&plain, files, &err);
}

/* What may run for ever has its steps counted; asked before it is run, or this test would not end. */
static void is_counted(const char *text, const char *sentence)
{
	bool counted = push_file(text) == 0 && bundle_procedure(w.host->bundles, SLICE_LIT("p"))->endless &&
		       bundle_procedure(plain.host->bundles, SLICE_LIT("p"))->endless;
	if (ok(counted, "%s is counted", sentence)) {
		is_int(call_both(text, NULL, NULL), ERR_DENIED, "and ends");
		says("BUDGET_EXCEEDED", "by the count");
	}
}

static void forgets(const char *text, const char *sentence)
{
	push_file(text);
	for (int i = 0; i < 2; i++) {
		is_int(call_both(text, NULL, NULL), 0, "%s: call %d", sentence, i + 1);
		says("{\"v\":1}", "finds nothing of another call");
	}
}

/* Files that hide what they do behind names of ours, or behind what ends a line for Lua. */
static void hidden(void)
{
	struct err err = {0};
	static const char *const environment[] = {
		"tables.lua", TABLES, "p.lua",
		"procedure { name = 'p' } --\rlocal e = _ENV return function() end", NULL};
	w.protocol = 2;
	is_counted("local function p() return p() end return p", "a file's one function that calls itself");
	is_counted("local p p = function() return p() end return p", "or is called by a name given later");
	is_counted("return function() --\rwhile true do end\nend",
		   "a loop behind a comment that ends at a carriage return");
	is_int(world_push(&w, environment, &err), ERR_INVALID, "_ENV is found there too");
	forgets("local select = { n = 0 } return function() select.n = select.n + 1 return { v = select.n } "
		"end",
		"a table under a name of ours");
	forgets("local x, next = 1, 0 return function() next = next + 1 return { v = next } end",
		"a number under another");
	forgets("local next <const> = { n = 0 } return function() next.n = next.n + 1 return { v = next.n } "
		"end",
		"a constant");
	forgets("local type = type return function() local t = type type = 0 return { v = t == 0 and 2 or 1 "
		"} "
		"end",
		"what was given, under its own name once more");
	forgets("for _, next in pairs({ { n = 0 } }) do return function() next.n = next.n + 1 return { v = "
		"next.n } end end",
		"a loop's variable");
	forgets("local function make(a, next) return function() next.n = next.n + 1 return { v = next.n } "
		"end end "
		"return make(1, { n = 0 })",
		"an argument");
	forgets("local now_ms = now_ms < 0 and 0 or 1 return function() return { v = now_ms } end",
		"another time under the name of ours");
	forgets("local db__1 = { n = 0 } return function() db__1.n = db__1.n + 1 return { v = db__1.n } end",
		"the name of a site");
	forgets("return function() return { v = import('lib.box').take() } end",
		"a library that is imported only while it runs");
}

static void state(void)
{
	const char *declaration = "result = { v = int }";
	static const char *files[] = {
		"tables.lua",
		TABLES,
		"p.lua",
		"procedure { name = 'p', result = { v = int } }\nlocal n = 0\nlocal function count() n = n + "
		"1 return n end\nreturn function() return { v = count() } end",
		"q.lua",
		"procedure { name = 'q', result = { v = int } }\nlocal box = import 'lib.box'\nreturn "
		"function() box.take() return { v = import('lib.box').take() } end",
		"lib/box.lua",
		"local box = { n = 0 } function box.take() box.n = box.n + 1 return box.n end return box",
		NULL};
	struct err err = {0};
	w.protocol = 3;
	ok(world_push(&w, files, &err) == 0, "a bundle with state in its files");
	for (int i = 0; i < 2; i++) {
		ok(world_call(&w, "p", NULL) == 0 && strstr(world_reply(&w), ":1\r\n") != NULL,
		   "a file's locals do not outlive a call (2022-24735)");
		ok(world_call(&w, "q", NULL) == 0 && strstr(world_reply(&w), ":2\r\n") != NULL,
		   "nor do a library's, but a call has one");
	}
	is_int(run_with(declaration, "return { v = now_ms }", NULL, NULL), 0,
	       "now_ms is the transaction's time");
	says(":1000000", "as it was when the call began");
	w.now_ms = 2000000;
	world_apply(&w);
	is_int(world_call(&w, "p", NULL), 0, "and in the next batch");
	says(w.now_ms == 2000000 ? ":2000000" : "", "the next one's");
	is_int(run_with(declaration, "return { v = sequence('s') + sequence('s') }", NULL, NULL), 0,
	       "a sequence counts");
	says(":3", "from 1");
	is_int(run_with("fails = { NO = 'refused' }", "sequence('s') fail('NO')", NULL, NULL), ERR_DENIED,
	       "a call that fails");
	is_int(run_with(declaration, "return { v = sequence('s', 0) * 10 + sequence('s') }", NULL, NULL), 0,
	       "takes no number");
	says(":23", "so there is no gap");
	is_int(run_with(declaration, "return { v = money.times(3000000000, 3000000000) }", NULL, NULL), 0,
	       "money multiplies");
	is_int(run_with(declaration, "return { v = money.times(4000000000, 4000000000) }", NULL, NULL),
	       ERR_DENIED, "within 64 bits");
	says("-OVERFLOW", "or says so");
	is_int(run_with(declaration, "return { v = money.share(math.maxinteger, 999999, 1000000) }", NULL,
			NULL),
	       0, "a share does not overflow between");
	says(":9223362813482738952", "and is exact");
}

/* Sources whose shape is plain, nearly plain, or only looks so. */
static void shapes(void)
{
	static const char *const bodies[] = {
		"db.item:put { item = 'h1', n = 2, } return { v = db.item:need('h1').n }",
		"db.item:put({ item = 'h1'; n = 2; }) return { v = db.item:need('h1').n; }",
		"local function two() return 1, 2 end db.item:put { n = two(), item = ('h2'), price = two() "
		"} return { v = db.item:need('h2').price }",
		"local function none() end db.item:put { item = 'h3', price = none() } local r = "
		"db.item:need('h3') return { t = tostring(r.price) }",
		"db.item:put { item = 'h4', n = #{ 1, 2, 3 }, price = (function(a, b) return a - b end)(5, "
		"3) } return { v = db.item:need('h4').price }",
		"db.item:put { item = 'h5', -- n = 7, }\n n = 3 --[[ , price = 1 } ]] } return { v = "
		"db.item:need('h5').n }",
		"local r = db.item:put { item = 'h6', n = 4, note = 'x' } return { v = r.n, t = r.note }",
		"local r = db.item:put { item = 'h6', n = 4, note = 'x' } emit('e', 'a', r) return { v = "
		"r.n, t = r.note .. r.item }",
		"local r = db.item:put { item = 'h6', n = 4, note = 'x' } local s = r return { v = s.n, t = "
		"s.note }",
		"local r = db.item:need('h6') do local r = { n = 9 } return { v = r.n } end",
		"local r = db.item:need('h6') local function f(r) return r.n end return { v = f({ n = 8 }) + "
		"r.n }",
		"local r = db.item:need('h6') for r in db.pair:scan('x', { limit = 1 }) do return { v = r.k "
		"} end return { v = r.n }",
		"local r = db.item:need('h6').n return { v = r }",
		"local r = db.item:need('h6') or {} return { v = r.n }",
		"local a, r = 1, db.item:need('h6') return { v = r.n + a }",
		"local r = db.item:need 'h6' return { v = r.n }",
		"local r = db.item:need('h6'); local x = r.n == 4 and r . n ~= 5 return { t = tostring(x) }",
		"local t = { r = 1 } local r = db.item:need('h6') t.r = r.n return { v = t.r }",
		"local r = db.item:need('h6') local t = { r = 5 } return { v = t.r + r.n }",
		"local r = db.item:get('h6') return { v = r and r.n or 0 }",
		"local r = db.item:get('absent') return { v = r and r.n or 0 }",
		"local r = db.item:get('absent') return { v = r.n }",
		"db.item:add('h6', { n = 1, }) db.item:update(('h6'), { note = 'y', price = nil }) local r = "
		"db.item:need('h6') return { v = r.n, t = r.note }",
		"local d = { n = 1 } db.item:add('h6', d) return { v = db.item:need('h6').n }",
		"local k = { 'h6' } db.item:add(k[1], { n = k[1] == 'h6' and 2 or 0 }) return { v = "
		"db.item:need('h6').n }",
		"db.pair:put { a = 'z', k = 1 } db.pair:add('z', 1, { v = 5 }) db.pair:add('z', (function() "
		"return 2 end)(), { v = 6 }) return { v = db.pair:need('z', 1).v }",
		"local items = db.item return { v = items:need('h6').n }",
		"local f = db.item.need return { v = f(db.item, 'h6').n }",
		"if call.n then return { v = call.n } else return { v = 1, t = 'none' } end",
		"local c = call return { v = c.n }",
		"local call = { n = 3 } return { v = call.n }",
		"return (function() return { v = 6 } end)()",
		"local r = pcall(function() return { v = 6 } end) return { t = tostring(r) }",
		"return { v = 1, t = ('x'):rep(3) }, 2",
		"return { v = select(2, 1, 2, 3) }",
		"return { t = 'a\\nb', ['v'] = 2 }",
		"return { t = [[a\nb]], v = 3 }",
		"local x = { v = 1 } ; (function() x.v = 7 end)() return x",
		"while true do return { v = 1 } end",
		"for i = 1, 3 do if i == 2 then return { v = i } end end",
		"repeat local done = true until done return { v = 2 }",
		"return {}",
		"return db.item:need('h6')",
		"local r = db.item:need('h6') return r",
	};
	w.protocol = 2;
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		run(bodies[i]);
		if (strncmp(world_reply(&w), "-SCRIPT_ERROR", 13) == 0 &&
		    strstr(bodies[i], "absent') return { v = r.n") == NULL) {
			printf("# %s\n# %s\n", bodies[i], world_reply(&w));
		}
	}
	uint64_t index;
	struct chain one, other;
	world_apply(&w);
	world_apply(&plain);
	ok(store_hash(w.store, &one, &index, NULL) == 0 && store_hash(plain.store, &other, &index, NULL) == 0,
	   "both worlds are hashed");
}

/* Arguments that are keys and fields as they came. */
static void bound(void)
{
	static const char *const bodies[] = {
		"db.pair:put { a = call.a, k = call.k, v = call.q } return { v = db.pair:need(call.a, "
		"call.k).v }",
		"db.pair:put { a = call.a, k = call.k, v = call.q + 1 } return { v = db.pair:need(call.a, "
		"call.k).v }",
		"db.pair:put { a = call.a, k = (call.k), v = call.q } return { v = db.pair:need(call.a, 7).v "
		"}",
		"db.pair:add(call.a, call.k, { v = call.q }) db.pair:add(call.a, call.k, { v = 1 }) return { "
		"v = db.pair:need(call.a, call.k).v }",
		"db.pair:add(call.a, 7, { v = call.q }) db.pair:update(call.a, call.k, { v = call.k }) "
		"return { v = db.pair:need(call.a, call.k).v }",
		"local x = db.pair:get(call.a, call.k) db.pair:delete(call.a, call.k) local y = "
		"db.pair:get(call.a, call.k) return { t = tostring(x and x.v) .. tostring(y) }",
		"db.pair:vacant(call.a, call.k) db.pair:insert { a = call.a, k = call.k } return { t = "
		"tostring(db.pair:need(call.a, call.k).v) }",
		"call.k = 9 db.pair:put { a = call.a, k = call.k, v = 1 } return { v = db.pair:need('aa', "
		"9).v }",
		"local z z, call.k = 1, 10 db.pair:put { a = call.a, k = call.k, v = z } return { v = "
		"db.pair:need('aa', 10).v }",
		"local z call.k, z = 11, 2 db.pair:put { a = call.a, k = call.k, v = z } return { v = "
		"db.pair:need('aa', 11).v }",
		"local t = {} call.q, (t).x = 12, 6 db.pair:put { a = call.a, k = 12, v = call.q } "
		"return { v = db.pair:need('aa', 12).v }",
		"local t = {} (t).x, call.q = 6, 13 db.pair:put { a = call.a, k = 13, v = call.q } "
		"return { v = db.pair:need('aa', 13).v }",
		"local t = {} call.q, select(1, t).x = 14, 6 db.pair:put { a = call.a, k = 14, v = "
		"call.q } return { v = db.pair:need('aa', 14).v }",
		"local t = {} t.s = t call.q, t:get('x').y = 15, 6 db.pair:put { a = call.a, k = 15, v "
		"= call.q }",
		"local t = {} call.q, assert { 1 }.x, t[call.k] = 16, 6, 7 db.pair:put { a = call.a, k "
		"= 16, v = call.q } return { v = db.pair:need('aa', 16).v }",
		"call.q, table.pack 'x'.n = 18, 3 db.pair:put { a = call.a, k = 18, v = call.q } "
		"return { v = db.pair:need('aa', 18).v }",
		"local s s, call.k, ('').x = 1, 17 db.pair:put { a = call.a, k = call.k }",
		"local t = {} call.q, t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], "
		"t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], "
		"t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], "
		"t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], "
		"t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], t[1], "
		"t[1], t[1], t[1], t[1] = 19 db.pair:put { a = call.a, k = 19, v = call.q } return { v "
		"= db.pair:need('aa', 19).v }",
		"db.item:put { item = call.a, n = 3 } local r = db.item:need(call.a) local k r.n, k = "
		"19, 1 return { v = r.n }",
		"db.item:put { item = call.a, n = 3 } local t = {} local r = db.item:need(call.a) r.n, "
		"(t).x = 19, 1 return { v = r.n }",
		"local t = { call.k, call.q, x = call.k } local u = call.k == 7 and call.q or call.k return "
		"{ v = u + t.x + t[1] }",
		"return { v = call.k, t = call.a }",
		"return { v = call.none, t = call.a }",
		"db.item:put { item = call.a, i = call.k, price = call.k } return { v = "
		"db.item:need(call.a).i }",
		"db.item:put { item = call.a, n = call.q } return { v = db.item:need(call.a).n }",
		"db.item:put { item = call.a, note = call.a } return { t = db.item:need(call.a).note }",
		"db.pair:get(call.k, call.a)",
		"db.item:put { item = call.k }",
	};
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		run_with("args = { a = optional(id), k = optional(int), q = optional(int), none = "
			 "optional(id) }, result = { v = optional(int), t = optional(text) }",
			 bodies[i], "a", "aa");
		for (int with = 0; with < 2; with++) {
			plain.protocol = w.protocol;
			int one = world_call(&plain, "p", "k", "7", "q", "-3", "a", "aa", NULL);
			compare(bodies[i], world_call(&w, "p", "k", "7", "q", "-3", "a", "aa", NULL), one);
		}
		run_with("args = { a = id, k = optional(int(3, 12)), q = optional(int(-4, 9)), none = "
			 "optional(id) }, result = { v = optional(int), t = optional(text) }",
			 bodies[i], "a", "bb");
	}
	for (size_t i = 0; i < sizeof bodies / sizeof bodies[0]; i++) {
		const char *files[] = {"tables.lua", TABLES, "p.lua", NULL, NULL};
		char source[2000];
		struct err err = {0};
		snprintf(source, sizeof source,
			 "procedure { name = 'p', writes = true, args = { a = id, k = int(3, 12), q = "
			 "int(-4, 9), none = optional(id) }, result = { v = optional(int), t = "
			 "optional(text) } }\nreturn function(call) %s end",
			 bodies[i]);
		files[3] = source;
		if (world_push(&w, files, &err) != 0 || world_push(&plain, files, &err) != 0) {
			printf("# push %s: %s\n", bodies[i], err.text);
		}
		for (int with = 0; with < 2; with++) {
			plain.protocol = w.protocol;
			int one = world_call(&plain, "p", "k", "7", "q", "-3", "a", "aa", NULL);
			compare(bodies[i], world_call(&w, "p", "k", "7", "q", "-3", "a", "aa", NULL), one);
		}
	}
}

static void resp3(void)
{
	const char *declaration =
		"result = { z = int, a = optional(text), m = money, b = bool, n = optional(int) }";
	w.protocol = 3;
	is_int(run_with(declaration, "return { a = 'x\\r', b = true, m = -5, z = 0 }", NULL, NULL), 0,
	       "a result in RESP3");
	is_str(world_reply(&w),
	       "%5\r\n$1\r\nz\r\n:0\r\n$1\r\na\r\n$2\r\nx\r\r\n$1\r\nm\r\n:-5\r\n$1\r\nb\r\n#t\r\n$"
	       "1\r\nn\r\n_\r\n",
	       "is a map in declared order");
	is_int(run_with(declaration, "local r = { a = 'x\\r', b = true, m = -5, z = 0 } return r", NULL,
			NULL),
	       0, "a table made elsewhere");
	is_str(world_reply(&w),
	       "%5\r\n$1\r\nz\r\n:0\r\n$1\r\na\r\n$2\r\nx\r\r\n$1\r\nm\r\n:-5\r\n$1\r\nb\r\n#t\r\n$"
	       "1\r\nn\r\n_\r\n",
	       "is the same");
	w.protocol = 2;
	world_call(&w, "p", NULL);
	is_str(world_reply(&w), "$42\r\n{\"z\":0,\"a\":\"x\\r\",\"m\":-5,\"b\":true,\"n\":null}\r\n",
	       "and JSON in RESP2");
}

static uint64_t fingerprint(const struct slice *args, size_t count)
{
	struct script_call *call = NULL;
	struct reply reply = {&w.reply, 3};
	struct txn *txn = txn_begin(w.overlay, &w.arena);
	script_prepare(w.host, txn, &w.arena, SLICE_LIT("p"), args, count, &call, &reply);
	uint64_t low = call == NULL ? 0 : script_call_fingerprint(call).low;
	txn_abort(txn);
	return low;
}

static void fingerprints(void)
{
	run_with("args = { a = int, l = list(int), s = optional(id) }", "return {}", NULL, NULL);
	struct slice one[] = {SLICE_LIT("a"), SLICE_LIT("7"), SLICE_LIT("l"), SLICE_LIT("[1,2]")};
	struct slice two[] = {SLICE_LIT("l"), SLICE_LIT(" [ 1, 2 ] "), SLICE_LIT("a"), SLICE_LIT("7")};
	struct slice three[] = {SLICE_LIT("a"), SLICE_LIT("8"), SLICE_LIT("l"), SLICE_LIT("[1,2]")};
	struct slice four[] = {SLICE_LIT("a"), SLICE_LIT("7"), SLICE_LIT("l"), SLICE_LIT("[2,1]")};
	uint64_t first = fingerprint(one, 4);
	ok(first != 0 && first == fingerprint(two, 4), "a fingerprint does not depend on order and spelling");
	ok(first != fingerprint(three, 4), "but on a value");
	ok(first != fingerprint(four, 4), "also inside a list");
	run_with("args = { r = record { x = int, y = optional(int) } }", "return {}", NULL, NULL);
	struct slice five[] = {SLICE_LIT("r"), SLICE_LIT("{\"x\":1,\"y\":2}")};
	struct slice six[] = {SLICE_LIT("r"), SLICE_LIT("{ \"y\": 2, \"x\": 1 }")};
	first = fingerprint(five, 2);
	ok(first != 0 && first == fingerprint(six, 2), "nor on the order of a record's fields");
}

int main(void)
{
	world_open(&w);
	world_open(&plain);
	plain.plain = true;
	arguments();
	rows();
	scans();
	endings();
	state();
	hidden();
	resp3();
	shapes();
	bound();
	fingerprints();
	ok(compared > 130 && differed == 0, "compiled to sites and as written, %u calls end alike", compared);
	world_close(&plain);
	world_close(&w);
	return tap_done();
}
