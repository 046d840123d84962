/* Calls of procedures: arguments, rows, scans, what lasts from one call to the next, results, fingerprints. How they
 * end is test_procedure_ends'. Rows 74 to 76 of tests/badinput/rows.txt. */
#include <stdio.h>
#include <string.h>

#include "tests/lib/tap.h"
#include "tests/unit/procedure_world.h"

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
	gives("local s = '' for r in db.pair:scan('x', { after = { 'v', 0 } }) do s = s .. r.a .. r.k .. ' ' end "
	      "return { t = s }",
	      "\"x-6 x-3 x2 x9 x18 \"", "behind a key in front of what is scanned stands all of it, and nothing else");
	gives("local s = '' for r in db.pair:scan('x', { reverse = true, after = { 'z', 0 } }) do s = s .. r.a .. "
	      "r.k .. ' ' end return { t = s }",
	      "\"x18 x9 x2 x-3 x-6 \"", "so it does backward");
	gives("local n = 0 for r in db.pair:scan('x', { after = { 'y', 0 } }) do n = n + 1 end for r in "
	      "db.pair:scan('x', { reverse = true, after = { 'w', 0 } }) do n = n + 1 end return { v = n }",
	      "{\"v\":0,", "and behind one at the other end nothing");
	gives("local s = '' for r in db.pair:scan() do for q in db.pair:scan('y') do s = s .. r.a .. q.k end "
	      "end return { v = #s }",
	      "{\"v\":14,", "scans nest");
	ends("local t = {} for i = 1, 9 do t[i] = db.pair:scan() end", "SCRIPT_ERROR", "within a bound");
	gives("local n = 0 for i = 1, 20 do for r in db.pair:scan() do n = n + 1 break end end return { v = n }",
	      "{\"v\":20,", "a loop that is left by break has closed its scan");
	gives("local function first() for r in db.item:scan_by('by_price') do return r.item end end for i = 1, 20 do "
	      "first() end return { t = first() }",
	      "\"t\":\"", "so has one that is left by return");
	gives("local n = 0 for i = 1, 20 do pcall(function() for r in db.pair:scan({ limit = 2 }) do n = n + 1 error('x') end "
	      "end) end return { v = n }",
	      "{\"v\":20,", "or by an error");
	gives("local next, state, from, scan = db.pair:scan() return { t = tostring(getmetatable(scan)) .. "
	      "tostring(pcall(db.pair.get, scan, 'x', 2)) }",
	      "\"falsefalse\"", "what closes it is nothing to a script");
	gives("db.item:put { item = 'i1', price = 30 } db.item:put { item = 'i2', price = 10 } db.item:put { "
	      "item = 'i3', price = 20 } db.item:put { item = 'i1', price = 5 }\n"
	      "local s = '' for r in db.item:scan_by('by_price') do if r.price and r.item:find('^i') then s "
	      "= s .. r.item end end return { t = s }",
	      "i1i2i3", "an index is kept");
	gives("db.item:delete('i2') local s = '' for r in db.item:scan_by('by_price', 20) do s = s .. r.item "
	      "end return { t = s }",
	      "\"i3\"", "and found by its columns");
	gives("for i = 1, 3 do db.item:put { item = 'j' .. i, price = 100 + i } end return {}", "{", "three more");
	world_apply(&w);
	gives("local s = '' for r in db.item:scan_by('by_price') do if r.item:find('^j') then s = s .. r.item "
	      "db.item:delete('j2') end end return { t = s }",
	      "\"j1j3\"", "a row that is deleted ahead of a scan by an index is passed over");
	gives("local s = '' for r in db.item:scan_by('by_price', { reverse = true }) do if r.item:find('^j') then s "
	      "= s .. r.item db.item:delete('j1') end end return { t = s }",
	      "\"j3\"", "backward, too");
	gives("local s = '' for r in db.pair:scan('x') do s = s .. r.k .. '=' .. tostring(r.v) .. ' ' if r.k == -3 then db.pair:delete('x', "
	      "2) db.pair:put { a = 'x', k = 3 } db.pair:update('x', 9, { v = 1 }) end end return { t = s }",
	      "\"-6=nil -3=nil 3=nil 9=1 18=nil \"", "a scan sees what its loop writes ahead of it");
	ends("for r in db.item:scan_by('none') do end", "SCRIPT_ERROR", "an unknown index is told");
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
	worlds_open();
	arguments();
	rows();
	scans();
	state();
	resp3();
	fingerprints();
	worlds_close(70);
	return tap_done();
}
