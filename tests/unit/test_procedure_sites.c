/* Sources that are compiled to sites (script/site.h), or had better not be: names that hide, shapes that are plain or
 * only look so, arguments that are keys as they came; random walks over rows. */
#include <stdio.h>
#include <string.h>

#include "script/host.h"
#include "base/prng.h"
#include "tests/lib/tap.h"
#include "tests/unit/procedure_world.h"

/* A procedure p, whose file behind the declaration is this. */
static int push_behind(const char *text)
{
	static char source[4096];
	snprintf(source, sizeof source, "procedure { name = 'p', result = { v = int } } %s", text);
	return push_file(source);
}

/* What may run for ever has its steps counted; asked before it is run, or this test would not end. */
static void is_counted(const char *text, const char *sentence)
{
	bool counted = push_behind(text) == 0 && bundle_procedure(w.host->bundles, SLICE_LIT("p"))->endless &&
		       bundle_procedure(plain.host->bundles, SLICE_LIT("p"))->endless;
	if (ok(counted, "%s is counted", sentence)) {
		is_int(call_both(text, NULL, NULL), ERR_DENIED, "and ends");
		says("BUDGET_EXCEEDED", "by the count");
	}
}

static void forgets(const char *text, const char *sentence)
{
	push_behind(text);
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
	run("db.pair:put { a = 'x', k = -6 } return {}");
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

/* ---- random bodies ---- */

static struct prng dice;
static unsigned roll(unsigned sides)
{
	return (unsigned)prng_below(&dice, sides);
}

static void write_something(struct buf *body)
{
	unsigned pair = roll(8), item = roll(6);
	char a = "xy"[roll(2)];
	switch (roll(6)) {
	case 0:
		buf_appendf(body, "db.pair:put { a = '%c', k = %u, v = %u } ", a, pair, roll(5));
		return;
	case 1:
		buf_appendf(body, "db.pair:delete('%c', %u) ", a, pair);
		return;
	case 2:
		buf_appendf(body, "db.pair:add('%c', %u, { v = 1 }) ", a, pair);
		return;
	case 3:
		buf_appendf(body, "db.item:put { item = 'i%u', price = %u, n = %u } ", item, roll(4), roll(3));
		return;
	case 4:
		buf_appendf(body, "db.item:delete('i%u') ", item);
		return;
	default:
		buf_appendf(body, "if db.item:get('i%u') then db.item:update('i%u', { price = %u }) end ", item, item,
			    roll(4));
		return;
	}
}

static void walk_pairs(struct buf *body)
{
	buf_append_text(body, "for r in db.pair:scan(");
	if (roll(2) == 0) {
		buf_appendf(body, "'%c', ", "xy"[roll(2)]);
	}
	buf_appendf(body, "{ reverse = %s", roll(2) ? "true" : "false");
	if (roll(3) == 0) {
		buf_appendf(body, ", limit = %u", roll(5));
	}
	if (roll(3) == 0) {
		buf_appendf(body, ", after = { '%c', %u }", "wxyz"[roll(4)], roll(8));
	}
	buf_append_text(body, " }) do n = n + 1 if n > 80 then break end h = (h * 31 + r.k * 7 + (r.v or 3)) % 1000003 ");
	if (roll(4) == 0) {
		buf_append_text(body, "db.pair:delete(r.a, r.k) ");
	}
	if (roll(4) == 0) {
		buf_appendf(body, "db.pair:put { a = r.a, k = r.k + %u, v = 2 } ", roll(3));
	}
}

static void walk_items(struct buf *body)
{
	buf_append_text(body, "for r in db.item:scan_by('by_price', ");
	if (roll(3) == 0) {
		buf_appendf(body, "%u, ", roll(4));
	}
	buf_appendf(body, "{ reverse = %s }) do n = n + 1 if n > 80 then break end ", roll(2) ? "true" : "false");
	buf_append_text(body, "h = (h * 31 + (r.price or 9) * 7 + r.n) % 1000003 ");
	if (roll(4) == 0) {
		buf_append_text(body, "db.item:delete(r.item) ");
	}
	if (roll(4) == 0) {
		buf_appendf(body, "db.item:update(r.item, { price = %u }) ", roll(4));
	}
}

/* Walks in walks, which write at their place, ahead of it and behind it. */
static void do_something(struct buf *body, unsigned depth)
{
	for (unsigned left = 1 + roll(depth == 0 ? 6 : 3); left > 0; left--) {
		if (depth > 2 || roll(2) == 0) {
			write_something(body);
			continue;
		}
		(roll(2) == 0 ? walk_pairs : walk_items)(body);
		do_something(body, depth + 1);
		buf_append_text(body, "end ");
	}
}

/* What one world has applied is still in the open batch of the other: a walk sees the same in both. */
static void random_bodies(void)
{
	struct buf body;
	unsigned done = 0, broken = 0;
	buf_init(&body, KIB(64));
	prng_init(&dice, 5);
	w.protocol = 2;
	for (int i = 0; i < 500; i++) {
		buf_reset(&body);
		buf_append_text(&body, "local h, n = 0, 0 ");
		do_something(&body, 0);
		buf_append(&body, "return { v = h }", sizeof "return { v = h }");
		int status = run((const char *)body.data);
		done += status == 0;
		broken += status != 0 && status != ERR_DENIED;
		if (roll(2) == 0) {
			world_apply(&w);
		}
		if (roll(20) == 0) {
			world_apply(&plain);
		}
	}
	ok(done > 400 && broken == 0, "random walks that write come to an end, %u of 500 of them done", done);
	buf_fini(&body);
}

int main(void)
{
	worlds_open();
	hidden();
	shapes();
	bound();
	random_bodies();
	worlds_close(700);
	return tap_done();
}
