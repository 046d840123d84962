/* What is refused when a bundle is pushed, with file and line; how tables may change; by what a procedure is
 * known to who watches its calls. Rows 58 to 76 of tests/badinput/rows.txt. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/lib/tap.h"
#include "tests/unit/script_world.h"

#define TABLES                                                                                               \
	"tables { item = { key = {'item'}, columns = { item = id, n = count, price = optional(money) } } }"
#define PROC(body)                                                                                           \
	"procedure { name = 'p', writes = true, args = { a = optional(int) }, result = { v = optional(int) " \
	"} }\n" body

static struct world w;

static void refused_file(const char *name, const char *source, const char *part, const char *sentence)
{
	const char *files[] = {"tables.lua", TABLES, name, source, NULL};
	struct err err = {0};
	int status = world_push(&w, files, &err);
	if (!ok(status == ERR_INVALID && strstr(err.text, part) != NULL, "%s", sentence)) {
		printf("# %d %s\n", status, err.text);
	}
}

static void refused(const char *source, const char *part, const char *sentence)
{
	refused_file("p.lua", source, part, sentence);
}

static void accepted(const char *source, const char *sentence)
{
	const char *files[] = {"tables.lua", TABLES, "p.lua", source, NULL};
	struct err err = {0};
	int status = world_push(&w, files, &err);
	if (!ok(status == 0, "%s", sentence)) {
		printf("# %d %s\n", status, err.text);
	}
}

/* A file whose one expression has so many jumps. */
static char *jumps(size_t count)
{
	char *source = malloc(LIMIT_SCRIPT_SOURCE);
	size_t len = (size_t)sprintf(source, "%s", PROC("return function(call) local a local x = a "));
	for (size_t i = 0; i < count; i++) {
		len += (size_t)sprintf(source + len, "or a ");
	}
	sprintf(source + len, "return {} end");
	return source;
}

/* Before Lua's compiler walks the chain of them, for each: on a lane at push, but in a start on the loop. */
static void compiling(void)
{
	char *many = jumps(12000), *some = jumps(1000);
	refused(many, "a file with thousands of `and`, `or` and `elseif` wants a table instead",
		"a file that takes the compiler long is refused before it, and told what to do");
	accepted(some, "one with a thousand `or` is not");
	free(many);
	free(some);
}

static void tokens(void)
{
	refused(PROC("return function(call)\n  local x = = 1 end"),
		"p.lua:3:", "a syntax error is told with file and line (row 58)");
	refused("\x1bLua", "p.lua:1: not a source", "bytecode is refused (row 59, 2015-4335)");
	refused(PROC("return function() return { v = 1 / 2 } end"), "p.lua:2: `/`", "/ is refused");
	refused(PROC("return function() return { v = 2 ^ 3 } end"), "p.lua:2: `^`", "^ is refused");
	refused(PROC("return function() return { v = 0.5 } end"), "p.lua:2: a number with a point",
		"a float is refused (row 76)");
	refused(PROC("return function() return { v = 1e3 } end"), "a number with a point",
		"so is an exponent");
	refused(PROC("return function() return { v = 0x1p4 } end"), "a number with a point",
		"in hexadecimal too");
	refused(PROC("return function() return { v = 9223372036854775808 } end"), "over 64 bits",
		"and an integer over 64 bits");
	accepted(PROC("return function() return { v = 9223372036854775807 // 1 - 7 % 2 } end"),
		 "// and % are fine");
	accepted(PROC("-- 1/2 ^ 0.5\nlocal s = '1/2^0.5' .. \"/\\\"^\" .. [[/^0.5]] .. [==[ ]] / ]==] --[[ / "
		      "^ \n ]] --[=[ / ]=]\n"
		      "return function() return {} end"),
		 "texts and comments are not looked at");
	accepted(PROC("local s = 'a\\\r\n/ b\\\n\r/ c' return function() return { v = #s } end"),
		 "a text goes on behind a backslash and what ends a line");
	refused(PROC("return function() _ENV.x = 1 end"), "_ENV", "_ENV is refused");
	refused(PROC("return function() local x <close> = nil end"), "<close>", "<close> is refused");
	refused(PROC("return function() pcall = 1 end"),
		"p.lua:2: attempt to assign to const variable 'pcall'", "a name of ours cannot be assigned");
	refused(PROC("return function(call) return import(call.a) end"), "import takes a plain text",
		"import takes a plain text");
	refused(PROC("local m = import 'lib.none' return function() end"), "imports lib.none, which is not",
		"an import is resolved when pushed");
	refused(PROC("return 1"), "must return its function", "a file returns a function");
	refused("return function() end", "no `procedure", "a file declares its procedure");
	refused(PROC("procedure { name = 'p' } return function() end"), "declares one procedure",
		"and only one");
	refused(PROC("while true do end return function() end"), "used up the budget",
		"a chunk that does not end is stopped");
	refused("procedure { name = 'p', args = { a = (function() while true do end end)() } } return "
		"function() end",
		"budget", "so is a declaration");

	refused(PROC("return function()\n db.itm:get('a') end"), "p.lua:3: there is no table 'itm'",
		"an unknown table is told (row 73)");
	refused(PROC("return function() db.item:got('a') end"), "no method 'got'", "so is a method");
	refused(PROC("return function() db.item:insert { itm = 'a' } end"), "no column 'itm'", "a column");
	refused(PROC("return function() db.item:add('a', { n = 1, m = 2 }) end"), "no column 'm'",
		"of a change too");
	refused(PROC("return function() db.item:insert { item = 'a', item = 'b' } end"), "twice 'item'",
		"a column named twice");
	refused(PROC("return function() local r = db.item:need('a') return { v = r.nn } end"),
		"no column 'nn'", "a column that is read");
	refused(PROC("return function() local r = db.item:need('a') r.n = 1 end"), "cannot be changed",
		"a row that is changed");
	refused(PROC("return function() return { w = 1 } end"), "no field 'w'",
		"a result that is not declared");
	refused(PROC("return function() local t = db return t.item end"), "behind `db` stands a table",
		"db is no value");

	refused(PROC("return function() local r = db.item:need('a') local x = r.n local = 1 return { v = x } "
		     "end"),
		"<name> expected near '='", "a mistake is told in the words of the source");

	char *big = malloc(70000);
	memset(big, ' ', 69999);
	big[69999] = '\0';
	size_t used = (size_t)sprintf(big, "%s", PROC("return function() end"));
	big[used] = ' ';
	big[LIMIT_SCRIPT_SOURCE] = '\0';
	accepted(big, "64 KiB are accepted (row 60)");
	big[LIMIT_SCRIPT_SOURCE] = ' ';
	big[LIMIT_SCRIPT_SOURCE + 1] = '\0';
	refused(big, "larger than 64 KiB", "a byte more is not");
	used = (size_t)sprintf(big, "%s", PROC("return function() return "));
	memset(big + used, '(', 60000 - used);
	big[60000] = '\0';
	refused(big, "C stack overflow", "nested parentheses are bounded");
	used = (size_t)sprintf(big, "%s", PROC("return function() "));
	for (int i = 0; i < 300; i++) {
		used += (size_t)sprintf(big + used, "local a%d ", i);
	}
	sprintf(big + used, "end");
	refused(big, "too many local variables", "so are locals");
	used = (size_t)sprintf(big, "%s", PROC("return function() local t = {"));
	for (int i = 0; i < 8000; i++) {
		used += (size_t)sprintf(big + used, "%d,", i * 3);
	}
	sprintf(big + used, "} end");
	accepted(big, "many constants are fine");
	used = (size_t)sprintf(big, "%s", PROC("return function(call)\n"));
	for (int i = 0; i < 90; i++) {
		used += (size_t)sprintf(
			big + used,
			"local r%d = db.item:need('a') local s%d = r%d.n + (r%d.price or 0) + #r%d.item\n", i,
			i, i, i, i);
	}
	sprintf(big + used, "return { v = s0 } end");
	accepted(big, "what would have too many locals with sites is taken as written");
	free(big);
}

static void declarations(void)
{
	refused("procedure { name = 'q' } return function() end", "p.lua: the file is for p",
		"the name is the file's");
	refused("procedure { name = 'p', arg = {} } return function() end", "p.lua: 'arg' is not part",
		"unknown parts are refused");
	refused("procedure { name = 'p', args = { a = itn } } return function() end", "'itn' is not known",
		"so are unknown types");
	refused("procedure { name = 'p', args = { a = 3 } } return function() end", "a has no type",
		"an argument has a type");
	refused("procedure { name = 'p', args = { a = int(5, 1) } } return function() end", "empty",
		"a range is not empty");
	refused("procedure { name = 'p', args = { a = int }, once = 'a' } return function() end", "once: 'a'",
		"once names an id");
	refused("procedure { name = 'p', fails = { Lower = 'refused' } } return function() end", "not a code",
		"codes are capitals");
	refused("procedure { name = 'p', fails = { LOADING = 'refused' } } return function() end", "Redis",
		"words that clients repeat are refused");
	refused("procedure { name = 'p', fails = { OVERLOADED = 'refused' } } return function() end",
		"own codes", "so are the store's");
	refused("procedure { name = 'p', fails = { X = 'retry' } } return function() end",
		"must be \"refused\"", "a procedure cannot ask for a retry");
	refused("procedure { name = 'p', result = { v = int, replayed = bool } } return function() end",
		"result: 'replayed' is", "a name that a repeated answer gains is no result's");
	refused("procedure { name = 'p', args = { a = (function() local t = id for i = 1, 40 do t = list(t) end "
		"return t end)() } } return function() end",
		"nested deeper than 32", "types are nested so deep");
	refused("procedure { name = 'p', args = { a = (function() local t = id for i = 1, 30 do t = record { a = t, b "
		"= t } end return t end)() } } return function() end",
		"more than 4096 parts", "and have so many parts");
	refused("procedure { name = 'p', emits = (function() local t = { 'a', 'b', 'c', 'd', 'e' } for i = 3, 45 do "
		"t[1 << i] = 'e' end t[9] = 'e' return t end)() } return function() end",
		"more than 64 events", "a procedure has so many events, however long its list says that it is");
	refused_file("tables.lua2.lua", "return 1", "no `procedure", "stray files are refused");
	refused_file("lib/a.lua", "local b = import 'lib.a' return {}", "imports itself",
		     "a library cannot import itself");
	refused_file("../x.txt", "", "ends in .lua", "a file is Lua");
	const char *tables[][2] = {
		{"tables { t = { key = {'x'}, columns = { y = id } } }", "no column x"},
		{"tables { t = { key = {'x'}, columns = { x = optional(id) } } }", "cannot be optional"},
		{"tables { t = { key = {'x'}, columns = { x = id, l = list(id) } } }", "cannot be stored"},
		{"tables { t = { columns = { x = id } } }", "has no key"},
		{"tables { ['a b'] = { key = {'x'}, columns = { x = id } } }", "not a name"},
	};
	for (size_t i = 0; i < sizeof tables / sizeof tables[0]; i++) {
		const char *files[] = {"tables.lua", tables[i][0], NULL};
		struct err err = {0};
		ok(world_push(&w, files, &err) == ERR_INVALID && strstr(err.text, tables[i][1]) != NULL,
		   "a table: %s", tables[i][1]);
	}
}

static void push_tables(const char *tables, const char *part, const char *sentence)
{
	const char *files[] = {
		"tables.lua", tables, "p.lua",
		PROC("return function(call) db.item:insert { item = 'x' .. call.a, n = 3 } return {} end"),
		NULL};
	struct err err = {0};
	int status = world_push(&w, files, &err);
	bool good =
		part == NULL ? status == 0 : status == ERR_DENIED && strstr(world_reply(&w), part) != NULL;
	if (!ok(good, "%s", sentence)) {
		printf("# %d %s %s\n", status, err.text, world_reply(&w));
	}
}

static void migration(void)
{
#define ITEM(columns) "tables { item = { key = {'item'}, columns = { item = id, " columns " } } }"
	push_tables(ITEM("n = count, small = optional(int(1, 5))"), NULL, "a first bundle");
	push_tables("tables { item = { key = {'n'}, columns = { item = id, n = count } } }", NULL,
		    "an empty table may change at will");
	push_tables(ITEM("n = count, small = optional(int(1, 5))"), NULL, "and back");
	ok(world_call(&w, "p", "a", "1", NULL) == 0, "a row");
	{
		const char *files[] = {"tables.lua",
				       "tables { other = { key = {'a'}, columns = { a = id } } }", NULL};
		struct err err = {0};
		ok(world_push(&w, files, &err) == ERR_DENIED &&
			   strstr(world_reply(&w),
				  "\"reason\":\"the table item has rows, and this bundle "
				  "lacks it: keep it, for one bundle is active at a time\"") != NULL,
		   "a table with rows cannot go");
	}
	push_tables("tables { item = { key = {'n'}, columns = { item = id, n = count } } }",
		    "its key changed", "nor its key");
	push_tables(ITEM("n = count"), "column small was removed: keep it", "nor a column, which is named");
	push_tables(ITEM("small = optional(int(1, 5)), n = count"), "removed, renamed or moved",
		    "nor its place");
	push_tables(ITEM("n = int, small = optional(int(1, 5))"), "changed its type", "nor its type");
	push_tables(ITEM("n = count, small = optional(int(1, 4))"), "narrower", "a range cannot shrink");
	push_tables(ITEM("n = count, small = int(1, 5)"), "was optional", "what was optional stays so");
	push_tables(ITEM("n = count, small = optional(int(1, 5)), x = int"), "must be optional or a count",
		    "a new column needs no value");
	push_tables(ITEM("n = count, small = optional(int(0, 9)), x = optional(int), y = count"), NULL,
		    "wider and longer is fine");
	ok(world_call(&w, "p", "a", "2", NULL) == 0, "rows of both kinds");
	const struct slice argv[] = {SLICE_LIT("item")};
	struct txn *txn = txn_begin(w.overlay, &w.arena);
	struct reply reply = {&w.reply, 2};
	buf_reset(&w.reply);
	ok(script_rows(w.host, txn, &w.arena, argv, 1, &reply) == 0, "are read");
	txn_abort(txn);
	ok(strstr(world_reply(&w), "{\"item\":\"x1\",\"n\":3,\"small\":null,\"x\":null,\"y\":0}") != NULL,
	   "an old row has the new columns");
}

/* Four others are compiled between a bundle's compilation and its push. */
static void pushed_out(void)
{
	char source[200];
	struct script_file files[] = {{SLICE_LIT("p.lua"), SLICE_NONE}};
	struct err err = {0};
	for (int i = 0; i < 5; i++) {
		struct script_bundle *bundle = NULL;
		snprintf(source, sizeof source, "procedure { name = 'p' } return function() return %d end", i);
		files[0].source = slice_str(source);
		script_compile(SLICE_LIT("shop"), files, 1, &bundle, &err);
		script_install(w.host, bundle);
	}
	snprintf(source, sizeof source, "procedure { name = 'p' } return function() return 0 end");
	files[0].source = slice_str(source);
	struct txn *txn = txn_begin(w.overlay, &w.arena);
	struct reply reply = {&w.reply, 2};
	buf_reset(&w.reply);
	is_int(script_push(w.host, txn, &w.arena, SLICE_LIT("shop"), files, 1, &reply), ERR_DENIED,
	       "a bundle that others took the place of, before it was pushed, is refused");
	txn_abort(txn);
	ok(strstr(world_reply(&w), "-OVERLOADED {\"outcome\":\"retry\",\"reason\":\"many bundles are pushed at once") != NULL,
	   "with retry: pushed again it may succeed");
}

/* ---- ROWS ---- */

static const char *rows_of(const char *table)
{
	const struct slice argv[] = {slice_str(table)};
	struct txn *txn = txn_begin(w.overlay, &w.arena);
	struct reply reply = {&w.reply, 2};
	buf_reset(&w.reply);
	int status = script_rows(w.host, txn, &w.arena, argv, 1, &reply);
	txn_abort(txn);
	return status == ERR_DENIED ? world_reply(&w) : "not refused";
}

static void unknown_tables(void)
{
	char text[8192] = "tables { item = { key = {'item'}, columns = { item = id } }";
	ok(strstr(rows_of("item"), "\"reason\":\"no bundle is active, and it is a bundle that has tables: push one\"") != NULL,
	   "without a bundle ROWS says that one has to be pushed");
	const char *two[] = {"tables.lua",
			     "tables { pool = { key = {'a'}, columns = { a = id } }, item = { key = {'a'}, columns = { a = id } } }",
			     NULL};
	struct err err = {0};
	ok(world_push(&w, two, &err) == 0 &&
		   strstr(rows_of("itm"), "\"reason\":\"the active bundle has no such table; it has item, pool\"") != NULL,
	   "who mistypes a table is told which there are");
	for (int i = 0; i < 30; i++) {
		sprintf(text + strlen(text), ", t%02d = { key = {'a'}, columns = { a = id } }", i);
	}
	strcat(text, " }");
	const char *many[] = {"tables.lua", text, NULL};
	ok(world_push(&w, many, &err) == 0 &&
		   strstr(rows_of("itm"), "it has item, t00, t01, ") != NULL &&
		   strstr(rows_of("itm"), ", t22 and 7 more, in its tables.lua\"") != NULL,
	   "of many, the first");
}

/* ---- who watches ---- */

struct watcher {
	char name[32], hash[41];
	unsigned begun, ended;
};

static void watch_begin(void *owner, const struct script_identity *running)
{
	struct watcher *watcher = owner;
	watcher->begun++;
	snprintf(watcher->name, sizeof watcher->name, "%.*s", (int)running->name.len,
		 (const char *)running->name.data);
	snprintf(watcher->hash, sizeof watcher->hash, "%s", running->hash);
}

static void watch_end(void *owner)
{
	((struct watcher *)owner)->ended++;
}

/* What p, which imports lib.a, is known by. */
static void hash_of_p(struct watcher *watcher, const char *p, const char *lib, const char *other)
{
	const char *files[] = {"tables.lua", TABLES, "p.lua", p, "lib/a.lua", lib, "q.lua", other, NULL};
	struct err err = {0};
	watcher->hash[0] = '\0';
	if (world_push(&w, files, &err) != 0) {
		printf("# %s\n", err.text);
	}
	world_call(&w, "p", NULL);
}

#define P PROC("local a = import 'lib.a' return function() return { v = a.one() } end")
#define Q(n) "procedure { name = 'q', result = { v = int } }\nreturn function() return { v = " #n " } end"
#define A(n) "return { one = function() return " #n " end }"

static void watching(void)
{
	struct watcher first = {.begun = 0}, second = {.begun = 0};
	struct refused refused = {.count = 0};
	uint64_t late = 0;
	struct script_watch watch = {&refused, &late, 2, watch_begin, watch_end, &first};
	script_host_watch(w.host, &watch);
	hash_of_p(&first, P, A(1), Q(1));
	ok(first.begun == 1 && first.ended == 1 && strcmp(first.name, "p") == 0 && strlen(first.hash) == 32,
	   "who watches is told of a call and of its end, once");
	second = first;
	hash_of_p(&first, P, A(1), Q(2));
	is_str(first.hash, second.hash, "a change of another procedure leaves the hash as it is");
	hash_of_p(&first, P "\n", A(1), Q(2));
	ok(strcmp(first.hash, second.hash) != 0, "one of its own source does not");
	hash_of_p(&first, P, A(2), Q(2));
	ok(strcmp(first.hash, second.hash) != 0, "nor one of a library's");

	hash_of_p(&first, P,
		  "return { one = function() while true do pcall(function() while true do end end) end end }",
		  Q(1));
	ok(strstr(world_reply(&w),
		  "-BUDGET_EXCEEDED {\"outcome\":\"refused\",\"reason\":\"the script used up its steps") !=
		   NULL,
	   "a call that nobody asks to end ends by its steps");
	late = 1;
	world_call(&w, "p", NULL);
	ok(strstr(world_reply(&w), "its steps") != NULL, "also when something else is said there");
	late = 3;
	unsigned ended = first.ended;
	is_int(world_call(&w, "p", NULL), ERR_DENIED, "one that is asked to end does");
	is_str(world_reply(&w),
	       "-BUDGET_EXCEEDED {\"outcome\":\"refused\",\"reason\":\"the script used up its processor "
	       "time, nothing "
	       "was written: let it do less in one call\"}\r\n",
	       "and tells why");
	ok(!w.wrote && first.ended == ended + 1, "it wrote nothing, and who watches is told of its end");
	hash_of_p(&first, P, A(3), Q(1));
	late = 0;
	world_call(&w, "p", NULL);
	is_str(world_reply(&w), "%1\r\n$1\r\nv\r\n:3\r\n", "a bundle that is compiled meanwhile is whole");
}

int main(void)
{
	world_open(&w);
	tokens();
	compiling();
	declarations();
	world_close(&w);
	world_open(&w);
	migration();
	world_close(&w);
	world_open(&w);
	unknown_tables();
	world_close(&w);
	world_open(&w);
	pushed_out();
	world_close(&w);
	world_open(&w);
	watching();
	world_close(&w);
	return tap_done();
}
